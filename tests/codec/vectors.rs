//! Messages written down by hand from the text of the RFC.
//!
//! Overlay overlay.example.org, configuration sequence 22, TTL 100, transaction 0x0102030405060708; node A is 16 bytes
//! of 11, B of 22; the Resource-ID is that of alice@example.org.

use super::{both_ways, hex};
use bytes::Bytes;
use p2piptv::ids::{NodeId, ResourceId, overlay_hash};
use p2piptv::reload::codec::body::*;
use p2piptv::reload::codec::security::cert_hash;
use p2piptv::reload::codec::*;
use p2piptv::time::UnixMillis;

const A: NodeId = NodeId([0x11; 16]);
const B: NodeId = NodeId([0x22; 16]);
const STORAGE_TIME: UnixMillis = UnixMillis(1_700_000_000_000);
const ALICE: &str = "45a6b241a242c97f0492d382c390dfa3";

fn alice() -> ResourceId {
    ResourceId::of_name(b"alice@example.org")
}

fn node(n: u8) -> NodeId {
    NodeId([n; 16])
}

fn header(destination: Destination) -> ForwardingHeader {
    ForwardingHeader {
        configuration_sequence: 22,
        ..ForwardingHeader::new(overlay_hash("overlay.example.org"), 0x0102_0304_0506_0708, vec![destination])
    }
}

fn unsigned(header: ForwardingHeader, body: &Body) -> Message {
    let security = SecurityBlock { certificates: vec![], signature: Signature::none() };
    Message { header, contents: MessageContents::new(body).unwrap(), security }
}

const PING: &str = "
    d2454c4f 9aa32b8d 0016 0a 64 c0000000 0000004d 0102030405060708 00000000 0000 0012 0000
    0110 22222222222222222222222222222222
    0017 00000002 0000 00000000
    0000 0000 03 0000 0000";

fn ping() -> Message {
    unsigned(header(B.into()), &Body::PingReq(PingReq::default()))
}

const TURN_SERVER: &str = "0106c00002010d96";

const STORE: &str = "
    d2454c4f 9aa32b8d 0016 0a 64 c0000000 000000a9 0102030405060708 00000000 0012 0013 0000
    0110 11111111111111111111111111111111
    0211 10 45a6b241a242c97f0492d382c390dfa3
    0007 0000004b
      10 45a6b241a242c97f0492d382c390dfa3 00 00000035
        00000002 0000000000000000 00000025
          00000021 0000018bcfe56800 00000e10 01 00000009 01 0106c00002010d96 0000 03 0000 0000
    00000000
    0000 0000 03 0000 0000";

/// TurnServer { iteration 1, 192.0.2.1:3478 } as the value of a TURN-SERVICE.
fn turn_service() -> StoredData {
    StoredData {
        storage_time: STORAGE_TIME,
        lifetime: 3600,
        value: StoredDataValue::Single(DataValue::existing(hex(&format!("01{TURN_SERVER}")))),
        signature: Signature::none(),
    }
}

fn store() -> Message {
    let values = RawValues::encode_values(&[turn_service()]).unwrap();
    let kind_data = vec![StoreKindData { kind: KindId::TURN_SERVICE, generation_counter: 0, values }];
    let body = Body::StoreReq(StoreReq { resource: alice(), replica_number: 0, kind_data });
    unsigned(ForwardingHeader { via_list: vec![A.into()], ..header(alice().into()) }, &body)
}

/// Decodes and encodes a whole message and its body, and cuts it everywhere, with and without the length field set
/// right.
#[track_caller]
fn message_both_ways(text: &str, message: &Message) {
    let bytes = hex(text);
    assert_eq!(Message::decode(&bytes).as_ref(), Ok(message));
    assert_eq!(message.encode().as_ref(), Ok(&bytes));
    for n in 0..bytes.len() {
        assert!(Message::decode(&bytes.slice(..n)).is_err(), "{n} bytes are enough");
        let mut with_length = bytes[..n].to_vec();
        if let Some(length) = with_length.get_mut(16..20) {
            length.copy_from_slice(&(n as u32).to_be_bytes());
        }
        assert!(Message::decode(&with_length.into()).is_err(), "{n} bytes are enough");
    }
    let mut longer = [bytes.as_ref(), &[0]].concat();
    longer[16..20].copy_from_slice(&(bytes.len() as u32 + 1).to_be_bytes());
    assert!(Message::decode(&longer.into()).is_err(), "a byte too many is accepted");
    let (_, payload) = ForwardingHeader::decode(&bytes).unwrap();
    both_ways(&payload, &Payload { contents: message.contents.clone(), security: message.security.clone() });
}

/// A body under its code.
#[track_caller]
fn body_both_ways(code: MessageCode, text: &str, body: &Body) {
    let bytes = hex(text);
    assert_eq!(body.message_code(), code);
    assert_eq!(Body::decode(code, &bytes).as_ref(), Ok(body));
    assert_eq!(body.encode().as_ref(), Ok(&bytes));
    for n in 0..bytes.len() {
        assert!(Body::decode(code, &bytes.slice(..n)).is_err(), "{n} bytes are enough");
    }
    assert!(Body::decode(code, &[bytes.as_ref(), &[0]].concat().into()).is_err(), "a byte too many");
}

#[test]
fn v1_en1_a_framed_ping() {
    message_both_ways(PING, &ping());
    let frame = hex(&format!("80 00000000 00004d {PING}"));
    let decoded = Frame::Data { sequence: 0, message: hex(PING) };
    assert_eq!(Frame::decode(&frame), Ok(decoded.clone()));
    assert_eq!(decoded.encode(), Ok(frame));
    assert_eq!(ping().contents.body(), Ok(Body::PingReq(PingReq::default())));
}

#[test]
fn v2_a_store() {
    message_both_ways(STORE, &store());
    let Ok(Body::StoreReq(request)) = store().contents.body() else { panic!("not a Store") };
    assert_eq!(request.kind_data[0].values.decode_values(DataModel::Single), Ok(vec![turn_service()]));
    assert!(request.kind_data[0].values.decode_values(DataModel::Array).is_err());
    assert!(request.kind_data[0].values.decode_values(DataModel::Dictionary).is_err());
    let address = IpAddressPort::V4([192, 0, 2, 1].into(), 3478);
    both_ways(&hex(TURN_SERVER), &address);
}

#[test]
fn v3_dl1_a_mixed_destination_list() {
    let list = "0110 11111111111111111111111111111111 8123 0304 03aabbcc";
    let fixed = "d2454c4f 9aa32b8d 0016 0a 64 c0000000 00000040 0102030405060708 00000000 0000 001a 0000";
    let (header, payload) = ForwardingHeader::decode(&hex(&format!("{fixed} {list}"))).unwrap();
    let opaque = Destination::Opaque(hex("aabbcc"));
    assert_eq!(header.destination_list, [A.into(), Destination::Compressed(0x8123), opaque]);
    assert!(payload.is_empty());
    assert_eq!(header.encode(&payload), Ok(hex(&format!("{fixed} {list}"))));
}

#[test]
fn v4_fr3_the_ack_of_40_when_38_and_39_were_received() {
    let ack = Frame::Ack { ack_sequence: 40, received: 0b11 };
    assert_eq!(ack.encode(), Ok(hex("81 00000028 00000003")));
    assert_eq!(Frame::decode(&hex("81 00000028 00000003")), Ok(ack));
    for n in 0..9 {
        assert!(Frame::decode(&hex("81 00000028 00000003").slice(..n)).is_err());
    }
}

// The identity of the next three is the SHA-256 of the four bytes "CERT".
const IDENTITY: &str = "01 0022 04 20 fc3c8e63b513125abcbc527c9b18c1a1dad76f87d03b127609a89603d5d0c5c1";

fn identity() -> p2piptv::env::Signer {
    let hash = hex("fc3c8e63b513125abcbc527c9b18c1a1dad76f87d03b127609a89603d5d0c5c1");
    let identity = cert_hash(HashAlgorithm::SHA256, &hash).unwrap();
    both_ways(&hex(IDENTITY), &identity);
    identity
}

/// SHA-256: 40d0a977270e74689dbcbac1aee342198d02df6a0f24a0f4642ed9c32c4517b1.
#[test]
fn v5_sb6_what_the_signature_of_a_message_covers() {
    let Message { header, contents, .. } = ping();
    let input =
        message_signature_input(header.overlay, header.transaction_id, &contents, &identity()).unwrap();
    assert_eq!(input, hex(&format!("9aa32b8d 0102030405060708 0017 00000002 0000 00000000 {IDENTITY}")));
}

/// SHA-256: 2c9c7c61ee2e96d0884ede1f50bb48d0f7e35c661743d3ab551695fb953432eb.
#[test]
fn v5_what_the_signature_of_a_stored_value_covers() {
    let data = turn_service();
    let input =
        data_signature_input(&alice(), KindId(2), data.storage_time, &data.value, &identity()).unwrap();
    let expected = format!("{ALICE} 00000002 0000018bcfe56800 01 00000009 01{TURN_SERVER} {IDENTITY}");
    assert_eq!(input, hex(&expected));
}

/// SHA-256: b54c6bf9e9b651aef7847d6fd57a5b6e2d286b18b3ad5822ac8b2432324c9234.
#[test]
fn v5_dm3_the_signature_of_an_array_entry_covers_index_0_whatever_the_index() {
    let expected = hex(&format!("{ALICE} 00000003 0000018bcfe56800 00000000 01 00000003 666f6f {IDENTITY}"));
    for index in [0, 7, u32::MAX] {
        let value = StoredDataValue::Array { index, value: DataValue::existing(Bytes::from_static(b"foo")) };
        let input = data_signature_input(&alice(), KindId(3), STORAGE_TIME, &value, &identity());
        assert_eq!(input.as_ref(), Ok(&expected));
    }
}

#[test]
fn the_signature_of_a_dictionary_entry_covers_its_key_with_the_length() {
    let value = StoredDataValue::Dictionary {
        key: hex("6b6579"),
        value: DataValue::existing(Bytes::from_static(b"foo")),
    };
    let input = data_signature_input(&alice(), KindId(3), STORAGE_TIME, &value, &identity()).unwrap();
    let expected = format!("{ALICE} 00000003 0000018bcfe56800 0003 6b6579 01 00000003 666f6f {IDENTITY}");
    assert_eq!(input, hex(&expected));
}

/// SHA-256: 836afe02b110447aaff2c667b801bade1ce4d6a24aa311c00b926a1685ce5ab6.
#[test]
fn v5_sa1_the_hash_of_metadata_covers_the_value_with_its_length() {
    let foo = DataValue::existing(Bytes::from_static(b"foo"));
    assert_eq!(foo.hash_input(), Ok(hex("00000003 666f6f")));
}

#[test]
fn v7_ap1_app_attach_for_sip() {
    let candidate = IceCandidate {
        addr_port: IpAddressPort::V4([192, 0, 2, 1].into(), 6084),
        overlay_link: OverlayLinkType::DTLS_UDP_SR,
        foundation: Bytes::from_static(b"1"),
        priority: 0x1122_3344,
        candidate_type: CandidateType::Host,
        extensions: vec![],
    };
    let body = AppAttach {
        ufrag: Bytes::from_static(b"ufrg"),
        password: Bytes::from_static(b"pwd"),
        application: ApplicationId::SIP,
        role: AttachReqAns::PASSIVE,
        candidates: vec![candidate],
    };
    body_both_ways(
        MessageCode(0x1d),
        "04756672670370776413c4077061737369766500120106c000020117c401013111223344010000",
        &Body::AppAttachReq(body),
    );
}

#[test]
fn attach_with_a_reflexive_candidate() {
    let candidate = IceCandidate {
        addr_port: IpAddressPort::V4([198, 51, 100, 7].into(), 6084),
        overlay_link: OverlayLinkType::EXP_LINK,
        foundation: Bytes::new(),
        priority: 1,
        candidate_type: CandidateType::ServerReflexive(IpAddressPort::V6(
            "2001:db8::1".parse().unwrap(),
            5000,
        )),
        extensions: vec![IceExtension { name: Bytes::from_static(b"a"), value: Bytes::from_static(b"bc") }],
    };
    let body = AttachReqAns {
        ufrag: Bytes::new(),
        password: Bytes::new(),
        role: AttachReqAns::ACTIVE,
        candidates: vec![candidate],
        send_update: true,
    };
    body_both_ways(
        MessageCode(0x4),
        "00 00 06 616374697665 002c
         0106c633640717c4 05 00 00000001 02 021220010db80000000000000000000000011388
         0007 0001 61 0002 6263 01",
        &Body::AttachAns(body),
    );
}

#[test]
fn v8_probe_and_its_answer() {
    let types = [1, 2, 3].map(ProbeInformationType).to_vec();
    body_both_ways(MessageCode(1), "03010203", &Body::ProbeReq(ProbeReq { requested_info: types }));
    let probe_info = vec![
        ProbeInformation::ResponsibleSet(1_000_000_000),
        ProbeInformation::NumResources(2),
        ProbeInformation::Uptime(3),
        ProbeInformation::Unknown { information_type: ProbeInformationType(9), value: hex("aa") },
    ];
    body_both_ways(
        MessageCode(2),
        "0015 01043b9aca00 020400000002 030400000003 0901aa",
        &Body::ProbeAns(ProbeAns { probe_info }),
    );
}

#[test]
fn v10_join_and_its_answer() {
    body_both_ways(
        MessageCode(0xf),
        "010101010101010101010101010101010000",
        &Body::JoinReq(JoinReq { joining_peer_id: node(1), overlay_specific_data: Bytes::new() }),
    );
    body_both_ways(MessageCode(0x10), "0000", &Body::JoinAns(JoinAns::default()));
}

#[test]
fn leave_of_a_successor() {
    let data = ChordLeaveData::FromSuccessor(vec![node(2)]);
    both_ways(&hex("01 0010 02020202020202020202020202020202"), &data);
    both_ways(&hex("02 0000"), &ChordLeaveData::FromPredecessor(vec![]));
    let body = LeaveReq { leaving_peer_id: node(1), overlay_specific_data: data.encode().unwrap() };
    body_both_ways(
        MessageCode(0x11),
        "01010101010101010101010101010101 0013 01 0010 02020202020202020202020202020202",
        &Body::LeaveReq(body),
    );
    body_both_ways(MessageCode(0x12), "", &Body::LeaveAns(Empty));
}

#[test]
fn v13_updates_of_all_three_types() {
    let ready = ChordUpdate { uptime: 99, tables: ChordTables::PeerReady };
    body_both_ways(MessageCode(0x13), "0000006301", &Body::UpdateReq(ready));
    let (predecessors, successors, fingers) = (vec![node(1)], vec![node(2), node(3)], vec![]);
    let neighbors =
        ChordTables::Neighbors { predecessors: predecessors.clone(), successors: successors.clone() };
    let lists = "0010 01010101010101010101010101010101
                 0020 02020202020202020202020202020202 03030303030303030303030303030303";
    body_both_ways(
        MessageCode(0x13),
        &format!("00000063 02 {lists}"),
        &Body::UpdateReq(ChordUpdate { uptime: 99, tables: neighbors }),
    );
    let full = ChordTables::Full { predecessors, successors, fingers };
    body_both_ways(
        MessageCode(0x13),
        &format!("00000063 03 {lists} 0000"),
        &Body::UpdateReq(ChordUpdate { uptime: 99, tables: full }),
    );
    body_both_ways(MessageCode(0x14), "", &Body::UpdateAns(Empty));
}

#[test]
fn v14_route_query_and_its_answer() {
    let request =
        RouteQueryReq { send_update: true, destination: B.into(), overlay_specific_data: Bytes::new() };
    body_both_ways(
        MessageCode(0x15),
        "01 0110 22222222222222222222222222222222 0000",
        &Body::RouteQueryReq(request),
    );
    body_both_ways(
        MessageCode(0x16),
        "03030303030303030303030303030303",
        &Body::RouteQueryAns(ChordRouteQueryAns { next_peer: node(3) }),
    );
}

#[test]
fn v15_fe3_fetch_of_a_whole_dictionary() {
    let wildcard = Selection::Dictionary(vec![]);
    let specifier = StoredDataSpecifier::new(KindId::SIP_REGISTRATION, &wildcard).unwrap();
    assert_eq!(specifier.selection(DataModel::Dictionary), Ok(wildcard.clone()));
    body_both_ways(
        MessageCode(9),
        "1045a6b241a242c97f0492d382c390dfa3001000000001000000000000000000020000",
        &Body::FetchReq(FetchReq { resource: alice(), specifiers: vec![specifier.clone()] }),
    );
    let short = StoredDataSpecifier { model_specifier: Bytes::new(), ..specifier };
    assert_eq!(short.selection(DataModel::Dictionary), Ok(wildcard));
}

#[test]
fn fe7_ranges_of_indices_are_unsigned() {
    let range = Selection::Array(vec![ArrayRange { first: 0xf000_0000, last: 0xffff_ffff }]);
    let specifier = StoredDataSpecifier::new(KindId(3), &range).unwrap();
    assert_eq!(specifier.model_specifier, hex("0008 f0000000 ffffffff"));
    assert_eq!(specifier.selection(DataModel::Array), Ok(range));
}

#[test]
fn answers_to_store_fetch_stat_and_find() {
    let response =
        StoreKindResponse { kind: KindId(2), generation_counter: 1, replicas: vec![node(1), node(2)] };
    body_both_ways(
        MessageCode(8),
        "002e 00000002 0000000000000001 0020
         01010101010101010101010101010101 02020202020202020202020202020202",
        &Body::StoreAns(StoreAns { kind_responses: vec![response] }),
    );
    let values = RawValues::encode_values(&[turn_service()]).unwrap();
    let response = FetchKindResponse { kind: KindId(2), generation: 1, values };
    body_both_ways(
        MessageCode(0xa),
        "00000035 00000002 0000000000000001 00000025
         00000021 0000018bcfe56800 00000e10 01 00000009 01 0106c00002010d96 0000 03 0000 0000",
        &Body::FetchAns(FetchAns { kind_responses: vec![response] }),
    );
    let metadata = StoredMetaData {
        storage_time: STORAGE_TIME,
        lifetime: 3600,
        metadata: MetaDataValue::Array {
            index: 7,
            value: MetaData {
                exists: true,
                value_length: 3,
                hash_algorithm: HashAlgorithm::SHA256,
                hash_value: hex("836afe02"),
            },
        },
    };
    let values = RawValues::encode_metadata(core::slice::from_ref(&metadata)).unwrap();
    assert_eq!(values.decode_metadata(DataModel::Array), Ok(vec![metadata]));
    let response = StatKindResponse { kind: KindId(3), generation: 1, values };
    body_both_ways(
        MessageCode(0x1a),
        "0000002f 00000003 0000000000000001 0000001f
         0000001b 0000018bcfe56800 00000e10 00000007 01 00000003 04 04 836afe02",
        &Body::StatAns(StatAns { kind_responses: vec![response] }),
    );
    body_both_ways(
        MessageCode(0xd),
        "01 41 08 00000002 00000003",
        &Body::FindReq(FindReq {
            resource: ResourceId::new(hex("41")).unwrap(),
            kinds: vec![KindId(2), KindId(3)],
        }),
    );
    let found = FindKindData { kind: KindId(2), closest: alice() };
    body_both_ways(
        MessageCode(0xe),
        &format!("0015 00000002 10 {ALICE}"),
        &Body::FindAns(FindAns { results: vec![found] }),
    );
}

#[test]
fn v19_config_update_with_a_document_or_with_kinds() {
    let document = ConfigUpdateReq::Config(Bytes::from_static(b"<overlay/>"));
    body_both_ways(
        MessageCode(0x21),
        "010000000d00000a3c6f7665726c61792f3e",
        &Body::ConfigUpdateReq(document),
    );
    let kinds = ConfigUpdateReq::Kinds(vec![Bytes::from_static(b"<k/>"), Bytes::new()]);
    body_both_ways(MessageCode(0x21), "02 0000000b 000008 0004 3c6b2f3e 0000", &Body::ConfigUpdateReq(kinds));
    body_both_ways(MessageCode(0x22), "", &Body::ConfigUpdateAns(Empty));
}

#[test]
fn v20_mc3_the_error_that_lists_unknown_kinds() {
    let error = ErrorResponse::unknown_kinds(&[KindId(0xf000_0001)]).unwrap();
    assert_eq!(error.info(), Ok(ErrorInfo::UnknownKinds(vec![KindId(0xf000_0001)])));
    body_both_ways(MessageCode(0xffff), "000c 0005 04 f0000001", &Body::Error(error));
}

#[test]
fn mc3_the_error_that_tells_the_current_generation() {
    let current = StoreAns {
        kind_responses: vec![StoreKindResponse { kind: KindId(2), generation_counter: 9, replicas: vec![] }],
    };
    let error = ErrorResponse::generation_counter_too_low(&current).unwrap();
    assert_eq!(error.info(), Ok(ErrorInfo::StoreAns(current)));
    body_both_ways(MessageCode(0xffff), "0005 0010 000e 00000002 0000000000000009 0000", &Body::Error(error));
}

#[test]
fn v21_the_answer_to_a_ping() {
    let answer = PingAns { response_id: 7, time: STORAGE_TIME };
    body_both_ways(MessageCode(0x18), "00000000000000070000018bcfe56800", &Body::PingAns(answer));
}

#[test]
fn a_provider_record() {
    let record = ProviderRecord {
        role: ProviderRole::RELAYER,
        depth: 2,
        free_slots: 3,
        uptime_seconds: 99,
        sip_contact: "sip:r@192.0.2.1".into(),
        grant: None,
    };
    let bytes = hex("01 02 02 0003 00000063 0f 7369703a72403139322e302e322e31 0000");
    assert_eq!(record.encode(), Ok(bytes.clone()));
    assert_eq!(ProviderRecord::decode(&bytes), Ok(record.clone()));
    for n in 0..bytes.len() {
        assert!(ProviderRecord::decode(&bytes.slice(..n)).is_err());
    }
    let later = [bytes.as_ref(), b"what a later version adds"].concat();
    assert_eq!(ProviderRecord::decode(&later.into()), Ok(record));
}
