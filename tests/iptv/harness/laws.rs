//! The laws of the tree, looked after at every step.

use super::{CHANNEL, World, ms};
use std::collections::BTreeSet;

impl World {
    pub(super) fn check(&self, id: u32) {
        let peer = &self.peers[id as usize];
        let (mut ordinary, mut rescued) = (0, 0);
        for channel in peer.iptv.channels() {
            let c = peer.iptv.status(channel).unwrap().children;
            ordinary += c.0;
            rescued += c.1;
            let parents = self
                .sessions
                .iter()
                .rev()
                .take(64)
                .filter(|s| s.media && s.taking && s.caller.0 == id && s.channel == channel)
                .filter(|s| !s.standby);
            assert!(parents.count() <= 3, "{id} has more than two parents, and one that covers");
        }
        assert!(ordinary <= usize::from(self.config.capacity), "{id} serves {ordinary}");
        assert!(rescued <= usize::from(self.config.rescue_slots), "{id} rescues {rescued}");
        let rescue = peer.iptv.rescue_slots();
        assert!(rescue.promised <= self.config.limits.leases, "{id} promises {rescue:?}");
    }

    /// No cycle lasts longer than the hold limit and a repair.
    pub(super) fn check_cycles(&mut self) {
        let longest = self.config.hold_limit + self.config.repair_after + ms(600);
        for id in 1..self.peers.len() as u32 {
            let mut at = id;
            let mut cyclic = false;
            for _ in 0..self.peers.len() {
                let p = &self.peers[at as usize];
                let frozen = p.stalled.is_some_and(|t| t > self.now);
                match p.iptv.status(CHANNEL).and_then(|s| s.parent).filter(|_| p.alive && !frozen) {
                    Some(parent) if parent == id => {
                        cyclic = true;
                        break;
                    }
                    Some(parent) => at = parent,
                    None => break,
                }
            }
            if cyclic {
                let since = *self.cyclic_since.entry(id).or_insert(self.now);
                assert!(self.now.since(since) <= longest, "{id} is in a cycle since {since:?}");
            } else {
                self.cyclic_since.remove(&id);
            }
        }
    }

    /// Nobody keeps a backup parent that hangs below it for longer than the news of that need.
    pub(super) fn check_backups(&mut self) {
        let longest = self.config.hold_limit + ms(2500);
        let mut seen = BTreeSet::new();
        for s in 0..self.sessions.len() {
            let session = &self.sessions[s];
            let (child, provider) = (session.caller.0, session.callee.0);
            let up = session.standby && session.taking && session.serving && session.channel == CHANNEL;
            let live = |p: u32| self.peers[p as usize].alive && self.peers[p as usize].stalled.is_none();
            // The parent itself may have been a standby.
            let parent = self.parent(child) == Some(provider);
            if up && live(child) && live(provider) && !parent && self.is_below(provider, child) {
                seen.insert((child, provider));
            }
        }
        self.backs_up_since.retain(|pair, _| seen.contains(pair));
        for pair in seen {
            let since = *self.backs_up_since.entry(pair).or_insert(self.now);
            assert!(self.now.since(since) <= longest, "{pair:?} since {since:?}\n{}", self.tail(400));
        }
    }

    /// Whether a peer hangs below another one, or is it.
    pub(crate) fn is_below(&self, peer: u32, above: u32) -> bool {
        let mut at = peer;
        for _ in 0..self.peers.len() {
            match self.parent(at) {
                _ if at == above => return true,
                Some(parent) => at = parent,
                None => return false,
            }
        }
        true
    }

    /// Who is awake and gives an ordinary slot away.
    fn is_open(&self, id: u32) -> bool {
        let p = &self.peers[id as usize];
        let serves = p.iptv.status(CHANNEL).is_some_and(|s| s.publisher || s.relayer && s.playing);
        p.alive && p.stalled.is_none() && p.iptv.free_slots() > 0 && serves
    }

    pub(super) fn measure_waits(&mut self) {
        for id in 1..self.peers.len() as u32 {
            let rescued = self.peers[id as usize].alive && self.status(id).is_some_and(|s| s.rescue);
            let open = |&q: &u32| self.is_open(q) && !self.is_below(q, id);
            if rescued && (0..self.peers.len() as u32).any(|q| open(&q)) {
                let since = *self.waiting_since.entry(id).or_insert(self.now);
                self.longest_wait = self.longest_wait.max(self.now.since(since));
            } else {
                self.waiting_since.remove(&id);
            }
        }
    }
}
