//! Peer-to-peer live television as pure protocol state machines.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod bounded;
pub mod chord;
pub mod effect;
pub mod env;
pub mod ids;
pub mod iptv;
pub mod node;
pub mod reload;
pub mod rtp;
#[cfg(feature = "sim")]
pub mod sim;
pub mod sip;
pub mod stats;
pub mod time;
pub mod wire;
