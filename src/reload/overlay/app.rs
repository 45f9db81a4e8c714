//! AppAttach: where the applications of two nodes can reach each other (RFC 6940 §6.5.2).
//!
//! Only addresses change hands here. What the applications do with them is theirs, as is keeping bindings alive (AP-3).

use super::exchange::{Answer, refuse, refuse_because};
use super::receive::Incoming;
use super::{Context, Fact, Failure, OrderError, Overlay, Purpose, Ticket};
use crate::ids::NodeId;
use crate::reload::codec::body::{AppAttach, AttachReqAns, CandidateType};
use crate::reload::codec::{ApplicationId, Body, Destination, ErrorCode};
use crate::reload::topology::Topology;
use crate::time::Instant;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

/// An application of this node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Application {
    /// Its number (RFC 6940 §14.5).
    pub id: ApplicationId,
    /// Where it can be reached.
    pub address: SocketAddr,
}

impl<T: Topology> Overlay<T> {
    /// Asks a node where an application of its can be reached, and tells it where this node's is, which must be one of
    /// [`Config::applications`](super::Config::applications). [`Fact::AppAttached`] follows.
    pub fn app_attach(
        &mut self,
        now: Instant,
        ticket: Ticket,
        destination_list: Vec<Destination>,
        application: ApplicationId,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        if !self.is_joined() {
            return Err(OrderError::NotJoined);
        }
        let own = self.application(application).ok_or(OrderError::UnknownApplication)?;
        let now = self.tick(now);
        let body = Body::AppAttachReq(self.app_offer(own, AttachReqAns::PASSIVE));
        if let Err(failure) = self.request(now, destination_list, &body, Purpose::AppAttach { ticket }, ctx) {
            ctx.effects.fact(Fact::AppAttached { ticket, result: Err(failure) });
        }
        self.work_off(now, ctx);
        Ok(())
    }

    fn application(&self, id: ApplicationId) -> Option<Application> {
        self.config.applications.iter().copied().find(|a| a.id == id)
    }

    fn app_offer(&self, own: Application, role: Bytes) -> AppAttach {
        let AttachReqAns { ufrag, password, role, mut candidates, .. } = self.offer(role);
        candidates.iter_mut().for_each(|c| c.addr_port = own.address.into());
        AppAttach { ufrag, password, application: own.id, role, candidates }
    }

    /// Answers an AppAttach with the application's address, if it is offered here (AP-2).
    pub(super) fn on_app_attach(
        &mut self,
        now: Instant,
        request: &Incoming,
        asked: &AppAttach,
        ctx: &mut Context<'_>,
    ) {
        let own = self.application(asked.application);
        let answer: Answer = match own {
            None => refuse(ErrorCode::NOT_FOUND),
            Some(_) if asked.role != AttachReqAns::PASSIVE => {
                refuse_because(ErrorCode::INVALID_MESSAGE, "role")
            }
            Some(own) => Ok(Body::AppAttachAns(self.app_offer(own, AttachReqAns::ACTIVE))),
        };
        if answer.is_ok() {
            let (application, peer, address) = (asked.application, request.signer, address_in(asked));
            ctx.effects.fact(Fact::AppAttachAsked { application, peer, address });
        }
        self.answer(now, request, answer, ctx);
    }

    pub(super) fn on_app_attached(
        &mut self,
        ticket: Ticket,
        signer: NodeId,
        answer: Option<&AppAttach>,
        ctx: &mut Context<'_>,
    ) {
        let address = answer.filter(|a| a.role == AttachReqAns::ACTIVE).and_then(address_in);
        let result = address.map(|address| (signer, address)).ok_or(Failure::BadAnswer);
        ctx.effects.fact(Fact::AppAttached { ticket, result });
    }
}

/// The first address that a packet can be sent to.
fn address_in(attach: &AppAttach) -> Option<SocketAddr> {
    let hosts = attach.candidates.iter().filter(|c| c.candidate_type == CandidateType::Host);
    let mut addresses = hosts.filter_map(|c| c.addr_port.socket_addr());
    addresses.find(|at| !at.ip().is_unspecified() && !at.ip().is_multicast() && at.port() != 0)
}
