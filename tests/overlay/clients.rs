//! Clients (RFC 6940 §4.2): they use the overlay, are reached through the peer that is responsible for them, and nobody
//! routes through them.

use super::network::{Net, address, names, ring, seconds};
use p2piptv::ids::{NodeId, ResourceId};
use p2piptv::reload::overlay::{Fact, OrderError};
use p2piptv::reload::topology::Topology;

/// A new client of the ring.
fn client(net: &mut Net) -> usize {
    let id = net.random_id();
    let client = net.add(id);
    net.with(client, |o, now, ctx| o.join_as_client(now, &[address(0)], ctx)).unwrap();
    net.run(seconds(5));
    assert_eq!(net.nodes[client].facts, [Fact::Joined]);
    assert!(net.nodes[client].overlay.is_client() && !net.nodes[client].overlay.is_joined());
    client
}

/// The peer that is responsible for a node's place.
fn peer_of(net: &Net, client: usize) -> usize {
    let place = ResourceId::from_u128(net.id(client).to_u128());
    let is = |&i: &usize| net.nodes[i].overlay.is_responsible_for(&place);
    let all: Vec<usize> = net.living().into_iter().filter(is).collect();
    assert_eq!(all.len(), 1);
    all[0]
}

fn are_linked(net: &Net, a: usize, b: usize) -> bool {
    let links = |a: usize, b: NodeId| net.nodes[a].overlay.connected().any(|(n, _)| n == b);
    links(a, net.id(b)) && links(b, net.id(a))
}

#[test]
fn cl4_a_client_stores_and_fetches_and_nobody_routes_through_it() {
    for seed in 700..704 {
        let mut net = ring(8, seed);
        let client = client(&mut net);
        net.store(client, 1, "a", b"mine", 600);
        net.store(3, 1, "b", b"theirs", 600);
        net.run(seconds(3));
        net.fetch(client, 2, "b");
        net.fetch(5, 2, "a");
        net.run(seconds(3));
        assert_eq!(net.fetched(client, 2).unwrap().unwrap().len(), 1);
        let found = net.fetched(5, 2).unwrap().unwrap();
        assert_eq!((found.len(), found[0].signer.node_id), (1, net.id(client)));
        assert_eq!(net.nodes[client].overlay.storage().resources().count(), 0);
        let id = net.id(client);
        assert!((0..8).all(|i| !net.nodes[i].overlay.topology().contains(id)), "CH-4");
        names(20).iter().for_each(|name| assert_ne!(net.responsible(name), client));
    }
}

#[test]
fn cl1_a_client_follows_when_a_newcomer_becomes_responsible_for_it() {
    for seed in 710..716 {
        let mut net = ring(6, seed);
        let client = client(&mut net);
        let before = peer_of(&net, client);
        assert!(are_linked(&net, client, before));
        let (me, peer) = (net.id(client).to_u128(), net.id(before).to_u128());
        let between = NodeId::from_u128(me.wrapping_add(peer.wrapping_sub(me) / 2));
        let newcomer = net.add(between);
        net.join(newcomer, &[2]);
        net.run(seconds(10));
        assert_eq!(peer_of(&net, client), newcomer);
        assert!(are_linked(&net, client, newcomer), "seed {seed}");
    }
}

#[test]
fn cl1_a_client_whose_peer_dies_is_found_at_the_next_one() {
    for seed in 720..724 {
        let mut net = ring(8, seed);
        let client = client(&mut net);
        let dies = peer_of(&net, client);
        if dies == 0 {
            // It would know of no other way in.
            continue;
        }
        net.kill(dies);
        net.run(seconds(60));
        assert!(net.nodes[client].overlay.is_client(), "seed {seed}");
        assert!(are_linked(&net, client, peer_of(&net, client)), "seed {seed}");
        net.store(client, 9, "c", b"still here", 600);
        net.run(seconds(3));
        assert!(net.stored(client, 9).unwrap().is_ok());
    }
}

#[test]
fn a_client_leaves_at_once_and_takes_no_orders_afterwards() {
    let mut net = ring(4, 730);
    let client = client(&mut net);
    net.with(client, |o, now, ctx| o.leave(now, ctx)).unwrap();
    assert_eq!(net.nodes[client].facts.last(), Some(&Fact::Left));
    assert_eq!(net.nodes[client].overlay.deadline(), None);
    let resource = ResourceId::of_name(b"a");
    let kind = p2piptv::reload::codec::KindId::CHANNEL;
    let ticket = p2piptv::reload::overlay::Ticket(1);
    let fetch = net.with(client, |o, now, ctx| o.fetch(now, ticket, resource, kind, ctx));
    assert_eq!(fetch, Err(OrderError::NotJoined));
}
