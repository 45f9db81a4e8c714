//! Where everybody hangs: seats, reports of children, moves, and peers that nobody can place any more.

use super::climb::Called;
use super::{ADRIFT, DEEPEST, Row, Standing, Table};
use crate::ids::CallId;
use crate::iptv::report::Child;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

impl<P: Copy + Ord> Table<P> {
    /// A peer became my own child.
    pub(in crate::iptv) fn seat(&mut self, peer: P, call: CallId, slots: Option<u16>, now: Instant) {
        if !self.attach(peer, self.me, now) {
            return;
        }
        self.update(peer, |r| {
            r.call = Some(call);
            r.slots = slots.or(r.slots);
            r.silent = false;
            r.claimed = None;
        });
    }

    /// A peer is fed by me while its parent is silent. Should that one come back, it is the parent again.
    pub(in crate::iptv) fn cover(&mut self, peer: P, call: CallId, slots: Option<u16>, now: Instant) {
        let (parent, dialog) = (self.parent(peer), self.call(peer));
        self.seat(peer, call, slots, now);
        self.update(peer, |r| {
            r.call = dialog.or(r.call);
            r.claimed = parent;
        });
    }

    /// A peer is my child no longer. It stays, adrift, while there is reason to expect it elsewhere.
    pub(in crate::iptv) fn unseat(&mut self, peer: P, call: CallId, now: Instant) {
        let Some(row) = self.rows.get_mut(&peer) else { return };
        if row.call == Some(call) {
            row.call = None;
        }
        if row.parent != Some(self.me) {
            return;
        }
        if row.standing == Standing::Viewer && row.children.is_empty() {
            match self.claimant(peer) {
                Some(parent) => _ = self.attach(peer, parent, now),
                None => self.remove(peer, now),
            }
        } else {
            self.let_go(peer, now);
        }
    }

    /// Another relayer that would have this peer.
    fn claimant(&self, peer: P) -> Option<P> {
        let row = self.rows.get(&peer)?;
        row.claimed.filter(|&c| row.parent != Some(c) && self.contains(c))
    }

    /// Its parent has this peer no longer.
    fn let_go(&mut self, peer: P, now: Instant) {
        match self.claimant(peer) {
            Some(parent) if self.attach(peer, parent, now) => {}
            // Without a dialog here it cannot speak for itself.
            _ if self.rows.get(&peer).is_some_and(|r| r.call.is_none()) => {
                self.set_adrift(peer, now, self.patience.1);
            }
            _ => self.set_adrift(peer, now, self.patience.0),
        }
    }

    /// A relayer named its children: all of them.
    pub(in crate::iptv) fn report(&mut self, parent: P, children: &[Child<P>], now: Instant) {
        if parent == self.me || !self.contains(parent) {
            return;
        }
        let mut named: Vec<P> = children.iter().map(|c| c.peer).collect();
        named.sort_unstable();
        let before = self.rows.get(&parent).map(|r| r.children.clone()).unwrap_or_default();
        for gone in before.into_iter().filter(|c| named.binary_search(c).is_err()) {
            self.let_go(gone, now);
        }
        for child in children {
            // What I serve myself, I know better.
            let mine = self.rows.get(&child.peer).is_some_and(|r| r.parent == Some(self.me));
            if let Some(row) = self.rows.get_mut(&child.peer).filter(|r| r.parent != Some(parent)) {
                row.claimed = if mine { Some(parent) } else { row.parent };
            }
            if !mine && self.attach(child.peer, parent, now) {
                self.update(child.peer, |r| r.slots = child.slots.or(r.slots));
            }
        }
    }

    /// Puts a row under a parent, new or with all that hangs below it. False when that cannot be.
    fn attach(&mut self, peer: P, parent: P, now: Instant) -> bool {
        if peer == self.me || peer == parent || self.is_below(parent, peer) {
            return false;
        }
        let depth = match self.rows.get(&parent) {
            _ if parent == self.me => 1,
            Some(r) if r.depth == ADRIFT => ADRIFT,
            Some(r) => r.depth.saturating_add(1).min(DEEPEST),
            None => return false,
        };
        if self.rows.get(&peer).is_some_and(|r| r.parent == Some(parent)) {
            return true;
        }
        if !self.contains(peer) && !self.add(peer, now) {
            return false;
        }
        self.detach(peer);
        if let Some(r) = self.rows.get_mut(&peer) {
            r.parent = Some(parent);
            r.silent = false;
            r.called.moved();
        }
        if let Some(p) = self.rows.get_mut(&parent) {
            p.children.push(peer);
        }
        self.sink(peer, depth);
        self.changed = true;
        true
    }

    /// Adds a row that hangs nowhere yet.
    fn add(&mut self, peer: P, now: Instant) -> bool {
        if self.rows.len() >= self.limit {
            return false;
        }
        let arrival = self.arrivals;
        self.arrivals = self.arrivals.wrapping_add(1);
        let row = Row {
            parent: None,
            depth: ADRIFT,
            arrival,
            slots: None,
            standing: Standing::Viewer,
            pledged: (0, now),
            called: Called::default(),
            registers: false,
            rests_until: Instant::ZERO,
            failures: 0,
            call: None,
            rtt: Duration::ZERO,
            adrift_until: now,
            silent: false,
            claimed: None,
            below: None,
            children: Vec::new(),
        };
        self.rows.insert(peer, row);
        true
    }

    /// A relayer that nobody has named, or no longer, shows itself. False when there is no room for it.
    pub(in crate::iptv) fn introduce(&mut self, peer: P, now: Instant) -> bool {
        if peer == self.me || !self.contains(peer) && !self.add(peer, now) {
            return false;
        }
        self.seen(peer, now);
        true
    }

    /// Whether `peer` hangs somewhere below `ancestor`. A chain too long to be believed counts as such.
    pub(super) fn is_below(&self, peer: P, ancestor: P) -> bool {
        let mut at = peer;
        for _ in 0..=usize::from(u8::MAX) {
            match self.rows.get(&at).and_then(|r| r.parent) {
                Some(p) if p == ancestor => return true,
                Some(p) => at = p,
                None => return false,
            }
        }
        true
    }

    /// Takes a row from its parent.
    fn detach(&mut self, peer: P) {
        let Some(row) = self.rows.get_mut(&peer) else { return };
        self.adrift.remove(&(row.adrift_until, peer));
        if let Some(parent) = row.parent.take()
            && let Some(p) = self.rows.get_mut(&parent)
        {
            p.children.retain(|&c| c != peer);
        }
    }

    /// Nobody knows where a peer is. One that has fallen silent before is gone.
    pub(super) fn set_adrift(&mut self, peer: P, now: Instant, patience: Duration) {
        if self.rows.get(&peer).is_some_and(|r| r.silent) {
            return self.remove(peer, now);
        }
        self.detach(peer);
        let Some(row) = self.rows.get_mut(&peer) else { return };
        row.adrift_until = now + patience;
        self.adrift.insert((row.adrift_until, peer));
        self.sink(peer, ADRIFT);
        self.changed = true;
    }

    /// Gives a row its depth, and everything below it theirs.
    fn sink(&mut self, peer: P, depth: u8) {
        let mut work = Vec::from([(peer, depth)]);
        while let Some((peer, depth)) = work.pop() {
            self.update(peer, |r| r.depth = depth);
            let below = if depth == ADRIFT { ADRIFT } else { depth.saturating_add(1).min(DEEPEST) };
            if let Some(r) = self.rows.get(&peer) {
                work.extend(r.children.iter().map(|&c| (c, below)));
            }
        }
    }

    /// Forgets a peer. Those below it are adrift, as far as they speak for themselves.
    pub(in crate::iptv) fn remove(&mut self, peer: P, now: Instant) {
        let mut gone = Vec::from([peer]);
        while let Some(peer) = gone.pop() {
            self.update(peer, |r| {
                r.standing = Standing::Offered;
                r.registers = false;
            });
            self.detach(peer);
            let Some(row) = self.rows.remove(&peer) else { continue };
            self.changed = true;
            for child in row.children {
                match self.rows.get_mut(&child) {
                    Some(c) if c.silent => {
                        c.parent = None;
                        gone.push(child);
                    }
                    _ => self.set_adrift(child, now, self.patience.0),
                }
            }
        }
    }

    /// Rows that are adrift, without those below them.
    pub(in crate::iptv) fn adrift(&self) -> usize {
        self.adrift.len()
    }

    /// Forgets what has been adrift for too long; whether anybody was.
    pub(in crate::iptv) fn sweep(&mut self, now: Instant) -> bool {
        let before = self.rows.len();
        while let Some(&(until, peer)) = self.adrift.first() {
            if now < until {
                break;
            }
            self.adrift.remove(&(until, peer));
            match self.standing(peer) {
                // A relayer that still reports is somewhere.
                Some(Standing::Relayer { .. }) => self.set_adrift(peer, now, self.patience.0),
                _ => self.remove(peer, now),
            }
        }
        self.rows.len() < before
    }

    /// The alive messages of a relayer have stopped. It keeps its place as long as its parent vouches for it.
    pub(in crate::iptv) fn lose(&mut self, peer: P, now: Instant) {
        let Some(row) = self.rows.get_mut(&peer) else { return };
        row.silent = true;
        if row.parent.is_none() {
            self.remove(peer, now);
        }
    }

    /// A peer that is adrift shows that it is alive.
    pub(in crate::iptv) fn seen(&mut self, peer: P, now: Instant) {
        let Some(row) = self.rows.get_mut(&peer) else { return };
        row.silent = false;
        if row.parent.is_none() {
            self.set_adrift(peer, now, self.patience.0);
        }
    }

    /// Under whom a peer hangs, as far as known.
    pub(in crate::iptv) fn parent(&self, peer: P) -> Option<P> {
        self.rows.get(&peer)?.parent
    }

    /// Under whom a peer hangs, and who else had or would have it.
    pub(in crate::iptv) fn parents(&self, peer: P) -> [Option<P>; 2] {
        self.rows.get(&peer).map_or([None; 2], |r| [r.parent, r.claimed])
    }
}
