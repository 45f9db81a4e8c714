//! What happens to one node happens to those below it, later by the paths between them: it is worked through the subtree
//! here, once, when it happens.

use super::Media;
use super::path::Leg;
use super::reception::Reception;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

/// What happened to a node that those below it have to know.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// Nothing comes after this instant.
    Broken { last: Instant },
    /// Media flow again; what was missed meanwhile is replayed, or is not.
    Fed { replayed: bool },
    /// The path has changed without a pause, but a piece is lost.
    Moved { at: Instant, hole: Duration },
}

impl Media {
    /// Whether a child could be fed on this path.
    fn is_good(&self, leg: Leg) -> bool {
        let path = &self.paths[leg as usize];
        let fed = self.node(path.parent).is_some_and(|p| p.is_fed() && !p.mute);
        path.sent && path.taken && fed && path.parent != path.child && !self.is_above(path.child, path.parent)
    }

    /// A path may have become good.
    pub(super) fn offer(&mut self, leg: Leg, replayed: bool) {
        let path = self.paths[leg as usize];
        let Some(parent) = self.node(path.parent).filter(|p| p.is_fed() && !p.mute) else { return };
        if !path.sent || !path.taken {
            return;
        }
        let first = (parent.from + path.delay).max(path.on);
        if !path.flowing {
            self.paths[leg as usize].flowing = true;
            self.paths[leg as usize].on = first;
            self.firsts.push((first, leg));
        }
        let starves = self.node(path.child).is_some_and(|c| !c.is_fed());
        if starves && self.is_good(leg) {
            let replayed = replayed || self.paths[leg as usize].replays;
            self.feed(path.child, leg, first, replayed);
        }
    }

    /// A node that had nothing is fed from `first` on.
    fn feed(&mut self, node: u32, leg: Leg, first: Instant, replayed: bool) {
        let terms = self.terms;
        let delay = self.paths[leg as usize].delay;
        let Some(above) = self.node(self.paths[leg as usize].parent).map(|p| p.delay) else { return };
        let Some((child, totals)) = self.measured(node) else { return };
        child.begins(first, above + delay, replayed, &terms, totals);
        self.rest_on(node, leg);
        self.work.push_back((node, Change::Fed { replayed }));
    }

    /// A node lives from this path now: its place follows from its parent's.
    pub(super) fn rest_on(&mut self, node: u32, leg: Leg) {
        let path = self.paths[leg as usize];
        let terms = self.terms;
        let Some(parent) = self.node(path.parent) else { return };
        let (depth, delay) = (parent.depth.saturating_add(1), parent.delay + path.delay);
        let Some((child, totals)) = self.measured(node) else { return };
        child.feed = leg;
        child.depth = depth;
        child.delay = delay;
        child.wait_if_late(terms.playout, totals);
        let slack = child.slack(terms.playout);
        let residue = self.residue(leg, slack);
        if let Some(child) = self.node_mut(node) {
            child.residue = residue;
        }
    }

    /// A path ends with a last packet. Another one may do in its place.
    pub(super) fn lose(&mut self, node: u32, leg: Leg, last: Instant) {
        let Some(child) = self.node(node).filter(|c| c.feed == leg && c.is_fed()) else { return };
        let others: Vec<Leg> = child.taken.iter().copied().filter(|&l| l != leg).collect();
        let delay = child.delay;
        if self.terms.foresight > Duration::ZERO {
            self.broken.push(node);
        }
        let next = others.into_iter().filter(|&l| self.is_good(l)).min_by_key(|&l| self.paths[l as usize].on);
        if let Some(next) = next {
            let path = self.paths[next as usize];
            let above = self.node(path.parent).map_or(Duration::ZERO, |p| p.delay);
            if path.on <= last {
                // Both sent for a while.
                let twice = last.since(path.on.max(self.paths[leg as usize].on)).as_micros() as u64;
                self.totals.wasted += twice;
                self.totals.twice += twice;
                let behind = (last - delay).as_micros();
                let begins = (path.on - (above + path.delay)).as_micros();
                let hole = if path.replays { 0 } else { begins.saturating_sub(behind) };
                return self.shift(node, next, last, Duration::from_micros(hole));
            }
        }
        let Some(child) = self.node_mut(node) else { return };
        let last = child.ends(last);
        self.work.push_back((node, Change::Broken { last }));
        if let Some(next) = next {
            self.offer(next, false);
        }
    }

    /// A node goes on with another path, or with the same one at another place.
    pub(super) fn shift(&mut self, node: u32, leg: Leg, at: Instant, hole: Duration) {
        if let Some((child, totals)) = self.measured(node) {
            child.goes_on(at, hole, totals);
        }
        self.rest_on(node, leg);
        self.work.push_back((node, Change::Moved { at, hole }));
    }

    /// Tells those below.
    pub(super) fn work_off(&mut self) {
        while let Some((at, change)) = self.work.pop_front() {
            let Some(parent) = self.node(at) else { continue };
            for leg in parent.given.clone() {
                let path = self.paths[leg as usize];
                let lives = |c: &Reception| c.feed == leg && c.is_fed();
                match change {
                    Change::Fed { replayed } => self.offer(leg, replayed),
                    Change::Broken { last } => self.lose(path.child, leg, last + path.delay),
                    Change::Moved { at, hole } if self.node(path.child).is_some_and(lives) => {
                        self.shift(path.child, leg, at + path.delay, hole);
                    }
                    Change::Moved { .. } => {}
                }
            }
        }
    }
}
