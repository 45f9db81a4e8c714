//! What comes in: new packets, duplicates, strangers.

use super::*;

#[test]
fn a_new_packet_becomes_a_fact_with_the_buffer_that_came_in() {
    let mut b = Bench::viewer();
    let packet = rtp(SSRC, 1);
    let place = packet.as_ptr();
    assert_eq!(b.datagram(5, 1, packet.clone()), Ok(()));
    assert_eq!(b.facts, [first(CHANNEL, MOTHER), Fact::Packet { channel: CHANNEL, payload: packet }]);
    let Some(Fact::Packet { payload, .. }) = b.facts.pop() else { panic!() };
    assert_eq!(payload.as_ptr(), place);
    assert_eq!(b.relay.children(CHANNEL), [addr(9)]);
    assert_eq!((b.relay.last_media(CHANNEL), b.relay.last_from(MOTHER)), (Some(at(5)), Some(at(5))));
}

#[test]
fn of_two_parents_the_faster_one_counts_and_both_show_that_they_flow() {
    let mut b = Bench::viewer();
    assert_eq!(b.datagram(0, 1, rtp(SSRC, 1)), Ok(()));
    assert_eq!(b.datagram(3, 2, rtp(SSRC, 1)), Err(DropReason::Duplicate));
    assert_eq!(b.facts, [first(CHANNEL, FATHER)]);
    assert_eq!(b.relay.last_from(FATHER), Some(at(3)));
    assert_eq!(b.relay.last_media(CHANNEL), Some(at(0)));
    assert_eq!(b.datagram(4, 2, rtp(SSRC, 2)), Ok(()));
    assert_eq!(b.facts.len(), 1, "the first packet is told once");
    assert_eq!((b.relay.highest(CHANNEL), b.relay.highest(OTHER)), (Some(2), None));
    assert_eq!(b.datagram(5, 1, rtp(SSRC, 2)), Err(DropReason::Duplicate));
    assert_eq!(b.facts, []);
    let sequence = b.relay.counters(CHANNEL).unwrap().sequence;
    assert_eq!((sequence.received, sequence.duplicates, sequence.lost), (2, 2, 0));
}

#[test]
fn what_a_parent_brings_counts_once_and_in_its_own_order() {
    let mut b = Bench::viewer();
    let brought = |b: &Bench| (b.relay.brought(MOTHER), b.relay.brought(FATHER));
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    assert_eq!(brought(&b), (1, 0));
    // Not new here, but further on than anything that he has sent.
    b.datagram(1, 2, rtp(SSRC, 1)).unwrap_err();
    assert_eq!(brought(&b), (1, 1));
    for again in [rtp(SSRC, 1), sr(SSRC, 1 << 32, &[]), notice(SSRC, Hold::Starved)] {
        let _ = b.datagram(2, 2, again);
        assert_eq!((brought(&b), b.relay.last_from(FATHER)), ((1, 1), Some(at(2))));
        assert_eq!(b.relay.last_brought(FATHER), Some(at(1)));
    }
    b.datagram(3, 1, rtp(SSRC, 3)).unwrap();
    b.datagram(4, 1, rtp(SSRC, 2)).unwrap();
    b.datagram(5, 2, rtp(SSRC, 3)).unwrap_err();
    assert_eq!(brought(&b), (2, 2));
    // A source that begins anew has smaller numbers.
    let _ = b.datagram(1000, 1, rtp(0xbbbb, 7));
    b.datagram(1001, 1, rtp(0xbbbb, 8)).unwrap();
    b.datagram(1002, 2, rtp(0xbbbb, 8)).unwrap_err();
    assert_eq!(brought(&b), (3, 3));
}

#[test]
fn a_parent_that_lags_behind_the_window_is_alive_but_does_not_flow() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 5000)).unwrap();
    assert_eq!(b.datagram(1, 2, rtp(SSRC, 3900)), Err(DropReason::TooOld));
    assert_eq!((b.facts.len(), b.relay.last_from(FATHER)), (0, Some(at(1))));
    assert_eq!(b.datagram(2, 2, rtp(SSRC, 40_000)), Err(DropReason::SequenceJump));
}

#[test]
fn media_of_strangers_of_children_and_of_former_parents_is_dropped() {
    let mut b = Bench::viewer();
    assert_eq!(b.datagram(0, 77, rtp(SSRC, 1)), Err(DropReason::UnknownSender));
    assert_eq!(b.datagram(0, 9, rtp(SSRC, 1)), Err(DropReason::UnknownSender));
    b.relay.remove_parent(MOTHER);
    assert_eq!(b.datagram(0, 1, rtp(SSRC, 1)), Err(DropReason::UnknownSender));
    let other_port = SocketAddr::from(([10, 0, 0, 2], 5005));
    let mut fx = Effects::new();
    let result = b.relay.handle_datagram(at(0), other_port, rtp(SSRC, 1), &mut fx);
    assert_eq!(result, Err(DropReason::UnknownSender));
    assert_eq!(b.relay.ssrc(CHANNEL), None);
}

#[test]
fn what_is_neither_rtp_nor_rtcp_is_dropped() {
    let mut b = Bench::viewer();
    for noise in [&b""[..], &[0x80], &[0; 40], &[0x80, 72], &[0x80, 33, 0, 1], &[0x80, 201, 0, 9]] {
        assert_eq!(b.datagram(0, 1, Bytes::copy_from_slice(noise)), Err(DropReason::NotRtp), "{noise:?}");
    }
}

#[test]
fn k8_a_datagram_above_the_limit_is_dropped() {
    let mut b = Bench::viewer();
    let mut packet = vec![0; 1501];
    packet[..12].copy_from_slice(&rtp(SSRC, 1)[..12]);
    assert_eq!(b.datagram(0, 1, Bytes::from(packet.clone())), Err(DropReason::TooLarge));
    packet.pop();
    assert_eq!(b.datagram(0, 1, packet.into()), Ok(()));
}
