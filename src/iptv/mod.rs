//! The policy: who feeds whom. Channels, admission, election, keep-alive and repair, without bytes or addresses.
//!
//! | file | |
//! | --- | --- |
//! | `config` | what the host decides: capacity, profile, timers, limits |
//! | `fact`, `report`, `order` | what goes in, what peers tell each other, what comes out |
//! | `channel` | one channel: admission, children, and either an `election` or a `viewer` |
//! | `seats` | the slots of the uplink and who sits in them |
//! | `viewer` | the parent: search, listening, standbys, the bridge over its silence, the way back up |
//! | `succession`, `rivalry` | a standby source, which takes the channel over; a source that sees a newer one |
//! | `backups`, `leases` | what a parent tells its children about their places; standbys promised to others |
//! | `threshold` | how long nothing may come before that is a silence |
//! | `delivery` | whether a relayer delivers: it registers when it does, and is none when it does not |
//! | `waiting` | newcomers that wait until the next relayer is there |
//! | `promotion` | who can relay takes the slot of who cannot, and who brings a subtree that of who brings a smaller one |
//! | `counters` | what the host prints |
//! | `election`, `table` | who relays, in the whole tree or among my children; the peer table |
//! | `duty`, `record` | what a relayer owes its elector; when a record is stored anew |
//! | `turn` | what the handling of one input may touch |
//!
//! Who elects is the publisher's choice ([`Mode`]): it does so itself for the whole tree, or every relayer does so for its own
//! children. Then a table ends two layers below its node, reports go to the parent and say in sum what is below, and callers
//! and orphans ask relayers above them and not the source.
//!
//! An input goes to its channel, which changes and gives orders; then the channel *settles*: slots that became free are
//! given away, the election goes on, reports and positions that are due are sent, deadlines are read anew.

mod backups;
mod channel;
mod config;
mod counters;
mod delivery;
mod duty;
mod election;
mod fact;
mod leases;
mod order;
mod promotion;
mod record;
mod report;
mod rivalry;
mod seats;
mod succession;
mod table;
mod threshold;
mod turn;
mod viewer;
mod waiting;

pub use config::{Config, Limits, Mode, Profile};
pub use counters::{Counters, RescueSlots};
pub use fact::{ByeReason, Fact, Hold, Pace, Progress, Reception, Refusal};
pub use order::{Denial, EndReason, Event, InviteKind, Order, Role};
pub use report::{Child, Provider, Report, Subtree};

use self::channel::Channel;
use self::seats::Uplink;
use self::turn::Turn;
use crate::env::Entropy;
use crate::ids::{CallId, ChannelId};
use crate::time::{Duration, Instant};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;

/// What every call is lent: randomness, a look at the media plane, and the queue for what it decides.
pub struct Context<'a, P> {
    /// Randomness.
    pub entropy: &'a mut dyn Entropy,
    /// A look at the media plane.
    pub progress: &'a dyn Progress,
    /// Where orders go, oldest first.
    pub orders: &'a mut VecDeque<Order<P>>,
}

/// The caller's mistake. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Neither published nor watched here.
    #[error("no such channel here")]
    UnknownChannel,
    /// Published or watched here already.
    #[error("the channel is in use here already")]
    ChannelInUse,
    /// Only the publisher can end a channel.
    #[error("this node does not publish the channel")]
    NotPublisher,
    /// [`Limits::channels`] is reached.
    #[error("too many channels")]
    TooManyChannels,
}

/// One row of the table of a channel (table 1 of the paper).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableRow<P> {
    /// Hops from the source; `None` while nobody knows where the peer hangs.
    pub depth: Option<u8>,
    /// The peer.
    pub peer: P,
    /// Its parent (possibly this node), where known.
    pub parent: Option<P>,
    /// Whether it is an elected relayer.
    pub relayer: bool,
}

/// How a channel stands at this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelStatus<P> {
    /// Whether this node publishes it.
    pub publisher: bool,
    /// Hops from the source; 0 for the publisher, `None` without a parent.
    pub depth: Option<u8>,
    /// From the source (first) to the parent (last), as the parent told.
    pub path: Vec<P>,
    /// The parent, once it has answered; see `playing` and `cover`.
    pub parent: Option<P>,
    /// Whether this node sits in its parent's rescue slot.
    pub rescue: bool,
    /// Whether media comes from the parent, as far as the last timer saw.
    pub playing: bool,
    /// Whether this node is an elected relayer of the channel.
    pub relayer: bool,
    /// Who sends the media while the parent is silent.
    pub cover: Option<P>,
    /// Backup parents that are ready.
    pub standbys: usize,
    /// Children in ordinary slots and in rescue slots.
    pub children: (usize, usize),
}

/// All channels of one node, sharing one uplink. `P` names a peer; the order of `P` means nothing.
pub struct Iptv<P> {
    config: Arc<Config>,
    me: P,
    uplink: Uplink,
    counters: Counters,
    /// In the order of their numbers; there are few.
    channels: Vec<Channel<P>>,
    placed_calls: u32,
    now: Instant,
    awake_since: Instant,
    /// Timers wait until then: they were late, and what has come meanwhile is still to be read.
    read_first: Option<Instant>,
    deadline: Option<Instant>,
    /// Free slots when the channels settled last.
    free_told: u16,
}

/// A timer that fires this much too late shows that this node itself was asleep, so that it cannot know who was silent.
const OVERSLEPT: Duration = Duration::from_millis(150);
/// A timer that is late by less than that, but by more than this, waits once more for as long: thresholds of silence are
/// short, and packets may lie unread in the sockets of a busy host.
const DROWSY: Duration = Duration::from_millis(20);

impl<P: Copy + Ord + Debug> Iptv<P> {
    /// A node without channels. Many nodes may share one configuration.
    pub fn new(config: impl Into<Arc<Config>>, me: P) -> Self {
        let config = Config::sane(config.into());
        let uplink = Uplink::new(config.capacity, config.rescue_slots);
        let free = uplink.free();
        Iptv {
            uplink,
            counters: Counters::default(),
            config,
            me,
            channels: Vec::new(),
            placed_calls: 0,
            now: Instant::ZERO,
            awake_since: Instant::ZERO,
            read_first: None,
            deadline: None,
            free_told: free,
        }
    }

    // ---- commands

    /// Starts to publish a channel: registers it, and admits viewers.
    pub fn publish(
        &mut self,
        now: Instant,
        channel: ChannelId,
        ctx: &mut Context<'_, P>,
    ) -> Result<(), CommandError> {
        self.open(now, channel, ctx, Channel::publish)
    }

    /// Starts to watch a channel: looks it up and joins its tree. Other channels go on.
    pub fn tune(
        &mut self,
        now: Instant,
        channel: ChannelId,
        ctx: &mut Context<'_, P>,
    ) -> Result<(), CommandError> {
        self.open(now, channel, ctx, Channel::tune)
    }

    /// Starts to watch a channel as its standby source: when its source is gone, or nobody is on air, this node takes
    /// over ([`Event::TookOver`]) with all its children.
    pub fn stand_by(
        &mut self,
        now: Instant,
        channel: ChannelId,
        ctx: &mut Context<'_, P>,
    ) -> Result<(), CommandError> {
        self.open(now, channel, ctx, Channel::stand_by)
    }

    fn open(
        &mut self,
        now: Instant,
        id: ChannelId,
        ctx: &mut Context<'_, P>,
        open: impl FnOnce(ChannelId, &mut Turn<'_, P>) -> Channel<P>,
    ) -> Result<(), CommandError> {
        let Err(place) = self.channels.binary_search_by_key(&id, Channel::id) else {
            return Err(CommandError::ChannelInUse);
        };
        if self.channels.len() >= usize::from(self.config.limits.channels) {
            return Err(CommandError::TooManyChannels);
        }
        self.handle_timeout(now, ctx);
        let channel = open(id, &mut self.turn(ctx).1);
        // Most nodes watch one channel: no room is taken for more.
        self.channels.reserve_exact(1);
        self.channels.insert(place, channel);
        self.settle(Some(id), ctx);
        Ok(())
    }

    /// Stops watching: tells the children that they have to look for another parent, serves them until they have one or
    /// [`Config::farewell`] has passed, and leaves. Once more, and it leaves at once. A publisher that stops ends the
    /// channel.
    pub fn stop(
        &mut self,
        now: Instant,
        channel: ChannelId,
        ctx: &mut Context<'_, P>,
    ) -> Result<(), CommandError> {
        if self.find(channel).is_none() {
            return Err(CommandError::UnknownChannel);
        }
        self.handle_timeout(now, ctx);
        self.close(channel, ctx);
        Ok(())
    }

    /// Ends a channel that this node publishes; every viewer is told, hop by hop.
    pub fn end(
        &mut self,
        now: Instant,
        channel: ChannelId,
        ctx: &mut Context<'_, P>,
    ) -> Result<(), CommandError> {
        match self.find(channel) {
            None => Err(CommandError::UnknownChannel),
            Some(c) if !c.is_publisher() => Err(CommandError::NotPublisher),
            Some(_) => self.stop(now, channel, ctx),
        }
    }

    /// Ends or stops every channel.
    pub fn leave(&mut self, now: Instant, ctx: &mut Context<'_, P>) {
        self.handle_timeout(now, ctx);
        let all: Vec<ChannelId> = self.channels().collect();
        for id in all {
            self.close(id, ctx);
        }
    }

    /// How many children this node's uplink can serve from now on. Those that it serves already stay.
    pub fn set_capacity(&mut self, now: Instant, capacity: u16, ctx: &mut Context<'_, P>) {
        self.handle_timeout(now, ctx);
        self.uplink.resize(capacity);
        self.settle(None, ctx);
    }

    fn close(&mut self, id: ChannelId, ctx: &mut Context<'_, P>) {
        let (channels, mut turn) = self.turn(ctx);
        if let Some(channel) = channels.iter_mut().find(|c| c.id() == id) {
            let to_children =
                if channel.is_publisher() { ByeReason::EndOfChannel } else { ByeReason::Leaving };
            if !channel.say_farewell(&mut turn) {
                channel.close(to_children, EndReason::Stopped, &mut turn);
            }
        }
        self.settle(None, ctx);
    }

    // ---- inputs

    /// Takes a fact. Timers that are due at `now` fire first.
    pub fn on_fact(&mut self, now: Instant, fact: Fact<P>, ctx: &mut Context<'_, P>) {
        self.handle_timeout(now, ctx);
        let id = match &fact {
            Fact::Fetched { channel, .. }
            | Fact::Met { channel, .. }
            | Fact::FetchFailed { channel }
            | Fact::Registered { channel, .. }
            | Fact::Outdone { channel, .. }
            | Fact::Invited { channel, .. }
            | Fact::ControlInvited { channel, .. }
            | Fact::StandbyInvited { channel, .. }
            | Fact::FirstPacket { channel, .. } => Some(*channel),
            Fact::Proceeding { call }
            | Fact::Answered { call, .. }
            | Fact::Refused { call, .. }
            | Fact::Cancelled { call }
            | Fact::Ended { call, .. }
            | Fact::Reported { call, .. }
            | Fact::ReportFailed { call }
            | Fact::Held { call, .. }
            | Fact::Resumed { call }
            | Fact::Released { call }
            | Fact::Denied { call }
            | Fact::RoundTrip { call, .. } => self.channels.iter().find(|c| c.owns(*call)).map(Channel::id),
        };
        if let Fact::Invited { call, .. }
        | Fact::ControlInvited { call, .. }
        | Fact::StandbyInvited { call, .. } = fact
            && self.channels.iter().any(|c| c.owns(call))
        {
            // Whatever is said of this number is said of the call that has it.
            return;
        }
        let (channels, mut turn) = self.turn(ctx);
        let mut rescuer = None;
        if let Fact::Resumed { call } = fact
            && channels.iter().any(|c| c.lacks_a_slot(call, &turn))
        {
            // All channels share the rescue slots.
            let rescuers = channels.iter_mut().filter_map(|c| c.oldest_rescued().map(|t| (t, c)));
            if let Some((_, channel)) = rescuers.min_by_key(|r| r.0) {
                channel.end_tenure(&mut turn);
                rescuer = Some(channel.id());
            }
        }
        let channel = id.and_then(|id| channels.iter_mut().find(|c| c.id() == id));
        match (channel, fact) {
            (Some(channel), fact) => hand_over(channel, fact, &mut turn),
            (
                None,
                Fact::Invited { call, .. }
                | Fact::ControlInvited { call, .. }
                | Fact::StandbyInvited { call, .. },
            ) => {
                turn.order(Order::Refuse { call, denial: Denial::NotFound });
            }
            // The answer came after we had given up.
            (None, Fact::Answered { call, .. }) => turn.bye(call, ByeReason::Normal),
            (None, _) => {}
        }
        // Not before the orphan has its slot, which somebody who waits would take.
        if let Some(channel) = channels.iter_mut().find(|c| rescuer == Some(c.id())) {
            channel.settle(&mut turn);
        }
        self.settle(id, ctx);
    }

    /// Fires every timer that is due. Before [`Iptv::deadline`] it does nothing.
    pub fn handle_timeout(&mut self, now: Instant, ctx: &mut Context<'_, P>) {
        self.now = self.now.max(now);
        let Some(due) = self.deadline.filter(|&d| d <= self.now) else { return };
        let late = self.now.since(due);
        let may_wait = self.read_first.take().is_none() && !self.config.is_paper();
        if late > OVERSLEPT {
            self.awake_since = self.now;
        } else if late > DROWSY && may_wait {
            self.read_first = Some(self.now + DROWSY);
            self.deadline = self.read_first;
            return;
        }
        let now = self.now;
        let config = Arc::clone(&self.config);
        let (channels, mut turn) = self.turn(ctx);
        let mut promoted = false;
        for at in 0..channels.len() {
            let is_due = |c: &&mut Channel<P>| c.deadline(&config).is_some_and(|d| d <= now);
            let Some(channel) = channels.get_mut(at).filter(is_due) else { continue };
            channel.handle_timeout(&mut turn);
            // The slot of a child that was put out is an orphan's before it is that of somebody who waits.
            promoted |= promote(channels, &mut turn);
            if let Some(channel) = channels.get_mut(at) {
                channel.settle(&mut turn);
            }
        }
        self.settle_these((None, promoted), ctx);
    }

    /// What [`Progress`] said of packets to come is not so any more: timers that wait for silence are set anew. Only a media
    /// plane that looks ahead needs it, as that of a simulation does.
    #[cfg(feature = "sim")]
    pub(crate) fn listen_anew(&mut self, now: Instant, channel: ChannelId, ctx: &mut Context<'_, P>) {
        self.now = self.now.max(now);
        let (channels, mut turn) = self.turn(ctx);
        if let Some(channel) = channels.iter_mut().find(|c| c.id() == channel) {
            channel.listen_anew(&mut turn);
        }
        self.settle(Some(channel), ctx);
    }

    /// When [`Iptv::handle_timeout`] has to be called.
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    // ---- looks

    /// The table of a channel: all peers below this node that it knows, by depth and then by age. A publisher knows
    /// everybody, or two layers where relayers elect; others their own children.
    pub fn table(&self, channel: ChannelId) -> Vec<TableRow<P>> {
        self.find(channel).map(|c| c.table(self.me)).unwrap_or_default()
    }

    /// How a channel stands here; `None` when it is not in use.
    pub fn status(&self, channel: ChannelId) -> Option<ChannelStatus<P>> {
        self.find(channel).map(Channel::status)
    }

    /// The channels in use, in order.
    pub fn channels(&self) -> impl Iterator<Item = ChannelId> + '_ {
        self.channels.iter().map(Channel::id)
    }

    /// Whether a peer may be called, or named to others, sooner or later.
    pub fn counts_on(&self, peer: P) -> bool {
        self.channels.iter().any(|c| c.counts_on(peer))
    }

    /// Where relayers elect: who has free slots below the children of this publisher, and the call of the child that names
    /// them; of each child in its own order.
    pub fn named_below(&self, channel: ChannelId) -> Vec<(CallId, P)> {
        self.find(channel).map(Channel::named_below).unwrap_or_default()
    }

    /// The call of the child below which a peer is, or of that child itself, where relayers elect.
    pub fn way_down(&self, channel: ChannelId, peer: P) -> Option<CallId> {
        self.find(channel)?.way_down(peer)
    }

    /// The call with the parent.
    pub fn parent_call(&self, channel: ChannelId) -> Option<CallId> {
        self.find(channel)?.parent_call()
    }

    /// Whether this node publishes the channel, and relayers elect.
    pub fn delegates(&self, channel: ChannelId) -> bool {
        self.find(channel).is_some_and(Channel::delegates)
    }

    /// Whether this node takes a peer of its table for a relayer, or has offered it to be one.
    pub fn relies_on(&self, channel: ChannelId, peer: P) -> bool {
        self.find(channel).is_some_and(|channel| channel.relies_on(peer))
    }

    /// Ordinary slots that are free now.
    pub const fn free_slots(&self) -> u16 {
        self.uplink.free()
    }

    /// What this node has done for others and for itself.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// This node's rescue slots: how many there are, are free, and are promised, and what others have promised.
    pub fn rescue_slots(&self) -> RescueSlots {
        let (slots, free) = self.uplink.rescue();
        let held = self.channels.iter().map(Channel::standbys).sum();
        RescueSlots { slots: slots.into(), free: free.into(), promised: self.uplink.promised, held }
    }

    /// The calls of the standbys that this node promises and that get no media now, oldest first in each channel.
    pub fn leases(&self) -> impl Iterator<Item = CallId> + '_ {
        self.channels.iter().flat_map(Channel::leases)
    }

    /// The calls of those that wait here for the next relayer, in the order in which they came.
    pub fn waiting(&self, channel: ChannelId) -> impl Iterator<Item = CallId> + '_ {
        self.find(channel).into_iter().flat_map(Channel::waiting)
    }

    /// Whether a newcomer that brings so many slots would wait here for the next relayer, if there is a place.
    pub fn would_wait(&self, channel: ChannelId, peer: P, slots: Option<u16>) -> bool {
        self.find(channel).is_some_and(|channel| channel.would_wait(peer, slots, &self.uplink, &self.config))
    }

    // ---- inside

    fn find(&self, id: ChannelId) -> Option<&Channel<P>> {
        let at = self.channels.binary_search_by_key(&id, Channel::id).ok()?;
        self.channels.get(at)
    }

    /// Everything but the channels as one turn, and the channels beside it.
    fn turn<'a>(&'a mut self, ctx: &'a mut Context<'_, P>) -> (&'a mut Vec<Channel<P>>, Turn<'a, P>) {
        let turn = Turn {
            now: self.now,
            awake_since: self.awake_since,
            config: &self.config,
            me: self.me,
            uplink: &mut self.uplink,
            counters: &mut self.counters,
            placed_calls: &mut self.placed_calls,
            entropy: ctx.entropy,
            progress: ctx.progress,
            orders: ctx.orders,
        };
        (&mut self.channels, turn)
    }

    /// Gives freed slots to rescued children, lets the touched channel settle (all of them when the free slots, which they
    /// share, changed), and reads the deadlines anew.
    fn settle(&mut self, touched: Option<ChannelId>, ctx: &mut Context<'_, P>) {
        self.settle_these((touched, false), ctx);
    }

    /// The same, or `all` of them in any case.
    fn settle_these(&mut self, (touched, mut all): (Option<ChannelId>, bool), ctx: &mut Context<'_, P>) {
        let config = Arc::clone(&self.config);
        let free_before = self.free_told;
        let (channels, mut turn) = self.turn(ctx);
        all |= promote(channels, &mut turn);
        let free = turn.uplink.free();
        all |= free != free_before;
        for channel in channels.iter_mut().filter(|c| all || Some(c.id()) == touched) {
            channel.settle(&mut turn);
        }
        channels.retain(|c| !c.is_over());
        self.free_told = free;
        let deadlines = self.channels.iter().filter_map(|c| c.deadline(&config));
        // What is read first brings no timer forward.
        self.deadline = deadlines.min().map(|d| self.read_first.map_or(d, |r| d.max(r)));
    }
}

/// Gives free slots to rescued children, the oldest first. Whether there were any.
fn promote<P: Copy + Ord>(channels: &mut [Channel<P>], turn: &mut Turn<'_, P>) -> bool {
    let mut any = false;
    while turn.uplink.free() > 0 && turn.uplink.is_rescuing() {
        let rescuers = channels.iter_mut().filter(|c| c.serves(turn));
        let oldest = rescuers.filter_map(|c| c.oldest_rescued().map(|t| (t, c))).min_by_key(|r| r.0);
        let Some((_, channel)) = oldest else { break };
        channel.promote(turn);
        any = true;
    }
    any
}

fn hand_over<P: Copy + Ord>(channel: &mut Channel<P>, fact: Fact<P>, turn: &mut Turn<'_, P>) {
    match fact {
        Fact::Fetched { providers, .. } => channel.on_fetched(providers, true, turn),
        Fact::Met { providers, .. } => channel.on_fetched(providers, false, turn),
        Fact::FetchFailed { .. } => channel.on_fetched(Vec::new(), false, turn),
        Fact::Registered { ok, .. } => channel.on_registered(ok, turn),
        Fact::Outdone { by, .. } => channel.on_outdone(by, turn),
        Fact::Invited { call, peer, urgent, moves, slots, .. } => {
            channel.on_invited((call, peer), (urgent, moves), slots, turn);
        }
        Fact::ControlInvited { call, peer, .. } => channel.on_control_invited(call, peer, turn),
        Fact::StandbyInvited { call, peer, slots, .. } => {
            channel.on_standby_invited((call, peer), slots, turn);
        }
        Fact::Resumed { call } => channel.on_resumed(call, turn),
        Fact::Released { call } => channel.on_released(call, turn),
        Fact::Denied { call } => channel.on_denied(call, turn),
        Fact::Proceeding { call } => channel.on_proceeding(call),
        Fact::Answered { call, depth, rescue } => channel.on_answered(call, depth, rescue, turn),
        Fact::Refused { call, refusal } => channel.on_refused(call, refusal, turn),
        Fact::Cancelled { call } => channel.on_ended(call, ByeReason::Normal, turn),
        Fact::Ended { call, reason } => channel.on_ended(call, reason, turn),
        Fact::Reported { call, report } => channel.on_reported(call, report, turn),
        Fact::ReportFailed { call } => channel.on_report_failed(call, turn),
        Fact::FirstPacket { call, .. } => channel.on_first_packet(call, turn),
        Fact::Held { call, hold } => channel.on_held(call, hold, turn),
        Fact::RoundTrip { call, rtt } => channel.on_round_trip(call, rtt, turn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_without_an_office_is_small() {
        // A million of them live in one simulation.
        let size = size_of::<Iptv<u32>>() + channel::size_of_a_viewer::<u32>();
        assert!(size <= 704, "{size} bytes");
    }
}
