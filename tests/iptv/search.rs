//! Whom a viewer asks: redirects, hedges, and the way back up.

use crate::harness::{CHANNEL, Solo, called, default, grown, has, ms, placed};
use p2piptv::ids::CallId;
use p2piptv::iptv::{ByeReason, Config, Event, Fact, Limits, Mode, Order, Provider, Refusal, Report};
use p2piptv::time::Instant;

/// A viewer that sank from depth 1 to depth 4: it asks the source after ten seconds and more, ever less often, and takes
/// nobody who is not two layers better.
#[test]
fn a_viewer_that_sank_climbs_back_when_there_is_a_place_two_layers_nearer_to_the_source() {
    let config = Config { climb_after: ms(10_000), ..default(2) };
    let (mut s, first) = Solo::viewer(config, 9);
    let place = |path: Vec<u32>| Report::TreePosition {
        depth: 0,
        path,
        rescue: false,
        backups: vec![],
        delegated: false,
    };
    s.reported(first, place(vec![9]));
    let orders = s.fact(Fact::Ended { call: first, reason: ByeReason::Leaving });
    let call = placed(&orders, 9).expect("the source is asked");
    let below = vec![Provider { peer: 5, depth: Some(3), free: Some(1) }];
    let orders = s.fact(Fact::Refused { call, refusal: Refusal::Redirected(below) });
    let deep = placed(&orders, 5).unwrap();
    s.fact(Fact::Answered { call: deep, depth: Some(3), rescue: false });
    s.reported(deep, place(vec![9, 3, 4, 5]));
    s.hear();
    s.fact(Fact::FirstPacket { channel: CHANNEL, call: deep });
    let wait = |s: &mut Solo, time: u64| {
        let mut orders = Vec::new();
        for _ in 0..time / 100 {
            s.hear();
            orders.extend(s.pass(100));
        }
        orders
    };
    assert_eq!(placed(&wait(&mut s, 9_900), 9), None);
    let asked = placed(&wait(&mut s, 5_200), 9).expect("it asks the source");
    let offered = [(6, 2), (7, 1)].map(|(peer, depth)| Provider { peer, depth: Some(depth), free: Some(1) });
    let orders = s.fact(Fact::Refused { call: asked, refusal: Refusal::Redirected(offered.to_vec()) });
    assert_eq!(placed(&orders, 6), None, "one layer is not worth it");
    let better = placed(&orders, 7).expect("two are");
    s.fact(Fact::Refused { call: better, refusal: Refusal::Busy { retry_after: None } });
    wait(&mut s, 5_000);
    // The second pause is twice as long.
    assert_eq!(placed(&wait(&mut s, 14_000), 9), None);
    let asked = placed(&wait(&mut s, 12_000), 9).expect("it asks again");
    let orders = s.fact(Fact::Answered { call: asked, depth: Some(0), rescue: false });
    assert!(!has(&orders, |o| matches!(o, Order::Bye { .. })), "make before break");
    let orders = s.fact(Fact::FirstPacket { channel: CHANNEL, call: asked });
    assert!(orders.contains(&Order::Bye { call: deep, reason: ByeReason::Normal }));
    assert_eq!(s.iptv.status(CHANNEL).unwrap().depth, Some(1));
    // Back home it asks nobody.
    assert!(!wait(&mut s, 200_000).iter().any(|o| matches!(o, Order::Invite { .. })));
}

#[test]
fn whoever_sinks_with_its_parent_leaves_the_climb_to_the_parent() {
    for paths in [[vec![9], vec![9, 2, 3, 4, 5]], [vec![9, 2, 3], vec![9, 2, 3, 4]]] {
        let (mut s, call) = Solo::viewer(default(0), 9);
        for path in paths {
            s.reported(
                call,
                Report::TreePosition { depth: 0, path, rescue: false, backups: vec![], delegated: false },
            );
        }
        for _ in 0..2_000 {
            s.hear();
            let orders = s.pass(100);
            assert!(!orders.iter().any(|o| matches!(o, Order::Invite { .. })));
        }
    }
}

#[test]
fn no_more_are_asked_at_the_same_time_than_the_limit_says() {
    for hedges in [1, 3] {
        let limits = Limits { hedges, ..Limits::default() };
        let mut s = Solo::new(Config { limits, ..default(2) });
        s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
        let providers = (11..17).map(|peer| Provider { peer, depth: Some(1), free: None }).collect();
        let mut orders: Vec<_> = s.fact(Fact::Fetched { channel: CHANNEL, providers }).into();
        let (mut asked, mut most) = (0, 0);
        for _ in 0..300 {
            for order in orders {
                match order {
                    Order::Invite { .. } => asked += 1,
                    Order::Cancel { .. } => asked -= 1,
                    _ => {}
                }
                most = most.max(asked);
            }
            orders = s.pass(10);
        }
        assert_eq!(most, hedges);
    }
}

#[test]
fn p9_whoever_looks_for_a_parent_says_how_many_slots_it_brings_for_all_but_the_one_whom_it_saves() {
    let asks = |children: &[bool]| {
        let (mut s, parent) = Solo::viewer(default(3), 9);
        s.reported(parent, Report::SelectedRelayer { register: true });
        for (peer, &rescued) in (3..).zip(children) {
            let (_, orders) = s.invited(peer, rescued);
            assert!(has(&orders, |o| matches!(o, Order::Accept { rescue, .. } if *rescue == rescued)));
        }
        let orders = s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost });
        let slots = |o: &Order<u32>| match o {
            Order::Invite { slots, .. } => Some(*slots),
            _ => None,
        };
        orders.iter().find_map(slots)
    };
    assert_eq!(asks(&[]), Some(3));
    assert_eq!(asks(&[false, false]), Some(3), "those in which its children sit");
    assert_eq!(asks(&[false, false, false, true]), Some(3));
}

#[test]
fn q14_whoever_waits_for_its_next_round_is_not_hurried_by_what_happens_meanwhile() {
    let mut s = Solo::new(default(2));
    s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
    s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![] });
    for _ in 0..4 {
        assert_eq!(s.pass(100), []);
        assert!(s.act(|i, now, ctx| i.handle_timeout(now, ctx)).is_empty());
        let late = Provider { peer: 5, depth: Some(1), free: Some(1) };
        s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![late] });
        let orders = s.fact(Fact::RoundTrip { call: CallId::received(3), rtt: ms(10) });
        assert!(orders.is_empty(), "{orders:?}");
    }
}

#[test]
fn q1_no_more_than_two_redirects_are_followed_and_then_the_source_decides() {
    let mut s = Solo::new(default(2));
    s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
    let at = |peer, depth| Provider { peer, depth: Some(depth), free: Some(1) };
    let mut orders = s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![at(9, 0), at(20, 1)] });
    for next in 21..23 {
        let call = placed(&orders, next - 1).expect("the redirect is followed");
        let refusal = Refusal::Redirected(vec![at(next, 1)]);
        orders = s.fact(Fact::Refused { call, refusal });
    }
    let call = placed(&orders, 22).unwrap();
    let orders = s.fact(Fact::Refused { call, refusal: Refusal::Redirected(vec![at(23, 1)]) });
    assert_eq!(placed(&orders, 23), None);
    assert!(placed(&orders, 9).is_some());
}

/// Where relayers elect, one that has more callers than names of those with room sends them on to its children.
#[test]
fn a_way_that_leads_down_from_layer_to_layer_is_followed_to_its_end_where_relayers_elect() {
    let mut s = Solo::new(Config { mode: Mode::Delegated, ..default(2) });
    s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
    let at = |peer, depth: u8| Provider { peer, depth: Some(depth), free: None };
    let orders = s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![at(20, 1)] });
    let mut call = placed(&orders, 20).expect("the relayer of the record is asked");
    for depth in 2..10 {
        let next = 19 + u32::from(depth);
        let orders = s.fact(Fact::Refused { call, refusal: Refusal::Redirected(vec![at(next, depth)]) });
        call = placed(&orders, next).expect("the next one further down is asked");
    }
    // Who does not lead down leads in a circle, perhaps: two such redirects, and no third.
    for next in 40..42 {
        let orders = s.fact(Fact::Refused { call, refusal: Refusal::Redirected(vec![at(next, 9)]) });
        call = placed(&orders, next).expect("the redirect is followed");
    }
    let orders = s.fact(Fact::Refused { call, refusal: Refusal::Redirected(vec![at(42, 9)]) });
    assert_eq!(placed(&orders, 42), None);
}

#[test]
fn q1_where_the_source_elects_a_way_that_leads_down_is_followed_no_further_than_any_other() {
    let mut s = Solo::new(default(2));
    s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
    let at = |peer, depth| Provider { peer, depth: Some(depth), free: None };
    let orders = s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![at(20, 1)] });
    let mut call = placed(&orders, 20).expect("the relayer of the record is asked");
    let followed = (21..30).take_while(|&next| {
        let to = Refusal::Redirected(vec![at(next, next as u8 - 19)]);
        let orders = s.fact(Fact::Refused { call, refusal: to });
        placed(&orders, next).map(|next| call = next).is_some()
    });
    assert_eq!(followed.count(), 2);
}

#[test]
fn q2_the_next_provider_is_asked_after_the_hedge_and_the_loser_is_cancelled() {
    let mut s = Solo::new(default(2));
    s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
    let at = |peer, free| Provider { peer, depth: Some(1), free: Some(free) };
    let source = Provider { peer: 9, depth: Some(0), free: Some(0) };
    let orders = s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![source, at(4, 1)] });
    let first = placed(&orders, 4).unwrap();
    assert_eq!(placed(&s.pass(199), 9), None);
    let second = placed(&s.pass(1), 9).unwrap();
    let orders = s.fact(Fact::Answered { call: second, depth: Some(0), rescue: false });
    assert!(orders.contains(&Order::Cancel { call: first }));
    // The loser had answered already.
    let orders = s.fact(Fact::Answered { call: first, depth: Some(1), rescue: false });
    assert_eq!(orders, [Order::Bye { call: first, reason: ByeReason::Normal }]);
}

/// Four relayers and the source. The first is asked at once, the next after 200 and 400 ms, and three are asked at once at most.
#[test]
fn q2_of_three_that_say_nothing_the_one_that_was_asked_first_makes_room_for_a_fourth() {
    for says_wait in [false, true] {
        let mut s = Solo::new(default(2));
        s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
        let at = |peer| Provider { peer, depth: Some(1), free: Some(1) };
        let asked = |orders: Vec<Order<u32>>| -> Vec<CallId> {
            let call = |o| if let Order::Invite { call, .. } = o { Some(call) } else { None };
            orders.into_iter().filter_map(call).collect()
        };
        let cancelled = |orders: &[Order<u32>]| -> Vec<CallId> {
            let call = |o: &Order<u32>| if let Order::Cancel { call } = o { Some(*call) } else { None };
            orders.iter().filter_map(call).collect()
        };
        let providers = [4, 5, 6, 7].map(at).to_vec();
        let first = asked(s.fact(Fact::Fetched { channel: CHANNEL, providers }).into())[0];
        if says_wait {
            s.fact(Fact::Proceeding { call: first });
        }
        let orders = s.pass(599);
        assert_eq!(cancelled(&orders), []);
        let [second, _] = asked(orders)[..] else { panic!("two more") };
        let orders = s.pass(1);
        let orders = if says_wait {
            assert!(orders.is_empty(), "the first is alive: {orders:?}");
            assert!(s.pass(199).is_empty());
            let orders = s.pass(1);
            assert_eq!(cancelled(&orders), [second]);
            orders
        } else {
            assert_eq!(cancelled(&orders), [first]);
            orders
        };
        assert_eq!(asked(orders).len(), 1);
        // Nobody is left to be asked: those that are asked have four seconds.
        assert!(s.pass(600).is_empty());
    }
}

#[test]
fn q2_a_newcomer_asks_the_source_beside_the_one_that_follows_a_silent_provider() {
    let mut s = Solo::new(default(2));
    s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
    let relayer = |peer| Provider { peer, depth: Some(1), free: Some(1) };
    let source = Provider { peer: 9, depth: Some(0), free: Some(0) };
    let orders = s.fact(Fact::Fetched {
        channel: CHANNEL,
        providers: vec![source, relayer(4), relayer(5), relayer(6)],
    });
    assert_eq!(called(&orders).len(), 1);
    assert!(called(&s.pass(199)).is_empty());
    let asked = called(&s.pass(1));
    assert!(asked.len() == 2 && asked[0].0 != 9 && asked[1].0 == 9, "{asked:?}");
}

#[test]
fn q2_where_peers_are_far_away_the_hedge_waits_for_three_round_trips() {
    let mut s = Solo::new(default(2));
    s.told.round_trip = Some(ms(230));
    s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
    let source = Provider { peer: 9, depth: Some(0), free: Some(0) };
    let relayer = Provider { peer: 4, depth: Some(1), free: Some(1) };
    s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![source, relayer] });
    assert_eq!(placed(&s.pass(689), 9), None);
    assert!(placed(&s.pass(1), 9).is_some());
}

/// The parent is gone at 0; its backups 4 and 5 are asked at once, and the source after 200 ms. All are silent.
#[test]
fn p18_an_orphan_whom_nobody_answers_asks_the_overlay_before_it_has_given_anybody_up() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let at = |peer| Provider { peer, depth: Some(1), free: None };
    let backups = vec![at(4), at(5)];
    s.reported(
        parent,
        Report::TreePosition { depth: 1, path: vec![9], rescue: false, backups, delegated: false },
    );
    let orders = s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost });
    assert!(placed(&orders, 4).is_some(), "{orders:?}");
    let fetches = |orders: &[Order<u32>]| orders.iter().any(|o| matches!(o, Order::Fetch { .. }));
    let orders = s.pass(399);
    let gives_up = |orders: &[Order<u32>]| orders.iter().any(|o| matches!(o, Order::Cancel { .. }));
    assert!(!fetches(&orders) && !gives_up(&orders), "{orders:?}");
    let orders = s.pass(1);
    assert!(fetches(&orders), "{orders:?}");
    // Who is found is asked though some of the others may still answer.
    let orders = s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![at(6)] });
    assert!(placed(&orders, 6).is_some(), "{orders:?}");
}

#[test]
fn q2_with_half_of_the_records_stale_a_picture_starts_within_a_second() {
    let mut w = grown(default(2), 14, 1500);
    w.run(ms(5000));
    for id in [3, 5, 7] {
        w.kill(id);
    }
    w.run(ms(10_000));
    let id = w.join();
    w.run(ms(1000));
    let playing = w.event_times(|i, e| i == id && matches!(e, Event::Playing { .. }));
    assert_eq!(playing.len(), 1, "{}", w.tail(60));
}

/// The parent says that it leaves, and whoever is called instead never sends. The search goes on.
#[test]
fn q13_a_next_parent_that_sends_nothing_does_not_end_the_search_of_a_child_whose_parent_leaves() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    s.reported(
        parent,
        Report::TreePosition { depth: 1, path: vec![9], rescue: false, backups: vec![], delegated: false },
    );
    let orders = s.reported(parent, Report::Leaving);
    assert!(has(&orders, |o| matches!(o, Order::Fetch { .. })), "{orders:?}");
    assert!(!has(&orders, |o| matches!(o, Order::Event(Event::Orphaned { .. }))), "it still sends");
    let providers = vec![Provider { peer: 7, depth: Some(1), free: Some(1) }];
    let orders = s.fact(Fact::Fetched { channel: CHANNEL, providers });
    let call = placed(&orders, 7).unwrap();
    s.told.elsewhere.insert(call, Instant::ZERO);
    s.fact(Fact::Answered { call, depth: Some(1), rescue: false });
    s.fact(Fact::Ended { call: parent, reason: ByeReason::Leaving });
    let orders = s.pass(1_000);
    assert!(orders.contains(&Order::Bye { call, reason: ByeReason::Normal }), "{orders:?}");
    assert!(orders.iter().any(|o| matches!(o, Order::Fetch { .. } | Order::Invite { .. })), "{orders:?}");
}

#[test]
fn whoever_has_seen_nothing_waits_for_a_source_for_as_long_as_the_host_wants() {
    let mut s = Solo::new(default(2));
    let mut orders = s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
    for _ in 0..1_200 {
        if has(&orders, |o| matches!(o, Order::Fetch { .. })) {
            let nobody = s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![] });
            assert!(!has(&nobody, |o| matches!(o, Order::Event(Event::Ended { .. }))));
        }
        orders = s.pass(100).into();
        assert!(!has(&orders, |o| matches!(o, Order::Event(Event::Ended { .. }))), "{:?}", s.now);
    }
    assert!(s.iptv.status(CHANNEL).is_some());
}

/// Below a parent in layer 4 this node sits in layer 5.
#[test]
fn q14_whoever_need_not_move_any_more_does_so_only_for_a_place_two_layers_nearer_to_the_source() {
    for (depth, is_taken) in [(2, true), (3, false)] {
        let (mut s, parent) = Solo::viewer(default(2), 9);
        let place = |rescue| {
            let path = vec![1, 2, 3, 4, 9];
            Report::TreePosition { depth: 5, path, rescue, backups: vec![], delegated: false }
        };
        s.reported(parent, place(true));
        let mut next = None;
        for _ in 0..1_000 {
            if next.is_some() {
                break;
            }
            let orders = s.hear_for(10);
            if has(&orders.iter().cloned().collect(), |o| matches!(o, Order::Fetch { .. })) {
                let providers = vec![Provider { peer: 7, depth: Some(depth), free: Some(1) }];
                next = placed(&s.fact(Fact::Fetched { channel: CHANNEL, providers }), 7);
            }
            let asked = orders.iter().find_map(|o| match o {
                Order::Invite { call, .. } => Some(*call),
                _ => None,
            });
            if let Some(call) = asked {
                let providers = vec![Provider { peer: 7, depth: Some(depth), free: Some(1) }];
                next = placed(&s.fact(Fact::Refused { call, refusal: Refusal::Redirected(providers) }), 7);
            }
        }
        let call = next.unwrap();
        s.fact(Fact::Answered { call, depth: Some(depth), rescue: false });
        let orders = s.reported(parent, place(false));
        let given_up = orders.contains(&Order::Bye { call, reason: ByeReason::Normal });
        assert_eq!(given_up, !is_taken, "{depth}: {orders:?}");
    }
}

/// 4 and 5 are relayers, 9 is the source: the second of them is asked after 200 ms and the source beside it.
#[test]
fn q2_a_newcomer_that_waits_for_the_source_does_not_ask_it_beside_another_one_again() {
    let mut s = Solo::new(default(2));
    s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
    let at = |peer, depth, free| Provider { peer, depth: Some(depth), free: Some(free) };
    let providers = vec![at(9, 0, 0), at(4, 1, 1), at(5, 1, 1)];
    let first = called(&s.fact(Fact::Fetched { channel: CHANNEL, providers }))[0].1;
    let asked = called(&s.pass(200));
    assert!(asked.len() == 2 && asked[1].0 == 9, "{asked:?}");
    s.fact(Fact::Refused { call: asked[0].1, refusal: Refusal::NoAnswer });
    let refusal = Refusal::Redirected(vec![at(7, 2, 1)]);
    let mut orders = Vec::from(s.fact(Fact::Refused { call: first, refusal }));
    orders.extend(s.pass(1_000));
    assert_eq!(called(&orders).iter().map(|c| c.0).collect::<Vec<_>>(), [7]);
}

/// One of 4, 5 and 6 is asked, and after 200 ms another one and the source 9, which elects already.
#[test]
fn q1_a_newcomer_that_the_source_tells_to_come_again_asks_nobody_else_meanwhile() {
    let mut s = Solo::new(default(2));
    s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
    let at = |peer, depth, free| Provider { peer, depth: Some(depth), free: Some(free) };
    let providers = vec![at(9, 0, 0), at(4, 1, 1), at(5, 1, 1), at(6, 1, 1)];
    s.fact(Fact::Fetched { channel: CHANNEL, providers });
    let source = placed(&s.pass(200), 9).unwrap();
    let busy = Refusal::Busy { retry_after: Some(ms(1_000)) };
    let mut orders = Vec::from(s.fact(Fact::Refused { call: source, refusal: busy }));
    orders.extend(s.pass(1_000));
    assert!(called(&orders).is_empty(), "{orders:?}");
}

/// The calls of a search for a better slot go on in that for any slot, whose round begins anew.
#[test]
fn redirects_that_never_end_are_harmless_however_many_may_follow_each_other() {
    let limits = Limits { redirects: u8::MAX, asked: u8::MAX, ..Limits::default() };
    let (mut s, parent) = Solo::viewer(Config { limits, ..default(0) }, 9);
    let to = |peer| Refusal::Redirected(vec![Provider { peer, depth: None, free: None }]);
    let path = vec![1, 9];
    s.reported(
        parent,
        Report::TreePosition { depth: 2, path, rescue: true, backups: Vec::new(), delegated: false },
    );
    let mut call = placed(&s.hear_for(3_000), 1).expect("the source is asked for an ordinary slot");
    for peer in 100..354 {
        call =
            placed(&s.fact(Fact::Refused { call, refusal: to(peer) }), peer).expect("the next one is asked");
    }
    s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost });
    for peer in 400..500 {
        let orders = s.fact(Fact::Refused { call, refusal: to(peer) });
        call = placed(&orders, peer).expect("whoever has no picture asks on");
    }
}
