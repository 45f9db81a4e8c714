//! Who has no picture, or soon will have none, and whom no backup parent helps: it asks many at once (P18, Q13).

use crate::backups::{backed_up, covered, fetches, is_left, resumed};
use crate::harness::{CHANNEL, Solo, called, default, delegated, ms, placed};
use p2piptv::ids::CallId;
use p2piptv::iptv::{
    ByeReason, Child, Config, Denial, Fact, Hold, InviteKind, Order, Provider, Refusal, Report,
};
use p2piptv::time::Instant;

const PARENT: u32 = 35;

fn named(peer: u32) -> Provider<u32> {
    Provider { peer, depth: Some(5), free: None }
}

/// A viewer where relayers elect, below this path, whose parent names so many backups from 21 on; none of them is a standby.
fn viewer(path: &[u32], backups: u32) -> (Solo, CallId) {
    let (mut s, parent) = Solo::viewer(delegated(2), PARENT);
    let backups = (21..21 + backups).map(named).collect();
    let (depth, path) = (path.len() as u8, path.to_vec());
    s.reported(parent, Report::TreePosition { depth, path, rescue: false, backups, delegated: true });
    (s, parent)
}

/// Who is asked for media.
fn asked<'a>(orders: impl IntoIterator<Item = &'a Order<u32>>) -> Vec<u32> {
    called(orders).iter().filter(|c| c.2 == InviteKind::Urgent).map(|c| c.0).collect()
}

#[test]
fn p18_where_relayers_elect_an_orphan_asks_all_whom_it_knows_at_once_and_the_overlay_beside_them() {
    for leaves in [false, true] {
        let (mut s, parent) = viewer(&[1, 2, PARENT], 3);
        s.hear();
        let orders = match leaves {
            true => Vec::from(s.reported(parent, Report::Leaving)),
            false => s.pass(400),
        };
        assert_eq!(asked(&orders), [21, 22, 23, 2], "{orders:?}");
        assert!(fetches(&orders), "{orders:?}");
        let orders = Vec::from(s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![named(41)] }));
        assert_eq!(asked(&orders), [41], "beside the others");
    }
}

/// The source is 1.
#[test]
fn p18_the_source_is_not_asked_beside_others_before_these_have_had_200_ms() {
    let (mut s, parent) = Solo::viewer(default(2), PARENT);
    let (path, backups) = (vec![1, PARENT], vec![named(21), named(22)]);
    s.reported(parent, Report::TreePosition { depth: 2, path, rescue: false, backups, delegated: false });
    let orders = s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost });
    assert_eq!(asked(&orders), [21, 22], "{orders:?}");
    assert_eq!(asked(&s.pass(199)), []);
    assert_eq!(asked(&s.pass(1)), [1]);
    // And at once when they refuse.
    let (mut s, parent) = Solo::viewer(default(2), PARENT);
    let (path, backups) = (vec![1, PARENT], vec![named(21)]);
    s.reported(parent, Report::TreePosition { depth: 2, path, rescue: false, backups, delegated: false });
    let orders = s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost });
    let call = placed(&orders, 21).unwrap();
    let orders = s.fact(Fact::Refused { call, refusal: Refusal::Busy { retry_after: None } });
    assert_eq!(asked(&orders), [1]);
}

#[test]
fn q2_an_orphan_does_not_wait_for_three_round_trips_to_the_farthest_peer() {
    let (mut s, parent) = Solo::viewer(default(2), PARENT);
    s.fact(Fact::RoundTrip { call: parent, rtt: ms(700) });
    let (path, backups) = (vec![1, PARENT], vec![named(21)]);
    s.reported(parent, Report::TreePosition { depth: 2, path, rescue: false, backups, delegated: false });
    s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost });
    assert_eq!(asked(&s.pass(200)), [1]);
}

#[test]
fn whoever_has_not_answered_an_orphan_for_400_ms_keeps_it_from_asking_others_no_longer_and_may_still_answer()
{
    let (mut s, _) = viewer(&[1, 2, PARENT], 4);
    let orders = s.pass(400);
    assert_eq!(asked(&orders), [21, 22, 23, 24, 2]);
    let first = placed(&orders, 21).unwrap();
    let providers = [41, 42, 43].map(named).to_vec();
    assert_eq!(asked(&s.fact(Fact::Fetched { channel: CHANNEL, providers })), [], "five are enough");
    assert_eq!(asked(&s.pass(399)), []);
    let orders = s.pass(1);
    assert_eq!(asked(&orders).len(), 3, "{orders:?}");
    assert!(!orders.iter().any(|o| matches!(o, Order::Cancel { .. })), "{orders:?}");
    s.told.elsewhere.insert(first, Instant::ZERO);
    let orders = s.fact(Fact::Answered { call: first, depth: Some(3), rescue: true });
    assert_eq!(orders.iter().filter(|o| matches!(o, Order::Cancel { .. })).count(), 7, "{orders:?}");
    assert!(!orders.contains(&Order::Cancel { call: first }), "{orders:?}");
}

#[test]
fn whoever_has_not_answered_an_orphan_for_600_ms_is_given_up() {
    let (mut s, parent) = viewer(&[1, 2, PARENT], 4);
    s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost });
    let gives_up = |orders: &[Order<u32>]| orders.iter().any(|o| matches!(o, Order::Cancel { .. }));
    assert!(!gives_up(&s.pass(599)));
    assert!(gives_up(&s.pass(1)));
}

#[test]
fn where_relayers_elect_an_orphan_asks_two_of_those_above_it_for_the_one_may_be_gone() {
    let (mut s, _) = viewer(&[1, 2, 3, 4, 5, 6, 7, PARENT], 1);
    let asked = asked(&s.pass(400));
    assert!(asked.len() == 3 && asked[1..].iter().all(|p| (2..8).contains(p)), "{asked:?}");
}

/// They are 400 ms away. The silence begins at 0; the first of them is asked at 60 ms.
#[test]
fn q13_a_far_standby_is_waited_for_no_longer_than_200_ms() {
    let (mut s, _, standbys) = backed_up();
    for call in standbys {
        s.fact(Fact::RoundTrip { call, rtt: ms(400) });
    }
    assert_eq!(resumed(&s.pass(258)).len(), 1);
    assert_eq!(resumed(&s.pass(1)).len(), 1);
    assert_eq!(resumed(&s.pass(200)).len(), 1);
    assert!(!fetches(&s.pass(199)));
    assert!(fetches(&s.pass(1)));
}

/// The parent leaves, the standbys say nothing, and so does 7, who has answered.
#[test]
fn q13_standbys_that_say_nothing_do_not_end_the_search_of_a_child_whose_next_parent_fails() {
    let (mut s, parent, _) = backed_up();
    let mut orders = Vec::from(s.reported(parent, Report::Leaving));
    orders.extend(s.hear_for(300));
    assert_eq!(resumed(&orders).len(), 3);
    assert!(fetches(&orders), "{orders:?}");
    let providers = vec![Provider { peer: 7, depth: Some(1), free: Some(1) }];
    let seven = placed(&s.fact(Fact::Fetched { channel: CHANNEL, providers }), 7).unwrap();
    s.told.elsewhere.insert(seven, Instant::ZERO);
    s.fact(Fact::Answered { call: seven, depth: Some(1), rescue: false });
    let mut orders = Vec::from(s.fact(Fact::Ended { call: seven, reason: ByeReason::Normal }));
    orders.extend(s.hear_for(200));
    assert!(fetches(&orders) || !asked(&orders).is_empty(), "{orders:?}");
}

#[test]
fn a_parent_to_be_that_has_nothing_itself_is_left_at_once() {
    for (hold, left) in [(Hold::Starved, true), (Hold::Sourceless, true), (Hold::Paused, false)] {
        let (mut s, parent, [first, ..]) = backed_up();
        let to = vec![Provider { peer: 7, depth: Some(1), free: Some(1) }];
        let next = placed(&s.reported(parent, Report::Yield { to }), 7).unwrap();
        s.told.elsewhere.insert(next, Instant::ZERO);
        s.fact(Fact::Answered { call: next, depth: Some(1), rescue: false });
        s.reported(parent, Report::Leaving);
        let orders = Vec::from(s.fact(Fact::Held { call: next, hold }));
        assert_eq!(is_left(&orders, next), left, "{hold:?}: {orders:?}");
        assert_eq!(resumed(&orders) == [first], left, "the parent leaves all the same");
    }
}

/// It was released, and asked again before that came to it: it ends, and begins anew.
#[test]
fn q12_whoever_covers_and_begins_anew_is_not_released() {
    let (mut s, _, [first, second, _]) = covered();
    let orders = s.fact(Fact::FirstPacket { channel: CHANNEL, call: first });
    assert!(orders.is_empty(), "{orders:?}");
    s.cover_for(first, 1_100);
    assert_eq!(s.iptv.status(CHANNEL).unwrap().parent, Some(4));
    assert_ne!(first, second);
}

/// Child 4 sits in the rescue slot; then the ordinary one is free.
#[test]
fn a_child_that_asks_for_the_slot_which_it_has_just_been_given_keeps_its_call() {
    for heard in [true, false] {
        let mut s = Solo::publisher(default(1));
        let (first, _) = s.invited(3, false);
        let (old, _) = s.invited(4, true);
        s.told.report = Some(s.now);
        s.fact(Fact::Ended { call: first, reason: ByeReason::Normal });
        assert_eq!(s.iptv.status(CHANNEL).unwrap().children, (1, 0));
        s.pass(if heard { 1_499 } else { 1_500 });
        let (call, orders) = s.invited_by_mover(4);
        let refused = |o: &Order<u32>| matches!(o, Order::Refuse { call: c, denial: Denial::Busy { .. } } if *c == call);
        assert_eq!(orders.iter().any(refused), heard, "{orders:?}");
        // One from whom nothing has come has lost the call, and has another one.
        assert_eq!(is_left(&Vec::from(orders), old), !heard);
    }
}

/// Its call was heard a moment ago, and it has no media.
#[test]
fn a_child_that_has_begun_anew_and_calls_its_parent_is_served_at_once() {
    let mut s = Solo::publisher(default(1));
    let (old, _) = s.invited(3, false);
    s.told.report = Some(s.now);
    let (call, orders) = s.invited(3, false);
    assert!(accepts(&orders, call), "{orders:?}");
    assert!(is_left(&Vec::from(orders), old));
}

fn accepts<'a>(orders: impl IntoIterator<Item = &'a Order<u32>>, call: CallId) -> bool {
    orders.into_iter().any(|o| matches!(o, Order::Accept { call: c, .. } if *c == call))
}

/// A relayer below 9 that asks 7 for a slot: a rescue slot will do if it has children, for it is to yield then, as somebody who has
/// lost its parent asks. The call to 7 as well.
fn asks_another(has_children: bool) -> (Solo, CallId) {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    s.reported(parent, Report::SelectedRelayer { register: true });
    if has_children {
        s.invited(8, false);
    }
    let to = vec![Provider { peer: 7, depth: Some(1), free: Some(1) }];
    let call = placed(&s.reported(parent, Report::Yield { to }), 7).expect("it is to yield");
    (s, call)
}

#[test]
fn two_who_ask_each_other_at_the_same_moment_do_not_become_each_others_parents() {
    for (has_children, urgent) in [(false, false), (true, false), (true, true)] {
        let (mut s, _) = asks_another(has_children);
        let (call, orders) = s.invited(7, urgent);
        assert!(orders.contains(&Order::Refuse { call, denial: Denial::Loop }), "{orders:?}");
        let (call, orders) = s.invited(6, false);
        assert!(accepts(&orders, call), "{orders:?}");
    }
}

/// It yields, and no rescue slot would do for it.
#[test]
fn whose_parent_falls_silent_while_it_looks_for_another_slot_takes_any() {
    for silent in [true, false] {
        let (mut s, parent, [first, ..]) = backed_up();
        let call = placed(&s.reported(parent, Report::Yield { to: vec![named(21)] }), 21).unwrap();
        let orders = if silent { s.pass(59) } else { s.hear_for(50) };
        assert_eq!(resumed(&orders).contains(&first), silent);
        let orders = Vec::from(s.fact(Fact::Answered { call, depth: Some(5), rescue: true }));
        assert_eq!(is_left(&orders, call), !silent);
    }
}

#[test]
fn who_only_wants_a_better_place_gives_way_to_the_orphan_whom_it_asks() {
    let (mut s, asked) = asks_another(false);
    let (call, orders) = s.invited(7, true);
    assert!(accepts(&orders, call), "{orders:?}");
    assert!(orders.contains(&Order::Cancel { call: asked }), "{orders:?}");
    // What 7 answered before it was an orphan may still come.
    let orders = s.fact(Fact::Answered { call: asked, depth: Some(1), rescue: false });
    assert!(is_left(&Vec::from(orders), asked));
}

#[test]
fn q12_who_only_wants_a_better_place_gives_way_to_the_child_of_a_standby_whom_it_asks() {
    for has_children in [true, false] {
        let (mut s, asked) = asks_another(has_children);
        s.fact(Fact::Refused { call: asked, refusal: Refusal::NoAnswer });
        let lease = CallId::received(99);
        s.fact(Fact::StandbyInvited { channel: CHANNEL, call: lease, peer: 7, slots: Some(2) });
        let to = vec![Provider { peer: 7, depth: Some(1), free: Some(1) }];
        let parent = s.iptv.parent_call(CHANNEL).unwrap();
        let asked = placed(&s.reported(parent, Report::Yield { to }), 7).expect("it asks again");
        let orders = s.fact(Fact::Resumed { call: lease });
        assert_eq!(orders.contains(&Order::Serve { call: lease }), !has_children, "{orders:?}");
        assert_eq!(orders.contains(&Order::Cancel { call: asked }), !has_children, "{orders:?}");
    }
}

/// Its parent, the source, has a second rescue slot, and a child that cannot relay.
#[test]
fn a_child_in_a_rescue_slot_that_asks_its_parent_for_an_ordinary_one_waits_for_it_in_the_call_that_it_has() {
    let mut s = Solo::publisher(Config { rescue_slots: 2, ..default(1) });
    let (leech, _) = s.called_by(3, (false, false), 0);
    let (old, orders) = s.invited(4, true);
    assert!(accepts(&orders, old));
    s.told.report = Some(s.now);
    let (call, orders) = s.invited_by_mover(4);
    let busy = Order::Refuse { call, denial: Denial::Busy { retry_after: ms(1_000) } };
    assert!(orders.contains(&busy), "{orders:?}");
    assert!(!is_left(&Vec::from(orders), old));
    s.fact(Fact::Ended { call: leech, reason: ByeReason::Normal });
    assert_eq!(s.iptv.status(CHANNEL).unwrap().children, (1, 0), "and in no other one");
}

/// Child 1 relays, is full, and has the children 2 to 40, who could relay.
#[test]
fn q13_orphans_that_come_one_upon_the_other_are_sent_to_different_rescuers() {
    let mut s = Solo::publisher(default(1));
    let (relayer, _) = s.invited(1, false);
    s.reported(relayer, Report::RelayerAccepted { free: 2 });
    let children = (2..=40).map(|peer| Child { peer, slots: Some(2), rescue: false }).collect();
    s.reported(relayer, Report::FullCapacity { children });
    // The first one takes the source's own rescue slot.
    s.invited(50, true);
    let sent = |s: &mut Solo, orphan| -> Vec<u32> {
        let (_, orders) = s.invited(orphan, true);
        let named = orders.iter().find_map(|o| match o {
            Order::Redirect { providers, .. } => Some(providers.iter().map(|p| p.peer).collect()),
            _ => None,
        });
        named.expect("it is sent to somebody")
    };
    let mut named: Vec<u32> = (51..54).flat_map(|orphan| sent(&mut s, orphan)).filter(|&p| p > 1).collect();
    let all = named.len();
    assert!(all >= 21, "{named:?}");
    named.sort_unstable();
    named.dedup();
    assert_eq!(named.len(), all, "{named:?}");
    // Whoever comes later is sent to those nearest to the source again.
    s.pass_reported(2_000);
    assert!(sent(&mut s, 60).contains(&1));
}

/// 22 sits here itself.
#[test]
fn p18_the_source_waits_for_200_ms_too_where_those_in_front_of_it_cannot_be_asked() {
    let (mut s, parent) = Solo::viewer(default(2), PARENT);
    s.reported(parent, Report::SelectedRelayer { register: true });
    s.invited(22, false);
    let (path, backups) = (vec![1, PARENT], vec![named(21), named(22)]);
    s.reported(parent, Report::TreePosition { depth: 2, path, rescue: false, backups, delegated: false });
    let orders = s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost });
    assert_eq!(asked(&orders), [21], "{orders:?}");
}

#[test]
fn where_relayers_elect_two_above_are_asked_and_not_the_source_also_when_the_parent_ends_the_dialog() {
    let (mut s, parent) = viewer(&[1, 2, 3, 4, PARENT], 2);
    let mut asked = asked(&s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost }));
    assert_eq!(asked.drain(..2).collect::<Vec<_>>(), [21, 22]);
    assert!(asked.len() == 2 && asked.iter().all(|p| (2..5).contains(p)), "{asked:?}");
}

#[test]
fn an_orphan_whom_nobody_answers_asks_ten_at_the_same_time_at_most() {
    let (mut s, parent) = viewer(&[1, 2, 3, 4, PARENT], 4);
    // Three round trips and more are waited for each.
    s.fact(Fact::RoundTrip { call: parent, rtt: ms(450) });
    let mut orders = s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost });
    let (mut live, mut most, mut all) = (Vec::new(), 0, 0);
    for _ in 0..400 {
        while let Some(order) = orders.pop_front() {
            match order {
                Order::Fetch { .. } => {
                    let providers = (40..56).map(named).collect();
                    orders.extend(s.fact(Fact::Fetched { channel: CHANNEL, providers }));
                }
                Order::Invite { call, .. } => {
                    live.push(call);
                    (most, all) = (most.max(live.len()), all + 1);
                }
                Order::Cancel { call } => live.retain(|&c| c != call),
                _ => {}
            }
        }
        orders.extend(s.pass(10));
    }
    assert!(most == 10 && all > 15, "{most} of {all}");
}

/// Those who only say that they are there.
#[test]
fn five_that_ring_and_say_no_more_do_not_keep_an_orphan_from_asking_others() {
    let (mut s, parent) = viewer(&[1, 2, PARENT], 4);
    let mut orders = Vec::from(s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost }));
    let providers = [41, 42].map(named).to_vec();
    orders.extend(s.fact(Fact::Fetched { channel: CHANNEL, providers }));
    for (_, call, _) in called(&orders) {
        s.fact(Fact::Proceeding { call });
    }
    assert_eq!(asked(&orders).len(), 5, "{orders:?}");
    assert_eq!(asked(&s.pass(400)).len(), 2);
}

/// It is 250 ms away, and the last one. What it says of its place is there before its first packet.
#[test]
fn the_place_below_a_far_standby_is_believed_though_others_were_asked_meanwhile() {
    let (mut s, _, standbys) = backed_up();
    for call in standbys {
        s.fact(Fact::RoundTrip { call, rtt: ms(250) });
    }
    for &call in &standbys[1..] {
        s.fact(Fact::Ended { call, reason: ByeReason::Lost });
    }
    while resumed(&s.pass(1)).is_empty() {}
    assert!(!called(&s.pass(249)).is_empty(), "others are asked after 200 ms");
    let path = vec![9, 7, 8, 4];
    let place = Report::TreePosition { depth: 4, path, rescue: true, backups: vec![], delegated: false };
    s.reported(standbys[0], place);
    s.pass(1);
    s.covered_by(standbys[0]);
    s.fact(Fact::FirstPacket { channel: CHANNEL, call: standbys[0] });
    s.cover_for(standbys[0], 1_100);
    assert_eq!(s.iptv.status(CHANNEL).unwrap().path, [9, 7, 8, 4]);
}

/// The source, 1, has sent it on to 31, and comes next again; 41 stands behind it.
#[test]
fn p18_the_source_is_not_asked_again_beside_whom_it_has_named_before_that_one_has_had_200_ms() {
    let (mut s, parent) = Solo::viewer(default(2), PARENT);
    let path = vec![1, PARENT];
    s.reported(
        parent,
        Report::TreePosition { depth: 2, path, rescue: false, backups: vec![], delegated: false },
    );
    let orders = s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost });
    let call = placed(&orders, 1).expect("nobody else is known");
    assert!(fetches(&s.pass(200)));
    let orders = s.fact(Fact::Refused { call, refusal: Refusal::Redirected(vec![named(31)]) });
    assert_eq!(asked(&orders), [31]);
    let orders = s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![named(41)] });
    assert_eq!(asked(&orders), [], "{orders:?}");
    assert_eq!(asked(&s.pass(199)), []);
    assert_eq!(asked(&s.pass(1)).first(), Some(&1));
}
