//! One line for everything that travels or befalls a node.

use super::machine::NodeIndex;
use super::summary::summarise;
use crate::node::Event;
use crate::stats::Plane;
use crate::time::{Duration, Instant};
use bytes::Bytes;
use core::fmt;
use core::net::SocketAddr;

/// Something that happened in a simulated network. Its `Display` is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A packet left its sender.
    Packet {
        /// When.
        at: Instant,
        /// The sending socket.
        from: SocketAddr,
        /// The receiving socket.
        to: SocketAddr,
        /// What it travels on.
        plane: Plane,
        /// What it carries.
        what: What,
    },
    /// A node says something to its user.
    Said {
        /// When.
        at: Instant,
        /// Which node.
        node: NodeIndex,
        /// What.
        event: Event,
    },
    /// The script did something to a node.
    Befell {
        /// When.
        at: Instant,
        /// Which node.
        node: NodeIndex,
        /// What, in a few words.
        what: &'static str,
    },
}

/// What travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A UDP datagram.
    Datagram {
        /// All of it.
        payload: Bytes,
        /// What becomes of it.
        fate: Fate,
    },
    /// An ICMP error: nobody listens at `from`.
    Unreachable,
    /// A TCP stream is being opened.
    Opened,
    /// A chunk of a TCP stream.
    Bytes(Bytes),
    /// A TCP stream is being closed.
    Closed,
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives after this long (if its receiver lives until then).
    Arrives(Duration),
    /// It arrives a second time, after this long.
    ArrivesAgain(Duration),
    /// It is lost by chance.
    Lost,
    /// The path is cut.
    Cut,
    /// There is no such host or socket.
    NoSuchAddress,
    /// The receiver was frozen and its socket's buffer full.
    BufferFull,
}

impl Record {
    /// When it happened.
    pub const fn at(&self) -> Instant {
        match self {
            Record::Packet { at, .. } | Record::Said { at, .. } | Record::Befell { at, .. } => *at,
        }
    }
}

/// A node's index where the address is one of the simulation's, else the address.
struct Who(SocketAddr);

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NodeIndex::of(self.0.ip()) {
            Some(node) => write!(f, "{node}"),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5}.{:06} ", self.at().as_micros() / 1_000_000, self.at().as_micros() % 1_000_000)?;
        match self {
            Record::Packet { from, to, plane, what, .. } => {
                write!(f, "{} > {} ", Who(*from), Who(*to))?;
                match what {
                    What::Datagram { payload, fate } => write!(f, "{}{fate}", summarise(*plane, payload)),
                    What::Unreachable => f.write_str("ICMP port unreachable"),
                    What::Opened => f.write_str("TCP open"),
                    What::Bytes(bytes) => write!(f, "TCP {}", summarise(*plane, bytes)),
                    What::Closed => f.write_str("TCP close"),
                }
            }
            Record::Said { node, event, .. } => write!(f, "{node} says {event:?}"),
            Record::Befell { node, what, .. } => write!(f, "{node} {what}"),
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fate::Arrives(_) => "",
            Fate::ArrivesAgain(_) => " (again)",
            Fate::Lost => " (lost)",
            Fate::Cut => " (cut)",
            Fate::NoSuchAddress => " (no such address)",
            Fate::BufferFull => " (buffer full)",
        })
    }
}
