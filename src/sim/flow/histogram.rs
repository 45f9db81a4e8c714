//! How millions of numbers are spread, in a few kilobytes.

use alloc::vec::Vec;

/// Steps to the octave, as a power of two: a number is known to 3 %.
const STEPS: u32 = 5;

/// Counts of numbers, in classes that are 3 % wide. Unlike [`Samples`](crate::sim::Samples) it does not grow with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum: u128,
    max: u64,
}

const fn class(value: u64) -> usize {
    let octave = (u64::BITS - value.leading_zeros()).saturating_sub(STEPS + 1);
    ((octave as usize) << STEPS) + (value >> octave) as usize
}

/// The middle of a class.
const fn value(class: usize) -> u64 {
    let octave = (class >> STEPS).saturating_sub(1);
    let step = (class - (octave << STEPS)) as u64;
    (step << octave) + ((1 << octave) >> 1)
}

impl Histogram {
    /// Takes one number in.
    pub fn add(&mut self, value: u64) {
        self.add_many(value, 1);
    }

    /// Takes a number in that occurred so many times.
    pub fn add_many(&mut self, value: u64, times: u64) {
        if times == 0 {
            return;
        }
        let class = class(value);
        if class >= self.counts.len() {
            self.counts.resize(class + 1, 0);
        }
        self.counts[class] += times;
        self.count += times;
        self.sum += u128::from(value) * u128::from(times);
        self.max = self.max.max(value);
    }

    /// How many there are.
    pub const fn len(&self) -> u64 {
        self.count
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The arithmetic mean; 0 of nothing.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }

    /// The largest.
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// The number that `percent` of all numbers do not exceed (the nearest rank); 0 of nothing.
    pub fn percentile(&self, percent: f64) -> u64 {
        let share = percent.clamp(0.0, 100.0) / 100.0 * self.count as f64;
        let whole = share as u64;
        let rank = if share > whole as f64 { whole + 1 } else { whole }.max(1);
        let mut seen = 0;
        for (class, &count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return value(class).min(self.max);
            }
        }
        0
    }

    /// How many exceed `limit`, to the width of a class.
    pub fn above(&self, limit: u64) -> u64 {
        self.counts.iter().skip(class(limit) + 1).sum()
    }

    /// The classes that hold anything, with the middle of each.
    pub fn classes(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let full = self.counts.iter().enumerate().filter(|&(_, &count)| count > 0);
        full.map(|(class, &count)| (value(class), count))
    }

    /// Takes in all of another one.
    pub fn merge(&mut self, other: &Histogram) {
        for (class, &count) in other.counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
            if class >= self.counts.len() {
                self.counts.resize(class + 1, 0);
            }
            self.counts[class] += count;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_told_to_three_percent() {
        let numbers = (0..64).chain((0..40).map(|n| 77 << n)).chain([u64::MAX / 3]);
        for n in numbers {
            let told = value(class(n));
            assert!(told.abs_diff(n) as f64 <= n as f64 * 0.032, "{n} as {told}");
        }
        assert!((0..10_000).is_sorted_by_key(class));
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank_and_what_lies_above_is_counted() {
        let mut spread = Histogram::default();
        assert_eq!((spread.percentile(50.0), spread.mean(), spread.above(0)), (0, 0.0, 0));
        [15, 20, 35, 40, 50].iter().for_each(|&n| spread.add(n));
        assert_eq!([5.0, 30.0, 40.0, 50.0, 100.0].map(|p| spread.percentile(p)), [15, 20, 20, 35, 50]);
        assert_eq!((spread.len(), spread.max(), spread.mean(), spread.above(35)), (5, 50, 32.0, 2));
        let mut twice = spread.clone();
        twice.merge(&spread);
        assert_eq!((twice.len(), twice.percentile(50.0)), (10, 35));
    }
}
