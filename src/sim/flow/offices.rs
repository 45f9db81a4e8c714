//! Whether relayers that were elected last: of those who are still there after their first minute, how many relay.

use crate::time::{Duration, Instant};
use alloc::collections::VecDeque;

/// After so long an office is looked at.
const FIRST: Duration = Duration::from_secs(60);

/// Offices that were looked at. Whoever left within the first minute is not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offices {
    /// Those of peers that send what they promise.
    pub honest: Share,
    /// Those of peers that send nothing, and should hold none.
    pub of_liars: Share,
}

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many lasted.
    pub lasted: u64,
    /// Of how many.
    pub of: u64,
}

impl Offices {
    pub(super) const fn judge(&mut self, lies: bool, lasted: bool) {
        let share = if lies { &mut self.of_liars } else { &mut self.honest };
        share.of += 1;
        share.lasted += lasted as u64;
    }
}

impl Share {
    /// The part that lasted; of nothing, all.
    pub fn part(&self) -> f64 {
        if self.of == 0 { 1.0 } else { self.lasted as f64 / self.of as f64 }
    }
}

/// Relayers that have not held their office for so long yet, in the order of their elections.
#[derive(Debug, Default)]
pub(super) struct Novices(VecDeque<(Instant, u32)>);

impl Novices {
    pub(super) fn elected(&mut self, now: Instant, node: u32) {
        self.0.push_back((now + FIRST, node));
    }

    /// The next one whose first minute is over.
    pub(super) fn pop(&mut self, now: Instant) -> Option<u32> {
        let (due, node) = *self.0.front()?;
        if now < due {
            return None;
        }
        self.0.pop_front();
        Some(node)
    }
}
