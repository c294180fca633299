//! A worker: its threads take turns until the end of the round.

mod child_script;

use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use locket::{Lock, LockError, State, lock_file};
use locket_model::{Mode, Outcome};

use super::children::{self, Child, ChildEnd};
use super::clock;
use super::config::WorkerConfig;
use super::critical_section;
use super::layout::{Layout, Place, inode};
use super::log::Log;
use super::program::{Pace, Program, Request, Timeout, Turn};
use super::subject::{Hold, answer, handle};

pub(crate) fn work(config: &WorkerConfig) {
    let places = config.layout.places(&config.directory);
    thread::scope(|scope| {
        for thread in 0..config.threads {
            let places = &places;
            scope.spawn(move || Worker::new(config, places, thread).work());
        }
    });
    // A process end would release the unguarded holds too. They are released by calls here, so that the log shows them.
    Worker::new(config, &places, config.threads).release_unpaired();
}

struct Worker<'a> {
    config: &'a WorkerConfig,
    places: &'a [Place],
    handles: Vec<Lock>,
    program: Program,
    log: Log,
    thread: u32,
    guards: u64,
    /// The children that live.
    children: Vec<Child>,
    born: u32,
}

type Tried<T> = Result<Option<T>, LockError>;

impl<'a> Worker<'a> {
    fn new(config: &'a WorkerConfig, places: &'a [Place], thread: u32) -> Self {
        Self {
            config,
            places,
            handles: places.iter().map(|place| lock_file(&place.path)).collect(),
            program: Program::new(config, thread),
            log: Log::new(config, thread),
            thread,
            guards: 0,
            children: vec![],
            born: 0,
        }
    }

    fn work(mut self) {
        while clock::now() < self.config.until {
            self.reap_children();
            self.turn();
        }
        while !self.children.is_empty() {
            self.reap_children();
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn turn(&mut self) {
        match self.program.turn() {
            Turn::Guarded { place, request, hold, child } => {
                self.guarded(place, request, hold, child);
            }
            Turn::Unguarded { place, request, hold, child } => {
                self.unguarded(place, request, hold, child);
            }
            Turn::UnpairedAcquire { place, request } => _ = self.acquire(place, request),
            Turn::UnpairedRelease { place } => _ = self.release(place),
            Turn::Rest(pace) => pace.pass(),
        }
    }

    fn release_unpaired(&mut self) {
        for (number, _) in self.places.iter().enumerate().filter(|(_, place)| place.is_unpaired) {
            while self.release(number) == Outcome::Released {}
        }
    }

    fn guarded(&mut self, number: usize, request: Request, hold: Pace, child: Option<ChildEnd>) {
        let guard = u64::from(self.thread) << 32 | self.guards;
        self.guards += 1;
        let place = &self.places[number];
        let id = (path_number(number), place.file, Some(guard));
        let lock = handle(&self.handles[number], request);
        let subject = self.config.subject;
        let moves = self.config.layout == Layout::Moving;
        let (tried, file) = self.log.acquire(
            id,
            mode_and_timeout(request),
            || {
                let tried = subject.lock(&lock, request);
                let is_held = moves && matches!(tried, Ok(Some(_)));
                (tried, if is_held { critical_section::locked_file() } else { place.file })
            },
            |(tried, file)| (*file, outcome_of(tried)),
        );
        let Some(got) = self.got(tried) else { return };
        if let Some(me) = self.fork_child(child) {
            children::run_in_child(|| self.run_child(me, Some(got)));
        }
        match file {
            Some(file) => {
                self.evidence(number, file, request, hold);
                if moves {
                    self.check_is_current(&place.path, &got, file);
                }
            }
            None => self.log.saw("failed the kernel shows no lock, or more than one"),
        }
        let id = (path_number(number), Some(guard));
        let released = self.log.release(id, || got.release(), outcome_of_release);
        if let Err(error) = released {
            self.log.saw(format_args!("failed {error}"));
        }
    }

    fn unguarded(&mut self, number: usize, request: Request, hold: Pace, child: Option<ChildEnd>) {
        if !self.acquire(number, request) {
            return;
        }
        if let Some(me) = self.fork_child(child) {
            children::run_in_child(|| self.run_child(me, None));
        }
        if let Some(file) = self.places[number].file {
            let state = self.handles[number].state();
            if state != State::HeldExclusive {
                self.log.saw(format_args!("failed it is held, and the state is {state:?}"));
            }
            self.evidence(number, file, request, hold);
        }
        if self.release(number) != Outcome::Released {
            self.log.saw("failed to release what was held");
        }
    }

    /// Returns whether the lock is held now.
    fn acquire(&mut self, number: usize, request: Request) -> bool {
        let lock = handle(&self.handles[number], request);
        let id = (path_number(number), self.places[number].file, None);
        let acquire = || answer(lock.acquire());
        let tried = self
            .log
            .acquire(id, mode_and_timeout(request), acquire, |tried| (None, outcome_of(tried)));
        self.got(tried).is_some()
    }

    fn release(&mut self, number: usize) -> Outcome {
        let lock = &self.handles[number];
        let id = (path_number(number), None);
        outcome_of_release(&self.log.release(id, || lock.release(), outcome_of_release))
    }

    fn got<T>(&mut self, tried: Tried<T>) -> Option<T> {
        tried.unwrap_or_else(|error| {
            // A moving directory does not exist at times.
            let moves = self.config.layout == Layout::Moving;
            let text = error.to_string();
            let is_missing = io::Error::from(error).kind() == io::ErrorKind::NotFound;
            let word = if moves && is_missing { "missed" } else { "failed" };
            self.log.saw(format_args!("{word} {text}"));
            None
        })
    }

    fn evidence(&mut self, number: usize, file: u64, request: Request, hold: Pace) {
        let WorkerConfig { process, directory, .. } = self.config;
        if self.places[number].is_unpaired {
            // A guard is certain even here, but unguarded holds beside it are not.
            hold.pass();
        } else if request.shared {
            critical_section::check_shared(directory, file, hold, &mut self.log);
        } else {
            let me = format!("{process}.{}.{}", self.thread, clock::now());
            critical_section::check_exclusive(directory, file, &me, hold, &mut self.log);
        }
    }

    /// Checks `Guard::is_current`. A file that has lost the name never gets it back, so a look before and a look after the call
    /// bound its answer.
    fn check_is_current(&mut self, path: &Path, hold: &Hold, file: u64) {
        let Some(guard) = hold.guard() else { return };
        let before = inode(path) == Some(file);
        let current = guard.is_current();
        let after = inode(path) == Some(file);
        match current {
            Ok(true) if !before => {
                self.log.saw("failed is_current is true of a file without the name");
            }
            Ok(false) if after => {
                self.log.saw("failed is_current is false of a file with the name");
            }
            Ok(current) => self.log.saw(if current { "current" } else { "replaced" }),
            Err(error) => self.log.saw(format_args!("failed {error}")),
        }
    }
}

fn path_number(number: usize) -> u32 {
    u32::try_from(number).expect("there are few")
}

/// Returns the mode, and the timeout in nanoseconds.
fn mode_and_timeout(request: Request) -> (Mode, Option<u64>) {
    let timeout = match request.timeout {
        Timeout::Try => Some(0),
        Timeout::Timed(timeout) => {
            Some(timeout.as_nanos().try_into().expect("it fits into 64 bits"))
        }
        Timeout::Forever => None,
    };
    (if request.shared { Mode::Shared } else { Mode::Exclusive }, timeout)
}

fn outcome_of<T>(tried: &Tried<T>) -> Outcome {
    match tried {
        Ok(Some(_)) => Outcome::Held,
        Ok(None) => Outcome::TimedOut,
        Err(_) => Outcome::Failed,
    }
}

fn outcome_of_release(released: &Result<(), LockError>) -> Outcome {
    match released {
        Ok(()) => Outcome::Released,
        Err(error) if error.kind() == locket::ErrorKind::NotLocked => Outcome::NotLocked,
        Err(_) => Outcome::Refused,
    }
}
