//! What a node stores about itself (RFC 6940 §8, §9).

use super::net::*;
use p2piptv::ids::ResourceId;
use p2piptv::reload::codec::KindId;
use p2piptv::reload::overlay::{Config, Fact, Overlay, Slot};
use p2piptv::reload::storage::node_multiple;
use p2piptv::sim::{Authority, Certificate, Certified};
use p2piptv::time::Duration;
use std::net::SocketAddr;

fn publishing(config: &mut Config) {
    config.usages.lifetime = Some(Duration::from_secs(200));
}

#[test]
fn cs8_1_kn2_a_certificate_is_found_by_node_and_by_user_and_a_renewed_one_stands_behind_it() {
    let people = ["", "alice@x", "bob@x"].map(person).to_vec();
    let mut net = Net::configured(&home("x"), people, publishing);
    let by_node = ResourceId::of_name(&net.id(1).0);
    let by_user = home("alice@x");
    let der = net.nodes[1].crypto.certificate().clone();
    let fetched = |net: &mut Net, at: &ResourceId, kind| {
        let got = net.fetch(2, at, vec![all(kind)]).unwrap();
        got.values.into_iter().map(|v| (v.slot, v.value.unwrap())).collect::<Vec<_>>()
    };
    let first = [(Slot::Index(0), der.clone())];
    assert_eq!(fetched(&mut net, &by_node, KindId::CERTIFICATE_BY_NODE), first);
    assert_eq!(fetched(&mut net, &by_user, KindId::CERTIFICATE_BY_USER), first);
    let no_name = ResourceId::of_name(b"");
    assert_eq!(fetched(&mut net, &no_name, KindId::CERTIFICATE_BY_USER), [], "node 0 has no user name");
    net.run(250);
    assert_eq!(fetched(&mut net, &by_user, KindId::CERTIFICATE_BY_USER), first, "stored again in its place");
    let renewed = Certificate { key: 1, padding: 5, ..Certificate::of_user("alice@x", net.id(1)) };
    net.nodes[1].crypto = Authority::new(1).issue(&renewed);
    let new = net.nodes[1].crypto.certificate().clone();
    net.run(100);
    let both = [(Slot::Index(0), der), (Slot::Index(1), new)];
    assert_eq!(fetched(&mut net, &by_user, KindId::CERTIFICATE_BY_USER), both, "the newest at the end");
    assert_eq!(fetched(&mut net, &by_node, KindId::CERTIFICATE_BY_NODE), both);
}

#[test]
fn ce10_a_self_signed_node_whose_user_name_is_taken_is_told_and_does_not_stand_under_it() {
    let people = ["", "alice@x", "alice@x"].map(person).to_vec();
    let mut net = Net::identified(&home("x"), people, publishing, Certified::self_signed);
    let holds = |net: &mut Net, at: &ResourceId, kind| {
        let got = net.fetch(0, at, vec![all(kind)]).unwrap();
        got.values.into_iter().map(|v| v.value.unwrap()).collect::<Vec<_>>()
    };
    let (first, second) =
        (net.nodes[1].crypto.certificate().clone(), net.nodes[2].crypto.certificate().clone());
    let taken = Fact::UserNameTaken { by: net.id(1) };
    assert!(net.nodes[2].facts.contains(&taken) && !net.nodes[1].facts.contains(&taken));
    let (by_user, by_node) = (home("alice@x"), ResourceId::of_name(&net.id(2).0));
    assert_eq!(holds(&mut net, &by_user, KindId::CERTIFICATE_BY_USER), [first]);
    assert_eq!(
        holds(&mut net, &by_node, KindId::CERTIFICATE_BY_NODE),
        std::slice::from_ref(&second),
        "under its Node-ID it is"
    );
    // The first one goes, and its certificate expires.
    net.with(1, |o, now, ctx| o.leave(now, ctx)).unwrap();
    net.run(5);
    net.nodes[1].alive = false;
    net.run(400);
    assert_eq!(holds(&mut net, &by_user, KindId::CERTIFICATE_BY_USER), [second], "the name is free");
}

#[test]
fn ce10_a_name_that_an_authority_gave_to_two_nodes_belongs_to_both() {
    let people = ["", "alice@x", "alice@x"].map(person).to_vec();
    let mut net = Net::configured(&home("x"), people, publishing);
    let got = net.fetch(0, &home("alice@x"), vec![all(KindId::CERTIFICATE_BY_USER)]).unwrap();
    assert_eq!(got.values.len(), 2);
    assert!(!net.nodes.iter().any(|n| n.facts.iter().any(|f| matches!(f, Fact::UserNameTaken { .. }))));
}

fn find_turn(net: &mut Net, i: usize) -> Option<SocketAddr> {
    let order = |o: &mut Overlay<_>, now, ticket, ctx: &mut p2piptv::reload::overlay::Context<'_>| {
        o.find_turn_server(now, ticket, ctx)
    };
    net.outcome(i, order, |fact, ticket| match fact {
        Fact::TurnServerFound { ticket: t, result } if *t == ticket => Some(result.unwrap()),
        _ => None,
    })
}

/// Three nodes of which the second one runs a TURN server.
fn with_turn(server: &str, density: u8) -> Net {
    let server: SocketAddr = server.parse().unwrap();
    let runs_it = SocketAddr::from(([10, 0, 0, 1], 6084));
    let configure = move |config: &mut Config| {
        publishing(config);
        config.usages.turn_density = density;
        config.usages.turn_server = (config.address == runs_it).then_some(server);
    };
    Net::configured(&home("x"), ["", "", ""].map(person).to_vec(), configure)
}

#[test]
fn tu1_a_turn_server_stands_at_as_many_places_as_the_density_says_and_twenty_at_most() {
    for (density, places) in [(0, 0), (3, 3), (25, 20)] {
        let mut net = with_turn("192.0.2.1:3478", density);
        let found: Vec<u8> = (1..=25)
            .filter(|&d| {
                let at = node_multiple(net.id(1), d);
                !net.fetch(2, &at, vec![all(KindId::TURN_SERVICE)]).unwrap().values.is_empty()
            })
            .collect();
        assert_eq!(found, (1..=places).collect::<Vec<u8>>());
    }
}

#[test]
fn tu1_a_server_that_strangers_cannot_reach_is_not_offered() {
    for private in ["10.1.2.3:3478", "192.168.0.1:3478", "127.0.0.1:3478", "[::1]:3478", "[fe80::1]:3478"] {
        let net = with_turn(private, 3);
        assert!(
            net.nodes
                .iter()
                .all(|n| { n.overlay.storage().resources_with(KindId::TURN_SERVICE).next().is_none() })
        );
    }
}

#[test]
fn tu2_a_turn_server_is_found_by_finds_at_random_places() {
    let mut net = with_turn("192.0.2.1:3478", 4);
    for i in 0..3 {
        assert_eq!(find_turn(&mut net, i), Some("192.0.2.1:3478".parse().unwrap()), "node {i}");
    }
    let mut without = with_turn("192.0.2.1:3478", 0);
    assert_eq!(find_turn(&mut without, 0), None);
}
