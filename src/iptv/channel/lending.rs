//! The standbys of others: leases on the rescue slot, and children that get media in one (Q12).

use super::{Channel, Station};
use crate::ids::CallId;
use crate::iptv::counters::count;
use crate::iptv::fact::ByeReason;
use crate::iptv::leases::Lease;
use crate::iptv::order::{Denial, Event, Order};
use crate::iptv::report::Report;
use crate::iptv::turn::Turn;
use alloc::vec::Vec;

impl<P: Copy + Ord> Channel<P> {
    pub(in crate::iptv) fn leases(&self) -> impl Iterator<Item = CallId> + '_ {
        self.leases.iter().map(|l| l.call)
    }

    /// Somebody wants this node as a backup parent (Q12).
    pub(in crate::iptv) fn on_standby_invited(
        &mut self,
        (call, peer): (CallId, P),
        slots: Option<u16>,
        turn: &mut Turn<'_, P>,
    ) {
        let refusal = self.lease_denial(peer, turn);
        if let Some(denial) = refusal {
            count(&mut turn.counters.leases_refused);
            return turn.order(Order::Refuse { call, denial });
        }
        if let Some(old) = self.leases.by_peer(peer).map(|l| l.call) {
            turn.bye(old, ByeReason::Normal);
            self.leases.take(old, turn.uplink);
        }
        count(&mut turn.counters.leases_granted);
        let (depth, free) = (self.depth(), turn.uplink.free());
        self.leases.grant(Lease { call, peer, slots, since: turn.now, depth, warned: None }, turn.uplink);
        turn.order(Order::Accept { call, depth, rescue: false, free });
    }

    pub(super) fn lease_denial(&self, peer: P, turn: &Turn<'_, P>) -> Option<Denial> {
        let busy = Some(Denial::Busy { retry_after: turn.config.lease_retry });
        if turn.config.is_paper() {
            return Some(Denial::NotFound);
        }
        if let Some(denial) = self.denial(peer, true, turn) {
            return Some(denial);
        }
        let renewed = self.leases.by_peer(peer).is_some();
        let room = renewed || turn.uplink.can_promise(turn.config.limits.leases);
        // Who is served here already needs no promise.
        if room && self.seats.by_peer(peer).is_none() { None } else { busy }
    }

    /// The child of a standby asks for media: first come, first served, unless this node is no longer where it was.
    pub(in crate::iptv) fn on_resumed(&mut self, call: CallId, turn: &mut Turn<'_, P>) {
        if self.seats.by_call(call).is_some() {
            // It has not seen any yet.
            return turn.order(Order::Serve { call });
        }
        let Some(&Lease { peer, slots, .. }) = self.leases.by_call(call) else { return };
        self.give_way_to(peer, turn);
        let barred = self.bars(peer, turn);
        if !barred {
            self.suspect_parent_of(peer, turn);
        }
        let sunk = self.surprises(call, turn);
        if let Some(lease) = self.leases.by_call_mut(call).filter(|_| sunk) {
            lease.warned = Some(turn.now);
        }
        let ordinary = self.serves(turn) && turn.uplink.free() > 0;
        if barred || sunk || !ordinary && !turn.uplink.can_rescue() {
            count(&mut turn.counters.denied);
            return turn.order(Order::Deny { call });
        }
        self.leases.take(call, turn.uplink);
        self.seats.seat((call, peer), slots, !ordinary, turn.now, turn.uplink);
        if let Some(seat) = self.seats.by_call_mut(call) {
            seat.leased = true;
        }
        count(&mut turn.counters.served);
        turn.order(Order::Serve { call });
        if let Some(election) = self.station.election_mut() {
            election.table.cover(peer, call, slots, turn.now);
        }
        turn.event(Event::ChildJoined { channel: self.id, child: peer });
        self.tell_places(Some(call), turn);
    }

    /// Whether the child of a standby is not served here whatever the room.
    pub(super) fn bars(&self, peer: P, turn: &Turn<'_, P>) -> bool {
        self.denial(peer, true, turn).is_some() || self.seats.by_peer(peer).is_some()
    }

    /// Whether the child of this standby would not find this node where it was, and has not been warned yet.
    fn surprises(&self, call: CallId, turn: &Turn<'_, P>) -> bool {
        let lease = self.leases.by_call(call);
        lease.is_some_and(|lease| lease.is_surprised(self.depth(), turn.now, turn.config.farewell))
    }

    /// Whether this call, whose child asks for media, is denied only because every slot is taken.
    pub(in crate::iptv) fn lacks_a_slot(&self, call: CallId, turn: &Turn<'_, P>) -> bool {
        let waits = self.leases.by_call(call).is_some_and(|lease| !self.bars(lease.peer, turn));
        let room = turn.uplink.can_rescue() || self.serves(turn) && turn.uplink.free() > 0;
        waits && !room && !self.surprises(call, turn)
    }

    /// Somebody else needs the rescue slot in which a child has sat longest. At the end of its tenure it is told to move, and
    /// put out when the slot is needed again and it has not.
    pub(in crate::iptv) fn end_tenure(&mut self, turn: &mut Turn<'_, P>) {
        let (now, tenure, farewell) = (turn.now, turn.config.tenure, turn.config.farewell);
        let rescued = self.seats.iter_mut().filter(|s| s.rescue);
        let Some(seat) = rescued.min_by_key(|s| s.since).filter(|s| now.since(s.since) >= tenure) else {
            return;
        };
        let call = seat.call;
        let told = *seat.told_to_move.get_or_insert(now);
        if told == now {
            turn.inform(call, Report::Leaving);
        } else if now.since(told) >= farewell {
            turn.bye(call, ByeReason::Normal);
            self.unseat(call, turn);
        }
    }

    /// The child of a standby has enough.
    pub(in crate::iptv) fn on_released(&mut self, call: CallId, turn: &mut Turn<'_, P>) {
        if self.seats.by_call(call).is_none_or(|s| !s.leased) {
            return;
        }
        let Some(seat) = self.unseat(call, turn) else { return };
        if turn.uplink.can_promise(turn.config.limits.leases) {
            turn.order(Order::Rest { call });
            self.leases.give_back(&seat, self.depth(), turn.now, turn.uplink);
        } else {
            // Its place among the standbys was given away meanwhile.
            turn.bye(call, ByeReason::Normal);
        }
    }

    /// Ends leases.
    pub(super) fn end_leases(&mut self, over: impl Fn(&Lease<P>) -> bool, turn: &mut Turn<'_, P>) {
        let over: Vec<CallId> = self.leases.iter().filter(|l| over(l)).map(|l| l.call).collect();
        for call in over {
            turn.bye(call, ByeReason::Normal);
            self.leases.take(call, turn.uplink);
        }
    }

    /// Nobody backs up whoever stands between it and the source.
    pub(super) fn end_leases_above(&mut self, turn: &mut Turn<'_, P>) {
        let Station::Viewer(w) = &self.station else { return };
        let above: Vec<CallId> =
            self.leases.iter().filter(|l| w.viewer.is_above(l.peer)).map(|l| l.call).collect();
        if !above.is_empty() {
            self.end_leases(|l| above.contains(&l.call), turn);
        }
    }
}
