//! What a plane's machine does during one call: things to send, and facts for the policy, in the order they were caused.
//!
//! A machine below [`Node`](crate::node::Node) keeps no output queue: it writes into an [`Effects`] that the caller
//! passes in, so nothing inside can be left undrained.

use crate::ids::StreamId;
use alloc::collections::VecDeque;
use bytes::Bytes;
use core::net::SocketAddr;

/// One thing that a machine did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<F> {
    /// Send a datagram on the machine's plane.
    Send {
        /// Where to.
        to: SocketAddr,
        /// The whole datagram.
        payload: Bytes,
    },
    /// Open a stream.
    Connect {
        /// The number under which the host shall report on it.
        stream: StreamId,
        /// Where to.
        to: SocketAddr,
    },
    /// Write to a stream.
    Write {
        /// Which one.
        stream: StreamId,
        /// What to write, after everything written before.
        bytes: Bytes,
    },
    /// Close a stream once everything written has left.
    Close {
        /// Which one.
        stream: StreamId,
    },
    /// Secure the way of datagrams to an address: begin a DTLS handshake. What is sent there follows it.
    Associate {
        /// Where to.
        to: SocketAddr,
    },
    /// End the DTLS association with an address once everything sent has left.
    Dissociate {
        /// Which one.
        to: SocketAddr,
    },
    /// Something the policy must know.
    Fact(F),
}

/// The effects of one call, oldest first.
#[derive(Clone, Debug)]
pub struct Effects<F>(VecDeque<Effect<F>>);

impl<F> Default for Effects<F> {
    fn default() -> Self {
        Effects(VecDeque::new())
    }
}

impl<F> Effects<F> {
    /// No effects yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends a datagram.
    pub fn send(&mut self, to: SocketAddr, payload: Bytes) {
        self.0.push_back(Effect::Send { to, payload });
    }

    /// States a fact.
    pub fn fact(&mut self, fact: F) {
        self.0.push_back(Effect::Fact(fact));
    }

    /// Any effect.
    pub fn push(&mut self, effect: Effect<F>) {
        self.0.push_back(effect);
    }

    /// Takes the oldest effect.
    pub fn pop(&mut self) -> Option<Effect<F>> {
        self.0.pop_front()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes all of them, oldest first.
    pub fn drain(&mut self) -> impl Iterator<Item = Effect<F>> + '_ {
        self.0.drain(..)
    }
}
