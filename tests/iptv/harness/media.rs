//! Media: a packet of each channel runs down its tree, every [`TICK`].

use super::jobs::Job;
use super::{CHANNEL, Peer, World};
use p2piptv::ids::{CallId, ChannelId};
use p2piptv::iptv::{Fact, Order, Pace, Progress};
use p2piptv::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Between two packets.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// What a peer sees of the media plane.
#[derive(Default)]
pub(super) struct Media {
    pub(super) last_media: BTreeMap<ChannelId, Instant>,
    pub(super) last_from: BTreeMap<CallId, Instant>,
    pub(super) last_report: BTreeMap<CallId, Instant>,
    pub(super) brought: BTreeMap<CallId, (u64, Instant)>,
    pub(super) pace: Option<Pace>,
}

impl Progress for Media {
    fn last_media(&self, channel: ChannelId) -> Option<Instant> {
        self.last_media.get(&channel).copied()
    }
    fn last_from(&self, call: CallId) -> Option<Instant> {
        self.last_from.get(&call).copied()
    }
    fn last_report(&self, call: CallId) -> Option<Instant> {
        self.last_report.get(&call).copied()
    }
    fn reported_loss(&self, call: CallId) -> Option<u8> {
        self.last_report.get(&call).map(|_| 0)
    }
    fn brought(&self, call: CallId) -> u64 {
        self.brought.get(&call).map_or(0, |b| b.0)
    }
    fn last_brought(&self, call: CallId) -> Option<Instant> {
        self.brought.get(&call).map(|b| b.1)
    }
    fn pace(&self, _: ChannelId) -> Option<Pace> {
        self.pace
    }
}

impl World {
    /// A packet of each published channel runs down its tree.
    pub(super) fn tick(&mut self) {
        self.after(TICK, Job::Tick);
        let frozen = |p: &Peer, now| p.stalled.is_some_and(|t| t > now);
        let awake: Vec<bool> = self.peers.iter().map(|p| p.alive && !frozen(p, self.now)).collect();
        let mut reached: VecDeque<(u32, ChannelId)> = VecDeque::new();
        for (id, p) in self.peers.iter_mut().enumerate().filter(|(id, _)| awake[*id]) {
            for channel in p.iptv.channels().collect::<Vec<_>>() {
                if p.iptv.status(channel).is_some_and(|s| s.publisher) && !self.paused {
                    p.media.last_media.insert(channel, self.now);
                    reached.push_back((id as u32, channel));
                }
            }
        }
        let mut children: BTreeMap<(u32, ChannelId), Vec<usize>> = BTreeMap::new();
        let mut reports = Vec::new();
        for (s, session) in self.sessions.iter().enumerate() {
            let up = session.serving && session.taking && awake[session.caller.0 as usize];
            if session.media && up {
                if session.flows && !self.cuts.contains(&(session.callee.0, session.caller.0)) {
                    children.entry((session.callee.0, session.channel)).or_default().push(s);
                }
                reports.push(s);
            }
        }
        let mut seen: BTreeSet<(u32, ChannelId)> = reached.iter().copied().collect();
        let mut firsts = Vec::new();
        while let Some(at) = reached.pop_front() {
            for &s in children.get(&at).into_iter().flatten() {
                let (id, call) = self.sessions[s].caller;
                let media = &mut self.peers[id as usize].media;
                media.last_from.insert(call, self.now);
                let brought = media.brought.entry(call).or_default();
                *brought = (brought.0 + 1, self.now);
                if let Some(last) = media.last_media.insert(at.1, self.now)
                    && self.now.since(last) > TICK
                {
                    self.silences.push((self.now, id, self.now.since(last)));
                }
                self.sessions[s].wanted = false;
                if !std::mem::replace(&mut self.sessions[s].first_packet, true) {
                    firsts.push((id, Fact::FirstPacket { channel: at.1, call }));
                }
                if seen.insert((id, at.1)) {
                    reached.push_back((id, at.1));
                }
            }
        }
        if self.now.as_millis() % 1000 < TICK.as_millis() as u64 {
            let seldom = self.now.as_millis() % 5000 < TICK.as_millis() as u64;
            for s in reports {
                if !self.sessions[s].flows && !seldom {
                    continue;
                }
                if let (id, Some(call)) = self.sessions[s].callee {
                    self.peers[id as usize].media.last_report.insert(call, self.now);
                }
            }
        }
        for (id, fact) in firsts {
            self.tell(id, fact);
        }
        for (id, hold) in self.liars.clone() {
            self.order(id, Order::Hold { channel: CHANNEL, hold });
        }
        self.check_cycles();
        if self.now.as_millis().is_multiple_of(200) {
            self.check_backups();
        }
        self.measure_waits();
    }
}
