//! What a bad parent, child or provider of a standby can bring about, and what it cannot.

use crate::backups::{backed_up, covered, is_left, resumed};
use crate::harness::{CHANNEL, Solo, default, has, ms};
use p2piptv::ids::{CallId, ChannelId};
use p2piptv::iptv::{ByeReason, Child, Config, Event, Fact, Hold, Order, Provider, Refusal, Report};

#[test]
fn q12_a_parent_that_sends_only_reports_and_what_is_here_already_is_silent() {
    let (mut s, _, [first, ..]) = backed_up();
    for _ in 0..5 {
        s.told.from = Some(s.now);
        assert!(resumed(&s.pass(10)).is_empty());
    }
    s.told.from = Some(s.now);
    assert_eq!(resumed(&s.pass(9)), [first], "after 60 ms without media");
}

#[test]
fn q12_a_parent_that_sends_a_packet_now_and_then_or_the_same_again_is_given_up_like_a_silent_one() {
    for repeats in [false, true] {
        let (mut s, parent, [first, ..]) = covered();
        let mut orders = Vec::new();
        for _ in 0..9 {
            orders.extend(s.cover_for(first, 100));
            match repeats {
                false => s.hear(),
                true => s.told.from = Some(s.now),
            }
        }
        assert!(!is_left(&orders, parent), "{orders:?}");
        let orders = s.cover_for(first, 110);
        assert!(is_left(&orders, parent), "{orders:?}");
        assert_eq!((s.iptv.status(CHANNEL).unwrap().parent, s.iptv.counters().false_alarms), (Some(4), 0));
    }
}

/// The parent sends for so long, falls silent until a standby is asked, and sends again.
fn falls_silent_after(s: &mut Solo, time: u64, covers: bool) -> Vec<Order<u32>> {
    let mut orders = s.hear_for(time);
    let asked = loop {
        orders.extend(s.pass(10));
        if let Some(&call) = resumed(&orders).first() {
            break call;
        }
    };
    if covers {
        s.covered_by(asked);
        s.fact(Fact::FirstPacket { channel: CHANNEL, call: asked });
    }
    for _ in 0..110 {
        s.hear();
        orders.extend(if covers { s.cover_for(asked, 10) } else { s.pass(10) });
    }
    orders
}

#[test]
fn q12_a_parent_that_falls_silent_for_the_third_time_in_eight_seconds_is_not_taken_back() {
    for (last, is_parent) in [(6_000, false), (6_600, true)] {
        let (mut s, parent, _) = covered();
        s.hear_for(200);
        assert_eq!(s.iptv.counters().false_alarms, 1);
        let orders = falls_silent_after(&mut s, 500, true);
        assert!(!is_left(&orders, parent), "the second time: {orders:?}");
        assert_eq!(s.iptv.counters().false_alarms, 2);
        let orders = falls_silent_after(&mut s, last, true);
        assert_eq!(is_left(&orders, parent), !is_parent, "{orders:?}");
        assert_eq!(s.iptv.counters().false_alarms, 2 + u32::from(is_parent));
    }
}

/// A queue in front of its uplink, or a pause of the encoder, holds up many packets: nobody has sent in its place.
#[test]
fn q12_a_parent_that_is_heard_again_before_anybody_else_sends_may_fall_silent_as_often_as_it_likes() {
    let (mut s, parent, _) = backed_up();
    for alarms in 1..=6 {
        let orders = falls_silent_after(&mut s, 500, false);
        assert!(!is_left(&orders, parent), "{orders:?}");
        assert_eq!(s.iptv.counters().false_alarms, alarms);
    }
    let orders = falls_silent_after(&mut s, 500, true);
    assert!(!is_left(&orders, parent), "{orders:?}");
}

/// What was held up comes all at once, before it has sent for long enough to be the parent again.
#[test]
fn q12_a_parent_that_is_heard_again_before_the_first_packet_of_another_has_let_nobody_down() {
    let (mut s, parent, _) = backed_up();
    for alarms in 1..=2 {
        let mut orders = s.hear_for(500);
        while resumed(&orders).is_empty() {
            orders.extend(s.pass(10));
        }
        let asked = resumed(&orders)[0];
        s.hear_for(20);
        s.covered_by(asked);
        s.fact(Fact::FirstPacket { channel: CHANNEL, call: asked });
        assert_eq!(s.iptv.status(CHANNEL).unwrap().cover, Some(4));
        for _ in 0..20 {
            s.hear();
            s.cover_for(asked, 10);
        }
        assert_eq!(s.iptv.counters().false_alarms, alarms);
    }
    let orders = falls_silent_after(&mut s, 500, true);
    assert!(!is_left(&orders, parent), "{orders:?}");
}

/// Nobody else can cover, so that the one which has let this node down is better than none, once it has shown that it sends.
#[test]
fn q12_a_parent_that_falls_silent_for_the_third_time_is_taken_back_after_two_seconds_when_there_is_nobody_else()
 {
    let (mut s, parent, standbys) = covered();
    s.hear_for(200);
    falls_silent_after(&mut s, 500, true);
    s.hear_for(1_000);
    s.pass(400);
    for call in standbys {
        s.fact(Fact::Denied { call });
    }
    // A search finds nobody either, and ends meanwhile.
    let mut orders = s.hear_for(1_200);
    orders.extend(s.fact(Fact::Fetched { channel: CHANNEL, providers: Vec::new() }));
    orders.extend(s.hear_for(700));
    assert!(orders.iter().any(|o| matches!(o, Order::Event(Event::NotFound { .. }))), "{orders:?}");
    assert_eq!((is_left(&orders, parent), s.iptv.counters().false_alarms), (false, 2));
    let orders = s.hear_for(300);
    assert_eq!((is_left(&orders, parent), s.iptv.counters().false_alarms), (false, 3));
    assert!(s.iptv.status(CHANNEL).unwrap().playing);
}

/// What the parent before it did is nothing to it.
#[test]
fn q12_whoever_has_become_the_parent_may_be_slow_twice_as_well() {
    let (mut s, parent, [first, ..]) = covered();
    s.hear_for(200);
    falls_silent_after(&mut s, 500, true);
    let orders = falls_silent_after(&mut s, 500, true);
    assert!(is_left(&orders, parent), "{orders:?}");
    s.told.elsewhere.remove(&first);
    for _ in 0..2 {
        let orders = falls_silent_after(&mut s, 500, true);
        assert!(!is_left(&orders, first), "{orders:?}");
    }
}

#[test]
fn q12_whoever_covers_with_what_is_here_already_covers_nothing() {
    let (mut s, parent, [first, second, _]) = covered();
    let repeat = |s: &mut Solo, time: u64| {
        let mut orders = Vec::new();
        for _ in 0..time / 10 {
            s.told.elsewhere.insert(first, s.now);
            orders.extend(s.pass(10));
        }
        orders
    };
    assert!(resumed(&repeat(&mut s, 390)).is_empty());
    let orders = repeat(&mut s, 20);
    assert!(orders.contains(&Order::Release { call: first }), "{orders:?}");
    assert_eq!(resumed(&orders), [second]);
    assert!(!is_left(&orders, parent));
}

#[test]
fn q12_nobody_becomes_the_parent_without_having_sent_something_new() {
    let (mut s, parent, [first, ..]) = covered();
    for _ in 0..10 {
        s.told.elsewhere.insert(first, s.now);
        let held = s.fact(Fact::Held { call: first, hold: Hold::Paused });
        let orders = s.pass(200);
        assert!(held.is_empty() && !is_left(&orders, parent), "{orders:?}");
        assert_eq!(s.iptv.status(CHANNEL).unwrap().cover, Some(4), "a pause is no silence");
    }
    let orders = s.cover_for(first, 200);
    assert!(is_left(&orders, parent), "{orders:?}");
}

/// The child that sits in the only rescue slot never lets go of it.
#[test]
fn q12_a_rescue_slot_is_lent_for_ten_seconds_and_two_when_somebody_else_needs_it() {
    let mut s = Solo::publisher(default(2));
    let [held, wanted] = [3, 4].map(|peer| {
        let call = CallId::received(100 + peer);
        s.fact(Fact::StandbyInvited { channel: CHANNEL, call, peer, slots: Some(2) });
        call
    });
    s.invited(1, false);
    s.invited(2, false);
    s.fact(Fact::Resumed { call: held });
    let told = Order::Inform { call: held, report: Report::Leaving };
    let ask = |s: &mut Solo| Vec::from(s.fact(Fact::Resumed { call: wanted }));
    s.pass_reported(9_999);
    assert_eq!(ask(&mut s), [Order::Deny { call: wanted }]);
    s.pass_reported(1);
    assert_eq!(ask(&mut s), [told.clone(), Order::Deny { call: wanted }]);
    s.pass_reported(1_999);
    assert_eq!(ask(&mut s), [Order::Deny { call: wanted }]);
    s.pass_reported(1);
    let orders = ask(&mut s);
    assert!(is_left(&orders, held) && orders.contains(&Order::Serve { call: wanted }), "{orders:?}");
    assert_eq!(s.iptv.status(CHANNEL).unwrap().children, (2, 1));
    // Nobody takes from a child what nobody wants.
    let orders = s.pass_reported(60_000);
    assert!(!orders.contains(&told) && !is_left(&orders, wanted));
    assert_eq!(s.iptv.status(CHANNEL).unwrap().children, (2, 1));
}

#[test]
fn q12_a_rescue_slot_is_shared_by_all_channels_and_so_is_its_end() {
    const OTHER: ChannelId = ChannelId(7);
    let mut s = Solo::publisher(default(1));
    s.act(|i, now, ctx| i.publish(now, OTHER, ctx).unwrap());
    let [held, wanted] = [(OTHER, 3), (CHANNEL, 4)].map(|(channel, peer)| {
        let call = CallId::received(100 + peer);
        s.fact(Fact::StandbyInvited { channel, call, peer, slots: Some(2) });
        call
    });
    s.invited(1, false);
    s.fact(Fact::Resumed { call: held });
    s.pass_reported(10_000);
    let orders = s.fact(Fact::Resumed { call: wanted });
    assert!(orders.contains(&Order::Inform { call: held, report: Report::Leaving }));
    s.pass_reported(2_000);
    let orders = Vec::from(s.fact(Fact::Resumed { call: wanted }));
    assert!(is_left(&orders, held) && orders.contains(&Order::Serve { call: wanted }), "{orders:?}");
}

/// One channel is published here, and a child of it sits in the rescue slot for as long as it may. In the other one this node has
/// sunk since it promised: whoever asks there is denied anyway.
#[test]
fn q12_nobody_has_to_leave_the_rescue_slot_for_who_is_sent_on() {
    const OTHER: ChannelId = ChannelId(7);
    let (mut s, parent) = Solo::viewer(default(1), 9);
    s.act(|i, now, ctx| i.publish(now, OTHER, ctx).unwrap());
    let [held, wanted] = [(OTHER, 3), (CHANNEL, 4)].map(|(channel, peer)| {
        let call = CallId::received(100 + peer);
        s.fact(Fact::StandbyInvited { channel, call, peer, slots: Some(2) });
        call
    });
    let call = CallId::received(50);
    s.fact(Fact::Invited { channel: OTHER, call, peer: 1, urgent: false, moves: false, slots: Some(2) });
    assert!(s.fact(Fact::Resumed { call: held }).contains(&Order::Serve { call: held }));
    assert_eq!(s.iptv.status(OTHER).unwrap().children, (1, 1));
    for _ in 0..20 {
        s.told.report = Some(s.now);
        s.hear_for(500);
    }
    let path = vec![101, 102, 103, 104, 9];
    s.reported(
        parent,
        Report::TreePosition { depth: 0, path, rescue: false, backups: vec![], delegated: false },
    );
    let told = Order::Inform { call: held, report: Report::Leaving };
    for is_told in [false, true] {
        let orders = s.fact(Fact::Resumed { call: wanted });
        assert!(orders.contains(&Order::Deny { call: wanted }), "{orders:?}");
        assert_eq!(orders.contains(&told), is_told, "{orders:?}");
    }
}

#[test]
fn p9_a_slot_that_frees_goes_to_the_orphan_that_has_waited_longest_in_whatever_channel() {
    const OTHER: ChannelId = ChannelId(7);
    let mut s = Solo::publisher(Config { rescue_slots: 2, ..default(1) });
    s.act(|i, now, ctx| i.publish(now, OTHER, ctx).unwrap());
    let (first, _) = s.invited(1, false);
    s.invited(2, true);
    s.pass(10);
    let call = CallId::received(50);
    s.fact(Fact::Invited { channel: OTHER, call, peer: 3, urgent: true, moves: false, slots: Some(2) });
    s.fact(Fact::Ended { call: first, reason: ByeReason::Normal });
    let children = [CHANNEL, OTHER].map(|channel| s.iptv.status(channel).unwrap().children);
    assert_eq!(children, [(1, 0), (0, 1)]);
}

/// The relayer reports at 400, 1400 and 3400 ms; a report was lost. Somebody who lives from it asks the source all the time.
#[test]
fn a_relayer_that_was_suspected_and_has_reported_is_not_suspected_again_at_once() {
    let mut s = Solo::publisher(default(2));
    s.told.report = Some(s.now);
    let (relayer, _) = s.invited(1, false);
    s.invited(2, false);
    s.reported(relayer, Report::RelayerAccepted { free: 2 });
    let call = CallId::received(100);
    s.fact(Fact::StandbyInvited { channel: CHANNEL, call, peer: 3, slots: Some(2) });
    let children = vec![Child { peer: 3, slots: Some(2), rescue: false }];
    s.reported(relayer, Report::ChildUpdate { children, free: Some(1) });
    s.invited(4, true);
    for quarter in 0..14 {
        if [1, 5, 13].contains(&quarter) {
            s.told.report = Some(s.now);
        }
        let orders = s.fact(Fact::Resumed { call });
        assert_eq!(Vec::from(orders), [Order::Deny { call }], "no room");
        let orders = s.pass(250);
        assert!(!is_left(&orders, relayer), "after {quarter} quarters of a second");
    }
}

#[test]
fn k6_who_was_asleep_has_its_parent_say_hold_for_as_long_as_ever() {
    let (mut s, parent, [first, ..]) = covered();
    let hold = |s: &mut Solo| {
        s.told.from = Some(s.now);
        s.fact(Fact::Held { call: parent, hold: Hold::Starved });
    };
    s.now += ms(30_000);
    s.act(|i, now, ctx| i.handle_timeout(now, ctx));
    for n in 0..18 {
        hold(&mut s);
        let orders = s.cover_for(first, 100);
        assert!(!is_left(&orders, parent), "{n}: {orders:?}");
    }
    hold(&mut s);
    let orders = s.cover_for(first, 300);
    assert!(is_left(&orders, parent), "{orders:?}");
}

#[test]
fn k6_who_was_asleep_while_it_looked_for_another_parent_gives_the_silent_one_its_second() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let orders = s.pass(400);
    assert!(has(&orders.into(), |o| matches!(o, Order::Fetch { .. })));
    s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![] });
    s.now += ms(30_000);
    let mut orders = s.act(|i, now, ctx| i.handle_timeout(now, ctx));
    let woke = s.now;
    // Nobody knows anybody, and nobody has room.
    while !is_left(orders.make_contiguous(), parent) {
        let asked = orders.iter().find_map(|o| match o {
            Order::Invite { call, .. } => Some(*call),
            _ => None,
        });
        orders = match asked {
            Some(call) => s.fact(Fact::Refused { call, refusal: Refusal::Busy { retry_after: None } }),
            None if has(&orders, |o| matches!(o, Order::Fetch { .. })) => {
                s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![] })
            }
            None => s.pass(10).into(),
        };
    }
    assert!((1_000..3_000).contains(&s.now.since(woke).as_millis()), "{:?}", s.now.since(woke));
}

#[test]
fn a_parent_that_did_not_elect_a_relayer_does_not_have_it_report_to_itself_by_electing_it() {
    let (mut s, parent) = Solo::viewer(default(2), 5);
    let path = vec![9, 5];
    s.reported(
        parent,
        Report::TreePosition { depth: 2, path, rescue: false, backups: vec![], delegated: false },
    );
    let providers = vec![Provider { peer: 9, depth: Some(0), free: Some(0) }];
    s.fact(Fact::Fetched { channel: CHANNEL, providers });
    let control = CallId::received(70);
    s.fact(Fact::ControlInvited { channel: CHANNEL, call: control, peer: 9 });
    let orders = s.reported(control, Report::SelectedRelayer { register: true });
    assert!(has(&orders, |o| matches!(o, Order::Event(Event::Elected { .. }))), "{orders:?}");
    let mut orders: Vec<Order<u32>> = s.reported(parent, Report::SelectedRelayer { register: true }).into();
    orders.extend(s.hear_for(3_000));
    let to = |call| move |o: &&Order<u32>| matches!(o, Order::Inform { call: c, .. } if *c == call);
    assert_eq!(orders.iter().filter(to(parent)).count(), 0, "{orders:?}");
    // It goes on to report to the source.
    assert!(orders.iter().filter(to(control)).count() >= 2, "{orders:?}");
    assert!(!is_left(&orders, control) && !is_left(&orders, parent), "{orders:?}");
}

/// One channel is published here, the other one only watched: a child of that one cannot move out of the rescue slot.
#[test]
fn q12_nobody_has_to_leave_the_rescue_slot_for_who_gets_an_ordinary_one() {
    const OTHER: ChannelId = ChannelId(7);
    let (mut s, _) = Solo::viewer(default(1), 9);
    s.act(|i, now, ctx| i.publish(now, OTHER, ctx).unwrap());
    let [held, wanted, late] = [(CHANNEL, 3), (OTHER, 4), (OTHER, 5)].map(|(channel, peer)| {
        let call = CallId::received(100 + peer);
        s.fact(Fact::StandbyInvited { channel, call, peer, slots: Some(2) });
        call
    });
    assert!(s.fact(Fact::Resumed { call: held }).contains(&Order::Serve { call: held }));
    for _ in 0..20 {
        s.told.report = Some(s.now);
        s.hear_for(500);
    }
    assert_eq!(s.iptv.status(CHANNEL).unwrap().children, (0, 1));
    let told = Order::Inform { call: held, report: Report::Leaving };
    let orders = s.fact(Fact::Resumed { call: wanted });
    assert!(orders.contains(&Order::Serve { call: wanted }) && !orders.contains(&told), "{orders:?}");
    let orders = s.fact(Fact::Resumed { call: late });
    assert!(orders.contains(&Order::Deny { call: late }) && orders.contains(&told), "{orders:?}");
}
