//! Repair of single losses by generic NACK (RFC 4585 §6.2.1): one hop up, one answer down.
//!
//! A node asks the parent that was heard last for what it misses, when and as often as [`missing`](crate::rtp::missing) says,
//! and passes on what comes like any other packet, so whoever is below gets it the same way. A child that asks for what is
//! missing here as well makes this node ask at once, in its own name; nothing is remembered of the child.
//!
//! Answers come out of the ring. A child gets a packet at most once in a round trip, not as long as the packet itself may be
//! under way to it still, and not when a replay brings it anyway. What all its requests together may bring is a quarter of
//! what the channel brings, [`BURST`] packets at once: a flood of them costs their reading, and is counted.

use super::voice::Voice;
use super::{Fact, Relay};
use crate::effect::Effects;
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
    /// Counts what it has earned since.
    fn earn(&mut self, received: u64) {
        let earned = received.saturating_sub(self.counted) / EARNED_IN;
        self.counted += earned * EARNED_IN;
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
        let is_meant = |peer: &&mut super::Peer<super::Downstream>| {
            voice.speaks_for(peer)
                && !peer.state.flow.is_resting()
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
        let answers = &mut peer.state.answers;
        answers.earn(state.reception.received());
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
            if comes || came + round_trip > now || answers.given.iter().any(|&(given, _)| given == number) {
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

    /// Asks for all that is due, of each channel the parent that was heard last.
    pub(super) fn ask_for_missing(&mut self, now: Instant, fx: &mut Effects<Fact>) {
        let mut given_up = Vec::new();
        for (&id, state) in self.channels.iter_mut() {
            let lists = state.seal.as_ref().and_then(|seal| seal.missing.deadline());
            if earliest(state.missing.deadline(), lists).is_none_or(|at| now < at) {
                continue;
            }
            let feeding =
                || self.parents.iter().filter(|peer| peer.channel == id && !peer.state.flow.is_resting());
            let heard = feeding().filter(|peer| peer.state.flowing).max_by_key(|peer| peer.state.last_heard);
            let (call, round_trip) = (heard.map(|peer| peer.call), heard.and_then(|peer| peer.rtt));
            let comes = |number| feeding().any(|peer| peer.state.brings(now, number));
            let spared = |number| call.is_none() || comes(number);
            let mut asked = Vec::new();
            let before = state.missing.counts().given_up;
            state.missing.ask(now, round_trip, spared, |number| asked.push(number as u16));
            let never_came = state.missing.counts().given_up - before;
            if never_came > 0 && state.seal.is_some() {
                given_up.push((id, never_came));
            }
            let mut lists = Vec::new();
            if let Some(seal) = &mut state.seal {
                seal.missing.ask(now, round_trip, |_| call.is_none(), |number| lists.push(number as u16));
            }
            let Some(parent) = call.and_then(|call| self.parents.get_mut(call)) else { continue };
            let Some(ssrc) = state.ssrc else { continue };
            for (ssrc, lost) in [(ssrc, asked), (integrity::counterpart(ssrc), lists)] {
                for lost in lost.chunks(MAX_NACK_ENTRIES) {
                    let nack = Composer::receiver_report(self.config.ssrc, &[])
                        .cname(&self.config.cname)
                        .nack(ssrc, lost.iter().copied());
                    parent.send(&nack.finish(), fx);
                }
            }
        }
        for (channel, packets) in given_up {
            self.on_given_up(channel, packets, fx);
        }
        self.next_ask = self.next_to_ask();
    }
}
