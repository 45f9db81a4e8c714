use super::*;
use crate::ids::bytes_from_hex;
use crate::wire::DecodeErrorKind;
use alloc::vec::Vec;
use bytes::Bytes;

fn hex(text: &str) -> Bytes {
    bytes_from_hex(text).unwrap().into()
}

/// SR with one block, SDES with a CNAME and a NAME, BYE with a reason, APP with padding.
fn golden() -> Bytes {
    hex("81c8000c 00000001 aaaaaaaabbbbbbbb 00000002 00000003 00000004
           00000005 40fffffe 00010007 00000008 00000009 0000000a
         81ca0004 00000001 0103 612f62 0201 6e 00000000
         82cb0003 00000001 0000000b 03 627965
         a4cc0004 0000000c 54455354 01020304 00000004")
}

const BLOCK: ReportBlock = ReportBlock {
    ssrc: 5,
    fraction_lost: 64,
    cumulative_lost: -2,
    highest: 0x1_0007,
    jitter: 8,
    last_sr: 9,
    delay_since_last_sr: 10,
};

#[test]
fn every_packet_of_a_compound_is_read() {
    let datagram = golden();
    let packets = parse(&datagram).unwrap();
    let [sr, sdes, bye, app] = packets.as_slice() else { panic!("{packets:?}") };

    let Packet::SenderReport { ssrc: 1, info, blocks } = sr else { panic!("{sr:?}") };
    let expected = SenderInfo { ntp: 0xaaaa_aaaa_bbbb_bbbb, rtp_timestamp: 2, packets: 3, octets: 4 };
    assert_eq!(*info, expected);
    assert_eq!(blocks.iter().collect::<Vec<_>>(), [BLOCK]);

    let Packet::SourceDescription(sdes) = sdes else { panic!("{sdes:?}") };
    assert_eq!(sdes.cnames().collect::<Vec<_>>(), [(1, &b"a/b"[..])]);

    let Packet::Goodbye(sources) = bye else { panic!("{bye:?}") };
    assert_eq!(sources.iter().collect::<Vec<_>>(), [1, 11]);

    let expected = Application { subtype: 4, ssrc: 12, name: *b"TEST", data: &[1, 2, 3, 4] };
    assert_eq!(*app, Packet::Application(expected));
}

#[test]
fn a_notice_is_written_as_a_compound_packet() {
    for (hold, head) in [(Hold::Starved, "80cc"), (Hold::Paused, "81cc"), (Hold::Sourceless, "85cc")] {
        let notice = Notice { hold, ssrc: 0xfeed, highest: 0x1_0002 };
        let datagram = Composer::receiver_report(7, &[BLOCK]).cname("n@h").notice(notice).finish();
        let expected = hex(&alloc::format!(
            "81c90007 00000007 00000005 40fffffe 00010007 00000008 00000009 0000000a
             81ca0003 00000007 0103 6e4068 000000
             {head}0003 0000feed 49505456 00010002"
        ));
        assert_eq!(datagram, expected);
        let packets = parse(&datagram).unwrap();
        let [Packet::ReceiverReport { ssrc: 7, .. }, Packet::SourceDescription(_), Packet::Application(app)] =
            packets.as_slice()
        else {
            panic!("{packets:?}")
        };
        assert_eq!(Notice::from_application(app), Some(notice));
    }
}

#[test]
fn a_cue_is_written_as_a_compound_packet() {
    for (cover, head) in [(Cover::Resume, "82cc"), (Cover::Denied, "83cc"), (Cover::Release, "84cc")] {
        let cue = Cue { cover, ssrc: 0xfeed, highest: 0x1_0002 };
        let datagram = Composer::receiver_report(7, &[]).cname("n@h").cue(cue).finish();
        let expected = hex(&alloc::format!(
            "80c90001 00000007
             81ca0003 00000007 0103 6e4068 000000
             {head}0003 0000feed 49505456 00010002"
        ));
        assert_eq!(datagram, expected);
        let packets = parse(&datagram).unwrap();
        let Some(Packet::Application(app)) = packets.last() else { panic!("{packets:?}") };
        assert_eq!((Cue::from_application(app), Notice::from_application(app)), (Some(cue), None));
        assert_eq!(Cue::from_application(&Application { name: *b"iptv", ..*app }), None);
        assert_eq!(Cue::from_application(&Application { subtype: 6, ..*app }), None);
        assert_eq!(Cue::from_application(&Application { data: &[0, 0, 0], ..*app }), None);
    }
}

#[test]
fn rfc4585_6_2_1_a_generic_nack_names_a_packet_and_those_of_the_16_after_it() {
    let lost = [0xfffe, 0xffff, 1, 14, 15, 16, 500];
    let datagram = Composer::receiver_report(7, &[]).nack(0xfeed, lost).finish();
    let expected = hex("80c90001 00000007
         81cd0005 00000007 0000feed fffe8005 000f0001 01f40000");
    assert_eq!(datagram, expected);
    let packets = parse(&datagram).unwrap();
    let Some(&Packet::Nack { ssrc: 7, media: 0xfeed, losses }) = packets.last() else {
        panic!("{packets:?}")
    };
    assert_eq!(losses.iter().collect::<Vec<_>>(), lost);
    // Another format of feedback is none, and neither is one without its two sources.
    let other = parse(&hex("80c90001 00000007 8fcd0003 00000007 0000feed 00000001")).map(|p| p.len());
    assert_eq!(other, Ok(2));
    assert!(parse(&hex("80c90001 00000007 81cd0001 00000007")).is_err());
}

#[test]
fn a_nack_has_no_more_entries_than_its_limit() {
    let datagram = Composer::receiver_report(7, &[]).nack(1, (0..200).map(|n| n * 17)).finish();
    let packets = parse(&datagram).unwrap();
    let Some(Packet::Nack { losses, .. }) = packets.last() else { panic!("{packets:?}") };
    let expected: Vec<u16> = (0..MAX_NACK_ENTRIES as u16).map(|n| n * 17).collect();
    assert_eq!(losses.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn any_losses_are_read_as_they_were_written() {
    fn law(first: u16, steps: Vec<u8>) -> bool {
        let step = |n: &mut u16, step: &u8| {
            *n = n.wrapping_add(u16::from(*step) + 1);
            Some(*n)
        };
        let lost: Vec<u16> = steps.iter().take(MAX_NACK_ENTRIES).scan(first, step).collect();
        let datagram = Composer::receiver_report(7, &[]).nack(1, lost.iter().copied()).finish();
        let packets = parse(&datagram).unwrap();
        matches!(packets.last(), Some(Packet::Nack { losses, .. }) if losses.iter().eq(lost))
    }
    quickcheck::QuickCheck::new().tests(500).quickcheck(law as fn(u16, Vec<u8>) -> bool);
}

#[test]
fn a_notice_of_another_name_subtype_or_length_is_none() {
    let app = Application { subtype: 0, ssrc: 1, name: *b"IPTV", data: &[0, 0, 0, 9, 1, 1, 1, 1] };
    let held = Notice { hold: Hold::Starved, ssrc: 1, highest: 9 };
    assert_eq!(Notice::from_application(&app), Some(held));
    assert_eq!(Notice::from_application(&Application { name: *b"iptv", ..app }), None);
    assert_eq!(Notice::from_application(&Application { subtype: 2, ..app }), None);
    assert_eq!(Notice::from_application(&Application { data: &[0, 0, 0], ..app }), None);
}

#[test]
fn a_canonical_name_ends_with_at_least_one_zero_at_a_word_boundary() {
    for len in 0..=300 {
        let name = "x".repeat(len);
        let datagram = Composer::receiver_report(1, &[]).cname(&name).goodbye().finish();
        let packets = parse(&datagram).unwrap();
        let [_, Packet::SourceDescription(sdes), Packet::Goodbye(bye)] = packets.as_slice() else {
            panic!("{packets:?}")
        };
        let (_, read) = sdes.cnames().next().unwrap();
        assert_eq!(read, &name.as_bytes()[..len.min(255)]);
        assert_eq!(bye.iter().collect::<Vec<_>>(), [1]);
    }
}

#[test]
fn a_report_has_no_more_blocks_than_it_can_count() {
    let blocks: Vec<ReportBlock> = (0..40).map(|ssrc| ReportBlock { ssrc, ..BLOCK }).collect();
    let datagram = Composer::receiver_report(1, &blocks).finish();
    let packets = parse(&datagram).unwrap();
    let [Packet::ReceiverReport { ssrc: 1, blocks: read }] = packets.as_slice() else { panic!() };
    assert_eq!(read.iter().collect::<Vec<_>>(), blocks[..MAX_COUNT]);
}

#[test]
fn the_cumulative_loss_is_clamped_to_24_bits_with_a_sign() {
    for (lost, read) in [(i32::MAX, 0x7f_ffff), (i32::MIN, -0x80_0000), (-1, -1), (0, 0)] {
        let block = ReportBlock { cumulative_lost: lost, ..BLOCK };
        let datagram = Composer::receiver_report(1, &[block]).finish();
        let packets = parse(&datagram).unwrap();
        let Some(Packet::ReceiverReport { blocks, .. }) = packets.first() else { panic!() };
        assert_eq!(blocks.iter().next().unwrap(), ReportBlock { cumulative_lost: read, ..BLOCK });
    }
}

#[test]
fn every_truncation_is_refused_except_between_packets() {
    let whole = golden();
    let boundaries = [52, 72, 88];
    for len in 0..whole.len() {
        let parsed = parse(&whole.slice(..len)).is_ok();
        assert_eq!(parsed, boundaries.contains(&len), "{len}");
    }
}

#[test]
fn rfc3550_a2_what_breaks_the_rules_of_a_compound_packet_is_refused() {
    let kind = |text: &str| parse(&hex(text)).map(|packets| packets.len()).map_err(|e| (e.kind, e.field));
    use DecodeErrorKind::*;
    assert_eq!(kind("80c90001 00000001"), Ok(1));
    assert_eq!(kind(""), Err((Truncated, "V")));
    assert_eq!(kind("80ca0000"), Err((InvalidValue, "PT of the first packet")));
    assert_eq!(kind("40c90001 00000001"), Err((InvalidValue, "V")));
    assert_eq!(kind("80c90001 00000001 40ca0000"), Err((InvalidValue, "V")));
    assert_eq!(kind("80c90002 00000001"), Err((Truncated, "body")));
    assert_eq!(kind("81c90001 00000001"), Err((Truncated, "report blocks")));
    assert_eq!(kind("80c90001 00000001 82cb0001 00000001"), Err((Truncated, "SSRC/CSRC")));
    assert_eq!(kind("80c90001 00000001 80cc0001 00000001"), Err((Truncated, "name")));
    assert_eq!(kind("80c90001 00000001 81ca0002 00000001 01ff6100"), Err((Truncated, "SDES items")));
    assert_eq!(kind("80c90001 00000001 81ca0002 00000001 01026162"), Err((Truncated, "SDES items")));
    // Padding: only in the last packet, whole words, not more than there is.
    assert_eq!(kind("80c90001 00000001 a0d00001 00000004"), Ok(2));
    assert_eq!(kind("a0c90002 00000001 00000004 80d00000"), Err((BadLength, "padding")));
    for padding in ["00000000", "00000003", "00000008"] {
        let text = alloc::format!("80c90001 00000001 a0d00001 {padding}");
        assert_eq!(kind(&text), Err((BadLength, "padding")), "{padding}");
    }
}

#[test]
fn k8_a_compound_packet_of_more_packets_than_the_limit_is_refused() {
    let many = |n| Bytes::from(hex("80c90001 00000001").repeat(n));
    assert_eq!(parse(&many(MAX_PACKETS)).unwrap().len(), MAX_PACKETS);
    assert_eq!(parse(&many(MAX_PACKETS + 1)).unwrap_err().kind, DecodeErrorKind::TooLong);
}

#[test]
fn unknown_packet_types_are_kept_as_they_are() {
    let datagram = hex("80c90001 00000001 8fd20001 cafebabe");
    let packets = parse(&datagram).unwrap();
    let other = Packet::Other { packet_type: PacketType(210), count: 15, body: &[0xca, 0xfe, 0xba, 0xbe] };
    assert_eq!(packets.last(), Some(&other));
}

#[test]
fn k7_no_bytes_make_the_parser_panic() {
    fn law(mut bytes: Vec<u8>, types: Vec<u8>) -> bool {
        // Plausible packet heads here and there lead the parser deeper than noise would.
        for (i, t) in types.iter().enumerate() {
            if let Some(head) = bytes.get_mut(i * 12..i * 12 + 4) {
                head.copy_from_slice(&[0x80 | t & 0x23, 200 + t % 6, 0, t % 4]);
            }
        }
        if let Ok(packets) = parse(&Bytes::from(bytes)) {
            for packet in &packets {
                match packet {
                    Packet::SenderReport { blocks, .. } | Packet::ReceiverReport { blocks, .. } => {
                        blocks.iter().for_each(drop);
                    }
                    Packet::SourceDescription(sdes) => sdes.cnames().for_each(drop),
                    Packet::Nack { losses, .. } => losses.iter().for_each(drop),
                    _ => {}
                }
            }
        }
        true
    }
    quickcheck::QuickCheck::new().tests(2000).quickcheck(law as fn(Vec<u8>, Vec<u8>) -> bool);
}
