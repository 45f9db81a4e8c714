//! Who is served.

use super::*;

#[test]
fn a_packet_never_goes_back_to_where_it_may_have_come_from() {
    let mut b = Bench::viewer();
    b.add_child(CallId::received(2), CHANNEL, addr(1)).unwrap();
    assert_eq!(b.relay.children(CHANNEL), [addr(9)]);
    b.relay.remove_parent(MOTHER);
    assert_eq!(b.relay.children(CHANNEL), [addr(1), addr(9)]);
    b.add_parent(at(0), MOTHER, CHANNEL, addr(9), None).unwrap();
    assert_eq!(b.relay.children(CHANNEL), [addr(1)]);
}

#[test]
fn a_parent_on_one_channel_may_be_a_child_on_another() {
    let mut b = Bench::viewer();
    b.relay.open(OTHER, Role::Source).unwrap();
    b.add_child(CallId::received(2), OTHER, addr(1)).unwrap();
    assert_eq!((b.relay.children(CHANNEL), b.relay.children(OTHER)), (&[addr(9)][..], &[addr(1)][..]));
}

#[test]
fn two_calls_of_one_child_are_served_once_until_both_end() {
    let mut b = Bench::viewer();
    let again = CallId::received(2);
    b.add_child(again, CHANNEL, addr(9)).unwrap();
    assert_eq!(b.relay.children(CHANNEL), [addr(9)]);
    b.relay.remove_child(CHILD);
    assert_eq!(b.relay.children(CHANNEL), [addr(9)]);
    b.relay.remove_child(again);
    assert_eq!(b.relay.children(CHANNEL), []);
    b.relay.remove_child(again);
}

#[test]
fn a_closed_channel_leaves_nothing_behind() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    b.relay.close(CHANNEL);
    b.relay.close(CHANNEL);
    assert_eq!(b.datagram(0, 1, rtp(SSRC, 2)), Err(DropReason::UnknownSender));
    assert_eq!(b.datagram(0, 9, report(&[SSRC], 0)), Err(DropReason::UnknownSender));
    assert_eq!((b.relay.deadline(), b.relay.counters(CHANNEL)), (None, None));
    b.relay.open(CHANNEL, Role::Source).unwrap();
    assert_eq!((b.relay.children(CHANNEL), b.relay.ssrc(CHANNEL)), (&[][..], None));
    b.add_child(CHILD, CHANNEL, addr(9)).unwrap();
}

#[test]
fn a_callers_mistakes_are_returned_and_change_nothing() {
    let mut b = Bench::viewer();
    let unused = CallId::placed(50);
    assert_eq!(b.relay.open(CHANNEL, Role::Source), Err(RelayError::ChannelInUse));
    assert_eq!(b.add_child(unused, OTHER, addr(5)), Err(RelayError::UnknownChannel));
    assert_eq!(b.add_parent(at(0), unused, OTHER, addr(5), None), Err(RelayError::UnknownChannel));
    assert_eq!(b.add_parent(at(0), MOTHER, CHANNEL, addr(5), None), Err(RelayError::CallInUse));
    assert_eq!(b.add_parent(at(0), CHILD, CHANNEL, addr(5), None), Err(RelayError::CallInUse));
    assert_eq!(b.add_child(CHILD, CHANNEL, addr(5)), Err(RelayError::CallInUse));
    assert_eq!(b.add_child(MOTHER, CHANNEL, addr(5)), Err(RelayError::CallInUse));
    b.relay.open(OTHER, Role::Source).unwrap();
    assert_eq!(b.add_parent(at(0), unused, OTHER, addr(5), None), Err(RelayError::WrongRole));
    assert_eq!(b.push(0, rtp(SSRC, 1)), Err(RelayError::WrongRole));
    assert_eq!(b.relay.children(CHANNEL), [addr(9)]);
}

#[test]
fn k8_every_table_has_its_limit() {
    let mut b = Bench::new(Limits { channels: 1, parents: 2, children: 2, ..Limits::default() });
    b.relay.open(CHANNEL, Role::Viewer).unwrap();
    assert_eq!(b.relay.open(OTHER, Role::Viewer), Err(RelayError::Full("channels")));
    for n in 0..2 {
        b.add_parent(at(0), CallId::placed(n), CHANNEL, addr(1), None).unwrap();
        b.add_child(CallId::received(n), CHANNEL, addr(9)).unwrap();
    }
    let (parent, child) = (CallId::placed(2), CallId::received(2));
    assert_eq!(b.add_parent(at(0), parent, CHANNEL, addr(3), Some(5)), Err(RelayError::Full("parents")),);
    assert_eq!(b.relay.ssrc(CHANNEL), None, "a refused parent announces nothing");
    assert_eq!(b.add_child(child, CHANNEL, addr(3)), Err(RelayError::Full("children")));
    b.relay.remove_parent(CallId::placed(0));
    b.add_parent(at(0), parent, CHANNEL, addr(3), None).unwrap();
}
