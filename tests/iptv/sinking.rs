//! Out of a rescue slot: nobody sinks at once with all that is below it.

use crate::flat::{PARENT, at, deep, peers, place};
use crate::harness::{CHANNEL, Solo, called, ms, placed};
use p2piptv::ids::CallId;
use p2piptv::iptv::{Fact, InviteKind, Order, Pace, Provider, Refusal, Report};
use p2piptv::time::Instant;
use std::collections::VecDeque;

/// Whom a viewer asks for an ordinary slot in each of so many rounds, and whether it looks anything up in the round. Whoever is
/// asked sends it on to these, who are full by the time they are asked.
fn rounds(s: &mut Solo, most: usize, named: &[Provider<u32>]) -> Vec<(Vec<u32>, bool)> {
    let mut rounds = vec![(Vec::new(), false)];
    for _ in 0..2_000 {
        s.hear();
        s.told.report = Some(s.now);
        let mut orders: VecDeque<_> = s.pass(10).into();
        while let Some(order) = orders.pop_front() {
            let round = rounds.last_mut().unwrap();
            match order {
                Order::Fetch { .. } => {
                    round.1 = true;
                    orders.extend(s.fact(Fact::FetchFailed { channel: CHANNEL }));
                }
                Order::Invite { peer, call, kind: InviteKind::Media, .. } => {
                    if round.0.contains(&peer) {
                        if rounds.len() == most {
                            return rounds;
                        }
                        rounds.push((vec![peer], false));
                    } else {
                        round.0.push(peer);
                    }
                    let refusal = match named.iter().any(|p| p.peer == peer) {
                        true => Refusal::Busy { retry_after: None },
                        false => Refusal::Redirected(named.to_vec()),
                    };
                    orders.extend(s.fact(Fact::Refused { call, refusal }));
                }
                _ => {}
            }
        }
    }
    panic!("{rounds:?}");
}

#[test]
fn out_of_a_rescue_slot_nobody_sinks_and_looks_nothing_up_in_the_first_round() {
    let (mut s, parent) = deep();
    s.reported(parent, place(&[1, 2, 3, 4, 5, PARENT], true, &[]));
    // A full one, and the source, are left alone too.
    let named = [at(31, 5), at(32, 6), Provider { free: Some(0), ..at(33, 3) }, at(34, 0), at(39, 12)];
    let rounds = rounds(&mut s, 2, &named);
    let (first, second) = (&rounds[0], &rounds[1]);
    assert!(first.0.contains(&31) && !first.1, "{rounds:?}");
    assert!(![32, 33, 34, 39].iter().any(|peer| first.0.contains(peer)), "{rounds:?}");
    // Whoever has nobody below sits anywhere then.
    assert!([32, 39].iter().all(|peer| second.0.contains(peer)), "{rounds:?}");
}

#[test]
fn whoever_has_children_sinks_out_of_a_rescue_slot_by_one_layer_a_round_at_most() {
    let (mut s, parent) = deep();
    s.reported(parent, Report::SelectedRelayer { register: false });
    s.invited(11, false);
    s.reported(parent, place(&[1, 2, 3, 4, 5, PARENT], true, &[]));
    let named: Vec<_> = (5..10).map(|depth| at(30 + u32::from(depth), depth)).collect();
    let rounds = rounds(&mut s, 4, &named);
    // In layer 6 are the children of a provider in layer 5.
    let deepest = rounds.iter().map(|r| r.0.iter().max().copied());
    assert_eq!(deepest.collect::<Vec<_>>(), [35, 36, 37, 38].map(Some), "{rounds:?}");
}

/// The parent has no other slot for it, and asks it again and again to yield to one that is six layers further down, the only one
/// that is free.
#[test]
fn whoever_has_children_leaves_a_rescue_slot_in_the_end_however_deep_the_next_slot_and_however_often_it_is_to_yield()
 {
    let (mut s, parent) = deep();
    s.reported(parent, Report::SelectedRelayer { register: false });
    s.invited(11, false);
    s.reported(parent, place(&[1, 2, 3, 4, 5, PARENT], true, &[]));
    let slot = at(40, 11);
    for n in 0..300 {
        s.hear();
        s.told.report = Some(s.now);
        let mut orders: VecDeque<_> = s.pass(100).into();
        if n % 5 == 0 {
            orders.extend(s.reported(parent, Report::Yield { to: vec![slot] }));
        }
        while let Some(order) = orders.pop_front() {
            match order {
                Order::Fetch { .. } => {
                    orders.extend(s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![slot] }));
                }
                Order::Invite { peer: 40, .. } => return,
                Order::Invite { call, kind: InviteKind::Media | InviteKind::Urgent, .. } => {
                    let refusal = Refusal::Redirected(vec![slot]);
                    orders.extend(s.fact(Fact::Refused { call, refusal }));
                }
                _ => {}
            }
        }
    }
    panic!("in the rescue slot after 30 s");
}

#[test]
fn whoever_sinks_with_its_parent_may_sink_from_there_by_a_layer_a_round() {
    let (mut s, parent) = deep();
    s.reported(parent, Report::SelectedRelayer { register: false });
    s.invited(11, false);
    s.reported(parent, place(&[1, 2, 3, 4, 5, PARENT], true, &[]));
    s.reported(parent, place(&[1, 2, 3, 4, 5, 6, 7, 8, PARENT], true, &[]));
    let named: Vec<_> = (5..12).map(|depth| at(30 + u32::from(depth), depth)).collect();
    let rounds = rounds(&mut s, 2, &named);
    let deepest = rounds.iter().map(|r| r.0.iter().max().copied());
    assert_eq!(deepest.collect::<Vec<_>>(), [38, 39].map(Some), "{rounds:?}");
}

/// Providers in the layers 5 to 11, by whose numbers one sees how deep they hang.
fn layers() -> Vec<Provider<u32>> {
    (5..12).map(|depth| at(30 + u32::from(depth), depth)).collect()
}

/// A relayer in a rescue slot in layer 6, with one child and one standby, that may sink by two layers at least.
fn sinking() -> (Solo, CallId, CallId) {
    let (mut s, parent) = deep();
    s.reported(parent, Report::SelectedRelayer { register: false });
    s.invited(11, false);
    s.told.pace = Some(Pace { gap: ms(10), jitter: ms(0) });
    s.reported(parent, place(&[1, 2, 3, 4, 5, PARENT], true, &[4]));
    let standby = placed(&s.hear_for(1_000), 4).expect("its backup");
    s.told.elsewhere.insert(standby, Instant::ZERO);
    s.fact(Fact::Answered { call: standby, depth: Some(5), rescue: false });
    let deepest = rounds(&mut s, 3, &layers()).into_iter().map(|r| r.0.into_iter().max());
    assert_eq!(deepest.collect::<Vec<_>>(), [35, 36, 37].map(Some));
    (s, parent, standby)
}

/// How deep it sinks at once, and whether it looks anything up before the second round.
fn first_round(s: &mut Solo) -> (Option<u32>, bool) {
    let round = rounds(s, 1, &layers()).remove(0);
    (round.0.into_iter().max(), round.1)
}

#[test]
fn whoever_comes_into_another_rescue_slot_begins_anew_to_look_for_an_ordinary_one_that_is_no_deeper() {
    let (mut s, ..) = sinking();
    let call = (0..100).find_map(|_| {
        let orders = s.hear_for(10);
        called(&orders).into_iter().find(|c| c.2 == InviteKind::Media).map(|c| c.1)
    });
    let call = call.expect("it asks others");
    s.fact(Fact::Answered { call, depth: Some(6), rescue: true });
    s.fact(Fact::FirstPacket { channel: CHANNEL, call });
    s.reported(call, place(&[1, 2, 3, 4, 5, 6, 50], true, &[]));
    assert_eq!(first_round(&mut s), (Some(36), false));
}

#[test]
fn whose_backup_has_become_the_parent_begins_anew_to_look_for_an_ordinary_slot_that_is_no_deeper() {
    let (mut s, _, standby) = sinking();
    let orders = s.pass(400);
    assert!(orders.contains(&Order::Resume { call: standby }), "{orders:?}");
    s.covered_by(standby);
    s.fact(Fact::FirstPacket { channel: CHANNEL, call: standby });
    s.cover_for(standby, 1_100);
    assert_eq!(s.iptv.parent_call(CHANNEL), Some(standby));
    s.told.elsewhere.remove(&standby);
    s.reported(standby, place(&[1, 2, 3, 4, 5, 6, 4], true, &[]));
    assert_eq!(first_round(&mut s), (Some(36), false));
}

#[test]
fn whoever_was_asked_to_yield_in_vain_goes_on_to_sink_where_it_was() {
    let (mut s, parent, _) = sinking();
    let mut asked = Vec::new();
    while !asked.contains(&21) {
        let mut orders: VecDeque<_> = s.hear_for(10).into();
        // It is busy until a round has failed.
        orders.extend(s.reported(parent, Report::Yield { to: vec![at(21, 5)] }));
        while let Some(order) = orders.pop_front() {
            match order {
                Order::Fetch { .. } => orders.extend(s.fact(Fact::FetchFailed { channel: CHANNEL })),
                Order::Invite { peer, call, kind: InviteKind::Media | InviteKind::Urgent, .. } => {
                    asked.push(peer);
                    orders.extend(s.fact(Fact::Refused { call, refusal: Refusal::NoAnswer }));
                }
                _ => {}
            }
        }
        assert!(asked.len() < 100, "{asked:?}");
    }
    let (deepest, looks_up) = first_round(&mut s);
    assert!(deepest >= Some(37) && looks_up, "{deepest:?}, {looks_up}");
}

#[test]
fn whoever_has_been_given_an_ordinary_slot_yields_it_for_one_that_is_a_layer_deeper_and_no_more() {
    let (mut s, parent, _) = sinking();
    s.reported(parent, place(&[1, 2, 3, 4, 5, PARENT], false, &[]));
    let orders = s.reported(parent, Report::Yield { to: vec![at(37, 7), at(36, 6)] });
    assert_eq!(peers(&orders), [36]);
}
