//! What systems that push media along trees have in common: people come, look for a parent in each stripe, and look again
//! when it is gone.

use crate::env::{Entropy, Seeded};
use crate::sim::flow::crowd::{Crowd, Person};
use crate::sim::flow::media::{Leg, Media, Terms};
use crate::sim::flow::sizes;
use crate::sim::flow::summary::{Control, Summary};
use crate::sim::flow::wheel::Wheel;
use crate::sim::flow::{SOURCE, underlay};
use crate::sim::underlay::{Conditions, happens};
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

/// What a system does for somebody who looks for a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// It names one with a free slot, and this is how long it takes until that one begins to send.
    Parent(u32, Duration),
    /// There is none now; try again after so long.
    Wait(Duration),
    /// There is none, and there will be none.
    Never,
}

/// A system that pushes media along trees.
pub trait Rival {
    /// Its name in tables.
    fn name(&self) -> &'static str;

    /// Into how many trees the channel is cut.
    fn stripes(&self) -> usize {
        1
    }

    /// Machines that are nobody's home, besides the source.
    fn servers(&self) -> u32 {
        0
    }

    /// How many children a node serves in a stripe.
    fn slots(&self, node: u32, person: &Person, stripe: usize) -> u32;

    /// Before anybody comes: servers find their places.
    fn prepare(&mut self, _grove: &mut Grove) {}

    /// Whom `node` gets as a parent in a stripe. `repairs` when it has had one before.
    fn ask(&mut self, grove: &mut Grove, node: u32, stripe: usize, repairs: bool) -> Ask;

    /// Octets of control that every viewer costs in a second beyond reception reports, and how many of them the source, or
    /// the server in its place, sends.
    fn upkeep(&self) -> (f64, f64) {
        (0.0, 0.0)
    }
}

/// How soon the silence of a parent is noticed: what the policy of this crate needs, give or take.
const NOTICE: Duration = Duration::from_millis(120);
/// How long somebody who leaves by plan goes on sending, so that the children can move.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long a parent may send nothing at all before it counts as a liar, and is struck off everywhere.
const COMPLAINT: Duration = Duration::from_secs(1);
/// How soon a parent notices that a child is gone, and its slot is free again.
const CHILD_SILENCE: Duration = Duration::from_millis(3_500);

enum Job {
    Arrive(u32),
    Depart(u32),
    Seek(u32, usize, bool),
    Connect(u32, usize, u32),
    Lost(u32, usize, Leg),
    Gone(u32),
    Dropped { child: u32, stripe: usize, leg: Leg },
    Freed { parent: u32, child: u32, stripe: usize, leg: Leg },
}

struct Member {
    person: Person,
    left: Vec<u32>,
    leaving: bool,
    parents: Vec<Option<Leg>>,
    /// Where it stands in the roster.
    place: usize,
}

/// The trees and the people in them.
pub struct Grove {
    /// Who watches.
    pub crowd: Crowd,
    conditions: Conditions,
    /// The time.
    pub now: Instant,
    begins: Instant,
    quick: bool,
    queue: Wheel<Job>,
    media: Vec<Media>,
    members: Vec<Option<Box<Member>>>,
    roster: Vec<u32>,
    /// Who has free slots, by stripe: depth as it was when it was filed, and who.
    open: Vec<BTreeSet<(u16, u32)>>,
    first_viewer: u32,
    people: u32,
    /// Randomness.
    pub dice: Seeded,
    /// What is measured.
    pub summary: Summary,
}

impl Grove {
    fn new(crowd: Crowd, terms: Terms, rival: &impl Rival) -> Self {
        let now = Instant::from_millis(1000);
        let stripes = rival.stripes();
        let terms = Terms { rate: terms.rate / stripes as u64, foresight: Duration::ZERO, ..terms };
        let mut grove = Grove {
            conditions: underlay(),
            now,
            begins: now,
            quick: true,
            queue: Wheel::default(),
            media: (0..stripes)
                .map(|_| Media::new(terms, SOURCE, now).with_servers(rival.servers()))
                .collect(),
            members: Vec::new(),
            roster: Vec::new(),
            open: (0..stripes).map(|_| BTreeSet::new()).collect(),
            first_viewer: 1 + rival.servers(),
            people: crowd.planned(),
            dice: Seeded::new(crowd.seed ^ 0x0067_726f_7665),
            summary: Summary::default(),
            crowd,
        };
        let nobody = Person {
            slots: u16::MAX,
            lies: false,
            abrupt: false,
            leaves: Instant::FAR_FUTURE,
            replaced: false,
        };
        for server in 0..grove.first_viewer {
            grove.enroll(server, nobody, rival);
        }
        grove
    }

    fn enroll(&mut self, node: u32, person: Person, rival: &impl Rival) {
        let stripes = self.media.len();
        let left: Vec<u32> = (0..stripes).map(|s| rival.slots(node, &person, s)).collect();
        let at = node as usize;
        if self.members.len() <= at {
            self.members.resize_with(at + 1, || None);
        }
        for (stripe, &free) in left.iter().enumerate() {
            if node != SOURCE {
                self.media[stripe].begin(node, self.now);
            }
            if person.lies {
                self.media[stripe].silence(node);
            }
            if free > 0 && node == SOURCE {
                self.open[stripe].insert((0, node));
            }
        }
        let place = self.roster.len();
        if node >= self.first_viewer {
            self.roster.push(node);
        }
        self.members[at] = Some(Box::new(Member {
            person,
            left,
            leaving: false,
            parents: (0..stripes).map(|_| None).collect(),
            place,
        }));
    }

    // ---- what rivals may see

    /// One way, as messages travel: lost ones are sent again.
    pub fn transit(&mut self, a: u32, b: u32) -> Duration {
        if self.quick {
            return Duration::ZERO;
        }
        let path = self.conditions.latency.between(a, b, self.crowd.seed);
        let mut time = path + self.conditions.queueing(&mut self.dice);
        while happens(self.conditions.loss, &mut self.dice) {
            time += (path * 2).max(Duration::from_millis(200));
        }
        time
    }

    /// One way, without jitter and loss.
    pub fn distance(&self, a: u32, b: u32) -> Duration {
        if self.quick { Duration::ZERO } else { self.conditions.latency.between(a, b, self.crowd.seed) }
    }

    /// A request and its answer, after a handshake of two round trips if the two have not met.
    pub fn request(&mut self, a: u32, b: u32, strangers: bool) -> Duration {
        let rounds = if strangers { 3 } else { 1 };
        (0..rounds).map(|_| self.transit(a, b) + self.transit(b, a)).sum()
    }

    /// A lookup in a DHT of all viewers, and its answer.
    pub fn lookup(&mut self) -> Duration {
        let nodes = (self.roster.len() as u32).max(2);
        let hops = (u32::BITS - nodes.leading_zeros()).div_ceil(2);
        self.count(Control::Overlay, sizes::LOOKUP_HOP * u64::from(hops), false);
        let mut time = Duration::ZERO;
        for _ in 0..hops {
            let (a, b) = (self.dice.next_u64() as u32, self.dice.next_u64() as u32);
            time += self.transit(a, b) + self.transit(b, a);
        }
        time
    }

    /// Octets of control; none are counted before the watch begins.
    pub fn count(&mut self, control: Control, octets: u64, of_source: bool) {
        if !self.quick {
            self.summary.count(control, octets, of_source);
        }
    }

    /// Whether it could be a parent of `child` in a stripe now, as it would find out itself.
    pub fn would_do(&self, parent: u32, child: u32, stripe: usize) -> bool {
        let media = &self.media[stripe];
        let free =
            self.members.get(parent as usize).and_then(Option::as_ref).is_some_and(|m| m.left[stripe] > 0);
        free && parent != child && media.is_fed(parent) && !media.is_above(child, parent)
    }

    /// Hops from the source in a stripe.
    pub fn depth(&self, node: u32, stripe: usize) -> Option<u16> {
        self.media[stripe].depth(node)
    }

    /// Whether a node has anything to give in a stripe.
    pub fn gives(&self, node: u32, stripe: usize) -> bool {
        self.members.get(node as usize).and_then(Option::as_ref).is_some_and(|m| m.left[stripe] > 0)
    }

    /// The node with a free slot that is nearest to the source and would do for `child`. Who has nothing to give in the stripe
    /// takes none of the source's slots while there are others: it would stand in the way of those who have.
    pub fn shallowest(&mut self, child: u32, stripe: usize) -> Option<u32> {
        let found = self.shallowest_but(child, stripe, !self.gives(child, stripe));
        found.or_else(|| self.shallowest_but(child, stripe, false))
    }

    fn shallowest_but(&mut self, child: u32, stripe: usize, spares_source: bool) -> Option<u32> {
        loop {
            let mut stale = None;
            let mut found = None;
            for &(depth, node) in &self.open[stripe] {
                let free = self.members.get(node as usize).and_then(Option::as_ref);
                if free.is_none_or(|m| m.left[stripe] == 0) {
                    stale = Some((depth, node, None));
                    break;
                }
                match self.media[stripe].depth(node) {
                    Some(now) if now != depth => {
                        stale = Some((depth, node, Some(now)));
                        break;
                    }
                    Some(0) if spares_source => {}
                    Some(_) if self.would_do(node, child, stripe) => {
                        found = Some(node);
                        break;
                    }
                    _ => {}
                }
            }
            match stale {
                None => return found,
                Some((depth, node, right)) => {
                    self.open[stripe].remove(&(depth, node));
                    if let Some(right) = right {
                        self.open[stripe].insert((right, node));
                    }
                }
            }
        }
    }

    /// Any viewer.
    pub fn anybody(&mut self) -> Option<u32> {
        let at = self.dice.below(self.roster.len() as u64) as usize;
        self.roster.get(at).copied()
    }

    /// How many viewers there are.
    pub fn population(&self) -> usize {
        self.roster.len()
    }

    /// Puts a server into its place, before anybody comes.
    pub fn attach(&mut self, node: u32, parent: u32, stripe: usize) {
        self.reserve(parent, stripe);
        self.connect(node, stripe, parent);
    }

    // ---- inside

    fn reserve(&mut self, parent: u32, stripe: usize) {
        if let Some(member) = self.members.get_mut(parent as usize).and_then(Option::as_mut) {
            member.left[stripe] = member.left[stripe].saturating_sub(1);
        }
    }

    fn give_back(&mut self, parent: u32, stripe: usize) {
        let Some(member) =
            self.members.get_mut(parent as usize).and_then(Option::as_mut).filter(|m| !m.leaving)
        else {
            return;
        };
        member.left[stripe] = member.left[stripe].saturating_add(1);
        let depth = self.media[stripe].depth(parent).unwrap_or(0);
        self.open[stripe].insert((depth, parent));
    }

    fn connect(&mut self, node: u32, stripe: usize, parent: u32) -> bool {
        let media = &mut self.media[stripe];
        if !media.is_fed(parent) || media.is_above(node, parent) {
            return false;
        }
        let path = self.conditions.latency.between(parent, node, self.crowd.seed);
        let delay = if self.quick { Duration::ZERO } else { path };
        // The request has travelled: what is sent from now on is on its way.
        let leg = media.connect(self.now, (parent, node), delay, true);
        media.take_firsts();
        let depth = media.depth(node);
        let Some(member) = self.members[node as usize].as_mut() else { return false };
        if let Some(old) = member.parents[stripe].replace(leg) {
            let old = Job::Dropped { child: node, stripe, leg: old };
            self.queue.schedule(self.now + delay, old);
        }
        if let Some(depth) = depth.filter(|_| member.left[stripe] > 0) {
            self.open[stripe].insert((depth, node));
        }
        true
    }

    fn seek(&mut self, rival: &mut impl Rival, node: u32, stripe: usize, repairs: bool) {
        let Some(member) = self.members.get(node as usize).and_then(Option::as_ref) else { return };
        if let Some(leg) = member.parents[stripe] {
            let (parent, _) = self.media[stripe].ends(leg);
            let parent = self.members.get(parent as usize).and_then(Option::as_ref);
            if parent.is_some_and(|p| !p.leaving) {
                return;
            }
        }
        match rival.ask(self, node, stripe, repairs) {
            Ask::Parent(parent, after) => {
                self.reserve(parent, stripe);
                if self.quick {
                    self.arrived(node, stripe, parent);
                } else {
                    self.queue.schedule(self.now + after, Job::Connect(node, stripe, parent));
                }
            }
            Ask::Wait(_) if self.quick => {}
            Ask::Wait(time) => {
                self.summary.unavailable += 1;
                self.queue.schedule(self.now + time, Job::Seek(node, stripe, repairs));
            }
            Ask::Never => self.summary.rejected += 1,
        }
    }

    fn arrived(&mut self, node: u32, stripe: usize, parent: u32) {
        let here = self.members.get(node as usize).is_some_and(Option::is_some);
        if !here || !self.connect(node, stripe, parent) {
            self.give_back(parent, stripe);
            if here && !self.quick {
                // Lost on the way: it hears nothing, and asks again.
                self.queue.schedule(self.now + NOTICE, Job::Seek(node, stripe, true));
            }
            return;
        }
        if parent == SOURCE && !self.quick {
            self.summary.joins_at_source += 1;
        }
        let lies = self.members[parent as usize].as_ref().is_some_and(|p| p.person.lies);
        let leg = self.members[node as usize].as_ref().and_then(|m| m.parents[stripe]);
        if let Some(leg) = leg.filter(|_| lies) {
            // Nothing comes. After a while it complains, is believed, and looks further.
            self.queue.schedule(self.now + COMPLAINT, Job::Lost(node, stripe, leg));
        }
    }

    fn depart(&mut self, node: u32) {
        let Some(member) = self.members[node as usize].as_mut() else { return };
        self.summary.departures += 1;
        if member.person.abrupt {
            return self.gone(node);
        }
        // Nobody new, and those who are there are told to move.
        member.leaving = true;
        member.left.iter_mut().for_each(|left| *left = 0);
        let mut has_children = false;
        for stripe in 0..self.media.len() {
            for leg in self.media[stripe].given(node).to_vec() {
                let (_, child) = self.media[stripe].ends(leg);
                let path = self.conditions.latency.between(node, child, self.crowd.seed);
                self.queue.schedule(self.now + path, Job::Seek(child, stripe, true));
                has_children = true;
            }
        }
        let wait = if has_children { FAREWELL } else { Duration::ZERO };
        self.queue.schedule(self.now + wait, Job::Gone(node));
    }

    fn gone(&mut self, node: u32) {
        let Some(member) = self.members[node as usize].take() else { return };
        let person = member.person;
        self.roster.swap_remove(member.place);
        if let Some(&moved) = self.roster.get(member.place)
            && let Some(moved) = self.members[moved as usize].as_mut()
        {
            moved.place = member.place;
        }
        for stripe in 0..self.media.len() {
            for leg in self.media[stripe].given(node).to_vec() {
                let (_, child) = self.media[stripe].ends(leg);
                let path = self.conditions.latency.between(node, child, self.crowd.seed);
                let notice = if person.abrupt { NOTICE } else { Duration::ZERO };
                self.queue.schedule(self.now + path + notice, Job::Lost(child, stripe, leg));
            }
            if let Some(leg) = member.parents[stripe] {
                let (parent, _) = self.media[stripe].ends(leg);
                let path = self.conditions.latency.between(node, parent, self.crowd.seed);
                let wait = if person.abrupt { CHILD_SILENCE } else { path };
                self.queue.schedule(self.now + wait, Job::Freed { parent, child: node, stripe, leg });
            }
            self.media[stripe].die(self.now, node);
            self.media[stripe].take_firsts();
        }
        if person.replaced {
            let n = self.people;
            self.people += 1;
            self.queue.schedule(self.now, Job::Arrive(n));
        }
    }

    fn arrive(&mut self, rival: &mut impl Rival, n: u32) {
        let node = self.first_viewer + n;
        let person = self.crowd.person(n, Instant::ZERO + self.now.since(self.begins));
        self.enroll(node, person, rival);
        self.summary.arrivals += 1;
        self.plan_departure(node);
        for stripe in 0..self.media.len() {
            self.seek(rival, node, stripe, false);
        }
    }

    fn plan_departure(&mut self, node: u32) {
        let Some(member) = self.members.get_mut(node as usize).and_then(Option::as_mut) else { return };
        if member.person.leaves < Instant::FAR_FUTURE {
            let leaves = self.begins + member.person.leaves.since(Instant::ZERO);
            self.queue.schedule(leaves, Job::Depart(node));
        }
    }

    fn begin(&mut self) {
        self.quick = false;
        self.begins = self.now;
        let Grove { media, conditions, crowd, .. } = self;
        for media in media {
            media.restart(self.now, |a, b| conditions.latency.between(a, b, crowd.seed));
        }
        for node in self.first_viewer..self.members.len() as u32 {
            self.plan_departure(node);
        }
        for n in 0..self.crowd.planned() {
            if let Some(at) = self.crowd.rush_of(n) {
                self.queue.schedule(self.begins + at.since(Instant::ZERO), Job::Arrive(n));
            }
        }
        // Who found no place goes on to look for one.
        for node in self.roster.clone() {
            for stripe in 0..self.media.len() {
                let phase = Duration::from_micros(self.dice.below(1_000_000));
                self.queue.schedule(self.now + phase, Job::Seek(node, stripe, false));
            }
        }
    }
}

/// Lets a system serve a crowd.
pub fn play(rival: &mut impl Rival, crowd: Crowd, terms: Terms) -> Summary {
    let mut grove = Grove::new(crowd, terms, rival);
    rival.prepare(&mut grove);
    for n in 0..crowd.viewers {
        let person = crowd.person(n, Instant::ZERO);
        grove.enroll(grove.first_viewer + n, person, rival);
    }
    // Those first who have something to give.
    for gives in [true, false] {
        for node in grove.first_viewer..grove.first_viewer + crowd.viewers {
            for stripe in 0..rival.stripes() {
                if grove.gives(node, stripe) == gives {
                    grove.seek(rival, node, stripe, false);
                }
            }
        }
    }
    grove.begin();
    let end = grove.begins + crowd.lasts;
    while let Some((at, job)) = grove.queue.pop(end) {
        grove.now = grove.now.max(at);
        grove.step(rival, job);
    }
    grove.now = end;
    grove.finish(rival, terms)
}

impl Grove {
    /// What has happened goes to whoever deals with it.
    fn step(&mut self, rival: &mut impl Rival, job: Job) {
        self.summary.happened += 1;
        let (kind, who) = match job {
            Job::Arrive(n) => (1, n),
            Job::Depart(n) => (2, n),
            Job::Seek(n, ..) => (3, n),
            Job::Connect(n, ..) => (4, n),
            Job::Lost(n, ..) => (5, n),
            Job::Freed { parent, .. } => (6, parent),
            Job::Gone(n) => (7, n),
            Job::Dropped { child, .. } => (8, child),
        };
        self.summary.remember(self.now, kind, who);
        match job {
            Job::Arrive(n) => self.arrive(rival, n),
            Job::Depart(node) => self.depart(node),
            Job::Seek(node, stripe, repairs) => self.seek(rival, node, stripe, repairs),
            Job::Connect(node, stripe, parent) => self.arrived(node, stripe, parent),
            Job::Lost(node, stripe, leg) => self.lost(rival, node, stripe, leg),
            Job::Gone(node) => self.gone(node),
            Job::Dropped { child, stripe, leg } => self.dropped(child, stripe, leg),
            Job::Freed { parent, child, stripe, leg } => self.freed((parent, child), stripe, leg),
        }
    }

    /// A child has noticed that its parent sends nothing.
    fn lost(&mut self, rival: &mut impl Rival, node: u32, stripe: usize, leg: Leg) {
        let member = self.members.get_mut(node as usize).and_then(Option::as_mut);
        let Some(member) = member.filter(|m| m.parents[stripe] == Some(leg)) else { return };
        member.parents[stripe] = None;
        self.summary.orphaned += 1;
        let (parent, _) = self.media[stripe].ends(leg);
        self.media[stripe].drop_leg(self.now, leg);
        self.strike_off_if_it_lies(parent);
        self.media[stripe].take_firsts();
        self.seek(rival, node, stripe, true);
    }

    /// A parent's slot is free, unless one of the two has gone meanwhile.
    fn dropped(&mut self, child: u32, stripe: usize, leg: Leg) {
        let media = &mut self.media[stripe];
        let (parent, taker) = media.ends(leg);
        if taker == child {
            media.drop_leg(self.now, leg);
            media.close(self.now, leg);
            media.take_firsts();
            self.give_back(parent, stripe);
        }
    }

    /// A parent has noticed that its child is gone, unless it is gone as well.
    fn freed(&mut self, (parent, child): (u32, u32), stripe: usize, leg: Leg) {
        if self.media[stripe].ends(leg) == (parent, child) {
            self.media[stripe].close(self.now, leg);
            self.give_back(parent, stripe);
        }
    }

    fn strike_off_if_it_lies(&mut self, parent: u32) {
        let parent = self.members.get_mut(parent as usize).and_then(Option::as_mut);
        if let Some(liar) = parent.filter(|p| p.person.lies) {
            liar.leaving = true;
            liar.left.iter_mut().for_each(|left| *left = 0);
        }
    }

    fn finish(mut self, rival: &impl Rival, terms: Terms) -> Summary {
        let mut summary = core::mem::take(&mut self.summary);
        let stripes = self.media.len() as u64;
        let lasted = self.now.since(self.begins);
        let mut by_servers = 0;
        for media in &mut self.media {
            for node in self.first_viewer..self.members.len() as u32 {
                if let Some(depth) = media.depth(node) {
                    summary.depth.add(u64::from(depth));
                }
            }
            for server in 1..self.first_viewer {
                by_servers += media.children(server) as u64;
            }
            summary.totals.merge(&media.finish(self.now));
        }
        // Each stripe has counted everybody, and an n-th of what is to be played.
        let totals = &mut summary.totals;
        totals.scattered /= stripes as f64;
        for part in [
            &mut totals.viewers,
            &mut totals.never_played,
            &mut totals.due,
            &mut totals.missed,
            &mut totals.by_source,
            &mut totals.sent,
            &mut totals.wasted,
        ] {
            *part /= stripes;
        }
        summary.lasted = lasted;
        summary.rate = terms.rate;
        summary.packet = terms.packet;
        summary.by_servers = (summary.octets(lasted.as_micros() as u64) * by_servers as f64) as u64;
        summary.name = String::from(rival.name());
        summary.count_media_control(&terms);
        let (upkeep, of_server) = rival.upkeep();
        let seconds = lasted.as_secs_f64() * self.roster.len() as f64;
        summary.count(Control::Reports, ((upkeep - of_server) * seconds) as u64, false);
        summary.count(Control::Reports, (of_server * seconds) as u64, true);
        summary
    }
}
