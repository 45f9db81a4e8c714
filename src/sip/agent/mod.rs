//! The user agent (RFC 3261 §8, §13-§15; INFO of RFC 6086): the signalling plane's machine.
//!
//! Orders go in by name ([`Agent::invite`], [`Agent::accept`], ...), messages by `handle_*`; sends and [`Fact`]s come
//! out through the [`Context`]. Facts are values: no message leaves this folder.

mod config;
mod fact;

pub use config::{Config, Limits, Transport};
pub use fact::{ContactParams, EndCause, Fact, Failure, Invitation, Peer, Refusal};

use crate::effect::Effects;
use crate::env::Entropy;
use crate::ids::{CallId, StreamId};
use crate::stats::DropReason;
use crate::time::Instant;
use alloc::string::String;
use bytes::Bytes;
use core::net::SocketAddr;

/// What a call of the agent needs from outside, and where its results go.
pub struct Context<'a> {
    /// Branches, tags and Call-IDs come from here.
    pub entropy: &'a mut dyn Entropy,
    /// Sends and facts, in causal order.
    pub effects: &'a mut Effects<Fact>,
}

/// The name of the Info-Package that carries IPTV bodies (RFC 6086).
pub const INFO_PACKAGE: &str = "iptv-tree";

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The provider's SIP address; host and port of the Request-URI.
    pub addr: SocketAddr,
    /// How to reach it; `None` leaves it to the agent (its own preference, and TCP for what is too large).
    pub transport: Option<Transport>,
    /// The user part of the Request-URI: the channel.
    pub user: String,
    /// The user part of To: the provider's name; the channel when it is not known.
    pub to: Option<String>,
}

/// What an INVITE says besides where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The session description.
    pub sdp: Bytes,
    /// Whether to ask with `Priority: urgent`.
    pub urgent: bool,
    /// The parameters of our Contact.
    pub params: ContactParams,
}

/// The caller's mistake. Nothing was sent and nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is no such call (any more).
    #[error("no such call")]
    UnknownCall,
    /// The number is in use.
    #[error("this call exists already")]
    CallInUse,
    /// The call is not in a state in which this can be done.
    #[error("not possible in this state of the call")]
    WrongState,
    /// A limit of the configuration.
    #[error("too many {0}")]
    Limit(&'static str),
    /// A name that may not stand in a SIP message, or a status that is no refusal.
    #[error("{0} may not stand in a SIP message")]
    BadValue(&'static str),
}

/// A SIP user agent.
#[derive(Debug)]
pub struct Agent {
    config: Config,
}

impl Agent {
    /// An agent without calls.
    pub fn new(config: Config) -> Self {
        Agent { config }
    }

    /// What it was told.
    pub fn config(&self) -> &Config {
        &self.config
    }

    // ---- orders

    /// Places a call. `call` is the caller's number for it, made by [`CallId::placed`].
    pub fn invite(
        &mut self,
        now: Instant,
        call: CallId,
        target: Target,
        offer: Offer,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        todo!()
    }

    /// Gives up a placed call, in whatever state it is: CANCEL before the answer (as soon as a provisional response
    /// allows it), BYE after it, ACK and BYE when a 200 crosses the CANCEL.
    pub fn cancel(&mut self, now: Instant, call: CallId, ctx: &mut Context<'_>) -> Result<(), OrderError> {
        todo!()
    }

    /// Answers a received call with 200. The 200 is sent again until its ACK arrives.
    pub fn accept(
        &mut self,
        now: Instant,
        call: CallId,
        sdp: Bytes,
        params: ContactParams,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        todo!()
    }

    /// Refuses a received call.
    pub fn reject(
        &mut self,
        now: Instant,
        call: CallId,
        refusal: Refusal,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        todo!()
    }

    /// Sends an INFO in an answered call: in the package when both sides offered it, as a legacy INFO otherwise.
    pub fn info(
        &mut self,
        now: Instant,
        call: CallId,
        body: Bytes,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        todo!()
    }

    /// Ends an answered call. A BYE that must wait for the ACK of our 200 (RFC 3261 §15) is sent when that arrives.
    pub fn bye(
        &mut self,
        now: Instant,
        call: CallId,
        body: Option<Bytes>,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        todo!()
    }

    /// Asks the peer of an answered call for a sign of life (OPTIONS). The answer is a [`Fact::RoundTrip`], or
    /// [`Fact::Ended`] when there is none.
    pub fn options(&mut self, now: Instant, call: CallId, ctx: &mut Context<'_>) -> Result<(), OrderError> {
        todo!()
    }

    // ---- inputs

    /// A datagram on the SIP socket. `Err` is for the counters only.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        payload: Bytes,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        todo!()
    }

    /// A stream is open: accepted by the host, or asked for with `Effect::Connect`.
    pub fn on_stream_opened(&mut self, now: Instant, id: StreamId, peer: SocketAddr, ctx: &mut Context<'_>) {
        todo!()
    }

    /// Bytes of a stream, in chunks of any size. `Err` is for the counters only.
    pub fn on_stream_bytes(
        &mut self,
        now: Instant,
        id: StreamId,
        bytes: Bytes,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        todo!()
    }

    /// A stream is closed, or could not be opened.
    pub fn on_stream_closed(&mut self, now: Instant, id: StreamId, ctx: &mut Context<'_>) {
        todo!()
    }

    /// A hard ICMP error for datagrams to this address.
    pub fn on_unreachable(&mut self, now: Instant, to: SocketAddr, ctx: &mut Context<'_>) {
        todo!()
    }

    /// Fires everything that is due.
    pub fn handle_timeout(&mut self, now: Instant, ctx: &mut Context<'_>) {
        todo!()
    }

    /// When to call [`Agent::handle_timeout`].
    pub fn deadline(&self) -> Option<Instant> {
        todo!()
    }

    /// Calls now, placed and received, those that are only being ended included.
    pub fn calls(&self) -> usize {
        todo!()
    }
}
