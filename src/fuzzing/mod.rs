//! The bodies of the fuzz targets: each takes any bytes, and panics when a law is broken.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `codecs` | one target for each parser |
//! | `certificate` | certificates and the names in them, with the feature `tls` |
//! | `srtcp` | two ends of a call, and whoever writes in their place |
//! | `media` | a source that signs, and relays that check |
//! | `machine` | any calls in any order on one machine of any kind |
//! | `script` | letters and operands: how `world` reads its bytes |
//! | `world` | five nodes, a network, a host for each, and a script of what befalls them |
//! | `cast` | who is who in such a world |
//! | `secured` | what a world of secured nodes has besides |
//! | `forge` | messages of a peer who knows the protocol and means ill |
//!
//! They stand here so that a fuzzer, the replay of its corpus in plain tests, and property tests all run the same code.
//! Nothing of this is part of the interface of the crate.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a broken law has to stop the fuzzer")]

mod cast;
#[cfg(feature = "tls")]
mod certificate;
mod codecs;
mod forge;
mod machine;
mod media;
mod script;
mod secured;
mod srtcp;
mod world;

#[cfg(feature = "tls")]
pub use certificate::certificate;
pub use codecs::{configuration, iptv_body, reload_frame, reload_message, rtp, sdp, sip_message, sip_stream};
pub use machine::{node_ops, operate};
pub use media::media_world;
pub use srtcp::srtcp;
pub use world::{node_world, secured_world};
