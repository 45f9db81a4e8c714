//! Repair of single losses by generic NACK (RFC 4585 §6.2.1): one hop up, one answer down.
//!
//! A node asks the parent that was heard last for what it misses, when and as often as [`missing`](crate::rtp::missing) says,
//! and passes on what comes like any other packet, so whoever is below gets it the same way. Where this parent is [`FAR`], and
//! a standby at most half as far, the two are asked in turn, the standby first: what the far one sends again would come when
//! players below have given it up. A standby that has left [`VAIN`] requests unanswered gets its packets later than this node,
//! or not at all, and is tried every ten seconds only. What it sends counts when it was asked, and for what is missing. A child
//! that asks for what is missing here as well makes this node ask at once, in its own name; nothing is remembered of the child.
//! What is here, and waits for its list only, is not asked for.
//!
//! The standby is first also where there is time for one of the two only, as for a player that waits 300 ms and a parent 240 ms
//! away. With a standby at 40 ms and 1 % loss on every path, that player misses 2 % of what its path lost if the parent is asked
//! alone, and everything that the standby lacks besides if that is asked first. One that waits 500 ms misses the same 2 %, but
//! 0.04 % with the standby in front, and 0.2 % if that lacks one in ten (`sim::flow` counts so). How long players wait is not
//! known here, what a standby sends is there sooner for everybody below, and one that lacks much is soon asked no more.
//!
//! Answers come out of the ring. A child gets a packet at most once in three quarters of a round trip, not as long as the packet
//! itself may be under way to it still, and not when a replay brings it anyway. What all its requests together may bring is a
//! quarter of what the channel brings, [`BURST`] packets at once, and for a standby's child a thirty-second: a flood of them
//! costs their reading, and is counted.

use super::voice::Voice;
use super::{Downstream, Fact, Peer, Relay, Upstream};
use crate::effect::Effects;
use crate::ids::{CallId, ChannelId};
use crate::rtp::header::Header;
use crate::rtp::integrity;
use crate::rtp::rtcp::{Composer, Losses, MAX_NACK_ENTRIES};
use crate::stats::DropReason;
use crate::time::{Duration, Instant};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

/// The most packets that a child's requests bring at once.
pub const BURST: u64 = 64;

/// In so many packets of the channel a child earns one answer.
pub const EARNED_IN: u64 = 4;

/// In so many packets of the channel a standby's child earns one answer: more than paths lose.
pub const STANDBY_EARNED_IN: u64 = 32;

/// A parent is far when it takes longer there and back.
pub const FAR: Duration = Duration::from_millis(100);

/// So many times in a row does a standby leave unanswered what it is asked that is asked no more for ten seconds.
pub const VAIN: u8 = 4;

/// After so long a standby that has not answered is tried again, once.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(10);

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

    fn has_given(&self, number: u64) -> bool {
        self.given.iter().any(|&(given, _)| given == number)
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

/// One after the other, up to the first that is refused.
fn answer_all(
    wanted: impl Iterator<Item = u16>,
    mut answer: impl FnMut(u16) -> Option<Answered>,
) -> Answered {
    let refused = |sequence: u16| answer(sequence) == Some(Answered::Refused);
    if wanted.into_iter().any(refused) { Answered::Refused } else { Answered::Yes }
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
                && channels.get(&peer.channel).is_some_and(|channel| channel.passes_on(media))
        };
        let Some(peer) = self.children.at_mut(from).iter_mut().find(is_meant) else {
            return Answered::Nobody;
        };
        let Some(state) = channels.get_mut(&peer.channel) else { return Answered::Nobody };
        let rests = peer.state.flow.is_resting();
        // The child knows its round trip better, and asks again after a little more than one.
        let measured = peer.rtt.map(|rtt| rtt.min(LONG_ROUND_TRIP) * 3 / 4);
        let round_trip = measured.unwrap_or(SHORT_ROUND_TRIP);
        let answers = &mut peer.state.answers;
        answers.earn(state.reception.received(), if rests { STANDBY_EARNED_IN } else { EARNED_IN });
        answers.forget_before(now - round_trip);
        let mut answer = |number: u64, datagram: &Bytes| {
            if answers.has_given(number) {
                return Answered::Yes;
            }
            if answers.credit == 0 {
                return Answered::Refused;
            }
            answers.credit -= 1;
            answers.given.push_back((number, now));
            fx.send(from, datagram.clone());
            Answered::Yes
        };
        let replay = peer.state.replay;
        let wanted = losses.iter().take(MAX_ASKED);
        let answered = match &mut state.seal {
            Some(seal) if state.ssrc != Some(media) => {
                let ssrc = integrity::counterpart(media);
                answer_all(wanted, |sequence| {
                    let Some(list) = seal.lists().of_sequence(ssrc, sequence) else {
                        seal.missing.hasten(now, seal.number_of(ssrc, sequence)?);
                        return None;
                    };
                    let comes = replay.is_some_and(|replay| replay.brings(list));
                    (!comes).then(|| answer(LISTS | list.number, list.packet()))
                })
            }
            _ => answer_all(wanted, |sequence| {
                let number = state.reception.number_of(sequence)?;
                let Some((packet, came)) = state.ring.get(number) else {
                    state.missing.hasten(now, number);
                    return None;
                };
                // A standby's child is sent nothing else.
                let is_under_way = !rests && came + round_trip > now;
                let comes = is_under_way || replay.is_some_and(|replay| replay.next <= number);
                (!comes).then(|| answer(number, packet))
            }),
        };
        self.next_ask = self.next_to_ask();
        answered
    }

    /// Asks for all that is due.
    pub(super) fn ask_for_missing(&mut self, now: Instant, fx: &mut Effects<Fact>) {
        let mut given_up = Vec::new();
        let due: Vec<ChannelId> =
            self.channels.iter().filter(|(_, c)| c.asks_by(now)).map(|(&id, _)| id).collect();
        for id in due {
            let menders = self.menders(now, id);
            let Some(state) = self.channels.get_mut(&id) else { continue };
            let brings = |parent: &Peer<Upstream>, number| {
                parent.channel == id && !parent.state.flow.is_resting() && parent.state.brings(now, number)
            };
            let held = state.held();
            let spared = |number| {
                menders.is_empty()
                    || held.binary_search(&number).is_ok()
                    || self.parents.iter().any(|peer| brings(peer, number))
            };
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
            let lists_of = state.seal.as_ref().and_then(|seal| seal.ssrc()).map(integrity::counterpart);
            let ssrc = state.ssrc;
            for ((call, _), [packets, lists]) in menders.into_iter().zip(asked) {
                let Some(mender) = self.parents.get_mut(call) else { continue };
                if mender.state.flow.is_resting() && !(packets.is_empty() && lists.is_empty()) {
                    mender.state.vain = mender.state.vain.saturating_add(1);
                    mender.state.asked = Some(now);
                }
                for (source, lost) in [(ssrc, packets), (lists_of, lists)] {
                    let Some(source) = source else { continue };
                    for lost in lost.chunks(MAX_NACK_ENTRIES) {
                        let nack = Composer::receiver_report(self.config.ssrc, &[])
                            .cname(&self.config.cname)
                            .nack(source, lost.iter().copied());
                        mender.send(&nack.finish(), fx);
                    }
                }
            }
        }
        for (channel, packets) in given_up {
            self.on_given_up(now, channel, packets, fx);
        }
        self.next_ask = self.next_to_ask();
    }

    /// Whom this node asks for what it misses of a channel, in turn, and how long it takes there and back.
    fn menders(&self, now: Instant, channel: ChannelId) -> Vec<(CallId, Option<Duration>)> {
        let parents = || self.parents.iter().filter(|peer| peer.channel == channel);
        let feeding = parents().filter(|peer| !peer.state.flow.is_resting() && peer.state.flowing);
        let Some(parent) = feeding.max_by_key(|peer| peer.state.last_heard) else { return Vec::new() };
        let nearest = parent.rtt.filter(|&rtt| rtt > FAR).and_then(|rtt| {
            let near = |peer: &&Peer<Upstream>| {
                let tried = peer.state.asked.is_some_and(|at| now.since(at) < TRIED_AGAIN_AFTER);
                peer.state.flow.is_resting()
                    && !(tried && peer.state.vain >= VAIN)
                    && peer.rtt.is_some_and(|its| its <= rtt / 2)
            };
            parents().filter(near).min_by_key(|peer| peer.rtt)
        });
        nearest.into_iter().chain([parent]).map(|peer| (peer.call, peer.rtt)).collect()
    }

    /// The channel for which a resting standby at this address was asked, if this is what is awaited. What has come
    /// meanwhile is refused as a duplicate, and is an answer all the same.
    pub(super) fn mended_channel(
        &mut self,
        now: Instant,
        from: SocketAddr,
        header: &Header,
        packet: &Bytes,
    ) -> Result<Option<ChannelId>, DropReason> {
        let patience = self.config.limits.missing.playout;
        let is_asked = |peer: &&mut Peer<Upstream>| {
            peer.state.flow.is_resting() && peer.state.asked.is_some_and(|at| now.since(at) <= patience)
        };
        for peer in self.parents.at_mut(from).iter_mut().filter(is_asked) {
            let Some(channel) = self.channels.get(&peer.channel) else { continue };
            if channel.awaits(header) {
                return Ok(Some(peer.channel));
            }
            if channel.has(header, packet) {
                peer.state.vain = 0;
                return Err(DropReason::Duplicate);
            }
        }
        Ok(None)
    }
}
