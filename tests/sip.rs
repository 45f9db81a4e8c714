//! The SIP parser against the torture messages of RFC 4475 and RFC 5118, and the laws of parser, builder and framer.

use bytes::Bytes;
use p2piptv::sip::body::{Carrier, IptvBody, IptvInfo};
use p2piptv::sip::msg::{
    Capabilities, Host, Message, Method, Name, NameAddr, Refusal, Request, RequestBuilder, Response,
    ResponseBuilder, SipUri, Status, Tolerance, Transport, Uri, Via, judge, judge_response,
};
use p2piptv::sip::sdp::SessionDescription;
use p2piptv::sip::stream::{Frame, Framer};
use p2piptv::wire::{DecodeError, DecodeErrorKind};
use std::path::{Path, PathBuf};

const ABLE: Capabilities<'static> = Capabilities {
    methods: &[
        Method::INVITE,
        Method::ACK,
        Method::BYE,
        Method::CANCEL,
        Method::OPTIONS,
        Method::REGISTER,
        Method::INFO,
        Method::MESSAGE,
    ],
    extensions: &[],
    content_types: &["application/sdp", "text/plain", "multipart/mixed"],
};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sip")
}

fn load(file: &str) -> Bytes {
    std::fs::read(data().join(file)).unwrap_or_else(|e| panic!("{file}: {e}")).into()
}

fn all_files() -> Vec<String> {
    let mut files = Vec::new();
    for folder in ["rfc4475", "rfc5118", "rfc5118-repaired"] {
        for entry in std::fs::read_dir(data().join(folder)).unwrap() {
            files.push(format!("{folder}/{}", entry.unwrap().file_name().into_string().unwrap()));
        }
    }
    files.sort();
    files
}

/// What a conforming element does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Served,
    Answered(u16),
    Dropped,
}
use Fate::{Answered, Dropped, Served};

fn fate(bytes: &Bytes, tolerance: Tolerance) -> Fate {
    match Message::parse_with(bytes.clone(), tolerance) {
        Err(_) => Dropped,
        Ok(Message::Response(r)) => judge_response(&r).map_or(Dropped, |()| Served),
        Ok(Message::Request(r)) => match judge(&r, &ABLE) {
            Ok(()) => Served,
            Err(Refusal::Answer { status, .. }) => Answered(status.code()),
            Err(Refusal::Drop { .. }) => Dropped,
        },
    }
}

fn request(file: &str) -> Request {
    match Message::parse(load(file)) {
        Ok(Message::Request(r)) => r,
        other => panic!("{file}: {other:?}"),
    }
}

fn response(file: &str) -> Response {
    match Message::parse(load(file)) {
        Ok(Message::Response(r)) => r,
        other => panic!("{file}: {other:?}"),
    }
}

#[test]
fn every_torture_message_meets_its_fate() {
    let table = [
        ("wsinv", Served),
        ("intmeth", Answered(501)),
        ("esc01", Served),
        ("escnull", Served),
        ("esc02", Answered(501)),
        ("lwsdisp", Served),
        ("longreq", Served),
        ("dblreq", Served),
        ("semiuri", Served),
        ("transports", Served),
        ("mpart01", Served),
        ("unreason", Served),
        ("noreason", Served),
        ("badinv01", Answered(400)),
        ("clerr", Answered(400)),
        ("ncl", Answered(400)),
        ("scalar02", Answered(400)),
        ("scalarlg", Dropped),
        ("quotbal", Answered(400)),
        ("ltgtruri", Answered(400)),
        ("lwsruri", Answered(400)),
        ("lwsstart", Answered(400)),
        ("trws", Answered(400)),
        ("escruri", Answered(400)),
        ("baddate", Served),
        ("regbadct", Answered(400)),
        ("badaspec", Answered(400)),
        ("baddn", Answered(400)),
        ("baddn_terminated", Answered(400)),
        ("badvers", Answered(505)),
        ("mismatch01", Answered(400)),
        ("mismatch02", Answered(501)),
        ("bigcode", Dropped),
        ("badbranch", Served),
        ("insuf", Answered(400)),
        ("unkscm", Answered(416)),
        ("novelsc", Answered(416)),
        ("unksm2", Answered(400)),
        ("bext01", Answered(420)),
        ("invut", Answered(415)),
        ("regaut01", Served),
        ("multi01", Answered(400)),
        ("mcl01", Answered(400)),
        ("bcast", Dropped),
        ("zeromf", Served),
        ("cparam01", Served),
        ("cparam02", Served),
        ("regescrt", Served),
        ("sdp01", Answered(406)),
        ("inv2543", Served),
        ("test", Answered(400)),
    ];
    let mut seen: Vec<String> = table.iter().map(|(name, _)| format!("rfc4475/{name}.dat")).collect();
    for (name, expected) in table {
        let bytes = load(&format!("rfc4475/{name}.dat"));
        assert_eq!(fate(&bytes, Tolerance::Strict), expected, "{name}");
        assert_eq!(fate(&bytes, Tolerance::Lenient), expected, "{name}, lenient");
    }
    seen.sort();
    let files: Vec<_> = all_files().into_iter().filter(|f| f.starts_with("rfc4475")).collect();
    assert_eq!(seen, files, "every file has its row");
}

#[test]
fn every_ipv6_message_meets_its_fate_repaired_or_under_the_lenient_switch() {
    // Repaired; as archived (bare LF) strict; as archived lenient. Three declare a length that their LF body does not have.
    let table = [
        ("ipv6-good", Served, Served),
        ("ipv6-bad", Answered(400), Answered(400)),
        ("port-ambiguous", Served, Served),
        ("port-unambiguous", Served, Served),
        ("via-received-param-with-delim", Served, Served),
        ("via-received-param-no-delim", Served, Served),
        ("ipv6-in-sdp", Served, Answered(400)),
        ("mult-ip-in-header", Served, Served),
        ("mult-ip-in-sdp", Served, Answered(400)),
        ("ipv4-mapped-ipv6", Served, Served),
        ("ipv6-bug-abnf-3-colons", Served, Answered(400)),
        ("ipv6-correct-abnf-2-colons", Served, Answered(400)),
    ];
    for (name, repaired, lenient) in table {
        assert_eq!(
            fate(&load(&format!("rfc5118-repaired/{name}.dat")), Tolerance::Strict),
            repaired,
            "{name}"
        );
        let archived = load(&format!("rfc5118/{name}.dat"));
        assert_eq!(fate(&archived, Tolerance::Strict), Answered(400), "{name} has bare LF");
        assert_eq!(fate(&archived, Tolerance::Lenient), lenient, "{name}, lenient");
    }
    assert_eq!(all_files().len(), 51 + 12 + 12);
}

#[test]
fn wsinv_has_every_value_in_its_place() {
    let r = request("rfc4475/wsinv.dat");
    let h = &r.headers;
    let uri = r.uri().unwrap();
    assert_eq!(uri.to_string(), "sip:vivekg@chair-dnrc.example.com;unknownparam");
    assert!(uri.sip().unwrap().params().contains("unknownparam"));
    let to = h.to().unwrap().unwrap();
    assert_eq!((to.display_name(), to.tag()), (None, Some("1918181833n")));
    let from = h.from().unwrap().unwrap();
    assert_eq!(from.display_name().unwrap(), "J Rosenberg \\\"");
    assert_eq!(from.tag(), Some("98asjd8"));
    assert_eq!(h.max_forwards(), Ok(Some(68)));
    assert_eq!(h.call_id(), Ok(Some("wsinv.ndaksdj@192.0.2.1")));
    assert_eq!(h.content_length(), Ok(Some(150)));
    let cseq = h.cseq().unwrap().unwrap();
    assert_eq!((cseq.number, cseq.method), (9, Method::INVITE));
    let vias: Vec<_> = h.vias().map(Result::unwrap).collect();
    let told: Vec<_> =
        vias.iter().map(|v| (v.transport().as_str(), v.host().to_string(), v.branch().unwrap())).collect();
    assert_eq!(
        told,
        [
            ("UDP", "192.0.2.2".into(), "390skdjuw"),
            ("TCP", "spindle.example.com".into(), "z9hG4bK9ikj8"),
            ("UDP", "192.168.255.111".into(), "z9hG4bK30239"),
        ]
    );
    assert!(
        !vias[0].has_rfc3261_branch() && vias[1].has_rfc3261_branch() && vias.iter().all(|v| v.is_sip_2())
    );
    assert_eq!(h.get(Name::SUBJECT), Some(&b""[..]));
    assert_eq!(
        h.get(Name::new("newfangledheader")).unwrap(),
        b"newfangled value\r\n continued newfangled value"
    );
    assert_eq!(h.get(Name::new("UnknownHeaderWithUnusualValue")).unwrap(), b";;,,;;,;");
    let route = h.routes().next().unwrap().unwrap();
    let params = route.sip_uri().unwrap().params();
    assert!(params.contains("lr") && params.find("unknown-no-value") == Some(None));
    assert_eq!(params.get("unknownwith"), Some("value"));
    let contact = h.contact().unwrap().unwrap();
    assert_eq!(contact.display_name().unwrap(), "Quoted string \"\"");
    assert_eq!(
        (contact.params().get("newparam"), contact.params().get("q")),
        (Some("newvalue"), Some("0.33"))
    );
    assert_eq!(contact.params().find("secondparam"), Some(None));
    assert!(h.content_type().unwrap().unwrap().is("application/sdp"));
    assert_eq!(r.body().len(), 150);
    assert_eq!(
        contact.to_string(),
        r#""Quoted string \"\"" <sip:jdrosen@example.com>;newparam=newvalue;secondparam;q=0.33"#
    );
}

#[test]
fn intmeth_keeps_every_odd_byte() {
    let r = request("rfc4475/intmeth.dat");
    let method = "!interesting-Method0123456789_*+`.%indeed'~";
    assert_eq!(r.method().as_str(), method);
    let uri = r.uri().unwrap();
    let uri = uri.sip().unwrap();
    assert_eq!(uri.user(), Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"));
    assert_eq!(uri.password(), Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"));
    assert_eq!(*uri.host(), Host::new("example.com").unwrap());
    let h = &r.headers;
    assert_eq!(h.via().unwrap().unwrap().branch(), Some("z9hG4bK-.!%66*_+`'~"));
    assert_eq!(h.to().unwrap().unwrap().display_name().unwrap(), "BEL:\u{7} NUL:\0 DEL:\u{7f}");
    let from = h.from().unwrap().unwrap();
    assert_eq!(from.display_name().unwrap(), "token1~` token2'+_ token3*%!.-");
    assert_eq!(from.params().get("fromParam''~+*_!.-%"), Some("\"работающий\""));
    assert_eq!(from.tag(), Some("_token~1'+`*%!-."));
    assert_eq!(h.call_id(), Ok(Some(r#"intmeth.word%ZK-!.*_+'@word`~)(><:\/"][?}{"#)));
    let cseq = h.cseq().unwrap().unwrap();
    assert_eq!((cseq.number, cseq.method.as_str()), (139_122_385, method));
    assert_eq!(h.max_forwards(), Ok(Some(255)));
    assert_eq!(h.get(Name::new("extensionHeader-!.%*+_`'~")).unwrap(), "\u{feff}大停電".as_bytes());
}

#[test]
fn a_percent_sign_escapes_in_uris_alone() {
    let r = request("rfc4475/esc01.dat");
    let uri = r.uri().unwrap();
    assert_eq!(uri.sip().unwrap().user(), Some("sips%3Auser%40example.com"));
    assert_eq!(uri.sip().unwrap().unescaped_user().unwrap(), "sips:user@example.com");
    assert_eq!(*uri.sip().unwrap().host(), Host::new("example.net").unwrap());
    let to = r.headers.to().unwrap().unwrap();
    assert_eq!(to.sip_uri().unwrap().unescaped_user().unwrap(), "user");
    let from = r.headers.from().unwrap().unwrap();
    assert_eq!(from.sip_uri().unwrap().unescaped_user().unwrap(), "I have spaces");
    let contact = r.headers.contact().unwrap().unwrap();
    assert_eq!(contact.sip_uri().unwrap().params().get("n%61me"), Some("v%61lue%25%34%31"));
    assert!(contact.params().is_empty());

    let r = request("rfc4475/esc02.dat");
    assert_eq!(r.method().as_str(), "RE%47IST%45R");
    assert_eq!(r.headers.contacts().count(), 2);
    assert_eq!(r.headers.to().unwrap().unwrap().display_name().unwrap(), "%Z%45");
    assert_eq!(r.headers.via().unwrap().unwrap().branch(), Some("z9hG4bK209%fzsnel234"));

    let r = request("rfc4475/escnull.dat");
    let users: Vec<_> =
        r.headers.contacts().map(|c| c.unwrap().sip_uri().unwrap().user().unwrap().to_string()).collect();
    assert_eq!(users, ["%00", "%00%00"]);
    let to = r.headers.to().unwrap().unwrap();
    assert_eq!(to.sip_uri().unwrap().unescaped_user().unwrap(), "null-\0-null");
}

#[test]
fn the_other_valid_messages_hold_what_the_rfc_says() {
    let h = request("rfc4475/lwsdisp.dat").headers;
    assert_eq!(h.from().unwrap().unwrap().display_name().unwrap(), "caller");
    assert_eq!(h.from().unwrap().unwrap().to_string(), "\"caller\" <sip:caller@example.com>;tag=323");

    let h = request("rfc4475/longreq.dat").headers;
    assert_eq!(h.vias().map(Result::unwrap).count(), 34);
    assert_eq!(h.via().unwrap().unwrap().host().to_string(), "sip33.example.com");
    let last = h.vias().last().unwrap().unwrap();
    assert_eq!(last.received(), Some("192.0.2.5".parse().unwrap()));
    assert_eq!(last.branch().unwrap().len(), 215);
    assert_eq!(h.from().unwrap().unwrap().tag().unwrap().len(), 155);

    let r = request("rfc4475/dblreq.dat");
    assert_eq!((r.method(), r.body().len()), (&Method::REGISTER, 0));

    let r = request("rfc4475/semiuri.dat");
    assert_eq!(r.uri().unwrap().sip().unwrap().unescaped_user().unwrap(), "user;par=u@example.net");
    assert!(r.uri().unwrap().sip().unwrap().params().is_empty());
    let accept: Vec<_> = r.headers.accept().unwrap().map(|t| t.unwrap().to_string()).collect();
    assert_eq!(accept.len(), 6);
    assert_eq!(accept[3], "multipart/signed");

    let h = request("rfc4475/transports.dat").headers;
    let transports: Vec<_> = h.vias().map(|v| v.unwrap().transport().as_str().to_string()).collect();
    assert_eq!(transports, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);

    let r = request("rfc4475/mpart01.dat");
    assert_eq!(r.body().len(), 553);
    assert_eq!(r.headers.content_type().unwrap().unwrap().params().get("boundary"), Some("7a9cbec02ceef655"));
    assert_eq!(r.headers.via().unwrap().unwrap().rport(), Some(None));

    let r = response("rfc4475/unreason.dat");
    assert_eq!(r.status(), Status::OK);
    assert_eq!(core::str::from_utf8(r.reason()).unwrap(), "= 2**3 * 5**2 но сто девяносто девять - простое");
    let r = response("rfc4475/noreason.dat");
    assert_eq!((r.status(), r.reason()), (Status::TRYING, &b""[..]));

    let h = request("rfc4475/badbranch.dat").headers;
    assert!(!h.via().unwrap().unwrap().has_rfc3261_branch());

    let r = request("rfc4475/novelsc.dat");
    assert_eq!(r.uri(), Ok(Uri::Other("soap.beep://192.0.2.103:3002".into())));

    let r = response("rfc4475/bcast.dat");
    assert_eq!(
        r.headers.vias().nth(1).unwrap().unwrap().host().ip(),
        Some("255.255.255.255".parse().unwrap())
    );
    assert_eq!(request("rfc4475/zeromf.dat").headers.max_forwards(), Ok(Some(0)));

    let h = request("rfc4475/regescrt.dat").headers;
    let contact = h.contact().unwrap().unwrap();
    assert_eq!(contact.sip_uri().unwrap().headers(), Some("Route=%3Csip:sip.example.com%3E"));

    let r = request("rfc4475/inv2543.dat");
    assert!(r.body().ends_with(b"m=audio 49217 RTP/AVP 0\r\n"));
    assert_eq!(r.headers.from().unwrap().unwrap().tag(), None);
    assert_eq!(r.headers.from().unwrap().unwrap().sip_uri().unwrap().params().get("user"), Some("phone"));
    // Without brackets the parameter is the header's.
    let to = r.headers.to().unwrap().unwrap();
    assert_eq!((to.params().get("user"), to.sip_uri().unwrap().params().get("user")), (Some("phone"), None));
}

#[test]
fn a_parameter_behind_the_brackets_is_the_headers_and_inside_them_the_uris() {
    let outside = request("rfc4475/cparam01.dat").headers;
    let contact = outside.contact().unwrap().unwrap();
    assert!(contact.params().contains("unknownparam"));
    assert!(!contact.sip_uri().unwrap().params().contains("unknownparam"));
    let inside = request("rfc4475/cparam02.dat").headers;
    let contact = inside.contact().unwrap().unwrap();
    assert!(!contact.params().contains("unknownparam"));
    assert!(contact.sip_uri().unwrap().params().contains("unknownparam"));
}

#[test]
fn ipv6_addresses_are_read_wherever_they_stand() {
    let address = |file: &str| request(file).uri().unwrap().sip().unwrap().address().unwrap().to_string();
    assert_eq!(address("rfc5118-repaired/ipv6-good.dat"), "[2001:db8::10]:5060");
    assert_eq!(address("rfc5118-repaired/port-ambiguous.dat"), "[2001:db8::10:5070]:5060");
    assert_eq!(address("rfc5118-repaired/port-unambiguous.dat"), "[2001:db8::10]:5070");
    for file in ["ipv6-bug-abnf-3-colons", "ipv6-correct-abnf-2-colons"] {
        assert_eq!(address(&format!("rfc5118-repaired/{file}.dat")), "[2001:db8::c000:201]:5060");
    }
    for file in ["via-received-param-with-delim", "via-received-param-no-delim"] {
        let mut via =
            request(&format!("rfc5118-repaired/{file}.dat")).headers.via().unwrap().unwrap().into_owned();
        assert_eq!(via.received(), Some("2001:db8::9:255".parse().unwrap()));
        via.note_source("[2001:db8::7]:5061".parse().unwrap()).unwrap();
        assert!(via.to_string().contains(";received=2001:db8::7;"), "never with brackets: {via}");
    }
    let h = request("rfc5118-repaired/ipv4-mapped-ipv6.dat").headers;
    let via = h.via().unwrap().unwrap();
    assert_eq!((via.port(), via.host().to_string()), (Some(19823), "[::ffff:192.0.2.10]".into()));
    let vias: Vec<_> = request("rfc5118-repaired/mult-ip-in-header.dat")
        .headers
        .vias()
        .map(|v| v.unwrap().response_address().unwrap().to_string())
        .collect();
    assert_eq!(vias, ["[2001:db8::9:1]:6050", "192.0.2.1:5060", "192.0.2.200:5060"]);
}

#[test]
fn errors_say_where_they_are() {
    let bytes = load("rfc4475/scalar02.dat");
    let Ok(Message::Request(r)) = Message::parse(bytes.clone()) else { panic!() };
    let e = r.headers.cseq().unwrap_err();
    assert_eq!((e.kind, e.field), (DecodeErrorKind::InvalidValue, "CSeq"));
    assert!(bytes[e.offset..].starts_with(b"36893488147419103232 REGISTER"));
    let e = r.headers.expires().unwrap_err();
    assert!(bytes[e.offset..].starts_with(b"10000000000"));
    let bytes = load("rfc4475/multi01.dat");
    let Ok(Message::Request(r)) = Message::parse(bytes.clone()) else { panic!() };
    let e = r.headers.call_id().unwrap_err();
    assert!(bytes[e.offset..].starts_with(b"multi01.98asdh@192.0.2.2"));
}

#[test]
fn refusals_bring_the_rows_that_their_status_wants() {
    let source = "192.0.2.1:5060".parse().unwrap();
    let answer = |file: &str| {
        let r = request(file);
        let refusal = judge(&r, &ABLE).unwrap_err();
        let bytes = refusal.response(&r, source, &ABLE).unwrap().to_tag("t1").finish().unwrap();
        let Ok(Message::Response(answer)) = Message::parse(bytes) else { panic!("{file}") };
        answer
    };
    let r = answer("rfc4475/bext01.dat");
    assert_eq!(r.status(), Status::BAD_EXTENSION);
    assert_eq!(r.headers.get(Name::UNSUPPORTED).unwrap(), b"nothingSupportsThis, nothingSupportsThisEither");
    assert_eq!(r.headers.to().unwrap().unwrap().tag(), Some("t1"));
    let r = answer("rfc4475/invut.dat");
    assert!(r.headers.accept().unwrap().any(|t| t.unwrap().is("application/sdp")));
    let r = answer("rfc4475/intmeth.dat");
    assert!(r.headers.allow().any(|m| m == Ok("INVITE")));
    // The quoted-pair NUL comes back as it was.
    assert_eq!(r.headers.to().unwrap().unwrap().display_name().unwrap(), "BEL:\u{7} NUL:\0 DEL:\u{7f}");
    // An ACK is never answered, whatever is wrong with it.
    let Ok(Message::Request(ack)) = Message::parse(Bytes::from_static(b"ACK sip:a@b SIP/2.0\r\nTo:\r\n\r\n"))
    else {
        panic!()
    };
    let refusal = judge(&ack, &ABLE).unwrap_err();
    assert!(matches!(refusal, Refusal::Drop { cause: Some(_) }));
    assert!(refusal.response(&ack, source, &ABLE).is_none());
}

#[test]
fn every_broken_request_with_a_via_can_be_answered() {
    let source = "192.0.2.1:5060".parse().unwrap();
    for file in all_files() {
        let Ok(Message::Request(r)) = Message::parse_with(load(&file), Tolerance::Lenient) else { continue };
        let Err(refusal) = judge(&r, &ABLE) else { continue };
        let bytes = refusal.response(&r, source, &ABLE).unwrap().to_tag("x").finish().unwrap();
        let Ok(Message::Response(answer)) = Message::parse(bytes) else { panic!("{file}") };
        let via = |h: &p2piptv::sip::msg::Headers| {
            h.via().ok().flatten().map(|v| (v.sent_by(), v.branch().map(str::to_owned)))
        };
        assert_eq!(via(&answer.headers), via(&r.headers), "{file}");
    }
}

// ---------------------------------------------------------------------------------------------- the stream

/// What a framer makes of chunks: each frame, and how it ended.
fn frames<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Option<DecodeError>) {
    let (mut framer, mut out) = (Framer::new(), Vec::new());
    for chunk in chunks {
        framer.push(chunk);
        while let Some(frame) = framer.next_frame() {
            match frame {
                Ok(Frame::Ping) => out.push(b"ping".to_vec()),
                Ok(Frame::Message(Message::Request(r))) => out.push(r.as_bytes().to_vec()),
                Ok(Frame::Message(Message::Response(r))) => out.push(r.as_bytes().to_vec()),
                Err(e) => {
                    assert!(framer.next_frame().is_none(), "an error comes once");
                    return (out, Some(e));
                }
            }
        }
    }
    (out, None)
}

#[test]
fn the_cuts_of_a_stream_make_no_difference() {
    let follower =
        b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bKq\r\nContent-Length: 2\r\n\r\nok";
    for file in all_files() {
        let mut bytes = load(&file).to_vec();
        bytes.extend_from_slice(b"\r\n\r\n\r\n");
        bytes.extend_from_slice(follower);
        let whole = frames([&bytes[..]].into_iter());
        assert_eq!(frames(bytes.chunks(1)), whole, "{file}, byte by byte");
        for cut in 0..=bytes.len() {
            let (a, b) = bytes.split_at(cut);
            assert_eq!(frames([a, b].into_iter()), whole, "{file}, cut at {cut}");
        }
    }
}

#[test]
fn what_leaves_the_end_of_a_message_in_doubt_ends_the_stream() {
    let end = |file: &str| {
        let (frames, error) = frames([&load(file)[..]].into_iter());
        (frames.len(), error.map(|e| e.field))
    };
    assert_eq!(end("rfc4475/ncl.dat"), (0, Some("Content-Length")));
    assert_eq!(end("rfc4475/mcl01.dat"), (0, Some("Content-Length")));
    assert_eq!(end("rfc4475/inv2543.dat"), (0, Some("Content-Length")));
    assert_eq!(end("rfc4475/test.dat"), (0, Some("header-name")));
    assert_eq!(end("rfc4475/bigcode.dat"), (0, Some("Status-Code")));
    // A length beyond the bytes waits for more of them.
    assert_eq!(end("rfc4475/clerr.dat"), (0, None));
    assert_eq!(end("rfc4475/wsinv.dat"), (1, None));
    // What follows the 0 bytes of its body is another message, as it says.
    assert_eq!(end("rfc4475/dblreq.dat").0, 2);
    // Bare LF never ends a line on a stream, so the head of these never ends.
    assert_eq!(end("rfc5118/ipv6-good.dat"), (0, None));
}

#[test]
fn a_message_that_is_complete_comes_out_before_the_error_behind_it() {
    let good = b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bKq\r\nContent-Length: 0\r\n\r\n";
    let (out, error) =
        frames([&[&good[..], b"GET / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n"].concat()[..]].into_iter());
    assert_eq!(out, [good.to_vec()]);
    let error = error.unwrap();
    assert_eq!((error.kind, error.field), (DecodeErrorKind::TooLong, "Content-Length"));
    assert!(error.offset > good.len(), "offsets count from the beginning of the stream");
}

#[test]
fn a_head_without_an_end_is_given_up_at_its_limit() {
    let mut framer = Framer::new();
    framer.push(b"OPTIONS sip:a@b SIP/2.0\r\n");
    for _ in 0..400 {
        framer.push(b"X: 0123456789012345678901234567890123456789\r\n");
        match framer.next_frame() {
            None => assert!(framer.buffered() <= p2piptv::sip::msg::MAX_HEAD + 1),
            Some(error) => {
                assert_eq!(error.unwrap_err().kind, DecodeErrorKind::TooLong);
                framer.push(b"more");
                assert_eq!(framer.buffered(), 0, "nothing is kept after the error");
                return;
            }
        }
    }
    panic!("the limit never came");
}

#[test]
fn pings_and_pongs_are_told_apart() {
    let (out, error) =
        frames([&b"\r\n\r\n"[..], b"\r\n", b"OPTIONS sip:a@b SIP/2.0\r\nl:0\r\n\r\n"].into_iter());
    assert_eq!((out.len(), &out[0][..], error), (2, &b"ping"[..], None));
}

// ---------------------------------------------------------------------------------------------- truncation

#[test]
fn no_truncation_of_any_message_panics_and_none_is_served_that_lacks_its_end() {
    for file in all_files() {
        let bytes = load(&file);
        let head = bytes.windows(4).position(|w| w == b"\r\n\r\n").map_or(bytes.len(), |n| n + 4);
        for n in 0..bytes.len() {
            let part = bytes.slice(..n);
            for tolerance in [Tolerance::Strict, Tolerance::Lenient] {
                let fate = fate(&part, tolerance);
                assert!(n >= head || tolerance == Tolerance::Lenient || fate != Served, "{file} cut at {n}");
            }
        }
    }
}

#[test]
fn no_single_changed_byte_panics() {
    for file in ["rfc4475/wsinv.dat", "rfc4475/intmeth.dat", "rfc4475/unreason.dat"] {
        let bytes = load(file).to_vec();
        for i in 0..bytes.len() {
            for with in [0, b'\r', b'\n', b' ', b'"', b'\\', b'<', b',', b';', b'%', b'[', b':', 0xff] {
                let mut changed = bytes.clone();
                changed[i] = with;
                let changed = Bytes::from(changed);
                fate(&changed, Tolerance::Lenient);
                frames([&changed[..]].into_iter());
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------- the paper's messages

const TABLE_2: &str = "INFO sip:mediaID@p2piptv.com SIP/2.0\r\n\
    Via: SIP/2.0/TCP 1.2.3.4:5060;branch=z9hG4bK74bf9\r\n\
    Max-Forwards: 70\r\n\
    From: Alice <sip:alice@p2piptv.com>;tag=9fxced76sl\r\n\
    To: Bob's Live Show<sip:mediaID@p2piptv.com>\r\n\
    Call-ID: 123456@1.2.3.4\r\n\
    CSeq: 255 INFO\r\n\
    Contact: <sip:alice@p2piptv.com50010>\r\n\
    Content-Type: text/plain\r\n\
    Content-Length : 28\r\n\
    \r\n\
    IPTV INFO : Selected Relayer";

#[test]
fn the_papers_message_is_refused_as_printed_and_read_with_a_version() {
    let printed = TABLE_2.replacen(" SIP/2.0", "", 1);
    assert_eq!(fate(&printed.into(), Tolerance::Strict), Answered(400));
    let Ok(Message::Request(r)) = Message::parse(TABLE_2.into()) else { panic!() };
    assert_eq!(judge(&r, &ABLE), Ok(()));
    let to = r.headers.to().unwrap().unwrap();
    assert_eq!(to.display_name().unwrap(), "Bob's Live Show");
    assert_eq!(to.to_string(), "\"Bob's Live Show\" <sip:mediaID@p2piptv.com>");
    assert_eq!(to.tag(), None);
    // Legal syntax: a name that ends in digits, and no port.
    let contact = r.headers.contact().unwrap().unwrap();
    let uri = contact.sip_uri().unwrap();
    assert_eq!((uri.host().to_string(), uri.port(), uri.address()), ("p2piptv.com50010".into(), None, None));
    assert_eq!(r.headers.content_length(), Ok(Some(28)));
    assert_eq!(r.body(), "IPTV INFO : Selected Relayer");
    assert_eq!(*r.headers.via().unwrap().unwrap().transport(), Transport::TCP);
}

#[test]
fn lists_are_never_split_inside_quotes_or_brackets() {
    let text = "OPTIONS sip:a@b SIP/2.0\r\nContact: \"a, b\" <sip:x,y@c>;p=\"q,\\\"r\", <sip:d@e>\r\nm: <sip:f@g>\r\n\r\n";
    let Ok(Message::Request(r)) = Message::parse(text.into()) else { panic!() };
    let contacts: Vec<NameAddr<'_>> = r.headers.contacts().map(Result::unwrap).collect();
    assert_eq!(contacts.len(), 3);
    assert_eq!(contacts[0].display_name().unwrap(), "a, b");
    assert_eq!(contacts[0].sip_uri().unwrap().user(), Some("x,y"));
    assert_eq!(contacts[0].params().get("p"), Some("\"q,\\\"r\""));
    assert_eq!(contacts[2].sip_uri(), SipUri::new("sip:f@g").as_ref());
}

#[test]
fn k8_too_many_rows_or_values_are_refused_by_name() {
    let many = |row: &str, n: usize| -> Bytes {
        let good = "Via: SIP/2.0/UDP c;branch=z9hG4bKq\r\nFrom: <sip:a@b>\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n";
        format!("OPTIONS sip:a@b SIP/2.0\r\n{good}{}\r\n", row.repeat(n)).into()
    };
    assert_eq!(fate(&many("X: y\r\n", 91), Tolerance::Strict), Served);
    assert_eq!(fate(&many("X: y\r\n", 92), Tolerance::Strict), Answered(513));
    assert_eq!(fate(&many("m: <sip:a@b>, <sip:a@b>\r\n", 64), Tolerance::Strict), Served);
    assert_eq!(fate(&many("m: <sip:a@b>, <sip:a@b>\r\n", 65), Tolerance::Strict), Answered(513));
    assert_eq!(fate(&many("Subject: 012345678901234567890123456789\r\n", 90), Tolerance::Strict), Served);
    let long = format!("X: {}\r\n", "y".repeat(17_000));
    assert_eq!(fate(&many(&long, 1), Tolerance::Strict), Answered(513));
}

// ---------------------------------------------------------------------------------------------- laws

/// Holds a law for everything that the generator makes from random bytes.
fn law<T: for<'a> arbitrary::Arbitrary<'a>>(holds: fn(T)) {
    fn make<T: for<'a> arbitrary::Arbitrary<'a>>(bytes: &[u8]) -> Option<T> {
        arbitrary::Unstructured::new(bytes).arbitrary().ok()
    }
    let mut g = quickcheck::Gen::new(512);
    let mut made = 0;
    for _ in 0..400 {
        let bytes: Vec<u8> = quickcheck::Arbitrary::arbitrary(&mut g);
        if let Some(value) = make(&bytes) {
            holds(value);
            made += 1;
        }
    }
    assert!(made > 200, "the generator gave up too often: {made}");
}

#[test]
fn law_a_sip_uri_prints_and_reads_back() {
    law(|uri: SipUri<'static>| {
        let text = uri.to_string();
        assert_eq!(SipUri::new(&text).as_ref(), Some(&uri), "{text}");
    });
}

#[test]
fn law_what_a_builder_writes_is_read_back_and_is_canonical() {
    law(|builder: RequestBuilder| {
        let bytes = builder.finish().unwrap();
        let message = Message::parse(bytes.clone()).unwrap();
        let Message::Request(r) = &message else { panic!() };
        assert_eq!(r.fault(), None);
        assert_eq!(
            judge(r, &Capabilities { methods: core::slice::from_ref(r.method()), ..ABLE }),
            Ok(()),
            "{r:?}"
        );
        assert_eq!(r.headers.content_length(), Ok(Some(r.body().len())));
        let canonical = message.to_canonical().unwrap();
        // Content-Length stands behind the caller's rows in both.
        assert_eq!(canonical, bytes, "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(frames([&bytes[..]].into_iter()), (vec![bytes.to_vec()], None));
    });
}

#[test]
fn law_addresses_and_vias_print_and_read_back() {
    law(|(address, via): (NameAddr<'static>, Via<'static>)| {
        let text =
            format!("OPTIONS sip:a@b SIP/2.0\r\nContact: {address}, {address}\r\nVia: {via},{via}\r\n\r\n");
        let Ok(Message::Request(r)) = Message::parse(text.into()) else { panic!() };
        assert!(r.headers.contacts().map(Result::unwrap).eq([address.clone(), address]));
        assert!(r.headers.vias().map(Result::unwrap).eq([via.clone(), via]));
    });
}

#[test]
fn law_a_tree_body_prints_and_reads_back_and_no_truncation_on_a_stream_changes_a_value() {
    law(|body: IptvBody| {
        let bytes = body.to_bytes().unwrap();
        for carrier in [Carrier::Datagram, Carrier::Stream] {
            assert_eq!(
                IptvBody::parse(&bytes, carrier).as_ref(),
                Ok(&body),
                "{}",
                String::from_utf8_lossy(&bytes)
            );
        }
        for n in 0..bytes.len() {
            if let Ok(IptvBody { info: IptvInfo::FullCapacity(cut), .. }) =
                IptvBody::parse(&bytes[..n], Carrier::Stream)
            {
                let IptvInfo::FullCapacity(whole) = &body.info else { panic!() };
                assert!(cut.children.iter().zip(&whole.children).all(|(a, b)| a.name == b.name));
                assert_eq!(cut.children.len(), whole.children.len());
            }
        }
    });
}

#[test]
fn law_a_session_description_prints_and_reads_back() {
    law(|sdp: SessionDescription| {
        let bytes = sdp.to_bytes().unwrap();
        assert_eq!(SessionDescription::parse(&bytes), Ok(sdp));
    });
}

#[test]
fn the_canonical_form_of_every_torture_message_means_the_same_and_is_its_own() {
    let mut canonical = 0;
    for file in all_files() {
        let bytes = load(&file);
        let fate_before = fate(&bytes, Tolerance::Strict);
        let Ok(message) = Message::parse(bytes) else { continue };
        if matches!(&message, Message::Request(r) if r.fault().is_some()) {
            continue;
        }
        let Ok(again) = message.to_canonical() else { continue };
        canonical += 1;
        assert_eq!(fate(&again, Tolerance::Strict), fate_before, "{file}");
        let second = Message::parse(again.clone()).unwrap();
        assert_eq!(second.to_canonical().unwrap(), again, "{file}");
        assert!(second.headers().vias().flatten().eq(message.headers().vias().flatten()), "{file}");
        assert!(second.headers().contacts().flatten().eq(message.headers().contacts().flatten()), "{file}");
        assert_eq!(second.headers().from().ok(), message.headers().from().ok(), "{file}");
        assert_eq!(second.headers().cseq().ok(), message.headers().cseq().ok(), "{file}");
        assert_eq!(second.body(), message.body(), "{file}");
    }
    assert!(canonical >= 35, "{canonical}");
}

#[test]
fn nothing_breaks_out_of_its_line() {
    let address: core::net::SocketAddr = "127.0.0.1:5060".parse().unwrap();
    let uri = SipUri::of_address(address);
    let plain = || {
        RequestBuilder::new(Method::OPTIONS, &uri)
            .via(&Via::new(Transport::UDP, address, "z9hG4bK1").unwrap())
            .from(&NameAddr::new(uri.clone()))
            .to(&NameAddr::new(uri.clone()))
            .call_id("1")
            .cseq(1)
    };
    assert!(plain().finish().is_ok());
    for evil in ["a\r\nVia: x", "a\nb", "a\rb", "a\0b", "\r\n", "a\u{7f}", "a\u{85}b"] {
        assert!(plain().header(Name::SUBJECT, evil).finish().is_err(), "{evil:?}");
        assert!(plain().header(Name::new(evil), "x").finish().is_err(), "{evil:?}");
        assert!(plain().call_id(evil).finish().is_err(), "{evil:?}");
        assert!(plain().body(evil, b"x").finish().is_err(), "{evil:?}");
        assert!(NameAddr::new(uri.clone()).with_display_name(evil).is_err(), "{evil:?}");
        assert!(NameAddr::new(uri.clone()).with_tag(evil).is_err(), "{evil:?}");
        assert!(NameAddr::new(uri.clone()).with_param("p", Some(evil)).is_err(), "{evil:?}");
        assert!(uri.clone().with_param(evil, None).is_err(), "{evil:?}");
        assert!(
            Method::new(evil).is_none()
                && Host::new(evil).is_none()
                && Uri::new(&format!("sip:{evil}")).is_none()
        );
        assert!(Via::new(Transport::UDP, address, &format!("z9hG4bK{evil}")).is_err(), "{evil:?}");
        // A user part takes anything, escaped.
        let user = uri.clone().with_user(evil).to_string();
        assert!(user.bytes().all(|b| b.is_ascii_graphic()), "{user}");
    }
    for evil in ["x;tag=2", "x,y", "x>", "x\"", "x y", "x<"] {
        assert!(NameAddr::new(uri.clone()).with_tag(evil).is_err(), "{evil:?}");
        assert!(NameAddr::new(uri.clone()).with_param("p", Some(evil)).is_err(), "{evil:?}");
    }
    // The builder alone says how long the body is, and of what type.
    for name in ["Content-Length", "l", "content-LENGTH", "c"] {
        assert!(plain().header(Name::new(name), "0").finish().is_err(), "{name}");
    }
    let quoted = NameAddr::new(uri.clone()).with_display_name("a\" <sip:evil@x>, \"\\").unwrap();
    assert_eq!(quoted.to_string(), "\"a\\\" <sip:evil@x>, \\\"\\\\\" <sip:127.0.0.1:5060>");
}

#[test]
fn a_response_echoes_what_identifies_the_request_and_notes_where_it_came_from() {
    let text = "INVITE sip:100@10.0.0.1 SIP/2.0\r\nv: SIP/2.0/UDP a.example;rport;branch=z9hG4bK1,\r\n SIP/2.0/TCP b.example;branch=z9hG4bK2\r\n\
        Record-Route: <sip:p@10.0.0.9;lr>\r\nf: \"A\r\n B\" <sip:a@c>;tag=1\r\nt: <sip:100@c>\r\ni: x@y\r\nCSeq: 0007 INVITE\r\nl: 0\r\n\r\n";
    let Ok(Message::Request(r)) = Message::parse(text.into()) else { panic!() };
    let bytes = ResponseBuilder::new(&r, Status::MOVED_TEMPORARILY, "10.0.0.7:9999".parse().unwrap())
        .to_tag("srv")
        .contact(&NameAddr::new(SipUri::of_user("3", "10.0.0.3:5064".parse().unwrap())).with_depth(1))
        .finish()
        .unwrap();
    assert_eq!(
        core::str::from_utf8(&bytes).unwrap(),
        "SIP/2.0 302 Moved Temporarily\r\n\
         Via: SIP/2.0/UDP a.example;rport=9999;branch=z9hG4bK1;received=10.0.0.7\r\n\
         Via: SIP/2.0/TCP b.example;branch=z9hG4bK2\r\n\
         Record-Route: <sip:p@10.0.0.9;lr>\r\n\
         From: \"A B\" <sip:a@c>;tag=1\r\n\
         To: <sip:100@c>;tag=srv\r\n\
         Call-ID: x@y\r\n\
         CSeq: 0007 INVITE\r\n\
         Contact: <sip:3@10.0.0.3:5064>;depth=1\r\n\
         Content-Length: 0\r\n\r\n"
    );
}

#[test]
fn the_answer_to_a_request_that_repeats_itself_does_not() {
    let bytes = std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions/sip_message/ninety-five-call-ids"),
    );
    let Ok(Message::Request(r)) = Message::parse(bytes.unwrap().into()) else { panic!() };
    let Err(refusal) = judge(&r, &ABLE) else { panic!("Call-ID may stand there only once") };
    let answer = refusal.response(&r, "192.0.2.1:5060".parse().unwrap(), &ABLE).unwrap().finish().unwrap();
    let Ok(Message::Response(answer)) = Message::parse(answer) else {
        panic!("we could not read it ourselves")
    };
    assert_eq!(answer.headers.get_all(Name::CALL_ID).collect::<Vec<_>>(), [b"x"]);
    assert_eq!(answer.headers.get_all(Name::VIA).count(), 1);
}
