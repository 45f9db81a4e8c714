//! Secured streams: between the ciphertext that a host moves and the plaintext that the planes read.
//!
//! ```text
//! host ── bytes ─▶ Channel (TLS) ── plaintext, and who is at the other end ─▶ plane
//! host ◀─ bytes ── Channel (TLS) ◀── plaintext ────────────────────────────── plane
//! ```
//!
//! Datagrams have their [`association`]s.
//!
//! A plane hears of a stream when its handshake is done, so whatever it reads comes from somebody who has proved who he
//! is.
//!
//! # Strangers
//!
//! A handshake costs the side that was dialled a signature for some bytes that anybody can send. So each accepted stream
//! takes a place until its handshake is done; one that came to nothing keeps its place for the time that a handshake may
//! take. So a host gets no more handshakes for nothing than [`Limits::handshakes_per_host`] in each [`Limits::stranger`],
//! and no more at all than [`Limits::begun_per_host`]. When all places are taken the host with most of them gives its
//! oldest up: nobody keeps everybody else out.

pub mod association;

use crate::bounded::{BoundedMap, Full, Place, gives_way};
use crate::effect::{Effect, Effects};
use crate::env::{Channel, ChannelError, Channels, Party};
use crate::ids::{HostPrefix, NodeId, StreamId};
use crate::stats::{DropReason, Plane};
use crate::time::{Duration, Instant, UnixMillis};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

/// What strangers can make grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams at a time. Full: a further one is closed.
    pub streams: usize,
    /// Accepted streams whose handshakes are under way. Full: for a further one the oldest of the host that has most gives
    /// way.
    pub handshakes: usize,
    /// The same of one host ([`HostPrefix`]), those that came to nothing within [`Limits::stranger`] included. Full: a
    /// further one is closed.
    pub handshakes_per_host: usize,
    /// Handshakes that one host has begun within [`Limits::stranger`], whatever became of them. Full: a further one is closed.
    pub begun_per_host: usize,
    /// The handshake of a stream that was accepted is given up after this long.
    pub stranger: Duration,
    /// The handshake of a stream that this node asked for is given up after this long.
    pub handshake: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            streams: 1024,
            handshakes: 64,
            handshakes_per_host: 32,
            begun_per_host: 256,
            stranger: Duration::from_secs(3),
            handshake: Duration::from_secs(5),
        }
    }
}

/// What a plane must know of its streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The handshake is done.
    Opened {
        /// Which stream.
        stream: StreamId,
        /// Whose it is.
        plane: Plane,
        /// The other end's transport address.
        peer: SocketAddr,
        /// Who is there.
        party: Arc<Party>,
    },
    /// Plaintext arrived.
    Received {
        /// Which stream.
        stream: StreamId,
        /// Whose it is.
        plane: Plane,
        /// A piece of it, cut anywhere.
        bytes: Bytes,
    },
    /// Ciphertext is to be written.
    Secured {
        /// To which stream.
        stream: StreamId,
        /// Whose it is.
        plane: Plane,
        /// What, after everything before.
        bytes: Bytes,
    },
    /// It is over, or never came up.
    Closed {
        /// Which stream.
        stream: StreamId,
        /// Whose it was.
        plane: Plane,
    },
}

struct Session {
    plane: Plane,
    peer: SocketAddr,
    channel: Box<dyn Channel>,
    /// When the handshake is given up; `None` once it is done.
    handshake_until: Option<Instant>,
}

/// Every secured stream.
pub struct Sessions {
    channels: Box<dyn Channels>,
    sessions: BoundedMap<StreamId, Session>,
    /// Ends of handshakes, soonest first.
    handshakes: BTreeSet<(Instant, StreamId)>,
    strangers: Strangers,
    limits: Limits,
}

/// Who has begun handshakes here lately.
#[derive(Debug, Default)]
pub struct Strangers {
    /// Under way, with the end of their time.
    under_way: BTreeMap<StreamId, (SocketAddr, Instant)>,
    /// Over, with what became of them, until their time would have been up.
    over: VecDeque<Over>,
}

#[derive(Clone, Copy, Debug)]
struct Over {
    host: HostPrefix,
    until: Instant,
    succeeded: bool,
}

impl Strangers {
    /// Somebody knocks: whether he may, and who has to be dismissed for him.
    pub fn admit(
        &mut self,
        now: Instant,
        stream: StreamId,
        peer: SocketAddr,
        limits: &Limits,
    ) -> Result<Option<StreamId>, Full> {
        let host_of = |peer: &SocketAddr| HostPrefix::of(peer.ip());
        let host = host_of(&peer);
        self.over.retain(|over| over.until > now);
        let under_way = self.under_way.values().filter(|(other, _)| host_of(other) == host).count();
        let over = self.over.iter().filter(|over| over.host == host);
        let (all, failed) =
            over.fold((0, 0), |(all, failed), o| (all + 1, failed + usize::from(!o.succeeded)));
        if limits.handshakes == 0
            || under_way + failed >= limits.handshakes_per_host
            || under_way + all >= limits.begun_per_host
        {
            return Err(Full);
        }
        let place = |(&key, (peer, used)): (&StreamId, &(SocketAddr, Instant))| Place {
            holder: host_of(peer),
            used: *used,
            may_go: true,
            key,
        };
        let gone = match self.under_way.len() >= limits.handshakes {
            true => gives_way(self.under_way.iter().map(place), host).map(|place| place.key),
            false => None,
        };
        self.under_way.insert(stream, (peer, now + limits.stranger));
        Ok(gone)
    }

    /// He is done, in order or not. Where he came from, if he was one of them.
    pub fn dismiss(&mut self, stream: StreamId, succeeded: bool, limits: &Limits) -> Option<SocketAddr> {
        let (peer, until) = self.under_way.remove(&stream)?;
        if self.over.len() >= REMEMBERED * limits.handshakes {
            self.over.pop_front();
        }
        self.over.push_back(Over { host: HostPrefix::of(peer.ip()), until, succeeded });
        Some(peer)
    }

    /// Handshakes under way.
    pub fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Who has used up his time.
    pub fn overdue(&self, now: Instant) -> Option<StreamId> {
        self.under_way.iter().find(|(_, (_, until))| *until <= now).map(|(&stream, _)| stream)
    }

    /// When the first of them has.
    pub fn deadline(&self) -> Option<Instant> {
        self.under_way.values().map(|&(_, until)| until).min()
    }
}

/// How many handshakes that are over are remembered for each that may be under way. More: the first is forgotten.
const REMEMBERED: usize = 16;

impl core::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sessions")
            .field("streams", &self.sessions.len())
            .field("handshakes", &self.handshakes.len())
            .finish_non_exhaustive()
    }
}

impl Sessions {
    /// No streams yet. `channels` makes this node's ends.
    pub fn new(channels: Box<dyn Channels>, limits: Limits) -> Self {
        Sessions {
            channels,
            sessions: BoundedMap::new(limits.streams),
            handshakes: BTreeSet::new(),
            strangers: Strangers::default(),
            limits,
        }
    }

    /// Streams now.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sessions.len() == 0
    }

    /// Whether this stream is one of them.
    pub fn contains(&self, stream: StreamId) -> bool {
        self.sessions.get(&stream).is_some()
    }

    /// The transport is open: the handshake begins. Whoever asked for the stream is the TLS client. `at` is the time of
    /// day.
    pub fn on_opened(
        &mut self,
        now: Instant,
        at: UnixMillis,
        stream: StreamId,
        (plane, peer): (Plane, SocketAddr),
        effects: &mut Effects<Fact>,
    ) -> Result<(), DropReason> {
        let dialled = stream.is_requested();
        if self.contains(stream) {
            effects.push(Effect::Close { stream });
            return Err(DropReason::LinkLimit);
        }
        // What this node asks for is bounded by whoever asks.
        let (channel, until) = if dialled {
            (self.channels.connect(now, at), now + self.limits.handshake)
        } else {
            match self.strangers.admit(now, stream, peer, &self.limits) {
                Ok(gone) => gone.into_iter().for_each(|gone| self.end(gone, effects)),
                Err(Full) => {
                    effects.push(Effect::Close { stream });
                    return Err(DropReason::LinkLimit);
                }
            }
            (self.channels.accept(now, at), now + self.limits.stranger)
        };
        let session = Session { plane, peer, channel, handshake_until: Some(until) };
        if let Err(Full) = self.sessions.insert(stream, session) {
            self.strangers.dismiss(stream, false, &self.limits);
            effects.push(Effect::Close { stream });
            if dialled {
                effects.fact(Fact::Closed { stream, plane });
            }
            return Err(DropReason::LinkLimit);
        }
        self.handshakes.insert((until, stream));
        self.pump(stream, effects);
        Ok(())
    }

    /// Ciphertext arrived.
    pub fn on_bytes(
        &mut self,
        now: Instant,
        stream: StreamId,
        bytes: &[u8],
        effects: &mut Effects<Fact>,
    ) -> Result<(), DropReason> {
        let session = self.sessions.get_mut(&stream).ok_or(DropReason::NotInUse)?;
        let result = session.channel.handle_ciphertext(now, bytes);
        self.pump(stream, effects);
        result.map_err(|error| {
            self.end(stream, effects);
            match error {
                ChannelError::Certificate(_) => DropReason::BadCertificate,
                _ => DropReason::BadStream,
            }
        })
    }

    /// The transport is closed, or could not be opened.
    pub fn on_closed(&mut self, stream: StreamId, effects: &mut Effects<Fact>) {
        if let Some(session) = self.remove(stream) {
            effects.fact(Fact::Closed { stream, plane: session.plane });
        }
    }

    /// A plane writes. What cannot be taken ends the stream.
    pub fn write(&mut self, now: Instant, stream: StreamId, plaintext: &[u8], effects: &mut Effects<Fact>) {
        let Some(session) = self.sessions.get_mut(&stream) else { return };
        let result = session.channel.send(now, plaintext);
        self.pump(stream, effects);
        if result.is_err() {
            self.end(stream, effects);
        }
    }

    /// A plane closes.
    pub fn close(&mut self, now: Instant, stream: StreamId, effects: &mut Effects<Fact>) {
        if let Some(mut session) = self.remove(stream) {
            session.channel.close(now);
            send(stream, &mut session, effects);
            effects.push(Effect::Close { stream });
        }
    }

    /// The streams to those whose certificates bind a node for which `is_meant` speaks.
    pub fn of_nodes(&self, is_meant: impl Fn(NodeId) -> bool) -> Vec<StreamId> {
        let meant = |session: &Session| {
            session.channel.peer().is_some_and(|party| party.node_ids.iter().any(|&node| is_meant(node)))
        };
        self.sessions.iter().filter(|(_, session)| meant(session)).map(|(&id, _)| id).collect()
    }

    /// When [`Sessions::handle_timeout`] must be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.handshakes.first().map(|&(at, _)| at)
    }

    /// Gives up handshakes that took too long.
    pub fn handle_timeout(&mut self, now: Instant, effects: &mut Effects<Fact>) {
        while let Some(&(_, stream)) = self.handshakes.first().filter(|(at, _)| *at <= now) {
            self.end(stream, effects);
        }
    }

    /// Moves what a channel holds: ciphertext to the host, plaintext to the plane, whose first word is who is there.
    fn pump(&mut self, stream: StreamId, effects: &mut Effects<Fact>) {
        let Some(session) = self.sessions.get_mut(&stream) else { return };
        send(stream, session, effects);
        let (plane, peer) = (session.plane, session.peer);
        if let Some(party) = session.channel.peer().cloned()
            && let Some(until) = session.handshake_until.take()
        {
            self.handshakes.remove(&(until, stream));
            self.strangers.dismiss(stream, true, &self.limits);
            effects.fact(Fact::Opened { stream, plane, peer, party });
        }
        while let Some(bytes) = session.channel.poll_plaintext() {
            effects.fact(Fact::Received { stream, plane, bytes });
        }
    }

    /// The stream is over from this side.
    fn end(&mut self, stream: StreamId, effects: &mut Effects<Fact>) {
        if let Some(session) = self.remove(stream) {
            effects.push(Effect::Close { stream });
            effects.fact(Fact::Closed { stream, plane: session.plane });
        }
    }

    fn remove(&mut self, stream: StreamId) -> Option<Session> {
        let session = self.sessions.remove(&stream)?;
        if let Some(until) = session.handshake_until {
            self.handshakes.remove(&(until, stream));
            self.strangers.dismiss(stream, false, &self.limits);
        }
        Some(session)
    }
}

fn send(stream: StreamId, session: &mut Session, effects: &mut Effects<Fact>) {
    while let Some(bytes) = session.channel.poll_ciphertext() {
        effects.fact(Fact::Secured { stream, plane: session.plane, bytes });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::InsecureChannels;
    use alloc::vec;

    const ALICE: NodeId = NodeId([1; 16]);
    const BOB: NodeId = NodeId([2; 16]);
    const STREAM: StreamId = StreamId::requested(0);

    fn sessions(limits: Limits) -> Sessions {
        Sessions::new(Box::new(InsecureChannels::new(BOB)), limits)
    }

    fn peer() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 6084))
    }

    fn open(sessions: &mut Sessions, now: u64, stream: StreamId) -> Result<(), DropReason> {
        let at = Instant::from_millis(now);
        sessions.on_opened(at, UnixMillis(0), stream, (Plane::Overlay, peer()), &mut Effects::new())
    }

    /// The other end's first bytes.
    fn hello() -> Vec<u8> {
        let mut other = InsecureChannels::new(ALICE).connect(Instant::ZERO, UnixMillis(0));
        other.poll_ciphertext().unwrap().to_vec()
    }

    #[test]
    fn a_plane_hears_of_a_stream_when_its_other_end_is_known_and_not_a_byte_earlier() {
        let mut s = sessions(Limits::default());
        let mut effects = Effects::new();
        let first = (Plane::Overlay, peer());
        s.on_opened(Instant::ZERO, UnixMillis(0), STREAM, first, &mut effects).unwrap();
        assert!(matches!(effects.pop(), Some(Effect::Fact(Fact::Secured { stream: STREAM, .. }))));
        // Written before the handshake is done: it waits.
        s.write(Instant::ZERO, STREAM, b"first", &mut effects);
        assert!(effects.is_empty());
        let bytes = [hello(), b"hello".to_vec()].concat();
        for byte in &bytes[..16] {
            s.on_bytes(Instant::ZERO, STREAM, &[*byte], &mut effects).unwrap();
            assert!(effects.is_empty());
        }
        s.on_bytes(Instant::ZERO, STREAM, &bytes[16..], &mut effects).unwrap();
        let write =
            Fact::Secured { stream: STREAM, plane: Plane::Overlay, bytes: Bytes::from_static(b"first") };
        assert_eq!(effects.pop(), Some(Effect::Fact(write)));
        match effects.pop() {
            Some(Effect::Fact(Fact::Opened { stream: STREAM, plane: Plane::Overlay, party, .. })) => {
                assert_eq!(party.node_id, ALICE);
            }
            other => panic!("{other:?}"),
        }
        let received =
            Fact::Received { stream: STREAM, plane: Plane::Overlay, bytes: Bytes::from_static(b"hello") };
        assert_eq!(effects.pop(), Some(Effect::Fact(received)));
        assert_eq!(s.deadline(), None);
    }

    #[test]
    fn a_handshake_that_does_not_end_is_given_up_in_time() {
        let mut s = sessions(Limits::default());
        open(&mut s, 1000, StreamId::accepted(0)).unwrap();
        assert_eq!(s.deadline(), Some(Instant::from_millis(4000)));
        let mut effects = Effects::new();
        s.handle_timeout(Instant::from_millis(3999), &mut effects);
        assert!(effects.is_empty());
        s.handle_timeout(Instant::from_millis(4000), &mut effects);
        let stream = StreamId::accepted(0);
        assert_eq!(effects.pop(), Some(Effect::Close { stream }));
        assert_eq!(effects.pop(), Some(Effect::Fact(Fact::Closed { stream, plane: Plane::Overlay })));
        assert!(s.is_empty() && s.deadline().is_none());
        // One that this node asked for has longer.
        open(&mut s, 5000, STREAM).unwrap();
        assert_eq!(s.deadline(), Some(Instant::from_millis(10_000)));
    }

    fn open_from(s: &mut Sessions, now: u64, n: u32, host: u8) -> (Result<(), DropReason>, Vec<StreamId>) {
        let from = (Plane::Overlay, SocketAddr::from(([192, 0, 2, host], 6084)));
        let (id, mut effects) = (StreamId::accepted(n), Effects::new());
        let opened = s.on_opened(Instant::from_millis(now), UnixMillis(0), id, from, &mut effects);
        let closed = effects.drain().filter_map(|effect| match effect {
            Effect::Close { stream } => Some(stream),
            _ => None,
        });
        (opened, closed.collect())
    }

    #[test]
    fn k8_when_strangers_take_all_places_for_handshakes_the_one_with_most_gives_way() {
        let mut s = sessions(Limits { handshakes: 3, ..Limits::default() });
        for n in 0..3 {
            assert_eq!(open_from(&mut s, u64::from(n), n, 7), (Ok(()), vec![]));
        }
        // A newcomer, and another one; then each has one place.
        assert_eq!(open_from(&mut s, 3, 3, 8), (Ok(()), vec![StreamId::accepted(0)]));
        assert_eq!(open_from(&mut s, 4, 4, 9), (Ok(()), vec![StreamId::accepted(1)]));
        assert_eq!(open_from(&mut s, 5, 5, 7), (Ok(()), vec![StreamId::accepted(2)]));
        // This node can dial all the same.
        open(&mut s, 0, STREAM).unwrap();
        assert_eq!(s.len(), 4);
    }

    #[test]
    fn one_host_does_not_take_every_place_for_handshakes() {
        let mut s = sessions(Limits { handshakes_per_host: 1, ..Limits::default() });
        assert_eq!(open_from(&mut s, 0, 0, 7), (Ok(()), vec![]));
        let second = StreamId::accepted(1);
        assert_eq!(open_from(&mut s, 0, 1, 7), (Err(DropReason::LinkLimit), vec![second]));
        assert_eq!(open_from(&mut s, 0, 2, 8), (Ok(()), vec![]));
        // A place is free again when a handshake is done.
        s.on_bytes(Instant::ZERO, StreamId::accepted(0), &hello(), &mut Effects::new()).unwrap();
        assert_eq!(open_from(&mut s, 0, 3, 7), (Ok(()), vec![]));
    }

    #[test]
    fn a_handshake_that_failed_keeps_its_place_until_its_time_is_over() {
        let mut s = sessions(Limits { handshakes_per_host: 2, ..Limits::default() });
        for n in 0..2 {
            open_from(&mut s, 0, n, 7).0.unwrap();
            // Our answer to his first bytes was for nothing.
            s.on_closed(StreamId::accepted(n), &mut Effects::new());
        }
        assert_eq!(s.len(), 0);
        assert_eq!(open_from(&mut s, 2999, 2, 7).0, Err(DropReason::LinkLimit));
        assert_eq!(open_from(&mut s, 2999, 3, 8).0, Ok(()));
        assert_eq!(open_from(&mut s, 3000, 4, 7).0, Ok(()));
    }

    #[test]
    fn k8_no_more_failed_handshakes_are_remembered_than_the_limit_allows() {
        let limits = Limits { handshakes: 1, ..Limits::default() };
        let mut s = sessions(limits);
        for n in 0..100 {
            open_from(&mut s, 0, n, n as u8).0.unwrap();
            s.on_closed(StreamId::accepted(n), &mut Effects::new());
        }
        assert_eq!(s.strangers.over.len(), REMEMBERED);
    }

    #[test]
    fn a_host_begins_no_more_handshakes_in_a_while_than_it_may_even_if_all_are_in_order() {
        let mut s = sessions(Limits { begun_per_host: 3, ..Limits::default() });
        for n in 0..3 {
            open_from(&mut s, 0, n, 7).0.unwrap();
            s.on_bytes(Instant::ZERO, StreamId::accepted(n), &hello(), &mut Effects::new()).unwrap();
        }
        assert_eq!(open_from(&mut s, 2999, 3, 7).0, Err(DropReason::LinkLimit));
        assert_eq!(open_from(&mut s, 2999, 4, 8).0, Ok(()));
        assert_eq!(open_from(&mut s, 3000, 5, 7).0, Ok(()));
    }

    #[test]
    fn hosts_that_push_each_other_out_begin_no_more_handshakes_for_it() {
        let mut s = sessions(Limits { handshakes: 4, handshakes_per_host: 4, ..Limits::default() });
        let begun = (0..1000).filter(|&n| open_from(&mut s, 0, n, n as u8 % 3).0.is_ok()).count();
        assert_eq!(begun, 12);
    }

    #[test]
    fn bytes_that_are_no_handshake_end_the_stream() {
        let mut s = sessions(Limits::default());
        open(&mut s, 0, StreamId::accepted(0)).unwrap();
        let mut effects = Effects::new();
        let result = s.on_bytes(Instant::ZERO, StreamId::accepted(0), b"INVITE", &mut effects);
        assert_eq!(result, Err(DropReason::BadStream));
        assert!(matches!(effects.pop(), Some(Effect::Close { .. })));
        let again = s.on_bytes(Instant::ZERO, StreamId::accepted(0), b"INVITE", &mut effects);
        assert_eq!(again, Err(DropReason::NotInUse));
    }
}
