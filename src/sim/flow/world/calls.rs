//! Calls, from the INVITE at one end to the BYE at the other, and the reports that go in them.

use super::happening::Happening;
use super::people::Host;
use super::post::TIMER_B;
use super::{CHANNEL, SOURCE, World};
use crate::ids::CallId;
use crate::iptv::{ByeReason, Denial, Fact, InviteKind, Provider, Refusal, Report};
use crate::sim::flow::media::NO_LEG;
use crate::sim::flow::session::{End, Purpose, Ticket};
use crate::sim::flow::sizes;
use crate::sim::flow::summary::Control;
use crate::time::Duration;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Between two reception reports.
pub(super) const REPORTS: Duration = Duration::from_secs(1);
/// The same in a standby.
pub(super) const STANDBY_REPORTS: Duration = Duration::from_secs(5);

impl World {
    /// A call that a node names and that is up at its end.
    pub(super) fn find(&self, node: u32, call: CallId) -> Option<(Ticket, End)> {
        let (at, end) = if call.is_placed() {
            let host = self.hosts.get(node)?;
            (*host.placed.get(&call.number())?, End::Caller)
        } else {
            (call.number(), End::Callee)
        };
        let (ticket, session) = self.sessions.at(at)?;
        (session.up[end as usize] && session.of(end) == node).then_some((ticket, end))
    }

    /// How an end that is still up knows a call.
    pub(super) fn call(&self, ticket: Ticket, end: End) -> Option<(u32, CallId)> {
        let session = self.sessions.get(ticket).filter(|s| s.up[end as usize])?;
        let call = match end {
            End::Caller => CallId::placed(session.placed),
            End::Callee => CallId::received(ticket.at),
        };
        Some((session.of(end), call))
    }

    pub(super) fn invite(&mut self, node: u32, call: CallId, peer: u32, (kind, slots): (InviteKind, u16)) {
        let delay = self.latency(node, peer);
        let purpose = match kind {
            InviteKind::Media | InviteKind::Urgent => Purpose::Media,
            InviteKind::Control => Purpose::Control,
            InviteKind::Standby => Purpose::Standby,
        };
        let ticket = self.sessions.add((node, call.number()), peer, delay, purpose);
        let knows = |host: &Host| {
            let mut others = host.placed.values().chain(&host.received);
            let known = others.any(|&at| {
                self.sessions.at(at).is_some_and(|(_, s)| s.up[0] && (s.callee == peer || s.caller == peer))
            });
            known || peer == SOURCE && host.met_source
        };
        let host = self.hosts.get(node);
        let acquainted = self.quick || node == SOURCE || host.is_some_and(knows);
        if let Some(host) = self.hosts.get_mut(node) {
            host.placed.insert(call.number(), ticket.at);
            host.met_source |= peer == SOURCE;
        }
        let head_start = if acquainted { Duration::ZERO } else { delay * 2 * self.setting.handshake };
        self.count(node, Control::Calls, sizes::INVITE);
        self.send(ticket, End::Callee, head_start, |t, _| Happening::Ring(t, kind, slots));
    }

    pub(super) fn ring(&mut self, ticket: Ticket, kind: InviteKind, slots: u16) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(ticket) else { return };
        let (caller, callee) = (session.caller, session.callee);
        let Some(host) = self.hosts.get_mut(callee) else {
            return self.queue.schedule(now + TIMER_B, Happening::Unanswered(ticket));
        };
        session.up[End::Callee as usize] = true;
        if callee == SOURCE {
            let media = matches!(kind, InviteKind::Media | InviteKind::Urgent);
            self.summary.joins_at_source += u64::from(media);
        } else {
            host.received.push(ticket.at);
        }
        let call = CallId::received(ticket.at);
        let fact = match kind {
            InviteKind::Control => Fact::ControlInvited { channel: CHANNEL, call, peer: caller },
            InviteKind::Standby => {
                Fact::StandbyInvited { channel: CHANNEL, call, peer: caller, slots: Some(slots) }
            }
            InviteKind::Media | InviteKind::Urgent => {
                let urgent = kind == InviteKind::Urgent;
                let moves = !urgent && self.media.last_media(caller, now).is_some();
                Fact::Invited { channel: CHANNEL, call, peer: caller, urgent, moves, slots: Some(slots) }
            }
        };
        self.tell(callee, fact);
    }

    pub(super) fn cancel(&mut self, node: u32, call: CallId) {
        if let Some((ticket, _)) = self.find(node, call) {
            self.count(node, Control::Calls, sizes::CANCEL);
            if let Some(session) = self.sessions.get_mut(ticket) {
                session.cancelled = true;
            }
        }
    }

    pub(super) fn keep_waiting(&mut self, node: u32, call: CallId) {
        let Some((ticket, _)) = self.find(node, call) else { return };
        self.count(node, Control::Calls, sizes::QUEUE);
        self.send(ticket, End::Caller, Duration::ZERO, |t, _| Happening::Queued(t));
    }

    pub(super) fn queued(&mut self, ticket: Ticket) {
        if let Some((node, call)) = self.call(ticket, End::Caller) {
            self.tell(node, Fact::Proceeding { call });
        }
    }

    pub(super) fn accept(&mut self, node: u32, call: CallId, depth: u8, rescue: bool) {
        let Some((ticket, _)) = self.find(node, call) else { return };
        self.count(node, Control::Calls, sizes::ANSWER);
        let now = self.now;
        let Some(session) = self.sessions.get_mut(ticket) else { return };
        if session.purpose == Purpose::Media {
            let leg = self.media.open(now, node, session.caller, session.delay);
            session.leg = leg;
            self.note_leg(leg, ticket);
        }
        self.send(ticket, End::Caller, Duration::ZERO, |t, _| Happening::Answered(t, depth, rescue));
    }

    pub(super) fn answered(&mut self, ticket: Ticket, depth: u8, rescue: bool) {
        let now = self.now;
        let Some(session) = self.sessions.get(ticket).filter(|s| s.up[0]) else { return };
        let (leg, delay, purpose) = (session.leg, session.delay, session.purpose);
        let ends = (session.callee, session.caller);
        // While the crowd comes nothing takes time, but everybody learns who is near.
        let rtt = self.path(ends.1, ends.0) * 2;
        let Some(session) = self.sessions.get_mut(ticket) else { return };
        match session.purpose {
            Purpose::Media => session.reports = Some((now, REPORTS)),
            Purpose::Standby => session.reports = Some((now, STANDBY_REPORTS)),
            Purpose::Control => {}
        }
        if leg != NO_LEG {
            session.takes = true;
            let replays = !self.setting.terms.ring.is_zero();
            self.media.take(now, leg, replays);
            self.tell_firsts();
        }
        if purpose == Purpose::Standby {
            self.media.stand_by(now, ends, delay);
        }
        if let Some((node, call)) = self.call(ticket, End::Caller) {
            self.tell(node, Fact::RoundTrip { call, rtt });
            self.tell(node, Fact::Answered { call, depth: Some(depth), rescue });
        }
    }

    pub(super) fn redirect(&mut self, node: u32, call: CallId, providers: Vec<Provider<u32>>) {
        let octets = sizes::REFUSAL + sizes::ALTERNATIVE * providers.len() as u64;
        self.refuse(node, call, Refusal::Redirected(providers), octets);
    }

    pub(super) fn deny(&mut self, node: u32, call: CallId, denial: Denial) {
        let refusal = match denial {
            // Retry-After is in whole seconds.
            Denial::Busy { retry_after } => Refusal::Busy {
                retry_after: Some(Duration::from_secs(retry_after.as_millis().div_ceil(1000) as u64)),
            },
            Denial::Loop => Refusal::Loop,
            Denial::NotFound => Refusal::NotFound,
            Denial::ControlUnwanted => Refusal::Other,
        };
        self.refuse(node, call, refusal, sizes::REFUSAL);
    }

    fn refuse(&mut self, node: u32, call: CallId, refusal: Refusal<u32>, octets: u64) {
        let Some((ticket, end)) = self.find(node, call) else { return };
        self.count(node, Control::Calls, octets);
        self.send(ticket, End::Caller, Duration::ZERO, |t, _| Happening::Refused(t, Box::new(refusal)));
        // The caller has yet to hear of it.
        if let Some(session) = self.sessions.get_mut(ticket) {
            session.up[end as usize] = false;
        }
        if let Some(host) = self.hosts.get_mut(node) {
            host.received.retain(|&at| at != ticket.at);
        }
    }

    pub(super) fn refused(&mut self, ticket: Ticket, refusal: Refusal<u32>) {
        let cancelled = self.sessions.get(ticket).is_none_or(|s| s.cancelled);
        if let Some((node, call)) = self.hang_up(ticket, End::Caller)
            && !cancelled
        {
            self.tell(node, Fact::Refused { call, refusal });
        }
    }

    pub(super) fn bye(&mut self, node: u32, call: CallId, reason: ByeReason) {
        let Some((ticket, end)) = self.find(node, call) else { return };
        self.count(node, Control::Calls, sizes::BYE);
        self.send(ticket, end.other(), Duration::ZERO, |t, to| Happening::Ended(t, to, reason));
        self.hang_up(ticket, end);
    }

    pub(super) fn ended(&mut self, ticket: Ticket, end: End, reason: ByeReason) {
        if let Some((node, call)) = self.hang_up(ticket, end) {
            self.tell(node, Fact::Ended { call, reason });
        }
    }

    /// One end knows the call no more. Who it was, and what it called it.
    pub(super) fn hang_up(&mut self, ticket: Ticket, end: End) -> Option<(u32, CallId)> {
        let (node, call) = self.call(ticket, end)?;
        let now = self.now;
        let session = self.sessions.get_mut(ticket)?;
        session.up[end as usize] = false;
        let (leg, over) = (session.leg, session.up == [false; 2]);
        match end {
            End::Caller => {
                if session.purpose == Purpose::Standby {
                    self.media.stand_down(now, (session.callee, session.caller));
                }
                session.left = session.left.min(now);
                let takes = core::mem::replace(&mut session.takes, false);
                if let Some(host) = self.hosts.get_mut(node) {
                    host.placed.remove(&call.number());
                }
                if leg != NO_LEG && takes {
                    self.media.drop_leg(now, leg);
                }
            }
            End::Callee => {
                if let Some(host) = self.hosts.get_mut(node) {
                    host.received.retain(|&at| at != ticket.at);
                }
                if leg != NO_LEG {
                    if !session.takes {
                        // It comes to its end here: a late answer finds nothing to take.
                        session.leg = NO_LEG;
                    }
                    self.media.close(now, leg);
                }
            }
        }
        if over {
            self.sessions.remove(ticket);
        }
        self.tell_firsts();
        Some((node, call))
    }

    pub(super) fn inform(&mut self, node: u32, call: CallId, report: Report<u32>) {
        let Some((ticket, end)) = self.find(node, call) else { return };
        let control = if report == Report::Alive { Control::Alive } else { Control::Reports };
        self.count(node, control, sizes::report(&report));
        self.send(ticket, end.other(), Duration::ZERO, |t, to| match report {
            Report::Alive => Happening::Alive(t, to),
            report => Happening::Told(t, to, Box::new(report)),
        });
    }

    pub(super) fn told(&mut self, ticket: Ticket, end: End, report: Report<u32>) {
        let Some((node, call)) = self.call(ticket, end) else {
            let Some(session) = self.sessions.get(ticket) else { return };
            let lives = self.hosts.get(session.of(end)).is_some();
            // 481 comes back, or nothing at all.
            let wait = if lives { session.delay } else { TIMER_B };
            return self.queue.schedule(self.now + wait, Happening::Untold(ticket, end.other()));
        };
        self.tell(node, Fact::Reported { call, report });
    }

    pub(super) fn untold(&mut self, ticket: Ticket, end: End) {
        if let Some((node, call)) = self.call(ticket, end) {
            self.tell(node, Fact::ReportFailed { call });
        }
    }
}
