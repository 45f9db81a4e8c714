//! Who is asked to cover: the standbys, the next one when one denies or takes too long; when none is left those that have denied,
//! beside a search for somebody else.

use super::{Cause, Viewer};
use crate::ids::CallId;
use crate::iptv::fact::ByeReason;
use crate::iptv::order::Event;
use crate::iptv::seats::Seats;
use crate::iptv::turn::Turn;
use crate::iptv::viewer::Link;
use crate::iptv::viewer::purpose::Purpose;
use crate::iptv::viewer::search::Search;
use crate::iptv::viewer::standby::{Standbys, State};
use crate::time::{Instant, earliest};
use alloc::vec::Vec;

/// Whoever has so many below asks two standbys at once: each refusal takes a round trip in which all of them have nothing.
pub(in crate::iptv::viewer) const MANY: u32 = 64;

/// So often those that have denied are asked again, at most.
const ROUNDS: u8 = 4;

/// The standbys that were asked.
#[derive(Debug, Default)]
pub(super) struct Asked {
    tried: Vec<CallId>,
    /// Those that have denied since they were asked last.
    denied: Vec<CallId>,
    /// How often such were asked again, and when they may be once more.
    rounds: u8,
    again_at: Instant,
    /// When the next one is due.
    pub(super) hedge_at: Option<Instant>,
}

impl Asked {
    /// Whoever has denied may have room by now.
    pub(super) fn begin_anew<P: Copy + Ord>(&mut self, standbys: &Standbys<P>) {
        self.tried.retain(|&call| standbys.get(call).is_some_and(|s| s.state == State::Asked));
        self.denied.clear();
        self.rounds = 0;
    }
}

impl<P: Copy + Ord> Viewer<P> {
    /// Nobody covers yet: asks the next standby, or searches when none is left.
    pub(super) fn ask_next(&mut self, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        let Some(cover) = &mut self.cover else { return };
        let depth = self.parent.as_ref().map_or(self.home, Link::depth);
        // A parent that leaves may take long, and name others again and again.
        cover.asked.tried.retain(|&call| self.standbys.get(call).is_some());
        let at_once = if self.has_many { 2 } else { 1 };
        for _ in 0..at_once {
            let Some(call) = self.standbys.next(&cover.asked.tried, &self.backups, depth) else { break };
            cover.asked.tried.push(call);
            cover.asked.hedge_at = Some(turn.now + self.standbys.wait(call, self.rtt, turn.config));
            self.standbys.resume(call, turn);
        }
        if self.standbys.any_asked() && cover.asked.hedge_at.is_some_and(|t| t > turn.now) {
            return;
        }
        cover.asked.hedge_at = None;
        if self.next.is_some() || self.is_sourceless(turn) {
            return;
        }
        self.search_beside(seats, turn);
        self.ask_again(turn);
    }

    /// No standby helps at once: looks for somebody else, beside those that may still.
    fn search_beside(&mut self, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        let Some(cover) = &mut self.cover else { return };
        let purpose = if cover.cause == Cause::Leaving { Purpose::Farewell } else { Purpose::Repair };
        if self.search.as_ref().is_some_and(|s| s.purpose == purpose) {
            return;
        }
        let (tried, told) = (cover.asked.tried.clone(), core::mem::replace(&mut cover.told, true));
        let lost = self.parent.as_ref().map(|p| p.peer);
        if let Some(parent) = lost.filter(|_| !told && purpose == Purpose::Repair) {
            turn.event(Event::Orphaned { channel: self.channel, parent });
        }
        let known = self.known(purpose, turn);
        let mut search = Search::new(purpose, &known);
        if let Some(lost) = lost {
            search = search.after(lost);
        }
        for peer in tried.iter().filter_map(|&call| self.standbys.get(call)).map(|s| s.peer) {
            search = search.avoiding(peer);
        }
        self.search(self.without_leaver(search), seats, turn);
    }

    /// Asks those again that have denied: most of them had just given their slot to somebody who asks several as well, and
    /// needs only one. Siblings lose their parent at the same moment, and know the same backup parents.
    fn ask_again(&mut self, turn: &mut Turn<'_, P>) {
        let Some(cover) = self.cover.as_mut().filter(|c| c.link.is_none() && c.asked.rounds < ROUNDS) else {
            return;
        };
        if turn.now < cover.asked.again_at {
            cover.asked.hedge_at = Some(cover.asked.again_at).filter(|_| !cover.asked.denied.is_empty());
            return;
        }
        let is_called = |peer: P| self.search.as_ref().is_some_and(|s| s.asks(peer));
        for call in core::mem::take(&mut cover.asked.denied) {
            if self.standbys.get(call).is_some_and(|s| s.state == State::Ready && !is_called(s.peer)) {
                let due = turn.now + self.standbys.wait(call, self.rtt, turn.config);
                cover.asked.hedge_at = Some(cover.asked.hedge_at.map_or(due, |t| t.min(due)));
                self.standbys.resume(call, turn);
            }
        }
        if let Some(due) = cover.asked.hedge_at {
            cover.asked.again_at = due;
            cover.asked.rounds += 1;
        }
    }

    /// The provider of a standby sends nothing, or no more.
    pub(in crate::iptv) fn on_denied(&mut self, call: CallId, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        if self.is_parent(call) {
            turn.bye(call, ByeReason::Normal);
            return self.on_ended(call, seats, turn);
        }
        if self.standbys.on_denied(call) {
            if let Some(cover) = self.cover.as_mut().filter(|c| !c.asked.denied.contains(&call)) {
                cover.asked.denied.push(call);
            }
            self.uncovered_by(call, seats, turn);
        }
    }

    /// This provider does not cover, or no longer.
    pub(in crate::iptv::viewer) fn uncovered_by(
        &mut self,
        call: CallId,
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) {
        let Some(cover) = &mut self.cover else { return };
        if cover.link.take_if(|l| l.call == call).is_some() {
            (cover.began, cover.paused) = (None, Instant::ZERO);
            cover.backups.clear();
        } else if !cover.asked.tried.contains(&call) {
            return;
        }
        if cover.link.is_none() {
            self.ask_next(seats, turn);
            self.listen_at = earliest(self.listen_at, self.tend_cover(seats, turn));
        }
    }
}
