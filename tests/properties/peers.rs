//! The lock in processes of their own.

use std::collections::BTreeMap;

use locket_model::spec::{Mode, Outcome, Process, State};

use super::place::Place;
use super::reference::Waiter;
use super::story::{Deed, End, Keep, Patience, Slot, Spelling, Step, Told};
use super::subject::Subject;
use crate::support::{Answer, Peer, until};

/// The process of each number, made when it is first needed, and again after its death.
#[derive(Default)]
pub(crate) struct Peers(BTreeMap<Process, Member>);

struct Member {
    peer: Peer,
    /// By name. Those of one spelling differ in their options, and are dropped together.
    handles: BTreeMap<String, Spelling>,
}

impl Member {
    fn handle(&mut self, place: &Place, via: Spelling, options: &str) -> String {
        let name = format!("{via}/{}", options.replace(' ', "/"));
        if self.handles.insert(name.clone(), via).is_none() {
            self.peer.handle(&name, place.path(via), options);
        }
        name
    }

    fn drop_handles(&mut self, via: Spelling) {
        self.handles.retain(|name, &mut of| {
            if of == via {
                self.peer.ok(&format!("drop_handle {name}"));
            }
            of != via
        });
    }

    /// Leaves the call behind when it waits.
    fn wait(&mut self, place: &Place, via: Spelling, call: &str) -> Told {
        let inode = place.inode_at(via);
        self.peer.ok(&format!("start wait {call}"));
        match self.queue(|_| true) {
            None => told(&self.peer.wait("wait"), Outcome::Held),
            queue if queue == inode => Told::Waits,
            _ => Told::Trouble("waits for a file that the path does not name".into()),
        }
    }

    /// The file in whose queue the call is, as soon as it is in the right one; `None` if it is done.
    fn queue(&mut self, is_right: impl Fn(u64) -> bool) -> Option<u64> {
        let mut queue = None;
        until("the call waits, or is done", || {
            queue = queue_of(self.peer.pid());
            queue.is_some_and(&is_right) || self.peer.ok("poll wait") == "done"
        });
        queue.filter(|&inode| is_right(inode))
    }

    fn end_guard(&mut self, slot: Slot, end: End) -> Told {
        let verb = match end {
            End::Drop => "drop_guard",
            End::Release => "release_guard",
            End::Leak => "forget_guard",
        };
        let answer = self.peer.ask(&format!("{verb} {slot}"));
        match told(&answer, Outcome::Released) {
            Told::Call(Outcome::Released) if end != End::Release => Told::Nothing,
            told => told,
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
    fn act(&mut self, place: &Place, Step { process, deed }: Step) -> Told {
        let member = self.member(process);
        match deed {
            Deed::Acquire { via, mode, keep, patience } => {
                let (verb, timeout) = match patience {
                    // Whatever timeout a handle has, a try has none.
                    Patience::Try => ("try_", "60000"),
                    Patience::Zero => ("", "0"),
                    Patience::Millisecond => ("", "1"),
                };
                let handle = member.handle(place, via, &options(mode, timeout));
                let call = format!("{verb}{}", acquisition(&handle, keep));
                told(&member.peer.ask(&call), Outcome::Held)
            }
            Deed::Wait { via, mode, keep, timed } => {
                let timeout = if timed { "60000" } else { "never" };
                let handle = member.handle(place, via, &options(mode, timeout));
                member.wait(place, via, &acquisition(&handle, keep))
            }
            Deed::Release { via } => {
                let handle = member.handle(place, via, "");
                told(&member.peer.ask(&format!("release {handle}")), Outcome::Released)
            }
            Deed::DropHandle { via } => {
                member.drop_handles(via);
                Told::Nothing
            }
            Deed::EndGuard { slot, end } => member.end_guard(slot, end),
            Deed::IsCurrent { slot } => {
                let answer = member.peer.ask(&format!("is_current {slot}"));
                match answer.outcome.as_deref() {
                    Ok("true") => Told::Current(true),
                    Ok("false") => Told::Current(false),
                    _ => Told::Trouble(format!("{answer:?}")),
                }
            }
            Deed::Kill => {
                self.0.remove(&process).into_iter().for_each(|member| member.peer.kill());
                Told::Nothing
            }
            Deed::Change(_) => Told::Trouble("nothing that a peer does".into()),
        }
    }

    /// A handle made only to ask would keep alive what a dropped one leaves. And one of a path is
    /// enough: that others tell the same is seen in one process.
    fn state(&mut self, _: &Place, process: Process, via: Spelling) -> Option<State> {
        let member = self.0.get_mut(&process)?;
        let of_path = |(_, of): &(&String, &Spelling)| of.path() == via.path();
        let (name, _) = member.handles.iter().find(of_path).filter(|&(_, &of)| of == via)?;
        let state = member.peer.ok(&format!("state {name}"));
        Some(match state.split_once(' ') {
            Some(("shared", count)) => State::HeldShared(count.parse().expect("it is a count")),
            _ if state == "exclusive" => State::HeldExclusive,
            _ if state == "released_error" => State::ReleasedError,
            _ => State::Unlocked,
        })
    }

    fn end_of_wait(&mut self, waiter: &Waiter) -> Told {
        told(&self.member(waiter.process).peer.wait("wait"), Outcome::Held)
    }

    fn still_waits(&mut self, place: &Place, waiter: &Waiter) -> bool {
        let inode = place.inode(waiter.file);
        self.member(waiter.process).queue(|queue| Some(queue) == inode).is_some()
    }

    fn processes(&self) -> Vec<(Process, u32)> {
        self.0.iter().map(|(&process, member)| (process, member.peer.pid())).collect()
    }
}

fn options(mode: Mode, timeout: &str) -> String {
    let shared = if mode == Mode::Shared { "shared " } else { "" };
    format!("{shared}timeout={timeout}")
}

fn acquisition(handle: &str, keep: Keep) -> String {
    match keep {
        Keep::Kept => format!("acquire {handle}"),
        Keep::Guard(slot) => format!("lock {handle} {slot}"),
    }
}

fn told(answer: &Answer, done: Outcome) -> Told {
    match answer.class() {
        "ok" => Told::Call(done),
        "timed_out" => Told::TimedOut(answer.took()),
        "not_locked" => Told::Call(Outcome::NotLocked),
        _ => Told::Trouble(format!("{answer:?}")),
    }
}

/// A waiter is an arrow in the kernel's list: `7: -> FLOCK  ADVISORY  WRITE 42 fe:00:1234 0 EOF`.
fn queue_of(pid: u32) -> Option<u64> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "->", "FLOCK", _, _, waiter, file, ..] = words[..] else { return None };
        (waiter.parse() == Ok(pid)).then(|| file.rsplit(':').next()?.parse().ok()).flatten()
    })
}
