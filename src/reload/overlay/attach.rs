//! How links come up: the opening Ping of a plain link, and Attach without ICE (RFC 6940 §6.5.1, AT-10, AT-11).
//!
//! ```text
//!   A                                   B
//!   │ AttachReq (passive, address) ───▶ │          over the overlay
//!   │ ◀─────── AttachAns (active) ───── │
//!   │ ◀─────── Ping to the wildcard ─── │          B dials: the handshake and the connectivity check in one
//!   │ ─── PingAns ────────────────────▶ │          each end knows now who the other is
//!   │ ◀─────── Update ───────────────── │          if B is a member; then A may route through B (AT-3)
//! ```
//!
//! Whoever sends an Attach with somebody else's address makes this node dial there: the opening Ping goes out at 0, 0.5 and
//! 1.5 s and perhaps once more before the dial is given up after [`Timers::dial`](super::Timers::dial), to one address not
//! again before that, and to at most half of [`Limits::half_open`](super::Limits::half_open) addresses at one time.
//!
//! A link is named by its address, so that two Attaches that cross end in one link.

use super::connections::{Connection, Dialing, Incident};
use super::exchange::{Answer, refuse, refuse_because};
use super::receive::Incoming;
use super::ring::Cause;
use super::{Context, Failure, Overlay, Phase, Purpose, Task};
use crate::bounded::Full;
use crate::ids::NodeId;
use crate::reload::codec::body::{AttachReqAns, CandidateType, IceCandidate, PingReq};
use crate::reload::codec::{Body, Destination, ErrorCode, OverlayLinkType};
use crate::reload::link::LinkEvent;
use crate::reload::request::SENDS;
use crate::reload::topology::Topology;
use crate::stats::DropReason;
use crate::time::Instant;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::{Ipv4Addr, SocketAddr};

/// ICE priority of the only candidate: that of a host candidate with the highest local preference (RFC 8445 §5.1.2).
const HOST_PRIORITY: u32 = 126 << 24 | 65_535 << 8 | 255;

/// Attaches under way to nodes that one node told of: as many as a neighbor table holds. Each is sent five times in 15 s,
/// so this is what somebody can make this node send who tells of nodes that do not exist.
const ATTACHES_ON_ONE_WORD: usize = 6;

impl<T: Topology> Overlay<T> {
    /// Dials a link: sends the opening Ping. Whoever is connected or being dialled already is left alone.
    pub(super) fn dial(
        &mut self,
        now: Instant,
        address: SocketAddr,
        expected: Option<NodeId>,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        if address == self.config.address {
            return Err(DropReason::NotAllowedOnLink);
        }
        if self.connections.get(address).is_some() {
            return Ok(());
        }
        self.open_link(now, address, ctx)?;
        let transaction_id = ctx.entropy.next_u64();
        let ping = Body::PingReq(PingReq::default());
        let wildcard = vec![NodeId::WILDCARD.into()];
        let (_, message) =
            self.compose(transaction_id, wildcard, &ping, ctx).map_err(|_| DropReason::TooLarge)?;
        if let Some(connection) = self.connections.get_mut(address) {
            connection.dialing = Some(Dialing { transaction_id, expected });
        }
        self.tasks.set(Task::Dial(address), Some(now + self.config.timers.dial));
        self.connections.send(now, address, message, ctx.effects).map_err(|_| DropReason::LinkQueueFull)
    }

    /// Makes room for a link; a link that gives way for it is closed.
    fn open_link(
        &mut self,
        now: Instant,
        address: SocketAddr,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let (topology, bootstrap) = (&self.topology, self.bootstrap_node());
        let spare = |n| topology.needs(n) || bootstrap == Some(n);
        let evicted = self.connections.open(now, address, spare).map_err(|_| DropReason::LinkLimit)?;
        if let Some((address, connection)) = evicted {
            self.on_closed(now, address, &connection, ctx);
        }
        Ok(())
    }

    /// Somebody dialled this node, and his signature holds. A link to him that was there before is over: he has
    /// forgotten it.
    pub(super) fn on_dialed(
        &mut self,
        now: Instant,
        from: SocketAddr,
        signer: NodeId,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let crossing = self.connections.get(from).is_some_and(|c| {
            c.node.is_none() && c.dialing.is_some_and(|d| d.expected.is_none_or(|e| e == signer))
        });
        if !crossing {
            self.close(now, from, ctx);
            self.open_link(now, from, ctx)?;
        }
        self.bind(now, from, signer, ctx);
        Ok(())
    }

    /// The other end of a link that this node dialled has answered (AT-11: it must be whom the Attach promised).
    pub(super) fn on_dial_answered(
        &mut self,
        now: Instant,
        from: SocketAddr,
        signer: NodeId,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let expected = self.connections.get(from).and_then(|c| c.dialing).and_then(|d| d.expected);
        let impostor = signer == self.me || expected.is_some_and(|e| e != signer);
        if impostor || signer == NodeId::WILDCARD {
            self.close(now, from, ctx);
            return Err(DropReason::NotAllowedOnLink);
        }
        self.bind(now, from, signer, ctx);
        // Only an address that has answered is one where somebody is: whoever dials can forge his own.
        self.remember_bootstrap(from);
        self.on_bound(now, signer, ctx);
        Ok(())
    }

    fn bind(&mut self, now: Instant, address: SocketAddr, node: NodeId, ctx: &mut Context<'_>) {
        self.tasks.clear(&Task::Dial(address));
        if let Some(moved_from) = self.connections.address_of(node).filter(|&old| old != address) {
            self.close(now, moved_from, ctx);
        }
        self.connections.bind(address, node);
    }

    /// It is known now who is at the other end.
    pub(super) fn on_bound(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        if self.attaches.remove(&node).is_some() {
            self.complete_attach(now, node, ctx);
        }
        self.continue_join(now, ctx);
        self.continue_partition_check(now, node, ctx);
    }

    /// Asks a node, or whoever is responsible for a place, for a link.
    pub(super) fn attach(
        &mut self,
        now: Instant,
        destination_list: Vec<Destination>,
        word_of: NodeId,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let target = match destination_list.last() {
            Some(Destination::Node(node)) => Some(*node),
            _ => None,
        };
        let body = Body::AttachReq(self.offer(AttachReqAns::PASSIVE));
        self.request(now, destination_list, &body, Purpose::Attach { target, word_of }, ctx)
    }

    /// Asks a node for a link that this node does not have, through the node that told of it (§10.6).
    pub(super) fn attach_to(
        &mut self,
        now: Instant,
        node: NodeId,
        learned_from: NodeId,
        ctx: &mut Context<'_>,
    ) {
        let known = node == self.me || self.topology.contains(node);
        if known
            || self.is_attaching(now, node)
            || self.is_shunned(now, node)
            || self.has_heard_enough(learned_from)
        {
            return;
        }
        let mut list = vec![Destination::Node(node)];
        if learned_from != node && self.connections.address_of(learned_from).is_some() {
            list.insert(0, learned_from.into());
        }
        // With too many requests under way the next Update brings the node up again.
        let _ = self.attach(now, list, learned_from, ctx);
    }

    /// Whether as many Attaches are under way on this node's word as it could have a reason for, or too many on others'
    /// words altogether.
    fn has_heard_enough(&self, learned_from: NodeId) -> bool {
        let (mut of_one, mut of_all) = (0, 0);
        for (_, request) in self.requests.iter() {
            if let Purpose::Attach { word_of, .. } = request.purpose {
                of_all += 1;
                of_one += usize::from(word_of == learned_from);
            }
        }
        learned_from != self.me && of_one >= ATTACHES_ON_ONE_WORD || of_all >= self.config.limits.requests / 4
    }

    /// Whether an Attach with this node is under way, or its link has had no time yet to come up.
    fn is_attaching(&self, now: Instant, node: NodeId) -> bool {
        let patience = self.config.timers.request * SENDS.into();
        self.attaches.get(&node).is_some_and(|since| now.since(*since) < patience)
            || self.attach_request(node).is_some()
    }

    fn attach_request(&self, node: NodeId) -> Option<u64> {
        let to = |p: &Purpose| matches!(p, Purpose::Attach { target: Some(t), .. } if *t == node);
        self.requests.iter().find(|(_, r)| to(&r.purpose)).map(|(id, _)| id)
    }

    fn offer(&self, role: Bytes) -> AttachReqAns {
        AttachReqAns {
            ufrag: Bytes::new(),
            password: Bytes::new(),
            role,
            candidates: vec![IceCandidate {
                addr_port: self.config.address.into(),
                overlay_link: OverlayLinkType::EXP_LINK,
                foundation: Bytes::from_static(b"1"),
                priority: HOST_PRIORITY,
                candidate_type: CandidateType::Host,
                extensions: Vec::new(),
            }],
            send_update: true,
        }
    }

    /// Answers an Attach, and dials whoever asked (AT-1, AT-4, AT-6, AT-10).
    pub(super) fn on_attach(
        &mut self,
        now: Instant,
        request: &Incoming,
        asked: &AttachReqAns,
        ctx: &mut Context<'_>,
    ) {
        let peer = request.signer;
        let own = self.attach_request(peer);
        let unlinked = self.connections.address_of(peer).is_none();
        let (answer, address): (Answer, _) = match address_in(asked) {
            _ if asked.role != AttachReqAns::PASSIVE => {
                (refuse_because(ErrorCode::INVALID_MESSAGE, "role"), None)
            }
            None => (refuse_because(ErrorCode::INVALID_MESSAGE, "no candidate for this overlay"), None),
            _ if own.is_some() && self.me > peer => (refuse(ErrorCode::IN_PROGRESS), None),
            _ if unlinked && self.connections.dialing() >= self.config.limits.half_open.div_ceil(2) => {
                (refuse(ErrorCode::IN_PROGRESS), None)
            }
            Some(address) => (Ok(Body::AttachAns(self.offer(AttachReqAns::ACTIVE))), Some(address)),
        };
        self.answer(now, request, answer, ctx);
        let Some(address) = address else { return };
        if let Some(own) = own {
            self.requests.take(own);
        }
        self.shunned.remove(&peer);
        if !unlinked {
            self.complete_attach(now, peer, ctx);
        } else if self.expect_attach(now, peer).is_ok() {
            // Nobody to tell when it cannot be dialled: the asker hears nothing, and asks again.
            let _ = self.dial(now, address, Some(peer), ctx);
        }
    }

    /// An Attach was granted: the other end dials.
    pub(super) fn on_attached(&mut self, now: Instant, peer: NodeId, ctx: &mut Context<'_>) {
        if self.connections.address_of(peer).is_some() {
            self.complete_attach(now, peer, ctx);
        } else {
            // The table of expected links is full: the link comes up all the same, without the right to be routed
            // through, until the next Attach.
            let _ = self.expect_attach(now, peer);
        }
    }

    /// Remembers that a link to this node will come up. At the limit the oldest expectation goes.
    fn expect_attach(&mut self, now: Instant, peer: NodeId) -> Result<(), Full> {
        if self.attaches.is_full() {
            let oldest = self.attaches.iter().min_by_key(|(_, since)| **since).map(|(n, _)| *n);
            oldest.and_then(|n| self.attaches.remove(&n));
        }
        self.attaches.insert(peer, now).map(drop)
    }

    /// Attached and linked. A member says at once that it can be routed through (AT-7).
    fn complete_attach(&mut self, now: Instant, peer: NodeId, ctx: &mut Context<'_>) {
        let Some(connection) = self.connections.of_mut(peer) else { return };
        connection.attached = true;
        connection.left = false;
        // Its Update may have overtaken the answer to the Attach.
        if connection.update_seen && !connection.is_degraded() {
            self.on_peer(now, peer, ctx);
        }
        if self.is_joined() {
            self.send_update(now, peer, ctx);
        }
    }

    /// What the timers and ACKs of a link have brought to light.
    pub(super) fn on_incident(&mut self, now: Instant, incident: Incident, ctx: &mut Context<'_>) {
        let Incident { address, event } = incident;
        let node = self.connections.get(address).and_then(|c| c.node);
        match event {
            LinkEvent::Failed => self.close(now, address, ctx),
            LinkEvent::Degraded => {
                let Some(node) = node else { return };
                self.shun(now, node);
                if self.bootstrap_node() == Some(node) {
                    // Nothing can be done without it.
                    return self.close(now, address, ctx);
                }
                self.on_lost(now, node, Cause::Lost, ctx);
                for message in self.connections.strand(address) {
                    self.reroute(now, node, &message, ctx);
                }
            }
            LinkEvent::Restored => {
                let ready = self.connections.get(address).is_some_and(|c| c.attached && c.update_seen);
                if let Some(node) = node.filter(|_| ready) {
                    self.shunned.remove(&node);
                    self.on_peer(now, node, ctx);
                }
            }
        }
    }

    /// Forgets a link.
    pub(super) fn close(&mut self, now: Instant, address: SocketAddr, ctx: &mut Context<'_>) {
        let stranded = self.connections.strand(address);
        let Some(connection) = self.connections.close(address) else { return };
        self.on_closed(now, address, &connection, ctx);
        let Some(node) = connection.node else { return };
        for message in stranded {
            self.reroute(now, node, &message, ctx);
        }
    }

    fn on_closed(
        &mut self,
        now: Instant,
        address: SocketAddr,
        connection: &Connection,
        ctx: &mut Context<'_>,
    ) {
        self.tasks.clear(&Task::Dial(address));
        if let Some(node) = connection.node {
            self.on_lost(now, node, Cause::Lost, ctx);
        }
        if let Some(expected) = connection.dialing.and_then(|d| d.expected) {
            self.attaches.remove(&expected);
            self.on_unreachable_peer(now, expected, ctx);
        }
        self.on_bootstrap_lost(now, address, ctx);
    }

    /// A dialled link was not answered in time.
    pub(super) fn on_dial_timeout(&mut self, now: Instant, address: SocketAddr, ctx: &mut Context<'_>) {
        if self.connections.get(address).is_some_and(|c| c.node.is_none()) {
            self.close(now, address, ctx);
        }
    }

    /// A peer could not be reached: for a while nobody's word brings it back, only its own.
    pub(super) fn on_unreachable_peer(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        self.shun(now, node);
        self.recheck(node, now + self.config.timers.hold_down);
        if self.topology.presumed() == Some(node) && self.topology.is_empty() {
            // Otherwise the first successor reaches it as long as it names it.
            self.stop_presuming(now);
        }
        if let Phase::Joining(join) = &mut self.phase {
            join.awaiting.retain(|n| *n != node);
            self.continue_join(now, ctx);
        }
    }

    pub(super) fn shun(&mut self, now: Instant, node: NodeId) {
        let until = now + self.config.timers.hold_down;
        self.shunned.retain(|_, until| *until > now);
        // Full: the node may be tried again too early, which costs one request.
        let _ = self.shunned.insert(node, until);
    }

    pub(super) fn is_shunned(&self, now: Instant, node: NodeId) -> bool {
        self.shunned.get(&node).is_some_and(|until| *until > now)
    }
}

/// The address in an Attach that this overlay's links can use; `None` also when candidates with ICE and without are
/// mixed (AT-2).
fn address_in(attach: &AttachReqAns) -> Option<SocketAddr> {
    let fits = |c: &IceCandidate| {
        c.overlay_link == OverlayLinkType::EXP_LINK && c.candidate_type == CandidateType::Host
    };
    let all = attach.candidates.iter().all(|c| c.overlay_link == OverlayLinkType::EXP_LINK);
    let address = attach.candidates.iter().find(|c| fits(c))?.addr_port.socket_addr()?;
    let ip = address.ip();
    let nowhere =
        ip.is_unspecified() || ip.is_multicast() || ip == Ipv4Addr::BROADCAST || address.port() == 0;
    (all && !nowhere).then_some(address)
}
