//! Peers that can relay stand above those that cannot: whoever brings slots along takes the slot of a child that brings
//! none, and waits in the rescue slot until that one has another parent.

use super::turn::Turn;
use crate::ids::CallId;
use crate::time::Instant;

/// How often the child is asked to yield.
const ATTEMPTS: u8 = 6;

/// One exchange that is under way.
#[derive(Debug)]
pub(super) struct Promotion {
    /// The child that cannot relay.
    pub(super) leech: CallId,
    /// The one that can.
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
