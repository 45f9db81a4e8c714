//! Planned departures: of a relayer, and of the channel.

use crate::backups::{backed_up, covered, fetches, is_left, resumed};
use crate::harness::{CHANNEL, SOURCE, Solo, World, default, grown, has, ms, placed};
use p2piptv::ids::{CallId, ChannelId};
use p2piptv::iptv::{
    ByeReason, Config, EndReason, Event, Fact, Hold, Order, Profile, Provider, Refusal, Report,
};
use p2piptv::time::Instant;

#[test]
fn the_end_of_the_channel_reaches_every_viewer_and_leaves_nothing_behind() {
    let mut w = grown(default(2), 6, 2000);
    w.command(SOURCE, |i, now, ctx| i.end(now, CHANNEL, ctx).unwrap());
    w.run(ms(500));
    let ended = w.event_times(|_, e| matches!(e, Event::Ended { reason: EndReason::EndOfChannel, .. })).len();
    assert_eq!(ended, 6);
    for p in &w.peers {
        assert_eq!(p.iptv.channels().count(), 0);
        assert_eq!(p.iptv.deadline(), None);
        assert_eq!(p.iptv.free_slots(), 2);
    }
}

#[test]
fn a_relayer_that_stops_by_plan_is_replaced_before_a_repair_timer_could_run() {
    let mut w = grown(default(2), 6, 2000);
    w.forget_counts();
    let at = w.now;
    w.stop(1);
    w.run(ms(300));
    assert!(w.status(1).is_none());
    let back = w.event_times(|id, e| (id == 3 || id == 4) && matches!(e, Event::Reparented { .. }));
    assert_eq!(back.len(), 2, "{}", w.tail(60));
    assert!(back.iter().all(|t| t.since(at) <= ms(200)));
}

/// Relayers leave one after the other, at every depth. Nobody misses a packet.
#[test]
fn q12_a_relayer_that_leaves_by_plan_costs_nobody_a_packet() {
    for seed in 0..12 {
        let mut w = World::new(default(2), seed);
        w.run(ms(1000));
        for _ in 0..14 {
            w.join();
            w.run(ms(900));
        }
        w.run(ms(8_000));
        w.know_the_pace();
        for leaver in [1 + (seed % 2) as u32, 4, 3] {
            w.forget_counts();
            let children: Vec<u32> = w.viewers().filter(|&v| w.parent(v) == Some(leaver)).collect();
            let at = w.now;
            w.stop(leaver);
            w.run(ms(2_500));
            let ended = w.event_times(|id, e| id == leaver && matches!(e, Event::Ended { .. }));
            assert!(ended[0].since(at) <= ms(500), "seed {seed}: {leaver} of {children:?}\n{}", w.tail(80));
            w.run(ms(6_000));
            let silences = w.take_silences();
            assert!(silences.is_empty(), "seed {seed}: {leaver} left: {silences:?}\n{}", w.tail(200));
        }
    }
}

#[test]
fn a_leaving_relayer_serves_until_its_children_have_moved_or_the_farewell_has_passed() {
    for moves in [true, false] {
        let (mut s, parent) = Solo::viewer(default(2), 9);
        s.reported(parent, Report::SelectedRelayer { register: true });
        let (child, _) = s.invited(3, false);
        let orders = s.act(|i, now, ctx| i.stop(now, CHANNEL, ctx).unwrap());
        assert!(orders.contains(&Order::Inform { call: child, report: Report::Leaving }));
        assert!(orders.contains(&Order::Inform { call: parent, report: Report::Leaving }));
        assert!(!has(&orders, |o| matches!(o, Order::Bye { .. })));
        let (late, orders) = s.invited(4, true);
        assert!(has(&orders, |o| matches!(o, Order::Refuse { call, .. } if *call == late)));
        let gone =
            |orders: &[Order<u32>]| orders.contains(&Order::Bye { call: parent, reason: ByeReason::Leaving });
        if moves {
            let orders = s.fact(Fact::Ended { call: child, reason: ByeReason::Normal });
            assert!(gone(&Vec::from(orders)));
        } else {
            s.told.media = Some(s.now + ms(3000));
            s.told.from = Some(s.now + ms(3000));
            assert!(!gone(&s.pass(1999)));
            let orders = s.pass(1);
            assert!(
                gone(&orders) && orders.contains(&Order::Bye { call: child, reason: ByeReason::Leaving })
            );
        }
        assert_eq!(s.iptv.deadline(), None);
    }
}

#[test]
fn whoever_is_told_to_stop_once_more_leaves_at_once() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    s.reported(parent, Report::SelectedRelayer { register: true });
    let (child, _) = s.invited(3, false);
    let stop = |s: &mut Solo| s.act(|i, now, ctx| i.stop(now, CHANNEL, ctx).unwrap());
    assert!(
        !has(&stop(&mut s), |o| matches!(o, Order::Bye { .. })),
        "its child looks for another parent first"
    );
    let orders = stop(&mut s);
    for call in [parent, child] {
        assert!(orders.contains(&Order::Bye { call, reason: ByeReason::Leaving }), "{orders:?}");
    }
    assert!(s.iptv.status(CHANNEL).is_none() && s.iptv.deadline().is_none());
}

#[test]
fn whoever_leaves_stops_what_it_watches_and_ends_what_it_publishes() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let own = ChannelId(200);
    s.act(|i, now, ctx| i.publish(now, own, ctx).unwrap());
    let call = CallId::received(50);
    s.fact(Fact::Invited { channel: own, call, peer: 3, urgent: false, moves: false, slots: Some(2) });
    let orders = s.act(|i, now, ctx| i.leave(now, ctx));
    assert!(orders.contains(&Order::Bye { call: parent, reason: ByeReason::Leaving }), "{orders:?}");
    assert!(orders.contains(&Order::Bye { call, reason: ByeReason::EndOfChannel }), "{orders:?}");
    assert_eq!((s.iptv.channels().count(), s.iptv.deadline()), (0, None));
}

#[test]
fn q12_only_a_parent_that_leaves_is_replaced_and_not_while_there_is_a_next_one() {
    let (mut s, parent, [first, ..]) = backed_up();
    assert!(s.reported(first, Report::Leaving).is_empty(), "a standby");
    let to = vec![Provider { peer: 7, depth: Some(1), free: Some(1) }];
    let next = placed(&s.reported(parent, Report::Yield { to }), 7).unwrap();
    s.told.elsewhere.insert(next, Instant::ZERO);
    s.fact(Fact::Answered { call: next, depth: Some(1), rescue: false });
    assert!(s.reported(parent, Report::Leaving).is_empty(), "the next one has been found already");
    let orders = Vec::from(s.reported(next, Report::Leaving));
    assert!(is_left(&orders, next) && !is_left(&orders, parent), "{orders:?}");
    assert_eq!(resumed(&orders), [first], "both leave");
}

/// A viewer of 9 with standbys at 4, 5 and 6 that has been asked to yield: 7 has answered, and sends nothing yet.
fn between_two() -> (Solo, CallId, [CallId; 3], CallId) {
    let (mut s, parent, standbys) = backed_up();
    let next = yielding_to_7(&mut s, parent);
    s.told.elsewhere.insert(next, Instant::ZERO);
    s.fact(Fact::Answered { call: next, depth: Some(1), rescue: false });
    (s, parent, standbys, next)
}

/// The call that a viewer places at 7, whom its parent names when it asks for its slot.
fn yielding_to_7(s: &mut Solo, parent: CallId) -> CallId {
    let to = vec![Provider { peer: 7, depth: Some(1), free: Some(1) }];
    placed(&s.reported(parent, Report::Yield { to }), 7).unwrap()
}

#[test]
fn q12_when_the_next_parent_fails_the_one_that_has_said_that_it_leaves_is_still_replaced() {
    let (mut s, parent, [first, ..], next) = between_two();
    assert!(s.reported(parent, Report::Leaving).is_empty());
    let orders = Vec::from(s.fact(Fact::Ended { call: next, reason: ByeReason::Normal }));
    assert_eq!(resumed(&orders), [first]);
    // Or it says nothing for 400 ms.
    let (mut s, parent, [first, ..], next) = between_two();
    s.reported(parent, Report::Leaving);
    assert!(resumed(&s.hear_for(390)).is_empty());
    let orders = s.hear_for(20);
    assert!(is_left(&orders, next) && resumed(&orders) == [first], "{orders:?}");
}

#[test]
fn q12_a_parent_that_leaves_and_ends_is_bridged_until_the_next_one_is_heard() {
    let (mut s, parent, [first, ..], next) = between_two();
    s.reported(parent, Report::Leaving);
    let orders = Vec::from(s.fact(Fact::Ended { call: parent, reason: ByeReason::Leaving }));
    assert_eq!(resumed(&orders), [first]);
    assert!(!is_left(&orders, next) && placed(&orders, 9).is_none(), "{orders:?}");
    s.covered_by(first);
    let orders = Vec::from(s.fact(Fact::FirstPacket { channel: CHANNEL, call: first }));
    assert!(!is_left(&orders, next), "{orders:?}");
    assert_eq!(s.iptv.status(CHANNEL).unwrap().parent, Some(4));
    let orders = Vec::from(s.fact(Fact::FirstPacket { channel: CHANNEL, call: next }));
    assert!(orders.contains(&Order::Release { call: first }), "{orders:?}");
    let status = s.iptv.status(CHANNEL).unwrap();
    assert_eq!((status.parent, status.rescue, status.standbys), (Some(7), false, 3));
}

#[test]
fn q12_a_parent_that_leaves_and_falls_silent_is_bridged_until_the_next_one_is_heard() {
    let (mut s, parent, [first, ..], next) = between_two();
    s.reported(parent, Report::Leaving);
    let orders = s.pass(60);
    assert!(resumed(&orders) == [first] && !is_left(&orders, next), "{orders:?}");
    // What it still had on its way brings it not back.
    let orders = s.hear_for(200);
    assert!(!orders.contains(&Order::Release { call: first }), "{orders:?}");
    let orders = Vec::from(s.fact(Fact::FirstPacket { channel: CHANNEL, call: next }));
    assert!(orders.contains(&Order::Release { call: first }) && is_left(&orders, parent), "{orders:?}");
    assert_eq!(s.iptv.status(CHANNEL).unwrap().parent, Some(7));
}

#[test]
fn q12_whoever_has_bridged_the_way_to_the_next_parent_is_a_standby_again() {
    let (mut s, parent, [first, ..], next) = between_two();
    assert_eq!(resumed(&s.pass(60)), [first]);
    s.covered_by(first);
    s.fact(Fact::FirstPacket { channel: CHANNEL, call: first });
    let orders = Vec::from(s.fact(Fact::FirstPacket { channel: CHANNEL, call: next }));
    assert!(orders.contains(&Order::Release { call: first }) && is_left(&orders, parent), "{orders:?}");
    assert!(!is_left(&orders, first), "{orders:?}");
    let status = s.iptv.status(CHANNEL).unwrap();
    assert_eq!((status.parent, status.standbys), (Some(7), 3));
}

#[test]
fn q12_a_silent_parent_that_says_that_it_leaves_need_not_come_back() {
    let (mut s, parent, [first, ..]) = covered();
    let orders = Vec::from(s.reported(parent, Report::Leaving));
    assert!(is_left(&orders, parent), "{orders:?}");
    assert_eq!(s.iptv.status(CHANNEL).map(|s| (s.parent, s.cover)), Some((Some(4), None)));
    // And one whose standbys have not sent yet neither.
    let (mut s, parent, [first_2, ..]) = backed_up();
    assert_eq!(resumed(&s.pass(60)), [first_2]);
    assert!(s.reported(parent, Report::Leaving).is_empty());
    assert!(s.fact(Fact::Held { call: parent, hold: Hold::Starved }).is_empty(), "it asks all the same");
    s.covered_by(first_2);
    let orders = Vec::from(s.fact(Fact::FirstPacket { channel: CHANNEL, call: first_2 }));
    assert!(is_left(&orders, parent), "{orders:?}");
    assert_eq!(first, first_2);
}

/// The parent 9 is silent, says that it leaves, and sends again; nobody else has room.
#[test]
fn q12_a_parent_that_sends_again_until_it_leaves_is_not_left_before_somebody_else_is_found() {
    let (mut s, parent, standbys) = backed_up();
    s.pass(60);
    assert!(s.reported(parent, Report::Leaving).is_empty());
    let mut orders = s.denied_by(standbys);
    for _ in 0..4 {
        orders.extend(s.hear_for(60));
        orders.extend(s.denied_by(standbys));
    }
    orders.extend(s.hear_for(1_500));
    orders.extend(s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![] }));
    orders.extend(s.hear_for(5_000));
    assert!(!is_left(&orders, parent), "{orders:?}");
    assert_eq!(s.iptv.status(CHANNEL).unwrap().parent, Some(9));
    // When it ends somebody is asked at once.
    let orders = Vec::from(s.fact(Fact::Ended { call: parent, reason: ByeReason::Leaving }));
    assert!(orders.iter().any(|o| matches!(o, Order::Resume { .. } | Order::Invite { .. })), "{orders:?}");
}

/// 7 is asked for a slot when the parent, its only backup, is gone.
#[test]
fn p18_who_refuses_a_slot_to_somebody_that_has_one_is_asked_again_for_a_rescue_slot() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let backups = vec![Provider { peer: 7, depth: Some(1), free: None }];
    let seven = yielding_to_7(&mut s, parent);
    s.reported(
        parent,
        Report::TreePosition { depth: 1, path: vec![9], rescue: false, backups, delegated: false },
    );
    s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost });
    let orders = s.fact(Fact::Refused { call: seven, refusal: Refusal::NotFound });
    assert!(placed(&orders, 7).is_some(), "{orders:?}");
}

/// The parent 9 leaves; all standbys deny, and then 4 is asked by a call.
#[test]
fn q12_whoever_is_asked_when_the_parent_that_leaves_ends_is_still_asked() {
    let (mut s, parent, standbys) = backed_up();
    s.reported(parent, Report::Leaving);
    let orders = s.denied_by(standbys);
    assert!(placed(&orders, 9).is_none() && fetches(&orders), "{orders:?}");
    // They are asked once more at once, and deny.
    s.denied_by(standbys);
    let providers = vec![Provider { peer: 7, depth: Some(1), free: Some(1) }];
    let seven = placed(&s.fact(Fact::Fetched { channel: CHANNEL, providers }), 7).unwrap();
    let mut orders = Vec::from(s.fact(Fact::Ended { call: parent, reason: ByeReason::Leaving }));
    assert_eq!(resumed(&orders), [standbys[0]], "they may have room by now");
    orders.extend(s.denied_by(standbys));
    assert!(!orders.iter().any(|o| matches!(o, Order::Cancel { .. } | Order::Invite { .. })), "{orders:?}");
    assert!(!fetches(&orders), "{orders:?}");
    s.told.elsewhere.insert(seven, Instant::ZERO);
    s.fact(Fact::Answered { call: seven, depth: Some(1), rescue: false });
    s.covered_by(seven);
    s.fact(Fact::FirstPacket { channel: CHANNEL, call: seven });
    assert_eq!(s.iptv.status(CHANNEL).unwrap().parent, Some(7));
}

#[test]
fn q12_whoever_is_asked_for_a_better_place_when_the_parent_says_that_it_leaves_is_still_asked() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let seven = yielding_to_7(&mut s, parent);
    let orders = Vec::from(s.reported(parent, Report::Leaving));
    assert!(!orders.contains(&Order::Cancel { call: seven }), "{orders:?}");
    s.fact(Fact::Answered { call: seven, depth: Some(1), rescue: true });
    s.fact(Fact::FirstPacket { channel: CHANNEL, call: seven });
    let status = s.iptv.status(CHANNEL).unwrap();
    assert_eq!((status.parent, status.rescue), (Some(7), true), "a rescue slot will do now");
    // The same with standbys, which are asked beside it.
    let (mut s, parent, [first, ..]) = backed_up();
    let seven = yielding_to_7(&mut s, parent);
    assert_eq!(resumed(&Vec::from(s.reported(parent, Report::Leaving))), [first]);
    let orders = Vec::from(s.fact(Fact::Answered { call: seven, depth: Some(1), rescue: true }));
    assert!(!is_left(&orders, seven), "{orders:?}");
}

/// No standbys. The parent 9 leaves; 7, which was to follow, names it as a backup and falls silent.
#[test]
fn q12_who_has_said_that_it_leaves_is_not_called_when_the_next_one_fails() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let next = yielding_to_7(&mut s, parent);
    s.told.elsewhere.insert(next, Instant::ZERO);
    s.fact(Fact::Answered { call: next, depth: Some(1), rescue: false });
    s.reported(parent, Report::Leaving);
    s.fact(Fact::Ended { call: parent, reason: ByeReason::Leaving });
    let backups = [9, 4].map(|peer| Provider { peer, depth: Some(1), free: None }).to_vec();
    let path = vec![1, 7];
    s.reported(next, Report::TreePosition { depth: 2, path, rescue: false, backups, delegated: false });
    let orders = Vec::from(s.fact(Fact::Ended { call: next, reason: ByeReason::Normal }));
    assert!(placed(&orders, 9).is_none() && placed(&orders, 4).is_some(), "{orders:?}");
}

#[test]
fn p18_in_the_papers_profile_a_parent_is_left_when_it_is_gone() {
    let (mut s, parent) = Solo::viewer(Config::new(Profile::Paper, 2), 9);
    assert!(s.reported(parent, Report::Leaving).is_empty());
}
