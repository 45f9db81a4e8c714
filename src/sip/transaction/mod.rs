//! Transactions (RFC 3261 §17, as corrected by RFC 6026).

use crate::time::Duration;

/// The values that every timer of RFC 3261 table 4 is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// The estimate of a round trip.
    pub t1: Duration,
    /// The longest interval between retransmissions of a non-INVITE request or an INVITE response.
    pub t2: Duration,
    /// How long a message may stay in the network.
    pub t4: Duration,
    /// Timer D over unreliable transports: at least 32 s (RFC 6026 §8.4).
    pub d: Duration,
    /// An INVITE that the user has not answered by then gets a 100 (RFC 3261 §17.2.1).
    pub trying: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Timers {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            d: Duration::from_secs(32),
            trying: Duration::from_millis(200),
        }
    }
}

impl Timers {
    /// 64*T1: Timers B, F, H, J, L and M.
    pub const fn t1_64(&self) -> Duration {
        self.t1.saturating_mul(64)
    }
}
