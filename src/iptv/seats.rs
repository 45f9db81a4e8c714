//! Who is served here: the slots of the uplink, shared by all channels, and the children of one channel (P9).

use super::report::{Child, Provider};
use crate::ids::CallId;
use crate::time::Instant;
use alloc::vec::Vec;

/// The slots of a node. `capacity` children sit in ordinary slots; orphans may sit in the rescue slots on top of them.
#[derive(Debug)]
pub(super) struct Uplink {
    capacity: u16,
    rescue_slots: u8,
    ordinary: u16,
    rescued: u8,
    /// Standbys that wait for a rescue slot.
    pub(super) promised: u16,
}

impl Uplink {
    pub(super) const fn new(capacity: u16, rescue_slots: u8) -> Self {
        Uplink { capacity, rescue_slots, ordinary: 0, rescued: 0, promised: 0 }
    }

    pub(super) const fn capacity(&self) -> u16 {
        self.capacity
    }

    /// Rescue slots, and how many of them are free.
    pub(super) const fn rescue(&self) -> (u8, u8) {
        if self.capacity == 0 {
            return (0, 0);
        }
        (self.rescue_slots, self.rescue_slots.saturating_sub(self.rescued))
    }

    /// Whether one more standby may be promised a rescue slot, when at most `limit` may be.
    pub(super) const fn can_promise(&self, limit: u16) -> bool {
        self.capacity > 0 && self.rescue_slots > 0 && self.promised < limit
    }

    /// Children beyond the new capacity stay until they go by themselves.
    pub(super) const fn resize(&mut self, capacity: u16) {
        self.capacity = capacity;
    }

    /// Free ordinary slots, the only ones that are ever advertised.
    pub(super) const fn free(&self) -> u16 {
        self.capacity.saturating_sub(self.ordinary)
    }

    /// Who has no uplink to give has none to rescue with.
    pub(super) const fn can_rescue(&self) -> bool {
        self.capacity > 0 && self.rescued < self.rescue_slots
    }

    pub(super) const fn is_rescuing(&self) -> bool {
        self.rescued > 0
    }

    fn take(&mut self, rescue: bool) {
        if rescue {
            self.rescued = self.rescued.saturating_add(1);
        } else {
            self.ordinary = self.ordinary.saturating_add(1);
        }
    }

    fn give_back(&mut self, rescue: bool) {
        if rescue {
            self.rescued = self.rescued.saturating_sub(1);
        } else {
            self.ordinary = self.ordinary.saturating_sub(1);
        }
    }
}

/// One child.
#[derive(Debug)]
pub(super) struct Seat<P> {
    pub(super) call: CallId,
    pub(super) peer: P,
    /// What it could serve itself; `None` from a plain SIP agent, of which no reception reports are expected either.
    pub(super) slots: Option<u16>,
    pub(super) rescue: bool,
    /// Its call is a standby, and is one again when the child has enough.
    pub(super) leased: bool,
    pub(super) since: Instant,
    /// When one of its own children came here as an orphan.
    pub(super) suspected: Option<Instant>,
    /// When it was told that somebody else needs its rescue slot.
    pub(super) told_to_move: Option<Instant>,
    /// The lowest number that no other child of the channel had; spreads siblings over backups.
    pub(super) number: u16,
    /// What it was told last about its place in the tree.
    pub(super) told: Option<Place<P>>,
}

/// What a Tree position says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place<P> {
    pub(super) path: Vec<P>,
    pub(super) rescue: bool,
    pub(super) backups: Vec<Provider<P>>,
    /// Whether relayers elect.
    pub(super) delegated: bool,
}

/// The children of one channel, oldest first.
#[derive(Debug)]
pub(super) struct Seats<P> {
    seats: Vec<Seat<P>>,
    /// Grows with every change that a report would show.
    version: u32,
}

impl<P: Copy + Ord> Seats<P> {
    pub(super) const fn new() -> Self {
        Seats { seats: Vec::new(), version: 0 }
    }

    pub(super) const fn version(&self) -> u32 {
        self.version
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    /// Children in ordinary slots.
    pub(super) fn ordinary(&self) -> u16 {
        u16::try_from(self.seats.iter().filter(|s| !s.rescue).count()).unwrap_or(u16::MAX)
    }

    pub(super) fn iter(&self) -> core::slice::Iter<'_, Seat<P>> {
        self.seats.iter()
    }

    pub(super) fn iter_mut(&mut self) -> core::slice::IterMut<'_, Seat<P>> {
        self.seats.iter_mut()
    }

    pub(super) fn by_call(&self, call: CallId) -> Option<&Seat<P>> {
        self.seats.iter().find(|s| s.call == call)
    }

    pub(super) fn by_call_mut(&mut self, call: CallId) -> Option<&mut Seat<P>> {
        self.seats.iter_mut().find(|s| s.call == call)
    }

    pub(super) fn by_peer(&self, peer: P) -> Option<&Seat<P>> {
        self.seats.iter().find(|s| s.peer == peer)
    }

    /// Seats a child. Whether there is a slot is the caller's business.
    pub(super) fn seat(
        &mut self,
        (call, peer): (CallId, P),
        slots: Option<u16>,
        rescue: bool,
        now: Instant,
        uplink: &mut Uplink,
    ) {
        uplink.take(rescue);
        let taken = |n: u16| self.seats.iter().any(|s| s.number == n);
        let number = (0..u16::MAX).find(|&n| !taken(n)).unwrap_or(u16::MAX);
        self.seats.push(Seat {
            call,
            peer,
            slots,
            rescue,
            leased: false,
            since: now,
            suspected: None,
            told_to_move: None,
            number,
            told: None,
        });
        self.version = self.version.wrapping_add(1);
    }

    /// Takes a child out and gives its slot back.
    pub(super) fn unseat(&mut self, call: CallId, uplink: &mut Uplink) -> Option<Seat<P>> {
        let at = self.seats.iter().position(|s| s.call == call)?;
        let seat = self.seats.remove(at);
        uplink.give_back(seat.rescue);
        self.version = self.version.wrapping_add(1);
        Some(seat)
    }

    /// Takes any child out.
    pub(super) fn unseat_last(&mut self, uplink: &mut Uplink) -> Option<Seat<P>> {
        let call = self.seats.last()?.call;
        self.unseat(call, uplink)
    }

    /// When the oldest child of a rescue slot came.
    pub(super) fn oldest_rescued(&self) -> Option<Instant> {
        self.seats.iter().filter(|s| s.rescue).map(|s| s.since).min()
    }

    /// Moves the oldest child of a rescue slot into an ordinary one.
    pub(super) fn promote(&mut self, uplink: &mut Uplink) -> Option<CallId> {
        let seat = self.seats.iter_mut().filter(|s| s.rescue).min_by_key(|s| s.since)?;
        seat.rescue = false;
        uplink.give_back(true);
        uplink.take(false);
        self.version = self.version.wrapping_add(1);
        Some(seat.call)
    }

    /// The children as reports name them.
    pub(super) fn report(&self) -> Vec<Child<P>> {
        let child = |s: &Seat<P>| Child { peer: s.peer, slots: s.slots, rescue: s.rescue };
        self.seats.iter().map(child).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(n: u32) -> CallId {
        CallId::received(n)
    }

    #[test]
    fn a_freed_ordinary_slot_goes_to_the_oldest_rescued_child() {
        let (mut up, mut seats) = (Uplink::new(1, 2), Seats::new());
        seats.seat((call(0), 'a'), Some(2), false, Instant::ZERO, &mut up);
        seats.seat((call(1), 'b'), Some(2), true, Instant::from_millis(2), &mut up);
        seats.seat((call(2), 'c'), Some(2), true, Instant::from_millis(1), &mut up);
        assert_eq!((up.free(), up.can_rescue()), (0, false));
        seats.unseat(call(0), &mut up);
        assert_eq!(up.free(), 1);
        assert_eq!(seats.promote(&mut up), Some(call(2)));
        assert_eq!((up.free(), up.can_rescue()), (0, true));
    }

    #[test]
    fn the_number_of_a_child_that_left_is_used_again() {
        let (mut up, mut seats) = (Uplink::new(9, 0), Seats::new());
        for n in 0..3 {
            seats.seat((call(n), n), None, false, Instant::ZERO, &mut up);
        }
        seats.unseat(call(1), &mut up);
        seats.seat((call(7), 7), None, false, Instant::ZERO, &mut up);
        assert_eq!(seats.by_peer(7).map(|s| s.number), Some(1));
    }
}
