//! Peer-to-peer television on this machine: a demonstration in one process, and every role as a process of its own.
//!
//! The library does no input and no output; everything that touches a socket, a clock, a file or the screen is here.
//!
//! | module | what it is |
//! | --- | --- |
//! | `args`, `help`, `trouble` | the command line, and everything that can be wrong with it or go wrong later |
//! | `host`, `sockets`, `streams`, `timer`, `stop` | many nodes on one poll |
//! | `fanout` | sending runs of packets to many children |
//! | `receiver` | receiving without a buffer per packet, into buffers that come back |
//! | `ts`, `clip`, `feed` | where a source's picture comes from |
//! | `reorder`, `entry`, `sink` | where a viewer's picture goes |
//! | `member`, `inbox`, `news` | a node of this host, what it brings, what that means in words |
//! | `process`, `uplink` | one node in a process of its own, and how many children its uplink carries |
//! | `role` | bootstrap, source, watch, peer, channel |
//! | `ca` | the authority of an overlay: keys and certificates in files |
//! | `overlay` | configuration documents in files |
//! | `demo`, `director`, `screen`, `silence`, `report`, `figure16` | the demonstration |

mod args;
mod ca;
mod clip;
mod demo;
mod director;
mod entry;
mod fanout;
mod feed;
#[path = "../common/figure16.rs"]
mod figure16;
mod help;
mod host;
mod inbox;
mod member;
mod news;
mod overlay;
mod process;
mod receiver;
mod reorder;
mod report;
mod role;
#[cfg(test)]
mod scratch;
mod screen;
mod silence;
mod sink;
mod sockets;
mod stop;
mod streams;
mod timer;
mod trouble;
mod ts;
mod uplink;

use args::Command;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = match args::parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("iptv: {error}");
            return ExitCode::from(2);
        }
    };
    let done = match &command {
        Command::Help(text) => {
            print!("{text}");
            Ok(())
        }
        Command::Demo(asked) => demo::run(asked),
        Command::Bootstrap(asked) => role::bootstrap(asked),
        Command::Peer(asked) => role::peer(asked),
        Command::Channel(asked) => role::channel(asked),
        Command::Ca(asked) => ca::run(asked),
        Command::Overlay(asked) => overlay::run(asked),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("iptv: {trouble}");
            ExitCode::FAILURE
        }
    }
}
