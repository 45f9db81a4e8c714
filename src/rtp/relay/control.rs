//! RTCP: reports and notices, in both directions. All but the source's sender reports goes one hop.

use super::nack::Answered;
use super::roster::Peer;
use super::voice::Voice;
use super::{
    Config, Downstream, Fact, REPORT_INTERVAL, Relay, STANDBY_REPORT_INTERVAL, Upstream, channel_of, only,
};
use crate::effect::Effects;
use crate::env::Entropy;
use crate::ids::ChannelId;
use crate::rtp::rtcp::{self, Composer, Cue, Hold, MAX_COUNT, Notice, ReportBlock};
use crate::stats::DropReason;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

/// Where a control packet came from, and on whose behalf.
type Speaker = (SocketAddr, Voice);

/// What arrives.
impl Relay {
    pub(super) fn on_control(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &Bytes,
        fx: &mut Effects<Fact>,
    ) -> Result<(), DropReason> {
        let (voice, compound) = self.voice_of(from, datagram)?;
        let speaker = (from, voice);
        let packets = rtcp::parse(&compound).map_err(|_| DropReason::NotRtp)?;
        let mut used = false;
        let mut sender_report_of = None;
        let mut has_notice = false;
        for packet in &packets {
            match packet {
                rtcp::Packet::SenderReport { ssrc, info, blocks } => {
                    used |= self.on_report(now, speaker, blocks);
                    if let Some((channel, is_newer)) = self.on_sender_report(now, speaker, *ssrc, info) {
                        sender_report_of = sender_report_of.or(is_newer.then_some(channel));
                        used = true;
                    }
                }
                rtcp::Packet::ReceiverReport { blocks, .. } => used |= self.on_report(now, speaker, blocks),
                rtcp::Packet::Application(app) => {
                    if let Some(notice) = Notice::from_application(app) {
                        has_notice = true;
                        used |= self.on_notice(now, speaker, notice, fx);
                    } else if let Some(cue) = Cue::from_application(app) {
                        has_notice = true;
                        used |= self.on_cue(now, speaker, cue, fx);
                    }
                }
                rtcp::Packet::Goodbye(sources) => {
                    sources.iter().for_each(|ssrc| used |= self.on_goodbye(speaker, ssrc));
                }
                rtcp::Packet::Nack { media, losses, .. } => {
                    match self.on_nack(now, speaker, *media, losses, fx) {
                        Answered::Nobody => {}
                        Answered::Yes => used = true,
                        Answered::Refused => return Err(DropReason::TooManyNacks),
                    }
                }
                rtcp::Packet::SourceDescription(_) | rtcp::Packet::Other { .. } => {}
            }
        }
        // A notice or a cue is for one hop only, so what carries one stays here.
        if let (Some(channel), false) = (sender_report_of, has_notice) {
            self.send_down(channel, &compound, fx);
        }
        if used { Ok(()) } else { Err(DropReason::UnknownSsrc) }
    }

    /// A child's report. It stands for each of its calls whose source it names, and for those whose source nobody
    /// knows yet; a report that names no source of ours stands for all of them. Whether it stood for any.
    fn on_report(&mut self, now: Instant, (from, voice): Speaker, blocks: &rtcp::Blocks<'_>) -> bool {
        let channels = &self.channels;
        let ssrc_of = |peer: &Peer<Downstream>| channels.get(&peer.channel).and_then(|channel| channel.ssrc);
        let calls = self.children.at_mut(from);
        let mut stood = false;
        let block_of = |peer: &Peer<Downstream>| {
            ssrc_of(peer).and_then(|ssrc| blocks.iter().find(|block| block.ssrc == ssrc))
        };
        let names_none =
            calls.iter().filter(|peer| voice.speaks_for(peer)).all(|peer| block_of(peer).is_none());
        for peer in calls.iter_mut().filter(|peer| voice.speaks_for(peer)) {
            stood = true;
            let block = block_of(peer);
            if names_none || block.is_some() || ssrc_of(peer).is_none() {
                peer.state.last_report = Some(now);
            }
            if let Some(block) = block {
                peer.state.fraction_lost = Some(block.fraction_lost);
            }
        }
        stood
    }

    /// The channel whose source this SR is from, and whether it is newer than all before, so that the children are to
    /// have it too.
    fn on_sender_report(
        &mut self,
        now: Instant,
        (from, voice): Speaker,
        ssrc: u32,
        info: &rtcp::SenderInfo,
    ) -> Option<(ChannelId, bool)> {
        let parents = self.parents.at_mut(from);
        let spoken_for = parents.iter().filter(|parent| voice.speaks_for(parent));
        let channel = channel_of(spoken_for, &self.channels, ssrc)?;
        let its = |parent: &&mut Peer<_>| voice.speaks_for(parent) && parent.channel == channel;
        for parent in parents.iter_mut().filter(its) {
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
    fn on_notice(
        &mut self,
        now: Instant,
        (from, voice): Speaker,
        notice: Notice,
        fx: &mut Effects<Fact>,
    ) -> bool {
        let parents = self.parents.at_mut(from);
        let spoken_for = || parents.iter().filter(|parent| voice.speaks_for(parent));
        let named = channel_of(spoken_for(), &self.channels, notice.ssrc);
        let some_wait = spoken_for().any(|parent| !parent.state.flowing);
        let only_one = only(spoken_for().map(|parent| parent.channel)).is_some();
        let mut used = false;
        for parent in parents.iter_mut().filter(|parent| voice.speaks_for(parent)) {
            let meant = match named {
                Some(channel) => parent.channel == channel,
                None if some_wait => !parent.state.flowing,
                None => only_one,
            };
            if meant {
                used = true;
                parent.state.last_heard = Some(now);
                if notice.hold == Hold::Paused
                    && let Some(state) = self.channels.get_mut(&parent.channel)
                {
                    state.reception.on_pause();
                }
                fx.fact(Fact::Held { channel: parent.channel, call: parent.call, hold: notice.hold });
            }
        }
        used
    }

    /// The source takes its leave: another may follow without waiting for its silence.
    fn on_goodbye(&mut self, (from, voice): Speaker, ssrc: u32) -> bool {
        let spoken_for = self.parents.at(from).iter().filter(|parent| voice.speaks_for(parent));
        let channel = channel_of(spoken_for, &self.channels, ssrc);
        let Some(state) = channel.and_then(|id| self.channels.get_mut(&id)) else { return false };
        state.said_goodbye = true;
        true
    }
}

/// What leaves.
impl Relay {
    /// Tells the children of a channel at once why they get no media.
    pub fn hold(&mut self, channel: ChannelId, hold: Hold, fx: &mut Effects<Fact>) {
        let Some(state) = self.channels.get(&channel) else { return };
        let notice =
            Notice { hold, ssrc: state.ssrc.unwrap_or(0), highest: state.reception.highest().unwrap_or(0) };
        if state.targets.is_empty() && state.catching_up.is_empty() {
            return;
        }
        let compound = Composer::receiver_report(self.config.ssrc, &[])
            .cname(&self.config.cname)
            .notice(notice)
            .finish();
        self.send_down(channel, &compound, fx);
    }

    /// Sends a compound packet to the children of a channel: under its key to each call that has one, once to all others
    /// of an address.
    fn send_down(&mut self, channel: ChannelId, compound: &Bytes, fx: &mut Effects<Fact>) {
        let Some(state) = self.channels.get(&channel) else { return };
        for &to in state.targets.iter().chain(&state.catching_up) {
            let mut told = false;
            for child in self.children.at_mut(to).iter_mut().filter(|child| child.channel == channel) {
                if child.srtcp.is_some() || !core::mem::replace(&mut told, true) {
                    child.send(compound, fx);
                }
            }
        }
    }

    /// Sends the receiver reports that are due: one datagram to each parent address, more than one where a report
    /// cannot count all its channels; and one for each call with a key, which is about nothing else. Standbys get them
    /// less often.
    pub(super) fn report(&mut self, now: Instant, entropy: &mut dyn Entropy, fx: &mut Effects<Fact>) {
        let tenth = REPORT_INTERVAL / 10;
        let jitter = Duration::from_micros(entropy.below(2 * tenth.as_micros() as u64 + 1));
        self.next_report = Some(now + (REPORT_INTERVAL - tenth) + jitter);

        let blocks: Vec<(ChannelId, ReportBlock)> = self
            .channels
            .iter_mut()
            .filter_map(|(&id, channel)| Some((id, channel.reception.report(now, channel.ssrc?)?)))
            .collect();
        let reported = |is_meant: &dyn Fn(ChannelId) -> bool| -> Vec<ReportBlock> {
            blocks.iter().filter(|(id, _)| is_meant(*id)).map(|&(_, block)| block).collect()
        };
        let rested = STANDBY_REPORT_INTERVAL - REPORT_INTERVAL / 2;
        let is_due = |peer: &Peer<Upstream>| {
            !peer.state.flow.is_resting()
                || peer.state.last_reported.is_none_or(|last| now.since(last) >= rested)
        };
        for calls in self.parents.by_address_mut() {
            let of_plain =
                |id| calls.iter().any(|peer| peer.srtcp.is_none() && is_due(peer) && peer.channel == id);
            let shared = reported(&of_plain);
            if let Some(parent) = calls.iter_mut().find(|peer| peer.srtcp.is_none() && is_due(peer)) {
                let (first, more) = shared.split_at(shared.len().min(MAX_COUNT));
                parent.send(&self.config.report(first), fx);
                more.chunks(MAX_COUNT).for_each(|blocks| parent.send(&self.config.report(blocks), fx));
            }
            for parent in calls.iter_mut().filter(|peer| is_due(peer)) {
                if parent.srtcp.is_some() {
                    parent.send(&self.config.report(&reported(&|id| parent.channel == id)), fx);
                }
                parent.state.last_reported = Some(now);
            }
        }
    }
}

impl Config {
    /// A receiver report with no more blocks than one can count.
    pub(super) fn report(&self, blocks: &[ReportBlock]) -> Bytes {
        Composer::receiver_report(self.ssrc, blocks).cname(&self.cname).finish()
    }
}
