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
