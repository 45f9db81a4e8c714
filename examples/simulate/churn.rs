//! The command `churn`.

use crate::args::Overlays;
use crate::report::{Json, Progress, clock, draw, seconds, verdict, world};
use p2piptv::sim::overlay::{Audit, Churn, Crash, Lookup, Loss, Replicas, Setting};
use p2piptv::time::Duration;
use std::error::Error;

/// After the last crash, before everything is looked at.
const SETTLING: Duration = Duration::from_secs(180);

pub fn churn(setting: &Overlays) -> Result<(), Box<dyn Error>> {
    let mut progress = Progress::new();
    let mut churn = Churn::new(Setting {
        world: world(setting),
        nodes: setting.nodes,
        lasts: Duration::from_secs(setting.minutes * 60),
        replaced_per_minute: setting.replaced_per_minute,
        values: setting.values,
        lookups_per_second: setting.lookups,
    });
    churn.grow(|net, growth| progress.growth(net, growth))?;
    let grown = seconds(churn.network().now());
    let joins_at_peace = std::mem::take(&mut churn.growth_mut().took);
    churn.store();
    let before = Audit::of(churn.network());
    let stored = Replicas::of(churn.network()).spread(churn.resources());
    let traffic_before = churn.network().traffic();
    churn.run(|moment| {
        progress.tell(&format!(
            "{} of churn: {} crashed, {} members, {} joining, lookups {} answered {} not, values on 0/1/2/3 peers {:?}",
            clock(moment.at),
            moment.crashes,
            moment.members,
            moment.joining,
            moment.answered,
            moment.unanswered,
            &moment.spread[..4],
        ));
    })?;
    let traffic = churn.network().traffic();
    churn.rest(SETTLING);
    let took = progress.done();
    let after = Audit::of(churn.network());
    let held = Replicas::of(churn.network()).spread(churn.resources());
    let hash = churn.network().trace_hash();
    let (mut at_peace, mut in_churn) = (joins_at_peace, churn.growth_mut().took.clone());
    let failures = churn.growth_mut().failures;
    let repair = churn.setting().repair_time().as_secs_f64();
    let summary = churn.summary_mut();
    let success = summary.success();
    let saveable = summary.losses.iter().filter(|l| l.could_be_saved).count();
    let hopeless = summary.losses.len() - saveable;
    let bytes = (traffic.bytes - traffic_before.bytes) as f64;
    let per_node = bytes * 8.0 / 1000.0 / (setting.minutes * 60).max(1) as f64 / setting.nodes as f64;

    println!(
        "churn: {} nodes, {:.1} % replaced a minute for {} min, {:.1} % loss, seed {}",
        setting.nodes,
        setting.replaced_per_minute * 100.0,
        setting.minutes,
        setting.loss * 100.0,
        setting.seed
    );
    println!(
        "  grown in {grown:.0} s: {}/{} neighbor tables and {}/{} ranges right; values on 0/1/2/3/more peers {stored:?}",
        before.right_neighbors, before.members, before.right_ranges, before.members,
    );
    println!(
        "  {} crashed; joins took 50 % {} ms, 99 % {} ms, all {} ms ({} before the churn); {} failed and begun anew",
        summary.crashes,
        in_churn.percentile(50.0),
        in_churn.percentile(99.0),
        in_churn.max(),
        at_peace.percentile(50.0),
        failures
    );
    println!(
        "{} lookups answered: {} of {} = {:.3} % (goal 99.9 %); {} denied, {} timed out, {} failed",
        verdict(success >= 0.999),
        summary.count(Lookup::Answered),
        summary.answerable(),
        success * 100.0,
        summary.count(Lookup::Denied),
        summary.count(Lookup::TimedOut),
        summary.count(Lookup::Failed),
    );
    println!(
        "     and {} for lost values, {} whose asker crashed; answers took 50 % {} ms, 99 % {} ms, 99.9 % {} ms",
        summary.count(Lookup::Lost),
        summary.count(Lookup::Abandoned),
        summary.took.percentile(50.0),
        summary.took.percentile(99.0),
        summary.took.percentile(99.9),
    );
    println!(
        "{} values lost that three replicas could save: {saveable} of {} (goal 0); {hopeless} more whose holders crashed \
         faster than replicas can be made ({repair:.2} s)",
        verdict(saveable == 0),
        setting.values - summary.not_stored,
    );
    for loss in &summary.losses {
        println!("       {}", story(loss));
    }
    println!(
        "{} {} s after the last crash: {}/{} neighbor tables and {}/{} ranges right; {}/{} fingers lead nowhere; \
         values on 0/1/2/3/more peers {held:?}",
        verdict(after.is_whole()),
        SETTLING.as_secs(),
        after.right_neighbors,
        after.members,
        after.right_ranges,
        after.members,
        after.stale_fingers,
        after.fingers,
    );
    println!(
        "  {} datagrams, {per_node:.2} kbit/s a node; trace {hash:016x}; {took:.1} s of real time",
        traffic.packets - traffic_before.packets
    );

    let mut json = Json::new("churn", setting);
    json.number("replaced_per_minute", setting.replaced_per_minute);
    json.number("crashes", summary.crashes);
    json.number("lookups_answered", summary.count(Lookup::Answered));
    json.number("lookups_answerable", summary.answerable());
    json.number("lookup_success", success);
    json.number("lookups_denied", summary.count(Lookup::Denied));
    json.number("lookups_timed_out", summary.count(Lookup::TimedOut));
    json.number("lookup_ms_p50", summary.took.percentile(50.0));
    json.number("lookup_ms_p99", summary.took.percentile(99.0));
    json.number("join_ms_p50", in_churn.percentile(50.0));
    json.number("join_ms_p99", in_churn.percentile(99.0));
    json.number("join_ms_max", in_churn.max());
    json.number("values_lost_saveable", saveable);
    json.number("values_lost_hopeless", hopeless);
    json.number("kbit_per_second_and_node", per_node);
    json.raw("trace_hash", &format!("\"{hash:016x}\""));
    json.number("real_seconds", took);
    json.list(
        "moments",
        summary.moments.iter().map(|m| {
            format!(
                "[{}, {}, {}, {}, {}, {:?}]",
                m.at.as_secs(),
                m.members,
                m.crashes,
                m.answered,
                m.unanswered,
                m.spread
            )
        }),
    );
    json.write(setting.json.as_deref())?;
    if let Some(path) = &setting.svg {
        let title = format!(
            "{} nodes, {:.0} % replaced a minute, {:.0} % loss",
            setting.nodes,
            setting.replaced_per_minute * 100.0,
            setting.loss * 100.0
        );
        draw(path, &title, &summary.moments)?;
    }
    Ok(())
}

/// When and where the holders of a value crashed that is lost.
fn story(loss: &Loss) -> String {
    let mut all = loss.crashes.clone();
    all.sort_by_key(|c| c.distance);
    let place = |c: &Crash| all.iter().position(|other| other.at == c.at).unwrap_or(0) + 1;
    let one = |c: &Crash| format!("{} at -{:.1} s", place(c), loss.at.since(c.at).as_secs_f64());
    let crashes: Vec<String> = loss.crashes.iter().map(one).collect();
    format!(
        "value {} at {:.1} s; of its holders in the order of the ring crashed {}{}",
        loss.value,
        seconds(loss.at),
        crashes.join(", "),
        if loss.could_be_saved { "  <- time enough" } else { "" }
    )
}
