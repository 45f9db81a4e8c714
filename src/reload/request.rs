//! End-to-end reliability (RFC 6940 §6.2.1): requests that are sent again until they are answered, and answers that are
//! remembered so that a request is carried out once however often it arrives.

use crate::bounded::{BoundedMap, Full};
use crate::ids::NodeId;
use crate::reload::timers::Timers;
use crate::time::Instant;
use alloc::collections::{BTreeMap, VecDeque};
use bytes::Bytes;
use core::time::Duration;

/// Transmissions of one request in all (SR-4).
pub const SENDS: u8 = 5;

/// A request of this node's own that waits for its answer.
#[derive(Clone, Debug)]
pub struct Pending<P> {
    /// The whole message; empty until it is signed. Every transmission is byte-identical (SR-3).
    pub message: Bytes,
    /// What the answer is for.
    pub purpose: P,
    sends: u8,
}

/// What is due.
#[derive(Clone, Debug)]
pub enum Due<P> {
    /// Send this message again.
    Resend {
        /// Its transaction.
        transaction_id: u64,
        /// The whole message.
        message: Bytes,
    },
    /// The fifth interval has passed without an answer: the request has failed.
    Failed {
        /// Its transaction.
        transaction_id: u64,
        /// What the answer was for.
        purpose: P,
    },
}

/// The requests under way.
#[derive(Clone, Debug)]
pub struct Requests<P> {
    pending: BoundedMap<u64, Pending<P>>,
    timers: Timers<u64>,
    interval: Duration,
}

impl<P> Requests<P> {
    /// At most `limit` requests, each sent again every `interval` (overlay-reliability-timer).
    pub const fn new(interval: Duration, limit: usize) -> Self {
        Requests { pending: BoundedMap::new(limit), timers: Timers::new(), interval }
    }

    /// From now on requests are sent again every `interval`.
    pub fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// Remembers a request whose first transmission leaves now, or in a moment.
    pub fn start(&mut self, now: Instant, transaction_id: u64, purpose: P) -> Result<(), Full> {
        self.pending.insert(transaction_id, Pending { message: Bytes::new(), purpose, sends: 1 })?;
        self.timers.set(transaction_id, Some(now + self.interval));
        Ok(())
    }

    /// The message of a request is signed.
    pub fn set_message(&mut self, transaction_id: u64, message: Bytes) {
        if let Some(pending) = self.pending.get_mut(&transaction_id) {
            pending.message = message;
        }
    }

    /// The request with this transaction id.
    pub fn get(&self, transaction_id: u64) -> Option<&Pending<P>> {
        self.pending.get(&transaction_id)
    }

    /// Ends a request: it is answered, or not wanted any more.
    pub fn take(&mut self, transaction_id: u64) -> Option<Pending<P>> {
        self.timers.clear(&transaction_id);
        self.pending.remove(&transaction_id)
    }

    /// Ends every request; their purposes in the order of their transaction ids.
    pub fn take_all(&mut self) -> impl Iterator<Item = P> + use<P> {
        self.timers = Timers::new();
        let limit = self.pending.limit();
        let all = core::mem::replace(&mut self.pending, BoundedMap::new(limit));
        all.into_values().map(|p| p.purpose)
    }

    /// Ends the requests whose purpose `keep` does not speak for.
    pub fn retain(&mut self, keep: impl Fn(&P) -> bool) {
        let timers = &mut self.timers;
        self.pending.retain(|id, pending| {
            let kept = keep(&pending.purpose);
            if !kept {
                timers.clear(id);
            }
            kept
        });
    }

    /// Takes one thing that is due. The constant interval counts from `now`, so a late call skips no transmission.
    pub fn pop_due(&mut self, now: Instant) -> Option<Due<P>> {
        let transaction_id = self.timers.pop_due(now)?;
        let pending = self.pending.get_mut(&transaction_id)?;
        if pending.sends >= SENDS {
            let purpose = self.pending.remove(&transaction_id)?.purpose;
            return Some(Due::Failed { transaction_id, purpose });
        }
        pending.sends += 1;
        let message = pending.message.clone();
        self.timers.set(transaction_id, Some(now + self.interval));
        Some(Due::Resend { transaction_id, message })
    }

    /// The earliest retransmission or failure.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    /// Whether no more fit.
    pub fn is_full(&self) -> bool {
        self.pending.is_full()
    }

    /// Requests under way, in the order of their transaction ids.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &P)> {
        self.pending.iter().map(|(id, p)| (*id, &p.purpose))
    }
}

/// Answers already given, for the Maximum Request Lifetime (SR-6). What is kept is what the signature covers and the
/// signature itself; the forwarding header is written anew, for a retransmission may come by another path.
///
/// The key has the signer in it, else a stranger could occupy somebody's transaction id.
#[derive(Clone, Debug)]
pub struct Answers {
    answers: BTreeMap<(NodeId, u64), Bytes>,
    /// In the order in which they were given, with the time until which they count.
    order: VecDeque<(Instant, NodeId, u64)>,
    lifetime: Duration,
    bytes: usize,
    max_answers: usize,
    max_bytes: usize,
}

impl Answers {
    /// Remembers answers for `lifetime`; at the limits the oldest go.
    pub const fn new(lifetime: Duration, max_answers: usize, max_bytes: usize) -> Self {
        Answers {
            answers: BTreeMap::new(),
            order: VecDeque::new(),
            lifetime,
            bytes: 0,
            max_answers,
            max_bytes,
        }
    }

    /// Answers given from now on are remembered for `lifetime`.
    pub fn set_lifetime(&mut self, lifetime: Duration) {
        self.lifetime = lifetime;
    }

    /// The answer already given to this request.
    pub fn get(&mut self, now: Instant, signer: NodeId, transaction_id: u64) -> Option<Bytes> {
        self.expire(now);
        self.answers.get(&(signer, transaction_id)).cloned()
    }

    /// Remembers an answer. The first one given stays.
    pub fn insert(&mut self, now: Instant, signer: NodeId, transaction_id: u64, answer: Bytes) {
        self.expire(now);
        if answer.len() > self.max_bytes || self.answers.contains_key(&(signer, transaction_id)) {
            return;
        }
        while self.answers.len() >= self.max_answers || self.bytes + answer.len() > self.max_bytes {
            if !self.drop_oldest() {
                return;
            }
        }
        self.bytes += answer.len();
        self.answers.insert((signer, transaction_id), answer);
        self.order.push_back((now + self.lifetime, signer, transaction_id));
    }

    fn expire(&mut self, now: Instant) {
        while self.order.front().is_some_and(|&(until, ..)| until <= now) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((_, signer, transaction_id)) = self.order.pop_front() else { return false };
        if self.order.len() < self.order.capacity() / 4 {
            // A storm is over.
            self.order.shrink_to(2 * self.order.len());
        }
        if let Some(answer) = self.answers.remove(&(signer, transaction_id)) {
            self.bytes -= answer.len();
        }
        true
    }

    /// Answers remembered now.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn ms(n: u64) -> Instant {
        Instant::from_millis(n)
    }

    const LIFETIME: Duration = Duration::from_secs(15);

    #[test]
    fn sr3_sr4_sends_at_0_3_6_9_12_s_the_same_bytes_and_fails_at_15_s() {
        let mut r = Requests::new(Duration::from_secs(3), 4);
        let message = Bytes::from_static(b"store");
        r.start(ms(0), 7, "mine").unwrap();
        r.set_message(7, message.clone());
        let mut log = Vec::new();
        while let Some(at) = r.deadline() {
            match r.pop_due(at).unwrap() {
                Due::Resend { transaction_id, message: again } => {
                    assert_eq!((transaction_id, &again), (7, &message));
                    log.push((at.as_millis(), "sent"));
                }
                Due::Failed { purpose, .. } => log.push((at.as_millis(), purpose)),
            }
        }
        assert_eq!(log, [(3000, "sent"), (6000, "sent"), (9000, "sent"), (12_000, "sent"), (15_000, "mine")]);
        assert!(r.get(7).is_none());
    }

    #[test]
    fn cf5_sr3_a_new_interval_counts_from_the_next_transmission_on() {
        let mut r = Requests::new(Duration::from_secs(3), 2);
        r.start(ms(0), 7, ()).unwrap();
        r.set_interval(Duration::from_secs(1));
        assert_eq!(r.deadline(), Some(ms(3000)));
        r.pop_due(ms(3000)).unwrap();
        assert_eq!((r.deadline(), r.is_full()), (Some(ms(4000)), false));
        r.start(ms(3000), 8, ()).unwrap();
        assert!(r.is_full() && r.start(ms(3000), 9, ()).is_err());
    }

    #[test]
    fn sr6_a_new_lifetime_is_that_of_the_answers_that_follow() {
        let me = NodeId([1; 16]);
        let mut a = Answers::new(LIFETIME, 8, 100);
        assert!(a.is_empty());
        a.insert(ms(0), me, 1, Bytes::from_static(b"x"));
        a.set_lifetime(Duration::from_secs(1));
        assert!(a.get(ms(14_999), me, 1).is_some() && !a.is_empty());
        assert!(a.get(ms(15_000), me, 1).is_none() && a.is_empty());
        a.insert(ms(15_000), me, 2, Bytes::from_static(b"y"));
        assert!(a.get(ms(15_999), me, 2).is_some());
        assert!(a.get(ms(16_000), me, 2).is_none());
    }

    #[test]
    fn k8_what_just_fits_is_remembered() {
        let me = NodeId([1; 16]);
        let mut a = Answers::new(LIFETIME, 8, 10);
        a.insert(ms(0), me, 1, Bytes::from_static(b"0123456789"));
        assert!(a.get(ms(1), me, 1).is_some());
        a.insert(ms(1), me, 2, Bytes::from_static(b"01234"));
        a.insert(ms(1), me, 3, Bytes::from_static(b"56789"));
        assert!(a.get(ms(2), me, 2).is_some() && a.get(ms(2), me, 3).is_some());
        a.insert(ms(2), me, 4, Bytes::from_static(b"01234567890"));
        assert_eq!((a.get(ms(3), me, 4), a.len()), (None, 2), "too large for all of it");
    }

    #[test]
    fn an_answered_request_is_not_sent_again() {
        let mut r = Requests::new(Duration::from_secs(3), 4);
        r.start(ms(0), 7, ()).unwrap();
        assert!(r.take(7).is_some());
        assert_eq!(r.deadline(), None);
        assert!(r.take(7).is_none());
    }

    #[test]
    fn what_nobody_wants_any_more_ends_with_its_timer() {
        let mut r = Requests::new(Duration::from_secs(3), 4);
        r.start(ms(0), 1, "gone").unwrap();
        r.start(ms(5), 2, "here").unwrap();
        r.retain(|purpose| *purpose == "here");
        assert_eq!((r.get(1).is_none(), r.get(2).is_some(), r.deadline()), (true, true, Some(ms(3005))));
    }

    #[test]
    fn k8_a_full_table_refuses_and_k12_an_early_call_does_nothing() {
        let mut r = Requests::new(Duration::from_secs(3), 1);
        r.start(ms(0), 1, ()).unwrap();
        assert_eq!(r.start(ms(0), 2, ()), Err(Full));
        assert!(r.pop_due(ms(2999)).is_none());
    }

    #[test]
    fn sr6_an_answer_is_remembered_for_the_maximum_request_lifetime() {
        let mut a = Answers::new(LIFETIME, 8, 100);
        let (x, y) = (NodeId([1; 16]), NodeId([2; 16]));
        a.insert(ms(0), x, 7, Bytes::from_static(b"first"));
        a.insert(ms(1), x, 7, Bytes::from_static(b"second"));
        assert_eq!(a.get(ms(4000), x, 7).as_deref(), Some(&b"first"[..]));
        assert_eq!(a.get(ms(4000), y, 7), None, "another signer's request is another request");
        assert_eq!(a.get(ms(14_999), x, 7).as_deref(), Some(&b"first"[..]));
        assert_eq!(a.get(ms(16_000), x, 7), None);
        assert!(a.is_empty());
    }

    #[test]
    fn what_a_storm_of_requests_made_room_for_is_given_back_when_less_than_a_quarter_is_left() {
        let mut a = Answers::new(LIFETIME, 1000, 1000);
        for id in 0..256 {
            a.insert(ms(id), NodeId([1; 16]), id, Bytes::new());
        }
        let room = a.order.capacity();
        let mut left = |n: usize| {
            a.expire(ms(255 - n as u64) + LIFETIME);
            assert_eq!(a.order.len(), n);
            a.order.capacity()
        };
        assert_eq!(left(room / 4), room);
        let less = left(room / 4 - 1);
        assert!((room / 2 - 2..room).contains(&less), "half of it stays: {less}");
    }

    #[test]
    fn k8_at_either_limit_the_oldest_answers_go() {
        let mut a = Answers::new(LIFETIME, 3, 10);
        let x = NodeId([1; 16]);
        for id in 0..5 {
            a.insert(ms(id), x, id, Bytes::from(vec![0; 3]));
        }
        assert_eq!(a.len(), 3);
        assert_eq!((a.get(ms(9), x, 1), a.get(ms(9), x, 2).is_some()), (None, true));
        a.insert(ms(10), x, 9, Bytes::from(vec![0; 9]));
        assert_eq!((a.len(), a.bytes), (1, 9));
        a.insert(ms(11), x, 10, Bytes::from(vec![0; 11]));
        assert_eq!(a.len(), 1, "an answer larger than everything is not remembered and drives out nothing");
    }
}
