//! Facts that make no sense.

use crate::harness::{CHANNEL, SOURCE, Solo, default, ms};
use p2piptv::env::{Entropy, Seeded};
use p2piptv::ids::{CallId, ChannelId};
use p2piptv::iptv::{
    ByeReason, Child, Config, Fact, Hold, InviteKind, Iptv, Mode, Order, Provider, Refusal, Report, Subtree,
};
use std::collections::{BTreeMap, BTreeSet};

/// Which calls are open, as whoever carries out the orders knows.
#[derive(Default)]
struct Open {
    /// Calls for media and standbys that were placed, to whom.
    placed: BTreeMap<CallId, (u32, InviteKind)>,
    /// Those of them that were answered.
    answered: BTreeSet<CallId>,
    /// Standbys that were asked for media, and not released.
    asked: BTreeSet<CallId>,
    /// Who has called.
    callers: BTreeMap<CallId, u32>,
}

impl Open {
    fn hear_of(&mut self, fact: &Fact<u32>, is_open: bool) {
        match fact {
            Fact::Answered { call, .. } if self.placed.contains_key(call) && is_open => {
                self.answered.insert(*call);
            }
            Fact::Refused { call, .. } | Fact::Ended { call, .. } => self.forget(*call),
            Fact::Denied { call } => _ = self.asked.remove(call),
            Fact::StandbyInvited { call, peer, .. } | Fact::Invited { call, peer, .. } => {
                self.callers.insert(*call, *peer);
            }
            _ => {}
        }
    }

    fn forget(&mut self, call: CallId) {
        self.placed.remove(&call);
        self.answered.remove(&call);
        self.asked.remove(&call);
    }

    fn follow<'a>(&mut self, orders: impl IntoIterator<Item = &'a Order<u32>>) {
        for order in orders {
            match order {
                Order::Invite { call, peer, kind, .. } if *kind != InviteKind::Control => {
                    self.placed.insert(*call, (*peer, *kind));
                }
                Order::Bye { call, .. } | Order::Cancel { call } => self.forget(*call),
                Order::Resume { call } => _ = self.asked.insert(*call),
                Order::Release { call } => _ = self.asked.remove(call),
                _ => {}
            }
        }
    }

    /// The laws of the tree, as far as one node can break them.
    fn check(&self, iptv: &Iptv<u32>) {
        let Some(status) = iptv.status(CHANNEL) else { return };
        let children: BTreeSet<u32> = iptv.table(CHANNEL).iter().map(|row| row.peer).collect();
        if !status.publisher {
            let above = status.parent.iter().chain(&status.cover).chain(&status.path);
            let both: Vec<_> = above.filter(|p| children.contains(p)).collect();
            assert!(both.is_empty(), "{both:?} above and below");
        }
        // One parent, one that covers, and one to move to.
        let media = self.answered.iter().filter(|c| self.placed[c].1 != InviteKind::Standby);
        let parents: Vec<_> = media.chain(&self.asked).collect();
        assert!(parents.len() <= 2 + 3, "{parents:?}");
        for call in self.answered.difference(&self.asked) {
            let (peer, kind) = self.placed[call];
            assert!(kind != InviteKind::Standby || !children.contains(&peer), "{peer} below is a backup");
        }
        for peer in iptv.leases().filter_map(|call| self.callers.get(&call)) {
            let is_above = status.parent == Some(*peer) || status.path.contains(peer);
            assert!(!is_above, "{peer} above is backed up");
        }
        let rescue = iptv.rescue_slots();
        assert!(rescue.promised <= 16 && usize::from(rescue.promised) == iptv.leases().count());
    }
}

fn any(calls: impl Iterator<Item = CallId>, dice: &mut Seeded) -> CallId {
    let calls: Vec<CallId> = calls.collect();
    let at = dice.below(calls.len().max(1) as u64) as usize;
    calls.get(at).copied().unwrap_or(CallId::placed(0))
}

/// Facts that make no sense, from anybody, in any order: never a panic, never a deadline in the past, everything bounded.
fn shrugs(seed: u64) -> bool {
    let mut dice = Seeded::new(seed);
    let mut config = default(3);
    config.limits.rows = 40;
    config.limits.controls = 4;
    config.limits.subtree_rows = 40;
    config.limits.waiting = 4;
    config.rescue_slots = 1 + dice.below(2) as u8;
    let rescue_slots = usize::from(config.rescue_slots);
    config.mode = if dice.below(2) == 0 { Mode::Delegated } else { Mode::SourceManaged };
    let mut s = match dice.below(3) {
        0 => Solo::publisher(config),
        1 => Solo::viewer(config, 9).0,
        _ => Solo::standby(config, 9).0,
    };
    let mut open = Open::default();
    let mut standbys = 0;
    for _ in 0..400 {
        let peer = dice.below(12) as u32;
        let n = dice.below(12) as u32;
        let call = match dice.below(4) {
            0 => CallId::placed(n),
            1 => CallId::placed(dice.below(40) as u32),
            2 => CallId::received(n),
            _ => CallId::received(40 + dice.below(u64::from(standbys) + 1) as u32),
        };
        let channel = if dice.below(8) == 0 { ChannelId(7) } else { CHANNEL };
        let mut peers = |n: u64| (0..n).map(|_| dice.below(500) as u32).collect::<Vec<_>>();
        let many = peers(300);
        let children: Vec<_> =
            many.iter().map(|&peer| Child { peer: peer % 60, slots: None, rescue: false }).collect();
        let providers: Vec<_> = many
            .iter()
            .map(|&peer| Provider { peer: peer % 20, depth: Some(peer as u8), free: None })
            .collect();
        let fact = match dice.below(36) {
            34 => Fact::Proceeding { call },
            0 => Fact::Fetched { channel, providers },
            31 => Fact::Reported { call, report: Report::Climb { to: providers } },
            1 => Fact::FetchFailed { channel },
            2 => Fact::Registered { channel, ok: dice.below(2) == 0 },
            3 | 4 => Fact::Invited {
                channel,
                call: CallId::received(n),
                peer,
                urgent: dice.below(2) == 0,
                moves: dice.below(2) == 0,
                slots: [None, Some(0), Some(9)][dice.below(3) as usize],
            },
            5 => Fact::ControlInvited { channel, call: CallId::received(20 + n), peer },
            6 => Fact::Answered { call, depth: Some(n as u8), rescue: dice.below(2) == 0 },
            7 => Fact::Refused { call, refusal: Refusal::Redirected(providers) },
            8 => Fact::Refused { call, refusal: Refusal::Busy { retry_after: Some(ms(1 << 40)) } },
            9 => Fact::Ended { call, reason: ByeReason::Lost },
            10 => Fact::Reported { call, report: Report::FullCapacity { children } },
            11 => Fact::Reported { call, report: Report::ChildUpdate { children, free: Some(u16::MAX) } },
            12 => Fact::Reported { call, report: Report::RelayerAccepted { free: u16::MAX } },
            13 => Fact::Reported { call, report: Report::SelectedRelayer { register: true } },
            14 => {
                let path = many.into_iter().take(n as usize * 9).collect();
                let rescue = dice.below(2) == 0;
                Fact::Reported {
                    call,
                    report: Report::TreePosition {
                        depth: 3,
                        path,
                        rescue,
                        backups: providers,
                        delegated: n > 3,
                    },
                }
            }
            15 => Fact::ReportFailed { call },
            16 => Fact::FirstPacket { channel, call },
            17 => Fact::Held { call, hold: [Hold::Paused, Hold::Starved, Hold::Sourceless][n as usize % 3] },
            18 => Fact::RoundTrip { call, rtt: ms(1 << 50) },
            19 | 20 => {
                standbys += 1;
                Fact::StandbyInvited { channel, call: CallId::received(40 + standbys), peer, slots: Some(2) }
            }
            21 => Fact::Resumed { call },
            22 => Fact::Resumed { call: any(s.iptv.leases(), &mut dice) },
            23 => Fact::Released { call },
            24 => Fact::Denied { call: any(open.asked.iter().copied(), &mut dice) },
            25 => Fact::FirstPacket { channel, call: any(open.asked.iter().copied(), &mut dice) },
            26 => Fact::Reported { call, report: Report::Leaving },
            27 => Fact::Reported { call, report: Report::Yield { to: providers } },
            29 => {
                let subtree = Subtree { peers: u32::MAX, free: u32::MAX, open: providers };
                Fact::Reported { call, report: Report::Subtree(subtree) }
            }
            35 => Fact::Cancelled { call: any(s.iptv.waiting(CHANNEL), &mut dice) },
            32 => Fact::Outdone { channel, by: peer },
            33 => Fact::Ended { call, reason: ByeReason::EndOfChannel },
            28 => Fact::FirstPacket { channel, call: any(open.answered.iter().copied(), &mut dice) },
            _ => Fact::Answered {
                call: any(open.placed.keys().copied(), &mut dice),
                depth: Some(2),
                rescue: true,
            },
        };
        s.now += ms(dice.below(300));
        let before = s.now;
        if dice.below(4) == 0 {
            s.hear();
        }
        let orders = s.act(|i, now, ctx| i.handle_timeout(now, ctx));
        open.follow(&orders);
        open.hear_of(&fact, s.iptv.channels().next().is_some());
        let orders = s.fact(fact);
        assert!(orders.len() < 100, "{} orders for one fact", orders.len());
        assert!(s.iptv.deadline().is_none_or(|d| d > before));
        assert!(s.iptv.table(CHANNEL).len() <= 40, "K8");
        if let Some(status) = s.iptv.status(CHANNEL) {
            assert!(status.children.0 <= 3 && status.children.1 <= rescue_slots);
            assert!(s.iptv.waiting(CHANNEL).count() <= 4);
            assert!(status.path.len() <= 64 && !status.path.contains(&SOURCE));
        }
        open.follow(&orders);
        open.check(&s.iptv);
        if dice.below(4) == 0 {
            let orders = s.pass(dice.below(5000));
            open.follow(&orders);
            open.check(&s.iptv);
        }
    }
    true
}

/// Callers and standbys, as whoever carries out the orders knows them.
#[derive(Default)]
struct Calls {
    /// Without an answer yet.
    ringing: BTreeSet<CallId>,
    /// Accepted, and not over.
    up: BTreeSet<CallId>,
}

impl Calls {
    fn follow<'a>(&mut self, orders: impl IntoIterator<Item = &'a Order<u32>>) {
        for order in orders {
            match order {
                Order::Accept { call, .. } => {
                    assert!(self.ringing.remove(call), "{call:?} is accepted twice");
                    self.up.insert(*call);
                }
                Order::Refuse { call, .. } | Order::Redirect { call, .. } => {
                    assert!(self.ringing.remove(call), "{call:?} is refused twice");
                }
                Order::Bye { call, .. } => _ = self.up.remove(call),
                _ => {}
            }
        }
    }

    fn check(&self, s: &Solo, (capacity, rescue_slots): (u16, u8)) {
        let waiting: BTreeSet<CallId> = s.iptv.waiting(CHANNEL).collect();
        assert_eq!(self.ringing, waiting, "whoever has no answer waits");
        let (ordinary, rescued) = s.iptv.status(CHANNEL).unwrap().children;
        let (rescue, leases) = (s.iptv.rescue_slots(), s.iptv.leases().count());
        assert_eq!(self.up.len(), ordinary + rescued + leases, "every call has its seat or its lease");
        assert!(rescued <= usize::from(rescue_slots) && ordinary <= usize::from(capacity));
        assert_eq!(usize::from(s.iptv.free_slots()), usize::from(capacity) - ordinary);
        assert_eq!(usize::from(rescue.slots - rescue.free), rescued);
        assert_eq!(usize::from(rescue.promised), leases);
    }
}

/// A crowd at one node: newcomers, orphans, whoever moves, those that can relay and those that cannot, and standbys.
fn accounts(seed: u64) -> bool {
    let mut dice = Seeded::new(seed);
    let (capacity, rescue_slots) = (1 + dice.below(3) as u16, 1 + dice.below(2) as u8);
    let mut config = Config { rescue_slots, ..default(capacity) };
    config.limits.waiting = 4;
    config.mode = if dice.below(4) == 0 { Mode::Delegated } else { Mode::SourceManaged };
    let is_source = dice.below(4) > 0;
    let mut s = if is_source { Solo::publisher(config) } else { Solo::viewer(config, 99).0 };
    if let Some(parent) = s.iptv.parent_call(CHANNEL) {
        s.reported(parent, Report::SelectedRelayer { register: true });
    }
    let mut calls = Calls::default();
    for n in 0..300 {
        let (call, peer) = (CallId::received(n), 1 + dice.below(9) as u32);
        let slots = [None, Some(0), Some(0), Some(1), Some(2)][dice.below(5) as usize];
        let (urgent, moves) = [(false, false), (true, false), (false, true)][dice.below(3) as usize];
        let up = any(calls.up.iter().copied(), &mut dice);
        let fact = match dice.below(14) {
            0..=4 => Fact::Invited { channel: CHANNEL, call, peer, urgent, moves, slots },
            5 => Fact::StandbyInvited { channel: CHANNEL, call, peer, slots },
            6 => Fact::Resumed { call: any(s.iptv.leases(), &mut dice) },
            7 => Fact::Released { call: up },
            8 | 9 => Fact::Ended { call: up, reason: ByeReason::Normal },
            10 => Fact::Cancelled { call: any(s.iptv.waiting(CHANNEL), &mut dice) },
            11 => Fact::Reported { call: up, report: Report::RelayerDeclined },
            12 => Fact::Reported { call: up, report: Report::RelayerAccepted { free: dice.below(3) as u16 } },
            _ => Fact::Reported { call: up, report: Report::Leaving },
        };
        match fact {
            Fact::Invited { call, .. } | Fact::StandbyInvited { call, .. } => _ = calls.ringing.insert(call),
            Fact::Ended { call, .. } => _ = calls.up.remove(&call),
            Fact::Cancelled { call } => _ = calls.ringing.remove(&call),
            _ => {}
        }
        calls.follow(&s.fact(fact));
        calls.check(&s, (capacity, rescue_slots));
        s.hear();
        if dice.below(3) > 0 {
            s.told.report = Some(s.now);
        }
        let time = [0, 10, 100, 300, 2_500][dice.below(5) as usize];
        for _ in 0..(time / 10) {
            s.hear();
            calls.follow(&s.pass(10));
        }
        calls.check(&s, (capacity, rescue_slots));
    }
    true
}

#[test]
fn k8_every_call_is_answered_once_and_every_slot_and_promise_is_accounted_for() {
    quickcheck::QuickCheck::new().tests(100).quickcheck(accounts as fn(u64) -> bool);
}

#[test]
fn k3_k7_k8_hostile_facts_are_bounded_and_harmless() {
    quickcheck::QuickCheck::new().tests(100).quickcheck(shrugs as fn(u64) -> bool);
}
