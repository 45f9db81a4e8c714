//! The list of a window as it is sent, and the lists that are known to be the source's.

use crate::rtp::header::{Header, Packet, PayloadType};
use alloc::collections::VecDeque;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// The payload type of lists: a dynamic one (RFC 3551 §3).
pub const LIST: PayloadType = PayloadType(127);

/// The most packets of a window: with a signature of 256 octets their list still fits into a datagram.
pub const MAX_WINDOW: usize = 72;

/// What a signature is made for, so that it cannot be taken for one of something else.
pub const CONTEXT: &[u8] = b"p2piptv RTP window 1\0";

pub(super) const VERSION: u8 = 1;
/// Octets of version, count, first sequence number and number.
pub(super) const HEAD: usize = 12;

/// The first 128 bits of a SHA-256.
pub(super) type Hash = [u8; 16];

pub(super) fn hash(packet: &[u8]) -> Hash {
    let mut first = Hash::default();
    first.copy_from_slice(&Sha256::digest(packet)[..16]);
    first
}

/// The SSRC of the lists about the packets of this one, and the other way round.
pub const fn counterpart(ssrc: u32) -> u32 {
    !ssrc
}

/// The list in front of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// The number of the window.
    pub number: u64,
    /// The SSRC of the packets that it is about.
    pub ssrc: u32,
    /// Its own sequence number.
    pub sequence: u16,
    /// The first packet that it is about, and how many there are.
    pub first: u16,
    pub(super) count: u8,
    pub(super) packet: Bytes,
}

impl List {
    /// Reads a whole RTP packet, and takes no signature's word for it yet.
    pub fn parse(packet: Bytes) -> Option<Self> {
        // Nothing but the fixed header: what is signed is what is read.
        let parsed = Packet::parse(&packet).ok().filter(|_| packet.first() == Some(&0x80))?;
        let header = parsed.header;
        let (&[VERSION, count @ 1..=255, f0, f1, n0, n1, n2, n3, n4, n5, n6, n7], _) =
            parsed.payload.split_first_chunk::<HEAD>()?
        else {
            return None;
        };
        let fits = usize::from(count) <= MAX_WINDOW && packet.len() > Self::signed_len(count);
        (fits && header.payload_type == LIST && !header.marker).then_some(List {
            number: u64::from_be_bytes([n0, n1, n2, n3, n4, n5, n6, n7]),
            ssrc: counterpart(header.ssrc),
            sequence: header.sequence,
            first: u16::from_be_bytes([f0, f1]),
            count,
            packet,
        })
    }

    pub(super) const fn signed_len(count: u8) -> usize {
        Header::LEN + HEAD + count as usize * 16
    }

    /// The whole RTP packet.
    pub const fn packet(&self) -> &Bytes {
        &self.packet
    }

    /// What is signed, and the signature.
    pub fn parts(&self) -> (&[u8], &[u8]) {
        self.packet.split_at(Self::signed_len(self.count))
    }

    /// How many packets it is about, one at least.
    pub(super) const fn count(&self) -> u16 {
        self.count as u16
    }

    /// The number behind those of its packets.
    pub const fn end(&self) -> u16 {
        self.first.wrapping_add(self.count as u16)
    }

    /// Whether it is about the packet of this number.
    pub const fn covers(&self, sequence: u16) -> bool {
        sequence.wrapping_sub(self.first) < self.count as u16
    }

    /// What it says of a packet, if it is about it.
    fn says(&self, header: &Header, packet: &[u8]) -> Option<bool> {
        if self.ssrc != header.ssrc || !self.covers(header.sequence) {
            return None;
        }
        let at = Header::LEN + HEAD + usize::from(header.sequence.wrapping_sub(self.first)) * 16;
        Some(self.packet.get(at..at + 16) == Some(&hash(packet)))
    }
}

/// The last lists that are known to be the source's, in the order of their numbers.
#[derive(Clone, Debug)]
pub struct Lists {
    lists: VecDeque<List>,
    limit: usize,
    /// Lists of lower numbers are old.
    floor: u64,
}

impl Lists {
    /// Remembers so many.
    pub const fn new(limit: usize) -> Self {
        Lists { lists: VecDeque::new(), limit, floor: 0 }
    }

    /// The newest one.
    pub fn newest(&self) -> Option<&List> {
        self.lists.back()
    }

    /// The one about this packet.
    pub fn about(&self, ssrc: u32, sequence: u16) -> Option<&List> {
        self.lists.iter().rev().find(|list| list.ssrc == ssrc && list.covers(sequence))
    }

    /// The one with this sequence number of its own.
    pub fn of_sequence(&self, ssrc: u32, sequence: u16) -> Option<&List> {
        self.lists.iter().rev().find(|list| list.ssrc == ssrc && list.sequence == sequence)
    }

    /// Those with numbers from this one on, oldest first.
    pub fn from(&self, number: u64) -> impl Iterator<Item = &List> {
        self.lists.iter().skip(self.lists.partition_point(|list| list.number < number))
    }

    /// The number of the oldest one about this packet, or about any behind it, also of a source that follows this one.
    pub fn number_for(&self, ssrc: u32, sequence: u16) -> Option<u64> {
        let follows = self.lists.iter().rev().take_while(|list| list.ssrc != ssrc).count();
        let of_source = self.lists.iter().rev().skip(follows).take_while(|list| list.ssrc == ssrc);
        let needed = of_source.take_while(|list| (list.end().wrapping_sub(sequence) as i16) > 0);
        let newest = self.lists.len().checked_sub(needed.count() + follows)?;
        self.lists.get(newest).map(|list| list.number)
    }

    /// The one of this number.
    pub(super) fn of_number(&self, number: u64) -> Option<&List> {
        self.lists.binary_search_by_key(&number, |list| list.number).ok().and_then(|at| self.lists.get(at))
    }

    /// Lists of lower numbers are old from now on.
    pub(super) fn not_before(&mut self, number: u64) {
        self.floor = self.floor.max(number);
    }

    pub(super) const fn is_old(&self, number: u64) -> bool {
        number < self.floor
    }

    /// What the newest list that is about this packet says of it.
    pub(in crate::rtp) fn says(&self, header: &Header, packet: &[u8]) -> Option<bool> {
        self.lists.iter().rev().find_map(|list| list.says(header, packet))
    }

    /// Takes in a list of the source's. It keeps no part of the buffer that brought it.
    pub(in crate::rtp) fn insert(&mut self, list: &List) {
        let Err(at) = self.lists.binary_search_by_key(&list.number, |known| known.number) else { return };
        self.lists.insert(at, List { packet: Bytes::copy_from_slice(&list.packet), ..*list });
        if self.lists.len() > self.limit.max(1)
            && let Some(oldest) = self.lists.pop_front()
        {
            self.floor = self.floor.max(oldest.number + 1);
        }
    }
}
