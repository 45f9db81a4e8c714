//! A silent parent that sends again, or says that it is alive: then nothing has happened.

use super::{Cause, Viewer};
use crate::iptv::turn::Turn;
use crate::time::{Duration, Instant};

/// A silent parent that may be on its way back. A packet now and then does not make it the parent again: it has to send for
/// a while, as densely as the threshold of silence asks for.
#[derive(Debug)]
pub(super) struct Back {
    /// For how long it has to send.
    trial: Duration,
    /// What it had brought when it was looked at last.
    brought: u64,
    /// When it had brought something more, last.
    moved: Instant,
    /// Since when it sends again, and what it had brought then.
    since: Option<(Instant, u64)>,
}

impl Back {
    pub(super) const fn new(trial: Duration, brought: u64, now: Instant) -> Self {
        Back { trial, brought, moved: now, since: None }
    }

    /// Since when it sends again.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.since.map(|(since, _)| since)
    }

    /// Takes a look at what the parent has brought by now. Whether that makes it the parent again.
    fn look(&mut self, now: Instant, brought: u64, threshold: Duration) -> bool {
        if brought > self.brought {
            (self.brought, self.moved) = (brought, now);
            self.since.get_or_insert((now, brought));
        } else if now.since(self.moved) >= threshold {
            self.since = None;
        }
        self.since.is_some_and(|(since, before)| {
            let (time, packets) = (now.since(since), brought.saturating_sub(before));
            let fewest = time.as_micros() / threshold.as_micros().max(1);
            time >= self.trial && u128::from(packets) >= fewest.max(1)
        })
    }
}

impl<P: Copy + Ord> Viewer<P> {
    /// Whether the silent, or starving, parent sends media again. If it has said meanwhile that it leaves, somebody else is
    /// looked for all the same; but until then it is a parent that sends.
    pub(super) fn parent_is_back(&mut self, turn: &Turn<'_, P>) -> bool {
        let (threshold, leaves) = (self.threshold(turn), self.parent_leaves());
        let Some(cover) = self.cover.as_deref_mut().filter(|c| c.cause != Cause::Leaving) else {
            return false;
        };
        let Some(parent) = &mut self.parent else { return false };
        let is_back = cover.back.look(turn.now, turn.progress.brought(parent.call), threshold);
        if is_back && leaves {
            cover.cause = Cause::Leaving;
            parent.lost = None;
        }
        is_back && !leaves
    }

    /// Whether the parent is alive, and has not starved for too long yet.
    pub(super) fn parent_holds(&self, turn: &Turn<'_, P>) -> bool {
        let Some(cover) = self.cover.as_ref().filter(|c| c.cause == Cause::Silence) else { return false };
        let Some(parent) = &self.parent else { return false };
        let waited = |since: Instant| turn.now.since(since.max(turn.awake_since));
        // While both say that the source pauses nobody starves.
        let since = cover.since.max(cover.paused.min(parent.paused));
        parent.held.is_some_and(|(_, said)| {
            waited(said) < turn.config.repair_after && waited(since) < turn.config.hold_limit
        })
    }

    /// The silent parent has said that it is alive (HOLD, PAUSED). Whoever was asked and sends nothing yet is not needed.
    pub(in crate::iptv::viewer) fn on_parent_held(&mut self, turn: &mut Turn<'_, P>) {
        let silent = self.cover.as_ref().is_some_and(|c| c.cause == Cause::Silence && !c.plays());
        if silent && !self.parent_leaves() {
            self.uncover(turn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_begins_anew_while_the_parent_is_watched_brings_it_not_back() {
        let at = Instant::from_millis;
        let trial = Duration::from_millis(10);
        let mut back = Back::new(trial, 10, at(0));
        let mut look = |ms, brought| back.look(at(ms), brought, Duration::from_millis(40));
        assert_eq!([look(10, 12), look(30, 0), look(40, 1), look(45, 14)], [false, false, false, true]);
    }
}
