//! The source's side: a delay line for packets, which the signed list of their window overtakes.

use super::list::{HEAD, Hash, LIST, List, MAX_WINDOW, VERSION, counterpart, hash};
use crate::rtp::header::{Header, Packet};
use crate::rtp::window::{Seen, Window};
use crate::time::{Duration, Instant, earliest};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{BufMut as _, Bytes};

/// The packets of a window, unless the signature is so long that there have to be more of them.
pub const FILL: usize = 32;

/// So much later than it came a packet leaves the source: the list about it has to be signed by then.
pub const WINDOW_TIME: Duration = Duration::from_millis(350);

/// Windows that may wait for their signatures.
pub const MAX_UNSIGNED: usize = 8;

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

/// The source's side: a delay line for packets. The list of a window leaves as soon as it is signed.
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
    /// What is signed: lists with the time of their signature, packets with that at which they came.
    lists: VecDeque<(Instant, List)>,
    leaving: VecDeque<(Instant, Bytes)>,
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
            lists: VecDeque::new(),
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
        self.lists.push_back((now, list));
        self.leaving.extend(open.packets.into_iter().filter(|(_, packet)| !packet.is_empty()));
    }

    /// The next list, or else the next packet whose time has come.
    pub fn pop(&mut self, now: Instant) -> Option<Outgoing> {
        if let Some((_, list)) = self.lists.pop_front() {
            return Some(Outgoing::List(list));
        }
        self.leaving.front().filter(|(came, _)| *came + self.delay <= now)?;
        self.leaving.pop_front().map(|(_, packet)| Outgoing::Media(packet))
    }

    /// When a window is to be closed, or something leaves. What waits for a signature has no time.
    pub fn deadline(&self) -> Option<Instant> {
        let packets = self.leaving.front().map(|&(came, _)| came + self.delay);
        let lists = self.lists.front().map(|&(signed, _)| signed);
        earliest(earliest(lists, packets), self.closes())
    }
}
