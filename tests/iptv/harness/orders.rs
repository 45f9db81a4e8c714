//! What policies order, carried out.

use super::jobs::Job;
use super::{Leg, Session, World, ms};
use p2piptv::env::Entropy;
use p2piptv::ids::CallId;
use p2piptv::iptv::{Context, Denial, Fact, InviteKind, Order, Refusal, Report, Role};
use p2piptv::time::Duration;
use std::collections::VecDeque;

const LOOKUP: Duration = Duration::from_millis(30);

impl World {
    pub(super) fn carry_out(&mut self, id: u32, orders: VecDeque<Order<u32>>) {
        for order in orders {
            match &order {
                Order::Event(e) => self.trace.push(format!("{:?}   ! {id} {e:?}", self.now)),
                o => self.trace.push(format!("{:?} {id} -> {o:?}", self.now)),
            }
            self.order(id, order);
        }
        if self.entropy.below(8) == 0 {
            self.spurious(id);
        }
        self.check(id);
        if let Some(d) = self.peers[id as usize].iptv.deadline() {
            let d = d.max(self.now);
            self.at(d, Job::Timer(id));
        }
    }

    /// K12: before the deadline a timeout does nothing.
    fn spurious(&mut self, id: u32) {
        let peer = &mut self.peers[id as usize];
        if peer.iptv.deadline().is_some_and(|d| d <= self.now) {
            return;
        }
        let before = peer.iptv.deadline();
        let mut orders = VecDeque::new();
        let mut ctx = Context { entropy: &mut peer.entropy, progress: &peer.media, orders: &mut orders };
        peer.iptv.handle_timeout(self.now, &mut ctx);
        assert!(orders.is_empty() && peer.iptv.deadline() == before, "K12");
    }

    pub(super) fn order(&mut self, id: u32, order: Order<u32>) {
        match order {
            Order::Event(e) => self.events.push((self.now, id, e)),
            Order::Fetch { channel } => {
                self.peers[id as usize].fetches += 1;
                self.after(LOOKUP, Job::Fetched(id, channel));
            }
            // Records of an earlier epoch count no longer.
            Order::TakeOver { channel } | Order::BeginAnew { channel } => drop(self.records.remove(&channel)),
            // Where those stand that are not listed is beyond this world.
            Order::Register { listed: false, .. } => {}
            Order::Register { channel, role, depth, free, listed: true } => {
                if role == Role::Relayer {
                    self.registrations.insert(id);
                }
                self.after(LOOKUP, Job::Stored(id, channel, free, depth));
            }
            Order::Unregister { channel } => self.after(LOOKUP, Job::Removed(id, channel)),
            Order::Invite { channel, call, peer, kind, slots } => {
                self.peers[id as usize].invites += usize::from(kind != InviteKind::Standby);
                let session = self.sessions.len();
                self.sessions.push(Session {
                    channel,
                    media: kind != InviteKind::Control,
                    standby: kind == InviteKind::Standby,
                    wanted: false,
                    flows: !matches!(kind, InviteKind::Control | InviteKind::Standby),
                    caller: (id, call),
                    callee: (peer, None),
                    serving: false,
                    taking: false,
                    settled: false,
                    first_packet: false,
                });
                self.peers[id as usize].legs.insert(call, Leg { session, caller: true });
                self.after(self.delay(id, peer), Job::Ring(session, kind, slots));
            }
            Order::Cancel { call } => {
                let leg = self.leg(id, call);
                assert!(leg.caller, "only a caller cancels");
                // An answer that is under way arrives all the same.
                if !self.sessions[leg.session].serving {
                    self.sessions[leg.session].settled = true;
                }
            }
            Order::Accept { call, depth, rescue, .. } => {
                let s = self.leg(id, call).session;
                self.sessions[s].serving = true;
                self.after(self.delay(id, self.sessions[s].caller.0), Job::Answered(s, depth, rescue));
            }
            Order::Redirect { call, providers } => {
                assert!(!providers.is_empty() && providers.len() <= 8, "Q1");
                self.refuse(id, call, Refusal::Redirected(providers));
            }
            Order::Queue { call } => {
                let (caller, call) = self.sessions[self.leg(id, call).session].caller;
                self.after(self.delay(id, caller), Job::Fact(caller, Fact::Proceeding { call }));
            }
            Order::Refuse { call, denial } => {
                let refusal = match denial {
                    Denial::Busy { retry_after } => Refusal::Busy { retry_after: Some(retry_after) },
                    Denial::Loop => Refusal::Loop,
                    Denial::NotFound => Refusal::NotFound,
                    Denial::ControlUnwanted => Refusal::Other,
                };
                self.refuse(id, call, refusal);
            }
            Order::Bye { call, reason } => {
                let leg = self.leg(id, call);
                let session = &mut self.sessions[leg.session];
                let up = if leg.caller { &mut session.taking } else { &mut session.serving };
                *up = false;
                let far = if leg.caller { session.callee.0 } else { session.caller.0 };
                self.after(self.delay(id, far), Job::Ended(leg.session, !leg.caller, reason));
            }
            Order::Inform { call, report } => {
                if report == Report::Alive {
                    *self.alives.entry(id).or_default() += 1;
                }
                if self.deaf.contains(&id) {
                    return;
                }
                let leg = self.leg(id, call);
                let session = &self.sessions[leg.session];
                let far = if leg.caller { session.callee.0 } else { session.caller.0 };
                self.after(self.delay(id, far), Job::Report(leg.session, !leg.caller, report));
            }
            Order::Resume { call } => {
                let s = self.leg(id, call).session;
                self.sessions[s].wanted = true;
                self.sessions[s].first_packet = false;
                self.after(self.delay(id, self.sessions[s].callee.0), Job::Resumed(s, 4));
            }
            Order::Release { call } => {
                let s = self.leg(id, call).session;
                self.sessions[s].wanted = false;
                self.after(self.delay(id, self.sessions[s].callee.0), Job::Released(s));
            }
            Order::Serve { call } => {
                let s = self.leg(id, call).session;
                self.sessions[s].flows = true;
            }
            Order::Rest { call } => {
                let s = self.leg(id, call).session;
                self.sessions[s].flows = false;
            }
            Order::Deny { call } => {
                let s = self.leg(id, call).session;
                self.sessions[s].flows = false;
                self.after(self.delay(id, self.sessions[s].caller.0), Job::Denied(s));
            }
            Order::Hold { channel, hold } => {
                let serving: Vec<usize> = (0..self.sessions.len())
                    .filter(|&s| {
                        let s = &self.sessions[s];
                        s.callee.0 == id && s.serving && s.media && s.flows && s.channel == channel
                    })
                    .collect();
                for s in serving {
                    self.after(self.delay(id, self.sessions[s].caller.0), Job::Held(s, hold));
                }
            }
        }
    }

    fn leg(&self, id: u32, call: CallId) -> Leg {
        *self.peers[id as usize]
            .legs
            .get(&call)
            .unwrap_or_else(|| panic!("{id} orders about unknown {call:?}"))
    }

    fn refuse(&mut self, id: u32, call: CallId, refusal: Refusal<u32>) {
        let s = self.leg(id, call).session;
        self.after(self.delay(id, self.sessions[s].caller.0), Job::Refused(s, refusal));
    }

    pub(super) fn delay(&self, a: u32, b: u32) -> Duration {
        // Different for each pair, the same both ways.
        let spread = u64::from(a.wrapping_mul(31) ^ b.wrapping_mul(31)) % 8;
        self.latency + ms(spread)
    }
}
