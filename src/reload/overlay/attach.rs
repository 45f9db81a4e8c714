//! Attach without ICE (RFC 6940 §6.5.1): asking for a link, and being asked.
//!
//! ```text
//!   A                                   B
//!   │ AttachReq (passive, address) ───▶ │          over the overlay
//!   │ ◀─────── AttachAns (active) ───── │
//!   │ ◀────────── handshake ──────────▶ │          B dials, A is the TLS server (AT-10); it is the connectivity check too
//!   │ ◀─────── Update ───────────────── │          if B is a member; then A may route through B (AT-3)
//! ```
//!
//! Whoever sends an Attach with somebody else's address makes this node dial there: one connection attempt or, on plain
//! links, the opening Ping at 0, 0.5 and 1.5 s and perhaps once more, before the dial is given up after
//! [`Timers::dial`](super::Timers::dial); to one address not again before that, and to at most half of
//! [`Limits::half_open`](super::Limits::half_open) addresses at one time.

use super::exchange::{Answer, refuse, refuse_because};
use super::receive::Incoming;
use super::{Context, Failure, LinkSecurity, Overlay, Phase, Purpose};
use crate::bounded::Full;
use crate::ids::NodeId;
use crate::reload::codec::body::{AttachReqAns, CandidateType, IceCandidate, IceExtension};
use crate::reload::codec::{Body, Destination, ErrorCode, OverlayLinkType};
use crate::reload::request::SENDS;
use crate::reload::topology::Topology;
use crate::time::Instant;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cmp::Reverse;
use core::net::{Ipv4Addr, SocketAddr};

/// ICE priority of a host candidate (RFC 8445 §5.1.2). Its local preference follows RFC 6940 §6.5.1.6: TCP comes before
/// datagrams with simple reliability, and what knows no head-of-line blocking would come before both (AT-14).
const fn priority(overlay_link: OverlayLinkType) -> u32 {
    let local_preference = match overlay_link {
        OverlayLinkType::TLS_TCP_FH_NO_ICE => 0x7fff,
        _ => 0x3fff,
    };
    126 << 24 | local_preference << 8 | 255
}

/// The ICE extension of a TCP candidate, and its value for one that is listened at (RFC 6544 §4.5; LT-4).
const TCP_TYPE: &[u8] = b"tcptype";
const PASSIVE: &[u8] = b"passive";

/// Attaches under way to nodes that one node told of: as many as a neighbor table holds. Each is sent five times in 15 s,
/// so this is what somebody can make this node send who tells of nodes that do not exist.
const ATTACHES_ON_ONE_WORD: usize = 6;

/// An Attach that both ends have agreed on, while its link is not up yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agreed {
    since: Instant,
    /// This node has asked, so the other end dials.
    asked: bool,
}

impl<T: Topology> Overlay<T> {
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
        if node == self.me || self.topology.contains(node) {
            return;
        }
        // Whether it has come of it shows when a request would have been given up.
        self.recheck(node, now + self.config.timers.request * SENDS.into());
        if self.is_attaching(now, node) || self.is_shunned(now, node) || self.has_heard_enough(learned_from) {
            return;
        }
        let mut list = vec![Destination::Node(node)];
        if learned_from != node && self.connections.link_of(learned_from).is_some() {
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
    pub(super) fn is_attaching(&self, now: Instant, node: NodeId) -> bool {
        let patience = self.config.timers.request * SENDS.into();
        self.attaches.get(&node).is_some_and(|agreed| now.since(agreed.since) < patience)
            || self.attach_request(node).is_some()
    }

    fn attach_request(&self, node: NodeId) -> Option<u64> {
        let to = |p: &Purpose| matches!(p, Purpose::Attach { target: Some(t), .. } if *t == node);
        self.requests.iter().find(|(_, r)| to(&r.purpose)).map(|(id, _)| id)
    }

    pub(super) fn offer(&self, role: Bytes) -> AttachReqAns {
        let (overlay_link, extensions) = match self.config.security {
            LinkSecurity::InsecurePlain => (OverlayLinkType::EXP_LINK, Vec::new()),
            LinkSecurity::Dtls => (OverlayLinkType::DTLS_UDP_SR_NO_ICE, Vec::new()),
            LinkSecurity::Tls => {
                let (name, value) = (Bytes::from_static(TCP_TYPE), Bytes::from_static(PASSIVE));
                (OverlayLinkType::TLS_TCP_FH_NO_ICE, vec![IceExtension { name, value }])
            }
        };
        AttachReqAns {
            ufrag: Bytes::new(),
            password: Bytes::new(),
            role,
            candidates: vec![IceCandidate {
                addr_port: self.config.address.into(),
                overlay_link,
                foundation: Bytes::from_static(b"1"),
                priority: priority(overlay_link),
                candidate_type: CandidateType::Host,
                extensions,
            }],
            send_update: true,
        }
    }

    /// Answers an Attach, and dials whoever asked (AT-1, AT-4, AT-5, AT-6, AT-10).
    pub(super) fn on_attach(
        &mut self,
        now: Instant,
        request: &Incoming,
        asked: &AttachReqAns,
        ctx: &mut Context<'_>,
    ) {
        let peer = request.signer;
        let own = self.attach_request(peer);
        let unlinked = self.connections.link_of(peer).is_none();
        let being_dialled = |a: &Agreed| a.asked && now.since(a.since) < self.config.timers.dial;
        let in_progress = unlinked && self.attaches.get(&peer).is_some_and(being_dialled);
        let (answer, address): (Answer, _) = match address_in(asked, self.config.security) {
            _ if asked.role != AttachReqAns::PASSIVE => {
                (refuse_because(ErrorCode::INVALID_MESSAGE, "role"), None)
            }
            None => (refuse_because(ErrorCode::INVALID_MESSAGE, "no candidate for this overlay"), None),
            _ if in_progress || own.is_some() && self.me > peer => (refuse(ErrorCode::IN_PROGRESS), None),
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
        } else if self.expect_attach(now, peer, false).is_ok() {
            // Nobody to tell when it cannot be dialled: the asker hears nothing, and asks again.
            let _ = self.dial(now, address, Some(peer), ctx);
        }
    }

    /// An Attach was granted: the other end dials.
    pub(super) fn on_attached(&mut self, now: Instant, peer: NodeId, ctx: &mut Context<'_>) {
        if self.connections.link_of(peer).is_some() {
            self.complete_attach(now, peer, ctx);
        } else {
            // The table of expected links is full: the link comes up all the same, without the right to be routed
            // through, until the next Attach.
            let _ = self.expect_attach(now, peer, true);
        }
    }

    /// Remembers that a link to this node will come up. At the limit the oldest expectation goes.
    fn expect_attach(&mut self, now: Instant, peer: NodeId, asked: bool) -> Result<(), Full> {
        if self.attaches.is_full() {
            let oldest = self.attaches.iter().min_by_key(|(_, agreed)| agreed.since).map(|(n, _)| *n);
            oldest.and_then(|n| self.attaches.remove(&n));
        }
        self.attaches.insert(peer, Agreed { since: now, asked }).map(drop)
    }

    /// Attached and linked. A member says at once that it can be routed through (AT-7).
    pub(super) fn complete_attach(&mut self, now: Instant, peer: NodeId, ctx: &mut Context<'_>) {
        let Some(connection) = self.connections.of_mut(peer) else { return };
        connection.attached = true;
        connection.identified = true;
        connection.left = false;
        // Its Update may have overtaken the answer to the Attach.
        if connection.update_seen && !connection.is_degraded() {
            self.on_peer(now, peer, ctx);
        }
        if self.is_joined() {
            if self.rejoining.take_if(|found| *found == peer).is_some() {
                // Whoever refuses is not responsible for this node; the Updates tell who is.
                let _ = self.send_join(now, peer, ctx);
            }
            self.send_update(now, peer, ctx);
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

/// The address in an Attach that this overlay's links can use, of several the one with the highest priority. `None` also when candidates with ICE and without are mixed,
/// or plain ones and secured ones (AT-2), and when nobody listens there.
fn address_in(attach: &AttachReqAns, security: LinkSecurity) -> Option<SocketAddr> {
    use OverlayLinkType as Type;
    let (own, family) = match security {
        LinkSecurity::InsecurePlain => (Type::EXP_LINK, &[Type::EXP_LINK][..]),
        LinkSecurity::Tls => (Type::TLS_TCP_FH_NO_ICE, SECURED),
        LinkSecurity::Dtls => (Type::DTLS_UDP_SR_NO_ICE, SECURED),
    };
    let active = |e: &IceExtension| e.name == TCP_TYPE && e.value != PASSIVE;
    let fits = |c: &IceCandidate| {
        c.overlay_link == own
            && c.candidate_type == CandidateType::Host
            && !(own == Type::TLS_TCP_FH_NO_ICE && c.extensions.iter().any(active))
    };
    let all = attach.candidates.iter().all(|c| family.contains(&c.overlay_link));
    let best = attach.candidates.iter().filter(|c| fits(c)).min_by_key(|c| Reverse(c.priority))?;
    let address = best.addr_port.socket_addr()?;
    let ip = address.ip();
    let nowhere =
        ip.is_unspecified() || ip.is_multicast() || ip == Ipv4Addr::BROADCAST || address.port() == 0;
    (all && !nowhere).then_some(address)
}

/// The secured link types without ICE; a node may offer both.
const SECURED: &[OverlayLinkType] =
    &[OverlayLinkType::TLS_TCP_FH_NO_ICE, OverlayLinkType::DTLS_UDP_SR_NO_ICE];
