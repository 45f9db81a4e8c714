//! Messages in pieces: cut for small datagrams, passed on as they are, put together where they are for.

use super::hub::{Hub, Left, code, header, node};
use super::network::seconds;
use super::wire::{FAR, ME, PEER};
use bytes::Bytes;
use p2piptv::ids::{NodeId, ResourceId};
use p2piptv::reload::codec::body::PingReq;
use p2piptv::reload::codec::{
    Body, Destination, ForwardingHeader, Fragment, HeaderView, KindId, MessageCode,
};
use p2piptv::reload::fragment::{self, Key, Limits, Reassembly, cut};
use p2piptv::reload::overlay::{Address, ReturnPath, Slot, Ticket};
use p2piptv::stats::DropReason;
use p2piptv::time::Instant;

const B: NodeId = NodeId([0x0b; 16]);
const Z: NodeId = NodeId([0x3a; 16]);

/// A Ping with 3000 bytes of padding.
fn large() -> Body {
    Body::PingReq(PingReq {
        padding: (0..3000u32).map(|n| (n * 31 + n / 251) as u8).collect::<Vec<u8>>().into(),
    })
}

fn pieces_of(hub: &mut Hub, list: Vec<Destination>, path_mtu: usize) -> Vec<Bytes> {
    let message = hub.bench.compose(B, list, &large()).encode().unwrap();
    cut(message, path_mtu).collect()
}

/// The payload that these fragments are of.
fn together(fragments: &[Left]) -> Bytes {
    let limits = Limits { messages: 1, of_one_link: 1, message_size: 5000, patience: seconds(15) };
    let mut buffer = Reassembly::new(limits);
    let key = Key { transaction_id: 1, is_response: false };
    let whole = fragments.iter().find_map(|(_, piece)| {
        let (header, payload) = ForwardingHeader::decode(piece).unwrap();
        buffer.on_fragment(Instant::ZERO, B, key, header.fragment, &payload).unwrap()
    });
    whole.expect("all of it")
}

#[test]
fn fg1_fg7_the_destination_puts_a_message_together_and_answers_the_whole() {
    let mut hub = Hub::new(&[B], |_| ());
    let mut pieces = pieces_of(&mut hub, vec![ME.into()], 1000);
    assert_eq!(pieces.len(), 4);
    pieces.reverse();
    let last = pieces.pop().unwrap();
    for piece in pieces {
        assert_eq!(hub.hand(B, piece), (Ok(()), vec![]), "a piece alone says nothing");
    }
    assert_eq!(hub.incomplete(), 1);
    let (result, answers) = hub.hand(B, last);
    assert_eq!((result, answers.len()), (Ok(()), 1));
    assert_eq!(code(&answers[0].1), Some(MessageCode::PING_ANS));
    assert_eq!(hub.incomplete(), 0);
}

#[test]
fn fg7_the_signature_is_over_the_whole() {
    let mut hub = Hub::new(&[B], |_| ());
    let mut pieces = pieces_of(&mut hub, vec![ME.into()], 1000);
    let mut forged = pieces[1].to_vec();
    *forged.last_mut().unwrap() ^= 1;
    pieces[1] = forged.into();
    let results: Vec<_> = pieces.into_iter().map(|piece| hub.hand(B, piece)).collect();
    let nothing = |result| (result, Vec::new());
    assert_eq!(
        results,
        [nothing(Ok(())), nothing(Ok(())), nothing(Ok(())), nothing(Err(DropReason::BadSignature))]
    );
}

#[test]
fn fg8_a_contradiction_drops_the_message_and_its_retransmission_arrives() {
    let mut hub = Hub::new(&[B, Z], |_| ());
    let pieces = pieces_of(&mut hub, vec![ME.into()], 1000);
    hub.hand(B, pieces[0].clone()).0.unwrap();
    let mut forged = pieces[0].to_vec();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(hub.hand(Z, forged.into()).0, Err(DropReason::BadFragment), "over another link");
    assert_eq!(hub.incomplete(), 0);
    let answers: Vec<Left> = pieces.into_iter().flat_map(|piece| hub.hand(B, piece).1).collect();
    assert_eq!(answers.len(), 1);
}

#[test]
fn fg5_a_message_that_stays_incomplete_is_forgotten_after_15_s() {
    let mut hub = Hub::new(&[B], |_| ());
    let pieces = pieces_of(&mut hub, vec![ME.into()], 1000);
    hub.hand(B, pieces[0].clone()).0.unwrap();
    hub.wait(seconds(14));
    assert_eq!(hub.incomplete(), 1);
    hub.wait(seconds(2));
    assert_eq!(hub.incomplete(), 0);
}

#[test]
fn fg6_k8_who_sends_beginnings_without_end_drives_out_his_own() {
    let mut hub = Hub::new(&[B, Z], |c| (c.limits.incomplete, c.limits.incomplete_of_one_link) = (8, 4));
    let pieces = pieces_of(&mut hub, vec![ME.into()], 1000);
    hub.hand(B, pieces[0].clone()).0.unwrap();
    for n in 0..30 {
        let mut message = hub.bench.compose(Z, vec![ME.into()], &large());
        message.header.transaction_id = 10_000 + n;
        let beginning = cut(message.encode().unwrap(), 1000).next().unwrap();
        hub.hand(Z, beginning).0.unwrap();
        assert!(hub.incomplete() <= 5);
    }
    let answers: Vec<Left> = pieces[1..].iter().flat_map(|piece| hub.hand(B, piece.clone()).1).collect();
    assert_eq!(answers.len(), 1, "the other link's message was not in danger");
}

#[test]
fn fg1_fg3_a_message_in_transit_is_cut_for_the_next_link() {
    let mut hub = Hub::new(&[B, Z], |c| c.path_mtu = 1000);
    let message = hub.bench.compose(B, vec![Z.into()], &large());
    let bytes = message.encode().unwrap();
    let (result, left) = hub.hand(B, bytes.clone());
    assert_eq!((result, left.len()), (Ok(()), 4));
    assert!(left.iter().all(|(to, piece)| *to == Z && piece.len() <= 1000 - fragment::RESERVE));
    assert!(left.iter().all(|(_, piece)| header(piece).via_list == [B.into()]), "each has the whole header");
    assert_eq!(together(&left), HeaderView::read(&bytes).unwrap().payload());
}

#[test]
fn fg1_fg4_rx2_fragments_in_transit_travel_on_by_themselves_and_are_cut_again() {
    for mode in [ReturnPath::Full, ReturnPath::Compressed, ReturnPath::Kept] {
        let mut hub = Hub::new(&[B, Z], |c| (c.path_mtu, c.return_path) = (600, mode));
        let message = hub.bench.compose(B, vec![Z.into()], &large()).encode().unwrap();
        let mut left = Vec::new();
        for piece in cut(message.clone(), 1000).collect::<Vec<_>>().into_iter().rev() {
            let (result, pieces) = hub.hand(B, piece);
            assert_eq!((result, pieces.len()), (Ok(()), 2), "at once, in two");
            left.extend(pieces);
        }
        assert_eq!((left.len(), hub.incomplete()), (8, 0));
        assert_eq!(left.iter().filter(|(_, piece)| header(piece).fragment.last).count(), 1);
        let vias = header(&left[0].1).via_list;
        assert!(
            left.iter().all(|(_, piece)| header(piece).via_list == vias),
            "every piece knows the way back"
        );
        assert_eq!(together(&left), HeaderView::read(&message).unwrap().payload());
    }
}

#[test]
fn fg1_sr3_a_message_of_this_nodes_own_is_cut_the_same_way_each_time() {
    let mut hub = Hub::new(&[PEER], |_| ());
    hub.adopt(PEER);
    let since = hub.bench.sent.len();
    let address = Address {
        resource: ResourceId::from_u128(FAR.to_u128()),
        kind: KindId::CHANNEL,
        slot: Slot::Key(Bytes::copy_from_slice(&ME.0)),
    };
    let value = Bytes::from(vec![7; 3000]);
    hub.bench.with(|o, now, ctx| o.store(now, Ticket(1), address, value, seconds(100), ctx)).0.unwrap();
    let fragments = |left: Vec<Left>| -> Vec<Bytes> {
        left.into_iter().map(|(_, m)| m).filter(|m| header(m).fragment != Fragment::WHOLE).collect()
    };
    let first = fragments(hub.settle(since));
    assert_eq!(first.len(), 3);
    assert_eq!(code(&first[0]), Some(MessageCode::STORE_REQ));
    assert_eq!(fragments(hub.wait(seconds(3))), first);
}

#[test]
fn mc8_a_fragment_behind_the_first_is_answered_by_no_error() {
    // A TTL that is too large, in a piece behind the first: nobody knows whether it is a request.
    let mut hub = Hub::new(&[B], |_| ());
    let mut message = hub.bench.compose(B, vec![node(0x77).into()], &large());
    message.header.ttl = 200;
    let pieces: Vec<Bytes> = cut(message.encode().unwrap(), 1000).collect();
    assert_eq!(hub.hand(B, pieces[1].clone()), (Err(DropReason::TtlExpired), vec![]));
    assert_eq!(hub.hand(B, pieces[0].clone()).1.len(), 1, "the first one is");
}
