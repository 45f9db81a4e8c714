//! Messages in the bytes of a stream: whole, in pieces, several at once, too large, and not at all (FR).

use super::bench::{Bench, FIRST, error, written};
use super::wire::{FAR, ME, PEER, compose, ping};
use bytes::Bytes;
use p2piptv::effect::Effect;
use p2piptv::reload::codec::body::{PingAns, PingReq};
use p2piptv::reload::codec::{Body, ErrorCode, Frame, MessageCode, MessageContents};
use p2piptv::reload::topology::Topology;
use p2piptv::stats::DropReason;
use p2piptv::time::UnixMillis;

#[test]
fn fr2_fr5_a_message_that_comes_byte_by_byte_gets_one_ack_and_one_answer() {
    let mut bench = Bench::linked();
    let message = bench.compose(PEER, vec![ME.into()], &ping());
    let frame = bench.frame(FIRST, &message);
    let since = bench.done.len();
    for byte in &frame[..frame.len() - 1] {
        bench.feed(FIRST, &[*byte]).unwrap();
    }
    assert_eq!(bench.done.len(), since);
    bench.feed(FIRST, &frame[frame.len() - 1..]).unwrap();
    let frames: Vec<_> = bench.done[since..].iter().map(|e| written(e).unwrap()).collect();
    assert_eq!(frames[0], (FIRST, Frame::Ack { ack_sequence: 0, received: 0 }));
    assert!(matches!(frames[1], (FIRST, Frame::Data { sequence: 0, .. })), "FR-1");
    assert_eq!(frames.len(), 2);
}

#[test]
fn fr5_several_frames_in_one_record_are_worked_off_in_their_order() {
    let mut bench = Bench::linked();
    let mut bytes = Vec::new();
    for _ in 0..3 {
        let message = bench.compose(PEER, vec![ME.into()], &ping());
        bytes.extend(bench.frame(FIRST, &message));
    }
    let since = bench.done.len();
    bench.feed(FIRST, &bytes).unwrap();
    let acks: Vec<u32> = bench.done[since..]
        .iter()
        .filter_map(|e| match written(e) {
            Some((_, Frame::Ack { ack_sequence, .. })) => Some(ack_sequence),
            _ => None,
        })
        .collect();
    assert_eq!(acks, [0, 1, 2]);
    assert_eq!(bench.collect(since).len(), 3);
}

#[test]
fn fr6_a_message_announced_to_be_too_large_is_refused_by_its_header_and_the_link_closed() {
    let mut bench = Bench::linked();
    let padding = Bytes::from(vec![0; 6000]);
    let message = bench.compose(PEER, vec![ME.into()], &Body::PingReq(PingReq { padding }));
    let frame = bench.frame(FIRST, &message);
    let since = bench.done.len();
    assert_eq!(bench.feed(FIRST, &frame[..100]), Err(DropReason::TooLarge));
    assert!(bench.closed(FIRST), "long before the message is there");
    assert_eq!(bench.done.last(), Some(&Effect::Close { stream: FIRST }), "after the error");
    assert_eq!(error(bench.collect(since)), Some(ErrorCode::MESSAGE_TOO_LARGE));
    assert_eq!(bench.overlay.links(), 0);
    assert_eq!(
        bench.feed(FIRST, &frame[100..]),
        Err(DropReason::NotInUse),
        "what comes later is not looked at"
    );
}

#[test]
fn fr6_a_header_that_is_too_large_or_an_answer_is_closed_in_silence() {
    let mut bench = Bench::linked();
    let mut message = bench.compose(PEER, vec![ME.into()], &ping());
    message.header.via_list = vec![FAR.into(); 400];
    let frame = bench.frame(FIRST, &message);
    assert_eq!(bench.feed(FIRST, &frame), Err(DropReason::TooLarge));
    assert_eq!(bench.done, [Effect::Close { stream: FIRST }]);

    let mut bench = Bench::linked();
    let contents = MessageContents {
        message_code: MessageCode::PING_ANS,
        message_body: Bytes::from(vec![0; 6000]),
        extensions: vec![],
    };
    let frame = bench.frame(FIRST, &compose(PEER, 1, vec![ME.into()], contents));
    assert_eq!(bench.feed(FIRST, &frame), Err(DropReason::TooLarge));
    assert_eq!(bench.done, [Effect::Close { stream: FIRST }]);
}

#[test]
fn fr5_whoever_breaks_the_framing_is_closed_and_loses_his_place() {
    let mut bench = Bench::with_peer();
    assert_eq!(bench.feed(FIRST, b"GET / HTTP/1.1\r\n\r\n"), Err(DropReason::BadStream));
    assert!(bench.closed(FIRST) && bench.connected().is_empty());
    assert!(!bench.overlay.topology().contains(PEER));
    assert_eq!(bench.feed(FIRST, b"GET"), Err(DropReason::NotInUse));
}

#[test]
fn garbage_in_good_frames_is_acknowledged_dropped_and_costs_nothing_else() {
    let mut bench = Bench::linked();
    for n in 0..1000 {
        let frame = Frame::Data { sequence: n, message: Bytes::from(vec![n as u8; 60]) }.encode().unwrap();
        assert_eq!(bench.feed(FIRST, &frame), Err(DropReason::BadHeader));
    }
    assert_eq!(bench.done.len(), 1000, "one ACK each");
    assert_eq!(bench.overlay.links(), 1);
}

#[test]
fn lr1_every_data_frame_gets_one_ack_whatever_it_holds_and_an_ack_gets_none() {
    let mut bench = Bench::with_peer();
    let ping = bench.compose(PEER, vec![ME.into()], &ping());
    let answer =
        bench.compose(PEER, vec![ME.into()], &Body::PingAns(PingAns { response_id: 1, time: UnixMillis(1) }));
    let mut fragment = ping.encode().unwrap().to_vec();
    fragment[12] = 0x80;
    let messages =
        [ping.encode().unwrap(), answer.encode().unwrap(), fragment.into(), Bytes::from_static(b"?")];
    for (n, message) in messages.into_iter().enumerate() {
        let sequence = 500 + n as u32;
        let frame = Frame::Data { sequence, message }.encode().unwrap();
        let since = bench.done.len();
        let _ = bench.feed(FIRST, &frame);
        let acks = bench.done[since..].iter().filter_map(written).filter_map(|(_, frame)| match frame {
            Frame::Ack { ack_sequence, .. } => Some(ack_sequence),
            Frame::Data { .. } => None,
        });
        assert_eq!(acks.collect::<Vec<u32>>(), [sequence]);
    }
    let since = bench.done.len();
    let ack = Frame::Ack { ack_sequence: 0, received: 0 }.encode().unwrap();
    let _ = bench.feed(FIRST, &ack);
    assert_eq!(bench.done.len(), since);
}
