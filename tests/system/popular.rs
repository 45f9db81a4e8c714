//! Popular channels: more relayers than there is room for under the channel's name (Q3, Q5).

use crate::world::{Odd, Setup, World, name};
use p2piptv::ids::{NodeId, ResourceId};
use p2piptv::node::Event;
use p2piptv::reload::codec::KindId;
use p2piptv::reload::redir::TreeNode;
use p2piptv::sim::{NodeIndex, Record, What};
use p2piptv::stats::Plane;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;

/// Two relayers stand under the name, the others in the tree.
fn popular(secured: bool) -> World {
    let mut world = World::new(Setup { secured, registered_relayers: 2, ..Setup::default() });
    world.seat(7);
    // Full records are stored at most every five seconds.
    world.run(8);
    world
}

/// Who stands in the root of the channel's tree, whoever keeps it.
pub(crate) fn root(world: &World) -> BTreeSet<NodeId> {
    let root = TreeNode { level: 0, node: 0 }.resource(b"100@tv.example");
    let nodes = world.net.nodes().filter_map(|n| world.net.machine(n));
    let held = nodes.filter(|n| n.overlay().is_responsible_for(&root));
    let stored = held.filter_map(|n| n.overlay().storage().hand_over(world.net.now(), &root));
    let values = stored.flat_map(|(_, groups)| groups).filter(|g| g.kind == KindId::REDIR);
    let entries = values.flat_map(|g| g.values).filter(|v| v.value.value.is_some());
    entries.map(|v| v.value.signer.node_id).collect()
}

pub(crate) fn id(world: &World, node: NodeIndex) -> NodeId {
    world.net.machine(node).unwrap().node_id()
}

/// Relayers by their place in the order of the viewers.
fn relayers(world: &World) -> Vec<usize> {
    let relays = |i: &usize| {
        let viewer = world.viewers[*i];
        world.net.machine(viewer.node).unwrap().status(viewer.channel).is_some_and(|s| s.relayer)
    };
    (0..world.viewers.len()).filter(relays).collect()
}

/// What the nodes have sent since, as far as it is asked for: from which node to which, on which plane.
type Sent = Rc<RefCell<Vec<(NodeIndex, SocketAddr, Plane, bool)>>>;

/// Listens to everything; of the overlay's datagrams whether they speak of the channel's name.
fn listen(world: &mut World) -> Sent {
    let of_the_name = ResourceId::of_name(b"100@tv.example").to_u128().unwrap().to_be_bytes();
    let sent = Sent::default();
    let log = Rc::clone(&sent);
    world.net.observe(move |record| {
        if let Record::Packet { from, to, plane, what, .. } = record
            && let Some(node) = NodeIndex::of(from.ip())
        {
            let (What::Datagram { payload: bytes, .. } | What::Bytes(bytes)) = what else { return };
            let names_it = bytes.windows(16).any(|w| w == of_the_name);
            log.borrow_mut().push((node, *to, *plane, names_it));
        }
    });
    sent
}

#[test]
fn q3_relayers_beyond_the_list_stand_in_the_tree_and_viewers_who_find_the_list_full_find_them_there() {
    for secured in [false, true] {
        let mut world = popular(secured);
        let asker = world.bootstrap;
        world.net.command(asker, |n, now| n.providers(now, &name("100"))).unwrap().unwrap();
        world.run(1);
        let listed = world.events.iter().rev().find_map(|(_, _, event)| match event {
            Event::Providers { providers, .. } => Some(providers.iter().map(|p| p.node_id).collect()),
            _ => None,
        });
        let listed: BTreeSet<NodeId> = listed.unwrap();
        let relayers: BTreeSet<NodeId> =
            relayers(&world).into_iter().map(|i| id(&world, world.viewers[i].node)).collect();
        let beyond: BTreeSet<NodeId> = relayers.difference(&listed).copied().collect();
        assert_eq!((listed.len(), relayers.len() >= 3), (3, true), "{}", world.trace());
        assert_eq!(root(&world), beyond, "{}", world.trace());

        // Somebody new asks nobody but a relayer of the tree.
        let sent = listen(&mut world);
        let late = world.tune("late");
        assert!(world.until(5, |w| w.is_playing(late)), "{}", world.trace());
        let parent = world.net.machine(late.node).unwrap().status(late.channel).unwrap().parent.unwrap();
        assert!(beyond.contains(&parent.node_id.unwrap()), "{parent:?}");
        let calls = sent.borrow();
        let asked: BTreeSet<SocketAddr> = calls
            .iter()
            .filter(|(from, _, plane, _)| *from == late.node && *plane == Plane::Signalling)
            .map(|(_, to, _, _)| *to)
            .collect();
        assert_eq!(asked.len(), 1, "secured {secured}: {asked:?}\n{}", world.trace());
    }
}

#[test]
fn q5_where_audiences_are_large_viewers_do_not_ask_for_the_name_at_all() {
    let mut world = popular(false);
    let sent = listen(&mut world);
    let late = world.add_odd_node("late", Odd { tree_first: true, ..Odd::default() });
    let channel = world.net.command(late, |n, now| n.tune(now, &name("100"))).unwrap().unwrap();
    let viewer = crate::world::Viewer { node: late, channel };
    assert!(world.until(5, |w| w.is_playing(viewer)), "{}", world.trace());
    let of_the_name = |s: &Sent, node| s.borrow().iter().any(|(from, _, _, names)| *from == node && *names);
    assert!(!of_the_name(&sent, late), "{}", world.trace());
    // Others do.
    let usual = world.tune("usual");
    world.run(2);
    assert!(of_the_name(&sent, usual.node));
    // A channel that has no tree is found under its name all the same.
    let mut world = World::new(Setup::default());
    let first = world.add_odd_node("first", Odd { tree_first: true, ..Odd::default() });
    let channel = world.net.command(first, |n, now| n.tune(now, &name("100"))).unwrap().unwrap();
    let viewer = crate::world::Viewer { node: first, channel };
    assert!(world.until(5, |w| w.is_playing(viewer)), "{}", world.trace());
}

#[test]
fn a_relayer_that_leaves_takes_itself_out_of_the_tree() {
    let mut world = popular(false);
    let standing = root(&world);
    let at = world.viewers.iter().position(|v| standing.contains(&id(&world, v.node))).unwrap();
    let leaver = world.viewers.remove(at);
    let gone = id(&world, leaver.node);
    world.net.command(leaver.node, |n, now| n.leave(now));
    assert!(world.until(5, |w| w.told(leaver.node, |e| *e == Event::Left)), "{}", world.trace());
    world.run(1);
    assert!(!root(&world).contains(&gone), "{}", world.trace());
}

#[test]
fn q2_a_tree_of_relayers_that_have_all_died_costs_a_viewer_little_time() {
    let mut world = popular(false);
    let standing = root(&world);
    for viewer in world.viewers.clone() {
        if standing.contains(&id(&world, viewer.node)) {
            world.kill(viewer);
        }
    }
    let late = world.tune("late");
    assert!(world.until(10, |w| w.is_playing(late)), "{}", world.trace());
}
