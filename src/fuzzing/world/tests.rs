use super::*;
use crate::ids::ChannelId;
use crate::reload::codec::KindId;
use crate::reload::redir::TreeNode;
use crate::stats::DropReason;

/// The world after a script.
fn after(script: &[u8]) -> World<'_> {
    after_in(Security::InsecurePlain, script)
}

fn after_in(security: Security, script: &[u8]) -> World<'_> {
    let (mode, script) = mode_of(script);
    let mut world = World::new(script, Clock::Calm, (security, mode));
    world.live();
    world
}

fn parent(world: &World<'_>, who: usize) -> Option<usize> {
    let status = world.hosts[who].node.machine().status(ChannelId(0))?;
    let id = status.parent.filter(|_| status.playing)?.node_id?;
    (0..NODES).find(|&who| node_id(who) == id)
}

#[test]
fn a_script_leads_to_a_tree_of_three_nodes() {
    let world = after(b"c0 r9 j10 r9 j20 r9 p00 r9 t10 rJ t20 rz");
    assert_eq!([parent(&world, 1), parent(&world, 2)], [Some(0), Some(1)], "alice has one slot");
}

#[test]
fn an_orphan_is_repaired_while_the_script_goes_on() {
    let world = after(b"c0 r9 j10 r9 j20 r9 p00 r9 t10 rJ t20 rz l1 rz");
    assert_eq!(parent(&world, 2), Some(0));
}

const CHAIN: &str = "c0 r9 j10 r9 j20 r9 j30 r9 j40 r9 p00 r9 t10 rJ t20 rJ t30 rJ ";

#[test]
fn an_orphan_finds_a_parent_while_a_dead_node_does_nothing() {
    let world = after(CHAIN.as_bytes());
    assert_eq!([1, 2, 3].map(|who| parent(&world, who)), [0, 1, 2].map(Some));
    let script = [CHAIN, "f1 rJ"].concat();
    let dead = after(script.as_bytes());
    assert_eq!([2, 3].map(|who| parent(&dead, who)), [0, 2].map(Some));
    let heard =
        |world: &World<'_>| PLANES.map(|plane| world.hosts[1].node.machine().stats().received(plane).packets);
    assert_eq!(heard(&dead), heard(&world));
}

/// Bob has a second slot in the end.
#[test]
fn the_deepest_of_a_chain_is_called_up_by_its_source_and_climbs_by_itself_where_relayers_elect() {
    for mode in ["", "^"] {
        let script = [mode, CHAIN, "t40 rJ u12 rJ rJ rJ"].concat();
        assert_eq!(parent(&after(script.as_bytes()), 4), Some(1), "{mode}");
    }
}

#[test]
fn a_forger_meets_nodes_that_listen() {
    let mut script = b"c0 r9 j10 r9 j20 r9 p00 r9 t10 rJ t20 rJ ".to_vec();
    for letter in *b"FARIDQCP" {
        for from in *b"012" {
            script.extend([letter, b'1', from, b'0', 40]);
            script.extend((0..40).map(|n: u8| n.wrapping_mul(37).wrapping_add(from)));
        }
    }
    let taken = |plane: Plane, script: &[u8]| {
        after(script).hosts.iter().map(|h| h.node.machine().stats().received(plane).packets).sum::<u64>()
    };
    let quiet = script.split_at(script.iter().position(|&b| b == b'F').unwrap()).0;
    for plane in PLANES {
        assert!(taken(plane, &script) > taken(plane, quiet), "nothing forged came on {plane:?}");
    }
}

const SECURED: &[u8] = b"c0 r9 j10 r9 j20 r9 p00 r9 t10 rz t20 rz ";

#[test]
fn a_script_leads_to_a_tree_of_three_secured_nodes() {
    let world = after_in(Security::Tls, SECURED);
    assert_eq!([parent(&world, 1), parent(&world, 2)], [Some(0), Some(1)], "alice has one slot");
    for host in &world.hosts {
        let stats = host.node.machine().stats();
        assert_eq!(stats.dropped(DropReason::BadSignature), 0);
        assert_eq!(stats.dropped(DropReason::NotGranted), 0);
    }
}

#[test]
fn links_may_be_secured_datagrams() {
    let world = after_in(Security::Dtls, SECURED);
    assert_eq!([parent(&world, 1), parent(&world, 2)], [Some(0), Some(1)]);
    for host in &world.hosts {
        assert!(host.streams.values().all(|stream| stream.plane == Plane::Signalling));
        let stats = host.node.machine().stats();
        assert_eq!(stats.dropped(DropReason::BadSignature) + stats.dropped(DropReason::NotSecured), 0);
    }
}

#[test]
fn a_relayer_that_a_relayer_elected_stands_in_the_tree_by_the_grant_of_a_source_that_it_never_met() {
    for kind in [Security::Tls, Security::Dtls] {
        let script = [&b"^"[..], SECURED, b"rz rz"].concat();
        let world = after_in(kind, &script);
        assert_eq!([parent(&world, 1), parent(&world, 2)], [Some(0), Some(1)]);
        let root = TreeNode { level: 0, node: 0 }.resource(b"100@tv.example");
        let nodes = world.hosts.iter().map(|host| host.node.machine().overlay());
        let stored = nodes.filter_map(|overlay| overlay.storage().hand_over(world.now, &root));
        let groups = stored.flat_map(|(_, groups)| groups).filter(|group| group.kind == KindId::REDIR);
        let values: Vec<_> = groups.flat_map(|group| group.values).collect();
        assert!(values.iter().any(|v| v.value.signer.node_id == node_id(2)), "{kind:?}");
    }
}

#[test]
fn of_two_standbys_that_take_over_at_once_one_goes_on() {
    for kind in [Security::InsecurePlain, Security::Tls] {
        let publishes = |world: &World<'_>, who: usize| {
            let node = world.hosts[who].node.machine();
            node.status(ChannelId(0)).is_some_and(|status| status.publisher)
        };
        let world = after_in(kind, b"c0 r9 j10 r9 j20 r9 e100e200 rX");
        assert!(publishes(&world, 1) && publishes(&world, 2), "{kind:?}");
        let world = after_in(kind, b"c0 r9 j10 r9 j20 r9 e100e200 rz rz rz");
        assert!(publishes(&world, 1) && !publishes(&world, 2), "{kind:?}: the lower Node-ID");
    }
}

/// What all nodes took in, and what they dropped.
fn taken(world: &World<'_>, plane: Plane) -> u64 {
    world.hosts.iter().map(|h| h.node.machine().stats().received(plane).packets).sum()
}

#[test]
fn a_forger_gets_into_the_streams_and_associations_of_secured_nodes() {
    let mut script = SECURED.to_vec();
    for letter in *b"FARIDQ" {
        for from in *b"01234" {
            script.extend([letter, b'1', from, b'0', 40]);
            script.extend((0..40).map(|n: u8| n.wrapping_mul(37).wrapping_add(from)));
        }
    }
    for security in [Security::Tls, Security::Dtls] {
        let (quiet, forged) = (after_in(security, SECURED), after_in(security, &script));
        for plane in [Plane::Overlay, Plane::Signalling] {
            assert!(taken(&forged, plane) > taken(&quiet, plane), "nothing forged came on {plane:?}");
        }
        // What an overlay has read it acknowledges.
        let said = |world: &World<'_>| -> u64 {
            world.hosts.iter().map(|h| h.node.machine().stats().sent(Plane::Overlay).packets).sum()
        };
        assert!(said(&forged) > said(&quiet), "nothing forged was read by an overlay");
    }
}

#[test]
fn a_grant_that_was_seen_is_brought_again_and_only_counts_where_it_was_meant() {
    let mut world = after_in(Security::Tls, SECURED);
    assert!(world.brought.is_some(), "bob was elected");
    let counted = |world: &World<'_>, reason| -> u64 {
        world.hosts.iter().map(|h| h.node.machine().stats().dropped(reason)).sum()
    };
    let mut script = Vec::new();
    for nth in 0..SEEN as u8 {
        script.extend([b'G', b'0', b'0', b'0' + nth, 12]);
        script.extend([nth % 2, 1, 1, 0, 0, 1, 0, 9, 9, 9, nth, nth]);
    }
    world.script = Script::new(&script);
    world.live();
    assert!(counted(&world, DropReason::NotGranted) > 0, "nobody refused it");
}

#[test]
fn a_blank_changes_nothing() {
    let kind = (Security::InsecurePlain, Mode::SourceManaged);
    let play = |script| World::play(script, Clock::Calm, kind);
    assert_eq!(play(b"c0r9"), play(b" c0\n\xffr9 "));
}
