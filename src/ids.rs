//! The names things have on every plane: Node-IDs, Resource-IDs, channels, calls, streams.

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use sha1::{Digest, Sha1};
use sha2::Sha256;

/// A 128-bit Node-ID (RFC 6940 §6.3.1.1 with NodeIdLength 16, the length CHORD-RELOAD uses).
///
/// The order is that of the big-endian number, which is the order of the ring.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeId(pub [u8; 16]);

impl NodeId {
    /// Length in bytes.
    pub const LEN: usize = 16;
    /// The wildcard Node-ID, all ones: whoever receives it is the destination (RFC 6940 §6.1.1).
    pub const WILDCARD: NodeId = NodeId([0xff; 16]);

    /// The place on the ring, modulo 2^128.
    pub const fn to_u128(self) -> u128 {
        u128::from_be_bytes(self.0)
    }

    /// The Node-ID at this place on the ring.
    pub const fn from_u128(n: u128) -> Self {
        NodeId(n.to_be_bytes())
    }

    /// Reads 32 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() != 32 {
            return None;
        }
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(text.chunks_exact(2)) {
            let hi = (pair[0] as char).to_digit(16)?;
            let lo = (pair[1] as char).to_digit(16)?;
            *byte = (hi * 16 + lo) as u8;
        }
        Some(NodeId(id))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A Resource-ID as it stands on the wire: up to 254 bytes (RFC 6940 §6.3.1.1); 16 bytes in CHORD-RELOAD.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ResourceId(Bytes);

impl ResourceId {
    /// The most bytes a Resource-ID may have.
    pub const MAX_LEN: usize = 254;

    /// `None` when there are more than [`ResourceId::MAX_LEN`] bytes.
    pub fn new(bytes: Bytes) -> Option<Self> {
        (bytes.len() <= Self::MAX_LEN).then_some(ResourceId(bytes))
    }

    /// The Resource-ID of a Resource Name: the first 16 bytes of its SHA-1 (RFC 6940 §10.2).
    pub fn of_name(name: &[u8]) -> Self {
        ResourceId(Bytes::copy_from_slice(&sha1(name)[..16]))
    }

    /// The Resource-ID at this place on the ring.
    pub fn from_u128(n: u128) -> Self {
        ResourceId(Bytes::copy_from_slice(&n.to_be_bytes()))
    }

    /// The place on the ring, or `None` when this is not 16 bytes.
    pub fn to_u128(&self) -> Option<u128> {
        Some(u128::from_be_bytes(self.0.as_ref().try_into().ok()?))
    }

    /// The bytes, without the length prefix of the wire.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The same in a buffer of its own, which keeps no datagram.
    #[must_use]
    pub fn detached(&self) -> Self {
        ResourceId(Bytes::copy_from_slice(&self.0))
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The SHA-1 digest that RELOAD's identifiers are cut from. It protects nothing here: it only spreads names.
pub fn sha1(data: &[u8]) -> [u8; 20] {
    Sha1::digest(data).into()
}

/// The SHA-256 of a public key (its DER SubjectPublicKeyInfo): by this a key is pinned and told to people.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyFingerprint(pub [u8; 32]);

impl KeyFingerprint {
    /// The fingerprint of this SubjectPublicKeyInfo.
    pub fn of(spki: &[u8]) -> Self {
        KeyFingerprint(Sha256::digest(spki).into())
    }

    /// Reads 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let (high, low) = text.split_at_checked(32)?;
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&NodeId::from_hex(high)?.0);
        bytes[16..].copy_from_slice(&NodeId::from_hex(low)?.0);
        Some(KeyFingerprint(bytes))
    }
}

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The `overlay` field of the forwarding header: the lower 32 bits of the SHA-1 of the overlay name (RFC 6940 §6.3.2).
pub fn overlay_hash(name: &str) -> u32 {
    let digest = sha1(name.as_bytes());
    u32::from_be_bytes([digest[16], digest[17], digest[18], digest[19]])
}

/// A television channel, as this node numbers them. Only good for calls to the node that handed it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ChannelId(pub u16);

/// One INVITE usage (a SIP dialog from its INVITE to its end), as this node numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u64);

impl CallId {
    /// A call that this node places; the policy numbers them.
    pub const fn placed(n: u32) -> Self {
        CallId(n as u64)
    }

    /// A call that this node received; the SIP agent numbers them.
    pub const fn received(n: u32) -> Self {
        CallId(1 << 32 | n as u64)
    }

    /// Whether this node placed it.
    pub const fn is_placed(self) -> bool {
        self.0 >> 32 == 0
    }

    /// Its number among those that this node placed, or received.
    pub const fn number(self) -> u32 {
        self.0 as u32
    }
}

/// A TCP stream. The host numbers those that it accepted, the node those that it asked for: each plane that has streams
/// counts its own, so that no two planes ever ask for the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u64);

impl StreamId {
    /// A stream that the host accepted.
    pub const fn accepted(n: u32) -> Self {
        StreamId(n as u64)
    }

    /// A stream that the node's signalling plane asked for with `Output::Connect`.
    pub const fn requested(n: u32) -> Self {
        StreamId(1 << 32 | n as u64)
    }

    /// A stream that the node's overlay plane asked for with `Output::Connect`, to be a link.
    pub const fn requested_link(n: u32) -> Self {
        StreamId(2 << 32 | n as u64)
    }

    /// Whether the node asked for it.
    pub const fn is_requested(self) -> bool {
        self.0 >> 32 != 0
    }

    /// Whether the overlay plane asked for it.
    pub const fn is_requested_link(self) -> bool {
        self.0 >> 32 == 2
    }

    /// Both kinds in one number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// Whom an address counts as where strangers share something: an IPv4 address itself, of an IPv6 address its /64, for
/// whoever has one address of that has them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPrefix(IpAddr);

impl HostPrefix {
    /// The host of this address.
    pub fn of(address: IpAddr) -> Self {
        HostPrefix(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        })
    }
}

/// The name of a channel: 1 to 64 visible ASCII characters that may stand in the user part of a SIP URI unescaped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelName(String);

impl ChannelName {
    /// The most characters a name may have.
    pub const MAX_LEN: usize = 64;

    /// `None` unless the name has 1 to [`ChannelName::MAX_LEN`] characters, each alphanumeric or one of `-_.!~*'&=+$`.
    pub fn new(name: &str) -> Option<Self> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'&=+$".contains(&b);
        ((1..=Self::MAX_LEN).contains(&name.len()) && name.bytes().all(legal))
            .then(|| ChannelName(String::from(name)))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Reads an even number of hexadecimal digits; blanks are skipped.
pub fn bytes_from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let digits = digits?;
    if digits.len() % 2 != 0 {
        return None;
    }
    Some(digits.chunks_exact(2).map(|p| p[0] << 4 | p[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn fh2_the_overlay_field_is_the_last_four_digest_bytes() {
        assert_eq!(overlay_hash("overlay.example.org"), 0x9aa3_2b8d);
    }

    #[test]
    fn ch1_ac2_a_resource_id_is_the_first_sixteen_digest_bytes() {
        assert_eq!(ResourceId::of_name(b"alice@example.org").to_string(), "45a6b241a242c97f0492d382c390dfa3");
        assert_eq!(ResourceId::of_name(b"channel1").to_string(), "70a703c2aed98deba8d8cbd27a91fb6a");
        let node = NodeId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(ResourceId::of_name(&node.0).to_string(), "56178b86a57fac22899a9964185c2cc9");
    }

    #[test]
    fn en4_a_resource_id_of_255_bytes_is_refused() {
        assert!(ResourceId::new(Bytes::from(alloc::vec![0; 254])).is_some());
        assert!(ResourceId::new(Bytes::from(alloc::vec![0; 255])).is_none());
    }

    #[test]
    fn a_node_id_prints_and_reads_as_hex() {
        let id = NodeId::from_u128(0x0123_4567_89ab_cdef);
        assert_eq!(NodeId::from_hex(&id.to_string()), Some(id));
        assert_eq!(NodeId::from_hex("12"), None);
        assert_eq!(NodeId::from_hex("zz23456789abcdef0123456789abcdef"), None);
    }

    #[test]
    fn a_channel_name_that_could_break_a_header_is_refused() {
        assert!(ChannelName::new("100").is_some());
        for bad in ["", "a b", "a\r\nVia: x", "a@b", "a,b", "<x>", "ä", &"x".repeat(65)] {
            assert!(ChannelName::new(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn whoever_has_an_ipv6_prefix_is_one_host_and_so_is_an_ipv4_address_in_either_form() {
        let host = |text: &str| HostPrefix::of(text.parse().unwrap());
        assert_eq!(host("2001:db8:1:2::1"), host("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(host("2001:db8:1:2::1"), host("2001:db8:1:3::1"));
        assert_eq!(host("192.0.2.1"), host("::ffff:192.0.2.1"));
        assert_ne!(host("192.0.2.1"), host("192.0.2.2"));
    }

    #[test]
    fn accepted_streams_and_those_that_either_plane_requested_never_share_a_number() {
        assert_ne!(StreamId::accepted(7), StreamId::requested(7));
        assert_ne!(StreamId::requested(7), StreamId::requested_link(7));
        assert!(StreamId::requested(u32::MAX) < StreamId::requested_link(0));
        assert!(StreamId::requested(u32::MAX).is_requested() && StreamId::requested_link(0).is_requested());
        assert!(!StreamId::accepted(u32::MAX).is_requested());
    }
}
