//! Rings: they form, lose and gain members, are cut and whole again, and keep what was stored in them.

use super::network::{Net, address, names, ring, ring_with_loss, seconds, slot_of};
use bytes::Bytes;
use p2piptv::chord::REPLICAS;
use p2piptv::env::{Entropy, Seeded};
use p2piptv::ids::{NodeId, ResourceId};
use p2piptv::reload::codec::KindId;
use p2piptv::reload::overlay::{Address, Fact, Failure, OrderError, Slot, Ticket};
use p2piptv::reload::topology::Topology;
use p2piptv::time::{Duration, Instant};
use std::net::SocketAddr;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn cu10_2_ch5_rings_of_1_2_3_4_and_20_nodes_form() {
    for n in [1, 2, 3, 4, 20] {
        let net = ring(n, n as u64);
        net.assert_ring();
        for i in 0..n {
            assert_eq!(net.nodes[i].facts.first(), Some(&Fact::Joined), "node {i} of {n}");
        }
    }
}

#[test]
fn ch2_the_ranges_of_a_live_ring_partition_all_places() {
    let mut net = ring(20, 1);
    for _ in 0..1000 {
        let resource = ResourceId::from_u128(net.random_id().to_u128());
        let count = net.nodes.iter().filter(|n| n.overlay.is_responsible_for(&resource)).count();
        assert_eq!(count, 1);
    }
}

#[test]
fn ch3_every_lookup_of_everybody_is_answered_and_few_hops_are_enough() {
    let mut net = ring(20, 2);
    for name in names(10) {
        net.store(3, 1, &name, b"here", 600);
        net.run(seconds(2));
        for i in 0..20 {
            net.fetch(i, 1000, &name);
        }
        net.run(seconds(2));
        for i in 0..20 {
            let values = net.fetched(i, 1000).unwrap().unwrap();
            assert_eq!(values.len(), 1, "node {i}");
            assert_eq!(
                (values[0].signer.node_id, values[0].value.as_deref()),
                (net.id(3), Some(&b"here"[..]))
            );
            net.nodes[i].facts.clear();
        }
        let resource = ResourceId::of_name(name.as_bytes());
        let target = net.id(net.responsible(&name));
        for start in 0..20 {
            let (mut at, mut hops) = (start, 0);
            while net.id(at) != target {
                let next = net.nodes[at].overlay.topology().next_hop(resource.to_u128().unwrap()).unwrap();
                at = (0..20).find(|&i| net.id(i) == next).unwrap();
                hops += 1;
                assert!(hops <= 6, "from {start}");
            }
        }
    }
}

#[test]
fn st7_a_store_counts_generations_and_a_fetch_of_nothing_is_empty() {
    let mut net = ring(4, 3);
    net.store(1, 1, "a", b"first", 60);
    net.run(seconds(1));
    net.store(2, 1, "a", b"second", 60);
    net.run(seconds(1));
    assert_eq!((net.stored(1, 1), net.stored(2, 1)), (Some(Ok(1)), Some(Ok(2))));
    net.fetch(0, 1, "a");
    net.fetch(0, 2, "b");
    net.run(seconds(1));
    assert_eq!(net.fetched(0, 1).unwrap().unwrap().len(), 2);
    assert_eq!(net.fetched(0, 2).unwrap().unwrap(), []);
}

#[test]
fn st19_a_removed_value_is_told_as_removed_with_its_writers_signature_until_it_expires() {
    let mut net = ring(4, 4);
    net.store(1, 1, "a", b"first", 60);
    net.run(seconds(1));
    let at = slot_of(&net, 1, "a");
    net.with(1, |o, now, ctx| o.remove(now, Ticket(2), at, seconds(60), ctx)).unwrap();
    net.run(seconds(1));
    net.fetch(2, 1, "a");
    net.run(seconds(1));
    let values = net.fetched(2, 1).unwrap().unwrap();
    assert_eq!((values.len(), values[0].value.as_ref(), values[0].signer.node_id), (1, None, net.id(1)));
    net.run(seconds(60));
    assert!(net.holders("a").is_empty(), "ST-5, FE-8");
}

#[test]
fn ch6_a_value_sits_on_exactly_three_nodes_or_on_all_if_there_are_fewer() {
    for n in [1, 2, 3, 4, 12] {
        let mut net = ring(n, 50 + n as u64);
        for name in names(8) {
            net.store(0, 1, &name, b"x", 600);
        }
        net.run(seconds(5));
        for name in names(8) {
            let holders = net.holders(&name);
            assert_eq!(holders.len(), n.min(REPLICAS + 1), "{name} among {n}: {holders:?}");
            assert!(holders.contains(&net.responsible(&name)));
        }
    }
}

#[test]
fn cu10_3_the_loss_of_the_responsible_peer_leaves_the_value_fetchable() {
    let mut net = ring(12, 6);
    net.store(0, 1, "a", b"x", 600);
    net.run(seconds(2));
    let victim = net.responsible("a");
    net.kill(victim);
    let asker = (0..12).find(|i| *i != victim).unwrap();
    net.fetch(asker, 1, "a");
    net.run(seconds(15));
    assert_eq!(net.fetched(asker, 1).unwrap().unwrap().len(), 1, "within one request lifetime");
    net.run(seconds(180));
    net.assert_ring();
    assert_eq!(net.holders("a").len(), 3, "three again after hold-down and stabilisation");
}

#[test]
fn the_survivor_of_two_keeps_the_overlay_alive_and_lets_the_other_back_in() {
    let mut net = ring(2, 7);
    net.store(1, 1, "a", b"x", 3600);
    net.run(seconds(2));
    net.kill(0);
    net.run(seconds(30));
    net.assert_ring();
    net.fetch(1, 1, "a");
    net.run(seconds(1));
    assert_eq!(net.fetched(1, 1).unwrap().unwrap().len(), 1);
    let id = net.random_id();
    let newcomer = net.add(id);
    net.join(newcomer, &[1]);
    net.run(seconds(30));
    net.assert_ring();
    assert_eq!(net.holders("a").len(), 2);
}

#[test]
fn jl5_a_joiner_takes_over_its_range_with_counters_and_reduced_lifetimes() {
    let mut net = ring(6, 9);
    for name in names(30) {
        net.store(2, 1, &name, b"x", 600);
    }
    net.run(seconds(100));
    let id = net.random_id();
    let joiner = net.add(id);
    net.join(joiner, &[1]);
    // Whoever holds nothing of it any more drops it after two rounds of Pings.
    net.run(seconds(30));
    net.assert_ring();
    let taken: Vec<String> = names(30).into_iter().filter(|n| net.responsible(n) == joiner).collect();
    assert!(!taken.is_empty(), "a seed under which the joiner gets something");
    for name in names(30) {
        assert_eq!(net.holders(&name).len(), 3, "{name}");
    }
    for name in &taken {
        net.fetch(0, 7, name);
        net.run(seconds(1));
        let values = net.fetched(0, 7).unwrap().unwrap();
        assert_eq!(values.len(), 1);
        assert!((440..=505).contains(&values[0].lifetime.as_secs()), "ST-6: {:?}", values[0].lifetime);
        net.nodes[0].facts.clear();
        let resource = ResourceId::of_name(name.as_bytes());
        assert_eq!(net.nodes[joiner].overlay.storage().generation(&resource, KindId::CHANNEL), 1, "ST-9");
    }
}

#[test]
fn cu10_15_a_leaver_hands_over_and_the_ring_closes_at_once() {
    let mut net = ring(8, 9);
    for name in names(20) {
        net.store(2, 1, &name, b"x", 600);
    }
    net.run(seconds(5));
    let leaver = net.responsible("channel 0");
    net.with(leaver, |o, now, ctx| o.leave(now, ctx)).unwrap();
    net.run(seconds(3));
    assert_eq!(net.nodes[leaver].facts.last(), Some(&Fact::Left));
    assert_eq!(net.nodes[leaver].overlay.deadline(), None, "nothing more to do");
    net.kill(leaver);
    net.run(seconds(5));
    net.assert_ring();
    for name in names(20) {
        assert_eq!(net.holders(&name).len(), 3, "{name}: the replica set is complete without the hold-down");
    }
}

#[test]
fn two_joiners_at_once_both_get_in() {
    for seed in 0..8 {
        let mut net = ring(3, 100 + seed);
        let (a, b) = (net.random_id(), net.random_id());
        let (a, b) = (net.add(a), net.add(b));
        net.join(a, &[0]);
        net.join(b, &[1]);
        net.run(seconds(60));
        net.assert_ring();
    }
}

#[test]
fn twenty_nodes_that_join_at_once_form_one_ring() {
    let mut net = Net::new(77);
    for i in 0..20 {
        let id = net.random_id();
        net.add(id);
        if i == 0 {
            net.create(0);
        }
    }
    (1..20).for_each(|i| net.join(i, &[0]));
    net.run(seconds(180));
    net.assert_ring();
}

#[test]
fn a_ring_forms_and_keeps_its_values_at_ten_percent_loss() {
    let mut net = ring_with_loss(8, 11, 10);
    net.run(seconds(120));
    // One message in 770 is lost with its ACKs until its link counts as silent, for as long as the next transmission takes.
    for _ in 0..10 {
        if !net.is_ring() {
            net.run(seconds(1));
        }
    }
    net.assert_ring();
    for name in names(5) {
        net.store(1, 1, &name, b"x", 3600);
    }
    net.run(seconds(60));
    for (k, name) in names(5).iter().enumerate() {
        net.fetch(4, 100 + k as u64, name);
    }
    net.run(seconds(20));
    for k in 0..5 {
        assert_eq!(net.fetched(4, 100 + k).unwrap().unwrap().len(), 1);
    }
    for name in names(5) {
        assert_eq!(net.holders(&name).len(), 3);
    }
}

#[test]
fn cu10_13_two_parts_of_a_cut_network_find_each_other_again() {
    let mut net = ring(8, 12);
    for name in names(10) {
        net.store(2, 1, &name, b"x", 7200);
    }
    net.run(seconds(5));
    net.cut = Some(4);
    net.run(seconds(300));
    let alone: Vec<NodeId> = net.nodes[0].overlay.topology().successors();
    assert!(alone.iter().all(|n| (0..4).any(|i| net.id(i) == *n)), "the parts went their own ways");
    net.store(1, 2, "channel 0", b"newer on this side", 7200);
    net.run(seconds(5));
    net.cut = None;
    net.run(seconds(900));
    net.assert_ring();
    for name in names(10) {
        assert_eq!(net.holders(&name).len(), 3, "{name}");
    }
    net.fetch(6, 9, "channel 0");
    net.run(seconds(2));
    assert_eq!(net.fetched(6, 9).unwrap().unwrap().len(), 2, "ST-16: both writers' records are there");
}

#[test]
fn jl6_bs3_nobody_founds_an_overlay_by_accident() {
    let mut net = Net::new(1);
    net.add(NodeId([1; 16]));
    let without = net.with(0, |o, now, ctx| o.join(now, &[], ctx));
    assert_eq!(without, Err(OrderError::NoBootstrap));
    net.add(NodeId([2; 16]));
    net.kill(1);
    net.join(0, &[1]);
    net.run(seconds(10));
    assert_eq!(net.nodes[0].facts, [Fact::JoinFailed]);
    assert!(!net.nodes[0].overlay.is_responsible_for(&ResourceId::of_name(b"a")));
    assert_eq!(net.nodes[0].overlay.deadline(), None);
}

#[test]
fn orders_of_a_node_that_is_not_joined_are_the_callers_mistake() {
    let mut net = Net::new(1);
    net.add(NodeId([1; 16]));
    let at = slot_of(&net, 0, "a");
    let store = net.with(0, |o, now, ctx| o.store(now, Ticket(1), at, Bytes::new(), seconds(1), ctx));
    assert_eq!(store, Err(OrderError::NotJoined));
    net.create(0);
    let at = Address { slot: Slot::Single, ..slot_of(&net, 0, "a") };
    let store = net.with(0, |o, now, ctx| o.store(now, Ticket(1), at, Bytes::new(), seconds(1), ctx));
    assert_eq!(store, Err(OrderError::BadKind));
    assert_eq!(net.with(0, |o, now, ctx| o.create(now, ctx)), Err(OrderError::AlreadyJoined));
}

#[test]
fn ac7_nobody_writes_under_another_nodes_key() {
    let mut net = ring(4, 13);
    let at = slot_of(&net, 2, "a");
    net.with(1, |o, now, ctx| o.store(now, Ticket(1), at, Bytes::from_static(b"x"), seconds(60), ctx))
        .unwrap();
    net.run(seconds(1));
    assert!(matches!(net.stored(1, 1), Some(Err(Failure::Refused(_)))));
    assert!(net.holders("a").is_empty());
}

#[test]
fn k8_hostile_datagrams_are_dropped_with_a_reason_and_leave_no_state() {
    let mut net = ring(3, 14);
    net.store(1, 1, "a", b"x", 600);
    net.run(seconds(2));
    // Real traffic to mutate.
    net.fetch(0, 5, "a");
    net.fetch(1, 6, "a");
    let real: Vec<Bytes> = net.on_the_way.values().map(|(_, _, payload)| payload.clone()).collect();
    assert!(!real.is_empty());
    net.run(seconds(2));
    let links = net.nodes[0].overlay.links();
    let sent = net.nodes[0].sent;
    let stranger = SocketAddr::from(([192, 0, 2, 1], 1));
    let mut entropy = Seeded::new(99);
    let mut injected = 0;
    for round in 0..3000 {
        let mut datagram = real[round % real.len()].to_vec();
        for _ in 0..1 + entropy.below(4) {
            let at = entropy.below(datagram.len() as u64) as usize;
            datagram[at] = entropy.next_u64() as u8;
        }
        datagram.truncate(1 + entropy.below(datagram.len() as u64 + 60) as usize);
        injected += 1;
        let from = if round % 2 == 0 { stranger } else { address(1) };
        let _ = net.with(0, |o, now, ctx| o.handle_datagram(now, from, datagram.into(), ctx));
    }
    assert_eq!(net.nodes[0].overlay.links(), links, "a stranger without a signature gets no link");
    assert!(net.nodes[0].sent - sent <= 2 * injected, "no more than an ACK and an answer each");
    net.run(seconds(60));
    net.assert_ring();
}

#[test]
fn k9_the_same_seed_gives_the_same_run() {
    let trace = |seed| {
        let net = ring(6, seed);
        net.nodes.iter().map(|n| (n.sent, n.overlay.links(), n.facts.clone())).collect::<Vec<_>>()
    };
    assert_eq!(trace(21), trace(21));
    assert_ne!(trace(21), trace(22));
}

#[test]
fn k6_an_older_now_counts_as_the_last_one_and_a_jump_kills_nobody() {
    let mut net = ring(3, 15);
    net.with(0, |o, _, ctx| o.handle_timeout(Instant::ZERO, ctx));
    net.now += HOUR;
    net.run(seconds(60));
    net.assert_ring();
}

#[test]
fn rings_live_through_a_death_two_joins_and_a_departure_with_every_value_on_three_nodes() {
    for seed in 1000..1008 {
        let n = 4 + (seed % 9) as usize;
        let mut net = ring(n, seed);
        let names = names(6);
        let all_on_three = |net: &Net, when: &str| {
            let expected = net.living().len().min(REPLICAS + 1);
            names.iter().for_each(|n| assert_eq!(net.holders(n).len(), expected, "{n} {when}, seed {seed}"));
        };
        names.iter().for_each(|name| net.store(0, 1, name, b"x", 7200));
        net.run(seconds(5));
        all_on_three(&net, "at first");

        let victim = net.responsible(&names[0]);
        net.kill(victim);
        let asker = (0..n).find(|i| *i != victim).unwrap();
        names.iter().for_each(|name| net.fetch(asker, 10, name));
        net.run(seconds(15));
        let found = net.nodes[asker].facts.iter().filter(|f| match f {
            Fact::Fetched { result: Ok(values), .. } => values.len() == 1,
            _ => false,
        });
        assert_eq!(found.count(), names.len(), "seed {seed}");
        net.run(seconds(180));
        net.assert_ring();
        all_on_three(&net, "after the death");

        let through = net.living();
        let (a, b) = (net.random_id(), net.random_id());
        let (a, b) = (net.add(a), net.add(b));
        net.join(a, &through[..1]);
        net.join(b, &through[1..2]);
        net.run(seconds(60));
        net.assert_ring();
        all_on_three(&net, "after the joins");

        let leaver = net.responsible(&names[1]);
        net.with(leaver, |o, now, ctx| o.leave(now, ctx)).unwrap();
        net.run(seconds(4));
        net.kill(leaver);
        net.run(seconds(10));
        net.assert_ring();
        all_on_three(&net, "after the departure");
    }
}

#[test]
fn k12_a_call_before_the_deadline_does_nothing() {
    let mut net = ring(4, 16);
    net.run(seconds(30));
    for i in 0..4 {
        let (deadline, sent) = (net.nodes[i].overlay.deadline(), net.nodes[i].sent);
        assert!(deadline.is_some());
        net.with(i, |o, now, ctx| o.handle_timeout(now, ctx));
        assert_eq!((net.nodes[i].overlay.deadline(), net.nodes[i].sent), (deadline, sent));
    }
}
