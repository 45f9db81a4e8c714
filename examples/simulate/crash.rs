//! The command `crash`.

use crate::args::Crashes;
use crate::plot::{Distribution, Series};
use crate::report::{Json, Progress, clock, verdict};
use p2piptv::sim::audience::{Audience, Case, Crash, Entry, Farewell, Player, Setting, Trouble};
use p2piptv::sim::{Record, Samples, What};
use p2piptv::stats::Plane;
use p2piptv::time::{Duration, Instant};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::rc::Rc;

/// What a player waits on top of three round trips.
const PLAYOUT: Duration = Duration::from_millis(300);
/// The worst cases that are told one by one.
const WORST: usize = 5;

/// What one round-trip time came to.
struct Outcome {
    round_trip: Duration,
    departures: u32,
    cases: usize,
    silence: Samples,
    gaps: u64,
    lost: u64,
    late: u64,
    /// Cases with a gap.
    hurt: usize,
    points: Vec<(f64, f64)>,
}

pub fn crash(wanted: &Crashes) -> Result<(), Box<dyn Error>> {
    let words = if wanted.leave { "leave by plan" } else { "die without a word" };
    println!(
        "{} viewers, {} relayers {words} at each round-trip time, jitter 30 ms each way, {} bit/s, seed {}",
        wanted.viewers, wanted.kills, wanted.rate, wanted.seed
    );
    let mut json = Json::default();
    json.raw("command", "\"crash\"");
    json.number("seed", wanted.seed);
    json.number("viewers", wanted.viewers);
    json.number("leave", wanted.leave);
    let (mut runs, mut series) = (Vec::new(), Vec::new());
    for &round_trip in &wanted.round_trips {
        let (outcome, run) = play(wanted, Duration::from_millis(round_trip))?;
        series.push(Series { name: format!("RTT {round_trip} ms"), points: outcome.points });
        runs.push(run);
    }
    json.list("runs", runs);
    json.write(wanted.json.as_deref())?;
    if let Some(path) = &wanted.svg {
        let title = format!("Silence below {} relayers that {words}", wanted.kills);
        let (x, y) = ("longest silence, ms".into(), "percent of descendants with no longer one".into());
        Distribution { title, x, y, series }.write(path)?;
    }
    Ok(())
}

fn play(wanted: &Crashes, round_trip: Duration) -> Result<(Outcome, String), Box<dyn Error>> {
    let setting = Setting {
        viewers: wanted.viewers,
        slots: wanted.capacity,
        rate: wanted.rate,
        ..Setting::new(wanted.seed, round_trip)
    };
    let mut progress = Progress::new();
    let mut audience = Audience::new(setting)?;
    let ms = round_trip.as_millis();
    audience.grow(|entered, now| {
        progress.tell(&format!("RTT {ms} ms: {entered} viewers at {}", clock(now.since(Instant::ZERO))));
    })?;
    let player = Player { playout: PLAYOUT + round_trip * 3 };
    let farewell = if wanted.leave { Farewell::Planned } else { Farewell::None };
    let mut crash = Crash::new(audience, farewell, player);
    let tape = wanted.trace.map(|_| Tape::put_into(crash.audience_mut()));
    while crash.departures() < wanted.kills {
        if let Some(tape) = &tape {
            tape.runs.set(Some(crash.departures()) == wanted.trace);
        }
        if !crash.depart()? {
            return Err(Trouble::NoPicture.into());
        }
        progress.tell(&format!(
            "RTT {ms} ms: {} of {} gone at {}",
            crash.departures(),
            wanted.kills,
            clock(crash.audience().now().since(Instant::ZERO))
        ));
    }
    let took = progress.done();
    if let (Some(tape), Some(departure)) = (tape, wanted.trace) {
        let cases = crash.cases().iter().filter(|case| case.departure == departure);
        cases.for_each(|case| println!("  {}", story(case)));
        tape.lines.borrow().iter().for_each(|line| println!("  {line}"));
    }
    let (mut outcome, hash) = (judge(round_trip, &crash), crash.audience().trace_hash());
    let entries = crash.audience().entries();
    tell(wanted, &mut outcome, &crash);
    let joins = joins(round_trip, &entries);
    println!("  trace {hash:016x}; {took:.1} s of real time");
    let mut run = Json::default();
    run.number("round_trip_ms", ms);
    run.number("departures", outcome.departures);
    run.number("cases", outcome.cases);
    for percent in [50.0, 99.0, 100.0] {
        run.number(&format!("silence_us_p{percent}"), outcome.silence.percentile(percent));
    }
    run.number("player_gaps", outcome.gaps);
    run.number("cases_with_gaps", outcome.hurt);
    run.number("packets_lost", outcome.lost);
    run.number("packets_late", outcome.late);
    run.number("joins", entries.len());
    for (key, value) in joins {
        run.number(key, value);
    }
    run.raw("trace_hash", &format!("\"{hash:016x}\""));
    run.number("real_seconds", took);
    Ok((outcome, run.object()))
}

fn judge(round_trip: Duration, crash: &Crash) -> Outcome {
    let cases = crash.cases();
    let mut silence = Samples::new();
    silence.extend(cases.iter().map(|case| case.watched.silence.as_micros() as u64));
    let sum = |of: &dyn Fn(&Case) -> u64| cases.iter().map(of).sum();
    let points = (0..=200).map(|n| {
        let percent = f64::from(n) / 2.0;
        (silence.percentile(percent) as f64 / 1000.0, percent)
    });
    let points = points.collect();
    Outcome {
        round_trip,
        departures: crash.departures(),
        cases: cases.len(),
        silence,
        gaps: sum(&|case| case.watched.gaps),
        lost: sum(&|case| case.watched.lost),
        late: sum(&|case| case.watched.late),
        hurt: cases.iter().filter(|case| case.watched.gaps > 0).count(),
        points,
    }
}

fn tell(wanted: &Crashes, outcome: &mut Outcome, crash: &Crash) {
    let rtt = outcome.round_trip;
    let ms = |micros: u64| micros as f64 / 1000.0;
    println!(
        "RTT {} ms: {} departures in {} of virtual time, {} descendants ({} without a picture before, not counted; {} \
         departures from a tree at work)",
        rtt.as_millis(),
        outcome.departures,
        clock(crash.audience().now().since(Instant::ZERO)),
        outcome.cases,
        crash.without_picture(),
        crash.restless(),
    );
    let (p99, goal) = (outcome.silence.percentile(99.0), PLAYOUT + rtt * 2);
    println!(
        "{} silence: 50 % {:.0} ms, 99 % {:.0} ms, longest {:.0} ms (goal: 99 % within {} ms)",
        verdict(u128::from(p99) <= goal.as_micros()),
        ms(outcome.silence.percentile(50.0)),
        ms(p99),
        ms(outcome.silence.max()),
        goal.as_millis(),
    );
    println!(
        "{} players {} ms behind: {} gaps, at {} of {} descendants (goal 0)",
        verdict(outcome.gaps == 0),
        (PLAYOUT + rtt * 3).as_millis(),
        outcome.gaps,
        outcome.hurt,
        outcome.cases,
    );
    let goal = if wanted.leave { "goal 0 and 0" } else { "no goal" };
    println!(
        "{} packets: {} never came, {} came late ({goal})",
        verdict(!wanted.leave || outcome.lost + outcome.late == 0),
        outcome.lost,
        outcome.late
    );
    let mut worst: Vec<&Case> = crash.cases().iter().collect();
    worst.sort_by_key(|case| std::cmp::Reverse((case.watched.gaps, case.watched.silence)));
    for case in worst.iter().take(WORST) {
        println!("       {}", story(case));
    }
}

fn story(case: &Case) -> String {
    let w = case.watched;
    format!(
        "departure {} ({} at {:.3} s): {}, {} below, silent for {:.0} ms, {} lost, {} late, {} gaps{}",
        case.departure,
        case.relayer,
        case.at.since(Instant::ZERO).as_secs_f64(),
        case.viewer,
        case.below,
        w.silence.as_secs_f64() * 1000.0,
        w.lost,
        w.late,
        w.gaps,
        if case.covered { ", covered" } else { "" }
    )
}

/// How many sent the caller on, and how many refused. Whoever is asked beside somebody who is slow counts for nothing.
const fn attempts(entry: &Entry) -> (u32, u32) {
    (entry.redirects, entry.refusals)
}

/// Says how those who came got their first packets, and gives the numbers.
fn joins(round_trip: Duration, entries: &[Entry]) -> Vec<(&'static str, u64)> {
    // In each direction jitter adds 15 ms on average.
    let way = round_trip + Duration::from_millis(30);
    let mut numbers = Vec::new();
    let mut one = |name: &str, keys: [&'static str; 3], goal: u32, of: &dyn Fn(&Entry) -> bool| {
        let mut took = Samples::new();
        took.extend(entries.iter().filter(|e| of(e)).map(|e| e.call.as_micros() as u64));
        let (p50, p99) = (took.percentile(50.0), took.percentile(99.0));
        let trips = |micros: u64| micros as f64 / way.as_micros() as f64;
        let most = way + Duration::from_millis(30);
        let mark = match goal {
            0 => "    ",
            // At the median one round trip, and no timer in between for the others.
            n => verdict(took.is_empty() || u128::from(p99) <= (most * n).as_micros()),
        };
        println!(
            "{mark} {} joins {name}: INVITE to first packet 50 % {:.0} ms = {:.2} round trips, 99 % {:.0} ms = {:.2}",
            took.len(),
            p50 as f64 / 1000.0,
            trips(p50),
            p99 as f64 / 1000.0,
            trips(p99),
        );
        numbers.extend([(keys[0], took.len() as u64), (keys[1], p50), (keys[2], p99)]);
    };
    let keys = ["joins_at_once", "call_us_p50_at_once", "call_us_p99_at_once"];
    one("without a redirect", keys, 1, &|e| attempts(e) == (0, 0));
    let keys = ["joins_redirected", "call_us_p50_redirected", "call_us_p99_redirected"];
    one("after one redirect", keys, 2, &|e| attempts(e) == (1, 0));
    let keys = ["joins_other", "call_us_p50_other", "call_us_p99_other"];
    one("after more attempts", keys, 0, &|e| !matches!(attempts(e), (0 | 1, 0)));
    let mut kinds: BTreeMap<_, Samples> = BTreeMap::new();
    entries.iter().for_each(|e| kinds.entry(attempts(e)).or_default().add(e.call.as_millis() as u64));
    let kinds = kinds.iter_mut().map(|((redirects, refusals), took)| {
        format!("{redirects}/{refusals}: {} in {} ms", took.len(), took.percentile(50.0))
    });
    println!("     redirects/refusals: {}", kinds.collect::<Vec<_>>().join("; "));
    let mut lookups = Samples::new();
    lookups.extend(entries.iter().map(|e| e.lookup.as_micros() as u64));
    println!(
        "     lookups of the channel before them: 50 % {:.0} ms, 99 % {:.0} ms",
        lookups.percentile(50.0) as f64 / 1000.0,
        lookups.percentile(99.0) as f64 / 1000.0
    );
    numbers
        .extend([("lookup_us_p50", lookups.percentile(50.0)), ("lookup_us_p99", lookups.percentile(99.0))]);
    numbers
}

/// Everything but media that travels around one departure.
struct Tape {
    runs: Rc<Cell<bool>>,
    lines: Rc<RefCell<Vec<String>>>,
}

impl Tape {
    fn put_into(audience: &mut Audience) -> Self {
        let tape = Tape { runs: Rc::default(), lines: Rc::default() };
        let (runs, lines) = (Rc::clone(&tape.runs), Rc::clone(&tape.lines));
        audience.network_mut().observe(move |record| {
            let wanted = match record {
                Record::Packet { plane: Plane::Media, what: What::Datagram { payload, .. }, .. } => {
                    payload.get(1).is_some_and(|kind| (192..=223).contains(kind))
                }
                Record::Packet { plane, .. } => *plane == Plane::Signalling,
                Record::Said { .. } | Record::Befell { .. } => true,
            };
            if runs.get() && wanted {
                lines.borrow_mut().push(record.to_string());
            }
        });
        tape
    }
}
