//! The command `viewers`: one crowd, one profile of the policy.

use crate::args::Viewers;
use crate::report::{Json, Progress, clock};
use p2piptv::sim::flow::{Control, Setting, Summary, World};
use p2piptv::time::Duration;
use std::error::Error;

/// How long the last viewers may take to find a place before the watch begins.
const PATIENCE: Duration = Duration::from_secs(120);

/// After many have left in one instant those who stay are looked at closely, until all is well for so long.
const CALM: Duration = Duration::from_secs(1);
/// So often.
const GLANCE: Duration = Duration::from_millis(20);

/// Lets a world grow and watches it.
pub fn play(setting: &Setting, name: &str, progress: &mut Progress) -> Summary {
    let mut world = World::new(setting.clone());
    world.grow(PATIENCE, |w| {
        let (mean, most) = w.depths();
        progress.tell(&format!(
            "{name}: growing: {} nodes, {} fed, depth {mean:.1} in the mean, {most} at most",
            w.population(),
            w.fed()
        ));
    });
    let mut unsteady = None;
    while world.elapsed() < setting.crowd.lasts {
        let left = setting.crowd.lasts - world.elapsed();
        let since = setting.crowd.mass_leave.map(|at| (at, world.elapsed().saturating_sub(at)));
        let step = match since {
            Some((at, since)) if world.elapsed() >= at && since <= unsteady.unwrap_or_default() + CALM => {
                if world.starving() * 1000 > world.population() || unsteady.is_none() {
                    unsteady = Some(since);
                }
                GLANCE
            }
            Some((at, _)) if world.elapsed() < at => Duration::from_secs(1).min(at - world.elapsed()),
            _ => Duration::from_secs(1),
        };
        world.run_for(left.min(step));
        progress.tell(&format!(
            "{name}: {} of {}: {} nodes, {} events",
            clock(world.elapsed()),
            clock(setting.crowd.lasts),
            world.population(),
            world.happened()
        ));
    }
    Summary { unsteady, ..world.finish(name) }
}

pub fn viewers(wanted: &Viewers) -> Result<(), Box<dyn Error>> {
    let mut progress = Progress::new();
    let mut setting = Setting::new(wanted.profile, wanted.crowd).with_mode(wanted.mode);
    if wanted.exact {
        setting.terms.foresight = Duration::ZERO;
    }
    let summary = play(&setting, "tree", &mut progress);
    let took = progress.done();
    print(&summary);
    println!(
        "  {} events, {:.2} a viewer-second in the watch, trace {:016x}; {took:.1} s of real time",
        summary.happened,
        summary.happened_a_viewer_second(),
        summary.hash
    );
    json(&summary, wanted, took).write(wanted.json.as_deref())
}

const MILLI: f64 = 1000.0;

/// What a run was, for people.
pub fn print(s: &Summary) {
    let t = &s.totals;
    let ms = |micros: u64| micros as f64 / MILLI;
    println!("{}: {} viewers in {:.0} s", s.name, t.viewers, s.lasted.as_secs_f64());
    println!(
        "  in time {:.4} %: {:.4} % missed in breaks, {:.4} % single packets; {} of {} never played, {} rejected",
        t.in_time() * 100.0,
        t.missed as f64 / t.due.max(1) as f64 * 100.0,
        t.scattered / t.due.max(1) as f64 * 100.0,
        t.never_played,
        t.viewers,
        s.rejected
    );
    println!(
        "  {:.2} player gaps an hour: 50 % {:.0} ms, 90 % {:.0} ms, 99 % {:.0} ms, longest {:.0} ms",
        t.gaps_per_hour(),
        ms(t.gaps.percentile(50.0)),
        ms(t.gaps.percentile(90.0)),
        ms(t.gaps.percentile(99.0)),
        ms(t.gaps.max())
    );
    println!(
        "  {} silences: 50 % {:.0} ms, 90 % {:.0} ms, 99 % {:.0} ms, longest {:.0} ms",
        t.silences.len(),
        ms(t.silences.percentile(50.0)),
        ms(t.silences.percentile(90.0)),
        ms(t.silences.percentile(99.0)),
        ms(t.silences.max())
    );
    if let Some(unsteady) = s.unsteady {
        println!(
            "  {:.0} ms after many had left in one instant 99.9 % of the others had media",
            unsteady.as_secs_f64() * MILLI
        );
    }
    println!(
        "  startup 50 % {:.0} ms, 95 % {:.0} ms, longest {:.0} ms ({} started)",
        ms(t.startup.percentile(50.0)),
        ms(t.startup.percentile(95.0)),
        ms(t.startup.max()),
        t.startup.len()
    );
    println!(
        "  depth mean {:.1}, 95 % {}, 99 % {}, deepest {}; {} orphaned, {} back, {} elected, {} times no room",
        s.depth.mean(),
        s.depth.percentile(95.0),
        s.depth.percentile(99.0),
        s.depth.max(),
        s.orphaned,
        s.reparented,
        s.elected,
        s.unavailable
    );
    let (honest, liars) = (s.offices.honest, s.offices.of_liars);
    println!(
        "  of {} elected relayers {:.3} % relayed after their first minute; of {} who send nothing {}",
        honest.of,
        honest.part() * 100.0,
        liars.of,
        liars.lasted
    );
    println!(
        "  the source sends {:.2} streams and {:.1} kbit/s of control; {} joins at it",
        s.streams_of_source(),
        s.control_of_source as f64 * 8.0 / MILLI / s.lasted.as_secs_f64().max(1.0),
        s.joins_at_source
    );
    println!(
        "  control {:.3} % of media octets ({}), came twice {:.4} %, sent to the gone {:.4} %",
        s.control_share() * 100.0,
        [
            (Control::Calls, "calls"),
            (Control::Reports, "reports"),
            (Control::Alive, "alive"),
            (Control::Notices, "notices"),
            (Control::Overlay, "overlay"),
            (Control::Media, "RTCP"),
        ]
        .map(|(kind, name)| format!(
            "{name} {:.3}",
            s.control[kind as usize] as f64 * 100.0 / s.octets(t.sent).max(1.0)
        ))
        .join(", "),
        s.duplicate_share() * 100.0,
        (s.waste_share() - s.duplicate_share()) * 100.0
    );
}

/// What a run was, for programs.
fn json(s: &Summary, wanted: &Viewers, took: f64) -> Json {
    let mut json = Json::default();
    json.raw("command", "\"viewers\"");
    json.raw("profile", &format!("\"{:?}\"", wanted.profile));
    json.raw("mode", &format!("\"{:?}\"", wanted.mode));
    json.number("seed", wanted.crowd.seed);
    json.number("viewers", wanted.crowd.viewers);
    numbers(s, &mut json);
    json.number("real_seconds", took);
    json
}

/// The numbers of a run.
pub fn numbers(s: &Summary, json: &mut Json) {
    for (name, value) in columns(s) {
        json.number(name, value);
    }
    json.raw("trace_hash", &format!("\"{:016x}\"", s.hash));
}

/// The numbers of a run by name, in the order of the tables.
pub fn columns(s: &Summary) -> Vec<(&'static str, f64)> {
    let t = &s.totals;
    let ms = |micros: u64| micros as f64 / MILLI;
    vec![
        ("in_time_percent", t.in_time() * 100.0),
        ("gaps_per_hour", t.gaps_per_hour()),
        ("gap_ms_p50", ms(t.gaps.percentile(50.0))),
        ("gap_ms_p99", ms(t.gaps.percentile(99.0))),
        ("silence_ms_p50", ms(t.silences.percentile(50.0))),
        ("silence_ms_p99", ms(t.silences.percentile(99.0))),
        ("startup_ms_p50", ms(t.startup.percentile(50.0))),
        ("startup_ms_p95", ms(t.startup.percentile(95.0))),
        ("source_streams", s.streams_of_source()),
        ("source_control_kbit", s.control_of_source as f64 * 8.0 / MILLI / s.lasted.as_secs_f64().max(1.0)),
        (
            "server_streams",
            s.octets(0).max(s.by_servers as f64) / s.octets(s.lasted.as_micros() as u64).max(1.0),
        ),
        ("offices_lasted_percent", s.offices.honest.part() * 100.0),
        ("liars_that_relayed", s.offices.of_liars.lasted as f64),
        ("depth_mean", s.depth.mean()),
        ("depth_max", s.depth.max() as f64),
        ("control_percent", s.control_share() * 100.0),
        ("wasted_percent", s.waste_share() * 100.0),
        ("duplicates_percent", s.duplicate_share() * 100.0),
        ("joins_at_source", s.joins_at_source as f64),
        ("never_played", t.never_played as f64),
        ("rejected", s.rejected as f64),
        ("viewers", t.viewers as f64),
        ("events", s.happened as f64),
        ("events_a_viewer_second", s.happened_a_viewer_second()),
    ]
}
