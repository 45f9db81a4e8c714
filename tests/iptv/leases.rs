//! Standbys of others: leases on the rescue slot, given, kept and ended.

use crate::harness::{CHANNEL, Solo, default, has, placed};
use p2piptv::ids::CallId;
use p2piptv::iptv::{ByeReason, Denial, Fact, Order, Provider, Report};

/// Two rescue slots' worth of orphans at one provider.
#[test]
fn q12_a_lease_is_first_refusal_on_one_shared_slot_and_no_more_than_sixteen_are_given() {
    let mut s = Solo::publisher(default(2));
    let lease = |s: &mut Solo, peer: u32| {
        let call = CallId::received(100 + peer);
        let orders = s.fact(Fact::StandbyInvited { channel: CHANNEL, call, peer, slots: Some(2) });
        (call, has(&orders, |o| matches!(o, Order::Accept { .. })))
    };
    let given: Vec<CallId> = (1..=20).map(|peer| lease(&mut s, peer)).filter(|l| l.1).map(|l| l.0).collect();
    let counters = s.iptv.counters();
    assert_eq!((given.len(), counters.leases_granted, counters.leases_refused), (16, 16, 4));
    assert_eq!(s.iptv.rescue_slots().promised, 16);
    // The uplink is full.
    for peer in [21, 22] {
        s.invited(peer, false);
    }
    let orders = s.fact(Fact::Resumed { call: given[0] });
    assert!(orders.contains(&Order::Serve { call: given[0] }));
    assert_eq!(s.iptv.status(CHANNEL).unwrap().children, (2, 1));
    let orders = s.fact(Fact::Resumed { call: given[1] });
    assert!(orders.contains(&Order::Deny { call: given[1] }));
    let orders = s.fact(Fact::Released { call: given[0] });
    assert!(orders.contains(&Order::Rest { call: given[0] }));
    assert!(has(&s.fact(Fact::Resumed { call: given[1] }), |o| matches!(o, Order::Serve { .. })));
    let counters = s.iptv.counters();
    assert_eq!((counters.served, counters.denied, s.iptv.rescue_slots().promised), (2, 1, 15));
    // Silent standbys end; a child that is served is judged as a child.
    s.told.report = Some(s.now);
    let orders = s.pass(30_000);
    assert_eq!(orders.iter().filter(|o| matches!(o, Order::Bye { .. })).count(), 15 + 3);
    assert_eq!(s.iptv.rescue_slots().promised, 0);
}

#[test]
fn q6_a_lease_ends_when_its_child_comes_to_stand_above() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let call = CallId::received(7);
    s.fact(Fact::StandbyInvited { channel: CHANNEL, call, peer: 3, slots: Some(2) });
    let place =
        |path| Report::TreePosition { depth: 3, path, rescue: false, backups: vec![], delegated: false };
    let orders = s.reported(parent, place(vec![7, 3, 9]));
    assert!(orders.contains(&Order::Bye { call, reason: ByeReason::Normal }));
    let again = CallId::received(8);
    let orders = s.fact(Fact::StandbyInvited { channel: CHANNEL, call: again, peer: 3, slots: Some(2) });
    assert!(orders.contains(&Order::Refuse { call: again, denial: Denial::Loop }));
}

#[test]
fn q6_a_lease_ends_as_soon_as_its_provider_asks_its_child_for_media() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let lease = CallId::received(7);
    s.fact(Fact::StandbyInvited { channel: CHANNEL, call: lease, peer: 3, slots: Some(2) });
    let backups = vec![Provider { peer: 3, depth: Some(1), free: None }];
    s.reported(
        parent,
        Report::TreePosition { depth: 1, path: vec![9], rescue: false, backups, delegated: false },
    );
    let orders = s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost });
    let call = placed(&orders, 3).expect("its backup");
    let orders = s.fact(Fact::Answered { call, depth: Some(1), rescue: false });
    assert!(
        orders.contains(&Order::Bye { call: lease, reason: ByeReason::Normal }),
        "before its first packet"
    );
}

#[test]
fn q12_a_standby_is_denied_by_who_starves_and_by_who_serves_its_child_already() {
    let (mut s, _) = Solo::viewer(default(2), 9);
    let lease = |s: &mut Solo, peer| {
        let call = CallId::received(100 + peer);
        s.fact(Fact::StandbyInvited { channel: CHANNEL, call, peer, slots: Some(2) });
        call
    };
    let [seated, other] = [3, 4].map(|peer| lease(&mut s, peer));
    s.invited(3, true);
    let denied = |s: &mut Solo, call| s.fact(Fact::Resumed { call }).contains(&Order::Deny { call });
    assert!(denied(&mut s, seated), "it sits in the rescue slot");
    let (mut s, _) = Solo::viewer(default(2), 9);
    assert_eq!(lease(&mut s, 4), other);
    s.pass(450);
    assert!(denied(&mut s, other), "nothing comes");
    s.hear_for(500);
    assert!(!denied(&mut s, other));
}

/// In the rescue slot sits 2 for longer than it may, and in the ordinary one somebody that cannot relay. 4, who can, waits.
#[test]
fn q12_a_rescue_slot_that_was_cleared_for_an_orphan_is_not_taken_by_who_waits() {
    let mut s = Solo::publisher(default(1));
    s.called_by(1, (false, false), 0);
    s.invited(2, true);
    let lease = CallId::received(99);
    s.fact(Fact::StandbyInvited { channel: CHANNEL, call: lease, peer: 3, slots: Some(2) });
    s.pass_reported(10_000);
    assert!(s.fact(Fact::Resumed { call: lease }).contains(&Order::Deny { call: lease }));
    s.pass_reported(2_000);
    let (call, orders) = s.invited(4, false);
    assert_eq!(orders.back(), Some(&Order::Queue { call }), "{orders:?}");
    let orders = s.fact(Fact::Resumed { call: lease });
    assert!(orders.contains(&Order::Serve { call: lease }), "{orders:?}");
}

/// A provider in layer 2 that sinks by so many.
#[test]
fn q12_a_provider_that_has_sunk_by_four_layers_since_it_promised_denies_once() {
    for (sunk, warns) in [(3, false), (4, true)] {
        let (mut s, parent) = Solo::viewer(default(2), 9);
        let place = |depth: u32| {
            let path = (0..depth).map(|n| 100 + n).chain([9]).collect();
            Report::TreePosition { depth: 0, path, rescue: false, backups: vec![], delegated: false }
        };
        s.reported(parent, place(1));
        let lease = CallId::received(7);
        s.fact(Fact::StandbyInvited { channel: CHANNEL, call: lease, peer: 3, slots: Some(2) });
        s.reported(parent, place(1 + sunk));
        s.hear();
        let mut denies = || s.fact(Fact::Resumed { call: lease }).contains(&Order::Deny { call: lease });
        assert_eq!([denies(), denies()], [warns, false], "{sunk}");
        // Its child knows the place now: it is no surprise the next time.
        s.fact(Fact::Released { call: lease });
        s.hear();
        assert!(!s.fact(Fact::Resumed { call: lease }).contains(&Order::Deny { call: lease }));
    }
}

#[test]
fn q12_whoever_asks_a_sunk_provider_again_much_later_is_denied_once_more() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let lease = CallId::received(7);
    s.fact(Fact::StandbyInvited { channel: CHANNEL, call: lease, peer: 3, slots: Some(2) });
    let path = vec![101, 102, 103, 104, 9];
    s.reported(
        parent,
        Report::TreePosition { depth: 0, path, rescue: false, backups: vec![], delegated: false },
    );
    for wait in [0, 2_000, 1_990] {
        s.told.report = Some(s.now);
        s.hear_for(wait);
        let orders = s.fact(Fact::Resumed { call: lease });
        assert_eq!(orders.contains(&Order::Deny { call: lease }), wait != 1_990, "{wait}: {orders:?}");
    }
}
