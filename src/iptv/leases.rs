//! The leases that this node gives: standbys of other peers. Each is the first refusal on the one rescue slot that they
//! share (Q12).
//!
//! ```text
//!   standby ── Resumed, the slot is free ──► seat ── Released ──► standby
//!      └────── Resumed, it is not ──► Deny
//! ```

use super::seats::{Seat, Uplink};
use crate::ids::CallId;
use crate::time::Instant;
use alloc::vec::Vec;

/// One standby that this node granted and that gets no media now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease<P> {
    pub(super) call: CallId,
    pub(super) peer: P,
    /// What its child could serve itself.
    pub(super) slots: Option<u16>,
    pub(super) since: Instant,
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

    /// A child that was served has enough.
    pub(super) fn give_back(&mut self, seat: &Seat<P>, now: Instant, uplink: &mut Uplink) {
        self.grant(Lease { call: seat.call, peer: seat.peer, slots: seat.slots, since: now }, uplink);
    }
}
