//! The command `rest`.

use crate::args::Overlays;
use crate::report::{Json, Progress, clock, seconds, verdict, world};
use allocation_counter::measure;
use p2piptv::chord::REPLICAS;
use p2piptv::sim::overlay::{Audit, Churn, Lookup, Replicas, Setting, hops};
use p2piptv::time::Duration;
use std::error::Error;

/// Random pairs of a member and a place between which the hops are counted.
const WALKS: usize = 100_000;

pub fn rest(setting: &Overlays) -> Result<(), Box<dyn Error>> {
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

    let audit = Audit::of(churn.network());
    let log = (setting.nodes as f64).log2();
    let (mean, p99) = (hops.mean(), hops.percentile(99.0));
    let held = Replicas::of(churn.network()).spread(churn.resources());
    let copies = setting.nodes.min(REPLICAS + 1);
    let on_three = if copies == 3 { held[3] } else { held[copies] };
    let hash = churn.network().trace_hash();
    let per_node = nodes_take.bytes_current as f64 / setting.nodes as f64;
    let links = audit.links as f64 / audit.members.max(1) as f64;
    let (counted, held_bytes) = churn.network().members().fold((0, 0), |(n, bytes), (_, overlay)| {
        (n + overlay.storage().len(), bytes + overlay.storage().bytes())
    });
    let counted_per_value = held_bytes as f64 / counted.max(1) as f64;
    let summary = churn.summary_mut();
    let stored = setting.values - summary.not_stored;
    let per_value = values_take.bytes_current as f64 / (stored.max(1) * copies) as f64;
    let bits = (traffic.bytes - traffic_before.bytes) as f64 * 8.0;
    let rate = bits / 1000.0 / (setting.minutes * 60).max(1) as f64 / setting.nodes as f64;

    println!(
        "rest: {} nodes, {} values, {} min, {:.1} % loss, seed {}",
        setting.nodes,
        setting.values,
        setting.minutes,
        setting.loss * 100.0,
        setting.seed
    );
    println!(
        "  everybody joined, in waves, within {formed:.0} s of virtual time; a join took 50 % {} ms, 99 % {} ms, all {} ms",
        joins.percentile(50.0),
        joins.percentile(99.0),
        joins.max()
    );
    println!(
        "{} owners: {} of {} ranges end where the next begins (goal all); {} of {} neighbor tables are right",
        verdict(audit.is_whole()),
        audit.right_ranges,
        audit.members,
        audit.right_neighbors,
        audit.members
    );
    println!(
        "{} hops: mean {mean:.2} (goal {:.2} = 0.5 log2 N + 0.5)",
        verdict(mean <= 0.5 * log + 0.5),
        0.5 * log + 0.5
    );
    println!("{} hops: 99 % {p99} (goal {log:.2} = log2 N), all {}", verdict(p99 as f64 <= log), hops.max());
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
        verdict(per_node / 1024.0 <= 64.0),
        per_node / 1024.0
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
        traffic.packets - traffic_before.packets
    );

    let mut json = Json::new("rest", setting);
    json.number("right_ranges", audit.right_ranges);
    json.number("right_neighbors", audit.right_neighbors);
    json.number("hops_mean", mean);
    json.number("hops_p99", p99);
    json.number("hops_max", hops.max());
    json.number("join_ms_p50", joins.percentile(50.0));
    json.number("join_ms_p99", joins.percentile(99.0));
    json.list("values_on_0_1_2_3_more", held.map(|n| n.to_string()));
    json.number("lookups_answered", summary.count(Lookup::Answered));
    json.number("lookups_answerable", summary.answerable());
    json.number("lookup_ms_p50", summary.took.percentile(50.0));
    json.number("lookup_ms_p99", summary.took.percentile(99.0));
    json.number("bytes_per_node", per_node);
    json.number("links_per_node", links);
    json.number("bytes_per_stored_copy", per_value);
    json.number("bytes_counted_per_stored_copy", counted_per_value);
    json.number("kbit_per_second_and_node", rate);
    json.raw("trace_hash", &format!("\"{hash:016x}\""));
    json.number("real_seconds", took);
    json.write(setting.json.as_deref())
}
