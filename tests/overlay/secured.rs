//! Whole overlays over secured links.

use super::bench::SECURED;
use super::network::{Net, names, ring_over, seconds};
use p2piptv::ids::NodeId;
use p2piptv::reload::overlay::{Fact, LinkSecurity};
use p2piptv::stats::DropReason;
use std::collections::BTreeSet;

/// Everybody's links, by both ends.
fn links_of(net: &Net) -> BTreeSet<(usize, usize)> {
    let at = |id: NodeId| (0..net.nodes.len()).find(|&i| net.id(i) == id).unwrap();
    net.living()
        .into_iter()
        .flat_map(|i| net.nodes[i].overlay.connected().map(move |(n, _)| (i, n)).collect::<Vec<_>>())
        .map(|(i, n)| (i, at(n)))
        .collect()
}

#[test]
fn lt3_lt2_rings_form_over_tls_and_over_dtls_and_nobody_drops_anything() {
    for security in SECURED {
        for n in [1, 2, 3, 8] {
            let net = ring_over(security, n, 77 + n as u64);
            net.assert_ring();
            for node in &net.nodes {
                let strange = |r: &&DropReason| {
                    !matches!(
                        r,
                        DropReason::NoRoute | DropReason::NotConnected | DropReason::UnknownTransaction
                    )
                };
                let strange: Vec<_> = node.drops.keys().filter(strange).collect();
                assert_eq!(strange, Vec::<&DropReason>::new(), "{security:?} {n}");
            }
        }
    }
}

#[test]
fn at6_at5_everybody_joining_at_once_gives_one_stream_for_each_pair_that_is_linked() {
    for seed in 0..4 {
        let mut net = Net { security: LinkSecurity::Tls, ..Net::new(seed) };
        for i in 0..8 {
            let id = net.random_id();
            net.add(id);
            if i == 0 {
                net.create(0);
            } else {
                net.join(i, &[0]);
            }
        }
        net.run(seconds(120));
        net.assert_ring();
        let links = links_of(&net);
        assert!(links.iter().all(|&(a, b)| links.contains(&(b, a))), "both ends agree, seed {seed}");
        assert_eq!(net.underlay.streams() * 2, links.len(), "seed {seed}");
    }
}

#[test]
fn lt5_cu10_3_a_ring_over_secured_links_survives_a_silent_death_and_keeps_its_values() {
    for security in SECURED {
        let mut net = ring_over(security, 8, 5);
        for name in names(5) {
            net.store(1, 1, &name, b"x", 3600);
            net.run(seconds(2));
        }
        let victim = net.responsible("channel 0");
        net.kill(victim);
        net.run(seconds(180));
        net.assert_ring();
        let asker = net.living()[0];
        for (ticket, name) in names(5).iter().enumerate() {
            net.fetch(asker, 100 + ticket as u64, name);
            net.run(seconds(5));
            let values = net.fetched(asker, 100 + ticket as u64).unwrap().unwrap();
            assert_eq!(values.len(), 1, "{security:?} {name}");
        }
    }
}

#[test]
fn lt3_a_cut_of_ten_seconds_closes_no_stream_and_the_ring_is_whole_again() {
    let mut net = ring_over(LinkSecurity::Tls, 6, 9);
    let before = net.underlay.streams();
    net.cut = Some(3);
    net.run(seconds(10));
    net.cut = None;
    net.run(seconds(180));
    net.assert_ring();
    assert!(net.underlay.streams() >= before - 1, "{} of {before}", net.underlay.streams());
}

#[test]
fn a_node_that_was_switched_off_and_joins_again_takes_its_place() {
    for security in SECURED {
        let mut net = ring_over(security, 5, 11);
        net.kill(2);
        net.run(seconds(1));
        net.restart(2);
        net.join(2, &[0]);
        net.run(seconds(120));
        net.assert_ring();
        assert!(net.nodes[2].facts.contains(&Fact::Joined), "{security:?}");
    }
}
