//! Attach over streams: candidates, who dials whom, dials that cross, and dials that fail (AT).

use super::bench::{Bench, DIALLED, FIRST, LARGE, SECOND, TLS, codes, error, offer, update, written};
use super::network::seconds;
use super::underlay::party;
use super::wire::{FAR, ME, PEER, away, compose, ping};
use bytes::Bytes;
use p2piptv::effect::Effect;
use p2piptv::ids::StreamId;
use p2piptv::reload::codec::body::{AttachReqAns, IceExtension, JoinReq};
use p2piptv::reload::codec::{
    Body, ErrorCode, Frame, Message, MessageCode, MessageContents, OverlayLinkType,
};
use p2piptv::reload::overlay::LinkSecurity;
use p2piptv::reload::topology::Topology;
use p2piptv::stats::DropReason;
use std::net::SocketAddr;

#[test]
fn at10_lt4_the_answerer_of_an_attach_dials_the_passive_candidate_over_tls() {
    let mut bench = Bench::linked();
    let answers = bench.say(FIRST, FAR, vec![ME.into()], &offer(&[TLS]));
    let Ok(Body::AttachAns(answer)) = answers[0].1.contents.body() else { panic!("{answers:?}") };
    assert_eq!(answer.role, AttachReqAns::ACTIVE, "AT-1");
    let [candidate] = &answer.candidates[..] else { panic!("one candidate") };
    assert_eq!(candidate.overlay_link, TLS);
    let (name, value) = (Bytes::from_static(b"tcptype"), Bytes::from_static(b"passive"));
    assert_eq!(candidate.extensions, [IceExtension { name, value }]);
    assert!(bench.done.contains(&Effect::Connect { stream: DIALLED, to: away() }));
    let since = bench.done.len();
    bench.open(DIALLED, &[FAR]).unwrap();
    assert_eq!(codes(&bench.collect(since)), [(DIALLED, MessageCode::UPDATE_REQ)], "AT-7");
    assert_eq!(bench.connected(), [FAR, PEER]);
}

/// What this node offers in its answer to an Attach.
fn priority_of_offer(security: LinkSecurity, links: &[OverlayLinkType]) -> u32 {
    let mut bench = Bench::new(security);
    if security == LinkSecurity::Dtls {
        bench.with(|o, now, ctx| o.on_association(now, away(), party(&[PEER]), ctx)).unwrap();
        let message = bench.compose(PEER, vec![ME.into()], &offer(links));
        let frame = bench.frame(FIRST, &message);
        bench.with(|o, now, ctx| o.handle_datagram(now, away(), frame, ctx)).unwrap();
    } else {
        bench.open(FIRST, &[PEER]).unwrap();
        bench.say(FIRST, PEER, vec![ME.into()], &offer(links));
    }
    let frames = bench.done.iter().filter_map(|e| match e {
        Effect::Send { payload, .. } => Frame::decode(payload).ok(),
        other => written(other).map(|(_, frame)| frame),
    });
    let answers = frames.filter_map(|f| match f {
        Frame::Data { message, .. } => match Message::decode(&message).unwrap().contents.body() {
            Ok(Body::AttachAns(answer)) => Some(answer),
            _ => None,
        },
        Frame::Ack { .. } => None,
    });
    let priorities: Vec<u32> = answers.map(|a| a.candidates[0].priority).collect();
    assert_eq!(priorities.len(), 1);
    priorities[0]
}

#[test]
fn at14_tcp_comes_before_simple_reliability_and_the_candidate_with_the_highest_priority_is_dialled() {
    let tcp = priority_of_offer(LinkSecurity::Tls, &[TLS]);
    let datagrams = priority_of_offer(LinkSecurity::Dtls, &[OverlayLinkType::DTLS_UDP_SR_NO_ICE]);
    assert!(tcp > datagrams && datagrams >> 24 == 126, "{tcp:#x} {datagrams:#x}");
    assert!(tcp < 126 << 24 | 0xffff << 8, "something without head-of-line blocking would come first");
    let mut bench = Bench::linked();
    let Body::AttachReq(mut several) = offer(&[TLS, TLS, TLS]) else { panic!() };
    for (n, priority) in [5, 9, 9].into_iter().enumerate() {
        let at = SocketAddr::from(([10, 0, 0, 20 + n as u8], 6084));
        several.candidates[n].addr_port = at.into();
        several.candidates[n].priority = priority;
    }
    bench.say(FIRST, FAR, vec![ME.into()], &Body::AttachReq(several));
    let best = SocketAddr::from(([10, 0, 0, 21], 6084));
    assert!(bench.done.contains(&Effect::Connect { stream: DIALLED, to: best }), "of equal ones the first");
}

#[test]
fn at4_an_attach_is_answered_and_carried_out_while_none_of_ones_own_to_that_node_is_under_way() {
    let mut bench = Bench::with_peer();
    // An Attach of this node's own to somebody else is under way.
    bench.say(FIRST, PEER, vec![ME.into()], &update(vec![LARGE]));
    let answers = bench.say(FIRST, FAR, vec![ME.into()], &offer(&[TLS]));
    assert_eq!(codes(&answers)[0], (FIRST, MessageCode::ATTACH_ANS));
    assert!(bench.done.contains(&Effect::Connect { stream: DIALLED, to: away() }), "the connectivity check");
    // With one to that very node, whose Node-ID is larger, it is not.
    let answers = bench.say(FIRST, LARGE, vec![ME.into()], &offer(&[TLS]));
    assert_eq!(codes(&answers)[0], (FIRST, MessageCode::ATTACH_ANS), "the smaller gives way (AT-6)");
}

#[test]
fn bs2_an_address_is_remembered_when_somebody_was_reached_there_and_not_before() {
    let mut bench = Bench::linked();
    bench.say(FIRST, FAR, vec![ME.into()], &offer(&[TLS]));
    assert!(bench.done.contains(&Effect::Connect { stream: DIALLED, to: away() }));
    assert_eq!(bench.overlay.bootstraps(), [], "neither who dialled nor who is being dialled");
    bench.open(DIALLED, &[FAR]).unwrap();
    assert_eq!(bench.overlay.bootstraps(), [away()]);
}

#[test]
fn at2_candidates_that_are_plain_or_need_ice_or_are_not_listened_at_are_refused() {
    use OverlayLinkType as T;
    let mut bench = Bench::linked();
    let mut ask = |links: &[OverlayLinkType]| error(bench.say(FIRST, FAR, vec![ME.into()], &offer(links)));
    for bad in [&[T::EXP_LINK][..], &[T::DTLS_UDP_SR], &[TLS, T::DTLS_UDP_SR], &[TLS, T::EXP_LINK], &[]] {
        assert_eq!(ask(bad), Some(ErrorCode::INVALID_MESSAGE), "{bad:?}");
    }
    assert_eq!(ask(&[T::DTLS_UDP_SR_NO_ICE]), Some(ErrorCode::INVALID_MESSAGE), "not what is spoken here");
    let Body::AttachReq(mut active) = offer(&[TLS]) else { panic!() };
    let (name, value) = (Bytes::from_static(b"tcptype"), Bytes::from_static(b"active"));
    active.candidates[0].extensions.push(IceExtension { name, value });
    let answers = bench.say(FIRST, FAR, vec![ME.into()], &Body::AttachReq(active));
    assert_eq!(error(answers), Some(ErrorCode::INVALID_MESSAGE), "LT-4");
    assert_eq!(bench.overlay.links(), 1);
    let answers = bench.say(FIRST, FAR, vec![ME.into()], &offer(&[T::DTLS_UDP_SR_NO_ICE, TLS]));
    assert_eq!(error(answers), None, "both without ICE");
}

#[test]
fn at11_a_dialled_stream_whose_certificate_names_somebody_else_is_closed() {
    let mut bench = Bench::linked();
    bench.say(FIRST, FAR, vec![ME.into()], &offer(&[TLS]));
    assert_eq!(bench.open(DIALLED, &[LARGE]), Err(DropReason::NotAllowedOnLink));
    assert!(bench.closed(DIALLED));
    assert_eq!(bench.connected(), [PEER]);
    // Whoever comes under his own name is welcome, but nobody has agreed with him on a link.
    bench.open(SECOND, &[LARGE]).unwrap();
    let join = Body::JoinReq(JoinReq { joining_peer_id: LARGE, overlay_specific_data: Bytes::new() });
    assert_eq!(error(bench.say(SECOND, LARGE, vec![ME.into()], &join)), Some(ErrorCode::FORBIDDEN));
}

#[test]
fn at5_an_attach_that_comes_while_the_other_end_is_dialling_is_in_progress() {
    let mut bench = Bench::with_peer();
    let told = bench.say(FIRST, PEER, vec![ME.into()], &update(vec![LARGE]));
    let (_, asked) = told.iter().find(|(_, m)| m.contents.message_code == MessageCode::ATTACH_REQ).unwrap();
    let Body::AttachReq(answer) = offer(&[TLS]) else { panic!() };
    let answer = AttachReqAns { role: AttachReqAns::ACTIVE, ..answer };
    let contents = MessageContents::new(&Body::AttachAns(answer)).unwrap();
    let granted = compose(LARGE, asked.header.transaction_id, vec![ME.into()], contents);
    bench.exchange(FIRST, &granted).0.unwrap();
    let answers = bench.say(FIRST, LARGE, vec![ME.into()], &offer(&[TLS]));
    assert_eq!(error(answers), Some(ErrorCode::IN_PROGRESS));
    assert!(!bench.done.iter().any(|e| matches!(e, Effect::Connect { .. })));
    bench.wait(seconds(4));
    let answers = bench.say(FIRST, LARGE, vec![ME.into()], &offer(&[TLS]));
    assert_eq!(error(answers), None, "the dial would have come by now");
}

#[test]
fn at6_of_two_dials_that_cross_the_one_of_the_smaller_node_id_stays() {
    // FAR is smaller: its dial is kept, and this node closes its own.
    for peers_first in [true, false] {
        let mut bench = Bench::linked();
        bench.open(StreamId::accepted(9), &[LARGE]).unwrap();
        bench.say(StreamId::accepted(9), FAR, vec![ME.into()], &offer(&[TLS]));
        let order = if peers_first { [SECOND, DIALLED] } else { [DIALLED, SECOND] };
        order.into_iter().for_each(|stream| bench.open(stream, &[FAR]).unwrap());
        assert!(bench.closed(DIALLED) && !bench.closed(SECOND), "{peers_first}");
        assert_eq!(bench.connected(), [FAR, PEER, LARGE]);
        // What an Attach has settled on the one holds for the other.
        bench.say(SECOND, FAR, vec![ME.into()], &update(vec![]));
        assert!(bench.overlay.topology().contains(FAR));
    }
    // LARGE is larger: this node's dial is kept, and LARGE will close its own.
    for peers_first in [true, false] {
        let mut bench = Bench::linked();
        bench.say(FIRST, LARGE, vec![ME.into()], &offer(&[TLS]));
        let order = if peers_first { [SECOND, DIALLED] } else { [DIALLED, SECOND] };
        order.into_iter().for_each(|stream| bench.open(stream, &[LARGE]).unwrap());
        assert!(!bench.closed(DIALLED) && !bench.closed(SECOND), "{peers_first}");
        assert_eq!(bench.stream_of(LARGE), Some(DIALLED));
        let late = bench.say(SECOND, LARGE, vec![ME.into()], &ping());
        assert_eq!(codes(&late), [(DIALLED, MessageCode::PING_ANS)], "what is on its way is not lost");
        bench.with(|o, now, ctx| o.on_stream_closed(now, SECOND, ctx));
        assert_eq!(bench.connected(), [FAR, PEER, LARGE]);
        bench.say(DIALLED, LARGE, vec![ME.into()], &update(vec![]));
        assert!(bench.overlay.topology().contains(LARGE));
    }
}

#[test]
fn a_second_link_that_its_dialler_does_not_close_is_closed_after_the_time_of_a_dial() {
    let mut bench = Bench::linked();
    bench.say(FIRST, LARGE, vec![ME.into()], &offer(&[TLS]));
    [DIALLED, SECOND].into_iter().for_each(|stream| bench.open(stream, &[LARGE]).unwrap());
    bench.wait(seconds(4));
    assert!(bench.closed(SECOND) && !bench.closed(DIALLED));
    assert_eq!(bench.connected(), [PEER, LARGE]);
}

#[test]
fn a_dial_that_fails_or_is_not_answered_is_over_and_may_be_repeated() {
    let mut bench = Bench::linked();
    bench.say(FIRST, FAR, vec![ME.into()], &offer(&[TLS]));
    bench.with(|o, now, ctx| o.on_stream_closed(now, DIALLED, ctx));
    assert_eq!(bench.overlay.links(), 1);
    bench.say(FIRST, FAR, vec![ME.into()], &offer(&[TLS]));
    let again = StreamId::requested_link(1);
    assert!(bench.done.contains(&Effect::Connect { stream: again, to: away() }), "under a new name");
    bench.wait(seconds(4));
    assert!(bench.closed(again));
    assert_eq!(bench.open(again, &[FAR]), Err(DropReason::NotInUse), "too late");
    assert_eq!(bench.connected(), [PEER]);
}

#[test]
fn an_address_where_somebody_was_found_earlier_is_dialled_when_another_node_says_it_is_there() {
    let mut bench = Bench::linked();
    bench.say(FIRST, FAR, vec![ME.into()], &offer(&[TLS]));
    bench.open(DIALLED, &[FAR]).unwrap();
    bench.with(|o, now, ctx| o.on_stream_closed(now, DIALLED, ctx));
    bench.open(SECOND, &[FAR]).unwrap();
    bench.say(FIRST, LARGE, vec![ME.into()], &offer(&[TLS]));
    let again = StreamId::requested_link(1);
    assert!(bench.done.contains(&Effect::Connect { stream: again, to: away() }));
    bench.open(again, &[LARGE]).unwrap();
    assert_eq!(bench.connected(), [FAR, PEER, LARGE]);
}
