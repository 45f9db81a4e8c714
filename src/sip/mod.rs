//! The signalling plane: SIP.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`transaction`] | RFC 3261 §17 and RFC 6026: the four state machines, and the table that holds them |
//! | [`agent`] | the plane's machine: calls, INFO, BYE; orders in, facts out |

pub mod agent;
pub mod transaction;
