//! The standbys of a viewer: backup parents that have answered already, so that their media is one request away (Q12).
//!
//! ```text
//!   dialling ──answered──► ready ──Resume──► asked ──first packet──► serving ──► parent, or Release: ready
//!       └ refused: that peer rests            └ denied, another was faster: ready
//! ```
//! They are leases: the provider promises first refusal on its rescue slot, and may refuse or end that.

use crate::ids::{CallId, ChannelId};
use crate::iptv::config::{Config, LEAST};
use crate::iptv::counters::count;
use crate::iptv::fact::ByeReason;
use crate::iptv::order::{InviteKind, Order};
use crate::iptv::report::Provider;
use crate::iptv::turn::Turn;
use crate::time::{Duration, Instant, earliest};
use alloc::vec::Vec;

/// Round trips that differ by fewer milliseconds are the same.
const NEAR: u16 = 25;
/// So many layers deeper are worse than a longer round trip.
const SUNK: u8 = 2;

/// How far a standby is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Dialling {
        until: Instant,
    },
    Ready,
    /// Asked for media.
    Asked,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Standby<P> {
    pub(super) call: CallId,
    pub(super) peer: P,
    /// The provider's hops from the source.
    pub(super) depth: u8,
    /// There and back in milliseconds, once it was measured.
    pub(super) rtt: Option<u16>,
    pub(super) state: State,
}

/// The backup parents that are kept ready.
#[derive(Debug)]
pub(in crate::iptv) struct Standbys<P> {
    held: Vec<Standby<P>>,
    /// Who refused, or ended the lease, of late; bounded by [`Limits::backups`](crate::iptv::Limits).
    resting: Vec<(P, Instant)>,
    dial_at: Option<Instant>,
}

impl<P: Copy + Ord> Standbys<P> {
    pub(super) const fn new() -> Self {
        Standbys { held: Vec::new(), resting: Vec::new(), dial_at: None }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let dialling = self.held.iter().filter_map(|s| match s.state {
            State::Dialling { until } => Some(until),
            State::Ready | State::Asked => None,
        });
        earliest(self.dial_at, dialling.min())
    }

    pub(super) fn get(&self, call: CallId) -> Option<&Standby<P>> {
        self.held.iter().find(|s| s.call == call)
    }

    pub(super) fn get_mut(&mut self, call: CallId) -> Option<&mut Standby<P>> {
        self.held.iter_mut().find(|s| s.call == call)
    }

    pub(super) fn any(&self, wanted: impl Fn(P) -> bool) -> bool {
        self.held.iter().any(|s| wanted(s.peer))
    }

    pub(super) fn contains(&self, peer: P) -> bool {
        self.held.iter().any(|s| s.peer == peer)
    }

    /// Those that have answered.
    pub(in crate::iptv) fn answered(&self) -> usize {
        self.held.iter().filter(|s| !matches!(s.state, State::Dialling { .. })).count()
    }

    /// The best one that may be asked for media and is not among `tried`: the nearest, and of those that are as near in the
    /// order of the parent's list, `named`. Whoever hangs deeper than this node at `depth`, as the list or its own answer says,
    /// whichever is deeper, comes later, for all below this node sink with it; two layers are one step. Whoever was named as deep
    /// as this node comes last: that may be a sibling, who misses what this node misses and asks others itself.
    pub(super) fn next(&self, tried: &[CallId], named: &[Provider<P>], depth: u8) -> Option<CallId> {
        let rank = |s: &&Standby<P>| {
            let at = named.iter().position(|p| p.peer == s.peer);
            let listed = at.and_then(|at| named[at].depth);
            let sunk = listed.map_or(s.depth, |d| d.max(s.depth)).saturating_sub(depth).div_ceil(SUNK);
            let near = s.rtt.map_or(0, |rtt| rtt / NEAR);
            (listed == Some(depth), sunk, near, at.unwrap_or(named.len()))
        };
        let ready = self.held.iter().filter(|s| s.state == State::Ready && !tried.contains(&s.call));
        ready.min_by_key(rank).map(|s| s.call)
    }

    /// Those that answer in so many milliseconds at most, the nearest first.
    pub(super) fn within(&self, millis: u16) -> Vec<P> {
        let near =
            |s: &Standby<P>| Some((s.rtt.filter(|&rtt| s.state == State::Ready && rtt <= millis)?, s.peer));
        let mut near: Vec<(u16, P)> = self.held.iter().filter_map(near).collect();
        near.sort_unstable();
        near.into_iter().map(|n| n.1).collect()
    }

    /// Looks for standbys within the spread: the backups have changed, or one is missing.
    pub(super) fn plan(&mut self, turn: &mut Turn<'_, P>) {
        if turn.config.is_paper() || turn.config.limits.standbys == 0 || self.dial_at.is_some() {
            return;
        }
        self.dial_at = Some(turn.now + turn.within(turn.config.standby_spread));
    }

    /// Dials what is missing, one at a time, the best first; gives up what has become useless, and what nobody names any
    /// more if there is something better. `wanted` is what the parent named; `useless` are parents and children.
    pub(super) fn settle(
        &mut self,
        (channel, slots): (ChannelId, u16),
        wanted: &[Provider<P>],
        useless: impl Fn(P) -> bool,
        turn: &mut Turn<'_, P>,
    ) {
        let now = turn.now;
        self.resting.retain(|r| r.1 > now);
        self.held.retain(|s| {
            match s.state {
                State::Dialling { until } if until <= now || useless(s.peer) => {
                    turn.order(Order::Cancel { call: s.call });
                }
                State::Ready if useless(s.peer) => turn.bye(s.call, ByeReason::Normal),
                _ => return true,
            }
            false
        });
        if self.dial_at.is_none_or(|t| t > now) {
            return;
        }
        self.dial_at = None;
        let may = |p: &&Provider<P>| {
            p.peer != turn.me
                && !useless(p.peer)
                && !self.contains(p.peer)
                && !self.resting.iter().any(|r| r.0 == p.peer)
        };
        let Some(next) = wanted.iter().find(may).map(|p| p.peer) else {
            // Who refused may have room later.
            if self.held.len() < usize::from(turn.config.limits.standbys) {
                self.dial_at = self.resting.iter().map(|r| r.1).min();
            }
            return;
        };
        if self.held.len() >= usize::from(turn.config.limits.standbys) {
            let named = |peer: P| wanted.iter().any(|w| w.peer == peer);
            let Some(at) = self.held.iter().position(|s| s.state == State::Ready && !named(s.peer)) else {
                return;
            };
            turn.bye(self.held.remove(at).call, ByeReason::Normal);
        }
        let call = turn.invite(channel, next, InviteKind::Standby, slots);
        let state = State::Dialling { until: now + turn.config.answer_limit };
        self.held.push(Standby { call, peer: next, depth: 0, rtt: None, state });
    }

    pub(super) fn on_answered(&mut self, call: CallId, depth: Option<u8>, turn: &mut Turn<'_, P>) {
        let Some(standby) = self.get_mut(call) else { return };
        standby.state = State::Ready;
        standby.depth = depth.unwrap_or(0);
        // The next one, if one is missing.
        self.dial_at = Some(turn.now + LEAST);
    }

    /// The provider refused.
    pub(super) fn on_refused(&mut self, call: CallId, turn: &mut Turn<'_, P>) {
        count(&mut turn.counters.standbys_refused);
        self.on_ended(call, turn);
    }

    /// The lease is over.
    pub(super) fn on_ended(&mut self, call: CallId, turn: &mut Turn<'_, P>) -> bool {
        let Some(standby) = self.take(call) else { return false };
        self.rest(standby.peer, turn);
        self.dial_at = Some(turn.now + LEAST);
        true
    }

    fn rest(&mut self, peer: P, turn: &mut Turn<'_, P>) {
        if self.resting.len() >= usize::from(turn.config.limits.backups).max(1) {
            self.resting.remove(0);
        }
        let until = turn.now + turn.at_least(turn.config.lease_retry);
        self.resting.push((peer, until));
    }

    /// Takes a standby out, because it is the parent now, or over.
    pub(super) fn take(&mut self, call: CallId) -> Option<Standby<P>> {
        let at = self.held.iter().position(|s| s.call == call)?;
        Some(self.held.remove(at))
    }

    /// Takes a call in that was a parent's and is a standby again, if there is room. Otherwise it ends.
    pub(super) fn keep(&mut self, standby: Standby<P>, turn: &mut Turn<'_, P>) {
        if self.held.len() < usize::from(turn.config.limits.standbys) && !self.contains(standby.peer) {
            turn.order(Order::Release { call: standby.call });
            self.held.push(Standby { state: State::Ready, ..standby });
        } else {
            turn.bye(standby.call, ByeReason::Normal);
        }
    }

    /// How long whoever is asked is waited for before others are asked as well; `rtt` if its own is not known.
    pub(super) fn wait(&self, call: CallId, rtt: Duration, config: &Config) -> Duration {
        let measured = self.get(call).and_then(|s| s.rtt).map(|ms| Duration::from_millis(ms.into()));
        let rtt = measured.unwrap_or(rtt);
        config.resume_hedge.max(rtt.saturating_mul(2)).min(config.hedge_after)
    }

    /// Asks for media.
    pub(super) fn resume(&mut self, call: CallId, turn: &mut Turn<'_, P>) {
        if let Some(standby) = self.get_mut(call) {
            standby.state = State::Asked;
            turn.order(Order::Resume { call });
        }
    }

    /// Asks for no more: the call is a standby again.
    pub(super) fn release(&mut self, call: CallId, turn: &mut Turn<'_, P>) {
        if let Some(standby) = self.get_mut(call).filter(|s| s.state == State::Asked) {
            standby.state = State::Ready;
            turn.order(Order::Release { call });
        }
    }

    /// Releases all that were asked, but for one.
    pub(super) fn release_all_but(&mut self, kept: Option<CallId>, turn: &mut Turn<'_, P>) {
        for standby in self.held.iter_mut().filter(|s| s.state == State::Asked && Some(s.call) != kept) {
            standby.state = State::Ready;
            turn.order(Order::Release { call: standby.call });
        }
    }

    /// The provider has refused to send; nothing need be released.
    pub(super) fn on_denied(&mut self, call: CallId) -> bool {
        let asked = self.get_mut(call).filter(|s| s.state == State::Asked);
        asked.map(|s| s.state = State::Ready).is_some()
    }

    /// Ends them all.
    pub(super) fn stop(&mut self, turn: &mut Turn<'_, P>) {
        for standby in core::mem::take(&mut self.held) {
            match standby.state {
                State::Dialling { .. } => turn.order(Order::Cancel { call: standby.call }),
                State::Ready | State::Asked => turn.bye(standby.call, ByeReason::Normal),
            }
        }
        self.dial_at = None;
    }

    /// Those that were asked and have not refused.
    pub(super) fn asked(&self) -> impl Iterator<Item = P> + '_ {
        self.held.iter().filter(|s| s.state == State::Asked).map(|s| s.peer)
    }

    /// Whether somebody was asked and has neither sent nor refused.
    pub(super) fn any_asked(&self) -> bool {
        self.asked().next().is_some()
    }

    /// Whether one could be asked.
    pub(super) fn any_ready(&self, config: &Config) -> bool {
        !config.is_paper() && self.held.iter().any(|s| s.state == State::Ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standbys(held: Vec<Standby<char>>) -> Standbys<char> {
        Standbys { held, ..Standbys::new() }
    }

    fn standby(n: u32, peer: char, depth: u8, rtt: Option<u16>) -> Standby<char> {
        Standby { call: CallId::received(n), peer, depth, rtt, state: State::Ready }
    }

    fn named(peer: char, depth: u8) -> Provider<char> {
        Provider { peer, depth: Some(depth), free: None }
    }

    /// All of them, in the order in which a node at `depth` asks them.
    fn asked(standbys: &Standbys<char>, list: &[Provider<char>], depth: u8) -> Vec<CallId> {
        let mut tried = Vec::new();
        while let Some(next) = standbys.next(&tried, list, depth) {
            tried.push(next);
        }
        tried
    }

    #[test]
    fn q12_standbys_are_asked_in_the_order_of_the_parents_list_and_siblings_last() {
        let standbys =
            standbys(vec![standby(0, 's', 0, None), standby(1, 'o', 0, None), standby(2, 'u', 0, None)]);
        // The sibling hangs in layer 3 as this node does; 'o' is a standby from another place.
        let list = [named('x', 1), named('s', 3), named('u', 2)];
        assert_eq!(asked(&standbys, &list, 3), [2, 1, 0].map(CallId::received));
    }

    #[test]
    fn whoever_has_answered_from_deep_below_is_asked_later_however_near_it_is_and_a_sibling_last() {
        let standbys = standbys(vec![
            standby(0, 'd', 10, Some(10)),
            standby(1, 's', 4, Some(10)),
            standby(2, 'a', 5, Some(100)),
            standby(3, 'u', 2, Some(300)),
            standby(4, 'l', 8, Some(90)),
            standby(5, 'c', 4, Some(290)),
        ]);
        // The list knows what they were: 'd' hung next to the source when it was named. 'c' is no sibling.
        let list = [named('d', 1), named('u', 2), named('s', 4)];
        assert_eq!(asked(&standbys, &list, 4), [5, 3, 2, 4, 0, 1].map(CallId::received));
    }

    #[test]
    fn the_nearer_standby_is_asked_first_whatever_its_place_in_the_list_but_a_sibling_last() {
        let standbys = standbys(vec![
            standby(0, 's', 0, Some(10)),
            standby(1, 'f', 0, Some(90)),
            standby(2, 'n', 0, Some(40)),
            standby(3, 'm', 0, Some(30)),
        ]);
        let list = [named('s', 3), named('f', 2), named('n', 2), named('m', 2)];
        // 40 ms and 30 ms are the same: the parent's order decides.
        assert_eq!(asked(&standbys, &list, 3), [2, 3, 1, 0].map(CallId::received));
        assert_eq!(standbys.within(40), ['s', 'm', 'n']);
    }
}
