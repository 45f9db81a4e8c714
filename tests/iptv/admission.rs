//! Who is let in, and who is sent on.

use super::*;

impl Solo {
    fn calls(&mut self, n: u32, urgent: bool, slots: u16) -> VecDeque<Order<u32>> {
        let (call, peer) = (CallId::received(n), 20 + n);
        self.fact(Fact::Invited { channel: CHANNEL, call, peer, urgent, slots: Some(slots) })
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

#[test]
fn q18_a_control_dialog_is_taken_from_the_elector_and_from_nobody_else() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let invite = |s: &mut Solo, n, peer| {
        let call = CallId::received(n);
        let orders = s.fact(Fact::ControlInvited { channel: CHANNEL, call, peer });
        has(&orders, |o| matches!(o, Order::Accept { call: c, .. } if *c == call))
    };
    assert_eq!([invite(&mut s, 50, 8), invite(&mut s, 51, 9)], [false, true], "a candidate knows the source");
    s.reported(parent, Report::SelectedRelayer { register: true });
    assert_eq!([invite(&mut s, 52, 8), invite(&mut s, 53, 9)], [false, true], "a relayer its elector");
}

#[test]
fn q18_the_control_dialog_with_a_candidate_that_declines_ends() {
    let mut s = Solo::publisher(default(1));
    let (relayer, _) = s.invited(1, false);
    s.reported(relayer, Report::RelayerAccepted { free: 1 });
    let children = vec![Child { peer: 2, slots: Some(2), rescue: false }];
    let orders = s.reported(relayer, Report::FullCapacity { children });
    let control = placed(&orders, 2).expect("the next candidate is called");
    let orders = s.fact(Fact::Answered { call: control, depth: None, rescue: false });
    assert_eq!(selected(orders), [control]);
    let orders = s.reported(control, Report::RelayerDeclined);
    assert!(orders.contains(&Order::Bye { call: control, reason: ByeReason::Normal }), "{orders:?}");
    let orders = s.reported(relayer, Report::RelayerDeclined);
    assert!(!has(&orders, |o| matches!(o, Order::Bye { .. })), "a child stays one: {orders:?}");
}

#[test]
fn q8_that_a_relayer_is_ready_is_told_once() {
    let mut s = Solo::publisher(default(1));
    let (call, _) = s.invited(1, false);
    let ready = Order::Event(Event::RelayerReady { channel: CHANNEL, relayer: 1 });
    let reports = [Report::RelayerAccepted { free: 1 }, Report::Alive, Report::RelayerAccepted { free: 1 }];
    assert_eq!(reports.map(|report| s.reported(call, report).contains(&ready)), [true, false, false]);
}

#[test]
fn q8_only_a_relayer_whose_record_was_taken_is_told_so() {
    for (relays, ok) in [(true, true), (true, false), (false, true)] {
        let (mut s, parent) = Solo::viewer(default(2), 9);
        if relays {
            s.reported(parent, Report::SelectedRelayer { register: true });
        }
        let told = s.fact(Fact::Registered { channel: CHANNEL, ok });
        let registered = Order::Event(Event::Registered { channel: CHANNEL });
        assert_eq!(told.contains(&registered), relays && ok, "{relays} {ok}");
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
        while next.is_none() {
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
