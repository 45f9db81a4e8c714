//! Paths from parents to children: they begin and end, each at either end, and first packets come on them. What that
//! does to whoever lives from one is worked through by `spread`.

use super::Media;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

/// Names one path that media take from a node to another.
pub type Leg = u32;

/// No leg.
pub const NO_LEG: Leg = Leg::MAX;

/// The path from a parent to a child.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub(super) parent: u32,
    pub(super) child: u32,
    pub(super) delay: Duration,
    /// When the child can have its first packet.
    pub(super) on: Instant,
    /// The parent sends, the child takes; free again when neither.
    pub(super) sent: bool,
    pub(super) taken: bool,
    /// A first packet has been told.
    pub(super) flowing: bool,
    pub(super) replays: bool,
    /// The last packet, once the parent has stopped.
    pub(super) last: Option<Instant>,
    /// When the parent was last heard of otherwise.
    pub(super) heard: Option<Instant>,
    /// Since when the child throws away what comes.
    pub(super) unwanted: Option<Instant>,
    /// What the parent had sent when it began.
    pub(super) begun: Duration,
}

impl Media {
    /// A parent begins to send.
    pub fn open(&mut self, now: Instant, parent: u32, child: u32, delay: Duration) -> Leg {
        let begun = self.node(parent).map_or(Duration::ZERO, |p| p.received(now));
        let path = Path {
            parent,
            child,
            delay,
            on: now + delay,
            sent: self.node(parent).is_some(),
            taken: false,
            flowing: false,
            replays: false,
            last: None,
            heard: None,
            unwanted: None,
            begun,
        };
        let leg = match self.free.pop() {
            Some(leg) => {
                self.paths[leg as usize] = path;
                leg
            }
            None => {
                self.paths.push(path);
                (self.paths.len() - 1) as Leg
            }
        };
        if let Some(parent) = self.node_mut(parent) {
            parent.given.push(leg);
        }
        leg
    }

    /// The child takes what comes from now on, after a replay of what it misses if the parent can and is told to.
    pub fn take(&mut self, now: Instant, leg: Leg, replays: bool) {
        let path = &mut self.paths[leg as usize];
        path.taken = true;
        path.replays = replays;
        path.on = path.on.max(now);
        let child = path.child;
        let Some(node) = self.node_mut(child) else {
            self.paths[leg as usize].taken = false;
            return;
        };
        node.taken.push(leg);
        if node.feed == NO_LEG {
            node.feed = leg;
        }
        self.offer(leg, false);
        self.work_off();
    }

    /// A parent begins to send, and the child takes it as it comes.
    pub fn connect(
        &mut self,
        now: Instant,
        (parent, child): (u32, u32),
        delay: Duration,
        replays: bool,
    ) -> Leg {
        let leg = self.open(now, parent, child, delay);
        self.take(now, leg, replays);
        leg
    }

    /// The parent stops to send.
    pub fn close(&mut self, now: Instant, leg: Leg) {
        let path = self.paths[leg as usize];
        if !path.sent {
            return;
        }
        let last = now + path.delay;
        self.account(leg, now);
        let path = &mut self.paths[leg as usize];
        path.sent = false;
        path.last = Some(last);
        let (parent, child, taken) = (path.parent, path.child, path.taken);
        if let Some(parent) = self.node_mut(parent) {
            parent.given.retain(|&l| l != leg);
        }
        if taken {
            self.lose(child, leg, last);
            self.work_off();
        } else {
            self.free.push(leg);
        }
    }

    /// The child takes nothing more.
    pub fn drop_leg(&mut self, now: Instant, leg: Leg) {
        let path = &mut self.paths[leg as usize];
        if !path.taken {
            return;
        }
        path.taken = false;
        path.unwanted = Some(now);
        let (child, sent) = (path.child, path.sent);
        if let Some(child) = self.node_mut(child) {
            child.taken.retain(|&l| l != leg);
        }
        self.lose(child, leg, now);
        if let Some(child) = self.node_mut(child).filter(|c| c.feed == leg) {
            child.feed = child.taken.first().copied().unwrap_or(NO_LEG);
        }
        self.work_off();
        if !sent {
            self.free.push(leg);
        }
    }

    /// A node is gone, without a word to anybody.
    pub fn die(&mut self, now: Instant, node: u32) {
        let given = self.node(node).map(|n| n.given.clone()).unwrap_or_default();
        given.iter().for_each(|&leg| self.account(leg, now));
        self.fold(node, now);
        let Some(gone) = self.nodes.get_mut(node as usize).and_then(Option::take) else { return };
        for leg in given {
            let path = &mut self.paths[leg as usize];
            path.sent = false;
            path.last = Some(now + path.delay);
            let (child, taken, last) = (path.child, path.taken, now + path.delay);
            if taken {
                self.lose(child, leg, last);
            } else {
                self.free.push(leg);
            }
        }
        for leg in gone.taken {
            let path = &mut self.paths[leg as usize];
            path.taken = false;
            path.unwanted = Some(now);
            if !path.sent {
                self.free.push(leg);
            }
        }
        self.work_off();
    }

    /// The parent was heard of on this path.
    pub fn hear(&mut self, now: Instant, leg: Leg) {
        self.paths[leg as usize].heard = Some(now);
    }

    /// First packets that come on paths, and when; each path has one.
    pub fn take_firsts(&mut self) -> Vec<(Instant, Leg)> {
        core::mem::take(&mut self.firsts)
    }

    /// Whether any first packet waits to be taken.
    pub fn has_firsts(&self) -> bool {
        !self.firsts.is_empty()
    }

    /// Whose media break off, or go on from elsewhere, as nobody could foresee ([`Media::last_media`]).
    pub fn take_broken(&mut self) -> Vec<u32> {
        core::mem::take(&mut self.broken)
    }
}
