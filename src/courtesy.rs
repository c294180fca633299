//! How long a process may go on taking the lock before it gives way to those who wait.
//!
//! A release wakes the first waiter. But whoever released may be back before that one runs, and the
//! kernel lets the faster one in: a process that releases and acquires in a loop could keep a lock
//! for as long as it likes, with everybody else asleep in the queue. So after a tenure of some
//! milliseconds it stays away for a moment, right after a release: just long enough for a waiter to
//! wake up and take the lock.
//!
//! Nobody can tell whether anybody waits. If the lock is still free after that moment, nobody did,
//! most likely, and the next tenure is twice as long: who is alone pauses ever more rarely.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How long to stay away: a few times what it takes to wake a thread on another processor.
pub(crate) const MOMENT: Duration = Duration::from_micros(50);

/// Milliseconds: the tick of the coarse clocks of most systems.
const SHORTEST: usize = 4;
/// So long may a waiter be kept out by one who had been alone for a while.
const LONGEST: usize = 256;

/// How an acquisition came by its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// It was free.
    AtOnce,
    /// It was still free after this process had stayed away for a moment.
    InVain,
    /// It was waited for.
    Queued,
}

/// The present tenure of a process. Times are milliseconds of [`os::coarse_clock`](super::os).
///
/// Threads change it without regard for each other: whatever comes of that, somebody gives way a
/// little early or late.
#[derive(Debug)]
pub(crate) struct Courtesy {
    since: AtomicUsize,
    tenure: AtomicUsize,
    /// The tenure was over at this release.
    over: AtomicUsize,
}

/// In [`Courtesy::over`]: it is not over.
const NOT_OVER: usize = usize::MAX;

impl Courtesy {
    pub(crate) const fn new(now: usize) -> Self {
        Self {
            since: AtomicUsize::new(now),
            tenure: AtomicUsize::new(SHORTEST),
            over: AtomicUsize::new(NOT_OVER),
        }
    }

    /// The lock was released.
    pub(crate) fn released(&self, now: usize) {
        let so_far = now.wrapping_sub(self.since.load(Relaxed));
        if so_far >= self.tenure.load(Relaxed) {
            self.over.store(now, Relaxed);
        }
    }

    /// Should the acquisition that begins now stay away for a moment? Once for each tenure, and not
    /// if it is some time since the release.
    pub(crate) fn is_due(&self, now: impl FnOnce() -> usize) -> bool {
        self.over.load(Relaxed) != NOT_OVER && self.over.swap(NOT_OVER, Relaxed) == now()
    }

    /// The lock was taken.
    pub(crate) fn entered(&self, how: Entrance, now: impl FnOnce() -> usize) {
        let tenure = match how {
            Entrance::AtOnce => return,
            Entrance::InVain => LONGEST.min(self.tenure.load(Relaxed) * 2),
            Entrance::Queued => SHORTEST,
        };
        self.tenure.store(tenure, Relaxed);
        self.since.store(now(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that holds the lock for a millisecond at a time and is back at once.
    struct Busy {
        courtesy: Courtesy,
        now: usize,
    }

    impl Busy {
        fn new() -> Self {
            Self { courtesy: Courtesy::new(0), now: 0 }
        }

        /// How long it has the lock until it gives way.
        fn tenure(&mut self, then: Entrance) -> usize {
            let mut tenure = 0;
            loop {
                tenure += 1;
                self.now += 1;
                self.courtesy.released(self.now);
                if self.courtesy.is_due(|| self.now) {
                    self.courtesy.entered(then, || self.now);
                    return tenure;
                }
                self.courtesy.entered(Entrance::AtOnce, || self.now);
            }
        }
    }

    #[test]
    fn among_others_every_tenure_is_short() {
        let mut busy = Busy::new();
        for _ in 0..10 {
            assert_eq!(busy.tenure(Entrance::Queued), SHORTEST);
        }
    }

    #[test]
    fn alone_it_pauses_ever_more_rarely() {
        let mut busy = Busy::new();
        let tenures = [(); 8].map(|()| busy.tenure(Entrance::InVain));
        assert_eq!(tenures, [1, 2, 4, 8, 16, 32, 64, 64].map(|times| times * SHORTEST));
        assert_eq!(busy.tenure(Entrance::Queued), LONGEST);
        assert_eq!(busy.tenure(Entrance::Queued), SHORTEST);
    }

    #[test]
    fn who_comes_back_later_does_not_pause() {
        let busy = Busy::new();
        busy.courtesy.released(SHORTEST);
        assert!(!busy.courtesy.is_due(|| SHORTEST * 2));
        assert!(!busy.courtesy.is_due(|| SHORTEST), "it was due once");
    }
}
