//! One overlay link: frames, acknowledgements for what arrives, a sender for what leaves (RFC 6940 §6.6).
//!
//! | file | what |
//! | --- | --- |
//! | `received` | the bitmap of ACKs (§6.6.2) |
//! | `reader` | frames out of a stream |
//! | `round_trip` | RTO from measured round trips (RFC 6298) |
//! | `simple_reliability` | the sender over datagrams (§6.6.3) |
//! | `watch` | the sender over a stream (§6.6.5) |

mod reader;
mod received;
mod round_trip;
mod simple_reliability;
mod watch;

pub use reader::{Piece, Reader};
pub use received::Received;
pub use round_trip::RoundTrip;
pub use simple_reliability::{Reliability, SimpleReliability};
pub use watch::Watch;

use crate::bounded::Full;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use bytes::Bytes;

/// A data frame that shall leave now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmission {
    /// The framing sequence number: new for every transmission (FR-1).
    pub sequence: u32,
    /// The message.
    pub message: Bytes,
}

/// What became of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// Nothing was acknowledged for too long: nothing should be routed here for now (LR-8, LT-3).
    Degraded,
    /// An ACK came after all (LT-5).
    Restored,
    /// The link is closed: the last transmission was not acknowledged either (LR-7), or nothing came for too long (LT-3).
    Failed,
}

/// How a link sends.
#[derive(Clone, Debug)]
pub enum Sender {
    /// Over datagrams.
    SimpleReliability(SimpleReliability),
    /// Over a stream.
    Watch(Watch),
}

/// One link. It knows numbers and times; who is at the other end, and how a frame is written, others know.
#[derive(Clone, Debug)]
pub struct Link {
    received: Received,
    sender: Sender,
}

impl Link {
    /// A new link.
    pub fn new(sender: Sender) -> Self {
        Link { received: Received::default(), sender }
    }

    /// A data frame arrived. Returns the `received` bitmap of the ACK that answers it at once (FR-2).
    pub fn on_data(&mut self, sequence: u32) -> u32 {
        self.received.on_data(sequence)
    }

    /// An ACK arrived. Its bitmap is advisory and not looked at (FR-4).
    pub fn on_ack(&mut self, now: Instant, sequence: u32) -> Option<LinkEvent> {
        match &mut self.sender {
            Sender::SimpleReliability(sender) => sender.on_ack(now, sequence),
            Sender::Watch(sender) => sender.on_ack(now, sequence),
        }
    }

    /// Sends a message, now or when its turn comes. Refused when too many wait.
    pub fn send(&mut self, now: Instant, message: Bytes) -> Result<Option<Transmission>, Full> {
        match &mut self.sender {
            Sender::SimpleReliability(sender) => sender.send(now, message),
            Sender::Watch(sender) => sender.send(now, message).map(Some),
        }
    }

    /// What waits leaves at once, each message once and unacknowledged: the last thing that a node does which goes away.
    pub fn flush(&mut self) -> impl Iterator<Item = Transmission> {
        core::iter::from_fn(|| match &mut self.sender {
            Sender::SimpleReliability(sender) => sender.flush_one(),
            Sender::Watch(_) => None,
        })
    }

    /// Everything that was not acknowledged, so that it can go another way. A stream keeps nothing: what was written to it
    /// is the network's.
    pub fn strand(&mut self) -> Vec<Bytes> {
        match &mut self.sender {
            Sender::SimpleReliability(sender) => sender.strand(),
            Sender::Watch(_) => Vec::new(),
        }
    }

    /// Fires what is due: at most one transmission, at most one event.
    pub fn handle_timeout(&mut self, now: Instant) -> (Option<Transmission>, Option<LinkEvent>) {
        match &mut self.sender {
            Sender::SimpleReliability(sender) => sender.handle_timeout(now),
            Sender::Watch(sender) => (None, sender.handle_timeout(now)),
        }
    }

    /// When [`Link::handle_timeout`] has something to do; at once, if it has done only a part of it.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.sender {
            Sender::SimpleReliability(sender) => sender.deadline(),
            Sender::Watch(sender) => sender.deadline(),
        }
    }

    /// Whether what can go another way should do so: what acknowledgements let out is less than what comes. A stream takes
    /// what it is given.
    pub fn is_backlogged(&self, now: Instant) -> bool {
        match &self.sender {
            Sender::SimpleReliability(sender) => sender.is_backlogged(now),
            Sender::Watch(_) => false,
        }
    }

    /// How long acknowledgements take, smoothed; none before the first one.
    pub fn round_trip(&self) -> Option<Duration> {
        match &self.sender {
            Sender::SimpleReliability(sender) => sender.round_trip(),
            Sender::Watch(sender) => sender.round_trip(),
        }
    }

    /// Whether nothing should be routed here for now.
    pub fn is_degraded(&self) -> bool {
        match &self.sender {
            Sender::SimpleReliability(sender) => sender.is_degraded(),
            Sender::Watch(sender) => sender.is_degraded(),
        }
    }
}
