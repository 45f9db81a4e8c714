//! A mesh of partners that pull chunks from each other (CoolStreaming/DONet: Zhang et al., INFOCOM 2005).
//!
//! The channel is cut into chunks of 200 ms (DONet has seconds; nothing that long could be pulled over several hops within
//! the half second of the other systems). A node has five partners at random, tells them each round which chunks it has,
//! and asks for what it misses: rarest first, then what is played first, from whoever has it and has uplink left. A chunk
//! that is asked for is there in the next round. The player begins with the newest chunk that most of its partners
//! have, and keeps its distance.
//!
//! Taken for granted: a round covers the request, the chunk and whatever packets of it are lost; a node that joins finds
//! partners with one request to a tracker and one to them; a partner that has gone is replaced as soon as that is noticed:
//! at once after a goodbye, after a second otherwise.

use crate::env::{Entropy, Seeded};
use crate::sim::flow::crowd::{Crowd, Person};
use crate::sim::flow::histogram::Histogram;
use crate::sim::flow::media::Terms;
use crate::sim::flow::summary::{Control, Summary};
use crate::sim::flow::underlay;
use crate::sim::flow::wheel::Wheel;
use crate::time::{Duration, Instant};
use alloc::format;
use alloc::vec::Vec;

/// A chunk, and a round.
const ROUND: Duration = Duration::from_millis(200);
/// Partners that a node looks for, and that it lets itself have.
const PARTNERS: (usize, usize) = (5, 8);
/// Chunks that a node asks for in a round.
const AT_ONCE: usize = 4;
/// How many rounds old a chunk may be.
const FARTHEST: u64 = 120;
/// Rounds until a partner without a goodbye is missed.
const MISSED: u32 = 5;
/// Octets of a buffer map, and of a request.
const OCTETS: (u64, u64) = (40, 30);
/// Rounds before the watch in which the first chunks spread.
const WARMING: u64 = 120;

/// What a mesh is made of.
#[derive(Clone, Copy, Debug)]
pub struct Mesh {
    /// Chunks that the source sends in the time of one.
    pub source_slots: u32,
    /// How long players wait after the first chunk; meshes are built for ten seconds.
    pub playout: Duration,
}

struct Node {
    person: Person,
    /// When it can take part.
    ready: Instant,
    asked: Instant,
    /// Bit `n` is the chunk that is `n` rounds old: what it has, and what it told.
    have: u128,
    told: u128,
    budget: u32,
    partners: Vec<u32>,
    /// The chunk it began with, and in which round.
    began: Option<(u64, u64)>,
    gap: u64,
    gone: bool,
}

struct Field<'a> {
    mesh: &'a Mesh,
    crowd: Crowd,
    nodes: Vec<Node>,
    living: Vec<u32>,
    place: Vec<usize>,
    dice: Seeded,
    summary: Summary,
    /// When each partner of the dead hears of it.
    farewells: Wheel<u32>,
    round: u64,
    measures: bool,
}

impl Field<'_> {
    fn anybody(&mut self) -> u32 {
        self.living[self.dice.below(self.living.len() as u64) as usize]
    }

    fn join(&mut self, person: Person, now: Instant) -> u32 {
        let node = self.nodes.len() as u32;
        let mut ready = now;
        if self.measures {
            // Tracker and partners: a handshake and a request each.
            for _ in 0..6 {
                let other = self.dice.next_u64() as u32;
                ready += underlay().latency.between(node, other, self.crowd.seed) * 2;
            }
        }
        self.nodes.push(Node {
            person,
            ready,
            asked: now,
            have: 0,
            told: 0,
            budget: 0,
            partners: Vec::new(),
            began: None,
            gap: 0,
            gone: false,
        });
        self.place.push(self.living.len());
        self.living.push(node);
        self.befriend(node);
        node
    }

    /// Looks for as many partners as a node wants.
    fn befriend(&mut self, node: u32) {
        for _ in 0..3 * PARTNERS.0 {
            if self.nodes[node as usize].partners.len() >= PARTNERS.0 {
                break;
            }
            let other = self.anybody();
            let full = self.nodes[other as usize].partners.len() >= PARTNERS.1;
            if other != node && !full && !self.nodes[node as usize].partners.contains(&other) {
                self.nodes[node as usize].partners.push(other);
                self.nodes[other as usize].partners.push(node);
            }
        }
    }

    fn leave(&mut self, node: u32, now: Instant) {
        let place = self.place[node as usize];
        self.living.swap_remove(place);
        if let Some(&moved) = self.living.get(place) {
            self.place[moved as usize] = place;
        }
        let gone = &mut self.nodes[node as usize];
        gone.gone = true;
        let wait = if gone.person.abrupt { ROUND * MISSED } else { ROUND };
        self.farewells.schedule(now + wait, node);
        self.fold(node, self.round);
        self.summary.departures += 1;
    }

    fn part(&mut self, gone: u32) {
        for partner in core::mem::take(&mut self.nodes[gone as usize].partners) {
            self.nodes[partner as usize].partners.retain(|&p| p != gone);
            if !self.nodes[partner as usize].gone {
                self.befriend(partner);
            }
        }
    }

    fn fold(&mut self, node: u32, round: u64) {
        let totals = &mut self.summary.totals;
        let node = &mut self.nodes[node as usize];
        totals.viewers += 1;
        let Some((_, began)) = node.began else {
            totals.never_played += 1;
            return;
        };
        let rounds = rounds(self.mesh.playout);
        totals.due += round.saturating_sub(began + rounds) * ROUND.as_micros() as u64;
        if node.gap > 0 {
            totals.gaps.add(node.gap * ROUND.as_micros() as u64);
            node.gap = 0;
        }
    }

    /// Everybody asks for what it misses, in any order.
    fn exchange(&mut self, now: Instant) {
        let chunk = ROUND.as_micros() as u64;
        for node in &mut self.nodes {
            node.have <<= 1;
            node.told = node.have;
            node.budget = u32::from(if node.person.lies { 0 } else { node.person.slots });
        }
        let source = &mut self.nodes[0];
        source.have |= 1;
        source.budget = self.mesh.source_slots;
        let crowd = self.living.len() as u64;
        let first = self.dice.below(crowd);
        for n in 0..crowd {
            let at = self.living[((first + n) % crowd) as usize];
            let node = &self.nodes[at as usize];
            if at == 0 || node.ready > now {
                continue;
            }
            let partners = node.partners.clone();
            let (span, wants) = self.wants(node);
            for &(_, urgency) in wants.iter().take(AT_ONCE) {
                let age = span - urgency;
                let turn = self.dice.below(partners.len() as u64) as usize;
                let holder = (0..partners.len()).map(|n| partners[(turn + n) % partners.len()]).find(|&p| {
                    let p = &self.nodes[p as usize];
                    p.told >> age & 1 == 1 && (p.budget > 0 || p.gone)
                });
                if self.measures {
                    self.summary.count(Control::Media, OCTETS.1, false);
                }
                let Some(holder) = holder else { continue };
                if self.nodes[holder as usize].gone {
                    // Nobody answers.
                    continue;
                }
                self.nodes[holder as usize].budget -= 1;
                self.nodes[at as usize].have |= 1 << age;
                if self.measures {
                    self.summary.totals.sent += chunk;
                    self.summary.totals.by_source += if holder == 0 { chunk } else { 0 };
                }
                if self.nodes[at as usize].began.is_none() {
                    self.nodes[at as usize].began = Some((self.round - u64::from(age), self.round + 1));
                    if self.measures {
                        let wait = (now + ROUND).since(self.nodes[at as usize].asked);
                        self.summary.totals.startup.add(wait.as_micros() as u64);
                    }
                }
            }
            if self.measures {
                self.summary.count(Control::Media, OCTETS.0 * partners.len() as u64, false);
            }
        }
    }

    /// What a node misses of a span of chunks, with how many partners have it: the rarest first, and of equal ones what is
    /// played first.
    fn wants(&self, node: &Node) -> (u32, Vec<(usize, u32)>) {
        let wanted = rounds(self.mesh.playout);
        // From the newest chunk to the one that is played next.
        let span = match node.began {
            Some((chunk, round)) => {
                let next = chunk + (self.round + 1).saturating_sub(round + wanted);
                self.round.saturating_sub(next).min(FARTHEST) + 1
            }
            None => FARTHEST,
        } as u32;
        let mut wants: Vec<(usize, u32)> = Vec::new();
        for age in (0..span).filter(|age| node.have >> age & 1 == 0) {
            let has = |&&p: &&u32| self.nodes[p as usize].told >> age & 1 == 1;
            let holders = node.partners.iter().filter(has).count();
            if holders > 0 {
                wants.push((holders, span - age));
            }
        }
        if node.began.is_none() {
            // It begins with the newest that most of them have.
            let most = |w: &(usize, u32)| w.0 * 2 > node.partners.len();
            wants.sort_unstable_by_key(|w| core::cmp::Reverse((most(w), w.1)));
            wants.truncate(1);
        }
        wants.sort_unstable();
        (span, wants)
    }

    /// Everybody plays the chunk that is due.
    fn play(&mut self) {
        let wanted = rounds(self.mesh.playout);
        let chunk = ROUND.as_micros() as u64;
        for &at in &self.living {
            let node = &mut self.nodes[at as usize];
            let Some((first, began)) = node.began else { continue };
            let Some(played) = self.round.checked_sub(began + wanted) else { continue };
            let age = self.round.saturating_sub(first + played);
            if age < 128 && node.have >> age & 1 == 1 {
                if node.gap > 0 && self.measures {
                    self.summary.totals.gaps.add(node.gap * chunk);
                }
                node.gap = 0;
            } else if self.measures {
                node.gap += 1;
                self.summary.totals.missed += chunk;
            }
        }
    }
}

fn rounds(time: Duration) -> u64 {
    (time.as_micros() / ROUND.as_micros()) as u64
}

/// Who comes and goes while the chunks are exchanged.
enum Job {
    Arrive(u32),
    Depart(u32),
}

/// Lets a mesh serve a crowd.
pub fn play(mesh: &Mesh, crowd: Crowd, terms: Terms) -> Summary {
    let mut field = Field {
        mesh,
        crowd,
        nodes: Vec::new(),
        living: Vec::new(),
        place: Vec::new(),
        dice: Seeded::new(crowd.seed ^ 0x6d65_7368),
        summary: Summary::default(),
        farewells: Wheel::default(),
        round: 0,
        measures: false,
    };
    let mut queue = field.gather();
    field.warm_up();
    field.measures = true;
    let mut people = crowd.planned();
    for round in 0..rounds(crowd.lasts) {
        let begins = Instant::ZERO + ROUND * round as u32;
        while let Some((at, job)) = queue.pop(begins) {
            field.summary.happened += 1;
            match job {
                Job::Depart(node) => {
                    field.summary.remember(at, 2, node);
                    let person = field.nodes[node as usize].person;
                    field.leave(node, at);
                    if person.replaced {
                        queue.schedule(at, Job::Arrive(people));
                        people += 1;
                    }
                }
                Job::Arrive(n) => {
                    field.summary.remember(at, 1, n);
                    field.summary.arrivals += 1;
                    let person = crowd.person(n, at);
                    let node = field.join(person, at);
                    queue.schedule(person.leaves, Job::Depart(node));
                }
            }
        }
        while let Some((_, gone)) = field.farewells.pop(begins) {
            field.part(gone);
        }
        field.round += 1;
        field.exchange(begins);
        field.play();
        field.summary.happened += field.living.len() as u64;
    }
    field.finish(terms)
}

/// Before the watch, and after it.
impl Field<'_> {
    /// The source, and those who watch from the beginning; who is to come and go later.
    fn gather(&mut self) -> Wheel<Job> {
        let source = Person {
            slots: u16::MAX,
            lies: false,
            abrupt: false,
            leaves: Instant::FAR_FUTURE,
            replaced: false,
        };
        self.join(source, Instant::ZERO);
        let mut queue = Wheel::default();
        for n in 0..self.crowd.viewers {
            let person = self.crowd.person(n, Instant::ZERO);
            let node = self.join(person, Instant::ZERO);
            queue.schedule(person.leaves, Job::Depart(node));
        }
        for n in self.crowd.viewers..self.crowd.planned() {
            if let Some(at) = self.crowd.rush_of(n) {
                queue.schedule(at, Job::Arrive(n));
            }
        }
        queue
    }

    /// Chunks spread until everybody has some. Then players begin, with the distance to the source that their chunks have
    /// had.
    fn warm_up(&mut self) {
        for _ in 0..WARMING {
            self.round += 1;
            self.exchange(Instant::ZERO);
        }
        let now = self.round;
        for node in self.nodes.iter_mut().skip(1) {
            if node.began.is_some() {
                let newest = u64::from(node.have.trailing_zeros());
                node.began = Some((now.saturating_sub(newest), now));
            }
        }
    }

    fn finish(mut self, terms: Terms) -> Summary {
        let (living, round) = (self.living.clone(), self.round);
        for node in living.into_iter().filter(|&n| n != 0) {
            self.fold(node, round);
        }
        let mut summary = self.summary;
        summary.lasted = self.crowd.lasts;
        summary.rate = terms.rate;
        summary.packet = terms.packet;
        summary.depth = Histogram::default();
        summary.name = format!("mesh-pull, {} s buffer", self.mesh.playout.as_secs_f64());
        summary
    }
}
