//! The TCP connections of an agent (RFC 3261 §18): one per peer, used by both sides, closed when nobody uses it.

use super::{Fact, Limits};
use crate::effect::{Effect, Effects};
use crate::ids::{NodeId, StreamId};
use crate::sip::stream::Framer;
use crate::time::{Duration, Instant};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

#[derive(Debug)]
enum State {
    /// Asked for. What is to be written waits, up to `Limits::unwritten`.
    Connecting { waiting: Vec<Bytes>, bytes: usize },
    /// Bytes go to the host as they come.
    Open,
}

#[derive(Debug)]
struct Stream {
    peer: SocketAddr,
    /// Who has proved to be there.
    node: Option<NodeId>,
    state: State,
    framer: Framer,
    used: Instant,
}

/// The message cannot be sent: no room for another stream, or too much waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsendable;

#[derive(Debug)]
pub(super) struct Streams {
    streams: BTreeMap<StreamId, Stream>,
    /// The stream that requests to this address take.
    by_peer: BTreeMap<SocketAddr, StreamId>,
    /// When to look whether a stream is idle. Each stands here once, and its time is moved when it is looked at.
    looks: BTreeSet<(Instant, StreamId)>,
    next: u32,
    idle: Duration,
    limit: usize,
    unwritten: usize,
}

impl Streams {
    pub(super) fn new(limits: &Limits, idle: Duration) -> Self {
        Streams {
            streams: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            looks: BTreeSet::new(),
            next: 0,
            idle: idle.max(Duration::from_secs(1)),
            limit: limits.streams,
            unwritten: limits.unwritten,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.looks.first().map(|&(at, _)| at)
    }

    /// The other end of a stream, and who has proved to be there.
    pub(super) fn peer(&self, id: StreamId) -> Option<(SocketAddr, Option<NodeId>)> {
        self.streams.get(&id).map(|s| (s.peer, s.node))
    }

    /// Writes a message: to this stream while it exists, else to the one of this address, else to a new one. Tells which.
    pub(super) fn send(
        &mut self,
        now: Instant,
        id: Option<StreamId>,
        to: SocketAddr,
        message: Bytes,
        effects: &mut Effects<Fact>,
    ) -> Result<StreamId, Unsendable> {
        let known = id.filter(|id| self.streams.contains_key(id)).or_else(|| self.by_peer.get(&to).copied());
        let id = match known {
            Some(id) => id,
            None => self.connect(now, to, effects)?,
        };
        let stream = self.streams.get_mut(&id).ok_or(Unsendable)?;
        stream.used = now;
        match &mut stream.state {
            State::Open => effects.push(Effect::Write { stream: id, bytes: message }),
            State::Connecting { waiting, bytes } => {
                if *bytes + message.len() > self.unwritten {
                    return Err(Unsendable);
                }
                *bytes += message.len();
                waiting.push(message);
            }
        }
        Ok(id)
    }

    fn connect(
        &mut self,
        now: Instant,
        to: SocketAddr,
        effects: &mut Effects<Fact>,
    ) -> Result<StreamId, Unsendable> {
        let id = StreamId::requested(self.next);
        self.next = self.next.wrapping_add(1);
        let state = State::Connecting { waiting: Vec::new(), bytes: 0 };
        self.insert(now, id, (to, None), state)?;
        effects.push(Effect::Connect { stream: id, to });
        Ok(id)
    }

    fn insert(
        &mut self,
        now: Instant,
        id: StreamId,
        (peer, node): (SocketAddr, Option<NodeId>),
        state: State,
    ) -> Result<(), Unsendable> {
        // Whoever comes in leaves a quarter of the places to the streams that this node asks for.
        let limit = if id.is_requested() { self.limit } else { self.limit - self.limit / 4 };
        if self.streams.len() >= limit || self.streams.contains_key(&id) {
            return Err(Unsendable);
        }
        self.streams.insert(id, Stream { peer, node, state, framer: Framer::new(), used: now });
        self.by_peer.insert(peer, id);
        self.looks.insert((now + self.idle, id));
        Ok(())
    }

    /// A stream is open. One that nobody knows was accepted; there may be no room for it.
    pub(super) fn on_opened(
        &mut self,
        now: Instant,
        id: StreamId,
        peer: SocketAddr,
        node: Option<NodeId>,
        effects: &mut Effects<Fact>,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else {
            // An asked-for stream that was given up in the meantime is of no use any more.
            if id.is_requested() || self.insert(now, id, (peer, node), State::Open).is_err() {
                effects.push(Effect::Close { stream: id });
            }
            return;
        };
        stream.node = node;
        if let State::Connecting { waiting, .. } = core::mem::replace(&mut stream.state, State::Open) {
            waiting.into_iter().for_each(|bytes| effects.push(Effect::Write { stream: id, bytes }));
        }
    }

    /// The framer of a stream, which bytes arrived for.
    pub(super) fn framer(&mut self, now: Instant, id: StreamId) -> Option<&mut Framer> {
        let stream = self.streams.get_mut(&id)?;
        stream.used = now;
        Some(&mut stream.framer)
    }

    /// Forgets a stream; tells whether there was one.
    pub(super) fn remove(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.streams.remove(&id) else { return false };
        if self.by_peer.get(&stream.peer) == Some(&id) {
            self.by_peer.remove(&stream.peer);
        }
        self.looks.retain(|&(_, looked)| looked != id);
        true
    }

    /// Takes the next stream that nobody has used for the idle time out of the table.
    pub(super) fn pop_idle(&mut self, now: Instant) -> Option<StreamId> {
        while let Some(&(at, id)) = self.looks.first().filter(|(at, _)| *at <= now) {
            self.looks.remove(&(at, id));
            let Some(stream) = self.streams.get(&id) else { continue };
            let due = stream.used + self.idle;
            if due <= now {
                self.remove(id);
                return Some(id);
            }
            self.looks.insert((due, id));
        }
        None
    }
}
