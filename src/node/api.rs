//! What goes into a node and what comes out of it.

use crate::env::Crypto;
use crate::ids::{ChannelId, ChannelName, KeyFingerprint, NodeId, StreamId};
use crate::reload::configuration::DocumentError;
use crate::reload::overlay::SignatureTicket;
use crate::stats::{DropReason, Plane};
use crate::time::Duration;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

/// One datagram as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The socket it arrived on.
    pub plane: Plane,
    /// Who sent it.
    pub from: SocketAddr,
    /// All of it.
    pub payload: Bytes,
}

/// A channel's owner: for each of its names an identity with the user name `<name>@<overlay>`, all of one key. Whoever has
/// it may publish the channel, and says who relays it (Q4).
pub struct Owner(Vec<Box<dyn Crypto>>);

impl Owner {
    /// The owner with these identities.
    pub fn new(identities: Vec<Box<dyn Crypto>>) -> Self {
        Owner(identities)
    }

    /// The identity of this user name.
    pub fn identity(&self, user: &str) -> Option<&dyn Crypto> {
        self.0.iter().map(|identity| &**identity).find(|identity| identity.user() == Some(user))
    }
}

impl core::fmt::Debug for Owner {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|identity| identity.user())).finish()
    }
}

/// What happened on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamInput {
    /// It is open: accepted by the host, or connected as `Output::Connect` asked.
    Opened {
        /// The other end.
        peer: SocketAddr,
        /// What the stream is for.
        plane: Plane,
    },
    /// Bytes arrived.
    Bytes(Bytes),
    /// It can take more bytes again, after the host had to hold some back.
    Writable,
    /// It is closed, or could not be opened.
    Closed,
}

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It was used.
    Accepted,
    /// It was dropped and counted.
    Dropped(DropReason),
}

/// What the node wants done. The host does them in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a datagram.
    Transmit {
        /// From which socket.
        plane: Plane,
        /// Where to.
        to: SocketAddr,
        /// The whole datagram.
        payload: Bytes,
    },
    /// New packets of one channel, in order: send each to every address of [`Node::children`](crate::node::Node),
    /// and play them if somebody watches here. The buffers are those that came in.
    Media {
        /// The channel.
        channel: ChannelId,
        /// RTP packets, oldest first.
        packets: Vec<Bytes>,
    },
    /// Open a TCP stream and report on it with `handle_stream`.
    Connect {
        /// Its number.
        stream: StreamId,
        /// What it is for.
        plane: Plane,
        /// Where to.
        to: SocketAddr,
    },
    /// Write to a stream.
    Write {
        /// Which one.
        stream: StreamId,
        /// What, after everything written before.
        bytes: Bytes,
    },
    /// Close a stream once everything written has left.
    Close {
        /// Which one.
        stream: StreamId,
    },
    /// Sign these octets under the node's identity, in another thread, and bring the signature by
    /// [`Node::handle_signature`](crate::node::Node::handle_signature). Only with
    /// [`deferred_signing`](crate::reload::overlay::Config::deferred_signing).
    Sign {
        /// The number to bring it under.
        ticket: SignatureTicket,
        /// What it has to cover, in one piece.
        octets: Bytes,
    },
    /// Something a user may want to know.
    Event(Event),
}

/// A peer: parent, child or relayer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerName {
    /// The user part of the peer's SIP URI: "1", "source", "alice".
    pub name: String,
    /// Its Node-ID, where it has told one (a plain SIP agent has none).
    pub node_id: Option<NodeId>,
}

/// Something a user may want to know. Each event carries its facts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// This node is a peer of the overlay now.
    Joined,
    /// No bootstrap node answered.
    JoinFailed,
    /// The user name of this node, which has made its certificate itself, is another node's in this overlay (RFC 6940
    /// §11.3.1): another one should be chosen.
    UserNameTaken {
        /// The node that has the name.
        by: NodeId,
    },
    /// The channel's record is stored; viewers can find it.
    Published {
        /// The channel.
        channel: ChannelId,
    },
    /// The channel's record could not be stored; the node goes on trying.
    PublishFailed {
        /// The channel.
        channel: ChannelId,
    },
    /// The source is gone, and this node, which stood by, publishes the channel: its media is wanted.
    TookOver {
        /// The channel.
        channel: ChannelId,
    },
    /// The lookup found these providers (answer to the command `providers`).
    Providers {
        /// The name that was looked up.
        name: ChannelName,
        /// The live records, best first.
        providers: Vec<ProviderInfo>,
    },
    /// Nobody offers this channel.
    NotFound {
        /// The channel.
        channel: ChannelId,
    },
    /// Everybody who offers this channel is full or does not answer; the node tries again after this long.
    Unavailable {
        /// The channel.
        channel: ChannelId,
        /// Until the next attempt.
        retry_after: Duration,
    },
    /// The first packet of the channel has arrived.
    Playing {
        /// The channel.
        channel: ChannelId,
        /// Who sends it.
        parent: PeerName,
        /// Hops from the source; 1 below the source itself.
        depth: u8,
    },
    /// Media stopped: the parent is gone, or silent.
    Orphaned {
        /// The channel.
        channel: ChannelId,
        /// The parent that was lost.
        parent: PeerName,
    },
    /// The parent is silent, and a backup parent sends the media meanwhile; the tree is as it was.
    Covered {
        /// The channel.
        channel: ChannelId,
        /// Who sends it.
        provider: PeerName,
    },
    /// Media flows again, or from somebody else now. The parent may be the one that had fallen silent.
    Reparented {
        /// The channel.
        channel: ChannelId,
        /// The parent.
        parent: PeerName,
        /// Hops from the source.
        depth: u8,
        /// Whether a rescue slot was used (until an ordinary one is found).
        rescue: bool,
    },
    /// This node was elected as a relayer of the channel.
    Elected {
        /// The channel.
        channel: ChannelId,
    },
    /// This node's record as a relayer is stored; viewers can find it.
    Registered {
        /// The channel.
        channel: ChannelId,
    },
    /// A child is served here now.
    ChildJoined {
        /// The channel.
        channel: ChannelId,
        /// The child.
        child: PeerName,
    },
    /// A child is no longer served here.
    ChildLeft {
        /// The channel.
        channel: ChannelId,
        /// The child.
        child: PeerName,
    },
    /// This node told its elector that it is full.
    FullCapacityReported {
        /// The channel.
        channel: ChannelId,
    },
    /// The table of [`Node::table`](crate::node::Node) changed.
    TableChanged {
        /// The channel.
        channel: ChannelId,
    },
    /// An elected relayer is ready: it accepted, and reports to this node.
    RelayerReady {
        /// The channel.
        channel: ChannelId,
        /// The relayer.
        relayer: PeerName,
    },
    /// A relayer of this node's table has fallen silent or left.
    RelayerLost {
        /// The channel.
        channel: ChannelId,
        /// The relayer.
        relayer: PeerName,
    },
    /// A parent has sent other packets than the source, and those of the source were missing. Nothing of that was played or
    /// passed on, and that parent is left.
    Deceived {
        /// The channel.
        channel: ChannelId,
        /// The parent that was.
        parent: PeerName,
    },
    /// The channel is over for this node.
    Ended {
        /// The channel.
        channel: ChannelId,
        /// Why.
        reason: EndReason,
    },
    /// Records of several owners stand under the channel's name. This one's are used; whoever wants another's says so with
    /// [`Node::tune_to`](crate::node::Node::tune_to).
    Disputed {
        /// The channel.
        channel: ChannelId,
        /// The owner whose records are used.
        owner: KeyFingerprint,
        /// The others.
        others: Vec<KeyFingerprint>,
    },
    /// A newer configuration document is in force. The host keeps the file for the next start, and tells its
    /// [`Crypto`] of new roots and bad nodes (`tls::Identity::believe`).
    Reconfigured {
        /// Its number.
        sequence: u16,
        /// The file.
        document: Bytes,
    },
    /// A newer configuration document asks for something that this node cannot do, so it leaves (RFC 6940 §11.1).
    Incompatible {
        /// Its number.
        sequence: u16,
        /// The file.
        document: Bytes,
        /// What it asks for.
        why: DocumentError,
    },
    /// The node has left the overlay; nothing more will come.
    Left,
}

/// Why a channel is over for this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The source ended the channel.
    EndOfChannel,
    /// This node stopped watching or publishing.
    Stopped,
    /// The source is gone, and no other one has come.
    SourceLost,
    /// This node published, and another source does now: one of a later epoch, or of the same one with a lower Node-ID.
    Superseded,
}

/// One provider of a channel, as its record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderInfo {
    /// The provider's Node-ID.
    pub node_id: NodeId,
    /// Whether it is the source itself.
    pub is_source: bool,
    /// Hops from the source; 0 is the source itself.
    pub depth: u8,
    /// Free slots when the record was stored.
    pub free_slots: u16,
    /// Its SIP URI.
    pub contact: String,
    /// The key of the owner who granted it to be one; `None` in an overlay where everybody is believed.
    pub owner: Option<KeyFingerprint>,
}

/// How a channel stands at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelStatus {
    /// Whether this node publishes it.
    pub publisher: bool,
    /// Hops from the source; 0 for the publisher, `None` without a parent.
    pub depth: Option<u8>,
    /// The parent, once it has answered, whether it sends or not.
    pub parent: Option<PeerName>,
    /// Whether this node sits in its parent's rescue slot.
    pub rescue: bool,
    /// Whether media comes.
    pub playing: bool,
    /// Whether this node is an elected relayer of the channel.
    pub relayer: bool,
    /// Children in ordinary slots.
    pub children: usize,
    /// Children in rescue slots.
    pub rescued: usize,
}

/// One row of the peer table (table 1 of the paper).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRow {
    /// Hops from the source; `None` while nobody knows where the peer hangs.
    pub depth: Option<u8>,
    /// The peer.
    pub peer: PeerName,
    /// Its parent; `None` is this node itself, or not known.
    pub parent: Option<PeerName>,
    /// Whether it is an elected relayer.
    pub relayer: bool,
}

/// The caller's mistake, told at once. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The overlay has to be joined first.
    #[error("not joined to an overlay")]
    NotJoined,
    /// The overlay is joined, or being joined, already.
    #[error("already joined")]
    AlreadyJoined,
    /// The node is leaving.
    #[error("the node is leaving")]
    Leaving,
    /// No such channel at this node.
    #[error("no such channel here")]
    UnknownChannel,
    /// This node publishes or watches the channel already.
    #[error("the channel is in use here already")]
    ChannelInUse,
    /// Only the publisher can do this.
    #[error("this node does not publish the channel")]
    NotPublisher,
    /// The overlay is secured, and the owner's identities for the channel and its keywords were not given.
    #[error("the channel's owner has to be given for its name and every keyword")]
    NoOwner,
    /// These bytes are not an RTP packet that may be sent beside RTCP, and beside the lists of hashes in a secured overlay.
    #[error("not an RTP packet")]
    NotRtp,
    /// The packet is larger than [`relay::Limits::datagram`](crate::rtp::relay::Limits).
    #[error("the packet is larger than a datagram may be")]
    TooLarge,
    /// A packet of this sequence number was sent already, or it is out of the order that receivers would follow.
    #[error("the sequence number is out of order")]
    OutOfSequence,
    /// An ordinary node cannot join without the address of a bootstrap node.
    #[error("no bootstrap node is given")]
    NoBootstrap,
    /// `handle_wall_clock` has to be called first: records carry the time of day.
    #[error("the time of day is not known")]
    NoWallClock,
    /// A limit of the configuration, or outputs that the host has not drained.
    #[error("too many {0}")]
    Limit(&'static str),
}
