//! What an overlay is told once: its name, its timers, its limits, the Kinds it knows.

use super::app::Application;
use super::usages::Usages;
use crate::ids::NodeId;
use crate::reload::codec::KindId;
use crate::reload::configuration::Document;
use crate::reload::link::Reliability;
use crate::reload::storage::Kind;
use crate::reload::via::ReturnPath;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// How links are secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LinkSecurity {
    /// Plain UDP. The other end of a link is whoever signed the first message with an empty Via list that came over it;
    /// nothing is secret, and whoever can forge a source address can break a link. Offered and accepted as overlay link
    /// type EXP-LINK (RFC 6940 §14.10).
    #[default]
    InsecurePlain,
    /// TLS over TCP (link type TLS-TCP-FH-NO-ICE, RFC 6940 §6.6.5). The other end of a link is whom its certificate names.
    Tls,
    /// DTLS over UDP with simple reliability (link type DTLS-UDP-SR-NO-ICE, RFC 6940 §6.6.6). The other end of a link is
    /// whom its certificate names.
    Dtls,
}

/// The configuration of one overlay instance at this node.
#[derive(Clone, Debug)]
pub struct Config {
    /// The instance name: a domain name (RFC 6940 §6.3.2, FH-3).
    pub overlay_name: String,
    /// Where other nodes reach this one; stands in Attach candidates.
    pub address: SocketAddr,
    /// How links are secured.
    pub security: LinkSecurity,
    /// The configuration sequence number that goes into every header (RFC 6940 §6.3.2.1).
    pub configuration_sequence: u16,
    /// The initial-ttl: hops that a message may take, 1 to 255; 100 in the RFC.
    pub initial_ttl: u8,
    /// The largest datagram, frame included, that goes unbroken to other nodes; larger messages are sent as fragments
    /// (RFC 6940 §6.7).
    pub path_mtu: usize,
    /// How the answers to requests that pass find their way back (RFC 6940 §6.1.2).
    pub return_path: ReturnPath,
    /// The applications of this node that others may ask for by AppAttach (RFC 6940 §6.5.2).
    pub applications: Vec<Application>,
    /// Timers.
    pub timers: Timers,
    /// Limits.
    pub limits: Limits,
    /// What this node stores about itself, as far as the Kinds for it are among the following.
    pub usages: Usages,
    /// Nodes that are shut out: no link to them, no word of theirs counts (SB-8).
    pub bad_nodes: Vec<NodeId>,
    /// The Kinds that may be stored here. Whatever is not listed is answered with Error_Unknown_Kind.
    pub kinds: Vec<Kind>,
    /// Whether the host makes this node's signatures: [`Fact::ToSign`](super::Fact::ToSign) asks for each. Otherwise they
    /// are made at once, within the calls. The signatures of a channel's owner are always made at once.
    pub deferred_signing: bool,
    /// The document that all of this comes from ([`Config::from_document`]). Without one nobody can change it but the host,
    /// and nobody is told of it.
    pub document: Option<Arc<Document>>,
}

impl Config {
    /// The defaults for an overlay of this name: the RFC's timers, the channel Kind.
    pub fn new(overlay_name: &str, address: SocketAddr) -> Self {
        Config {
            overlay_name: String::from(overlay_name),
            address,
            security: LinkSecurity::InsecurePlain,
            configuration_sequence: 1,
            initial_ttl: 100,
            path_mtu: 1400,
            return_path: ReturnPath::Full,
            applications: Vec::new(),
            timers: Timers::default(),
            limits: Limits::default(),
            usages: Usages::default(),
            bad_nodes: Vec::new(),
            kinds: alloc::vec![Kind::CHANNEL],
            deferred_signing: false,
            document: None,
        }
    }
}

/// Timers. The defaults are the RFC's where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// overlay-reliability-timer: between two transmissions of a request; at least 200 ms (RFC 6940 §6.2.1).
    pub request: Duration,
    /// Simple reliability of a link (RFC 6940 §6.6.3.1).
    pub link: Reliability,
    /// How long a link over a stream is kept on which no ACK comes any more (RFC 6940 §6.6.5).
    pub link_grace: Duration,
    /// chord-update-interval: between two periodic Updates to the neighbours (RFC 6940 §10.7.4.1).
    pub update_interval: Duration,
    /// chord-ping-interval: between two searches for better fingers (RFC 6940 §10.7.4.2); the first follows the join at
    /// once.
    pub ping_interval: Duration,
    /// A neighbour from which nothing has come for this long is pinged: the connectivity Pings of RFC 6940 §10.7.1, which
    /// leaves their interval open. By 5/4 of it and seven times the RTO of its link a crash is noticed.
    pub neighbor_ping_interval: Duration,
    /// A finger from which nothing has come for this long is pinged: as often as ICE keeps a path open (RFC 8445 §11).
    pub keep_alive: Duration,
    /// Between two searches for another part of the overlay through a bootstrap node (RFC 6940 §10.7.4.4).
    pub partition_interval: Duration,
    /// Updates that follow from one change wait this long, so that a burst of changes gives one Update.
    pub settle: Duration,
    /// Before replicas are made for a successor that replaces a lost one: the hold-down of RFC 6940 §10.7.1. It is there for
    /// a triggered Update that tells of a better match, and ends when the Update of the new replica has come and agrees.
    pub hold_down: Duration,
    /// A link of which it is not known whom it binds is given up after this long. It is also the time within which two
    /// dials count as crossing.
    pub dial: Duration,
    /// Before a refused or failed attempt to join begins anew.
    pub join_retry: Duration,
    /// A signature that the host makes is waited for so long.
    pub signature: Duration,
    /// [`Left`](super::Fact::Left) comes at the latest this long after `leave`.
    pub leave: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Timers {
            request: Duration::from_secs(3),
            link: Reliability::default(),
            link_grace: Duration::from_secs(30),
            update_interval: Duration::from_secs(600),
            ping_interval: Duration::from_secs(3600),
            neighbor_ping_interval: Duration::from_secs(5),
            keep_alive: Duration::from_secs(15),
            partition_interval: Duration::from_secs(600),
            settle: Duration::from_millis(100),
            hold_down: Duration::from_secs(30),
            dial: Duration::from_millis(3500),
            join_retry: Duration::from_secs(1),
            signature: Duration::from_secs(3),
            leave: Duration::from_secs(3),
        }
    }
}

/// What peers can make grow, and how far. What happens at a limit stands with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Links. Full: of those that are neither neighbour nor finger one gives way, of the host
    /// ([`HostPrefix`](crate::ids::HostPrefix)) with most links the one idle longest; if there is none, newcomers are dropped.
    pub links: usize,
    /// Links whose other end has not completed an Attach. Full: one of these gives way, chosen in the same way, so that
    /// nobody who opens many keeps others from joining. At most half as many are dialled at one time because somebody
    /// asked; more are refused with Error_In_Progress.
    pub half_open: usize,
    /// Messages that wait on one link. Full: the new message is dropped, and end-to-end retransmission repeats it.
    pub link_queue: usize,
    /// Requests under way. A quarter of them may be Attaches to nodes that others told of. Full: commands fail at once with [`Failure::TooMany`](super::Failure::TooMany); maintenance waits for its next turn.
    pub requests: usize,
    /// Certificates that were left out of one answer to a Fetch and are fetched one after the other. More: the values that
    /// need them count as discarded.
    pub certificates: usize,
    /// Remembered answers. Full: the oldest goes.
    pub answers: usize,
    /// Bytes of remembered answers. Full: the oldest goes.
    pub answer_bytes: usize,
    /// max-message-size (RFC 6940 §6.6); 5000 in the RFC.
    pub message_size: usize,
    /// Messages of which fragments are missing. Full: of the link that sent most of them the oldest goes.
    pub incomplete: usize,
    /// The same for one link. Full: its oldest goes.
    pub incomplete_of_one_link: usize,
    /// Via Lists kept here, with [`ReturnPath::Kept`]. Full: the next ones travel on as they are.
    pub kept_paths: usize,
    /// Resource-IDs stored here. Full: Error_Data_Too_Large.
    pub resources: usize,
    /// Values stored here, all Resource-IDs together. Full: Error_Data_Too_Large.
    pub values: usize,
    /// Bytes stored here, signatures and certificates included. Full: Error_Data_Too_Large.
    pub value_bytes: usize,
    /// Values that one key has signed. Full: Error_Data_Too_Large.
    pub signer_values: usize,
    /// Bytes that one key has signed, its certificates included. Full: Error_Data_Too_Large.
    pub signer_bytes: usize,
    /// Places at which this node remembers how new a value was when it saw it. Full: the place seen first is forgotten.
    pub seen: usize,
    /// Channels and owners of which this node remembers the newest epoch that was stored here. Full: the one seen first is
    /// forgotten.
    pub epochs: usize,
    /// How long a value lives here. Longer: it lives this long.
    pub lifetime: Duration,
    /// Replica Stores and transfers that wait for their answers at one time; the others follow when answers come.
    pub transfers: usize,
    /// Messages from this node to itself that one call works off.
    pub turns: usize,
    /// Messages that one call signs. What is more waits for the next call, which `deadline` asks for at once, so that a
    /// host can send media in between.
    pub signatures: usize,
    /// Signatures of others that one call checks, and on top those of the message that it is at: of the message itself, and
    /// of the values in it, which have more than a hundred bytes each. Further messages wait for the next call.
    pub verifications: usize,
    /// Messages that came and wait for the check of their signatures. Full: the new one is dropped.
    pub unverified: usize,
    /// The same of one link. Full: the new one is dropped.
    pub unverified_of_one_link: usize,
    /// Messages that wait for their signatures, and with [`Config::deferred_signing`] values as well. Full: a request fails with [`Failure::TooMany`](super::Failure::TooMany).
    /// Half full: requests of others are dropped.
    pub unsigned: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            links: 256,
            half_open: 64,
            link_queue: 64,
            requests: 512,
            certificates: 4,
            answers: 1024,
            answer_bytes: 1 << 20,
            message_size: 5000,
            incomplete: 64,
            incomplete_of_one_link: 16,
            kept_paths: 1024,
            resources: 4096,
            values: 16384,
            value_bytes: 8 << 20,
            signer_values: 1024,
            signer_bytes: 1 << 20,
            seen: 1024,
            epochs: 1024,
            lifetime: Duration::from_secs(24 * 3600),
            transfers: 8,
            turns: 64,
            signatures: 8,
            verifications: 16,
            unverified: 256,
            unverified_of_one_link: 64,
            unsigned: 512,
        }
    }
}

/// Refuses configurations with which nothing could work.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let Limits { links, half_open, link_queue, requests, message_size, transfers, turns, .. } = config.limits;
    let Limits { incomplete, incomplete_of_one_link, signatures, unsigned, .. } = config.limits;
    let Limits { verifications, unverified, unverified_of_one_link, .. } = config.limits;
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if config.overlay_name.len() > 253 || !config.overlay_name.split('.').all(label) {
        return Err(ConfigError::BadName);
    }
    if config.timers.request < Duration::from_millis(200) {
        return Err(ConfigError::RequestTimer);
    }
    if config.initial_ttl == 0 {
        return Err(ConfigError::InitialTtl);
    }
    let least = [
        ("links", links, 8),
        ("half_open", half_open, 1),
        ("link_queue", link_queue, 1),
        ("requests", requests, 16),
        ("message_size", message_size, 2048),
        ("transfers", transfers, 1),
        ("incomplete", incomplete, 1),
        ("incomplete_of_one_link", incomplete_of_one_link, 1),
        ("turns", turns, 8),
        ("signatures", signatures, 1),
        ("unsigned", unsigned, 16),
        ("verifications", verifications, 1),
        ("unverified", unverified, 1),
        ("unverified_of_one_link", unverified_of_one_link, 1),
    ];
    if let Some((name, ..)) = least.iter().find(|(_, have, need)| have < need) {
        return Err(ConfigError::Limit(name));
    }
    let ids: BTreeSet<KindId> = config.kinds.iter().map(|k| k.id).collect();
    if ids.len() != config.kinds.len() { Err(ConfigError::DuplicateKind) } else { Ok(()) }
}

/// The configuration cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The overlay name is not a domain name (FH-3).
    #[error("the overlay name is not a domain name")]
    BadName,
    /// The overlay-reliability-timer is below 200 ms.
    #[error("the overlay-reliability-timer is below 200 ms")]
    RequestTimer,
    /// The initial TTL is 0.
    #[error("the initial TTL is 0")]
    InitialTtl,
    /// A limit that is too small to work with.
    #[error("the limit {0} is too small")]
    Limit(&'static str),
    /// Two Kinds have the same number.
    #[error("a Kind is listed twice")]
    DuplicateKind,
}
