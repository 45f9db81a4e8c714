//! The machines, their datagrams, and what can befall them.

use super::checked::{Checked, Fnv, Violation};
use super::machine::{Family, Machine, NodeIndex};
use super::queue::{Queue, Ticket};
use super::streams::{Segment, Streams};
use super::trace::{Fate, Record, What};
use super::underlay::{Conditions, happens};
use crate::env::{Entropy, Seeded};
use crate::ids::ChannelId;
use crate::node::{Addresses, Datagram, Event, Output};
use crate::stats::{Plane, Traffic};
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Write;
use core::net::SocketAddr;

/// How the simulated world is.
#[derive(Clone, Debug)]
pub struct Config {
    /// Everything random follows from it. The machines bring their own entropy.
    pub seed: u64,
    /// The internet protocol.
    pub family: Family,
    /// Every path that has no conditions of its own.
    pub conditions: Conditions,
    /// A wake-up comes up to this much after the deadline, as a busy host's does.
    pub lateness: Duration,
    /// Before every so-manieth call the machine is woken early, which it must not notice (K12). 0 is never.
    pub wake_early_every: u64,
    /// Datagrams that wait for a frozen node; what comes on top is lost.
    pub receive_buffer: u32,
    /// How long TCP goes on trying.
    pub tcp_timeout: Duration,
    /// Lines of trace to keep for [`Network::trace`].
    pub trace_lines: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            seed: 0,
            family: Family::V4,
            conditions: Conditions::default(),
            lateness: Duration::ZERO,
            wake_early_every: 7,
            receive_buffer: 256,
            tcp_timeout: Duration::from_secs(20),
            trace_lines: 200,
        }
    }
}

/// How a node goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Its process ends and the kernel lives on: streams are reset, datagrams come back as ICMP errors.
    Process,
    /// Its power goes off: packets vanish, and nobody is told.
    Host,
}

/// What one node gave to its player for one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Played {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the first one came.
    pub first: Instant,
    /// When the last one came.
    pub last: Instant,
    /// The longest time between two packets.
    pub longest_gap: Duration,
}

/// What is on its way.
pub(super) enum Happening {
    Wake(NodeIndex),
    Arrive { to: NodeIndex, plane: Plane, from: SocketAddr, payload: Bytes, waited: bool },
    Unreachable { node: NodeIndex, plane: Plane, to: SocketAddr },
    Segment(Segment),
}

/// One computer with one machine on it.
pub(super) struct Host<M> {
    pub(super) machine: Option<Checked<M>>,
    pub(super) death: Death,
    pub(super) frozen_until: Instant,
    island: u8,
    /// What waits in front of its uplink.
    queue: Duration,
    waiting: u32,
    wake: Option<(Instant, Ticket)>,
    played: Vec<(ChannelId, Played)>,
    sent: [Traffic; 3],
    received: [Traffic; 3],
}

type Observer = Box<dyn FnMut(&Record)>;
type Viewer = Box<dyn FnMut(Instant, NodeIndex, ChannelId, &Bytes)>;
type Alteration = Box<dyn FnMut(Plane, SocketAddr, Bytes) -> Bytes>;

/// Machines on one virtual clock, and the network between them.
///
/// # Panics
///
/// When a machine breaks a promise that [`Checked`] can see: the message holds the end of the trace. This is a
/// test's failure, and no peer's doing.
pub struct Network<M> {
    pub(super) config: Config,
    pub(super) now: Instant,
    pub(super) queue: Queue<Happening>,
    pub(super) hosts: Vec<Host<M>>,
    pub(super) streams: Streams,
    dice: Seeded,
    paths: BTreeMap<(NodeIndex, NodeIndex), Conditions>,
    cuts: BTreeSet<(NodeIndex, NodeIndex)>,
    /// The last arrival on each path that has jitter, so that queues keep their order.
    arrivals: BTreeMap<(NodeIndex, NodeIndex), Instant>,
    calls: u64,
    hash: Fnv,
    events: Vec<(Instant, NodeIndex, Event)>,
    trace: VecDeque<Record>,
    observers: Vec<Observer>,
    viewers: Vec<Viewer>,
    alterations: BTreeMap<NodeIndex, Alteration>,
}

impl<M: Machine> Network<M> {
    /// An empty network at time zero.
    pub fn new(config: Config) -> Self {
        Network {
            dice: Seeded::new(config.seed),
            config,
            now: Instant::ZERO,
            queue: Queue::new(),
            hosts: Vec::new(),
            streams: Streams::default(),
            paths: BTreeMap::new(),
            cuts: BTreeSet::new(),
            arrivals: BTreeMap::new(),
            calls: 0,
            hash: Fnv::default(),
            events: Vec::new(),
            trace: VecDeque::new(),
            observers: Vec::new(),
            viewers: Vec::new(),
            alterations: BTreeMap::new(),
        }
    }

    /// Adds a machine, which `make` builds for its place and its addresses.
    pub fn add(&mut self, make: impl FnOnce(NodeIndex, Addresses) -> M) -> NodeIndex {
        let node = NodeIndex(self.hosts.len() as u32);
        let machine = make(node, self.addresses(node));
        self.hosts.push(Host {
            machine: Some(Checked::new(machine)),
            death: Death::Host,
            frozen_until: Instant::ZERO,
            island: 0,
            queue: Duration::ZERO,
            waiting: 0,
            wake: None,
            played: Vec::new(),
            sent: Default::default(),
            received: Default::default(),
        });
        self.arm(node);
        node
    }

    /// Every node that was added, dead or alive.
    pub fn nodes(&self) -> impl Iterator<Item = NodeIndex> + use<M> {
        (0..self.hosts.len() as u32).map(NodeIndex)
    }

    /// A node's sockets.
    pub fn addresses(&self, node: NodeIndex) -> Addresses {
        node.addresses(self.config.family)
    }

    /// A node's machine; `None` once it was killed.
    pub fn machine(&self, node: NodeIndex) -> Option<&M> {
        Some(self.hosts.get(node.at())?.machine.as_ref()?.machine())
    }

    /// The time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Calls a method of a machine as its user does: a command, or an input that the network does not know.
    /// `None` when the node is dead.
    pub fn command<R>(&mut self, node: NodeIndex, command: impl FnOnce(&mut M, Instant) -> R) -> Option<R> {
        self.input(node, command)
    }

    /// A datagram from anywhere, a stranger's address included, arrives at once.
    pub fn inject(&mut self, node: NodeIndex, plane: Plane, from: SocketAddr, payload: Bytes) {
        self.arrive(node, plane, from, payload, false);
    }

    // ---- running

    /// Lets the next thing happen. `None` when nothing ever will.
    pub fn step(&mut self) -> Option<Instant> {
        let (at, happening) = self.queue.pop()?;
        self.now = self.now.max(at);
        match happening {
            Happening::Wake(node) => self.wake(node),
            Happening::Arrive { to, plane, from, payload, waited } => {
                self.arrive(to, plane, from, payload, waited);
            }
            Happening::Unreachable { node, plane, to } => {
                self.input(node, |machine, now| machine.handle_unreachable(now, plane, to));
            }
            Happening::Segment(segment) => self.segment_arrives(segment),
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

    /// Runs until `done` holds, at most for `limit`. Whether it held.
    pub fn wait_for(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !done(self) {
            if self.queue.next_time().is_none_or(|at| at > end) {
                self.now = self.now.max(end);
                return done(self);
            }
            self.step();
        }
        true
    }

    // ---- trouble

    /// The conditions of every path that has none of its own, from now on.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.config.conditions = conditions;
    }

    /// The conditions of one path, in one direction, from now on.
    pub fn set_path(&mut self, from: NodeIndex, to: NodeIndex, conditions: Conditions) {
        self.paths.insert((from, to), conditions);
    }

    /// From now on what leaves a node waits so long in front of its uplink. Packets of a path that has jitter keep their order
    /// when the queue shrinks.
    pub fn set_uplink_queue(&mut self, node: NodeIndex, queue: Duration) {
        if let Some(host) = self.hosts.get_mut(node.at()) {
            host.queue = queue;
        }
    }

    /// Cuts a path in one direction.
    pub fn cut(&mut self, from: NodeIndex, to: NodeIndex) {
        self.cuts.insert((from, to));
    }

    /// Moves nodes to an island: only nodes of one island reach each other. All start on island 0.
    pub fn partition(&mut self, nodes: &[NodeIndex], island: u8) {
        for node in nodes {
            if let Some(host) = self.hosts.get_mut(node.at()) {
                host.island = island;
            }
        }
    }

    /// Mends every cut and joins all islands.
    pub fn heal(&mut self) {
        self.cuts.clear();
        self.hosts.iter_mut().for_each(|host| host.island = 0);
    }

    /// Ends a node, which says goodbye to nobody. Returns its machine as it was.
    pub fn kill(&mut self, node: NodeIndex, death: Death) -> Option<M> {
        let host = self.hosts.get_mut(node.at())?;
        let machine = host.machine.take()?;
        host.death = death;
        if let Some((_, ticket)) = host.wake.take() {
            self.queue.cancel(ticket);
        }
        self.befall(node, if death == Death::Process { "is killed" } else { "loses its power" });
        self.drop_streams_of(node, death);
        Some(machine.into_inner())
    }

    /// A killed node starts again, as a new machine at the old addresses.
    pub fn restart(&mut self, node: NodeIndex, machine: M) {
        if let Some(host) = self.hosts.get_mut(node.at()).filter(|host| host.machine.is_none()) {
            host.machine = Some(Checked::new(machine));
            host.frozen_until = Instant::ZERO;
            self.befall(node, "starts again");
            self.arm(node);
        }
    }

    /// Freezes a node: neither packets nor time reach it for so long, then all at once.
    pub fn freeze(&mut self, node: NodeIndex, time: Duration) {
        let until = self.now + time;
        if let Some(host) = self.hosts.get_mut(node.at()) {
            host.frozen_until = host.frozen_until.max(until);
            self.befall(node, "is frozen");
        }
    }

    // ---- looking

    /// Takes what the nodes have said to their users since the last call.
    pub fn take_events(&mut self) -> Vec<(Instant, NodeIndex, Event)> {
        core::mem::take(&mut self.events)
    }

    /// What a node gave to its player.
    pub fn played(&self, node: NodeIndex, channel: ChannelId) -> Option<&Played> {
        let played = &self.hosts.get(node.at())?.played;
        played.iter().find(|(c, _)| *c == channel).map(|(_, p)| p)
    }

    /// What a node sent on a plane, without UDP, TCP and IP headers.
    pub fn sent(&self, node: NodeIndex, plane: Plane) -> Traffic {
        self.hosts.get(node.at()).map_or_else(Traffic::default, |host| host.sent[plane as usize])
    }

    /// What reached a node on a plane.
    pub fn received(&self, node: NodeIndex, plane: Plane) -> Traffic {
        self.hosts.get(node.at()).map_or_else(Traffic::default, |host| host.received[plane as usize])
    }

    /// Shows every record to `observer`, from now on.
    pub fn observe(&mut self, observer: impl FnMut(&Record) + 'static) {
        self.observers.push(Box::new(observer));
    }

    /// Shows every packet that a node gives to its player to `viewer`, from now on.
    pub fn watch(&mut self, viewer: impl FnMut(Instant, NodeIndex, ChannelId, &Bytes) + 'static) {
        self.viewers.push(Box::new(viewer));
    }

    /// From now on this node is a liar: each datagram that it sends to an address leaves as what `alter` makes of it.
    pub fn alter(&mut self, node: NodeIndex, alter: impl FnMut(Plane, SocketAddr, Bytes) -> Bytes + 'static) {
        self.alterations.insert(node, Box::new(alter));
    }

    /// The last lines of the trace.
    pub fn trace(&self) -> String {
        self.trace.iter().fold(String::new(), |mut text, record| {
            // A String takes everything.
            let _ = writeln!(text, "{record}");
            text
        })
    }

    /// The hash of every output of every machine so far: the same for two runs that did the same (K9).
    pub const fn trace_hash(&self) -> u64 {
        self.hash.value()
    }

    // ---- inside

    /// Whether packets get from one node to the other at this moment.
    pub(super) fn connected(&self, from: NodeIndex, to: NodeIndex) -> bool {
        let island = |node: NodeIndex| self.hosts.get(node.at()).map(|host| host.island);
        island(from) == island(to) && !self.cuts.contains(&(from, to))
    }

    /// The path between two nodes, and its latency.
    pub(super) fn path(&self, from: NodeIndex, to: NodeIndex) -> (Conditions, Duration) {
        const LOOPBACK: Conditions = Conditions::constant(Duration::from_micros(50));
        let conditions = match self.paths.get(&(from, to)) {
            Some(own) => *own,
            None if from == to => LOOPBACK,
            None => self.config.conditions,
        };
        let queue =
            self.hosts.get(from.at()).filter(|_| from != to).map_or(Duration::ZERO, |host| host.queue);
        (conditions, conditions.latency.between(from.0, to.0, self.config.seed) + queue)
    }

    pub(super) fn dice(&mut self) -> &mut Seeded {
        &mut self.dice
    }

    /// One call of a machine, with everything that follows from it.
    pub(super) fn input<R>(
        &mut self,
        node: NodeIndex,
        input: impl FnOnce(&mut M, Instant) -> R,
    ) -> Option<R> {
        let now = self.now;
        let machine = self.hosts.get_mut(node.at())?.machine.as_mut()?;
        self.calls += 1;
        let early = match self.config.wake_early_every {
            0 => Ok(()),
            n if self.calls.is_multiple_of(n) => machine.wake_early(now),
            _ => Ok(()),
        };
        let mut outputs = Vec::new();
        let result = early.and_then(|()| {
            machine.step(
                now,
                |machine| input(machine, now),
                |machine, output| {
                    // The children are those of this moment, so they are asked for before the next output.
                    let children = match &output {
                        Output::Media { channel, .. } => machine.children(*channel).to_vec(),
                        _ => Vec::new(),
                    };
                    outputs.push((output, children));
                },
            )
        });
        let result = match result {
            Ok(result) => result,
            Err(violation) => self.fail(node, &violation),
        };
        for (output, children) in outputs {
            self.hash.bytes(&node.0.to_be_bytes());
            self.hash.bytes(&now.as_micros().to_be_bytes());
            self.hash.output(&output);
            self.perform(node, output, &children);
        }
        self.arm(node);
        Some(result)
    }

    #[expect(clippy::panic, reason = "a broken promise is a failed test, and the trace is what explains it")]
    fn fail(&self, node: NodeIndex, violation: &Violation) -> ! {
        panic!("seed {}, {node}: {violation}\n{}", self.config.seed, self.trace());
    }

    fn perform(&mut self, node: NodeIndex, output: Output, children: &[SocketAddr]) {
        match output {
            Output::Transmit { plane, to, payload } => self.transmit(node, plane, to, payload),
            Output::Media { channel, packets } => {
                for packet in &packets {
                    self.play(node, channel, packet);
                    for &child in children {
                        self.transmit(node, Plane::Media, child, packet.clone());
                    }
                }
                if let Some(machine) = self.hosts.get_mut(node.at()).and_then(|h| h.machine.as_mut()) {
                    machine.recycle(packets);
                }
            }
            Output::Connect { stream, plane, to } => self.connect(node, stream, plane, to),
            Output::Write { stream, bytes } => self.write(node, stream, bytes),
            Output::Close { stream } => self.close(node, stream),
            // Nodes of a simulation sign for themselves.
            Output::Sign { .. } => {}
            Output::Event(event) => {
                self.record(Record::Said { at: self.now, node, event: event.clone() });
                self.events.push((self.now, node, event));
            }
        }
    }

    fn play(&mut self, node: NodeIndex, channel: ChannelId, packet: &Bytes) {
        let now = self.now;
        self.viewers.iter_mut().for_each(|viewer| viewer(now, node, channel, packet));
        let Some(host) = self.hosts.get_mut(node.at()) else { return };
        let bytes = packet.len() as u64;
        match host.played.iter_mut().find(|(c, _)| *c == channel) {
            Some((_, p)) => {
                p.packets += 1;
                p.bytes += bytes;
                p.longest_gap = p.longest_gap.max(now.since(p.last));
                p.last = now;
            }
            None => {
                let p = Played { packets: 1, bytes, first: now, last: now, longest_gap: Duration::ZERO };
                host.played.push((channel, p));
            }
        }
    }

    fn transmit(&mut self, node: NodeIndex, plane: Plane, to: SocketAddr, payload: Bytes) {
        let payload = match self.alterations.get_mut(&node) {
            Some(alter) => alter(plane, to, payload),
            None => payload,
        };
        self.count_sent(node, plane, payload.len());
        let from = self.addresses(node).of(plane);
        let fate = self.send(node, from, to, &payload, false);
        self.packet(from, to, plane, What::Datagram { payload: payload.clone(), fate });
        let (conditions, _) = NodeIndex::of(to.ip()).map_or_else(Default::default, |to| self.path(node, to));
        if matches!(fate, Fate::Arrives(_)) && happens(conditions.duplication, &mut self.dice) {
            let fate = self.send(node, from, to, &payload, true);
            self.packet(from, to, plane, What::Datagram { payload, fate });
        }
    }

    /// Puts a datagram on its way and says what becomes of it.
    fn send(
        &mut self,
        node: NodeIndex,
        from: SocketAddr,
        to: SocketAddr,
        payload: &Bytes,
        again: bool,
    ) -> Fate {
        let target = NodeIndex::of(to.ip()).filter(|target| target.at() < self.hosts.len());
        let (Some(target), Some(plane)) = (target, NodeIndex::plane_of(to.port())) else {
            return Fate::NoSuchAddress;
        };
        if !self.connected(node, target) {
            return Fate::Cut;
        }
        let (conditions, latency) = self.path(node, target);
        if !again && happens(conditions.loss, &mut self.dice) {
            return Fate::Lost;
        }
        let mut at = self.now + latency + conditions.queueing(&mut self.dice);
        if !conditions.jitter.is_zero() {
            let last = self.arrivals.entry((node, target)).or_default();
            at = at.max(*last);
            *last = at;
        }
        if happens(conditions.reordering, &mut self.dice) {
            at += conditions.reordering_delay;
        }
        let payload = payload.clone();
        self.queue.schedule(at, Happening::Arrive { to: target, plane, from, payload, waited: false });
        let delay = at.since(self.now);
        if again { Fate::ArrivesAgain(delay) } else { Fate::Arrives(delay) }
    }

    fn arrive(&mut self, node: NodeIndex, plane: Plane, from: SocketAddr, payload: Bytes, waited: bool) {
        let to = self.addresses(node).of(plane);
        let (now, limit) = (self.now, self.config.receive_buffer);
        let Some(host) = self.hosts.get_mut(node.at()) else { return };
        host.waiting -= u32::from(waited);
        if host.machine.is_none() {
            if host.death == Death::Process {
                self.unreachable(node, to, from, plane);
            }
            return;
        }
        if now < host.frozen_until {
            if host.waiting >= limit {
                self.packet(from, to, plane, What::Datagram { payload, fate: Fate::BufferFull });
                return;
            }
            host.waiting += 1;
            let at = host.frozen_until;
            self.queue.schedule(at, Happening::Arrive { to: node, plane, from, payload, waited: true });
            return;
        }
        host.received[plane as usize].count(payload.len());
        self.input(node, |machine, now| machine.handle_datagram(now, Datagram { plane, from, payload }));
    }

    /// The kernel of `node` tells the sender that nothing listens.
    fn unreachable(&mut self, node: NodeIndex, dead: SocketAddr, sender: SocketAddr, plane: Plane) {
        let Some(target) = NodeIndex::of(sender.ip()).filter(|&target| self.connected(node, target)) else {
            return;
        };
        self.packet(dead, sender, plane, What::Unreachable);
        let (_, latency) = self.path(node, target);
        let plane = NodeIndex::plane_of(sender.port()).unwrap_or(plane);
        self.queue.schedule(self.now + latency, Happening::Unreachable { node: target, plane, to: dead });
    }

    fn wake(&mut self, node: NodeIndex) {
        let Some(host) = self.hosts.get_mut(node.at()) else { return };
        host.wake = None;
        let due = host.machine.as_ref().and_then(Checked::deadline).is_some_and(|d| d <= self.now);
        if due && self.now >= host.frozen_until {
            self.input(node, |machine, now| machine.handle_timeout(now));
        } else {
            self.arm(node);
        }
    }

    /// Makes sure that a node is woken at its deadline. A wake-up that comes too early is kept: it only arms again.
    fn arm(&mut self, node: NodeIndex) {
        let Some(host) = self.hosts.get_mut(node.at()) else { return };
        let Some(deadline) = host.machine.as_ref().and_then(Checked::deadline) else { return };
        let at = deadline.max(host.frozen_until).max(self.now);
        if host.wake.is_some_and(|(armed, _)| armed <= at + self.config.lateness) {
            return;
        }
        let late = Duration::from_micros(self.dice.below(self.config.lateness.as_micros() as u64 + 1));
        let ticket = self.queue.schedule(at + late, Happening::Wake(node));
        if let Some((_, old)) = host.wake.replace((at + late, ticket)) {
            self.queue.cancel(old);
        }
    }

    pub(super) fn count_sent(&mut self, node: NodeIndex, plane: Plane, bytes: usize) {
        if let Some(host) = self.hosts.get_mut(node.at()) {
            host.sent[plane as usize].count(bytes);
        }
    }

    pub(super) fn count_received(&mut self, node: NodeIndex, plane: Plane, bytes: usize) {
        if let Some(host) = self.hosts.get_mut(node.at()) {
            host.received[plane as usize].count(bytes);
        }
    }

    pub(super) fn packet(&mut self, from: SocketAddr, to: SocketAddr, plane: Plane, what: What) {
        self.record(Record::Packet { at: self.now, from, to, plane, what });
    }

    fn befall(&mut self, node: NodeIndex, what: &'static str) {
        self.record(Record::Befell { at: self.now, node, what });
    }

    fn record(&mut self, record: Record) {
        self.observers.iter_mut().for_each(|observer| observer(&record));
        if self.trace.len() >= self.config.trace_lines {
            self.trace.pop_front();
        }
        if self.config.trace_lines > 0 {
            self.trace.push_back(record);
        }
    }
}
