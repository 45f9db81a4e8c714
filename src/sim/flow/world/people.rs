//! People come, with a machine of the policy each, and go, with a word or without. Who they are is the crowd's business.

use super::World;
use super::happening::Happening;
use super::{CHANNEL, SOURCE};
use crate::env::{Entropy, Seeded};
use crate::iptv::{Config, Iptv};
use crate::sim::flow::crowd::Person;
use crate::sim::flow::session::End;
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

/// One node, and who sits before it.
pub(super) struct Host {
    pub(super) iptv: Iptv<u32>,
    pub(super) dice: Seeded,
    pub(super) person: Person,
    /// When it will go, once that is known.
    pub(super) dies: Instant,
    /// When it is to be woken; later wake-ups are stale.
    pub(super) wake: Instant,
    pub(super) placed: BTreeMap<u32, u32>,
    /// Calls that it received. The source, which never dies, keeps no list.
    pub(super) received: Vec<u32>,
    pub(super) met_source: bool,
    pub(super) registered: bool,
    /// Whether it has seen that there is no room for all relayers under the channel's name.
    pub(super) crowded: bool,
    /// When it went into the channel's tree the last time.
    pub(super) walked: Option<Instant>,
}

/// Everybody who is there, by the number of the node.
#[derive(Default)]
pub(super) struct Hosts(Vec<Option<Box<Host>>>);

impl Hosts {
    pub(super) fn get(&self, node: u32) -> Option<&Host> {
        self.0.get(node as usize)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, node: u32) -> Option<&mut Host> {
        self.0.get_mut(node as usize)?.as_deref_mut()
    }

    pub(super) fn take(&mut self, node: u32) -> Option<Box<Host>> {
        self.0.get_mut(node as usize)?.take()
    }

    pub(super) fn put(&mut self, node: u32, host: Box<Host>) {
        let at = node as usize;
        if self.0.len() <= at {
            self.0.resize_with(at + 1, || None);
        }
        self.0[at] = Some(host);
    }

    /// How many are there.
    pub(super) fn present(&self) -> usize {
        self.0.iter().flatten().count()
    }

    /// The numbers that were ever given.
    pub(super) const fn numbers(&self) -> Range<u32> {
        0..self.0.len() as u32
    }
}

impl World {
    pub(super) fn settle_in(&mut self, node: u32, person: Person) {
        let config = self
            .configs
            .entry(person.slots)
            .or_insert_with(|| Arc::new(Config { capacity: person.slots, ..self.setting.policy.clone() }));
        let host = Host {
            iptv: Iptv::new(Arc::clone(config), node),
            dice: Seeded::new(self.dice.next_u64()),
            person,
            dies: Instant::FAR_FUTURE,
            wake: Instant::FAR_FUTURE,
            placed: BTreeMap::new(),
            received: Vec::new(),
            met_source: false,
            registered: false,
            crowded: false,
            walked: None,
        };
        self.hosts.put(node, Box::new(host));
        if node != SOURCE {
            self.media.begin(node, self.now);
        }
        if person.lies {
            self.media.silence(node);
        }
    }

    pub(super) fn arrive(&mut self, n: u32) {
        let node = n + 1;
        let at = if self.quick { Instant::ZERO } else { Instant::ZERO + self.elapsed() };
        let person = self.setting.crowd.person(n, at);
        self.settle_in(node, person);
        if !self.quick {
            self.plan_departure(node);
            self.summary.arrivals += 1;
        }
        self.with(node, |iptv, now, ctx| _ = iptv.tune(now, CHANNEL, ctx));
    }

    /// From now on it is known when a node will go.
    pub(super) fn plan_departure(&mut self, node: u32) {
        let begins = self.begins;
        let Some(host) = self.hosts.get_mut(node) else { return };
        if node == SOURCE || host.person.leaves == Instant::FAR_FUTURE {
            return;
        }
        let leaves = begins + host.person.leaves.since(Instant::ZERO);
        let lingers = if host.person.abrupt { Duration::ZERO } else { self.setting.policy.farewell };
        host.dies = leaves + lingers;
        if leaves.since(begins) <= self.setting.crowd.lasts + Duration::from_secs(5) {
            self.queue.schedule(leaves, Happening::Depart(node));
        }
    }

    pub(super) fn depart(&mut self, node: u32) {
        let Some(host) = self.hosts.get(node) else { return };
        self.summary.departures += 1;
        if host.person.abrupt {
            return self.gone(node);
        }
        // It goes when its children have moved; that is the policy's business.
        self.with(node, |iptv, now, ctx| _ = iptv.stop(now, CHANNEL, ctx));
    }

    pub(super) fn gone(&mut self, node: u32) {
        self.media.die(self.now, node);
        self.tell_firsts();
        self.directory.abandon(node, self.now, &mut self.dice);
        let Some(host) = self.hosts.take(node) else { return };
        let person = host.person;
        for at in host.placed.values().chain(&host.received).copied() {
            let Some((ticket, session)) = self.sessions.at(at) else { continue };
            let end = match () {
                () if session.caller == node => End::Caller,
                () if session.callee == node => End::Callee,
                () => continue,
            };
            self.hang_up(ticket, end);
        }
        if person.replaced {
            let n = self.people;
            self.people += 1;
            self.queue.schedule(self.now, Happening::Arrive(n));
        }
    }
}
