//! Media as a flow: who is fed by whom, from when to when, and what players miss.
//!
//! No packet is ever moved. A node's reception is what its parent has, later by the path between them; a parent that breaks
//! off breaks off everything below it at the instants at which the last packets get there, and one that is fed again feeds
//! what is below. Either is worked through the subtree once, when it happens; while all is well nothing is done at all.
//!
//! The player of a node plays each packet a fixed time after it was sent, which is [`Terms::playout`] later than its first
//! packet came. What a break leaves out is missed, unless somebody replays it early enough. When a repair has sunk a
//! node so deep that everything comes too late, its player waits once and goes on from there.
//!
//! Single packets that paths lose are worked out in the mean, as the media plane mends them: whoever receives the next
//! packet asks its parent after a while, and again and again, and what comes in the end is passed on like any other packet,
//! however late. So a player misses what some path between the source and itself has lost and not brought again within the
//! time that *this* player leaves; those above, who wait for less or for more, are not asked.

use super::histogram::Histogram;
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cell::Cell;

/// The least time between two requests for the same packet, as `rtp::missing` has it.
const MIN_RETRY: Duration = Duration::from_millis(20);

/// Names one path that media take from a node to another.
pub type Leg = u32;

/// No leg.
pub const NO_LEG: Leg = Leg::MAX;

/// What the media are, and what is done about holes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// Octets a second, with RTP headers.
    pub rate: u64,
    /// Octets of a packet.
    pub packet: u64,
    /// How long after its first packet a player begins: the time within which a hole can be mended.
    pub playout: Duration,
    /// How far back a new parent can replay; nothing when there is no replay.
    pub ring: Duration,
    /// So many times faster than live does it replay; at least 2.
    pub pace: u64,
    /// The share of packets that every path loses.
    pub loss: f64,
    /// How often a lost packet is asked for again; never in a system that does not. Either a request or its answer is lost
    /// as any packet is; the next request follows a round trip and a half after the one before.
    pub nacks: u32,
    /// How long a packet may be overtaken before it counts as lost.
    pub tolerance: Duration,
    /// For how long a lost packet is asked for at all.
    pub persistence: Duration,
    /// How far nodes may see ahead while nothing is known to befall their path (see [`Media::last_media`]).
    pub foresight: Duration,
}

impl Terms {
    /// 2 Mbit/s in packets of seven transport packets, half a second of playout delay, 1 % loss, and no repair of anything.
    pub const fn plain() -> Self {
        Terms {
            rate: 250_000,
            packet: 1328,
            playout: Duration::from_millis(500),
            ring: Duration::ZERO,
            pace: 4,
            loss: 0.01,
            nacks: 0,
            tolerance: Duration::from_millis(15),
            persistence: Duration::from_millis(300),
            foresight: Duration::from_secs(4),
        }
    }

    /// The same, with lost packets asked for again, up to three times.
    pub const fn with_nacks(mut self) -> Self {
        self.nacks = 3;
        self
    }

    /// The same, with new parents that replay what was sent up to two seconds ago.
    pub const fn with_replay(mut self) -> Self {
        self.ring = Duration::from_secs(2);
        self
    }

    /// Between two packets.
    pub fn gap(&self) -> Duration {
        Duration::from_micros(self.packet * 1_000_000 / self.rate.max(1))
    }

    /// Packets in a second.
    pub fn packets_per_second(&self) -> f64 {
        self.rate as f64 / self.packet as f64
    }
}

/// What was measured. Times of media are in microseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Nodes that asked for the channel.
    pub viewers: u64,
    /// Those that left without having seen a packet.
    pub never_played: u64,
    /// What players had to play, from their first packet on.
    pub due: u64,
    /// What they missed in breaks.
    pub missed: u64,
    /// What they missed of single lost packets.
    pub scattered: f64,
    /// From asking to the first packet.
    pub startup: Histogram,
    /// How long each break left a player without packets to play.
    pub gaps: Histogram,
    /// How long nothing arrived in each break, whether the player noticed or not.
    pub silences: Histogram,
    /// What the source sent.
    pub by_source: u64,
    /// What all nodes sent.
    pub sent: u64,
    /// What arrived twice, or where nobody wanted it any more, or was sent to somebody who had gone without a word.
    pub wasted: u64,
    /// Of this, what arrived where somebody is: he had it from somebody else.
    pub twice: u64,
    /// Packets that were asked for again and sent again.
    pub mended: f64,
    /// Breaks that came earlier than a node had been told: what [`Terms::foresight`] gets wrong.
    pub surprises: u64,
}

impl Totals {
    /// The share of what players had to play that came in time.
    pub fn in_time(&self) -> f64 {
        if self.due == 0 { 0.0 } else { 1.0 - (self.missed as f64 + self.scattered) / self.due as f64 }
    }

    /// Breaks that players noticed, in an hour of watching.
    pub fn gaps_per_hour(&self) -> f64 {
        if self.due == 0 { 0.0 } else { self.gaps.len() as f64 * 3.6e9 / self.due as f64 }
    }

    /// Takes in another run, or another stripe of the same.
    pub fn merge(&mut self, other: &Totals) {
        self.viewers += other.viewers;
        self.never_played += other.never_played;
        self.due += other.due;
        self.missed += other.missed;
        self.scattered += other.scattered;
        self.startup.merge(&other.startup);
        self.gaps.merge(&other.gaps);
        self.silences.merge(&other.silences);
        self.by_source += other.by_source;
        self.sent += other.sent;
        self.wasted += other.wasted;
        self.twice += other.twice;
        self.mended += other.mended;
        self.surprises += other.surprises;
    }
}

/// The path from a parent to a child.
#[derive(Clone, Copy, Debug)]
struct Path {
    parent: u32,
    child: u32,
    delay: Duration,
    /// When the child can have its first packet.
    on: Instant,
    /// The parent sends, the child takes; free again when neither.
    sent: bool,
    taken: bool,
    /// A first packet has been told.
    flowing: bool,
    replays: bool,
    /// The last packet, once the parent has stopped.
    last: Option<Instant>,
    /// When the parent was last heard of otherwise.
    heard: Option<Instant>,
    /// Since when the child throws away what comes.
    unwanted: Option<Instant>,
    /// What the parent had sent when it began.
    begun: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Player {
    first: Instant,
    /// A packet is played so long after it was sent.
    offset: Duration,
}

#[derive(Debug)]
struct Reception {
    began: Instant,
    taken: Vec<Leg>,
    given: Vec<Leg>,
    feed: Leg,
    depth: u16,
    /// From the source to here.
    delay: Duration,
    /// Packets arrive from here to there, and did so before until then.
    from: Instant,
    until: Instant,
    before: Option<Instant>,
    /// When something above is going to break, as far as known; and when this node is.
    breaks: Instant,
    dies: Instant,
    /// It sends nothing to anybody.
    mute: bool,
    told: Cell<Instant>,
    received: Duration,
    player: Option<Player>,
    missed: Duration,
    /// The share of single packets that it misses, since when, and what came of it before, in microseconds.
    residue: f64,
    residue_since: Instant,
    scattered: f64,
}

impl Reception {
    const fn new(began: Instant) -> Self {
        Reception {
            began,
            taken: Vec::new(),
            given: Vec::new(),
            feed: NO_LEG,
            depth: 0,
            delay: Duration::ZERO,
            from: Instant::FAR_FUTURE,
            until: Instant::ZERO,
            before: None,
            breaks: Instant::FAR_FUTURE,
            dies: Instant::FAR_FUTURE,
            mute: false,
            told: Cell::new(Instant::ZERO),
            received: Duration::ZERO,
            player: None,
            missed: Duration::ZERO,
            residue: 0.0,
            residue_since: began,
            scattered: 0.0,
        }
    }

    fn is_fed(&self) -> bool {
        self.until == Instant::FAR_FUTURE
    }

    /// What was received up to `now`.
    fn received(&self, now: Instant) -> Duration {
        self.received + now.min(self.until).since(self.from)
    }

    fn settle_residue(&mut self, until: Instant) {
        self.scattered += self.residue * until.since(self.residue_since).as_micros() as f64;
        self.residue_since = until.max(self.residue_since);
    }

    /// The player misses this much of what was sent in one piece.
    fn miss(&mut self, missed: Duration, totals: &mut Totals) {
        if !missed.is_zero() {
            self.missed += missed;
            totals.gaps.add(missed.as_micros() as u64);
        }
    }

    /// If everything comes later than it would be played, the player waits once.
    fn wait_if_late(&mut self, playout: Duration, totals: &mut Totals) {
        let delay = self.delay;
        if let Some(player) = self.player.as_mut().filter(|p| p.offset < delay) {
            let wait = delay + playout - player.offset;
            player.offset += wait;
            // What would have been played meanwhile is played later: it is in nobody's way, but it was due.
            self.miss(wait, totals);
        }
    }
}

/// What happened to a node that those below it have to know.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// Nothing comes after this instant.
    Broken { last: Instant },
    /// Media flow again; what was missed meanwhile is replayed, or is not.
    Fed { replayed: bool },
    /// The path has changed without a pause, but a piece is lost.
    Moved { at: Instant, hole: Duration },
}

/// The reception of every node of one channel, or of one stripe of it.
pub struct Media {
    terms: Terms,
    nodes: Vec<Option<Box<Reception>>>,
    paths: Vec<Path>,
    free: Vec<Leg>,
    source: u32,
    /// Nodes that are nobody's home.
    servers: u32,
    /// In the order in which it happened: who was broken first and fed then is told so in this order.
    work: VecDeque<(u32, Change)>,
    firsts: Vec<(Instant, Leg)>,
    totals: Totals,
}

impl Media {
    /// A source, which sends from `now` on.
    pub fn new(terms: Terms, source: u32, now: Instant) -> Self {
        let mut media = Media {
            terms,
            nodes: Vec::new(),
            paths: Vec::new(),
            free: Vec::new(),
            source,
            servers: 0,
            work: VecDeque::new(),
            firsts: Vec::new(),
            totals: Totals::default(),
        };
        media.begin(source, now);
        if let Some(node) = media.node_mut(source) {
            node.from = now;
            node.until = Instant::FAR_FUTURE;
        }
        media
    }

    /// The same, with so many nodes behind the source that nobody watches.
    pub const fn with_servers(mut self, servers: u32) -> Self {
        self.servers = servers;
        self
    }

    /// The terms.
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// A node asks for the channel.
    pub fn begin(&mut self, node: u32, now: Instant) {
        let at = node as usize;
        if self.nodes.len() <= at {
            self.nodes.resize_with(at + 1, || None);
        }
        self.nodes[at] = Some(Box::new(Reception::new(now)));
    }

    /// When a node is going to break off, if that is known.
    pub fn foresee(&mut self, node: u32, dies: Instant) {
        if let Some(node) = self.node_mut(node) {
            node.dies = dies;
        }
    }

    /// This node will never send anything to its children.
    pub fn silence(&mut self, node: u32) {
        if let Some(node) = self.node_mut(node) {
            node.mute = true;
        }
    }

    // ---- paths

    /// A parent begins to send.
    pub fn open(&mut self, now: Instant, parent: u32, child: u32, delay: Duration) -> Leg {
        let begun = self.node(parent).map_or(Duration::ZERO, |p| p.received(now));
        let path = Path {
            parent,
            child,
            delay,
            on: now + delay,
            sent: self.node(parent).is_some(),
            taken: false,
            flowing: false,
            replays: false,
            last: None,
            heard: None,
            unwanted: None,
            begun,
        };
        let leg = match self.free.pop() {
            Some(leg) => {
                self.paths[leg as usize] = path;
                leg
            }
            None => {
                self.paths.push(path);
                (self.paths.len() - 1) as Leg
            }
        };
        if let Some(parent) = self.node_mut(parent) {
            parent.given.push(leg);
        }
        leg
    }

    /// The child takes what comes from now on, after a replay of what it misses if the parent can and is told to.
    pub fn take(&mut self, now: Instant, leg: Leg, replays: bool) {
        let path = &mut self.paths[leg as usize];
        path.taken = true;
        path.replays = replays;
        path.on = path.on.max(now);
        let child = path.child;
        let Some(node) = self.node_mut(child) else {
            self.paths[leg as usize].taken = false;
            return;
        };
        node.taken.push(leg);
        if node.feed == NO_LEG {
            node.feed = leg;
        }
        self.offer(leg, false);
        self.work_off();
    }

    /// A parent begins to send, and the child takes it as it comes.
    pub fn connect(
        &mut self,
        now: Instant,
        (parent, child): (u32, u32),
        delay: Duration,
        replays: bool,
    ) -> Leg {
        let leg = self.open(now, parent, child, delay);
        self.take(now, leg, replays);
        leg
    }

    /// The parent stops to send.
    pub fn close(&mut self, now: Instant, leg: Leg) {
        let path = self.paths[leg as usize];
        if !path.sent {
            return;
        }
        let last = now + path.delay;
        self.account(leg, now);
        let path = &mut self.paths[leg as usize];
        path.sent = false;
        path.last = Some(last);
        let (parent, child, taken) = (path.parent, path.child, path.taken);
        if let Some(parent) = self.node_mut(parent) {
            parent.given.retain(|&l| l != leg);
        }
        if taken {
            self.lose(child, leg, last);
            self.work_off();
        } else {
            self.free.push(leg);
        }
    }

    /// The child takes nothing more.
    pub fn drop_leg(&mut self, now: Instant, leg: Leg) {
        let path = &mut self.paths[leg as usize];
        if !path.taken {
            return;
        }
        path.taken = false;
        path.unwanted = Some(now);
        let (child, sent) = (path.child, path.sent);
        if let Some(child) = self.node_mut(child) {
            child.taken.retain(|&l| l != leg);
        }
        self.lose(child, leg, now);
        if let Some(child) = self.node_mut(child).filter(|c| c.feed == leg) {
            child.feed = child.taken.first().copied().unwrap_or(NO_LEG);
        }
        self.work_off();
        if !sent {
            self.free.push(leg);
        }
    }

    /// A node is gone, without a word to anybody.
    pub fn die(&mut self, now: Instant, node: u32) {
        let given = self.node(node).map(|n| n.given.clone()).unwrap_or_default();
        given.iter().for_each(|&leg| self.account(leg, now));
        self.fold(node, now);
        let Some(gone) = self.nodes.get_mut(node as usize).and_then(Option::take) else { return };
        for leg in given {
            let path = &mut self.paths[leg as usize];
            path.sent = false;
            path.last = Some(now + path.delay);
            let (child, taken, last) = (path.child, path.taken, now + path.delay);
            if taken {
                self.lose(child, leg, last);
            } else {
                self.free.push(leg);
            }
        }
        for leg in gone.taken {
            let path = &mut self.paths[leg as usize];
            path.taken = false;
            path.unwanted = Some(now);
            if !path.sent {
                self.free.push(leg);
            }
        }
        self.work_off();
    }

    /// The parent was heard of on this path.
    pub fn hear(&mut self, now: Instant, leg: Leg) {
        self.paths[leg as usize].heard = Some(now);
    }

    /// First packets that come on paths, and when; each path has one.
    pub fn take_firsts(&mut self) -> Vec<(Instant, Leg)> {
        core::mem::take(&mut self.firsts)
    }

    /// Whether any first packet waits to be taken.
    pub fn has_firsts(&self) -> bool {
        !self.firsts.is_empty()
    }

    // ---- looking

    /// When the last packet arrived at a node.
    ///
    /// With foresight it is the time of the last packet that is *going* to arrive before anything breaks that is foreseen, so
    /// that a timer which looks for silence need not look again before. When something else breaks the path, such a
    /// timer comes late; that is counted ([`Totals::surprises`]).
    pub fn last_media(&self, node: u32, now: Instant) -> Option<Instant> {
        let node = self.node(node)?;
        if now < node.from {
            return node.before;
        }
        let sight = now + self.terms.foresight;
        let last = node.until.min(node.breaks).min(sight).max(now.min(node.until));
        if node.is_fed() {
            node.told.set(node.told.get().max(last));
        }
        Some(last)
    }

    /// When a parent was last heard on a path.
    pub fn last_from(&self, leg: Leg, now: Instant) -> Option<Instant> {
        self.media_from(leg, now).max(self.paths[leg as usize].heard)
    }

    /// How many packets a parent could have sent on a path until its last one.
    pub fn brought(&self, leg: Leg, now: Instant) -> u64 {
        let last = self.media_from(leg, now).map_or(0, |last| last.min(now).as_micros());
        u128::from(last).checked_div(self.terms.gap().as_micros()).map_or(0, |packets| packets as u64)
    }

    /// When the last packet came on a path.
    pub fn media_from(&self, leg: Leg, now: Instant) -> Option<Instant> {
        let path = &self.paths[leg as usize];
        let media = match self.node(path.child) {
            Some(child) if child.feed == leg && child.from <= now && path.flowing => {
                self.last_media(path.child, now)
            }
            _ if !path.flowing => None,
            _ => match (path.last, self.node(path.parent)) {
                (Some(last), _) => Some(last.max(path.on)),
                (None, Some(parent)) => Some((parent.until.min(now) + path.delay).min(now).max(path.on)),
                (None, None) => Some(path.on),
            },
        };
        media.filter(|&m| m <= now || self.terms.foresight > Duration::ZERO)
    }

    /// Whether media flow to a node, as far as anything that has happened tells.
    pub fn is_fed(&self, node: u32) -> bool {
        self.node(node).is_some_and(Reception::is_fed)
    }

    /// Hops from the source; `None` while nothing flows.
    pub fn depth(&self, node: u32) -> Option<u16> {
        self.node(node).filter(|n| n.is_fed()).map(|n| n.depth)
    }

    /// Hops from the source, of a node to which media have flowed for a while.
    pub fn settled_depth(&self, node: u32, now: Instant) -> Option<u16> {
        let node = self.node(node)?;
        node.player.filter(|p| now.since(p.first) > Duration::from_secs(1)).map(|_| node.depth)
    }

    /// From the source to a node.
    pub fn delay(&self, node: u32) -> Option<Duration> {
        self.node(node).filter(|n| n.is_fed()).map(|n| n.delay)
    }

    /// Who sends on a path, and to whom.
    pub fn ends(&self, leg: Leg) -> (u32, u32) {
        let path = &self.paths[leg as usize];
        (path.parent, path.child)
    }

    /// How many paths lead away from a node.
    pub fn children(&self, node: u32) -> usize {
        self.node(node).map_or(0, |n| n.given.len())
    }

    /// The paths that a node sends on.
    pub fn given(&self, node: u32) -> &[Leg] {
        self.node(node).map_or(&[], |n| &n.given)
    }

    /// Who feeds a node, fed itself or not.
    pub fn parent(&self, node: u32) -> Option<u32> {
        let feed = self.node(node)?.feed;
        (feed != NO_LEG).then(|| self.paths[feed as usize].parent)
    }

    /// Whether `node` stands between `below` and the source.
    pub fn is_above(&self, node: u32, below: u32) -> bool {
        let mut at = below;
        for _ in 0..=self.nodes.len() {
            match self.parent(at) {
                Some(parent) if parent == node => return true,
                Some(parent) => at = parent,
                None => return false,
            }
        }
        true
    }

    // ---- the measurement

    /// Everything is as it would be had it always been so: paths get their delays from `delay`, players begin now, and what
    /// was measured is forgotten.
    pub fn restart(&mut self, now: Instant, mut delay: impl FnMut(u32, u32) -> Duration) {
        for path in &mut self.paths {
            path.delay = delay(path.parent, path.child);
            path.begun = Duration::ZERO;
        }
        self.totals = Totals::default();
        for node in self.nodes.iter_mut().flatten() {
            node.began = now;
            node.received = Duration::ZERO;
            node.player = None;
            node.missed = Duration::ZERO;
            node.scattered = 0.0;
            node.residue_since = now;
            if node.is_fed() {
                node.from = now;
                node.before = None;
            }
        }
        let mut work = Vec::from([self.source]);
        while let Some(at) = work.pop() {
            let Some(parent) = self.node(at) else { continue };
            for leg in parent.given.clone() {
                let child = self.paths[leg as usize].child;
                if self.node(child).is_some_and(|c| c.feed == leg && c.is_fed()) {
                    self.rest_on(child, leg);
                    let playout = self.terms.playout;
                    if let Some(child) = self.node_mut(child) {
                        child.player = Some(Player { first: now, offset: child.delay + playout });
                    }
                    work.push(child);
                }
            }
        }
    }

    /// Ends the measurement and tells it.
    pub fn finish(&mut self, now: Instant) -> Totals {
        for node in 0..self.nodes.len() as u32 {
            for leg in self.given(node).to_vec() {
                self.account(leg, now);
            }
        }
        for node in 0..self.nodes.len() as u32 {
            self.fold(node, now);
        }
        core::mem::take(&mut self.totals)
    }

    /// Adds what a node has seen to the whole.
    fn fold(&mut self, node: u32, now: Instant) {
        let terms = self.terms;
        let watches = node > self.source + self.servers;
        let Some(node) = self.nodes.get_mut(node as usize).and_then(Option::as_mut).filter(|_| watches)
        else {
            return;
        };
        self.totals.viewers += 1;
        let Some(player) = node.player else {
            self.totals.never_played += 1;
            return;
        };
        let due = now.since(player.first);
        if !node.is_fed() && now > node.until {
            let out = now.since(node.until.max(player.first));
            node.miss(out, &mut self.totals);
        }
        let end = now.min(node.until);
        node.settle_residue(end);
        self.totals.due += due.as_micros() as u64;
        self.totals.missed += node.missed.min(due).as_micros() as u64;
        self.totals.scattered += node.scattered;
        if terms.nacks > 0 {
            self.totals.mended += node.received(now).as_secs_f64() * terms.packets_per_second() * terms.loss;
        }
    }

    /// Counts what went over a path up to now.
    fn account(&mut self, leg: Leg, now: Instant) {
        let path = self.paths[leg as usize];
        let Some(parent) = self.node(path.parent).filter(|p| !p.mute && path.sent) else { return };
        let sent = parent.received(now).saturating_sub(path.begun).as_micros() as u64;
        let received = parent.received(now);
        self.totals.sent += sent;
        if path.parent == self.source {
            self.totals.by_source += sent;
        }
        // One that was never taken was answered too late.
        let unwanted = path.unwanted.or((!path.taken).then_some(Instant::ZERO));
        if let Some(since) = unwanted {
            let waste = (now + path.delay).since(since).as_micros() as u64;
            self.totals.wasted += waste.min(sent);
            if self.node(path.child).is_some() {
                self.totals.twice += waste.min(sent);
            }
        }
        self.paths[leg as usize].begun = received;
    }

    // ---- changes

    fn node(&self, node: u32) -> Option<&Reception> {
        self.nodes.get(node as usize)?.as_deref()
    }

    fn node_mut(&mut self, node: u32) -> Option<&mut Reception> {
        self.nodes.get_mut(node as usize)?.as_deref_mut()
    }

    /// Whether a child could be fed on this path.
    fn is_good(&self, leg: Leg) -> bool {
        let path = &self.paths[leg as usize];
        let fed = self.node(path.parent).is_some_and(|p| p.is_fed() && !p.mute);
        path.sent && path.taken && fed && path.parent != path.child && !self.is_above(path.child, path.parent)
    }

    /// A path may have become good.
    fn offer(&mut self, leg: Leg, replayed: bool) {
        let path = self.paths[leg as usize];
        let Some(parent) = self.node(path.parent).filter(|p| p.is_fed() && !p.mute) else { return };
        if !path.sent || !path.taken {
            return;
        }
        let first = (parent.from + path.delay).max(path.on);
        if !path.flowing {
            self.paths[leg as usize].flowing = true;
            self.paths[leg as usize].on = first;
            self.firsts.push((first, leg));
        }
        let starves = self.node(path.child).is_some_and(|c| !c.is_fed());
        if starves && self.is_good(leg) {
            let replayed = replayed || self.paths[leg as usize].replays;
            self.feed(path.child, leg, first, replayed);
        }
    }

    /// A node that had nothing is fed from `first` on.
    fn feed(&mut self, node: u32, leg: Leg, first: Instant, replayed: bool) {
        let terms = self.terms;
        let delay = self.paths[leg as usize].delay;
        let Some(above) = self.node(self.paths[leg as usize].parent).map(|p| p.delay) else { return };
        let Media { nodes, totals, .. } = self;
        let Some(child) = nodes.get_mut(node as usize).and_then(Option::as_mut) else { return };
        let live = above + delay;
        match child.player {
            None => {
                child.player = Some(Player { first, offset: live + terms.playout });
                totals.startup.add(first.since(child.began).as_micros() as u64);
            }
            Some(player) => {
                let silence = first.since(child.until);
                // What was sent between the last packet and the first one.
                let behind = (child.until - child.delay).as_micros();
                let hole = Duration::from_micros((first - live).as_micros().saturating_sub(behind));
                let back = if replayed { hole.min(terms.ring) } else { Duration::ZERO };
                // The n-th microsecond of the replay comes n / pace after its beginning.
                let latest = (first.as_micros() as i64)
                    - ((first - live - back).as_micros() as i64)
                    - (player.offset.as_micros() as i64);
                let pace = terms.pace.max(2);
                let late = (latest.max(0) as u64).saturating_mul(pace) / (pace - 1);
                child.miss(hole - back + back.min(Duration::from_micros(late)), totals);
                if !silence.is_zero() {
                    totals.silences.add(silence.as_micros() as u64);
                }
                child.before = Some(child.until);
            }
        }
        child.received += child.until.since(child.from);
        child.from = first;
        child.until = Instant::FAR_FUTURE;
        child.residue_since = first;
        self.rest_on(node, leg);
        self.work.push_back((node, Change::Fed { replayed }));
    }

    /// A node lives from this path now: its place follows from its parent's.
    fn rest_on(&mut self, node: u32, leg: Leg) {
        let path = self.paths[leg as usize];
        let terms = self.terms;
        let Some(parent) = self.node(path.parent) else { return };
        let (depth, delay) = (parent.depth.saturating_add(1), parent.delay + path.delay);
        let breaks = parent.breaks.min(parent.dies);
        let breaks = if breaks == Instant::FAR_FUTURE { breaks } else { breaks + path.delay };
        let Media { nodes, totals, .. } = self;
        let Some(child) = nodes.get_mut(node as usize).and_then(Option::as_mut) else { return };
        child.feed = leg;
        child.depth = depth;
        child.delay = delay;
        child.breaks = breaks;
        child.wait_if_late(terms.playout, totals);
        let slack = child.player.map_or(terms.playout, |p| p.offset - delay.min(p.offset));
        let residue = self.residue(leg, slack);
        if let Some(child) = self.node_mut(node) {
            child.residue = residue;
        }
    }

    /// The share of packets that somebody misses who is fed by this path and plays each packet so long after it could have
    /// come.
    fn residue(&self, leg: Leg, slack: Duration) -> f64 {
        let mut at = leg;
        let mut brought = 1.0;
        for _ in 0..self.nodes.len() {
            let Some(path) = self.paths.get(at as usize) else { break };
            brought *= 1.0 - unmended(&self.terms, path.delay, slack);
            let Some(parent) = self.node(path.parent).filter(|p| p.feed != NO_LEG) else { break };
            at = parent.feed;
        }
        1.0 - brought
    }

    /// A path ends with a last packet. Another one may do in its place.
    fn lose(&mut self, node: u32, leg: Leg, last: Instant) {
        let Some(child) = self.node(node).filter(|c| c.feed == leg && c.is_fed()) else { return };
        let others: Vec<Leg> = child.taken.iter().copied().filter(|&l| l != leg).collect();
        let delay = child.delay;
        let next = others.into_iter().filter(|&l| self.is_good(l)).min_by_key(|&l| self.paths[l as usize].on);
        if let Some(next) = next {
            let path = self.paths[next as usize];
            let above = self.node(path.parent).map_or(Duration::ZERO, |p| p.delay);
            if path.on <= last {
                // Both sent for a while.
                let twice = last.since(path.on.max(self.paths[leg as usize].on)).as_micros() as u64;
                self.totals.wasted += twice;
                self.totals.twice += twice;
                let behind = (last - delay).as_micros();
                let begins = (path.on - (above + path.delay)).as_micros();
                let hole = if path.replays { 0 } else { begins.saturating_sub(behind) };
                return self.shift(node, next, last, Duration::from_micros(hole));
            }
        }
        let Some(child) = self.node_mut(node) else { return };
        let last = last.max(child.from);
        child.until = last;
        child.settle_residue(last);
        let surprised = child.told.get() > last + Duration::from_millis(1);
        self.totals.surprises += u64::from(surprised);
        self.work.push_back((node, Change::Broken { last }));
        if let Some(next) = next {
            self.offer(next, false);
        }
    }

    /// A node goes on with another path, or with the same one at another place.
    fn shift(&mut self, node: u32, leg: Leg, at: Instant, hole: Duration) {
        let Media { nodes, totals, .. } = self;
        if let Some(child) = nodes.get_mut(node as usize).and_then(Option::as_mut) {
            child.settle_residue(at);
            child.miss(hole, totals);
        }
        self.rest_on(node, leg);
        self.work.push_back((node, Change::Moved { at, hole }));
    }

    /// Tells those below.
    fn work_off(&mut self) {
        while let Some((at, change)) = self.work.pop_front() {
            let Some(parent) = self.node(at) else { continue };
            for leg in parent.given.clone() {
                let path = self.paths[leg as usize];
                let lives = |c: &Reception| c.feed == leg && c.is_fed();
                match change {
                    Change::Fed { replayed } => self.offer(leg, replayed),
                    Change::Broken { last } => self.lose(path.child, leg, last + path.delay),
                    Change::Moved { at, hole } if self.node(path.child).is_some_and(lives) => {
                        self.shift(path.child, leg, at + path.delay, hole);
                    }
                    Change::Moved { .. } => {}
                }
            }
        }
    }
}

/// The share of packets that a path loses and that asking again does not mend within the slack.
fn unmended(terms: &Terms, delay: Duration, slack: Duration) -> f64 {
    let round = (delay * 2).max(Duration::from_millis(1));
    let retry = (round * 3 / 2).max(MIN_RETRY);
    // A request, or its answer.
    let fails = 1.0 - (1.0 - terms.loss) * (1.0 - terms.loss);
    let mut asked = terms.tolerance;
    let mut left = terms.loss;
    for _ in 0..terms.nacks {
        // The next packet shows the hole.
        if asked >= terms.persistence || terms.gap() + asked + round > slack {
            break;
        }
        left *= fails;
        asked += retry;
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn at(n: u64) -> Instant {
        Instant::from_millis(n)
    }

    /// A source 0 and a line of nodes below it, 30 ms from each other, that plays since the instant 0.
    fn line(terms: Terms, nodes: u32) -> (Media, Vec<Leg>) {
        let mut media = Media::new(terms, 0, Instant::ZERO);
        let mut legs = Vec::new();
        for node in 1..=nodes {
            media.begin(node, Instant::ZERO);
            legs.push(media.connect(Instant::ZERO, (node - 1, node), ms(30), true));
        }
        assert_eq!(media.take_firsts().len(), nodes as usize);
        (media, legs)
    }

    fn without_loss(terms: Terms) -> Terms {
        Terms { loss: 0.0, ..terms }
    }

    #[test]
    fn a_break_reaches_those_below_when_the_last_packets_do() {
        let (mut media, _) = line(without_loss(Terms::plain()), 3);
        assert_eq!(media.depth(3), Some(3));
        media.die(at(1000), 1);
        assert_eq!(media.last_media(2, at(2000)), Some(at(1030)));
        assert_eq!(media.last_media(3, at(2000)), Some(at(1060)));
        assert!(!media.is_fed(3));
    }

    #[test]
    fn without_a_replay_everybody_below_misses_what_was_sent_meanwhile() {
        let (mut media, legs) = line(without_loss(Terms::plain()), 3);
        media.die(at(1000), 1);
        media.drop_leg(at(1200), legs[1]);
        media.connect(at(1300), (0, 2), ms(30), true);
        // The last packet at 2 was sent at 970 and came at 1030, the next one was sent at 1300 and came at 1330.
        let totals = media.finish(at(3000));
        let missed = [330u64, 330].map(|n| n * 1000);
        assert_eq!(totals.missed, missed.iter().sum::<u64>());
        assert_eq!((totals.gaps.len(), totals.silences.len()), (2, 2));
        assert!(totals.silences.max() == 300_000, "{}", totals.silences.max());
    }

    #[test]
    fn a_replay_in_time_leaves_no_gap_and_one_too_late_only_a_part() {
        for (back_at, missed) in [(1300, 0), (1930, 400)] {
            let (mut media, legs) = line(without_loss(Terms::plain().with_replay()), 2);
            media.die(at(1000), 1);
            media.drop_leg(at(1200), legs[1]);
            media.connect(at(back_at), (0, 2), ms(30), true);
            // Sent at 970 it would have been played at 1530. Replayed from 1960 on at four times the pace, it is late until
            // what was sent 4/3 * 430 ms afterwards.
            let totals = media.finish(at(5000));
            let missed = missed * 1000 * 43 / 30;
            assert!(totals.missed.abs_diff(missed) < 1000, "{back_at}: {} {missed}", totals.missed);
        }
    }

    #[test]
    fn a_second_parent_takes_over_without_a_pause() {
        let (mut media, legs) = line(without_loss(Terms::plain()), 3);
        media.begin(4, Instant::ZERO);
        media.connect(Instant::ZERO, (0, 4), ms(90), false);
        media.connect(at(500), (4, 2), ms(90), false);
        media.die(at(1000), 1);
        media.close(at(1000), legs[0]);
        media.drop_leg(at(1100), legs[1]);
        assert_eq!((media.parent(2), media.depth(3)), (Some(4), Some(3)));
        assert_eq!(media.last_media(3, at(2000)).map(|t| t >= at(2000)), Some(true));
        let totals = media.finish(at(3000));
        assert_eq!((totals.missed, totals.silences.len()), (0, 0));
        // Both sent from 590 to 1030, and what was on its way to the dead arrived nowhere.
        assert_eq!(totals.wasted, 470_000);
    }

    #[test]
    fn whoever_moves_nearer_to_the_source_at_once_loses_the_difference_unless_it_is_replayed() {
        for (replays, missed) in [(false, 60), (true, 0)] {
            let (mut media, legs) = line(without_loss(Terms::plain().with_replay()), 3);
            media.connect(at(1000), (0, 3), ms(30), replays);
            media.drop_leg(at(1030), legs[2]);
            let totals = media.finish(at(3000));
            assert_eq!(totals.missed, missed * 1000);
        }
    }

    #[test]
    fn nodes_that_feed_each_other_starve() {
        let (mut media, legs) = line(Terms::plain(), 3);
        media.connect(at(500), (3, 1), ms(30), false);
        media.close(at(1000), legs[0]);
        assert!([1, 2, 3].iter().all(|&n| !media.is_fed(n)));
        assert_eq!(media.last_media(3, at(9000)), Some(at(1090)));
    }

    #[test]
    fn a_player_to_which_everything_comes_too_late_waits_once() {
        let (mut media, legs) = line(without_loss(Terms::plain()), 2);
        media.connect(at(1000), (0, 2), ms(700), false);
        media.drop_leg(at(2000), legs[1]);
        let totals = media.finish(at(10_000));
        assert_eq!((totals.gaps.len(), totals.missed), (1, (700 + 500 - 560) * 1000));
    }

    #[test]
    fn packets_that_are_asked_for_again_are_missed_where_the_deadline_does_not_allow_it() {
        let left = |delay, slack| unmended(&Terms::plain().with_nacks(), ms(delay), ms(slack));
        // A request or its answer is lost, and so are two and three of them.
        let fails: f64 = 1.0 - 0.99 * 0.99;
        for (delay, slack, requests) in
            [(30, 500, 3), (60, 500, 2), (100, 500, 1), (200, 500, 1), (30, 80, 0)]
        {
            let expected = 0.01 * fails.powi(requests);
            assert!((left(delay, slack) - expected).abs() < 1e-12, "{delay} {slack}: {}", left(delay, slack));
        }
        assert_eq!(unmended(&Terms::plain(), ms(30), ms(500)), 0.01);
        let (mut media, _) = line(Terms::plain(), 10);
        let totals = media.finish(at(100_000));
        let expected = (1..=10).map(|d| 1.0 - 0.99f64.powi(d)).sum::<f64>() / 10.0;
        assert!((totals.scattered / totals.due as f64 - expected).abs() < 1e-3);
    }

    #[test]
    fn what_came_too_late_for_a_player_is_passed_on_and_may_be_in_time_below() {
        // 1 plays, sinks by 460 ms, and goes on with a slack of 40 ms, which leaves no time to mend anything.
        let mut media = Media::new(Terms::plain().with_nacks(), 0, Instant::ZERO);
        media.begin(1, Instant::ZERO);
        let near = media.connect(Instant::ZERO, (0, 1), ms(10), false);
        media.begin(2, Instant::ZERO);
        media.connect(Instant::ZERO, (0, 2), ms(440), false);
        media.connect(at(1000), (2, 1), ms(30), false);
        media.drop_leg(at(2000), near);
        // 3 begins below it and waits for half a second of its own.
        media.begin(3, at(3000));
        media.connect(at(3000), (1, 3), ms(30), false);
        let residue = |n: u32| media.node(n).map_or(0.0, |n| n.residue);
        let far = 0.01;
        assert!((residue(1) - (1.0 - 0.99 * 0.99)).abs() < 1e-9, "{}", residue(1));
        assert!((residue(3) - far).abs() < 1e-5, "{}", residue(3));
    }

    #[test]
    fn what_is_foreseen_is_not_promised() {
        let (mut media, legs) = line(Terms::plain(), 2);
        media.foresee(1, at(2500));
        media.begin(3, at(1000));
        media.connect(at(1000), (2, 3), ms(30), false);
        media.drop_leg(at(1000), legs[1]);
        media.connect(at(1000), (1, 2), ms(30), true);
        assert_eq!(media.last_media(2, at(1100)), Some(at(2530)));
        assert_eq!(media.last_media(3, at(1100)), Some(at(2560)));
        media.die(at(2500), 1);
        assert_eq!(media.last_media(3, at(3000)), Some(at(2560)));
        assert_eq!(media.finish(at(3000)).surprises, 0);
    }
}
