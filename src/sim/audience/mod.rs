//! One source and its audience: whole nodes, packet by packet, and what each player had and when.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `journal` | what travelled and what arrived, by viewer and by kind |
//! | `player` | [`Player`]: what a player a little behind the source would have missed |
//! | `crash` | [`Crash`]: relayers go again and again, and what their descendants saw of it |
//! | `calm` | [`Calm`]: nobody dies, but the network has moods: what was done in vain, and what the upkeep costs |

mod calm;
mod crash;
mod journal;
mod player;

pub use calm::{Calm, Mood, Tally};
pub use crash::{Case, Crash, Farewell};
pub use journal::{Entry, Octets};
pub use player::{Player, Watched};

use super::machine::NodeIndex;
use super::network::{Config, Death, Network};
use super::underlay::Conditions;
use crate::env::{Entropy, InsecureIdentity, Seeded};
use crate::ids::{ChannelId, ChannelName, NodeId};
use crate::iptv::Profile;
use crate::node::{self, Addresses, ChannelStatus, CommandError, ConfigError, Event, Node};
use crate::time::{Duration, Instant, UnixMillis};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::RefCell;
use journal::Journal;

/// The simulation begins on 2026-01-01.
const NEW_YEAR: Duration = Duration::from_secs(1_767_225_600);
/// A node that has joined a small overlay has done so by then.
const SETTLING: Duration = Duration::from_secs(5);
/// Between two viewers of those that are there from the beginning.
const APART: Duration = Duration::from_millis(500);
/// What the nodes of a growing audience have to come to rest in.
const PATIENCE: Duration = Duration::from_secs(90);
/// Seven transport packets behind an RTP header.
const PACKET: usize = 12 + 7 * 188;
/// Between two pictures at which a decoder can start.
const GROUP: Duration = Duration::from_secs(1);

/// A node without security, the same in every run of a seed.
pub fn plain_node(
    now: Instant,
    at: NodeIndex,
    addresses: Addresses,
    (name, capacity, seed): (&str, u16, u64),
) -> Result<Node, ConfigError> {
    let mut config = node::Config::new(name, "p2piptv.invalid", addresses);
    config.policy = crate::iptv::Config::new(Profile::Default, capacity);
    let mut entropy = Seeded::new(seed << 32 | u64::from(at.0));
    let mut id = NodeId::default();
    entropy.fill(&mut id.0);
    let mut node = Node::new(config, Box::new(entropy), Box::new(InsecureIdentity::new(id)))?;
    // Records carry the wall-clock time of their storage.
    node.handle_wall_clock(now, UnixMillis(now.as_millis()) + NEW_YEAR);
    Ok(node)
}

/// What an audience is to be.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Everything random follows from it.
    pub seed: u64,
    /// How many watch.
    pub viewers: u32,
    /// Children of the source.
    pub source_slots: u16,
    /// Children of each viewer.
    pub slots: u16,
    /// Every path.
    pub conditions: Conditions,
    /// Bits of RTP a second.
    pub rate: u64,
}

impl Setting {
    /// Forty viewers of 2 Mbit/s over paths of this round-trip time, in each direction with up to 30 ms of jitter on top.
    pub fn new(seed: u64, round_trip: Duration) -> Self {
        let conditions = Conditions::constant(round_trip / 2).with_jitter(Duration::from_millis(30));
        Setting { seed, viewers: 40, source_slots: 4, slots: 2, conditions, rate: 2_000_000 }
    }

    /// Between two packets.
    pub fn interval(&self) -> Duration {
        Duration::from_micros(PACKET as u64 * 8 * 1_000_000 / self.rate.max(1))
    }
}

/// An audience could not be brought together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// A command was refused.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A configuration was refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Not everybody plays.
    #[error("not everybody had a picture in time")]
    NoPicture,
    /// The source or the bootstrap node is gone.
    #[error("the source or the bootstrap node is gone")]
    Gone,
}

/// One viewer.
#[derive(Clone, Debug)]
struct Seat {
    name: String,
    channel: Option<ChannelId>,
}

/// A source that sends and viewers that watch, on a simulated network.
pub struct Audience {
    net: Network<Node>,
    setting: Setting,
    name: ChannelName,
    bootstrap: NodeIndex,
    source: NodeIndex,
    channel: ChannelId,
    viewers: BTreeMap<NodeIndex, Seat>,
    /// Names of all viewers that ever were.
    entered: u32,
    journal: Rc<RefCell<Journal>>,
    events: Vec<(Instant, NodeIndex, Event)>,
    due: Instant,
    number: u64,
}

impl Audience {
    /// A bootstrap node and a source that is on air, and nobody who watches.
    pub fn new(setting: Setting) -> Result<Self, Trouble> {
        let (seed, conditions) = (setting.seed, setting.conditions);
        let config = Config { seed, conditions, trace_lines: 0, wake_early_every: 0, ..Config::default() };
        let mut net = Network::new(config);
        let journal = Rc::new(RefCell::new(Journal::default()));
        let (observer, watcher) = (Rc::clone(&journal), Rc::clone(&journal));
        net.observe(move |record| observer.borrow_mut().record(record));
        net.watch(move |now, node, _, packet| watcher.borrow_mut().packet(now, node, packet));
        let bootstrap = add(&mut net, "bootstrap", 0, seed)?;
        let entry = net.addresses(bootstrap).overlay;
        net.command(bootstrap, |node, now| node.create(now)).ok_or(Trouble::Gone)??;
        let source = add(&mut net, "source", setting.source_slots, seed)?;
        net.command(source, |node, now| node.join(now, &[entry])).ok_or(Trouble::Gone)??;
        net.run_for(SETTLING);
        let name = ChannelName::new("100").ok_or(Trouble::Gone)?;
        let channel =
            net.command(source, |node, now| node.publish(now, &name, &[])).ok_or(Trouble::Gone)??;
        net.run_for(SETTLING);
        let due = net.now();
        let viewers = BTreeMap::new();
        let events = Vec::new();
        Ok(Audience {
            net,
            setting,
            name,
            bootstrap,
            source,
            channel,
            viewers,
            entered: 0,
            journal,
            events,
            due,
            number: 0,
        })
    }

    /// Lets all viewers of the setting in, one after the other, until everybody plays. `progress` is told how many have
    /// entered.
    pub fn grow(&mut self, mut progress: impl FnMut(u32, Instant)) -> Result<(), Trouble> {
        for n in 0..self.setting.viewers {
            self.enter()?;
            self.run_for(APART)?;
            progress(n + 1, self.now());
        }
        if self.wait_for(PATIENCE, Self::is_whole)? { Ok(()) } else { Err(Trouble::NoPicture) }
    }

    /// Somebody new comes to watch.
    pub fn enter(&mut self) -> Result<NodeIndex, Trouble> {
        let name = format!("v{}", self.entered);
        self.entered += 1;
        let node = add(&mut self.net, &name, self.setting.slots, self.setting.seed)?;
        self.journal.borrow_mut().enter(node, self.net.now());
        self.viewers.insert(node, Seat { name, channel: None });
        self.join(node)?;
        Ok(node)
    }

    fn join(&mut self, node: NodeIndex) -> Result<(), Trouble> {
        let entry = self.net.addresses(self.bootstrap).overlay;
        if let Some(joining) = self.net.command(node, |node, now| node.join(now, &[entry])) {
            joining?;
        }
        Ok(())
    }

    /// A viewer is gone, without a word to anybody.
    pub fn kill(&mut self, node: NodeIndex) {
        self.net.kill(node, Death::Host);
        self.viewers.remove(&node);
    }

    /// A viewer leaves by plan: it tells its children, and serves them for a while.
    pub fn leave(&mut self, node: NodeIndex) {
        self.net.command(node, |node, now| node.leave(now));
        self.viewers.remove(&node);
    }

    /// The source sends nothing for so long, as an encoder does that has lost its input.
    pub fn rest(&mut self, time: Duration) {
        self.due += time;
    }

    // ---- time

    /// Lets time pass, with the source sending.
    pub fn run_until(&mut self, end: Instant) -> Result<(), Trouble> {
        while self.due <= end {
            let due = self.due;
            self.net.run_until(due);
            self.work_through_events()?;
            let (packet, channel) = (self.packet(), self.channel);
            self.journal.borrow_mut().sent(self.net.now(), self.number);
            self.number += 1;
            self.due += self.setting.interval();
            self.net
                .command(self.source, |node, now| node.push_media(now, channel, packet))
                .ok_or(Trouble::Gone)??;
        }
        self.net.run_until(end);
        self.work_through_events()
    }

    /// The same for so long.
    pub fn run_for(&mut self, time: Duration) -> Result<(), Trouble> {
        self.run_until(self.now() + time)
    }

    /// Lets time pass until something holds, for so long at most; looks ten times a second.
    pub fn wait_for(
        &mut self,
        time: Duration,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> Result<bool, Trouble> {
        let end = self.now() + time;
        while self.now() < end {
            if holds(self) {
                return Ok(true);
            }
            self.run_for(Duration::from_millis(100))?;
        }
        Ok(holds(self))
    }

    fn work_through_events(&mut self) -> Result<(), Trouble> {
        for (at, node, event) in self.net.take_events() {
            match event {
                Event::Joined if self.viewers.contains_key(&node) => {
                    self.journal.borrow_mut().tuned(node, at);
                    let name = self.name.clone();
                    let tuned = self.net.command(node, |node, now| node.tune(now, &name)).transpose()?;
                    if let Some(seat) = self.viewers.get_mut(&node) {
                        seat.channel = tuned;
                    }
                }
                Event::JoinFailed if self.viewers.contains_key(&node) => self.join(node)?,
                _ => {}
            }
            self.events.push((at, node, event));
        }
        Ok(())
    }

    /// A packet of a transport stream, in which a decoder can start once in a while.
    fn packet(&self) -> Bytes {
        let mut packet = Vec::with_capacity(PACKET);
        packet.extend([0x80, 33]);
        packet.extend((self.number as u16).to_be_bytes());
        let clock = self.number * self.setting.interval().as_micros() as u64 * 9 / 100;
        packet.extend((clock as u32).to_be_bytes());
        packet.extend(0x5eed_u32.to_be_bytes());
        let per_group = (GROUP.as_micros() / self.setting.interval().as_micros().max(1)).max(1) as u64;
        for n in 0..7 {
            let begin = packet.len();
            match n == 0 && self.number.is_multiple_of(per_group) {
                // An adaptation field with the random access indicator, then the head of a picture.
                true => packet.extend([0x47, 0x41, 0, 0x30, 1, 0x40, 0, 0, 1, 0xe0]),
                false => packet.extend([0x47, 0x01, 0, 0x10]),
            }
            packet.resize(begin + 188, 0xff);
        }
        packet.into()
    }

    // ---- looking

    /// The time.
    pub const fn now(&self) -> Instant {
        self.net.now()
    }

    /// The network, for its trouble and its records.
    pub const fn network_mut(&mut self) -> &mut Network<Node> {
        &mut self.net
    }

    /// The hash of all that was sent.
    pub const fn trace_hash(&self) -> u64 {
        self.net.trace_hash()
    }

    /// Who watches.
    pub fn viewers(&self) -> impl Iterator<Item = NodeIndex> + '_ {
        self.viewers.keys().copied()
    }

    /// The source.
    pub const fn source(&self) -> NodeIndex {
        self.source
    }

    /// How the channel stands at a viewer; `None` before it has tuned.
    pub fn status(&self, viewer: NodeIndex) -> Option<ChannelStatus> {
        self.net.machine(viewer)?.status(self.viewers.get(&viewer)?.channel?)
    }

    /// Everybody plays, in an ordinary slot.
    pub fn is_whole(&self) -> bool {
        self.viewers().all(|v| self.status(v).is_some_and(|s| s.playing && !s.rescue && s.parent.is_some()))
    }

    /// Everybody below a viewer, with the hops from it.
    pub fn descendants(&self, of: NodeIndex) -> Vec<(NodeIndex, u32)> {
        let by_name: BTreeMap<&str, NodeIndex> =
            self.viewers.iter().map(|(&node, seat)| (seat.name.as_str(), node)).collect();
        let parent = |v: NodeIndex| by_name.get(self.status(v)?.parent?.name.as_str()).copied();
        let parents: BTreeMap<NodeIndex, NodeIndex> =
            self.viewers().filter_map(|v| Some((v, parent(v)?))).collect();
        let hops = |viewer: NodeIndex| {
            let (mut at, mut hops) = (viewer, 0);
            while hops < parents.len() as u32 {
                at = *parents.get(&at)?;
                hops += 1;
                if at == of {
                    return Some((viewer, hops));
                }
            }
            None
        };
        self.viewers().filter_map(hops).collect()
    }

    /// What was told since the last call.
    pub fn take_events(&mut self) -> Vec<(Instant, NodeIndex, Event)> {
        core::mem::take(&mut self.events)
    }

    /// How viewers came to their first packets, of all that have.
    pub fn entries(&self) -> Vec<Entry> {
        self.journal.borrow().entries()
    }

    /// What was sent so far, by kind.
    pub fn octets(&self) -> Octets {
        self.journal.borrow().octets()
    }

    /// What of a viewer's media was there when a player wanted it, from a moment to another one.
    pub fn watched(&self, viewer: NodeIndex, player: Player, from: Instant, to: Instant) -> Option<Watched> {
        self.journal.borrow().watched(viewer, player, from, to)
    }

    /// Forgets what arrived before this.
    pub fn forget(&mut self, before: Instant) {
        self.journal.borrow_mut().forget(before);
    }
}

fn add(net: &mut Network<Node>, name: &str, capacity: u16, seed: u64) -> Result<NodeIndex, ConfigError> {
    let now = net.now();
    let at = NodeIndex(net.nodes().count() as u32);
    let node = plain_node(now, at, net.addresses(at), (name, capacity, seed))?;
    Ok(net.add(|_, _| node))
}
