//! What lies beneath secured links in the small network: streams that keep their order and wait out what TCP waits out,
//! DTLS associations, and the certificate of each node.

use super::network::{Net, address};
use bytes::Bytes;
use p2piptv::effect::Effect;
use p2piptv::env::{Entropy, Party};
use p2piptv::ids::{KeyFingerprint, NodeId, StreamId};
use p2piptv::reload::overlay::Fact;
use p2piptv::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

/// One end of a stream: its node and the node's name for it.
type End = (usize, StreamId);

#[derive(Clone, Debug)]
enum StreamEvent {
    Opened,
    Bytes(Bytes),
    Closed,
}

#[derive(Clone, Copy, Debug)]
enum Happening {
    /// The next event of a stream reaches this end.
    Stream(End),
    /// The DTLS handshake is done for the first of these nodes, and then for the second.
    Associated(usize, usize, bool),
    /// The first node hears that the second has ended the association.
    Dissociated(usize, usize),
}

#[derive(Default)]
pub(super) struct Underlay {
    ends: BTreeMap<End, End>,
    pipes: BTreeMap<End, VecDeque<StreamEvent>>,
    happenings: BTreeMap<(Instant, u64), Happening>,
    associations: Vec<(usize, usize)>,
    accepted: u32,
    counter: u64,
    /// The Node-IDs in the certificates of nodes that have more than one.
    pub(super) many: BTreeMap<usize, Vec<NodeId>>,
}

impl Underlay {
    pub(super) fn next(&self) -> Option<Instant> {
        self.happenings.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn are_associated(&self, a: usize, b: usize) -> bool {
        self.associations.contains(&(a, b))
    }

    /// Streams that are open at both ends, or about to be.
    pub(super) fn streams(&self) -> usize {
        self.ends.len() / 2
    }

    /// A node was switched off and knows none of its streams and associations any more.
    pub(super) fn forget(&mut self, i: usize) {
        self.ends.retain(|end, _| end.0 != i);
        self.associations.retain(|pair| pair.0 != i);
    }

    fn schedule(&mut self, at: Instant, what: Happening) {
        self.counter += 1;
        self.happenings.insert((at, self.counter), what);
    }
}

/// The certificate of a node: its key is told from its Node-ID.
pub(super) fn party(node_ids: &[NodeId]) -> Arc<Party> {
    let key = KeyFingerprint::of(&node_ids[0].0);
    Arc::new(Party { node_id: node_ids[0], node_ids: node_ids.to_vec(), user: None, key, certificate: None })
}

impl Net {
    fn party(&self, i: usize) -> Arc<Party> {
        party(self.underlay.many.get(&i).unwrap_or(&vec![self.id(i)]))
    }

    fn latency(&mut self) -> Duration {
        Duration::from_micros(5_000 + self.entropy.below(45_000))
    }

    fn say(&mut self, to: End, event: StreamEvent, delay: Duration) {
        self.underlay.pipes.entry(to).or_default().push_back(event);
        // The pipe keeps the order, whatever the order of these.
        self.underlay.schedule(self.now + delay, Happening::Stream(to));
    }

    pub(super) fn carry_out(&mut self, i: usize, effect: Effect<Fact>) {
        match effect {
            Effect::Connect { stream, to } => {
                let end = (i, stream);
                match (0..self.nodes.len()).find(|&n| address(n) == to) {
                    None => self.say(end, StreamEvent::Closed, Duration::from_millis(50)),
                    Some(n) => {
                        self.underlay.accepted += 1;
                        let other = (n, StreamId::accepted(self.underlay.accepted));
                        self.underlay.ends.insert(end, other);
                        self.underlay.ends.insert(other, end);
                        let handshake = self.latency() * 4;
                        self.say(end, StreamEvent::Opened, handshake);
                    }
                }
            }
            Effect::Write { stream, bytes } => {
                self.nodes[i].sent += 1;
                self.frames.push(bytes.clone());
                if let Some(&other) = self.underlay.ends.get(&(i, stream)) {
                    let latency = self.latency();
                    self.say(other, StreamEvent::Bytes(bytes), latency);
                }
            }
            Effect::Close { stream } => {
                if let Some(other) = self.underlay.ends.remove(&(i, stream)) {
                    let latency = self.latency();
                    self.say(other, StreamEvent::Closed, latency);
                }
            }
            Effect::Associate { to } => {
                if let Some(n) = (0..self.nodes.len()).find(|&n| address(n) == to) {
                    let at = self.now + self.latency() * 4;
                    self.underlay.schedule(at, Happening::Associated(i, n, true));
                }
            }
            Effect::Dissociate { to } => {
                if let Some(n) = (0..self.nodes.len()).find(|&n| address(n) == to) {
                    self.underlay.associations.retain(|pair| *pair != (i, n));
                    let at = self.now + self.latency();
                    self.underlay.schedule(at, Happening::Dissociated(n, i));
                }
            }
            Effect::Send { .. } | Effect::Fact(_) => unreachable!("carried out by the network"),
        }
    }

    /// Lets the next thing happen.
    pub(super) fn step_underlay(&mut self) {
        let Some(((at, _), what)) = self.underlay.happenings.pop_first() else { return };
        self.now = self.now.max(at);
        match what {
            Happening::Stream(end) => self.step_stream(end),
            Happening::Associated(a, b, first) => {
                if self.nodes[a].alive && self.nodes[b].alive && !self.are_apart(a, b) {
                    self.underlay.associations.push((a, b));
                    let party = self.party(b);
                    let result = self.with(a, |o, now, ctx| o.on_association(now, address(b), party, ctx));
                    self.count(a, result);
                    if first {
                        let at = self.now + self.latency();
                        self.underlay.schedule(at, Happening::Associated(b, a, false));
                    }
                }
            }
            Happening::Dissociated(a, b) => {
                if self.nodes[a].alive && self.underlay.are_associated(a, b) {
                    self.underlay.associations.retain(|pair| *pair != (a, b));
                    self.with(a, |o, now, ctx| o.handle_unreachable(now, address(b), ctx));
                }
            }
        }
    }

    fn step_stream(&mut self, end: End) {
        let (i, stream) = end;
        let other = self.underlay.ends.get(&end).copied();
        if other.is_some_and(|(n, _)| self.are_apart(i, n)) {
            // TCP tries again.
            let at = self.now + Duration::from_millis(300);
            return self.underlay.schedule(at, Happening::Stream(end));
        }
        let event = self.underlay.pipes.get_mut(&end).and_then(VecDeque::pop_front).unwrap();
        if !self.nodes[i].alive {
            return;
        }
        match (event, other) {
            (StreamEvent::Opened, Some((n, _))) if !self.nodes[n].alive => {}
            (StreamEvent::Opened, Some((n, other))) => {
                if stream.is_requested() {
                    let latency = self.latency();
                    self.say((n, other), StreamEvent::Opened, latency);
                }
                // Whoever dialled has a port of its own.
                let port = if stream.is_requested() { 6084 } else { 40_000 + stream.as_u64() as u16 };
                let peer = SocketAddr::new(address(n).ip(), port);
                let party = self.party(n);
                let result =
                    self.with(i, |o, now, ctx| o.on_stream_opened(now, stream, peer, Some(party), ctx));
                self.count(i, result);
            }
            (StreamEvent::Bytes(bytes), Some(_)) => {
                let result = self.with(i, |o, now, ctx| o.on_stream_bytes(now, stream, bytes, ctx));
                self.count(i, result);
            }
            (StreamEvent::Closed, _) => {
                self.underlay.ends.remove(&end);
                self.with(i, |o, now, ctx| o.on_stream_closed(now, stream, ctx));
            }
            (StreamEvent::Bytes(_), None) => {
                // Nobody knows this stream here, which its other end is told.
                let other = self.underlay.ends.iter().find(|(_, to)| **to == end).map(|(other, _)| *other);
                if let Some(other) = other {
                    self.say(other, StreamEvent::Closed, Duration::from_millis(20));
                }
            }
            // Given up in the meantime.
            (StreamEvent::Opened, None) => {}
        }
    }
}
