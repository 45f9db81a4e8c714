//! Newcomers that wait at their elector (182): there is no room for them, but the next relayer has been asked already.
//!
//! Refused, each would come again after whole seconds (503, Retry-After), and find that others have been faster. Here the
//! first that has come is the first that is sent to the new relayer, one round trip after that one has accepted.

use super::order::{Denial, Order};
use super::turn::Turn;
use crate::ids::CallId;
use crate::time::Instant;
use alloc::collections::VecDeque;

/// A caller that has no answer yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller<P> {
    pub(super) call: CallId,
    pub(super) peer: P,
    /// How many children it could serve.
    pub(super) slots: Option<u16>,
    /// Then it is refused.
    pub(super) until: Instant,
    /// Whether it has been told that it waits.
    pub(super) told: bool,
}

/// All of them, in the order in which they came, and so in that of their ends; bounded by
/// [`Limits::waiting`](super::Limits::waiting).
#[derive(Debug)]
pub(super) struct Waiting<P> {
    callers: VecDeque<Caller<P>>,
}

impl<P: Copy + Ord> Waiting<P> {
    pub(super) const fn new() -> Self {
        Waiting { callers: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.callers.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.callers.is_empty()
    }

    pub(super) fn owns(&self, call: CallId) -> bool {
        self.callers.iter().any(|c| c.call == call)
    }

    pub(super) fn calls(&self) -> impl Iterator<Item = CallId> + '_ {
        self.callers.iter().map(|c| c.call)
    }

    pub(super) fn contains(&self, peer: P) -> bool {
        self.callers.iter().any(|c| c.peer == peer)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.callers.front().map(|c| c.until)
    }

    pub(super) fn push(&mut self, caller: Caller<P>) {
        self.callers.push_back(caller);
    }

    /// The caller whose turn it is.
    pub(super) fn first(&self) -> Option<Caller<P>> {
        self.callers.front().copied()
    }

    /// The first one of this kind.
    pub(super) fn first_that(&self, is: impl Fn(&Caller<P>) -> bool) -> Option<Caller<P>> {
        self.callers.iter().find(|c| is(c)).copied()
    }

    /// A caller has its answer, or has given up.
    pub(super) fn take(&mut self, call: CallId) -> bool {
        let at = self.callers.iter().position(|c| c.call == call);
        at.and_then(|at| self.callers.remove(at)).is_some()
    }

    /// Those that have come last learn that they wait.
    pub(super) fn tell(&mut self, turn: &mut Turn<'_, P>) {
        for caller in self.callers.iter_mut().rev().take_while(|c| !c.told) {
            caller.told = true;
            turn.order(Order::Queue { call: caller.call });
        }
    }

    /// Nobody waits here any more.
    pub(super) fn refuse_all(&mut self, turn: &mut Turn<'_, P>) {
        for caller in core::mem::take(&mut self.callers) {
            turn.order(Order::Refuse { call: caller.call, denial: Denial::NotFound });
        }
    }
}
