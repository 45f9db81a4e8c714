//! Whose packets these are: the source signs windows of packets, and nobody plays or passes on what it did not send.
//!
//! RTP itself is not authenticated, because a relay sends the same octets to all its children: a key that all of them had would
//! let each of them forge. A signature for every packet would cost more than the packet. So the source signs a *list* of
//! the hashes of the next packets (the amortised signatures of RFC 7574 §6.1, with a list for the tree, as a live stream
//! is checked in the order in which it comes).
//!
//! ```text
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+ <+
//! |  RTP header of 12 octets: payload type LIST, the media's SSRC |  |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  |
//! |   version 1   |    count      |              0                |  | signed, behind CONTEXT
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  |
//! |  number of the window: 64 bits, milliseconds since 1970       |  |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  |
//! |  count times 128 bits: SHA-256 of each following RTP packet   |  |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+ <+
//! |  signature, to the end of the packet                          |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! # Why the list is a packet of the stream
//!
//! It has the sequence number in front of the packets that it lists. So it needs nothing of its own: a ring keeps it, a replay and a
//! fast start bring it, a NACK repairs it, it arrives in front of what it is about. A player that does not know its
//! payload type drops it (RFC 3550 §5.1). The source numbers its packets here, lists included: [`Signer`] is the only place
//! where a packet is changed, before it has left.
//!
//! # Who waits
//!
//! The source only: it holds back a window, [`MAX_WINDOW`] packets or [`WINDOW_TIME`], because the list has to go first. A
//! relay and a viewer check each packet when it comes and pass it on in the same call. If the list is missing, the packets
//! behind it are held until it is repaired, for [`Limits::patience`] and [`Limits::held`] at most, and then dropped and
//! counted: whoever could have them passed on unchecked by losing a list could forge what he likes.
//!
//! # What an attacker can do
//!
//! * *Change or make up a packet*: it has another hash, or no list has it. It is dropped before the duplicate window sees it, so the
//!   true one still counts when it comes.
//! * *Change or make up a list*: the signature does not hold. Trying signatures is what costs most here, so who sends wrong ones is soon
//!   believed slowly: [`TRIALS`] at once, then one each [`TRIAL_INTERVAL`]. Wrong signatures thereby delay lists, but a true one
//!   that is refused for that is asked for again like one that was lost.
//! * *Send an old window again*: its number is too low. The number is the time of day at the source, so that a newcomer, who has seen
//!   none yet, can refuse what is older than his own clock allows ([`Guard::not_before`]).
//! * *Hold packets back*: that is a silence or a loss, and treated as one.
//!
//! # What it costs
//!
//! With 64 packets of 1328 octets a list is 1.3 % of them, with the 47 that come in [`WINDOW_TIME`] at 2 Mbit/s 1.4 %; below 1.15 Mbit/s
//! windows become so short that it is more than 1.5 %. At 2 Mbit/s four lists a second are signed (27 µs each with ECDSA
//! P-256) and checked (88 µs): 0.1 ms of a second at the source, 0.35 ms at everybody else, and a hash over every packet.
//!
//! This module is the two machines and their wire format, blind to keys: whoever owns them lends a function that signs or
//! verifies. Neither [`relay`](super::relay) nor the node uses it so far.

use super::header::{Header, Packet, PayloadType};
use crate::time::{Duration, Instant};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{BufMut as _, Bytes};
use sha2::{Digest as _, Sha256};

/// The payload type of lists: a dynamic one (RFC 3551 §3).
pub const LIST: PayloadType = PayloadType(127);

/// The most packets of a window.
pub const MAX_WINDOW: usize = 64;

/// The longest that the source holds a packet back.
pub const WINDOW_TIME: Duration = Duration::from_millis(250);

/// Wrong signatures that are tried at once.
pub const TRIALS: u32 = 8;

/// After so long one more is tried.
pub const TRIAL_INTERVAL: Duration = Duration::from_millis(100);

/// What a signature is made for, so that it cannot be taken for one of something else.
pub const CONTEXT: &[u8] = b"p2piptv RTP window 1\0";

const VERSION: u8 = 1;
/// Octets of version, count and number.
const HEAD: usize = 12;

/// The first 128 bits of a SHA-256.
type Hash = [u8; 16];

fn hash(packet: &[u8]) -> Hash {
    let mut first = Hash::default();
    first.copy_from_slice(&Sha256::digest(packet)[..16]);
    first
}

/// What is signed.
fn statement(list: &[u8]) -> Vec<u8> {
    [CONTEXT, list].concat()
}

/// The source's side: collects packets into windows, numbers them, and puts the signed list in front.
#[derive(Debug)]
pub struct Signer {
    ssrc: u32,
    /// The sequence number of the next list.
    next: u16,
    /// The number of the last window.
    number: u64,
    window: Vec<Bytes>,
    since: Instant,
}

/// A packet that cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Not an RTP packet.
    #[error("not an RTP packet")]
    NotRtp,
    /// The window is full: it has to be closed first.
    #[error("the window is full")]
    Full,
}

impl Signer {
    /// A signer whose first packet has this sequence number. Both are to be chosen at random (RFC 3550 §5.1).
    pub const fn new(ssrc: u32, sequence: u16) -> Self {
        Signer { ssrc, next: sequence, number: 0, window: Vec::new(), since: Instant::ZERO }
    }

    /// Takes the next packet. Its SSRC and its sequence number become the signer's.
    pub fn push(&mut self, now: Instant, packet: &[u8]) -> Result<(), SignError> {
        Packet::parse(packet).map_err(|_| SignError::NotRtp)?;
        if self.is_full() {
            return Err(SignError::Full);
        }
        if self.window.is_empty() {
            self.since = now;
        }
        let sequence = self.next.wrapping_add(self.window.len() as u16 + 1);
        let mut renumbered = packet.to_vec();
        renumbered[2..4].copy_from_slice(&sequence.to_be_bytes());
        renumbered[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        self.window.push(renumbered.into());
        Ok(())
    }

    /// Whether the window has to be closed before it takes more.
    pub const fn is_full(&self) -> bool {
        self.window.len() >= MAX_WINDOW
    }

    /// When the window has to be closed at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        (!self.window.is_empty()).then(|| self.since + WINDOW_TIME)
    }

    /// Closes the window: the list, and the packets that it lists, to be sent in this order. `unix_millis` is the time of day.
    /// Without a signature the window stays open. An empty window gives nothing.
    pub fn close(
        &mut self,
        unix_millis: u64,
        sign: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
    ) -> Option<Vec<Bytes>> {
        let first = self.window.first()?;
        let timestamp = u32::from_be_bytes([first[4], first[5], first[6], first[7]]);
        let header =
            Header { marker: false, payload_type: LIST, sequence: self.next, timestamp, ssrc: self.ssrc };
        let number = unix_millis.max(self.number + 1);
        let mut list = Vec::with_capacity(Header::LEN + HEAD + self.window.len() * 16 + 72);
        list.extend_from_slice(&header.to_bytes());
        list.extend_from_slice(&[VERSION, self.window.len() as u8, 0, 0]);
        list.put_u64(number);
        self.window.iter().for_each(|packet| list.extend_from_slice(&hash(packet)));
        let signature = sign(&statement(&list))?;
        list.extend_from_slice(&signature);
        self.number = number;
        self.next = self.next.wrapping_add(self.window.len() as u16 + 1);
        let mut window = core::mem::take(&mut self.window);
        window.insert(0, list.into());
        Some(window)
    }
}

/// How much a guard may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Lists that are remembered: for as far back as repairs and replays bring packets.
    pub lists: usize,
    /// Packets that wait for their list. Full: the oldest is dropped.
    pub held: usize,
    /// How long they wait.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { lists: 64, held: 256, patience: Duration::from_millis(300) }
    }
}

/// What became of packets. The numbers only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Listed, and passed on.
    pub genuine: u64,
    /// Not what the source has sent.
    pub forged: u64,
    /// Dropped because no list came in time.
    pub unlisted: u64,
    /// Lists whose signature did not hold.
    pub bad_lists: u64,
}

/// Why a packet is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not what the source has sent.
    #[error("not what the source has sent")]
    Forged,
    /// A list whose signature does not hold, or that is none.
    #[error("not a list of the source's")]
    BadList,
    /// A list of a window that is over.
    #[error("an old list")]
    Old,
    /// Too many wrong signatures were tried of late.
    #[error("too many wrong signatures")]
    Suspicious,
}

/// One list that was believed.
#[derive(Clone, Debug)]
struct List {
    number: u64,
    ssrc: u32,
    /// Its own sequence number.
    sequence: u16,
    whole: Hash,
    hashes: Vec<Hash>,
}

impl List {
    /// The list of a packet, its signed part and its signature.
    fn parse(packet: &[u8]) -> Option<(Self, &[u8], &[u8])> {
        // Nothing but the fixed header: what is signed is what is read.
        let parsed = Packet::parse(packet).ok().filter(|_| packet.first() == Some(&0x80))?;
        let (&[VERSION, count @ 1..=255, 0, 0, n0, n1, n2, n3, n4, n5, n6, n7], _) =
            parsed.payload.split_first_chunk::<HEAD>()?
        else {
            return None;
        };
        let count = usize::from(count);
        let end = Header::LEN + HEAD + count * 16;
        let (signed, signature) = packet.split_at_checked(end).filter(|_| count <= MAX_WINDOW)?;
        let (hashes, _) = signed[Header::LEN + HEAD..].as_chunks();
        let list = List {
            number: u64::from_be_bytes([n0, n1, n2, n3, n4, n5, n6, n7]),
            ssrc: parsed.header.ssrc,
            sequence: parsed.header.sequence,
            whole: hash(packet),
            hashes: hashes.to_vec(),
        };
        Some((list, signed, signature))
    }

    /// What the list says of this packet, if it is about it.
    fn says(&self, header: &Header, packet: &[u8]) -> Option<bool> {
        let at = usize::from(header.sequence.wrapping_sub(self.sequence)).checked_sub(1)?;
        let listed = self.hashes.get(at).filter(|_| self.ssrc == header.ssrc)?;
        Some(*listed == hash(packet))
    }
}

/// The receiver's side: lets through what the source has sent.
#[derive(Debug)]
pub struct Guard {
    limits: Limits,
    /// In the order of their numbers.
    lists: VecDeque<List>,
    held: VecDeque<(Instant, Bytes)>,
    /// Lists of lower numbers are old.
    floor: u64,
    /// Wrong signatures that may be tried, and since when there are so many.
    trials: u32,
    tried: Instant,
    counts: Counts,
}

impl Guard {
    /// Nothing was listed yet.
    pub const fn new(limits: Limits) -> Self {
        Guard {
            limits,
            lists: VecDeque::new(),
            held: VecDeque::new(),
            floor: 0,
            trials: TRIALS,
            tried: Instant::ZERO,
            counts: Counts { genuine: 0, forged: 0, unlisted: 0, bad_lists: 0 },
        }
    }

    /// Refuses windows that were closed before this time of day.
    pub fn not_before(&mut self, unix_millis: u64) {
        self.floor = self.floor.max(unix_millis);
    }

    /// A packet has come. `pass` gets it as soon as it is known to be the source's: now, or with the list that brings the
    /// certainty. `verify` says whether a signature is the source's for a statement.
    pub fn on_packet(
        &mut self,
        now: Instant,
        packet: Bytes,
        verify: impl FnOnce(&[u8], &[u8]) -> bool,
        mut pass: impl FnMut(Bytes),
    ) -> Result<(), Refused> {
        let header = Packet::parse(&packet).map_err(|_| Refused::Forged)?.header;
        if header.payload_type == LIST {
            self.on_list(now, &packet, verify)?;
            pass(packet);
            self.release(pass);
            return Ok(());
        }
        match self.says(&header, &packet) {
            Some(true) => {
                self.counts.genuine += 1;
                pass(packet);
            }
            Some(false) => {
                self.counts.forged += 1;
                return Err(Refused::Forged);
            }
            None if self.limits.held == 0 => self.counts.unlisted += 1,
            None => {
                if self.held.len() >= self.limits.held {
                    self.held.pop_front();
                    self.counts.unlisted += 1;
                }
                self.held.push_back((now, packet));
            }
        }
        Ok(())
    }

    /// Drops what has waited for its list in vain.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.held.front().is_some_and(|&(since, _)| since + self.limits.patience <= now) {
            self.held.pop_front();
            self.counts.unlisted += 1;
        }
    }

    /// When something has waited long enough.
    pub fn deadline(&self) -> Option<Instant> {
        self.held.front().map(|&(since, _)| since + self.limits.patience)
    }

    /// What was counted so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    fn on_list(
        &mut self,
        now: Instant,
        packet: &Bytes,
        verify: impl FnOnce(&[u8], &[u8]) -> bool,
    ) -> Result<(), Refused> {
        let (list, signed, signature) = List::parse(packet).ok_or(Refused::BadList)?;
        let at = match self.lists.binary_search_by_key(&list.number, |list| list.number) {
            Ok(at) if self.lists[at].whole == list.whole => return Ok(()),
            // Two lists of one number would be two signatures of one window.
            Ok(_) => return Err(Refused::BadList),
            Err(at) => at,
        };
        if list.number < self.floor {
            return Err(Refused::Old);
        }
        let earned = now.since(self.tried).as_micros() / TRIAL_INTERVAL.as_micros();
        if earned > 0 {
            self.trials = self.trials.saturating_add(u32::try_from(earned).unwrap_or(u32::MAX)).min(TRIALS);
            self.tried = now;
        }
        if self.trials == 0 {
            return Err(Refused::Suspicious);
        }
        if !verify(&statement(signed), signature) {
            self.trials -= 1;
            self.counts.bad_lists += 1;
            return Err(Refused::BadList);
        }
        self.lists.insert(at, list);
        if self.lists.len() > self.limits.lists.max(1)
            && let Some(oldest) = self.lists.pop_front()
        {
            self.floor = self.floor.max(oldest.number + 1);
        }
        Ok(())
    }

    /// What the newest list that is about this packet says.
    fn says(&self, header: &Header, packet: &[u8]) -> Option<bool> {
        self.lists.iter().rev().find_map(|list| list.says(header, packet))
    }

    /// Lets go of what was held and is listed now, in the order in which it came.
    fn release(&mut self, mut pass: impl FnMut(Bytes)) {
        for _ in 0..self.held.len() {
            let Some((since, packet)) = self.held.pop_front() else { return };
            let header = Packet::parse(&packet).ok().map(|parsed| parsed.header);
            match header.and_then(|header| self.says(&header, &packet)) {
                Some(true) => {
                    self.counts.genuine += 1;
                    pass(packet);
                }
                Some(false) => self.counts.forged += 1,
                None => self.held.push_back((since, packet)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::bytes_from_hex;
    use alloc::vec;

    const SSRC: u32 = 0xfeed;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    /// As long as one of ECDSA P-256 at most, and as hard to make without the key as a test needs.
    fn signature(key: u8, statement: &[u8]) -> Vec<u8> {
        let digest = Sha256::digest([&[key], statement].concat());
        [&digest[..], &digest[..], &[0; 8]].concat()
    }

    fn is_from(key: u8) -> impl Fn(&[u8], &[u8]) -> bool {
        move |statement, candidate| candidate == signature(key, statement)
    }

    fn media(n: u32) -> Vec<u8> {
        let header = Header {
            marker: false,
            payload_type: PayloadType::MP2T,
            sequence: 7,
            timestamp: n * 900,
            ssrc: 1,
        };
        [&header.to_bytes()[..], &[n as u8; 1316]].concat()
    }

    /// A window of so many packets, its list in front.
    fn window(signer: &mut Signer, unix_millis: u64, count: u32) -> Vec<Bytes> {
        (0..count).for_each(|n| signer.push(at(0), &media(n)).unwrap());
        signer.close(unix_millis, |statement| Some(signature(1, statement))).unwrap()
    }

    fn signer() -> Signer {
        Signer::new(SSRC, 65_530)
    }

    fn guard() -> Guard {
        Guard::new(Limits::default())
    }

    /// What a guard passes on of this packet, and what it says.
    fn offer(guard: &mut Guard, ms: u64, packet: &Bytes) -> (Vec<Bytes>, Result<(), Refused>) {
        let mut passed = Vec::new();
        let result = guard.on_packet(at(ms), packet.clone(), is_from(1), |packet| passed.push(packet));
        (passed, result)
    }

    fn sequence(packet: &Bytes) -> u16 {
        u16::from_be_bytes([packet[2], packet[3]])
    }

    #[test]
    fn a_list_is_these_bytes() {
        let mut signer = Signer::new(SSRC, 0x1234);
        signer.push(at(0), &media(3)[..20]).unwrap();
        let sent: Vec<Bytes> = signer.close(0x0102_0304_0506, |_| Some(vec![0xaa, 0xbb])).unwrap();
        let packet = bytes_from_hex("80211235 00000a8c 0000feed 0303030303030303").unwrap();
        assert_eq!(sent[1], packet);
        let head = bytes_from_hex("807f1234 00000a8c 0000feed 01010000 0000010203040506").unwrap();
        assert_eq!(sent[0], [&head[..], &Sha256::digest(&packet)[..16], &[0xaa, 0xbb]].concat());
    }

    #[test]
    fn what_the_source_sends_passes_at_once_and_unchanged() {
        let (mut signer, mut guard) = (signer(), guard());
        for round in 0..3 {
            // Over the wrap of the sequence number, a number for the list and one for each packet.
            let sent = window(&mut signer, 1_000_000, 10);
            let expected: Vec<u16> = (0..11).map(|n| 65_530u16.wrapping_add(round * 11 + n)).collect();
            assert_eq!(sent.iter().map(sequence).collect::<Vec<_>>(), expected);
            for packet in &sent {
                let (passed, result) = offer(&mut guard, 0, packet);
                assert_eq!((&passed[..], result), (core::slice::from_ref(packet), Ok(())));
                assert_eq!(passed[0].as_ptr(), packet.as_ptr());
            }
        }
        assert_eq!(guard.counts(), Counts { genuine: 30, ..Counts::default() });
        assert_eq!(guard.deadline(), None);
    }

    #[test]
    fn no_bit_of_a_packet_or_of_a_list_can_be_changed() {
        let sent = window(&mut signer(), 1000, 3);
        for (n, whole) in sent.iter().enumerate() {
            for bit in 0..whole.len().min(120) * 8 {
                let mut guard = guard();
                if n > 0 {
                    offer(&mut guard, 0, &sent[0]).1.unwrap();
                }
                let mut forged = whole.to_vec();
                forged[bit / 8] ^= 1 << (bit % 8);
                let (passed, _) = offer(&mut guard, 0, &forged.into());
                assert_eq!(passed, [] as [Bytes; 0], "packet {n}, bit {bit}");
                assert_eq!(guard.counts().genuine, 0);
                // The true one still counts.
                assert_eq!(offer(&mut guard, 0, whole), (vec![whole.clone()], Ok(())));
            }
            for len in 0..whole.len().min(120) {
                let mut guard = guard();
                assert_eq!(
                    offer(&mut guard, 0, &whole.slice(..len)).0,
                    [] as [Bytes; 0],
                    "packet {n}, {len}"
                );
            }
        }
    }

    #[test]
    fn somebody_elses_signature_is_none() {
        let mut signer = signer();
        signer.push(at(0), &media(0)).unwrap();
        let sent: Vec<Bytes> = signer.close(9, |statement| Some(signature(2, statement))).unwrap();
        let mut guard = guard();
        assert_eq!(offer(&mut guard, 0, &sent[0]), (vec![], Err(Refused::BadList)));
        assert_eq!(offer(&mut guard, 0, &sent[1]), (vec![], Ok(())), "it waits for a true list");
        assert_eq!(guard.counts().bad_lists, 1);
    }

    #[test]
    fn packets_wait_for_a_list_that_was_lost_and_no_longer_than_they_may() {
        let (mut signer, mut guard) = (signer(), guard());
        let (first, second) = (window(&mut signer, 1000, 4), window(&mut signer, 2000, 4));
        for (ms, packet) in (0..).zip(&first[1..]) {
            assert_eq!(offer(&mut guard, ms, packet), (vec![], Ok(())));
        }
        assert_eq!(offer(&mut guard, 50, &second[1]).0, [] as [Bytes; 0]);
        // The list is repaired: what it is about leaves, in order, and nothing else.
        assert_eq!(offer(&mut guard, 60, &first[0]).0, first);
        assert_eq!(guard.deadline(), Some(at(350)));
        guard.handle_timeout(at(349));
        assert_eq!(guard.counts().unlisted, 0);
        guard.handle_timeout(at(350));
        assert_eq!((guard.deadline(), guard.counts().unlisted), (None, 1));
        assert_eq!(offer(&mut guard, 351, &second[0]).0, second[..1]);
    }

    #[test]
    fn what_was_held_and_is_forged_goes_no_further_when_the_list_comes() {
        let sent = window(&mut signer(), 1000, 2);
        let mut guard = guard();
        let mut forged = sent[1].to_vec();
        forged[500] ^= 1;
        offer(&mut guard, 0, &forged.into()).1.unwrap();
        offer(&mut guard, 0, &sent[1]).1.unwrap();
        assert_eq!(offer(&mut guard, 1, &sent[0]).0, sent[..2]);
        assert_eq!(guard.counts(), Counts { genuine: 1, forged: 1, ..Counts::default() });
    }

    #[test]
    fn an_old_window_cannot_be_played_again() {
        let (mut signer, mut guard) = (signer(), Guard::new(Limits { lists: 2, ..Limits::default() }));
        let windows: Vec<Vec<Bytes>> = (0..4).map(|n| window(&mut signer, 1000 + n, 2)).collect();
        windows.iter().for_each(|sent| offer(&mut guard, 0, &sent[0]).1.unwrap());
        assert_eq!(offer(&mut guard, 1, &windows[1][0]), (vec![], Err(Refused::Old)));
        assert_eq!(offer(&mut guard, 1, &windows[1][1]).0, [] as [Bytes; 0]);
        // One that is remembered is the same again, for the duplicate window to see to.
        assert_eq!(offer(&mut guard, 1, &windows[2][0]).0, windows[2][..1]);
        // A newcomer knows what time it is.
        let mut newcomer = Guard::new(Limits::default());
        newcomer.not_before(1002);
        assert_eq!(offer(&mut newcomer, 0, &windows[1][0]), (vec![], Err(Refused::Old)));
        assert_eq!(offer(&mut newcomer, 0, &windows[2][0]).1, Ok(()));
    }

    #[test]
    fn the_numbers_of_windows_grow_whatever_the_clock_does() {
        let mut signer = signer();
        let numbers = [5000, 5000, 3, 6000].map(|clock| {
            let sent = window(&mut signer, clock, 1);
            u64::from_be_bytes(sent[0][16..24].try_into().unwrap())
        });
        assert_eq!(numbers, [5000, 5001, 5002, 6000]);
    }

    #[test]
    fn k8_wrong_signatures_are_tried_eight_at_once_and_then_ten_in_a_second() {
        let (mut signer, mut guard) = (signer(), guard());
        let mut tried = 0;
        let mut flood = |guard: &mut Guard, ms: u64| {
            for _ in 0..50 {
                let mut forged = window(&mut signer, 1000, 1)[0].to_vec();
                forged[40] ^= 1;
                let verify = |_: &[u8], _: &[u8]| {
                    tried += 1;
                    false
                };
                guard.on_packet(at(ms), forged.into(), verify, drop).unwrap_err();
            }
            core::mem::take(&mut tried)
        };
        let tried = [0, 50, 250, 10_000].map(|ms| flood(&mut guard, 1000 + ms));
        assert_eq!(tried, [8, 0, 2, 8]);
    }

    #[test]
    fn k8_no_more_packets_wait_than_may() {
        let mut guard = Guard::new(Limits { held: 3, ..Limits::default() });
        let sent = window(&mut signer(), 1000, 10);
        sent[1..].iter().for_each(|packet| offer(&mut guard, 0, packet).1.unwrap());
        assert_eq!((guard.held.len(), guard.counts().unlisted), (3, 7));
        assert_eq!(offer(&mut guard, 0, &sent[0]).0, [&sent[..1], &sent[8..]].concat());
        let mut none = Guard::new(Limits { held: 0, ..Limits::default() });
        offer(&mut none, 0, &sent[1]).1.unwrap();
        assert_eq!((none.deadline(), none.counts().unlisted), (None, 1));
    }

    #[test]
    fn a_window_is_closed_when_it_is_full_or_old() {
        let mut signer = signer();
        assert_eq!((signer.deadline(), signer.close(1, |_| Some(vec![])).is_none()), (None, true));
        for n in 0..MAX_WINDOW as u32 {
            assert!(!signer.is_full());
            signer.push(at(100 + u64::from(n)), &media(n)).unwrap();
        }
        assert!(signer.is_full());
        assert_eq!(signer.push(at(200), &media(0)), Err(SignError::Full));
        assert_eq!(signer.push(at(200), &[0x40; 40]), Err(SignError::NotRtp));
        assert_eq!(signer.deadline(), Some(at(350)));
        // Who cannot sign now may sign later.
        assert!(signer.close(1, |_| None).is_none());
        assert_eq!(signer.close(1, |_| Some(vec![])).unwrap().len(), 1 + MAX_WINDOW);
        assert_eq!(signer.deadline(), None);
    }

    #[test]
    fn lists_are_less_than_one_and_a_half_percent_from_1_15_mbit_per_second_on() {
        let overhead = |packets_per_second: u32| {
            let count = (packets_per_second / 4).min(MAX_WINDOW as u32);
            let sent = window(&mut signer(), 1000, count);
            let media: usize = sent[1..].iter().map(Bytes::len).sum();
            sent[0].len() * 100_000 / media
        };
        // 8, 2 and 1.15 Mbit/s, in thousandths of a percent.
        assert_eq!([760, 190, 108].map(overhead), [1317, 1358, 1472]);
    }

    #[test]
    fn k7_no_packets_make_a_guard_panic_or_pass_on_what_was_not_sent() {
        fn law(changes: Vec<(u8, u8, u16, u8)>) -> bool {
            let mut signer = signer();
            let sent: Vec<Bytes> = (0..4).flat_map(|n| window(&mut signer, n, 5)).collect();
            let mut guard = Guard::new(Limits { lists: 2, held: 4, ..Limits::default() });
            changes.into_iter().all(|(time, which, place, change)| {
                let mut packet = sent[usize::from(which) % sent.len()].to_vec();
                let place = usize::from(place) % (packet.len() + 1);
                match packet.get_mut(place) {
                    Some(octet) => *octet ^= change & 0x11,
                    None => packet.truncate(usize::from(change)),
                }
                let (passed, _) = offer(&mut guard, time.into(), &packet.into());
                guard.handle_timeout(at(time.into()));
                guard.held.len() <= 4
                    && guard.lists.len() <= 2
                    && passed.iter().all(|packet| sent.contains(packet))
            })
        }
        quickcheck::QuickCheck::new().tests(300).quickcheck(law as fn(Vec<(u8, u8, u16, u8)>) -> bool);
    }
}
