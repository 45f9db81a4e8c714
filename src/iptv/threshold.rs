//! How long nothing may come before that is a silence, and how much longer that is borne (Q11).

use super::turn::Turn;
use crate::ids::ChannelId;
use crate::time::Duration;

/// So much longer than its own threshold a parent's silence is borne at least: its HOLD may be on the way.
const MARGIN: Duration = Duration::from_millis(20);

/// How much longer than its threshold a node bears the silence of its parent. A parent that starves says HOLD at a
/// threshold that is as long: within this time it is heard, though jitter holds it up, and though the first one is lost,
/// for it is said again after half of it.
pub(super) fn grace<P>(channel: ChannelId, turn: &Turn<'_, P>) -> Duration {
    let threshold = threshold(channel, turn);
    match turn.progress.pace(channel) {
        Some(pace) => (threshold / 2).max(pace.jitter.saturating_mul(4)).max(MARGIN),
        None => threshold,
    }
}

/// How long nothing may come before that is a silence: four packets, or one with four times its jitter, within the
/// profile's limits.
pub(super) fn threshold<P>(channel: ChannelId, turn: &Turn<'_, P>) -> Duration {
    let ceiling = turn.config.hold_after;
    let Some(pace) = turn.progress.pace(channel).filter(|_| !turn.config.is_paper()) else { return ceiling };
    let jittery = pace.gap.saturating_add(pace.jitter.saturating_mul(4));
    let threshold = pace.gap.saturating_mul(4).max(jittery).max(turn.config.silence_floor).min(ceiling);
    // The clock knows no less than a microsecond; a deadline is never early.
    Duration::from_micros(u64::try_from(threshold.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX))
}
