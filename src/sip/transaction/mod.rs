//! Transactions (RFC 3261 §17, as corrected by RFC 6026).
//!
//! | module | what it is |
//! | --- | --- |
//! | [`invite_client`] | figure 5 of RFC 6026 |
//! | [`non_invite_client`] | figure 6 of RFC 3261 |
//! | [`invite_server`] | figure 7 of RFC 6026 |
//! | [`non_invite_server`] | figure 8 of RFC 3261 |
//! | `client`, `server` | inputs and actions of the machines, and the two tables with one deadline each |
//! | `key` | which server transaction a request belongs to |
//! | `alarm` | the two clocks of a machine |
//! | `figure` | tests: a machine held against its figure |
//!
//! A machine is one `match (state, input)`; it knows no bytes. A table knows the bytes, the paths and the limits. What
//! they want done goes into an [`Outbox`], in order.

mod alarm;
pub mod client;
#[cfg(test)]
mod figure;
pub mod invite_client;
pub mod invite_server;
mod key;
pub mod non_invite_client;
pub mod non_invite_server;
pub mod server;

pub use client::{Branch, Clients, Outgoing};
pub use invite_client::InviteClient;
pub use invite_server::InviteServer;
pub use key::Key;
pub use non_invite_client::NonInviteClient;
pub use non_invite_server::NonInviteServer;
pub use server::Servers;

use crate::ids::{NodeId, StreamId};
use crate::time::Duration;
use alloc::collections::VecDeque;
use bytes::Bytes;
use core::net::SocketAddr;

/// How a message travels to its next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// A datagram to this address.
    Datagram(SocketAddr),
    /// The stream with this number as long as it is open, otherwise one to this address.
    Stream {
        /// The stream that the message belongs to, if there is one already.
        id: Option<StreamId>,
        /// Where to open one.
        to: SocketAddr,
        /// The node that the message is for, if that is known: nobody else gets it.
        node: Option<NodeId>,
    },
}

impl Path {
    /// Whether the transport repeats what gets lost.
    pub const fn is_reliable(&self) -> bool {
        matches!(self, Path::Stream { .. })
    }

    /// The stream that it belongs to.
    pub const fn stream(&self) -> Option<StreamId> {
        match *self {
            Path::Stream { id, .. } => id,
            Path::Datagram(_) => None,
        }
    }

    /// The address of the next hop.
    pub const fn address(&self) -> SocketAddr {
        match *self {
            Path::Datagram(to) | Path::Stream { to, .. } => to,
        }
    }
}

/// What the tables want done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<U> {
    /// Send a message.
    Send {
        /// Which way.
        path: Path,
        /// The whole message.
        bytes: Bytes,
        /// The client transaction that must know when it cannot be sent.
        client: Option<Branch>,
    },
    /// No response came (Timers B and F). The transaction is gone.
    TimedOut {
        /// Which transaction.
        branch: Branch,
        /// What the user wanted to be reminded of.
        user: U,
    },
    /// The request could not be sent. The transaction is gone.
    Failed {
        /// Which transaction.
        branch: Branch,
        /// What the user wanted to be reminded of.
        user: U,
    },
}

/// What the tables want done, oldest first.
pub type Outbox<U> = VecDeque<Event<U>>;

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
    /// The same, with nothing below a millisecond: a timer that rings at once would ring for ever.
    pub fn clamped(self) -> Self {
        let least = |d: Duration| d.max(Duration::from_millis(1));
        let Timers { t1, t2, t4, d, trying } = self;
        Timers { t1: least(t1), t2: least(t2), t4: least(t4), d: least(d), trying: least(trying) }
    }

    /// 64*T1: Timers B, F, H, J, L and M.
    pub const fn t1_64(&self) -> Duration {
        self.t1.saturating_mul(64)
    }
}
