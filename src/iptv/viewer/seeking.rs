//! What a search is for, whom it may ask, and what comes of the answers that are no parent.

use super::place::some_above;
use super::purpose::Purpose;
use super::search::{Scope, Search};
use super::{Link, Viewer};
use crate::ids::CallId;
use crate::iptv::fact::{ByeReason, Refusal};
use crate::iptv::order::Order;
use crate::iptv::report::Provider;
use crate::iptv::seats::Seats;
use crate::iptv::turn::Turn;
use crate::time::Duration;
use alloc::boxed::Box;
use alloc::vec::Vec;

impl<P: Copy + Ord> Viewer<P> {
    /// Begins to look for a first parent.
    pub(in crate::iptv) fn tune(&mut self, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        self.search(Search::new(Purpose::Join, &[]), seats, turn);
    }

    pub(super) fn search(&mut self, mut search: Search<P>, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        if let Some(mut old) = self.search.take() {
            search.take_over(&mut old, turn.config);
            old.cancel(turn);
        }
        self.search = Some(Box::new(search));
        self.advance(seats, turn);
    }

    /// What a round of a search begins with, before the overlay is asked.
    pub(super) fn known(&self, purpose: Purpose, turn: &mut Turn<'_, P>) -> Vec<P> {
        self.known_from(self.parent.as_ref(), purpose, turn)
    }

    /// The same for whoever has, or had, this parent.
    pub(super) fn known_from(
        &self,
        parent: Option<&Link<P>>,
        purpose: Purpose,
        turn: &mut Turn<'_, P>,
    ) -> Vec<P> {
        let backups = match purpose {
            _ if turn.config.is_paper() => return Vec::new(),
            Purpose::Join => return Vec::new(),
            Purpose::Repair | Purpose::Farewell => self.backups.as_slice(),
            // The source knows best who has a slot.
            Purpose::Move { .. } | Purpose::Yield { .. } | Purpose::Climb { .. } => &[],
        };
        let backups = backups.iter().map(|b| b.peer);
        let Some(parent) = parent.filter(|_| self.delegated) else {
            return backups.chain(self.source).collect();
        };
        // Those above know what is free below them; the source, which everybody would ask, is left to its children.
        let moves = matches!(purpose, Purpose::Move { .. });
        let near = [self.grandparent, Some(parent.peer)].into_iter().flatten().filter(|_| moves);
        // Either knows who is open, and one of them may be gone.
        let most = if purpose.is_pressing() { 2 } else { 1 };
        let mut known: Vec<P> = backups.chain(near).chain(some_above(&parent.path, most, turn)).collect();
        if known.is_empty() {
            known.extend(self.source);
        }
        known
    }

    fn scoped<R>(
        &mut self,
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
        act: impl FnOnce(&mut Search<P>, &Scope<'_, P>, &mut Turn<'_, P>) -> R,
    ) -> Option<R> {
        let mut search = self.search.take()?;
        let known = self.known(search.purpose, turn);
        // The source may be asked out of its own rescue slot: it knows who else has room.
        let asks_source = search.purpose.is_planned() && !search.purpose.is_urgent();
        let parent = self.parent.as_ref().map(|p| p.peer);
        let asks_parent = asks_source && self.source == parent
            || self.delegated && matches!(search.purpose, Purpose::Move { .. });
        let parent = parent.filter(|_| !asks_parent);
        // A call to whoever is about to send in a standby would end that.
        let excluded = seats.iter().map(|s| s.peer).chain(parent).chain(self.standbys.asked());
        let excluded: Vec<P> = excluded.collect();
        let scope = Scope {
            channel: self.channel,
            source: self.source,
            known: &known,
            excluded: &excluded,
            slots: turn.uplink.free().saturating_add(seats.ordinary()),
            deepest: self.deepest(search.purpose, !seats.is_empty()),
            rtt: self.rtt,
            delegated: self.delegated,
        };
        let result = act(&mut search, &scope, turn);
        self.search = Some(search);
        Some(result)
    }

    pub(super) fn advance(&mut self, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        let ended = self.scoped(seats, turn, |search, scope, turn| {
            let before = search.rounds();
            search.advance(scope, turn);
            matches!(search.purpose, Purpose::Move { .. } | Purpose::Yield { .. }) && search.rounds() > before
        });
        self.sinks = self.sinks.saturating_add(u8::from(ended == Some(true)));
        let Some(purpose) = self.search.as_ref().filter(|s| s.is_waiting()).map(|s| s.purpose) else {
            return;
        };
        if let Purpose::Climb { .. } | Purpose::Yield { .. } = purpose {
            self.search = None;
            self.settle_slot(turn);
        }
        // Whoever is silent for a short while only may still come back.
        let patience = if turn.config.is_paper() { Duration::ZERO } else { turn.config.confirm_after };
        let (now, awake) = (turn.now, turn.awake_since);
        let gone = |p: &mut Link<P>| p.lost.is_some_and(|t| now.since(t.max(awake)) >= patience);
        // And one that sends again need only go on for a while.
        let hears = self.cover.as_ref().is_some_and(|c| c.hears_parent());
        if !purpose.is_planned()
            && !hears
            && let Some(lost) = self.parent.take_if(gone)
        {
            // Nobody else has room; the next round may ask this one as well, as anybody would.
            turn.bye(lost.call, ByeReason::Normal);
            if self.cover.is_none() {
                self.listen_at = None;
            }
        }
    }

    /// Does without this peer, if it is asked for nothing but a better place: it has none itself any more.
    ///
    /// Neither becomes the parent of the other that way. Whoever asks as an orphan refuses whom it asks, and does not ask whom it has
    /// accepted; and what answers a call that was given up is ended.
    pub(in crate::iptv) fn give_way_to(&mut self, orphan: P, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        let background = |s: &&mut Box<Search<P>>| s.purpose.is_planned() && !s.purpose.is_urgent();
        let Some(search) = self.search.as_mut().filter(background) else { return };
        if let Some(call) = search.call_to(orphan) {
            search.pass_over(call);
            turn.order(Order::Cancel { call });
            self.advance(seats, turn);
        }
    }

    pub(in crate::iptv) fn on_fetched(
        &mut self,
        (mut providers, all): (Vec<Provider<P>>, bool),
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) {
        providers.truncate(usize::from(turn.config.limits.providers));
        let sources = || providers.iter().filter(|p| p.is_source()).map(|p| p.peer);
        // Where nobody owns a channel there may be several, and the tree is one of them's.
        if let Some(source) = sources().find(|&source| self.root() == Some(source)).or(sources().next()) {
            self.source = Some(source);
            self.listed = self.source;
            self.unsourced = None;
        } else if all {
            self.unsourced.get_or_insert(turn.now);
        }
        self.scoped(seats, turn, |search, scope, turn| search.on_fetched(&providers, scope, turn));
        self.advance(seats, turn);
    }

    pub(in crate::iptv) fn on_proceeding(&mut self, call: CallId) {
        if let Some(search) = &mut self.search {
            search.on_proceeding(call);
        }
    }

    pub(in crate::iptv) fn on_refused(
        &mut self,
        call: CallId,
        refusal: Refusal<P>,
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) {
        if self.standbys.get(call).is_some() {
            return self.standbys.on_refused(call, turn);
        }
        self.scoped(seats, turn, |search, scope, turn| {
            search.on_refused(call, refusal, scope, turn.config);
        });
        self.advance(seats, turn);
    }
}
