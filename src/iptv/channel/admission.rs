//! Who is served here: callers, freed slots, and children that go (P9, P14, Q1).

use super::{Channel, Config, Station};
use crate::ids::CallId;
use crate::iptv::fact::ByeReason;
use crate::iptv::order::{Denial, Event, Order};
use crate::iptv::promotion::Promotion;
use crate::iptv::report::{Provider, Report};
use crate::iptv::seats::{Seat, Uplink};
use crate::iptv::table::Standing;
use crate::iptv::turn::Turn;
use crate::iptv::waiting::Caller;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::vec::Vec;

impl<P: Copy + Ord> Channel<P> {
    /// Whether ordinary slots are given here: the publisher's are, and an elected relayer's while it is fed.
    pub(in crate::iptv) fn serves(&self, turn: &Turn<'_, P>) -> bool {
        match &self.station {
            Station::Publisher { .. } => true,
            Station::Viewer(w) => w.duty.is_some() && w.viewer.is_fed(turn),
        }
    }

    pub(in crate::iptv) fn on_invited(
        &mut self,
        caller: (CallId, P),
        (urgent, moves): (bool, bool),
        slots: Option<u16>,
        turn: &mut Turn<'_, P>,
    ) {
        if !urgent {
            // A promise that was not taken may have passed just now: it goes to who waits, not to who comes.
            self.serve_waiting(turn);
        }
        self.admit(caller, (urgent, moves), slots, turn);
    }

    fn admit(
        &mut self,
        (call, peer): (CallId, P),
        (urgent, moves): (bool, bool),
        slots: Option<u16>,
        turn: &mut Turn<'_, P>,
    ) {
        if urgent {
            self.give_way_to(peer, turn);
        }
        if let Some(denial) = self.denial(peer, urgent, turn) {
            return turn.order(Order::Refuse { call, denial });
        }
        if !turn.config.is_paper() {
            self.suspect_parent_of(peer, turn);
        }
        let serves = self.serves(turn);
        let old = self.seats.by_peer(peer).map(|s| (s.call, s.rescue));
        if let Some((old, rescue)) = old.filter(|&(old, _)| moves && self.hears(old, turn)) {
            let ordinary = !rescue || serves && turn.uplink.free() > 0;
            if ordinary || self.swaps(old, slots, turn) || self.weighs(peer, turn) {
                let retry_after = turn.config.busy_retry_after;
                return turn.order(Order::Refuse { call, denial: Denial::Busy { retry_after } });
            }
            return self.send_on((call, peer), (urgent, moves), slots, turn);
        }
        let ordinary = serves && (turn.uplink.free() > 0 || old.is_some_and(|o| !o.1));
        let rescue = urgent && (turn.uplink.can_rescue() || old.is_some_and(|o| o.1));
        let leech = (!ordinary && !rescue && serves && !urgent)
            .then(|| self.leech(slots, turn.uplink, turn.config))
            .flatten();
        if !ordinary && !rescue && leech.is_none() {
            return self.send_on((call, peer), (urgent, moves), slots, turn);
        }
        if let Some((old, _)) = old {
            // The same peer calls again: it has lost the dialog that we know.
            turn.bye(old, ByeReason::Normal);
            self.unseat(old, turn);
        }
        let rescue = !ordinary;
        self.seats.seat((call, peer), slots, rescue, turn.now, turn.uplink);
        self.promotion =
            leech.map(|leech| Box::new(Promotion::new(leech, call, turn))).or(self.promotion.take());
        let (depth, free) = (self.depth(), turn.uplink.free());
        turn.order(Order::Accept { call, depth, rescue, free });
        if let Some(election) = self.station.election_mut() {
            election.table.seat(peer, call, slots, turn.now);
        }
        turn.event(Event::ChildJoined { channel: self.id, child: peer });
        self.tell_places(Some(call), turn);
    }

    /// Whether a child's reports come in, so that its call is no relic if it has media. It keeps the call then, whatever it asks for
    /// in another one: a second would end the first, and who learns that it has lost its parent gives up what that parent has just
    /// promised it. Reports may still be fresh of a child that has begun anew meanwhile; but that one has no media.
    fn hears(&self, call: CallId, turn: &Turn<'_, P>) -> bool {
        let last = turn.progress.last_report(call);
        !turn.config.is_paper() && last.is_some_and(|t| turn.now.since(t) < turn.config.suspect_silence)
    }

    /// The youngest child that cannot relay, if its slot is worth more to a caller who can: that one waits in the rescue
    /// slot meanwhile.
    fn leech(&self, slots: Option<u16>, uplink: &Uplink, config: &Config) -> Option<CallId> {
        let may = slots.is_some_and(|n| n > 0) && self.promotion.is_none() && uplink.can_rescue();
        let leeches = self.seats.iter().filter(|s| s.slots == Some(0) && !s.rescue);
        leeches.last().filter(|_| may && !config.is_paper()).map(|s| s.call)
    }

    /// A child in a rescue slot asks for an ordinary one and can relay. Whether another one that cannot goes.
    fn swaps(&mut self, child: CallId, slots: Option<u16>, turn: &Turn<'_, P>) -> bool {
        let Some(leech) = self.leech(slots, turn.uplink, turn.config) else { return false };
        self.promotion = Some(Box::new(Promotion::new(leech, child, turn)));
        true
    }

    /// An orphan in the rescue slot asks for an ordinary one and has a subtree: where relayers elect, the child with the
    /// smallest subtree goes down. Whether somebody does.
    fn weighs(&mut self, orphan: P, turn: &Turn<'_, P>) -> bool {
        if self.promotion.is_some() || self.farewell.is_some() {
            return false;
        }
        let Some(election) = self.station.election().filter(|e| e.delegated) else { return false };
        let weight = |s: &Seat<P>| election.table.weight(s.peer);
        let Some(orphan) = self.seats.by_peer(orphan).filter(|s| weight(s) > 0) else { return false };
        let others = self.seats.iter().filter(|s| !s.rescue && s.slots.is_some());
        let lightest = others.min_by_key(|s| weight(s)).filter(|s| weight(s) < weight(orphan));
        let leech = lightest.unwrap_or(orphan).call;
        self.promotion = Some(Box::new(Promotion::new(leech, orphan.call, turn)));
        true
    }

    /// Where the subtree of a child may hang one layer deeper: below its siblings that relay, the lightest first.
    fn siblings(&self, child: P) -> Vec<Provider<P>> {
        let Some(election) = self.station.election().filter(|e| e.delegated) else { return Vec::new() };
        if election.table.weight(child) == 0 {
            return Vec::new();
        }
        let relays = |s: &&Seat<P>| matches!(election.table.standing(s.peer), Some(Standing::Relayer { .. }));
        let mut siblings: Vec<P> =
            self.seats.iter().filter(|s| s.peer != child).filter(relays).map(|s| s.peer).collect();
        siblings.sort_by_key(|&p| election.table.weight(p));
        let depth = Some(self.depth().saturating_add(1));
        siblings.into_iter().map(|peer| Provider { peer, depth, free: None }).collect()
    }

    /// Asks the child to yield, again and again while there is need and hope.
    pub(super) fn promote_when_due(&mut self, turn: &mut Turn<'_, P>) {
        let Some(promotion) = self.promotion.as_mut().filter(|p| p.due <= turn.now) else { return };
        let same = promotion.leech == promotion.newcomer;
        let leech =
            self.seats.by_call(promotion.leech).filter(|s| !s.rescue || same).map(|s| (s.call, s.peer));
        let waits = self.seats.by_call(promotion.newcomer).is_some_and(|s| s.rescue);
        let (Some((call, peer)), true, true) = (leech, waits, promotion.go_on(turn)) else {
            self.promotion = None;
            return;
        };
        let siblings = self.siblings(peer);
        let to = match self.station.election_mut() {
            Some(election) => {
                let most = usize::from(turn.config.limits.backups);
                let to: Vec<Provider<P>> =
                    siblings.into_iter().chain(election.elsewhere(peer, turn)).take(most).collect();
                if to.is_empty() {
                    // Till a relayer is ready.
                    return;
                }
                to
            }
            // The source knows who has a slot.
            None => Vec::new(),
        };
        turn.inform(call, Report::Yield { to });
    }

    /// Who has lost its parent asks this node, which asks it for nothing but a better place and gives that up: they would refuse
    /// each other.
    pub(super) fn give_way_to(&mut self, orphan: P, turn: &mut Turn<'_, P>) {
        if let Station::Viewer(w) = &mut self.station {
            w.viewer.give_way_to(orphan, &self.seats, turn);
        }
    }

    /// Why a caller is refused whatever the room.
    pub(super) fn denial(&self, peer: P, urgent: bool, turn: &Turn<'_, P>) -> Option<Denial> {
        if peer == turn.me {
            return Some(Denial::Loop);
        }
        let Station::Viewer(w) = &self.station else { return None };
        // Two who ask each other in the same moment would feed each other.
        let crosses = w.viewer.asks(peer) && !turn.config.is_paper();
        if w.viewer.is_above(peer) || crosses {
            return Some(Denial::Loop);
        }
        if self.farewell.is_some() {
            return Some(Denial::Busy { retry_after: turn.config.busy_retry_after });
        }
        if w.duty.is_none() && (turn.config.is_paper() || !urgent) {
            return Some(Denial::NotFound);
        }
        let unfit = !w.viewer.is_fed(turn) || self.depth() >= turn.config.limits.depth;
        unfit.then_some(Denial::Busy { retry_after: turn.config.busy_retry_after })
    }

    /// There is no room: the caller is sent to somebody who has, or waits, or is told to come again (Q1).
    pub(super) fn send_on(
        &mut self,
        (call, peer): (CallId, P),
        (urgent, moves): (bool, bool),
        slots: Option<u16>,
        turn: &mut Turn<'_, P>,
    ) {
        let below = self.station.election_mut().filter(|_| !turn.config.is_paper());
        let mut providers = below.map(|e| e.redirect(peer, urgent, turn)).unwrap_or_default();
        // An orphan has better addresses than those above; a newcomer does not.
        if let Station::Viewer(w) = &self.station
            && providers.is_empty()
            && !urgent
            && !turn.config.is_paper()
        {
            providers = w.viewer.upwards(turn).filter(|p| p.peer != peer).collect();
        }
        let waits = providers.is_empty() && !urgent && !moves && self.may_wait(peer, turn.config);
        if let Some(election) = self.station.election_mut().filter(|_| waits)
            && election.waiting.len() < usize::from(turn.config.limits.waiting)
        {
            let until = turn.now + turn.config.queue_limit;
            election.waiting.push(Caller { call, peer, slots, until, told: false });
        } else {
            turn.order(answer(call, providers, turn.config));
        }
    }

    /// Whether a newcomer may wait for the next relayer, if there is a place: one that the source does not know, and hence is served
    /// nowhere yet.
    fn may_wait(&self, peer: P, config: &Config) -> bool {
        let Station::Publisher { election, .. } = &self.station else { return false };
        !config.is_paper() && !election.waiting.contains(peer) && !election.table.contains(peer)
    }

    /// Whether a newcomer that brings so many slots finds none here, and may wait if there is a place.
    pub(in crate::iptv) fn would_wait(
        &self,
        peer: P,
        slots: Option<u16>,
        uplink: &Uplink,
        config: &Config,
    ) -> bool {
        let room = uplink.free() > 0 || self.leech(slots, uplink, config).is_some();
        !room && self.may_wait(peer, config)
    }

    pub(in crate::iptv) fn waiting(&self) -> impl Iterator<Item = CallId> + '_ {
        self.station.election().into_iter().flat_map(|election| election.waiting.calls())
    }

    /// Those that wait get the slots that there are by now, in the order in which they came. Who has waited for too long is
    /// refused, and so are all if nobody is about to relay.
    pub(super) fn serve_waiting(&mut self, turn: &mut Turn<'_, P>) {
        self.swap_in(turn);
        while let Station::Publisher { election, .. } = &mut self.station
            && let Some(Caller { call, peer, slots, until, .. }) = election.waiting.first()
        {
            let hopes = election.hopes() && turn.now < until;
            let room = turn.uplink.free() > 0;
            let providers = if room { Vec::new() } else { election.room(peer, turn) };
            if hopes && !room && providers.is_empty() {
                return election.waiting.tell(turn);
            }
            election.waiting.take(call);
            if room {
                self.admit((call, peer), (false, false), slots, turn);
            } else {
                turn.order(answer(call, providers, turn.config));
            }
        }
    }

    /// The first of those that wait who can relay takes the slot of a child that cannot, as a newcomer would.
    fn swap_in(&mut self, turn: &mut Turn<'_, P>) {
        let Some(election) = self.station.election().filter(|_| turn.uplink.free() == 0) else { return };
        let relays = |c: &Caller<P>| c.slots.is_some_and(|n| n > 0);
        let Some(Caller { call, peer, slots, .. }) = election.waiting.first_that(relays) else { return };
        if self.leech(slots, turn.uplink, turn.config).is_none() {
            return;
        }
        if let Some(election) = self.station.election_mut() {
            election.waiting.take(call);
        }
        self.admit((call, peer), (false, false), slots, turn);
    }

    /// A freed ordinary slot goes to the orphan that has waited longest.
    pub(in crate::iptv) fn promote(&mut self, turn: &mut Turn<'_, P>) {
        if let Some(call) = self.seats.promote(turn.uplink) {
            self.tell_places(Some(call), turn);
        }
    }

    /// When the oldest child of a rescue slot came.
    pub(in crate::iptv) fn oldest_rescued(&self) -> Option<Instant> {
        self.seats.oldest_rescued()
    }

    /// Takes a child out whose dialog is over.
    pub(super) fn unseat(&mut self, call: CallId, turn: &mut Turn<'_, P>) -> Option<Seat<P>> {
        let seat = self.seats.unseat(call, turn.uplink)?;
        if let Some(election) = self.station.election_mut() {
            election.table.unseat(seat.peer, call, turn.now);
            election.on_unseated(seat.peer, turn);
        }
        turn.event(Event::ChildLeft { channel: self.id, child: seat.peer });
        Some(seat)
    }
}

/// What a caller without a slot is answered.
fn answer<P>(call: CallId, providers: Vec<Provider<P>>, config: &Config) -> Order<P> {
    if providers.is_empty() {
        // The caller adds the jitter: on its way this becomes whole seconds, rounded up.
        Order::Refuse { call, denial: Denial::Busy { retry_after: config.busy_retry_after } }
    } else {
        Order::Redirect { call, providers }
    }
}
