//! The host.
#![allow(unreachable_pub)]
mod clip;
mod fanout;
mod host;
mod sockets;
mod streams;
mod timer;
mod ts;
fn main() {}
