//! The sender of simple reliability (RFC 6940 §6.6.3.1), for links over datagrams.
//!
//! ```text
//!               send                  ACK of any number used             10 ms
//!   idle ───────────────▶ in flight ──────────────────────▶ resting ───────────▶ idle, or the next message
//!                          │   ▲ RTO, 2 RTO, 4 RTO ...: again, with a new number
//!                          ├───┘ the fourth transmission says Degraded, an ACK after it Restored
//!                          └──────▶ 5 transmissions and their intervals without an ACK: Failed
//! ```

use super::round_trip::RoundTrip;
use super::{LinkEvent, Transmission};
use crate::bounded::{BoundedQueue, Full};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// The timers of the stop-and-wait sender (RFC 6940 §6.6.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reliability {
    /// RTO: from the first transmission to the second. It doubles each time.
    pub rto: Duration,
    /// Whether `rto` is only the first value, and RTO follows the round trips of each link (RFC 6298 §2, rounded up to
    /// milliseconds and without its floor of 1 s, LR-4). On a fast network a link is then given up sooner, too.
    pub measured: bool,
    /// Transmissions of one message in all.
    pub sends: u8,
    /// The transmission that makes a link count as degraded when nothing was acknowledged until then: the third
    /// retransmission, which is transmission 4 (LR-8).
    pub degrade_at: u8,
    /// Rest between an ACK and the next message.
    pub gap: Duration,
    /// A message that has waited this long for its first transmission is dropped: whoever wants it has sent it again by
    /// then (the overlay-reliability-timer), and what comes behind it would be as late.
    pub patience: Duration,
}

impl Default for Reliability {
    fn default() -> Self {
        Reliability {
            rto: Duration::from_millis(500),
            measured: false,
            sends: 5,
            degrade_at: 4,
            gap: Duration::from_millis(10),
            patience: Duration::from_secs(3),
        }
    }
}

#[derive(Clone, Debug)]
struct InFlight {
    message: Bytes,
    /// The number of its first transmission; it has used every number from here to `StopAndWait::next`.
    first: u32,
    /// When each of its transmissions left.
    sent: Vec<Instant>,
    interval: Duration,
    due: Instant,
}

/// Sends one message at a time, and again until it is acknowledged.
#[derive(Clone, Debug)]
pub struct StopAndWait {
    /// The same for all links.
    reliability: Arc<Reliability>,
    round_trip: RoundTrip,
    next: u32,
    /// What waits, and since when.
    queue: BoundedQueue<(Instant, Bytes)>,
    in_flight: Option<Box<InFlight>>,
    /// No message may begin earlier (LR-9).
    rest_until: Instant,
    degraded: bool,
    failed: bool,
}

impl StopAndWait {
    /// A sender behind which at most `queue` messages may wait.
    pub fn new(reliability: impl Into<Arc<Reliability>>, queue: usize) -> Self {
        StopAndWait {
            reliability: reliability.into(),
            round_trip: RoundTrip::default(),
            next: 0,
            queue: BoundedQueue::new(queue),
            in_flight: None,
            rest_until: Instant::ZERO,
            degraded: false,
            failed: false,
        }
    }

    /// An ACK arrived. One for any number that the message in flight has used completes it (LR-6), and tells how long
    /// that transmission took (LR-4).
    pub fn on_ack(&mut self, now: Instant, sequence: u32) -> Option<LinkEvent> {
        let flight = self.in_flight.as_ref()?;
        let transmission = sequence.wrapping_sub(flight.first) as usize;
        self.round_trip.measure(now.since(*flight.sent.get(transmission)?));
        self.in_flight = None;
        self.rest_until = now + self.reliability.gap;
        core::mem::take(&mut self.degraded).then_some(LinkEvent::Restored)
    }

    /// Sends a message, now or when its turn comes. Refused when too many wait. One that waits already, or is in flight,
    /// is not sent twice: end-to-end retransmissions must not fill a slow link.
    pub fn send(&mut self, now: Instant, message: Bytes) -> Result<Option<Transmission>, Full> {
        let in_flight = self.in_flight.as_ref().is_some_and(|f| f.message == message);
        if in_flight || self.queue.iter().any(|(_, m)| *m == message) {
            return Ok(None);
        }
        if self.queue.is_empty() && self.may_start(now) {
            return Ok(Some(self.start(now, message)));
        }
        self.queue.push((now, message))?;
        Ok(self.start_next(now))
    }

    fn may_start(&self, now: Instant) -> bool {
        self.in_flight.is_none() && !self.failed && now >= self.rest_until
    }

    /// Takes the next message that waits; it is sent once and for all.
    pub fn flush_one(&mut self) -> Option<Transmission> {
        let (_, message) = self.queue.pop()?;
        Some(Transmission { sequence: self.take_number(), message })
    }

    /// Everything that was not acknowledged, so that it can go another way. What is in flight goes on being tried here.
    pub fn strand(&mut self) -> Vec<Bytes> {
        let in_flight = self.in_flight.iter().map(|f| f.message.clone());
        in_flight.chain(core::iter::from_fn(|| Some(self.queue.pop()?.1))).collect()
    }

    fn start_next(&mut self, now: Instant) -> Option<Transmission> {
        if !self.may_start(now) {
            return None;
        }
        let late = |since: Instant| now.since(since) > self.reliability.patience;
        while self.queue.front().is_some_and(|(since, _)| late(*since)) {
            self.queue.pop();
        }
        let (_, message) = self.queue.pop()?;
        Some(self.start(now, message))
    }

    fn start(&mut self, now: Instant, message: Bytes) -> Transmission {
        let sequence = self.take_number();
        let measured = self.round_trip.rto().filter(|_| self.reliability.measured);
        let interval = measured.unwrap_or(self.reliability.rto);
        self.in_flight = Some(Box::new(InFlight {
            message: message.clone(),
            first: sequence,
            sent: vec![now],
            interval,
            due: now + interval,
        }));
        Transmission { sequence, message }
    }

    fn take_number(&mut self) -> u32 {
        let sequence = self.next;
        self.next = self.next.wrapping_add(1);
        sequence
    }

    /// Fires what is due: at most one transmission, at most one event. A late call gives the transmission its whole
    /// interval from `now`, so a clock that jumps kills no link.
    pub fn handle_timeout(&mut self, now: Instant) -> (Option<Transmission>, Option<LinkEvent>) {
        let Some(flight) = &mut self.in_flight else { return (self.start_next(now), None) };
        if now < flight.due {
            return (None, None);
        }
        if flight.sent.len() >= self.reliability.sends.into() {
            self.in_flight = None;
            self.failed = true;
            return (None, Some(LinkEvent::Failed));
        }
        flight.sent.push(now);
        flight.interval = flight.interval.saturating_mul(2);
        flight.due = now + flight.interval;
        let message = flight.message.clone();
        let degrades = flight.sent.len() >= self.reliability.degrade_at.into() && !self.degraded;
        self.degraded |= degrades;
        let sequence = self.take_number();
        (Some(Transmission { sequence, message }), degrades.then_some(LinkEvent::Degraded))
    }

    /// When [`StopAndWait::handle_timeout`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.in_flight {
            _ if self.failed => None,
            Some(flight) => Some(flight.due),
            None if self.queue.is_empty() => None,
            None => Some(self.rest_until),
        }
    }

    /// Whether nothing was acknowledged for too long.
    pub fn is_degraded(&self) -> bool {
        self.degraded
    }

    /// How long a new message would wait for its turn: as long as round trips took so far for all that are before it, and
    /// as long as the one that is in flight has taken already.
    fn delay(&self, now: Instant) -> Duration {
        let before = self.queue.len() + usize::from(self.in_flight.is_some());
        let each = self.round_trip.smoothed().unwrap_or(self.reliability.rto) + self.reliability.gap;
        let expected = each.saturating_mul(u32::try_from(before).unwrap_or(u32::MAX));
        let silence = self.in_flight.as_ref().and_then(|f| f.sent.first()).map(|&sent| now.since(sent));
        expected.max(silence.unwrap_or_default())
    }

    /// Whether a new message would wait so long that it should go another way, if there is one: a quarter of its patience,
    /// which leaves time for the waits of further links.
    pub fn is_backlogged(&self, now: Instant) -> bool {
        self.delay(now) > self.reliability.patience / 4
    }

    /// How long acknowledgements take.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip.smoothed()
    }

    /// Messages that wait for their first transmission.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Instant {
        Instant::from_millis(n)
    }

    fn link() -> StopAndWait {
        StopAndWait::new(Reliability::default(), 4)
    }

    fn message(n: u8) -> Bytes {
        Bytes::from(vec![n])
    }

    /// Runs a link from deadline to deadline and writes down (time, number sent, event).
    fn run(link: &mut StopAndWait, until: Instant) -> Vec<(u64, Option<u32>, Option<LinkEvent>)> {
        let mut log = Vec::new();
        while let Some(at) = link.deadline().filter(|&at| at <= until) {
            let (sent, event) = link.handle_timeout(at);
            assert!(link.deadline().is_none_or(|next| next > at), "K1");
            log.push((at.as_millis(), sent.map(|t| t.sequence), event));
        }
        log
    }

    quickcheck::quickcheck! {
        // RFC 8085 §3.1.1: one message in a round trip, and half as often for every loss. An octet is what happens next.
        fn lr2_lr3_never_two_messages_are_out_and_each_silence_doubles_the_wait(script: Vec<u8>) -> bool {
            let (mut l, mut now, mut n) = (link(), 0_u64, 0_u8);
            // The message that is out, its last number, when it left, and how long it has to wait then.
            let mut out: Option<(Bytes, u32, u64, u64)> = None;
            let mut acknowledged = None;
            for octet in script {
                let sent = match octet % 4 {
                    0 => {
                        n = n.wrapping_add(1);
                        l.send(ms(now), message(n)).unwrap_or_default()
                    }
                    1 => {
                        if let Some((_, number, ..)) = out.take_if(|_| octet & 4 != 0) {
                            l.on_ack(ms(now), number);
                            acknowledged = Some(now);
                        }
                        None
                    }
                    2 => {
                        now += u64::from(octet) * 4;
                        l.handle_timeout(ms(now)).0
                    }
                    _ => {
                        now = l.deadline().map_or(now, |at| at.as_millis().max(now));
                        l.handle_timeout(ms(now)).0
                    }
                };
                let Some(Transmission { sequence, message }) = sent else { continue };
                let wait = match out.take() {
                    None if acknowledged.is_some_and(|at| now < at + 10) => return false,
                    None => 500,
                    Some((same, _, at, wait)) if same == message && now >= at + wait => wait * 2,
                    Some(_) => return false,
                };
                out = Some((message, sequence, now, wait));
            }
            true
        }
    }

    #[test]
    fn fr1_lr5_lr7_lr8_sends_five_times_with_new_numbers_then_fails_at_15500_ms() {
        let mut l = link();
        let first = l.send(ms(0), message(7)).unwrap().unwrap();
        assert_eq!(first, Transmission { sequence: 0, message: message(7) });
        assert_eq!(
            run(&mut l, ms(60_000)),
            [
                (500, Some(1), None),
                (1500, Some(2), None),
                (3500, Some(3), Some(LinkEvent::Degraded)),
                (7500, Some(4), None),
                (15_500, None, Some(LinkEvent::Failed)),
            ]
        );
        assert_eq!(l.deadline(), None);
    }

    #[test]
    fn lr7_a_link_that_has_failed_asks_for_nothing_whatever_waits() {
        let mut l = link();
        l.send(ms(0), message(1)).unwrap();
        l.send(ms(0), message(2)).unwrap();
        assert_eq!(run(&mut l, ms(60_000)).last(), Some(&(15_500, None, Some(LinkEvent::Failed))));
        assert_eq!((l.waiting(), l.deadline()), (1, None));
        assert_eq!(l.handle_timeout(ms(60_000)), (None, None));
    }

    #[test]
    fn lr6_a_late_ack_of_the_first_copy_completes_the_message_and_restores_the_link() {
        let mut l = link();
        l.send(ms(0), message(1)).unwrap();
        run(&mut l, ms(4000));
        assert!(l.is_degraded());
        assert_eq!(l.on_ack(ms(4000), 0), Some(LinkEvent::Restored));
        assert!(!l.is_degraded());
        assert_eq!(l.deadline(), None);
    }

    #[test]
    fn an_ack_of_a_number_never_used_is_ignored() {
        let mut l = link();
        l.send(ms(0), message(1)).unwrap();
        assert_eq!(l.on_ack(ms(1), 1), None);
        assert_eq!(l.on_ack(ms(1), u32::MAX), None);
        assert_eq!(l.deadline(), Some(ms(500)));
    }

    #[test]
    fn lr3_lr9_one_message_at_a_time_and_ten_milliseconds_after_the_ack() {
        let mut l = link();
        assert!(l.send(ms(0), message(1)).unwrap().is_some());
        assert!(l.send(ms(0), message(2)).unwrap().is_none());
        l.on_ack(ms(40), 0);
        assert_eq!(l.deadline(), Some(ms(50)));
        assert_eq!(l.handle_timeout(ms(49)), (None, None), "K12");
        let (sent, _) = l.handle_timeout(ms(50));
        assert_eq!(sent, Some(Transmission { sequence: 1, message: message(2) }));
        l.on_ack(ms(60), 1);
        assert!(l.send(ms(65), message(3)).unwrap().is_none(), "still resting");
        assert_eq!(l.deadline(), Some(ms(70)));
    }

    #[test]
    fn k8_a_full_queue_refuses_the_message() {
        let mut l = link();
        l.send(ms(0), message(0)).unwrap();
        (1..=4).for_each(|n| assert!(l.send(ms(0), message(n)).is_ok()));
        assert_eq!(l.send(ms(0), message(5)), Err(Full));
        assert_eq!(l.waiting(), 4);
    }

    #[test]
    fn k6_a_jump_of_the_clock_gives_one_transmission_its_whole_interval() {
        let mut l = link();
        l.send(ms(0), message(1)).unwrap();
        let (sent, event) = l.handle_timeout(ms(100_000));
        assert_eq!((sent.map(|t| t.sequence), event), (Some(1), None));
        assert_eq!(l.deadline(), Some(ms(101_000)));
    }

    #[test]
    fn fr7_numbers_wrap_and_an_ack_across_the_wrap_completes() {
        let mut l = link();
        l.next = u32::MAX;
        l.send(ms(0), message(1)).unwrap();
        run(&mut l, ms(500));
        assert_eq!(l.next, 1, "u32::MAX and 0 were used");
        assert_eq!(l.on_ack(ms(600), 0), None);
        assert!(l.in_flight.is_none());
    }

    #[test]
    fn a_message_that_waits_or_is_in_flight_is_not_sent_twice() {
        let mut l = link();
        assert!(l.send(ms(0), message(1)).unwrap().is_some());
        for m in [1, 2, 2, 3, 1] {
            assert_eq!(l.send(ms(1), message(m)), Ok(None));
        }
        assert_eq!(l.waiting(), 2);
        l.on_ack(ms(5), 0);
        assert_eq!(l.send(ms(6), message(1)), Ok(None));
        assert_eq!(l.waiting(), 3, "it has arrived, and somebody wants it to arrive again");
    }

    #[test]
    fn what_has_waited_longer_than_whoever_wants_it_does_is_dropped() {
        let mut l = link();
        l.send(ms(0), message(1)).unwrap();
        l.send(ms(0), message(2)).unwrap();
        l.send(ms(200), message(3)).unwrap();
        l.on_ack(ms(3100), 0);
        let (next, _) = l.handle_timeout(ms(3200));
        assert_eq!(next.map(|t| t.message), Some(message(3)), "three seconds are not longer");
        assert_eq!(l.waiting(), 0);
    }

    #[test]
    fn a_link_is_backlogged_when_the_next_message_would_wait_for_a_quarter_of_its_patience() {
        let mut l = link();
        let send = |l: &mut StopAndWait, n| l.send(ms(310), message(n)).unwrap().is_some();
        l.send(ms(0), message(0)).unwrap();
        assert_eq!((l.is_backlogged(ms(750)), l.is_backlogged(ms(751))), (false, true), "by its silence");
        l.on_ack(ms(300), 0);
        assert!(!l.is_backlogged(ms(9000)), "nothing is before it");
        // Every message takes the round trip that was measured, and the rest behind it.
        assert!(send(&mut l, 1) && !send(&mut l, 2));
        assert!(!l.is_backlogged(ms(310)), "2 * 310 ms");
        assert!(!send(&mut l, 3) && l.is_backlogged(ms(310)), "3 * 310 ms");
    }

    #[test]
    fn lr8_what_is_stranded_can_go_another_way_and_what_is_in_flight_is_still_tried() {
        let mut l = link();
        l.send(ms(0), message(1)).unwrap();
        l.send(ms(0), message(2)).unwrap();
        assert_eq!(l.strand(), [message(1), message(2)]);
        assert_eq!(l.waiting(), 0);
        assert_eq!(l.handle_timeout(ms(500)).0.map(|t| t.message), Some(message(1)));
    }

    #[test]
    fn lr4_the_rto_follows_the_measured_round_trips_without_a_floor_of_a_second() {
        let measured = Reliability { measured: true, ..Reliability::default() };
        let mut l = StopAndWait::new(measured, 4);
        l.send(ms(0), message(1)).unwrap();
        assert_eq!(l.deadline(), Some(ms(500)), "nothing is measured yet");
        l.on_ack(ms(20), 0);
        l.send(ms(100), message(2)).unwrap();
        assert_eq!(l.deadline(), Some(ms(160)), "SRTT 20 ms, RTTVAR 10 ms");
        assert_eq!(l.handle_timeout(ms(160)).0.map(|t| t.sequence), Some(2));
        assert_eq!(l.deadline(), Some(ms(280)), "it doubles");
        // The ACK names the second copy, so that its 20 ms are measured and not the 80 ms of the first.
        l.on_ack(ms(180), 2);
        l.send(ms(200), message(3)).unwrap();
        assert_eq!(l.deadline(), Some(ms(250)), "SRTT 20 ms, RTTVAR 7.5 ms");
    }

    #[test]
    fn lr4_a_static_rto_stays_what_it_is() {
        let mut l = link();
        l.send(ms(0), message(1)).unwrap();
        l.on_ack(ms(20), 0);
        l.send(ms(100), message(2)).unwrap();
        assert_eq!(l.deadline(), Some(ms(600)));
    }
}
