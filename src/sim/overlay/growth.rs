//! How a ring of any size comes to be: every node joins as nodes join, many at a time.

use super::network::OverlayNetwork;
use crate::env::Entropy;
use crate::reload::overlay::{ConfigError, Fact, OrderError};
use crate::sim::machine::NodeIndex;
use crate::sim::queue::Queue;
use crate::sim::statistics::Samples;
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Bootstrap nodes that a newcomer is told of.
const BOOTSTRAPS: usize = 3;

/// Newcomers, from their first step to their membership.
#[derive(Clone, Debug, Default)]
pub struct Growth {
    /// Joins under way, since when, and through whom when that is prescribed.
    joining: BTreeMap<NodeIndex, Instant>,
    /// Whom every newcomer is told of; some random members when there is nobody.
    pub bootstraps: Vec<NodeIndex>,
    /// Milliseconds from the order to join to membership.
    pub took: Samples,
    /// Times that a join failed and was begun anew.
    pub failures: u64,
}

impl Growth {
    /// Nobody is on the way yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Newcomers that are no members yet.
    pub fn under_way(&self) -> usize {
        self.joining.len()
    }

    /// A new node joins through a few members.
    pub fn join_one(&mut self, net: &mut OverlayNetwork) -> Result<NodeIndex, ConfigError> {
        let node = net.add()?;
        self.joining.insert(node, net.now());
        self.begin(net, node);
        Ok(node)
    }

    fn begin(&mut self, net: &mut OverlayNetwork, node: NodeIndex) {
        let mut through = self.bootstraps.clone();
        while through.len() < BOOTSTRAPS && self.bootstraps.is_empty() {
            match net.random_member() {
                Some(member) => through.push(member),
                None => break,
            }
        }
        if net.join(node, &through) == Err(OrderError::NoBootstrap) {
            self.joining.remove(&node);
        }
    }

    /// Takes notice of what a node said.
    pub fn hear(&mut self, net: &mut OverlayNetwork, at: Instant, node: NodeIndex, fact: &Fact) {
        match fact {
            Fact::Joined => {
                if let Some(since) = self.joining.remove(&node) {
                    self.took.add(at.since(since).as_micros() as u64 / 1000);
                }
            }
            Fact::JoinFailed if self.joining.contains_key(&node) => {
                self.failures += 1;
                self.begin(net, node);
            }
            _ => {}
        }
    }

    /// A node has crashed before it was a member.
    pub fn forget(&mut self, node: NodeIndex) {
        self.joining.remove(&node);
    }

    /// Lets the network grow to this many nodes: waves of newcomers, each a quarter of those who are there already, at
    /// random times within ten seconds. The first node founds the overlay. `progress` is called every virtual second.
    pub fn grow(
        &mut self,
        net: &mut OverlayNetwork,
        to: usize,
        mut progress: impl FnMut(&OverlayNetwork, &Self),
    ) -> Result<(), ConfigError> {
        const WAVE: Duration = Duration::from_secs(10);
        const SECOND: Duration = Duration::from_secs(1);
        if net.living().is_empty() && to > 0 {
            let founder = net.add()?;
            // A node that has just been added is in no overlay.
            let _ = net.create(founder);
        }
        while net.living().len() < to {
            let members = net.living().len();
            let mut arrivals = Queue::new();
            for _ in 0..members.div_ceil(4).min(to - members) {
                let within = net.dice().below(WAVE.as_micros() as u64);
                arrivals.schedule(net.now() + Duration::from_micros(within), ());
            }
            let patience = net.now() + WAVE * 30;
            let mut second = net.now() + SECOND;
            while (self.under_way() > 0 || !arrivals.is_empty()) && net.now() < patience {
                let next = arrivals.next_time().unwrap_or(second).min(second);
                net.run_until(next);
                while arrivals.next_time().is_some_and(|at| at <= next) {
                    arrivals.pop();
                    self.join_one(net)?;
                }
                for (at, node, fact) in net.take_facts() {
                    self.hear(net, at, node, &fact);
                }
                if next == second {
                    progress(net, self);
                    second = next + SECOND;
                }
            }
        }
        Ok(())
    }
}
