//! Listening: a parent is judged by what was heard from it (Q11).

use super::cover::Cause;
use super::purpose::Purpose;
use super::search::Search;
use super::{Link, Viewer};
use crate::iptv::config::Config;
use crate::iptv::fact::{ByeReason, Hold};
use crate::iptv::order::Event;
use crate::iptv::seats::Seats;
use crate::iptv::turn::Turn;
use crate::time::{Duration, Instant, earliest};

impl<P: Copy + Ord> Viewer<P> {
    /// How long a new parent may take until it is heard.
    pub(in crate::iptv) fn patience(&self, turn: &Turn<'_, P>) -> Duration {
        turn.config.repair_after.max(self.rtt.saturating_mul(3))
    }

    /// Looks at the parents, if any timer was to do so.
    #[cfg(feature = "sim")]
    pub(in crate::iptv) fn listen_anew(&mut self, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        if self.listen_at.is_some() {
            self.listen(seats, turn);
        }
    }

    /// Judges the parents by what was heard from them.
    pub(super) fn listen(&mut self, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        let (now, config, patience) = (turn.now, turn.config, self.patience(turn));
        let cover_after = self.cover_after(turn);
        let again = self.threshold(turn).saturating_add(cover_after);
        // An instant is in whole microseconds: whoever compares must compare what the timer was set to.
        let due_at = |n: &Link<P>| n.since.max(turn.awake_since) + patience;
        if let Some(next) = self.next.take_if(|n| due_at(n) <= now) {
            turn.bye(next.call, ByeReason::Normal);
            self.on_next_lost(seats, turn);
        }
        let next_due = self.next.as_deref().map(|n| n.since.max(turn.awake_since) + patience);
        let hold = self.hold(turn);
        if self.parent.is_none() && self.cover.is_none() {
            self.listen_at = next_due;
            return;
        }
        if self.cover.is_some() {
            let due = self.tend_cover(seats, turn);
            self.listen_at = earliest(next_due, due);
            return;
        }
        let Some(link) = &mut self.parent else { return };
        let heard = turn.progress.last_from(link.call);
        let media = turn.progress.last_media(self.channel);
        let since = link.since.max(turn.awake_since);
        if let Some(lost) = link.lost {
            self.listen_at = Some(now + config.hold_after);
            if heard.min(media).is_some_and(|t| t > lost) {
                self.recover(true, turn);
            }
            return;
        }
        let fed = media.unwrap_or(Instant::ZERO).max(since);
        let bridged = link.playing && self.standbys.any_ready(config);
        let (heard, silence) = match hold {
            _ if !link.playing => (heard, patience),
            // Media is expected of it: a report, or an old packet, shows nothing.
            None if bridged => (turn.progress.last_brought(link.call), cover_after),
            Some(_) if bridged => {
                let starved = heard.unwrap_or(fed).since(fed);
                (heard, says_hold_again_within(starved, again, config))
            }
            _ => (heard, config.repair_after),
        };
        let silent_at = heard.map_or(since, |t| t.max(since)) + silence;
        let starves = hold != Some(Hold::Paused) && !config.is_paper();
        let starved_at = fed.max(link.paused) + config.hold_limit;
        let due = if starves { silent_at.min(starved_at) } else { silent_at };
        if now < due {
            // Who said HOLD and has something again is judged as before, from then on.
            let look = if bridged && hold.is_some() { due.min(now + cover_after) } else { due };
            self.listen_at = earliest(next_due, Some(look));
            return;
        }
        // Who said HOLD and is silent may be heard again.
        let cause = if hold.is_some() && now < silent_at { Cause::Starved } else { Cause::Silence };
        self.lose_parent(cause, seats, turn);
    }

    /// The parent is silent, or starves for too long. If it never played it is left at once, otherwise it keeps its chance
    /// until another one has answered.
    fn lose_parent(&mut self, cause: Cause, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        let bridged = self.next.is_none() || self.standbys.any_ready(turn.config);
        let keep = bridged && self.parent.as_ref().is_some_and(|p| p.playing);
        if !keep {
            let Some(link) = self.parent.take() else { return };
            turn.bye(link.call, ByeReason::Normal);
            return self.orphan(link, seats, turn);
        }
        if !turn.config.is_paper() {
            return self.cover(cause, false, seats, turn);
        }
        let Some(link) = &mut self.parent else { return };
        let lost = link.peer;
        link.lost = Some(turn.now);
        turn.event(Event::Orphaned { channel: self.channel, parent: lost });
        self.listen_at = Some(turn.now + turn.config.hold_after);
        self.climb_at = None;
        let known = self.known(Purpose::Repair, turn);
        self.search(Search::new(Purpose::Repair, &known).after(lost), seats, turn);
    }

    /// The parent that was given up is back before another one was found; `told` whether its loss was.
    pub(super) fn recover(&mut self, told: bool, turn: &mut Turn<'_, P>) {
        if let Some(mut search) = self.search.take() {
            search.cancel(turn);
        }
        let channel = self.channel;
        if let Some(link) = &mut self.parent {
            link.lost = None;
            self.sourceless = false;
            let (parent, depth, rescue) = (link.peer, link.depth(), link.rescue);
            if told {
                turn.event(Event::Reparented { channel, parent, depth, rescue });
            }
        }
        self.settle_slot(turn);
    }
}

/// How long a parent that has said HOLD after so much silence may be silent itself. It says so again after each threshold as long as
/// it has starved for less than [`Config::repair_after`]: whoever misses two of these, and what jitter may hold up, has lost
/// it. Later HOLDs come seldom.
fn says_hold_again_within(starved: Duration, again: Duration, config: &Config) -> Duration {
    if starved.saturating_add(again) <= config.repair_after { again } else { config.repair_after }
}
