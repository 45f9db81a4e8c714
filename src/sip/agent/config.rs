//! What an agent is told once: who it is, how patient it is, how much it may hold.

use crate::ids::NodeId;
use crate::sip::transaction::Timers;
use crate::time::Duration;
use alloc::string::String;
use core::net::SocketAddr;

/// How a request travels. Both use the same port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Transport {
    /// Datagrams. A request above [`Limits::datagram`] goes by TCP all the same (RFC 3261 §18.1.1).
    #[default]
    Udp,
    /// One stream per peer, used in both directions.
    Tcp,
    /// The same over TLS, asked for by a `sips:` URI (RFC 5630). The agent hears of such a stream when it is known who is
    /// at its other end.
    Tls,
}

/// What an agent is told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The SIP socket as peers reach it, never the unspecified address: it stands in Via and Contact, and a response
    /// whose Via says something else is not ours. UDP and TCP share the port.
    pub local: SocketAddr,
    /// The user part of this node's SIP URI: "1", "source".
    pub name: String,
    /// The host part of From and To: `<sip:name@domain>`. It is a name for people and is never resolved.
    pub domain: String,
    /// Told to peers as `;node-id=` of the Contact.
    pub node_id: Option<NodeId>,
    /// What this agent asks for in its own Contact. With [`Transport::Tls`] it is a secured agent: every stream that it
    /// asks for is a TLS one, and what belongs to a call is taken from the node that proved to be its other end only.
    pub transport: Transport,
    /// A secured agent takes calls from plain SIP agents as well, over datagrams and unsecured streams. Nobody knows who
    /// they are, and they cannot claim to be a node.
    pub insecure_peers: bool,
    /// Whether the Info-Package `iptv-tree` is offered by Recv-Info (RFC 6086). Without it, or when the peer does not
    /// offer it, INFO is the legacy one with text/plain.
    pub info_package: bool,
    /// T1, T2, T4 and what hangs on them.
    pub timers: Timers,
    /// An INVITE without a final answer is given up after this long: a received one with 480, a placed one with CANCEL.
    pub ring: Duration,
    /// A stream that nobody used for this long is closed.
    pub stream_idle: Duration,
    /// What a peer can make grow.
    pub limits: Limits,
}

impl Config {
    /// Whether this is a secured agent.
    pub fn is_secured(&self) -> bool {
        self.transport == Transport::Tls
    }

    /// The defaults for an agent of this name at this address: UDP, domain `p2piptv.invalid`, RFC 3261's timers.
    pub fn new(name: &str, local: SocketAddr) -> Self {
        Config {
            local,
            name: String::from(name),
            domain: String::from("p2piptv.invalid"),
            node_id: None,
            transport: Transport::Udp,
            insecure_peers: false,
            info_package: true,
            timers: Timers::default(),
            ring: Duration::from_secs(32),
            stream_idle: Duration::from_secs(120),
            limits: Limits::default(),
        }
    }
}

/// A configuration that no agent can work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// [`Config::domain`] is neither a host name nor an address.
    #[error("the domain is not a host name")]
    Domain,
}

/// What a peer can make grow, and what happens at the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls at a time, placed and received. A further INVITE is answered 503; a further order is an error.
    pub calls: usize,
    /// Server transactions at a time. A further request is answered 503 without state, a further ACK is dropped. The
    /// last quarter is kept for requests inside dialogs.
    pub server_transactions: usize,
    /// Server transactions at a time of requests outside of dialogs that came from one host
    /// ([`HostPrefix`](crate::ids::HostPrefix)). A further request is answered 503 without state, so that one flood leaves
    /// room for everybody else.
    pub strangers_per_host: usize,
    /// Client transactions at a time. A further order is an error.
    pub client_transactions: usize,
    /// Streams at a time. For a further accepted one, and for one beyond three quarters of them, an accepted one on which
    /// no call depends gives way, of the host that has most: the one unused longest. If there is none the new one is closed.
    /// A request that needs a new one fails.
    pub streams: usize,
    /// Accepted streams of one host ([`HostPrefix`](crate::ids::HostPrefix)). For a further one another one of that host gives
    /// way, or it is closed.
    pub streams_per_host: usize,
    /// Bytes that wait for a stream to open. Beyond it a request fails.
    pub unwritten: usize,
    /// The largest request that goes by UDP when both are possible (RFC 3261 §18.1.1).
    pub datagram: usize,
    /// INFO and OPTIONS that were ordered inside one call and not answered yet. A further order is an error.
    pub requests_per_call: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            calls: 1024,
            server_transactions: 4096,
            strangers_per_host: 512,
            client_transactions: 4096,
            streams: 256,
            streams_per_host: 64,
            unwritten: 64 * 1024,
            datagram: 1300,
            requests_per_call: 16,
        }
    }
}
