//! Forwarding options in requests, in responses, and on their way.

use super::hub::{Hub, Left, answer_to, code, header};
use super::wire::{ME, PEER, ping};
use bytes::Bytes;
use p2piptv::ids::NodeId;
use p2piptv::reload::codec::body::{Empty, PingAns};
use p2piptv::reload::codec::{Body, ErrorCode, ForwardingOption, Message, MessageCode, OptionType};
use p2piptv::stats::DropReason;
use p2piptv::time::UnixMillis;

const B: NodeId = NodeId([0x0b; 16]);
const Z: NodeId = NodeId([0x3a; 16]);

fn option(flags: u8) -> ForwardingOption {
    ForwardingOption { option_type: OptionType(77), flags, value: Bytes::from_static(b"v") }
}

/// The message with this option, and for this node.
fn with_option(message: &Bytes, flags: u8, list: Vec<p2piptv::reload::codec::Destination>) -> Bytes {
    let mut message = Message::decode(message).unwrap();
    message.header.options = vec![option(flags)];
    message.header.destination_list = list;
    message.encode().unwrap()
}

#[test]
fn fo1_the_flags_of_a_response_count_as_not_set() {
    let all = ForwardingOption::FORWARD_CRITICAL
        | ForwardingOption::DESTINATION_CRITICAL
        | ForwardingOption::RESPONSE_COPY;
    // In transit.
    let mut x = Hub::new(&[B, Z], |_| ());
    let pong = Body::PingAns(PingAns { response_id: 1, time: UnixMillis(1) });
    let request = x.bench.compose(B, vec![Z.into()], &ping()).encode().unwrap();
    let answer = with_option(&answer_to(&request, ME, Z, &pong), all, vec![ME.into(), B.into()]);
    let (result, left) = x.hand(Z, answer);
    assert_eq!((result, left.len()), (Ok(()), 1));
    assert_eq!(header(&left[0].1).options, [option(all)], "carried along as it is");
    // At the requester.
    let mut x = Hub::new(&[PEER], |_| ());
    let left = x.adopt(PEER);
    let (_, update) = left.iter().rfind(|(_, m)| code(m) == Some(MessageCode::UPDATE_REQ)).unwrap();
    let done = answer_to(update, PEER, PEER, &Body::UpdateAns(Empty));
    assert_eq!(x.hand(PEER, with_option(&done, all, vec![ME.into()])), (Ok(()), vec![]));
}

#[test]
fn fo2_a_request_that_must_be_understood_by_everybody_goes_no_further_in_one_piece_or_in_many() {
    let mut x = Hub::new(&[B, Z], |_| ());
    let padding = Bytes::from(vec![1; 2000]);
    let large = Body::PingReq(p2piptv::reload::codec::body::PingReq { padding });
    for body in [ping(), large] {
        let mut request = x.bench.compose(B, vec![Z.into()], &body);
        request.header.options = vec![option(ForwardingOption::FORWARD_CRITICAL)];
        let pieces = p2piptv::reload::fragment::cut(request.encode().unwrap(), 1400);
        let mut left: Vec<Left> = Vec::new();
        for piece in pieces {
            let (result, more) = x.hand(B, piece);
            assert_eq!(result, Err(DropReason::BadHeader));
            left.extend(more);
        }
        assert_eq!(left.len(), 1, "one error, to whom it came from");
        let error = Message::decode(&left[0].1).unwrap();
        assert_eq!(left[0].0, B);
        assert_eq!(super::wire::error_in(&[error]), Some(ErrorCode::UNSUPPORTED_FORWARDING_OPTION));
    }
}

#[test]
fn fo4_an_error_from_transit_copies_options_too() {
    let mut x = Hub::new(&[B, Z], |_| ());
    let mut request = x.bench.compose(B, vec![Z.into()], &ping());
    request.header.ttl = 0;
    request.header.options = vec![option(ForwardingOption::RESPONSE_COPY)];
    let (_, left) = x.hand(B, request.encode().unwrap());
    assert_eq!(header(&left[0].1).options, [option(0)]);
}
