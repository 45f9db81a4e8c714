//! The machine of the media plane: one per node, for all its channels.
//!
//! | file | what it is |
//! | --- | --- |
//! | `mod.rs` | the machine: its limits and facts, orders of the policy, progress |
//! | `media.rs` | the way of a data packet |
//! | `replay.rs` | the past of a channel, for a child that begins behind its newest packet |
//! | `nack.rs` | single losses: asking a parent or a standby, answering a child |
//! | `control.rs` | RTCP in both directions, and the timer of the reports |
//! | `seal.rs` | channels that their source signs |
//! | `standby.rs` | calls in which nothing flows, until the child asks for it |
//! | `voice.rs` | for which calls a control packet speaks, and whether it may |
//! | `channel.rs` | one channel: its source, its reception, its targets |
//! | `roster.rs` | parents and children, found by address and by call |
//!
//! Media is taken only from addresses that are parents now, RTCP only from parents and children. Two parents may
//! serve a channel at the same time; the window lets each packet through once. Several channels may come from one
//! address; their SSRCs tell them apart. A new packet becomes [`Fact::Packet`] with the very buffer that came in, to
//! be sent to [`Relay::children`] and played; this path neither allocates nor copies. Upwards the relay reports its
//! reception once a second, downwards it passes on the source's sender reports and, when told to, a [`Hold`].
//!
//! A call may have [`Keys`]. Then RTCP counts for it only when it comes under its key ([`srtcp`](super::srtcp)), for the
//! first time, and what is sent to it goes under its key, a passed on sender report too. Calls without keys of the same
//! address are none of its business: whoever speaks for them speaks for nobody else.

mod channel;
mod control;
mod media;
mod nack;
mod replay;
mod roster;
mod seal;
mod standby;
#[cfg(test)]
mod tests;
mod voice;

use super::header::{self, Kind};
use super::integrity::{self, Trials};
use super::missing;
use super::reception::{Counters, Pace};
use super::ring;
use super::rtcp::Hold;
use super::srtcp::Keys;
use crate::bounded::BoundedMap;
use crate::effect::Effects;
use crate::env::Entropy;
use crate::ids::{CallId, ChannelId};
use crate::stats::DropReason;
use crate::time::{Duration, Instant, earliest};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use channel::Channel;
use core::net::SocketAddr;
use nack::Answers;
pub use nack::{
    BURST as NACK_BURST, EARNED_IN as NACK_EARNED_IN, FAR as NACK_FAR, MAX_ASKED as NACK_MAX_ASKED,
    STANDBY_EARNED_IN as NACK_STANDBY_EARNED_IN, VAIN as NACK_VAIN,
};
use replay::Replay;
pub use replay::{BURST as REPLAY_BURST, SPEED as REPLAY_SPEED, TICK as REPLAY_TICK};
use roster::{Peer, Roster};
use seal::Deceit;
pub use seal::{HARM, HARM_TIME};
use standby::{Asked, Asking, Flow};
pub use standby::{RESUME_INTERVAL, RESUMES, STANDBY_REPORT_INTERVAL};

/// Between two receiver reports, give or take a tenth.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// How long the source of a channel must have been silent before another SSRC may take its place. Packets of the old
/// source that are still under way through a second parent do not bring it back.
pub const TAKEOVER_AFTER: Duration = Duration::from_millis(200);

/// How much the relay may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Channels at the same time; [`Relay::open`] refuses more.
    pub channels: usize,
    /// Parents of all channels together; [`Relay::add_parent`] refuses more.
    pub parents: usize,
    /// Children of all channels together; [`Relay::add_child`] refuses more.
    pub children: usize,
    /// Octets of one datagram; larger ones are dropped.
    pub datagram: usize,
    /// The last packets of each channel.
    pub ring: ring::Limits,
    /// What is asked for again of each channel.
    pub missing: missing::Limits,
    /// What a channel that is signed holds in addition.
    pub integrity: integrity::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            channels: 64,
            parents: 256,
            children: 4096,
            datagram: 1500,
            ring: ring::Limits::default(),
            missing: missing::Limits::default(),
            integrity: integrity::Limits::default(),
        }
    }
}

/// What a relay is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node's own SSRC, under which it reports; to be chosen at random (RFC 3550 §8).
    pub ssrc: u32,
    /// This node's canonical name (RFC 3550 §6.5.1), at most 255 octets.
    pub cname: String,
    /// How much the relay may hold.
    pub limits: Limits,
}

/// Where a channel's media come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// From this node's host, through [`Relay::push`].
    Source,
    /// From parents.
    Viewer,
}

/// Where a parent or a child is, and under which keys its RTCP travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Where its RTP and RTCP come from and go to.
    pub addr: SocketAddr,
    /// `None`: whatever comes from that address is believed.
    pub keys: Option<Keys>,
}

/// Without keys.
impl From<SocketAddr> for Remote {
    fn from(addr: SocketAddr) -> Self {
        Remote { addr, keys: None }
    }
}

/// What the policy gets to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A new packet: for the children, and for the player here. The payload is the buffer that came in.
    Packet {
        /// The channel.
        channel: ChannelId,
        /// The whole RTP packet.
        payload: Bytes,
    },
    /// Media flows from this parent now. It comes once for each call, in front of the packet itself, and also when
    /// that packet turns out to be a duplicate, because another parent was faster.
    FirstPacket {
        /// The channel.
        channel: ChannelId,
        /// The parent's call.
        call: CallId,
    },
    /// The parent is alive and says why it sends nothing.
    Held {
        /// The channel.
        channel: ChannelId,
        /// The parent's call.
        call: CallId,
        /// Why.
        hold: Hold,
    },
    /// A standby's child asks for media: to be answered by [`Relay::serve`] or [`Relay::deny`].
    Resumed {
        /// The channel.
        channel: ChannelId,
        /// The child's call.
        call: CallId,
    },
    /// A standby's child that is covered needs that no longer: time for [`Relay::rest`].
    Released {
        /// The channel.
        channel: ChannelId,
        /// The child's call.
        call: CallId,
    },
    /// A standby that was asked for media cannot give any now.
    Denied {
        /// The channel.
        channel: ChannelId,
        /// The provider's call.
        call: CallId,
    },
    /// A window of a channel is to be signed: to be answered by [`Relay::sign`].
    ToSign {
        /// The channel.
        channel: ChannelId,
    },
    /// A list has come: to be answered by [`Relay::judge`].
    ToJudge {
        /// The channel.
        channel: ChannelId,
    },
    /// What this parent sent was not what the source had sent, and that was missing in the end.
    Deceived {
        /// The channel.
        channel: ChannelId,
        /// The parent's call.
        call: CallId,
    },
    /// Something that came earlier goes no further.
    Dropped {
        /// Why.
        reason: DropReason,
    },
}

/// Where a child's packets begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the next packet that comes.
    Live,
    /// With the last random access point.
    RandomAccess,
    /// Behind this sequence number.
    After(u16),
}

/// The caller's mistake. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// The channel is not open.
    #[error("the channel is not open")]
    UnknownChannel,
    /// The channel is open already.
    #[error("the channel is open already")]
    ChannelInUse,
    /// The call is a parent's or a child's already.
    #[error("the call is in use already")]
    CallInUse,
    /// Only a source pushes, and a source has no parents.
    #[error("not in this role")]
    WrongRole,
    /// Not an RTP packet that may be sent beside RTCP.
    #[error("not an RTP packet")]
    NotRtp,
    /// Larger than [`Limits::datagram`].
    #[error("larger than a datagram may be")]
    TooLarge,
    /// This sequence number was sent already, or is out of the order that receivers would follow.
    #[error("sequence number out of order")]
    OutOfSequence,
    /// A limit of [`Limits`].
    #[error("too many {0}")]
    Full(&'static str),
}

/// What is remembered of a parent.
#[derive(Clone, Copy, Debug, Default)]
struct Upstream {
    flow: Flow,
    last_heard: Option<Instant>,
    flowing: bool,
    /// Packets that were further on than all that it had brought before, and the number of the last of them.
    brought: u64,
    furthest: u64,
    last_brought: Option<Instant>,
    last_reported: Option<Instant>,
    /// A standby that was asked for media.
    asking: Option<Asking>,
    /// When a standby was last told that no more is needed.
    released: Option<Instant>,
    /// Times that a resting standby was asked for what is missing, and has sent nothing of it; and when it was asked last.
    vain: u8,
    asked: Option<Instant>,
    /// It begins with what this node has already, or lacks.
    catching_up: Option<CatchingUp>,
    /// How many wrong lists it may still send.
    trials: Trials,
    deceit: Deceit,
}

impl Upstream {
    /// Whether this packet comes from there without being asked for.
    fn brings(&self, now: Instant, number: u64) -> bool {
        self.catching_up.is_some_and(|CatchingUp { after, until }| after < number && now < until)
    }
}

/// A parent that sends the past first.
#[derive(Clone, Copy, Debug)]
struct CatchingUp {
    /// The last packet that need not come, or that has come.
    after: u64,
    /// When it has had time enough.
    until: Instant,
}

/// What is remembered of a child.
#[derive(Clone, Debug, Default)]
struct Downstream {
    flow: Flow,
    /// It has not caught up with the channel yet.
    replay: Option<Replay>,
    answers: Answers,
    /// The RESUME of a standby's child, until it rests again.
    asked: Option<Asked>,
    /// When a RESUME of its last had an effect.
    resumed: Option<Instant>,
    last_report: Option<Instant>,
    fraction_lost: Option<u8>,
}

/// The media plane of one node.
#[derive(Debug)]
pub struct Relay {
    config: Config,
    channels: BoundedMap<ChannelId, Channel>,
    parents: Roster<Upstream>,
    children: Roster<Downstream>,
    /// While there are parents.
    next_report: Option<Instant>,
    /// While a standby is being asked.
    next_resume: Option<Instant>,
    /// The children that have not caught up, and when they get more.
    replays: Vec<CallId>,
    next_replay: Option<Instant>,
    /// When a missing packet is to be asked for.
    next_ask: Option<Instant>,
    /// When something is signed, or held no longer.
    next_seal: Option<Instant>,
}

/// Orders.
impl Relay {
    /// A relay without channels.
    pub fn new(config: Config) -> Self {
        let Limits { channels, parents, children, .. } = config.limits;
        Relay {
            config,
            channels: BoundedMap::new(channels),
            parents: Roster::new(parents),
            children: Roster::new(children),
            next_report: None,
            next_resume: None,
            replays: Vec::new(),
            next_replay: None,
            next_ask: None,
            next_seal: None,
        }
    }

    /// Opens a channel.
    pub fn open(&mut self, channel: ChannelId, role: Role) -> Result<(), RelayError> {
        if self.channels.contains_key(&channel) {
            return Err(RelayError::ChannelInUse);
        }
        self.channels
            .insert(channel, Channel::new(role, &self.config.limits))
            .map_err(|_| RelayError::Full("channels"))?;
        Ok(())
    }

    /// The host is the channel's source from now on: its parents are forgotten, its children get what is pushed.
    pub fn take_over(&mut self, now: Instant, channel: ChannelId) {
        let Some(state) = self.channels.get_mut(&channel) else { return };
        let seal = state.seal.take().map(|seal| seal.taken_over(&self.config.limits));
        *state = Channel::new(Role::Source, &self.config.limits);
        state.seal = seal;
        self.parents.retain(|peer| peer.channel != channel);
        // The past is not this source's.
        self.end_replays(now, channel, &mut Effects::new());
        self.schedule_seals();
        self.rest_when_parentless();
    }

    /// Closes a channel and forgets its parents, its children and its counters.
    pub fn close(&mut self, channel: ChannelId) {
        self.channels.remove(&channel);
        self.parents.retain(|peer| peer.channel != channel);
        self.children.retain(|peer| peer.channel != channel);
        self.schedule_seals();
        self.rest_when_parentless();
    }

    /// Takes media of a channel from this parent from now on. `ssrc` is the source that the parent announced
    /// (`a=ssrc` of RFC 5576), where it did. A first receiver report, still empty, tells the parent at once that its
    /// child lives.
    pub fn add_parent(
        &mut self,
        now: Instant,
        call: CallId,
        channel: ChannelId,
        remote: impl Into<Remote>,
        ssrc: Option<u32>,
        fx: &mut Effects<Fact>,
    ) -> Result<(), RelayError> {
        self.insert_parent(now, Peer::new(call, channel, &remote.into(), Upstream::default()), fx)?;
        if let (Some(ssrc), Some(state)) = (ssrc, self.channels.get_mut(&channel)) {
            state.announce(now, ssrc);
        }
        Ok(())
    }

    fn insert_parent(
        &mut self,
        now: Instant,
        mut peer: Peer<Upstream>,
        fx: &mut Effects<Fact>,
    ) -> Result<(), RelayError> {
        let (call, channel) = (peer.call, peer.channel);
        let state = self.channels.get(&channel).ok_or(RelayError::UnknownChannel)?;
        if state.role == Role::Source {
            return Err(RelayError::WrongRole);
        }
        if self.children.contains(call) {
            return Err(RelayError::CallInUse);
        }
        peer.state.last_reported = Some(now);
        peer.state.catching_up = state.catching_up(now, self.config.limits.missing.playout);
        self.parents.insert(peer, "parents")?;
        self.retarget(channel);
        if let Some(parent) = self.parents.get_mut(call) {
            parent.send(&self.config.report(&[]), fx);
        }
        self.next_report.get_or_insert(now + REPORT_INTERVAL);
        Ok(())
    }

    /// Takes no more media on behalf of this call.
    pub fn remove_parent(&mut self, call: CallId) {
        if let Some(peer) = self.parents.remove(call) {
            self.retarget(peer.channel);
            self.rest_when_parentless();
        }
    }

    /// Serves a channel to this child from now on.
    pub fn add_child(
        &mut self,
        now: Instant,
        call: CallId,
        channel: ChannelId,
        remote: impl Into<Remote>,
        from: Start,
        fx: &mut Effects<Fact>,
    ) -> Result<(), RelayError> {
        self.insert_child(Peer::new(call, channel, &remote.into(), Downstream::default()))?;
        self.begin(now, call, from, fx);
        Ok(())
    }

    fn insert_child(&mut self, peer: Peer<Downstream>) -> Result<(), RelayError> {
        if !self.channels.contains_key(&peer.channel) {
            return Err(RelayError::UnknownChannel);
        }
        if self.parents.contains(peer.call) {
            return Err(RelayError::CallInUse);
        }
        self.children.insert(peer, "children")
    }

    /// It takes this long to the other end of a call and back.
    pub fn on_round_trip(&mut self, call: CallId, rtt: Duration) {
        let parent = self.parents.get_mut(call).map(|peer| &mut peer.rtt);
        if let Some(known) = parent.or(self.children.get_mut(call).map(|peer| &mut peer.rtt)) {
            *known = Some(rtt);
        }
    }

    /// Serves this call no more.
    pub fn remove_child(&mut self, call: CallId) {
        if let Some(peer) = self.children.remove(call) {
            self.retarget(peer.channel);
        }
    }

    /// Works out anew who is sent the channel.
    fn retarget(&mut self, channel: ChannelId) {
        self.extend_replays(channel);
        let Some(state) = self.channels.get_mut(&channel) else { return };
        state.targets.clear();
        state.catching_up.clear();
        let is_served = |peer: &&Peer<Downstream>| peer.channel == channel && !peer.state.flow.is_resting();
        let feeds = |peer: &Peer<Upstream>| peer.channel == channel && !peer.state.flow.is_resting();
        for peer in self.children.iter().filter(is_served) {
            let fed_from_there = self.parents.at(peer.addr).iter().any(feeds);
            // The roster is in the order of addresses, so two calls of one address stand side by side.
            let catches_up = peer.state.replay.is_some();
            let addresses = if catches_up { &mut state.catching_up } else { &mut state.targets };
            if !fed_from_there && addresses.last() != Some(&peer.addr) {
                addresses.push(peer.addr);
            }
        }
        // Another call of the same address may have caught up.
        let targets = &state.targets;
        state.catching_up.retain(|addr| targets.binary_search(addr).is_err());
        if let Some(seal) = &mut state.seal {
            seal.listeners.clear();
            let with_keys = self.children.iter().filter(is_served).filter(|peer| peer.srtcp.is_some());
            for addr in with_keys.map(|peer| peer.addr) {
                if state.targets.binary_search(&addr).is_ok() && seal.listeners.last() != Some(&addr) {
                    seal.listeners.push(addr);
                }
            }
        }
    }

    fn rest_when_parentless(&mut self) {
        if self.parents.is_empty() {
            self.next_report = None;
            self.next_resume = None;
        }
    }
}

/// Inputs.
impl Relay {
    /// A datagram of the media socket. An error says why it went no further; a parent's sign of life counts even
    /// then, and a [`Fact::FirstPacket`] may come with [`DropReason::Duplicate`].
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        payload: Bytes,
        fx: &mut Effects<Fact>,
    ) -> Result<(), DropReason> {
        if payload.len() > self.config.limits.datagram {
            return Err(DropReason::TooLarge);
        }
        match header::kind_of(&payload) {
            Some(Kind::Rtp) => self.on_media(now, from, payload, fx),
            Some(Kind::Rtcp) => self.on_control(now, from, &payload, fx),
            None => Err(DropReason::NotRtp),
        }
    }

    /// When there is something to send: reports, a RESUME, the next burst of a replay, a NACK.
    pub fn deadline(&self) -> Option<Instant> {
        let media = earliest(self.next_replay, self.next_seal);
        earliest(earliest(self.next_report, self.next_resume), earliest(media, self.next_ask))
    }

    /// Sends what is due. Before [`Relay::deadline`] it does nothing.
    pub fn handle_timeout(&mut self, now: Instant, entropy: &mut dyn Entropy, fx: &mut Effects<Fact>) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.next_resume) {
            self.ask_again(now, fx);
        }
        if is_due(self.next_replay) {
            self.replay_all(now, fx);
        }
        if is_due(self.next_seal) {
            self.tend_seals(now, fx);
        }
        if is_due(self.next_ask) {
            self.ask_for_missing(now, fx);
        }
        if is_due(self.next_report) {
            self.report(now, entropy, fx);
        }
    }
}

/// Progress, for the policy to read at its own timers.
impl Relay {
    /// The addresses that a channel's packets go to: each child once, and none that feeds the channel to this node.
    pub fn children(&self, channel: ChannelId) -> &[SocketAddr] {
        self.channels.get(&channel).map_or(&[], |state| &state.targets)
    }

    /// The SSRC of a channel's media, once announced or seen.
    pub fn ssrc(&self, channel: ChannelId) -> Option<u32> {
        self.channels.get(&channel)?.ssrc
    }

    /// The highest extended sequence number of a channel.
    pub fn highest(&self, channel: ChannelId) -> Option<u32> {
        self.channels.get(&channel)?.reception.highest()
    }

    /// When the last new packet of a channel came, from wherever.
    pub fn last_media(&self, channel: ChannelId) -> Option<Instant> {
        self.channels.get(&channel)?.reception.last_new()
    }

    /// When this parent last gave a sign of life for its channel: media (duplicates too), a notice, an SR.
    pub fn last_from(&self, call: CallId) -> Option<Instant> {
        self.parents.get(call)?.state.last_heard
    }

    /// How many packets this parent has brought that were further on than all that it had brought before: new to this
    /// node, or there already because another one was faster.
    pub fn brought(&self, call: CallId) -> u64 {
        self.parents.get(call).map_or(0, |peer| peer.state.brought)
    }

    /// When it brought the last of them.
    pub fn last_brought(&self, call: CallId) -> Option<Instant> {
        self.parents.get(call)?.state.last_brought
    }

    /// When this child last reported. `None` is a child that never did; plain agents may not.
    pub fn last_report(&self, call: CallId) -> Option<Instant> {
        self.children.get(call)?.state.last_report
    }

    /// The loss in this child's last report, in 1/256.
    pub fn reported_loss(&self, call: CallId) -> Option<u8> {
        self.children.get(call)?.state.fraction_lost
    }

    /// How the packets of a channel arrive, once two arrivals have shown it.
    pub fn pace(&self, channel: ChannelId) -> Option<Pace> {
        self.channels.get(&channel)?.reception.pace()
    }

    /// What was counted on a channel since it was opened.
    pub fn counters(&self, channel: ChannelId) -> Option<Counters> {
        let state = self.channels.get(&channel)?;
        let integrity = state.seal.as_ref().map(|seal| seal.counts());
        Some(Counters { repair: state.missing.counts(), integrity, ..state.reception.counters() })
    }
}

/// The channel of one of these parents whose source this is.
fn channel_of<'a>(
    parents: impl IntoIterator<Item = &'a Peer<Upstream>>,
    channels: &BoundedMap<ChannelId, Channel>,
    ssrc: u32,
) -> Option<ChannelId> {
    let is_source = |id| channels.get(&id).is_some_and(|channel| channel.ssrc == Some(ssrc));
    parents.into_iter().map(|parent| parent.channel).find(|&id| is_source(id))
}

/// The one value that all elements have.
fn only<T: PartialEq>(mut elements: impl Iterator<Item = T>) -> Option<T> {
    let first = elements.next()?;
    elements.all(|element| element == first).then_some(first)
}
