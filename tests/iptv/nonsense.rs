//! Facts that make no sense.

use crate::harness::{CHANNEL, SOURCE, Solo, default, ms};
use p2piptv::env::{Entropy, Seeded};
use p2piptv::ids::{CallId, ChannelId};
use p2piptv::iptv::{
    ByeReason, Child, Fact, Hold, InviteKind, Iptv, Mode, Order, Provider, Refusal, Report, Subtree,
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
        let fact = match dice.below(35) {
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
                slots: Some(9),
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
            assert!(status.children.0 <= 3 && status.children.1 <= 1);
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

#[test]
fn k3_k7_k8_hostile_facts_are_bounded_and_harmless() {
    quickcheck::QuickCheck::new().tests(100).quickcheck(shrugs as fn(u64) -> bool);
}
