//! Replays: what a child is sent of the ring before it gets what comes.
//!
//! ```text
//!  ring   |. . . . . . . . . . . . . . . . .|  <- packets as they come
//!           ^ start      ^ next               \
//!           '- sent, four times as fast        '-> Fact::Packet, for everybody who has caught up
//! ```
//!
//! A child in a replay is not among [`Relay::children`]: it gets the packets of the ring in order, and joins the others
//! when it has caught up with the newest. So nothing comes twice and nothing is left out, whatever arrives meanwhile; a packet
//! that was missing when its turn was over is sent to the child when it comes. (A host that lets packets wait while it
//! makes the relay go on may send those to a child that has them already; its window drops them.)
//!
//! # The trade
//!
//! A newcomer begins at the last random access point, so it has a picture after one round trip and not after half a group of
//! pictures on the average. But it begins in the past. At [`SPEED`] times the pace of the stream it takes a third of that
//! time to catch up, in which the uplink carries the stream four times for this child: a group of two seconds costs at most
//! two thirds of a second of that. Faster would drown the other children of a thin uplink, slower would let a player that
//! plays at once run dry less early, but takes longer until the child can relay without delay. The player is as far behind
//! the source as the start was; it is for the host to skip what it does not want to show.

use super::channel::Channel;
use super::roster::Peer;
use super::{Downstream, Fact, Relay, Start};
use crate::effect::Effects;
use crate::ids::{CallId, ChannelId};
use crate::rtp::integrity::List;
use crate::time::{Duration, Instant, earliest};
use bytes::Bytes;
use core::net::SocketAddr;

/// How many times as fast as the stream a replay is.
pub const SPEED: u32 = 4;

/// Between two bursts of a replay.
pub const TICK: Duration = Duration::from_millis(5);

/// The most packets of a burst.
pub const BURST: usize = 64;

/// A child that has not caught up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replay {
    /// The first packet of all.
    began: u64,
    /// The next one.
    pub(super) next: u64,
    /// The last one, for a child that gets everything behind it already, in another call.
    until: Option<u64>,
    /// The first one that this other call, which is over, did not bring any more.
    then: Option<u64>,
    /// Time that is not spent on packets yet, and up to when it was counted.
    credit: Duration,
    counted: Instant,
    /// The number from which on it still gets lists, each in front of its packets; `None` for somebody who gets none.
    lists: Option<u64>,
}

impl Replay {
    /// Whether a list is still to come with the packets.
    pub(super) fn brings(&self, list: &List) -> bool {
        self.lists.is_some_and(|next| next <= list.number)
    }

    /// Sends the lists that are needed now.
    fn send_lists(
        &mut self,
        channel: &Channel,
        to: SocketAddr,
        needed: impl Fn(&List) -> bool,
        fx: &mut Effects<Fact>,
    ) {
        let (Some(next), Some(seal)) = (&mut self.lists, &channel.seal) else { return };
        for list in seal.lists().from(*next).take_while(|list| needed(list)) {
            fx.send(to, list.packet().clone());
            *next = list.number + 1;
        }
    }
}

impl Relay {
    /// What a child is sent begins there.
    pub(super) fn begin(&mut self, now: Instant, call: CallId, from: Start, fx: &mut Effects<Fact>) {
        let Some(peer) = self.children.get_mut(call) else { return };
        let channel = peer.channel;
        let Some(state) = self.channels.get(&channel) else { return };
        let newest = state.reception.newest();
        let first = match from {
            Start::Live => None,
            Start::RandomAccess => state.ring.start(),
            Start::After(sequence) => state.reception.number_of(sequence).map(|number| number + 1),
        };
        // What is not here any more cannot be sent; of what is ahead of us nothing is missing.
        let first = first.filter(|&first| newest.is_some_and(|newest| first <= newest));
        let first = first.and_then(|first| Some(first.max(state.ring.oldest()?)));
        let addr = peer.addr;
        let lists = state.seal.as_ref().filter(|_| peer.srtcp.is_some()).map(|seal| {
            let known = seal.lists();
            let behind = known.newest().map_or(0, |newest| newest.number + 1);
            match (state.ssrc, first.or(newest.map(|newest| newest + 1))) {
                (Some(ssrc), Some(next)) => known.number_for(ssrc, next as u16).unwrap_or(behind),
                // Lists are here before the first packet is.
                _ => 0,
            }
        });
        let is_fed = self.is_fed_otherwise(call);
        let Some(peer) = self.children.get_mut(call) else { return };
        peer.state.replay = first.map(|first| Replay {
            began: first,
            next: first,
            until: newest.filter(|_| is_fed),
            then: None,
            credit: TICK,
            counted: now,
            lists,
        });
        if first.is_none()
            && let (Some(from), Some(seal)) = (lists, &state.seal)
        {
            seal.lists().from(from).for_each(|list| fx.send(addr, list.packet().clone()));
        }
        self.replays.retain(|&other| other != call);
        if first.is_some() {
            self.replays.push(call);
        }
        self.retarget(channel);
        self.replay(now, call, fx);
        self.schedule_replays(now);
    }

    /// Whether the child of this call gets what comes in another one.
    fn is_fed_otherwise(&self, call: CallId) -> bool {
        let Some(peer) = self.children.get(call) else { return false };
        let feeds = |other: &Peer<Downstream>| {
            let flows = !other.state.flow.is_resting() && other.state.replay.is_none();
            other.call != call && other.channel == peer.channel && flows
        };
        self.children.at(peer.addr).iter().any(feeds)
    }

    /// A call has ended, or rests: a replay that left what comes to it goes on with what it did not bring.
    pub(super) fn extend_replays(&mut self, channel: ChannelId) {
        let newest = self.channels.get(&channel).and_then(|state| state.reception.newest());
        for n in 0..self.replays.len() {
            let call = self.replays[n];
            let is_fed = self.is_fed_otherwise(call);
            let Some(peer) = self.children.get_mut(call).filter(|peer| peer.channel == channel) else {
                continue;
            };
            if let Some(replay) = peer.state.replay.as_mut().filter(|_| !is_fed)
                && replay.until.is_some()
                && replay.then.is_none()
            {
                replay.then = newest.map(|newest| newest + 1);
            }
        }
    }

    /// Goes on with all replays.
    pub(super) fn replay_all(&mut self, now: Instant, fx: &mut Effects<Fact>) {
        for n in (0..self.replays.len()).rev() {
            let call = self.replays[n];
            self.replay(now, call, fx);
        }
        self.schedule_replays(now);
    }

    /// Sends what a replay may send by now. A child that has caught up joins the others.
    fn replay(&mut self, now: Instant, call: CallId, fx: &mut Effects<Fact>) {
        let Some(peer) = self.children.get_mut(call) else { return };
        let Some(replay) = &mut peer.state.replay else { return };
        let Some(state) = self.channels.get(&peer.channel) else { return };
        let newest = state.reception.newest().unwrap_or(0);
        let mut end = replay.until.unwrap_or(newest);
        let price = state.ring.spacing().unwrap_or(Duration::ZERO) / SPEED;
        // Who is late does not catch up: a replay is in no hurry, and a clock may jump.
        replay.credit = (replay.credit + now.since(replay.counted)).min(2 * TICK.max(price));
        replay.counted = now;
        replay.next = replay.next.max(state.ring.oldest().unwrap_or(0));
        if replay.next > end
            && let Some(then) = replay.then.take()
        {
            (replay.next, replay.until, end) = (then, None, newest);
        }
        let mut sent = 0;
        while replay.next <= end && sent < BURST && replay.credit >= price {
            if let Some((packet, _)) = state.ring.get(replay.next) {
                let next = replay.next as u16;
                replay.send_lists(state, peer.addr, |list| (list.first.wrapping_sub(next) as i16) <= 0, fx);
                fx.send(peer.addr, packet.clone());
                replay.credit -= price;
                sent += 1;
            }
            replay.next += 1;
        }
        if replay.next > end && replay.then.is_none() {
            replay.send_lists(state, peer.addr, |_| true, fx);
            peer.state.replay = None;
            let channel = peer.channel;
            self.retarget(channel);
        }
    }

    /// A packet that was missing has come: those whose replay is past it are to have it too.
    pub(super) fn replay_late(
        &self,
        channel: ChannelId,
        number: u64,
        packet: &Bytes,
        fx: &mut Effects<Fact>,
    ) {
        for peer in self.replays.iter().filter_map(|&call| self.children.get(call)) {
            let passed =
                |replay: &Replay| (replay.began..replay.next).contains(&number) && replay.until.is_none();
            if peer.channel == channel && peer.state.replay.as_ref().is_some_and(passed) {
                fx.send(peer.addr, packet.clone());
            }
        }
    }

    /// The same for a list.
    pub(super) fn replay_late_list(&self, channel: ChannelId, list: &List, fx: &mut Effects<Fact>) {
        for peer in self.replays.iter().filter_map(|&call| self.children.get(call)) {
            let passed = |replay: &Replay| replay.lists.is_some_and(|next| list.number < next);
            if peer.channel == channel && peer.state.replay.as_ref().is_some_and(passed) {
                fx.send(peer.addr, list.packet().clone());
            }
        }
    }

    /// The sequence begins anew, and what was being replayed is gone.
    pub(super) fn end_replays(&mut self, now: Instant, channel: ChannelId, fx: &mut Effects<Fact>) {
        let Some(state) = self.channels.get(&channel) else { return };
        for &call in &self.replays {
            let peer = self.children.get_mut(call).filter(|peer| peer.channel == channel);
            if let Some(peer) = peer
                && let Some(mut replay) = peer.state.replay.take()
            {
                replay.send_lists(state, peer.addr, |_| true, fx);
            }
        }
        self.retarget(channel);
        self.schedule_replays(now);
    }

    /// Forgets the replays that are over, and sees when the others go on.
    pub(super) fn schedule_replays(&mut self, now: Instant) {
        let children = &self.children;
        let replays_still = |call: &CallId| {
            children.get(*call).is_some_and(|peer: &Peer<Downstream>| peer.state.replay.is_some())
        };
        self.replays.retain(replays_still);
        self.next_replay = if self.replays.is_empty() {
            None
        } else {
            earliest(self.next_replay.filter(|&at| at > now), Some(now + TICK))
        };
    }
}
