//! One member of an overlay over secured links, and the other ends of its streams: said to and heard byte by byte.

use super::signing::Counting;
use super::underlay::party;
use super::wire::{FAR, ME, OVERLAY, PEER, anywhere, attach, away, compose, error_in, home, ping};
use bytes::Bytes;
use p2piptv::chord::Chord;
use p2piptv::effect::{Effect, Effects};
use p2piptv::env::{Party, Seeded};
use p2piptv::ids::{KeyFingerprint, NodeId, StreamId};
use p2piptv::reload::codec::body::{AttachReqAns, FindReq};
use p2piptv::reload::codec::{
    Body, ChordTables, ChordUpdate, Destination, ErrorCode, Frame, KindId, Message, MessageCode,
    MessageContents, OverlayLinkType,
};
use p2piptv::reload::overlay::{Config, Context, Fact, LinkSecurity, Overlay};
use p2piptv::reload::topology::Topology;
use p2piptv::stats::DropReason;
use p2piptv::time::{Duration, Instant, UnixMillis};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const SECURED: [LinkSecurity; 2] = [LinkSecurity::Tls, LinkSecurity::Dtls];
/// A stream that PEER dialled.
pub(super) const FIRST: StreamId = StreamId::accepted(1);
pub(super) const SECOND: StreamId = StreamId::accepted(2);
/// The first stream that this node dials.
pub(super) const DIALLED: StreamId = StreamId::requested_link(0);
/// A Node-ID larger than this node's.
pub(super) const LARGE: NodeId = NodeId([0xc0; 16]);
/// A Node-ID that this node admits.
pub(super) const JOINER: NodeId = NodeId([0x60; 16]);
pub(super) const TLS: OverlayLinkType = OverlayLinkType::TLS_TCP_FH_NO_ICE;

/// One member of an overlay over TLS, and the other ends of its streams.
pub(super) struct Bench {
    pub(super) overlay: Overlay<Chord>,
    pub(super) identity: Counting,
    pub(super) entropy: Seeded,
    pub(super) now: Instant,
    next_id: u64,
    sequences: BTreeMap<StreamId, u32>,
    pub(super) facts: Vec<Fact>,
    /// Everything else that it did.
    pub(super) done: Vec<Effect<Fact>>,
    /// Nothing is acknowledged.
    pub(super) deaf: bool,
}

impl Bench {
    pub(super) fn new(security: LinkSecurity) -> Self {
        Bench::with_config(Config { security, ..Config::new(OVERLAY, home()) })
    }

    pub(super) fn with_config(config: Config) -> Self {
        let mut bench = Bench {
            overlay: Overlay::new(config, ME).unwrap(),
            identity: Counting::new(ME),
            entropy: Seeded::new(1),
            now: Instant::ZERO,
            next_id: 1000,
            sequences: BTreeMap::new(),
            facts: Vec::new(),
            done: Vec::new(),
            deaf: false,
        };
        bench.overlay.handle_wall_clock(Instant::ZERO, UnixMillis(1_700_000_000_000));
        bench.with(|o, now, ctx| o.create(now, ctx)).unwrap();
        bench
    }

    /// With a stream from PEER.
    pub(super) fn linked() -> Self {
        let mut bench = Bench::new(LinkSecurity::Tls);
        bench.open(FIRST, &[PEER]).unwrap();
        bench
    }

    /// With PEER in the Routing Table.
    pub(super) fn with_peer() -> Self {
        let mut bench = Bench::linked();
        bench.become_peer(FIRST, PEER);
        bench
    }

    pub(super) fn become_peer(&mut self, stream: StreamId, node: NodeId) {
        let offer = attach(AttachReqAns::PASSIVE, OverlayLinkType::TLS_TCP_FH_NO_ICE);
        self.say(stream, node, vec![ME.into()], &offer);
        self.say(stream, node, vec![ME.into()], &update(vec![]));
        assert!(self.overlay.topology().contains(node));
    }

    pub(super) fn with<R>(
        &mut self,
        f: impl FnOnce(&mut Overlay<Chord>, Instant, &mut Context<'_>) -> R,
    ) -> R {
        let mut effects = Effects::new();
        let mut ctx = Context { entropy: &mut self.entropy, crypto: &self.identity, effects: &mut effects };
        let result = f(&mut self.overlay, self.now, &mut ctx);
        for effect in effects.drain() {
            match effect {
                Effect::Fact(fact) => self.facts.push(fact),
                other => self.done.push(other),
            }
        }
        result
    }

    pub(super) fn open(&mut self, stream: StreamId, node_ids: &[NodeId]) -> Result<(), DropReason> {
        self.open_as(stream, party(node_ids))
    }

    pub(super) fn open_as(&mut self, stream: StreamId, party: Arc<Party>) -> Result<(), DropReason> {
        self.with(|o, now, ctx| o.on_stream_opened(now, stream, away(), Some(party), ctx))
    }

    pub(super) fn feed(&mut self, stream: StreamId, bytes: &[u8]) -> Result<(), DropReason> {
        let bytes = Bytes::copy_from_slice(bytes);
        self.with(|o, now, ctx| o.on_stream_bytes(now, stream, bytes, ctx))
    }

    pub(super) fn frame(&mut self, stream: StreamId, message: &Message) -> Bytes {
        let sequence = self.sequences.entry(stream).or_default();
        let frame = Frame::Data { sequence: *sequence, message: message.encode().unwrap() };
        *sequence += 1;
        frame.encode().unwrap()
    }

    /// Hands in a message and collects what is written until nothing more is, acknowledging each message.
    pub(super) fn exchange(
        &mut self,
        stream: StreamId,
        message: &Message,
    ) -> (Result<(), DropReason>, Vec<(StreamId, Message)>) {
        let since = self.done.len();
        let frame = self.frame(stream, message);
        let result = self.feed(stream, &frame);
        (result, self.collect(since))
    }

    pub(super) fn collect(&mut self, since: usize) -> Vec<(StreamId, Message)> {
        let (mut messages, mut at) = (Vec::new(), since);
        for _ in 0..20 {
            while at < self.done.len() {
                if let Some((stream, Frame::Data { sequence, message })) = written(&self.done[at]) {
                    messages.push((stream, Message::decode(&message).unwrap()));
                    let ack = Frame::Ack { ack_sequence: sequence, received: 0 }.encode().unwrap();
                    if !self.deaf {
                        // The stream may be closed already.
                        let _ = self.feed(stream, &ack);
                    }
                }
                at += 1;
            }
            self.now += Duration::from_millis(10);
            self.with(|o, now, ctx| o.handle_timeout(now, ctx));
        }
        messages
    }

    pub(super) fn compose(&mut self, signer: NodeId, list: Vec<Destination>, body: &Body) -> Message {
        self.next_id += 1;
        compose(signer, self.next_id, list, MessageContents::new(body).unwrap())
    }

    pub(super) fn say(
        &mut self,
        stream: StreamId,
        signer: NodeId,
        list: Vec<Destination>,
        body: &Body,
    ) -> Vec<(StreamId, Message)> {
        let message = self.compose(signer, list, body);
        self.exchange(stream, &message).1
    }

    pub(super) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.overlay.deadline().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.with(|o, now, ctx| o.handle_timeout(now, ctx));
        }
        self.now = end;
    }

    pub(super) fn closed(&self, stream: StreamId) -> bool {
        self.done.contains(&Effect::Close { stream })
    }

    pub(super) fn connected(&self) -> Vec<NodeId> {
        self.overlay.connected().map(|(n, _)| n).collect()
    }

    /// Whom a Ping by this node would reach, by the stream that it is written to.
    pub(super) fn stream_of(&mut self, node: NodeId) -> Option<StreamId> {
        let through = self.compose(FAR, vec![ME.into(), node.into()], &ping());
        let helper = StreamId::accepted(99);
        if !self.sequences.contains_key(&helper) {
            self.open(helper, &[FAR]).unwrap();
        }
        self.exchange(helper, &through).1.first().map(|(stream, _)| *stream)
    }
}

pub(super) fn written(effect: &Effect<Fact>) -> Option<(StreamId, Frame)> {
    match effect {
        Effect::Write { stream, bytes } => Some((*stream, Frame::decode(bytes).unwrap())),
        _ => None,
    }
}

pub(super) fn messages(answers: Vec<(StreamId, Message)>) -> Vec<Message> {
    answers.into_iter().map(|(_, m)| m).collect()
}

pub(super) fn error(answers: Vec<(StreamId, Message)>) -> Option<ErrorCode> {
    error_in(&messages(answers))
}

pub(super) fn codes(answers: &[(StreamId, Message)]) -> Vec<(StreamId, MessageCode)> {
    answers.iter().map(|(stream, m)| (*stream, m.contents.message_code)).collect()
}

pub(super) fn update(successors: Vec<NodeId>) -> Body {
    let tables = ChordTables::Neighbors { predecessors: vec![], successors };
    Body::UpdateReq(ChordUpdate { uptime: 1, tables })
}

pub(super) fn find() -> Body {
    Body::FindReq(FindReq { resource: anywhere(), kinds: vec![KindId::CHANNEL] })
}

pub(super) fn offer(links: &[OverlayLinkType]) -> Body {
    let Body::AttachReq(mut offer) = attach(AttachReqAns::PASSIVE, OverlayLinkType::EXP_LINK) else {
        panic!()
    };
    let candidate = offer.candidates.remove(0);
    offer.candidates.extend(links.iter().map(|&overlay_link| {
        let mut candidate = candidate.clone();
        candidate.overlay_link = overlay_link;
        candidate
    }));
    Body::AttachReq(offer)
}

/// The certificate of somebody else with the same Node-ID.
pub(super) fn stolen(node_id: NodeId) -> Arc<Party> {
    let key = KeyFingerprint::of(b"another key");
    Arc::new(Party { key, ..(*party(&[node_id])).clone() })
}
