//! The Connection Table (RFC 6940 §3): every link, and who is at its other end.

use super::config::{Limits, Timers};
use crate::bounded::{BoundedMap, Full, Place, gives_way};
use crate::effect::{Effect, Effects};
use crate::env::Party;
use crate::ids::{HostPrefix, NodeId, StreamId};
use crate::reload::codec::Frame;
use crate::reload::link::{
    Link, LinkEvent, Reader, Reliability, Sender, SimpleReliability, Transmission, Watch,
};
use crate::reload::timers::Timers as TimerSet;
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

/// Addresses remembered with the node that was found there.
const FOUND: usize = 16;

/// The name of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LinkId {
    /// Datagrams to and from an address, plain or in a DTLS association.
    Datagram(SocketAddr),
    /// A stream, plain or in TLS.
    Stream(StreamId),
}

/// One link and what is known about its other end.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    link: Link,
    /// Cuts a stream into frames.
    reader: Option<Box<Reader>>,
    /// Where its other end is; of a stream that was accepted not the address at which that node can be dialled.
    pub(super) address: SocketAddr,
    /// The address at which this node reaches the other end.
    pub(super) reached_at: Option<SocketAddr>,
    /// This node dialled it.
    pub(super) mine: bool,
    /// What the other end's certificate says; none while the link is not authenticated, and for ever if it is plain.
    pub(super) party: Option<Arc<Party>>,
    /// The Node-ID that the link binds; none until it is known.
    pub(super) node: Option<NodeId>,
    /// Whether that Node-ID is the only one it could be, or an Attach has said so (RX-12).
    pub(super) identified: bool,
    /// This node dialled, and does not know yet whom.
    pub(super) dialing: Option<Dialing>,
    /// An Attach completed.
    pub(super) attached: bool,
    /// An Update was received, so the other end can be routed through (AT-3).
    pub(super) update_seen: bool,
    /// It was a peer and said goodbye. What it holds may still come (CU10-15).
    pub(super) left: bool,
    pub(super) bound_at: Instant,
    used: Instant,
    /// When something last came from the other end.
    pub(super) heard: Instant,
}

/// A link that this node dialled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialing {
    /// The transaction of the opening Ping, if one has been sent.
    pub(super) transaction_id: Option<u64>,
    /// Whom this node hopes to find.
    pub(super) expected: Option<NodeId>,
}

impl Connection {
    /// Whether messages should not be routed here for now.
    pub(super) fn is_degraded(&self) -> bool {
        self.link.is_degraded()
    }

    /// Whether messages that can go another way should do so for now.
    pub(super) fn is_backlogged(&self, now: Instant) -> bool {
        self.link.is_backlogged(now)
    }

    /// The frames of a stream.
    pub(super) fn reader(&mut self) -> Option<&mut Reader> {
        self.reader.as_deref_mut()
    }
}

/// Something that happened to a link while its timers fired.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incident {
    pub(super) link: LinkId,
    pub(super) event: LinkEvent,
}

/// All links.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    /// In boxes: a node of the map keeps room for several.
    links: BoundedMap<LinkId, Box<Connection>>,
    by_node: BTreeMap<NodeId, LinkId>,
    /// Every link with a `reached_at` stands here once.
    by_address: BTreeMap<SocketAddr, LinkId>,
    /// Who was found at the addresses of bootstrap nodes that were dialled.
    found: BoundedMap<SocketAddr, NodeId>,
    timers: TimerSet<LinkId>,
    reliability: Arc<Reliability>,
    grace: Duration,
    half_open: usize,
    queue: usize,
    message_size: usize,
    next_stream: u32,
}

impl Connections {
    pub(super) fn new(timers: &Timers, limits: &Limits) -> Self {
        Connections {
            links: BoundedMap::new(limits.links),
            by_node: BTreeMap::new(),
            by_address: BTreeMap::new(),
            found: BoundedMap::new(FOUND),
            timers: TimerSet::new(),
            reliability: Arc::new(timers.link),
            grace: timers.link_grace,
            half_open: limits.half_open,
            queue: limits.link_queue,
            message_size: limits.message_size,
            next_stream: 0,
        }
    }

    /// From now on messages may be so large.
    pub(super) fn set_message_size(&mut self, message_size: usize) {
        self.message_size = message_size;
        for (_, connection) in self.links.iter_mut() {
            if let Some(reader) = &mut connection.reader {
                reader.set_max_message_size(message_size);
            }
        }
    }

    pub(super) fn get(&self, link: LinkId) -> Option<&Connection> {
        self.links.get(&link).map(|c| &**c)
    }

    pub(super) fn get_mut(&mut self, link: LinkId) -> Option<&mut Connection> {
        self.links.get_mut(&link).map(|c| &mut **c)
    }

    /// The link to a node.
    pub(super) fn link_of(&self, node: NodeId) -> Option<LinkId> {
        self.by_node.get(&node).copied()
    }

    /// The address of the other end of the link to a node.
    pub(super) fn address_of(&self, node: NodeId) -> Option<SocketAddr> {
        Some(self.of(node)?.address)
    }

    /// The link to whoever is reached at an address, or was found there earlier.
    pub(super) fn link_at(&self, address: SocketAddr) -> Option<LinkId> {
        let found = || self.link_of(*self.found.get(&address)?);
        self.by_address.get(&address).copied().or_else(found)
    }

    /// The node that is reached at an address, once it is known.
    pub(super) fn node_at(&self, address: SocketAddr) -> Option<NodeId> {
        self.get(self.link_at(address)?)?.node
    }

    /// Whether dialling an address, in order to find this node or anybody, would find whom there is a link to.
    pub(super) fn is_reached(&self, address: SocketAddr, expected: Option<NodeId>) -> bool {
        match expected {
            None => self.link_at(address).is_some(),
            // Another node may be there now than the one that was found earlier.
            Some(_) => self.by_address.contains_key(&address),
        }
    }

    /// Remembers who answers at one of the addresses of bootstrap nodes, beyond the life of the link.
    pub(super) fn remember(&mut self, address: SocketAddr, node: NodeId, bootstraps: &[SocketAddr]) {
        self.found.retain(|at, _| bootstraps.contains(at));
        // Full: a node that is linked already may be dialled there once more.
        let _ = self.found.insert(address, node);
    }

    /// The connection to a node.
    pub(super) fn of(&self, node: NodeId) -> Option<&Connection> {
        self.get(self.link_of(node)?)
    }

    /// The connection to a node, to change.
    pub(super) fn of_mut(&mut self, node: NodeId) -> Option<&mut Connection> {
        let link = self.link_of(node)?;
        self.get_mut(link)
    }

    /// Nodes that completed an Attach, in the order of their Node-IDs.
    pub(super) fn attached(&self) -> Vec<NodeId> {
        self.by_node
            .iter()
            .filter(|(_, at)| self.links.get(at).is_some_and(|c| c.attached && !c.is_degraded()))
            .map(|(node, _)| *node)
            .collect()
    }

    /// Everybody to whom there is a link that works, in the order of their Node-IDs: peers, clients, whoever came in
    /// through this node, and peers that have said goodbye and may be handing values over until this node does so too.
    pub(super) fn reachable(&self) -> Vec<NodeId> {
        let works = |at: &LinkId| self.links.get(at).is_some_and(|c| !c.is_degraded());
        self.by_node.iter().filter(|(_, at)| works(at)).map(|(node, _)| *node).collect()
    }

    /// Bound nodes with their addresses, in the order of their Node-IDs.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (NodeId, SocketAddr)> {
        self.by_node.iter().filter_map(|(node, link)| Some((*node, self.get(*link)?.address)))
    }

    /// Links that are being dialled because of an Attach.
    pub(super) fn dialing(&self) -> usize {
        self.links.values().filter(|c| c.dialing.is_some_and(|d| d.expected.is_some())).count()
    }

    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// A name for a stream that has not been asked for yet.
    pub(super) fn next_stream(&mut self) -> StreamId {
        let stream = StreamId::requested_link(self.next_stream);
        self.next_stream = self.next_stream.wrapping_add(1);
        stream
    }

    /// Adds a link. At a limit another one that `spare` does not protect gives way, of the host that has most the idlest; it
    /// is returned with its name.
    pub(super) fn open(
        &mut self,
        now: Instant,
        link: LinkId,
        address: SocketAddr,
        mine: bool,
        spare: impl Fn(NodeId) -> bool,
    ) -> Result<Option<(LinkId, Connection)>, Full> {
        if self.links.contains_key(&link) {
            return Err(Full);
        }
        let live = |id: LinkId, n: NodeId| self.link_of(n) == Some(id);
        let spared = |id: LinkId, c: &Connection| c.node.is_some_and(|n| live(id, n) && spare(n));
        let host = HostPrefix::of(address.ip());
        let half_open = self.links.values().filter(|c| !c.attached).count();
        let evicted = if half_open >= self.half_open {
            Some(self.gives_way(host, |id, c| (!c.attached).then(|| !spared(id, c))).ok_or(Full)?)
        } else if self.links.is_full() {
            Some(self.gives_way(host, |id, c| Some(!spared(id, c))).ok_or(Full)?)
        } else {
            None
        };
        let evicted = evicted.and_then(|id| Some((id, self.close(id)?)));
        let reachable = mine || matches!(link, LinkId::Datagram(_));
        let (sender, reader) = match link {
            LinkId::Datagram(_) => (
                Sender::SimpleReliability(SimpleReliability::new(Arc::clone(&self.reliability), self.queue)),
                None,
            ),
            LinkId::Stream(_) => (
                Sender::Watch(Watch::new(self.queue, self.grace)),
                Some(Box::new(Reader::new(self.message_size))),
            ),
        };
        let connection = Connection {
            link: Link::new(sender),
            reader,
            address,
            reached_at: reachable.then_some(address),
            mine,
            party: None,
            node: None,
            identified: true,
            dialing: None,
            attached: false,
            update_seen: false,
            left: false,
            bound_at: now,
            used: now,
            heard: now,
        };
        self.links.insert(link, Box::new(connection))?;
        if reachable {
            self.by_address.insert(address, link);
        }
        Ok(evicted)
    }

    /// Which link gives way for one to this host. `counts` says which are in question, and which of those may go.
    fn gives_way(
        &self,
        host: HostPrefix,
        counts: impl Fn(LinkId, &Connection) -> Option<bool>,
    ) -> Option<LinkId> {
        let place = |(key, c): (LinkId, &Connection)| {
            let may_go = counts(key, c)?;
            Some(Place { holder: HostPrefix::of(c.address.ip()), used: c.used, may_go, key })
        };
        let links = self.links.iter().map(|(&key, c)| (key, &**c));
        gives_way(links.filter_map(place), host).map(|place| place.key)
    }

    /// It is known who is at the other end. The node's messages take this link from now on.
    pub(super) fn bind(&mut self, now: Instant, link: LinkId, node: NodeId) {
        if let Some(connection) = self.links.get_mut(&link) {
            connection.node = Some(node);
            connection.dialing = None;
            connection.bound_at = now;
            self.by_node.insert(node, link);
        }
    }

    /// It is known who is at the other end, and that node has a better link.
    pub(super) fn bind_second(&mut self, link: LinkId, node: NodeId) {
        if let Some(connection) = self.links.get_mut(&link) {
            connection.node = Some(node);
            connection.dialing = None;
        }
    }

    /// Two links to one node have come up at the same time: `kept` takes over what the other knew, and the address at
    /// which it was reached.
    pub(super) fn merge(&mut self, kept: LinkId, other: LinkId) {
        let needs_address = self.get(kept).is_some_and(|c| c.reached_at.is_none());
        let Some(other) = self.links.get_mut(&other) else { return };
        let (identified, attached, update_seen) = (other.identified, other.attached, other.update_seen);
        let (left, address) = (other.left, other.reached_at.take_if(|_| needs_address));
        let Some(connection) = self.links.get_mut(&kept) else { return };
        connection.identified |= identified;
        connection.attached |= attached;
        connection.update_seen |= update_seen;
        connection.left |= left;
        if let Some(address) = address {
            connection.reached_at = Some(address);
            self.by_address.insert(address, kept);
        }
    }

    /// Forgets a link and everything that waits on it.
    pub(super) fn close(&mut self, link: LinkId) -> Option<Connection> {
        let connection = *self.links.remove(&link)?;
        self.timers.clear(&link);
        if let Some(node) = connection.node.filter(|n| self.by_node.get(n) == Some(&link)) {
            self.by_node.remove(&node);
        }
        if let Some(address) = connection.reached_at.filter(|at| self.by_address.get(at) == Some(&link)) {
            self.by_address.remove(&address);
        }
        Some(connection)
    }

    /// The round trip of a link in the middle: half of the links have shorter ones.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        let mut all: Vec<Duration> = self.links.values().filter_map(|c| c.link.round_trip()).collect();
        let middle = all.len() / 2;
        (!all.is_empty()).then(|| *all.select_nth_unstable(middle).1)
    }

    /// Names of all links.
    pub(super) fn links(&self) -> impl Iterator<Item = LinkId> {
        self.links.keys().copied()
    }

    /// What waits on the links leaves at once, unacknowledged: nobody will be here to send it again. It is the one time that
    /// no window is looked at (LR-3): whoever leaves too would wait for the rest in vain.
    pub(super) fn flush<F>(&mut self, effects: &mut Effects<F>) {
        for (link, connection) in self.links.iter_mut() {
            connection.link.flush().for_each(|t| transmit(*link, Some(t), effects));
        }
    }

    /// What waits on a link that has fallen silent.
    pub(super) fn strand(&mut self, link: LinkId) -> Vec<Bytes> {
        let Some(connection) = self.links.get_mut(&link) else { return Vec::new() };
        let stranded = connection.link.strand();
        self.timers.set(link, connection.link.deadline());
        stranded
    }

    /// Forgets everything but the numbers of streams that the host may still remember.
    pub(super) fn clear(&mut self) {
        self.links.clear();
        self.by_node.clear();
        self.by_address.clear();
        self.found.clear();
        self.timers = TimerSet::new();
    }

    /// Sends a message over a link.
    pub(super) fn send<F>(
        &mut self,
        now: Instant,
        link: LinkId,
        message: Bytes,
        effects: &mut Effects<F>,
    ) -> Result<(), Full> {
        let connection = self.links.get_mut(&link).ok_or(Full)?;
        let transmission = connection.link.send(now, message)?;
        connection.used = now;
        transmit(link, transmission, effects);
        self.timers.set(link, connection.link.deadline());
        Ok(())
    }

    /// A data frame arrived over a link: acknowledges it at once (FR-2).
    pub(super) fn on_data<F>(&mut self, now: Instant, link: LinkId, sequence: u32, effects: &mut Effects<F>) {
        let Some(connection) = self.links.get_mut(&link) else { return };
        connection.used = now;
        connection.heard = now;
        let received = connection.link.on_data(sequence);
        send_frame(link, &Frame::Ack { ack_sequence: sequence, received }, effects);
    }

    /// An ACK arrived. `None` when there is no such link.
    pub(super) fn on_ack(&mut self, now: Instant, link: LinkId, sequence: u32) -> Option<Option<Incident>> {
        let connection = self.links.get_mut(&link)?;
        connection.heard = now;
        let event = connection.link.on_ack(now, sequence);
        self.timers.set(link, connection.link.deadline());
        Some(event.map(|event| Incident { link, event }))
    }

    /// Fires the timers of one link that is due, and says what happened; `None` when none is due.
    pub(super) fn fire<F>(&mut self, now: Instant, effects: &mut Effects<F>) -> Option<Option<Incident>> {
        let link = self.timers.pop_due(now)?;
        let connection = self.links.get_mut(&link)?;
        let (transmission, event) = connection.link.handle_timeout(now);
        transmit(link, transmission, effects);
        self.timers.set(link, connection.link.deadline());
        Some(event.map(|event| Incident { link, event }))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }
}

fn transmit<F>(link: LinkId, transmission: Option<Transmission>, effects: &mut Effects<F>) {
    if let Some(Transmission { sequence, message }) = transmission {
        send_frame(link, &Frame::Data { sequence, message }, effects);
    }
}

/// A message that does not fit into a frame never gets here: max-message-size is far smaller.
fn send_frame<F>(link: LinkId, frame: &Frame, effects: &mut Effects<F>) {
    match (link, frame.encode()) {
        (LinkId::Datagram(to), Ok(datagram)) => effects.send(to, datagram),
        (LinkId::Stream(stream), Ok(bytes)) => effects.push(Effect::Write { stream, bytes }),
        (_, Err(_)) => {}
    }
}
