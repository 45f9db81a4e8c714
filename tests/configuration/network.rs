//! Overlays on a small in-memory network without loss; whoever has a Node-ID may speak for himself beside his overlay.

use bytes::Bytes;
use p2piptv::chord::Chord;
use p2piptv::effect::{Effect, Effects};
use p2piptv::env::{Crypto, InsecureIdentity, Seeded};
use p2piptv::ids::{NodeId, overlay_hash};
use p2piptv::reload::codec::{
    Body, Destination, ErrorCode, ForwardingHeader, Frame, Message, MessageContents, Payload, SecurityBlock,
    Signature, Structure, message_signature_input,
};
use p2piptv::reload::configuration::{Configuration, Document, KindBlock, KindDefinition};
use p2piptv::reload::overlay::{Config, Context, Fact, Overlay};
use p2piptv::reload::storage::Kind;
use p2piptv::time::{Duration, Instant, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

pub const NAME: &str = "p2piptv.example";
pub const AT: UnixMillis = UnixMillis(1_700_000_000_000);

pub struct Node {
    pub overlay: Overlay<Chord>,
    pub identity: InsecureIdentity,
    entropy: Seeded,
    pub facts: Vec<Fact>,
}

#[derive(Default)]
pub struct Net {
    pub nodes: Vec<Node>,
    on_the_way: BTreeMap<(Instant, u64), (usize, usize, Bytes)>,
    pub now: Instant,
    counter: u64,
    /// Every message that was sent, with its sender and receiver.
    pub sent: Vec<(usize, usize, Message)>,
}

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn address(i: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, i as u8], 6084))
}

/// Who signs documents and Kinds; no node of the network.
pub fn authority(n: u8) -> InsecureIdentity {
    InsecureIdentity::new(NodeId([0xa0 + n; 16]))
}

/// Version `sequence`, with the authority 1 for everything and the channel Kind in it.
pub fn version(sequence: u16) -> Configuration {
    Configuration {
        sequence,
        overlay_link_protocols: vec![Configuration::EXP_PROTOCOL.to_owned()],
        configuration_signers: vec![authority(1).node_id()],
        kind_signers: vec![authority(1).node_id()],
        kinds: vec![KindBlock::signed(KindDefinition::of(&Kind::CHANNEL), &authority(1)).unwrap()],
        ..Configuration::new(NAME)
    }
}

pub fn signed(configuration: &Configuration, by: u8) -> Document {
    configuration.to_document(&[&authority(by)]).unwrap()
}

impl Net {
    /// Nodes with this document, the first of which founds the overlay and lets the others in.
    pub fn of(nodes: usize, document: &Document) -> Self {
        let mut net = Net::default();
        for i in 0..nodes {
            net.add(document);
            if i == 0 {
                net.with(0, |o, now, ctx| o.create(now, ctx)).unwrap();
            } else {
                net.join(i);
                net.run(seconds(5));
            }
        }
        net.run(seconds(20));
        assert!(net.nodes.iter().all(|n| n.overlay.is_joined()));
        net.sent.clear();
        net
    }

    /// A node with this document that has not joined.
    pub fn add(&mut self, document: &Document) -> usize {
        let i = self.nodes.len();
        // Spread over the ring.
        let id = NodeId::from_u128((i as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        let identity = InsecureIdentity::new(id);
        let config = Config::from_document(document.clone(), address(i), AT, &identity).unwrap();
        self.add_configured(config, identity)
    }

    pub fn add_configured(&mut self, config: Config, identity: InsecureIdentity) -> usize {
        let mut overlay = Overlay::new(config, identity.node_id()).unwrap();
        overlay.handle_wall_clock(self.now, UnixMillis(AT.0 + self.now.as_millis()));
        let entropy = Seeded::new(self.nodes.len() as u64);
        self.nodes.push(Node { overlay, identity, entropy, facts: Vec::new() });
        self.nodes.len() - 1
    }

    pub fn join(&mut self, i: usize) {
        self.with(i, |o, now, ctx| o.join(now, &[address(0)], ctx)).unwrap();
    }

    pub fn with<R>(
        &mut self,
        i: usize,
        f: impl FnOnce(&mut Overlay<Chord>, Instant, &mut Context<'_>) -> R,
    ) -> R {
        let mut effects = Effects::new();
        let (now, node) = (self.now, &mut self.nodes[i]);
        let mut ctx = Context { entropy: &mut node.entropy, crypto: &node.identity, effects: &mut effects };
        let result = f(&mut node.overlay, now, &mut ctx);
        // What waits for its signature goes out when it is called again at once.
        assert!(node.overlay.deadline().is_none_or(|at| at >= now), "K1");
        for effect in effects.drain() {
            match effect {
                Effect::Fact(fact) => self.nodes[i].facts.push(fact),
                Effect::Send { to, payload } => self.transmit(i, to, payload),
                other => panic!("there are no streams here: {other:?}"),
            }
        }
        result
    }

    fn transmit(&mut self, from: usize, to: SocketAddr, payload: Bytes) {
        let to = (0..self.nodes.len()).find(|&i| address(i) == to).unwrap();
        if let Ok(Frame::Data { message, .. }) = Frame::decode(&payload) {
            self.sent.push((from, to, Message::decode(&message).unwrap()));
        }
        self.counter += 1;
        let at = self.now + Duration::from_millis(10 + self.counter % 17);
        self.on_the_way.insert((at, self.counter), (from, to, payload));
    }

    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let arrival = self.on_the_way.first_key_value().map(|((at, _), _)| *at);
            let timer = self.nodes.iter().filter_map(|n| n.overlay.deadline()).min();
            let next = [arrival, timer].into_iter().flatten().min().filter(|&at| at <= end);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let (_, (from, to, payload)) = self.on_the_way.pop_first().unwrap();
                // What is dropped shows in what does not come back.
                let _ = self.with(to, |o, now, ctx| o.handle_datagram(now, address(from), payload, ctx));
            }
            for i in 0..self.nodes.len() {
                if self.nodes[i].overlay.deadline().is_some_and(|at| at <= next) {
                    self.with(i, |o, now, ctx| o.handle_timeout(now, ctx));
                }
            }
        }
        self.now = end;
    }

    pub fn id(&self, i: usize) -> NodeId {
        self.nodes[i].identity.node_id()
    }

    pub fn sequences(&self) -> BTreeSet<u16> {
        self.nodes.iter().map(|n| n.overlay.config().configuration_sequence).collect()
    }

    /// A node says this to another over their link, behind the back of its overlay, and gets this answer within 2 s.
    pub fn ask(
        &mut self,
        from: usize,
        to: usize,
        list: Vec<Destination>,
        sequence: u16,
        body: &Body,
    ) -> Option<Body> {
        self.counter += 1;
        let transaction_id = 0xa5c0_0000 + self.counter;
        let contents = MessageContents::new(body).unwrap();
        let crypto = self.nodes[from].identity.clone();
        let hash = overlay_hash(NAME);
        let identity = crypto.signer();
        let input = message_signature_input(hash, transaction_id, &contents, &identity).unwrap();
        let signature = Signature { signed: crypto.sign(&[&input]), identity };
        let security = SecurityBlock { certificates: Vec::new(), signature };
        let payload = Payload { contents, security }.encode().unwrap();
        let mut header = ForwardingHeader::new(hash, transaction_id, list);
        header.configuration_sequence = sequence;
        let message = header.encode(&payload).unwrap();
        let frame = Frame::Data { sequence: 0x4000_0000 + self.counter as u32, message };
        self.transmit(from, address(to), frame.encode().unwrap());
        self.run(seconds(2));
        let answer = self.sent.iter().find(|(_, receiver, m)| {
            *receiver == from
                && m.header.transaction_id == transaction_id
                && !m.contents.message_code.is_request()
        })?;
        Some(answer.2.contents.body().unwrap())
    }

    /// The same, directly, for an error.
    pub fn refused(&mut self, from: usize, to: usize, sequence: u16, body: &Body) -> Option<ErrorCode> {
        let list = vec![self.id(to).into()];
        match self.ask(from, to, list, sequence, body)? {
            Body::Error(error) => Some(error.error_code),
            _ => None,
        }
    }
}
