//! What a document says: the RFC's own example, every element's range, and what is passed over.

use p2piptv::ids::NodeId;
use p2piptv::reload::configuration::{
    Configuration, Document, DocumentError, DocumentErrorKind as Kind, SelfSignedDigest,
};
use p2piptv::time::{Duration, UnixMillis};

const EXAMPLE: &str = include_str!("../data/configuration/rfc6940.relo");

/// The RFC's example with Node-IDs as long as its node-id-length says.
fn example() -> String {
    ["47112162e84c69ba", "6eba45d31a900c06", "6ebc45d31a900c06", "6ebc45d31a900ca6"]
        .iter()
        .fold(EXAMPLE.to_owned(), |text, id| text.replace(id, &id.repeat(2)))
}

fn node(id: &str) -> NodeId {
    NodeId::from_hex(&id.repeat(2)).unwrap()
}

/// A document with this content, and these attributes beside the name.
fn document(attributes: &str, content: &str) -> Result<Document, DocumentError> {
    let file = format!(
        "<overlay xmlns=\"urn:ietf:params:xml:ns:p2p:config-base\" \
         xmlns:chord=\"urn:ietf:params:xml:ns:p2p:config-chord\" xmlns:ext=\"urn:example:ext\">\
         <configuration instance-name=\"a.example\" {attributes}>{content}</configuration></overlay>"
    );
    Document::parse(file.as_bytes(), "a.example")
}

fn configuration(content: &str) -> Configuration {
    document("sequence='1'", content).unwrap().configuration().clone()
}

/// What is wrong, with which element.
fn wrong(content: &str) -> (Kind, &'static str) {
    let error = document("sequence='1'", content).unwrap_err();
    (error.kind, error.element)
}

#[test]
fn cf1_the_example_of_the_rfc_is_read_once_its_node_ids_have_the_length_that_it_states() {
    let short = Document::parse(EXAMPLE.as_bytes(), "overlay.example.org").unwrap_err();
    assert_eq!((short.kind, short.element), (Kind::InvalidValue, "configuration-signer"));
    assert_eq!(&EXAMPLE[short.offset..][..21], "<configuration-signer");

    let document = Document::parse(example().as_bytes(), "overlay.example.org").unwrap();
    let c = document.configuration();
    assert_eq!((c.instance_name.as_str(), c.sequence), ("overlay.example.org", 22));
    assert_eq!(c.expiration, Some(UnixMillis(1_034_233_200_000)));
    assert_eq!((c.topology_plugin.as_str(), c.node_id_length), ("CHORD-RELOAD", 16));
    assert_eq!(c.root_certs.iter().map(|der| der.len()).collect::<Vec<_>>(), [808, 9]);
    assert_eq!(c.enrollment_servers, ["https://example.org", "https://example.net"]);
    assert_eq!(c.self_signed_permitted, None);
    let bootstrap: Vec<String> = c.bootstrap_nodes.iter().map(ToString::to_string).collect();
    assert_eq!(bootstrap, ["192.0.0.1:6084", "192.0.2.2:6084", "[2001:db8::1]:6084"]);
    assert_eq!((c.turn_density, c.clients_permitted, c.no_ice), (20, false, false));
    assert_eq!((c.chord_update_interval, c.chord_ping_interval), (secs(400), secs(30)));
    assert!(c.chord_reactive);
    assert_eq!(c.shared_secret.as_deref(), Some("password"));
    assert_eq!((c.max_message_size, c.initial_ttl), (4000, 30));
    assert_eq!(c.overlay_reliability_timer, Duration::from_millis(3000));
    assert_eq!(c.overlay_link_protocols, ["TLS"]);
    assert_eq!(c.configuration_signers, [node("47112162e84c69ba")]);
    assert_eq!(c.kind_signers, [node("47112162e84c69ba"), node("6eba45d31a900c06")]);
    assert_eq!(c.bad_nodes, [node("6ebc45d31a900c06"), node("6ebc45d31a900ca6")]);
    assert_eq!(c.mandatory_extensions, ["urn:ietf:params:xml:ns:p2p:config-ext1"]);
    assert_eq!(c.kinds.len(), 2);
    assert!(document.signatures().is_empty(), "'This is not right!' is no SecurityBlock");
    assert_eq!(document.unsupported().map(|e| e.element), Some("mandatory-extension"));
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn cf1_the_configuration_with_my_name_is_picked_from_several() {
    let text = example();
    assert_eq!(Document::names(text.as_bytes()).unwrap(), ["overlay.example.org", "other.example.net"]);
    let other = Document::parse(text.as_bytes(), "other.example.net").unwrap_err();
    assert_eq!((other.kind, other.element), (Kind::Missing, "sequence"), "it is the other one that is read");
    let nobody = Document::parse(text.as_bytes(), "example.net").unwrap_err();
    assert_eq!(nobody.kind, Kind::WrongOverlay);
    let twice = text.replace("other.example.net", "overlay.example.org");
    let twice = Document::parse(twice.as_bytes(), "overlay.example.org").unwrap_err();
    assert_eq!((twice.kind, twice.element), (Kind::Repeated, "configuration"));
}

#[test]
fn cf1_what_is_not_well_formed_or_not_utf8_is_refused_where_it_goes_wrong() {
    let refused = |bytes: &[u8]| {
        let error = Document::parse(bytes, "a.example").unwrap_err();
        assert_eq!(error.kind, Kind::NotWellFormed, "{error}");
        error.offset
    };
    assert_eq!(refused(b"<overlay>\xff</overlay>"), 9);
    assert_eq!(refused("<overlay>\n ä</overlai>".as_bytes()), 13);
    refused(b"");
    refused(b"<overlay xmlns='urn:ietf:params:xml:ns:p2p:config-base'><chord:x/></overlay>");
    let utf16: Vec<u8> = "<overlay/>".encode_utf16().flat_map(u16::to_be_bytes).collect();
    refused(&utf16);
    assert_eq!(Document::parse(b"<overlay/>", "a.example").unwrap_err().kind, Kind::Missing, "no namespace");
}

#[test]
fn cf1_a_document_type_is_refused_before_it_could_expand_anything() {
    let file = "<!DOCTYPE overlay [<!ENTITY a 'aaaaaaaa'>]><overlay \
                xmlns='urn:ietf:params:xml:ns:p2p:config-base'><configuration instance-name='a.example' \
                sequence='1'><shared-secret>&a;</shared-secret></configuration></overlay>";
    assert_eq!(Document::parse(file.as_bytes(), "a.example").unwrap_err().kind, Kind::NotWellFormed);
}

#[test]
fn k8_a_file_that_would_take_more_than_linear_work_is_too_large() {
    let too_large = |file: String| Document::parse(file.as_bytes(), "a.example").unwrap_err().kind;
    let attributes: String = (0..5000).map(|n| format!(" a{n}=''")).collect();
    assert_eq!(too_large(format!("<overlay{attributes}/>")), Kind::TooLarge);
    let namespaces: String = (0..100).map(|n| format!(" xmlns:a{n}='urn:{n}'")).collect();
    assert_eq!(too_large(format!("<overlay{namespaces}/>")), Kind::TooLarge);
    assert_eq!(too_large(format!("<overlay>{}</overlay>", "<a/>".repeat(66_000))), Kind::TooLarge);
    assert_eq!(too_large(" ".repeat(Document::MAX_SIZE + 1)), Kind::TooLarge);
    // Depth is no danger.
    let deep = "<a>".repeat(30_000) + &"</a>".repeat(30_000);
    assert_eq!(too_large(format!("<overlay>{deep}</overlay>")), Kind::Missing);
}

#[test]
fn the_defaults_are_those_of_the_rfc() {
    let c = configuration("");
    assert_eq!(c, Configuration { sequence: 1, ..Configuration::new("a.example") });
    assert_eq!((c.topology_plugin.as_str(), c.node_id_length, c.turn_density), ("CHORD-RELOAD", 16, 1));
    assert_eq!((c.clients_permitted, c.no_ice, c.chord_reactive), (true, false, true));
    assert_eq!((c.chord_update_interval, c.chord_ping_interval), (secs(600), secs(3600)));
    assert_eq!((c.max_message_size, c.initial_ttl), (5000, 100));
    assert_eq!(c.overlay_reliability_timer, Duration::from_millis(3000));
    let node = &configuration("<bootstrap-node address='2001:db8::7'/>").bootstrap_nodes[0];
    assert_eq!(node.to_string(), "[2001:db8::7]:6084");
}

#[test]
fn every_number_has_its_range_and_an_error_names_its_element() {
    for (element, least, most) in [
        ("turn-density", "0", "255"),
        ("max-message-size", "1", "4294967295"),
        ("initial-ttl", "1", "255"),
        ("overlay-reliability-timer", "200", "4294967295"),
        ("chord:chord-update-interval", "1", "4294967295"),
        ("chord:chord-ping-interval", "1", "4294967295"),
    ] {
        let name = element.trim_start_matches("chord:");
        let of = |value: &str| format!("<{element}>{value}</{element}>");
        for good in [least, most, &format!(" \n{least}\t"), &format!("+00{most}")] {
            assert!(document("sequence='1'", &of(good)).is_ok(), "{element} {good}");
        }
        let below = least.parse::<i64>().unwrap() - 1;
        let above = most.parse::<u64>().unwrap() + 1;
        for bad in [below.to_string(), above.to_string(), "99999999999999999999".to_owned()] {
            let expected = if bad.starts_with('-') { wrong(&of(&bad)).0 } else { Kind::OutOfRange };
            assert_eq!(wrong(&of(&bad)), (expected, as_static(name)), "{bad}");
        }
        for bad in ["", "x", "1.5", "0x10", "1 2", "-", "--1", "１"] {
            assert_eq!(wrong(&of(bad)), (Kind::InvalidValue, as_static(name)), "{bad:?}");
        }
        assert_eq!(wrong(&(of(least) + &of(least))), (Kind::Repeated, as_static(name)));
    }
}

fn as_static(name: &str) -> &'static str {
    name.to_owned().leak()
}

#[test]
fn an_overlay_reliability_timer_of_199_ms_is_refused_and_200_is_not() {
    let of = |n: u32| format!("<overlay-reliability-timer>{n}</overlay-reliability-timer>");
    assert_eq!(wrong(&of(199)), (Kind::OutOfRange, "overlay-reliability-timer"));
    assert_eq!(configuration(&of(200)).overlay_reliability_timer, Duration::from_millis(200));
}

#[test]
fn cs1_a_sequence_is_between_0_and_65534_and_has_to_be_there() {
    for (attributes, expected) in [
        ("sequence='0'", Ok(0)),
        ("sequence='65534'", Ok(65_534)),
        ("sequence='65535'", Err((Kind::OutOfRange, "sequence"))),
        ("sequence='-1'", Err((Kind::OutOfRange, "sequence"))),
        ("sequence=''", Err((Kind::InvalidValue, "sequence"))),
        ("", Err((Kind::Missing, "sequence"))),
    ] {
        let read = document(attributes, "").map(|d| d.configuration().sequence);
        assert_eq!(read.map_err(|e| (e.kind, e.element)), expected, "{attributes}");
    }
}

#[test]
fn an_expiration_that_is_not_in_utc_is_refused() {
    let read = |time: &str| document(&format!("sequence='1' expiration='{time}'"), "");
    assert!(read("2030-01-01T00:00:00Z").is_ok());
    for bad in ["2030-01-01T00:00:00+01:00", "2030-01-01T00:00:00", "tomorrow", ""] {
        assert_eq!(read(bad).unwrap_err().element, "expiration", "{bad}");
    }
}

#[test]
fn booleans_have_two_spellings_each_and_no_third() {
    let read = |text: &str| configuration(&format!("<no-ice>{text}</no-ice>")).no_ice;
    assert!(read("true") && read(" 1 ") && !read("false") && !read("0"));
    for bad in ["TRUE", "yes", "", "2"] {
        assert_eq!(wrong(&format!("<no-ice>{bad}</no-ice>")), (Kind::InvalidValue, "no-ice"));
    }
}

#[test]
fn a_comment_inside_of_a_value_is_no_part_of_it_and_an_element_is_an_error() {
    assert_eq!(configuration("<initial-ttl>3<!-- no! -->0</initial-ttl>").initial_ttl, 30);
    assert_eq!(configuration("<initial-ttl><![CDATA[30]]></initial-ttl>").initial_ttl, 30);
    assert_eq!(wrong("<initial-ttl>3<b/>0</initial-ttl>"), (Kind::InvalidValue, "initial-ttl"));
}

#[test]
fn ce7_self_signed_certificates_need_a_digest_that_is_known() {
    let of = |digest: &str, permitted: &str| {
        format!("<self-signed-permitted {digest}>{permitted}</self-signed-permitted>")
    };
    let read = |digest, permitted| configuration(&of(digest, permitted)).self_signed_permitted;
    assert_eq!(read("digest='sha1'", "true"), Some(SelfSignedDigest::Sha1));
    assert_eq!(read("digest='sha256'", "1"), Some(SelfSignedDigest::Sha256));
    assert_eq!(read("digest='sha256'", "false"), None);
    assert_eq!(wrong(&of("", "true")), (Kind::Missing, "digest"));
    let unknown = document("sequence='1'", &of("digest='sha3'", "true")).unwrap();
    assert_eq!(unknown.unsupported().map(|e| e.element), Some("digest"));
    assert_eq!(document("sequence='1'", &of("digest='sha3'", "false")).unwrap().unsupported(), None);
}

#[test]
fn an_enrollment_server_is_an_https_url_as_text_or_in_a_url_element() {
    let read = |inside: &str| {
        configuration(&format!("<enrollment-server>{inside}</enrollment-server>")).enrollment_servers
    };
    assert_eq!(read(" https://example.org/enroll "), ["https://example.org/enroll"]);
    assert_eq!(read("<url>https://example.org</url>"), ["https://example.org"]);
    for bad in ["http://example.org", "https://", "example.org", ""] {
        let of = format!("<enrollment-server>{bad}</enrollment-server>");
        assert_eq!(wrong(&of), (Kind::InvalidValue, "enrollment-server"));
    }
}

#[test]
fn a_bootstrap_node_has_an_address_and_a_port_that_exist() {
    assert_eq!(wrong("<bootstrap-node port='1'/>"), (Kind::Missing, "address"));
    assert_eq!(wrong("<bootstrap-node address='example.org'/>"), (Kind::InvalidValue, "address"));
    assert_eq!(wrong("<bootstrap-node address='1.2.3.4' port='0'/>"), (Kind::OutOfRange, "port"));
    assert_eq!(wrong("<bootstrap-node address='1.2.3.4' port='65536'/>"), (Kind::OutOfRange, "port"));
}

#[test]
fn cf5_what_this_version_cannot_do_is_told_and_the_rest_is_read() {
    for (content, element) in [
        ("<topology-plugin>PASTRY</topology-plugin>", "topology-plugin"),
        ("<topology-plug-in>PASTRY</topology-plug-in>", "topology-plugin"),
        ("<node-id-length>20</node-id-length>", "node-id-length"),
        ("<mandatory-extension>urn:example:ext</mandatory-extension>", "mandatory-extension"),
    ] {
        let document = document("sequence='9'", content).unwrap();
        let unsupported = document.unsupported().unwrap();
        assert_eq!((unsupported.kind, unsupported.element), (Kind::Unsupported, element));
        assert_eq!(document.configuration().sequence, 9);
    }
    assert_eq!(wrong("<node-id-length>15</node-id-length>"), (Kind::OutOfRange, "node-id-length"));
    assert_eq!(wrong("<node-id-length>21</node-id-length>"), (Kind::OutOfRange, "node-id-length"));
    let long = format!("<bad-node>{}</bad-node><node-id-length>20</node-id-length>", "ab".repeat(20));
    assert!(document("sequence='1'", &long).is_ok(), "its Node-IDs have the length that it states");
}

#[test]
fn cf6_what_is_foreign_is_passed_over() {
    let foreign = "<ext:thing><initial-ttl>1</initial-ttl></ext:thing><ext:initial-ttl>x</ext:initial-ttl>\
                   <initial-ttl ext:a='b'>7</initial-ttl><chord:initial-ttl>8</chord:initial-ttl>";
    let document = document("sequence='1' ext:sequence='2'", foreign).unwrap();
    assert_eq!((document.configuration().sequence, document.configuration().initial_ttl), (1, 7));
    assert_eq!(document.unsupported(), None);
    let chord = "<mandatory-extension>urn:ietf:params:xml:ns:p2p:config-chord</mandatory-extension>";
    assert_eq!(configuration(chord).mandatory_extensions.len(), 1);
}

#[test]
fn what_is_written_is_what_is_read() {
    let c = Configuration {
        sequence: 65_534,
        expiration: Some(UnixMillis(1_900_000_000_123)),
        root_certs: vec![bytes::Bytes::from_static(b"\x30\x03\x01")],
        enrollment_servers: vec!["https://a.example/?a=1&b=<2>".to_owned()],
        self_signed_permitted: Some(SelfSignedDigest::Sha256),
        bootstrap_nodes: vec!["192.0.2.1:7".parse().unwrap(), "[2001:db8::1]:6084".parse().unwrap()],
        turn_density: 0,
        clients_permitted: false,
        no_ice: true,
        chord_update_interval: secs(60),
        chord_ping_interval: secs(61),
        chord_reactive: false,
        shared_secret: Some("a \"secret\" & more".to_owned()),
        max_message_size: 9000,
        initial_ttl: 30,
        overlay_reliability_timer: Duration::from_millis(200),
        overlay_link_protocols: vec!["TLS".to_owned(), "EXP-PROTOCOL".to_owned()],
        kind_signers: vec![NodeId([1; 16])],
        configuration_signers: vec![NodeId([2; 16]), NodeId([3; 16])],
        bad_nodes: vec![NodeId([4; 16])],
        mandatory_extensions: vec!["urn:ietf:params:xml:ns:p2p:config-chord".to_owned()],
        ..Configuration::new("a.example")
    };
    let document = c.to_document(&[]).unwrap();
    assert_eq!(document.configuration(), &c);
    let again = Document::parse(document.file(), "a.example").unwrap();
    assert_eq!(again, document);
}

#[test]
fn cf8_a_document_is_xml_in_utf_8_with_a_media_type_and_a_suffix_of_its_own() {
    assert_eq!((Document::MEDIA_TYPE, Document::EXTENSION), ("application/p2p-overlay+xml", "relo"));
    let named =
        Configuration { shared_secret: Some("grüße".to_owned()), ..Configuration::new("a.example") };
    let document = named.to_document(&[]).unwrap();
    let text = std::str::from_utf8(document.file()).unwrap();
    assert!(text.contains("grüße"), "not escaped, and not in another encoding");
    let declared = text.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>"));
    assert!(declared.is_none_or(|(declaration, _)| declaration.contains("UTF-8")), "{text}");
    let latin: Vec<u8> = text.chars().map(|c| c as u8).collect();
    assert!(Document::parse(&latin, "a.example").is_err());
}

#[test]
fn what_could_not_be_read_is_not_written() {
    let error = |change: fn(&mut Configuration)| {
        let mut c = Configuration::new("a.example");
        change(&mut c);
        let error = c.to_document(&[]).unwrap_err();
        (error.kind, error.element)
    };
    assert_eq!(error(|c| c.sequence = 65_535), (Kind::OutOfRange, "sequence"));
    assert_eq!(
        error(|c| c.overlay_reliability_timer = Duration::from_millis(199)),
        (Kind::OutOfRange, "overlay-reliability-timer")
    );
    assert_eq!(error(|c| c.shared_secret = Some(" blanks ".to_owned())).0, Kind::InvalidValue);
    assert_eq!(error(|c| c.shared_secret = Some("\u{1}".to_owned())).0, Kind::NotWellFormed);
    assert_eq!(error(|c| c.enrollment_servers = vec!["http://x".to_owned()]).1, "enrollment-server");
}
