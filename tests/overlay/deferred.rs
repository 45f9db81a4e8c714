//! Signatures that the host makes and brings: late, never, twice, wrong.

use super::bench::{Bench, FIRST, written};
use super::wire::{ME, OVERLAY, PEER, anywhere, home, ping};
use bytes::Bytes;
use p2piptv::env::{Crypto, InsecureIdentity, Signed};
use p2piptv::reload::codec::{Frame, KindId, Message, MessageCode};
use p2piptv::reload::overlay::{Address, Config, Fact, Failure, LinkSecurity, SignatureTicket, Slot, Ticket};
use p2piptv::stats::DropReason;
use p2piptv::time::{Duration, Instant};

fn bench() -> Bench {
    let config =
        Config { security: LinkSecurity::Tls, deferred_signing: true, ..Config::new(OVERLAY, home()) };
    let mut bench = Bench::with_config(config);
    bench.open(FIRST, &[PEER]).unwrap();
    bench
}

/// What the host was asked to sign so far.
fn asked(bench: &Bench) -> Vec<(SignatureTicket, Bytes)> {
    let to_sign = |fact: &Fact| match fact {
        Fact::ToSign { ticket, octets } => Some((*ticket, octets.clone())),
        _ => None,
    };
    bench.facts.iter().filter_map(to_sign).collect()
}

fn sign(octets: &Bytes) -> Signed {
    InsecureIdentity::new(ME).sign(&[octets])
}

/// Brings the signature that was asked for as this one.
fn bring(bench: &mut Bench, nth: usize) -> Result<(), DropReason> {
    let (ticket, octets) = asked(bench)[nth].clone();
    bench.with(|o, now, ctx| o.on_signature(now, ticket, Some(sign(&octets)), ctx))
}

/// Brings everything that is asked for from this one on, until nothing more is.
fn bring_all(bench: &mut Bench, mut nth: usize) {
    while nth < asked(bench).len() {
        bring(bench, nth).unwrap();
        nth += 1;
    }
}

/// So many Pings of PEER; their transactions.
fn pings(bench: &mut Bench, n: usize) -> Vec<u64> {
    let ping = |bench: &mut Bench| {
        let message = bench.compose(PEER, vec![ME.into()], &ping());
        let frame = bench.frame(FIRST, &message);
        bench.feed(FIRST, &frame).unwrap();
        message.header.transaction_id
    };
    (0..n).map(|_| ping(bench)).collect()
}

/// Answers to Pings that were sent, each with a good signature.
fn answered(bench: &Bench) -> Vec<u64> {
    let messages = bench.done.iter().filter_map(|effect| match written(effect)? {
        (_, Frame::Data { message, .. }) => Message::decode(&message).ok(),
        (_, Frame::Ack { .. }) => None,
    });
    let answers = messages.filter(|m| m.contents.message_code == MessageCode::PING_ANS);
    let octets = asked(bench);
    answers
        .map(|m| {
            assert!(octets.iter().any(|(_, octets)| sign(octets) == m.security.signature.signed));
            m.header.transaction_id
        })
        .collect()
}

fn at(bench: &mut Bench, millis: u64) {
    bench.now = Instant::from_millis(millis);
    bench.with(|o, now, ctx| o.handle_timeout(now, ctx));
}

fn fetch(bench: &mut Bench) {
    bench.with(|o, now, ctx| o.fetch(now, Ticket(1), anywhere(), KindId::CHANNEL, ctx)).unwrap();
}

fn fetched(bench: &Bench) -> Option<Result<usize, Failure>> {
    bench.facts.iter().find_map(|fact| match fact {
        Fact::Fetched { result, .. } => Some(result.as_ref().map(Vec::len).map_err(|failure| *failure)),
        _ => None,
    })
}

#[test]
fn k3_no_call_signs_and_a_message_leaves_when_its_signature_is_brought() {
    let mut bench = bench();
    let ids = pings(&mut bench, 1);
    assert_eq!(asked(&bench).len(), 1);
    assert_eq!(answered(&bench), []);
    at(&mut bench, 500);
    bring(&mut bench, 0).unwrap();
    assert_eq!(answered(&bench), ids);
    assert_eq!(bench.identity.take(), 0);
}

#[test]
fn k10_messages_leave_in_the_order_of_their_requests_whatever_order_their_signatures_come_in() {
    let mut bench = bench();
    let ids = pings(&mut bench, 4);
    for nth in [2, 1] {
        bring(&mut bench, nth).unwrap();
        assert_eq!(answered(&bench), []);
    }
    bring(&mut bench, 0).unwrap();
    assert_eq!(answered(&bench), ids[..3]);
    bring(&mut bench, 3).unwrap();
    assert_eq!(answered(&bench), ids);
}

#[test]
fn a_signature_that_never_comes_holds_the_others_up_for_three_seconds_and_not_longer() {
    let mut bench = bench();
    let ids = pings(&mut bench, 3);
    at(&mut bench, 1000);
    bring(&mut bench, 1).unwrap();
    bring(&mut bench, 2).unwrap();
    at(&mut bench, 2999);
    assert_eq!(answered(&bench), []);
    at(&mut bench, 3000);
    assert_eq!(answered(&bench), ids[1..]);
    assert_eq!(bring(&mut bench, 0), Err(DropReason::StraySignature), "it is too late");
    assert_eq!(answered(&bench), ids[1..]);
}

#[test]
fn sr6_a_copy_of_a_request_whose_answer_is_being_signed_is_not_carried_out_again() {
    let mut bench = bench();
    let message = bench.compose(PEER, vec![ME.into()], &ping());
    for _ in 0..2 {
        let frame = bench.frame(FIRST, &message);
        bench.feed(FIRST, &frame).unwrap();
    }
    assert_eq!(asked(&bench).len(), 1);
    // When there was no signature, the next copy is answered.
    at(&mut bench, 3000);
    let frame = bench.frame(FIRST, &message);
    bench.feed(FIRST, &frame).unwrap();
    bring(&mut bench, 1).unwrap();
    assert_eq!(answered(&bench), [message.header.transaction_id]);
}

#[test]
fn k7_a_signature_that_comes_twice_or_for_nothing_is_dropped() {
    let mut bench = bench();
    let ids = pings(&mut bench, 2);
    // The second one waits for the first, and its signature is there already.
    bring(&mut bench, 1).unwrap();
    assert_eq!(bring(&mut bench, 1), Err(DropReason::StraySignature));
    bring(&mut bench, 0).unwrap();
    for nth in [0, 1] {
        assert_eq!(bring(&mut bench, nth), Err(DropReason::StraySignature));
    }
    let nothing = bench.with(|o, now, ctx| o.on_signature(now, SignatureTicket(99), None, ctx));
    assert_eq!(nothing, Err(DropReason::StraySignature));
    assert_eq!(answered(&bench), ids);
}

#[test]
fn an_order_that_the_host_does_not_sign_has_failed() {
    let mut late = bench();
    fetch(&mut late);
    at(&mut late, 2999);
    assert_eq!(fetched(&late), None);
    at(&mut late, 3000);
    assert_eq!(fetched(&late), Some(Err(Failure::NotSigned)));

    let mut refused = bench();
    fetch(&mut refused);
    let (ticket, _) = asked(&refused)[0];
    refused.with(|o, now, ctx| o.on_signature(now, ticket, None, ctx)).unwrap();
    assert_eq!(fetched(&refused), Some(Err(Failure::NotSigned)), "at once");
}

#[test]
fn a_wrong_signature_is_believed_by_nobody_and_the_order_ends_in_its_time() {
    let mut bench = bench();
    fetch(&mut bench);
    let (ticket, _) = asked(&bench)[0];
    let wrong = sign(&Bytes::from_static(b"something else"));
    bench.with(|o, now, ctx| o.on_signature(now, ticket, Some(wrong), ctx)).unwrap();
    bench.wait(Duration::from_millis(14_999));
    assert_eq!(fetched(&bench), None);
    bench.wait(Duration::from_millis(1));
    assert_eq!(fetched(&bench), Some(Err(Failure::Timeout)));
    assert_eq!(asked(&bench).len(), 1, "nothing answered it");
}

fn store(bench: &mut Bench) {
    let slot = Slot::Key(Bytes::copy_from_slice(&ME.0));
    let address = Address { resource: anywhere(), kind: KindId::CHANNEL, slot };
    let (value, lifetime) = (Bytes::from_static(b"value"), Duration::from_secs(60));
    bench.with(|o, now, ctx| o.store(now, Ticket(2), address, value, lifetime, ctx)).unwrap();
}

fn stored(bench: &Bench) -> Option<Result<(), Failure>> {
    bench.facts.iter().find_map(|fact| match fact {
        Fact::Stored { result, .. } => Some(result.as_ref().map(drop).map_err(|failure| *failure)),
        _ => None,
    })
}

#[test]
fn a_value_is_signed_before_the_message_that_brings_it() {
    let mut bench = bench();
    store(&mut bench);
    assert_eq!((asked(&bench).len(), stored(&bench)), (1, None));
    bring_all(&mut bench, 0);
    // The value, the request to this node itself, and its answer.
    assert_eq!((asked(&bench).len(), stored(&bench)), (3, Some(Ok(()))));
    fetch(&mut bench);
    bring_all(&mut bench, 3);
    assert_eq!(fetched(&bench), Some(Ok(1)), "its signature holds");
    assert_eq!(bench.identity.take(), 0);
}

#[test]
fn whoever_leaves_while_a_value_is_being_signed_is_told_that_it_was_not_stored() {
    let mut bench = bench();
    store(&mut bench);
    bench.with(|o, now, ctx| o.leave(now, ctx)).unwrap();
    bench.wait(Duration::from_secs(3));
    assert_eq!(stored(&bench).map(|result| result.is_err()), Some(true));
    assert_eq!(bench.facts.last(), Some(&Fact::Left));
    assert_eq!(bring(&mut bench, 0), Err(DropReason::StraySignature));
}

#[test]
fn k8_what_the_host_has_to_sign_has_a_limit_of_which_requests_of_others_fill_half() {
    let mut bench = bench();
    let limit = bench.overlay.config().limits.unsigned;
    let flood = (0..2 * limit).find_map(|_| {
        let message = bench.compose(PEER, vec![ME.into()], &ping());
        let frame = bench.frame(FIRST, &message);
        bench.feed(FIRST, &frame).err()
    });
    assert_eq!((flood, asked(&bench).len()), (Some(DropReason::RequestLimit), limit / 2));
    for _ in 0..limit {
        fetch(&mut bench);
    }
    assert_eq!(asked(&bench).len(), limit);
    assert_eq!(fetched(&bench), Some(Err(Failure::TooMany)));
}
