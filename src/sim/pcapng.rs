//! A capture file of what travelled (pcapng, draft-ietf-opsawg-pcapng), for Wireshark and tshark.
//!
//! Hosts and simulations know only payloads, so the IP, UDP and TCP headers are made up, with correct lengths,
//! checksums and sequence numbers. Each plane is an interface of its own, by name: the filter
//! `frame.interface_name == "signalling"` shows SIP alone. A capture may hold the keys of its TLS connections
//! ([`Capture::keys`]); whoever has it then reads everything.

use super::trace::{Record, What};
use crate::stats::Plane;
use crate::time::{Duration, Instant, UnixMillis};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// Packets as they are, beginning with their IP header (LINKTYPE_RAW).
const LINKTYPE_RAW: u16 = 101;
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const DECRYPTION_SECRETS: u32 = 10;
/// The secrets are a TLS key log ("TLSK").
const TLS_KEY_LOG: u32 = 0x544c_534b;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const OPT_END: u16 = 0;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;

const UDP: u8 = 17;
const TCP: u8 = 6;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const PUSH: u8 = 0x08;
const ACK: u8 = 0x10;
/// What an Ethernet frame leaves to a TCP segment.
const SEGMENT: usize = 1448;
/// The most that an IPv4 packet leaves to a UDP datagram.
const DATAGRAM: usize = 65_507;

/// Writes a capture, block by block, into whatever takes bytes: a `Vec<u8>`, a file, a socket.
///
/// ```
/// use p2piptv::sim::pcapng::Capture;
/// use p2piptv::{stats::Plane, time::{Instant, UnixMillis}};
///
/// let mut file = Vec::new();
/// let mut capture = Capture::new(UnixMillis(0), |bytes: &[u8]| file.extend_from_slice(bytes));
/// let (from, to) = ("10.0.0.1:5060".parse().unwrap(), "10.0.0.2:5060".parse().unwrap());
/// capture.datagram(Instant::from_millis(5), Plane::Signalling, from, to, b"OPTIONS ...");
/// assert_eq!(file[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
/// ```
pub struct Capture<W> {
    start: UnixMillis,
    write: W,
    /// The next sequence number of each direction of each TCP connection.
    flows: BTreeMap<(SocketAddr, SocketAddr), u32>,
}

impl<W: FnMut(&[u8])> Capture<W> {
    /// Connections of which sequence numbers are kept; with more, those with the lowest addresses start anew.
    pub const MAX_FLOWS: usize = 4096;

    /// Begins a capture. `start` is the wall-clock time of [`Instant::ZERO`].
    pub fn new(start: UnixMillis, write: W) -> Self {
        let mut capture = Capture { start, write, flows: BTreeMap::new() };
        capture.block(SECTION_HEADER, |block| {
            block.extend_from_slice(&BYTE_ORDER_MAGIC.to_le_bytes());
            block.extend_from_slice(&1u16.to_le_bytes());
            block.extend_from_slice(&0u16.to_le_bytes());
            // The section's length is not known.
            block.extend_from_slice(&u64::MAX.to_le_bytes());
            option(block, SHB_USERAPPL, b"p2piptv");
            option(block, OPT_END, b"");
        });
        for plane in [Plane::Overlay, Plane::Signalling, Plane::Media] {
            capture.block(INTERFACE_DESCRIPTION, |block| {
                block.extend_from_slice(&LINKTYPE_RAW.to_le_bytes());
                block.extend_from_slice(&0u16.to_le_bytes());
                // No limit to what is kept of a packet. Times are in microseconds unless an option says otherwise.
                block.extend_from_slice(&0u32.to_le_bytes());
                option(block, IF_NAME, interface_name(plane).as_bytes());
                option(block, OPT_END, b"");
            });
        }
        capture
    }

    /// A UDP datagram. One that is longer than UDP can carry is left out.
    pub fn datagram(&mut self, at: Instant, plane: Plane, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        if payload.len() > DATAGRAM {
            return;
        }
        let mut udp = Vec::with_capacity(8 + payload.len());
        udp.extend_from_slice(&from.port().to_be_bytes());
        udp.extend_from_slice(&to.port().to_be_bytes());
        udp.extend_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
        udp.extend_from_slice(&[0, 0]);
        udp.extend_from_slice(payload);
        self.packet(at, plane, &ip_packet((from.ip(), to.ip()), UDP, udp, 6));
    }

    /// A TCP connection is opened: its three-way handshake.
    pub fn opened(&mut self, at: Instant, plane: Plane, from: SocketAddr, to: SocketAddr) {
        self.flows.remove(&(from, to));
        self.flows.remove(&(to, from));
        self.segment(at, plane, from, to, SYN, b"");
        self.segment(at, plane, to, from, SYN | ACK, b"");
        self.segment(at, plane, from, to, ACK, b"");
    }

    /// Bytes on a TCP connection, in as many segments as it takes.
    pub fn bytes(&mut self, at: Instant, plane: Plane, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        for segment in bytes.chunks(SEGMENT) {
            self.segment(at, plane, from, to, PUSH | ACK, segment);
        }
    }

    /// One end closes a TCP connection.
    pub fn closed(&mut self, at: Instant, plane: Plane, from: SocketAddr, to: SocketAddr) {
        self.segment(at, plane, from, to, FIN | ACK, b"");
        self.segment(at, plane, to, from, FIN | ACK, b"");
        self.segment(at, plane, from, to, ACK, b"");
        self.flows.remove(&(from, to));
        self.flows.remove(&(to, from));
    }

    /// Keys of TLS connections: lines of a key log (the format of SSLKEYLOGFILE), each with its line end. They have to
    /// come before the packets that they open.
    pub fn keys(&mut self, lines: &str) {
        self.block(DECRYPTION_SECRETS, |block| {
            block.extend_from_slice(&TLS_KEY_LOG.to_le_bytes());
            block.extend_from_slice(&(lines.len() as u32).to_le_bytes());
            block.extend_from_slice(lines.as_bytes());
            pad(block);
        });
    }

    /// A record of a simulation, as its sender saw it: what was lost on the way is in the capture too. Events and
    /// ICMP errors are not.
    pub fn record(&mut self, record: &Record) {
        let Record::Packet { at, from, to, plane, what } = record else { return };
        let (at, plane, from, to) = (*at, *plane, *from, *to);
        match what {
            What::Datagram { payload, .. } => self.datagram(at, plane, from, to, payload),
            What::Opened => self.opened(at, plane, from, to),
            What::Bytes(bytes) => self.bytes(at, plane, from, to, bytes),
            What::Closed => self.closed(at, plane, from, to),
            What::Unreachable => {}
        }
    }

    fn segment(
        &mut self,
        at: Instant,
        plane: Plane,
        from: SocketAddr,
        to: SocketAddr,
        flags: u8,
        bytes: &[u8],
    ) {
        const HEADER_WORDS: u8 = 5;
        let acknowledged = self.flows.get(&(to, from)).copied().unwrap_or(0);
        if self.flows.len() >= Self::MAX_FLOWS && !self.flows.contains_key(&(from, to)) {
            self.flows.pop_first();
        }
        let next = self.flows.entry((from, to)).or_insert(0);
        let sequence = *next;
        // SYN and FIN take a sequence number each.
        *next = next.wrapping_add(bytes.len() as u32 + u32::from(flags & (SYN | FIN) != 0));
        let mut tcp = Vec::with_capacity(20 + bytes.len());
        tcp.extend_from_slice(&from.port().to_be_bytes());
        tcp.extend_from_slice(&to.port().to_be_bytes());
        tcp.extend_from_slice(&sequence.to_be_bytes());
        tcp.extend_from_slice(&if flags & ACK != 0 { acknowledged } else { 0 }.to_be_bytes());
        tcp.extend_from_slice(&[HEADER_WORDS << 4, flags]);
        tcp.extend_from_slice(&u16::MAX.to_be_bytes());
        tcp.extend_from_slice(&[0, 0, 0, 0]);
        tcp.extend_from_slice(bytes);
        self.packet(at, plane, &ip_packet((from.ip(), to.ip()), TCP, tcp, 16));
    }

    /// Writes a packet that passed this plane's interface.
    fn packet(&mut self, at: Instant, plane: Plane, packet: &[u8]) {
        let micros = Duration::from_millis(self.start.0).as_micros() as u64 + at.as_micros();
        self.block(ENHANCED_PACKET, |block| {
            block.extend_from_slice(&(plane as u32).to_le_bytes());
            block.extend_from_slice(&((micros >> 32) as u32).to_le_bytes());
            block.extend_from_slice(&(micros as u32).to_le_bytes());
            block.extend_from_slice(&(packet.len() as u32).to_le_bytes());
            block.extend_from_slice(&(packet.len() as u32).to_le_bytes());
            block.extend_from_slice(packet);
            pad(block);
        });
    }

    /// Every block has its type before it and its length on both sides.
    fn block(&mut self, kind: u32, content: impl FnOnce(&mut Vec<u8>)) {
        let mut block = Vec::new();
        block.extend_from_slice(&kind.to_le_bytes());
        block.extend_from_slice(&[0; 4]);
        content(&mut block);
        let length = (block.len() as u32 + 4).to_le_bytes();
        block[4..8].copy_from_slice(&length);
        block.extend_from_slice(&length);
        (self.write)(&block);
    }
}

/// The name of a plane's interface.
const fn interface_name(plane: Plane) -> &'static str {
    match plane {
        Plane::Overlay => "overlay",
        Plane::Signalling => "signalling",
        Plane::Media => "media",
    }
}

fn option(block: &mut Vec<u8>, code: u16, value: &[u8]) {
    block.extend_from_slice(&code.to_le_bytes());
    block.extend_from_slice(&(value.len() as u16).to_le_bytes());
    block.extend_from_slice(value);
    pad(block);
}

fn pad(block: &mut Vec<u8>) {
    block.resize(block.len().next_multiple_of(4), 0);
}

/// Puts an IP header before a UDP datagram or TCP segment, and the checksum into it.
fn ip_packet(ends: (IpAddr, IpAddr), protocol: u8, mut transport: Vec<u8>, checksum_at: usize) -> Vec<u8> {
    let length = transport.len() as u16;
    let mut packet = Vec::with_capacity(40 + transport.len());
    let mut pseudo_header = Vec::with_capacity(40);
    match ends {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            packet.extend_from_slice(&[0x45, 0]);
            packet.extend_from_slice(&(20 + length).to_be_bytes());
            // Identification 0, "don't fragment", 64 hops, and the checksum, which comes last.
            packet.extend_from_slice(&[0, 0, 0x40, 0, 64, protocol, 0, 0]);
            packet.extend_from_slice(&from.octets());
            packet.extend_from_slice(&to.octets());
            let sum = checksum(&[&packet]).to_be_bytes();
            packet[10..12].copy_from_slice(&sum);
            pseudo_header.extend_from_slice(&packet[12..20]);
        }
        // A dual-stack socket sees IPv4 addresses as mapped ones.
        (from, to) => {
            packet.extend_from_slice(&[0x60, 0, 0, 0]);
            packet.extend_from_slice(&length.to_be_bytes());
            packet.extend_from_slice(&[protocol, 64]);
            for ip in [from, to] {
                let ip = match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                    IpAddr::V6(ip) => ip,
                };
                packet.extend_from_slice(&ip.octets());
            }
            pseudo_header.extend_from_slice(&packet[8..40]);
        }
    }
    pseudo_header.extend_from_slice(&[0, protocol]);
    pseudo_header.extend_from_slice(&length.to_be_bytes());
    let sum = match checksum(&[&pseudo_header, &transport]) {
        // A UDP checksum of zero would mean that there is none (RFC 768).
        0 if protocol == UDP => u16::MAX,
        sum => sum,
    };
    transport[checksum_at..checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
    packet.extend_from_slice(&transport);
    packet
}

/// The internet checksum (RFC 1071) of parts, of which only the last may have an odd length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u32 = words.map(|w| u32::from(w[0]) << 8 | u32::from(w.get(1).copied().unwrap_or(0))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::bytes_from_hex;

    fn addresses(v6: bool) -> (SocketAddr, SocketAddr) {
        let parse = |text: &str| text.parse().unwrap();
        if v6 {
            (parse("[fd00::1]:6084"), parse("[fd00::2]:6084"))
        } else {
            (parse("10.0.0.1:6084"), parse("10.0.0.2:6084"))
        }
    }

    fn capture(write: impl FnOnce(&mut Capture<&mut dyn FnMut(&[u8])>)) -> Vec<Vec<u8>> {
        let mut blocks = Vec::new();
        let mut sink = |block: &[u8]| blocks.push(block.to_vec());
        let mut capture = Capture::new(UnixMillis(1_000_000), &mut sink as &mut dyn FnMut(&[u8]));
        write(&mut capture);
        drop(capture);
        blocks.split_off(4)
    }

    /// The IP packet in an enhanced packet block.
    fn packet(block: &[u8]) -> &[u8] {
        let length = u32::from_le_bytes(block[20..24].try_into().unwrap()) as usize;
        &block[28..28 + length]
    }

    #[test]
    fn a_file_opens_with_a_section_and_an_interface_for_each_plane() {
        let mut file = Vec::new();
        Capture::new(UnixMillis(0), |bytes: &[u8]| file.extend_from_slice(bytes));
        let section = bytes_from_hex(
            "0a0d0d0a 2c000000 4d3c2b1a 0100 0000 ffffffffffffffff 0400 0700 70327069707476 00 0000 0000 2c000000",
        );
        assert_eq!(file[..44], section.unwrap());
        let overlay = bytes_from_hex(
            "01000000 24000000 6500 0000 00000000 0200 0700 6f7665726c6179 00 0000 0000 24000000",
        );
        assert_eq!(file[44..80], overlay.unwrap());
        assert!(file.windows(10).any(|w| w == b"signalling") && file.windows(5).any(|w| w == b"media"));
    }

    #[test]
    fn a_datagram_over_ipv4_byte_for_byte() {
        let (from, to) = addresses(false);
        let blocks = capture(|c| c.datagram(Instant::from_micros(7), Plane::Media, from, to, b"abc"));
        let expected = bytes_from_hex(
            "06000000 40000000 02000000 00000000 07ca9a3b 1f000000 1f000000
             4500001f 00004000 401126cc 0a000001 0a000002
             17c417c4 000bf7ea 616263 00 40000000",
        );
        assert_eq!(blocks[0], expected.unwrap());
    }

    #[test]
    fn keys_are_a_block_of_secrets_byte_for_byte() {
        let blocks = capture(|c| c.keys("LABEL 01 02\n"));
        let expected =
            bytes_from_hex("0a000000 20000000 4b534c54 0c000000 4c4142454c203031203032 0a 20000000");
        assert_eq!(blocks[0], expected.unwrap());
        let odd = capture(|c| c.keys("A 1 2\n"));
        assert_eq!((odd[0].len(), &odd[0][12..16], &odd[0][22..24]), (28, &[6, 0, 0, 0][..], &[0, 0][..]));
    }

    #[test]
    fn every_checksum_verifies_in_both_families_and_at_odd_lengths() {
        for v6 in [false, true] {
            let (from, to) = addresses(v6);
            for payload in [&b""[..], b"a", b"ab", &[0xff; 1328]] {
                let blocks = capture(|c| {
                    c.datagram(Instant::ZERO, Plane::Overlay, from, to, payload);
                    c.bytes(Instant::ZERO, Plane::Signalling, from, to, payload);
                });
                for block in &blocks {
                    let packet = packet(block);
                    let (header, protocol, addresses) =
                        if v6 { (40, packet[6], &packet[8..40]) } else { (20, packet[9], &packet[12..20]) };
                    let transport = &packet[header..];
                    let length = (transport.len() as u16).to_be_bytes();
                    assert!(v6 || checksum(&[&packet[..20]]) == 0);
                    assert_eq!(checksum(&[addresses, &[0, protocol], &length, transport]), 0);
                }
            }
        }
    }

    #[test]
    fn sequence_numbers_of_a_connection_are_continuous_both_ways() {
        let (from, to) = addresses(false);
        let blocks = capture(|c| {
            c.opened(Instant::ZERO, Plane::Signalling, from, to);
            c.bytes(Instant::ZERO, Plane::Signalling, from, to, &[1; 2000]);
            c.bytes(Instant::ZERO, Plane::Signalling, to, from, &[2; 10]);
            c.closed(Instant::ZERO, Plane::Signalling, from, to);
        });
        let numbers: Vec<(u8, u32, u32)> = blocks
            .iter()
            .map(|block| {
                let tcp = &packet(block)[20..];
                let number = |at: usize| u32::from_be_bytes(tcp[at..at + 4].try_into().unwrap());
                (tcp[13], number(4), number(8))
            })
            .collect();
        let expected = [
            (SYN, 0, 0),
            (SYN | ACK, 0, 1),
            (ACK, 1, 1),
            (PUSH | ACK, 1, 1),
            (PUSH | ACK, 1449, 1),
            (PUSH | ACK, 1, 2001),
            (FIN | ACK, 2001, 11),
            (FIN | ACK, 11, 2002),
            (ACK, 2002, 12),
        ];
        assert_eq!(numbers, expected);
    }

    #[test]
    fn what_udp_cannot_carry_is_left_out() {
        let (from, to) = addresses(false);
        let blocks = capture(|c| {
            c.datagram(Instant::ZERO, Plane::Media, from, to, &[0; DATAGRAM + 1]);
            c.datagram(Instant::ZERO, Plane::Media, from, to, &[0; DATAGRAM]);
        });
        assert_eq!(blocks.len(), 1);
    }
}
