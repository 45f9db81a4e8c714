//! The library in virtual time on a simulated network: the whole system, or overlays with nothing on top.
//!
//! | file | what |
//! | --- | --- |
//! | `args` | the command line |
//! | `play`, `figure16` | figure 16: one run of the whole system, and its drawing |
//! | `churn`, `rest`, `heal` | the commands that play overlays |
//! | `crash`, `calm` | whole nodes: relayers die, or nobody does |
//! | `viewers` | ten thousand or a million viewers of one channel |
//! | `compare` | the same crowd before every system |
//! | `all`, `plot` | every table and figure about crowds |
//! | `validate` | whole nodes, packet by packet, beside the flow |
//! | `broadcast` | whole nodes on air, for figure 16 and `validate` |
//! | `report` | progress, results on the screen and as JSON, the drawing |

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "an example runs on an operating system"
)]
#![allow(unreachable_pub, missing_docs, reason = "an example has no users but itself")]

mod all;
mod args;
mod broadcast;
mod calm;
mod churn;
mod compare;
mod crash;
#[path = "../common/figure16.rs"]
mod figure16;

mod heal;
mod play;
mod plot;
mod report;
mod rest;
mod validate;
mod viewers;

use args::Command;
use p2piptv::sim::pcapng::Capture;
use p2piptv::time::{Duration, UnixMillis};
use play::{Setting, play};
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => {
            print!("{}", args::HELP);
            Ok(())
        }
        Ok(Command::Figure16(figure)) => draw(figure),
        Ok(Command::Churn(setting)) => churn::churn(&setting),
        Ok(Command::Rest(setting)) => rest::rest(&setting),
        Ok(Command::Heal(setting)) => heal::heal(&setting),
        Ok(Command::Crash(wanted)) => crash::crash(&wanted),
        Ok(Command::Calm(wanted)) => calm::calm(&wanted),
        Ok(Command::Compare(wanted)) => compare::compare(&wanted),
        Ok(Command::All(wanted)) => all::all(&wanted, draw),
        Ok(Command::Validate(wanted)) => validate::validate(&wanted),
        Ok(Command::Viewers(wanted)) => viewers::viewers(&wanted),
        Err(mistake) => Err(mistake.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("simulate: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A server is a source that has room for everybody.
fn draw(figure: args::Figure16) -> Result<(), Box<dyn Error>> {
    let every = Duration::from_secs(figure.every);
    let p2p = Setting { viewers: figure.viewers, capacity: figure.capacity, every, seed: figure.seed };
    let server = play(Setting { capacity: u16::try_from(figure.viewers)?, ..p2p }, |_| ())?;
    // A capture that cannot be written to its end is one that ends early.
    let mut capture = match &figure.pcap {
        Some(path) => {
            let mut file =
                BufWriter::new(File::create(path).map_err(|e| format!("--pcap {}: {e}", path.display()))?);
            Some(Capture::new(UnixMillis(0), move |bytes: &[u8]| drop(file.write_all(bytes))))
        }
        None => None,
    };
    let p2p = play(p2p, move |record| {
        if let Some(capture) = &mut capture {
            capture.record(record);
        }
        if figure.trace {
            println!("{record}");
        }
    })?;
    println!("{} of {} viewers play, server-based", server.playing, figure.viewers);
    println!(
        "{} of {} viewers play, P2P, with {} elections",
        p2p.playing,
        figure.viewers,
        p2p.elections.len()
    );
    figure16::Figure16 { server: server.source, p2p: p2p.source, elections: p2p.elections }
        .write(&figure.out)?;
    println!("drawn: {}", figure.out.join("figure16.svg").display());
    Ok(())
}
