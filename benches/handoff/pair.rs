//! A waiter, and the holders that release the lock for it.

use std::thread;
use std::time::Duration;

use rand::RngExt;

use crate::Bench;
use crate::bench::processes::Worker;
use crate::bench::ways::Way;
use crate::bench::{Result, sane, sys};

/// How the holder releases the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Unlocks, with the waiter's way of locking.
    Unlock,
    /// Closes the descriptor without unlocking it.
    Close,
    /// Is killed: the time is taken by the process that kills it.
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

/// The processors of holder and waiter. They are fixed: the scheduler's choice stays the same during a run and differs
/// between runs and ways, and its effect is larger than that of any way of locking.
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

    /// Returns the holder's processor and the waiter's.
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

    /// Returns the nanoseconds from the release to the grant.
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
            // A poller may be at any point between two attempts, which are 50 ms apart.
            let phase = rand::rng().random_range(0..50_000_000);
            thread::sleep(Duration::from_nanos(phase));
        }
        let released = match ending {
            Ending::Unlock => holder.ask("unlock")?.parse()?,
            Ending::Close => holder.ask("close")?.parse()?,
            Ending::Kill => holder.kill()?,
        };
        let [granted, ..] = self.waiter.numbers::<3>()?;
        sane(granted > released, || format!("{ending:?}: granted {granted}, released {released}"))?;
        Ok((granted - released) as f64)
    }
}

/// Starts a holder that locks by plain `flock`, independent of the waiter's way.
fn plain(bench: Bench<'_>, way: Way) -> Result<Worker> {
    Worker::start(Way::Flock, &bench.lock_file_of(way), bench.python)
}
