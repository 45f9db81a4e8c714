//! A source and its relayers: offers, reports, records, and relayers that are lost.

use crate::harness::{CHANNEL, Solo, World, default, has, ms, placed, selected};
use p2piptv::ids::CallId;
use p2piptv::iptv::{ByeReason, Child, Config, Event, Fact, Limits, Order, Profile, Report};
use std::collections::VecDeque;

#[test]
fn q8_a_decline_elects_the_next_and_so_does_an_offer_without_an_answer() {
    let mut s = Solo::publisher(default(3));
    let (first, _) = s.invited(1, false);
    let (second, _) = s.invited(2, false);
    let (third, orders) = s.invited(3, false);
    assert_eq!(selected(orders), [first]);
    let orders = s.reported(first, Report::RelayerDeclined);
    assert_eq!(selected(orders), [second]);
    s.told.report = Some(s.now + ms(3100));
    assert!(selected(s.pass(2999)).is_empty());
    assert_eq!(selected(s.pass(1)), [third]);
    // The one that declined rests.
    s.reported(third, Report::RelayerDeclined);
    s.told.report = Some(s.now + ms(40_000));
    assert!(selected(s.pass(20_000)).is_empty());
    assert_eq!(selected(s.pass(8_000)), [first]);
}

#[test]
fn an_orphan_makes_the_source_look_closer_at_the_parent_that_it_has_lost() {
    // With and without an orphan, after the last report of the relayer.
    for (orphan, gone_after) in [(true, 1500), (false, 3500)] {
        let mut s = Solo::publisher(default(2));
        s.told.report = Some(s.now);
        let (first, _) = s.invited(1, false);
        s.invited(2, false);
        s.reported(first, Report::RelayerAccepted { free: 2 });
        let children = vec![Child { peer: 3, slots: Some(2), rescue: false }];
        s.reported(first, Report::ChildUpdate { children, free: Some(1) });
        s.pass(400);
        if orphan {
            let (_, orders) = s.invited(3, true);
            assert!(has(&orders, |o| matches!(o, Order::Accept { rescue: true, .. })));
        }
        let left = |o: &Order<u32>| matches!(o, Order::Event(Event::ChildLeft { child: 1, .. }));
        assert!(!s.pass(gone_after - 401).iter().any(left), "orphan: {orphan}");
        let orders = s.pass(1);
        assert!(orders.iter().any(left), "orphan: {orphan}");
        // The slot goes to the orphan, at once.
        assert_eq!(s.iptv.status(CHANNEL).unwrap().children.1, 0);
    }
}

#[test]
fn an_orphan_that_errs_takes_nothing_from_a_relayer_that_reports() {
    let mut s = Solo::publisher(default(2));
    let (first, _) = s.invited(1, false);
    s.invited(2, false);
    s.reported(first, Report::RelayerAccepted { free: 2 });
    let children = vec![Child { peer: 3, slots: Some(2), rescue: false }];
    s.reported(first, Report::ChildUpdate { children, free: Some(1) });
    for _ in 0..30 {
        s.told.report = Some(s.now);
        s.invited(3, true);
        s.pass(1400);
        s.reported(first, Report::Alive);
    }
    assert_eq!(s.iptv.table(CHANNEL).iter().filter(|r| r.depth == Some(1) && r.peer < 3).count(), 2);
}

#[test]
fn a_relayer_that_leaves_by_plan_is_lost_at_once_and_one_that_only_moves_is_not() {
    for (reason, lost) in [(ByeReason::Leaving, 1), (ByeReason::Normal, 0)] {
        // In its slot here, or in the control dialog that a deeper one has.
        for deeper in [false, true] {
            let mut s = Solo::publisher(default(1));
            let (mut call, _) = s.invited(1, false);
            s.reported(call, Report::RelayerAccepted { free: 1 });
            if deeper {
                let children = vec![Child { peer: 2, slots: Some(1), rescue: false }];
                let orders = s.reported(call, Report::FullCapacity { children });
                call = placed(&orders, 2).expect("the next layer is asked");
                s.fact(Fact::Answered { call, depth: Some(1), rescue: false });
                s.reported(call, Report::RelayerAccepted { free: 1 });
            }
            let relayer = 1 + u32::from(deeper);
            let orders = s.fact(Fact::Ended { call, reason });
            let told = |o: &&Order<u32>| matches!(o, Order::Event(Event::RelayerLost { relayer: r, .. }) if *r == relayer);
            assert_eq!(orders.iter().filter(told).count(), lost, "{reason:?}, deeper: {deeper}");
            assert_eq!(s.iptv.table(CHANNEL).iter().any(|r| r.peer == relayer), lost == 0);
        }
    }
}

#[test]
fn a_relayer_that_says_that_it_leaves_is_lost_and_a_viewer_that_says_so_is_not_and_both_stay_in_their_slots()
{
    let lost = Order::Event(Event::RelayerLost { channel: CHANNEL, relayer: 1 });
    for relays in [true, false] {
        let mut s = Solo::publisher(default(2));
        let (call, _) = s.invited(1, false);
        if relays {
            s.invited(2, false);
            s.reported(call, Report::RelayerAccepted { free: 2 });
        }
        let orders = s.reported(call, Report::Leaving);
        assert_eq!((orders.contains(&lost), s.iptv.relies_on(CHANNEL, 1)), (relays, false), "{orders:?}");
        assert!(s.iptv.table(CHANNEL).iter().any(|r| r.peer == 1 && r.depth == Some(1)));
        assert!(s.reported(call, Report::Leaving).is_empty());
        assert!(s.reported(call, Report::RelayerDeclined).is_empty(), "nobody has asked it");
    }
}

#[test]
fn an_offer_that_crosses_with_a_move_is_made_again_where_the_candidate_is_now() {
    let mut s = Solo::publisher(default(1));
    let (first, _) = s.invited(1, false);
    s.reported(first, Report::RelayerAccepted { free: 1 });
    let (orphan, _) = s.invited(2, true);
    // 2 has found a slot at 1 and is about to say goodbye when it is offered the office.
    let children = vec![Child { peer: 2, slots: Some(1), rescue: false }];
    let orders = s.reported(first, Report::FullCapacity { children });
    assert_eq!(selected(orders), [orphan]);
    let orders = s.fact(Fact::Ended { call: orphan, reason: ByeReason::Normal });
    assert!(placed(&orders, 2).is_some(), "{orders:?}");
}

#[test]
fn p16_full_capacity_is_reported_when_the_last_slot_is_taken_and_updates_are_coalesced() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let orders = s.reported(parent, Report::SelectedRelayer { register: true });
    assert!(orders.contains(&Order::Inform { call: parent, report: Report::RelayerAccepted { free: 2 } }));
    let (_, orders) = s.invited(3, false);
    let child = |peer| Child { peer, slots: Some(2), rescue: false };
    assert!(!has(&orders, |o| matches!(o, Order::Inform { report: Report::ChildUpdate { .. }, .. })));
    let (second, orders) = s.invited(4, false);
    let report = Report::FullCapacity { children: vec![child(3), child(4)] };
    assert!(orders.contains(&Order::Inform { call: parent, report }));
    s.hear();
    s.now += ms(1);
    let orders = s.fact(Fact::Ended { call: second, reason: ByeReason::Normal });
    assert!(!has(&orders, |o| matches!(o, Order::Inform { report: Report::ChildUpdate { .. }, .. })));
    let mut update = Vec::new();
    for _ in 0..10 {
        s.hear();
        update.extend(s.pass(100));
    }
    let report = Report::ChildUpdate { children: vec![child(3)], free: Some(1) };
    assert_eq!(
        update.iter().filter(|o| **o == Order::Inform { call: parent, report: report.clone() }).count(),
        1
    );
}

#[test]
fn q3_the_record_is_stored_again_when_free_slots_cross_zero_at_a_bounded_rate() {
    let mut s = Solo::publisher(default(1));
    let mut stored = Vec::new();
    for _ in 0..20 {
        let (call, orders) = s.invited(1, false);
        stored.extend(orders);
        stored.extend(s.pass(100));
        stored.extend(s.fact(Fact::Ended { call, reason: ByeReason::Normal }));
        stored.extend(s.pass(400));
    }
    let count = stored.iter().filter(|o| matches!(o, Order::Register { .. })).count();
    assert!(count <= 2, "{count} stores in ten seconds");
}

/// The record was stored long ago. What becomes full says so at once; what becomes free, when it still is after five seconds.
#[test]
fn q3_a_slot_is_announced_when_it_has_been_free_for_a_while() {
    let mut s = Solo::publisher(default(1));
    let stored = |orders: VecDeque<Order<u32>>| -> Vec<u16> {
        let free = |o: &Order<u32>| if let Order::Register { free, .. } = o { Some(*free) } else { None };
        orders.iter().filter_map(free).collect()
    };
    s.pass(10_000);
    let (first, orders) = s.invited(1, false);
    assert_eq!(stored(orders), [0]);
    assert_eq!(stored(s.pass_reported(10_000).into()), []);
    // Free for four seconds, and taken again.
    let mut orders = s.fact(Fact::Ended { call: first, reason: ByeReason::Normal });
    orders.extend(s.pass(4_000));
    let (second, taken) = s.invited(2, false);
    orders.extend(taken);
    orders.extend(s.pass_reported(10_000));
    assert_eq!(stored(orders), []);
    // Free for longer.
    let mut orders = s.fact(Fact::Ended { call: second, reason: ByeReason::Normal });
    orders.extend(s.pass(4_999));
    assert_eq!(stored(orders), []);
    assert_eq!(stored(s.pass(1).into()), [1]);
}

#[test]
fn k8_strangers_that_offer_control_dialogs_are_bounded_and_forgotten() {
    let mut s = Solo::publisher(default(1));
    let (first, _) = s.invited(1, false);
    s.reported(first, Report::RelayerAccepted { free: 0 });
    let offered = |s: &mut Solo, peer: u32| {
        let call = CallId::received(10_000 + peer);
        let orders = s.fact(Fact::ControlInvited { channel: CHANNEL, call, peer });
        has(&orders, |o| matches!(o, Order::Accept { .. }))
    };
    let admitted = (100..2_000).filter(|&peer| offered(&mut s, peer)).count();
    assert_eq!(admitted, 256);
    // A relayer that the table knows has lost its dialog.
    assert!(offered(&mut s, 1));
    let orders = s.pass(31_000);
    let ended = orders.iter().filter(|o| matches!(o, Order::Bye { .. })).count();
    assert_eq!(ended, 256 + 2, "and the relayer that has fallen silent in both of its dialogs");
    assert!(offered(&mut s, 3_000), "there is room again");
}

#[test]
fn k8_no_more_control_dialogs_are_taken_than_the_limit_says() {
    let limits = Limits { controls: 2, ..Limits::default() };
    let mut s = Solo::publisher(Config { limits, ..default(1) });
    let taken = [11, 12, 13, 14].map(|peer| {
        let call = CallId::received(100 + peer);
        let orders = s.fact(Fact::ControlInvited { channel: CHANNEL, call, peer });
        has(&orders, |o| matches!(o, Order::Accept { .. }))
    });
    assert_eq!(taken, [true, true, false, false]);
    s.fact(Fact::Ended { call: CallId::received(111), reason: ByeReason::Normal });
    let orders = s.fact(Fact::ControlInvited { channel: CHANNEL, call: CallId::received(120), peer: 13 });
    assert!(has(&orders, |o| matches!(o, Order::Accept { .. })), "{orders:?}");
}

#[test]
fn what_a_viewer_says_who_was_never_asked_to_relay_names_nobody_and_makes_it_no_relayer() {
    let mut s = Solo::publisher(default(2));
    let (call, _) = s.invited(1, false);
    let children = vec![Child { peer: 7, slots: Some(2), rescue: false }];
    for report in [
        Report::FullCapacity { children: children.clone() },
        Report::ChildUpdate { children, free: Some(1) },
        Report::Alive,
    ] {
        let orders = s.reported(call, report.clone());
        assert!(orders.is_empty(), "{report:?}: {orders:?}");
        assert_eq!(
            s.iptv.table(CHANNEL).iter().map(|r| (r.peer, r.relayer)).collect::<Vec<_>>(),
            [(1, false)]
        );
    }
}

#[test]
fn q10_who_loses_packets_itself_is_elected_after_those_who_do_not() {
    for (profile, elected) in [(Profile::Default, 1), (Profile::Paper, 0)] {
        let mut s = Solo::publisher(Config::new(profile, 2));
        let (first, _) = s.invited(1, false);
        s.told.lossy = Some(first);
        let (second, orders) = s.invited(2, false);
        assert_eq!(selected(orders), [[first, second][elected]], "{profile:?}");
    }
}

#[test]
fn whoever_swallows_an_offer_is_passed_over() {
    let mut w = World::new(default(2), 3);
    w.run(ms(1000));
    let first = w.join();
    w.swallow_reports(first);
    w.run(ms(1000));
    let second = w.join();
    w.run(ms(4000));
    let ready = w.event_times(|_, e| matches!(e, Event::RelayerReady { relayer, .. } if *relayer == second));
    assert_eq!(ready.len(), 1, "{}", w.tail(60));
}

/// The only candidate there is; nobody waits for a slot, which would shorten its rest.
#[test]
fn q8_who_fails_as_a_relayer_rests_for_twice_as_long_each_time_until_it_has_done_well() {
    let mut s = Solo::publisher(default(1));
    let (call, orders) = s.invited(1, false);
    let mut offers = selected(orders);
    let mut rests = Vec::new();
    for well_for in [0, 5_000, 5_000, 5_000, 5_000, 5_000, 301_000] {
        assert_eq!(offers, [call]);
        s.reported(call, Report::RelayerAccepted { free: 2 });
        for _ in 0..well_for / 1_000 {
            s.told.report = Some(s.now);
            s.reported(call, Report::Alive);
            s.pass(1_000);
        }
        let failed = s.now;
        offers = selected(s.reported(call, Report::RelayerDeclined));
        while offers.is_empty() {
            s.told.report = Some(s.now);
            offers = selected(s.pass(250));
        }
        rests.push(s.now.since(failed).as_millis().div_euclid(1_000));
    }
    assert_eq!(rests, [30, 60, 120, 240, 480, 480, 30]);
}

#[test]
fn q18_the_control_dialog_with_a_candidate_that_declines_ends() {
    let mut s = Solo::publisher(default(1));
    let (relayer, _) = s.invited(1, false);
    s.reported(relayer, Report::RelayerAccepted { free: 1 });
    let children = vec![Child { peer: 2, slots: Some(2), rescue: false }];
    let orders = s.reported(relayer, Report::FullCapacity { children });
    let control = placed(&orders, 2).expect("the next candidate is called");
    let orders = s.fact(Fact::Answered { call: control, depth: None, rescue: false });
    assert_eq!(selected(orders), [control]);
    let orders = s.reported(control, Report::RelayerDeclined);
    assert!(orders.contains(&Order::Bye { call: control, reason: ByeReason::Normal }), "{orders:?}");
    let orders = s.reported(relayer, Report::RelayerDeclined);
    assert!(!has(&orders, |o| matches!(o, Order::Bye { .. })), "a child stays one: {orders:?}");
}

/// It asks several at once when it has lost its parent, and another one answers first.
#[test]
fn q18_a_relayer_that_has_sat_here_for_a_moment_speaks_in_its_control_dialog_again() {
    let mut s = Solo::publisher(default(1));
    let (relayer, _) = s.invited(1, false);
    s.reported(relayer, Report::RelayerAccepted { free: 1 });
    let children = vec![Child { peer: 2, slots: Some(2), rescue: false }];
    let orders = s.reported(relayer, Report::FullCapacity { children });
    let control = placed(&orders, 2).expect("the next candidate is called");
    s.fact(Fact::Answered { call: control, depth: None, rescue: false });
    s.reported(control, Report::RelayerAccepted { free: 2 });
    let (call, orders) = s.invited(2, true);
    assert!(has(&orders, |o| matches!(o, Order::Accept { call: c, .. } if *c == call)), "{orders:?}");
    s.fact(Fact::Ended { call, reason: ByeReason::Normal });
    let orders = s.reported(control, Report::RelayerDeclined);
    assert!(orders.contains(&Order::Bye { call: control, reason: ByeReason::Normal }), "{orders:?}");
}

#[test]
fn q8_that_a_relayer_is_ready_is_told_once() {
    let mut s = Solo::publisher(default(1));
    let (call, _) = s.invited(1, false);
    let ready = Order::Event(Event::RelayerReady { channel: CHANNEL, relayer: 1 });
    let reports = [Report::RelayerAccepted { free: 1 }, Report::Alive, Report::RelayerAccepted { free: 1 }];
    assert_eq!(reports.map(|report| s.reported(call, report).contains(&ready)), [true, false, false]);
}

#[test]
fn p17_the_host_hears_of_every_change_of_the_table_and_of_nothing_else() {
    let mut s = Solo::publisher(default(2));
    let changed = |orders: &VecDeque<Order<u32>>| {
        orders.iter().filter(|o| matches!(o, Order::Event(Event::TableChanged { channel: CHANNEL }))).count()
    };
    let (first, orders) = s.invited(1, false);
    assert_eq!(changed(&orders), 1, "a child");
    let (second, orders) = s.invited(2, false);
    assert_eq!(changed(&orders), 1, "another one");
    assert_eq!(changed(&s.reported(first, Report::RelayerAccepted { free: 2 })), 1, "a relayer");
    assert_eq!(changed(&s.reported(first, Report::Alive)), 0);
    let children = vec![Child { peer: 3, slots: Some(2), rescue: false }];
    let update = Report::ChildUpdate { children, free: Some(1) };
    assert_eq!(changed(&s.reported(first, update.clone())), 1, "a grandchild");
    assert_eq!(changed(&s.reported(first, update)), 0, "the same again");
    let orders = s.fact(Fact::Ended { call: second, reason: ByeReason::Normal });
    assert_eq!(changed(&orders), 1, "a child less");
}

#[test]
fn q8_whoever_has_declined_is_no_relayer_because_it_says_so_a_moment_later() {
    let mut s = Solo::publisher(default(1));
    let (call, orders) = s.invited(1, false);
    assert_eq!(selected(orders), [call]);
    s.reported(call, Report::RelayerDeclined);
    let ready = Order::Event(Event::RelayerReady { channel: CHANNEL, relayer: 1 });
    assert!(!s.reported(call, Report::RelayerAccepted { free: 1 }).contains(&ready));
}

#[test]
fn q3_a_record_is_stored_anew_when_it_is_true_no_longer_and_never_in_the_papers_profile() {
    for (profile, times) in [(Profile::Default, 1), (Profile::Paper, 0)] {
        let mut s = Solo::publisher(Config::new(profile, 2));
        let mut stored = [0; 3];
        for (n, stored) in stored.iter_mut().enumerate() {
            let mut orders = Vec::new();
            if n > 0 {
                orders.extend(s.invited(n as u32, false).1);
            }
            orders.extend(s.pass_reported(20_000));
            *stored = orders.iter().filter(|o| matches!(o, Order::Register { .. })).count();
        }
        assert_eq!(stored, [0, 0, times], "{profile:?}: with the second child the source is full");
    }
}

/// Messages come every second, give or take a tenth, and the source looks every quarter of one.
#[test]
fn q8_a_relayer_is_lost_within_three_and_a_half_seconds_after_its_last_word() {
    let mut s = Solo::publisher(default(2));
    let (first, _) = s.invited(1, false);
    s.invited(2, false);
    s.reported(first, Report::RelayerAccepted { free: 2 });
    let lost = |o: &Order<u32>| matches!(o, Order::Event(Event::RelayerLost { relayer: 1, .. }));
    assert!(!s.pass_reported(3_200).iter().any(lost));
    assert!(s.pass_reported(300).iter().any(lost));
}
