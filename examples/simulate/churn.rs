//! The command `churn`.

use crate::args::Overlays;
use crate::report::{Json, Progress, clock, draw, seconds, verdict, world};
use p2piptv::sim::overlay::{Audit, Churn, Crash, Lookup, Loss, Replicas, Setting, Summary};
use p2piptv::time::Duration;
use std::error::Error;

/// After the last crash, before everything is looked at.
const SETTLING: Duration = Duration::from_secs(180);

/// What a run was, besides its [`Summary`].
struct Run {
    /// When everybody had joined, in seconds.
    grown: f64,
    /// The ring, and on how many peers values were: before the churn, and when all has settled.
    before: Audit,
    stored: [usize; 5],
    after: Audit,
    held: [usize; 5],
    /// Milliseconds that half of the joins took before the churn; and half, 99 %, and all of them in it.
    joins_at_peace: u64,
    joins: [u64; 3],
    failures: u64,
    /// What replicas need to be made again.
    repair: Duration,
    datagrams: u64,
    /// In kbit/s.
    per_node: f64,
    hash: u64,
    /// Seconds of real time.
    took: f64,
}

/// Values lost that three replicas could save.
fn saveable(summary: &Summary) -> usize {
    summary.losses.iter().filter(|l| l.could_be_saved).count()
}

pub fn churn(setting: &Overlays) -> Result<(), Box<dyn Error>> {
    let (mut churn, run) = play(setting)?;
    let summary = churn.summary_mut();
    tell(setting, &run, summary);
    json(setting, &run, summary).write(setting.json.as_deref())?;
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

fn play(setting: &Overlays) -> Result<(Churn, Run), Box<dyn Error>> {
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
    let mut at_peace = std::mem::take(&mut churn.growth_mut().took);
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
    let bytes = (traffic.bytes - traffic_before.bytes) as f64;
    let joins = &mut churn.growth_mut().took;
    let joins = [joins.percentile(50.0), joins.percentile(99.0), joins.max()];
    let run = Run {
        grown,
        before,
        stored,
        after,
        held,
        joins_at_peace: at_peace.percentile(50.0),
        joins,
        failures: churn.growth_mut().failures,
        repair: churn.setting().repair_time(),
        datagrams: traffic.packets - traffic_before.packets,
        per_node: bytes * 8.0 / 1000.0 / (setting.minutes * 60).max(1) as f64 / setting.nodes as f64,
        hash: churn.network().trace_hash(),
        took,
    };
    Ok((churn, run))
}

/// What a run was, for people.
fn tell(setting: &Overlays, run: &Run, summary: &mut Summary) {
    let Run { grown, before, stored, after, held, joins, failures, per_node, hash, took, .. } = run;
    let (success, saveable, repair) = (summary.success(), saveable(summary), run.repair.as_secs_f64());
    let hopeless = summary.losses.len() - saveable;
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
        summary.crashes, joins[0], joins[1], joins[2], run.joins_at_peace, failures
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
        run.datagrams
    );
}

/// What a run was, for programs.
fn json(setting: &Overlays, run: &Run, summary: &mut Summary) -> Json {
    let mut json = Json::new("churn", setting);
    json.number("replaced_per_minute", setting.replaced_per_minute);
    json.number("crashes", summary.crashes);
    json.number("lookups_answered", summary.count(Lookup::Answered));
    json.number("lookups_answerable", summary.answerable());
    json.number("lookup_success", summary.success());
    json.number("lookups_denied", summary.count(Lookup::Denied));
    json.number("lookups_timed_out", summary.count(Lookup::TimedOut));
    json.number("lookup_ms_p50", summary.took.percentile(50.0));
    json.number("lookup_ms_p99", summary.took.percentile(99.0));
    json.number("join_ms_p50", run.joins[0]);
    json.number("join_ms_p99", run.joins[1]);
    json.number("join_ms_max", run.joins[2]);
    json.number("values_lost_saveable", saveable(summary));
    json.number("values_lost_hopeless", summary.losses.len() - saveable(summary));
    json.number("kbit_per_second_and_node", run.per_node);
    json.raw("trace_hash", &format!("\"{:016x}\"", run.hash));
    json.number("real_seconds", run.took);
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
    json
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
