//! Whatever comes.

use super::*;

/// So far are the parents that the standby is asked for what is missing.
fn put_far(b: &mut Bench) {
    [MOTHER, FATHER].into_iter().for_each(|call| b.relay.on_round_trip(call, Duration::from_millis(150)));
    b.relay.on_round_trip(STANDBY, Duration::from_millis(20));
}

#[test]
fn k7_k8_no_sequence_of_datagrams_breaks_the_relay() {
    fn law(datagrams: Vec<(u8, u8, u16, Vec<u8>)>) -> bool {
        let mut b = Bench::viewer();
        b.relay.open(OTHER, Role::Viewer).unwrap();
        b.add_parent(at(0), CallId::placed(3), OTHER, addr(1), Some(1)).unwrap();
        b.add_child(CallId::received(2), OTHER, addr(1)).unwrap();
        b.order(|relay, fx| relay.add_standby_parent(at(0), STANDBY, CHANNEL, addr(5), fx).unwrap());
        b.relay.add_standby_child(CallId::received(3), CHANNEL, addr(9)).unwrap();
        put_far(&mut b);
        for (ms, (from, shape, n, noise)) in (0..).step_by(40).zip(datagrams) {
            let ssrc = u32::from(n % 4);
            let mut bytes = Vec::from(match shape % 12 {
                0..=2 => rtp(ssrc, n / 4),
                3 => notice(ssrc, if n > 9 { Hold::Starved } else { Hold::Paused }),
                4 => report(&[ssrc, 1], n as u8),
                5 => sr(ssrc, u64::from(n) << 32, &noise),
                6 => goodbye(ssrc),
                7 => cue(Cover::Resume, ssrc, n.into()),
                8 => cue(Cover::Denied, ssrc, n.into()),
                9 => cue(Cover::Release, ssrc, n.into()),
                10 => nack(ssrc, &[n / 4, n / 4 + 1, n / 4 + 9]),
                _ => Bytes::new(),
            });
            // What is noise behind RTP and RTCP makes it no RTP or RTCP, most of the time.
            if n % 3 == 0 {
                bytes.extend_from_slice(&noise);
            }
            b.datagram(ms, from % 3 * 4 + 1, bytes.into()).ok();
            let calls = 4;
            if b.facts.len() > rtcp::MAX_PACKETS * calls || b.sends.len() > NACK_BURST as usize + 4 {
                return false;
            }
            // The policy's orders, whatever it may think.
            b.order(|relay, fx| match n % 7 {
                0 => relay.resume(at(ms), STANDBY, fx),
                1 => relay.release(at(ms), STANDBY, fx),
                2 => relay.serve(at(ms), CallId::received(3), fx),
                3 => relay.deny(CallId::received(3), fx),
                _ => {}
            });
            b.timeout(at(ms), &mut Seeded::new(1));
            if b.relay.deadline().is_none_or(|due| due <= at(ms)) {
                return false;
            }
        }
        true
    }
    quickcheck::QuickCheck::new().tests(500).quickcheck(law as fn(Vec<(u8, u8, u16, Vec<u8>)>) -> bool);
}

#[test]
fn no_packet_is_played_twice_whoever_sends_it_and_whenever() {
    // Two parents and a standby that is asked and released as it comes; each sends what is new, or anything it ever sent.
    fn law(steps: Vec<(u8, u8, u8)>) -> bool {
        let mut b = with_standby();
        put_far(&mut b);
        let (mut now, mut newest) = (1, 1u16);
        let mut played = alloc::collections::BTreeSet::from([1]);
        for (time, who, what) in steps {
            now += u64::from(time % 32);
            if b.relay.deadline().is_some_and(|due| due <= at(now)) {
                b.timeout(at(now), &mut Seeded::new(1));
            }
            match who % 8 {
                6 => b.order(|relay, fx| relay.resume(at(now), STANDBY, fx)),
                7 => b.order(|relay, fx| relay.release(at(now), STANDBY, fx)),
                sender => {
                    let sequence = match what % 4 {
                        0 => newest + 2,
                        1 | 2 => newest + 1,
                        _ => newest.saturating_sub(u16::from(what / 4) * 4).max(1),
                    };
                    let from = [1, 2, 5][usize::from(sender % 3)];
                    let taken = b.datagram(now, from, rtp(SSRC, sequence));
                    let plays = b.facts.iter().any(|fact| matches!(fact, Fact::Packet { .. }));
                    if taken.is_ok() != plays || plays && !played.insert(sequence) {
                        return false;
                    }
                    if plays {
                        newest = newest.max(sequence);
                    }
                }
            }
        }
        true
    }
    quickcheck::QuickCheck::new().tests(2000).quickcheck(law as fn(Vec<(u8, u8, u8)>) -> bool);
}

#[test]
fn every_truncation_of_a_control_packet_is_harmless() {
    let whole = sr(SSRC, 1, &notice(SSRC, Hold::Paused));
    for len in 0..=whole.len() {
        let mut b = Bench::viewer();
        b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
        let result = b.datagram(1, 1, whole.slice(..len));
        // Cut between two packets it is a compound packet still.
        let legal = [28, 36, 48, whole.len()].contains(&len);
        assert_eq!(result.is_ok(), legal, "{len}: {result:?}");
        assert_eq!(b.facts.len(), usize::from(len == whole.len()));
    }
}

#[test]
fn a_viewer_that_takes_over_sends_what_is_pushed_to_its_children_and_nothing_of_its_parents() {
    let mut b = Bench::viewer();
    for sequence in 0..5 {
        b.datagram(u64::from(sequence), 1, rtp(SSRC, sequence)).unwrap();
    }
    // A child whose replay is under way gets what is live instead.
    b.order(|relay, fx| {
        relay.add_child(at(5), CallId::received(2), CHANNEL, addr(10), Start::After(0), fx).unwrap();
    });
    assert_eq!(b.relay.push(at(6), CHANNEL, rtp(7, 100), &mut Effects::new()), Err(RelayError::WrongRole));
    b.relay.take_over(at(6), CHANNEL);
    assert_eq!((b.relay.children(CHANNEL), b.relay.last_media(CHANNEL)), (&[addr(9), addr(10)][..], None));
    assert_eq!(b.datagram(7, 1, rtp(SSRC, 5)), Err(DropReason::UnknownSender));
    b.order(|relay, fx| relay.push(at(8), CHANNEL, rtp(7, 100), fx).unwrap());
    assert_eq!(b.facts, [Fact::Packet { channel: CHANNEL, payload: rtp(7, 100) }]);
    assert_eq!((b.relay.ssrc(CHANNEL), b.relay.deadline()), (Some(7), None));
}
