//! What a thread is going to do: drawn from its seed alone, whatever comes of it.

use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::children::{Fate, parent_of};
use super::orders::Orders;
use super::subject::Subject;
use super::terrain::Terrain;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    Try,
    Timed(Duration),
    Forever,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    AtOnce,
    Yield,
    Spin(Duration),
    Sleep(Duration),
}

impl Pace {
    pub(crate) fn pass(self) {
        match self {
            Self::AtOnce => {}
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

/// How an acquisition asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) shared: bool,
    pub(crate) patience: Patience,
    /// By a handle of its own.
    pub(crate) fresh: bool,
    pub(crate) without_signals: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// A guard, perhaps a child that inherits it, evidence under it, and its end.
    Guarded {
        place: usize,
        ask: Ask,
        hold: Pace,
        child: Option<Fate>,
    },
    /// The same with `acquire` and `release`.
    Kept {
        place: usize,
        ask: Ask,
        hold: Pace,
        child: Option<Fate>,
    },
    /// `acquire`, and somebody will release it.
    WildAcquire {
        place: usize,
        ask: Ask,
    },
    WildRelease {
        place: usize,
    },
    Rest(Pace),
}

/// What a child does with its life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Childhood {
    /// Until it lets go of what it inherited.
    pub(crate) before: Pace,
    /// Without asking whether it may.
    pub(crate) drops: bool,
    pub(crate) after: Pace,
    pub(crate) turns: usize,
}

/// The turns of one thread, for ever.
pub(crate) struct Program {
    random: SmallRng,
    terrain: Terrain,
    subject: Subject,
    is_childs: bool,
}

const WILD: usize = 4;

impl Program {
    pub(crate) fn new(orders: &Orders, thread: u32) -> Self {
        let thread = u64::from(orders.process) << 32 | u64::from(thread);
        let random = SmallRng::seed_from_u64(orders.seed ^ thread.wrapping_mul(0x9e37_79b9));
        let Orders { terrain, subject, process, .. } = *orders;
        Self { random, terrain, subject, is_childs: parent_of(process).is_some() }
    }

    pub(crate) fn turn(&mut self) -> Turn {
        let (ask, child) = (self.ask(), self.child());
        // A child takes a moment to come into the world.
        let hold = if child.is_some() { Pace::Sleep(self.micros(0..2000)) } else { self.pace() };
        if self.terrain == Terrain::Moving {
            return Turn::Guarded { place: 0, ask, hold, child };
        }
        let place = self.random.random_range(0..WILD);
        let kind = self.random.random_range(0..100);
        if self.subject != Subject::Locket {
            return Turn::Guarded { place: 0, ask: Ask { shared: false, ..ask }, hold, child };
        }
        match kind {
            0..60 => Turn::Guarded { place, ask, hold, child },
            // A release ends the oldest hold there is: were it shared, perhaps another thread's.
            60..75 => Turn::Kept { place, ask: Ask { shared: false, ..ask }, hold, child },
            75..82 => Turn::WildAcquire { place: WILD, ask: ask.not_forever() },
            82..90 => Turn::WildRelease { place: WILD },
            90..95 => Turn::Guarded { place: WILD, ask: ask.not_forever(), hold, child },
            _ => Turn::Rest(hold),
        }
    }

    fn ask(&mut self) -> Ask {
        let patience = match self.random.random_range(0..10) {
            0..3 => Patience::Try,
            3..7 => Patience::Timed(self.micros(0..10_000)),
            _ => Patience::Forever,
        };
        let ask = Ask {
            shared: self.random.random_ratio(1, 4),
            patience,
            fresh: self.random.random_ratio(1, 8),
            without_signals: self.random.random_ratio(1, 32),
        };
        if self.is_childs { ask.not_forever() } else { ask }
    }

    fn child(&mut self) -> Option<Fate> {
        let holds = self.subject.holds_a_child()?;
        let is_born = self.random.random_ratio(1, holds) && !self.is_childs;
        let fate = if self.random.random_ratio(1, 2) { Fate::Exits } else { Fate::IsKilled };
        is_born.then_some(fate)
    }

    pub(crate) fn childhood(&mut self) -> Childhood {
        let lingers = Pace::Sleep(self.micros(0..30_000));
        let (before, after) = match self.random.random_range(0..3) {
            0 => (lingers, Pace::AtOnce),
            1 => (Pace::AtOnce, lingers),
            _ => (Pace::AtOnce, Pace::AtOnce),
        };
        let (drops, turns) = (self.random.random(), self.random.random_range(0..8));
        Childhood { before, drops, after, turns }
    }

    fn pace(&mut self) -> Pace {
        match self.random.random_range(0..100) {
            0..50 => Pace::AtOnce,
            50..75 => Pace::Yield,
            75..97 => Pace::Spin(self.micros(0..50)),
            _ => Pace::Sleep(self.micros(0..1000)),
        }
    }

    fn micros(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_micros(self.random.random_range(range))
    }
}

impl Ask {
    /// Where a hold may last as long as its process, nobody waits for its end.
    fn not_forever(self) -> Self {
        let patience = match self.patience {
            Patience::Forever => Patience::Try,
            patience => patience,
        };
        Self { patience, ..self }
    }
}

/// The same seed, the same turns: and not those of another thread, process or seed.
#[test]
fn a_seed_is_a_program() {
    let turns = |seed, process, thread| {
        let orders = Orders {
            process,
            threads: 2,
            seed,
            until: 0,
            subject: Subject::Locket,
            terrain: Terrain::Still,
            directory: std::path::PathBuf::new(),
        };
        let mut program = Program::new(&orders, thread);
        (0..100).map(|_| format!("{:?}", program.turn())).collect::<Vec<_>>()
    };
    assert_eq!(turns(1, 1, 0), turns(1, 1, 0));
    for (seed, process, thread) in [(2, 1, 0), (1, 2, 0), (1, 1, 1)] {
        assert_ne!(turns(1, 1, 0), turns(seed, process, thread));
    }
}
