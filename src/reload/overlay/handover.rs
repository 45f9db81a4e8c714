//! Stored values on their way to other peers: replicas (CH-6, CU10-9), what a Joining Node will own (§10.5 step 6), and
//! what a node finds it no longer owns (JL-8), or holds for an owner that may not have it. One queue, a few at a time.

use super::{Context, Failure, Overlay, Phase, Purpose, Task};
use crate::ids::{NodeId, ResourceId};
use crate::reload::codec::body::{FetchReq, StoreKindData, StoreReq, StoredDataSpecifier};
use crate::reload::codec::{Body, ErrorCode, KindId, RawValues, StoredData};
use crate::reload::storage::Arrival;
use crate::reload::topology::Topology;
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// Bytes of a StoreReq around its values: header with a short path, signature, certificate.
const OVERHEAD: usize = 1024;

/// Messages that carry one Resource-ID to one peer.
#[derive(Clone, Debug)]
struct Flight {
    version: u64,
    open: usize,
    failed: bool,
}

/// What waits and what is on its way. It grows with the stored Resource-IDs times the few peers that shall have them.
#[derive(Clone, Debug)]
pub(super) struct Handover {
    queue: BTreeSet<(NodeId, ResourceId)>,
    flights: BTreeMap<(NodeId, ResourceId), Flight>,
    limit: usize,
}

impl Handover {
    pub(super) const fn new(limit: usize) -> Self {
        Handover { queue: BTreeSet::new(), flights: BTreeMap::new(), limit }
    }

    /// Wants the present version of a Resource-ID to be at a peer.
    pub(super) fn add(&mut self, to: NodeId, resource: ResourceId) {
        self.queue.insert((to, resource));
    }

    /// Whether anything is still to go to a peer.
    pub(super) fn concerns(&self, to: NodeId) -> bool {
        self.queue.iter().chain(self.flights.keys()).any(|(n, _)| *n == to)
    }

    /// Whether anything is still to go to anybody.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.flights.is_empty()
    }

    /// A peer is gone; nothing goes there any more.
    pub(super) fn forget(&mut self, to: NodeId) {
        self.queue.retain(|(n, _)| *n != to);
        self.flights.retain(|(n, _), _| *n != to);
    }

    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.flights.clear();
    }

    fn next(&mut self) -> Option<(NodeId, ResourceId)> {
        if self.flights.len() >= self.limit {
            return None;
        }
        let next = self.queue.iter().find(|key| !self.flights.contains_key(key)).cloned()?;
        self.queue.take(&next)
    }
}

impl<T: Topology> Overlay<T> {
    /// Sends as much of the queue as may be under way at one time.
    pub(super) fn hand_over(&mut self, now: Instant, ctx: &mut Context<'_>) {
        while let Some((to, resource)) = self.handover.next() {
            let Some((version, messages)) = self.hand_over_messages(now, &resource) else { continue };
            let mut flight = Flight { version, open: 0, failed: false };
            for Parcel { kind_data, certificates } in messages {
                let store = StoreReq { resource: resource.clone(), replica_number: 1, kind_data };
                let purpose = Purpose::Replica { to, resource: resource.clone() };
                let body = Body::StoreReq(store);
                match self.request_with(now, vec![to.into()], &body, &certificates, purpose, ctx) {
                    Ok(()) => flight.open += 1,
                    Err(_) => flight.failed = true,
                }
            }
            if flight.failed {
                self.tasks.hasten(Task::Replicate, now + self.config.timers.hold_down);
            }
            if flight.open > 0 {
                self.handover.flights.insert((to, resource), flight);
            }
        }
        self.continue_admission(now, ctx);
    }

    /// Everything under a Resource-ID, cut into messages that are small enough.
    fn hand_over_messages(&self, now: Instant, resource: &ResourceId) -> Option<(u64, Vec<Parcel>)> {
        let (version, groups) = self.storage.hand_over(now, resource)?;
        let room = self.config.limits.message_size.saturating_sub(OVERHEAD);
        let mut messages = Vec::new();
        for group in groups {
            let mut batch = Batch::default();
            for value in &group.values {
                let size = batch.size_of(value)?;
                if batch.bytes + size > room && !batch.values.is_empty() {
                    messages.extend(core::mem::take(&mut batch).parcel(group.kind, group.generation));
                }
                batch.add(value)?;
            }
            messages.extend(batch.parcel(group.kind, group.generation));
        }
        Some((version, messages))
    }

    /// A peer has taken a replica, or has not.
    pub(super) fn on_handed_over(
        &mut self,
        now: Instant,
        to: NodeId,
        resource: ResourceId,
        result: Result<(), Failure>,
        ctx: &mut Context<'_>,
    ) {
        if self.admission == Some(to) && result == Err(Failure::Timeout) {
            // Whoever wants to join and takes nothing must not keep others out.
            self.admission = None;
            self.handover.forget(to);
        }
        let key = (to, resource);
        let Some(flight) = self.handover.flights.get_mut(&key) else { return };
        flight.open = flight.open.saturating_sub(1);
        flight.failed |= result.is_err();
        let newer_there = matches!(
            result,
            Err(Failure::Refused(ErrorCode::DATA_TOO_OLD | ErrorCode::GENERATION_COUNTER_TOO_LOW))
        );
        if flight.open == 0 {
            let Flight { version, failed, .. } = flight.clone();
            self.handover.flights.remove(&key);
            let refused = result == Err(Failure::Refused(ErrorCode::FORBIDDEN));
            if failed {
                // Tables that disagree agree before long.
                let timers = &self.config.timers;
                let pause = if refused { timers.neighbor_ping_interval } else { timers.hold_down };
                self.tasks.hasten(Task::Replicate, now + pause);
                if let Some(place) = key.1.to_u128().filter(|&p| refused && !self.topology.holds(p)) {
                    // Its owner is somebody else than this node thinks. It may be the only one who has this version, so it
                    // looks for the owner before it drops it.
                    self.ping_for_finger(now, place, ctx);
                }
            } else if self.admission == Some(to) || self.is_a_place_of(to, &key.1) {
                self.storage.mark_placed(&key.1, version, to);
                if key.1.to_u128().is_some_and(|place| !self.topology.holds(place)) {
                    // Its owner has it: it can be dropped before long.
                    let pause = self.config.timers.neighbor_ping_interval * 2;
                    self.tasks.hasten(Task::Prune, now + pause);
                }
            }
        }
        if result == Err(Failure::Refused(ErrorCode::FORBIDDEN)) {
            self.drop_what_expired(now, &key.1, ctx);
        }
        if newer_there {
            self.adopt(now, to, key.1, ctx);
        }
        self.hand_over(now, ctx);
    }

    /// Whether a peer is to hold a replica of something that this node is responsible for, or is itself responsible.
    fn is_a_place_of(&self, peer: NodeId, resource: &ResourceId) -> bool {
        match resource.to_u128().map(|place| self.topology.owner(place)) {
            Some(None) => self.topology.replicas().contains(&peer),
            Some(owner) => owner == Some(peer),
            None => false,
        }
    }

    /// Whether this node is responsible for something of which nobody else is known to have a copy: that does not wait
    /// for the hold-down.
    pub(super) fn holds_the_only_copy(&self) -> bool {
        let replicas = self.topology.replicas();
        let mine = self.storage.resources().filter(|r| self.is_responsible_for(r));
        mine.into_iter().any(|r| !replicas.iter().any(|&at| self.storage.is_placed(r, at)))
    }

    /// The responsible peer has sent this, so it has it.
    pub(super) fn note_owner(&mut self, resource: &ResourceId, from: NodeId) {
        let owner = resource.to_u128().and_then(|place| self.topology.owner(place));
        let version = self.storage.version(resource).filter(|_| owner == Some(from));
        if let Some(version) = version {
            self.storage.mark_placed(resource, version, from);
        }
    }

    /// Hands what belongs to another peer to it, unless it is known to have it: it may have taken over from a lost peer
    /// without having been one of its replicas.
    pub(super) fn return_to_owners(&mut self, now: Instant, ctx: &mut Context<'_>) {
        if !matches!(self.phase, Phase::Member) {
            return;
        }
        let resources: Vec<ResourceId> = self.storage.resources().cloned().collect();
        for resource in resources {
            let owner = resource.to_u128().and_then(|place| self.topology.owner(place));
            if let Some(owner) = owner.filter(|&owner| !self.storage.is_placed(&resource, owner)) {
                self.handover.add(owner, resource);
            }
        }
        self.hand_over(now, ctx);
    }

    /// A peer holds something newer: fetches it, to take its place here (ST-16).
    fn adopt(&mut self, now: Instant, from: NodeId, resource: ResourceId, ctx: &mut Context<'_>) {
        let adopting = self.requests.iter().filter(|(_, r)| matches!(r.purpose, Purpose::Adopt { .. }));
        if adopting.count() >= self.config.limits.transfers {
            return;
        }
        let specifiers: Vec<StoredDataSpecifier> = self
            .config
            .kinds
            .iter()
            .filter_map(|k| StoredDataSpecifier::new(k.id, &k.everything()).ok())
            .collect();
        let fetch = Body::FetchReq(FetchReq { resource: resource.clone(), specifiers });
        // Tried again with the next round of replicas.
        let _ = self.request(now, vec![from.into()], &fetch, Purpose::Adopt { resource }, ctx);
    }

    /// Sees to it that this node's replicas are where they belong, and that an owner has what does not belong here (CU10-9).
    pub(super) fn replicate(&mut self, now: Instant, ctx: &mut Context<'_>) {
        if !matches!(self.phase, Phase::Member | Phase::Leaving) {
            return;
        }
        self.holds_down = false;
        let replicas = self.topology.replicas();
        let resources: Vec<ResourceId> = self.storage.resources().cloned().collect();
        for resource in resources {
            let mine = resource.to_u128().is_some_and(|place| self.topology.is_responsible(place));
            for &to in replicas.iter().filter(|_| mine) {
                if !self.storage.is_placed(&resource, to) {
                    self.handover.add(to, resource.clone());
                }
            }
        }
        self.send_home();
        self.hand_over(now, ctx);
    }

    /// What belongs here no longer goes to its owner, unless that is known to have it.
    fn send_home(&mut self) {
        let homeless = |r: &ResourceId| {
            let place = r.to_u128().filter(|&place| !self.topology.holds(place))?;
            self.topology.owner(place).filter(|&owner| !self.storage.is_placed(r, owner))
        };
        let homeless: Vec<(NodeId, ResourceId)> =
            self.storage.resources().filter_map(|r| Some((homeless(r)?, r.clone()))).collect();
        homeless.into_iter().for_each(|(owner, resource)| self.handover.add(owner, resource));
    }

    /// Drops what does not belong here any more (CU10-9). It stays for as long as the death of a peer may go unnoticed after
    /// the last change of the neighbours: whoever came in between may not have it yet from an owner that has just died.
    pub(super) fn prune(&mut self, now: Instant, ctx: &mut Context<'_>) {
        // What its owner is not known to have is on its way there after this, and stays.
        self.send_home();
        self.hand_over(now, ctx);
        let (topology, handover) = (&self.topology, &self.handover);
        let leaving: BTreeSet<&ResourceId> =
            handover.queue.iter().chain(handover.flights.keys()).map(|(_, r)| r).collect();
        self.storage.retain(|resource| {
            leaving.contains(resource) || resource.to_u128().is_some_and(|place| topology.holds(place))
        });
        let homeless = |r: &ResourceId| r.to_u128().is_some_and(|place| !self.topology.holds(place));
        if self.storage.resources().any(homeless) {
            self.prune_later(now);
        }
    }

    /// Sets the time of the next [`Overlay::prune`]: two rounds of Pings from now.
    pub(super) fn prune_later(&mut self, now: Instant) {
        self.tasks.set(Task::Prune, Some(now + self.config.timers.neighbor_ping_interval * 2));
    }

    /// A value changed here: its replicas follow at once.
    pub(super) fn replicate_one(&mut self, now: Instant, resource: &ResourceId, ctx: &mut Context<'_>) {
        if !matches!(self.phase, Phase::Member | Phase::Leaving) {
            return;
        }
        for to in self.topology.replicas() {
            self.handover.add(to, resource.clone());
        }
        self.hand_over(now, ctx);
    }
}

/// One message: values, and the certificates under their signatures (SB-3, SB-4).
struct Parcel {
    kind_data: Vec<StoreKindData>,
    certificates: Vec<Bytes>,
}

#[derive(Default)]
struct Batch {
    values: Vec<StoredData>,
    certificates: Vec<Bytes>,
    bytes: usize,
}

impl Batch {
    /// Bytes that a value would add, with its signer's certificate if that is not there yet.
    fn size_of(&self, value: &Arrival) -> Option<usize> {
        let certificate = value.value.signer.certificate.as_ref();
        let added = certificate.filter(|der| !self.certificates.contains(der)).map_or(0, |der| der.len());
        Some(RawValues::encode_values(&[value.to_wire()]).ok()?.0.len() + added)
    }

    fn add(&mut self, value: &Arrival) -> Option<()> {
        self.bytes += self.size_of(value)?;
        let certificate = value.value.signer.certificate.as_ref();
        self.certificates.extend(certificate.filter(|der| !self.certificates.contains(der)).cloned());
        self.values.push(value.to_wire());
        Some(())
    }

    fn parcel(self, kind: KindId, generation_counter: u64) -> Option<Parcel> {
        if self.values.is_empty() {
            return None;
        }
        let values = RawValues::encode_values(&self.values).ok()?;
        let kind_data = vec![StoreKindData { kind, generation_counter, values }];
        Some(Parcel { kind_data, certificates: self.certificates })
    }
}
