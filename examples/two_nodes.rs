//! Two nodes, a fake clock, and a network that is a `VecDeque`: `cargo run --example two_nodes`.

use p2piptv::env::{InsecureIdentity, Seeded};
use p2piptv::ids::{ChannelName, NodeId};
use p2piptv::node::{Addresses, Config, Datagram, Event, Node, Output};
use p2piptv::rtp::mp2t::Packetizer;
use p2piptv::stats::Plane;
use p2piptv::time::{Duration, Instant, UnixMillis};
use std::{collections::VecDeque, error::Error, net::SocketAddr};

/// Node 0 is 10.0.0.1, node 1 is 10.0.0.2; each plane has a port of its own.
fn address(node: usize, plane: Plane) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, node as u8 + 1], 5000 + plane as u16))
}

fn node(name: &str, i: usize) -> Result<Node, Box<dyn Error>> {
    let [overlay, signalling, media] =
        [Plane::Overlay, Plane::Signalling, Plane::Media].map(|plane| address(i, plane));
    let config = Config::new(name, "tv.example", Addresses { overlay, signalling, media });
    let identity = InsecureIdentity::new(NodeId([i as u8 + 1; 16]));
    Ok(Node::new(config, Box::new(Seeded::new(i as u64)), Box::new(identity))?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut nodes = [node("alice", 0)?, node("bob", 1)?];
    let channel_100 = ChannelName::new("100").ok_or("not a name")?;
    let mut wire: VecDeque<(usize, Datagram)> = VecDeque::new();
    let (mut now, mut published, mut received) = (Instant::ZERO, None, 0);
    let mut source = (Packetizer::new(0x1234_5678, 0), Instant::ZERO);

    nodes.iter_mut().for_each(|node| node.handle_wall_clock(now, UnixMillis(1_700_000_000_000)));
    nodes[0].create(now)?;
    nodes[1].join(now, &[address(0, Plane::Overlay)])?;

    while received < 100 {
        // Drain first: whatever a node wants done is done before its next input.
        for (i, node) in nodes.iter_mut().enumerate() {
            let from = |plane| address(i, plane);
            while let Some(output) = node.poll_output() {
                match output {
                    Output::Transmit { plane, payload, .. } => {
                        wire.push_back((1 - i, Datagram { plane, from: from(plane), payload }));
                    }
                    Output::Media { channel, packets } if !node.children(channel).is_empty() => {
                        let (plane, from) = (Plane::Media, from(Plane::Media));
                        wire.extend(
                            packets.into_iter().map(|payload| (1 - i, Datagram { plane, from, payload })),
                        );
                    }
                    Output::Media { packets, .. } => received += i * packets.len(),
                    Output::Event(event) => {
                        println!("{now:?} {}: {event:?}", node.config().name);
                        match (event, i) {
                            (Event::Joined, 0) => published = Some(node.publish(now, &channel_100, &[])?),
                            (Event::Joined, _) => drop(node.tune(now, &channel_100)?),
                            _ => {}
                        }
                    }
                    // SIP stays on UDP here.
                    Output::Connect { .. }
                    | Output::Write { .. }
                    | Output::Close { .. }
                    | Output::Sign { .. } => {}
                }
            }
        }
        // Deliver; or, with nothing on the wire, let time pass until a timer or the next packet of the source is due.
        if let Some((receiver, datagram)) = wire.pop_front() {
            nodes[receiver].handle_datagram(now, datagram);
            continue;
        }
        now = nodes.iter().filter_map(Node::deadline).chain([source.1]).min().unwrap_or(now).max(now);
        nodes.iter_mut().for_each(|node| node.handle_timeout(now));
        if let Some(channel) = published.filter(|_| source.1 <= now) {
            let null_packet =
                core::array::from_fn::<u8, 188, _>(|i| *[0x47, 0x1f, 0xff, 0x10].get(i).unwrap_or(&0xff));
            let packet = source.0.packetize((now.as_millis() * 90) as u32, false, &null_packet)?;
            nodes[0].push_media(now, channel, packet)?;
            source.1 = now + Duration::from_millis(40);
        }
    }
    println!("{now:?} bob has received {received} packets");
    Ok(())
}
