//! The log of a thread: its calls, and what it saw while it held the lock.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::Write;

use locket_model::{Attempt, Call, Kill, Mode, Outcome, Return, Wait};

use super::clock;
use super::config::WorkerConfig;

/// The files of one thread. If the process is killed during a write, only the last line of a file is torn.
pub(crate) struct Log {
    process: u32,
    thread: u32,
    calls: File,
    seen: File,
}

impl Log {
    pub(crate) fn new(config: &WorkerConfig, thread: u32) -> Self {
        let process = config.process;
        let file = |kind: &str| {
            let path = config.directory.join(format!("log.{kind}.{process}.{thread}"));
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .expect("the directory should be writable")
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

    /// Records that a child of this thread was killed.
    pub(crate) fn killed(&mut self, kill: Kill) {
        write(&mut self.calls, kill);
    }

    /// Records a line of [`evidence`](super::evidence).
    pub(crate) fn saw(&mut self, what: impl Display) {
        let line = format!("{} {} {what}", self.process, self.thread);
        write(&mut self.seen, line);
    }
}

fn write(file: &mut File, line: impl Display) {
    file.write_all(format!("{line}\n").as_bytes()).expect("there should be room for the log");
}
