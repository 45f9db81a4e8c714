//! Content integrity on the way through relays: what is changed goes no further than one hop, and nothing true is lost.

use crate::repair::{EPOCH, Play, milliseconds, signature};
use crate::{CHANNEL, stream};
use bytes::Bytes;
use p2piptv::effect::Effects;
use p2piptv::ids::CallId;
use p2piptv::rtp::header::Packet;
use p2piptv::rtp::integrity::{Counts, FILL, LIST, TRIALS, WINDOW_TIME};
use p2piptv::rtp::mp2t::Packetizer;
use p2piptv::rtp::relay::{Remote, Start};
use p2piptv::sim::{Conditions, Death, NodeIndex};
use p2piptv::stats::Plane;
use p2piptv::time::Instant;

fn quick() -> Conditions {
    Conditions::constant(milliseconds(10))
}

/// What a node found of the packets that came.
fn found(play: &Play, node: u32) -> Counts {
    play.counters(node).integrity.expect("the channel is protected")
}

fn sequence(packet: &Bytes) -> u16 {
    u16::from_be_bytes([packet[2], packet[3]])
}

fn is_list(packet: &Bytes) -> bool {
    Packet::parse(packet).is_ok_and(|parsed| parsed.header.payload_type == LIST)
}

/// What came to a node, lists and media.
fn heard(play: &mut Play, node: u32) -> Vec<(Instant, Bytes)> {
    play.net.command(NodeIndex(node), |hop, _| hop.heard.clone()).unwrap()
}

fn lie(play: &mut Play, node: u32, lie: fn(&mut [u8])) {
    play.net.command(NodeIndex(node), |hop, _| hop.lie = lie).unwrap();
}

fn deaf_to_lists(play: &mut Play, node: u32, times: usize) {
    play.net.command(NodeIndex(node), |hop, _| hop.deaf = (list, times)).unwrap();
}

/// A packet comes to a node, as if it were from another one.
fn inject(play: &mut Play, to: u32, from: u32, packet: Bytes) {
    let from = play.media(from);
    play.net.inject(NodeIndex(to), Plane::Media, from, packet);
}

fn list(packet: &[u8]) -> bool {
    packet[1] & 0x7f == LIST.0
}

#[test]
fn over_four_hops_that_lose_one_packet_of_a_hundred_nothing_true_is_lost_to_the_guards() {
    for seed in 1..=3 {
        let mut play = Play::protected(seed, quick().with_loss(0.01), 4);
        for child in 1..=4 {
            play.connect(child - 1, child, Start::Live);
        }
        play.send(4000);
        play.net.run_for(milliseconds(2000));
        for node in 1..=4 {
            let counts = found(&play, node);
            // Where a first list is lost, the first window is, and everything begins with the next.
            let first = play.played.borrow()[&NodeIndex(node)][0].1;
            assert!(first <= FILL as u16 * 2, "seed {seed}, node {node}: {first}");
            play.assert_played(node, first..3990);
            assert_eq!(counts.forged, 0);
            assert!(counts.unlisted <= u64::from(first), "seed {seed}, node {node}: {counts:?}");
            // The delay of the source, four ways, and repairs.
            let slowest = play.slowest(node) - WINDOW_TIME;
            assert!(slowest < milliseconds(300), "seed {seed}, node {node}: {slowest:?}");
            let all = play.counters(node).media.bytes + counts.lists.bytes;
            assert!(counts.lists.bytes * 1000 <= all * 15, "{counts:?}");
        }
    }
}

#[test]
fn whatever_a_relay_changes_of_a_packet_goes_to_its_children_and_no_further() {
    let lies: [fn(&mut [u8]); 6] = [
        |packet| packet[700] ^= 1,
        // The marker, the sequence number, the timestamp, the SSRC, and padding that there is none of.
        |packet| packet[1] ^= 0x80,
        |packet| packet[3] = packet[3].wrapping_add(1),
        |packet| packet[7] ^= 1,
        |packet| packet[11] ^= 1,
        |packet| packet[0] ^= 0x20,
    ];
    for (n, changed) in lies.into_iter().enumerate() {
        let mut play = Play::protected(1, quick(), 3);
        for child in 1..=3 {
            play.connect(child - 1, child, Start::Live);
        }
        play.send(200);
        let before = [2, 3].map(|node| play.last(node));
        lie(&mut play, 1, changed);
        play.send(200);
        // What was under way when the lies began.
        let after = [2, 3].map(|node| play.last(node).unwrap() - before[node as usize - 2].unwrap());
        assert!(after.iter().all(|&more| more <= 4), "lie {n}: {after:?}");
        assert_eq!(found(&play, 3).forged + found(&play, 3).unlisted, 0, "lie {n}");
        assert!(found(&play, 2).forged + found(&play, 2).unlisted > 50, "lie {n}: {:?}", found(&play, 2));
        let genuine = |(_, packet): &(Instant, Bytes)| list(packet) || packet[12..] == stream()[..];
        assert!(heard(&mut play, 3).iter().all(genuine));
    }
}

#[test]
fn a_forged_packet_does_not_stand_in_the_way_of_the_true_one() {
    let mut play = Play::protected(1, quick(), 3);
    // 3 is fed by 1, who lies, and by 2, who is slower.
    for (parent, child) in [(0, 1), (0, 2), (1, 3), (2, 3)] {
        play.connect(parent, child, Start::Live);
    }
    let path = (NodeIndex(2), NodeIndex(3));
    play.net.set_path(path.0, path.1, Conditions::constant(milliseconds(40)));
    lie(&mut play, 1, |packet| packet[700] ^= 1);
    play.send(400);
    play.net.run_for(milliseconds(1000));
    play.assert_played(3, 0..400);
    assert_eq!((found(&play, 3).forged, found(&play, 3).genuine), (400, 400));
    assert_eq!(play.counters(3).sequence.duplicates, 0);
}

#[test]
fn a_list_that_is_lost_is_asked_for_and_holds_up_nobody_longer_than_that_takes() {
    let mut play = Play::protected(1, quick(), 2);
    play.connect(0, 1, Start::Live);
    play.connect(1, 2, Start::Live);
    play.send(200);
    deaf_to_lists(&mut play, 1, 1);
    play.send(200);
    play.net.run_for(milliseconds(1000));
    for node in [1, 2] {
        play.assert_played(node, 0..400);
        assert_eq!(found(&play, node).unlisted, 0);
        // Ten milliseconds of tolerance, a round trip, and the ways down.
        let slowest = play.slowest(node) - WINDOW_TIME;
        assert!(slowest <= milliseconds(10 * u64::from(node) + 40), "{slowest:?}");
    }
    let lists = heard(&mut play, 1).iter().filter(|(_, packet)| list(packet)).count();
    assert_eq!(lists, 400usize.div_ceil(FILL), "it was brought once");
}

#[test]
fn lists_that_come_behind_their_packets_lose_nothing() {
    let reordering = Conditions {
        reordering: 0.2,
        reordering_delay: milliseconds(60),
        ..Conditions::constant(milliseconds(10))
    };
    let mut play = Play::protected(3, reordering, 2);
    play.connect(0, 1, Start::Live);
    play.connect(1, 2, Start::Live);
    play.send(2000);
    play.net.run_for(milliseconds(1000));
    for node in [1, 2] {
        play.assert_played(node, 0..2000);
        assert_eq!((found(&play, node).unlisted, found(&play, node).forged), (0, 0));
    }
}

#[test]
fn without_its_list_a_packet_waits_as_long_as_it_may_and_no_longer() {
    let mut play = Play::protected(1, quick(), 2);
    play.connect(0, 1, Start::Live);
    play.connect(1, 2, Start::Live);
    play.send(100);
    // A relay that passes on everything but the lists, and denies that there are any.
    let before = play.last(2).unwrap();
    deaf_to_lists(&mut play, 2, usize::MAX);
    play.send(300);
    play.net.run_for(milliseconds(1000));
    // The lists of the window that it is in, and of those that are ahead in the delay of the source.
    let known = (u32::from(before) / FILL as u32 + 3) * FILL as u32;
    assert!(u32::from(play.last(2).unwrap()) < known, "{:?} {known}", play.last(2));
    let counts = found(&play, 2);
    assert_eq!(counts.genuine + counts.unlisted, 400, "{counts:?}");
    assert_eq!(found(&play, 1).genuine, 400);
}

#[test]
fn a_window_that_was_recorded_is_taken_neither_again_nor_by_a_newcomer_after_minutes() {
    let mut play = Play::protected(1, quick(), 2);
    play.connect(0, 1, Start::Live);
    play.send(100);
    let record = heard(&mut play, 1);
    play.send(200 * FILL);
    let before = play.counters(1);
    for (_, packet) in &record {
        inject(&mut play, 1, 0, packet.clone());
    }
    let after = play.counters(1);
    assert_eq!((before.media, before.sequence.received), (after.media, after.sequence.received));
    // To a newcomer it is too old, by the time of day.
    let later = EPOCH + 400_000;
    play.net.command(NodeIndex(2), |hop, _| hop.relay.protect(CHANNEL, later)).unwrap().unwrap();
    play.connect(0, 2, Start::Live);
    for (_, packet) in &record {
        inject(&mut play, 2, 0, packet.clone());
    }
    assert_eq!(play.counters(2).media.packets, 0);
}

#[test]
fn a_list_under_another_key_is_tried_a_few_times_and_keeps_no_other_parents_lists_out() {
    let mut play = Play::protected(1, quick(), 3);
    for (parent, child) in [(0, 1), (0, 2), (1, 3), (2, 3)] {
        play.connect(parent, child, Start::Live);
    }
    play.send(100);
    let true_list =
        heard(&mut play, 3).into_iter().map(|(_, packet)| packet).rfind(|packet| list(packet)).unwrap();
    let judged = |play: &mut Play| play.net.command(NodeIndex(3), |hop, _| hop.judged).unwrap();
    let before = judged(&mut play);
    // A thousand lists of the right form, each for a new window, all in an instant, in the name of 1.
    for n in 0..1000u64 {
        let end = true_list.len() - 72;
        let mut forged = true_list[..end].to_vec();
        forged[16..24].copy_from_slice(&(EPOCH + 1_000_000 + n).to_be_bytes());
        let signed = [&forged[..], &signature(9, &forged)].concat();
        inject(&mut play, 3, 1, signed.into());
    }
    assert_eq!(judged(&mut play) - before, TRIALS as usize);
    play.send(200);
    play.net.run_for(milliseconds(1000));
    play.assert_played(3, 0..300);
    assert_eq!(found(&play, 3).bad_lists, u64::from(TRIALS));
}

#[test]
fn when_a_parent_dies_a_standby_goes_on_in_the_middle_of_a_window_and_no_packet_is_missing() {
    for offset in (0..FILL).step_by(5) {
        let mut play = Play::protected(7, Conditions::constant(milliseconds(20)), 4);
        for (parent, child) in [(0, 1), (0, 2), (1, 3), (3, 4)] {
            play.connect(parent, child, Start::Live);
        }
        let standby = play.lease(2, 3);
        play.send(200 + offset);
        play.net.kill(NodeIndex(1), Death::Host);
        play.send(8);
        play.resume(3, standby);
        play.send(400);
        play.net.run_for(milliseconds(1000));
        let all = 608 + offset as u16;
        for node in [3, 4] {
            play.assert_played(node, 0..all);
            assert_eq!(play.counters(node).sequence.duplicates, 0, "offset {offset}");
            assert_eq!(found(&play, node).unlisted, 0, "offset {offset}");
        }
    }
}

#[test]
fn a_newcomer_gets_the_list_of_what_it_begins_with_wherever_in_a_window_that_is() {
    for offset in (0..FILL).step_by(5) {
        for from in [Start::Live, Start::After(260), Start::RandomAccess] {
            let mut play = Play::protected(7, Conditions::constant(milliseconds(20)), 3);
            play.connect(0, 1, Start::Live);
            play.connect(1, 2, Start::Live);
            play.send(400 + offset);
            let asked = play.net.now();
            play.connect(1, 3, from);
            play.send(300);
            play.net.run_for(milliseconds(1000));
            let (came, first) = play.played.borrow()[&NodeIndex(3)][0];
            // One way, and for what comes the next packet.
            assert!(came.since(asked) <= milliseconds(25), "{from:?}, {offset}: {:?}", came.since(asked));
            if from == Start::After(260) {
                assert_eq!(first, 261);
            }
            play.assert_played(3, first..700 + offset as u16);
            let counts = found(&play, 3);
            assert_eq!((counts.unlisted, counts.forged), (0, 0), "{from:?}, {offset}");
            assert_eq!(play.counters(3).sequence.duplicates, 0);
            let lists = heard(&mut play, 3).iter().filter(|(_, packet)| list(packet)).count() as u64;
            assert_eq!(lists, counts.lists.packets, "no list comes twice: {from:?}, {offset}");
        }
    }
}

#[test]
fn an_encoder_that_begins_anew_is_followed_at_once_because_its_list_says_so() {
    let mut play = Play::protected(1, quick(), 2);
    play.connect(0, 1, Start::Live);
    play.connect(1, 2, Start::Live);
    play.send(200);
    // Another SSRC, without a pause.
    play.packetizer = Packetizer::new(77, 200);
    play.send(200);
    play.net.run_for(milliseconds(1000));
    for node in [1, 2] {
        play.assert_played(node, 0..400);
        let counters = play.counters(node);
        assert_eq!((counters.sequence.lost, counters.sequence.restarts), (0, 1));
    }
}

#[test]
fn a_plain_receiver_is_sent_the_media_and_no_lists() {
    let mut play = Play::protected(1, quick(), 2);
    let plain = play.media(2);
    let add = |hop: &mut crate::repair::Hop, now| {
        hop.run(now, |relay, now, fx: &mut Effects<_>| {
            relay.add_child(now, CallId::received(99), CHANNEL, Remote::from(plain), Start::Live, fx)
        })
    };
    play.net.command(Play::SOURCE, add).unwrap().unwrap();
    play.send(200);
    play.net.run_for(milliseconds(1000));
    let heard = heard(&mut play, 2);
    assert_eq!(
        heard.iter().map(|(_, packet)| sequence(packet)).collect::<Vec<_>>(),
        (0..200).collect::<Vec<_>>()
    );
    assert!(!heard.iter().any(|(_, packet)| is_list(packet)));
}

#[test]
fn a_parent_that_changes_some_packets_is_told_about_and_one_in_whose_name_others_lie_is_not() {
    let mut play = Play::protected(1, quick(), 3);
    let liar = play.connect(0, 1, Start::Live);
    let deceived = play.connect(1, 2, Start::Live);
    play.connect(0, 3, Start::Live);
    play.send(200);
    let began = play.net.now();
    // One of four, and not another one when it is asked for again.
    lie(&mut play, 1, |packet| {
        if packet[3] % 4 == 0 {
            packet[700] ^= 1
        }
    });
    play.send(200);
    let told = play.net.command(NodeIndex(2), |hop, _| hop.deceivers.clone()).unwrap();
    assert_eq!(told.iter().map(|&(_, call)| call).collect::<Vec<_>>(), [deceived]);
    assert!(told[0].0.since(began) <= milliseconds(700), "{:?}", told[0].0.since(began));
    assert_ne!(liar, deceived);
    // 3 is told lies in the name of the source, as many as there are packets.
    for _ in 0..200 {
        play.send(1);
        let (_, last) = heard(&mut play, 3).pop().unwrap();
        let mut forged = last.to_vec();
        forged[3] = forged[3].wrapping_add(2);
        inject(&mut play, 3, 0, forged.into());
    }
    play.net.run_for(milliseconds(1000));
    assert!(found(&play, 3).forged >= 150, "{:?}", found(&play, 3));
    play.assert_played(3, 0..600);
    assert!(play.net.command(NodeIndex(3), |hop, _| hop.deceivers.is_empty()).unwrap());
}
