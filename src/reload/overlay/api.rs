//! What goes into an overlay and what comes out of it: orders with a ticket, facts that answer them.

use super::signing::SignatureTicket;
use crate::effect::Effects;
use crate::env::{Crypto, Entropy, Party};
use crate::ids::{NodeId, ResourceId};
use crate::reload::codec::body::{Selection, StoreKindResponse};
use crate::reload::codec::{ApplicationId, ErrorCode, KindId, MetaData};
use crate::reload::configuration::DocumentError;
use crate::reload::storage::Slot;
use crate::stats::DropReason;
use crate::time::UnixMillis;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;

/// What an input may use and where its effects go.
pub struct Context<'a> {
    /// Transaction ids and jitter.
    pub entropy: &'a mut dyn Entropy,
    /// Who this node is.
    pub crypto: &'a dyn Crypto,
    /// Datagrams to send, facts to know.
    pub effects: &'a mut Effects<Fact>,
}

/// The caller's number for an order; its answer carries it. The overlay gives it no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The place of one value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The Resource-ID.
    pub resource: ResourceId,
    /// The Kind.
    pub kind: KindId,
    /// Where within them.
    pub slot: Slot,
}

/// One value of a Store, or one that it removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The Kind.
    pub kind: KindId,
    /// Where.
    pub slot: Slot,
    /// What; `None` removes what is there (RFC 6940 §7.4.1.3).
    pub value: Option<Bytes>,
    /// How long it lives, in whole seconds. A removal must live at least as long as what it removes.
    pub lifetime: Duration,
}

/// What a Fetch or Stat asks for of one Kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The Kind.
    pub kind: KindId,
    /// Which values.
    pub selection: Selection,
    /// The generation counter that this node has seen: when it is still the same the answer holds no values (FE-5). 0 for
    /// none.
    pub known: u64,
}

/// Something that the policy must know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fact {
    /// This node is a peer of the overlay now: it routes and stores.
    Joined,
    /// No bootstrap node let it in. The overlay is idle again; another `join` may follow.
    JoinFailed,
    /// The answer to a `store`, `remove` or `store_all`.
    Stored {
        /// The order's ticket.
        ticket: Ticket,
        /// For each Kind its generation counter after the store, and who holds replicas; or why not.
        result: Result<Vec<StoreKindResponse>, Failure>,
    },
    /// The answer to a `fetch` or `fetch_all`.
    Fetched {
        /// The order's ticket.
        ticket: Ticket,
        /// The values whose signatures hold; none when nothing is stored there.
        result: Result<Vec<Value>, Failure>,
        /// The generation counter of each Kind.
        generations: Vec<(KindId, u64)>,
        /// Values of the answer that were thrown away because their signatures do not hold, or because their signers may
        /// not write there: the answer is partial (FE-6).
        discarded: usize,
    },
    /// The answer to a `stat`.
    Described {
        /// The order's ticket.
        ticket: Ticket,
        /// What there is, as the answering peer says: nothing of this is signed by the writers.
        result: Result<Vec<Description>, Failure>,
        /// The generation counter of each Kind.
        generations: Vec<(KindId, u64)>,
    },
    /// The answer to a `find`.
    Found {
        /// The order's ticket.
        ticket: Ticket,
        /// For each Kind that may be searched for the nearest Resource-ID where there is one.
        result: Result<Vec<(KindId, Option<ResourceId>)>, Failure>,
    },
    /// The answer to a `find_turn_server`.
    TurnServerFound {
        /// The order's ticket.
        ticket: Ticket,
        /// Its address; `None` when there was none at several random places.
        result: Result<Option<SocketAddr>, Failure>,
    },
    /// The user name in this node's certificate, which it has signed itself, is another node's: that one's certificate was
    /// there first (RFC 6940 §11.3.1). Another name should be chosen. This node's certificate is not stored under the name
    /// as long as that is so; it is looked at again after half of [`Usages::lifetime`](super::Usages::lifetime).
    UserNameTaken {
        /// The node that has the name.
        by: NodeId,
    },
    /// The answer to an `app_attach`: the node that answered, and where its application can be reached.
    AppAttached {
        /// The order's ticket.
        ticket: Ticket,
        /// Who, and where; or why not. [`Failure::Refused`] with Error_Not_Found means that it has no such application.
        result: Result<(NodeId, SocketAddr), Failure>,
    },
    /// Another node was told where an application of this node can be reached.
    AppAttachAsked {
        /// Which one.
        application: ApplicationId,
        /// Who asked.
        peer: NodeId,
        /// Where its own can be reached, if it said so.
        address: Option<SocketAddr>,
    },
    /// The host shall sign these octets under this node's identity and bring the signature by
    /// [`Overlay::on_signature`](super::Overlay::on_signature), with [`Config::deferred_signing`](super::Config::deferred_signing).
    ToSign {
        /// The number to bring it under.
        ticket: SignatureTicket,
        /// What it has to cover, in one piece.
        octets: Bytes,
    },
    /// A message that had waited for the check of its signature was dropped.
    Dropped {
        /// Why.
        reason: DropReason,
    },
    /// The neighbours changed.
    RingChanged {
        /// Predecessors, nearest first.
        predecessors: Vec<NodeId>,
        /// Successors, nearest first.
        successors: Vec<NodeId>,
    },
    /// A newer configuration document is in force; the host keeps the file for the next start.
    Reconfigured {
        /// Its number.
        sequence: u16,
        /// The file.
        document: Bytes,
    },
    /// A newer configuration document asks for something that this node cannot do, so it leaves (CF-5).
    /// [`Fact::Left`] follows.
    Incompatible {
        /// Its number.
        sequence: u16,
        /// The file.
        document: Bytes,
        /// What it asks for.
        why: DocumentError,
    },
    /// This node has left; nothing more will come, and nothing more is accepted until it creates or joins again.
    Left,
}

/// One fetched value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its Kind.
    pub kind: KindId,
    /// Where it stands.
    pub slot: Slot,
    /// Whose signature it carries.
    pub signer: Arc<Party>,
    /// When its writer stored it, by the writer's clock.
    pub storage_time: UnixMillis,
    /// How long it will live on, as the answering peer says (nobody signs this).
    pub lifetime: Duration,
    /// The value; `None` when the writer has removed it (RFC 6940 §7.4.1.3).
    pub value: Option<Bytes>,
    /// This node has seen a newer value here before: the storing peer has gone back (RFC 6940 §13.5.3), or the newer value
    /// has expired or is still on its way.
    pub rolled_back: bool,
}

/// What a Stat tells of one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its Kind.
    pub kind: KindId,
    /// Where it stands.
    pub slot: Slot,
    /// When its writer stored it, by the writer's clock.
    pub storage_time: UnixMillis,
    /// How long it will live on.
    pub lifetime: Duration,
    /// Whether it exists, its length and its hash; [`MetaData::describes`] compares it with a value.
    pub metadata: MetaData,
}

/// Why an order failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// No answer within the Maximum Request Lifetime (15 s).
    #[error("no answer")]
    Timeout,
    /// The responsible peer refused.
    #[error("refused with error {0:?}")]
    Refused(ErrorCode),
    /// The answer made no sense.
    #[error("malformed answer")]
    BadAnswer,
    /// Too many requests of this node's own are under way.
    #[error("too many requests under way")]
    TooMany,
    /// The value and its frame do not fit into one message.
    #[error("too large")]
    TooLarge,
    /// The overlay was left before the answer came.
    #[error("the overlay was left")]
    Left,
    /// The host did not sign it, or not in time.
    #[error("not signed")]
    NotSigned,
}

/// The caller's mistake; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// The overlay has to be joined first.
    #[error("not joined")]
    NotJoined,
    /// Already in the overlay, or on the way.
    #[error("already joined or joining")]
    AlreadyJoined,
    /// `join` without a bootstrap address. An ordinary node must not found an overlay (JL-6).
    #[error("no bootstrap address")]
    NoBootstrap,
    /// `handle_wall_clock` has not been called, and a value cannot be stored without a time.
    #[error("the wall clock is not known")]
    NoWallClock,
    /// The Kind is not one of the configured ones, or is named twice, or the slot or selection does not fit its data model.
    #[error("unknown Kind, or a slot of another data model, or a Kind named twice")]
    BadKind,
    /// The application is not one of the configured ones.
    #[error("unknown application")]
    UnknownApplication,
}
