//! Progress on the error stream, results on the screen and as JSON, and the drawing of a churn.

use crate::args::Overlays;
use p2piptv::sim::overlay::{Config, Growth, Identities, Moment, OverlayNetwork};
use p2piptv::sim::{Conditions, Latency};
use p2piptv::time::{Duration, Instant};
use plotters::prelude::*;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::time;

/// The underlay of all overlay runs: half of the pairs are nearer than 30 ms one way, one in twenty is farther than
/// 100 ms, and queues add up to 5 ms.
pub fn world(setting: &Overlays) -> Config {
    let (median, p95) = (Duration::from_millis(30), Duration::from_millis(100));
    let conditions =
        Conditions { latency: Latency::LogNormal { median, p95 }, ..Conditions::constant(Duration::ZERO) };
    let conditions = conditions.with_jitter(Duration::from_millis(5)).with_loss(setting.loss);
    let identities = if setting.certified { Identities::Certified } else { Identities::Insecure };
    Config { identities, ..Config::new(setting.seed, conditions) }
}

/// One line that overwrites itself on a terminal, and now and then a line of its own elsewhere.
pub struct Progress {
    began: time::Instant,
    told: Option<time::Instant>,
}

impl Progress {
    pub fn new() -> Self {
        Progress { began: time::Instant::now(), told: None }
    }

    pub fn tell(&mut self, line: &str) {
        let terminal = stderr().is_terminal();
        let pause = time::Duration::from_millis(if terminal { 100 } else { 10_000 });
        if self.told.is_some_and(|at| at.elapsed() < pause) {
            return;
        }
        self.told = Some(time::Instant::now());
        let seconds = self.began.elapsed().as_secs();
        if terminal {
            eprint!("\r\x1b[K[{seconds:>4} s] {line}");
        } else {
            eprintln!("[{seconds:>4} s] {line}");
        }
    }

    pub fn growth(&mut self, net: &OverlayNetwork, growth: &Growth) {
        let members = net.living().len() - growth.under_way();
        self.tell(&format!(
            "growing: {members} members, {} on their way in, {:?}",
            growth.under_way(),
            net.now()
        ));
    }

    /// The real time that it took.
    pub fn done(self) -> f64 {
        if stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
        self.began.elapsed().as_secs_f64()
    }
}

/// Minutes and seconds of virtual time.
pub fn clock(at: Duration) -> String {
    format!("{}:{:02}", at.as_secs() / 60, at.as_secs() % 60)
}

/// Seconds of virtual time from its beginning.
pub fn seconds(at: Instant) -> f64 {
    at.since(Instant::ZERO).as_secs_f64()
}

/// Says of a goal whether it was reached.
pub fn verdict(reached: bool) -> &'static str {
    if reached { "ok  " } else { "MISS" }
}

/// A flat JSON object, in the order in which it is filled.
#[derive(Default)]
pub struct Json(String);

impl Json {
    pub fn new(command: &str, setting: &Overlays) -> Self {
        let mut json = Json::default();
        json.raw("command", &format!("{command:?}"));
        json.number("seed", setting.seed);
        json.number("nodes", setting.nodes);
        json.number("values", setting.values);
        json.number("minutes", setting.minutes);
        json.number("loss", setting.loss);
        json.number("lookups_per_second", setting.lookups);
        json.number("certified", setting.certified);
        json
    }

    pub fn raw(&mut self, key: &str, value: &str) {
        let comma = if self.0.is_empty() { "" } else { ",\n" };
        // A String takes everything.
        let _ = write!(self.0, "{comma}  \"{key}\": {value}");
    }

    pub fn number(&mut self, key: &str, value: impl std::fmt::Display) {
        self.raw(key, &value.to_string());
    }

    pub fn list(&mut self, key: &str, values: impl IntoIterator<Item = String>) {
        let values: Vec<String> = values.into_iter().collect();
        self.raw(key, &format!("[{}]", values.join(", ")));
    }

    /// The object as text.
    pub fn object(&self) -> String {
        format!("{{\n{}\n}}", self.0)
    }

    pub fn write(&self, path: Option<&Path>) -> Result<(), Box<dyn Error>> {
        let Some(path) = path else { return Ok(()) };
        fs::write(path, self.object() + "\n").map_err(|e| format!("{}: {e}", path.display()))?;
        println!("written: {}", path.display());
        Ok(())
    }
}

const LOOKUPS: RGBColor = RGBColor(0x1f, 0x61, 0x8d);
const REPLICAS: RGBColor = RGBColor(0xd6, 0x89, 0x10);
const LOST: RGBColor = RGBColor(0xb0, 0x3a, 0x2e);

/// Draws the shares of lookups that were answered, of values on all of their three peers, and of values lost.
pub fn draw(path: &Path, title: &str, moments: &[Moment]) -> Result<(), Box<dyn Error>> {
    let svg = svg(title, moments)?;
    fs::write(path, svg).map_err(|e| format!("{}: {e}", path.display()))?;
    println!("drawn: {}", path.display());
    Ok(())
}

fn svg(title: &str, moments: &[Moment]) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (900, 500)).into_drawing_area();
        root.fill(&WHITE)?;
        let minutes = |m: &Moment| m.at.as_secs_f64() / 60.0;
        let last = moments.last().map_or(1.0, minutes).max(1.0 / 60.0);
        let mut chart = ChartBuilder::on(&root)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..last, 0.0..105.0)?;
        chart.configure_mesh().x_desc("minutes of churn").y_desc("percent").draw()?;
        let percent = |part: u64, whole: u64| 100.0 * part as f64 / (whole.max(1)) as f64;
        let values = |m: &Moment| m.spread.iter().sum::<usize>() as u64;
        let mut line =
            |points: Vec<(f64, f64)>, colour: RGBColor, label: &str| -> Result<(), Box<dyn Error>> {
                chart
                    .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                    .label(label)
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
                Ok(())
            };
        let asked = moments.iter().filter(|m| m.answered + m.unanswered > 0);
        let answered = asked.map(|m| (minutes(m), percent(m.answered, m.answered + m.unanswered)));
        line(answered.collect(), LOOKUPS, "lookups answered")?;
        let full = moments.iter().map(|m| {
            let full = m.spread[3] + m.spread[4];
            (minutes(m), percent(full as u64, values(m)))
        });
        line(full.collect(), REPLICAS, "values on three peers")?;
        let lost = moments.iter().map(|m| (minutes(m), percent(m.spread[0] as u64, values(m))));
        line(lost.collect(), LOST, "values lost")?;
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK)
            .draw()?;
        root.present()?;
    }
    Ok(svg)
}
