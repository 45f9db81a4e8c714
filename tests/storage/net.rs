//! A few certified nodes around one Resource-ID, on a network without loss; what a node sends can be changed on its way,
//! and is signed again by it: so every node can be made to say anything.

use bytes::Bytes;
use p2piptv::chord::Chord;
use p2piptv::effect::{Effect, Effects};
use p2piptv::env::{Crypto, Seeded};
use p2piptv::ids::{NodeId, ResourceId};
use p2piptv::reload::codec::body::{ArrayRange, Selection, StoreKindResponse};
use p2piptv::reload::codec::{
    Body, DataModel, ErrorCode, ForwardingHeader, Fragment, Frame, KindId, Message, MessageContents,
    SecurityBlock, Signature, message_signature_input,
};
use p2piptv::reload::overlay::{
    Config, Context, Description, Fact, Failure, OrderError, Overlay, Query, Slot, Ticket, Value, Write,
};
use p2piptv::reload::storage::{Access, Kind, Names, Pattern};
use p2piptv::sim::{Authority, Certificate, Certified};
use p2piptv::time::{Duration, Instant, UnixMillis};
use std::collections::BTreeMap;
use std::net::SocketAddr;

pub(super) const WALL: u64 = 1_700_000_000_000;

/// USER-MATCH, single.
pub(super) const NOTE: KindId = KindId(0xf000_0001);
/// USER-MATCH, array.
pub(super) const LIST: KindId = KindId(0xf000_0002);
/// Everybody under the own key; not to be searched for.
pub(super) const BOARD: KindId = KindId(0xf000_0003);
/// USER-CHAIN-ACL, dictionary.
pub(super) const SHARED: KindId = KindId(0xf000_0004);
/// USER-CHAIN-ACL, array.
pub(super) const SHARED_LIST: KindId = KindId(0xf000_0005);
/// USER-MATCH, dictionary.
pub(super) const PAGES: KindId = KindId(0xf000_0006);

fn kinds() -> Vec<Kind> {
    let of = |id, model, access| Kind { id, model, access, max_count: 64, max_size: 600, findable: true };
    let chain = || Access::UserChainAcl { names: None };
    let mut kinds = Kind::REGISTERED.to_vec();
    kinds.extend([
        Kind::CHANNEL,
        of(NOTE, DataModel::Single, Access::UserMatch),
        of(LIST, DataModel::Array, Access::UserMatch),
        Kind { findable: false, ..of(BOARD, DataModel::Dictionary, Access::NodeIdKey) },
        of(SHARED, DataModel::Dictionary, chain()),
        of(SHARED_LIST, DataModel::Array, chain()),
        of(PAGES, DataModel::Dictionary, Access::UserMatch),
    ]);
    kinds
}

/// Allows the names of RFC 8076's example for shared Kinds.
pub(super) fn with_variable_names(config: &mut Config) {
    let pattern = Pattern::new(".*-conf-$USER@$DOMAIN").unwrap();
    for kind in &mut config.kinds {
        if let Access::UserChainAcl { names } = &mut kind.access {
            *names = Some(Names { patterns: vec![pattern.clone()] });
        }
    }
}

pub(super) struct Node {
    pub(super) overlay: Overlay<Chord>,
    pub(super) crypto: Certified,
    entropy: Seeded,
    pub(super) facts: Vec<Fact>,
    pub(super) alive: bool,
}

/// Changes a message that this node sends; whether it did.
type Tamper = Box<dyn FnMut(usize, &mut Message) -> bool>;

pub(super) struct Net {
    pub(super) nodes: Vec<Node>,
    on_the_way: BTreeMap<(Instant, u64), (usize, usize, Bytes)>,
    pub(super) now: Instant,
    counter: u64,
    tickets: u64,
    pub(super) tamper: Option<Tamper>,
    /// Every message sent; one that went in fragments when its last one has gone.
    pub(super) log: Vec<(usize, Message)>,
    pieces: Pieces,
}

/// Fragments by sender and transaction, in the order in which they are sent: they arrive here without loss.
#[derive(Default)]
struct Pieces(BTreeMap<(usize, u64), Vec<u8>>);

impl Pieces {
    fn add(&mut self, from: usize, message: &Bytes) -> Option<Message> {
        let (header, payload) = ForwardingHeader::decode(message).ok()?;
        let pieces = self.0.entry((from, header.transaction_id)).or_default();
        if header.fragment.offset as usize != pieces.len() {
            return None;
        }
        pieces.extend_from_slice(&payload);
        if !header.fragment.last {
            return None;
        }
        let whole = self.0.remove(&(from, header.transaction_id))?;
        let header = ForwardingHeader { fragment: Fragment::WHOLE, ..header };
        Message::decode(&header.encode(&whole).ok()?).ok()
    }
}

/// Who a node of the test is.
pub(super) fn person(user: &str) -> Certificate {
    Certificate {
        user: Some(user.into()).filter(|u: &String| !u.is_empty()),
        ..Certificate::of_node(NodeId([0; 16]))
    }
}

/// The Resource-ID of a user name.
pub(super) fn home(user: &str) -> ResourceId {
    ResourceId::of_name(user.as_bytes())
}

pub(super) fn own_key(node: NodeId) -> Slot {
    Slot::Key(Bytes::copy_from_slice(&node.0))
}

pub(super) fn put(kind: KindId, slot: Slot, value: impl Into<Bytes>) -> Write {
    Write { kind, slot, value: Some(value.into()), lifetime: Duration::from_secs(600) }
}

pub(super) fn gone(kind: KindId, slot: Slot) -> Write {
    Write { kind, slot, value: None, lifetime: Duration::from_secs(600) }
}

pub(super) fn all(kind: KindId) -> Query {
    let model = kinds().iter().find(|k| k.id == kind).unwrap().everything();
    Query::new(kind, model)
}

pub(super) fn refused(code: ErrorCode) -> Result<Vec<StoreKindResponse>, Failure> {
    Err(Failure::Refused(code))
}

/// What a Stat told, and the generation counters.
type Described = (Vec<Description>, Vec<(KindId, u64)>);

/// What was fetched.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) values: Vec<Value>,
    pub(super) generations: Vec<(KindId, u64)>,
    pub(super) discarded: usize,
}

fn address(i: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, i as u8], 6084))
}

impl Net {
    /// Nodes with these certificates, at equal distances around the ring: the first is responsible for `place`, the second
    /// and third hold its replicas. The Node-IDs in the certificates follow from that.
    pub(super) fn new(place: &ResourceId, people: Vec<Certificate>) -> Self {
        Net::configured(place, people, |_| {})
    }

    pub(super) fn configured(
        place: &ResourceId,
        people: Vec<Certificate>,
        configure: impl Fn(&mut Config),
    ) -> Self {
        Net::identified(place, people, configure, |identity| identity)
    }

    /// The same with identities that are not quite what the authority issued.
    pub(super) fn identified(
        place: &ResourceId,
        people: Vec<Certificate>,
        configure: impl Fn(&mut Config),
        identify: impl Fn(Certified) -> Certified,
    ) -> Self {
        let authority = Authority::new(1);
        let mut net = Net {
            nodes: Vec::new(),
            on_the_way: BTreeMap::new(),
            now: Instant::ZERO,
            counter: 0,
            tickets: 0,
            tamper: None,
            log: Vec::new(),
            pieces: Pieces::default(),
        };
        let step = u128::MAX / people.len() as u128;
        for (i, certificate) in people.into_iter().enumerate() {
            let at = place.to_u128().unwrap().wrapping_add(1).wrapping_add(step.wrapping_mul(i as u128));
            let node = NodeId::from_u128(at);
            let mut node_ids = certificate.node_ids;
            node_ids[0] = node;
            let crypto = identify(authority.issue(&Certificate { node_ids, key: i as u64, ..certificate }));
            let mut config = Config::new("p2piptv.example", address(i));
            config.kinds = kinds();
            config.usages.lifetime = None;
            configure(&mut config);
            let mut overlay = Overlay::new(config, node).unwrap();
            overlay.handle_wall_clock(Instant::ZERO, UnixMillis(WALL));
            let entropy = Seeded::new(100 + i as u64);
            net.nodes.push(Node { overlay, crypto, entropy, facts: Vec::new(), alive: true });
            if i == 0 {
                net.with(0, |o, now, ctx| o.create(now, ctx)).unwrap();
            } else {
                net.with(i, |o, now, ctx| o.join(now, &[address(0)], ctx)).unwrap();
            }
            net.run(5);
            assert!(net.nodes[i].overlay.is_joined(), "node {i}");
        }
        net.run(10);
        assert!(net.nodes[0].overlay.is_responsible_for(place));
        net
    }

    pub(super) fn id(&self, i: usize) -> NodeId {
        self.nodes[i].overlay.node_id()
    }

    pub(super) fn with<R>(
        &mut self,
        i: usize,
        f: impl FnOnce(&mut Overlay<Chord>, Instant, &mut Context<'_>) -> R,
    ) -> R {
        let mut effects = Effects::new();
        let now = self.now;
        let node = &mut self.nodes[i];
        let mut ctx = Context { entropy: &mut node.entropy, crypto: &node.crypto, effects: &mut effects };
        let result = f(&mut node.overlay, now, &mut ctx);
        assert!(node.overlay.deadline().is_none_or(|at| at >= now), "K1");
        for effect in effects.drain() {
            match effect {
                Effect::Fact(fact) => self.nodes[i].facts.push(fact),
                Effect::Send { to, payload } => self.transmit(i, to, payload),
                other => panic!("no streams here: {other:?}"),
            }
        }
        result
    }

    fn transmit(&mut self, from: usize, to: SocketAddr, payload: Bytes) {
        let mut payload = payload;
        if let Ok(Frame::Data { sequence, message }) = Frame::decode(&payload)
            && let Ok(mut message) = Message::decode(&message)
        {
            let mut tamper = self.tamper.take();
            if tamper.as_mut().is_some_and(|change| change(from, &mut message)) {
                sign(&mut message, &self.nodes[from].crypto);
                let message = message.encode().unwrap();
                payload = Frame::Data { sequence, message }.encode().unwrap();
            }
            self.tamper = tamper;
            self.log.push((from, message));
        } else if let Ok(Frame::Data { message, .. }) = Frame::decode(&payload) {
            self.log.extend(self.pieces.add(from, &message).map(|whole| (from, whole)));
        }
        let to = (0..self.nodes.len()).find(|&i| address(i) == to).unwrap();
        self.counter += 1;
        let at = self.now + Duration::from_millis(5);
        self.on_the_way.insert((at, self.counter), (from, to, payload));
    }

    /// Lets seconds pass.
    pub(super) fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        loop {
            let arrival = self.on_the_way.first_key_value().map(|((at, _), _)| *at);
            let timers = self.nodes.iter().filter(|n| n.alive).filter_map(|n| n.overlay.deadline());
            let Some(next) = arrival.into_iter().chain(timers).min().filter(|&at| at <= end) else { break };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let (_, (from, to, payload)) = self.on_the_way.pop_first().unwrap();
                if self.nodes[to].alive {
                    let _ = self.with(to, |o, now, ctx| o.handle_datagram(now, address(from), payload, ctx));
                }
            }
            for i in 0..self.nodes.len() {
                let node = &self.nodes[i];
                if node.alive && node.overlay.deadline().is_some_and(|at| at <= next) {
                    self.with(i, |o, now, ctx| o.handle_timeout(now, ctx));
                }
            }
        }
        self.now = end;
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// What an order led to within two seconds.
    pub(super) fn outcome<R>(
        &mut self,
        i: usize,
        order: impl FnOnce(&mut Overlay<Chord>, Instant, Ticket, &mut Context<'_>) -> Result<(), OrderError>,
        read: impl Fn(&Fact, Ticket) -> Option<R>,
    ) -> R {
        let ticket = self.ticket();
        self.nodes[i].facts.clear();
        self.with(i, |o, now, ctx| order(o, now, ticket, ctx)).unwrap();
        self.run(2);
        let mut found: Vec<R> = self.nodes[i].facts.iter().filter_map(|f| read(f, ticket)).collect();
        assert_eq!(found.len(), 1, "one answer: {:?}", self.nodes[i].facts);
        found.remove(0)
    }

    pub(super) fn store(
        &mut self,
        i: usize,
        resource: &ResourceId,
        writes: Vec<Write>,
    ) -> Result<Vec<StoreKindResponse>, Failure> {
        self.store_if(i, resource, writes, &[])
    }

    pub(super) fn store_if(
        &mut self,
        i: usize,
        resource: &ResourceId,
        writes: Vec<Write>,
        expected: &[(KindId, u64)],
    ) -> Result<Vec<StoreKindResponse>, Failure> {
        let resource = resource.clone();
        let order = |o: &mut Overlay<Chord>, now, ticket, ctx: &mut Context<'_>| {
            o.store_all(now, ticket, resource, writes, expected, ctx)
        };
        self.outcome(i, order, |fact, ticket| match fact {
            Fact::Stored { ticket: t, result } if *t == ticket => Some(result.clone()),
            _ => None,
        })
    }

    pub(super) fn fetch(
        &mut self,
        i: usize,
        resource: &ResourceId,
        queries: Vec<Query>,
    ) -> Result<Got, Failure> {
        let resource = resource.clone();
        let order = |o: &mut Overlay<Chord>, now, ticket, ctx: &mut Context<'_>| {
            o.fetch_all(now, ticket, resource, queries, ctx)
        };
        self.outcome(i, order, |fact, ticket| match fact {
            Fact::Fetched { ticket: t, result, generations, discarded } if *t == ticket => {
                let got = |values| Got { values, generations: generations.clone(), discarded: *discarded };
                Some(result.clone().map(got))
            }
            _ => None,
        })
    }

    /// All values of a Kind as text, in the order of the answer.
    pub(super) fn texts(&mut self, i: usize, resource: &ResourceId, kind: KindId) -> Vec<String> {
        self.fetch(i, resource, vec![all(kind)]).unwrap().texts()
    }

    pub(super) fn stat(
        &mut self,
        i: usize,
        resource: &ResourceId,
        queries: Vec<Query>,
    ) -> Result<Described, Failure> {
        let resource = resource.clone();
        let order = |o: &mut Overlay<Chord>, now, ticket, ctx: &mut Context<'_>| {
            o.stat(now, ticket, resource, queries, ctx)
        };
        self.outcome(i, order, |fact, ticket| match fact {
            Fact::Described { ticket: t, result, generations } if *t == ticket => {
                Some(result.clone().map(|values| (values, generations.clone())))
            }
            _ => None,
        })
    }

    pub(super) fn find(
        &mut self,
        i: usize,
        resource: &ResourceId,
        kinds: Vec<KindId>,
    ) -> Result<Vec<(KindId, Option<ResourceId>)>, Failure> {
        let resource = resource.clone();
        let order = |o: &mut Overlay<Chord>, now, ticket, ctx: &mut Context<'_>| {
            o.find(now, ticket, resource, kinds, ctx)
        };
        self.outcome(i, order, |fact, ticket| match fact {
            Fact::Found { ticket: t, result } if *t == ticket => Some(result.clone()),
            _ => None,
        })
    }

    /// Messages with this body that a node sent since the log was emptied.
    pub(super) fn sent<R>(&self, from: usize, read: impl Fn(Body) -> Option<R>) -> Vec<(Message, R)> {
        let by = self.log.iter().filter(|(i, _)| *i == from);
        by.filter_map(|(_, m)| Some((m.clone(), read(m.contents.body().ok()?)?))).collect()
    }

    /// From here on a node's messages are changed by this: it gets each body, and may give back another one.
    pub(super) fn lie(&mut self, liar: usize, change: impl Fn(Body) -> Option<Body> + 'static) {
        self.tamper = Some(Box::new(move |from, message| {
            let body = message.contents.body().ok().filter(|_| from == liar);
            let Some(body) = body.and_then(&change) else { return false };
            message.contents = MessageContents::new(&body).unwrap();
            true
        }));
    }
}

impl Got {
    /// The values as text; a removed one is `-`.
    pub(super) fn texts(&self) -> Vec<String> {
        let text = |b: &Bytes| String::from_utf8(b.to_vec()).unwrap();
        self.values.iter().map(|v| v.value.as_ref().map_or("-".into(), text)).collect()
    }
}

/// Signs a changed message again; other certificates stay.
fn sign(message: &mut Message, crypto: &Certified) {
    let overlay = message.header.overlay;
    let identity = crypto.signer();
    let input = message_signature_input(overlay, message.header.transaction_id, &message.contents, &identity)
        .unwrap();
    let signed = crypto.sign(&[&input]);
    let certificates = message.security.certificates.clone();
    message.security = SecurityBlock { certificates, signature: Signature { identity, signed } };
}

/// All values of an array in a range.
pub(super) fn range(kind: KindId, first: u32, last: u32) -> Query {
    let ranges = vec![ArrayRange { first, last }];
    Query::new(kind, Selection::Array(ranges))
}
