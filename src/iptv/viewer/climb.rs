//! The way back up: out of a rescue slot, out of the slot that somebody needs who can relay, and nearer to the source.

use super::purpose::Purpose;
use super::search::Search;
use super::{Link, Viewer};
use crate::ids::CallId;
use crate::iptv::fact::ByeReason;
use crate::iptv::report::Provider;
use crate::iptv::seats::Seats;
use crate::iptv::turn::Turn;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A place is worth a move when it is so many layers nearer to the source.
pub(in crate::iptv) const WORTH: u8 = 2;
/// Attempts to climb after a repair. Then the new depth is accepted.
const CLIMBS: u8 = 4;
/// A parent is far when a message takes more milliseconds there and back. Half as far away is worth a move.
const FAR: u16 = 100;
/// Nothing that gets lost is mended in time when it takes more: any backup parent that is half as far away is better, even in
/// its rescue slot.
const TOO_FAR: u16 = 300;
/// The same for whoever has many below, who all have so much less time to mend anything.
const TOO_FAR_FOR_MANY: u16 = 200;
/// How often [`Config::climb_after`](crate::iptv::Config) is doubled at most: for who has a parent that is too far, for who has sunk
/// or has a far parent, and for who only sits deep, which is most of the tree.
const DOUBLED: [u8; 3] = [2, CLIMBS, 5];
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
                let first = self.delegated && self.sinks == 0;
                self.search = Some(Box::new(Search::later(Purpose::Move { first }, until)));
            }
            return;
        }
        if let Some(mut search) = self.search.take_if(|s| matches!(s.purpose, Purpose::Move { .. })) {
            search.cancel(turn);
            self.sinks = 0;
        }
        let leaves = self.cover.is_some() || self.parent_leaves() || self.keeps_depth && self.next.is_some();
        if let Some(next) = self.next.take_if(|n| !leaves && n.depth().saturating_add(WORTH) > depth) {
            turn.bye(next.call, ByeReason::Normal);
        }
        if self.climb_at.is_none() && self.search.is_none() && self.next.is_none() && !leaves {
            self.plan_climb(turn);
        }
    }

    /// The hops that a provider may have where relayers elect and this node looks for another slot: nobody sinks before those
    /// above were asked, and whoever has a subtree sinks by one layer more with each round that has found nothing.
    pub(super) fn deepest(&self, purpose: Purpose, has_subtree: bool) -> Option<u8> {
        let depth = self.parent.as_ref().filter(|_| self.delegated)?.depth().saturating_sub(1);
        match purpose {
            Purpose::Move { first: true } => Some(depth),
            Purpose::Move { .. } if has_subtree => Some(depth.saturating_add(self.sinks)),
            Purpose::Yield { .. } if has_subtree => Some(depth.saturating_add(self.sinks.max(1))),
            _ => None,
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
        let settled = self.parent.as_ref().is_some_and(|p| p.call == call && p.is_playing());
        // Who sits in a rescue slot has only planned to look around.
        let seeks = self.search.as_ref().is_some_and(|s| !s.is_waiting());
        let busy = seeks || self.next.is_some() || self.cover.is_some();
        if !settled || busy || turn.config.is_paper() {
            return;
        }
        self.climb_at = None;
        let most = usize::from(turn.config.limits.redirect_contacts);
        let above = if self.delegated { self.somebody_above(turn) } else { self.source };
        let above = above.filter(|&s| self.parent.as_ref().is_none_or(|p| p.peer != s));
        let rescue = !seats.is_empty();
        let deepest = self.deepest(Purpose::Yield { rescue }, rescue).unwrap_or(u8::MAX);
        let near = to.into_iter().take(most).filter(|p| p.depth.is_none_or(|depth| depth <= deepest));
        let known: Vec<P> = near.map(|p| p.peer).chain(above).collect();
        self.search(Search::new(Purpose::Yield { rescue }, &known), seats, turn);
    }

    /// The elector, who knows the whole tree, has found room nearer to the source, for this node and all that is below it.
    pub(in crate::iptv) fn on_called_up(
        &mut self,
        to: Vec<Provider<P>>,
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) {
        let playing = self.parent.as_ref().filter(|p| p.is_playing());
        let Some(within) = playing.and_then(|p| p.depth().checked_sub(WORTH + 1)) else { return };
        let seeks = self.search.as_ref().is_some_and(|s| !s.is_waiting());
        if seeks || self.next.is_some() || self.cover.is_some() || turn.config.is_paper() {
            return;
        }
        self.climb_at = None;
        let most = usize::from(turn.config.limits.redirect_contacts);
        let known: Vec<P> = to.into_iter().take(most).map(|p| p.peer).collect();
        self.search(Search::new(Purpose::Climb { within, near: 0 }, &known), seats, turn);
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
        let far = self.has_far_parent();
        if self.has_sunk(depth) || far || depth > DEEP && turn.uplink.capacity() > 0 {
            let most = match () {
                () if self.has_parent_beyond(self.too_far()) => DOUBLED[0],
                () if far || self.has_sunk(depth) => DOUBLED[1],
                () if self.delegated => DOUBLED[2],
                // The source, which is asked here, has enough to do.
                () => 1,
            };
            let pause = turn.config.climb_after.saturating_mul(1 << self.climbs.min(most));
            self.climb_at = Some(turn.now + turn.at_least(pause));
        }
    }

    const fn has_sunk(&self, depth: u8) -> bool {
        depth.saturating_sub(self.home) >= WORTH
    }

    /// Whether what gets lost on the way from the parent takes long to mend.
    pub(super) fn has_far_parent(&self) -> bool {
        self.has_parent_beyond(FAR)
    }

    /// How far a parent may be before any nearer one is better.
    const fn too_far(&self) -> u16 {
        if self.has_many { TOO_FAR_FOR_MANY } else { TOO_FAR }
    }

    fn has_parent_beyond(&self, millis: u16) -> bool {
        let rtt = self.parent.as_ref().and_then(|p| p.rtt);
        rtt.is_some_and(|rtt| rtt > millis)
    }

    /// Whether this one hangs as high as the parent, and is much nearer by.
    pub(super) fn is_nearer(&self, link: &Link<P>) -> bool {
        let Some(parent) = self.parent.as_ref().filter(|_| self.has_far_parent()) else { return false };
        let halves = link.rtt.zip(parent.rtt).is_some_and(|(new, old)| new <= old / 2);
        halves && !link.rescue && link.depth() <= parent.depth()
    }

    pub(super) fn climb(&mut self, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        self.climb_at = None;
        self.climbs = self.climbs.saturating_add(1);
        let ordinary = self.parent.as_ref().filter(|p| p.is_playing() && !p.rescue);
        let rtt = ordinary.and_then(|p| p.rtt).filter(|&rtt| rtt > self.too_far());
        let nearer = rtt.map(|rtt| self.standbys.within(rtt / 2)).unwrap_or_default();
        if !nearer.is_empty() && self.search.is_none() && self.next.is_none() && self.cover.is_none() {
            return self.search(Search::new(Purpose::Yield { rescue: true }, &nearer), seats, turn);
        }
        // Where the children of such a provider sit it is worth to move to.
        let within = ordinary.and_then(|p| p.depth().checked_sub(WORTH + 1));
        let near = ordinary.filter(|_| self.has_far_parent()).map_or(0, |p| p.depth().saturating_sub(1));
        if let Some(within) = within.filter(|_| self.search.is_none() && self.next.is_none()) {
            let depth = within.saturating_add(WORTH + 1);
            let known = match &self.parent {
                Some(p) if !self.has_sunk(depth) && !p.path.is_empty() => {
                    // Somebody above, but not the source, which everybody would ask.
                    let nth = 1 + turn.entropy.below(u64::from(within).max(1));
                    p.path.get(usize::try_from(nth).unwrap_or(0)).copied().into_iter().collect()
                }
                _ => self.known(Purpose::Climb { within, near }, turn),
            };
            self.search(Search::new(Purpose::Climb { within, near }, &known), seats, turn);
        } else if self.search.is_none()
            && self.next.is_none()
            && self.cover.is_none()
            && self.has_far_parent()
        {
            self.plan_climb(turn);
        }
    }
}
