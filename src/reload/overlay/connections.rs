//! The Connection Table (RFC 6940 §3): every link by its address, and who is at its other end.

use super::config::Limits;
use crate::bounded::{BoundedMap, Full};
use crate::effect::Effects;
use crate::ids::NodeId;
use crate::reload::codec::Frame;
use crate::reload::link::{Link, LinkEvent, Reliability, Transmission};
use crate::reload::timers::Timers;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

/// One link and what is known about its other end.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    link: Link,
    /// The Node-ID that the link binds; none until the handshake is done.
    pub(super) node: Option<NodeId>,
    /// This node dialled: the transaction of its opening Ping, and whom it hopes to find.
    pub(super) dialing: Option<Dialing>,
    /// An Attach completed.
    pub(super) attached: bool,
    /// An Update was received, so the other end can be routed through (AT-3).
    pub(super) update_seen: bool,
    /// It was a peer and said goodbye. What it holds may still come (CU10-15).
    pub(super) left: bool,
    used: Instant,
    /// When something last came from the other end.
    pub(super) heard: Instant,
}

/// An opening Ping that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialing {
    pub(super) transaction_id: u64,
    pub(super) expected: Option<NodeId>,
}

impl Connection {
    /// Whether messages should not be routed here for now.
    pub(super) fn is_degraded(&self) -> bool {
        self.link.is_degraded()
    }
}

/// Something that happened to a link while its timers fired.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incident {
    pub(super) address: SocketAddr,
    pub(super) event: LinkEvent,
}

/// All links.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    links: BoundedMap<SocketAddr, Connection>,
    by_node: BTreeMap<NodeId, SocketAddr>,
    timers: Timers<SocketAddr>,
    reliability: Reliability,
    half_open: usize,
    queue: usize,
}

impl Connections {
    pub(super) fn new(reliability: Reliability, limits: &Limits) -> Self {
        Connections {
            links: BoundedMap::new(limits.links),
            by_node: BTreeMap::new(),
            timers: Timers::new(),
            reliability,
            half_open: limits.half_open,
            queue: limits.link_queue,
        }
    }

    pub(super) fn get(&self, address: SocketAddr) -> Option<&Connection> {
        self.links.get(&address)
    }

    pub(super) fn get_mut(&mut self, address: SocketAddr) -> Option<&mut Connection> {
        self.links.get_mut(&address)
    }

    /// The address under which a node is connected.
    pub(super) fn address_of(&self, node: NodeId) -> Option<SocketAddr> {
        self.by_node.get(&node).copied()
    }

    /// The connection to a node.
    pub(super) fn of(&self, node: NodeId) -> Option<&Connection> {
        self.get(self.address_of(node)?)
    }

    /// The connection to a node, to change.
    pub(super) fn of_mut(&mut self, node: NodeId) -> Option<&mut Connection> {
        let address = self.address_of(node)?;
        self.get_mut(address)
    }

    /// Nodes that completed an Attach, in the order of their Node-IDs.
    pub(super) fn attached(&self) -> Vec<NodeId> {
        self.by_node
            .iter()
            .filter(|(_, at)| self.links.get(at).is_some_and(|c| c.attached && !c.is_degraded()))
            .map(|(node, _)| *node)
            .collect()
    }

    /// Bound nodes with their addresses, in the order of their Node-IDs.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (NodeId, SocketAddr)> {
        self.by_node.iter().map(|(n, a)| (*n, *a))
    }

    /// Links that are being dialled because of an Attach.
    pub(super) fn dialing(&self) -> usize {
        self.links.values().filter(|c| c.dialing.is_some_and(|d| d.expected.is_some())).count()
    }

    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// Adds a link. At a limit the idlest link that `spare` does not protect gives way; it is returned with its address.
    pub(super) fn open(
        &mut self,
        now: Instant,
        address: SocketAddr,
        spare: impl Fn(NodeId) -> bool,
    ) -> Result<Option<(SocketAddr, Connection)>, Full> {
        let spared = |c: &Connection| c.node.is_some_and(&spare);
        let half_open = self.links.values().filter(|c| !c.attached).count();
        let evicted = if half_open >= self.half_open {
            Some(self.idlest(|c| !c.attached && !spared(c)).ok_or(Full)?)
        } else if self.links.is_full() {
            Some(self.idlest(|c| !spared(c)).ok_or(Full)?)
        } else {
            None
        };
        let evicted = evicted.and_then(|at| Some((at, self.close(at)?)));
        let link = Link::new(self.reliability, self.queue);
        let connection = Connection {
            link,
            node: None,
            dialing: None,
            attached: false,
            update_seen: false,
            left: false,
            used: now,
            heard: now,
        };
        self.links.insert(address, connection)?;
        Ok(evicted)
    }

    fn idlest(&self, may_go: impl Fn(&Connection) -> bool) -> Option<SocketAddr> {
        let candidates = self.links.iter().filter(|(_, c)| may_go(c));
        candidates.min_by_key(|(_, c)| c.used).map(|(at, _)| *at)
    }

    /// The handshake is done: this node is at the other end.
    pub(super) fn bind(&mut self, address: SocketAddr, node: NodeId) {
        if let Some(connection) = self.links.get_mut(&address) {
            connection.node = Some(node);
            connection.dialing = None;
            self.by_node.insert(node, address);
        }
    }

    /// Forgets a link and everything that waits on it.
    pub(super) fn close(&mut self, address: SocketAddr) -> Option<Connection> {
        let connection = self.links.remove(&address)?;
        self.timers.clear(&address);
        if let Some(node) = connection.node.filter(|n| self.by_node.get(n) == Some(&address)) {
            self.by_node.remove(&node);
        }
        Some(connection)
    }

    /// What waits on the links leaves at once, unacknowledged: nobody will be here to send it again.
    pub(super) fn flush<F>(&mut self, effects: &mut Effects<F>) {
        for (address, connection) in self.links.iter_mut() {
            connection.link.flush().for_each(|t| transmit(*address, Some(t), effects));
        }
    }

    /// What waits on a link that has fallen silent.
    pub(super) fn strand(&mut self, address: SocketAddr) -> Vec<Bytes> {
        let Some(connection) = self.links.get_mut(&address) else { return Vec::new() };
        let stranded = connection.link.strand();
        self.timers.set(address, connection.link.deadline());
        stranded
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.links.clear();
        self.by_node.clear();
        self.timers = Timers::new();
    }

    /// Sends a message over a link.
    pub(super) fn send<F>(
        &mut self,
        now: Instant,
        address: SocketAddr,
        message: Bytes,
        effects: &mut Effects<F>,
    ) -> Result<(), Full> {
        let connection = self.links.get_mut(&address).ok_or(Full)?;
        let transmission = connection.link.send(now, message)?;
        connection.used = now;
        transmit(address, transmission, effects);
        self.timers.set(address, connection.link.deadline());
        Ok(())
    }

    /// A data frame arrived over a link: acknowledges it at once (FR-2).
    pub(super) fn on_data<F>(
        &mut self,
        now: Instant,
        address: SocketAddr,
        sequence: u32,
        effects: &mut Effects<F>,
    ) {
        let Some(connection) = self.links.get_mut(&address) else { return };
        connection.used = now;
        connection.heard = now;
        let received = connection.link.on_data(sequence);
        send_frame(address, &Frame::Ack { ack_sequence: sequence, received }, effects);
    }

    /// An ACK arrived. `None` when there is no such link.
    pub(super) fn on_ack(
        &mut self,
        now: Instant,
        address: SocketAddr,
        sequence: u32,
    ) -> Option<Option<Incident>> {
        let connection = self.links.get_mut(&address)?;
        connection.heard = now;
        let event = connection.link.on_ack(now, sequence);
        self.timers.set(address, connection.link.deadline());
        Some(event.map(|event| Incident { address, event }))
    }

    /// Fires the timers of one link that is due, and says what happened; `None` when none is due.
    pub(super) fn fire<F>(&mut self, now: Instant, effects: &mut Effects<F>) -> Option<Option<Incident>> {
        let address = self.timers.pop_due(now)?;
        let connection = self.links.get_mut(&address)?;
        let (transmission, event) = connection.link.handle_timeout(now);
        transmit(address, transmission, effects);
        self.timers.set(address, connection.link.deadline());
        Some(event.map(|event| Incident { address, event }))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }
}

fn transmit<F>(to: SocketAddr, transmission: Option<Transmission>, effects: &mut Effects<F>) {
    if let Some(Transmission { sequence, message }) = transmission {
        send_frame(to, &Frame::Data { sequence, message }, effects);
    }
}

/// A message that does not fit into a frame never gets here: max-message-size is far smaller.
fn send_frame<F>(to: SocketAddr, frame: &Frame, effects: &mut Effects<F>) {
    if let Ok(datagram) = frame.encode() {
        effects.send(to, datagram);
    }
}
