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

use std::time::Duration;

/// How long to stay away: a few times what it takes to wake a thread on another processor.
pub(crate) const MOMENT: Duration = Duration::from_micros(50);

/// The tick of the coarse clocks of most systems.
const SHORTEST: Duration = Duration::from_millis(4);
/// So long may a waiter be kept out by one who had been alone for a while.
const LONGEST: Duration = Duration::from_millis(256);

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

/// The present tenure of a process. Times are of [`os::coarse_clock`](super::os).
#[derive(Debug)]
pub(crate) struct Courtesy {
    since: Duration,
    tenure: Duration,
    /// The tenure was over at this release.
    over: Option<Duration>,
}

impl Courtesy {
    pub(crate) const fn new(now: Duration) -> Self {
        Self { since: now, tenure: SHORTEST, over: None }
    }

    /// The lock was released.
    pub(crate) fn released(&mut self, now: Duration) {
        self.over = (now.saturating_sub(self.since) >= self.tenure).then_some(now);
    }

    /// Should the acquisition that begins now stay away for a moment? Once for each tenure, and not
    /// if it is some time since the release.
    pub(crate) fn is_due(&mut self, now: impl FnOnce() -> Duration) -> bool {
        self.over.take().is_some_and(|released| released == now())
    }

    /// The lock was taken.
    pub(crate) fn entered(&mut self, how: Entrance, now: impl FnOnce() -> Duration) {
        self.tenure = match how {
            Entrance::AtOnce => return,
            Entrance::InVain => LONGEST.min(self.tenure * 2),
            Entrance::Queued => SHORTEST,
        };
        self.since = now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that holds the lock for a millisecond at a time and is back at once.
    struct Busy {
        courtesy: Courtesy,
        now: Duration,
    }

    impl Busy {
        fn new() -> Self {
            Self { courtesy: Courtesy::new(Duration::ZERO), now: Duration::ZERO }
        }

        /// How long it has the lock until it gives way.
        fn tenure(&mut self, then: Entrance) -> Duration {
            let mut tenure = Duration::ZERO;
            loop {
                tenure += Duration::from_millis(1);
                self.now += Duration::from_millis(1);
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
        let mut busy = Busy::new();
        busy.courtesy.released(SHORTEST);
        assert!(!busy.courtesy.is_due(|| SHORTEST * 2));
        assert!(!busy.courtesy.is_due(|| SHORTEST), "it was due once");
    }
}
