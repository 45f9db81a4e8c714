//! A content delivery network: an origin, and an edge server near everybody.
//!
//! Taken for granted: an edge for every five hundred viewers, with an uplink for all who come, that never fails. The name
//! server sends a viewer to the nearest of eight edges (one round trip to it, as to any host), which then serves it like
//! a server. Edges fetch from the origin once each; what they send is somebody's bill, and is shown as such.

use super::central::without_last_way;
use super::grove::{Ask, Grove, Rival};
use crate::env::Entropy;
use crate::sim::flow::SOURCE;
use crate::sim::flow::crowd::Person;
use crate::sim::flow::sizes;
use crate::sim::flow::summary::Control;
use crate::time::Duration;

/// Viewers to an edge.
const SHARE: u32 = 500;
/// Edges among which the nearest is chosen.
const CHOICE: usize = 8;

/// The origin and its edges.
#[derive(Clone, Copy, Debug)]
pub struct Edges {
    edges: u32,
}

impl Edges {
    /// Enough edges for so many viewers.
    pub fn new(viewers: u32) -> Self {
        Edges { edges: viewers.div_ceil(SHARE).max(1) }
    }
}

impl Rival for Edges {
    fn name(&self) -> &'static str {
        "CDN with edges"
    }

    fn servers(&self) -> u32 {
        self.edges
    }

    fn slots(&self, node: u32, _: &Person, _: usize) -> u32 {
        if node <= self.edges { u32::MAX } else { 0 }
    }

    fn prepare(&mut self, grove: &mut Grove) {
        for edge in 1..=self.edges {
            grove.attach(edge, SOURCE, 0);
        }
    }

    fn ask(&mut self, grove: &mut Grove, node: u32, _: usize, _: bool) -> Ask {
        let mut best = (Duration::MAX, 1);
        for _ in 0..CHOICE {
            let edge = 1 + grove.dice.below(u64::from(self.edges)) as u32;
            best = best.min((grove.distance(node, edge), edge));
        }
        let name_server = grove.dice.next_u64() as u32;
        grove.count(Control::Calls, sizes::INVITE + sizes::ANSWER, false);
        let time = grove.request(node, name_server, false) + grove.request(node, best.1, true);
        Ask::Parent(best.1, without_last_way(time, best.0))
    }
}
