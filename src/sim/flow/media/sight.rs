//! What can be asked of the flow at any moment. Nothing changes here.

use super::Media;
use super::path::{Leg, NO_LEG};
use super::reception::Reception;
use crate::time::{Duration, Instant};

impl Media {
    /// When the last packet arrived at a node.
    ///
    /// With foresight it is the time of a packet that is *going* to arrive if nothing breaks, so that a timer which looks for
    /// silence need not look again before. When something breaks the path, whoever was told so has to be told
    /// ([`Media::take_broken`]).
    pub fn last_media(&self, node: u32, now: Instant) -> Option<Instant> {
        self.node(node)?.last_media(now, self.terms.foresight)
    }

    /// When a parent was last heard on a path.
    pub fn last_from(&self, leg: Leg, now: Instant) -> Option<Instant> {
        self.media_from(leg, now).max(self.paths[leg as usize].heard)
    }

    /// How many packets a parent could have sent on a path until its last one.
    pub fn brought(&self, leg: Leg, now: Instant) -> u64 {
        let last = self.media_from(leg, now).map_or(0, |last| last.min(now).as_micros());
        u128::from(last).checked_div(self.terms.gap().as_micros()).map_or(0, |packets| packets as u64)
    }

    /// When the last packet came on a path.
    pub fn media_from(&self, leg: Leg, now: Instant) -> Option<Instant> {
        let path = &self.paths[leg as usize];
        let media = match self.node(path.child) {
            Some(child) if child.feed == leg && child.from <= now && path.flowing => {
                self.last_media(path.child, now)
            }
            _ if !path.flowing => None,
            _ => match (path.last, self.node(path.parent)) {
                (Some(last), _) => Some(last.max(path.on)),
                (None, Some(parent)) => Some((parent.until.min(now) + path.delay).min(now).max(path.on)),
                (None, None) => Some(path.on),
            },
        };
        media.filter(|&m| m <= now || self.terms.foresight > Duration::ZERO)
    }

    /// Whether media flow to a node, as far as anything that has happened tells.
    pub fn is_fed(&self, node: u32) -> bool {
        self.node(node).is_some_and(Reception::is_fed)
    }

    /// Hops from the source; `None` while nothing flows.
    pub fn depth(&self, node: u32) -> Option<u16> {
        self.node(node).filter(|n| n.is_fed()).map(|n| n.depth)
    }

    /// Hops from the source, of a node to which media have flowed for a while.
    pub fn settled_depth(&self, node: u32, now: Instant) -> Option<u16> {
        let node = self.node(node)?;
        node.plays_for(now).filter(|&time| time > Duration::from_secs(1)).map(|_| node.depth)
    }

    /// From the source to a node.
    pub fn delay(&self, node: u32) -> Option<Duration> {
        self.node(node).filter(|n| n.is_fed()).map(|n| n.delay)
    }

    /// Who sends on a path, and to whom.
    pub fn ends(&self, leg: Leg) -> (u32, u32) {
        let path = &self.paths[leg as usize];
        (path.parent, path.child)
    }

    /// How many paths lead away from a node.
    pub fn children(&self, node: u32) -> usize {
        self.node(node).map_or(0, |n| n.given.len())
    }

    /// The paths that a node sends on.
    pub fn given(&self, node: u32) -> &[Leg] {
        self.node(node).map_or(&[], |n| &n.given)
    }

    /// Who feeds a node, fed itself or not.
    pub fn parent(&self, node: u32) -> Option<u32> {
        let feed = self.node(node)?.feed;
        (feed != NO_LEG).then(|| self.paths[feed as usize].parent)
    }

    /// Whether `node` stands between `below` and the source.
    pub fn is_above(&self, node: u32, below: u32) -> bool {
        let mut at = below;
        for _ in 0..=self.nodes.len() {
            match self.parent(at) {
                Some(parent) if parent == node => return true,
                Some(parent) => at = parent,
                None => return false,
            }
        }
        true
    }
}
