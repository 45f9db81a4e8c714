//! What every machine promises to its host, tried on each machine that the simulator can hold.
//!
//! K1, K2, K3 and K12 are checked by [`Checked`] after every call; here are the worlds in which that is done, and the
//! promises that take two runs to see.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "tests run on an operating system"
)]

mod toy;

use bytes::Bytes;
use p2piptv::env::{Crypto, Entropy, InsecureIdentity, Seeded};
use p2piptv::fuzzing;
use p2piptv::ids::{ChannelId, ChannelName, NodeId};
use p2piptv::node::{self, Addresses, Datagram, Event, Node, Output, Receipt};
use p2piptv::sim::{Checked, Conditions, Config, Death, Family, Latency, Machine, Network, NodeIndex};
use p2piptv::stats::{DropReason, Plane};
use p2piptv::time::{Duration, Instant, UnixMillis};
use std::net::SocketAddr;
use std::path::Path;

/// A kind of machine under contract.
trait Subject {
    type Machine: Machine;
    /// A machine that has something to do: it will be woken, and it sends when it is.
    fn machine(seed: u64, at: NodeIndex, others: &[SocketAddr]) -> Self::Machine;
    /// What the users of a network do; it is called ten times a second.
    fn use_it(_network: &mut Network<Self::Machine>) {}
    /// Datagrams that mean something to it.
    fn datagrams() -> Vec<(Plane, Bytes)>;
}

struct ToySubject;

impl Subject for ToySubject {
    type Machine = toy::Toy;

    fn machine(seed: u64, at: NodeIndex, others: &[SocketAddr]) -> toy::Toy {
        let mut toy = toy::Toy::new(seed ^ u64::from(at.0) << 32);
        toy.peers.extend(others);
        toy
    }

    fn datagrams() -> Vec<(Plane, Bytes)> {
        vec![
            (Plane::Overlay, Bytes::from_static(b"ping 1")),
            (Plane::Overlay, Bytes::from_static(b"pong 1")),
            (Plane::Media, Bytes::from_static(&[0x80, 33, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0x47])),
            (Plane::Signalling, Bytes::from_static(b"OPTIONS sip:x SIP/2.0\r\n\r\n")),
        ]
    }
}

struct NodeSubject;

impl Subject for NodeSubject {
    type Machine = Node;

    /// The first node begins an overlay and publishes a channel; the others join through it and watch.
    fn machine(seed: u64, at: NodeIndex, others: &[SocketAddr]) -> Node {
        let family = if others.iter().all(SocketAddr::is_ipv4) { Family::V4 } else { Family::V6 };
        let addresses = at.addresses(family);
        let mut entropy = Seeded::new(seed ^ u64::from(at.0) << 32);
        let mut id = [0; NodeId::LEN];
        entropy.fill(&mut id);
        let config = node::Config::new(&format!("n{}", at.0), "overlay.example.org", addresses);
        let identity = InsecureIdentity::new(NodeId(id));
        let mut node =
            Node::new(config, Box::new(entropy), Box::new(identity)).expect("a good configuration");
        node.handle_wall_clock(Instant::ZERO, UnixMillis(1_767_225_600_000));
        match others.iter().find(|other| **other != addresses.overlay) {
            Some(bootstrap) => node.join(Instant::ZERO, &[*bootstrap]).expect("a new node can join"),
            None => node.create(Instant::ZERO).expect("a new node can begin an overlay"),
        }
        node
    }

    /// A source that sends ten packets a second from the 10th second on, and a viewer more every second after. In this
    /// weather a command may be refused, and that changes no promise.
    fn use_it(network: &mut Network<Node>) {
        let channel = ChannelName::new("100").expect("a name");
        let tenth = network.now().as_millis() / 100;
        if tenth == 100 {
            network.command(NodeIndex(0), |node, now| node.publish(now, &channel, &[]).ok());
        }
        if tenth > 100 {
            let mut packet = vec![0x80, 33, (tenth >> 8) as u8, tenth as u8, 0, 0, 0, 0, 0, 0, 0, 1];
            packet.resize(200, 0x47);
            network.command(NodeIndex(0), |node, now| node.push_media(now, ChannelId(0), packet.into()).ok());
        }
        if (110..180).contains(&tenth) && tenth.is_multiple_of(10) {
            network.command(NodeIndex((tenth / 10 - 10) as u32), |node, now| node.tune(now, &channel).ok());
        }
    }

    fn datagrams() -> Vec<(Plane, Bytes)> {
        [
            "reload_frame/v1-framed-ping",
            "reload_frame/v2-framed-store",
            "sip_message/invite-for-media",
            "rtp/rtcp-rr-hold",
        ]
        .into_iter()
        .zip([Plane::Overlay, Plane::Overlay, Plane::Signalling, Plane::Media])
        .map(|(seed, plane)| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(seed);
            (plane, std::fs::read(path).expect("a seed").into())
        })
        .collect()
    }
}

fn seconds(n: u64) -> Instant {
    Instant::from_millis(1000 * n)
}

fn stranger() -> SocketAddr {
    "192.0.2.7:4000".parse().unwrap()
}

/// Eight machines in a bad hour: loss, disorder, late wake-ups, a partition, a death, a freeze. Its hash says what
/// they did.
fn bad_hour<S: Subject>(seed: u64, family: Family, wake_early_every: u64) -> u64 {
    let latency = Latency::LogNormal { median: Duration::from_millis(40), p95: Duration::from_millis(200) };
    let conditions = Conditions { latency, ..Conditions::default() }
        .with_loss(0.05)
        .with_jitter(Duration::from_millis(20))
        .with_disorder(0.02, 0.05);
    let lateness = Duration::from_millis(3);
    let config = Config { seed, family, conditions, lateness, wake_early_every, ..Config::default() };
    let mut network = Network::new(config);
    let mut overlay = Vec::new();
    for _ in 0..8 {
        network.add(|at, addresses| {
            overlay.push(addresses.overlay);
            S::machine(seed, at, &overlay)
        });
    }
    let until = |network: &mut Network<S::Machine>, end| {
        while network.now() < end {
            S::use_it(network);
            network.run_for(Duration::from_millis(100));
        }
    };
    until(&mut network, seconds(20));
    network.partition(&[NodeIndex(2), NodeIndex(3)], 1);
    network.freeze(NodeIndex(4), Duration::from_secs(7));
    until(&mut network, seconds(40));
    network.heal();
    network.kill(NodeIndex(5), Death::Process);
    network.kill(NodeIndex(6), Death::Host);
    until(&mut network, seconds(60));
    network.restart(NodeIndex(5), S::machine(seed + 1, NodeIndex(5), &overlay));
    until(&mut network, seconds(90));
    network.trace_hash()
}

fn k1_k2_hold_in_a_bad_hour<S: Subject>() {
    for seed in 0..8 {
        bad_hour::<S>(seed, if seed % 2 == 0 { Family::V4 } else { Family::V6 }, 3);
    }
}

fn k3_any_calls_in_any_order_are_legal_and_bounded<S: Subject>() {
    let mut dice = Seeded::new(3);
    for _ in 0..500 {
        let mut script = vec![0; dice.below(2_000) as usize];
        dice.fill(&mut script);
        let run = || fuzzing::operate(S::machine(1, NodeIndex(0), &[stranger()]), &script);
        // K9 holds for them too.
        assert_eq!(run(), run());
    }
}

fn k5_inputs_alone_fire_the_timers_that_are_due<S: Subject>() {
    let others = [stranger()];
    let mut checked = Checked::new(S::machine(1, NodeIndex(0), &others));
    let datagrams = S::datagrams();
    // Nobody ever calls handle_timeout; K1 after each input says that nothing was left undone.
    for n in 0..2_000u64 {
        let now = Instant::from_millis(50 * n);
        let (plane, payload) = datagrams[n as usize % datagrams.len()].clone();
        let datagram = Datagram { plane, from: stranger(), payload };
        checked.step(now, |m| m.handle_datagram(now, datagram), |_, _| ()).unwrap_or_else(|v| panic!("{v}"));
    }
}

/// What a machine does when each datagram of the script comes at `second(n)`, after one at second `n` itself.
fn told_twice<S: Subject>(second: impl Fn(u64) -> Instant) -> Vec<Output> {
    let mut checked = Checked::new(S::machine(1, NodeIndex(0), &[stranger()]));
    let mut outputs = Vec::new();
    for (n, (plane, payload)) in S::datagrams().into_iter().enumerate() {
        for now in [seconds(n as u64), second(n as u64)] {
            let datagram = Datagram { plane, from: stranger(), payload: payload.clone() };
            let step = checked.step(now, |m| m.handle_datagram(now, datagram), |_, o| outputs.push(o));
            step.unwrap_or_else(|v| panic!("{v}"));
        }
    }
    outputs
}

fn k6_an_older_now_counts_as_the_last_one<S: Subject>() {
    assert_eq!(told_twice::<S>(seconds), told_twice::<S>(|n| seconds(n.saturating_sub(2))));
}

fn k7_noise_from_strangers_harms_nobody<S: Subject>() {
    let mut noise = Seeded::new(1);
    let mut checked = Checked::new(S::machine(1, NodeIndex(0), &[stranger()]));
    let datagrams = S::datagrams();
    for n in 0..20_000 {
        let now = Instant::from_millis(n);
        let (mut plane, payload) = datagrams[noise.below(datagrams.len() as u64) as usize].clone();
        let mut payload = payload.to_vec();
        match noise.below(4) {
            0 => payload.truncate(noise.below(payload.len() as u64 + 1) as usize),
            1 => {
                let at = noise.below(payload.len() as u64) as usize;
                payload[at] ^= 1 << noise.below(8);
            }
            2 => {
                payload.resize(noise.below(2_000) as usize, 0);
                noise.fill(&mut payload);
            }
            _ => plane = [Plane::Overlay, Plane::Signalling, Plane::Media][noise.below(3) as usize],
        }
        let datagram = Datagram { plane, from: stranger(), payload: payload.into() };
        let step = checked.step(now, |m| m.handle_datagram(now, datagram), |_, _| ());
        step.unwrap_or_else(|v| panic!("{v}"));
    }
}

fn k9_the_same_seed_gives_the_same_run_and_another_seed_another<S: Subject>() {
    let run = |seed| bad_hour::<S>(seed, Family::V4, 7);
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

fn k12_early_wake_ups_leave_no_mark_on_a_run<S: Subject>() {
    let never = bad_hour::<S>(1, Family::V4, 0);
    for every in [1, 2, 5] {
        assert_eq!(bad_hour::<S>(1, Family::V4, every), never, "woken early before every {every}. call");
    }
}

macro_rules! contract {
    ($module:ident, $subject:ty, $($promise:ident),* $(,)?) => {
        mod $module {
            $(#[test] fn $promise() { super::$promise::<$subject>(); })*
        }
    };
    ($module:ident, $subject:ty) => {
        contract!(
            $module, $subject,
            k1_k2_hold_in_a_bad_hour,
            k3_any_calls_in_any_order_are_legal_and_bounded,
            k5_inputs_alone_fire_the_timers_that_are_due,
            k6_an_older_now_counts_as_the_last_one,
            k7_noise_from_strangers_harms_nobody,
            k9_the_same_seed_gives_the_same_run_and_another_seed_another,
            k12_early_wake_ups_leave_no_mark_on_a_run,
        );
    };
}

contract!(toy_machine, super::ToySubject);
contract!(node_machine, super::NodeSubject);

#[test]
fn a_node_whose_host_signs_keeps_its_promises() {
    let id = NodeId([7; 16]);
    let at = |port: u16| SocketAddr::from(([192, 0, 2, 7], port));
    let addresses = Addresses { overlay: at(6084), signalling: at(5060), media: at(5004) };
    let mut config = node::Config::new("seven", "tv.example", addresses);
    config.overlay.deferred_signing = true;
    let identity = || InsecureIdentity::new(id);
    let node = Node::new(config, Box::new(Seeded::new(7)), Box::new(identity())).unwrap();
    let (mut node, mut now, mut asked, mut published) =
        (Checked::new(node), Instant::ZERO, Vec::new(), false);
    let mut outputs = Vec::new();
    let channel = ChannelName::new("100").unwrap();
    let begin = |node: &mut Node| {
        node.handle_wall_clock(Instant::ZERO, UnixMillis(1_700_000_000_000));
        node.create(Instant::ZERO).unwrap();
    };
    node.step(now, begin, |_, output| outputs.push(output)).unwrap();
    node.step(now, |n| n.publish(now, &channel, &[]), |_, output| outputs.push(output)).unwrap().unwrap();
    while !published {
        for output in outputs.drain(..) {
            match output {
                Output::Sign { ticket, octets } => asked.push((ticket, octets)),
                Output::Event(event) => published |= matches!(event, Event::Published { .. }),
                _ => {}
            }
        }
        // One thread signs, and takes half a millisecond.
        now += Duration::from_micros(500);
        assert!(now < Instant::from_millis(2000), "not published");
        let Some((ticket, octets)) = asked.first().cloned() else { continue };
        let signed = Some(identity().sign(&[&octets]));
        let bring = |node: &mut Node| node.handle_signature(now, ticket, signed.clone());
        let first = node.step(now, bring, |_, output| outputs.push(output)).unwrap();
        let again = node.step(now, bring, |_, output| outputs.push(output)).unwrap();
        assert_eq!([first, again], [Receipt::Accepted, Receipt::Dropped(DropReason::StraySignature)]);
        asked.remove(0);
    }
}
