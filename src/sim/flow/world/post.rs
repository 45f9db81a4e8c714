//! Messages on their way: how long they take, and which of them arrive. What they say is nothing to this file.

use super::happening::Happening;
use super::{SOURCE, World};
use crate::sim::flow::session::{End, Ticket};
use crate::sim::flow::summary::Control;
use crate::sim::underlay::happens;
use crate::time::Duration;

/// What SIP takes to notice that nobody answers (Timers B and F).
pub(super) const TIMER_B: Duration = Duration::from_secs(32);
/// While the tree grows before the watch, nothing takes longer.
pub(super) const QUICK: Duration = Duration::from_micros(100);

impl World {
    /// From one node to another.
    pub(super) fn latency(&self, a: u32, b: u32) -> Duration {
        if self.quick { QUICK } else { self.path(a, b) }
    }

    /// The same when the watch has begun.
    pub(super) fn path(&self, a: u32, b: u32) -> Duration {
        self.setting.conditions.latency.between(a, b, self.setting.crowd.seed)
    }

    /// How long a message on a stream takes: one that is lost is sent again.
    pub(super) fn transit(&mut self, delay: Duration) -> Duration {
        if self.quick {
            return delay;
        }
        let jitter = self.setting.conditions.queueing(&mut self.dice);
        let mut again = Duration::ZERO;
        while happens(self.setting.conditions.loss, &mut self.dice) && again < TIMER_B {
            again = again * 2 + (delay * 2).max(Duration::from_millis(200));
        }
        delay + jitter + again
    }

    /// Sends a message to one end of a call.
    pub(super) fn send(
        &mut self,
        ticket: Ticket,
        to: End,
        head_start: Duration,
        what: impl FnOnce(Ticket, End) -> Happening,
    ) {
        let Some(delay) = self.sessions.get(ticket).map(|s| s.delay) else { return };
        let at = self.now + head_start + self.transit(delay);
        let Some(session) = self.sessions.get_mut(ticket) else { return };
        let arrival = &mut session.arrivals[to as usize];
        *arrival = at.max(*arrival);
        let at = *arrival;
        self.queue.schedule(at, what(ticket, to));
    }

    /// Sends a notice on the media plane, after so long, and tells whether it will arrive: nobody sends it again.
    pub(super) fn notice(&mut self, after: Duration, delay: Duration, what: Happening) -> bool {
        if !self.quick && happens(self.setting.conditions.loss, &mut self.dice) {
            return false;
        }
        let jitter = self.setting.conditions.queueing(&mut self.dice);
        self.queue.schedule(self.now + after + delay + jitter, what);
        true
    }

    pub(super) fn count(&mut self, node: u32, control: Control, octets: u64) {
        self.summary.count(control, octets, node == SOURCE);
    }
}
