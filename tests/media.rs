//! The way of a media packet through relays: the buffer that leaves is the buffer that came in, and nothing on the
//! way allocates (F9).

// A test may panic, and has std.

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "system/world.rs"]
mod world;

#[path = "media/repair.rs"]
mod repair;

#[path = "media/integrity.rs"]
mod integrity;

/// What the host reads its sockets with.
#[path = "../examples/iptv/receiver.rs"]
mod receiver;

use allocation_counter::measure;
use bytes::Bytes;
use mio::net::UdpSocket;
use p2piptv::effect::{Effect, Effects};
use p2piptv::env::Seeded;
use p2piptv::ids::{CallId, ChannelId};
use p2piptv::node::{Datagram, Output, Receipt};
use p2piptv::rtp::mp2t::{Packetizer, TsPacket};
use p2piptv::rtp::relay::{Config, Fact, Limits, Relay, Role, Start};
use p2piptv::rtp::rtcp::Hold;
use p2piptv::sim::Death;
use p2piptv::stats::{DropReason, Plane};
use p2piptv::time::{Duration, Instant};
use receiver::Receiver;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use world::{Setup, World};

const CHANNEL: ChannelId = ChannelId(7);
/// 8 Mbit/s in packets of 1328 octets.
const PACKETS_PER_SECOND: usize = 760;

fn addr(n: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], n))
}

fn relay(role: Role) -> Relay {
    let mut relay = Relay::new(Config { ssrc: 1, cname: "n@h".into(), limits: Limits::default() });
    relay.open(CHANNEL, role).unwrap();
    relay
}

fn feed(relay: &mut Relay, call: CallId, parent: SocketAddr) {
    relay.add_parent(Instant::ZERO, call, CHANNEL, parent, None, &mut Effects::new()).unwrap();
}

fn connect(parent: &mut Relay, child: &mut Relay, (p, c): (u16, u16), n: u32) {
    parent
        .add_child(Instant::ZERO, CallId::received(n), CHANNEL, addr(c), Start::Live, &mut Effects::new())
        .unwrap();
    feed(child, CallId::placed(n), addr(p));
}

/// A transport stream of null packets.
fn stream() -> Vec<u8> {
    let mut packet = [0xff; TsPacket::LEN];
    packet[..4].copy_from_slice(&[TsPacket::SYNC, 0x1f, 0xff, 0x10]);
    packet.repeat(Packetizer::PER_PACKET)
}

/// Packets of a source, as one receive buffer that the kernel filled with many of them.
fn received(packetizer: &mut Packetizer, count: usize) -> Vec<Bytes> {
    let stream = stream();
    let packets: Vec<Bytes> = (0..count).map(|_| packetizer.packetize(0, false, &stream).unwrap()).collect();
    let mut buffer = packets.concat();
    buffer.shrink_to_fit();
    let buffer = Bytes::from(buffer);
    let len = packets[0].len();
    (0..count).map(|n| buffer.slice(n * len..(n + 1) * len)).collect()
}

/// What a relay does with a packet, as long as all it does is to state facts.
fn forwarded(fx: &mut Effects<Fact>) -> Option<Bytes> {
    let mut packet = None;
    while let Some(effect) = fx.pop() {
        match effect {
            Effect::Fact(Fact::Packet { payload, .. }) => packet = Some(payload),
            Effect::Fact(Fact::FirstPacket { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    packet
}

#[test]
fn f9_the_payload_that_leaves_the_last_relay_is_the_one_that_the_source_pushed() {
    let mut source = relay(Role::Source);
    let mut hops: Vec<Relay> = (0..5).map(|_| relay(Role::Viewer)).collect();
    connect(&mut source, &mut hops[0], (100, 101), 1);
    for n in 1..5 {
        let (above, below) = hops.split_at_mut(n);
        let port = 100 + n as u16;
        connect(above.last_mut().unwrap(), &mut below[0], (port, port + 1), n as u32 + 1);
    }
    let mut fx = Effects::new();
    let pushed = Packetizer::new(9, 0).packetize(0, false, &stream()).unwrap();
    let (place, octets) = (pushed.as_ptr(), pushed.to_vec());
    source.push(Instant::ZERO, CHANNEL, pushed, &mut fx).unwrap();
    let mut packet = forwarded(&mut fx).unwrap();
    for (n, hop) in hops.iter_mut().enumerate() {
        hop.handle_datagram(Instant::ZERO, addr(100 + n as u16), packet, &mut fx).unwrap();
        packet = forwarded(&mut fx).unwrap();
    }
    assert_eq!(packet.as_ptr(), place);
    assert_eq!(packet, octets);
}

#[test]
fn f9_a_relayed_packet_allocates_nothing() {
    let mut relay = relay(Role::Viewer);
    feed(&mut relay, CallId::placed(1), addr(1));
    feed(&mut relay, CallId::placed(2), addr(2));
    for n in 0..64 {
        relay
            .add_child(
                Instant::ZERO,
                CallId::received(n.into()),
                CHANNEL,
                addr(1000 + n),
                Start::Live,
                &mut Effects::new(),
            )
            .unwrap();
    }
    let mut packetizer = Packetizer::new(9, 63_000);
    let mut fx = Effects::new();
    let mut now = Instant::ZERO;
    let mut run = |packets: Vec<Bytes>| {
        let counted = packets.len();
        let mut through = 0;
        // Two parents overlap: every packet comes twice, and every tenth one late.
        let info = measure(|| {
            let mut late = None;
            for (n, packet) in packets.iter().enumerate() {
                now += Duration::from_micros(1315);
                if n % 10 == 0 && n + 1 < counted {
                    late = Some(packet);
                    continue;
                }
                for packet in [Some(packet), late.take()].into_iter().flatten() {
                    for from in [addr(1), addr(2)] {
                        // Cheap: the buffer that came in is counted once more, and not copied.
                        relay.handle_datagram(now, from, packet.clone(), &mut fx).ok();
                        if let Some(payload) = forwarded(&mut fx) {
                            assert_eq!(payload.as_ptr(), packet.as_ptr());
                            through += relay.children(CHANNEL).len();
                        }
                    }
                }
            }
        });
        assert_eq!(through, counted * 64);
        info.count_total
    };
    // Until the ring holds as much as it ever will.
    run(received(&mut packetizer, 3 * PACKETS_PER_SECOND));
    // Over the wrap of the sequence number.
    let allocations = run(received(&mut packetizer, 2 * PACKETS_PER_SECOND));
    assert_eq!(allocations, 0);
    let counters = relay.counters(CHANNEL).unwrap();
    assert_eq!((counters.sequence.lost, counters.sequence.restarts), (0, 0));
    assert_eq!(counters.sequence.duplicates, 5 * PACKETS_PER_SECOND as u64);
}

#[test]
fn f9_a_pushed_packet_costs_the_source_its_buffer_and_the_counter_by_which_it_is_shared() {
    let mut source = relay(Role::Source);
    let mut packetizer = Packetizer::new(9, 0);
    let stream = stream();
    let mut fx = Effects::new();
    let mut now = Instant::ZERO;
    let mut run = |count: u64| {
        let info = measure(|| {
            for _ in 0..count {
                now += Duration::from_millis(1);
                let packet = packetizer.packetize(0, false, &stream).unwrap();
                source.push(now, CHANNEL, packet, &mut fx).unwrap();
                assert!(forwarded(&mut fx).is_some());
            }
        });
        info.count_total
    };
    run(3000);
    assert_eq!(run(1000), 2 * 1000);
}

/// The media socket of a host, with somebody who sends to it. The receive buffer is the host's own: 49 packets.
struct MediaSocket {
    sender: UdpSocket,
    socket: UdpSocket,
    to: SocketAddr,
    receiver: Receiver,
}

impl MediaSocket {
    const BUFFER: usize = 1 << 16;

    fn new() -> Self {
        let socket = || UdpSocket::bind(addr(0)).unwrap();
        let (sender, socket) = (socket(), socket());
        let to = socket.local_addr().unwrap();
        MediaSocket { sender, socket, to, receiver: Receiver::new(Self::BUFFER, 2048) }
    }

    /// The next datagram, if any is left. On loopback it waits at the socket as soon as it is sent.
    fn recv(&mut self) -> Option<Bytes> {
        self.receiver.recv(&self.socket).unwrap().map(|(payload, _)| payload)
    }

    fn send(&self, packet: &[u8]) {
        self.sender.send_to(packet, self.to).unwrap();
    }
}

#[test]
fn f9_a_relay_behind_a_socket_allocates_nothing() {
    let mut relay = relay(Role::Viewer);
    feed(&mut relay, CallId::placed(1), addr(1));
    let mut packetizer = Packetizer::new(9, 0);
    let mut socket = MediaSocket::new();
    let mut fx = Effects::new();
    let mut now = Instant::ZERO;
    let mut run = |packets: Vec<Bytes>| {
        let info = measure(|| {
            for train in packets.chunks(8) {
                now += Duration::from_millis(10);
                train.iter().for_each(|packet| socket.send(packet));
                while let Some(packet) = socket.recv() {
                    let place = packet.as_ptr();
                    relay.handle_datagram(now, addr(1), packet, &mut fx).unwrap();
                    assert_eq!(forwarded(&mut fx).unwrap().as_ptr(), place);
                }
            }
        });
        info.count_total
    };
    // Until the ring holds two seconds, and the receiver has the buffers of so many packets.
    run(received(&mut packetizer, 4 * PACKETS_PER_SECOND));
    assert_eq!(run(received(&mut packetizer, 8 * PACKETS_PER_SECOND)), 0);
}

#[test]
fn f9_a_whole_node_passes_on_the_payload_that_came_in_and_allocates_nothing_from_socket_to_socket() {
    // A relayer with a child, taken out of its tree while it plays.
    let mut world = World::new(Setup::default());
    world.seat(3);
    world.run(2);
    let parent = world.net.addresses(world.source).media;
    let (relayer, mut now) = (world.viewers[0], world.net.now());
    let ring = world.net.machine(relayer.node).unwrap().config().media.ring.packets;
    let mut packets = |count| -> Vec<Bytes> {
        let full = |packet: Bytes| [&packet[..], &packet[12..].repeat(6)].concat().into();
        (0..count).map(|_| full(world.packet())).collect()
    };
    // Until the ring is full: no time passes that would make it let go of packets.
    let (warm, steady, held) = (packets(ring + 64), packets(4000), packets(4000));
    let mut node = world.net.kill(relayer.node, Death::Host).unwrap();
    let mut socket = MediaSocket::new();
    let child = UdpSocket::bind(addr(0)).unwrap();
    let child_addr = child.local_addr().unwrap();
    let mut octets = [0; 2048];
    // What a player waits with for a packet that is missing.
    let mut waiting = VecDeque::with_capacity(512 + 8);

    let mut run = |packets: &[Bytes], patience: usize| {
        let info = measure(|| {
            for train in packets.chunks(8) {
                train.iter().for_each(|packet| socket.send(packet));
                let mut places = [core::ptr::null(); 8];
                for place in &mut places {
                    let payload = socket.recv().unwrap();
                    *place = payload.as_ptr();
                    let datagram = Datagram { plane: Plane::Media, from: parent, payload };
                    assert_eq!(node.handle_datagram(now, datagram), Receipt::Accepted);
                }
                assert_eq!(socket.recv(), None);
                // What is measured is the way of the media: no timer is due in between.
                now += Duration::from_micros(1);
                let Some(Output::Media { packets, channel }) = node.poll_output() else { panic!("no media") };
                assert!(packets.iter().map(|p| p.as_ptr()).eq(places));
                assert_eq!(node.children(channel).len(), 1);
                for (packet, sent) in packets.iter().zip(train) {
                    socket.socket.send_to(packet, child_addr).unwrap();
                    let len = child.recv(&mut octets).unwrap();
                    assert_eq!(octets[..len], sent[..]);
                    waiting.push_back(packet.clone());
                }
                while waiting.len() > patience {
                    waiting.pop_front();
                }
                node.recycle(packets);
                assert_eq!(node.poll_output(), None);
            }
        });
        info.count_total
    };
    run(&warm, 0);
    assert_eq!(run(&steady, 0), 0);
    // While the player's queue fills up, no buffer costs more than itself and its counter; then all of them are there.
    let (filling, full) = held.split_at(1000);
    let buffers = 512usize.div_ceil(MediaSocket::BUFFER / 1328) as u64 + 1;
    assert!(run(filling, 512) <= 2 * buffers);
    assert_eq!(run(full, 512), 0);
}

/// Relays joined by a network that delivers in order and at once.
struct Tree {
    nodes: BTreeMap<SocketAddr, Relay>,
    played: BTreeMap<SocketAddr, Vec<u16>>,
    held: Vec<(SocketAddr, Hold)>,
}

impl Tree {
    /// Source 1 feeds 2 and 3; both feed 4.
    fn diamond() -> Self {
        let mut nodes: Vec<Relay> =
            vec![relay(Role::Source), relay(Role::Viewer), relay(Role::Viewer), relay(Role::Viewer)];
        for (n, (p, c)) in [(1, 2), (1, 3), (2, 4), (3, 4)].into_iter().enumerate() {
            let [parent, child] = nodes.get_disjoint_mut([p - 1, c - 1]).unwrap();
            connect(parent, child, (p as u16, c as u16), n as u32);
        }
        let nodes = (1..).map(addr).zip(nodes).collect();
        Tree { nodes, played: BTreeMap::new(), held: Vec::new() }
    }

    /// Carries out what `from` wants done, and all that follows.
    fn carry(&mut self, now: Instant, from: SocketAddr, fx: Effects<Fact>) {
        let mut work = VecDeque::from([(from, fx)]);
        while let Some((node, mut fx)) = work.pop_front() {
            let effects: Vec<Effect<Fact>> = fx.drain().collect();
            for effect in effects {
                let sends: Vec<(SocketAddr, Bytes)> = match effect {
                    Effect::Send { to, payload } => vec![(to, payload)],
                    Effect::Fact(Fact::Packet { payload, .. }) => {
                        let sequence = u16::from_be_bytes([payload[2], payload[3]]);
                        self.played.entry(node).or_default().push(sequence);
                        let children = self.nodes[&node].children(CHANNEL);
                        children.iter().map(|&to| (to, payload.clone())).collect()
                    }
                    Effect::Fact(Fact::Held { hold, .. }) => {
                        self.held.push((node, hold));
                        vec![]
                    }
                    Effect::Fact(Fact::FirstPacket { .. }) => vec![],
                    other => panic!("{other:?}"),
                };
                for (to, payload) in sends {
                    let mut fx = Effects::new();
                    let result =
                        self.nodes.get_mut(&to).unwrap().handle_datagram(now, node, payload, &mut fx);
                    assert!(matches!(result, Ok(()) | Err(DropReason::Duplicate)), "{result:?}");
                    work.push_back((to, fx));
                }
            }
        }
    }

    fn push(&mut self, now: Instant, packet: Bytes) {
        let mut fx = Effects::new();
        self.nodes.get_mut(&addr(1)).unwrap().push(now, CHANNEL, packet, &mut fx).unwrap();
        self.carry(now, addr(1), fx);
    }
}

#[test]
fn a_child_of_two_parents_plays_every_packet_once_and_loses_none_when_one_of_them_goes() {
    let mut tree = Tree::diamond();
    let mut packetizer = Packetizer::new(9, 65_500);
    let expected: Vec<u16> = (0..100u16).map(|n| n.wrapping_add(65_500)).collect();
    for n in 0..100 {
        if n == 50 {
            // Whichever parent was the faster one so far: it is cut off in the middle.
            tree.nodes.get_mut(&addr(3)).unwrap().remove_child(CallId::received(3));
        }
        let packet = packetizer.packetize(0, false, &stream()).unwrap();
        tree.push(Instant::from_millis(n), packet);
    }
    assert_eq!(tree.played[&addr(4)], expected);
}

#[test]
fn reports_go_up_one_hop_and_holds_go_down_one_hop() {
    let mut tree = Tree::diamond();
    tree.push(Instant::ZERO, Packetizer::new(9, 0).packetize(0, false, &stream()).unwrap());
    let now = Instant::from_millis(1000);
    for n in 2..=4 {
        let mut fx = Effects::new();
        tree.nodes.get_mut(&addr(n)).unwrap().handle_timeout(now, &mut Seeded::new(n.into()), &mut fx);
        tree.carry(now, addr(n), fx);
    }
    for (parent, call) in [(1, 0), (1, 1), (2, 2), (3, 3)] {
        let parent = &tree.nodes[&addr(parent)];
        assert_eq!(parent.last_report(CallId::received(call)), Some(now));
        assert_eq!(parent.reported_loss(CallId::received(call)), Some(0));
    }
    let mut fx = Effects::new();
    tree.nodes.get_mut(&addr(1)).unwrap().hold(CHANNEL, Hold::Paused, &mut fx);
    tree.carry(now, addr(1), fx);
    assert_eq!(tree.held, [(addr(2), Hold::Paused), (addr(3), Hold::Paused)]);
}

#[test]
fn a_circle_of_relays_passes_no_packet_on_for_ever() {
    let mut a = relay(Role::Viewer);
    let mut b = relay(Role::Viewer);
    let mut c = relay(Role::Viewer);
    connect(&mut a, &mut b, (1, 2), 1);
    connect(&mut b, &mut c, (2, 3), 2);
    connect(&mut c, &mut a, (3, 1), 3);
    feed(&mut a, CallId::placed(9), addr(9));
    let mut ring = [(addr(1), a), (addr(2), b), (addr(3), c)];
    let mut packet = Packetizer::new(9, 0).packetize(0, false, &stream()).unwrap();
    let mut from = addr(9);
    let mut fx = Effects::new();
    for (here, node) in &mut ring {
        node.handle_datagram(Instant::ZERO, from, packet, &mut fx).unwrap();
        packet = forwarded(&mut fx).unwrap();
        from = *here;
    }
    let (_, a) = &mut ring[0];
    assert_eq!(a.handle_datagram(Instant::ZERO, from, packet, &mut fx), Err(DropReason::Duplicate));
}
