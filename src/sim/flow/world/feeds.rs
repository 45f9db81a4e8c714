//! Media in calls: which call a path belongs to, first packets, and HOLD, which goes where media go.

use super::happening::Happening;
use super::{CHANNEL, World};
use crate::env::Entropy;
use crate::iptv::{Fact, Hold};
use crate::sim::flow::media::Leg;
use crate::sim::flow::session::{End, Ticket};
use crate::sim::flow::sizes;
use crate::sim::flow::summary::Control;
use crate::time::Duration;

impl World {
    pub(super) fn note_leg(&mut self, leg: Leg, ticket: Ticket) {
        if self.calls.len() <= leg as usize {
            self.calls.resize(leg as usize + 1, ticket);
        }
        self.calls[leg as usize] = ticket;
    }

    /// First packets become facts when they arrive.
    pub(super) fn tell_firsts(&mut self) {
        if !self.media.has_firsts() {
            return;
        }
        let gap = self.setting.terms.packet * 1_000_000 / self.setting.terms.rate.max(1);
        for (at, leg) in self.media.take_firsts() {
            let phase = Duration::from_micros(self.dice.below(gap));
            if let Some(&ticket) = self.calls.get(leg as usize) {
                self.queue.schedule(at.max(self.now) + phase, Happening::First(ticket));
            }
        }
    }

    /// Whose media break off reckons anew when that will be a silence: it had been told that more was going to come.
    pub(super) fn tell_broken(&mut self) {
        for node in self.media.take_broken() {
            self.queue.schedule(self.now, Happening::Broken(node));
        }
    }

    pub(super) fn broken(&mut self, node: u32) {
        self.with(node, |iptv, now, ctx| iptv.listen_anew(now, CHANNEL, ctx));
    }

    pub(super) fn first(&mut self, ticket: Ticket) {
        if let Some((node, call)) = self.call(ticket, End::Caller) {
            self.tell(node, Fact::FirstPacket { channel: CHANNEL, call });
        }
    }

    /// A node tells its children that it is alive, but has nothing for them.
    pub(super) fn hold(&mut self, node: u32, hold: Hold) {
        for leg in self.media.given(node).to_vec() {
            let Some(&ticket) = self.calls.get(leg as usize) else { continue };
            self.count(node, Control::Notices, sizes::NOTICE);
            let Some(delay) = self.sessions.get(ticket).map(|s| s.delay) else { continue };
            self.notice(Duration::ZERO, delay, Happening::Held(ticket, hold));
        }
    }

    pub(super) fn held(&mut self, ticket: Ticket, hold: Hold) {
        let Some(session) = self.sessions.get(ticket).filter(|s| s.takes) else { return };
        self.media.hear(self.now, session.leg);
        if let Some((node, call)) = self.call(ticket, End::Caller) {
            self.tell(node, Fact::Held { call, hold });
        }
    }
}
