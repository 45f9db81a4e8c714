use super::*;
use crate::effect::Effect;
use crate::env::Seeded;
use crate::rtp::header::{Header, PayloadType};
use crate::rtp::rtcp::{self, Composer, Cover, Cue, Notice, ReportBlock};
use crate::rtp::srtcp::{MasterKey, Session};
use alloc::vec;
use alloc::vec::Vec;
use bytes::BufMut;

const CHANNEL: ChannelId = ChannelId(1);
const OTHER: ChannelId = ChannelId(2);
const SSRC: u32 = 0xaaaa;
const MOTHER: CallId = CallId::placed(1);
const FATHER: CallId = CallId::placed(2);
const CHILD: CallId = CallId::received(1);

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 5004))
}

fn rtp(ssrc: u32, sequence: u16) -> Bytes {
    rtp_at(0, ssrc, sequence)
}

fn rtp_at(timestamp: u32, ssrc: u32, sequence: u16) -> Bytes {
    let header = Header { marker: false, payload_type: PayloadType::MP2T, sequence, timestamp, ssrc };
    [&header.to_bytes()[..], &[0x47; 188]].concat().into()
}

/// An SR without blocks; the `more` that follows it is already a packet.
fn sr(ssrc: u32, ntp: u64, more: &[u8]) -> Bytes {
    let mut out = vec![0x80, 200, 0, 6];
    out.put_u32(ssrc);
    out.put_u64(ntp);
    out.put_bytes(0, 12);
    out.put_slice(more);
    out.into()
}

fn notice(ssrc: u32, hold: Hold) -> Bytes {
    Composer::receiver_report(7, &[]).cname("p").notice(Notice { hold, ssrc, highest: 0 }).finish()
}

fn report(ssrcs: &[u32], fraction_lost: u8) -> Bytes {
    let block = |&ssrc| ReportBlock { ssrc, fraction_lost, ..ReportBlock::default() };
    let blocks: Vec<ReportBlock> = ssrcs.iter().map(block).collect();
    Composer::receiver_report(8, &blocks).cname("c").finish()
}

fn goodbye(ssrc: u32) -> Bytes {
    Composer::receiver_report(ssrc, &[]).goodbye().finish()
}

/// A relay, and what it did during the last call.
struct Bench {
    relay: Relay,
    facts: Vec<Fact>,
    sends: Vec<(SocketAddr, Bytes)>,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let config = Config { ssrc: 0x5e1f, cname: "me@here".into(), limits };
        Bench { relay: Relay::new(config), facts: Vec::new(), sends: Vec::new() }
    }

    /// A viewer of `CHANNEL` with MOTHER at address 1, FATHER at 2, CHILD at 9.
    fn viewer() -> Self {
        let mut b = Bench::new(Limits::default());
        b.relay.open(CHANNEL, Role::Viewer).unwrap();
        b.add_parent(at(0), MOTHER, CHANNEL, addr(1), None).unwrap();
        b.add_parent(at(0), FATHER, CHANNEL, addr(2), None).unwrap();
        b.add_child(CHILD, CHANNEL, addr(9)).unwrap();
        b
    }

    /// Two channels from address 1, by MOTHER and FATHER.
    fn two_channels() -> Self {
        let mut b = Bench::new(Limits::default());
        b.relay.open(CHANNEL, Role::Viewer).unwrap();
        b.relay.open(OTHER, Role::Viewer).unwrap();
        b.add_parent(at(0), MOTHER, CHANNEL, addr(1), None).unwrap();
        b.add_parent(at(0), FATHER, OTHER, addr(1), None).unwrap();
        b
    }

    fn add_parent(
        &mut self,
        now: Instant,
        call: CallId,
        channel: ChannelId,
        addr: SocketAddr,
        ssrc: Option<u32>,
    ) -> Result<(), RelayError> {
        let mut fx = Effects::new();
        let result = self.relay.add_parent(now, call, channel, addr, ssrc, &mut fx);
        self.collect(fx);
        result
    }

    fn add_child(
        &mut self,
        call: CallId,
        channel: ChannelId,
        remote: impl Into<Remote>,
    ) -> Result<(), RelayError> {
        let mut fx = Effects::new();
        let result = self.relay.add_child(at(0), call, channel, remote, Start::Live, &mut fx);
        self.collect(fx);
        result
    }

    /// Gives an order that has effects.
    fn order(&mut self, order: impl FnOnce(&mut Relay, &mut Effects<Fact>)) {
        let mut fx = Effects::new();
        order(&mut self.relay, &mut fx);
        self.collect(fx);
    }

    /// The cues among what was sent.
    fn cues(&self) -> Vec<(SocketAddr, Cover, u32)> {
        let cue = |(to, datagram): &(SocketAddr, Bytes)| {
            let packets = rtcp::parse(datagram).ok()?;
            let Some(rtcp::Packet::Application(app)) = packets.last() else { return None };
            Cue::from_application(app).map(|cue| (*to, cue.cover, cue.highest))
        };
        self.sends.iter().filter_map(cue).collect()
    }

    fn collect(&mut self, mut fx: Effects<Fact>) {
        self.facts.clear();
        self.sends.clear();
        for effect in fx.drain() {
            match effect {
                Effect::Fact(fact) => self.facts.push(fact),
                Effect::Send { to, payload } => self.sends.push((to, payload)),
                other => panic!("{other:?}"),
            }
        }
    }

    fn datagram(&mut self, ms: u64, from: u8, payload: Bytes) -> Result<(), DropReason> {
        let mut fx = Effects::new();
        let result = self.relay.handle_datagram(at(ms), addr(from), payload, &mut fx);
        self.collect(fx);
        result
    }

    fn push(&mut self, ms: u64, packet: Bytes) -> Result<(), RelayError> {
        let mut fx = Effects::new();
        let result = self.relay.push(at(ms), CHANNEL, packet, &mut fx);
        self.collect(fx);
        result
    }

    fn hold(&mut self, hold: Hold) {
        let mut fx = Effects::new();
        self.relay.hold(CHANNEL, hold, &mut fx);
        self.collect(fx);
    }

    fn timeout(&mut self, now: Instant, entropy: &mut Seeded) {
        let mut fx = Effects::new();
        self.relay.handle_timeout(now, entropy, &mut fx);
        self.collect(fx);
    }

    fn receivers(&self) -> Vec<SocketAddr> {
        self.sends.iter().map(|(to, _)| *to).collect()
    }
}

fn first(channel: ChannelId, call: CallId) -> Fact {
    Fact::FirstPacket { channel, call }
}

// Media.

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

// Sources.

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

// Who is served.

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

// The source.

fn source() -> Bench {
    let mut b = Bench::new(Limits::default());
    b.relay.open(CHANNEL, Role::Source).unwrap();
    b.add_child(CHILD, CHANNEL, addr(9)).unwrap();
    b
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

// Holds.

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

// Reports.

#[test]
fn k11_receiver_reports_leave_at_once_and_then_every_second_give_or_take_a_tenth() {
    let mut b = Bench::new(Limits::default());
    b.relay.open(CHANNEL, Role::Viewer).unwrap();
    for (call, n) in [(MOTHER, 1), (FATHER, 2)] {
        b.add_parent(at(0), call, CHANNEL, addr(n), None).unwrap();
        assert_eq!(b.receivers(), [addr(n)]);
        let packets = rtcp::parse(&b.sends[0].1).unwrap();
        assert!(matches!(packets.first(), Some(rtcp::Packet::ReceiverReport { ssrc: 0x5e1f, .. })));
    }
    let mut entropy = Seeded::new(3);
    assert_eq!(b.relay.deadline(), Some(at(1000)));
    let mut intervals = Vec::new();
    for _ in 0..200 {
        let due = b.relay.deadline().unwrap();
        b.timeout(due, &mut entropy);
        assert_eq!(b.receivers(), [addr(1), addr(2)]);
        let next = b.relay.deadline().unwrap();
        intervals.push(next.since(due).as_micros());
    }
    assert!(intervals.iter().all(|us| (900_000..=1_100_000).contains(us)));
    assert!(intervals.iter().any(|us| *us < 950_000) && intervals.iter().any(|us| *us > 1_050_000));
}

#[test]
fn k1_k12_an_early_wake_up_does_nothing_and_a_late_one_reports_once() {
    let mut b = Bench::viewer();
    let mut entropy = Seeded::new(3);
    b.timeout(at(1000), &mut entropy);
    let due = b.relay.deadline().unwrap();
    b.timeout(due - Duration::from_micros(1), &mut entropy);
    assert_eq!((b.sends.len(), b.relay.deadline()), (0, Some(due)));
    b.timeout(at(60_000), &mut entropy);
    assert_eq!(b.sends.len(), 2);
    assert!(b.relay.deadline().unwrap() > at(60_000));
}

#[test]
fn without_parents_there_is_nothing_to_wait_for() {
    let mut b = Bench::viewer();
    b.relay.remove_parent(MOTHER);
    assert!(b.relay.deadline().is_some());
    b.relay.remove_parent(FATHER);
    assert_eq!(b.relay.deadline(), None);
    b.timeout(at(5000), &mut Seeded::new(1));
    assert_eq!(b.sends, []);
}

#[test]
fn one_report_for_each_parent_address_tells_of_all_its_channels() {
    let mut b = Bench::new(Limits::default());
    for (channel, call, ssrc) in [(CHANNEL, MOTHER, 11), (OTHER, FATHER, 22)] {
        b.relay.open(channel, Role::Viewer).unwrap();
        b.add_parent(at(0), call, channel, addr(1), Some(ssrc)).unwrap();
    }
    b.add_parent(at(0), CallId::placed(3), OTHER, addr(2), None).unwrap();
    for n in [1, 2, 4] {
        b.datagram(0, 1, rtp(11, n)).unwrap();
        b.datagram(0, 1, rtp(22, n / 2)).unwrap();
    }
    b.timeout(at(1010), &mut Seeded::new(1));
    assert_eq!(b.receivers(), [addr(1), addr(2)]);
    let blocks: Vec<Vec<(u32, u8, u32)>> = b
        .sends
        .iter()
        .map(|(_, datagram)| {
            let packets = rtcp::parse(datagram).unwrap();
            let [
                rtcp::Packet::ReceiverReport { ssrc: 0x5e1f, blocks },
                rtcp::Packet::SourceDescription(sdes),
            ] = packets.as_slice()
            else {
                panic!("{packets:?}")
            };
            assert_eq!(sdes.cnames().next(), Some((0x5e1f, &b"me@here"[..])));
            blocks.iter().map(|block| (block.ssrc, block.fraction_lost, block.highest)).collect()
        })
        .collect();
    assert_eq!(blocks, [vec![(11, 64, 4), (22, 0, 2)], vec![(22, 0, 2)]]);
}

#[test]
fn more_channels_than_a_report_can_count_go_into_the_next_datagram() {
    let mut b = Bench::new(Limits::default());
    for n in 0..40u16 {
        b.relay.open(ChannelId(n), Role::Viewer).unwrap();
        let call = CallId::placed(n.into());
        b.add_parent(at(0), call, ChannelId(n), addr(1), Some(n.into())).unwrap();
        b.datagram(0, 1, rtp(n.into(), 5)).unwrap();
    }
    b.timeout(at(1000), &mut Seeded::new(1));
    assert_eq!(b.receivers(), [addr(1), addr(1)]);
    let mut parent = Bench::new(Limits::default());
    for n in 0..40u16 {
        parent.relay.open(ChannelId(n), Role::Viewer).unwrap();
        parent.add_parent(at(0), CallId::placed(n.into()), ChannelId(n), addr(3), Some(n.into())).unwrap();
        parent.add_child(CallId::received(n.into()), ChannelId(n), addr(9)).unwrap();
    }
    for (_, datagram) in core::mem::take(&mut b.sends) {
        parent.datagram(1000, 9, datagram).unwrap();
    }
    assert!((0..40).all(|n| parent.relay.last_report(CallId::received(n)) == Some(at(1000))));
}

#[test]
fn a_childs_report_shows_that_it_lives_and_what_it_lacks() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    assert_eq!((b.relay.last_report(CHILD), b.relay.reported_loss(CHILD)), (None, None));
    assert_eq!(b.datagram(500, 9, report(&[SSRC], 12)), Ok(()));
    assert_eq!((b.relay.last_report(CHILD), b.relay.reported_loss(CHILD)), (Some(at(500)), Some(12)));
    // An empty report is a sign of life too.
    assert_eq!(b.datagram(600, 9, report(&[], 0)), Ok(()));
    assert_eq!((b.relay.last_report(CHILD), b.relay.reported_loss(CHILD)), (Some(at(600)), Some(12)));
    assert_eq!((b.facts.len(), b.sends.len()), (0, 0), "reports stay hop by hop");
}

#[test]
fn a_report_about_one_channel_is_silent_about_another_of_the_same_child() {
    let mut b = Bench::two_channels();
    let third = ChannelId(3);
    b.relay.open(third, Role::Viewer).unwrap();
    b.add_parent(at(0), CallId::placed(3), CHANNEL, addr(3), Some(11)).unwrap();
    b.datagram(0, 1, rtp(11, 1)).unwrap();
    b.datagram(0, 1, rtp(22, 1)).unwrap();
    let calls = [1, 2, 3].map(CallId::received);
    for (call, channel) in calls.into_iter().zip([CHANNEL, OTHER, third]) {
        b.add_child(call, channel, addr(9)).unwrap();
    }
    b.datagram(10, 9, report(&[11], 3)).unwrap();
    // The third channel has no source that the child could name.
    assert_eq!(calls.map(|call| b.relay.last_report(call)), [Some(at(10)), None, Some(at(10))]);
    assert_eq!(calls.map(|call| b.relay.reported_loss(call)), [Some(3), None, None]);
    b.datagram(20, 9, report(&[99], 0)).unwrap();
    assert_eq!(calls.map(|call| b.relay.last_report(call)), [Some(at(20)); 3]);
}

#[test]
fn reports_of_strangers_and_of_mere_parents_are_dropped() {
    let mut b = Bench::viewer();
    assert_eq!(b.datagram(0, 77, report(&[SSRC], 0)), Err(DropReason::UnknownSender));
    assert_eq!(b.datagram(0, 1, report(&[SSRC], 0)), Err(DropReason::UnknownSsrc));
    assert_eq!(b.relay.last_from(MOTHER), None);
}

#[test]
fn a_sender_report_of_the_source_goes_down_once_and_intact() {
    let mut b = Bench::viewer();
    b.add_child(CallId::received(2), CHANNEL, addr(2)).unwrap();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    let datagram = sr(SSRC, 100 << 32, &[]);
    assert_eq!(b.datagram(5, 1, datagram.clone()), Ok(()));
    assert_eq!(b.sends, [(addr(9), datagram.clone())], "and not to address 2, which is a parent");
    assert_eq!(b.relay.last_from(MOTHER), Some(at(5)));
    // The same through the other parent, and an older one that went in a circle.
    assert_eq!(b.datagram(6, 2, datagram), Ok(()));
    assert_eq!((b.sends.len(), b.relay.last_from(FATHER)), (0, Some(at(6))));
    assert_eq!(b.datagram(7, 2, sr(SSRC, 99 << 32, &[])), Ok(()));
    assert_eq!(b.sends, []);
    b.datagram(8, 2, sr(SSRC, 101 << 32, &[])).unwrap();
    assert_eq!(b.sends.len(), 1);
}

#[test]
fn a_sender_report_of_anybody_else_stays_here() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    assert_eq!(b.datagram(1, 1, sr(0xbbbb, 1, &[])), Err(DropReason::UnknownSsrc));
    assert_eq!(b.datagram(1, 77, sr(SSRC, 1, &[])), Err(DropReason::UnknownSender));
    // A child's counts as its report.
    assert_eq!(b.datagram(1, 9, sr(SSRC, 1, &[])), Ok(()));
    assert_eq!(b.sends, []);
}

#[test]
fn a_sender_report_with_a_notice_stays_here() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    let paused = notice(SSRC, Hold::Paused);
    assert_eq!(b.datagram(1, 1, sr(SSRC, 1, &paused)), Ok(()));
    assert_eq!((b.facts.len(), b.sends.len()), (1, 0));
}

#[test]
fn the_last_sender_report_comes_back_in_the_receiver_report() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    b.datagram(1000, 1, sr(SSRC, 0x1111_2222_3333_4444, &[])).unwrap();
    b.timeout(at(1500), &mut Seeded::new(1));
    let packets = rtcp::parse(&b.sends[0].1).unwrap();
    let Some(rtcp::Packet::ReceiverReport { blocks, .. }) = packets.first() else { panic!() };
    let block = blocks.iter().next().unwrap();
    assert_eq!((block.last_sr, block.delay_since_last_sr), (0x2222_3333, 1 << 15));
}

#[test]
fn the_sender_reports_of_a_new_source_start_anew() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    b.datagram(0, 1, sr(SSRC, 100 << 32, &[])).unwrap();
    b.datagram(300, 1, rtp(0xbbbb, 7)).unwrap_err();
    b.datagram(301, 1, rtp(0xbbbb, 8)).unwrap();
    b.timeout(at(1000), &mut Seeded::new(1));
    let (_, report) = b.sends[0].clone();
    let packets = rtcp::parse(&report).unwrap();
    let Some(rtcp::Packet::ReceiverReport { blocks, .. }) = packets.first() else { panic!() };
    let block = blocks.iter().next().unwrap();
    assert_eq!((block.ssrc, block.last_sr, block.delay_since_last_sr), (0xbbbb, 0, 0));
    // Its clock may be behind the one of the old source.
    b.datagram(1100, 1, sr(0xbbbb, 50 << 32, &[])).unwrap();
    assert_eq!(b.receivers(), [addr(9)]);
}

// Standbys.

const STANDBY: CallId = CallId::placed(5);

/// A viewer of `CHANNEL` from MOTHER with CHILD, and with a standby at address 5.
fn with_standby() -> Bench {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    b.order(|relay, fx| relay.add_standby_parent(at(0), STANDBY, CHANNEL, addr(5), fx).unwrap());
    assert_eq!(b.receivers(), [addr(5)], "its first report");
    b
}

/// A source with a standby for the child at address 9.
fn with_lease() -> Bench {
    let mut b = source();
    b.relay.remove_child(CHILD);
    b.push(0, rtp(SSRC, 1)).unwrap();
    b.relay.add_standby_child(CHILD, CHANNEL, addr(9)).unwrap();
    b
}

fn cue(cover: Cover, ssrc: u32, highest: u32) -> Bytes {
    Composer::receiver_report(7, &[]).cname("p").cue(Cue { cover, ssrc, highest }).finish()
}

#[test]
fn nothing_is_taken_from_a_standby_and_nothing_sent_to_one() {
    let mut b = with_standby();
    assert_eq!(b.datagram(1, 5, rtp(SSRC, 2)), Err(DropReason::UnknownSender));
    assert_eq!((b.facts.len(), b.sends.len()), (0, 0));
    let mut b = with_lease();
    b.push(1, rtp(SSRC, 2)).unwrap();
    b.hold(Hold::Starved);
    assert_eq!((b.relay.children(CHANNEL), b.sends.len()), (&[][..], 0));
}

#[test]
fn k11_a_standby_is_asked_every_50_ms_until_media_comes_and_five_times_at_most() {
    let mut b = with_standby();
    b.order(|relay, fx| relay.resume(at(100), STANDBY, fx));
    assert_eq!(b.cues(), [(addr(5), Cover::Resume, 1)]);
    // What comes meanwhile through somebody else does not change what was asked for.
    b.datagram(101, 1, rtp(SSRC, 2)).unwrap();
    for ms in [150, 200, 250, 300] {
        assert_eq!(b.relay.deadline(), Some(at(ms)));
        b.timeout(at(ms), &mut Seeded::new(1));
        assert_eq!(b.cues(), [(addr(5), Cover::Resume, 1)], "{ms}");
    }
    b.timeout(at(350), &mut Seeded::new(1));
    assert_eq!((b.cues(), b.relay.deadline()), (vec![], Some(at(1000))));

    b.order(|relay, fx| relay.resume(at(400), STANDBY, fx));
    b.datagram(410, 5, rtp(SSRC, 2)).unwrap_err();
    assert_eq!(b.facts, [first(CHANNEL, STANDBY)]);
    b.timeout(at(450), &mut Seeded::new(1));
    assert_eq!(b.cues(), []);
    assert_eq!(b.relay.last_from(STANDBY), Some(at(410)));
}

#[test]
fn a_standby_far_away_is_not_asked_again_before_it_can_have_answered() {
    let mut b = with_standby();
    b.relay.on_round_trip(STANDBY, Duration::from_millis(120));
    b.order(|relay, fx| relay.resume(at(100), STANDBY, fx));
    assert_eq!(b.relay.deadline(), Some(at(220)));
}

#[test]
fn a_standby_that_denies_is_asked_no_more_until_it_is_to_be() {
    let mut b = with_standby();
    b.order(|relay, fx| relay.resume(at(100), STANDBY, fx));
    b.datagram(110, 5, cue(Cover::Denied, SSRC, 0)).unwrap();
    assert_eq!(b.facts, [Fact::Denied { channel: CHANNEL, call: STANDBY }]);
    assert_eq!(b.datagram(111, 5, rtp(SSRC, 2)), Err(DropReason::UnknownSender));
    b.datagram(112, 5, cue(Cover::Denied, SSRC, 0)).unwrap();
    assert_eq!(b.facts, [], "it was told once");
    b.timeout(at(150), &mut Seeded::new(1));
    assert_eq!(b.cues(), []);
    b.order(|relay, fx| relay.resume(at(160), STANDBY, fx));
    assert_eq!(b.cues(), [(addr(5), Cover::Resume, 1)]);
}

#[test]
fn a_denial_that_media_has_overtaken_changes_nothing() {
    let mut b = with_standby();
    b.order(|relay, fx| relay.resume(at(100), STANDBY, fx));
    b.datagram(110, 5, rtp(SSRC, 2)).unwrap();
    b.datagram(111, 5, cue(Cover::Denied, SSRC, 0)).unwrap();
    assert_eq!(b.facts, []);
    assert_eq!(b.datagram(112, 5, rtp(SSRC, 3)), Ok(()));
}

#[test]
fn a_release_that_was_lost_is_sent_again_when_media_comes_all_the_same() {
    let mut b = with_standby();
    b.order(|relay, fx| relay.resume(at(100), STANDBY, fx));
    b.datagram(110, 5, rtp(SSRC, 2)).unwrap();
    b.order(|relay, fx| relay.release(at(120), STANDBY, fx));
    assert_eq!(b.cues(), [(addr(5), Cover::Release, 2)]);
    for (ms, again) in [(130, false), (169, false), (170, true), (171, false), (220, true)] {
        assert_eq!(b.datagram(ms, 5, rtp(SSRC, 3)), Err(DropReason::UnknownSender));
        assert_eq!(b.cues().len(), usize::from(again), "{ms}");
    }
}

#[test]
fn a_standbys_child_is_served_when_it_asks_and_rests_when_it_needs_no_more() {
    let mut b = with_lease();
    b.datagram(10, 9, cue(Cover::Resume, SSRC, 1)).unwrap();
    assert_eq!(b.facts, [Fact::Resumed { channel: CHANNEL, call: CHILD }]);
    assert_eq!(b.relay.last_report(CHILD), Some(at(10)));
    // Until it is served its repetitions are heard, and then none.
    b.datagram(60, 9, cue(Cover::Resume, SSRC, 1)).unwrap();
    assert_eq!(b.facts.len(), 1);
    b.order(|relay, fx| relay.serve(at(61), CHILD, fx));
    b.datagram(110, 9, cue(Cover::Resume, SSRC, 1)).unwrap();
    assert_eq!((b.facts.len(), b.relay.children(CHANNEL)), (0, &[addr(9)][..]));
    b.datagram(111, 9, cue(Cover::Release, SSRC, 3)).unwrap();
    assert_eq!(b.facts, [Fact::Released { channel: CHANNEL, call: CHILD }]);
    b.relay.rest(CHILD);
    assert_eq!(b.relay.children(CHANNEL), []);
    b.datagram(112, 9, cue(Cover::Release, SSRC, 3)).unwrap();
    assert_eq!(b.facts, []);
}

#[test]
fn a_release_in_between_begins_no_replay_sooner() {
    let mut b = with_lease();
    b.datagram(10, 9, cue(Cover::Resume, SSRC, 1)).unwrap();
    b.order(|relay, fx| relay.serve(at(10), CHILD, fx));
    b.datagram(11, 9, cue(Cover::Release, SSRC, 1)).unwrap();
    b.relay.rest(CHILD);
    b.datagram(59, 9, cue(Cover::Resume, SSRC, 2)).unwrap();
    assert_eq!(b.facts, []);
    b.datagram(60, 9, cue(Cover::Resume, SSRC, 2)).unwrap();
    assert_eq!(b.facts, [Fact::Resumed { channel: CHANNEL, call: CHILD }]);
}

#[test]
fn a_provider_that_denies_and_serves_all_the_same_is_told_to_end() {
    let mut b = with_standby();
    b.order(|relay, fx| relay.resume(at(100), STANDBY, fx));
    b.datagram(110, 5, cue(Cover::Denied, SSRC, 1)).unwrap();
    assert_eq!(b.facts, [Fact::Denied { channel: CHANNEL, call: STANDBY }]);
    // It heard the second RESUME, which crossed its answer to the first.
    assert_eq!(b.datagram(160, 5, rtp(SSRC, 2)), Err(DropReason::UnknownSender));
    assert_eq!(b.cues(), [(addr(5), Cover::Release, 1)]);
}

#[test]
fn a_child_that_asks_again_with_more_than_before_has_lost_its_release() {
    let mut b = with_lease();
    b.datagram(10, 9, cue(Cover::Resume, SSRC, 1)).unwrap();
    b.order(|relay, fx| relay.serve(at(10), CHILD, fx));
    // Not for each of a flood of them; but after a while.
    b.datagram(59, 9, cue(Cover::Resume, SSRC, 80)).unwrap();
    assert_eq!(b.facts, []);
    b.datagram(60, 9, cue(Cover::Resume, SSRC, 80)).unwrap();
    assert_eq!(b.facts, [Fact::Resumed { channel: CHANNEL, call: CHILD }]);
}

#[test]
fn a_standbys_child_that_is_denied_may_ask_again() {
    let mut b = with_lease();
    for ms in [10, 60] {
        b.datagram(ms, 9, cue(Cover::Resume, SSRC, 1)).unwrap();
        assert_eq!(b.facts, [Fact::Resumed { channel: CHANNEL, call: CHILD }]);
        b.order(|relay, fx| relay.deny(CHILD, fx));
        assert_eq!(b.cues(), [(addr(9), Cover::Denied, 1)]);
    }
    assert_eq!(b.relay.children(CHANNEL), []);
}

#[test]
fn orders_about_standbys_leave_all_other_calls_alone() {
    let mut b = with_standby();
    b.order(|relay, fx| {
        relay.resume(at(1), MOTHER, fx);
        relay.release(at(1), MOTHER, fx);
        relay.serve(at(1), CHILD, fx);
        relay.deny(CHILD, fx);
        relay.rest(CHILD);
    });
    assert_eq!((b.sends.len(), b.relay.children(CHANNEL)), (0, &[addr(9)][..]));
    assert_eq!(b.datagram(2, 1, rtp(SSRC, 2)), Ok(()));
    // Nor are cues for them.
    assert_eq!(b.datagram(3, 1, cue(Cover::Denied, SSRC, 0)), Err(DropReason::UnknownSsrc));
    assert_eq!(b.datagram(3, 9, cue(Cover::Resume, SSRC, 0)), Ok(()), "it starts with a report");
    assert_eq!(b.facts, []);
}

#[test]
fn a_standby_gets_a_report_every_five_seconds() {
    let mut b = with_standby();
    let mut entropy = Seeded::new(3);
    let mut told = vec![0];
    while told.len() < 10 {
        let due = b.relay.deadline().unwrap();
        b.timeout(due, &mut entropy);
        assert!(b.receivers().starts_with(&[addr(1), addr(2)]));
        if b.receivers().contains(&addr(5)) {
            told.push(due.as_millis());
        }
    }
    assert!(told.windows(2).all(|pair| (4000..=6000).contains(&(pair[1] - pair[0]))), "{told:?}");
}

#[test]
fn a_cue_under_the_key_of_a_call_is_about_that_call() {
    let mut entropy = Seeded::new(6);
    let mut b = source();
    b.push(0, rtp(SSRC, 1)).unwrap();
    let mut sessions = [11, 12].map(|n| {
        let (ours, theirs) = (MasterKey::generate(&mut entropy), MasterKey::generate(&mut entropy));
        let session = Session::new(&Keys { ours: theirs.clone(), theirs: ours.clone() });
        let remote = Remote { addr: addr(8), keys: Some(Keys { ours, theirs }) };
        b.relay.add_standby_child(CallId::received(n), CHANNEL, remote).unwrap();
        session
    });
    for (session, n) in sessions.iter_mut().zip([11, 12]) {
        b.datagram(1, 8, session.protect(&cue(Cover::Resume, SSRC, 1)).unwrap()).unwrap();
        assert_eq!(b.facts, [Fact::Resumed { channel: CHANNEL, call: CallId::received(n) }]);
    }
    let forged = b.datagram(2, 8, cue(Cover::Release, SSRC, 1));
    assert_eq!((forged, b.facts.len()), (Err(DropReason::BadAuthentication), 0));
}

// Beginnings.

/// A packet every ten milliseconds, with this first transport packet.
fn video(sequence: u16, head: &[u8]) -> Bytes {
    let mut packet = rtp_at(u32::from(sequence) * 900, SSRC, sequence).to_vec();
    packet[12..].fill(0xff);
    packet[12] = 0x47;
    packet[13..13 + head.len()].copy_from_slice(head);
    packet.into()
}

const PICTURE: &[u8] = &[0x41, 0x00, 0x30, 1, 0x00, 0, 0, 1, 0xe0];
const KEY_PICTURE: &[u8] = &[0x41, 0x00, 0x30, 1, 0x40, 0, 0, 1, 0xe0];

/// A source without children that has sent so many packets, the one with the number 60 to start with.
fn broadcast(packets: u16) -> Bench {
    let mut b = source();
    b.relay.remove_child(CHILD);
    for n in 0..packets {
        b.push(u64::from(n) * 10, video(n, if n == 60 { KEY_PICTURE } else { PICTURE })).unwrap();
    }
    b
}

impl Bench {
    /// What the child at this address got in the last call.
    fn got(&self, child: u8) -> Vec<u16> {
        let sequence = |packet: &Bytes| u16::from_be_bytes([packet[2], packet[3]]);
        let is_media = |packet: &Bytes| header::kind_of(packet) == Some(Kind::Rtp);
        let own = self.sends.iter().filter(|(to, packet)| *to == addr(child) && is_media(packet));
        let live = self.facts.iter().filter_map(|fact| match fact {
            Fact::Packet { payload, channel } => {
                self.relay.children(*channel).contains(&addr(child)).then_some(payload)
            }
            _ => None,
        });
        own.map(|(_, packet)| packet).chain(live).map(sequence).collect()
    }

    fn begin(&mut self, ms: u64, call: CallId, from: Start) -> Vec<u16> {
        self.order(|relay, fx| relay.add_child(at(ms), call, CHANNEL, addr(9), from, fx).unwrap());
        self.got(9)
    }

    /// Goes on until then; what the child got, and when.
    fn until(&mut self, ms: u64) -> Vec<(u64, u16)> {
        let mut all = Vec::new();
        while let Some(due) = self.relay.deadline().filter(|&due| due <= at(ms)) {
            self.timeout(due, &mut Seeded::new(1));
            all.extend(self.got(9).into_iter().map(|n| (due.as_millis(), n)));
        }
        all
    }
}

#[test]
fn a_newcomer_begins_at_the_last_random_access_point_at_four_times_the_pace() {
    let mut b = broadcast(101);
    // A packet every 10 ms, so that one every 2.5 ms may be sent.
    assert_eq!(b.begin(1000, CHILD, Start::RandomAccess), [60, 61]);
    assert_eq!(b.relay.children(CHANNEL), [], "it has not caught up");
    let first: Vec<(u64, u16)> = (0..34).map(|n| (1005 + u64::from(n / 2) * 5, 62 + n)).collect();
    assert_eq!(b.until(1005), first[..2]);
    b.push(1010, video(101, PICTURE)).unwrap();
    assert_eq!(b.got(9), [], "its turn has not come");
    assert_eq!(b.until(1085), first[2..]);
    assert_eq!(b.relay.children(CHANNEL), []);
    let last = [(1090, 96), (1090, 97), (1095, 98), (1095, 99), (1100, 100), (1100, 101)];
    assert_eq!(b.until(1100), last);
    assert_eq!((b.relay.children(CHANNEL), b.relay.deadline()), (&[addr(9)][..], None));
    b.push(1101, video(102, PICTURE)).unwrap();
    assert_eq!(b.got(9), [102]);
}

#[test]
fn a_caller_that_has_media_gets_what_follows_it() {
    let mut b = broadcast(101);
    assert_eq!(b.begin(1000, CHILD, Start::After(98)), [99, 100]);
    assert_eq!(b.relay.children(CHANNEL), [addr(9)]);
    // Ahead of what there is, or level with it, nothing is missing.
    for (n, sequence) in [(2, 100), (3, 120), (4, 30_000)] {
        b.relay.remove_child(CHILD);
        b.relay.remove_child(CallId::received(n - 1));
        assert_eq!(b.begin(1000, CallId::received(n), Start::After(sequence)), []);
        assert_eq!(b.relay.children(CHANNEL), [addr(9)]);
    }
    // What is too old to be here begins with the oldest that is.
    b.relay.remove_child(CallId::received(4));
    assert_eq!(b.begin(1000, CHILD, Start::After(50_000)), [0, 1]);
}

#[test]
fn without_a_random_access_point_a_newcomer_begins_with_what_comes() {
    let mut b = broadcast(50);
    assert_eq!(b.begin(500, CHILD, Start::RandomAccess), []);
    b.push(510, video(50, PICTURE)).unwrap();
    assert_eq!((b.got(9), b.relay.deadline()), (vec![50], None));
    let mut b = source();
    assert_eq!(b.begin(0, CallId::received(2), Start::RandomAccess), []);
}

#[test]
fn a_replay_that_was_kept_waiting_does_not_hurry_afterwards() {
    let mut b = broadcast(101);
    b.begin(1000, CHILD, Start::RandomAccess);
    b.timeout(at(60_000), &mut Seeded::new(1));
    // Two ticks' worth of credit and no more.
    assert_eq!(b.got(9), [62, 63, 64, 65]);
    assert_eq!(b.relay.deadline(), Some(at(60_005)));
}

#[test]
fn a_standbys_child_is_covered_from_where_it_stopped() {
    let mut b = broadcast(101);
    b.relay.add_standby_child(CHILD, CHANNEL, addr(9)).unwrap();
    b.datagram(1000, 9, cue(Cover::Resume, SSRC, 3 << 16 | 96)).unwrap();
    b.order(|relay, fx| relay.serve(at(1000), CHILD, fx));
    assert_eq!(b.got(9), [97, 98]);
    assert_eq!(b.until(1005), [(1005, 99), (1005, 100)]);
    assert_eq!(b.relay.children(CHANNEL), [addr(9)]);
    b.relay.rest(CHILD);
    // Who has nothing of this source begins where it can.
    b.datagram(1050, 9, cue(Cover::Resume, 0, 0)).unwrap();
    b.order(|relay, fx| relay.serve(at(1050), CHILD, fx));
    assert_eq!(b.got(9), [60, 61]);
    b.relay.rest(CHILD);
    assert_eq!(b.until(2000), []);
    assert_eq!(b.relay.deadline(), None);
}

#[test]
fn who_is_covered_anew_in_the_same_call_misses_nothing_of_what_comes_meanwhile() {
    let mut b = broadcast(101);
    b.relay.add_standby_child(CHILD, CHANNEL, addr(9)).unwrap();
    b.datagram(1000, 9, cue(Cover::Resume, SSRC, 3 << 16 | 98)).unwrap();
    b.order(|relay, fx| relay.serve(at(1000), CHILD, fx));
    assert_eq!((b.got(9), b.relay.children(CHANNEL)), (vec![99, 100], &[addr(9)][..]));
    // Its RELEASE was lost, and it asks again.
    b.datagram(1060, 9, cue(Cover::Resume, SSRC, 3 << 16 | 90)).unwrap();
    b.order(|relay, fx| relay.serve(at(1060), CHILD, fx));
    let mut got = b.got(9);
    b.push(1063, video(101, PICTURE)).unwrap();
    got.extend(b.got(9));
    got.extend(b.until(2000).into_iter().map(|(_, number)| number));
    assert_eq!(got, (91..=101).collect::<Vec<_>>());
}

#[test]
fn who_is_fed_already_in_another_call_is_replayed_only_what_was_before() {
    let mut b = broadcast(101);
    b.begin(1000, CHILD, Start::Live);
    assert_eq!(b.begin(1000, CallId::received(2), Start::After(96)), [97, 98]);
    b.push(1003, video(101, PICTURE)).unwrap();
    assert_eq!(b.got(9), [101]);
    assert_eq!(b.until(2000), [(1005, 99), (1005, 100)]);
}

#[test]
fn who_was_fed_in_another_call_that_ends_meanwhile_misses_nothing_and_gets_nothing_twice() {
    for rests in [false, true] {
        let mut b = broadcast(101);
        if rests {
            b.relay.add_standby_child(CHILD, CHANNEL, addr(9)).unwrap();
            b.order(|relay, fx| relay.serve(at(1000), CHILD, fx));
        } else {
            b.begin(1000, CHILD, Start::Live);
        }
        let mut got = b.begin(1000, CallId::received(2), Start::After(90));
        for (ms, sequence) in [(1003, 101), (1004, 102)] {
            b.push(ms, video(sequence, PICTURE)).unwrap();
            got.extend(b.got(9));
        }
        if rests {
            b.relay.rest(CHILD)
        } else {
            b.relay.remove_child(CHILD)
        }
        for (ms, sequence) in [(1006, 103), (1040, 104), (1070, 105)] {
            got.extend(b.until(ms).into_iter().map(|(_, n)| n));
            b.push(ms, video(sequence, PICTURE)).unwrap();
            got.extend(b.got(9));
        }
        got.extend(b.until(2000).into_iter().map(|(_, n)| n));
        got.sort_unstable();
        assert_eq!(got, (91..=105).collect::<Vec<_>>(), "rests: {rests}");
        assert_eq!(b.relay.children(CHANNEL), [addr(9)]);
    }
}

#[test]
fn a_replay_ends_with_its_source_and_with_its_call() {
    let mut b = broadcast(101);
    b.begin(1000, CHILD, Start::RandomAccess);
    b.push(1001, rtp(0xbbbb, 7)).unwrap();
    assert_eq!((b.got(9), b.relay.children(CHANNEL), b.relay.deadline()), (vec![7], &[addr(9)][..], None));
    let mut b = broadcast(101);
    b.begin(1000, CHILD, Start::RandomAccess);
    b.relay.remove_child(CHILD);
    assert_eq!(b.until(2000), []);
    assert_eq!(b.relay.deadline(), None);
    let mut b = broadcast(101);
    b.begin(1000, CHILD, Start::RandomAccess);
    b.relay.close(CHANNEL);
    assert_eq!((b.until(2000), b.relay.deadline()), (vec![], None));
}

#[test]
fn a_hold_reaches_who_has_not_caught_up() {
    let mut b = broadcast(101);
    b.begin(1000, CHILD, Start::RandomAccess);
    b.hold(Hold::Starved);
    assert_eq!(b.receivers(), [addr(9)]);
}

#[test]
fn replayed_and_live_packets_together_are_every_packet_once() {
    // Packets come in any order, with gaps that are filled or not; the child begins anywhere and any time.
    fn law(steps: Vec<(u8, u8)>, begins: u8, behind: u8) -> bool {
        let mut b = Bench::new(Limits::default());
        b.relay.open(CHANNEL, Role::Viewer).unwrap();
        b.add_parent(at(0), MOTHER, CHANNEL, addr(1), None).unwrap();
        let (mut now, mut newest, mut held_back) = (0, 1000u16, Vec::new());
        let (mut expected, mut got) = (Vec::new(), Vec::new());
        let mut began = None;
        b.datagram(0, 1, rtp(SSRC, newest)).unwrap();
        expected.push(newest);
        for (step, (time, what)) in steps.iter().enumerate() {
            now += u64::from(time % 16);
            if step == usize::from(begins % 32) {
                let after = newest.wrapping_sub(u16::from(behind % 32));
                began = Some(after);
                got.extend(b.begin(now, CHILD, Start::After(after)));
            }
            got.extend(b.until(now).into_iter().map(|(_, n)| n));
            let sequence = match what % 5 {
                0 if !held_back.is_empty() => held_back.remove(usize::from(*what) % held_back.len()),
                1 => {
                    held_back.push(newest + 1);
                    newest += 2;
                    newest
                }
                _ => {
                    newest += 1;
                    newest
                }
            };
            if b.datagram(now, 1, rtp(SSRC, sequence)).is_ok() {
                expected.push(sequence);
            }
            got.extend(b.got(9));
        }
        got.extend(b.until(now + 1000).into_iter().map(|(_, n)| n));
        let Some(began) = began else { return got.is_empty() };
        // What is before its beginning may come too, if it comes late.
        got.retain(|&n| n > began);
        expected.retain(|&n| n > began);
        got.sort_unstable();
        expected.sort_unstable();
        got == expected
    }
    quickcheck::QuickCheck::new().tests(2000).quickcheck(law as fn(Vec<(u8, u8)>, u8, u8) -> bool);
}

// Repair.

fn nack(ssrc: u32, lost: &[u16]) -> Bytes {
    Composer::receiver_report(7, &[]).cname("p").nack(ssrc, lost.iter().copied()).finish()
}

impl Bench {
    /// The packets asked for in the last call, with whom they were asked of.
    fn asked(&self) -> Vec<(SocketAddr, Vec<u16>)> {
        let nack = |(to, datagram): &(SocketAddr, Bytes)| {
            let packets = rtcp::parse(datagram).ok()?;
            let Some(rtcp::Packet::Nack { losses, media: SSRC, ssrc: 0x5e1f }) = packets.last() else {
                return None;
            };
            Some((*to, losses.iter().collect()))
        };
        self.sends.iter().filter_map(nack).collect()
    }
}

#[test]
fn what_is_missing_is_asked_for_of_the_parent_that_was_heard_last() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    b.datagram(0, 2, rtp(SSRC, 2)).unwrap();
    b.datagram(20, 1, rtp(SSRC, 5)).unwrap();
    b.datagram(22, 1, rtp(SSRC, 7)).unwrap();
    assert_eq!(b.relay.deadline(), Some(at(30)));
    b.timeout(at(30), &mut Seeded::new(1));
    assert_eq!(b.asked(), [(addr(1), vec![3, 4])]);
    // It was overtaken only.
    b.datagram(31, 2, rtp(SSRC, 6)).unwrap();
    b.datagram(40, 2, rtp(SSRC, 3)).unwrap();
    assert_eq!(b.facts.last(), Some(&Fact::Packet { channel: CHANNEL, payload: rtp(SSRC, 3) }));
    let due = b.relay.deadline().unwrap();
    b.timeout(due, &mut Seeded::new(1));
    assert_eq!((due, b.asked()), (at(105), vec![(addr(2), vec![4])]));
    assert_eq!(
        b.relay.counters(CHANNEL).unwrap().repair,
        missing::Counts { asked: 3, repaired: 1, given_up: 0 }
    );
}

#[test]
fn without_a_parent_that_sends_nobody_is_asked() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    b.datagram(0, 1, rtp(SSRC, 3)).unwrap();
    b.relay.remove_parent(MOTHER);
    for _ in 0..40 {
        let due = b.relay.deadline().unwrap();
        b.timeout(due, &mut Seeded::new(1));
        assert_eq!(b.asked(), []);
    }
    assert_eq!(b.relay.counters(CHANNEL).unwrap().repair.given_up, 1);
}

#[test]
fn what_a_replay_brings_is_not_asked_for() {
    let mut b = with_standby();
    b.order(|relay, fx| relay.resume(at(100), STANDBY, fx));
    // The own parent is back with what is live, while the standby goes through what was.
    b.datagram(110, 1, rtp(SSRC, 20)).unwrap();
    b.datagram(112, 5, rtp(SSRC, 2)).unwrap();
    b.timeout(at(120), &mut Seeded::new(1));
    assert_eq!(b.asked(), []);
    b.datagram(121, 5, rtp(SSRC, 5)).unwrap();
    b.timeout(at(140), &mut Seeded::new(1));
    assert_eq!(b.asked(), [(addr(5), vec![3, 4])], "the replay is past these");
    // A replay that does not go on is waited for as long as a player waits, and no longer.
    b.datagram(405, 1, rtp(SSRC, 22)).unwrap();
    b.timeout(at(465), &mut Seeded::new(1));
    assert_eq!(b.asked(), [(addr(1), vec![21])]);
}

#[test]
fn a_child_gets_what_it_misses_once_in_a_round_trip() {
    let mut b = broadcast(101);
    b.begin(1000, CHILD, Start::Live);
    b.relay.on_round_trip(CHILD, Duration::from_millis(40));
    let mut ask = |ms, lost: &[u16]| {
        let result = b.datagram(ms, 9, nack(SSRC, lost));
        (result, b.got(9))
    };
    // 97 and all after it may be under way to it still.
    assert_eq!(ask(1001, &[90, 96, 97, 100, 101]), (Ok(()), vec![90, 96]));
    assert_eq!(ask(1020, &[90, 95, 97]), (Ok(()), vec![95, 97]));
    assert_eq!(ask(1041, &[90, 95]), (Ok(()), vec![90]));
    assert_eq!(ask(1042, &[65_000, 40_000]), (Ok(()), vec![]), "nobody ever had these");
}

#[test]
fn a_replay_and_its_requests_do_not_bring_the_same_twice() {
    let mut b = broadcast(101);
    assert_eq!(b.begin(1100, CHILD, Start::RandomAccess), [60, 61]);
    b.datagram(1101, 9, nack(SSRC, &[60, 62, 99])).unwrap();
    assert_eq!(b.got(9), [60]);
}

#[test]
fn k8_a_flood_of_requests_is_counted_and_brings_no_more_than_a_quarter_of_the_stream() {
    let mut b = broadcast(101);
    b.begin(1000, CHILD, Start::Live);
    let all: Vec<u16> = (0..101).collect();
    let flood = |b: &mut Bench, ms: u64| {
        let mut got = 0;
        for n in 0..50 {
            let result = b.datagram(ms + n * 20, 9, nack(SSRC, &all));
            assert!(matches!(result, Ok(()) | Err(DropReason::TooManyNacks)));
            got += b.got(9).len();
        }
        got
    };
    assert_eq!(flood(&mut b, 1100), 101 / 4);
    for n in 101..141 {
        b.push(2000, video(n, PICTURE)).unwrap();
    }
    assert_eq!(flood(&mut b, 2100), 10);
    for n in 141..1141u64 {
        b.push(2000 + n, video(n as u16, PICTURE)).unwrap();
    }
    let recent: Vec<u16> = (1041..1141).collect();
    b.datagram(9000, 9, nack(SSRC, &recent)).unwrap_err();
    assert_eq!(b.got(9).len() as u64, NACK_BURST);
}

#[test]
fn what_a_child_misses_and_this_node_too_is_asked_for_at_once() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    b.datagram(1, 1, rtp(SSRC, 3)).unwrap();
    b.datagram(2, 9, nack(SSRC, &[2])).unwrap();
    assert_eq!((b.asked(), b.relay.deadline()), (vec![], Some(at(2))));
    b.timeout(at(2), &mut Seeded::new(1));
    assert_eq!(b.asked(), [(addr(1), vec![2])]);
    // The answer goes to everybody; and not twice to the child that asks again meanwhile.
    b.relay.on_round_trip(CHILD, Duration::from_millis(40));
    b.datagram(40, 1, rtp(SSRC, 2)).unwrap();
    assert_eq!(b.got(9), [2]);
    b.datagram(45, 9, nack(SSRC, &[2])).unwrap();
    assert_eq!(b.got(9), []);
}

#[test]
fn only_children_that_are_served_are_answered() {
    let mut b = with_lease();
    b.push(100, rtp(SSRC, 2)).unwrap();
    for (from, ssrc) in [(77, SSRC), (9, SSRC), (9, 5)] {
        let result = b.datagram(200, from, nack(ssrc, &[1, 2]));
        assert_eq!(
            (result.is_ok(), b.sends.len()),
            (from == 9, 0),
            "a report of a standby is one all the same"
        );
    }
    let (mut b, mut mother, mut child) = keyed();
    (2..6).for_each(|n| b.datagram(1, 1, rtp(SSRC, n)).unwrap());
    let lost = nack(SSRC, &[1]);
    assert_eq!(b.datagram(500, 9, lost.clone()), Err(DropReason::BadAuthentication));
    assert_eq!(b.datagram(500, 9, mother.protect(&lost).unwrap()), Err(DropReason::BadAuthentication));
    assert_eq!(b.datagram(500, 9, child.protect(&lost).unwrap()), Ok(()));
    assert_eq!(b.got(9), [1]);
}

// Keys.

/// A viewer of `CHANNEL` whose MOTHER at address 1 and CHILD at 9 have keys, and the other ends of both.
fn keyed() -> (Bench, Session, Session) {
    let mut entropy = Seeded::new(4);
    let mut b = Bench::new(Limits::default());
    b.relay.open(CHANNEL, Role::Viewer).unwrap();
    let mut pair = || {
        let (a, b) = (MasterKey::generate(&mut entropy), MasterKey::generate(&mut entropy));
        (Keys { ours: a.clone(), theirs: b.clone() }, Session::new(&Keys { ours: b, theirs: a }))
    };
    let ((up, mut mother), (down, child)) = (pair(), pair());
    let mut fx = Effects::new();
    let remote = Remote { addr: addr(1), keys: Some(up) };
    b.relay.add_parent(at(0), MOTHER, CHANNEL, remote, None, &mut fx).unwrap();
    b.collect(fx);
    let (_, report) = b.sends.pop().unwrap();
    assert!(rtcp::parse(&mother.unprotect(&report).unwrap()).is_ok());
    b.add_child(CHILD, CHANNEL, Remote { addr: addr(9), keys: Some(down) }).unwrap();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    (b, mother, child)
}

/// All that the relay remembers of its peers.
fn memory(b: &Bench) -> impl PartialEq + core::fmt::Debug + use<> {
    let progress = (b.relay.last_media(CHANNEL), b.relay.last_from(MOTHER), b.relay.last_report(CHILD));
    let channel = b.relay.channels.get(&CHANNEL).unwrap();
    (progress, b.relay.reported_loss(CHILD), channel.said_goodbye, alloc::format!("{:?}", channel.reception))
}

#[test]
fn what_does_not_come_under_the_key_of_its_call_changes_nothing() {
    let (mut b, mut mother, mut child) = keyed();
    let before = memory(&b);
    let plain = [
        notice(SSRC, Hold::Starved),
        notice(SSRC, Hold::Paused),
        notice(0, Hold::Paused),
        goodbye(SSRC),
        sr(SSRC, 1 << 32, &[]),
        report(&[SSRC], 255),
        report(&[], 0),
    ];
    for (from, other) in [(1, &mut child), (9, &mut mother)] {
        for compound in &plain {
            // As it is, and under the key of another call.
            for forged in [compound.clone(), other.protect(compound).unwrap()] {
                assert_eq!(b.datagram(5, from, forged), Err(DropReason::BadAuthentication));
                assert_eq!((b.facts.len(), b.sends.len()), (0, 0));
            }
        }
    }
    assert_eq!(memory(&b), before);
    assert_eq!(b.datagram(5, 77, plain[0].clone()), Err(DropReason::UnknownSender));
}

#[test]
fn what_comes_under_the_key_of_its_call_counts_once() {
    let (mut b, mut mother, mut child) = keyed();
    let paused = mother.protect(&notice(SSRC, Hold::Paused)).unwrap();
    assert_eq!(b.datagram(5, 1, paused.clone()), Ok(()));
    assert_eq!(b.facts, [Fact::Held { channel: CHANNEL, call: MOTHER, hold: Hold::Paused }]);
    assert_eq!(b.relay.last_from(MOTHER), Some(at(5)));
    let reported = child.protect(&report(&[SSRC], 12)).unwrap();
    assert_eq!(b.datagram(6, 9, reported.clone()), Ok(()));
    assert_eq!((b.relay.last_report(CHILD), b.relay.reported_loss(CHILD)), (Some(at(6)), Some(12)));
    let before = memory(&b);
    for (from, replayed) in [(1, paused), (9, reported)] {
        assert_eq!(b.datagram(900, from, replayed), Err(DropReason::Duplicate));
        assert_eq!((b.facts.len(), b.sends.len()), (0, 0));
    }
    assert_eq!(memory(&b), before);
    let bye = mother.protect(&goodbye(SSRC)).unwrap();
    assert_eq!(b.datagram(7, 1, bye), Ok(()));
    assert_ne!(memory(&b), before);
}

#[test]
fn what_is_sent_goes_under_the_key_of_its_call() {
    let (mut b, mut mother, mut child) = keyed();
    b.add_child(CallId::received(2), CHANNEL, addr(8)).unwrap();
    b.hold(Hold::Starved);
    let (_, plain) = b.sends.remove(0);
    let [(to, protected)] = &b.sends[..] else { panic!("{:?}", b.sends) };
    assert_eq!((*to, child.unprotect(protected)), (addr(9), Ok(plain)));
    // A sender report that is passed on gets the key of the next hop.
    let whole = sr(SSRC, 1 << 32, &[]);
    b.datagram(5, 1, mother.protect(&whole).unwrap()).unwrap();
    assert_eq!(b.sends[0], (addr(8), whole.clone()));
    assert_eq!((b.sends[1].0, child.unprotect(&b.sends[1].1)), (addr(9), Ok(whole)));
    b.timeout(at(1000), &mut Seeded::new(1));
    let (_, report) = b.sends.pop().unwrap();
    let report = mother.unprotect(&report).unwrap();
    let packets = rtcp::parse(&report).unwrap();
    let Some(rtcp::Packet::ReceiverReport { blocks, .. }) = packets.first() else { panic!() };
    assert_eq!(blocks.iter().map(|block| block.ssrc).collect::<Vec<_>>(), [SSRC]);
    // The media packets need no key.
    assert_eq!(b.datagram(1001, 1, rtp(SSRC, 2)), Ok(()));
    assert_eq!(b.relay.children(CHANNEL), [addr(8), addr(9)]);
}

#[test]
fn a_key_speaks_for_its_own_call_and_for_no_other_of_its_address() {
    let (mut b, mut mother, _) = keyed();
    let mut entropy = Seeded::new(5);
    let (ours, theirs) = (MasterKey::generate(&mut entropy), MasterKey::generate(&mut entropy));
    let mut other = Session::new(&Keys { ours: theirs.clone(), theirs: ours.clone() });
    let mut fx = Effects::new();
    let remote = Remote { addr: addr(1), keys: Some(Keys { ours, theirs }) };
    b.relay.open(OTHER, Role::Viewer).unwrap();
    b.relay.add_parent(at(0), FATHER, OTHER, remote, Some(22), &mut fx).unwrap();
    let third = ChannelId(3);
    b.relay.open(third, Role::Viewer).unwrap();
    b.relay.add_parent(at(0), CallId::placed(3), third, addr(1), Some(33), &mut fx).unwrap();

    // Each may hold its own channel only, by whatever source it names.
    let held = |channel, call| Fact::Held { channel, call, hold: Hold::Starved };
    for ssrc in [SSRC, 22, 33, 0] {
        b.datagram(1, 1, mother.protect(&notice(ssrc, Hold::Starved)).unwrap()).unwrap();
        assert_eq!(b.facts, [held(CHANNEL, MOTHER)]);
        b.datagram(1, 1, other.protect(&notice(ssrc, Hold::Starved)).unwrap()).unwrap();
        assert_eq!(b.facts, [held(OTHER, FATHER)]);
        b.datagram(1, 1, notice(ssrc, Hold::Starved)).unwrap();
        assert_eq!(b.facts, [held(third, CallId::placed(3))]);
    }
    for (session, ssrc) in [(Some(&mut mother), 22), (Some(&mut other), SSRC), (None, SSRC)] {
        let bye = goodbye(ssrc);
        let bye = session.map_or(bye.clone(), |session| session.protect(&bye).unwrap());
        assert_eq!(b.datagram(2, 1, bye), Err(DropReason::UnknownSsrc));
    }
    // Their reports go out apart, each with its own channel.
    b.timeout(at(1000), &mut Seeded::new(1));
    assert_eq!(b.receivers(), [addr(1); 3]);
    let (plain, protected) = b.sends.split_first().unwrap();
    assert!(rtcp::parse(&plain.1).is_ok());
    assert!(mother.unprotect(&protected[0].1).is_ok() && other.unprotect(&protected[1].1).is_ok());
}

#[test]
fn every_truncation_under_a_key_is_harmless() {
    let (mut b, mut mother, _) = keyed();
    let whole = mother.protect(&notice(SSRC, Hold::Paused)).unwrap();
    for len in 0..whole.len() {
        let expected = if len < 2 { DropReason::NotRtp } else { DropReason::BadAuthentication };
        assert_eq!(b.datagram(1, 1, whole.slice(..len)), Err(expected), "{len}");
        assert_eq!((b.facts.len(), b.sends.len()), (0, 0));
    }
    assert_eq!(b.datagram(1, 1, whole), Ok(()));
}

// Anything.

#[test]
fn k7_k8_no_sequence_of_datagrams_breaks_the_relay() {
    fn law(datagrams: Vec<(u8, u8, u16, Vec<u8>)>) -> bool {
        let mut b = Bench::viewer();
        b.relay.open(OTHER, Role::Viewer).unwrap();
        b.add_parent(at(0), CallId::placed(3), OTHER, addr(1), Some(1)).unwrap();
        b.add_child(CallId::received(2), OTHER, addr(1)).unwrap();
        b.order(|relay, fx| relay.add_standby_parent(at(0), STANDBY, CHANNEL, addr(5), fx).unwrap());
        b.relay.add_standby_child(CallId::received(3), CHANNEL, addr(9)).unwrap();
        for (ms, (from, shape, n, noise)) in (0..).step_by(40).zip(datagrams) {
            let ssrc = u32::from(n % 4);
            let mut bytes = Vec::from(match shape % 12 {
                0..=2 => rtp(ssrc, n / 4),
                3 => notice(ssrc, if n > 9 { Hold::Starved } else { Hold::Paused }),
                4 => report(&[ssrc, 1], n as u8),
                5 => sr(ssrc, u64::from(n) << 32, &noise),
                6 => goodbye(ssrc),
                7 => cue(Cover::Resume, ssrc, n.into()),
                8 => cue(Cover::Denied, ssrc, n.into()),
                9 => cue(Cover::Release, ssrc, n.into()),
                10 => nack(ssrc, &[n / 4, n / 4 + 1, n / 4 + 9]),
                _ => Bytes::new(),
            });
            // What is noise behind RTP and RTCP makes it no RTP or RTCP, most of the time.
            if n % 3 == 0 {
                bytes.extend_from_slice(&noise);
            }
            b.datagram(ms, from % 3 * 4 + 1, bytes.into()).ok();
            let calls = 4;
            if b.facts.len() > rtcp::MAX_PACKETS * calls || b.sends.len() > NACK_BURST as usize + 4 {
                return false;
            }
            // The policy's orders, whatever it may think.
            b.order(|relay, fx| match n % 7 {
                0 => relay.resume(at(ms), STANDBY, fx),
                1 => relay.release(at(ms), STANDBY, fx),
                2 => relay.serve(at(ms), CallId::received(3), fx),
                3 => relay.deny(CallId::received(3), fx),
                _ => {}
            });
            b.timeout(at(ms), &mut Seeded::new(1));
            if b.relay.deadline().is_none_or(|due| due <= at(ms)) {
                return false;
            }
        }
        true
    }
    quickcheck::QuickCheck::new().tests(500).quickcheck(law as fn(Vec<(u8, u8, u16, Vec<u8>)>) -> bool);
}

#[test]
fn no_packet_is_played_twice_whoever_sends_it_and_whenever() {
    // Two parents and a standby that is asked and released as it comes; each sends what is new, or anything it ever sent.
    fn law(steps: Vec<(u8, u8, u8)>) -> bool {
        let mut b = with_standby();
        let (mut now, mut newest) = (1, 1u16);
        let mut played = alloc::collections::BTreeSet::from([1]);
        for (time, who, what) in steps {
            now += u64::from(time % 32);
            if b.relay.deadline().is_some_and(|due| due <= at(now)) {
                b.timeout(at(now), &mut Seeded::new(1));
            }
            match who % 8 {
                6 => b.order(|relay, fx| relay.resume(at(now), STANDBY, fx)),
                7 => b.order(|relay, fx| relay.release(at(now), STANDBY, fx)),
                sender => {
                    let sequence = match what % 4 {
                        0 => newest + 2,
                        1 | 2 => newest + 1,
                        _ => newest.saturating_sub(u16::from(what / 4) * 4).max(1),
                    };
                    let from = [1, 2, 5][usize::from(sender % 3)];
                    let taken = b.datagram(now, from, rtp(SSRC, sequence));
                    let plays = b.facts.iter().any(|fact| matches!(fact, Fact::Packet { .. }));
                    if taken.is_ok() != plays || plays && !played.insert(sequence) {
                        return false;
                    }
                    if plays {
                        newest = newest.max(sequence);
                    }
                }
            }
        }
        true
    }
    quickcheck::QuickCheck::new().tests(2000).quickcheck(law as fn(Vec<(u8, u8, u8)>) -> bool);
}

#[test]
fn every_truncation_of_a_control_packet_is_harmless() {
    let whole = sr(SSRC, 1, &notice(SSRC, Hold::Paused));
    for len in 0..=whole.len() {
        let mut b = Bench::viewer();
        b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
        let result = b.datagram(1, 1, whole.slice(..len));
        // Cut between two packets it is a compound packet still.
        let legal = [28, 36, 48, whole.len()].contains(&len);
        assert_eq!(result.is_ok(), legal, "{len}: {result:?}");
        assert_eq!(b.facts.len(), usize::from(len == whole.len()));
    }
}

#[test]
fn a_viewer_that_takes_over_sends_what_is_pushed_to_its_children_and_nothing_of_its_parents() {
    let mut b = Bench::viewer();
    for sequence in 0..5 {
        b.datagram(u64::from(sequence), 1, rtp(SSRC, sequence)).unwrap();
    }
    // A child whose replay is under way gets what is live instead.
    b.order(|relay, fx| {
        relay.add_child(at(5), CallId::received(2), CHANNEL, addr(10), Start::After(0), fx).unwrap();
    });
    assert_eq!(b.relay.push(at(6), CHANNEL, rtp(7, 100), &mut Effects::new()), Err(RelayError::WrongRole));
    b.relay.take_over(at(6), CHANNEL);
    assert_eq!((b.relay.children(CHANNEL), b.relay.last_media(CHANNEL)), (&[addr(9), addr(10)][..], None));
    assert_eq!(b.datagram(7, 1, rtp(SSRC, 5)), Err(DropReason::UnknownSender));
    b.order(|relay, fx| relay.push(at(8), CHANNEL, rtp(7, 100), fx).unwrap());
    assert_eq!(b.facts, [Fact::Packet { channel: CHANNEL, payload: rtp(7, 100) }]);
    assert_eq!((b.relay.ssrc(CHANNEL), b.relay.deadline()), (Some(7), None));
}
