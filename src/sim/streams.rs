//! TCP as far as a machine can see it: what is written arrives in order and whole, after some time, until one end
//! closes, dies, or cannot be reached for too long.
//!
//! Each connection is two pipes of chunks. An event says only *which pipe moves*; the chunk at its front is what
//! arrives, so that chunks keep their order whatever delays them.

use super::machine::{Machine, NodeIndex};
use super::network::{Death, Happening, Network};
use super::trace::What;
use super::underlay::happens;
use crate::ids::StreamId;
use crate::node::StreamInput;
use crate::stats::Plane;
use crate::time::{Duration, Instant};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

/// How long TCP waits before it sends a lost segment again, and before it tries a dead path again.
const RETRANSMISSION: Duration = Duration::from_millis(200);
const RETRY: Duration = Duration::from_secs(1);
/// The first port of those that connections go out from.
const EPHEMERAL: u16 = 49152;

/// One pipe of one connection moves on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    connection: u32,
    from: Side,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Caller,
    Listener,
}

impl Side {
    const fn other(self) -> Side {
        match self {
            Side::Caller => Side::Listener,
            Side::Listener => Side::Caller,
        }
    }
}

enum Chunk {
    /// SYN from the caller, SYN/ACK from the listener.
    Open,
    Bytes(Bytes),
    Close,
}

/// One end of a connection, and the pipe that leads from it to the other end.
struct End {
    node: NodeIndex,
    address: SocketAddr,
    /// The machine's number for it, from the moment it has one until it is closed there.
    stream: Option<StreamId>,
    pipe: VecDeque<Chunk>,
    /// When the last chunk in the pipe arrives.
    last: Instant,
    /// Since when the front of the pipe cannot get through.
    stuck: Option<Instant>,
}

struct Connection {
    plane: Plane,
    caller: End,
    listener: End,
    /// When the caller can know that it is open; nothing that it writes leaves before.
    open: Instant,
}

impl Connection {
    fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Caller => &mut self.caller,
            Side::Listener => &mut self.listener,
        }
    }
}

/// The connections of a network.
#[derive(Default)]
pub(super) struct Streams {
    connections: BTreeMap<u32, Connection>,
    ends: BTreeMap<(NodeIndex, StreamId), (u32, Side)>,
    opened: u32,
    accepted: u32,
}

impl<M: Machine> Network<M> {
    pub(super) fn connect(&mut self, node: NodeIndex, stream: StreamId, plane: Plane, to: SocketAddr) {
        let number = self.streams.opened;
        self.streams.opened += 1;
        let port = EPHEMERAL + (number % u32::from(u16::MAX - EPHEMERAL)) as u16;
        let from = SocketAddr::new(self.addresses(node).overlay.ip(), port);
        // An address outside of the simulation is a host without power: nobody answers.
        let target = NodeIndex::of(to.ip()).unwrap_or(NodeIndex(u32::MAX));
        let (_, latency) = self.path(node, target);
        let end = |node, address, stream| End {
            node,
            address,
            stream,
            pipe: VecDeque::new(),
            last: Instant::ZERO,
            stuck: None,
        };
        let connection = Connection {
            plane,
            caller: end(node, from, Some(stream)),
            listener: end(target, to, None),
            open: self.now + latency + latency,
        };
        self.streams.connections.insert(number, connection);
        self.streams.ends.insert((node, stream), (number, Side::Caller));
        self.packet(from, to, plane, What::Opened);
        self.push(number, Side::Caller, Chunk::Open);
    }

    pub(super) fn write(&mut self, node: NodeIndex, stream: StreamId, bytes: Bytes) {
        let Some(&(number, side)) = self.streams.ends.get(&(node, stream)) else { return };
        if let Some(connection) = self.streams.connections.get_mut(&number) {
            let plane = connection.plane;
            let (from, to) = (connection.end(side).address, connection.end(side.other()).address);
            self.count_sent(node, plane, bytes.len());
            self.packet(from, to, plane, What::Bytes(bytes.clone()));
            self.push(number, side, Chunk::Bytes(bytes));
        }
    }

    pub(super) fn close(&mut self, node: NodeIndex, stream: StreamId) {
        let Some((number, side)) = self.streams.ends.remove(&(node, stream)) else { return };
        if let Some(connection) = self.streams.connections.get_mut(&number) {
            connection.end(side).stream = None;
            self.say_close(number, side);
        }
    }

    /// The kernel of a dead process resets its connections; a host without power says nothing.
    pub(super) fn drop_streams_of(&mut self, node: NodeIndex, death: Death) {
        let all = (node, StreamId::accepted(0))..=(node, StreamId::requested_link(u32::MAX));
        let ends: Vec<_> = self.streams.ends.range(all).map(|(&key, &end)| (key, end)).collect();
        for (key, (number, side)) in ends {
            self.streams.ends.remove(&key);
            if let Some(connection) = self.streams.connections.get_mut(&number) {
                connection.end(side).stream = None;
                match death {
                    Death::Process => self.say_close(number, side),
                    Death::Host => connection.end(side).pipe.clear(),
                }
            }
        }
    }

    fn say_close(&mut self, number: u32, side: Side) {
        if let Some(connection) = self.streams.connections.get_mut(&number) {
            let plane = connection.plane;
            let (from, to) = (connection.end(side).address, connection.end(side.other()).address);
            self.packet(from, to, plane, What::Closed);
            self.push(number, side, Chunk::Close);
        }
    }

    /// Appends to a pipe. A lost segment costs its retransmission; nothing overtakes.
    fn push(&mut self, number: u32, side: Side, chunk: Chunk) {
        let Some(connection) = self.streams.connections.get_mut(&number) else { return };
        let (from, to) = (connection.end(side).node, connection.end(side.other()).node);
        let waits_for_open = side == Side::Caller && !matches!(chunk, Chunk::Open);
        let leaves = if waits_for_open { self.now.max(connection.open) } else { self.now };
        connection.end(side).pipe.push_back(chunk);
        let (conditions, latency) = self.path(from, to);
        let dice = self.dice();
        let mut delay = latency + conditions.queueing(dice);
        let lost = (0..6).take_while(|_| happens(conditions.loss, dice)).count();
        delay += RETRANSMISSION * ((1 << lost) - 1);
        if let Some(connection) = self.streams.connections.get_mut(&number) {
            let end = connection.end(side);
            end.last = end.last.max(leaves + delay);
            let at = end.last;
            self.queue.schedule(at, Happening::Segment(Segment { connection: number, from: side }));
        }
    }

    pub(super) fn segment_arrives(&mut self, segment: Segment) {
        let Segment { connection: number, from: side } = segment;
        let Some(connection) = self.streams.connections.get_mut(&number) else { return };
        if connection.end(side).pipe.is_empty() {
            return;
        }
        let (from, to) = (connection.end(side).node, connection.end(side.other()).node);
        let host = self.hosts.get(to.at());
        let powered = host.is_some_and(|host| host.machine.is_some() || host.death == Death::Process);
        let frozen_until = host.map_or(Instant::ZERO, |host| host.frozen_until);
        if !powered || !self.connected(from, to) {
            return self.stuck(segment);
        }
        if frozen_until > self.now {
            self.queue.schedule(frozen_until, Happening::Segment(segment));
            return;
        }
        let Some(connection) = self.streams.connections.get_mut(&number) else { return };
        connection.end(side).stuck = None;
        match connection.end(side).pipe.pop_front() {
            Some(Chunk::Open) if side == Side::Caller => self.called(number),
            Some(Chunk::Open) => {
                let (stream, plane, peer) =
                    (connection.caller.stream, connection.plane, connection.listener.address);
                if let Some(stream) = stream {
                    let opened = StreamInput::Opened { peer, plane };
                    self.input(to, |machine, now| machine.handle_stream(now, stream, opened));
                }
            }
            Some(Chunk::Bytes(bytes)) => {
                let (stream, plane) = (connection.end(side.other()).stream, connection.plane);
                match stream {
                    Some(stream) => {
                        self.count_received(to, plane, bytes.len());
                        self.input(to, |machine, now| {
                            machine.handle_stream(now, stream, StreamInput::Bytes(bytes));
                        });
                    }
                    // Nobody reads here any more: the kernel resets the connection.
                    None => self.reset(number, side.other()),
                }
            }
            Some(Chunk::Close) => self.end_closed(number, side.other()),
            None => {}
        }
    }

    /// A SYN has arrived: the listener's kernel accepts or refuses.
    fn called(&mut self, number: u32) {
        let Some(connection) = self.streams.connections.get_mut(&number) else { return };
        let (node, to, peer, plane) = (
            connection.listener.node,
            connection.listener.address,
            connection.caller.address,
            connection.plane,
        );
        let listens = NodeIndex::plane_of(to.port()) == Some(plane)
            && plane != Plane::Media
            && self.hosts.get(node.at()).is_some_and(|host| host.machine.is_some());
        if !listens {
            return self.reset(number, Side::Listener);
        }
        let stream = StreamId::accepted(self.streams.accepted);
        self.streams.accepted += 1;
        connection.listener.stream = Some(stream);
        self.streams.ends.insert((node, stream), (number, Side::Listener));
        self.push(number, Side::Listener, Chunk::Open);
        let opened = StreamInput::Opened { peer, plane };
        self.input(node, |machine, now| machine.handle_stream(now, stream, opened));
    }

    /// The front of a pipe cannot get through: try again, or give up at both ends.
    fn stuck(&mut self, segment: Segment) {
        let (now, timeout) = (self.now, self.config.tcp_timeout);
        let Some(connection) = self.streams.connections.get_mut(&segment.connection) else { return };
        let since = *connection.end(segment.from).stuck.get_or_insert(now);
        if now.since(since) < timeout {
            self.queue.schedule(now + RETRY, Happening::Segment(segment));
        } else {
            self.end_closed(segment.connection, segment.from);
        }
    }

    /// The kernel at `side` wants no more of this: the other end is closed, after the way there.
    fn reset(&mut self, number: u32, side: Side) {
        if let Some(connection) = self.streams.connections.get_mut(&number) {
            connection.end(side).pipe.clear();
            self.say_close(number, side);
        }
    }

    /// The connection is over for the machine at `side`, and with it the whole connection: what may still be on
    /// its way to the other end was written before, and arrives there only if that end is open.
    fn end_closed(&mut self, number: u32, side: Side) {
        let Some(connection) = self.streams.connections.get_mut(&number) else { return };
        let node = connection.end(side).node;
        let stream = connection.end(side).stream.take();
        if connection.end(side.other()).stream.is_none() {
            self.streams.connections.remove(&number);
        }
        if let Some(stream) = stream {
            self.streams.ends.remove(&(node, stream));
            self.input(node, |machine, now| machine.handle_stream(now, stream, StreamInput::Closed));
        }
    }
}
