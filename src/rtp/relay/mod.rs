//! The machine of the media plane: one per node, for all its channels.
//!
//! | file | what it is |
//! | --- | --- |
//! | `mod.rs` | the machine: orders of the policy, datagrams, timers, progress |
//! | `channel.rs` | one channel: its source, its reception, its targets |
//! | `roster.rs` | parents and children, found by address and by call |
//!
//! Media is taken only from addresses that are parents now, RTCP only from parents and children. Two parents may
//! serve a channel at the same time; the window lets each packet through once. Several channels may come from one
//! address; their SSRCs tell them apart. A new packet becomes [`Fact::Packet`] with the very buffer that came in, to
//! be sent to [`Relay::children`] and played; this path neither allocates nor copies. Upwards the relay reports its
//! reception once a second, downwards it passes on the source's sender reports and, when told to, a [`Hold`].

mod channel;
mod roster;
#[cfg(test)]
mod tests;

use super::header::{self, Kind, Packet};
use super::reception::Counters;
use super::rtcp::{self, Composer, Hold, Notice, ReportBlock};
use super::window::Seen;
use crate::bounded::BoundedMap;
use crate::effect::Effects;
use crate::env::Entropy;
use crate::ids::{CallId, ChannelId};
use crate::stats::DropReason;
use crate::time::{Duration, Instant};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use channel::Channel;
use core::net::SocketAddr;
use roster::{Peer, Roster};

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
}

impl Default for Limits {
    fn default() -> Self {
        Limits { channels: 64, parents: 256, children: 4096, datagram: 1500 }
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
    last_heard: Option<Instant>,
    flowing: bool,
}

/// What is remembered of a child.
#[derive(Clone, Copy, Debug, Default)]
struct Downstream {
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
        }
    }

    /// Opens a channel.
    pub fn open(&mut self, channel: ChannelId, role: Role) -> Result<(), RelayError> {
        if self.channels.contains_key(&channel) {
            return Err(RelayError::ChannelInUse);
        }
        self.channels.insert(channel, Channel::new(role)).map_err(|_| RelayError::Full("channels"))?;
        Ok(())
    }

    /// Closes a channel and forgets its parents, its children and its counters.
    pub fn close(&mut self, channel: ChannelId) {
        self.channels.remove(&channel);
        self.parents.retain(|peer| peer.channel != channel);
        self.children.retain(|peer| peer.channel != channel);
        self.rest_when_parentless();
    }

    /// Takes media of a channel from this address from now on. `ssrc` is the source that the parent announced
    /// (`a=ssrc` of RFC 5576), where it did. A first receiver report to it is due at once.
    pub fn add_parent(
        &mut self,
        now: Instant,
        call: CallId,
        channel: ChannelId,
        addr: SocketAddr,
        ssrc: Option<u32>,
    ) -> Result<(), RelayError> {
        let state = self.channels.get_mut(&channel).ok_or(RelayError::UnknownChannel)?;
        if state.role == Role::Source {
            return Err(RelayError::WrongRole);
        }
        if self.children.contains(call) {
            return Err(RelayError::CallInUse);
        }
        self.parents.insert(Peer { addr, call, channel, state: Upstream::default() }, "parents")?;
        if let Some(ssrc) = ssrc {
            state.announce(now, ssrc);
        }
        self.next_report = Some(now);
        self.retarget(channel);
        Ok(())
    }

    /// Takes no more media on behalf of this call.
    pub fn remove_parent(&mut self, call: CallId) {
        if let Some(peer) = self.parents.remove(call) {
            self.retarget(peer.channel);
            self.rest_when_parentless();
        }
    }

    /// Serves a channel to this address from now on.
    pub fn add_child(
        &mut self,
        call: CallId,
        channel: ChannelId,
        addr: SocketAddr,
    ) -> Result<(), RelayError> {
        if !self.channels.contains_key(&channel) {
            return Err(RelayError::UnknownChannel);
        }
        if self.parents.contains(call) {
            return Err(RelayError::CallInUse);
        }
        self.children.insert(Peer { addr, call, channel, state: Downstream::default() }, "children")?;
        self.retarget(channel);
        Ok(())
    }

    /// Serves this call no more.
    pub fn remove_child(&mut self, call: CallId) {
        if let Some(peer) = self.children.remove(call) {
            self.retarget(peer.channel);
        }
    }

    /// Tells the children of a channel at once why they get no media.
    pub fn hold(&mut self, channel: ChannelId, hold: Hold, fx: &mut Effects<Fact>) {
        let Some(state) = self.channels.get(&channel) else { return };
        let notice =
            Notice { hold, ssrc: state.ssrc.unwrap_or(0), highest: state.reception.highest().unwrap_or(0) };
        let Some((last, others)) = state.targets.split_last() else { return };
        let datagram = Composer::receiver_report(self.config.ssrc, &[])
            .cname(&self.config.cname)
            .notice(notice)
            .finish();
        others.iter().for_each(|&to| fx.send(to, datagram.clone()));
        fx.send(*last, datagram);
    }

    /// Works out anew who is sent the channel.
    fn retarget(&mut self, channel: ChannelId) {
        let Some(state) = self.channels.get_mut(&channel) else { return };
        state.targets.clear();
        for peer in self.children.iter().filter(|peer| peer.channel == channel) {
            let fed_from_there = self.parents.at(peer.addr).iter().any(|parent| parent.channel == channel);
            // The roster is in the order of addresses, so two calls of one address stand side by side.
            if !fed_from_there && state.targets.last() != Some(&peer.addr) {
                state.targets.push(peer.addr);
            }
        }
    }

    fn rest_when_parentless(&mut self) {
        if self.parents.is_empty() {
            self.next_report = None;
        }
    }
}

/// Media and its control.
impl Relay {
    /// The host's own packet of a channel that this node publishes. It becomes a [`Fact::Packet`].
    pub fn push(
        &mut self,
        now: Instant,
        channel: ChannelId,
        packet: Bytes,
        fx: &mut Effects<Fact>,
    ) -> Result<(), RelayError> {
        let state = self.channels.get_mut(&channel).ok_or(RelayError::UnknownChannel)?;
        if state.role != Role::Source {
            return Err(RelayError::WrongRole);
        }
        if packet.len() > self.config.limits.datagram {
            return Err(RelayError::TooLarge);
        }
        if header::kind_of(&packet) != Some(Kind::Rtp) {
            return Err(RelayError::NotRtp);
        }
        let header = Packet::parse(&packet).map_err(|_| RelayError::NotRtp)?.header;
        if state.ssrc != Some(header.ssrc) {
            state.follow(header.ssrc);
        }
        match state.reception.on_packet(now, header.sequence, header.timestamp, packet.len()) {
            Seen::New => {
                fx.fact(Fact::Packet { channel, payload: packet });
                Ok(())
            }
            Seen::Duplicate | Seen::TooOld | Seen::Jump => Err(RelayError::OutOfSequence),
        }
    }

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

    fn on_media(
        &mut self,
        now: Instant,
        from: SocketAddr,
        payload: Bytes,
        fx: &mut Effects<Fact>,
    ) -> Result<(), DropReason> {
        let header = Packet::parse(&payload).map_err(|_| DropReason::NotRtp)?.header;
        let parents = self.parents.at_mut(from);
        if parents.is_empty() {
            return Err(DropReason::UnknownSender);
        }
        let channel = channel_of(parents, &self.channels, header.ssrc)
            .or_else(|| heir_to(parents, &self.channels, now))
            .ok_or(DropReason::UnknownSsrc)?;
        let state = self.channels.get_mut(&channel).ok_or(DropReason::UnknownSsrc)?;
        if !state.is_from(header.ssrc, header.sequence) {
            return Err(DropReason::UnknownSsrc);
        }
        let seen = state.reception.on_packet(now, header.sequence, header.timestamp, payload.len());
        for parent in parents.iter_mut().filter(|parent| parent.channel == channel) {
            parent.state.last_heard = Some(now);
            if !parent.state.flowing && matches!(seen, Seen::New | Seen::Duplicate) {
                parent.state.flowing = true;
                fx.fact(Fact::FirstPacket { channel, call: parent.call });
            }
        }
        match seen {
            Seen::New => {
                fx.fact(Fact::Packet { channel, payload });
                Ok(())
            }
            Seen::Duplicate => Err(DropReason::Duplicate),
            Seen::TooOld => Err(DropReason::TooOld),
            Seen::Jump => Err(DropReason::SequenceJump),
        }
    }

    fn on_control(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &Bytes,
        fx: &mut Effects<Fact>,
    ) -> Result<(), DropReason> {
        if self.parents.at(from).is_empty() && self.children.at(from).is_empty() {
            return Err(DropReason::UnknownSender);
        }
        let packets = rtcp::parse(datagram).map_err(|_| DropReason::NotRtp)?;
        let mut used = false;
        let mut sender_report_of = None;
        let mut has_notice = false;
        for packet in &packets {
            match packet {
                rtcp::Packet::SenderReport { ssrc, info, blocks } => {
                    used |= self.on_report(now, from, blocks);
                    if let Some((channel, is_newer)) = self.on_sender_report(now, from, *ssrc, info) {
                        sender_report_of = sender_report_of.or(is_newer.then_some(channel));
                        used = true;
                    }
                }
                rtcp::Packet::ReceiverReport { blocks, .. } => used |= self.on_report(now, from, blocks),
                rtcp::Packet::Application(app) => {
                    if let Some(notice) = Notice::from_application(app) {
                        has_notice = true;
                        used |= self.on_notice(now, from, notice, fx);
                    }
                }
                rtcp::Packet::Goodbye(sources) => {
                    sources.iter().for_each(|ssrc| used |= self.on_goodbye(from, ssrc));
                }
                rtcp::Packet::SourceDescription(_) | rtcp::Packet::Other { .. } => {}
            }
        }
        // A notice is for one hop only, so what carries one stays here.
        if let (Some(channel), false) = (sender_report_of, has_notice) {
            self.children(channel).iter().for_each(|&to| fx.send(to, datagram.clone()));
        }
        if used { Ok(()) } else { Err(DropReason::UnknownSsrc) }
    }

    /// A child's report. It stands for each of its calls whose source it names, and for those whose source nobody
    /// knows yet; a report that names no source of ours stands for all of them. Whether it stood for any.
    fn on_report(&mut self, now: Instant, from: SocketAddr, blocks: &rtcp::Blocks<'_>) -> bool {
        let channels = &self.channels;
        let ssrc_of = |peer: &Peer<Downstream>| channels.get(&peer.channel).and_then(|channel| channel.ssrc);
        let calls = self.children.at_mut(from);
        let block_of = |peer: &Peer<Downstream>| {
            ssrc_of(peer).and_then(|ssrc| blocks.iter().find(|block| block.ssrc == ssrc))
        };
        let names_none = calls.iter().all(|peer| block_of(peer).is_none());
        for peer in calls.iter_mut() {
            let block = block_of(peer);
            if names_none || block.is_some() || ssrc_of(peer).is_none() {
                peer.state.last_report = Some(now);
            }
            if let Some(block) = block {
                peer.state.fraction_lost = Some(block.fraction_lost);
            }
        }
        !calls.is_empty()
    }

    /// The channel whose source this SR is from, and whether it is newer than all before, so that the children are to
    /// have it too.
    fn on_sender_report(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ssrc: u32,
        info: &rtcp::SenderInfo,
    ) -> Option<(ChannelId, bool)> {
        let parents = self.parents.at_mut(from);
        let channel = channel_of(parents, &self.channels, ssrc)?;
        for parent in parents.iter_mut().filter(|parent| parent.channel == channel) {
            parent.state.last_heard = Some(now);
        }
        let state = self.channels.get_mut(&channel)?;
        let is_newer = state.is_newer_report(info.ntp);
        if is_newer {
            state.reception.on_sender_report(now, info);
        }
        Some((channel, is_newer))
    }

    /// A parent's notice. One about an unknown source, or none, comes from a parent that has other media than we
    /// know, or none yet: it is for the calls on which nothing flowed, else for the only channel. Whether it was for
    /// any.
    fn on_notice(&mut self, now: Instant, from: SocketAddr, notice: Notice, fx: &mut Effects<Fact>) -> bool {
        let parents = self.parents.at_mut(from);
        let named = channel_of(parents, &self.channels, notice.ssrc);
        let some_wait = parents.iter().any(|parent| !parent.state.flowing);
        let only_one = only(parents.iter().map(|parent| parent.channel)).is_some();
        let mut used = false;
        for parent in parents {
            let meant = match named {
                Some(channel) => parent.channel == channel,
                None if some_wait => !parent.state.flowing,
                None => only_one,
            };
            if meant {
                used = true;
                parent.state.last_heard = Some(now);
                fx.fact(Fact::Held { channel: parent.channel, call: parent.call, hold: notice.hold });
            }
        }
        used
    }

    /// The source takes its leave: another may follow without waiting for its silence.
    fn on_goodbye(&mut self, from: SocketAddr, ssrc: u32) -> bool {
        let channel = channel_of(self.parents.at(from), &self.channels, ssrc);
        let Some(state) = channel.and_then(|id| self.channels.get_mut(&id)) else { return false };
        state.said_goodbye = true;
        true
    }
}

/// The channel of this parent whose source this is.
fn channel_of(
    parents: &[Peer<Upstream>],
    channels: &BoundedMap<ChannelId, Channel>,
    ssrc: u32,
) -> Option<ChannelId> {
    let is_source = |id| channels.get(&id).is_some_and(|channel| channel.ssrc == Some(ssrc));
    parents.iter().map(|parent| parent.channel).find(|&id| is_source(id))
}

/// The channel of this parent that an unknown source may take: the only one that has none yet, or else, when all have
/// one, the only one whose source is gone (an encoder that was started again).
fn heir_to(
    parents: &[Peer<Upstream>],
    channels: &BoundedMap<ChannelId, Channel>,
    now: Instant,
) -> Option<ChannelId> {
    let those = |fits: fn(&Channel, Instant) -> bool| {
        let fits = move |id| channels.get(&id).is_some_and(|channel| fits(channel, now));
        parents.iter().map(|parent| parent.channel).filter(move |&id| fits(id))
    };
    let mut vacant = those(|channel, _| channel.ssrc.is_none()).peekable();
    if vacant.peek().is_some() { only(vacant) } else { only(those(Channel::lost_its_source)) }
}

/// The one value that all elements have.
fn only<T: PartialEq>(mut elements: impl Iterator<Item = T>) -> Option<T> {
    let first = elements.next()?;
    elements.all(|element| element == first).then_some(first)
}

/// Timers.
impl Relay {
    /// When the next receiver reports are due.
    pub fn deadline(&self) -> Option<Instant> {
        self.next_report
    }

    /// Sends the receiver reports that are due: one datagram to each parent address.
    pub fn handle_timeout(&mut self, now: Instant, entropy: &mut dyn Entropy, fx: &mut Effects<Fact>) {
        if self.next_report.is_none_or(|at| now < at) {
            return;
        }
        let tenth = REPORT_INTERVAL / 10;
        let jitter = Duration::from_micros(entropy.below(2 * tenth.as_micros() as u64 + 1));
        self.next_report = Some(now + (REPORT_INTERVAL - tenth) + jitter);

        let blocks: Vec<(ChannelId, ReportBlock)> = self
            .channels
            .iter_mut()
            .filter_map(|(&id, channel)| Some((id, channel.reception.report(now, channel.ssrc?)?)))
            .collect();
        for calls in self.parents.by_address() {
            let Some(to) = calls.first().map(|parent| parent.addr) else { continue };
            let theirs = |id: &ChannelId| calls.iter().any(|parent| parent.channel == *id);
            let reported: Vec<ReportBlock> =
                blocks.iter().filter(|(id, _)| theirs(id)).map(|&(_, block)| block).collect();
            let datagram =
                Composer::receiver_report(self.config.ssrc, &reported).cname(&self.config.cname).finish();
            fx.send(to, datagram);
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

    /// When the last new packet of a channel came, from wherever.
    pub fn last_media(&self, channel: ChannelId) -> Option<Instant> {
        self.channels.get(&channel)?.reception.last_new()
    }

    /// When this parent last gave a sign of life for its channel: media (duplicates too), a notice, an SR.
    pub fn last_from(&self, call: CallId) -> Option<Instant> {
        self.parents.get(call)?.state.last_heard
    }

    /// When this child last reported. `None` is a child that never did; plain agents may not.
    pub fn last_report(&self, call: CallId) -> Option<Instant> {
        self.children.get(call)?.state.last_report
    }

    /// The loss in this child's last report, in 1/256.
    pub fn reported_loss(&self, call: CallId) -> Option<u8> {
        self.children.get(call)?.state.fraction_lost
    }

    /// What was counted on a channel since it was opened.
    pub fn counters(&self, channel: ChannelId) -> Option<Counters> {
        Some(self.channels.get(&channel)?.reception.counters())
    }
}
