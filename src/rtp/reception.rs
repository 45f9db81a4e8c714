//! What a receiver knows of one source: which packets came, how evenly, and what it reports of that (RFC 3550 §6.4).

use super::rtcp::{ReportBlock, SenderInfo};
use super::window::{Counts, Seen, TICKS_PER_MILLI, Window};
use crate::stats::Traffic;
use crate::time::{Duration, Instant};

/// Packets that come within this time of each other came together: a burst of the source's, of a busy host's, or of a
/// replay.
const BURST: Duration = Duration::from_millis(2);

/// No silence counts for more than this in the pace: what a source rests, or a broken way takes to be mended, says
/// nothing of the packets after it.
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// How a stream arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// The smoothed time between arrivals. Packets that come together are one arrival.
    pub gap: Duration,
    /// The smoothed deviation from it.
    pub jitter: Duration,
}

impl Pace {
    /// Takes note of one more gap, with a weight of a sixteenth. The first one is the pace.
    fn follow(pace: &mut Option<Pace>, gap: Duration) {
        let gap = gap.min(LONGEST_GAP);
        let Some(Pace { gap: mean, jitter }) = pace else {
            *pace = Some(Pace { gap, jitter: Duration::ZERO });
            return;
        };
        *jitter = (*jitter * 15 + gap.abs_diff(*mean)) / 16;
        *mean = (*mean * 15 + gap) / 16;
    }
}

/// The statistics of one channel. Packets and octets only grow, except for `lost`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// New packets, with their headers.
    pub media: Traffic,
    /// What the sequence numbers say.
    pub sequence: Counts,
    /// The highest extended sequence number of the present source; its lower 16 bits are the source's own.
    pub highest: Option<u32>,
    /// When the last new packet came.
    pub last_new: Option<Instant>,
    /// Interarrival jitter, in ticks of 90 kHz.
    pub jitter: u32,
    /// What was asked for again.
    pub repair: super::missing::Counts,
    /// What was checked; `None` where nobody signs, and whatever comes is believed.
    pub integrity: Option<super::integrity::Counts>,
}

/// The reception of one source.
#[derive(Clone, Debug, Default)]
pub struct Reception {
    window: Window,
    media: Traffic,
    /// Arrival minus timestamp of the last packet, both in ticks, modulo 2^32.
    transit: Option<u32>,
    /// Sixteen times the jitter (RFC 3550 §A.8).
    jitter16: u64,
    /// When the last arrival began, unless the source has paused since.
    last_arrival: Option<Instant>,
    pace: Option<Pace>,
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
        self.on_held_packet(now, now, sequence, timestamp, len)
    }

    /// The same for one that came earlier and was held until now.
    pub(super) fn on_held_packet(
        &mut self,
        now: Instant,
        came: Instant,
        sequence: u16,
        timestamp: u32,
        len: usize,
    ) -> Seen {
        let seen = self.window.insert(now, sequence, timestamp);
        if seen == Seen::New {
            self.media.count(len);
            if self.has_just_begun() {
                self.forget_pace();
            }
            self.measure_jitter(came, timestamp);
            self.measure_pace(came);
        }
        seen
    }

    /// Takes note of the source's SR.
    pub fn on_sender_report(&mut self, now: Instant, info: &SenderInfo) {
        self.last_sr = Some(((info.ntp >> 16) as u32, now));
    }

    /// The source says that it pauses: the silence that follows loses nothing.
    pub fn on_pause(&mut self) {
        self.window.pause();
        self.last_arrival = None;
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
            jitter: self.jitter(),
            last_sr,
            delay_since_last_sr,
        })
    }

    /// The highest extended sequence number.
    pub fn highest(&self) -> Option<u32> {
        self.window.highest()
    }

    /// The highest extended number in the count of the ring, which starts one round up so that there is always one
    /// before it.
    pub(super) fn newest(&self) -> Option<u64> {
        self.window.newest()
    }

    /// The extended number with these 16 bits that is next to the highest one.
    pub(super) fn number_of(&self, sequence: u16) -> Option<u64> {
        self.window.number_of(sequence)
    }

    /// Whether the last new packet was the first of its sequence.
    pub(super) fn has_just_begun(&self) -> bool {
        self.window.expected_and_received() == (1, 1)
    }

    /// New packets so far.
    pub(super) fn received(&self) -> u64 {
        self.window.counts().received
    }

    /// The interarrival jitter as a time, for a clock of 90 kHz.
    pub(super) fn jitter_time(&self) -> Duration {
        Duration::from_micros(u64::from(self.jitter()) * 1000 / TICKS_PER_MILLI)
    }

    /// When the last new packet came.
    pub fn last_new(&self) -> Option<Instant> {
        self.window.last_new()
    }

    /// How the new packets arrive, once two arrivals have shown it.
    pub fn pace(&self) -> Option<Pace> {
        self.pace
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        Counters {
            media: self.media,
            sequence: self.window.counts(),
            highest: self.highest(),
            last_new: self.last_new(),
            jitter: self.jitter(),
            integrity: None,
            repair: super::missing::Counts::default(),
        }
    }

    fn jitter(&self) -> u32 {
        u32::try_from(self.jitter16 >> 4).unwrap_or(u32::MAX)
    }

    fn forget_pace(&mut self) {
        self.transit = None;
        self.jitter16 = 0;
        self.last_arrival = None;
        self.pace = None;
        self.reported = (0, 0);
    }

    fn measure_pace(&mut self, now: Instant) {
        match self.last_arrival {
            Some(last) if now.since(last) <= BURST => {}
            Some(last) => {
                Pace::follow(&mut self.pace, now.since(last));
                self.last_arrival = Some(now);
            }
            None => self.last_arrival = Some(now),
        }
    }

    fn measure_jitter(&mut self, now: Instant, timestamp: u32) {
        let arrival = (now.as_micros().wrapping_mul(TICKS_PER_MILLI) / 1000) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(last) = self.transit.replace(transit) {
            let difference = (transit.wrapping_sub(last) as i32).unsigned_abs();
            // J += (|D| - J) / 16, rounded. |D| is below 2^32, so J16 stays below 2^37.
            self.jitter16 = self.jitter16 + u64::from(difference) - ((self.jitter16 + 8) >> 4);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SSRC: u32 = 0x1234_5678;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn receive(reception: &mut Reception, sequences: impl IntoIterator<Item = u16>) {
        for n in sequences {
            reception.on_packet(at(0), n, 0, 1328);
        }
    }

    #[test]
    fn there_is_nothing_to_report_before_the_first_packet() {
        assert_eq!(Reception::new().report(at(0), SSRC), None);
    }

    #[test]
    fn a_report_tells_the_loss_since_the_last_one_and_since_the_start() {
        let mut r = Reception::new();
        receive(&mut r, (0..100).filter(|n| n % 4 != 1));
        let first = r.report(at(0), SSRC).unwrap();
        assert_eq!((first.fraction_lost, first.cumulative_lost, first.highest), (64, 25, 99));
        receive(&mut r, 100..200);
        let second = r.report(at(0), SSRC).unwrap();
        assert_eq!((second.fraction_lost, second.cumulative_lost, second.highest), (0, 25, 199));
        // Nothing expected, nothing lost.
        assert_eq!(r.report(at(0), SSRC).unwrap().fraction_lost, 0);
    }

    #[test]
    fn late_packets_never_make_a_negative_fraction() {
        let mut r = Reception::new();
        receive(&mut r, [0, 10]);
        assert_eq!(r.report(at(0), SSRC).unwrap().fraction_lost, (9 * 256 / 11) as u8);
        receive(&mut r, 1..10);
        let report = r.report(at(0), SSRC).unwrap();
        assert_eq!((report.fraction_lost, report.cumulative_lost), (0, 0));
    }

    #[test]
    fn the_delay_since_the_last_sender_report_counts_in_65536ths_of_a_second() {
        let mut r = Reception::new();
        receive(&mut r, [1]);
        let info = SenderInfo { ntp: 0x1111_2222_3333_4444, rtp_timestamp: 0, packets: 1, octets: 1 };
        r.on_sender_report(at(1000), &info);
        let report = r.report(at(2500), SSRC).unwrap();
        assert_eq!((report.last_sr, report.delay_since_last_sr), (0x2222_3333, 3 << 15));
    }

    #[test]
    fn an_even_stream_has_no_jitter_and_an_uneven_one_has_a_sixteenth_at_first() {
        let mut r = Reception::new();
        for n in 0..50u16 {
            r.on_packet(at(u64::from(n) * 10), n, u32::from(n) * 900, 1328);
        }
        assert_eq!(r.counters().jitter, 0);
        // 16 ms late is 1440 ticks.
        r.on_packet(at(516), 50, 45_000, 1328);
        assert_eq!(r.counters().jitter, 90);
        assert_eq!(r.jitter_time(), Duration::from_millis(1));
    }

    #[test]
    fn jitter_survives_wrapping_timestamps_and_wild_ones() {
        let mut r = Reception::new();
        r.on_packet(at(0), 0, u32::MAX - 899, 1328);
        r.on_packet(at(10), 1, 0, 1328);
        assert_eq!(r.counters().jitter, 0);
        for n in 2..2000u16 {
            r.on_packet(at(10), n, u32::from(n % 2) << 31, 1328);
        }
        // Every difference is 2^31 ticks, and so is their mean in the end.
        assert!(r.counters().jitter.abs_diff(1 << 31) < 16);
    }

    #[test]
    fn a_restart_reports_from_its_own_beginning_while_the_counters_go_on() {
        let mut r = Reception::new();
        receive(&mut r, [0, 2, 3]);
        r.report(at(0), SSRC);
        receive(&mut r, [40_000, 40_001, 40_003]);
        let report = r.report(at(0), SSRC).unwrap();
        assert_eq!((report.cumulative_lost, report.highest, report.fraction_lost), (1, 40_003, 85));
        let counters = r.counters();
        assert_eq!(counters.media, Traffic { packets: 5, bytes: 5 * 1328 });
        assert_eq!((counters.sequence.lost, counters.sequence.restarts), (2, 1));
    }

    /// Packets in bursts of `burst`, one every `gap` milliseconds.
    fn stream(r: &mut Reception, from: u64, bursts: u64, gap: u64, burst: u16) {
        for n in 0..bursts {
            for k in 0..burst {
                let sequence = r.highest().map_or(0, |highest| highest as u16 + 1);
                let arrival = at(from + n * gap) + Duration::from_micros(u64::from(k) * 200);
                r.on_packet(arrival, sequence, 0, 1328);
            }
        }
    }

    #[test]
    fn the_pace_is_that_of_the_arrivals_and_a_burst_is_one() {
        let mut r = Reception::new();
        assert_eq!(r.pace(), None);
        stream(&mut r, 0, 1, 5, 4);
        assert_eq!(r.pace(), None);
        stream(&mut r, 5, 100, 5, 4);
        assert_eq!(r.pace(), Some(Pace { gap: Duration::from_millis(5), jitter: Duration::ZERO }));
        // From now on the same packets come one by one.
        stream(&mut r, 505, 1000, 10, 1);
        let pace = r.pace().unwrap();
        assert!(pace.gap.abs_diff(Duration::from_millis(10)) < Duration::from_micros(1));
        assert!(pace.jitter < Duration::from_micros(1));
    }

    #[test]
    fn arrivals_that_come_early_and_late_have_a_jitter_of_what_they_deviate() {
        let mut r = Reception::new();
        // 10 and 30 ms in turns: 20 on the average, give or take 10.
        for n in 0..400u16 {
            let late = u64::from(n % 2) * 10;
            r.on_packet(at(u64::from(n) * 20 + late), n, 0, 1328);
        }
        let pace = r.pace().unwrap();
        assert!(pace.gap.abs_diff(Duration::from_millis(20)) < Duration::from_millis(1), "{pace:?}");
        assert!(pace.jitter.abs_diff(Duration::from_millis(10)) < Duration::from_millis(1), "{pace:?}");
    }

    #[test]
    fn a_pause_that_was_announced_is_not_in_the_pace_and_a_silence_counts_for_a_second_at_most() {
        let even = Pace { gap: Duration::from_millis(5), jitter: Duration::ZERO };
        let mut r = Reception::new();
        stream(&mut r, 0, 20, 5, 1);
        r.on_pause();
        stream(&mut r, 60_000, 20, 5, 1);
        assert_eq!(r.pace(), Some(even));
        stream(&mut r, 120_000, 1, 5, 1);
        let expected = Duration::from_micros((15 * 5_000 + 1_000_000) / 16);
        assert!(r.pace().unwrap().gap.abs_diff(expected) < Duration::from_micros(1));
        r.restart();
        stream(&mut r, 130_000, 1, 5, 1);
        assert_eq!(r.pace(), None);
    }
}
