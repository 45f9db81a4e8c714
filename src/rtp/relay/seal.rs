//! Channels whose packets are signed by their source ([`integrity`](crate::rtp::integrity)): what this node publishes it
//! signs, of what it receives it passes on and plays only what the source has signed.
//!
//! ```text
//! source   push ──► Signer ── ToSign ─► sign ──► list at once, packets later ──► children
//! viewer   list ──► Guard ── ToJudge ─► judge ──► list ──► children
//!          packet ─► genuine ──► window, ring, children, player
//!                  ├ forged ──► dropped and counted: nothing here has seen it
//!                  └ no list yet ──► held until the list is here, for a short while
//! ```
//!
//! The relay knows no keys: whoever does answers [`Fact::ToSign`] with [`Relay::sign`] and [`Fact::ToJudge`] with
//! [`Relay::judge`], at once or later.
//!
//! Lists go to every child with keys as soon as they are believed; one that begins in the past gets those that it lacks with
//! its replay. A list that is missing is asked for as packets are, under its own SSRC. Children without keys are plain RTP
//! receivers, who are sent the media only.

use super::channel::Came;
use super::{Fact, Peer, Relay, RelayError, Role, Upstream};
use crate::effect::Effects;
use crate::ids::ChannelId;
use crate::rtp::header::{Header, Packet};
use crate::rtp::integrity::{
    Counts, Guard, List, Lists, Outgoing, Refused, Released, SignError, Signer, Verdict,
};
use crate::rtp::missing::{self, Missing};
use crate::rtp::window::Seen;
use crate::stats::DropReason;
use crate::time::{Duration, Instant, earliest};
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

/// So many missing lists are asked for at once.
const AHEAD: u16 = 4;

/// A parent is not what it seems when so many packets that it changed were missing in the end.
pub const HARM: u64 = 8;

/// What is older than this tells nothing of a parent any more.
pub const HARM_TIME: Duration = Duration::from_secs(10);

#[derive(Debug)]
enum Side {
    Signs { signer: Box<Signer>, lists: Lists, counts: Counts },
    Checks(Guard<SocketAddr>),
}

/// What a protected channel has besides.
#[derive(Debug)]
pub(super) struct Seal {
    side: Side,
    /// The lists that did not come.
    pub(super) missing: Missing,
    /// The extended number of the newest list of this SSRC.
    newest: Option<(u32, u64)>,
    /// Up to where lists are known to be missing.
    noted: u64,
    /// The addresses that are sent lists, ascending.
    pub(super) listeners: Vec<SocketAddr>,
}

impl Seal {
    /// `since` is the least number of a window.
    fn new(role: Role, limits: &super::Limits, since: u64) -> Self {
        let super::Limits { integrity, missing, .. } = *limits;
        // A source has nobody to ask.
        let attempts = if role == Role::Source { 0 } else { missing.attempts };
        let side = match role {
            Role::Source => Side::Signs {
                signer: Box::new(Signer::new(since)),
                lists: Lists::new(integrity.lists),
                counts: Counts::default(),
            },
            Role::Viewer => {
                let mut guard = Guard::new(integrity);
                guard.not_before(since);
                Side::Checks(guard)
            }
        };
        let missing = Missing::new(missing::Limits { attempts, ..missing });
        Seal { side, missing, newest: None, noted: 0, listeners: Vec::new() }
    }

    /// The same at somebody who is the source from now on: its windows follow those of the one before.
    pub(super) fn taken_over(&self, limits: &super::Limits) -> Box<Self> {
        let since = self.lists().newest().map_or(0, |newest| newest.number + 1);
        Box::new(Seal::new(Role::Source, limits, since))
    }

    /// The lists that are known to be the source's.
    pub(super) const fn lists(&self) -> &Lists {
        match &self.side {
            Side::Signs { lists, .. } => lists,
            Side::Checks(guard) => guard.lists(),
        }
    }

    pub(super) const fn counts(&self) -> Counts {
        match &self.side {
            Side::Signs { counts, .. } => *counts,
            Side::Checks(guard) => guard.counts(),
        }
    }

    /// The source that the newest list is about. It is ahead of the packets, and may be another one than theirs.
    pub(super) fn ssrc(&self) -> Option<u32> {
        self.newest.map(|(ssrc, _)| ssrc)
    }

    /// The packets of a source that are here, and wait for their list.
    pub(super) fn held_of(&self, ssrc: u32) -> impl Iterator<Item = u16> {
        let guard = match &self.side {
            Side::Signs { .. } => None,
            Side::Checks(guard) => Some(guard),
        };
        guard.into_iter().flat_map(move |guard| guard.held_of(ssrc))
    }

    const fn guard(&mut self) -> Option<&mut Guard<SocketAddr>> {
        match &mut self.side {
            Side::Signs { .. } => None,
            Side::Checks(guard) => Some(guard),
        }
    }

    pub(super) const fn signer(&mut self) -> Option<&mut Signer> {
        match &mut self.side {
            Side::Signs { signer, .. } => Some(signer),
            Side::Checks(_) => None,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.side {
            Side::Signs { signer, .. } => signer.deadline(),
            Side::Checks(guard) => guard.deadline(),
        }
    }

    /// The extended number of the list that has these 16 bits, next to the newest one.
    pub(super) fn number_of(&self, ssrc: u32, sequence: u16) -> Option<u64> {
        let (_, newest) = self.newest.filter(|&(of, _)| of == ssrc)?;
        newest.checked_add_signed(i64::from(sequence.wrapping_sub(newest as u16) as i16))
    }

    /// A list of the source's has come: it is not missing any more, and what it shows to be missing is.
    fn note(&mut self, now: Instant, list: &List, round_trip: Option<Duration>) {
        let is_newest = self.lists().newest().is_some_and(|newest| newest.number == list.number);
        match self.number_of(list.ssrc, list.sequence) {
            Some(number) => {
                self.missing.on_arrival(now, number, round_trip);
                if is_newest {
                    self.note_missing(now, number.saturating_sub(AHEAD.into())..number);
                    self.newest = Some((list.ssrc, number));
                }
            }
            None if is_newest => {
                self.missing.clear();
                // One round up, so that there is always one before it.
                let number = 1 << 16 | u64::from(list.sequence);
                (self.newest, self.noted) = (Some((list.ssrc, number)), number);
            }
            None => {}
        }
    }

    /// These are missing, as far as that is news.
    fn note_missing(&mut self, now: Instant, numbers: core::ops::Range<u64>) {
        let newest = self.newest.map_or(0, |(_, newest)| newest);
        let from = numbers.start.max(newest + 1).max(self.noted + 1);
        if from < numbers.end {
            self.missing.on_gap(now, from..numbers.end, Duration::ZERO);
            self.noted = numbers.end - 1;
        }
    }

    /// Lists are missing without which what is held cannot be judged.
    fn look_for_missing(&mut self, now: Instant) {
        let Some((first, count)) = self.guard().and_then(|guard| guard.missing()) else { return };
        let Some(ssrc) = self.lists().newest().map(|list| list.ssrc) else { return };
        let Some(first) = self.number_of(ssrc, first) else { return };
        self.note_missing(now, first..first + u64::from(count.min(AHEAD)));
    }
}

/// Orders.
impl Relay {
    /// Protects a channel from now on: a source signs it, a viewer takes only what is signed. No window that was closed
    /// before the time of day `since`, in milliseconds, counts.
    pub fn protect(&mut self, channel: ChannelId, since: u64) -> Result<(), RelayError> {
        let state = self.channels.get_mut(&channel).ok_or(RelayError::UnknownChannel)?;
        state.seal = Some(Box::new(Seal::new(state.role, &self.config.limits, since)));
        self.retarget(channel);
        Ok(())
    }

    /// Answers [`Fact::ToSign`]: `sign` signs as the channel's owner, at this time of day.
    pub fn sign(
        &mut self,
        now: Instant,
        channel: ChannelId,
        unix_millis: u64,
        mut sign: impl FnMut(&[u8]) -> Option<Bytes>,
        fx: &mut Effects<Fact>,
    ) {
        if let Some(signer) = self.signer(channel) {
            while signer.is_ripe(now) {
                signer.sign(now, unix_millis, &mut sign);
            }
        }
        self.go_on_sending(now, channel, fx);
    }

    /// Answers [`Fact::ToJudge`]: `verify` says whether a signature is that of the channel's owner for a list.
    pub fn judge(
        &mut self,
        now: Instant,
        channel: ChannelId,
        verify: impl FnOnce(&[u8], &[u8]) -> bool,
        fx: &mut Effects<Fact>,
    ) {
        let Some(seal) = self.channels.get_mut(&channel).and_then(|state| state.seal.as_mut()) else {
            return;
        };
        let Some((from, list)) = seal.guard().and_then(|guard| guard.judge(verify)) else { return };
        let Some(list) = list else {
            for parent in self.parents.at_mut(from).iter_mut().filter(|peer| peer.channel == channel) {
                parent.state.trials.spend();
            }
            fx.fact(Fact::Dropped { reason: DropReason::BadList });
            return;
        };
        let its = |peer: &&mut Peer<Upstream>| peer.channel == channel;
        let mut round_trip = None;
        for parent in self.parents.at_mut(from).iter_mut().filter(its) {
            parent.state.vain = 0;
            round_trip = round_trip.or(parent.rtt);
        }
        seal.note(now, &list, round_trip);
        seal.listeners.iter().for_each(|&to| fx.send(to, list.packet().clone()));
        let Released { genuine, forged } = seal.guard().map(Guard::release).unwrap_or_default();
        seal.look_for_missing(now);
        self.replay_late_list(channel, &list, fx);
        for (from, header) in forged {
            self.on_forged(now, from, channel, &header);
            fx.fact(Fact::Dropped { reason: DropReason::Forged });
        }
        for (came, from, packet) in genuine {
            if let Err(reason) = self.on_genuine(now, (from, Came::At(came)), channel, packet, fx) {
                fx.fact(Fact::Dropped { reason });
            }
        }
        self.next_ask = self.next_to_ask();
        self.schedule_seals();
    }

    /// Nothing follows for a while: what the source has in hand leaves as soon as it is signed.
    pub fn finish(&mut self, now: Instant, channel: ChannelId, fx: &mut Effects<Fact>) {
        if let Some(signer) = self.signer(channel) {
            signer.finish();
        }
        self.go_on_sending(now, channel, fx);
    }

    /// The number of the newest window of a protected channel that is known to be its owner's.
    pub fn newest_window(&self, channel: ChannelId) -> Option<u64> {
        Some(self.channels.get(&channel)?.seal.as_ref()?.lists().newest()?.number)
    }

    fn signer(&mut self, channel: ChannelId) -> Option<&mut Signer> {
        self.channels.get_mut(&channel)?.seal.as_mut()?.signer()
    }
}

/// The source's side.
impl Relay {
    /// The host's own packet of a channel that is signed: it leaves later.
    pub(super) fn push_to_sign(
        &mut self,
        now: Instant,
        channel: ChannelId,
        packet: Bytes,
        fx: &mut Effects<Fact>,
    ) -> Result<(), RelayError> {
        let signer = self.signer(channel).ok_or(RelayError::UnknownChannel)?;
        signer.push(now, packet).map_err(|error| match error {
            SignError::NotRtp => RelayError::NotRtp,
            SignError::OutOfSequence => RelayError::OutOfSequence,
            SignError::Full => RelayError::Full("windows without a signature"),
        })?;
        self.go_on_sending(now, channel, fx);
        Ok(())
    }

    /// Has ripe windows signed, and sends what has its time.
    fn go_on_sending(&mut self, now: Instant, channel: ChannelId, fx: &mut Effects<Fact>) {
        let Some(signer) = self.signer(channel) else { return };
        if signer.is_ripe(now) {
            fx.fact(Fact::ToSign { channel });
        }
        while let Some(outgoing) = self.signer(channel).and_then(|signer| signer.pop(now)) {
            match outgoing {
                Outgoing::List(list) => self.send_list(now, channel, &list, fx),
                Outgoing::Media(packet) => self.send_media(now, channel, packet, fx),
            }
        }
        self.schedule_seals();
    }

    fn send_list(&mut self, now: Instant, channel: ChannelId, list: &List, fx: &mut Effects<Fact>) {
        let seal = self.channels.get_mut(&channel).and_then(|state| state.seal.as_mut());
        let Some(seal) = seal else { return };
        if let Side::Signs { lists, counts, .. } = &mut seal.side {
            lists.insert(list);
            counts.lists.count(list.packet().len());
        }
        seal.note(now, list, None);
        seal.listeners.iter().for_each(|&to| fx.send(to, list.packet().clone()));
    }

    fn send_media(&mut self, now: Instant, channel: ChannelId, packet: Bytes, fx: &mut Effects<Fact>) {
        let Some(state) = self.channels.get_mut(&channel) else { return };
        let Ok(parsed) = Packet::parse(&packet) else { return };
        if state.ssrc != Some(parsed.header.ssrc) {
            state.follow(parsed.header.ssrc);
        }
        let mut arrival = state.on_packet(now, &parsed, &packet, Came::Now(None));
        if arrival.seen == Seen::Jump {
            // The signer has believed it already.
            state.follow(parsed.header.ssrc);
            arrival = state.on_packet(now, &parsed, &packet, Came::Now(None));
        }
        if arrival.seen == Seen::New {
            self.pass_on(now, channel, arrival, packet, fx);
        }
    }
}

/// The receiver's side.
impl Relay {
    /// The protected channel that a list is for, of those that come from there: the one with its source, or else the only
    /// one. The owner's signature decides whether it really is.
    pub(super) fn listed_channel(&self, from: SocketAddr, ssrc: u32) -> Option<ChannelId> {
        let feeding = || self.parents.at(from).iter().filter(|parent| !parent.state.flow.is_resting());
        let sealed = |id: &ChannelId| self.channels.get(id).is_some_and(|state| state.seal.is_some());
        super::channel_of(feeding(), &self.channels, ssrc)
            .filter(sealed)
            .or_else(|| super::only(feeding().map(|parent| parent.channel).filter(sealed)))
    }

    /// A list has come.
    pub(super) fn on_list(
        &mut self,
        now: Instant,
        from: SocketAddr,
        channel: ChannelId,
        packet: Bytes,
        fx: &mut Effects<Fact>,
    ) -> Result<(), DropReason> {
        let parents = self.parents.at_mut(from);
        let parent = parents.iter_mut().find(|peer| peer.channel == channel);
        let parent = parent.ok_or(DropReason::UnknownSender)?;
        let state = self.channels.get_mut(&channel).ok_or(DropReason::UnknownSsrc)?;
        let guard = state.seal.as_mut().and_then(|seal| seal.guard()).ok_or(DropReason::UnknownSsrc)?;
        let allowed = parent.state.trials.allow(now);
        guard.offer(from, packet, allowed).map_err(|refused| match refused {
            Refused::Known => DropReason::Duplicate,
            Refused::BadList => DropReason::BadList,
            Refused::Old => DropReason::TooOld,
            Refused::TooMany => DropReason::TooManyLists,
        })?;
        fx.fact(Fact::ToJudge { channel });
        Ok(())
    }

    /// Whether a packet may go on. What may not is taken care of.
    pub(super) fn passes(
        &mut self,
        now: Instant,
        from: SocketAddr,
        channel: ChannelId,
        header: &Header,
        packet: &Bytes,
    ) -> Result<bool, DropReason> {
        let Some(state) = self.channels.get_mut(&channel) else { return Err(DropReason::UnknownSsrc) };
        let Some(seal) = &mut state.seal else { return Ok(true) };
        let Some(guard) = seal.guard() else { return Ok(true) };
        let patience = self.config.limits.integrity.patience;
        // What a standby sends beside the parent is not worth a place among what waits.
        if self.parents.at(from).iter().all(|peer| peer.channel != channel || peer.state.flow.is_resting())
            && guard.lists().says(header, packet).is_none()
        {
            return Err(DropReason::Unlisted);
        }
        match guard.check(now, from, header, packet) {
            Verdict::Genuine => Ok(true),
            Verdict::Forged => {
                self.on_forged(now, from, channel, header);
                Err(DropReason::Forged)
            }
            Verdict::Held => {
                seal.look_for_missing(now);
                // A list may be lost, and its parent is alive all the same, and brings what is expected of it; for longer
                // than that nobody is taken at his word.
                if state.reception.last_new().is_some_and(|last| now.since(last) < patience) {
                    let number = state.reception.number_of(header.sequence);
                    let number = number.filter(|_| state.ssrc == Some(header.ssrc));
                    let feeds =
                        |peer: &&mut Peer<Upstream>| peer.channel == channel && !peer.state.flow.is_resting();
                    for parent in self.parents.at_mut(from).iter_mut().filter(feeds) {
                        parent.state.last_heard = Some(now);
                        // How far it is, and how much it has brought, its packets show when they are known to be true.
                        if number.is_some_and(|number| number > parent.state.furthest) {
                            parent.state.last_brought = Some(now);
                        }
                    }
                }
                self.next_ask = self.next_to_ask();
                self.schedule_seals();
                Ok(false)
            }
        }
    }

    /// A parent's packet is not what the source has sent. Anybody can send in a parent's name, so that alone says nothing
    /// about it; but who changes packets has those missing, which is counted.
    fn on_forged(&mut self, now: Instant, from: SocketAddr, channel: ChannelId, header: &Header) {
        let Some(state) = self.channels.get(&channel) else { return };
        let number = state.reception.number_of(header.sequence);
        if number.is_some_and(|number| state.ring.get(number).is_some()) {
            return;
        }
        let feeds = |peer: &&mut Peer<Upstream>| peer.channel == channel && !peer.state.flow.is_resting();
        for parent in self.parents.at_mut(from).iter_mut().filter(feeds) {
            let deceit = &mut parent.state.deceit;
            if deceit.since.is_none_or(|since| now.since(since) >= HARM_TIME) {
                *deceit = Deceit { since: Some(now), ..Deceit::default() };
            }
            deceit.forged += 1;
        }
    }

    /// So many packets of a channel are missing for good. A parent that has sent others in their place is told about.
    pub(super) fn on_given_up(
        &mut self,
        now: Instant,
        channel: ChannelId,
        packets: u64,
        fx: &mut Effects<Fact>,
    ) {
        for parent in self.parents.iter_mut().filter(|peer| peer.channel == channel) {
            let deceit = &mut parent.state.deceit;
            if deceit.since.is_none_or(|since| now.since(since) >= HARM_TIME) {
                continue;
            }
            let before = deceit.harm;
            deceit.harm += packets.min(deceit.forged);
            if before < HARM && deceit.harm >= HARM {
                fx.fact(Fact::Deceived { channel, call: parent.call });
            }
        }
    }

    /// Drops what has waited too long, and goes on with what this node signs.
    pub(super) fn tend_seals(&mut self, now: Instant, fx: &mut Effects<Fact>) {
        let due = |state: &super::Channel| state.seal.as_ref()?.deadline().filter(|&at| at <= now);
        let channels: Vec<ChannelId> =
            self.channels.iter().filter(|(_, state)| due(state).is_some()).map(|(&id, _)| id).collect();
        for channel in channels {
            let guard = self.channels.get_mut(&channel).and_then(|state| state.seal.as_mut()?.guard());
            let unlisted = guard.map_or(0, |guard| guard.handle_timeout(now));
            (0..unlisted).for_each(|_| fx.fact(Fact::Dropped { reason: DropReason::Unlisted }));
            self.go_on_sending(now, channel, fx);
        }
        self.schedule_seals();
    }

    pub(super) fn schedule_seals(&mut self) {
        let seals = self.channels.values().filter_map(|state| state.seal.as_ref());
        self.next_seal = seals.filter_map(|seal| seal.deadline()).min();
    }

    /// When a packet or a list is to be asked for.
    pub(super) fn next_to_ask(&self) -> Option<Instant> {
        let of = |state: &super::Channel| {
            earliest(state.missing.deadline(), state.seal.as_ref().and_then(|seal| seal.missing.deadline()))
        };
        self.channels.values().filter_map(of).min()
    }
}

/// What speaks against a parent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deceit {
    since: Option<Instant>,
    /// Packets of which it sent something else, that were not here otherwise.
    forged: u64,
    /// How many of those never came.
    harm: u64,
}
