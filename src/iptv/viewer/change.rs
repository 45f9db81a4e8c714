//! From one parent to the next: answered, heard, parted from, lost.

use super::cover::Cause;
use super::purpose::Purpose;
use super::search::Search;
use super::standby::{Standby, State};
use super::{Link, News, Viewer};
use crate::ids::CallId;
use crate::iptv::fact::ByeReason;
use crate::iptv::order::Event;
use crate::iptv::seats::Seats;
use crate::iptv::turn::Turn;
use crate::time::earliest;
use alloc::boxed::Box;

impl<P: Copy + Ord> Viewer<P> {
    pub(in crate::iptv) fn on_answered(
        &mut self,
        call: CallId,
        depth: Option<u8>,
        rescue: bool,
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) {
        if self.standbys.get(call).is_some() {
            return self.standbys.on_answered(call, depth, turn);
        }
        let Some((purpose, peer, rtt)) = self.search.as_ref().and_then(|s| s.answer(call)) else { return };
        let link = Link { rtt, ..Link::new((call, peer), depth.unwrap_or(0), rescue, turn.now) };
        if !self.is_fit(&link, purpose, !seats.is_empty()) {
            // What was known of it is not true any more. The next one is asked.
            turn.bye(call, ByeReason::Normal);
            if let Some(search) = &mut self.search {
                search.pass_over(call);
            }
            return self.advance(seats, turn);
        }
        if let Some(mut search) = self.search.take() {
            search.forget(call);
            search.cancel(turn);
        }
        self.keeps_depth = matches!(purpose, Purpose::Yield { .. }) || self.is_nearer(&link);
        if purpose.is_planned() {
            self.next = Some(Box::new(link));
        } else if self.cover.is_some() {
            return self.cover_with(link, turn);
        } else {
            self.climbs = 0;
            if let Some(lost) = self.parent.replace(link) {
                turn.bye(lost.call, ByeReason::Normal);
            }
            self.news = self.news.max(News::Later);
        }
        self.listen_at = earliest(self.listen_at, Some(turn.now + self.patience(turn)));
    }

    /// Whether a parent that has answered is as good as was looked for. Where nothing comes any parent is.
    fn is_fit(&self, link: &Link<P>, purpose: Purpose, has_subtree: bool) -> bool {
        let hungers = self.cover.as_ref().is_some_and(|c| !c.plays());
        let is_within = self.deepest(purpose, has_subtree).is_none_or(|deepest| link.depth <= deepest);
        match purpose {
            _ if hungers => true,
            Purpose::Climb { within, .. } => link.depth <= within || self.is_nearer(link),
            Purpose::Yield { rescue } => is_within && (rescue || !link.rescue),
            Purpose::Move { .. } => is_within,
            Purpose::Join | Purpose::Repair | Purpose::Farewell => true,
        }
    }

    pub(in crate::iptv) fn on_first_packet(
        &mut self,
        call: CallId,
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) {
        let channel = self.channel;
        if self.on_cover_packet(call, seats, turn) {
            return;
        }
        if let Some(next) = self.next.take_if(|n| n.call == call) {
            // Whatever was to bridge the way from the old parent is not needed.
            if let Some(cover) = self.cover.take() {
                self.standbys.release_all_but(None, turn);
                if let Some(link) = cover.link.filter(|l| !l.standby) {
                    turn.bye(link.call, ByeReason::Normal);
                }
            }
            if let Some(old) = self.parent.replace(*next) {
                self.part(old, turn);
            }
        }
        let Some(link) = self.parent.as_mut().filter(|l| l.call == call && !l.playing) else { return };
        link.playing = true;
        self.sinks = 0;
        self.leaver = None;
        self.sourceless = false;
        self.unsourced = None;
        self.climb_at = None;
        let (parent, depth, rescue) = (link.peer, link.depth(), link.rescue);
        if core::mem::replace(&mut self.played, true) {
            turn.event(Event::Reparented { channel, parent, depth, rescue });
        } else {
            turn.event(Event::Playing { channel, parent, depth });
        }
        // What the one before promised says nothing about this one.
        self.listen_at = earliest(self.listen_at, Some(turn.now + self.cover_after(turn)));
        self.news = News::Now;
        self.standbys.plan(turn);
        self.settle_slot(turn);
    }

    /// Says goodbye to a parent in whose place another one is. One that was a standby is one again.
    fn part(&mut self, old: Link<P>, turn: &mut Turn<'_, P>) {
        if old.standby && old.lost.is_none() {
            let depth = old.depth().saturating_sub(1);
            let Link { call, peer, rtt, .. } = old;
            self.standbys.keep(Standby { call, peer, depth, rtt, state: State::Ready }, turn);
        } else {
            turn.bye(old.call, ByeReason::Normal);
        }
    }

    /// The dialog with a parent is over.
    pub(in crate::iptv) fn on_ended(&mut self, call: CallId, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        if self.next.take_if(|n| n.call == call).is_some() {
            return self.on_next_lost(seats, turn);
        }
        if self.standbys.on_ended(call, turn) || self.covering().is_some_and(|l| l.call == call) {
            return self.uncovered_by(call, seats, turn);
        }
        let Some(link) = self.parent.take_if(|p| p.call == call) else { return };
        if self.cover.is_some() {
            return self.gone_while_covered(link, seats, turn);
        }
        // One that was lost before is being replaced already.
        if link.lost.is_none() {
            self.orphan(link, seats, turn);
        }
    }

    /// The next parent will not be one.
    pub(super) fn on_next_lost(&mut self, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        if self.cover.is_some() {
            self.listen_at = earliest(self.listen_at, self.tend_cover(seats, turn));
        } else if self.parent_leaves() {
            self.cover(Cause::Leaving, false, seats, turn);
        } else {
            self.settle_slot(turn);
        }
    }

    /// This parent is no longer any good, and no longer there.
    pub(super) fn orphan(&mut self, link: Link<P>, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        self.grandparent = link.grandparent();
        if link.playing {
            turn.event(Event::Orphaned { channel: self.channel, parent: link.peer });
            self.note_loss(link.depth);
        }
        self.climb_at = None;
        let bridged = link.playing && self.standbys.any_ready(turn.config);
        if bridged {
            // The next parent, if there is one, is about to send: it stays that.
            if let Some(mut search) = self.search.take() {
                search.cancel(turn);
            }
            return self.cover(Cause::Silence, true, seats, turn);
        }
        if let Some(next) = self.next.take() {
            self.parent = Some(Link { since: turn.now, ..*next });
            self.listen_at = Some(turn.now + self.patience(turn));
            return;
        }
        self.listen_at = None;
        let purpose = if self.played { Purpose::Repair } else { Purpose::Join };
        let known = self.known_from(Some(&link), purpose, turn);
        let search = Search::new(purpose, &known);
        // One that never sent anything is not worth asking again at once, nor is one that goes.
        let search = if link.playing { search.after(link.peer) } else { search.avoiding(link.peer) };
        self.search(self.without_leaver(search), seats, turn);
    }

    /// The parent has ended the dialog itself; nobody needs to be told.
    pub(in crate::iptv) fn forget_parent(&mut self) {
        self.parent = None;
    }
}
