//! A village of policies on one virtual clock: calls are delivered after a delay, media flows along the calls that are up.
//!
//! | file | what |
//! | --- | --- |
//! | `mod` | [`World`]: who lives there, what can befall them, what can be asked |
//! | `jobs` | the clock, and what is under way |
//! | `orders` | what policies order, carried out |
//! | `media` | a packet runs down the tree |
//! | `laws` | what is checked at every step |
//! | `solo` | [`Solo`]: one policy without a village |

mod jobs;
mod laws;
mod media;
mod orders;
mod solo;

pub(crate) use media::TICK;
pub(crate) use solo::{Solo, called, has, placed, selected};

use jobs::Job;
use media::Media;
use p2piptv::env::{Entropy, Seeded};
use p2piptv::ids::{CallId, ChannelId};
use p2piptv::iptv::{
    ByeReason, ChannelStatus, Config, Context, Event, Fact, Hold, Iptv, Mode, Pace, Profile, Progress, Report,
};
use p2piptv::time::{Duration, Instant};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

pub(crate) const CHANNEL: ChannelId = ChannelId(100);
pub(crate) const SOURCE: u32 = 0;

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) fn default(capacity: u16) -> Config {
    Config::new(Profile::Default, capacity)
}

/// The same where relayers elect.
pub(crate) fn delegated(capacity: u16) -> Config {
    Config { mode: Mode::Delegated, ..default(capacity) }
}

/// One end of a call, by the call's number at that end.
#[derive(Clone, Copy)]
struct Leg {
    session: usize,
    caller: bool,
}

struct Session {
    channel: ChannelId,
    media: bool,
    standby: bool,
    /// The caller wants media, and has not seen any yet.
    wanted: bool,
    /// The callee sends media.
    flows: bool,
    caller: (u32, CallId),
    callee: (u32, Option<CallId>),
    /// Accepted by the callee and not ended there.
    serving: bool,
    /// Answered at the caller and not ended there.
    taking: bool,
    settled: bool,
    first_packet: bool,
}

pub(crate) struct Peer {
    pub(crate) iptv: Iptv<u32>,
    entropy: Seeded,
    media: Media,
    pub(crate) alive: bool,
    /// Frozen until then: neither timers nor messages are handled.
    stalled: Option<Instant>,
    died: Instant,
    legs: BTreeMap<CallId, Leg>,
    received: u32,
    registered_once: BTreeSet<ChannelId>,
    /// Orders that it gave, by kind, since the last look; standbys do not count.
    pub(crate) invites: usize,
    pub(crate) fetches: usize,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) peers: Vec<Peer>,
    config: Arc<Config>,
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    jobs: BTreeMap<u64, Job>,
    sequence: u64,
    sessions: Vec<Session>,
    records: BTreeMap<ChannelId, BTreeMap<u32, (u8, u16)>>,
    pub(crate) events: Vec<(Instant, u32, Event<u32>)>,
    pub(crate) trace: Vec<String>,
    pub(crate) paused: bool,
    entropy: Seeded,
    cyclic_since: BTreeMap<u32, Instant>,
    waiting_since: BTreeMap<u32, Instant>,
    /// The longest time that a child sat in a rescue slot while somebody had an ordinary one for it.
    pub(crate) longest_wait: Duration,
    pub(crate) alives: BTreeMap<u32, usize>,
    pub(crate) registrations: BTreeSet<u32>,
    pub(crate) latency: Duration,
    /// Silences of more than one packet: when they ended, for whom, and how long they were.
    pub(crate) silences: Vec<(Instant, u32, Duration)>,
    backs_up_since: BTreeMap<(u32, u32), Instant>,
    cuts: BTreeSet<(u32, u32)>,
    deaf: BTreeSet<u32>,
    liars: BTreeMap<u32, Hold>,
    hidden: bool,
}

impl World {
    /// A source that publishes, and nobody else.
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        let mut w = World {
            now: Instant::from_millis(1000),
            peers: Vec::new(),
            config: Arc::new(config),
            queue: BinaryHeap::new(),
            jobs: BTreeMap::new(),
            sequence: 0,
            sessions: Vec::new(),
            records: BTreeMap::new(),
            events: Vec::new(),
            trace: Vec::new(),
            paused: false,
            entropy: Seeded::new(seed),
            cyclic_since: BTreeMap::new(),
            waiting_since: BTreeMap::new(),
            longest_wait: Duration::ZERO,
            alives: BTreeMap::new(),
            registrations: BTreeSet::new(),
            latency: ms(10),
            silences: Vec::new(),
            backs_up_since: BTreeMap::new(),
            cuts: BTreeSet::new(),
            deaf: BTreeSet::new(),
            liars: BTreeMap::new(),
            hidden: false,
        };
        let config = w.config.clone();
        w.add(config);
        w.command(SOURCE, |i, now, ctx| i.publish(now, CHANNEL, ctx).unwrap());
        w.after(TICK, Job::Tick);
        w
    }

    /// From now on everybody knows how dense the packets are.
    pub(crate) fn know_the_pace(&mut self) {
        for peer in &mut self.peers {
            peer.media.pace = Some(Pace { gap: TICK, jitter: Duration::ZERO });
        }
    }

    /// The silences that `ids` had since the last look.
    pub(crate) fn take_silences(&mut self) -> Vec<(Instant, u32, Duration)> {
        std::mem::take(&mut self.silences)
    }

    /// The media from `parent` to `child` stops, or goes on, while everything else does as before.
    pub(crate) fn cut(&mut self, parent: u32, child: u32, cut: bool) {
        if cut {
            self.cuts.insert((parent, child));
        } else {
            self.cuts.remove(&(parent, child));
        }
    }

    pub(crate) fn add(&mut self, config: Arc<Config>) -> u32 {
        let id = self.peers.len() as u32;
        self.peers.push(Peer {
            iptv: Iptv::new(config, id),
            entropy: Seeded::new(self.entropy.next_u64()),
            media: Media::default(),
            alive: true,
            stalled: None,
            died: Instant::ZERO,
            legs: BTreeMap::new(),
            received: 0,
            registered_once: BTreeSet::new(),
            invites: 0,
            fetches: 0,
        });
        id
    }

    /// A new viewer tunes in.
    pub(crate) fn join(&mut self) -> u32 {
        let config = self.config.clone();
        self.join_with(config)
    }

    /// A standby source tunes in.
    pub(crate) fn stand_by(&mut self) -> u32 {
        let id = self.add(self.config.clone());
        self.command(id, |i, now, ctx| i.stand_by(now, CHANNEL, ctx).unwrap());
        id
    }

    pub(crate) fn join_with(&mut self, config: impl Into<Arc<Config>>) -> u32 {
        let id = self.add(config.into());
        self.command(id, |i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
        id
    }

    pub(crate) fn command(
        &mut self,
        id: u32,
        act: impl FnOnce(&mut Iptv<u32>, Instant, &mut Context<'_, u32>),
    ) {
        let peer = &mut self.peers[id as usize];
        let mut orders = VecDeque::new();
        let mut ctx = Context { entropy: &mut peer.entropy, progress: &peer.media, orders: &mut orders };
        act(&mut peer.iptv, self.now, &mut ctx);
        self.carry_out(id, orders);
    }

    pub(crate) fn kill(&mut self, id: u32) {
        self.trace.push(format!("{:?} {id} dies", self.now));
        self.peers[id as usize].alive = false;
        self.peers[id as usize].died = self.now;
    }

    /// Freezes a peer for a while.
    pub(crate) fn stall(&mut self, id: u32, time: Duration) {
        self.trace.push(format!("{:?} {id} stalls for {time:?}", self.now));
        let until = self.now + time;
        self.peers[id as usize].stalled = Some(until);
        self.at(until, Job::Timer(id));
    }

    pub(crate) fn stop(&mut self, id: u32) {
        if self.status(id).is_some() {
            self.command(id, |i, now, ctx| i.stop(now, CHANNEL, ctx).unwrap());
        }
    }

    /// From now on a peer does not take offers: its answers are lost on the way.
    pub(crate) fn swallow_reports(&mut self, id: u32) {
        self.deaf.insert(id);
    }

    /// From now on a peer says again and again, to its children, why it sends nothing.
    pub(crate) fn lie(&mut self, id: u32, hold: Hold) {
        self.liars.insert(id, hold);
    }

    /// A child hears this from its parent, if it has one.
    pub(crate) fn mislead(&mut self, child: u32, report: &Report<u32>) {
        let parent = self.parent(child);
        let is_theirs =
            |s: &&Session| s.taking && s.flows && s.caller.0 == child && Some(s.callee.0) == parent;
        let call = self.sessions.iter().filter(is_theirs).map(|s| s.caller.1).next_back();
        if let Some(call) = call {
            self.tell(child, Fact::Reported { call, report: report.clone() });
        }
    }

    /// The parent of a child ends their call, and says why.
    pub(crate) fn dismiss(&mut self, child: u32, reason: ByeReason) {
        let parent = self.parent(child);
        let is_theirs =
            |s: &Session| s.taking && s.caller.0 == child && Some(s.callee.0) == parent && s.flows;
        if let Some(s) = self.sessions.iter().rposition(is_theirs) {
            self.sessions[s].serving = false;
            self.after(ms(10), Job::Ended(s, true, reason));
        }
    }

    /// Lookups fail from now on.
    pub(crate) fn hide_records(&mut self) {
        self.hidden = true;
    }

    /// A peer has started anew, and knows nothing of the channel.
    pub(crate) fn restart(&mut self, id: u32) {
        self.peers[id as usize].iptv = Iptv::new(self.config.clone(), id);
    }

    pub(crate) fn status(&self, id: u32) -> Option<ChannelStatus<u32>> {
        self.peers[id as usize].iptv.status(CHANNEL)
    }

    pub(crate) fn parent(&self, id: u32) -> Option<u32> {
        self.status(id).and_then(|s| s.parent)
    }

    /// Rows of the source's table: depth, peer, parent.
    pub(crate) fn table(&self) -> Vec<(u8, u32, u32)> {
        let rows = self.peers[SOURCE as usize].iptv.table(CHANNEL);
        rows.iter().map(|r| (r.depth.unwrap_or(u8::MAX), r.peer, r.parent.unwrap_or(u32::MAX))).collect()
    }

    /// Everybody alive but the source.
    pub(crate) fn viewers(&self) -> impl Iterator<Item = u32> + '_ {
        (1..self.peers.len() as u32).filter(|&id| self.peers[id as usize].alive)
    }

    /// Live viewers that have had no media for `time`.
    pub(crate) fn starving(&self, time: Duration) -> Vec<u32> {
        let starves = |&id: &u32| {
            let p = &self.peers[id as usize];
            let last = p.media.last_media(CHANNEL);
            p.alive && p.iptv.status(CHANNEL).is_some() && last.is_none_or(|t| self.now.since(t) > time)
        };
        (1..self.peers.len() as u32).filter(starves).collect()
    }

    pub(crate) fn event_times(&self, wanted: impl Fn(u32, &Event<u32>) -> bool) -> Vec<Instant> {
        self.events.iter().filter(|(_, id, e)| wanted(*id, e)).map(|e| e.0).collect()
    }

    pub(crate) fn forget_counts(&mut self) {
        for p in &mut self.peers {
            p.invites = 0;
            p.fetches = 0;
        }
        self.events.clear();
        self.silences.clear();
    }

    /// The last lines of the trace, for a failed law.
    pub(crate) fn tail(&self, lines: usize) -> String {
        let telling: Vec<&str> =
            self.trace.iter().map(String::as_str).filter(|l| !l.contains("report: Alive")).collect();
        telling[telling.len().saturating_sub(lines)..].join("\n")
    }
}

/// Viewers that join one after the other, `apart` from each other.
pub(crate) fn grown(config: Config, viewers: usize, apart: u64) -> World {
    let mut w = World::new(config, 7);
    w.run(ms(1000));
    for _ in 0..viewers {
        w.join();
        w.run(ms(apart));
    }
    w
}
