//! The command `all`: every table and figure about crowds.

use crate::args::{self, All, Figure16};
use crate::compare::{self, SYSTEMS, System};
use crate::plot::{Plot, Series};
use crate::report::Progress;
use crate::viewers;
use p2piptv::iptv::Profile;
use p2piptv::sim::flow::{Crowd, Setting, Stay, Summary, Uplinks};
use p2piptv::time::Duration;
use std::error::Error;
use std::fs;

const CHURNS: [f64; 3] = [0.01, 0.1, 0.5];

/// Everybody's crowds. The seed is the only difference between two runs of this list.
fn scenes(viewers: u32, lasts: Duration, seed: u64) -> Vec<(&'static str, Crowd)> {
    let base = Crowd { lasts, ..Crowd::new(seed, viewers, 0.01) };
    let churn = |per_minute| Crowd { stay: Stay::Exponential { per_minute }, ..base };
    vec![
        ("churn-1", churn(CHURNS[0])),
        ("churn-10", churn(CHURNS[1])),
        ("churn-50", churn(CHURNS[2])),
        ("lognormal-10", Crowd { stay: Stay::LogNormal { per_minute: 0.1 }, ..base }),
        ("mixed-uplinks", Crowd { uplinks: Uplinks::Mixed, ..churn(0.1) }),
        ("half-time", Crowd { mass_leave: Some(lasts / 2), ..base }),
        (
            "rush",
            Crowd { viewers: viewers / 4, rush: Some((viewers / 4 * 3, Duration::from_secs(60))), ..base },
        ),
        ("leeches-and-liars", Crowd { leeches: 0.2, liars: 0.05, ..base }),
    ]
}

pub fn all(
    wanted: &All,
    figure16: impl Fn(Figure16) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut progress = Progress::new();
    let out = &wanted.out;
    fs::create_dir_all(out).map_err(|e| format!("{}: {e}", out.display()))?;
    figure16(Figure16 {
        out: out.clone(),
        viewers: 4,
        capacity: 2,
        every: 10,
        seed: wanted.seed,
        pcap: None,
        trace: false,
    })?;
    let lasts = Duration::from_secs(wanted.minutes * 60);
    let mut by_churn: Vec<Vec<Summary>> = Vec::new();
    let mut text = String::new();
    for (scene, crowd) in scenes(wanted.viewers, lasts, wanted.seed) {
        let mut summaries = Vec::new();
        for system in SYSTEMS {
            progress.tell(&format!("{scene}: {system:?}"));
            summaries.push(system.play(crowd, &mut progress));
        }
        compare::write(out, scene, &summaries)?;
        let table = compare::table(&summaries);
        println!("{scene}\n{table}");
        text += &format!("## {scene}\n\n{table}\n");
        if scene.starts_with("churn") {
            by_churn.push(summaries);
        }
    }
    fs::write(out.join("tables.md"), text)?;
    churn_plots(wanted, &by_churn)?;
    growth(wanted, &mut progress)?;
    println!("{:.0} s of real time", progress.done());
    Ok(())
}

/// What players miss, and how often, as people come and go faster.
fn churn_plots(wanted: &All, by_churn: &[Vec<Summary>]) -> Result<(), Box<dyn Error>> {
    let series = |value: fn(&Summary) -> f64| -> Vec<Series> {
        let lines = SYSTEMS.iter().enumerate().filter(|(_, s)| **s != System::SourceOnly);
        lines
            .map(|(n, _)| Series {
                name: by_churn[0][n].name.clone(),
                points: by_churn
                    .iter()
                    .zip(CHURNS)
                    .map(|(run, churn)| (churn * 100.0, value(&run[n])))
                    .collect(),
            })
            .collect()
    };
    let title =
        format!("{} viewers, {} minutes, 1 % loss, 500 ms playout delay", wanted.viewers, wanted.minutes);
    Plot {
        title: format!("What players miss: {title}"),
        x: "viewers that leave in a minute, percent".into(),
        y: "media that did not come in time, percent".into(),
        series: series(|s| (1.0 - s.totals.in_time()) * 100.0),
        least: 1e-4,
    }
    .write(&wanted.out.join("missed.svg"))?;
    Plot {
        title: format!("Gaps: {title}"),
        x: "viewers that leave in a minute, percent".into(),
        y: "gaps in an hour of watching".into(),
        series: series(|s| s.totals.gaps_per_hour()),
        least: 1e-2,
    }
    .write(&wanted.out.join("gaps.svg"))
}

/// The tree as the crowd grows: this is where the source's load shows.
fn growth(wanted: &All, progress: &mut Progress) -> Result<(), Box<dyn Error>> {
    let mut sizes = vec![100, 300, 1_000, 3_000];
    if wanted.full {
        sizes.extend([10_000, 100_000, 1_000_000]);
    }
    let mut summaries = Vec::new();
    for &viewers in &sizes {
        let lasts = if viewers > 100_000 { 60 } else { 120 };
        let crowd = Crowd { lasts: Duration::from_secs(lasts), ..Crowd::new(wanted.seed, viewers, 0.01) };
        let name = format!("p2piptv, {viewers} viewers");
        let setting = Setting::new(Profile::Default, crowd).with_mode(args::crowd_mode(&crowd));
        let mut summary = viewers::play(&setting, &name, progress);
        summary.name = name;
        viewers::print(&summary);
        summaries.push(summary);
    }
    compare::write(&wanted.out, "growth", &summaries)?;
    let line = |name: &str, value: &dyn Fn(u32, &Summary) -> f64| Series {
        name: name.into(),
        points: sizes.iter().zip(&summaries).map(|(&n, s)| (f64::from(n), value(n, s))).collect(),
    };
    let mbit = |s: &Summary, octets: f64| octets * 8e-6 / s.lasted.as_secs_f64().max(1.0);
    Plot {
        title: "What the source sends, 1 % of the viewers replaced a minute".into(),
        x: "viewers".into(),
        y: "Mbit/s".into(),
        series: vec![
            line("a central server: media", &|n, s| f64::from(n) * s.rate as f64 * 8e-6),
            line("p2piptv: media", &|_, s| mbit(s, s.octets(s.totals.by_source))),
            line("p2piptv: control", &|_, s| mbit(s, s.control_of_source as f64)),
        ],
        least: 1e-4,
    }
    .write(&wanted.out.join("source.svg"))
}
