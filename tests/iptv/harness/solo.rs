//! One policy, told facts by hand; media come when the test says so.

use super::{CHANNEL, SOURCE, ms};
use p2piptv::env::Seeded;
use p2piptv::ids::{CallId, ChannelId};
use p2piptv::iptv::{
    Config, Context, Fact, InviteKind, Iptv, Order, Pace, Progress, Provider, Reception, Report,
};
use p2piptv::time::Instant;
use std::collections::{BTreeMap, VecDeque};

/// Media that comes when the test says so.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) media: Option<Instant>,
    pub(crate) from: Option<Instant>,
    pub(crate) report: Option<Instant>,
    pub(crate) lossy: Option<CallId>,
    pub(crate) pace: Option<Pace>,
    pub(crate) reception: Option<Reception>,
    pub(crate) round_trip: Option<core::time::Duration>,
    /// What was heard from calls for which `from` does not speak.
    pub(crate) elsewhere: BTreeMap<CallId, Instant>,
    /// Packets from the other ones, and when the last one came.
    pub(crate) brought: (u64, Option<Instant>),
}

impl Progress for Told {
    fn last_media(&self, _: ChannelId) -> Option<Instant> {
        self.media
    }
    fn last_from(&self, call: CallId) -> Option<Instant> {
        self.elsewhere.get(&call).copied().or(self.from)
    }
    fn brought(&self, call: CallId) -> u64 {
        if self.elsewhere.contains_key(&call) { 0 } else { self.brought.0 }
    }
    fn last_brought(&self, call: CallId) -> Option<Instant> {
        if self.elsewhere.contains_key(&call) { None } else { self.brought.1 }
    }
    fn round_trip(&self) -> Option<core::time::Duration> {
        self.round_trip
    }
    fn last_report(&self, _: CallId) -> Option<Instant> {
        self.report
    }
    fn reported_loss(&self, call: CallId) -> Option<u8> {
        Some(if self.lossy == Some(call) { 30 } else { 0 })
    }
    fn pace(&self, _: ChannelId) -> Option<Pace> {
        self.pace
    }
    fn reception(&self, _: ChannelId) -> Option<Reception> {
        self.reception
    }
}

/// One policy and its clock.
pub(crate) struct Solo {
    pub(crate) iptv: Iptv<u32>,
    pub(crate) now: Instant,
    pub(crate) told: Told,
    entropy: Seeded,
    calls: u32,
}

impl Solo {
    pub(crate) fn new(config: Config) -> Self {
        let now = Instant::from_millis(1000);
        Solo {
            iptv: Iptv::new(config, SOURCE),
            now,
            told: Told::default(),
            entropy: Seeded::new(1),
            calls: 0,
        }
    }

    pub(crate) fn publisher(config: Config) -> Self {
        let mut s = Solo::new(config);
        s.act(|i, now, ctx| i.publish(now, CHANNEL, ctx).unwrap());
        s
    }

    pub(crate) fn act(
        &mut self,
        act: impl FnOnce(&mut Iptv<u32>, Instant, &mut Context<'_, u32>),
    ) -> VecDeque<Order<u32>> {
        let mut orders = VecDeque::new();
        let mut ctx = Context { entropy: &mut self.entropy, progress: &self.told, orders: &mut orders };
        act(&mut self.iptv, self.now, &mut ctx);
        orders
    }

    pub(crate) fn fact(&mut self, fact: Fact<u32>) -> VecDeque<Order<u32>> {
        self.act(|i, now, ctx| i.on_fact(now, fact, ctx))
    }

    /// Wakes exactly at each deadline (K1, K2) until `time` has passed; hands out what was ordered.
    pub(crate) fn pass(&mut self, time: u64) -> Vec<Order<u32>> {
        let end = self.now + ms(time);
        let mut all = Vec::new();
        while let Some(d) = self.iptv.deadline().filter(|&d| d <= end) {
            assert!(d > self.now, "K1: {d:?} at {:?}", self.now);
            self.now = d;
            all.extend(self.act(|i, now, ctx| i.handle_timeout(now, ctx)));
            assert!(self.iptv.deadline().is_none_or(|next| next > d), "K2: no progress at {d:?}");
        }
        self.now = end;
        all
    }

    pub(crate) fn invited(&mut self, peer: u32, urgent: bool) -> (CallId, VecDeque<Order<u32>>) {
        self.called_by(peer, (urgent, false), 2)
    }

    /// The same by one that has media and looks for another place.
    pub(crate) fn invited_by_mover(&mut self, peer: u32) -> (CallId, VecDeque<Order<u32>>) {
        self.called_by(peer, (false, true), 2)
    }

    pub(crate) fn called_by(
        &mut self,
        peer: u32,
        (urgent, moves): (bool, bool),
        slots: u16,
    ) -> (CallId, VecDeque<Order<u32>>) {
        let call = CallId::received(self.calls);
        self.calls += 1;
        let slots = Some(slots);
        (call, self.fact(Fact::Invited { channel: CHANNEL, call, peer, urgent, moves, slots }))
    }

    pub(crate) fn reported(&mut self, call: CallId, report: Report<u32>) -> VecDeque<Order<u32>> {
        self.fact(Fact::Reported { call, report })
    }

    /// A viewer that plays from `parent`, with the source and itself (as node 0) known.
    pub(crate) fn viewer(config: Config, parent: u32) -> (Self, CallId) {
        let mut s = Solo::new(config);
        s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
        let call = s.play_from(parent);
        (s, call)
    }

    /// The same for a standby source.
    pub(crate) fn standby(config: Config, parent: u32) -> (Self, CallId) {
        let mut s = Solo::new(config);
        s.act(|i, now, ctx| i.stand_by(now, CHANNEL, ctx).unwrap());
        let call = s.play_from(parent);
        (s, call)
    }

    fn play_from(&mut self, parent: u32) -> CallId {
        let s = self;
        let providers = vec![Provider { peer: parent, depth: Some(0), free: Some(1) }];
        let orders = s.fact(Fact::Fetched { channel: CHANNEL, providers });
        let call = placed(&orders, parent).expect("the provider is called");
        s.fact(Fact::Answered { call, depth: Some(0), rescue: false });
        s.hear();
        s.fact(Fact::FirstPacket { channel: CHANNEL, call });
        call
    }

    pub(crate) fn hear(&mut self) {
        self.told.media = Some(self.now);
        self.told.from = Some(self.now);
        self.told.brought = (self.told.brought.0 + 1, Some(self.now));
    }

    /// A packet every 10 ms from the parent, for so long; what was ordered meanwhile.
    pub(crate) fn hear_for(&mut self, time: u64) -> Vec<Order<u32>> {
        let mut orders = Vec::new();
        for _ in 0..time / 10 {
            self.hear();
            orders.extend(self.pass(10));
        }
        orders
    }

    /// The providers of these standbys deny, one after the other.
    pub(crate) fn denied_by(&mut self, standbys: [CallId; 3]) -> Vec<Order<u32>> {
        standbys.into_iter().flat_map(|call| self.fact(Fact::Denied { call })).collect()
    }

    /// The provider of a standby sends something new now.
    pub(crate) fn covered_by(&mut self, call: CallId) {
        self.told.media = Some(self.now);
        self.told.elsewhere.insert(call, self.now);
    }

    /// A standby sends a packet every 10 ms for so long.
    pub(crate) fn cover_for(&mut self, call: CallId, time: u64) -> Vec<Order<u32>> {
        let mut orders = Vec::new();
        for _ in 0..time / 10 {
            self.covered_by(call);
            orders.extend(self.pass(10));
        }
        orders
    }

    /// Children report every half second.
    pub(crate) fn pass_reported(&mut self, time: u64) -> Vec<Order<u32>> {
        let mut orders = Vec::new();
        for n in 0..time.div_ceil(500) {
            self.told.report = Some(self.now);
            orders.extend(self.pass((time - n * 500).min(500)));
        }
        self.told.report = Some(self.now);
        orders
    }
}

/// Everybody who is called, and how.
pub(crate) fn called<'a>(orders: impl IntoIterator<Item = &'a Order<u32>>) -> Vec<(u32, CallId, InviteKind)> {
    let call = |o: &Order<u32>| match o {
        Order::Invite { peer, call, kind, .. } => Some((*peer, *call, *kind)),
        _ => None,
    };
    orders.into_iter().filter_map(call).collect()
}

pub(crate) fn placed<'a>(orders: impl IntoIterator<Item = &'a Order<u32>>, to: u32) -> Option<CallId> {
    orders.into_iter().find_map(|o| match o {
        Order::Invite { call, peer, .. } if *peer == to => Some(*call),
        _ => None,
    })
}

pub(crate) fn has(orders: &VecDeque<Order<u32>>, wanted: impl Fn(&Order<u32>) -> bool) -> bool {
    orders.iter().any(wanted)
}

pub(crate) fn selected(orders: impl IntoIterator<Item = Order<u32>>) -> Vec<CallId> {
    let calls = orders.into_iter().filter_map(|o| match o {
        Order::Inform { call, report: Report::SelectedRelayer { .. } } => Some(call),
        _ => None,
    });
    calls.collect()
}
