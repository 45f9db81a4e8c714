//! Nothing comes: what counts as silence, what is said to children, and what is no reason to move.

use crate::backups::{backed_up, covered, is_left, resumed};
use crate::harness::{CHANNEL, SOURCE, Solo, default, grown, has, ms, placed};
use p2piptv::ids::CallId;
use p2piptv::iptv::{
    ByeReason, Config, Event, Fact, Hold, InviteKind, Limits, Order, Pace, Provider, Report,
};

#[test]
fn q11_silence_repairs_after_400_ms_hold_after_two_seconds_and_a_pause_never() {
    let orphaned =
        |orders: &[Order<u32>]| orders.iter().any(|o| matches!(o, Order::Event(Event::Orphaned { .. })));
    let (mut s, _) = Solo::viewer(default(2), 9);
    assert!(!orphaned(&s.pass(399)));
    assert!(orphaned(&s.pass(1)));

    for (hold, limit) in [(Hold::Starved, Some(2000)), (Hold::Paused, None)] {
        let (mut s, call) = Solo::viewer(default(2), 9);
        let mut waited = 0;
        while waited < 60_000 {
            s.told.from = Some(s.now);
            s.fact(Fact::Held { call, hold });
            if orphaned(&s.pass(200)) {
                break;
            }
            waited += 200;
        }
        match limit {
            Some(limit) => assert!((limit - 200..=limit).contains(&waited), "{hold:?}: {waited}"),
            None => assert_eq!(waited, 60_000),
        }
    }
}

#[test]
fn a_parent_that_was_only_slow_is_kept_when_it_comes_back_before_another_answers() {
    let (mut s, call) = Solo::viewer(default(2), 9);
    s.pass(500);
    s.now += ms(1);
    let orders = s.hear_for(500);
    assert!(orders.iter().any(|o| matches!(o, Order::Event(Event::Reparented { parent: 9, .. }))));
    assert!(!orders.contains(&Order::Bye { call, reason: ByeReason::Normal }));
}

#[test]
fn k6_who_was_asleep_himself_declares_nobody_dead() {
    let (mut s, _) = Solo::viewer(default(2), 9);
    s.now += ms(30_000);
    let orders = s.act(|i, now, ctx| i.handle_timeout(now, ctx));
    assert!(orders.is_empty(), "{orders:?}");
    s.now += ms(50);
    s.hear();
    assert!(s.pass(399).is_empty());
}

#[test]
fn q6_a_path_through_myself_is_a_cycle_and_that_parent_is_left_at_once() {
    let (mut s, call) = Solo::viewer(default(2), 9);
    let backups = vec![Provider { peer: 5, depth: Some(1), free: None }];
    let place =
        |path, backups| Report::TreePosition { depth: 2, path, rescue: false, backups, delegated: false };
    s.reported(call, place(vec![7, 9], backups));
    let orders = s.reported(call, place(vec![7, SOURCE, 9], vec![]));
    assert!(orders.contains(&Order::Bye { call, reason: ByeReason::Normal }));
    assert!(has(&orders, |o| matches!(o, Order::Invite { peer: 5, kind: InviteKind::Urgent, .. })));
}

#[test]
fn k8_a_path_as_long_as_the_limit_is_a_path_and_one_that_is_longer_is_a_cycle() {
    let limits = Limits { depth: 4, ..Limits::default() };
    for (length, left) in [(3, false), (4, false), (5, true), (9, true)] {
        let (mut s, call) = Solo::viewer(Config { limits, ..default(2) }, 9);
        let path: Vec<u32> = (100..100 + length - 1).chain([9]).collect();
        let place = Report::TreePosition { depth: 2, path, rescue: false, backups: vec![], delegated: false };
        let orders = s.reported(call, place);
        assert_eq!(orders.contains(&Order::Bye { call, reason: ByeReason::Normal }), left, "{length}");
    }
}

#[test]
fn q6_a_starving_relayer_says_hold_and_a_pausing_source_says_paused() {
    let (mut s, _) = Solo::viewer(default(2), 9);
    let (_, orders) = s.invited(3, true);
    assert!(has(&orders, |o| matches!(o, Order::Accept { rescue: true, .. })));
    assert!(s.pass(399).contains(&Order::Hold { channel: CHANNEL, hold: Hold::Starved }));
    let mut s = Solo::publisher(default(2));
    s.invited(3, false);
    s.told.media = Some(s.now);
    let orders = s.pass(1000);
    let paused = Order::Hold { channel: CHANNEL, hold: Hold::Paused };
    assert_eq!(orders.iter().filter(|o| **o == paused).count(), 5);
}

/// A packet every 10 ms: the threshold is 40 ms, and children act after 60 ms.
#[test]
fn q6_a_starving_relayer_says_hold_twice_before_its_children_act() {
    let mut s = Solo::publisher(default(2));
    s.told.pace = Some(Pace { gap: ms(10), jitter: ms(0) });
    s.invited(3, false);
    s.told.media = Some(s.now);
    let holds = |orders: &[Order<u32>]| orders.iter().filter(|o| matches!(o, Order::Hold { .. })).count();
    for (time, said) in [(39, 0), (1, 1), (9, 0), (1, 1), (39, 0), (1, 1)] {
        assert_eq!(
            holds(&s.pass(time)),
            said,
            "{:?} after the last packet",
            s.now.since(s.told.media.unwrap())
        );
    }
}

#[test]
fn q12_where_packets_jitter_a_parents_hold_has_four_deviations_more_to_arrive() {
    let (mut s, _, [first, ..]) = backed_up();
    // A threshold of 10 + 4 * 9 = 46 ms, and 36 ms more.
    s.told.pace = Some(Pace { gap: ms(10), jitter: ms(9) });
    s.hear();
    s.pass(1);
    s.hear();
    assert!(resumed(&s.pass(81)).is_empty());
    assert_eq!(resumed(&s.pass(1)), [first]);
}

#[test]
fn a_pause_of_the_source_leaves_the_tree_as_it_is() {
    let mut w = grown(default(2), 6, 2000);
    let before = w.table();
    w.forget_counts();
    w.paused = true;
    w.run(ms(30_000));
    assert_eq!(w.table(), before);
    assert!(w.event_times(|_, e| matches!(e, Event::Orphaned { .. })).is_empty(), "{}", w.tail(100));
    w.paused = false;
    w.run(ms(200));
    assert!(w.starving(ms(150)).is_empty());
}

#[test]
fn k6_a_timer_that_is_a_little_late_lets_what_lies_in_the_sockets_be_read_first() {
    let (mut s, _, [first, ..]) = backed_up();
    s.now += ms(59 + 30);
    let orders = s.act(|i, now, ctx| i.handle_timeout(now, ctx));
    assert!(orders.is_empty(), "{orders:?}");
    assert_eq!(s.iptv.deadline(), Some(s.now + ms(20)));
    // Nothing was there: now it counts, however late the host is again.
    s.now += ms(50);
    let orders = s.act(|i, now, ctx| i.handle_timeout(now, ctx));
    assert_eq!(resumed(&Vec::from(orders)), [first]);

    let (mut s, ..) = backed_up();
    s.now += ms(59 + 30);
    s.act(|i, now, ctx| i.handle_timeout(now, ctx));
    s.now += ms(1);
    s.hear();
    assert!(resumed(&s.pass(50)).is_empty(), "it was there");
}

/// The parent says HOLD.
fn held(s: &mut Solo, parent: CallId) -> Vec<Order<u32>> {
    s.told.from = Some(s.now);
    s.fact(Fact::Held { call: parent, hold: Hold::Starved }).into()
}

/// The parent of a viewer that is [`backed_up`] says HOLD as it should, 40, 50 and 90 ms later and so on, for as long as that is
/// below `end`, to which the clock goes on; what was ordered meanwhile.
fn held_until(s: &mut Solo, parent: CallId, end: u64) -> Vec<Order<u32>> {
    let (mut orders, mut now) = (Vec::new(), 0);
    for at in [40, 50].into_iter().chain((90..=410).step_by(40)).chain((610..).step_by(200)) {
        orders.extend(s.pass(at.min(end) - now));
        now = at.min(end);
        if at >= end {
            return orders;
        }
        held(s, parent);
    }
    orders
}

#[test]
fn q6_a_parent_that_says_hold_is_alive_and_nobody_else_is_asked() {
    let (mut s, parent, _) = backed_up();
    assert!(resumed(&held_until(&mut s, parent, 1_998)).is_empty());
    // But not for ever.
    assert_eq!(resumed(&s.pass(1)).len(), 1);
}

/// A packet every 10 ms: HOLD is said again after 40 ms, and has 20 ms more to arrive.
#[test]
fn q11_a_parent_that_said_hold_and_dies_is_bridged_when_two_more_holds_have_not_come() {
    for (last, end) in [(40, 140), (50, 150), (90, 190), (290, 390)] {
        let (mut s, parent, [first, ..]) = backed_up();
        let mut orders = held_until(&mut s, parent, last);
        held(&mut s, parent);
        orders.extend(s.pass(end - last - 1));
        assert!(resumed(&orders).is_empty(), "{last}");
        assert_eq!(resumed(&s.pass(1)), [first], "{last}");
    }
}

#[test]
fn q11_a_parent_that_has_starved_for_400_ms_says_hold_seldom_and_is_waited_for_as_long() {
    for last in [330, 410] {
        let (mut s, parent, [first, ..]) = backed_up();
        let mut orders = held_until(&mut s, parent, last);
        held(&mut s, parent);
        orders.extend(s.pass(399));
        assert!(resumed(&orders).is_empty(), "{last}");
        assert_eq!(resumed(&s.pass(1)), [first], "{last}");
    }
}

#[test]
fn q11_a_parent_two_of_whose_holds_were_lost_is_believed_when_it_says_the_next_one() {
    let (mut s, parent, [first, ..]) = backed_up();
    held_until(&mut s, parent, 50);
    assert_eq!(resumed(&s.pass(95)), [first]);
    let orders = held(&mut s, parent);
    assert!(orders.contains(&Order::Release { call: first }), "{orders:?}");
}

#[test]
fn q12_half_a_second_of_bufferbloat_changes_no_parent() {
    let mut w = grown(default(2), 14, 900);
    w.run(ms(10_000));
    w.know_the_pace();
    w.run(ms(5_000));
    let before: Vec<_> = w.viewers().map(|v| w.parent(v)).collect();
    let orphans: Vec<u32> = w.viewers().filter(|&v| w.parent(v) == Some(1)).collect();
    w.forget_counts();
    for _ in 0..5 {
        orphans.iter().for_each(|&o| w.cut(1, o, true));
        w.run(ms(500));
        orphans.iter().for_each(|&o| w.cut(1, o, false));
        w.run(ms(7_000));
    }
    assert_eq!(w.viewers().map(|v| w.parent(v)).collect::<Vec<_>>(), before, "{}", w.tail(200));
    let alarms: u32 = w.peers.iter().map(|p| p.iptv.counters().false_alarms).sum();
    assert!(alarms >= 5, "{alarms}");
    assert!(w.event_times(|_, e| matches!(e, Event::Orphaned { .. })).is_empty());
}

#[test]
fn q6_a_parent_that_says_hold_to_who_has_asked_a_standby_is_given_time_again() {
    let (mut s, parent, [first, ..]) = backed_up();
    assert_eq!(resumed(&s.pass(59)), [first]);
    s.told.from = Some(s.now);
    let orders = s.fact(Fact::Held { call: parent, hold: Hold::Starved });
    assert!(orders.contains(&Order::Release { call: first }), "{orders:?}");
    assert_eq!(s.iptv.counters().false_alarms, 1);
    // Two more thresholds, and 40 ms after a false alarm.
    let orders = s.pass(119);
    assert!(resumed(&orders).is_empty(), "{orders:?}");
    assert_eq!(resumed(&s.pass(1)), [first]);
}

#[test]
fn q7_while_the_source_is_gone_standbys_are_asked_and_nobody_else() {
    let (mut s, parent, _) = backed_up();
    let (mut asked, mut searched) = (0, false);
    for _ in 0..20 {
        s.told.from = Some(s.now);
        let mut orders = Vec::from(s.fact(Fact::Held { call: parent, hold: Hold::Sourceless }));
        orders.extend(s.pass(200));
        while !orders.is_empty() {
            searched |= orders.iter().any(|o| matches!(o, Order::Fetch { .. } | Order::Invite { .. }));
            let calls = resumed(&orders);
            asked += calls.len();
            orders = calls.into_iter().flat_map(|call| s.fact(Fact::Denied { call })).collect();
        }
    }
    assert!(asked >= 3 && !searched, "{asked} asked, {searched}");
}

#[test]
fn k1_a_parent_that_has_answered_has_400_ms_until_it_is_heard() {
    let mut s = Solo::new(default(2));
    s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
    let providers = vec![Provider { peer: 9, depth: Some(0), free: Some(1) }];
    let orders = s.fact(Fact::Fetched { channel: CHANNEL, providers });
    let call = placed(&orders, 9).unwrap();
    s.fact(Fact::Answered { call, depth: Some(0), rescue: false });
    assert_eq!(s.iptv.deadline(), Some(s.now + ms(400)));
    let left = Order::Bye { call, reason: ByeReason::Normal };
    assert!(!s.pass(399).contains(&left));
    assert!(s.pass(1).contains(&left));
}

/// The parent says for 2.4 s that the source pauses, or that it starves. Who covers says that the source pauses, and is heard 50 ms
/// before the parent is when the source goes on; or it sends all the time.
#[test]
fn q11_a_parent_that_is_heard_a_little_later_after_a_long_pause_of_the_source_is_the_parent_still() {
    for (hold, pauses, left) in
        [(Hold::Paused, true, false), (Hold::Paused, false, true), (Hold::Starved, true, true)]
    {
        let (mut s, parent, [first, ..]) = covered();
        let mut orders = Vec::new();
        for _ in 0..12 {
            s.told.from = Some(s.now);
            s.fact(Fact::Held { call: parent, hold });
            if pauses {
                s.told.elsewhere.insert(first, s.now);
                s.fact(Fact::Held { call: first, hold: Hold::Paused });
                orders.extend(s.pass(200));
            } else {
                orders.extend(s.cover_for(first, 200));
            }
        }
        orders.extend(s.cover_for(first, 50));
        for _ in 0..10 {
            s.hear();
            orders.extend(s.cover_for(first, 10));
        }
        assert_eq!(is_left(&orders, parent), left, "{hold:?} {pauses}: {orders:?}");
        assert_eq!(s.iptv.status(CHANNEL).unwrap().parent, Some(if left { 4 } else { 9 }));
    }
}
