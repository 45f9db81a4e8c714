//! The store itself.

use super::kind::{Access, Kind};
use super::value::{Arrival, Found, Slot, StoredValue};
use crate::ids::{NodeId, ResourceId};
use crate::reload::codec::body::{ArrayRange, Selection};
use crate::reload::codec::{DataModel, KindId, Signature};
use crate::reload::timers::Timers;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// How much may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Resource-IDs.
    pub resources: usize,
    /// Values of all of them.
    pub values: usize,
    /// Bytes of all values with their keys and signatures.
    pub bytes: usize,
    /// Values in the answer to one Fetch, synthetic ones included.
    pub answer: usize,
}

/// Who asks to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A writer: the generation counter is checked and counted (ST-7, ST-8), and the sender must be authorised too.
    Original {
        /// Who signed the StoreReq.
        sender: NodeId,
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
    entries: BTreeMap<Slot, Entry>,
}

#[derive(Clone, Debug, Default)]
struct Resource {
    groups: BTreeMap<KindId, Group>,
    /// Changes whenever a value does.
    version: u64,
    /// Nodes that hold the present version as replicas.
    placed: Vec<NodeId>,
}

type ValueKey = (ResourceId, KindId, Slot);

/// Everything stored at one peer.
#[derive(Clone, Debug)]
pub struct Storage {
    kinds: BTreeMap<KindId, Kind>,
    limits: Limits,
    resources: BTreeMap<ResourceId, Resource>,
    expiry: Timers<ValueKey>,
    bytes: usize,
    values: usize,
    /// The version of the last change, of whatever Resource-ID.
    version: u64,
}

/// Slots that a Store writes, decided before anything is changed.
struct Plan {
    kind: KindId,
    generation: u64,
    writes: Vec<(Slot, Entry)>,
}

impl Storage {
    /// An empty store for these Kinds.
    pub fn new(kinds: impl IntoIterator<Item = Kind>, limits: Limits) -> Self {
        Storage {
            kinds: kinds.into_iter().map(|k| (k.id, k)).collect(),
            limits,
            resources: BTreeMap::new(),
            expiry: Timers::new(),
            bytes: 0,
            values: 0,
            version: 0,
        }
    }

    /// The definition of a Kind, when it may be stored here.
    pub fn kind(&self, id: KindId) -> Option<&Kind> {
        self.kinds.get(&id)
    }

    /// Stores values of several Kinds under one Resource-ID: all of them or none (ST-11). Gives the generation counter
    /// of each Kind, and whether anything changed: what is here already, byte for byte, is not stored again.
    pub fn store(
        &mut self,
        now: Instant,
        resource: &ResourceId,
        origin: Origin,
        groups: Vec<KindValues>,
    ) -> Result<(Vec<(KindId, u64)>, bool), Refusal> {
        self.expire(now);
        let mut plans: Vec<Plan> = Vec::with_capacity(groups.len());
        let mut low = Vec::new();
        for KindValues { kind, generation, values } in groups {
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
            plans.push(self.plan(now, resource, origin, kind, generation, values)?);
        }
        if !low.is_empty() {
            return Err(Refusal::GenerationCounterTooLow(low));
        }
        self.check_limits(resource, &plans)?;
        Ok(self.apply(resource, plans))
    }

    fn plan(
        &self,
        now: Instant,
        resource: &ResourceId,
        origin: Origin,
        kind: KindId,
        generation: u64,
        arrivals: Vec<Arrival>,
    ) -> Result<Plan, Refusal> {
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
            let sender = match origin {
                Origin::Original { sender } => sender,
                Origin::Replica => value.signer,
            };
            let allowed = |who| definition.access.allows(who, resource, &slot);
            if !allowed(value.signer) || !allowed(sender) {
                return Err(Refusal::Forbidden);
            }
            if value.value.as_ref().is_some_and(|v| v.len() > definition.max_size) {
                return Err(Refusal::DataTooLarge);
            }
            if let Some(old) = group.and_then(|g| g.entries.get(&slot)) {
                if old.value == value {
                    continue;
                }
                if value.storage_time <= old.value.storage_time {
                    return Err(Refusal::DataTooOld);
                }
            }
            // A value without any lifetime would be gone before it could be fetched: it gets the least there is.
            let until = now + Duration::from_secs(lifetime.max(1).into());
            let bytes = size(&slot, &value);
            let slot = match slot {
                Slot::Key(key) => Slot::Key(Bytes::copy_from_slice(&key)),
                slot => slot,
            };
            writes.push((slot, Entry { value: owned(value), until, bytes }));
        }
        let old = group.map_or(0, |g| g.entries.len());
        let new = writes.iter().filter(|(s, _)| group.is_none_or(|g| !g.entries.contains_key(s))).count();
        if old + new > definition.max_count && new > 0 {
            return Err(Refusal::DataTooLarge);
        }
        let generation = match origin {
            Origin::Replica => generation,
            Origin::Original { .. } if writes.is_empty() => group.map_or(0, |g| g.generation),
            Origin::Original { .. } => group.map_or(0, |g| g.generation).saturating_add(1),
        };
        Ok(Plan { kind, generation, writes })
    }

    fn check_limits(&self, resource: &ResourceId, plans: &[Plan]) -> Result<(), Refusal> {
        let here = self.resources.get(resource);
        let (mut values, mut bytes, mut freed) = (self.values, self.bytes, 0);
        for plan in plans {
            let group = here.and_then(|r| r.groups.get(&plan.kind));
            for (slot, entry) in &plan.writes {
                bytes += entry.bytes;
                match group.and_then(|g| g.entries.get(slot)) {
                    Some(old) => freed += old.bytes,
                    None => values += 1,
                }
            }
        }
        let full = here.is_none() && self.resources.len() >= self.limits.resources
            || values > self.limits.values
            || bytes.saturating_sub(freed) > self.limits.bytes;
        let writes = plans.iter().any(|p| !p.writes.is_empty());
        if full && writes { Err(Refusal::DataTooLarge) } else { Ok(()) }
    }

    fn apply(&mut self, resource: &ResourceId, plans: Vec<Plan>) -> (Vec<(KindId, u64)>, bool) {
        let changed = plans.iter().any(|p| !p.writes.is_empty());
        let answers = plans.iter().map(|p| (p.kind, p.generation)).collect();
        if !changed {
            return (answers, false);
        }
        self.version += 1;
        let here = self.resources.entry(resource.clone()).or_default();
        here.version = self.version;
        here.placed.clear();
        for plan in plans.into_iter().filter(|p| !p.writes.is_empty()) {
            let group = here.groups.entry(plan.kind).or_default();
            group.generation = plan.generation;
            for (slot, entry) in plan.writes {
                self.expiry.set((resource.clone(), plan.kind, slot.clone()), Some(entry.until));
                self.bytes += entry.bytes;
                self.values += 1;
                if let Some(old) = group.entries.insert(slot, entry) {
                    self.bytes -= old.bytes;
                    self.values -= 1;
                }
            }
        }
        (answers, true)
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
            _ if selection_model(selection) != model => return Err(Refusal::Invalid),
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
        if let Some(here) = self.resources.get_mut(resource) {
            if here.version == version && !here.placed.contains(&at) {
                here.placed.push(at);
            }
        }
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
            for (kind, group) in here.groups {
                for (slot, entry) in group.entries {
                    self.bytes -= entry.bytes;
                    self.values -= 1;
                    self.expiry.clear(&(resource.clone(), kind, slot));
                }
            }
        }
    }

    /// Drops what has outlived its lifetime.
    pub fn expire(&mut self, now: Instant) {
        while let Some((resource, kind, slot)) = self.expiry.pop_due(now) {
            let Some(here) = self.resources.get_mut(&resource) else { continue };
            let Some(group) = here.groups.get_mut(&kind) else { continue };
            if let Some(entry) = group.entries.remove(&slot) {
                self.bytes -= entry.bytes;
                self.values -= 1;
            }
            if group.entries.is_empty() {
                here.groups.remove(&kind);
            }
            if here.groups.is_empty() {
                self.resources.remove(&resource);
            }
        }
    }

    /// When the next value expires.
    pub fn deadline(&self) -> Option<Instant> {
        self.expiry.deadline()
    }

    /// Values stored now.
    pub fn len(&self) -> usize {
        self.values
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.values == 0
    }

    /// Bytes stored now.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Access {
    /// Whether a signer may write into this slot.
    pub fn allows(self, signer: NodeId, resource: &ResourceId, slot: &Slot) -> bool {
        match self {
            Access::NodeIdMatch => matches!(slot, Slot::Key(key) if key.as_ref() == signer.0),
            Access::NodeMatch => ResourceId::of_name(&signer.0) == *resource,
        }
    }
}

const fn selection_model(selection: &Selection) -> DataModel {
    match selection {
        Selection::Single => DataModel::Single,
        Selection::Array(_) => DataModel::Array,
        Selection::Dictionary(_) => DataModel::Dictionary,
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
    group.entries.last_key_value().and_then(|(slot, _)| index(slot))
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
    FIXED + key + value.value.as_ref().map_or(0, |v| v.len()) + signature
}
