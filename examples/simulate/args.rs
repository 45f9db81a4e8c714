//! What the user asks for.

use lexopt::{Arg, Parser, ValueExt};
use p2piptv::iptv::{Mode, Profile};
use p2piptv::sim::flow::{Crowd, Stay, Uplinks};
use p2piptv::time::Duration;
use std::ffi::OsString;
use std::path::PathBuf;

pub const HELP: &str = "\
Plays in virtual time, in one process, repeatable by a seed: the whole system, or overlays with nothing on top.

  cargo run --release --example simulate -- COMMAND [OPTIONS]

Commands:
  figure16   one source, viewers that join one after the other: what the source sends each second,
             server-based against P2P (figure 16 of the paper), as figure16.csv and figure16.svg
  churn      an overlay whose nodes crash and are replaced while everybody looks up what is stored:
             lookups that are answered, values that are lost
  rest       an overlay that nobody disturbs: hops, owners, replicas, memory
  heal       two halves of an overlay that are cut apart and find each other again
  crash      a source and whole nodes whose relayers die, or leave, again and again: how long their descendants
             have nothing, what players miss, how long newcomers wait
  calm       the same where nobody dies, but queues build up and the encoder pauses: what is repaired in vain, and
             what the upkeep costs
  viewers    ten thousand or a million viewers of one channel: the policy of every node on one clock, media as a flow
  compare    the same crowd before every system: a server, a CDN, a tracker, meshes, several trees,
             the paper's tree, and this one
  validate   the same crowd as whole nodes, packet by packet, and as a flow: what the difference is
  all        every table and figure about crowds: churn, stays, uplinks, half-time, rush, leeches, liars,
             growth, and figure 16

Options of figure16:
  --out DIR      where the files go; made if it is not there
  --viewers N    how many viewers (4)
  --capacity N   how many children each node can serve in the P2P run (2)
  --every S      seconds between two viewers (10)
  --pcap FILE    record every packet of the P2P run (pcapng, for Wireshark)
  --trace        print every packet of the P2P run

Options of churn, rest and heal:
  --nodes N      how many nodes (1000; 10000 at rest; two halves of 200)
  --values N     how many values are stored (as many as nodes)
  --lookups N    lookups a second, of all nodes together (a tenth of the nodes)
  --minutes N    how long nodes crash, the ring is watched, or the cut lasts (10)
  --loss P       datagrams that are lost (1%; none at rest)
  --certified    every node signs, with a certificate as large as a real one
  --json FILE    the result as JSON

Options of churn:
  --replaced-per-minute P   nodes that crash and are replaced (10%)
  --svg FILE                the result as a drawing

Options of crash and calm:
  --viewers N    how many (40; 100 in a calm)
  --rtt MS       the round-trip time (20, 80 and 200, one after the other; 80 in a calm)
  --rate R       bits of RTP a second (2000000)
  --json FILE    the result as JSON

Options of crash:
  --kills N      relayers that die at each round-trip time (100)
  --leave        they do not die but leave by plan
  --capacity N   how many children each viewer can serve (2)
  --svg FILE     how silences are spread, as a drawing
  --trace N      print everything but media that travels around departure N, from 0

Options of calm:
  --minutes N    how long (10)

Options of viewers, compare and validate:
  --viewers N    how many (10000; 2000 to compare, 100 to validate)
  --churn P      viewers that leave in a minute and are replaced (1%; 10% to validate)
  --minutes N    how long (10; 2 to validate)
  --uplinks U    children that each home can serve: a number, or mixed (2)
  --sessions S   exponential or lognormal
  --abrupt P     departures without a goodbye (50%)
  --leeches P    viewers that give nothing (0%)
  --liars P      viewers that claim their slots and send nothing (0%)
  --half-time S  after so many seconds a quarter of all viewers leaves in one instant
  --rush N       so many more come in the first minute

Options of viewers:
  --profile P    default, or paper: the published design
  --mode M       who elects relayers: managed, the source for the whole tree, or delegated, every relayer for its
                 own children (managed up to 2000 viewers, else delegated)
  --exact        no timer looks ahead; many times slower
  --json FILE    the result as JSON

Options of compare:
  --out DIR      where the tables go; made if it is not there

Options of all:
  --out DIR      where tables and figures go; made if it is not there
  --viewers N    before every system (1000; 10000 with --full)
  --minutes N    how long (5; 10 with --full)
  --full         and this system before crowds of up to a million

Options of every command:
  --seed N       another world (1)
  --help         this text
";

/// The largest crowd that a source manages unless told otherwise.
const MANAGEABLE: u32 = 2_000;

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

/// The commands that play overlays.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlays {
    pub nodes: usize,
    pub values: usize,
    pub lookups: f64,
    pub minutes: u64,
    pub loss: f64,
    pub replaced_per_minute: f64,
    pub certified: bool,
    pub seed: u64,
    pub json: Option<PathBuf>,
    pub svg: Option<PathBuf>,
}

/// The command `crash`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crashes {
    pub viewers: u32,
    /// In milliseconds.
    pub round_trips: Vec<u64>,
    pub rate: u64,
    pub kills: u32,
    pub leave: bool,
    pub capacity: u16,
    pub trace: Option<u32>,
    pub seed: u64,
    pub json: Option<PathBuf>,
    pub svg: Option<PathBuf>,
}

/// The command `calm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calms {
    pub viewers: u32,
    /// In milliseconds.
    pub round_trip: u64,
    pub rate: u64,
    pub minutes: u64,
    pub seed: u64,
    pub json: Option<PathBuf>,
}

/// The command `viewers`.
#[derive(Clone, Debug, PartialEq)]
pub struct Viewers {
    pub crowd: Crowd,
    pub profile: Profile,
    pub mode: Mode,
    pub exact: bool,
    pub json: Option<PathBuf>,
}

/// The command `compare`.
#[derive(Clone, Debug, PartialEq)]
pub struct Compare {
    pub crowd: Crowd,
    pub out: Option<PathBuf>,
}

/// The command `validate`.
#[derive(Clone, Debug, PartialEq)]
pub struct Validate {
    pub crowd: Crowd,
}

/// The command `all`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct All {
    pub out: PathBuf,
    pub viewers: u32,
    pub minutes: u64,
    pub seed: u64,
    pub full: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Help,
    Figure16(Figure16),
    Churn(Overlays),
    Rest(Overlays),
    Heal(Overlays),
    Crash(Crashes),
    Calm(Calms),
    Viewers(Viewers),
    Compare(Compare),
    All(All),
    Validate(Validate),
}

/// Reads a command line, without the name of the program. The error is one line that says how to mend it.
pub fn parse(words: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Command, String> {
    let mut parser = Parser::from_args(words);
    let command = match parser.next().map_err(|e| e.to_string())? {
        Some(Arg::Value(word)) => word.to_string_lossy().into_owned(),
        None | Some(Arg::Long("help") | Arg::Short('h')) => return Ok(Command::Help),
        Some(other) => return Err(format!("a command comes first; {}", unexpected(other))),
    };
    match command.as_str() {
        "help" => Ok(Command::Help),
        "figure16" => figure16(parser),
        "churn" => overlays(parser, 1000, 0.01, true, Command::Churn),
        "rest" => overlays(parser, 10_000, 0.0, false, Command::Rest),
        "heal" => overlays(parser, 400, 0.01, false, Command::Heal),
        "crash" => crash(parser),
        "calm" => calm(parser),
        "viewers" => viewers(parser),
        "compare" => compare(parser),
        "all" => all(parser),
        "validate" => validate(parser),
        other => Err(format!(
            "there is no command {other:?}; there are figure16, churn, rest, heal, crash, calm, viewers, compare, all and \
             validate"
        )),
    }
}

fn figure16(mut parser: Parser) -> Result<Command, String> {
    let (mut out, mut pcap, mut trace) = (None, None, false);
    let (mut viewers, mut capacity, mut every, mut seed) = (4, 2, 10, 1);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("out") => out = Some(path(&mut parser)?),
            Arg::Long("pcap") => pcap = Some(path(&mut parser)?),
            Arg::Long("trace") => trace = true,
            Arg::Long("viewers") => viewers = number(&mut parser, "--viewers", 1, 1000)? as u32,
            Arg::Long("capacity") => capacity = number(&mut parser, "--capacity", 1, 1000)? as u16,
            Arg::Long("every") => every = number(&mut parser, "--every", 1, 3600)?,
            Arg::Long("seed") => seed = number(&mut parser, "--seed", 0, u64::MAX)?,
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            other => return Err(unexpected(other)),
        }
    }
    let out = out.ok_or("--out is missing: name a folder for the figure, as in --out figure16")?;
    Ok(Command::Figure16(Figure16 { out, viewers, capacity, every, seed, pcap, trace }))
}

/// Reads the options of a command that plays overlays, with this many nodes and this loss unless told otherwise.
fn overlays(
    mut parser: Parser,
    nodes: u64,
    loss: f64,
    churns: bool,
    command: fn(Overlays) -> Command,
) -> Result<Command, String> {
    let (mut nodes, mut values, mut lookups, mut minutes, mut seed) = (nodes, None, None, 10, 1);
    let (mut loss, mut replaced_per_minute, mut json, mut svg) = (loss, 0.1, None, None);
    let mut certified = false;
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("nodes") => nodes = number(&mut parser, "--nodes", 2, 1_000_000)?,
            Arg::Long("values") => values = Some(number(&mut parser, "--values", 1, 1_000_000)?),
            Arg::Long("lookups") => lookups = Some(number(&mut parser, "--lookups", 0, 1_000_000)?),
            Arg::Long("minutes") => minutes = number(&mut parser, "--minutes", 0, 10_000)?,
            Arg::Long("loss") => loss = share(&mut parser, "--loss")?,
            Arg::Long("replaced-per-minute") if churns => {
                replaced_per_minute = share(&mut parser, "--replaced-per-minute")?;
            }
            Arg::Long("certified") => certified = true,
            Arg::Long("json") => json = Some(path(&mut parser)?),
            Arg::Long("svg") if churns => svg = Some(path(&mut parser)?),
            Arg::Long("seed") => seed = number(&mut parser, "--seed", 0, u64::MAX)?,
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            other => return Err(unexpected(other)),
        }
    }
    Ok(command(Overlays {
        nodes: nodes as usize,
        values: values.unwrap_or(nodes) as usize,
        lookups: lookups.map_or(nodes as f64 / 10.0, |n| n as f64),
        minutes,
        loss,
        replaced_per_minute,
        certified,
        seed,
        json,
        svg,
    }))
}

fn crash(mut parser: Parser) -> Result<Command, String> {
    let mut wanted = Crashes {
        viewers: 40,
        round_trips: vec![20, 80, 200],
        rate: 2_000_000,
        kills: 100,
        leave: false,
        capacity: 2,
        trace: None,
        seed: 1,
        json: None,
        svg: None,
    };
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("viewers") => wanted.viewers = number(&mut parser, "--viewers", 2, 10_000)? as u32,
            Arg::Long("rtt") => wanted.round_trips = vec![number(&mut parser, "--rtt", 0, 2000)?],
            Arg::Long("rate") => wanted.rate = number(&mut parser, "--rate", 50_000, 50_000_000)?,
            Arg::Long("kills") => wanted.kills = number(&mut parser, "--kills", 1, 1_000_000)? as u32,
            Arg::Long("leave") => wanted.leave = true,
            Arg::Long("capacity") => wanted.capacity = number(&mut parser, "--capacity", 1, 1000)? as u16,
            Arg::Long("trace") => {
                wanted.trace = Some(number(&mut parser, "--trace", 0, u64::from(u32::MAX))? as u32);
            }
            Arg::Long("seed") => wanted.seed = number(&mut parser, "--seed", 0, u64::MAX)?,
            Arg::Long("json") => wanted.json = Some(path(&mut parser)?),
            Arg::Long("svg") => wanted.svg = Some(path(&mut parser)?),
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            other => return Err(unexpected(other)),
        }
    }
    Ok(Command::Crash(wanted))
}

fn calm(mut parser: Parser) -> Result<Command, String> {
    let mut wanted =
        Calms { viewers: 100, round_trip: 80, rate: 2_000_000, minutes: 10, seed: 1, json: None };
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("viewers") => wanted.viewers = number(&mut parser, "--viewers", 2, 10_000)? as u32,
            Arg::Long("rtt") => wanted.round_trip = number(&mut parser, "--rtt", 0, 2000)?,
            Arg::Long("rate") => wanted.rate = number(&mut parser, "--rate", 50_000, 50_000_000)?,
            Arg::Long("minutes") => wanted.minutes = number(&mut parser, "--minutes", 1, 10_000)?,
            Arg::Long("seed") => wanted.seed = number(&mut parser, "--seed", 0, u64::MAX)?,
            Arg::Long("json") => wanted.json = Some(path(&mut parser)?),
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            other => return Err(unexpected(other)),
        }
    }
    Ok(Command::Calm(wanted))
}

/// What `viewers` and `compare` share.
struct People {
    crowd: Crowd,
    churn: f64,
    lognormal: bool,
}

impl People {
    fn new(viewers: u32) -> Self {
        People { crowd: Crowd::new(1, viewers, 0.01), churn: 0.01, lognormal: false }
    }

    /// Whether the option was one about people.
    fn take(&mut self, option: &str, parser: &mut Parser) -> Result<bool, String> {
        let crowd = &mut self.crowd;
        match option {
            "viewers" => crowd.viewers = number(parser, "--viewers", 1, 2_000_000)? as u32,
            "churn" => self.churn = share(parser, "--churn")?,
            "minutes" => crowd.lasts = Duration::from_secs(number(parser, "--minutes", 1, 1000)? * 60),
            "uplinks" => crowd.uplinks = uplinks(parser)?,
            "sessions" => {
                self.lognormal =
                    choice(parser, "--sessions", &[("exponential", false), ("lognormal", true)])?;
            }
            "abrupt" => crowd.abrupt = share(parser, "--abrupt")?,
            "leeches" => crowd.leeches = share(parser, "--leeches")?,
            "liars" => crowd.liars = share(parser, "--liars")?,
            "half-time" => {
                crowd.mass_leave = Some(Duration::from_secs(number(parser, "--half-time", 1, 100_000)?));
            }
            "rush" => {
                let more = number(parser, "--rush", 1, 2_000_000)?;
                crowd.rush = Some((more as u32, Duration::from_secs(60)));
            }
            "seed" => crowd.seed = number(parser, "--seed", 0, u64::MAX)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn crowd(self) -> Crowd {
        let per_minute = self.churn;
        let stay = match self.lognormal {
            _ if per_minute == 0.0 => Stay::Endless,
            true => Stay::LogNormal { per_minute },
            false => Stay::Exponential { per_minute },
        };
        Crowd { stay, ..self.crowd }
    }
}

fn viewers(mut parser: Parser) -> Result<Command, String> {
    let (mut people, mut profile, mut exact, mut json) = (People::new(10_000), Profile::Default, false, None);
    let mut mode = None;
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("profile") => {
                let profiles = [("default", Profile::Default), ("paper", Profile::Paper)];
                profile = choice(&mut parser, "--profile", &profiles)?;
            }
            Arg::Long("mode") => {
                let modes = [("managed", Mode::SourceManaged), ("delegated", Mode::Delegated)];
                mode = Some(choice(&mut parser, "--mode", &modes)?);
            }
            Arg::Long("exact") => exact = true,
            Arg::Long("json") => json = Some(path(&mut parser)?),
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long(option) => {
                let option = option.to_owned();
                if !people.take(&option, &mut parser)? {
                    return Err(unexpected(Arg::Long(&option)));
                }
            }
            other => return Err(unexpected(other)),
        }
    }
    let crowd = people.crowd();
    let mode = mode.unwrap_or_else(|| crowd_mode(&crowd));
    Ok(Command::Viewers(Viewers { crowd, profile, mode, exact, json }))
}

/// Who elects where nobody says: what is better for a crowd of this size.
pub fn crowd_mode(crowd: &Crowd) -> Mode {
    if crowd.viewers > MANAGEABLE { Mode::Delegated } else { Mode::SourceManaged }
}

fn compare(mut parser: Parser) -> Result<Command, String> {
    let (mut people, mut out) = (People::new(2_000), None);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("out") => out = Some(path(&mut parser)?),
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long(option) => {
                let option = option.to_owned();
                if !people.take(&option, &mut parser)? {
                    return Err(unexpected(Arg::Long(&option)));
                }
            }
            other => return Err(unexpected(other)),
        }
    }
    Ok(Command::Compare(Compare { crowd: people.crowd(), out }))
}

fn validate(mut parser: Parser) -> Result<Command, String> {
    let mut people = People { churn: 0.1, ..People::new(100) };
    people.crowd.lasts = Duration::from_secs(120);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long(option) => {
                let option = option.to_owned();
                if !people.take(&option, &mut parser)? {
                    return Err(unexpected(Arg::Long(&option)));
                }
            }
            other => return Err(unexpected(other)),
        }
    }
    Ok(Command::Validate(Validate { crowd: people.crowd() }))
}

fn all(mut parser: Parser) -> Result<Command, String> {
    let (mut out, mut viewers, mut minutes, mut seed, mut full) = (None, None, None, 1, false);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("out") => out = Some(path(&mut parser)?),
            Arg::Long("viewers") => viewers = Some(number(&mut parser, "--viewers", 100, 2_000_000)? as u32),
            Arg::Long("minutes") => minutes = Some(number(&mut parser, "--minutes", 2, 1000)?),
            Arg::Long("full") => full = true,
            Arg::Long("seed") => seed = number(&mut parser, "--seed", 0, u64::MAX)?,
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            other => return Err(unexpected(other)),
        }
    }
    let out = out.ok_or("--out is missing: name a folder for tables and figures, as in --out results")?;
    let viewers = viewers.unwrap_or(if full { 10_000 } else { 1_000 });
    Ok(Command::All(All { out, viewers, minutes: minutes.unwrap_or(if full { 10 } else { 5 }), seed, full }))
}

fn uplinks(parser: &mut Parser) -> Result<Uplinks, String> {
    let word = word(parser)?;
    match word.parse() {
        _ if word == "mixed" => Ok(Uplinks::Mixed),
        Ok(slots @ 1..=1000) => Ok(Uplinks::Equal(slots)),
        _ => Err(format!("--uplinks: {word:?} is neither mixed nor a number from 1 to 1000")),
    }
}

/// One of these words.
fn choice<T: Copy>(parser: &mut Parser, option: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let word = word(parser)?;
    let chosen = choices.iter().find(|c| c.0 == word).map(|c| c.1);
    chosen.ok_or_else(|| {
        let words: Vec<_> = choices.iter().map(|c| c.0).collect();
        format!("{option}: {word:?} is none of {}", words.join(", "))
    })
}

fn unexpected(arg: Arg<'_>) -> String {
    format!("{}; --help shows what is expected", arg.unexpected())
}

fn path(parser: &mut Parser) -> Result<PathBuf, String> {
    Ok(PathBuf::from(parser.value().map_err(|e| e.to_string())?))
}

fn word(parser: &mut Parser) -> Result<String, String> {
    parser.value().map_err(|e| e.to_string())?.string().map_err(|e| e.to_string())
}

fn number(parser: &mut Parser, option: &str, least: u64, most: u64) -> Result<u64, String> {
    let word = word(parser)?;
    let in_range = word.parse().ok().filter(|n| (least..=most).contains(n));
    in_range.ok_or_else(|| format!("{option}: {word:?} is no number from {least} to {most}"))
}

/// A share in percent, with or without its sign: `1%` is 0.01.
fn share(parser: &mut Parser, option: &str) -> Result<f64, String> {
    let word = word(parser)?;
    let percent = word.trim_end_matches('%').parse().ok().filter(|p| (0.0..=100.0).contains(p));
    percent.map(|p: f64| p / 100.0).ok_or_else(|| format!("{option}: {word:?} is no share from 0% to 100%"))
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
    fn overlays_have_defaults_and_shares_are_percents() {
        let Ok(Command::Churn(churn)) = read("churn --nodes 60 --loss 2.5% --replaced-per-minute 20 --svg a")
        else {
            panic!("a churn")
        };
        assert_eq!((churn.nodes, churn.values, churn.lookups, churn.minutes), (60, 60, 6.0, 10));
        assert_eq!((churn.loss, churn.replaced_per_minute), (0.025, 0.2));
        let Ok(Command::Rest(rest)) = read("rest --values 7 --lookups 0 --certified") else {
            panic!("a rest")
        };
        assert_eq!((rest.nodes, rest.values, rest.lookups, rest.loss), (10_000, 7, 0.0, 0.0));
        assert!(rest.certified && !churn.certified);
        assert!(matches!(read("heal"), Ok(Command::Heal(heal)) if heal.nodes == 400));
    }

    #[test]
    fn relayers_die_at_three_distances_unless_one_is_named() {
        let Ok(Command::Crash(crash)) = read("crash") else { panic!("a crash") };
        assert_eq!((crash.viewers, crash.round_trips, crash.leave), (40, vec![20, 80, 200], false));
        let Ok(Command::Crash(leave)) = read("crash --rtt 50 --leave --kills 7 --trace 3") else {
            panic!("a crash")
        };
        assert_eq!((leave.round_trips, leave.leave, leave.kills, leave.trace), (vec![50], true, 7, Some(3)));
        assert!(
            matches!(read("calm --minutes 3"), Ok(Command::Calm(c)) if (c.viewers, c.minutes) == (100, 3))
        );
    }

    #[test]
    fn a_crowd_is_described_in_the_same_words_by_every_command_about_crowds() {
        let line =
            "--viewers 70 --churn 50% --uplinks mixed --sessions lognormal --liars 5 --half-time 30 --seed 9";
        let Ok(Command::Viewers(viewers)) = read(&format!("viewers {line} --profile paper")) else {
            panic!("viewers")
        };
        let Ok(Command::Compare(compare)) = read(&format!("compare {line} --out x")) else {
            panic!("compare")
        };
        assert_eq!((viewers.crowd, viewers.profile), (compare.crowd, Profile::Paper));
        let crowd = viewers.crowd;
        assert_eq!(crowd.stay, Stay::LogNormal { per_minute: 0.5 });
        assert_eq!((crowd.viewers, crowd.uplinks, crowd.liars, crowd.seed), (70, Uplinks::Mixed, 0.05, 9));
        assert_eq!(crowd.mass_leave, Some(Duration::from_secs(30)));
        let Ok(Command::All(all)) = read("all --out x --full") else { panic!("all") };
        assert_eq!((all.viewers, all.minutes), (10_000, 10));
        assert!(matches!(read("validate"), Ok(Command::Validate(v)) if v.crowd.viewers == 100));
    }

    #[test]
    fn every_mistake_has_one_line_that_says_how_to_mend_it() {
        for (line, start) in [
            ("figure16", "--out is missing"),
            ("figure17 --out x", r#"there is no command "figure17""#),
            ("figure16 --out x --viewers 0", r#"--viewers: "0" is no number from 1 to 1000"#),
            ("churn --loss lots", r#"--loss: "lots" is no share from 0% to 100%"#),
            ("churn --nodes 1", r#"--nodes: "1" is no number from 2"#),
            ("rest --svg x", "invalid option '--svg'; --help"),
            ("--nodes 3", "a command comes first; invalid option '--nodes'"),
            ("calm --kills 3", "invalid option '--kills'; --help"),
            ("viewers --uplinks many", r#"--uplinks: "many" is neither mixed nor a number"#),
            ("viewers --profile best", r#"--profile: "best" is none of default, paper"#),
            ("compare --exact", "invalid option '--exact'; --help"),
            ("all", "--out is missing"),
            ("figure16 --out x --colour", "invalid option '--colour'; --help"),
        ] {
            let error = read(line).expect_err(line);
            assert!(error.starts_with(start) && error.lines().count() == 1, "{line}: {error}");
        }
        assert_eq!(read(""), Ok(Command::Help));
    }
}
