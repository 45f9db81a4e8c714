//! The RTP data packet (RFC 3550 §5.1) and the choice between RTP and RTCP on one socket (RFC 5761 §4).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                           timestamp                           |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |           synchronization source (SSRC) identifier            |
//! +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
//! |  contributing source (CSRC) identifiers, CC of them, then a   |
//! |  header extension if X, the payload, and padding if P         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use crate::wire::{DecodeError, DecodeErrorKind};

/// The version that RFC 3550 defines, in the two top bits of the first octet.
pub(super) const VERSION: u8 = 2;

/// What a datagram on a multiplexed socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A data packet.
    Rtp,
    /// A control packet.
    Rtcp,
}

/// Tells RTP from RTCP by the first two octets (RFC 5761 §4). `None` is neither: another version, or one of the
/// payload types 64 to 95, which must not be used where both share a socket.
pub fn kind_of(datagram: &[u8]) -> Option<Kind> {
    let &[first, second, ..] = datagram else { return None };
    if first >> 6 != VERSION {
        return None;
    }
    match second {
        192..=223 => Some(Kind::Rtcp),
        64..=95 => None,
        _ => Some(Kind::Rtp),
    }
}

/// A 7-bit payload type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayloadType(pub u8);

impl PayloadType {
    /// MPEG-2 transport streams with a clock of 90 kHz (RFC 3551 §5, table 5).
    pub const MP2T: PayloadType = PayloadType(33);
}

/// The twelve octets that every data packet starts with, as values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// M; in MP2T a discontinuity of the timestamp (RFC 2250 §2.1).
    pub marker: bool,
    /// PT.
    pub payload_type: PayloadType,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp, in units of the payload type's clock.
    pub timestamp: u32,
    /// Synchronization source.
    pub ssrc: u32,
}

impl Header {
    /// Octets on the wire.
    pub const LEN: usize = 12;

    /// The header of a packet without padding, extension and contributing sources.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let [s0, s1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [c0, c1, c2, c3] = self.ssrc.to_be_bytes();
        let second = u8::from(self.marker) << 7 | self.payload_type.0 & 0x7f;
        [VERSION << 6, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3]
    }
}

/// The header extension (RFC 3550 §5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// The 16 bits that the profile defines.
    pub profile: u16,
    /// Its words, without the four octets in front of them.
    pub data: &'a [u8],
}

/// A view of a whole data packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The fixed part.
    pub header: Header,
    /// The contributing sources, four octets each.
    pub csrcs: &'a [u8],
    /// The header extension, when there is one.
    pub extension: Option<Extension<'a>>,
    /// The payload, without padding.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Checks all that RFC 3550 §A.1 lets one check of a packet by itself: the version, and that contributing
    /// sources, extension and padding fit into its length.
    pub fn parse(packet: &'a [u8]) -> Result<Self, DecodeError> {
        let error = |kind, field, offset| DecodeError { kind, field, offset };
        let truncated = |field| error(DecodeErrorKind::Truncated, field, packet.len());

        let (fixed, rest) = packet.split_first_chunk::<{ Header::LEN }>().ok_or(truncated("RTP header"))?;
        let &[first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = fixed;
        if first >> 6 != VERSION {
            return Err(error(DecodeErrorKind::InvalidValue, "V", 0));
        }
        let header = Header {
            marker: second & 0x80 != 0,
            payload_type: PayloadType(second & 0x7f),
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
        };

        let (csrcs, rest) =
            rest.split_at_checked(usize::from(first & 0x0f) * 4).ok_or(truncated("CSRC list"))?;
        let (extension, rest) = if first & 0x10 != 0 {
            let (&[p0, p1, n0, n1], rest) = rest.split_first_chunk().ok_or(truncated("header extension"))?;
            let len = usize::from(u16::from_be_bytes([n0, n1])) * 4;
            let (data, rest) = rest.split_at_checked(len).ok_or(truncated("header extension"))?;
            (Some(Extension { profile: u16::from_be_bytes([p0, p1]), data }), rest)
        } else {
            (None, rest)
        };
        let payload = if first & 0x20 != 0 {
            let padding = rest.last().map_or(0, |&n| usize::from(n));
            if padding == 0 || padding >= rest.len() {
                return Err(error(DecodeErrorKind::BadLength, "padding", packet.len().saturating_sub(1)));
            }
            &rest[..rest.len() - padding]
        } else {
            rest
        };
        Ok(Packet { header, csrcs, extension, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// X, CC = 2, M, PT 33; two CSRCs, an extension of one word, a payload of three octets, padding of two.
    const FULL: [u8; 33] = [
        0xb2, 0xa1, 0x12, 0x34, 0, 0, 0, 9, 0xde, 0xad, 0xbe, 0xef, // fixed part
        0, 0, 0, 1, 0, 0, 0, 2, // CSRC
        0xbe, 0xde, 0, 1, 5, 6, 7, 8, // extension
        b'a', b'b', b'c', 0, 2, // payload and padding
    ];

    const HEADER: Header = Header {
        marker: true,
        payload_type: PayloadType::MP2T,
        sequence: 0x1234,
        timestamp: 9,
        ssrc: 0xdead_beef,
    };

    #[test]
    fn every_part_of_a_packet_is_where_the_figure_says() {
        let packet = Packet::parse(&FULL).unwrap();
        assert_eq!(packet.header, HEADER);
        assert_eq!(packet.csrcs, [0, 0, 0, 1, 0, 0, 0, 2]);
        assert_eq!(packet.extension, Some(Extension { profile: 0xbede, data: &[5, 6, 7, 8] }));
        assert_eq!(packet.payload, b"abc");
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        assert_eq!(HEADER.to_bytes(), [0x80, 0xa1, 0x12, 0x34, 0, 0, 0, 9, 0xde, 0xad, 0xbe, 0xef],);
        let bytes = HEADER.to_bytes();
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!((packet.header, packet.payload, packet.extension), (HEADER, &[][..], None));
    }

    #[test]
    fn a_payload_type_never_reaches_the_marker() {
        let header = Header { marker: false, payload_type: PayloadType(0xff), ..HEADER };
        assert_eq!(header.to_bytes()[1], 0x7f);
    }

    #[test]
    fn every_truncation_is_refused_or_ends_in_other_padding() {
        for len in 0..FULL.len() {
            let parsed = Packet::parse(&FULL[..len]);
            // Cut at 32 the last octet is a zero, cut at 29 to 31 a letter larger than the packet: no padding fits.
            assert!(parsed.is_err(), "{len}: {parsed:?}");
        }
        // Without P only the parts in front of the payload need their room.
        let mut unpadded = FULL;
        unpadded[0] &= !0x20;
        for len in 0..FULL.len() {
            assert_eq!(Packet::parse(&unpadded[..len]).is_ok(), len >= 28, "{len}");
        }
    }

    #[test]
    fn an_error_tells_what_was_wrong_and_where() {
        let error = |bytes: &[u8]| Packet::parse(bytes).map(|_| ()).unwrap_err();
        let at = |kind, field, offset| DecodeError { kind, field, offset };
        assert_eq!(error(&[0x80; 11]), at(DecodeErrorKind::Truncated, "RTP header", 11));
        assert_eq!(error(&[0x40; 12]), at(DecodeErrorKind::InvalidValue, "V", 0));
        assert_eq!(error(&[0x81; 12]), at(DecodeErrorKind::Truncated, "CSRC list", 12));
        assert_eq!(error(&[0x90; 15]), at(DecodeErrorKind::Truncated, "header extension", 15));
        assert_eq!(error(&FULL[..32]), at(DecodeErrorKind::BadLength, "padding", 31));
    }

    #[test]
    fn padding_is_at_least_its_own_octet_and_leaves_some_payload() {
        let with_padding = |tail: &[u8]| {
            let mut bytes = Vec::from(HEADER.to_bytes());
            bytes[0] |= 0x20;
            bytes.extend_from_slice(tail);
            Packet::parse(&bytes).map(|packet| packet.payload.len())
        };
        assert_eq!(with_padding(&[7, 0, 0, 3]), Ok(1));
        assert_eq!(with_padding(&[7, 1]), Ok(1));
        for tail in [&[7, 0][..], &[0, 0, 3], &[200], &[]] {
            assert_eq!(with_padding(tail).unwrap_err().kind, DecodeErrorKind::BadLength, "{tail:?}");
        }
    }

    #[test]
    fn rfc5761_the_second_octet_tells_rtp_from_rtcp() {
        for second in 0..=255 {
            let expected = match second {
                // M = 1 with the payload types 64 to 95 is where RTCP packet types live.
                192..=223 => Some(Kind::Rtcp),
                64..=95 => None,
                _ => Some(Kind::Rtp),
            };
            assert_eq!(kind_of(&[0x80, second]), expected, "{second}");
        }
        assert_eq!(kind_of(&[0x80]), None);
        assert_eq!(kind_of(&[]), None);
        // STUN (RFC 8489) starts with two zero bits, and other versions are not RTP either.
        assert!([0x00, 0x40, 0xc0].iter().all(|&first| kind_of(&[first, 33]).is_none()));
    }
}
