//! Backup parents: when they are asked, what they tell, and what becomes of their calls (Q12, Q13).

use crate::harness::{CHANNEL, SOURCE, Solo, World, default, grown, has, ms, placed};
use p2piptv::ids::CallId;
use p2piptv::iptv::{ByeReason, Event, Fact, Hold, InviteKind, Order, Pace, Provider, Refusal, Report};
use p2piptv::time::Instant;

/// A viewer of the source 9 at a pace of 10 ms, with standbys at 4, 5 and 6 that are ready.
pub(crate) fn backed_up() -> (Solo, CallId, [CallId; 3]) {
    backed_up_from([1; 3])
}

/// The same, with standbys that hang so deep when they answer.
fn backed_up_from(depths: [u8; 3]) -> (Solo, CallId, [CallId; 3]) {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    s.told.pace = Some(Pace { gap: ms(10), jitter: ms(0) });
    let at = |peer| Provider { peer, depth: Some(1), free: None };
    let backups = vec![at(4), at(5), at(6)];
    s.reported(
        parent,
        Report::TreePosition { depth: 1, path: vec![9], rescue: false, backups, delegated: false },
    );
    let mut calls = Vec::new();
    for _ in 0..40 {
        s.hear();
        for order in s.pass(50) {
            if let Order::Invite { call, kind: InviteKind::Standby, .. } = order {
                s.told.elsewhere.insert(call, Instant::ZERO);
                s.fact(Fact::Answered { call, depth: Some(depths[calls.len()]), rescue: false });
                calls.push(call);
            }
        }
    }
    s.hear();
    s.pass(1);
    assert_eq!(s.iptv.status(CHANNEL).unwrap().standbys, 3);
    (s, parent, calls.try_into().unwrap())
}

pub(crate) fn resumed(orders: &[Order<u32>]) -> Vec<CallId> {
    let calls = orders.iter().filter_map(|o| match o {
        Order::Resume { call } => Some(*call),
        _ => None,
    });
    calls.collect()
}

/// A viewer of 9 whose parent fell silent 80 ms ago, and which the first of its standbys covers.
pub(crate) fn covered() -> (Solo, CallId, [CallId; 3]) {
    let (mut s, parent, standbys) = backed_up();
    assert_eq!(resumed(&s.pass(79)), [standbys[0]]);
    s.covered_by(standbys[0]);
    s.fact(Fact::FirstPacket { channel: CHANNEL, call: standbys[0] });
    (s, parent, standbys)
}

pub(crate) fn is_left(orders: &[Order<u32>], call: CallId) -> bool {
    orders.contains(&Order::Bye { call, reason: ByeReason::Normal })
}

/// A standby INVITE, if there is one.
fn dialled(orders: &[Order<u32>]) -> Option<(u32, CallId)> {
    orders.iter().find_map(|o| match o {
        Order::Invite { peer, call, kind: InviteKind::Standby, .. } => Some((*peer, *call)),
        _ => None,
    })
}

pub(crate) fn fetches(orders: &[Order<u32>]) -> bool {
    orders.iter().any(|o| matches!(o, Order::Fetch { .. }))
}

fn place(path: Vec<u32>, rescue: bool) -> Report<u32> {
    Report::TreePosition { depth: 0, path, rescue, backups: vec![], delegated: false }
}

/// Silence begins at 0; the standbys are asked at 60, 110 and 160 ms.
#[test]
fn q13_when_every_standby_is_silent_the_others_are_looked_for_50_ms_after_the_last_was_asked() {
    let (mut s, ..) = backed_up();
    assert_eq!(resumed(&s.pass(159)).len(), 3);
    assert!(!fetches(&s.pass(49)));
    assert!(fetches(&s.pass(1)));
}

/// The standbys are asked at 60, 110 and 160 ms again.
#[test]
fn q13_a_standby_that_refuses_while_the_last_one_may_still_answer_has_nobody_else_looked_for() {
    let (mut s, _, [first, second, third]) = backed_up();
    assert_eq!(resumed(&s.pass(159)), [first, second, third]);
    for call in [first, second] {
        assert!(s.fact(Fact::Denied { call }).is_empty());
    }
    assert!(!fetches(&s.pass(49)));
    assert!(fetches(&s.pass(1)));
}

/// The parent is silent at 0, and the standbys are asked at 60 ms.
#[test]
fn q12_standbys_that_have_denied_are_asked_again_four_times_beside_the_search() {
    let (mut s, _, standbys) = backed_up();
    assert_eq!(resumed(&s.pass(60)), [standbys[0]]);
    let orders = s.denied_by(standbys);
    assert!(fetches(&orders) && resumed(&orders)[2..] == standbys, "{orders:?}");
    for _ in 0..3 {
        assert_eq!(resumed(&s.denied_by(standbys)), []);
        assert_eq!(resumed(&s.pass(49)), []);
        assert_eq!(resumed(&s.pass(1)), standbys);
    }
    s.denied_by(standbys);
    assert_eq!(resumed(&s.pass(400)), []);
    // When the parent ends its dialog they are asked anew.
    let (mut s, parent, standbys) = backed_up();
    s.pass(60);
    s.denied_by(standbys);
    s.denied_by(standbys);
    let orders = Vec::from(s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost }));
    assert_eq!(resumed(&orders), [standbys[0]]);
}

/// All have denied, somebody else is asked, and then one of them can.
#[test]
fn q12_a_standby_that_sends_when_asked_again_ends_the_search() {
    let (mut s, _, standbys) = backed_up();
    s.pass(60);
    s.denied_by(standbys);
    let providers = vec![Provider { peer: 7, depth: Some(1), free: Some(1) }];
    let seven = placed(&s.fact(Fact::Fetched { channel: CHANNEL, providers }), 7).unwrap();
    s.covered_by(standbys[1]);
    let orders = s.fact(Fact::FirstPacket { channel: CHANNEL, call: standbys[1] });
    assert!(orders.contains(&Order::Cancel { call: seven }), "{orders:?}");
    assert!(orders.contains(&Order::Release { call: standbys[0] }), "{orders:?}");
    assert_eq!(s.iptv.status(CHANNEL).unwrap().cover, Some(5));
}

/// The parent is silent at 0. The first standby covers from 79 ms on, and is silent then, too.
#[test]
fn q12_when_whoever_covers_falls_silent_the_others_are_asked_50_ms_apart() {
    let (mut s, _, [first, second, third]) = covered();
    s.covered_by(first);
    let mut asked = Vec::new();
    for ms in 1..=600 {
        asked.extend(resumed(&s.pass(1)).into_iter().map(|call| (call, ms)));
    }
    let [(a, at), (b, then), ..] = asked[..] else { panic!("{asked:?}") };
    assert_eq!((a, b, then - at), (second, third, 50), "{asked:?}");
}

/// All three have denied, and are asked once more.
#[test]
fn q12_whoever_is_asked_as_a_standby_is_not_called_beside_that() {
    let (mut s, _, standbys) = backed_up();
    s.pass(60);
    assert_eq!(resumed(&s.denied_by(standbys))[2..], standbys);
    let providers = [4, 5, 7].map(|peer| Provider { peer, depth: Some(1), free: Some(1) }).to_vec();
    let orders = s.fact(Fact::Fetched { channel: CHANNEL, providers });
    assert_eq!([4, 5, 7].map(|peer| placed(&orders, peer).is_some()), [false, false, true], "{orders:?}");
}

/// The parent is silent at 0, and the first two are asked at 60 and 110 ms. The first has sunk meanwhile, and the second sends.
#[test]
fn q12_a_standby_that_was_slower_and_has_told_that_it_sank_is_asked_last_the_next_time() {
    let (mut s, _, [first, second, third]) = backed_up();
    assert_eq!(resumed(&s.pass(110)), [first, second]);
    s.reported(first, place((20..28).chain([9, 4]).collect(), false));
    s.covered_by(second);
    s.fact(Fact::FirstPacket { channel: CHANNEL, call: second });
    let orders = s.cover_for(second, 1_100);
    assert_eq!(s.iptv.status(CHANNEL).unwrap().parent, Some(5));
    // Whoever covered is the parent, and nothing has come from it as one: it is silent by now.
    assert_eq!(resumed(&orders), [third]);
    assert_eq!(resumed(&Vec::from(s.fact(Fact::Denied { call: third }))), [first]);
}

#[test]
fn q12_the_place_that_a_standby_tells_before_its_first_packet_is_the_place_under_it() {
    let (mut s, _, [first, ..]) = backed_up();
    assert_eq!(resumed(&s.pass(59)), [first]);
    s.reported(first, place(vec![9, 4], false));
    s.reported(first, place(vec![9, 7, 4], true));
    s.covered_by(first);
    s.fact(Fact::FirstPacket { channel: CHANNEL, call: first });
    s.cover_for(first, 1_100);
    let status = s.iptv.status(CHANNEL).unwrap();
    assert_eq!((status.parent, status.path, status.depth), (Some(4), vec![9, 7, 4], Some(3)));
}

#[test]
fn q12_what_whoever_covers_and_the_silent_parent_say_of_their_places_counts_for_each_of_them() {
    let (mut s, parent, [first, ..]) = covered();
    let backups = |peer| vec![Provider { peer, depth: Some(1), free: None }];
    let told = |path: &[u32], peer| Report::TreePosition {
        depth: 0,
        path: path.to_vec(),
        rescue: false,
        backups: backups(peer),
        delegated: false,
    };
    s.reported(first, told(&[9, 8, 4], 40));
    s.reported(parent, told(&[9], 41));
    assert_eq!(s.iptv.status(CHANNEL).unwrap().path, [9]);
    assert!(s.iptv.counts_on(41) && !s.iptv.counts_on(40), "the parent is the parent still");
    s.cover_for(first, 1_100);
    assert_eq!(s.iptv.status(CHANNEL).unwrap().path, [9, 8, 4]);
    assert!(s.iptv.counts_on(40) && !s.iptv.counts_on(41));
}

#[test]
fn q12_children_hear_of_another_place_and_of_other_backups_and_of_nothing_else() {
    let (mut s, parent, _) = backed_up();
    let (child, _) = s.invited(3, true);
    let mut heard = |path: &[u32], backup| {
        let backups = vec![Provider { peer: backup, depth: Some(1), free: None }];
        let mut orders: Vec<_> = s
            .reported(
                parent,
                Report::TreePosition {
                    depth: 0,
                    path: path.to_vec(),
                    rescue: false,
                    backups,
                    delegated: false,
                },
            )
            .into();
        s.told.report = Some(s.now);
        orders.extend(s.hear_for(2_500));
        let told = orders.into_iter().filter_map(|order| match order {
            Order::Inform { call, report: Report::TreePosition { path, backups, .. } } if call == child => {
                Some((path, backups.into_iter().map(|b| b.peer).collect::<Vec<_>>()))
            }
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(heard(&[9], 30).pop(), Some((vec![9, 0], vec![30, 9])));
    assert_eq!(heard(&[9], 30), []);
    assert_eq!(heard(&[], 30), [], "that is no place");
    assert_eq!(heard(&[8, 9], 30), [(vec![8, 9, 0], vec![30, 9])]);
    assert_eq!(heard(&[8, 9], 31), [(vec![8, 9, 0], vec![31, 9])]);
}

#[test]
fn q12_a_standby_whom_nobody_names_any_more_makes_room_for_one_who_is_named() {
    let (mut s, parent, [first, ..]) = backed_up();
    let at = |peer| Provider { peer, depth: Some(1), free: None };
    let backups = vec![at(5), at(6), at(7)];
    let place = Report::TreePosition { depth: 1, path: vec![9], rescue: false, backups, delegated: false };
    let mut orders: Vec<_> = s.reported(parent, place).into();
    orders.extend(s.hear_for(3_000));
    let left: Vec<_> = orders.iter().filter(|o| matches!(o, Order::Bye { .. })).collect();
    assert_eq!(left, [&Order::Bye { call: first, reason: ByeReason::Normal }]);
    assert_eq!(dialled(&orders).map(|(peer, _)| peer), Some(7));
}

#[test]
fn q12_whoever_covers_is_a_standby_again_when_the_next_parent_was_found_meanwhile() {
    let (mut s, parent, [first, ..]) = backed_up();
    s.reported(parent, Report::Leaving);
    s.covered_by(first);
    s.fact(Fact::FirstPacket { channel: CHANNEL, call: first });
    s.told.elsewhere.remove(&first);
    let mut orders = Vec::new();
    while placed(&orders, 9).is_none() {
        orders = s.hear_for(10);
    }
    let next = placed(&orders, 9).unwrap();
    s.fact(Fact::Answered { call: next, depth: Some(0), rescue: false });
    let orders = Vec::from(s.fact(Fact::FirstPacket { channel: CHANNEL, call: next }));
    assert!(!is_left(&orders, first) && orders.contains(&Order::Release { call: first }), "{orders:?}");
}

#[test]
fn a_next_parent_that_has_answered_is_waited_for_when_the_one_before_is_gone() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let to = vec![Provider { peer: 7, depth: Some(1), free: Some(1) }];
    let next = placed(&s.reported(parent, Report::Yield { to }), 7).unwrap();
    s.told.elsewhere.insert(next, Instant::ZERO);
    s.fact(Fact::Answered { call: next, depth: Some(1), rescue: false });
    s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost });
    let orders = s.pass(350);
    assert!(!is_left(&orders, next) && placed(&orders, 9).is_none(), "{orders:?}");
    s.covered_by(next);
    s.fact(Fact::FirstPacket { channel: CHANNEL, call: next });
    assert_eq!(s.iptv.status(CHANNEL).map(|s| (s.parent, s.playing)), Some((Some(7), true)));
}

#[test]
fn q12_whoever_covers_and_leaves_is_followed_by_the_next_standby_at_once() {
    let (mut s, _, [first, second, _]) = covered();
    let orders = Vec::from(s.reported(first, Report::Leaving));
    assert!(orders.contains(&Order::Release { call: first }), "{orders:?}");
    assert_eq!(resumed(&orders), [second]);
}

#[test]
fn q12_when_the_dialog_with_a_silent_parent_breaks_whoever_covers_is_the_parent_at_once() {
    let orphaned = Order::Event(Event::Orphaned { channel: CHANNEL, parent: 9 });
    let moved = Order::Event(Event::Reparented { channel: CHANNEL, parent: 4, depth: 2, rescue: true });
    let (mut s, parent, _) = covered();
    let orders = s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost });
    assert!(orders.contains(&orphaned) && orders.contains(&moved), "{orders:?}");
    assert_eq!(s.iptv.status(CHANNEL).unwrap().parent, Some(4));
    // Nobody sends yet.
    let (mut s, parent, [first, ..]) = backed_up();
    assert_eq!(resumed(&s.pass(79)), [first]);
    let orders = s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost });
    assert!(orders.contains(&orphaned) && !orders.contains(&moved), "{orders:?}");
    s.covered_by(first);
    let mut orders: Vec<_> = s.fact(Fact::FirstPacket { channel: CHANNEL, call: first }).into();
    orders.extend(s.cover_for(first, 200));
    assert!(!orders.contains(&orphaned) && orders.contains(&moved), "{orders:?}");
}

#[test]
fn q12_a_standby_that_became_the_parent_is_a_standby_again_when_an_ordinary_slot_is_found() {
    let (mut s, _, [first, ..]) = covered();
    s.cover_for(first, 1_100);
    assert_eq!(s.iptv.status(CHANNEL).map(|s| (s.parent, s.rescue)), Some((Some(4), true)));
    s.told.elsewhere.remove(&first);
    let call = placed(&s.hear_for(2_000), 9).expect("the source is asked for a slot");
    s.fact(Fact::Answered { call, depth: Some(0), rescue: false });
    let orders = Vec::from(s.fact(Fact::FirstPacket { channel: CHANNEL, call }));
    assert!(orders.contains(&Order::Release { call: first }) && !is_left(&orders, first), "{orders:?}");
    let status = s.iptv.status(CHANNEL).unwrap();
    assert_eq!((status.parent, status.standbys), (Some(9), 3));
}

#[test]
fn q13_until_a_parent_has_told_its_place_children_hear_of_that_parent_alone() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    assert_eq!(s.iptv.status(CHANNEL).unwrap().path, [9]);
    let told = |orders: Vec<Order<u32>>| {
        orders.into_iter().find_map(|o| match o {
            Order::Inform { report: Report::TreePosition { path, .. }, .. } => Some(path),
            _ => None,
        })
    };
    let (_, orders) = s.invited(3, true);
    assert_eq!(told(orders.into()), Some(vec![9, SOURCE]));
    s.reported(parent, place(vec![7, 9], false));
    assert_eq!(told(s.hear_for(200)), Some(vec![7, 9, SOURCE]));
}

/// Silence begins at 0. A packet every 10 ms: 40 ms are the threshold, and half as much again is when somebody else is asked.
#[test]
fn q12_a_standby_is_asked_after_half_a_threshold_more_and_the_next_after_50_ms_or_at_once_when_denied() {
    let (mut s, parent, [first, second, third]) = backed_up();
    s.pass(58);
    assert_eq!(resumed(&s.pass(1)), [first], "after 60 ms of silence");
    assert!(resumed(&s.pass(49)).is_empty());
    assert_eq!(resumed(&s.pass(1)), [second], "the first says nothing");
    let orders: Vec<_> = s.fact(Fact::Denied { call: second }).into();
    assert_eq!(resumed(&orders), [third]);
    // Media comes: nobody else is needed, and the parent keeps its place.
    s.told.media = Some(s.now);
    s.told.elsewhere.insert(third, s.now);
    let orders = s.fact(Fact::FirstPacket { channel: CHANNEL, call: third });
    assert!(orders.contains(&Order::Release { call: first }));
    assert!(orders.contains(&Order::Event(Event::Covered { channel: CHANNEL, provider: 6 })));
    let status = s.iptv.status(CHANNEL).unwrap();
    assert_eq!((status.parent, status.cover), (Some(9), Some(6)));
    // Until it has been silent for a second more.
    let play = |s: &mut Solo| {
        s.told.media = Some(s.now);
        s.told.elsewhere.insert(third, s.now);
    };
    let mut orders = Vec::new();
    for _ in 0..99 {
        play(&mut s);
        orders.extend(s.pass(10));
    }
    assert!(!orders.contains(&Order::Bye { call: parent, reason: ByeReason::Normal }));
    play(&mut s);
    let orders = s.pass(10);
    assert!(orders.contains(&Order::Bye { call: parent, reason: ByeReason::Normal }), "{orders:?}");
    let status = s.iptv.status(CHANNEL).unwrap();
    assert_eq!((status.parent, status.cover, status.rescue), (Some(6), None, true));
    assert_eq!(s.iptv.counters().repairs, 1);
}

/// The last packet comes at 0, HOLD at 50 ms, packets again from 100 to 110 ms.
#[test]
fn q12_a_parent_that_starved_for_a_moment_and_dies_then_is_bridged_as_soon_as_any_other() {
    let (mut s, parent, [first, ..]) = backed_up();
    s.hear();
    s.pass(50);
    s.told.from = Some(s.now);
    s.fact(Fact::Held { call: parent, hold: Hold::Starved });
    assert!(resumed(&s.pass(50)).is_empty(), "it is alive");
    assert!(resumed(&s.hear_for(20)).is_empty());
    assert!(resumed(&s.pass(49)).is_empty());
    assert_eq!(resumed(&s.pass(1)), [first], "60 ms after the last packet");
}

#[test]
fn q12_a_parent_that_speaks_again_has_lost_nothing_and_is_given_twice_as_long_the_next_time() {
    let (mut s, parent, [first, ..]) = backed_up();
    assert_eq!(resumed(&s.pass(59)), [first]);
    s.told.media = Some(s.now);
    s.told.elsewhere.insert(first, s.now);
    s.fact(Fact::FirstPacket { channel: CHANNEL, call: first });
    for _ in 0..2 {
        s.told.media = Some(s.now);
        s.told.elsewhere.insert(first, s.now);
        s.pass(210);
    }
    let orders = s.hear_for(200);
    assert!(orders.contains(&Order::Release { call: first }));
    assert!(!orders.iter().any(|o| matches!(o, Order::Bye { .. } | Order::Event(_))), "{orders:?}");
    assert_eq!((s.iptv.counters().false_alarms, s.iptv.counters().repairs), (1, 0));
    s.hear_for(5_000);
    s.hear();
    assert!(resumed(&s.pass(79)).is_empty());
    assert_eq!(resumed(&s.pass(1)), [first], "40 ms, and 40 more");
    s.hear_for(300);
    assert_eq!(s.iptv.counters().false_alarms, 2);
    // Two minutes later both alarms are forgotten.
    for _ in 0..2_400 {
        s.hear();
        s.pass(50);
    }
    s.hear();
    assert!(resumed(&s.pass(59)).is_empty());
    assert_eq!(resumed(&s.pass(1)).len(), 1);
    s.hear_for(300);
    assert_eq!(s.iptv.counters().false_alarms, 3);
    s.hear_for(5_000);
    s.hear();
    assert!(resumed(&s.pass(79)).is_empty());
    assert_eq!(resumed(&s.pass(1)).len(), 1, "the next one is the first again");
    assert!(
        s.iptv.status(CHANNEL).unwrap().parent == Some(9) && s.iptv.status(CHANNEL).unwrap().standbys == 3
    );
    let _ = parent;
}

#[test]
fn q13_when_every_standby_has_refused_the_others_are_asked_by_a_call() {
    let (mut s, parent, calls) = backed_up();
    s.pass(79);
    let mut orders = Vec::new();
    for call in calls {
        orders = s.fact(Fact::Denied { call }).into();
    }
    let call = placed(&orders, 9);
    assert!(call.is_none(), "not the silent one itself");
    assert!(orders.iter().any(|o| matches!(o, Order::Fetch { .. })), "{orders:?}");
    assert!(orders.contains(&Order::Event(Event::Orphaned { channel: CHANNEL, parent: 9 })));
    let providers = vec![Provider { peer: 7, depth: Some(1), free: Some(1) }];
    let orders = s.fact(Fact::Fetched { channel: CHANNEL, providers });
    let call = placed(&orders, 7).unwrap();
    let orders = s.fact(Fact::Answered { call, depth: Some(1), rescue: false });
    assert!(!has(&orders, |o| matches!(o, Order::Bye { .. })), "the silent one has a second");
    s.hear();
    s.told.elsewhere.insert(parent, s.now - ms(1));
    let orders = s.pass(100);
    assert!(!orders.iter().any(|o| matches!(o, Order::Resume { .. })));
}

#[test]
fn the_host_hears_how_many_standbys_others_have_promised() {
    let held = |s: &Solo| s.iptv.rescue_slots().held;
    let (viewer, _) = Solo::viewer(default(2), 9);
    assert_eq!([held(&Solo::publisher(default(2))), held(&viewer), held(&backed_up().0)], [0, 0, 3]);
}

/// How often a viewer was told that it has lost its parent, in a second and a half in which its first standby covers.
fn orphaned(mut s: Solo, first: CallId, orders: impl IntoIterator<Item = Order<u32>>) -> usize {
    let mut orders: Vec<_> = orders.into_iter().collect();
    s.covered_by(first);
    orders.extend(s.fact(Fact::FirstPacket { channel: CHANNEL, call: first }));
    orders.extend(s.cover_for(first, 1_500));
    assert_eq!(s.iptv.status(CHANNEL).unwrap().parent, Some(4), "it is the parent then");
    orders.iter().filter(|o| matches!(o, Order::Event(Event::Orphaned { parent: 9, .. }))).count()
}

#[test]
fn the_loss_of_a_parent_is_told_once_and_not_when_it_goes_by_plan() {
    let (mut s, _, [first, ..]) = backed_up();
    let orders = s.pass(79);
    assert_eq!(orphaned(s, first, orders), 1, "it is silent");
    let (mut s, call, [first, ..]) = backed_up();
    let orders = s.fact(Fact::Ended { call, reason: ByeReason::Lost });
    assert_eq!(orphaned(s, first, orders), 1, "its dialog is over");
    let (mut s, call, [first, ..]) = backed_up();
    let orders = s.reported(call, Report::Leaving);
    assert_eq!(orphaned(s, first, orders), 0, "it leaves");
}

#[test]
fn q12_every_viewer_of_a_grown_tree_keeps_standbys_and_no_node_promises_more_than_it_may() {
    let mut w = grown(default(2), 30, 900);
    w.run(ms(30_000));
    let held: Vec<usize> = w.viewers().map(|v| w.status(v).unwrap().standbys).collect();
    assert!(held.iter().all(|&n| n >= 2), "{held:?}");
    let promised: Vec<u16> = w.peers.iter().map(|p| p.iptv.rescue_slots().promised).collect();
    assert_eq!(promised.iter().map(|&n| usize::from(n)).sum::<usize>(), held.iter().sum::<usize>());
    assert!(promised.iter().all(|&n| n <= 16), "{promised:?}");
}

/// The busiest relayer dies. Its children are covered after twice the threshold and a round trip; those below them see the
/// same silence and ask nobody.
#[test]
fn p18_a_dead_relayer_is_bridged_within_a_quarter_of_a_second_by_its_children_alone() {
    for seed in 0..20 {
        let mut w = World::new(default(2), seed);
        w.run(ms(1000));
        for _ in 0..14 {
            w.join();
            w.run(ms(900));
        }
        w.run(ms(10_000));
        w.know_the_pace();
        w.run(ms(5_000));
        let dead = 1 + (seed % 2) as u32;
        let orphans: Vec<u32> = w.viewers().filter(|&v| w.parent(v) == Some(dead)).collect();
        w.forget_counts();
        w.kill(dead);
        w.run(ms(900));
        let longest = w.take_silences().into_iter().map(|s| s.2).max().unwrap();
        // Four packets of 20 ms, twice; then a round trip, and another one if the first has no room.
        assert!(longest <= ms(280), "seed {seed}: {longest:?}\n{}", w.tail(200));
        let covered = w.event_times(|_, e| matches!(e, Event::Covered { .. })).len();
        assert_eq!(covered, orphans.len(), "seed {seed}");
        assert!(w.viewers().all(|v| orphans.contains(&v) || w.peers[v as usize].invites == 0));
        w.run(ms(20_000));
        assert!(w.starving(ms(100)).is_empty());
        assert!(w.viewers().all(|v| !w.status(v).unwrap().rescue), "seed {seed}: {:?}", w.table());
    }
}

#[test]
fn a_child_hears_of_a_new_sibling_within_a_second() {
    let mut s = Solo::publisher(default(2));
    let (first, _) = s.invited(1, false);
    s.pass(2_000);
    s.invited(2, false);
    let sibling = |o: &Order<u32>| match o {
        Order::Inform { call, report: Report::TreePosition { backups, .. } } => {
            *call == first && backups.iter().any(|p| p.peer == 2)
        }
        _ => false,
    };
    assert!(!s.pass(999).iter().any(sibling));
    assert!(s.pass(1).iter().any(sibling));
}

/// A viewer of 9, which names 4 and 5 as backups.
fn with_backups() -> Solo {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let backups = [4, 5].map(|peer| Provider { peer, depth: Some(1), free: None }).to_vec();
    s.reported(
        parent,
        Report::TreePosition { depth: 1, path: vec![9], rescue: false, backups, delegated: false },
    );
    s
}

#[test]
fn q12_who_refuses_to_be_a_standby_is_asked_again_after_ten_seconds_and_the_next_at_once() {
    let mut s = with_backups();
    let mut asked = Vec::new();
    for ms in (10..=17_000).step_by(10) {
        if let Some((peer, call)) = dialled(&s.hear_for(10)) {
            asked.push((peer, ms));
            s.fact(Fact::Refused { call, refusal: Refusal::Busy { retry_after: None } });
        }
    }
    assert_eq!((asked.len(), s.iptv.counters().standbys_refused), (4, 4), "{asked:?}");
    let [of_4, of_5] =
        [4, 5].map(|peer| asked.iter().filter(|a| a.0 == peer).map(|a| a.1).collect::<Vec<_>>());
    assert!(of_4[0] <= 1_000 && of_5[0] <= of_4[0] + 10, "{asked:?}");
    for of in [of_4, of_5] {
        assert!((10_000..=15_010).contains(&(of[1] - of[0])), "half as much again at most: {asked:?}");
    }
}

#[test]
fn q12_a_standby_that_has_sunk_since_it_was_named_is_asked_last_whether_the_parent_is_silent_or_gone() {
    for silent in [true, false] {
        let (mut s, parent, [sunk, below, first]) = backed_up_from([6, 3, 1]);
        let orders = match silent {
            true => s.pass(79),
            false => s.fact(Fact::Ended { call: parent, reason: ByeReason::Normal }).into(),
        };
        assert_eq!(resumed(&orders), [first], "{silent}");
        let mut asked = Vec::new();
        for call in [first, below] {
            asked.extend(resumed(&Vec::from(s.fact(Fact::Denied { call }))));
        }
        assert_eq!(asked, [below, sunk], "{silent}");
    }
}

#[test]
fn q12_a_backup_parent_has_four_seconds_to_become_a_standby() {
    let mut s = with_backups();
    let (_, call) = (0..200).find_map(|_| dialled(&s.hear_for(10))).expect("the first backup is dialled");
    let cancel = Order::Cancel { call };
    let orders = s.hear_for(3_980);
    assert!(!orders.contains(&cancel), "{orders:?}");
    let orders = s.hear_for(30);
    assert!(orders.contains(&cancel), "{orders:?}");
}

/// The source is 9, the parent 4 after it covered.
#[test]
fn q14_what_the_source_does_not_know_is_looked_up_only_when_the_parent_leaves() {
    for leaves in [false, true] {
        let (mut s, _, [first, second, third]) = covered();
        s.cover_for(first, 1_100);
        s.told.elsewhere.remove(&first);
        let orders = if leaves {
            s.reported(first, Report::Leaving);
            s.fact(Fact::Denied { call: second });
            Vec::from(s.fact(Fact::Denied { call: third }))
        } else {
            s.hear_for(2_000)
        };
        let call = placed(&orders, 9).expect("it asks the source");
        let refusal = Refusal::Busy { retry_after: None };
        let mut orders = Vec::from(s.fact(Fact::Refused { call, refusal }));
        orders.extend(s.hear_for(500));
        assert_eq!(fetches(&orders), leaves, "{orders:?}");
    }
}

/// The first standby is asked at 60 ms. Round trips of 80 and 40 ms are taken for 75.
#[test]
fn q12_where_no_standby_was_measured_two_usual_round_trips_pass_before_the_next_is_asked() {
    let (mut s, parent, [first, second, _]) = backed_up();
    for rtt in [80, 40] {
        s.fact(Fact::RoundTrip { call: parent, rtt: ms(rtt) });
    }
    assert_eq!(resumed(&s.pass(59)), [first]);
    assert!(resumed(&s.pass(149)).is_empty());
    assert_eq!(resumed(&s.pass(1)), [second]);
}

#[test]
fn q12_a_former_parent_is_left_when_there_are_three_standbys_already() {
    let (mut s, _, [first, ..]) = covered();
    s.cover_for(first, 1_100);
    s.told.elsewhere.remove(&first);
    let backups = [4, 5, 6, 7].map(|peer| Provider { peer, depth: Some(1), free: None }).to_vec();
    s.reported(
        first,
        Report::TreePosition { depth: 2, path: vec![9, 4], rescue: true, backups, delegated: false },
    );
    let mut source = None;
    for _ in 0..200 {
        if source.is_some() && s.iptv.status(CHANNEL).unwrap().standbys == 3 {
            break;
        }
        let orders = s.hear_for(10);
        if let Some((peer, call)) = dialled(&orders) {
            assert_eq!(peer, 7);
            s.fact(Fact::Answered { call, depth: Some(1), rescue: false });
        }
        source = source.or(placed(&orders, 9));
    }
    let call = source.unwrap();
    s.fact(Fact::Answered { call, depth: Some(0), rescue: false });
    let orders = Vec::from(s.fact(Fact::FirstPacket { channel: CHANNEL, call }));
    assert!(is_left(&orders, first) && !orders.contains(&Order::Release { call: first }), "{orders:?}");
}
