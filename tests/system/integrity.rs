//! Whole nodes, one of which passes on other packets than the source has sent.

use crate::world::{Setup, World};
use bytes::Bytes;
use p2piptv::node::Event;
use p2piptv::rtp::header::PayloadType;
use p2piptv::rtp::integrity::{Counts, LIST, WINDOW_TIME};
use p2piptv::sim::{Conditions, NodeIndex};
use p2piptv::stats::{DropReason, Plane};
use p2piptv::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

/// A packet's place in what the source sends, and the octet of it that liars change.
const PLACE: usize = 100;

fn is_media(packet: &[u8]) -> bool {
    packet[0] >> 6 == 2 && packet[1] & 0x7f == PayloadType::MP2T.0
}

/// How many altered packets each node has given to its player.
type Deceived = Rc<RefCell<BTreeMap<NodeIndex, u64>>>;

/// Six viewers, of which the first is fed by the source and feeds 3 and 4.
fn world() -> (World, Deceived) {
    let mut world = World::new(Setup { secured: true, ..Setup::default() });
    world.seat(6);
    world.run(6);
    assert_eq!(world.table()[2..4], ["2: 3 < 1", "2: 4 < 1"]);
    let deceived = Deceived::default();
    let seen = Rc::clone(&deceived);
    world.net.watch(move |_, node, _, packet: &Bytes| {
        if packet[PLACE] != 0xff {
            *seen.borrow_mut().entry(node).or_default() += 1;
        }
    });
    (world, deceived)
}

/// From now on viewer 1 changes one packet of so many.
fn lie(world: &mut World, one_of: u8) {
    let one = world.viewers[0].node;
    world.net.alter(one, move |plane, _, packet| {
        if plane != Plane::Media || !is_media(&packet) || packet[3] % one_of != 0 {
            return packet;
        }
        let mut altered = packet.to_vec();
        altered[PLACE] ^= 1;
        altered.into()
    });
}

fn found(world: &World, viewer: usize) -> Counts {
    let viewer = world.viewers[viewer];
    world.net.machine(viewer.node).unwrap().media_counters(viewer.channel).unwrap().integrity.unwrap()
}

#[test]
fn what_a_relayer_forges_is_neither_played_nor_passed_on_and_its_children_find_another_parent() {
    let (mut world, deceived) = world();
    lie(&mut world, 1);
    world.run(10);
    assert_eq!(*deceived.borrow(), BTreeMap::new());
    for n in [2, 3] {
        let viewer = world.viewers[n];
        assert!(found(&world, n).forged > 0 && world.is_playing(viewer), "{}", world.trace());
        // It is a silence like any other: twice the threshold, a round trip, and another if nobody has room.
        let gap = world.net.played(viewer.node, viewer.channel).unwrap().longest_gap;
        assert!(gap <= Duration::from_millis(150), "{gap:?}\n{}", world.trace());
        let status = world.net.machine(viewer.node).unwrap().status(viewer.channel).unwrap();
        assert_ne!(status.parent.unwrap().name, "1");
        let stats = world.net.machine(viewer.node).unwrap().stats();
        assert_eq!(stats.dropped(DropReason::Forged), found(&world, n).forged);
    }
    // Nothing forged has come to anybody else.
    for n in [0, 1, 4, 5] {
        assert_eq!((found(&world, n).forged, found(&world, n).unlisted), (0, 0), "viewer {}", n + 1);
    }
    let lost = |n: usize| {
        let viewer = world.viewers[n];
        world.net.machine(viewer.node).unwrap().media_counters(viewer.channel).unwrap().sequence.lost
    };
    assert_eq!([0, 1, 2, 3, 4, 5].map(lost), [0; 6]);
}

#[test]
fn a_relayer_that_forges_a_few_packets_only_is_found_out_left_and_shunned() {
    let (mut world, deceived) = world();
    let began = world.net.now();
    lie(&mut world, 4);
    world.run(15);
    assert_eq!(*deceived.borrow(), BTreeMap::new());
    for n in [2, 3] {
        let viewer = world.viewers[n];
        let is_deceived = |e: &Event| matches!(e, Event::Deceived { parent, .. } if parent.name == "1");
        let told =
            world.first(began, viewer.node, is_deceived).unwrap_or_else(|| panic!("{}", world.trace()));
        // Eight packets of four times as many, and the time in which they could have come all the same.
        assert!(told.since(began) <= Duration::from_millis(1000), "{:?}", told.since(began));
        assert!(world.is_playing(viewer), "{}", world.trace());
        let gap = world.net.played(viewer.node, viewer.channel).unwrap().longest_gap;
        assert!(gap <= Duration::from_millis(150), "{gap:?}\n{}", world.trace());
        let again = world.since(told + Duration::from_millis(500), viewer.node).any(is_deceived);
        assert!(!again, "{}", world.trace());
    }
    assert!([0, 1, 4, 5].iter().all(|&n| found(&world, n).forged == 0));
}

#[test]
fn a_liar_with_the_right_form_and_another_key_gets_nothing_through_either() {
    let (mut world, deceived) = world();
    let one = world.viewers[0].node;
    // It lists what it has made up itself, as well as it can.
    world.net.alter(one, |plane, _, packet| {
        if plane != Plane::Media || packet.len() < 120 || packet[0] >> 6 != 2 {
            return packet;
        }
        let mut altered = packet.to_vec();
        let at = if is_media(&packet) { PLACE } else { packet.len() - 40 };
        altered[at] ^= 1;
        altered.into()
    });
    world.run(10);
    assert_eq!(*deceived.borrow(), BTreeMap::new());
    for n in [2, 3] {
        let viewer = world.viewers[n];
        // Its lists are wrong by their signature, or because the true one of that number is known by then.
        let stats = world.net.machine(viewer.node).unwrap().stats();
        assert!(stats.dropped(DropReason::BadList) > 0, "{}", world.trace());
        assert!(world.is_playing(viewer), "{}", world.trace());
        let gap = world.net.played(viewer.node, viewer.channel).unwrap().longest_gap;
        // For as long as a list may be lost its parent is believed to live.
        assert!(gap <= WINDOW_TIME + Duration::from_millis(300), "{gap:?}\n{}", world.trace());
    }
}

#[test]
fn everybody_checks_everything_in_a_secured_overlay_and_nobody_anything_in_another() {
    for secured in [true, false] {
        let mut world = World::new(Setup { secured, ..Setup::default() });
        world.seat(6);
        world.run(5);
        for &viewer in &world.viewers {
            let counters = world.net.machine(viewer.node).unwrap().media_counters(viewer.channel).unwrap();
            assert_eq!(counters.integrity.is_some(), secured);
            if let Some(counts) = counters.integrity {
                assert_eq!((counts.forged, counts.unlisted, counts.bad_lists), (0, 0, 0));
                assert_eq!(counts.genuine, counters.sequence.received + counters.sequence.duplicates);
            }
        }
    }
}

/// Eight viewers whose packets take 40 ms each way; the last two are below a relayer that is below another one. Three of four
/// lists that this one sends leave it in vain the first `times` times, to each child.
fn losing_lists(times: usize) -> (World, Deceived) {
    let conditions = Conditions::constant(Duration::from_millis(40));
    let mut world = World::new(Setup { secured: true, conditions, ..Setup::default() });
    world.seat(8);
    world.run(8);
    let parent = |of: &str| {
        let tree = world.tree();
        let row = tree.iter().find_map(|row| row.split_once(&format!(" {of} < "))).unwrap();
        row.1.to_owned()
    };
    let loser: usize = parent(&parent("8")).parse().unwrap();
    let loser = world.viewers[loser - 1].node;
    let mut sent: BTreeMap<(SocketAddr, Bytes), usize> = BTreeMap::new();
    world.net.alter(loser, move |plane, to, packet| {
        let is_list = plane == Plane::Media && packet.len() > 12 && packet[1] & 0x7f == LIST.0;
        if !is_list || packet[3] % 4 == 0 {
            return packet;
        }
        let before = sent.entry((to, packet.clone())).or_default();
        *before += 1;
        if *before <= times { Bytes::new() } else { packet }
    });
    let late = Deceived::default();
    let (seen, mut sooner) = (Rc::clone(&late), BTreeMap::<NodeIndex, i64>::new());
    world.net.watch(move |now, node, _, packet: &Bytes| {
        // One packet each 10 ms, which is 900 ticks.
        let timestamp = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
        let behind = now.as_micros() as i64 / 1000 - i64::from(timestamp) / 90;
        let least = sooner.entry(node).or_insert(behind);
        *least = behind.min(*least);
        let mut seen = seen.borrow_mut();
        let most = seen.entry(node).or_default();
        *most = (*most).max((behind - *least) as u64);
    });
    (world, late)
}

#[test]
fn a_lost_list_is_mended_in_time_and_its_parent_is_not_taken_for_silent() {
    for (times, in_time) in [(1, 100), (2, 250)] {
        let (mut world, late) = losing_lists(times);
        let began = world.net.now();
        world.run(20);
        for &viewer in &world.viewers {
            let node = world.net.machine(viewer.node).unwrap();
            assert_eq!(node.media_counters(viewer.channel).unwrap().sequence.lost, 0);
            assert_eq!((node.repairs().covers, node.repairs().false_alarms), (0, 0), "{}", world.trace());
            let changed = |e: &Event| matches!(e, Event::Orphaned { .. } | Event::Reparented { .. });
            assert!(!world.since(began, viewer.node).any(changed), "{}", world.trace());
            let behind = late.borrow()[&viewer.node];
            assert!(behind <= in_time, "{behind} ms late, lists lost {times} times");
        }
    }
}
