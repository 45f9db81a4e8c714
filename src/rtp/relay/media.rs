//! The way of a data packet: whose is it, is it new, who else is to have it.

use super::channel::{Arrival, Came, Channel};
use super::roster::Peer;
use super::{Fact, Relay, RelayError, Role, Upstream, channel_of, only};
use crate::bounded::BoundedMap;
use crate::effect::Effects;
use crate::ids::ChannelId;
use crate::rtp::header::{self, Kind, Packet};
use crate::rtp::integrity;
use crate::rtp::window::Seen;
use crate::stats::DropReason;
use crate::time::Instant;
use bytes::Bytes;
use core::net::SocketAddr;

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
        let parsed = Packet::parse(&packet).map_err(|_| RelayError::NotRtp)?;
        if state.seal.is_some() {
            return self.push_to_sign(now, channel, packet, fx);
        }
        if state.ssrc != Some(parsed.header.ssrc) {
            state.follow(parsed.header.ssrc);
        }
        let arrival = state.on_packet(now, &parsed, &packet, Came::Now(None));
        match arrival.seen {
            Seen::New => {
                self.pass_on(now, channel, arrival, packet, fx);
                Ok(())
            }
            Seen::Duplicate | Seen::TooOld | Seen::Jump => Err(RelayError::OutOfSequence),
        }
    }

    pub(super) fn on_media(
        &mut self,
        now: Instant,
        from: SocketAddr,
        payload: Bytes,
        fx: &mut Effects<Fact>,
    ) -> Result<(), DropReason> {
        let parsed = Packet::parse(&payload).map_err(|_| DropReason::NotRtp)?;
        let header = parsed.header;
        let feeding = || self.parents.at(from).iter().filter(|parent| !parent.state.flow.is_resting());
        let fed = channel_of(feeding(), &self.channels, header.ssrc);
        let is_fed = feeding().next().is_some();
        let mended = if fed.is_some() { None } else { self.mended_channel(now, from, &header, &payload)? };
        if mended.is_none() && !is_fed {
            self.on_unwanted_media(now, from, fx);
            return Err(DropReason::UnknownSender);
        }
        let is_list = |id: &ChannelId| self.ssrc(*id) != Some(header.ssrc);
        if header.payload_type == integrity::LIST
            && let Some(channel) = mended
                .filter(is_list)
                .or_else(|| self.listed_channel(from, integrity::counterpart(header.ssrc)))
        {
            return self.on_list(now, from, channel, payload, fx);
        }
        let feeding = || self.parents.at(from).iter().filter(|parent| !parent.state.flow.is_resting());
        let channel = fed
            .or(mended)
            .or_else(|| self.listed_channel(from, header.ssrc))
            .or_else(|| heir_to(feeding(), &self.channels, now))
            .ok_or(DropReason::UnknownSsrc)?;
        if !self.passes(now, from, channel, &header, &payload)? {
            return Ok(());
        }
        let round_trip = self.parents.at(from).iter().find_map(|parent| parent.rtt);
        self.on_genuine(now, (from, Came::Now(round_trip)), channel, payload, fx)
    }

    /// A packet of the channel's source, as far as anybody can know.
    pub(super) fn on_genuine(
        &mut self,
        now: Instant,
        (from, came): (SocketAddr, Came),
        channel: ChannelId,
        payload: Bytes,
        fx: &mut Effects<Fact>,
    ) -> Result<(), DropReason> {
        let parsed = Packet::parse(&payload).map_err(|_| DropReason::NotRtp)?;
        let header = parsed.header;
        let parents = self.parents.at_mut(from);
        let state = self.channels.get_mut(&channel).ok_or(DropReason::UnknownSsrc)?;
        if !state.is_from(header.ssrc, header.sequence) {
            return Err(DropReason::UnknownSsrc);
        }
        let before = state.missing.deadline();
        let arrival = state.on_packet(now, &parsed, &payload, came);
        let seen = arrival.seen;
        let misses_otherwise = state.missing.deadline() != before;
        let its = |parent: &&mut Peer<Upstream>| parent.channel == channel && !parent.state.flow.is_resting();
        for parent in parents.iter_mut().filter(its) {
            parent.state.last_heard = Some(now);
            parent.state.count(now, arrival);
            if let Some(catching_up) = &mut parent.state.catching_up {
                catching_up.after = catching_up.after.max(arrival.number);
                if arrival.is_newest {
                    parent.state.catching_up = None;
                }
            }
            let begins =
                parent.state.asking.is_none_or(|asking| asking.is_met_by(header.ssrc, arrival.number));
            if !parent.state.flowing && begins && matches!(seen, Seen::New | Seen::Duplicate) {
                parent.state.flowing = true;
                parent.state.asking = None;
                fx.fact(Fact::FirstPacket { channel, call: parent.call });
            }
        }
        let rests =
            |parent: &&mut Peer<Upstream>| parent.channel == channel && parent.state.flow.is_resting();
        parents.iter_mut().filter(rests).for_each(|standby| standby.state.vain = 0);
        if arrival.begins {
            let others =
                self.parents.iter_mut().filter(|other| other.channel == channel && other.addr != from);
            others.for_each(|other| other.state.furthest = 0);
        }
        if misses_otherwise {
            self.next_ask = self.next_to_ask();
        }
        match seen {
            Seen::New => {
                self.pass_on(now, channel, arrival, payload, fx);
                Ok(())
            }
            Seen::Duplicate => Err(DropReason::Duplicate),
            Seen::TooOld => Err(DropReason::TooOld),
            Seen::Jump => Err(DropReason::SequenceJump),
        }
    }
}

impl Upstream {
    /// Takes note of a packet that came from there.
    fn count(&mut self, now: Instant, arrival: Arrival) {
        let Arrival { seen, number, begins, .. } = arrival;
        let counts = matches!(seen, Seen::New | Seen::Duplicate);
        if counts && (begins || number > self.furthest) {
            self.brought += 1;
            self.furthest = number;
            self.last_brought = Some(now);
        }
    }
}

impl Relay {
    /// A new packet: for the children, and for the player here.
    pub(super) fn pass_on(
        &mut self,
        now: Instant,
        channel: ChannelId,
        arrival: Arrival,
        payload: Bytes,
        fx: &mut Effects<Fact>,
    ) {
        if !self.replays.is_empty() {
            if arrival.begins {
                self.end_replays(now, channel, fx);
            } else if !arrival.is_newest {
                self.replay_late(channel, arrival.number, &payload, fx);
            }
        }
        fx.fact(Fact::Packet { channel, payload });
    }
}

/// The channel of this parent that an unknown source may take: the only one that has none yet, or else, when all have
/// one, the only one whose source is gone (an encoder that was started again).
fn heir_to<'a>(
    parents: impl Iterator<Item = &'a Peer<Upstream>> + Clone,
    channels: &BoundedMap<ChannelId, Channel>,
    now: Instant,
) -> Option<ChannelId> {
    let those = |fits: fn(&Channel, Instant) -> bool| {
        let fits = move |id| channels.get(&id).is_some_and(|channel| fits(channel, now));
        parents.clone().map(|parent| parent.channel).filter(move |&id| fits(id))
    };
    let mut vacant = those(|channel, _| channel.ssrc.is_none()).peekable();
    if vacant.peek().is_some() { only(vacant) } else { only(those(Channel::lost_its_source)) }
}
