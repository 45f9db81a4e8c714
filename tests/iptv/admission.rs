//! Who is let in, and who is sent on.

use crate::harness::{CHANNEL, SOURCE, Solo, default, has, ms, placed, selected};
use p2piptv::ids::{CallId, ChannelId};
use p2piptv::iptv::{ByeReason, Child, Config, Denial, Fact, Order, Profile, Provider, Report};
use std::collections::VecDeque;

impl Solo {
    fn calls(&mut self, n: u32, urgent: bool, slots: u16) -> VecDeque<Order<u32>> {
        let (call, peer) = (CallId::received(n), 20 + n);
        self.fact(Fact::Invited { channel: CHANNEL, call, peer, urgent, slots: Some(slots) })
    }
}

/// Whether the caller was accepted, and if so into a rescue slot.
fn accepted(orders: &VecDeque<Order<u32>>) -> Option<bool> {
    orders.iter().find_map(|o| match o {
        Order::Accept { rescue, .. } => Some(*rescue),
        _ => None,
    })
}

#[test]
fn q12_a_viewer_whom_nobody_elected_saves_one_orphan_however_many_slots_it_has() {
    let (mut s, _) = Solo::viewer(default(2), 9);
    s.hear();
    let answers = [0, 1].map(|n| accepted(&s.calls(n, true, 2)));
    assert_eq!(answers, [Some(true), None]);
}

#[test]
fn a_caller_that_brings_no_slots_takes_none_from_a_child_that_brings_none_either() {
    for (slots, expected) in [(0, None), (2, Some(true))] {
        let mut s = Solo::publisher(default(2));
        let seated = [0, 1].map(|n| accepted(&s.calls(n, false, 0)));
        assert_eq!(seated, [Some(false); 2]);
        assert_eq!(accepted(&s.calls(2, false, slots)), expected, "{slots} slots");
    }
}

#[test]
fn k8_a_viewer_that_is_fed_takes_nobody_at_the_deepest_layer() {
    for (depth, expected) in [(3, Some(true)), (2, None)] {
        let mut config = default(2);
        config.limits.depth = depth;
        let (mut s, parent) = Solo::viewer(config, 9);
        let path = vec![9, 8];
        s.reported(
            parent,
            Report::TreePosition { depth: 2, path, rescue: false, backups: vec![], delegated: false },
        );
        s.hear();
        assert_eq!(accepted(&s.calls(0, true, 2)), expected, "{depth} layers");
    }
}

/// The parent asks for the slot, again and again.
#[test]
fn q14_whoever_yields_takes_no_rescue_slot_and_looks_for_nobody_when_it_has_found_somebody() {
    let (mut s, parent) = Solo::viewer(default(0), 9);
    let asked = |s: &mut Solo, peer: u32| {
        let to = vec![Provider { peer, depth: Some(1), free: Some(1) }];
        placed(&s.reported(parent, Report::Yield { to }), peer)
    };
    let call = asked(&mut s, 5).expect("it looks where its parent says");
    let orders = s.fact(Fact::Answered { call, depth: Some(1), rescue: true });
    assert!(orders.contains(&Order::Bye { call, reason: ByeReason::Normal }), "{orders:?}");
    let call = asked(&mut s, 6).expect("the next time as well");
    assert_eq!(asked(&mut s, 7), None, "it is at it");
    s.fact(Fact::Answered { call, depth: Some(1), rescue: false });
    assert_eq!(asked(&mut s, 8), None, "it waits for the first packet");
    let orders = s.fact(Fact::FirstPacket { channel: CHANNEL, call });
    assert!(orders.contains(&Order::Bye { call: parent, reason: ByeReason::Normal }));
}

#[test]
fn q1_full_means_503_while_an_offer_is_pending_and_302_when_a_relayer_is_ready() {
    let mut s = Solo::publisher(default(1));
    let (first, _) = s.invited(1, false);
    let (_, orders) = s.invited(2, false);
    assert!(has(&orders, |o| matches!(
        o,
        Order::Refuse { denial: Denial::Busy { retry_after }, .. } if *retry_after >= ms(1000)
    )));
    s.reported(first, Report::RelayerAccepted { free: 1 });
    let (call, orders) = s.invited(2, false);
    let free = Some(1);
    let providers = vec![Provider { peer: 1, depth: Some(1), free }];
    assert!(orders.contains(&Order::Redirect { call, providers }));
    // The slot is promised: the next newcomer is not sent after the first.
    let (_, orders) = s.invited(3, false);
    assert!(has(&orders, |o| matches!(o, Order::Refuse { denial: Denial::Busy { .. }, .. })));
}

#[test]
fn q1_the_rescue_slot_is_for_orphans_and_the_first_ordinary_slot_that_frees_is_theirs() {
    let mut s = Solo::publisher(default(1));
    let (first, _) = s.invited(1, false);
    let (orphan, orders) = s.invited(2, true);
    assert!(orders.contains(&Order::Accept { call: orphan, depth: 0, rescue: true, free: 0 }));
    // The next one is told who else may have one.
    let (call, orders) = s.invited(3, true);
    let providers = vec![Provider { peer: 2, depth: Some(1), free: Some(0) }];
    assert!(orders.contains(&Order::Redirect { call, providers }));
    let orders = s.fact(Fact::Ended { call: first, reason: ByeReason::Normal });
    assert!(has(&orders, |o| matches!(
        o,
        Order::Inform { call, report: Report::TreePosition { rescue: false, .. } } if *call == orphan
    )));
    assert_eq!(s.iptv.status(CHANNEL).unwrap().children, (1, 0));
}

#[test]
fn q13_when_everybody_is_full_the_source_names_rescue_slots_away_from_the_dead() {
    let mut s = Solo::publisher(default(2));
    s.told.report = Some(s.now);
    let calls = [1, 2].map(|peer| s.invited(peer, false).0);
    for (call, peers) in calls.into_iter().zip([[3, 4], [5, 6]]) {
        s.reported(call, Report::RelayerAccepted { free: 2 });
        let children = peers.map(|peer| Child { peer, slots: Some(2), rescue: false }).to_vec();
        s.reported(call, Report::FullCapacity { children });
    }
    s.invited(3, true);
    // 4 has lost the same parent: neither 1 nor whoever hangs below it is named.
    let (_, orders) = s.invited(4, true);
    let named = orders.iter().find_map(|o| match o {
        Order::Redirect { providers, .. } => Some(providers.iter().map(|p| p.peer).collect::<Vec<_>>()),
        _ => None,
    });
    let mut named = named.expect("a redirect");
    assert_eq!(named[0], 2, "the nearest to the source is the first");
    named.sort_unstable();
    // An offer is under way to one of the others.
    assert!(named.iter().all(|p| [2, 3, 5, 6].contains(p)), "{named:?}");
    // A newcomer waits.
    let (_, orders) = s.invited(9, false);
    assert!(has(&orders, |o| matches!(o, Order::Refuse { denial: Denial::Busy { .. }, .. })));
}

#[test]
fn a_capacity_that_comes_later_brings_its_rescue_slot_but_not_in_the_papers_profile() {
    for (profile, rescued) in [(Profile::Default, (1, 1)), (Profile::Paper, (1, 0))] {
        let mut s = Solo::publisher(Config::new(profile, 0));
        s.invited(1, true);
        assert_eq!(s.iptv.status(CHANNEL).unwrap().children, (0, 0), "{profile:?} has nothing to give");
        s.act(|i, now, ctx| i.set_capacity(now, 1, ctx));
        s.invited(1, false);
        s.invited(2, true);
        assert_eq!(s.iptv.status(CHANNEL).unwrap().children, rescued, "{profile:?}");
    }
}

#[test]
fn q6_whoever_stands_above_me_is_refused_with_a_loop() {
    let (mut s, call) = Solo::viewer(default(2), 9);
    let path = vec![7, 8, 9];
    s.reported(
        call,
        Report::TreePosition { depth: 3, path, rescue: false, backups: vec![], delegated: false },
    );
    for peer in [7, 8, 9, SOURCE] {
        let (call, orders) = s.invited(peer, true);
        assert!(orders.contains(&Order::Refuse { call, denial: Denial::Loop }), "{peer}");
    }
}

#[test]
fn p9_channels_share_the_slots_of_one_uplink() {
    let other = ChannelId(200);
    let mut s = Solo::publisher(default(2));
    s.act(|i, now, ctx| i.publish(now, other, ctx).unwrap());
    let (first, _) = s.invited(1, false);
    let call = CallId::received(50);
    let orders = s.fact(Fact::Invited { channel: other, call, peer: 2, urgent: false, slots: Some(2) });
    // The other channel is full as well now, and elects.
    assert_eq!(selected(orders), [first, call]);
    assert_eq!(s.iptv.free_slots(), 0);
    let (_, orders) = s.invited(3, false);
    assert!(has(&orders, |o| matches!(o, Order::Refuse { denial: Denial::Busy { .. }, .. })));
    s.act(|i, now, ctx| i.stop(now, other, ctx).unwrap());
    assert_eq!(s.iptv.free_slots(), 1);
}
