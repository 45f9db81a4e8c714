//! A virtual wire: agents on one clock, datagrams that may get lost, streams that do not.

use bytes::Bytes;
use p2piptv::effect::{Effect, Effects};
use p2piptv::env::{Party, Seeded};
use p2piptv::ids::{CallId, KeyFingerprint, NodeId, StreamId};
use p2piptv::sip::agent::{
    Agent, Config, ContactParams, Context, Fact, Offer, OrderError, Refusal, Target, Transport,
};
use p2piptv::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

/// One way, on every wire.
pub(crate) const LATENCY: Duration = Duration::from_millis(10);

pub(crate) const OFFER: &[u8] = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\n";
pub(crate) const ANSWER: &[u8] = b"v=0\r\no=- 2 2 IN IP4 127.0.0.1\r\ns=-\r\n";

pub(crate) fn ms(n: u64) -> Instant {
    Instant::from_millis(n)
}

pub(crate) struct Side {
    pub(crate) addr: SocketAddr,
    pub(crate) agent: Agent,
    entropy: Seeded,
    effects: Effects<Fact>,
    /// Facts that were not taken yet.
    pub(crate) facts: VecDeque<Fact>,
    /// First lines of everything sent, with the time.
    pub(crate) sent: Vec<(u64, String)>,
    /// Everything sent by datagram or stream.
    pub(crate) messages: Vec<String>,
    accepted: u32,
}

enum Event {
    Datagram { from: SocketAddr, to: SocketAddr, payload: Bytes },
    Opened { side: usize, id: StreamId, peer: SocketAddr },
    Bytes { side: usize, id: StreamId, bytes: Bytes },
    Closed { side: usize, id: StreamId },
}

/// Whether a datagram gets lost.
pub(crate) type Luck = Box<dyn FnMut(&[u8]) -> bool>;

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) sides: Vec<Side>,
    events: BTreeMap<(Instant, u64), Event>,
    seq: u64,
    /// Both ends of each stream.
    streams: BTreeMap<(usize, StreamId), (usize, StreamId)>,
    /// Whether to lose this datagram.
    pub(crate) lose: Luck,
    /// Whether anybody listens for streams.
    pub(crate) listening: bool,
    /// Who each side proves to be where streams are secured.
    pub(crate) proved: Vec<Arc<Party>>,
}

/// The node of a side.
pub(crate) fn node(n: usize) -> NodeId {
    NodeId([n as u8 + 1; 16])
}

/// Whoever has a certificate that binds these Node-IDs.
pub(crate) fn party(node_ids: &[NodeId]) -> Arc<Party> {
    let (node_id, key) = (node_ids[0], KeyFingerprint::of(&node_ids[0].0));
    Arc::new(Party { node_id, node_ids: node_ids.to_vec(), user: None, key, certificate: None })
}

pub(crate) fn addr(n: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 5060 + n as u16))
}

impl World {
    pub(crate) fn new(configs: Vec<Config>) -> Self {
        let side = |(n, config): (usize, Config)| Side {
            addr: config.local,
            agent: Agent::new(config).unwrap(),
            entropy: Seeded::new(n as u64 + 1),
            effects: Effects::new(),
            facts: VecDeque::new(),
            sent: Vec::new(),
            messages: Vec::new(),
            accepted: 0,
        };
        World {
            now: Instant::ZERO,
            proved: (0..configs.len()).map(|n| party(&[node(n)])).collect(),
            sides: configs.into_iter().enumerate().map(side).collect(),
            events: BTreeMap::new(),
            seq: 0,
            streams: BTreeMap::new(),
            lose: Box::new(|_| false),
            listening: true,
        }
    }

    /// Two agents, "0" and "1".
    pub(crate) fn pair(transport: Transport) -> Self {
        World::new((0..2).map(|n| Config { transport, ..Config::new(&n.to_string(), addr(n)) }).collect())
    }

    /// Calls into one agent, and does what it wants done.
    pub(crate) fn with<T>(
        &mut self,
        side: usize,
        f: impl FnOnce(&mut Agent, Instant, &mut Context<'_>) -> T,
    ) -> T {
        let now = self.now;
        let s = &mut self.sides[side];
        let result = f(&mut s.agent, now, &mut Context { entropy: &mut s.entropy, effects: &mut s.effects });
        while let Some(effect) = self.sides[side].effects.pop() {
            self.carry_out(side, effect);
        }
        result
    }

    fn schedule(&mut self, event: Event) {
        self.seq += 1;
        self.events.insert((self.now + LATENCY, self.seq), event);
    }

    fn note(&mut self, side: usize, bytes: &Bytes) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let line = text.lines().next().unwrap_or_default();
        let first = match line.strip_prefix("SIP/2.0 ") {
            Some(status) => status.split(' ').next(),
            None => line.split(' ').next(),
        };
        let s = &mut self.sides[side];
        s.sent.push((self.now.as_millis(), first.unwrap_or_default().to_string()));
        s.messages.push(text);
    }

    fn carry_out(&mut self, side: usize, effect: Effect<Fact>) {
        match effect {
            Effect::Fact(fact) => self.sides[side].facts.push_back(fact),
            Effect::Send { to, payload } => {
                self.note(side, &payload);
                if !(self.lose)(&payload) {
                    let from = self.sides[side].addr;
                    self.schedule(Event::Datagram { from, to, payload });
                }
            }
            Effect::Connect { stream, to } => {
                let other = self.sides.iter().position(|s| s.addr == to).filter(|_| self.listening);
                let Some(other) = other else {
                    return self.schedule(Event::Closed { side, id: stream });
                };
                let accepted = StreamId::accepted(self.sides[other].accepted);
                self.sides[other].accepted += 1;
                self.streams.insert((side, stream), (other, accepted));
                self.streams.insert((other, accepted), (side, stream));
                // The connecting side has a port of its own.
                let ephemeral = SocketAddr::new(self.sides[side].addr.ip(), 40_000 + stream.as_u64() as u16);
                self.schedule(Event::Opened { side: other, id: accepted, peer: ephemeral });
                self.schedule(Event::Opened { side, id: stream, peer: to });
            }
            Effect::Write { stream, bytes } => {
                self.note(side, &bytes);
                if let Some(&(side, id)) = self.streams.get(&(side, stream)) {
                    self.schedule(Event::Bytes { side, id, bytes });
                }
            }
            Effect::Close { stream } => self.cut(side, stream),
            Effect::Associate { .. } | Effect::Dissociate { .. } => panic!("SIP has no associations"),
        }
    }

    /// Breaks a stream: its other end learns of it.
    pub(crate) fn cut(&mut self, side: usize, stream: StreamId) {
        if let Some((side, id)) = self.streams.remove(&(side, stream)) {
            self.streams.remove(&(side, id));
            self.schedule(Event::Closed { side, id });
        }
    }

    /// Runs everything that happens up to this time.
    pub(crate) fn run_until(&mut self, end: u64) {
        let end = ms(end);
        loop {
            let event = self.events.first_key_value().map(|(&(at, _), _)| at);
            let timer = self.sides.iter().filter_map(|s| s.agent.deadline()).min();
            let next = [event, timer].into_iter().flatten().min().filter(|&at| at <= end);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            if timer.is_some_and(|at| at <= self.now) {
                for side in 0..self.sides.len() {
                    self.with(side, |agent, now, ctx| agent.handle_timeout(now, ctx));
                    let deadline = self.sides[side].agent.deadline();
                    assert!(deadline.is_none_or(|at| at > self.now), "K1: {deadline:?} at {:?}", self.now);
                }
                continue;
            }
            let Some((_, event)) = self.events.pop_first() else { break };
            self.deliver(event);
        }
        self.now = self.now.max(end);
    }

    fn deliver(&mut self, event: Event) {
        match event {
            Event::Datagram { from, to, payload } => {
                if let Some(side) = self.sides.iter().position(|s| s.addr == to) {
                    let _ = self.with(side, |agent, now, ctx| agent.handle_datagram(now, from, payload, ctx));
                }
            }
            Event::Opened { side, id, peer } => {
                let other = self.streams.get(&(side, id)).map(|&(other, _)| self.proved[other].clone());
                let secured = self.sides[side].agent.config().is_secured();
                let party = other.filter(|_| secured);
                let _ = self.with(side, |agent, now, ctx| agent.on_stream_opened(now, id, peer, party, ctx));
            }
            Event::Bytes { side, id, bytes } => {
                // A stream keeps no boundaries.
                for half in [bytes.slice(..bytes.len() / 2), bytes.slice(bytes.len() / 2..)] {
                    let _ = self.with(side, |agent, now, ctx| agent.on_stream_bytes(now, id, half, ctx));
                }
            }
            Event::Closed { side, id } => {
                self.with(side, |agent, now, ctx| agent.on_stream_closed(now, id, ctx));
            }
        }
    }

    /// A datagram from somewhere else.
    pub(crate) fn inject(
        &mut self,
        side: usize,
        from: SocketAddr,
        text: &str,
    ) -> Result<(), p2piptv::stats::DropReason> {
        let payload = Bytes::copy_from_slice(text.as_bytes());
        self.with(side, |agent, now, ctx| agent.handle_datagram(now, from, payload, ctx))
    }

    // ---- orders

    pub(crate) fn invite(&mut self, side: usize, call: CallId, to: SocketAddr) -> Result<(), OrderError> {
        let target = Target {
            addr: to,
            transport: None,
            user: "100".into(),
            to: Some("source".into()),
            node_id: None,
        };
        self.invite_as(side, call, target, Bytes::from_static(OFFER))
    }

    pub(crate) fn invite_as(
        &mut self,
        side: usize,
        call: CallId,
        target: Target,
        sdp: Bytes,
    ) -> Result<(), OrderError> {
        let params = ContactParams { slots: Some(2), ..ContactParams::default() };
        let offer = Offer { sdp, urgent: true, params };
        self.with(side, |agent, now, ctx| agent.invite(now, call, target, offer, ctx))
    }

    pub(crate) fn accept(&mut self, side: usize, call: CallId) -> Result<(), OrderError> {
        let params =
            ContactParams { slots: Some(1), depth: Some(0), rescue: true, ..ContactParams::default() };
        self.with(side, |agent, now, ctx| agent.accept(now, call, Bytes::from_static(ANSWER), params, ctx))
    }

    pub(crate) fn queue(&mut self, side: usize, call: CallId) -> Result<(), OrderError> {
        self.with(side, |agent, now, ctx| agent.queue(now, call, ctx))
    }

    pub(crate) fn reject(&mut self, side: usize, call: CallId, refusal: Refusal) -> Result<(), OrderError> {
        self.with(side, |agent, now, ctx| agent.reject(now, call, refusal, ctx))
    }

    pub(crate) fn info(&mut self, side: usize, call: CallId, body: &'static str) -> Result<(), OrderError> {
        self.with(side, |agent, now, ctx| agent.info(now, call, Bytes::from_static(body.as_bytes()), ctx))
    }

    pub(crate) fn bye(
        &mut self,
        side: usize,
        call: CallId,
        body: Option<&'static str>,
    ) -> Result<(), OrderError> {
        let body = body.map(|b| Bytes::from_static(b.as_bytes()));
        self.with(side, |agent, now, ctx| agent.bye(now, call, body, ctx))
    }

    pub(crate) fn cancel(&mut self, side: usize, call: CallId) -> Result<(), OrderError> {
        self.with(side, |agent, now, ctx| agent.cancel(now, call, ctx))
    }

    // ---- what happened

    /// The next fact of this side that is neither a round trip nor a provisional response.
    pub(crate) fn fact(&mut self, side: usize) -> Option<Fact> {
        let facts = &mut self.sides[side].facts;
        while let Some(Fact::RoundTrip { .. } | Fact::Proceeding { .. }) = facts.front() {
            facts.pop_front();
        }
        facts.pop_front()
    }

    /// Facts of this side that were not taken, without those two.
    pub(crate) fn facts_left(&self, side: usize) -> Vec<&Fact> {
        let counts = |f: &&Fact| !matches!(f, Fact::RoundTrip { .. } | Fact::Proceeding { .. });
        self.sides[side].facts.iter().filter(counts).collect()
    }

    /// When this side sent messages that begin so.
    pub(crate) fn times(&self, side: usize, first: &str) -> Vec<u64> {
        self.sides[side].sent.iter().filter(|(_, line)| line == first).map(|&(at, _)| at).collect()
    }

    pub(crate) fn invited(&mut self, side: usize) -> CallId {
        match self.fact(side) {
            Some(Fact::Invited { call, .. }) => call,
            other => panic!("not an invitation: {other:?}"),
        }
    }

    /// A call from side 0 to side 1, confirmed at both ends: its numbers at both.
    pub(crate) fn confirmed_call(&mut self) -> (CallId, CallId) {
        let placed = CallId::placed(7);
        self.invite(0, placed, addr(1)).unwrap();
        self.run_until(self.now.as_millis() + 100);
        let received = self.invited(1);
        self.accept(1, received).unwrap();
        self.run_until(self.now.as_millis() + 100);
        assert!(matches!(self.fact(0), Some(Fact::Answered { call, .. }) if call == placed));
        assert_eq!(self.fact(1), Some(Fact::Confirmed { call: received }));
        (placed, received)
    }

    /// Whether nobody remembers anything (streams aside).
    pub(crate) fn is_quiet(&self) -> bool {
        self.sides.iter().all(|s| s.agent.calls() == 0 && s.agent.transactions() == (0, 0))
    }
}
