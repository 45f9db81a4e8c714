//! Whole nodes on air: a bootstrap node, a source that publishes, and its packets. Who watches, and what is looked at, is
//! each command's business.

use p2piptv::ids::{ChannelId, ChannelName};
use p2piptv::node::Node;
use p2piptv::sim::audience::plain_node;
use p2piptv::sim::{Network, NodeIndex};
use p2piptv::time::{Duration, Instant};
use std::error::Error;
use std::net::SocketAddr;

/// 7 transport packets behind an RTP header, 76 times a second: about 800 kbit/s.
pub const PACKET: usize = 12 + 7 * 188;
pub const INTERVAL: Duration = Duration::from_micros(13_160);
const SETTLING: Duration = Duration::from_secs(5);

/// A channel on air.
pub struct Broadcast {
    pub network: Network<Node>,
    pub source: NodeIndex,
    /// When the next packet is due.
    pub due: Instant,
    entry: SocketAddr,
    name: ChannelName,
    channel: ChannelId,
    seed: u64,
    number: u32,
}

impl Broadcast {
    /// A bootstrap node and a source with room for so many, and nobody who watches.
    pub fn begin(
        mut network: Network<Node>,
        seed: u64,
        (bootstrap, source): (u16, u16),
    ) -> Result<Self, Box<dyn Error>> {
        let name = ChannelName::new("100").ok_or("a channel name")?;
        let bootstrap = add(&mut network, "bootstrap", bootstrap, seed);
        let entry = network.addresses(bootstrap).overlay;
        network.command(bootstrap, |node, now| node.create(now)).ok_or("the bootstrap node is gone")??;
        let source = add(&mut network, "source", source, seed);
        network.command(source, |node, now| node.join(now, &[entry])).ok_or("the source is gone")??;
        network.run_for(SETTLING);
        let published = network.command(source, |node, now| node.publish(now, &name, &[]));
        let channel = published.ok_or("the source is gone")??;
        network.run_for(SETTLING);
        let due = network.now();
        Ok(Broadcast { network, source, due, entry, name, channel, seed, number: 0 })
    }

    /// Somebody comes, and joins the overlay. Once it has, it can [`tune`](Self::tune).
    pub fn enter(&mut self, name: &str, capacity: u16) -> Result<NodeIndex, Box<dyn Error>> {
        let viewer = add(&mut self.network, name, capacity, self.seed);
        let entry = self.entry;
        self.network.command(viewer, |node, now| node.join(now, &[entry])).ok_or("a viewer is gone")??;
        Ok(viewer)
    }

    /// A viewer that is still there watches from now on.
    pub fn tune(&mut self, viewer: NodeIndex) -> Result<(), Box<dyn Error>> {
        let name = &self.name;
        self.network.command(viewer, |node, now| node.tune(now, name)).transpose()?;
        Ok(())
    }

    /// The next packet leaves the source.
    pub fn send(&mut self) -> Result<(), Box<dyn Error>> {
        let mut packet = vec![0; PACKET];
        packet[..2].copy_from_slice(&[0x80, 33]);
        packet[2..4].copy_from_slice(&(self.number as u16).to_be_bytes());
        // 90,000 a second.
        packet[4..8].copy_from_slice(&self.number.wrapping_mul(1184).to_be_bytes());
        let channel = self.channel;
        let pushed =
            self.network.command(self.source, |node, now| node.push_media(now, channel, packet.into()));
        pushed.ok_or("the source is gone")??;
        self.number += 1;
        self.due += INTERVAL;
        Ok(())
    }
}

fn add(network: &mut Network<Node>, name: &str, capacity: u16, seed: u64) -> NodeIndex {
    let now = network.now();
    network.add(|at, addresses| {
        plain_node(now, at, addresses, (name, capacity, seed)).expect("the default configuration is good")
    })
}
