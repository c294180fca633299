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
use super::program::{Pace, Program, Request, Turn};
use super::subject::Hold;

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

/// A hold of this thread.
struct Held {
    hold: Hold,
    /// The number of its guard in the log.
    guard: Option<u64>,
    /// The number of its file, if that is known.
    file: Option<u64>,
}

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
            Turn::Hold { place, request, hold, child } => self.hold(place, request, hold, child),
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

    fn hold(&mut self, number: usize, request: Request, hold: Pace, child: Option<ChildEnd>) {
        let Some(Held { hold: got, guard, file }) = self.acquire(number, request) else { return };
        if let Some(me) = self.fork_child(child) {
            children::run_in_child(|| self.run_child(me, request.guarded.then_some(got)));
        }
        if !request.guarded {
            let state = self.handles[number].state();
            if state != State::HeldExclusive {
                self.log.saw(format_args!("failed it is held, and the state is {state:?}"));
            }
        }
        match file {
            Some(file) => {
                self.evidence(number, file, request, hold);
                if self.moves() {
                    self.check_is_current(&self.places[number].path, &got, file);
                }
            }
            None => self.log.saw("failed the kernel shows no lock, or more than one"),
        }
        let id = (path_number(number), guard);
        let released = self.log.release(id, || got.release(), outcome_of_release);
        if let Err(error) = released {
            self.log.saw(format_args!("failed {error}"));
        }
    }

    fn acquire(&mut self, number: usize, request: Request) -> Option<Held> {
        let moves = self.moves();
        let Self { config, places, handles, log, thread, guards, .. } = self;
        let guard = request.guarded.then_some(u64::from(*thread) << 32 | *guards);
        *guards += 1;
        let file = places[number].file;
        let (tried, file) = log.acquire(
            (path_number(number), guard, file),
            request,
            || {
                let tried = config.subject.lock(&handles[number], request);
                let is_held = moves && matches!(tried, Ok(Some(_)));
                (tried, if is_held { critical_section::locked_file() } else { file })
            },
            |(tried, file)| (*file, outcome_of(tried)),
        );
        let hold = tried.unwrap_or_else(|error| {
            // A moving directory does not exist at times.
            let text = error.to_string();
            let is_missing = io::Error::from(error).kind() == io::ErrorKind::NotFound;
            let word = if moves && is_missing { "missed" } else { "failed" };
            log.saw(format_args!("{word} {text}"));
            None
        });
        hold.map(|hold| Held { hold, guard, file })
    }

    fn release(&mut self, number: usize) -> Outcome {
        let lock = &self.handles[number];
        let id = (path_number(number), None);
        outcome_of_release(&self.log.release(id, || lock.release(), outcome_of_release))
    }

    fn moves(&self) -> bool {
        self.config.layout == Layout::Moving
    }

    fn evidence(&mut self, number: usize, file: u64, request: Request, hold: Pace) {
        let WorkerConfig { process, directory, .. } = self.config;
        if self.places[number].is_unpaired {
            // A guard is certain even here, but unguarded holds beside it are not.
            hold.pass();
        } else if request.mode == Mode::Shared {
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

fn outcome_of<T>(tried: &Result<Option<T>, LockError>) -> Outcome {
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
