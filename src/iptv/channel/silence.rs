//! Silence towards children, and of children: HOLD and its like, and who is put out because it is not heard (Q6, Q11, P17).

use super::{Channel, Station};
use crate::ids::CallId;
use crate::iptv::fact::{ByeReason, Hold};
use crate::iptv::leases::Lease;
use crate::iptv::order::Order;
use crate::iptv::seats::Seat;
use crate::iptv::threshold::{grace, threshold};
use crate::iptv::turn::Turn;
use crate::time::{Instant, earliest};
use alloc::vec::Vec;

impl<P: Copy + Ord> Channel<P> {
    /// Says HOLD, or PAUSED, while no new media comes (Q6, Q11).
    pub(super) fn hold_children(&mut self, turn: &mut Turn<'_, P>) {
        let pause = threshold(self.id, turn);
        let last = turn.progress.last_media(self.id).unwrap_or(Instant::ZERO).max(turn.awake_since);
        if turn.now.since(last) < pause {
            self.hold_at = Some(last + pause);
            return;
        }
        let hold = match &self.station {
            Station::Publisher { .. } => Hold::Paused,
            Station::Viewer(w) => w.viewer.hold_below(turn),
        };
        turn.order(Order::Hold { channel: self.id, hold });
        // The first ones come in quick succession: one may be lost, and the children are about to act. Those that follow come as
        // long as the children expect them, so that they notice when this node dies.
        let (silent, grace) = (turn.now.since(last), grace(self.id, turn));
        let wait = match () {
            () if grace < pause && silent < pause + grace / 2 => grace / 2,
            () if silent < turn.config.repair_after => pause,
            () => turn.config.hold_after,
        };
        self.hold_at = Some(turn.now + wait);
    }

    /// Silence is not going to begin when it was last thought to.
    #[cfg(feature = "sim")]
    pub(in crate::iptv) fn listen_anew(&mut self, turn: &mut Turn<'_, P>) {
        if let Station::Viewer(w) = &mut self.station {
            w.viewer.listen_anew(&self.seats, turn);
        }
        if self.hold_at.is_some() {
            self.hold_children(turn);
        }
    }

    /// An orphan has come, or one that a backup parent has saved. If the parent that it has lost, as the table knows, sits
    /// here and is silent here as well, its slot is free sooner than silence alone would make it. Who was suspected and is
    /// here still is left in peace for as long as a silence takes without that.
    pub(super) fn suspect_parent_of(&mut self, orphan: P, turn: &mut Turn<'_, P>) {
        let Some(election) = self.station.election() else { return };
        let mut suspects = election.table.parents(orphan).into_iter().flatten();
        let call = suspects.find_map(|p| self.seats.by_peer(p)).map(|s| s.call);
        let Some(seat) = call.and_then(|call| self.seats.by_call_mut(call)) else { return };
        let is_old = |at: Instant| turn.now.since(at) >= turn.config.child_silence;
        if seat.suspected.is_none_or(is_old) {
            seat.suspected = Some(turn.now);
            self.sweep_children(turn);
        }
    }

    /// Puts out children that have stopped to report. Plain agents, which never did, are not judged.
    pub(super) fn sweep_children(&mut self, turn: &mut Turn<'_, P>) {
        let silent = |s: &&Seat<P>| silent_at(s, turn).is_some_and(|t| t <= turn.now);
        let silent: Vec<CallId> = self.seats.iter().filter(silent).map(|s| s.call).collect();
        for call in silent {
            turn.bye(call, ByeReason::Normal);
            self.unseat(call, turn);
        }
        let over = |l: &&Lease<P>| lease_heard(l, turn) + turn.config.lease_silence <= turn.now;
        let over: Vec<CallId> = self.leases.iter().filter(over).map(|l| l.call).collect();
        self.end_leases(|l| over.contains(&l.call), turn);
        self.sweep_at = self.next_silence(turn);
    }

    /// When the first of the children and of the standbys' children will have been silent for too long, if it is not heard
    /// till then.
    pub(super) fn next_silence(&self, turn: &Turn<'_, P>) -> Option<Instant> {
        let children = self.seats.iter().filter_map(|s| silent_at(s, turn)).min();
        let leases = self.leases.iter().map(|l| lease_heard(l, turn) + turn.config.lease_silence).min();
        earliest(children, leases)
    }

    /// A relayer that sends no alive messages any more loses its slot, unless its reception reports still come.
    pub(super) fn put_out_if_silent(&mut self, relayer: P, turn: &mut Turn<'_, P>) {
        let Some(seat) = self.seats.by_peer(relayer) else { return };
        let heard = turn.progress.last_report(seat.call);
        if heard.is_none_or(|t| turn.now.since(t) >= turn.config.child_silence) {
            let call = seat.call;
            turn.bye(call, ByeReason::Normal);
            self.unseat(call, turn);
        }
    }
}

/// When a child counts as gone if it is not heard until then; never, when it is not expected to report.
pub(super) fn silent_at<P>(seat: &Seat<P>, turn: &Turn<'_, P>) -> Option<Instant> {
    let since = seat.since.max(turn.awake_since);
    let heard = match turn.progress.last_report(seat.call) {
        Some(t) => t.max(since),
        None if seat.slots.is_some() => since,
        None => return None,
    };
    let suspected = seat.suspected.is_some_and(|s| heard <= s);
    Some(heard + if suspected { turn.config.suspect_silence } else { turn.config.child_silence })
}

/// When the child of a standby was heard last.
pub(super) fn lease_heard<P>(lease: &Lease<P>, turn: &Turn<'_, P>) -> Instant {
    let heard = turn.progress.last_report(lease.call).unwrap_or(lease.since);
    heard.max(lease.since).max(turn.awake_since)
}
