//! The policy as a whole: many machines on one virtual clock, and the laws of the tree.

#[path = "iptv/admission.rs"]
mod admission;
#[path = "iptv/backups.rs"]
mod backups;
#[path = "iptv/delegated.rs"]
mod delegated;
#[path = "iptv/flat.rs"]
mod flat;
#[path = "iptv/harness.rs"]
mod harness;
#[path = "iptv/misuse.rs"]
mod misuse;
#[path = "iptv/nonsense.rs"]
mod nonsense;
#[path = "iptv/pauses.rs"]
mod pauses;
#[path = "iptv/succession.rs"]
mod succession;

use harness::{CHANNEL, SOURCE, World, ms};
use p2piptv::env::{Entropy, Seeded};
use p2piptv::ids::{CallId, ChannelId};
use p2piptv::iptv::{
    ByeReason, Child, Config, Context, Denial, EndReason, Event, Fact, Hold, InviteKind, Iptv, Mode, Order,
    Pace, Profile, Progress, Provider, Reception, Refusal, Report, Role, Subtree,
};
use p2piptv::time::Instant;
use std::collections::{BTreeMap, VecDeque};

fn default(capacity: u16) -> Config {
    Config::new(Profile::Default, capacity)
}

/// Viewers that join one after the other, `apart` from each other.
fn grown(config: Config, viewers: usize, apart: u64) -> World {
    let mut w = World::new(config, 7);
    w.run(ms(1000));
    for _ in 0..viewers {
        w.join();
        w.run(ms(apart));
    }
    w
}

#[test]
fn p8_table_1_appears_with_capacity_two_and_six_joins() {
    for profile in [Profile::Default, Profile::Paper] {
        let w = grown(Config::new(profile, 2), 6, 2000);
        let expected = [(1, 1, 0), (1, 2, 0), (2, 3, 1), (2, 4, 1), (2, 5, 2), (2, 6, 2)];
        assert_eq!(w.table(), expected, "{profile:?}\n{}", w.tail(200));
        assert!(w.starving(ms(100)).is_empty());
    }
}

#[test]
fn q18_fourteen_viewers_make_three_layers_with_relayers_that_report_through_control_dialogs() {
    let mut w = grown(default(2), 14, 2000);
    w.run(ms(5000));
    let mut layers = [0; 5];
    w.table().iter().for_each(|r| layers[usize::from(r.0)] += 1);
    assert_eq!(layers, [0, 2, 4, 8, 0], "{}", w.tail(100));
    let second: Vec<u32> = w.table().iter().filter(|r| r.0 == 2).map(|r| r.1).collect();
    let working =
        second.iter().filter(|p| w.registrations.contains(p) && w.alives.get(p).is_some_and(|&n| n >= 3));
    assert!(working.count() >= 2);
    assert!(w.starving(ms(100)).is_empty());
}

#[test]
fn q6_only_the_two_orphans_of_a_killed_relayer_act() {
    let mut w = grown(default(2), 14, 2000);
    w.run(ms(8000));
    let orphans: Vec<u32> = (1..15).filter(|&i| w.parent(i) == Some(1)).collect();
    assert_eq!(orphans.len(), 2);
    w.forget_counts();
    w.kill(1);
    let killed = w.now;
    w.run(ms(1500));
    let covered = w.event_times(|_, e| matches!(e, Event::Covered { .. }));
    assert_eq!(covered.len(), 2, "{}", w.tail(150));
    assert!(covered.iter().all(|t| t.since(killed) <= ms(500)), "{covered:?}");
    let orphaned = w.event_times(|_, e| matches!(e, Event::Orphaned { .. }));
    assert!(orphaned.len() == 2 && orphaned.iter().all(|t| t.since(killed) <= ms(1500)), "{orphaned:?}");
    for id in 2..15 {
        let calls = w.peers[id as usize].invites;
        assert!(orphans.contains(&id) || calls == 0, "{id} placed {calls}\n{}", w.tail(150));
        assert_eq!(w.peers[id as usize].fetches, 0, "repair needs no lookup");
    }
    assert!(w.starving(ms(100)).is_empty(), "{:?}\n{}", w.starving(ms(100)), w.tail(150));
    w.run(ms(20_000));
    let rescued: Vec<u32> = (2..15).filter(|&i| w.status(i).is_some_and(|s| s.rescue)).collect();
    assert!(rescued.is_empty(), "{:?} {rescued:?} still sit in rescue slots\n{}", w.table(), w.tail(1500));
    assert!(w.starving(ms(100)).is_empty());
}

/// The busiest relayer of a grown tree dies. Every viewer plays again, and whoever was rescued gets an ordinary slot soon
/// after there is one.
#[test]
fn q1_a_rescued_child_sits_in_an_ordinary_slot_within_three_seconds_of_one_being_there() {
    for (viewers, seed) in [6, 9, 14, 21].into_iter().flat_map(|v| (0..25).map(move |s| (v, s))) {
        let mut w = World::new(default(2), seed);
        w.run(ms(1000));
        for _ in 0..viewers {
            w.join();
            w.run(ms(900));
        }
        w.run(ms(2500));
        let killed = w.now;
        w.take_silences();
        w.kill(1 + (seed % 2) as u32);
        w.run(ms(15_000));
        let last = w.take_silences().iter().map(|s| s.0.since(killed)).max().unwrap_or_default();
        let deep = w.viewers().filter_map(|v| w.status(v)?.depth).max();
        let told = format!("{viewers} viewers, seed {seed}: {last:?}, {deep:?}, {:?}", w.longest_wait);
        let rescued: Vec<u32> = w.viewers().filter(|&i| w.status(i).is_some_and(|s| s.rescue)).collect();
        assert!(w.longest_wait <= ms(3000) && rescued.is_empty(), "{told}\n{}", w.tail(500));
        assert!(last <= ms(5000), "{told}\n{}", w.tail(500));
        // A full tree of this size has three layers, or four.
        assert!(deep <= Some(if viewers < 10 { 3 } else { 5 }), "{told}\n{}", w.tail(500));
        assert!(w.starving(ms(100)).is_empty());
    }
}

#[test]
fn p18_the_paper_notices_after_fifteen_seconds_and_looks_the_channel_up_again() {
    let mut w = grown(Config::new(Profile::Paper, 2), 6, 2000);
    w.forget_counts();
    w.kill(1);
    let killed = w.now;
    w.run(ms(14_000));
    assert!(w.event_times(|_, e| matches!(e, Event::Orphaned { .. })).is_empty(), "{}", w.tail(300));
    w.run(ms(120_000));
    let orphaned = w.event_times(|_, e| matches!(e, Event::Orphaned { .. }));
    assert_eq!(orphaned.len(), 2, "{killed:?} {orphaned:?} {}", w.tail(400));
    assert!(orphaned.iter().all(|t| (15_000..15_200).contains(&t.since(killed).as_millis())));
    for id in [3, 4] {
        assert!(w.peers[id].fetches > 0);
    }
    assert!(w.starving(ms(100)).is_empty(), "{:?} {:?}\n{}", w.starving(ms(100)), w.table(), w.tail(100));
}

/// Fifteen seconds until an orphan notices, some more until the source has noticed too and its slot is free; no longer. And
/// whoever lives stands in the table with its depth (P17).
#[test]
fn p18_the_papers_orphans_do_not_wait_for_the_dead_and_its_table_is_refreshed() {
    for (viewers, seed) in [6, 9, 14].into_iter().flat_map(|v| (0..12).map(move |s| (v, s))) {
        let mut w = grown(Config::new(Profile::Paper, 2), viewers, 900 + seed);
        w.run(ms(2500));
        let killed = w.now;
        w.kill(1 + (seed % 2) as u32);
        w.run(ms(40_000));
        let back = w.event_times(|_, e| matches!(e, Event::Reparented { .. }));
        let last = back.into_iter().max().map(|t| t.since(killed));
        assert!(last <= Some(ms(30_000)), "{viewers} viewers, seed {seed}: {last:?}\n{}", w.tail(200));
        assert!(w.starving(ms(500)).is_empty());
        let mut told: Vec<(u32, u32)> =
            w.table().iter().filter(|r| r.0 < u8::MAX).map(|r| (r.1, r.2)).collect();
        told.sort_unstable();
        let real: Vec<(u32, u32)> = w.viewers().map(|v| (v, w.parent(v).unwrap())).collect();
        assert_eq!(told, real, "{viewers} viewers, seed {seed}");
    }
}

/// A script of joins, deaths, departures and stalls, drawn from a seed; then peace. Everybody who lives plays again, soon,
/// and nobody stays in a rescue slot. (The harness checks the other laws at every step.)
fn survives(seed: u64, mode: Mode) -> bool {
    let mut dice = Seeded::new(seed);
    let mut w = World::new(Config { mode, ..default(1 + dice.below(3) as u16) }, seed);
    w.latency = ms(1 + dice.below(60));
    w.run(ms(500));
    for _ in 0..6 + dice.below(40) {
        let n = w.peers.len() as u64;
        let any = 1 + dice.below(n.max(2) - 1) as u32;
        match dice.below(10) {
            _ if n < 6 => {
                w.join();
            }
            0 | 1 if w.peers[any as usize].alive => w.kill(any),
            2 if w.peers[any as usize].alive => w.stop(any),
            3 if w.peers[any as usize].alive => w.stall(any, ms(dice.below(6000))),
            _ if n < 28 => {
                w.join();
            }
            _ => {}
        }
        w.run(ms(dice.below(3000)));
    }
    w.run(ms(20_000));
    let starving = w.starving(ms(500));
    assert!(starving.is_empty(), "seed {seed}: {starving:?} starve\n{:?}\n{}", w.table(), w.tail(300));
    w.run(ms(60_000));
    let starving = w.starving(ms(500));
    assert!(starving.is_empty(), "seed {seed}: {starving:?} starve later\n{:?}\n{}", w.table(), w.tail(300));
    let rescued: Vec<u32> = w.viewers().filter(|&i| w.status(i).is_some_and(|s| s.rescue)).collect();
    assert!(rescued.is_empty(), "seed {seed}: {rescued:?} stay rescued\n{:?}\n{}", w.table(), w.tail(300));
    true
}

#[test]
fn whoever_lives_plays_again_soon_after_the_last_blow() {
    for seed in 0..24 {
        survives(seed, Mode::SourceManaged);
    }
}

// ---- one machine, told facts by hand

/// Media that comes when the test says so.
#[derive(Default)]
struct Told {
    media: Option<Instant>,
    from: Option<Instant>,
    report: Option<Instant>,
    lossy: Option<CallId>,
    pace: Option<Pace>,
    reception: Option<Reception>,
    round_trip: Option<core::time::Duration>,
    /// What was heard from calls for which `from` does not speak.
    elsewhere: BTreeMap<CallId, Instant>,
    /// Packets from the other ones, and when the last one came.
    brought: (u64, Option<Instant>),
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
struct Solo {
    iptv: Iptv<u32>,
    now: Instant,
    told: Told,
    entropy: Seeded,
    calls: u32,
}

impl Solo {
    fn new(config: Config) -> Self {
        let now = Instant::from_millis(1000);
        Solo {
            iptv: Iptv::new(config, SOURCE),
            now,
            told: Told::default(),
            entropy: Seeded::new(1),
            calls: 0,
        }
    }

    fn publisher(config: Config) -> Self {
        let mut s = Solo::new(config);
        s.act(|i, now, ctx| i.publish(now, CHANNEL, ctx).unwrap());
        s
    }

    fn act(
        &mut self,
        act: impl FnOnce(&mut Iptv<u32>, Instant, &mut Context<'_, u32>),
    ) -> VecDeque<Order<u32>> {
        let mut orders = VecDeque::new();
        let mut ctx = Context { entropy: &mut self.entropy, progress: &self.told, orders: &mut orders };
        act(&mut self.iptv, self.now, &mut ctx);
        orders
    }

    fn fact(&mut self, fact: Fact<u32>) -> VecDeque<Order<u32>> {
        self.act(|i, now, ctx| i.on_fact(now, fact, ctx))
    }

    /// Wakes exactly at each deadline (K1, K2) until `time` has passed; hands out what was ordered.
    fn pass(&mut self, time: u64) -> Vec<Order<u32>> {
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

    fn invited(&mut self, peer: u32, urgent: bool) -> (CallId, VecDeque<Order<u32>>) {
        let call = CallId::received(self.calls);
        self.calls += 1;
        (call, self.fact(Fact::Invited { channel: CHANNEL, call, peer, urgent, slots: Some(2) }))
    }

    fn reported(&mut self, call: CallId, report: Report<u32>) -> VecDeque<Order<u32>> {
        self.fact(Fact::Reported { call, report })
    }

    /// A viewer that plays from `parent`, with the source and itself (as node 0) known.
    fn viewer(config: Config, parent: u32) -> (Self, CallId) {
        let mut s = Solo::new(config);
        s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
        let call = s.play_from(parent);
        (s, call)
    }

    /// The same for a standby source.
    fn standby(config: Config, parent: u32) -> (Self, CallId) {
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

    fn hear(&mut self) {
        self.told.media = Some(self.now);
        self.told.from = Some(self.now);
        self.told.brought = (self.told.brought.0 + 1, Some(self.now));
    }

    /// A packet every 10 ms from the parent, for so long; what was ordered meanwhile.
    fn hear_for(&mut self, time: u64) -> Vec<Order<u32>> {
        let mut orders = Vec::new();
        for _ in 0..time / 10 {
            self.hear();
            orders.extend(self.pass(10));
        }
        orders
    }
}

fn placed<'a>(orders: impl IntoIterator<Item = &'a Order<u32>>, to: u32) -> Option<CallId> {
    orders.into_iter().find_map(|o| match o {
        Order::Invite { call, peer, .. } if *peer == to => Some(*call),
        _ => None,
    })
}

fn has(orders: &VecDeque<Order<u32>>, wanted: impl Fn(&Order<u32>) -> bool) -> bool {
    orders.iter().any(wanted)
}

fn selected(orders: impl IntoIterator<Item = Order<u32>>) -> Vec<CallId> {
    let calls = orders.into_iter().filter_map(|o| match o {
        Order::Inform { call, report: Report::SelectedRelayer { .. } } => Some(call),
        _ => None,
    });
    calls.collect()
}

#[test]
fn q8_a_decline_elects_the_next_and_so_does_an_offer_without_an_answer() {
    let mut s = Solo::publisher(default(3));
    let (first, _) = s.invited(1, false);
    let (second, _) = s.invited(2, false);
    let (third, orders) = s.invited(3, false);
    assert_eq!(selected(orders), [first]);
    let orders = s.reported(first, Report::RelayerDeclined);
    assert_eq!(selected(orders), [second]);
    s.told.report = Some(s.now + ms(3100));
    assert!(selected(s.pass(2999)).is_empty());
    assert_eq!(selected(s.pass(1)), [third]);
    // The one that declined rests.
    s.reported(third, Report::RelayerDeclined);
    s.told.report = Some(s.now + ms(40_000));
    assert!(selected(s.pass(20_000)).is_empty());
    assert_eq!(selected(s.pass(8_000)), [first]);
}

#[test]
fn q1_full_means_503_while_an_offer_is_pending_and_302_when_a_relayer_is_ready() {
    let mut s = Solo::publisher(default(1));
    let (first, _) = s.invited(1, false);
    let (_, orders) = s.invited(2, false);
    assert!(has(&orders, |o| matches!(
        o,
        Order::Refuse { denial: Denial::Busy { retry_after }, .. } if *retry_after >= ms(1000)
    )));
    s.reported(first, Report::RelayerAccepted { free: 1 });
    let (call, orders) = s.invited(2, false);
    let free = Some(1);
    let providers = vec![Provider { peer: 1, depth: Some(1), free }];
    assert!(orders.contains(&Order::Redirect { call, providers }));
    // The slot is promised: the next newcomer is not sent after the first.
    let (_, orders) = s.invited(3, false);
    assert!(has(&orders, |o| matches!(o, Order::Refuse { denial: Denial::Busy { .. }, .. })));
}

#[test]
fn q1_the_rescue_slot_is_for_orphans_and_the_first_ordinary_slot_that_frees_is_theirs() {
    let mut s = Solo::publisher(default(1));
    let (first, _) = s.invited(1, false);
    let (orphan, orders) = s.invited(2, true);
    assert!(orders.contains(&Order::Accept { call: orphan, depth: 0, rescue: true, free: 0 }));
    // The next one is told who else may have one.
    let (call, orders) = s.invited(3, true);
    let providers = vec![Provider { peer: 2, depth: Some(1), free: Some(0) }];
    assert!(orders.contains(&Order::Redirect { call, providers }));
    let orders = s.fact(Fact::Ended { call: first, reason: ByeReason::Normal });
    assert!(has(&orders, |o| matches!(
        o,
        Order::Inform { call, report: Report::TreePosition { rescue: false, .. } } if *call == orphan
    )));
    assert_eq!(s.iptv.status(CHANNEL).unwrap().children, (1, 0));
}

#[test]
fn an_orphan_makes_the_source_look_closer_at_the_parent_that_it_has_lost() {
    // With and without an orphan, after the last report of the relayer.
    for (orphan, gone_after) in [(true, 1500), (false, 3500)] {
        let mut s = Solo::publisher(default(2));
        s.told.report = Some(s.now);
        let (first, _) = s.invited(1, false);
        s.invited(2, false);
        s.reported(first, Report::RelayerAccepted { free: 2 });
        let children = vec![Child { peer: 3, slots: Some(2), rescue: false }];
        s.reported(first, Report::ChildUpdate { children, free: Some(1) });
        s.pass(400);
        if orphan {
            let (_, orders) = s.invited(3, true);
            assert!(has(&orders, |o| matches!(o, Order::Accept { rescue: true, .. })));
        }
        let left = |o: &Order<u32>| matches!(o, Order::Event(Event::ChildLeft { child: 1, .. }));
        assert!(!s.pass(gone_after - 401).iter().any(left), "orphan: {orphan}");
        let orders = s.pass(1);
        assert!(orders.iter().any(left), "orphan: {orphan}");
        // The slot goes to the orphan, at once.
        assert_eq!(s.iptv.status(CHANNEL).unwrap().children.1, 0);
    }
}

#[test]
fn an_orphan_that_errs_takes_nothing_from_a_relayer_that_reports() {
    let mut s = Solo::publisher(default(2));
    let (first, _) = s.invited(1, false);
    s.invited(2, false);
    s.reported(first, Report::RelayerAccepted { free: 2 });
    let children = vec![Child { peer: 3, slots: Some(2), rescue: false }];
    s.reported(first, Report::ChildUpdate { children, free: Some(1) });
    for _ in 0..30 {
        s.told.report = Some(s.now);
        s.invited(3, true);
        s.pass(1400);
        s.reported(first, Report::Alive);
    }
    assert_eq!(s.iptv.table(CHANNEL).iter().filter(|r| r.depth == Some(1) && r.peer < 3).count(), 2);
}

#[test]
fn q13_when_everybody_is_full_the_source_names_rescue_slots_away_from_the_dead() {
    let mut s = Solo::publisher(default(2));
    s.told.report = Some(s.now);
    let calls = [1, 2].map(|peer| s.invited(peer, false).0);
    for (call, peers) in calls.into_iter().zip([[3, 4], [5, 6]]) {
        s.reported(call, Report::RelayerAccepted { free: 2 });
        let children = peers.map(|peer| Child { peer, slots: Some(2), rescue: false }).to_vec();
        s.reported(call, Report::FullCapacity { children });
    }
    s.invited(3, true);
    // 4 has lost the same parent: neither 1 nor whoever hangs below it is named.
    let (_, orders) = s.invited(4, true);
    let named = orders.iter().find_map(|o| match o {
        Order::Redirect { providers, .. } => Some(providers.iter().map(|p| p.peer).collect::<Vec<_>>()),
        _ => None,
    });
    let mut named = named.expect("a redirect");
    assert_eq!(named[0], 2, "the nearest to the source is the first");
    named.sort_unstable();
    // An offer is under way to one of the others.
    assert!(named.iter().all(|p| [2, 3, 5, 6].contains(p)), "{named:?}");
    // A newcomer waits.
    let (_, orders) = s.invited(9, false);
    assert!(has(&orders, |o| matches!(o, Order::Refuse { denial: Denial::Busy { .. }, .. })));
}

/// A viewer that sank from depth 1 to depth 4: it asks the source after ten seconds and more, ever less often, and takes
/// nobody who is not two layers better.
#[test]
fn a_viewer_that_sank_climbs_back_when_there_is_a_place_two_layers_nearer_to_the_source() {
    let config = Config { climb_after: ms(10_000), ..default(2) };
    let (mut s, first) = Solo::viewer(config, 9);
    let place = |path: Vec<u32>| Report::TreePosition {
        depth: 0,
        path,
        rescue: false,
        backups: vec![],
        delegated: false,
    };
    s.reported(first, place(vec![9]));
    let orders = s.fact(Fact::Ended { call: first, reason: ByeReason::Leaving });
    let call = placed(&orders, 9).expect("the source is asked");
    let below = vec![Provider { peer: 5, depth: Some(3), free: Some(1) }];
    let orders = s.fact(Fact::Refused { call, refusal: Refusal::Redirected(below) });
    let deep = placed(&orders, 5).unwrap();
    s.fact(Fact::Answered { call: deep, depth: Some(3), rescue: false });
    s.reported(deep, place(vec![9, 3, 4, 5]));
    s.hear();
    s.fact(Fact::FirstPacket { channel: CHANNEL, call: deep });
    let wait = |s: &mut Solo, time: u64| {
        let mut orders = Vec::new();
        for _ in 0..time / 100 {
            s.hear();
            orders.extend(s.pass(100));
        }
        orders
    };
    assert_eq!(placed(&wait(&mut s, 9_900), 9), None);
    let asked = placed(&wait(&mut s, 5_200), 9).expect("it asks the source");
    let offered = [(6, 2), (7, 1)].map(|(peer, depth)| Provider { peer, depth: Some(depth), free: Some(1) });
    let orders = s.fact(Fact::Refused { call: asked, refusal: Refusal::Redirected(offered.to_vec()) });
    assert_eq!(placed(&orders, 6), None, "one layer is not worth it");
    let better = placed(&orders, 7).expect("two are");
    s.fact(Fact::Refused { call: better, refusal: Refusal::Busy { retry_after: None } });
    wait(&mut s, 5_000);
    // The second pause is twice as long.
    assert_eq!(placed(&wait(&mut s, 14_000), 9), None);
    let asked = placed(&wait(&mut s, 12_000), 9).expect("it asks again");
    let orders = s.fact(Fact::Answered { call: asked, depth: Some(0), rescue: false });
    assert!(!has(&orders, |o| matches!(o, Order::Bye { .. })), "make before break");
    let orders = s.fact(Fact::FirstPacket { channel: CHANNEL, call: asked });
    assert!(orders.contains(&Order::Bye { call: deep, reason: ByeReason::Normal }));
    assert_eq!(s.iptv.status(CHANNEL).unwrap().depth, Some(1));
    // Back home it asks nobody.
    assert!(!wait(&mut s, 200_000).iter().any(|o| matches!(o, Order::Invite { .. })));
}

#[test]
fn whoever_sinks_with_its_parent_leaves_the_climb_to_the_parent() {
    let (mut s, call) = Solo::viewer(default(0), 9);
    for path in [vec![9], vec![9, 2, 3, 4, 5]] {
        s.reported(
            call,
            Report::TreePosition { depth: 0, path, rescue: false, backups: vec![], delegated: false },
        );
    }
    for _ in 0..2_000 {
        s.hear();
        let orders = s.pass(100);
        assert!(!orders.iter().any(|o| matches!(o, Order::Invite { .. })));
    }
}

#[test]
fn a_capacity_that_comes_later_brings_its_rescue_slot_but_not_in_the_papers_profile() {
    for (profile, rescued) in [(Profile::Default, (1, 1)), (Profile::Paper, (1, 0))] {
        let mut s = Solo::publisher(Config::new(profile, 0));
        s.invited(1, true);
        assert_eq!(s.iptv.status(CHANNEL).unwrap().children, (0, 0), "{profile:?} has nothing to give");
        s.act(|i, now, ctx| i.set_capacity(now, 1, ctx));
        s.invited(1, false);
        s.invited(2, true);
        assert_eq!(s.iptv.status(CHANNEL).unwrap().children, rescued, "{profile:?}");
    }
}

#[test]
fn a_relayer_that_leaves_by_plan_is_lost_at_once_and_one_that_only_moves_is_not() {
    for (reason, lost) in [(ByeReason::Leaving, 1), (ByeReason::Normal, 0)] {
        // In its slot here, or in the control dialog that a deeper one has.
        for deeper in [false, true] {
            let mut s = Solo::publisher(default(1));
            let (mut call, _) = s.invited(1, false);
            s.reported(call, Report::RelayerAccepted { free: 1 });
            if deeper {
                let children = vec![Child { peer: 2, slots: Some(1), rescue: false }];
                let orders = s.reported(call, Report::FullCapacity { children });
                call = placed(&orders, 2).expect("the next layer is asked");
                s.fact(Fact::Answered { call, depth: Some(1), rescue: false });
                s.reported(call, Report::RelayerAccepted { free: 1 });
            }
            let relayer = 1 + u32::from(deeper);
            let orders = s.fact(Fact::Ended { call, reason });
            let told = |o: &&Order<u32>| matches!(o, Order::Event(Event::RelayerLost { relayer: r, .. }) if *r == relayer);
            assert_eq!(orders.iter().filter(told).count(), lost, "{reason:?}, deeper: {deeper}");
            assert_eq!(s.iptv.table(CHANNEL).iter().any(|r| r.peer == relayer), lost == 0);
        }
    }
}

#[test]
fn an_offer_that_crosses_with_a_move_is_made_again_where_the_candidate_is_now() {
    let mut s = Solo::publisher(default(1));
    let (first, _) = s.invited(1, false);
    s.reported(first, Report::RelayerAccepted { free: 1 });
    let (orphan, _) = s.invited(2, true);
    // 2 has found a slot at 1 and is about to say goodbye when it is offered the office.
    let children = vec![Child { peer: 2, slots: Some(1), rescue: false }];
    let orders = s.reported(first, Report::FullCapacity { children });
    assert_eq!(selected(orders), [orphan]);
    let orders = s.fact(Fact::Ended { call: orphan, reason: ByeReason::Normal });
    assert!(placed(&orders, 2).is_some(), "{orders:?}");
}

#[test]
fn q1_no_more_than_two_redirects_are_followed_and_then_the_source_decides() {
    let mut s = Solo::new(default(2));
    s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
    let at = |peer, depth| Provider { peer, depth: Some(depth), free: Some(1) };
    let mut orders = s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![at(9, 0), at(20, 1)] });
    for next in 21..23 {
        let call = placed(&orders, next - 1).expect("the redirect is followed");
        let refusal = Refusal::Redirected(vec![at(next, 1)]);
        orders = s.fact(Fact::Refused { call, refusal });
    }
    let call = placed(&orders, 22).unwrap();
    let orders = s.fact(Fact::Refused { call, refusal: Refusal::Redirected(vec![at(23, 1)]) });
    assert_eq!(placed(&orders, 23), None);
    assert!(placed(&orders, 9).is_some());
}

#[test]
fn q2_the_next_provider_is_asked_after_the_hedge_and_the_loser_is_cancelled() {
    let mut s = Solo::new(default(2));
    s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
    let at = |peer, free| Provider { peer, depth: Some(1), free: Some(free) };
    let source = Provider { peer: 9, depth: Some(0), free: Some(0) };
    let orders = s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![source, at(4, 1)] });
    let first = placed(&orders, 4).unwrap();
    assert_eq!(placed(&s.pass(199), 9), None);
    let second = placed(&s.pass(1), 9).unwrap();
    let orders = s.fact(Fact::Answered { call: second, depth: Some(0), rescue: false });
    assert!(orders.contains(&Order::Cancel { call: first }));
    // The loser had answered already.
    let orders = s.fact(Fact::Answered { call: first, depth: Some(1), rescue: false });
    assert_eq!(orders, [Order::Bye { call: first, reason: ByeReason::Normal }]);
}

#[test]
fn q2_where_peers_are_far_away_the_hedge_waits_for_three_round_trips() {
    let mut s = Solo::new(default(2));
    s.told.round_trip = Some(ms(230));
    s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
    let source = Provider { peer: 9, depth: Some(0), free: Some(0) };
    let relayer = Provider { peer: 4, depth: Some(1), free: Some(1) };
    s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![source, relayer] });
    assert_eq!(placed(&s.pass(689), 9), None);
    assert!(placed(&s.pass(1), 9).is_some());
}

#[test]
fn q11_silence_repairs_after_400_ms_hold_after_two_seconds_and_a_pause_never() {
    let orphaned =
        |orders: &[Order<u32>]| orders.iter().any(|o| matches!(o, Order::Event(Event::Orphaned { .. })));
    let (mut s, _) = Solo::viewer(default(2), 9);
    assert!(!orphaned(&s.pass(399)));
    assert!(orphaned(&s.pass(1)));

    for (hold, limit) in [(Hold::Starved, Some(2000)), (Hold::Paused, None)] {
        let (mut s, call) = Solo::viewer(default(2), 9);
        let mut waited = 0;
        while waited < 60_000 {
            s.told.from = Some(s.now);
            s.fact(Fact::Held { call, hold });
            if orphaned(&s.pass(200)) {
                break;
            }
            waited += 200;
        }
        match limit {
            Some(limit) => assert!((limit - 200..=limit).contains(&waited), "{hold:?}: {waited}"),
            None => assert_eq!(waited, 60_000),
        }
    }
}

#[test]
fn a_parent_that_was_only_slow_is_kept_when_it_comes_back_before_another_answers() {
    let (mut s, call) = Solo::viewer(default(2), 9);
    s.pass(500);
    s.now += ms(1);
    let orders = s.hear_for(500);
    assert!(orders.iter().any(|o| matches!(o, Order::Event(Event::Reparented { parent: 9, .. }))));
    assert!(!orders.contains(&Order::Bye { call, reason: ByeReason::Normal }));
}

#[test]
fn k6_who_was_asleep_himself_declares_nobody_dead() {
    let (mut s, _) = Solo::viewer(default(2), 9);
    s.now += ms(30_000);
    let orders = s.act(|i, now, ctx| i.handle_timeout(now, ctx));
    assert!(orders.is_empty(), "{orders:?}");
    s.now += ms(50);
    s.hear();
    assert!(s.pass(399).is_empty());
}

#[test]
fn q6_a_path_through_myself_is_a_cycle_and_that_parent_is_left_at_once() {
    let (mut s, call) = Solo::viewer(default(2), 9);
    let backups = vec![Provider { peer: 5, depth: Some(1), free: None }];
    let place =
        |path, backups| Report::TreePosition { depth: 2, path, rescue: false, backups, delegated: false };
    s.reported(call, place(vec![7, 9], backups));
    let orders = s.reported(call, place(vec![7, SOURCE, 9], vec![]));
    assert!(orders.contains(&Order::Bye { call, reason: ByeReason::Normal }));
    assert!(has(&orders, |o| matches!(o, Order::Invite { peer: 5, kind: InviteKind::Urgent, .. })));
}

#[test]
fn q6_whoever_stands_above_me_is_refused_with_a_loop() {
    let (mut s, call) = Solo::viewer(default(2), 9);
    let path = vec![7, 8, 9];
    s.reported(
        call,
        Report::TreePosition { depth: 3, path, rescue: false, backups: vec![], delegated: false },
    );
    for peer in [7, 8, 9, SOURCE] {
        let (call, orders) = s.invited(peer, true);
        assert!(orders.contains(&Order::Refuse { call, denial: Denial::Loop }), "{peer}");
    }
}

#[test]
fn q6_a_starving_relayer_says_hold_and_a_pausing_source_says_paused() {
    let (mut s, _) = Solo::viewer(default(2), 9);
    let (_, orders) = s.invited(3, true);
    assert!(has(&orders, |o| matches!(o, Order::Accept { rescue: true, .. })));
    assert!(s.pass(399).contains(&Order::Hold { channel: CHANNEL, hold: Hold::Starved }));
    let mut s = Solo::publisher(default(2));
    s.invited(3, false);
    s.told.media = Some(s.now);
    let orders = s.pass(1000);
    let paused = Order::Hold { channel: CHANNEL, hold: Hold::Paused };
    assert_eq!(orders.iter().filter(|o| **o == paused).count(), 5);
}

/// A packet every 10 ms: the threshold is 40 ms, and children act after 60 ms.
#[test]
fn q6_a_starving_relayer_says_hold_twice_before_its_children_act() {
    let mut s = Solo::publisher(default(2));
    s.told.pace = Some(Pace { gap: ms(10), jitter: ms(0) });
    s.invited(3, false);
    s.told.media = Some(s.now);
    let holds = |orders: &[Order<u32>]| orders.iter().filter(|o| matches!(o, Order::Hold { .. })).count();
    for (time, said) in [(39, 0), (1, 1), (9, 0), (1, 1), (39, 0), (1, 1)] {
        assert_eq!(
            holds(&s.pass(time)),
            said,
            "{:?} after the last packet",
            s.now.since(s.told.media.unwrap())
        );
    }
}

#[test]
fn q12_where_packets_jitter_a_parents_hold_has_four_deviations_more_to_arrive() {
    let (mut s, _, [first, ..]) = backed_up();
    // A threshold of 10 + 4 * 9 = 46 ms, and 36 ms more.
    s.told.pace = Some(Pace { gap: ms(10), jitter: ms(9) });
    s.hear();
    s.pass(1);
    s.hear();
    assert!(resumed(&s.pass(81)).is_empty());
    assert_eq!(resumed(&s.pass(1)), [first]);
}

#[test]
fn p16_full_capacity_is_reported_when_the_last_slot_is_taken_and_updates_are_coalesced() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let orders = s.reported(parent, Report::SelectedRelayer { register: true });
    assert!(orders.contains(&Order::Inform { call: parent, report: Report::RelayerAccepted { free: 2 } }));
    let (_, orders) = s.invited(3, false);
    let child = |peer| Child { peer, slots: Some(2), rescue: false };
    assert!(!has(&orders, |o| matches!(o, Order::Inform { report: Report::ChildUpdate { .. }, .. })));
    let (second, orders) = s.invited(4, false);
    let report = Report::FullCapacity { children: vec![child(3), child(4)] };
    assert!(orders.contains(&Order::Inform { call: parent, report }));
    s.hear();
    s.now += ms(1);
    let orders = s.fact(Fact::Ended { call: second, reason: ByeReason::Normal });
    assert!(!has(&orders, |o| matches!(o, Order::Inform { report: Report::ChildUpdate { .. }, .. })));
    let mut update = Vec::new();
    for _ in 0..10 {
        s.hear();
        update.extend(s.pass(100));
    }
    let report = Report::ChildUpdate { children: vec![child(3)], free: Some(1) };
    assert_eq!(
        update.iter().filter(|o| **o == Order::Inform { call: parent, report: report.clone() }).count(),
        1
    );
}

#[test]
fn q3_the_record_is_stored_again_when_free_slots_cross_zero_at_a_bounded_rate() {
    let mut s = Solo::publisher(default(1));
    let mut stored = Vec::new();
    for _ in 0..20 {
        let (call, orders) = s.invited(1, false);
        stored.extend(orders);
        stored.extend(s.pass(100));
        stored.extend(s.fact(Fact::Ended { call, reason: ByeReason::Normal }));
        stored.extend(s.pass(400));
    }
    let count = stored.iter().filter(|o| matches!(o, Order::Register { .. })).count();
    assert!(count <= 2, "{count} stores in ten seconds");
}

#[test]
fn k8_strangers_that_offer_control_dialogs_are_bounded_and_forgotten() {
    let mut s = Solo::publisher(default(1));
    let (first, _) = s.invited(1, false);
    s.reported(first, Report::RelayerAccepted { free: 0 });
    let offered = |s: &mut Solo, peer: u32| {
        let call = CallId::received(10_000 + peer);
        let orders = s.fact(Fact::ControlInvited { channel: CHANNEL, call, peer });
        has(&orders, |o| matches!(o, Order::Accept { .. }))
    };
    let admitted = (100..2_000).filter(|&peer| offered(&mut s, peer)).count();
    assert_eq!(admitted, 256);
    // A relayer that the table knows has lost its dialog.
    assert!(offered(&mut s, 1));
    let orders = s.pass(31_000);
    let ended = orders.iter().filter(|o| matches!(o, Order::Bye { .. })).count();
    assert_eq!(ended, 256 + 2, "and the relayer that has fallen silent in both of its dialogs");
    assert!(offered(&mut s, 3_000), "there is room again");
}

#[test]
fn q10_who_loses_packets_itself_is_elected_after_those_who_do_not() {
    for (profile, elected) in [(Profile::Default, 1), (Profile::Paper, 0)] {
        let mut s = Solo::publisher(Config::new(profile, 2));
        let (first, _) = s.invited(1, false);
        s.told.lossy = Some(first);
        let (second, orders) = s.invited(2, false);
        assert_eq!(selected(orders), [[first, second][elected]], "{profile:?}");
    }
}

#[test]
fn p9_channels_share_the_slots_of_one_uplink() {
    let other = ChannelId(200);
    let mut s = Solo::publisher(default(2));
    s.act(|i, now, ctx| i.publish(now, other, ctx).unwrap());
    let (first, _) = s.invited(1, false);
    let call = CallId::received(50);
    let orders = s.fact(Fact::Invited { channel: other, call, peer: 2, urgent: false, slots: Some(2) });
    // The other channel is full as well now, and elects.
    assert_eq!(selected(orders), [first, call]);
    assert_eq!(s.iptv.free_slots(), 0);
    let (_, orders) = s.invited(3, false);
    assert!(has(&orders, |o| matches!(o, Order::Refuse { denial: Denial::Busy { .. }, .. })));
    s.act(|i, now, ctx| i.stop(now, other, ctx).unwrap());
    assert_eq!(s.iptv.free_slots(), 1);
}

#[test]
fn the_end_of_the_channel_reaches_every_viewer_and_leaves_nothing_behind() {
    let mut w = grown(default(2), 6, 2000);
    w.command(SOURCE, |i, now, ctx| i.end(now, CHANNEL, ctx).unwrap());
    w.run(ms(500));
    let ended = w.event_times(|_, e| matches!(e, Event::Ended { reason: EndReason::EndOfChannel, .. })).len();
    assert_eq!(ended, 6);
    for p in &w.peers {
        assert_eq!(p.iptv.channels().count(), 0);
        assert_eq!(p.iptv.deadline(), None);
        assert_eq!(p.iptv.free_slots(), 2);
    }
}

#[test]
fn a_relayer_that_stops_by_plan_is_replaced_before_a_repair_timer_could_run() {
    let mut w = grown(default(2), 6, 2000);
    w.forget_counts();
    let at = w.now;
    w.stop(1);
    w.run(ms(300));
    assert!(w.status(1).is_none());
    let back = w.event_times(|id, e| (id == 3 || id == 4) && matches!(e, Event::Reparented { .. }));
    assert_eq!(back.len(), 2, "{}", w.tail(60));
    assert!(back.iter().all(|t| t.since(at) <= ms(200)));
}

#[test]
fn q2_with_half_of_the_records_stale_a_picture_starts_within_a_second() {
    let mut w = grown(default(2), 14, 1500);
    w.run(ms(5000));
    for id in [3, 5, 7] {
        w.kill(id);
    }
    w.run(ms(10_000));
    let id = w.join();
    w.run(ms(1000));
    let playing = w.event_times(|i, e| i == id && matches!(e, Event::Playing { .. }));
    assert_eq!(playing.len(), 1, "{}", w.tail(60));
}

#[test]
fn a_pause_of_the_source_leaves_the_tree_as_it_is() {
    let mut w = grown(default(2), 6, 2000);
    let before = w.table();
    w.forget_counts();
    w.paused = true;
    w.run(ms(30_000));
    assert_eq!(w.table(), before);
    assert!(w.event_times(|_, e| matches!(e, Event::Orphaned { .. })).is_empty(), "{}", w.tail(100));
    w.paused = false;
    w.run(ms(200));
    assert!(w.starving(ms(150)).is_empty());
}

#[test]
fn whoever_swallows_an_offer_is_passed_over() {
    let mut w = World::new(default(2), 3);
    w.run(ms(1000));
    let first = w.join();
    w.swallow_reports(first);
    w.run(ms(1000));
    let second = w.join();
    w.run(ms(4000));
    let ready = w.event_times(|_, e| matches!(e, Event::RelayerReady { relayer, .. } if *relayer == second));
    assert_eq!(ready.len(), 1, "{}", w.tail(60));
}

#[test]
fn k6_a_timer_that_is_a_little_late_lets_what_lies_in_the_sockets_be_read_first() {
    let (mut s, _, [first, ..]) = backed_up();
    s.now += ms(59 + 30);
    let orders = s.act(|i, now, ctx| i.handle_timeout(now, ctx));
    assert!(orders.is_empty(), "{orders:?}");
    assert_eq!(s.iptv.deadline(), Some(s.now + ms(20)));
    // Nothing was there: now it counts, however late the host is again.
    s.now += ms(50);
    let orders = s.act(|i, now, ctx| i.handle_timeout(now, ctx));
    assert_eq!(resumed(&Vec::from(orders)), [first]);

    let (mut s, ..) = backed_up();
    s.now += ms(59 + 30);
    s.act(|i, now, ctx| i.handle_timeout(now, ctx));
    s.now += ms(1);
    s.hear();
    assert!(resumed(&s.pass(50)).is_empty(), "it was there");
}

// ---- backup parents (Q12, Q13)

/// A viewer of the source 9 at a pace of 10 ms, with standbys at 4, 5 and 6 that are ready.
fn backed_up() -> (Solo, CallId, [CallId; 3]) {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    s.told.pace = Some(Pace { gap: ms(10), jitter: ms(0) });
    let at = |peer| Provider { peer, depth: Some(1), free: None };
    let backups = vec![at(4), at(5), at(6)];
    s.reported(
        parent,
        Report::TreePosition { depth: 1, path: vec![9], rescue: false, backups, delegated: false },
    );
    let mut calls = Vec::new();
    for _ in 0..40 {
        s.hear();
        for order in s.pass(50) {
            if let Order::Invite { call, kind: InviteKind::Standby, .. } = order {
                s.told.elsewhere.insert(call, Instant::ZERO);
                s.fact(Fact::Answered { call, depth: Some(1), rescue: false });
                calls.push(call);
            }
        }
    }
    s.hear();
    s.pass(1);
    assert_eq!(s.iptv.status(CHANNEL).unwrap().standbys, 3);
    (s, parent, calls.try_into().unwrap())
}

fn resumed(orders: &[Order<u32>]) -> Vec<CallId> {
    let calls = orders.iter().filter_map(|o| match o {
        Order::Resume { call } => Some(*call),
        _ => None,
    });
    calls.collect()
}

/// Silence begins at 0. A packet every 10 ms: 40 ms are the threshold, and half as much again is when somebody else is asked.
#[test]
fn q12_a_standby_is_asked_after_half_a_threshold_more_and_the_next_after_50_ms_or_at_once_when_denied() {
    let (mut s, parent, [first, second, third]) = backed_up();
    s.pass(58);
    assert_eq!(resumed(&s.pass(1)), [first], "after 60 ms of silence");
    assert!(resumed(&s.pass(49)).is_empty());
    assert_eq!(resumed(&s.pass(1)), [second], "the first says nothing");
    let orders: Vec<_> = s.fact(Fact::Denied { call: second }).into();
    assert_eq!(resumed(&orders), [third]);
    // Media comes: nobody else is needed, and the parent keeps its place.
    s.told.media = Some(s.now);
    s.told.elsewhere.insert(third, s.now);
    let orders = s.fact(Fact::FirstPacket { channel: CHANNEL, call: third });
    assert!(orders.contains(&Order::Release { call: first }));
    assert!(orders.contains(&Order::Event(Event::Covered { channel: CHANNEL, provider: 6 })));
    let status = s.iptv.status(CHANNEL).unwrap();
    assert_eq!((status.parent, status.cover), (Some(9), Some(6)));
    // Until it has been silent for a second more.
    let play = |s: &mut Solo| {
        s.told.media = Some(s.now);
        s.told.elsewhere.insert(third, s.now);
    };
    let mut orders = Vec::new();
    for _ in 0..99 {
        play(&mut s);
        orders.extend(s.pass(10));
    }
    assert!(!orders.contains(&Order::Bye { call: parent, reason: ByeReason::Normal }));
    play(&mut s);
    let orders = s.pass(10);
    assert!(orders.contains(&Order::Bye { call: parent, reason: ByeReason::Normal }), "{orders:?}");
    let status = s.iptv.status(CHANNEL).unwrap();
    assert_eq!((status.parent, status.cover, status.rescue), (Some(6), None, true));
    assert_eq!(s.iptv.counters().repairs, 1);
}

#[test]
fn q12_a_parent_that_speaks_again_has_lost_nothing_and_is_given_twice_as_long_the_next_time() {
    let (mut s, parent, [first, ..]) = backed_up();
    assert_eq!(resumed(&s.pass(59)), [first]);
    s.told.media = Some(s.now);
    s.told.elsewhere.insert(first, s.now);
    s.fact(Fact::FirstPacket { channel: CHANNEL, call: first });
    for _ in 0..2 {
        s.told.media = Some(s.now);
        s.told.elsewhere.insert(first, s.now);
        s.pass(210);
    }
    let orders = s.hear_for(200);
    assert!(orders.contains(&Order::Release { call: first }));
    assert!(!orders.iter().any(|o| matches!(o, Order::Bye { .. } | Order::Event(_))), "{orders:?}");
    assert_eq!((s.iptv.counters().false_alarms, s.iptv.counters().repairs), (1, 0));
    s.hear_for(5_000);
    s.hear();
    assert!(resumed(&s.pass(79)).is_empty());
    assert_eq!(resumed(&s.pass(1)), [first], "40 ms, and 40 more");
    s.hear_for(300);
    assert_eq!(s.iptv.counters().false_alarms, 2);
    // Two minutes later both alarms are forgotten.
    for _ in 0..2_400 {
        s.hear();
        s.pass(50);
    }
    s.hear();
    assert!(resumed(&s.pass(59)).is_empty());
    assert_eq!(resumed(&s.pass(1)).len(), 1);
    assert!(
        s.iptv.status(CHANNEL).unwrap().parent == Some(9) && s.iptv.status(CHANNEL).unwrap().standbys == 3
    );
    let _ = parent;
}

#[test]
fn q6_a_parent_that_says_hold_is_alive_and_nobody_else_is_asked() {
    let (mut s, parent, _) = backed_up();
    s.pass(39);
    s.told.from = Some(s.now);
    s.fact(Fact::Held { call: parent, hold: Hold::Starved });
    let mut orders = Vec::new();
    for _ in 0..9 {
        orders.extend(s.pass(200));
        s.told.from = Some(s.now);
        s.fact(Fact::Held { call: parent, hold: Hold::Starved });
    }
    assert!(resumed(&orders).is_empty());
    // But not for ever.
    assert_eq!(resumed(&s.pass(200)).len(), 1);
}

#[test]
fn q13_when_every_standby_has_refused_the_others_are_asked_by_a_call() {
    let (mut s, parent, calls) = backed_up();
    s.pass(79);
    let mut orders = Vec::new();
    for call in calls {
        orders = s.fact(Fact::Denied { call }).into();
    }
    let call = placed(&orders, 9);
    assert!(call.is_none(), "not the silent one itself");
    assert!(orders.iter().any(|o| matches!(o, Order::Fetch { .. })), "{orders:?}");
    assert!(orders.contains(&Order::Event(Event::Orphaned { channel: CHANNEL, parent: 9 })));
    let providers = vec![Provider { peer: 7, depth: Some(1), free: Some(1) }];
    let orders = s.fact(Fact::Fetched { channel: CHANNEL, providers });
    let call = placed(&orders, 7).unwrap();
    let orders = s.fact(Fact::Answered { call, depth: Some(1), rescue: false });
    assert!(!has(&orders, |o| matches!(o, Order::Bye { .. })), "the silent one has a second");
    s.hear();
    s.told.elsewhere.insert(parent, s.now - ms(1));
    let orders = s.pass(100);
    assert!(!orders.iter().any(|o| matches!(o, Order::Resume { .. })));
}

/// Two rescue slots' worth of orphans at one provider.
#[test]
fn q12_a_lease_is_first_refusal_on_one_shared_slot_and_no_more_than_sixteen_are_given() {
    let mut s = Solo::publisher(default(2));
    let lease = |s: &mut Solo, peer: u32| {
        let call = CallId::received(100 + peer);
        let orders = s.fact(Fact::StandbyInvited { channel: CHANNEL, call, peer, slots: Some(2) });
        (call, has(&orders, |o| matches!(o, Order::Accept { .. })))
    };
    let given: Vec<CallId> = (1..=20).map(|peer| lease(&mut s, peer)).filter(|l| l.1).map(|l| l.0).collect();
    let counters = s.iptv.counters();
    assert_eq!((given.len(), counters.leases_granted, counters.leases_refused), (16, 16, 4));
    assert_eq!(s.iptv.rescue_slots().promised, 16);
    // The uplink is full.
    for peer in [21, 22] {
        s.invited(peer, false);
    }
    let orders = s.fact(Fact::Resumed { call: given[0] });
    assert!(orders.contains(&Order::Serve { call: given[0] }));
    assert_eq!(s.iptv.status(CHANNEL).unwrap().children, (2, 1));
    let orders = s.fact(Fact::Resumed { call: given[1] });
    assert!(orders.contains(&Order::Deny { call: given[1] }));
    let orders = s.fact(Fact::Released { call: given[0] });
    assert!(orders.contains(&Order::Rest { call: given[0] }));
    assert!(has(&s.fact(Fact::Resumed { call: given[1] }), |o| matches!(o, Order::Serve { .. })));
    let counters = s.iptv.counters();
    assert_eq!((counters.served, counters.denied, s.iptv.rescue_slots().promised), (2, 1, 15));
    // Silent standbys end; a child that is served is judged as a child.
    s.told.report = Some(s.now);
    let orders = s.pass(30_000);
    assert_eq!(orders.iter().filter(|o| matches!(o, Order::Bye { .. })).count(), 15 + 3);
    assert_eq!(s.iptv.rescue_slots().promised, 0);
}

#[test]
fn q6_a_lease_ends_when_its_child_comes_to_stand_above() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let call = CallId::received(7);
    s.fact(Fact::StandbyInvited { channel: CHANNEL, call, peer: 3, slots: Some(2) });
    let place =
        |path| Report::TreePosition { depth: 3, path, rescue: false, backups: vec![], delegated: false };
    let orders = s.reported(parent, place(vec![7, 3, 9]));
    assert!(orders.contains(&Order::Bye { call, reason: ByeReason::Normal }));
    let again = CallId::received(8);
    let orders = s.fact(Fact::StandbyInvited { channel: CHANNEL, call: again, peer: 3, slots: Some(2) });
    assert!(orders.contains(&Order::Refuse { call: again, denial: Denial::Loop }));
}

#[test]
fn q6_a_lease_ends_as_soon_as_its_provider_asks_its_child_for_media() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let lease = CallId::received(7);
    s.fact(Fact::StandbyInvited { channel: CHANNEL, call: lease, peer: 3, slots: Some(2) });
    let backups = vec![Provider { peer: 3, depth: Some(1), free: None }];
    s.reported(
        parent,
        Report::TreePosition { depth: 1, path: vec![9], rescue: false, backups, delegated: false },
    );
    let orders = s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost });
    let call = placed(&orders, 3).expect("its backup");
    let orders = s.fact(Fact::Answered { call, depth: Some(1), rescue: false });
    assert!(
        orders.contains(&Order::Bye { call: lease, reason: ByeReason::Normal }),
        "before its first packet"
    );
}

#[test]
fn q12_every_viewer_of_a_grown_tree_keeps_standbys_and_no_node_promises_more_than_it_may() {
    let mut w = grown(default(2), 30, 900);
    w.run(ms(30_000));
    let held: Vec<usize> = w.viewers().map(|v| w.status(v).unwrap().standbys).collect();
    assert!(held.iter().all(|&n| n >= 2), "{held:?}");
    let promised: Vec<u16> = w.peers.iter().map(|p| p.iptv.rescue_slots().promised).collect();
    assert_eq!(promised.iter().map(|&n| usize::from(n)).sum::<usize>(), held.iter().sum::<usize>());
    assert!(promised.iter().all(|&n| n <= 16), "{promised:?}");
}

/// The busiest relayer dies. Its children are covered after twice the threshold and a round trip; those below them see the
/// same silence and ask nobody.
#[test]
fn p18_a_dead_relayer_is_bridged_within_a_quarter_of_a_second_by_its_children_alone() {
    for seed in 0..20 {
        let mut w = World::new(default(2), seed);
        w.run(ms(1000));
        for _ in 0..14 {
            w.join();
            w.run(ms(900));
        }
        w.run(ms(10_000));
        w.know_the_pace();
        w.run(ms(5_000));
        let dead = 1 + (seed % 2) as u32;
        let orphans: Vec<u32> = w.viewers().filter(|&v| w.parent(v) == Some(dead)).collect();
        w.forget_counts();
        w.kill(dead);
        w.run(ms(900));
        let longest = w.take_silences().into_iter().map(|s| s.2).max().unwrap();
        // Four packets of 20 ms, twice; then a round trip, and another one if the first has no room.
        assert!(longest <= ms(280), "seed {seed}: {longest:?}\n{}", w.tail(200));
        let covered = w.event_times(|_, e| matches!(e, Event::Covered { .. })).len();
        assert_eq!(covered, orphans.len(), "seed {seed}");
        assert!(w.viewers().all(|v| orphans.contains(&v) || w.peers[v as usize].invites == 0));
        w.run(ms(20_000));
        assert!(w.starving(ms(100)).is_empty());
        assert!(w.viewers().all(|v| !w.status(v).unwrap().rescue), "seed {seed}: {:?}", w.table());
    }
}

#[test]
fn q12_half_a_second_of_bufferbloat_changes_no_parent() {
    let mut w = grown(default(2), 14, 900);
    w.run(ms(10_000));
    w.know_the_pace();
    w.run(ms(5_000));
    let before: Vec<_> = w.viewers().map(|v| w.parent(v)).collect();
    let orphans: Vec<u32> = w.viewers().filter(|&v| w.parent(v) == Some(1)).collect();
    w.forget_counts();
    for _ in 0..5 {
        orphans.iter().for_each(|&o| w.cut(1, o, true));
        w.run(ms(500));
        orphans.iter().for_each(|&o| w.cut(1, o, false));
        w.run(ms(7_000));
    }
    assert_eq!(w.viewers().map(|v| w.parent(v)).collect::<Vec<_>>(), before, "{}", w.tail(200));
    let alarms: u32 = w.peers.iter().map(|p| p.iptv.counters().false_alarms).sum();
    assert!(alarms >= 5, "{alarms}");
    assert!(w.event_times(|_, e| matches!(e, Event::Orphaned { .. })).is_empty());
}

// ---- planned departures

/// Relayers leave one after the other, at every depth. Nobody misses a packet.
#[test]
fn q12_a_relayer_that_leaves_by_plan_costs_nobody_a_packet() {
    for seed in 0..12 {
        let mut w = World::new(default(2), seed);
        w.run(ms(1000));
        for _ in 0..14 {
            w.join();
            w.run(ms(900));
        }
        w.run(ms(8_000));
        w.know_the_pace();
        for leaver in [1 + (seed % 2) as u32, 4, 3] {
            w.forget_counts();
            let children: Vec<u32> = w.viewers().filter(|&v| w.parent(v) == Some(leaver)).collect();
            let at = w.now;
            w.stop(leaver);
            w.run(ms(2_500));
            let ended = w.event_times(|id, e| id == leaver && matches!(e, Event::Ended { .. }));
            assert!(ended[0].since(at) <= ms(500), "seed {seed}: {leaver} of {children:?}\n{}", w.tail(80));
            w.run(ms(6_000));
            let silences = w.take_silences();
            assert!(silences.is_empty(), "seed {seed}: {leaver} left: {silences:?}\n{}", w.tail(200));
        }
    }
}

#[test]
fn a_leaving_relayer_serves_until_its_children_have_moved_or_the_farewell_has_passed() {
    for moves in [true, false] {
        let (mut s, parent) = Solo::viewer(default(2), 9);
        s.reported(parent, Report::SelectedRelayer { register: true });
        let (child, _) = s.invited(3, false);
        let orders = s.act(|i, now, ctx| i.stop(now, CHANNEL, ctx).unwrap());
        assert!(orders.contains(&Order::Inform { call: child, report: Report::Leaving }));
        assert!(orders.contains(&Order::Inform { call: parent, report: Report::Leaving }));
        assert!(!has(&orders, |o| matches!(o, Order::Bye { .. })));
        let (late, orders) = s.invited(4, true);
        assert!(has(&orders, |o| matches!(o, Order::Refuse { call, .. } if *call == late)));
        let gone =
            |orders: &[Order<u32>]| orders.contains(&Order::Bye { call: parent, reason: ByeReason::Leaving });
        if moves {
            let orders = s.fact(Fact::Ended { call: child, reason: ByeReason::Normal });
            assert!(gone(&Vec::from(orders)));
        } else {
            s.told.media = Some(s.now + ms(3000));
            s.told.from = Some(s.now + ms(3000));
            assert!(!gone(&s.pass(1999)));
            let orders = s.pass(1);
            assert!(
                gone(&orders) && orders.contains(&Order::Bye { call: child, reason: ByeReason::Leaving })
            );
        }
        assert_eq!(s.iptv.deadline(), None);
    }
}

// ---- who can relay stands above who cannot

#[test]
fn q14_whoever_can_relay_takes_the_slot_of_who_cannot_and_nobody_misses_a_packet() {
    for seed in 0..10 {
        let mut w = World::new(default(2), seed);
        w.run(ms(1000));
        for _ in 0..2 {
            w.join_with(default(0));
            w.run(ms(900));
        }
        w.know_the_pace();
        w.join();
        w.run(ms(5_000));
        let depth = |v: u32| w.status(v).unwrap().depth.unwrap();
        let told = format!("seed {seed}: {:?}\n{}", w.table(), w.tail(150));
        assert_eq!([1, 2, 3].map(depth), [1, 2, 1], "{told}");
        let silences = w.take_silences();
        assert!(silences.is_empty(), "{silences:?}, {told}");
        assert!(w.viewers().all(|v| !w.status(v).unwrap().rescue), "{told}");
    }
}

/// Half of the viewers cannot relay; they come and go, a third of them without a word. At the end 95 of 100 are at most two
/// layers deeper than they would be in the best tree of these viewers, in most trees.
#[test]
fn q14_the_tree_stays_flat_under_churn() {
    let mut excess = Vec::new();
    for seed in 0..8 {
        let mut dice = Seeded::new(seed);
        let mut w = World::new(default(3), seed);
        w.run(ms(500));
        let mut slots = vec![3_usize];
        for _ in 0..160 {
            let live: Vec<u32> = w.viewers().filter(|&v| w.status(v).is_some()).collect();
            if live.len() < 60 || dice.below(3) > 0 && live.len() < 80 {
                let capacity = if dice.below(2) == 0 { 0 } else { 3 };
                w.join_with(default(capacity));
                slots.push(usize::from(capacity));
            } else {
                let one = live[dice.below(live.len() as u64) as usize];
                if dice.below(3) == 0 { w.kill(one) } else { w.stop(one) }
            }
            w.run(ms(100 + dice.below(800)));
        }
        w.run(ms(30_000));
        let live: Vec<u32> = w.viewers().filter(|&v| w.status(v).is_some()).collect();
        let mut depths: Vec<u8> = live.iter().map(|&v| w.status(v).unwrap().depth.unwrap_or(99)).collect();
        depths.sort_unstable();
        let p95 = depths[depths.len() * 95 / 100];
        // The best tree: those that can relay first, in layers.
        let (mut able, mut left, mut room, mut best) =
            (live.iter().filter(|&&v| slots[v as usize] > 0).count(), live.len(), 3, 0);
        while left > 0 {
            best += 1;
            let here = room.min(left);
            let relays = here.min(able);
            (able, left, room) = (able - relays, left - here, relays * 3);
            assert!(room > 0 || left == 0);
        }
        excess.push(p95.saturating_sub(best));
        assert!(w.starving(ms(500)).is_empty());
    }
    // One tree in twenty or so grows a long branch that half a minute does not mend.
    excess.sort_unstable();
    assert!(excess[4] <= 2 && excess[6] <= 3 && excess[7] <= 5, "{excess:?}");
}

// ---- who does not deliver

fn registers(orders: &[Order<u32>]) -> bool {
    orders.iter().any(|o| matches!(o, Order::Register { role: Role::Relayer, .. }))
}

/// The first report, which is empty, comes at once, the next ones every second.
#[test]
fn q8_a_new_relayer_registers_when_a_child_that_it_served_for_a_while_misses_nothing() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let orders = s.reported(parent, Report::SelectedRelayer { register: true });
    let accepted = Order::Inform { call: parent, report: Report::RelayerAccepted { free: 2 } };
    assert!(orders.contains(&accepted), "its elector sends it callers at once");
    let orders = s.hear_for(2_000);
    assert!(!registers(&orders), "nobody has tried it");
    let (child, orders) = s.invited(3, false);
    assert!(has(&orders, |o| matches!(o, Order::Accept { call, .. } if *call == child)));
    s.told.report = Some(s.now);
    assert!(!registers(&s.hear_for(1_000)), "one report, of nothing yet");
    s.told.report = Some(s.now);
    let orders = s.hear_for(250);
    let register =
        |free| Order::Register { channel: CHANNEL, role: Role::Relayer, depth: 1, free, listed: true };
    assert_eq!(orders.iter().filter(|o| **o == register(1)).count(), 1, "{orders:?}");
    let orders = s.act(|i, now, ctx| i.leave(now, ctx));
    assert!(orders.contains(&Order::Unregister { channel: CHANNEL }));
}

#[test]
fn q8_a_relayer_registers_untried_when_nobody_comes_but_later_when_somebody_came_and_went() {
    for (comes, after) in [(false, 3_000), (true, 30_000)] {
        let (mut s, parent) = Solo::viewer(default(2), 9);
        s.reported(parent, Report::SelectedRelayer { register: true });
        if comes {
            let (child, _) = s.invited(3, false);
            s.hear_for(500);
            s.fact(Fact::Ended { call: child, reason: ByeReason::Normal });
        }
        let before = s.hear_for(after - 10);
        let orders = s.hear_for(20);
        assert_eq!((registers(&before), registers(&orders)), (false, true), "somebody came: {comes}");
    }
}

/// The only candidate there is; nobody waits for a slot, which would shorten its rest.
#[test]
fn q8_who_fails_as_a_relayer_rests_for_twice_as_long_each_time_until_it_has_done_well() {
    let mut s = Solo::publisher(default(1));
    let (call, orders) = s.invited(1, false);
    let mut offers = selected(orders);
    let mut rests = Vec::new();
    for well_for in [0, 5_000, 5_000, 5_000, 5_000, 5_000, 301_000] {
        assert_eq!(offers, [call]);
        s.reported(call, Report::RelayerAccepted { free: 2 });
        for _ in 0..well_for / 1_000 {
            s.told.report = Some(s.now);
            s.reported(call, Report::Alive);
            s.pass(1_000);
        }
        let failed = s.now;
        offers = selected(s.reported(call, Report::RelayerDeclined));
        while offers.is_empty() {
            s.told.report = Some(s.now);
            offers = selected(s.pass(250));
        }
        rests.push(s.now.since(failed).as_millis().div_euclid(1_000));
    }
    assert_eq!(rests, [30, 60, 120, 240, 480, 480, 30]);
}

#[test]
fn q8_the_papers_relayer_registers_with_its_election() {
    let (mut s, parent) = Solo::viewer(Config::new(Profile::Paper, 2), 9);
    assert!(registers(&Vec::from(s.reported(parent, Report::SelectedRelayer { register: true }))));
}

/// A relayer with children that report a loss of 12 %. If it loses as much itself it is not its uplink, and if one child
/// loses nothing it is not either. If there is only the one that misses packets, nobody finds it by name.
#[test]
fn q8_a_relayer_whose_children_all_miss_what_it_has_is_a_viewer_again() {
    for (own_loss, second_child, fails) in [(0, false, true), (12, false, false), (0, true, false)] {
        let (mut s, parent) = Solo::viewer(default(2), 9);
        s.reported(parent, Report::SelectedRelayer { register: true });
        let (child, _) = s.invited(3, false);
        s.told.lossy = Some(child);
        if second_child {
            s.invited(4, false);
        }
        let mut orders = Vec::new();
        for n in 0..50_u64 {
            s.hear();
            s.told.report = Some(s.now);
            s.told.reception = Some(Reception { received: n * (100 - own_loss), lost: n * own_loss });
            orders.extend(s.pass(100));
        }
        let declined = orders.contains(&Order::Inform { call: parent, report: Report::RelayerDeclined });
        assert_eq!(declined, fails, "own loss {own_loss}, another child: {second_child}");
        assert_eq!(
            (registers(&orders), orders.contains(&Order::Unregister { channel: CHANNEL })),
            (!fails, false)
        );
        assert_eq!(orders.contains(&Order::Inform { call: child, report: Report::Leaving }), fails);
        assert_eq!(s.iptv.status(CHANNEL).unwrap().relayer, !fails);
    }
}

#[test]
fn q8_a_relayer_that_delivered_once_and_does_no_more_takes_its_record_back() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    s.reported(parent, Report::SelectedRelayer { register: false });
    let (child, _) = s.invited(3, false);
    let mut orders = Vec::new();
    for n in 0..100 {
        s.hear();
        s.told.report = Some(s.now);
        s.told.lossy = Some(child).filter(|_| n >= 50);
        s.told.reception = Some(Reception { received: n * 100, lost: 0 });
        for _ in 0..10 {
            orders.extend(s.pass(10));
            orders.extend(s.act(|i, now, ctx| i.set_capacity(now, 2, ctx)));
        }
        assert!(n != 6 && n != 12 || registers(&orders) == (n == 12), "{n}");
        // Four looks in a row, 1.1 s apart, however often there is something else to do.
        assert!(n != 82 || s.iptv.status(CHANNEL).unwrap().relayer, "not before 8.2 s");
    }
    assert!(orders.contains(&Order::Unregister { channel: CHANNEL }));
    assert!(!s.iptv.status(CHANNEL).unwrap().relayer);
}

/// The parent says that it leaves, and whoever is called instead never sends. The search goes on.
#[test]
fn q13_a_next_parent_that_sends_nothing_does_not_end_the_search_of_a_child_whose_parent_leaves() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    s.reported(
        parent,
        Report::TreePosition { depth: 1, path: vec![9], rescue: false, backups: vec![], delegated: false },
    );
    let orders = s.reported(parent, Report::Leaving);
    assert!(has(&orders, |o| matches!(o, Order::Fetch { .. })), "{orders:?}");
    let providers = vec![Provider { peer: 7, depth: Some(1), free: Some(1) }];
    let orders = s.fact(Fact::Fetched { channel: CHANNEL, providers: providers.clone() });
    let call = placed(&orders, 7).unwrap();
    s.told.elsewhere.insert(call, Instant::ZERO);
    s.fact(Fact::Answered { call, depth: Some(1), rescue: false });
    s.fact(Fact::Ended { call: parent, reason: ByeReason::Leaving });
    let orders = s.pass(1_000);
    assert!(orders.contains(&Order::Bye { call, reason: ByeReason::Normal }), "{orders:?}");
    assert!(orders.iter().any(|o| matches!(o, Order::Fetch { .. } | Order::Invite { .. })), "{orders:?}");
}
