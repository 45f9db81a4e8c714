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
