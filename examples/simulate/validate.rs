//! The command `validate`: the same crowd once as whole nodes, packet by packet, and once as policies with media as a flow.

use crate::args::Validate;
use crate::broadcast::{Broadcast, INTERVAL, PACKET};
use crate::report::Progress;
use crate::viewers;
use p2piptv::ids::ChannelId;
use p2piptv::iptv::Profile;
use p2piptv::node::Event;
use p2piptv::sim::flow::{Crowd, Histogram, Person, Setting, Summary, underlay};
use p2piptv::sim::{Config, Death, Network, NodeIndex, Record, What};
use p2piptv::stats::Plane;
use p2piptv::time::{Duration, Instant};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::rc::Rc;

const PLAYOUT: Duration = Duration::from_millis(500);
/// So many packets that are missed one after the other are a gap, and fewer are single ones.
const GAP: u64 = 3;
/// Nothing for so long is a silence.
const SILENCE: Duration = Duration::from_millis(150);
/// Whoever leaves by plan has left by then.
const FAREWELL: Duration = Duration::from_secs(5);
const SOURCE_SLOTS: u16 = 8;

/// What one viewer saw during the watch.
#[derive(Default)]
struct Player {
    asked: Option<Instant>,
    /// The first packet: when it came, and its number.
    first: Option<(Instant, u64)>,
    last: Option<Instant>,
    /// In time, by number.
    got: Vec<bool>,
    gone: Option<Instant>,
}

#[derive(Default)]
struct Seen {
    begins: Option<Instant>,
    players: BTreeMap<NodeIndex, Player>,
    silences: Histogram,
    startup: Histogram,
    /// Datagrams and octets of each kind of message.
    messages: BTreeMap<String, (u64, u64)>,
    rtp: (u64, u64),
    rtcp: u64,
}

impl Seen {
    fn packet(&mut self, now: Instant, node: NodeIndex, packet: &[u8]) {
        let Some(player) = self.players.get_mut(&node).filter(|_| self.begins.is_some()) else { return };
        let number = u64::from(u16::from_be_bytes([packet[2], packet[3]]));
        if player.first.is_none() {
            if let Some(asked) = player.asked.take() {
                self.startup.add(now.since(asked).as_micros() as u64);
            }
            player.first = Some((now, number));
        }
        if let Some(last) = player.last.filter(|&last| now.since(last) > SILENCE) {
            self.silences.add(now.since(last).as_micros() as u64);
        }
        player.last = Some(now);
        let Some((first, from)) = player.first else { return };
        let Some(after) = number.checked_sub(from) else { return };
        if now <= first + PLAYOUT + INTERVAL * after as u32 {
            let at = after as usize;
            if player.got.len() <= at {
                player.got.resize(at + 1, false);
            }
            player.got[at] = true;
        }
    }

    fn record(&mut self, record: &Record) {
        let Record::Packet { plane, what, .. } = record else { return };
        let What::Datagram { payload, .. } = what else { return };
        if self.begins.is_none() {
            return;
        }
        match plane {
            Plane::Media if payload.get(1).is_some_and(|t| (192..=223).contains(t)) => {
                self.rtcp += payload.len() as u64;
            }
            Plane::Media => {
                self.rtp.0 += 1;
                self.rtp.1 += payload.len() as u64;
            }
            Plane::Signalling => {
                let entry = self.messages.entry(kind(payload)).or_default();
                entry.0 += 1;
                entry.1 += payload.len() as u64;
            }
            Plane::Overlay => {}
        }
    }
}

/// The method of a request, or the status and the method of an answer; of an INFO also what it says.
fn kind(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let first = text.lines().next().unwrap_or_default();
    let method = |line: &str| line.split_whitespace().last().unwrap_or_default().to_owned();
    match first.strip_prefix("SIP/2.0 ") {
        Some(status) => {
            let cseq = text.lines().find(|l| l.starts_with("CSeq")).map(method).unwrap_or_default();
            format!("{} of {cseq}", status.get(..3).unwrap_or_default())
        }
        None => {
            let says = text.lines().find_map(|l| l.strip_prefix("IPTV INFO")).unwrap_or_default();
            let method = first.split_whitespace().next().unwrap_or_default();
            format!("{method}{says}")
        }
    }
}

/// Whole nodes.
fn packets(wanted: &Validate, progress: &mut Progress) -> Result<(Summary, Seen), Box<dyn Error>> {
    let crowd = wanted.crowd;
    let conditions = underlay();
    let config =
        Config { seed: crowd.seed, conditions, trace_lines: 0, wake_early_every: 0, ..Config::default() };
    let mut network = Network::new(config);
    let seen = Rc::new(RefCell::new(Seen::default()));
    let (observer, watcher) = (Rc::clone(&seen), Rc::clone(&seen));
    network.observe(move |record| observer.borrow_mut().record(record));
    network.watch(move |now, node, _, packet| watcher.borrow_mut().packet(now, node, packet));
    let mut air = Broadcast::begin(network, crowd.seed, (0, SOURCE_SLOTS))?;

    let apart = Duration::from_millis(400);
    let (mut next_join, mut joined) = (air.network.now(), 0);
    let mut begins = None;
    let mut people: Vec<(NodeIndex, Person)> = Vec::new();
    let mut departures: Vec<(Instant, NodeIndex, Person)> = Vec::new();
    let mut leaving: Vec<(Instant, NodeIndex)> = Vec::new();
    let mut newcomers = crowd.planned();
    let mut sent_before = [0; 2];
    let mut summary = Summary::default();
    loop {
        let now = air.due;
        air.network.run_until(now);
        for (at, node, event) in air.network.take_events() {
            let viewer = people.iter().any(|(n, _)| *n == node);
            if matches!(event, Event::Joined) && viewer {
                air.tune(node)?;
                if begins.is_some() {
                    let player = Player { asked: Some(at), ..Player::default() };
                    seen.borrow_mut().players.insert(node, player);
                }
            }
        }
        if joined < crowd.viewers && now >= next_join {
            let person = crowd.person(joined, Instant::ZERO);
            people.push((air.enter(&format!("v{joined}"), person.slots)?, person));
            (joined, next_join) = (joined + 1, next_join + apart);
        }
        if joined == crowd.viewers && begins.is_none() && now > next_join + Duration::from_secs(20) {
            begins = Some(now);
            let mut seen = seen.borrow_mut();
            seen.begins = Some(now);
            for &(node, person) in &people {
                seen.players.insert(node, Player::default());
                departures.push((now + person.leaves.since(Instant::ZERO), node, person));
            }
            sent_before = [Plane::Media, Plane::Signalling].map(|p| air.network.sent(air.source, p).bytes);
        }
        if let Some(begins) = begins {
            for (_, node) in leaving.extract_if(.., |l| l.0 <= now) {
                air.network.kill(node, Death::Host);
            }
            while let Some(at) = departures.iter().position(|d| d.0 <= now) {
                let (_, node, person) = departures.swap_remove(at);
                summary.departures += 1;
                if person.abrupt {
                    air.network.kill(node, Death::Host);
                } else {
                    air.network.command(node, |node, now| node.leave(now));
                    leaving.push((now + FAREWELL, node));
                }
                if let Some(player) = seen.borrow_mut().players.get_mut(&node) {
                    player.gone = Some(now);
                }
                let newcomer = crowd.person(newcomers, Instant::ZERO + now.since(begins));
                let viewer = air.enter(&format!("v{newcomers}"), newcomer.slots)?;
                people.push((viewer, newcomer));
                departures.push((begins + newcomer.leaves.since(Instant::ZERO), viewer, newcomer));
                newcomers += 1;
            }
            if now.since(begins) >= crowd.lasts {
                break;
            }
        }
        air.send()?;
        progress.tell(&format!("packets: {joined} viewers at {:?}", air.network.now()));
    }
    let now = air.network.now();
    summary.lasted = crowd.lasts;
    (summary.rate, summary.packet) = ((PACKET as f64 / INTERVAL.as_secs_f64()) as u64, PACKET as u64);
    let [media, calls] = [Plane::Media, Plane::Signalling].map(|p| air.network.sent(air.source, p).bytes);
    summary.totals.by_source = ((media - sent_before[0]) as f64 / summary.rate as f64 * 1e6) as u64;
    summary.control_of_source = calls - sent_before[1];
    for &(node, _) in &people {
        let status = air.network.machine(node).and_then(|machine| machine.status(ChannelId(0)));
        if let Some(depth) = status.and_then(|s| s.depth) {
            summary.depth.add(u64::from(depth));
        }
    }
    drop(air);
    let seen = Rc::try_unwrap(seen).map_err(|_| "the network still looks on")?.into_inner();
    judge(&seen, now, &mut summary);
    Ok((summary, seen))
}

/// What the players of whole nodes had in time.
fn judge(seen: &Seen, end: Instant, summary: &mut Summary) {
    let totals = &mut summary.totals;
    let interval = INTERVAL.as_micros() as u64;
    for player in seen.players.values() {
        totals.viewers += 1;
        let Some((first, _)) = player.first else {
            totals.never_played += 1;
            continue;
        };
        let gone = player.gone.unwrap_or(end);
        // What would have been played by then.
        let due = gone.since(first + PLAYOUT).as_micros() as u64 / interval;
        let mut run = 0;
        for n in 0..=due {
            let missed = n < due && !player.got.get(n as usize).copied().unwrap_or(false);
            if missed {
                run += 1;
            } else {
                if run >= GAP {
                    totals.gaps.add(run * interval);
                    totals.missed += run * interval;
                } else {
                    totals.scattered += (run * interval) as f64;
                }
                run = 0;
            }
        }
        totals.due += due * interval;
    }
    totals.silences = seen.silences.clone();
    totals.startup = seen.startup.clone();
    totals.sent = (seen.rtp.1 as f64 / summary.rate as f64 * 1e6) as u64;
    summary.control[0] = seen.messages.values().map(|m| m.1).sum();
    summary.control[5] = seen.rtcp;
}

/// A number of both runs, and its name.
type Row<'a> = (&'a str, fn(&Summary) -> f64);
/// The same for numbers that are spread.
type Spread<'a> = (&'a str, fn(&Summary) -> &Histogram);

pub fn validate(wanted: &Validate) -> Result<(), Box<dyn Error>> {
    let mut progress = Progress::new();
    let (mut packets, seen) = packets(wanted, &mut progress)?;
    packets.name = "packet by packet".into();
    let took = progress.done();
    let mut setting = Setting::new(Profile::Default, Crowd { ..wanted.crowd });
    setting.terms.rate = packets.rate;
    setting.source_slots = SOURCE_SLOTS;
    // These nodes speak UDP without TLS.
    setting.handshake = 0;
    let mut progress = Progress::new();
    let flow = viewers::play(&setting, "as a flow", &mut progress);
    let flow_took = progress.done();
    println!("{} viewers, seed {}", wanted.crowd.viewers, wanted.crowd.seed);
    println!("  {:<34} {:>14} {:>14} {:>12}", "", "packets", "flow", "difference");
    let ms = |micros: u64| micros as f64 / 1000.0;
    let calls = |s: &Summary| s.control[..4].iter().sum::<u64>() as f64;
    let rows: [Row<'_>; 7] = [
        ("viewers that never played", |s| s.totals.never_played as f64),
        ("in time, percent", |s| s.totals.in_time() * 100.0),
        ("missed in gaps, percent", |s| s.totals.missed as f64 / s.totals.due.max(1) as f64 * 100.0),
        ("missed singly, percent", |s| s.totals.scattered / s.totals.due.max(1) as f64 * 100.0),
        ("gaps an hour", |s| s.totals.gaps_per_hour()),
        ("depth, mean", |s| s.depth.mean()),
        ("streams of the source", |s| s.streams_of_source()),
    ];
    let line = |name: &str, a: f64, b: f64| {
        println!("  {name:<34} {a:>14.3} {b:>14.3} {:>12.3}", b - a);
    };
    for (name, value) in rows {
        line(name, value(&packets), value(&flow));
    }
    let spreads: [Spread<'_>; 3] = [
        ("gap", |s| &s.totals.gaps),
        ("silence", |s| &s.totals.silences),
        ("startup", |s| &s.totals.startup),
    ];
    for (name, spread) in spreads {
        line(&format!("{name}s"), spread(&packets).len() as f64, spread(&flow).len() as f64);
        for p in [50.0, 95.0] {
            let of = |s: &Summary| ms(spread(s).percentile(p));
            line(&format!("{name}, {p} % within, ms"), of(&packets), of(&flow));
        }
    }
    line("SIP, octets", calls(&packets), calls(&flow));
    line("RTCP, octets", packets.control[5] as f64, flow.control[5] as f64);
    println!("  {took:.1} s and {flow_took:.1} s of real time");
    println!("  messages of whole nodes: datagrams, mean octets");
    for (kind, (count, octets)) in &seen.messages {
        println!("    {kind:<34} {count:>8} {:>8.0}", *octets as f64 / *count as f64);
    }
    Ok(())
}
