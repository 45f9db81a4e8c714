//! Collections with a limit that has a name. Whatever a peer can make grow lives in one of these.

use alloc::collections::{BTreeMap, VecDeque, btree_map, vec_deque};

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

#[cfg(test)]
mod tests {
    use super::*;

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
