//! One overlay among peers that lie and strangers that forge: what a datagram can make it do has a bound.

use super::network::{names, seconds};
use super::wire::{Bench, FAR, ME, PEER, anywhere, attach, away, compose, error_in, ping};
use bytes::Bytes;
use p2piptv::ids::{NodeId, ResourceId};
use p2piptv::reload::codec::body::{AttachReqAns, JoinReq, LeaveReq, PingAns, PingReq, RouteQueryReq};
use p2piptv::reload::codec::{
    Body, ChordLeaveData, ChordTables, ChordUpdate, Destination, ErrorCode, ForwardingHeader, Frame, KindId,
    Message, MessageCode, MessageContents, OverlayLinkType, Structure,
};
use p2piptv::reload::overlay::{Address, Fact, Failure, Slot, Ticket};
use p2piptv::reload::topology::Topology;
use p2piptv::stats::DropReason;
use p2piptv::time::{Duration, Instant, UnixMillis};
use std::collections::BTreeSet;
use std::net::SocketAddr;

const WILDCARD: Destination = Destination::Node(NodeId::WILDCARD);

fn id(n: u16) -> NodeId {
    NodeId::from_u128(u128::from(n) << 100 | 1)
}

fn frame(message: &Message) -> Bytes {
    Frame::Data { sequence: 0, message: message.encode().unwrap() }.encode().unwrap()
}

/// Hands in a datagram from anywhere, without acknowledging what follows.
fn throw(bench: &mut Bench, from: SocketAddr, datagram: Bytes) -> (Result<(), DropReason>, usize) {
    let before = bench.sent.len();
    let result = bench.with(|o, now, ctx| o.handle_datagram(now, from, datagram, ctx)).0;
    (result, bench.sent.len() - before)
}

/// Lets time pass for a node to which nothing comes.
fn wait(bench: &mut Bench, duration: Duration) {
    let end = bench.now + duration;
    while let Some(at) = bench.overlay.deadline().filter(|&at| at <= end) {
        bench.now = at;
        bench.with(|o, now, ctx| o.handle_timeout(now, ctx));
    }
    bench.now = end;
}

/// With a peer that is in the Routing Table.
fn with_peer() -> Bench {
    let mut bench = Bench::attached();
    let update = Body::UpdateReq(neighbors(vec![], vec![]));
    bench.say(PEER, vec![ME.into()], &update);
    assert!(bench.overlay.topology().contains(PEER));
    bench
}

fn neighbors(predecessors: Vec<NodeId>, successors: Vec<NodeId>) -> ChordUpdate {
    ChordUpdate { uptime: 1, tables: ChordTables::Neighbors { predecessors, successors } }
}

/// An Attach that wants to be dialled at this address.
fn attach_to(at: SocketAddr) -> Body {
    let Body::AttachReq(mut offer) = attach(AttachReqAns::PASSIVE, OverlayLinkType::EXP_LINK) else {
        panic!()
    };
    offer.candidates[0].addr_port = at.into();
    Body::AttachReq(offer)
}

/// Transactions of requests with this code among what was sent since.
fn transactions(bench: &Bench, since: usize, code: MessageCode) -> BTreeSet<u64> {
    let messages = bench.sent[since..].iter().filter_map(|(_, frame)| match frame {
        Frame::Data { message, .. } => Message::decode(message).ok(),
        Frame::Ack { .. } => None,
    });
    messages.filter(|m| m.contents.message_code == code).map(|m| m.header.transaction_id).collect()
}

/// Data frames sent to one host, whatever the port.
fn sent_to(bench: &Bench, since: usize, to: SocketAddr) -> usize {
    bench.sent[since..].iter().filter(|(at, _)| at.ip() == to.ip()).count()
}

fn victim(port: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 9], port))
}

#[test]
fn an_update_full_of_nodes_that_do_not_exist_makes_six_attaches_and_leaves_room_for_orders() {
    let mut bench = with_peer();
    let since = bench.sent.len();
    for round in 0..100u16 {
        // Ever nearer ones.
        let bogus = |k: u16| ME.to_u128() + (1 << 60) - (u128::from(round) << 40) - u128::from(k) - 1;
        let lies: Vec<NodeId> = (0..250).map(|k| NodeId::from_u128(bogus(k))).collect();
        bench.say(PEER, vec![ME.into()], &Body::UpdateReq(neighbors(vec![], lies)));
    }
    assert!(bench.now < Instant::ZERO + seconds(60));
    let periods = 1 + bench.now.as_millis() / 15_000;
    let attaches = transactions(&bench, since, MessageCode::ATTACH_REQ).len() as u64;
    assert!((1..=6 * periods).contains(&attaches), "{attaches} Attaches in {periods} times 15 s");
    bench.facts.clear();
    bench.with(|o, now, ctx| o.fetch(now, Ticket(1), anywhere(), KindId::CHANNEL, ctx)).0.unwrap();
    wait(&mut bench, seconds(16));
    let refused = |f: &_| matches!(f, Fact::Fetched { result: Err(Failure::TooMany), .. });
    assert!(bench.facts.iter().any(|f| matches!(f, Fact::Fetched { .. })));
    assert!(!bench.facts.iter().any(refused));
}

#[test]
fn route_queries_that_ask_for_updates_have_one_update_under_way_at_a_time() {
    let mut bench = with_peer();
    let query = Body::RouteQueryReq(RouteQueryReq {
        send_update: true,
        destination: PEER.into(),
        overlay_specific_data: Bytes::new(),
    });
    for n in 0..600 {
        let signer = if n % 2 == 0 { PEER } else { FAR };
        let asked = bench.compose(signer, vec![ME.into()], &query);
        throw(&mut bench, away(), frame(&asked)).0.unwrap();
        bench.now += Duration::from_millis(1);
    }
    let fetch = bench.with(|o, now, ctx| o.fetch(now, Ticket(1), anywhere(), KindId::CHANNEL, ctx));
    fetch.0.unwrap();
    assert!(!bench.facts.iter().any(|f| matches!(f, Fact::Fetched { result: Err(Failure::TooMany), .. })));
    // Nobody answers any more: what is sent again is one Update for the peer and none for the stranger.
    let since = bench.sent.len();
    wait(&mut bench, seconds(4));
    assert!(transactions(&bench, since, MessageCode::UPDATE_REQ).len() <= 2);
}

#[test]
fn one_forged_attach_makes_at_most_four_datagrams_to_the_victim() {
    let mut bench = Bench::linked();
    let since = bench.sent.len();
    let forged = bench.compose(FAR, vec![ME.into()], &attach_to(victim(53)));
    throw(&mut bench, away(), frame(&forged)).0.unwrap();
    // The same victim again while it is being dialled, under other names.
    for n in 1..20 {
        let again = bench.compose(id(n), vec![ME.into()], &attach_to(victim(53)));
        throw(&mut bench, away(), frame(&again)).0.unwrap();
    }
    wait(&mut bench, seconds(20));
    let n = sent_to(&bench, since, victim(0));
    assert!((1..=4).contains(&n), "{n} datagrams");
}

#[test]
fn a_flood_of_forged_attaches_dials_half_the_half_open_links_and_refuses_the_rest() {
    let mut bench = Bench::linked();
    let since = bench.sent.len();
    for n in 1..=1000 {
        let forged = bench.compose(id(n), vec![ME.into()], &attach_to(victim(n)));
        throw(&mut bench, away(), frame(&forged)).0.unwrap();
    }
    wait(&mut bench, seconds(20));
    let n = sent_to(&bench, since, victim(0));
    let at_once = bench.overlay.config().limits.half_open / 2;
    assert!((at_once..=4 * at_once).contains(&n), "{n} datagrams");
    assert!(bench.overlay.links() <= 2);
}

#[test]
fn nobody_is_dialled_at_an_address_where_nobody_can_be() {
    for at in ["0.0.0.0:1", "224.0.0.1:1", "255.255.255.255:1", "192.0.2.7:0", "[::]:1", "[ff02::1]:1"] {
        let mut bench = Bench::linked();
        let answers = bench.say(FAR, vec![ME.into()], &attach_to(at.parse().unwrap()));
        assert_eq!(error_in(&answers), Some(ErrorCode::INVALID_MESSAGE), "{at}");
        assert_eq!(bench.overlay.links(), 1);
    }
}

#[test]
fn one_opening_ping_from_a_forged_address_sends_an_ack_and_five_copies_of_the_answer_there() {
    let mut bench = Bench::new();
    let ping = bench.compose(FAR, vec![WILDCARD], &ping());
    for _ in 0..50 {
        // A copy is no second opening.
        throw(&mut bench, victim(53), frame(&ping)).0.unwrap();
        bench.now += Duration::from_millis(1);
    }
    wait(&mut bench, seconds(60));
    let acks = |f: &Frame| matches!(f, Frame::Ack { .. });
    let (acks, answers): (Vec<_>, Vec<_>) = bench.sent.iter().partition(|(_, f)| acks(f));
    assert_eq!(acks.len(), 50);
    assert!(answers.len() <= 50 + 4, "{}", answers.len());
    assert_eq!(bench.overlay.links(), 0, "closed after 15.5 s without an ACK");
}

#[test]
fn strangers_who_dial_do_not_become_the_places_where_the_overlay_is_looked_for() {
    let mut bench = Bench::new();
    for n in 1..=40 {
        let ping = bench.compose(id(n), vec![WILDCARD], &ping());
        throw(&mut bench, victim(n), frame(&ping)).0.unwrap();
    }
    wait(&mut bench, seconds(60));
    let since = bench.sent.len();
    wait(&mut bench, seconds(7200));
    assert_eq!(sent_to(&bench, since, victim(0)), 0, "nobody is dialled there");
}

#[test]
fn a_node_id_that_two_addresses_claim_in_turn_moves_each_time_and_costs_three_datagrams() {
    let mut bench = with_peer();
    for n in 0..200 {
        let ping = bench.compose(PEER, vec![WILDCARD], &ping());
        let (result, sent) = throw(&mut bench, victim(1 + n % 2), frame(&ping));
        result.unwrap();
        assert!(sent <= 3, "{sent}");
        assert_eq!(bench.overlay.links(), 1);
        bench.now += Duration::from_millis(1);
    }
    wait(&mut bench, seconds(30));
    assert_eq!(bench.overlay.links(), 0);
    assert!(bench.overlay.topology().is_empty());
}

#[test]
fn an_ack_from_elsewhere_or_for_another_number_changes_nothing() {
    let mut bench = with_peer();
    let ping = bench.compose(PEER, vec![ME.into()], &ping());
    throw(&mut bench, away(), frame(&ping)).0.unwrap();
    let deadline = bench.overlay.deadline();
    let ack = |ack_sequence| Frame::Ack { ack_sequence, received: u32::MAX }.encode().unwrap();
    for n in [1_000, u32::MAX, 1 << 31] {
        assert_eq!(throw(&mut bench, away(), ack(n)), (Ok(()), 0));
        assert_eq!(throw(&mut bench, victim(1), ack(n)), (Err(DropReason::NotAllowedOnLink), 0));
    }
    assert_eq!(bench.overlay.deadline(), deadline);
}

#[test]
fn jl1_nobody_says_goodbye_for_somebody_else() {
    let mut bench = with_peer();
    let data = ChordLeaveData::FromSuccessor(vec![]).encode().unwrap();
    let leave = Body::LeaveReq(LeaveReq { leaving_peer_id: PEER, overlay_specific_data: data });
    assert_eq!(error_in(&bench.say(FAR, vec![ME.into()], &leave)), Some(ErrorCode::FORBIDDEN));
    // With the peer's own signature, but from another's link.
    let dial = bench.compose(FAR, vec![WILDCARD], &ping());
    throw(&mut bench, victim(1), frame(&dial)).0.unwrap();
    let forwarded = bench.compose(PEER, vec![ME.into()], &leave);
    throw(&mut bench, victim(1), frame(&forwarded)).0.unwrap();
    assert!(bench.overlay.topology().contains(PEER));
}

#[test]
fn dl7_a_list_to_and_fro_goes_nowhere_in_a_request_or_in_an_answer() {
    let mut bench = with_peer();
    let to_and_fro: Vec<Destination> = [ME.into(), PEER.into()].into_iter().cycle().take(200).collect();
    let request = bench.compose(PEER, to_and_fro.clone(), &ping());
    assert_eq!(bench.exchange(&request).0, Err(DropReason::BadHeader));
    let answer = Body::PingAns(PingAns { response_id: 1, time: UnixMillis(1) });
    let answer = compose(PEER, 77, to_and_fro, MessageContents::new(&answer).unwrap());
    let (result, messages) = bench.exchange(&answer);
    assert_eq!((result, messages.len()), (Err(DropReason::BadHeader), 0));
}

#[test]
fn long_lists_of_compressed_ids_are_carried_or_dropped_and_never_expanded() {
    let mut bench = with_peer();
    let ids = |n: u16| (0..n).map(|i| Destination::Compressed(0x8000 | i)).collect::<Vec<_>>();
    let header = |via: Vec<Destination>, list: Vec<Destination>| {
        let mut message = compose(PEER, 9, list, MessageContents::new(&ping()).unwrap());
        message.header = ForwardingHeader { via_list: via, ..message.header };
        message
    };
    let nowhere = header(vec![], ids(2000));
    assert_eq!(bench.exchange(&nowhere).0, Err(DropReason::NoRoute));
    let (result, messages) = bench.exchange(&header(ids(2000), vec![ME.into()]));
    result.unwrap();
    assert_eq!(messages.len(), 1);
    let back: Vec<Destination> =
        [Destination::Node(PEER)].into_iter().chain(ids(2000).into_iter().rev()).collect();
    assert_eq!(messages[0].header.destination_list, back);
}

#[test]
fn fr6_a_message_that_is_too_large_is_refused_and_the_link_stays() {
    let mut bench = with_peer();
    let padding = Bytes::from(vec![0; 6000]);
    let answers = bench.say(PEER, vec![ME.into()], &Body::PingReq(PingReq { padding }));
    assert_eq!(error_in(&answers), Some(ErrorCode::MESSAGE_TOO_LARGE));
    assert!(bench.overlay.topology().contains(PEER));
}

#[test]
fn a_joiner_that_takes_nothing_does_not_keep_others_out() {
    // The sloth acknowledges every frame and answers no Store.
    let mut bench = Bench::new();
    for name in names(20) {
        let resource = ResourceId::of_name(name.as_bytes());
        let slot = Slot::Key(Bytes::copy_from_slice(&ME.0));
        let at = Address { resource, kind: KindId::CHANNEL, slot };
        let x = Bytes::from_static(b"x");
        bench.with(|o, now, ctx| o.store(now, Ticket(1), at, x, seconds(7200), ctx)).0.unwrap();
    }
    let dial = bench.say(PEER, vec![WILDCARD], &ping());
    assert_eq!(dial.len(), 1);
    bench.say(PEER, vec![ME.into()], &attach_to(away()));
    let join = Body::JoinReq(JoinReq { joining_peer_id: PEER, overlay_specific_data: Bytes::new() });
    let answers = bench.say(PEER, vec![ME.into()], &join);
    assert!(answers.iter().any(|m| m.contents.message_code == MessageCode::JOIN_ANS));
    assert!(answers.iter().any(|m| m.contents.message_code == MessageCode::STORE_REQ));
    for _ in 0..200 {
        bench.now += Duration::from_millis(400);
        let frames = bench.with(|o, now, ctx| o.handle_timeout(now, ctx)).1;
        bench.collect(frames);
    }
    assert!(!bench.overlay.topology().contains(PEER), "whoever takes nothing is not let in");
    let other = bench.say(PEER, vec![ME.into()], &join);
    assert!(other.iter().any(|m| m.contents.message_code == MessageCode::JOIN_ANS), "the door is free again");
}
