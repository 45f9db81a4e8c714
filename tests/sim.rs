//! The simulated network does to packets what its script says, and nothing else.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "tests run on an operating system"
)]

mod toy;

use bytes::Bytes;
use p2piptv::ids::StreamId;
use p2piptv::sim::{Conditions, Config, Death, Network, NodeIndex, Record, What};
use p2piptv::stats::Plane;
use p2piptv::time::{Duration, Instant};
use std::cell::RefCell;
use std::rc::Rc;
use toy::{CHANNEL, Toy};

const LATENCY: Duration = Duration::from_millis(10);
const A: NodeIndex = NodeIndex(0);
const B: NodeIndex = NodeIndex(1);

fn ms(n: u64) -> Instant {
    Instant::from_millis(n)
}

/// `n` machines that know each other's addresses and ping nobody yet.
fn network(n: u64, config: Config) -> Network<Toy> {
    let mut network = Network::new(config);
    for seed in 0..n {
        network.add(|_, _| Toy::new(seed));
    }
    network
}

fn pair() -> Network<Toy> {
    network(2, Config::default())
}

/// A pings B once a second from now on.
fn let_a_ping_b(network: &mut Network<Toy>) {
    let to = network.addresses(B).overlay;
    network.command(A, |toy, _| toy.peers.push(to));
}

fn times(network: &Network<Toy>, node: NodeIndex, what: &str) -> Vec<Instant> {
    network.machine(node).unwrap().times(what)
}

#[test]
fn a_ping_takes_one_latency_and_its_answer_another() {
    let mut n = pair();
    let_a_ping_b(&mut n);
    n.run_until(ms(2500));
    assert_eq!(times(&n, B, "ping"), [ms(1010), ms(2010)]);
    assert_eq!(times(&n, A, "pong"), [ms(1020), ms(2020)]);
    assert_eq!(n.sent(A, Plane::Overlay).packets, 2);
    assert_eq!(n.received(A, Plane::Overlay), n.sent(B, Plane::Overlay));
}

#[test]
fn lost_and_doubled_datagrams_are_about_as_many_as_asked_for() {
    let conditions = Conditions::constant(LATENCY).with_loss(0.2).with_disorder(0.1, 0.0);
    let mut n = network(2, Config { conditions, ..Config::default() });
    let to = n.addresses(B).media;
    n.command(A, |toy, _| toy.children.push(to));
    for i in 0..1000 {
        n.command(A, |toy, now| toy.push_media(now, Bytes::from(vec![0x80; 12])));
        n.run_until(ms(i));
    }
    n.run_for(Duration::from_millis(100));
    let arrived = times(&n, B, "media").len();
    assert!((830..930).contains(&arrived), "{arrived} of 1000 at 20 % loss and 10 % duplication");
}

#[test]
fn queues_keep_their_order_and_reordering_does_not() {
    let orders = |conditions| {
        let mut n = network(2, Config { conditions, ..Config::default() });
        let to = n.addresses(B).media;
        n.command(A, |toy, _| toy.children.push(to));
        let seen = Rc::new(RefCell::new(Vec::new()));
        let sink = seen.clone();
        n.watch(move |_, node, _, packet| {
            if node == B {
                sink.borrow_mut().push(packet[0]);
            }
        });
        for i in 0..200u8 {
            n.command(A, |toy, now| toy.push_media(now, Bytes::from(vec![i])));
            n.run_for(Duration::from_millis(1));
        }
        n.run_for(Duration::from_secs(1));
        let seen = seen.borrow();
        assert_eq!(seen.len(), 200);
        seen.is_sorted()
    };
    let path = Conditions::constant(LATENCY);
    assert!(orders(path.with_jitter(Duration::from_millis(30))));
    assert!(!orders(path.with_disorder(0.0, 0.1)));
}

#[test]
fn a_cut_works_in_one_direction_only() {
    let mut n = pair();
    let_a_ping_b(&mut n);
    n.cut(B, A);
    n.run_until(ms(1500));
    assert_eq!((times(&n, B, "ping").len(), times(&n, A, "pong").len()), (1, 0));
    n.heal();
    n.run_until(ms(2500));
    assert_eq!((times(&n, B, "ping").len(), times(&n, A, "pong").len()), (2, 1));
}

#[test]
fn islands_do_not_reach_each_other_until_they_are_healed() {
    let mut n = pair();
    let_a_ping_b(&mut n);
    n.partition(&[B], 1);
    n.run_until(ms(3500));
    assert_eq!(times(&n, B, "ping").len(), 0);
    n.heal();
    n.run_until(ms(4500));
    assert_eq!(times(&n, B, "ping"), [ms(4010)]);
}

#[test]
fn a_dead_process_answers_with_icmp_and_a_dead_host_not_at_all() {
    for (death, answers) in [(Death::Process, 1), (Death::Host, 0)] {
        let mut n = pair();
        let_a_ping_b(&mut n);
        assert!(n.kill(B, death).is_some());
        assert!(n.kill(B, death).is_none() && n.machine(B).is_none());
        n.run_until(ms(1500));
        assert_eq!(times(&n, A, "unreachable 10.0.0.2:6084").len(), answers, "{death:?}");
    }
}

#[test]
fn a_restarted_node_is_reached_at_its_old_address() {
    let mut n = pair();
    let_a_ping_b(&mut n);
    n.kill(B, Death::Host);
    n.run_until(ms(1500));
    n.restart(B, Toy::new(9));
    n.run_until(ms(2500));
    assert_eq!(times(&n, B, "ping"), [ms(2010)]);
}

#[test]
fn a_frozen_node_gets_everything_at_once_and_loses_what_its_buffer_cannot_hold() {
    let mut n = network(2, Config { receive_buffer: 3, ..Config::default() });
    let_a_ping_b(&mut n);
    n.run_until(ms(500));
    n.freeze(B, Duration::from_secs(5));
    n.run_until(ms(6500));
    assert_eq!(times(&n, B, "ping"), [ms(5500), ms(5500), ms(5500), ms(6010)]);
    assert!(n.trace().contains("(buffer full)"));
}

#[test]
fn a_late_wake_up_is_late_by_at_most_what_was_asked_for() {
    let lateness = Duration::from_millis(5);
    let mut n = network(2, Config { lateness, ..Config::default() });
    let_a_ping_b(&mut n);
    n.run_until(ms(10_500));
    let pings = times(&n, B, "ping");
    let late: Vec<Duration> = pings.windows(2).map(|w| w[1].since(w[0]) - toy::PERIOD).collect();
    assert!(late.iter().all(|&l| l <= lateness) && late.iter().any(|&l| l > Duration::ZERO), "{late:?}");
}

#[test]
fn media_goes_to_every_child_and_to_the_player() {
    let mut n = network(3, Config::default());
    let children = [n.addresses(NodeIndex(1)).media, n.addresses(NodeIndex(2)).media];
    n.command(A, |toy, _| toy.children.extend(children));
    for at in [0, 20, 100] {
        n.run_until(ms(at));
        n.command(A, |toy, now| toy.push_media(now, Bytes::from_static(&[0x80; 100])));
    }
    n.run_until(ms(500));
    for node in [1, 2] {
        let played = n.played(NodeIndex(node), CHANNEL).unwrap();
        assert_eq!((played.packets, played.bytes, played.first, played.last), (3, 300, ms(10), ms(110)));
        assert_eq!(played.longest_gap, Duration::from_millis(80));
    }
    assert_eq!(n.sent(A, Plane::Media).bytes, 600);
}

// ---- streams

fn dial(n: &mut Network<Toy>) -> StreamId {
    let to = n.addresses(B).signalling;
    n.command(A, |toy, now| toy.dial(now, to)).unwrap()
}

#[test]
fn a_stream_opens_after_a_round_trip_and_echoes_in_order() {
    let mut n = pair();
    let stream = dial(&mut n);
    n.command(A, |toy, now| toy.write(now, stream, b"one"));
    n.command(A, |toy, now| toy.write(now, stream, b"two"));
    n.run_until(ms(200));
    assert_eq!((times(&n, B, "opened"), times(&n, A, "opened")), (vec![ms(10)], vec![ms(20)]));
    assert_eq!((times(&n, B, "read one"), times(&n, A, "read two")), (vec![ms(30)], vec![ms(40)]));
    n.command(A, |toy, now| toy.close(now, stream));
    n.run_until(ms(400));
    assert_eq!((times(&n, B, "closed"), times(&n, A, "closed")), (vec![ms(210)], vec![]));
}

#[test]
fn loss_and_jitter_delay_a_stream_and_never_disorder_it() {
    let conditions = Conditions::constant(LATENCY).with_loss(0.3).with_jitter(Duration::from_millis(50));
    let mut n = network(2, Config { conditions, ..Config::default() });
    let stream = dial(&mut n);
    const DIGITS: [&[u8]; 10] = [b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9"];
    for digit in DIGITS {
        n.command(A, |toy, now| toy.write(now, stream, digit));
    }
    n.run_for(Duration::from_secs(60));
    let read = |node| {
        let log = &n.machine(node).unwrap().log;
        log.iter().filter_map(|(_, what)| what.strip_prefix("read ")).collect::<String>()
    };
    assert_eq!((read(B).as_str(), read(A).as_str()), ("0123456789", "0123456789"));
}

#[test]
fn a_stream_survives_a_short_cut_and_not_a_long_one() {
    for (seconds, survives) in [(5, true), (60, false)] {
        let mut n = pair();
        let stream = dial(&mut n);
        n.run_until(ms(100));
        n.cut(A, B);
        n.command(A, |toy, now| toy.write(now, stream, b"hello"));
        n.run_for(Duration::from_secs(seconds));
        n.heal();
        n.run_for(Duration::from_secs(5));
        assert_eq!(times(&n, A, "read hello").len(), usize::from(survives), "{seconds} s");
        assert_eq!(times(&n, A, "closed").len(), usize::from(!survives), "{seconds} s");
    }
}

#[test]
fn a_killed_process_closes_its_streams_and_a_host_without_power_does_not() {
    for (death, closed) in [(Death::Process, vec![ms(110)]), (Death::Host, vec![])] {
        let mut n = pair();
        dial(&mut n);
        n.run_until(ms(100));
        n.kill(B, death);
        n.run_until(ms(10_000));
        assert_eq!(times(&n, A, "closed"), closed, "{death:?}");
    }
}

#[test]
fn a_write_to_a_rebooted_host_resets_the_stream() {
    let mut n = pair();
    let stream = dial(&mut n);
    n.run_until(ms(100));
    n.kill(B, Death::Host);
    n.restart(B, Toy::new(9));
    n.command(A, |toy, now| toy.write(now, stream, b"hello"));
    n.run_until(ms(200));
    assert_eq!(times(&n, A, "closed"), [ms(120)]);
    assert!(times(&n, B, "read").is_empty());
}

#[test]
fn nobody_listens_for_streams_outside_of_signalling() {
    let mut n = pair();
    let (overlay, nowhere) = (n.addresses(B).overlay, "192.0.2.1:5060".parse().unwrap());
    n.command(A, |toy, now| toy.dial(now, overlay));
    n.command(A, |toy, now| toy.dial(now, nowhere));
    n.run_until(ms(60_000));
    // One is refused after a round trip; the other gets no answer for as long as TCP tries.
    let closed = times(&n, A, "closed");
    assert_eq!(closed[0], ms(20));
    assert!(closed.len() == 2 && closed[1] >= ms(20_000), "{closed:?}");
}

// ---- what can be seen

#[test]
fn the_trace_is_one_line_for_each_packet() {
    let mut n = pair();
    let_a_ping_b(&mut n);
    n.run_until(ms(1500));
    assert_eq!(n.trace(), "    1.000000 n0 > n1 Overlay 21 bytes\n    1.010000 n1 > n0 Overlay 21 bytes\n");
}

#[test]
fn an_observer_sees_every_packet_with_its_addresses() {
    let mut n = pair();
    let_a_ping_b(&mut n);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sink = seen.clone();
    n.observe(move |record| {
        if let Record::Packet { from, to, what: What::Datagram { .. }, .. } = record {
            sink.borrow_mut().push(format!("{from} > {to}"));
        }
    });
    n.run_until(ms(1500));
    assert_eq!(*seen.borrow(), ["10.0.0.1:6084 > 10.0.0.2:6084", "10.0.0.2:6084 > 10.0.0.1:6084"]);
}
