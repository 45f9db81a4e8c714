//! The level at which a lookup starts (RFC 7374 §4.2).

use heapless::Deque;

/// Lstart where nothing is known yet.
pub const START: u16 = 2;

/// The levels at which the last lookups in a namespace completed.
#[derive(Clone, Debug, Default)]
pub struct Levels(Deque<u16, 16>);

impl Levels {
    /// A lookup completed at this level.
    pub fn completed(&mut self, level: u16) {
        if self.0.is_full() {
            self.0.pop_front();
        }
        // There is room now.
        let _ = self.0.push_back(level);
    }

    /// Where the next one starts: at the level that appears most often among the last sixteen; of several the one that
    /// appeared last.
    pub fn start(&self) -> u16 {
        let often = |level: &u16| self.0.iter().filter(|l| *l == level).count();
        self.0.iter().max_by_key(|level| often(level)).copied().unwrap_or(START)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_start_at_level_two_and_then_at_the_mode_of_the_last_sixteen() {
        let mut levels = Levels::default();
        assert_eq!(levels.start(), 2);
        levels.completed(4);
        levels.completed(1);
        assert_eq!(levels.start(), 1, "of two that came once the later");
        levels.completed(4);
        assert_eq!(levels.start(), 4);
        (0..16).for_each(|n| levels.completed(if n < 9 { 3 } else { 0 }));
        assert_eq!(levels.start(), 3, "the older ones are forgotten");
        (0..2).for_each(|_| levels.completed(0));
        assert_eq!(levels.start(), 0);
    }
}
