//! One channel at one node: its children, and either the publisher's office or the viewer's parent.

use super::backups::{Standpoint, place};
use super::config::LEAST;
use super::counters::count;
use super::cover;
use super::duty::{Duty, Views};
use super::election::Election;
use super::fact::{ByeReason, Hold, Refusal};
use super::leases::{Lease, Leases};
use super::order::{Denial, EndReason, Event, Order, Role};
use super::promotion::Promotion;
use super::record::Record;
use super::report::{Provider, Report};
use super::seats::{Place, Seat, Seats};
use super::succession::Succession;
use super::turn::Turn;
use super::viewer::{News, Viewer};
use super::{ChannelStatus, Config, Mode, TableRow};
use crate::ids::{CallId, ChannelId};
use crate::time::{Duration, Instant, earliest};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// What this node is to the channel.
#[derive(Debug)]
enum Station<P> {
    Publisher { election: Box<Election<P>>, record: Record },
    Viewer(Box<Watching<P>>),
}

/// A viewer, with what it may be beyond that.
#[derive(Debug)]
struct Watching<P> {
    viewer: Viewer<P>,
    duty: Option<Box<Duty<P>>>,
    /// Where relayers elect: the office of an elector, which goes with that of a relayer.
    election: Option<Box<Election<P>>>,
    /// A control dialog in which no offer was accepted yet.
    control: Option<(CallId, P)>,
    /// A standby source's look at its source.
    succession: Option<Box<Succession<P>>>,
}

#[derive(Debug)]
pub(super) struct Channel<P> {
    id: ChannelId,
    seats: Seats<P>,
    leases: Leases<P>,
    station: Station<P>,
    /// The children that positions were last derived from.
    placed: u32,
    place_at: Option<Instant>,
    placed_at: Instant,
    hold_at: Option<Instant>,
    sweep_at: Option<Instant>,
    /// The children that the next sweep was planned for.
    swept: u32,
    /// This node leaves as soon as its children have other parents, and then at the latest.
    farewell: Option<Instant>,
    promotion: Option<Box<Promotion>>,
    over: Option<EndReason>,
}

impl<P> Station<P> {
    fn election(&self) -> Option<&Election<P>> {
        match self {
            Station::Publisher { election, .. } => Some(election),
            Station::Viewer(w) => w.election.as_deref(),
        }
    }

    fn election_mut(&mut self) -> Option<&mut Election<P>> {
        match self {
            Station::Publisher { election, .. } => Some(election),
            Station::Viewer(w) => w.election.as_deref_mut(),
        }
    }
}

impl<P: Copy + Ord> Channel<P> {
    pub(super) fn publish(id: ChannelId, turn: &mut Turn<'_, P>) -> Self {
        let election = Box::new(Election::of_publisher(id, turn.me, turn.config));
        let record = Record::store(id, (Role::Source, true), 0, turn);
        Channel::new(id, Station::Publisher { election, record }, turn.now)
    }

    pub(super) fn tune(id: ChannelId, turn: &mut Turn<'_, P>) -> Self {
        Channel::watch(id, None, turn)
    }

    /// Watches until the source is gone.
    pub(super) fn stand_by(id: ChannelId, turn: &mut Turn<'_, P>) -> Self {
        let succession = Some(Box::new(Succession::new(turn)));
        Channel::watch(id, succession, turn)
    }

    fn watch(id: ChannelId, succession: Option<Box<Succession<P>>>, turn: &mut Turn<'_, P>) -> Self {
        let viewer = Viewer::new(id, turn.config.mode == Mode::Delegated);
        let watching = Watching { viewer, duty: None, election: None, control: None, succession };
        let mut channel = Channel::new(id, Station::Viewer(Box::new(watching)), turn.now);
        if let Station::Viewer(w) = &mut channel.station {
            w.viewer.tune(&channel.seats, turn);
        }
        channel
    }

    /// Becomes the source: the children stay, everything that led to the one before ends.
    fn take_over(&mut self, turn: &mut Turn<'_, P>) {
        let Station::Viewer(w) = &mut self.station else { return };
        let delegated = w.viewer.is_delegated();
        w.viewer.stop(turn);
        if let Some(duty) = w.duty.take() {
            duty.hand_over(turn);
        }
        w.settle_office(self.id, &self.seats, turn);
        if let Some((call, _)) = w.control.take() {
            turn.bye(call, ByeReason::Normal);
        }
        turn.order(Order::TakeOver { channel: self.id });
        turn.event(Event::TookOver { channel: self.id });
        let heir = Channel::publish(self.id, turn);
        let Station::Publisher { election, record } = heir.station else { return };
        let mut election = Box::new(election.inherited(delegated));
        for seat in self.seats.iter() {
            if seat.leased {
                election.table.cover(seat.peer, seat.call, seat.slots, turn.now);
            } else {
                election.table.seat(seat.peer, seat.call, seat.slots, turn.now);
            }
        }
        self.station = Station::Publisher { election, record };
        self.place_at = Some(turn.now);
    }

    /// Somebody else is the channel's source by now, and its records count more.
    pub(super) fn on_superseded(&mut self, turn: &mut Turn<'_, P>) {
        if self.is_publisher() {
            self.close(ByeReason::Leaving, EndReason::Superseded, turn);
        }
    }

    fn new(id: ChannelId, station: Station<P>, now: Instant) -> Self {
        Channel {
            id,
            seats: Seats::new(),
            leases: Leases::new(),
            station,
            placed: 0,
            place_at: None,
            placed_at: now,
            hold_at: None,
            sweep_at: None,
            swept: 0,
            farewell: None,
            promotion: None,
            over: None,
        }
    }

    pub(super) const fn id(&self) -> ChannelId {
        self.id
    }

    pub(super) const fn is_publisher(&self) -> bool {
        matches!(self.station, Station::Publisher { .. })
    }

    /// Whether it has come to its end and may be forgotten.
    pub(super) const fn is_over(&self) -> bool {
        self.over.is_some()
    }

    pub(super) fn deadline(&self, config: &Config) -> Option<Instant> {
        let station = match &self.station {
            Station::Publisher { record, .. } => record.deadline(),
            Station::Viewer(w) => {
                let succession = w.succession.as_ref().map(|s| s.deadline());
                let duty = w.duty.as_ref().and_then(|d| d.deadline());
                earliest(earliest(w.viewer.deadline(config), duty), succession)
            }
        };
        let station = earliest(station, self.station.election().and_then(Election::deadline));
        let promotion = self.promotion.as_ref().map(|p| p.due);
        let children = earliest(earliest(self.hold_at, self.sweep_at), earliest(self.farewell, promotion));
        earliest(station, earliest(children, self.place_at))
    }

    pub(super) fn owns(&self, call: CallId) -> bool {
        self.seats.by_call(call).is_some()
            || self.leases.by_call(call).is_some()
            || match &self.station {
                Station::Publisher { election, .. } => election.owns(call),
                Station::Viewer(w) => {
                    w.viewer.owns(call)
                        || w.control.is_some_and(|c| c.0 == call)
                        || w.duty.as_ref().is_some_and(|d| d.owns(call))
                        || w.succession.as_ref().is_some_and(|s| s.owns(call))
                }
            }
    }

    /// Whether a peer may be called, or named to others, sooner or later.
    pub(super) fn counts_on(&self, peer: P) -> bool {
        self.seats.by_peer(peer).is_some()
            || self.leases.by_peer(peer).is_some()
            || self.station.election().is_some_and(|e| e.table.knows(peer))
            || match &self.station {
                Station::Publisher { .. } => false,
                Station::Viewer(w) => w.viewer.counts_on(peer),
            }
    }

    /// This node's own hops from the source.
    fn depth(&self) -> u8 {
        match &self.station {
            Station::Publisher { .. } => 0,
            Station::Viewer(w) => w.viewer.depth().unwrap_or(u8::MAX),
        }
    }

    pub(super) fn table(&self, me: P) -> Vec<TableRow<P>> {
        match &self.station {
            Station::Publisher { election, .. } => election.table.rows(),
            Station::Viewer(w) => {
                let depth = w.viewer.depth().map(|d| d.saturating_add(1));
                let row = |peer| TableRow { depth, peer, parent: Some(me), relayer: false };
                self.seats.iter().map(|s| row(s.peer)).collect()
            }
        }
    }

    pub(super) fn status(&self) -> ChannelStatus<P> {
        let rescued = self.seats.iter().filter(|s| s.rescue).count();
        let children = (self.seats.len().saturating_sub(rescued), rescued);
        match &self.station {
            Station::Publisher { .. } => ChannelStatus {
                publisher: true,
                depth: Some(0),
                path: Vec::new(),
                parent: None,
                rescue: false,
                playing: true,
                relayer: false,
                cover: None,
                standbys: 0,
                children,
            },
            Station::Viewer(w) => {
                let parent = w.viewer.parent();
                ChannelStatus {
                    publisher: false,
                    depth: w.viewer.depth(),
                    path: w.viewer.path(),
                    parent: parent.map(|p| p.peer),
                    rescue: parent.is_some_and(|p| p.rescue),
                    playing: parent.is_some_and(|p| p.is_playing()),
                    relayer: w.duty.is_some(),
                    cover: w.viewer.covering().filter(|l| l.playing).map(|l| l.peer),
                    standbys: w.viewer.standbys.answered(),
                    children,
                }
            }
        }
    }

    /// Standbys that others promised.
    pub(super) fn standbys(&self) -> u16 {
        match &self.station {
            Station::Publisher { .. } => 0,
            Station::Viewer(w) => u16::try_from(w.viewer.standbys.answered()).unwrap_or(u16::MAX),
        }
    }

    // ---- the end

    /// Begins to leave while somebody lives from this node. False when nobody has to be waited for.
    pub(super) fn say_farewell(&mut self, turn: &mut Turn<'_, P>) -> bool {
        let Station::Viewer(w) = &mut self.station else { return false };
        let waits = self.farewell.is_none() && self.seats.iter().any(|s| s.slots.is_some());
        if turn.config.is_paper() || !waits || !w.viewer.is_fed(turn) {
            return false;
        }
        self.farewell = Some(turn.now + turn.config.farewell);
        if let Some(duty) = w.duty.take() {
            duty.resign(true, turn);
        }
        w.settle_office(self.id, &self.seats, turn);
        if let Some((call, _)) = w.control.take() {
            turn.bye(call, ByeReason::Normal);
        }
        // Nor does it succeed anybody.
        if let Some(mut succession) = w.succession.take() {
            succession.stop(turn);
        }
        w.viewer.stand_still(turn);
        for seat in self.seats.iter() {
            turn.inform(seat.call, Report::Leaving);
        }
        self.end_leases(|_| true, turn);
        true
    }

    /// Leaves the channel: children are told `to_children`, everybody else just goodbye.
    pub(super) fn close(&mut self, to_children: ByeReason, why: EndReason, turn: &mut Turn<'_, P>) {
        while let Some(seat) = self.seats.unseat_last(turn.uplink) {
            turn.bye(seat.call, to_children);
        }
        self.end_leases(|_| true, turn);
        match &mut self.station {
            Station::Publisher { election, .. } => {
                election.stop(to_children, turn);
                turn.order(Order::Unregister { channel: self.id });
            }
            Station::Viewer(w) => {
                w.viewer.stop(turn);
                if let Some(duty) = w.duty.take() {
                    duty.resign(false, turn);
                }
                w.settle_office(self.id, &self.seats, turn);
                if let Some((call, _)) = w.control.take() {
                    turn.bye(call, ByeReason::Normal);
                }
                if let Some(mut succession) = w.succession.take() {
                    succession.stop(turn);
                }
            }
        }
        turn.event(Event::Ended { channel: self.id, reason: why });
        self.over = Some(why);
    }

    // ---- admission

    /// Whether ordinary slots are given here: the publisher's are, and an elected relayer's while it is fed.
    pub(super) fn serves(&self, turn: &Turn<'_, P>) -> bool {
        match &self.station {
            Station::Publisher { .. } => true,
            Station::Viewer(w) => w.duty.is_some() && w.viewer.is_fed(turn),
        }
    }

    pub(super) fn on_invited(
        &mut self,
        (call, peer): (CallId, P),
        urgent: bool,
        slots: Option<u16>,
        turn: &mut Turn<'_, P>,
    ) {
        if let Some(denial) = self.denial(peer, urgent, turn) {
            return turn.order(Order::Refuse { call, denial });
        }
        if !turn.config.is_paper() {
            self.suspect_parent_of(peer, turn);
        }
        let serves = self.serves(turn);
        let old = self.seats.by_peer(peer).map(|s| (s.call, s.rescue));
        let ordinary = serves && (turn.uplink.free() > 0 || old.is_some_and(|o| !o.1));
        let rescue = urgent && (turn.uplink.can_rescue() || old.is_some_and(|o| o.1));
        let leech = (!ordinary && !rescue && serves && !urgent).then(|| self.leech(slots, turn)).flatten();
        if !ordinary && !rescue && leech.is_none() {
            return self.send_on(call, peer, urgent, turn);
        }
        if let Some((old, _)) = old {
            // The same peer calls again: it has lost the dialog that we know.
            turn.bye(old, ByeReason::Normal);
            self.unseat(old, turn);
        }
        let rescue = !(serves && turn.uplink.free() > 0);
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

    /// The youngest child that cannot relay, if its slot is worth more to a caller who can: that one waits in the rescue
    /// slot meanwhile.
    fn leech(&self, slots: Option<u16>, turn: &Turn<'_, P>) -> Option<CallId> {
        let may = slots.is_some_and(|n| n > 0) && self.promotion.is_none() && turn.uplink.can_rescue();
        let leeches = self.seats.iter().filter(|s| s.slots == Some(0) && !s.rescue);
        leeches.last().filter(|_| may && !turn.config.is_paper()).map(|s| s.call)
    }

    /// Asks the child to yield, again and again while there is need and hope.
    fn promote_when_due(&mut self, turn: &mut Turn<'_, P>) {
        let Some(promotion) = self.promotion.as_mut().filter(|p| p.due <= turn.now) else { return };
        let leech = self.seats.by_call(promotion.leech).filter(|s| !s.rescue).map(|s| (s.call, s.peer));
        let waits = self.seats.by_call(promotion.newcomer).is_some_and(|s| s.rescue);
        let (Some((call, peer)), true, true) = (leech, waits, promotion.go_on(turn)) else {
            self.promotion = None;
            return;
        };
        let to = match self.station.election_mut() {
            Some(election) => {
                let to = election.elsewhere(peer, turn);
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

    /// Why a caller is refused whatever the room.
    fn denial(&self, peer: P, urgent: bool, turn: &Turn<'_, P>) -> Option<Denial> {
        if peer == turn.me {
            return Some(Denial::Loop);
        }
        let Station::Viewer(w) = &self.station else { return None };
        if w.viewer.is_above(peer) {
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

    /// There is no room: the caller is sent to somebody who has, or told to wait (Q1).
    fn send_on(&mut self, call: CallId, peer: P, urgent: bool, turn: &mut Turn<'_, P>) {
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
        if providers.is_empty() {
            // The caller adds the jitter: on its way this becomes whole seconds, rounded up.
            let retry_after = turn.config.busy_retry_after;
            turn.order(Order::Refuse { call, denial: Denial::Busy { retry_after } });
        } else {
            turn.order(Order::Redirect { call, providers });
        }
    }

    // ---- standbys of others

    pub(super) fn leases(&self) -> impl Iterator<Item = CallId> + '_ {
        self.leases.iter().map(|l| l.call)
    }

    /// Somebody wants this node as a backup parent (Q12).
    pub(super) fn on_standby_invited(
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
        self.leases.grant(Lease { call, peer, slots, since: turn.now }, turn.uplink);
        let (depth, free) = (self.depth(), turn.uplink.free());
        turn.order(Order::Accept { call, depth, rescue: false, free });
    }

    fn lease_denial(&self, peer: P, turn: &Turn<'_, P>) -> Option<Denial> {
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

    /// The child of a standby asks for media: first come, first served.
    pub(super) fn on_resumed(&mut self, call: CallId, turn: &mut Turn<'_, P>) {
        if self.seats.by_call(call).is_some() {
            // It has not seen any yet.
            return turn.order(Order::Serve { call });
        }
        let Some(&Lease { peer, slots, .. }) = self.leases.by_call(call) else { return };
        let barred = self.bars(peer, turn);
        if !barred {
            self.suspect_parent_of(peer, turn);
        }
        let ordinary = self.serves(turn) && turn.uplink.free() > 0;
        if barred || !ordinary && !turn.uplink.can_rescue() {
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
    fn bars(&self, peer: P, turn: &Turn<'_, P>) -> bool {
        self.denial(peer, true, turn).is_some() || self.seats.by_peer(peer).is_some()
    }

    /// Whether this call, whose child asks for media, is denied only because every slot is taken.
    pub(super) fn lacks_a_slot(&self, call: CallId, turn: &Turn<'_, P>) -> bool {
        let waits = self.leases.by_call(call).is_some_and(|lease| !self.bars(lease.peer, turn));
        waits && !turn.uplink.can_rescue() && !(self.serves(turn) && turn.uplink.free() > 0)
    }

    /// Somebody else needs the rescue slot in which a child has sat longest. At the end of its tenure it is told to move, and
    /// put out when the slot is needed again and it has not.
    pub(super) fn end_tenure(&mut self, turn: &mut Turn<'_, P>) {
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
    pub(super) fn on_released(&mut self, call: CallId, turn: &mut Turn<'_, P>) {
        if self.seats.by_call(call).is_none_or(|s| !s.leased) {
            return;
        }
        let Some(seat) = self.unseat(call, turn) else { return };
        if turn.uplink.can_promise(turn.config.limits.leases) {
            turn.order(Order::Rest { call });
            self.leases.give_back(&seat, turn.now, turn.uplink);
        } else {
            // Its place among the standbys was given away meanwhile.
            turn.bye(call, ByeReason::Normal);
        }
    }

    /// Ends leases.
    fn end_leases(&mut self, over: impl Fn(&Lease<P>) -> bool, turn: &mut Turn<'_, P>) {
        let over: Vec<CallId> = self.leases.iter().filter(|l| over(l)).map(|l| l.call).collect();
        for call in over {
            turn.bye(call, ByeReason::Normal);
            self.leases.take(call, turn.uplink);
        }
    }

    /// Nobody backs up whoever stands between it and the source.
    fn end_leases_above(&mut self, turn: &mut Turn<'_, P>) {
        let Station::Viewer(w) = &self.station else { return };
        let above: Vec<CallId> =
            self.leases.iter().filter(|l| w.viewer.is_above(l.peer)).map(|l| l.call).collect();
        if !above.is_empty() {
            self.end_leases(|l| above.contains(&l.call), turn);
        }
    }

    // ---- control dialogs

    pub(super) fn on_control_invited(&mut self, call: CallId, peer: P, turn: &mut Turn<'_, P>) {
        let admitted = match &mut self.station {
            Station::Publisher { election, .. } => election.admits_control(peer, turn),
            Station::Viewer(w) => match &w.duty {
                Some(duty) => duty.elector() == peer,
                None => w.viewer.source().is_none_or(|s| s == peer),
            },
        };
        if !admitted || peer == turn.me {
            return turn.order(Order::Refuse { call, denial: Denial::ControlUnwanted });
        }
        let (depth, free) = (self.depth(), turn.uplink.free());
        turn.order(Order::Accept { call, depth, rescue: false, free });
        match &mut self.station {
            Station::Publisher { election, .. } => election.on_control(call, peer, turn),
            Station::Viewer(w) => match &mut w.duty {
                Some(duty) => duty.renew(call, turn),
                None => {
                    if let Some((old, _)) = w.control.replace((call, peer)) {
                        turn.bye(old, ByeReason::Normal);
                    }
                }
            },
        }
    }

    /// A freed ordinary slot goes to the orphan that has waited longest.
    pub(super) fn promote(&mut self, turn: &mut Turn<'_, P>) {
        if let Some(call) = self.seats.promote(turn.uplink) {
            self.tell_places(Some(call), turn);
        }
    }

    /// When the oldest child of a rescue slot came.
    pub(super) fn oldest_rescued(&self) -> Option<Instant> {
        self.seats.oldest_rescued()
    }

    /// Takes a child out whose dialog is over.
    fn unseat(&mut self, call: CallId, turn: &mut Turn<'_, P>) -> Option<Seat<P>> {
        let seat = self.seats.unseat(call, turn.uplink)?;
        if let Some(election) = self.station.election_mut() {
            election.table.unseat(seat.peer, call, turn.now);
            election.on_unseated(seat.peer, turn);
        }
        turn.event(Event::ChildLeft { channel: self.id, child: seat.peer });
        Some(seat)
    }

    // ---- facts

    /// The lookup found these; `all` whether the source would be among them.
    pub(super) fn on_fetched(&mut self, providers: Vec<Provider<P>>, all: bool, turn: &mut Turn<'_, P>) {
        if let Station::Viewer(w) = &mut self.station {
            w.viewer.on_fetched((providers, all), &self.seats, turn);
        }
    }

    pub(super) fn on_registered(&mut self, ok: bool, turn: &mut Turn<'_, P>) {
        let channel = self.id;
        match (&self.station, ok) {
            (Station::Publisher { .. }, true) => turn.event(Event::Published { channel }),
            (Station::Publisher { .. }, false) => turn.event(Event::PublishFailed { channel }),
            (Station::Viewer(w), true) if w.duty.is_some() => turn.event(Event::Registered { channel }),
            (Station::Viewer(_), _) => {}
        }
    }

    pub(super) fn on_answered(
        &mut self,
        call: CallId,
        depth: Option<u8>,
        rescue: bool,
        turn: &mut Turn<'_, P>,
    ) {
        match &mut self.station {
            Station::Publisher { election, .. } => election.on_answered(call, turn),
            Station::Viewer(w) => match (&mut w.duty, &mut w.succession) {
                (Some(duty), _) if duty.owns(call) => duty.on_answered(call, turn),
                (_, Some(succession)) if succession.owns(call) => succession.on_answered(call, depth, turn),
                _ => w.viewer.on_answered(call, depth, rescue, turn),
            },
        }
    }

    pub(super) fn on_refused(&mut self, call: CallId, refusal: Refusal<P>, turn: &mut Turn<'_, P>) {
        match &mut self.station {
            Station::Publisher { election, .. } => election.on_refused(call, turn),
            Station::Viewer(w) => match (&mut w.duty, &mut w.succession) {
                (Some(duty), _) if duty.owns(call) => duty.on_broken(call, turn),
                (_, Some(succession)) if succession.owns(call) => succession.on_refused(&refusal, turn),
                _ => w.viewer.on_refused(call, refusal, &self.seats, turn),
            },
        }
    }

    pub(super) fn on_ended(&mut self, call: CallId, reason: ByeReason, turn: &mut Turn<'_, P>) {
        if let Some(peer) = self.seats.by_call(call).map(|s| s.peer) {
            self.unseat(call, turn);
            if let (Some(election), ByeReason::Leaving) = (self.station.election_mut(), reason) {
                election.on_leaving(peer, turn);
            }
            return;
        }
        if self.leases.take(call, turn.uplink).is_some() {
            return;
        }
        match &mut self.station {
            Station::Publisher { election, .. } => {
                let peer = election.control_peer(call);
                election.on_ended(call, reason, turn);
                // A relayer that sits here now speaks in that dialog from here on.
                if let Some(seat) = peer.and_then(|p| self.seats.by_peer(p)) {
                    election.table.set_call(seat.peer, Some(seat.call));
                }
            }
            Station::Viewer(w) if w.viewer.is_parent(call) && reason == ByeReason::EndOfChannel => {
                w.viewer.forget_parent();
                self.close(ByeReason::EndOfChannel, EndReason::EndOfChannel, turn);
            }
            Station::Viewer(w) => {
                w.control.take_if(|c| c.0 == call);
                match w.duty.take_if(|d| d.owns(call)) {
                    // The elector has let this relayer go; its children stay.
                    Some(duty) if reason != ByeReason::Lost => duty.retire(turn),
                    Some(mut duty) => {
                        duty.on_broken(call, turn);
                        w.duty = Some(duty);
                    }
                    None => w.viewer.on_ended(call, &self.seats, turn),
                }
            }
        }
    }

    pub(super) fn on_reported(&mut self, call: CallId, report: Report<P>, turn: &mut Turn<'_, P>) {
        let child = self.seats.by_call(call).map(|s| s.peer);
        match &mut self.station {
            Station::Viewer(w) if child.is_some() => w.on_child_reported(child, report, turn),
            Station::Publisher { election, .. } => {
                match (child.or_else(|| election.control_peer(call)), report) {
                    (Some(peer), Report::Subtree(said)) => election.on_subtree(peer, said, |_| false, turn),
                    (Some(peer), report) => election.on_reported(peer, report, turn),
                    (None, _) => {}
                }
            }
            Station::Viewer(w) => match report {
                Report::TreePosition { path, rescue, backups, delegated, .. } => {
                    let place = Place { path, rescue, backups, delegated };
                    w.viewer.on_place(call, place, &self.seats, turn);
                }
                Report::Yield { to } => w.viewer.on_yield(call, to, &self.seats, turn),
                Report::Leaving => w.viewer.on_leaving(call, &self.seats, turn),
                Report::SelectedRelayer { .. } if self.farewell.is_some() => {
                    turn.inform(call, Report::RelayerDeclined);
                }
                Report::SelectedRelayer { register } => {
                    w.on_selected(self.id, (call, register), &self.seats, turn);
                }
                _ => {}
            },
        }
    }

    pub(super) fn on_report_failed(&mut self, call: CallId, turn: &mut Turn<'_, P>) {
        if let Some(seat) = self.seats.by_call_mut(call) {
            // Told again with the next positions.
            seat.told = None;
            self.place_at = earliest(self.place_at, Some(turn.now + turn.config.update_interval));
        }
        if let Some(election) = self.station.election_mut() {
            let child = self.seats.by_call(call).map(|s| s.peer);
            if let Some(peer) = child.or_else(|| election.control_peer(call)) {
                election.on_report_failed(call, peer, turn);
            }
        }
        if let Station::Viewer(w) = &mut self.station
            && let Some(duty) = &mut w.duty
        {
            duty.on_report_failed(call, turn);
        }
    }

    pub(super) fn on_first_packet(&mut self, call: CallId, turn: &mut Turn<'_, P>) {
        if let Station::Viewer(w) = &mut self.station {
            w.viewer.on_first_packet(call, &self.seats, turn);
        }
    }

    pub(super) fn on_held(&mut self, call: CallId, hold: Hold, turn: &mut Turn<'_, P>) {
        if let Station::Viewer(w) = &mut self.station {
            w.viewer.on_held(call, hold, &self.seats, turn);
        }
    }

    pub(super) fn on_denied(&mut self, call: CallId, turn: &mut Turn<'_, P>) {
        if let Station::Viewer(w) = &mut self.station {
            w.viewer.on_denied(call, &self.seats, turn);
        }
    }

    pub(super) fn on_round_trip(&mut self, call: CallId, rtt: Duration) {
        if let Some(election) = self.station.election_mut() {
            let child = self.seats.by_call(call).map(|s| s.peer);
            if let Some(peer) = child.or_else(|| election.control_peer(call)) {
                election.table.set_rtt(peer, rtt);
            }
        }
        if let Station::Viewer(w) = &mut self.station {
            w.viewer.on_round_trip(rtt);
        }
    }

    // ---- time

    pub(super) fn handle_timeout(&mut self, turn: &mut Turn<'_, P>) {
        let lost = self.station.election_mut().map(|e| e.handle_timeout(turn)).unwrap_or_default();
        for relayer in lost {
            self.put_out_if_silent(relayer, turn);
        }
        if let Station::Viewer(w) = &mut self.station {
            w.viewer.handle_timeout(&self.seats, turn);
        }
        self.promote_when_due(turn);
        if self.hold_at.is_some_and(|t| t <= turn.now) {
            self.hold_children(turn);
        }
        if self.sweep_at.is_some_and(|t| t <= turn.now) {
            self.sweep_at = None;
            self.sweep_children(turn);
        }
    }

    /// Says HOLD, or PAUSED, while no new media comes (Q6, Q11).
    fn hold_children(&mut self, turn: &mut Turn<'_, P>) {
        let pause = cover::threshold(self.id, turn);
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
        // The first ones come in quick succession: one may be lost, and the children are about to act.
        let young = turn.now.since(last) < turn.config.hold_after;
        self.hold_at = Some(turn.now + if young { pause } else { turn.config.hold_after });
    }

    /// An orphan has come, or one that a backup parent has saved. If the parent that it has lost, as the table knows, sits
    /// here and is silent here as well, its slot is free sooner than silence alone would make it. Who was suspected and is
    /// here still is left in peace for as long as a silence takes without that.
    fn suspect_parent_of(&mut self, orphan: P, turn: &mut Turn<'_, P>) {
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
    fn sweep_children(&mut self, turn: &mut Turn<'_, P>) {
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
    fn next_silence(&self, turn: &Turn<'_, P>) -> Option<Instant> {
        let children = self.seats.iter().filter_map(|s| silent_at(s, turn)).min();
        let leases = self.leases.iter().map(|l| lease_heard(l, turn) + turn.config.lease_silence).min();
        earliest(children, leases)
    }

    /// A relayer that sends no alive messages any more loses its slot, unless its reception reports still come.
    fn put_out_if_silent(&mut self, relayer: P, turn: &mut Turn<'_, P>) {
        let Some(seat) = self.seats.by_peer(relayer) else { return };
        let heard = turn.progress.last_report(seat.call);
        if heard.is_none_or(|t| turn.now.since(t) >= turn.config.child_silence) {
            let call = seat.call;
            turn.bye(call, ByeReason::Normal);
            self.unseat(call, turn);
        }
    }

    /// Brings everything in line after an input: timers of children, the election or the duty, positions.
    pub(super) fn settle(&mut self, turn: &mut Turn<'_, P>) {
        if self.is_over() {
            return;
        }
        if let Some(until) = self.farewell
            && (until <= turn.now || self.seats.iter().all(|s| s.slots.is_none()))
        {
            return self.close(ByeReason::Leaving, EndReason::Stopped, turn);
        }
        if let Station::Viewer(w) = &mut self.station {
            w.viewer.note_fed(turn);
            if let Some(heir) = &mut w.succession {
                if heir.finds_it_gone(&w.viewer, turn) {
                    self.take_over(turn);
                }
            } else if w.viewer.is_forsaken(turn) {
                return self.close(ByeReason::EndOfChannel, EndReason::SourceLost, turn);
            }
        }
        if self.seats.is_empty() {
            self.hold_at = None;
        } else {
            let hold = (!turn.config.is_paper()).then(|| turn.now + cover::threshold(self.id, turn));
            self.hold_at = self.hold_at.or(hold);
        }
        if self.swept != self.seats.version() {
            self.sweep_at = None;
            self.swept = self.seats.version();
        }
        let silence = |channel: &Self| Some(channel.next_silence(turn)?.max(turn.now + LEAST));
        self.sweep_at = self.sweep_at.or_else(|| silence(self));
        let depth = self.depth();
        let news = match &mut self.station {
            Station::Publisher { election, record } => {
                election.settle(turn);
                record.settle(self.id, depth, turn);
                if election.table.take_changed() {
                    turn.event(Event::TableChanged { channel: self.id });
                    News::Later
                } else {
                    News::None
                }
            }
            Station::Viewer(w) => {
                w.settle_office(self.id, &self.seats, turn);
                if let Some(duty) = &mut w.duty {
                    let (parent, table) =
                        (w.viewer.parent().map(|p| (p.call, p.peer)), w.election.as_ref().map(|e| &e.table));
                    if let Some(root) = w.viewer.root().filter(|_| !turn.config.is_paper() && table.is_none())
                    {
                        duty.follow(root, turn);
                    }
                    duty.settle(&Views { parent, depth, seats: &self.seats, table }, turn);
                }
                if w.duty.as_mut().is_some_and(|d| d.fails(&self.seats, turn))
                    && let Some(duty) = w.duty.take()
                {
                    duty.give_up(turn);
                    w.settle_office(self.id, &self.seats, turn);
                    for seat in self.seats.iter() {
                        turn.inform(seat.call, Report::Leaving);
                    }
                }
                w.viewer.settle_standbys(&self.seats, turn);
                let changed = w.election.as_mut().is_some_and(|e| e.table.take_changed());
                w.viewer.take_news().max(if changed { News::Later } else { News::None })
            }
        };
        self.end_leases_above(turn);
        self.settle_places(news, turn);
    }

    /// Tells children their places: changes of the path soon, new backups at leisure, both coalesced.
    fn settle_places(&mut self, news: News, turn: &mut Turn<'_, P>) {
        if turn.config.is_paper() {
            return;
        }
        let interval = turn.config.update_interval;
        let due = match news {
            News::Now => Some((self.placed_at + interval / 10).max(turn.now)),
            News::Later => Some(turn.now + interval),
            News::None if self.placed != self.seats.version() => Some(turn.now + interval),
            News::None => None,
        };
        self.placed = self.seats.version();
        self.place_at = earliest(self.place_at, due);
        if self.seats.is_empty() {
            self.place_at = None;
        }
        if self.place_at.is_some_and(|t| t <= turn.now) {
            self.place_at = None;
            self.placed_at = turn.now;
            self.tell_places(None, turn);
        }
    }

    /// Tells one child, or all, what they do not know yet about their places.
    fn tell_places(&mut self, only: Option<CallId>, turn: &mut Turn<'_, P>) {
        if turn.config.is_paper() {
            return;
        }
        let (path, backups): (Vec<P>, &[Provider<P>]) = match &self.station {
            Station::Publisher { .. } => (Vec::new(), &[]),
            // Who has no parent has no place to tell.
            Station::Viewer(w) if w.viewer.parent().is_none() => return,
            Station::Viewer(w) => (w.viewer.path(), w.viewer.backups()),
        };
        let limit = usize::from(turn.config.limits.backups);
        let election = self.station.election();
        let nephews =
            |child: P| election.map(|election| election.table.nephews(child, limit)).unwrap_or_default();
        let delegated = match &self.station {
            Station::Publisher { election, .. } => election.delegated,
            Station::Viewer(w) => w.viewer.is_delegated(),
        };
        let at = Standpoint { me: turn.me, path: &path, backups, nephews: &nephews, limit, delegated };
        let told: Vec<Option<Place<P>>> = self
            .seats
            .iter()
            .enumerate()
            .map(|(n, seat)| {
                let wanted = only.is_none_or(|c| c == seat.call);
                let place = wanted.then(|| place(&at, &self.seats, (n, seat)))?;
                (seat.told.as_ref() != Some(&place)).then_some(place)
            })
            .collect();
        for (seat, place) in self.seats.iter_mut().zip(told) {
            let Some(place) = place else { continue };
            seat.told = Some(place.clone());
            let Place { path, rescue, backups, delegated } = place;
            let depth = u8::try_from(path.len()).unwrap_or(u8::MAX);
            turn.inform(seat.call, Report::TreePosition { depth, path, rescue, backups, delegated });
        }
    }
}

/// When a child counts as gone if it is not heard until then; never, when it is not expected to report.
fn silent_at<P>(seat: &Seat<P>, turn: &Turn<'_, P>) -> Option<Instant> {
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
fn lease_heard<P>(lease: &Lease<P>, turn: &Turn<'_, P>) -> Instant {
    let heard = turn.progress.last_report(lease.call).unwrap_or(lease.since);
    heard.max(lease.since).max(turn.awake_since)
}

impl<P: Copy + Ord> Watching<P> {
    /// Where relayers elect, whoever relays is the elector of its children, and nobody else is.
    fn settle_office(&mut self, channel: ChannelId, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        if self.duty.is_none() || !self.viewer.is_delegated() {
            if let Some(mut election) = self.election.take() {
                election.stop(ByeReason::Normal, turn);
            }
            return;
        }
        let election = self.election.get_or_insert_with(|| {
            let mut election = Box::new(Election::of_relayer(channel, turn.me, turn.config));
            for seat in seats.iter() {
                election.table.seat(seat.peer, seat.call, seat.slots, turn.now);
            }
            election
        });
        election.table.set_base(self.viewer.depth().unwrap_or_default());
        if self.viewer.is_fed(turn) {
            election.settle(turn);
        }
    }

    /// A child of this relayer reports.
    fn on_child_reported(&mut self, child: Option<P>, report: Report<P>, turn: &mut Turn<'_, P>) {
        let (Some(election), Some(peer)) = (&mut self.election, child) else { return };
        match report {
            Report::Subtree(said) => {
                let viewer = &self.viewer;
                election.on_subtree(peer, said, |p| viewer.is_above(p), turn);
            }
            report => election.on_reported(peer, report, turn),
        }
    }

    /// An offer to relay. It is taken when there is a slot to give, or when this node serves children from an earlier
    /// office, whom the elector would otherwise not know. The media may still be on its way.
    fn on_selected(
        &mut self,
        channel: ChannelId,
        (call, register): (CallId, bool),
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) {
        let in_parent_dialog = self.viewer.is_parent(call);
        if let Some(duty) = &mut self.duty {
            if in_parent_dialog || duty.owns(call) {
                duty.renew(call, turn);
            }
            return;
        }
        let control = self.control.filter(|c| c.0 == call).map(|c| c.1);
        let parent = self.viewer.parent().filter(|_| in_parent_dialog).map(|p| p.peer);
        let Some(elector) = control.or(parent) else { return };
        if turn.uplink.free() == 0 && seats.is_empty() || !self.viewer.has_joined() {
            return turn.inform(call, Report::RelayerDeclined);
        }
        let depth = self.viewer.depth().unwrap_or(u8::MAX);
        let dialog = (call, in_parent_dialog);
        let duty = Duty::accept(channel, elector, dialog, (register, depth), turn);
        self.duty = Some(Box::new(duty));
        self.control.take_if(|c| c.0 == call);
    }
}

#[cfg(test)]
pub(super) fn size_of_a_viewer<P>() -> usize {
    size_of::<Channel<P>>() + size_of::<Watching<P>>()
}
