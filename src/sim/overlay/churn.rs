//! Churn: nodes crash and others join, without end, while everybody looks up what is stored.

use super::audit::Replicas;
use super::growth::Growth;
use super::network::{Config, OverlayNetwork};
use crate::chord::{REPLICAS, distance};
use crate::env::Entropy;
use crate::ids::{NodeId, ResourceId};
use crate::reload::codec::KindId;
use crate::reload::overlay::{Address, ConfigError, Fact, Failure, Slot, Ticket};
use crate::reload::topology::Place;
use crate::sim::machine::NodeIndex;
use crate::sim::queue::Queue;
use crate::sim::statistics::Samples;
use crate::sim::underlay::exponential;
use crate::time::{Duration, Instant};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;
use bytes::Bytes;

/// What a run is to be.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The network, and how every node is configured.
    pub world: Config,
    /// Nodes, all the time.
    pub nodes: usize,
    /// How long nodes crash and join.
    pub lasts: Duration,
    /// The share of the nodes that crashes in a minute; each of them is replaced at once by one that joins.
    pub replaced_per_minute: f64,
    /// Values, each under a Resource-ID of its own.
    pub values: usize,
    /// Lookups in a second, of all nodes together.
    pub lookups_per_second: f64,
}

impl Setting {
    /// How long it takes at most from a crash to another replica of what the node held: until a Ping is due, until no ACK
    /// has come for the fourth time, and two seconds to agree and to store. Nothing is granted for the hold-down: it ends
    /// when the neighbours agree.
    pub fn repair_time(&self) -> Duration {
        let timers = &self.world.node.timers;
        timers.neighbor_ping_interval * 5 / 4 + timers.link.rto * 7 + Duration::from_secs(2)
    }
}

/// How a lookup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lookup {
    /// With the value.
    Answered,
    /// With the answer that there is no such value, although somebody holds it.
    Denied,
    /// Without an answer.
    TimedOut,
    /// In another way.
    Failed,
    /// Nobody held the value any more: all its holders had crashed.
    Lost,
    /// The node that asked has crashed itself.
    Abandoned,
}

/// A value that nobody holds any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Which value.
    pub value: usize,
    /// When its last holder crashed, or was seen to have dropped it.
    pub at: Instant,
    /// The crashes that led there, the last one last; fewer than three when holders have dropped it.
    pub crashes: Vec<Crash>,
    /// Whether somebody had the time to save it.
    pub could_be_saved: bool,
}

impl Loss {
    /// From the first of the crashes to the last.
    pub fn span(&self) -> Duration {
        let ends = self.crashes.first().zip(self.crashes.last());
        ends.map_or(Duration::ZERO, |(first, last)| last.at.since(first.at))
    }
}

/// The crash of a node that held a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// When.
    pub at: Instant,
    /// How far behind the value's place it stood: the nearest that lives is the one to make replicas.
    pub distance: Place,
}

/// Whether a value could be saved whose holders crashed like this, in this order; it was on three peers until the crash
/// with the number `whole_until`.
///
/// The RFC makes the responsible peer see to the replicas (RFC 6940 §10.7.3), and until the others have noticed that it
/// is dead that is nobody. So a value could be saved if there was a holder that lived for longer than `repair`, which is
/// what it takes to notice a crash and to store a replica, after it had become the first of those who lived, or if it
/// was that before, after the first of the others crashed.
fn could_be_saved(crashes: &[Crash], whole_until: usize, repair: Duration) -> bool {
    let last = crashes.get(whole_until..).unwrap_or_default();
    let Some(begin) = last.first().filter(|_| last.len() > REPLICAS) else {
        // The others have dropped it.
        return true;
    };
    (whole_until..).zip(last).any(|(i, holder)| {
        let (earlier, later) = crashes.split_at(i);
        let stands_before = |c: &&Crash| c.distance < holder.distance;
        let was_first = !later.iter().any(|c| stands_before(&c));
        let first_since = earlier.iter().filter(stands_before).map(|c| c.at).max();
        let since = first_since.map_or(begin.at, |at| at.max(begin.at));
        was_first && holder.at.since(since) > repair
    })
}

/// The state of things at one moment, and what happened since the moment before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// When, counted from the first crash.
    pub at: Duration,
    /// Living nodes that are members.
    pub members: usize,
    /// Living nodes that are on their way in.
    pub joining: usize,
    /// Crashes since the beginning.
    pub crashes: u64,
    /// Lookups that ended with the value, since the moment before.
    pub answered: u64,
    /// Lookups that should have and did not.
    pub unanswered: u64,
    /// Values on no member, on one, on two, on three, on more.
    pub spread: [usize; 5],
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Lookups by their ends.
    pub lookups: BTreeMap<Lookup, u64>,
    /// Milliseconds that answered lookups took.
    pub took: Samples,
    /// Values that were lost.
    pub losses: Vec<Loss>,
    /// Values that could not be stored at the beginning.
    pub not_stored: usize,
    /// Nodes that crashed.
    pub crashes: u64,
    /// Every tenth second.
    pub moments: Vec<Moment>,
}

impl Summary {
    /// Lookups that ended so.
    pub fn count(&self, end: Lookup) -> u64 {
        self.lookups.get(&end).copied().unwrap_or(0)
    }

    /// Lookups that could be answered: somebody held the value, and the asker lived.
    pub fn answerable(&self) -> u64 {
        [Lookup::Answered, Lookup::Denied, Lookup::TimedOut, Lookup::Failed]
            .map(|e| self.count(e))
            .iter()
            .sum()
    }

    /// The share of the lookups that could be answered that was; 1 when there was none.
    pub fn success(&self) -> f64 {
        match self.answerable() {
            0 => 1.0,
            n => self.count(Lookup::Answered) as f64 / n as f64,
        }
    }
}

enum Script {
    Crash,
    Lookup,
    Moment,
}

struct Value {
    resource: ResourceId,
    lost: bool,
    /// The crashes of its holders, the last one last.
    crashes: Vec<Crash>,
    /// Which of them was the last when it was on three peers.
    whole_until: usize,
}

/// A run.
pub struct Churn {
    setting: Setting,
    net: OverlayNetwork,
    growth: Growth,
    values: Vec<Value>,
    by_resource: BTreeMap<ResourceId, usize>,
    open: BTreeMap<Ticket, (usize, NodeIndex, Instant)>,
    summary: Summary,
    /// What the last moment had counted.
    before: (u64, u64),
}

/// Whether a value is at a node, whatever it is to it.
const KIND: KindId = KindId::CHANNEL;

impl Churn {
    /// A run that has not begun.
    pub fn new(setting: Setting) -> Self {
        Churn {
            net: OverlayNetwork::new(setting.world.clone()),
            setting,
            growth: Growth::new(),
            values: Vec::new(),
            by_resource: BTreeMap::new(),
            open: BTreeMap::new(),
            summary: Summary::default(),
            before: (0, 0),
        }
    }

    /// What the run is to be.
    pub const fn setting(&self) -> &Setting {
        &self.setting
    }

    /// The network.
    pub const fn network(&self) -> &OverlayNetwork {
        &self.net
    }

    /// The network, to look at with its dice.
    pub const fn network_mut(&mut self) -> &mut OverlayNetwork {
        &mut self.net
    }

    /// Those who joined, and how long it took them.
    pub const fn growth_mut(&mut self) -> &mut Growth {
        &mut self.growth
    }

    /// What has come of it so far.
    pub const fn summary_mut(&mut self) -> &mut Summary {
        &mut self.summary
    }

    /// The Resource-IDs of all values.
    pub fn resources(&self) -> impl Iterator<Item = &ResourceId> {
        self.values.iter().map(|v| &v.resource)
    }

    /// Lets the ring grow and gives it a minute to settle.
    pub fn grow(&mut self, progress: impl FnMut(&OverlayNetwork, &Growth)) -> Result<(), ConfigError> {
        self.growth.grow(&mut self.net, self.setting.nodes, progress)?;
        self.rest(Duration::from_secs(60));
        Ok(())
    }

    /// Stores every value at once, from random members, and waits for the replicas.
    pub fn store(&mut self) {
        // Far longer than any run.
        const LIFETIME: Duration = Duration::from_secs(24 * 3600);
        let mut waiting = BTreeSet::new();
        for i in 0..self.setting.values {
            let resource = ResourceId::of_name(format!("value {i}").as_bytes());
            self.by_resource.insert(resource.clone(), i);
            self.values.push(Value {
                resource: resource.clone(),
                lost: false,
                crashes: Vec::new(),
                whole_until: 0,
            });
            let Some(writer) = self.net.random_member() else { continue };
            let key = self.net.overlay(writer).map_or(NodeId::WILDCARD, |o| o.node_id());
            let slot = Slot::Key(Bytes::copy_from_slice(&key.0));
            let address = Address { resource, kind: KIND, slot };
            if let Ok(ticket) = self.net.store(writer, address, content(i), LIFETIME) {
                waiting.insert(ticket);
            }
            if i % 16 == 15 {
                self.net.run_for(Duration::from_millis(50));
            }
        }
        self.net.run_for(Duration::from_secs(20));
        let stored = self.net.take_facts().into_iter().filter(
            |(_, _, fact)| matches!(fact, Fact::Stored { ticket, result: Ok(_) } if waiting.contains(ticket)),
        );
        self.summary.not_stored = self.setting.values - stored.count();
    }

    /// Lets nodes crash and join, and everybody look up. `progress` is called every ten virtual seconds.
    pub fn run(&mut self, mut progress: impl FnMut(&Moment)) -> Result<(), ConfigError> {
        const TENTH: Duration = Duration::from_secs(10);
        let begin = self.net.now();
        let end = begin + self.setting.lasts;
        let crashes = self.setting.nodes as f64 * self.setting.replaced_per_minute / 60.0;
        let lookups = self.setting.lookups_per_second;
        let mut script = Queue::new();
        script.schedule(begin, Script::Moment);
        for (rate, what) in [(crashes, Script::Crash), (lookups, Script::Lookup)] {
            if rate > 0.0 {
                let first = exponential(rate, self.net.dice());
                script.schedule(begin + first, what);
            }
        }
        while let Some((at, what)) = script.pop() {
            if at > end {
                continue;
            }
            self.net.run_until(at);
            self.hear();
            match what {
                Script::Crash => {
                    self.crash();
                    self.growth.join_one(&mut self.net)?;
                    let next = exponential(crashes, self.net.dice());
                    script.schedule(at + next, Script::Crash);
                }
                Script::Lookup => {
                    self.look_up();
                    let next = exponential(lookups, self.net.dice());
                    script.schedule(at + next, Script::Lookup);
                }
                Script::Moment => {
                    let moment = self.moment(at.since(begin));
                    progress(&moment);
                    self.summary.moments.push(moment);
                    script.schedule(at + TENTH, Script::Moment);
                }
            }
        }
        Ok(())
    }

    /// Lets time pass without crashes and lookups; what is open is waited for.
    pub fn rest(&mut self, time: Duration) {
        self.net.run_for(time);
        self.hear();
        self.look_for_dropped();
    }

    fn moment(&mut self, at: Duration) -> Moment {
        self.look_for_dropped();
        let answered = self.summary.count(Lookup::Answered);
        let unanswered = self.summary.answerable() - answered;
        let before = core::mem::replace(&mut self.before, (answered, unanswered));
        Moment {
            at,
            members: self.net.members().count(),
            joining: self.growth.under_way(),
            crashes: self.summary.crashes,
            answered: answered - before.0,
            unanswered: unanswered - before.1,
            spread: Replicas::of(&self.net).spread(self.resources()),
        }
    }

    /// Values whose last holders live and have dropped them.
    fn look_for_dropped(&mut self) {
        let held: BTreeSet<ResourceId> = (self.net.living().iter())
            .filter_map(|&n| self.net.overlay(n))
            .flat_map(|o| o.storage().resources().cloned())
            .collect();
        let now = self.net.now();
        for (i, value) in self.values.iter_mut().enumerate() {
            if !value.lost && !held.contains(&value.resource) {
                value.lost = true;
                let crashes = value.crashes.split_off(value.whole_until);
                self.summary.losses.push(Loss { value: i, at: now, crashes, could_be_saved: true });
            }
        }
    }

    fn crash(&mut self) {
        let Some(victim) = self.net.random_member() else { return };
        let now = self.net.now();
        let Some(overlay) = self.net.crash(victim) else { return };
        self.summary.crashes += 1;
        self.growth.forget(victim);
        let repair = self.setting.repair_time();
        for resource in overlay.storage().resources() {
            let Some(&i) = self.by_resource.get(resource) else { continue };
            let living = self.net.living().iter().filter_map(|&n| self.net.overlay(n));
            let left = living.filter(|o| o.storage().generation(resource, KIND) > 0).count();
            let Some((value, place)) = self.values.get_mut(i).zip(resource.to_u128()) else { continue };
            if left >= REPLICAS {
                value.whole_until = value.crashes.len();
            }
            value.crashes.push(Crash { at: now, distance: distance(place, overlay.node_id().to_u128()) });
            if left == 0 && !value.lost {
                value.lost = true;
                let could_be_saved = could_be_saved(&value.crashes, value.whole_until, repair);
                let crashes = value.crashes.split_off(value.whole_until);
                self.summary.losses.push(Loss { value: i, at: now, crashes, could_be_saved });
            }
        }
    }

    fn look_up(&mut self) {
        let value = self.net.dice().below(self.values.len() as u64) as usize;
        let Some(asker) = self.net.random_member() else { return };
        let Some(resource) = self.values.get(value).map(|v| v.resource.clone()) else { return };
        if let Ok(ticket) = self.net.fetch(asker, resource, KIND) {
            self.open.insert(ticket, (value, asker, self.net.now()));
        }
    }

    fn hear(&mut self) {
        for (at, node, fact) in self.net.take_facts() {
            self.growth.hear(&mut self.net, at, node, &fact);
            let Fact::Fetched { ticket, result, .. } = fact else { continue };
            let Some((value, _, asked)) = self.open.remove(&ticket) else { continue };
            let lost = self.values.get(value).is_none_or(|v| v.lost);
            let expected = content(value);
            let end = match result {
                Ok(found) if found.iter().any(|v| v.value.as_ref() == Some(&expected)) => Lookup::Answered,
                _ if lost => Lookup::Lost,
                Ok(_) => Lookup::Denied,
                Err(Failure::Timeout) => Lookup::TimedOut,
                Err(_) => Lookup::Failed,
            };
            if end == Lookup::Answered {
                self.summary.took.add(at.since(asked).as_micros() as u64 / 1000);
            }
            *self.summary.lookups.entry(end).or_default() += 1;
        }
        let (net, summary) = (&self.net, &mut self.summary);
        self.open.retain(|_, (_, asker, _)| {
            let lives = net.overlay(*asker).is_some();
            if !lives {
                *summary.lookups.entry(Lookup::Abandoned).or_default() += 1;
            }
            lives
        });
    }
}

fn content(value: usize) -> Bytes {
    Bytes::from(format!("this is value {value}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Crashes at these seconds of holders at these distances, and whether the value could be saved within ten seconds.
    fn saveable(crashes: &[(u64, Place)], whole_until: usize) -> bool {
        let crash = |&(at, distance): &(u64, Place)| Crash { at: Instant::from_millis(at * 1000), distance };
        let crashes: Vec<Crash> = crashes.iter().map(crash).collect();
        could_be_saved(&crashes, whole_until, Duration::from_secs(10))
    }

    #[test]
    fn a_value_can_be_saved_by_whoever_is_the_first_that_lives_and_lives_for_long_enough() {
        assert!(!saveable(&[(0, 1), (10, 2), (20, 3)], 0), "each has just missed the one before");
        assert!(saveable(&[(0, 1), (11, 2), (12, 3)], 0), "the second had a second left");
        assert!(saveable(&[(0, 1), (1, 2), (12, 3)], 0), "and so had the third");
        assert!(saveable(&[(0, 2), (5, 3), (11, 1)], 0), "the responsible peer lived");
        assert!(!saveable(&[(0, 2), (5, 3), (10, 1)], 0));
        assert!(!saveable(&[(0, 1), (10, 3), (10, 2)], 0), "the third was never the first");
    }

    #[test]
    fn a_value_can_be_saved_that_was_on_fewer_peers_than_crashes_can_explain() {
        assert!(saveable(&[(0, 1), (1, 2)], 0) && saveable(&[], 0));
        assert!(saveable(&[(0, 1), (1, 2), (2, 3)], 1), "three peers had it after the first crash");
    }

    #[test]
    fn crashes_before_the_last_three_tell_since_when_a_holder_was_the_first() {
        assert!(saveable(&[(0, 1), (5, 3), (6, 4), (16, 2)], 1));
        assert!(!saveable(&[(9, 1), (10, 3), (11, 4), (19, 2)], 1), "nobody knew yet that it was the first");
    }
}
