//! Lines on logarithmic axes, and distributions on straight ones.

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use std::error::Error;
use std::fs;
use std::path::Path;

/// One line.
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// A drawing.
pub struct Plot {
    pub title: String,
    pub x: String,
    pub y: String,
    pub series: Vec<Series>,
    /// What is less, nothing too, is drawn there.
    pub least: f64,
}

const COLOURS: [RGBColor; 10] = [
    RGBColor(0x1f, 0x61, 0x8d),
    RGBColor(0xb0, 0x3a, 0x2e),
    RGBColor(0xd6, 0x89, 0x10),
    RGBColor(0x11, 0x7a, 0x65),
    RGBColor(0x7d, 0x3c, 0x98),
    RGBColor(0x5d, 0x6d, 0x7e),
    RGBColor(0x9c, 0x64, 0x0c),
    RGBColor(0x2e, 0x86, 0xc1),
    RGBColor(0xcb, 0x43, 0x35),
    RGBColor(0x17, 0x20, 0x2a),
];

impl Plot {
    pub fn write(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        save(path, &self.svg()?)
    }

    pub fn svg(&self) -> Result<String, Box<dyn Error>> {
        let points = || self.series.iter().flat_map(|s| &s.points);
        let reach = |of: &dyn Fn(&(f64, f64)) -> f64, least: f64| {
            let low = points().map(of).fold(f64::INFINITY, f64::min).max(least);
            let high = points().map(of).fold(least * 10.0, f64::max);
            (low / 1.5)..(high * 2.0)
        };
        let axes = (reach(&|p| p.0, 1e-9).log_scale(), reach(&|p| p.1, self.least).log_scale());
        let lines = self.series.iter().map(|series| Line {
            name: &series.name,
            width: if series.name.starts_with("p2piptv") { 4 } else { 2 },
            point: 3,
            points: series.points.iter().map(|&(x, y)| (x, y.max(self.least))).collect(),
        });
        draw([&self.title, &self.x, &self.y], (axes, 70), lines, SeriesLabelPosition::UpperLeft)
    }
}

/// How numbers are spread: for each line, the share in percent that is not above.
pub struct Distribution {
    pub title: String,
    pub x: String,
    pub y: String,
    pub series: Vec<Series>,
}

impl Distribution {
    pub fn write(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        save(path, &self.svg()?)
    }

    pub fn svg(&self) -> Result<String, Box<dyn Error>> {
        let most = self.series.iter().flat_map(|s| &s.points).map(|p| p.0).fold(1.0, f64::max);
        let axes = (0.0..most * 1.05, 0.0..102.0);
        let lines = self.series.iter().map(|series| Line {
            name: &series.name,
            width: 2,
            point: 0,
            points: series.points.clone(),
        });
        draw([&self.title, &self.x, &self.y], (axes, 60), lines, SeriesLabelPosition::LowerRight)
    }
}

/// A line, and how thick it is, and each of its points.
struct Line<'a> {
    name: &'a str,
    width: u32,
    point: u32,
    points: Vec<(f64, f64)>,
}

/// Draws lines over these axes, with so much room for the labels of the second one, and says which is which.
fn draw<'a, X, Y>(
    [title, x, y]: [&str; 3],
    (axes, room): ((X, Y), u32),
    lines: impl Iterator<Item = Line<'a>>,
    names: SeriesLabelPosition,
) -> Result<String, Box<dyn Error>>
where
    X: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
    Y: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
{
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (900, 520)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(room)
            .build_cartesian_2d(axes.0, axes.1)?;
        chart.configure_mesh().x_desc(x).y_desc(y).light_line_style(WHITE).draw()?;
        for (line, colour) in lines.zip(COLOURS.iter().cycle()) {
            let style = colour.stroke_width(line.width);
            chart
                .draw_series(LineSeries::new(line.points, style).point_size(line.point))?
                .label(line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        chart
            .configure_series_labels()
            .position(names)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        root.present()?;
    }
    Ok(svg)
}

fn save(path: &Path, svg: &str) -> Result<(), Box<dyn Error>> {
    fs::write(path, svg).map_err(|e| format!("{}: {e}", path.display()))?;
    println!("drawn: {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_drawn_and_nothing_at_all_lies_on_the_axis() {
        let line = |name: &str, y: f64| Series { name: name.into(), points: vec![(1.0, y), (50.0, y * 3.0)] };
        let series = vec![line("p2piptv", 0.0), line("other", 7.0)];
        let plot = Plot { title: "T".into(), x: "X".into(), y: "Y".into(), series, least: 0.01 };
        let svg = plot.svg().expect("a drawing");
        assert!(["p2piptv", "other", ">\nT"].iter().all(|text| svg.contains(text)), "{svg}");
    }
}
