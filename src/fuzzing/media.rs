//! A source that signs, two relays and a viewer, and somebody between them who has no key. Two have a standby, and paths
//! may be long.

use super::forge;
use super::script::Script;
use crate::effect::{Effect, Effects};
use crate::env::Seeded;
use crate::ids::{CallId, ChannelId};
use crate::rtp::header::{self, Header, Kind, PayloadType};
use crate::rtp::integrity;
use crate::rtp::relay::{
    Config, Fact, Limits, NACK_FAR, NACK_STANDBY_EARNED_IN, NACK_VAIN, Relay, Remote, Role, Start,
};
use crate::rtp::rtcp::{self, Packet};
use crate::rtp::srtcp::{Keys, MasterKey};
use crate::time::{Duration, Instant};
use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use arbitrary::Unstructured;
use bytes::Bytes;
use core::net::SocketAddr;
use sha2::{Digest as _, Sha256};

const CHANNEL: ChannelId = ChannelId(0);
/// The source, two that are fed by it and feed the last.
const NODES: usize = 4;
/// Who feeds whom.
const CALLS: [(usize, usize); 4] = [(0, 1), (0, 2), (1, 3), (2, 3)];
/// Who is whose standby. Nothing else is said between these, and it is in clear.
const STANDBYS: [(usize, usize); 2] = [(2, 1), (0, 3)];
/// How long a standby that does not answer is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(10);
/// Datagrams that may be on their way.
const MOST: usize = 512;

fn address(node: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 5000 + node as u16))
}

fn signature(list: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&Sha256::digest([b"the owner's", list].concat()))
}

/// A datagram on its way.
struct Parcel {
    from: usize,
    to: usize,
    payload: Bytes,
}

/// What is known of a standby.
#[derive(Default)]
struct Standby {
    round_trip: Duration,
    /// Its child has asked for the channel, and has not been denied it, nor enough of it.
    covers: bool,
    /// It has served, once.
    served: bool,
    denies: bool,
    /// The packets that its child has asked it for, one by one, and when it has since the last answer.
    asked: BTreeSet<(u32, u16)>,
    unanswered: Vec<Instant>,
    /// RTP that was sent to its child.
    sent: u64,
}

fn standby_calls(n: usize) -> (CallId, CallId) {
    let n = (CALLS.len() + n) as u32 + 1;
    (CallId::placed(n), CallId::received(n))
}

struct World {
    now: Instant,
    standbys: [Standby; STANDBYS.len()],
    /// How long it takes there and back in each of the calls, once that is known.
    round_trips: [Option<Duration>; CALLS.len()],
    relays: Vec<Relay>,
    parcels: VecDeque<Parcel>,
    /// All that the source's host has pushed, and all that it has signed.
    pushed: Vec<Bytes>,
    signed: Vec<Bytes>,
    /// Signatures that were looked at.
    judged: u64,
}

impl World {
    fn new() -> Self {
        let limits = Limits {
            integrity: integrity::Limits { lists: 4, held: 8, patience: Duration::from_millis(50) },
            ..Limits::default()
        };
        let relay = |node| {
            let mut relay = Relay::new(Config { ssrc: node as u32, cname: String::from("n"), limits });
            relay.open(CHANNEL, if node == 0 { Role::Source } else { Role::Viewer }).unwrap();
            relay.protect(CHANNEL, 0).unwrap();
            relay
        };
        let (relays, parcels) = ((0..NODES).map(relay).collect(), VecDeque::new());
        let mut world = World {
            now: Instant::from_millis(1000),
            standbys: Default::default(),
            round_trips: Default::default(),
            relays,
            parcels,
            pushed: Vec::new(),
            signed: Vec::new(),
            judged: 0,
        };
        for (n, (parent, child)) in CALLS.into_iter().enumerate() {
            let (up, down) = (MasterKey::new([1; MasterKey::LEN]), MasterKey::new([2; MasterKey::LEN]));
            let keys = Keys { ours: up.clone(), theirs: down.clone() };
            let remote = Remote { addr: address(parent), keys: Some(keys) };
            let call = CallId::placed(n as u32 + 1);
            world.order(child, |relay, now, fx| {
                relay.add_parent(now, call, CHANNEL, remote, None, fx).unwrap();
            });
            world.feed(n, (parent, child), Keys { ours: down, theirs: up }, Start::Live);
        }
        for (n, (provider, child)) in STANDBYS.into_iter().enumerate() {
            let (at_child, at_provider) = standby_calls(n);
            world.relays[provider].add_standby_child(at_provider, CHANNEL, address(child)).unwrap();
            world.order(child, |relay, now, fx| {
                relay.add_standby_parent(now, at_child, CHANNEL, address(provider), fx).unwrap();
            });
        }
        world
    }

    /// The ends of a call know how far it is.
    fn measure(&mut self, n: usize, round_trip: Duration) {
        let (ends, calls) = match (CALLS.get(n), n.checked_sub(CALLS.len())) {
            (Some(&ends), _) => {
                self.round_trips[n] = Some(round_trip);
                (ends, (CallId::placed(n as u32 + 1), CallId::received(n as u32 + 1)))
            }
            (None, Some(n)) => {
                self.standbys[n].round_trip = round_trip;
                (STANDBYS[n], standby_calls(n))
            }
            (None, None) => return,
        };
        self.relays[ends.1].on_round_trip(calls.0, round_trip);
        self.relays[ends.0].on_round_trip(calls.1, round_trip);
    }

    /// A child asks its standby for the channel.
    fn resume(&mut self, n: usize) {
        let standby = &mut self.standbys[n];
        standby.covers = true;
        standby.unanswered.clear();
        self.order(STANDBYS[n].1, |relay, now, fx| relay.resume(now, standby_calls(n).0, fx));
    }

    fn release(&mut self, n: usize) {
        self.standbys[n].covers = false;
        self.order(STANDBYS[n].1, |relay, now, fx| relay.release(now, standby_calls(n).0, fx));
    }

    /// Requests of a child for single packets, and answers to them.
    fn watch(&mut self, from: usize, to: SocketAddr, datagram: &Bytes) {
        let is_rtp = header::kind_of(datagram) == Some(Kind::Rtp);
        for (n, (provider, child)) in STANDBYS.into_iter().enumerate() {
            let standby = &mut self.standbys[n];
            if (from, to) == (provider, address(child)) && is_rtp {
                standby.sent += 1;
                let received = self.relays[provider].counters(CHANNEL).unwrap().sequence.received;
                assert!(
                    standby.served || standby.sent <= received / NACK_STANDBY_EARNED_IN,
                    "{provider} answers {child} more than it may"
                );
            }
            if (from, to) != (child, address(provider)) || is_rtp || standby.covers {
                continue;
            }
            for packet in &rtcp::parse(datagram).unwrap() {
                let Packet::Nack { media, losses, .. } = packet else { continue };
                standby.asked.extend(losses.iter().map(|sequence| (*media, sequence)));
                if standby.unanswered.last() != Some(&self.now) {
                    standby.unanswered.push(self.now);
                }
                let again = standby.unanswered.windows(2).skip(usize::from(NACK_VAIN) - 1);
                let too_soon = again.filter(|at| at[1].since(at[0]) < LEFT_ALONE).count();
                assert_eq!(too_soon, 0, "{child} goes on asking {provider}, who does not answer");
                let far = |n: usize| {
                    self.round_trips[n].is_some_and(|rtt| rtt > NACK_FAR && standby.round_trip * 2 <= rtt)
                };
                let parents = (0..CALLS.len()).filter(|&n| CALLS[n].1 == child);
                assert!(parents.into_iter().any(far), "{child} asks {provider}, and is near to its parents");
            }
        }
    }

    fn feed(&mut self, n: usize, (parent, child): (usize, usize), keys: Keys, from: Start) {
        let remote = Remote { addr: address(child), keys: Some(keys) };
        let call = CallId::received(n as u32 + 1);
        self.order(parent, |relay, now, fx| {
            relay.remove_child(call);
            relay.add_child(now, call, CHANNEL, remote, from, fx).unwrap();
        });
    }

    /// One call on a relay, and all that follows from it here.
    fn order(&mut self, node: usize, order: impl FnOnce(&mut Relay, Instant, &mut Effects<Fact>)) {
        self.order_for(node, None, order);
    }

    /// The same for a datagram that came from this standby.
    fn order_for(
        &mut self,
        node: usize,
        standby: Option<(usize, Bytes)>,
        order: impl FnOnce(&mut Relay, Instant, &mut Effects<Fact>),
    ) {
        let mut fx = Effects::new();
        order(&mut self.relays[node], self.now, &mut fx);
        let judged = self.judged;
        while let Some(effect) = fx.pop() {
            let relay = &mut self.relays[node];
            match effect {
                Effect::Send { to, payload } => {
                    self.watch(node, to, &payload);
                    self.put(node, to, payload);
                }
                Effect::Fact(Fact::Packet { payload, .. }) => {
                    assert!(self.pushed.contains(&payload), "{node} takes what the source did not send");
                    if let Some((n, datagram)) = &standby
                        && *datagram == payload
                        && !self.standbys[*n].covers
                    {
                        let header = header::Packet::parse(&payload).unwrap().header;
                        let asked = self.standbys[*n].asked.contains(&(header.ssrc, header.sequence));
                        assert!(asked, "{node} takes from its standby what it has not asked for");
                    }
                    for to in self.relays[node].children(CHANNEL).to_vec() {
                        self.put(node, to, payload.clone());
                    }
                }
                Effect::Fact(Fact::ToSign { .. }) => {
                    let signed = &mut self.signed;
                    let sign = |list: &[u8]| {
                        signed.push(Bytes::copy_from_slice(list));
                        Some(signature(list))
                    };
                    relay.sign(self.now, CHANNEL, self.now.as_micros() / 1000, sign, &mut fx);
                }
                Effect::Fact(Fact::ToJudge { .. }) => {
                    let (signed, judged) = (&self.signed, &mut self.judged);
                    let verify = |list: &[u8], candidate: &[u8]| {
                        *judged += 1;
                        // A fuzzer sees what a signature is compared with, so it could make one.
                        candidate == signature(list) && signed.iter().any(|known| known == list)
                    };
                    relay.judge(self.now, CHANNEL, verify, &mut fx);
                }
                Effect::Fact(Fact::Resumed { call, .. }) => {
                    let n = (0..STANDBYS.len()).find(|&n| standby_calls(n).1 == call).unwrap();
                    if self.standbys[n].denies {
                        relay.deny(call, &mut fx);
                    } else {
                        self.standbys[n].served = true;
                        relay.serve(self.now, call, &mut fx);
                    }
                }
                Effect::Fact(Fact::Released { call, .. }) => relay.rest(call),
                Effect::Fact(Fact::Denied { call, .. }) => {
                    let n = (0..STANDBYS.len()).find(|&n| standby_calls(n).0 == call).unwrap();
                    self.standbys[n].covers = false;
                }
                _ => {}
            }
        }
        assert!(self.judged - judged <= 1, "one datagram, one signature");
    }

    fn put(&mut self, from: usize, to: SocketAddr, payload: Bytes) {
        let to = usize::from(to.port()) - 5000;
        if self.parcels.len() < MOST {
            self.parcels.push_back(Parcel { from, to, payload });
        }
    }

    fn arrive(&mut self, parcel: Parcel) {
        let Parcel { from, to, payload } = parcel;
        let standby = STANDBYS.iter().position(|&call| call == (from, to));
        if let Some(n) = standby
            && header::kind_of(&payload) == Some(Kind::Rtp)
        {
            self.standbys[n].unanswered.clear();
        }
        self.order_for(to, standby.map(|n| (n, payload.clone())), |relay, now, fx| {
            let _ = relay.handle_datagram(now, address(from), payload, fx);
        });
    }

    fn push(&mut self, ssrc: u8, sequence: u16, octets: &[u8]) {
        let header = Header {
            marker: false,
            payload_type: PayloadType::MP2T,
            sequence,
            timestamp: (self.now.as_micros() * 9 / 100) as u32,
            ssrc: 100 + u32::from(ssrc),
        };
        let packet = Bytes::from([&header.to_bytes()[..], octets].concat());
        self.pushed.push(packet.clone());
        self.order(0, |relay, now, fx| {
            let _ = relay.push(now, CHANNEL, packet, fx);
        });
    }

    fn wait(&mut self, milliseconds: u64) {
        let end = self.now + Duration::from_millis(milliseconds);
        loop {
            let due = self.relays.iter().filter_map(|relay| relay.deadline()).min();
            let Some(due) = due.filter(|&due| due <= end) else { break };
            self.now = self.now.max(due);
            for node in 0..NODES {
                self.order(node, |relay, now, fx| relay.handle_timeout(now, &mut Seeded::new(1), fx));
                let next = self.relays[node].deadline();
                assert!(next.is_none_or(|next| next > self.now), "{node} is due again at once");
            }
        }
        self.now = end;
    }
}

/// A script of what a source sends down a small tree and what becomes of it.
///
/// | step | operands | what happens |
/// | --- | --- | --- |
/// | `p` | source, number, octets | the host pushes this packet |
/// | `m` | packets | it pushes so many in order |
/// | `f` | | what it has in hand leaves |
/// | `r` | milliseconds | time passes |
/// | `d` | parcels | so many arrive |
/// | `x` `y` `z` | number (`z`: and octets) | that one is lost, doubled, spoilt |
/// | `o` | number | that one is late |
/// | `t` | number, standby | the same comes from that standby as well, at its child, and now |
/// | `i` | to, from, octets | this arrives |
/// | `s` | call, number | a child begins anew, from there |
/// | `l` | call, ten milliseconds | so long does it take there and back |
/// | `u` | standby, what | it is asked for the channel, told that this was enough, or denies from now on, or no more |
///
/// Whatever happens, no relay takes, plays or passes on a packet that the source's host did not push, none looks at more
/// than one signature for a datagram, and what arrives unspoilt in the end is played. A standby is asked for single packets
/// where the parents are far, and not on and on if it does not answer; it answers for a thirty-second of the stream, and
/// nothing else of it is taken.
pub fn media_world(script: &[u8]) {
    let mut world = World::new();
    let mut script = Script::new(script);
    let mut sequence = 0u16;
    while let Some(letter) = script.step() {
        match letter {
            b'p' => {
                let (ssrc, step) = (script.choice(2) as u8, script.choice(256) as u16);
                let octets = script.octets().to_vec();
                sequence = sequence.wrapping_add(step).wrapping_sub(3);
                world.push(ssrc, sequence, &octets);
            }
            b'm' => {
                for _ in 0..script.choice(80) {
                    sequence = sequence.wrapping_add(1);
                    world.push(0, sequence, &sequence.to_be_bytes());
                }
            }
            b'f' => world.order(0, |relay, now, fx| relay.finish(now, CHANNEL, fx)),
            b'r' => {
                let time = script.choice(256) as u64;
                world.wait(time);
            }
            b'd' => {
                for _ in 0..script.choice(256) {
                    let Some(parcel) = world.parcels.pop_front() else { break };
                    world.arrive(parcel);
                }
            }
            b'x' | b'y' | b'z' | b'o' => {
                let nth = script.choice(world.parcels.len());
                let Some(parcel) = world.parcels.remove(nth) else { continue };
                match letter {
                    b'x' => {}
                    b'o' => world.parcels.push_back(parcel),
                    b'y' => {
                        let again = Parcel { payload: parcel.payload.clone(), ..parcel };
                        world.parcels.push_front(parcel);
                        world.parcels.push_front(again);
                    }
                    _ => {
                        let mut u = Unstructured::new(script.octets());
                        let payload = forge::spoilt(&parcel.payload, &mut u);
                        world.arrive(Parcel { payload, ..parcel });
                    }
                }
            }
            b't' => {
                let nth = script.choice(world.parcels.len());
                let (from, to) = STANDBYS[script.choice(STANDBYS.len())];
                let Some(parcel) = world.parcels.get(nth) else { continue };
                let payload = parcel.payload.clone();
                world.arrive(Parcel { from, to, payload });
            }
            b'i' => {
                let (to, from) = (script.choice(NODES), script.choice(NODES));
                let payload = Bytes::copy_from_slice(script.octets());
                world.arrive(Parcel { from, to, payload });
            }
            b's' => {
                let (n, back) = (script.choice(CALLS.len()), script.choice(256) as u16);
                let (up, down) = (MasterKey::new([1; MasterKey::LEN]), MasterKey::new([2; MasterKey::LEN]));
                let from =
                    if back == 0 { Start::RandomAccess } else { Start::After(sequence.wrapping_sub(back)) };
                world.feed(n, CALLS[n], Keys { ours: down, theirs: up }, from);
            }
            b'l' => {
                let (n, time) = (script.choice(CALLS.len() + STANDBYS.len()), script.choice(64) as u64);
                world.measure(n, Duration::from_millis(10 * time));
            }
            b'u' => {
                let n = script.choice(STANDBYS.len());
                match script.choice(3) {
                    0 => world.resume(n),
                    1 => world.release(n),
                    _ => world.standbys[n].denies ^= true,
                }
            }
            _ => {}
        }
    }
    // Left alone, the tree plays: a source of a new name is followed by everybody.
    world.parcels.clear();
    world.wait(2000);
    world.parcels.clear();
    let before: Vec<u64> = (1..NODES).map(|node| world.received(node)).collect();
    for _ in 0..60 {
        sequence = sequence.wrapping_add(1);
        world.push(9, sequence, b"the end");
    }
    world.order(0, |relay, now, fx| relay.finish(now, CHANNEL, fx));
    while let Some(parcel) = world.parcels.pop_front() {
        world.arrive(parcel);
    }
    for node in 1..NODES {
        assert_eq!(world.received(node) - before[node - 1], 60, "{node} misses what was sent to it");
    }
}

impl World {
    fn received(&self, node: usize) -> u64 {
        self.relays[node].counters(CHANNEL).unwrap().sequence.received
    }
}
