//! Single packets that paths lose, in the mean, as the media plane mends them.
//!
//! Whoever receives the next packet asks its parent after a while, or the nearest standby and a far parent in turn, again and
//! again, and what comes in the end is passed on like any other packet, however late. So a player misses what some path
//! between the source and itself has lost and not brought again within the time that *this* player leaves; those above, who
//! wait for less or for more, are not asked.
//!
//! Two things flatter: whether a standby has what it is asked for is looked at when the child's own path or standbys change, not
//! when the standby's do; and what was lost above both of them is not in its ring either.

use super::Media;
use super::path::{Leg, NO_LEG, Path};
use super::terms::Terms;
use crate::time::{Duration, Instant};

/// The least time between two requests for the same packet, as `rtp::missing` has it.
const MIN_RETRY: Duration = Duration::from_millis(20);

/// How unsteady the answers are.
const JITTER: Duration = Duration::from_millis(5);

/// A parent is far when it takes longer there and back, as `rtp::relay` has it.
const FAR: Duration = Duration::from_millis(100);

/// Somebody who is asked for what was lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mender {
    /// There and back.
    pub(super) round_trip: Duration,
    /// It is there, and has what it is asked for.
    pub(super) answers: bool,
}

impl Media {
    /// A node may ask this one for single packets too.
    pub fn stand_by(&mut self, now: Instant, (provider, node): (u32, u32), delay: Duration) {
        if let Some(child) = self.node_mut(node) {
            child.standbys.push((provider, delay));
            self.mend_anew(now, node);
        }
    }

    /// Nor may it any more.
    pub fn stand_down(&mut self, now: Instant, (provider, node): (u32, u32)) {
        let Some(child) = self.node_mut(node) else { return };
        let before = child.standbys.len();
        child.standbys.retain(|standby| standby.0 != provider);
        if child.standbys.len() < before {
            self.mend_anew(now, node);
        }
    }

    /// The standbys of a far parent's child are others than before, which all those below it feel.
    fn mend_anew(&mut self, now: Instant, node: u32) {
        let Some(feed) = self.node(node).filter(|n| n.is_fed()).map(|n| n.feed) else { return };
        if self.paths.get(feed as usize).is_some_and(|path| path.delay * 2 > FAR) {
            self.shift(node, feed, now, Duration::ZERO);
            self.work_off();
        }
    }

    /// The share of packets that somebody misses who is fed by this path and plays each packet so long after it could have
    /// come.
    pub(super) fn residue(&self, leg: Leg, slack: Duration) -> f64 {
        let mut at = leg;
        let mut brought = 1.0;
        for _ in 0..self.nodes.len() {
            let Some(path) = self.paths.get(at as usize) else { break };
            let parent = Mender { round_trip: path.delay * 2, answers: true };
            brought *= 1.0 - unmended(&self.terms, self.standby_of(path), parent, slack);
            let Some(parent) = self.node(path.parent).filter(|p| p.feed != NO_LEG) else { break };
            at = parent.feed;
        }
        1.0 - brought
    }

    /// The nearest standby of a child, where the parent is far. One that has everything later than the child is as good as
    /// none: the child has learned that.
    fn standby_of(&self, path: &Path) -> Option<Mender> {
        if path.delay * 2 <= FAR {
            return None;
        }
        let comes = self.node(path.parent)?.delay + path.delay + self.terms.gap() + self.terms.tolerance;
        let standbys =
            self.node(path.child)?.standbys.iter().filter(|s| s.0 != path.parent && s.1 * 2 <= path.delay);
        let menders = standbys.filter_map(|&(provider, delay)| {
            let answers = self.node(provider).is_some_and(|p| p.is_fed() && !p.mute);
            let behind = self.node(provider).is_some_and(|p| p.delay > comes + delay);
            (!behind).then_some(Mender { round_trip: delay * 2, answers })
        });
        menders.min_by_key(|mender| mender.round_trip)
    }
}

/// The share of packets that a path loses and that asking again does not mend within the slack.
pub(super) fn unmended(terms: &Terms, standby: Option<Mender>, parent: Mender, slack: Duration) -> f64 {
    // A request, or its answer.
    let fails = 1.0 - (1.0 - terms.loss) * (1.0 - terms.loss);
    // The next packet shows the hole.
    let mut asked = terms.gap() + terms.tolerance;
    let end = terms.gap() + terms.persistence;
    let mut left = terms.loss;
    for n in 0..terms.nacks {
        let Mender { round_trip, answers } = standby.filter(|_| n % 2 == 0).unwrap_or(parent);
        if asked >= end {
            break;
        }
        if answers && asked + round_trip <= slack {
            left *= fails;
        }
        asked += (round_trip + (round_trip / 4).max(JITTER * 2)).max(MIN_RETRY);
    }
    left
}
