//! The visited states of a search.

use std::hash::{Hash, Hasher};

/// The visited states, each with the state from which it was first reached.
pub(super) struct Visited<S> {
    pub(super) states: Vec<S>,
    parents: Vec<u32>,
    /// A hash table with open addressing: the hash and the index of each state.
    slots: Vec<(u32, u32)>,
}

pub(super) const EMPTY: u32 = u32::MAX;

impl<S: Clone + Eq + Hash> Visited<S> {
    pub(super) fn new() -> Self {
        Self { states: Vec::new(), parents: Vec::new(), slots: vec![(0, EMPTY); 1 << 10] }
    }

    /// Inserts a state. Returns its index and whether it is new.
    pub(super) fn insert(&mut self, state: S, parent: u32) -> (u32, bool) {
        if self.states.len() * 2 >= self.slots.len() {
            let slots = vec![(0, EMPTY); self.slots.len() * 4];
            for (hash, at) in std::mem::replace(&mut self.slots, slots) {
                if at != EMPTY {
                    let slot = self.slot(hash, |_| false);
                    self.slots[slot] = (hash, at);
                }
            }
        }
        let mut hasher = Mix(0);
        state.hash(&mut hasher);
        let hash = (hasher.finish() >> 32) as u32;
        let slot = self.slot(hash, |at| self.states[at as usize] == state);
        if self.slots[slot].1 != EMPTY {
            return (self.slots[slot].1, false);
        }
        let at = u32::try_from(self.states.len()).expect("fewer states than fit in memory");
        self.slots[slot] = (hash, at);
        self.states.push(state);
        self.parents.push(parent);
        (at, true)
    }

    fn slot(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> usize {
        let last = self.slots.len() - 1;
        let mut slot = hash as usize & last;
        loop {
            let (known, at) = self.slots[slot];
            if at == EMPTY || known == hash && is_it(at) {
                return slot;
            }
            slot = (slot + 1) & last;
        }
    }

    /// Returns the states on the path from the initial state to this one.
    pub(super) fn path(&self, mut at: u32) -> Vec<S> {
        let mut path = vec![self.states[at as usize].clone()];
        while self.parents[at as usize] != EMPTY {
            at = self.parents[at as usize];
            path.push(self.states[at as usize].clone());
        }
        path.reverse();
        path
    }
}

/// Hashes many small fields with one multiplication each.
struct Mix(u64);

impl Hasher for Mix {
    #[inline]
    fn finish(&self) -> u64 {
        (self.0 ^ (self.0 >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    #[inline]
    fn write_isize(&mut self, value: isize) {
        self.write_u64(value.unsigned_abs() as u64);
    }
}
