//! A waiter, and those who let go of the lock for it.

use std::thread;
use std::time::Duration;

use rand::RngExt;

use crate::Bench;
use crate::bench::processes::Worker;
use crate::bench::ways::Way;
use crate::bench::{Result, sane, sys};

/// How the holder lets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// In the same way as the waiter waits.
    Unlock,
    /// Closes the descriptor, without unlocking it first.
    Close,
    /// Is killed: the clock is the killer's.
    Kill,
}

impl Ending {
    pub(crate) const ALL: [Self; 3] = [Self::Unlock, Self::Close, Self::Kill];

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Unlock => "unlocks",
            Self::Close => "closes",
            Self::Kill => "is killed",
        }
    }
}

/// Where they run. The scheduler's choice would be the same all through a run, and then differ from
/// way to way and from run to run, by more than any way of locking does: so it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    SameCore,
    TwoCores,
}

impl Place {
    pub(crate) const ALL: [Self; 2] = [Self::SameCore, Self::TwoCores];

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::SameCore => "same core",
            Self::TwoCores => "two cores",
        }
    }

    /// The holder's processor and the waiter's.
    fn processors(self) -> Result<(usize, usize)> {
        let processors = sys::processors()?;
        match (self, processors.as_slice()) {
            (Self::SameCore, [.., last]) => Ok((*last, *last)),
            (Self::TwoCores, [.., holder, waiter]) => Ok((*holder, *waiter)),
            _ => Err("this benchmark needs two processors".into()),
        }
    }
}

pub(crate) struct Pair<'a> {
    bench: Bench<'a>,
    pub(crate) way: Way,
    pub(crate) place: Place,
    waiter: Worker,
    unlocker: Worker,
    closer: Worker,
}

impl<'a> Pair<'a> {
    pub(crate) fn start(bench: Bench<'a>, way: Way, place: Place) -> Result<Self> {
        let (waiter, unlocker) = (bench.start(way)?, bench.start(way)?);
        let pair = Self { bench, way, place, waiter, unlocker, closer: plain(bench, way)? };
        let (holder, waiter) = place.processors()?;
        sys::pin(pair.waiter.pid(), waiter)?;
        sys::pin(pair.unlocker.pid(), holder)?;
        sys::pin(pair.closer.pid(), holder)?;
        Ok(pair)
    }

    /// Nanoseconds from the holder's clock to the waiter's.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn hand_over(&mut self, ending: Ending) -> Result<f64> {
        let mut victim;
        let holder = match ending {
            Ending::Unlock => &mut self.unlocker,
            Ending::Close => &mut self.closer,
            Ending::Kill => {
                victim = plain(self.bench, self.way)?;
                sys::pin(victim.pid(), self.place.processors()?.0)?;
                &mut victim
            }
        };
        holder.ask("hold")?;
        self.waiter.wait_with("wait")?;
        if !self.way.queues() {
            // Who asks every 50 ms may be anywhere between two questions.
            let phase = rand::rng().random_range(0..50_000_000);
            thread::sleep(Duration::from_nanos(phase));
        }
        let let_go = match ending {
            Ending::Unlock => holder.ask("unlock")?.parse()?,
            Ending::Close => holder.ask("close")?.parse()?,
            Ending::Kill => holder.kill()?,
        };
        let [granted, ..] = self.waiter.numbers::<3>()?;
        sane(granted > let_go, || format!("{ending:?}: granted {granted}, let go {let_go}"))?;
        Ok((granted - let_go) as f64)
    }
}

/// A holder that locks by plain `flock`, whatever the waiter does.
fn plain(bench: Bench<'_>, way: Way) -> Result<Worker> {
    Worker::start(Way::Flock, &bench.lock_file_of(way), bench.python)
}
