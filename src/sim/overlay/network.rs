//! The overlays, their datagrams, and one virtual clock.

use crate::chord::Chord;
use crate::effect::{Effect, Effects};
use crate::env::{Crypto, Entropy, InsecureIdentity, Seeded};
use crate::ids::{NodeId, ResourceId};
use crate::reload::codec::KindId;
use crate::reload::overlay::{self, Address, Context, Fact, OrderError, Overlay, Ticket};
use crate::sim::authority::{Authority, Certificate};
use crate::sim::checked::Fnv;
use crate::sim::machine::{Family, NodeIndex};
use crate::sim::queue::Queue;
use crate::sim::underlay::{Conditions, happens};
use crate::stats::{DropReason, Traffic};
use crate::time::{Duration, Instant, UnixMillis};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

/// The world of an [`OverlayNetwork`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Everything random follows from it, the nodes' own entropy included.
    pub seed: u64,
    /// Every path. Datagrams of one path may overtake each other by the jitter.
    pub conditions: Conditions,
    /// How every node is configured, but for its address.
    pub node: overlay::Config,
    /// Who the nodes are.
    pub identities: Identities,
}

/// Who the nodes of a world are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Identities {
    /// Everybody is believed; nobody has a certificate.
    #[default]
    Insecure,
    /// Each has a certificate of the world's [`Authority`], as large as a real one with a P-256 key, and signs what it
    /// sends and stores.
    Certified,
}

impl Identities {
    /// A host's identity under a Node-ID.
    fn of(self, seed: u64, node: NodeId) -> Box<dyn Crypto> {
        match self {
            Identities::Insecure => Box::new(InsecureIdentity::new(node)),
            Identities::Certified => {
                let certificate = Certificate { padding: 350, ..Certificate::of_node(node) };
                Box::new(Authority::new(seed).issue(&certificate))
            }
        }
    }
}

impl Config {
    /// A world with these conditions whose nodes have the defaults.
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        let address = SocketAddr::new(NodeIndex(0).ip(Family::V4), PORT);
        let node = overlay::Config::new("sim.invalid", address);
        Config { seed, conditions, node, identities: Identities::default() }
    }
}

const PORT: u16 = 6084;

/// The time of day at the virtual clock's zero: 2026-01-01.
const NEW_YEAR: UnixMillis = UnixMillis(1_767_225_600_000);

enum Happening {
    Wake(NodeIndex),
    Arrive { to: NodeIndex, from: NodeIndex, payload: Bytes },
}

struct Host {
    /// `None` once it has crashed.
    overlay: Option<Box<Overlay<Chord>>>,
    identity: Box<dyn Crypto>,
    entropy: Seeded,
    island: u8,
    /// The earliest wake-up that is scheduled.
    wake: Instant,
}

/// Overlays on one virtual clock, and the network between them.
///
/// An address that nobody listens at swallows what is sent there, as a computer without power does.
///
/// # Panics
///
/// When an overlay leaves a deadline behind that lies in the past (K1). This is a test's failure, and no peer's doing.
pub struct OverlayNetwork {
    config: Config,
    now: Instant,
    queue: Queue<Happening>,
    hosts: Vec<Host>,
    /// Nodes that have not crashed, in no particular order, and each one's place in this list.
    living: Vec<NodeIndex>,
    place: BTreeMap<NodeIndex, usize>,
    dice: Seeded,
    effects: Effects<Fact>,
    facts: Vec<(Instant, NodeIndex, Fact)>,
    tickets: u64,
    traffic: Traffic,
    drops: BTreeMap<DropReason, u64>,
    hash: Fnv,
}

impl OverlayNetwork {
    /// An empty network at time zero.
    pub fn new(config: Config) -> Self {
        OverlayNetwork {
            dice: Seeded::new(config.seed),
            config,
            now: Instant::ZERO,
            queue: Queue::new(),
            hosts: Vec::new(),
            living: Vec::new(),
            place: BTreeMap::new(),
            effects: Effects::new(),
            facts: Vec::new(),
            tickets: 0,
            traffic: Traffic::default(),
            drops: BTreeMap::new(),
            hash: Fnv::default(),
        }
    }

    // ---- nodes

    /// Adds a node with a random Node-ID. It is in no overlay yet.
    pub fn add(&mut self) -> Result<NodeIndex, overlay::ConfigError> {
        let mut id = NodeId::default();
        self.dice.fill(&mut id.0);
        self.add_as(id)
    }

    /// Adds a node with this Node-ID. It is in no overlay yet.
    pub fn add_as(&mut self, id: NodeId) -> Result<NodeIndex, overlay::ConfigError> {
        let node = NodeIndex(self.hosts.len() as u32);
        let config = overlay::Config { address: Self::address(node), ..self.config.node.clone() };
        let mut overlay = Box::new(Overlay::new(config, id)?);
        overlay.handle_wall_clock(self.now, NEW_YEAR + self.now.since(Instant::ZERO));
        self.hosts.push(Host {
            overlay: Some(overlay),
            identity: self.config.identities.of(self.config.seed, id),
            entropy: Seeded::new(self.dice.next_u64()),
            island: 0,
            wake: Instant::FAR_FUTURE,
        });
        self.place.insert(node, self.living.len());
        self.living.push(node);
        Ok(node)
    }

    /// The address of a node.
    pub fn address(node: NodeIndex) -> SocketAddr {
        SocketAddr::new(node.ip(Family::V4), PORT)
    }

    /// A node's overlay; `None` once it has crashed.
    pub fn overlay(&self, node: NodeIndex) -> Option<&Overlay<Chord>> {
        self.hosts.get(node.at())?.overlay.as_deref()
    }

    /// Every node that has not crashed, in no particular order.
    pub fn living(&self) -> &[NodeIndex] {
        &self.living
    }

    /// Every living node that is a member of its overlay.
    pub fn members(&self) -> impl Iterator<Item = (NodeIndex, &Overlay<Chord>)> {
        self.living.iter().filter_map(|&n| Some((n, self.overlay(n)?))).filter(|(_, o)| o.is_joined())
    }

    /// A random living member; `None` when a few draws find none.
    pub fn random_member(&mut self) -> Option<NodeIndex> {
        for _ in 0..64 {
            let pick = self.dice.below(self.living.len() as u64) as usize;
            let node = *self.living.get(pick)?;
            if self.overlay(node).is_some_and(Overlay::is_joined) {
                return Some(node);
            }
        }
        None
    }

    /// Founds an overlay.
    pub fn create(&mut self, node: NodeIndex) -> Result<(), OrderError> {
        self.command(node, |overlay, now, ctx| overlay.create(now, ctx)).unwrap_or(Err(OrderError::NotJoined))
    }

    /// Joins through these nodes.
    pub fn join(&mut self, node: NodeIndex, through: &[NodeIndex]) -> Result<(), OrderError> {
        let through: Vec<SocketAddr> = through.iter().map(|&n| Self::address(n)).collect();
        self.command(node, |overlay, now, ctx| overlay.join(now, &through, ctx))
            .unwrap_or(Err(OrderError::NotJoined))
    }

    /// Leaves in good order.
    pub fn leave(&mut self, node: NodeIndex) -> Result<(), OrderError> {
        self.command(node, |overlay, now, ctx| overlay.leave(now, ctx)).unwrap_or(Err(OrderError::NotJoined))
    }

    /// Ends a node, which says goodbye to nobody. Gives back its overlay as it was.
    pub fn crash(&mut self, node: NodeIndex) -> Option<Box<Overlay<Chord>>> {
        let overlay = self.hosts.get_mut(node.at())?.overlay.take()?;
        if let Some(place) = self.place.remove(&node) {
            self.living.swap_remove(place);
            if let Some(&moved) = self.living.get(place) {
                self.place.insert(moved, place);
            }
        }
        Some(overlay)
    }

    /// Stores a value; a [`Fact::Stored`] with the ticket follows.
    pub fn store(
        &mut self,
        node: NodeIndex,
        address: Address,
        value: Bytes,
        lifetime: Duration,
    ) -> Result<Ticket, OrderError> {
        let ticket = self.ticket();
        self.command(node, |overlay, now, ctx| overlay.store(now, ticket, address, value, lifetime, ctx))
            .unwrap_or(Err(OrderError::NotJoined))
            .map(|()| ticket)
    }

    /// Fetches; a [`Fact::Fetched`] with the ticket follows.
    pub fn fetch(
        &mut self,
        node: NodeIndex,
        resource: ResourceId,
        kind: KindId,
    ) -> Result<Ticket, OrderError> {
        let ticket = self.ticket();
        self.command(node, |overlay, now, ctx| overlay.fetch(now, ticket, resource, kind, ctx))
            .unwrap_or(Err(OrderError::NotJoined))
            .map(|()| ticket)
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    // ---- trouble

    /// Moves a node to an island: only nodes of one island reach each other. All start on island 0.
    pub fn partition(&mut self, node: NodeIndex, island: u8) {
        if let Some(host) = self.hosts.get_mut(node.at()) {
            host.island = island;
        }
    }

    /// Joins all islands.
    pub fn heal(&mut self) {
        self.hosts.iter_mut().for_each(|host| host.island = 0);
    }

    // ---- running

    /// The time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The dice of the world, for whoever writes its script.
    pub const fn dice(&mut self) -> &mut Seeded {
        &mut self.dice
    }

    /// Lets the next thing happen.
    pub fn step(&mut self) -> Option<Instant> {
        let (at, happening) = self.queue.pop()?;
        self.now = self.now.max(at);
        match happening {
            Happening::Wake(node) => self.wake(node, at),
            Happening::Arrive { to, from, payload } => self.arrive(to, from, payload),
        }
        Some(self.now)
    }

    /// Runs until this time, which is then the time even if nothing happened.
    pub fn run_until(&mut self, end: Instant) {
        while self.queue.next_time().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = self.now.max(end);
    }

    /// Runs for this long.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Takes what the overlays have said since the last call.
    pub fn take_facts(&mut self) -> Vec<(Instant, NodeIndex, Fact)> {
        core::mem::take(&mut self.facts)
    }

    /// Every datagram sent so far, without UDP and IP headers.
    pub const fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Datagrams that arrived and were not used, by reason.
    pub const fn drops(&self) -> &BTreeMap<DropReason, u64> {
        &self.drops
    }

    /// The hash of every datagram sent so far, with its time and its two ends: the same for two runs that did the same
    /// (K9).
    pub const fn trace_hash(&self) -> u64 {
        self.hash.value()
    }

    fn wake(&mut self, node: NodeIndex, at: Instant) {
        let Some(host) = self.hosts.get_mut(node.at()) else { return };
        if host.wake != at {
            // An earlier one has taken its place.
            return;
        }
        host.wake = Instant::FAR_FUTURE;
        let Some(overlay) = &host.overlay else { return };
        if overlay.deadline().is_some_and(|due| due <= self.now) {
            self.command(node, |overlay, now, ctx| overlay.handle_timeout(now, ctx));
        } else {
            // What was waited for was not needed any more.
            self.arm(node);
        }
    }

    fn arrive(&mut self, to: NodeIndex, from: NodeIndex, payload: Bytes) {
        let from = Self::address(from);
        let result = self.command(to, |overlay, now, ctx| overlay.handle_datagram(now, from, payload, ctx));
        if let Some(Err(reason)) = result {
            *self.drops.entry(reason).or_default() += 1;
        }
    }

    /// Calls one overlay, and does what it wants done. `None` when the node has crashed.
    pub fn command<R>(
        &mut self,
        node: NodeIndex,
        command: impl FnOnce(&mut Overlay<Chord>, Instant, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let now = self.now;
        let host = self.hosts.get_mut(node.at())?;
        let overlay = host.overlay.as_mut()?;
        let mut effects = core::mem::take(&mut self.effects);
        let mut ctx = Context { entropy: &mut host.entropy, crypto: &*host.identity, effects: &mut effects };
        let result = command(overlay, now, &mut ctx);
        let deadline = overlay.deadline();
        assert!(deadline.is_none_or(|at| at >= now), "K1 is broken at {now:?}: the deadline is {deadline:?}");
        while let Some(effect) = effects.pop() {
            match effect {
                Effect::Send { to, payload } => self.send(node, to, payload),
                Effect::Fact(fact) => self.facts.push((now, node, fact)),
                // Plain links are datagrams.
                Effect::Connect { .. }
                | Effect::Write { .. }
                | Effect::Close { .. }
                | Effect::Associate { .. }
                | Effect::Dissociate { .. } => {}
            }
        }
        self.effects = effects;
        self.arm(node);
        Some(result)
    }

    fn arm(&mut self, node: NodeIndex) {
        let Some(host) = self.hosts.get_mut(node.at()) else { return };
        let Some(at) = host.overlay.as_ref().and_then(|o| o.deadline()) else { return };
        if at < host.wake {
            host.wake = at;
            self.queue.schedule(at, Happening::Wake(node));
        }
    }

    fn send(&mut self, from: NodeIndex, to: SocketAddr, payload: Bytes) {
        self.traffic.count(payload.len());
        self.hash.bytes(&self.now.as_micros().to_be_bytes());
        self.hash.bytes(&from.0.to_be_bytes());
        let to = NodeIndex::of(to.ip());
        self.hash.bytes(&to.map_or(u32::MAX, |n| n.0).to_be_bytes());
        self.hash.bytes(&payload);
        let conditions = self.config.conditions;
        let lost = happens(conditions.loss, &mut self.dice);
        let island = |n: NodeIndex| self.hosts.get(n.at()).map(|h| h.island);
        let Some(to) = to.filter(|&to| !lost && island(to) == island(from)) else { return };
        let latency = conditions.latency.between(from.0, to.0, self.config.seed);
        let at = self.now + latency + conditions.queueing(&mut self.dice);
        if happens(conditions.duplication, &mut self.dice) {
            let payload = payload.clone();
            self.queue
                .schedule(at + conditions.queueing(&mut self.dice), Happening::Arrive { to, from, payload });
        }
        self.queue.schedule(at, Happening::Arrive { to, from, payload });
    }
}
