//! How long a process may take the lock again and again before it yields to waiters.
//!
//! A release wakes the first waiter. But the process that has released may lock again before that waiter
//! runs, and the kernel grants the lock to the faster one (`flock_lock_inode` in fs/locks.c does not look
//! for waiters). A process that releases and acquires in a loop could keep the lock forever. So at the end
//! of a tenure the process sleeps for a moment, right after a release: long enough, as a rule, for a
//! waiter to wake up and take the lock. On a busy machine the waiter may be too late even so, and waits
//! for the end of the next tenure. That makes the lock eventually fair, with no bound that is certain.
//!
//! A tenure is some milliseconds, or one hold if that is long: to hand the lock over costs little
//! beside it, while every waiter that is woken in vain goes back to sleep behind others. A process that
//! did without the lock for half a tenure left it to others in that time, and begins a new tenure.
//!
//! The kernel does not tell cheaply whether a process waits. If the lock is free after the moment, there
//! was no waiter, most likely, and the next tenure is twice as long: a process alone yields less and less
//! often, down to a limit.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

/// How long to yield: a few times what it takes to wake a thread on another processor.
pub(crate) const MOMENT: Duration = Duration::from_micros(100);

/// Returns whether an acquisition with this much time left may yield for a [`MOMENT`]: with no deadline, or
/// more than five times the moment before it. A sleep lasts longer than it should by
/// the thread's timer slack, 50 microseconds by default (`PR_SET_TIMERSLACK` in prctl(2)), and the
/// time until a processor is free.
pub(crate) fn is_time_enough(remaining: Option<Duration>) -> bool {
    remaining.is_none_or(|left| left > MOMENT * 5)
}

// Times are microseconds.
const SHORTEST: usize = 4_000;
/// The longest tenure, that of a process that seems to be alone. A yield takes 150 microseconds with the timer
/// slack, so one at the end of each tenure costs half a hundredth of the turns.
const LONGEST: usize = 32_000;
/// Up to here a tenure is that of a process among others, which one long hold ends. It is worth an
/// exact look at the clock.
const AMONG_OTHERS: usize = 2 * SHORTEST;
/// A hold that is long beside the tenth of a millisecond that a hand-over may take.
const LONG_HOLD: usize = 500;

/// The number of paths that are remembered after their last handle: more than a program uses in turn,
/// and few enough to search one by one.
pub(crate) const MOST_REMEMBERED: usize = 64;

/// How an acquisition got its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// It was free.
    AtOnce,
    /// It was still free after this process had yielded.
    InVain,
    /// It was waited for.
    Queued,
}

/// Which clock to look at: the same time, but for how late they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    Exact,
    /// Some milliseconds. It costs next to nothing.
    Coarse,
}

/// The present tenure of a process.
///
/// Threads change it without synchronization: at worst one of them yields a little early or late.
#[derive(Debug)]
pub(crate) struct Courtesy {
    since: AtomicUsize,
    tenure: AtomicUsize,
    /// When the lock was last released.
    released: AtomicUsize,
    /// The tenure was over then.
    over: AtomicBool,
}

impl Courtesy {
    pub(crate) fn new(clock: impl FnOnce(Clock) -> usize) -> Self {
        let now = clock(clock_for(SHORTEST));
        Self {
            since: AtomicUsize::new(now),
            tenure: AtomicUsize::new(SHORTEST),
            released: AtomicUsize::new(now),
            over: AtomicBool::new(false),
        }
    }

    /// The lock was released, and had been taken in this way.
    pub(crate) fn released(&self, how: Entrance, clock: impl FnOnce(Clock) -> usize) {
        let tenure = self.tenure.load(Relaxed);
        let now = clock(clock_for(tenure));
        let is_first_hold = how != Entrance::AtOnce;
        let enough = if is_first_hold && tenure <= AMONG_OTHERS { LONG_HOLD } else { tenure };
        if now.wrapping_sub(self.since.load(Relaxed)) >= enough {
            self.over.store(true, Relaxed);
        }
        self.released.store(now, Relaxed);
    }

    /// Returns whether the acquisition that begins now is to yield: once for each tenure, and right
    /// after the release.
    pub(crate) fn is_due(&self, clock: impl FnOnce(Clock) -> usize) -> bool {
        let tenure = self.tenure.load(Relaxed);
        let now = clock(clock_for(tenure));
        let away = now.wrapping_sub(self.released.load(Relaxed));
        let is_over = self.over.load(Relaxed) && self.over.swap(false, Relaxed);
        if away >= tenure / 2 {
            self.since.store(now, Relaxed);
        }
        is_over && away < MOMENT.as_micros() as usize
    }

    /// When the lock was last released, in microseconds of the clock.
    pub(crate) fn last_released(&self) -> usize {
        self.released.load(Relaxed)
    }

    /// The lock was taken.
    pub(crate) fn entered(&self, how: Entrance, clock: impl FnOnce(Clock) -> usize) {
        let tenure = match how {
            Entrance::AtOnce => return,
            Entrance::InVain => LONGEST.min(self.tenure.load(Relaxed) * 2),
            Entrance::Queued => SHORTEST,
        };
        self.tenure.store(tenure, Relaxed);
        self.since.store(clock(clock_for(tenure)), Relaxed);
    }
}

const fn clock_for(tenure: usize) -> Clock {
    if tenure <= AMONG_OTHERS { Clock::Exact } else { Clock::Coarse }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that is back as soon as it has released.
    struct Busy {
        courtesy: Courtesy,
        now: usize,
        /// How long it has the lock at a time.
        hold: usize,
    }

    impl Busy {
        fn holding(hold: usize) -> Self {
            Self { courtesy: Courtesy::new(|_| 0), now: 0, hold }
        }

        /// Returns how long it has had the lock when it yields, having got it in this way.
        fn tenure(&mut self, mut how: Entrance) -> usize {
            self.courtesy.entered(how, |_| self.now);
            let mut tenure = 0;
            loop {
                tenure += self.hold;
                self.now += self.hold;
                self.courtesy.released(how, |_| self.now);
                if self.courtesy.is_due(|_| self.now) {
                    return tenure;
                }
                how = Entrance::AtOnce;
                self.courtesy.entered(how, |_| self.now);
            }
        }
    }

    #[test]
    fn among_others_every_tenure_is_short() {
        let mut busy = Busy::holding(10);
        for _ in 0..10 {
            assert_eq!(busy.tenure(Entrance::Queued), SHORTEST);
        }
    }

    #[test]
    fn among_others_a_long_hold_is_a_tenure() {
        let mut busy = Busy::holding(LONG_HOLD);
        for _ in 0..10 {
            assert_eq!(busy.tenure(Entrance::Queued), LONG_HOLD);
        }
        // The next one had not woken up in time. It is let in now.
        assert_eq!(busy.tenure(Entrance::InVain), LONG_HOLD);
    }

    #[test]
    fn alone_it_pauses_ever_more_rarely() {
        for hold in [10, LONG_HOLD] {
            let mut busy = Busy::holding(hold);
            busy.tenure(Entrance::AtOnce);
            let tenures = [(); 8].map(|()| busy.tenure(Entrance::InVain));
            assert_eq!(tenures[1..], [4, 8, 8, 8, 8, 8, 8].map(|times| times * SHORTEST));
            assert_eq!(busy.tenure(Entrance::InVain), LONGEST);
        }
    }

    /// It looks at the exact clock for a few milliseconds only.
    #[test]
    fn alone_it_looks_at_the_clock_that_costs_nothing() {
        let mut busy = Busy::holding(10);
        let last = [(); 3].map(|()| busy.tenure(Entrance::InVain))[2];
        assert_eq!(last, 8 * SHORTEST);
        busy.courtesy.released(Entrance::AtOnce, |clock| {
            assert_eq!(clock, Clock::Coarse);
            busy.now
        });
    }

    /// A clock that is late says less than one that was exact: a short time would be endless.
    #[test]
    fn a_new_one_is_not_over() {
        let courtesy = Courtesy::new(|clock| if clock == Clock::Exact { 5_000 } else { 0 });
        courtesy.released(Entrance::AtOnce, |clock| {
            assert_eq!(clock, Clock::Exact);
            5_001
        });
        assert!(!courtesy.is_due(|_| 5_002));
    }

    /// To the microsecond: back within less than the moment, it pauses.
    #[test]
    fn a_process_that_was_away_for_the_moment_does_not_pause_again() {
        let moment = MOMENT.as_micros() as usize;
        for (away, pauses) in [(0, true), (moment - 1, true), (moment, false), (moment + 1, false)]
        {
            let courtesy = Courtesy::new(|_| 0);
            courtesy.released(Entrance::AtOnce, |_| SHORTEST);
            assert_eq!(courtesy.is_due(|_| SHORTEST + away), pauses, "{away}");
        }
    }

    #[test]
    fn near_the_deadline_it_does_not_pause() {
        let (limit, step) = (MOMENT * 5, Duration::from_nanos(1));
        for left in [Duration::ZERO, MOMENT, limit.saturating_sub(step), limit] {
            assert!(!is_time_enough(Some(left)), "{left:?}");
        }
        for left in [Some(limit + step), Some(limit * 2), Some(Duration::MAX), None] {
            assert!(is_time_enough(left), "{left:?}");
        }
    }

    #[test]
    fn a_process_that_comes_back_later_does_not_pause() {
        let courtesy = Courtesy::new(|_| 0);
        courtesy.released(Entrance::AtOnce, |_| SHORTEST);
        assert!(!courtesy.is_due(|_| SHORTEST + 1_000));
        assert!(!courtesy.is_due(|_| SHORTEST), "it was due once");
    }

    /// Now and then, and then several times in a row.
    #[test]
    fn a_process_that_was_away_does_not_pause() {
        let courtesy = Courtesy::new(|_| 0);
        for burst in 1..100 {
            let mut now = burst * SHORTEST;
            while now < burst * SHORTEST + SHORTEST / 2 {
                assert!(!courtesy.is_due(|_| now));
                courtesy.entered(Entrance::AtOnce, |_| now);
                now += 10;
                courtesy.released(Entrance::AtOnce, |_| now);
            }
        }
    }
}
