//! Which stream is the channel's, and what becomes of it.

use super::*;

#[test]
fn channels_of_one_parent_are_told_apart_by_their_announced_sources() {
    let mut b = Bench::new(Limits::default());
    for (channel, call, ssrc) in [(CHANNEL, MOTHER, 11), (OTHER, FATHER, 22)] {
        b.relay.open(channel, Role::Viewer).unwrap();
        b.add_parent(at(0), call, channel, addr(1), Some(ssrc)).unwrap();
    }
    assert_eq!(b.datagram(0, 1, rtp(22, 1)), Ok(()));
    assert_eq!(b.facts[0], first(OTHER, FATHER));
    assert_eq!(b.datagram(0, 1, rtp(11, 1)), Ok(()));
    assert_eq!(b.facts[0], first(CHANNEL, MOTHER));
    // The same sequence number in both was no duplicate; and the parent's two calls live their own lives.
    assert_eq!(b.datagram(9, 1, rtp(22, 2)), Ok(()));
    assert_eq!((b.relay.last_from(MOTHER), b.relay.last_from(FATHER)), (Some(at(0)), Some(at(9))));
}

#[test]
fn an_unknown_source_is_adopted_where_exactly_one_channel_of_the_parent_has_none() {
    let mut b = Bench::two_channels();
    assert_eq!(b.datagram(0, 1, rtp(11, 1)), Err(DropReason::UnknownSsrc));
    b.add_parent(at(0), CallId::placed(3), OTHER, addr(3), Some(22)).unwrap();
    assert_eq!(b.datagram(0, 1, rtp(11, 1)), Ok(()));
    assert_eq!((b.relay.ssrc(CHANNEL), b.relay.ssrc(OTHER)), (Some(11), Some(22)));
    assert_eq!(b.datagram(0, 1, rtp(33, 1)), Err(DropReason::UnknownSsrc));
}

#[test]
fn an_encoder_that_starts_again_takes_over_with_two_packets_after_a_silence() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    assert_eq!(b.datagram(100, 1, rtp(0xbbbb, 7)), Err(DropReason::UnknownSsrc));
    assert_eq!(b.datagram(150, 1, rtp(0xbbbb, 8)), Err(DropReason::UnknownSsrc), "too early");
    assert_eq!(b.datagram(200, 1, rtp(0xbbbb, 9)), Err(DropReason::UnknownSsrc), "the first of two");
    assert_eq!(b.datagram(201, 1, rtp(0xbbbb, 10)), Ok(()));
    assert_eq!(b.relay.ssrc(CHANNEL), Some(0xbbbb));
    // What is still under way of the old source, through the other parent, changes nothing.
    assert_eq!(b.datagram(202, 2, rtp(SSRC, 2)), Err(DropReason::UnknownSsrc));
    assert_eq!(b.datagram(203, 2, rtp(SSRC, 3)), Err(DropReason::UnknownSsrc));
    assert_eq!(b.datagram(204, 1, rtp(0xbbbb, 11)), Ok(()));
    let sequence = b.relay.counters(CHANNEL).unwrap().sequence;
    assert_eq!((sequence.received, sequence.lost, sequence.restarts), (3, 0, 1));
}

/// 160 packets a second for ten seconds.
fn played(b: &mut Bench) {
    for n in 0..1600u16 {
        b.datagram(u64::from(n) * 25 / 4, 1, rtp_at(u32::from(n) * 1125 / 2, SSRC, n)).unwrap();
    }
}

/// Two more packets after a silence, the first of them `missing` numbers after the last.
fn went_on(b: &mut Bench, seconds: u64, missing: u16) {
    for n in 0..2 {
        let packet = rtp_at((10 + seconds as u32) * 90_000, SSRC, 1600 + missing + n);
        b.datagram((10 + seconds) * 1000, 1, packet).ok();
    }
}

#[test]
fn all_that_a_source_sent_in_a_silence_of_fifty_seconds_is_lost_and_reported_up() {
    let mut b = Bench::viewer();
    played(&mut b);
    went_on(&mut b, 50, 8000);
    let sequence = b.relay.counters(CHANNEL).unwrap().sequence;
    // The first packet after it was not believed.
    assert_eq!((sequence.received, sequence.lost, sequence.restarts), (1601, 8001, 0));
    assert!(sequence.longest_gap >= Duration::from_secs(50));
    b.timeout(at(61_000), &mut Seeded::new(1));
    let packets = rtcp::parse(&b.sends[0].1).unwrap();
    let Some(rtcp::Packet::ReceiverReport { blocks, .. }) = packets.first() else { panic!() };
    assert_eq!(blocks.iter().next().map(|b| (b.cumulative_lost, b.highest)), Some((8001, 9601)));
}

#[test]
fn while_a_source_pauses_nothing_is_lost_however_long_it_is() {
    // Two packets are missing after seven minutes; without the pause it is a round of sequence numbers more, and one
    // more that was not believed.
    for (hold, lost) in [(Hold::Paused, 2), (Hold::Starved, (1 << 16) + 3)] {
        let mut b = Bench::viewer();
        played(&mut b);
        b.datagram(10_500, 1, notice(SSRC, hold)).unwrap();
        went_on(&mut b, 410, 2);
        let sequence = b.relay.counters(CHANNEL).unwrap().sequence;
        assert_eq!((sequence.lost, sequence.restarts), (lost, 0), "{hold:?}");
    }
}

#[test]
fn a_source_that_is_heard_cannot_be_displaced() {
    let mut b = Bench::viewer();
    for n in 0..100u16 {
        b.datagram(u64::from(n) * 10, 1, rtp(SSRC, n)).unwrap();
        assert_eq!(b.datagram(u64::from(n) * 10, 2, rtp(0xbbbb, n)), Err(DropReason::UnknownSsrc));
    }
}

#[test]
fn after_a_goodbye_the_next_source_need_not_wait() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    assert_eq!(b.datagram(1, 1, goodbye(0x1111)), Err(DropReason::UnknownSsrc), "somebody else's");
    assert_eq!(b.datagram(1, 1, goodbye(SSRC)), Ok(()));
    assert_eq!(b.datagram(2, 1, rtp(0xbbbb, 7)), Err(DropReason::UnknownSsrc));
    assert_eq!(b.datagram(3, 1, rtp(0xbbbb, 8)), Ok(()));
    // The goodbye was the old source's only.
    assert_eq!(b.datagram(4, 1, rtp(0xcccc, 1)), Err(DropReason::UnknownSsrc));
    assert_eq!(b.datagram(5, 1, rtp(0xcccc, 2)), Err(DropReason::UnknownSsrc));
}

#[test]
fn of_two_channels_the_silent_one_takes_the_new_source() {
    let mut b = Bench::two_channels();
    b.add_parent(at(0), CallId::placed(3), CHANNEL, addr(3), Some(11)).unwrap();
    b.datagram(0, 1, rtp(11, 1)).unwrap();
    b.datagram(0, 1, rtp(22, 1)).unwrap();
    b.datagram(500, 1, rtp(22, 2)).unwrap();
    assert_eq!(b.datagram(501, 1, rtp(12, 1)), Err(DropReason::UnknownSsrc));
    assert_eq!(b.datagram(502, 1, rtp(12, 2)), Ok(()));
    assert_eq!((b.relay.ssrc(CHANNEL), b.relay.ssrc(OTHER)), (Some(12), Some(22)));
}

#[test]
fn an_announced_source_yields_to_the_one_that_is_heard() {
    let mut b = Bench::viewer();
    b.datagram(1000, 1, rtp(SSRC, 1)).unwrap();
    b.add_parent(at(1100), CallId::placed(3), CHANNEL, addr(3), Some(0xbbbb)).unwrap();
    assert_eq!(b.relay.ssrc(CHANNEL), Some(SSRC));
    b.add_parent(at(1200), CallId::placed(4), CHANNEL, addr(4), Some(0xbbbb)).unwrap();
    assert_eq!(b.relay.ssrc(CHANNEL), Some(0xbbbb));
    assert_eq!(b.datagram(1200, 4, rtp(0xbbbb, 500)), Ok(()));
}

#[test]
fn a_source_that_is_gone_has_to_confirm_itself_again() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    b.datagram(300, 1, rtp(0xbbbb, 7)).unwrap_err();
    b.datagram(301, 1, rtp(0xbbbb, 8)).unwrap();
    b.add_parent(at(600), CallId::placed(3), CHANNEL, addr(3), Some(SSRC)).unwrap();
    assert_eq!(b.datagram(601, 1, rtp(0xbbbb, 8)), Err(DropReason::UnknownSsrc));
    assert_eq!(b.datagram(602, 3, rtp(SSRC, 2)), Ok(()));
}

#[test]
fn what_the_source_pushes_goes_out_unchanged() {
    let mut b = source();
    let packet = rtp(SSRC, 65_535);
    assert_eq!(b.push(10, packet.clone()), Ok(()));
    assert_eq!(b.facts, [Fact::Packet { channel: CHANNEL, payload: packet }]);
    assert_eq!((b.relay.ssrc(CHANNEL), b.relay.last_media(CHANNEL)), (Some(SSRC), Some(at(10))));
    assert_eq!(b.push(11, rtp(SSRC, 0)), Ok(()));
    assert_eq!(b.push(11, rtp(SSRC, 0)), Err(RelayError::OutOfSequence));
    assert_eq!(b.facts, []);
}

#[test]
fn the_sources_own_encoder_may_change_its_ssrc_at_any_time() {
    let mut b = source();
    b.push(0, rtp(SSRC, 5)).unwrap();
    b.push(0, rtp(0xbbbb, 5)).unwrap();
    assert_eq!(b.relay.ssrc(CHANNEL), Some(0xbbbb));
}

#[test]
fn the_source_pushes_rtp_only() {
    let mut b = source();
    let mut blocked_type = Vec::from(rtp(SSRC, 1));
    blocked_type[1] = 72;
    for wrong in [Bytes::new(), sr(SSRC, 1, &[]), blocked_type.into(), rtp(SSRC, 1).slice(..11)] {
        assert_eq!(b.push(0, wrong), Err(RelayError::NotRtp));
    }
    let large = [&rtp(SSRC, 1)[..], &[0; 1400]].concat();
    assert_eq!(b.push(0, large.into()), Err(RelayError::TooLarge));
    let mut fx = Effects::new();
    assert_eq!(b.relay.push(at(0), OTHER, rtp(SSRC, 1), &mut fx), Err(RelayError::UnknownChannel));
}
