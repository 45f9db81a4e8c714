//! One input's turn: everything that its handling may touch besides the channel itself.

use super::config::Config;
use super::counters::Counters;
use super::fact::{ByeReason, Progress};
use super::order::{Event, InviteKind, Order};
use super::report::Report;
use super::seats::Uplink;
use crate::env::Entropy;
use crate::ids::{CallId, ChannelId};
use crate::time::{Duration, Instant};
use alloc::collections::VecDeque;

pub(super) struct Turn<'a, P> {
    pub(super) now: Instant,
    /// Silence counts from here: before it, this node itself was asleep.
    pub(super) awake_since: Instant,
    pub(super) config: &'a Config,
    pub(super) me: P,
    pub(super) uplink: &'a mut Uplink,
    pub(super) counters: &'a mut Counters,
    pub(super) placed_calls: &'a mut u32,
    pub(super) entropy: &'a mut dyn Entropy,
    pub(super) progress: &'a dyn Progress,
    pub(super) orders: &'a mut VecDeque<Order<P>>,
}

impl<P> Turn<'_, P> {
    pub(super) fn order(&mut self, order: Order<P>) {
        self.orders.push_back(order);
    }

    pub(super) fn event(&mut self, event: Event<P>) {
        self.orders.push_back(Order::Event(event));
    }

    pub(super) fn inform(&mut self, call: CallId, report: Report<P>) {
        self.orders.push_back(Order::Inform { call, report });
    }

    pub(super) fn bye(&mut self, call: CallId, reason: ByeReason) {
        self.orders.push_back(Order::Bye { call, reason });
    }

    /// Places a call under a new number. `slots` is what this node could serve.
    pub(super) fn invite(&mut self, channel: ChannelId, peer: P, kind: InviteKind, slots: u16) -> CallId {
        let call = CallId::placed(*self.placed_calls);
        *self.placed_calls = self.placed_calls.wrapping_add(1);
        self.orders.push_back(Order::Invite { channel, call, peer, kind, slots });
        call
    }

    /// The duration, 10 % more or less.
    pub(super) fn about(&mut self, d: Duration) -> Duration {
        percent(d, 90 + self.entropy.below(21))
    }

    /// Some time up to the duration: for what many nodes do for one reason.
    pub(super) fn within(&mut self, d: Duration) -> Duration {
        let micros = u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(1 + self.entropy.below(micros.max(1)))
    }

    /// The duration, up to half as much again: for waits that others asked for, which must not become shorter.
    pub(super) fn at_least(&mut self, d: Duration) -> Duration {
        percent(d, 100 + self.entropy.below(51))
    }
}

/// A share of a duration, in percent; never nothing.
fn percent(d: Duration, percent: u64) -> Duration {
    let micros = u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros((micros / 100).saturating_mul(percent).max(1))
}
