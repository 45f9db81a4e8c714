//! How much may be stored: of all, of each key, of one Kind under one Resource-ID.

use super::group::{Entry, wire_size};
use super::plan::Plan;
use super::store::{Refusal, Storage};
use super::value::{Slot, StoredValue};
use super::writers;
use crate::env::Party;
use crate::ids::{KeyFingerprint, NodeId, ResourceId};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

/// How much may be stored. What is over a limit is refused with [`Refusal::DataTooLarge`]; what has expired is gone before
/// that is judged, and nothing that is stored makes way for something new, but the record of a channel's owner who has more
/// of them than another one, for that one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Resource-IDs.
    pub resources: usize,
    /// Values of all of them.
    pub values: usize,
    /// Bytes of all values with their keys and signatures, and of their signers' certificates.
    pub bytes: usize,
    /// Values that one key has signed.
    pub signer_values: usize,
    /// Bytes of the values that one key has signed, and of its certificates.
    pub signer_bytes: usize,
    /// Bytes on the wire of the values of one Kind under one Resource-ID, with their signers' certificates: as many as
    /// can be fetched in one answer.
    pub group_bytes: usize,
    /// Values in the answer to one Fetch, synthetic ones included.
    pub answer: usize,
    /// Channels and owners of which the newest epoch is remembered. Full: the one seen first is forgotten.
    pub epochs: usize,
    /// How long a value lives at most, whatever its writer says.
    pub lifetime: Duration,
}

impl Storage {
    /// Whether what is planned for one Resource-ID fits.
    pub(super) fn check_limits(&self, resource: &ResourceId, plans: &[Plan]) -> Result<(), Refusal> {
        if plans.iter().all(|p| p.writes.is_empty()) {
            return Ok(());
        }
        let mut all = Claimed::default();
        let mut keys: BTreeMap<KeyFingerprint, Claimed> = BTreeMap::new();
        let mut newcomers: Vec<&Party> = Vec::new();
        for plan in plans {
            let group = self.group(resource, plan.kind);
            let mut free = |entry: &Entry| {
                for claimed in [&mut all, keys.entry(entry.value.signer.key).or_default()] {
                    claimed.freed_values += 1;
                    claimed.freed_bytes += entry.bytes;
                }
            };
            let replaced = plan.writes.iter().map(|(slot, _)| slot);
            plan.gone.iter().chain(replaced).filter_map(|slot| group?.entries.get(slot)).for_each(&mut free);
            for (_, entry) in &plan.writes {
                let signer = &*entry.value.signer;
                let mut bytes = entry.bytes;
                if !self.writers.knows(signer) && !newcomers.contains(&signer) {
                    bytes += writers::cost(signer);
                    newcomers.push(signer);
                }
                for claimed in [&mut all, keys.entry(signer.key).or_default()] {
                    claimed.values += 1;
                    claimed.bytes += bytes;
                }
            }
            let before = group.map_or(0, |g| wire_size(g.entries.iter()));
            if plan.size(group) > self.limits.group_bytes.max(before) {
                return Err(Refusal::DataTooLarge);
            }
        }
        let Limits { resources, values, bytes, signer_values, signer_bytes, .. } = self.limits;
        let room = self.resources.contains_key(resource) || self.resources.len() < resources;
        let fits = all.fits((self.writers.values(), self.writers.bytes()), (values, bytes))
            && keys.iter().all(|(key, c)| c.fits(self.writers.share(*key), (signer_values, signer_bytes)));
        if room && fits { Ok(()) } else { Err(Refusal::DataTooLarge) }
    }
}

/// What a Store would add to somebody's share, and what it would free.
#[derive(Clone, Copy, Debug, Default)]
struct Claimed {
    values: usize,
    bytes: usize,
    freed_values: usize,
    freed_bytes: usize,
}

impl Claimed {
    /// Whether a share stays within its limits. One that only gets smaller always may.
    fn fits(&self, (values, bytes): (usize, usize), (most_values, most_bytes): (usize, usize)) -> bool {
        let after = (values + self.values).saturating_sub(self.freed_values);
        let bytes_after = (bytes + self.bytes).saturating_sub(self.freed_bytes);
        (after <= most_values || after <= values) && (bytes_after <= most_bytes || bytes_after <= bytes)
    }
}

/// What a value costs: everything that its writer chose the length of, and a fixed part.
pub(super) fn cost(slot: &Slot, value: &StoredValue) -> usize {
    const FIXED: usize = 64;
    let key = match slot {
        Slot::Key(key) => key.len(),
        _ => 0,
    };
    let signature = value.signature.signed.value.len() + value.signature.identity.value.len();
    let granted = value.granted.as_ref().map_or(0, |granted| granted.nodes.len() * NodeId::LEN);
    FIXED + granted + key + value.value.as_ref().map_or(0, |v| v.len()) + signature
}

#[cfg(test)]
mod tests {
    use super::super::access::Access;
    use super::super::fixtures::*;
    use super::super::kind::Kind;
    use super::super::store::Origin;
    use super::super::value::{Found, Granted};
    use super::*;
    use crate::reload::codec::body::Selection;
    use crate::reload::codec::{KindId, RawValues};
    use alloc::sync::Arc;
    use alloc::vec;
    use bytes::Bytes;

    #[test]
    fn k8_a_value_costs_its_key_its_bytes_its_signature_and_its_owners_nodes_and_something_fixed() {
        let (single, keyed) = (Slot::Single, Slot::Key(Bytes::from_static(b"0123456")));
        // Ten bytes, which the test's signature repeats, and a Node-ID for the signer.
        let value = value(A, 1, b"0123456789");
        assert_eq!((cost(&single, &value), cost(&keyed, &value)), (64 + 10 + 10 + 16, 64 + 7 + 10 + 10 + 16));
        // Its owner's Node-IDs are kept with it.
        let granted = Granted { owner: value.signer.key, nodes: Arc::new([A, B, A]), epoch: 0 };
        let owned = StoredValue { granted: Some(granted), ..value };
        assert_eq!(cost(&single, &owned), 64 + 10 + 10 + 16 + 3 * 16);
    }

    #[test]
    fn k8_the_store_as_a_whole_has_its_limits() {
        let mut s = storage();
        for n in 0..6u8 {
            let result = s.store(
                at(0),
                &ResourceId::of_name(&[n]),
                by_a(),
                vec![kind(KindId::CHANNEL, 0, vec![own(A, 1)])],
            );
            assert_eq!(result.is_ok(), n < 4, "{n}");
        }
        s.retain(|_| false);
        assert_eq!((s.len(), s.bytes(), s.deadline()), (0, 0, None));
    }

    #[test]
    fn k8_a_certificate_costs_once_however_many_values_it_is_for_and_goes_with_the_last() {
        let mut s = storage();
        let at = |s: &mut Storage, name: &[u8], der: u8, time| {
            let value = certified(value(A, time, b"x"), der, 300);
            let own = arrival(own_slot(A), 600, value);
            let groups = vec![kind(KindId::CHANNEL, 0, vec![own])];
            s.store(at(0), &ResourceId::of_name(name), by_a(), groups).unwrap();
            s.bytes()
        };
        let first = at(&mut s, b"1", 1, 1);
        let second = at(&mut s, b"2", 1, 1);
        assert!(first > 300 && second - first < 200, "{first} {second}");
        let renewed = at(&mut s, b"2", 2, 2);
        assert_eq!(renewed - first, first, "both certificates are needed");
        assert_eq!(at(&mut s, b"1", 2, 2), second, "and now the new one alone");
        s.expire(self::at(600));
        assert_eq!(s.bytes(), 0);
    }

    #[test]
    fn k8_what_one_key_may_have_here_is_less_than_all_of_it_and_what_expires_makes_room() {
        let mut s = storage();
        let put = |s: &mut Storage, now, who, name: u8, lifetime, bytes| {
            let value = certified(value(who, 1, b"x"), who.0[0], bytes);
            let own = arrival(own_slot(who), lifetime, value);
            let origin = Origin::Original { sender: party(who) };
            let groups = vec![kind(KindId::CHANNEL, 0, vec![own])];
            s.store(at(now), &ResourceId::of_name(&[name]), origin, groups).map(|_| ())
        };
        assert_eq!(put(&mut s, 0, A, 1, 600, 1900), Err(Refusal::DataTooLarge), "signer_bytes");
        assert_eq!(put(&mut s, 0, A, 1, 10, 700), Ok(()));
        assert_eq!(put(&mut s, 0, A, 2, 600, 701), Ok(()));
        assert_eq!(put(&mut s, 9, A, 3, 600, 702), Err(Refusal::DataTooLarge));
        assert_eq!(put(&mut s, 9, B, 4, 600, 702), Ok(()), "another key's share");
        assert_eq!(put(&mut s, 10, A, 3, 600, 702), Ok(()), "the first has expired");
    }

    #[test]
    fn k8_under_one_resource_id_there_is_no_more_of_a_kind_than_one_answer_can_hold() {
        let mut s = storage();
        let put = |s: &mut Storage, who: NodeId, time, bytes| {
            let value = certified(value(who, time, b"x"), who.0[0], bytes);
            let own = arrival(own_slot(who), 600, value);
            let origin = Origin::Original { sender: party(who) };
            s.store(at(0), &home(), origin, vec![kind(KindId::CHANNEL, 0, vec![own])]).map(|_| ())
        };
        assert_eq!(put(&mut s, A, 1, 450), Ok(()));
        assert_eq!(put(&mut s, B, 1, 500), Err(Refusal::DataTooLarge));
        assert_eq!(put(&mut s, B, 1, 350), Ok(()));
        let all = s.fetch(at(0), &home(), KindId::CHANNEL, 0, &Selection::Dictionary(vec![])).unwrap().1;
        let certificates: usize = all.iter().filter_map(Found::certificate).map(|der| 3 + der.len()).sum();
        let values: Vec<_> = all.iter().map(Found::to_wire).collect();
        let encoded = RawValues::encode_values(&values).unwrap().0.len();
        let group = s.resources.values().next().unwrap().groups.get(&KindId::CHANNEL);
        let counted = wire_size(group.unwrap().entries.iter());
        assert_eq!(counted, encoded + certificates, "counted as it is written");
    }

    #[test]
    fn k8_a_value_that_takes_the_place_of_another_needs_no_place_of_its_own() {
        let mut s = Storage::new([Kind::CHANNEL], Limits { values: 2, signer_values: 1, ..LIMITS });
        let mut put = |who: NodeId, name: u8, time| {
            let groups = vec![kind(KindId::CHANNEL, 0, vec![own(who, time)])];
            let origin = Origin::Original { sender: party(who) };
            s.store(at(0), &ResourceId::of_name(&[name]), origin, groups).map(|_| ())
        };
        assert_eq!(put(A, 1, 1), Ok(()));
        assert_eq!(put(A, 2, 1), Err(Refusal::DataTooLarge), "one for each key");
        assert_eq!(put(A, 1, 2), Ok(()));
        assert_eq!(put(B, 1, 1), Ok(()));
        assert_eq!(put(C, 1, 1), Err(Refusal::DataTooLarge), "two in all");
        assert_eq!(put(B, 1, 2), Ok(()));
    }

    #[test]
    fn k8_a_certificate_that_is_here_already_costs_the_next_value_nothing() {
        let mut s = storage();
        let mut put = |name: u8, der: u8| {
            let own = arrival(own_slot(A), 600, certified(value(A, 1, b"x"), der, 900));
            let groups = vec![kind(KindId::CHANNEL, 0, vec![own])];
            s.store(at(0), &ResourceId::of_name(&[name]), by_a(), groups).map(|_| ())
        };
        assert_eq!(put(1, 1), Ok(()));
        assert_eq!(put(2, 2), Err(Refusal::DataTooLarge), "two of them are more than a key may have here");
        assert_eq!(put(3, 1), Ok(()), "the same is kept once");
    }

    #[test]
    fn k8_what_fits_to_the_last_byte_sends_nobody_away_and_one_byte_more_the_oldest() {
        let room = |group_bytes| {
            let owned = Kind { access: Access::ChannelGrant, ..Kind::CHANNEL };
            let mut s = Storage::new([owned], Limits { group_bytes, ..LIMITS });
            for (node, time) in [(A, 1), (B, 2), (C, 3)] {
                // A and B stand there by one owner's grants, C by another one's.
                let owner = KeyFingerprint::of(if node == C { b"C" } else { b"AB" });
                let granted = Some(Granted { owner, nodes: Arc::new([]), epoch: 1 });
                let record = StoredValue { granted, ..value(node, time, b"x") };
                let groups = vec![kind(KindId::CHANNEL, 0, vec![arrival(own_slot(node), 600, record)])];
                s.store(at(0), &home(), Origin::Original { sender: party(node) }, groups).unwrap();
            }
            let all = Selection::Dictionary(vec![]);
            let found = s.fetch(at(0), &home(), KindId::CHANNEL, 0, &all).unwrap().1;
            (found.iter().map(|f| f.slot.clone()).collect::<Vec<_>>(), s)
        };
        let (everybody, s) = room(1000);
        assert_eq!(everybody, [A, B, C].map(own_slot));
        let bytes = wire_size(s.group(&home(), KindId::CHANNEL).unwrap().entries.iter());
        assert_eq!(room(bytes).0, [A, B, C].map(own_slot));
        assert_eq!(room(bytes - 1).0, [B, C].map(own_slot));
    }
}
