//! Which sequence numbers of one source were here already.
//!
//! Two parents may serve one child for a while, so every packet may come twice, and in any order. The 16-bit sequence
//! number is extended (at 760 packets a second it wraps every 86 s), and a bitmap remembers the last [`WINDOW`]
//! numbers. Jumps follow RFC 3550 §A.1: one is believed after two packets in a row.
//!
//! What RFC 3550 takes for a restart of the sender may as well be a long silence of the network, and then all that did
//! not come is lost. The two are told apart by what an outsider cannot make up, our own clock, and by the pace of the
//! source so far:
//!
//! * The timestamp must have gone on for as long as we have waited, give or take [`MAX_SKEW`]. A source that begins
//!   anew begins with a random one (RFC 3550 §5.1).
//! * At its pace the source has sent a certain number of packets in that time. Of all extended numbers with these 16
//!   bits the one next to that is meant, so a silence may be longer than a whole round of sequence numbers. It must
//!   fit: by half of that number more or less, and [`MAX_DROPOUT`].
//! * A gap is at most [`MAX_GAP`] long.
//!
//! Everything else that lies further away than `MAX_DROPOUT` is a new beginning; what was lost before it stays counted.

use crate::time::{Duration, Instant};

/// How many sequence numbers, the highest included, are told apart.
pub const WINDOW: u16 = 1024;

/// A step forward that needs no second packet to be believed (RFC 3550 §A.1, MAX_DROPOUT).
pub const MAX_DROPOUT: u16 = 3000;

/// The longest gap whose numbers count as lost: what a report can say of it (RFC 3550 §6.4.1, 24 bits with a sign).
pub const MAX_GAP: u64 = (1 << 23) - 1;

/// How much longer or shorter a silence may be by the source's clock than by ours: what lies in the buffers of a host
/// that was busy, and of the network.
pub const MAX_SKEW: Duration = Duration::from_secs(10);

/// Clock ticks of MP2T in a millisecond (RFC 3551 §5: 90 kHz).
pub(super) const TICKS_PER_MILLI: u64 = 90;

/// A silence after which the 16 bits of a near number may mean one that is a round away.
const SILENCE: Duration = Duration::from_secs(1);

/// The shortest time from which a pace is told: packets that were waiting for a newcomer come in a burst.
const SHORTEST_SPAN: Duration = Duration::from_secs(1);

/// One round of sequence numbers.
const ROUND: i64 = 1 << 16;

/// What the window says of one sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// For the first time.
    New,
    /// Again.
    Duplicate,
    /// Behind the window: nobody knows any more.
    TooOld,
    /// Far from everything seen. The next number in order would confirm that the sender goes on from here.
    Jump,
}

/// What a window counted. The numbers only grow, over restarts of the sender too, except `lost`, which a late packet
/// brings down again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// New packets.
    pub received: u64,
    /// Packets that had been here already.
    pub duplicates: u64,
    /// Packets behind the window.
    pub too_old: u64,
    /// Numbers between the first and the highest that have not come.
    pub lost: u64,
    /// Times that the sequence started anew: a jump that was confirmed and is no gap, or another source.
    pub restarts: u64,
    /// The longest time between two new packets.
    pub longest_gap: Duration,
}

/// A stretch of sequence numbers without a restart.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Lowest extended number seen.
    lowest: u64,
    /// Highest extended number seen.
    highest: u64,
    /// When the highest came, and its timestamp.
    at: Instant,
    timestamp: u32,
    /// When the first packet came.
    since: Instant,
    /// New packets in it.
    received: u64,
}

impl Run {
    /// Extended numbers start one cycle up, so that a packet that overtakes the very first one has a number too.
    const FIRST_CYCLE: u64 = 1 << 16;

    fn starting_at(now: Instant, sequence: u16, timestamp: u32) -> Self {
        let first = Self::FIRST_CYCLE | u64::from(sequence);
        Run { lowest: first, highest: first, at: now, timestamp, since: now, received: 0 }
    }

    fn expected(&self) -> u64 {
        self.highest - self.lowest + 1
    }

    /// How many packets the source has sent since the highest, if its clock and its pace have gone on; none if its
    /// clock has not.
    fn sent_since(&self, now: Instant, timestamp: u32) -> i64 {
        let elapsed = ticks(now.since(self.at));
        // By how much the source's clock is ahead of ours, modulo 2^32.
        let skew = timestamp.wrapping_sub(self.timestamp).wrapping_sub(elapsed as u32) as i32;
        if u64::from(skew.unsigned_abs()) > ticks(MAX_SKEW) {
            return 0;
        }
        let progress = elapsed.saturating_add_signed(skew.into());
        let span = ticks(self.at.since(self.since).max(SHORTEST_SPAN));
        i64::try_from((self.highest - self.lowest).saturating_mul(progress) / span).unwrap_or(i64::MAX)
    }
}

fn ticks(duration: Duration) -> u64 {
    (duration.as_micros() as u64).saturating_mul(TICKS_PER_MILLI) / 1000
}

/// Where a sequence number lies.
enum Step {
    /// So many numbers ahead of the highest (behind it, if negative).
    Near(i64),
    /// Further away, at a place that a silence explains: a gap of so many numbers.
    Gap(u64),
    /// Further away, and nothing explains it.
    Elsewhere,
}

/// The window over one source's sequence numbers.
#[derive(Clone, Debug, Default)]
pub struct Window {
    run: Option<Run>,
    /// Bit `n % WINDOW` says whether the extended number `n` was here, for the last `WINDOW` numbers.
    bits: Bits,
    /// The number that would confirm a jump.
    confirmation: Option<u16>,
    /// The source has paused since the last new packet.
    paused: bool,
    last_new: Option<Instant>,
    counts: Counts,
}

impl Window {
    /// An empty window.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of one packet.
    pub fn insert(&mut self, now: Instant, sequence: u16, timestamp: u32) -> Seen {
        let Some(run) = &self.run else {
            return self.start(now, sequence, timestamp);
        };
        let confirmed = self.confirmation == Some(sequence);
        match self.step(run, now, sequence, timestamp) {
            Step::Near(ahead @ 1..) => self.advance(now, ahead as u64, timestamp),
            Step::Near(behind) if behind > -i64::from(WINDOW) => self.accept(now, behind.unsigned_abs()),
            Step::Near(_) => {
                // Another parent that lags; its packets are in order too, and must not pass for a restart.
                self.counts.too_old += 1;
                Seen::TooOld
            }
            Step::Gap(ahead) if confirmed => self.advance(now, ahead, timestamp),
            Step::Elsewhere if confirmed => {
                self.restart();
                self.start(now, sequence, timestamp)
            }
            Step::Gap(_) | Step::Elsewhere => {
                self.confirmation = Some(sequence.wrapping_add(1));
                Seen::Jump
            }
        }
    }

    fn step(&self, run: &Run, now: Instant, sequence: u16, timestamp: u32) -> Step {
        let near = -i64::from(MAX_DROPOUT)..=i64::from(MAX_DROPOUT);
        let nearest = i64::from(sequence.wrapping_sub(run.highest as u16) as i16);
        // The next one in order is the next one, however long it took: a source may pause.
        if near.contains(&nearest) && (nearest == 1 || now.since(run.at) < SILENCE) {
            return Step::Near(nearest);
        }
        let sent = if self.paused { 0 } else { run.sent_since(now, timestamp) };
        let rounds = (sent.saturating_sub(nearest).saturating_add(ROUND / 2)).div_euclid(ROUND);
        let ahead = rounds.saturating_mul(ROUND).saturating_add(nearest);
        let fits = ahead.abs_diff(sent) <= sent.unsigned_abs() / 2 + u64::from(MAX_DROPOUT);
        match u64::try_from(ahead) {
            _ if near.contains(&ahead) => Step::Near(ahead),
            Ok(ahead) if fits && ahead <= MAX_GAP => Step::Gap(ahead),
            _ => Step::Elsewhere,
        }
    }

    /// The source says that it sends nothing for now, so the silence that follows loses nothing.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Forgets the sequence, because another source follows; the counts go on.
    pub fn restart(&mut self) {
        if let Some(run) = self.run.take() {
            self.counts.lost += run.expected() - run.received;
            self.counts.restarts += 1;
        }
        self.confirmation = None;
    }

    /// The highest sequence number, extended by the number of its wraps since this node saw the first one (RFC 3550
    /// §6.4.1). Nodes that joined at different times differ in the wraps: only the lower 16 bits compare.
    pub fn highest(&self) -> Option<u32> {
        self.run.map(|run| (run.highest - Run::FIRST_CYCLE) as u32)
    }

    /// The highest extended number, in the count that starts one round up.
    pub(super) fn newest(&self) -> Option<u64> {
        self.run.map(|run| run.highest)
    }

    /// The extended number with these 16 bits that is next to the highest one.
    pub(super) fn number_of(&self, sequence: u16) -> Option<u64> {
        let highest = self.run?.highest;
        highest.checked_add_signed(i64::from(sequence.wrapping_sub(highest as u16) as i16))
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        let missing = self.run.map_or(0, |run| run.expected() - run.received);
        Counts { lost: self.counts.lost + missing, ..self.counts }
    }

    /// Packets expected and received since the last restart (RFC 3550 §A.3).
    pub fn expected_and_received(&self) -> (u64, u64) {
        self.run.map_or((0, 0), |run| (run.expected(), run.received))
    }

    /// When the last new packet came.
    pub fn last_new(&self) -> Option<Instant> {
        self.last_new
    }

    fn start(&mut self, now: Instant, sequence: u16, timestamp: u32) -> Seen {
        self.bits = Bits::default();
        self.run = Some(Run::starting_at(now, sequence, timestamp));
        self.accept(now, 0)
    }

    /// Makes the number that lies `steps` ahead the highest, and marks it.
    fn advance(&mut self, now: Instant, steps: u64, timestamp: u32) -> Seen {
        if let Some(run) = &mut self.run {
            for n in run.highest + 1..=run.highest + steps.min(u64::from(WINDOW)) {
                clear(&mut self.bits, n);
            }
            run.highest += steps;
            (run.at, run.timestamp) = (now, timestamp);
        }
        self.accept(now, 0)
    }

    /// Marks the number `behind` the highest, which the window still covers.
    fn accept(&mut self, now: Instant, behind: u64) -> Seen {
        let Some(run) = &mut self.run else { return Seen::TooOld };
        let n = run.highest - behind;
        if !set(&mut self.bits, n) {
            self.counts.duplicates += 1;
            return Seen::Duplicate;
        }
        run.lowest = run.lowest.min(n);
        run.received += 1;
        self.confirmation = None;
        self.paused = false;
        self.counts.received += 1;
        if let Some(last) = self.last_new {
            self.counts.longest_gap = self.counts.longest_gap.max(now.since(last));
        }
        self.last_new = Some(now);
        Seen::New
    }
}

type Bits = [u64; WINDOW as usize / 64];

const fn place(n: u64) -> (usize, u64) {
    let bit = n % WINDOW as u64;
    ((bit / 64) as usize, 1 << (bit % 64))
}

fn clear(bits: &mut Bits, n: u64) {
    let (word, mask) = place(n);
    bits[word] &= !mask;
}

/// Whether the bit was not set before.
fn set(bits: &mut Bits, n: u64) -> bool {
    let (word, mask) = place(n);
    let fresh = bits[word] & mask == 0;
    bits[word] |= mask;
    fresh
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    const T0: Instant = Instant::ZERO;

    fn window_after(sequences: impl IntoIterator<Item = u16>) -> Window {
        let mut window = Window::new();
        for n in sequences {
            window.insert(T0, n, 0);
        }
        window
    }

    #[test]
    fn a_packet_is_new_once() {
        let mut w = window_after([10, 11, 13]);
        assert_eq!(w.insert(T0, 11, 0), Seen::Duplicate);
        assert_eq!(w.insert(T0, 12, 0), Seen::New);
        assert_eq!(w.insert(T0, 12, 0), Seen::Duplicate);
        assert_eq!(w.insert(T0, 14, 0), Seen::New);
        let counts = w.counts();
        assert_eq!((counts.received, counts.duplicates, counts.lost), (5, 2, 0));
    }

    #[test]
    fn sequence_numbers_wrap_and_the_extended_ones_do_not() {
        let mut w = Window::new();
        for n in 0..200_000u32 {
            assert_eq!(w.insert(T0, n.wrapping_add(65_000) as u16, 0), Seen::New);
        }
        assert_eq!(w.highest(), Some(65_000 + 199_999));
        assert_eq!(w.counts().lost, 0);
        assert_eq!(w.counts().restarts, 0);
    }

    #[test]
    fn a_packet_that_overtook_the_first_one_belongs_to_the_sequence() {
        let mut w = window_after([0]);
        assert_eq!(w.insert(T0, 65_535, 0), Seen::New);
        assert_eq!(w.insert(T0, 65_535, 0), Seen::Duplicate);
        assert_eq!(w.highest(), Some(0));
        assert_eq!(w.expected_and_received(), (2, 2));
    }

    #[test]
    fn reordering_within_the_window_loses_nothing() {
        let mut w = window_after([2000]);
        assert_eq!(w.insert(T0, 2000 + WINDOW - 1, 0), Seen::New);
        assert_eq!(w.counts().lost, u64::from(WINDOW) - 2);
        for n in (2001..2000 + WINDOW - 1).rev() {
            assert_eq!(w.insert(T0, n, 0), Seen::New);
        }
        assert_eq!(w.counts().lost, 0);
        assert_eq!(w.insert(T0, 2000, 0), Seen::Duplicate);
    }

    #[test]
    fn the_oldest_number_of_the_window_is_known_and_the_one_before_is_not() {
        let mut w = window_after([5000]);
        assert_eq!(w.insert(T0, 5000 - (WINDOW - 1), 0), Seen::New);
        assert_eq!(w.insert(T0, 5000 - WINDOW, 0), Seen::TooOld);
        assert_eq!(w.counts().too_old, 1);
    }

    #[test]
    fn a_step_over_the_whole_window_forgets_all_of_it() {
        for step in [WINDOW - 1, WINDOW, WINDOW + 1, MAX_DROPOUT] {
            let mut w = window_after(0..WINDOW);
            let last = WINDOW - 1 + step;
            assert_eq!(w.insert(T0, last, 0), Seen::New);
            for n in last - (WINDOW - 1)..last {
                let expected = if n < WINDOW { Seen::Duplicate } else { Seen::New };
                assert_eq!(w.insert(T0, n, 0), expected, "step {step}, number {n}");
            }
        }
    }

    /// A packet every 10 ms, then a minute of silence, and what the source would have sent until then by its own clock.
    #[test]
    fn a_silence_is_one_though_the_clocks_differ_by_ten_seconds_and_a_new_beginning_if_by_more() {
        let at = Instant::from_millis;
        for (skew, restarts) in [(10_000, 0), (10_001, 1)] {
            let mut w = Window::new();
            for n in 0..=1000 {
                w.insert(at(u64::from(n) * 10), n, u32::from(n) * 900);
            }
            for (n, seen) in [(8000, Seen::Jump), (8001, Seen::New)] {
                assert_eq!(w.insert(at(70_000), n, 90 * (10_000 + 60_000 + skew)), seen);
            }
            assert_eq!(w.counts().restarts, restarts, "{skew} ms");
        }
    }

    #[test]
    fn a_jump_is_believed_with_the_second_packet_in_a_row() {
        let mut w = window_after([100, 101]);
        assert_eq!(w.insert(T0, 40_000, 0), Seen::Jump);
        assert_eq!(w.highest(), Some(101));
        assert_eq!(w.insert(T0, 40_001, 0), Seen::New);
        assert_eq!(w.highest(), Some(40_001));
        assert_eq!(w.insert(T0, 40_000, 0), Seen::New);
        assert_eq!(w.insert(T0, 101, 0), Seen::Jump);
        let counts = w.counts();
        assert_eq!((counts.received, counts.lost, counts.restarts), (4, 0, 1));
    }

    #[test]
    fn jumps_that_lead_nowhere_change_nothing() {
        let mut w = window_after([100]);
        for n in [20_000, 30_000, 20_001, 50_000] {
            assert_eq!(w.insert(T0, n, 0), Seen::Jump);
        }
        assert_eq!(w.insert(T0, 101, 0), Seen::New);
        // The packet in between has shown that the old sequence goes on.
        assert_eq!(w.insert(T0, 50_001, 0), Seen::Jump);
        assert_eq!(w.counts().restarts, 0);
    }

    #[test]
    fn the_largest_dropout_needs_no_confirmation_and_one_more_does() {
        assert_eq!(window_after([7]).insert(T0, 7 + MAX_DROPOUT, 0), Seen::New);
        assert_eq!(window_after([7]).insert(T0, 8 + MAX_DROPOUT, 0), Seen::Jump);
    }

    #[test]
    fn a_parent_that_lags_behind_the_window_is_no_restart() {
        let mut w = window_after([10_000]);
        for n in 10_000 - 2 * WINDOW..10_000 - 2 * WINDOW + 500 {
            assert_eq!(w.insert(T0, n, 0), Seen::TooOld);
        }
        assert_eq!(w.highest(), Some(10_000));
    }

    #[test]
    fn losses_before_a_restart_stay_counted() {
        let mut w = window_after([10, 13]);
        assert_eq!(w.counts().lost, 2);
        w.restart();
        assert_eq!((w.counts().lost, w.highest()), (2, None));
        assert_eq!(w.insert(T0, 40_000, 0), Seen::New);
        assert_eq!(w.insert(T0, 40_002, 0), Seen::New);
        assert_eq!((w.counts().lost, w.counts().restarts), (3, 1));
        assert_eq!(w.expected_and_received(), (3, 2));
    }

    #[test]
    fn the_longest_gap_lies_between_new_packets_and_duplicates_do_not_shorten_it() {
        let at = Instant::from_millis;
        let mut w = Window::new();
        for (ms, n) in [(1000, 1), (1010, 2), (1200, 2), (1450, 3), (1500, 4)] {
            w.insert(at(ms), n, 0);
        }
        assert_eq!(w.counts().longest_gap, Duration::from_millis(440));
        assert_eq!(w.last_new(), Some(at(1500)));
    }

    const PER_SECOND: u64 = 160;
    const HOUR: u64 = 3600;

    /// A source that sends 160 packets a second from zero on, with its sequence numbers and timestamps about to wrap.
    fn sent(w: &mut Window, numbers: core::ops::Range<u64>) {
        numbers.for_each(|n| {
            assert_eq!(arrive(w, n), Seen::New, "{n}");
        });
    }

    /// Its `n`th packet comes at once.
    fn arrive(w: &mut Window, n: u64) -> Seen {
        w.insert(when(n), n.wrapping_add(65_000) as u16, timestamp(n))
    }

    fn when(n: u64) -> Instant {
        Instant::from_micros(n * 1_000_000 / PER_SECOND)
    }

    fn timestamp(n: u64) -> u32 {
        (n * 90_000 / PER_SECOND).wrapping_add(u64::from(u32::MAX - 50_000)) as u32
    }

    #[test]
    fn a_silence_loses_what_the_source_has_sent_meanwhile_however_long_it_is() {
        // Within the dropout, beyond it, twice around, near a whole round on both sides, for hours.
        for seconds in [10, 18, 19, 50, 200, 205, 400, 408, 411, 420, 819, 830, HOUR, 10 * HOUR] {
            let mut w = Window::new();
            sent(&mut w, 0..1600);
            let back = 1600 + seconds * PER_SECOND;
            // Unless it is within the dropout, it takes a second packet to believe it.
            assert_eq!(arrive(&mut w, back), if seconds <= 18 { Seen::New } else { Seen::Jump }, "{seconds}");
            sent(&mut w, back + 1..back + 100);
            let counts = w.counts();
            let unbelieved = u64::from(seconds > 18);
            assert_eq!((counts.lost, counts.restarts), (back - 1600 + unbelieved, 0), "{seconds}");
            assert_eq!(w.expected_and_received().0, back + 100, "{seconds}");
        }
    }

    #[test]
    fn two_silences_add_up_and_late_packets_of_the_second_come_off() {
        let mut w = Window::new();
        sent(&mut w, 0..1600);
        for back in [9600, 80_000] {
            assert_eq!(arrive(&mut w, back), Seen::Jump);
            sent(&mut w, back + 1..back + 1600);
        }
        assert_eq!(w.counts().lost, 8001 + (80_000 - 11_200) + 1);
        let late =
            |w: &mut Window, n: u64| w.insert(when(81_600), n.wrapping_add(65_000) as u16, timestamp(n));
        assert_eq!(late(&mut w, 80_000), Seen::TooOld);
        assert_eq!(late(&mut w, 81_599), Seen::Duplicate);
        assert_eq!(late(&mut w, 81_600), Seen::New);
    }

    #[test]
    fn a_pace_that_changes_by_half_is_still_the_same_source() {
        for (per_second, restarts) in [(90u64, 0), (230, 0), (400, 1)] {
            let mut w = Window::new();
            sent(&mut w, 0..1600);
            let (silence, n) = (50, 1600 + 50 * per_second);
            for n in [n, n + 1] {
                let now = when(1600) + Duration::from_secs(silence);
                w.insert(now, n.wrapping_add(65_000) as u16, timestamp(1600 + silence * PER_SECOND));
            }
            let lost = if restarts == 0 { 50 * per_second + 1 } else { 0 };
            assert_eq!((w.counts().lost, w.counts().restarts), (lost, restarts), "{per_second}");
        }
    }

    #[test]
    fn a_source_that_begins_anew_with_another_timestamp_has_lost_nothing() {
        for wrong in [11 * 90_000, 1 << 31, u32::MAX - 11 * 90_000] {
            let mut w = Window::new();
            sent(&mut w, 0..1600);
            for n in [9600, 9601] {
                w.insert(when(n), n.wrapping_add(65_000) as u16, timestamp(n).wrapping_add(wrong));
            }
            assert_eq!((w.counts().lost, w.counts().restarts), (0, 1), "{wrong}");
        }
    }

    #[test]
    fn what_a_busy_host_read_late_and_what_it_missed_are_told_by_the_clock_of_the_source() {
        for (missed, lost, restarts) in [(8, 8 * 760 + 1, 0), (12, 0, 1)] {
            let mut w = Window::new();
            let timestamp = |n: u32| n.wrapping_mul(90_000) / 760;
            for n in 0..7600 {
                w.insert(Instant::from_micros(u64::from(n) * 1_000_000 / 760), n as u16, timestamp(n));
            }
            // Asleep; the buffer kept the first second, and all of that is read at once with what is new.
            let woken = Instant::from_millis(u64::from(10 + 1 + missed) * 1000);
            let live = 8360 + missed * 760;
            for n in (7600..8360).chain(live..live + 760) {
                w.insert(woken, n as u16, timestamp(n));
            }
            assert_eq!((w.counts().lost, w.counts().restarts), (lost, restarts), "{missed} s");
        }
    }

    #[test]
    fn a_source_that_pauses_goes_on_with_the_next_number_and_loses_nothing() {
        for (seconds, missing, lost) in [(410, 0u64, 0), (HOUR, 0, 0), (410, 2, 2)] {
            let mut w = Window::new();
            sent(&mut w, 0..1600);
            if missing > 0 {
                w.pause();
            }
            let now = when(1600 + seconds * PER_SECOND);
            let next = 1600 + missing;
            let clock = timestamp(1600 + seconds * PER_SECOND);
            assert_eq!(w.insert(now, next.wrapping_add(65_000) as u16, clock), Seen::New);
            assert_eq!((w.counts().lost, w.counts().restarts), (lost, 0));
        }
    }

    #[test]
    fn forged_packets_add_no_more_than_the_silence_explains() {
        let lost_by = |silence: u64, ahead: u64, forged: u64| {
            let mut w = Window::new();
            sent(&mut w, 0..1600);
            let now = when(1599 + silence * PER_SECOND);
            for n in 0..forged {
                // The forger knows the SSRC, and what the clock of the source should say.
                let n = 1599 + ahead + n;
                w.insert(now, n.wrapping_add(65_000) as u16, timestamp(1599 + silence * PER_SECOND));
            }
            w.counts().lost
        };
        for ahead in (1..(1 << 17)).step_by(97) {
            // One alone moves as far as it ever did, and two of a live stream no further than two such steps.
            assert!(lost_by(0, ahead, 1) < u64::from(MAX_DROPOUT), "{ahead}");
            assert!(lost_by(0, ahead, 2) <= 2 * u64::from(MAX_DROPOUT), "{ahead}");
            let sent = 50 * PER_SECOND;
            assert!(lost_by(50, ahead, 2) <= sent + sent / 2 + u64::from(MAX_DROPOUT), "{ahead}");
        }
    }

    #[test]
    fn no_gap_is_longer_than_a_report_can_say() {
        let mut w = Window::new();
        sent(&mut w, 0..1600);
        for n in [1600 + 20 * HOUR * PER_SECOND, 1601 + 20 * HOUR * PER_SECOND] {
            arrive(&mut w, n);
        }
        assert_eq!((w.counts().lost, w.counts().restarts), (0, 1));
    }

    #[test]
    fn no_times_numbers_and_timestamps_make_the_loss_grow_faster_than_packets_and_time_do() {
        fn law(packets: Vec<(u32, u16, u32)>) -> bool {
            let (mut w, mut now) = (Window::new(), T0);
            let limit = packets.len() as u64 * MAX_GAP;
            packets.into_iter().all(|(ms, sequence, timestamp)| {
                now += Duration::from_millis(ms.into());
                w.insert(now, sequence, timestamp);
                w.insert(now, sequence.wrapping_add(1), timestamp);
                let (expected, received) = w.expected_and_received();
                expected >= received && w.counts().lost <= 2 * limit
            })
        }
        quickcheck::QuickCheck::new().tests(2000).quickcheck(law as fn(Vec<(u32, u16, u32)>) -> bool);
    }

    /// The window as one would say it: a set of extended numbers.
    struct Naive {
        seen: BTreeSet<i64>,
        highest: i64,
    }

    impl Naive {
        fn insert(&mut self, sequence: u16) -> Seen {
            if self.seen.is_empty() {
                self.seen.insert(i64::from(sequence));
                self.highest = i64::from(sequence);
                return Seen::New;
            }
            let step = i64::from(sequence.wrapping_sub(self.highest as u16) as i16);
            let n = self.highest + step;
            if step > i64::from(MAX_DROPOUT) || step < -i64::from(MAX_DROPOUT) {
                return Seen::Jump;
            }
            if step <= -i64::from(WINDOW) {
                return Seen::TooOld;
            }
            self.highest = self.highest.max(n);
            if self.seen.insert(n) { Seen::New } else { Seen::Duplicate }
        }
    }

    #[test]
    fn the_window_agrees_with_a_set_of_numbers() {
        fn law(first: u16, steps: Vec<i16>) -> bool {
            let mut window = Window::new();
            let mut naive = Naive { seen: BTreeSet::new(), highest: 0 };
            let mut at = first;
            let mut unconfirmed = None;
            for step in steps {
                // Mostly small steps to both sides, now and then far ones, but no confirmed restart.
                at = at.wrapping_add((if step % 16 == 0 { step } else { step % 40 }) as u16);
                if unconfirmed == Some(at) {
                    continue;
                }
                let (a, b) = (window.insert(T0, at, 0), naive.insert(at));
                if a != b {
                    return false;
                }
                match a {
                    Seen::Jump => {
                        unconfirmed = Some(at.wrapping_add(1));
                        at = naive.highest as u16;
                    }
                    Seen::New => unconfirmed = None,
                    Seen::Duplicate | Seen::TooOld => {}
                }
            }
            let span = naive.seen.last().zip(naive.seen.first()).map_or(0, |(a, b)| a - b + 1);
            let counts = window.counts();
            counts.received == naive.seen.len() as u64 && counts.lost == span as u64 - counts.received
        }
        quickcheck::QuickCheck::new().tests(2000).quickcheck(law as fn(u16, Vec<i16>) -> bool);
    }
}
