//! The overlay: records under the channel's name and in the channel's tree, and lookups, which take as long as the ways
//! across a Chord ring. Nobody in it fails.

use super::happening::Happening;
use super::post::QUICK;
use super::{CHANNEL, World};
use crate::env::{Entropy, Seeded};
use crate::iptv::{Fact, Profile, Provider};
use crate::sim::flow::sizes;
use crate::sim::flow::summary::Control;
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// How long records outlive who does not refresh them; refreshed at half of it.
const RECORD_LIFETIME: Duration = Duration::from_secs(60);
/// Records that one answer brings.
const FETCHED: usize = 255;
/// Providers that a walk through the channel's tree finds.
const WALKED: usize = 8;
/// Between two walks of one node, which looks under the name meanwhile.
const TURNS: Duration = Duration::from_secs(10);

/// A record in the overlay.
struct Record {
    /// Which was stored last.
    number: u64,
    depth: u8,
    free: u16,
    until: Instant,
}

fn provider((&peer, record): (&u32, &Record)) -> Provider<u32> {
    Provider { peer, depth: Some(record.depth), free: Some(record.free) }
}

/// What is stored.
#[derive(Default)]
pub(super) struct Directory {
    /// Under the channel's name, and in the channel's tree.
    listed: BTreeMap<u32, Record>,
    unlisted: BTreeMap<u32, Record>,
}

impl Directory {
    fn store(&mut self, node: u32, listed: bool, record: Record) {
        let records = if listed { &mut self.listed } else { &mut self.unlisted };
        records.insert(node, record);
    }

    /// Nobody refreshes the records of a node any more: they have half of their life before them, or all of it, or
    /// something between.
    pub(super) fn abandon(&mut self, node: u32, now: Instant, dice: &mut Seeded) {
        let records = self.listed.get_mut(&node).into_iter().chain(self.unlisted.get_mut(&node));
        for record in records {
            let left = RECORD_LIFETIME / 2 + RECORD_LIFETIME / 200 * dice.below(101) as u32;
            record.until = now + left;
        }
    }

    pub(super) fn remove(&mut self, node: u32) {
        self.listed.remove(&node);
        self.unlisted.remove(&node);
    }

    /// Forgets what has expired under the name.
    fn expire(&mut self, now: Instant) {
        self.listed.retain(|_, r| r.until > now);
    }

    /// Whether under the name there are so many relayers that more of them stand in the tree.
    fn is_crowded(&self, crowd: usize) -> bool {
        self.listed.len().saturating_sub(1) * 2 >= crowd
    }

    fn has_room(&self) -> bool {
        self.listed.values().any(|r| r.free > 0)
    }

    /// What stands under the name.
    fn fetch(&self, newest_first: bool) -> Vec<Provider<u32>> {
        let mut records: Vec<_> = self.listed.iter().collect();
        if newest_first {
            records.sort_unstable_by_key(|(_, r)| Reverse(r.number));
        }
        records.into_iter().take(FETCHED).map(provider).collect()
    }

    /// Those with room who stand in the tree near a place.
    fn walk(&self, place: u32, now: Instant) -> Vec<Provider<u32>> {
        let near = self.unlisted.range(place..).chain(self.unlisted.range(..place));
        near.filter(|(_, r)| r.until > now && r.free > 0).take(WALKED).map(provider).collect()
    }
}

impl World {
    /// Does something at the peer that is responsible for the channel.
    pub(super) fn look_up(&mut self, node: u32, then: Happening) {
        let (time, hops) = self.there_and_back();
        self.count(node, Control::Overlay, hops * sizes::LOOKUP_HOP);
        self.queue.schedule(self.now + time, then);
    }

    /// How long it takes to that peer and back, and over how many hops.
    fn there_and_back(&mut self) -> (Duration, u64) {
        if self.quick {
            return (QUICK, 0);
        }
        let nodes = self.people.max(2);
        // Half of the bits of N, as in any Chord ring.
        let hops = (u32::BITS - nodes.leading_zeros()).div_ceil(2);
        let mut time = Duration::ZERO;
        for _ in 0..hops {
            let (a, b) = (self.dice.next_u64() as u32, self.dice.next_u64() as u32);
            let path = self.setting.conditions.latency.between(a, b, self.setting.crowd.seed);
            time += self.transit(path) + self.transit(path);
        }
        (time, u64::from(hops))
    }

    /// Looks for providers, under the name, or at once in the channel's tree where the name was crowded the last time.
    pub(super) fn fetch(&mut self, node: u32) {
        let crowded = self.hosts.get(node).is_some_and(|host| host.crowded);
        if crowded && self.may_walk(node) {
            self.walk(node, Happening::Met(node));
        } else {
            self.look_up(node, Happening::Fetched(node));
        }
    }

    fn may_walk(&self, node: u32) -> bool {
        let rests = |at: Option<Instant>| at.is_some_and(|at| self.now.since(at) < TURNS);
        let knows_trees = self.setting.policy.profile != Profile::Paper;
        knows_trees && self.hosts.get(node).is_some_and(|host| !rests(host.walked))
    }

    /// Into the channel's tree: RFC 7374 looks at a level or two before it finds somebody.
    fn walk(&mut self, node: u32, then: Happening) {
        let now = self.now;
        if let Some(host) = self.hosts.get_mut(node) {
            host.walked = Some(now);
        }
        self.look_up(node, then);
    }

    pub(super) fn fetched(&mut self, node: u32) {
        self.directory.expire(self.now);
        let crowded = self.directory.is_crowded(usize::from(self.setting.policy.registered_relayers));
        if let Some(host) = self.hosts.get_mut(node) {
            host.crowded = crowded;
        }
        if crowded && !self.directory.has_room() && self.may_walk(node) {
            return self.walk(node, Happening::Walked(node));
        }
        self.tell_fetched(node, Vec::new());
    }

    /// What stands under the name comes on top.
    fn tell_fetched(&mut self, node: u32, mut providers: Vec<Provider<u32>>) {
        // A new registration stands in front of the old ones, where the published design has it overwrite them.
        providers.extend(self.directory.fetch(self.setting.policy.profile == Profile::Paper));
        self.tell(node, Fact::Fetched { channel: CHANNEL, providers });
    }

    /// Those who stand in the channel's tree near a place of the node's own, after the name was looked up.
    pub(super) fn walked(&mut self, node: u32) {
        let found = self.near(node);
        self.tell_fetched(node, found);
    }

    /// The same without the name, which is looked up if there are none.
    pub(super) fn met(&mut self, node: u32) {
        let providers = self.near(node);
        if providers.is_empty() {
            self.look_up(node, Happening::Fetched(node));
        } else {
            self.tell(node, Fact::Met { channel: CHANNEL, providers });
        }
    }

    /// Near a place that is drawn.
    fn near(&mut self, node: u32) -> Vec<Provider<u32>> {
        let place = self.dice.below(u64::from(self.hosts.numbers().end)) as u32;
        let mut near = self.directory.walk(place, self.now);
        near.retain(|p| p.peer != node);
        near
    }

    pub(super) fn stored(&mut self, node: u32, depth: u8, free: u16, listed: bool) {
        let Some(host) = self.hosts.get_mut(node) else { return };
        let first = !core::mem::replace(&mut host.registered, true);
        let number = self.summary.happened;
        self.directory.store(node, listed, Record { number, depth, free, until: Instant::FAR_FUTURE });
        if first {
            self.tell(node, Fact::Registered { channel: CHANNEL, ok: true });
        }
    }
}
