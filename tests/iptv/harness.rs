//! A village of policies on one virtual clock: calls are delivered after a delay, media flows along the calls that are up.

use p2piptv::env::{Entropy, Seeded};
use p2piptv::ids::{CallId, ChannelId};
use p2piptv::iptv::{
    ByeReason, ChannelStatus, Config, Context, Denial, Event, Fact, Hold, InviteKind, Iptv, Order, Pace,
    Progress, Provider, Refusal, Report, Role,
};
use p2piptv::time::{Duration, Instant};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

pub(crate) const CHANNEL: ChannelId = ChannelId(100);
pub(crate) const SOURCE: u32 = 0;
/// Between two packets.
pub(crate) const TICK: Duration = Duration::from_millis(20);
/// Between two repetitions of RESUME, of which there are at most five.
const RESUME_AGAIN: Duration = Duration::from_millis(50);
/// What SIP takes to notice that nobody answers (Timer B, Timer F).
const TIMER_B: Duration = Duration::from_secs(32);
const RECORD_LIFETIME: Duration = Duration::from_secs(60);
const LOOKUP: Duration = Duration::from_millis(30);

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[derive(Default)]
struct Media {
    last_media: BTreeMap<ChannelId, Instant>,
    last_from: BTreeMap<CallId, Instant>,
    last_report: BTreeMap<CallId, Instant>,
    brought: BTreeMap<CallId, (u64, Instant)>,
    pace: Option<Pace>,
}

impl Progress for Media {
    fn last_media(&self, channel: ChannelId) -> Option<Instant> {
        self.last_media.get(&channel).copied()
    }
    fn last_from(&self, call: CallId) -> Option<Instant> {
        self.last_from.get(&call).copied()
    }
    fn last_report(&self, call: CallId) -> Option<Instant> {
        self.last_report.get(&call).copied()
    }
    fn reported_loss(&self, call: CallId) -> Option<u8> {
        self.last_report.get(&call).map(|_| 0)
    }
    fn brought(&self, call: CallId) -> u64 {
        self.brought.get(&call).map_or(0, |b| b.0)
    }
    fn last_brought(&self, call: CallId) -> Option<Instant> {
        self.brought.get(&call).map(|b| b.1)
    }
    fn pace(&self, _: ChannelId) -> Option<Pace> {
        self.pace
    }
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

enum Job {
    Fact(u32, Fact<u32>),
    Ring(usize, InviteKind, u16),
    Fetched(u32, ChannelId),
    Stored(u32, ChannelId, u16, u8),
    Removed(u32, ChannelId),
    /// The far end of a leg hears this.
    Report(usize, bool, Report<u32>),
    Held(usize, Hold),
    Resumed(usize, u8),
    Released(usize),
    Denied(usize),
    Ended(usize, bool, ByeReason),
    Answered(usize, u8, bool),
    Refused(usize, Refusal<u32>),
    Timer(u32),
    Tick,
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

    // ---- the clock

    fn at(&mut self, t: Instant, job: Job) {
        self.sequence += 1;
        self.queue.push(Reverse((t, self.sequence)));
        self.jobs.insert(self.sequence, job);
    }

    fn after(&mut self, d: Duration, job: Job) {
        self.at(self.now + d, job);
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(&Reverse((t, key))) = self.queue.peek() {
            if t > end {
                break;
            }
            self.queue.pop();
            self.now = self.now.max(t);
            if let Some(job) = self.jobs.remove(&key) {
                self.step(job);
            }
        }
        self.now = end;
    }

    fn addressee(&self, job: &Job) -> Option<u32> {
        let end = |s: usize, caller: bool| {
            let s = &self.sessions[s];
            if caller { s.caller.0 } else { s.callee.0 }
        };
        match job {
            Job::Fact(id, _) | Job::Fetched(id, _) | Job::Timer(id) => Some(*id),
            Job::Ring(s, ..) | Job::Resumed(s, _) | Job::Released(s) => Some(end(*s, false)),
            Job::Report(s, caller, _) | Job::Ended(s, caller, _) => Some(end(*s, *caller)),
            Job::Held(s, _) | Job::Answered(s, ..) | Job::Refused(s, _) | Job::Denied(s) => {
                Some(end(*s, true))
            }
            Job::Stored(..) | Job::Removed(..) | Job::Tick => None,
        }
    }

    fn step(&mut self, job: Job) {
        if let Some(id) = self.addressee(&job) {
            let peer = &mut self.peers[id as usize];
            if !peer.alive {
                return self.undelivered(job);
            }
            match peer.stalled {
                Some(until) if until > self.now => return self.at(until, job),
                _ => peer.stalled = None,
            }
        }
        match job {
            Job::Fact(id, fact) => self.tell(id, fact),
            Job::Timer(id) => self.fire(id),
            Job::Fetched(id, channel) => {
                let providers = self.lookup(channel);
                let found = Fact::Fetched { channel, providers };
                self.tell(id, if self.hidden { Fact::FetchFailed { channel } } else { found });
            }
            Job::Stored(id, channel, free, depth) => {
                self.records.entry(channel).or_default().insert(id, (depth, free));
                if self.peers[id as usize].registered_once.insert(channel) {
                    self.tell(id, Fact::Registered { channel, ok: true });
                }
            }
            Job::Removed(id, channel) => {
                self.records.entry(channel).or_default().remove(&id);
            }
            Job::Ring(s, kind, slots) => self.ring(s, kind, slots),
            Job::Answered(s, depth, rescue) => {
                let (id, call) = self.sessions[s].caller;
                self.sessions[s].settled = true;
                self.sessions[s].taking = true;
                self.tell(id, Fact::Answered { call, depth: Some(depth), rescue });
            }
            Job::Refused(s, refusal) => {
                if !std::mem::replace(&mut self.sessions[s].settled, true) {
                    let (id, call) = self.sessions[s].caller;
                    self.tell(id, Fact::Refused { call, refusal });
                }
            }
            Job::Report(s, to_caller, report) => self.report(s, to_caller, report),
            Job::Held(s, hold) => {
                let (id, call) = self.sessions[s].caller;
                if self.sessions[s].taking {
                    self.peers[id as usize].media.last_from.insert(call, self.now);
                    self.tell(id, Fact::Held { call, hold });
                }
            }
            Job::Resumed(s, repeats) => {
                let session = &self.sessions[s];
                if !session.wanted {
                    return;
                }
                let (serving, callee) = (session.serving, session.callee);
                if repeats > 0 {
                    self.after(RESUME_AGAIN, Job::Resumed(s, repeats - 1));
                }
                if let (id, Some(call)) = callee
                    && serving
                {
                    self.tell(id, Fact::Resumed { call });
                }
            }
            Job::Released(s) => {
                if let (id, Some(call)) = self.sessions[s].callee
                    && self.sessions[s].serving
                {
                    self.tell(id, Fact::Released { call });
                }
            }
            Job::Denied(s) => {
                let (id, call) = self.sessions[s].caller;
                if self.sessions[s].taking && std::mem::take(&mut self.sessions[s].wanted) {
                    self.tell(id, Fact::Denied { call });
                }
            }
            Job::Ended(s, at_caller, reason) => {
                let session = &mut self.sessions[s];
                let up = if at_caller { &mut session.taking } else { &mut session.serving };
                let (id, call) =
                    if at_caller { (session.caller.0, Some(session.caller.1)) } else { session.callee };
                if std::mem::replace(up, false)
                    && let Some(call) = call
                {
                    self.tell(id, Fact::Ended { call, reason });
                }
            }
            Job::Tick => self.tick(),
        }
    }

    /// What the sender notices when nobody is there.
    fn undelivered(&mut self, job: Job) {
        match job {
            Job::Ring(s, ..) => self.after(TIMER_B, Job::Refused(s, Refusal::NoAnswer)),
            Job::Resumed(s, repeats) if repeats > 0 => self.after(RESUME_AGAIN, Job::Resumed(s, repeats - 1)),
            Job::Report(s, to_caller, _) => {
                let s = &self.sessions[s];
                let (id, call) =
                    if to_caller { (s.callee.0, s.callee.1) } else { (s.caller.0, Some(s.caller.1)) };
                if let Some(call) = call {
                    self.after(TIMER_B, Job::Fact(id, Fact::ReportFailed { call }));
                }
            }
            _ => {}
        }
    }

    fn tell(&mut self, id: u32, fact: Fact<u32>) {
        if !self.peers[id as usize].alive {
            return;
        }
        self.trace.push(format!("{:?}  -> {id} {fact:?}", self.now));
        self.command(id, |i, now, ctx| i.on_fact(now, fact, ctx));
    }

    fn fire(&mut self, id: u32) {
        let Some(due) = self.peers[id as usize].iptv.deadline() else { return };
        if due > self.now {
            return;
        }
        self.command(id, |i, now, ctx| i.handle_timeout(now, ctx));
        let deadline = self.peers[id as usize].iptv.deadline();
        assert!(deadline.is_none_or(|d| d > self.now), "K1: {id} at {:?} shows {deadline:?}", self.now);
    }

    // ---- orders

    fn delay(&self, a: u32, b: u32) -> Duration {
        // Different for each pair, the same both ways.
        let spread = u64::from(a.wrapping_mul(31) ^ b.wrapping_mul(31)) % 8;
        self.latency + ms(spread)
    }

    fn carry_out(&mut self, id: u32, orders: VecDeque<Order<u32>>) {
        for order in orders {
            match &order {
                Order::Event(e) => self.trace.push(format!("{:?}   ! {id} {e:?}", self.now)),
                o => self.trace.push(format!("{:?} {id} -> {o:?}", self.now)),
            }
            self.order(id, order);
        }
        if self.entropy.below(8) == 0 {
            self.spurious(id);
        }
        self.check(id);
        if let Some(d) = self.peers[id as usize].iptv.deadline() {
            let d = d.max(self.now);
            self.at(d, Job::Timer(id));
        }
    }

    /// K12: before the deadline a timeout does nothing.
    fn spurious(&mut self, id: u32) {
        let peer = &mut self.peers[id as usize];
        if peer.iptv.deadline().is_some_and(|d| d <= self.now) {
            return;
        }
        let before = peer.iptv.deadline();
        let mut orders = VecDeque::new();
        let mut ctx = Context { entropy: &mut peer.entropy, progress: &peer.media, orders: &mut orders };
        peer.iptv.handle_timeout(self.now, &mut ctx);
        assert!(orders.is_empty() && peer.iptv.deadline() == before, "K12");
    }

    fn order(&mut self, id: u32, order: Order<u32>) {
        match order {
            Order::Event(e) => self.events.push((self.now, id, e)),
            Order::Fetch { channel } => {
                self.peers[id as usize].fetches += 1;
                self.after(LOOKUP, Job::Fetched(id, channel));
            }
            // Records of an earlier epoch count no longer.
            Order::TakeOver { channel } | Order::BeginAnew { channel } => drop(self.records.remove(&channel)),
            // Where those stand that are not listed is beyond this world.
            Order::Register { listed: false, .. } => {}
            Order::Register { channel, role, depth, free, listed: true } => {
                if role == Role::Relayer {
                    self.registrations.insert(id);
                }
                self.after(LOOKUP, Job::Stored(id, channel, free, depth));
            }
            Order::Unregister { channel } => self.after(LOOKUP, Job::Removed(id, channel)),
            Order::Invite { channel, call, peer, kind, slots } => {
                self.peers[id as usize].invites += usize::from(kind != InviteKind::Standby);
                let session = self.sessions.len();
                self.sessions.push(Session {
                    channel,
                    media: kind != InviteKind::Control,
                    standby: kind == InviteKind::Standby,
                    wanted: false,
                    flows: !matches!(kind, InviteKind::Control | InviteKind::Standby),
                    caller: (id, call),
                    callee: (peer, None),
                    serving: false,
                    taking: false,
                    settled: false,
                    first_packet: false,
                });
                self.peers[id as usize].legs.insert(call, Leg { session, caller: true });
                self.after(self.delay(id, peer), Job::Ring(session, kind, slots));
            }
            Order::Cancel { call } => {
                let leg = self.leg(id, call);
                assert!(leg.caller, "only a caller cancels");
                // An answer that is under way arrives all the same.
                if !self.sessions[leg.session].serving {
                    self.sessions[leg.session].settled = true;
                }
            }
            Order::Accept { call, depth, rescue, .. } => {
                let s = self.leg(id, call).session;
                self.sessions[s].serving = true;
                self.after(self.delay(id, self.sessions[s].caller.0), Job::Answered(s, depth, rescue));
            }
            Order::Redirect { call, providers } => {
                assert!(!providers.is_empty() && providers.len() <= 8, "Q1");
                self.refuse(id, call, Refusal::Redirected(providers));
            }
            Order::Refuse { call, denial } => {
                let refusal = match denial {
                    Denial::Busy { retry_after } => Refusal::Busy { retry_after: Some(retry_after) },
                    Denial::Loop => Refusal::Loop,
                    Denial::NotFound => Refusal::NotFound,
                    Denial::ControlUnwanted => Refusal::Other,
                };
                self.refuse(id, call, refusal);
            }
            Order::Bye { call, reason } => {
                let leg = self.leg(id, call);
                let session = &mut self.sessions[leg.session];
                let up = if leg.caller { &mut session.taking } else { &mut session.serving };
                *up = false;
                let far = if leg.caller { session.callee.0 } else { session.caller.0 };
                self.after(self.delay(id, far), Job::Ended(leg.session, !leg.caller, reason));
            }
            Order::Inform { call, report } => {
                if report == Report::Alive {
                    *self.alives.entry(id).or_default() += 1;
                }
                if self.deaf.contains(&id) {
                    return;
                }
                let leg = self.leg(id, call);
                let session = &self.sessions[leg.session];
                let far = if leg.caller { session.callee.0 } else { session.caller.0 };
                self.after(self.delay(id, far), Job::Report(leg.session, !leg.caller, report));
            }
            Order::Resume { call } => {
                let s = self.leg(id, call).session;
                self.sessions[s].wanted = true;
                self.sessions[s].first_packet = false;
                self.after(self.delay(id, self.sessions[s].callee.0), Job::Resumed(s, 4));
            }
            Order::Release { call } => {
                let s = self.leg(id, call).session;
                self.sessions[s].wanted = false;
                self.after(self.delay(id, self.sessions[s].callee.0), Job::Released(s));
            }
            Order::Serve { call } => {
                let s = self.leg(id, call).session;
                self.sessions[s].flows = true;
            }
            Order::Rest { call } => {
                let s = self.leg(id, call).session;
                self.sessions[s].flows = false;
            }
            Order::Deny { call } => {
                let s = self.leg(id, call).session;
                self.sessions[s].flows = false;
                self.after(self.delay(id, self.sessions[s].caller.0), Job::Denied(s));
            }
            Order::Hold { channel, hold } => {
                let serving: Vec<usize> = (0..self.sessions.len())
                    .filter(|&s| {
                        let s = &self.sessions[s];
                        s.callee.0 == id && s.serving && s.media && s.flows && s.channel == channel
                    })
                    .collect();
                for s in serving {
                    self.after(self.delay(id, self.sessions[s].caller.0), Job::Held(s, hold));
                }
            }
        }
    }

    fn leg(&self, id: u32, call: CallId) -> Leg {
        *self.peers[id as usize]
            .legs
            .get(&call)
            .unwrap_or_else(|| panic!("{id} orders about unknown {call:?}"))
    }

    fn refuse(&mut self, id: u32, call: CallId, refusal: Refusal<u32>) {
        let s = self.leg(id, call).session;
        self.after(self.delay(id, self.sessions[s].caller.0), Job::Refused(s, refusal));
    }

    fn ring(&mut self, s: usize, kind: InviteKind, slots: u16) {
        if self.sessions[s].settled {
            return;
        }
        let id = self.sessions[s].callee.0;
        let peer = &mut self.peers[id as usize];
        let call = CallId::received(peer.received);
        peer.received += 1;
        peer.legs.insert(call, Leg { session: s, caller: false });
        let session = &mut self.sessions[s];
        session.callee.1 = Some(call);
        let (channel, peer) = (session.channel, session.caller.0);
        let fact = match kind {
            InviteKind::Control => Fact::ControlInvited { channel, call, peer },
            InviteKind::Standby => Fact::StandbyInvited { channel, call, peer, slots: Some(slots) },
            _ => {
                let urgent = kind == InviteKind::Urgent;
                Fact::Invited { channel, call, peer, urgent, slots: Some(slots) }
            }
        };
        self.tell(id, fact);
    }

    fn report(&mut self, s: usize, to_caller: bool, report: Report<u32>) {
        let session = &self.sessions[s];
        let (to, up, from) = if to_caller {
            let (id, call) = session.caller;
            ((id, Some(call)), session.taking, session.callee)
        } else {
            (session.callee, session.serving, (session.caller.0, Some(session.caller.1)))
        };
        match (to, from.1) {
            ((id, Some(call)), _) if up => self.tell(id, Fact::Reported { call, report }),
            (_, Some(call)) => {
                let delay = self.delay(to.0, from.0);
                self.after(delay, Job::Fact(from.0, Fact::ReportFailed { call }));
            }
            _ => {}
        }
    }

    fn lookup(&self, channel: ChannelId) -> Vec<Provider<u32>> {
        let Some(records) = self.records.get(&channel) else { return Vec::new() };
        let live = records.iter().filter(|(id, _)| {
            let p = &self.peers[**id as usize];
            p.alive || self.now.since(p.died) < RECORD_LIFETIME
        });
        live.map(|(&peer, &(depth, free))| Provider { peer, depth: Some(depth), free: Some(free) }).collect()
    }

    // ---- media

    /// A packet of each published channel runs down its tree.
    fn tick(&mut self) {
        self.after(TICK, Job::Tick);
        let frozen = |p: &Peer, now| p.stalled.is_some_and(|t| t > now);
        let awake: Vec<bool> = self.peers.iter().map(|p| p.alive && !frozen(p, self.now)).collect();
        let mut reached: VecDeque<(u32, ChannelId)> = VecDeque::new();
        for (id, p) in self.peers.iter_mut().enumerate().filter(|(id, _)| awake[*id]) {
            for channel in p.iptv.channels().collect::<Vec<_>>() {
                if p.iptv.status(channel).is_some_and(|s| s.publisher) && !self.paused {
                    p.media.last_media.insert(channel, self.now);
                    reached.push_back((id as u32, channel));
                }
            }
        }
        let mut children: BTreeMap<(u32, ChannelId), Vec<usize>> = BTreeMap::new();
        let mut reports = Vec::new();
        for (s, session) in self.sessions.iter().enumerate() {
            let up = session.serving && session.taking && awake[session.caller.0 as usize];
            if session.media && up {
                if session.flows && !self.cuts.contains(&(session.callee.0, session.caller.0)) {
                    children.entry((session.callee.0, session.channel)).or_default().push(s);
                }
                reports.push(s);
            }
        }
        let mut seen: BTreeSet<(u32, ChannelId)> = reached.iter().copied().collect();
        let mut firsts = Vec::new();
        while let Some(at) = reached.pop_front() {
            for &s in children.get(&at).into_iter().flatten() {
                let (id, call) = self.sessions[s].caller;
                let media = &mut self.peers[id as usize].media;
                media.last_from.insert(call, self.now);
                let brought = media.brought.entry(call).or_default();
                *brought = (brought.0 + 1, self.now);
                if let Some(last) = media.last_media.insert(at.1, self.now)
                    && self.now.since(last) > TICK
                {
                    self.silences.push((self.now, id, self.now.since(last)));
                }
                self.sessions[s].wanted = false;
                if !std::mem::replace(&mut self.sessions[s].first_packet, true) {
                    firsts.push((id, Fact::FirstPacket { channel: at.1, call }));
                }
                if seen.insert((id, at.1)) {
                    reached.push_back((id, at.1));
                }
            }
        }
        if self.now.as_millis() % 1000 < TICK.as_millis() as u64 {
            let seldom = self.now.as_millis() % 5000 < TICK.as_millis() as u64;
            for s in reports {
                if !self.sessions[s].flows && !seldom {
                    continue;
                }
                if let (id, Some(call)) = self.sessions[s].callee {
                    self.peers[id as usize].media.last_report.insert(call, self.now);
                }
            }
        }
        for (id, fact) in firsts {
            self.tell(id, fact);
        }
        for (id, hold) in self.liars.clone() {
            self.order(id, Order::Hold { channel: CHANNEL, hold });
        }
        self.check_cycles();
        if self.now.as_millis().is_multiple_of(200) {
            self.check_backups();
        }
        self.measure_waits();
    }

    // ---- laws

    fn check(&self, id: u32) {
        let peer = &self.peers[id as usize];
        let (mut ordinary, mut rescued) = (0, 0);
        for channel in peer.iptv.channels() {
            let c = peer.iptv.status(channel).unwrap().children;
            ordinary += c.0;
            rescued += c.1;
            let parents = self
                .sessions
                .iter()
                .rev()
                .take(64)
                .filter(|s| s.media && s.taking && s.caller.0 == id && s.channel == channel)
                .filter(|s| !s.standby);
            assert!(parents.count() <= 3, "{id} has more than two parents, and one that covers");
        }
        assert!(ordinary <= usize::from(self.config.capacity), "{id} serves {ordinary}");
        assert!(rescued <= usize::from(self.config.rescue_slots), "{id} rescues {rescued}");
        let rescue = peer.iptv.rescue_slots();
        assert!(rescue.promised <= self.config.limits.leases, "{id} promises {rescue:?}");
    }

    /// No cycle lasts longer than the hold limit and a repair.
    fn check_cycles(&mut self) {
        let longest = self.config.hold_limit + self.config.repair_after + ms(600);
        for id in 1..self.peers.len() as u32 {
            let mut at = id;
            let mut cyclic = false;
            for _ in 0..self.peers.len() {
                let p = &self.peers[at as usize];
                let frozen = p.stalled.is_some_and(|t| t > self.now);
                match p.iptv.status(CHANNEL).and_then(|s| s.parent).filter(|_| p.alive && !frozen) {
                    Some(parent) if parent == id => {
                        cyclic = true;
                        break;
                    }
                    Some(parent) => at = parent,
                    None => break,
                }
            }
            if cyclic {
                let since = *self.cyclic_since.entry(id).or_insert(self.now);
                assert!(self.now.since(since) <= longest, "{id} is in a cycle since {since:?}");
            } else {
                self.cyclic_since.remove(&id);
            }
        }
    }

    /// Nobody keeps a backup parent that hangs below it for longer than the news of that need.
    fn check_backups(&mut self) {
        let longest = self.config.hold_limit + ms(2500);
        let mut seen = BTreeSet::new();
        for s in 0..self.sessions.len() {
            let session = &self.sessions[s];
            let (child, provider) = (session.caller.0, session.callee.0);
            let up = session.standby && session.taking && session.serving && session.channel == CHANNEL;
            let live = |p: u32| self.peers[p as usize].alive && self.peers[p as usize].stalled.is_none();
            // The parent itself may have been a standby.
            let parent = self.parent(child) == Some(provider);
            if up && live(child) && live(provider) && !parent && self.is_below(provider, child) {
                seen.insert((child, provider));
            }
        }
        self.backs_up_since.retain(|pair, _| seen.contains(pair));
        for pair in seen {
            let since = *self.backs_up_since.entry(pair).or_insert(self.now);
            assert!(self.now.since(since) <= longest, "{pair:?} since {since:?}\n{}", self.tail(400));
        }
    }

    /// Whether a peer hangs below another one, or is it.
    pub(crate) fn is_below(&self, peer: u32, above: u32) -> bool {
        let mut at = peer;
        for _ in 0..self.peers.len() {
            match self.parent(at) {
                _ if at == above => return true,
                Some(parent) => at = parent,
                None => return false,
            }
        }
        true
    }

    /// Who is awake and gives an ordinary slot away.
    fn is_open(&self, id: u32) -> bool {
        let p = &self.peers[id as usize];
        let serves = p.iptv.status(CHANNEL).is_some_and(|s| s.publisher || s.relayer && s.playing);
        p.alive && p.stalled.is_none() && p.iptv.free_slots() > 0 && serves
    }

    fn measure_waits(&mut self) {
        for id in 1..self.peers.len() as u32 {
            let rescued = self.peers[id as usize].alive && self.status(id).is_some_and(|s| s.rescue);
            let open = |&q: &u32| self.is_open(q) && !self.is_below(q, id);
            if rescued && (0..self.peers.len() as u32).any(|q| open(&q)) {
                let since = *self.waiting_since.entry(id).or_insert(self.now);
                self.longest_wait = self.longest_wait.max(self.now.since(since));
            } else {
                self.waiting_since.remove(&id);
            }
        }
    }

    /// The last lines of the trace, for a failed law.
    pub(crate) fn tail(&self, lines: usize) -> String {
        let telling: Vec<&str> =
            self.trace.iter().map(String::as_str).filter(|l| !l.contains("report: Alive")).collect();
        telling[telling.len().saturating_sub(lines)..].join("\n")
    }
}
