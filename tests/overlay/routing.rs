//! How a message travels on, and how its answer comes back.

use super::hub::{Hub, Left, answer_to, code, decoded, header, node};
use super::network::seconds;
use super::wire::{FAR, ME, PEER, compose, error_in, ping};
use bytes::Bytes;
use p2piptv::ids::{NodeId, ResourceId};
use p2piptv::reload::codec::body::{
    AppAttach, AttachReqAns, CandidateType, Empty, IceCandidate, PingAns, PingReq, RouteQueryReq,
};
use p2piptv::reload::codec::{
    ApplicationId, Body, Destination, ErrorCode, ErrorInfo, ErrorResponse, HeaderView, KindId, Message,
    MessageCode, MessageContents, OverlayLinkType, Passage,
};
use p2piptv::reload::link::Reliability;
use p2piptv::reload::overlay::{
    Application, Config, ConfigError, Fact, OrderError, Overlay, ReturnPath, Ticket,
};
use p2piptv::reload::route::{self, Surroundings};
use p2piptv::reload::topology::Place;
use p2piptv::reload::via::{Passing, Ways};
use p2piptv::stats::DropReason;
use p2piptv::time::{Duration, Instant, UnixMillis};
use std::collections::BTreeSet;

const MODES: [ReturnPath; 3] = [ReturnPath::Full, ReturnPath::Compressed, ReturnPath::Kept];

/// The names of figure 4 of RFC 6940: A asks Z through B and X.
const A: NodeId = NodeId([0x0a; 16]);
const B: NodeId = NodeId([0x0b; 16]);
const Z: NodeId = NodeId([0x3a; 16]);

fn pong() -> Body {
    Body::PingAns(PingAns { response_id: 1, time: UnixMillis(1) })
}

/// An encoded message with another header.
fn with_header(
    message: &Message,
    change: impl FnOnce(&mut p2piptv::reload::codec::ForwardingHeader),
) -> Bytes {
    let mut message = message.clone();
    change(&mut message.header);
    message.encode().unwrap()
}

/// A request from A, which came through B, for Z.
fn request_from_a(hub: &mut Hub) -> Bytes {
    let message = hub.bench.compose(A, vec![ME.into(), Z.into()], &ping());
    with_header(&message, |h| h.via_list = vec![A.into()])
}

fn only(left: Vec<Left>) -> Left {
    assert_eq!(left.len(), 1, "{left:?}");
    left.into_iter().next().unwrap()
}

#[test]
fn rx8_rx11_dl8_sr1_whichever_way_x_remembers_the_answer_comes_back_as_b_a() {
    for mode in MODES {
        let mut x = Hub::new(&[B, Z], |c| c.return_path = mode);
        let request = request_from_a(&mut x);
        let (to, forwarded) = only(x.hand(B, request).1);
        assert_eq!(to, Z);
        let vias = header(&forwarded).via_list;
        match mode {
            ReturnPath::Full => assert_eq!(vias, [A.into(), B.into()]),
            ReturnPath::Compressed => {
                assert!(matches!(vias[..], [Destination::Node(A), Destination::Compressed(_)]), "{vias:?}");
            }
            _ => assert!(matches!(vias[..], [Destination::Opaque(_)]), "{vias:?}"),
        }
        let (to, back) = only(x.hand(Z, answer_to(&forwarded, ME, Z, &pong())).1);
        assert_eq!((to, header(&back).destination_list), (B, vec![B.into(), A.into()]), "{mode:?}");
        assert_eq!((header(&back).ttl, header(&back).via_list.len()), (99, 0), "RX-10");
    }
}

#[test]
fn rx8_any_two_ways_work_together_on_one_path() {
    let y = node(0x60);
    for (first, second) in MODES.into_iter().flat_map(|first| MODES.map(|second| (first, second))) {
        let mut x = Hub::new(&[B, y], |c| c.return_path = first);
        let mut next = Hub::named(y, &[ME, Z], |c| c.return_path = second);
        let message = x.bench.compose(A, vec![ME.into(), y.into(), Z.into()], &ping());
        let request = with_header(&message, |h| h.via_list = vec![A.into()]);
        let (to_y, at_y) = only(x.hand(B, request).1);
        let (to_z, at_z) = only(next.hand(ME, at_y).1);
        assert_eq!((to_y, to_z), (y, Z));
        let (to_x, at_x) = only(next.hand(Z, answer_to(&at_z, y, Z, &pong())).1);
        let (to_b, at_b) = only(x.hand(y, at_x).1);
        assert_eq!((to_x, to_b), (ME, B));
        assert_eq!(header(&at_b).destination_list, [B.into(), A.into()], "{first:?} and {second:?}");
    }
}

#[test]
fn ch3_messages_go_around_a_link_on_which_they_would_wait_and_back_to_it_when_it_is_free() {
    let (near, far, owner) = (node(0x20), node(0x30), node(0x40));
    let mut x = Hub::new(&[B, near, far, owner], |c| {
        c.timers.neighbor_ping_interval = seconds(3600);
        c.timers.link = Reliability::stop_and_wait();
    });
    for peer in [near, far, owner] {
        x.adopt(peer);
    }
    x.wait(seconds(20));
    let ask = |x: &mut Hub| {
        let place = ResourceId::new(Bytes::from_static(&[0x35; 16])).unwrap();
        let request = x.bench.compose(B, vec![place.into()], &ping());
        x.pass(B, request.encode().unwrap()).unwrap();
        x.sent_of(request.header.transaction_id)
    };
    let to = |left: &[(NodeId, u32)]| left.iter().map(|(to, _)| *to).collect::<Vec<_>>();
    let first = ask(&mut x);
    assert_eq!(to(&first), [far], "the farthest along");
    x.bench.now += Duration::from_millis(750);
    assert_eq!(to(&ask(&mut x)), [], "it waits for its turn");
    x.bench.now += Duration::from_millis(1);
    let second = ask(&mut x);
    assert_eq!(to(&second), [near], "a quarter of three seconds is too long");
    x.bench.now += Duration::from_millis(751);
    assert_eq!(to(&ask(&mut x)), [], "without a way around it waits for the best");
    x.acknowledge(far, first[0].1);
    x.wait(seconds(2));
    assert_eq!(to(&ask(&mut x)), [far]);
}

#[test]
fn jl8_who_sends_here_what_belongs_to_somebody_who_has_come_in_between_is_helped_once() {
    let (before, between, me) = (node(0x20), node(0x38), node(0x40));
    let place = ResourceId::new(Bytes::from_static(&[0x35; 16])).unwrap();
    let mut x = Hub::named(me, &[before, between], |_| ());
    x.adopt(before);
    let compose = |x: &mut Hub, via: Vec<Destination>| {
        let request = x.bench.compose(A, vec![place.clone().into()], &ping());
        with_header(&request, |h| h.via_list = via)
    };
    let request = compose(&mut x, vec![A.into()]);
    let answer = only(x.hand(before, request).1);
    assert_eq!((answer.0, code(&answer.1)), (before, Some(MessageCode::PING_ANS)), "it is this node's");
    x.adopt(between);
    let request = compose(&mut x, vec![A.into()]);
    assert_eq!(only(x.hand(before, request).1).0, between);
    // It has been here already, so that the tables lead in circles.
    let request = compose(&mut x, vec![A.into(), before.into(), me.into(), between.into()]);
    assert_eq!(x.hand(before, request), (Err(DropReason::NoRoute), vec![]));
}

#[test]
fn rx9_what_is_kept_of_a_transaction_brings_its_answer_back_for_15_s() {
    for (after, found) in
        [(seconds(2) + Duration::from_millis(500), true), (seconds(14), true), (seconds(16), false)]
    {
        let mut x = Hub::new(&[B, Z], |c| c.return_path = ReturnPath::Kept);
        let request = request_from_a(&mut x);
        let (_, forwarded) = only(x.hand(B, request).1);
        x.wait(after);
        let (result, left) = x.hand(Z, answer_to(&forwarded, ME, Z, &pong()));
        assert_eq!((result.is_ok(), left.len()), (found, usize::from(found)), "after {after:?}");
    }
}

#[test]
fn dl6_an_id_that_this_node_never_gave_or_gave_to_another_link_is_dropped_in_silence() {
    for mode in MODES {
        let mut x = Hub::new(&[B, Z], |c| c.return_path = mode);
        let request = request_from_a(&mut x);
        let (_, forwarded) = only(x.hand(B, request).1);
        let id = header(&forwarded).via_list.pop().unwrap();
        let unknown = [Destination::Compressed(0x8fff), Destination::Opaque(Bytes::from_static(b"none"))];
        for id in unknown.into_iter().chain((mode == ReturnPath::Kept).then_some(id)) {
            let pong = MessageContents::new(&pong()).unwrap();
            let answer = compose(B, 99, vec![ME.into(), id], pong).encode().unwrap();
            assert_eq!(x.hand(B, answer), (Err(DropReason::NoRoute), vec![]));
        }
    }
}

#[test]
fn rx14_a_response_whose_next_hop_is_gone_is_dropped_and_a_request_finds_its_way() {
    let mut x = Hub::new(&[B, PEER], |_| ());
    x.adopt(PEER);
    let pong = MessageContents::new(&pong()).unwrap();
    let answer = compose(B, 99, vec![ME.into(), FAR.into()], pong).encode().unwrap();
    assert_eq!(x.hand(B, answer), (Err(DropReason::NoRoute), vec![]));
    let request = x.bench.compose(B, vec![ME.into(), FAR.into()], &ping()).encode().unwrap();
    assert_eq!(only(x.hand(B, request).1).0, PEER);
}

#[test]
fn rx13_the_answers_to_a_joining_nodes_ping_and_attach_come_back_through_the_bootstrap_node() {
    let attach = super::wire::attach(AttachReqAns::PASSIVE, OverlayLinkType::EXP_LINK);
    let attached = |role: &Bytes| match super::wire::attach(role.clone(), OverlayLinkType::EXP_LINK) {
        Body::AttachReq(offer) => Body::AttachAns(offer),
        _ => unreachable!(),
    };
    for (asked, answered) in [(ping(), pong()), (attach, attached(&AttachReqAns::ACTIVE))] {
        // A has a link to the bootstrap node, and no Attach.
        let mut bootstrap = Hub::new(&[A, Z], |_| ());
        let (to, forwarded) = only(bootstrap.say(A, A, vec![Z.into()], &asked));
        assert_eq!((to, header(&forwarded).via_list), (Z, vec![A.into()]));
        let (to, back) = only(bootstrap.hand(Z, answer_to(&forwarded, ME, Z, &answered)).1);
        assert_eq!((to, header(&back).destination_list), (A, vec![A.into()]));
    }
}

#[test]
fn cl2_rx6_a_client_is_reached_through_the_peer_that_it_is_linked_to() {
    // Z is linked and has not attached; its Node-ID lies in this peer's range.
    let mut peer = Hub::new(&[A, Z], |_| ());
    let (to, message) = only(peer.say(A, A, vec![ME.into(), Z.into()], &ping()));
    assert_eq!((to, header(&message).destination_list), (Z, vec![Z.into()]));
    assert_eq!(peer.say(A, A, vec![ME.into(), node(0x3b).into()], &ping()), [], "no link, no answer");
}

#[test]
fn fh5_fh7_mc8_a_response_that_cannot_go_on_is_not_answered() {
    let mut x = Hub::new(&[B, Z], |_| ());
    let pong = MessageContents::new(&pong()).unwrap();
    for (ttl, reason) in [(0, DropReason::TtlExpired), (101, DropReason::TtlExpired)] {
        let mut answer = compose(B, 99, vec![ME.into(), Z.into()], pong.clone());
        answer.header.ttl = ttl;
        assert_eq!(x.hand(B, answer.encode().unwrap()), (Err(reason), vec![]));
    }
}

#[test]
fn mc8_sb5_what_is_malformed_or_not_properly_signed_is_not_answered() {
    let mut x = Hub::new(&[B], |_| ());
    let mut forged = x.bench.compose(B, vec![ME.into()], &ping());
    forged.security.signature.signed.value = Bytes::from_static(b"forged");
    assert_eq!(x.hand(B, forged.encode().unwrap()), (Err(DropReason::BadSignature), vec![]));
    let body = Bytes::from_static(&[0xff, 0xff]);
    let contents =
        MessageContents { message_code: MessageCode::PING_REQ, message_body: body, extensions: vec![] };
    let malformed = compose(B, 5, vec![ME.into()], contents).encode().unwrap();
    assert_eq!(x.hand(B, malformed), (Err(DropReason::BadMessage), vec![]));
    let contents =
        MessageContents { message_code: MessageCode::ERROR, message_body: Bytes::new(), extensions: vec![] };
    let error = compose(B, 6, vec![ME.into()], contents).encode().unwrap();
    assert_eq!(x.hand(B, error), (Err(DropReason::UnknownTransaction), vec![]));
}

#[test]
fn dl7_mc6_an_invalid_message_is_told_what_is_wrong_with_it() {
    let mut x = Hub::new(&[B], |_| ());
    let answers = x.say(B, B, vec![ME.into(), B.into(), ME.into()], &ping());
    let Ok(Body::Error(error)) = decoded(&answers)[0].contents.body() else { panic!() };
    let Ok(ErrorInfo::Text(text)) = error.info() else { panic!() };
    assert!(std::str::from_utf8(&text).unwrap().contains("Destination List"));
}

#[test]
fn fh3_an_overlay_is_named_by_a_domain_name() {
    let with =
        |name: &str| Overlay::<p2piptv::chord::Chord>::new(Config::new(name, super::wire::home()), ME).err();
    for good in ["a", "tv.example", "A-1.b-2.c3", &"x".repeat(63)] {
        assert_eq!(with(good), None, "{good}");
    }
    let long = [&"x".repeat(63)[..]; 4].join(".");
    for bad in ["", ".", "a.", ".a", "a..b", "-a", "a-", "a_b", "ä", "a b", &"x".repeat(64), &long] {
        assert_eq!(with(bad), Some(ConfigError::BadName), "{bad}");
    }
}

#[test]
fn fh6_fh7_sr7_messages_begin_with_the_configured_ttl_and_nobody_elses_may_be_larger() {
    let mut x = Hub::new(&[PEER], |c| c.initial_ttl = 20);
    let mut request = x.bench.compose(PEER, vec![ME.into()], &ping());
    request.header.ttl = 20;
    request.header.via_list = vec![A.into()];
    let (_, answer) = only(x.hand(PEER, request.encode().unwrap()).1);
    assert_eq!((header(&answer).ttl, header(&answer).via_list.len()), (20, 0));
    request.header.ttl = 21;
    request.header.transaction_id += 1;
    assert_eq!(x.hand(PEER, request.encode().unwrap()).0, Err(DropReason::TtlExpired));
    assert_eq!(Config::new("a", super::wire::home()).initial_ttl, 100);
}

/// Makes this node send a request to PEER, and returns it.
fn own_request(x: &mut Hub, ticket: u64) -> Bytes {
    let since = x.bench.sent.len();
    let resource = ResourceId::from_u128(FAR.to_u128());
    x.bench.with(|o, now, ctx| o.fetch(now, Ticket(ticket), resource, KindId::CHANNEL, ctx)).0.unwrap();
    let left = x.settle(since);
    let fetch = left.into_iter().find(|(_, m)| code(m) == Some(MessageCode::FETCH_REQ));
    let (to, message) = fetch.expect("a Fetch");
    assert_eq!(to, PEER, "SR-2");
    message
}

#[test]
fn fh11_sr2_transaction_ids_are_random_and_the_plug_in_names_the_next_hop() {
    let mut x = Hub::new(&[PEER], |_| ());
    x.adopt(PEER);
    let ids: Vec<u64> = (0..8).map(|n| header(&own_request(&mut x, n)).transaction_id).collect();
    let different: BTreeSet<u64> = ids.iter().copied().collect();
    assert_eq!(different.len(), 8);
    assert!(ids.windows(2).all(|two| two[0].abs_diff(two[1]) > 1 << 32), "{ids:x?}");
    let asked = x.bench.compose(PEER, vec![ME.into()], &ping());
    let id = asked.header.transaction_id;
    let (_, answer) = only(x.hand(PEER, asked.encode().unwrap()).1);
    assert_eq!(header(&answer).transaction_id, id, "the response repeats it");
}

#[test]
fn sr5_nobody_in_transit_sends_a_request_again() {
    let mut x = Hub::new(&[B, Z], |_| ());
    let request = request_from_a(&mut x);
    let (_, forwarded) = only(x.hand(B, request).1);
    let again = x.wait(seconds(20));
    let id = header(&forwarded).transaction_id;
    assert!(again.iter().all(|(_, message)| header(message).transaction_id != id));
}

#[test]
fn sr8_mc1_a_request_to_a_node_waits_for_that_nodes_signature_and_the_right_code() {
    let mut x = Hub::new(&[PEER, B], |_| ());
    let left = x.adopt(PEER);
    // Every Update but the last is answered, so that one request is under way.
    let (_, update) = left.iter().rfind(|(_, m)| code(m) == Some(MessageCode::UPDATE_REQ)).unwrap().clone();
    let id = header(&update).transaction_id;
    let done = Body::UpdateAns(Empty);
    let foreign = answer_to(&update, PEER, B, &done);
    let to_me = |message: Bytes| {
        with_header(&Message::decode(&message).unwrap(), |h| h.destination_list = vec![ME.into()])
    };
    assert_eq!(x.hand(PEER, to_me(foreign)).0, Err(DropReason::WrongResponder));
    let error = ErrorResponse::text(ErrorCode::FORBIDDEN, "");
    let foreign_error = answer_to(&update, PEER, B, &Body::Error(error));
    assert_eq!(x.hand(PEER, to_me(foreign_error)).0, Err(DropReason::WrongResponder), "ends nothing either");
    let other_code = answer_to(&update, PEER, PEER, &pong());
    assert_eq!(x.hand(PEER, to_me(other_code)).0, Err(DropReason::UnknownTransaction));
    let again = x.wait(seconds(3));
    assert!(again.iter().any(|(_, m)| header(m).transaction_id == id), "the timer went on");
    let answer = to_me(answer_to(&update, PEER, PEER, &done));
    assert_eq!(x.hand(PEER, answer.clone()).0, Ok(()));
    assert_eq!(x.hand(PEER, answer).0, Err(DropReason::UnknownTransaction), "the first one counts");
    let again = x.wait(seconds(20));
    assert!(again.iter().all(|(_, m)| header(m).transaction_id != id));
}

#[test]
fn mc2_success_has_the_code_behind_the_request_and_failure_is_ffff() {
    let mut x = Hub::new(&[B], |_| ());
    let (_, success) = only(x.say(B, B, vec![ME.into()], &ping()));
    assert_eq!(code(&success), Some(MessageCode(MessageCode::PING_REQ.0 + 1)));
    let (_, failure) = only(x.say(
        B,
        B,
        vec![ME.into()],
        &Body::Unknown { message_code: MessageCode(0x6f), message_body: Bytes::new() },
    ));
    assert_eq!(code(&failure), Some(MessageCode(0xffff)));
}

#[test]
fn mc7_experimental_methods_are_not_carried_out() {
    let mut x = Hub::new(&[B], |_| ());
    for message_code in [MessageCode::EXP_A_REQ, MessageCode::EXP_B_REQ] {
        let body = Body::Unknown { message_code, message_body: Bytes::from_static(b"anything") };
        let answers = decoded(&x.say(B, B, vec![ME.into()], &body));
        assert_eq!(error_in(&answers), Some(ErrorCode::INVALID_MESSAGE));
    }
}

#[test]
fn pg1_pg2_a_ping_reaches_a_node_a_place_and_whoever_is_there_with_any_padding() {
    let mut x = Hub::new(&[B], |_| ());
    let padded = Body::PingReq(PingReq { padding: Bytes::from(vec![0x81; 4000]) });
    let mut answers = BTreeSet::new();
    let place: Destination = ResourceId::from_u128(FAR.to_u128()).into();
    for destination in [ME.into(), place, NodeId::WILDCARD.into()] {
        for body in [ping(), padded.clone()] {
            let answer = decoded(&x.say(B, B, vec![destination.clone()], &body)).remove(0);
            let Ok(Body::PingAns(PingAns { response_id, time })) = answer.contents.body() else { panic!() };
            assert!((1_700_000_000_000..1_700_000_100_000).contains(&time.0), "milliseconds since 1970");
            answers.insert(response_id);
        }
    }
    assert_eq!(answers.len(), 6, "each has a number of its own");
}

#[test]
fn rq2_cu10_14_a_route_query_that_asks_for_it_is_followed_by_an_update() {
    let mut x = Hub::new(&[PEER], |_| ());
    x.adopt(PEER);
    x.wait(seconds(20));
    for send_update in [false, true] {
        let query =
            RouteQueryReq { send_update, destination: FAR.into(), overlay_specific_data: Bytes::new() };
        let left = x.say(PEER, PEER, vec![ME.into()], &Body::RouteQueryReq(query));
        let codes: Vec<_> = left.iter().filter_map(|(_, m)| code(m)).collect();
        assert_eq!(codes[0], MessageCode::ROUTE_QUERY_ANS);
        assert_eq!(codes.contains(&MessageCode::UPDATE_REQ), send_update, "{codes:?}");
        let Ok(Body::RouteQueryAns(answer)) = decoded(&left)[0].contents.body() else { panic!() };
        assert_eq!(answer.next_peer, PEER, "one Node-ID, that of the next hop");
    }
}

#[test]
fn ap1_ap2_ap3_applications_learn_where_they_reach_each_other_and_the_overlay_leaves_it_at_that() {
    let at = |port| std::net::SocketAddr::from(([192, 0, 2, 1], port));
    let sip = |address| Application { id: ApplicationId::SIP, address };
    let mut x = Hub::new(&[PEER], |c| c.applications = vec![sip(at(5060))]);
    x.adopt(PEER);
    // Asked.
    let candidate = |address: std::net::SocketAddr| IceCandidate {
        addr_port: address.into(),
        overlay_link: OverlayLinkType::EXP_LINK,
        foundation: Bytes::from_static(b"1"),
        priority: 1,
        candidate_type: CandidateType::Host,
        extensions: vec![],
    };
    let attach = |role, application, address| AppAttach {
        ufrag: Bytes::new(),
        password: Bytes::new(),
        application,
        role,
        candidates: vec![candidate(address)],
    };
    let (passive, active) = (AttachReqAns::PASSIVE, AttachReqAns::ACTIVE);
    let asked = Body::AppAttachReq(attach(passive.clone(), ApplicationId::SIP, at(5070)));
    let answer = decoded(&x.say(PEER, PEER, vec![ME.into()], &asked)).remove(0);
    let Ok(Body::AppAttachAns(answer)) = answer.contents.body() else { panic!() };
    assert_eq!(
        (answer.role.clone(), answer.candidates[0].addr_port.socket_addr()),
        (active.clone(), Some(at(5060)))
    );
    let told = Fact::AppAttachAsked { application: ApplicationId::SIP, peer: PEER, address: Some(at(5070)) };
    assert_eq!(x.bench.facts.iter().filter(|f| **f == told).count(), 1);
    let other = Body::AppAttachReq(attach(passive, ApplicationId::SIPS, at(5070)));
    let refused = decoded(&x.say(PEER, PEER, vec![ME.into()], &other));
    assert_eq!(error_in(&refused), Some(ErrorCode::NOT_FOUND));
    let wrong = Body::AppAttachReq(attach(active.clone(), ApplicationId::SIP, at(5070)));
    let refused = decoded(&x.say(PEER, PEER, vec![ME.into()], &wrong));
    assert_eq!(error_in(&refused), Some(ErrorCode::INVALID_MESSAGE));
    // Asking.
    let since = x.bench.sent.len();
    let ask = |x: &mut Hub, id| {
        x.bench.with(|o, now, ctx| o.app_attach(now, Ticket(5), vec![PEER.into()], id, ctx)).0
    };
    assert_eq!(ask(&mut x, ApplicationId::SIPS), Err(OrderError::UnknownApplication));
    ask(&mut x, ApplicationId::SIP).unwrap();
    let (_, request) = only(x.settle(since));
    let answer = Body::AppAttachAns(attach(active, ApplicationId::SIP, at(5080)));
    let mut answer = Message::decode(&answer_to(&request, PEER, PEER, &answer)).unwrap();
    answer.header.destination_list = vec![ME.into()];
    x.hand(PEER, answer.encode().unwrap()).0.unwrap();
    assert_eq!(
        x.bench.facts.last(),
        Some(&Fact::AppAttached { ticket: Ticket(5), result: Ok((PEER, at(5080))) })
    );
    // Addresses of the test network are unknown to the hub: it would not survive a datagram to one of them.
    x.wait(seconds(60));
}

/// Everything lies in the direction of PEER.
struct Around;

impl Surroundings for Around {
    fn is_me(&self, node: NodeId) -> bool {
        node == ME
    }
    fn is_connected(&self, _: NodeId) -> bool {
        false
    }
    fn is_responsible(&self, _: Place) -> bool {
        false
    }
    fn next_hop(&self, _: Place) -> Option<NodeId> {
        Some(PEER)
    }
}

#[test]
fn rx2_forwarding_allocates_once_and_copies_once() {
    let mut bench = super::wire::Bench::new();
    let body = Body::PingReq(PingReq { padding: Bytes::from(vec![7; 1000]) });
    let mut message = bench.compose(A, vec![ME.into(), Z.into()], &body);
    message.header.via_list = vec![A.into()];
    let message = message.encode().unwrap();
    // What arrives is a view into the host's buffer already.
    let message = message.clone();
    let mut ways = Ways::new(ReturnPath::Full, 8, 8, seconds(15));
    let mut forwarded = Bytes::new();
    let measured = allocation_counter::measure(|| {
        let view = HeaderView::read(&message).unwrap();
        assert!(!route::has_duplicates(view.destination_list()));
        let (passed, verdict) = route::decide(view.destination_list(), &Around);
        assert_eq!((passed, verdict), (1, route::Verdict::Through(PEER)));
        let mut rest = view.destination_list();
        rest.by_ref().take(passed).for_each(drop);
        let request = Passing {
            transaction_id: view.transaction_id,
            previous_hop: B,
            next_hop: PEER,
            via_list: view.via_list(),
        };
        let appended = ways.append(Instant::ZERO, request, &mut bench.entropy, |_| true);
        let passage = Passage {
            ttl: view.ttl - 1,
            via_list: [view.via_bytes(), &appended.entry],
            destination_list: [view.destination_bytes(rest.offset()), &[]],
        };
        forwarded = view.pass(&passage).unwrap();
    });
    assert_eq!(header(&forwarded).via_list, [A.into(), B.into()]);
    assert_eq!(measured.count_total, 1, "{measured:?}");
    assert_eq!(measured.bytes_total, forwarded.len() as u64, "{measured:?}");
}
