//! Certificates that were left out of the answer to a Fetch.
//!
//! An answer should bring the certificates under the signatures in it, but may leave out those that can be had elsewhere
//! (RFC 6940 §6.3.4, SB-3): nodes store theirs, by node and by user (§8). A SignerIdentity is a hash that does not say where;
//! but who may write at a place is told by its policy, and so is where that one's certificate lies. What is found there
//! proves itself: its hash is the one in the signature, and the roots vouch for it.

use super::orders::{fetched, specifiers};
use super::{Context, Failure, Overlay, Purpose, Query, Ticket};
use crate::ids::{NodeId, ResourceId};
use crate::reload::codec::body::{FetchAns, FetchReq};
use crate::reload::codec::{Body, DataModel, Destination, KindId};
use crate::reload::storage::{Access, Slot};
use crate::reload::topology::Topology;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// Where somebody's certificates are: the Kind, by node or by user, and the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Home {
    kind: KindId,
    resource: ResourceId,
}

/// What was fetched, while certificates that did not come with it are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unproven {
    pub(super) ticket: Ticket,
    pub(super) resource: ResourceId,
    pub(super) queries: Vec<Query>,
    pub(super) answer: FetchAns,
    /// Those that came and were found so far.
    pub(super) certificates: Vec<Bytes>,
    /// Where the missing ones should be.
    pub(super) homes: Vec<Home>,
}

impl Home {
    /// Where the certificate of whoever may write a value lies; `None` where the policy does not tell.
    pub(super) fn of_writer(access: &Access, resource: &ResourceId, slot: &Slot) -> Option<Home> {
        let by_key = || match slot {
            Slot::Key(key) if key.len() == NodeId::LEN => Some(ResourceId::of_name(key)),
            _ => None,
        };
        let (kind, resource) = match access {
            Access::UserMatch => (KindId::CERTIFICATE_BY_USER, resource.clone()),
            Access::NodeMatch => (KindId::CERTIFICATE_BY_NODE, resource.clone()),
            Access::UserNodeMatch
            | Access::NodeIdMatch { .. }
            | Access::UserChainAcl { .. }
            | Access::NodeIdKey
            | Access::ChannelGrant => (KindId::CERTIFICATE_BY_NODE, by_key()?),
            Access::NodeMultiple { .. } => return None,
        };
        Some(Home { kind, resource })
    }
}

impl<T: Topology> Overlay<T> {
    /// Fetches the next certificate that is missing, or tells what was fetched as it is.
    pub(super) fn prove(&mut self, now: Instant, mut unproven: Box<Unproven>, ctx: &mut Context<'_>) {
        while let Some(Home { kind, resource }) = unproven.homes.pop() {
            let Some(query) = self.everything_of(kind) else { continue };
            let Ok(specifiers) = specifiers(&[query]) else { continue };
            let body = Body::FetchReq(FetchReq { resource: resource.clone(), specifiers });
            let list = vec![Destination::Resource(resource)];
            let purpose = Purpose::Certificates(unproven.clone());
            match self.request(now, list, &body, purpose, ctx) {
                Ok(()) => return,
                Err(_) => break,
            }
        }
        self.tell_fetched(*unproven, ctx);
    }

    /// Certificates, or none: others are looked for while they come.
    pub(super) fn on_certificates(
        &mut self,
        now: Instant,
        mut unproven: Box<Unproven>,
        result: Result<(Body, &[Bytes]), Failure>,
        ctx: &mut Context<'_>,
    ) {
        match result {
            Ok((Body::FetchAns(answer), came_along)) => {
                let responses = answer.kind_responses.iter();
                let values = responses.filter_map(|r| r.values.decode_values(DataModel::Array).ok());
                let stored = values.flatten().map(|data| data.value.value().value.clone());
                unproven.certificates.extend(stored.chain(came_along.iter().cloned()));
                self.prove(now, unproven, ctx);
            }
            Err(Failure::Left) => {
                ctx.effects.fact(fetched(unproven.ticket, Err(Failure::Left)));
            }
            // The reader has waited for long enough.
            _ => self.tell_fetched(*unproven, ctx),
        }
    }

    fn tell_fetched(&mut self, unproven: Unproven, ctx: &mut Context<'_>) {
        let Unproven { ticket, resource, queries, answer, certificates, .. } = unproven;
        let read = self.read_fetched(&resource, &queries, &answer, &certificates, ctx);
        ctx.effects.fact(fetched(ticket, read));
    }
}
