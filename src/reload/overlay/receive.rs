//! One message's way through (RFC 6940 §6.1): header checks, then forward, answer from memory, or hand to its method.

use super::exchange::refuse;
use super::{Context, Expected, Overlay, Phase, Request};
use crate::ids::NodeId;
use crate::reload::codec::{
    Destination, ErrorCode, ForwardingHeader, ForwardingOption, Frame, MessageCode, MessageContents, Payload,
    SecurityBlock, Structure, message_signature_input,
};
use crate::reload::route::{self, Verdict, has_duplicates};
use crate::reload::topology::Topology;
use crate::stats::DropReason;
use crate::time::Instant;
use bytes::Bytes;
use core::net::SocketAddr;

/// A request for this node, its signature checked.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    pub(super) header: ForwardingHeader,
    /// Who signed it.
    pub(super) signer: NodeId,
    /// The node at the other end of the link that it came over; this node itself for its own requests.
    pub(super) previous_hop: NodeId,
    pub(super) contents: MessageContents,
}

impl Incoming {
    /// Whether it came over the link that binds its signer, without a hop between (JL-2).
    pub(super) fn is_direct(&self) -> bool {
        self.previous_hop == self.signer && self.header.via_list.is_empty()
    }
}

/// The parts of a message for this node.
struct Delivered {
    header: ForwardingHeader,
    contents: MessageContents,
    security: SecurityBlock,
    signer: NodeId,
}

impl<T: Topology> Overlay<T> {
    pub(super) fn receive_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &Bytes,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        if matches!(self.phase, Phase::Idle) {
            return Err(DropReason::NotInUse);
        }
        match Frame::decode(datagram).map_err(|_| DropReason::NotFramed)? {
            Frame::Ack { ack_sequence, .. } => {
                let known = self.connections.on_ack(now, from, ack_sequence);
                let incident = known.ok_or(DropReason::NotAllowedOnLink)?;
                if let Some(incident) = incident {
                    self.on_incident(now, incident, ctx);
                }
                Ok(())
            }
            Frame::Data { sequence, message } => self.receive_data(now, from, sequence, &message, ctx),
        }
    }

    fn receive_data(
        &mut self,
        now: Instant,
        from: SocketAddr,
        sequence: u32,
        message: &Bytes,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let (node, dialing) = self.connections.get(from).map_or((None, None), |c| (c.node, c.dialing));
        if node.is_some() {
            // Whatever the frame holds, it has arrived (LR-1).
            self.connections.on_data(now, from, sequence, ctx.effects);
        }
        let (header, payload) = self.read_header(message)?;
        if message.len() > self.config.limits.message_size {
            return Err(self.refuse_size(now, node, &header, &payload, ctx));
        }
        let answers_dial = dialing.is_some_and(|d| d.transaction_id == header.transaction_id);
        match node {
            _ if is_handshake(&header, &payload) => {
                let unacknowledged = node.is_none().then_some(sequence);
                self.receive_handshake(now, from, header, &payload, unacknowledged, ctx)
            }
            Some(node) => self.receive(now, node, header, &payload, ctx),
            None if answers_dial => {
                self.connections.on_data(now, from, sequence, ctx.effects);
                self.receive_handshake_answer(now, from, header, &payload, ctx)
            }
            None => Err(DropReason::NotAllowedOnLink),
        }
    }

    /// FR-6, without its second half: the link stays. A plain link would let anyone who forges a source address close
    /// it with one datagram.
    fn refuse_size(
        &mut self,
        now: Instant,
        node: Option<NodeId>,
        header: &ForwardingHeader,
        payload: &Bytes,
        ctx: &mut Context<'_>,
    ) -> DropReason {
        let is_request = peek_code(header, payload).is_some_and(MessageCode::is_request);
        if let Some(node) = node.filter(|_| is_request) {
            self.answer_from_transit(now, header, node, ErrorCode::MESSAGE_TOO_LARGE, ctx);
        }
        DropReason::TooLarge
    }

    /// Works off one message from this node to itself.
    pub(super) fn receive_loopback(&mut self, now: Instant, message: &Bytes, ctx: &mut Context<'_>) {
        if let Ok((header, payload)) = self.read_header(message) {
            // What this node sends to itself is dropped for the same reasons as anybody's message.
            let _ = self.receive(now, self.me, header, &payload, ctx);
        }
    }

    /// RX-1: another overlay's, another version's or a damaged header goes unanswered.
    fn read_header(&self, message: &Bytes) -> Result<(ForwardingHeader, Bytes), DropReason> {
        let (header, payload) = ForwardingHeader::decode(message).map_err(|e| match e.field {
            "version" => DropReason::WrongVersion,
            _ => DropReason::BadHeader,
        })?;
        if header.overlay != self.hash {
            return Err(DropReason::WrongOverlay);
        }
        Ok((header, payload))
    }

    fn receive(
        &mut self,
        now: Instant,
        previous_hop: NodeId,
        mut header: ForwardingHeader,
        payload: &Bytes,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let is_request = peek_code(&header, payload).is_some_and(MessageCode::is_request);
        if header.ttl > self.config.initial_ttl {
            return self.refuse_passage(now, &header, previous_hop, is_request, ErrorCode::TTL_EXCEEDED, ctx);
        }
        if has_duplicates(&header) {
            let code = ErrorCode::INVALID_MESSAGE;
            return self.refuse_passage(now, &header, previous_hop, is_request, code, ctx);
        }
        match route::route(&mut header.destination_list, self) {
            Verdict::Drop(reason) => Err(reason),
            Verdict::Deliver => {
                let delivered = self.open(header, payload, ctx)?;
                self.deliver(now, previous_hop, delivered, ctx)
            }
            // Nothing that goes towards a place can make progress by going back: the tables here and there disagree.
            Verdict::Through(next) if is_request && next == previous_hop => Err(DropReason::NoRoute),
            Verdict::Through(next) | Verdict::Direct(next) => {
                self.forward(now, previous_hop, next, is_request, header, payload, ctx)
            }
        }
    }

    /// A message that waited on the link to a node which has fallen silent looks for another way (LR-8), as if it had just
    /// come. What only that node can take stays behind; its originator sends it again.
    pub(super) fn reroute(&mut self, now: Instant, lost: NodeId, message: &Bytes, ctx: &mut Context<'_>) {
        let Ok((mut header, payload)) = self.read_header(message) else { return };
        if header.destination_list.first() == Some(&lost.into()) {
            return;
        }
        let previous_hop = match header.via_list.pop() {
            None => self.me,
            Some(Destination::Node(node)) => node,
            Some(_) => return,
        };
        if previous_hop != self.me {
            header.ttl = header.ttl.saturating_add(1).min(self.config.initial_ttl);
        }
        // It is lost for the same reasons as any message.
        let _ = self.receive(now, previous_hop, header, &payload, ctx);
    }

    #[expect(clippy::too_many_arguments, reason = "a message in transit is exactly these parts")]
    fn forward(
        &mut self,
        now: Instant,
        previous_hop: NodeId,
        next: NodeId,
        is_request: bool,
        mut header: ForwardingHeader,
        payload: &Bytes,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        if header.ttl == 0 {
            return self.refuse_passage(now, &header, previous_hop, is_request, ErrorCode::TTL_EXCEEDED, ctx);
        }
        let critical = |o: &ForwardingOption| o.has(ForwardingOption::FORWARD_CRITICAL);
        if is_request && header.options.iter().any(critical) {
            let code = ErrorCode::UNSUPPORTED_FORWARDING_OPTION;
            return self.refuse_passage(now, &header, previous_hop, true, code, ctx);
        }
        header.ttl -= 1;
        if is_request && previous_hop != self.me {
            header.via_list.push(previous_hop.into());
        }
        let message = header.encode(payload).map_err(|_| DropReason::TooLarge)?;
        if message.len() > self.config.limits.message_size {
            return Err(DropReason::TooLarge);
        }
        self.send(now, next, message, ctx)
    }

    /// A request that goes no further is answered with an error, a response is not (trap c of the header rules).
    fn refuse_passage(
        &mut self,
        now: Instant,
        header: &ForwardingHeader,
        previous_hop: NodeId,
        is_request: bool,
        code: ErrorCode,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        if is_request && previous_hop != self.me {
            self.answer_from_transit(now, header, previous_hop, code, ctx);
        }
        Err(match code {
            ErrorCode::TTL_EXCEEDED => DropReason::TtlExpired,
            _ => DropReason::BadHeader,
        })
    }

    /// Reads what is for this node and checks whose it is (SB-5).
    fn open(
        &self,
        header: ForwardingHeader,
        payload: &Bytes,
        ctx: &Context<'_>,
    ) -> Result<Delivered, DropReason> {
        if !header.fragment.is_whole() {
            return Err(DropReason::BadFragment);
        }
        let Payload { contents, security } = Payload::decode(payload).map_err(|_| DropReason::BadMessage)?;
        let identity = &security.signature.identity;
        let input = message_signature_input(self.hash, header.transaction_id, &contents, identity)
            .map_err(|_| DropReason::BadMessage)?;
        let at = self.time_of_day(self.now);
        let signer = ctx
            .crypto
            .verify(at, identity, &security.x509(), &[&input], &security.signature.signed)
            .map_err(|_| DropReason::BadSignature)?;
        Ok(Delivered { header, contents, security, signer: signer.node_id })
    }

    /// The opening Ping of a link: whoever signed it is at the other end. `unacknowledged` is the number of its frame
    /// when the link is new, for a stranger is answered only after his signature holds.
    fn receive_handshake(
        &mut self,
        now: Instant,
        from: SocketAddr,
        header: ForwardingHeader,
        payload: &Bytes,
        unacknowledged: Option<u32>,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let delivered = self.open(header, payload, ctx)?;
        let signer = delivered.signer;
        if signer == self.me || signer == NodeId::WILDCARD {
            return Err(DropReason::NotAllowedOnLink);
        }
        let repeated = self.answers.get(now, signer, delivered.header.transaction_id).is_some();
        if !repeated {
            self.on_dialed(now, from, signer, ctx)?;
        }
        if let Some(sequence) = unacknowledged {
            self.connections.on_data(now, from, sequence, ctx.effects);
        }
        self.deliver(now, signer, delivered, ctx)?;
        if !repeated {
            self.on_bound(now, signer, ctx);
        }
        Ok(())
    }

    /// The answer to this node's own opening Ping.
    fn receive_handshake_answer(
        &mut self,
        now: Instant,
        from: SocketAddr,
        header: ForwardingHeader,
        payload: &Bytes,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let delivered = self.open(header, payload, ctx)?;
        if delivered.contents.message_code != MessageCode::PING_ANS {
            return Err(DropReason::UnknownTransaction);
        }
        self.on_dial_answered(now, from, delivered.signer, ctx)
    }

    fn deliver(
        &mut self,
        now: Instant,
        previous_hop: NodeId,
        delivered: Delivered,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let Delivered { header, contents, security, signer } = delivered;
        if !contents.message_code.is_request() {
            return self.receive_answer(now, &header, &contents, &security, signer, ctx);
        }
        if let Some(answer) = self.answers.get(now, signer, header.transaction_id) {
            self.answer_again(now, &header, previous_hop, &answer, ctx);
            return Ok(());
        }
        let request = Incoming { header, signer, previous_hop, contents };
        if let Some(error) = self.objection(&request) {
            self.answer(now, &request, refuse(error), ctx);
            return Ok(());
        }
        let body = request.contents.body().map_err(|_| DropReason::BadMessage)?;
        self.on_request(now, &request, body, &security, ctx);
        Ok(())
    }

    /// Why a request cannot be carried out, whatever it asks: another configuration (CS-2), or something critical that
    /// is not understood here (MC-4, FO-3).
    fn objection(&self, request: &Incoming) -> Option<ErrorCode> {
        let (theirs, mine) = (request.header.configuration_sequence, self.config.configuration_sequence);
        let options = &request.header.options;
        if theirs != mine {
            return Some(if is_older(theirs, mine) {
                ErrorCode::CONFIG_TOO_OLD
            } else {
                ErrorCode::CONFIG_TOO_NEW
            });
        }
        if options.iter().any(|o| o.has(ForwardingOption::DESTINATION_CRITICAL)) {
            return Some(ErrorCode::UNSUPPORTED_FORWARDING_OPTION);
        }
        // No extension is understood here, not even one that has a name.
        request.contents.extensions.iter().any(|e| e.critical).then_some(ErrorCode::UNKNOWN_EXTENSION)
    }

    /// Matches an answer with its request (MC-1, SR-8, SR-9).
    fn receive_answer(
        &mut self,
        now: Instant,
        header: &ForwardingHeader,
        contents: &MessageContents,
        security: &SecurityBlock,
        signer: NodeId,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let id = header.transaction_id;
        let pending = self.requests.get(id).ok_or(DropReason::UnknownTransaction)?;
        let Request { code, expected, .. } = pending.purpose;
        if contents.message_code != code.answer() && contents.message_code != MessageCode::ERROR {
            return Err(DropReason::UnknownTransaction);
        }
        let plausible = match expected {
            Expected::Anyone => true,
            Expected::Node(node) => signer == node,
            Expected::Place(place) => self.topology.is_close_enough(signer, place),
        };
        // An error from a node in transit is a hint that any hop could forge: it ends nothing.
        if !plausible {
            return Err(DropReason::BadSignature);
        }
        let body = contents.body().map_err(|_| DropReason::BadMessage)?;
        if let Some(pending) = self.requests.take(id) {
            self.on_answer(now, pending.purpose, signer, body, security, ctx);
        }
        Ok(())
    }
}

/// The message code, which is not encrypted and stands first in the first fragment.
fn peek_code(header: &ForwardingHeader, payload: &Bytes) -> Option<MessageCode> {
    let code = payload.first_chunk().filter(|_| header.fragment.offset == 0)?;
    Some(MessageCode(u16::from_be_bytes(*code)))
}

/// A Ping to whoever is there, directly from its originator: what opens a plain link.
fn is_handshake(header: &ForwardingHeader, payload: &Bytes) -> bool {
    peek_code(header, payload) == Some(MessageCode::PING_REQ)
        && header.via_list.is_empty()
        && header.destination_list == [NodeId::WILDCARD.into()]
}

/// Serial arithmetic modulo 65535 (CS-1).
fn is_older(a: u16, b: u16) -> bool {
    const MODULUS: u32 = 65_535;
    let ahead = (u32::from(b) + MODULUS - u32::from(a) % MODULUS) % MODULUS;
    ahead != 0 && ahead <= MODULUS / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cs1_the_sequence_wraps_at_65535_and_half_of_it_is_the_past() {
        assert!(is_older(65_534, 0) && !is_older(0, 65_534));
        assert!(is_older(1, 2) && !is_older(2, 1) && !is_older(7, 7));
        assert!(is_older(40_000, 0), "0 is 25535 ahead of 40000");
    }
}
