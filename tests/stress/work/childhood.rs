//! A worker that has children, and is one.

use locket::State;
use locket_model::Outcome;

use super::super::children::{self, End, Fate};
use super::super::orders::Orders;
use super::super::program::Childhood;
use super::super::subject::{Hold, Subject};
use super::Worker;

impl Worker<'_> {
    /// In the child it answers with its number.
    pub(super) fn bears(&mut self, child: Option<Fate>) -> Option<u32> {
        let fate = child?;
        self.born += 1;
        let process = children::number(self.orders.process, self.thread, self.born);
        let child = children::bear(process, fate);
        let is_child = child.is_none();
        self.children.extend(child);
        is_child.then_some(process)
    }

    /// A child's whole life, with the handles that it inherited, and perhaps a guard of its parent's.
    pub(super) fn grow_up(&mut self, process: u32, inherited: Option<Hold>) {
        let orders = Box::leak(Box::new(Orders { process, ..self.orders.clone() }));
        let handles = std::mem::take(&mut self.handles);
        *self = Self { handles, ..Self::new(orders, self.places, 0) };
        self.log.saw("born");
        for number in 0..self.places.len() {
            let state = self.handles[number].state();
            if state != State::Unlocked {
                self.log.saw(format_args!("failed a child begins with the state {state:?}"));
            }
            if self.release(number) != Outcome::NotLocked {
                self.log.saw("failed a child released what its parent held");
            }
        }
        let Childhood { before, drops, after, turns } = self.program.childhood();
        before.pass();
        self.let_go(inherited, drops);
        after.pass();
        for _ in 0..turns {
            self.turn();
        }
        self.release_the_wild();
        self.log.saw("ended");
    }

    fn let_go(&mut self, inherited: Option<Hold>, drops: bool) {
        let is_lock = self.orders.subject == Subject::Locket;
        match inherited {
            Some(hold) if !(drops && is_lock) => {
                if hold.release().is_ok() && is_lock {
                    self.log.saw("failed a child released the guard of its parent");
                }
            }
            dropped => drop(dropped),
        }
    }

    pub(super) fn look_after_children(&mut self) {
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
