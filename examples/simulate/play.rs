//! One run: a bootstrap node, a source, and viewers that join one after the other, in virtual time.

use crate::figure16::Second;
use p2piptv::ids::{ChannelId, ChannelName};
use p2piptv::node::{Event, Node};
use p2piptv::sim::audience::plain_node;
use p2piptv::sim::{Conditions, Config, Network, NodeIndex, Record};
use p2piptv::stats::Plane;
use p2piptv::time::{Duration, Instant};
use std::error::Error;

/// 7 transport packets behind an RTP header, 76 times a second: about 800 kbit/s.
const PACKET: usize = 12 + 7 * 188;
const INTERVAL: Duration = Duration::from_micros(13_160);
/// One hop between two homes.
const LATENCY: Duration = Duration::from_millis(15);
const SETTLING: Duration = Duration::from_secs(5);

/// What a run is to be.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub viewers: u32,
    pub capacity: u16,
    pub every: Duration,
    pub seed: u64,
}

/// What it was.
pub struct Run {
    /// What the source sent, second by second, from the moment in which the first viewer joined.
    pub source: Vec<Second>,
    /// When relayers were elected, in seconds.
    pub elections: Vec<f64>,
    /// Viewers that played at the end.
    pub playing: u32,
}

/// Plays once. Every packet and event is shown to `observer`.
pub fn play(setting: Setting, observer: impl FnMut(&Record) + 'static) -> Result<Run, Box<dyn Error>> {
    let conditions = Conditions::constant(LATENCY);
    let mut network = Network::new(Config { seed: setting.seed, conditions, ..Config::default() });
    network.observe(observer);
    let channel = ChannelName::new("100").ok_or("a channel name")?;

    let add = |network: &mut Network<Node>, name: &str| {
        let now = network.now();
        let kit = (name, setting.capacity, setting.seed);
        network.add(|at, addresses| {
            plain_node(now, at, addresses, kit).expect("the default configuration is good")
        })
    };
    let bootstrap = add(&mut network, "bootstrap");
    let entry = network.addresses(bootstrap).overlay;
    network.command(bootstrap, |node, now| node.create(now)).ok_or("the bootstrap node is gone")??;
    let source = add(&mut network, "source");
    network.command(source, |node, now| node.join(now, &[entry])).ok_or("the source is gone")??;
    network.run_for(SETTLING);
    let publish = network.command(source, |node, now| node.publish(now, &channel, &[]));
    let id = publish.ok_or("the source is gone")??;
    network.run_for(SETTLING);

    let begin = network.now();
    let (mut run, mut viewers) = (Run { source: Vec::new(), elections: Vec::new(), playing: 0 }, Vec::new());
    let (mut before, mut due, mut number) = (sent(&network, source), begin, 0u32);
    let mut packet = vec![0; PACKET];
    packet[..2].copy_from_slice(&[0x80, 33]);
    for second in 0..setting.every.as_secs() * u64::from(setting.viewers + 1) {
        if second % setting.every.as_secs() == 0 && (viewers.len() as u32) < setting.viewers {
            let viewer = add(&mut network, &format!("{}", viewers.len() + 1));
            network.command(viewer, |node, now| node.join(now, &[entry])).ok_or("a viewer is gone")??;
            viewers.push(viewer);
        }
        let end = begin + Duration::from_secs(second + 1);
        while due < end {
            network.run_until(due);
            tune(&mut network, &viewers, &channel, begin, &mut run)?;
            packet[2..4].copy_from_slice(&(number as u16).to_be_bytes());
            // 90,000 a second.
            packet[4..8].copy_from_slice(&number.wrapping_mul(1184).to_be_bytes());
            let bytes = packet.clone().into();
            network
                .command(source, |node, now| node.push_media(now, id, bytes))
                .ok_or("the source is gone")??;
            number += 1;
            due += INTERVAL;
        }
        network.run_until(end);
        let total = sent(&network, source);
        run.source.push(difference(total, before));
        before = total;
    }
    let now = network.now();
    let plays = |&&viewer: &&NodeIndex| {
        let played = network.played(viewer, ChannelId(0));
        played.is_some_and(|p| now.since(p.last) < Duration::from_secs(1))
    };
    run.playing = viewers.iter().filter(plays).count() as u32;
    Ok(run)
}

/// Whoever has joined the overlay tunes in.
fn tune(
    network: &mut Network<Node>,
    viewers: &[NodeIndex],
    channel: &ChannelName,
    begin: Instant,
    run: &mut Run,
) -> Result<(), Box<dyn Error>> {
    for (at, node, event) in network.take_events() {
        match event {
            Event::Elected { .. } => run.elections.push(at.since(begin).as_secs_f64()),
            Event::Joined if viewers.contains(&node) => {
                network.command(node, |node, now| node.tune(now, channel)).ok_or("a viewer is gone")??;
            }
            _ => {}
        }
    }
    Ok(())
}

fn sent(network: &Network<Node>, node: NodeIndex) -> Second {
    let bytes = |plane| network.sent(node, plane).bytes;
    Second { media: bytes(Plane::Media), sip: bytes(Plane::Signalling), reload: bytes(Plane::Overlay) }
}

fn difference(now: Second, before: Second) -> Second {
    Second { media: now.media - before.media, sip: now.sip - before.sip, reload: now.reload - before.reload }
}
