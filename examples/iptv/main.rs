//! The host.
#![allow(unreachable_pub)]
mod clip;
mod timer;
mod ts;
fn main() {}
