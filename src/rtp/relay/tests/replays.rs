//! Where a child begins, and what it is sent of what was.

use super::*;

#[test]
fn a_newcomer_begins_at_the_last_random_access_point_at_four_times_the_pace() {
    let mut b = broadcast(101);
    // A packet every 10 ms, so that one every 2.5 ms may be sent.
    assert_eq!(b.begin(1000, CHILD, Start::RandomAccess), [60, 61]);
    assert_eq!(b.relay.children(CHANNEL), [], "it has not caught up");
    let first: Vec<(u64, u16)> = (0..34).map(|n| (1005 + u64::from(n / 2) * 5, 62 + n)).collect();
    assert_eq!(b.until(1005), first[..2]);
    b.push(1010, video(101, PICTURE)).unwrap();
    assert_eq!(b.got(9), [], "its turn has not come");
    assert_eq!(b.until(1085), first[2..]);
    assert_eq!(b.relay.children(CHANNEL), []);
    let last = [(1090, 96), (1090, 97), (1095, 98), (1095, 99), (1100, 100), (1100, 101)];
    assert_eq!(b.until(1100), last);
    assert_eq!((b.relay.children(CHANNEL), b.relay.deadline()), (&[addr(9)][..], None));
    b.push(1101, video(102, PICTURE)).unwrap();
    assert_eq!(b.got(9), [102]);
}

#[test]
fn a_caller_that_has_media_gets_what_follows_it() {
    let mut b = broadcast(101);
    assert_eq!(b.begin(1000, CHILD, Start::After(98)), [99, 100]);
    assert_eq!(b.relay.children(CHANNEL), [addr(9)]);
    // Ahead of what there is, or level with it, nothing is missing.
    for (n, sequence) in [(2, 100), (3, 120), (4, 30_000)] {
        b.relay.remove_child(CHILD);
        b.relay.remove_child(CallId::received(n - 1));
        assert_eq!(b.begin(1000, CallId::received(n), Start::After(sequence)), []);
        assert_eq!(b.relay.children(CHANNEL), [addr(9)]);
    }
    // What is too old to be here begins with the oldest that is.
    b.relay.remove_child(CallId::received(4));
    assert_eq!(b.begin(1000, CHILD, Start::After(50_000)), [0, 1]);
}

#[test]
fn without_a_random_access_point_a_newcomer_begins_with_what_comes() {
    let mut b = broadcast(50);
    assert_eq!(b.begin(500, CHILD, Start::RandomAccess), []);
    b.push(510, video(50, PICTURE)).unwrap();
    assert_eq!((b.got(9), b.relay.deadline()), (vec![50], None));
    let mut b = source();
    assert_eq!(b.begin(0, CallId::received(2), Start::RandomAccess), []);
}

#[test]
fn a_replay_that_was_kept_waiting_does_not_hurry_afterwards() {
    let mut b = broadcast(101);
    b.begin(1000, CHILD, Start::RandomAccess);
    b.timeout(at(60_000), &mut Seeded::new(1));
    // Two ticks' worth of credit and no more.
    assert_eq!(b.got(9), [62, 63, 64, 65]);
    assert_eq!(b.relay.deadline(), Some(at(60_005)));
}

#[test]
fn a_standbys_child_is_covered_from_where_it_stopped() {
    let mut b = broadcast(101);
    b.relay.add_standby_child(CHILD, CHANNEL, addr(9)).unwrap();
    b.datagram(1000, 9, cue(Cover::Resume, SSRC, 3 << 16 | 96)).unwrap();
    b.order(|relay, fx| relay.serve(at(1000), CHILD, fx));
    assert_eq!(b.got(9), [97, 98]);
    assert_eq!(b.until(1005), [(1005, 99), (1005, 100)]);
    assert_eq!(b.relay.children(CHANNEL), [addr(9)]);
    b.relay.rest(CHILD);
    // Who has nothing of this source begins where it can.
    b.datagram(1050, 9, cue(Cover::Resume, 0, 0)).unwrap();
    b.order(|relay, fx| relay.serve(at(1050), CHILD, fx));
    assert_eq!(b.got(9), [60, 61]);
    b.relay.rest(CHILD);
    assert_eq!(b.until(2000), []);
    assert_eq!(b.relay.deadline(), None);
}

#[test]
fn who_is_covered_anew_in_the_same_call_misses_nothing_of_what_comes_meanwhile() {
    let mut b = broadcast(101);
    b.relay.add_standby_child(CHILD, CHANNEL, addr(9)).unwrap();
    b.datagram(1000, 9, cue(Cover::Resume, SSRC, 3 << 16 | 98)).unwrap();
    b.order(|relay, fx| relay.serve(at(1000), CHILD, fx));
    assert_eq!((b.got(9), b.relay.children(CHANNEL)), (vec![99, 100], &[addr(9)][..]));
    // Its RELEASE was lost, and it asks again.
    b.datagram(1060, 9, cue(Cover::Resume, SSRC, 3 << 16 | 90)).unwrap();
    b.order(|relay, fx| relay.serve(at(1060), CHILD, fx));
    let mut got = b.got(9);
    b.push(1063, video(101, PICTURE)).unwrap();
    got.extend(b.got(9));
    got.extend(b.until(2000).into_iter().map(|(_, number)| number));
    assert_eq!(got, (91..=101).collect::<Vec<_>>());
}

#[test]
fn who_is_fed_already_in_another_call_is_replayed_only_what_was_before() {
    let mut b = broadcast(101);
    b.begin(1000, CHILD, Start::Live);
    assert_eq!(b.begin(1000, CallId::received(2), Start::After(96)), [97, 98]);
    b.push(1003, video(101, PICTURE)).unwrap();
    assert_eq!(b.got(9), [101]);
    assert_eq!(b.until(2000), [(1005, 99), (1005, 100)]);
}

#[test]
fn who_was_fed_in_another_call_that_ends_meanwhile_misses_nothing_and_gets_nothing_twice() {
    for rests in [false, true] {
        let mut b = broadcast(101);
        if rests {
            b.relay.add_standby_child(CHILD, CHANNEL, addr(9)).unwrap();
            b.order(|relay, fx| relay.serve(at(1000), CHILD, fx));
        } else {
            b.begin(1000, CHILD, Start::Live);
        }
        let mut got = b.begin(1000, CallId::received(2), Start::After(90));
        for (ms, sequence) in [(1003, 101), (1004, 102)] {
            b.push(ms, video(sequence, PICTURE)).unwrap();
            got.extend(b.got(9));
        }
        if rests {
            b.relay.rest(CHILD)
        } else {
            b.relay.remove_child(CHILD)
        }
        for (ms, sequence) in [(1006, 103), (1040, 104), (1070, 105)] {
            got.extend(b.until(ms).into_iter().map(|(_, n)| n));
            b.push(ms, video(sequence, PICTURE)).unwrap();
            got.extend(b.got(9));
        }
        got.extend(b.until(2000).into_iter().map(|(_, n)| n));
        got.sort_unstable();
        assert_eq!(got, (91..=105).collect::<Vec<_>>(), "rests: {rests}");
        assert_eq!(b.relay.children(CHANNEL), [addr(9)]);
    }
}

#[test]
fn a_replay_ends_with_its_source_and_with_its_call() {
    let mut b = broadcast(101);
    b.begin(1000, CHILD, Start::RandomAccess);
    b.push(1001, rtp(0xbbbb, 7)).unwrap();
    assert_eq!((b.got(9), b.relay.children(CHANNEL), b.relay.deadline()), (vec![7], &[addr(9)][..], None));
    let mut b = broadcast(101);
    b.begin(1000, CHILD, Start::RandomAccess);
    b.relay.remove_child(CHILD);
    assert_eq!(b.until(2000), []);
    assert_eq!(b.relay.deadline(), None);
    let mut b = broadcast(101);
    b.begin(1000, CHILD, Start::RandomAccess);
    b.relay.close(CHANNEL);
    assert_eq!((b.until(2000), b.relay.deadline()), (vec![], None));
}

#[test]
fn a_hold_reaches_who_has_not_caught_up() {
    let mut b = broadcast(101);
    b.begin(1000, CHILD, Start::RandomAccess);
    b.hold(Hold::Starved);
    assert_eq!(b.receivers(), [addr(9)]);
}

#[test]
fn replayed_and_live_packets_together_are_every_packet_once() {
    // Packets come in any order, with gaps that are filled or not; the child begins anywhere and any time.
    fn law(steps: Vec<(u8, u8)>, begins: u8, behind: u8) -> bool {
        let mut b = Bench::new(Limits::default());
        b.relay.open(CHANNEL, Role::Viewer).unwrap();
        b.add_parent(at(0), MOTHER, CHANNEL, addr(1), None).unwrap();
        let (mut now, mut newest, mut held_back) = (0, 1000u16, Vec::new());
        let (mut expected, mut got) = (Vec::new(), Vec::new());
        let mut began = None;
        b.datagram(0, 1, rtp(SSRC, newest)).unwrap();
        expected.push(newest);
        for (step, (time, what)) in steps.iter().enumerate() {
            now += u64::from(time % 16);
            if step == usize::from(begins % 32) {
                let after = newest.wrapping_sub(u16::from(behind % 32));
                began = Some(after);
                got.extend(b.begin(now, CHILD, Start::After(after)));
            }
            got.extend(b.until(now).into_iter().map(|(_, n)| n));
            let sequence = match what % 5 {
                0 if !held_back.is_empty() => held_back.remove(usize::from(*what) % held_back.len()),
                1 => {
                    held_back.push(newest + 1);
                    newest += 2;
                    newest
                }
                _ => {
                    newest += 1;
                    newest
                }
            };
            if b.datagram(now, 1, rtp(SSRC, sequence)).is_ok() {
                expected.push(sequence);
            }
            got.extend(b.got(9));
        }
        got.extend(b.until(now + 1000).into_iter().map(|(_, n)| n));
        let Some(began) = began else { return got.is_empty() };
        // What is before its beginning may come too, if it comes late.
        got.retain(|&n| n > began);
        expected.retain(|&n| n > began);
        got.sort_unstable();
        expected.sort_unstable();
        got == expected
    }
    quickcheck::QuickCheck::new().tests(2000).quickcheck(law as fn(Vec<(u8, u8)>, u8, u8) -> bool);
}
