//! MPEG-2 transport streams in RTP (RFC 2250 §2): a peek into the packets, and the packetiser of a source.
//!
//! An RTP payload is a whole number of 188-byte transport packets; seven fit into an Ethernet frame. The peek finds
//! what a receiver needs to start on (tables, random access points, clocks) and changes nothing.

use super::header::{Header, PayloadType};
use crate::wire::{DecodeError, DecodeErrorKind};
use alloc::vec::Vec;
use bytes::Bytes;

/// A packet identifier: 13 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(pub u16);

impl Pid {
    /// The program association table (ISO/IEC 13818-1 §2.4.4.3).
    pub const PAT: Pid = Pid(0);
    /// Stuffing.
    pub const NULL: Pid = Pid(0x1fff);
}

/// A program clock reference, in ticks of 27 MHz (ISO/IEC 13818-1 §2.4.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pcr(pub u64);

impl Pcr {
    /// The same moment on the 90 kHz clock of RTP, modulo 2^32.
    pub const fn to_rtp_timestamp(self) -> u32 {
        (self.0 / 300) as u32
    }
}

/// A view of one transport packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TsPacket<'a>(&'a [u8; TsPacket::LEN]);

impl<'a> TsPacket<'a> {
    /// Octets of every transport packet.
    pub const LEN: usize = 188;
    /// The first of them.
    pub const SYNC: u8 = 0x47;

    /// `None` when the sync byte is missing.
    pub fn new(packet: &'a [u8; TsPacket::LEN]) -> Option<Self> {
        (packet[0] == Self::SYNC).then_some(TsPacket(packet))
    }

    /// PID.
    pub fn pid(&self) -> Pid {
        Pid(u16::from_be_bytes([self.0[1] & 0x1f, self.0[2]]))
    }

    /// payload_unit_start_indicator.
    pub fn starts_unit(&self) -> bool {
        self.0[1] & 0x40 != 0
    }

    /// continuity_counter, which grows by one, modulo 16, with each packet of a PID that has a payload.
    pub fn continuity_counter(&self) -> u8 {
        self.0[3] & 0x0f
    }

    /// random_access_indicator: a decoder can start here.
    pub fn is_random_access(&self) -> bool {
        self.adaptation().is_some_and(|a| a.first().is_some_and(|flags| flags & 0x40 != 0))
    }

    /// The program clock reference, where the packet has one.
    pub fn pcr(&self) -> Option<Pcr> {
        let (&[flags, a, b, c, d, e, f], _) = self.adaptation()?.split_first_chunk()?;
        if flags & 0x10 == 0 {
            return None;
        }
        let base = u64::from(u32::from_be_bytes([a, b, c, d])) << 1 | u64::from(e >> 7);
        let extension = u64::from(e & 1) << 8 | u64::from(f);
        Some(Pcr(base * 300 + extension))
    }

    /// The payload; empty when the packet has none, or an adaptation field that leaves the packet.
    pub fn payload(&self) -> &'a [u8] {
        let body = &self.0[4..];
        match self.0[3] >> 4 & 3 {
            1 => body,
            3 => body.get(1 + usize::from(body[0])..).unwrap_or(&[]),
            _ => &[],
        }
    }

    /// Whether a picture starts here: a PES packet of a video stream (ISO/IEC 13818-1 §2.4.3.7: stream_id 0xe0 to 0xef, or
    /// 0xfd, which newer codecs use), as far as scrambling lets one see it.
    pub fn starts_picture(&self) -> bool {
        self.starts_unit() && matches!(self.payload(), [0, 0, 1, 0xe0..=0xef | 0xfd, ..])
    }

    /// Whether a program map section starts here. A program map table may have any PID, but only a section header
    /// looks like one: table_id 2 with section_syntax_indicator 1 and a zero bit, behind the pointer_field.
    pub fn starts_program_map(&self) -> bool {
        let payload = self.payload();
        let Some(&pointer) = payload.first() else { return false };
        let section = payload.get(1 + usize::from(pointer)..).unwrap_or(&[]);
        self.starts_unit()
            && !matches!(self.pid(), Pid::PAT | Pid::NULL)
            && matches!(section, [0x02, flags, ..] if flags & 0xc0 == 0x80)
    }

    /// The adaptation field behind its length, when there is one that stays inside the packet.
    fn adaptation(&self) -> Option<&'a [u8]> {
        let body = &self.0[4..];
        (self.0[3] & 0x20 != 0).then(|| body.get(1..1 + usize::from(body[0])))?
    }
}

/// The transport packets of an RTP payload. An error when they are not whole, or one lacks its sync byte.
pub fn packets(payload: &[u8]) -> Result<impl Iterator<Item = TsPacket<'_>> + Clone, DecodeError> {
    let (packets, rest) = payload.as_chunks::<{ TsPacket::LEN }>();
    let error = |kind, field, offset| DecodeError { kind, field, offset };
    if packets.is_empty() || !rest.is_empty() {
        return Err(error(DecodeErrorKind::BadLength, "transport packet", payload.len()));
    }
    if let Some(n) = packets.iter().position(|packet| TsPacket::new(packet).is_none()) {
        return Err(error(DecodeErrorKind::InvalidValue, "sync_byte", n * TsPacket::LEN));
    }
    Ok(packets.iter().filter_map(TsPacket::new))
}

/// What the transport packets of one RTP payload have to offer to somebody who starts here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Transport packets.
    pub packets: usize,
    /// A program association table starts here.
    pub has_pat: bool,
    /// A program map table starts here.
    pub has_pmt: bool,
    /// A decoder can start at one of these packets.
    pub is_random_access: bool,
    /// The first program clock reference, with the PID that carries it.
    pub pcr: Option<(Pid, Pcr)>,
}

impl Summary {
    /// Looks through an RTP payload.
    pub fn of(payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(packets(payload)?.fold(Summary::default(), |summary, packet| Summary {
            packets: summary.packets + 1,
            has_pat: summary.has_pat || packet.pid() == Pid::PAT && packet.starts_unit(),
            has_pmt: summary.has_pmt || packet.starts_program_map(),
            is_random_access: summary.is_random_access || packet.is_random_access(),
            pcr: summary.pcr.or_else(|| Some((packet.pid(), packet.pcr()?))),
        }))
    }
}

/// Makes RTP packets out of a transport stream.
#[derive(Clone, Debug)]
pub struct Packetizer {
    ssrc: u32,
    sequence: u16,
}

impl Packetizer {
    /// Transport packets in a full RTP packet: more would not fit into an Ethernet frame.
    pub const PER_PACKET: usize = 7;

    /// A packetiser whose first packet has this sequence number. Both numbers are to be chosen at random (RFC 3550
    /// §5.1).
    pub const fn new(ssrc: u32, sequence: u16) -> Self {
        Packetizer { ssrc, sequence }
    }

    /// The SSRC of the packets.
    pub const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The next RTP packet, with one to [`Packetizer::PER_PACKET`] whole transport packets. `timestamp` is when the
    /// first of them leaves, on a clock of 90 kHz; `discontinuity` says that this clock jumped here, and sets the
    /// marker. The one allocation is the packet.
    pub fn packetize(
        &mut self,
        timestamp: u32,
        discontinuity: bool,
        transport_packets: &[u8],
    ) -> Result<Bytes, DecodeError> {
        if transport_packets.len() > Self::PER_PACKET * TsPacket::LEN {
            let (kind, offset) = (DecodeErrorKind::TooLong, Self::PER_PACKET * TsPacket::LEN);
            return Err(DecodeError { kind, field: "transport packets", offset });
        }
        packets(transport_packets).map(drop)?;
        let header = Header {
            marker: discontinuity,
            payload_type: PayloadType::MP2T,
            sequence: self.sequence,
            timestamp,
            ssrc: self.ssrc,
        };
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet = Vec::with_capacity(Header::LEN + transport_packets.len());
        packet.extend_from_slice(&header.to_bytes());
        packet.extend_from_slice(transport_packets);
        Ok(packet.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::header::Packet;

    /// A transport packet that starts with these octets behind the sync byte; the rest is 0xff.
    fn ts(head: &[u8]) -> [u8; 188] {
        let mut packet = [0xff; 188];
        packet[0] = 0x47;
        packet[1..1 + head.len()].copy_from_slice(head);
        packet
    }

    fn pat() -> [u8; 188] {
        ts(&[0x40, 0x00, 0x10, 0x00, 0x00, 0xb0, 0x0d])
    }

    fn pmt() -> [u8; 188] {
        ts(&[0x50, 0x00, 0x10, 0x00, 0x02, 0xb0, 0x17])
    }

    /// PID 0x100, counter 5, random access with PCR base 90 000 * 10 and extension 7.
    fn key_frame() -> [u8; 188] {
        let base: u64 = 900_000;
        let b = (base << 15 | 0x7e00 | 7).to_be_bytes();
        ts(&[0x41, 0x00, 0x35, 7, 0x50, b[2], b[3], b[4], b[5], b[6], b[7], 0, 0, 1, 0xe0])
    }

    fn payload(packets: &[[u8; 188]]) -> Vec<u8> {
        packets.concat()
    }

    #[test]
    fn the_fields_of_a_transport_packet_are_where_the_standard_says() {
        let bytes = key_frame();
        let p = TsPacket::new(&bytes).unwrap();
        assert_eq!((p.pid(), p.continuity_counter()), (Pid(0x100), 5));
        assert!(p.starts_unit() && p.is_random_access());
        assert_eq!(p.pcr(), Some(Pcr(900_000 * 300 + 7)));
        assert_eq!(p.pcr().unwrap().to_rtp_timestamp(), 900_000);
        assert_eq!(p.payload()[..4], [0, 0, 1, 0xe0]);
        assert_eq!(p.payload().len(), 188 - 4 - 8);
    }

    #[test]
    fn adaptation_fields_that_do_not_fit_are_as_if_absent() {
        for (control, len) in [(0x30, 184), (0x20, 184), (0x30, 255)] {
            let bytes = ts(&[0, 0, control, len]);
            let p = TsPacket::new(&bytes).unwrap();
            assert!(!p.is_random_access() && p.pcr().is_none(), "{control:#x} {len}");
            assert!(p.payload().is_empty());
        }
        // A length of zero is one octet of stuffing; a PCR flag without room for a PCR is none.
        let (empty, short) = (ts(&[0, 0, 0x30, 0]), ts(&[0, 0, 0x30, 6, 0x10]));
        let (empty, short) = (TsPacket::new(&empty).unwrap(), TsPacket::new(&short).unwrap());
        assert_eq!((empty.is_random_access(), empty.pcr(), empty.payload().len()), (false, None, 183));
        assert_eq!(short.pcr(), None);
    }

    #[test]
    fn a_program_map_is_known_by_its_section_and_not_by_its_pid() {
        let is_map = |bytes: [u8; 188]| TsPacket::new(&bytes).unwrap().starts_program_map();
        assert!(is_map(pmt()));
        // Behind a pointer_field that skips the end of the section before.
        assert!(is_map(ts(&[0x50, 0x00, 0x10, 0x02, 9, 9, 0x02, 0xb0])));
        // A PES packet, a continuation, the PAT's PID, and a pointer that leaves the packet.
        assert!(!is_map(key_frame()));
        assert!(!is_map(ts(&[0x10, 0x00, 0x10, 0x00, 0x02, 0xb0])));
        assert!(!is_map(ts(&[0x40, 0x00, 0x10, 0x00, 0x02, 0xb0])));
        assert!(!is_map(ts(&[0x50, 0x00, 0x10, 0xff, 0x02, 0xb0])));
    }

    #[test]
    fn a_picture_starts_with_a_pes_packet_of_a_video_stream() {
        let starts = |head: &[u8]| TsPacket::new(&ts(head)).unwrap().starts_picture();
        assert!([0xe0, 0xef, 0xfd].iter().all(|&id| starts(&[0x41, 0, 0x10, 0, 0, 1, id])));
        assert!([0xc0, 0xbd, 0xdf, 0xf0].iter().all(|&id| !starts(&[0x41, 0, 0x10, 0, 0, 1, id])));
        // A continuation, and something else that starts.
        assert!(!starts(&[0x01, 0, 0x10, 0, 0, 1, 0xe0]) && !starts(&[0x41, 0, 0x10, 0, 0, 2, 0xe0]));
    }

    #[test]
    fn a_summary_tells_where_a_receiver_can_start() {
        let summary = Summary::of(&payload(&[pat(), pmt(), key_frame()])).unwrap();
        let expected = Summary {
            packets: 3,
            has_pat: true,
            has_pmt: true,
            is_random_access: true,
            pcr: Some((Pid(0x100), Pcr(900_000 * 300 + 7))),
        };
        assert_eq!(summary, expected);
        let plain = Summary::of(&payload(&[ts(&[1, 0, 0x10])])).unwrap();
        assert_eq!(plain, Summary { packets: 1, ..Summary::default() });
    }

    #[test]
    fn rfc2250_a_payload_is_a_whole_number_of_synchronised_packets() {
        let whole = payload(&[pat(), pmt()]);
        for len in 0..whole.len() {
            assert_eq!(Summary::of(&whole[..len]).is_ok(), len == 188, "{len}");
        }
        let mut unsynchronised = whole;
        unsynchronised[188] = 0x48;
        let error = Summary::of(&unsynchronised).unwrap_err();
        assert_eq!(
            (error.kind, error.field, error.offset),
            (DecodeErrorKind::InvalidValue, "sync_byte", 188)
        );
    }

    #[test]
    fn the_packetiser_numbers_its_packets_and_changes_no_octet() {
        let mut packetizer = Packetizer::new(0xabcd, 0xffff);
        let stream = payload(&[key_frame(); 7]);
        for (n, sequence) in [(7, 0xffff), (7, 0), (3, 1)] {
            let bytes = packetizer.packetize(1234, n == 3, &stream[..n * 188]).unwrap();
            assert_eq!(bytes.len(), 12 + n * 188);
            let packet = Packet::parse(&bytes).unwrap();
            let expected = Header {
                marker: n == 3,
                payload_type: PayloadType::MP2T,
                sequence,
                timestamp: 1234,
                ssrc: 0xabcd,
            };
            assert_eq!(packet.header, expected);
            assert_eq!(packet.payload, &stream[..n * 188]);
        }
    }

    #[test]
    fn the_packetiser_refuses_what_no_receiver_could_use_and_spends_no_number_on_it() {
        let mut packetizer = Packetizer::new(1, 5);
        let stream = payload(&[pat(); 8]);
        for wrong in [&stream[..], &stream[..187], &stream[1..189], &[]] {
            assert!(packetizer.packetize(0, false, wrong).is_err());
        }
        let packet = packetizer.packetize(0, false, &stream[..188]).unwrap();
        assert_eq!(Packet::parse(&packet).unwrap().header.sequence, 5);
    }
}
