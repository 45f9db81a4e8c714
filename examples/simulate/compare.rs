//! The command `compare`: every system before the same crowd.

use crate::args::Compare;
use crate::report::{Json, Progress};
use crate::viewers::{self, columns};
use p2piptv::iptv::{Mode, Profile};
use p2piptv::sim::flow::rivals::{self, Central, Edges, Managed, Mesh, SourceOnly, Striped, Tracker};
use p2piptv::sim::flow::{Crowd, Setting, Summary, Terms};
use p2piptv::time::Duration;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Channels that the source of every system without a server sends.
const SOURCE_SLOTS: u32 = 8;

/// The systems, in the order of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    Central,
    Edges,
    SourceOnly,
    Tracker,
    Managed,
    MeshLong,
    MeshShort,
    Striped,
    Paper,
    Ours,
    OursDelegated,
}

pub const SYSTEMS: [System; 11] = [
    System::Central,
    System::Edges,
    System::SourceOnly,
    System::Tracker,
    System::Managed,
    System::MeshLong,
    System::MeshShort,
    System::Striped,
    System::Paper,
    System::Ours,
    System::OursDelegated,
];

impl System {
    /// Lets it serve a crowd.
    pub fn play(self, crowd: Crowd, progress: &mut Progress) -> Summary {
        let terms = Terms::plain().with_nacks().with_replay();
        let mesh = |playout| Mesh { source_slots: SOURCE_SLOTS, playout };
        match self {
            System::Central => rivals::play(&mut Central, crowd, terms),
            System::Edges => rivals::play(&mut Edges::new(crowd.planned()), crowd, terms),
            System::SourceOnly => rivals::play(&mut SourceOnly::new(SOURCE_SLOTS), crowd, terms),
            System::Tracker => rivals::play(&mut Tracker::new(SOURCE_SLOTS), crowd, terms),
            System::Managed => rivals::play(&mut Managed::new(SOURCE_SLOTS), crowd, terms),
            System::MeshLong => rivals::play_mesh(&mesh(Duration::from_secs(10)), crowd, terms),
            System::MeshShort => rivals::play_mesh(&mesh(terms.playout), crowd, terms),
            System::Striped => rivals::play(&mut Striped::new(SOURCE_SLOTS), crowd, terms),
            System::Paper => {
                viewers::play(&Setting::new(Profile::Paper, crowd), "the paper's tree", progress)
            }
            System::Ours => viewers::play(&Setting::new(Profile::Default, crowd), "p2piptv", progress),
            System::OursDelegated => {
                let setting = Setting::new(Profile::Default, crowd).with_mode(Mode::Delegated);
                viewers::play(&setting, "p2piptv, delegated", progress)
            }
        }
    }
}

pub fn compare(wanted: &Compare) -> Result<(), Box<dyn Error>> {
    let mut progress = Progress::new();
    let mut summaries = Vec::new();
    for system in SYSTEMS {
        progress.tell(&format!("{system:?}"));
        let summary = system.play(wanted.crowd, &mut progress);
        viewers::print(&summary);
        summaries.push(summary);
    }
    println!("{}", table(&summaries));
    println!("{:.1} s of real time", progress.done());
    if let Some(out) = &wanted.out {
        write(out, "compare", &summaries)?;
    }
    Ok(())
}

/// Writes runs as CSV and as JSON.
pub fn write(out: &Path, name: &str, summaries: &[Summary]) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out).map_err(|e| format!("{}: {e}", out.display()))?;
    let file = out.join(format!("{name}.csv"));
    fs::write(&file, csv(summaries)).map_err(|e| format!("{}: {e}", file.display()))?;
    let mut json = Json::default();
    json.list(
        "runs",
        summaries.iter().map(|s| {
            let mut run = Json::default();
            run.raw("system", &format!("{:?}", s.name));
            viewers::numbers(s, &mut run);
            run.object()
        }),
    );
    json.write(Some(&out.join(format!("{name}.json"))))
}

fn csv(summaries: &[Summary]) -> String {
    let mut text = String::from("system");
    for (name, _) in summaries.first().map(columns).unwrap_or_default() {
        // A String takes everything.
        let _ = write!(text, ",{name}");
    }
    text.push('\n');
    for s in summaries {
        let _ = write!(text, "\"{}\"", s.name);
        for (_, value) in columns(s) {
            let _ = write!(text, ",{value:.4}");
        }
        text.push('\n');
    }
    text
}

/// The central table, as Markdown.
pub fn table(summaries: &[Summary]) -> String {
    let mut text = String::from(
        "| system | in time | gaps/h | gap p50 / p99 | start p50 / p95 | source media | servers' media | source control | \
         depth | control | wasted | never played |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for s in summaries {
        let t = &s.totals;
        let ms = |micros: u64| micros as f64 / 1000.0;
        let _ = writeln!(
            text,
            "| {} | {:.3} % | {:.2} | {:.0} / {:.0} ms | {:.0} / {:.0} ms | {:.1} | {:.0} | {:.1} kbit/s | {:.1} | \
             {:.3} % | {:.3} % | {} of {} |",
            s.name,
            t.in_time() * 100.0,
            t.gaps_per_hour(),
            ms(t.gaps.percentile(50.0)),
            ms(t.gaps.percentile(99.0)),
            ms(t.startup.percentile(50.0)),
            ms(t.startup.percentile(95.0)),
            s.streams_of_source(),
            s.by_servers as f64 / s.octets(s.lasted.as_micros() as u64).max(1.0),
            s.control_of_source as f64 * 0.008 / s.lasted.as_secs_f64().max(1.0),
            s.depth.mean(),
            s.control_share() * 100.0,
            s.waste_share() * 100.0,
            t.never_played,
            t.viewers
        );
    }
    text
}
