//! What comes over a link: frames, whose they are, and what is done with a message for this node: answered from memory,
//! or handed to its method.

use super::connections::LinkId;
use super::exchange::refuse;
use super::inbox::Unread;
use super::{Context, Expected, Fact, LinkSecurity, Overlay, Phase, Request};
use crate::bounded::Full;
use crate::env::Party;
use crate::ids::{NodeId, StreamId};
use crate::reload::codec::{
    Destination, ErrorCode, ForwardingHeader, ForwardingOption, Frame, HeaderView, MessageCode,
    MessageContents, Payload, SecurityBlock, Structure, message_signature_input,
};
use crate::reload::link::{Piece, Reader};
use crate::reload::topology::Topology;
use crate::stats::DropReason;
use crate::time::Instant;
use alloc::sync::Arc;
use bytes::Bytes;
use core::net::SocketAddr;

/// The longest message that a frame can hold (RFC 6940 §6.6.2).
const MAX_FRAMED: usize = (1 << 24) - 1;

/// A request for this node, its signature checked.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    pub(super) header: ForwardingHeader,
    /// Who signed it.
    pub(super) signer: NodeId,
    /// The same, with everything that the signer's certificate binds.
    pub(super) party: Arc<Party>,
    /// The node at the other end of the link that it came over; this node itself for its own requests.
    pub(super) previous_hop: NodeId,
    pub(super) contents: MessageContents,
}

impl Incoming {
    /// Whether it is the Ping to whoever is there that opens a plain link.
    pub(super) fn opens_link(&self) -> bool {
        self.contents.message_code == MessageCode::PING_REQ
            && self.header.via_list.is_empty()
            && self.header.destination_list == [NodeId::WILDCARD.into()]
    }

    /// Whether it came over the link that binds its signer, without a hop between (JL-2). Some originators put themselves
    /// into the Via List.
    pub(super) fn is_direct(&self) -> bool {
        let own = |entries: &[Destination]| entries.is_empty() || *entries == [self.signer.into()];
        self.previous_hop == self.signer && own(&self.header.via_list)
    }
}

/// The parts of a message for this node.
pub(super) struct Delivered {
    header: ForwardingHeader,
    contents: MessageContents,
    security: SecurityBlock,
    party: Arc<Party>,
}

impl<T: Topology> Overlay<T> {
    /// A datagram holds one frame. Others put several into one DTLS record, which does no harm.
    pub(super) fn receive_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &Bytes,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        match (&self.phase, self.config.security) {
            (Phase::Idle, _) => return Err(DropReason::NotInUse),
            (_, LinkSecurity::Tls) => return Err(DropReason::NotSecured),
            (_, LinkSecurity::InsecurePlain) => {
                let frame = Frame::decode(datagram).map_err(|_| DropReason::NotFramed)?;
                return self.receive_frame(now, LinkId::Datagram(from), frame, ctx);
            }
            (_, LinkSecurity::Dtls) => {}
        }
        let mut reader = Reader::new(MAX_FRAMED);
        let mut rest = datagram.clone();
        let mut result = Ok(());
        loop {
            let Ok(Some(Piece::Frame(frame))) = reader.next(&mut rest) else {
                return result.and(Err(DropReason::NotFramed));
            };
            result = result.and(self.receive_frame(now, LinkId::Datagram(from), frame, ctx));
            if rest.is_empty() {
                return result;
            }
        }
    }

    /// Bytes of a stream. Whoever breaks the framing has lost the link, for nothing can be read behind it.
    pub(super) fn receive_stream(
        &mut self,
        now: Instant,
        stream: StreamId,
        mut bytes: Bytes,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let link = LinkId::Stream(stream);
        let mut result = Ok(());
        loop {
            // A frame may close the link that it came over.
            let Some(reader) = self.connections.get_mut(link).and_then(|c| c.reader()) else {
                return result.and(Err(DropReason::NotInUse));
            };
            let outcome = match reader.next(&mut bytes) {
                Ok(None) => return result,
                Ok(Some(Piece::Frame(frame))) => self.receive_frame(now, link, frame, ctx),
                Ok(Some(Piece::Oversized { length, beginning })) => {
                    self.refuse_beginning(now, link, beginning, length, ctx)
                }
                Err(_) => {
                    self.close(now, link, ctx);
                    Err(DropReason::BadStream)
                }
            };
            result = result.and(outcome);
            if outcome.is_err() && self.connections.get(link).is_none() {
                return result;
            }
        }
    }

    fn receive_frame(
        &mut self,
        now: Instant,
        link: LinkId,
        frame: Frame,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        match frame {
            Frame::Ack { ack_sequence, .. } => {
                let known = self.connections.on_ack(now, link, ack_sequence);
                let incident = known.ok_or(DropReason::NotAllowedOnLink)?;
                if let Some(incident) = incident {
                    self.on_incident(now, incident, ctx);
                }
                Ok(())
            }
            // What comes later does not go first.
            Frame::Data { sequence, message } if !self.inbox.is_empty() || !self.turn.may_verify() => {
                self.inbox.push(link, sequence, &message).map_err(|Full| DropReason::VerificationLimit)
            }
            Frame::Data { sequence, message } => self.receive_data(now, link, sequence, &message, ctx),
        }
    }

    /// It is the turn of a message that has waited. Whoever brought it is told nothing any more.
    pub(super) fn receive_waiting(&mut self, now: Instant, unread: Unread, ctx: &mut Context<'_>) {
        let Unread { link, sequence, message } = unread;
        if let Err(reason) = self.receive_data(now, link, sequence, &message, ctx) {
            ctx.effects.fact(Fact::Dropped { reason });
        }
    }

    fn receive_data(
        &mut self,
        now: Instant,
        link: LinkId,
        sequence: u32,
        message: &Bytes,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let connection = self.connections.get(link);
        let node = connection.and_then(|c| c.node);
        let secured = connection.is_some_and(|c| c.party.is_some());
        let hello = connection.and_then(|c| c.dialing).and_then(|d| d.transaction_id);
        if node.is_some() || secured {
            // Whatever the frame holds, it has arrived (LR-1).
            self.connections.on_data(now, link, sequence, ctx.effects);
        }
        let view = match self.read_header(message) {
            Err(_) if secured && message.len() > self.config.limits.message_size => {
                self.close(now, link, ctx);
                return Err(DropReason::TooLarge);
            }
            read => read?,
        };
        if message.len() > self.config.limits.message_size {
            return self.refuse_size(now, link, &view, ctx);
        }
        let opens = self.config.security == LinkSecurity::InsecurePlain && is_handshake(&view);
        match (node, link) {
            (None, _) | (_, LinkId::Datagram(_)) if opens => {
                let unacknowledged = node.is_none().then_some(sequence);
                self.receive_handshake(now, link, &view, unacknowledged, ctx)
            }
            (Some(node), _) => self.receive_from(now, link, node, &view, ctx),
            (None, _) if hello == Some(view.transaction_id) => {
                if !secured {
                    self.connections.on_data(now, link, sequence, ctx.effects);
                }
                self.receive_handshake_answer(now, link, &view, ctx)
            }
            (None, _) if secured => self.receive_introduction(now, link, &view, ctx),
            (None, _) => Err(DropReason::NotAllowedOnLink),
        }
    }

    /// A message over a link that binds a node. Whose certificate has several Node-IDs and who has not said by an Attach
    /// which is meant may Ping and Attach and nothing else (RX-12).
    fn receive_from(
        &mut self,
        now: Instant,
        link: LinkId,
        node: NodeId,
        view: &HeaderView,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let identified = self.connections.get(link).is_some_and(|c| c.identified);
        // Of a fragment behind the first nobody knows what it is.
        if !identified && view.message_code().is_none_or(needs_attach) {
            if view.fragment.offset == 0 {
                self.answer_from_transit(now, &view.header(), node, refuse(ErrorCode::FORBIDDEN), ctx);
            }
            return Err(DropReason::NotAllowedOnLink);
        }
        self.receive(now, node, view, ctx)
    }

    /// The first message of somebody whose certificate has several Node-IDs: a request of his own, the signature of which
    /// says under which of them he can be answered.
    fn receive_introduction(
        &mut self,
        now: Instant,
        link: LinkId,
        view: &HeaderView,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let is_request = view.message_code().is_some_and(MessageCode::is_request);
        if !is_request || !view.fragment.is_whole() {
            return Err(DropReason::NotAllowedOnLink);
        }
        let signer = self.open(view.header(), &view.payload(), ctx)?.party.node_id;
        let party = self.connections.get(link).and_then(|c| c.party.as_ref());
        let his_own = view.via_list().all(|d| d == signer.into());
        if !his_own || !party.is_some_and(|p| p.node_ids.contains(&signer)) {
            return Err(DropReason::NotAllowedOnLink);
        }
        self.on_identified(now, link, signer, ctx)?;
        self.receive_from(now, link, signer, view, ctx)
    }

    /// FR-6: says so and closes. A plain link stays, for anyone who forges a source address could close it with one
    /// datagram.
    fn refuse_size(
        &mut self,
        now: Instant,
        link: LinkId,
        view: &HeaderView,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let is_request = view.message_code().is_some_and(MessageCode::is_request);
        let connection = self.connections.get(link);
        let node = connection.and_then(|c| c.node).filter(|_| is_request);
        let stays = connection.is_none_or(|c| c.party.is_none()) && matches!(link, LinkId::Datagram(_));
        if let Some(node) = node {
            let error = refuse(ErrorCode::MESSAGE_TOO_LARGE);
            self.answer_from_transit(now, &view.header(), node, error, ctx);
        }
        if !stays {
            self.close(now, link, ctx);
        }
        Err(DropReason::TooLarge)
    }

    /// The same for a message of which only the beginning has been read, or not even that.
    fn refuse_beginning(
        &mut self,
        now: Instant,
        link: LinkId,
        beginning: Option<Bytes>,
        length: usize,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let read = beginning.and_then(|b| HeaderView::read_beginning(&b, length).ok());
        match read.filter(|view| view.overlay == self.hash) {
            Some(view) => self.refuse_size(now, link, &view, ctx),
            None => {
                self.close(now, link, ctx);
                Err(DropReason::TooLarge)
            }
        }
    }

    /// Works off one message from this node to itself.
    pub(super) fn receive_loopback(&mut self, now: Instant, message: &Bytes, ctx: &mut Context<'_>) {
        if let Ok(view) = self.read_header(message) {
            // What this node sends to itself is dropped for the same reasons as anybody's message.
            let _ = self.receive(now, self.me, &view, ctx);
        }
    }

    /// RX-1: another overlay's, another version's or a damaged header goes unanswered.
    fn read_header(&self, message: &Bytes) -> Result<HeaderView, DropReason> {
        let view = HeaderView::read(message).map_err(|e| match e.field {
            "version" => DropReason::WrongVersion,
            _ => DropReason::BadHeader,
        })?;
        if view.overlay != self.hash {
            return Err(DropReason::WrongOverlay);
        }
        Ok(view)
    }

    /// Reads what is for this node and checks whose it is (SB-5).
    pub(super) fn open(
        &self,
        header: ForwardingHeader,
        payload: &Bytes,
        ctx: &Context<'_>,
    ) -> Result<Delivered, DropReason> {
        let Payload { contents, security } = Payload::decode(payload).map_err(|_| DropReason::BadMessage)?;
        let identity = &security.signature.identity;
        let input = message_signature_input(self.hash, header.transaction_id, &contents, identity)
            .map_err(|_| DropReason::BadMessage)?;
        let at = self.time_of_day(self.now);
        self.turn.count_verification();
        let party = ctx
            .crypto
            .verify(at, identity, &security.x509(), &[&input], &security.signature.signed)
            .map_err(|_| DropReason::BadSignature)?;
        if self.is_bad(&party) {
            return Err(DropReason::BadSignature);
        }
        Ok(Delivered { header, contents, security, party })
    }

    /// The opening Ping of a link: whoever signed it is at the other end. `unacknowledged` is the number of its frame
    /// when the link is new, for a stranger is answered only after his signature holds.
    fn receive_handshake(
        &mut self,
        now: Instant,
        link: LinkId,
        view: &HeaderView,
        unacknowledged: Option<u32>,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let delivered = self.open(view.header(), &view.payload(), ctx)?;
        let signer = delivered.party.node_id;
        let repeated = self.answers.get(now, signer, delivered.header.transaction_id).is_some();
        if !repeated {
            self.on_dialed(now, link, signer, ctx)?;
        }
        if let Some(sequence) = unacknowledged {
            self.connections.on_data(now, link, sequence, ctx.effects);
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
        link: LinkId,
        view: &HeaderView,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let Some(payload) = self.reassemble(now, NodeId::WILDCARD, view)? else { return Ok(()) };
        let delivered = self.open(view.header(), &payload, ctx)?;
        if delivered.contents.message_code != MessageCode::PING_ANS {
            return Err(DropReason::UnknownTransaction);
        }
        self.on_hello_answered(now, link, delivered.party.node_id, ctx)
    }

    pub(super) fn deliver(
        &mut self,
        now: Instant,
        previous_hop: NodeId,
        delivered: Delivered,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let Delivered { header, contents, security, party } = delivered;
        let signer = party.node_id;
        if !contents.message_code.is_request() {
            return self.receive_answer(now, &header, &contents, &security, signer, ctx);
        }
        if let Some(answer) = self.answers.get(now, signer, header.transaction_id) {
            self.answer_again(now, &header, previous_hop, &answer, ctx);
            return Ok(());
        }
        if self.is_answering(signer, header.transaction_id) {
            // Its answer is as good as on its way.
            return Ok(());
        }
        if !self.takes_answers() {
            return Err(DropReason::RequestLimit);
        }
        let request = Incoming { header, signer, party, previous_hop, contents };
        if let Some(error) = self.objection(&request) {
            self.answer(now, &request, refuse(error), ctx);
            if error == ErrorCode::CONFIG_TOO_OLD {
                self.on_outdated(now, &request, ctx);
            }
            return Ok(());
        }
        let body = request.contents.body().map_err(|_| DropReason::BadMessage)?;
        self.on_request(now, &request, body, &security, ctx);
        Ok(())
    }

    /// Why a request cannot be carried out, whatever it asks: another configuration (CS-2), or something critical that
    /// is not understood here (MC-4, FO-3).
    fn objection(&self, request: &Incoming) -> Option<ErrorCode> {
        let options = &request.header.options;
        if let Some(error) = self.check_sequence(request) {
            return Some(error);
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
            return Err(DropReason::WrongResponder);
        }
        let body = contents.body().map_err(|_| DropReason::BadMessage)?;
        if let Some(pending) = self.requests.take(id) {
            self.on_answer(now, pending.purpose, signer, body, security, ctx);
        }
        Ok(())
    }
}

/// Whether a request may come only from a node whose Node-ID is beyond doubt (RX-12).
fn needs_attach(code: MessageCode) -> bool {
    code.is_request() && code != MessageCode::PING_REQ && code != MessageCode::ATTACH_REQ
}

/// A Ping to whoever is there, directly from its originator: what opens a plain link.
fn is_handshake(view: &HeaderView) -> bool {
    let mut list = view.destination_list();
    view.message_code() == Some(MessageCode::PING_REQ)
        && view.fragment.is_whole()
        && view.via_bytes().is_empty()
        && list.next() == Some(NodeId::WILDCARD.into())
        && list.next().is_none()
}
