//! Puts RTP packets back into order before they are played. A hole is waited for, then left open.

use bytes::Bytes;
use p2piptv::rtp::header::Packet;
use p2piptv::rtp::window::MAX_DROPOUT;
use p2piptv::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Packets that may wait behind a hole; beyond, the hole is given up.
pub const MAX_WAITING: usize = 512;

/// A packet that waits for those before it.
struct Waiting {
    since: Instant,
    packet: Bytes,
}

/// The reorder buffer of one channel.
pub struct Reorder {
    patience: Duration,
    ssrc: Option<u32>,
    /// The extended sequence number that is to come out next.
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
    skipped: u64,
}

impl Reorder {
    /// Waits this long for a missing packet.
    pub fn new(patience: Duration) -> Self {
        Reorder { patience, ssrc: None, next: 0, waiting: BTreeMap::new(), skipped: 0 }
    }

    /// Sequence numbers that were given up.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Takes a packet in. What is no RTP, came before, or comes too late is dropped.
    pub fn push(&mut self, now: Instant, packet: Bytes) {
        let Ok(header) = Packet::parse(&packet).map(|p| p.header) else { return };
        let ahead = header.sequence.wrapping_sub(self.next as u16);
        // Another source, or one that began anew: what still waits belongs to the past.
        let late = ahead.wrapping_neg() <= MAX_DROPOUT;
        if self.ssrc != Some(header.ssrc) || ahead > MAX_DROPOUT && !late {
            self.ssrc = Some(header.ssrc);
            self.waiting.clear();
            self.next = u64::from(header.sequence) + (1 << 16);
        } else if ahead != 0 && late {
            return;
        }
        let sequence = self.next + u64::from(header.sequence.wrapping_sub(self.next as u16));
        self.waiting.entry(sequence).or_insert(Waiting { since: now, packet });
    }

    /// The next packet, if it is its turn: nothing is missing before it, or what is missing has been waited for.
    pub fn pop(&mut self, now: Instant) -> Option<Bytes> {
        let deadline = self.deadline();
        let (&sequence, _) = self.waiting.first_key_value()?;
        let given_up = deadline.is_some_and(|d| d <= now) || self.waiting.len() > MAX_WAITING;
        if sequence != self.next && !given_up {
            return None;
        }
        self.skipped += sequence - self.next;
        self.next = sequence + 1;
        Some(self.waiting.pop_first()?.1.packet)
    }

    /// When the hole in front is given up.
    pub fn deadline(&self) -> Option<Instant> {
        Some(self.waiting.first_key_value()?.1.since + self.patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2piptv::rtp::mp2t::{Packetizer, TsPacket};

    const PATIENCE: Duration = Duration::from_millis(500);

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn packets(ssrc: u32, first: u16, n: usize) -> Vec<Bytes> {
        let mut packetizer = Packetizer::new(ssrc, first);
        let payload = [&[TsPacket::SYNC, 0x1f, 0xff, 0x10][..], &[0xff; 184]].concat();
        (0..n).map(|_| packetizer.packetize(0, false, &payload).expect("a packet")).collect()
    }

    fn drain(reorder: &mut Reorder, now: Instant) -> Vec<Bytes> {
        core::iter::from_fn(|| reorder.pop(now)).collect()
    }

    #[test]
    fn packets_come_out_in_order_over_the_wrap_and_only_once() {
        let sent = packets(7, 65_533, 8);
        let mut reorder = Reorder::new(PATIENCE);
        let mut got = Vec::new();
        for i in [0, 2, 1, 1, 5, 3, 4, 0, 7, 6, 7] {
            reorder.push(at(0), sent[i].clone());
            got.extend(drain(&mut reorder, at(0)));
        }
        assert_eq!(got, sent);
        assert_eq!((reorder.skipped(), reorder.deadline()), (0, None));
    }

    #[test]
    fn a_hole_is_given_up_after_its_time_and_not_before() {
        let sent = packets(7, 10, 4);
        let mut reorder = Reorder::new(PATIENCE);
        reorder.push(at(0), sent[0].clone());
        assert_eq!(drain(&mut reorder, at(0)), sent[..1]);
        reorder.push(at(100), sent[2].clone());
        reorder.push(at(300), sent[3].clone());
        assert_eq!(reorder.deadline(), Some(at(600)));
        assert!(drain(&mut reorder, at(599)).is_empty());
        assert_eq!(drain(&mut reorder, at(600)), sent[2..]);
        assert_eq!(reorder.skipped(), 1);
        reorder.push(at(700), sent[1].clone());
        assert!(drain(&mut reorder, at(9000)).is_empty(), "too late");
    }

    #[test]
    fn the_buffer_is_bounded() {
        let sent = packets(7, 0, MAX_WAITING + 2);
        let mut reorder = Reorder::new(PATIENCE);
        reorder.push(at(0), sent[0].clone());
        drain(&mut reorder, at(0));
        for packet in &sent[2..] {
            assert!(drain(&mut reorder, at(1)).is_empty());
            reorder.push(at(1), packet.clone());
        }
        assert!(drain(&mut reorder, at(1)).is_empty(), "at the limit it still waits");
        reorder.push(at(1), packets(7, MAX_WAITING as u16 + 2, 1)[0].clone());
        assert_eq!(drain(&mut reorder, at(1)).len(), MAX_WAITING + 1);
    }

    #[test]
    fn a_source_that_begins_anew_is_followed_at_once() {
        let mut reorder = Reorder::new(PATIENCE);
        for packet in packets(7, 100, 3).into_iter().chain(packets(8, 40_000, 3)).chain(packets(8, 100, 3)) {
            reorder.push(at(0), packet.clone());
            assert_eq!(drain(&mut reorder, at(0)), [packet]);
        }
        assert_eq!(reorder.skipped(), 0);
    }

    #[test]
    fn what_is_no_rtp_is_ignored() {
        let mut reorder = Reorder::new(PATIENCE);
        reorder.push(at(0), Bytes::from_static(b"hello"));
        assert!(drain(&mut reorder, at(0)).is_empty());
    }
}
