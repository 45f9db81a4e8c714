//! Whole nodes whose relayers elect among their own children (Q9).

use crate::popular::{id, root};
use crate::world::{Odd, PACE, Setup, Viewer, World, name};
use p2piptv::iptv::Mode;
use p2piptv::node::Event;
use p2piptv::sim::NodeIndex;
use p2piptv::time::Duration;

fn grown(viewers: usize, secured: bool) -> World {
    let mut world = World::new(Setup { mode: Mode::Delegated, secured, ..Setup::default() });
    world.seat(viewers);
    world.run(15);
    assert!(world.viewers.iter().all(|&v| world.is_playing(v)), "{}", world.trace());
    world
}

/// Who has served others as a relayer.
fn relayers(world: &World) -> Vec<NodeIndex> {
    let elected =
        |v: &NodeIndex| world.events.iter().any(|(_, at, e)| at == v && matches!(e, Event::Elected { .. }));
    world.viewers.iter().map(|v| v.node).filter(elected).collect()
}

#[test]
fn q9_relayers_of_relayers_serve_and_the_source_hears_of_its_own_children_alone() {
    for secured in [false, true] {
        let world = grown(14, secured);
        assert!(relayers(&world).len() >= 6, "{}", world.trace());
        let depth = |row: &String| row.split(':').next().and_then(|d| d.parse::<u8>().ok());
        assert!(world.table().iter().all(|row| depth(row) <= Some(2)), "{:?}", world.table());
        // All of those two layers, once their relayers have reported.
        assert_eq!(world.table().len(), 6, "{:?}", world.table());
        let ready = |e: &Event| matches!(e, Event::RelayerReady { .. });
        let deep = world.events.iter().filter(|(_, at, e)| *at != world.source && ready(e)).count();
        assert!(deep >= 2, "relayers have relayers: {}", world.trace());
    }
}

#[test]
fn q9_when_a_relayer_is_killed_its_children_play_on_and_nobody_else_notices() {
    for secured in [false, true] {
        let mut world = grown(14, secured);
        let tree = world.tree();
        let before = world.net.now();
        // A child of a child of the source that has children itself.
        let serves = |label: &str| tree.iter().filter(|row| row.ends_with(&format!("< {label}"))).count();
        let dead = tree.iter().find_map(|row| {
            let label = row.strip_prefix("2: ")?.split(' ').next()?;
            (serves(label) == 2).then(|| label.to_owned())
        });
        let dead: usize = dead.expect("a relayer in the second layer").parse().unwrap();
        let orphans: Vec<usize> = tree
            .iter()
            .filter(|row| row.ends_with(&format!("< {dead}")))
            .filter_map(|row| row.split(": ").nth(1)?.split(' ').next()?.parse().ok())
            .collect();
        let nodes: Vec<NodeIndex> = orphans.iter().map(|&n| world.viewers[n - 1].node).collect();
        let victim = world.viewers[dead - 1];
        world.kill(victim);
        world.run(15);
        for &viewer in &world.viewers {
            assert!(world.is_playing(viewer), "{}", world.trace());
            let gap = world.net.played(viewer.node, viewer.channel).unwrap().longest_gap;
            assert!(gap <= Duration::from_millis(150), "{} was silent for {gap:?}", viewer.node);
            let lost = world.since(before, viewer.node).any(|e| matches!(e, Event::Orphaned { .. }));
            assert!(!lost || nodes.contains(&viewer.node), "{} acted", viewer.node);
            assert!(gap < 3 * PACE || nodes.contains(&viewer.node) || gap <= Duration::from_millis(150));
        }
    }
}

/// The depth of a viewer, and whether it relays.
fn place(world: &World, viewer: Viewer) -> Option<(u8, bool)> {
    let status = world.net.machine(viewer.node)?.status(viewer.channel)?;
    Some((status.depth?, status.relayer))
}

#[test]
fn q4_q9_a_relayer_that_a_relayer_elected_is_granted_its_place_by_the_owner_and_found_by_a_lookup() {
    let setup = Setup { mode: Mode::Delegated, secured: true, registered_relayers: 1, ..Setup::default() };
    let mut world = World::new(setup);
    world.seat(18);
    world.run(10);
    let deep = |v: &&Viewer| place(&world, **v).is_some_and(|(depth, relays)| depth >= 2 && relays);
    let deep: Vec<Viewer> = world.viewers.iter().filter(deep).copied().collect();
    let standing = root(&world);
    let found: Vec<&Viewer> = deep.iter().filter(|v| standing.contains(&id(&world, v.node))).collect();
    assert!(found.len() >= 2, "{} of {deep:?}\n{:?}\n{}", found.len(), world.tree(), world.trace());
    // Nobody stands there who relays nothing, nor by the word of anybody but the owner.
    for viewer in &world.viewers {
        let relays = world.told(viewer.node, |e| matches!(e, Event::Elected { .. }));
        assert!(relays || !standing.contains(&id(&world, viewer.node)), "{}", world.trace());
    }
    let owner = world.owner.unwrap();
    let guest = world.add_odd_node("guest", Odd { tree_first: true, ..Odd::default() });
    let tuned = world.net.command(guest, |n, now| n.tune_to(now, &name("100"), owner)).unwrap();
    let viewer = Viewer { node: guest, channel: tuned.unwrap() };
    assert!(world.until(5, |w| w.is_playing(viewer)), "{}", world.trace());
    let parent = world.net.machine(guest).unwrap().status(viewer.channel).unwrap().parent.unwrap();
    let parent = world.viewers.iter().find(|v| Some(id(&world, v.node)) == parent.node_id).unwrap();
    assert!(place(&world, *parent).unwrap().0 >= 2, "{:?}\n{}", world.tree(), world.trace());
}
