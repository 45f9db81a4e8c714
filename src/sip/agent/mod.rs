//! The user agent (RFC 3261 §8, §13-§15; INFO of RFC 6086): the signalling plane's machine.
//!
//! Orders go in by name ([`Agent::invite`], [`Agent::accept`], ...), messages by `handle_datagram` and `on_stream_*`;
//! sends and [`Fact`]s come out through the [`Context`]. Facts are values: no message leaves this folder.
//!
//! | module | what it is |
//! | --- | --- |
//! | `config`, `fact` | what the agent is told once, and what it tells |
//! | `call` | one call and where it stands |
//! | `caller` | the calling side: placed calls, requests inside dialogs, and what their responses mean |
//! | `callee` | the called side: what a request means, and what it is answered |
//! | `compose` | the messages that the agent writes |
//! | `streams` | its TCP connections |

mod call;
mod callee;
mod caller;
mod compose;
mod config;
mod fact;
mod streams;

pub use config::{Config, ConfigError, Limits, Transport};
pub use fact::{ContactParams, EndCause, Fact, Failure, Invitation, Peer, Refusal};

use super::body::INFO_PACKAGE;
use super::dialog::DialogId;
use super::msg::Message;
use super::stream::{Frame, PONG};
use super::transaction::{Clients, Event, Outbox, Path, Servers};
use crate::effect::{Effect, Effects};
use crate::env::{Entropy, Party};
use crate::ids::{CallId, NodeId, StreamId};
use crate::stats::DropReason;
use crate::time::{Instant, earliest};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use call::{Call, Origin, State};
use compose::Composer;
use core::cell::OnceCell;
use core::net::SocketAddr;
use streams::{Letter, Streams};

/// What a call of the agent needs from outside, and where its results go.
pub struct Context<'a> {
    /// Branches, tags and Call-IDs come from here.
    pub entropy: &'a mut dyn Entropy,
    /// Sends and facts, in causal order.
    pub effects: &'a mut Effects<Fact>,
}

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
    /// The node that is meant, if that is known. A secured agent takes an answer from nobody else.
    pub node_id: Option<NodeId>,
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
    /// The number is in use, or is not that of a placed call.
    #[error("this call exists already")]
    CallInUse,
    /// The call is not in a state in which this can be done.
    #[error("not possible in this state of the call")]
    WrongState,
    /// A limit of the configuration.
    #[error("too many {0}")]
    Limit(&'static str),
    /// A value that may not stand in a SIP message, or a status that is no refusal.
    #[error("no legal {0}")]
    BadValue(&'static str),
}

/// What a client transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Invite(CallId),
    Info(CallId),
    Options(CallId),
    /// CANCEL and BYE: nobody waits for their answers.
    Farewell,
}

/// A SIP user agent.
///
/// ```
/// use p2piptv::effect::{Effect, Effects};
/// use p2piptv::env::Seeded;
/// use p2piptv::ids::CallId;
/// use p2piptv::sip::agent::{Agent, Config, ContactParams, Context, Offer, Target};
/// use p2piptv::time::Instant;
///
/// # fn main() -> Result<(), Box<dyn core::error::Error>> {
/// let mut agent = Agent::new(Config::new("1", "127.0.0.1:5062".parse()?))?;
/// let (mut entropy, mut effects) = (Seeded::new(1), Effects::new());
/// let mut ctx = Context { entropy: &mut entropy, effects: &mut effects };
/// let addr = "127.0.0.1:5060".parse()?;
/// let target = Target { addr, transport: None, user: "100".into(), to: None, node_id: None };
/// let offer = Offer { sdp: "v=0\r\n".into(), urgent: false, params: ContactParams::default() };
/// agent.invite(Instant::ZERO, CallId::placed(1), target, offer, &mut ctx)?;
/// assert!(matches!(ctx.effects.pop(), Some(Effect::Send { .. })));
/// // Nobody answers: sent at 0, 500, 1500, 3500 ms ..., given up after 64 * T1.
/// while let Some(deadline) = agent.deadline() {
///     agent.handle_timeout(deadline, &mut ctx);
/// }
/// let sends = ctx.effects.drain().filter(|e| matches!(e, Effect::Send { .. })).count();
/// assert_eq!(sends, 6);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Agent {
    config: Config,
    composer: Composer,
    clients: Clients<Use>,
    /// Reminds of the call that an INVITE opened, if it did.
    servers: Servers<Option<CallId>>,
    streams: Streams,
    calls: BTreeMap<CallId, Call>,
    dialogs: BTreeMap<DialogId, CallId>,
    call_deadlines: BTreeSet<(Instant, CallId)>,
    received: u32,
    /// What the transactions want done; empty between two inputs.
    out: Outbox<Use>,
}

impl Agent {
    /// An agent without calls.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let timers = config.timers.clamped();
        let limits = config.limits;
        Ok(Agent {
            composer: Composer::new(&config)?,
            clients: Clients::new(timers, limits.client_transactions),
            servers: Servers::new(timers, limits.server_transactions),
            streams: Streams::new(&limits, config.stream_idle),
            calls: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            call_deadlines: BTreeSet::new(),
            received: 0,
            out: Outbox::new(),
            config: Config { timers, ..config },
        })
    }

    /// What it was told.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Calls now, placed and received, those that are only being ended included.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Client and server transactions now.
    pub fn transactions(&self) -> (usize, usize) {
        (self.clients.len(), self.servers.len())
    }

    /// Streams now.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// A datagram on the SIP socket. `Err` is for the counters only.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        payload: Bytes,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        if payload.iter().all(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Ok(()); // keeps a NAT binding open (RFC 5626 §3.5.1)
        }
        if self.config.is_secured() && !self.config.insecure_peers {
            return Err(DropReason::NotSecured);
        }
        let message = Message::parse(payload).map_err(|_| DropReason::NotSip)?;
        self.on_message(now, Origin { addr: from, stream: None, party: None }, message, ctx)
    }

    /// A stream is open: accepted by the host, or asked for with `Effect::Connect`. The agent numbers those that it asks
    /// for from [`StreamId::requested`]`(0)` on. `party` is who has proved to be there; a secured agent closes a stream
    /// without it unless it takes insecure peers. What waits for a stream is written to the node that it is for; a request
    /// that was for another one has failed.
    pub fn on_stream_opened(
        &mut self,
        now: Instant,
        id: StreamId,
        peer: SocketAddr,
        party: Option<Arc<Party>>,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        if party.is_none() && self.config.is_secured() && (id.is_requested() || !self.config.insecure_peers) {
            ctx.effects.push(Effect::Close { stream: id });
            self.on_stream_closed(now, id, ctx);
            return Err(DropReason::NotSecured);
        }
        // Those on which calls depend, listed when it matters: most streams find room.
        let (calls, needed) = (&self.calls, OnceCell::new());
        let list = || calls.values().filter_map(|call| call.fallback.stream()).collect::<BTreeSet<_>>();
        let is_needed = |id| needed.get_or_init(list).contains(&id);
        let opened = self.streams.on_opened(now, id, peer, party, is_needed, ctx.effects);
        if let Some(gone) = opened.gave_way {
            self.clients.on_stream_closed(now, gone, &mut self.out);
        }
        opened.sent.iter().for_each(|&branch| self.clients.on_left(now, branch));
        let is_another = !opened.not_sent.is_empty();
        for branch in opened.not_sent {
            if let Some(user) = self.clients.forget(branch) {
                self.on_no_response(now, user, Failure::Impostor, ctx);
            }
        }
        self.drain(now, ctx);
        match opened.refused {
            true if is_another => Err(DropReason::NotSecured),
            true => Err(DropReason::LinkLimit),
            false => Ok(()),
        }
    }

    /// Bytes of a stream, in chunks of any size. `Err` is for the counters only; a stream that breaks the framing rules
    /// is closed.
    pub fn on_stream_bytes(
        &mut self,
        now: Instant,
        id: StreamId,
        bytes: Bytes,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let (addr, party) = self.streams.peer(id).ok_or(DropReason::NotInUse)?;
        let party = party.cloned();
        if let Some(framer) = self.streams.framer(now, id) {
            framer.push(&bytes);
        }
        let origin = Origin { addr, stream: Some(id), party: party.as_ref() };
        let mut result = Ok(());
        // The stream may go away while its messages are worked off.
        while let Some(frame) = self.streams.framer(now, id).and_then(|f| f.next_frame()) {
            match frame {
                Ok(Frame::Message(message)) => {
                    result = result.and(self.on_message(now, origin, message, ctx))
                }
                Ok(Frame::Ping) => ctx.effects.push(Effect::Write { stream: id, bytes: PONG }),
                Err(_) => {
                    ctx.effects.push(Effect::Close { stream: id });
                    self.on_stream_closed(now, id, ctx);
                    return Err(DropReason::BadStream);
                }
            }
        }
        result
    }

    /// A stream is closed, or could not be opened.
    pub fn on_stream_closed(&mut self, now: Instant, id: StreamId, ctx: &mut Context<'_>) {
        if self.streams.remove(id) {
            self.clients.on_stream_closed(now, id, &mut self.out);
            self.drain(now, ctx);
        }
    }

    /// Nobody for whom `is_meant` speaks has a stream or a call here any more.
    pub fn shut_out(&mut self, now: Instant, is_meant: impl Fn(NodeId) -> bool, ctx: &mut Context<'_>) {
        let binds = |party: &Party| party.node_ids.iter().any(|&node| is_meant(node));
        for id in self.streams.of_parties(binds) {
            ctx.effects.push(Effect::Close { stream: id });
            self.on_stream_closed(now, id, ctx);
        }
        let over = self.calls.iter().filter(|(_, call)| call.is_with(&is_meant));
        for id in over.map(|(&id, _)| id).collect::<Vec<CallId>>() {
            let Some(call) = self.remove(id) else { continue };
            let told = !call.is_silent();
            let fact = match call.state {
                State::Calling(calling) => {
                    self.clients.forget(calling.branch);
                    Fact::Failed { call: id, cause: Failure::Impostor }
                }
                State::Ringing(_) => Fact::Cancelled { call: id },
                State::Accepted(_) | State::Confirmed => Fact::Ended { call: id, cause: EndCause::Lost },
            };
            if told {
                ctx.effects.fact(fact);
            }
        }
    }

    /// A hard ICMP error for datagrams to this address.
    pub fn on_unreachable(&mut self, now: Instant, to: SocketAddr, ctx: &mut Context<'_>) {
        self.clients.on_unreachable(now, to, &mut self.out);
        self.drain(now, ctx);
    }

    /// Fires everything that is due.
    pub fn handle_timeout(&mut self, now: Instant, ctx: &mut Context<'_>) {
        self.clients.handle_timeout(now, &mut self.out);
        self.servers.handle_timeout(now, &mut self.out);
        self.drain(now, ctx);
        while let Some(&(at, id)) = self.call_deadlines.first().filter(|(at, _)| *at <= now) {
            self.call_deadlines.remove(&(at, id));
            if let Some(call) = self.calls.get_mut(&id) {
                call.filed = None;
            }
            self.on_call_timeout(now, id, ctx);
        }
        while let Some(id) = self.streams.pop_idle(now) {
            ctx.effects.push(Effect::Close { stream: id });
            self.clients.on_stream_closed(now, id, &mut self.out);
            self.drain(now, ctx);
        }
    }

    /// When to call [`Agent::handle_timeout`].
    pub fn deadline(&self) -> Option<Instant> {
        let transactions = earliest(self.clients.deadline(), self.servers.deadline());
        let calls = self.call_deadlines.first().map(|&(at, _)| at);
        earliest(earliest(transactions, calls), self.streams.deadline())
    }

    fn on_message(
        &mut self,
        now: Instant,
        origin: Origin<'_>,
        message: Message,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let result = match message {
            Message::Request(request) => self.on_request(now, origin, request, ctx),
            Message::Response(response) => self.on_response(now, origin, &response, ctx),
        };
        self.drain(now, ctx);
        result
    }

    /// Does what the transactions want done. What fails on the way may end calls, and so want more.
    fn drain(&mut self, now: Instant, ctx: &mut Context<'_>) {
        while let Some(event) = self.out.pop_front() {
            match event {
                Event::Send { path: Path::Datagram(to), bytes, .. } => ctx.effects.send(to, bytes),
                Event::Send { path: Path::Stream { id, to, node }, bytes, client } => {
                    // Where nothing is secured nobody proves to be a node.
                    let node = node.filter(|_| self.config.is_secured());
                    let letter = Letter { node, client, bytes };
                    match (self.streams.send(now, id, to, letter, ctx.effects), client) {
                        (Ok(stream), Some(branch)) => self.clients.on_sent(branch, stream),
                        (Err(_), Some(branch)) => self.clients.on_transport_error(now, branch, &mut self.out),
                        (_, None) => {}
                    }
                }
                Event::TimedOut { user, .. } => self.on_no_response(now, user, Failure::Timeout, ctx),
                Event::Failed { user, .. } => self.on_no_response(now, user, Failure::Unreachable, ctx),
            }
        }
    }

    /// When this call wants to be looked at again.
    fn file(&mut self, id: CallId, at: Option<Instant>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let Some(old) = call.filed.take() {
            self.call_deadlines.remove(&(old, id));
        }
        call.filed = at;
        self.call_deadlines.extend(at.map(|at| (at, id)));
    }

    /// Takes a call out of every table.
    fn remove(&mut self, id: CallId) -> Option<Call> {
        self.file(id, None);
        let call = self.calls.remove(&id)?;
        if let Some(dialog) = &call.dialog {
            self.dialogs.remove(&dialog.id());
        }
        Some(call)
    }

    fn on_call_timeout(&mut self, now: Instant, id: CallId, ctx: &mut Context<'_>) {
        match self.calls.get(&id).map(|call| &call.state) {
            Some(State::Calling(_)) => self.on_calling_timeout(now, id, ctx),
            Some(State::Ringing(_)) => self.on_ringing_timeout(now, id, ctx),
            Some(State::Accepted(_)) => self.on_accepted_timeout(now, id, ctx),
            Some(State::Confirmed) | None => {}
        }
    }
}

/// A tag or a Call-ID: 64 random bits in hexadecimal.
fn random_token(entropy: &mut dyn Entropy) -> String {
    format!("{:016x}", entropy.next_u64())
}
