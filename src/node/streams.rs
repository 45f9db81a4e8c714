//! Streams: which plane a stream belongs to, and whether TLS lies in between.

use super::Node;
use super::api::{Output, StreamInput};
use crate::effect::Effect;
use crate::env::Party;
use crate::ids::StreamId;
use crate::secure::{Fact, Sessions};
use crate::stats::{DropReason, Plane};
use crate::time::{Instant, earliest};
use alloc::sync::Arc;
use bytes::Bytes;
use core::net::SocketAddr;

/// The first byte of a TLS ClientHello: the record type handshake (RFC 8446 §5.1). No SIP message begins with it.
const HANDSHAKE: u8 = 22;

impl Node {
    pub(super) fn on_stream(&mut self, stream: StreamId, input: StreamInput) -> Result<(), DropReason> {
        match input {
            StreamInput::Opened { peer, plane } => self.on_stream_opened(stream, plane, peer),
            // Left out bytes would break the framing, so the stream goes.
            StreamInput::Bytes(_) if self.queue.is_full() => {
                self.on_stream_closed(stream);
                self.queue.push(Output::Close { stream }, &mut self.stats);
                Err(DropReason::Overloaded)
            }
            StreamInput::Bytes(bytes) => self.on_stream_bytes(stream, bytes),
            // The host holds back what a stream cannot take yet, and closes a stream that holds back too much.
            StreamInput::Writable => Ok(()),
            StreamInput::Closed => {
                self.on_stream_closed(stream);
                Ok(())
            }
        }
    }

    fn on_stream_opened(
        &mut self,
        stream: StreamId,
        plane: Plane,
        peer: SocketAddr,
    ) -> Result<(), DropReason> {
        if self.sessions.is_none() {
            return self.give_plain_stream(stream, plane, peer);
        }
        // Nobody has to learn by a handshake that the overlay's links are no streams here.
        if plane == Plane::Overlay && self.associations.is_some() {
            self.queue.push(Output::Close { stream }, &mut self.stats);
            return Err(DropReason::NotAllowedOnLink);
        }
        // Plain SIP agents come to the same door; their first byte tells them from TLS.
        if plane == Plane::Signalling && self.config.agent.insecure_peers && !stream.is_requested() {
            let admitted = self.unsorted.admit(self.now, stream, peer, &self.config.streams);
            if let Some(stream) = admitted.unwrap_or(Some(stream)) {
                self.unsorted.dismiss(stream, false, &self.config.streams);
                self.queue.push(Output::Close { stream }, &mut self.stats);
            }
            return admitted.map(drop).map_err(|_| DropReason::LinkLimit);
        }
        self.secure_stream(stream, plane, peer)
    }

    fn secure_stream(&mut self, stream: StreamId, plane: Plane, peer: SocketAddr) -> Result<(), DropReason> {
        let at = self.overlay.time_of_day(self.now);
        let sessions = self.sessions.as_mut().ok_or(DropReason::NotInUse)?;
        sessions.on_opened(self.now, at, stream, (plane, peer), &mut self.stream_effects)
    }

    fn give_plain_stream(
        &mut self,
        stream: StreamId,
        plane: Plane,
        peer: SocketAddr,
    ) -> Result<(), DropReason> {
        if self.plain_streams.insert(stream, plane).is_err() {
            self.take_stream(stream, plane);
            self.queue.push(Output::Close { stream }, &mut self.stats);
            return Err(DropReason::LinkLimit);
        }
        self.give_stream(stream, plane, peer, None)
    }

    fn on_stream_bytes(&mut self, stream: StreamId, bytes: Bytes) -> Result<(), DropReason> {
        if let Some(peer) = self.unsorted.dismiss(stream, true, &self.config.streams) {
            if bytes.first() == Some(&HANDSHAKE) {
                self.secure_stream(stream, Plane::Signalling, peer)?;
            } else {
                self.give_plain_stream(stream, Plane::Signalling, peer)?;
            }
        }
        match &mut self.sessions {
            Some(sessions) if sessions.contains(stream) => {
                sessions.on_bytes(self.now, stream, &bytes, &mut self.stream_effects)
            }
            _ => {
                let plane = self.plain_streams.get(&stream).copied().ok_or(DropReason::NotInUse)?;
                self.give_bytes(stream, plane, bytes)
            }
        }
    }

    pub(super) fn on_stream_closed(&mut self, stream: StreamId) {
        self.unsorted.dismiss(stream, false, &self.config.streams);
        match &mut self.sessions {
            Some(sessions) if sessions.contains(stream) => {
                sessions.on_closed(stream, &mut self.stream_effects);
            }
            _ => {
                // One that never came up is known by its number alone.
                let asked = if stream.is_requested_link() { Plane::Overlay } else { Plane::Signalling };
                let plane = self.plain_streams.remove(&stream).unwrap_or(asked);
                self.take_stream(stream, plane);
            }
        }
    }

    /// What the sessions want done.
    pub(super) fn on_stream_effect(&mut self, effect: Effect<Fact>) {
        match effect {
            Effect::Close { stream } => self.queue.push(Output::Close { stream }, &mut self.stats),
            Effect::Fact(Fact::Secured { stream, plane, bytes }) => self.put_out(stream, plane, bytes),
            Effect::Fact(Fact::Opened { stream, plane, peer, party }) => {
                if let Err(reason) = self.give_stream(stream, plane, peer, Some(party)) {
                    self.stats.count_drop(reason);
                }
            }
            Effect::Fact(Fact::Received { stream, plane, bytes }) => {
                if let Err(reason) = self.give_bytes(stream, plane, bytes) {
                    self.stats.count_drop(reason);
                }
            }
            Effect::Fact(Fact::Closed { stream, plane }) => self.take_stream(stream, plane),
            // Sessions know streams that are there only.
            Effect::Send { .. }
            | Effect::Connect { .. }
            | Effect::Write { .. }
            | Effect::Associate { .. }
            | Effect::Dissociate { .. } => {}
        }
    }

    pub(super) fn streams_deadline(&self) -> Option<Instant> {
        earliest(self.unsorted.deadline(), self.sessions.as_ref().and_then(Sessions::deadline))
    }

    /// Gives up streams that nobody says anything on, and handshakes that take too long.
    pub(super) fn fire_streams(&mut self) {
        while let Some(stream) = self.unsorted.overdue(self.now) {
            self.unsorted.dismiss(stream, false, &self.config.streams);
            self.queue.push(Output::Close { stream }, &mut self.stats);
        }
        if let Some(sessions) = &mut self.sessions {
            sessions.handle_timeout(self.now, &mut self.stream_effects);
        }
    }

    /// A plane writes to one of its streams.
    pub(super) fn write_stream(&mut self, stream: StreamId, bytes: Bytes) {
        match &mut self.sessions {
            Some(sessions) if sessions.contains(stream) => {
                sessions.write(self.now, stream, &bytes, &mut self.stream_effects);
            }
            _ => {
                let plane = self.plain_streams.get(&stream).copied().unwrap_or(Plane::Signalling);
                self.put_out(stream, plane, bytes);
            }
        }
    }

    fn put_out(&mut self, stream: StreamId, plane: Plane, bytes: Bytes) {
        self.stats.count_sent(plane, bytes.len());
        self.queue.push(Output::Write { stream, bytes }, &mut self.stats);
    }

    /// A plane closes one of its streams.
    pub(super) fn close_stream(&mut self, stream: StreamId) {
        match &mut self.sessions {
            Some(sessions) if sessions.contains(stream) => {
                sessions.close(self.now, stream, &mut self.stream_effects);
            }
            _ => {
                self.plain_streams.remove(&stream);
                self.queue.push(Output::Close { stream }, &mut self.stats);
            }
        }
    }

    fn give_stream(
        &mut self,
        stream: StreamId,
        plane: Plane,
        peer: SocketAddr,
        party: Option<Arc<Party>>,
    ) -> Result<(), DropReason> {
        // The overlay turns them away itself, and knows whom it wanted to reach.
        if plane != Plane::Overlay && party.as_ref().is_some_and(|party| self.overlay.is_bad(party)) {
            self.close_stream(stream);
            self.take_stream(stream, plane);
            return Err(DropReason::NotAllowedOnLink);
        }
        match plane {
            Plane::Signalling => {
                self.with_agent(|agent, now, ctx| agent.on_stream_opened(now, stream, peer, party, ctx))
            }
            Plane::Overlay => {
                self.with_overlay(|overlay, now, ctx| overlay.on_stream_opened(now, stream, peer, party, ctx))
            }
            Plane::Media => {
                self.close_stream(stream);
                Err(DropReason::NotInUse)
            }
        }
    }

    fn give_bytes(&mut self, stream: StreamId, plane: Plane, bytes: Bytes) -> Result<(), DropReason> {
        self.stats.count_received(plane, bytes.len());
        match plane {
            Plane::Overlay => {
                self.with_overlay(|overlay, now, ctx| overlay.on_stream_bytes(now, stream, bytes, ctx))
            }
            Plane::Signalling => {
                self.with_agent(|agent, now, ctx| agent.on_stream_bytes(now, stream, bytes, ctx))
            }
            Plane::Media => Err(DropReason::NotInUse),
        }
    }

    fn take_stream(&mut self, stream: StreamId, plane: Plane) {
        match plane {
            Plane::Overlay => {
                self.with_overlay(|overlay, now, ctx| overlay.on_stream_closed(now, stream, ctx));
            }
            Plane::Signalling => {
                self.with_agent(|agent, now, ctx| agent.on_stream_closed(now, stream, ctx));
            }
            Plane::Media => {}
        }
    }
}
