//! What a newcomer may say, and what its coming costs.

use super::network::{Net, names, ring, seconds};
use p2piptv::ids::NodeId;
use p2piptv::reload::codec::{Frame, Message, MessageCode};
use p2piptv::reload::overlay::Fact;
use p2piptv::reload::topology::Topology;
use p2piptv::time::Duration;
use std::collections::BTreeSet;

/// A Node-ID in the middle of the gap behind one node.
fn id_behind(net: &Net, i: usize) -> NodeId {
    let me = net.id(i).to_u128();
    let successor = net.nodes[i].overlay.topology().successors()[0].to_u128();
    NodeId::from_u128(me.wrapping_add(successor.wrapping_sub(me) / 2))
}

/// A ring with a newcomer right behind node 3, which it cannot reach.
fn with_an_unreachable_predecessor(seed: u64) -> (Net, usize) {
    let mut net = ring(6, seed);
    names(40).iter().for_each(|name| net.store(0, 1, name, b"x", 7200));
    net.run(seconds(5));
    let id = id_behind(&net, 3);
    let joiner = net.add(id);
    net.blocked.insert((3, joiner));
    let through = (0..6).find(|&i| i != 3).unwrap();
    net.join(joiner, &[through]);
    (net, joiner)
}

#[test]
fn jl5_a_newcomer_never_says_that_there_is_nothing_at_a_place_of_a_predecessor_it_cannot_reach() {
    for seed in 400..404 {
        let (mut net, joiner) = with_an_unreachable_predecessor(seed);
        net.run(seconds(40));
        assert_eq!(net.nodes[joiner].facts.first(), Some(&Fact::Joined));
        for name in names(40) {
            net.responsible(&name);
            net.fetch(joiner, 1, &name);
            net.run(seconds(2));
            let answer = net.fetched(joiner, 1).unwrap();
            assert!(answer.as_ref().is_ok_and(|v| v.len() == 1), "{name}, seed {seed}: {answer:?}");
            net.nodes[joiner].facts.clear();
        }
    }
}

#[test]
fn a_newcomer_takes_over_from_a_predecessor_that_is_gone() {
    let (mut net, joiner) = with_an_unreachable_predecessor(410);
    net.run(seconds(40));
    net.kill(3);
    net.run(seconds(180));
    net.assert_ring();
    names(40).iter().for_each(|name| assert!(net.responsible(name) != 3));
    assert!(net.nodes[joiner].overlay.topology().presumed().is_none());
}

/// How long it takes until all of these are in.
fn wait_for(net: &mut Net, joiners: &[usize], limit: Duration) -> Duration {
    let begin = net.now;
    while !joiners.iter().all(|&i| net.nodes[i].overlay.is_joined()) {
        assert!(net.now < begin + limit, "not within {limit:?}");
        net.run(Duration::from_millis(20));
    }
    net.now.since(begin)
}

#[test]
fn newcomers_into_one_gap_wait_for_nobody_who_is_not_there_or_has_spoken_already() {
    for seed in 420..440 {
        let mut net = ring(10, seed);
        let before = net.id(3).to_u128();
        let gap = net.nodes[3].overlay.topology().successors()[0].to_u128().wrapping_sub(before);
        let newcomers: Vec<usize> = (1..5)
            .map(|n| {
                let joiner = net.add(NodeId::from_u128(before.wrapping_add(gap / 5 * n)));
                net.join(joiner, &[5]);
                net.run(Duration::from_millis(130));
                joiner
            })
            .collect();
        // One after the other, with pauses of 1 to 2 s where somebody is being admitted; a request would be given up after
        // 15 s.
        let took = wait_for(&mut net, &newcomers, seconds(60));
        assert!(took < seconds(12), "seed {seed}: {took:?}");
        net.run(seconds(20));
        net.assert_ring();
    }
}

#[test]
fn a_newcomer_whose_admitting_peer_dies_after_the_grant_is_let_in_by_the_next() {
    for seed in 440..446 {
        let mut net = ring(12, seed);
        let id = id_behind(&net, 3);
        let admitting = net.nodes[3].overlay.topology().successors()[0];
        let admitting = (0..12).find(|&i| net.id(i) == admitting).unwrap();
        let joiner = net.add(id);
        let through = (0..12).find(|&i| i != 3 && i != admitting).unwrap();
        net.join(joiner, &[through]);
        net.frames.clear();
        let code = |frame: &bytes::Bytes| match Frame::decode(frame) {
            Ok(Frame::Data { message, .. }) => {
                Message::decode(&message).ok().map(|m| m.contents.message_code)
            }
            _ => None,
        };
        while !net.frames.iter().any(|f| code(f) == Some(MessageCode::JOIN_ANS)) {
            net.run(Duration::from_millis(1));
        }
        // The grant arrives, the Update that makes it a member does not. Nothing is under way to the dead peer that would
        // show that it is dead.
        net.kill(admitting);
        net.on_the_way.retain(|_, (from, to, datagram)| {
            (*from, *to) != (admitting, joiner) || code(datagram) != Some(MessageCode::UPDATE_REQ)
        });
        // 9.75 s until it is missed, a pause of 1 to 2 s, and the join itself, which others may still send to the dead peer.
        let took = wait_for(&mut net, &[joiner], seconds(120));
        assert!(took < seconds(20), "seed {seed}: {took:?}");
        net.run(seconds(60));
        net.assert_ring();
    }
}

/// Messages that everybody together sends in five seconds, hop by hop and without ACKs, and different Updates among them.
fn messages_in_five_seconds(net: &mut Net) -> (usize, usize) {
    net.frames.clear();
    net.run(seconds(5));
    let messages = net.frames.iter().filter_map(|frame| match Frame::decode(frame) {
        Ok(Frame::Data { message, .. }) => Message::decode(&message).ok(),
        _ => None,
    });
    let messages: Vec<Message> = messages.collect();
    let updates = messages.iter().filter(|m| m.contents.message_code == MessageCode::UPDATE_REQ);
    let updates: BTreeSet<u64> = updates.map(|m| m.header.transaction_id).collect();
    (messages.len(), updates.len())
}

#[test]
fn cu10_8_a_join_makes_no_more_updates_than_the_rfc_asks_for_however_large_the_ring() {
    for (n, seed) in [(20, 420), (100, 421)] {
        let mut net = ring(n, seed);
        net.run(seconds(120));
        let quiet = messages_in_five_seconds(&mut net);
        let id = net.random_id();
        let joiner = net.add(id);
        net.join(joiner, &[0]);
        let busy = messages_in_five_seconds(&mut net);
        net.assert_ring();
        // Everybody whose neighbor table changed tells its Connection Table; with whom the newcomer attaches, it
        // exchanges one Update each way more. A quarter more than that is for changes that came one by one.
        let connections = |i: usize| net.nodes[i].overlay.connected().count();
        let changed = |i: &usize| {
            let topology = net.nodes[*i].overlay.topology();
            topology.successors().contains(&id) || topology.predecessors().contains(&id)
        };
        let told: usize = net.living().into_iter().filter(changed).map(connections).sum();
        let asked_for = told + 3 * connections(joiner);
        assert!(
            busy.1 <= quiet.1 + asked_for * 5 / 4,
            "{n}: {busy:?} against {quiet:?}, {asked_for} asked for"
        );
    }
}
