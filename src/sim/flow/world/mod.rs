//! Many policies on one virtual clock. Their calls and reports take the time that messages take, and media is a flow.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `mod` | [`World`]: the clock, from the growth of the tree to the end of the watch |
//! | `setting` | [`Setting`]: what a world is made of |
//! | `happening` | what can happen, and whom it happens to |
//! | `people` | who comes and goes |
//! | `machines`, `look` | policies woken, and told facts; what they see of the media plane |
//! | `orders` | who carries out what policies order |
//! | `calls`, `standbys`, `feeds` | calls; media on demand in some of them; what else media bring about |
//! | `overlay` | records and lookups |
//! | `post` | how long messages take, and which arrive |

mod calls;
mod feeds;
mod happening;
mod look;
mod machines;
mod orders;
mod overlay;
mod people;
mod post;
mod setting;
mod standbys;

pub use setting::Setting;

use super::crowd::Person;
use super::media::Media;
use super::offices::Novices;
use super::session::{Sessions, Ticket};
use super::summary::Summary;
use super::wheel::Wheel;
use crate::env::Seeded;
use crate::ids::ChannelId;
use crate::iptv::{Config, Order};
use crate::time::{Duration, Instant};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use happening::Happening;
use overlay::Directory;
use people::Hosts;

/// The channel that everybody watches.
const CHANNEL: ChannelId = ChannelId(0);
/// The node that publishes it.
pub const SOURCE: u32 = 0;

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
    hosts: Hosts,
    sessions: Sessions,
    media: Media,
    /// The call of each path.
    calls: Vec<Ticket>,
    directory: Directory,
    dice: Seeded,
    people: u32,
    orders: VecDeque<Order<u32>>,
    summary: Summary,
    novices: Novices,
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
            hosts: Hosts::default(),
            sessions: Sessions::default(),
            media: Media::new(setting.terms, SOURCE, now),
            calls: Vec::new(),
            directory: Directory::default(),
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
        self.hosts.present()
    }

    /// Nodes that have media.
    pub fn fed(&self) -> usize {
        self.hosts.numbers().filter(|&n| self.media.is_fed(n)).count()
    }

    /// Nodes that have played and get nothing now.
    pub fn starving(&self) -> usize {
        self.hosts.numbers().filter(|&n| self.media.starves(n)).count()
    }

    /// Hops from the source: in the mean, and the most.
    pub fn depths(&self) -> (f64, u16) {
        let depths = || self.hosts.numbers().skip(1).filter_map(|n| self.media.depth(n));
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
            if self.hosts.numbers().end > viewers && self.fed() > viewers as usize {
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
        for n in self.hosts.numbers() {
            self.plan_departure(n);
        }
        let World { media, setting, sessions, .. } = self;
        let between = |a, b| setting.conditions.latency.between(a, b, setting.crowd.seed);
        media.restart(self.now, between);
        for session in sessions.iter_mut() {
            session.delay = between(session.caller, session.callee);
        }
        let World { summary, .. } = self;
        *summary = Summary {
            hash: summary.hash,
            happened: summary.happened,
            before: summary.happened,
            ..Summary::default()
        };
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
        for n in self.hosts.numbers().skip(1) {
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
            let Some(host) = self.hosts.get(node) else { continue };
            let leaves = self.begins + host.person.leaves.since(Instant::ZERO);
            if self.now < leaves
                && let Some(status) = host.iptv.status(CHANNEL)
            {
                self.summary.offices.judge(host.person.lies, status.relayer);
            }
        }
    }
}
