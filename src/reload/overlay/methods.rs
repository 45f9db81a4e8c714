//! What is asked and what is answered: one arm for each method, on either side.

use super::exchange::refuse_because;
use super::receive::Incoming;
use super::{Context, Fact, Failure, Overlay, Purpose, Request};
use crate::ids::NodeId;
use crate::reload::codec::body::{PingAns, ProbeAns, ProbeInformation, ProbeReq, RouteQueryReq};
use crate::reload::codec::{Body, ChordRouteQueryAns, ErrorCode, ProbeInformationType, SecurityBlock};
use crate::reload::request::SENDS;
use crate::reload::route::{self, Verdict};
use crate::reload::topology::{Topology, UpdateScope};
use crate::time::Instant;
use alloc::vec;
use bytes::Bytes;

impl<T: Topology> Overlay<T> {
    /// Carries out a request that is new and may be carried out.
    pub(super) fn on_request(
        &mut self,
        now: Instant,
        request: &Incoming,
        body: Body,
        security: &SecurityBlock,
        ctx: &mut Context<'_>,
    ) {
        match body {
            Body::PingReq(_) => {
                let answer = PingAns { response_id: ctx.entropy.next_u64(), time: self.time_of_day(now) };
                self.answer(now, request, Ok(Body::PingAns(answer)), ctx);
            }
            Body::ProbeReq(asked) => {
                let answer = self.probe(now, &asked);
                self.answer(now, request, Ok(Body::ProbeAns(answer)), ctx);
            }
            Body::RouteQueryReq(asked) => self.on_route_query(now, request, asked, ctx),
            Body::AttachReq(asked) => self.on_attach(now, request, &asked, ctx),
            Body::JoinReq(asked) => self.on_join(now, request, &asked, ctx),
            Body::LeaveReq(asked) => self.on_leave(now, request, &asked, ctx),
            Body::UpdateReq(update) => self.on_update(now, request, &update, ctx),
            Body::StoreReq(store) => self.on_store(now, request, &store, security, ctx),
            Body::FetchReq(asked) => self.on_fetch(now, request, &asked, ctx),
            Body::StatReq(asked) => self.on_stat(now, request, &asked, ctx),
            Body::FindReq(asked) => self.on_find(now, request, &asked, ctx),
            Body::AppAttachReq(asked) => self.on_app_attach(now, request, &asked, ctx),
            Body::ConfigUpdateReq(update) => self.on_config_update(now, request, &update, ctx),
            _ => {
                let unknown = refuse_because(ErrorCode::INVALID_MESSAGE, "unknown method");
                self.answer(now, request, unknown, ctx);
            }
        }
    }

    /// What was asked for and is known, in the order of the request (PB-1).
    fn probe(&self, now: Instant, asked: &ProbeReq) -> ProbeAns {
        let known = asked.requested_info.iter().filter_map(|&information| match information {
            ProbeInformationType::RESPONSIBLE_SET => {
                Some(ProbeInformation::ResponsibleSet(self.topology.responsible_ppb()))
            }
            ProbeInformationType::NUM_RESOURCES => {
                let n = self.storage.resources().count();
                Some(ProbeInformation::NumResources(u32::try_from(n).unwrap_or(u32::MAX)))
            }
            ProbeInformationType::UPTIME => Some(ProbeInformation::Uptime(self.uptime_seconds(now))),
            _ => None,
        });
        ProbeAns { probe_info: known.collect() }
    }

    /// The node that the request would go to from here (RQ-1); opaque ids are not resolved for strangers (RQ-3).
    fn on_route_query(
        &mut self,
        now: Instant,
        request: &Incoming,
        asked: RouteQueryReq,
        ctx: &mut Context<'_>,
    ) {
        let answer = match route::route(&mut vec![asked.destination], self) {
            Verdict::Deliver => Ok(self.me),
            Verdict::Direct(node) | Verdict::Through(node) => Ok(node),
            Verdict::Drop(_) | Verdict::Open(_) => Err((ErrorCode::NOT_FOUND, Bytes::new())),
        };
        let answer = answer.map(|next_peer| Body::RouteQueryAns(ChordRouteQueryAns { next_peer }));
        self.answer(now, request, answer, ctx);
        if asked.send_update && self.is_joined() {
            self.send_update_of(now, request.signer, UpdateScope::Full, ctx);
        }
    }

    /// A request of this node's own is answered.
    pub(super) fn on_answer(
        &mut self,
        now: Instant,
        request: Request,
        signer: NodeId,
        body: Body,
        security: &SecurityBlock,
        ctx: &mut Context<'_>,
    ) {
        if let Body::Error(error) = body {
            self.on_refused(now, signer, &error, ctx);
            let error_code = error.error_code;
            return self.on_failure(now, request, Failure::Refused(error_code), ctx);
        }
        match request.purpose {
            Purpose::Attach { .. } => {
                self.on_admitting_peer(now, signer, ctx);
                self.on_attached(now, signer, ctx);
            }
            Purpose::Join => self.on_join_granted(now),
            Purpose::Finger => self.on_finger(now, signer, ctx),
            Purpose::Partition { through } => self.on_partition_answer(now, signer, through, ctx),
            Purpose::Replica { to, resource } => self.on_handed_over(now, to, resource, Ok(()), ctx),
            order if order.is_order() => self.on_order(now, order, Ok((body, &security.x509())), ctx),
            Purpose::AppAttach { ticket } => {
                let answer = if let Body::AppAttachAns(answer) = body { Some(answer) } else { None };
                self.on_app_attached(ticket, signer, answer.as_ref(), ctx);
            }
            Purpose::Adopt { resource } => {
                if let Body::FetchAns(answer) = body {
                    self.on_adopted(now, &resource, answer, &security.x509(), ctx);
                }
            }
            _ => {}
        }
    }

    /// A request of this node's own was refused, or not answered.
    pub(super) fn on_failure(
        &mut self,
        now: Instant,
        request: Request,
        failure: Failure,
        ctx: &mut Context<'_>,
    ) {
        match request.purpose {
            // The other end's own Attach goes on instead (AT-6).
            Purpose::Attach { target: Some(node), .. }
                if failure == Failure::Refused(ErrorCode::IN_PROGRESS) =>
            {
                self.recheck(node, now + self.config.timers.request * SENDS.into());
            }
            // One of the two has to learn of a newer configuration.
            Purpose::Attach { target: Some(_), .. }
                if matches!(
                    failure,
                    Failure::Refused(ErrorCode::CONFIG_TOO_OLD | ErrorCode::CONFIG_TOO_NEW)
                ) => {}
            Purpose::Attach { target: Some(node), .. } => self.on_unreachable_peer(now, node, ctx),
            Purpose::Join if failure == Failure::Refused(ErrorCode::NOT_FOUND) => {
                self.on_not_admitting(now, ctx);
            }
            Purpose::Attach { target: None, .. } | Purpose::Join => self.retry_join(now, ctx),
            Purpose::Replica { to, resource } => self.on_handed_over(now, to, resource, Err(failure), ctx),
            order if order.is_order() => self.on_order(now, order, Err(failure), ctx),
            Purpose::AppAttach { ticket } => {
                ctx.effects.fact(Fact::AppAttached { ticket, result: Err(failure) });
            }
            _ => {}
        }
    }

    /// Every order that waits for its answer has failed: the overlay is left.
    pub(super) fn fail_orders(&mut self, now: Instant, ctx: &mut Context<'_>) {
        for store in self.signing.clear() {
            self.tell_stored(now, store.ticket(), Err(Failure::Left), ctx);
        }
        for request in self.requests.take_all() {
            if request.purpose.is_order() || matches!(request.purpose, Purpose::AppAttach { .. }) {
                self.on_failure(now, request, Failure::Left, ctx);
            }
        }
    }
}
