//! Backup parents: when they are asked, what they tell, and what becomes of their calls (Q12, Q13).

use super::misuse::{covered, is_left};
use super::*;

/// A standby INVITE, if there is one.
fn dialled(orders: &[Order<u32>]) -> Option<(u32, CallId)> {
    orders.iter().find_map(|o| match o {
        Order::Invite { peer, call, kind: InviteKind::Standby, .. } => Some((*peer, *call)),
        _ => None,
    })
}

fn fetches(orders: &[Order<u32>]) -> bool {
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

#[test]
fn q12_the_place_that_a_standby_tells_before_its_first_packet_is_the_place_under_it() {
    let (mut s, _, [first, ..]) = backed_up();
    assert_eq!(resumed(&s.pass(59)), [first]);
    s.reported(first, place(vec![9, 7, 4], true));
    s.covered_by(first);
    s.fact(Fact::FirstPacket { channel: CHANNEL, call: first });
    s.cover_for(first, 1_100);
    let status = s.iptv.status(CHANNEL).unwrap();
    assert_eq!((status.parent, status.path, status.depth), (Some(4), vec![9, 7, 4], Some(3)));
}

#[test]
fn q12_whoever_covers_and_leaves_is_followed_by_the_next_standby_at_once() {
    let (mut s, parent, [first, second, _]) = covered();
    let orders = s.reported(parent, Report::Leaving);
    assert!(orders.is_empty(), "that one only says what is known: {orders:?}");
    let orders = Vec::from(s.reported(first, Report::Leaving));
    assert!(orders.contains(&Order::Release { call: first }), "{orders:?}");
    assert_eq!(resumed(&orders), [second]);
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
fn q12_a_backup_parent_has_four_seconds_to_become_a_standby() {
    let mut s = with_backups();
    let (_, call) = loop {
        if let Some(dialled) = dialled(&s.hear_for(10)) {
            break dialled;
        }
    };
    let cancel = Order::Cancel { call };
    let orders = s.hear_for(3_980);
    assert!(!orders.contains(&cancel), "{orders:?}");
    let orders = s.hear_for(30);
    assert!(orders.contains(&cancel), "{orders:?}");
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
