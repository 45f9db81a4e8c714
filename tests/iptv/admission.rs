//! Who is let in, and who is sent on.

use crate::harness::{CHANNEL, SOURCE, Solo, default, has, ms, placed, selected};
use p2piptv::ids::{CallId, ChannelId};
use p2piptv::iptv::{
    ByeReason, Child, Config, Denial, Event, Fact, Hold, Mode, Order, Profile, Provider, Report,
};
use std::collections::VecDeque;

impl Solo {
    fn calls(&mut self, n: u32, urgent: bool, slots: u16) -> VecDeque<Order<u32>> {
        let (call, peer) = (CallId::received(n), 20 + n);
        self.fact(Fact::Invited { channel: CHANNEL, call, peer, urgent, moves: false, slots: Some(slots) })
    }
}

/// Whether the caller was accepted, and if so into a rescue slot.
fn accepted(orders: &VecDeque<Order<u32>>) -> Option<bool> {
    orders.iter().find_map(|o| match o {
        Order::Accept { rescue, .. } => Some(*rescue),
        _ => None,
    })
}

#[test]
fn q12_a_viewer_whom_nobody_elected_saves_one_orphan_however_many_slots_it_has() {
    let (mut s, _) = Solo::viewer(default(2), 9);
    s.hear();
    let answers = [0, 1].map(|n| accepted(&s.calls(n, true, 2)));
    assert_eq!(answers, [Some(true), None]);
}

#[test]
fn a_caller_that_brings_no_slots_takes_none_from_a_child_that_brings_none_either() {
    for (slots, expected) in [(0, None), (2, Some(true))] {
        let mut s = Solo::publisher(default(2));
        let seated = [0, 1].map(|n| accepted(&s.calls(n, false, 0)));
        assert_eq!(seated, [Some(false); 2]);
        assert_eq!(accepted(&s.calls(2, false, slots)), expected, "{slots} slots");
    }
}

#[test]
fn k8_a_viewer_that_is_fed_takes_nobody_at_the_deepest_layer() {
    for (depth, expected) in [(3, Some(true)), (2, None)] {
        let mut config = default(2);
        config.limits.depth = depth;
        let (mut s, parent) = Solo::viewer(config, 9);
        let path = vec![9, 8];
        s.reported(
            parent,
            Report::TreePosition { depth: 2, path, rescue: false, backups: vec![], delegated: false },
        );
        s.hear();
        assert_eq!(accepted(&s.calls(0, true, 2)), expected, "{depth} layers");
    }
}

/// The parent asks for the slot, again and again.
#[test]
fn q14_whoever_yields_takes_no_rescue_slot_and_looks_for_nobody_when_it_has_found_somebody() {
    let (mut s, parent) = Solo::viewer(default(0), 9);
    let asked = |s: &mut Solo, peer: u32| {
        let to = vec![Provider { peer, depth: Some(1), free: Some(1) }];
        placed(&s.reported(parent, Report::Yield { to }), peer)
    };
    let call = asked(&mut s, 5).expect("it looks where its parent says");
    let orders = s.fact(Fact::Answered { call, depth: Some(1), rescue: true });
    assert!(orders.contains(&Order::Bye { call, reason: ByeReason::Normal }), "{orders:?}");
    let call = asked(&mut s, 6).expect("the next time as well");
    assert_eq!(asked(&mut s, 7), None, "it is at it");
    s.fact(Fact::Answered { call, depth: Some(1), rescue: false });
    assert_eq!(asked(&mut s, 8), None, "it waits for the first packet");
    let orders = s.fact(Fact::FirstPacket { channel: CHANNEL, call });
    assert!(orders.contains(&Order::Bye { call: parent, reason: ByeReason::Normal }));
}

/// The final answers among orders: whose call, and whether it was accepted, sent on or refused as busy.
fn answers(orders: impl IntoIterator<Item = Order<u32>>) -> Vec<(CallId, char)> {
    let answer = |o| match o {
        Order::Accept { call, .. } => Some((call, 'a')),
        Order::Redirect { call, .. } => Some((call, 'r')),
        Order::Refuse { call, denial: Denial::Busy { retry_after } } if retry_after == ms(1000) => {
            Some((call, 'b'))
        }
        _ => None,
    };
    orders.into_iter().filter_map(answer).collect()
}

/// A source with one slot, in which 1 sits that is being asked to relay, and the calls of 2 and 3.
fn queued() -> (Solo, CallId, [CallId; 2]) {
    let mut s = Solo::publisher(default(1));
    let (first, _) = s.invited(1, false);
    let calls = [2, 3].map(|peer| {
        let (call, orders) = s.invited(peer, false);
        assert_eq!(orders, [Order::Queue { call }]);
        call
    });
    (s, first, calls)
}

#[test]
fn q1_newcomers_wait_for_the_next_relayer_and_get_its_slots_in_the_order_in_which_they_came() {
    let (mut s, first, [second, third]) = queued();
    let orders = s.reported(first, Report::RelayerAccepted { free: 1 });
    let providers = vec![Provider { peer: 1, depth: Some(1), free: Some(1) }];
    assert!(orders.contains(&Order::Redirect { call: second, providers }), "{orders:?}");
    assert_eq!(answers(orders), [(second, 'r')], "the slot is promised");
    assert_eq!(answers(s.fact(Fact::Ended { call: first, reason: ByeReason::Normal })), [(third, 'a')]);
    // Who comes then is sent on at once if somebody is open.
    let (mut s, first, [second, third]) = queued();
    assert_eq!(
        answers(s.reported(first, Report::RelayerAccepted { free: 3 })),
        [(second, 'r'), (third, 'r')]
    );
    let (fourth, orders) = s.invited(4, false);
    assert_eq!(answers(orders), [(fourth, 'r')]);
}

/// 2 is sent to the only slot 10 ms after 1 was asked to relay, and does not come.
#[test]
fn q1_a_slot_that_is_promised_no_longer_goes_to_who_waits_and_not_to_who_comes_at_that_moment() {
    let mut s = Solo::publisher(default(1));
    let (first, _) = s.invited(1, false);
    s.pass(10);
    s.reported(first, Report::RelayerAccepted { free: 1 });
    let (second, orders) = s.invited(2, false);
    assert_eq!(answers(orders), [(second, 'r')]);
    s.pass(190);
    let (third, orders) = s.invited(3, false);
    assert_eq!(orders, [Order::Queue { call: third }]);
    assert_eq!(answers(s.pass(1_809)), []);
    let (fourth, orders) = s.invited(4, false);
    assert_eq!(orders, [Order::Queue { call: fourth }]);
    s.pass(1);
    let (fifth, orders) = s.invited(5, false);
    assert_eq!(answers(orders.clone()), [(third, 'r')]);
    assert!(orders.contains(&Order::Queue { call: fifth }), "{orders:?}");
}

#[test]
fn q1_a_newcomer_that_has_waited_for_two_seconds_is_refused() {
    let mut s = Solo::publisher(default(1));
    s.invited(1, false);
    let (second, _) = s.invited(2, false);
    s.told.report = Some(s.now);
    s.pass(10);
    let (third, _) = s.invited(3, false);
    assert_eq!(answers(s.pass(1_989)), []);
    assert_eq!(answers(s.pass(1)), [(second, 'b')]);
    assert_eq!(answers(s.pass(9)), []);
    assert_eq!(answers(s.pass(1)), [(third, 'b')]);
    assert!(!s.pass(500).iter().any(|o| matches!(o, Order::Refuse { .. })));
}

/// A source with two slots, in which 1 and 2 sit that cannot relay. In the place of 2 comes 3, which can; 4, which can too, waits
/// meanwhile.
#[test]
fn q1_who_waits_and_can_relay_takes_the_slot_of_a_child_that_cannot_before_a_newcomer_does() {
    for slots in [0, 2] {
        let mut s = Solo::publisher(default(2));
        let [_, leech] = [1, 2].map(|peer| s.called_by(peer, (false, false), 0).0);
        let (third, orders) = s.invited(3, false);
        assert_eq!(answers(orders), [(third, 'a')]);
        let (fourth, orders) = s.called_by(4, (false, false), slots);
        assert_eq!(orders, [Order::Queue { call: fourth }]);
        s.fact(Fact::Ended { call: leech, reason: ByeReason::Normal });
        // When 2 would be asked next.
        let answered = answers(s.pass(500));
        let (fifth, orders) = s.invited(5, false);
        if slots > 0 {
            assert_eq!(answered, [(fourth, 'a')]);
            assert_eq!(orders, [Order::Queue { call: fifth }]);
        } else {
            assert_eq!((answered, answers(orders)), (vec![], vec![(fifth, 'a')]), "4 could not use it");
        }
    }
}

#[test]
fn q1_a_newcomer_would_wait_where_it_finds_no_slot_and_is_not_known() {
    let would = |s: &Solo, peer, slots| s.iptv.would_wait(CHANNEL, peer, Some(slots));
    let mut s = Solo::publisher(default(2));
    s.called_by(1, (false, false), 0);
    assert!(!would(&s, 5, 0), "a slot is free");
    s.invited(2, false);
    assert!(would(&s, 5, 0));
    assert!(!would(&s, 5, 1), "in the place of 1");
    assert!(!would(&s, 2, 0), "it is served");
    s.called_by(3, (false, false), 0);
    assert!(!would(&s, 3, 0), "it waits already");
    let s = Solo::publisher(Config::new(Profile::Paper, 0));
    assert!(!would(&s, 5, 0));
    let (s, _) = Solo::viewer(default(0), 9);
    assert!(!would(&s, 5, 0));
}

#[test]
fn q1_nobody_waits_where_nobody_is_about_to_relay() {
    let mut s = Solo::publisher(default(1));
    let call = CallId::received(90);
    s.fact(Fact::Invited { channel: CHANNEL, call, peer: 1, urgent: false, moves: false, slots: Some(0) });
    let call = CallId::received(91);
    let orders = s.fact(Fact::Invited {
        channel: CHANNEL,
        call,
        peer: 2,
        urgent: false,
        moves: false,
        slots: Some(0),
    });
    assert_eq!(Vec::from(orders), [busy(call)]);
    // Or no longer.
    let (mut s, first, [second, third]) = queued();
    assert_eq!(answers(s.reported(first, Report::RelayerDeclined)), [(second, 'b'), (third, 'b')]);
}

fn busy(call: CallId) -> Order<u32> {
    Order::Refuse { call, denial: Denial::Busy { retry_after: ms(1000) } }
}

#[test]
fn q1_orphans_and_whoever_is_served_elsewhere_do_not_wait_nor_does_anybody_twice() {
    let (mut s, first, [second, _]) = queued();
    let (call, orders) = s.invited(2, false);
    assert_eq!(Vec::from(orders), [busy(call)], "twice");
    let free = Some(0);
    let children = vec![Child { peer: 5, slots: Some(2), rescue: false }];
    s.reported(first, Report::ChildUpdate { children, free });
    let (call, orders) = s.invited(5, false);
    assert_eq!(answers(orders), [(call, 'b')], "a viewer of 1");
    s.invited(6, true);
    let (call, orders) = s.invited(7, true);
    assert_eq!(answers(orders), [(call, 'r')], "an orphan is told who may have a rescue slot");
    let _ = second;
}

#[test]
fn q1_whoever_has_media_and_only_moves_takes_no_place_of_those_that_wait_where_the_source_does_not_know_it() {
    for mode in [Mode::SourceManaged, Mode::Delegated] {
        let mut s = Solo::publisher(Config { mode, ..default(1) });
        s.invited(1, false);
        let call = CallId::received(90);
        let moves =
            Fact::Invited { channel: CHANNEL, call, peer: 8, urgent: false, moves: true, slots: Some(2) };
        assert_eq!(Vec::from(s.fact(moves)), [busy(call)], "{mode:?}");
        let (call, orders) = s.invited(2, false);
        assert_eq!(orders, [Order::Queue { call }], "{mode:?}");
    }
}

#[test]
fn q1_no_more_wait_than_the_limit_says_and_who_gives_up_makes_room() {
    let mut config = default(1);
    config.limits.waiting = 1;
    let mut s = Solo::publisher(config);
    let (first, _) = s.invited(1, false);
    let (second, _) = s.invited(2, false);
    let (third, orders) = s.invited(3, false);
    assert_eq!(answers(orders), [(third, 'b')]);
    assert!(s.fact(Fact::Cancelled { call: second }).is_empty());
    let (third, orders) = s.invited(3, false);
    assert_eq!(orders, [Order::Queue { call: third }]);
    assert_eq!(answers(s.reported(first, Report::RelayerAccepted { free: 2 })), [(third, 'r')]);
}

#[test]
fn whoever_waits_when_the_channel_ends_is_told_that_there_is_none() {
    let (mut s, _, calls) = queued();
    let orders = s.act(|i, now, ctx| i.end(now, CHANNEL, ctx).unwrap());
    for call in calls {
        assert!(orders.contains(&Order::Refuse { call, denial: Denial::NotFound }), "{orders:?}");
    }
}

#[test]
fn q1_the_rescue_slot_is_for_orphans_and_the_first_ordinary_slot_that_frees_is_theirs() {
    let mut s = Solo::publisher(default(1));
    let (first, _) = s.invited(1, false);
    let (orphan, orders) = s.invited(2, true);
    assert!(orders.contains(&Order::Accept { call: orphan, depth: 0, rescue: true, free: 0 }));
    // The next one is told who else may have one.
    let (call, orders) = s.invited(3, true);
    let providers = vec![Provider { peer: 2, depth: Some(1), free: Some(0) }];
    assert!(orders.contains(&Order::Redirect { call, providers }));
    let orders = s.fact(Fact::Ended { call: first, reason: ByeReason::Normal });
    assert!(has(&orders, |o| matches!(
        o,
        Order::Inform { call, report: Report::TreePosition { rescue: false, .. } } if *call == orphan
    )));
    assert_eq!(s.iptv.status(CHANNEL).unwrap().children, (1, 0));
}

#[test]
fn q13_when_everybody_is_full_the_source_names_rescue_slots_away_from_the_dead() {
    let mut s = Solo::publisher(default(2));
    s.told.report = Some(s.now);
    let calls = [1, 2].map(|peer| s.invited(peer, false).0);
    for (call, peers) in calls.into_iter().zip([[3, 4], [5, 6]]) {
        s.reported(call, Report::RelayerAccepted { free: 2 });
        let children = peers.map(|peer| Child { peer, slots: Some(2), rescue: false }).to_vec();
        s.reported(call, Report::FullCapacity { children });
    }
    s.invited(3, true);
    // 4 has lost the same parent: neither 1 nor whoever hangs below it is named.
    let (_, orders) = s.invited(4, true);
    let named = orders.iter().find_map(|o| match o {
        Order::Redirect { providers, .. } => Some(providers.iter().map(|p| p.peer).collect::<Vec<_>>()),
        _ => None,
    });
    let mut named = named.expect("a redirect");
    assert_eq!(named[0], 2, "the nearest to the source is the first");
    named.sort_unstable();
    // An offer is under way to one of the others.
    assert!(named.iter().all(|p| [2, 3, 5, 6].contains(p)), "{named:?}");
    // A newcomer waits.
    let (call, orders) = s.invited(9, false);
    assert!(orders.contains(&Order::Queue { call }), "{orders:?}");
}

#[test]
fn a_capacity_that_comes_later_brings_its_rescue_slot_but_not_in_the_papers_profile() {
    for (profile, rescued) in [(Profile::Default, (1, 1)), (Profile::Paper, (1, 0))] {
        let mut s = Solo::publisher(Config::new(profile, 0));
        s.invited(1, true);
        assert_eq!(s.iptv.status(CHANNEL).unwrap().children, (0, 0), "{profile:?} has nothing to give");
        s.act(|i, now, ctx| i.set_capacity(now, 1, ctx));
        s.invited(1, false);
        s.invited(2, true);
        assert_eq!(s.iptv.status(CHANNEL).unwrap().children, rescued, "{profile:?}");
    }
}

#[test]
fn q6_whoever_stands_above_me_is_refused_with_a_loop() {
    let (mut s, call) = Solo::viewer(default(2), 9);
    let path = vec![7, 8, 9];
    s.reported(
        call,
        Report::TreePosition { depth: 3, path, rescue: false, backups: vec![], delegated: false },
    );
    for peer in [7, 8, 9, SOURCE] {
        let (call, orders) = s.invited(peer, true);
        assert!(orders.contains(&Order::Refuse { call, denial: Denial::Loop }), "{peer}");
    }
}

#[test]
fn p9_channels_share_the_slots_of_one_uplink() {
    let other = ChannelId(200);
    let mut s = Solo::publisher(default(2));
    s.act(|i, now, ctx| i.publish(now, other, ctx).unwrap());
    let (first, _) = s.invited(1, false);
    let call = CallId::received(50);
    let orders =
        s.fact(Fact::Invited { channel: other, call, peer: 2, urgent: false, moves: false, slots: Some(2) });
    // The other channel is full as well now, and elects.
    assert_eq!(selected(orders), [first, call]);
    assert_eq!(s.iptv.free_slots(), 0);
    let (call, orders) = s.invited(3, false);
    assert!(orders.contains(&Order::Queue { call }), "{orders:?}");
    let orders = s.act(|i, now, ctx| i.stop(now, other, ctx).unwrap());
    assert_eq!(answers(orders), [(call, 'a')], "it gets the slot of the other one");
    assert_eq!(s.iptv.free_slots(), 0);
}

/// The child of the only slot dies, an orphan sits in the rescue slot, and a newcomer waits.
#[test]
fn q1_a_slot_whose_child_has_fallen_silent_goes_to_the_orphan_and_not_to_the_newcomer_that_waits() {
    let mut s = Solo::publisher(default(1));
    let (silent, _) = s.invited(1, false);
    s.pass(3_400);
    s.invited(2, true);
    let (newcomer, orders) = s.invited(3, false);
    assert_eq!(orders.back(), Some(&Order::Queue { call: newcomer }), "{orders:?}");
    let orders = s.pass(100);
    assert!(orders.contains(&Order::Bye { call: silent, reason: ByeReason::Normal }), "{orders:?}");
    assert!(!answers(orders).contains(&(newcomer, 'a')));
    assert_eq!(s.iptv.status(CHANNEL).unwrap().children, (1, 0), "the orphan has it");
}

/// The source pauses, and nothing else happens.
#[test]
fn q11_who_has_waited_hears_in_its_slot_that_nothing_comes_as_any_other_child_does() {
    let mut s = Solo::publisher(default(1));
    let (first, _) = s.invited(1, false);
    s.pass_reported(10_000);
    let (second, orders) = s.invited(2, false);
    assert_eq!(orders.back(), Some(&Order::Queue { call: second }), "{orders:?}");
    let orders = s.fact(Fact::Ended { call: first, reason: ByeReason::Normal });
    assert_eq!(answers(orders), [(second, 'a')]);
    let paused = Order::Hold { channel: CHANNEL, hold: Hold::Paused };
    assert!(s.pass(200).contains(&paused));
}

#[test]
fn p17_the_host_hears_of_a_changed_table_when_who_has_waited_is_in_it() {
    let mut s = Solo::publisher(default(1));
    let (first, _) = s.invited(1, false);
    s.invited(2, false);
    let orders = s.fact(Fact::Ended { call: first, reason: ByeReason::Normal });
    let at = |wanted: Event<u32>| orders.iter().rposition(|o| *o == Order::Event(wanted));
    let joined = at(Event::ChildJoined { channel: CHANNEL, child: 2 });
    assert!(joined.is_some() && at(Event::TableChanged { channel: CHANNEL }) > joined, "{orders:?}");
}

/// Two sit in ordinary slots of which there is only one by now, and an orphan in the rescue slot.
#[test]
fn whoever_begins_anew_where_slots_have_become_fewer_takes_its_own_slot_and_no_rescue_slot_that_there_is_not()
{
    let mut s = Solo::publisher(default(2));
    s.invited(1, false);
    s.invited(2, false);
    s.invited(3, true);
    s.act(|i, now, ctx| i.set_capacity(now, 1, ctx));
    let (_, orders) = s.invited(1, false);
    assert_eq!(accepted(&orders), Some(false));
    assert_eq!(s.iptv.status(CHANNEL).unwrap().children, (2, 1));
}

/// The host has given the number of a child's call to three others as well.
#[test]
fn k8_a_second_call_under_a_number_that_is_in_use_is_none_and_frees_no_slot_of_the_first() {
    let mut s = Solo::publisher(default(1));
    let (call, _) = s.invited(1, false);
    let again = [
        Fact::Invited { channel: CHANNEL, call, peer: 2, urgent: true, moves: false, slots: Some(2) },
        Fact::StandbyInvited { channel: CHANNEL, call, peer: 2, slots: Some(2) },
        Fact::ControlInvited { channel: CHANNEL, call, peer: 2 },
    ];
    for again in again {
        assert_eq!(s.fact(again), []);
    }
    assert_eq!(s.iptv.status(CHANNEL).unwrap().children, (1, 0));
    assert_eq!(s.iptv.leases().count(), 0);
    let ended = s.fact(Fact::Ended { call, reason: ByeReason::Normal });
    assert!(ended.contains(&Order::Event(Event::ChildLeft { channel: CHANNEL, child: 1 })));
}
