//! The source dies: a standby takes over with the tree as it is, or the channel ends everywhere (Q7).

use crate::harness::{CHANNEL, SOURCE, Solo, World, has, ms, placed, selected};
use p2piptv::iptv::{
    ByeReason, Config, EndReason, Event, Fact, Hold, InviteKind, Order, Profile, Provider, Refusal, Report,
};
use p2piptv::time::{Duration, Instant};
use std::collections::VecDeque;

/// A source, its standby, and viewers that came one after the other.
fn with_a_standby(viewers: usize, seed: u64) -> (World, u32) {
    let mut w = World::new(Config::new(Profile::Default, 2), seed);
    w.run(ms(1000));
    let heir = w.stand_by();
    w.run(ms(2000));
    for _ in 0..viewers {
        w.join();
        w.run(ms(2000));
    }
    w.run(ms(8000));
    (w, heir)
}

fn took_over(w: &World) -> Vec<Instant> {
    w.event_times(|_, e| matches!(e, Event::TookOver { .. }))
}

#[test]
fn q7_a_standby_takes_over_two_seconds_after_the_source_died_and_everybody_plays_again() {
    for seed in 0..12 {
        let (mut w, heir) = with_a_standby(12, seed);
        let parents: Vec<Option<u32>> = w.viewers().map(|v| w.parent(v)).collect();
        w.forget_counts();
        let died = w.now;
        w.kill(SOURCE);
        w.run(ms(12_000));
        let after: Vec<Duration> = took_over(&w).iter().map(|t| t.since(died)).collect();
        assert!(matches!(after[..], [t] if (ms(2000)..ms(2700)).contains(&t)), "seed {seed}: {after:?}");
        assert!(w.status(heir).is_some_and(|s| s.publisher && s.depth == Some(0)));
        assert!(w.starving(ms(100)).is_empty(), "seed {seed}: {:?}\n{}", w.starving(ms(100)), w.tail(300));
        // Whoever hung below a relayer hangs there still.
        let before = parents.iter().filter(|p| p.is_some_and(|p| p != SOURCE)).count();
        let moved =
            (1..).zip(&parents).filter(|(v, p)| p.is_some_and(|p| p != SOURCE) && w.parent(*v) != **p);
        let moved = moved.count();
        assert!(moved <= 2, "seed {seed}: {moved} of {before} moved\n{}", w.tail(300));
        let longest = w.take_silences().iter().map(|s| s.2).max().unwrap_or_default();
        assert!(longest <= ms(6000), "seed {seed}: {longest:?}\n{}", w.tail(400));
    }
}

#[test]
fn q7_the_heir_knows_the_tree_and_elects_in_it() {
    let (mut w, heir) = with_a_standby(12, 3);
    w.kill(SOURCE);
    w.run(ms(20_000));
    let rows = w.peers[heir as usize].iptv.table(CHANNEL);
    let placed = rows.iter().filter(|r| r.depth.is_some()).count();
    assert_eq!(placed, 12, "{rows:?}");
    assert!(rows.iter().filter(|r| r.relayer).count() >= 4, "{rows:?}");
    for _ in 0..6 {
        w.join();
        w.run(ms(2000));
    }
    w.run(ms(4000));
    assert!(w.starving(ms(100)).is_empty(), "{}", w.tail(300));
}

#[test]
fn a_source_that_answers_is_not_replaced_whatever_the_tree_has() {
    let (mut w, heir) = with_a_standby(6, 5);
    // The source's media reaches nobody, and its SIP everybody.
    for viewer in 1..=7 {
        w.cut(SOURCE, viewer, true);
    }
    w.run(ms(30_000));
    assert!(took_over(&w).is_empty() && w.status(heir).is_some_and(|s| !s.publisher));
    // A pause is none of its business either.
    let (mut w, _) = with_a_standby(6, 6);
    w.paused = true;
    w.run(ms(30_000));
    assert!(took_over(&w).is_empty());
    w.paused = false;
    w.run(ms(2000));
    assert!(w.starving(ms(100)).is_empty());
}

#[test]
fn where_nobody_is_on_air_the_standby_is() {
    let mut w = World::new(Config::new(Profile::Default, 2), 8);
    w.run(ms(1000));
    w.stop(SOURCE);
    w.run(ms(1000));
    w.stand_by();
    let from = w.now;
    w.run(ms(6000));
    assert!(matches!(took_over(&w)[..], [t] if t.since(from) <= ms(5000)), "{}", w.tail(50));
    w.join();
    w.run(ms(2000));
    assert!(w.starving(ms(100)).is_empty());
}

#[test]
fn q7_without_a_standby_the_channel_ends_everywhere_and_says_that_its_source_is_lost() {
    let mut w = World::new(Config::new(Profile::Default, 2), 9);
    w.run(ms(1000));
    for _ in 0..12 {
        w.join();
        w.run(ms(2000));
    }
    w.forget_counts();
    let died = w.now;
    w.kill(SOURCE);
    // Its record lives for a minute, and lookups, which grow seldom, have to do without it for three quarters of another.
    w.run(ms(100_000));
    assert!(w.event_times(|_, e| matches!(e, Event::Ended { .. })).is_empty());
    w.run(ms(80_000));
    let ended = w.event_times(|_, e| {
        matches!(e, Event::Ended { reason: EndReason::SourceLost | EndReason::EndOfChannel, .. })
    });
    assert_eq!(ended.len(), 12, "{:?}\n{}", ended, w.tail(100));
    assert!(ended.iter().all(|t| t.since(died) <= ms(170_000)), "{ended:?}");
    assert!(w.viewers().all(|v| w.status(v).is_none()));
}

/// The source is told that the records name another one.
fn outdo(w: &mut World, by: u32) {
    w.command(SOURCE, |i, now, ctx| i.on_fact(now, Fact::Outdone { channel: CHANNEL, by }, ctx));
}

#[test]
fn a_source_that_learns_of_a_newer_one_ends_and_its_children_go_there() {
    let (mut w, heir) = with_a_standby(6, 11);
    w.stall(SOURCE, ms(6000));
    w.run(ms(7000));
    assert_eq!(took_over(&w).len(), 1, "{}", w.tail(100));
    outdo(&mut w, heir);
    // It asks first.
    assert!(w.status(SOURCE).is_some_and(|s| s.publisher));
    w.run(ms(100));
    let ended = w
        .event_times(|id, e| id == SOURCE && matches!(e, Event::Ended { reason: EndReason::Superseded, .. }));
    assert_eq!((ended.len(), w.status(SOURCE)), (1, None));
    w.run(ms(8000));
    assert!(w.starving(ms(100)).is_empty(), "{:?}\n{}", w.starving(ms(100)), w.tail(300));
    let root = |v: u32| w.status(v).and_then(|s| s.path.first().copied());
    assert!((1..8).filter(|&v| v != heir).all(|v| root(v) == Some(heir)), "{}", w.tail(300));
}

#[test]
fn a_parent_that_only_says_that_the_source_is_gone_keeps_nobody_who_has_a_standby() {
    let mut w = World::new(Config::new(Profile::Default, 2), 4);
    w.run(ms(1000));
    for _ in 0..8 {
        w.join();
        w.run(ms(2000));
    }
    w.run(ms(6000));
    let relayer = (1..9).find(|&r| (1..9).any(|v| w.parent(v) == Some(r))).unwrap();
    let below: Vec<u32> = (1..9).filter(|&v| w.parent(v) == Some(relayer)).collect();
    assert!(below.iter().all(|&v| w.status(v).is_some_and(|s| s.standbys > 0)), "{}", w.tail(100));
    for &child in &below {
        w.cut(relayer, child, true);
    }
    w.take_silences();
    w.lie(relayer, Hold::Sourceless);
    w.run(ms(4000));
    let silences = w.take_silences();
    for child in below {
        let longest = silences.iter().filter(|s| s.1 == child).map(|s| s.2).max();
        assert!(longest.is_some_and(|s| s <= ms(2600)), "{child}: {longest:?}\n{}", w.tail(300));
    }
}

#[test]
fn a_parent_that_names_another_source_makes_nobody_take_over_from_the_one_of_the_records() {
    for seed in 0..4 {
        let (mut w, heir) = with_a_standby(8, seed);
        let dead = w.join();
        w.run(ms(1000));
        w.kill(dead);
        for other in 0..w.peers.len() as u32 {
            w.cut(other, heir, true);
        }
        let lie = |path| Report::TreePosition {
            depth: 2,
            path,
            rescue: false,
            backups: Vec::new(),
            delegated: false,
        };
        for _ in 0..200 {
            w.mislead(heir, &lie(vec![dead, 2]));
            w.run(ms(50));
        }
        assert!(took_over(&w).is_empty(), "seed {seed}: {}", w.tail(100));
        // The other way round: who is not there any more is replaced, whoever is named.
        w.kill(SOURCE);
        w.run(ms(8_000));
        assert_eq!(took_over(&w).len(), 1, "seed {seed}: {}", w.tail(100));
    }
}

#[test]
fn q7_a_source_that_came_back_without_its_channel_is_no_source() {
    let (mut w, heir) = with_a_standby(6, 2);
    let from = w.now;
    w.restart(SOURCE);
    w.run(ms(12_000));
    assert!(matches!(took_over(&w)[..], [t] if t.since(from) <= ms(2700)), "{}", w.tail(100));
    assert!(w.status(heir).is_some_and(|s| s.publisher) && w.starving(ms(100)).is_empty());
}

#[test]
fn a_standby_that_takes_its_leave_takes_nothing_over() {
    for seed in 0..8 {
        let (mut w, heir) = with_a_standby(8, seed);
        w.stop(heir);
        w.kill(SOURCE);
        w.run(ms(10_000));
        assert!(took_over(&w).is_empty() && w.status(heir).is_none(), "seed {seed}: {}", w.tail(100));
    }
}

#[test]
fn a_lookup_that_named_no_source_while_all_was_well_ends_nothing_later() {
    let mut w = World::new(Config::new(Profile::Default, 2), 4);
    w.run(ms(1000));
    let viewer = w.join();
    w.run(ms(2000));
    w.command(viewer, |i, now, ctx| {
        i.on_fact(now, Fact::Fetched { channel: CHANNEL, providers: Vec::new() }, ctx);
    });
    w.run(ms(60_000));
    w.cut(SOURCE, viewer, true);
    w.run(ms(3000));
    w.cut(SOURCE, viewer, false);
    w.run(ms(8000));
    assert!(w.status(viewer).is_some() && w.starving(ms(100)).is_empty(), "{}", w.tail(100));
}

#[test]
fn relayers_that_a_lookup_came_by_do_not_show_that_there_is_no_source() {
    let mut w = World::new(Config::new(Profile::Default, 2), 4);
    w.run(ms(1000));
    let viewer = w.join();
    w.run(ms(2000));
    w.cut(SOURCE, viewer, true);
    w.hide_records();
    for _ in 0..60 {
        w.run(ms(1000));
        w.command(viewer, |i, now, ctx| {
            i.on_fact(now, Fact::Met { channel: CHANNEL, providers: Vec::new() }, ctx);
        });
    }
    assert!(w.status(viewer).is_some(), "{}", w.tail(100));
}

#[test]
fn a_source_that_learns_of_a_newer_one_that_has_died_goes_on_in_a_later_epoch_and_gets_its_viewers_back() {
    let (mut w, heir) = with_a_standby(6, 11);
    w.stall(SOURCE, ms(6000));
    w.run(ms(7000));
    assert_eq!(took_over(&w).len(), 1, "{}", w.tail(100));
    w.kill(heir);
    outdo(&mut w, heir);
    w.run(ms(30_000));
    assert!(w.status(SOURCE).is_some_and(|s| s.publisher), "{}", w.tail(100));
    assert!(w.starving(ms(100)).is_empty(), "{:?}\n{}", w.starving(ms(100)), w.tail(300));
    let root = |v: u32| w.status(v).and_then(|s| s.path.first().copied());
    assert!((1..8).filter(|&v| v != heir).all(|v| root(v) == Some(SOURCE)), "{}", w.tail(300));
}

#[test]
fn whoever_is_said_to_be_a_newer_source_is_believed_only_when_it_answers_as_one() {
    let cases = [
        ("the source", true, Ok(0)),
        ("full, and so on air", true, Err(Refusal::Busy { retry_after: None })),
        ("a viewer", false, Ok(3)),
        ("gone", false, Err(Refusal::NoAnswer)),
        ("without the channel", false, Err(Refusal::NotFound)),
        ("below me", false, Err(Refusal::Loop)),
    ];
    for (who, ends, answer) in cases {
        let mut s = Solo::publisher(Config::new(Profile::Default, 2));
        let orders = s.fact(Fact::Outdone { channel: CHANNEL, by: 7 });
        let call = placed(&orders, 7).expect("it is asked");
        assert!(!has(&s.fact(Fact::Outdone { channel: CHANNEL, by: 8 }), |o| matches!(
            o,
            Order::Invite { .. }
        )));
        let orders = s.fact(match answer {
            Ok(depth) => Fact::Answered { call, depth: Some(depth), rescue: false },
            Err(refusal) => Fact::Refused { call, refusal },
        });
        let anew = has(&orders, |o| matches!(o, Order::BeginAnew { .. }))
            && has(&orders, |o| matches!(o, Order::Register { .. }));
        assert_eq!((s.iptv.status(CHANNEL).is_none(), anew), (ends, !ends), "{who}: {orders:?}");
        if ends {
            let over = Order::Event(Event::Ended { channel: CHANNEL, reason: EndReason::Superseded });
            assert!(orders.contains(&over), "{who}: {orders:?}");
        }
    }
    // One that says nothing at all is waited for as long as for any answer.
    let mut s = Solo::publisher(Config::new(Profile::Default, 2));
    s.fact(Fact::Outdone { channel: CHANNEL, by: 7 });
    assert!(!s.pass(3_999).iter().any(|o| matches!(o, Order::BeginAnew { .. })));
    assert!(s.pass(1).iter().any(|o| matches!(o, Order::BeginAnew { .. })));
}

/// A standby below a relayer.
fn with_a_deep_standby(seed: u64) -> (World, u32) {
    let mut w = World::new(Config::new(Profile::Default, 2), seed);
    w.run(ms(1000));
    for _ in 0..5 {
        w.join();
        w.run(ms(2000));
    }
    let heir = w.stand_by();
    w.run(ms(8000));
    assert!(w.parent(heir).is_some_and(|p| p != SOURCE), "seed {seed}: {}", w.tail(100));
    (w, heir)
}

#[test]
fn a_relayer_that_says_that_the_channel_is_over_ends_no_standby() {
    for seed in 0..6 {
        let (mut w, heir) = with_a_deep_standby(seed);
        w.dismiss(heir, ByeReason::EndOfChannel);
        w.run(ms(10_000));
        assert!(w.status(heir).is_some_and(|s| !s.publisher && s.playing), "seed {seed}: {}", w.tail(200));
        assert!(took_over(&w).is_empty());
        // Nor does it keep one from taking over from a source that has died.
        w.dismiss(heir, ByeReason::EndOfChannel);
        w.kill(SOURCE);
        w.run(ms(8_000));
        assert!(w.status(heir).is_some_and(|s| s.publisher), "seed {seed}: {}", w.tail(200));
    }
}

#[test]
fn a_standby_below_a_relayer_ends_with_its_channel() {
    for seed in 0..6 {
        let (mut w, heir) = with_a_deep_standby(seed);
        w.stop(SOURCE);
        w.run(ms(6_000));
        assert!(took_over(&w).is_empty() && w.status(heir).is_none(), "seed {seed}: {}", w.tail(200));
        let over = |id, e: &Event<u32>| {
            id == heir && matches!(e, Event::Ended { reason: EndReason::EndOfChannel, .. })
        };
        assert_eq!(w.event_times(over).len(), 1);
    }
}

#[test]
fn a_relayer_reports_to_no_other_source_than_the_records_name() {
    let place = |path: Vec<u32>| Report::TreePosition {
        depth: path.len() as u8,
        path,
        rescue: false,
        backups: Vec::new(),
        delegated: false,
    };
    let (mut s, parent) = Solo::viewer(Config::new(Profile::Default, 2), 9);
    s.reported(parent, place(vec![9]));
    s.reported(parent, Report::SelectedRelayer { register: true });
    let dials = |orders: &[Order<u32>]| {
        let to_77 = |o: &&Order<u32>| matches!(o, Order::Invite { peer: 77, kind: InviteKind::Control, .. });
        orders.iter().filter(to_77).count()
    };
    let fetches = |orders: &[Order<u32>]| orders.iter().filter(|o| matches!(o, Order::Fetch { .. })).count();
    let mut orders: Vec<Order<u32>> = s.reported(parent, place(vec![77, 9])).into();
    orders.extend(s.hear_for(30_000));
    // It asks in the first second, and then every eight to nine.
    assert_eq!((dials(&orders), fetches(&orders)), (0, 4), "{orders:?}");
    let source = |peer| vec![Provider { peer, depth: Some(0), free: Some(1) }];
    let mut orders: Vec<Order<u32>> = s.fact(Fact::Fetched { channel: CHANNEL, providers: source(9) }).into();
    orders.extend(s.hear_for(5_000));
    assert_eq!(dials(&orders), 0);
    let orders: Vec<Order<u32>> = s.fact(Fact::Fetched { channel: CHANNEL, providers: source(77) }).into();
    assert_eq!(dials(&orders), 1);
    // Nothing more is asked then.
    assert_eq!(fetches(&s.hear_for(30_000)), 0);
}

/// A standby source that has taken the channel over.
fn heir(config: Config) -> Solo {
    let (mut s, call) = Solo::standby(config, 9);
    s.fact(Fact::Ended { call, reason: ByeReason::Lost });
    for _ in 0..100 {
        let orders = s.pass(100);
        for order in orders {
            if let Order::Invite { call, .. } = order {
                s.fact(Fact::Refused { call, refusal: Refusal::NoAnswer });
            }
        }
        if s.iptv.status(CHANNEL).is_some_and(|s| s.publisher) {
            break;
        }
    }
    assert!(s.iptv.status(CHANNEL).unwrap().publisher);
    s
}

#[test]
fn an_heir_confirms_relayers_of_the_one_before_and_after_a_while_nobody_who_was_never_elected() {
    let config = Config::new(Profile::Default, 3);
    let limit = config.source_limit.as_millis() as u64;
    let mut s = heir(config);
    let accepted = Report::RelayerAccepted { free: 1 };
    let first = s.invited(11, false).0;
    assert_eq!(selected(s.reported(first, accepted.clone())), [first]);
    s.pass(limit);
    let late = s.invited(12, false).0;
    assert_eq!(selected(s.reported(late, accepted)), []);
}

#[test]
fn a_parent_that_has_not_the_owners_word_for_the_end_is_left_and_ends_nobody() {
    for seed in 0..6 {
        let mut w = World::new(Config::new(Profile::Default, 2), seed);
        w.run(ms(1000));
        for _ in 0..8 {
            w.join();
            w.run(ms(2000));
        }
        w.run(ms(6000));
        let deep = |v: &u32| w.parent(*v).is_some_and(|p| p != SOURCE);
        let viewers: Vec<u32> = w.viewers().filter(deep).collect();
        w.take_silences();
        for &viewer in &viewers {
            w.dismiss(viewer, ByeReason::RumouredEnd);
            w.run(ms(4000));
        }
        assert!(w.event_times(|_, e| matches!(e, Event::Ended { .. })).is_empty(), "seed {seed}");
        assert!(w.starving(ms(100)).is_empty(), "seed {seed}: {}", w.tail(200));
        let longest = w.take_silences().into_iter().map(|s| s.2).max();
        assert!(longest.is_none_or(|s| s <= ms(200)), "seed {seed}: {longest:?}");
    }
}

/// After how many milliseconds it is over for a viewer whose parent has ended the call so, which reaches nobody, and whose
/// lookups name these; within a minute.
fn over_after(reason: ByeReason, named: &[Provider<u32>]) -> Option<u128> {
    let (mut s, parent) = Solo::viewer(Config::new(Profile::Default, 2), 7);
    s.hear_for(1000);
    let began = s.now;
    let mut orders: VecDeque<_> = s.fact(Fact::Ended { call: parent, reason });
    while s.now.since(began) < ms(60_000) {
        while let Some(order) = orders.pop_front() {
            orders.extend(match order {
                Order::Event(Event::Ended { .. }) => return Some(s.now.since(began).as_millis()),
                Order::Fetch { .. } => s.fact(Fact::Fetched { channel: CHANNEL, providers: named.to_vec() }),
                Order::Invite { call, .. } => {
                    s.fact(Fact::Refused { call, refusal: Refusal::Busy { retry_after: None } })
                }
                _ => continue,
            });
        }
        orders.extend(s.pass(10));
    }
    None
}

#[test]
fn k11_a_rumour_of_the_end_is_true_when_nobody_else_has_the_channel_and_no_source_is_on_record() {
    let source = Provider { peer: 3, depth: Some(0), free: Some(0) };
    assert_eq!(over_after(ByeReason::EndOfChannel, &[source]), Some(0));
    assert!(over_after(ByeReason::RumouredEnd, &[]).is_some_and(|ms| (2000..4000).contains(&ms)));
    assert_eq!(over_after(ByeReason::RumouredEnd, &[source]), None);
    // Without it an end is what three quarters of a minute show.
    assert!(over_after(ByeReason::Lost, &[]).is_some_and(|ms| (45_000..55_000).contains(&ms)));
}

#[test]
fn an_heir_tells_no_more_relayers_to_stand_under_the_channels_name_than_there_is_room_for() {
    let config = Config { registered_relayers: 1, ..Config::new(Profile::Default, 3) };
    let mut s = heir(config);
    let registers = [11, 12].map(|peer| {
        let call = s.invited(peer, false).0;
        let orders = s.reported(call, Report::RelayerAccepted { free: 1 });
        orders.into_iter().find_map(|o| match o {
            Order::Inform { report: Report::SelectedRelayer { register }, .. } => Some(register),
            _ => None,
        })
    });
    assert_eq!(registers, [Some(true), Some(false)]);
}

#[test]
fn k1_a_standby_source_whose_host_is_late_looks_all_the_same_and_has_a_later_deadline_then() {
    let (mut s, _) = Solo::standby(Config::new(Profile::Default, 2), 9);
    for _ in 0..200 {
        s.hear();
        s.now = s.iptv.deadline().unwrap().max(s.now) + ms(5);
        s.act(|i, now, ctx| i.handle_timeout(now, ctx));
        assert!(s.iptv.deadline().unwrap() > s.now, "{:?} at {:?}", s.iptv.deadline(), s.now);
    }
}

/// A parent that is not the source says at 0 that the channel is over, and nobody answers anything. The source is asked at
/// 1,000 ms, when nothing has come for so long, and has 1,000 ms; then every 500 ms it is looked whether to ask the records.
#[test]
fn k11_a_standby_source_that_hears_a_rumour_asks_the_records_once_after_the_farewell_and_again_20_s_later() {
    let mut s = Solo::new(Config { farewell: ms(3_200), ..Config::new(Profile::Default, 2) });
    s.act(|i, now, ctx| i.stand_by(now, CHANNEL, ctx).unwrap());
    let source = Provider { peer: 8, depth: Some(0), free: Some(0) };
    let providers = vec![source, Provider { peer: 9, depth: Some(1), free: Some(1) }];
    let call = placed(&s.fact(Fact::Fetched { channel: CHANNEL, providers }), 9).unwrap();
    s.fact(Fact::Answered { call, depth: Some(1), rescue: false });
    s.hear();
    s.fact(Fact::FirstPacket { channel: CHANNEL, call });
    let began = s.now;
    let mut orders: Vec<Order<u32>> = s.fact(Fact::Ended { call, reason: ByeReason::RumouredEnd }).into();
    let (mut asked, mut fetched) = (Vec::new(), Vec::new());
    while s.now.since(began) < ms(24_000) {
        let at = s.now.since(began).as_millis();
        for order in core::mem::take(&mut orders) {
            match order {
                Order::Invite { peer: 8, kind: InviteKind::Standby, .. } => asked.push(at),
                Order::Fetch { .. } => fetched.push(at),
                _ => {}
            }
        }
        orders = s.pass(100);
    }
    // At 200 ms and after as many seconds as a lookup may take the viewer looks for a parent.
    assert_eq!((asked, fetched.len()), (vec![1_000], 4), "{fetched:?}");
    assert_eq!((fetched[0], fetched[1]), (200, 3_500));
    assert!((23_500..24_000).contains(&fetched[3]), "{fetched:?}");
}

/// The standby's parent 9 says at 0 that the channel is over. The source 8 of the records is not there a second after the last
/// packet.
#[test]
fn k11_what_comes_more_than_a_second_after_a_rumour_of_the_end_shows_that_it_was_wrong() {
    for (last, takes_over) in [(1_000, false), (1_001, true)] {
        let mut s = Solo::new(Config::new(Profile::Default, 2));
        s.act(|i, now, ctx| i.stand_by(now, CHANNEL, ctx).unwrap());
        let source = Provider { peer: 8, depth: Some(0), free: Some(0) };
        let providers = vec![source, Provider { peer: 9, depth: Some(1), free: Some(1) }];
        let call = placed(&s.fact(Fact::Fetched { channel: CHANNEL, providers }), 9).unwrap();
        s.fact(Fact::Answered { call, depth: Some(1), rescue: false });
        s.hear();
        s.fact(Fact::FirstPacket { channel: CHANNEL, call });
        s.fact(Fact::Ended { call, reason: ByeReason::RumouredEnd });
        s.told.media = Some(s.now + ms(last));
        let asked = |o: &Order<u32>| match o {
            Order::Invite { call, peer: 8, kind: InviteKind::Standby, .. } => Some(*call),
            _ => None,
        };
        let call = s.pass(last + 1_000).iter().find_map(asked).unwrap();
        let orders = s.fact(Fact::Refused { call, refusal: Refusal::NoAnswer });
        assert_eq!(orders.contains(&Order::TakeOver { channel: CHANNEL }), takes_over, "{orders:?}");
    }
}
