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
//! is. Strangers cost one handshake each at most: there is a limit on handshakes under way, and a time for them.

pub mod association;

use crate::bounded::{BoundedMap, Full};
use crate::effect::{Effect, Effects};
use crate::env::{Channel, ChannelError, Channels, Party};
use crate::ids::StreamId;
use crate::stats::{DropReason, Plane};
use crate::time::{Duration, Instant, UnixMillis};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};

/// What strangers can make grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams at a time. Full: a further one is closed.
    pub streams: usize,
    /// Accepted streams whose handshakes are under way. Full: a further one is closed.
    pub handshakes: usize,
    /// The same from one IP address, so that one stranger does not take every place. Full: a further one is closed.
    pub handshakes_per_host: usize,
    /// A handshake that takes longer is given up.
    pub handshake: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { streams: 1024, handshakes: 64, handshakes_per_host: 32, handshake: Duration::from_secs(5) }
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
    limits: Limits,
}

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
        Sessions { channels, sessions: BoundedMap::new(limits.streams), handshakes: BTreeSet::new(), limits }
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
        // What this node asks for is bounded by whoever asks.
        if self.contains(stream) || !dialled && !self.takes_strangers_from(peer.ip()) {
            effects.push(Effect::Close { stream });
            return Err(DropReason::LinkLimit);
        }
        let channel = if dialled { self.channels.connect(now, at) } else { self.channels.accept(now, at) };
        let until = now + self.limits.handshake;
        let session = Session { plane, peer, channel, handshake_until: Some(until) };
        if let Err(Full) = self.sessions.insert(stream, session) {
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

    fn takes_strangers_from(&self, host: IpAddr) -> bool {
        let accepted = self.handshakes.iter().filter(|(_, stream)| !stream.is_requested());
        let (mut all, mut of_host) = (0, 0);
        for session in accepted.filter_map(|(_, stream)| self.sessions.get(stream)) {
            all += 1;
            of_host += usize::from(session.peer.ip() == host);
        }
        all < self.limits.handshakes && of_host < self.limits.handshakes_per_host
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
    use crate::ids::NodeId;
    use alloc::vec::Vec;

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
        assert_eq!(s.deadline(), Some(Instant::from_millis(6000)));
        let mut effects = Effects::new();
        s.handle_timeout(Instant::from_millis(5999), &mut effects);
        assert!(effects.is_empty());
        s.handle_timeout(Instant::from_millis(6000), &mut effects);
        let stream = StreamId::accepted(0);
        assert_eq!(effects.pop(), Some(Effect::Close { stream }));
        assert_eq!(effects.pop(), Some(Effect::Fact(Fact::Closed { stream, plane: Plane::Overlay })));
        assert!(s.is_empty() && s.deadline().is_none());
    }

    #[test]
    fn k8_strangers_take_all_places_for_handshakes_and_this_node_can_dial_all_the_same() {
        let limits = Limits { handshakes: 2, ..Limits::default() };
        let mut s = sessions(limits);
        open(&mut s, 0, StreamId::accepted(0)).unwrap();
        open(&mut s, 0, StreamId::accepted(1)).unwrap();
        assert_eq!(open(&mut s, 0, StreamId::accepted(2)), Err(DropReason::LinkLimit));
        open(&mut s, 0, STREAM).unwrap();
        // A place is free again when a handshake is done.
        s.on_bytes(Instant::ZERO, StreamId::accepted(0), &hello(), &mut Effects::new()).unwrap();
        open(&mut s, 0, StreamId::accepted(2)).unwrap();
        assert_eq!(s.len(), 4);
    }

    #[test]
    fn one_host_does_not_take_every_place_for_handshakes() {
        let mut s = sessions(Limits { handshakes_per_host: 1, ..Limits::default() });
        open(&mut s, 0, StreamId::accepted(0)).unwrap();
        assert_eq!(open(&mut s, 0, StreamId::accepted(1)), Err(DropReason::LinkLimit));
        let other = (Plane::Overlay, SocketAddr::from(([192, 0, 2, 2], 6084)));
        let (id, mut effects) = (StreamId::accepted(2), Effects::new());
        s.on_opened(Instant::ZERO, UnixMillis(0), id, other, &mut effects).unwrap();
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
