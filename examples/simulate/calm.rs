//! The command `calm`.

use crate::args::Calms;
use crate::report::{Json, Progress, clock, verdict};
use p2piptv::sim::audience::{Audience, Calm, Mood, Setting, Tally};
use p2piptv::time::{Duration, Instant};
use std::error::Error;

/// After the last one has come the tree sorts itself: who can relay moves up, and others make room.
const SORTING: Duration = Duration::from_secs(60);
/// Between two lines of progress.
const SLICE: Duration = Duration::from_secs(1);

pub fn calm(wanted: &Calms) -> Result<(), Box<dyn Error>> {
    let round_trip = Duration::from_millis(wanted.round_trip);
    let setting = Setting {
        viewers: wanted.viewers,
        rate: wanted.rate,
        source_slots: 8,
        ..Setting::new(wanted.seed, round_trip)
    };
    let mut progress = Progress::new();
    let mut audience = Audience::new(setting)?;
    audience.grow(|entered, now| {
        progress.tell(&format!("{entered} viewers at {}", clock(now.since(Instant::ZERO))));
    })?;
    audience.run_for(SORTING)?;
    let mood = Mood::default();
    let mut calm = Calm::new(audience, mood);
    let lasts = Duration::from_secs(wanted.minutes * 60);
    let end = calm.audience().now() + lasts;
    while calm.audience().now() < end {
        calm.run_for(SLICE)?;
        let left = end.since(calm.audience().now());
        progress.tell(&format!("{} to go", clock(left)));
    }
    let took = progress.done();
    let (tally, hash) = (calm.tally(), calm.audience().trace_hash());
    tell(wanted, &mood, &tally);
    println!("  trace {hash:016x}; {took:.1} s of real time");

    let mut json = Json::default();
    json.raw("command", "\"calm\"");
    json.number("seed", wanted.seed);
    json.number("viewers", wanted.viewers);
    json.number("minutes", wanted.minutes);
    json.number("viewer_hours", tally.watched.as_secs_f64() / 3600.0);
    for (key, value) in [
        ("bloats", tally.bloats),
        ("pauses", tally.pauses),
        ("covers", tally.covers),
        ("false_alarms", tally.false_alarms),
        ("repairs", tally.repairs),
        ("orphaned", tally.orphaned),
        ("moves", tally.moves),
    ] {
        json.number(key, value);
    }
    let octets = tally.octets;
    for (key, value) in [
        ("media", octets.media),
        ("reports", octets.reports),
        ("standby_reports", octets.standby_reports),
        ("info", octets.info),
        ("calls", octets.calls),
        ("overlay", octets.overlay),
        ("duplicates", tally.duplicates),
        ("packets_lost", tally.lost),
    ] {
        json.number(key, value);
    }
    json.raw("trace_hash", &format!("\"{hash:016x}\""));
    json.number("real_seconds", took);
    json.write(wanted.json.as_deref())
}

fn tell(wanted: &Calms, mood: &Mood, tally: &Tally) {
    println!(
        "{} viewers for {} min = {:.0} viewer-hours, RTT {} ms, jitter 30 ms each way, {} bit/s, seed {}",
        wanted.viewers,
        wanted.minutes,
        tally.watched.as_secs_f64() / 3600.0,
        wanted.round_trip,
        wanted.rate,
        wanted.seed
    );
    println!(
        "  nobody dies; {} times an uplink had a queue of {} ms, {} times the encoder paused for {} s",
        tally.bloats,
        mood.bloat.as_millis(),
        tally.pauses,
        mood.pause.as_secs()
    );
    let needless = tally.needless_per_1000_hours();
    println!(
        "{} changes of parent, all of them needless: {} = {needless:.1} in 1,000 viewer-hours (goal 1)",
        verdict(needless <= 1.0),
        tally.moves,
    );
    println!(
        "     silences that somebody bridged in vain: {}; {} false alarms in which the parent was heard again, {} of them told \
         to users",
        tally.covers, tally.false_alarms, tally.orphaned
    );
    let octets = tally.octets;
    let percent = |part: u64| part as f64 / octets.media.max(1) as f64 * 100.0;
    println!(
        "{} control: {:.3} % of the media (goal 0.5 %): reports {:.3}, standbys {:.3}, INFO {:.3}, other SIP {:.3}, \
         overlay {:.3}",
        verdict(percent(octets.control()) <= 0.5),
        percent(octets.control()),
        percent(octets.reports),
        percent(octets.standby_reports),
        percent(octets.info),
        percent(octets.calls),
        percent(octets.overlay),
    );
    println!(
        "{} duplicates: {:.3} % of the media (goal 0.1 %); {} packets never came",
        verdict(percent(tally.duplicates) <= 0.1),
        percent(tally.duplicates),
        tally.lost
    );
}
