//! The signals that have come to the canary and that locket has not asked about yet.
//!
//! A real-time signal waits in locket's queue until locket asks about it, and the kernel keeps each of them, up to
//! `RLIMIT_SIGPENDING` for all processes of the user (getrlimit(2)). So the canary has room for as many. Where there is no
//! room the oldest is forgotten: locket passes it on once more, and loses nothing.
//!
//! The room is made before the canary is forked: afterwards nothing may be allocated (signal-safety(7)). The pages that
//! are never written to cost no memory.

use std::ffi::c_int;

use libc::pid_t;

/// No more are remembered, where the system has no limit: 10 MiB of addresses.
const MOST: usize = 1 << 18;

/// As many at least, where the limit is lower: it may be raised later.
const LEAST: usize = 1 << 10;

/// The first of the real-time signals, of which the system keeps each.
pub(super) const FIRST_QUEUED: c_int = 32;

/// How many numbers there are for them (signal(7): up to 64; on MIPS up to 127).
const QUEUED: usize = 96;

/// No entry.
const NONE: u32 = u32::MAX;

/// What tells a signal from another, and when it came (microseconds). What was sent to several processes at once is the
/// same for all of them: its sender, how it was sent, and its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeenSignal {
    pub(super) number: c_int,
    pub(super) code: c_int,
    pub(super) sender: pid_t,
    pub(super) value: u64,
    pub(super) at: u64,
}

impl SeenSignal {
    /// Is it the other signal, at the other's time or later?
    fn matches(&self, other: &Self) -> bool {
        (self.number, self.code, self.sender, self.value)
            == (other.number, other.code, other.sender, other.value)
            && self.at >= other.at
    }
}

/// As locket may be busy with others, the standard signals of one number have their room, and the real-time signals
/// have theirs.
pub(super) struct Seen {
    standard: [Latest; Self::STANDARD],
    queued: Queues,
}

impl Seen {
    const STANDARD: usize = 32;

    /// Has room for as many as the system lets wait. Allocates.
    pub(super) fn new() -> Self {
        Self::with_room(most_pending().clamp(LEAST, MOST))
    }

    fn with_room(room: usize) -> Self {
        Self { standard: [Latest::EMPTY; Self::STANDARD], queued: Queues::with_room(room) }
    }

    /// Does not allocate.
    pub(super) fn add(&mut self, signal: SeenSignal) {
        match self.standard(signal.number) {
            Some(latest) => latest.add(signal),
            None => self.queued.add(signal),
        }
    }

    /// Was there such a signal, at its time or later? Now there is one less.
    pub(super) fn forget(&mut self, signal: &SeenSignal) -> bool {
        match self.standard(signal.number) {
            Some(latest) => latest.forget(signal),
            None => self.queued.forget(signal),
        }
    }

    fn standard(&mut self, number: c_int) -> Option<&mut Latest> {
        self.standard.get_mut(usize::try_from(number).ok()?)
    }
}

#[cfg(target_os = "linux")]
fn most_pending() -> usize {
    use rustix::process::{Resource, getrlimit};

    let limit = getrlimit(Resource::Sigpending).current;
    limit.map_or(MOST, |limit| usize::try_from(limit).unwrap_or(MOST))
}

/// There are no real-time signals.
#[cfg(not(target_os = "linux"))]
fn most_pending() -> usize {
    0
}

/// The latest standard signals of a number, in no order. The system keeps one of them at a time.
#[derive(Clone, Copy)]
struct Latest {
    signals: [Option<SeenSignal>; Self::ROOM],
    next: usize,
}

impl Latest {
    const ROOM: usize = 4;
    const EMPTY: Self = Self { signals: [None; Self::ROOM], next: 0 };

    fn add(&mut self, signal: SeenSignal) {
        self.signals[self.next] = Some(signal);
        self.next = (self.next + 1) % Self::ROOM;
    }

    fn forget(&mut self, signal: &SeenSignal) -> bool {
        let is_it = |it: &&mut Option<SeenSignal>| it.is_some_and(|it| it.matches(signal));
        self.signals.iter_mut().find(is_it).and_then(Option::take).is_some()
    }
}

/// The real-time signals: a queue for each number, as the kernel has it, since locket gets those of one number in their
/// order. All queues share one room.
struct Queues {
    /// Its capacity is the room.
    entries: Vec<Entry>,
    /// The first entry that is free, if one was ever used.
    free: u32,
    by_number: [Queue; QUEUED],
}

struct Entry {
    signal: SeenSignal,
    /// The next one of the queue, or the next free one.
    next: u32,
}

#[derive(Clone, Copy)]
struct Queue {
    first: u32,
    last: u32,
}

impl Queues {
    /// Has less room where there is no memory for it.
    fn with_room(mut room: usize) -> Self {
        let mut entries = Vec::new();
        while entries.try_reserve_exact(room).is_err() && room > 0 {
            room /= 2;
        }
        Self { entries, free: NONE, by_number: [Queue { first: NONE, last: NONE }; QUEUED] }
    }

    fn add(&mut self, signal: SeenSignal) {
        let Some(number) = index(signal.number) else { return };
        let Some(at) = self.room() else { return };
        let entry = Entry { signal, next: NONE };
        match self.entries.get_mut(at as usize) {
            Some(place) => *place = entry,
            None => self.entries.push(entry),
        }
        let queue = &mut self.by_number[number];
        let last = std::mem::replace(&mut queue.last, at);
        match self.entries.get_mut(last as usize) {
            Some(before) => before.next = at,
            None => queue.first = at,
        }
    }

    /// A place that is free. If there is none, the oldest signal is forgotten.
    fn room(&mut self) -> Option<u32> {
        if self.free == NONE {
            if self.entries.len() < self.entries.capacity() {
                return u32::try_from(self.entries.len()).ok();
            }
            let age = |number: &usize| {
                self.entries.get(self.by_number[*number].first as usize).map(|it| it.signal.at)
            };
            let oldest = (0..QUEUED).filter(|it| age(it).is_some()).min_by_key(age)?;
            self.take_after(oldest, NONE);
        }
        let at = self.free;
        self.free = self.entries.get(at as usize)?.next;
        Some(at)
    }

    fn forget(&mut self, signal: &SeenSignal) -> bool {
        let Some(number) = index(signal.number) else { return false };
        let (mut before, mut at) = (NONE, self.by_number[number].first);
        while let Some(entry) = self.entries.get(at as usize) {
            if entry.signal.matches(signal) {
                self.take_after(number, before);
                return true;
            }
            (before, at) = (at, entry.next);
        }
        false
    }

    /// Frees the entry of a queue that follows this one, or the first.
    fn take_after(&mut self, number: usize, before: u32) {
        let queue = &mut self.by_number[number];
        let at = self.entries.get(before as usize).map_or(queue.first, |it| it.next);
        let Some(entry) = self.entries.get_mut(at as usize) else { return };
        let next = std::mem::replace(&mut entry.next, self.free);
        self.free = at;
        if queue.last == at {
            queue.last = before;
        }
        match self.entries.get_mut(before as usize) {
            Some(before) => before.next = next,
            None => queue.first = next,
        }
    }
}

fn index(number: c_int) -> Option<usize> {
    usize::try_from(number - FIRST_QUEUED).ok().filter(|&number| number < QUEUED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(number: c_int, value: u64, at: u64) -> SeenSignal {
        SeenSignal { number, code: -1, sender: 42, value, at }
    }

    #[test]
    fn a_signal_has_an_age() {
        let mut signals = Seen::with_room(8);
        signals.add(seen(15, 0, 1000));
        assert!(!signals.forget(&seen(2, 0, 0)));
        assert!(!signals.forget(&seen(15, 0, 1001)), "it is too old");
        assert!(signals.forget(&seen(15, 0, 1000)));
        assert!(!signals.forget(&seen(15, 0, 1000)), "it was one");
    }

    #[test]
    fn signals_are_counted_by_their_values_and_senders() {
        let mut signals = Seen::with_room(8);
        for value in [1, 1, 2] {
            signals.add(seen(40, value, 1000));
        }
        let answers = [1, 1, 1, 2, 3].map(|value| signals.forget(&seen(40, value, 1000)));
        assert_eq!(answers, [true, true, false, true, false]);
        signals.add(SeenSignal { sender: 43, ..seen(15, 0, 1000) });
        assert!(!signals.forget(&seen(15, 0, 1000)), "another process sent it");
    }

    #[test]
    fn there_is_room_for_all_that_the_system_lets_wait() {
        let mut signals = Seen::new();
        let room = u64::try_from(most_pending().clamp(LEAST, MOST)).expect("it is no large number");
        for value in 0..room {
            signals.add(seen(40, value, 1000));
        }
        for value in 0..room {
            assert!(signals.forget(&seen(40, value, 1000)), "{value} of {room}");
        }
    }

    #[test]
    fn the_oldest_is_forgotten_where_there_is_no_room() {
        let mut signals = Seen::with_room(4);
        for at in 0..6 {
            signals.add(seen(40 + c_int::from(at % 2 == 1), at, at));
            signals.add(seen(15, at, at));
        }
        let answers = [0, 1, 2, 3, 4, 5]
            .map(|at| signals.forget(&seen(40 + at % 2, at.unsigned_abs().into(), 0)));
        assert_eq!(answers, [false, false, true, true, true, true]);
        let answers = [1, 2, 5].map(|at| signals.forget(&seen(15, at, 0)));
        assert_eq!(answers, [false, true, true]);
    }

    /// Against a list that is searched from its beginning.
    #[test]
    fn the_queues_remember_what_a_list_does() {
        let mut signals = Seen::with_room(16);
        let mut list: Vec<SeenSignal> = vec![];
        let mut random = 1_u64;
        for at in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let bits = random >> 33;
            let signal = seen(if bits & 1 == 0 { 32 } else { 40 }, bits >> 2 & 7, at);
            if bits >> 5 & 1 == 0 {
                if list.len() == 16 {
                    list.remove(0);
                }
                list.push(signal);
                signals.add(signal);
            } else {
                let asked = SeenSignal { at: 0, ..signal };
                let found = list.iter().position(|it| it.matches(&asked));
                assert_eq!(signals.forget(&asked), found.is_some(), "turn {at}");
                if let Some(found) = found {
                    list.remove(found);
                }
            }
        }
    }
}
