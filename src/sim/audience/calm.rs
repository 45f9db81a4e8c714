//! Nobody dies, but queues build up in uplinks and the encoder pauses: what was done in vain, and what the upkeep costs.

use super::journal::Octets;
use super::{Audience, PACKET, Trouble};
use crate::env::{Entropy, Seeded};
use crate::iptv::Counters;
use crate::node::{Event, PeerName};
use crate::sim::machine::NodeIndex;
use crate::sim::underlay::exponential;
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// How often queues grow and shrink.
const STEP: Duration = Duration::from_millis(50);
/// Journals are emptied this often.
const TIDY: Duration = Duration::from_secs(5);

/// What the network is in the mood for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mood {
    /// What a queue in front of an uplink grows to, within 0.3 to 2 s; it stays for 1 to 3 s, and drains within half a
    /// second to a second.
    pub bloat: Duration,
    /// How often that happens to one uplink in an hour.
    pub bloats_per_hour: f64,
    /// How long the encoder pauses.
    pub pause: Duration,
    /// How often it does in an hour.
    pub pauses_per_hour: f64,
}

impl Default for Mood {
    /// Every uplink has half a second of queue 20 times an hour, and the encoder pauses for 2 s once a minute.
    fn default() -> Self {
        Mood {
            bloat: Duration::from_millis(500),
            bloats_per_hour: 20.0,
            pause: Duration::from_secs(2),
            pauses_per_hour: 60.0,
        }
    }
}

/// One queue that builds up and drains.
#[derive(Clone, Copy, Debug)]
struct Bloat {
    node: NodeIndex,
    begin: Instant,
    full: Instant,
    drains: Instant,
    end: Instant,
}

impl Bloat {
    fn queue(&self, now: Instant, most: Duration) -> Duration {
        let part = |of: Duration, whole: Duration| {
            let share = of.as_micros() as f64 / whole.as_micros().max(1) as f64;
            Duration::from_micros((most.as_micros() as f64 * share) as u64)
        };
        match now {
            now if now < self.full => part(now.since(self.begin), self.full.since(self.begin)),
            now if now < self.drains => most,
            now => part(self.end.since(now), self.end.since(self.drains)),
        }
    }
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Of all viewers together.
    pub watched: Duration,
    /// Queues that built up.
    pub bloats: u32,
    /// Pauses of the encoder.
    pub pauses: u32,
    /// Silences of parents that somebody else bridged; here each is in vain.
    pub covers: u32,
    /// Those of them after which the parent was heard again.
    pub false_alarms: u32,
    /// Parents that were given up because of their silence.
    pub repairs: u32,
    /// Users who were told that the parent is lost.
    pub orphaned: u32,
    /// Viewers that had another parent afterwards, for whatever reason. As nobody comes or goes, nobody needed it.
    pub moves: u32,
    /// What was sent.
    pub octets: Octets,
    /// Media that came twice.
    pub duplicates: u64,
    /// Packets that never came.
    pub lost: u64,
}

impl Tally {
    /// Changes that nobody needed in 1,000 hours of one viewer.
    pub fn needless_per_1000_hours(&self) -> f64 {
        f64::from(self.moves) * 1000.0 * 3600.0 / self.watched.as_secs_f64().max(1.0)
    }
}

/// An audience that nobody leaves.
pub struct Calm {
    audience: Audience,
    mood: Mood,
    dice: Seeded,
    bloats: Vec<Bloat>,
    next_bloat: Instant,
    next_pause: Instant,
    tidied: Instant,
    parents: BTreeMap<NodeIndex, PeerName>,
    tally: Tally,
    before: Tally,
}

impl Calm {
    /// An audience that has grown, and has come to rest. Counting begins.
    pub fn new(audience: Audience, mood: Mood) -> Self {
        let dice = Seeded::new(audience.setting.seed ^ 0xca11);
        let now = audience.now();
        let mut calm = Calm {
            audience,
            mood,
            dice,
            bloats: Vec::new(),
            next_bloat: now,
            next_pause: now,
            tidied: now,
            parents: BTreeMap::new(),
            tally: Tally::default(),
            before: Tally::default(),
        };
        (calm.next_bloat, calm.next_pause) = (calm.later_bloat(), calm.later_pause());
        calm.audience.take_events();
        let parent = |v| Some((v, calm.audience.status(v)?.parent?));
        calm.parents = calm.audience.viewers().filter_map(parent).collect();
        calm.before = calm.count();
        calm
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) -> Result<(), Trouble> {
        let end = self.audience.now() + time;
        while self.audience.now() < end {
            self.audience.run_for(STEP)?;
            self.tally.watched += STEP * self.audience.viewers.len() as u32;
            self.moods();
            for (_, node, event) in self.audience.take_events() {
                match event {
                    Event::Orphaned { .. } => self.tally.orphaned += 1,
                    // It may be the same again.
                    Event::Reparented { parent, .. } => {
                        let before = self.parents.insert(node, parent.clone());
                        self.tally.moves += u32::from(before.as_ref() != Some(&parent));
                    }
                    _ => {}
                }
            }
            let now = self.audience.now();
            if now.since(self.tidied) >= TIDY {
                self.tidied = now;
                self.audience.forget(now - TIDY);
            }
        }
        Ok(())
    }

    fn moods(&mut self) {
        let now = self.audience.now();
        if now >= self.next_bloat {
            let at = self.dice.below(self.audience.viewers.len().max(1) as u64) as usize;
            let node = self.audience.viewers().nth(at);
            let mut ms = |least, more| Duration::from_millis(least + self.dice.below(more));
            let (rise, stay, fall) = (ms(300, 1700), ms(1000, 2000), ms(500, 500));
            if let Some(node) = node.filter(|node| self.bloats.iter().all(|b| b.node != *node)) {
                let (full, drains) = (now + rise, now + rise + stay);
                self.bloats.push(Bloat { node, begin: now, full, drains, end: drains + fall });
                self.tally.bloats += 1;
            }
            self.next_bloat = self.later_bloat();
        }
        let (most, net) = (self.mood.bloat, &mut self.audience.net);
        self.bloats.retain(|bloat| {
            let goes_on = now < bloat.end;
            net.set_uplink_queue(bloat.node, if goes_on { bloat.queue(now, most) } else { Duration::ZERO });
            goes_on
        });
        if now >= self.next_pause {
            self.audience.rest(self.mood.pause);
            self.tally.pauses += 1;
            self.next_pause = self.later_pause();
        }
    }

    fn later_bloat(&mut self) -> Instant {
        let often = self.mood.bloats_per_hour / 3600.0 * self.audience.viewers.len() as f64;
        self.audience.now() + exponential(often.max(1e-6), &mut self.dice)
    }

    fn later_pause(&mut self) -> Instant {
        self.audience.now() + exponential((self.mood.pauses_per_hour / 3600.0).max(1e-6), &mut self.dice)
    }

    /// What all nodes have counted since they were made.
    fn count(&self) -> Tally {
        let mut all = Tally { octets: self.audience.octets(), ..Tally::default() };
        for viewer in self.audience.viewers() {
            let Some(node) = self.audience.net.machine(viewer) else { continue };
            let Counters { covers, false_alarms, repairs, .. } = node.repairs();
            (all.covers, all.false_alarms) = (all.covers + covers, all.false_alarms + false_alarms);
            all.repairs += repairs;
            let channel = self.audience.viewers.get(&viewer).and_then(|seat| seat.channel);
            if let Some(counters) = channel.and_then(|channel| node.media_counters(channel)) {
                all.duplicates += counters.sequence.duplicates * PACKET as u64;
                all.lost += counters.sequence.lost;
            }
        }
        all
    }

    /// What was counted since the beginning.
    pub fn tally(&self) -> Tally {
        let (now, before) = (self.count(), &self.before);
        Tally {
            covers: now.covers - before.covers,
            false_alarms: now.false_alarms - before.false_alarms,
            repairs: now.repairs - before.repairs,
            octets: now.octets.since(&before.octets),
            duplicates: now.duplicates - before.duplicates,
            lost: now.lost.saturating_sub(before.lost),
            ..self.tally
        }
    }

    /// The audience.
    pub const fn audience(&self) -> &Audience {
        &self.audience
    }
}
