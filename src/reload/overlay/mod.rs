//! The overlay plane's machine: RELOAD (RFC 6940) over TLS streams, DTLS associations, or plain datagrams.
//!
//! Encryption is not its business: it is told who is at the other end of a secured link ([`Party`](crate::env::Party)), and
//! sees plaintext.
//!
//! ```text
//! handle_datagram, on_stream_bytes ─▶ link (frame, ACK) ─▶ header ─▶ route: forward │ answer from memory │ mine
//!                                                                   mine ─▶ storage, topology ─▶ facts, sends
//! store, fetch ... ─▶ request (retransmission) ─▶ route ─▶ link ─▶ Effects
//! ```
//!
//! | file | what |
//! | --- | --- |
//! | `api` | [`Context`], [`Fact`], [`Ticket`], [`Value`], [`Failure`], [`OrderError`] |
//! | `config` | [`Config`], [`Timers`], [`Limits`] |
//! | `configuration` | configuration documents on their way, and what a new one changes |
//! | `connections` | the Connection Table: every link, who is at its other end |
//! | `links` | how links come up and go down: dialled, accepted, authenticated, closed |
//! | `receive` | what comes over a link, and what is done with a message for this node |
//! | `transit` | one message's way: to this node, or on to the next |
//! | `turn` | how many signatures one call makes and checks |
//! | `inbox`, `outbox` | messages that wait for the check of their signatures; that wait to be signed |
//! | `signing` | signatures that the host makes |
//! | `exchange` | requests and answers of this node's own, signed and on their way |
//! | `methods` | one arm for each method, asked and answered |
//! | `app` | AppAttach: where applications reach each other |
//! | `attach` | Attach: asking for a link, and being asked |
//! | `client` | nodes that only use the overlay |
//! | `join` | the way into the overlay, and admission |
//! | `ring` | Updates, stabilisation, leaving |
//! | `orders` | Store, Fetch, Stat and Find as this node's own orders |
//! | `certificates` | those that were left out of the answer to a Fetch |
//! | `data` | Store, Fetch, Stat, Find as a storing peer answers them |
//! | `usages` | what this node stores about itself: certificate, TURN server |
//! | `census` | how much it holds, for the fuzz targets |
//! | `handover` | stored values on their way to other peers |
//!
//! # What one call costs
//!
//! A call signs at most [`Limits::signatures`] messages, checks at most [`Limits::verifications`] signatures and those of
//! the message that it is at, and works off at most [`Limits::turns`] messages of this node to itself. What is left waits
//! in queues with limits, and `deadline()` asks for the next call at once. On top come the signatures of the values that
//! the caller's own `store` brings.

mod api;
mod app;
mod attach;
#[cfg(feature = "arbitrary")]
mod census;
mod certificates;
mod client;
mod config;
mod configuration;
mod connections;
mod data;
mod exchange;
mod handover;
mod inbox;
mod join;
mod links;
mod methods;
mod orders;
mod outbox;
mod receive;
mod ring;
mod signing;
mod transit;
mod turn;
mod usages;

pub use super::storage::Slot;
pub use super::via::ReturnPath;
pub use api::{Address, Context, Description, Fact, Failure, OrderError, Query, Ticket, Value, Write};
pub use app::Application;
pub use config::{Config, ConfigError, Limits, LinkSecurity, Timers};
pub use signing::SignatureTicket;
pub use usages::Usages;

use super::codec::{KindId, MessageCode};
use super::fragment::{self, Reassembly};
use super::request::{Answers, Requests, SENDS};
use super::storage::{self, Storage};
use super::timers::Timers as TimerSet;
use super::topology::{Place, Topology};
use super::via::Ways;
use crate::bounded::{BoundedMap, Newest};
use crate::ids::{NodeId, ResourceId, StreamId, overlay_hash};
use crate::stats::DropReason;
use crate::time::{Duration, Instant, UnixMillis, earliest};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use attach::Agreed;
use bytes::Bytes;
use certificates::Unproven;
use config::check;
use configuration::Updates;
use connections::{Connections, LinkId};
use core::net::SocketAddr;
use handover::Handover;
use inbox::Inbox;
use join::Join;
use orders::StoreOrder;
use outbox::Outbox;
use signing::Signing;
use turn::Turn;
use usages::TurnSearch;

/// Where this node stands.
#[derive(Clone, Debug)]
enum Phase {
    /// In no overlay.
    Idle,
    /// On the way in.
    Joining(Box<Join>),
    /// A client of the overlay.
    Client,
    /// A peer of the overlay.
    Member,
    /// On the way out: it still routes and stores, and waits for its last answers.
    Leaving,
}

/// Who may answer a request (SR-8, SR-9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Anyone,
    Node(NodeId),
    Place(Place),
}

/// A request of this node's own.
#[derive(Clone, Debug)]
struct Request {
    code: MessageCode,
    expected: Expected,
    purpose: Purpose,
}

/// What a request of this node's own is for. `Overtake` is the Fetch between a Store that was too old and its second try,
/// `OwnCertificate` the one before this node stores its certificate, `Certificates` one for what an answer left out.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    Attach { target: Option<NodeId>, word_of: NodeId },
    Join,
    Update { to: NodeId },
    Leave { to: NodeId },
    AppAttach { ticket: Ticket },
    Ping { to: NodeId },
    Finger,
    Partition { through: NodeId },
    Replica { to: NodeId, resource: ResourceId },
    Adopt { resource: ResourceId },
    ConfigUpdate,
    Store(Box<StoreOrder>),
    Overtake(Box<StoreOrder>),
    Fetch { ticket: Ticket, resource: ResourceId, queries: Vec<Query> },
    Stat { ticket: Ticket, kinds: Vec<KindId> },
    Find { ticket: Ticket, kinds: Vec<KindId> },
    Certificates(Box<Unproven>),
    OwnCertificate { resource: ResourceId, kind: KindId },
    TurnSearch(TurnSearch),
}

impl Purpose {
    /// Whether it stores or reads something, for this node's user or for itself.
    fn is_order(&self) -> bool {
        use Purpose::{Certificates, Fetch, Find, Overtake, OwnCertificate, Stat, Store, TurnSearch};
        matches!(
            self,
            Store(_)
                | Overtake(_)
                | Fetch { .. }
                | Stat { .. }
                | Find { .. }
                | Certificates(_)
                | OwnCertificate { .. }
                | TurnSearch(_)
        )
    }

    /// Whether nobody waits for its answer any more once this node is no peer.
    fn ends_with(&self, node: NodeId) -> bool {
        matches!(self, Purpose::Leave { to } | Purpose::Replica { to, .. } if *to == node)
    }
}

/// What is done at a time of its own. Links, requests and stored values have their own timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Join,
    Leave,
    Dial(LinkId),
    Update,
    PeriodicUpdate,
    Neighbors,
    Fingers,
    Partition,
    Replicate,
    Return,
    Recheck,
    Prune,
    Usages,
}

/// One node's view of one overlay instance, and its part in it.
#[derive(Debug)]
pub struct Overlay<T> {
    config: Config,
    me: NodeId,
    /// The overlay field of every header.
    hash: u32,
    phase: Phase,
    topology: T,
    connections: Connections,
    /// Nodes with which an Attach is agreed; their links are not up yet.
    attaches: BoundedMap<NodeId, Agreed>,
    /// Nodes that were lost, and until when nobody else's word brings them back.
    shunned: BoundedMap<NodeId, Instant>,
    requests: Requests<Request>,
    answers: Answers,
    /// Messages for this node of which fragments are missing.
    reassembly: Reassembly,
    /// What brings back the answers to requests that passed.
    ways: Ways,
    storage: Storage,
    /// How new what was fetched or stored before was, so that a reader notices when a storing peer goes back to an older
    /// value (RFC 6940 §13.5.3).
    seen: Newest<Address, UnixMillis>,
    handover: Handover,
    updates: Updates,
    /// The node that is being admitted.
    admission: Option<NodeId>,
    tasks: TimerSet<Task>,
    /// What this call may still sign and check.
    turn: Turn,
    /// Messages of others that wait for the check of their signatures.
    inbox: Inbox,
    /// Messages of this node's own that wait for their signatures.
    outbox: Outbox,
    /// What the host has to sign.
    signing: Signing,
    /// Messages from this node to itself.
    loopback: VecDeque<Bytes>,
    /// Where the overlay can be found (again).
    bootstraps: Vec<SocketAddr>,
    /// The bootstrap node through which a partition is being looked for.
    checking: Option<SocketAddr>,
    /// Every peer was lost, and this one has been found: it is asked as by a Joining Node (CU10-5).
    rejoining: Option<NodeId>,
    fingers_begun: bool,
    /// Neighbours that could not be had.
    missed: Vec<NodeId>,
    /// A lost replica is not replaced yet: another peer may be a better match than the one that is known (CU10-4).
    holds_down: bool,
    member_since: Instant,
    /// The neighbours that the last [`Fact::RingChanged`] told.
    told: (Vec<NodeId>, Vec<NodeId>),
    wall_clock: Option<(Instant, UnixMillis)>,
    last_storage_time: UnixMillis,
    now: Instant,
}

impl<T: Topology> Overlay<T> {
    /// A node that is in no overlay yet. `me` is the Node-ID under which the context's identity signs.
    pub fn new(config: Config, me: NodeId) -> Result<Self, ConfigError> {
        check(&config)?;
        let limits = config.limits;
        let stored = storage::Limits {
            resources: limits.resources,
            values: limits.values,
            bytes: limits.value_bytes,
            signer_values: limits.signer_values,
            signer_bytes: limits.signer_bytes,
            group_bytes: limits.message_size - ANSWER_OVERHEAD,
            answer: limits.message_size / MIN_STORED_DATA,
            epochs: limits.epochs,
            lifetime: limits.lifetime,
        };
        let request = config.timers.request;
        Ok(Overlay {
            me,
            hash: overlay_hash(&config.overlay_name),
            phase: Phase::Idle,
            topology: T::new(me),
            connections: Connections::new(&config.timers, &limits),
            attaches: BoundedMap::new(limits.half_open),
            shunned: BoundedMap::new(limits.links),
            requests: Requests::new(request, limits.requests),
            answers: Answers::new(request * SENDS.into(), limits.answers, limits.answer_bytes),
            reassembly: Reassembly::new(fragment::Limits {
                messages: limits.incomplete,
                of_one_link: limits.incomplete_of_one_link,
                message_size: limits.message_size,
                patience: request * SENDS.into(),
            }),
            ways: Ways::new(config.return_path, 2 * limits.links, limits.kept_paths, request * SENDS.into()),
            storage: Storage::new(config.kinds.iter().cloned(), stored),
            seen: Newest::new(limits.seen),
            handover: Handover::new(limits.transfers),
            updates: Updates::new(limits.links),
            admission: None,
            tasks: TimerSet::new(),
            turn: Turn::new(&limits),
            inbox: Inbox::new(&limits),
            outbox: Outbox::new(&limits),
            signing: Signing::default(),
            loopback: VecDeque::new(),
            bootstraps: Vec::new(),
            checking: None,
            rejoining: None,
            fingers_begun: false,
            missed: Vec::new(),
            holds_down: false,
            member_since: Instant::ZERO,
            told: (Vec::new(), Vec::new()),
            wall_clock: None,
            last_storage_time: UnixMillis(0),
            now: Instant::ZERO,
            config,
        })
    }

    /// Founds the overlay: this node is its first peer and responsible for everything (JL-6: only by explicit order).
    /// [`Fact::Joined`] comes at once.
    pub fn create(&mut self, now: Instant, ctx: &mut Context<'_>) -> Result<(), OrderError> {
        if !matches!(self.phase, Phase::Idle) {
            return Err(OrderError::AlreadyJoined);
        }
        let now = self.tick(now);
        self.become_member(now, ctx);
        self.work_off(now, ctx);
        Ok(())
    }

    /// Joins through the first of these bootstrap nodes that answers. [`Fact::Joined`] or [`Fact::JoinFailed`] follows.
    pub fn join(
        &mut self,
        now: Instant,
        bootstrap: &[SocketAddr],
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        self.begin_join(now, bootstrap, false, ctx)
    }

    fn begin_join(
        &mut self,
        now: Instant,
        bootstrap: &[SocketAddr],
        as_client: bool,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        if !matches!(self.phase, Phase::Idle) {
            return Err(OrderError::AlreadyJoined);
        }
        let first = *bootstrap.first().ok_or(OrderError::NoBootstrap)?;
        let now = self.tick(now);
        bootstrap.iter().for_each(|&address| self.remember_bootstrap(address));
        self.phase = Phase::Joining(Box::new(Join::new(first, self.bootstraps.clone(), as_client)));
        self.dial_bootstrap(now, ctx);
        self.work_off(now, ctx);
        Ok(())
    }

    /// Leaves: what only this node holds goes to its successors, everybody connected gets a Leave (RFC 6940 §10.9).
    /// [`Fact::Left`] follows when all of it is answered, at the latest after [`Timers::leave`]; orders that are still
    /// open then have failed.
    pub fn leave(&mut self, now: Instant, ctx: &mut Context<'_>) -> Result<(), OrderError> {
        let now = self.tick(now);
        match self.phase {
            Phase::Idle | Phase::Leaving => return Err(OrderError::NotJoined),
            Phase::Joining(_) | Phase::Client => {
                self.forget_everything(ctx);
                ctx.effects.fact(Fact::Left);
            }
            Phase::Member => {
                self.say_goodbye(now, ctx);
                self.work_off(now, ctx);
            }
        }
        Ok(())
    }

    /// One datagram arrived. What was not used says why, so that it can be counted.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        payload: Bytes,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let now = self.tick(now);
        let result = self.receive_datagram(now, from, &payload, ctx);
        self.work_off(now, ctx);
        result
    }

    /// Bytes arrived on a stream: frames, cut anywhere. What was not used says why, so that it can be counted; of several
    /// reasons the first.
    pub fn on_stream_bytes(
        &mut self,
        now: Instant,
        stream: StreamId,
        bytes: Bytes,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let now = self.tick(now);
        let result = self.receive_stream(now, stream, bytes, ctx);
        self.work_off(now, ctx);
        result
    }

    /// Fires everything that is due; harmless when early.
    pub fn handle_timeout(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let now = self.tick(now);
        self.work_off(now, ctx);
    }

    /// Tells the time of day, which storage_time follows. Timers do not.
    pub fn handle_wall_clock(&mut self, now: Instant, wall: UnixMillis) {
        let now = self.tick(now);
        self.wall_clock = Some((now, wall));
    }

    /// When [`Overlay::handle_timeout`] has something to do: the last `now` while something waits that this call would not
    /// do because it had done enough ([`Limits::signatures`], [`Limits::verifications`], [`Limits::turns`]).
    pub fn deadline(&self) -> Option<Instant> {
        if !self.loopback.is_empty() || !self.inbox.is_empty() || !self.outbox.is_empty() {
            return Some(self.now);
        }
        self.next_timer()
    }

    /// Several calls from now on share what one may sign and check, until this is called again: they are one turn of their
    /// caller. Whoever never calls this gets a share for each call.
    pub fn begin_turn(&mut self) {
        self.turn.begin();
    }

    /// The same as [`Overlay::deadline`] without what waits for its turn.
    pub fn next_timer(&self) -> Option<Instant> {
        let own = earliest(self.tasks.deadline(), self.storage.deadline());
        let own = earliest(own, earliest(self.reassembly.deadline(), self.signing.deadline()));
        earliest(own, earliest(self.connections.deadline(), self.requests.deadline()))
    }

    /// Time never goes back (K6).
    fn tick(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.turn.begin_call();
        self.now
    }

    /// Works off every timer that is due (K5), and as much of what this node sends to itself, of what others sent, and of what
    /// waits for signatures as one call may check and sign. Timers set themselves anew behind `now`, so this ends; the limit is for messages to itself that
    /// bring forth others.
    fn work_off(&mut self, now: Instant, ctx: &mut Context<'_>) {
        for _ in 0..self.config.limits.turns {
            let (may_verify, may_sign) = (self.turn.may_verify(), self.turn.may_sign());
            if may_verify && let Some(message) = self.loopback.pop_front() {
                self.receive_loopback(now, &message, ctx);
            } else if self.next_timer().is_some_and(|at| at <= now) {
                self.fire(now, ctx);
            } else if may_verify && let Some(unread) = self.inbox.pop() {
                self.receive_waiting(now, unread, ctx);
            } else if may_sign && let Some(message) = self.outbox.pop() {
                self.send_waiting(now, message, ctx);
            } else {
                break;
            }
        }
        self.finish_leaving(now, false, ctx);
    }

    fn fire(&mut self, now: Instant, ctx: &mut Context<'_>) {
        while let Some(incident) = self.connections.fire(now, ctx.effects) {
            if let Some(incident) = incident {
                self.on_incident(now, incident, ctx);
            }
        }
        self.fire_requests(now, ctx);
        self.expire_signatures(now, ctx);
        self.storage.expire(now);
        self.reassembly.expire(now);
        while let Some(task) = self.tasks.pop_due(now) {
            match task {
                Task::Join => self.on_join_timer(now, ctx),
                Task::Leave => self.finish_leaving(now, true, ctx),
                Task::Dial(link) => self.on_dial_timeout(now, link, ctx),
                Task::Replicate => self.replicate(now, ctx),
                Task::Prune => self.prune(now, ctx),
                Task::Return => self.return_to_owners(now, ctx),
                Task::Usages => self.publish_itself(now, ctx),
                ring => self.on_ring_task(now, ring, ctx),
            }
        }
    }

    /// Back to the beginning; the configuration and what time it is stay.
    fn forget_everything(&mut self, ctx: &mut Context<'_>) {
        self.connections.links().for_each(|link| self.hang_up(link, ctx));
        self.phase = Phase::Idle;
        self.topology.clear();
        self.connections.clear();
        self.attaches.clear();
        self.shunned.clear();
        self.requests.take_all().for_each(drop);
        self.reassembly.clear();
        self.ways.clear();
        self.storage.retain(|_| false);
        self.seen.clear();
        self.handover.clear();
        self.admission = None;
        self.tasks = TimerSet::new();
        self.inbox.clear();
        self.outbox.clear();
        // Whoever waits for an answer has been told.
        drop(self.signing.clear());
        self.loopback.clear();
        self.bootstraps.clear();
        self.checking = None;
        self.rejoining = None;
        self.fingers_begun = false;
        self.missed.clear();
        self.holds_down = false;
        self.told = (Vec::new(), Vec::new());
    }

    /// This node's Node-ID.
    pub fn node_id(&self) -> NodeId {
        self.me
    }

    /// Whether this node may store and fetch: as a peer or as a client.
    pub(super) fn takes_orders(&self) -> bool {
        self.is_joined() || self.is_client()
    }

    /// Whether this node is a peer of the overlay now.
    pub fn is_joined(&self) -> bool {
        matches!(self.phase, Phase::Member)
    }

    /// Whether this node is responsible for a Resource-ID.
    pub fn is_responsible_for(&self, resource: &ResourceId) -> bool {
        resource.to_u128().is_some_and(|place| self.topology.is_responsible(place))
    }

    /// The Routing Table: neighbours, fingers, responsibility.
    pub fn topology(&self) -> &T {
        &self.topology
    }

    /// The usual round trip between this node and those that it has links to: the one in the middle. None before any of them
    /// has acknowledged anything.
    pub fn round_trip(&self) -> Option<Duration> {
        self.connections.round_trip()
    }

    /// What is stored here for the overlay.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Links, half-open ones included.
    pub fn links(&self) -> usize {
        self.connections.len()
    }

    /// Nodes at the other ends of the links, with their addresses, in the order of their Node-IDs.
    pub fn connected(&self) -> impl Iterator<Item = (NodeId, SocketAddr)> + '_ {
        self.connections.nodes()
    }

    /// Where the overlay can be found again, at most ten addresses: those that `join` was given, and some at which this node
    /// has reached peers. A host may keep them for its next start (RFC 6940 §11.4).
    pub fn bootstraps(&self) -> &[SocketAddr] {
        &self.bootstraps
    }

    /// How this overlay was configured.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// Bytes of a FetchAns around its values and their signers' certificates: header with a path of twenty hops, signature
/// and certificate of the answering peer. [`check`] sees to it that messages are larger.
const ANSWER_OVERHEAD: usize = 1024;

/// No StoredData is shorter: length, storage_time, lifetime, an empty value, no signature.
const MIN_STORED_DATA: usize = 4 + 8 + 4 + 5 + 7;
