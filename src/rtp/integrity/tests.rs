use super::*;
use crate::ids::bytes_from_hex;
use crate::rtp::header::{Header, Packet, PayloadType};
use crate::time::{Instant, earliest};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

const SSRC: u32 = 0xfeed;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// As long as one of ECDSA P-256 at most, and as hard to make without the key as a test needs.
fn signature(key: u8, list: &[u8]) -> Bytes {
    let digest = Sha256::digest([&[key], list].concat());
    [&digest[..], &digest[..], &[0; 8]].concat().into()
}

fn is_from(key: u8) -> impl Fn(&[u8], &[u8]) -> bool {
    move |list, candidate| candidate == signature(key, list)
}

fn media_of(ssrc: u32, sequence: u16) -> Bytes {
    let header = Header {
        marker: false,
        payload_type: PayloadType::MP2T,
        sequence,
        timestamp: u32::from(sequence) * 900,
        ssrc,
    };
    [&header.to_bytes()[..], &[sequence as u8; 1316]].concat().into()
}

fn media(sequence: u16) -> Bytes {
    media_of(SSRC, sequence)
}

fn octets(outgoing: Outgoing) -> Bytes {
    match outgoing {
        Outgoing::List(list) => list.packet().clone(),
        Outgoing::Media(packet) => packet,
    }
}

/// All that leaves by then.
fn left(signer: &mut Signer, ms: u64) -> Vec<Bytes> {
    core::iter::from_fn(|| signer.pop(at(ms))).map(octets).collect()
}

/// A window of these packets, its list in front.
fn window(signer: &mut Signer, unix_millis: u64, numbers: core::ops::Range<u16>) -> Vec<Bytes> {
    numbers.for_each(|n| signer.push(at(0), media(n)).unwrap());
    signer.finish();
    signer.sign(at(0), unix_millis, |list| Some(signature(1, list)));
    left(signer, 0)
}

fn guard() -> Guard<u8> {
    Guard::new(Limits::default())
}

/// What a guard passes on when it is offered this packet, and what it says.
fn offer(guard: &mut Guard<u8>, ms: u64, packet: &Bytes) -> (Vec<Bytes>, Result<Verdict, Refused>) {
    let Ok(header) = Packet::parse(packet).map(|parsed| parsed.header) else {
        return (vec![], Ok(Verdict::Forged));
    };
    if header.payload_type != LIST {
        let verdict = guard.check(at(ms), 0, &header, packet);
        let passed = (verdict == Verdict::Genuine).then(|| packet.clone());
        return (passed.into_iter().collect(), Ok(verdict));
    }
    if let Err(refused) = guard.offer(0, packet.clone(), true) {
        return (vec![], Err(refused));
    }
    let Some((_, Some(list))) = guard.judge(is_from(1)) else { return (vec![], Err(Refused::BadList)) };
    let released = guard.release().genuine.into_iter().map(|(_, _, packet)| packet);
    (core::iter::once(list.packet().clone()).chain(released).collect(), Ok(Verdict::Genuine))
}

fn nothing() -> [Bytes; 0] {
    []
}

#[test]
fn a_list_is_these_bytes() {
    let mut signer = Signer::new(0);
    let packet = media(3).slice(..20);
    signer.push(at(0), packet.clone()).unwrap();
    signer.finish();
    signer.sign(at(0), 0x0102_0304_0506, |_| Some(Bytes::from_static(&[0xaa, 0xbb])));
    let sent = left(&mut signer, 0);
    assert_eq!(sent[1], packet);
    let head = bytes_from_hex("807f0003 00000a8c ffff0112 01010003 0000010203040506").unwrap();
    assert_eq!(sent[0], [&head[..], &Sha256::digest(&packet)[..16], &[0xaa, 0xbb]].concat());
}

#[test]
fn what_the_source_sends_passes_at_once_and_is_the_buffer_that_the_encoder_made() {
    let (mut signer, mut guard) = (Signer::new(0), guard());
    // Over the wrap of the numbers.
    for (round, first) in (0..).zip([65_520u16, 65_530, 4]) {
        let pushed: Vec<Bytes> = (0..10).map(|n| media(first.wrapping_add(n))).collect();
        pushed.iter().for_each(|packet| signer.push(at(0), packet.clone()).unwrap());
        signer.finish();
        signer.sign(at(0), 1000, |list| Some(signature(1, list)));
        let sent = left(&mut signer, 0);
        let list = List::parse(sent[0].clone()).unwrap();
        let expected = (SSRC, 65_520 + round, first, first.wrapping_add(10), 1000 + u64::from(round));
        assert_eq!((list.ssrc, list.sequence, list.first, list.end(), list.number), expected);
        assert_eq!(sent[1..], pushed);
        for packet in &sent {
            let (passed, result) = offer(&mut guard, 0, packet);
            assert_eq!((&passed[..], result), (core::slice::from_ref(packet), Ok(Verdict::Genuine)));
            assert_eq!(passed[0].as_ptr(), packet.as_ptr());
        }
    }
    assert_eq!((guard.counts().genuine, guard.counts().lists.packets), (30, 3));
    assert_eq!((guard.deadline(), guard.missing()), (None, None));
}

#[test]
fn no_bit_of_a_packet_or_of_a_list_can_be_changed() {
    let sent = window(&mut Signer::new(0), 1000, 7..10);
    for (n, whole) in sent.iter().enumerate() {
        for bit in 0..whole.len().min(120) * 8 {
            let mut guard = guard();
            if n > 0 {
                offer(&mut guard, 0, &sent[0]).1.unwrap();
            }
            let mut forged = whole.to_vec();
            forged[bit / 8] ^= 1 << (bit % 8);
            let (passed, _) = offer(&mut guard, 0, &forged.into());
            assert_eq!(passed, nothing(), "packet {n}, bit {bit}");
            assert_eq!(guard.counts().genuine, 0);
            // The true one still counts.
            assert_eq!(offer(&mut guard, 0, whole), (vec![whole.clone()], Ok(Verdict::Genuine)));
        }
        for len in 0..whole.len().min(120) {
            let mut guard = guard();
            assert_eq!(offer(&mut guard, 0, &whole.slice(..len)).0, nothing(), "packet {n}, {len}");
        }
    }
}

#[test]
fn a_list_under_another_key_or_about_another_source_is_none() {
    let sent = window(&mut Signer::new(0), 1000, 7..9);
    let mut other = Signer::new(0);
    other.push(at(0), media(7)).unwrap();
    other.finish();
    other.sign(at(0), 9, |list| Some(signature(2, list)));
    let forged = left(&mut other, 0);
    let mut guard = guard();
    assert_eq!(offer(&mut guard, 0, &forged[0]), (vec![], Err(Refused::BadList)));
    assert_eq!(offer(&mut guard, 0, &sent[1]), (vec![], Ok(Verdict::Held)), "it waits for a true list");
    assert_eq!(guard.counts().bad_lists, 1);
    // A true list says nothing about the packets of another SSRC.
    offer(&mut guard, 0, &sent[0]).1.unwrap();
    assert_eq!(offer(&mut guard, 0, &media_of(SSRC + 1, 8)).1, Ok(Verdict::Held));
}

#[test]
fn a_packet_in_the_place_of_another_is_forged_though_both_are_the_sources() {
    let mut signer = Signer::new(0);
    let (first, second) = (window(&mut signer, 1000, 0..3), window(&mut signer, 2000, 3..6));
    let mut guard = guard();
    offer(&mut guard, 0, &first[0]).1.unwrap();
    offer(&mut guard, 0, &second[0]).1.unwrap();
    let mut moved = second[1].to_vec();
    moved[2..4].copy_from_slice(&1u16.to_be_bytes());
    assert_eq!(offer(&mut guard, 0, &moved.into()).1, Ok(Verdict::Forged));
    // In whatever order the windows come, each packet is judged by its own list.
    for packet in second[1..].iter().chain(&first[1..]) {
        assert_eq!(offer(&mut guard, 0, packet).1, Ok(Verdict::Genuine));
    }
}

#[test]
fn packets_wait_for_a_list_that_was_lost_and_no_longer_than_they_may() {
    let (mut signer, mut guard) = (Signer::new(0), guard());
    let known = window(&mut signer, 500, 0..4);
    let (first, second) = (window(&mut signer, 1000, 4..8), window(&mut signer, 2000, 8..12));
    offer(&mut guard, 0, &known[0]).1.unwrap();
    for (ms, packet) in (0..).zip(&first[1..]) {
        assert_eq!(offer(&mut guard, ms, packet), (vec![], Ok(Verdict::Held)));
        // Its number follows from that of the last one.
        assert_eq!(guard.missing(), Some((1, 1)));
    }
    assert_eq!(offer(&mut guard, 50, &second[1]).0, nothing());
    assert_eq!(guard.missing(), Some((1, 2)));
    // The list is repaired: what it is about leaves, in order, and nothing else.
    assert_eq!(offer(&mut guard, 60, &first[0]).0, first);
    assert_eq!((guard.deadline(), guard.missing()), (Some(at(350)), Some((2, 1))));
    assert_eq!(guard.handle_timeout(at(349)), 0);
    assert_eq!(guard.handle_timeout(at(350)), 1);
    assert_eq!((guard.deadline(), guard.counts().unlisted), (None, 1));
    assert_eq!(offer(&mut guard, 351, &second[0]).0, second[..1]);
}

#[test]
fn what_was_held_and_is_forged_goes_no_further_when_the_list_comes() {
    let sent = window(&mut Signer::new(0), 1000, 0..2);
    let mut guard = guard();
    let mut forged = sent[1].to_vec();
    forged[500] ^= 1;
    offer(&mut guard, 0, &forged.into()).1.unwrap();
    offer(&mut guard, 0, &sent[1]).1.unwrap();
    assert_eq!(offer(&mut guard, 1, &sent[0]).0, sent[..2]);
    assert_eq!((guard.counts().genuine, guard.counts().forged), (1, 1));
}

#[test]
fn an_old_window_cannot_be_played_again() {
    let (mut signer, mut guard) = (Signer::new(0), Guard::new(Limits { lists: 2, ..Limits::default() }));
    let windows: Vec<Vec<Bytes>> =
        (0..4).map(|n| window(&mut signer, 1000 + n, 2 * n as u16..2 * n as u16 + 2)).collect();
    windows.iter().for_each(|sent| assert!(offer(&mut guard, 0, &sent[0]).1.is_ok()));
    assert_eq!(offer(&mut guard, 1, &windows[1][0]), (vec![], Err(Refused::Old)));
    assert_eq!(offer(&mut guard, 1, &windows[1][1]).0, nothing());
    // One that is remembered is known.
    assert_eq!(offer(&mut guard, 1, &windows[2][0]), (vec![], Err(Refused::Known)));
    // A newcomer knows what time it is.
    let mut newcomer = Guard::new(Limits::default());
    newcomer.not_before(1002);
    assert_eq!(offer(&mut newcomer, 0, &windows[1][0]), (vec![], Err(Refused::Old)));
    assert_eq!(offer(&mut newcomer, 0, &windows[2][0]).1, Ok(Verdict::Genuine));
}

#[test]
fn the_numbers_of_windows_grow_whatever_the_clock_does() {
    let mut signer = Signer::new(0);
    let numbers = [(5000, 0), (5000, 1), (3, 2), (6000, 3)].map(|(clock, n)| {
        let sent = window(&mut signer, clock, n..n + 1);
        List::parse(sent[0].clone()).unwrap().number
    });
    assert_eq!(numbers, [5000, 5001, 5002, 6000]);
}

#[test]
fn k8_wrong_signatures_are_tried_eight_at_once_and_then_ten_in_a_second() {
    let mut trials = Trials::default();
    let mut flood =
        |ms: u64| (0..50).filter(|_| trials.allow(at(ms)).then(|| trials.spend()).is_some()).count();
    assert_eq!([1000, 1050, 1100, 1150, 1350, 11_000].map(&mut flood), [8, 0, 1, 0, 2, 8]);
    // True ones cost nothing of it, and what is not allowed is not even kept.
    assert!((0..50).all(|_| Trials::default().allow(at(0))));
    let sent = window(&mut Signer::new(0), 1000, 0..2);
    assert_eq!(guard().offer(0, sent[0].clone(), false), Err(Refused::TooMany));
}

#[test]
fn k8_no_more_packets_and_lists_wait_than_may() {
    let mut guard = Guard::new(Limits { held: 3, ..Limits::default() });
    let mut signer = Signer::new(0);
    let sent = window(&mut signer, 1000, 0..10);
    sent[1..].iter().for_each(|packet| assert!(offer(&mut guard, 0, packet).1.is_ok()));
    assert_eq!((guard.held.len(), guard.counts().unlisted), (3, 7));
    assert_eq!(offer(&mut guard, 0, &sent[0]).0, [&sent[..1], &sent[8..]].concat());
    let mut none = Guard::new(Limits { held: 0, ..Limits::default() });
    offer(&mut none, 0, &sent[1]).1.unwrap();
    assert_eq!((none.deadline(), none.counts().unlisted), (None, 1));
    for n in 0..20 {
        let list = window(&mut signer, 2000, 10 + n..11 + n).remove(0);
        let result = guard.offer(0, list, true);
        assert_eq!(result.is_ok(), usize::from(n) < MAX_UNCHECKED);
    }
    // What is far ahead of everything is no sign of a list that is missing.
    offer(&mut guard, 0, &media(9_000)).1.unwrap();
    assert_eq!(guard.missing(), None);
}

#[test]
fn a_list_that_is_remembered_keeps_no_buffer_of_the_hosts() {
    let sent = window(&mut Signer::new(0), 1000, 0..2);
    let mut buffer = vec![0; 5000];
    buffer[..sent[0].len()].copy_from_slice(&sent[0]);
    let buffer = Bytes::from(buffer);
    let mut guard = guard();
    offer(&mut guard, 0, &buffer.slice(..sent[0].len())).1.unwrap();
    assert!(buffer.is_unique());
}

/// Pushes so many packets, one in so many microseconds, and gives what leaves when.
fn played(signer: &mut Signer, packets: u16, gap: u64) -> Vec<(u64, Bytes)> {
    let mut sent = Vec::new();
    let end = Instant::from_micros(u64::from(packets) * gap + 1_000_000);
    let mut pushed = 0;
    loop {
        let push = (pushed < packets).then(|| Instant::from_micros(u64::from(pushed) * gap));
        let Some(now) = earliest(push, signer.deadline()).filter(|&now| now < end) else { return sent };
        if push == Some(now) {
            signer.push(now, media(pushed)).unwrap();
            pushed += 1;
        }
        while signer.is_ripe(now) {
            signer.sign(now, now.as_micros() / 1000, |list| Some(signature(1, list)));
        }
        while let Some(outgoing) = signer.pop(now) {
            sent.push((now.as_micros(), octets(outgoing)));
        }
        assert!(signer.deadline().is_none_or(|at| at > now), "it has done all that it can");
    }
}

#[test]
fn everything_leaves_after_350_ms_at_the_pace_at_which_it_came() {
    // 8, 2 and 0.8 Mbit/s; the slowest fills no window in time.
    for (gap, packets_of_first) in [(1316, 32), (5264, 32), (13_160, 27)] {
        let sent = played(&mut Signer::new(0), 400, gap);
        let first = List::parse(sent[0].1.clone()).unwrap();
        assert_eq!(first.end() - first.first, packets_of_first, "{gap}");
        let media: Vec<u64> =
            sent.iter().filter(|(_, p)| List::parse(p.clone()).is_none()).map(|&(when, _)| when).collect();
        let expected: Vec<u64> = (0..400).map(|n| n * gap + 350_000).collect();
        assert_eq!(media, expected, "{gap}");
    }
}

#[test]
fn a_list_leaves_as_soon_as_it_is_signed_and_so_ahead_of_its_window_where_that_fills_in_time() {
    // When the first three lists leave, and the first packets of their windows, in ms; 8, 2 and 0.8 Mbit/s.
    let cases = [
        (1316, [40, 82, 125], [350, 392, 434]),
        (5264, [163, 331, 500], [350, 518, 686]),
        (13_160, [350, 705, 1060], [350, 705, 1060]),
    ];
    for (gap, lists, firsts) in cases {
        let sent = played(&mut Signer::new(0), 200, gap);
        let left = |packet: &Bytes| sent.iter().find(|(_, p)| p == packet).map(|&(at, _)| at / 1000);
        let known: Vec<List> = sent.iter().filter_map(|(_, p)| List::parse(p.clone())).take(3).collect();
        assert_eq!(known.iter().filter_map(|list| left(list.packet())).collect::<Vec<_>>(), lists, "{gap}");
        assert_eq!(known.iter().filter_map(|list| left(&media(list.first))).collect::<Vec<_>>(), firsts);
    }
}

#[test]
fn lists_are_less_than_one_and_a_half_percent_of_what_is_sent_from_730_kbit_a_second_on() {
    // In thousandths of a percent.
    let overhead = |gap: u64| {
        let sent = played(&mut Signer::new(0), 4000, gap);
        let all: usize = sent.iter().map(|(_, p)| p.len()).sum();
        let lists = sent.iter().filter(|(_, p)| List::parse(p.clone()).is_some());
        lists.map(|(_, p)| p.len()).sum::<usize>() * 100_000 / all
    };
    assert_eq!([1316, 5264, 13_160, 14_500].map(overhead), [1410, 1410, 1452, 1471]);
    // 500, 300 and 200 kbit/s.
    assert_eq!([21_250, 35_400, 53_100].map(overhead), [1605, 1891, 2189]);
}

#[test]
fn a_long_signature_makes_long_windows_whose_lists_still_fit_into_a_datagram() {
    let sizes = |signature: &'static [u8], packets| {
        let mut signer = Signer::new(0);
        let mut sizes = Vec::new();
        for n in 0..packets {
            signer.push(at(u64::from(n)), media(n)).unwrap();
            while signer.is_ripe(at(u64::from(n))) {
                signer.sign(at(u64::from(n)), 0, |_| Some(Bytes::from_static(signature)));
            }
            let left = core::iter::from_fn(|| signer.pop(at(10_000)));
            sizes.extend(left.filter_map(|outgoing| match outgoing {
                Outgoing::List(list) => Some((list.count, list.packet().len())),
                Outgoing::Media(_) => None,
            }));
        }
        sizes
    };
    // The second window was begun before there was a signature to go by.
    assert_eq!(sizes(&[0; 256], 300), [(32, 792), (72, 1432), (72, 1432), (72, 1432)]);
    // 24 octets and the signature are a third of what is listed.
    assert_eq!(sizes(&[0; 120], 130), [(32, 656), (48, 912), (48, 912)]);
}

#[test]
fn what_the_encoder_sends_out_of_order_finds_its_place_while_its_window_is_open() {
    let mut signer = Signer::new(0);
    for n in [10, 12, 11, 14] {
        signer.push(at(0), media(n)).unwrap();
    }
    assert_eq!(signer.push(at(0), media(12)), Err(SignError::OutOfSequence));
    assert_eq!(signer.push(at(0), media(9)), Err(SignError::OutOfSequence));
    signer.finish();
    signer.sign(at(0), 1, |list| Some(signature(1, list)));
    let sent = left(&mut signer, 0);
    assert_eq!(sent[1..], [10, 11, 12, 14].map(media));
    // Nothing passes for the packet that there was none of.
    let mut guard = guard();
    offer(&mut guard, 0, &sent[0]).1.unwrap();
    assert_eq!(offer(&mut guard, 0, &media(13)).1, Ok(Verdict::Forged));
    assert_eq!(signer.push(at(1), media(13)), Err(SignError::OutOfSequence), "its window is closed");
    assert_eq!(signer.push(at(1), media(15)), Ok(()));
}

#[test]
fn an_encoder_that_begins_anew_begins_a_window() {
    let mut signer = Signer::new(0);
    signer.push(at(0), media(10)).unwrap();
    signer.push(at(1), media_of(SSRC + 1, 11)).unwrap();
    signer.push(at(1), media_of(SSRC + 1, 12)).unwrap();
    // The same SSRC, but somewhere else: believed with the second packet, as everywhere.
    assert_eq!(signer.push(at(2), media_of(SSRC + 1, 40_000)), Err(SignError::OutOfSequence));
    signer.push(at(2), media_of(SSRC + 1, 40_001)).unwrap();
    signer.push(at(2), media_of(SSRC + 1, 40_002)).unwrap();
    signer.finish();
    let mut lists = Vec::new();
    while signer.is_ripe(at(2)) {
        signer.sign(at(2), 1, |list| Some(signature(1, list)));
        lists.extend(core::iter::from_fn(|| signer.pop(at(1000))).filter_map(|outgoing| match outgoing {
            Outgoing::List(list) => Some((list.ssrc - SSRC, list.first, list.count)),
            Outgoing::Media(_) => None,
        }));
    }
    assert_eq!(lists, [(0, 10, 1), (1, 11, 2), (1, 40_001, 2)]);
}

#[test]
fn without_signatures_nothing_leaves_and_not_everything_is_kept() {
    let mut signer = Signer::new(0);
    assert_eq!((signer.deadline(), signer.is_ripe(at(0))), (None, false));
    let pushed = (0..1000).take_while(|&n| signer.push(at(0), media(n)).is_ok()).count();
    assert_eq!(pushed, MAX_UNSIGNED * FILL);
    assert!(signer.is_ripe(at(0)) && signer.pop(at(10_000)).is_none());
    assert_eq!(signer.push(at(0), Bytes::from_static(&[0x40; 40])), Err(SignError::NotRtp));
    // A window for which there is no signature is lost, and no other.
    signer.sign(at(0), 1, |_| None);
    signer.sign(at(0), 1, |list| Some(signature(1, list)));
    assert_eq!(left(&mut signer, 10_000)[1..], (32..64).map(media).collect::<Vec<_>>());
    let mut list = media(1).to_vec();
    list[1] = LIST.0;
    assert_eq!(signer.push(at(0), list.into()), Err(SignError::NotRtp), "it would be taken for a list");
}

#[test]
fn lists_are_found_by_their_packets_and_by_their_own_numbers() {
    let (mut signer, mut lists) = (Signer::new(0), Lists::new(3));
    for n in 0..4u16 {
        let sent = window(&mut signer, 1000 + u64::from(n), 100 + 4 * n..104 + 4 * n);
        lists.insert(&List::parse(sent[0].clone()).unwrap());
    }
    let about = |n| lists.about(SSRC, n).map(|list| list.number);
    assert_eq!([103, 104, 107, 115, 116].map(about), [None, Some(1001), Some(1001), Some(1003), None]);
    assert_eq!(lists.of_sequence(SSRC, 102).map(|list| list.number), Some(1002));
    assert_eq!(lists.of_sequence(SSRC + 1, 102), None);
    // From a packet on: its own list and all behind it.
    let from = |n| lists.number_for(SSRC, n);
    assert_eq!([90, 104, 109, 115, 116].map(from), [Some(1001), Some(1001), Some(1002), Some(1003), None]);
    assert_eq!(lists.from(1002).map(|list| list.number).collect::<Vec<_>>(), [1002, 1003]);
    // Those of a source that follows are here before the last packets of the one before.
    signer.push(at(0), media_of(SSRC + 1, 9)).unwrap();
    signer.finish();
    signer.sign(at(0), 1004, |list| Some(signature(1, list)));
    lists.insert(&List::parse(left(&mut signer, 0)[0].clone()).unwrap());
    let from = |ssrc, n| lists.number_for(ssrc, n);
    assert_eq!([from(SSRC, 109), from(SSRC, 116)], [Some(1002), Some(1004)]);
    assert_eq!([from(SSRC + 1, 9), from(SSRC + 1, 10)], [Some(1004), None]);
}

#[test]
fn k7_no_packets_make_a_guard_panic_or_pass_on_what_was_not_sent() {
    fn law(changes: Vec<(u8, u8, u16, u8)>) -> bool {
        let mut signer = Signer::new(0);
        let sent: Vec<Bytes> =
            (0..4).flat_map(|n| window(&mut signer, n, 5 * n as u16..5 * n as u16 + 5)).collect();
        let mut guard = Guard::new(Limits { lists: 2, held: 4, ..Limits::default() });
        changes.into_iter().all(|(time, which, place, change)| {
            let mut packet = sent[usize::from(which) % sent.len()].to_vec();
            let place = usize::from(place) % (packet.len() + 1);
            match packet.get_mut(place) {
                Some(octet) => *octet ^= change & 0x11,
                None => packet.truncate(usize::from(change)),
            }
            let (passed, _) = offer(&mut guard, time.into(), &packet.into());
            guard.handle_timeout(at(time.into()));
            guard.missing();
            guard.held.len() <= 4
                && guard.lists().from(0).count() <= 2
                && passed.iter().all(|packet| sent.contains(packet))
        })
    }
    quickcheck::QuickCheck::new().tests(300).quickcheck(law as fn(Vec<(u8, u8, u16, u8)>) -> bool);
}
