//! The worlds that are searched: what the threads of a [`Protocol`] do and what goes wrong.

use locket_model::protocol::{Client, Protocol};
use locket_model::spec::Mode::{self, Exclusive, Shared};
use locket_model::state::Acquire;
use locket_model::state::Patience::{self, Deadline, Endless, Once};

const KEPT: bool = true;
const GUARD: bool = false;

fn any(calls: &[(Mode, bool, Patience)], stray: bool) -> Client {
    let calls = calls.iter().map(|&(mode, kept, patience)| Acquire { mode, kept, patience });
    Client::Any { calls: calls.collect(), stray }
}

/// What is different in each world, by its name in the README.
pub(crate) fn world(name: &str, processes: usize, threads: usize) -> Protocol {
    let base = Protocol { processes, threads, ..Protocol::default() };
    let pair = [(Exclusive, GUARD, Deadline), (Exclusive, KEPT, Endless)];
    match name {
        // Guards, exclusive, without a timeout.
        "plain" => base,
        // The same with a timeout.
        "timed" => Protocol { client: any(&[(Exclusive, GUARD, Deadline)], false), ..base },
        // And the path may come to name another file, or none.
        "timed + rename" => Protocol { renames: 1, ..world("timed", processes, threads) },
        // Exclusive and shared guards.
        "modes" => {
            let calls = [(Exclusive, GUARD, Endless), (Shared, GUARD, Endless)];
            Protocol { client: any(&calls, false), ..base }
        }
        // Exclusive guards that are downgraded, beside shared ones; a crash, and a refusal of the system's.
        "downgrades" => {
            let calls = [(Exclusive, GUARD, Deadline), (Shared, GUARD, Endless)];
            let client = any(&calls, false);
            Protocol { client, downgrades: true, crashes: 1, refusals: 1, ..base }
        }
        // Timed guards and the unguarded pair, releases of what others acquired, no handle at times.
        "pair" => Protocol { client: any(&pair, true), drops_handles: true, ..base },
        // The pair, with a ledger that keeps more than one idle descriptor.
        "spares" => Protocol { spares: 3, ..world("pair", processes, threads) },
        // Plain, with a crash, and the path unlinked, replaced or put back.
        "faults" => Protocol { crashes: 1, renames: 1, ..base },
        // The pair, with a crash, a rename and an unlock that the system refuses.
        "pair + faults" => {
            Protocol { crashes: 1, renames: 1, refusals: 1, ..world("pair", processes, threads) }
        }
        // Every kind of call, and everything that can go wrong.
        "everything" => {
            let mut calls = Vec::new();
            for mode in [Exclusive, Shared] {
                for kept in [KEPT, GUARD] {
                    calls.extend([Once, Deadline, Endless].map(|it| (mode, kept, it)));
                }
            }
            let faulty = world("pair + faults", processes, threads);
            Protocol { client: any(&calls, true), ..faulty }
        }
        // As "everything", and the path changes twice: unlinked and put back, replaced twice.
        "replaced" => {
            Protocol { renames: 2, crashes: 0, ..world("pair + faults", processes, threads) }
        }
        _ => panic!("no such world: {name}"),
    }
}
