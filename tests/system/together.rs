//! Everything at once: relayers that elect (Q9), a channel that belongs to a key (Q4) and whose packets it signs, and a
//! standby with that key (Q7); a relayer dies, then the source.

use crate::world::{Setup, Viewer, World, name, owner};
use bytes::Bytes;
use p2piptv::ids::KeyFingerprint;
use p2piptv::iptv::Mode;
use p2piptv::node::Event;
use p2piptv::rtp::header::Packet;
use p2piptv::sim::{Death, NodeIndex};
use p2piptv::stats::DropReason;
use p2piptv::time::Duration;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The sources that each node's player has seen.
type Seen = Rc<RefCell<BTreeMap<NodeIndex, BTreeSet<u32>>>>;

fn watch(world: &mut World) -> Seen {
    let seen = Seen::default();
    let shared = Rc::clone(&seen);
    world.net.watch(move |_, node, _, packet: &Bytes| {
        let ssrc = Packet::parse(packet).unwrap().header.ssrc;
        shared.borrow_mut().entry(node).or_default().insert(ssrc);
    });
    seen
}

fn status(world: &World, viewer: Viewer) -> Option<p2piptv::node::ChannelStatus> {
    world.net.machine(viewer.node)?.status(viewer.channel)
}

fn parent(world: &World, viewer: Viewer) -> Option<String> {
    Some(status(world, viewer)?.parent?.name)
}

fn label(world: &World, viewer: Viewer) -> String {
    world.net.machine(viewer.node).unwrap().config().name.clone()
}

fn children(world: &World, of: &str) -> Vec<Viewer> {
    world.viewers.iter().filter(|&&v| parent(world, v).as_deref() == Some(of)).copied().collect()
}

/// Everybody plays, hangs below this source, and serves no more than he can.
fn assert_tree(world: &World, source: &str) {
    for &viewer in &world.viewers {
        assert!(world.is_playing(viewer), "{} does not play\n{:?}", label(world, viewer), world.tree());
        let (mut at, mut hops) = (label(world, viewer), 0);
        while at != source {
            let up = world.viewers.iter().find(|&&v| label(world, v) == at).and_then(|&v| parent(world, v));
            hops += 1;
            at = up.filter(|_| hops <= world.viewers.len()).unwrap_or_else(|| panic!("{:?}", world.tree()));
        }
        let status = status(world, viewer).unwrap();
        assert!(status.children <= 2 && status.rescued <= 1, "{:?}", world.tree());
    }
}

/// Everything that was played was checked, and nothing had to be refused.
fn assert_genuine(world: &World) {
    for &viewer in &world.viewers {
        let node = world.net.machine(viewer.node).unwrap();
        let counters = node.media_counters(viewer.channel).unwrap();
        let counts = counters.integrity.unwrap();
        assert_eq!((counts.forged, counts.bad_lists), (0, 0), "{}", label(world, viewer));
        assert!(counts.genuine >= counters.sequence.received && counters.sequence.received > 0);
        for reason in [DropReason::BadSignature, DropReason::Forged, DropReason::BadList] {
            assert_eq!(node.stats().dropped(reason), 0, "{}: {reason:?}", label(world, viewer));
        }
    }
}

fn tune_to(world: &mut World, label: &str, owner: KeyFingerprint) -> Viewer {
    let node = world.add_node(label);
    let channel = world.net.command(node, |n, now| n.tune_to(now, &name("100"), owner)).unwrap().unwrap();
    Viewer { node, channel }
}

fn longest_gap(world: &World, viewer: Viewer) -> Duration {
    world.net.played(viewer.node, viewer.channel).unwrap().longest_gap
}

/// Kills a relayer with two children, as deep as there is one. Its children are bridged, and nobody else acts.
fn kill_a_relayer(world: &mut World, silence: Duration) {
    let relays = |v: &&Viewer| children(world, &label(world, **v)).len() == 2;
    let depth = |v: &&Viewer| status(world, **v).unwrap().depth;
    let dead = *world.viewers.iter().filter(relays).max_by_key(depth).expect("a relayer with two children");
    let orphans: Vec<NodeIndex> =
        children(world, &label(world, dead)).iter().map(|orphan| orphan.node).collect();
    let killed_at = world.net.now();
    world.kill(dead);
    world.run(12);
    for &viewer in &world.viewers {
        let acted = world.since(killed_at, viewer.node).any(|e| matches!(e, Event::Orphaned { .. }));
        assert!(!acted || orphans.contains(&viewer.node), "{} acted", label(world, viewer));
        assert!(longest_gap(world, viewer) <= silence, "{}", label(world, viewer));
    }
}

#[test]
fn q4_q7_q9_a_signed_channel_whose_relayers_elect_outlives_a_relayer_and_then_its_source() {
    for seed in [1, 2] {
        let mut world = World::new(Setup { seed, mode: Mode::Delegated, secured: true, ..Setup::default() });
        let seen = watch(&mut world);
        let heir = world.stand_by("heir");
        assert!(world.until(20, |w| w.is_playing(heir)), "{}", world.trace());
        // It relays like anybody else.
        world.viewers.push(heir);
        world.seat(12);
        world.run(10);
        assert_tree(&world, "source");
        assert_genuine(&world);
        let deepest = world.viewers.iter().filter_map(|&v| status(&world, v)?.depth).max();
        assert!(deepest >= Some(3), "{:?}", world.tree());
        kill_a_relayer(&mut world, Duration::from_millis(150));
        assert_tree(&world, "source");

        // Somebody else's channel of the same name is on air, too.
        let mallory = world.add_node("mallory");
        let other = world.publish(mallory);
        world.publish_too(mallory, other);
        world.run(2);
        let died_at = world.net.now();
        world.net.kill(world.source, Death::Host);
        let took_over = |w: &World| w.told(heir.node, |e| *e == Event::TookOver { channel: heir.channel });
        assert!(world.until(4, took_over), "seed {seed}\n{}", world.trace());
        world.viewers.retain(|v| v.node != heir.node);
        world.feed(heir);
        let everybody = |w: &World| w.viewers.iter().all(|&v| w.is_playing(v));
        assert!(world.until(8, everybody), "seed {seed}\n{:?}\n{}", world.tree(), world.trace());
        let silence = world.net.now().since(died_at);
        world.run(15);
        assert_tree(&world, "heir");
        assert_genuine(&world);
        for &viewer in &world.viewers {
            let ended = world.since(died_at, viewer.node).any(|e| matches!(e, Event::Ended { .. }));
            assert!(!ended && longest_gap(&world, viewer) <= silence, "{}", label(&world, viewer));
        }

        // Newcomers who know the owner find the heir's tree, whoever else uses the name.
        let right = world.owner.unwrap();
        for n in 0..2 {
            let guest = tune_to(&mut world, &format!("guest{n}"), right);
            assert!(world.until(10, |w| w.is_playing(guest)), "seed {seed}\n{}", world.trace());
            world.viewers.push(guest);
        }
        let stranger = tune_to(&mut world, "stranger", owner().1);
        world.run(5);
        assert!(!world.is_playing(stranger), "{}", world.trace());
        kill_a_relayer(&mut world, silence);
        assert_tree(&world, "heir");
        assert_genuine(&world);
        // The source's packets, and its heir's, and nobody else's have come to anybody.
        let all: BTreeSet<u32> = world.viewers.iter().flat_map(|v| seen.borrow()[&v.node].clone()).collect();
        assert_eq!(all, BTreeSet::from([0x5eed, 0xbe1f]), "seed {seed}");
    }
}
