//! What an elected relayer owes its elector: an answer, alive messages, and news of its children (P13, P15, P16, Q18,
//! Q20, Q21).
//!
//! In the paper's profile only a relayer that is full reports at once. Its other changes travel in the place of the next
//! alive message: a table that is refreshed periodically (P17) needs them, or children of a relayer with a free slot would
//! stand nowhere.
//!
//! The reports travel in the dialog with the parent when the parent is the elector, in a control dialog otherwise. The
//! elector opens the first control dialog; a relayer whose parent changes opens the next one itself. Where relayers elect
//! the parent always is the elector: a relayer announces itself to a new one, keeps its office while it has none, and adds
//! what is below its children to its reports.
//!
//! Who the elector is when another source has taken the channel over the parent says first, and any relayer may say anything.
//! So the one that it names is told nothing, and not called, before the records of the channel name it as well.

use super::delivery::Delivery;
use super::fact::ByeReason;
use super::order::{Event, InviteKind, Order, Role};
use super::record::Record;
use super::report::{Report, Subtree};
use super::seats::{Seat, Seats};
use super::table::Table;
use super::turn::Turn;
use crate::ids::{CallId, ChannelId};
use crate::time::{Duration, Instant, earliest};
use alloc::boxed::Box;

/// The longest pause between two attempts to reach the elector.
const REDIAL_LIMIT: Duration = Duration::from_secs(32);

/// Every so many alive messages one names the children again, so that whatever the elector missed is put right (P17).
const REFRESH: u32 = 10;
/// Where the parent is the elector there are no alive messages, for it hears reception reports; so many intervals apart
/// everything is told again.
pub(super) const ALIVE_TO_A_PARENT: u32 = 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialog {
    /// With the parent, who is the elector.
    Parent(CallId),
    Control(CallId),
    Dialling(CallId),
    Broken {
        redial: Instant,
    },
    /// Relayers elect, and there is no parent.
    Adrift,
}

/// What the elector was told of the subtree.
#[derive(Debug)]
struct Told<P> {
    below: Subtree<P>,
    at: Instant,
}

/// What a relayer reports about at this moment.
pub(super) struct Views<'a, P> {
    /// The dialog with the parent, if there is one.
    pub(super) parent: Option<(CallId, P)>,
    pub(super) depth: u8,
    pub(super) seats: &'a Seats<P>,
    /// Where relayers elect: my own table.
    pub(super) table: Option<&'a Table<P>>,
}

/// The office of a relayer.
#[derive(Debug)]
pub(super) struct Duty<P> {
    channel: ChannelId,
    elector: P,
    dialog: Dialog,
    redial_after: Duration,
    /// Whether the record is to stand under the channel's name; `None`: there is to be none.
    listed: Option<bool>,
    /// Once this node has shown that it delivers.
    record: Option<Record>,
    alive_at: Instant,
    /// Children and free slots as reported last.
    reported: Option<(u32, u16)>,
    reported_at: Instant,
    report_at: Option<Instant>,
    /// When the records are asked whether another source has taken the channel over.
    confirm_at: Option<Instant>,
    delivery: Delivery,
    told: Option<Box<Told<P>>>,
    /// Whether relayers elect.
    delegated: bool,
    /// Of the table, when it was looked at last.
    seen: u32,
}

impl<P: Copy + Ord> Duty<P> {
    /// Takes an offer that came in `call`.
    pub(super) fn accept(
        channel: ChannelId,
        elector: P,
        (call, in_parent_dialog): (CallId, bool),
        (register, depth): (bool, u8),
        turn: &mut Turn<'_, P>,
    ) -> Self {
        let dialog = if in_parent_dialog { Dialog::Parent(call) } else { Dialog::Control(call) };
        let mut duty = Duty {
            channel,
            elector,
            dialog,
            redial_after: turn.config.retry_after,
            listed: None,
            record: None,
            alive_at: turn.now,
            reported: None,
            reported_at: turn.now,
            report_at: None,
            confirm_at: None,
            delivery: Delivery::default(),
            told: None,
            delegated: false,
            seen: 0,
        };
        duty.announce(turn);
        turn.event(Event::Elected { channel });
        if !turn.config.is_paper() {
            duty.listed = Some(register);
        } else if register {
            // There is one place for records, and nobody is tried.
            duty.record = Some(Record::store(channel, (Role::Relayer, true), depth, turn));
        }
        duty
    }

    pub(super) const fn elector(&self) -> P {
        self.elector
    }

    /// Another source has taken the channel over, as the parent says: it is told from now on, once it is `listed`.
    pub(super) fn follow(&mut self, root: Option<P>, listed: Option<P>, turn: &mut Turn<'_, P>) {
        let Some(elector) = root.filter(|&root| root != self.elector) else {
            self.confirm_at = None;
            return;
        };
        if listed != Some(elector) {
            return self.confirm(turn);
        }
        self.confirm_at = None;
        self.hang_up(self.dialog, turn);
        self.elector = elector;
        self.redial_after = turn.config.retry_after;
        self.dialog = Dialog::Broken { redial: turn.now };
    }

    /// Asks the records, again and again; all relayers hear of a new source at once, and do not ask at once.
    fn confirm(&mut self, turn: &mut Turn<'_, P>) {
        if self.confirm_at.is_some_and(|at| at > turn.now) {
            return;
        }
        let mut pause = turn.within(turn.config.standby_spread);
        if self.confirm_at.is_some() {
            turn.order(Order::Fetch { channel: self.channel });
            pause += turn.config.retry_limit;
        }
        self.confirm_at = Some(turn.now + pause);
    }

    pub(super) fn owns(&self, call: CallId) -> bool {
        matches!(self.dialog, Dialog::Control(c) | Dialog::Dialling(c) if c == call)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let dialog = match self.dialog {
            Dialog::Parent(_) | Dialog::Control(_) => Some(self.alive_at),
            Dialog::Broken { redial } => Some(redial),
            Dialog::Dialling(_) | Dialog::Adrift => None,
        };
        let record = self.record.as_ref().and_then(Record::deadline);
        let dialog = earliest(dialog, self.confirm_at);
        earliest(earliest(dialog, self.delivery.deadline()), earliest(self.report_at, record))
    }

    /// Whether this is the dialog with the elector.
    pub(super) fn reports_in(&self, call: CallId) -> bool {
        self.call() == Some(call)
    }

    fn call(&self) -> Option<CallId> {
        match self.dialog {
            Dialog::Parent(call) | Dialog::Control(call) => Some(call),
            Dialog::Dialling(_) | Dialog::Broken { .. } | Dialog::Adrift => None,
        }
    }

    /// Says in a new dialog what this node is; the children follow.
    fn announce(&mut self, turn: &mut Turn<'_, P>) {
        if let Some(call) = self.call() {
            turn.inform(call, Report::RelayerAccepted { free: turn.uplink.free() });
            self.plan_alive(self.delegated, turn);
            self.reported = None;
            self.told = None;
        }
    }

    /// The elector asks once more, or opened a new dialog.
    pub(super) fn renew(&mut self, call: CallId, turn: &mut Turn<'_, P>) {
        let old = self.dialog;
        if old == Dialog::Parent(call) || old == Dialog::Control(call) {
            return self.announce(turn);
        }
        self.hang_up(old, turn);
        self.dialog = Dialog::Control(call);
        self.announce(turn);
    }

    fn hang_up(&self, dialog: Dialog, turn: &mut Turn<'_, P>) {
        match dialog {
            Dialog::Control(call) => turn.bye(call, ByeReason::Normal),
            Dialog::Dialling(call) => turn.order(Order::Cancel { call }),
            Dialog::Parent(_) | Dialog::Broken { .. } | Dialog::Adrift => {}
        }
    }

    pub(super) fn on_answered(&mut self, call: CallId, turn: &mut Turn<'_, P>) {
        if self.dialog == Dialog::Dialling(call) {
            self.dialog = Dialog::Control(call);
            self.redial_after = turn.config.retry_after;
            self.announce(turn);
        }
    }

    /// The control dialog broke or did not come to be.
    pub(super) fn on_broken(&mut self, call: CallId, turn: &mut Turn<'_, P>) {
        if self.owns(call) {
            self.redial_later(turn);
        }
    }

    fn redial_later(&mut self, turn: &mut Turn<'_, P>) {
        self.dialog = Dialog::Broken { redial: turn.now + turn.at_least(self.redial_after) };
        self.redial_after = self.redial_after.saturating_mul(2).min(REDIAL_LIMIT);
    }

    /// A report did not get through. The parent is judged by its media; a control dialog is replaced.
    pub(super) fn on_report_failed(&mut self, call: CallId, turn: &mut Turn<'_, P>) {
        if self.dialog == Dialog::Control(call) {
            turn.bye(call, ByeReason::Normal);
            self.redial_later(turn);
        }
    }

    /// Ends the office after the elector ended the dialog.
    pub(super) fn retire(self, turn: &mut Turn<'_, P>) {
        if self.record.is_some() {
            turn.order(Order::Unregister { channel: self.channel });
        }
    }

    /// Ends the office and its dialog, because this node goes away: at once, or when its children have other parents.
    pub(super) fn resign(self, parting: bool, turn: &mut Turn<'_, P>) {
        match self.dialog {
            Dialog::Control(call) => turn.bye(call, ByeReason::Leaving),
            Dialog::Dialling(call) => turn.order(Order::Cancel { call }),
            // That dialog ends when the children are gone.
            Dialog::Parent(call) if parting => turn.inform(call, Report::Leaving),
            Dialog::Parent(_) | Dialog::Broken { .. } | Dialog::Adrift => {}
        }
        self.retire(turn);
    }

    /// Ends the office because this node is the source from now on. Its record is stored anew; one in another place goes.
    pub(super) fn hand_over(self, turn: &mut Turn<'_, P>) {
        match self.dialog {
            Dialog::Control(call) => turn.bye(call, ByeReason::Normal),
            Dialog::Dialling(call) => turn.order(Order::Cancel { call }),
            Dialog::Parent(_) | Dialog::Broken { .. } | Dialog::Adrift => {}
        }
        if self.record.as_ref().is_some_and(|r| !r.is_listed()) {
            turn.order(Order::Unregister { channel: self.channel });
        }
    }

    /// A child has moved to somebody else.
    pub(super) fn on_moved(&mut self, seat: &Seat<P>, turn: &Turn<'_, P>) {
        self.delivery.on_moved(seat, turn);
    }

    /// Whether the children do not get what this node gets.
    pub(super) fn fails(&mut self, seats: &Seats<P>, turn: &Turn<'_, P>) -> bool {
        self.delivery.fails(self.channel, seats, turn)
    }

    /// Ends the office because this node does not deliver. The elector lets it rest.
    pub(super) fn give_up(self, turn: &mut Turn<'_, P>) {
        match self.dialog {
            Dialog::Parent(call) | Dialog::Control(call) => turn.inform(call, Report::RelayerDeclined),
            Dialog::Dialling(call) => turn.order(Order::Cancel { call }),
            Dialog::Broken { .. } | Dialog::Adrift => {}
        }
        self.retire(turn);
    }

    /// Does what is due: the right dialog, alive messages, reports, the record.
    pub(super) fn settle(&mut self, at: &Views<'_, P>, turn: &mut Turn<'_, P>) {
        let seats = at.seats;
        if core::mem::replace(&mut self.delegated, at.table.is_some()) != self.delegated {
            self.plan_alive(self.delegated, turn);
        }
        self.settle_dialog(at.parent, at.table.is_some(), turn);
        if let Some(record) = &mut self.record {
            record.settle(self.channel, at.depth, turn);
        } else if let Some(listed) = self.listed
            && self.delivery.may_register(self.channel, seats, turn)
        {
            self.record = Some(Record::store(self.channel, (Role::Relayer, listed), at.depth, turn));
        }
        self.report_at = None;
        let Some(call) = self.call() else { return };
        self.report(call, seats, turn);
        if self.alive_at <= turn.now {
            let refresh = self.reported_at + turn.config.alive_interval.saturating_mul(REFRESH);
            let due = match turn.config.is_paper() {
                true => self.reported.map_or(!seats.is_empty(), |r| r.0 != seats.version()),
                false => at.table.is_some() || turn.now >= refresh,
            };
            if due {
                self.update(call, seats, turn);
                // What is only counted goes along.
                self.told = None;
            } else {
                turn.inform(call, Report::Alive);
            }
            self.plan_alive(at.table.is_some(), turn);
        }
        if let Some(table) = at.table {
            self.report_subtree(call, table, turn);
        }
    }

    fn plan_alive(&mut self, delegated: bool, turn: &mut Turn<'_, P>) {
        let interval =
            turn.config.alive_interval.saturating_mul(if delegated { ALIVE_TO_A_PARENT } else { 1 });
        self.alive_at = turn.now + turn.about(interval);
    }

    /// Tells what is below the children when other relayers are open there than were told, once an interval; whether any
    /// is, sooner. Mere numbers wait for the next refresh.
    fn report_subtree(&mut self, call: CallId, table: &Table<P>, turn: &mut Turn<'_, P>) {
        if self.told.is_some() && self.seen == table.version() {
            return;
        }
        let below = table.aggregate(usize::from(turn.config.limits.open));
        let Some(told) = &self.told else { return self.tell_subtree(call, (below, table.version()), turn) };
        let open = |s: &Subtree<P>| !s.open.is_empty();
        if told.below.open.iter().map(|p| p.peer).eq(below.open.iter().map(|p| p.peer)) {
            self.seen = table.version();
            return;
        }
        let interval = turn.config.update_interval;
        let allowed = told.at + if open(&told.below) == open(&below) { interval } else { interval / 10 };
        if turn.now < allowed {
            self.report_at = earliest(self.report_at, Some(allowed));
        } else {
            self.tell_subtree(call, (below, table.version()), turn);
        }
    }

    fn tell_subtree(&mut self, call: CallId, (below, version): (Subtree<P>, u32), turn: &mut Turn<'_, P>) {
        self.seen = version;
        // An elector that has heard nothing believes that nothing is below.
        if !below.open.is_empty() || self.told.is_some() || below.peers > 0 {
            turn.inform(call, Report::Subtree(below.clone()));
        }
        self.told = Some(Box::new(Told { below, at: turn.now }));
    }

    fn settle_dialog(&mut self, parent: Option<(CallId, P)>, delegated: bool, turn: &mut Turn<'_, P>) {
        if delegated && let Some((_, peer)) = parent {
            self.elector = peer;
        }
        let elector_is_parent = parent.filter(|p| p.1 == self.elector).map(|p| p.0);
        match (self.dialog, elector_is_parent) {
            (Dialog::Parent(old), Some(call)) if old == call => {}
            (old, Some(call)) => {
                self.hang_up(old, turn);
                self.dialog = Dialog::Parent(call);
                self.announce(turn);
            }
            (old, None) if delegated => {
                self.hang_up(old, turn);
                self.dialog = Dialog::Adrift;
            }
            (Dialog::Parent(_) | Dialog::Adrift, None) => self.dialog = Dialog::Broken { redial: turn.now },
            (Dialog::Control(_) | Dialog::Dialling(_) | Dialog::Broken { .. }, None) => {}
        }
        if let Dialog::Broken { redial } = self.dialog
            && redial <= turn.now
        {
            let call = turn.invite(self.channel, self.elector, InviteKind::Control, turn.uplink.free());
            self.dialog = Dialog::Dialling(call);
        }
    }

    fn update(&mut self, call: CallId, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        let free = turn.uplink.free();
        turn.inform(call, Report::ChildUpdate { children: seats.report(), free: Some(free) });
        self.reported = Some((seats.version(), free));
        self.reported_at = turn.now;
    }

    fn report(&mut self, call: CallId, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        let (version, free) = (seats.version(), turn.uplink.free());
        if self.reported == Some((version, free)) {
            return;
        }
        let became_full = free == 0 && self.reported.is_none_or(|r| r.1 > 0);
        if became_full {
            turn.inform(call, Report::FullCapacity { children: seats.report() });
            turn.event(Event::FullCapacityReported { channel: self.channel });
        } else if turn.config.is_paper() {
            // It may become full again before the next alive message.
            self.reported = self.reported.map(|r| (r.0, free));
            return;
        } else {
            let allowed = self.reported_at + turn.config.update_interval;
            if self.reported.is_some() && turn.now < allowed {
                self.report_at = Some(allowed);
                return;
            }
            return self.update(call, seats, turn);
        }
        self.reported = Some((version, free));
        self.reported_at = turn.now;
    }
}
