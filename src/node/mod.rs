//! The node: three planes and one policy, wired.
//!
//! Inputs go in at `handle_*`, commands under their own names, and everything the node wants done comes out of
//! [`Node::poll_output`], in the order it was caused.
//!
//! | file | what |
//! | --- | --- |
//! | `api` | inputs, outputs, events: the vocabulary of the host |
//! | `config` | [`Config`], [`Addresses`], [`Limits`] |
//! | `commands` | publish, tune, leave: what the host asks for |
//! | `overlay`, `signalling`, `media` | one plane each: its facts told to the policy, in the policy's words |
//! | `streams` | TLS beneath the planes that use streams |
//! | `associations` | DTLS beneath the overlay |
//! | `keys` | the streams of offers and answers, and the keys of their RTCP |
//! | `orders` | the policy's orders carried out on the planes |
//! | `reports` | IPTV bodies and the policy's reports, each from the other |
//! | `grants`, `delegated` | who may be found under a channel's name: those whom this node has elected; those whom others have |
//! | `integrity` | media signed and checked by the keys of channels' owners |
//! | `exclusion` | whom the configuration shuts out |
//! | `records` | this node's own entries in the overlay, kept fresh |
//! | `redir` | the tree of relayers of a popular channel: standing there, and looking there |
//! | `census` | how much it holds, for the fuzz targets |
//! | `channels`, `directory`, `queue` | what the node remembers: names, contacts, outputs |
//!
//! # What one call costs
//!
//! Facts and orders are worked off up to [`Limits::turns`]; what is left waits for the next call, which `deadline()` asks
//! for at once. All work of one call on the overlay has one share of signatures to make and to check
//! ([`overlay::Limits`](crate::reload::overlay::Limits)); on top come the records that the policy stores in this call (a
//! signature, and a grant's for a source), a signature for each grant that a source renews or, once in an interval and channel,
//! gives to somebody below its children; a grant to check for each record that a lookup has found, twice for one in a channel's
//! tree, and one, or for a grant of this node's own two, for each that comes in a call. A call that brings media or signalling
//! does no work of the overlay that can wait.
//!
//! A node translates and never decides: who is fed by whom is the policy's business ([`crate::iptv`]), what a message
//! looks like the planes'.

mod api;
mod associations;
#[cfg(feature = "arbitrary")]
mod census;
mod channels;
mod commands;
mod config;
mod delegated;
mod directory;
mod exclusion;
mod grants;
mod integrity;
mod keys;
mod media;
mod orders;
mod overlay;
mod queue;
mod records;
mod redir;
mod reports;
mod signalling;
mod streams;

pub use api::*;
pub use config::{Addresses, Config, ConfigError, Limits, Security};
pub use directory::PeerKey;

use crate::bounded::BoundedMap;
use crate::chord::Chord;
use crate::effect::Effects;
use crate::env::{Channels as SecureChannels, Crypto, Entropy, Signed};
use crate::ids::{CallId, ChannelId, ChannelName, NodeId, StreamId};
use crate::iptv::{self, Iptv, Order};
use crate::reload::overlay::{Fact as OverlayFact, LinkSecurity, Overlay, SignatureTicket};
use crate::reload::storage::Kind;
use crate::rtp::relay::{self, Fact as MediaFact, Relay};
use crate::secure::association::{Associations, Fact as AssociationFact};
use crate::secure::{Fact as StreamFact, Sessions, Strangers};
use crate::sip::agent::{Agent, Fact as SipFact, Transport};
use crate::stats::{DropReason, Plane, Stats};
use crate::time::{Duration, Instant, UnixMillis, earliest};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;
use channels::Channels;
use core::net::SocketAddr;
use delegated::Below;
use directory::Directory;
use grants::Grants;
use overlay::Lookups;
use queue::Queue;
use records::Records;
use redir::Trees;
use signalling::Call;

/// max-message-size of a secured overlay: the records of a channel with their grants and certificates fit into it.
const SECURED_MESSAGE: usize = 16 * 1024;

/// Where the node stands towards the overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Membership {
    Outside,
    Joining,
    Joined,
    /// BYEs and removals are under way, at most until then.
    TakingLeave(Instant),
    /// The overlay itself is being left.
    Leaving,
}

/// One peer of the system: source, viewer and relayer, of any number of channels.
pub struct Node {
    config: Config,
    entropy: Box<dyn Entropy>,
    crypto: Box<dyn Crypto>,

    overlay: Overlay<Chord>,
    agent: Agent,
    relay: Relay,
    /// `None` where nothing is secured.
    sessions: Option<Sessions>,
    /// `None` where the overlay's links are no secured datagrams.
    associations: Option<Associations>,
    /// Streams without TLS, and whose they are.
    plain_streams: BoundedMap<StreamId, Plane>,
    /// Accepted SIP streams of which no byte has come that would say whether they are secured.
    unsorted: Strangers,
    policy: Iptv<PeerKey>,

    stream_effects: Effects<StreamFact>,
    association_effects: Effects<AssociationFact>,
    overlay_effects: Effects<OverlayFact>,
    sip_effects: Effects<SipFact>,
    media_effects: Effects<MediaFact>,
    orders: VecDeque<Order<PeerKey>>,

    membership: Membership,
    channels: Channels,
    calls: BTreeMap<CallId, Call>,
    directory: Directory,
    lookups: Lookups,
    records: Records,
    trees: Trees,
    grants: Grants,
    below: Below,
    /// Who has sent what no source had sent, and until when that counts.
    shunned: Vec<(PeerKey, Instant)>,
    /// When children without RTCP are asked for a sign of life again.
    next_refresh: Option<Instant>,

    queue: Queue,
    stats: Stats,
    /// The last `now`; an older one counts as this.
    now: Instant,
}

impl core::fmt::Debug for Node {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.config.name)
            .field("node_id", &self.node_id())
            .field("membership", &self.membership)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// A node without secured links that does nothing yet. Its Node-ID is the one that `crypto` speaks for.
    pub fn new(
        config: Config,
        entropy: Box<dyn Entropy>,
        crypto: Box<dyn Crypto>,
    ) -> Result<Self, ConfigError> {
        Self::with(config, entropy, crypto, None, None)
    }

    /// A node whose streams are secured ([`Security::Tls`]). `channels` makes its ends of them, with a certificate for the
    /// same Node-ID that `crypto` speaks for.
    pub fn secured(
        config: Config,
        entropy: Box<dyn Entropy>,
        crypto: Box<dyn Crypto>,
        channels: Box<dyn SecureChannels>,
    ) -> Result<Self, ConfigError> {
        Self::with(config, entropy, crypto, Some(channels), None)
    }

    /// A node whose SIP streams are secured, and whose overlay links are secured datagrams ([`Security::Dtls`]). `channels`
    /// makes its ends of the streams, `associations` those of the links.
    pub fn secured_datagrams(
        config: Config,
        entropy: Box<dyn Entropy>,
        crypto: Box<dyn Crypto>,
        channels: Box<dyn SecureChannels>,
        associations: Box<dyn SecureChannels>,
    ) -> Result<Self, ConfigError> {
        Self::with(config, entropy, crypto, Some(channels), Some(associations))
    }

    fn with(
        mut config: Config,
        mut entropy: Box<dyn Entropy>,
        crypto: Box<dyn Crypto>,
        channels: Option<Box<dyn SecureChannels>>,
        associations: Option<Box<dyn SecureChannels>>,
    ) -> Result<Self, ConfigError> {
        let (links, streams, datagrams) = match config.security {
            Security::InsecurePlain => (LinkSecurity::InsecurePlain, false, false),
            Security::Tls => (LinkSecurity::Tls, true, false),
            Security::Dtls => (LinkSecurity::Dtls, true, true),
        };
        if (channels.is_some(), associations.is_some()) != (streams, datagrams) {
            return Err(ConfigError::Security);
        }
        config.refresh = config.refresh.max(Duration::from_millis(100));
        if channels.is_some() {
            secure(&mut config, links);
        }
        if ChannelName::new(&config.name).is_none() {
            return Err(ConfigError::BadName);
        }
        let node_id = crypto.node_id();
        config.agent.node_id = Some(node_id);
        let me = PeerKey::of_node(node_id);
        let relay_config = relay::Config {
            ssrc: entropy.next_u64() as u32,
            cname: alloc::format!("{}@{}", config.name, config.addresses.media),
            limits: config.media,
        };
        Ok(Node {
            overlay: Overlay::new(config.overlay.clone(), node_id)?,
            agent: Agent::new(config.agent.clone())?,
            relay: Relay::new(relay_config),
            sessions: channels.map(|channels| Sessions::new(channels, config.streams)),
            associations: associations
                .map(|channels| Associations::new(channels, config.addresses.overlay, config.streams)),
            plain_streams: BoundedMap::new(config.streams.streams),
            unsorted: Strangers::default(),
            stream_effects: Effects::new(),
            association_effects: Effects::new(),
            policy: Iptv::new(config.policy.clone(), me),
            overlay_effects: Effects::new(),
            sip_effects: Effects::new(),
            media_effects: Effects::new(),
            orders: VecDeque::new(),
            membership: Membership::Outside,
            channels: Channels::new(config.policy.limits.channels, config.limits.keywords),
            calls: BTreeMap::new(),
            directory: Directory::new(config.limits.peers),
            lookups: Lookups::new(config.limits.queries),
            records: Records::new(config.record_lifetime, config.record_retry),
            trees: Trees::new(config.redir),
            grants: Grants::new(config.grant_lifetime),
            below: Below::new(config.grant_interval, config.limits.grants),
            shunned: Vec::new(),
            next_refresh: None,
            queue: Queue::new(config.limits.outputs),
            stats: Stats::default(),
            now: Instant::ZERO,
            config,
            entropy,
            crypto,
        })
    }

    /// A datagram arrived.
    pub fn handle_datagram(&mut self, now: Instant, datagram: Datagram) -> Receipt {
        self.begin(now);
        let Datagram { plane, from, payload } = datagram;
        self.stats.count_received(plane, payload.len());
        let result = match plane {
            _ if self.queue.is_full() => Err(DropReason::Overloaded),
            Plane::Overlay => self.on_overlay_datagram(from, payload),
            Plane::Signalling => {
                self.with_agent(|agent, now, ctx| agent.handle_datagram(now, from, payload, ctx))
            }
            Plane::Media => self.relay.handle_datagram(self.now, from, payload, &mut self.media_effects),
        };
        self.finish();
        self.receipt(result)
    }

    /// Something happened on a stream.
    pub fn handle_stream(&mut self, now: Instant, stream: StreamId, input: StreamInput) -> Receipt {
        self.begin(now);
        let result = self.on_stream(stream, input);
        self.finish();
        self.receipt(result)
    }

    /// The network says that datagrams to this address cannot arrive (a hard ICMP error).
    pub fn handle_unreachable(&mut self, now: Instant, plane: Plane, to: SocketAddr) {
        self.begin(now);
        match plane {
            Plane::Overlay => self.on_overlay_unreachable(to),
            Plane::Signalling => self.with_agent(|agent, now, ctx| agent.on_unreachable(now, to, ctx)),
            // A silent child is noticed by its missing reports, a silent parent by its missing media.
            Plane::Media => {}
        }
        self.finish();
    }

    /// The host brings a signature that [`Output::Sign`] asked for, or says that there will be none.
    pub fn handle_signature(
        &mut self,
        now: Instant,
        ticket: SignatureTicket,
        signed: Option<Signed>,
    ) -> Receipt {
        self.begin(now);
        let result = self.with_overlay(|overlay, now, ctx| overlay.on_signature(now, ticket, signed, ctx));
        self.finish();
        self.receipt(result)
    }

    /// Tells the time of day. What is stored in the overlay carries it; no timer follows it.
    pub fn handle_wall_clock(&mut self, now: Instant, wall: UnixMillis) {
        self.begin(now);
        self.overlay.handle_wall_clock(self.now, wall);
        self.finish();
    }

    /// Fires what is due. Before [`Node::deadline`] it does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.begin(now);
        if self.overlay.deadline().is_some_and(|at| at <= self.now) {
            self.with_overlay(|overlay, now, ctx| overlay.handle_timeout(now, ctx));
        }
        self.finish();
    }

    /// The next thing to do, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.queue.pop()
    }

    /// Gives the buffer of an [`Output::Media`] back, so that the next run needs no new one.
    pub fn recycle(&mut self, packets: Vec<Bytes>) {
        self.queue.recycle(packets);
    }

    /// When [`Node::handle_timeout`] must be called: the last `now` while output waits, `None` when only an input can
    /// bring the node on.
    pub fn deadline(&self) -> Option<Instant> {
        if !self.queue.is_empty() || self.has_work() {
            return Some(self.now);
        }
        let planes =
            earliest(earliest(self.overlay.deadline(), self.agent.deadline()), self.relay.deadline());
        let leave = match self.membership {
            Membership::TakingLeave(at) => Some(at),
            _ => None,
        };
        let planes = earliest(planes, earliest(self.streams_deadline(), self.associations_deadline()));
        let stored = earliest(self.records.deadline(), self.trees.deadline());
        let granted = earliest(self.grants.deadline(), self.below.deadline());
        let own = earliest(earliest(earliest(stored, granted), self.next_refresh), leave);
        earliest(earliest(planes, self.policy.deadline()), own)
    }

    /// What was counted.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// This node's Node-ID.
    pub fn node_id(&self) -> NodeId {
        self.crypto.node_id()
    }

    /// How it was configured.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The overlay as this node sees it: its ring, what it stores.
    pub fn overlay(&self) -> &Overlay<Chord> {
        &self.overlay
    }

    /// Where the packets of a channel have to be sent.
    pub fn children(&self, channel: ChannelId) -> &[SocketAddr] {
        self.relay.children(channel)
    }

    /// What was counted on a channel: received, lost, duplicates, the longest silence.
    pub fn media_counters(&self, channel: ChannelId) -> Option<crate::rtp::reception::Counters> {
        self.relay.counters(channel)
    }

    /// How a channel stands here.
    pub fn status(&self, channel: ChannelId) -> Option<ChannelStatus> {
        let status = self.policy.status(channel)?;
        Some(ChannelStatus {
            publisher: status.publisher,
            depth: status.depth,
            parent: status.parent.map(|key| self.name_of(key)),
            rescue: status.rescue,
            playing: status.playing,
            relayer: status.relayer,
            children: status.children.0,
            rescued: status.children.1,
        })
    }

    /// What this node has done about silences: of its own parents, and for others.
    pub const fn repairs(&self) -> iptv::Counters {
        self.policy.counters()
    }

    /// This node's rescue slots, and what is promised of them.
    pub fn rescue_slots(&self) -> iptv::RescueSlots {
        self.policy.rescue_slots()
    }

    /// The peer table of a channel (table 1 of the paper), by depth: a publisher's holds everybody that it knows, a
    /// relayer's its own children.
    pub fn table(&self, channel: ChannelId) -> Vec<TableRow> {
        let me = PeerKey::of_node(self.node_id());
        let row = |row: iptv::TableRow<PeerKey>| TableRow {
            depth: row.depth,
            peer: self.name_of(row.peer),
            parent: row.parent.filter(|&parent| parent != me).map(|parent| self.name_of(parent)),
            relayer: row.relayer,
        };
        self.policy.table(channel).into_iter().map(row).collect()
    }
}

/// One input: what is due fires, the input goes in, what it caused is worked off.
impl Node {
    fn begin(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.overlay.begin_turn();
        self.fire();
    }

    fn finish(&mut self) {
        self.work_off();
        self.fire();
    }

    fn receipt(&mut self, result: Result<(), DropReason>) -> Receipt {
        match result {
            Ok(()) => Receipt::Accepted,
            Err(reason) => {
                self.stats.count_drop(reason);
                Receipt::Dropped(reason)
            }
        }
    }

    /// Fires every timer that is due, the planes' first, so that the policy sees what they know.
    fn fire(&mut self) {
        let now = self.now;
        let due = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= now);
        self.fire_streams();
        self.fire_associations();
        // What waits there for signatures has its turn in a call of its own.
        if due(self.overlay.next_timer()) {
            self.with_overlay(|overlay, now, ctx| overlay.handle_timeout(now, ctx));
        }
        if due(self.agent.deadline()) {
            self.with_agent(|agent, now, ctx| agent.handle_timeout(now, ctx));
        }
        if due(self.relay.deadline()) {
            self.relay.handle_timeout(now, &mut *self.entropy, &mut self.media_effects);
        }
        if due(self.policy.deadline()) {
            self.with_policy(|policy, now, ctx| policy.handle_timeout(now, ctx));
        }
        if due(self.records.deadline()) {
            self.refresh_records();
        }
        if due(self.trees.deadline()) {
            self.refresh_trees();
        }
        if due(self.grants.deadline()) {
            self.renew_grants();
        }
        if due(self.below.deadline()) {
            self.grant_below();
        }
        if due(self.next_refresh) {
            self.refresh_children();
        }
        self.go_on_leaving();
        self.work_off();
    }

    fn has_work(&self) -> bool {
        !(self.stream_effects.is_empty()
            && self.association_effects.is_empty()
            && self.overlay_effects.is_empty()
            && self.sip_effects.is_empty()
            && self.media_effects.is_empty()
            && self.orders.is_empty())
    }

    /// Facts up, orders down, until nothing is left or this input has had its share.
    fn work_off(&mut self) {
        for _ in 0..self.config.limits.turns {
            if let Some(effect) = self.stream_effects.pop() {
                self.on_stream_effect(effect);
            } else if let Some(effect) = self.association_effects.pop() {
                self.on_association_effect(effect);
            } else if let Some(effect) = self.overlay_effects.pop() {
                self.on_overlay(effect);
            } else if let Some(effect) = self.sip_effects.pop() {
                self.on_signalling(effect);
            } else if let Some(effect) = self.media_effects.pop() {
                self.on_media(effect);
            } else if let Some(order) = self.orders.pop_front() {
                self.obey(order);
            } else {
                return;
            }
        }
    }

    /// Tells the policy a fact.
    fn tell(&mut self, fact: iptv::Fact<PeerKey>) {
        self.with_policy(|policy, now, ctx| policy.on_fact(now, fact, ctx));
    }
}

/// Each machine with what it is lent.
impl Node {
    fn with_overlay<R>(
        &mut self,
        call: impl FnOnce(&mut Overlay<Chord>, Instant, &mut crate::reload::overlay::Context<'_>) -> R,
    ) -> R {
        let mut ctx = crate::reload::overlay::Context {
            entropy: &mut *self.entropy,
            crypto: &*self.crypto,
            effects: &mut self.overlay_effects,
        };
        call(&mut self.overlay, self.now, &mut ctx)
    }

    fn with_agent<R>(
        &mut self,
        call: impl FnOnce(&mut Agent, Instant, &mut crate::sip::agent::Context<'_>) -> R,
    ) -> R {
        let mut ctx =
            crate::sip::agent::Context { entropy: &mut *self.entropy, effects: &mut self.sip_effects };
        call(&mut self.agent, self.now, &mut ctx)
    }

    fn with_policy<R>(
        &mut self,
        call: impl FnOnce(&mut Iptv<PeerKey>, Instant, &mut iptv::Context<'_, PeerKey>) -> R,
    ) -> R {
        let mut ctx = iptv::Context {
            entropy: &mut *self.entropy,
            progress: &media::Progress { relay: &self.relay, overlay: &self.overlay },
            orders: &mut self.orders,
        };
        call(&mut self.policy, self.now, &mut ctx)
    }
}

/// Settles what follows from secured links.
fn secure(config: &mut Config, links: LinkSecurity) {
    config.agent.transport = Transport::Tls;
    config.overlay.security = links;
    // A document says both itself.
    if config.overlay.document.is_none() {
        config.overlay.limits.message_size = config.overlay.limits.message_size.max(SECURED_MESSAGE);
        let channel = config.overlay.kinds.iter_mut().find(|kind| kind.id == Kind::CHANNEL.id);
        channel.into_iter().for_each(|kind| *kind = Kind::OWNED_CHANNEL);
        let redir = config.overlay.kinds.iter_mut().find(|kind| kind.id == Kind::REDIR.id);
        redir.into_iter().for_each(|kind| *kind = Kind::OWNED_REDIR);
    }
    // The grant in a record outlives the record: it is renewed at half of its life.
    config.redir.lifetime = config.redir.lifetime.min(config.grant_lifetime / 5 * 2);
}

/// A host may run a node on whatever thread it likes.
const _: fn() = || {
    fn is_send<T: Send + 'static>() {}
    is_send::<Node>();
};
