use super::*;
use crate::wire::DecodeErrorKind;
use alloc::string::ToString;
use alloc::vec;

const SELECTED: &[u8] = b"IPTV INFO : Selected Relayer";

fn names(body: &IptvBody) -> Vec<&str> {
    match &body.info {
        IptvInfo::FullCapacity(report) => report.children.iter().map(|c| &c.name[..]).collect(),
        _ => panic!("{body:?}"),
    }
}

#[test]
fn p12_the_body_of_table_2_is_28_bytes_without_a_line_end() {
    assert_eq!(SELECTED.len(), 28);
    let body = IptvBody { channel: None, info: IptvInfo::SelectedRelayer { register: true, grant: None } };
    for carrier in [Carrier::Datagram, Carrier::Stream] {
        assert_eq!(IptvBody::parse(SELECTED, carrier), Ok(body.clone()));
        assert_eq!(IptvBody::parse(b"IPTV INFO : Selected Relayer\n", carrier), Ok(body.clone()));
        assert_eq!(IptvBody::parse(b"IPTV INFO : Selected Relayer \r\n", carrier), Ok(body.clone()));
    }
    assert_eq!(body.to_bytes().unwrap(), "IPTV INFO : Selected Relayer\r\n");
}

#[test]
fn p16_the_body_of_table_3_with_each_of_its_true_lengths() {
    let between_lf = &b"IPTV INFO : Full capacity\nCHILD PEER : Peer1, Peer2"[..];
    let between_crlf = b"IPTV INFO : Full capacity\r\nCHILD PEER : Peer1, Peer2";
    let after_crlf = b"IPTV INFO : Full capacity\r\nCHILD PEER : Peer1, Peer2\r\n";
    assert_eq!((between_lf.len(), between_crlf.len(), after_crlf.len()), (51, 52, 54));
    for bytes in [between_lf, between_crlf, after_crlf] {
        assert_eq!(names(&IptvBody::parse(bytes, Carrier::Datagram).unwrap()), ["Peer1", "Peer2"]);
    }
    assert_eq!(names(&IptvBody::parse(after_crlf, Carrier::Stream).unwrap()), ["Peer1", "Peer2"]);
    assert_eq!(IptvBody::parse(after_crlf, Carrier::Stream).unwrap().to_bytes().unwrap(), &after_crlf[..]);
}

#[test]
fn p16_a_list_that_the_printed_length_of_50_cuts_is_refused_on_a_stream() {
    let cut = &b"IPTV INFO : Full capacity\r\nCHILD PEER : Peer1, Peer2\r\n"[..50];
    assert!(cut.ends_with(b"Peer1, Pee"));
    let e = IptvBody::parse(cut, Carrier::Stream).unwrap_err();
    assert_eq!((e.kind, e.field, e.offset), (DecodeErrorKind::Truncated, "CHILD PEER", 50));
}

#[test]
fn a_tree_position_is_these_bytes() {
    let uri = |text| crate::sip::msg::SipUri::new(text).unwrap();
    let body = IptvBody {
        channel: ChannelName::new("100"),
        info: IptvInfo::TreePosition(Position {
            depth: 2,
            path: [NodeId::from_u128(1), NodeId::from_u128(2)].into(),
            slot: Slot::Rescue,
            backups: [NameAddr::new(uri("sip:source@127.0.0.1:5060")).with_depth(0)].into(),
            elector: Elector::Parent,
        }),
    };
    let text = "IPTV INFO : Tree position\r\nCHANNEL : 100\r\nDEPTH : 2\r\n\
                PATH : 00000000000000000000000000000001, 00000000000000000000000000000002\r\n\
                SLOT : rescue\r\nBACKUP CONTACT : <sip:source@127.0.0.1:5060>;depth=0\r\n\
                ELECTOR : parent\r\n";
    assert_eq!(body.to_bytes().unwrap(), text);
    assert_eq!(IptvBody::parse(text.as_bytes(), Carrier::Stream), Ok(body));
}

#[test]
fn q9_a_subtree_is_these_bytes_and_names_no_more_than_its_limit() {
    let open = |n| -> Vec<_> {
        let uri = crate::sip::msg::SipUri::new("sip:3@127.0.0.1:5064").unwrap();
        (0..n).map(|_| NameAddr::new(uri.clone()).with_slots(2).with_depth(3)).collect()
    };
    let body = |n| IptvBody {
        channel: None,
        info: IptvInfo::Subtree(Subtree { peers: 17, free: 9, open: open(n) }),
    };
    let text = "IPTV INFO : Subtree\r\nPEERS BELOW : 17\r\nFREE BELOW : 9\r\n\
                OPEN CONTACT : <sip:3@127.0.0.1:5064>;slots=2;depth=3\r\n";
    assert_eq!(body(1).to_bytes().unwrap(), text);
    for n in [0, 1, MAX_OPEN] {
        assert_eq!(IptvBody::parse(&body(n).to_bytes().unwrap(), Carrier::Stream), Ok(body(n)));
    }
    assert_eq!(body(MAX_OPEN + 1).to_bytes().unwrap_err().field, "OPEN CONTACT");
    let many = ["<sip:3@127.0.0.1:5064>"; MAX_OPEN + 1].join(", ");
    let text = alloc::format!(
        "IPTV INFO : Subtree\r\nPEERS BELOW : 1\r\nFREE BELOW : 1\r\nOPEN CONTACT : {many}\r\n"
    );
    let e = IptvBody::parse(text.as_bytes(), Carrier::Stream).unwrap_err();
    assert_eq!((e.kind, e.field), (DecodeErrorKind::TooLong, "OPEN CONTACT"));
    let e = IptvBody::parse(b"IPTV INFO : Subtree\r\nPEERS BELOW : 1\r\n", Carrier::Stream).unwrap_err();
    assert_eq!((e.kind, e.field), (DecodeErrorKind::Truncated, "FREE BELOW"));
}

#[test]
fn q14_where_a_slot_is_free_is_told_to_who_yields_and_to_who_climbs() {
    let to = |n| -> Vec<_> {
        let uri = crate::sip::msg::SipUri::new("sip:3@127.0.0.1:5064").unwrap();
        (0..n).map(|_| NameAddr::new(uri.clone()).with_slots(2).with_depth(3)).collect()
    };
    for (word, info) in
        [("Yield", (|to| IptvInfo::Yield { to }) as fn(_) -> _), ("Climb", |to| IptvInfo::Climb { to })]
    {
        let body = |n| IptvBody { channel: None, info: info(to(n)) };
        let text = alloc::format!(
            "IPTV INFO : {word}\r\nBACKUP CONTACT : <sip:3@127.0.0.1:5064>;slots=2;depth=3\r\n"
        );
        assert_eq!(body(1).to_bytes().unwrap(), text);
        for n in [0, 1, MAX_BACKUPS] {
            assert_eq!(IptvBody::parse(&body(n).to_bytes().unwrap(), Carrier::Stream), Ok(body(n)));
        }
        assert_eq!(body(MAX_BACKUPS + 1).to_bytes().unwrap_err().field, "BACKUP CONTACT");
    }
}

#[test]
fn q4_a_grant_for_somebody_below_is_these_bytes() {
    let grant = |node| IptvBody { channel: None, info: IptvInfo::Grant { grant: "abc".into(), node } };
    let text = "IPTV INFO : Grant\r\nGRANT : YWJj\r\n";
    assert_eq!(grant(None).to_bytes().unwrap(), text);
    assert_eq!(IptvBody::parse(text.as_bytes(), Carrier::Stream), Ok(grant(None)));
    let text = [text, "NODE : 00000000000000000000000000000007\r\n"].concat();
    let below = grant(Some(NodeId::from_u128(7)));
    assert_eq!(below.to_bytes().unwrap(), text);
    assert_eq!(IptvBody::parse(text.as_bytes(), Carrier::Stream), Ok(below));
    let e = IptvBody::parse(text.replace("07", "0g").as_bytes(), Carrier::Stream).unwrap_err();
    assert_eq!((e.kind, e.field), (DecodeErrorKind::InvalidValue, "NODE"));
}

#[test]
fn q4_the_owners_word_for_the_end_is_these_bytes_and_may_be_missing() {
    let end = |proof| IptvBody { channel: None, info: IptvInfo::EndOfChannel { proof } };
    for (text, proof) in [
        ("IPTV INFO : End of channel\r\n", None),
        ("IPTV INFO : End of channel\r\nPROOF : YWJj\r\n", Some("abc".into())),
    ] {
        assert_eq!(end(proof.clone()).to_bytes().unwrap(), text);
        assert_eq!(IptvBody::parse(text.as_bytes(), Carrier::Stream), Ok(end(proof)));
    }
    assert!(end(Some(Bytes::from(vec![0; MAX_GRANT + 1]))).to_bytes().is_err());
    let e = IptvBody::parse(b"IPTV INFO : End of channel\r\nPROOF : -\r\n", Carrier::Stream).unwrap_err();
    assert_eq!((e.kind, e.field), (DecodeErrorKind::InvalidValue, "PROOF"));
}

#[test]
fn q19_contacts_go_with_the_names_in_their_order() {
    let text =
        b"CHILD CONTACT : \"a, b\" <sip:3@127.0.0.1:5064>;slots=2, <sip:4@127.0.0.1:5065>\r\nX : y\r\n\
                 free slots:0\r\nIPTV INFO:child update\r\nCHILD PEER : 3, 4\r\nno colon\r\n";
    let IptvInfo::ChildUpdate(report) = IptvBody::parse(text, Carrier::Stream).unwrap().info else {
        panic!()
    };
    assert_eq!(report.free_slots, Some(0));
    let told: Vec<_> =
        report.children.iter().map(|c| (&c.name[..], c.contact.as_ref().unwrap().slots())).collect();
    assert_eq!(told, [("3", Some(2)), ("4", None)]);
    let empty = IptvBody::parse(b"IPTV INFO : Child update\r\nCHILD PEER :\r\n", Carrier::Stream).unwrap();
    assert_eq!(empty.info, IptvInfo::ChildUpdate(Report::default()));
    assert_eq!(IptvBody::parse(&empty.to_bytes().unwrap(), Carrier::Stream), Ok(empty));
}

#[test]
fn broken_bodies_are_refused_by_the_name_of_the_line() {
    use DecodeErrorKind::*;
    let full = |rest: &str| alloc::format!("IPTV INFO : Full capacity\r\n{rest}\r\n");
    let many = |n: usize| full(&["CHILD PEER : ", &"a, ".repeat(n - 1), "a"].concat());
    assert_eq!(
        names(&IptvBody::parse(many(MAX_CHILDREN).as_bytes(), Carrier::Stream).unwrap()).len(),
        MAX_CHILDREN
    );
    let table = [
        (String::new(), "IPTV INFO", Truncated),
        ("CHANNEL : 1\r\n".to_string(), "IPTV INFO", Truncated),
        (full(""), "CHILD PEER", Truncated),
        (full("CHILD PEER : a,,b"), "CHILD PEER", InvalidValue),
        (full("CHILD PEER : a b"), "CHILD PEER", InvalidValue),
        (full("CHILD PEER : a\r\nCHILD PEER : b"), "CHILD PEER", InvalidValue),
        (full("CHILD PEER : a\r\nCHILD CONTACT : <sip:a@b>, <sip:c@d>"), "CHILD CONTACT", BadLength),
        (full("CHILD PEER : a\r\nCHILD CONTACT : <sip:a@b"), "CHILD CONTACT", InvalidValue),
        (full("CHILD PEER : a\r\nFREE SLOTS : -1"), "FREE SLOTS", InvalidValue),
        (full("CHILD PEER : a\r\nFREE SLOTS : 65536"), "FREE SLOTS", InvalidValue),
        (full("CHANNEL : a b"), "CHANNEL", InvalidValue),
        (full("CHILD\rPEER : a"), "line", InvalidValue),
        (many(MAX_CHILDREN + 1), "CHILD PEER", TooLong),
        (full(&"X\r\n".repeat(MAX_LINES)), "line", TooLong),
        ("IPTV INFO : Tree position\r\nDEPTH : 1\r\n".to_string(), "PATH", Truncated),
        ("IPTV INFO : Selected Relayer\r\nREGISTER : maybe\r\n".to_string(), "REGISTER", InvalidValue),
    ];
    for (text, field, kind) in table {
        let e = IptvBody::parse(text.as_bytes(), Carrier::Datagram).unwrap_err();
        assert_eq!((e.field, e.kind), (field, kind), "{text:?}");
    }
}

#[test]
fn words_of_a_later_version_survive() {
    let body = IptvBody::parse(b"IPTV INFO : Dance\r\n", Carrier::Stream).unwrap();
    assert_eq!(body.info, IptvInfo::Other("Dance".to_string()));
    assert_eq!(body.to_bytes().unwrap(), "IPTV INFO : Dance\r\n");
}

#[test]
fn what_would_read_back_as_something_else_is_not_written() {
    let refused = |info| IptvBody { channel: None, info }.to_bytes().unwrap_err().field;
    let child = |name: &str| Child { name: name.to_string(), contact: None };
    let report = |children: Vec<Child>| IptvInfo::FullCapacity(Report { children, free_slots: None });
    for name in ["", "a,b", "a b", "a\r\nb", "ä", &"a".repeat(65)] {
        assert_eq!(refused(report([child(name)].into())), "CHILD PEER", "{name:?}");
    }
    assert_eq!(refused(report(alloc::vec![child("a"); MAX_CHILDREN + 1])), "CHILD PEER");
    let contact = Some(NameAddr::new(crate::sip::msg::SipUri::new("sip:a@b").unwrap()));
    assert_eq!(refused(report([child("a"), Child { contact, ..child("b") }].into())), "CHILD CONTACT");
    for text in ["a\r\nCHANNEL : 5", " a", "alive"] {
        assert_eq!(refused(IptvInfo::Other(text.to_string())), "IPTV INFO", "{text:?}");
    }
    assert_eq!(refused(IptvInfo::RelayerDeclined { reason: Some("a\nb".to_string()) }), "REASON");
}
