//! One channel at one node: its children, and either the publisher's office or the viewer's parent.
//!
//! | file | |
//! | --- | --- |
//! | `mod` | what a channel is, its beginning and end, facts, time |
//! | `admission`, `lending` | who is served here: callers; standbys of others |
//! | `silence` | what children hear when nothing comes, and who of them is not heard |
//! | `places` | what children are told about the tree |
//! | `office` | a viewer that relays, and elects |
//! | `settle` | everything brought in line after an input |

mod admission;
mod lending;
mod office;
mod places;
mod settle;
mod silence;

use super::duty::Duty;
use super::election::Election;
use super::fact::{ByeReason, Hold, Refusal};
use super::leases::Leases;
use super::order::{Denial, EndReason, Event, Order, Role};
use super::promotion::Promotion;
use super::record::Record;
use super::report::{Provider, Report};
use super::rivalry::Rivalry;
use super::seats::{Place, Seats};
use super::succession::Succession;
use super::table::Standing;
use super::turn::Turn;
use super::viewer::Viewer;
use super::{ChannelStatus, Config, Mode, TableRow};
use crate::ids::{CallId, ChannelId};
use crate::time::{Duration, Instant, earliest};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// What this node is to the channel.
#[derive(Debug)]
enum Station<P> {
    /// With a newer source, as long as that is asked whether it lives.
    Publisher {
        election: Box<Election<P>>,
        record: Box<Record>,
        rival: Option<Rivalry>,
    },
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
        let record = Box::new(Record::store(id, (Role::Source, true), 0, turn));
        Channel::new(id, Station::Publisher { election, record, rival: None }, turn.now)
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
        let Station::Publisher { election, record, rival } = heir.station else { return };
        // When its own children will have given up whoever has not found it by then.
        let until = turn.now + turn.config.source_limit;
        let mut election = Box::new(election.inherited(delegated, until));
        for seat in self.seats.iter() {
            if seat.leased {
                election.table.cover(seat.peer, seat.call, seat.slots, turn.now);
            } else {
                election.table.seat(seat.peer, seat.call, seat.slots, turn.now);
            }
        }
        self.station = Station::Publisher { election, record, rival };
        self.place_at = Some(turn.now);
    }

    /// Somebody else is the channel's source by now, as the records say, and counts more if it lives.
    pub(super) fn on_outdone(&mut self, by: P, turn: &mut Turn<'_, P>) {
        if let Station::Publisher { rival, .. } = &mut self.station
            && rival.is_none()
            && by != turn.me
        {
            *rival = Some(Rivalry::ask(self.id, by, turn));
        }
    }

    /// Whether the newer source lives.
    fn settle_rivalry(&mut self, lives: bool, turn: &mut Turn<'_, P>) {
        if lives {
            return self.close(ByeReason::Leaving, EndReason::Superseded, turn);
        }
        if let Station::Publisher { record, .. } = &mut self.station {
            turn.order(Order::BeginAnew { channel: self.id });
            **record = Record::store(self.id, (Role::Source, true), 0, turn);
        }
    }

    /// The newer source that is being called in this call.
    fn take_rival(&mut self, call: CallId) -> Option<Rivalry> {
        match &mut self.station {
            Station::Publisher { rival, .. } => rival.take_if(|rival| rival.owns(call)),
            Station::Viewer(_) => None,
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
            Station::Publisher { record, rival, .. } => {
                earliest(record.deadline(), rival.as_ref().map(Rivalry::deadline))
            }
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
                Station::Publisher { election, rival, .. } => {
                    election.owns(call) || rival.as_ref().is_some_and(|rival| rival.owns(call))
                }
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

    pub(super) fn named_below(&self) -> Vec<(CallId, P)> {
        let Station::Publisher { election, .. } = &self.station else { return Vec::new() };
        let call = |child| self.seats.by_peer(child).map(|seat| seat.call);
        election.table.named_below().filter_map(|(child, named)| Some((call(child)?, named))).collect()
    }

    pub(super) fn way_down(&self, peer: P) -> Option<CallId> {
        let election = self.station.election().filter(|election| election.delegated)?;
        Some(self.seats.by_peer(election.table.way_to(peer)?)?.call)
    }

    pub(super) fn parent_call(&self) -> Option<CallId> {
        match &self.station {
            Station::Publisher { .. } => None,
            Station::Viewer(w) => w.viewer.parent().map(|parent| parent.call),
        }
    }

    pub(super) fn delegates(&self) -> bool {
        matches!(&self.station, Station::Publisher { election, .. } if election.delegated)
    }

    pub(super) fn relies_on(&self, peer: P) -> bool {
        let standing = self.station.election().and_then(|election| election.table.standing(peer));
        standing.is_some_and(|standing| standing != Standing::Viewer)
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
        w.resign(true, self.id, &self.seats, turn);
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
            Station::Publisher { election, rival, .. } => {
                election.waiting.refuse_all(turn);
                election.stop(to_children, turn);
                if let Some(rival) = rival.take() {
                    rival.stop(turn);
                }
                turn.order(Order::Unregister { channel: self.id });
            }
            Station::Viewer(w) => {
                w.viewer.stop(turn);
                w.resign(false, self.id, &self.seats, turn);
            }
        }
        turn.event(Event::Ended { channel: self.id, reason: why });
        self.over = Some(why);
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

    // ---- facts

    /// The lookup found these; `all` whether the source would be among them.
    pub(super) fn on_fetched(&mut self, providers: Vec<Provider<P>>, all: bool, turn: &mut Turn<'_, P>) {
        if let Station::Viewer(w) = &mut self.station {
            if let Some(succession) = w.succession.as_mut().filter(|_| all) {
                succession.on_looked_up(providers.iter().any(Provider::is_source));
            }
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

    pub(super) fn on_proceeding(&mut self, call: CallId) {
        if let Station::Viewer(w) = &mut self.station {
            w.viewer.on_proceeding(call);
        }
    }

    pub(super) fn on_answered(
        &mut self,
        call: CallId,
        depth: Option<u8>,
        rescue: bool,
        turn: &mut Turn<'_, P>,
    ) {
        if let Some(rival) = self.take_rival(call) {
            let lives = rival.on_answered(depth, turn);
            return self.settle_rivalry(lives, turn);
        }
        match &mut self.station {
            Station::Publisher { election, .. } => election.on_answered(call, turn),
            Station::Viewer(w) => match (&mut w.duty, &mut w.succession) {
                (Some(duty), _) if duty.owns(call) => duty.on_answered(call, turn),
                (_, Some(succession)) if succession.owns(call) => succession.on_answered(call, depth, turn),
                _ => w.viewer.on_answered(call, depth, rescue, &self.seats, turn),
            },
        }
    }

    pub(super) fn on_refused(&mut self, call: CallId, refusal: Refusal<P>, turn: &mut Turn<'_, P>) {
        if self.take_rival(call).is_some() {
            return self.settle_rivalry(Rivalry::on_refused(&refusal, turn), turn);
        }
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
            let seat = self.unseat(call, turn);
            if let (Station::Viewer(w), ByeReason::Normal) = (&mut self.station, reason)
                && let Some((duty, seat)) = w.duty.as_mut().zip(seat)
            {
                duty.on_moved(&seat, turn);
            }
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
                if election.waiting.take(call) {
                    return;
                }
                let peer = election.control_peer(call);
                election.on_ended(call, reason, turn);
                // A relayer that sits here now speaks in that dialog from here on.
                if let Some(seat) = peer.and_then(|p| self.seats.by_peer(p)) {
                    election.table.set_call(seat.peer, Some(seat.call));
                }
            }
            Station::Viewer(w)
                if w.viewer.is_parent(call) && reason == ByeReason::EndOfChannel && w.believes_an_end() =>
            {
                w.viewer.forget_parent();
                self.close(ByeReason::EndOfChannel, EndReason::EndOfChannel, turn);
            }
            Station::Viewer(w) => {
                let rumoured = matches!(reason, ByeReason::EndOfChannel | ByeReason::RumouredEnd);
                if rumoured && w.viewer.is_parent(call) {
                    w.viewer.on_rumoured_end();
                    if let Some(succession) = w.succession.as_mut() {
                        succession.on_rumour(turn);
                    }
                }
                if reason == ByeReason::Leaving {
                    w.viewer.note_leaver(call);
                }
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
                Report::Climb { to } => {
                    let says_the_elector = w.duty.as_ref().is_some_and(|duty| duty.reports_in(call));
                    if says_the_elector && !w.viewer.is_delegated() {
                        w.viewer.on_called_up(to, &self.seats, turn);
                    }
                }
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

    pub(super) fn on_round_trip(&mut self, call: CallId, rtt: Duration, turn: &mut Turn<'_, P>) {
        if let Some(election) = self.station.election_mut() {
            let child = self.seats.by_call(call).map(|s| s.peer);
            if let Some(peer) = child.or_else(|| election.control_peer(call)) {
                election.table.set_rtt(peer, rtt);
            }
        }
        if let Station::Viewer(w) = &mut self.station {
            w.viewer.on_round_trip(call, rtt, turn);
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
        if let Station::Publisher { rival, .. } = &mut self.station
            && let Some(rival) = rival.take_if(|rival| rival.deadline() <= turn.now)
        {
            rival.stop(turn);
            self.settle_rivalry(false, turn);
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
}

#[cfg(test)]
pub(super) fn size_of_a_viewer<P>() -> usize {
    size_of::<Channel<P>>() + size_of::<Watching<P>>()
}
