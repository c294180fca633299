//! The log of a thread: its calls, and what it saw while it held the lock.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::Duration;

use locket_model::{Attempt, Call, Kill, Outcome, Return, Wait};

use super::clock;
use super::config::WorkerConfig;
use super::program::Request;

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

    /// Runs an acquisition and records it. `end` returns the file that it locked, if only the kernel knows it, and the outcome.
    pub(crate) fn acquire<T>(
        &mut self,
        (path, guard, file): (u32, Option<u64>, Option<u64>),
        Request { mode, timeout, .. }: Request,
        run: impl FnOnce() -> T,
        end: impl FnOnce(&T) -> (Option<u64>, Outcome),
    ) -> T {
        let called = clock::now();
        let nanos = |it: Duration| u64::try_from(it.as_nanos()).expect("it fits into 64 bits");
        let wait = match timeout {
            None => Wait::Forever,
            Some(Duration::ZERO) => Wait::Try,
            Some(timeout) => Wait::Until(called + nanos(timeout)),
        };
        let attempt = |file| Attempt::Acquire { file, mode, wait };
        self.call((path, guard, called), attempt(file), run, |value| {
            let (known, outcome) = end(value);
            (attempt(known.or(file)), outcome)
        })
    }

    /// Runs a release and records it.
    pub(crate) fn release<T>(
        &mut self,
        (path, guard): (u32, Option<u64>),
        run: impl FnOnce() -> T,
        end: impl FnOnce(&T) -> Outcome,
    ) -> T {
        let id = (path, guard, clock::now());
        self.call(id, Attempt::Release, run, |value| (Attempt::Release, end(value)))
    }

    /// Records the begin of a call, runs it, and records its end.
    fn call<T>(
        &mut self,
        (path, guard, called): (u32, Option<u64>, u64),
        attempt: Attempt,
        run: impl FnOnce() -> T,
        end: impl FnOnce(&T) -> (Attempt, Outcome),
    ) -> T {
        let (process, thread) = (self.process, self.thread);
        let begun = Call { process, thread, path, guard, attempt, called, returned: None };
        write(&mut self.calls, begun);
        let value = run();
        let at = clock::now();
        let (attempt, outcome) = end(&value);
        let returned = Some(Return { at, outcome });
        write(&mut self.calls, Call { attempt, returned, ..begun });
        value
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
