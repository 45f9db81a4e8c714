//! Planned departures: of a relayer, and of the channel.

use crate::backups::{backed_up, is_left, resumed};
use crate::harness::{CHANNEL, SOURCE, Solo, World, default, grown, has, ms, placed};
use p2piptv::iptv::{ByeReason, Config, EndReason, Event, Fact, Order, Profile, Provider, Report};
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
    assert_eq!(resumed(&Vec::from(s.reported(parent, Report::Leaving))), [first]);
}

#[test]
fn p18_in_the_papers_profile_a_parent_is_left_when_it_is_gone() {
    let (mut s, parent) = Solo::viewer(Config::new(Profile::Paper, 2), 9);
    assert!(s.reported(parent, Report::Leaving).is_empty());
}
