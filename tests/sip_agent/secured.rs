//! Agents whose streams are secured: who is at the other end is proved, and nobody else has a say in a call.

use crate::wire::{OFFER, World, addr, node, party};
use bytes::Bytes;
use p2piptv::ids::{CallId, StreamId};
use p2piptv::sip::agent::{Config, Fact, Failure, Target, Transport};
use p2piptv::stats::DropReason;

const CALL: CallId = CallId::placed(7);

fn secured(n: usize) -> Config {
    let transport = Transport::Tls;
    Config { transport, node_id: Some(node(n)), ..Config::new(&n.to_string(), addr(n)) }
}

fn world() -> World {
    World::new((0..3).map(secured).collect())
}

fn target(node_id: Option<p2piptv::ids::NodeId>) -> Target {
    Target { addr: addr(1), transport: None, user: "100".into(), to: None, node_id }
}

fn call(w: &mut World, meant: Option<p2piptv::ids::NodeId>) {
    w.invite_as(0, CALL, target(meant), Bytes::from_static(OFFER)).unwrap();
    w.run_until(200);
}

/// What somebody else writes on a stream of his own to side 1, and what happens there.
fn intrude(w: &mut World, text: &str) -> Result<(), DropReason> {
    let (id, from) = (StreamId::accepted(99), addr(2));
    w.with(1, |agent, now, ctx| agent.on_stream_opened(now, id, from, Some(party(&[node(2)])), ctx)).unwrap();
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    w.with(1, |agent, now, ctx| agent.on_stream_bytes(now, id, bytes, ctx))
}

#[test]
fn a_call_between_secured_agents_has_sips_uris_and_each_end_knows_the_node_of_the_other() {
    let mut w = world();
    call(&mut w, Some(node(1)));
    let Some(Fact::Invited { call, invitation }) = w.fact(1) else { panic!("nobody called") };
    assert_eq!(invitation.contact.node_id, Some(node(0)));
    assert_eq!(invitation.contact.transport, Transport::Tls);
    let invite = &w.sides[0].messages[0];
    assert!(invite.starts_with("INVITE sips:100@127.0.0.1:5061 SIP/2.0\r\n"), "{invite}");
    assert!(invite.contains("Via: SIP/2.0/TLS 127.0.0.1:5060"), "{invite}");
    assert!(invite.contains("<sips:0@127.0.0.1:5060>"), "{invite}");

    w.accept(1, call).unwrap();
    w.run_until(400);
    assert!(matches!(w.fact(0), Some(Fact::Answered { call: CALL, .. })));
    assert_eq!(w.fact(1), Some(Fact::Confirmed { call }));
    // Requests of both ends take the stream that is there, and are taken from it.
    w.info(0, CALL, "IPTV INFO : Alive\r\n").unwrap();
    w.info(1, call, "IPTV INFO : Alive\r\n").unwrap();
    w.run_until(600);
    assert!(matches!(w.fact(1), Some(Fact::Informed { .. })));
    assert!(matches!(w.fact(0), Some(Fact::Informed { .. })));
}

#[test]
fn an_invite_that_claims_to_be_of_another_node_is_forbidden() {
    let mut w = world();
    w.proved[0] = party(&[node(8)]);
    call(&mut w, None);
    assert_eq!(w.fact(1), None);
    assert!(matches!(w.fact(0), Some(Fact::Refused { refusal, .. }) if refusal.status.code() == 403));
}

#[test]
fn a_call_for_one_node_is_not_written_to_another_one() {
    let mut w = world();
    w.proved[1] = party(&[node(8)]);
    call(&mut w, Some(node(1)));
    assert_eq!(w.fact(0), Some(Fact::Failed { call: CALL, cause: Failure::Impostor }));
    assert_eq!(w.sides[0].messages, Vec::<String>::new());
    assert_eq!((w.sides[0].agent.streams(), w.sides[1].agent.streams()), (0, 0));
    assert!(w.is_quiet());
}

#[test]
fn a_stream_that_is_there_already_is_not_taken_for_a_call_to_another_node() {
    let mut w = world();
    w.proved[1] = party(&[node(8)]);
    // Whoever is there was meant.
    w.invite_as(0, CallId::placed(1), target(None), Bytes::from_static(OFFER)).unwrap();
    w.run_until(100);
    let before = w.sides[0].messages.len();
    call(&mut w, Some(node(1)));
    assert_eq!(w.fact(0), Some(Fact::Failed { call: CALL, cause: Failure::Impostor }));
    assert_eq!(w.sides[0].messages.len(), before);
    // The call that is there goes on.
    let received = w.invited(1);
    w.accept(1, received).unwrap();
    w.run_until(400);
    assert!(matches!(w.fact(0), Some(Fact::Answered { contact, .. }) if contact.node_id == Some(node(8))));
}

#[test]
fn what_belongs_to_a_call_is_not_written_to_whoever_has_taken_the_address_over() {
    let mut w = world();
    let (placed, _) = w.confirmed_call();
    w.cut(1, StreamId::accepted(0));
    w.run_until(w.now.as_millis() + 100);
    w.proved[1] = party(&[node(8)]);
    let before = w.sides[0].messages.len();
    w.info(0, placed, "IPTV INFO : Alive\r\n").unwrap();
    w.run_until(w.now.as_millis() + 1000);
    assert_eq!(w.sides[0].messages[before..], Vec::<String>::new());
    assert!(w.facts_left(0).iter().any(|fact| matches!(fact, Fact::Ended { .. })));
}

#[test]
fn every_node_id_of_a_certificate_is_one_that_can_be_called_and_call() {
    let mut w = world();
    w.proved[0] = party(&[node(8), node(0)]);
    w.proved[1] = party(&[node(9), node(1)]);
    call(&mut w, Some(node(1)));
    let Some(Fact::Invited { call, invitation }) = w.fact(1) else { panic!("nobody called") };
    assert_eq!(invitation.contact.node_id, Some(node(0)), "the one that the caller says");
    w.accept(1, call).unwrap();
    w.run_until(400);
    assert!(matches!(w.fact(0), Some(Fact::Answered { contact, .. }) if contact.node_id == Some(node(1))));
    assert_eq!(w.fact(1), Some(Fact::Confirmed { call }));
    w.info(1, call, "IPTV INFO : Alive\r\n").unwrap();
    w.run_until(600);
    assert!(matches!(w.fact(0), Some(Fact::Informed { .. })));
}

#[test]
fn an_answer_on_the_stream_of_somebody_else_is_none() {
    let mut w = world();
    call(&mut w, Some(node(1)));
    let received = w.invited(1);
    let invite = w.sides[0].messages[0].clone();
    let rows = |names: &[&str]| -> String {
        let row = |line: &&str| names.iter().any(|name| line.starts_with(name));
        invite.lines().filter(row).map(|line| format!("{line}\r\n")).collect()
    };
    let forged = format!(
        "SIP/2.0 200 OK\r\n{}To: <sips:100@127.0.0.1>;tag=forged\r\n\
         Contact: <sips:evil@127.0.0.1:5062>\r\nContent-Length: 0\r\n\r\n",
        rows(&["Via:", "From:", "Call-ID:", "CSeq:"]),
    );
    let (id, from) = (StreamId::accepted(99), addr(2));
    w.with(0, |a, now, ctx| a.on_stream_opened(now, id, from, Some(party(&[node(2)])), ctx)).unwrap();
    let read = w.with(0, |a, now, ctx| a.on_stream_bytes(now, id, forged.into(), ctx));
    assert_eq!(read, Err(DropReason::NotSecured));
    assert_eq!(w.fact(0), Some(Fact::Failed { call: CALL, cause: Failure::Impostor }));
    assert!(w.accept(1, received).is_ok());
}

#[test]
fn sb8_whoever_is_shut_out_has_no_stream_and_no_call_any_more() {
    let mut w = world();
    let (_, received) = w.confirmed_call();
    w.proved[2] = party(&[node(8), node(2)]);
    let id = StreamId::accepted(50);
    let bad = w.proved[2].clone();
    w.with(1, |a, now, ctx| a.on_stream_opened(now, id, addr(2), Some(bad), ctx)).unwrap();
    w.with(1, |a, now, ctx| a.shut_out(now, |n| n == node(2), ctx));
    assert_eq!((w.sides[1].agent.streams(), w.sides[1].agent.calls()), (1, 1));
    w.with(1, |a, now, ctx| a.shut_out(now, |n| n == node(0), ctx));
    assert_eq!((w.sides[1].agent.streams(), w.sides[1].agent.calls()), (0, 0));
    let lost = Fact::Ended { call: received, cause: p2piptv::sip::agent::EndCause::Lost };
    assert_eq!(w.fact(1), Some(lost));
}

#[test]
fn nobody_but_its_two_ends_has_a_say_in_a_call() {
    let mut w = world();
    let (_, received) = w.confirmed_call();
    let invite = w.sides[0].messages[0].clone();
    let header = |name: &str| {
        let line = invite.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len() + 2..].to_string()
    };
    let ok = w.sides[1].messages.iter().find(|m| m.starts_with("SIP/2.0 200")).unwrap();
    let to = ok.lines().find(|line| line.starts_with("To: ")).unwrap().to_string();
    for (method, cseq) in [("BYE", 50), ("INFO", 51)] {
        let before = w.sides[1].messages.len();
        let forged = format!(
            "{method} sips:1@127.0.0.1:5061 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:5062;branch=z9hG4bK{cseq}\r\n\
             Max-Forwards: 70\r\nFrom: {}\r\n{to}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
             Content-Type: text/plain\r\nContent-Length: 19\r\n\r\nIPTV INFO : Alive\r\n",
            header("From"),
            header("Call-ID"),
        );
        let id = StreamId::accepted(90 + cseq);
        let opened =
            w.with(1, |a, now, ctx| a.on_stream_opened(now, id, addr(2), Some(party(&[node(2)])), ctx));
        opened.unwrap();
        let _ = w.with(1, |a, now, ctx| a.on_stream_bytes(now, id, forged.into(), ctx));
        let answer = &w.sides[1].messages[before..];
        assert!(answer.iter().any(|m| m.starts_with("SIP/2.0 403")), "{method}: {answer:?}");
    }
    assert_eq!(w.facts_left(1), Vec::<&Fact>::new());
    // The call itself is as it was.
    w.info(1, received, "IPTV INFO : Alive\r\n").unwrap();
    w.run_until(w.now.as_millis() + 200);
    assert!(matches!(w.fact(0), Some(Fact::Informed { .. })));
}

#[test]
fn plain_messages_are_not_read_unless_insecure_peers_were_asked_for() {
    let options = "OPTIONS sip:1@127.0.0.1:5061 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bKa\r\n\
                   Max-Forwards: 70\r\nFrom: <sip:x@y>;tag=1\r\nTo: <sip:1@y>\r\nCall-ID: a\r\n\
                   CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
    let mut w = world();
    assert_eq!(w.inject(1, addr(2), options), Err(DropReason::NotSecured));
    assert!(w.sides[1].messages.is_empty());
    let id = StreamId::accepted(0);
    let opened = w.with(1, |a, now, ctx| a.on_stream_opened(now, id, addr(2), None, ctx));
    assert_eq!(opened, Err(DropReason::NotSecured));

    let lenient = |n| Config { insecure_peers: true, ..secured(n) };
    let mut w = World::new((0..3).map(lenient).collect());
    assert_eq!(w.inject(1, addr(2), options), Ok(()));
    assert!(w.sides[1].messages[0].starts_with("SIP/2.0 200"));
    // They may call, but not in the name of a node.
    let invite = |node_id: &str| {
        options
            .replace("OPTIONS", "INVITE")
            .replace("CSeq", &format!("Contact: <sip:x@127.0.0.1:5062>{node_id}\r\nCSeq"))
    };
    let claim = format!(";node-id={}", node(0));
    w.inject(1, addr(2), &invite(&claim).replace("z9hG4bKa", "z9hG4bKb")).unwrap();
    assert!(w.sides[1].messages[1].starts_with("SIP/2.0 403"), "{}", w.sides[1].messages[1]);
    w.inject(1, addr(2), &invite("").replace("z9hG4bKa", "z9hG4bKc")).unwrap();
    assert!(
        matches!(w.fact(1), Some(Fact::Invited { invitation, .. }) if invitation.contact.node_id.is_none())
    );
}

#[test]
fn a_stranger_gets_no_more_out_of_a_secured_agent_than_an_answer() {
    let mut w = world();
    assert!(intrude(&mut w, "INFO sips:1@127.0.0.1:5061 SIP/2.0\r\n\r\n").is_err());
    assert_eq!(w.facts_left(1), Vec::<&Fact>::new());
}

/// A stream from this host, with nothing on it.
fn come_in(w: &mut World, n: u32, host: u8) -> Result<(), DropReason> {
    let peer = std::net::SocketAddr::from(([192, 0, 2, host], 5060));
    w.with(0, |a, now, ctx| {
        a.on_stream_opened(now, StreamId::accepted(1000 + n), peer, Some(party(&[node(2)])), ctx)
    })
}

#[test]
fn k8_whoever_comes_in_leaves_room_for_the_streams_that_this_node_asks_for() {
    let mut w = world();
    let limit = w.sides[0].agent.config().limits.streams;
    for n in 0..limit as u32 {
        come_in(&mut w, n, n as u8).unwrap();
    }
    assert_eq!(w.sides[0].agent.streams(), limit - limit / 4);
    call(&mut w, Some(node(1)));
    assert!(matches!(w.fact(1), Some(Fact::Invited { .. })));
}

#[test]
fn k8_one_host_has_its_share_of_the_streams_and_takes_them_from_itself() {
    let mut w = world();
    let share = w.sides[0].agent.config().limits.streams_per_host;
    come_in(&mut w, 0, 1).unwrap();
    for n in 1..200 {
        w.run_until(w.now.as_millis() + 1);
        come_in(&mut w, n, 7).unwrap();
    }
    assert_eq!(w.sides[0].agent.streams(), 1 + share);
    // The stream of the other host is there, and of the many the latest.
    for (n, is_there) in [(0, true), (199, true), (200 - share as u32, true), (199 - share as u32, false)] {
        let id = StreamId::accepted(1000 + n);
        let ping = w.with(0, |a, now, ctx| a.on_stream_bytes(now, id, Bytes::from_static(b"\r\n\r\n"), ctx));
        assert_eq!(ping.is_ok(), is_there, "{n}");
    }
}

#[test]
fn k8_idle_streams_of_many_hosts_keep_no_caller_out_and_a_call_keeps_its_stream() {
    let mut w = world();
    // A call comes in before the flood, and another one when every place is taken.
    w.invite_as(1, CALL, Target { addr: addr(0), ..target(Some(node(0))) }, Bytes::from_static(OFFER))
        .unwrap();
    w.run_until(100);
    let first = w.invited(0);
    w.accept(0, first).unwrap();
    w.run_until(200);
    assert_eq!(w.fact(0), Some(Fact::Confirmed { call: first }));
    for n in 0..2000 {
        w.run_until(w.now.as_millis() + 1);
        come_in(&mut w, n, n as u8).unwrap();
    }
    w.invite_as(2, CALL, Target { addr: addr(0), ..target(Some(node(0))) }, Bytes::from_static(OFFER))
        .unwrap();
    w.run_until(w.now.as_millis() + 100);
    assert!(matches!(w.fact(0), Some(Fact::Invited { .. })));
    // The first call still goes over the stream that it began on.
    let accepted = w.sides[1].agent.streams();
    w.info(0, first, "IPTV INFO : Alive\r\n").unwrap();
    w.run_until(w.now.as_millis() + 200);
    assert!(w.facts_left(1).iter().any(|fact| matches!(fact, Fact::Informed { .. })));
    assert_eq!(w.sides[1].agent.streams(), accepted);
}

#[test]
fn k8_a_stream_is_refused_when_calls_depend_on_all_of_them() {
    let mut w = world();
    w.sides[0].agent = {
        let limits = p2piptv::sip::agent::Limits { streams: 4, streams_per_host: 4, ..Default::default() };
        p2piptv::sip::agent::Agent::new(Config { limits, ..secured(0) }).unwrap()
    };
    for side in [1, 2] {
        let to = Target { addr: addr(0), ..target(Some(node(0))) };
        w.invite_as(side, CallId::placed(side as u32), to, Bytes::from_static(OFFER)).unwrap();
    }
    w.run_until(100);
    come_in(&mut w, 0, 7).unwrap();
    // Three places are for those who come in: two have calls, which ring still.
    come_in(&mut w, 1, 8).unwrap();
    assert_eq!(w.sides[0].agent.streams(), 3);
    assert_eq!(w.sides[0].agent.calls(), 2);
    let again = w.with(0, |a, now, ctx| {
        let bytes = Bytes::from_static(b"\r\n\r\n");
        a.on_stream_bytes(now, StreamId::accepted(1000), bytes, ctx)
    });
    assert_eq!(again, Err(DropReason::NotInUse), "the idle one gave way");
}
