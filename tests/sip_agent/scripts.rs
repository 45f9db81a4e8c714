//! One agent against a peer that is only text: text in, text out.

use crate::wire::{ANSWER, World, addr, ms};
use bytes::Bytes;
use p2piptv::ids::{CallId, StreamId};
use p2piptv::sip::agent::{Config, EndCause, Fact, Refusal, Target, Transport};
use p2piptv::sip::body::Carrier;
use p2piptv::sip::msg::Status;
use p2piptv::stats::DropReason;
use std::net::SocketAddr;

/// The peer: an address that no agent of the world has.
fn peer() -> SocketAddr {
    addr(9)
}

/// One agent, "source", at the address 0.
fn alone() -> World {
    World::new(vec![Config::new("source", addr(0))])
}

/// Sends a message of the peer, line ends and Content-Length made right, and gives everything sent back.
fn say(w: &mut World, head: &str, body: &str) -> Vec<String> {
    say_from(w, peer(), head, body)
}

fn say_from(w: &mut World, from: SocketAddr, head: &str, body: &str) -> Vec<String> {
    let head: String = head.trim().lines().map(|line| format!("{}\r\n", line.trim())).collect();
    let text = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let before = w.sides[0].messages.len();
    let _ = w.inject(0, from, &text);
    w.sides[0].messages[before..].to_vec()
}

/// The status of the only message.
fn status(answers: &[String]) -> &str {
    match answers {
        [one] => one.strip_prefix("SIP/2.0 ").and_then(|l| l.split(' ').next()).unwrap_or("a request"),
        [] => "silence",
        _ => "several messages",
    }
}

/// The value of a header row.
fn row<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "))
}

const INVITE: &str = "INVITE sip:100@127.0.0.1:5060 SIP/2.0
    Via: SIP/2.0/UDP 127.0.0.1:5069;branch=z9hG4bKinvite1
    Max-Forwards: 70
    From: Bob <sip:bob@example.org>;tag=b0b
    To: <sip:source@p2piptv.invalid>
    Call-ID: call1@example.org
    CSeq: 10 INVITE
    Contact: <sip:bob@127.0.0.1:5069>";

fn with_sdp(head: &str) -> String {
    format!("{head}\nContent-Type: application/sdp")
}

/// A request of Bob inside the dialog with our tag.
fn inside(method: &str, cseq: u32, tag: &str) -> String {
    format!(
        "{method} sip:source@127.0.0.1:5060 SIP/2.0
        Via: SIP/2.0/UDP 127.0.0.1:5069;branch=z9hG4bK{method}{cseq}
        Max-Forwards: 70
        From: Bob <sip:bob@example.org>;tag=b0b
        To: <sip:source@p2piptv.invalid>;tag={tag}
        Call-ID: call1@example.org
        CSeq: {cseq} {method}"
    )
}

/// Bob calls, we accept, Bob ACKs: our tag, and the call.
fn bobs_call(w: &mut World) -> (String, CallId) {
    assert_eq!(status(&say(w, &with_sdp(INVITE), "v=0\r\n")), "silence");
    let call = w.invited(0);
    w.accept(0, call).unwrap();
    let ok = w.sides[0].messages.last().unwrap().clone();
    let tag = row(&ok, "To").and_then(|to| to.split("tag=").nth(1)).unwrap().to_string();
    assert_eq!(status(&say(w, &inside("ACK", 10, &tag), "")), "silence");
    assert_eq!(w.fact(0), Some(Fact::Confirmed { call }));
    (tag, call)
}

#[test]
fn a_script_calls_is_served_and_hangs_up() {
    let mut w = alone();
    assert_eq!(status(&say(&mut w, &with_sdp(INVITE), "v=0\r\n")), "silence");
    let call = w.invited(0);
    w.run_until(200);
    assert_eq!(w.times(0, "100"), [200]);
    w.accept(0, call).unwrap();
    let ok = w.sides[0].messages.last().unwrap().clone();
    assert!(
        ok.starts_with("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5069;branch=z9hG4bKinvite1\r\n"),
        "{ok}"
    );
    assert_eq!(row(&ok, "Contact"), Some("<sip:source@127.0.0.1:5060>;slots=1;depth=0;slot=rescue"));
    assert_eq!(row(&ok, "CSeq"), Some("10 INVITE"));
    assert_eq!(row(&ok, "Recv-Info"), Some("iptv-tree"));
    assert!(ok.ends_with(core::str::from_utf8(ANSWER).unwrap()));
    let tag = row(&ok, "To").and_then(|to| to.split("tag=").nth(1)).unwrap().to_string();
    say(&mut w, &inside("ACK", 10, &tag), "");
    let answers = say(&mut w, &inside("BYE", 11, &tag), "");
    assert_eq!(status(&answers), "200");
    // The same BYE again is answered from the transaction.
    assert_eq!(say(&mut w, &inside("BYE", 11, &tag), ""), answers);
    assert_eq!(w.fact(0), Some(Fact::Confirmed { call }));
    assert_eq!(
        w.fact(0),
        Some(Fact::Ended { call, cause: EndCause::Bye { body: None, carrier: Carrier::Datagram } })
    );
    assert_eq!(status(&say(&mut w, &inside("BYE", 12, &tag), "")), "481");
    w.run_until(100_000);
    assert!(w.is_quiet());
}

#[test]
fn responses_follow_rport_and_received() {
    let via = |params: &str| INVITE.replace("branch=z9hG4bKinvite1", &format!("branch=z9hG4bKr{params}"));
    let nat: SocketAddr = "127.0.0.9:7777".parse().unwrap();
    for (params, to, noted) in [
        (";rport", nat, ";rport=7777;received=127.0.0.9"),
        ("", "127.0.0.9:5069".parse().unwrap(), ";received=127.0.0.9"),
    ] {
        let mut w = alone();
        let options = via(params).replace("INVITE", "OPTIONS");
        let (effects, mut entropy) = (&mut p2piptv::effect::Effects::new(), p2piptv::env::Seeded::new(1));
        let text: String = options.lines().map(|l| format!("{}\r\n", l.trim())).collect::<String>() + "\r\n";
        let ctx = &mut p2piptv::sip::agent::Context { entropy: &mut entropy, effects };
        let agent = &mut w.sides[0].agent;
        agent.handle_datagram(ms(0), nat, Bytes::from(text), ctx).unwrap();
        let Some(p2piptv::effect::Effect::Send { to: sent_to, payload }) = effects.pop() else { panic!() };
        assert_eq!(sent_to, to);
        let text = String::from_utf8(payload.to_vec()).unwrap();
        assert!(row(&text, "Via").unwrap().ends_with(noted), "{text}");
    }
}

#[test]
fn a_copy_of_an_invite_is_absorbed() {
    let mut w = alone();
    let (_, _) = bobs_call(&mut w);
    assert_eq!(
        status(&say(&mut w, &with_sdp(INVITE), "v=0\r\n")),
        "silence",
        "Accepted sends nothing by itself"
    );
    assert_eq!(w.sides[0].agent.calls(), 1);
    assert_eq!(w.fact(0), None);
}

#[test]
fn a_copy_of_a_refused_invite_is_refused_again() {
    let mut w = alone();
    say(&mut w, &with_sdp(INVITE), "v=0\r\n");
    let call = w.invited(0);
    w.reject(0, call, Refusal::status(Status::NOT_FOUND)).unwrap();
    let refusal = w.sides[0].messages.last().cloned();
    assert_eq!(say(&mut w, &with_sdp(INVITE), "v=0\r\n").last(), refusal.as_ref());
    let tag = refusal.as_deref().and_then(|r| row(r, "To")?.split("tag=").nth(1)).unwrap().to_string();
    // The ACK of a refusal has the branch of its INVITE.
    let ack = inside("ACK", 10, &tag).replace("z9hG4bKACK10", "z9hG4bKinvite1");
    assert_eq!(status(&say(&mut w, &ack, "")), "silence");
    w.run_until(4000);
    assert_eq!(w.times(0, "404"), [0, 0], "Confirmed sends nothing more");
    w.run_until(5000);
    assert!(w.is_quiet(), "Timer I");
}

#[test]
fn a_merged_request_gets_482() {
    let mut w = alone();
    say(&mut w, &with_sdp(INVITE), "v=0\r\n");
    let other_way = with_sdp(INVITE).replace("invite1", "invite2");
    assert_eq!(status(&say(&mut w, &other_way, "v=0\r\n")), "482");
    assert_eq!(w.sides[0].agent.calls(), 1);
}

#[test]
fn cancel_ends_an_invitation_and_nothing_else() {
    let mut w = alone();
    say(&mut w, &with_sdp(INVITE), "v=0\r\n");
    let call = w.invited(0);
    let cancel = INVITE.replace("INVITE", "CANCEL");
    let answers = say(&mut w, &cancel, "");
    let lines: Vec<&str> = answers.iter().filter_map(|a| a.lines().next()).collect();
    assert_eq!(lines, ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    assert_eq!((row(&answers[0], "CSeq"), row(&answers[1], "CSeq")), (Some("10 CANCEL"), Some("10 INVITE")));
    assert_eq!(row(&answers[0], "To"), row(&answers[1], "To"), "one tag for both");
    assert_eq!(w.fact(0), Some(Fact::Cancelled { call }));
    let unknown = cancel.replace("invite1", "nothing");
    assert_eq!(status(&say(&mut w, &unknown, "")), "481");
}

#[test]
fn a_cancel_after_the_answer_changes_nothing() {
    let mut w = alone();
    let (tag, _) = bobs_call(&mut w);
    assert_eq!(status(&say(&mut w, &INVITE.replace("INVITE", "CANCEL"), "")), "200");
    assert_eq!(w.fact(0), None);
    assert_eq!(status(&say(&mut w, &inside("OPTIONS", 11, &tag), "")), "200");
}

#[test]
fn a_cancel_from_another_address_finds_nothing() {
    let mut w = alone();
    say(&mut w, &with_sdp(INVITE), "v=0\r\n");
    w.invited(0);
    let stranger = "127.0.0.66:5069".parse().unwrap();
    assert_eq!(status(&say_from(&mut w, stranger, &INVITE.replace("INVITE", "CANCEL"), "")), "481");
    assert_eq!(w.fact(0), None);
}

#[test]
fn options_outside_a_dialog_tell_what_is_served() {
    let mut w = alone();
    let answers = say(&mut w, &INVITE.replace("INVITE", "OPTIONS"), "");
    assert_eq!(status(&answers), "200");
    assert_eq!(row(&answers[0], "Allow"), Some("INVITE, ACK, CANCEL, BYE, INFO, OPTIONS"));
    assert_eq!(row(&answers[0], "Accept"), Some("application/sdp, text/plain"));
    assert_eq!(row(&answers[0], "Recv-Info"), Some("iptv-tree"));
}

#[test]
fn wrong_requests_get_the_status_that_the_rfc_names() {
    let edit = |from: &str, to: &str| with_sdp(INVITE).replace(from, to);
    for (request, expected) in [
        (edit("SIP/2.0\n", "SIP/7.0\n"), "505"),
        (edit("CSeq: 10 INVITE", "CSeq: 10 BYE"), "400"),
        (edit("Call-ID: call1@example.org\n", ""), "400"),
        (edit("    Contact: <sip:bob@127.0.0.1:5069>", ""), "400"),
        (edit("<sip:bob@127.0.0.1:5069>", "<tel:1234>"), "400"),
        (edit("sip:100@127.0.0.1:5060 SIP", "tel:100 SIP"), "416"),
        (edit("Max-Forwards: 70", "Require: 100rel"), "420"),
        (edit("application/sdp", "application/unheard-of"), "415"),
        (INVITE.replace("INVITE", "REGISTER"), "405"),
        (INVITE.replace("INVITE", "JUGGLE"), "501"),
        (INVITE.replace("INVITE", "BYE"), "481"),
        (INVITE.replace("INVITE", "INFO"), "481"),
        (inside("INVITE", 11, "no-such-tag") + "\nContact: <sip:bob@127.0.0.1:5069>", "481"),
        (inside("OPTIONS", 11, "no-such-tag"), "481"),
        (inside("ACK", 11, "no-such-tag"), "silence"),
        (edit("Max-Forwards: 70", "Max-Forwards: 0"), "silence"), // served, as RFC 4475 §3.3.11 says
    ] {
        let mut w = alone();
        let body = if request.contains("Content-Type") { "v=0\r\n" } else { "" };
        let answers = say(&mut w, &request, body);
        assert_eq!(status(&answers), expected, "{request}");
        if let [answer] = &answers[..] {
            assert_eq!(row(answer, "Allow").is_some(), matches!(expected, "405" | "501"));
            assert_eq!(row(answer, "Unsupported").is_some(), expected == "420");
            assert_eq!(row(answer, "Accept").is_some(), expected == "415");
            assert!(row(answer, "To").unwrap().contains(";tag="));
        }
    }
}

#[test]
fn an_ack_confirms_the_invite_whose_number_it_repeats() {
    let mut w = alone();
    say(&mut w, &with_sdp(INVITE), "v=0\r\n");
    let call = w.invited(0);
    w.accept(0, call).unwrap();
    let ok = w.sides[0].messages.last().unwrap().clone();
    let tag = row(&ok, "To").and_then(|to| to.split("tag=").nth(1)).unwrap().to_string();
    say(&mut w, &inside("ACK", 9, &tag), "");
    assert_eq!(w.fact(0), None);
    w.run_until(500);
    assert_eq!(w.times(0, "200"), [0, 500]);
    say(&mut w, &inside("ACK", 10, &tag), "");
    assert_eq!(w.fact(0), Some(Fact::Confirmed { call }));
}

#[test]
fn a_lower_cseq_gets_500_and_a_gap_is_taken() {
    let mut w = alone();
    let (tag, _) = bobs_call(&mut w);
    assert_eq!(status(&say(&mut w, &inside("OPTIONS", 20, &tag), "")), "200");
    assert_eq!(status(&say(&mut w, &inside("OPTIONS", 15, &tag), "")), "500");
    assert_eq!(status(&say(&mut w, &inside("INFO", 20, &tag), "")), "500");
    assert_eq!(status(&say(&mut w, &inside("OPTIONS", 21, &tag), "")), "200");
}

#[test]
fn a_re_invite_that_changes_nothing_refreshes_the_target() {
    let mut w = alone();
    let (tag, call) = bobs_call(&mut w);
    let moved = with_sdp(&(inside("INVITE", 11, &tag) + "\nContact: <sip:bob@127.0.0.1:5079>"));
    let answers = say(&mut w, &moved, "v=0\r\n");
    assert_eq!(status(&answers), "200");
    assert!(answers[0].ends_with(core::str::from_utf8(ANSWER).unwrap()));
    w.run_until(600);
    assert_eq!(w.times(0, "200"), [0, 0, 500], "until its ACK comes");
    let other = with_sdp(&(inside("INVITE", 12, &tag) + "\nContact: <sip:bob@127.0.0.1:5069>"));
    let answers = say(&mut w, &other, "v=0\r\n");
    assert_eq!(status(&answers), "500", "one at a time");
    assert!(row(&answers[0], "Retry-After").unwrap().parse::<u8>().unwrap() <= 10);
    say(&mut w, &inside("ACK", 11, &tag), "");
    assert_eq!(w.fact(0), None, "the policy knows it as confirmed already");
    w.info(0, call, "IPTV INFO : Alive\r\n").unwrap();
    assert!(w.sides[0].messages.last().unwrap().starts_with("INFO sip:bob@127.0.0.1:5079 SIP/2.0\r\n"));
}

#[test]
fn a_re_invite_for_another_session_leaves_it_as_it_is() {
    let mut w = alone();
    let (tag, call) = bobs_call(&mut w);
    let again = with_sdp(&(inside("INVITE", 11, &tag) + "\nContact: <sip:bob@127.0.0.1:5069>"));
    assert_eq!(status(&say(&mut w, &again, "v=0\r\nm=audio\r\n")), "488");
    assert_eq!(w.fact(0), None);
    w.info(0, call, "IPTV INFO : Alive\r\n").unwrap();
    assert!(w.sides[0].messages.last().unwrap().starts_with("INFO sip:bob@127.0.0.1:5069 SIP/2.0\r\n"));
}

#[test]
fn glare_gets_491() {
    let mut w = alone();
    // Our INVITE has an early dialog and no answer yet.
    let (_, invite) = call_bob(&mut w);
    say(&mut w, &response_to(&invite, "180 Ringing", "early"), "");
    let crossing = crossing_request(&invite, "INVITE", "early") + "\nContact: <sip:bob@127.0.0.1:5069>";
    assert_eq!(status(&say(&mut w, &crossing, "")), "491");
}

/// A response to one of our requests, with this To tag.
fn response_to(request: &str, status: &str, tag: &str) -> String {
    let r = |name| row(request, name).unwrap();
    let to = r("To").split(";tag=").next().unwrap_or_default();
    format!(
        "SIP/2.0 {status}\nVia: {}\nFrom: {}\nTo: {to};tag={tag}\nCall-ID: {}\nCSeq: {}\n\
         Contact: <sip:bob@127.0.0.1:5069>",
        r("Via"),
        r("From"),
        r("Call-ID"),
        r("CSeq")
    )
}

/// A request of the peer in the dialog that one of our INVITEs opened.
fn crossing_request(invite: &str, method: &str, tag: &str) -> String {
    let r = |name| row(invite, name).unwrap();
    format!(
        "{method} sip:source@127.0.0.1:5060 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:5069;branch=z9hG4bKcross{tag}{method}\n\
         From: {};tag={tag}\nTo: {}\nCall-ID: {}\nCSeq: 1 {method}",
        r("To"),
        r("From"),
        r("Call-ID")
    )
}

/// We call Bob, who answers with this status and tag.
fn call_bob(w: &mut World) -> (CallId, String) {
    let call = CallId::placed(1);
    let target = Target { addr: peer(), transport: None, user: "100".into(), to: None, node_id: None };
    w.invite_as(0, call, target, Bytes::from_static(b"v=0\r\n")).unwrap();
    (call, w.sides[0].messages.last().unwrap().clone())
}

#[test]
fn an_invite_says_what_the_vocabulary_wants() {
    let mut w = alone();
    let (_, invite) = call_bob(&mut w);
    assert!(invite.starts_with("INVITE sip:100@127.0.0.1:5069 SIP/2.0\r\n"), "{invite}");
    assert_eq!(row(&invite, "To"), Some("<sip:100@p2piptv.invalid>"));
    assert!(row(&invite, "From").unwrap().starts_with("<sip:source@p2piptv.invalid>;tag="));
    assert_eq!(row(&invite, "Contact"), Some("<sip:source@127.0.0.1:5060>;slots=2"));
    assert_eq!(row(&invite, "Priority"), Some("urgent"));
    assert_eq!(row(&invite, "Max-Forwards"), Some("70"));
    assert_eq!(row(&invite, "Recv-Info"), Some("iptv-tree"));
    assert_eq!(row(&invite, "Content-Type"), Some("application/sdp"));
    assert!(row(&invite, "Via").unwrap().contains(";rport"));
}

#[test]
fn a_forked_call_keeps_the_first_answer_and_ends_the_others() {
    let mut w = alone();
    let (call, invite) = call_bob(&mut w);
    assert_eq!(status(&say(&mut w, &response_to(&invite, "180 Ringing", "other"), "")), "silence");
    let first = say(&mut w, &response_to(&invite, "200 OK", "first"), "");
    assert_eq!(first.len(), 1);
    assert!(first[0].starts_with("ACK ") && row(&first[0], "To").unwrap().ends_with("tag=first"));
    assert!(matches!(w.fact(0), Some(Fact::Answered { call: c, .. }) if c == call));
    let second = say(&mut w, &response_to(&invite, "200 OK", "second"), "");
    let firsts: Vec<&str> = second.iter().filter_map(|m| m.split(' ').next()).collect();
    assert_eq!(firsts, ["ACK", "BYE"]);
    assert!(second.iter().all(|m| row(m, "To").unwrap().ends_with("tag=second")));
    assert_eq!(row(&second[1], "CSeq"), Some("2 BYE"));
    assert_eq!(w.fact(0), None);
    w.info(0, call, "IPTV INFO : Alive\r\n").unwrap();
    assert!(row(w.sides[0].messages.last().unwrap(), "To").unwrap().ends_with("tag=first"));
}

#[test]
fn the_route_set_is_fixed_by_the_2xx_and_reversed_at_the_caller() {
    let mut w = alone();
    let (call, invite) = call_bob(&mut w);
    let ok = response_to(&invite, "200 OK", "t")
        + "\nRecord-Route: <sip:127.0.0.1:5072;lr>, <sip:127.0.0.1:5071;lr>";
    let ack = say(&mut w, &ok, "").remove(0);
    assert_eq!(row(&ack, "Route"), Some("<sip:127.0.0.1:5071;lr>"));
    assert!(ack.starts_with("ACK sip:bob@127.0.0.1:5069 SIP/2.0\r\n"));
    w.info(0, call, "IPTV INFO : Alive\r\n").unwrap();
    let info = w.sides[0].messages.last().unwrap();
    let routes: Vec<&str> = info.lines().filter(|l| l.starts_with("Route")).collect();
    assert_eq!(routes, ["Route: <sip:127.0.0.1:5071;lr>", "Route: <sip:127.0.0.1:5072;lr>"]);
}

#[test]
fn a_strict_router_gets_the_target_as_the_last_route() {
    let mut w = alone();
    let (call, invite) = call_bob(&mut w);
    let ok =
        response_to(&invite, "200 OK", "t") + "\nRecord-Route: <sip:127.0.0.1:5072;lr>, <sip:127.0.0.1:5071>";
    say(&mut w, &ok, "");
    w.info(0, call, "IPTV INFO : Alive\r\n").unwrap();
    let info = w.sides[0].messages.last().unwrap();
    assert!(info.starts_with("INFO sip:127.0.0.1:5071 SIP/2.0\r\n"), "{info}");
    let routes: Vec<&str> = info.lines().filter(|l| l.starts_with("Route")).collect();
    assert_eq!(routes, ["Route: <sip:127.0.0.1:5072;lr>", "Route: <sip:bob@127.0.0.1:5069>"]);
}

#[test]
fn an_info_of_an_early_dialog_is_taken() {
    let mut w = alone();
    let (call, invite) = call_bob(&mut w);
    say(&mut w, &(response_to(&invite, "183 Session Progress", "e") + "\nRecv-Info: iptv-tree"), "");
    let info = crossing_request(&invite, "INFO", "e") + "\nContent-Type: text/plain";
    assert_eq!(status(&say(&mut w, &info, "IPTV INFO : Alive\r\n")), "200");
    assert!(matches!(w.fact(0), Some(Fact::Informed { call: c, package: false, .. }) if c == call));
}

#[test]
fn a_response_for_somebody_else_is_dropped() {
    let mut w = alone();
    let (_, invite) = call_bob(&mut w);
    let ok = response_to(&invite, "200 OK", "t");
    for (from, to) in [
        ("127.0.0.1:5060", "127.0.0.1:5061"), // another sent-by
        ("CSeq: 1 INVITE", "CSeq: 1 OPTIONS"),
        ("branch=z9hG4bK", "branch=z9hG4bK0"),
    ] {
        assert_eq!(status(&say(&mut w, &ok.replacen(from, to, 1), "")), "silence", "{to}");
    }
    assert_eq!(w.fact(0), None);
    let two_vias = ok.replacen("\nFrom", "\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx\nFrom", 1);
    assert_eq!(status(&say(&mut w, &two_vias, "")), "silence");
    assert_eq!(w.fact(0), None);
}

#[test]
fn an_info_is_judged_by_its_package_and_its_body() {
    let text = "IPTV INFO : Alive\r\n";
    for (rows, body, expected, informed) in [
        ("", "", "200", None),
        ("Content-Type: text/plain", text, "200", Some(false)),
        ("Content-Type: text/plain;charset=utf-8", text, "200", Some(false)),
        ("Content-Type: application/dtmf-relay", "Signal=5\r\n", "415", None),
        ("Content-Type: application/sdp", "v=0\r\n", "415", None),
        (
            "Info-Package: iptv-tree\nContent-Disposition: Info-Package\nContent-Type: text/plain",
            text,
            "200",
            Some(true),
        ),
        ("Info-Package: other\nContent-Type: text/plain", text, "469", None),
        ("Info-Package: other\nContent-Type: application/other", "x", "469", None),
        ("Info-Package: IPTV-TREE\nContent-Type: text/plain", text, "469", None),
    ] {
        let mut w = alone();
        let (tag, call) = bobs_call(&mut w);
        let answers = say(&mut w, &format!("{}\n{rows}", inside("INFO", 11, &tag)), body);
        assert_eq!(status(&answers), expected, "{rows}");
        assert_eq!(row(&answers[0], "Recv-Info"), (expected == "469").then_some("iptv-tree"));
        assert_eq!(row(&answers[0], "Accept").is_some(), expected == "415");
        let fact = informed.map(|package| Fact::Informed {
            call,
            body: Bytes::from(body),
            carrier: Carrier::Datagram,
            package,
        });
        assert_eq!(w.fact(0), fact, "{rows}");
        // Whatever it was answered, the dialog lives on.
        assert_eq!(status(&say(&mut w, &inside("OPTIONS", 12, &tag), "")), "200");
    }
}

#[test]
fn an_agent_without_the_package_says_469_with_an_empty_recv_info() {
    let config = Config { info_package: false, ..Config::new("source", addr(0)) };
    let mut w = World::new(vec![config]);
    let (tag, _) = bobs_call(&mut w);
    let info = inside("INFO", 11, &tag) + "\nInfo-Package: iptv-tree\nContent-Type: text/plain";
    let answers = say(&mut w, &info, "IPTV INFO : Alive\r\n");
    assert_eq!(status(&answers), "469");
    assert_eq!(row(&answers[0], "Recv-Info").map(str::trim), Some(""));
}

#[test]
fn the_papers_infos_are_refused_as_printed_and_taken_when_they_are_valid() {
    let printed = "INFO sip:mediaID@p2piptv.com
        Via: SIP/2.0/TCP 1.2.3.4:5060;branch=z9hG4bK74bf9
        Max-Forwards: 70
        From: Alice <sip:alice@p2piptv.com>;tag=9fxced76sl
        To: Bob's Live Show<sip:mediaID@p2piptv.com>
        Call-ID: 123456@1.2.3.4
        CSeq: 255 INFO
        Contact: <sip:alice@p2piptv.com50010>
        Content-Type: text/plain";
    let bodies =
        ["IPTV INFO : Selected Relayer", "IPTV INFO : Full capacity\r\nCHILD PEER : Peer1, Peer2\r\n"];
    for body in bodies {
        let mut w = alone();
        assert_eq!(status(&say(&mut w, printed, body)), "400", "no SIP/2.0 on the request line");
        let versioned = printed.replace("p2piptv.com\n", "p2piptv.com SIP/2.0\n").replace("74bf9", "74bfa");
        assert_eq!(status(&say(&mut w, &versioned, body)), "481", "outside a dialog");
        // The same INFO in a dialog: the INVITE that came before it, and its To tag.
        let invite = versioned
            .replace("INFO sip", "INVITE sip")
            .replace("255 INFO", "254 INVITE")
            .replace("74bfa", "74bfb")
            .replace("text/plain", "application/sdp");
        assert_eq!(status(&say(&mut w, &invite, "v=0\r\n")), "silence");
        let call = w.invited(0);
        w.accept(0, call).unwrap();
        let ok = w.sides[0].messages.last().unwrap().clone();
        let tag = row(&ok, "To").and_then(|to| to.split("tag=").nth(1)).unwrap().to_string();
        let to = "<sip:mediaID@p2piptv.com>";
        let info = versioned.replace(&format!("Show{to}"), &format!("Show{to};tag={tag}"));
        let info = info.replace("74bfa", "74bfc");
        assert_eq!(status(&say(&mut w, &info, body)), "200");
        let body = Bytes::from(body);
        assert_eq!(
            w.fact(0),
            Some(Fact::Informed { call, body, carrier: Carrier::Datagram, package: false })
        );
    }
}

#[test]
fn a_contact_that_is_a_name_is_answered_where_it_came_from() {
    let mut w = alone();
    let named = with_sdp(INVITE).replace("sip:bob@127.0.0.1:5069", "sip:bob@host.example.org");
    say(&mut w, &named, "v=0\r\n");
    let Some(Fact::Invited { call, invitation }) = w.fact(0) else { panic!("not invited") };
    assert_eq!((invitation.contact.addr, invitation.contact.name.as_str()), (peer(), "bob"));
    w.accept(0, call).unwrap();
    w.info(0, call, "IPTV INFO : Alive\r\n").unwrap();
    assert!(w.sides[0].messages.last().unwrap().starts_with("INFO sip:bob@host.example.org SIP/2.0\r\n"));
}

#[test]
fn a_481_to_our_info_ends_the_call() {
    let mut w = alone();
    let (_, call) = bobs_call(&mut w);
    w.info(0, call, "IPTV INFO : Alive\r\n").unwrap();
    let info = w.sides[0].messages.last().unwrap().clone();
    let answers = say(&mut w, &response_to(&info, "481 Gone", "x"), "");
    assert!(matches!(&answers[..], [bye] if bye.starts_with("BYE ")));
    assert_eq!(w.fact(0), Some(Fact::InfoAnswered { call, status: Some(Status::NO_SUCH_CALL) }));
    assert_eq!(w.fact(0), Some(Fact::Ended { call, cause: EndCause::Lost }));
}

#[test]
fn a_469_to_our_info_leaves_the_call_alone() {
    let mut w = alone();
    let (tag, call) = bobs_call(&mut w);
    w.info(0, call, "IPTV INFO : Alive\r\n").unwrap();
    let info = w.sides[0].messages.last().unwrap().clone();
    say(&mut w, &(response_to(&info, "469 Bad Info Package", "x") + "\nRecv-Info: other"), "");
    assert_eq!(w.fact(0), Some(Fact::InfoAnswered { call, status: Some(Status::BAD_INFO_PACKAGE) }));
    assert_eq!(status(&say(&mut w, &inside("OPTIONS", 11, &tag), "")), "200");
}

#[test]
fn requests_of_one_call_have_branches_and_numbers_of_their_own() {
    let mut w = alone();
    let (_, call) = bobs_call(&mut w);
    for n in 0..3 {
        w.info(0, call, "IPTV INFO : Alive\r\n").unwrap();
        let info = w.sides[0].messages.last().unwrap().clone();
        assert_eq!(row(&info, "CSeq"), Some(format!("{} INFO", n + 1).as_str()));
        say(&mut w, &response_to(&info, "200 OK", "b0b"), "");
    }
    let infos: Vec<&String> = w.sides[0].messages.iter().filter(|m| m.starts_with("INFO")).collect();
    let mut vias: Vec<&str> = infos.iter().filter_map(|m| row(m, "Via")).collect();
    let cseqs: Vec<&str> = infos.iter().filter_map(|m| row(m, "CSeq")).collect();
    assert_eq!(cseqs, ["1 INFO", "2 INFO", "3 INFO"]);
    vias.sort_unstable();
    vias.dedup();
    assert_eq!(vias.len(), 3);
}

#[test]
fn a_peer_of_rfc_2543_is_served() {
    let mut w = alone();
    let old = with_sdp(INVITE).replace(";branch=z9hG4bKinvite1", "").replace(";tag=b0b", "");
    assert_eq!(status(&say(&mut w, &old, "v=0\r\n")), "silence");
    let call = w.invited(0);
    assert_eq!(status(&say(&mut w, &old, "v=0\r\n")), "100", "a copy is no second call");
    w.reject(0, call, Refusal::status(Status::BUSY_HERE)).unwrap();
    let refusal = w.sides[0].messages.last().unwrap().clone();
    let ack = old
        .replace("INVITE sip", "ACK sip")
        .replace("10 INVITE", "10 ACK")
        .replace("\nContent-Type: application/sdp", "");
    let ack =
        ack.replace("To: <sip:source@p2piptv.invalid>", &format!("To: {}", row(&refusal, "To").unwrap()));
    assert_eq!(status(&say(&mut w, &ack, "")), "silence");
    w.run_until(5000);
    assert!(w.is_quiet(), "the ACK found its INVITE");
}

#[test]
fn a_stream_that_breaks_the_framing_rules_is_closed_after_its_good_messages() {
    let mut w = alone();
    let id = StreamId::accepted(0);
    w.with(0, |agent, now, ctx| agent.on_stream_opened(now, id, peer(), None, ctx).is_ok());
    let options: String =
        INVITE.replace("INVITE", "OPTIONS").lines().map(|l| format!("{}\r\n", l.trim())).collect();
    let good = format!("{options}Content-Length: 0\r\n\r\n");
    let bytes = Bytes::from(format!("\r\n\r\n{good}NONSENSE\r\n\r\n"));
    let result = w.with(0, |agent, now, ctx| agent.on_stream_bytes(now, id, bytes, ctx));
    assert_eq!(result, Err(DropReason::BadStream));
    assert_eq!(w.sides[0].messages.len(), 2, "a pong and an answer");
    assert_eq!(w.sides[0].agent.streams(), 0);
    let late = w.with(0, |agent, now, ctx| agent.on_stream_bytes(now, id, Bytes::from_static(b"x"), ctx));
    assert_eq!(late, Err(DropReason::NotInUse));
}

#[test]
fn a_response_over_a_stream_that_is_gone_opens_a_new_one() {
    let mut w = World::new(vec![
        Config::new("source", addr(0)),
        Config { transport: Transport::Tcp, ..Config::new("1", addr(1)) },
    ]);
    w.invite(1, CallId::placed(1), addr(0)).unwrap();
    w.run_until(50);
    let received = w.invited(0);
    w.cut(1, StreamId::requested(0));
    w.run_until(100);
    w.accept(0, received).unwrap();
    w.run_until(200);
    assert!(w.sides[0].agent.streams() == 1, "to the port of sent-by");
}

#[test]
fn keep_alives_and_garbage_are_dropped_quietly() {
    let mut w = alone();
    assert_eq!(w.inject(0, peer(), "\r\n\r\n"), Ok(()));
    assert_eq!(w.inject(0, peer(), "\u{1}\u{2}garbage"), Err(DropReason::NotSip));
    assert_eq!(w.inject(0, peer(), "SIP/2.0 200 OK\r\n\r\n"), Err(DropReason::NotSip));
    assert!(w.sides[0].messages.is_empty());
}
