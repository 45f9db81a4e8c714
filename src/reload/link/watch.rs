//! The sender of a link over a stream (RFC 6940 §6.6.5, LT-3): the stream repeats what is lost, the framing header only
//! tells how long ACKs take.
//!
//! ```text
//!            a message unacknowledged for RTO                  30 s without any ACK
//!   in order ────────────────────────────────▶ degraded ───────────────────────────▶ failed
//!      ▲                                          │
//!      └──────────────────────────────────────────┘ an ACK
//! ```

use super::round_trip::RoundTrip;
use super::{LinkEvent, Transmission};
use crate::bounded::Full;
use crate::time::Instant;
use alloc::collections::VecDeque;
use bytes::Bytes;
use core::time::Duration;

/// RTO before the first measurement (RFC 6298 §2.1), and its floor (§2.4). A link that loses its place in the Routing
/// Table is dear, and TCP itself waits this long for a lost segment.
const FLOOR: Duration = Duration::from_secs(1);

/// Numbers messages, and watches how long their ACKs take.
#[derive(Clone, Debug)]
pub struct Watch {
    round_trip: RoundTrip,
    next: u32,
    /// When each message left that is not acknowledged yet. Their numbers end right before `next`.
    unacknowledged: VecDeque<Instant>,
    limit: usize,
    /// How long a degraded link is kept.
    grace: Duration,
    /// The oldest message is waited for since then, if it did not leave later.
    patient_since: Instant,
    /// Since when nothing came any more.
    degraded: Option<Instant>,
    failed: bool,
}

impl Watch {
    /// A sender with at most `limit` messages that are not acknowledged; once degraded it is kept for `grace`.
    pub fn new(limit: usize, grace: Duration) -> Self {
        Watch {
            round_trip: RoundTrip::default(),
            next: 0,
            unacknowledged: VecDeque::new(),
            limit,
            grace,
            patient_since: Instant::ZERO,
            degraded: None,
            failed: false,
        }
    }

    /// Sends a message. Refused when too many are not acknowledged.
    pub fn send(&mut self, now: Instant, message: Bytes) -> Result<Transmission, Full> {
        if self.unacknowledged.len() >= self.limit {
            return Err(Full);
        }
        self.unacknowledged.push_back(now);
        let sequence = self.next;
        self.next = self.next.wrapping_add(1);
        Ok(Transmission { sequence, message })
    }

    /// How long acknowledgements take.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip.smoothed()
    }

    /// An ACK arrived. A stream keeps its order, so whatever was sent before this number has arrived too.
    pub fn on_ack(&mut self, now: Instant, sequence: u32) -> Option<LinkEvent> {
        let oldest = self.next.wrapping_sub(self.unacknowledged.len() as u32);
        let index = sequence.wrapping_sub(oldest) as usize;
        let sent = *self.unacknowledged.get(index)?;
        self.round_trip.measure(now.since(sent));
        self.unacknowledged.drain(..=index);
        // What is left is not overdue: RTO is longer now than what was just measured, and that was the oldest.
        self.degraded.take().map(|_| LinkEvent::Restored)
    }

    /// Fires what is due. A call that comes late by the whole interval is that of a host which slept: the ACKs may lie
    /// in its sockets, and the interval begins anew.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<LinkEvent> {
        let due = self.deadline().filter(|&due| due <= now)?;
        let late = now.since(due);
        if self.degraded.is_some() {
            if late >= self.grace {
                self.degraded = Some(now);
                return None;
            }
            self.failed = true;
            return Some(LinkEvent::Failed);
        }
        if late >= self.rto() {
            self.patient_since = now;
            return None;
        }
        self.degraded = Some(now);
        Some(LinkEvent::Degraded)
    }

    /// When [`Watch::handle_timeout`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        match self.degraded {
            _ if self.failed => None,
            Some(since) => Some(since + self.grace),
            None => self.overdue_at(),
        }
    }

    fn overdue_at(&self) -> Option<Instant> {
        let sent = *self.unacknowledged.front()?;
        Some(sent.max(self.patient_since) + self.rto())
    }

    fn rto(&self) -> Duration {
        self.round_trip.rto().unwrap_or(FLOOR).max(FLOOR)
    }

    /// Whether nothing was acknowledged for too long.
    pub const fn is_degraded(&self) -> bool {
        self.degraded.is_some()
    }

    /// Messages that are not acknowledged.
    pub fn waiting(&self) -> usize {
        self.unacknowledged.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Instant {
        Instant::from_millis(n)
    }

    fn watch() -> Watch {
        Watch::new(4, Duration::from_secs(30))
    }

    fn send(w: &mut Watch, at: u64) -> u32 {
        w.send(ms(at), Bytes::new()).unwrap().sequence
    }

    #[test]
    fn lt3_a_message_without_an_ack_degrades_the_link_at_the_rto_and_closes_it_30_s_later() {
        let mut w = watch();
        assert_eq!(send(&mut w, 0), 0);
        assert_eq!((w.deadline(), w.handle_timeout(ms(999))), (Some(ms(1000)), None), "K12");
        assert_eq!(w.handle_timeout(ms(1000)), Some(LinkEvent::Degraded));
        assert_eq!(w.deadline(), Some(ms(31_000)));
        assert_eq!(w.handle_timeout(ms(31_000)), Some(LinkEvent::Failed));
        assert_eq!(w.deadline(), None);
    }

    #[test]
    fn fr1_lr3_messages_leave_at_once_with_consecutive_numbers_and_never_again() {
        let mut w = watch();
        assert_eq!([send(&mut w, 0), send(&mut w, 0), send(&mut w, 5)], [0, 1, 2]);
        w.on_ack(ms(10), 2);
        assert_eq!((w.waiting(), w.deadline()), (0, None), "an ACK speaks for everything before it");
        assert_eq!(send(&mut w, 10), 3, "no rest after an ACK: TCP knows how fast it may go");
    }

    #[test]
    fn lt3_the_rto_is_that_of_rfc_6298_with_its_floor_of_a_second() {
        let mut w = watch();
        send(&mut w, 0);
        w.on_ack(ms(40), 0);
        send(&mut w, 100);
        assert_eq!(w.deadline(), Some(ms(1100)));
        w.on_ack(ms(1900), 1);
        send(&mut w, 2000);
        assert_eq!(w.deadline(), Some(ms(4080)), "SRTT 260 ms, RTTVAR 455 ms");
    }

    #[test]
    fn lt5_an_ack_restores_the_link() {
        let mut w = watch();
        send(&mut w, 0);
        assert_eq!(w.handle_timeout(ms(1000)), Some(LinkEvent::Degraded));
        assert_eq!(w.on_ack(ms(8000), 0), Some(LinkEvent::Restored));
        assert!(!w.is_degraded());
        assert_eq!(w.deadline(), None);
    }

    #[test]
    fn lt5_after_a_late_ack_the_next_message_has_as_much_patience() {
        let mut w = watch();
        send(&mut w, 0);
        w.on_ack(ms(1), 0);
        send(&mut w, 10);
        send(&mut w, 11);
        assert_eq!(w.handle_timeout(ms(1010)), Some(LinkEvent::Degraded));
        assert_eq!(w.on_ack(ms(1300), 1), Some(LinkEvent::Restored));
        assert!(w.deadline() > Some(ms(1300)), "{:?}", w.deadline());
    }

    #[test]
    fn fr4_an_ack_of_a_number_that_is_not_out_changes_nothing() {
        let mut w = watch();
        send(&mut w, 0);
        assert_eq!(w.on_ack(ms(1), 1), None);
        assert_eq!(w.on_ack(ms(1), u32::MAX), None);
        assert_eq!(w.waiting(), 1);
        w.on_ack(ms(2), 0);
        assert_eq!(w.on_ack(ms(3), 0), None, "twice the same");
    }

    #[test]
    fn fr7_numbers_wrap() {
        let mut w = watch();
        w.next = u32::MAX;
        assert_eq!([send(&mut w, 0), send(&mut w, 0)], [u32::MAX, 0]);
        w.on_ack(ms(1), u32::MAX);
        assert_eq!(w.waiting(), 1);
        w.on_ack(ms(1), 0);
        assert_eq!(w.waiting(), 0);
    }

    #[test]
    fn k8_too_many_unacknowledged_messages_refuse_the_next() {
        let mut w = watch();
        (0..4).for_each(|n| assert_eq!(send(&mut w, n), n as u32));
        assert_eq!(w.send(ms(5), Bytes::new()), Err(Full));
        w.on_ack(ms(6), 0);
        assert!(w.send(ms(7), Bytes::new()).is_ok());
    }

    #[test]
    fn k6_a_host_that_slept_degrades_nothing_before_it_has_looked_into_its_sockets() {
        let mut w = watch();
        send(&mut w, 0);
        assert_eq!(w.handle_timeout(ms(60_000)), None);
        assert_eq!(w.deadline(), Some(ms(61_000)));
        assert_eq!(w.handle_timeout(ms(61_000)), Some(LinkEvent::Degraded));
        assert_eq!(w.handle_timeout(ms(200_000)), None);
        assert_eq!(w.handle_timeout(ms(230_000)), Some(LinkEvent::Failed));
    }
}
