//! One node: what reaches it, from when to when, and what its player makes of that. Of other nodes nothing is known here.

use super::path::{Leg, NO_LEG};
use super::terms::Terms;
use super::totals::Totals;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

/// Who plays what comes.
#[derive(Clone, Copy, Debug)]
struct Player {
    first: Instant,
    /// A packet is played so long after it was sent.
    offset: Duration,
}

/// What reaches one node.
#[derive(Debug)]
pub(super) struct Reception {
    began: Instant,
    pub(super) taken: Vec<Leg>,
    pub(super) given: Vec<Leg>,
    pub(super) feed: Leg,
    /// Who may be asked for single packets beside the parent, and how long a message takes there.
    pub(super) standbys: Vec<(u32, Duration)>,
    pub(super) depth: u16,
    /// From the source to here.
    pub(super) delay: Duration,
    /// Packets arrive from here to there, and did so before until then.
    pub(super) from: Instant,
    pub(super) until: Instant,
    before: Option<Instant>,
    /// It sends nothing to anybody.
    pub(super) mute: bool,
    received: Duration,
    player: Option<Player>,
    missed: Duration,
    /// The share of single packets that it misses, since when, and what came of it before, in microseconds.
    pub(super) residue: f64,
    residue_since: Instant,
    scattered: f64,
}

impl Reception {
    pub(super) const fn new(began: Instant) -> Self {
        Reception {
            began,
            taken: Vec::new(),
            given: Vec::new(),
            feed: NO_LEG,
            standbys: Vec::new(),
            depth: 0,
            delay: Duration::ZERO,
            from: Instant::FAR_FUTURE,
            until: Instant::ZERO,
            before: None,
            mute: false,
            received: Duration::ZERO,
            player: None,
            missed: Duration::ZERO,
            residue: 0.0,
            residue_since: began,
            scattered: 0.0,
        }
    }

    pub(super) fn is_fed(&self) -> bool {
        self.until == Instant::FAR_FUTURE
    }

    /// What was received up to `now`.
    pub(super) fn received(&self, now: Instant) -> Duration {
        self.received + now.min(self.until).since(self.from)
    }

    /// When the last packet came, or is going to come if nothing breaks.
    pub(super) fn last_media(&self, now: Instant, foresight: Duration) -> Option<Instant> {
        if now < self.from { self.before } else { Some(self.until.min(now + foresight)) }
    }

    /// For how long the player plays.
    pub(super) fn plays_for(&self, now: Instant) -> Option<Duration> {
        self.player.map(|p| now.since(p.first))
    }

    /// How much later than it could have come each packet is played.
    pub(super) fn slack(&self, playout: Duration) -> Duration {
        self.player.map_or(playout, |p| p.offset - self.delay.min(p.offset))
    }

    /// Nothing came; from `first` on packets come again, `live` after they were sent, or behind a replay of what was sent
    /// meanwhile.
    pub(super) fn begins(
        &mut self,
        first: Instant,
        live: Duration,
        replayed: bool,
        terms: &Terms,
        totals: &mut Totals,
    ) {
        match self.player {
            None => {
                self.player = Some(Player { first, offset: live + terms.playout });
                totals.startup.add(first.since(self.began).as_micros() as u64);
            }
            Some(player) => {
                let silence = first.since(self.until);
                // What was sent between the last packet and the first one.
                let behind = (self.until - self.delay).as_micros();
                let hole = Duration::from_micros((first - live).as_micros().saturating_sub(behind));
                let back = if replayed { hole.min(terms.ring) } else { Duration::ZERO };
                // The n-th microsecond of the replay comes n / pace after its beginning.
                let latest = (first.as_micros() as i64)
                    - ((first - live - back).as_micros() as i64)
                    - (player.offset.as_micros() as i64);
                let pace = terms.pace.max(2);
                let late = (latest.max(0) as u64).saturating_mul(pace) / (pace - 1);
                self.misses(hole - back + back.min(Duration::from_micros(late)), totals);
                if !silence.is_zero() {
                    totals.silences.add(silence.as_micros() as u64);
                }
                self.before = Some(self.until);
            }
        }
        self.received += self.until.since(self.from);
        self.from = first;
        self.until = Instant::FAR_FUTURE;
        self.residue_since = first;
    }

    /// Nothing comes after this packet, or after the first one, if that is later. Tells which it is.
    pub(super) fn ends(&mut self, last: Instant) -> Instant {
        let last = last.max(self.from);
        self.until = last;
        self.settle_residue(last);
        last
    }

    /// What comes goes on, but after a hole, or with other packets missing than before.
    pub(super) fn goes_on(&mut self, at: Instant, hole: Duration, totals: &mut Totals) {
        self.settle_residue(at);
        self.misses(hole, totals);
    }

    fn settle_residue(&mut self, until: Instant) {
        self.scattered += self.residue * until.since(self.residue_since).as_micros() as f64;
        self.residue_since = until.max(self.residue_since);
    }

    /// The player misses this much of what was sent in one piece.
    fn misses(&mut self, missed: Duration, totals: &mut Totals) {
        if !missed.is_zero() {
            self.missed += missed;
            totals.gaps.add(missed.as_micros() as u64);
        }
    }

    /// If everything comes later than it would be played, the player waits once.
    pub(super) fn wait_if_late(&mut self, playout: Duration, totals: &mut Totals) {
        let delay = self.delay;
        if let Some(player) = self.player.as_mut().filter(|p| p.offset < delay) {
            let wait = delay + playout - player.offset;
            player.offset += wait;
            // What would have been played meanwhile is played later: it is in nobody's way, but it was due.
            self.misses(wait, totals);
        }
    }

    /// Forgets what was measured: it asks for the channel now, and what flows has only begun to.
    pub(super) fn restart(&mut self, now: Instant) {
        self.began = now;
        self.received = Duration::ZERO;
        self.player = None;
        self.missed = Duration::ZERO;
        self.scattered = 0.0;
        self.residue_since = now;
        if self.is_fed() {
            self.from = now;
            self.before = None;
        }
    }

    /// A player begins now, as if its first packet had just come.
    pub(super) fn play(&mut self, now: Instant, playout: Duration) {
        self.player = Some(Player { first: now, offset: self.delay + playout });
    }

    /// Adds what was seen here to the whole.
    pub(super) fn fold(&mut self, now: Instant, terms: &Terms, totals: &mut Totals) {
        totals.viewers += 1;
        let Some(player) = self.player else {
            totals.never_played += 1;
            return;
        };
        let due = now.since(player.first);
        if !self.is_fed() && now > self.until {
            let out = now.since(self.until.max(player.first));
            self.misses(out, totals);
        }
        let end = now.min(self.until);
        self.settle_residue(end);
        totals.due += due.as_micros() as u64;
        totals.missed += self.missed.min(due).as_micros() as u64;
        totals.scattered += self.scattered;
        if terms.nacks > 0 {
            totals.mended += self.received(now).as_secs_f64() * terms.packets_per_second() * terms.loss;
        }
    }
}
