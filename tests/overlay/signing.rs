//! How much one call signs: media must get its turn in between.

use super::links::{Bench, FIRST, TLS, offer, written};
use super::wire::{ME, PEER, anywhere, ping};
use bytes::Bytes;
use p2piptv::effect::Effect;
use p2piptv::env::{Crypto, CryptoError, InsecureIdentity, Party, Signed, Signer};
use p2piptv::ids::{NodeId, StreamId};
use p2piptv::reload::codec::{Frame, KindId, Message, MessageCode};
use p2piptv::reload::overlay::{Fact, Failure, Ticket};
use p2piptv::stats::DropReason;
use p2piptv::time::UnixMillis;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An identity that counts what it signs.
pub(super) struct Counting {
    identity: InsecureIdentity,
    signatures: AtomicUsize,
}

impl Counting {
    pub(super) fn new(node_id: NodeId) -> Self {
        Counting { identity: InsecureIdentity::new(node_id), signatures: AtomicUsize::new(0) }
    }

    /// How many since the last time that this was asked.
    fn take(&self) -> usize {
        self.signatures.swap(0, Ordering::Relaxed)
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
        self.identity.verify(at, signer, certificates, parts, signed)
    }
}

/// Calls the overlay as often as it asks for it at once; the signatures of each call.
fn turns(bench: &mut Bench) -> Vec<usize> {
    let mut turns = vec![bench.identity.take()];
    while bench.overlay.deadline() == Some(bench.now) {
        bench.with(|o, now, ctx| o.handle_timeout(now, ctx));
        turns.push(bench.identity.take());
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

fn pings(bench: &mut Bench, n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..n {
        let message = bench.compose(PEER, vec![ME.into()], &ping());
        bytes.extend(bench.frame(FIRST, &message));
    }
    bytes
}

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
    let bytes = pings(&mut bench, 2 * limit);
    bench.identity.take();
    assert_eq!(bench.feed(FIRST, &bytes), Err(DropReason::RequestLimit));
    let fetched = bench.with(|o, now, ctx| o.fetch(now, Ticket(1), anywhere(), KindId::CHANNEL, ctx));
    fetched.unwrap();
    let signed = turns(&mut bench);
    assert!(signed.iter().all(|&n| n <= 16), "two calls of eight: {signed:?}");
    let all: usize = signed.iter().sum();
    assert!((limit / 2..=limit / 2 + 16).contains(&all), "{all}");
    let refused = |f: &Fact| matches!(f, Fact::Fetched { result: Err(Failure::TooMany), .. });
    assert!(!bench.facts.iter().any(refused));
    assert!(bench.facts.iter().any(|f| matches!(f, Fact::Fetched { result: Ok(_), .. })));
}
