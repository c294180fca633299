//! A map that does not keep its values alive.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use crate::sync::{Arc, Weak};

/// The number of entries below which a map is never swept.
const FEWEST: usize = 16;

/// Values by key, each for as long as it is in use elsewhere.
///
/// An entry outlives its value until the next sweep. An insertion sweeps the map first if the map
/// has twice the entries that the last sweep left: so an insertion costs O(log n), amortized, and
/// dead entries never outnumber both [`FEWEST`] and the entries that were alive at the last sweep.
#[derive(Debug)]
pub(crate) struct WeakMap<K, V> {
    entries: BTreeMap<K, Weak<V>>,
    sweep_at: usize,
}

impl<K: Ord, V> WeakMap<K, V> {
    pub(crate) const fn new() -> Self {
        Self { entries: BTreeMap::new(), sweep_at: FEWEST }
    }

    /// Returns the value of this key, if it is still in use.
    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).and_then(Weak::upgrade)
    }

    pub(crate) fn insert(&mut self, key: K, value: &Arc<V>) {
        if self.entries.len() >= self.sweep_at {
            self.entries.retain(|_, value| value.strong_count() > 0);
            self.sweep_at = FEWEST.max(self.entries.len() * 2);
        }
        self.entries.insert(key, Arc::downgrade(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inserts values that are in use, and returns them.
    fn insert_used(
        map: &mut WeakMap<usize, usize>,
        keys: std::ops::Range<usize>,
    ) -> Vec<Arc<usize>> {
        let values: Vec<_> = keys.map(Arc::new).collect();
        for value in &values {
            map.insert(**value, value);
        }
        values
    }

    fn insert_unused(map: &mut WeakMap<usize, usize>, keys: std::ops::Range<usize>) {
        drop(insert_used(map, keys.clone()));
        assert!(keys.into_iter().all(|key| map.get(&key).is_none()));
    }

    #[test]
    fn few_unused_entries_are_left_alone() {
        let mut map = WeakMap::new();
        for key in 0..FEWEST {
            insert_unused(&mut map, key..key + 1);
            assert_eq!(map.entries.len(), key + 1);
        }
    }

    #[test]
    fn one_more_sweeps_the_unused_entries_out() {
        let mut map = WeakMap::new();
        insert_unused(&mut map, 0..FEWEST);
        let used = insert_used(&mut map, FEWEST..FEWEST + 1);
        assert_eq!(map.entries.keys().collect::<Vec<_>>(), [&FEWEST]);
        assert!(
            map.get(&FEWEST)
                .is_some_and(|value| used.first().is_some_and(|it| Arc::ptr_eq(&value, it)))
        );
    }

    /// The second sweep is at twice the entries that the first one has left, to the entry.
    #[test]
    fn used_entries_stay_and_put_the_next_sweep_off() {
        let mut map = WeakMap::new();
        let mut used = insert_used(&mut map, 0..FEWEST);
        for key in FEWEST..2 * FEWEST {
            insert_unused(&mut map, key..key + 1);
            assert_eq!(map.entries.len(), key + 1);
        }
        used.extend(insert_used(&mut map, 2 * FEWEST..2 * FEWEST + 1));
        assert_eq!(map.entries.len(), FEWEST + 1);
        for value in &used {
            assert!(map.get(&**value).is_some_and(|found| Arc::ptr_eq(&found, value)));
        }
    }
}
