//! The way back up: out of a rescue slot, out of the slot that somebody needs who can relay, and nearer to the source.

use super::search::{Purpose, Search};
use super::{Link, Viewer};
use crate::ids::CallId;
use crate::iptv::fact::ByeReason;
use crate::iptv::report::Provider;
use crate::iptv::seats::Seats;
use crate::iptv::turn::Turn;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A place is worth a move when it is so many layers nearer to the source.
const WORTH: u8 = 2;
/// Attempts to climb after a repair. Then the new depth is accepted.
const CLIMBS: u8 = 4;
/// Who can relay and sits deeper than this asks those above it now and then whether somebody who cannot has a better place.
const DEEP: u8 = 3;

impl<P: Copy + Ord> Viewer<P> {
    /// Looks for an ordinary slot while in a rescue slot, and no longer.
    pub(super) fn settle_slot(&mut self, turn: &mut Turn<'_, P>) {
        let Some(parent) = self.parent.as_ref().filter(|p| p.is_playing()) else { return };
        let depth = parent.depth();
        if parent.rescue {
            if self.search.is_none() && self.next.is_none() && self.cover.is_none() {
                let until = turn.now + turn.at_least(turn.config.move_after);
                self.search = Some(Box::new(Search::later(Purpose::Move, until)));
            }
            return;
        }
        if let Some(mut search) = self.search.take_if(|s| s.purpose == Purpose::Move) {
            search.cancel(turn);
        }
        let leaves = self.cover.is_some() || self.yields && self.next.is_some();
        if let Some(next) = self.next.take_if(|n| !leaves && n.depth().saturating_add(WORTH) > depth) {
            turn.bye(next.call, ByeReason::Normal);
        }
        if self.climb_at.is_none() && self.search.is_none() && self.next.is_none() && !leaves {
            self.plan_climb(turn);
        }
    }

    /// The parent needs the slot for somebody who can relay.
    pub(in crate::iptv) fn on_yield(
        &mut self,
        call: CallId,
        to: Vec<Provider<P>>,
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) {
        let settled = self.parent.as_ref().is_some_and(|p| p.call == call && p.is_playing() && !p.rescue);
        let busy = self.search.is_some() || self.next.is_some() || self.cover.is_some();
        if !settled || busy || turn.config.is_paper() {
            return;
        }
        self.climb_at = None;
        let most = usize::from(turn.config.limits.redirect_contacts);
        let above = if self.delegated { self.somebody_above(turn) } else { self.source };
        let above = above.filter(|&s| self.parent.as_ref().is_none_or(|p| p.peer != s));
        let known: Vec<P> = to.into_iter().take(most).map(|p| p.peer).chain(above).collect();
        self.search(Search::new(Purpose::Yield, &known), seats, turn);
    }

    /// Plans to look for a place nearer to the source when this one is much farther away than the one that was lost. Who
    /// only sank with its parent leaves that to the parent.
    pub(super) fn plan_climb(&mut self, turn: &mut Turn<'_, P>) {
        self.climb_at = None;
        let Some(depth) = self.parent.as_ref().map(Link::depth).filter(|_| !turn.config.is_paper()) else {
            return;
        };
        self.home = self.home.min(depth);
        if self.climbs >= CLIMBS {
            self.home = depth;
        }
        if self.has_sunk(depth) || depth > DEEP && turn.uplink.capacity() > 0 {
            // Those above change all the time; the source, which the others ask, has more to do.
            let most = if self.has_sunk(depth) || self.delegated { CLIMBS } else { 1 };
            let pause = turn.config.climb_after.saturating_mul(1 << self.climbs.min(most));
            self.climb_at = Some(turn.now + turn.at_least(pause));
        }
    }

    const fn has_sunk(&self, depth: u8) -> bool {
        depth.saturating_sub(self.home) >= WORTH
    }

    pub(super) fn climb(&mut self, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        self.climb_at = None;
        self.climbs = self.climbs.saturating_add(1);
        let ordinary = self.parent.as_ref().filter(|p| p.is_playing() && !p.rescue);
        // Where the children of such a provider sit it is worth to move to.
        let within = ordinary.and_then(|p| p.depth().checked_sub(WORTH + 1));
        if let Some(within) = within.filter(|_| self.search.is_none() && self.next.is_none()) {
            let depth = within.saturating_add(WORTH + 1);
            let known = match &self.parent {
                Some(p) if !self.has_sunk(depth) && !p.path.is_empty() => {
                    // Somebody above, but not the source, which everybody would ask.
                    let nth = 1 + turn.entropy.below(u64::from(within).max(1));
                    p.path.get(usize::try_from(nth).unwrap_or(0)).copied().into_iter().collect()
                }
                _ => self.known(Purpose::Climb { within }, turn),
            };
            self.search(Search::new(Purpose::Climb { within }, &known), seats, turn);
        }
    }
}
