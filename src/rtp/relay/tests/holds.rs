//! Those who say that they have nothing.

use super::*;

#[test]
fn a_hold_goes_to_every_child_and_is_heard_there() {
    for hold in [Hold::Starved, Hold::Paused] {
        let mut parent = source();
        parent.add_child(CallId::received(2), CHANNEL, addr(8)).unwrap();
        parent.push(0, rtp(SSRC, 5)).unwrap();
        parent.hold(hold);
        assert_eq!(parent.receivers(), [addr(8), addr(9)]);

        let mut child = Bench::viewer();
        child.datagram(0, 1, rtp(SSRC, 5)).unwrap();
        let (_, datagram) = parent.sends.pop().unwrap();
        assert_eq!(child.datagram(77, 1, datagram), Ok(()));
        assert_eq!(child.facts, [Fact::Held { channel: CHANNEL, call: MOTHER, hold }]);
        assert_eq!(child.relay.last_from(MOTHER), Some(at(77)));
        assert_eq!((child.relay.last_media(CHANNEL), child.relay.last_from(FATHER)), (Some(at(0)), None));
        assert_eq!(child.sends, [], "a hold goes one hop");
    }
}

#[test]
fn a_hold_without_children_or_channel_says_nothing() {
    let mut b = source();
    b.relay.remove_child(CHILD);
    b.hold(Hold::Starved);
    assert_eq!(b.sends, []);
    b.relay.close(CHANNEL);
    b.hold(Hold::Starved);
    assert_eq!(b.sends, []);
}

#[test]
fn a_hold_of_a_parent_that_has_no_media_yet_is_for_the_calls_that_wait_for_some() {
    let held = |channel, call| Fact::Held { channel, call, hold: Hold::Starved };
    let mut b = Bench::two_channels();
    b.datagram(0, 1, notice(0, Hold::Starved)).unwrap();
    assert_eq!(b.facts, [held(CHANNEL, MOTHER), held(OTHER, FATHER)]);

    b.add_parent(at(0), CallId::placed(3), CHANNEL, addr(3), Some(11)).unwrap();
    b.datagram(1, 1, rtp(11, 1)).unwrap();
    b.datagram(2, 1, notice(0, Hold::Starved)).unwrap();
    assert_eq!(b.facts, [held(OTHER, FATHER)]);

    b.datagram(3, 1, rtp(22, 1)).unwrap();
    assert_eq!(b.datagram(4, 1, notice(0, Hold::Starved)), Err(DropReason::UnknownSsrc));
    b.datagram(5, 1, notice(22, Hold::Starved)).unwrap();
    assert_eq!(b.facts, [held(OTHER, FATHER)]);
    assert_eq!(b.relay.last_from(MOTHER), Some(at(1)));
}

#[test]
fn a_hold_about_an_unknown_source_is_for_the_only_channel_of_its_parent() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    assert_eq!(b.datagram(1, 1, notice(0xbbbb, Hold::Paused)), Ok(()));
    assert_eq!(b.facts, [Fact::Held { channel: CHANNEL, call: MOTHER, hold: Hold::Paused }]);
}

#[test]
fn only_parents_can_hold() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    assert_eq!(b.datagram(1, 77, notice(SSRC, Hold::Paused)), Err(DropReason::UnknownSender));
    // A child's datagram counts as its report, for it starts with one, and as nothing else.
    assert_eq!(b.datagram(1, 9, notice(SSRC, Hold::Paused)), Ok(()));
    assert_eq!(b.facts, []);
}
