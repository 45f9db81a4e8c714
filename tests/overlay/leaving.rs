//! How overlays end: one node goes, many go at once, all go, and nobody waits for anybody who is gone.

use super::network::{Net, names, ring, ring_with_loss, seconds};
use bytes::Bytes;
use p2piptv::ids::NodeId;
use p2piptv::reload::codec::{Destination, Frame, Message, MessageCode};
use p2piptv::reload::overlay::Fact;
use p2piptv::reload::topology::Topology;
use p2piptv::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn leave(net: &mut Net, i: usize) {
    net.with(i, |o, now, ctx| o.leave(now, ctx)).unwrap();
}

/// How long each of these nodes needs to leave when all of them are told to at the same time.
fn leave_together(net: &mut Net, leavers: &[usize]) -> Vec<Duration> {
    let begin = net.now;
    leavers.iter().for_each(|&i| leave(net, i));
    let mut left: BTreeMap<usize, Instant> = BTreeMap::new();
    while left.len() < leavers.len() {
        for &i in leavers {
            if net.nodes[i].facts.last() == Some(&Fact::Left) {
                left.entry(i).or_insert(net.now);
            }
        }
        assert!(net.now < begin + seconds(10), "{} of {} have left", left.len(), leavers.len());
        net.run(ms(5));
    }
    left.values().map(|&at| at.since(begin)).collect()
}

#[test]
fn jl7_a_leaver_tells_everybody_it_is_linked_to_and_they_close_the_ring_at_once() {
    let mut net = ring(12, 301);
    names(20).iter().for_each(|name| net.store(2, 1, name, b"x", 7200));
    net.run(seconds(5));
    let leaver = net.responsible("channel 0");
    let gone = net.id(leaver);
    let linked: BTreeSet<NodeId> = net.nodes[leaver].overlay.connected().map(|(n, _)| n).collect();
    let unattached = net.nodes[0].overlay.connected().any(|(n, _)| n == gone);
    assert!(linked.len() >= 6 && (leaver == 0 || unattached), "the bootstrap node among them");
    net.frames.clear();
    leave(&mut net, leaver);
    net.run(ms(1000));
    let told: BTreeSet<NodeId> = net.frames.iter().filter_map(leave_to).collect();
    assert_eq!(told, linked);
    for i in (0..12).filter(|&i| i != leaver) {
        assert!(!net.nodes[i].overlay.topology().contains(gone), "node {i} heard of it, and asked nobody");
    }
    net.kill(leaver);
    net.run(seconds(2));
    net.assert_ring();
    names(20)
        .iter()
        .for_each(|name| assert_eq!(net.holders(name).len(), 3, "{name}: Stores and Updates followed"));
}

/// To whom this frame says goodbye.
fn leave_to(frame: &Bytes) -> Option<NodeId> {
    let Ok(Frame::Data { message, .. }) = Frame::decode(frame) else { return None };
    let message = Message::decode(&message).ok()?;
    let is_leave = message.contents.message_code == MessageCode::LEAVE_REQ;
    match message.header.destination_list.last() {
        Some(Destination::Node(to)) if is_leave => Some(*to),
        _ => None,
    }
}

#[test]
fn the_only_node_of_an_overlay_leaves_at_once() {
    let mut net = ring(1, 1);
    net.store(0, 1, "a", b"x", 600);
    leave(&mut net, 0);
    assert_eq!(net.nodes[0].facts.last(), Some(&Fact::Left));
    assert_eq!(net.nodes[0].overlay.deadline(), None);
}

#[test]
fn a_node_whose_only_neighbour_is_leaving_too_waits_for_nobody() {
    for seed in 0..8 {
        let mut net = ring(2, 300 + seed);
        net.store(1, 1, "a", b"x", 600);
        net.run(seconds(1));
        let took = leave_together(&mut net, &[0, 1]);
        assert!(took.iter().all(|&t| t < ms(300)), "seed {seed}: {took:?}");
    }
}

#[test]
fn a_node_whose_only_neighbour_has_left_leaves_at_once() {
    let mut net = ring(2, 310);
    leave(&mut net, 0);
    net.run(seconds(1));
    net.kill(0);
    leave(&mut net, 1);
    assert_eq!(net.nodes[1].facts.last(), Some(&Fact::Left));
}

#[test]
fn when_all_leave_together_none_waits_for_the_limit() {
    for (n, seed) in [(3, 320), (5, 321), (12, 322), (20, 323)] {
        let mut net = ring(n, seed);
        names(20).iter().for_each(|name| net.store(0, 1, name, b"x", 600));
        net.run(seconds(5));
        let all: Vec<usize> = (0..n).collect();
        let took = leave_together(&mut net, &all);
        assert!(took.iter().all(|&t| t < ms(1000)), "{n} nodes: {took:?}");
    }
}

#[test]
fn when_all_leave_together_over_a_bad_network_the_limit_still_holds() {
    let mut net = ring_with_loss(6, 330, 10);
    net.run(seconds(120));
    let took = leave_together(&mut net, &[0, 1, 2, 3, 4, 5]);
    assert!(took.iter().all(|&t| t <= seconds(3) + ms(5)), "{took:?}");
}

#[test]
fn those_who_stay_keep_every_value_when_four_in_a_row_leave_together() {
    for seed in 340..344 {
        let mut net = ring(10, seed);
        names(30).iter().for_each(|name| net.store(0, 1, name, b"x", 7200));
        net.run(seconds(5));
        // Node 0 stays; the four who follow it on the ring leave.
        let mut on_the_ring: Vec<usize> = (0..10).collect();
        on_the_ring.sort_unstable_by_key(|&i| net.id(i).to_u128().wrapping_sub(net.id(0).to_u128()));
        let leavers = &on_the_ring[1..5];
        leave_together(&mut net, leavers);
        leavers.iter().for_each(|&i| net.kill(i));
        net.run(seconds(60));
        net.assert_ring();
        for name in names(30) {
            assert_eq!(net.holders(&name).len(), 3, "{name}, seed {seed}");
        }
    }
}

#[test]
fn a_leaver_hands_over_what_still_waits_for_the_hold_down() {
    let mut net = ring(6, 350);
    names(60).iter().for_each(|name| net.store(0, 1, name, b"x", 7200));
    net.run(seconds(5));
    // Whoever holds replicas dies, and before the hold-down is over the responsible node leaves.
    let leaver = net.responsible("channel 0");
    let successor = net.nodes[leaver].overlay.topology().successors()[0];
    let dies = (0..6).find(|&i| net.id(i) == successor).unwrap();
    net.kill(dies);
    while net.nodes[leaver].overlay.topology().contains(successor) {
        net.run(Duration::from_millis(10));
    }
    let held: Vec<String> = names(60).into_iter().filter(|n| net.holders(n).contains(&leaver)).collect();
    assert!(held.len() > 8, "more than goes at one time");
    leave_together(&mut net, &[leaver]);
    net.kill(leaver);
    net.run(seconds(60));
    net.assert_ring();
    for name in held {
        assert_eq!(net.holders(&name).len(), 3, "{name}");
    }
}
