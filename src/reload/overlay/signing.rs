//! Signatures that the host makes, if it wants to ([`Config::deferred_signing`](super::Config::deferred_signing)): an RSA
//! signature takes longer than all media of a millisecond may wait.
//!
//! ```text
//!   message, value ─▶ Fact::ToSign (ticket, octets) ─▶ host ─▶ on_signature (ticket, signature) ─▶ on its way
//! ```
//!
//! What is signed leaves in the order in which it was given out, whatever order the signatures come in. So one that is late
//! holds up what is behind it, and after [`Timers::signature`](super::Timers::signature) it is waited for no longer: a
//! request has failed then, an answer is not given, and whoever asked asks again. A signature is not checked here; if it is
//! wrong nobody believes what it stands under.

use super::exchange::signed_by;
use super::orders::Unsealed;
use super::outbox::{Errand, Unsigned};
use super::{Context, Fact, Failure, Overlay};
use crate::env::{Signed, Signer};
use crate::ids::NodeId;
use crate::reload::topology::Topology;
use crate::stats::DropReason;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;

/// The overlay's number for something that the host shall sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignatureTicket(pub u64);

/// What a signature is for.
#[derive(Clone, Debug)]
enum Job {
    Message(Box<Unsigned>),
    /// The first of its values that has none.
    Value(Unsealed),
}

/// Something that the host has to sign.
#[derive(Clone, Debug)]
struct Awaited {
    ticket: SignatureTicket,
    until: Instant,
    identity: Signer,
    job: Job,
    /// What the host has brought: a signature, or that there will be none.
    brought: Option<Option<Signed>>,
}

/// What waits for the host, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Signing {
    awaited: VecDeque<Awaited>,
    next: u64,
}

impl Signing {
    pub(super) fn len(&self) -> usize {
        self.awaited.len()
    }

    /// Whether the answer to a request is among it.
    pub(super) fn answers(&self, requester: NodeId, transaction_id: u64) -> bool {
        let answers = |a: &Awaited| matches!(&a.job, Job::Message(m) if m.answers(requester, transaction_id));
        self.awaited.iter().any(answers)
    }

    /// Whether values of this node's own are among it.
    pub(super) fn has_values(&self) -> bool {
        self.awaited.iter().any(|a| matches!(a.job, Job::Value(_)))
    }

    /// Nothing is waited for any more; the Stores that will not be.
    pub(super) fn clear(&mut self) -> Vec<Unsealed> {
        let store = |awaited: Awaited| match awaited.job {
            Job::Value(store) => Some(store),
            Job::Message(_) => None,
        };
        self.awaited.drain(..).filter_map(store).collect()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.awaited.front().map(|awaited| awaited.until)
    }

    fn pop_if(&mut self, is_meant: impl Fn(&Awaited) -> bool) -> Option<Awaited> {
        self.awaited.front().is_some_and(is_meant).then(|| self.awaited.pop_front()).flatten()
    }
}

impl<T: Topology> Overlay<T> {
    /// The host brings a signature that [`Fact::ToSign`] asked for, or says that there will be none. One that nobody waits
    /// for, or no longer, is dropped.
    pub fn on_signature(
        &mut self,
        now: Instant,
        ticket: SignatureTicket,
        signed: Option<Signed>,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let now = self.tick(now);
        let mut awaited = self.signing.awaited.iter_mut();
        let awaited = awaited.find(|awaited| awaited.ticket == ticket && awaited.brought.is_none());
        let result = awaited.map(|awaited| awaited.brought = Some(signed)).ok_or(DropReason::StraySignature);
        self.release_signed(now, ctx);
        self.work_off(now, ctx);
        result
    }

    /// Has a message signed by the host.
    pub(super) fn have_signed(
        &mut self,
        now: Instant,
        message: Unsigned,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let identity = ctx.crypto.signer();
        let octets = self.signature_input(&message, &identity).map_err(|_| Failure::TooLarge)?;
        self.ask_host(now, identity, octets, Job::Message(Box::new(message)), ctx)
    }

    /// Has the next value of a Store signed by the host.
    pub(super) fn have_value_signed(&mut self, now: Instant, store: Unsealed, ctx: &mut Context<'_>) {
        let (identity, ticket) = (ctx.crypto.signer(), store.ticket());
        let octets = store.signature_input(&identity).map_err(|_| Failure::TooLarge);
        let asked = octets.and_then(|octets| self.ask_host(now, identity, octets, Job::Value(store), ctx));
        if let Err(failure) = asked {
            self.tell_stored(now, ticket, Err(failure), ctx);
        }
    }

    fn ask_host(
        &mut self,
        now: Instant,
        identity: Signer,
        octets: Bytes,
        job: Job,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        if self.signing.len() >= self.config.limits.unsigned {
            return Err(Failure::TooMany);
        }
        let (ticket, until) = (SignatureTicket(self.signing.next), now + self.config.timers.signature);
        self.signing.next += 1;
        self.signing.awaited.push_back(Awaited { ticket, until, identity, job, brought: None });
        ctx.effects.fact(Fact::ToSign { ticket, octets });
        Ok(())
    }

    /// Waits no longer for what the host has had long enough.
    pub(super) fn expire_signatures(&mut self, now: Instant, ctx: &mut Context<'_>) {
        while let Some(awaited) = self.signing.pop_if(|awaited| awaited.until <= now) {
            self.finish_signature(now, awaited, ctx);
            self.release_signed(now, ctx);
        }
    }

    /// What is signed leaves, up to the first that is not.
    fn release_signed(&mut self, now: Instant, ctx: &mut Context<'_>) {
        while let Some(awaited) = self.signing.pop_if(|awaited| awaited.brought.is_some()) {
            self.finish_signature(now, awaited, ctx);
        }
    }

    fn finish_signature(&mut self, now: Instant, awaited: Awaited, ctx: &mut Context<'_>) {
        let Awaited { identity, job, brought, .. } = awaited;
        match (job, brought.flatten()) {
            (Job::Message(message), Some(signed)) => {
                let (id, is_request) = (message.transaction_id, message.is_request());
                let sent = self.send_signed(now, *message, signed_by(identity, signed), ctx);
                if let (Err(failure), true) = (sent, is_request) {
                    self.fail_unsent(now, id, failure, ctx);
                }
            }
            (Job::Message(message), None) => match message.errand {
                Errand::Request { .. } => {
                    self.fail_unsent(now, message.transaction_id, Failure::NotSigned, ctx);
                }
                // Whoever waits for it gives up in his own time.
                Errand::Hello { .. } | Errand::Answer { .. } => {}
            },
            (Job::Value(mut store), Some(signed)) => {
                store.sign_next(signed_by(identity, signed));
                self.go_on_with_store(now, store, ctx);
            }
            (Job::Value(store), None) => {
                self.tell_stored(now, store.ticket(), Err(Failure::NotSigned), ctx);
            }
        }
    }
}
