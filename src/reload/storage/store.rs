//! The store itself.

use super::access::{Access, Claim};
use super::few::Few;
use super::kind::Kind;
use super::share::AccessList;
use super::value::{Arrival, Found, Granted, Slot, StoredValue};
use super::writers::{self, Writers};
use crate::bounded::{Newest, Place, gives_way};
use crate::env::Party;
use crate::ids::{KeyFingerprint, NodeId, ResourceId};
use crate::reload::codec::body::{ArrayRange, Selection};
use crate::reload::codec::{KindId, Signature};
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
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

#[derive(Clone, Debug)]
struct Entry {
    value: StoredValue,
    until: Instant,
    bytes: usize,
}

/// The values of one Kind under one Resource-ID.
#[derive(Clone, Debug, Default)]
struct Group {
    generation: u64,
    entries: Few<Slot, Entry>,
}

#[derive(Clone, Debug, Default)]
struct Resource {
    groups: Few<KindId, Group>,
    /// Changes whenever a value does.
    version: u64,
    /// Nodes that hold the present version as replicas.
    placed: Vec<NodeId>,
}

type ValueKey = (ResourceId, KindId, Slot);

/// Everything stored at one peer.
#[derive(Clone, Debug)]
pub struct Storage {
    kinds: Few<KindId, Kind>,
    limits: Limits,
    resources: BTreeMap<ResourceId, Resource>,
    /// When each value expires, in this order.
    expiry: BTreeSet<(Instant, ValueKey)>,
    writers: Writers,
    /// The newest epoch of each channel and owner.
    epochs: Newest<(ResourceId, KeyFingerprint), u32>,
    /// The version of the last change, of whatever Resource-ID.
    version: u64,
}

/// Slots that a Store writes, decided before anything is changed.
struct Plan {
    kind: KindId,
    generation: u64,
    writes: Vec<(Slot, Entry)>,
    /// What goes: granted in an earlier epoch, or more than an owner's share.
    gone: Vec<Slot>,
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

    /// The values of one Kind, in the order of the request: each is judged by what those before it leave behind.
    fn plan(
        &self,
        now: Instant,
        resource: &ResourceId,
        origin: &Origin,
        arrivals: KindValues,
        list: &mut AccessList,
    ) -> Result<Plan, Refusal> {
        let KindValues { kind, generation, values: arrivals } = arrivals;
        let definition = self.kinds.get(&kind).ok_or(Refusal::Invalid)?;
        let group = self.resources.get(resource).and_then(|r| r.groups.get(&kind));
        let mut writes: Vec<(Slot, Entry)> = Vec::new();
        for Arrival { slot, lifetime, value } in arrivals {
            let slot = match slot {
                Slot::Index(u32::MAX) => {
                    Slot::Index(next_index(group, &writes).ok_or(Refusal::DataTooLarge)?)
                }
                slot => slot,
            };
            if slot.model() != definition.model || writes.iter().any(|(s, _)| *s == slot) {
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
            let newest = |g: &Granted| self.epochs.get(&(resource.clone(), g.owner));
            if value.granted.as_ref().is_some_and(|g| newest(g).is_some_and(|newest| g.epoch < newest)) {
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
            let bytes = size(&slot, &value);
            writes.push((slot.detached(), Entry { value: owned(value), until, bytes }));
        }
        let mut gone = superseded(group, &writes);
        while count(group, &writes, &gone).is_some_and(|count| count > definition.max_count)
            || group_size(group, &writes, &gone) > self.limits.group_bytes
        {
            let shared = definition.access == Access::ChannelGrant;
            match over_its_share(group, &writes, &gone).filter(|_| shared) {
                Some(slot) => gone.push(slot),
                None => break,
            }
        }
        if count(group, &writes, &gone).is_some_and(|count| count > definition.max_count) {
            return Err(Refusal::DataTooLarge);
        }
        let generation = match origin {
            Origin::Replica => generation,
            Origin::Original { .. } if writes.is_empty() => group.map_or(0, |g| g.generation),
            Origin::Original { .. } => group.map_or(0, |g| g.generation).saturating_add(1),
        };
        Ok(Plan { kind, generation, writes, gone })
    }

    fn check_limits(&self, resource: &ResourceId, plans: &[Plan]) -> Result<(), Refusal> {
        if plans.iter().all(|p| p.writes.is_empty()) {
            return Ok(());
        }
        let here = self.resources.get(resource);
        let mut all = Claimed::default();
        let mut keys: BTreeMap<KeyFingerprint, Claimed> = BTreeMap::new();
        let mut newcomers: Vec<&Party> = Vec::new();
        for plan in plans {
            let group = here.and_then(|r| r.groups.get(&plan.kind));
            for (slot, entry) in &plan.writes {
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
                if let Some(old) = group.and_then(|g| g.entries.get(slot)) {
                    for claimed in [&mut all, keys.entry(old.value.signer.key).or_default()] {
                        claimed.freed_values += 1;
                        claimed.freed_bytes += old.bytes;
                    }
                }
            }
            for entry in plan.gone.iter().filter_map(|slot| group?.entries.get(slot)) {
                for claimed in [&mut all, keys.entry(entry.value.signer.key).or_default()] {
                    claimed.freed_values += 1;
                    claimed.freed_bytes += entry.bytes;
                }
            }
            let before = group_size(group, &[], &[]);
            if group_size(group, &plan.writes, &plan.gone) > self.limits.group_bytes.max(before) {
                return Err(Refusal::DataTooLarge);
            }
        }
        let Limits { resources, values, bytes, signer_values, signer_bytes, .. } = self.limits;
        let room = here.is_some() || self.resources.len() < resources;
        let fits = all.fits((self.writers.values(), self.writers.bytes()), (values, bytes))
            && keys.iter().all(|(key, c)| c.fits(self.writers.share(*key), (signer_values, signer_bytes)));
        if room && fits { Ok(()) } else { Err(Refusal::DataTooLarge) }
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
    fn access_list(&self, resource: &ResourceId) -> AccessList {
        let mut list = AccessList::default();
        let names = self.kinds.get(&KindId::ACCESS_CONTROL_LIST).and_then(|k| k.access.names());
        let group = self.resources.get(resource).and_then(|r| r.groups.get(&KindId::ACCESS_CONTROL_LIST));
        for (slot, entry) in group.iter().flat_map(|g| g.entries.iter()) {
            list.set(slot, entry.value.value.as_ref(), &entry.value.signer, names);
        }
        list
    }

    /// The delegations at a Resource-ID changed: what was written by a permission that is gone goes too (RFC 8076 §6.2).
    /// No reader would take it, and no other peer.
    fn revoke(&mut self, resource: &ResourceId) {
        let list = self.access_list(resource);
        let Some(here) = self.resources.get(resource) else { return };
        let mut gone: Vec<ValueKey> = Vec::new();
        for (&kind, group) in here.groups.iter() {
            let Some(access) = self.kinds.get(&kind).map(|k| &k.access) else { continue };
            if !matches!(access, Access::UserChainAcl { .. }) {
                continue;
            }
            for (slot, entry) in group.entries.iter() {
                let StoredValue { value, signer, .. } = &entry.value;
                let value = value.as_ref();
                let claim = Claim { resource, kind, slot, value, signer, replaces: None, original: false };
                if !access.allows(&claim, &list) {
                    gone.push((resource.clone(), kind, slot.clone()));
                }
            }
        }
        for key in gone {
            self.discard(&key.0, key.1, &key.2);
        }
    }

    /// The generation counter of a Kind; 0 when nothing is stored.
    pub fn generation(&self, resource: &ResourceId, kind: KindId) -> u64 {
        self.resources.get(resource).and_then(|r| r.groups.get(&kind)).map_or(0, |g| g.generation)
    }

    /// Answers a Fetch or Stat for one Kind (RFC 6940 §7.4.2): its generation counter, and the values unless `known` is
    /// that counter (FE-5; 0 never is).
    pub fn fetch(
        &mut self,
        now: Instant,
        resource: &ResourceId,
        kind: KindId,
        known: u64,
        selection: &Selection,
    ) -> Result<(u64, Vec<Found>), Refusal> {
        self.expire(now);
        let model = self.kinds.get(&kind).ok_or(Refusal::Invalid)?.model;
        let group = self.resources.get(resource).and_then(|r| r.groups.get(&kind));
        let generation = group.map_or(0, |g| g.generation);
        let found = |slot: Slot| {
            let entry = group.and_then(|g| g.entries.get(&slot));
            Found { slot, value: entry.map(|e| (e.value.clone(), remaining(now, e.until))) }
        };
        let slots: Vec<Slot> = match selection {
            _ if known != 0 && known == generation => Vec::new(),
            _ if selection.model() != model => return Err(Refusal::Invalid),
            Selection::Single => alloc::vec![Slot::Single],
            Selection::Array(ranges) if !ranges.is_empty() => {
                self.indices(ranges, group)?.into_iter().map(Slot::Index).collect()
            }
            Selection::Dictionary(keys) if !keys.is_empty() => keys.iter().cloned().map(Slot::Key).collect(),
            Selection::Array(_) | Selection::Dictionary(_) => {
                group.map_or_else(Vec::new, |g| g.entries.keys().cloned().collect())
            }
        };
        if slots.len() > self.limits.answer {
            return Err(Refusal::DataTooLarge);
        }
        Ok((generation, slots.into_iter().map(found).collect()))
    }

    /// The indices of these ranges, clipped to the last stored one (FE-2).
    fn indices(&self, ranges: &[ArrayRange], group: Option<&Group>) -> Result<Vec<u32>, Refusal> {
        let mut sorted = ranges.to_vec();
        sorted.sort_unstable_by_key(|r| r.first);
        let ordered = sorted.iter().all(|r| r.first <= r.last);
        let apart = sorted.windows(2).all(|w| matches!(w, [a, b] if a.last < b.first));
        if !ordered || !apart {
            return Err(Refusal::Invalid);
        }
        let Some(end) = group.and_then(last_index) else { return Ok(Vec::new()) };
        let mut indices = Vec::new();
        for &ArrayRange { first, last } in ranges {
            // "0xffffffff" alone means the last element, whatever its index is.
            let first = if first == u32::MAX { end } else { first };
            for index in first..=last.min(end) {
                if indices.len() > self.limits.answer {
                    return Err(Refusal::DataTooLarge);
                }
                indices.push(index);
            }
        }
        Ok(indices)
    }

    /// The Resource-IDs at which a Kind is stored.
    pub fn resources_with(&self, kind: KindId) -> impl Iterator<Item = &ResourceId> {
        self.resources.iter().filter(move |(_, r)| r.groups.contains_key(&kind)).map(|(id, _)| id)
    }

    /// Every Resource-ID.
    pub fn resources(&self) -> impl Iterator<Item = &ResourceId> {
        self.resources.keys()
    }

    /// Everything under one Resource-ID, as it is handed over to another peer: lifetimes are reduced by the time held
    /// (ST-6). The number that comes first is the version that it is.
    pub fn hand_over(&self, now: Instant, resource: &ResourceId) -> Option<(u64, Vec<KindValues>)> {
        let here = self.resources.get(resource)?;
        let groups = here.groups.iter().map(|(kind, group)| {
            let live = group.entries.iter().filter(|(_, e)| e.until > now);
            let values = live.map(|(slot, e)| Arrival {
                slot: slot.clone(),
                lifetime: remaining(now, e.until),
                value: e.value.clone(),
            });
            KindValues { kind: *kind, generation: group.generation, values: values.collect() }
        });
        Some((here.version, groups.collect()))
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

    /// Drops every Resource-ID for which `keep` does not speak.
    pub fn retain(&mut self, keep: impl Fn(&ResourceId) -> bool) {
        let gone: Vec<ResourceId> = self.resources.keys().filter(|r| !keep(r)).cloned().collect();
        for resource in gone {
            let Some(here) = self.resources.remove(&resource) else { continue };
            for (kind, group) in here.groups.iter() {
                for (slot, entry) in group.entries.iter() {
                    self.writers.leave(&entry.value, entry.bytes);
                    self.expiry.remove(&(entry.until, (resource.clone(), *kind, slot.clone())));
                }
            }
        }
    }

    /// Drops what has outlived its lifetime.
    pub fn expire(&mut self, now: Instant) {
        while self.expiry.first().is_some_and(|(until, _)| *until <= now) {
            let Some((_, key)) = self.expiry.pop_first() else { return };
            self.drop_value(&key);
            if key.1 == KindId::ACCESS_CONTROL_LIST {
                self.revoke(&key.0);
            }
        }
    }

    /// From now on these Kinds may be stored. What is here of another Kind goes, and so does what has another data model
    /// now or a value for which `keep` does not speak (CU-3).
    pub fn reconfigure(
        &mut self,
        kinds: impl IntoIterator<Item = Kind>,
        keep: impl Fn(&StoredValue) -> bool,
    ) {
        self.kinds = kinds.into_iter().map(|k| (k.id, k)).collect();
        let mut gone: Vec<ValueKey> = Vec::new();
        for (resource, here) in &self.resources {
            for (kind, group) in here.groups.iter() {
                let model = self.kinds.get(kind).map(|k| k.model);
                let stays = |slot: &Slot, entry: &Entry| model == Some(slot.model()) && keep(&entry.value);
                let leave = group.entries.iter().filter(|(slot, entry)| !stays(slot, entry));
                gone.extend(leave.map(|(slot, _)| (resource.clone(), *kind, slot.clone())));
            }
        }
        gone.iter().for_each(|key| self.drop_value(key));
    }

    /// Drops one value.
    pub fn discard(&mut self, resource: &ResourceId, kind: KindId, slot: &Slot) {
        self.drop_value(&(resource.clone(), kind, slot.clone()));
    }

    /// Takes one value out, and with it whatever is empty then.
    fn drop_value(&mut self, key: &ValueKey) {
        let (resource, kind, slot) = key;
        let Some(here) = self.resources.get_mut(resource) else { return };
        let Some(group) = here.groups.get_mut(kind) else { return };
        if let Some(entry) = group.entries.remove(slot) {
            self.writers.leave(&entry.value, entry.bytes);
            self.expiry.remove(&(entry.until, key.clone()));
        }
        if group.entries.is_empty() {
            here.groups.remove(kind);
        }
        if here.groups.is_empty() {
            self.resources.remove(resource);
        }
    }

    /// When the next value expires.
    pub fn deadline(&self) -> Option<Instant> {
        self.expiry.first().map(|(until, _)| *until)
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

/// The same bytes in buffers of their own: a value outlives the datagram that it came in.
fn owned(value: StoredValue) -> StoredValue {
    let copy = |b: &Bytes| Bytes::copy_from_slice(b);
    let Signature { mut identity, mut signed } = value.signature;
    identity.value = copy(&identity.value);
    signed.value = copy(&signed.value);
    StoredValue { value: value.value.as_ref().map(copy), signature: Signature { identity, signed }, ..value }
}

/// The index behind the last one, also of those written earlier in the same request.
fn next_index(group: Option<&Group>, writes: &[(Slot, Entry)]) -> Option<u32> {
    let written = writes.iter().filter_map(|(slot, _)| index(slot)).max();
    let last = group.and_then(last_index).max(written);
    last.map_or(Some(0), |n| n.checked_add(1)).filter(|&n| n != u32::MAX)
}

fn last_index(group: &Group) -> Option<u32> {
    group.entries.keys().next_back().and_then(index)
}

const fn index(slot: &Slot) -> Option<u32> {
    match slot {
        Slot::Index(n) => Some(*n),
        _ => None,
    }
}

/// Whole seconds left, at least one while it lives.
fn remaining(now: Instant, until: Instant) -> u32 {
    u32::try_from(until.since(now).as_secs()).unwrap_or(u32::MAX).max(1)
}

/// What a value costs: everything that its writer chose the length of, and a fixed part.
fn size(slot: &Slot, value: &StoredValue) -> usize {
    const FIXED: usize = 64;
    let key = match slot {
        Slot::Key(key) => key.len(),
        _ => 0,
    };
    let signature = value.signature.signed.value.len() + value.signature.identity.value.len();
    let granted = value.granted.as_ref().map_or(0, |granted| granted.nodes.len() * NodeId::LEN);
    FIXED + granted + key + value.value.as_ref().map_or(0, |v| v.len()) + signature
}

/// What was there before these writes and stays beside them.
fn staying<'a>(
    group: Option<&'a Group>,
    writes: &'a [(Slot, Entry)],
    gone: &'a [Slot],
) -> impl Iterator<Item = (&'a Slot, &'a Entry)> {
    let stays = |slot: &Slot| !gone.contains(slot) && writes.iter().all(|(s, _)| s != slot);
    group.into_iter().flat_map(|g| g.entries.iter()).filter(move |(slot, _)| stays(slot))
}

/// Values after these writes, if they make any more.
fn count(group: Option<&Group>, writes: &[(Slot, Entry)], gone: &[Slot]) -> Option<usize> {
    let is_new = |slot: &Slot| group.is_none_or(|g| !g.entries.contains_key(slot));
    let grows = writes.iter().any(|(slot, _)| is_new(slot));
    grows.then(|| staying(group, writes, gone).count() + writes.len())
}

/// Records that were granted in an earlier epoch than what the same owner grants now.
fn superseded(group: Option<&Group>, writes: &[(Slot, Entry)]) -> Vec<Slot> {
    let newer = |old: &Granted| {
        let granted = writes.iter().filter_map(|(_, entry)| entry.value.granted.as_ref());
        granted.into_iter().any(|new| new.owner == old.owner && new.epoch > old.epoch)
    };
    let is_over = |(_, entry): &(&Slot, &Entry)| entry.value.granted.as_ref().is_some_and(newer);
    staying(group, writes, &[]).filter(is_over).map(|(slot, _)| slot.clone()).collect()
}

/// The record that makes room for these writes: the oldest of the owner who has most of them, unless that is the one who
/// writes. Anybody can own a name where certificates are self-signed, so owners stand side by side, and none of them takes
/// all the room. What was removed belongs to nobody.
fn over_its_share(group: Option<&Group>, writes: &[(Slot, Entry)], gone: &[Slot]) -> Option<Slot> {
    let owner = |entry: &Entry| entry.value.granted.as_ref().map(|granted| granted.owner);
    let newcomer = writes.first().and_then(|(_, entry)| owner(entry))?;
    let place = |(slot, entry): (&'_ Slot, &'_ Entry)| (slot.clone(), owner(entry), entry.value.storage_time);
    let places: Vec<_> = staying(group, writes, gone).map(place).collect();
    let numbered = places.iter().enumerate();
    let places_of =
        numbered.map(|(key, (_, holder, used))| Place { holder: *holder, used: *used, may_go: true, key });
    let given = gives_way(places_of, Some(newcomer))?;
    let (slot, ..) = places.get(given.key)?;
    (given.holder != Some(newcomer)).then(|| slot.clone())
}

/// Bytes on the wire of the values of one Kind with these writes among them, each certificate counted once.
fn group_size(group: Option<&Group>, writes: &[(Slot, Entry)], gone: &[Slot]) -> usize {
    let old = staying(group, writes, gone);
    let mut certificates: Vec<&Bytes> = Vec::new();
    let mut bytes = 0;
    for (slot, entry) in old.chain(writes.iter().map(|(slot, entry)| (slot, entry))) {
        bytes += wire_size(slot, &entry.value);
        if let Some(der) = entry.value.signer.certificate.as_ref().filter(|der| !certificates.contains(der)) {
            bytes += GENERIC_CERTIFICATE + der.len();
            certificates.push(der);
        }
    }
    bytes
}

/// Bytes around a certificate in a SecurityBlock: type and length.
const GENERIC_CERTIFICATE: usize = 3;

/// Bytes of a StoredData.
fn wire_size(slot: &Slot, value: &StoredValue) -> usize {
    const STORED_DATA: usize = 4 + 8 + 4;
    const DATA_VALUE: usize = 1 + 4;
    const SIGNATURE: usize = 2 + 1 + 2 + 2;
    let place = match slot {
        Slot::Single => 0,
        Slot::Index(_) => 4,
        Slot::Key(key) => 2 + key.len(),
    };
    let Signature { identity, signed } = &value.signature;
    let opaque = value.value.as_ref().map_or(0, |v| v.len()) + identity.value.len() + signed.value.len();
    STORED_DATA + DATA_VALUE + SIGNATURE + place + opaque
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Signed, Signer};
    use crate::time::UnixMillis;
    use alloc::vec;

    use crate::reload::codec::DataModel;

    const A: NodeId = NodeId([0xaa; 16]);
    const B: NodeId = NodeId([0xbb; 16]);
    const SINGLE: KindId = KindId(0xf000_0001);
    const ARRAY: KindId = KindId(0xf000_0002);
    const LIMITS: Limits = Limits {
        resources: 4,
        values: 8,
        bytes: 4000,
        signer_values: 6,
        signer_bytes: 2000,
        group_bytes: 1000,
        answer: 100,
        epochs: 4,
        lifetime: Duration::from_secs(3600),
    };

    fn storage() -> Storage {
        let of = |id, model| Kind {
            id,
            model,
            access: Access::NodeMatch,
            max_count: 4,
            max_size: 10,
            findable: true,
        };
        let kinds = [of(SINGLE, DataModel::Single), of(ARRAY, DataModel::Array), Kind::CHANNEL];
        Storage::new(kinds, LIMITS)
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    /// The Resource-ID at which A may write under NODE-MATCH.
    fn home() -> ResourceId {
        ResourceId::of_name(&A.0)
    }

    fn party(node_id: NodeId) -> Arc<Party> {
        let key = KeyFingerprint::of(&node_id.0);
        Arc::new(Party { node_id, node_ids: vec![node_id], user: None, key, certificate: None })
    }

    fn by_a() -> Origin {
        Origin::Original { sender: party(A) }
    }

    fn value(signer: NodeId, storage_time: u64, bytes: &'static [u8]) -> StoredValue {
        StoredValue {
            storage_time: UnixMillis(storage_time),
            value: Some(Bytes::from_static(bytes)),
            signature: Signature {
                identity: Signer { identity_type: 2, value: Bytes::copy_from_slice(&signer.0) },
                signed: Signed { hash: 0, signature: 0, value: Bytes::from_static(bytes) },
            },
            signer: party(signer),
            granted: None,
        }
    }

    fn arrival(slot: Slot, lifetime: u32, value: StoredValue) -> Arrival {
        Arrival { slot, lifetime, value }
    }

    fn own(node: NodeId, storage_time: u64) -> Arrival {
        arrival(Slot::Key(Bytes::copy_from_slice(&node.0)), 600, value(node, storage_time, b"x"))
    }

    fn kind(kind: KindId, generation: u64, values: Vec<Arrival>) -> KindValues {
        KindValues { kind, generation, values }
    }

    fn put(s: &mut Storage, kind_values: KindValues) -> Result<u64, Refusal> {
        s.store(at(0), &home(), by_a(), vec![kind_values]).map(|stored| stored.counters[0].1)
    }

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
    fn st2_an_identical_value_is_a_success_that_changes_nothing_and_prolongs_nothing() {
        let mut s = storage();
        put(&mut s, kind(KindId::CHANNEL, 0, vec![own(A, 5)])).unwrap();
        let again =
            s.store(at(300), &home(), by_a(), vec![kind(KindId::CHANNEL, 0, vec![own(A, 5)])]).unwrap();
        assert_eq!((again.counters[0].1, again.changed), (1, false));
        assert_eq!(s.deadline(), Some(at(600)));
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
    fn st5_st6_values_expire_by_the_local_clock_and_are_handed_over_with_what_is_left() {
        let mut s = storage();
        let values = vec![kind(KindId::CHANNEL, 0, vec![own(A, 5)])];
        s.store(at(100), &home(), by_a(), values).unwrap();
        let (_, groups) = s.hand_over(at(250), &home()).unwrap();
        assert_eq!((groups[0].generation, groups[0].values[0].lifetime), (1, 450));
        s.expire(at(699));
        assert_eq!(s.len(), 1, "it counts from when it came");
        s.expire(at(700));
        assert!(s.is_empty() && s.bytes() == 0 && s.resources().count() == 0);
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
    fn dm2_dm5_an_array_is_sparse_and_a_fetch_fills_the_gaps() {
        let mut s = storage();
        put(&mut s, kind(ARRAY, 0, vec![arrival(Slot::Index(2), 600, value(A, 1, b"x"))])).unwrap();
        put(&mut s, kind(ARRAY, 0, vec![arrival(Slot::APPEND, 600, value(A, 1, b"y"))])).unwrap();
        let mut ask = |first, last| {
            let selection = Selection::Array(vec![ArrayRange { first, last }]);
            s.fetch(at(0), &home(), ARRAY, 0, &selection)
                .map(|(_, found)| found.into_iter().map(|f| (f.slot, f.value.is_some())).collect::<Vec<_>>())
        };
        let i = Slot::Index;
        assert_eq!(ask(0, 2), Ok(vec![(i(0), false), (i(1), false), (i(2), true)]));
        assert_eq!(
            ask(1, u32::MAX),
            Ok(vec![(i(1), false), (i(2), true), (i(3), true)]),
            "clipped to the end"
        );
        assert_eq!(ask(u32::MAX, u32::MAX), Ok(vec![(i(3), true)]), "the last element");
        assert_eq!(ask(3, 1), Err(Refusal::Invalid), "FE-2");
    }

    #[test]
    fn fe7_a_gap_of_billions_is_refused_and_not_filled() {
        let mut s = storage();
        put(&mut s, kind(ARRAY, 0, vec![arrival(Slot::Index(0xf000_0000), 600, value(A, 1, b"x"))])).unwrap();
        let ask = |s: &mut Storage, first| {
            let ranges = vec![ArrayRange { first, last: u32::MAX }];
            s.fetch(at(0), &home(), ARRAY, 0, &Selection::Array(ranges))
        };
        assert_eq!(ask(&mut s, 0), Err(Refusal::DataTooLarge));
        assert_eq!(ask(&mut s, 0xf000_0000).unwrap().1.len(), 1);
    }

    #[test]
    fn fe3_fe5_no_keys_mean_all_and_a_known_generation_means_none() {
        let mut s = storage();
        put(&mut s, kind(KindId::CHANNEL, 0, vec![own(A, 1)])).unwrap();
        let all = Selection::Dictionary(vec![]);
        let mut count = |known| s.fetch(at(0), &home(), KindId::CHANNEL, known, &all).unwrap().1.len();
        assert_eq!((count(0), count(1), count(2)), (1, 0, 1));
        let absent = Selection::Dictionary(vec![Bytes::from_static(b"?")]);
        let (_, found) = s.fetch(at(0), &home(), KindId::CHANNEL, 0, &absent).unwrap();
        assert_eq!(found, [Found { slot: Slot::Key(Bytes::from_static(b"?")), value: None }]);
        assert!(found[0].to_wire().signature.is_none());
    }

    /// The same value under a certificate of so many bytes.
    fn certified(mut value: StoredValue, key: u8, bytes: usize) -> StoredValue {
        let certificate = Some(Bytes::from(vec![key; bytes]));
        value.signer = Arc::new(Party { certificate, ..Party::clone(&value.signer) });
        value
    }

    #[test]
    fn k8_a_certificate_costs_once_however_many_values_it_is_for_and_goes_with_the_last() {
        let mut s = storage();
        let at = |s: &mut Storage, name: &[u8], der: u8, time| {
            let value = certified(value(A, time, b"x"), der, 300);
            let own = arrival(Slot::Key(Bytes::copy_from_slice(&A.0)), 600, value);
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
            let own = arrival(Slot::Key(Bytes::copy_from_slice(&who.0)), lifetime, value);
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
            let own = arrival(Slot::Key(Bytes::copy_from_slice(&who.0)), 600, value);
            let origin = Origin::Original { sender: party(who) };
            s.store(at(0), &home(), origin, vec![kind(KindId::CHANNEL, 0, vec![own])]).map(|_| ())
        };
        assert_eq!(put(&mut s, A, 1, 450), Ok(()));
        assert_eq!(put(&mut s, B, 1, 500), Err(Refusal::DataTooLarge));
        assert_eq!(put(&mut s, B, 1, 350), Ok(()));
        let all = s.fetch(at(0), &home(), KindId::CHANNEL, 0, &Selection::Dictionary(vec![])).unwrap().1;
        let certificates: usize = all.iter().filter_map(Found::certificate).map(|der| 3 + der.len()).sum();
        let values: Vec<_> = all.iter().map(Found::to_wire).collect();
        let encoded = crate::reload::codec::RawValues::encode_values(&values).unwrap().0.len();
        let group = s.resources.values().next().unwrap().groups.get(&KindId::CHANNEL);
        assert_eq!(group_size(group, &[], &[]), encoded + certificates, "counted as it is written");
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
