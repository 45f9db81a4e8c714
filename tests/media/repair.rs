//! Losses and deaths on the simulated network: relays with nothing above them, as a policy would order them about.

use crate::{CHANNEL, addr, stream};
use bytes::Bytes;
use p2piptv::effect::{Effect, Effects};
use p2piptv::env::Seeded;
use p2piptv::ids::{CallId, ChannelId, StreamId};
use p2piptv::node::{Datagram, Output, Receipt, StreamInput};
use p2piptv::rtp::header::{self, PayloadType};
use p2piptv::rtp::mp2t::Packetizer;
use p2piptv::rtp::relay::{Config, Fact, Limits, Relay, Remote, Role, Start};
use p2piptv::rtp::rtcp;
use p2piptv::rtp::srtcp::{Keys, MasterKey};
use p2piptv::sim::{self, Conditions, Death, Machine, Network, NodeIndex};
use p2piptv::stats::{DropReason, Plane};
use p2piptv::time::{Duration, Instant};
use sha2::{Digest as _, Sha256};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

/// A relay whose provider's side does whatever it is asked for.
pub(crate) struct Hop {
    pub(crate) relay: Relay,
    entropy: Seeded,
    outputs: VecDeque<Output>,
    now: Instant,
    /// What it does to media before it passes them on.
    pub(crate) lie: fn(&mut [u8]),
    /// All RTP that has come, and what is lost of it on the way, so many times.
    pub(crate) heard: Vec<(Instant, Bytes)>,
    pub(crate) deaf: (fn(&[u8]) -> bool, usize),
    /// Signatures that it has looked at.
    pub(crate) judged: usize,
    /// The parents that have deceived it, and when that was told.
    pub(crate) deceivers: Vec<(Instant, CallId)>,
}

impl Hop {
    fn new(role: Role, seed: u32) -> Self {
        let mut relay = Relay::new(Config { ssrc: seed, cname: "n@h".into(), limits: Limits::default() });
        relay.open(CHANNEL, role).unwrap();
        Hop {
            relay,
            entropy: Seeded::new(seed.into()),
            outputs: VecDeque::new(),
            now: Instant::ZERO,
            lie: |_| (),
            heard: Vec::new(),
            deaf: (|_| false, 0),
            judged: 0,
            deceivers: Vec::new(),
        }
    }

    pub(crate) fn run<R>(
        &mut self,
        now: Instant,
        input: impl FnOnce(&mut Relay, Instant, &mut Effects<Fact>) -> R,
    ) -> R {
        self.now = self.now.max(now);
        let mut fx = Effects::new();
        self.fire(&mut fx);
        let result = input(&mut self.relay, self.now, &mut fx);
        self.fire(&mut fx);
        while let Some(effect) = fx.pop() {
            match effect {
                Effect::Fact(Fact::Packet { channel, payload }) => {
                    let payload = self.told(payload);
                    self.outputs.push_back(Output::Media { channel, packets: vec![payload] });
                }
                Effect::Fact(Fact::ToSign { channel }) => {
                    let millis = EPOCH + self.now.as_micros() / 1000;
                    let sign = |list: &[u8]| Some(signature(OWNER, list));
                    self.relay.sign(self.now, channel, millis, sign, &mut fx);
                }
                Effect::Fact(Fact::ToJudge { channel }) => {
                    self.judged += 1;
                    let verify = |list: &[u8], candidate: &[u8]| candidate == signature(OWNER, list);
                    self.relay.judge(self.now, channel, verify, &mut fx);
                }
                Effect::Fact(Fact::Deceived { call, .. }) => self.deceivers.push((self.now, call)),
                Effect::Send { to, payload } => {
                    let payload = self.told(payload);
                    self.outputs.push_back(Output::Transmit { plane: Plane::Media, to, payload });
                }
                Effect::Fact(Fact::Resumed { call, .. }) => self.relay.serve(self.now, call, &mut fx),
                Effect::Fact(Fact::Released { call, .. }) => self.relay.rest(call),
                _ => {}
            }
        }
        result
    }

    /// What becomes of a datagram here.
    fn told(&self, payload: Bytes) -> Bytes {
        if payload[1] & 0x7f != PayloadType::MP2T.0 {
            return payload;
        }
        let mut told = payload.to_vec();
        (self.lie)(&mut told);
        if told == payload { payload } else { told.into() }
    }

    fn fire(&mut self, fx: &mut Effects<Fact>) {
        if self.relay.deadline().is_some_and(|at| at <= self.now) {
            self.relay.handle_timeout(self.now, &mut self.entropy, fx);
        }
    }
}

impl Machine for Hop {
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) -> Receipt {
        let Datagram { from, payload, .. } = datagram;
        if self.deaf.1 > 0 && self.deaf.0(&payload) {
            self.deaf.1 -= 1;
            self.handle_timeout(now);
            return Receipt::Dropped(DropReason::NotRtp);
        }
        if header::kind_of(&payload) == Some(header::Kind::Rtp) {
            self.heard.push((now, payload.clone()));
        }
        match self.run(now, |relay, now, fx| relay.handle_datagram(now, from, payload, fx)) {
            Ok(()) => Receipt::Accepted,
            Err(reason) => Receipt::Dropped(reason),
        }
    }

    fn handle_stream(&mut self, now: Instant, _: StreamId, _: StreamInput) {
        self.handle_timeout(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.run(now, |_, _, _| ());
    }

    fn handle_unreachable(&mut self, now: Instant, _: Plane, _: SocketAddr) {
        self.handle_timeout(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Instant> {
        if self.outputs.is_empty() { self.relay.deadline() } else { Some(self.now) }
    }

    fn children(&self, channel: ChannelId) -> &[SocketAddr] {
        self.relay.children(channel)
    }
}

/// Whose channel it is, and the time of day when a run begins.
pub(crate) const OWNER: u8 = 1;
pub(crate) const EPOCH: u64 = 1_700_000_000_000;

/// As long as one of ECDSA P-256.
pub(crate) fn signature(key: u8, list: &[u8]) -> Bytes {
    let digest = Sha256::digest([&[key], list].concat());
    [&digest[..], &digest[..], &[0; 8]].concat().into()
}

type Played = Rc<RefCell<BTreeMap<NodeIndex, Vec<(Instant, u16)>>>>;

/// A source that sends a packet every five milliseconds, and relays.
pub(crate) struct Play {
    pub(crate) net: Network<Hop>,
    pub(crate) packetizer: Packetizer,
    /// Whether the source signs; then calls have keys.
    protected: bool,
    /// What each node played, and when.
    pub(crate) played: Played,
    /// When each packet left the source.
    pub(crate) sent: Vec<Instant>,
    calls: u32,
}

impl Play {
    pub(crate) const SOURCE: NodeIndex = NodeIndex(0);
    const GAP: Duration = Duration::from_millis(5);

    fn new(seed: u64, conditions: Conditions, viewers: u32) -> Self {
        let mut net = Network::new(sim::Config { seed, conditions, ..sim::Config::default() });
        net.add(|_, _| Hop::new(Role::Source, 1));
        for n in 0..viewers {
            net.add(|_, _| Hop::new(Role::Viewer, n + 2));
        }
        let played = Played::default();
        let seen = Rc::clone(&played);
        net.watch(move |now, node, _, packet: &Bytes| {
            let sequence = u16::from_be_bytes([packet[2], packet[3]]);
            seen.borrow_mut().entry(node).or_default().push((now, sequence));
        });
        Play { net, packetizer: Packetizer::new(9, 0), protected: false, played, sent: Vec::new(), calls: 0 }
    }

    /// The same with a source that signs.
    pub(crate) fn protected(seed: u64, conditions: Conditions, viewers: u32) -> Self {
        let mut play = Play { protected: true, ..Play::new(seed, conditions, viewers) };
        for n in 0..=viewers {
            play.net.command(NodeIndex(n), |hop, _| hop.relay.protect(CHANNEL, EPOCH)).unwrap().unwrap();
        }
        play
    }

    /// The two ends of a call.
    fn remotes(&self, parent: u32, child: u32) -> (Remote, Remote) {
        let (parent, child) = (Remote::from(self.media(parent)), Remote::from(self.media(child)));
        if !self.protected {
            return (parent, child);
        }
        let (up, down) = (MasterKey::new([1; 30]), MasterKey::new([2; 30]));
        let of_child = Keys { ours: up.clone(), theirs: down.clone() };
        let of_parent = Keys { ours: down, theirs: up };
        (Remote { keys: Some(of_child), ..parent }, Remote { keys: Some(of_parent), ..child })
    }

    pub(crate) fn media(&self, node: u32) -> SocketAddr {
        self.net.addresses(NodeIndex(node)).media
    }

    /// The parent serves the child from now on.
    pub(crate) fn connect(&mut self, parent: u32, child: u32, from: Start) -> CallId {
        let (p, c) = self.remotes(parent, child);
        self.calls += 1;
        let (placed, received) = (CallId::placed(self.calls), CallId::received(self.calls));
        let order = |hop: &mut Hop, now| {
            hop.run(now, |relay, now, fx| relay.add_parent(now, placed, CHANNEL, p, None, fx)).unwrap();
        };
        self.net.command(NodeIndex(child), order);
        let order = |hop: &mut Hop, now| {
            hop.run(now, |relay, now, fx| relay.add_child(now, received, CHANNEL, c, from, fx)).unwrap();
        };
        self.net.command(NodeIndex(parent), order);
        placed
    }

    /// A standby; its number at the child.
    pub(crate) fn lease(&mut self, provider: u32, child: u32) -> CallId {
        let (p, c) = self.remotes(provider, child);
        self.calls += 1;
        let (placed, received) = (CallId::placed(self.calls), CallId::received(self.calls));
        let order = |hop: &mut Hop, now| {
            hop.run(now, |relay, now, fx| relay.add_standby_parent(now, placed, CHANNEL, p, fx)).unwrap();
        };
        self.net.command(NodeIndex(child), order);
        let order = |hop: &mut Hop, now| {
            hop.run(now, |relay, _, _| relay.add_standby_child(received, CHANNEL, c)).unwrap();
        };
        self.net.command(NodeIndex(provider), order);
        placed
    }

    pub(crate) fn resume(&mut self, child: u32, call: CallId) {
        let order = |hop: &mut Hop, now| hop.run(now, |relay, now, fx| relay.resume(now, call, fx));
        self.net.command(NodeIndex(child), order);
    }

    /// The source sends so many packets.
    pub(crate) fn send(&mut self, packets: usize) {
        for _ in 0..packets {
            let timestamp = self.net.now().as_micros() * 9 / 100;
            let packet = self.packetizer.packetize(timestamp as u32, false, &stream()).unwrap();
            let push = |hop: &mut Hop, now| {
                hop.run(now, |relay, now, fx| relay.push(now, CHANNEL, packet, fx)).unwrap();
            };
            self.sent.push(self.net.now());
            self.net.command(Self::SOURCE, push);
            self.net.run_for(Self::GAP);
        }
    }

    pub(crate) fn counters(&self, node: u32) -> p2piptv::rtp::reception::Counters {
        self.net.machine(NodeIndex(node)).unwrap().relay.counters(CHANNEL).unwrap()
    }

    /// Asserts that a node played each of these packets, and once.
    pub(crate) fn assert_played(&self, node: u32, expected: core::ops::Range<u16>) {
        let mut times = vec![0; self.sent.len()];
        self.played.borrow()[&NodeIndex(node)].iter().for_each(|&(_, n)| times[usize::from(n)] += 1);
        let wrong: Vec<u16> = expected.filter(|&n| times[usize::from(n)] != 1).collect();
        assert_eq!(wrong, [], "node {node}");
    }

    /// The last packet that a node played.
    pub(crate) fn last(&self, node: u32) -> Option<u16> {
        self.played.borrow()[&NodeIndex(node)].last().map(|&(_, n)| n)
    }

    /// The longest that a packet took from the source to a node.
    pub(crate) fn slowest(&self, node: u32) -> Duration {
        let played = self.played.borrow();
        played[&NodeIndex(node)].iter().map(|&(at, n)| at.since(self.sent[usize::from(n)])).max().unwrap()
    }
}

pub(crate) fn milliseconds(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn with_one_packet_of_a_hundred_lost_on_every_hop_every_packet_arrives_in_time_for_a_player() {
    let lossy = Conditions::constant(milliseconds(10)).with_loss(0.01);
    let mut play = Play::new(7, lossy, 4);
    for child in 1..=4 {
        play.connect(child - 1, child, Start::Live);
    }
    play.send(4000);
    play.net.run_for(milliseconds(1000));
    for node in 1..=4 {
        // Nothing comes behind the last packets that would show that they are missing.
        play.assert_played(node, 0..3990);
        let counters = play.counters(node);
        assert!(counters.repair.repaired > 20, "{:?}", counters.repair);
        assert_eq!((counters.sequence.lost, counters.repair.given_up), (0, 0));
        assert!(play.slowest(node) < milliseconds(300), "{:?}", play.slowest(node));
        // What the repair costs: packets that came twice, and RTCP upwards, which is all that the last one sends.
        assert!(counters.sequence.duplicates * 1000 <= 4000, "{:?}", counters.sequence);
        let up = play.net.sent(NodeIndex(node), Plane::Media).bytes;
        assert!(node < 4 || up * 200 <= counters.media.bytes, "{up} octets of RTCP");
    }
}

#[test]
fn packets_that_only_overtake_each_other_are_next_to_never_sent_twice() {
    let reordering = Conditions {
        reordering: 0.05,
        reordering_delay: milliseconds(30),
        ..Conditions::constant(milliseconds(20))
    };
    let mut play = Play::new(7, reordering, 1);
    play.connect(0, 1, Start::Live);
    play.send(8000);
    play.net.run_for(milliseconds(1000));
    let counters = play.counters(1);
    assert!(counters.sequence.duplicates * 1000 <= 8000, "{:?} {:?}", counters.sequence, counters.repair);
    assert_eq!(counters.sequence.lost, 0);
}

#[test]
fn when_a_parent_dies_a_standby_goes_on_where_it_stopped_and_no_packet_is_missing_or_comes_twice() {
    let mut play = Play::new(7, Conditions::constant(milliseconds(20)), 4);
    // 1 and 2 relay; 3 is fed by 1 and has 2 in reserve; 4 is below 3.
    for (parent, child) in [(0, 1), (0, 2), (1, 3), (3, 4)] {
        play.connect(parent, child, Start::Live);
    }
    let standby = play.lease(2, 3);
    play.send(200);
    play.net.kill(NodeIndex(1), Death::Host);
    // Four packets of silence beyond what was under way.
    play.send(8);
    assert_eq!(play.last(3), Some(196));
    play.resume(3, standby);
    play.send(400);
    play.net.run_for(milliseconds(1000));
    for node in [3, 4] {
        play.assert_played(node, 0..608);
        assert_eq!(play.counters(node).sequence.duplicates, 0);
        assert!(play.slowest(node) < milliseconds(160), "{:?}", play.slowest(node));
    }
    assert_eq!(play.counters(3).repair, p2piptv::rtp::missing::Counts::default());
    // They came in order.
    let played = play.played.borrow();
    assert!(played[&NodeIndex(4)].iter().map(|&(_, n)| n).is_sorted());
}

#[test]
fn a_parent_that_speaks_again_while_a_standby_covers_costs_no_packet() {
    let mut play = Play::new(7, Conditions::constant(milliseconds(20)).with_loss(0.01), 3);
    for (parent, child) in [(0, 1), (0, 2), (1, 3)] {
        play.connect(parent, child, Start::Live);
    }
    let standby = play.lease(2, 3);
    play.send(200);
    // Its host is busy for 200 ms, then reads all that has come meanwhile.
    play.net.freeze(NodeIndex(1), milliseconds(200));
    play.send(20);
    play.resume(3, standby);
    play.send(40);
    let order = |hop: &mut Hop, now| hop.run(now, |relay, now, fx| relay.release(now, standby, fx));
    play.net.command(NodeIndex(3), order);
    play.send(400);
    play.net.run_for(milliseconds(1000));
    play.assert_played(3, 0..650);
    // Only what both sent at the same time came twice.
    assert!(play.counters(3).sequence.duplicates <= 60, "{:?}", play.counters(3).sequence);
    assert_eq!(play.net.machine(NodeIndex(2)).unwrap().relay.children(CHANNEL), []);
}

#[test]
fn a_newcomer_has_its_first_packet_after_one_round_trip_and_then_misses_none() {
    let mut play = Play::new(7, Conditions::constant(milliseconds(20)), 3);
    play.connect(0, 1, Start::Live);
    play.connect(1, 2, Start::Live);
    play.send(300);
    // The call itself takes one way; its answer and the media leave together.
    let asked = play.net.now();
    play.connect(1, 3, Start::After(250));
    play.send(300);
    play.net.run_for(milliseconds(500));
    play.assert_played(3, 251..600);
    let first = play.played.borrow()[&NodeIndex(3)][0];
    assert_eq!((first.0.since(asked), first.1), (milliseconds(20), 251));
    assert_eq!(play.counters(3).sequence.duplicates, 0);
}

#[test]
fn a_cue_of_a_stranger_moves_no_media() {
    let mut play = Play::new(7, Conditions::constant(milliseconds(20)), 2);
    play.connect(0, 1, Start::Live);
    play.lease(1, 2);
    play.send(10);
    let cue = rtcp::Cue { cover: rtcp::Cover::Resume, ssrc: 9, highest: 0 };
    let resume = rtcp::Composer::receiver_report(3, &[]).cue(cue).finish();
    play.net.inject(NodeIndex(1), Plane::Media, addr(99), resume);
    play.send(10);
    assert_eq!(play.counters(2).media.packets, 0);
}
