//! What the user asks for.

use lexopt::{Arg, Parser, ValueExt};
use std::ffi::OsString;
use std::path::PathBuf;

pub const HELP: &str = "\
Plays the whole system in virtual time: nodes, network and viewers in one process, repeatable by a seed.

  cargo run --release --example simulate -- figure16 --out DIR [OPTIONS]

Commands:
  figure16   one source, viewers that join one after the other: what the source sends each second,
             server-based against P2P (figure 16 of the paper), as figure16.csv and figure16.svg

Options:
  --out DIR      where the files go; made if it is not there
  --viewers N    how many viewers (4)
  --capacity N   how many children each node can serve in the P2P run (2)
  --every S      seconds between two viewers (10)
  --seed N       another world (1)
  --pcap FILE    record every packet of the P2P run (pcapng, for Wireshark)
  --trace        print every packet of the P2P run
  --help         this text
";

/// The command `figure16`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure16 {
    pub out: PathBuf,
    pub viewers: u32,
    pub capacity: u16,
    pub every: u64,
    pub seed: u64,
    pub pcap: Option<PathBuf>,
    pub trace: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Help,
    Figure16(Figure16),
}

/// Reads a command line, without the name of the program. The error is one line that says how to mend it.
pub fn parse(words: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Command, String> {
    let mut parser = Parser::from_args(words);
    let (mut command, mut out, mut pcap, mut trace) = (None, None, None, false);
    let (mut viewers, mut capacity, mut every, mut seed) = (4, 2, 10, 1);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Value(word) if command.is_none() => command = Some(word.to_string_lossy().into_owned()),
            Arg::Long("out") => out = Some(PathBuf::from(parser.value().map_err(|e| e.to_string())?)),
            Arg::Long("pcap") => pcap = Some(PathBuf::from(parser.value().map_err(|e| e.to_string())?)),
            Arg::Long("trace") => trace = true,
            Arg::Long("viewers") => viewers = number(&mut parser, "--viewers", 1, 1000)? as u32,
            Arg::Long("capacity") => capacity = number(&mut parser, "--capacity", 1, 1000)? as u16,
            Arg::Long("every") => every = number(&mut parser, "--every", 1, 3600)?,
            Arg::Long("seed") => seed = number(&mut parser, "--seed", 0, u64::MAX)?,
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            other => return Err(format!("{}; --help shows what is expected", other.unexpected())),
        }
    }
    match command.as_deref() {
        None | Some("help") => Ok(Command::Help),
        Some("figure16") => {
            let out = out.ok_or("--out is missing: name a folder for the figure, as in --out figure16")?;
            Ok(Command::Figure16(Figure16 { out, viewers, capacity, every, seed, pcap, trace }))
        }
        Some(other) => Err(format!("there is no command {other:?}; there is figure16")),
    }
}

fn number(parser: &mut Parser, option: &str, least: u64, most: u64) -> Result<u64, String> {
    let word = parser.value().map_err(|e| e.to_string())?.string().map_err(|e| e.to_string())?;
    let in_range = word.parse().ok().filter(|n| (least..=most).contains(n));
    in_range.ok_or_else(|| format!("{option}: {word:?} is no number from {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace())
    }

    #[test]
    fn figure16_needs_only_a_folder() {
        let figure = Figure16 {
            out: "here".into(),
            viewers: 4,
            capacity: 2,
            every: 10,
            seed: 1,
            pcap: None,
            trace: false,
        };
        assert_eq!(read("figure16 --out here"), Ok(Command::Figure16(figure.clone())));
        let all = "figure16 --out=here --viewers 9 --capacity 3 --every 5 --seed 7 --pcap a.pcapng --trace";
        let pcap = Some("a.pcapng".into());
        let tuned = Figure16 { viewers: 9, capacity: 3, every: 5, seed: 7, pcap, trace: true, ..figure };
        assert_eq!(read(all), Ok(Command::Figure16(tuned)));
    }

    #[test]
    fn every_mistake_has_one_line_that_says_how_to_mend_it() {
        for (line, start) in [
            ("figure16", "--out is missing"),
            ("figure17 --out x", r#"there is no command "figure17""#),
            ("figure16 --out x --viewers 0", r#"--viewers: "0" is no number from 1 to 1000"#),
            ("figure16 --out x --colour", "invalid option '--colour'; --help"),
        ] {
            let error = read(line).expect_err(line);
            assert!(error.starts_with(start) && error.lines().count() == 1, "{line}: {error}");
        }
        assert_eq!(read(""), Ok(Command::Help));
    }
}
