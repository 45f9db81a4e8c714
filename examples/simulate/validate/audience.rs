//! The crowd as whole nodes: they come, watch, and go.

use super::SOURCE_SLOTS;
use super::seen::{Player, Seen, judge};
use crate::broadcast::{Broadcast, INTERVAL, PACKET};
use p2piptv::ids::ChannelId;
use p2piptv::node::Event;
use p2piptv::sim::flow::{Crowd, Person, Summary, underlay};
use p2piptv::sim::{Config, Death, Network, NodeIndex};
use p2piptv::stats::Plane;
use p2piptv::time::{Duration, Instant};
use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;

/// Whoever leaves by plan has left by then.
const FAREWELL: Duration = Duration::from_secs(5);
/// Between two viewers of those that are there from the beginning.
const APART: Duration = Duration::from_millis(400);
/// What the tree has to sort itself in before the watch.
const SORTING: Duration = Duration::from_secs(20);

/// A crowd of whole nodes before a channel that is on air.
pub(super) struct Audience {
    pub(super) air: Broadcast,
    seen: Rc<RefCell<Seen>>,
    crowd: Crowd,
    people: Vec<(NodeIndex, Person)>,
    /// Those who watch from the beginning: how many have come, and when the next one does.
    pub(super) joined: u32,
    next_join: Instant,
    /// Since when it is watched.
    begins: Option<Instant>,
    /// What the source had sent by then, of media and of calls.
    sent_before: [u64; 2],
    departures: Vec<(Instant, NodeIndex, Person)>,
    /// Those who leave by plan are switched off some time later.
    leaving: Vec<(Instant, NodeIndex)>,
    newcomers: u32,
    departed: u64,
}

impl Audience {
    /// A channel, and nobody who watches.
    pub(super) fn new(crowd: Crowd) -> Result<Self, Box<dyn Error>> {
        let conditions = underlay();
        let config =
            Config { seed: crowd.seed, conditions, trace_lines: 0, wake_early_every: 0, ..Config::default() };
        let mut network = Network::new(config);
        let seen = Rc::new(RefCell::new(Seen::default()));
        let (observer, watcher) = (Rc::clone(&seen), Rc::clone(&seen));
        network.observe(move |record| observer.borrow_mut().record(record));
        network.watch(move |now, node, _, packet| watcher.borrow_mut().packet(now, node, packet));
        let air = Broadcast::begin(network, crowd.seed, (0, SOURCE_SLOTS))?;
        Ok(Audience {
            seen,
            crowd,
            people: Vec::new(),
            joined: 0,
            next_join: air.network.now(),
            begins: None,
            sent_before: [0; 2],
            departures: Vec::new(),
            leaving: Vec::new(),
            newcomers: crowd.planned(),
            departed: 0,
            air,
        })
    }

    /// Lets happen what happens until the next packet, and sends it. False when the watch is over.
    pub(super) fn step(&mut self) -> Result<bool, Box<dyn Error>> {
        let now = self.air.due;
        self.air.network.run_until(now);
        self.greet()?;
        if self.joined < self.crowd.viewers && now >= self.next_join {
            let person = self.crowd.person(self.joined, Instant::ZERO);
            let viewer = self.air.enter(&format!("v{}", self.joined), person.slots)?;
            self.people.push((viewer, person));
            (self.joined, self.next_join) = (self.joined + 1, self.next_join + APART);
        }
        if self.joined == self.crowd.viewers && self.begins.is_none() && now > self.next_join + SORTING {
            self.begin(now);
        }
        if let Some(begins) = self.begins {
            self.part(now, begins)?;
            if now.since(begins) >= self.crowd.lasts {
                return Ok(false);
            }
        }
        self.air.send()?;
        Ok(true)
    }

    /// Whoever has joined the overlay tunes in.
    fn greet(&mut self) -> Result<(), Box<dyn Error>> {
        for (at, node, event) in self.air.network.take_events() {
            let viewer = self.people.iter().any(|(n, _)| *n == node);
            if matches!(event, Event::Joined) && viewer {
                self.air.tune(node)?;
                if self.begins.is_some() {
                    let player = Player { asked: Some(at), ..Player::default() };
                    self.seen.borrow_mut().players.insert(node, player);
                }
            }
        }
        Ok(())
    }

    /// The watch begins.
    fn begin(&mut self, now: Instant) {
        self.begins = Some(now);
        let mut seen = self.seen.borrow_mut();
        seen.begins = Some(now);
        for &(node, person) in &self.people {
            seen.players.insert(node, Player::default());
            self.departures.push((now + person.leaves.since(Instant::ZERO), node, person));
        }
        self.sent_before = self.sent();
    }

    /// Those go whose time has come, and others come in their place.
    fn part(&mut self, now: Instant, begins: Instant) -> Result<(), Box<dyn Error>> {
        for (_, node) in self.leaving.extract_if(.., |l| l.0 <= now) {
            self.air.network.kill(node, Death::Host);
        }
        while let Some(at) = self.departures.iter().position(|d| d.0 <= now) {
            let (_, node, person) = self.departures.swap_remove(at);
            self.departed += 1;
            if person.abrupt {
                self.air.network.kill(node, Death::Host);
            } else {
                self.air.network.command(node, |node, now| node.leave(now));
                self.leaving.push((now + FAREWELL, node));
            }
            if let Some(player) = self.seen.borrow_mut().players.get_mut(&node) {
                player.gone = Some(now);
            }
            let newcomer = self.crowd.person(self.newcomers, Instant::ZERO + now.since(begins));
            let viewer = self.air.enter(&format!("v{}", self.newcomers), newcomer.slots)?;
            self.people.push((viewer, newcomer));
            self.departures.push((begins + newcomer.leaves.since(Instant::ZERO), viewer, newcomer));
            self.newcomers += 1;
        }
        Ok(())
    }

    /// What the source has sent, of media and of calls.
    fn sent(&self) -> [u64; 2] {
        [Plane::Media, Plane::Signalling].map(|p| self.air.network.sent(self.air.source, p).bytes)
    }

    pub(super) fn finish(self) -> Result<(Summary, Seen), Box<dyn Error>> {
        let now = self.air.network.now();
        let mut summary = Summary {
            lasted: self.crowd.lasts,
            rate: (PACKET as f64 / INTERVAL.as_secs_f64()) as u64,
            packet: PACKET as u64,
            departures: self.departed,
            ..Summary::default()
        };
        let [media, calls] = self.sent();
        let by_source = (media - self.sent_before[0]) as f64 / summary.rate as f64 * 1e6;
        summary.totals.by_source = by_source as u64;
        summary.control_of_source = calls - self.sent_before[1];
        for &(node, _) in &self.people {
            let status = self.air.network.machine(node).and_then(|machine| machine.status(ChannelId(0)));
            if let Some(depth) = status.and_then(|s| s.depth) {
                summary.depth.add(u64::from(depth));
            }
        }
        drop(self.air);
        let seen = Rc::try_unwrap(self.seen).map_err(|_| "the network still looks on")?.into_inner();
        judge(&seen, now, &mut summary);
        Ok((summary, seen))
    }
}
