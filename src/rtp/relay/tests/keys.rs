//! Whose word counts.

use super::*;

/// All that the relay remembers of its peers.
fn memory(b: &Bench) -> impl PartialEq + core::fmt::Debug + use<> {
    let progress = (b.relay.last_media(CHANNEL), b.relay.last_from(MOTHER), b.relay.last_report(CHILD));
    let channel = b.relay.channels.get(&CHANNEL).unwrap();
    (progress, b.relay.reported_loss(CHILD), channel.said_goodbye, alloc::format!("{:?}", channel.reception))
}

#[test]
fn what_does_not_come_under_the_key_of_its_call_changes_nothing() {
    let (mut b, mut mother, mut child) = keyed();
    let before = memory(&b);
    let plain = [
        notice(SSRC, Hold::Starved),
        notice(SSRC, Hold::Paused),
        notice(0, Hold::Paused),
        goodbye(SSRC),
        sr(SSRC, 1 << 32, &[]),
        report(&[SSRC], 255),
        report(&[], 0),
    ];
    for (from, other) in [(1, &mut child), (9, &mut mother)] {
        for compound in &plain {
            // As it is, and under the key of another call.
            for forged in [compound.clone(), other.protect(compound).unwrap()] {
                assert_eq!(b.datagram(5, from, forged), Err(DropReason::BadAuthentication));
                assert_eq!((b.facts.len(), b.sends.len()), (0, 0));
            }
        }
    }
    assert_eq!(memory(&b), before);
    assert_eq!(b.datagram(5, 77, plain[0].clone()), Err(DropReason::UnknownSender));
}

#[test]
fn what_comes_under_the_key_of_its_call_counts_once() {
    let (mut b, mut mother, mut child) = keyed();
    let paused = mother.protect(&notice(SSRC, Hold::Paused)).unwrap();
    assert_eq!(b.datagram(5, 1, paused.clone()), Ok(()));
    assert_eq!(b.facts, [Fact::Held { channel: CHANNEL, call: MOTHER, hold: Hold::Paused }]);
    assert_eq!(b.relay.last_from(MOTHER), Some(at(5)));
    let reported = child.protect(&report(&[SSRC], 12)).unwrap();
    assert_eq!(b.datagram(6, 9, reported.clone()), Ok(()));
    assert_eq!((b.relay.last_report(CHILD), b.relay.reported_loss(CHILD)), (Some(at(6)), Some(12)));
    let before = memory(&b);
    for (from, replayed) in [(1, paused), (9, reported)] {
        assert_eq!(b.datagram(900, from, replayed), Err(DropReason::Duplicate));
        assert_eq!((b.facts.len(), b.sends.len()), (0, 0));
    }
    assert_eq!(memory(&b), before);
    let bye = mother.protect(&goodbye(SSRC)).unwrap();
    assert_eq!(b.datagram(7, 1, bye), Ok(()));
    assert_ne!(memory(&b), before);
}

#[test]
fn what_is_sent_goes_under_the_key_of_its_call() {
    let (mut b, mut mother, mut child) = keyed();
    b.add_child(CallId::received(2), CHANNEL, addr(8)).unwrap();
    b.hold(Hold::Starved);
    let (_, plain) = b.sends.remove(0);
    let [(to, protected)] = &b.sends[..] else { panic!("{:?}", b.sends) };
    assert_eq!((*to, child.unprotect(protected)), (addr(9), Ok(plain)));
    // A sender report that is passed on gets the key of the next hop.
    let whole = sr(SSRC, 1 << 32, &[]);
    b.datagram(5, 1, mother.protect(&whole).unwrap()).unwrap();
    assert_eq!(b.sends[0], (addr(8), whole.clone()));
    assert_eq!((b.sends[1].0, child.unprotect(&b.sends[1].1)), (addr(9), Ok(whole)));
    b.timeout(at(1000), &mut Seeded::new(1));
    let (_, report) = b.sends.pop().unwrap();
    let report = mother.unprotect(&report).unwrap();
    let packets = rtcp::parse(&report).unwrap();
    let Some(rtcp::Packet::ReceiverReport { blocks, .. }) = packets.first() else { panic!() };
    assert_eq!(blocks.iter().map(|block| block.ssrc).collect::<Vec<_>>(), [SSRC]);
    // The media packets need no key.
    assert_eq!(b.datagram(1001, 1, rtp(SSRC, 2)), Ok(()));
    assert_eq!(b.relay.children(CHANNEL), [addr(8), addr(9)]);
}

#[test]
fn a_key_speaks_for_its_own_call_and_for_no_other_of_its_address() {
    let (mut b, mut mother, _) = keyed();
    let mut entropy = Seeded::new(5);
    let (ours, theirs) = (MasterKey::generate(&mut entropy), MasterKey::generate(&mut entropy));
    let mut other = Session::new(&Keys { ours: theirs.clone(), theirs: ours.clone() });
    let mut fx = Effects::new();
    let remote = Remote { addr: addr(1), keys: Some(Keys { ours, theirs }) };
    b.relay.open(OTHER, Role::Viewer).unwrap();
    b.relay.add_parent(at(0), FATHER, OTHER, remote, Some(22), &mut fx).unwrap();
    let third = ChannelId(3);
    b.relay.open(third, Role::Viewer).unwrap();
    b.relay.add_parent(at(0), CallId::placed(3), third, addr(1), Some(33), &mut fx).unwrap();

    // Each may hold its own channel only, by whatever source it names.
    let held = |channel, call| Fact::Held { channel, call, hold: Hold::Starved };
    for ssrc in [SSRC, 22, 33, 0] {
        b.datagram(1, 1, mother.protect(&notice(ssrc, Hold::Starved)).unwrap()).unwrap();
        assert_eq!(b.facts, [held(CHANNEL, MOTHER)]);
        b.datagram(1, 1, other.protect(&notice(ssrc, Hold::Starved)).unwrap()).unwrap();
        assert_eq!(b.facts, [held(OTHER, FATHER)]);
        b.datagram(1, 1, notice(ssrc, Hold::Starved)).unwrap();
        assert_eq!(b.facts, [held(third, CallId::placed(3))]);
    }
    for (session, ssrc) in [(Some(&mut mother), 22), (Some(&mut other), SSRC), (None, SSRC)] {
        let bye = goodbye(ssrc);
        let bye = session.map_or(bye.clone(), |session| session.protect(&bye).unwrap());
        assert_eq!(b.datagram(2, 1, bye), Err(DropReason::UnknownSsrc));
    }
    // Their reports go out apart, each with its own channel.
    b.timeout(at(1000), &mut Seeded::new(1));
    assert_eq!(b.receivers(), [addr(1); 3]);
    let (plain, protected) = b.sends.split_first().unwrap();
    assert!(rtcp::parse(&plain.1).is_ok());
    assert!(mother.unprotect(&protected[0].1).is_ok() && other.unprotect(&protected[1].1).is_ok());
}

#[test]
fn every_truncation_under_a_key_is_harmless() {
    let (mut b, mut mother, _) = keyed();
    let whole = mother.protect(&notice(SSRC, Hold::Paused)).unwrap();
    for len in 0..whole.len() {
        let expected = if len < 2 { DropReason::NotRtp } else { DropReason::BadAuthentication };
        assert_eq!(b.datagram(1, 1, whole.slice(..len)), Err(expected), "{len}");
        assert_eq!((b.facts.len(), b.sends.len()), (0, 0));
    }
    assert_eq!(b.datagram(1, 1, whole), Ok(()));
}
