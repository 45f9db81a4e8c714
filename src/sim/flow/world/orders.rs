//! The orders of policies, carried out. This file only says who does it.

use super::World;
use super::happening::Happening;
use super::standbys::Cue;
use crate::iptv::{Event, Order, Role};

impl World {
    pub(super) fn obey(&mut self, node: u32, order: Order<u32>) {
        match order {
            Order::Event(event) => self.note(node, &event),
            // Nobody stands by in these crowds.
            Order::TakeOver { .. } | Order::BeginAnew { .. } => {}
            Order::Fetch { .. } => self.fetch(node),
            Order::Register { role, depth, free, listed, .. } => {
                let depth = if role == Role::Source { 0 } else { depth };
                self.look_up(node, Happening::Stored { node, depth, free, listed });
            }
            Order::Unregister { .. } => self.look_up(node, Happening::Removed(node)),
            Order::Invite { call, peer, kind, slots, .. } => self.invite(node, call, peer, (kind, slots)),
            Order::Cancel { call } => self.cancel(node, call),
            Order::Accept { call, depth, rescue, .. } => self.accept(node, call, depth, rescue),
            Order::Redirect { call, providers } => self.redirect(node, call, providers),
            Order::Queue { call } => self.keep_waiting(node, call),
            Order::Refuse { call, denial } => self.deny(node, call, denial),
            Order::Bye { call, reason } => self.bye(node, call, reason),
            Order::Inform { call, report } => self.inform(node, call, report),
            Order::Resume { call } => self.cue(node, call, Cue::Resume),
            Order::Deny { call } => self.cue(node, call, Cue::Denied),
            Order::Release { call } => self.release(node, call),
            Order::Serve { call } => self.serve(node, call),
            Order::Rest { call } => self.rest(node, call),
            Order::Hold { hold, .. } => self.hold(node, hold),
        }
    }

    fn note(&mut self, node: u32, event: &Event<u32>) {
        self.summary.event(event);
        if matches!(event, Event::Elected { .. }) {
            self.novices.elected(self.now, node);
        }
        if matches!(event, Event::Ended { .. }) {
            self.queue.schedule(self.now, Happening::Gone(node));
        }
    }
}
