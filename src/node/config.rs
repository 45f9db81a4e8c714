//! What a node is told once.

use super::records::LIFETIME;
use crate::env::Crypto;
use crate::iptv;
use crate::reload::configuration::{Document, DocumentError};
use crate::reload::overlay::{self, LinkSecurity};
use crate::reload::redir;
use crate::reload::storage::Kind;
use crate::rtp::relay;
use crate::secure;
use crate::sip::agent;
use crate::stats::Plane;
use crate::time::{Duration, UnixMillis};
use alloc::string::String;
use core::net::SocketAddr;

/// Where others reach this node; one socket for each plane (SIP listens on UDP and TCP of the same port). Signalling and
/// media have the same IP address: no peer sends media elsewhere than where a call came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// RELOAD.
    pub overlay: SocketAddr,
    /// SIP.
    pub signalling: SocketAddr,
    /// RTP and RTCP, multiplexed (RFC 5761).
    pub media: SocketAddr,
}

impl Addresses {
    /// The socket of one plane.
    pub const fn of(&self, plane: Plane) -> SocketAddr {
        match plane {
            Plane::Overlay => self.overlay,
            Plane::Signalling => self.signalling,
            Plane::Media => self.media,
        }
    }
}

/// How the node proves who it is, and asks others to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Security {
    /// Plain links, believed names: for tests and closed networks.
    InsecurePlain,
    /// TLS on every stream: overlay links (TLS-TCP-FH-NO-ICE, RFC 6940 §6.6.5) and SIP, with the certificates that signed
    /// messages go by; RTCP under keys that SIP exchanges; and media that the channel's owner signs
    /// ([`rtp::integrity`](crate::rtp::integrity)). Needs [`Node::secured`](super::Node::secured).
    Tls,
    /// The same, but for overlay links, which are DTLS over UDP (DTLS-UDP-SR-NO-ICE, RFC 6940 §6.6.6). Needs
    /// [`Node::secured_datagrams`](super::Node::secured_datagrams).
    Dtls,
}

/// What a node is told once. Every part can be tuned; [`Config::new`] has sensible values for all.
#[derive(Clone, Debug)]
pub struct Config {
    /// The user part of this node's SIP URI, 1 to 64 characters of a [`ChannelName`](crate::ids::ChannelName)'s alphabet.
    pub name: String,
    /// Where others reach it.
    pub addresses: Addresses,
    /// How links are secured.
    pub security: Security,
    /// The overlay plane.
    pub overlay: overlay::Config,
    /// The signalling plane.
    pub agent: agent::Config,
    /// Secured streams, and associations.
    pub streams: secure::Limits,
    /// The media plane's limits.
    pub media: relay::Limits,
    /// The policy: profile, capacity, timers.
    pub policy: iptv::Config,
    /// How long a channel's record lives in the overlay without being refreshed (at half of it, with jitter). The record says
    /// so, where it is not a minute.
    pub record_lifetime: Duration,
    /// A record that could not be stored is tried again after this long.
    pub record_retry: Duration,
    /// How relayers stand in the tree of a channel whose name has no room for them, and how long a lookup waits there. In a
    /// secured overlay they live for two fifths of a grant at most.
    pub redir: redir::Config,
    /// Whether viewers look into a channel's tree before they ask for its name: for overlays with audiences so large that
    /// the peer with the name could not answer them. A channel of few viewers is found a little later then.
    pub tree_first: bool,
    /// How long a relayer may be found by the word of the channel's owner, unless that is renewed (at half of it).
    pub grant_lifetime: Duration,
    /// Where relayers elect, the source gives no more than one grant in this time, for each channel, to those whom it has not
    /// elected itself. At least 100 ms.
    pub grant_interval: Duration,
    /// A child that never sends RTCP is asked for a sign of life this often (P17).
    pub refresh: Duration,
    /// Once no child waits for another parent (`policy.farewell`), `leave` waits at most this long for BYEs and removals before it leaves the overlay all the same.
    pub farewell: Duration,
    /// What may grow.
    pub limits: Limits,
}

/// What may grow at the node itself. The planes and the policy have limits of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Facts and orders that one input may cause; what is left over waits for the next call, which is due at once.
    pub turns: usize,
    /// Peers whose contacts are remembered. Full: the one mentioned longest ago is forgotten.
    pub peers: usize,
    /// Outputs that may wait for the host. Full: datagrams that arrive are dropped unread, those to be sent are dropped
    /// unsent, a stream that brings more is closed; at twice as many, events and what streams were to be told go too.
    pub outputs: usize,
    /// Keywords of one channel; more are refused.
    pub keywords: usize,
    /// Lookups by [`providers`](super::Node::providers) under way; more are refused.
    pub queries: usize,
    /// Grants at a time for relayers that relayers have elected, all channels that are published here together; further ones
    /// are found by whoever is sent on to them.
    pub grants: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { turns: 1024, peers: 8192, outputs: 16_384, keywords: 16, queries: 16, grants: 128 }
    }
}

impl Config {
    /// A node of this name in this overlay, with room for two children and everything else at its default. Nothing is secured:
    /// links and SIP are plain until [`Config::security`] says otherwise, and identities are what
    /// [`Node::secured`](super::Node::secured) is given.
    pub fn new(name: &str, overlay_name: &str, addresses: Addresses) -> Self {
        let mut agent = agent::Config::new(name, addresses.signalling);
        agent.domain = String::from(overlay_name);
        let mut overlay = overlay::Config::new(overlay_name, addresses.overlay);
        overlay.kinds.push(Kind::REDIR);
        Config {
            name: String::from(name),
            addresses,
            security: Security::InsecurePlain,
            overlay,
            agent,
            streams: secure::Limits::default(),
            media: relay::Limits::default(),
            policy: iptv::Config::default(),
            record_lifetime: LIFETIME,
            record_retry: Duration::from_secs(2),
            // Relayers go without a word; the RFC's ten minutes are for services that stay.
            redir: redir::Config { lifetime: Duration::from_secs(240), ..redir::Config::default() },
            tree_first: false,
            grant_lifetime: Duration::from_secs(600),
            grant_interval: Duration::from_secs(1),
            refresh: Duration::from_secs(30),
            farewell: Duration::from_millis(700),
            limits: Limits::default(),
        }
    }

    /// A node of this name in the overlay of a configuration document (RFC 6940 §11.1). The document says how links are
    /// secured, what is stored and how large messages are; that it is genuine is the caller's to know. `at` is the time of
    /// day, and `crypto` checks who signed its Kinds.
    pub fn from_document(
        name: &str,
        addresses: Addresses,
        document: Document,
        at: UnixMillis,
        crypto: &dyn Crypto,
    ) -> Result<Self, DocumentError> {
        let overlay = overlay::Config::from_document(document, addresses.overlay, at, crypto)?;
        let security = match overlay.security {
            LinkSecurity::InsecurePlain => Security::InsecurePlain,
            LinkSecurity::Tls => Security::Tls,
            LinkSecurity::Dtls => Security::Dtls,
        };
        Ok(Config {
            security,
            overlay: overlay.clone(),
            ..Config::new(name, &overlay.overlay_name, addresses)
        })
    }
}

/// The configuration cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The name cannot stand in a SIP URI.
    #[error("the node's name must have 1 to 64 letters, digits or -_.!~*'&=+$")]
    BadName,
    /// A [`Security`] without the channels that it needs, or channels that it does not need.
    #[error(
        "Security::Tls needs Node::secured, Security::Dtls Node::secured_datagrams, and each needs the other"
    )]
    Security,
    /// The overlay plane's own complaint.
    #[error(transparent)]
    Overlay(#[from] overlay::ConfigError),
    /// The signalling plane's own complaint.
    #[error(transparent)]
    Agent(#[from] agent::ConfigError),
}
