//! One overlay with links to several nodes made of bytes: what comes in over one link, and what leaves over which.

use super::wire::{Bench, ME, OVERLAY, attach, home, ping};
use bytes::Bytes;
use p2piptv::env::InsecureIdentity;
use p2piptv::ids::NodeId;
use p2piptv::reload::codec::body::AttachReqAns;
use p2piptv::reload::codec::{
    Body, ChordTables, ChordUpdate, Destination, ForwardingHeader, Frame, HeaderView, Message, MessageCode,
    OverlayLinkType,
};
use p2piptv::reload::overlay::{Config, Overlay};
use p2piptv::stats::DropReason;
use p2piptv::time::{Duration, Instant, UnixMillis};
use std::net::SocketAddr;

/// The nodes of these tests have one byte each.
pub(super) fn node(n: u8) -> NodeId {
    NodeId([n; 16])
}

fn address(of: NodeId) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, of.0[0]], 6084))
}

fn node_at(address: SocketAddr) -> NodeId {
    match address {
        SocketAddr::V4(v4) if v4.ip().octets()[2] == 1 => node(v4.ip().octets()[3]),
        other => panic!("nobody is at {other}"),
    }
}

/// A message that left, and over whose link.
pub(super) type Left = (NodeId, Bytes);

pub(super) struct Hub {
    pub(super) bench: Bench,
}

impl Hub {
    /// A founder with plain links to these nodes, none of them attached.
    pub(super) fn new(neighbours: &[NodeId], configure: impl FnOnce(&mut Config)) -> Self {
        Self::named(ME, neighbours, configure)
    }

    pub(super) fn named(me: NodeId, neighbours: &[NodeId], configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(OVERLAY, home());
        configure(&mut config);
        let mut bench = Bench::new();
        bench.identity = InsecureIdentity::new(me);
        bench.overlay = Overlay::new(config, me).unwrap();
        bench.overlay.handle_wall_clock(Instant::ZERO, UnixMillis(1_700_000_000_000));
        bench.with(|o, now, ctx| o.create(now, ctx)).0.unwrap();
        let mut hub = Hub { bench };
        for &neighbour in neighbours {
            let answers = hub.say(neighbour, neighbour, vec![NodeId::WILDCARD.into()], &ping());
            assert_eq!(code(&answers[0].1), Some(MessageCode::PING_ANS));
        }
        hub
    }

    /// Hands in a message over the link of a node.
    pub(super) fn pass(&mut self, from: NodeId, message: Bytes) -> Result<(), DropReason> {
        let frame = Frame::Data { sequence: self.bench.sequence, message };
        self.bench.sequence += 1;
        let datagram = frame.encode().unwrap();
        self.bench.with(|o, now, ctx| o.handle_datagram(now, address(from), datagram, ctx)).0
    }

    /// Who was sent messages of this transaction, and with which numbers.
    pub(super) fn sent_of(&self, transaction_id: u64) -> Vec<(NodeId, u32)> {
        let number = |(to, frame): &(SocketAddr, Frame)| match frame {
            Frame::Data { sequence, message } => {
                (header(message).transaction_id == transaction_id).then(|| (node_at(*to), *sequence))
            }
            Frame::Ack { .. } => None,
        };
        self.bench.sent.iter().filter_map(number).collect()
    }

    /// A node acknowledges a number.
    pub(super) fn acknowledge(&mut self, from: NodeId, ack_sequence: u32) {
        let ack = Frame::Ack { ack_sequence, received: 0 }.encode().unwrap();
        self.bench.with(|o, now, ctx| o.handle_datagram(now, address(from), ack, ctx)).0.unwrap();
    }

    /// Hands in a message over the link of a node, acknowledges whatever leaves, and lets time pass for what waits.
    pub(super) fn hand(&mut self, from: NodeId, message: Bytes) -> (Result<(), DropReason>, Vec<Left>) {
        let since = self.bench.sent.len();
        let result = self.pass(from, message);
        (result, self.settle(since))
    }

    /// A request of this signer, over the link of `from`.
    pub(super) fn say(
        &mut self,
        from: NodeId,
        signer: NodeId,
        list: Vec<Destination>,
        body: &Body,
    ) -> Vec<Left> {
        let message = self.bench.compose(signer, list, body).encode().unwrap();
        self.hand(from, message).1
    }

    /// Acknowledges what was sent since then, and whatever follows from that.
    pub(super) fn settle(&mut self, mut since: usize) -> Vec<Left> {
        let mut left = Vec::new();
        for _ in 0..20 {
            let new = self.bench.sent[since..].to_vec();
            since = self.bench.sent.len();
            for (to, frame) in new {
                if let Frame::Data { sequence, message } = frame {
                    left.push((node_at(to), message));
                    self.acknowledge(node_at(to), sequence);
                }
            }
            self.bench.now += Duration::from_millis(10);
            self.bench.with(|o, now, ctx| o.handle_timeout(now, ctx));
        }
        left
    }

    /// Lets time pass; everything that leaves is acknowledged.
    pub(super) fn wait(&mut self, duration: Duration) -> Vec<Left> {
        let end = self.bench.now + duration;
        let mut left = Vec::new();
        while let Some(at) = self.bench.overlay.deadline().filter(|&at| at <= end) {
            let since = self.bench.sent.len();
            self.bench.now = at;
            self.bench.with(|o, now, ctx| o.handle_timeout(now, ctx));
            left.extend(self.settle(since));
        }
        self.bench.now = self.bench.now.max(end);
        left
    }

    /// Makes a neighbour a peer that can be routed through; returns what was sent to it.
    pub(super) fn adopt(&mut self, peer: NodeId) -> Vec<Left> {
        let me = self.bench.overlay.node_id();
        let offer = attach(AttachReqAns::PASSIVE, OverlayLinkType::EXP_LINK);
        let mut left = self.say(peer, peer, vec![me.into()], &offer);
        let tables = ChordTables::Neighbors { predecessors: vec![], successors: vec![] };
        let update = Body::UpdateReq(ChordUpdate { uptime: 1, tables });
        left.extend(self.say(peer, peer, vec![me.into()], &update));
        left
    }

    /// How many incomplete messages it holds.
    pub(super) fn incomplete(&self) -> usize {
        let (_, held, _) =
            self.bench.overlay.census().find(|(what, ..)| *what == "incomplete messages").expect("counted");
        held
    }
}

pub(super) fn code(message: &Bytes) -> Option<MessageCode> {
    HeaderView::read(message).unwrap().message_code()
}

pub(super) fn header(message: &Bytes) -> ForwardingHeader {
    ForwardingHeader::decode(message).unwrap().0
}

/// What a responder answers with: this body, signed by it, along the way that the request came.
pub(super) fn answer_to(request: &Bytes, previous_hop: NodeId, signer: NodeId, body: &Body) -> Bytes {
    let request = header(request);
    let contents = p2piptv::reload::codec::MessageContents::new(body).unwrap();
    let list = p2piptv::reload::route::way_back(previous_hop, &request.via_list);
    super::wire::compose(signer, request.transaction_id, list, contents).encode().unwrap()
}

/// The whole messages among what left.
pub(super) fn decoded(left: &[Left]) -> Vec<Message> {
    left.iter().map(|(_, message)| Message::decode(message).unwrap()).collect()
}
