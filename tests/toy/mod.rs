//! A machine that is just large enough to try the simulated network with: it pings its peers, echoes streams, and
//! passes media on to its children.

#![allow(dead_code, reason = "each test binary uses its own part")]

use bytes::Bytes;
use p2piptv::env::{Entropy, Seeded};
use p2piptv::ids::{ChannelId, StreamId};
use p2piptv::node::{Datagram, Output, Receipt, StreamInput};
use p2piptv::sim::Machine;
use p2piptv::stats::{DropReason, Plane};
use p2piptv::time::{Duration, Instant};
use std::collections::VecDeque;
use std::net::SocketAddr;

pub(crate) const CHANNEL: ChannelId = ChannelId(0);
pub(crate) const PERIOD: Duration = Duration::from_secs(1);

pub(crate) struct Toy {
    now: Instant,
    next_ping: Instant,
    entropy: Seeded,
    outputs: VecDeque<Output>,
    streams: u32,
    pub(crate) peers: Vec<SocketAddr>,
    pub(crate) children: Vec<SocketAddr>,
    /// Everything that happened to it, in its own words.
    pub(crate) log: Vec<(Instant, String)>,
}

impl Toy {
    pub(crate) fn new(seed: u64) -> Self {
        Toy {
            now: Instant::ZERO,
            next_ping: Instant::ZERO + PERIOD,
            entropy: Seeded::new(seed),
            outputs: VecDeque::new(),
            streams: 0,
            peers: Vec::new(),
            children: Vec::new(),
            log: Vec::new(),
        }
    }

    /// Every input comes through here: time goes on, and due timers fire.
    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.next_ping <= self.now {
            self.next_ping = self.now + PERIOD;
            let nonce = self.entropy.next_u64();
            for &to in &self.peers {
                let payload = Bytes::from(format!("ping {nonce:x}"));
                self.outputs.push_back(Output::Transmit { plane: Plane::Overlay, to, payload });
            }
        }
    }

    fn note(&mut self, what: impl Into<String>) {
        self.log.push((self.now, what.into()));
    }

    /// When something was noted that starts like this.
    pub(crate) fn times(&self, start: &str) -> Vec<Instant> {
        self.log.iter().filter(|(_, what)| what.starts_with(start)).map(|&(at, _)| at).collect()
    }

    pub(crate) fn dial(&mut self, now: Instant, to: SocketAddr) -> StreamId {
        self.advance(now);
        let stream = StreamId::requested(self.streams);
        self.streams += 1;
        self.outputs.push_back(Output::Connect { stream, plane: Plane::Signalling, to });
        stream
    }

    pub(crate) fn write(&mut self, now: Instant, stream: StreamId, bytes: &'static [u8]) {
        self.advance(now);
        self.outputs.push_back(Output::Write { stream, bytes: Bytes::from_static(bytes) });
    }

    pub(crate) fn close(&mut self, now: Instant, stream: StreamId) {
        self.advance(now);
        self.outputs.push_back(Output::Close { stream });
    }

    pub(crate) fn push_media(&mut self, now: Instant, packet: Bytes) {
        self.advance(now);
        self.outputs.push_back(Output::Media { channel: CHANNEL, packets: vec![packet] });
    }
}

impl Machine for Toy {
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) -> Receipt {
        self.advance(now);
        let Datagram { plane, from, payload } = datagram;
        match plane {
            Plane::Overlay if payload.starts_with(b"ping ") => {
                self.note(format!("ping from {from}"));
                let payload = [b"pong ", &payload[5..]].concat().into();
                self.outputs.push_back(Output::Transmit { plane, to: from, payload });
            }
            Plane::Overlay if payload.starts_with(b"pong ") => self.note(format!("pong from {from}")),
            Plane::Media => {
                self.note("media");
                self.outputs.push_back(Output::Media { channel: CHANNEL, packets: vec![payload] });
            }
            _ => return Receipt::Dropped(DropReason::NotInUse),
        }
        Receipt::Accepted
    }

    fn handle_stream(&mut self, now: Instant, stream: StreamId, input: StreamInput) {
        self.advance(now);
        match input {
            StreamInput::Opened { peer, .. } => self.note(format!("opened {peer}")),
            StreamInput::Bytes(bytes) => {
                self.note(format!("read {}", String::from_utf8_lossy(&bytes)));
                if !stream.is_requested() {
                    self.outputs.push_back(Output::Write { stream, bytes });
                }
            }
            StreamInput::Writable => self.note("writable"),
            StreamInput::Closed => self.note("closed"),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    fn handle_unreachable(&mut self, now: Instant, _: Plane, to: SocketAddr) {
        self.advance(now);
        self.note(format!("unreachable {to}"));
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Instant> {
        Some(if self.outputs.is_empty() { self.next_ping } else { self.now })
    }

    fn children(&self, _: ChannelId) -> &[SocketAddr] {
        &self.children
    }
}
