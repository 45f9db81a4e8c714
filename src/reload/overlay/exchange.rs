//! Requests of this node's own, answers to others' requests, and the way of both onto the links (RFC 6940 §6.2).

use super::connections::LinkId;
use super::outbox::{Errand, Unsigned};
use super::receive::Incoming;
use super::{Context, Expected, Failure, Overlay, Purpose, Request};
use crate::env::{Signed, Signer};
use crate::ids::NodeId;
use crate::reload::codec::{
    Body, CertificateType, Destination, ErrorCode, ErrorResponse, ForwardingHeader, GenericCertificate,
    MessageCode, MessageContents, Payload, SecurityBlock, Signature, Structure, message_signature_input,
};
use crate::reload::configuration::sequence;
use crate::reload::fragment;
use crate::reload::request::Due;
use crate::reload::route::{self, Surroundings, Verdict, way_back};
use crate::reload::topology::{Place, Topology};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::EncodeError;
use alloc::vec;
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

/// What stands in the message of an answer.
fn body_of(answer: Answer) -> Body {
    answer.unwrap_or_else(|(error_code, error_info)| Body::Error(ErrorResponse { error_code, error_info }))
}

/// A signature with whose it is.
pub(super) const fn signed_by(identity: Signer, signed: Signed) -> Signature {
    Signature { identity, signed }
}

/// Contents with this node's signature behind them (SB-1), and with every certificate that is needed to check the
/// signatures in them, this node's and those of `others`, once each (SB-3).
fn payload(
    contents: MessageContents,
    signature: Signature,
    others: &[Bytes],
    ctx: &Context<'_>,
) -> Result<Bytes, EncodeError> {
    let mut needed: Vec<&Bytes> = Vec::new();
    for der in ctx.crypto.certificates().iter().chain(others) {
        if !needed.contains(&der) {
            needed.push(der);
        }
    }
    let certificates = needed
        .into_iter()
        .map(|der| GenericCertificate { certificate_type: CertificateType::X509, certificate: der.clone() });
    let security = SecurityBlock { certificates: certificates.collect(), signature };
    Payload { contents, security }.encode()
}

/// Peers among which one is looked for whose link is free. Those behind them are so near that a message had better wait.
const DETOURS: usize = 4;

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

    /// While this node joins, everything that it cannot reach directly goes through its bootstrap node. Around a link that
    /// is slower than what comes for it lead others, whose peers are nearer to the place than this node is, too.
    fn next_hop(&self, place: Place) -> Option<NodeId> {
        let is_free = |n: &NodeId| self.connections.of(*n).is_some_and(|c| !c.is_backlogged(self.now));
        let through_peers = || {
            let free = self.topology.next_hops(place).take(DETOURS).find(is_free);
            free.or_else(|| self.topology.next_hop(place))
        };
        self.bootstrap_node().or_else(through_peers)
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
        let contents = MessageContents::new(body).map_err(|_| Failure::TooLarge)?;
        let request = Request { code: contents.message_code, expected, purpose };
        self.requests.start(now, transaction_id, request).map_err(|_| Failure::TooMany)?;
        let certificates = certificates.to_vec();
        let errand = Errand::Request { destination_list };
        let sent = self.submit(now, Unsigned { transaction_id, contents, certificates, errand }, ctx);
        if sent.is_err() {
            self.requests.take(transaction_id);
        }
        sent
    }

    /// Signs a message and puts it on its way.
    pub(super) fn sign_and_send(
        &mut self,
        now: Instant,
        message: Unsigned,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        // Nobody waits for its answer any more.
        if message.is_request() && self.requests.get(message.transaction_id).is_none() {
            return Ok(());
        }
        let identity = ctx.crypto.signer();
        let input = self.signature_input(&message, &identity).map_err(|_| Failure::TooLarge)?;
        self.turn.count_signature();
        let signed = ctx.crypto.sign(&[&input]);
        self.send_signed(now, message, signed_by(identity, signed), ctx)
    }

    /// What this node's signature behind a message covers (SB-1).
    pub(super) fn signature_input(
        &self,
        message: &Unsigned,
        identity: &Signer,
    ) -> Result<Bytes, EncodeError> {
        message_signature_input(self.hash, message.transaction_id, &message.contents, identity)
    }

    /// Puts a message on its way that is signed.
    pub(super) fn send_signed(
        &mut self,
        now: Instant,
        message: Unsigned,
        signature: Signature,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let Unsigned { transaction_id: id, contents, certificates, errand } = message;
        let largest = self.config.limits.message_size;
        let code = contents.message_code;
        let payload = payload(contents, signature, &certificates, ctx).map_err(|_| Failure::TooLarge)?;
        match errand {
            Errand::Request { .. } if self.requests.get(id).is_none() => {}
            Errand::Request { destination_list } => {
                let mut header = self.header(id, destination_list);
                if code == MessageCode::CONFIG_UPDATE_REQ {
                    // Whoever needs it would refuse any other number (CS-4).
                    header.configuration_sequence = sequence::ANY;
                }
                let message = header.encode(&payload).ok();
                let message = message.filter(|m| m.len() <= largest).ok_or(Failure::TooLarge)?;
                self.requests.set_message(id, message.clone());
                // What cannot leave now leaves with the next retransmission.
                let _ = self.originate(now, message, ctx);
            }
            Errand::Hello { link } => {
                let header = self.header(id, vec![NodeId::WILDCARD.into()]);
                let message = header.encode(&payload).map_err(|_| Failure::TooLarge)?;
                // The link may be gone.
                let _ = self.connections.send(now, link, message, ctx.effects);
            }
            Errand::Answer { mut header, requester, largest } => {
                if header.encode(&payload).map_or(usize::MAX, |m| m.len()) > largest {
                    // An error itself is always sent (FH-12).
                    let error = body_of(refuse(ErrorCode::RESPONSE_TOO_LARGE));
                    let contents = MessageContents::new(&error).map_err(|_| Failure::TooLarge)?;
                    let errand = Errand::Answer { header, requester, largest: usize::MAX };
                    let error = Unsigned { transaction_id: id, contents, certificates: Vec::new(), errand };
                    return self.submit(now, error, ctx);
                }
                header.max_response_length = 0;
                if let Some(requester) = requester {
                    self.answers.insert(now, requester, id, payload.clone());
                }
                self.send_answer(now, &header, &payload, ctx);
            }
        }
        Ok(())
    }

    fn header(&self, transaction_id: u64, destination_list: Vec<Destination>) -> ForwardingHeader {
        ForwardingHeader {
            configuration_sequence: self.config.configuration_sequence,
            ttl: self.config.initial_ttl,
            ..ForwardingHeader::new(self.hash, transaction_id, destination_list)
        }
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
        let limit = request.header.max_response_length as usize;
        let largest = self.config.limits.message_size.min(if limit == 0 { usize::MAX } else { limit });
        let header = self.answer_header(&request.header, request.previous_hop);
        let errand = Errand::Answer { header, requester: Some(request.signer), largest };
        self.submit_answer(now, answer, certificates, errand, ctx);
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
        let header = self.answer_header(request, previous_hop);
        let errand = Errand::Answer { header, requester: None, largest: usize::MAX };
        self.submit_answer(now, error, &[], errand, ctx);
    }

    fn submit_answer(
        &mut self,
        now: Instant,
        answer: Answer,
        certificates: &[Bytes],
        errand: Errand,
        ctx: &mut Context<'_>,
    ) {
        let Errand::Answer { header: ForwardingHeader { transaction_id, .. }, .. } = errand else { return };
        let Ok(contents) = MessageContents::new(&body_of(answer)) else { return };
        let certificates = certificates.to_vec();
        // What cannot be answered now is asked again.
        let _ = self.submit(now, Unsigned { transaction_id, contents, certificates, errand }, ctx);
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
                // It still waits for its signature.
                Due::Resend { message, .. } if message.is_empty() => {}
                Due::Resend { message, .. } => {
                    // No way there now; perhaps at the next transmission.
                    let _ = self.originate(now, message, ctx);
                }
                Due::Failed { purpose: request, .. } => self.on_failure(now, request, Failure::Timeout, ctx),
            }
        }
    }
}
