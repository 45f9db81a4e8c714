//! Media as a flow: who is fed by whom, from when to when, and what players miss.
//!
//! No packet is ever moved. A node's reception is what its parent has, later by the path between them; a parent that breaks
//! off breaks off everything below it at the instants at which the last packets get there, and one that is fed again feeds
//! what is below. Either is worked through the subtree once, when it happens; while all is well nothing is done at all.
//!
//! The player of a node plays each packet a fixed time after it was sent, which is [`Terms::playout`] later than its first
//! packet came. What a break leaves out is missed, unless somebody replays it early enough. When a repair has sunk a
//! node so deep that everything comes too late, its player waits once and goes on from there.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `mod` | [`Media`]: the nodes, and what is said about one of them |
//! | `terms` | [`Terms`]: what the media are, and what is done about holes |
//! | `path` | who sends to whom; first packets |
//! | `reception` | what reaches one node, and its player |
//! | `spread` | breaks and repairs, worked down the tree |
//! | `scattered` | single packets that paths lose, in the mean |
//! | `sight` | what can be asked of the flow |
//! | `accounts`, `totals` | the measurement, and [`Totals`]: what it told |

mod accounts;
mod path;
mod reception;
mod scattered;
mod sight;
mod spread;
mod terms;
#[cfg(test)]
mod tests;
mod totals;

pub use path::{Leg, NO_LEG};
pub use terms::Terms;
pub use totals::Totals;

use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use path::Path;
use reception::Reception;
use spread::Change;

/// The reception of every node of one channel, or of one stripe of it.
pub struct Media {
    terms: Terms,
    nodes: Vec<Option<Box<Reception>>>,
    paths: Vec<Path>,
    free: Vec<Leg>,
    source: u32,
    /// Nodes that are nobody's home.
    servers: u32,
    /// In the order in which it happened: who was broken first and fed then is told so in this order.
    work: VecDeque<(u32, Change)>,
    firsts: Vec<(Instant, Leg)>,
    /// Who has been told that more is going to come from a parent, and is not going to get it.
    broken: Vec<u32>,
    totals: Totals,
}

impl Media {
    /// A source, which sends from `now` on.
    pub fn new(terms: Terms, source: u32, now: Instant) -> Self {
        let mut media = Media {
            terms,
            nodes: Vec::new(),
            paths: Vec::new(),
            free: Vec::new(),
            source,
            servers: 0,
            work: VecDeque::new(),
            firsts: Vec::new(),
            broken: Vec::new(),
            totals: Totals::default(),
        };
        media.begin(source, now);
        if let Some(node) = media.node_mut(source) {
            node.from = now;
            node.until = Instant::FAR_FUTURE;
        }
        media
    }

    /// The same, with so many nodes behind the source that nobody watches.
    pub const fn with_servers(mut self, servers: u32) -> Self {
        self.servers = servers;
        self
    }

    /// The terms.
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// A node asks for the channel.
    pub fn begin(&mut self, node: u32, now: Instant) {
        let at = node as usize;
        if self.nodes.len() <= at {
            self.nodes.resize_with(at + 1, || None);
        }
        self.nodes[at] = Some(Box::new(Reception::new(now)));
    }

    /// This node will never send anything to its children.
    pub fn silence(&mut self, node: u32) {
        if let Some(node) = self.node_mut(node) {
            node.mute = true;
        }
    }

    fn node(&self, node: u32) -> Option<&Reception> {
        self.nodes.get(node as usize)?.as_deref()
    }

    fn node_mut(&mut self, node: u32) -> Option<&mut Reception> {
        self.nodes.get_mut(node as usize)?.as_deref_mut()
    }

    /// A node, and the measurement that it is part of.
    fn measured(&mut self, node: u32) -> Option<(&mut Reception, &mut Totals)> {
        let Media { nodes, totals, .. } = self;
        Some((nodes.get_mut(node as usize)?.as_deref_mut()?, totals))
    }
}
