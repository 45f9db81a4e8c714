//! One run: a bootstrap node, a source, and viewers that join one after the other, in virtual time.

use crate::broadcast::Broadcast;
use crate::figure16::Second;
use p2piptv::ids::ChannelId;
use p2piptv::node::Event;
use p2piptv::sim::{Conditions, Config, Network, NodeIndex, Record};
use p2piptv::stats::Plane;
use p2piptv::time::{Duration, Instant};
use std::error::Error;

/// One hop between two homes.
const LATENCY: Duration = Duration::from_millis(15);

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
    let mut air = Broadcast::begin(network, setting.seed, (setting.capacity, setting.capacity))?;

    let begin = air.network.now();
    let (mut run, mut viewers) = (Run { source: Vec::new(), elections: Vec::new(), playing: 0 }, Vec::new());
    let mut before = sent(&air);
    for second in 0..setting.every.as_secs() * u64::from(setting.viewers + 1) {
        if second % setting.every.as_secs() == 0 && (viewers.len() as u32) < setting.viewers {
            viewers.push(air.enter(&format!("{}", viewers.len() + 1), setting.capacity)?);
        }
        let end = begin + Duration::from_secs(second + 1);
        while air.due < end {
            air.network.run_until(air.due);
            tune(&mut air, &viewers, begin, &mut run)?;
            air.send()?;
        }
        air.network.run_until(end);
        let total = sent(&air);
        run.source.push(difference(total, before));
        before = total;
    }
    let now = air.network.now();
    let plays = |&&viewer: &&NodeIndex| {
        let played = air.network.played(viewer, ChannelId(0));
        played.is_some_and(|p| now.since(p.last) < Duration::from_secs(1))
    };
    run.playing = viewers.iter().filter(plays).count() as u32;
    Ok(run)
}

/// Whoever has joined the overlay tunes in.
fn tune(
    air: &mut Broadcast,
    viewers: &[NodeIndex],
    begin: Instant,
    run: &mut Run,
) -> Result<(), Box<dyn Error>> {
    for (at, node, event) in air.network.take_events() {
        match event {
            Event::Elected { .. } => run.elections.push(at.since(begin).as_secs_f64()),
            Event::Joined if viewers.contains(&node) => air.tune(node)?,
            _ => {}
        }
    }
    Ok(())
}

fn sent(air: &Broadcast) -> Second {
    let bytes = |plane| air.network.sent(air.source, plane).bytes;
    Second { media: bytes(Plane::Media), sip: bytes(Plane::Signalling), reload: bytes(Plane::Overlay) }
}

fn difference(now: Second, before: Second) -> Second {
    Second { media: now.media - before.media, sip: now.sip - before.sip, reload: now.reload - before.reload }
}
