//! The turns of a thread. They are drawn from its seed alone and do not depend on results.

use std::thread;
use std::time::{Duration, Instant};

use locket_model::Mode;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::children::{ChildEnd, parent_of};
use super::config::WorkerConfig;
use super::layout::Layout;
use super::subject::Subject;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    Immediate,
    Yield,
    Spin(Duration),
    Sleep(Duration),
}

impl Pace {
    pub(crate) fn pass(self) {
        match self {
            Self::Immediate => {}
            Self::Yield => thread::yield_now(),
            Self::Spin(time) => {
                let start = Instant::now();
                while start.elapsed() < time {
                    std::hint::spin_loop();
                }
            }
            Self::Sleep(time) => thread::sleep(time),
        }
    }
}

/// The options of an acquisition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) mode: Mode,
    /// Make a guard, instead of `acquire` and `release`.
    pub(crate) guarded: bool,
    /// Zero: one attempt. `None`: no deadline.
    pub(crate) timeout: Option<Duration>,
    /// Use a new handle instead of the thread's own.
    pub(crate) fresh: bool,
    pub(crate) without_signals: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// Acquire, perhaps fork a child that inherits the guard, record evidence, release.
    Hold {
        place: usize,
        request: Request,
        hold: Pace,
        child: Option<ChildEnd>,
    },
    /// `acquire` without a matching `release`: any thread may release it.
    UnpairedAcquire {
        place: usize,
        request: Request,
    },
    UnpairedRelease {
        place: usize,
    },
    Rest(Pace),
}

/// What a child does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChildScript {
    /// Before it ends the hold that it inherited.
    pub(crate) before: Pace,
    /// Drop the inherited guard instead of releasing it.
    pub(crate) drops: bool,
    pub(crate) after: Pace,
    pub(crate) turns: usize,
}

/// An endless sequence of turns of one thread.
pub(crate) struct Program {
    random: SmallRng,
    layout: Layout,
    subject: Subject,
    is_child: bool,
}

const UNPAIRED: usize = 4;

impl Program {
    pub(crate) fn new(config: &WorkerConfig, thread: u32) -> Self {
        let thread = u64::from(config.process) << 32 | u64::from(thread);
        let random = SmallRng::seed_from_u64(config.seed ^ thread.wrapping_mul(0x9e37_79b9));
        let WorkerConfig { layout, subject, process, .. } = *config;
        Self { random, layout, subject, is_child: parent_of(process).is_some() }
    }

    pub(crate) fn turn(&mut self) -> Turn {
        let (request, child) = (self.request(), self.child());
        // Forking a child takes a while.
        let hold = if child.is_some() { Pace::Sleep(self.micros(0..2000)) } else { self.pace() };
        let exclusive = Request { mode: Mode::Exclusive, ..request };
        let turn = |place, request| Turn::Hold { place, request, hold, child };
        if self.layout == Layout::Moving {
            return turn(0, request);
        }
        let place = self.random.random_range(0..UNPAIRED);
        let kind = self.random.random_range(0..100);
        if self.subject != Subject::Locket {
            return turn(0, exclusive);
        }
        match kind {
            0..60 => turn(place, request),
            // A release ends the oldest hold. Were that shared, it could be another thread's.
            60..75 => turn(place, Request { guarded: false, ..exclusive }),
            75..82 => {
                let request = Request { guarded: false, ..request.bounded() };
                Turn::UnpairedAcquire { place: UNPAIRED, request }
            }
            82..90 => Turn::UnpairedRelease { place: UNPAIRED },
            90..95 => turn(UNPAIRED, request.bounded()),
            _ => Turn::Rest(hold),
        }
    }

    fn request(&mut self) -> Request {
        let timeout = match self.random.random_range(0..10) {
            0..3 => Some(Duration::ZERO),
            3..7 => Some(self.micros(0..10_000)),
            _ => None,
        };
        let request = Request {
            mode: if self.random.random_ratio(1, 4) { Mode::Shared } else { Mode::Exclusive },
            guarded: true,
            timeout,
            fresh: self.random.random_ratio(1, 8),
            without_signals: self.random.random_ratio(1, 32),
        };
        if self.is_child { request.bounded() } else { request }
    }

    fn child(&mut self) -> Option<ChildEnd> {
        let holds = self.subject.holds_per_child()?;
        let is_born = self.random.random_ratio(1, holds) && !self.is_child;
        let ending =
            if self.random.random_ratio(1, 2) { ChildEnd::Exits } else { ChildEnd::IsKilled };
        is_born.then_some(ending)
    }

    pub(crate) fn child_script(&mut self) -> ChildScript {
        let lingers = Pace::Sleep(self.micros(0..30_000));
        let (before, after) = match self.random.random_range(0..3) {
            0 => (lingers, Pace::Immediate),
            1 => (Pace::Immediate, lingers),
            _ => (Pace::Immediate, Pace::Immediate),
        };
        let (drops, turns) = (self.random.random(), self.random.random_range(0..8));
        ChildScript { before, drops, after, turns }
    }

    fn pace(&mut self) -> Pace {
        match self.random.random_range(0..100) {
            0..50 => Pace::Immediate,
            50..75 => Pace::Yield,
            75..97 => Pace::Spin(self.micros(0..50)),
            _ => Pace::Sleep(self.micros(0..1000)),
        }
    }

    fn micros(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_micros(self.random.random_range(range))
    }
}

impl Request {
    /// Replaces an untimed wait. Where a hold can last as long as its process, a thread must not wait for its end.
    fn bounded(self) -> Self {
        Self { timeout: Some(self.timeout.unwrap_or_default()), ..self }
    }
}

/// The same seed gives the same turns; another seed, process or thread gives others.
#[test]
fn a_seed_determines_the_turns() {
    let turns = |seed, process, thread| {
        let config = WorkerConfig {
            process,
            threads: 2,
            seed,
            until: 0,
            subject: Subject::Locket,
            layout: Layout::Fixed,
            directory: std::path::PathBuf::new(),
        };
        let mut program = Program::new(&config, thread);
        (0..100).map(|_| format!("{:?}", program.turn())).collect::<Vec<_>>()
    };
    assert_eq!(turns(1, 1, 0), turns(1, 1, 0));
    for (seed, process, thread) in [(2, 1, 0), (1, 2, 0), (1, 1, 1)] {
        assert_ne!(turns(1, 1, 0), turns(seed, process, thread));
    }
}
