//! Whether a relayer delivers (Q8, Q15): its children say in their reception reports what they miss.
//!
//! A new relayer is on probation. Its elector sends it callers at once, for nobody is to wait; but it registers itself, so
//! that strangers find it, only when one of its children was served for a while and misses hardly more than itself. If
//! none of the children gets what this node gets, its uplink is not what it was thought to be, and it is a viewer again.
//! Who gets nothing at all does not stay to report it: so children count, too, that come and soon move on.
//! Where strangers do not ask its elector nobody would ever try it: a relayer to which nobody comes registers untried.
//!
//! # What this is no help against
//!
//! All that is said by the relayer about itself. One that runs other software, sends nothing and says that it has room, is
//! told of to nobody: its children leave it after [`repair_after`](super::Config::repair_after) or three round trips, and its
//! elector sends it the next. Reports of children to the elector would end its office, and were left out:
//!
//! * Who is to be believed? If those whom the relayer names as its children (`CHILD PEER`): a liar names nobody, and cannot
//!   be reported. If those whom the elector has sent there: who wants an honest relayer to end has himself sent there, and says
//!   that nothing came. It takes as many voices as it takes, and where anybody makes as many keys as he likes, which is so
//!   in every overlay without an authority, voices cost nothing. A liar has to be elected, and costs each caller half a
//!   second; three INVITEs would cost a channel any of its relayers. That is worse.
//! * What an elector counts by itself, callers that it has sent and that were never named as children for long, harms nobody
//!   who is honest if it only makes the relayer's turns rarer. But who makes children up evades it, and in simulation it did
//!   not help reliably: with a fifth of such relayers 99.90 to 99.94 % was in time with it and 96.35 to 99.96 % without,
//!   with three seeds each, but 93.5 % after a small change of its threshold.
//!
//! So a liar keeps its office as long as it likes. Where an authority issues certificates reports would be sound.

use super::fact::Reception;
use super::seats::{Seat, Seats};
use super::turn::Turn;
use crate::ids::ChannelId;
use crate::time::{Duration, Instant, earliest};

/// Between two looks: what reception reports take.
const INTERVAL: Duration = Duration::from_millis(1_100);
/// The same while nobody counts what comes here.
const UNCOUNTED: Duration = Duration::from_secs(30);
/// The loss, in 1/256 and beyond this node's own, from which a child counts as badly served.
const LOSSY: u64 = 13;
/// So many looks in a row show nothing but badly served children: that is no burst.
const LOOKS: u8 = 4;
/// So many children in a row came and moved on: that is no chance.
const FRUITLESS: u8 = 4;
/// Who stays for so long has media; a child waits for less.
const LASTING: Duration = Duration::from_secs(4);
/// Between two looks at children of which none has reported yet.
const GLANCE: Duration = Duration::from_millis(250);

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    /// Since when no child is here that could prove anything, and whether one was before.
    idle_since: Option<Instant>,
    tried: bool,
    glance_at: Option<Instant>,
    look_at: Option<Instant>,
    before: Reception,
    bad: u8,
    fruitless: u8,
}

impl Delivery {
    pub(super) fn deadline(&self) -> Option<Instant> {
        earliest(self.look_at, self.glance_at)
    }

    /// Whether this node may be found: one child was served for so long, and reports that it misses hardly more than this node
    /// does; or nobody has come for so long.
    pub(super) fn may_register<P: Copy + Ord>(
        &mut self,
        channel: ChannelId,
        seats: &Seats<P>,
        turn: &Turn<'_, P>,
    ) -> bool {
        let own = self.own_loss(channel, turn);
        let shows = |seat: &Seat<P>| {
            let served =
                turn.progress.last_report(seat.call).is_some_and(|t| t >= seat.since + turn.config.probe);
            let lost = turn.progress.reported_loss(seat.call).filter(|_| served);
            lost.is_some_and(|lost| u64::from(lost) < own.saturating_add(LOSSY))
        };
        self.glance_at = None;
        if seats.iter().any(shows) {
            return true;
        }
        // Plain agents may never report.
        let expected = seats.iter().filter(|s| s.slots.is_some());
        let Some(due) = expected.map(|s| s.since + turn.config.probe).min() else {
            // Whoever came and went has not said that it was good here.
            let patience = if self.tried { turn.config.candidate_backoff } else { turn.config.probe_limit };
            let until = *self.idle_since.get_or_insert(turn.now) + patience;
            self.glance_at = Some(until).filter(|&t| t > turn.now);
            return self.glance_at.is_none();
        };
        (self.idle_since, self.tried) = (None, true);
        self.glance_at = Some(due.max(turn.now + GLANCE));
        false
    }

    /// What this node itself missed since the last look, in 1/256.
    fn own_loss<P>(&self, channel: ChannelId, turn: &Turn<'_, P>) -> u64 {
        let Some(now) = turn.progress.reception(channel) else { return 0 };
        let lost = now.lost.saturating_sub(self.before.lost);
        let all = now.received.saturating_sub(self.before.received).saturating_add(lost);
        lost.saturating_mul(256).checked_div(all).unwrap_or(0)
    }

    /// A child has moved on. One that did so at once had only asked several.
    pub(super) fn on_moved<P>(&mut self, seat: &Seat<P>, turn: &Turn<'_, P>) {
        let stayed = turn.now.since(seat.since.max(turn.awake_since));
        if stayed >= LASTING {
            self.fruitless = 0;
        } else if stayed >= turn.config.repair_after && !seat.rescue && seat.slots.is_some() {
            self.fruitless = self.fruitless.saturating_add(1);
        }
    }

    /// Looks when it is time. True when this node does not deliver.
    pub(super) fn fails<P: Copy + Ord>(
        &mut self,
        channel: ChannelId,
        seats: &Seats<P>,
        turn: &Turn<'_, P>,
    ) -> bool {
        if self.fruitless >= FRUITLESS {
            self.fruitless = 0;
            let lasting = |s: &Seat<P>| turn.now.since(s.since.max(turn.awake_since)) >= LASTING;
            if !turn.config.is_paper() && !seats.iter().any(lasting) {
                return true;
            }
        }
        if seats.is_empty() || turn.config.is_paper() {
            let Delivery { idle_since, tried, glance_at, fruitless, .. } = *self;
            *self = Delivery { idle_since, tried, glance_at, fruitless, ..Delivery::default() };
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
        let own = self.own_loss(channel, turn);
        self.before = now;
        // A child alone may have a bad line; the best of them shows what this node can do.
        let best = seats.iter().filter_map(|s| turn.progress.reported_loss(s.call)).min();
        let bad = best.is_some_and(|b| u64::from(b) >= own.saturating_add(LOSSY));
        self.bad = if bad { self.bad.saturating_add(1) } else { 0 };
        self.bad >= LOOKS
    }
}
