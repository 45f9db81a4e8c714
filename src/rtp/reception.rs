//! What a receiver knows of one source: which packets came, how evenly, and what it reports of that (RFC 3550 §6.4).

use super::rtcp::{ReportBlock, SenderInfo};
use super::window::{Counts, Seen, Window};
use crate::stats::Traffic;
use crate::time::Instant;

/// Clock ticks of MP2T in a millisecond (RFC 3551 §5: 90 kHz).
const TICKS_PER_MILLI: u64 = 90;

/// The statistics of one channel. They only grow, except `lost` and `jitter`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// New packets, with their headers.
    pub media: Traffic,
    /// What the sequence numbers say.
    pub sequence: Counts,
    /// Interarrival jitter, in ticks of 90 kHz.
    pub jitter: u32,
}

/// The reception of one source.
#[derive(Clone, Debug, Default)]
pub struct Reception {
    window: Window,
    media: Traffic,
    /// Arrival minus timestamp of the last packet, both in ticks, modulo 2^32.
    transit: Option<u32>,
    /// Sixteen times the jitter (RFC 3550 §A.8).
    jitter16: u32,
    /// Middle bits of the last SR's NTP timestamp, and when it came.
    last_sr: Option<(u32, Instant)>,
    /// Expected and received at the last report.
    reported: (u64, u64),
}

impl Reception {
    /// Nothing received yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of a data packet of `len` octets.
    pub fn on_packet(&mut self, now: Instant, sequence: u16, timestamp: u32, len: usize) -> Seen {
        let restarts = self.window.counts().restarts;
        let seen = self.window.insert(now, sequence);
        if seen == Seen::New {
            self.media.count(len);
            if self.window.counts().restarts != restarts {
                self.forget_pace();
            }
            self.measure_jitter(now, timestamp);
        }
        seen
    }

    /// Takes note of the source's SR.
    pub fn on_sender_report(&mut self, now: Instant, info: &SenderInfo) {
        self.last_sr = Some(((info.ntp >> 16) as u32, now));
    }

    /// Another source follows: its sequence, timestamps and SRs have nothing to do with these. The counters go on.
    pub fn restart(&mut self) {
        self.window.restart();
        self.forget_pace();
        self.last_sr = None;
    }

    /// The report block about this source, `ssrc`, since the last call (RFC 3550 §A.3). `None` before any packet.
    pub fn report(&mut self, now: Instant, ssrc: u32) -> Option<ReportBlock> {
        let highest = self.window.highest()?;
        let (expected, received) = self.window.expected_and_received();
        let expected_now = expected.saturating_sub(self.reported.0);
        let lost_now = expected_now.saturating_sub(received.saturating_sub(self.reported.1));
        self.reported = (expected, received);
        let fraction = (lost_now << 8).checked_div(expected_now).unwrap_or(0);
        let (last_sr, delay_since_last_sr) = self.last_sr.map_or((0, 0), |(ntp, at)| {
            let delay = now.since(at).as_micros().saturating_mul(1 << 16) / 1_000_000;
            (ntp, u32::try_from(delay).unwrap_or(u32::MAX))
        });
        Some(ReportBlock {
            ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            cumulative_lost: i32::try_from(expected - received).unwrap_or(i32::MAX),
            highest,
            jitter: self.jitter16 >> 4,
            last_sr,
            delay_since_last_sr,
        })
    }

    /// The highest extended sequence number.
    pub fn highest(&self) -> Option<u32> {
        self.window.highest()
    }

    /// When the last new packet came.
    pub fn last_new(&self) -> Option<Instant> {
        self.window.last_new()
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        Counters { media: self.media, sequence: self.window.counts(), jitter: self.jitter16 >> 4 }
    }

    fn forget_pace(&mut self) {
        self.transit = None;
        self.jitter16 = 0;
        self.reported = (0, 0);
    }

    fn measure_jitter(&mut self, now: Instant, timestamp: u32) {
        let arrival = (now.as_micros().wrapping_mul(TICKS_PER_MILLI) / 1000) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(last) = self.transit.replace(transit) {
            let difference = (transit.wrapping_sub(last) as i32).unsigned_abs();
            let step = i64::from(difference) - i64::from((self.jitter16 + 8) >> 4);
            self.jitter16 = u32::try_from(i64::from(self.jitter16) + step).unwrap_or(u32::MAX);
        }
    }
}
