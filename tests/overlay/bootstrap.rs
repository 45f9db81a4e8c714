//! The way in through a bootstrap node (RFC 6940 §11.4), and the way back for whoever has lost everybody.

use super::network::{Net, address, ring, seconds};
use p2piptv::env::{Crypto, InsecureIdentity};
use p2piptv::ids::{NodeId, ResourceId};
use p2piptv::reload::codec::{
    Destination, Frame, Message, MessageCode, SecurityBlock, Signature, message_signature_input,
};
use p2piptv::reload::overlay::Fact;
use p2piptv::reload::topology::Topology;
use p2piptv::stats::DropReason;
use p2piptv::time::Duration;
use std::collections::BTreeSet;

/// Every message that was sent since the frames were emptied and that this node signed, each once.
fn signed_by(net: &Net, node: NodeId) -> Vec<Message> {
    let mut seen = BTreeSet::new();
    let messages = net.frames.iter().filter_map(|frame| match Frame::decode(frame) {
        Ok(Frame::Data { message, .. }) => Message::decode(&message).ok(),
        _ => None,
    });
    let signer = InsecureIdentity::new(node).signer();
    let his = messages.filter(|m| m.security.signature.identity == signer);
    his.filter(|m| seen.insert((m.header.transaction_id, m.contents.message_code))).collect()
}

fn with_code(messages: &[Message], code: MessageCode) -> Vec<&Message> {
    messages.iter().filter(|m| m.contents.message_code == code).collect()
}

/// Who signed the answer with this code.
fn who_answered(net: &Net, request: &Message, code: MessageCode) -> Vec<NodeId> {
    let id = request.header.transaction_id;
    let all = (0..net.nodes.len()).map(|i| net.id(i));
    all.filter(|&n| with_code(&signed_by(net, n), code).iter().any(|m| m.header.transaction_id == id))
        .collect()
}

#[test]
fn bs1_first_a_link_then_an_attach_to_the_place_behind_oneself_and_a_join_to_whoever_answers_it() {
    for seed in 800..806 {
        let mut net = ring(8, seed);
        let id = net.random_id();
        let behind = ResourceId::from_u128(id.to_u128().wrapping_add(1));
        let admitting = (0..8).find(|&i| net.nodes[i].overlay.is_responsible_for(&behind)).unwrap();
        let bootstrap = if admitting == 0 { 1 } else { 0 };
        let joiner = net.add(id);
        net.frames.clear();
        net.join(joiner, &[bootstrap]);
        net.run(seconds(5));
        assert_eq!(net.nodes[joiner].facts.first(), Some(&Fact::Joined));
        let said = signed_by(&net, id);
        let requests: Vec<&Message> = said.iter().filter(|m| m.contents.message_code.is_request()).collect();
        let codes: Vec<MessageCode> = requests[..2].iter().map(|m| m.contents.message_code).collect();
        assert_eq!(codes, [MessageCode::PING_REQ, MessageCode::ATTACH_REQ], "the Ping opens a plain link");
        let destination = &requests[1].header.destination_list;
        assert_eq!(*destination, [Destination::Resource(behind)]);
        assert_eq!(who_answered(&net, requests[1], MessageCode::ATTACH_ANS), [net.id(admitting)]);
        let joins = with_code(&said, MessageCode::JOIN_REQ);
        assert_eq!(joins.len(), 1);
        assert_eq!(joins[0].header.destination_list, [net.id(admitting).into()], "not the bootstrap node");
    }
}

#[test]
fn jl4_an_answer_to_a_join_that_another_node_signed_is_discarded() {
    let mut net = ring(5, 810);
    let id = net.random_id();
    let joiner = net.add(id);
    let stranger = InsecureIdentity::new(NodeId([0x11; 16]));
    net.join(joiner, &[0]);
    let mut forged = 0;
    for _ in 0..200 {
        net.run(Duration::from_millis(5));
        for (_, to, payload) in net.on_the_way.values_mut().filter(|(_, to, _)| *to == joiner) {
            let Ok(Frame::Data { sequence, message }) = Frame::decode(payload) else { continue };
            let mut message = Message::decode(&message).unwrap();
            if message.contents.message_code != MessageCode::JOIN_ANS || forged > 0 {
                continue;
            }
            let (id, contents, identity) =
                (message.header.transaction_id, &message.contents, stranger.signer());
            let input = message_signature_input(message.header.overlay, id, contents, &identity).unwrap();
            let signature = Signature { signed: stranger.sign(&[&input]), identity };
            message.security = SecurityBlock { certificates: vec![], signature };
            *payload = Frame::Data { sequence, message: message.encode().unwrap() }.encode().unwrap();
            assert_eq!(*to, joiner);
            forged += 1;
        }
    }
    assert_eq!(forged, 1);
    assert_eq!(net.nodes[joiner].drops.get(&DropReason::WrongResponder), Some(&1));
    net.run(seconds(10));
    net.assert_ring();
}

#[test]
fn bs2_at_most_ten_addresses_are_remembered_and_of_peers_only_those_that_were_reached() {
    let net = ring(30, 820);
    let mut most = 0;
    for i in 0..30 {
        let kept = net.nodes[i].overlay.bootstraps();
        assert!(kept.len() <= 10, "node {i}: {kept:?}");
        most = most.max(kept.len());
        assert!(!kept.contains(&address(i)), "not itself");
        assert!(i == 0 || kept.contains(&address(0)), "what it was given comes first");
    }
    assert_eq!(most, 10);
}

#[test]
fn cu10_5_whoever_has_lost_all_successors_looks_for_the_ring_again_and_again_and_joins_it_anew() {
    for seed in 830..834 {
        let mut net = ring(6, seed);
        let cut_off = net.id(5);
        net.store(5, 1, "a", b"x", 7200);
        net.run(seconds(5));
        net.cut = Some(5);
        net.run(seconds(60));
        assert!(net.nodes[5].overlay.topology().successors().is_empty());
        net.frames.clear();
        net.run(seconds(60));
        let dialled = with_code(&signed_by(&net, cut_off), MessageCode::PING_REQ).len();
        assert!(dialled >= 8, "it goes on trying: {dialled} times in a minute");
        net.cut = None;
        net.frames.clear();
        net.run(seconds(15));
        let said = signed_by(&net, cut_off);
        let behind = Destination::Resource(ResourceId::from_u128(cut_off.to_u128().wrapping_add(1)));
        let pings = with_code(&said, MessageCode::PING_REQ);
        let search = pings.iter().find(|m| m.header.destination_list.last() == Some(&behind)).unwrap();
        let found = who_answered(&net, search, MessageCode::PING_ANS);
        let joins = with_code(&said, MessageCode::JOIN_REQ);
        assert_eq!(joins.len(), 1, "seed {seed}");
        assert_eq!(joins[0].header.destination_list, [found[0].into()]);
        assert_eq!(who_answered(&net, joins[0], MessageCode::JOIN_ANS), found);
        net.run(seconds(60));
        net.assert_ring();
        assert_eq!(net.holders("a").len(), 3);
    }
}
