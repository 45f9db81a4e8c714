//! Many timers, one deadline: at most one timer per key, ordered by time.

use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};

/// One timer per key. Setting, clearing and finding the earliest cost the logarithm of the number of timers.
///
/// It grows with the collection whose keys it holds and has no limit of its own.
#[derive(Clone, Debug)]
pub(crate) struct Timers<K> {
    at: BTreeMap<K, Instant>,
    order: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Clone> Timers<K> {
    pub(crate) const fn new() -> Self {
        Timers { at: BTreeMap::new(), order: BTreeSet::new() }
    }

    /// Sets, moves, or (with `None`) clears the timer of a key.
    pub(crate) fn set(&mut self, key: K, at: Option<Instant>) {
        self.clear(&key);
        if let Some(at) = at {
            self.at.insert(key.clone(), at);
            self.order.insert((at, key));
        }
    }

    /// Sets the timer of a key unless it is due earlier already.
    pub(crate) fn hasten(&mut self, key: K, at: Instant) {
        if self.at.get(&key).is_none_or(|&old| at < old) {
            self.set(key, Some(at));
        }
    }

    pub(crate) fn clear(&mut self, key: &K) {
        if let Some((key, at)) = self.at.remove_entry(key) {
            self.order.remove(&(at, key));
        }
    }

    /// The earliest timer.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out the earliest timer that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.deadline()? > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.at.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_the_order_of_their_times_and_only_once() {
        let ms = Instant::from_millis;
        let mut timers = Timers::new();
        timers.set('a', Some(ms(30)));
        timers.set('b', Some(ms(10)));
        timers.set('a', Some(ms(20)));
        timers.hasten('b', ms(15));
        assert_eq!(timers.deadline(), Some(ms(10)));
        assert_eq!((timers.pop_due(ms(9)), timers.pop_due(ms(15))), (None, Some('b')));
        assert_eq!((timers.pop_due(ms(19)), timers.pop_due(ms(25))), (None, Some('a')));
        assert_eq!((timers.pop_due(ms(99)), timers.deadline()), (None, None));
    }
}
