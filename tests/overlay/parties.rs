//! Whose a link is: the Node-IDs of a certificate, which of them is meant, and who may speak over it (RX, SB).

use super::bench::{
    Bench, DIALLED, FIRST, JOINER, LARGE, SECOND, TLS, codes, error, find, offer, stolen, written,
};
use super::network::seconds;
use super::wire::{FAR, ME, OVERLAY, PEER, anywhere, away, compose, home, ping};
use bytes::Bytes;
use p2piptv::effect::Effect;
use p2piptv::ids::{NodeId, ResourceId, StreamId};
use p2piptv::reload::codec::body::{JoinReq, PingAns};
use p2piptv::reload::codec::{Body, ErrorCode, Frame, Message, MessageCode, MessageContents};
use p2piptv::reload::overlay::{Config, LinkSecurity, Overlay};
use p2piptv::reload::topology::Topology;
use p2piptv::stats::DropReason;
use p2piptv::time::UnixMillis;

#[test]
fn at11_nobody_is_linked_under_this_nodes_own_name_or_as_everybody() {
    let mut bench = Bench::new(LinkSecurity::Tls);
    for node in [ME, NodeId::WILDCARD] {
        assert_eq!(bench.open(FIRST, &[node]), Err(DropReason::NotAllowedOnLink));
        assert!(bench.closed(FIRST));
    }
    assert_eq!(bench.overlay.links(), 0);
}

#[test]
fn sb8_a_bad_node_gets_no_link() {
    let mut config = Config { security: LinkSecurity::Tls, ..Config::new(OVERLAY, home()) };
    config.bad_nodes = vec![PEER];
    let mut bench = Bench::with_config(config);
    assert_eq!(bench.open(FIRST, &[PEER]), Err(DropReason::NotAllowedOnLink));
    assert_eq!(
        bench.open(SECOND, &[FAR, PEER]),
        Err(DropReason::NotAllowedOnLink),
        "under none of its names"
    );
    assert!(bench.closed(FIRST) && bench.closed(SECOND));
    bench.open(FIRST, &[FAR]).unwrap();
}

#[test]
fn rx12_a_certificate_with_several_node_ids_may_ping_and_attach_until_it_is_known_which_is_meant() {
    let mut bench = Bench::new(LinkSecurity::Tls);
    bench.open(FIRST, &[PEER, FAR]).unwrap();
    assert_eq!(bench.connected(), [], "nobody knows yet");
    assert_eq!(error(bench.say(FIRST, FAR, vec![anywhere().into()], &find())), Some(ErrorCode::FORBIDDEN));
    assert_eq!(bench.connected(), [FAR]);
    let answers = bench.say(FIRST, FAR, vec![NodeId::WILDCARD.into()], &ping());
    assert_eq!(codes(&answers), [(FIRST, MessageCode::PING_ANS)], "CL-3");
    assert_eq!(error(bench.say(FIRST, FAR, vec![anywhere().into()], &find())), Some(ErrorCode::FORBIDDEN));
    bench.say(FIRST, FAR, vec![ME.into()], &offer(&[TLS]));
    let answers = bench.say(FIRST, FAR, vec![anywhere().into()], &find());
    assert_eq!(codes(&answers), [(FIRST, MessageCode::FIND_ANS)]);
}

#[test]
fn rx12_nobody_introduces_himself_with_a_node_id_that_his_certificate_does_not_name() {
    let mut bench = Bench::new(LinkSecurity::Tls);
    bench.open(FIRST, &[PEER, FAR]).unwrap();
    let forged = bench.compose(LARGE, vec![NodeId::WILDCARD.into()], &ping());
    assert_eq!(bench.exchange(FIRST, &forged).0, Err(DropReason::NotAllowedOnLink));
    let mut passed_on = bench.compose(LARGE, vec![ME.into()], &ping());
    passed_on.header.via_list = vec![PEER.into()];
    assert_eq!(bench.exchange(FIRST, &passed_on).0, Err(DropReason::NotAllowedOnLink));
    assert!(bench.connected().is_empty());
    bench.wait(seconds(4));
    assert!(bench.closed(FIRST), "there is a time for introductions");
}

#[test]
fn rx12_at15_a_node_with_several_node_ids_that_was_dialled_is_whom_the_attach_promised() {
    let mut bench = Bench::linked();
    bench.say(FIRST, FAR, vec![ME.into()], &offer(&[TLS]));
    bench.open(DIALLED, &[LARGE, FAR]).unwrap();
    assert_eq!(bench.connected(), [FAR, PEER]);
    let answers = bench.say(DIALLED, FAR, vec![anywhere().into()], &find());
    assert_eq!(codes(&answers), [(DIALLED, MessageCode::FIND_ANS)]);
}

#[test]
fn cl3_a_bootstrap_node_with_several_node_ids_is_pinged_to_learn_which_it_is() {
    let mut bench = Bench::new(LinkSecurity::Tls);
    let config = Config { security: LinkSecurity::Tls, ..Config::new(OVERLAY, home()) };
    bench.overlay = Overlay::new(config, ME).unwrap();
    bench.with(|o, now, ctx| o.join(now, &[away()], ctx)).unwrap();
    assert_eq!(bench.done, [Effect::Connect { stream: DIALLED, to: away() }]);
    bench.open(DIALLED, &[PEER, FAR]).unwrap();
    let (_, Frame::Data { message, .. }) = written(&bench.done[1]).unwrap() else { panic!() };
    let hello = Message::decode(&message).unwrap();
    assert_eq!(hello.header.destination_list, [NodeId::WILDCARD.into()]);
    let pong = PingAns { response_id: 1, time: UnixMillis(1) };
    let contents = MessageContents::new(&Body::PingAns(pong)).unwrap();
    let answer = compose(FAR, hello.header.transaction_id, vec![ME.into()], contents);
    let (result, next) = bench.exchange(DIALLED, &answer);
    result.unwrap();
    assert_eq!(codes(&next), [(DIALLED, MessageCode::ATTACH_REQ)]);
    assert_eq!(bench.connected(), [FAR]);
}

#[test]
fn rx13_the_answer_to_a_joining_nodes_attach_comes_back_through_its_bootstrap_node() {
    let mut bench = Bench::with_peer();
    bench.open(SECOND, &[LARGE]).unwrap();
    let place = ResourceId::from_u128(PEER.to_u128());
    let asked = bench.say(SECOND, LARGE, vec![place.into()], &offer(&[TLS]));
    let [(FIRST, request)] = &asked[..] else { panic!("{:?}", codes(&asked)) };
    assert_eq!(request.header.via_list, [LARGE.into()], "SB-5: the previous hop is whom the link binds");
    let Body::AttachReq(answer) = offer(&[TLS]) else { panic!() };
    let contents = MessageContents::new(&Body::AttachAns(answer)).unwrap();
    let answer = compose(PEER, request.header.transaction_id, vec![ME.into(), LARGE.into()], contents);
    let (_, back) = bench.exchange(FIRST, &answer);
    assert_eq!(codes(&back), [(SECOND, MessageCode::ATTACH_ANS)]);
}

#[test]
fn jl2_a_join_counts_over_the_link_that_its_node_is_bound_to_and_over_no_other() {
    let mut bench = Bench::with_peer();
    bench.open(SECOND, &[JOINER]).unwrap();
    bench.say(SECOND, JOINER, vec![ME.into()], &offer(&[TLS]));
    let join = Body::JoinReq(JoinReq { joining_peer_id: JOINER, overlay_specific_data: Bytes::new() });
    let over_anothers = bench.say(FIRST, JOINER, vec![ME.into()], &join);
    assert_eq!(error(over_anothers), Some(ErrorCode::FORBIDDEN));
    let mut message = bench.compose(JOINER, vec![ME.into()], &join);
    // Some put themselves into the Via List of what they originate.
    message.header.via_list = vec![JOINER.into()];
    let answers = bench.exchange(SECOND, &message).1;
    assert!(codes(&answers).contains(&(SECOND, MessageCode::JOIN_ANS)), "{:?}", codes(&answers));
    assert_eq!(answers[0].1.header.destination_list, [JOINER.into()]);
}

#[test]
fn rx8_an_originator_that_put_itself_into_the_via_list_stands_there_once_behind_this_node() {
    let mut bench = Bench::with_peer();
    bench.open(SECOND, &[LARGE]).unwrap();
    let mut message = bench.compose(LARGE, vec![PEER.into()], &ping());
    message.header.via_list = vec![LARGE.into()];
    let passed_on = bench.exchange(SECOND, &message).1;
    assert_eq!(passed_on[0].1.header.via_list, [LARGE.into()]);
}

#[test]
fn a_second_key_for_a_node_id_gets_no_link_while_the_first_one_lives() {
    let mut bench = Bench::with_peer();
    bench.now += seconds(60);
    assert_eq!(bench.open_as(SECOND, stolen(PEER)), Err(DropReason::NotAllowedOnLink));
    assert!(bench.closed(SECOND) && !bench.closed(FIRST));
    assert!(bench.overlay.topology().contains(PEER));
    bench.deaf = true;
    bench.say(FIRST, PEER, vec![ME.into()], &ping());
    bench.wait(seconds(2));
    bench.open_as(StreamId::accepted(3), stolen(PEER)).unwrap();
    assert!(bench.closed(FIRST), "once it is degraded the newcomer is believed");
    assert_eq!(bench.connected(), [PEER]);
    assert!(!bench.overlay.topology().contains(PEER), "and begins anew");
}

#[test]
fn a_node_that_dials_again_with_the_same_key_has_forgotten_the_link_and_begins_anew() {
    for after in [1, 60] {
        let mut bench = Bench::with_peer();
        bench.now += seconds(after);
        bench.open(SECOND, &[PEER]).unwrap();
        assert!(bench.closed(FIRST) && !bench.closed(SECOND));
        assert_eq!(bench.stream_of(PEER), Some(SECOND));
        assert!(!bench.overlay.topology().contains(PEER));
        bench.become_peer(SECOND, PEER);
    }
}
