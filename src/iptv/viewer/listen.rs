//! Listening: a parent is judged by what was heard from it (Q11).

use super::cover::Cause;
use super::purpose::Purpose;
use super::search::Search;
use super::{Link, Viewer};
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
        let (heard, silence) = match (link.playing, hold) {
            (false, _) => (heard, patience),
            // Media is expected of it: a report, or an old packet, shows nothing.
            (true, None) if self.standbys.any_ready(config) => {
                (turn.progress.last_brought(link.call), cover_after)
            }
            // Who said HOLD will say so again.
            (true, _) => (heard, config.repair_after),
        };
        let mut due = heard.map_or(since, |t| t.max(since)) + silence;
        if hold != Some(Hold::Paused) && !config.is_paper() {
            let media = media.unwrap_or(Instant::ZERO);
            due = due.min(media.max(since).max(link.paused) + config.hold_limit);
        }
        if now < due {
            // Who said HOLD and has something again is judged as before, from then on.
            let held = link.playing && hold.is_some() && self.standbys.any_ready(config);
            let look = if held { due.min(now + cover_after) } else { due };
            self.listen_at = earliest(next_due, Some(look));
            return;
        }
        self.lose_parent(seats, turn);
    }

    /// The parent is silent, or starves for too long. If it never played it is left at once, otherwise it keeps its chance
    /// until another one has answered.
    fn lose_parent(&mut self, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        let bridged = self.next.is_none() || self.standbys.any_ready(turn.config);
        let keep = bridged && self.parent.as_ref().is_some_and(|p| p.playing);
        if !keep {
            let Some(link) = self.parent.take() else { return };
            turn.bye(link.call, ByeReason::Normal);
            return self.orphan(link, seats, turn);
        }
        if !turn.config.is_paper() {
            let cause = match self.hold(turn) {
                Some(_) => Cause::Starved,
                None => Cause::Silence,
            };
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
