//! Collections with a limit that has a name. Whatever a peer can make grow lives in one of these.

use alloc::collections::{BTreeMap, VecDeque, btree_map, vec_deque};
use core::cmp::Reverse;

/// The collection is full; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limit is reached")]
pub struct Full;

/// An ordered map of at most `limit` entries.
#[derive(Clone, Debug)]
pub struct BoundedMap<K, V> {
    entries: BTreeMap<K, V>,
    limit: usize,
}

impl<K: Ord, V> BoundedMap<K, V> {
    /// An empty map for at most `limit` entries.
    pub const fn new(limit: usize) -> Self {
        BoundedMap { entries: BTreeMap::new(), limit }
    }

    /// Inserts or replaces. A new key is refused with [`Full`] at the limit; replacing always works.
    pub fn insert(&mut self, key: K, value: V) -> Result<Option<V>, Full> {
        let full = self.is_full();
        match self.entries.entry(key) {
            btree_map::Entry::Occupied(mut e) => Ok(Some(e.insert(value))),
            btree_map::Entry::Vacant(_) if full => Err(Full),
            btree_map::Entry::Vacant(e) => {
                e.insert(value);
                Ok(None)
            }
        }
    }

    /// Whether a new key would be refused.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= self.limit
    }

    /// Entries now.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Entries at most.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// The value under a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    /// The value under a key, to change.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    /// Whether there is such a key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key)
    }

    /// Entries in the order of their keys.
    pub fn iter(&self) -> btree_map::Iter<'_, K, V> {
        self.entries.iter()
    }

    /// Entries in the order of their keys, to change.
    pub fn iter_mut(&mut self) -> btree_map::IterMut<'_, K, V> {
        self.entries.iter_mut()
    }

    /// Keys in order.
    pub fn keys(&self) -> btree_map::Keys<'_, K, V> {
        self.entries.keys()
    }

    /// Values in the order of their keys.
    pub fn values(&self) -> btree_map::Values<'_, K, V> {
        self.entries.values()
    }

    /// Keeps the entries for which `keep` says so.
    pub fn retain(&mut self, keep: impl FnMut(&K, &mut V) -> bool) {
        self.entries.retain(keep);
    }

    /// Takes the map apart: its values in the order of their keys.
    pub fn into_values(self) -> btree_map::IntoValues<K, V> {
        self.entries.into_values()
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

/// A first-in first-out queue of at most `limit` elements.
#[derive(Clone, Debug)]
pub struct BoundedQueue<T> {
    queue: VecDeque<T>,
    limit: usize,
}

impl<T> BoundedQueue<T> {
    /// An empty queue for at most `limit` elements.
    pub const fn new(limit: usize) -> Self {
        BoundedQueue { queue: VecDeque::new(), limit }
    }

    /// Appends, or refuses with [`Full`] at the limit.
    pub fn push(&mut self, value: T) -> Result<(), Full> {
        if self.queue.len() >= self.limit {
            return Err(Full);
        }
        self.queue.push_back(value);
        Ok(())
    }

    /// Takes the oldest. A queue that is empty then keeps no room.
    pub fn pop(&mut self) -> Option<T> {
        let oldest = self.queue.pop_front();
        if self.queue.is_empty() {
            self.queue.shrink_to_fit();
        }
        oldest
    }

    /// Elements at most.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Elements, oldest first.
    pub fn iter(&self) -> vec_deque::Iter<'_, T> {
        self.queue.iter()
    }

    /// The oldest.
    pub fn front(&self) -> Option<&T> {
        self.queue.front()
    }

    /// Elements now.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// The newest of what was seen under each of the last keys. Full: the key seen first goes.
#[derive(Clone, Debug)]
pub struct Newest<K, V> {
    values: BTreeMap<K, V>,
    order: VecDeque<K>,
    limit: usize,
}

impl<K: Ord + Clone, V: Ord + Copy> Newest<K, V> {
    /// Nothing seen yet, and at most `limit` keys remembered.
    pub const fn new(limit: usize) -> Self {
        Newest { values: BTreeMap::new(), order: VecDeque::new(), limit }
    }

    /// The newest under a key, as far as it is remembered.
    pub fn get(&self, key: &K) -> Option<V> {
        self.values.get(key).copied()
    }

    /// Something was seen; whether something newer was before.
    pub fn is_older(&mut self, key: &K, value: V) -> bool {
        if let Some(newest) = self.values.get_mut(key) {
            *newest = value.max(*newest);
            return value < *newest;
        }
        if self.order.len() >= self.limit
            && let Some(first) = self.order.pop_front()
        {
            self.values.remove(&first);
        }
        if self.limit > 0 {
            self.values.insert(key.clone(), value);
            self.order.push_back(key.clone());
        }
        false
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.values.clear();
        self.order.clear();
    }

    /// Keys now.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

/// One of the places that strangers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<H, T, K> {
    /// Whose it is.
    pub holder: H,
    /// When it was used last.
    pub used: T,
    /// Whether it may be taken away.
    pub may_go: bool,
    /// What is there.
    pub key: K,
}

/// Which place is taken away for a newcomer when all are taken: of whoever has most places the one unused longest, so that
/// nobody who takes many keeps out those who take one. The newcomer counts as if it had its place already, and makes room
/// for itself where others have no more than it.
pub fn gives_way<H: Copy + Ord, T: Copy + Ord, K: Copy + Ord>(
    places: impl Iterator<Item = Place<H, T, K>>,
    newcomer: H,
) -> Option<Place<H, T, K>> {
    let mut holders: BTreeMap<H, (usize, Option<(T, K)>)> = BTreeMap::new();
    holders.insert(newcomer, (1, None));
    for Place { holder, used, may_go, key } in places {
        let (count, idlest) = holders.entry(holder).or_default();
        *count += 1;
        if may_go && idlest.is_none_or(|known| (used, key) < known) {
            *idlest = Some((used, key));
        }
    }
    let candidates =
        holders.into_iter().filter_map(|(holder, (count, idlest))| Some((holder, count, idlest?)));
    let (holder, _, (used, key)) =
        candidates.max_by_key(|&(holder, count, idlest)| (count, holder == newcomer, Reverse(idlest)))?;
    Some(Place { holder, used, may_go: true, key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// Places of these, each used after the one before.
    fn places(holders: &[(u8, bool)]) -> Vec<Place<u8, usize, usize>> {
        let place = |(key, &(holder, may_go)): (usize, &(u8, bool))| Place { holder, used: key, may_go, key };
        holders.iter().enumerate().map(place).collect()
    }

    fn key(places: &[Place<u8, usize, usize>], newcomer: u8) -> Option<usize> {
        gives_way(places.iter().copied(), newcomer).map(|place| place.key)
    }

    #[test]
    fn st21_the_newest_under_each_of_the_last_keys_is_remembered() {
        let mut seen = Newest::new(2);
        assert!(!seen.is_older(&1, 5) && !seen.is_older(&1, 5) && !seen.is_older(&1, 6));
        assert!(seen.is_older(&1, 5));
        assert!(!seen.is_older(&2, 1) && !seen.is_older(&3, 1));
        assert_eq!((seen.len(), seen.get(&1), seen.get(&3)), (2, None, Some(1)));
        assert!(!seen.is_older(&1, 4), "forgotten");
    }

    #[test]
    fn whoever_has_most_places_gives_way_with_the_one_unused_longest() {
        let all = places(&[(1, true), (2, true), (2, true), (3, true)]);
        assert_eq!(key(&all, 4), Some(1));
        // Who has as many as the others takes his own.
        assert_eq!(key(&all, 3), Some(3));
        assert_eq!(key(&all, 2), Some(1));
        // Among equals it is the one unused longest.
        assert_eq!(key(&all[2..], 4), Some(2));
    }

    #[test]
    fn what_may_not_go_counts_for_its_host_and_stays() {
        let all = places(&[(1, true), (2, false), (2, false), (2, true)]);
        assert_eq!(key(&all, 4), Some(3));
        assert_eq!(key(&all[..3], 4), Some(0));
        assert_eq!(key(&all[1..3], 2), None);
    }

    #[test]
    fn k8_a_full_map_refuses_new_keys_and_still_replaces_old_ones() {
        let mut m = BoundedMap::new(2);
        assert_eq!(m.insert(1, 'a'), Ok(None));
        assert_eq!(m.insert(2, 'b'), Ok(None));
        assert_eq!(m.insert(3, 'c'), Err(Full));
        assert_eq!(m.insert(1, 'd'), Ok(Some('a')));
        m.remove(&2);
        assert_eq!(m.insert(3, 'c'), Ok(None));
        assert_eq!(m.len(), 2);
    }

    #[test]
    fn k8_a_full_queue_refuses_and_keeps_its_order() {
        let mut q = BoundedQueue::new(2);
        q.push(1).unwrap();
        q.push(2).unwrap();
        assert_eq!(q.push(3), Err(Full));
        assert_eq!((q.pop(), q.pop(), q.pop()), (Some(1), Some(2), None));
    }
}
