//! Whose packets these are: the source signs windows of packets, and nobody plays or passes on what it did not send.
//!
//! RTP itself is not authenticated, because a relay sends the same octets to all its children: a key that all of them had would
//! let each of them forge. A signature for every packet would cost more than the packet. So the source signs a *list* of
//! the hashes of the next packets (the amortised signatures of RFC 7574 §6.1, with a list for the tree, as a live stream
//! is checked in the order in which it comes).
//!
//! ```text
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+ <+
//! |  RTP header of 12 octets: payload type LIST, own SSRC/numbers |  |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  |
//! |   version 1   |    count      |  first sequence number        |  | signed, behind CONTEXT
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  | and the channel
//! |  number of the window: 64 bits, milliseconds since 1970       |  |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  |
//! |  count times 128 bits: SHA-256 of the packet of each number   |  |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+ <+
//! |  signature, to the end of the packet                          |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! The hash of a number that the source has no packet of is zero, and nothing has it.
//!
//! # Why lists are a stream of their own
//!
//! RFC 3550 §5.2 says why another payload type must not go under the SSRC of the media: whoever does not know it finds holes in
//! the numbers. So lists have an SSRC of their own, the complement of the media's, and numbers of their own, one after the
//! other. The media stay as the encoder made them; a plain RTP receiver is sent no lists and misses nothing, and a player
//! is handed none.
//!
//! # Who waits
//!
//! The source only: a list has to go first, so [`Signer`] is a delay line. Every packet leaves [`WINDOW_TIME`] after it came, at
//! the pace at which it came, and its window is closed when it is full, or when its first packet has to leave. A relay and a viewer check each packet when it
//! comes and pass it on in the same call. If a list is missing, the packets behind it are held until it is repaired, for
//! [`Limits::patience`] and [`Limits::held`] at most, and then dropped and counted: whoever could have them passed on
//! unchecked by losing a list could forge what he likes.
//!
//! # What an attacker can do
//!
//! * *Change or make up a packet*: it has another hash, or no list has it. It is dropped before the duplicate window sees it, so the
//!   true one still counts when it comes.
//! * *Change or make up a list*: the signature does not hold. Trying signatures is what costs most here, so who sends wrong ones is soon
//!   believed slowly ([`Trials`]): [`TRIALS`] at once, then one each [`TRIAL_INTERVAL`], of each parent. Wrong signatures
//!   thereby delay the lists of that parent, and of no other.
//! * *Send an old window again*: its number is too low. The number is the time of day at the source, so that a newcomer, who has seen
//!   none yet, can refuse what is older than his own clock allows ([`Guard::not_before`]).
//! * *Hold packets back*: that is a silence or a loss, and treated as one.
//!
//! # What it costs
//!
//! With 32 packets of 1328 octets ([`FILL`]) a list under ECDSA P-256 is 1.4 % of what is sent, with the 24 that come in
//! [`WINDOW_TIME`] at 730 kbit/s 1.5 %, and more at less. An RSA key of 2048 bits makes windows of [`MAX_WINDOW`] packets
//! instead, which is 1.5 % from 2.2 Mbit/s on, and more below. At 2 Mbit/s six lists a second are signed (27 µs each with
//! ECDSA) and checked (88 µs), and there is a hash over every packet. Everybody sees the picture [`WINDOW_TIME`] later.
//!
//! This module is the machines and their wire format, blind to keys: whoever owns them lends a function that signs or
//! verifies.

use super::header::{Header, Packet, PayloadType};
use super::window::{Seen, Window};
use crate::time::{Duration, Instant, earliest};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{BufMut as _, Bytes};
use sha2::{Digest as _, Sha256};

/// The payload type of lists: a dynamic one (RFC 3551 §3).
pub const LIST: PayloadType = PayloadType(127);

/// The most packets of a window: with a signature of 256 octets their list still fits into a datagram.
pub const MAX_WINDOW: usize = 72;

/// The packets of a window, unless the signature is so long that there have to be more of them.
pub const FILL: usize = 32;

/// So much later than it came a packet leaves the source: the list in front of it has to be signed by then.
pub const WINDOW_TIME: Duration = Duration::from_millis(350);

/// Windows that may wait for their signatures.
pub const MAX_UNSIGNED: usize = 8;

/// Wrong signatures of one parent that are tried at once.
pub const TRIALS: u32 = 8;

/// After so long one more is tried.
pub const TRIAL_INTERVAL: Duration = Duration::from_millis(100);

/// Lists that may wait to be checked.
pub const MAX_UNCHECKED: usize = 8;

/// What a signature is made for, so that it cannot be taken for one of something else.
pub const CONTEXT: &[u8] = b"p2piptv RTP window 1\0";

const VERSION: u8 = 1;
/// Octets of version, count, first sequence number and number.
const HEAD: usize = 12;

/// The first 128 bits of a SHA-256.
type Hash = [u8; 16];

fn hash(packet: &[u8]) -> Hash {
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
    count: u8,
    packet: Bytes,
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

    const fn signed_len(count: u8) -> usize {
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

    /// The number of the oldest one about this packet, or about any behind it.
    pub fn number_for(&self, ssrc: u32, sequence: u16) -> Option<u64> {
        let of_source = self.lists.iter().rev().take_while(|list| list.ssrc == ssrc);
        let needed = of_source.take_while(|list| (list.end().wrapping_sub(sequence) as i16) > 0);
        needed.last().map(|list| list.number)
    }

    /// Takes in a list of the source's. It keeps no part of the buffer that brought it.
    pub(super) fn insert(&mut self, list: &List) {
        let Err(at) = self.lists.binary_search_by_key(&list.number, |known| known.number) else { return };
        self.lists.insert(at, List { packet: Bytes::copy_from_slice(&list.packet), ..*list });
        if self.lists.len() > self.limit.max(1)
            && let Some(oldest) = self.lists.pop_front()
        {
            self.floor = self.floor.max(oldest.number + 1);
        }
    }
}

/// A window that is being filled, or waits for its signature.
#[derive(Debug)]
struct Open {
    ssrc: u32,
    /// The extended number of the first packet.
    first: u64,
    /// When that came.
    since: Instant,
    /// Empty where the source has no packet of a number.
    packets: Vec<(Instant, Bytes)>,
}

/// The source's side: a delay line that puts a signed list in front of each window of packets.
#[derive(Debug)]
pub struct Signer {
    /// The last one takes more.
    windows: VecDeque<Open>,
    /// The windows in front are closed, all of them if `true`.
    closed: bool,
    /// The numbers that have come in.
    numbers: Window,
    ssrc: Option<u32>,
    /// The sequence number of the next list, and the least number of the next window.
    next: u16,
    number: u64,
    /// The packets that fill a window.
    fill: usize,
    /// How long a packet takes.
    delay: Duration,
    /// What is signed, with the time at which it came; lists are told from media.
    leaving: VecDeque<(Instant, Outgoing)>,
}

/// What leaves the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// The list of the packets that follow.
    List(List),
    /// A packet of the encoder's, untouched.
    Media(Bytes),
}

/// A packet that cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Not an RTP packet, or one that looks like a list.
    #[error("not an RTP packet")]
    NotRtp,
    /// This number was there already, or its window is closed.
    #[error("sequence number out of order")]
    OutOfSequence,
    /// Too many windows wait for their signatures.
    #[error("too many windows are not signed")]
    Full,
}

impl Signer {
    /// Nothing has come yet. The numbers of windows begin at `least`, or with the time of day.
    pub fn new(least: u64) -> Self {
        Signer {
            windows: VecDeque::new(),
            closed: false,
            numbers: Window::new(),
            ssrc: None,
            next: 0,
            number: least,
            fill: FILL,
            delay: WINDOW_TIME,
            leaving: VecDeque::new(),
        }
    }

    /// Takes the next packet of the encoder.
    pub fn push(&mut self, now: Instant, packet: Bytes) -> Result<(), SignError> {
        let header = Packet::parse(&packet).map_err(|_| SignError::NotRtp)?.header;
        if header.payload_type == LIST {
            return Err(SignError::NotRtp);
        }
        self.delay = WINDOW_TIME;
        if self.ssrc != Some(header.ssrc) {
            // Lists begin where the media do, which is a random place (RFC 3550 §5.1).
            (self.ssrc, self.next) = (Some(header.ssrc), header.sequence);
            self.numbers.restart();
        }
        let room = self.windows.len() < MAX_UNSIGNED;
        if self.numbers.insert(now, header.sequence, header.timestamp) != Seen::New {
            return Err(SignError::OutOfSequence);
        }
        // An encoder that begins anew.
        self.closed |= self.numbers.expected_and_received() == (1, 1);
        let number = self.numbers.number_of(header.sequence).ok_or(SignError::OutOfSequence)?;
        let last = self.windows.back_mut().filter(|_| !self.closed);
        if let Some(open) = last.filter(|open| open.ssrc == header.ssrc) {
            let at = number.checked_sub(open.first).ok_or(SignError::OutOfSequence)?;
            if let Ok(at) = usize::try_from(at)
                && at < self.fill
            {
                if at >= open.packets.len() {
                    open.packets.resize(at + 1, (now, Bytes::new()));
                }
                open.packets[at] = (now, packet);
                return Ok(());
            }
        } else if self.numbers.newest() != Some(number) {
            return Err(SignError::OutOfSequence);
        }
        if !room {
            return Err(SignError::Full);
        }
        let packets = Vec::from([(now, packet)]);
        self.windows.push_back(Open { ssrc: header.ssrc, first: number, since: now, packets });
        self.closed = false;
        Ok(())
    }

    /// When the last window is to be closed.
    fn closes(&self) -> Option<Instant> {
        let open = self.windows.back().filter(|_| !self.closed)?;
        let full = open.packets.len() >= self.fill;
        Some(if full { open.since } else { open.since + WINDOW_TIME })
    }

    /// Whether a window waits for its signature: [`Signer::sign`] is to be called.
    pub fn is_ripe(&mut self, now: Instant) -> bool {
        self.closed |= self.closes().is_some_and(|at| at <= now);
        self.windows.len() > usize::from(!self.closed)
    }

    /// Closes the window that is being filled: nothing follows, and nothing needs a pace.
    pub fn finish(&mut self) {
        self.closed = !self.windows.is_empty();
        self.delay = Duration::ZERO;
    }

    /// Signs the oldest window that is ripe. `unix_millis` is the time of day. Without a signature the window is lost.
    pub fn sign(&mut self, now: Instant, unix_millis: u64, sign: impl FnOnce(&[u8]) -> Option<Bytes>) {
        if !self.is_ripe(now) {
            return;
        }
        let Some(open) = self.windows.pop_front() else { return };
        self.closed &= !self.windows.is_empty();
        self.number = unix_millis.max(self.number);
        let (count, first) = (open.packets.len() as u8, open.first as u16);
        let timestamp = open.packets.first().and_then(|(_, packet)| packet.get(4..8));
        let timestamp = timestamp.map_or(0, |t| u32::from_be_bytes([t[0], t[1], t[2], t[3]]));
        let (sequence, ssrc) = (self.next, counterpart(open.ssrc));
        let header = Header { marker: false, payload_type: LIST, sequence, timestamp, ssrc };
        let mut list = Vec::with_capacity(List::signed_len(count) + 72);
        list.extend_from_slice(&header.to_bytes());
        list.extend_from_slice(&[VERSION, count]);
        list.put_u16(first);
        list.put_u64(self.number);
        for (_, packet) in &open.packets {
            list.extend_from_slice(&if packet.is_empty() { Hash::default() } else { hash(packet) });
        }
        let Some(signature) = sign(&list) else { return };
        list.extend_from_slice(&signature);
        self.next = self.next.wrapping_add(1);
        let number = self.number;
        self.number += 1;
        // What a list has once is a quarter of a percent of full packets.
        self.fill = ((Header::LEN + HEAD + signature.len()) / 3).clamp(FILL, MAX_WINDOW);
        let list = List { number, ssrc: open.ssrc, sequence, first, count, packet: list.into() };
        self.leaving.push_back((open.since, Outgoing::List(list)));
        let packets = open.packets.into_iter().filter(|(_, packet)| !packet.is_empty());
        self.leaving.extend(packets.map(|(came, packet)| (came, Outgoing::Media(packet))));
    }

    /// The next packet whose time has come.
    pub fn pop(&mut self, now: Instant) -> Option<Outgoing> {
        self.leaving.front().filter(|(came, _)| *came + self.delay <= now)?;
        self.leaving.pop_front().map(|(_, packet)| packet)
    }

    /// When a window is to be closed, or a packet leaves. What waits for a signature has no time.
    pub fn deadline(&self) -> Option<Instant> {
        let leaves = self.leaving.front().map(|&(came, _)| came + self.delay);
        earliest(leaves, self.closes())
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
        Limits { lists: 160, held: 256, patience: Duration::from_millis(300) }
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
    /// Lists of the source's, and their octets.
    pub lists: crate::stats::Traffic,
    /// Lists whose signature did not hold.
    pub bad_lists: u64,
}

/// Why a list is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is known already.
    #[error("the same list again")]
    Known,
    /// It is none, or another one has its number.
    #[error("not a list of the source's")]
    BadList,
    /// Its window is over.
    #[error("an old list")]
    Old,
    /// Too many lists wait to be checked, or too many of that parent's were wrong of late.
    #[error("too many lists to check")]
    TooMany,
}

/// What a guard knows of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The source has sent it.
    Genuine,
    /// The source has sent another one.
    Forged,
    /// No list is about it so far; it waits for one.
    Held,
}

/// What does not wait for its list any more, in the order in which it came.
#[derive(Debug)]
pub struct Released<T> {
    /// What the source has sent.
    pub genuine: Vec<(T, Bytes)>,
    /// The headers of what it has not.
    pub forged: Vec<(T, Header)>,
}

impl<T> Default for Released<T> {
    fn default() -> Self {
        Released { genuine: Vec::new(), forged: Vec::new() }
    }
}

/// How many wrong signatures of one parent may be tried.
#[derive(Clone, Copy, Debug)]
pub struct Trials {
    left: u32,
    since: Instant,
}

impl Default for Trials {
    fn default() -> Self {
        Trials { left: TRIALS, since: Instant::ZERO }
    }
}

impl Trials {
    /// Whether one more may be tried.
    pub fn allow(&mut self, now: Instant) -> bool {
        let earned = now.since(self.since).as_micros() / TRIAL_INTERVAL.as_micros();
        if earned > 0 {
            self.left = self.left.saturating_add(u32::try_from(earned).unwrap_or(u32::MAX)).min(TRIALS);
            self.since = now;
        }
        self.left > 0
    }

    /// It was wrong.
    pub const fn spend(&mut self) {
        self.left = self.left.saturating_sub(1);
    }
}

/// The receiver's side: lets through what the source has sent. `T` is where something came from.
#[derive(Debug)]
pub struct Guard<T> {
    limits: Limits,
    lists: Lists,
    held: VecDeque<(Instant, T, Bytes)>,
    unchecked: VecDeque<(T, List)>,
    counts: Counts,
}

impl<T: Copy> Guard<T> {
    /// Nothing was listed yet.
    pub const fn new(limits: Limits) -> Self {
        let lists = crate::stats::Traffic { packets: 0, bytes: 0 };
        Guard {
            limits,
            lists: Lists::new(limits.lists),
            held: VecDeque::new(),
            unchecked: VecDeque::new(),
            counts: Counts { genuine: 0, forged: 0, unlisted: 0, lists, bad_lists: 0 },
        }
    }

    /// Refuses windows that were closed before this time of day.
    pub fn not_before(&mut self, unix_millis: u64) {
        self.lists.floor = self.lists.floor.max(unix_millis);
    }

    /// The lists that are believed.
    pub const fn lists(&self) -> &Lists {
        &self.lists
    }

    /// A packet has come. One that is [`Verdict::Held`] comes back from [`Guard::release`], or not at all.
    pub fn check(&mut self, now: Instant, from: T, header: &Header, packet: &Bytes) -> Verdict {
        match self.says(header, packet) {
            Some(true) => {
                self.counts.genuine += 1;
                return Verdict::Genuine;
            }
            Some(false) => {
                self.counts.forged += 1;
                return Verdict::Forged;
            }
            None => {}
        }
        if self.limits.held == 0 {
            self.counts.unlisted += 1;
            return Verdict::Held;
        }
        if self.held.len() >= self.limits.held {
            self.held.pop_front();
            self.counts.unlisted += 1;
        }
        self.held.push_back((now, from, packet.clone()));
        Verdict::Held
    }

    /// A list has come; if it may be one of the source's, [`Guard::judge`] is to be called.
    /// Nothing is offered that is not `allowed`, but what is wrong without looking at the signature, or known.
    pub fn offer(&mut self, from: T, packet: Bytes, allowed: bool) -> Result<(), Refused> {
        let list = List::parse(packet).ok_or(Refused::BadList)?;
        match self.lists.lists.binary_search_by_key(&list.number, |list| list.number) {
            Ok(at) if self.lists.lists[at].packet == list.packet => return Err(Refused::Known),
            // Two lists of one number would be two signatures of one window.
            Ok(_) => return Err(Refused::BadList),
            Err(_) if list.number < self.lists.floor => return Err(Refused::Old),
            Err(_) => {}
        }
        if !allowed || self.unchecked.len() >= MAX_UNCHECKED {
            return Err(Refused::TooMany);
        }
        self.unchecked.push_back((from, list));
        Ok(())
    }

    /// Judges the oldest list that was offered: `verify` says whether a signature is the source's for a list. The result says
    /// where it came from, and is the list if it is believed.
    pub fn judge(&mut self, verify: impl FnOnce(&[u8], &[u8]) -> bool) -> Option<(T, Option<List>)> {
        let (from, list) = self.unchecked.pop_front()?;
        let (signed, signature) = list.parts();
        if !verify(signed, signature) {
            self.counts.bad_lists += 1;
            return Some((from, None));
        }
        self.counts.lists.count(list.packet.len());
        self.lists.insert(&list);
        Some((from, Some(list)))
    }

    /// What was held and can be judged now.
    pub fn release(&mut self) -> Released<T> {
        let Released { mut genuine, mut forged } = Released::default();
        for _ in 0..self.held.len() {
            let Some((since, from, packet)) = self.held.pop_front() else { break };
            let Ok(Packet { header, .. }) = Packet::parse(&packet) else { continue };
            match self.says(&header, &packet) {
                Some(true) => {
                    self.counts.genuine += 1;
                    genuine.push((from, packet));
                }
                Some(false) => {
                    self.counts.forged += 1;
                    forged.push((from, header));
                }
                None => self.held.push_back((since, from, packet)),
            }
        }
        Released { genuine, forged }
    }

    /// The sequence numbers of the lists that are missing, as what is held behind the newest one shows: from the first on, so
    /// many.
    pub fn missing(&self) -> Option<(u16, u16)> {
        let newest = self.lists.newest()?;
        let ahead = |packet: &Bytes| {
            let header = Packet::parse(packet).ok()?.header;
            let ahead = header.sequence.wrapping_sub(newest.end());
            (header.ssrc == newest.ssrc && usize::from(ahead) < self.limits.held).then_some(ahead)
        };
        let ahead = self.held.iter().filter_map(|(_, _, packet)| ahead(packet)).max()?;
        Some((newest.sequence.wrapping_add(1), 1 + ahead / u16::from(newest.count)))
    }

    /// Drops what has waited for its list in vain, and tells how much.
    pub fn handle_timeout(&mut self, now: Instant) -> u64 {
        let before = self.counts.unlisted;
        while self.held.front().is_some_and(|&(since, ..)| since + self.limits.patience <= now) {
            self.held.pop_front();
            self.counts.unlisted += 1;
        }
        self.counts.unlisted - before
    }

    /// When something has waited long enough.
    pub fn deadline(&self) -> Option<Instant> {
        self.held.front().map(|&(since, ..)| since + self.limits.patience)
    }

    /// What was counted so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// What the newest list that is about this packet says.
    fn says(&self, header: &Header, packet: &[u8]) -> Option<bool> {
        self.lists.lists.iter().rev().find_map(|list| list.says(header, packet))
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
    fn signature(key: u8, list: &[u8]) -> Bytes {
        let digest = Sha256::digest([&[key], list].concat());
        [&digest[..], &digest[..], &[0; 8]].concat().into()
    }

    fn is_from(key: u8) -> impl Fn(&[u8], &[u8]) -> bool {
        move |list, candidate| candidate == signature(key, list)
    }

    fn media_of(ssrc: u32, sequence: u16) -> Bytes {
        let header = Header {
            marker: false,
            payload_type: PayloadType::MP2T,
            sequence,
            timestamp: u32::from(sequence) * 900,
            ssrc,
        };
        [&header.to_bytes()[..], &[sequence as u8; 1316]].concat().into()
    }

    fn media(sequence: u16) -> Bytes {
        media_of(SSRC, sequence)
    }

    fn octets(outgoing: Outgoing) -> Bytes {
        match outgoing {
            Outgoing::List(list) => list.packet().clone(),
            Outgoing::Media(packet) => packet,
        }
    }

    /// All that leaves by then.
    fn left(signer: &mut Signer, ms: u64) -> Vec<Bytes> {
        core::iter::from_fn(|| signer.pop(at(ms))).map(octets).collect()
    }

    /// A window of these packets, its list in front.
    fn window(signer: &mut Signer, unix_millis: u64, numbers: core::ops::Range<u16>) -> Vec<Bytes> {
        numbers.for_each(|n| signer.push(at(0), media(n)).unwrap());
        signer.finish();
        signer.sign(at(0), unix_millis, |list| Some(signature(1, list)));
        left(signer, 0)
    }

    fn guard() -> Guard<u8> {
        Guard::new(Limits::default())
    }

    /// What a guard passes on when it is offered this packet, and what it says.
    fn offer(guard: &mut Guard<u8>, ms: u64, packet: &Bytes) -> (Vec<Bytes>, Result<Verdict, Refused>) {
        let Ok(header) = Packet::parse(packet).map(|parsed| parsed.header) else {
            return (vec![], Ok(Verdict::Forged));
        };
        if header.payload_type != LIST {
            let verdict = guard.check(at(ms), 0, &header, packet);
            let passed = (verdict == Verdict::Genuine).then(|| packet.clone());
            return (passed.into_iter().collect(), Ok(verdict));
        }
        if let Err(refused) = guard.offer(0, packet.clone(), true) {
            return (vec![], Err(refused));
        }
        let Some((_, Some(list))) = guard.judge(is_from(1)) else { return (vec![], Err(Refused::BadList)) };
        let released = guard.release().genuine.into_iter().map(|(_, packet)| packet);
        (core::iter::once(list.packet().clone()).chain(released).collect(), Ok(Verdict::Genuine))
    }

    fn nothing() -> [Bytes; 0] {
        []
    }

    #[test]
    fn a_list_is_these_bytes() {
        let mut signer = Signer::new(0);
        let packet = media(3).slice(..20);
        signer.push(at(0), packet.clone()).unwrap();
        signer.finish();
        signer.sign(at(0), 0x0102_0304_0506, |_| Some(Bytes::from_static(&[0xaa, 0xbb])));
        let sent = left(&mut signer, 0);
        assert_eq!(sent[1], packet);
        let head = bytes_from_hex("807f0003 00000a8c ffff0112 01010003 0000010203040506").unwrap();
        assert_eq!(sent[0], [&head[..], &Sha256::digest(&packet)[..16], &[0xaa, 0xbb]].concat());
    }

    #[test]
    fn what_the_source_sends_passes_at_once_and_is_the_buffer_that_the_encoder_made() {
        let (mut signer, mut guard) = (Signer::new(0), guard());
        // Over the wrap of the numbers.
        for (round, first) in (0..).zip([65_520u16, 65_530, 4]) {
            let pushed: Vec<Bytes> = (0..10).map(|n| media(first.wrapping_add(n))).collect();
            pushed.iter().for_each(|packet| signer.push(at(0), packet.clone()).unwrap());
            signer.finish();
            signer.sign(at(0), 1000, |list| Some(signature(1, list)));
            let sent = left(&mut signer, 0);
            let list = List::parse(sent[0].clone()).unwrap();
            let expected = (SSRC, 65_520 + round, first, first.wrapping_add(10), 1000 + u64::from(round));
            assert_eq!((list.ssrc, list.sequence, list.first, list.end(), list.number), expected);
            assert_eq!(sent[1..], pushed);
            for packet in &sent {
                let (passed, result) = offer(&mut guard, 0, packet);
                assert_eq!((&passed[..], result), (core::slice::from_ref(packet), Ok(Verdict::Genuine)));
                assert_eq!(passed[0].as_ptr(), packet.as_ptr());
            }
        }
        assert_eq!((guard.counts().genuine, guard.counts().lists.packets), (30, 3));
        assert_eq!((guard.deadline(), guard.missing()), (None, None));
    }

    #[test]
    fn no_bit_of_a_packet_or_of_a_list_can_be_changed() {
        let sent = window(&mut Signer::new(0), 1000, 7..10);
        for (n, whole) in sent.iter().enumerate() {
            for bit in 0..whole.len().min(120) * 8 {
                let mut guard = guard();
                if n > 0 {
                    offer(&mut guard, 0, &sent[0]).1.unwrap();
                }
                let mut forged = whole.to_vec();
                forged[bit / 8] ^= 1 << (bit % 8);
                let (passed, _) = offer(&mut guard, 0, &forged.into());
                assert_eq!(passed, nothing(), "packet {n}, bit {bit}");
                assert_eq!(guard.counts().genuine, 0);
                // The true one still counts.
                assert_eq!(offer(&mut guard, 0, whole), (vec![whole.clone()], Ok(Verdict::Genuine)));
            }
            for len in 0..whole.len().min(120) {
                let mut guard = guard();
                assert_eq!(offer(&mut guard, 0, &whole.slice(..len)).0, nothing(), "packet {n}, {len}");
            }
        }
    }

    #[test]
    fn a_list_under_another_key_or_about_another_source_is_none() {
        let sent = window(&mut Signer::new(0), 1000, 7..9);
        let mut other = Signer::new(0);
        other.push(at(0), media(7)).unwrap();
        other.finish();
        other.sign(at(0), 9, |list| Some(signature(2, list)));
        let forged = left(&mut other, 0);
        let mut guard = guard();
        assert_eq!(offer(&mut guard, 0, &forged[0]), (vec![], Err(Refused::BadList)));
        assert_eq!(offer(&mut guard, 0, &sent[1]), (vec![], Ok(Verdict::Held)), "it waits for a true list");
        assert_eq!(guard.counts().bad_lists, 1);
        // A true list says nothing about the packets of another SSRC.
        offer(&mut guard, 0, &sent[0]).1.unwrap();
        assert_eq!(offer(&mut guard, 0, &media_of(SSRC + 1, 8)).1, Ok(Verdict::Held));
    }

    #[test]
    fn a_packet_in_the_place_of_another_is_forged_though_both_are_the_sources() {
        let mut signer = Signer::new(0);
        let (first, second) = (window(&mut signer, 1000, 0..3), window(&mut signer, 2000, 3..6));
        let mut guard = guard();
        offer(&mut guard, 0, &first[0]).1.unwrap();
        offer(&mut guard, 0, &second[0]).1.unwrap();
        let mut moved = second[1].to_vec();
        moved[2..4].copy_from_slice(&1u16.to_be_bytes());
        assert_eq!(offer(&mut guard, 0, &moved.into()).1, Ok(Verdict::Forged));
        // In whatever order the windows come, each packet is judged by its own list.
        for packet in second[1..].iter().chain(&first[1..]) {
            assert_eq!(offer(&mut guard, 0, packet).1, Ok(Verdict::Genuine));
        }
    }

    #[test]
    fn packets_wait_for_a_list_that_was_lost_and_no_longer_than_they_may() {
        let (mut signer, mut guard) = (Signer::new(0), guard());
        let known = window(&mut signer, 500, 0..4);
        let (first, second) = (window(&mut signer, 1000, 4..8), window(&mut signer, 2000, 8..12));
        offer(&mut guard, 0, &known[0]).1.unwrap();
        for (ms, packet) in (0..).zip(&first[1..]) {
            assert_eq!(offer(&mut guard, ms, packet), (vec![], Ok(Verdict::Held)));
            // Its number follows from that of the last one.
            assert_eq!(guard.missing(), Some((1, 1)));
        }
        assert_eq!(offer(&mut guard, 50, &second[1]).0, nothing());
        assert_eq!(guard.missing(), Some((1, 2)));
        // The list is repaired: what it is about leaves, in order, and nothing else.
        assert_eq!(offer(&mut guard, 60, &first[0]).0, first);
        assert_eq!((guard.deadline(), guard.missing()), (Some(at(350)), Some((2, 1))));
        assert_eq!(guard.handle_timeout(at(349)), 0);
        assert_eq!(guard.handle_timeout(at(350)), 1);
        assert_eq!((guard.deadline(), guard.counts().unlisted), (None, 1));
        assert_eq!(offer(&mut guard, 351, &second[0]).0, second[..1]);
    }

    #[test]
    fn what_was_held_and_is_forged_goes_no_further_when_the_list_comes() {
        let sent = window(&mut Signer::new(0), 1000, 0..2);
        let mut guard = guard();
        let mut forged = sent[1].to_vec();
        forged[500] ^= 1;
        offer(&mut guard, 0, &forged.into()).1.unwrap();
        offer(&mut guard, 0, &sent[1]).1.unwrap();
        assert_eq!(offer(&mut guard, 1, &sent[0]).0, sent[..2]);
        assert_eq!((guard.counts().genuine, guard.counts().forged), (1, 1));
    }

    #[test]
    fn an_old_window_cannot_be_played_again() {
        let (mut signer, mut guard) = (Signer::new(0), Guard::new(Limits { lists: 2, ..Limits::default() }));
        let windows: Vec<Vec<Bytes>> =
            (0..4).map(|n| window(&mut signer, 1000 + n, 2 * n as u16..2 * n as u16 + 2)).collect();
        windows.iter().for_each(|sent| assert!(offer(&mut guard, 0, &sent[0]).1.is_ok()));
        assert_eq!(offer(&mut guard, 1, &windows[1][0]), (vec![], Err(Refused::Old)));
        assert_eq!(offer(&mut guard, 1, &windows[1][1]).0, nothing());
        // One that is remembered is known.
        assert_eq!(offer(&mut guard, 1, &windows[2][0]), (vec![], Err(Refused::Known)));
        // A newcomer knows what time it is.
        let mut newcomer = Guard::new(Limits::default());
        newcomer.not_before(1002);
        assert_eq!(offer(&mut newcomer, 0, &windows[1][0]), (vec![], Err(Refused::Old)));
        assert_eq!(offer(&mut newcomer, 0, &windows[2][0]).1, Ok(Verdict::Genuine));
    }

    #[test]
    fn the_numbers_of_windows_grow_whatever_the_clock_does() {
        let mut signer = Signer::new(0);
        let numbers = [(5000, 0), (5000, 1), (3, 2), (6000, 3)].map(|(clock, n)| {
            let sent = window(&mut signer, clock, n..n + 1);
            List::parse(sent[0].clone()).unwrap().number
        });
        assert_eq!(numbers, [5000, 5001, 5002, 6000]);
    }

    #[test]
    fn k8_wrong_signatures_are_tried_eight_at_once_and_then_ten_in_a_second() {
        let mut trials = Trials::default();
        let mut flood =
            |ms: u64| (0..50).filter(|_| trials.allow(at(ms)).then(|| trials.spend()).is_some()).count();
        assert_eq!([1000, 1050, 1250, 11_000].map(&mut flood), [8, 0, 2, 8]);
        // True ones cost nothing of it, and what is not allowed is not even kept.
        assert!((0..50).all(|_| Trials::default().allow(at(0))));
        let sent = window(&mut Signer::new(0), 1000, 0..2);
        assert_eq!(guard().offer(0, sent[0].clone(), false), Err(Refused::TooMany));
    }

    #[test]
    fn k8_no_more_packets_and_lists_wait_than_may() {
        let mut guard = Guard::new(Limits { held: 3, ..Limits::default() });
        let mut signer = Signer::new(0);
        let sent = window(&mut signer, 1000, 0..10);
        sent[1..].iter().for_each(|packet| assert!(offer(&mut guard, 0, packet).1.is_ok()));
        assert_eq!((guard.held.len(), guard.counts().unlisted), (3, 7));
        assert_eq!(offer(&mut guard, 0, &sent[0]).0, [&sent[..1], &sent[8..]].concat());
        let mut none = Guard::new(Limits { held: 0, ..Limits::default() });
        offer(&mut none, 0, &sent[1]).1.unwrap();
        assert_eq!((none.deadline(), none.counts().unlisted), (None, 1));
        for n in 0..20 {
            let list = window(&mut signer, 2000, 10 + n..11 + n).remove(0);
            let result = guard.offer(0, list, true);
            assert_eq!(result.is_ok(), usize::from(n) < MAX_UNCHECKED);
        }
        // What is far ahead of everything is no sign of a list that is missing.
        offer(&mut guard, 0, &media(9_000)).1.unwrap();
        assert_eq!(guard.missing(), None);
    }

    #[test]
    fn a_list_that_is_remembered_keeps_no_buffer_of_the_hosts() {
        let sent = window(&mut Signer::new(0), 1000, 0..2);
        let mut buffer = vec![0; 5000];
        buffer[..sent[0].len()].copy_from_slice(&sent[0]);
        let buffer = Bytes::from(buffer);
        let mut guard = guard();
        offer(&mut guard, 0, &buffer.slice(..sent[0].len())).1.unwrap();
        assert!(buffer.is_unique());
    }

    /// Pushes so many packets, one in so many microseconds, and gives what leaves when.
    fn played(signer: &mut Signer, packets: u16, gap: u64) -> Vec<(u64, Bytes)> {
        let mut sent = Vec::new();
        let end = Instant::from_micros(u64::from(packets) * gap + 1_000_000);
        let mut pushed = 0;
        loop {
            let push = (pushed < packets).then(|| Instant::from_micros(u64::from(pushed) * gap));
            let Some(now) = earliest(push, signer.deadline()).filter(|&now| now < end) else { return sent };
            if push == Some(now) {
                signer.push(now, media(pushed)).unwrap();
                pushed += 1;
            }
            while signer.is_ripe(now) {
                signer.sign(now, now.as_micros() / 1000, |list| Some(signature(1, list)));
            }
            while let Some(outgoing) = signer.pop(now) {
                sent.push((now.as_micros(), octets(outgoing)));
            }
            assert!(signer.deadline().is_none_or(|at| at > now), "it has done all that it can");
        }
    }

    #[test]
    fn everything_leaves_after_350_ms_at_the_pace_at_which_it_came() {
        // 8, 2 and 0.8 Mbit/s; the slowest fills no window in time.
        for (gap, packets_of_first) in [(1316, 32), (5264, 32), (13_160, 27)] {
            let sent = played(&mut Signer::new(0), 400, gap);
            let first = List::parse(sent[0].1.clone()).unwrap();
            assert_eq!(first.end() - first.first, packets_of_first, "{gap}");
            let media: Vec<u64> = sent
                .iter()
                .filter(|(_, p)| List::parse(p.clone()).is_none())
                .map(|&(when, _)| when)
                .collect();
            let expected: Vec<u64> = (0..400).map(|n| n * gap + 350_000).collect();
            assert_eq!(media, expected, "{gap}");
        }
    }

    #[test]
    fn lists_are_less_than_one_and_a_half_percent_of_what_is_sent() {
        // In thousandths of a percent.
        let overhead = |gap: u64| {
            let sent = played(&mut Signer::new(0), 4000, gap);
            let all: usize = sent.iter().map(|(_, p)| p.len()).sum();
            let lists = sent.iter().filter(|(_, p)| List::parse(p.clone()).is_some());
            lists.map(|(_, p)| p.len()).sum::<usize>() * 100_000 / all
        };
        assert_eq!([1316, 5264, 13_160, 14_500].map(overhead), [1410, 1410, 1452, 1471]);
    }

    #[test]
    fn a_long_signature_makes_long_windows_whose_lists_still_fit_into_a_datagram() {
        let mut signer = Signer::new(0);
        let mut sizes = Vec::new();
        for n in 0..300 {
            signer.push(at(u64::from(n)), media(n)).unwrap();
            while signer.is_ripe(at(u64::from(n))) {
                signer.sign(at(u64::from(n)), 0, |_| Some(Bytes::from_static(&[0; 256])));
            }
            sizes.extend(core::iter::from_fn(|| signer.pop(at(10_000))).filter_map(
                |outgoing| match outgoing {
                    Outgoing::List(list) => Some((list.count, list.packet().len())),
                    Outgoing::Media(_) => None,
                },
            ));
        }
        // The second window was begun before there was a signature to go by.
        assert_eq!(sizes, [(32, 792), (72, 1432), (72, 1432), (72, 1432)]);
    }

    #[test]
    fn what_the_encoder_sends_out_of_order_finds_its_place_while_its_window_is_open() {
        let mut signer = Signer::new(0);
        for n in [10, 12, 11, 14] {
            signer.push(at(0), media(n)).unwrap();
        }
        assert_eq!(signer.push(at(0), media(12)), Err(SignError::OutOfSequence));
        assert_eq!(signer.push(at(0), media(9)), Err(SignError::OutOfSequence));
        signer.finish();
        signer.sign(at(0), 1, |list| Some(signature(1, list)));
        let sent = left(&mut signer, 0);
        assert_eq!(sent[1..], [10, 11, 12, 14].map(media));
        // Nothing passes for the packet that there was none of.
        let mut guard = guard();
        offer(&mut guard, 0, &sent[0]).1.unwrap();
        assert_eq!(offer(&mut guard, 0, &media(13)).1, Ok(Verdict::Forged));
        assert_eq!(signer.push(at(1), media(13)), Err(SignError::OutOfSequence), "its window is closed");
        assert_eq!(signer.push(at(1), media(15)), Ok(()));
    }

    #[test]
    fn an_encoder_that_begins_anew_begins_a_window() {
        let mut signer = Signer::new(0);
        signer.push(at(0), media(10)).unwrap();
        signer.push(at(1), media_of(SSRC + 1, 11)).unwrap();
        signer.push(at(1), media_of(SSRC + 1, 12)).unwrap();
        // The same SSRC, but somewhere else: believed with the second packet, as everywhere.
        assert_eq!(signer.push(at(2), media_of(SSRC + 1, 40_000)), Err(SignError::OutOfSequence));
        signer.push(at(2), media_of(SSRC + 1, 40_001)).unwrap();
        signer.push(at(2), media_of(SSRC + 1, 40_002)).unwrap();
        signer.finish();
        let mut lists = Vec::new();
        while signer.is_ripe(at(2)) {
            signer.sign(at(2), 1, |list| Some(signature(1, list)));
            lists.extend(core::iter::from_fn(|| signer.pop(at(1000))).filter_map(
                |outgoing| match outgoing {
                    Outgoing::List(list) => Some((list.ssrc - SSRC, list.first, list.count)),
                    Outgoing::Media(_) => None,
                },
            ));
        }
        assert_eq!(lists, [(0, 10, 1), (1, 11, 2), (1, 40_001, 2)]);
    }

    #[test]
    fn without_signatures_nothing_leaves_and_not_everything_is_kept() {
        let mut signer = Signer::new(0);
        assert_eq!((signer.deadline(), signer.is_ripe(at(0))), (None, false));
        let pushed = (0..1000).take_while(|&n| signer.push(at(0), media(n)).is_ok()).count();
        assert_eq!(pushed, MAX_UNSIGNED * FILL);
        assert!(signer.is_ripe(at(0)) && signer.pop(at(10_000)).is_none());
        assert_eq!(signer.push(at(0), Bytes::from_static(&[0x40; 40])), Err(SignError::NotRtp));
        // A window for which there is no signature is lost, and no other.
        signer.sign(at(0), 1, |_| None);
        signer.sign(at(0), 1, |list| Some(signature(1, list)));
        assert_eq!(left(&mut signer, 10_000)[1..], (32..64).map(media).collect::<Vec<_>>());
        let mut list = media(1).to_vec();
        list[1] = LIST.0;
        assert_eq!(signer.push(at(0), list.into()), Err(SignError::NotRtp), "it would be taken for a list");
    }

    #[test]
    fn lists_are_found_by_their_packets_and_by_their_own_numbers() {
        let (mut signer, mut lists) = (Signer::new(0), Lists::new(3));
        for n in 0..4u16 {
            let sent = window(&mut signer, 1000 + u64::from(n), 100 + 4 * n..104 + 4 * n);
            lists.insert(&List::parse(sent[0].clone()).unwrap());
        }
        let about = |n| lists.about(SSRC, n).map(|list| list.number);
        assert_eq!([103, 104, 107, 115, 116].map(about), [None, Some(1001), Some(1001), Some(1003), None]);
        assert_eq!(lists.of_sequence(SSRC, 102).map(|list| list.number), Some(1002));
        assert_eq!(lists.of_sequence(SSRC + 1, 102), None);
        // From a packet on: its own list and all behind it.
        let from = |n| lists.number_for(SSRC, n);
        assert_eq!(
            [90, 104, 109, 115, 116].map(from),
            [Some(1001), Some(1001), Some(1002), Some(1003), None]
        );
        assert_eq!(lists.from(1002).map(|list| list.number).collect::<Vec<_>>(), [1002, 1003]);
    }

    #[test]
    fn k7_no_packets_make_a_guard_panic_or_pass_on_what_was_not_sent() {
        fn law(changes: Vec<(u8, u8, u16, u8)>) -> bool {
            let mut signer = Signer::new(0);
            let sent: Vec<Bytes> =
                (0..4).flat_map(|n| window(&mut signer, n, 5 * n as u16..5 * n as u16 + 5)).collect();
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
                guard.missing();
                guard.held.len() <= 4
                    && guard.lists.lists.len() <= 2
                    && passed.iter().all(|packet| sent.contains(packet))
            })
        }
        quickcheck::QuickCheck::new().tests(300).quickcheck(law as fn(Vec<(u8, u8, u16, u8)>) -> bool);
    }
}
