//! Peers that can relay stand above those that cannot: whoever brings slots along takes the slot of a child that brings
//! none, and waits in the rescue slot until that one has another parent.
//!
//! The same way the tree stays flat when an orphan with a subtree is saved. It is in the rescue slot in the layer where it was.
//! Of all children there the one with the smallest subtree goes down (the orphan itself, if none has a smaller one): into the
//! rescue slot of one of its siblings, where the same is done again; until it is somebody without children, who may sit
//! anywhere. So a layer is added to the little that hangs lowest, and not to all that an orphan brings.

use super::turn::Turn;
use crate::ids::CallId;
use crate::time::Instant;

/// How often the child is asked to yield.
const ATTEMPTS: u8 = 6;

/// One exchange that is under way.
#[derive(Debug)]
pub(super) struct Promotion {
    /// The child that cannot relay, or brings fewest along.
    pub(super) leech: CallId,
    /// The one in the rescue slot that can, or brings more. The same one, if none brings less.
    pub(super) newcomer: CallId,
    pub(super) due: Instant,
    attempts: u8,
}

impl Promotion {
    pub(super) fn new<P>(leech: CallId, newcomer: CallId, turn: &Turn<'_, P>) -> Self {
        Promotion { leech, newcomer, due: turn.now + turn.config.yield_after, attempts: 0 }
    }

    /// Plans the next attempt; false when there were enough.
    pub(super) fn go_on<P>(&mut self, turn: &Turn<'_, P>) -> bool {
        self.attempts = self.attempts.saturating_add(1);
        self.due = turn.now + turn.config.yield_after.saturating_mul(1 << self.attempts.min(ATTEMPTS));
        self.attempts <= ATTEMPTS
    }
}
