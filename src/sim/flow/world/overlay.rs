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

    /// Whether under the name there are so many relayers that more of them stand in the tree, and nobody is free.
    fn is_full(&self, crowd: usize) -> bool {
        let crowded = self.listed.len().saturating_sub(1) * 2 >= crowd;
        crowded && self.listed.values().all(|r| r.free == 0) && !self.unlisted.is_empty()
    }

    /// What stands under the name.
    fn fetch(&self, newest_first: bool) -> Vec<Provider<u32>> {
        let mut records: Vec<_> = self.listed.iter().collect();
        if newest_first {
            records.sort_unstable_by_key(|(_, r)| Reverse(r.number));
        }
        records.into_iter().take(FETCHED).map(provider).collect()
    }

    /// The same, and those with room who stand in the tree near a place.
    fn walk(&self, place: u32, now: Instant) -> Vec<Provider<u32>> {
        let near = self.unlisted.range(place..).chain(self.unlisted.range(..place));
        let near = near.filter(|(_, r)| r.until > now && r.free > 0).take(WALKED).map(provider);
        self.listed.iter().map(provider).chain(near).collect()
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

    pub(super) fn fetched(&mut self, node: u32) {
        self.directory.expire(self.now);
        if self.directory.is_full(usize::from(self.setting.policy.registered_relayers)) {
            // On into the channel's tree: RFC 7374 looks at a level or two before it finds somebody.
            return self.look_up(node, Happening::Walked(node));
        }
        // A new registration stands in front of the old ones, where the published design has it overwrite them.
        let providers = self.directory.fetch(self.setting.policy.profile == Profile::Paper);
        self.tell(node, Fact::Fetched { channel: CHANNEL, providers });
    }

    /// Those who stand in the channel's tree near a place of the node's own come on top.
    pub(super) fn walked(&mut self, node: u32) {
        let place = self.dice.below(u64::from(self.hosts.numbers().end)) as u32;
        let providers = self.directory.walk(place, self.now);
        self.tell(node, Fact::Fetched { channel: CHANNEL, providers });
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
