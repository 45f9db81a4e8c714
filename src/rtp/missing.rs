//! The packets that a receiver lacks, and when to ask for which of them (RFC 4585 generic NACK).
//!
//! ```text
//! a later packet comes    tolerance     asked       retry      asked again ...   given up
//! |---------------------------|-----------|------------|-------------|----------------|
//!   perhaps it was overtaken      a round trip and a quarter at least   attempts, or too old to be played
//! ```
//!
//! What is missing may only have been overtaken. How long that takes is learned: a packet that comes before anybody can have
//! answered was late by so much, and the next one is given a quarter more. So a way that reorders costs next to no needless
//! repetition, and one that does not is asked after [`MIN_TOLERANCE`].

use crate::time::{Duration, Instant, earliest};
use alloc::collections::VecDeque;

/// The least time that a packet may be overtaken by before it is asked for.
pub const MIN_TOLERANCE: Duration = Duration::from_millis(10);

/// The most time: whatever the way does, there must be time for an answer.
pub const MAX_TOLERANCE: Duration = Duration::from_millis(60);

/// The least time between two requests for the same packet. Whoever answers must not take the second for a new one.
pub const MIN_RETRY: Duration = Duration::from_millis(20);

/// The round trip while nobody has measured it.
const USUAL_ROUND_TRIP: Duration = Duration::from_millis(60);

/// How much is asked for, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Packets of a channel that are missed at the same time; of more, the oldest are given up.
    pub packets: usize,
    /// Requests for one packet. 0: nothing is asked for.
    pub attempts: u8,
    /// How long after it was missed a packet is still of use: what players wait for one, at most.
    pub playout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { packets: 256, attempts: 3, playout: Duration::from_millis(300) }
    }
}

/// What became of missing packets. The numbers only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests for a packet, repeated ones too.
    pub asked: u64,
    /// Packets that came after they were asked for.
    pub repaired: u64,
    /// Packets that nobody brought in time.
    pub given_up: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    number: u64,
    /// When a later packet came.
    since: Instant,
    /// Requests so far, and when the last of them left.
    asked: u8,
    last: Instant,
    /// When it is asked for, or given up.
    due: Instant,
}

/// The missing packets of one source, by extended sequence number.
#[derive(Clone, Debug)]
pub struct Missing {
    limits: Limits,
    /// In the order of their numbers.
    entries: VecDeque<Entry>,
    next: Option<Instant>,
    /// How late packets come that were overtaken.
    lateness: Duration,
    /// The smoothed time from a first request to its packet, where nobody has measured how far the peer is.
    round_trip: Option<Duration>,
    /// That of the stream: the answers to requests have it too.
    jitter: Duration,
    counts: Counts,
}

impl Missing {
    /// Nothing is missing.
    pub const fn new(limits: Limits) -> Self {
        Missing {
            limits,
            entries: VecDeque::new(),
            next: None,
            lateness: Duration::ZERO,
            round_trip: None,
            jitter: Duration::ZERO,
            counts: Counts { asked: 0, repaired: 0, given_up: 0 },
        }
    }

    /// These numbers were left out: a later packet has come. `jitter` is that of the stream.
    pub fn on_gap(&mut self, now: Instant, numbers: core::ops::Range<u64>, jitter: Duration) {
        if self.limits.attempts == 0 || numbers.is_empty() {
            return;
        }
        let all = numbers.end - numbers.start;
        let kept = all.min(self.limits.packets as u64);
        self.counts.given_up += all - kept;
        while self.entries.len() as u64 + kept > self.limits.packets as u64 {
            self.entries.pop_front();
            self.counts.given_up += 1;
        }
        self.jitter = jitter;
        let due = now + self.tolerance(jitter);
        for number in numbers.end - kept..numbers.end {
            self.entries.push_back(Entry { number, since: now, asked: 0, last: now, due });
        }
        // One that was overtaken long ago says less and less.
        self.lateness -= self.lateness / 64;
        self.schedule();
    }

    /// This packet, which is older than others that came before it, has come. `round_trip` is that to whoever sent it, as far
    /// as others have measured it.
    pub fn on_arrival(&mut self, now: Instant, number: u64, round_trip: Option<Duration>) {
        let Some(entry) = self.take(number) else { return };
        if entry.asked == 0 {
            self.lateness = self.lateness.max(now.since(entry.since));
        } else {
            let took = now.since(entry.last);
            let known = round_trip.or(self.round_trip).unwrap_or(USUAL_ROUND_TRIP);
            if entry.asked == 1 && took < known / 2 {
                // Nobody can have answered so soon.
                self.lateness = self.lateness.max(now.since(entry.since));
            } else if entry.asked == 1 && round_trip.is_none() {
                self.round_trip = Some(self.round_trip.map_or(took, |mean| (mean * 7 + took) / 8));
            }
            self.counts.repaired += 1;
        }
    }

    /// The same for a packet that came earlier and was held until now: it says nothing of the way.
    pub fn on_release(&mut self, number: u64) {
        let asked = self.take(number).is_some_and(|entry| entry.asked > 0);
        self.counts.repaired += u64::from(asked);
    }

    fn take(&mut self, number: u64) -> Option<Entry> {
        let at = self.entries.binary_search_by_key(&number, |entry| entry.number).ok()?;
        let entry = self.entries.remove(at);
        self.schedule();
        entry
    }

    /// A child misses this packet: if it is missing here as well, it was lost further up, and there is nothing to wait for.
    pub fn hasten(&mut self, now: Instant, number: u64) {
        if let Ok(at) = self.entries.binary_search_by_key(&number, |entry| entry.number)
            && let Some(entry) = self.entries.get_mut(at)
            && entry.asked == 0
        {
            entry.due = entry.due.min(now);
            self.next = earliest(self.next, Some(entry.due));
        }
    }

    /// Calls `ask` with the numbers that are due, in order, and with whom to ask: requests for a packet go to these peers in
    /// turn, of whom it is known how long a message takes there and back. What is `spared` is on its way without being asked
    /// for.
    pub fn ask(
        &mut self,
        now: Instant,
        peers: &[Option<Duration>],
        spared: impl Fn(u64) -> bool,
        mut ask: impl FnMut(u64, usize),
    ) {
        let learned = self.round_trip.unwrap_or(USUAL_ROUND_TRIP);
        let unsteady = (self.jitter * 2).min(MAX_TOLERANCE);
        let Limits { attempts, playout, .. } = self.limits;
        let counts = &mut self.counts;
        self.entries.retain_mut(|entry| {
            if entry.due > now {
                return true;
            }
            let end = entry.since + playout;
            if entry.asked == attempts || end <= now {
                counts.given_up += 1;
                return false;
            }
            if spared(entry.number) {
                entry.due = (now + MIN_RETRY).min(end);
            } else {
                let turn = usize::from(entry.asked).checked_rem(peers.len()).unwrap_or(0);
                let known = peers.get(turn).copied().flatten().unwrap_or(learned);
                ask(entry.number, turn);
                counts.asked += 1;
                entry.asked += 1;
                entry.last = now;
                let retry = known + (known / 4).max(unsteady);
                entry.due = (now + retry.max(MIN_RETRY)).min(end);
            }
            true
        });
        self.schedule();
    }

    /// Whether this packet is missing, and has been asked for.
    pub fn awaits(&self, number: u64) -> bool {
        let at = self.entries.binary_search_by_key(&number, |entry| entry.number);
        at.ok().and_then(|at| self.entries.get(at)).is_some_and(|entry| entry.asked > 0)
    }

    /// Everything behind this number is out of reach now.
    pub fn forget_before(&mut self, number: u64) {
        while self.entries.front().is_some_and(|entry| entry.number < number) {
            self.entries.pop_front();
            self.counts.given_up += 1;
        }
        self.schedule();
    }

    /// Another source follows. What was learned of the way, and counted, stays.
    pub fn clear(&mut self) {
        self.counts.given_up += self.entries.len() as u64;
        self.entries.clear();
        self.next = None;
    }

    /// When [`Missing::ask`] has something to do.
    pub const fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// What was counted so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// How long a packet may be overtaken before it is asked for.
    fn tolerance(&self, jitter: Duration) -> Duration {
        (self.lateness * 5 / 4).max(jitter * 2).clamp(MIN_TOLERANCE, MAX_TOLERANCE)
    }

    fn schedule(&mut self) {
        self.next = self.entries.iter().map(|entry| entry.due).min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn none() -> Missing {
        Missing::new(Limits::default())
    }

    fn gap(missing: &mut Missing, ms: u64, numbers: core::ops::Range<u64>) {
        missing.on_gap(at(ms), numbers, Duration::ZERO);
    }

    fn asked(missing: &mut Missing, ms: u64) -> Vec<u64> {
        let mut asked = Vec::new();
        missing.ask(at(ms), &[None], |_| false, |number, _| asked.push(number));
        asked
    }

    #[test]
    fn k11_a_packet_is_asked_for_after_10_ms_and_twice_more_until_it_is_too_old_to_be_played() {
        let mut m = none();
        gap(&mut m, 100, 7..9);
        for (ms, expected) in [(110, vec![7, 8]), (185, vec![7, 8]), (260, vec![7, 8]), (335, vec![])] {
            assert_eq!(m.deadline(), Some(at(ms)));
            assert_eq!(asked(&mut m, ms - 1), []);
            assert_eq!(asked(&mut m, ms), expected, "{ms}");
        }
        assert_eq!((m.deadline(), m.counts()), (None, Counts { asked: 6, repaired: 0, given_up: 2 }));
        // With a way that takes long it is too old before it was asked for three times.
        gap(&mut m, 1000, 20..21);
        let mut times = Vec::new();
        while let Some(due) = m.deadline() {
            m.ask(due, &[Some(Duration::from_millis(160))], |_| false, |_, _| times.push(due));
        }
        assert_eq!(times, [at(1010), at(1210)]);
        assert_eq!(m.counts().given_up, 3);
    }

    #[test]
    fn what_comes_is_asked_for_no_more() {
        let mut m = none();
        gap(&mut m, 0, 1..4);
        m.on_arrival(at(5), 2, None);
        assert_eq!(asked(&mut m, 10), [1, 3]);
        m.on_arrival(at(40), 1, None);
        m.on_arrival(at(40), 1, None);
        m.on_arrival(at(40), 9, None);
        assert_eq!(asked(&mut m, 85), [3]);
        m.on_arrival(at(130), 3, None);
        assert_eq!((m.deadline(), m.counts()), (None, Counts { asked: 3, repaired: 2, given_up: 0 }));
    }

    #[test]
    fn what_is_out_of_reach_is_given_up() {
        let mut m = none();
        gap(&mut m, 0, 1..6);
        m.forget_before(4);
        assert_eq!(
            (asked(&mut m, 10), m.counts()),
            (vec![4, 5], Counts { asked: 2, repaired: 0, given_up: 3 })
        );
    }

    #[test]
    fn a_way_that_reorders_is_given_a_quarter_more_time_than_it_took() {
        let mut m = none();
        gap(&mut m, 0, 1..2);
        m.on_arrival(at(8), 1, None);
        gap(&mut m, 100, 5..6);
        assert_eq!(m.deadline(), Some(at(110)), "a quarter more than 8 ms is what everybody gets");
        m.on_arrival(at(109), 5, None);
        gap(&mut m, 200, 9..10);
        let due = m.deadline().unwrap();
        assert_eq!(due, at(200) + Duration::from_millis(9) * 5 / 4);
        // It was asked for, but comes sooner than an answer can: it was late by 24 ms.
        m.ask(due, &[Some(Duration::from_millis(40))], |_| false, |_, _| ());
        m.on_arrival(at(224), 9, Some(Duration::from_millis(40)));
        gap(&mut m, 300, 12..13);
        let due = m.deadline().unwrap();
        assert!((at(329)..=at(330)).contains(&due), "{due:?}");
        m.clear();
        // In time it is forgotten; and nobody waits for ever.
        (0..300).for_each(|n| gap(&mut m, 1000 + n, 100 + n..101 + n));
        m.clear();
        gap(&mut m, 2000, 900..901);
        assert_eq!(m.deadline(), Some(at(2010)));
        m.on_arrival(at(2009), 900, None);
        m.on_gap(at(2100), 950..951, Duration::from_secs(1));
        assert_eq!(m.deadline(), Some(at(2160)));
    }

    #[test]
    fn the_time_between_requests_follows_the_answers() {
        let mut m = none();
        for n in 0..40 {
            let now = 1000 * n;
            gap(&mut m, now, n..n + 1);
            assert_eq!(asked(&mut m, now + 10), [n]);
            m.on_arrival(at(now + 110), n, None);
        }
        gap(&mut m, 90_000, 100..101);
        asked(&mut m, 90_010);
        assert_eq!(m.deadline(), Some(at(90_135)));
        // Where packets come unsteadily, so do answers.
        m.clear();
        m.on_gap(at(95_000), 105..106, Duration::from_millis(20));
        assert_eq!(asked(&mut m, 95_040), [105]);
        assert_eq!(m.deadline(), Some(at(95_180)));
        // Within reason: packets that do not leave in the order of their timestamps seem to be a second late.
        m.clear();
        m.on_gap(at(97_000), 115..116, Duration::from_secs(1));
        assert_eq!(asked(&mut m, 97_060), [115]);
        assert_eq!(m.deadline(), Some(at(97_220)));
        // Who has been measured is believed to be there.
        m.clear();
        gap(&mut m, 99_000, 125..126);
        m.ask(at(99_010), &[Some(Duration::from_millis(200))], |_| false, |_, _| ());
        assert_eq!(m.deadline(), Some(at(99_260)));
        m.on_arrival(at(99_050), 125, Some(Duration::from_millis(40)));
        gap(&mut m, 99_500, 130..131);
        assert_eq!(
            m.deadline(),
            Some(at(99_510)),
            "an answer after 40 ms from somebody 40 ms away is no reordering"
        );
        // And says nothing of those who have not been.
        m.clear();
        for n in 0..40 {
            let now = 100_000 + 1000 * n;
            gap(&mut m, now, 200 + n..201 + n);
            assert_eq!(asked(&mut m, now + 10), [200 + n]);
            m.on_arrival(at(now + 210), 200 + n, Some(Duration::from_millis(200)));
        }
        gap(&mut m, 150_000, 300..301);
        asked(&mut m, 150_010);
        assert_eq!(m.deadline(), Some(at(150_135)));
    }

    #[test]
    fn whoever_knows_two_peers_asks_them_in_turn_and_waits_for_each_as_long_as_it_takes() {
        let mut m = none();
        let peers = [Some(Duration::from_millis(40)), Some(Duration::from_millis(100))];
        gap(&mut m, 0, 1..2);
        let mut asked = Vec::new();
        while let Some(due) = m.deadline() {
            m.ask(due, &peers, |_| false, |number, peer| asked.push((due, number, peer)));
        }
        assert_eq!(asked, [(at(10), 1, 0), (at(60), 1, 1), (at(185), 1, 0)]);
        gap(&mut m, 1000, 5..6);
        m.ask(at(1010), &peers, |_| false, |_, _| ());
        assert!(m.awaits(5) && !m.awaits(6));
        m.on_arrival(at(1050), 5, peers[0]);
        assert!(!m.awaits(5));
        gap(&mut m, 2000, 9..10);
        assert!(!m.awaits(9), "nobody was asked for it yet");
    }

    #[test]
    fn what_a_child_misses_too_is_asked_for_at_once_and_once() {
        let mut m = none();
        gap(&mut m, 0, 1..3);
        m.hasten(at(2), 1);
        m.hasten(at(2), 77);
        assert_eq!((m.deadline(), asked(&mut m, 2)), (Some(at(2)), vec![1]));
        m.hasten(at(3), 1);
        assert_eq!((m.deadline(), asked(&mut m, 3)), (Some(at(10)), vec![]));
    }

    #[test]
    fn what_comes_by_itself_is_not_asked_for() {
        let mut m = none();
        gap(&mut m, 0, 1..3);
        let mut asked = Vec::new();
        let mut ask = |ms| {
            m.ask(at(ms), &[None], |number| number == 1 && ms < 50, |number, _| asked.push((ms, number)));
            m.deadline()
        };
        assert_eq!((ask(10), ask(30)), (Some(at(30)), Some(at(50))));
        assert_eq!(ask(50), Some(at(85)));
        assert_eq!(asked, [(10, 2), (50, 1)]);
    }

    #[test]
    fn k8_of_more_missing_packets_than_may_be_missed_the_oldest_are_given_up() {
        let mut m = none();
        gap(&mut m, 0, 0..200);
        gap(&mut m, 1, 300..1 << 40);
        assert_eq!((m.entries.len(), m.counts().given_up), (256, 200 + (1 << 40) - 300 - 256));
        gap(&mut m, 2, (1 << 40) + 1..(1 << 40) + 11);
        assert_eq!((m.entries.len(), m.entries[0].number), (256, (1 << 40) - 246));
        m.forget_before(1 << 40);
        assert_eq!(m.entries.len(), 10);
        let before = m.counts().given_up;
        m.clear();
        assert_eq!((m.deadline(), m.counts().given_up), (None, before + 10));
        let mut never = Missing::new(Limits { attempts: 0, ..Limits::default() });
        gap(&mut never, 0, 0..200);
        assert_eq!((never.deadline(), never.counts()), (None, Counts::default()));
    }

    #[test]
    fn k1_k2_whoever_asks_at_the_deadline_has_nothing_due_any_more() {
        fn law(steps: Vec<(u8, u8)>, spared: u8) -> bool {
            let mut m = none();
            let (mut now, mut newest) = (0, 100);
            for (time, what) in steps {
                now += u64::from(time);
                match what % 4 {
                    0 => {
                        gap(&mut m, now, newest + 1..newest + u64::from(what));
                        newest += u64::from(what);
                    }
                    1 => m.on_arrival(at(now), newest.saturating_sub(u64::from(what)), None),
                    2 => m.hasten(at(now), newest.saturating_sub(u64::from(what))),
                    _ => {
                        m.ask(at(now), &[None], |number| number % 7 == u64::from(spared), |_, _| ());
                        if m.deadline().is_some_and(|due| due <= at(now)) {
                            return false;
                        }
                    }
                }
                let sorted = m.entries.iter().map(|entry| entry.number).is_sorted();
                if !sorted || m.deadline() != m.entries.iter().map(|entry| entry.due).min() {
                    return false;
                }
            }
            true
        }
        quickcheck::QuickCheck::new().tests(1000).quickcheck(law as fn(Vec<(u8, u8)>, u8) -> bool);
    }
}
