//! What was measured: of one run, or of one stripe of it.

use crate::sim::flow::histogram::Histogram;

/// What was measured. Times of media are in microseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Nodes that asked for the channel.
    pub viewers: u64,
    /// Those that left without having seen a packet.
    pub never_played: u64,
    /// What players had to play, from their first packet on.
    pub due: u64,
    /// What they missed in breaks.
    pub missed: u64,
    /// What they missed of single lost packets.
    pub scattered: f64,
    /// From asking to the first packet.
    pub startup: Histogram,
    /// How long each break left a player without packets to play.
    pub gaps: Histogram,
    /// How long nothing arrived in each break, whether the player noticed or not.
    pub silences: Histogram,
    /// What the source sent.
    pub by_source: u64,
    /// What all nodes sent.
    pub sent: u64,
    /// What arrived twice, or where nobody wanted it any more, or was sent to somebody who had gone without a word.
    pub wasted: u64,
    /// Of this, what arrived where somebody is: he had it from somebody else.
    pub twice: u64,
    /// Packets that were asked for again and sent again.
    pub mended: f64,
}

impl Totals {
    /// The share of what players had to play that came in time.
    pub fn in_time(&self) -> f64 {
        if self.due == 0 { 0.0 } else { 1.0 - (self.missed as f64 + self.scattered) / self.due as f64 }
    }

    /// Breaks that players noticed, in an hour of watching.
    pub fn gaps_per_hour(&self) -> f64 {
        if self.due == 0 { 0.0 } else { self.gaps.len() as f64 * 3.6e9 / self.due as f64 }
    }

    /// Takes in another run, or another stripe of the same.
    pub fn merge(&mut self, other: &Totals) {
        self.viewers += other.viewers;
        self.never_played += other.never_played;
        self.due += other.due;
        self.missed += other.missed;
        self.scattered += other.scattered;
        self.startup.merge(&other.startup);
        self.gaps.merge(&other.gaps);
        self.silences.merge(&other.silences);
        self.by_source += other.by_source;
        self.sent += other.sent;
        self.wasted += other.wasted;
        self.twice += other.twice;
        self.mended += other.mended;
    }
}
