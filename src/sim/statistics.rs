//! Numbers of a run: how they are spread.

use alloc::vec::Vec;

/// Samples, and their percentiles. It grows with the samples that a simulation gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    values: Vec<u64>,
    sorted: bool,
}

impl Samples {
    /// No samples yet.
    pub const fn new() -> Self {
        Samples { values: Vec::new(), sorted: true }
    }

    /// Takes one sample in.
    pub fn add(&mut self, value: u64) {
        self.values.push(value);
        self.sorted = false;
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The arithmetic mean; 0 of nothing.
    pub fn mean(&self) -> f64 {
        let sum: u128 = self.values.iter().map(|&v| u128::from(v)).sum();
        if self.values.is_empty() { 0.0 } else { sum as f64 / self.values.len() as f64 }
    }

    /// The smallest sample that `percent` of all samples do not exceed (the nearest rank); 0 of nothing.
    pub fn percentile(&mut self, percent: f64) -> u64 {
        if !self.sorted {
            self.values.sort_unstable();
            self.sorted = true;
        }
        let share = percent.clamp(0.0, 100.0) / 100.0 * self.values.len() as f64;
        let whole = share as usize;
        let rank = if share > whole as f64 { whole + 1 } else { whole };
        self.values.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    }

    /// The largest sample; 0 of nothing.
    pub fn max(&self) -> u64 {
        self.values.iter().copied().max().unwrap_or(0)
    }
}

impl Extend<u64> for Samples {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, values: I) {
        values.into_iter().for_each(|v| self.add(v));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_of_the_nearest_rank() {
        let mut s = Samples::new();
        assert_eq!((s.percentile(50.0), s.max(), s.mean()), (0, 0, 0.0));
        s.extend([15, 20, 35, 40, 50]);
        let of = |s: &mut Samples, p| s.percentile(p);
        assert_eq!([5.0, 30.0, 40.0, 50.0, 100.0].map(|p| of(&mut s, p)), [15, 20, 20, 35, 50]);
        assert_eq!((s.len(), s.max(), s.mean()), (5, 50, 32.0));
        s.add(1);
        assert_eq!(s.percentile(0.0), 1);
    }
}
