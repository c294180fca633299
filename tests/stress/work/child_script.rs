//! What a worker does as the parent of children, and as a child.

use locket::State;
use locket_model::Outcome;

use super::super::children::{self, ChildEnd, End};
use super::super::config::WorkerConfig;
use super::super::program::ChildScript;
use super::super::subject::{Hold, Subject};
use super::Worker;

impl Worker<'_> {
    /// Forks a child, if `child` says so. Returns the child's number in the child, and `None` in the parent.
    pub(super) fn fork_child(&mut self, child: Option<ChildEnd>) -> Option<u32> {
        let ending = child?;
        self.born += 1;
        let process = children::number(self.config.process, self.thread, self.born);
        let child = children::fork_child(process, ending);
        let is_child = child.is_none();
        self.children.extend(child);
        is_child.then_some(process)
    }

    /// Runs as a child until its end, with the handles that it inherited, and perhaps a guard of its parent's.
    pub(super) fn run_child(&mut self, process: u32, inherited: Option<Hold>) {
        let config = Box::leak(Box::new(WorkerConfig { process, ..self.config.clone() }));
        let handles = std::mem::take(&mut self.handles);
        *self = Self { handles, ..Self::new(config, self.places, 0) };
        self.log.saw("born");
        for number in 0..self.places.len() {
            let state = self.handles[number].state();
            if state != State::Unlocked {
                self.log.saw(format_args!("failed a child starts with the state {state:?}"));
            }
            if self.release(number) != Outcome::NotLocked {
                self.log.saw("failed a child released what its parent held");
            }
        }
        let ChildScript { before, drops, after, turns } = self.program.child_script();
        before.pass();
        self.end_inherited(inherited, drops);
        after.pass();
        for _ in 0..turns {
            self.turn();
        }
        self.release_unpaired();
        self.log.saw("ended");
    }

    fn end_inherited(&mut self, inherited: Option<Hold>, drops: bool) {
        let is_lock = self.config.subject == Subject::Locket;
        match inherited {
            Some(hold) if !(drops && is_lock) => {
                if hold.release().is_ok() && is_lock {
                    self.log.saw("failed a child released the guard of its parent");
                }
            }
            dropped => drop(dropped),
        }
    }

    pub(super) fn reap_children(&mut self) {
        let log = &mut self.log;
        self.children.retain(|child| match child.end() {
            None => true,
            Some(end) => {
                match end {
                    End::Exited => {}
                    End::Killed(kill) => log.killed(kill),
                    End::Otherwise(status) => log.saw(format_args!("failed a child: {status:?}")),
                }
                false
            }
        });
    }
}
