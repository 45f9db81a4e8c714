//! The TCP connections of an agent (RFC 3261 §18): one per peer, used by both sides, closed when nobody uses it.
//!
//! Whoever comes in gets a place: when all are taken the host with most of them gives one up, as long as there is one on
//! which no call depends. A message that is for one node is written to a stream of that node only.

use super::{Fact, Limits};
use crate::bounded::{Place, gives_way};
use crate::effect::{Effect, Effects};
use crate::env::Party;
use crate::ids::{HostPrefix, NodeId, StreamId};
use crate::sip::stream::Framer;
use crate::sip::transaction::Branch;
use crate::time::{Duration, Instant};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

/// A message on its way to a stream.
#[derive(Debug)]
pub(super) struct Letter {
    /// The node that it is for, if that is known.
    pub(super) node: Option<NodeId>,
    /// The client transaction that must know when it cannot be sent.
    pub(super) client: Option<Branch>,
    pub(super) bytes: Bytes,
}

#[derive(Debug)]
enum State {
    /// Asked for. What is to be written waits, up to `Limits::unwritten`.
    Connecting { waiting: Vec<Letter>, bytes: usize },
    /// Bytes go to the host as they come.
    Open,
}

#[derive(Debug)]
struct Stream {
    peer: SocketAddr,
    /// Who has proved to be there.
    party: Option<Arc<Party>>,
    state: State,
    framer: Framer,
    used: Instant,
}

impl Stream {
    /// Whether a message for this node may take the stream. While nobody has proved anything it waits.
    fn may_lead_to(&self, node: Option<NodeId>) -> bool {
        match (&self.state, node) {
            (State::Connecting { .. }, _) | (_, None) => true,
            (State::Open, Some(node)) => self.is_of(node),
        }
    }

    fn is_of(&self, node: NodeId) -> bool {
        self.party.as_ref().is_some_and(|party| party.node_ids.contains(&node))
    }
}

/// What became of a stream that has opened.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// The stream that was closed to make room for it.
    pub(super) gave_way: Option<StreamId>,
    /// Requests that have waited for it and leave now.
    pub(super) sent: Vec<Branch>,
    /// Requests that were for another node than the one that is there.
    pub(super) not_sent: Vec<Branch>,
    /// It is closed again.
    pub(super) refused: bool,
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
    per_host: usize,
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
            per_host: limits.streams_per_host,
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
    pub(super) fn peer(&self, id: StreamId) -> Option<(SocketAddr, Option<&Arc<Party>>)> {
        self.streams.get(&id).map(|s| (s.peer, s.party.as_ref()))
    }

    /// The streams of everybody for whom `is_meant` speaks.
    pub(super) fn of_parties(&self, is_meant: impl Fn(&Party) -> bool) -> Vec<StreamId> {
        let meant = |s: &Stream| s.party.as_ref().is_some_and(|party| is_meant(party));
        self.streams.iter().filter(|(_, s)| meant(s)).map(|(&id, _)| id).collect()
    }

    /// Writes a message: to this stream while it exists, else to the one of this address, else to a new one. Tells which.
    pub(super) fn send(
        &mut self,
        now: Instant,
        id: Option<StreamId>,
        to: SocketAddr,
        letter: Letter,
        effects: &mut Effects<Fact>,
    ) -> Result<StreamId, Unsendable> {
        let leads_there = |id: &StreamId| self.streams.get(id).is_some_and(|s| s.may_lead_to(letter.node));
        let of_address = || self.by_peer.get(&to).copied().filter(leads_there);
        let id = match id.filter(leads_there).or_else(of_address) {
            Some(id) => id,
            None => self.connect(now, to, effects)?,
        };
        let stream = self.streams.get_mut(&id).ok_or(Unsendable)?;
        stream.used = now;
        match &mut stream.state {
            State::Open => effects.push(Effect::Write { stream: id, bytes: letter.bytes }),
            State::Connecting { waiting, bytes } => {
                if *bytes + letter.bytes.len() > self.unwritten {
                    return Err(Unsendable);
                }
                *bytes += letter.bytes.len();
                waiting.push(letter);
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
        if self.streams.len() >= self.limit {
            return Err(Unsendable);
        }
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
        (peer, party): (SocketAddr, Option<Arc<Party>>),
        state: State,
    ) -> Result<(), Unsendable> {
        if self.streams.contains_key(&id) {
            return Err(Unsendable);
        }
        self.streams.insert(id, Stream { peer, party, state, framer: Framer::new(), used: now });
        self.by_peer.insert(peer, id);
        self.looks.insert((now + self.idle, id));
        Ok(())
    }

    /// Makes room for a stream that comes in from this host; which one it took the place of. Whoever comes in leaves a
    /// quarter of all places to the streams that this node asks for, and they are never taken away.
    fn make_room(
        &mut self,
        host: HostPrefix,
        is_needed: impl Fn(StreamId) -> bool,
    ) -> Result<Option<StreamId>, Unsendable> {
        let accepted = || self.streams.iter().filter(|(id, _)| !id.is_requested());
        let host_of = |stream: &Stream| HostPrefix::of(stream.peer.ip());
        let has_its_share = accepted().filter(|(_, s)| host_of(s) == host).count() >= self.per_host;
        if !has_its_share && self.streams.len() < self.limit - self.limit / 4 {
            return Ok(None);
        }
        let place = |(&key, stream): (&StreamId, &Stream)| {
            let holder = host_of(stream);
            Place { holder, used: stream.used, may_go: !is_needed(key), key }
        };
        let within_reach = |place: &Place<_, _, _>| !has_its_share || place.holder == host;
        let gone = gives_way(accepted().map(place).filter(within_reach), host).ok_or(Unsendable)?.key;
        self.remove(gone);
        Ok(Some(gone))
    }

    /// A stream is open. One that nobody knows was accepted: there may be no room for it, or another one that
    /// `is_needed` does not speak for gives way.
    pub(super) fn on_opened(
        &mut self,
        now: Instant,
        id: StreamId,
        peer: SocketAddr,
        party: Option<Arc<Party>>,
        is_needed: impl Fn(StreamId) -> bool,
        effects: &mut Effects<Fact>,
    ) -> Opened {
        let mut opened = Opened::default();
        let Some(stream) = self.streams.get_mut(&id) else {
            // An asked-for stream that was given up in the meantime is of no use any more.
            let room = if id.is_requested() {
                Err(Unsendable)
            } else {
                self.make_room(HostPrefix::of(peer.ip()), is_needed)
            };
            opened.gave_way = room.unwrap_or_default();
            let entered = room.and_then(|_| self.insert(now, id, (peer, party), State::Open));
            opened.refused = entered.is_err();
            let closed = opened.gave_way.into_iter().chain(Some(id).filter(|_| opened.refused));
            closed.for_each(|stream| effects.push(Effect::Close { stream }));
            return opened;
        };
        stream.party = party;
        let State::Connecting { waiting, .. } = core::mem::replace(&mut stream.state, State::Open) else {
            return opened;
        };
        let (all, mut written) = (waiting.len(), 0);
        for Letter { node, client, bytes } in waiting {
            if stream.may_lead_to(node) {
                effects.push(Effect::Write { stream: id, bytes });
                written += 1;
                opened.sent.extend(client);
            } else {
                opened.not_sent.extend(client);
            }
        }
        // Whoever is there was not looked for.
        if written == 0 && all > 0 {
            self.remove(id);
            effects.push(Effect::Close { stream: id });
            opened.refused = true;
        }
        opened
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
