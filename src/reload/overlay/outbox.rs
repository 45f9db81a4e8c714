//! Messages of this node's own that wait for their signatures.
//!
//! One call makes at most [`Limits::signatures`] of them; what is more waits here in its order.

use super::connections::LinkId;
use super::{Context, Failure, Limits, Overlay};
use crate::bounded::{BoundedQueue, Full};
use crate::ids::NodeId;
use crate::reload::codec::{Destination, ForwardingHeader, MessageContents};
use crate::reload::topology::Topology;
use crate::time::Instant;
use alloc::vec::Vec;
use bytes::Bytes;

/// A message without its signature.
#[derive(Clone, Debug)]
pub(super) struct Unsigned {
    pub(super) transaction_id: u64,
    pub(super) contents: MessageContents,
    /// Certificates (DER) of others whose signatures stand in the body.
    pub(super) certificates: Vec<Bytes>,
    pub(super) errand: Errand,
}

impl Unsigned {
    pub(super) const fn is_request(&self) -> bool {
        matches!(self.errand, Errand::Request { .. })
    }

    /// Whether it is the answer to this request.
    pub(super) fn answers(&self, requester: NodeId, transaction_id: u64) -> bool {
        let to =
            |errand: &Errand| matches!(errand, Errand::Answer { requester: Some(r), .. } if *r == requester);
        self.transaction_id == transaction_id && to(&self.errand)
    }
}

/// What is to be done with it once it is signed.
#[derive(Clone, Debug)]
pub(super) enum Errand {
    /// It stands among the requests under way, and is sent while it does.
    Request { destination_list: Vec<Destination> },
    /// It opens a link.
    Hello { link: LinkId },
    /// It answers a request, whose header made this one. It is remembered if the request was carried out, that of this
    /// node.
    Answer { header: ForwardingHeader, requester: Option<NodeId>, largest: usize },
}

/// What waits, oldest first.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    waiting: BoundedQueue<Unsigned>,
}

impl Outbox {
    pub(super) const fn new(limits: &Limits) -> Self {
        Outbox { waiting: BoundedQueue::new(limits.unsigned) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn clear(&mut self) {
        self.waiting = BoundedQueue::new(self.waiting.limit());
    }

    pub(super) const fn limit(&self) -> usize {
        self.waiting.limit()
    }

    /// Whether the answer to a request waits here.
    pub(super) fn answers(&self, requester: NodeId, transaction_id: u64) -> bool {
        self.waiting.iter().any(|message| message.answers(requester, transaction_id))
    }

    fn push(&mut self, message: Unsigned) -> Result<(), Full> {
        self.waiting.push(message)
    }

    pub(super) fn pop(&mut self) -> Option<Unsigned> {
        self.waiting.pop()
    }
}

impl<T: Topology> Overlay<T> {
    /// Signs a message and puts it on its way, now or when its turn comes.
    pub(super) fn submit(
        &mut self,
        now: Instant,
        message: Unsigned,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        if self.config.deferred_signing {
            self.have_signed(now, message, ctx)
        } else if self.outbox.is_empty() && self.turn.may_sign() {
            self.sign_and_send(now, message, ctx)
        } else {
            self.outbox.push(message).map_err(|Full| Failure::TooMany)
        }
    }

    /// It is the turn of a message that has waited.
    pub(super) fn send_waiting(&mut self, now: Instant, message: Unsigned, ctx: &mut Context<'_>) {
        let (id, is_request) = (message.transaction_id, message.is_request());
        let sent = self.sign_and_send(now, message, ctx);
        if let (Err(failure), true) = (sent, is_request) {
            self.fail_unsent(now, id, failure, ctx);
        }
    }

    /// A request of this node's own cannot be sent.
    pub(super) fn fail_unsent(&mut self, now: Instant, id: u64, failure: Failure, ctx: &mut Context<'_>) {
        if let Some(request) = self.requests.take(id) {
            self.on_failure(now, request.purpose, failure, ctx);
        }
    }

    /// Whether requests of others may be carried out: half of the places are for this node's own.
    pub(super) fn takes_answers(&self) -> bool {
        self.outbox.len() + self.signing.len() < self.outbox.limit() / 2
    }

    /// Whether the answer to a request waits for its signature.
    pub(super) fn is_answering(&self, requester: NodeId, transaction_id: u64) -> bool {
        self.outbox.answers(requester, transaction_id) || self.signing.answers(requester, transaction_id)
    }
}
