//! Puts RTP packets back into order before they are played. A hole is waited for, then left open.

use bytes::Bytes;
use p2piptv::rtp::header::Packet;
use p2piptv::rtp::window::MAX_DROPOUT;
use p2piptv::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Packets that may wait behind a hole; beyond, the hole is given up.
pub const MAX_WAITING: usize = 512;

/// So long the first packet waits for those that it has overtaken: a stream that begins with its picture loses all up to the
/// next one if the second packet comes first.
pub const OVERTAKING: Duration = Duration::from_millis(20);

/// So many numbers before the first one are taken then.
pub const MAX_OVERTAKEN: u16 = 32;

/// A packet that waits for those before it.
struct Waiting {
    since: Instant,
    packet: Bytes,
}

/// The reorder buffer of one channel.
pub struct Reorder {
    patience: Duration,
    ssrc: Option<u32>,
    /// The extended sequence number that is to come out next, and nothing before it is waited for.
    next: u64,
    /// When the first packet of this source comes out, while none has.
    begins: Option<Instant>,
    waiting: BTreeMap<u64, Waiting>,
    skipped: u64,
}

impl Reorder {
    /// Waits this long for a missing packet.
    pub fn new(patience: Duration) -> Self {
        Reorder { patience, ssrc: None, next: 0, begins: None, waiting: BTreeMap::new(), skipped: 0 }
    }

    /// Sequence numbers that were given up.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Takes a packet in. What is no RTP, came before, or comes too late is dropped.
    pub fn push(&mut self, now: Instant, packet: Bytes) {
        let Ok(header) = Packet::parse(&packet).map(|p| p.header) else { return };
        let ahead = header.sequence.wrapping_sub(self.next as u16);
        let behind = ahead.wrapping_neg();
        let sequence = if self.ssrc != Some(header.ssrc) || ahead.min(behind) > MAX_DROPOUT {
            // Another source, or one that began anew: what still waits belongs to the past.
            self.ssrc = Some(header.ssrc);
            self.waiting.clear();
            self.next = u64::from(header.sequence) + (1 << 16);
            self.begins = Some(now + OVERTAKING);
            self.next
        } else if ahead <= MAX_DROPOUT {
            self.next + u64::from(ahead)
        } else if self.begins.is_some() && behind <= MAX_OVERTAKEN {
            self.next - u64::from(behind)
        } else {
            return;
        };
        self.waiting.entry(sequence).or_insert(Waiting { since: now, packet });
    }

    /// The next packet, if it is its turn: nothing is missing before it, or what is missing has been waited for.
    pub fn pop(&mut self, now: Instant) -> Option<Bytes> {
        let deadline = self.deadline();
        let (&sequence, _) = self.waiting.first_key_value()?;
        let has_turn = sequence <= self.next && self.begins.is_none();
        let given_up = deadline.is_some_and(|d| d <= now) || self.waiting.len() > MAX_WAITING;
        if !has_turn && !given_up {
            return None;
        }
        self.begins = None;
        self.skipped += sequence.saturating_sub(self.next);
        self.next = self.next.max(sequence + 1);
        Some(self.waiting.pop_first()?.1.packet)
    }

    /// When the first packet comes out, or the hole in front is given up.
    pub fn deadline(&self) -> Option<Instant> {
        self.begins.or_else(|| Some(self.waiting.first_key_value()?.1.since + self.patience))
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

    /// A buffer that has let the first packet out, at 0.
    fn begun(first: &Bytes) -> Reorder {
        let mut reorder = Reorder::new(PATIENCE);
        reorder.push(at(0), first.clone());
        assert_eq!(drain(&mut reorder, at(20)), [first]);
        reorder
    }

    #[test]
    fn what_the_first_packet_has_overtaken_comes_out_before_it_and_a_hole_there_is_not_waited_for() {
        let sent = packets(7, 65_500, 40);
        let mut reorder = Reorder::new(PATIENCE);
        reorder.push(at(0), sent[37].clone());
        for (ms, n) in [(2, 36), (2, 36), (3, 33), (4, 4), (5, 5), (19, 38)] {
            reorder.push(at(ms), sent[n].clone());
            assert_eq!((drain(&mut reorder, at(ms)), reorder.deadline()), (vec![], Some(at(20))));
        }
        let played = [5, 33, 36, 37, 38].map(|n| sent[n].clone());
        assert_eq!(drain(&mut reorder, at(20)), played, "no more than 32 numbers back");
        assert_eq!((reorder.skipped(), reorder.deadline()), (0, None));
        reorder.push(at(21), sent[35].clone());
        assert!(drain(&mut reorder, at(9000)).is_empty(), "too late");
    }

    #[test]
    fn packets_come_out_in_order_over_the_wrap_and_only_once() {
        let sent = packets(7, 65_533, 8);
        let mut reorder = begun(&sent[0]);
        let mut got = vec![sent[0].clone()];
        for i in [0, 2, 1, 1, 5, 3, 4, 0, 7, 6, 7] {
            reorder.push(at(20), sent[i].clone());
            got.extend(drain(&mut reorder, at(20)));
        }
        assert_eq!(got, sent);
        assert_eq!((reorder.skipped(), reorder.deadline()), (0, None));
    }

    #[test]
    fn a_hole_is_given_up_after_its_time_and_not_before() {
        let sent = packets(7, 10, 4);
        let mut reorder = begun(&sent[0]);
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
        let mut reorder = begun(&sent[0]);
        for packet in &sent[2..] {
            assert!(drain(&mut reorder, at(21)).is_empty());
            reorder.push(at(21), packet.clone());
        }
        assert!(drain(&mut reorder, at(21)).is_empty(), "at the limit it still waits");
        reorder.push(at(21), packets(7, MAX_WAITING as u16 + 2, 1)[0].clone());
        assert_eq!(drain(&mut reorder, at(21)).len(), MAX_WAITING + 1);
    }

    #[test]
    fn a_source_that_begins_anew_is_followed_and_begins_as_the_first_one_did() {
        let mut reorder = Reorder::new(PATIENCE);
        for (ms, sent) in [(0, packets(7, 100, 3)), (100, packets(8, 40_000, 3)), (200, packets(8, 100, 3))] {
            [&sent[1], &sent[0], &sent[2]]
                .into_iter()
                .for_each(|packet| reorder.push(at(ms), packet.clone()));
            assert_eq!((drain(&mut reorder, at(ms + 19)), drain(&mut reorder, at(ms + 20))), (vec![], sent));
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
