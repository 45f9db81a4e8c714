//! Membership: who comes and goes, Updates, stabilisation, leaving (RFC 6940 §10.7 to §10.9).

use super::exchange::refuse;
use super::receive::Incoming;
use super::{Context, Fact, Overlay, Phase, Purpose, Task};
use crate::ids::{NodeId, ResourceId};
use crate::reload::codec::body::{LeaveReq, PingReq, RouteQueryReq};
use crate::reload::codec::{Body, ChordLeaveData, ChordUpdate, Destination, ErrorCode, Structure};
use crate::reload::topology::{Change, Heard, Place, Topology, UpdateScope};
use crate::time::{Duration, Instant};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

/// Bootstrap nodes remembered (BS-2).
const BOOTSTRAPS: usize = 10;

/// Neighbours that could not be had and are remembered. Full: others are asked about along with these.
const MISSED: usize = 16;

/// Whoever has taken over from a lost peer makes replicas within this time. Who holds a value and hears nothing from its
/// new owner tells it.
const RETURN_AFTER: Duration = Duration::from_secs(1);

/// Why a peer is no longer in the Routing Table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It does not answer. Its place may be taken by a better match within the hold-down (CU10-4).
    Lost,
    /// It said goodbye, and its lists with it.
    Left,
}

impl<T: Topology> Overlay<T> {
    /// This node is a member from now on.
    pub(super) fn become_member(&mut self, now: Instant, ctx: &mut Context<'_>) {
        self.phase = Phase::Member;
        self.member_since = now;
        self.topology.enter();
        self.tasks.clear(&Task::Join);
        ctx.effects.fact(Fact::Joined);
        let timers = self.config.timers;
        self.tasks.set(Task::Update, Some(now));
        self.tasks.set(Task::Replicate, Some(now + timers.settle));
        self.tasks.set(Task::Fingers, Some(now + timers.settle));
        self.tasks.set(Task::Usages, Some(now + timers.settle));
        self.again(now, Task::PeriodicUpdate, timers.update_interval, ctx);
        self.watch_neighbors(now, ctx);
        self.again(now, Task::Partition, timers.partition_interval, ctx);
    }

    /// Sets a periodic task for its next time, ± 25 % so that not everybody is due at once (CU10-10).
    pub(super) fn again(&mut self, now: Instant, task: Task, interval: Duration, ctx: &mut Context<'_>) {
        let quarter = u64::try_from(interval.as_micros() / 4).unwrap_or(u64::MAX / 4);
        let jitter = Duration::from_micros(ctx.entropy.below(quarter * 2));
        self.tasks.set(task, Some(now + interval * 3 / 4 + jitter));
    }

    /// A peer can be routed through: linked, Attached, and it has sent an Update.
    pub(super) fn on_peer(&mut self, now: Instant, peer: NodeId, ctx: &mut Context<'_>) {
        let change = self.topology.insert(peer);
        if !self.is_joined() {
            return;
        }
        if change.range {
            // What lies in front of the new predecessor belongs to it now (JL-8).
            let resources: Vec<ResourceId> = self.storage.resources().cloned().collect();
            for resource in resources {
                let Some(place) = resource.to_u128() else { continue };
                let passed =
                    !self.topology.is_responsible(place) && self.topology.is_close_enough(peer, place);
                if passed && !self.storage.is_placed(&resource, peer) {
                    self.handover.add(peer, resource);
                }
            }
            self.hand_over(now, ctx);
        }
        self.note(now, change, self.config.timers.settle);
        if change.neighbors {
            self.tasks.hasten(Task::Return, now + self.config.timers.hold_down);
        }
    }

    /// A peer cannot be routed through any more.
    pub(super) fn on_lost(&mut self, now: Instant, peer: NodeId, cause: Cause, ctx: &mut Context<'_>) {
        let was_finger = self.topology.fingers().contains(&peer);
        let was_known = self.topology.contains(peer);
        let change = self.topology.remove(peer);
        if self.admission == Some(peer) {
            self.admission = None;
        }
        self.handover.forget(peer);
        self.requests.retain(|r| !r.purpose.ends_with(peer));
        self.storage.keep_placed(|_, at| at != peer);
        self.on_admitting_peer_lost(now, peer, ctx);
        if !was_known {
            return;
        }
        match self.phase {
            Phase::Member => {}
            // Whoever should have held a replica goes too: those who stay shall have it.
            Phase::Leaving => return self.replicate(now, ctx),
            Phase::Client => return self.on_peer_of_client_lost(now, ctx),
            Phase::Idle | Phase::Joining(_) => return,
        }
        let settle = self.config.timers.settle;
        let replicas_after = match cause {
            Cause::Lost if change.replicas && !self.holds_the_only_copy() => self.config.timers.hold_down,
            _ => settle,
        };
        self.note(now, change, replicas_after);
        self.holds_down |= replicas_after > settle;
        if change.neighbors {
            self.tasks.hasten(Task::Return, now + RETURN_AFTER);
            // Others may have been wrong about it too, or have told of better ones when this node did not listen.
            self.recheck(peer, now + self.config.timers.hold_down);
        }
        if was_finger {
            self.replace_finger(now, peer, ctx);
        }
        if self.topology.is_empty() {
            // Alone, or cut off: look for the others (CU10-5).
            self.rejoining = None;
            self.tasks.hasten(Task::Partition, now + settle);
        }
    }

    /// Lets Updates and replicas follow from a change (CU10-3, CU10-8, CU10-9).
    fn note(&mut self, now: Instant, change: Change, replicas_after: Duration) {
        if change.any() {
            // Whoever is no replica of a value now may drop it, and become one again without it.
            let (topology, replicas) = (&self.topology, self.topology.replicas());
            self.storage.keep_placed(|resource, at| {
                resource.to_u128().is_some_and(|place| match topology.owner(place) {
                    None => replicas.contains(&at),
                    owner => owner == Some(at),
                })
            });
        }
        if change.neighbors || change.range {
            self.tasks.hasten(Task::Update, now + self.config.timers.settle);
        }
        // A predecessor farther away decides which replicas belong here no longer.
        if change.any() {
            self.tasks.hasten(Task::Replicate, now + replicas_after);
            self.prune_later(now);
        }
    }

    /// Attaches to those of these nodes that belong into the neighbor table (CU10-7).
    pub(super) fn consider(
        &mut self,
        now: Instant,
        nodes: &[NodeId],
        learned_from: NodeId,
        ctx: &mut Context<'_>,
    ) {
        let (shunned, nodes): (Vec<NodeId>, Vec<NodeId>) =
            nodes.iter().partition(|&&n| self.is_shunned(now, n));
        for node in self.topology.wanted(&nodes) {
            self.attach_to(now, node, learned_from, ctx);
        }
        for node in shunned {
            self.recheck(node, now + self.config.timers.hold_down);
        }
    }

    /// A node that would belong into the neighbor table cannot be had now. If it lives, the neighbours still know of it
    /// later, and nobody else will bring it up before the next periodic Update.
    pub(super) fn recheck(&mut self, node: NodeId, at: Instant) {
        if self.is_joined() && !self.topology.wanted(&[node]).is_empty() {
            if self.missed.len() < MISSED && !self.missed.contains(&node) {
                self.missed.push(node);
            }
            self.tasks.hasten(Task::Recheck, at);
        }
    }

    /// Asks again about the neighbours that could not be had, if they still are not there.
    fn ask_about_missed(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let missed = core::mem::take(&mut self.missed);
        if !self.topology.wanted(&missed).is_empty() {
            self.ask_for_tables(now, ctx);
        }
    }

    /// Asks the nearest neighbours for their tables (RouteQuery with send_update, CU10-1).
    fn ask_for_tables(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let (predecessors, successors) = (self.topology.predecessors(), self.topology.successors());
        let mut nearest: Vec<NodeId> =
            predecessors.first().into_iter().chain(successors.first()).copied().collect();
        nearest.dedup();
        for to in nearest {
            self.ask_for_table(now, to, ctx);
        }
    }

    /// Asks a peer for its table.
    pub(super) fn ask_for_table(&mut self, now: Instant, to: NodeId, ctx: &mut Context<'_>) {
        let place = ResourceId::from_u128(self.topology.admission_place());
        let body = RouteQueryReq {
            send_update: true,
            destination: Destination::Resource(place),
            overlay_specific_data: Bytes::new(),
        };
        // With too many requests under way the periodic Update follows.
        let _ = self.request(now, vec![to.into()], &Body::RouteQueryReq(body), Purpose::Ping { to }, ctx);
    }

    fn uptime(&self, now: Instant) -> u32 {
        u32::try_from(now.since(self.member_since).as_secs()).unwrap_or(u32::MAX)
    }

    /// Seconds since this node became a member.
    pub(super) fn uptime_seconds(&self, now: Instant) -> u32 {
        if self.is_joined() { self.uptime(now) } else { 0 }
    }

    /// Sends one Update with the neighbor table.
    pub(super) fn send_update(&mut self, now: Instant, to: NodeId, ctx: &mut Context<'_>) {
        self.send_update_of(now, to, UpdateScope::Neighbors, ctx);
    }

    /// Sends one Update.
    pub(super) fn send_update_of(
        &mut self,
        now: Instant,
        to: NodeId,
        scope: UpdateScope,
        ctx: &mut Context<'_>,
    ) {
        if self.connections.address_of(to).is_none() {
            // An Update counts only when it comes over the link that binds its sender.
            return;
        }
        // A newer Update takes the place of one that waits for its answer.
        self.requests.retain(|r| !matches!(r.purpose, Purpose::Update { to: other } if other == to));
        let body = Body::UpdateReq(self.topology.update(self.uptime(now), scope));
        // With too many requests under way the periodic Update follows.
        let _ = self.request(now, vec![to.into()], &body, Purpose::Update { to }, ctx);
    }

    /// Takes an Update in (CU10-7). It makes its sender a peer that can be routed through, when an Attach completed (AT-3).
    pub(super) fn on_update(
        &mut self,
        now: Instant,
        request: &Incoming,
        update: &ChordUpdate,
        ctx: &mut Context<'_>,
    ) {
        let from = request.signer;
        if !request.is_direct() || from == self.me {
            return self.answer(now, request, refuse(ErrorCode::FORBIDDEN), ctx);
        }
        self.answer(now, request, Ok(Body::UpdateAns(Default::default())), ctx);
        self.shunned.remove(&from);
        let Some(connection) = self.connections.of_mut(from) else { return };
        let attached = connection.attached;
        connection.update_seen = true;
        if attached && !connection.is_degraded() {
            self.on_peer(now, from, ctx);
        }
        let heard = self.topology.hear(from, update);
        match self.phase {
            Phase::Joining(_) => self.on_update_while_joining(now, from, &heard, ctx),
            Phase::Member => {
                self.keep_presuming(now, from, &heard);
                if !attached {
                    self.consider(now, &[from], from, ctx);
                }
                self.consider(now, &heard.nodes, from, ctx);
                for node in heard.omitted {
                    self.ping(now, node, ctx);
                }
                if heard.agrees_on_replicas && self.holds_down {
                    // The triggered Update for which the hold-down waits: there is no better match.
                    self.tasks.hasten(Task::Replicate, now);
                }
            }
            Phase::Client => self.follow(now, from, &heard, ctx),
            Phase::Idle | Phase::Leaving => {}
        }
    }

    /// The presumed predecessor stays as long as the first successor names it.
    fn keep_presuming(&mut self, now: Instant, from: NodeId, heard: &Heard) {
        let word_counts = self.topology.successors().first() == Some(&from);
        if word_counts && self.topology.presumed().is_some_and(|p| !heard.nodes.contains(&p)) {
            self.stop_presuming(now);
        }
    }

    /// The presumed predecessor is not there: what lies up to it is this node's.
    pub(super) fn stop_presuming(&mut self, now: Instant) {
        let change = self.topology.presume(None);
        if self.is_joined() {
            self.note(now, change, self.config.timers.settle);
        }
    }

    /// Asks a neighbour whether it is there, unless it is being asked already.
    fn ping(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        let asking =
            self.requests.iter().any(|(_, r)| matches!(r.purpose, Purpose::Ping { to } if to == node));
        if !asking {
            let body = Body::PingReq(PingReq::default());
            // With too many requests under way the next round asks.
            let _ = self.request(now, vec![node.into()], &body, Purpose::Ping { to: node }, ctx);
        }
    }

    /// Carries out a task of a member.
    pub(super) fn on_ring_task(&mut self, now: Instant, task: Task, ctx: &mut Context<'_>) {
        // A client only looks whether its peers are there, and so does a Joining Node.
        let only_looks = matches!(self.phase, Phase::Joining(_) | Phase::Client);
        if !(self.is_joined() || only_looks && task == Task::Neighbors) {
            return;
        }
        let timers = self.config.timers;
        match task {
            Task::Update => self.spread_update(now, ctx),
            Task::PeriodicUpdate => {
                for node in self.neighbors() {
                    self.send_update(now, node, ctx);
                }
                self.tasks.hasten(Task::Replicate, now + timers.settle);
                self.tasks.hasten(Task::Return, now + timers.settle);
                self.again(now, Task::PeriodicUpdate, timers.update_interval, ctx);
            }
            Task::Neighbors => {
                let silent: Vec<NodeId> =
                    self.to_be_pinged(now).filter(|(_, at)| *at <= now).map(|(node, _)| node).collect();
                for node in silent {
                    self.ping(now, node, ctx);
                }
                self.watch_neighbors(now, ctx);
            }
            Task::Fingers => self.search_fingers(now, ctx),
            Task::Partition => self.look_for_partition(now, ctx),
            Task::Recheck => self.ask_about_missed(now, ctx),
            _ => {}
        }
    }

    /// Neighbours and fingers, and when each is to be pinged if nothing comes from it before.
    fn to_be_pinged(&self, now: Instant) -> impl Iterator<Item = (NodeId, Instant)> + '_ {
        let neighbors = self.neighbors();
        let mut needed = self.topology.fingers();
        needed.extend(&neighbors);
        needed.sort_unstable();
        needed.dedup();
        let timers = &self.config.timers;
        needed.into_iter().map(move |node| {
            let is_neighbor = neighbors.contains(&node);
            let patience = if is_neighbor { timers.neighbor_ping_interval } else { timers.keep_alive };
            (node, self.connections.of(node).map_or(now, |c| c.heard + patience))
        })
    }

    /// Sets the time of the next Pings: when somebody will have been silent for long enough, and a little later, so that
    /// others who are due soon are pinged along, and so that of two nodes one pings the other.
    pub(super) fn watch_neighbors(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let interval = self.config.timers.neighbor_ping_interval;
        let next = self.to_be_pinged(now).map(|(_, at)| at).filter(|&at| at > now).min();
        let next = next.map_or(now + interval, |at| at.min(now + interval));
        let jitter = ctx.entropy.below(u64::try_from(interval.as_micros() / 4).unwrap_or(u64::MAX));
        self.tasks.set(Task::Neighbors, Some(next + Duration::from_micros(jitter)));
    }

    /// Tells everybody connected, clients too, and the observers (CU10-8).
    fn spread_update(&mut self, now: Instant, ctx: &mut Context<'_>) {
        for node in self.connections.attached() {
            self.send_update(now, node, ctx);
        }
        if let Some(&last) = self.topology.replicas().last().filter(|_| self.holds_down) {
            self.ask_for_table(now, last, ctx);
        }
        let ring = (self.topology.predecessors(), self.topology.successors());
        if ring != self.told {
            self.told = ring.clone();
            let (predecessors, successors) = ring;
            ctx.effects.fact(Fact::RingChanged { predecessors, successors });
        }
    }

    /// Predecessors and successors, each once.
    fn neighbors(&self) -> Vec<NodeId> {
        let mut nodes = self.topology.predecessors();
        nodes.extend(self.topology.successors());
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// The first time Attaches to every finger (§10.5 step 3), later a Ping to one random place (CU10-11).
    fn search_fingers(&mut self, now: Instant, ctx: &mut Context<'_>) {
        if !self.fingers_begun {
            self.fingers_begun = true;
            for place in self.topology.finger_places() {
                let list = vec![Destination::Resource(ResourceId::from_u128(place))];
                // Whatever is not found now is looked for later.
                let _ = self.attach(now, list, self.me, ctx);
            }
        } else if let Some(place) = self.topology.finger_search(ctx.entropy) {
            self.ping_for_finger(now, place, ctx);
        }
        self.again(now, Task::Fingers, self.config.timers.ping_interval, ctx);
    }

    /// A finger was lost: a Ping to a random place of its entry finds another (CU10-6).
    fn replace_finger(&mut self, now: Instant, lost: NodeId, ctx: &mut Context<'_>) {
        if let Some(place) = self.topology.finger_replacement(lost, ctx.entropy) {
            self.ping_for_finger(now, place, ctx);
        }
    }

    /// Pings a place: whoever is responsible for it answers, and is attached to.
    pub(super) fn ping_for_finger(&mut self, now: Instant, place: Place, ctx: &mut Context<'_>) {
        let list = vec![Destination::Resource(ResourceId::from_u128(place))];
        let ping = Body::PingReq(PingReq::default());
        // What is not found now is looked for at the next turn.
        let _ = self.request(now, list, &ping, Purpose::Finger, ctx);
    }

    /// A search has found this peer.
    pub(super) fn on_finger(&mut self, now: Instant, peer: NodeId, ctx: &mut Context<'_>) {
        if !self.topology.contains(peer) {
            self.attach_to(now, peer, peer, ctx);
        }
    }

    /// Remembers where the overlay can be found again (BS-2): the first addresses for good, and in the last place the
    /// latest one.
    pub(super) fn remember_bootstrap(&mut self, address: SocketAddr) {
        if !self.bootstraps.contains(&address) {
            self.bootstraps.truncate(BOOTSTRAPS - 1);
            self.bootstraps.push(address);
        }
    }

    /// Looks through a bootstrap node for a part of the overlay that this node does not see (CU10-13).
    fn look_for_partition(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let pick = ctx.entropy.below(self.bootstraps.len() as u64) as usize;
        if let Some(&address) = self.bootstraps.get(pick) {
            self.checking = Some(address);
            match self.connections.node_at(address) {
                Some(node) => self.continue_partition_check(now, node, ctx),
                // Nobody there now; another address the next time.
                None => drop(self.dial(now, address, None, ctx)),
            }
        }
        let timers = self.config.timers;
        let interval = if self.topology.is_empty() { timers.request } else { timers.partition_interval };
        self.again(now, Task::Partition, interval, ctx);
    }

    /// The link to the bootstrap node is there: who is this node's successor over there? The RFC pings this node's own
    /// Node-ID, which would be dropped there (RX-6); the place behind it tells the same.
    pub(super) fn continue_partition_check(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        let wanted = self.checking.is_some_and(|at| self.connections.node_at(at) == Some(node));
        if !wanted || !self.is_joined() {
            return;
        }
        self.checking = None;
        if self.topology.contains(node) {
            // It is in the same part.
            return;
        }
        let place = ResourceId::from_u128(self.topology.admission_place());
        let list = vec![node.into(), Destination::Resource(place)];
        let ping = Body::PingReq(PingReq::default());
        let _ = self.request(now, list, &ping, Purpose::Partition { through: node }, ctx);
    }

    /// This node's successor in the eyes of the bootstrap node.
    pub(super) fn on_partition_answer(
        &mut self,
        now: Instant,
        found: NodeId,
        through: NodeId,
        ctx: &mut Context<'_>,
    ) {
        if found != self.me && !self.topology.contains(found) {
            if self.topology.is_empty() {
                self.rejoining = Some(found);
            }
            self.shunned.remove(&found);
            self.attach_to(now, found, through, ctx);
        }
    }

    /// Says goodbye to everybody connected (CU10-15, JL-7), after handing over what only this node holds.
    pub(super) fn say_goodbye(&mut self, now: Instant, ctx: &mut Context<'_>) {
        self.phase = Phase::Leaving;
        self.replicate(now, ctx);
        self.tasks.set(Task::Leave, Some(now + self.config.timers.leave));
        for node in self.connections.reachable() {
            let Ok(overlay_specific_data) = self.topology.leave(node).encode() else { continue };
            let body = Body::LeaveReq(LeaveReq { leaving_peer_id: self.me, overlay_specific_data });
            // Whoever does not hear it notices by itself.
            let _ = self.request(now, vec![node.into()], &body, Purpose::Leave { to: node }, ctx);
        }
        self.finish_leaving(now, false, ctx);
    }

    /// Ends it when nothing is open any more, when nobody else is there, or when time is up. Who is gone or has said
    /// goodbye too is not waited for; what others wait for leaves with the last datagrams.
    pub(super) fn finish_leaving(&mut self, now: Instant, time_is_up: bool, ctx: &mut Context<'_>) {
        if !matches!(self.phase, Phase::Leaving) {
            return;
        }
        let alone = self.topology.is_empty();
        let waits = |p: &Purpose| match p {
            Purpose::Leave { to } => self.connections.of(*to).is_some_and(|c| c.attached),
            Purpose::Store(_)
            | Purpose::Fetch { .. }
            | Purpose::Certificates(_)
            | Purpose::AppAttach { .. } => !alone,
            _ => false,
        };
        let signing = self.signing.has_values() && !alone;
        let asking = self.requests.iter().any(|(_, r)| waits(&r.purpose));
        let done = self.handover.is_idle() && !signing && !asking;
        if time_is_up || done {
            self.connections.flush(ctx.effects);
            self.fail_orders(now, ctx);
            self.forget_everything(ctx);
            ctx.effects.fact(Fact::Left);
        }
    }

    /// A neighbour says goodbye (JL-1, JL-2, CU10-15).
    pub(super) fn on_leave(
        &mut self,
        now: Instant,
        request: &Incoming,
        leave: &LeaveReq,
        ctx: &mut Context<'_>,
    ) {
        let leaver = leave.leaving_peer_id;
        if leaver != request.signer || !request.is_direct() || leaver == self.me {
            return self.answer(now, request, refuse(ErrorCode::FORBIDDEN), ctx);
        }
        let Ok(data) = ChordLeaveData::decode(&leave.overlay_specific_data) else {
            return self.answer(now, request, refuse(ErrorCode::INVALID_MESSAGE), ctx);
        };
        self.answer(now, request, Ok(Body::LeaveAns(Default::default())), ctx);
        let was_peer = self.topology.contains(leaver);
        if let Some(connection) = self.connections.of_mut(leaver) {
            connection.attached = false;
            connection.update_seen = false;
            connection.left = was_peer;
        }
        // Others may still name it.
        self.shun(now, leaver);
        if self.topology.presumed() == Some(leaver) {
            self.stop_presuming(now);
        }
        self.on_lost(now, leaver, Cause::Left, ctx);
        if matches!(self.phase, Phase::Member) {
            let (ChordLeaveData::FromSuccessor(nodes) | ChordLeaveData::FromPredecessor(nodes)) = data;
            // The leaver told of them, but will not pass an Attach on any more.
            self.consider(now, &nodes, self.me, ctx);
        }
    }
}
