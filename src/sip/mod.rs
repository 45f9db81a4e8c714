//! SIP: session signalling between viewers and providers (RFC 3261 and what updates it).
//!
//! From the wire inwards:
//!
//! | module | what it is |
//! | --- | --- |
//! | [`msg`] | messages: bytes ↔ typed values, and the judgement of what a wrong request is answered |
//! | [`sdp`] | session descriptions, offer and answer |
//! | [`body`] | what INFO and BYE say about the tree |
//! | [`stream`] | messages on a TCP stream |

pub mod body;
pub mod msg;
pub mod sdp;
pub mod stream;
