//! What a newcomer may say, and what its coming costs.

use super::network::{Net, names, ring, seconds};
use p2piptv::ids::NodeId;
use p2piptv::reload::codec::{Frame, Message, MessageCode};
use p2piptv::reload::overlay::Fact;
use p2piptv::reload::topology::Topology;
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
