//! Figure 16 of the paper: what the source sends each second, once with server-based delivery (every viewer is served
//! by the source) and once with P2P delivery. In units of 1000 bytes, media and control together, as the paper draws it;
//! the table beside it keeps media, SIP and RELOAD apart.

use plotters::prelude::*;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

/// What the source sent in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// RTP and RTCP.
    pub media: u64,
    /// SIP.
    pub sip: u64,
    /// RELOAD.
    pub reload: u64,
}

impl Second {
    /// Everything together.
    pub fn total(self) -> u64 {
        self.media + self.sip + self.reload
    }
}

/// Both runs, second by second, each from the moment in which the first viewer joined.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figure16 {
    /// Every viewer is served by the source.
    pub server: Vec<Second>,
    /// Viewers serve each other.
    pub p2p: Vec<Second>,
    /// When relayers were elected in the P2P run, in seconds.
    pub elections: Vec<f64>,
}

const SIZE: (u32, u32) = (900, 500);
const SERVER: RGBColor = RGBColor(0xb0, 0x3a, 0x2e);
const P2P: RGBColor = RGBColor(0x1f, 0x61, 0x8d);
const ELECTION: RGBColor = RGBColor(0xd6, 0x89, 0x10);

impl Figure16 {
    /// Writes `figure16.csv` and `figure16.svg` into a directory, which is made if it is not there.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        fs::write(directory.join("figure16.csv"), self.csv())?;
        fs::write(directory.join("figure16.svg"), self.svg()?)
    }

    /// One row for each second; a run that was shorter leaves its columns empty.
    pub fn csv(&self) -> String {
        let mut out = String::from(
            "second,server_media,server_sip,server_reload,server_total,p2p_media,p2p_sip,p2p_reload,p2p_total,elections\n",
        );
        for i in 0..self.server.len().max(self.p2p.len()) {
            let columns = |run: &[Second]| match run.get(i) {
                Some(s) => format!("{},{},{},{}", s.media, s.sip, s.reload, s.total()),
                None => ",,,".into(),
            };
            let elections = self.elections.iter().filter(|&&at| at.floor() == i as f64).count();
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{i},{},{},{elections}", columns(&self.server), columns(&self.p2p));
        }
        out
    }

    /// The drawing.
    pub fn svg(&self) -> io::Result<String> {
        let mut svg = String::new();
        self.draw(&mut svg).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(svg)
    }

    fn draw(&self, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let all = || self.server.iter().chain(&self.p2p);
        let most = all().map(|s| s.total()).max().unwrap_or(0).max(1000) as f64 / 1000.0;
        let length = self.server.len().max(self.p2p.len()).max(2) as f64 - 1.0;

        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption("Traffic at the source", ("sans-serif", 22))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..length, 0.0..most * 1.1)?;
        chart
            .configure_mesh()
            .x_desc("seconds")
            .y_desc("1000 bytes a second")
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .light_line_style(WHITE)
            .draw()?;

        // Elections first, so that the curves lie over them.
        let line = |at: f64| PathElement::new(vec![(at, 0.0), (at, most * 1.1)], ELECTION.stroke_width(2));
        let elections = chart.draw_series(self.elections.iter().map(|&at| line(at)))?;
        if !self.elections.is_empty() {
            elections
                .label("a relayer is elected")
                .legend(|(x, y)| PathElement::new(vec![(x, y), (x + 20, y)], ELECTION.stroke_width(2)));
        }
        for (run, name, colour) in [(&self.server, "server-based", SERVER), (&self.p2p, "P2P-based", P2P)] {
            let points = run.iter().enumerate().map(|(i, s)| (i as f64, s.total() as f64 / 1000.0));
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 20, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        area.present()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure() -> Figure16 {
        let second = |n: u64| Second { media: n * 100_000, sip: 300, reload: 700 };
        Figure16 {
            server: (0..6).map(second).collect(),
            p2p: (0..5).map(|n| second(n.min(2))).collect(),
            elections: vec![2.4, 2.9, 4.0],
        }
    }

    #[test]
    fn the_table_has_a_row_for_each_second_and_marks_elections() {
        let csv = figure().csv();
        let rows: Vec<_> = csv.lines().collect();
        assert_eq!(rows.len(), 7);
        assert_eq!(rows[0].split(',').count(), 10);
        assert!(rows.iter().all(|row| row.split(',').count() == 10));
        assert_eq!(rows[3], "2,200000,300,700,201000,200000,300,700,201000,2");
        assert_eq!(rows[6], "5,500000,300,700,501000,,,,,0");
    }

    #[test]
    fn the_drawing_has_both_curves_and_every_election() {
        let svg = figure().svg().expect("a drawing");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for text in ["server-based", "P2P-based", "a relayer is elected", "1000 bytes a second"] {
            assert!(svg.contains(text), "{text}");
        }
        let fewer = Figure16 { elections: Vec::new(), ..figure() }.svg().expect("a drawing");
        let lines = |svg: &str| svg.matches("<polyline").count();
        assert_eq!(lines(&svg) - lines(&fewer), 4, "three elections and their legend");
    }

    #[test]
    fn nothing_at_all_can_be_drawn_too() {
        assert!(Figure16::default().svg().is_ok());
        assert_eq!(Figure16::default().csv().lines().count(), 1);
    }
}
