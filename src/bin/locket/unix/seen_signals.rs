//! The signals that the canary has received and that locket has not asked about yet.
//!
//! A real-time signal is in locket's queue until locket asks about it, and the kernel queues each of them, up to
//! `RLIMIT_SIGPENDING` for all processes of the user (getrlimit(2)). So the canary has room for as many. If there is no
//! room, the oldest is forgotten: locket then passes it on a second time, and no signal is lost.
//!
//! The room is allocated before the canary is forked: afterwards it must not allocate (signal-safety(7)). Pages that
//! are never written take no memory.

use std::ffi::c_int;

use libc::pid_t;

/// The room for real-time signals if the system has no limit, or a higher one: 10 MiB of addresses.
const ROOM_MAX: usize = 1 << 18;

/// The room if the limit is lower: it may be raised later.
const ROOM_MIN: usize = 1 << 10;

/// The first real-time signal. The kernel queues each of these.
pub(super) const FIRST_QUEUED: c_int = 32;

/// The count of real-time signal numbers (signal(7): up to 64; on MIPS up to 127).
const QUEUED: usize = 96;

/// The index of no entry.
const NONE: u32 = u32::MAX;

/// The identity of a signal, and when it was received (microseconds). A signal to several processes has the same sender, code
/// and value for each of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeenSignal {
    pub(super) number: c_int,
    pub(super) code: c_int,
    pub(super) sender: pid_t,
    pub(super) value: u64,
    pub(super) at: u64,
}

impl SeenSignal {
    /// Returns whether it is the other signal, received at the other's time or later.
    fn matches(&self, other: &Self) -> bool {
        (self.number, self.code, self.sender, self.value)
            == (other.number, other.code, other.sender, other.value)
            && self.at >= other.at
    }
}

/// The received signals. Each standard signal has a room of its own, and so have the real-time signals together: many signals
/// of one kind do not displace the others while locket is busy.
pub(super) struct SeenSignals {
    standard: [Latest; Self::STANDARD],
    queued: Queues,
}

impl SeenSignals {
    const STANDARD: usize = 32;

    /// Allocates room for as many signals as the kernel queues.
    pub(super) fn new() -> Self {
        Self::with_room(pending_max().clamp(ROOM_MIN, ROOM_MAX))
    }

    fn with_room(room: usize) -> Self {
        Self { standard: [Latest::EMPTY; Self::STANDARD], queued: Queues::with_room(room) }
    }

    /// Adds a signal. Does not allocate.
    pub(super) fn add(&mut self, signal: SeenSignal) {
        match self.standard(signal.number) {
            Some(latest) => latest.add(signal),
            None => self.queued.add(signal),
        }
    }

    /// Removes one such signal, received at its time or later. Returns whether there was one.
    pub(super) fn remove(&mut self, signal: &SeenSignal) -> bool {
        match self.standard(signal.number) {
            Some(latest) => latest.remove(signal),
            None => self.queued.remove(signal),
        }
    }

    fn standard(&mut self, number: c_int) -> Option<&mut Latest> {
        self.standard.get_mut(usize::try_from(number).ok()?)
    }
}

/// Returns how many real-time signals the kernel queues for the user.
#[cfg(target_os = "linux")]
fn pending_max() -> usize {
    use rustix::process::{Resource, getrlimit};

    let limit = getrlimit(Resource::Sigpending).current;
    limit.map_or(ROOM_MAX, |limit| usize::try_from(limit).unwrap_or(ROOM_MAX))
}

/// macOS has no real-time signals.
#[cfg(not(target_os = "linux"))]
fn pending_max() -> usize {
    0
}

/// The latest signals of one standard number. The kernel keeps one of them pending at a time (signal(7)).
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

    fn remove(&mut self, signal: &SeenSignal) -> bool {
        let is_it = |it: &&mut Option<SeenSignal>| it.is_some_and(|it| it.matches(signal));
        self.signals.iter_mut().find(is_it).and_then(Option::take).is_some()
    }
}

/// The real-time signals: a queue for each number, as in the kernel, since locket receives the signals of one number in
/// order. All queues share the entries.
struct Queues {
    /// Its capacity is the room: it never grows.
    entries: Vec<Entry>,
    /// The first free entry, in a list of those that were used before.
    free: u32,
    by_number: [Queue; QUEUED],
}

struct Entry {
    signal: SeenSignal,
    /// The next entry of the queue, or the next free entry.
    next: u32,
}

#[derive(Clone, Copy)]
struct Queue {
    first: u32,
    last: u32,
}

impl Queues {
    /// Allocates the room, or less if there is not enough memory.
    fn with_room(mut room: usize) -> Self {
        let mut entries = Vec::new();
        while entries.try_reserve_exact(room).is_err() && room > 0 {
            room /= 2;
        }
        Self { entries, free: NONE, by_number: [Queue { first: NONE, last: NONE }; QUEUED] }
    }

    fn add(&mut self, signal: SeenSignal) {
        let Some(number) = index(signal.number) else { return };
        let Some(at) = self.free_entry() else { return };
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

    /// Returns a free entry. If there is none, the oldest signal is removed.
    fn free_entry(&mut self) -> Option<u32> {
        if self.free == NONE {
            if self.entries.len() < self.entries.capacity() {
                return u32::try_from(self.entries.len()).ok();
            }
            let age = |number: &usize| {
                self.entries.get(self.by_number[*number].first as usize).map(|it| it.signal.at)
            };
            let oldest = (0..QUEUED).filter(|it| age(it).is_some()).min_by_key(age)?;
            self.free_after(oldest, NONE);
        }
        let at = self.free;
        self.free = self.entries.get(at as usize)?.next;
        Some(at)
    }

    fn remove(&mut self, signal: &SeenSignal) -> bool {
        let Some(number) = index(signal.number) else { return false };
        let (mut before, mut at) = (NONE, self.by_number[number].first);
        while let Some(entry) = self.entries.get(at as usize) {
            if entry.signal.matches(signal) {
                self.free_after(number, before);
                return true;
            }
            (before, at) = (at, entry.next);
        }
        false
    }

    /// Frees the entry of a queue that follows the entry `before`, or the first one.
    fn free_after(&mut self, number: usize, before: u32) {
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
    fn a_signal_before_the_given_time_does_not_match() {
        let mut signals = SeenSignals::with_room(8);
        signals.add(seen(15, 0, 1000));
        assert!(!signals.remove(&seen(2, 0, 0)));
        assert!(!signals.remove(&seen(15, 0, 1001)), "the signal is older");
        assert!(signals.remove(&seen(15, 0, 1000)));
        assert!(!signals.remove(&seen(15, 0, 1000)), "there was one");
    }

    #[test]
    fn signals_are_told_apart_by_value_and_sender() {
        let mut signals = SeenSignals::with_room(8);
        for value in [1, 1, 2] {
            signals.add(seen(40, value, 1000));
        }
        let answers = [1, 1, 1, 2, 3].map(|value| signals.remove(&seen(40, value, 1000)));
        assert_eq!(answers, [true, true, false, true, false]);
        signals.add(SeenSignal { sender: 43, ..seen(15, 0, 1000) });
        assert!(!signals.remove(&seen(15, 0, 1000)), "another process sent it");
    }

    #[test]
    fn there_is_room_for_all_signals_that_the_kernel_queues() {
        let mut signals = SeenSignals::new();
        let room = u64::try_from(pending_max().clamp(ROOM_MIN, ROOM_MAX)).expect("the room fits");
        for value in 0..room {
            signals.add(seen(40, value, 1000));
        }
        for value in 0..room {
            assert!(signals.remove(&seen(40, value, 1000)), "{value} of {room}");
        }
    }

    #[test]
    fn the_oldest_signal_is_forgotten_if_there_is_no_room() {
        let mut signals = SeenSignals::with_room(4);
        for at in 0..6 {
            signals.add(seen(40 + c_int::from(at % 2 == 1), at, at));
            signals.add(seen(15, at, at));
        }
        let answers = [0, 1, 2, 3, 4, 5]
            .map(|at| signals.remove(&seen(40 + at % 2, at.unsigned_abs().into(), 0)));
        assert_eq!(answers, [false, false, true, true, true, true]);
        let answers = [1, 2, 5].map(|at| signals.remove(&seen(15, at, 0)));
        assert_eq!(answers, [false, true, true]);
    }

    /// Compares the queues with a list that is searched from its beginning.
    #[test]
    fn the_queues_behave_as_a_list() {
        let mut signals = SeenSignals::with_room(16);
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
                let wanted = SeenSignal { at: 0, ..signal };
                let found = list.iter().position(|it| it.matches(&wanted));
                assert_eq!(signals.remove(&wanted), found.is_some(), "step {at}");
                if let Some(found) = found {
                    list.remove(found);
                }
            }
        }
    }
}
