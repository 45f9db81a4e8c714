//! Three nodes, a network between them, a host for each, and a script of what befalls them.
//!
//! The script is played twice. In a *rough* world clocks go back and hosts wake their nodes too early; in a *calm* one
//! neither happens. No node may notice (K6, K12), and nothing else may make two runs differ (K9).

use super::script::Script;
use super::{forge, secured};
use crate::env::{Crypto, InsecureIdentity, Seeded};
use crate::ids::{ChannelId, ChannelName, NodeId, StreamId, overlay_hash};
use crate::iptv::Mode;
use crate::node::{Addresses, Config, Datagram, Node, Output, Receipt, Security, StreamInput};
use crate::rtp::mp2t::{Packetizer, TsPacket};
use crate::sim::{Checked, Fnv, Violation};
use crate::sip::agent::Transport;
use crate::stats::Plane;
use crate::time::{Duration, Instant, UnixMillis};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use arbitrary::Unstructured;
use bytes::Bytes;
use core::net::{Ipv4Addr, SocketAddr};

pub(super) const OVERLAY: &str = "tv.example";
const NODES: usize = 3;
/// Nodes and, behind them, strangers.
pub(super) const EVERYBODY: usize = 5;
const PLANES: [Plane; 3] = [Plane::Overlay, Plane::Signalling, Plane::Media];
/// Calls of all nodes that one script may cause; what is left of it then is not played.
const CALLS: usize = 6_000;
/// Parcels under way; more are lost, as in any network.
const UNDER_WAY: usize = 2_000;
/// Datagrams that a forger remembers.
const SEEN: usize = 64;
/// Between two media packets of a channel.
const FRAME: Duration = Duration::from_millis(100);
/// From one node to the next.
const LATENCY: Duration = Duration::from_millis(1);

/// Any life of three nodes. Where the script begins with `^`, relayers elect in alice's and carol's channels.
pub fn node_world(script: &[u8]) {
    play_twice(script, Security::InsecurePlain);
}

/// Any life of three secured nodes, whose links are streams, or datagrams if the script begins with `~`. A `^` may follow.
pub fn secured_world(script: &[u8]) {
    match script.strip_prefix(b"~") {
        Some(script) => play_twice(script, Security::Dtls),
        None => play_twice(script, Security::Tls),
    }
}

fn play_twice(script: &[u8], security: Security) {
    let (mode, script) = mode_of(script);
    let play = |clock| World::play(script, clock, (security, mode));
    let (rough, calm) = (play(Clock::Rough), play(Clock::Calm));
    assert_eq!(rough, calm, "K6, K9 or K12: an older now or an early wake-up made a difference");
}

/// Who elects in two of three channels, and the steps.
fn mode_of(script: &[u8]) -> (Mode, &[u8]) {
    script.strip_prefix(b"^").map_or((Mode::SourceManaged, script), |steps| (Mode::Delegated, steps))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// Goes back now and then; and hosts wake their nodes early.
    Rough,
    /// Stands where it would go back.
    Calm,
}

/// One host with its node.
struct Host {
    node: Checked<Node>,
    /// Calls that this host is still too busy to drain after.
    busy: u8,
    streams: BTreeMap<StreamId, Stream>,
    accepted: u32,
    players: BTreeMap<ChannelId, Packetizer>,
}

/// What a host knows of one of its streams.
#[derive(Clone, Copy)]
struct Stream {
    plane: Plane,
    /// Who is at the other end.
    there: usize,
    /// The same stream at the other end; none if a forger is there.
    far: Option<StreamId>,
}

/// Something on its way.
struct Parcel {
    to: usize,
    what: What,
}

enum What {
    Datagram(Datagram),
    Stream(StreamId, StreamInput),
}

/// A datagram that passed by, or what was written to a stream in one piece.
struct Seen {
    from: usize,
    to: usize,
    datagram: Datagram,
}

struct World<'a> {
    script: Script<'a>,
    clock: Clock,
    security: Security,
    now: Instant,
    hosts: Vec<Host>,
    wire: VecDeque<Parcel>,
    seen: VecDeque<Seen>,
    /// The latest message that brought a grant.
    brought: Option<Bytes>,
    calls: usize,
    hash: Fnv,
}

fn address(who: usize, plane: Plane) -> SocketAddr {
    (Ipv4Addr::new(10, 0, 0, who as u8 + 1), 5000 + plane as u16).into()
}

/// Whose address this is.
fn owner(address: SocketAddr) -> Option<usize> {
    (0..EVERYBODY).find(|&who| PLANES.iter().any(|&plane| self::address(who, plane) == address))
}

pub(super) fn node_id(who: usize) -> NodeId {
    NodeId([0x10 + 0x20 * who as u8; NodeId::LEN])
}

/// Channels, the last of which is a keyword too.
pub(super) const NAMES: [&str; 3] = ["100", "101", "news"];

fn channel_name(n: usize) -> ChannelName {
    ChannelName::new(NAMES[n % NAMES.len()]).unwrap()
}

/// Small limits, so that a short script meets them.
fn config(who: usize, (security, mode): (Security, Mode)) -> Config {
    let addresses = Addresses {
        overlay: address(who, Plane::Overlay),
        signalling: address(who, Plane::Signalling),
        media: address(who, Plane::Media),
    };
    let mut config = Config::new(["alice", "bob", "carol"][who], OVERLAY, addresses);
    // One slot and a rescue slot: the third node is redirected, or its relayer elected.
    config.policy.capacity = 1;
    // Alice's relayers stand under the channel's name, those of the others in its tree.
    config.policy.registered_relayers = u16::from(who == 0);
    config.policy.limits.channels = 3;
    // A source looks for newer ones whenever it refreshes its record.
    config.record_lifetime = Duration::from_secs(10);
    config.policy.limits.rows = 8;
    config.policy.limits.controls = 4;
    // Whoever takes a channel over takes the way of electing over too.
    config.policy.mode = if who == 1 { Mode::SourceManaged } else { mode };
    let limits = &mut config.policy.limits;
    (limits.subtree_rows, limits.offers, limits.open) = (4, 2, 2);
    config.agent.transport = if who == 2 { Transport::Tcp } else { Transport::Udp };
    let limits = &mut config.agent.limits;
    (limits.calls, limits.streams, limits.requests_per_call) = (8, 4, 3);
    // An answered request is remembered for 32 seconds, and a relayer reports once a second.
    (limits.client_transactions, limits.server_transactions, limits.unwritten) = (64, 128, 4096);
    let limits = &mut config.overlay.limits;
    (limits.links, limits.half_open, limits.link_queue, limits.requests) = (8, 3, 8, 16);
    (limits.answers, limits.answer_bytes, limits.transfers) = (8, 4096, 2);
    (limits.resources, limits.values, limits.value_bytes) = (8, 12, 2048);
    let limits = &mut config.media;
    (limits.channels, limits.parents, limits.children) = (3, 4, 4);
    (config.limits.peers, config.limits.queries, config.limits.outputs) = (8, 2, 64);
    if security != Security::InsecurePlain {
        secured::configure(&mut config, who, security);
    }
    config
}

impl<'a> World<'a> {
    /// Plays a script; the hash says what every node did.
    fn play(script: &'a [u8], clock: Clock, kind: (Security, Mode)) -> u64 {
        let mut world = World::new(script, clock, kind);
        world.live();
        world.hash.value()
    }

    fn new(script: &'a [u8], clock: Clock, (security, mode): (Security, Mode)) -> Self {
        let host = |who| {
            let (config, entropy) = (config(who, (security, mode)), Box::new(Seeded::new(who as u64)));
            let identity = identity(who, security);
            let mut node = match security {
                Security::InsecurePlain => Node::new(config, entropy, identity),
                Security::Tls => Node::secured(config, entropy, identity, secured::channels(who)),
                Security::Dtls => {
                    let (streams, datagrams) = (secured::channels(who), secured::associations(who));
                    Node::secured_datagrams(config, entropy, identity, streams, datagrams)
                }
            }
            .unwrap();
            node.handle_wall_clock(Instant::ZERO, UnixMillis(1_767_225_600_000));
            Host {
                node: Checked::new(node),
                busy: 0,
                streams: BTreeMap::new(),
                accepted: 0,
                players: BTreeMap::new(),
            }
        };
        World {
            script: Script::new(script),
            clock,
            security,
            now: Instant::ZERO,
            hosts: (0..NODES).map(host).collect(),
            wire: VecDeque::new(),
            seen: VecDeque::new(),
            brought: None,
            calls: 0,
            hash: Fnv::default(),
        }
    }

    fn live(&mut self) {
        while self.calls < CALLS
            && let Some(letter) = self.script.step()
        {
            self.step(letter);
        }
        // The hosts find time at last.
        (0..NODES).for_each(|who| self.drain(who));
    }

    fn step(&mut self, letter: u8) {
        match letter {
            b'c' | b'j' | b'p' | b'e' | b't' | b'k' | b'm' | b's' | b'u' | b'q' | b'l' | b'w' => {
                self.command(letter);
            }
            b'r' => {
                let time = Duration::from_millis(100 * self.script.tenths());
                self.run(time);
            }
            // The clock jumps, and nobody was woken in between.
            b'h' => {
                const LONGEST: usize = 42;
                self.now += Duration::from_micros(1 << self.script.choice(LONGEST));
            }
            b'b' => self.call_in_the_past(),
            b'g' => {
                let who = self.script.choice(NODES);
                self.hosts[who].busy = self.script.operand() % 64;
            }
            b'd' | b'x' | b'y' | b'o' | b'z' => self.trouble(letter),
            b'v' => {
                let (who, plane, to) = (self.node(), self.plane(), self.anybody());
                self.call(who, |node, now| node.handle_unreachable(now, plane, address(to, plane)));
            }
            b'i' => {
                let (to, plane, from) = (self.node(), self.plane(), self.anybody());
                let noise = Bytes::copy_from_slice(self.script.octets());
                self.arrive(to, plane, from, noise);
            }
            b'S' => self.stream(),
            b'F' | b'A' | b'R' | b'I' | b'D' | b'Q' | b'C' | b'P' | b'G' => {
                self.forge(letter);
            }
            _ => {}
        }
    }

    fn node(&mut self) -> usize {
        self.script.choice(NODES)
    }

    fn anybody(&mut self) -> usize {
        self.script.choice(EVERYBODY)
    }

    fn plane(&mut self) -> Plane {
        PLANES[self.script.choice(PLANES.len())]
    }

    // ---- what a host does

    /// What a user asks for. The answer does not matter here: a refusal is legal.
    fn command(&mut self, letter: u8) {
        let who = self.node();
        match letter {
            b'c' => drop(self.call(who, |node, now| node.create(now).ok())),
            b'j' => {
                let through = address(self.anybody(), Plane::Overlay);
                self.call(who, |node, now| node.join(now, &[through]).ok());
            }
            b'p' => {
                let (name, keyword) = (channel_name(self.script.choice(3)), channel_name(2));
                let keywords: &[ChannelName] = if name == keyword { &[] } else { &[keyword] };
                let secured = self.security != Security::InsecurePlain;
                self.call(who, |node, now| match secured {
                    true => node.publish_as(now, &name, keywords, secured::owner(who)).ok(),
                    false => node.publish(now, &name, keywords).ok(),
                });
            }
            b'e' => {
                let (name, owner) = (channel_name(self.script.choice(3)), self.node());
                let secured = self.security != Security::InsecurePlain;
                self.call(who, |node, now| match secured {
                    true => node.stand_by_as(now, &name, &[], secured::owner(owner)).ok(),
                    false => node.stand_by(now, &name, &[]).ok(),
                });
            }
            b't' => {
                let name = channel_name(self.script.choice(3));
                self.call(who, |node, now| node.tune(now, &name).ok());
            }
            b'k' => {
                let (name, owner) = (channel_name(self.script.choice(3)), self.anybody());
                self.call(who, |node, now| node.tune_to(now, &name, secured::fingerprint(owner)).ok());
            }
            b'q' => {
                let name = channel_name(self.script.choice(3));
                self.call(who, |node, now| node.providers(now, &name).ok());
            }
            b'm' => {
                let (channel, packets) = (ChannelId(self.script.choice(4) as u16), self.script.choice(64));
                (0..packets).for_each(|_| self.push(who, channel));
            }
            b's' => {
                let channel = ChannelId(self.script.choice(4) as u16);
                self.call(who, |node, now| node.stop(now, channel).ok());
            }
            b'u' => {
                let slots = self.script.choice(256) as u16;
                self.call(who, |node, now| node.set_capacity(now, slots));
            }
            b'w' => {
                let wall = UnixMillis(1 << (self.script.operand() % 64));
                self.call(who, |node, now| node.handle_wall_clock(now, wall));
            }
            _ => self.call(who, |node, now| node.leave(now)),
        }
    }

    fn push(&mut self, who: usize, channel: ChannelId) {
        const NULL: [u8; TsPacket::LEN] = {
            let mut packet = [0xff; TsPacket::LEN];
            [packet[0], packet[1], packet[2], packet[3]] = [TsPacket::SYNC, 0x1f, 0xff, 0x10];
            packet
        };
        let ssrc = (who as u32 + 1) << 8 | u32::from(channel.0);
        let player = self.hosts[who].players.entry(channel).or_insert(Packetizer::new(ssrc, 65_530));
        let packet = player.packetize((self.now.as_millis() * 90) as u32, false, &NULL).unwrap();
        self.call(who, |node, now| node.push_media(now, channel, packet).ok());
    }

    /// A parcel that arrives at an older `now`: it counts as one of the last.
    fn call_in_the_past(&mut self) {
        let (nth, back) = (self.script.choice(self.wire.len()), self.script.tenths());
        let Some(Parcel { to, what }) = self.wire.remove(nth) else { return };
        self.call(to, |node, now| node.handle_timeout(now));
        let told = match self.clock {
            Clock::Rough => self.now - Duration::from_millis(100 * back),
            Clock::Calm => self.now,
        };
        self.receipt(to, |node, _| match what {
            What::Datagram(datagram) => node.handle_datagram(told, datagram),
            What::Stream(stream, input) => node.handle_stream(told, stream, input),
        });
    }

    /// One call of a node, and everything that a host does after it.
    fn call<R>(&mut self, who: usize, call: impl FnOnce(&mut Node, Instant) -> R) -> R {
        self.calls += 1;
        let (now, clock, host) = (self.now, self.clock, &mut self.hosts[who]);
        if clock == Clock::Rough {
            hold(who, host.node.wake_early(now));
        }
        if host.busy > 0 {
            host.busy -= 1;
            return hold(who, host.node.step_undrained(now, |node| call(node, now)));
        }
        let mut outputs = Vec::new();
        let result = host.node.step(
            now,
            |node| call(node, now),
            |node, output| {
                // The children are those of this moment.
                let children = match &output {
                    Output::Media { channel, .. } => node.children(*channel).to_vec(),
                    _ => Vec::new(),
                };
                outputs.push((output, children));
            },
        );
        let result = hold(who, result);
        self.look(who);
        for (output, children) in outputs {
            self.hash.bytes(&[who as u8]);
            self.hash.output(&output);
            self.perform(who, output, &children);
        }
        result
    }

    fn drain(&mut self, who: usize) {
        self.hosts[who].busy = 0;
        self.call(who, |node, now| node.handle_timeout(now));
    }

    /// What has to hold of a drained node.
    fn look(&self, who: usize) {
        let node = self.hosts[who].node.machine();
        assert_eq!(node.deadline(), node.deadline(), "K4: asking for the deadline changed it");
        for (what, size, limit) in node.census() {
            assert!(size <= limit, "K8: node {who} holds {size} {what}, and at most {limit} are allowed");
        }
    }

    fn perform(&mut self, who: usize, output: Output, children: &[SocketAddr]) {
        match output {
            Output::Transmit { plane, to, payload } => self.send(who, plane, to, payload),
            Output::Media { packets, .. } => {
                for packet in packets {
                    children.iter().for_each(|&to| self.send(who, Plane::Media, to, packet.clone()));
                }
            }
            Output::Connect { stream, to, plane } => {
                let there = owner(to).filter(|&there| there < NODES && to == address(there, plane));
                let Some(there) = there else {
                    return self.post(who, What::Stream(stream, StreamInput::Closed));
                };
                let far = self.accept(there, Stream { plane, there: who, far: Some(stream) });
                self.hosts[who].streams.insert(stream, Stream { plane, there, far: Some(far) });
                let opened = |who| StreamInput::Opened { peer: address(who, plane), plane };
                self.post(there, What::Stream(far, opened(who)));
                self.post(who, What::Stream(stream, opened(there)));
            }
            Output::Write { stream, bytes } => {
                if let Some(&Stream { plane, there, far: Some(far) }) = self.hosts[who].streams.get(&stream) {
                    let from = address(who, plane);
                    self.see(who, there, Datagram { plane, from, payload: bytes.clone() });
                    self.post(there, What::Stream(far, StreamInput::Bytes(bytes)));
                }
            }
            Output::Close { stream } => {
                if let Some(Stream { there, far: Some(far), .. }) = self.hosts[who].streams.remove(&stream) {
                    self.hosts[there].streams.remove(&far);
                    self.post(there, What::Stream(far, StreamInput::Closed));
                }
            }
            Output::Sign { .. } | Output::Event(_) => {}
        }
    }

    // ---- the network

    fn send(&mut self, from: usize, plane: Plane, to: SocketAddr, payload: Bytes) {
        let Some(there) = owner(to).filter(|&there| there < NODES && to == address(there, plane)) else {
            return;
        };
        let datagram = Datagram { plane, from: address(from, plane), payload };
        let mut seen = datagram.clone();
        if (self.security, plane) == (Security::Dtls, Plane::Overlay) {
            seen.payload = secured::opened(&seen.payload);
        }
        self.see(from, there, seen);
        self.post(there, What::Datagram(datagram));
    }

    fn see(&mut self, from: usize, to: usize, datagram: Datagram) {
        if self.seen.len() >= SEEN {
            self.seen.pop_front();
        }
        if datagram.plane == Plane::Signalling && forge::brings_grant(&datagram.payload) {
            self.brought = Some(datagram.payload.clone());
        }
        self.seen.push_back(Seen { from, to, datagram });
    }

    fn accept(&mut self, who: usize, stream: Stream) -> StreamId {
        let host = &mut self.hosts[who];
        let id = StreamId::accepted(host.accepted);
        host.accepted += 1;
        host.streams.insert(id, stream);
        id
    }

    fn post(&mut self, to: usize, what: What) {
        if self.wire.len() < UNDER_WAY {
            self.wire.push_back(Parcel { to, what });
        }
    }

    fn deliver(&mut self, parcel: Parcel) {
        let Parcel { to, what } = parcel;
        match what {
            What::Datagram(datagram) => self.take_in(to, datagram),
            What::Stream(stream, input) => {
                self.receipt(to, |node, now| node.handle_stream(now, stream, input))
            }
        }
    }

    fn arrive(&mut self, to: usize, plane: Plane, from: usize, payload: Bytes) {
        self.take_in(to, Datagram { plane, from: address(from, plane), payload });
    }

    /// What a forger says comes where it is listened to: where streams are secured, inside the one from whom he poses as,
    /// or inside a new one of his own.
    fn say(&mut self, to: usize, plane: Plane, from: usize, payload: Bytes) {
        let streams = match self.security {
            Security::InsecurePlain => false,
            Security::Tls => plane != Plane::Media,
            Security::Dtls => plane == Plane::Signalling,
        };
        if !streams {
            let sealed = (self.security, plane) == (Security::Dtls, Plane::Overlay);
            let datagram = if sealed { secured::sealed(&payload) } else { payload };
            return self.arrive(to, plane, from, datagram);
        }
        let of_him = |(_, stream): &(&StreamId, &Stream)| stream.there == from && stream.plane == plane;
        let known = self.hosts[to].streams.iter().find(of_him).map(|(&id, _)| id);
        let stream = known.unwrap_or_else(|| {
            let stream = self.accept(to, Stream { plane, there: from, far: None });
            let peer = address(from, plane);
            for input in [StreamInput::Opened { peer, plane }, StreamInput::Bytes(secured::hello(from))] {
                self.receipt(to, |node, now| node.handle_stream(now, stream, input));
            }
            stream
        });
        self.receipt(to, |node, now| node.handle_stream(now, stream, StreamInput::Bytes(payload)));
    }

    fn take_in(&mut self, to: usize, datagram: Datagram) {
        self.receipt(to, |node, now| node.handle_datagram(now, datagram));
    }

    /// K7: what is dropped is counted, and nothing else is.
    fn receipt(&mut self, to: usize, input: impl FnOnce(&mut Node, Instant) -> Receipt) {
        let counted = |world: &Self| world.hosts[to].node.machine().stats().clone();
        let before = counted(self);
        if let Receipt::Dropped(reason) = self.call(to, input) {
            let after = counted(self).dropped(reason);
            assert!(after > before.dropped(reason), "K7: dropped and not counted: {reason:?}");
        }
    }

    /// What a network may do to what it carries, and more than that: streams suffer too.
    fn trouble(&mut self, letter: u8) {
        let nth = self.script.choice(self.wire.len());
        match letter {
            b'd' => {
                for parcel in self.wire.drain(..nth.min(self.wire.len())).collect::<Vec<_>>() {
                    self.deliver(parcel);
                }
            }
            b'x' => drop(self.wire.remove(nth)),
            b'y' => {
                let copy = self.wire.get(nth).and_then(|parcel| match &parcel.what {
                    What::Datagram(datagram) => Some((parcel.to, datagram.clone())),
                    What::Stream(..) => None,
                });
                if let Some((to, datagram)) = copy {
                    self.take_in(to, datagram);
                }
            }
            b'o' => {
                if let Some(parcel) = self.wire.remove(nth) {
                    self.wire.push_back(parcel);
                }
            }
            _ => {
                let mut u = Unstructured::new(self.script.octets());
                match self.wire.get_mut(nth).map(|parcel| &mut parcel.what) {
                    Some(What::Datagram(Datagram { payload: octets, .. }))
                    | Some(What::Stream(_, StreamInput::Bytes(octets))) => {
                        *octets = forge::spoilt(octets, &mut u)
                    }
                    _ => {}
                }
            }
        }
    }

    /// A stream that nobody asked for, or something on one that exists.
    fn stream(&mut self) {
        let (who, what, number) = (self.node(), self.script.choice(4), self.script.operand());
        let streams: Vec<StreamId> = self.hosts[who].streams.keys().copied().collect();
        let stream = match streams.get(usize::from(number)) {
            Some(stream) => *stream,
            None if number % 2 == 0 => StreamId::accepted(1000 + u32::from(number)),
            None => StreamId::requested(u32::from(number)),
        };
        let input = match what {
            0 => {
                let plane = self.plane();
                StreamInput::Opened { peer: address(self.anybody(), plane), plane }
            }
            1 => StreamInput::Bytes(Bytes::copy_from_slice(self.script.octets())),
            2 => StreamInput::Writable,
            _ => StreamInput::Closed,
        };
        self.receipt(who, |node, now| node.handle_stream(now, stream, input));
    }

    /// A message of a peer who means ill, from a node's address or a stranger's.
    fn forge(&mut self, letter: u8) -> Option<()> {
        let (to, from) = (self.node(), self.anybody());
        let nth = self.script.choice(SEEN);
        let mut u = Unstructured::new(self.script.octets());
        // The latest that passed by on this plane.
        let seen = |plane| self.seen.iter().rev().filter(move |seen| seen.datagram.plane == plane).nth(nth);
        let (plane, to, from, payload) = match letter {
            b'F' => {
                let signer = identity(from, self.security);
                let forged = forge::reload(overlay_hash(OVERLAY), &*signer, node_id(to), &mut u)?;
                (Plane::Overlay, to, from, forged)
            }
            b'A' => {
                let Seen { from: asking, to: asked, datagram } = seen(Plane::Overlay)?;
                let signer = identity(*asked, self.security);
                let forged = forge::reload_answer(&datagram.payload, &*signer, node_id(*asking), &mut u)?;
                (Plane::Overlay, *asking, *asked, forged)
            }
            b'R' => {
                let Seen { from, to, datagram } = seen(Plane::Overlay)?;
                let anew = u.arbitrary().ok()?;
                let signer = identity(*from, self.security);
                let forged = forge::reload_again(&datagram.payload, &*signer, anew, &mut u)?;
                (Plane::Overlay, *to, *from, forged)
            }
            b'I' => (Plane::Signalling, to, from, forge::sip_request(&mut u)?),
            b'D' => {
                let Seen { from, to, datagram } = seen(Plane::Signalling)?;
                let answers = datagram.payload.starts_with(b"SIP/2.0");
                let back: bool = u.arbitrary().ok()?;
                let (from, to) = if answers == back { (*from, *to) } else { (*to, *from) };
                let source = address(from, Plane::Signalling);
                (Plane::Signalling, to, from, forge::sip_in_dialog(&datagram.payload, back, source, &mut u)?)
            }
            b'G' => {
                let brought = self.brought.as_ref()?;
                let Seen { from, to, datagram } = seen(Plane::Signalling)?;
                let answers = datagram.payload.starts_with(b"SIP/2.0");
                let back: bool = u.arbitrary().ok()?;
                let (from, to) = if answers == back { (*from, *to) } else { (*to, *from) };
                let source = address(from, Plane::Signalling);
                let replayed = forge::sip_replay(brought, &datagram.payload, back, source, &mut u)?;
                (Plane::Signalling, to, from, replayed)
            }
            b'Q' => {
                let Seen { from: asking, to: asked, datagram } = seen(Plane::Signalling)?;
                let source = address(*asking, Plane::Signalling);
                let forged = forge::sip_response(&datagram.payload, source, &mut u)?;
                (Plane::Signalling, *asking, *asked, forged)
            }
            _ => {
                let ssrc = (nth as u32 % 4 + 1) << 8;
                let forged =
                    if letter == b'C' { forge::rtcp(ssrc, &mut u) } else { forge::rtp(ssrc, &mut u) };
                let mut forged = forged.ok()?;
                // Whoever reads the signalling has the keys as well.
                let told = seen(Plane::Signalling).filter(|seen| (seen.from, seen.to) == (from, to));
                if let (b'C', Some(key)) =
                    (letter, told.and_then(|seen| forge::key_of(&seen.datagram.payload)))
                {
                    forged = forge::srtcp(&key, &forged, u.arbitrary().ok()?)?;
                }
                (Plane::Media, to, from, forged)
            }
        };
        self.say(to, plane, from, payload);
        Some(())
    }

    // ---- time

    /// The world goes on as it should for a while: nothing is lost, every host is in time, and media flow.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        (0..NODES).for_each(|who| self.drain(who));
        let mut frame = self.now;
        loop {
            while let Some(who) = (0..NODES).find(|&who| self.is_due(who)) {
                self.call(who, |node, now| node.handle_timeout(now));
            }
            if frame <= self.now {
                frame = self.now + FRAME;
                self.push_everywhere();
            }
            let under_way = self.wire.len();
            for _ in 0..under_way {
                let Some(parcel) = self.wire.pop_front() else { break };
                self.deliver(parcel);
            }
            if self.now >= end || self.calls >= CALLS {
                return;
            }
            let arrival = (!self.wire.is_empty()).then(|| self.now + LATENCY);
            let deadlines = self.hosts.iter().filter_map(|host| host.node.deadline());
            let next = deadlines.chain(arrival).chain([frame, end]).min().unwrap_or(end);
            self.wait_until(next);
        }
    }

    fn is_due(&self, who: usize) -> bool {
        self.hosts[who].node.deadline().is_some_and(|at| at <= self.now)
    }

    fn wait_until(&mut self, next: Instant) {
        if self.clock == Clock::Rough {
            let halfway = self.now + next.since(self.now) / 2;
            for (who, host) in self.hosts.iter_mut().enumerate() {
                hold(who, host.node.wake_early(halfway));
            }
        }
        self.now = self.now.max(next);
    }

    fn push_everywhere(&mut self) {
        for who in 0..NODES {
            let node = self.hosts[who].node.machine();
            let published = |id: &ChannelId| node.status(*id).is_some_and(|status| status.publisher);
            let channels: Vec<ChannelId> = node.channels().map(|(id, _)| id).filter(published).collect();
            channels.into_iter().for_each(|channel| self.push(who, channel));
        }
    }
}

/// Who a node is, or a stranger.
fn identity(who: usize, security: Security) -> Box<dyn Crypto> {
    match security {
        Security::InsecurePlain => Box::new(InsecureIdentity::new(node_id(who))),
        _ => Box::new(secured::identity(who)),
    }
}

/// A promise that was broken stops the fuzzer.
fn hold<T>(who: usize, result: Result<T, Violation>) -> T {
    result.unwrap_or_else(|violation| panic!("node {who}: {violation}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reload::codec::KindId;
    use crate::reload::redir::TreeNode;
    use crate::stats::DropReason;

    /// The world after a script.
    fn after(script: &[u8]) -> World<'_> {
        after_in(Security::InsecurePlain, script)
    }

    fn after_in(security: Security, script: &[u8]) -> World<'_> {
        let (mode, script) = mode_of(script);
        let mut world = World::new(script, Clock::Calm, (security, mode));
        world.live();
        world
    }

    fn parent(world: &World<'_>, who: usize) -> Option<usize> {
        let status = world.hosts[who].node.machine().status(ChannelId(0))?;
        let id = status.parent.filter(|_| status.playing)?.node_id?;
        (0..NODES).find(|&who| node_id(who) == id)
    }

    #[test]
    fn a_script_leads_to_a_tree_of_three_nodes() {
        let world = after(b"c0 r9 j10 r9 j20 r9 p00 r9 t10 rJ t20 rz");
        assert_eq!([parent(&world, 1), parent(&world, 2)], [Some(0), Some(1)], "alice has one slot");
    }

    #[test]
    fn an_orphan_is_repaired_while_the_script_goes_on() {
        let world = after(b"c0 r9 j10 r9 j20 r9 p00 r9 t10 rJ t20 rz l1 rz");
        assert_eq!(parent(&world, 2), Some(0));
    }

    #[test]
    fn a_forger_meets_nodes_that_listen() {
        let mut script = b"c0 r9 j10 r9 j20 r9 p00 r9 t10 rJ t20 rJ ".to_vec();
        for letter in *b"FARIDQCP" {
            for from in *b"012" {
                script.extend([letter, b'1', from, b'0', 40]);
                script.extend((0..40).map(|n: u8| n.wrapping_mul(37).wrapping_add(from)));
            }
        }
        let taken = |plane: Plane, script: &[u8]| {
            after(script).hosts.iter().map(|h| h.node.machine().stats().received(plane).packets).sum::<u64>()
        };
        let quiet = script.split_at(script.iter().position(|&b| b == b'F').unwrap()).0;
        for plane in PLANES {
            assert!(taken(plane, &script) > taken(plane, quiet), "nothing forged came on {plane:?}");
        }
    }

    const SECURED: &[u8] = b"c0 r9 j10 r9 j20 r9 p00 r9 t10 rz t20 rz ";

    #[test]
    fn a_script_leads_to_a_tree_of_three_secured_nodes() {
        let world = after_in(Security::Tls, SECURED);
        assert_eq!([parent(&world, 1), parent(&world, 2)], [Some(0), Some(1)], "alice has one slot");
        for host in &world.hosts {
            let stats = host.node.machine().stats();
            assert_eq!(stats.dropped(DropReason::BadSignature), 0);
            assert_eq!(stats.dropped(DropReason::NotGranted), 0);
        }
    }

    #[test]
    fn links_may_be_secured_datagrams() {
        let world = after_in(Security::Dtls, SECURED);
        assert_eq!([parent(&world, 1), parent(&world, 2)], [Some(0), Some(1)]);
        for host in &world.hosts {
            assert!(host.streams.values().all(|stream| stream.plane == Plane::Signalling));
            let stats = host.node.machine().stats();
            assert_eq!(stats.dropped(DropReason::BadSignature) + stats.dropped(DropReason::NotSecured), 0);
        }
    }

    #[test]
    fn a_relayer_that_a_relayer_elected_stands_in_the_tree_by_the_grant_of_a_source_that_it_never_met() {
        for kind in [Security::Tls, Security::Dtls] {
            let script = [&b"^"[..], SECURED, b"rz rz"].concat();
            let world = after_in(kind, &script);
            assert_eq!([parent(&world, 1), parent(&world, 2)], [Some(0), Some(1)]);
            let root = TreeNode { level: 0, node: 0 }.resource(b"100@tv.example");
            let nodes = world.hosts.iter().map(|host| host.node.machine().overlay());
            let stored = nodes.filter_map(|overlay| overlay.storage().hand_over(world.now, &root));
            let groups = stored.flat_map(|(_, groups)| groups).filter(|group| group.kind == KindId::REDIR);
            let values: Vec<_> = groups.flat_map(|group| group.values).collect();
            assert!(values.iter().any(|v| v.value.signer.node_id == node_id(2)), "{kind:?}");
        }
    }

    #[test]
    fn of_two_standbys_that_take_over_at_once_one_goes_on() {
        for kind in [Security::InsecurePlain, Security::Tls] {
            let publishes = |world: &World<'_>, who: usize| {
                let node = world.hosts[who].node.machine();
                node.status(ChannelId(0)).is_some_and(|status| status.publisher)
            };
            let world = after_in(kind, b"c0 r9 j10 r9 j20 r9 e100e200 rX");
            assert!(publishes(&world, 1) && publishes(&world, 2), "{kind:?}");
            let world = after_in(kind, b"c0 r9 j10 r9 j20 r9 e100e200 rz rz rz");
            assert!(publishes(&world, 1) && !publishes(&world, 2), "{kind:?}: the lower Node-ID");
        }
    }

    /// What all nodes took in, and what they dropped.
    fn taken(world: &World<'_>, plane: Plane) -> u64 {
        world.hosts.iter().map(|h| h.node.machine().stats().received(plane).packets).sum()
    }

    #[test]
    fn a_forger_gets_into_the_streams_and_associations_of_secured_nodes() {
        let mut script = SECURED.to_vec();
        for letter in *b"FARIDQ" {
            for from in *b"01234" {
                script.extend([letter, b'1', from, b'0', 40]);
                script.extend((0..40).map(|n: u8| n.wrapping_mul(37).wrapping_add(from)));
            }
        }
        for security in [Security::Tls, Security::Dtls] {
            let (quiet, forged) = (after_in(security, SECURED), after_in(security, &script));
            for plane in [Plane::Overlay, Plane::Signalling] {
                assert!(taken(&forged, plane) > taken(&quiet, plane), "nothing forged came on {plane:?}");
            }
            // What an overlay has read it acknowledges.
            let said = |world: &World<'_>| -> u64 {
                world.hosts.iter().map(|h| h.node.machine().stats().sent(Plane::Overlay).packets).sum()
            };
            assert!(said(&forged) > said(&quiet), "nothing forged was read by an overlay");
        }
    }

    #[test]
    fn a_grant_that_was_seen_is_brought_again_and_only_counts_where_it_was_meant() {
        let mut world = after_in(Security::Tls, SECURED);
        assert!(world.brought.is_some(), "bob was elected");
        let counted = |world: &World<'_>, reason| -> u64 {
            world.hosts.iter().map(|h| h.node.machine().stats().dropped(reason)).sum()
        };
        let mut script = Vec::new();
        for nth in 0..SEEN as u8 {
            script.extend([b'G', b'0', b'0', b'0' + nth, 12]);
            script.extend([nth % 2, 1, 1, 0, 0, 1, 0, 9, 9, 9, nth, nth]);
        }
        world.script = Script::new(&script);
        world.live();
        assert!(counted(&world, DropReason::NotGranted) > 0, "nobody refused it");
    }

    #[test]
    fn a_blank_changes_nothing() {
        let kind = (Security::InsecurePlain, Mode::SourceManaged);
        let play = |script| World::play(script, Clock::Calm, kind);
        assert_eq!(play(b"c0r9"), play(b" c0\n\xffr9 "));
    }
}
