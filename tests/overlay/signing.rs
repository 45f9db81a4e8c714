//! How much one call signs and checks: media must get its turn in between.

use super::bench::{Bench, FIRST, TLS, offer, written};
use super::wire::{FAR, ME, PEER, anywhere, ping};
use bytes::Bytes;
use p2piptv::effect::Effect;
use p2piptv::env::{Crypto, CryptoError, InsecureIdentity, Party, Signed, Signer};
use p2piptv::ids::{NodeId, StreamId};
use p2piptv::reload::codec::body::{StoreKindData, StoreReq};
use p2piptv::reload::codec::{
    Arranged, Body, DataValue, Frame, KindId, Message, MessageCode, RawValues, Signature, StoredData,
    data_signature_input,
};
use p2piptv::reload::overlay::{Fact, Failure, Ticket};
use p2piptv::stats::DropReason;
use p2piptv::time::UnixMillis;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An identity that counts what it signs and checks.
pub(super) struct Counting {
    identity: InsecureIdentity,
    signatures: AtomicUsize,
    checks: AtomicUsize,
}

impl Counting {
    pub(super) fn new(node_id: NodeId) -> Self {
        let (signatures, checks) = Default::default();
        Counting { identity: InsecureIdentity::new(node_id), signatures, checks }
    }

    /// How many signatures since the last time that this was asked.
    pub(super) fn take(&self) -> usize {
        self.signatures.swap(0, Ordering::Relaxed)
    }

    /// How many checks since the last time that this was asked.
    fn take_checks(&self) -> usize {
        self.checks.swap(0, Ordering::Relaxed)
    }
}

impl Crypto for Counting {
    fn node_id(&self) -> NodeId {
        self.identity.node_id()
    }

    fn certificates(&self) -> &[Bytes] {
        &[]
    }

    fn signer(&self) -> Signer {
        self.identity.signer()
    }

    fn sign(&self, parts: &[&[u8]]) -> Signed {
        self.signatures.fetch_add(1, Ordering::Relaxed);
        self.identity.sign(parts)
    }

    fn verify(
        &self,
        at: UnixMillis,
        signer: &Signer,
        certificates: &[Bytes],
        parts: &[&[u8]],
        signed: &Signed,
    ) -> Result<Arc<Party>, CryptoError> {
        self.checks.fetch_add(1, Ordering::Relaxed);
        self.identity.verify(at, signer, certificates, parts, signed)
    }
}

/// Calls the overlay as often as it asks for it at once; the signatures of each call.
fn turns(bench: &mut Bench) -> Vec<usize> {
    counted(bench, Counting::take)
}

/// The same with the checks of each call.
fn checks(bench: &mut Bench) -> Vec<usize> {
    counted(bench, Counting::take_checks)
}

fn counted(bench: &mut Bench, take: fn(&Counting) -> usize) -> Vec<usize> {
    let mut turns = vec![take(&bench.identity)];
    while bench.overlay.deadline() == Some(bench.now) {
        bench.with(|o, now, ctx| o.handle_timeout(now, ctx));
        turns.push(take(&bench.identity));
    }
    assert!(bench.overlay.deadline().is_none_or(|at| at > bench.now), "K1");
    turns
}

/// Transactions of messages with this code that were written, in their order.
fn sent(bench: &Bench, since: usize, code: MessageCode) -> Vec<u64> {
    let message = |e: &Effect<Fact>| match written(e)? {
        (_, Frame::Data { message, .. }) => Message::decode(&message).ok(),
        (_, Frame::Ack { .. }) => None,
    };
    let messages = bench.done[since..].iter().filter_map(message);
    messages.filter(|m| m.contents.message_code == code).map(|m| m.header.transaction_id).collect()
}

/// A Store of so many values, each with its own signature.
fn store(values: u8) -> Body {
    let signed = |n: u8| {
        let (signer, resource) = (InsecureIdentity::new(PEER), anywhere());
        let value = DataValue::existing(Bytes::from_static(b"value"));
        let value = Arranged::Dictionary { key: Bytes::copy_from_slice(&[n]), value };
        let (storage_time, identity) = (UnixMillis(1_700_000_000_000), signer.signer());
        let input = data_signature_input(&resource, KindId::CHANNEL, storage_time, &value, &identity);
        let signature = Signature { identity, signed: signer.sign(&[&input.unwrap()]) };
        StoredData { storage_time, lifetime: 60, value, signature }
    };
    let values: Vec<StoredData> = (0..values).map(signed).collect();
    let values = RawValues::encode_values(&values).unwrap();
    let kind_data = vec![StoreKindData { kind: KindId::CHANNEL, generation_counter: 0, values }];
    Body::StoreReq(StoreReq { resource: anywhere(), replica_number: 0, kind_data })
}

fn pings(bench: &mut Bench, n: usize) -> Vec<u8> {
    pings_of(bench, FIRST, PEER, n)
}

fn pings_of(bench: &mut Bench, stream: StreamId, signer: NodeId, n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..n {
        let message = bench.compose(signer, vec![ME.into()], &ping());
        bytes.extend(bench.frame(stream, &message));
    }
    bytes
}

// Covers: JL-7
#[test]
fn k3_one_call_signs_eight_messages_and_the_rest_follow_in_the_calls_that_it_asks_for() {
    let mut bench = Bench::linked();
    let peers: Vec<NodeId> = (1..=14).map(|n| NodeId::from_u128(n << 100)).collect();
    for (n, &peer) in peers.iter().enumerate() {
        let stream = StreamId::accepted(100 + n as u32);
        bench.open(stream, &[peer]).unwrap();
        bench.say(stream, peer, vec![ME.into()], &offer(&[TLS]));
    }
    turns(&mut bench);
    let since = bench.done.len();
    bench.with(|o, now, ctx| o.leave(now, ctx)).unwrap();
    assert_eq!(bench.overlay.deadline(), Some(bench.now), "it comes back at once");
    assert_eq!(turns(&mut bench), [8, 7]);
    let leaves: BTreeSet<u64> = sent(&bench, since, MessageCode::LEAVE_REQ).into_iter().collect();
    assert_eq!(leaves.len(), 15, "fourteen peers, and the node that is only linked");
}

#[test]
fn k10_answers_that_wait_for_their_signatures_keep_the_order_of_their_requests() {
    let mut bench = Bench::linked();
    bench.identity.take();
    let since = bench.done.len();
    let bytes = pings(&mut bench, 20);
    bench.feed(FIRST, &bytes).unwrap();
    assert_eq!(turns(&mut bench), [8, 8, 4]);
    let answered = sent(&bench, since, MessageCode::PING_ANS);
    assert_eq!(answered.len(), 20);
    assert!(answered.is_sorted());
}

#[test]
fn sr6_a_copy_of_a_request_whose_answer_waits_is_not_carried_out_again() {
    let mut bench = Bench::linked();
    let mut bytes = pings(&mut bench, 8);
    let twice = bench.compose(PEER, vec![ME.into()], &ping());
    bytes.extend(bench.frame(FIRST, &twice));
    bytes.extend(bench.frame(FIRST, &twice));
    bench.identity.take();
    let since = bench.done.len();
    bench.feed(FIRST, &bytes).unwrap();
    assert_eq!(turns(&mut bench), [8, 1]);
    assert_eq!(sent(&bench, since, MessageCode::PING_ANS).len(), 9);
}

#[test]
fn k8_a_flood_of_requests_fills_half_of_the_places_and_orders_are_still_taken() {
    let mut bench = Bench::linked();
    let limit = bench.overlay.config().limits.unsigned;
    // As many as one call may check: none waits, and all but eight of their answers do.
    let flood = (0..limit).find_map(|_| {
        let bytes = pings(&mut bench, 16);
        bench.feed(FIRST, &bytes).err()
    });
    assert_eq!(flood, Some(DropReason::RequestLimit));
    bench.identity.take();
    let fetched = bench.with(|o, now, ctx| o.fetch(now, Ticket(1), anywhere(), KindId::CHANNEL, ctx));
    fetched.unwrap();
    let signed = turns(&mut bench);
    assert!(signed.iter().all(|&n| n <= 16), "two calls of eight: {signed:?}");
    let all: usize = signed.iter().sum();
    assert!((limit / 2 - 16..=limit / 2 + 16).contains(&all), "{all}");
    let refused = |f: &Fact| matches!(f, Fact::Fetched { result: Err(Failure::TooMany), .. });
    assert!(!bench.facts.iter().any(refused));
    assert!(bench.facts.iter().any(|f| matches!(f, Fact::Fetched { result: Ok(_), .. })));
}

#[test]
fn k3_one_call_checks_sixteen_signatures_and_the_rest_follow_in_the_calls_that_it_asks_for() {
    let mut bench = Bench::linked();
    let since = bench.done.len();
    let bytes = pings(&mut bench, 40);
    bench.identity.take_checks();
    bench.feed(FIRST, &bytes).unwrap();
    assert_eq!(bench.overlay.deadline(), Some(bench.now), "it comes back at once");
    assert_eq!(checks(&mut bench), [16, 16, 8, 0, 0]);
    let answered = sent(&bench, since, MessageCode::PING_ANS);
    assert_eq!(answered.len(), 40);
    assert!(answered.is_sorted(), "K10");
}

#[test]
fn k3_the_values_of_a_message_count_and_only_those_of_one_exceed_a_share() {
    let mut bench = Bench::linked();
    let since = bench.done.len();
    let mut bytes = Vec::new();
    for _ in 0..3 {
        let store = bench.compose(PEER, vec![ME.into()], &store(12));
        bytes.extend(bench.frame(FIRST, &store));
    }
    bench.identity.take_checks();
    bench.feed(FIRST, &bytes).unwrap();
    assert_eq!(checks(&mut bench)[..2], [26, 13]);
    // They stand under keys that are not their signer's.
    assert_eq!(sent(&bench, since, MessageCode::ERROR).len(), 3);
}

#[test]
fn k8_what_a_link_brings_beyond_its_places_is_dropped_unread_and_other_links_keep_theirs() {
    let mut bench = Bench::linked();
    let other = StreamId::accepted(7);
    bench.open(other, &[FAR]).unwrap();
    let (since, limits) = (bench.done.len(), bench.overlay.config().limits);
    let flood = pings(&mut bench, 200);
    let honest = pings_of(&mut bench, other, FAR, 1);
    bench.identity.take_checks();
    assert_eq!(bench.feed(FIRST, &flood), Err(DropReason::VerificationLimit));
    bench.feed(other, &honest).unwrap();
    let checked: usize = checks(&mut bench).iter().sum();
    assert_eq!(checked, limits.verifications + limits.unverified_of_one_link + 1);
    let answered = |e: &Effect<Fact>| matches!(written(e), Some((s, Frame::Data { .. })) if s == other);
    assert!(bench.done[since..].iter().any(answered));
}

#[test]
fn lr1_a_message_without_a_place_is_not_acknowledged_so_that_it_is_sent_again() {
    let mut bench = Bench::linked();
    let since = bench.done.len();
    let flood = pings(&mut bench, 200);
    bench.feed(FIRST, &flood).unwrap_err();
    checks(&mut bench);
    let acked = |e: &Effect<Fact>| matches!(written(e), Some((_, Frame::Ack { .. })));
    assert_eq!(bench.done[since..].iter().filter(|e| acked(e)).count(), 16 + 64);
}

#[test]
fn k7_what_waited_and_is_dropped_is_told() {
    let mut bench = Bench::linked();
    let mut bytes = pings(&mut bench, 16);
    let mut forged = bench.compose(PEER, vec![ME.into()], &ping());
    forged.security.signature.signed.value = Bytes::from_static(b"forged");
    bytes.extend(bench.frame(FIRST, &forged));
    bench.feed(FIRST, &bytes).unwrap();
    checks(&mut bench);
    let told = Fact::Dropped { reason: DropReason::BadSignature };
    assert_eq!(bench.facts.iter().filter(|f| **f == told).count(), 1);
}

#[test]
fn k3_calls_of_one_turn_share_what_one_may_do() {
    let mut bench = Bench::linked();
    let batches: Vec<Vec<u8>> = (0..3).map(|_| pings(&mut bench, 10)).collect();
    bench.identity.take();
    bench.identity.take_checks();
    bench.overlay.begin_turn();
    batches.iter().for_each(|bytes| bench.feed(FIRST, bytes).unwrap());
    bench.with(|o, now, ctx| o.handle_timeout(now, ctx));
    assert_eq!((bench.identity.take(), bench.identity.take_checks()), (8, 16));
    for _ in 0..3 {
        bench.overlay.begin_turn();
        bench.with(|o, now, ctx| o.handle_timeout(now, ctx));
    }
    assert_eq!((bench.identity.take(), bench.identity.take_checks()), (22, 14));
}
