//! What an agent tells: values, never messages.

use super::Transport;
use crate::ids::{CallId, NodeId};
use crate::sip::body::Carrier;
use crate::sip::msg::Status;
use crate::time::Duration;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

/// A peer as its Contact describes it: `<sip:name@ip:port;transport=tcp>;node-id=..;slots=2;depth=1;slot=rescue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The user part; empty when there is none.
    pub name: String,
    /// Where it takes requests. Names are not resolved: where a Contact holds one, this is the address that the message
    /// came from.
    pub addr: SocketAddr,
    /// How it wants them.
    pub transport: Transport,
    /// `;node-id=`; a plain SIP agent has none.
    pub node_id: Option<NodeId>,
    /// The rest of the parameters.
    pub params: ContactParams,
}

/// The extension contact-params of a peer, or of this node in one message. A plain SIP agent has none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContactParams {
    /// `;slots=`: in an INVITE the slots that this viewer could serve; everywhere else the free ones.
    pub slots: Option<u16>,
    /// `;depth=`: hops from the source, which is 0.
    pub depth: Option<u8>,
    /// `;slot=rescue`: in a 200, you sit in my rescue slot.
    pub rescue: bool,
    /// `;resume=`: in an INVITE, the RTP sequence number behind which the media shall begin.
    pub resume: Option<u16>,
    /// `;standby`: in an INVITE and its 200, no media flows until the caller asks for it.
    pub standby: bool,
}

/// An INVITE that opened a call, as its receiver sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The user part of the Request-URI: the channel.
    pub channel: String,
    /// The user part of the From URI: the caller.
    pub from: String,
    /// The caller's Contact.
    pub contact: Peer,
    /// The offer; `None` when the INVITE has no body.
    pub sdp: Option<Bytes>,
    /// `Priority: urgent` (RFC 3261 §20.26).
    pub urgent: bool,
    /// Where the INVITE really came from.
    pub via: SocketAddr,
}

/// A final answer that is not a 2xx, received or given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status, 300 to 699.
    pub status: Status,
    /// Where to ask instead (a 302), best first. At most [`Refusal::MAX_CONTACTS`].
    pub contacts: Vec<Peer>,
    /// When to ask again (a 503).
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Contacts beyond this number are not read and not sent.
    pub const MAX_CONTACTS: usize = 8;

    /// A refusal that says no more than this.
    pub const fn status(status: Status) -> Self {
        Refusal { status, contacts: Vec::new(), retry_after: None }
    }
}

/// Why a call was never answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody answered in time (Timer B, or [`Config::ring`](super::Config::ring)).
    Timeout,
    /// The transport failed: a refused connection, a hard ICMP error, no room for another stream.
    Unreachable,
    /// The answer cannot be used.
    BadAnswer,
    /// Another node answered than the one that was meant.
    Impostor,
}

/// Why a call that was answered is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// The peer's BYE.
    Bye {
        /// Its body, unless that is empty.
        body: Option<Bytes>,
        /// What it came in.
        carrier: Carrier,
    },
    /// The peer does not know the call any more, does not answer, or never sent its ACK.
    Lost,
}

/// What the policy must know. An order that ends a call (`cancel`, `reject`, `bye`) is its end: no fact about that call
/// follows. Every other call ends with exactly one of `Refused`, `Failed`, `Cancelled`, `Ended`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Somebody calls. To be answered by `accept` or `reject`.
    Invited {
        /// Its number from now on.
        call: CallId,
        /// What it asks for.
        invitation: Invitation,
    },
    /// The caller gave up before it was answered.
    Cancelled {
        /// Which call.
        call: CallId,
    },
    /// The ACK for our 200 arrived.
    Confirmed {
        /// Which call.
        call: CallId,
    },
    /// A call that we placed got its first provisional response: whoever is called is there, and at work on it.
    Proceeding {
        /// Which call.
        call: CallId,
    },
    /// A call that we placed was accepted (and ACKed).
    Answered {
        /// Which call.
        call: CallId,
        /// Who answered.
        contact: Peer,
        /// The answer; `None` when the 200 has no body.
        sdp: Option<Bytes>,
        /// Where the 200 really came from.
        via: SocketAddr,
    },
    /// A call that we placed was refused.
    Refused {
        /// Which call.
        call: CallId,
        /// How.
        refusal: Refusal,
    },
    /// A call that we placed got no answer.
    Failed {
        /// Which call.
        call: CallId,
        /// Why.
        cause: Failure,
    },
    /// The peer's INFO, answered with 200 already.
    Informed {
        /// Which call.
        call: CallId,
        /// Its body, never empty.
        body: Bytes,
        /// What it came in; a body in a stream may be cut by a wrong Content-Length.
        carrier: Carrier,
        /// Whether it came in the package `iptv-tree`; otherwise it is a legacy INFO with text/plain.
        package: bool,
    },
    /// The final answer to our INFO; `None` when there was none in time.
    InfoAnswered {
        /// Which call.
        call: CallId,
        /// The status.
        status: Option<Status>,
    },
    /// A call that was answered is over.
    Ended {
        /// Which call.
        call: CallId,
        /// Why.
        cause: EndCause,
    },
    /// A request of this call was answered without having been sent twice: from sending to the first response.
    RoundTrip {
        /// Which call.
        call: CallId,
        /// How long it took.
        rtt: Duration,
    },
}
