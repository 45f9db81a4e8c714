//! SIP: session signalling between viewers and providers (RFC 3261 and what updates it).
//!
//! From the wire inwards:
//!
//! | module | what it is |
//! | --- | --- |
//! | [`msg`] | messages: bytes ↔ typed values, and the judgement of what a wrong request is answered |

pub mod msg;
