//! Rules of RFC 6940 for the formats, one test each.

use super::{both_ways, hex};
use bytes::Bytes;
use p2piptv::ids::{NodeId, ResourceId};
use p2piptv::reload::codec::body::*;
use p2piptv::reload::codec::*;
use p2piptv::wire::{DecodeError, DecodeErrorKind};

const NODE: &str = "0110 22222222222222222222222222222222";

/// A header with these lists and no payload.
fn header_bytes(via: &str, destinations: &str, options: &str) -> Bytes {
    let lists = [via, destinations, options].map(hex);
    let total = 38 + lists.iter().map(Bytes::len).sum::<usize>();
    let lengths: String = lists.iter().map(|l| format!("{:04x}", l.len())).collect();
    let fixed =
        format!("d2454c4f 9aa32b8d 0016 0a 64 c0000000 {total:08x} 0102030405060708 00000000 {lengths}");
    [hex(&fixed), lists.concat().into()].concat().into()
}

fn decode_header(bytes: &Bytes) -> Result<ForwardingHeader, DecodeError> {
    ForwardingHeader::decode(bytes).map(|(header, _)| header)
}

/// The header with some of its bytes replaced.
fn patched(at: usize, bytes: &str) -> Result<ForwardingHeader, DecodeError> {
    let mut header = header_bytes("", NODE, "").to_vec();
    let patch = hex(bytes);
    header[at..at + patch.len()].copy_from_slice(&patch);
    decode_header(&header.into())
}

const fn error(kind: DecodeErrorKind, field: &'static str, offset: usize) -> DecodeError {
    DecodeError { kind, field, offset }
}

use DecodeErrorKind::{BadLength, InvalidValue, TooLong, TrailingBytes, Truncated};

#[test]
fn en2_a_list_counts_bytes() {
    let find = FindReq { resource: ResourceId::default(), kinds: vec![KindId(1), KindId(2), KindId(3)] };
    assert_eq!(find.encode().unwrap()[1], 12);
    assert!(FindReq::decode(&hex("00 05 00000001 00")).is_err(), "a length in the middle of an element");
}

#[test]
fn en3_a_boolean_is_0_or_1() {
    let with = |b: u8| RouteQueryReq::decode(&hex(&format!("{b:02x} 8123 0000")));
    assert!(!with(0).unwrap().send_update);
    assert!(with(1).unwrap().send_update);
    for b in 2..=255 {
        assert_eq!(with(b), Err(error(InvalidValue, "send_update", 0)));
    }
}

#[test]
fn en4_a_resource_id_carries_its_length() {
    let foo = ResourceId::new(Bytes::from_static(b"FOO")).unwrap();
    both_ways(&hex("03 464f4f"), &foo);
    let longest = [vec![254], vec![7; 254]].concat();
    assert!(ResourceId::decode(&longest.into()).is_ok());
    let too_long = [vec![255], vec![7; 255]].concat();
    assert_eq!(ResourceId::decode(&too_long.into()), Err(error(TooLong, "ResourceId", 0)));
}

#[test]
fn en5_a_node_destination_of_another_size_is_refused() {
    for n in [0, 15, 17, 20] {
        let bytes = [vec![1, n], vec![0x22; n.into()]].concat();
        assert_eq!(
            Destination::decode(&bytes.into()),
            Err(error(BadLength, "destination length", 1)),
            "{n} bytes"
        );
    }
}

#[test]
fn en6_addresses_carry_type_and_length() {
    both_ways(&hex("01 06 c0000201 17c4"), &IpAddressPort::V4([192, 0, 2, 1].into(), 6084));
    let v6 = IpAddressPort::V6("2001:db8::1".parse().unwrap(), 6084);
    both_ways(&hex("02 12 20010db8000000000000000000000001 17c4"), &v6);
    assert_eq!(IpAddressPort::from(v6.socket_addr().unwrap()), v6);
    let unknown = IpAddressPort::Unknown { address_type: 9, address: hex("aabb") };
    both_ways(&hex("09 02 aabb"), &unknown);
    assert_eq!(unknown.socket_addr(), None);
    let mismatch = Err(error(BadLength, "length", 1));
    assert_eq!(IpAddressPort::decode(&hex("02 06 c0000201 17c4")), mismatch);
    assert_eq!(IpAddressPort::decode(&hex("01 07 c0000201 17c4 00")), mismatch);
}

#[test]
fn en7_an_unknown_value_of_a_closed_select_is_refused() {
    let candidate =
        |t: u8| IceCandidate::decode(&hex(&format!("0106c000020117c4 01 00 00000001 {t:02x} 0000")));
    assert!(candidate(1).is_ok());
    for t in [0, 3, 5, 255] {
        assert_eq!(candidate(t), Err(error(InvalidValue, "CandType", 14)), "type {t}");
    }
    assert_eq!(ChordUpdate::decode(&hex("00000063 04")), Err(error(InvalidValue, "ChordUpdateType", 4)));
    assert_eq!(ChordLeaveData::decode(&hex("03 0000")), Err(error(InvalidValue, "ChordLeaveType", 0)));
}

#[test]
fn en8_left_over_bytes_inside_a_structure_are_refused() {
    // A StoredData whose length says one byte more than its fields fill.
    let values = "00000019 0000018bcfe56800 00000e10 01 00000000 0000 03 0000 0000 ff";
    let raw = RawValues(hex(values));
    assert_eq!(
        raw.decode_values(DataModel::Single),
        Err(error(TrailingBytes, "StoredData", raw.0.len() - 1))
    );
    // A resource entry whose outer length is longer than its inner one.
    assert_eq!(Destination::decode(&hex("02 03 01 41 42")), Err(error(TrailingBytes, "destination_data", 4)));
    // A config update whose content is shorter than its length.
    assert!(ConfigUpdateReq::decode(&hex("01 00000005 000001 41 42")).is_err());
}

#[test]
fn fh1_another_token_is_refused() {
    assert_eq!(patched(0, "d2454c4e"), Err(error(InvalidValue, "relo_token", 0)));
}

#[test]
fn fh4_another_version_is_refused() {
    assert!(patched(10, "0a").is_ok());
    for version in ["01", "0b"] {
        assert_eq!(patched(10, version), Err(error(InvalidValue, "version", 10)));
    }
}

#[test]
fn fh8_a_fragment_field_without_its_highest_bit_is_refused() {
    assert_eq!(patched(12, "40000000"), Err(error(InvalidValue, "fragment", 12)));
    assert_eq!(patched(12, "80000010").unwrap().fragment, Fragment { last: false, offset: 16 });
    let header = ForwardingHeader::new(0, 0, vec![]);
    assert_eq!(&header.encode(&[]).unwrap()[12..16], [0xc0, 0, 0, 0]);
}

#[test]
fn fh9_the_reserved_bits_of_the_fragment_field_are_ignored_and_sent_as_zero() {
    assert_eq!(patched(12, "ff000000").unwrap().fragment, Fragment::WHOLE);
    let wild = Fragment { last: false, offset: u32::MAX };
    let header = ForwardingHeader { fragment: wild, ..ForwardingHeader::new(0, 0, vec![]) };
    assert_eq!(&header.encode(&[]).unwrap()[12..16], [0x80, 0xff, 0xff, 0xff]);
}

#[test]
fn fh10_a_length_that_is_not_that_of_the_message_is_refused() {
    let bytes = header_bytes("", NODE, "");
    assert!(decode_header(&bytes).is_ok());
    for length in ["00000000", "00000037", "00000039", "ffffffff"] {
        assert_eq!(patched(16, length), Err(error(BadLength, "length", 16)));
    }
    let longer = [bytes.as_ref(), &[0]].concat();
    assert_eq!(decode_header(&longer.into()), Err(error(BadLength, "length", 16)));
}

#[test]
fn fh13_three_lists_stand_behind_their_three_lengths() {
    let bytes = header_bytes("8123", &format!("{NODE} 0201 00"), "01 07 0001 aa 80 00 0000");
    let header = decode_header(&bytes).unwrap();
    assert_eq!(header.via_list, [Destination::Compressed(0x8123)]);
    assert_eq!(
        header.destination_list,
        [NodeId([0x22; 16]).into(), Destination::Resource(ResourceId::default())]
    );
    assert_eq!(header.options.len(), 2);
    assert_eq!(header.encode(&[]), Ok(bytes));
}

#[test]
fn fh13_a_list_that_overflows_its_length_cannot_be_sent() {
    let via_list = vec![Destination::Node(NodeId([1; 16])); 4000];
    let header = ForwardingHeader { via_list, ..ForwardingHeader::new(0, 0, vec![]) };
    assert_eq!(header.encode(&[]).unwrap_err().field, "via_list");
}

#[test]
fn rx2_transit_rewrites_the_lists_and_shares_the_payload() {
    let mut bytes = header_bytes("", NODE, "").to_vec();
    bytes.extend_from_slice(b"not even a body");
    let length = bytes.len() as u32;
    bytes[16..20].copy_from_slice(&length.to_be_bytes());
    let bytes = Bytes::from(bytes);
    let (mut header, payload) = ForwardingHeader::decode(&bytes).unwrap();
    assert_eq!(payload.as_ptr(), bytes[56..].as_ptr());
    header.ttl -= 1;
    header.via_list.push(NodeId([0x11; 16]).into());
    let forwarded = header.encode(&payload).unwrap();
    assert_eq!(forwarded.len(), bytes.len() + 18);
    assert_eq!(ForwardingHeader::decode(&forwarded), Ok((header, payload)));
}

#[test]
fn dl2_both_forms_of_an_opaque_id_mean_the_same() {
    let short = Destination::decode(&hex("8123")).unwrap();
    let long = Destination::decode(&hex("03 03 02 8123")).unwrap();
    assert_ne!(short, long, "each is sent on as it came");
    assert_eq!(short.opaque_id(), Some(hex("8123")));
    assert_eq!(short.opaque_id(), long.opaque_id());
    assert_eq!(Destination::from(NodeId([1; 16])).opaque_id(), None);
}

#[test]
fn dl3_unknown_destination_types_are_kept() {
    let header = decode_header(&header_bytes("04 00 7f 02 aabb", NODE, "")).unwrap();
    assert_eq!(header.via_list[1], Destination::Unknown { destination_type: 127, data: hex("aabb") });
    assert_eq!(header.encode(&[]), Ok(header_bytes("04 00 7f 02 aabb", NODE, "")));
    assert_eq!(Destination::decode(&hex("00 00")), Err(error(InvalidValue, "destination type", 0)));
}

#[test]
fn dl4_a_resource_stands_last_in_a_destination_list_and_nowhere_else() {
    let resource = "02 02 01 41";
    assert!(decode_header(&header_bytes("", &format!("{NODE} {resource}"), "")).is_ok());
    let misplaced = |offset| Err(error(InvalidValue, "destination type", offset));
    assert_eq!(decode_header(&header_bytes("", &format!("{resource} {NODE}"), "")), misplaced(38));
    assert_eq!(decode_header(&header_bytes(resource, NODE, "")), misplaced(38));
    assert_eq!(decode_header(&header_bytes(&format!("8123 {resource}"), NODE, "")), misplaced(40));
}

#[test]
fn fo4_an_answer_copies_what_asks_for_it_with_the_flags_cleared() {
    let option = |flags| ForwardingOption { option_type: OptionType(200), flags, value: hex("aabb") };
    assert_eq!(option(0xff).response_copy(), Some(option(0xf8)));
    assert_eq!(option(ForwardingOption::RESPONSE_COPY).response_copy(), Some(option(0)));
    assert_eq!(option(0xfb).response_copy(), None);
}

#[test]
fn fo5_an_option_without_a_value_survives() {
    let option = ForwardingOption { option_type: OptionType(200), flags: 0x0a, value: Bytes::new() };
    both_ways(&hex("c8 0a 0000"), &option);
}

#[test]
fn ap4_applications_are_ports_and_the_last_of_them_private() {
    assert_eq!((ApplicationId::SIP.0, ApplicationId::SIPS.0), (5060, 5061));
    let private = |n| ApplicationId(n).is_private();
    assert_eq!([5060, 61_440, 61_441, 65_534, 65_535].map(private), [false, false, true, true, false]);
}

#[test]
fn mc1_answers_have_the_code_behind_their_request() {
    let pairs = [
        (MessageCode::PROBE_REQ, MessageCode::PROBE_ANS),
        (MessageCode::STORE_REQ, MessageCode::STORE_ANS),
        (MessageCode::CONFIG_UPDATE_REQ, MessageCode::CONFIG_UPDATE_ANS),
        (MessageCode(0x101), MessageCode(0x102)),
    ];
    for (request, answer) in pairs {
        assert_eq!(request.answer(), answer);
        assert!(request.is_request());
        assert!(!answer.is_request());
    }
    assert!(!MessageCode::ERROR.is_request());
    assert!(!MessageCode(0x8001).is_request(), "reserved");
}

#[test]
fn mc3_other_errors_carry_text() {
    let error = ErrorResponse::text(ErrorCode::INVALID_MESSAGE, "no such code");
    both_ways(&hex("0014 000c 6e6f 2073 7563 6820 636f 6465"), &error);
    assert_eq!(error.info(), Ok(ErrorInfo::Text(Bytes::from_static(b"no such code"))));
}

#[test]
fn mc3_sixty_four_unknown_kinds_do_not_fit() {
    assert!(ErrorResponse::unknown_kinds(&[KindId(1); 63]).is_ok());
    assert_eq!(ErrorResponse::unknown_kinds(&[KindId(1); 64]).unwrap_err().field, "unknown_kinds");
}

#[test]
fn mc3_a_structured_error_info_that_is_none_is_refused() {
    let odd = ErrorResponse { error_code: ErrorCode::UNKNOWN_KIND, error_info: hex("03 000001") };
    assert!(odd.info().is_err());
    let empty = ErrorResponse { error_code: ErrorCode::GENERATION_COUNTER_TOO_LOW, error_info: Bytes::new() };
    assert!(empty.info().is_err());
}

#[test]
fn mc4_extensions_keep_their_order_and_the_first_critical_one_is_found() {
    let bytes = hex("0017 00000002 0000 00000018 8001 00 00000001 aa 8002 01 00000000 0003 01 00000002 bbcc");
    // 8 + 7 + 9 bytes of extensions.
    let contents = MessageContents::decode(&bytes).unwrap();
    let types: Vec<u16> = contents.extensions.iter().map(|e| e.extension_type.0).collect();
    assert_eq!(types, [0x8001, 0x8002, 3]);
    assert_eq!(contents.critical_extension(), Some(ExtensionType(0x8002)));
    both_ways(&bytes, &contents);
    let mut harmless = contents;
    harmless.extensions.truncate(1);
    assert_eq!(harmless.critical_extension(), None);
}

#[test]
fn a_method_without_a_reader_keeps_its_body() {
    let contents = MessageContents {
        message_code: MessageCode(0x7f01),
        message_body: hex("00ff00"),
        extensions: vec![],
    };
    let body = Body::Unknown { message_code: MessageCode(0x7f01), message_body: hex("00ff00") };
    assert_eq!(contents.body(), Ok(body.clone()));
    assert_eq!(MessageContents::new(&body), Ok(contents));
}

#[test]
fn sb2_the_known_identities_are_checked_and_unknown_ones_pass() {
    let read = |text: &str| Signature::decode(&hex(&format!("0401 {text} 0000")));
    let identity = read("01 0004 04 02 aabb").unwrap().identity;
    let hash = security::certificate_hash(&identity);
    assert_eq!(hash, Some((HashAlgorithm::SHA256, hex("aabb"))));
    assert_eq!(security::cert_hash(HashAlgorithm::SHA256, &hex("aabb")), Ok(identity));
    for bad in ["01 0000", "01 0004 04 03 aabb", "02 0004 04 01 aabb", "03 0001 aa"] {
        assert!(read(bad).is_err(), "{bad}");
    }
    let unknown = read("09 0002 aabb").unwrap();
    assert_eq!((unknown.identity.identity_type, &unknown.identity.value), (9, &hex("aabb")));
    assert_eq!(security::certificate_hash(&unknown.identity), None);
}

#[test]
fn st1_the_length_of_stored_data_does_not_count_itself() {
    let empty = StoredData::synthetic(0);
    let values = RawValues::encode_values(&[empty]).unwrap();
    assert_eq!(values.0.len(), 4 + 0x1c);
    assert_eq!(&values.0[..4], [0, 0, 0, 0x1c]);
}

#[test]
fn dm1_dm2_dm4_one_value_in_each_data_model() {
    let value = || DataValue::existing(Bytes::from_static(b"X"));
    let tail = "01 00000001 58 0000 03 0000 0000";
    let cases = [
        (StoredDataValue::Single(value()), "00000019", ""),
        (StoredDataValue::Array { index: u32::MAX, value: value() }, "0000001d", "ffffffff"),
        (StoredDataValue::Dictionary { key: hex("00ff"), value: value() }, "0000001d", "0002 00ff"),
    ];
    for (value, length, place) in cases {
        let model = value.model();
        let data = StoredData {
            storage_time: p2piptv::time::UnixMillis(1),
            lifetime: 2,
            value,
            signature: Signature::none(),
        };
        let bytes = hex(&format!("{length} 0000000000000001 00000002 {place} {tail}"));
        let raw = RawValues::encode_values(core::slice::from_ref(&data)).unwrap();
        assert_eq!(raw.0, bytes);
        assert_eq!(raw.decode_values(model), Ok(vec![data]));
        for n in 1..bytes.len() {
            assert!(RawValues(bytes.slice(..n)).decode_values(model).is_err());
        }
    }
}

#[test]
fn dm5_what_fills_a_gap_is_unsigned_and_does_not_exist() {
    let gap = StoredData::synthetic(3);
    assert!(gap.signature.is_none());
    assert!(!gap.value.value().exists);
    assert_eq!(
        RawValues::encode_values(&[gap]).unwrap().0,
        hex("0000001c 0000000000000000 00000000 00000003 00 00000000 0000 03 0000 0000")
    );
}

#[test]
fn a_provider_that_could_break_a_sip_header_is_refused() {
    let with = |contact: &str| {
        let bytes = [
            hex("01 01 00 0000 00000000"),
            vec![contact.len() as u8].into(),
            Bytes::copy_from_slice(contact.as_bytes()),
            hex("0000"),
        ];
        ProviderRecord::decode(&bytes.concat().into())
    };
    assert!(with("sip:a@b").is_ok());
    for bad in ["sip:a@b\r\nVia: x", "sip:a b", "sip:ä", "\0"] {
        assert_eq!(with(bad), Err(error(InvalidValue, "sip_contact", 9)), "{bad:?}");
    }
    assert_eq!(
        ProviderRecord::decode(&hex("02 01 00 0000 00000000 00")),
        Err(error(InvalidValue, "version", 0))
    );
}

#[test]
fn fr5_a_stream_gives_frames_as_soon_as_they_are_complete() {
    let data = Frame::Data { sequence: 7, message: hex("aabbcc") };
    let ack = Frame::Ack { ack_sequence: 7, received: 0 };
    let stream: Bytes = [data.encode().unwrap(), ack.encode().unwrap()].concat().into();
    for n in 0..stream.len() {
        let expected = (n >= 11).then(|| (data.clone(), 11));
        assert_eq!(Frame::decode_stream(&stream.slice(..n), 3), Ok(expected), "{n} bytes");
    }
    assert_eq!(Frame::decode_stream(&stream.slice(11..), 3), Ok(Some((ack, 9))));
}

#[test]
fn fr5_a_message_that_is_too_long_is_refused_before_it_arrives() {
    let head = hex("80 00000000 001389");
    assert_eq!(Frame::decode_stream(&head, 5001), Ok(None));
    assert_eq!(Frame::decode_stream(&head, 5000), Err(error(TooLong, "message", 5)));
}

#[test]
fn what_is_no_frame_is_refused() {
    assert_eq!(Frame::decode(&hex("16 00")), Err(error(InvalidValue, "FramedMessageType", 0)));
    assert!(Frame::decode_stream(&hex("16"), 5000).is_err());
    assert!(Frame::decode(&hex("81 00000000 00000000 00")).is_err(), "one datagram, one frame");
}

#[test]
fn errors_count_their_offset_from_the_start_of_the_message() {
    // The body's length says more than there is.
    let mut bytes = header_bytes("", NODE, "").to_vec();
    bytes.extend_from_slice(&hex("0017 000000ff 0000"));
    let length = bytes.len() as u32;
    bytes[16..20].copy_from_slice(&length.to_be_bytes());
    assert_eq!(Message::decode(&bytes.into()), Err(error(Truncated, "message_body", 62)));
}

#[test]
fn a_fragment_is_no_message() {
    let mut bytes = header_bytes("", NODE, "").to_vec();
    bytes[12] = 0x80;
    assert_eq!(Message::decode(&bytes.into()), Err(error(InvalidValue, "fragment", 12)));
}

#[test]
fn k8_decoding_takes_at_most_a_fixed_multiple_of_the_input() {
    // The smallest elements there are, as many as fit: compressed ids, keys, descriptions of Kinds.
    let ids = [0x81].repeat(0xfffe);
    let mut header = header_bytes("", "", "").to_vec();
    header[32..34].copy_from_slice(&[0xff, 0xfe]);
    header[16..20].copy_from_slice(&(38 + 0xfffe_u32).to_be_bytes());
    let message = Bytes::from([header, ids].concat());
    let keys = StoredDataSpecifier {
        kind: KindId(1),
        generation: 0,
        model_specifier: [vec![0xff, 0xfc], vec![0; 0xfffc]].concat().into(),
    };
    let kinds: Bytes = [hex("02 0000ffff 00fffc"), vec![0; 0xfffc].into()].concat().into();
    let measured = [
        allocation_counter::measure(|| assert_eq!(decode_header(&message).unwrap().via_list.len(), 0x7fff)),
        allocation_counter::measure(|| assert!(keys.selection(DataModel::Dictionary).is_ok())),
        allocation_counter::measure(|| assert!(ConfigUpdateReq::decode(&kinds).is_ok())),
    ];
    for info in measured {
        assert!(info.bytes_max <= 64 * 0x1_0000, "{} bytes for 65536", info.bytes_max);
    }
}
