//! One call: an INVITE usage from its INVITE to its end.

use super::fact::ContactParams;
use crate::env::Party;
use crate::ids::{HostPrefix, NodeId, StreamId};
use crate::sip::body::Carrier;
use crate::sip::dialog::Dialog;
use crate::sip::msg::{Method, Request};
use crate::sip::transaction::{Branch, Key, Path};
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};

/// Where a message came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    pub(super) addr: SocketAddr,
    pub(super) stream: Option<StreamId>,
    /// Who proved to be there; `None` of a datagram or an unsecured stream.
    pub(super) party: Option<&'a Arc<Party>>,
}

impl Origin<'_> {
    pub(super) fn ip(&self) -> IpAddr {
        self.addr.ip()
    }

    /// Who counts its requests.
    pub(super) fn host(&self) -> HostPrefix {
        HostPrefix::of(self.ip())
    }

    /// The node at the other end. Of several Node-IDs that its certificate binds the first one is meant, unless the peer
    /// says which.
    pub(super) fn node(&self) -> Option<NodeId> {
        self.party.map(|party| party.node_id)
    }

    /// Whether this node, or nobody where none is, is at the other end.
    pub(super) fn is(&self, node: Option<NodeId>) -> bool {
        match (node, self.party) {
            (Some(node), Some(party)) => party.node_ids.contains(&node),
            (node, party) => node.is_none() && party.is_none(),
        }
    }

    pub(super) const fn carrier(&self) -> Carrier {
        match self.stream {
            Some(_) => Carrier::Stream,
            None => Carrier::Datagram,
        }
    }

    /// The way back to a peer that cannot be reached by its Contact.
    pub(super) fn path(&self) -> Path {
        match self.stream {
            Some(id) => Path::Stream { id: Some(id), to: self.addr, node: self.node() },
            None => Path::Datagram(self.addr),
        }
    }

    /// Where the responses to a request go (RFC 3261 §18.2.2, RFC 3581 §4): on a stream back on the same connection, and
    /// if that is gone to the port of sent-by. `None` when its Via cannot be read.
    pub(super) fn reply_path(&self, request: &Request) -> Option<Path> {
        let mut via = request.headers.via().ok()??.into_owned();
        if self.stream.is_some() {
            let to = SocketAddr::new(self.ip(), via.port_or_default());
            return Some(Path::Stream { id: self.stream, to, node: self.node() });
        }
        via.note_source(self.addr).ok()?;
        via.response_address().map(Path::Datagram)
    }
}

/// Where a call stands.
#[derive(Debug)]
pub(super) enum State {
    /// Placed; no final answer yet.
    Calling(Calling),
    /// Received; the policy has not answered yet.
    Ringing(Box<Ringing>),
    /// Received and accepted; the 200 waits for its ACK (RFC 3261 §13.3.1.4).
    Accepted(Accepted),
    /// Both sides know.
    Confirmed,
}

#[derive(Debug)]
pub(super) struct Calling {
    pub(super) branch: Branch,
    /// A provisional response came: now a CANCEL may be sent (§9.1).
    pub(super) proceeding: bool,
    /// Given up: nothing is told any more, and a 2xx is ACKed and ended at once.
    pub(super) cancelled: bool,
}

#[derive(Debug)]
pub(super) struct Ringing {
    pub(super) key: Key,
    pub(super) invite: Request,
    /// Where it came from.
    pub(super) source: SocketAddr,
}

#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) key: Key,
    /// The CSeq number that the ACK repeats.
    pub(super) cseq: u32,
    /// Whether this is a re-INVITE, which the policy knows nothing of.
    pub(super) renewal: bool,
    pub(super) repeat_at: Instant,
    pub(super) interval: Duration,
    pub(super) give_up_at: Instant,
    /// A BYE that was ordered and must wait for the ACK (§15), with its body. From then on nothing is told any more.
    pub(super) bye: Option<Option<Bytes>>,
}

/// A request that the policy ordered inside a call.
#[derive(Clone, Debug)]
pub(super) struct Ordered {
    pub(super) method: Method,
    pub(super) body: Option<Bytes>,
    /// It was sent again because its connection broke. That happens once.
    pub(super) again: bool,
}

/// What both sides said about the media, for a re-INVITE that says it again.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) ours: Bytes,
    pub(super) theirs: Bytes,
    pub(super) params: ContactParams,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) state: State,
    /// Early or confirmed; a placed call has none before the peer's first tag.
    pub(super) dialog: Option<Dialog>,
    /// The way to a peer whose Contact cannot be used.
    pub(super) fallback: Path,
    /// The node at the other end, as far as it is proved or, of a placed call, meant.
    pub(super) node: Option<NodeId>,
    /// The certificate that has proved it.
    pub(super) party: Option<Arc<Party>>,
    /// Whether the peer named our Info-Package in Recv-Info.
    pub(super) package: bool,
    /// What was offered and answered so far.
    pub(super) session: Session,
    /// INFO and OPTIONS: the first is under way, the others wait for its answer. Side by side a retransmitted one could
    /// be overtaken, and would be answered 500 for its lower CSeq (§12.2.2).
    pub(super) requests: VecDeque<Ordered>,
    /// Under which time it stands in the order of deadlines.
    pub(super) filed: Option<Instant>,
}

impl Call {
    pub(super) fn new(state: State, fallback: Path, node: Option<NodeId>, session: Session) -> Self {
        let requests = VecDeque::new();
        Call {
            state,
            dialog: None,
            fallback,
            node,
            party: None,
            package: false,
            session,
            requests,
            filed: None,
        }
    }

    /// Whether the policy has ended it already and is told nothing more.
    pub(super) fn is_silent(&self) -> bool {
        match &self.state {
            State::Calling(c) => c.cancelled,
            State::Accepted(a) => a.bye.is_some(),
            State::Ringing(_) | State::Confirmed => false,
        }
    }

    /// Whether somebody for whom `is_meant` speaks is at the other end.
    pub(super) fn is_with(&self, is_meant: impl Fn(NodeId) -> bool) -> bool {
        let proved = self.party.iter().flat_map(|party| &party.node_ids).copied();
        self.node.into_iter().chain(proved).any(is_meant)
    }

    /// Whether the peer has a dialog in which it takes requests.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.state, State::Accepted(_) | State::Confirmed)
    }
}
