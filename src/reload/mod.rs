//! RELOAD (RFC 6940).
//!
//! | module | what |
//! | --- | --- |
//! | [`codec`] | bytes ↔ values |

pub mod codec;
