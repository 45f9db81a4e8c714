//! Two nodes, a fake clock, and a network that is a `VecDeque`: the whole life of a channel without a socket.
//!
//! ```text
//! cargo run --example two_nodes
//! ```

use bytes::Bytes;
use p2piptv::env::{InsecureIdentity, Seeded};
use p2piptv::ids::{ChannelName, NodeId};
use p2piptv::node::{Addresses, Config, Datagram, Event, Node, Output};
use p2piptv::rtp::mp2t::Packetizer;
use p2piptv::stats::Plane;
use p2piptv::time::{Duration, Instant, UnixMillis};
use std::collections::VecDeque;
use std::net::SocketAddr;

fn address(host: u8, plane: Plane) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], 5000 + plane as u16))
}

fn node(name: &str, host: u8) -> Node {
    let addresses = Addresses {
        overlay: address(host, Plane::Overlay),
        signalling: address(host, Plane::Signalling),
        media: address(host, Plane::Media),
    };
    let identity = InsecureIdentity::new(NodeId([host; 16]));
    Node::new(
        Config::new(name, "tv.example", addresses),
        Box::new(Seeded::new(host.into())),
        Box::new(identity),
    )
    .expect("the configuration is legal")
}

fn main() {
    let mut nodes = [node("alice", 1), node("bob", 2)];
    let mut wire: VecDeque<(usize, Datagram)> = VecDeque::new();
    let mut now = Instant::ZERO;
    let name = ChannelName::new("100").expect("a legal name");
    let mut packetizer = Packetizer::new(0x1234_5678, 0);
    let null_packet: [u8; 188] = core::array::from_fn(|i| *[0x47, 0x1f, 0xff, 0x10].get(i).unwrap_or(&0xff));
    let (mut published, mut frames, mut received) = (None, 0u32, 0);

    for node in &mut nodes {
        node.handle_wall_clock(now, UnixMillis(1_700_000_000_000));
    }
    nodes[0].create(now).expect("not in an overlay yet");
    nodes[1].join(now, &[address(1, Plane::Overlay)]).expect("not in an overlay yet");

    while received < 100 {
        // Drain: whatever a node wants done is done before its next input.
        for (i, node) in nodes.iter_mut().enumerate() {
            while let Some(output) = node.poll_output() {
                match output {
                    Output::Transmit { plane, to, payload } => {
                        let from = address(i as u8 + 1, plane);
                        let receiver = usize::from(to != address(1, plane));
                        wire.push_back((receiver, Datagram { plane, from, payload }));
                    }
                    Output::Media { channel, packets } => {
                        received += if i == 1 { packets.len() } else { 0 };
                        for payload in packets.iter().filter(|_| !node.children(channel).is_empty()).cloned()
                        {
                            let from = address(i as u8 + 1, Plane::Media);
                            wire.push_back((1, Datagram { plane: Plane::Media, from, payload }));
                        }
                    }
                    Output::Event(event) => {
                        println!("{now:?} {}: {event:?}", node.config().name);
                        match event {
                            Event::Joined if i == 0 => {
                                published = node.publish(now, &name, &[]).ok();
                            }
                            Event::Joined => {
                                node.tune(now, &name).expect("joined");
                            }
                            _ => {}
                        }
                    }
                    // SIP stays on UDP here.
                    Output::Connect { .. } | Output::Write { .. } | Output::Close { .. } => {}
                }
            }
        }
        // Deliver, or let time pass until the next timer or the next frame, whichever comes first.
        if let Some((receiver, datagram)) = wire.pop_front() {
            nodes[receiver].handle_datagram(now, datagram);
            continue;
        }
        let frame_at = Instant::ZERO + Duration::from_millis(40) * frames;
        let timer_at = nodes.iter().filter_map(Node::deadline).min().unwrap_or(Instant::FAR_FUTURE);
        now = now.max(frame_at.min(timer_at));
        nodes.iter_mut().for_each(|node| node.handle_timeout(now));
        if let Some(channel) = published
            && frame_at <= now
        {
            frames += 1;
            let packet: Bytes =
                packetizer.packetize(frames * 3600, false, &null_packet).expect("a transport packet");
            nodes[0].push_media(now, channel, packet).expect("a legal RTP packet");
        } else if frame_at <= now {
            frames += 1;
        }
    }
    println!("{now:?} bob has received {received} packets");
}
