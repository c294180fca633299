//! What a thread writes down: its calls, and what it saw while it held the lock.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::Write;

use locket_model::{Attempt, Call, Kill, Mode, Outcome, Return, Wait};

use super::clock;
use super::orders::Orders;

/// Files of one thread alone: what is written when a process is killed may be torn, but then it is
/// the end of that file and nothing else.
pub(crate) struct Log {
    process: u32,
    thread: u32,
    calls: File,
    seen: File,
}

impl Log {
    pub(crate) fn new(orders: &Orders, thread: u32) -> Self {
        let process = orders.process;
        let file = |kind: &str| {
            let path = orders.directory.join(format!("log.{kind}.{process}.{thread}"));
            OpenOptions::new().create(true).append(true).open(path).expect("the directory is ours")
        };
        Self { process, thread, calls: file("calls"), seen: file("seen") }
    }

    pub(crate) fn acquire<T>(
        &mut self,
        (path, file, guard): (u32, Option<u64>, Option<u64>),
        (mode, timeout): (Mode, Option<u64>),
        call: impl FnOnce() -> T,
        outcome: impl FnOnce(&T) -> (Option<u64>, Outcome),
    ) -> T {
        let called = clock::now();
        let wait = match timeout {
            None => Wait::Forever,
            Some(0) => Wait::Try,
            Some(timeout) => Wait::Until(called + timeout),
        };
        let attempt = |file| Attempt::Acquire { file, mode, wait };
        self.begun(path, guard, attempt(file), called);
        let value = call();
        let at = clock::now();
        let (known, outcome) = outcome(&value);
        let ended = Some(Return { at, outcome });
        self.call(path, guard, attempt(known.or(file)), called, ended);
        value
    }

    pub(crate) fn release<T>(
        &mut self,
        (path, guard): (u32, Option<u64>),
        call: impl FnOnce() -> T,
        outcome: impl FnOnce(&T) -> Outcome,
    ) -> T {
        let called = clock::now();
        self.begun(path, guard, Attempt::Release, called);
        let value = call();
        let ended = Some(Return { at: clock::now(), outcome: outcome(&value) });
        self.call(path, guard, Attempt::Release, called, ended);
        value
    }

    fn begun(&mut self, path: u32, guard: Option<u64>, attempt: Attempt, called: u64) {
        self.call(path, guard, attempt, called, None);
    }

    fn call(
        &mut self,
        path: u32,
        guard: Option<u64>,
        attempt: Attempt,
        called: u64,
        returned: Option<Return>,
    ) {
        let (process, thread) = (self.process, self.thread);
        let call = Call { process, thread, path, guard, attempt, called, returned };
        write(&mut self.calls, call);
    }

    /// This thread's child.
    pub(crate) fn killed(&mut self, kill: Kill) {
        write(&mut self.calls, kill);
    }

    /// See [`evidence`](super::evidence).
    pub(crate) fn saw(&mut self, what: impl Display) {
        let line = format!("{} {} {what}", self.process, self.thread);
        write(&mut self.seen, line);
    }
}

fn write(file: &mut File, line: impl Display) {
    file.write_all(format!("{line}\n").as_bytes()).expect("there should be room for the log");
}
