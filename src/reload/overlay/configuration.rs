//! How configuration documents travel (RFC 6940 §6.3.2.1, §6.5.4), and what a new one changes here.
//!
//! ```text
//!   A (22)                                     B (23)
//!   │ any request, configuration_sequence 22 ──▶ │
//!   │ ◀── Error_Config_Too_Old ───────────────── │
//!   │ ◀── ConfigUpdateReq, sequence 65535 ────── │   the document 23
//!   │ ─── ConfigUpdateAns ─────────────────────▶ │   A checks who signed it, takes it, and tells its peers
//! ```
//!
//! The other way round, when the request is newer than whoever answers it, the answer is Error_Config_Too_New and the asker
//! sends the document. One node is told at most once in a Maximum Request Lifetime, so however much it asks, what is sent
//! is bounded; a node that has taken a document tells the peers of its Routing Table at once, so that a new document
//! does not wait for somebody's next request.

use super::config::check;
use super::exchange::{Answer, Refused, refuse_because};
use super::receive::Incoming;
use super::{Config, Context, Fact, LinkSecurity, Overlay, Phase, Purpose, Task};
use crate::bounded::BoundedMap;
use crate::env::{Crypto, Party};
use crate::ids::NodeId;
use crate::reload::codec::body::{ConfigUpdateReq, Empty};
use crate::reload::codec::{Body, Destination, ErrorCode, ErrorInfo, ErrorResponse, KindId, MessageCode};
use crate::reload::configuration::{
    Configuration, Document, DocumentError, DocumentErrorKind, KindBlock, sequence,
};
use crate::reload::request::SENDS;
use crate::reload::route::way_back;
use crate::reload::topology::Topology;
use crate::time::{Instant, UnixMillis};
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

/// What is known about configurations beside [`Config`].
#[derive(Clone, Debug)]
pub(super) struct Updates {
    /// Kinds that a ConfigUpdate has brought and the document does not have, with whoever signed them.
    learned: BTreeMap<KindId, (NodeId, KindBlock)>,
    /// Nodes that were told, and when.
    told: BoundedMap<NodeId, Instant>,
}

impl Updates {
    pub(super) fn new(limit: usize) -> Self {
        Updates { learned: BTreeMap::new(), told: BoundedMap::new(limit) }
    }

    /// Nodes that are remembered as told.
    #[cfg(feature = "arbitrary")]
    pub(super) fn told(&self) -> usize {
        self.told.len()
    }

    /// Kinds that the document does not have.
    #[cfg(feature = "arbitrary")]
    pub(super) fn learned(&self) -> usize {
        self.learned.len()
    }
}

impl<T: Topology> Overlay<T> {
    /// Takes a newer document that the host trusts because of where it comes from: the operator's hand or the
    /// configuration server (RFC 6940 §11.2). The peers are told, and take it if a configuration-signer of the document
    /// that they have has signed it.
    ///
    /// [`Fact::Reconfigured`] follows; or [`Fact::Incompatible`] and then [`Fact::Left`] when this node cannot do what the
    /// document asks for.
    pub fn reconfigure(
        &mut self,
        now: Instant,
        document: Document,
        ctx: &mut Context<'_>,
    ) -> Result<(), DocumentError> {
        let now = self.tick(now);
        let at = self.time_of_day(now);
        match self.config.document.clone() {
            Some(current) => document.follows(current.configuration(), at)?,
            None => {
                let mut current = Configuration::new(&self.config.overlay_name);
                current.sequence = self.config.configuration_sequence;
                document.follows(&current, at)?;
            }
        }
        self.take_document(now, document, None, ctx);
        self.work_off(now, ctx);
        Ok(())
    }

    /// The document in force; `None` when the host made the configuration by hand.
    pub fn document(&self) -> Option<&Document> {
        self.config.document.as_deref()
    }

    /// What is wrong with the sequence number of a request for this node (CS-2, CS-4). 65535 is no document's number, so
    /// anywhere but in a ConfigUpdate nothing can be done about it.
    pub(super) fn check_sequence(&self, request: &Incoming) -> Option<ErrorCode> {
        let (theirs, mine) = (request.header.configuration_sequence, self.config.configuration_sequence);
        let is_update = request.contents.message_code == MessageCode::CONFIG_UPDATE_REQ;
        // The Ping that opens a plain link stands for a TLS handshake, in which no configuration is spoken of: without it
        // nobody could be told.
        let opens_link = self.config.security == LinkSecurity::InsecurePlain && request.opens_link();
        if theirs == mine || theirs == sequence::ANY && is_update || opens_link {
            None
        } else if theirs != sequence::ANY && sequence::is_older(theirs, mine) {
            Some(ErrorCode::CONFIG_TOO_OLD)
        } else {
            Some(ErrorCode::CONFIG_TOO_NEW)
        }
    }

    /// The sender of a request has an older document than this node (CS-3).
    pub(super) fn on_outdated(&mut self, now: Instant, request: &Incoming, ctx: &mut Context<'_>) {
        let list = way_back(request.previous_hop, &request.header.via_list);
        self.send_document(now, request.signer, list, ctx);
    }

    /// A request of this node's own was refused, and its answerer lacks something that this node has (CU-4, CU-5).
    pub(super) fn on_refused(
        &mut self,
        now: Instant,
        by: NodeId,
        error: &ErrorResponse,
        ctx: &mut Context<'_>,
    ) {
        match (error.error_code, error.info()) {
            (ErrorCode::CONFIG_TOO_NEW, _) => self.send_document(now, by, vec![by.into()], ctx),
            (_, Ok(ErrorInfo::UnknownKinds(kinds))) => self.send_kinds(now, by, &kinds, ctx),
            _ => {}
        }
    }

    fn send_document(&mut self, now: Instant, to: NodeId, list: Vec<Destination>, ctx: &mut Context<'_>) {
        let Some(document) = &self.config.document else { return };
        let update = ConfigUpdateReq::Config(document.file().clone());
        self.send_update_of_configuration(now, to, list, update, ctx);
    }

    fn send_kinds(&mut self, now: Instant, to: NodeId, unknown: &[KindId], ctx: &mut Context<'_>) {
        let Some(document) = &self.config.document else { return };
        let learned = self.updates.learned.values().map(|(_, block)| block);
        let blocks = document.configuration().kinds.iter().chain(learned);
        let known = blocks.filter(|b| unknown.contains(&b.definition().id));
        let kinds: Vec<Bytes> = known.filter_map(|b| Some(Bytes::from(b.to_xml().ok()?))).collect();
        if !kinds.is_empty() {
            let list = vec![to.into()];
            self.send_update_of_configuration(now, to, list, ConfigUpdateReq::Kinds(kinds), ctx);
        }
    }

    /// Sends a ConfigUpdate to a node that has not been told for as long as a request may take. When as many nodes are
    /// remembered as may be, the rest hear of it when they ask again.
    fn send_update_of_configuration(
        &mut self,
        now: Instant,
        to: NodeId,
        list: Vec<Destination>,
        update: ConfigUpdateReq,
        ctx: &mut Context<'_>,
    ) {
        let patience = self.config.timers.request * SENDS.into();
        self.updates.told.retain(|_, at| now.since(*at) < patience);
        let told = self.updates.told.contains_key(&to);
        if to == self.me || told || self.updates.told.insert(to, now).is_err() {
            return;
        }
        // A document that does not fit into a message has to be fetched; nobody can be told.
        let _ = self.request(now, list, &Body::ConfigUpdateReq(update), Purpose::ConfigUpdate, ctx);
    }

    /// Somebody has a newer document, or a Kind (CU-1, CU-2).
    pub(super) fn on_config_update(
        &mut self,
        now: Instant,
        request: &Incoming,
        update: &ConfigUpdateReq,
        ctx: &mut Context<'_>,
    ) {
        match update {
            ConfigUpdateReq::Config(file) => match self.check_document(now, file, ctx) {
                Ok(document) => {
                    self.answer(now, request, Ok(Body::ConfigUpdateAns(Empty)), ctx);
                    self.take_document(now, document, Some(request.signer), ctx);
                }
                Err(refused) => self.answer(now, request, Err(refused), ctx),
            },
            ConfigUpdateReq::Kinds(descriptions) => {
                let answer = self.learn_kinds(now, descriptions, ctx);
                self.answer(now, request, answer, ctx);
            }
            ConfigUpdateReq::Unknown { .. } => {
                let unknown = refuse_because(ErrorCode::INVALID_MESSAGE, "unknown ConfigUpdateType");
                self.answer(now, request, unknown, ctx);
            }
        }
    }

    /// Whether a document that somebody sent may take the place of the current one; the error is the answer.
    fn check_document(&self, now: Instant, file: &Bytes, ctx: &Context<'_>) -> Result<Document, Refused> {
        let words = |why: &'static str| Bytes::from_static(why.as_bytes());
        let Some(current) = &self.config.document else {
            return Err((ErrorCode::FORBIDDEN, words("configurations come from the host alone")));
        };
        if file == current.file() {
            return Err((ErrorCode::CONFIG_TOO_OLD, words("this is the current document")));
        }
        let document = Document::parse(file, &self.config.overlay_name).map_err(refusal)?;
        let at = self.time_of_day(now);
        document.verify(current.configuration(), at, ctx.crypto).map_err(refusal)?;
        Ok(document)
    }

    /// Kinds of a ConfigUpdate: all of them are taken or none. What the document itself defines only a newer document
    /// changes; else an old definition, once signed, could be sent again by anybody.
    fn learn_kinds(&mut self, now: Instant, descriptions: &[Bytes], ctx: &Context<'_>) -> Answer {
        let forbidden = |why| refuse_because(ErrorCode::FORBIDDEN, why);
        let Some(document) = self.config.document.clone() else {
            return forbidden("Kinds come from the host alone");
        };
        let Configuration { kind_signers, bad_nodes, kinds, .. } = document.configuration();
        let at = self.time_of_day(now);
        let mut learned = self.updates.learned.clone();
        let mut read = 0;
        for description in descriptions {
            let blocks = match KindBlock::parse(description) {
                Ok(blocks) => blocks,
                Err(error) => return Err(refusal(error)),
            };
            read += blocks.len();
            if read > KindBlock::MAX_BLOCKS {
                return forbidden("too many Kinds");
            }
            for block in blocks {
                let signer = match block.verify(kind_signers, bad_nodes, at, ctx.crypto) {
                    Ok(signer) => signer,
                    Err(error) => return Err(refusal(error)),
                };
                let id = block.definition().id;
                let defined = kinds.iter().find(|b| b.definition().id == id);
                let redefines = defined.is_some_and(|b| b.definition() != block.definition());
                if redefines || learned.get(&id).is_some_and(|(other, _)| *other != signer) {
                    return forbidden("conflicts with a known Kind");
                }
                if block.definition().to_kind().is_none() {
                    return forbidden("unknown access control policy");
                }
                learned.insert(id, (signer, block));
            }
        }
        if learned.len() > KindBlock::MAX_BLOCKS {
            return forbidden("too many Kinds");
        }
        let mut kinds = self.config.kinds.clone();
        kinds.retain(|k| !learned.contains_key(&k.id));
        kinds.extend(learned.values().filter_map(|(_, block)| block.definition().to_kind()));
        self.updates.learned = learned;
        self.config.kinds = kinds;
        self.storage.reconfigure(self.config.kinds.iter().cloned(), |_| true);
        Ok(Body::ConfigUpdateAns(Empty))
    }

    /// A document is in force from now on (CU-3, CF-5): timers, limits, Kinds, bad nodes. `from` is who sent it.
    fn take_document(
        &mut self,
        now: Instant,
        document: Document,
        from: Option<NodeId>,
        ctx: &mut Context<'_>,
    ) {
        let at = self.time_of_day(now);
        let sequence = document.configuration().sequence;
        let file = document.file().clone();
        let mut config = self.config.clone();
        let applied = config.apply(document, at, ctx.crypto).and_then(|()| check_document(&config, self.me));
        if let Err(why) = applied {
            ctx.effects.fact(Fact::Incompatible { sequence, document: file, why });
            return self.depart(now, ctx);
        }
        self.updates.told.clear();
        if let Some(from) = from {
            // Limits are far above one.
            let _ = self.updates.told.insert(from, now);
        }
        let Configuration { kind_signers, kinds, .. } = match &config.document {
            Some(document) => document.configuration(),
            None => return,
        };
        // CF-4: a Kind goes with the right of its signer.
        self.updates.learned.retain(|id, (signer, _)| {
            let defined = kinds.iter().any(|b| b.definition().id == *id);
            kind_signers.contains(signer) && !config.bad_nodes.contains(signer) && !defined
        });
        config.kinds.extend(self.updates.learned.values().filter_map(|(_, b)| b.definition().to_kind()));
        self.config = config;
        let (timer, message_size) = (self.config.timers.request, self.config.limits.message_size);
        let patience = timer * SENDS.into();
        self.requests.set_interval(timer);
        self.answers.set_lifetime(patience);
        self.ways.set_lifetime(patience);
        self.reassembly.reconfigure(message_size, patience);
        self.connections.set_message_size(message_size);
        let bad = &self.config.bad_nodes;
        self.storage.reconfigure(self.config.kinds.iter().cloned(), |value| {
            let granted = value.granted.iter().flat_map(|granted| granted.nodes.iter());
            !value.signer.node_ids.iter().chain(granted).any(|node| bad.contains(node))
        });
        if self.is_joined() {
            // A longer interval begins after the present one.
            self.tasks.hasten(Task::PeriodicUpdate, now + self.config.timers.update_interval);
            self.tasks.hasten(Task::Fingers, now + self.config.timers.ping_interval);
        }
        ctx.effects.fact(Fact::Reconfigured { sequence, document: file });
        self.shut_out_bad_nodes(now, ctx);
        self.spread(now, ctx);
    }

    /// SB-8: whoever became a bad node has no link here any more.
    fn shut_out_bad_nodes(&mut self, now: Instant, ctx: &mut Context<'_>) {
        for bad in self.config.bad_nodes.clone() {
            self.requests.retain(|request| !request.purpose.ends_with(bad));
            if let Some(link) = self.connections.link_of(bad) {
                self.shun(now, bad);
                self.close(now, link, ctx);
            }
        }
    }

    /// Whether a certificate binds a bad node, so that nothing that it signs counts (SB-8).
    pub fn is_bad(&self, party: &Party) -> bool {
        party.node_ids.iter().any(|node| self.config.bad_nodes.contains(node))
    }

    /// Tells the peers of the Routing Table. They are more than enough: each tells its own.
    fn spread(&mut self, now: Instant, ctx: &mut Context<'_>) {
        for node in self.connections.attached() {
            if self.topology.needs(node) {
                self.send_document(now, node, vec![node.into()], ctx);
            }
        }
    }

    /// Leaves, however far this node has come.
    fn depart(&mut self, now: Instant, ctx: &mut Context<'_>) {
        match self.phase {
            Phase::Idle | Phase::Leaving => {}
            Phase::Joining(_) | Phase::Client => {
                self.forget_everything(ctx);
                ctx.effects.fact(Fact::Left);
            }
            Phase::Member => self.say_goodbye(now, ctx),
        }
    }
}

/// What a document is refused with, and why in words (MC-6).
fn refusal(error: DocumentError) -> Refused {
    use DocumentErrorKind::{
        BadSignature, Expired, NotNewer, NotSigned, UnsignedNamespace, Unsupported, WrongOverlay, WrongSigner,
    };
    let code = match error.kind {
        NotNewer => ErrorCode::CONFIG_TOO_OLD,
        BadSignature(_) | Expired | NotSigned | UnsignedNamespace | Unsupported | WrongOverlay
        | WrongSigner => ErrorCode::FORBIDDEN,
        _ => ErrorCode::INVALID_MESSAGE,
    };
    (code, Bytes::from(error.to_string()))
}

/// Whether this node can be in the overlay with what a document made of its configuration.
fn check_document(config: &Config, me: NodeId) -> Result<(), DocumentError> {
    let unsupported = |element| DocumentError { kind: DocumentErrorKind::Unsupported, element, offset: 0 };
    if config.bad_nodes.contains(&me) {
        return Err(unsupported("bad-node"));
    }
    check(config).map_err(|_| unsupported("configuration"))
}

impl Config {
    /// The largest max-message-size that a document may ask for.
    pub const MAX_MESSAGE_SIZE: u32 = 1 << 20;

    /// The configuration that a document asks for, at a node that others reach at this address. The document is trusted;
    /// whether it may be is the caller's to know. Links are TLS where that is permitted, DTLS where only that is, and plain
    /// only where the document asks for it; how they are made does not change while the node runs. `at` and `crypto` are for the signatures of its Kinds: those that do not
    /// count are left out (CF-4).
    pub fn from_document(
        document: Document,
        address: SocketAddr,
        at: UnixMillis,
        crypto: &dyn Crypto,
    ) -> Result<Self, DocumentError> {
        let mut config = Config::new(&document.configuration().instance_name, address);
        if document.configuration().permits_link(Configuration::TLS) {
            config.security = LinkSecurity::Tls;
        } else if document.configuration().permits_link(Configuration::DTLS_UDP_SR_NO_ICE) {
            config.security = LinkSecurity::Dtls;
        }
        config.apply(document, at, crypto)?;
        check_document(&config, crypto.node_id())?;
        Ok(config)
    }

    /// Takes over what a document says; everything else stays as it is. After an error nothing has changed.
    fn apply(
        &mut self,
        document: Document,
        at: UnixMillis,
        crypto: &dyn Crypto,
    ) -> Result<(), DocumentError> {
        if let Some(unsupported) = document.unsupported() {
            return Err(unsupported);
        }
        let c = document.configuration();
        let unsupported =
            |element| DocumentError { kind: DocumentErrorKind::Unsupported, element, offset: 0 };
        let permitted = match self.security {
            LinkSecurity::InsecurePlain => c.permits_link(Configuration::EXP_PROTOCOL),
            LinkSecurity::Tls => c.permits_link(Configuration::TLS),
            LinkSecurity::Dtls => {
                c.permits_link(Configuration::TLS) || c.permits_link(Configuration::DTLS_UDP_SR_NO_ICE)
            }
        };
        if c.shared_secret.is_some() {
            // Links would have to be keyed with it (CE-12).
            return Err(unsupported("shared-secret"));
        }
        if !permitted {
            return Err(unsupported("overlay-link-protocol"));
        }
        if c.max_message_size > Self::MAX_MESSAGE_SIZE {
            return Err(unsupported("max-message-size"));
        }
        let mut kinds = Vec::new();
        for (block, signer) in document.kinds(at, crypto) {
            if signer.is_ok() {
                kinds.push(block.definition().to_kind().ok_or(unsupported("access-control"))?);
            }
        }
        self.kinds = kinds;
        self.configuration_sequence = c.sequence;
        self.initial_ttl = c.initial_ttl;
        self.timers.request = c.overlay_reliability_timer;
        self.timers.update_interval = c.chord_update_interval;
        self.timers.ping_interval = c.chord_ping_interval;
        self.limits.message_size = c.max_message_size as usize;
        self.bad_nodes = c.bad_nodes.clone();
        self.document = Some(Arc::new(document));
        Ok(())
    }
}
