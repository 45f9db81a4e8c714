//! What a Store would write, decided before anything is changed: its values are judged in the order of the request, each
//! by what those before it leave behind (RFC 6940 §7.4.1.1).

use super::access::{Access, Claim};
use super::group::{Entry, Group, wire_size};
use super::limits::cost;
use super::share::AccessList;
use super::store::{KindValues, Origin, Refusal, Storage};
use super::value::{Arrival, Granted, Slot, StoredValue};
use crate::bounded::{Place, gives_way};
use crate::ids::ResourceId;
use crate::reload::codec::{KindId, Signature};
use crate::time::Instant;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// What a Store does to the values of one Kind.
pub(super) struct Plan {
    pub(super) kind: KindId,
    /// The generation counter afterwards.
    pub(super) generation: u64,
    /// What is written, each slot once.
    pub(super) writes: Vec<(Slot, Entry)>,
    /// What goes: granted in an earlier epoch, or more than an owner's share.
    pub(super) gone: Vec<Slot>,
}

impl Storage {
    /// The values of one Kind under one Resource-ID, where there may be some of this Kind; `list` is who may write there,
    /// and follows what is planned.
    pub(super) fn plan(
        &self,
        now: Instant,
        resource: &ResourceId,
        origin: &Origin,
        arrivals: KindValues,
        list: &mut AccessList,
    ) -> Result<Plan, Refusal> {
        let KindValues { kind, generation, values } = arrivals;
        let definition = self.kinds.get(&kind).ok_or(Refusal::Invalid)?;
        let group = self.group(resource, kind);
        let mut plan = Plan { kind, generation, writes: Vec::new(), gone: Vec::new() };
        for Arrival { slot, lifetime, value } in values {
            let slot = match slot {
                Slot::Index(u32::MAX) => Slot::Index(plan.next_index(group).ok_or(Refusal::DataTooLarge)?),
                slot => slot,
            };
            if slot.model() != definition.model || plan.writes.iter().any(|(s, _)| *s == slot) {
                return Err(Refusal::Invalid);
            }
            let old = group.and_then(|g| g.entries.get(&slot));
            let claim = Claim {
                resource,
                kind,
                slot: &slot,
                value: value.value.as_ref(),
                signer: &value.signer,
                replaces: old.map(|old| &*old.value.signer),
                original: matches!(origin, Origin::Original { .. }),
            };
            let sender_may = match origin {
                Origin::Original { sender } => {
                    definition.access.allows(&Claim { signer: sender, ..claim }, list)
                }
                Origin::Replica => true,
            };
            if !sender_may || !definition.access.allows(&claim, list) {
                return Err(Refusal::Forbidden);
            }
            // A grant of an earlier epoch is one said again. With others that are handed over it is passed over.
            if value.granted.as_ref().is_some_and(|granted| self.is_over(resource, granted)) {
                if claim.original {
                    return Err(Refusal::Forbidden);
                }
                continue;
            }
            if value.value.as_ref().is_some_and(|v| v.len() > definition.max_size) {
                return Err(Refusal::DataTooLarge);
            }
            if let Some(old) = old {
                if old.value.is_same(&value) {
                    continue;
                }
                if value.storage_time <= old.value.storage_time {
                    return Err(Refusal::DataTooOld);
                }
            }
            if kind == KindId::ACCESS_CONTROL_LIST {
                list.set(&slot, value.value.as_ref(), &value.signer, definition.access.names());
            }
            // A value without any lifetime would be gone before it could be fetched: it gets the least there is.
            let lifetime = Duration::from_secs(lifetime.max(1).into());
            let until = now + lifetime.min(self.limits.lifetime);
            let bytes = cost(&slot, &value);
            plan.writes.push((slot.detached(), Entry { value: owned(value), until, bytes }));
        }
        plan.gone = plan.superseded(group);
        if definition.access == Access::ChannelGrant {
            plan.share(group, definition.max_count, self.limits.group_bytes);
        }
        if plan.count(group).is_some_and(|count| count > definition.max_count) {
            return Err(Refusal::DataTooLarge);
        }
        if matches!(origin, Origin::Original { .. }) {
            let before = group.map_or(0, |g| g.generation);
            plan.generation = if plan.writes.is_empty() { before } else { before.saturating_add(1) };
        }
        Ok(plan)
    }

    /// Whether the owner has begun a newer epoch than the one of this grant.
    fn is_over(&self, resource: &ResourceId, granted: &Granted) -> bool {
        self.epochs.get(&(resource.clone(), granted.owner)).is_some_and(|newest| granted.epoch < newest)
    }
}

impl Plan {
    /// The index behind the last one, also of those written earlier in the same request.
    fn next_index(&self, group: Option<&Group>) -> Option<u32> {
        let written = self.writes.iter().filter_map(|(slot, _)| slot.index()).max();
        let last = group.and_then(Group::last_index).max(written);
        last.map_or(Some(0), |n| n.checked_add(1)).filter(|&n| n != u32::MAX)
    }

    /// What was there before and stays beside what is written.
    fn staying<'a>(&'a self, group: Option<&'a Group>) -> impl Iterator<Item = (&'a Slot, &'a Entry)> {
        let stays = |slot: &Slot| !self.gone.contains(slot) && self.writes.iter().all(|(s, _)| s != slot);
        group.into_iter().flat_map(|g| g.entries.iter()).filter(move |(slot, _)| stays(slot))
    }

    /// Values afterwards, if there are any new ones.
    fn count(&self, group: Option<&Group>) -> Option<usize> {
        let is_new = |slot: &Slot| group.is_none_or(|g| !g.entries.contains_key(slot));
        let grows = self.writes.iter().any(|(slot, _)| is_new(slot));
        grows.then(|| self.staying(group).count() + self.writes.len())
    }

    /// Bytes on the wire of all values afterwards.
    pub(super) fn size(&self, group: Option<&Group>) -> usize {
        wire_size(self.staying(group).chain(self.writes.iter().map(|(slot, entry)| (slot, entry))))
    }

    /// Records that were granted in an earlier epoch than what the same owner grants now.
    fn superseded(&self, group: Option<&Group>) -> Vec<Slot> {
        let newer = |old: &Granted| {
            let granted = self.writes.iter().filter_map(|(_, entry)| entry.value.granted.as_ref());
            granted.into_iter().any(|new| new.owner == old.owner && new.epoch > old.epoch)
        };
        let is_over = |(_, entry): &(&Slot, &Entry)| entry.value.granted.as_ref().is_some_and(newer);
        self.staying(group).filter(is_over).map(|(slot, _)| slot.clone()).collect()
    }

    /// Makes room among several owners, as far as there is some to be made.
    fn share(&mut self, group: Option<&Group>, max_count: usize, group_bytes: usize) {
        let is_over = |plan: &Plan| {
            plan.count(group).is_some_and(|count| count > max_count) || plan.size(group) > group_bytes
        };
        while is_over(self) {
            let Some(slot) = self.over_its_share(group) else { return };
            self.gone.push(slot);
        }
    }

    /// The record that makes room for what is written: the oldest of the owner who has most of them, unless that is the
    /// one who writes. Anybody can own a name where certificates are self-signed, so owners stand side by side, and none
    /// of them takes all the room. What was removed belongs to nobody.
    fn over_its_share(&self, group: Option<&Group>) -> Option<Slot> {
        let owner = |entry: &Entry| entry.value.granted.as_ref().map(|granted| granted.owner);
        let newcomer = self.writes.first().and_then(|(_, entry)| owner(entry))?;
        let place =
            |(slot, entry): (&'_ Slot, &'_ Entry)| (slot.clone(), owner(entry), entry.value.storage_time);
        let places: Vec<_> = self.staying(group).map(place).collect();
        let numbered = places.iter().enumerate();
        let places_of = numbered.map(|(key, (_, holder, used))| Place {
            holder: *holder,
            used: *used,
            may_go: true,
            key,
        });
        let given = gives_way(places_of, Some(newcomer))?;
        let (slot, ..) = places.get(given.key)?;
        (given.holder != Some(newcomer)).then(|| slot.clone())
    }
}

/// The same bytes in buffers of their own: a value outlives the datagram that it came in.
fn owned(value: StoredValue) -> StoredValue {
    let copy = |b: &Bytes| Bytes::copy_from_slice(b);
    let Signature { mut identity, mut signed } = value.signature;
    identity.value = copy(&identity.value);
    signed.value = copy(&signed.value);
    StoredValue { value: value.value.as_ref().map(copy), signature: Signature { identity, signed }, ..value }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::*;
    use super::*;
    use alloc::vec;

    #[test]
    fn st7_st2_newer_values_count_up_and_older_or_equal_times_are_refused() {
        let mut s = storage();
        let single = |time, bytes| kind(SINGLE, 0, vec![arrival(Slot::Single, 600, value(A, time, bytes))]);
        assert_eq!(put(&mut s, single(1000, b"a")), Ok(1));
        assert_eq!(put(&mut s, single(1001, b"b")), Ok(2));
        assert_eq!(put(&mut s, single(1001, b"c")), Err(Refusal::DataTooOld));
        assert_eq!(put(&mut s, single(999, b"c")), Err(Refusal::DataTooOld));
        assert_eq!(s.generation(&home(), SINGLE), 2);
    }

    #[test]
    fn k8_a_value_lives_no_longer_than_the_limit_whatever_its_writer_says() {
        let mut s = storage();
        let forever = arrival(Slot::Single, u32::MAX, value(A, u64::MAX, b"x"));
        put(&mut s, kind(SINGLE, 0, vec![forever])).unwrap();
        assert_eq!(s.deadline(), Some(at(3600)));
    }

    #[test]
    fn st15_sizes_and_counts_have_their_limits() {
        let mut s = storage();
        let append = |time, bytes| kind(ARRAY, 0, vec![arrival(Slot::APPEND, 600, value(A, time, bytes))]);
        assert_eq!(put(&mut s, append(1, b"0123456789")), Ok(1));
        assert_eq!(put(&mut s, append(1, b"0123456789a")), Err(Refusal::DataTooLarge));
        (2..=4).for_each(|n| assert_eq!(put(&mut s, append(n, b"x")), Ok(n)));
        assert_eq!(put(&mut s, append(5, b"x")), Err(Refusal::DataTooLarge), "max-count 4");
        let replaced = kind(ARRAY, 0, vec![arrival(Slot::Index(0), 600, value(A, 9, b"x"))]);
        assert_eq!(put(&mut s, replaced), Ok(5), "replacing needs no room");
    }

    #[test]
    fn ac3_ac7_writers_write_only_what_is_theirs() {
        let mut s = storage();
        let single = |signer| kind(SINGLE, 0, vec![arrival(Slot::Single, 600, value(signer, 1, b"x"))]);
        assert_eq!(put(&mut s, single(B)), Err(Refusal::Forbidden), "B at A's Resource-ID");
        assert_eq!(put(&mut s, single(A)), Ok(1));
        assert_eq!(put(&mut s, kind(KindId::CHANNEL, 0, vec![own(B, 1)])), Err(Refusal::Forbidden), "AC-1");
        let wrong_model = kind(SINGLE, 0, vec![own(A, 1)]);
        assert_eq!(put(&mut s, wrong_model), Err(Refusal::Invalid));
    }

    #[test]
    fn what_is_stored_keeps_no_part_of_the_datagram_that_brought_it() {
        let mut s = storage();
        let datagram = Bytes::from(vec![0xaa; 1000]);
        let slice = |first: usize| datagram.slice(first..first + 16);
        let resource = ResourceId::new(slice(0)).unwrap();
        let mut value = value(A, 5, b"");
        value.value = Some(datagram.slice(100..108));
        value.signature.identity.value = slice(200);
        value.signature.signed.value = slice(300);
        let groups = vec![kind(KindId::CHANNEL, 0, vec![arrival(Slot::Key(slice(400)), 600, value)])];
        assert!(s.store(at(0), &resource, by_a(), groups).is_ok());
        drop(resource);
        assert!(s.len() == 1 && datagram.is_unique());
    }

    #[test]
    fn st2_an_identical_value_is_a_success_that_changes_nothing_and_prolongs_nothing() {
        let mut s = storage();
        put(&mut s, kind(KindId::CHANNEL, 0, vec![own(A, 5)])).unwrap();
        let again =
            s.store(at(300), &home(), by_a(), vec![kind(KindId::CHANNEL, 0, vec![own(A, 5)])]).unwrap();
        assert_eq!((again.counters[0].1, again.changed), (1, false));
        assert_eq!(s.deadline(), Some(at(600)));
    }
}
