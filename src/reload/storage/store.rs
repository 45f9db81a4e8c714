//! The store itself.

use super::few::Few;
use super::group::{Group, Resource};
use super::kind::Kind;
use super::limits::Limits;
use super::plan::Plan;
use super::share::AccessList;
use super::value::{Arrival, Slot};
use super::writers::Writers;
use crate::bounded::Newest;
use crate::env::Party;
use crate::ids::{KeyFingerprint, NodeId, ResourceId};
use crate::reload::codec::KindId;
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Who asks to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A writer: the generation counter is checked and counted (ST-7, ST-8), and the sender must be authorised too.
    Original {
        /// Who signed the StoreReq.
        sender: Arc<Party>,
    },
    /// Another peer that hands over what it holds: the counter comes along (ST-9).
    Replica,
}

/// The values of one Kind, on their way into the store or out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindValues {
    /// The Kind.
    pub kind: KindId,
    /// The generation counter that the message carries.
    pub generation: u64,
    /// The values.
    pub values: Vec<Arrival>,
}

/// What a Store led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The generation counter of each Kind now.
    pub counters: Vec<(KindId, u64)>,
    /// Whether anything changed: what is here already, byte for byte, is not stored again.
    pub changed: bool,
}

/// Why a Store was refused. Nothing of it was stored (ST-11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A signer may not write this.
    Forbidden,
    /// A generation counter is not the current one; these are (MC-3).
    GenerationCounterTooLow(Vec<(KindId, u64)>),
    /// A value is not newer than the one it would replace (ST-2).
    DataTooOld,
    /// A value is too large, or there are too many (ST-15).
    DataTooLarge,
    /// The request contradicts itself or the Kind's data model.
    Invalid,
}

pub(super) type ValueKey = (ResourceId, KindId, Slot);

/// Everything stored at one peer.
#[derive(Clone, Debug)]
pub struct Storage {
    pub(super) kinds: Few<KindId, Kind>,
    pub(super) limits: Limits,
    pub(super) resources: BTreeMap<ResourceId, Resource>,
    /// When each value expires, in this order.
    pub(super) expiry: BTreeSet<(Instant, ValueKey)>,
    pub(super) writers: Writers,
    /// The newest epoch of each channel and owner.
    pub(super) epochs: Newest<(ResourceId, KeyFingerprint), u32>,
    /// The version of the last change, of whatever Resource-ID.
    version: u64,
}

impl Storage {
    /// An empty store for these Kinds.
    pub fn new(kinds: impl IntoIterator<Item = Kind>, limits: Limits) -> Self {
        Storage {
            kinds: kinds.into_iter().map(|k| (k.id, k)).collect(),
            limits,
            resources: BTreeMap::new(),
            expiry: BTreeSet::new(),
            writers: Writers::default(),
            epochs: Newest::new(limits.epochs),
            version: 0,
        }
    }

    /// The definition of a Kind, when it may be stored here.
    pub fn kind(&self, id: KindId) -> Option<&Kind> {
        self.kinds.get(&id)
    }

    /// Stores values of several Kinds under one Resource-ID: all of them or none (ST-11).
    pub fn store(
        &mut self,
        now: Instant,
        resource: &ResourceId,
        origin: Origin,
        groups: Vec<KindValues>,
    ) -> Result<Stored, Refusal> {
        self.expire(now);
        let mut plans: Vec<Plan> = Vec::with_capacity(groups.len());
        let mut low = Vec::new();
        let mut list = self.access_list(resource);
        for values in groups {
            let KindValues { kind, generation, .. } = values;
            if plans.iter().any(|p| p.kind == kind) {
                return Err(Refusal::Invalid);
            }
            let current = self.generation(resource, kind);
            match origin {
                Origin::Original { .. } if generation != 0 && generation != current => {
                    low.push((kind, current));
                }
                Origin::Replica if generation == 0 => return Err(Refusal::Invalid),
                _ => {}
            }
            plans.push(self.plan(now, resource, &origin, values, &mut list)?);
        }
        if !low.is_empty() {
            return Err(Refusal::GenerationCounterTooLow(low));
        }
        self.check_limits(resource, &plans)?;
        let (counters, changed) = self.apply(resource, plans);
        Ok(Stored { counters, changed })
    }

    fn apply(&mut self, resource: &ResourceId, plans: Vec<Plan>) -> (Vec<(KindId, u64)>, bool) {
        let changed = plans.iter().any(|p| !p.writes.is_empty());
        let answers = plans.iter().map(|p| (p.kind, p.generation)).collect();
        if !changed {
            return (answers, false);
        }
        self.version += 1;
        // What is kept must not keep the datagram that it came in.
        let kept = self.resources.get_key_value(resource).map(|(kept, _)| kept.clone());
        let resource = &kept.unwrap_or_else(|| resource.detached());
        let here = self.resources.entry(resource.clone()).or_default();
        here.version = self.version;
        here.placed.clear();
        let mut delegated = false;
        for plan in plans.into_iter().filter(|p| !p.writes.is_empty()) {
            delegated |= plan.kind == KindId::ACCESS_CONTROL_LIST;
            let mut group = here.groups.remove(&plan.kind).unwrap_or_default();
            group.generation = plan.generation;
            for slot in plan.gone {
                if let Some(entry) = group.entries.remove(&slot) {
                    self.writers.leave(&entry.value, entry.bytes);
                    self.expiry.remove(&(entry.until, (resource.clone(), plan.kind, slot)));
                }
            }
            for (slot, mut entry) in plan.writes {
                if let Some(granted) = &entry.value.granted {
                    self.epochs.is_older(&(resource.clone(), granted.owner), granted.epoch);
                }
                let key = (resource.clone(), plan.kind, slot.clone());
                let until = entry.until;
                self.writers.enter(&mut entry.value, entry.bytes);
                if let Some(old) = group.entries.insert(slot, entry) {
                    self.writers.leave(&old.value, old.bytes);
                    self.expiry.remove(&(old.until, key.clone()));
                }
                self.expiry.insert((until, key));
            }
            here.groups.insert(plan.kind, group);
        }
        if delegated {
            self.revoke(resource);
        }
        (answers, true)
    }

    /// The delegations at a Resource-ID.
    pub(super) fn access_list(&self, resource: &ResourceId) -> AccessList {
        let mut list = AccessList::default();
        let names = self.kinds.get(&KindId::ACCESS_CONTROL_LIST).and_then(|k| k.access.names());
        let group = self.group(resource, KindId::ACCESS_CONTROL_LIST);
        for (slot, entry) in group.iter().flat_map(|g| g.entries.iter()) {
            list.set(slot, entry.value.value.as_ref(), &entry.value.signer, names);
        }
        list
    }

    /// The generation counter of a Kind; 0 when nothing is stored.
    pub fn generation(&self, resource: &ResourceId, kind: KindId) -> u64 {
        self.group(resource, kind).map_or(0, |g| g.generation)
    }

    pub(super) fn group(&self, resource: &ResourceId, kind: KindId) -> Option<&Group> {
        self.resources.get(resource)?.groups.get(&kind)
    }

    /// The Resource-IDs at which a Kind is stored.
    pub fn resources_with(&self, kind: KindId) -> impl Iterator<Item = &ResourceId> {
        self.resources.iter().filter(move |(_, r)| r.groups.contains_key(&kind)).map(|(id, _)| id)
    }

    /// Every Resource-ID.
    pub fn resources(&self) -> impl Iterator<Item = &ResourceId> {
        self.resources.keys()
    }

    /// This node holds this version as a replica now.
    pub fn mark_placed(&mut self, resource: &ResourceId, version: u64, at: NodeId) {
        let here = self.resources.get_mut(resource).filter(|here| here.version == version);
        if let Some(here) = here.filter(|here| !here.placed.contains(&at)) {
            here.placed.push(at);
        }
    }

    /// The number of the version that is here.
    pub fn version(&self, resource: &ResourceId) -> Option<u64> {
        Some(self.resources.get(resource)?.version)
    }

    /// Whether this node is known to hold the present version.
    pub fn is_placed(&self, resource: &ResourceId, at: NodeId) -> bool {
        self.resources.get(resource).is_some_and(|r| r.placed.contains(&at))
    }

    /// Forgets of which nodes it is known that they hold the present version, unless `keep` says so.
    pub fn keep_placed(&mut self, keep: impl Fn(&ResourceId, NodeId) -> bool) {
        for (resource, here) in &mut self.resources {
            here.placed.retain(|at| keep(resource, *at));
        }
    }

    /// Values stored now.
    pub fn len(&self) -> usize {
        self.writers.values()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Channels and owners of which the newest epoch is remembered.
    pub fn epochs(&self) -> usize {
        self.epochs.len()
    }

    /// Bytes stored now, certificates included.
    pub fn bytes(&self) -> usize {
        self.writers.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::access::Access;
    use super::super::fixtures::*;
    use super::super::value::{Granted, StoredValue};
    use super::*;
    use alloc::vec;

    #[test]
    fn st8_the_counter_of_a_request_must_be_the_current_one_or_zero() {
        let mut s = storage();
        put(&mut s, kind(KindId::CHANNEL, 0, vec![own(A, 5)])).unwrap();
        let low = Err(Refusal::GenerationCounterTooLow(vec![(KindId::CHANNEL, 1)]));
        assert_eq!(put(&mut s, kind(KindId::CHANNEL, 7, vec![own(A, 6)])), low, "higher is wrong too");
        assert_eq!(put(&mut s, kind(KindId::CHANNEL, 1, vec![own(A, 6)])), Ok(2));
    }

    #[test]
    fn st9_a_replica_brings_its_counter_and_never_zero() {
        let mut s = storage();
        let replica = |s: &mut Storage, generation, time| {
            let groups = vec![kind(KindId::CHANNEL, generation, vec![own(B, time)])];
            s.store(at(0), &home(), Origin::Replica, groups)
        };
        assert_eq!(replica(&mut s, 0, 5), Err(Refusal::Invalid));
        assert_eq!(replica(&mut s, 9, 5).unwrap().counters, [(KindId::CHANNEL, 9)]);
        assert_eq!(replica(&mut s, 9, 4), Err(Refusal::DataTooOld));
    }

    #[test]
    fn st10_st11_all_kinds_of_a_request_are_stored_or_none_and_no_kind_twice() {
        let mut s = storage();
        let good = || kind(SINGLE, 0, vec![arrival(Slot::Single, 600, value(A, 1, b"a"))]);
        let bad = kind(ARRAY, 3, vec![arrival(Slot::APPEND, 600, value(A, 1, b"a"))]);
        assert!(s.store(at(0), &home(), by_a(), vec![good(), bad]).is_err());
        assert!(s.is_empty() && s.bytes() == 0 && s.deadline().is_none());
        assert_eq!(s.store(at(0), &home(), by_a(), vec![good(), good()]), Err(Refusal::Invalid));
    }

    #[test]
    fn k8_the_newest_epochs_of_so_many_owners_are_remembered_and_no_more() {
        let owned = Kind { access: Access::ChannelGrant, ..Kind::CHANNEL };
        let mut s = Storage::new([owned], LIMITS);
        let remembered = (1..=6).map(|n| {
            let node = NodeId([n; 16]);
            let granted = Some(Granted { owner: KeyFingerprint::of(&[n]), nodes: Arc::new([]), epoch: 1 });
            let record = arrival(own_slot(node), 600, StoredValue { granted, ..value(node, 1, b"x") });
            let groups = vec![kind(KindId::CHANNEL, 0, vec![record])];
            s.store(at(0), &home(), Origin::Original { sender: party(node) }, groups).unwrap();
            s.epochs()
        });
        assert_eq!(remembered.collect::<Vec<_>>(), [1, 2, 3, 4, 4, 4]);
    }

    #[test]
    fn a_version_that_was_handed_over_counts_as_placed_until_it_changes() {
        let mut s = storage();
        put(&mut s, kind(KindId::CHANNEL, 0, vec![own(A, 1)])).unwrap();
        let (version, _) = s.hand_over(at(0), &home()).unwrap();
        s.mark_placed(&home(), version, B);
        assert!(s.is_placed(&home(), B));
        put(&mut s, kind(KindId::CHANNEL, 0, vec![own(A, 2)])).unwrap();
        s.mark_placed(&home(), version, B);
        assert!(!s.is_placed(&home(), B), "that was the old version");
    }
}
