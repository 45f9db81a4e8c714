//! Whether a relayer delivers (Q8, Q15): its children say in their reception reports what they miss. If none of them gets
//! what this node gets, its uplink is not what it was thought to be, and it is a viewer again.

use super::fact::Reception;
use super::seats::Seats;
use super::turn::Turn;
use crate::ids::ChannelId;
use crate::time::{Duration, Instant};

/// Between two looks: what reception reports take.
const INTERVAL: Duration = Duration::from_millis(1_100);
/// The same while nobody counts what comes here.
const UNCOUNTED: Duration = Duration::from_secs(30);
/// The loss, in 1/256 and beyond this node's own, from which a child counts as badly served.
const LOSSY: u64 = 13;
/// So many looks in a row show nothing but badly served children: that is no burst.
const LOOKS: u8 = 4;

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    look_at: Option<Instant>,
    before: Reception,
    bad: u8,
}

impl Delivery {
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.look_at
    }

    /// Looks when it is time. True when this node does not deliver.
    pub(super) fn fails<P: Copy + Ord>(
        &mut self,
        channel: ChannelId,
        seats: &Seats<P>,
        turn: &Turn<'_, P>,
    ) -> bool {
        if seats.is_empty() || turn.config.is_paper() {
            *self = Delivery::default();
            return false;
        }
        let due = *self.look_at.get_or_insert(turn.now + INTERVAL);
        if due > turn.now {
            return false;
        }
        self.look_at = Some(turn.now + INTERVAL);
        let Some(now) = turn.progress.reception(channel) else {
            self.look_at = Some(turn.now + UNCOUNTED);
            return false;
        };
        let before = core::mem::replace(&mut self.before, now);
        let lost = now.lost.saturating_sub(before.lost);
        let all = now.received.saturating_sub(before.received).saturating_add(lost);
        let own = lost.saturating_mul(256).checked_div(all).unwrap_or(0);
        // A child alone may have a bad line; the best of them shows what this node can do.
        let best = seats.iter().filter_map(|s| turn.progress.reported_loss(s.call)).min();
        let bad = best.is_some_and(|b| u64::from(b) >= own.saturating_add(LOSSY));
        self.bad = if bad { self.bad.saturating_add(1) } else { 0 };
        self.bad >= LOOKS
    }
}
