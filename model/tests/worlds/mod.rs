//! The worlds that are searched: the calls of the threads of a [`Protocol`], and the faults.

use locket_model::protocol::{Client, Protocol};
use locket_model::spec::Mode::{self, Exclusive, Shared};
use locket_model::state::Acquire;
use locket_model::state::Wait::{self, Forever, Timed, Try};

const UNGUARDED: bool = true;
const GUARD: bool = false;

fn any(calls: &[(Mode, bool, Wait)], releases_unheld: bool) -> Client {
    let calls = calls.iter().map(|&(mode, unguarded, wait)| Acquire { mode, unguarded, wait });
    Client::Any { calls: calls.collect(), releases_unheld }
}

/// Returns a world by its name in `README.md`.
pub(crate) fn world(name: &str, processes: usize, threads: usize) -> Protocol {
    let base = Protocol { processes, threads, ..Protocol::default() };
    let unguarded = [(Exclusive, GUARD, Timed), (Exclusive, UNGUARDED, Forever)];
    match name {
        // Exclusive guards without a timeout.
        "plain" => base,
        // The same with a timeout.
        "timed" => Protocol { client: any(&[(Exclusive, GUARD, Timed)], false), ..base },
        // The same, and the path is unlinked or comes to name another file, once.
        "timed + rename" => Protocol { renames: 1, ..world("timed", processes, threads) },
        // Exclusive and shared guards.
        "modes" => {
            let calls = [(Exclusive, GUARD, Forever), (Shared, GUARD, Forever)];
            Protocol { client: any(&calls, false), ..base }
        }
        // Exclusive guards that are downgraded, and shared guards; a crash, and a refusal by the kernel.
        "downgrades" => {
            let calls = [(Exclusive, GUARD, Timed), (Shared, GUARD, Forever)];
            let client = any(&calls, false);
            Protocol { client, downgrades: true, crashes: 1, refusals: 1, ..base }
        }
        // Timed guards and unguarded holds, releases by any thread, and dropped handles.
        "unguarded" => Protocol { client: any(&unguarded, true), drops_handles: true, ..base },
        // The same with a ledger that stores up to three idle open files.
        "idle" => Protocol { max_idle: 3, ..world("unguarded", processes, threads) },
        // Plain with a crash, and the path unlinked, replaced or renamed back.
        "faults" => Protocol { crashes: 1, renames: 1, ..base },
        // Unguarded with a crash, a rename, and an unlock that the kernel refuses.
        "unguarded + faults" => Protocol {
            crashes: 1,
            renames: 1,
            refusals: 1,
            ..world("unguarded", processes, threads)
        },
        // Every kind of call and every kind of fault.
        "everything" => {
            let mut calls = Vec::new();
            for mode in [Exclusive, Shared] {
                for unguarded in [UNGUARDED, GUARD] {
                    calls.extend([Try, Timed, Forever].map(|it| (mode, unguarded, it)));
                }
            }
            let faulty = world("unguarded + faults", processes, threads);
            Protocol { client: any(&calls, true), ..faulty }
        }
        // Two changes of the path: unlinked and created, replaced twice, or renamed back.
        "replaced" => {
            Protocol { renames: 2, crashes: 0, ..world("unguarded + faults", processes, threads) }
        }
        _ => panic!("no such world: {name}"),
    }
}
