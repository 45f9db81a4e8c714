//! The last packets of a channel, for those who lack some: a child that lost one, a standby's child that takes up where
//! its parent fell silent, a newcomer that wants a picture at once.
//!
//! A ring keeps what is younger than [`Limits::time`], and all of the last group of pictures, within [`Limits::packets`] and
//! [`Limits::octets`]. It holds the very buffers that came in, shared and not copied; in the steady state keeping a
//! packet allocates nothing.
//!
//! # What a packet keeps in memory
//!
//! A [`Bytes`] may be a slice of something larger, and then the whole of it stays as long as the slice does. The library
//! cannot see that; the host says it by [`Limits::buffer`]: the size of the buffers out of which it cuts datagrams, or 0 if
//! each datagram has its own. A packet that lies in the same stretch of so many octets as the one before it, and behind
//! it, costs nothing more; any other is taken to hold a whole buffer. So somebody who has a host fill its buffers with rubbish
//! between two packets shortens the ring, and does not make it hold more. (As a stretch begins with the first packet that
//! is kept, it can reach into the next buffer if that happens to lie behind it: the sum is at least half of the truth.)
//!
//! # Random access
//!
//! A decoder starts at a random access point, and needs the program's tables (PAT and PMT) first. A start is
//! therefore the packet of the last PAT that a PMT follows in front of the random access point, or the packet of the random access
//! point itself if there is no such pair. Audio may be accessed nearly everywhere, so that in a program with video only its pictures
//! count.

use super::header::{Header, PayloadType};
use super::mp2t;
use crate::time::{Duration, Instant};
use alloc::collections::VecDeque;
use bytes::Bytes;

/// A source that sends nothing for longer than this rests; the pace of its packets is that of the time in which it does not.
const LONGEST_GAP: Duration = Duration::from_millis(100);

/// How much a ring may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sequence numbers from the oldest packet to the newest, those that are missing included. 0: nothing is kept.
    pub packets: usize,
    /// Octets that the packets keep in memory.
    pub octets: usize,
    /// Packets are kept for this long, and for longer only as part of the last group of pictures.
    pub time: Duration,
    /// The size of the buffers that the host cuts datagrams out of; 0 if a packet's memory is its own.
    pub buffer: usize,
}

/// Two seconds of 8 Mbit/s are 1,520 packets and 2 MB; a group of pictures may be five times as long.
impl Default for Limits {
    fn default() -> Self {
        Limits { packets: 4096, octets: 8 << 20, time: Duration::from_secs(2), buffer: 0 }
    }
}

/// One sequence number.
#[derive(Clone, Debug)]
struct Slot {
    /// Empty while the packet is missing.
    packet: Bytes,
    came: Instant,
    /// How much longer than [`LONGEST_GAP`] for each number nothing had come before it.
    rest: Duration,
    /// Octets that go with this slot.
    cost: usize,
    /// The stretch of memory that it shares with others; `None` if with nobody.
    stretch: Option<u32>,
}

impl Slot {
    const MISSING: Slot =
        Slot { packet: Bytes::new(), came: Instant::ZERO, rest: Duration::ZERO, cost: 0, stretch: None };
}

/// The stretch of memory in which the last packet lies.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    id: u32,
    start: usize,
    last: usize,
}

/// Where a decoder can start.
#[derive(Clone, Copy, Debug)]
struct Access {
    /// The packet of the random access point.
    at: u64,
    /// The first packet to send.
    start: u64,
}

/// The last packets of one source, by extended sequence number.
#[derive(Clone, Debug)]
pub struct Ring {
    limits: Limits,
    /// From the oldest packet to the newest: the first and the last are never missing.
    slots: VecDeque<Slot>,
    /// The number of the first slot.
    first: u64,
    octets: usize,
    /// How long the source rested between the oldest packet and the newest.
    rested: Duration,
    stretch: Option<Stretch>,
    stretches: u32,
    /// The last PAT.
    association: Option<u64>,
    /// The last PAT that a PMT has followed.
    tables: Option<u64>,
    access: Option<Access>,
    /// The program has video.
    has_pictures: bool,
}

impl Ring {
    /// Nothing was kept yet.
    pub const fn new(limits: Limits) -> Self {
        Ring {
            limits,
            slots: VecDeque::new(),
            first: 0,
            octets: 0,
            rested: Duration::ZERO,
            stretch: None,
            stretches: 0,
            association: None,
            tables: None,
            access: None,
            has_pictures: false,
        }
    }

    /// Another source, or a new beginning: what is here has nothing to do with what follows.
    pub fn clear(&mut self) {
        self.slots.clear();
        *self = Ring { slots: core::mem::take(&mut self.slots), ..Ring::new(self.limits) };
    }

    /// Keeps a packet of this extended number, which comes for the first time. `payload` is what it carries, without
    /// header and padding.
    pub fn insert(&mut self, now: Instant, number: u64, packet: &Bytes, payload: &[u8]) {
        let next = self.first + self.slots.len() as u64;
        if self.slots.is_empty() || number.saturating_sub(next) >= self.limits.packets as u64 {
            self.clear();
            self.first = number;
        } else if number < self.first {
            return;
        }
        let at = (number - self.first) as usize;
        let is_newest = at >= self.slots.len();
        let mut rest = Duration::ZERO;
        if is_newest {
            let since = self.slots.back().map_or(now, |newest| newest.came);
            let steps = u32::try_from(at + 1 - self.slots.len()).unwrap_or(u32::MAX);
            rest = now.since(since).saturating_sub(LONGEST_GAP.saturating_mul(steps));
            self.rested += rest;
            self.slots.resize(at + 1, Slot::MISSING);
        }
        if PayloadType(packet.get(1).map_or(0, |second| second & 0x7f)) == PayloadType::MP2T {
            self.look_for_access(number, is_newest, payload);
        }
        let (stretch, cost) = if is_newest { self.stretch_of(packet) } else { (None, self.alone(packet)) };
        self.octets += cost;
        self.slots[at] = Slot { packet: packet.clone(), came: now, rest, cost, stretch };
        self.make_room(now);
    }

    /// A packet, and when it came.
    pub fn get(&self, number: u64) -> Option<(&Bytes, Instant)> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.slots.get(at).filter(|slot| !slot.packet.is_empty()).map(|slot| (&slot.packet, slot.came))
    }

    /// The number of the oldest packet.
    pub fn oldest(&self) -> Option<u64> {
        (!self.slots.is_empty()).then_some(self.first)
    }

    /// Where somebody who has nothing yet should start: at the last random access point, its tables in front.
    pub fn start(&self) -> Option<u64> {
        self.access.map(|access| access.start)
    }

    /// The mean time between two packets of the source while it did not rest, as they came. If they came faster than their
    /// timestamps say, in a replay, it is the timestamps that count; but no more than fourfold, for they are only what somebody
    /// claims.
    pub fn spacing(&self) -> Option<Duration> {
        let (oldest, newest) = (self.slots.front()?, self.slots.back()?);
        let steps = u32::try_from(self.slots.len() - 1).ok().filter(|&n| n > 0)?;
        let came = newest.came.since(oldest.came).saturating_sub(self.rested);
        let claimed = match (timestamp(&oldest.packet), timestamp(&newest.packet)) {
            (Some(from), Some(to)) => Duration::from_micros(u64::from(to.wrapping_sub(from)) * 100 / 9),
            _ => Duration::ZERO,
        };
        let claimed = claimed.saturating_sub(self.rested);
        Some(came.max(claimed.min(came * 4)) / steps)
    }

    /// What a packet costs that shares its memory with no other.
    fn alone(&self, packet: &Bytes) -> usize {
        packet.len().max(self.limits.buffer)
    }

    /// The stretch of memory of the newest packet, and what it costs more than is counted.
    fn stretch_of(&mut self, packet: &Bytes) -> (Option<u32>, usize) {
        let at = packet.as_ptr() as usize;
        if let Some(stretch) = &mut self.stretch
            && at > stretch.last
            && at + packet.len() <= stretch.start + self.limits.buffer
        {
            stretch.last = at;
            return (Some(stretch.id), 0);
        }
        self.stretches = self.stretches.wrapping_add(1);
        self.stretch = Some(Stretch { id: self.stretches, start: at, last: at });
        (Some(self.stretches), self.alone(packet))
    }

    fn look_for_access(&mut self, number: u64, is_newest: bool, payload: &[u8]) {
        let Ok(packets) = mp2t::packets(payload) else { return };
        for packet in packets {
            if packet.starts_picture() && !self.has_pictures {
                self.has_pictures = true;
                self.access = None;
            }
            // Of a packet that comes late only what it gives access to still matters.
            if is_newest && packet.pid() == mp2t::Pid::PAT && packet.starts_unit() {
                self.association = Some(number);
            } else if is_newest && packet.starts_program_map() {
                self.tables = self.association;
            }
            let counts = packet.is_random_access() && (packet.starts_picture() || !self.has_pictures);
            if counts && self.access.is_none_or(|access| access.at < number) {
                let tables = self.tables.filter(|&tables| (self.first..=number).contains(&tables));
                self.access = Some(Access { at: number, start: tables.unwrap_or(number) });
            }
        }
    }

    /// Lets go of the oldest packets until all limits are kept.
    fn make_room(&mut self, now: Instant) {
        while let Some(oldest) = self.slots.front() {
            let in_last_group = self.access.is_some_and(|access| access.start <= self.first);
            let outlived = now.since(oldest.came) > self.limits.time && !in_last_group;
            let too_many = self.slots.len() > self.limits.packets || self.octets > self.limits.octets;
            if !outlived && !too_many {
                return;
            }
            self.let_go();
        }
    }

    /// Lets go of the oldest packet, and of the gap behind it.
    fn let_go(&mut self) {
        let Some(oldest) = self.slots.pop_front() else { return };
        self.first += 1;
        while self.slots.front().is_some_and(|slot| slot.packet.is_empty()) {
            self.slots.pop_front();
            self.first += 1;
        }
        if let Some(oldest) = self.slots.front_mut() {
            self.rested = self.rested.saturating_sub(core::mem::take(&mut oldest.rest));
        }
        if self.access.is_some_and(|access| access.start < self.first) {
            self.access = None;
        }
        if oldest.cost == 0 {
            return;
        }
        // The memory is held as long as another packet lies in it, which bears the cost from now on.
        let others = self.slots.iter_mut().filter(|slot| slot.stretch.is_some());
        match others.take(1).find(|slot| slot.stretch == oldest.stretch) {
            Some(heir) => heir.cost = oldest.cost,
            None => self.octets -= oldest.cost,
        }
    }
}

/// The timestamp of an MP2T packet, on its clock of 90 kHz.
fn timestamp(packet: &Bytes) -> Option<u32> {
    let header = packet.get(..Header::LEN)?;
    let is_mp2t = header[1] & 0x7f == PayloadType::MP2T.0;
    is_mp2t.then(|| u32::from_be_bytes([header[4], header[5], header[6], header[7]]))
}

#[cfg(test)]
mod tests {
    use super::super::mp2t::TsPacket;
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    const LIMITS: Limits = Limits { packets: 1000, octets: 1 << 20, time: Duration::from_secs(2), buffer: 0 };

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn ts(head: &[u8]) -> [u8; TsPacket::LEN] {
        let mut packet = [0xff; TsPacket::LEN];
        packet[0] = TsPacket::SYNC;
        packet[1..1 + head.len()].copy_from_slice(head);
        packet
    }

    /// The transport packets that these letters stand for: the tables A and M, a picture P or one to start with K, sound
    /// S that gives access too, anything else.
    fn transport(letters: &str) -> Vec<u8> {
        let packet = |letter| match letter {
            'A' => ts(&[0x40, 0x00, 0x10, 0x00, 0x00, 0xb0, 0x0d]),
            'M' => ts(&[0x50, 0x00, 0x10, 0x00, 0x02, 0xb0, 0x17]),
            'K' => ts(&[0x41, 0x00, 0x30, 1, 0x40, 0, 0, 1, 0xe0]),
            'P' => ts(&[0x41, 0x00, 0x30, 1, 0x00, 0, 0, 1, 0xe0]),
            'S' => ts(&[0x41, 0x01, 0x30, 1, 0x40, 0, 0, 1, 0xc0]),
            _ => ts(&[0x01, 0x00, 0x10]),
        };
        letters.chars().flat_map(packet).collect()
    }

    fn packet(number: u64, letters: &str) -> Bytes {
        let header = Header {
            marker: false,
            payload_type: PayloadType::MP2T,
            sequence: number as u16,
            timestamp: number as u32 * 900,
            ssrc: 1,
        };
        [&header.to_bytes()[..], &transport(letters)].concat().into()
    }

    /// One packet every ten milliseconds.
    fn put(ring: &mut Ring, number: u64, letters: &str) {
        let packet = packet(number, letters);
        ring.insert(at(number * 10), number, &packet, &packet[Header::LEN..]);
    }

    fn numbers(ring: &Ring) -> Vec<u64> {
        let end = ring.first + ring.slots.len() as u64;
        (ring.first..end).filter(|&n| ring.get(n).is_some()).collect()
    }

    #[test]
    fn what_went_in_comes_out_by_its_number_and_is_the_same_memory() {
        let mut ring = Ring::new(LIMITS);
        let first = packet(70_000, ".");
        ring.insert(at(700_000), 70_000, &first, &first[12..]);
        put(&mut ring, 70_003, ".");
        let (kept, came) = ring.get(70_000).unwrap();
        assert_eq!((kept.as_ptr(), came), (first.as_ptr(), at(700_000)));
        assert!([0, 69_999, 70_001, 70_002, 70_004, u64::MAX].iter().all(|&n| ring.get(n).is_none()));
        put(&mut ring, 70_001, ".");
        put(&mut ring, 69_999, ".");
        assert_eq!((numbers(&ring), ring.oldest()), (vec![70_000, 70_001, 70_003], Some(70_000)));
        ring.clear();
        assert_eq!((numbers(&ring), ring.oldest(), ring.octets), (vec![], None, 0));
    }

    #[test]
    fn packets_are_kept_for_two_seconds() {
        let mut ring = Ring::new(LIMITS);
        (0..500).for_each(|n| put(&mut ring, n, "."));
        assert_eq!(numbers(&ring), (299..500).collect::<Vec<_>>());
        // A gap has no age of its own.
        put(&mut ring, 699, ".");
        assert_eq!(numbers(&ring), [499, 699]);
        put(&mut ring, 700, ".");
        assert_eq!(numbers(&ring), [699, 700]);
    }

    #[test]
    fn the_last_group_of_pictures_is_kept_for_as_long_as_it_goes_on() {
        let mut ring = Ring::new(LIMITS);
        put(&mut ring, 0, "AM");
        put(&mut ring, 1, "K");
        (2..700).for_each(|n| put(&mut ring, n, "P"));
        assert_eq!((ring.oldest(), ring.start()), (Some(0), Some(0)));
        put(&mut ring, 700, "AMK");
        assert_eq!((ring.oldest(), ring.start()), (Some(500), Some(700)));
        // Not even it is kept beyond what a ring may hold.
        (701..1800).for_each(|n| put(&mut ring, n, "P"));
        assert_eq!((ring.oldest(), ring.start()), (Some(1599), None));
    }

    #[test]
    fn a_start_has_its_tables_in_front() {
        let start_after = |packets: &[&str]| {
            let mut ring = Ring::new(LIMITS);
            (10..).zip(packets).for_each(|(n, letters)| put(&mut ring, n, letters));
            ring.start()
        };
        assert_eq!(start_after(&[".", "AMK", "."]), Some(11));
        assert_eq!(start_after(&[".A", "M.", "..", "K"]), Some(10));
        assert_eq!(
            start_after(&["AM", "A", "K"]),
            Some(10),
            "the second PAT has no PMT in front of the picture"
        );
        assert_eq!(start_after(&["AM", "A", "M", "K"]), Some(11));
        assert_eq!(start_after(&["AM", "KAM"]), Some(10), "tables behind it are of no use");
        assert_eq!(start_after(&["M", "K", "AM"]), Some(11), "without tables the picture itself has to do");
        assert_eq!(start_after(&["AM", "P", "."]), None);
    }

    #[test]
    fn where_there_are_pictures_sound_is_no_start() {
        let mut ring = Ring::new(LIMITS);
        put(&mut ring, 0, "AMS");
        put(&mut ring, 1, "S");
        assert_eq!(ring.start(), Some(0), "so far it is a radio");
        put(&mut ring, 2, "P");
        assert_eq!(ring.start(), None);
        put(&mut ring, 3, "K");
        put(&mut ring, 4, "S");
        assert_eq!(ring.start(), Some(0));
    }

    #[test]
    fn a_random_access_point_that_was_missing_counts_when_it_comes() {
        let mut ring = Ring::new(LIMITS);
        put(&mut ring, 0, "AMK");
        put(&mut ring, 1, "AM");
        put(&mut ring, 3, "P");
        put(&mut ring, 4, "AM");
        put(&mut ring, 2, "K");
        // The tables behind it do not belong to it.
        assert_eq!(ring.start(), Some(2));
        // An older one than the last does not count.
        put(&mut ring, 6, "AMK");
        put(&mut ring, 5, "K");
        assert_eq!(ring.start(), Some(6));
    }

    #[test]
    fn other_payloads_have_no_random_access() {
        let mut ring = Ring::new(LIMITS);
        let mut other = packet(0, "AMK").to_vec();
        other[1] = 96;
        ring.insert(at(0), 0, &other.clone().into(), &other[12..]);
        assert_eq!((ring.start(), numbers(&ring)), (None, vec![0]));
    }

    #[test]
    fn the_spacing_is_that_of_the_source_even_if_a_replay_brought_the_packets() {
        let spacing = |millis: u64, ticks: u32| {
            let mut ring = Ring::new(LIMITS);
            for n in 0..11 {
                let mut packet = packet(n, ".").to_vec();
                packet[4..8].copy_from_slice(&u32::MAX.wrapping_add(n as u32 * ticks).to_be_bytes());
                ring.insert(at(n * millis), n, &packet.clone().into(), &packet[12..]);
            }
            ring.spacing().map(|spacing| spacing.as_micros())
        };
        assert_eq!(spacing(10, 900), Some(10_000));
        assert_eq!(spacing(3, 900), Some(10_000));
        assert_eq!(spacing(10, 0), Some(10_000));
        assert_eq!(spacing(10, 1 << 28), Some(40_000));
        let mut ring = Ring::new(LIMITS);
        put(&mut ring, 1, ".");
        assert_eq!(ring.spacing(), None);
    }

    #[test]
    fn a_rest_of_the_source_makes_its_pace_no_slower() {
        let limits = Limits { time: Duration::from_secs(10), ..LIMITS };
        let mut ring = Ring::new(limits);
        let put_at = |ring: &mut Ring, millis: u64, number: u64| {
            let mut packet = packet(number, ".").to_vec();
            packet[4..8].copy_from_slice(&(millis as u32 * 90).to_be_bytes());
            ring.insert(at(millis), number, &packet.into(), &[]);
            ring.spacing()
        };
        // A packet every ten milliseconds, and two seconds without any: that is one gap of 100 ms.
        (0..50).for_each(|n| _ = put_at(&mut ring, n * 10, n));
        let spacing = (50..100).map(|n| put_at(&mut ring, 2000 + n * 10, n)).last().unwrap();
        assert_eq!(spacing, Some(Duration::from_millis(98 * 10 + 100) / 99));
        // When the rest is too old to be here it counts no more.
        let spacing = (100..1600).map(|n| put_at(&mut ring, 2000 + n * 10, n)).last().unwrap();
        assert_eq!((ring.oldest(), spacing), (Some(600), Some(Duration::from_millis(10))));
        // Where packets are missing nobody rested.
        let spacing = put_at(&mut ring, 2000 + 1650 * 10, 1650);
        assert_eq!(spacing, Some(Duration::from_millis(10)));
    }

    #[test]
    fn k8_packets_out_of_shared_buffers_cost_what_they_keep_in_memory() {
        const BUFFER: usize = 64 * 200;
        let mut ring = Ring::new(Limits { buffer: BUFFER, ..LIMITS });
        let cut = |from: u64, count: u64| -> Vec<Bytes> {
            let mut buffer: Vec<u8> = (from..from + count).flat_map(|n| packet(n, ".")).collect();
            buffer.resize(BUFFER, 0);
            let buffer = Bytes::from(buffer);
            (0..count as usize).map(|n| buffer.slice(n * 200..n * 200 + 200)).collect()
        };
        // Two full ones, and one that holds a single packet.
        let (a, b, c) = (cut(0, 64), cut(64, 64), cut(128, 1));
        for (n, packet) in (0..).zip(a.iter().chain(&b).chain(&c)) {
            ring.insert(at(0), n, packet, &packet[12..]);
        }
        // The first of a stretch may have been taken for one of the stretch before, if that lies in front of it.
        assert!((BUFFER * 3 / 2..=3 * BUFFER).contains(&ring.octets), "{}", ring.octets);
        // As long as the last packet of a buffer is here, the buffer is.
        let before = ring.octets;
        (0..63).for_each(|_| ring.let_go());
        assert_eq!(ring.octets, before);
        (63..129).for_each(|_| ring.let_go());
        assert_eq!((ring.octets, ring.oldest()), (0, None));
        // A late packet is taken to be alone.
        ring.insert(at(0), 200, &a[0], &[]);
        ring.insert(at(0), 202, &a[2], &[]);
        assert_eq!(ring.octets, BUFFER);
        ring.insert(at(0), 201, &a[1], &[]);
        assert_eq!(ring.octets, 2 * BUFFER);
    }

    #[test]
    fn k8_a_ring_holds_no_more_octets_than_it_may() {
        let mut ring = Ring::new(Limits { octets: 1000, ..LIMITS });
        (0..100).for_each(|n| put(&mut ring, n, "."));
        assert_eq!(numbers(&ring), [95, 96, 97, 98, 99]);
        let mut none = Ring::new(Limits { packets: 0, ..LIMITS });
        (0..100).for_each(|n| put(&mut none, n, "AMK"));
        assert_eq!((none.oldest(), none.start(), none.octets), (None, None, 0));
    }

    #[test]
    fn k7_k8_any_packets_in_any_order_leave_the_ring_within_its_limits_and_true() {
        fn law(packets: Vec<(u16, u8, u8)>, buffer: u8) -> bool {
            let limits = Limits {
                packets: 40,
                octets: 8000,
                time: Duration::from_millis(900),
                buffer: usize::from(buffer % 4) * 300,
            };
            let mut ring = Ring::new(limits);
            let mut sent: Vec<(u64, Bytes)> = Vec::new();
            let (mut now, mut number) = (0, 1000);
            for (step, back, letters) in packets {
                now += u64::from(step % 64);
                number += if step % 97 == 0 { 500 } else { u64::from(step % 3) };
                let late = number - u64::from(back % 8) * u64::from(step % 5 / 4);
                let letters = ["AMK", "P", "S", "A", "M", "K", "."][usize::from(letters % 7)];
                if sent.iter().any(|(n, _)| *n == late) {
                    continue;
                }
                let packet = packet(late, letters);
                ring.insert(at(now), late, &packet, &packet[12..]);
                sent.push((late, packet));
                let within = ring.slots.len() <= limits.packets && ring.octets <= limits.octets;
                let costs: usize = ring.slots.iter().map(|slot| slot.cost).sum();
                let ends = |slot: Option<&Slot>| slot.is_none_or(|slot| !slot.packet.is_empty());
                let framed = ends(ring.slots.front()) && ends(ring.slots.back());
                let startable = ring.start().is_none_or(|start| ring.first <= start);
                let same = sent.iter().all(|(n, p)| ring.get(*n).is_none_or(|(kept, _)| kept == p));
                if !(within && costs == ring.octets && framed && startable && same) {
                    return false;
                }
            }
            true
        }
        quickcheck::QuickCheck::new().tests(500).quickcheck(law as fn(Vec<(u16, u8, u8)>, u8) -> bool);
    }
}
