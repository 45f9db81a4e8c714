//! CHORD-RELOAD (RFC 6940 §10): the ring as tables.
//!
//! | file | what |
//! | --- | --- |
//! | `ring` | distances and ranges modulo 2^128 |
//! | `table` | [`Chord`]: the Routing Table, and what follows from it |

mod ring;
mod table;

pub use ring::{Range, distance};
pub use table::{Chord, FINGERS, NEIGHBORS, REPLICAS};
