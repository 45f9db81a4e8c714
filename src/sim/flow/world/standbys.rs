//! Standbys, calls in which media flow on demand: what their ends tell each other, and what that does to the media.

use super::World;
use super::calls::{REPORTS, STANDBY_REPORTS};
use super::happening::Happening;
use crate::ids::CallId;
use crate::iptv::Fact;
use crate::sim::flow::media::NO_LEG;
use crate::sim::flow::session::{End, Ticket};
use crate::sim::flow::sizes;
use crate::sim::flow::summary::Control;
use crate::time::Duration;

/// What is sent until it has shown is sent so often at most.
const REPEATS: u32 = 5;

/// What the ends of a standby tell each other.
#[derive(Clone, Copy)]
pub(super) enum Cue {
    Resume,
    Release,
    Denied,
}

impl World {
    /// A notice about a standby, on the media plane: lost it is lost, unless it is sent again.
    pub(super) fn cue(&mut self, node: u32, call: CallId, cue: Cue) {
        let Some((ticket, _)) = self.find(node, call) else { return };
        let Some(delay) = self.sessions.get(ticket).map(|s| s.delay) else { return };
        // RESUME goes until something comes, RELEASE goes while something does.
        let attempts = if matches!(cue, Cue::Denied) { 1 } else { REPEATS };
        let mut wait = Duration::ZERO;
        for _ in 0..attempts {
            self.count(node, Control::Notices, sizes::NOTICE);
            if self.notice(wait, delay, Happening::Cued(ticket, cue)) {
                return;
            }
            wait += (delay * 2).max(Duration::from_millis(50));
        }
    }

    pub(super) fn cued(&mut self, ticket: Ticket, cue: Cue) {
        let end = if matches!(cue, Cue::Denied) { End::Caller } else { End::Callee };
        let Some((node, call)) = self.call(ticket, end) else { return };
        let fact = match cue {
            Cue::Resume => Fact::Resumed { call },
            Cue::Release => Fact::Released { call },
            Cue::Denied => Fact::Denied { call },
        };
        self.tell(node, fact);
    }

    /// The child takes no more of what flows in a standby.
    pub(super) fn release(&mut self, node: u32, call: CallId) {
        self.cue(node, call, Cue::Release);
        let Some((ticket, End::Caller)) = self.find(node, call) else { return };
        let now = self.now;
        let Some(session) = self.sessions.get_mut(ticket).filter(|s| s.takes) else { return };
        session.takes = false;
        session.reports = Some((now, STANDBY_REPORTS));
        let leg = session.leg;
        self.media.drop_leg(now, leg);
        self.tell_firsts();
    }

    /// Media flow in a standby from now on, behind what its child has.
    pub(super) fn serve(&mut self, node: u32, call: CallId) {
        let Some((ticket, End::Callee)) = self.find(node, call) else { return };
        let now = self.now;
        let Some(session) = self.sessions.get(ticket).filter(|s| s.leg == NO_LEG) else { return };
        let (caller, up, delay) = (session.caller, session.up[End::Caller as usize], session.delay);
        let leg = self.media.open(now, node, caller, delay);
        self.note_leg(leg, ticket);
        if up {
            let replays = !self.setting.terms.ring.is_zero();
            self.media.take(now, leg, replays);
        }
        if let Some(session) = self.sessions.get_mut(ticket) {
            session.leg = leg;
            session.takes = up;
            session.reports = session.reports.map(|_| (now, REPORTS));
        }
        self.tell_firsts();
    }

    /// No media flow in a standby any more.
    pub(super) fn rest(&mut self, node: u32, call: CallId) {
        let Some((ticket, End::Callee)) = self.find(node, call) else { return };
        let now = self.now;
        let Some(session) = self.sessions.get_mut(ticket).filter(|s| s.leg != NO_LEG) else { return };
        let leg = core::mem::replace(&mut session.leg, NO_LEG);
        let takes = core::mem::replace(&mut session.takes, false);
        session.reports = session.reports.map(|_| (now, STANDBY_REPORTS));
        self.media.close(now, leg);
        if takes {
            self.media.drop_leg(now, leg);
        }
        self.tell_firsts();
    }
}
