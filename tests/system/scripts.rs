//! Whole systems under scripts: random joins, leaves and kills; partitions, sleep, several channels, changing uplinks.

use crate::world::{PACE, Setup, Viewer, World, name};
use p2piptv::env::{Entropy, Seeded};
use p2piptv::iptv::Profile;
use p2piptv::node::Event;
use p2piptv::sim::Conditions;
use p2piptv::sip::agent::Transport;
use p2piptv::time::Duration;

/// Nobody serves more than its uplink and its rescue slot allow.
fn assert_slots(world: &World) {
    for node in world.viewers.iter().map(|v| v.node).chain([world.source]) {
        let Some(machine) = world.net.machine(node) else { continue };
        let children = |c| machine.status(c).map_or((0, 0), |s| (s.children, s.rescued));
        let all = machine.channels().map(|(c, _)| children(c)).fold((0, 0), |a, c| (a.0 + c.0, a.1 + c.1));
        let capacity = usize::from(world.setup.capacity);
        assert!(all.0 <= capacity && all.1 <= 1, "{node} serves {all:?}\n{}", world.trace());
    }
}

/// Everybody plays, from one parent, whose parents lead to the source.
fn assert_tree(world: &World) {
    let parents: Vec<(String, String)> = world
        .viewers
        .iter()
        .map(|v| {
            let node = world.net.machine(v.node).unwrap();
            let parent = node.status(v.channel).and_then(|s| s.parent);
            (node.config().name.clone(), parent.map_or_else(|| "nobody".into(), |p| p.name))
        })
        .collect();
    for (viewer, _) in &parents {
        let mut at = viewer.as_str();
        let mut hops = 0;
        while at != "source" {
            let above = parents.iter().find(|(v, _)| v == at).map(|(_, p)| p.as_str());
            hops += 1;
            assert!(above.is_some() && hops <= parents.len(), "{viewer} hangs nowhere: {parents:?}");
            at = above.unwrap();
        }
    }
    for &viewer in &world.viewers {
        assert!(world.is_playing(viewer), "{} does not play: {parents:?}\n{}", viewer.node, world.trace());
    }
}

/// Joins, leaves and kills as a seed will have it; then peace.
fn script(seed: u64) {
    let mut dice = Seeded::new(seed);
    let latency = Duration::from_millis(1 + dice.below(40));
    let transport = if seed.is_multiple_of(3) { Transport::Tcp } else { Transport::Udp };
    let conditions =
        Conditions::constant(latency).with_loss(if seed.is_multiple_of(2) { 0.0 } else { 0.005 });
    let capacity = 1 + dice.below(3) as u16;
    let mut world = World::new(Setup { seed, capacity, conditions, transport, ..Setup::default() });
    for n in 0..8 + dice.below(12) {
        let any = dice.below(world.viewers.len().max(1) as u64) as usize;
        match dice.below(6) {
            0 if world.viewers.len() > 4 => {
                let viewer = world.viewers[any];
                world.kill(viewer);
            }
            1 if world.viewers.len() > 4 => {
                let viewer = world.viewers.remove(any);
                world.net.command(viewer.node, |node, now| node.leave(now));
            }
            _ => _ = world.tune(&format!("v{n}")),
        }
        for _ in 0..dice.below(20) {
            world.run_for(10 * PACE);
            assert_slots(&world);
        }
    }
    for _ in 0..250 {
        world.run_for(10 * PACE);
        assert_slots(&world);
    }
    assert_tree(&world);
}

#[test]
fn whoever_lives_plays_again_after_any_script_of_joins_leaves_and_kills() {
    (0..30).for_each(script);
}

#[test]
fn calls_between_nodes_over_tcp_make_the_same_tree_and_repair_it() {
    let mut world = World::new(Setup { transport: Transport::Tcp, ..Setup::default() });
    world.seat(6);
    world.run(3);
    let mut table = world.table();
    let mut tree = world.tree();
    table.sort_unstable();
    tree.sort_unstable();
    assert_eq!(table, tree);
    let one = world.viewers[0];
    world.kill(one);
    world.run(10);
    assert_tree(&world);
}

#[test]
fn a_partition_heals_and_everybody_plays_again() {
    let mut world = World::new(Setup::default());
    world.seat(6);
    world.run(3);
    // Peer 1 and its children on an island without the source.
    let island = [0, 2, 3].map(|n| world.viewers[n].node);
    world.net.partition(&island, 1);
    world.run(10);
    for (n, &viewer) in world.viewers.iter().enumerate() {
        assert_eq!(world.is_playing(viewer), ![0, 2, 3].contains(&n), "viewer {}", n + 1);
    }
    world.net.heal();
    world.run(30);
    assert_slots(&world);
    assert_tree(&world);
}

#[test]
fn k6_a_relayer_that_slept_for_a_minute_comes_back_as_one_of_many() {
    let mut world = World::new(Setup::default());
    world.seat(6);
    world.run(3);
    let one = world.viewers[0];
    world.net.freeze(one.node, Duration::from_secs(60));
    world.run(10);
    assert!(world.viewers[1..].iter().all(|&v| world.is_playing(v)), "{}", world.trace());
    world.run(80);
    assert_slots(&world);
    assert_tree(&world);
}

#[test]
fn p9_one_node_publishes_watches_and_relays_and_its_channels_share_its_uplink() {
    let mut world = World::new(Setup::default());
    world.seat(3);
    world.run(3);
    // Peer 1 relays "100" to 3. Its second slot is for a channel of its own, which then is full.
    let one = world.viewers[0];
    let own = world.net.command(one.node, |n, now| n.publish(now, &name("200"), &[])).unwrap().unwrap();
    assert!(world.until(10, |w| w.told(one.node, |e| *e == Event::Published { channel: own })));
    world.publish_too(one.node, own);
    let fans: Vec<Viewer> = (0..3)
        .map(|n| {
            let node = world.add_node(&format!("fan{n}"));
            let channel = world.net.command(node, |n, now| n.tune(now, &name("200"))).unwrap().unwrap();
            let fan = Viewer { node, channel };
            assert!(world.until(20, |w| w.is_playing(fan)), "fan {n}\n{}", world.trace());
            fan
        })
        .collect();
    world.run(3);
    assert_slots(&world);
    let node = world.net.machine(one.node).unwrap();
    let served = [one.channel, own].map(|c| node.status(c).unwrap().children);
    assert_eq!(served.iter().sum::<usize>(), 2, "{served:?}");
    assert!(world.viewers.iter().chain(&fans).all(|&v| world.is_playing(v)), "{}", world.trace());
    // A viewer of one channel changes to the other: it leaves the one tree and joins the other.
    let three = world.viewers.remove(2);
    world.net.command(three.node, |n, now| n.stop(now, three.channel)).unwrap().unwrap();
    let channel = world.net.command(three.node, |n, now| n.tune(now, &name("200"))).unwrap().unwrap();
    let changed = Viewer { node: three.node, channel };
    assert!(world.until(20, |w| w.is_playing(changed)), "{}", world.trace());
    // Its row has no place any more, and goes when it is not heard of elsewhere.
    assert!(!world.table().contains(&"2: 3 < 1".to_string()));
    // The end of "200" is not the end of "100".
    world.end_the_other();
    world.net.command(one.node, |n, now| n.stop(now, own)).unwrap().unwrap();
    world.run(3);
    assert!(
        world
            .told(changed.node, |e| matches!(e, Event::Ended { channel, .. } if *channel == changed.channel))
    );
    assert_tree(&world);
}

#[test]
fn an_uplink_that_grows_is_used_and_one_that_shrinks_throws_nobody_out() {
    let mut world = World::new(Setup { capacity: 0, profile: Profile::Default, ..Setup::default() });
    let early = world.tune("early");
    assert!(!world.until(3, |w| w.is_playing(early)), "nobody has a slot");
    world.net.command(world.source, |n, now| n.set_capacity(now, 2));
    assert!(world.until(10, |w| w.is_playing(early)), "{}", world.trace());
    let second = world.tune("second");
    assert!(world.until(10, |w| w.is_playing(second)), "{}", world.trace());
    world.net.command(world.source, |n, now| n.set_capacity(now, 1));
    let third = world.tune("third");
    assert!(!world.until(5, |w| w.is_playing(third)), "full, and nobody else has an uplink");
    assert!(world.is_playing(early) && world.is_playing(second));
    // One of the viewers learns of its uplink, and can be elected.
    world.net.command(early.node, |n, now| n.set_capacity(now, 1));
    world.net.command(world.source, |n, now| n.set_capacity(now, 3));
    assert!(world.until(30, |w| w.is_playing(third)), "{}", world.trace());
}

#[test]
fn who_leaves_may_come_back() {
    let mut world = World::new(Setup::default());
    world.seat(3);
    let one = world.viewers.remove(0);
    world.net.command(one.node, |n, now| n.leave(now));
    assert!(world.until(10, |w| w.told(one.node, |e| *e == Event::Left)));
    world.run(2);
    let bootstrap = world.net.addresses(world.bootstrap).overlay;
    let from = world.net.now();
    world.net.command(one.node, |n, now| n.join(now, &[bootstrap])).unwrap().unwrap();
    assert!(
        world.until(20, |w| w.first(from, one.node, |e| *e == Event::Joined).is_some()),
        "{}",
        world.trace()
    );
    let channel = world.net.command(one.node, |n, now| n.tune(now, &name("100"))).unwrap().unwrap();
    let again = Viewer { node: one.node, channel };
    assert!(world.until(20, |w| w.is_playing(again)), "{}", world.trace());
}
