//! What can happen, and whom it happens to.

use super::World;
use super::standbys::Cue;
use crate::iptv::{ByeReason, Hold, InviteKind, Refusal, Report};
use crate::sim::flow::session::{End, Ticket};
use alloc::boxed::Box;

/// What happens.
pub(super) enum Happening {
    Wake(u32),
    Arrive(u32),
    Depart(u32),
    Gone(u32),
    Ring(Ticket, InviteKind, u16),
    Queued(Ticket),
    Answered(Ticket, u8, bool),
    Refused(Ticket, Box<Refusal<u32>>),
    Unanswered(Ticket),
    Ended(Ticket, End, ByeReason),
    Alive(Ticket, End),
    Told(Ticket, End, Box<Report<u32>>),
    Untold(Ticket, End),
    Held(Ticket, Hold),
    First(Ticket),
    Broken(u32),
    Cued(Ticket, Cue),
    Fetched(u32),
    Walked(u32),
    Met(u32),
    Stored { node: u32, depth: u8, free: u16, listed: bool },
    Removed(u32),
}

impl Happening {
    /// What the trace says of it: a number for what it is, and whose it is.
    const fn trace(&self) -> (u64, u32) {
        match self {
            Happening::Wake(node) => (0, *node),
            Happening::Arrive(n) => (1, *n),
            Happening::Depart(node) => (2, *node),
            Happening::Ring(t, ..) => (3, t.at),
            Happening::Answered(t, ..) => (4, t.at),
            Happening::Refused(t, _) => (5, t.at),
            Happening::Unanswered(t) => (6, t.at),
            Happening::Ended(t, ..) => (7, t.at),
            Happening::Alive(t, _) => (8, t.at),
            Happening::Told(t, ..) => (9, t.at),
            Happening::Untold(t, _) => (10, t.at),
            Happening::Held(t, _) => (11, t.at),
            Happening::First(t) => (12, t.at),
            Happening::Fetched(node) => (13, *node),
            Happening::Stored { node, .. } => (14, *node),
            Happening::Walked(node) => (17, *node),
            Happening::Gone(node) => (18, *node),
            Happening::Removed(node) => (15, *node),
            Happening::Cued(t, _) => (16, t.at),
            Happening::Broken(node) => (19, *node),
            Happening::Queued(t) => (20, t.at),
            Happening::Met(node) => (21, *node),
        }
    }
}

impl World {
    /// What has happened goes to whoever deals with it.
    pub(super) fn step(&mut self, happening: Happening) {
        self.summary.happened += 1;
        let (kind, who) = happening.trace();
        self.summary.remember(self.now, kind, who);
        match happening {
            Happening::Wake(node) => self.wake(node),
            Happening::Arrive(n) => self.arrive(n),
            Happening::Depart(node) => self.depart(node),
            Happening::Gone(node) => self.gone(node),
            Happening::Ring(ticket, kind, slots) => self.ring(ticket, kind, slots),
            Happening::Answered(ticket, depth, rescue) => self.answered(ticket, depth, rescue),
            Happening::Refused(ticket, refusal) => self.refused(ticket, *refusal),
            Happening::Queued(ticket) => self.queued(ticket),
            Happening::Unanswered(ticket) => self.refused(ticket, Refusal::NoAnswer),
            Happening::Ended(ticket, end, reason) => self.ended(ticket, end, reason),
            Happening::Alive(ticket, end) => self.told(ticket, end, Report::Alive),
            Happening::Told(ticket, end, report) => self.told(ticket, end, *report),
            Happening::Untold(ticket, end) => self.untold(ticket, end),
            Happening::Held(ticket, hold) => self.held(ticket, hold),
            Happening::First(ticket) => self.first(ticket),
            Happening::Broken(node) => self.broken(node),
            Happening::Cued(ticket, cue) => self.cued(ticket, cue),
            Happening::Fetched(node) => self.fetched(node),
            Happening::Walked(node) => self.walked(node),
            Happening::Met(node) => self.met(node),
            Happening::Stored { node, depth, free, listed } => self.stored(node, depth, free, listed),
            Happening::Removed(node) => self.directory.remove(node),
        }
        self.tell_broken();
    }
}
