//! Which sequence numbers of one source were here already.
//!
//! Two parents may serve one child for a while, so every packet may come twice, and in any order. The 16-bit sequence
//! number is extended (at 760 packets a second it wraps every 86 s), and a bitmap remembers the last [`WINDOW`]
//! numbers. Jumps follow RFC 3550 §A.1: a sender that restarts is believed after two packets in a row.

use crate::time::{Duration, Instant};

/// How many sequence numbers, the highest included, are told apart.
pub const WINDOW: u16 = 1024;

/// A step forward that needs no second packet to be believed (RFC 3550 §A.1, MAX_DROPOUT).
pub const MAX_DROPOUT: u16 = 3000;

/// What the window says of one sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// For the first time.
    New,
    /// Again.
    Duplicate,
    /// Behind the window: nobody knows any more.
    TooOld,
    /// Far from everything seen. The next number in order would confirm that the sender has restarted.
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
    /// Times that the sequence started anew: a jump that was confirmed, or another source.
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
    /// New packets in it.
    received: u64,
}

impl Run {
    /// Extended numbers start one cycle up, so that a packet that overtakes the very first one has a number too.
    const FIRST_CYCLE: u64 = 1 << 16;

    fn starting_at(sequence: u16) -> Self {
        let first = Self::FIRST_CYCLE | u64::from(sequence);
        Run { lowest: first, highest: first, received: 0 }
    }

    fn expected(&self) -> u64 {
        self.highest - self.lowest + 1
    }
}

/// The window over one source's sequence numbers.
#[derive(Clone, Debug, Default)]
pub struct Window {
    run: Option<Run>,
    /// Bit `n % WINDOW` says whether the extended number `n` was here, for the last `WINDOW` numbers.
    bits: Bits,
    /// The number that would confirm a jump.
    confirmation: Option<u16>,
    last_new: Option<Instant>,
    counts: Counts,
}

impl Window {
    /// An empty window.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of one packet.
    pub fn insert(&mut self, now: Instant, sequence: u16) -> Seen {
        let Some(run) = &mut self.run else {
            return self.start(now, sequence);
        };
        let ahead = sequence.wrapping_sub(run.highest as u16);
        let behind = ahead.wrapping_neg();
        if (1..=MAX_DROPOUT).contains(&ahead) {
            let steps = u64::from(ahead);
            for n in run.highest + 1..=run.highest + steps.min(u64::from(WINDOW)) {
                clear(&mut self.bits, n);
            }
            run.highest += steps;
            self.accept(now, 0)
        } else if behind < WINDOW {
            self.accept(now, behind)
        } else if behind <= MAX_DROPOUT {
            // Another parent that lags; its packets are in order too, and must not pass for a restart.
            self.counts.too_old += 1;
            Seen::TooOld
        } else if self.confirmation == Some(sequence) {
            self.restart();
            self.start(now, sequence)
        } else {
            self.confirmation = Some(sequence.wrapping_add(1));
            Seen::Jump
        }
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

    fn start(&mut self, now: Instant, sequence: u16) -> Seen {
        self.bits = Bits::default();
        self.run = Some(Run::starting_at(sequence));
        self.accept(now, 0)
    }

    /// Marks the number `behind` the highest, which the window still covers.
    fn accept(&mut self, now: Instant, behind: u16) -> Seen {
        let Some(run) = &mut self.run else { return Seen::TooOld };
        let n = run.highest - u64::from(behind);
        if !set(&mut self.bits, n) {
            self.counts.duplicates += 1;
            return Seen::Duplicate;
        }
        run.lowest = run.lowest.min(n);
        run.received += 1;
        self.confirmation = None;
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
            window.insert(T0, n);
        }
        window
    }

    #[test]
    fn a_packet_is_new_once() {
        let mut w = window_after([10, 11, 13]);
        assert_eq!(w.insert(T0, 11), Seen::Duplicate);
        assert_eq!(w.insert(T0, 12), Seen::New);
        assert_eq!(w.insert(T0, 12), Seen::Duplicate);
        assert_eq!(w.insert(T0, 14), Seen::New);
        let counts = w.counts();
        assert_eq!((counts.received, counts.duplicates, counts.lost), (5, 2, 0));
    }

    #[test]
    fn sequence_numbers_wrap_and_the_extended_ones_do_not() {
        let mut w = Window::new();
        for n in 0..200_000u32 {
            assert_eq!(w.insert(T0, n.wrapping_add(65_000) as u16), Seen::New);
        }
        assert_eq!(w.highest(), Some(65_000 + 199_999));
        assert_eq!(w.counts().lost, 0);
        assert_eq!(w.counts().restarts, 0);
    }

    #[test]
    fn a_packet_that_overtook_the_first_one_belongs_to_the_sequence() {
        let mut w = window_after([0]);
        assert_eq!(w.insert(T0, 65_535), Seen::New);
        assert_eq!(w.insert(T0, 65_535), Seen::Duplicate);
        assert_eq!(w.highest(), Some(0));
        assert_eq!(w.expected_and_received(), (2, 2));
    }

    #[test]
    fn reordering_within_the_window_loses_nothing() {
        let mut w = window_after([2000]);
        assert_eq!(w.insert(T0, 2000 + WINDOW - 1), Seen::New);
        assert_eq!(w.counts().lost, u64::from(WINDOW) - 2);
        for n in (2001..2000 + WINDOW - 1).rev() {
            assert_eq!(w.insert(T0, n), Seen::New);
        }
        assert_eq!(w.counts().lost, 0);
        assert_eq!(w.insert(T0, 2000), Seen::Duplicate);
    }

    #[test]
    fn the_oldest_number_of_the_window_is_known_and_the_one_before_is_not() {
        let mut w = window_after([5000]);
        assert_eq!(w.insert(T0, 5000 - (WINDOW - 1)), Seen::New);
        assert_eq!(w.insert(T0, 5000 - WINDOW), Seen::TooOld);
        assert_eq!(w.counts().too_old, 1);
    }

    #[test]
    fn a_step_over_the_whole_window_forgets_all_of_it() {
        for step in [WINDOW - 1, WINDOW, WINDOW + 1, MAX_DROPOUT] {
            let mut w = window_after(0..WINDOW);
            let last = WINDOW - 1 + step;
            assert_eq!(w.insert(T0, last), Seen::New);
            for n in last - (WINDOW - 1)..last {
                let expected = if n < WINDOW { Seen::Duplicate } else { Seen::New };
                assert_eq!(w.insert(T0, n), expected, "step {step}, number {n}");
            }
        }
    }

    #[test]
    fn a_jump_is_believed_with_the_second_packet_in_a_row() {
        let mut w = window_after([100, 101]);
        assert_eq!(w.insert(T0, 40_000), Seen::Jump);
        assert_eq!(w.highest(), Some(101));
        assert_eq!(w.insert(T0, 40_001), Seen::New);
        assert_eq!(w.highest(), Some(40_001));
        assert_eq!(w.insert(T0, 40_000), Seen::New);
        assert_eq!(w.insert(T0, 101), Seen::Jump);
        let counts = w.counts();
        assert_eq!((counts.received, counts.lost, counts.restarts), (4, 0, 1));
    }

    #[test]
    fn jumps_that_lead_nowhere_change_nothing() {
        let mut w = window_after([100]);
        for n in [20_000, 30_000, 20_001, 50_000] {
            assert_eq!(w.insert(T0, n), Seen::Jump);
        }
        assert_eq!(w.insert(T0, 101), Seen::New);
        // The packet in between has shown that the old sequence goes on.
        assert_eq!(w.insert(T0, 50_001), Seen::Jump);
        assert_eq!(w.counts().restarts, 0);
    }

    #[test]
    fn the_largest_dropout_needs_no_confirmation_and_one_more_does() {
        assert_eq!(window_after([7]).insert(T0, 7 + MAX_DROPOUT), Seen::New);
        assert_eq!(window_after([7]).insert(T0, 8 + MAX_DROPOUT), Seen::Jump);
    }

    #[test]
    fn a_parent_that_lags_behind_the_window_is_no_restart() {
        let mut w = window_after([10_000]);
        for n in 10_000 - 2 * WINDOW..10_000 - 2 * WINDOW + 500 {
            assert_eq!(w.insert(T0, n), Seen::TooOld);
        }
        assert_eq!(w.highest(), Some(10_000));
    }

    #[test]
    fn losses_before_a_restart_stay_counted() {
        let mut w = window_after([10, 13]);
        assert_eq!(w.counts().lost, 2);
        w.restart();
        assert_eq!((w.counts().lost, w.highest()), (2, None));
        assert_eq!(w.insert(T0, 40_000), Seen::New);
        assert_eq!(w.insert(T0, 40_002), Seen::New);
        assert_eq!((w.counts().lost, w.counts().restarts), (3, 1));
        assert_eq!(w.expected_and_received(), (3, 2));
    }

    #[test]
    fn the_longest_gap_lies_between_new_packets_and_duplicates_do_not_shorten_it() {
        let at = Instant::from_millis;
        let mut w = Window::new();
        for (ms, n) in [(1000, 1), (1010, 2), (1200, 2), (1450, 3), (1500, 4)] {
            w.insert(at(ms), n);
        }
        assert_eq!(w.counts().longest_gap, Duration::from_millis(440));
        assert_eq!(w.last_new(), Some(at(1500)));
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
                let (a, b) = (window.insert(T0, at), naive.insert(at));
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
