//! Repair of single losses by generic NACK (RFC 4585 §6.2.1): one hop up, one answer down.
//!
//! A node asks the parent that was heard last for what it misses, when and as often as [`missing`](crate::rtp::missing) says,
//! and passes on what comes like any other packet, so whoever is below gets it the same way. Where this parent is [`FAR`], and
//! a standby at most half as far, the two are asked in turn, the standby first: what the far one sends again would come when
//! players below have given it up. A standby that has left [`VAIN`] requests unanswered gets its packets later than this node,
//! or not at all, and is asked no more. A child that asks for what is missing here as well makes this node ask at once, in its
//! own name; nothing is remembered of the child.
//!
//! Answers come out of the ring. A child gets a packet at most once in a round trip, not as long as the packet itself may be
//! under way to it still, and not when a replay brings it anyway. What all its requests together may bring is a quarter of
//! what the channel brings, [`BURST`] packets at once, and for a standby's child a thirty-second: a flood of them costs their
//! reading, and is counted.

use super::voice::Voice;
use super::{Downstream, Fact, Peer, Relay, Upstream};
use crate::effect::Effects;
use crate::ids::{CallId, ChannelId};
use crate::rtp::header::Header;
use crate::rtp::integrity;
use crate::rtp::rtcp::{Composer, Losses, MAX_NACK_ENTRIES};
use crate::time::{Duration, Instant, earliest};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// The most packets that a child's requests bring at once.
pub const BURST: u64 = 64;

/// In so many packets of the channel a child earns one answer.
pub const EARNED_IN: u64 = 4;

/// In so many packets of the channel a standby's child earns one answer: more than paths lose.
pub const STANDBY_EARNED_IN: u64 = 32;

/// A parent is far when it takes longer there and back.
pub const FAR: Duration = Duration::from_millis(100);

/// So many requests in a row does a standby leave unanswered that is asked no more.
pub const VAIN: u8 = 4;

/// The most packets that one datagram may ask for; what stands behind them is not read.
pub const MAX_ASKED: usize = 256;

/// The time in which an answer to a child is not repeated, where its round trip is not known: less than any child waits
/// before it asks again.
const SHORT_ROUND_TRIP: Duration = Duration::from_millis(15);

/// No child is taken to be further away than this.
const LONG_ROUND_TRIP: Duration = Duration::from_millis(250);

/// Among what was given, the numbers of lists have this bit, which no packet's has.
const LISTS: u64 = 1 << 63;

/// What a child was sent at its request.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    /// Packets that it may still ask for.
    credit: u64,
    /// The packets of the channel for which it got credit.
    counted: u64,
    /// The last answers, and when they left.
    given: VecDeque<(u64, Instant)>,
}

impl Answers {
    /// Counts what it has earned since: one answer in so many packets.
    fn earn(&mut self, received: u64, earned_in: u64) {
        let earned = received.saturating_sub(self.counted) / earned_in;
        self.counted += earned * earned_in;
        self.credit = (self.credit + earned).min(BURST);
    }

    fn forget_before(&mut self, at: Instant) {
        while self.given.front().is_some_and(|&(_, then)| then <= at) || self.given.len() as u64 >= 2 * BURST
        {
            self.given.pop_front();
        }
    }
}

/// What became of a NACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// Nobody here is sent packets of that source.
    Nobody,
    /// It was looked after.
    Yes,
    /// It asked for more than a child may.
    Refused,
}

impl Relay {
    /// A child misses packets.
    pub(super) fn on_nack(
        &mut self,
        now: Instant,
        (from, voice): (SocketAddr, Voice),
        media: u32,
        losses: &Losses<'_>,
        fx: &mut Effects<Fact>,
    ) -> Answered {
        let channels = &mut self.channels;
        let is_meant = |peer: &&mut Peer<Downstream>| {
            voice.speaks_for(peer)
                && channels.get(&peer.channel).is_some_and(|channel| {
                    let lists = channel.seal.as_ref().and(channel.ssrc).map(integrity::counterpart);
                    [channel.ssrc, lists].contains(&Some(media))
                })
        };
        let Some(peer) = self.children.at_mut(from).iter_mut().find(is_meant) else {
            return Answered::Nobody;
        };
        let Some(state) = channels.get_mut(&peer.channel) else { return Answered::Nobody };
        let round_trip = peer.rtt.unwrap_or(SHORT_ROUND_TRIP).min(LONG_ROUND_TRIP);
        let rests = peer.state.flow.is_resting();
        let answers = &mut peer.state.answers;
        answers.earn(state.reception.received(), if rests { STANDBY_EARNED_IN } else { EARNED_IN });
        if let Some(seal) = &mut state.seal
            && state.ssrc != Some(media)
        {
            let ssrc = integrity::counterpart(media);
            answers.forget_before(now - round_trip);
            for sequence in losses.iter().take(MAX_ASKED) {
                let Some(number) = seal.number_of(ssrc, sequence) else { continue };
                let Some(list) = seal.lists().of_sequence(ssrc, sequence) else {
                    seal.missing.hasten(now, number);
                    continue;
                };
                let tag = LISTS | number;
                let comes = peer.state.replay.is_some_and(|replay| replay.brings(list));
                if comes || answers.given.iter().any(|&(given, _)| given == tag) {
                    continue;
                }
                if answers.credit == 0 {
                    return Answered::Refused;
                }
                answers.credit -= 1;
                answers.given.push_back((tag, now));
                fx.send(from, list.packet().clone());
            }
            self.next_ask = earliest(self.next_ask, seal.missing.deadline());
            return Answered::Yes;
        }
        for number in losses.iter().take(MAX_ASKED).filter_map(|n| state.reception.number_of(n)) {
            let Some((packet, came)) = state.ring.get(number) else {
                state.missing.hasten(now, number);
                continue;
            };
            let comes = peer.state.replay.is_some_and(|replay| replay.next <= number);
            answers.forget_before(now - round_trip);
            let comes = comes || !rests && came + round_trip > now;
            if comes || answers.given.iter().any(|&(given, _)| given == number) {
                continue;
            }
            if answers.credit == 0 {
                return Answered::Refused;
            }
            answers.credit -= 1;
            answers.given.push_back((number, now));
            fx.send(from, packet.clone());
        }
        self.next_ask = earliest(self.next_ask, state.missing.deadline());
        Answered::Yes
    }

    /// Asks for all that is due.
    pub(super) fn ask_for_missing(&mut self, now: Instant, fx: &mut Effects<Fact>) {
        let mut given_up = Vec::new();
        let due: Vec<ChannelId> =
            self.channels.iter().filter(|(_, c)| c.asks_by(now)).map(|(&id, _)| id).collect();
        for id in due {
            let menders = self.menders(id);
            let Some(state) = self.channels.get_mut(&id) else { continue };
            let brings = |parent: &Peer<Upstream>, number| {
                parent.channel == id && !parent.state.flow.is_resting() && parent.state.brings(now, number)
            };
            let spared = |number| menders.is_empty() || self.parents.iter().any(|peer| brings(peer, number));
            let round_trips: Vec<Option<Duration>> = menders.iter().map(|mender| mender.1).collect();
            let mut asked: Vec<[Vec<u16>; 2]> = menders.iter().map(|_| <[Vec<u16>; 2]>::default()).collect();
            let mut ask = |what: usize, number: u64, mender: usize| {
                if let Some(lost) = asked.get_mut(mender).and_then(|lost| lost.get_mut(what)) {
                    lost.push(number as u16);
                }
            };
            let before = state.missing.counts().given_up;
            state.missing.ask(now, &round_trips, spared, |number, mender| ask(0, number, mender));
            let never_came = state.missing.counts().given_up - before;
            if let Some(seal) = &mut state.seal {
                if never_came > 0 {
                    given_up.push((id, never_came));
                }
                let spared = |_| menders.is_empty();
                seal.missing.ask(now, &round_trips, spared, |number, mender| ask(1, number, mender));
            }
            let Some(ssrc) = state.ssrc else { continue };
            for ((call, _), [packets, lists]) in menders.into_iter().zip(asked) {
                let Some(mender) = self.parents.get_mut(call) else { continue };
                let rests = mender.state.flow.is_resting();
                for (ssrc, lost) in [(ssrc, packets), (integrity::counterpart(ssrc), lists)] {
                    for lost in lost.chunks(MAX_NACK_ENTRIES) {
                        mender.state.vain = mender.state.vain.saturating_add(u8::from(rests));
                        let nack = Composer::receiver_report(self.config.ssrc, &[])
                            .cname(&self.config.cname)
                            .nack(ssrc, lost.iter().copied());
                        mender.send(&nack.finish(), fx);
                    }
                }
            }
        }
        for (channel, packets) in given_up {
            self.on_given_up(channel, packets, fx);
        }
        self.next_ask = self.next_to_ask();
    }

    /// Whom this node asks for what it misses of a channel, in turn, and how long it takes there and back.
    fn menders(&self, channel: ChannelId) -> Vec<(CallId, Option<Duration>)> {
        let parents = || self.parents.iter().filter(|peer| peer.channel == channel);
        let feeding = parents().filter(|peer| !peer.state.flow.is_resting() && peer.state.flowing);
        let Some(parent) = feeding.max_by_key(|peer| peer.state.last_heard) else { return Vec::new() };
        let nearest = parent.rtt.filter(|&rtt| rtt > FAR).and_then(|rtt| {
            let near = |peer: &&Peer<Upstream>| {
                peer.state.flow.is_resting()
                    && peer.state.vain < VAIN
                    && peer.rtt.is_some_and(|its| its <= rtt / 2)
            };
            parents().filter(near).min_by_key(|peer| peer.rtt)
        });
        nearest.into_iter().chain([parent]).map(|peer| (peer.call, peer.rtt)).collect()
    }

    /// The channel of a resting standby at this address that was asked for this packet, or list.
    pub(super) fn mended_channel(&self, from: SocketAddr, header: &Header) -> Option<ChannelId> {
        let resting = self.parents.at(from).iter().filter(|peer| peer.state.flow.is_resting());
        let awaits = |id: &ChannelId| self.channels.get(id).is_some_and(|channel| channel.awaits(header));
        resting.map(|peer| peer.channel).find(awaits)
    }

    /// A standby has answered.
    pub(super) fn on_mended(&mut self, from: SocketAddr, channel: ChannelId) {
        let its = |peer: &&mut Peer<Upstream>| peer.channel == channel;
        self.parents.at_mut(from).iter_mut().filter(its).for_each(|peer| peer.state.vain = 0);
    }
}
