//! The elector's side: who relays (P10 to P17, Q8 to Q10, Q18). The publisher is everybody's elector; or else every relayer
//! is that of its own children (`Mode::Delegated`, Q9), with the same machine.
//!
//! ```text
//!   candidate ──(control dialog)── offer ──accepted──► relayer ──three alive messages missed──► viewer that rests
//!                                    └─ declined, failed, timed out ──► viewer that rests
//! ```
//! A delegated elector has children for candidates, so there are no control dialogs; whoever is silent there is missed by
//! its reception reports, so alive messages are rare; and what is below the children, their aggregates say.
//!
//! Who elects for the whole tree sees all of it, so it keeps room in its upper layers before somebody asks, and calls those up
//! who hang deeper than need be.

use super::config::{Config, Mode};
use super::duty::ALIVE_TO_A_PARENT;
use super::fact::ByeReason;
use super::order::{Event, InviteKind, Order};
use super::report::{Child, Provider, Report, Subtree};
use super::table::{Standing, Table};
use super::turn::Turn;
use super::waiting::Waiting;
use crate::ids::{CallId, ChannelId};
use crate::time::{Duration, Instant, earliest};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

#[derive(Debug)]
struct Offer<P> {
    peer: P,
    /// The control dialog that has to be there first.
    dialling: Option<CallId>,
    until: Instant,
}

/// The deepest layer that a delegated elector elects from.
const CHILDREN: u8 = 1;
/// The elector of the whole tree keeps a slot open for so many peers of it,
const SPARED: usize = 16;
/// and at most so many slots.
const MOST_SPARE: u16 = 64;
/// Every quarter of the interval of alive messages it calls so many relayers up that hang deeper than need be.
const CLIMBS: usize = 2;

/// The elector's side of a channel.
#[derive(Debug)]
pub(super) struct Election<P> {
    channel: ChannelId,
    /// Whether the relayers elect their own.
    pub(super) delegated: bool,
    /// How many relayers are told to put themselves under the channel's name: a publisher's are, nobody else's.
    registers: u16,
    pub(super) table: Table<P>,
    /// At most [`Limits::offers`](super::Limits::offers); one in the paper's profile.
    offers: Vec<Offer<P>>,
    controls: BTreeMap<CallId, P>,
    sweep_at: Option<Instant>,
    /// Somebody for whom no relayer was open: all free slots are promised, or hang below the caller itself.
    turned_away: Option<P>,
    /// Newcomers that wait for the next relayer.
    pub(super) waiting: Waiting<P>,
    /// It has taken the channel over, with relayers that another source elected and that announce themselves until then.
    /// Whoever says so later was elected by nobody.
    heir: Option<Instant>,
}

impl<P: Copy + Ord> Election<P> {
    /// A publisher's, for the whole tree or, if so configured, for its own children.
    pub(super) fn of_publisher(channel: ChannelId, me: P, config: &Config) -> Self {
        let delegated = config.mode == Mode::Delegated;
        let rows = if delegated { u32::from(config.limits.subtree_rows) } else { config.limits.rows };
        let registers = config.registered_relayers;
        Election { registers, ..Election::new(channel, me, delegated, rows, config) }
    }

    /// A relayer's, for its own children.
    pub(super) fn of_relayer(channel: ChannelId, me: P, config: &Config) -> Self {
        Election::new(channel, me, true, config.limits.subtree_rows.into(), config)
    }

    fn new(channel: ChannelId, me: P, delegated: bool, rows: u32, config: &Config) -> Self {
        // Who is no longer below me is somebody else's business.
        let patience = if delegated { config.missing_limit } else { config.adrift_limit };
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        Election {
            channel,
            delegated,
            registers: 0,
            table: Table::new(me, rows, (patience, config.missing_limit)),
            offers: Vec::new(),
            controls: BTreeMap::new(),
            sweep_at: None,
            turned_away: None,
            waiting: Waiting::new(),
            heir: None,
        }
    }

    /// Time between two alive messages.
    fn alive_interval(&self, config: &Config) -> Duration {
        config.alive_interval.saturating_mul(if self.delegated { ALIVE_TO_A_PARENT } else { 1 })
    }

    /// The same for a source that takes a channel over, and with it the way of electing.
    pub(super) fn inherited(self, delegated: bool, until: Instant) -> Self {
        Election { heir: Some(until), delegated, ..self }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let offers = self.offers.iter().map(|o| o.until).min();
        earliest(earliest(self.sweep_at, offers), self.waiting.deadline())
    }

    /// Whether there will soon be room for one more: somebody has been asked to relay, or slots are promised that may not be
    /// taken.
    pub(super) fn hopes(&self) -> bool {
        !self.offers.is_empty() || self.table.is_open()
    }

    pub(super) fn owns(&self, call: CallId) -> bool {
        self.controls.contains_key(&call) || self.is_dialling(call) || self.waiting.owns(call)
    }

    fn is_dialling(&self, call: CallId) -> bool {
        self.offers.iter().any(|o| o.dialling == Some(call))
    }

    /// Who is at the other end of a control dialog.
    pub(super) fn control_peer(&self, call: CallId) -> Option<P> {
        self.controls.get(&call).copied()
    }

    /// Ends every control dialog.
    pub(super) fn stop(&mut self, reason: ByeReason, turn: &mut Turn<'_, P>) {
        for (call, _) in core::mem::take(&mut self.controls) {
            turn.bye(call, reason);
        }
        for call in self.offers.drain(..).filter_map(|o| o.dialling) {
            turn.orders.push_back(Order::Cancel { call });
        }
    }

    /// Where a caller may be sent. If nowhere, one more relayer is wanted; till then an orphan may try the rescue slots of
    /// others, and anybody those in whose subtrees more is free than they can name.
    pub(super) fn redirect(&mut self, caller: P, urgent: bool, turn: &mut Turn<'_, P>) -> Vec<Provider<P>> {
        self.table.seen(caller, turn.now);
        let most = usize::from(turn.config.limits.redirect_contacts);
        let providers = self.table.redirect(caller, most, turn.now, |n| turn.entropy.below(n));
        if providers.is_empty() {
            self.turned_away = Some(caller);
            if urgent {
                return self.table.rescuers(caller, most, turn.now, |n| turn.entropy.below(n));
            }
            return self.table.branches_with_room(caller, most, |n| turn.entropy.below(n));
        }
        providers
    }

    /// Where somebody may be sent by now who waits, and for whom one more relayer was wanted then.
    pub(super) fn room(&mut self, waiting: P, turn: &mut Turn<'_, P>) -> Vec<Provider<P>> {
        let most = usize::from(turn.config.limits.redirect_contacts);
        let providers = self.table.redirect(waiting, most, turn.now, |n| turn.entropy.below(n));
        if providers.is_empty() {
            return self.table.branches_with_room(waiting, most, |n| turn.entropy.below(n));
        }
        providers
    }

    /// Where a child that cannot relay may go, so that its slot is free for one that can. If nowhere, one more relayer is
    /// wanted.
    pub(super) fn elsewhere(&mut self, child: P, turn: &mut Turn<'_, P>) -> Vec<Provider<P>> {
        let most = usize::from(turn.config.limits.backups);
        let providers = self.table.redirect(child, most, turn.now, |n| turn.entropy.below(n));
        if providers.is_empty() {
            self.turned_away = Some(child);
        }
        providers
    }

    /// Elects when there is too little room, and one more for somebody who asked and found none.
    pub(super) fn settle(&mut self, turn: &mut Turn<'_, P>) {
        if self.sweep_at.is_none() && !self.table.is_empty() {
            let interval = self.alive_interval(turn.config);
            self.sweep_at = Some(turn.now + if self.delegated { interval } else { interval / 4 });
        }
        let turned_away = self.turned_away.take();
        if turn.uplink.free() > 0 {
            return;
        }
        let most = if turn.config.is_paper() { 1 } else { usize::from(turn.config.limits.offers) };
        let before = self.offers.len();
        while self.offers.len() < most {
            let caller = turned_away.filter(|_| self.offers.len() == before);
            if caller.is_none() && !self.table.idle_layer().is_some_and(|layer| self.lacks_room(layer, turn))
            {
                return;
            }
            let Some(peer) = self.candidate(caller, turn) else { return };
            if caller.is_none() && !self.lacks_room(self.table.prospect(peer).0, turn) {
                return;
            }
            self.make_offer(peer, turn);
        }
    }

    /// Whether a relayer in this layer is wanted, whoever asks. Who elects for the whole tree keeps some slots open ahead of
    /// those who need one, so that nobody waits for an election and orphans find room; and high up, whatever is free further
    /// below, so that the tree does not grow deep while others of an upper layer could relay. Others elect when there is none.
    fn lacks_room(&self, layer: u8, turn: &Turn<'_, P>) -> bool {
        if self.delegated || turn.config.is_paper() {
            return self.offers.is_empty() && !self.table.is_open();
        }
        let spare = u16::try_from(self.table.len() / SPARED).unwrap_or(u16::MAX).clamp(1, MOST_SPARE);
        let prospects = self.offers.iter().map(|o| self.table.prospect(o.peer)).filter(|p| p.0 <= layer);
        let coming = prospects.fold(0, |sum: u16, p| sum.saturating_add(p.1));
        self.table.lacks(spare.saturating_sub(coming), layer, turn.now)
    }

    /// Who is to relay next, possibly for somebody who has found no room.
    fn candidate(&self, turned_away: Option<P>, turn: &Turn<'_, P>) -> Option<P> {
        let among = (turn.config.is_paper(), if self.delegated { CHILDREN } else { u8::MAX });
        let loss = |call| turn.progress.reported_loss(call);
        let rested = self.table.candidate(turn.now, among, turned_away, loss);
        // For somebody who waits, and if there is nobody else, a sixth of the rest has to do.
        let most_of_it = turn.config.candidate_backoff / 6 * 5;
        rested.or_else(|| {
            turned_away?;
            self.table.candidate(turn.now + most_of_it, among, turned_away, loss)
        })
    }

    fn make_offer(&mut self, peer: P, turn: &mut Turn<'_, P>) {
        let register = self.table.registered() < usize::from(self.registers);
        let until = turn.now + turn.config.offer_limit;
        let dialling = match self.table.call(peer) {
            Some(call) => {
                turn.inform(call, Report::SelectedRelayer { register });
                None
            }
            None if self.controls.len()
                >= usize::try_from(turn.config.limits.controls).unwrap_or(usize::MAX) =>
            {
                self.table.rest(peer, turn.now + turn.config.candidate_backoff);
                return;
            }
            None => Some(turn.invite(self.channel, peer, InviteKind::Control, turn.uplink.free())),
        };
        self.table.offer(peer, register);
        self.offers.push(Offer { peer, dialling, until });
    }

    /// The candidate will not relay: it rests, and a control dialog that was opened for it ends.
    fn withdraw(&mut self, peer: P, turn: &mut Turn<'_, P>) {
        let Some(at) = self.offers.iter().position(|o| o.peer == peer) else { return };
        let offer = self.offers.remove(at);
        if let Some(call) = offer.dialling {
            turn.order(Order::Cancel { call });
        }
        self.rest(offer.peer, turn);
    }

    fn rest(&mut self, peer: P, turn: &mut Turn<'_, P>) {
        self.table.rest(peer, turn.now + turn.config.candidate_backoff);
        self.hang_up(peer, turn);
    }

    /// A control dialog that was opened for a relayer, or for one to be, ends.
    fn hang_up(&mut self, peer: P, turn: &mut Turn<'_, P>) {
        if let Some(call) = self.table.call(peer)
            && self.controls.remove(&call).is_some()
        {
            turn.bye(call, ByeReason::Normal);
            self.table.set_call(peer, None);
        }
    }

    /// Fires what is due. The answer names relayers that were lost: whoever of them sits in a slot of this node and is
    /// silent there as well may be put out.
    pub(super) fn handle_timeout(&mut self, turn: &mut Turn<'_, P>) -> Vec<P> {
        while let Some(peer) = self.offers.iter().find(|o| o.until <= turn.now).map(|o| o.peer) {
            self.withdraw(peer, turn);
        }
        if self.sweep_at.is_none_or(|t| turn.now < t) {
            return Vec::new();
        }
        self.sweep_at = None;
        // The jitter of the last message, and its way.
        let interval = self.alive_interval(turn.config);
        let window = interval.saturating_mul(u32::from(turn.config.alive_misses)) + interval / 4;
        let limit = turn.now - window;
        let lost = if turn.awake_since > limit { Vec::new() } else { self.table.silent(limit) };
        for &relayer in &lost {
            self.lose(relayer, turn);
        }
        if self.table.sweep(turn.now) {
            self.drop_controls_of_the_forgotten(turn);
        }
        self.call_up(turn);
        lost
    }

    /// Who elects for the whole tree sees who hangs deeper than need be, since it has sunk with a subtree or came when there
    /// was no room further up, and calls it up to where there is. A few at a time: each move is a call, and for a moment the
    /// media twice.
    fn call_up(&mut self, turn: &mut Turn<'_, P>) {
        // Who waits for a first slot goes before those that have one.
        if self.delegated || turn.config.is_paper() || !self.waiting.is_empty() {
            return;
        }
        for _ in 0..CLIMBS {
            let Some(climb) = self.table.climb(turn.now) else { return };
            turn.inform(climb.call, Report::Climb { to: climb.to });
        }
    }

    /// Whoever has a control dialog and nothing to say in it is not kept for ever.
    fn drop_controls_of_the_forgotten(&mut self, turn: &mut Turn<'_, P>) {
        let table = &self.table;
        self.controls.retain(|&call, peer| {
            let known = table.contains(*peer);
            if !known {
                turn.bye(call, ByeReason::Normal);
            }
            known
        });
    }

    fn lose(&mut self, relayer: P, turn: &mut Turn<'_, P>) {
        self.rest(relayer, turn);
        self.table.lose(relayer, turn.now);
        turn.event(Event::RelayerLost { channel: self.channel, relayer });
    }

    /// A relayer that has lost its dialog, and whom the table may have forgotten, opens a new one.
    pub(super) fn admits_control(&mut self, peer: P, turn: &Turn<'_, P>) -> bool {
        if self.delegated {
            return false;
        }
        let room = self.controls.len() < usize::try_from(turn.config.limits.controls).unwrap_or(usize::MAX);
        let strangers = usize::try_from(turn.config.limits.strangers).unwrap_or(usize::MAX);
        let welcome = self.table.contains(peer) || self.table.adrift() < strangers;
        room && welcome && !self.table.rests(peer, turn.now) && self.table.introduce(peer, turn.now)
    }

    /// A control dialog is there: placed by me, or admitted.
    pub(super) fn on_control(&mut self, call: CallId, peer: P, turn: &mut Turn<'_, P>) {
        if let Some(old) = self.table.call(peer)
            && self.controls.remove(&old).is_some()
        {
            turn.bye(old, ByeReason::Normal);
        }
        self.controls.insert(call, peer);
        self.table.set_call(peer, Some(call));
    }

    pub(super) fn on_answered(&mut self, call: CallId, turn: &mut Turn<'_, P>) {
        let Some(offer) = self.offers.iter_mut().find(|o| o.dialling == Some(call)) else { return };
        let peer = offer.peer;
        offer.dialling = None;
        offer.until = turn.now + turn.config.offer_limit;
        self.on_control(call, peer, turn);
        let register = self.table.is_to_register(peer);
        turn.inform(call, Report::SelectedRelayer { register });
    }

    pub(super) fn on_refused(&mut self, call: CallId, turn: &mut Turn<'_, P>) {
        if let Some(offer) = self.offers.iter_mut().find(|o| o.dialling == Some(call)) {
            offer.dialling = None;
            let peer = offer.peer;
            self.withdraw(peer, turn);
        }
    }

    /// A peer of the table goes away by plan.
    pub(super) fn on_leaving(&mut self, peer: P, turn: &mut Turn<'_, P>) {
        let relays = matches!(self.table.standing(peer), Some(Standing::Relayer { .. }));
        self.on_unreachable(peer, turn);
        if let Some(call) = self.table.call(peer)
            && self.controls.remove(&call).is_some()
        {
            turn.bye(call, ByeReason::Normal);
        }
        self.table.remove(peer, turn.now);
        if relays {
            turn.event(Event::RelayerLost { channel: self.channel, relayer: peer });
        }
    }

    /// A control dialog is over.
    pub(super) fn on_ended(&mut self, call: CallId, reason: ByeReason, turn: &mut Turn<'_, P>) {
        let Some(peer) = self.controls.remove(&call) else { return };
        if reason == ByeReason::Leaving {
            return self.on_leaving(peer, turn);
        }
        if self.table.call(peer) == Some(call) {
            self.table.set_call(peer, None);
            self.on_unreachable(peer, turn);
        }
    }

    /// A peer has left its slot here. An offer that crossed with its BYE is void, and may be made again where it is now.
    pub(super) fn on_unseated(&mut self, peer: P, turn: &mut Turn<'_, P>) {
        if self.table.call(peer).is_none() {
            // A relayer that has a control dialog speaks in that one from here on.
            let control = self.controls.iter().find(|&(_, &other)| other == peer).map(|(&call, _)| call);
            self.table.set_call(peer, control);
        }
        let relayed = matches!(self.table.standing(peer), Some(Standing::Relayer { .. }));
        let offered = self.offers.iter().position(|o| o.peer == peer).map(|at| self.offers.remove(at));
        if offered.is_some() || self.delegated {
            self.table.rest(peer, turn.now);
        }
        if self.delegated && relayed {
            turn.event(Event::RelayerLost { channel: self.channel, relayer: peer });
        }
        if self.delegated && self.table.parent(peer).is_none() {
            // Whoever is its parent now is its elector.
            self.table.remove(peer, turn.now);
        }
    }

    /// The dialog with a peer is gone; an offer that was made in it is void.
    pub(super) fn on_unreachable(&mut self, peer: P, turn: &mut Turn<'_, P>) {
        self.withdraw(peer, turn);
    }

    /// A report to this peer did not get through.
    pub(super) fn on_report_failed(&mut self, call: CallId, peer: P, turn: &mut Turn<'_, P>) {
        if self.controls.remove(&call).is_some() {
            turn.bye(call, ByeReason::Normal);
            if self.table.call(peer) == Some(call) {
                self.table.set_call(peer, None);
            }
        }
        self.on_unreachable(peer, turn);
    }

    /// A report from a peer of the table. Anything from a peer that was never asked is ignored, but for a relayer that
    /// announces itself again after its dialog broke.
    pub(super) fn on_reported(&mut self, peer: P, report: Report<P>, turn: &mut Turn<'_, P>) {
        let Some(standing) = self.table.standing(peer) else { return };
        // One that has come here with its office, before this node had its own, tells its children now and then.
        let asked = standing != Standing::Viewer || self.delegated && !self.table.rests(peer, turn.now);
        match report {
            Report::RelayerAccepted { free } if asked || !self.table.rests(peer, turn.now) => {
                if self.heir.is_some_and(|until| turn.now < until) && standing == Standing::Viewer {
                    self.confirm(peer, turn);
                }
                self.on_heard(peer, Some(free), turn);
            }
            Report::RelayerDeclined if standing == Standing::Offered => self.withdraw(peer, turn),
            Report::RelayerDeclined if asked && standing != Standing::Viewer => {
                self.table.fail(peer, turn.now, turn.config.candidate_backoff);
                self.hang_up(peer, turn);
                turn.event(Event::RelayerLost { channel: self.channel, relayer: peer });
            }
            Report::FullCapacity { children } if asked => {
                self.on_heard(peer, Some(0), turn);
                self.on_children(peer, &children, turn);
            }
            Report::ChildUpdate { children, free } if asked => {
                self.on_heard(peer, free, turn);
                self.on_children(peer, &children, turn);
            }
            Report::Alive if asked => self.on_heard(peer, None, turn),
            // It serves until its children have moved, and nobody new.
            Report::Leaving if asked && standing != Standing::Viewer => {
                self.on_unreachable(peer, turn);
                self.table.rest(peer, turn.now + turn.config.candidate_backoff);
                turn.event(Event::RelayerLost { channel: self.channel, relayer: peer });
            }
            _ => {}
        }
    }

    /// A relayer among the children says what is below it; `is_above` knows who is above me.
    pub(super) fn on_subtree(
        &mut self,
        peer: P,
        said: Subtree<P>,
        is_above: impl Fn(P) -> bool,
        turn: &Turn<'_, P>,
    ) {
        if self.delegated {
            self.table.set_below(peer, said, usize::from(turn.config.limits.open), is_above);
        }
    }

    /// A relayer whom the source before me elected: it is told that it relays for me as well.
    fn confirm(&mut self, peer: P, turn: &mut Turn<'_, P>) {
        let Some(call) = self.table.call(peer) else { return };
        let register = self.table.registered() < usize::from(self.registers);
        self.table.offer(peer, register);
        turn.inform(call, Report::SelectedRelayer { register });
    }

    fn on_heard(&mut self, peer: P, free: Option<u16>, turn: &mut Turn<'_, P>) {
        self.offers.retain(|o| o.peer != peer);
        if self.table.relays(peer, free, turn.now) {
            turn.event(Event::RelayerReady { channel: self.channel, relayer: peer });
        }
    }

    fn on_children(&mut self, peer: P, children: &[Child<P>], turn: &mut Turn<'_, P>) {
        let most = usize::from(turn.config.limits.report_children).min(children.len());
        self.table.report(peer, children.get(..most).unwrap_or(children), turn.now);
    }
}
