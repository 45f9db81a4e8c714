//! The clock of the village: what is under way, and what happens when it arrives.

use super::{Leg, World};
use p2piptv::ids::{CallId, ChannelId};
use p2piptv::iptv::{ByeReason, Fact, Hold, InviteKind, Progress, Provider, Refusal, Report};
use p2piptv::time::{Duration, Instant};
use std::cmp::Reverse;

/// What SIP takes to notice that nobody answers (Timer B, Timer F).
const TIMER_B: Duration = Duration::from_secs(32);
/// Between two repetitions of RESUME, of which there are at most five.
const RESUME_AGAIN: Duration = Duration::from_millis(50);
const RECORD_LIFETIME: Duration = Duration::from_secs(60);

/// What is under way.
pub(super) enum Job {
    Fact(u32, Fact<u32>),
    Ring(usize, InviteKind, u16),
    Fetched(u32, ChannelId),
    Stored(u32, ChannelId, u16, u8),
    Removed(u32, ChannelId),
    /// The far end of a leg hears this.
    Report(usize, bool, Report<u32>),
    Held(usize, Hold),
    Resumed(usize, u8),
    Released(usize),
    Denied(usize),
    Ended(usize, bool, ByeReason),
    Answered(usize, u8, bool),
    Refused(usize, Refusal<u32>),
    Timer(u32),
    Tick,
}

impl World {
    pub(super) fn at(&mut self, t: Instant, job: Job) {
        self.sequence += 1;
        self.queue.push(Reverse((t, self.sequence)));
        self.jobs.insert(self.sequence, job);
    }

    pub(super) fn after(&mut self, d: Duration, job: Job) {
        self.at(self.now + d, job);
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(&Reverse((t, key))) = self.queue.peek() {
            if t > end {
                break;
            }
            self.queue.pop();
            self.now = self.now.max(t);
            if let Some(job) = self.jobs.remove(&key) {
                self.step(job);
            }
        }
        self.now = end;
    }

    fn addressee(&self, job: &Job) -> Option<u32> {
        let end = |s: usize, caller: bool| {
            let s = &self.sessions[s];
            if caller { s.caller.0 } else { s.callee.0 }
        };
        match job {
            Job::Fact(id, _) | Job::Fetched(id, _) | Job::Timer(id) => Some(*id),
            Job::Ring(s, ..) | Job::Resumed(s, _) | Job::Released(s) => Some(end(*s, false)),
            Job::Report(s, caller, _) | Job::Ended(s, caller, _) => Some(end(*s, *caller)),
            Job::Held(s, _) | Job::Answered(s, ..) | Job::Refused(s, _) | Job::Denied(s) => {
                Some(end(*s, true))
            }
            Job::Stored(..) | Job::Removed(..) | Job::Tick => None,
        }
    }

    fn step(&mut self, job: Job) {
        if let Some(id) = self.addressee(&job) {
            let peer = &mut self.peers[id as usize];
            if !peer.alive {
                return self.undelivered(job);
            }
            match peer.stalled {
                Some(until) if until > self.now => return self.at(until, job),
                _ => peer.stalled = None,
            }
        }
        match job {
            Job::Fact(id, fact) => self.tell(id, fact),
            Job::Timer(id) => self.fire(id),
            Job::Fetched(id, channel) => {
                let providers = self.lookup(channel);
                let found = Fact::Fetched { channel, providers };
                self.tell(id, if self.hidden { Fact::FetchFailed { channel } } else { found });
            }
            Job::Stored(id, channel, free, depth) => {
                self.records.entry(channel).or_default().insert(id, (depth, free));
                if self.peers[id as usize].registered_once.insert(channel) {
                    self.tell(id, Fact::Registered { channel, ok: true });
                }
            }
            Job::Removed(id, channel) => {
                self.records.entry(channel).or_default().remove(&id);
            }
            Job::Ring(s, kind, slots) => self.ring(s, kind, slots),
            Job::Answered(s, depth, rescue) => {
                let (id, call) = self.sessions[s].caller;
                self.sessions[s].settled = true;
                self.sessions[s].taking = true;
                self.tell(id, Fact::Answered { call, depth: Some(depth), rescue });
            }
            Job::Refused(s, refusal) => {
                if !std::mem::replace(&mut self.sessions[s].settled, true) {
                    let (id, call) = self.sessions[s].caller;
                    self.tell(id, Fact::Refused { call, refusal });
                }
            }
            Job::Report(s, to_caller, report) => self.report(s, to_caller, report),
            Job::Held(s, hold) => {
                let (id, call) = self.sessions[s].caller;
                if self.sessions[s].taking {
                    self.peers[id as usize].media.last_from.insert(call, self.now);
                    self.tell(id, Fact::Held { call, hold });
                }
            }
            Job::Resumed(s, repeats) => {
                let session = &self.sessions[s];
                if !session.wanted {
                    return;
                }
                let (serving, callee) = (session.serving, session.callee);
                if repeats > 0 {
                    self.after(RESUME_AGAIN, Job::Resumed(s, repeats - 1));
                }
                if let (id, Some(call)) = callee
                    && serving
                {
                    self.tell(id, Fact::Resumed { call });
                }
            }
            Job::Released(s) => {
                if let (id, Some(call)) = self.sessions[s].callee
                    && self.sessions[s].serving
                {
                    self.tell(id, Fact::Released { call });
                }
            }
            Job::Denied(s) => {
                let (id, call) = self.sessions[s].caller;
                if self.sessions[s].taking && std::mem::take(&mut self.sessions[s].wanted) {
                    self.tell(id, Fact::Denied { call });
                }
            }
            Job::Ended(s, at_caller, reason) => {
                let session = &mut self.sessions[s];
                let up = if at_caller { &mut session.taking } else { &mut session.serving };
                let (id, call) =
                    if at_caller { (session.caller.0, Some(session.caller.1)) } else { session.callee };
                if std::mem::replace(up, false)
                    && let Some(call) = call
                {
                    self.tell(id, Fact::Ended { call, reason });
                }
            }
            Job::Tick => self.tick(),
        }
    }

    /// What the sender notices when nobody is there.
    fn undelivered(&mut self, job: Job) {
        match job {
            Job::Ring(s, ..) => self.after(TIMER_B, Job::Refused(s, Refusal::NoAnswer)),
            Job::Resumed(s, repeats) if repeats > 0 => self.after(RESUME_AGAIN, Job::Resumed(s, repeats - 1)),
            Job::Report(s, to_caller, _) => {
                let s = &self.sessions[s];
                let (id, call) =
                    if to_caller { (s.callee.0, s.callee.1) } else { (s.caller.0, Some(s.caller.1)) };
                if let Some(call) = call {
                    self.after(TIMER_B, Job::Fact(id, Fact::ReportFailed { call }));
                }
            }
            _ => {}
        }
    }

    pub(super) fn tell(&mut self, id: u32, fact: Fact<u32>) {
        if !self.peers[id as usize].alive {
            return;
        }
        self.trace.push(format!("{:?}  -> {id} {fact:?}", self.now));
        self.command(id, |i, now, ctx| i.on_fact(now, fact, ctx));
    }

    fn fire(&mut self, id: u32) {
        let Some(due) = self.peers[id as usize].iptv.deadline() else { return };
        if due > self.now {
            return;
        }
        self.command(id, |i, now, ctx| i.handle_timeout(now, ctx));
        let deadline = self.peers[id as usize].iptv.deadline();
        assert!(deadline.is_none_or(|d| d > self.now), "K1: {id} at {:?} shows {deadline:?}", self.now);
    }

    fn report(&mut self, s: usize, to_caller: bool, report: Report<u32>) {
        let session = &self.sessions[s];
        let (to, up, from) = if to_caller {
            let (id, call) = session.caller;
            ((id, Some(call)), session.taking, session.callee)
        } else {
            (session.callee, session.serving, (session.caller.0, Some(session.caller.1)))
        };
        match (to, from.1) {
            ((id, Some(call)), _) if up => self.tell(id, Fact::Reported { call, report }),
            (_, Some(call)) => {
                let delay = self.delay(to.0, from.0);
                self.after(delay, Job::Fact(from.0, Fact::ReportFailed { call }));
            }
            _ => {}
        }
    }

    fn ring(&mut self, s: usize, kind: InviteKind, slots: u16) {
        if self.sessions[s].settled {
            return;
        }
        let id = self.sessions[s].callee.0;
        let peer = &mut self.peers[id as usize];
        let call = CallId::received(peer.received);
        peer.received += 1;
        peer.legs.insert(call, Leg { session: s, caller: false });
        let session = &mut self.sessions[s];
        session.callee.1 = Some(call);
        let (channel, peer) = (session.channel, session.caller.0);
        let fact = match kind {
            InviteKind::Control => Fact::ControlInvited { channel, call, peer },
            InviteKind::Standby => Fact::StandbyInvited { channel, call, peer, slots: Some(slots) },
            _ => {
                let urgent = kind == InviteKind::Urgent;
                let moves = !urgent && self.peers[peer as usize].media.last_media(channel).is_some();
                Fact::Invited { channel, call, peer, urgent, moves, slots: Some(slots) }
            }
        };
        self.tell(id, fact);
    }

    fn lookup(&self, channel: ChannelId) -> Vec<Provider<u32>> {
        let Some(records) = self.records.get(&channel) else { return Vec::new() };
        let live = records.iter().filter(|(id, _)| {
            let p = &self.peers[**id as usize];
            p.alive || self.now.since(p.died) < RECORD_LIFETIME
        });
        live.map(|(&peer, &(depth, free))| Provider { peer, depth: Some(depth), free: Some(free) }).collect()
    }
}
