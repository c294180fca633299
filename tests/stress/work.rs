//! A worker: its threads take turns until the time is over.

mod childhood;

use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use locket::{Lock, LockError, State, lock_file};
use locket_model::{Mode, Outcome};

use super::children::{self, Child, Fate};
use super::clock;
use super::held;
use super::log::Log;
use super::orders::Orders;
use super::program::{Ask, Pace, Patience, Program, Turn};
use super::subject::{Hold, answer, handle};
use super::terrain::{Place, Terrain, inode};

pub(crate) fn work(orders: &Orders) {
    let places = orders.terrain.places(&orders.directory);
    thread::scope(|scope| {
        for thread in 0..orders.threads {
            let places = &places;
            scope.spawn(move || Worker::new(orders, places, thread).work());
        }
    });
    // What is held for the process ends with it, but here by calls that the log tells of.
    Worker::new(orders, &places, orders.threads).release_the_wild();
}

struct Worker<'a> {
    orders: &'a Orders,
    places: &'a [Place],
    handles: Vec<Lock>,
    program: Program,
    log: Log,
    thread: u32,
    guards: u64,
    /// Those that live, and how many there were.
    children: Vec<Child>,
    born: u32,
}

type Tried<T> = Result<Option<T>, LockError>;

impl<'a> Worker<'a> {
    fn new(orders: &'a Orders, places: &'a [Place], thread: u32) -> Self {
        Self {
            orders,
            places,
            handles: places.iter().map(|place| lock_file(&place.path)).collect(),
            program: Program::new(orders, thread),
            log: Log::new(orders, thread),
            thread,
            guards: 0,
            children: vec![],
            born: 0,
        }
    }

    fn work(mut self) {
        while clock::now() < self.orders.until {
            self.look_after_children();
            self.turn();
        }
        while !self.children.is_empty() {
            self.look_after_children();
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn turn(&mut self) {
        match self.program.turn() {
            Turn::Guarded { place, ask, hold, child } => self.guarded(place, ask, hold, child),
            Turn::Kept { place, ask, hold, child } => self.kept(place, ask, hold, child),
            Turn::WildAcquire { place, ask } => _ = self.acquire(place, ask),
            Turn::WildRelease { place } => _ = self.release(place),
            Turn::Rest(pace) => pace.pass(),
        }
    }

    fn release_the_wild(&mut self) {
        for (number, _) in self.places.iter().enumerate().filter(|(_, place)| place.is_wild) {
            while self.release(number) == Outcome::Released {}
        }
    }

    fn guarded(&mut self, number: usize, ask: Ask, hold: Pace, child: Option<Fate>) {
        let guard = u64::from(self.thread) << 32 | self.guards;
        self.guards += 1;
        let place = &self.places[number];
        let id = (path_number(number), place.file, Some(guard));
        let lock = handle(&self.handles[number], ask);
        let subject = self.orders.subject;
        let moves = self.orders.terrain == Terrain::Moving;
        let (tried, file) = self.log.acquire(
            id,
            request(ask),
            || {
                let tried = subject.lock(&lock, ask);
                let is_held = moves && matches!(tried, Ok(Some(_)));
                (tried, if is_held { held::file_in_kernel() } else { place.file })
            },
            |(tried, file)| (*file, outcome_of(tried)),
        );
        let Some(got) = self.got(tried) else { return };
        if let Some(me) = self.bears(child) {
            children::live(|| self.grow_up(me, Some(got)));
        }
        match file {
            Some(file) => {
                self.evidence(number, file, ask, hold);
                if moves {
                    self.ask_guard(&place.path, &got, file);
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

    fn kept(&mut self, number: usize, ask: Ask, hold: Pace, child: Option<Fate>) {
        if !self.acquire(number, ask) {
            return;
        }
        if let Some(me) = self.bears(child) {
            children::live(|| self.grow_up(me, None));
        }
        if let Some(file) = self.places[number].file {
            let state = self.handles[number].state();
            if state != State::HeldExclusive {
                self.log.saw(format_args!("failed it is held, and the state is {state:?}"));
            }
            self.evidence(number, file, ask, hold);
        }
        if self.release(number) != Outcome::Released {
            self.log.saw("failed to release what was held");
        }
    }

    /// Is it held now?
    fn acquire(&mut self, number: usize, ask: Ask) -> bool {
        let lock = handle(&self.handles[number], ask);
        let id = (path_number(number), self.places[number].file, None);
        let acquire = || answer(lock.acquire());
        let tried = self.log.acquire(id, request(ask), acquire, |tried| (None, outcome_of(tried)));
        self.got(tried).is_some()
    }

    fn release(&mut self, number: usize) -> Outcome {
        let lock = &self.handles[number];
        let id = (path_number(number), None);
        outcome_of_release(&self.log.release(id, || lock.release(), outcome_of_release))
    }

    fn got<T>(&mut self, tried: Tried<T>) -> Option<T> {
        tried.unwrap_or_else(|error| {
            // A moving directory is not there at times.
            let moves = self.orders.terrain == Terrain::Moving;
            let text = error.to_string();
            let is_missing = io::Error::from(error).kind() == io::ErrorKind::NotFound;
            let word = if moves && is_missing { "missed" } else { "failed" };
            self.log.saw(format_args!("{word} {text}"));
            None
        })
    }

    fn evidence(&mut self, number: usize, file: u64, ask: Ask, hold: Pace) {
        let Orders { process, directory, .. } = self.orders;
        if self.places[number].is_wild {
            // Guards are proof even there, but the holds beside them are not.
            hold.pass();
        } else if ask.shared {
            held::beside_others(directory, file, hold, &mut self.log);
        } else {
            let me = format!("{process}.{}.{}", self.thread, clock::now());
            held::alone(directory, file, &me, hold, &mut self.log);
        }
    }

    /// The name never comes back to a file that has lost it: so what it names before and after
    /// the question bounds the answer.
    fn ask_guard(&mut self, path: &Path, held: &Hold, file: u64) {
        let Some(guard) = held.guard() else { return };
        let before = inode(path) == Some(file);
        let current = guard.is_current();
        let after = inode(path) == Some(file);
        match current {
            Ok(true) if !before => self.log.saw("failed the guard trusts a file without the name"),
            Ok(false) if after => self.log.saw("failed the guard mistrusts a file with the name"),
            Ok(current) => self.log.saw(if current { "current" } else { "replaced" }),
            Err(error) => self.log.saw(format_args!("failed {error}")),
        }
    }
}

fn path_number(number: usize) -> u32 {
    u32::try_from(number).expect("there are few")
}

/// The mode, and the timeout in nanoseconds.
fn request(ask: Ask) -> (Mode, Option<u64>) {
    let timeout = match ask.patience {
        Patience::Try => Some(0),
        Patience::Timed(timeout) => Some(timeout.as_nanos().try_into().expect("it is short")),
        Patience::Forever => None,
    };
    (if ask.shared { Mode::Shared } else { Mode::Exclusive }, timeout)
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
