//! The command `rest`.

use crate::args::Overlays;
use crate::report::{Json, Progress, clock, seconds, verdict, world};
use allocation_counter::measure;
use p2piptv::chord::REPLICAS;
use p2piptv::sim::overlay::{Audit, Churn, Lookup, Replicas, Setting, Summary, hops};
use p2piptv::time::Duration;
use std::error::Error;

/// Random pairs of a member and a place between which the hops are counted.
const WALKS: usize = 100_000;

/// What a run was, besides its [`Summary`].
struct Run {
    /// When everybody had joined, in seconds.
    formed: f64,
    /// Milliseconds that half of the joins took, 99 %, and all of them.
    joins: [u64; 3],
    audit: Audit,
    links: f64,
    hops_mean: f64,
    hops_p99: u64,
    hops_max: u64,
    /// On how many peers a value has to be, and on how many they were.
    copies: usize,
    held: [usize; 5],
    stored: usize,
    /// Octets of memory that a node takes, and a stored copy; and what of that counts against limits.
    per_node: f64,
    per_value: f64,
    counted_per_value: f64,
    datagrams: u64,
    /// In kbit/s a node.
    rate: f64,
    hash: u64,
    /// Seconds of real time.
    took: f64,
}

pub fn rest(setting: &Overlays) -> Result<(), Box<dyn Error>> {
    let (mut churn, run) = play(setting)?;
    let summary = churn.summary_mut();
    tell(setting, &run, summary);
    json(setting, &run, summary).write(setting.json.as_deref())
}

fn play(setting: &Overlays) -> Result<(Churn, Run), Box<dyn Error>> {
    let mut progress = Progress::new();
    let mut churn = Churn::new(Setting {
        world: world(setting),
        nodes: setting.nodes,
        lasts: Duration::from_secs(setting.minutes * 60),
        replaced_per_minute: 0.0,
        values: setting.values,
        lookups_per_second: setting.lookups,
    });
    let mut grown = Ok(());
    let nodes_take = measure(|| grown = churn.grow(|net, growth| progress.growth(net, growth)));
    grown?;
    let mut joins = std::mem::take(&mut churn.growth_mut().took);
    let formed = seconds(churn.network().now());
    let values_take = measure(|| churn.store());
    let traffic_before = churn.network().traffic();
    churn.run(|moment| {
        progress.tell(&format!(
            "{} at rest: lookups {} answered {} not",
            clock(moment.at),
            moment.answered,
            moment.unanswered
        ));
    })?;
    let traffic = churn.network().traffic();
    churn.rest(Duration::from_secs(20));
    let mut hops = hops(churn.network_mut(), WALKS);
    let took = progress.done();

    let copies = setting.nodes.min(REPLICAS + 1);
    let audit = Audit::of(churn.network());
    let links = audit.links as f64 / audit.members.max(1) as f64;
    let held = Replicas::of(churn.network()).spread(churn.resources());
    let hash = churn.network().trace_hash();
    let (counted, held_bytes) = churn.network().members().fold((0, 0), |(n, bytes), (_, overlay)| {
        (n + overlay.storage().len(), bytes + overlay.storage().bytes())
    });
    let stored = setting.values - churn.summary_mut().not_stored;
    let bits = (traffic.bytes - traffic_before.bytes) as f64 * 8.0;
    let run = Run {
        formed,
        joins: [joins.percentile(50.0), joins.percentile(99.0), joins.max()],
        links,
        audit,
        hops_mean: hops.mean(),
        hops_p99: hops.percentile(99.0),
        hops_max: hops.max(),
        copies,
        held,
        stored,
        per_node: nodes_take.bytes_current as f64 / setting.nodes as f64,
        per_value: values_take.bytes_current as f64 / (stored.max(1) * copies) as f64,
        counted_per_value: held_bytes as f64 / counted.max(1) as f64,
        datagrams: traffic.packets - traffic_before.packets,
        rate: bits / 1000.0 / (setting.minutes * 60).max(1) as f64 / setting.nodes as f64,
        hash,
        took,
    };
    Ok((churn, run))
}

/// What a run was, for people.
fn tell(setting: &Overlays, run: &Run, summary: &mut Summary) {
    let Run { copies, held, stored, links, per_value, counted_per_value, rate, hash, took, .. } = run;
    let log = (setting.nodes as f64).log2();
    let (mean, p99) = (run.hops_mean, run.hops_p99);
    let on_three = held[*copies];
    println!(
        "rest: {} nodes, {} values, {} min, {:.1} % loss, seed {}",
        setting.nodes,
        setting.values,
        setting.minutes,
        setting.loss * 100.0,
        setting.seed
    );
    println!(
        "  everybody joined, in waves, within {:.0} s of virtual time; a join took 50 % {} ms, 99 % {} ms, all {} ms",
        run.formed, run.joins[0], run.joins[1], run.joins[2]
    );
    println!(
        "{} owners: {} of {} ranges end where the next begins (goal all); {} of {} neighbor tables are right",
        verdict(run.audit.is_whole()),
        run.audit.right_ranges,
        run.audit.members,
        run.audit.right_neighbors,
        run.audit.members
    );
    println!(
        "{} hops: mean {mean:.2} (goal {:.2} = 0.5 log2 N + 0.5)",
        verdict(mean <= 0.5 * log + 0.5),
        0.5 * log + 0.5
    );
    println!(
        "{} hops: 99 % {p99} (goal {log:.2} = log2 N), all {}",
        verdict(p99 as f64 <= log),
        run.hops_max
    );
    println!(
        "{} values on exactly {copies} peers: {on_three} of {stored}; on 0/1/2/3/more {held:?}",
        verdict(on_three == setting.values)
    );
    println!(
        "{} lookups answered: {} of {}; they took 50 % {} ms, 99 % {} ms",
        verdict(summary.success() >= 1.0),
        summary.count(Lookup::Answered),
        summary.answerable(),
        summary.took.percentile(50.0),
        summary.took.percentile(99.0)
    );
    println!(
        "{} memory: {:.1} KiB a node with {links:.1} links (goal 64 KiB with 32)",
        verdict(run.per_node / 1024.0 <= 64.0),
        run.per_node / 1024.0
    );
    println!(
        "  a stored copy takes {per_value:.0} octets of memory{}; {counted_per_value:.0} count against the limits of its peer",
        if setting.certified {
            ", signature and certificate included"
        } else {
            " without signature and certificate"
        }
    );
    println!(
        "  {} datagrams, {rate:.2} kbit/s a node; trace {hash:016x}; {took:.1} s of real time",
        run.datagrams
    );
}

/// What a run was, for programs.
fn json(setting: &Overlays, run: &Run, summary: &mut Summary) -> Json {
    let mut json = Json::new("rest", setting);
    json.number("right_ranges", run.audit.right_ranges);
    json.number("right_neighbors", run.audit.right_neighbors);
    json.number("hops_mean", run.hops_mean);
    json.number("hops_p99", run.hops_p99);
    json.number("hops_max", run.hops_max);
    json.number("join_ms_p50", run.joins[0]);
    json.number("join_ms_p99", run.joins[1]);
    json.list("values_on_0_1_2_3_more", run.held.map(|n| n.to_string()));
    json.number("lookups_answered", summary.count(Lookup::Answered));
    json.number("lookups_answerable", summary.answerable());
    json.number("lookup_ms_p50", summary.took.percentile(50.0));
    json.number("lookup_ms_p99", summary.took.percentile(99.0));
    json.number("bytes_per_node", run.per_node);
    json.number("links_per_node", run.links);
    json.number("bytes_per_stored_copy", run.per_value);
    json.number("bytes_counted_per_stored_copy", run.counted_per_value);
    json.number("kbit_per_second_and_node", run.rate);
    json.raw("trace_hash", &format!("\"{:016x}\"", run.hash));
    json.number("real_seconds", run.took);
    json
}
