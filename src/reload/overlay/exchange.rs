//! Requests of this node's own, answers to others' requests, and the way of both onto the links (RFC 6940 §6.2).

use super::connections::LinkId;
use super::receive::Incoming;
use super::{Context, Expected, Failure, Overlay, Purpose, Request};
use crate::ids::NodeId;
use crate::reload::codec::{
    Body, CertificateType, Destination, ErrorCode, ErrorResponse, ForwardingHeader, GenericCertificate,
    MessageCode, MessageContents, Payload, SecurityBlock, Signature, Structure, message_signature_input,
};
use crate::reload::fragment;
use crate::reload::request::Due;
use crate::reload::route::{self, Surroundings, Verdict, way_back};
use crate::reload::topology::{Place, Topology};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::EncodeError;
use alloc::vec::Vec;
use bytes::Bytes;

/// An error, and what more it says.
pub(super) type Refused = (ErrorCode, Bytes);

/// What a request is answered with.
pub(super) type Answer = Result<Body, Refused>;

/// An error without anything more to say than its number.
pub(super) const fn refuse(code: ErrorCode) -> Answer {
    Err((code, Bytes::new()))
}

/// An error with a word for people (MC-6).
pub(super) const fn refuse_because(code: ErrorCode, why: &'static str) -> Answer {
    Err((code, Bytes::from_static(why.as_bytes())))
}

impl<T: Topology> Surroundings for Overlay<T> {
    fn is_me(&self, node: NodeId) -> bool {
        node == self.me
    }

    fn is_connected(&self, node: NodeId) -> bool {
        self.connections.link_of(node).is_some()
    }

    fn is_responsible(&self, place: Place) -> bool {
        self.topology.is_responsible(place)
    }

    /// While this node joins, everything that it cannot reach directly goes through its bootstrap node.
    fn next_hop(&self, place: Place) -> Option<NodeId> {
        self.bootstrap_node().or_else(|| self.topology.next_hop(place))
    }
}

impl<T: Topology> Overlay<T> {
    /// Sends a request of this node's own and remembers what its answer is for.
    pub(super) fn request(
        &mut self,
        now: Instant,
        destination_list: Vec<Destination>,
        body: &Body,
        purpose: Purpose,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        self.request_with(now, destination_list, body, &[], purpose, ctx)
    }

    /// The same with the certificates (DER) of others whose signatures stand in the body (SB-3).
    pub(super) fn request_with(
        &mut self,
        now: Instant,
        destination_list: Vec<Destination>,
        body: &Body,
        certificates: &[Bytes],
        purpose: Purpose,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let expected = match destination_list.last() {
            Some(Destination::Node(node)) => Expected::Node(*node),
            Some(Destination::Resource(resource)) => {
                resource.to_u128().map_or(Expected::Anyone, Expected::Place)
            }
            _ => Expected::Anyone,
        };
        let transaction_id = ctx.entropy.next_u64();
        let (code, message) = self
            .compose_with(transaction_id, destination_list, body, certificates, ctx)
            .map_err(|_| Failure::TooLarge)?;
        if message.len() > self.config.limits.message_size {
            return Err(Failure::TooLarge);
        }
        let request = Request { code, expected, purpose };
        self.requests.start(now, transaction_id, message.clone(), request).map_err(|_| Failure::TooMany)?;
        // What cannot leave now leaves with the next retransmission.
        let _ = self.originate(now, message, ctx);
        Ok(())
    }

    /// The request with this transaction id as it goes on the wire.
    pub(super) fn compose(
        &self,
        transaction_id: u64,
        destination_list: Vec<Destination>,
        body: &Body,
        ctx: &Context<'_>,
    ) -> Result<(MessageCode, Bytes), EncodeError> {
        self.compose_with(transaction_id, destination_list, body, &[], ctx)
    }

    fn compose_with(
        &self,
        transaction_id: u64,
        destination_list: Vec<Destination>,
        body: &Body,
        certificates: &[Bytes],
        ctx: &Context<'_>,
    ) -> Result<(MessageCode, Bytes), EncodeError> {
        let contents = MessageContents::new(body)?;
        let code = contents.message_code;
        let payload = self.sign(transaction_id, contents, certificates, ctx)?;
        Ok((code, self.header(transaction_id, destination_list).encode(&payload)?))
    }

    fn header(&self, transaction_id: u64, destination_list: Vec<Destination>) -> ForwardingHeader {
        ForwardingHeader {
            configuration_sequence: self.config.configuration_sequence,
            ttl: self.config.initial_ttl,
            ..ForwardingHeader::new(self.hash, transaction_id, destination_list)
        }
    }

    /// Contents with this node's signature behind them (SB-1), and with every certificate that is needed to check the
    /// signatures in them, this node's and those of `others`, once each (SB-3).
    fn sign(
        &self,
        transaction_id: u64,
        contents: MessageContents,
        others: &[Bytes],
        ctx: &Context<'_>,
    ) -> Result<Bytes, EncodeError> {
        let identity = ctx.crypto.signer();
        let input = message_signature_input(self.hash, transaction_id, &contents, &identity)?;
        let signed = ctx.crypto.sign(&[&input]);
        let mut needed: Vec<&Bytes> = Vec::new();
        for der in ctx.crypto.certificates().iter().chain(others) {
            if !needed.contains(&der) {
                needed.push(der);
            }
        }
        let certificates = needed.into_iter().map(|der| GenericCertificate {
            certificate_type: CertificateType::X509,
            certificate: der.clone(),
        });
        let security =
            SecurityBlock { certificates: certificates.collect(), signature: Signature { identity, signed } };
        Payload { contents, security }.encode()
    }

    /// Puts a message of this node's own on its way.
    fn originate(&mut self, now: Instant, message: Bytes, ctx: &mut Context<'_>) -> Result<(), DropReason> {
        let (mut header, _) = ForwardingHeader::decode(&message).map_err(|_| DropReason::BadHeader)?;
        match route::route(&mut header.destination_list, self) {
            Verdict::Deliver => {
                if self.loopback.len() >= self.config.limits.turns {
                    return Err(DropReason::RequestLimit);
                }
                self.loopback.push_back(message);
                Ok(())
            }
            Verdict::Direct(node) | Verdict::Through(node) => self.send(now, node, message, ctx),
            Verdict::Drop(reason) => Err(reason),
            // Nobody gives out ids for others to send to.
            Verdict::Open(_) => Err(DropReason::NoRoute),
        }
    }

    /// Sends a message over the link to a node, cut where the link's datagrams are too small for it (FG-1).
    pub(super) fn send(
        &mut self,
        now: Instant,
        node: NodeId,
        message: Bytes,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let link = self.connections.link_of(node).ok_or(DropReason::NotConnected)?;
        let path_mtu = match link {
            LinkId::Datagram(_) => self.config.path_mtu,
            LinkId::Stream(_) => usize::MAX,
        };
        for piece in fragment::cut(message, path_mtu) {
            self.connections.send(now, link, piece, ctx.effects).map_err(|_| DropReason::LinkQueueFull)?;
        }
        Ok(())
    }

    /// Answers a request, and remembers the answer for its retransmissions.
    pub(super) fn answer(&mut self, now: Instant, request: &Incoming, answer: Answer, ctx: &mut Context<'_>) {
        self.answer_with(now, request, answer, &[], ctx);
    }

    /// The same with the certificates (DER) of others whose signatures stand in the body (SB-3).
    pub(super) fn answer_with(
        &mut self,
        now: Instant,
        request: &Incoming,
        answer: Answer,
        certificates: &[Bytes],
        ctx: &mut Context<'_>,
    ) {
        let id = request.header.transaction_id;
        let Ok(mut payload) = self.answer_payload(id, answer, certificates, ctx) else { return };
        let limit = request.header.max_response_length as usize;
        let largest = self.config.limits.message_size;
        let mut header = self.answer_header(&request.header, request.previous_hop);
        let size = |payload: &Bytes| header.encode(payload).map_or(usize::MAX, |m| m.len());
        // An error itself is always sent (FH-12).
        if size(&payload) > largest || limit != 0 && size(&payload) > limit {
            let Ok(error) = self.answer_payload(id, refuse(ErrorCode::RESPONSE_TOO_LARGE), &[], ctx) else {
                return;
            };
            payload = error;
        }
        header.max_response_length = 0;
        self.answers.insert(now, request.signer, id, payload.clone());
        self.send_answer(now, &header, &payload, ctx);
    }

    /// Gives the answer that was given before, along the path of this copy of the request.
    pub(super) fn answer_again(
        &mut self,
        now: Instant,
        request: &ForwardingHeader,
        previous_hop: NodeId,
        payload: &Bytes,
        ctx: &mut Context<'_>,
    ) {
        let header = self.answer_header(request, previous_hop);
        self.send_answer(now, &header, payload, ctx);
    }

    /// Tells the originator of a request that goes no further why (FH-5, FO-2).
    pub(super) fn answer_from_transit(
        &mut self,
        now: Instant,
        request: &ForwardingHeader,
        previous_hop: NodeId,
        error: Answer,
        ctx: &mut Context<'_>,
    ) {
        if let Ok(payload) = self.answer_payload(request.transaction_id, error, &[], ctx) {
            self.answer_again(now, request, previous_hop, &payload, ctx);
        }
    }

    fn answer_payload(
        &self,
        id: u64,
        answer: Answer,
        certificates: &[Bytes],
        ctx: &Context<'_>,
    ) -> Result<Bytes, EncodeError> {
        let body = answer
            .unwrap_or_else(|(error_code, error_info)| Body::Error(ErrorResponse { error_code, error_info }));
        self.sign(id, MessageContents::new(&body)?, certificates, ctx)
    }

    /// Back along the way it came, with every option that asks to be copied (RX-11, FO-4). An originator that put itself
    /// into the Via List is not named twice.
    fn answer_header(&self, request: &ForwardingHeader, previous_hop: NodeId) -> ForwardingHeader {
        let via_list = match request.via_list.as_slice() {
            [others @ .., last] if *last == previous_hop.into() => others,
            all => all,
        };
        ForwardingHeader {
            options: request.options.iter().filter_map(|o| o.response_copy()).collect(),
            ..self.header(request.transaction_id, way_back(previous_hop, via_list))
        }
    }

    fn send_answer(
        &mut self,
        now: Instant,
        header: &ForwardingHeader,
        payload: &Bytes,
        ctx: &mut Context<'_>,
    ) {
        let message = header.encode(payload).ok().filter(|m| m.len() <= self.config.limits.message_size);
        if let Some(message) = message {
            // A lost answer is healed by the requester's retransmission.
            let _ = self.originate(now, message, ctx);
        }
    }

    /// Sends again what waits for its answer, and gives up what has waited long enough.
    pub(super) fn fire_requests(&mut self, now: Instant, ctx: &mut Context<'_>) {
        while let Some(due) = self.requests.pop_due(now) {
            match due {
                Due::Resend { message, .. } => {
                    // No way there now; perhaps at the next transmission.
                    let _ = self.originate(now, message, ctx);
                }
                Due::Failed { purpose: request, .. } => self.on_failure(now, request, Failure::Timeout, ctx),
            }
        }
    }
}
