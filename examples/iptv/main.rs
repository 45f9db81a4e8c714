//! The host.
#![allow(unreachable_pub)]
mod args;
mod clip;
mod entry;
mod fanout;
mod feed;
mod help;
mod host;
mod reorder;
mod sink;
mod sockets;
mod streams;
mod timer;
mod trouble;
mod ts;
fn main() {}
