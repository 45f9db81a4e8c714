//! The host.
#![allow(unreachable_pub)]
mod args;
mod clip;
mod entry;
mod fanout;
mod feed;
#[path = "../common/figure16.rs"]
mod figure16;
mod help;
mod host;
mod reorder;
mod report;
mod screen;
mod sink;
mod sockets;
mod streams;
mod timer;
mod trouble;
mod ts;
fn main() {}
