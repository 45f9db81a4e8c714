//! How new what was seen at a place was: so a reader notices when a storing peer goes back to an older value
//! (RFC 6940 §13.5.3).

use super::Address;
use crate::time::UnixMillis;
use alloc::collections::{BTreeMap, VecDeque};

/// The newest storage_time seen at each of the last places. Full: the place seen first goes.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    newest: BTreeMap<Address, UnixMillis>,
    order: VecDeque<Address>,
    limit: usize,
}

impl Seen {
    pub(super) const fn new(limit: usize) -> Self {
        Seen { newest: BTreeMap::new(), order: VecDeque::new(), limit }
    }

    /// A value was fetched or stored; whether a newer one was seen there before.
    pub(super) fn is_rollback(&mut self, at: &Address, storage_time: UnixMillis) -> bool {
        if let Some(newest) = self.newest.get_mut(at) {
            *newest = storage_time.max(*newest);
            return storage_time < *newest;
        }
        if self.order.len() >= self.limit
            && let Some(first) = self.order.pop_front()
        {
            self.newest.remove(&first);
        }
        if self.limit > 0 {
            // The slot came in a datagram, which is not to be kept.
            let at = Address { slot: at.slot.detached(), ..at.clone() };
            self.newest.insert(at.clone(), storage_time);
            self.order.push_back(at);
        }
        false
    }

    pub(super) fn clear(&mut self) {
        self.newest.clear();
        self.order.clear();
    }

    #[cfg(feature = "arbitrary")]
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ResourceId;
    use crate::reload::codec::KindId;
    use crate::reload::storage::Slot;

    #[test]
    fn st21_an_older_value_than_one_seen_before_is_a_rollback_as_long_as_it_is_remembered() {
        let at = |n| Address { resource: ResourceId::from_u128(n), kind: KindId(1), slot: Slot::Single };
        let mut seen = Seen::new(2);
        assert!(!seen.is_rollback(&at(1), UnixMillis(5)));
        assert!(!seen.is_rollback(&at(1), UnixMillis(5)), "the same again");
        assert!(!seen.is_rollback(&at(1), UnixMillis(6)));
        assert!(seen.is_rollback(&at(1), UnixMillis(5)));
        assert!(!seen.is_rollback(&at(2), UnixMillis(1)));
        assert!(!seen.is_rollback(&at(3), UnixMillis(1)));
        assert_eq!(seen.order.len(), 2, "K8");
        assert!(!seen.is_rollback(&at(1), UnixMillis(4)), "forgotten");
    }

    #[test]
    fn a_place_is_remembered_without_the_datagram_that_told_of_it() {
        let datagram = bytes::Bytes::from(alloc::vec![7; 1000]);
        let slot = Slot::Key(datagram.slice(100..116));
        let mut seen = Seen::new(2);
        seen.is_rollback(
            &Address { resource: ResourceId::from_u128(1), kind: KindId(1), slot },
            UnixMillis(5),
        );
        assert!(datagram.is_unique());
    }
}
