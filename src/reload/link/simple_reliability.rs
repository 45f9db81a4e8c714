//! The sender of simple reliability (RFC 6940 §6.6.3), for links over datagrams: as many messages are out at one time as
//! congestion control allows (RFC 5681, counted in messages; RFC 8085 §3.1.1), and each is sent again until it is
//! acknowledged.
//!
//! ```text
//!               the window has room             ACK of any number used
//!   waiting ────────────────────────▶ out ───────────────────────────▶ done
//!                                    │   ▲ RTO, 2 RTO, 4 RTO ...: again, with a new number
//!                                    ├───┘ the fourth transmission in a silence says Degraded, an ACK after it Restored
//!                                    └──────▶ 5 transmissions and their intervals without an ACK: Failed
//! ```
//!
//! The oldest message goes again when its time has come, the others as far as the window has room. A window of one is the
//! stop-and-wait sender of §6.6.3.1, which rests for 10 ms after an ACK. The receiver sees no difference: it acknowledges
//! whatever comes.

use super::round_trip::RoundTrip;
use super::{LinkEvent, Transmission};
use crate::bounded::{BoundedQueue, Full};
use crate::time::{Instant, earliest};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// Messages that are out at one time on a link of which nothing is known (RFC 5681 §3.1, for those of 1,400 bytes).
const INITIAL_WINDOW: u16 = 3;
/// What half of a window is at least (RFC 5681 §3.1).
const LEAST_THRESHOLD: u16 = 2;

/// The timers of the sender (RFC 6940 §6.6.3.1), and its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reliability {
    /// Messages that are out at one time, at most. One is stop and wait.
    pub window: u16,
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
    /// Rest between an ACK and the next message, where one at a time is out (LR-9).
    pub gap: Duration,
    /// A message that has waited this long for its first transmission is dropped: whoever wants it has sent it again by
    /// then (the overlay-reliability-timer), and what comes behind it would be as late.
    pub patience: Duration,
}

impl Reliability {
    /// One message at a time (RFC 6940 §6.6.3.1).
    pub fn stop_and_wait() -> Self {
        Reliability { window: 1, ..Reliability::default() }
    }
}

impl Default for Reliability {
    fn default() -> Self {
        Reliability {
            window: 16,
            rto: Duration::from_millis(500),
            measured: false,
            sends: 5,
            degrade_at: 4,
            gap: Duration::from_millis(10),
            patience: Duration::from_secs(3),
        }
    }
}

/// A message that is out.
#[derive(Clone, Debug)]
struct Out {
    message: Bytes,
    /// When it left first, and again: the numbers of its transmissions, with their times.
    sent: Vec<(u32, Instant)>,
    interval: Duration,
    due: Instant,
    /// It counts as lost, and waits until the window has room for it.
    lost: bool,
}

impl Out {
    fn first(&self) -> Option<Instant> {
        self.sent.first().map(|&(_, at)| at)
    }

    fn last(&self) -> Option<Instant> {
        self.sent.last().map(|&(_, at)| at)
    }

    /// When the transmission of this number left.
    fn sent_as(&self, sequence: u32) -> Option<Instant> {
        self.sent.iter().find(|(number, _)| *number == sequence).map(|&(_, at)| at)
    }
}

/// Sends messages, and again until they are acknowledged.
#[derive(Clone, Debug)]
pub struct SimpleReliability {
    /// The same for all links.
    reliability: Arc<Reliability>,
    round_trip: RoundTrip,
    next: u32,
    /// What waits, and since when.
    queue: BoundedQueue<(Instant, Bytes)>,
    /// What is out, oldest first: at most [`Reliability::window`] of them.
    out: Vec<Out>,
    /// The congestion window (cwnd).
    window: u16,
    /// Beyond it the window grows by one in a round (ssthresh).
    threshold: u16,
    /// ACKs since it has grown so.
    grown: u16,
    /// When the window shrank. What was sent before belongs to the same loss.
    shrunk: Instant,
    /// When an ACK came; zero if none ever did.
    heard: Instant,
    /// No message may begin earlier (LR-9).
    rest_until: Instant,
    degraded: bool,
    failed: bool,
}

impl SimpleReliability {
    /// A sender behind which at most `queue` messages may wait.
    pub fn new(reliability: impl Into<Arc<Reliability>>, queue: usize) -> Self {
        let reliability = reliability.into();
        SimpleReliability {
            round_trip: RoundTrip::default(),
            next: 0,
            queue: BoundedQueue::new(queue),
            out: Vec::new(),
            window: INITIAL_WINDOW.min(reliability.window).max(1),
            threshold: u16::MAX,
            grown: 0,
            shrunk: Instant::ZERO,
            heard: Instant::ZERO,
            rest_until: Instant::ZERO,
            degraded: false,
            failed: false,
            reliability,
        }
    }

    /// An ACK arrived. One for any number that a message has used completes it (LR-6), and tells how long that
    /// transmission took (LR-4).
    pub fn on_ack(&mut self, now: Instant, sequence: u32) -> Option<LinkEvent> {
        let known = |(at, out): (usize, &Out)| Some((at, out.sent_as(sequence)?));
        let (at, sent) = self.out.iter().enumerate().find_map(known)?;
        self.round_trip.measure(now.since(sent));
        self.heard = now;
        if self.reliability.window <= 1 {
            self.rest_until = now + self.reliability.gap;
        }
        if self.on_the_way() >= usize::from(self.window) {
            self.grow();
        }
        self.out.remove(at);
        if self.out.is_empty() {
            // Most links are silent most of the time.
            self.out = Vec::new();
        }
        core::mem::take(&mut self.degraded).then_some(LinkEvent::Restored)
    }

    /// An ACK has come, and more would have been sent if the window had been larger (RFC 5681 §3.1).
    fn grow(&mut self) {
        self.grown += 1;
        if self.window < self.threshold || self.grown >= self.window {
            self.grown = 0;
            self.window = (self.window + 1).min(self.reliability.window.max(1));
        }
    }

    /// A transmission is lost that left then. Half of what is out now may be out before the window grows slowly, unless it was
    /// lost more than once (RFC 5681 §3.1). One loss in a round shrinks the window, however many messages it took.
    fn shrink(&mut self, now: Instant, left: Instant, again: bool) {
        if !again && left < self.shrunk {
            return;
        }
        if !again {
            let half = u16::try_from(self.out.len() / 2).unwrap_or(u16::MAX);
            self.threshold = half.max(LEAST_THRESHOLD);
        }
        (self.window, self.grown) = (1, 0);
        self.shrunk = now;
    }

    /// Sends a message, now or when its turn comes. Refused when too many wait. One that waits already, or is out, is not
    /// sent twice: end-to-end retransmissions must not fill a slow link.
    pub fn send(&mut self, now: Instant, message: Bytes) -> Result<Option<Transmission>, Full> {
        let is_out = self.out.iter().any(|out| out.message == message);
        if is_out || self.queue.iter().any(|(_, m)| *m == message) {
            return Ok(None);
        }
        if self.queue.is_empty() && self.may_start(now) {
            return Ok(Some(self.start(now, message)));
        }
        self.queue.push((now, message))?;
        Ok(self.start_next(now))
    }

    /// Messages of which a transmission may still arrive.
    fn on_the_way(&self) -> usize {
        self.out.iter().filter(|out| !out.lost).count()
    }

    fn has_room(&self) -> bool {
        !self.failed && self.on_the_way() < usize::from(self.window)
    }

    /// The lost message that goes again first, if the window has room for it. For the oldest it always has (RFC 6298 §5.4).
    fn next_lost(&self) -> Option<usize> {
        let at = self.out.iter().position(|out| out.lost)?;
        (at == 0 || self.has_room()).then_some(at)
    }

    fn may_start(&self, now: Instant) -> bool {
        self.has_room() && self.next_lost().is_none() && now >= self.rest_until
    }

    /// Takes the next message that waits; it is sent once and for all.
    pub fn flush_one(&mut self) -> Option<Transmission> {
        let (_, message) = self.queue.pop()?;
        Some(Transmission { sequence: self.take_number(), message })
    }

    /// Everything that was not acknowledged, so that it can go another way. What is out goes on being tried here.
    pub fn strand(&mut self) -> Vec<Bytes> {
        let out = self.out.iter().map(|out| out.message.clone());
        out.chain(core::iter::from_fn(|| Some(self.queue.pop()?.1))).collect()
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

    fn rto(&self) -> Duration {
        self.round_trip.rto().filter(|_| self.reliability.measured).unwrap_or(self.reliability.rto)
    }

    fn start(&mut self, now: Instant, message: Bytes) -> Transmission {
        let (sequence, interval) = (self.take_number(), self.rto());
        if self.out.is_empty() && now.since(self.heard) > interval {
            // Nothing was under way for so long, and nobody knows what the network is like by now (RFC 5681 §4.1).
            self.window = self.window.min(INITIAL_WINDOW);
        }
        let (sent, due) = (vec![(sequence, now)], now + interval);
        self.out.push(Out { message: message.clone(), sent, interval, due, lost: false });
        Transmission { sequence, message }
    }

    fn take_number(&mut self) -> u32 {
        let sequence = self.next;
        self.next = self.next.wrapping_add(1);
        sequence
    }

    /// Does one thing that is due: at most one transmission, at most one event. A late call gives the transmission its whole
    /// interval from `now`, so a clock that jumps kills no link.
    pub fn handle_timeout(&mut self, now: Instant) -> (Option<Transmission>, Option<LinkEvent>) {
        if let Some(out) = self.out.iter_mut().find(|out| !out.lost && out.due <= now) {
            if out.sent.len() >= self.reliability.sends.into() {
                self.out.clear();
                self.failed = true;
                return (None, Some(LinkEvent::Failed));
            }
            out.lost = true;
            let (left, again) = (out.last().unwrap_or(now), out.sent.len() > 1);
            self.shrink(now, left, again);
        }
        match self.next_lost() {
            Some(at) => self.resend(now, at),
            None => (self.start_next(now), None),
        }
    }

    fn resend(&mut self, now: Instant, at: usize) -> (Option<Transmission>, Option<LinkEvent>) {
        let sequence = self.take_number();
        let Some(out) = self.out.get_mut(at) else { return (None, None) };
        out.sent.push((sequence, now));
        out.interval = out.interval.saturating_mul(2);
        out.due = now + out.interval;
        out.lost = false;
        let message = out.message.clone();
        let silent = out.first().is_some_and(|first| self.heard <= first);
        let degrades = silent && out.sent.len() >= self.reliability.degrade_at.into() && !self.degraded;
        self.degraded |= degrades;
        (Some(Transmission { sequence, message }), degrades.then_some(LinkEvent::Degraded))
    }

    /// When [`SimpleReliability::handle_timeout`] has something to do; at once, if it has done only a part of it.
    pub fn deadline(&self) -> Option<Instant> {
        if self.failed {
            return None;
        }
        let due = self.out.iter().filter(|out| !out.lost).map(|out| out.due).min();
        let again = self.next_lost().map(|_| Instant::ZERO);
        let waits = !self.queue.is_empty() && self.has_room() && self.next_lost().is_none();
        earliest(earliest(due, again), waits.then_some(self.rest_until))
    }

    /// Whether nothing was acknowledged for too long.
    pub fn is_degraded(&self) -> bool {
        self.degraded
    }

    /// How long a new message would wait for its turn: as long as round trips took so far for all that are before it, and
    /// as long as nothing has come from the other end already.
    fn delay(&self, now: Instant) -> Duration {
        let rounds = (self.queue.len() + self.out.len()) / usize::from(self.window);
        let rest = if self.reliability.window <= 1 { self.reliability.gap } else { Duration::ZERO };
        let each = self.round_trip.smoothed().unwrap_or(self.reliability.rto) + rest;
        let expected = each.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX));
        let oldest = self.out.first().and_then(Out::first);
        let silence = oldest.map(|sent| now.since(self.heard.max(sent)));
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

    fn link() -> SimpleReliability {
        SimpleReliability::new(Reliability::stop_and_wait(), 4)
    }

    fn message(n: u8) -> Bytes {
        Bytes::from(vec![n])
    }

    /// Runs a link from deadline to deadline and writes down (time, number sent, event).
    fn run(link: &mut SimpleReliability, until: Instant) -> Vec<(u64, Option<u32>, Option<LinkEvent>)> {
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
        assert!(l.out.is_empty());
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
        let send = |l: &mut SimpleReliability, n| l.send(ms(310), message(n)).unwrap().is_some();
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
        let measured = Reliability { measured: true, ..Reliability::stop_and_wait() };
        let mut l = SimpleReliability::new(measured, 4);
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

    /// A link with a window, over which messages 0, 1, 2 ... are given.
    fn wide(messages: u8) -> (SimpleReliability, Vec<u32>) {
        let mut l = SimpleReliability::new(Reliability::default(), 64);
        let sent = (0..messages).filter_map(|n| l.send(ms(0), message(n)).unwrap());
        let sent = sent.map(|t| t.sequence).collect();
        (l, sent)
    }

    /// Everything that is due then, by message.
    fn due(link: &mut SimpleReliability, at: u64) -> Vec<u8> {
        let mut sent = Vec::new();
        while link.deadline().is_some_and(|due| due <= ms(at)) {
            sent.extend(link.handle_timeout(ms(at)).0.map(|t| t.message[0]));
        }
        sent
    }

    #[test]
    fn rfc5681_3_1_three_messages_leave_at_once_and_each_ack_lets_two_more_go_until_the_window_is_full() {
        let (mut l, sent) = wide(60);
        assert_eq!((sent, l.waiting()), (vec![0, 1, 2], 57));
        let mut number = 0;
        for (at, most) in [(40, 6), (80, 12), (120, 16), (160, 16)] {
            for _ in 0..l.out.len() {
                l.on_ack(ms(at), number);
                number += 1;
                due(&mut l, at);
            }
            assert_eq!(l.out.len(), most, "at {at} ms");
        }
    }

    #[test]
    fn rfc5681_3_1_who_sends_less_than_the_window_does_not_widen_it() {
        let (mut l, _) = wide(0);
        for n in 0..40 {
            l.send(ms(n * 100), message(n as u8)).unwrap();
            l.on_ack(ms(n * 100 + 40), n as u32);
        }
        assert_eq!(l.window, INITIAL_WINDOW);
    }

    #[test]
    fn a_lost_message_does_not_hold_up_those_behind_it() {
        let (mut l, _) = wide(8);
        l.on_ack(ms(40), 1);
        assert_eq!(due(&mut l, 40), [3, 4]);
        l.on_ack(ms(40), 2);
        assert_eq!(due(&mut l, 40), [5, 6]);
        assert_eq!(l.out.first().map(|o| o.message.clone()), Some(message(0)));
    }

    #[test]
    fn rfc6298_5_4_after_an_rto_the_oldest_goes_again_alone_and_the_others_follow_the_acks() {
        let (mut l, _) = wide(8);
        l.on_ack(ms(40), 0);
        assert_eq!(due(&mut l, 40), [3, 4]);
        // 1, 2, 3 and 4 are lost.
        assert_eq!((due(&mut l, 500), due(&mut l, 540)), (vec![1], vec![]));
        l.on_ack(ms(600), 5);
        assert_eq!(due(&mut l, 600), [2, 3], "slow start");
        l.on_ack(ms(700), 6);
        l.on_ack(ms(700), 7);
        assert_eq!(due(&mut l, 700), [4, 5]);
    }

    #[test]
    fn rfc5681_3_1_behind_half_of_what_was_lost_the_window_grows_by_one_in_a_round() {
        let (mut l, _) = wide(60);
        l.window = 8;
        due(&mut l, 0);
        assert_eq!(due(&mut l, 500).len(), 1);
        assert_eq!((l.window, l.threshold), (1, 4));
        let mut windows = Vec::new();
        for round in 0..6 {
            let now = 600 + round * 100;
            let numbers: Vec<u32> =
                l.out.iter().filter(|o| !o.lost).map(|o| o.sent.last().unwrap().0).collect();
            for number in numbers {
                l.on_ack(ms(now), number);
                due(&mut l, now);
            }
            windows.push(l.window);
        }
        assert_eq!(windows, [2, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn rfc5681_4_1_after_a_pause_longer_than_rto_the_window_begins_anew() {
        for (pause, window) in [(500, 16), (501, INITIAL_WINDOW)] {
            let (mut l, _) = wide(0);
            (l.window, l.heard) = (16, ms(1000));
            l.send(ms(1000 + pause), message(0)).unwrap();
            assert_eq!(l.window, window, "after {pause} ms");
        }
    }

    #[test]
    fn lr8_a_link_that_acknowledges_others_is_not_degraded_by_one_message_but_fails_by_it() {
        let (mut l, _) = wide(2);
        l.on_ack(ms(40), 1);
        assert_eq!(
            run(&mut l, ms(60_000)),
            [
                (500, Some(2), None),
                (1500, Some(3), None),
                (3500, Some(4), None),
                (7500, Some(5), None),
                (15_500, None, Some(LinkEvent::Failed)),
            ]
        );
    }

    #[test]
    fn lr7_lr8_of_several_messages_in_a_silence_the_oldest_keeps_the_times_of_the_rfc() {
        let (mut l, _) = wide(8);
        let mut log = Vec::new();
        while let Some(at) = l.deadline() {
            let (sent, event) = l.handle_timeout(at);
            log.extend((sent.is_some() || event.is_some()).then_some((
                at.as_millis(),
                sent.map(|t| t.message[0]),
                event,
            )));
        }
        assert_eq!(
            log,
            [
                (500, Some(0), None),
                (1500, Some(0), None),
                (3500, Some(0), Some(LinkEvent::Degraded)),
                (7500, Some(0), None),
                (15_500, None, Some(LinkEvent::Failed)),
            ]
        );
    }

    #[test]
    fn a_window_that_has_room_is_no_backlog_however_much_is_out() {
        let (mut l, _) = wide(3);
        l.on_ack(ms(400), 0);
        l.window = 16;
        assert!((10..20).all(|n| l.send(ms(400), message(n)).unwrap().is_some()));
        assert!(!l.is_backlogged(ms(400)));
        (20..60).for_each(|n| drop(l.send(ms(400), message(n)).unwrap()));
        assert!(l.is_backlogged(ms(400)), "three rounds of 400 ms");
    }

    quickcheck::quickcheck! {
           // An octet is what happens next: a message, an ACK of one that is out, or time.
           fn no_more_than_the_window_is_on_the_way_and_every_message_is_sent_again_until_it_is_acknowledged(script: Vec<u8>) -> bool {
               let (mut l, _) = wide(0);
               let (mut now, mut n) = (0_u64, 0_u8);
               for octet in script {
                   let before = l.out.len();
                   match octet % 3 {
                       0 => {
                           n = n.wrapping_add(1);
                           let _ = l.send(ms(now), message(n));
                       }
                       1 => {
                           let pick = usize::from(octet / 3);
                           let number = l.out.get(pick % before.max(1)).and_then(|o| o.sent.last()).map(|s| s.0);
                           if let Some(number) = number {
    l.on_ack(ms(now), number);
    }
                           if number.is_some() && l.out.len() + 1 != before {
                               return false;
                           }
                       }
                       _ => now += u64::from(octet),
                   }
                   due(&mut l, now);
                   // The oldest goes again whatever the window says.
                   let most = usize::from(l.window.max(1)) + before;
                   let waits = l.out.iter().any(|o| o.lost) || l.waiting() > 0;
                   let idle = waits && l.on_the_way() < usize::from(l.window) && !l.failed;
                   if l.out.len() > 16 || l.on_the_way() > most.min(16) || idle {
                       return false;
                   }
               }
               true
           }
       }
}
