//! How links come up and go down (RFC 6940 §6.5.1.11, §6.6; AT-10, AT-11).
//!
//! ```text
//!   plain          dial ─▶ opening Ping to the wildcard ─▶ its answer says who is there
//!   TLS            dial ─▶ Connect ─▶ on_stream_opened ┐
//!                  (accepted by the host) ─────────────┼─▶ the certificate says who is there
//!   DTLS           dial ─▶ Associate ─▶ on_association ┘
//! ```
//!
//! A certificate with several Node-IDs leaves open which is meant: whoever dialled sends the opening Ping there too, and
//! the other end has to begin with a Ping or an Attach (CL-3, RX-12).
//!
//! # Two links to one node
//!
//! They arise when both dial each other, or when one of them has lost the link and dials again:
//!
//! * Another key for the Node-ID of a live link is refused, else whoever gets hold of a second certificate could take the
//!   Node-ID over. Once the link is degraded the newcomer is believed.
//! * Two links dialled by the same node: it has forgotten the older one, which is closed.
//! * Two links dialled by different nodes within the time that a dial may take: their dials have crossed. The one dialled
//!   by the smaller Node-ID is kept and inherits what the other knew; whoever dialled the other closes it, after it has
//!   seen both, so that nothing is lost that is on its way. Both ends decide alike without a word.
//! * Later than that the newer one counts: nobody dials a node to which it has a link.
//!
//! Plain links prove nothing: whoever dials last is believed.

use super::connections::{Connection, Dialing, Incident, LinkId};
use super::outbox::{Errand, Unsigned};
use super::ring::Cause;
use super::{Context, LinkSecurity, Overlay, Phase, Task};
use crate::effect::Effect;
use crate::env::Party;
use crate::ids::{NodeId, StreamId};
use crate::reload::codec::body::PingReq;
use crate::reload::codec::{Body, MessageContents};
use crate::reload::link::LinkEvent;
use crate::reload::topology::Topology;
use crate::stats::DropReason;
use crate::time::Instant;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// What becomes of a new link to a node that is linked already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rivalry {
    /// The older one is over, with everything that was known.
    Replace,
    /// The older one stays, the new one is closed.
    Refuse,
    /// Both dialled: the new one is kept.
    NewWins,
    /// Both dialled: the older one is kept.
    OldWins,
}

impl<T: Topology> Overlay<T> {
    /// A stream is open: asked for with [`Effect::Connect`], or accepted by the host. `party` says who is at its other end,
    /// by the certificate of its TLS handshake; a plain stream has none and is closed unless links are plain. One that is
    /// not wanted is closed, for the reason that is returned.
    pub fn on_stream_opened(
        &mut self,
        now: Instant,
        stream: StreamId,
        peer: SocketAddr,
        party: Option<Arc<Party>>,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let now = self.tick(now);
        let link = LinkId::Stream(stream);
        let result = match (self.config.security, party) {
            _ if matches!(self.phase, Phase::Idle) => Err(DropReason::NotInUse),
            (LinkSecurity::Tls, Some(party)) => self.authenticate(now, link, peer, party, ctx),
            // The opening Ping will say whose it is.
            (LinkSecurity::InsecurePlain, None) if !stream.is_requested() => {
                self.open_link(now, link, peer, false, ctx)
            }
            (LinkSecurity::Tls | LinkSecurity::Dtls, None) => Err(DropReason::NotSecured),
            _ => Err(DropReason::NotAllowedOnLink),
        };
        if result.is_err() {
            self.turn_away(now, link, ctx);
        }
        self.work_off(now, ctx);
        result
    }

    /// A stream is closed by the other end, by the network, or could not be opened.
    pub fn on_stream_closed(&mut self, now: Instant, stream: StreamId, ctx: &mut Context<'_>) {
        let now = self.tick(now);
        self.on_gone(now, LinkId::Stream(stream), ctx);
        self.work_off(now, ctx);
    }

    /// A DTLS handshake with an address is done: asked for with [`Effect::Associate`], or begun by the other end. `party`
    /// says who is there. Its datagrams follow by [`Overlay::handle_datagram`], decrypted. An association that is not wanted
    /// is ended, for the reason that is returned; one that failed is told by [`Overlay::handle_unreachable`].
    pub fn on_association(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        party: Arc<Party>,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let now = self.tick(now);
        let link = LinkId::Datagram(peer);
        let result = match self.config.security {
            _ if matches!(self.phase, Phase::Idle) => Err(DropReason::NotInUse),
            LinkSecurity::Dtls => self.associate(now, link, peer, party, ctx),
            _ => Err(DropReason::NotAllowedOnLink),
        };
        if result.is_err() {
            self.turn_away(now, link, ctx);
        }
        self.work_off(now, ctx);
        result
    }

    /// The network says that an address cannot be reached (a hard ICMP error, LR-7), or the association with it has ended.
    pub fn handle_unreachable(&mut self, now: Instant, to: SocketAddr, ctx: &mut Context<'_>) {
        let now = self.tick(now);
        self.on_gone(now, LinkId::Datagram(to), ctx);
        self.work_off(now, ctx);
    }

    /// Dials a link. Whoever is connected or being dialled already is left alone.
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
        if self.connections.is_reached(address, expected) {
            return Ok(());
        }
        let link = match self.config.security {
            LinkSecurity::InsecurePlain | LinkSecurity::Dtls => LinkId::Datagram(address),
            LinkSecurity::Tls => LinkId::Stream(self.connections.next_stream()),
        };
        self.open_link(now, link, address, true, ctx)?;
        if let Some(connection) = self.connections.get_mut(link) {
            connection.dialing = Some(Dialing { transaction_id: None, expected });
        }
        match (self.config.security, link) {
            (LinkSecurity::InsecurePlain, _) => self.say_hello(now, link, ctx),
            (_, LinkId::Datagram(to)) => {
                ctx.effects.push(Effect::Associate { to });
                Ok(())
            }
            (_, LinkId::Stream(stream)) => {
                ctx.effects.push(Effect::Connect { stream, to: address });
                Ok(())
            }
        }
    }

    /// Sends the opening Ping: to whoever is there.
    fn say_hello(&mut self, now: Instant, link: LinkId, ctx: &mut Context<'_>) -> Result<(), DropReason> {
        let transaction_id = ctx.entropy.next_u64();
        let ping = Body::PingReq(PingReq::default());
        let contents = MessageContents::new(&ping).map_err(|_| DropReason::TooLarge)?;
        if let Some(dialing) = self.connections.get_mut(link).and_then(|c| c.dialing.as_mut()) {
            dialing.transaction_id = Some(transaction_id);
        }
        let errand = Errand::Hello { link };
        let hello = Unsigned { transaction_id, contents, certificates: Vec::new(), errand };
        self.submit(now, hello, ctx).map_err(|_| DropReason::RequestLimit)
    }

    /// Makes room for a link, which has the time of a dial to say who is there. A link that gives way for it is closed.
    fn open_link(
        &mut self,
        now: Instant,
        link: LinkId,
        address: SocketAddr,
        mine: bool,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let (topology, bootstrap) = (&self.topology, self.bootstrap_node());
        let spare = |n| topology.needs(n) || bootstrap == Some(n);
        let opened = self.connections.open(now, link, address, mine, spare);
        let evicted = opened.map_err(|_| DropReason::LinkLimit)?;
        self.tasks.set(Task::Dial(link), Some(now + self.config.timers.dial));
        if let Some((evicted, connection)) = evicted {
            self.hang_up(evicted, ctx);
            self.on_closed(now, evicted, &connection, ctx);
        }
        Ok(())
    }

    /// The handshake of an association is done. A second one with a node that is there already means that it has begun
    /// anew, unless both have begun at the same time.
    fn associate(
        &mut self,
        now: Instant,
        link: LinkId,
        peer: SocketAddr,
        party: Arc<Party>,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        if let Some(connection) = self.connections.get(link).filter(|c| c.party.is_some()) {
            let same = connection.party.as_ref().is_some_and(|p| p.key == party.key);
            if same && connection.mine && now.since(connection.bound_at) <= self.config.timers.dial {
                return Ok(());
            }
            self.forget_link(now, link, ctx);
        }
        self.authenticate(now, link, peer, party, ctx)
    }

    /// It is proved whose certificate the other end has.
    fn authenticate(
        &mut self,
        now: Instant,
        link: LinkId,
        peer: SocketAddr,
        party: Arc<Party>,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let known = self.connections.get(link).is_some();
        match link {
            LinkId::Stream(stream) if known != stream.is_requested() => {
                // Nobody waits any more for a stream that was asked for, or two streams have one name.
                return Err(DropReason::NotInUse);
            }
            _ if !known => self.open_link(now, link, peer, false, ctx)?,
            _ => {}
        }
        if party.node_ids.iter().any(|&n| self.is_refused(n)) {
            return Err(DropReason::NotAllowedOnLink);
        }
        let Some(connection) = self.connections.get_mut(link) else { return Err(DropReason::LinkLimit) };
        let dialing = connection.dialing;
        connection.identified = party.node_ids.len() == 1;
        connection.party = Some(Arc::clone(&party));
        match (dialing.and_then(|d| d.expected), party.node_ids.as_slice()) {
            (Some(expected), all) if !all.contains(&expected) => Err(DropReason::NotAllowedOnLink),
            (Some(expected), _) => self.on_identified(now, link, expected, ctx),
            (None, [only]) => self.on_identified(now, link, *only, ctx),
            (None, all) => {
                let mut awaited = all.iter().filter(|n| self.attaches.contains_key(n));
                match (awaited.next().copied(), awaited.next(), dialing) {
                    (Some(node), None, _) => self.on_identified(now, link, node, ctx),
                    (_, _, Some(_)) => self.say_hello(now, link, ctx),
                    // Its first message will say it.
                    _ => Ok(()),
                }
            }
        }
    }

    /// Nobody may be connected under this node's own name, or as everybody, or as a node that the configuration shuts out
    /// (SB-8).
    fn is_refused(&self, node: NodeId) -> bool {
        node == self.me || node == NodeId::WILDCARD || self.config.bad_nodes.contains(&node)
    }

    /// Somebody dialled this node over a plain link, and his signature holds. A link to him that was there before is over:
    /// he has forgotten it.
    pub(super) fn on_dialed(
        &mut self,
        now: Instant,
        link: LinkId,
        signer: NodeId,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        if self.is_refused(signer) {
            return Err(DropReason::NotAllowedOnLink);
        }
        let known = self.connections.get(link);
        let expects = |d: Dialing| d.expected.is_none_or(|e| e == signer);
        let fresh = known.is_some_and(|c| c.node.is_none() && c.dialing.is_none_or(expects));
        if let (false, LinkId::Datagram(from)) = (fresh, link) {
            self.close(now, link, ctx);
            self.open_link(now, link, from, false, ctx)?;
        }
        self.bind(now, link, signer, ctx)
    }

    /// The opening Ping of this node is answered (AT-11: by whom the Attach promised, and the certificate names).
    pub(super) fn on_hello_answered(
        &mut self,
        now: Instant,
        link: LinkId,
        signer: NodeId,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let impostor = self.connections.get(link).is_none_or(|c| {
            c.dialing.and_then(|d| d.expected).is_some_and(|e| e != signer)
                || c.party.as_ref().is_some_and(|p| !p.node_ids.contains(&signer))
        });
        let result = match impostor || self.is_refused(signer) {
            true => Err(DropReason::NotAllowedOnLink),
            false => self.on_identified(now, link, signer, ctx),
        };
        if result.is_err() {
            self.close(now, link, ctx);
        }
        result
    }

    /// It is known now who is at the other end, and nothing is left to be said about it.
    pub(super) fn on_identified(
        &mut self,
        now: Instant,
        link: LinkId,
        node: NodeId,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let dialled = self.connections.get(link).filter(|c| c.mine).map(|c| c.address);
        self.bind(now, link, node, ctx)?;
        // Only an address that has answered is one where somebody is: whoever dials can forge his own.
        if let Some(address) = dialled {
            self.remember_bootstrap(address);
            // A plain link tells by no more than a word who is where.
            if self.config.security != LinkSecurity::InsecurePlain {
                self.connections.remember(address, node, &self.bootstraps);
            }
        }
        self.on_bound(now, node, ctx);
        Ok(())
    }

    /// Gives a node a link. If it has one already, one of the two goes.
    fn bind(
        &mut self,
        now: Instant,
        link: LinkId,
        node: NodeId,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let Some(old) = self.connections.link_of(node).filter(|old| *old != link) else {
            self.tasks.clear(&Task::Dial(link));
            self.connections.bind(now, link, node);
            return Ok(());
        };
        match self.rivalry(now, old, link, node) {
            Rivalry::Refuse => return Err(DropReason::NotAllowedOnLink),
            Rivalry::Replace => {
                self.close(now, old, ctx);
                self.tasks.clear(&Task::Dial(link));
                self.connections.bind(now, link, node);
            }
            Rivalry::NewWins => {
                self.tasks.clear(&Task::Dial(link));
                self.connections.merge(link, old);
                self.connections.bind(now, link, node);
                self.give_up(now, old, ctx);
            }
            Rivalry::OldWins => {
                self.connections.merge(old, link);
                self.connections.bind_second(link, node);
                self.give_up(now, link, ctx);
            }
        }
        Ok(())
    }

    fn rivalry(&self, now: Instant, old: LinkId, new: LinkId, node: NodeId) -> Rivalry {
        let (Some(old), Some(new)) = (self.connections.get(old), self.connections.get(new)) else {
            return Rivalry::Replace;
        };
        let (Some(old_party), Some(new_party)) = (&old.party, &new.party) else { return Rivalry::Replace };
        if old_party.key != new_party.key {
            return if old.is_degraded() { Rivalry::Replace } else { Rivalry::Refuse };
        }
        if old.mine == new.mine || now.since(old.bound_at) > self.config.timers.dial {
            Rivalry::Replace
        } else if new.mine == (self.me < node) {
            Rivalry::NewWins
        } else {
            Rivalry::OldWins
        }
    }

    /// Lets go of the second link to a node. Whoever dialled it closes it; the other end waits for that, as long as a dial
    /// may take.
    fn give_up(&mut self, now: Instant, link: LinkId, ctx: &mut Context<'_>) {
        if self.connections.get(link).is_some_and(|c| c.mine) {
            self.close(now, link, ctx);
        } else {
            self.tasks.set(Task::Dial(link), Some(now + self.config.timers.dial));
        }
    }

    /// It is known now who is at the other end.
    pub(super) fn on_bound(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        if self.attaches.remove(&node).is_some() {
            self.complete_attach(now, node, ctx);
        }
        self.continue_join(now, ctx);
        self.continue_partition_check(now, node, ctx);
    }

    /// What the timers and ACKs of a link have brought to light.
    pub(super) fn on_incident(&mut self, now: Instant, incident: Incident, ctx: &mut Context<'_>) {
        let Incident { link, event } = incident;
        let live = |n: &NodeId| self.connections.link_of(*n) == Some(link);
        let node = self.connections.get(link).and_then(|c| c.node).filter(live);
        match event {
            LinkEvent::Failed => self.close(now, link, ctx),
            LinkEvent::Degraded => {
                let Some(node) = node else { return };
                self.shun(now, node);
                if self.bootstrap_node() == Some(node) {
                    // Nothing can be done without it.
                    return self.close(now, link, ctx);
                }
                self.on_lost(now, node, Cause::Lost, ctx);
                for message in self.connections.strand(link) {
                    self.reroute(now, node, &message, ctx);
                }
            }
            LinkEvent::Restored => {
                let ready = self.connections.get(link).is_some_and(|c| c.attached && c.update_seen);
                if let Some(node) = node.filter(|_| ready) {
                    self.shunned.remove(&node);
                    self.on_peer(now, node, ctx);
                }
            }
        }
    }

    /// A link is gone by itself. Nobody else's word brings back who was there.
    fn on_gone(&mut self, now: Instant, link: LinkId, ctx: &mut Context<'_>) {
        let live = |n: &NodeId| self.connections.link_of(*n) == Some(link);
        let node = self.connections.get(link).and_then(|c| c.node).filter(live);
        if let Some(node) = node {
            self.shun(now, node);
        }
        self.forget_link(now, link, ctx);
    }

    /// Closes a link.
    pub(super) fn close(&mut self, now: Instant, link: LinkId, ctx: &mut Context<'_>) {
        if self.connections.get(link).is_some() {
            self.hang_up(link, ctx);
            self.forget_link(now, link, ctx);
        }
    }

    /// Closes what is no link, or shall not be one.
    fn turn_away(&mut self, now: Instant, link: LinkId, ctx: &mut Context<'_>) {
        self.hang_up(link, ctx);
        self.forget_link(now, link, ctx);
    }

    fn forget_link(&mut self, now: Instant, link: LinkId, ctx: &mut Context<'_>) {
        let stranded = self.connections.strand(link);
        let Some(connection) = self.connections.close(link) else { return };
        self.on_closed(now, link, &connection, ctx);
        let Some(node) = connection.node.filter(|n| self.connections.link_of(*n).is_none()) else { return };
        for message in stranded {
            self.reroute(now, node, &message, ctx);
        }
    }

    /// Tells the host, and by it the other end.
    pub(super) fn hang_up(&self, link: LinkId, ctx: &mut Context<'_>) {
        match link {
            LinkId::Stream(stream) => ctx.effects.push(Effect::Close { stream }),
            LinkId::Datagram(_) if self.config.security == LinkSecurity::InsecurePlain => {}
            LinkId::Datagram(to) => ctx.effects.push(Effect::Dissociate { to }),
        }
    }

    fn on_closed(&mut self, now: Instant, link: LinkId, connection: &Connection, ctx: &mut Context<'_>) {
        self.tasks.clear(&Task::Dial(link));
        if let Some(node) = connection.node.filter(|n| self.connections.link_of(*n).is_none()) {
            self.on_lost(now, node, Cause::Lost, ctx);
        }
        if let Some(expected) = connection.dialing.and_then(|d| d.expected) {
            self.attaches.remove(&expected);
            self.on_unreachable_peer(now, expected, ctx);
        }
        if let Some(address) = connection.reached_at {
            self.on_bootstrap_lost(now, address, ctx);
        }
    }

    /// Nobody has said in time who is there, or a second link to a node was not closed by whoever dialled it.
    pub(super) fn on_dial_timeout(&mut self, now: Instant, link: LinkId, ctx: &mut Context<'_>) {
        self.close(now, link, ctx);
    }
}
