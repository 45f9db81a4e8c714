//! Many overlays on a small in-memory network with one virtual clock: seeded latency and loss, kills, and every
//! promise about deadlines checked after every call.

use super::underlay::Underlay;
use bytes::Bytes;
use p2piptv::chord::Chord;
use p2piptv::effect::{Effect, Effects};
use p2piptv::env::{Entropy, InsecureIdentity, Seeded};
use p2piptv::ids::{NodeId, ResourceId};
use p2piptv::reload::codec::KindId;
use p2piptv::reload::overlay::{
    Address, Config, Context, Fact, Failure, LinkSecurity, Overlay, Slot, Ticket, Value,
};
use p2piptv::reload::topology::Topology;
use p2piptv::stats::DropReason;
use p2piptv::time::{Duration, Instant, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

const WALL: u64 = 1_700_000_000_000;

pub(super) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(super) struct Node {
    pub(super) overlay: Overlay<Chord>,
    pub(super) identity: InsecureIdentity,
    pub(super) entropy: Seeded,
    pub(super) alive: bool,
    pub(super) facts: Vec<Fact>,
    pub(super) drops: BTreeMap<DropReason, usize>,
    pub(super) sent: usize,
}

pub(super) struct Net {
    pub(super) nodes: Vec<Node>,
    pub(super) on_the_way: BTreeMap<(Instant, u64), (usize, usize, Bytes)>,
    pub(super) now: Instant,
    pub(super) counter: u64,
    pub(super) entropy: Seeded,
    pub(super) loss_percent: u64,
    /// Nodes that cannot reach each other: those below this number and the others.
    pub(super) cut: Option<usize>,
    /// Pairs of nodes that cannot reach each other.
    pub(super) blocked: BTreeSet<(usize, usize)>,
    /// Every datagram since the last time that this was emptied.
    pub(super) frames: Vec<Bytes>,
    /// What was sent to addresses at which there is no node.
    pub(super) outside: Vec<Bytes>,
    /// How the links of nodes are secured that are added.
    pub(super) security: LinkSecurity,
    pub(super) underlay: Underlay,
}

pub(super) fn address(i: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (i >> 8) as u8, i as u8], 6084))
}

pub(super) fn config(i: usize) -> Config {
    let mut config = Config::new("p2piptv.example", address(i));
    config.timers.update_interval = seconds(60);
    config.timers.ping_interval = seconds(30);
    config.timers.partition_interval = seconds(60);
    config
}

impl Net {
    pub(super) fn new(seed: u64) -> Self {
        Net {
            nodes: Vec::new(),
            on_the_way: BTreeMap::new(),
            now: Instant::ZERO,
            counter: 0,
            entropy: Seeded::new(seed),
            loss_percent: 0,
            cut: None,
            blocked: BTreeSet::new(),
            frames: Vec::new(),
            outside: Vec::new(),
            security: LinkSecurity::InsecurePlain,
            underlay: Underlay::default(),
        }
    }

    pub(super) fn add(&mut self, id: NodeId) -> usize {
        let i = self.nodes.len();
        let node = self.node(i, id);
        self.nodes.push(node);
        i
    }

    /// A node is switched on again and remembers nothing.
    pub(super) fn restart(&mut self, i: usize) {
        let node = self.node(i, self.id(i));
        self.nodes[i] = node;
        self.underlay.forget(i);
    }

    fn node(&mut self, i: usize, id: NodeId) -> Node {
        let config = Config { security: self.security, ..config(i) };
        let mut overlay = Overlay::new(config, id).unwrap();
        overlay.handle_wall_clock(self.now, UnixMillis(WALL + self.now.as_millis()));
        let entropy = Seeded::new(self.entropy.next_u64());
        Node {
            overlay,
            identity: InsecureIdentity::new(id),
            entropy,
            alive: true,
            facts: Vec::new(),
            drops: BTreeMap::new(),
            sent: 0,
        }
    }

    pub(super) fn random_id(&mut self) -> NodeId {
        let mut id = [0; 16];
        self.entropy.fill(&mut id);
        NodeId(id)
    }

    /// Does something with one overlay, then puts what it sent on the way and keeps its facts.
    pub(super) fn with<R>(
        &mut self,
        i: usize,
        f: impl FnOnce(&mut Overlay<Chord>, Instant, &mut Context<'_>) -> R,
    ) -> R {
        let mut effects = Effects::new();
        let now = self.now;
        let node = &mut self.nodes[i];
        let mut ctx = Context { entropy: &mut node.entropy, crypto: &node.identity, effects: &mut effects };
        let result = f(&mut node.overlay, now, &mut ctx);
        assert!(
            node.overlay.deadline().is_none_or(|at| at >= now),
            "K1: {:?} at {now:?}",
            node.overlay.deadline()
        );
        for effect in effects.drain() {
            match effect {
                Effect::Fact(fact) => self.nodes[i].facts.push(fact),
                Effect::Send { to, payload } => {
                    self.nodes[i].sent += 1;
                    self.transmit(i, to, payload);
                }
                other => self.carry_out(i, other),
            }
        }
        result
    }

    pub(super) fn transmit(&mut self, from: usize, to: SocketAddr, payload: Bytes) {
        self.frames.push(payload.clone());
        let lost = self.entropy.below(100) < self.loss_percent;
        let Some(to) = (0..self.nodes.len()).find(|&i| address(i) == to) else {
            self.outside.push(payload);
            return;
        };
        if !lost && !self.are_apart(from, to) {
            let at = self.now + Duration::from_micros(5_000 + self.entropy.below(45_000));
            self.counter += 1;
            self.on_the_way.insert((at, self.counter), (from, to, payload));
        }
    }

    pub(super) fn are_apart(&self, a: usize, b: usize) -> bool {
        self.blocked.contains(&(a.min(b), a.max(b))) || self.cut.is_some_and(|n| (a < n) != (b < n))
    }

    pub(super) fn count(&mut self, i: usize, result: Result<(), DropReason>) {
        if let Err(reason) = result {
            *self.nodes[i].drops.entry(reason).or_default() += 1;
        }
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let arrival = self.on_the_way.first_key_value().map(|((at, _), _)| *at);
            let timer = self.nodes.iter().filter(|n| n.alive).filter_map(|n| n.overlay.deadline()).min();
            let beneath = self.underlay.next();
            let next = [arrival, timer, beneath].into_iter().flatten().min().filter(|&at| at <= end);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let (_, (from, to, payload)) = self.on_the_way.pop_first().unwrap();
                let heard = self.security != LinkSecurity::Dtls || self.underlay.are_associated(to, from);
                if self.nodes[to].alive && heard {
                    let result =
                        self.with(to, |o, now, ctx| o.handle_datagram(now, address(from), payload, ctx));
                    self.count(to, result);
                }
            }
            if beneath == Some(next) {
                self.step_underlay();
            }
            for i in 0..self.nodes.len() {
                if self.nodes[i].alive && self.nodes[i].overlay.deadline().is_some_and(|at| at <= next) {
                    self.with(i, |o, now, ctx| o.handle_timeout(now, ctx));
                }
            }
        }
        self.now = end;
    }

    pub(super) fn create(&mut self, i: usize) {
        self.with(i, |o, now, ctx| o.create(now, ctx)).unwrap();
    }

    pub(super) fn join(&mut self, i: usize, through: &[usize]) {
        let through: Vec<SocketAddr> = through.iter().map(|&n| address(n)).collect();
        self.with(i, |o, now, ctx| o.join(now, &through, ctx)).unwrap();
    }

    pub(super) fn kill(&mut self, i: usize) {
        self.nodes[i].alive = false;
    }

    pub(super) fn living(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&i| self.nodes[i].alive).collect()
    }

    pub(super) fn id(&self, i: usize) -> NodeId {
        self.nodes[i].overlay.node_id()
    }

    pub(super) fn store(&mut self, i: usize, ticket: u64, name: &str, value: &'static [u8], lifetime: u64) {
        let at = slot_of(self, i, name);
        self.with(i, |o, now, ctx| {
            o.store(now, Ticket(ticket), at, Bytes::from_static(value), seconds(lifetime), ctx)
        })
        .unwrap();
    }

    pub(super) fn fetch(&mut self, i: usize, ticket: u64, name: &str) {
        let resource = ResourceId::of_name(name.as_bytes());
        self.with(i, |o, now, ctx| o.fetch(now, Ticket(ticket), resource, KindId::CHANNEL, ctx)).unwrap();
    }

    pub(super) fn stored(&self, i: usize, ticket: u64) -> Option<Result<u64, Failure>> {
        self.nodes[i].facts.iter().find_map(|f| match f {
            Fact::Stored { ticket: t, result } if t.0 == ticket => {
                Some(result.clone().map(|kinds| kinds[0].generation_counter))
            }
            _ => None,
        })
    }

    pub(super) fn fetched(&self, i: usize, ticket: u64) -> Option<Result<Vec<Value>, Failure>> {
        self.nodes[i].facts.iter().find_map(|f| match f {
            Fact::Fetched { ticket: t, result, .. } if t.0 == ticket => Some(result.clone()),
            _ => None,
        })
    }

    /// Who holds anything under a name.
    pub(super) fn holders(&self, name: &str) -> BTreeSet<usize> {
        let resource = ResourceId::of_name(name.as_bytes());
        let holds = |&i: &usize| self.nodes[i].overlay.storage().resources().any(|r| *r == resource);
        self.living().into_iter().filter(holds).collect()
    }

    pub(super) fn responsible(&self, name: &str) -> usize {
        let resource = ResourceId::of_name(name.as_bytes());
        let is = |&i: &usize| self.nodes[i].overlay.is_responsible_for(&resource);
        let all: Vec<usize> = self.living().into_iter().filter(is).collect();
        assert_eq!(all.len(), 1, "responsible for {name}: {all:?}");
        all[0]
    }

    /// Everybody knows the three nearest on either side.
    pub(super) fn assert_ring(&self) {
        for i in self.living() {
            let topology = self.nodes[i].overlay.topology();
            let (predecessors, successors) = self.neighbors_of(i);
            assert!(self.nodes[i].overlay.is_joined(), "node {i} is no member");
            assert_eq!(topology.successors(), successors, "successors of node {i} at {:?}", self.now);
            assert_eq!(topology.predecessors(), predecessors, "predecessors of node {i}");
        }
    }

    /// Whether everybody does.
    pub(super) fn is_ring(&self) -> bool {
        self.living().into_iter().all(|i| {
            let overlay = &self.nodes[i].overlay;
            let known = (overlay.topology().predecessors(), overlay.topology().successors());
            overlay.is_joined() && known == self.neighbors_of(i)
        })
    }

    /// The three nearest living nodes before a node, and behind it.
    fn neighbors_of(&self, i: usize) -> (Vec<NodeId>, Vec<NodeId>) {
        let mut ids: Vec<NodeId> = self.living().into_iter().map(|i| self.id(i)).collect();
        ids.sort_unstable();
        let n = ids.len();
        let at = ids.iter().position(|id| *id == self.id(i)).unwrap();
        let nearest = |step: usize| (1..=3.min(n - 1)).map(|k| ids[(at + k * step) % n]).collect();
        (nearest(n - 1), nearest(1))
    }
}

/// The slot of a node's own record under a channel's name.
pub(super) fn slot_of(net: &Net, i: usize, name: &str) -> Address {
    let key = Bytes::copy_from_slice(&net.id(i).0);
    Address { resource: ResourceId::of_name(name.as_bytes()), kind: KindId::CHANNEL, slot: Slot::Key(key) }
}

/// A settled ring of `n` nodes with random Node-IDs; node 0 founded it.
pub(super) fn ring(n: usize, seed: u64) -> Net {
    ring_with_loss(n, seed, 0)
}

pub(super) fn ring_with_loss(n: usize, seed: u64, loss_percent: u64) -> Net {
    settled(n, Net { loss_percent, ..Net::new(seed) })
}

/// The same over links of this kind.
pub(super) fn ring_over(security: LinkSecurity, n: usize, seed: u64) -> Net {
    settled(n, Net { security, ..Net::new(seed) })
}

fn settled(n: usize, mut net: Net) -> Net {
    let loss_percent = net.loss_percent;
    for i in 0..n {
        let id = net.random_id();
        net.add(id);
        if i == 0 {
            net.create(0);
        } else {
            net.join(i, &[0]);
            net.run(seconds(if loss_percent == 0 { 5 } else { 60 }));
        }
    }
    net.run(seconds(60));
    net
}

pub(super) fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("channel {i}")).collect()
}
