//! Single packets that paths lose, in the mean, as the media plane mends them.
//!
//! Whoever receives the next packet asks its parent after a while, and again and again, and what comes in the end is
//! passed on like any other packet, however late. So a player misses what some path between the source and itself has lost
//! and not brought again within the time that *this* player leaves; those above, who wait for less or for more, are not
//! asked.

use super::Media;
use super::path::{Leg, NO_LEG};
use super::terms::Terms;
use crate::time::Duration;

/// The least time between two requests for the same packet, as `rtp::missing` has it.
const MIN_RETRY: Duration = Duration::from_millis(20);

impl Media {
    /// The share of packets that somebody misses who is fed by this path and plays each packet so long after it could have
    /// come.
    pub(super) fn residue(&self, leg: Leg, slack: Duration) -> f64 {
        let mut at = leg;
        let mut brought = 1.0;
        for _ in 0..self.nodes.len() {
            let Some(path) = self.paths.get(at as usize) else { break };
            brought *= 1.0 - unmended(&self.terms, path.delay, slack);
            let Some(parent) = self.node(path.parent).filter(|p| p.feed != NO_LEG) else { break };
            at = parent.feed;
        }
        1.0 - brought
    }
}

/// The share of packets that a path loses and that asking again does not mend within the slack.
pub(super) fn unmended(terms: &Terms, delay: Duration, slack: Duration) -> f64 {
    let round = (delay * 2).max(Duration::from_millis(1));
    let retry = (round * 3 / 2).max(MIN_RETRY);
    // A request, or its answer.
    let fails = 1.0 - (1.0 - terms.loss) * (1.0 - terms.loss);
    let mut asked = terms.tolerance;
    let mut left = terms.loss;
    for _ in 0..terms.nacks {
        // The next packet shows the hole.
        if asked >= terms.persistence || terms.gap() + asked + round > slack {
            break;
        }
        left *= fails;
        asked += retry;
    }
    left
}
