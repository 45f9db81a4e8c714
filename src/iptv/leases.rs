//! The leases that this node gives: standbys of other peers. Each is the first refusal on the one rescue slot that they
//! share (Q12).
//!
//! ```text
//!   standby ── Resumed, the slot is free ──► seat ── Released ──► standby
//!      └────── Resumed, it is not ──► Deny
//! ```
//! A provider that has sunk since denies once, too: whoever has somebody else does better there.

use super::seats::{Seat, Uplink};
use crate::ids::CallId;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

/// One standby that this node granted and that gets no media now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease<P> {
    pub(super) call: CallId,
    pub(super) peer: P,
    /// What its child could serve itself.
    pub(super) slots: Option<u16>,
    pub(super) since: Instant,
    /// This node's hops from the source, as its child knows them.
    pub(super) depth: u8,
    /// When it was denied last because this node has sunk.
    pub(super) warned: Option<Instant>,
}

/// So many layers deeper than it was when it promised, a provider has sunk: packets come some 40 ms later with each, and all
/// below its new child have half a second.
const SURPRISE: u8 = 4;

impl<P> Lease<P> {
    /// Whether its child, which asks for media, does better elsewhere: this node is now at `depth`. Whoever asks again within
    /// `soon` has nobody else.
    pub(super) fn is_surprised(&self, depth: u8, now: Instant, soon: Duration) -> bool {
        let asks_again = self.warned.is_some_and(|t| now.since(t) < soon);
        depth.saturating_sub(self.depth) >= SURPRISE && !asks_again
    }
}

/// The standbys of one channel, oldest first; those that are served are seats meanwhile.
#[derive(Debug)]
pub(super) struct Leases<P>(Vec<Lease<P>>);

impl<P: Copy + Ord> Leases<P> {
    pub(super) const fn new() -> Self {
        Leases(Vec::new())
    }

    pub(super) fn iter(&self) -> core::slice::Iter<'_, Lease<P>> {
        self.0.iter()
    }

    pub(super) fn by_call(&self, call: CallId) -> Option<&Lease<P>> {
        self.0.iter().find(|l| l.call == call)
    }

    pub(super) fn by_call_mut(&mut self, call: CallId) -> Option<&mut Lease<P>> {
        self.0.iter_mut().find(|l| l.call == call)
    }

    pub(super) fn by_peer(&self, peer: P) -> Option<&Lease<P>> {
        self.0.iter().find(|l| l.peer == peer)
    }

    /// Whether there is room is the caller's business.
    pub(super) fn grant(&mut self, lease: Lease<P>, uplink: &mut Uplink) {
        uplink.promised = uplink.promised.saturating_add(1);
        // Few at most nodes: no room is taken for more.
        self.0.reserve_exact(1);
        self.0.push(lease);
    }

    /// The lease is over, or its child is served now.
    pub(super) fn take(&mut self, call: CallId, uplink: &mut Uplink) -> Option<Lease<P>> {
        let at = self.0.iter().position(|l| l.call == call)?;
        uplink.promised = uplink.promised.saturating_sub(1);
        Some(self.0.remove(at))
    }

    /// A child that was served has enough. It was told how deep this node hangs.
    pub(super) fn give_back(&mut self, seat: &Seat<P>, depth: u8, now: Instant, uplink: &mut Uplink) {
        let Seat { call, peer, slots, .. } = *seat;
        self.grant(Lease { call, peer, slots, since: now, depth, warned: None }, uplink);
    }
}
