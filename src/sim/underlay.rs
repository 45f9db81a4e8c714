//! What a path between two hosts does to packets.

use crate::env::{Entropy, Seeded};
use crate::time::Duration;

/// How long a packet travels, one way, before jitter.
///
/// It is drawn once for each pair of hosts and is the same in both directions, as distance is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Latency {
    /// The same for every pair.
    Constant(Duration),
    /// Log-normal over the pairs: half of them are nearer than `median`, one in twenty is farther than `p95`.
    LogNormal {
        /// The 50th percentile.
        median: Duration,
        /// The 95th percentile.
        p95: Duration,
    },
}

impl Latency {
    /// The latency between two hosts, which depends on nothing but the seed and the two.
    pub fn between(&self, a: u32, b: u32, seed: u64) -> Duration {
        match *self {
            Latency::Constant(d) => d,
            Latency::LogNormal { median, p95 } => {
                let pair = u64::from(a.min(b)) << 32 | u64::from(a.max(b));
                // SplitMix64 spreads the pair's number over all bits.
                let mut dice = Seeded::new(Seeded::new(seed ^ pair.rotate_left(17)).next_u64() ^ pair);
                let spread = (p95.as_secs_f64() / median.as_secs_f64()).max(1.0);
                let factor = exp(ln(spread) / Z95 * standard_normal(&mut dice));
                Duration::from_micros((median.as_micros() as f64 * factor) as u64)
            }
        }
    }
}

/// The 95th percentile of the standard normal distribution.
const Z95: f64 = 1.644_853_6;

/// What a path does to the packets that take it. Chances are between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// One way.
    pub latency: Latency,
    /// Each packet waits up to this long in queues on its way, evenly spread. Packets of one path do not overtake
    /// each other in a queue.
    pub jitter: Duration,
    /// The chance that a datagram is lost. On a TCP stream it costs time instead.
    pub loss: f64,
    /// The chance that a datagram arrives twice.
    pub duplication: f64,
    /// The chance that a datagram is held back by `reordering_delay`, so that later ones overtake it.
    pub reordering: f64,
    /// How long such a datagram is held back.
    pub reordering_delay: Duration,
}

impl Conditions {
    /// A path that only takes time.
    pub const fn constant(latency: Duration) -> Self {
        Conditions {
            latency: Latency::Constant(latency),
            jitter: Duration::ZERO,
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            reordering_delay: Duration::from_millis(20),
        }
    }

    /// The same path, losing this share of its datagrams.
    pub const fn with_loss(mut self, loss: f64) -> Self {
        self.loss = loss;
        self
    }

    /// The same path with jitter.
    pub const fn with_jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// The same path, duplicating and reordering these shares of its datagrams.
    pub const fn with_disorder(mut self, duplication: f64, reordering: f64) -> Self {
        self.duplication = duplication;
        self.reordering = reordering;
        self
    }

    /// How long one packet waits in queues.
    pub(in crate::sim) fn queueing(&self, dice: &mut Seeded) -> Duration {
        Duration::from_micros(dice.below(self.jitter.as_micros() as u64 + 1))
    }
}

impl Default for Conditions {
    /// 10 ms one way and no trouble.
    fn default() -> Self {
        Self::constant(Duration::from_millis(10))
    }
}

/// Whether something with this chance happens. Certainties throw no dice.
pub(in crate::sim) fn happens(chance: f64, dice: &mut Seeded) -> bool {
    chance > 0.0 && (chance >= 1.0 || unit(dice) < chance)
}

/// The time to the next of the things that happen this often in a second, independently of each other.
pub(in crate::sim) fn exponential(per_second: f64, dice: &mut Seeded) -> Duration {
    let seconds = ln(1.0 / (1.0 - unit(dice))) / per_second;
    Duration::from_micros((seconds * 1e6) as u64)
}

/// Evenly spread over `0.0..1.0`.
pub(in crate::sim) fn unit(dice: &mut Seeded) -> f64 {
    (dice.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Irwin-Hall: twelve dice minus six have mean 0 and variance 1, and need no logarithm.
pub(in crate::sim) fn standard_normal(dice: &mut Seeded) -> f64 {
    (0..12).map(|_| unit(dice)).sum::<f64>() - 6.0
}

/// e^x, for the small x of latencies: `core` has no exponential.
pub(in crate::sim) fn exp(x: f64) -> f64 {
    // (e^(x/32))^32, with a Taylor series for the small power.
    let x = x.clamp(-30.0, 30.0) / 32.0;
    let (mut sum, mut term) = (1.0, 1.0);
    for n in 1..12 {
        term *= x / f64::from(n);
        sum += term;
    }
    (0..5).fold(sum, |power, _| power * power)
}

/// The natural logarithm of a number from 1 up: `core` has none.
fn ln(mut x: f64) -> f64 {
    const LN_2: f64 = core::f64::consts::LN_2;
    let mut halvings = 0.0;
    while x > 2.0 && halvings < 1024.0 {
        x /= 2.0;
        halvings += 1.0;
    }
    // 2 artanh((x-1)/(x+1)), whose series converges fast in 1..2.
    let y = (x - 1.0) / (x + 1.0);
    let series = (0..16).rev().fold(0.0, |sum, n| sum * y * y + 1.0 / f64::from(2 * n + 1));
    2.0 * y * series + halvings * LN_2
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn the_home_made_functions_agree_with_those_of_std() {
        for n in 0..100 {
            let x = f64::from(n) / 10.0;
            assert!((exp(x - 5.0) / f64::exp(x - 5.0) - 1.0).abs() < 1e-12, "exp {x}");
            assert!((ln(1.0 + x) - f64::ln(1.0 + x)).abs() < 1e-12, "ln {x}");
        }
    }

    #[test]
    fn a_log_normal_underlay_has_the_percentiles_that_were_asked_for() {
        let (median, p95) = (Duration::from_millis(40), Duration::from_millis(150));
        let latency = Latency::LogNormal { median, p95 };
        let mut all: Vec<Duration> = (0..10_000).map(|n| latency.between(0, n, 1)).collect();
        all.sort();
        let near =
            |got: Duration, want: Duration| (got.as_secs_f64() / want.as_secs_f64() - 1.0).abs() < 0.05;
        assert!(near(all[5_000], median), "{:?}", all[5_000]);
        assert!(near(all[9_500], p95), "{:?}", all[9_500]);
    }

    #[test]
    fn distance_is_the_same_both_ways_and_depends_on_the_seed() {
        let latency =
            Latency::LogNormal { median: Duration::from_millis(40), p95: Duration::from_millis(150) };
        assert_eq!(latency.between(3, 9, 7), latency.between(9, 3, 7));
        assert_ne!(latency.between(3, 9, 7), latency.between(3, 9, 8));
    }

    #[test]
    fn things_that_happen_ten_times_a_second_are_100_ms_apart_on_average() {
        let mut dice = Seeded::new(1);
        let times: Vec<f64> = (0..10_000).map(|_| exponential(10.0, &mut dice).as_secs_f64()).collect();
        let mean = times.iter().sum::<f64>() / 10_000.0;
        let long = times.iter().filter(|&&t| t > 0.1).count();
        assert!((0.097..0.103).contains(&mean) && (3500..3860).contains(&long), "{mean} s, {long} longer");
    }

    #[test]
    fn a_chance_happens_about_as_often_as_it_says() {
        let mut dice = Seeded::new(1);
        let n = (0..10_000).filter(|_| happens(0.1, &mut dice)).count();
        assert!((900..1100).contains(&n), "{n}");
        assert!(!happens(0.0, &mut dice) && happens(1.0, &mut dice));
    }
}
