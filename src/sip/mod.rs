//! SIP: session signalling between viewers and providers (RFC 3261 and what updates it).
//!
//! From the wire inwards:
//!
//! | module | what it is |
//! | --- | --- |
//! | [`msg`] | messages: bytes ↔ typed values, and the judgement of what a wrong request is answered |
//! | [`sdp`] | session descriptions, offer and answer |
//! | [`sdes`] | the key for the RTCP of a medium in its description (RFC 4568) |
//! | [`body`] | what INFO and BYE say about the tree |
//! | [`stream`] | messages on a TCP stream |
//! | [`transaction`] | RFC 3261 §17 and RFC 6026: the four state machines, and the tables that hold them |
//! | [`dialog`] | RFC 3261 §12: what two agents remember about each other between an INVITE and its BYE |
//! | [`agent`] | the plane's machine: calls, INFO, BYE; orders in, facts out |
//! | `arbitrary` | generators of all these for fuzzing and property tests (feature `arbitrary`) |

pub mod agent;
#[cfg(feature = "arbitrary")]
mod arbitrary;
pub mod body;
pub mod dialog;
pub mod msg;
pub mod sdes;
pub mod sdp;
pub mod stream;
pub mod transaction;
