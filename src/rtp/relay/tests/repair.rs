//! What is missing is asked for.

use super::*;

#[test]
fn what_is_missing_is_asked_for_of_the_parent_that_was_heard_last() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    b.datagram(0, 2, rtp(SSRC, 2)).unwrap();
    b.datagram(20, 1, rtp(SSRC, 5)).unwrap();
    b.datagram(22, 1, rtp(SSRC, 7)).unwrap();
    assert_eq!(b.relay.deadline(), Some(at(30)));
    b.timeout(at(30), &mut Seeded::new(1));
    assert_eq!(b.asked(), [(addr(1), vec![3, 4])]);
    // It was overtaken only.
    b.datagram(31, 2, rtp(SSRC, 6)).unwrap();
    b.datagram(40, 2, rtp(SSRC, 3)).unwrap();
    assert_eq!(b.facts.last(), Some(&Fact::Packet { channel: CHANNEL, payload: rtp(SSRC, 3) }));
    let due = b.relay.deadline().unwrap();
    b.timeout(due, &mut Seeded::new(1));
    assert_eq!((due, b.asked()), (at(105), vec![(addr(2), vec![4])]));
    assert_eq!(
        b.relay.counters(CHANNEL).unwrap().repair,
        missing::Counts { asked: 3, repaired: 1, given_up: 0 }
    );
}

#[test]
fn without_a_parent_that_sends_nobody_is_asked() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    b.datagram(0, 1, rtp(SSRC, 3)).unwrap();
    b.relay.remove_parent(MOTHER);
    for _ in 0..40 {
        let due = b.relay.deadline().unwrap();
        b.timeout(due, &mut Seeded::new(1));
        assert_eq!(b.asked(), []);
    }
    assert_eq!(b.relay.counters(CHANNEL).unwrap().repair.given_up, 1);
}

#[test]
fn what_a_replay_brings_is_not_asked_for() {
    let mut b = with_standby();
    b.order(|relay, fx| relay.resume(at(100), STANDBY, fx));
    // The own parent is back with what is live, while the standby goes through what was.
    b.datagram(110, 1, rtp(SSRC, 20)).unwrap();
    b.datagram(112, 5, rtp(SSRC, 2)).unwrap();
    b.timeout(at(120), &mut Seeded::new(1));
    assert_eq!(b.asked(), []);
    b.datagram(121, 5, rtp(SSRC, 5)).unwrap();
    b.timeout(at(140), &mut Seeded::new(1));
    assert_eq!(b.asked(), [(addr(5), vec![3, 4])], "the replay is past these");
    // A replay that does not go on is waited for as long as a player waits, and no longer.
    b.datagram(405, 1, rtp(SSRC, 22)).unwrap();
    b.timeout(at(465), &mut Seeded::new(1));
    assert_eq!(b.asked(), [(addr(1), vec![21])]);
}

/// A viewer whose MOTHER is 250 ms away there and back, and whose standby is so many.
fn far_from_its_parent(standby: u64) -> Bench {
    let mut b = with_standby();
    b.relay.on_round_trip(MOTHER, Duration::from_millis(250));
    b.relay.on_round_trip(STANDBY, Duration::from_millis(standby));
    b
}

#[test]
fn of_a_far_parent_and_a_standby_that_is_half_as_far_the_standby_is_asked_first_and_then_in_turn() {
    for (standby, expected) in
        [(40, vec![(20, 5), (70, 1)]), (124, vec![(20, 5), (175, 1)]), (126, vec![(20, 1)])]
    {
        let mut b = far_from_its_parent(standby);
        b.datagram(10, 1, rtp(SSRC, 3)).unwrap();
        let mut asked = Vec::new();
        while b.relay.counters(CHANNEL).unwrap().repair.given_up == 0 {
            let due = b.relay.deadline().unwrap();
            b.timeout(due, &mut Seeded::new(1));
            asked.extend(b.asked().into_iter().map(|(of, lost)| (due.as_micros() / 1000, of, lost)));
        }
        let expected: Vec<_> = expected.into_iter().map(|(ms, of)| (ms, addr(of), vec![2])).collect();
        assert_eq!(asked, expected, "{standby}");
    }
    // A parent that is near, at 100 ms, is asked alone, however near others are.
    let mut b = far_from_its_parent(1);
    b.relay.on_round_trip(MOTHER, Duration::from_millis(100));
    b.datagram(10, 1, rtp(SSRC, 3)).unwrap();
    b.timeout(at(20), &mut Seeded::new(1));
    assert_eq!(b.asked(), [(addr(1), vec![2])]);
}

#[test]
fn what_a_resting_standby_sends_counts_only_when_it_was_asked_for() {
    let mut b = far_from_its_parent(40);
    b.datagram(10, 1, rtp(SSRC, 3)).unwrap();
    // Not yet.
    assert_eq!(b.datagram(12, 5, rtp(SSRC, 2)), Err(DropReason::UnknownSender));
    b.timeout(at(20), &mut Seeded::new(1));
    assert_eq!(
        b.datagram(59, 5, rtp(SSRC, 4)),
        Err(DropReason::UnknownSender),
        "it may come from the parent"
    );
    assert_eq!(b.datagram(60, 5, rtp(SSRC ^ 1, 2)), Err(DropReason::UnknownSender));
    b.datagram(60, 5, rtp(SSRC, 2)).unwrap();
    assert_eq!(
        b.facts,
        [Fact::Packet { channel: CHANNEL, payload: rtp(SSRC, 2) }],
        "it is no parent for that"
    );
    assert_eq!((b.relay.last_from(STANDBY), b.relay.brought(STANDBY)), (None, 0));
    assert_eq!(b.datagram(61, 5, rtp(SSRC, 2)), Err(DropReason::Duplicate));
    assert_eq!(b.relay.counters(CHANNEL).unwrap().repair.repaired, 1);
}

#[test]
fn a_resting_standby_that_was_not_asked_brings_nothing() {
    let mut b = far_from_its_parent(200);
    b.datagram(10, 1, rtp(SSRC, 3)).unwrap();
    b.timeout(at(20), &mut Seeded::new(1));
    assert_eq!(b.asked(), [(addr(1), vec![2])], "it is not half as far");
    assert_eq!(b.datagram(60, 5, rtp(SSRC, 2)), Err(DropReason::UnknownSender));
}

#[test]
fn the_answer_to_a_request_is_not_the_effect_of_a_resume_that_followed_it() {
    let mut b = far_from_its_parent(40);
    b.datagram(10, 1, rtp(SSRC, 3)).unwrap();
    b.timeout(at(20), &mut Seeded::new(1));
    b.order(|relay, fx| relay.resume(at(40), STANDBY, fx));
    b.datagram(60, 5, rtp(SSRC, 2)).unwrap();
    assert_eq!(b.facts, [Fact::Packet { channel: CHANNEL, payload: rtp(SSRC, 2) }]);
    b.timeout(at(100), &mut Seeded::new(1));
    assert_eq!(b.cues(), [(addr(5), Cover::Resume, 3)], "it goes on");
    b.datagram(105, 5, cue(Cover::Denied, SSRC, 3)).unwrap();
    assert_eq!(b.facts, [Fact::Denied { channel: CHANNEL, call: STANDBY }]);
}

#[test]
fn a_standby_that_leaves_four_requests_in_a_row_unanswered_is_asked_no_more() {
    let mut b = far_from_its_parent(40);
    let mut first = |n: u64, answers: bool| {
        let (lost, began) = (2 * n as u16, n * 1000);
        b.datagram(began, 1, rtp(SSRC, lost + 1)).unwrap();
        let mut asked = Vec::new();
        while let Some(due) = b.relay.deadline().filter(|&due| due < at(began + 200)) {
            b.timeout(due, &mut Seeded::new(1));
            asked.extend(b.asked());
        }
        b.datagram(began + 200, if answers { 5 } else { 1 }, rtp(SSRC, lost)).unwrap();
        asked.into_iter().map(|(of, _)| of).next()
    };
    let of = |port: u8| Some(addr(port));
    assert_eq!([1, 2, 3].map(|n| first(n, false)), [of(5); 3]);
    assert_eq!(first(4, true), of(5));
    assert_eq!([5, 6, 7, 8].map(|n| first(n, false)), [of(5); 4]);
    assert_eq!([9, 10].map(|n| first(n, false)), [of(1); 2]);
    // Ten seconds after it was asked last it is tried once.
    assert_eq!([17, 18, 19].map(|n| first(n, false)), [of(1), of(5), of(1)]);
    assert_eq!(first(28, true), of(5));
    assert_eq!([29, 30].map(|n| first(n, false)), [of(5); 2]);
}

#[test]
fn a_standby_whose_answers_come_second_has_answered() {
    let mut b = far_from_its_parent(40);
    for n in 1..=6u16 {
        let (lost, began) = (2 * n, u64::from(n) * 1000);
        b.datagram(began, 1, rtp(SSRC, lost + 1)).unwrap();
        let mut asked = Vec::new();
        while let Some(due) = b.relay.deadline().filter(|&due| due < at(began + 100)) {
            b.timeout(due, &mut Seeded::new(1));
            asked.extend(b.asked());
        }
        assert_eq!(asked.first(), Some(&(addr(5), vec![lost])), "{n}");
        b.datagram(began + 100, 1, rtp(SSRC, lost)).unwrap();
        let mut other = rtp(SSRC, lost).to_vec();
        *other.last_mut().unwrap() ^= u8::from(n == 1);
        let refused = if n == 1 { DropReason::UnknownSender } else { DropReason::Duplicate };
        assert_eq!(b.datagram(began + 110, 5, other.into()), Err(refused), "{n}");
    }
}

#[test]
fn a_packet_of_any_type_is_mended_where_nobody_signs() {
    let of_type = |sequence| {
        let mut packet = rtp(SSRC, sequence).to_vec();
        packet[1] = integrity::LIST.0;
        Bytes::from(packet)
    };
    let mut b = far_from_its_parent(40);
    b.datagram(10, 1, of_type(3)).unwrap();
    b.timeout(at(20), &mut Seeded::new(1));
    b.datagram(60, 5, of_type(2)).unwrap();
    assert_eq!(b.facts, [Fact::Packet { channel: CHANNEL, payload: of_type(2) }]);
}

#[test]
fn a_standby_s_child_gets_what_it_asks_for_up_to_a_thirty_second_of_the_stream() {
    let mut b = with_lease();
    for n in 2..=640 {
        b.push(u64::from(n), rtp(SSRC, n)).unwrap();
    }
    // Nothing is under way to it, so nothing is held back for that.
    b.datagram(640, 9, nack(SSRC, &[640])).unwrap();
    assert_eq!(b.got(9), [640]);
    let recent: Vec<u16> = (560..620).collect();
    assert_eq!(b.datagram(700, 9, nack(SSRC, &recent)), Err(DropReason::TooManyNacks));
    assert_eq!(b.got(9), (560..579).collect::<Vec<_>>(), "640 / 32 in all");
    assert_eq!(b.relay.children(CHANNEL), [], "and nothing else");
}

#[test]
fn a_replay_is_waited_for_until_300_ms_after_it_was_asked_for_and_no_longer() {
    for (late, asked) in [(0, vec![]), (1, vec![(addr(1), vec![2])])] {
        let mut b = with_standby();
        b.order(|relay, fx| relay.resume(at(100), STANDBY, fx));
        let sent = (389 + late) as u32;
        b.datagram(sent.into(), 1, rtp_at(sent * 90, SSRC, 3)).unwrap();
        b.timeout(at(398 + late), &mut Seeded::new(1));
        assert_eq!((b.asked(), b.relay.deadline()), (vec![], Some(at(399 + late))));
        b.timeout(at(399 + late), &mut Seeded::new(1));
        assert_eq!(b.asked(), asked, "{late}");
    }
}

#[test]
fn a_child_gets_what_it_misses_once_in_three_quarters_of_a_round_trip() {
    let mut b = broadcast(101);
    b.begin(1000, CHILD, Start::Live);
    b.relay.on_round_trip(CHILD, Duration::from_millis(40));
    let mut ask = |ms, lost: &[u16]| {
        let result = b.datagram(ms, 9, nack(SSRC, lost));
        (result, b.got(9))
    };
    // 98 and all after it may be under way to it still: 30 ms are three quarters of its round trip.
    assert_eq!(ask(1001, &[90, 96, 98, 100, 101]), (Ok(()), vec![90, 96]));
    assert_eq!(ask(1020, &[90, 95, 98]), (Ok(()), vec![95, 98]));
    assert_eq!(ask(1030, &[90, 95]), (Ok(()), vec![]));
    assert_eq!(ask(1031, &[90, 95]), (Ok(()), vec![90]));
    assert_eq!(ask(1042, &[65_000, 40_000]), (Ok(()), vec![]), "nobody ever had these");
}

#[test]
fn what_was_sent_within_a_round_trip_is_remembered_though_a_hundred_packets_were_sent_since() {
    let mut b = broadcast(500);
    b.begin(5000, CHILD, Start::Live);
    b.relay.on_round_trip(CHILD, Duration::from_millis(250));
    let ask = |b: &mut Bench, lost: core::ops::Range<u16>| {
        let _ = b.datagram(5300, 9, nack(SSRC, &lost.collect::<Vec<_>>()));
        b.got(9).len()
    };
    assert_eq!(ask(&mut b, 350..410), 60);
    for n in 500..800 {
        b.push(5300, video(n, PICTURE)).unwrap();
    }
    assert_eq!(ask(&mut b, 410..450), 40);
    assert_eq!(ask(&mut b, 350..360), 0);
}

#[test]
fn a_replay_and_its_requests_do_not_bring_the_same_twice() {
    let mut b = broadcast(101);
    assert_eq!(b.begin(1100, CHILD, Start::RandomAccess), [60, 61]);
    b.datagram(1101, 9, nack(SSRC, &[60, 62, 99])).unwrap();
    assert_eq!(b.got(9), [60]);
}

#[test]
fn k8_a_flood_of_requests_is_counted_and_brings_no_more_than_a_quarter_of_the_stream() {
    let mut b = broadcast(101);
    b.begin(1000, CHILD, Start::Live);
    let all: Vec<u16> = (0..101).collect();
    let flood = |b: &mut Bench, ms: u64| {
        let mut got = 0;
        for n in 0..50 {
            let result = b.datagram(ms + n * 20, 9, nack(SSRC, &all));
            assert!(matches!(result, Ok(()) | Err(DropReason::TooManyNacks)));
            got += b.got(9).len();
        }
        got
    };
    assert_eq!(flood(&mut b, 1100), 101 / 4);
    for n in 101..141 {
        b.push(2000, video(n, PICTURE)).unwrap();
    }
    assert_eq!(flood(&mut b, 2100), 10);
    for n in 141..1141u64 {
        b.push(2000 + n, video(n as u16, PICTURE)).unwrap();
    }
    let recent: Vec<u16> = (1041..1141).collect();
    b.datagram(9000, 9, nack(SSRC, &recent)).unwrap_err();
    assert_eq!(b.got(9).len() as u64, NACK_BURST);
}

#[test]
fn what_a_child_misses_and_this_node_too_is_asked_for_at_once() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    b.datagram(1, 1, rtp(SSRC, 3)).unwrap();
    b.datagram(2, 9, nack(SSRC, &[2])).unwrap();
    assert_eq!((b.asked(), b.relay.deadline()), (vec![], Some(at(2))));
    b.timeout(at(2), &mut Seeded::new(1));
    assert_eq!(b.asked(), [(addr(1), vec![2])]);
    // The answer goes to everybody; and not twice to the child that asks again meanwhile.
    b.relay.on_round_trip(CHILD, Duration::from_millis(40));
    b.datagram(40, 1, rtp(SSRC, 2)).unwrap();
    assert_eq!(b.got(9), [2]);
    b.datagram(45, 9, nack(SSRC, &[2])).unwrap();
    assert_eq!(b.got(9), []);
}

#[test]
fn only_children_are_answered_about_what_they_are_or_may_be_sent() {
    let mut b = with_lease();
    b.push(100, rtp(SSRC, 2)).unwrap();
    for (from, ssrc) in [(77, SSRC), (9, 5)] {
        let result = b.datagram(200, from, nack(ssrc, &[1, 2]));
        assert_eq!(
            (result.is_ok(), b.sends.len()),
            (from == 9, 0),
            "a report of a child is one all the same"
        );
    }
    let (mut b, mut mother, mut child) = keyed();
    (2..6).for_each(|n| b.datagram(1, 1, rtp(SSRC, n)).unwrap());
    let lost = nack(SSRC, &[1]);
    assert_eq!(b.datagram(500, 9, lost.clone()), Err(DropReason::BadAuthentication));
    assert_eq!(b.datagram(500, 9, mother.protect(&lost).unwrap()), Err(DropReason::BadAuthentication));
    assert_eq!(b.datagram(500, 9, child.protect(&lost).unwrap()), Ok(()));
    assert_eq!(b.got(9), [1]);
}
