//! The lock in several real processes.

use std::collections::BTreeMap;

use locket::ErrorKind;
use locket_model::spec::{Mode, Outcome, Process, State};

use super::ops::{End, HoldKind, Op, Response, Slot, Spelling, Step, Subject, Timeout};
use super::reference::Waiter;
use super::test_dir::TestDir;
use crate::support::protocol::{Answer, Request, Setting, Value};
use crate::support::{Peer, Requests, until};

/// The process of each number. It is started when it is first needed, and again after it was killed.
#[derive(Default)]
pub(crate) struct Peers(BTreeMap<Process, Member>);

struct Member {
    peer: Peer,
    /// The handles by name. Those of one spelling differ in their settings, and are dropped together.
    handles: BTreeMap<String, Spelling>,
}

impl Member {
    fn handle(&mut self, dir: &TestDir, via: Spelling, settings: &[Setting]) -> String {
        let name = format!("{via:?} {settings:?}");
        if self.handles.insert(name.clone(), via).is_none() {
            self.peer.handle(&name, dir.path(via), settings);
        }
        name
    }

    fn drop_handles(&mut self, via: Spelling) {
        self.handles.retain(|name, &mut of| {
            if of == via {
                self.peer.drop_handle(name);
            }
            of != via
        });
    }

    /// Starts a call. Returns when it waits or has ended.
    fn wait(&mut self, dir: &TestDir, via: Spelling, call: Request<&str>) -> Response {
        let inode = dir.inode_at(via);
        self.peer.start("wait", call);
        match self.queue(|_| true) {
            None => response_of(&self.peer.wait("wait"), Outcome::Held),
            queue if queue == inode => Response::Waits,
            _ => Response::Unexpected("waits for a file to which the path does not lead".into()),
        }
    }

    /// Returns the file that the call waits for, as soon as that is the right one, or `None` if the call has ended.
    fn queue(&mut self, is_right: impl Fn(u64) -> bool) -> Option<u64> {
        let mut queue = None;
        until("the call should wait or end", || {
            queue = queue_of(self.peer.pid());
            queue.is_some_and(&is_right) || self.peer.is_done("wait")
        });
        queue.filter(|&inode| is_right(inode))
    }

    fn end_guard(&mut self, slot: Slot, end: End) -> Response {
        let slot = &*slot.to_string();
        let answer = self.peer.ask(match end {
            End::Drop => Request::DropGuard(slot),
            End::Release => Request::ReleaseGuard(slot),
            End::Leak => Request::ForgetGuard(slot),
        });
        match response_of(&answer, Outcome::Released) {
            Response::Call(Outcome::Released) if end != End::Release => Response::Nothing,
            response => response,
        }
    }
}

impl Peers {
    fn member(&mut self, process: Process) -> &mut Member {
        self.0.entry(process).or_insert_with(|| Member {
            peer: super::check::spawning(Peer::spawn),
            handles: BTreeMap::new(),
        })
    }
}

impl Subject for Peers {
    fn act(&mut self, dir: &TestDir, Step { process, op }: Step) -> Response {
        let member = self.member(process);
        match op {
            Op::Acquire { via, mode, kind, timeout } => {
                let ms = match timeout {
                    // A try ignores the timeout of its handle.
                    Timeout::Try => 60_000,
                    Timeout::Zero => 0,
                    Timeout::Millisecond => 1,
                };
                let handle = member.handle(dir, via, &settings(mode, Setting::Timeout(ms)));
                let slot = slot_of(kind);
                let call = match (timeout, &slot) {
                    (Timeout::Try, None) => Request::TryAcquire(handle.as_str()),
                    (Timeout::Try, Some(slot)) => Request::TryLock(handle.as_str(), slot),
                    _ => acquisition(&handle, slot.as_deref()),
                };
                response_of(&member.peer.ask(call), Outcome::Held)
            }
            Op::Wait { via, mode, kind, timed } => {
                let timeout = if timed { Setting::Timeout(60_000) } else { Setting::NoTimeout };
                let handle = member.handle(dir, via, &settings(mode, timeout));
                member.wait(dir, via, acquisition(&handle, slot_of(kind).as_deref()))
            }
            Op::Release { via } => {
                let handle = member.handle(dir, via, &[]);
                response_of(&member.peer.ask(Request::Release(&*handle)), Outcome::Released)
            }
            Op::DropHandle { via } => {
                member.drop_handles(via);
                Response::Nothing
            }
            Op::EndGuard { slot, end } => member.end_guard(slot, end),
            Op::IsCurrent { slot } => {
                let answer = member.peer.ask(Request::IsCurrent(&*slot.to_string()));
                match answer.outcome {
                    Ok(Value::Flag(is_current)) => Response::Current(is_current),
                    _ => Response::Unexpected(format!("{answer:?}")),
                }
            }
            Op::Kill => {
                self.0.remove(&process).into_iter().for_each(|member| member.peer.kill());
                Response::Nothing
            }
            Op::Change(_) => Response::Unexpected("a peer does not change files".into()),
        }
    }

    /// Asks an existing handle only: a new one would keep a state alive that ends with the last handle. One handle of a path is
    /// enough, because the test in one process compares the others.
    fn state(&mut self, _: &TestDir, process: Process, via: Spelling) -> Option<State> {
        let member = self.0.get_mut(&process)?;
        let of_path = |(_, of): &(&String, &Spelling)| of.path() == via.path();
        let (name, _) = member.handles.iter().find(of_path).filter(|&(_, &of)| of == via)?;
        Some(match member.peer.state(name) {
            locket::State::Unlocked => State::Unlocked,
            locket::State::HeldExclusive => State::HeldExclusive,
            locket::State::HeldShared(count) => State::HeldShared(count),
            locket::State::ReleasedError => State::ReleasedError,
        })
    }

    fn end_of_wait(&mut self, waiter: &Waiter) -> Response {
        response_of(&self.member(waiter.process).peer.wait("wait"), Outcome::Held)
    }

    fn still_waits(&mut self, dir: &TestDir, waiter: &Waiter) -> bool {
        let inode = dir.inode(waiter.file);
        self.member(waiter.process).queue(|queue| Some(queue) == inode).is_some()
    }

    fn processes(&self) -> Vec<(Process, u32)> {
        self.0.iter().map(|(&process, member)| (process, member.peer.pid())).collect()
    }
}

fn settings(mode: Mode, timeout: Setting) -> Vec<Setting> {
    let shared = (mode == Mode::Shared).then_some(Setting::Shared);
    [timeout].into_iter().chain(shared).collect()
}

fn slot_of(kind: HoldKind) -> Option<String> {
    match kind {
        HoldKind::Unguarded => None,
        HoldKind::Guard(slot) => Some(slot.to_string()),
    }
}

fn acquisition<'a>(handle: &'a str, slot: Option<&'a str>) -> Request<&'a str> {
    slot.map_or(Request::Acquire(handle), |slot| Request::Lock(handle, slot))
}

fn response_of(answer: &Answer, done: Outcome) -> Response {
    match answer.kind() {
        None => Response::Call(done),
        Some(ErrorKind::WouldBlock | ErrorKind::TimedOut) => Response::TimedOut(answer.took()),
        Some(ErrorKind::NotLocked) => Response::Call(Outcome::NotLocked),
        _ => Response::Unexpected(format!("{answer:?}")),
    }
}

/// Returns the inode for which a process waits, which has an arrow in `/proc/locks`:
/// `7: -> FLOCK  ADVISORY  WRITE 42 fe:00:1234 0 EOF` (`proc_locks(5)`).
fn queue_of(pid: u32) -> Option<u64> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "->", "FLOCK", _, _, waiter, file, ..] = words[..] else { return None };
        (waiter.parse() == Ok(pid)).then(|| file.rsplit(':').next()?.parse().ok()).flatten()
    })
}
