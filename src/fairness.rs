//! How long a process may re-acquire the lock in a loop before it yields to waiters (eventual fairness).
//!
//! A release wakes the first waiter. But the process that has released may lock again before that waiter
//! runs, and the kernel grants the lock to the faster one (`flock_lock_inode` in fs/locks.c, Linux 6.1, does not look
//! for waiters). A process that releases and acquires in a loop could keep the lock forever. So at the end
//! of a *burst* the process sleeps for [`YIELD_TIME`], right after a release: as a rule that is long enough for a
//! waiter to wake up and acquire the lock. On a busy machine the waiter may still be too late, and waits
//! for the end of the next burst. That makes the lock eventually fair, without a guaranteed bound.
//!
//! A burst is some milliseconds, or one hold if that is long: the hand-over of the lock costs little
//! beside it, while a waiter that is woken in vain goes back to sleep behind the others. A process that
//! did not hold the lock for half a burst left it to others in that time, and begins a new burst.
//!
//! The kernel has no cheap way to tell whether another process waits. If the lock is still free after the yield, there
//! was no waiter, most likely, and the next burst is twice as long, up to a limit: a process that is alone yields less and
//! less often.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use crate::os::platform::Clock;

/// How long to yield: a few times what it takes to wake a thread on another processor.
pub(crate) const YIELD_TIME: Duration = Duration::from_micros(100);

/// Returns whether an acquisition with this much time left may yield: with no deadline, or
/// more than five times the yield before it. A sleep lasts longer than it should by
/// the thread's timer slack, 50 microseconds by default (`PR_SET_TIMERSLACK` in prctl(2)), and the
/// time until a processor is free.
pub(crate) fn has_time_to_yield(remaining: Option<Duration>) -> bool {
    remaining.is_none_or(|left| left > YIELD_TIME * 5)
}

// Times are microseconds.
const SHORTEST: usize = 4_000;
/// The longest burst, that of a process that seems to be alone. A yield takes 150 microseconds with the timer
/// slack, so one at the end of each burst costs half a percent of the acquisitions.
const LONGEST: usize = 32_000;
/// Up to here a burst is that of a process with competitors, which one long hold ends. It is measured by the
/// exact clock.
const CONTENDED_BURST: usize = 2 * SHORTEST;
/// A hold that is long beside the tenth of a millisecond that a hand-over may take.
const LONG_HOLD: usize = 500;

/// The number of paths that are remembered after their last handle: more than a program uses in turn,
/// and few enough to search one by one.
pub(crate) const MAX_REMEMBERED: usize = 64;

/// How an acquisition got its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acquired {
    /// At the first attempt.
    Uncontended,
    /// At the first attempt, after this process had yielded: there was no waiter, most likely.
    AfterYield,
    /// After a wait.
    AfterWait,
}

/// The present burst of a process.
///
/// Threads change it with relaxed atomics and no order between them: at worst one of them yields a little early or late.
#[derive(Debug)]
pub(crate) struct Fairness {
    since: AtomicUsize,
    burst: AtomicUsize,
    /// When the lock was last released.
    released: AtomicUsize,
    /// Whether the burst was over then.
    over: AtomicBool,
}

impl Fairness {
    pub(crate) fn new(clock: impl FnOnce(Clock) -> usize) -> Self {
        let now = clock(clock_for(SHORTEST));
        Self {
            since: AtomicUsize::new(now),
            burst: AtomicUsize::new(SHORTEST),
            released: AtomicUsize::new(now),
            over: AtomicBool::new(false),
        }
    }

    /// Records that the lock was acquired.
    pub(crate) fn acquired(&self, how: Acquired, clock: impl FnOnce(Clock) -> usize) {
        let burst = match how {
            Acquired::Uncontended => return,
            Acquired::AfterYield => LONGEST.min(self.burst.load(Relaxed) * 2),
            Acquired::AfterWait => SHORTEST,
        };
        self.burst.store(burst, Relaxed);
        self.since.store(clock(clock_for(burst)), Relaxed);
    }

    /// Records that the lock was released, which had been acquired in this way.
    pub(crate) fn released(&self, how: Acquired, clock: impl FnOnce(Clock) -> usize) {
        let burst = self.burst.load(Relaxed);
        let now = clock(clock_for(burst));
        let is_first_hold = how != Acquired::Uncontended;
        let enough = if is_first_hold && burst <= CONTENDED_BURST { LONG_HOLD } else { burst };
        if now.wrapping_sub(self.since.load(Relaxed)) >= enough {
            self.over.store(true, Relaxed);
        }
        self.released.store(now, Relaxed);
    }

    /// Returns whether the acquisition that begins now must yield: once for each burst, and right
    /// after the release.
    pub(crate) fn should_yield(&self, clock: impl FnOnce(Clock) -> usize) -> bool {
        let burst = self.burst.load(Relaxed);
        let now = clock(clock_for(burst));
        let away = now.wrapping_sub(self.released.load(Relaxed));
        let is_over = self.over.load(Relaxed) && self.over.swap(false, Relaxed);
        if away >= burst / 2 {
            self.since.store(now, Relaxed);
        }
        is_over && away < YIELD_TIME.as_micros() as usize
    }

    /// Returns when the lock was last released, in microseconds of the clock.
    pub(crate) fn last_released(&self) -> usize {
        self.released.load(Relaxed)
    }
}

const fn clock_for(burst: usize) -> Clock {
    if burst <= CONTENDED_BURST { Clock::Exact } else { Clock::Coarse }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that is back as soon as it has released.
    struct Busy {
        fairness: Fairness,
        now: usize,
        /// How long it has the lock at a time.
        hold: usize,
    }

    impl Busy {
        fn holding(hold: usize) -> Self {
            Self { fairness: Fairness::new(|_| 0), now: 0, hold }
        }

        /// Returns how long it has had the lock when it yields, having got it in this way.
        fn burst(&mut self, mut how: Acquired) -> usize {
            self.fairness.acquired(how, |_| self.now);
            let mut burst = 0;
            loop {
                burst += self.hold;
                self.now += self.hold;
                self.fairness.released(how, |_| self.now);
                if self.fairness.should_yield(|_| self.now) {
                    return burst;
                }
                how = Acquired::Uncontended;
                self.fairness.acquired(how, |_| self.now);
            }
        }
    }

    #[test]
    fn among_others_every_tenure_is_short() {
        let mut busy = Busy::holding(10);
        for _ in 0..10 {
            assert_eq!(busy.burst(Acquired::AfterWait), SHORTEST);
        }
    }

    #[test]
    fn among_others_a_long_hold_is_a_tenure() {
        let mut busy = Busy::holding(LONG_HOLD);
        for _ in 0..10 {
            assert_eq!(busy.burst(Acquired::AfterWait), LONG_HOLD);
        }
        // The next one had not woken up in time. It is let in now.
        assert_eq!(busy.burst(Acquired::AfterYield), LONG_HOLD);
    }

    #[test]
    fn alone_it_pauses_ever_more_rarely() {
        for hold in [10, LONG_HOLD] {
            let mut busy = Busy::holding(hold);
            busy.burst(Acquired::Uncontended);
            let tenures = [(); 8].map(|()| busy.burst(Acquired::AfterYield));
            assert_eq!(tenures[1..], [4, 8, 8, 8, 8, 8, 8].map(|times| times * SHORTEST));
            assert_eq!(busy.burst(Acquired::AfterYield), LONGEST);
        }
    }

    /// It looks at the exact clock for a few milliseconds only.
    #[test]
    fn alone_it_looks_at_the_clock_that_costs_nothing() {
        let mut busy = Busy::holding(10);
        let last = [(); 3].map(|()| busy.burst(Acquired::AfterYield))[2];
        assert_eq!(last, 8 * SHORTEST);
        busy.fairness.released(Acquired::Uncontended, |clock| {
            assert_eq!(clock, Clock::Coarse);
            busy.now
        });
    }

    /// A clock that is late says less than one that was exact: a short time would be endless.
    #[test]
    fn a_new_one_is_not_over() {
        let fairness = Fairness::new(|clock| if clock == Clock::Exact { 5_000 } else { 0 });
        fairness.released(Acquired::Uncontended, |clock| {
            assert_eq!(clock, Clock::Exact);
            5_001
        });
        assert!(!fairness.should_yield(|_| 5_002));
    }

    /// To the microsecond: back within less than the moment, it pauses.
    #[test]
    fn a_process_that_was_away_for_the_moment_does_not_pause_again() {
        let moment = YIELD_TIME.as_micros() as usize;
        for (away, pauses) in [(0, true), (moment - 1, true), (moment, false), (moment + 1, false)]
        {
            let fairness = Fairness::new(|_| 0);
            fairness.released(Acquired::Uncontended, |_| SHORTEST);
            assert_eq!(fairness.should_yield(|_| SHORTEST + away), pauses, "{away}");
        }
    }

    #[test]
    fn near_the_deadline_it_does_not_pause() {
        let (limit, step) = (YIELD_TIME * 5, Duration::from_nanos(1));
        for left in [Duration::ZERO, YIELD_TIME, limit.saturating_sub(step), limit] {
            assert!(!has_time_to_yield(Some(left)), "{left:?}");
        }
        for left in [Some(limit + step), Some(limit * 2), Some(Duration::MAX), None] {
            assert!(has_time_to_yield(left), "{left:?}");
        }
    }

    #[test]
    fn a_process_that_comes_back_later_does_not_pause() {
        let fairness = Fairness::new(|_| 0);
        fairness.released(Acquired::Uncontended, |_| SHORTEST);
        assert!(!fairness.should_yield(|_| SHORTEST + 1_000));
        assert!(!fairness.should_yield(|_| SHORTEST), "it was due once");
    }

    /// Now and then, and then several times in a row.
    #[test]
    fn a_process_that_was_away_does_not_pause() {
        let fairness = Fairness::new(|_| 0);
        for burst in 1..100 {
            let mut now = burst * SHORTEST;
            while now < burst * SHORTEST + SHORTEST / 2 {
                assert!(!fairness.should_yield(|_| now));
                fairness.acquired(Acquired::Uncontended, |_| now);
                now += 10;
                fairness.released(Acquired::Uncontended, |_| now);
            }
        }
    }
}
