//! Many policies on one virtual clock. Their calls and reports take the time that messages take, and media is a flow.

use super::crowd::{Crowd, Person};
use super::media::{Leg, Media, NO_LEG, Terms};
use super::offices::Novices;
use super::session::{End, Purpose, Session, Sessions, Ticket};
use super::sizes;
use super::summary::{Control, Summary};
use super::wheel::Wheel;
use crate::env::{Entropy, Seeded};
use crate::ids::{CallId, ChannelId};
use crate::iptv::{
    ByeReason, Config, Context, Event, Fact, Hold, InviteKind, Iptv, Mode, Order, Pace, Profile, Progress,
    Provider, Refusal, Report, Role,
};
use crate::sim::underlay::{Conditions, happens};
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// The channel that everybody watches.
pub(super) const CHANNEL: ChannelId = ChannelId(0);
/// The node that publishes it.
pub const SOURCE: u32 = 0;
/// What SIP takes to notice that nobody answers (Timers B and F).
const TIMER_B: Duration = Duration::from_secs(32);
/// How long records outlive who does not refresh them; refreshed at half of it.
const RECORD_LIFETIME: Duration = Duration::from_secs(60);
/// Between two reception reports.
const REPORTS: Duration = Duration::from_secs(1);
/// The same in a standby.
const STANDBY_REPORTS: Duration = Duration::from_secs(5);
/// A RESUME is sent so often at most.
const RESUMES: u32 = 5;
/// Records that one answer brings.
const FETCHED: usize = 255;
/// Providers that a walk through the channel's tree finds.
const WALKED: usize = 8;
/// While the tree grows before the watch, nothing takes longer.
const QUICK: Duration = Duration::from_micros(100);

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Who watches.
    pub crowd: Crowd,
    /// What the media are, and what the media plane does about holes.
    pub terms: Terms,
    /// The paths between hosts. Loss costs a message on a stream time, and loses one of the media plane.
    pub conditions: Conditions,
    /// The policy of all nodes; capacities are the crowd's.
    pub policy: Config,
    /// How many children the source serves.
    pub source_slots: u16,
    /// Round trips before the first message to a stranger: two for TCP and TLS 1.3, none for UDP.
    pub handshake: u32,
    /// Viewers that join in a second before the watch begins.
    pub growth: f64,
}

impl Setting {
    /// The underlay of all runs ([`underlay`](super::underlay)) under a profile of the policy, source-managed.
    pub fn new(profile: Profile, crowd: Crowd) -> Self {
        let mut policy = Config::new(profile, 0);
        // A source that manages the whole tree knows every viewer, and has to have room for all.
        let all = (crowd.planned() * 2).max(policy.limits.rows);
        policy.limits.rows = all;
        policy.limits.controls = all;
        if profile == Profile::Paper {
            // It has every relayer register, and knows of none but by looking up: let it find and ask many.
            policy.registered_relayers = u16::MAX;
            policy.limits.providers = u8::MAX;
            policy.limits.asked = u8::MAX;
        }
        policy.limits.strangers = policy.limits.strangers.max(crowd.planned() / 4);
        Setting {
            // The media plane mends whatever the policy is.
            terms: Terms::plain().with_nacks().with_replay(),
            conditions: super::underlay(),
            policy,
            source_slots: 8,
            handshake: 2,
            growth: (f64::from(crowd.viewers) / 60.0).clamp(100.0, 4000.0),
            crowd,
        }
    }
}

impl Setting {
    /// The same, with relayers that elect, or a source that does.
    #[must_use]
    pub const fn with_mode(mut self, mode: Mode) -> Self {
        self.policy.mode = mode;
        self
    }
}

/// What happens.
enum Happening {
    Wake(u32),
    Arrive(u32),
    Depart(u32),
    Gone(u32),
    Ring(Ticket, InviteKind, u16),
    Answered(Ticket, u8, bool),
    Refused(Ticket, Box<Refusal<u32>>),
    Unanswered(Ticket),
    Ended(Ticket, End, ByeReason),
    Alive(Ticket, End),
    Told(Ticket, End, Box<Report<u32>>),
    Untold(Ticket, End),
    Held(Ticket, Hold),
    First(Ticket),
    Cued(Ticket, Cue),
    Fetched(u32),
    Walked(u32),
    Stored { node: u32, depth: u8, free: u16, listed: bool },
    Removed(u32),
}

/// What the ends of a standby tell each other.
#[derive(Clone, Copy)]
enum Cue {
    Resume,
    Release,
    Denied,
}

/// One node.
struct Host {
    iptv: Iptv<u32>,
    dice: Seeded,
    person: Person,
    /// When it will go, once that is known.
    dies: Instant,
    /// When it is to be woken; later wake-ups are stale.
    wake: Instant,
    placed: BTreeMap<u32, u32>,
    /// Calls that it received. The source, which never dies, keeps no list.
    received: Vec<u32>,
    met_source: bool,
    registered: bool,
}

/// A record in the overlay.
struct Record {
    /// Which was stored last.
    number: u64,
    depth: u8,
    free: u16,
    until: Instant,
}

fn provider((&peer, record): (&u32, &Record)) -> Provider<u32> {
    Provider { peer, depth: Some(record.depth), free: Some(record.free) }
}

/// Policies, their calls, and the media between them.
///
/// # Panics
///
/// When a policy breaks the promise K1: its deadline does not move on.
pub struct World {
    setting: Setting,
    configs: BTreeMap<u16, Arc<Config>>,
    now: Instant,
    begins: Instant,
    quick: bool,
    queue: Wheel<Happening>,
    hosts: Vec<Option<Box<Host>>>,
    sessions: Sessions,
    media: Media,
    /// The call of each path.
    calls: Vec<Ticket>,
    /// Records under the channel's name, and in the channel's tree.
    listed: BTreeMap<u32, Record>,
    unlisted: BTreeMap<u32, Record>,
    dice: Seeded,
    people: u32,
    orders: VecDeque<Order<u32>>,
    summary: Summary,
    novices: Novices,
}

/// What a policy sees of the media plane.
struct Look<'a> {
    node: u32,
    now: Instant,
    placed: &'a BTreeMap<u32, u32>,
    sessions: &'a Sessions,
    media: &'a Media,
    hosts: &'a [Option<Box<Host>>],
    lies: bool,
    jitter: Duration,
}

impl Look<'_> {
    fn session(&self, call: CallId) -> Option<&Session> {
        let at = if call.is_placed() { *self.placed.get(&call.number())? } else { call.number() };
        self.sessions.at(at).map(|s| s.1)
    }
}

impl Progress for Look<'_> {
    fn last_media(&self, _: ChannelId) -> Option<Instant> {
        self.media.last_media(self.node, self.now)
    }

    fn last_from(&self, call: CallId) -> Option<Instant> {
        let session = self.session(call).filter(|s| s.leg != NO_LEG)?;
        self.media.last_from(session.leg, self.now)
    }

    /// What is lost is mended; of whoever sends nothing there is nothing to report.
    fn reported_loss(&self, call: CallId) -> Option<u8> {
        self.last_report(call).filter(|_| !self.lies).map(|_| 0)
    }

    fn brought(&self, call: CallId) -> u64 {
        let leg = self.session(call).map_or(NO_LEG, |s| s.leg);
        if leg == NO_LEG { 0 } else { self.media.brought(leg, self.now) }
    }

    fn last_brought(&self, call: CallId) -> Option<Instant> {
        let session = self.session(call).filter(|s| s.leg != NO_LEG)?;
        self.media.media_from(session.leg, self.now)
    }

    /// Reports come at regular intervals from the moment on in which the child took the call.
    fn last_report(&self, call: CallId) -> Option<Instant> {
        let session = self.session(call)?;
        let (since, every) = session.reports?;
        let first = since + session.delay;
        let dies = self.hosts.get(session.caller as usize)?.as_ref().map(|h| h.dies);
        let stops = session.left.min(dies.unwrap_or(Instant::FAR_FUTURE));
        let sight = self.now + self.media.terms().foresight;
        let last = if stops == Instant::FAR_FUTURE { sight } else { sight.min(stops + session.delay) };
        let sent = last.since(first).as_micros() / every.as_micros();
        (last >= first).then(|| first + every * sent as u32)
    }

    /// Queues of each hop add to the jitter as independent things do.
    fn pace(&self, _: ChannelId) -> Option<Pace> {
        let depth = self.media.settled_depth(self.node, self.now)?;
        let gap = self.media.terms().gap();
        let jitter = self.jitter / 30 * (u32::from(depth) * 100).isqrt();
        Some(Pace { gap, jitter })
    }
}

impl World {
    /// A source that publishes, and nobody else.
    pub fn new(setting: Setting) -> Self {
        let now = Instant::from_millis(1000);
        let mut world = World {
            configs: BTreeMap::new(),
            now,
            begins: now,
            quick: true,
            queue: Wheel::default(),
            hosts: Vec::new(),
            sessions: Sessions::default(),
            media: Media::new(setting.terms, SOURCE, now),
            calls: Vec::new(),
            listed: BTreeMap::new(),
            unlisted: BTreeMap::new(),
            dice: Seeded::new(setting.crowd.seed ^ 0x0077_6f72_6c64),
            people: setting.crowd.planned(),
            orders: VecDeque::new(),
            summary: Summary::default(),
            novices: Novices::default(),
            setting,
        };
        let source = Person {
            slots: world.setting.source_slots,
            lies: false,
            abrupt: false,
            leaves: Instant::FAR_FUTURE,
            replaced: false,
        };
        world.settle_in(SOURCE, source);
        world.with(SOURCE, |iptv, now, ctx| _ = iptv.publish(now, CHANNEL, ctx));
        world
    }

    /// The time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Time since the watch began.
    pub const fn elapsed(&self) -> Duration {
        self.now.since(self.begins)
    }

    /// Nodes that are there, with the source.
    pub fn population(&self) -> usize {
        self.hosts.iter().flatten().count()
    }

    /// Nodes that have media.
    pub fn fed(&self) -> usize {
        (0..self.hosts.len() as u32).filter(|&n| self.media.is_fed(n)).count()
    }

    /// Hops from the source: in the mean, and the most.
    pub fn depths(&self) -> (f64, u16) {
        let depths = || (1..self.hosts.len() as u32).filter_map(|n| self.media.depth(n));
        let sum: u64 = depths().map(u64::from).sum();
        (sum as f64 / (depths().count() as f64).max(1.0), depths().max().unwrap_or(0))
    }

    /// What was counted since the beginning of the growth, or of the watch.
    pub const fn so_far(&self) -> &Summary {
        &self.summary
    }

    /// Everything that has happened so far.
    pub const fn happened(&self) -> u64 {
        self.summary.happened
    }

    // ---- the clock

    /// The first viewers join one after the other, with hardly any delay, until all of them are fed or `patience` is over.
    /// Then the paths get their lengths and the watch begins.
    pub fn grow(&mut self, patience: Duration, mut progress: impl FnMut(&Self)) {
        let viewers = self.setting.crowd.viewers;
        let step = Duration::from_secs_f64(1.0 / self.setting.growth);
        for n in 0..viewers {
            self.queue.schedule(self.now + step * n, Happening::Arrive(n));
        }
        let end = self.now + step * viewers + patience;
        while self.now < end {
            self.run_until(self.now + Duration::from_secs(1));
            progress(self);
            if self.hosts.len() > viewers as usize && self.fed() > viewers as usize {
                break;
            }
        }
        self.run_until(self.now + Duration::from_secs(3));
        self.begin();
    }

    /// The watch begins.
    fn begin(&mut self) {
        self.quick = false;
        self.begins = self.now;
        for n in 0..self.hosts.len() as u32 {
            self.plan_departure(n);
        }
        let World { media, setting, sessions, .. } = self;
        let between = |a, b| setting.conditions.latency.between(a, b, setting.crowd.seed);
        media.restart(self.now, between);
        let mut heard = Vec::new();
        for session in sessions.iter_mut() {
            session.delay = between(session.caller, session.callee);
            heard.push((session.caller, CallId::placed(session.placed), session.delay * 2));
        }
        // As the answers to their calls would have told.
        for (node, call, rtt) in heard {
            self.tell(node, Fact::RoundTrip { call, rtt });
        }
        let World { summary, .. } = self;
        *summary = Summary { hash: summary.hash, happened: summary.happened, ..Summary::default() };
        self.novices = Novices::default();
        for n in 0..self.setting.crowd.planned() {
            if let Some(at) = self.setting.crowd.rush_of(n) {
                self.queue.schedule(self.begins + at.since(Instant::ZERO), Happening::Arrive(n));
            }
        }
    }

    /// Lets happen what happens until then.
    pub fn run_until(&mut self, end: Instant) {
        while let Some((at, happening)) = self.queue.pop(end) {
            self.now = self.now.max(at);
            self.judge_offices();
            self.step(happening);
        }
        self.now = self.now.max(end);
    }

    /// Runs for this long.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Ends the watch and tells what it was.
    pub fn finish(mut self, name: &str) -> Summary {
        for n in 1..self.hosts.len() as u32 {
            if let Some(depth) = self.media.depth(n) {
                self.summary.depth.add(u64::from(depth));
            }
        }
        self.summary.lasted = self.elapsed();
        self.summary.totals = self.media.finish(self.now);
        self.summary.rate = self.setting.terms.rate;
        self.summary.packet = self.setting.terms.packet;
        self.summary.name = String::from(name);
        self.summary.count_media_control(&self.setting.terms);
        self.summary
    }

    /// Looks at those whose first minute as relayers is over, unless they go.
    fn judge_offices(&mut self) {
        while let Some(node) = self.novices.pop(self.now) {
            let Some(host) = self.hosts.get(node as usize).and_then(Option::as_ref) else { continue };
            let leaves = self.begins + host.person.leaves.since(Instant::ZERO);
            if self.now < leaves
                && let Some(status) = host.iptv.status(CHANNEL)
            {
                self.summary.offices.judge(host.person.lies, status.relayer);
            }
        }
    }

    // ---- people

    fn settle_in(&mut self, node: u32, person: Person) {
        let config = self
            .configs
            .entry(person.slots)
            .or_insert_with(|| Arc::new(Config { capacity: person.slots, ..self.setting.policy.clone() }));
        let host = Host {
            iptv: Iptv::new(Arc::clone(config), node),
            dice: Seeded::new(self.dice.next_u64()),
            person,
            dies: Instant::FAR_FUTURE,
            wake: Instant::FAR_FUTURE,
            placed: BTreeMap::new(),
            received: Vec::new(),
            met_source: false,
            registered: false,
        };
        let at = node as usize;
        if self.hosts.len() <= at {
            self.hosts.resize_with(at + 1, || None);
        }
        self.hosts[at] = Some(Box::new(host));
        if node != SOURCE {
            self.media.begin(node, self.now);
        }
        if person.lies {
            self.media.silence(node);
        }
    }

    fn arrive(&mut self, n: u32) {
        let node = n + 1;
        let at = if self.quick { Instant::ZERO } else { Instant::ZERO + self.elapsed() };
        let person = self.setting.crowd.person(n, at);
        self.settle_in(node, person);
        if !self.quick {
            self.plan_departure(node);
            self.summary.arrivals += 1;
        }
        self.with(node, |iptv, now, ctx| _ = iptv.tune(now, CHANNEL, ctx));
    }

    /// From now on it is known when a node will go.
    fn plan_departure(&mut self, node: u32) {
        let begins = self.begins;
        let Some(host) = self.hosts.get_mut(node as usize).and_then(Option::as_mut) else { return };
        if node == SOURCE || host.person.leaves == Instant::FAR_FUTURE {
            return;
        }
        let leaves = begins + host.person.leaves.since(Instant::ZERO);
        let lingers = if host.person.abrupt { Duration::ZERO } else { self.setting.policy.farewell };
        host.dies = leaves + lingers;
        self.media.foresee(node, leaves);
        if leaves.since(begins) <= self.setting.crowd.lasts + Duration::from_secs(5) {
            self.queue.schedule(leaves, Happening::Depart(node));
        }
    }

    fn depart(&mut self, node: u32) {
        let Some(host) = self.hosts[node as usize].as_ref() else { return };
        self.summary.departures += 1;
        if host.person.abrupt {
            return self.gone(node);
        }
        // It goes when its children have moved; that is the policy's business.
        self.with(node, |iptv, now, ctx| _ = iptv.stop(now, CHANNEL, ctx));
    }

    fn gone(&mut self, node: u32) {
        self.media.die(self.now, node);
        self.tell_firsts();
        let records = self.listed.get_mut(&node).into_iter().chain(self.unlisted.get_mut(&node));
        for record in records {
            let left = RECORD_LIFETIME / 2 + RECORD_LIFETIME / 200 * self.dice.below(101) as u32;
            record.until = self.now + left;
        }
        let Some(host) = self.hosts[node as usize].take() else { return };
        let person = host.person;
        for at in host.placed.values().chain(&host.received).copied() {
            let Some((ticket, session)) = self.sessions.at(at) else { continue };
            let end = match () {
                () if session.caller == node => End::Caller,
                () if session.callee == node => End::Callee,
                () => continue,
            };
            self.hang_up(ticket, end);
        }
        if person.replaced {
            let n = self.people;
            self.people += 1;
            self.queue.schedule(self.now, Happening::Arrive(n));
        }
    }

    // ---- what happens

    fn step(&mut self, happening: Happening) {
        self.summary.happened += 1;
        let (kind, who) = match &happening {
            Happening::Wake(node) => (0, *node),
            Happening::Arrive(n) => (1, *n),
            Happening::Depart(node) => (2, *node),
            Happening::Ring(t, ..) => (3, t.at),
            Happening::Answered(t, ..) => (4, t.at),
            Happening::Refused(t, _) => (5, t.at),
            Happening::Unanswered(t) => (6, t.at),
            Happening::Ended(t, ..) => (7, t.at),
            Happening::Alive(t, _) => (8, t.at),
            Happening::Told(t, ..) => (9, t.at),
            Happening::Untold(t, _) => (10, t.at),
            Happening::Held(t, _) => (11, t.at),
            Happening::First(t) => (12, t.at),
            Happening::Fetched(node) => (13, *node),
            Happening::Stored { node, .. } => (14, *node),
            Happening::Walked(node) => (17, *node),
            Happening::Gone(node) => (18, *node),
            Happening::Removed(node) => (15, *node),
            Happening::Cued(t, _) => (16, t.at),
        };
        self.summary.remember(self.now, kind, who);
        match happening {
            Happening::Wake(node) => self.wake(node),
            Happening::Arrive(n) => self.arrive(n),
            Happening::Depart(node) => self.depart(node),
            Happening::Gone(node) => self.gone(node),
            Happening::Ring(ticket, kind, slots) => self.ring(ticket, kind, slots),
            Happening::Answered(ticket, depth, rescue) => self.answered(ticket, depth, rescue),
            Happening::Refused(ticket, refusal) => self.refused(ticket, *refusal),
            Happening::Unanswered(ticket) => self.refused(ticket, Refusal::NoAnswer),
            Happening::Ended(ticket, end, reason) => {
                if let Some(call) = self.hang_up(ticket, end) {
                    self.tell(call.0, Fact::Ended { call: call.1, reason });
                }
            }
            Happening::Alive(ticket, end) => self.told(ticket, end, Report::Alive),
            Happening::Told(ticket, end, report) => self.told(ticket, end, *report),
            Happening::Untold(ticket, end) => {
                if let Some((node, call)) = self.call(ticket, end) {
                    self.tell(node, Fact::ReportFailed { call });
                }
            }
            Happening::Held(ticket, hold) => {
                let Some(session) = self.sessions.get(ticket).filter(|s| s.takes) else { return };
                self.media.hear(self.now, session.leg);
                if let Some((node, call)) = self.call(ticket, End::Caller) {
                    self.tell(node, Fact::Held { call, hold });
                }
            }
            Happening::Cued(ticket, cue) => self.cued(ticket, cue),
            Happening::First(ticket) => {
                if let Some((node, call)) = self.call(ticket, End::Caller) {
                    self.tell(node, Fact::FirstPacket { channel: CHANNEL, call });
                }
            }
            Happening::Fetched(node) => self.fetched(node),
            Happening::Walked(node) => self.walked(node),
            Happening::Stored { node, depth, free, listed } => {
                let Some(host) = self.hosts[node as usize].as_mut() else { return };
                let first = !core::mem::replace(&mut host.registered, true);
                let number = self.summary.happened;
                let records = if listed { &mut self.listed } else { &mut self.unlisted };
                records.insert(node, Record { number, depth, free, until: Instant::FAR_FUTURE });
                if first {
                    self.tell(node, Fact::Registered { channel: CHANNEL, ok: true });
                }
            }
            Happening::Removed(node) => {
                self.listed.remove(&node);
                self.unlisted.remove(&node);
            }
        }
    }

    /// How an end that is still up knows a call.
    fn call(&self, ticket: Ticket, end: End) -> Option<(u32, CallId)> {
        let session = self.sessions.get(ticket).filter(|s| s.up[end as usize])?;
        let call = match end {
            End::Caller => CallId::placed(session.placed),
            End::Callee => CallId::received(ticket.at),
        };
        Some((session.of(end), call))
    }

    fn ring(&mut self, ticket: Ticket, kind: InviteKind, slots: u16) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(ticket) else { return };
        let (caller, callee) = (session.caller, session.callee);
        let Some(host) = self.hosts.get_mut(callee as usize).and_then(Option::as_mut) else {
            return self.queue.schedule(now + TIMER_B, Happening::Unanswered(ticket));
        };
        session.up[End::Callee as usize] = true;
        if callee == SOURCE {
            let media = matches!(kind, InviteKind::Media | InviteKind::Urgent);
            self.summary.joins_at_source += u64::from(media);
        } else {
            host.received.push(ticket.at);
        }
        let call = CallId::received(ticket.at);
        let fact = match kind {
            InviteKind::Control => Fact::ControlInvited { channel: CHANNEL, call, peer: caller },
            InviteKind::Standby => {
                Fact::StandbyInvited { channel: CHANNEL, call, peer: caller, slots: Some(slots) }
            }
            InviteKind::Media | InviteKind::Urgent => {
                let urgent = kind == InviteKind::Urgent;
                Fact::Invited { channel: CHANNEL, call, peer: caller, urgent, slots: Some(slots) }
            }
        };
        self.tell(callee, fact);
    }

    fn answered(&mut self, ticket: Ticket, depth: u8, rescue: bool) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(ticket).filter(|s| s.up[0]) else { return };
        let (leg, rtt) = (session.leg, session.delay * 2);
        match session.purpose {
            Purpose::Media => session.reports = Some((now, REPORTS)),
            Purpose::Standby => session.reports = Some((now, STANDBY_REPORTS)),
            Purpose::Control => {}
        }
        if leg != NO_LEG {
            session.takes = true;
            let replays = !self.setting.terms.ring.is_zero();
            self.media.take(now, leg, replays);
            self.tell_firsts();
        }
        if let Some((node, call)) = self.call(ticket, End::Caller) {
            self.tell(node, Fact::RoundTrip { call, rtt });
            self.tell(node, Fact::Answered { call, depth: Some(depth), rescue });
        }
    }

    fn cued(&mut self, ticket: Ticket, cue: Cue) {
        let end = if matches!(cue, Cue::Denied) { End::Caller } else { End::Callee };
        let Some((node, call)) = self.call(ticket, end) else { return };
        let fact = match cue {
            Cue::Resume => Fact::Resumed { call },
            Cue::Release => Fact::Released { call },
            Cue::Denied => Fact::Denied { call },
        };
        self.tell(node, fact);
    }

    /// A notice about a standby, on the media plane: lost it is lost, unless it is sent again.
    fn cue(&mut self, node: u32, call: CallId, cue: Cue) {
        let Some((ticket, _)) = self.find(node, call) else { return };
        let Some(delay) = self.sessions.get(ticket).map(|s| s.delay) else { return };
        let attempts = if matches!(cue, Cue::Resume) { RESUMES } else { 1 };
        let mut wait = Duration::ZERO;
        for _ in 0..attempts {
            self.count(node, Control::Notices, sizes::NOTICE);
            if self.quick || !happens(self.setting.conditions.loss, &mut self.dice) {
                let jitter = self.setting.conditions.queueing(&mut self.dice);
                return self.queue.schedule(self.now + wait + delay + jitter, Happening::Cued(ticket, cue));
            }
            wait += (delay * 2).max(Duration::from_millis(50));
        }
    }

    /// Media flow in a standby from now on, behind what its child has.
    fn serve(&mut self, node: u32, call: CallId) {
        let Some((ticket, End::Callee)) = self.find(node, call) else { return };
        let now = self.now;
        let Some(session) = self.sessions.get(ticket).filter(|s| s.leg == NO_LEG) else { return };
        let (caller, up, delay) = (session.caller, session.up[End::Caller as usize], session.delay);
        let leg = self.media.open(now, node, caller, delay);
        self.note_leg(leg, ticket);
        if up {
            let replays = !self.setting.terms.ring.is_zero();
            self.media.take(now, leg, replays);
        }
        if let Some(session) = self.sessions.get_mut(ticket) {
            session.leg = leg;
            session.takes = up;
            session.reports = session.reports.map(|_| (now, REPORTS));
        }
        self.tell_firsts();
    }

    /// No media flow in a standby any more.
    fn rest(&mut self, node: u32, call: CallId) {
        let Some((ticket, End::Callee)) = self.find(node, call) else { return };
        let now = self.now;
        let Some(session) = self.sessions.get_mut(ticket).filter(|s| s.leg != NO_LEG) else { return };
        let leg = core::mem::replace(&mut session.leg, NO_LEG);
        let takes = core::mem::replace(&mut session.takes, false);
        session.reports = session.reports.map(|_| (now, STANDBY_REPORTS));
        self.media.close(now, leg);
        if takes {
            self.media.drop_leg(now, leg);
        }
        self.tell_firsts();
    }

    fn note_leg(&mut self, leg: Leg, ticket: Ticket) {
        if self.calls.len() <= leg as usize {
            self.calls.resize(leg as usize + 1, ticket);
        }
        self.calls[leg as usize] = ticket;
    }

    fn refused(&mut self, ticket: Ticket, refusal: Refusal<u32>) {
        let cancelled = self.sessions.get(ticket).is_none_or(|s| s.cancelled);
        if let Some((node, call)) = self.hang_up(ticket, End::Caller)
            && !cancelled
        {
            self.tell(node, Fact::Refused { call, refusal });
        }
    }

    fn told(&mut self, ticket: Ticket, end: End, report: Report<u32>) {
        let Some((node, call)) = self.call(ticket, end) else {
            let Some(session) = self.sessions.get(ticket) else { return };
            let lives = self.hosts.get(session.of(end) as usize).is_some_and(Option::is_some);
            // 481 comes back, or nothing at all.
            let wait = if lives { session.delay } else { TIMER_B };
            return self.queue.schedule(self.now + wait, Happening::Untold(ticket, end.other()));
        };
        self.tell(node, Fact::Reported { call, report });
    }

    fn fetched(&mut self, node: u32) {
        let now = self.now;
        self.listed.retain(|_, r| r.until > now);
        let relayers = self.listed.len().saturating_sub(1);
        let crowded = relayers * 2 >= usize::from(self.setting.policy.registered_relayers);
        if crowded && self.listed.values().all(|r| r.free == 0) && !self.unlisted.is_empty() {
            // On into the channel's tree: RFC 7374 looks at a level or two before it finds somebody.
            let (time, hops) = self.lookup();
            self.count(node, Control::Overlay, hops * sizes::LOOKUP_HOP);
            return self.queue.schedule(now + time, Happening::Walked(node));
        }
        let mut records: Vec<_> = self.listed.iter().collect();
        if self.setting.policy.profile == Profile::Paper {
            // A new registration stands in front of the old ones, where the published design has it overwrite them.
            records.sort_unstable_by_key(|(_, r)| Reverse(r.number));
        }
        let providers = records.into_iter().take(FETCHED).map(provider).collect();
        self.tell(node, Fact::Fetched { channel: CHANNEL, providers });
    }

    /// Those who stand in the channel's tree near a place of the node's own come on top.
    fn walked(&mut self, node: u32) {
        let now = self.now;
        let place = self.dice.below(self.hosts.len() as u64) as u32;
        let near = self.unlisted.range(place..).chain(self.unlisted.range(..place));
        let near = near.filter(|(_, r)| r.until > now && r.free > 0).take(WALKED).map(provider);
        let providers = self.listed.iter().map(provider).chain(near).collect();
        self.tell(node, Fact::Fetched { channel: CHANNEL, providers });
    }

    /// One end knows the call no more. Who it was, and what it called it.
    fn hang_up(&mut self, ticket: Ticket, end: End) -> Option<(u32, CallId)> {
        let (node, call) = self.call(ticket, end)?;
        let now = self.now;
        let session = self.sessions.get_mut(ticket)?;
        session.up[end as usize] = false;
        let (leg, over) = (session.leg, session.up == [false; 2]);
        match end {
            End::Caller => {
                session.left = session.left.min(now);
                let takes = core::mem::replace(&mut session.takes, false);
                if let Some(host) = self.hosts[node as usize].as_mut() {
                    host.placed.remove(&call.number());
                }
                if leg != NO_LEG && takes {
                    self.media.drop_leg(now, leg);
                }
            }
            End::Callee => {
                if let Some(host) = self.hosts[node as usize].as_mut() {
                    host.received.retain(|&at| at != ticket.at);
                }
                if leg != NO_LEG {
                    if !session.takes {
                        // It comes to its end here: a late answer finds nothing to take.
                        session.leg = NO_LEG;
                    }
                    self.media.close(now, leg);
                }
            }
        }
        if over {
            self.sessions.remove(ticket);
        }
        self.tell_firsts();
        Some((node, call))
    }

    /// First packets become facts when they arrive.
    fn tell_firsts(&mut self) {
        if !self.media.has_firsts() {
            return;
        }
        let gap = self.setting.terms.packet * 1_000_000 / self.setting.terms.rate.max(1);
        for (at, leg) in self.media.take_firsts() {
            let phase = Duration::from_micros(self.dice.below(gap));
            if let Some(&ticket) = self.calls.get(leg as usize) {
                self.queue.schedule(at.max(self.now) + phase, Happening::First(ticket));
            }
        }
    }

    // ---- machines

    fn wake(&mut self, node: u32) {
        let now = self.now;
        let Some(host) = self.hosts[node as usize].as_mut().filter(|h| h.wake == now) else { return };
        host.wake = Instant::FAR_FUTURE;
        self.with(node, |iptv, now, ctx| iptv.handle_timeout(now, ctx));
        let deadline = self.hosts[node as usize].as_ref().and_then(|h| h.iptv.deadline());
        if deadline.is_some_and(|d| d <= now) {
            self.fail(node);
        }
    }

    #[expect(
        clippy::panic,
        reason = "a broken promise is a failed test, and would be a simulation without end"
    )]
    fn fail(&self, node: u32) -> ! {
        let host = self.hosts[node as usize].as_ref();
        let status = host.map(|h| (h.iptv.deadline(), h.iptv.status(CHANNEL)));
        let seed = self.setting.crowd.seed;
        panic!("seed {seed}, K1 is broken by {node} at {:?}, deadline and status {status:?}", self.now);
    }

    fn tell(&mut self, node: u32, fact: Fact<u32>) {
        self.with(node, |iptv, now, ctx| iptv.on_fact(now, fact, ctx));
    }

    fn with(&mut self, node: u32, act: impl FnOnce(&mut Iptv<u32>, Instant, &mut Context<'_, u32>)) {
        let Some(mut host) = self.hosts[node as usize].take() else { return };
        let now = self.now;
        let mut orders = core::mem::take(&mut self.orders);
        let Host { iptv, dice, placed, person, .. } = &mut *host;
        let look = Look {
            node,
            lies: person.lies,
            now,
            placed,
            sessions: &self.sessions,
            media: &self.media,
            hosts: &self.hosts,
            jitter: self.setting.conditions.jitter,
        };
        act(iptv, now, &mut Context { entropy: dice, progress: &look, orders: &mut orders });
        self.hosts[node as usize] = Some(host);
        while let Some(order) = orders.pop_front() {
            self.obey(node, order);
        }
        self.orders = orders;
        self.arm(node);
    }

    fn arm(&mut self, node: u32) {
        let now = self.now;
        let Some(host) = self.hosts[node as usize].as_mut() else { return };
        let Some(deadline) = host.iptv.deadline() else { return };
        let at = deadline.max(now);
        if at < host.wake {
            host.wake = at;
            self.queue.schedule(at, Happening::Wake(node));
        }
    }

    // ---- messages

    fn latency(&self, a: u32, b: u32) -> Duration {
        if self.quick {
            QUICK
        } else {
            self.setting.conditions.latency.between(a, b, self.setting.crowd.seed)
        }
    }

    /// How long a message on a stream takes: one that is lost is sent again.
    fn transit(&mut self, delay: Duration) -> Duration {
        if self.quick {
            return delay;
        }
        let jitter = self.setting.conditions.queueing(&mut self.dice);
        let mut again = Duration::ZERO;
        while happens(self.setting.conditions.loss, &mut self.dice) && again < TIMER_B {
            again = again * 2 + (delay * 2).max(Duration::from_millis(200));
        }
        delay + jitter + again
    }

    /// Sends a message to one end of a call.
    fn send(
        &mut self,
        ticket: Ticket,
        to: End,
        head_start: Duration,
        what: impl FnOnce(Ticket, End) -> Happening,
    ) {
        let Some(delay) = self.sessions.get(ticket).map(|s| s.delay) else { return };
        let at = self.now + head_start + self.transit(delay);
        let Some(session) = self.sessions.get_mut(ticket) else { return };
        let arrival = &mut session.arrivals[to as usize];
        *arrival = at.max(*arrival);
        let at = *arrival;
        self.queue.schedule(at, what(ticket, to));
    }

    fn count(&mut self, node: u32, control: Control, octets: u64) {
        self.summary.count(control, octets, node == SOURCE);
    }

    /// To and from the peer that is responsible for the channel.
    fn lookup(&mut self) -> (Duration, u64) {
        if self.quick {
            return (QUICK, 0);
        }
        let nodes = self.people.max(2);
        // Half of the bits of N, as in any Chord ring.
        let hops = (u32::BITS - nodes.leading_zeros()).div_ceil(2);
        let mut time = Duration::ZERO;
        for _ in 0..hops {
            let (a, b) = (self.dice.next_u64() as u32, self.dice.next_u64() as u32);
            let path = self.setting.conditions.latency.between(a, b, self.setting.crowd.seed);
            time += self.transit(path) + self.transit(path);
        }
        (time, u64::from(hops))
    }

    fn find(&self, node: u32, call: CallId) -> Option<(Ticket, End)> {
        let (at, end) = if call.is_placed() {
            let host = self.hosts[node as usize].as_ref()?;
            (*host.placed.get(&call.number())?, End::Caller)
        } else {
            (call.number(), End::Callee)
        };
        let (ticket, session) = self.sessions.at(at)?;
        (session.up[end as usize] && session.of(end) == node).then_some((ticket, end))
    }

    fn obey(&mut self, node: u32, order: Order<u32>) {
        match order {
            Order::Event(event) => {
                self.summary.event(self.now, node, &event);
                if matches!(event, Event::Elected { .. }) {
                    self.novices.elected(self.now, node);
                }
                if matches!(event, Event::Ended { .. }) {
                    self.queue.schedule(self.now, Happening::Gone(node));
                }
            }
            // Nobody stands by in these crowds.
            Order::TakeOver { .. } | Order::BeginAnew { .. } => {}
            Order::Fetch { .. } => {
                let (time, hops) = self.lookup();
                self.count(node, Control::Overlay, hops * sizes::LOOKUP_HOP);
                self.queue.schedule(self.now + time, Happening::Fetched(node));
            }
            Order::Register { role, depth, free, listed, .. } => {
                let (time, hops) = self.lookup();
                self.count(node, Control::Overlay, hops * sizes::LOOKUP_HOP);
                let depth = if role == Role::Source { 0 } else { depth };
                let stored = Happening::Stored { node, depth, free, listed };
                self.queue.schedule(self.now + time, stored);
            }
            Order::Unregister { .. } => {
                let (time, hops) = self.lookup();
                self.count(node, Control::Overlay, hops * sizes::LOOKUP_HOP);
                self.queue.schedule(self.now + time, Happening::Removed(node));
            }
            Order::Invite { call, peer, kind, slots, .. } => self.invite(node, call, peer, (kind, slots)),
            Order::Cancel { call } => {
                if let Some((ticket, _)) = self.find(node, call) {
                    self.count(node, Control::Calls, sizes::CANCEL);
                    if let Some(session) = self.sessions.get_mut(ticket) {
                        session.cancelled = true;
                    }
                }
            }
            Order::Accept { call, depth, rescue, .. } => {
                let Some((ticket, _)) = self.find(node, call) else { return };
                self.count(node, Control::Calls, sizes::ANSWER);
                let now = self.now;
                let Some(session) = self.sessions.get_mut(ticket) else { return };
                if session.purpose == Purpose::Media {
                    let leg = self.media.open(now, node, session.caller, session.delay);
                    session.leg = leg;
                    self.note_leg(leg, ticket);
                }
                self.send(ticket, End::Caller, Duration::ZERO, |t, _| Happening::Answered(t, depth, rescue));
            }
            Order::Redirect { call, providers } => {
                let octets = sizes::REFUSAL + sizes::ALTERNATIVE * providers.len() as u64;
                self.refuse(node, call, Refusal::Redirected(providers), octets);
            }
            Order::Refuse { call, denial } => {
                use crate::iptv::Denial as D;
                let refusal = match denial {
                    // Retry-After is in whole seconds.
                    D::Busy { retry_after } => Refusal::Busy {
                        retry_after: Some(Duration::from_secs(retry_after.as_millis().div_ceil(1000) as u64)),
                    },
                    D::Loop => Refusal::Loop,
                    D::NotFound => Refusal::NotFound,
                    D::ControlUnwanted => Refusal::Other,
                };
                self.refuse(node, call, refusal, sizes::REFUSAL);
            }
            Order::Bye { call, reason } => {
                let Some((ticket, end)) = self.find(node, call) else { return };
                self.count(node, Control::Calls, sizes::BYE);
                self.send(ticket, end.other(), Duration::ZERO, |t, to| Happening::Ended(t, to, reason));
                self.hang_up(ticket, end);
            }
            Order::Resume { call } => self.cue(node, call, Cue::Resume),
            Order::Release { call } => {
                self.cue(node, call, Cue::Release);
                let Some((ticket, End::Caller)) = self.find(node, call) else { return };
                let now = self.now;
                let Some(session) = self.sessions.get_mut(ticket).filter(|s| s.takes) else { return };
                session.takes = false;
                session.reports = Some((now, STANDBY_REPORTS));
                let leg = session.leg;
                self.media.drop_leg(now, leg);
                self.tell_firsts();
            }
            Order::Serve { call } => self.serve(node, call),
            Order::Rest { call } => self.rest(node, call),
            Order::Deny { call } => self.cue(node, call, Cue::Denied),
            Order::Inform { call, report } => {
                let Some((ticket, end)) = self.find(node, call) else { return };
                let control = if report == Report::Alive { Control::Alive } else { Control::Reports };
                self.count(node, control, sizes::report(&report));
                self.send(ticket, end.other(), Duration::ZERO, |t, to| match report {
                    Report::Alive => Happening::Alive(t, to),
                    report => Happening::Told(t, to, Box::new(report)),
                });
            }
            Order::Hold { hold, .. } => {
                for leg in self.media.given(node).to_vec() {
                    let Some(&ticket) = self.calls.get(leg as usize) else { continue };
                    self.count(node, Control::Notices, sizes::NOTICE);
                    let Some(delay) = self.sessions.get(ticket).map(|s| s.delay) else { continue };
                    if self.quick || !happens(self.setting.conditions.loss, &mut self.dice) {
                        let jitter = self.setting.conditions.queueing(&mut self.dice);
                        self.queue.schedule(self.now + delay + jitter, Happening::Held(ticket, hold));
                    }
                }
            }
        }
    }

    fn invite(&mut self, node: u32, call: CallId, peer: u32, (kind, slots): (InviteKind, u16)) {
        let delay = self.latency(node, peer);
        let purpose = match kind {
            InviteKind::Media | InviteKind::Urgent => Purpose::Media,
            InviteKind::Control => Purpose::Control,
            InviteKind::Standby => Purpose::Standby,
        };
        let ticket = self.sessions.add((node, call.number()), peer, delay, purpose);
        let knows = |host: &Host| {
            let mut others = host.placed.values().chain(&host.received);
            let known = others.any(|&at| {
                self.sessions.at(at).is_some_and(|(_, s)| s.up[0] && (s.callee == peer || s.caller == peer))
            });
            known || peer == SOURCE && host.met_source
        };
        let host = self.hosts[node as usize].as_deref();
        let acquainted = self.quick || node == SOURCE || host.is_some_and(knows);
        if let Some(host) = self.hosts[node as usize].as_mut() {
            host.placed.insert(call.number(), ticket.at);
            host.met_source |= peer == SOURCE;
        }
        let head_start = if acquainted { Duration::ZERO } else { delay * 2 * self.setting.handshake };
        self.count(node, Control::Calls, sizes::INVITE);
        self.send(ticket, End::Callee, head_start, |t, _| Happening::Ring(t, kind, slots));
    }

    fn refuse(&mut self, node: u32, call: CallId, refusal: Refusal<u32>, octets: u64) {
        let Some((ticket, end)) = self.find(node, call) else { return };
        self.count(node, Control::Calls, octets);
        self.send(ticket, End::Caller, Duration::ZERO, |t, _| Happening::Refused(t, Box::new(refusal)));
        // The caller has yet to hear of it.
        if let Some(session) = self.sessions.get_mut(ticket) {
            session.up[end as usize] = false;
        }
        if let Some(host) = self.hosts[node as usize].as_mut() {
            host.received.retain(|&at| at != ticket.at);
        }
    }
}
