//! A cut: two halves of one overlay that do not reach each other for a while, and what is left of it afterwards.

use super::audit::{Audit, Replicas};
use super::growth::Growth;
use super::network::{Config, OverlayNetwork};
use crate::chord::REPLICAS;
use crate::ids::{NodeId, ResourceId};
use crate::reload::codec::KindId;
use crate::reload::overlay::{Address, ConfigError, Fact, Slot};
use crate::sim::machine::NodeIndex;
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use bytes::Bytes;

const KIND: KindId = KindId::CHANNEL;
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

struct Value {
    resource: ResourceId,
    writer: NodeIndex,
    key: NodeId,
    /// The version that the overlay accepted last.
    version: &'static [u8],
}

/// How far the halves agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// The tables of all members, as one ring.
    pub ring: Audit,
    /// Values that are on exactly as many members as shall hold them.
    pub placed: usize,
    /// Values of which every holder has the newest version.
    pub newest: usize,
    /// Values in all.
    pub values: usize,
}

impl Agreement {
    /// Whether it is one ring, with every value in its newest version where it belongs.
    pub const fn is_whole(&self) -> bool {
        self.ring.is_whole() && self.placed == self.values && self.newest == self.values
    }
}

/// An overlay that is cut into two halves. Every writer writes once before the cut and once more during it, on its side.
pub struct Partition {
    net: OverlayNetwork,
    growth: Growth,
    values: Vec<Value>,
}

impl Partition {
    /// An overlay of one node, which is everybody's bootstrap node.
    pub fn new(world: Config) -> Result<Self, ConfigError> {
        let mut net = OverlayNetwork::new(world);
        let founder = net.add()?;
        // A node that has just been added is in no overlay.
        let _ = net.create(founder);
        let mut growth = Growth::new();
        growth.bootstraps.push(founder);
        Ok(Partition { net, growth, values: Vec::new() })
    }

    /// The network.
    pub const fn network(&self) -> &OverlayNetwork {
        &self.net
    }

    /// Lets the ring grow to this many nodes, and members store this many values.
    pub fn grow(
        &mut self,
        nodes: usize,
        values: usize,
        progress: impl FnMut(&OverlayNetwork, &Growth),
    ) -> Result<(), ConfigError> {
        self.growth.grow(&mut self.net, nodes, progress)?;
        self.net.run_for(Duration::from_secs(60));
        for i in 0..values {
            let Some(writer) = self.net.random_member() else { continue };
            let key = self.net.overlay(writer).map_or(NodeId::WILDCARD, |o| o.node_id());
            let resource = ResourceId::of_name(format!("value {i}").as_bytes());
            self.values.push(Value { resource, writer, key, version: b"" });
        }
        self.write(b"first");
        Ok(())
    }

    /// Cuts every second node off.
    pub fn cut(&mut self) {
        let nodes: Vec<NodeIndex> = self.net.living().to_vec();
        for node in nodes.into_iter().filter(|n| n.0 % 2 == 1) {
            self.net.partition(node, 1);
        }
    }

    /// Every writer writes a newer version of its value, on its side of the cut.
    pub fn rewrite(&mut self) {
        self.write(b"second");
    }

    fn write(&mut self, version: &'static [u8]) {
        let mut waiting = BTreeMap::new();
        for (i, value) in self.values.iter().enumerate() {
            let slot = Slot::Key(Bytes::copy_from_slice(&value.key.0));
            let address = Address { resource: value.resource.clone(), kind: KIND, slot };
            if let Ok(ticket) = self.net.store(value.writer, address, Bytes::from_static(version), LIFETIME) {
                waiting.insert(ticket, i);
            }
            self.net.run_for(Duration::from_millis(5));
        }
        self.net.run_for(Duration::from_secs(20));
        for (_, _, fact) in self.net.take_facts() {
            let Fact::Stored { ticket, result: Ok(_) } = fact else { continue };
            let stored = waiting.remove(&ticket).and_then(|i| self.values.get_mut(i));
            if let Some(value) = stored {
                value.version = version;
            }
        }
    }

    /// Values whose newer version the overlay has accepted during the cut.
    pub fn rewritten(&self) -> usize {
        self.values.iter().filter(|v| v.version == b"second").count()
    }

    /// Mends the cut.
    pub fn heal(&mut self) {
        self.net.heal();
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        self.net.run_for(time);
        self.net.take_facts();
    }

    /// How the nodes with an even number stand to each other, and those with an odd one.
    pub fn halves(&self) -> [Audit; 2] {
        [0, 1].map(|half| Audit::among(&self.net, |n| n.0 % 2 == half))
    }

    /// How far everybody agrees.
    pub fn agreement(&self) -> Agreement {
        let replicas = Replicas::of(&self.net);
        let ring = Audit::of(&self.net);
        let copies = ring.members.min(REPLICAS + 1) as u32;
        let now = self.net.now();
        let placed = self.values.iter().filter(|v| replicas.get(&v.resource) == copies).count();
        let newest = self.values.iter().filter(|v| self.is_newest_everywhere(v, now)).count();
        Agreement { ring, placed, newest, values: self.values.len() }
    }

    fn is_newest_everywhere(&self, value: &Value, now: Instant) -> bool {
        let held = self.net.members().filter_map(|(_, o)| o.storage().hand_over(now, &value.resource));
        let mut versions = held
            .flat_map(|(_, kinds)| kinds)
            .flat_map(|k| k.values)
            .map(|arrival| arrival.value.value)
            .peekable();
        versions.peek().is_some() && versions.all(|v| v.as_deref() == Some(value.version))
    }

    /// Runs until the halves agree, at most for `limit`. `progress` is called every five virtual seconds.
    pub fn wait_until_whole(
        &mut self,
        limit: Duration,
        mut progress: impl FnMut(Duration, &Agreement),
    ) -> Option<Duration> {
        const STEP: Duration = Duration::from_secs(5);
        let begin = self.net.now();
        loop {
            let (took, agreement) = (self.net.now().since(begin), self.agreement());
            progress(took, &agreement);
            if agreement.is_whole() {
                return Some(took);
            }
            if took >= limit {
                return None;
            }
            self.run_for(STEP);
        }
    }
}
