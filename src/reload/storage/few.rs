//! A map for the few entries that there usually are.

use alloc::vec::Vec;

/// A sorted vector as a map. It is as long as what is in it: a peer stores most Kinds and values alone under their
/// Resource-IDs, where each node of a tree would keep room for ten more. What peers may add is limited before it comes here.
#[derive(Clone, Debug)]
pub(super) struct Few<K, V>(Vec<(K, V)>);

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Few(Vec::new())
    }
}

impl<K: Ord, V> Few<K, V> {
    fn find(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(k, _)| k.cmp(key))
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.find(key).ok().and_then(|at| self.0.get(at)).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.find(key).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }

    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.find(key).is_ok()
    }

    /// Inserts or replaces.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(at) => self.0.get_mut(at).map(|(_, old)| core::mem::replace(old, value)),
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.find(key).ok()?;
        let (_, value) = self.0.remove(at);
        self.0.shrink_to_fit();
        Some(value)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub(super) fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Few<K, V> {
    /// Of several entries with one key the last counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut few = Few::default();
        entries.into_iter().for_each(|(key, value)| drop(few.insert(key, value)));
        few
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use quickcheck::quickcheck;

    quickcheck! {
        fn it_is_a_map_that_takes_no_more_room_than_it_needs(steps: Vec<(u8, Option<u16>)>) -> bool {
            let (mut few, mut map) = (Few::default(), BTreeMap::new());
            steps.into_iter().all(|(key, value)| {
                let key = key % 16;
                let same = match value {
                    Some(value) => few.insert(key, value) == map.insert(key, value),
                    None => few.remove(&key) == map.remove(&key),
                };
                same && few.iter().eq(map.iter())
                    && few.get(&key) == map.get(&key)
                    && few.0.capacity() == map.len()
            })
        }
    }
}
