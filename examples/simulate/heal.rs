//! The command `heal`.

use crate::args::Overlays;
use crate::report::{Json, Progress, verdict, world};
use p2piptv::sim::overlay::{Audit, Partition};
use p2piptv::time::Duration;
use std::error::Error;

/// How long the halves may take to become one again: two searches for a partition of every node.
const LIMIT: Duration = Duration::from_secs(1800);

pub fn heal(setting: &Overlays) -> Result<(), Box<dyn Error>> {
    let mut progress = Progress::new();
    let mut parts = Partition::new(world(setting))?;
    parts.grow(setting.nodes, setting.values, |net, growth| progress.growth(net, growth))?;
    parts.cut();
    let cut = Duration::from_secs(setting.minutes * 60);
    // Half of the time for the halves to become rings, half for the newer versions to settle.
    parts.run_for(cut / 2);
    parts.rewrite();
    parts.run_for(cut / 2);
    let halves = parts.halves();
    parts.heal();
    let whole = parts.wait_until_whole(LIMIT, |at, agreement| {
        progress.tell(&format!(
            "{} s after the cut was mended: {} of {} neighbor tables right, {} of {} values where they belong, {} newest",
            at.as_secs(),
            agreement.ring.right_neighbors,
            agreement.ring.members,
            agreement.placed,
            agreement.values,
            agreement.newest
        ));
    });
    let agreement = parts.agreement();
    let took = progress.done();
    let hash = parts.network().trace_hash();

    println!(
        "heal: {} nodes, {} values, cut in two for {} min, {:.1} % loss, seed {}",
        setting.nodes,
        setting.values,
        setting.minutes,
        setting.loss * 100.0,
        setting.seed
    );
    let half = |a: &Audit| format!("{} of {}", a.right_neighbors, a.members);
    println!(
        "{} before it was mended the halves were rings of their own: neighbor tables right {} and {}",
        verdict(halves.iter().all(Audit::is_whole)),
        half(&halves[0]),
        half(&halves[1])
    );
    let when = whole.map_or("not".to_owned(), |at| format!("within {} s", at.as_secs()));
    println!(
        "{} one ring again {when} (at most {} s): {} neighbor tables and {} ranges of {} right",
        verdict(whole.is_some()),
        LIMIT.as_secs(),
        agreement.ring.right_neighbors,
        agreement.ring.right_ranges,
        agreement.ring.members
    );
    println!(
        "{} values: {} of {} on exactly three peers, {} of {} in their newest version everywhere",
        verdict(agreement.placed == agreement.values && agreement.newest == agreement.values),
        agreement.placed,
        agreement.values,
        agreement.newest,
        agreement.values
    );
    println!(
        "  {} of them were written anew during the cut; trace {hash:016x}; {took:.1} s of real time",
        parts.rewritten()
    );

    let mut json = Json::new("heal", setting);
    json.raw("whole_after_seconds", &whole.map_or("null".to_owned(), |at| at.as_secs().to_string()));
    json.number("right_neighbors", agreement.ring.right_neighbors);
    json.number("right_ranges", agreement.ring.right_ranges);
    json.number("members", agreement.ring.members);
    json.number("values_placed", agreement.placed);
    json.number("values_newest", agreement.newest);
    json.raw("trace_hash", &format!("\"{hash:016x}\""));
    json.number("real_seconds", took);
    json.write(setting.json.as_deref())
}
