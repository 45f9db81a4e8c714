//! The calling side (RFC 3261 §8.1, §9.1, §12.2.1, §13.2, §15.1.1): placed calls, requests inside dialogs, and what their
//! responses mean.

use super::call::{Call, Calling, Ordered, Origin, Session, State};
use super::compose::{Built, Composer, Content, Opening};
use super::streams::Streams;
use super::{
    Agent, Config, Context, EndCause, Fact, Failure, INFO_PACKAGE, Offer, OrderError, Peer, Refusal, Target,
    Transport, Use, random_token,
};
use crate::ids::CallId;
use crate::sip::dialog::{Dialog, Routed};
use crate::sip::msg::{Headers, Message, Method, Request, Response, Status, judge_response};
use crate::sip::transaction::client::{Matched, Verdict};
use crate::sip::transaction::{Branch, Event, Outgoing, Path};
use crate::stats::DropReason;
use crate::time::{Duration, Instant};
use alloc::format;
use bytes::Bytes;

impl Agent {
    /// Places a call. `call` is the caller's number for it, made by [`CallId::placed`].
    pub fn invite(
        &mut self,
        now: Instant,
        call: CallId,
        target: Target,
        offer: Offer,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        if !call.is_placed() || self.calls.contains_key(&call) {
            return Err(OrderError::CallInUse);
        }
        if self.calls.len() >= self.config.limits.calls {
            return Err(OrderError::Limit("calls"));
        }
        let branch = Branch::random(ctx.entropy);
        let (call_id, from_tag) = (random_token(ctx.entropy), random_token(ctx.entropy));
        let opening = Opening { branch, call_id: &call_id, from_tag: &from_tag };
        let uri = Composer::request_uri(&target, self.config.transport);
        let path = match target.transport.unwrap_or(self.config.transport) {
            // Nobody could answer it.
            Transport::Udp if self.config.is_secured() && !self.config.insecure_peers => {
                return Err(OrderError::BadValue("transport"));
            }
            Transport::Udp => Path::Datagram(target.addr),
            Transport::Tls if !self.config.is_secured() => return Err(OrderError::BadValue("transport")),
            Transport::Tcp | Transport::Tls => {
                Path::Stream { id: None, to: target.addr, node: target.node_id }
            }
        };
        let limit = match target.transport {
            Some(_) => usize::MAX,
            None => self.datagram_limit(),
        };
        let write = |transport| self.composer.invite(&target, &uri, &offer, &opening, transport);
        let request = outgoing(branch, Method::INVITE, path, (limit, self.stream_kind(path)), write)?;
        let path = request.path;
        self.clients
            .request(now, request, Use::Invite(call), &mut self.out)
            .map_err(|_| OrderError::Limit("client transactions"))?;
        let state = State::Calling(Calling { branch, proceeding: false, cancelled: false });
        let session = Session { ours: offer.sdp, theirs: Bytes::new(), params: offer.params };
        self.calls.insert(call, Call::new(state, path, target.node_id, session));
        self.file(call, Some(now + self.config.ring));
        self.drain(now, ctx);
        Ok(())
    }

    /// Gives up a placed call, in whatever state it is: CANCEL before the answer (as soon as a provisional response
    /// allows it), BYE after it, ACK and BYE when a 200 crosses the CANCEL.
    pub fn cancel(&mut self, now: Instant, call: CallId, ctx: &mut Context<'_>) -> Result<(), OrderError> {
        match self.calls.get(&call).ok_or(OrderError::UnknownCall)? {
            c if c.is_silent() => Err(OrderError::UnknownCall),
            Call { state: State::Calling(_), .. } => {
                self.give_up(now, call);
                self.drain(now, ctx);
                Ok(())
            }
            _ if call.is_placed() => self.bye(now, call, None, ctx),
            _ => Err(OrderError::WrongState),
        }
    }

    /// Sends an INFO in an answered call: in the package when both sides offered it, as a legacy INFO otherwise. The
    /// INFOs of a call are sent in order, each after the answer to the one before. One whose connection broke is sent
    /// again, and so may arrive twice.
    pub fn info(
        &mut self,
        now: Instant,
        call: CallId,
        body: Bytes,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        self.order(now, call, Ordered { method: Method::INFO, body: Some(body), again: false }, ctx)
    }

    /// Whether an INFO could be sent in a call now, and the peer owes no answer to an earlier one.
    pub fn is_idle(&self, call: CallId) -> bool {
        let idle = |call: &Call| !call.is_silent() && call.is_answered() && call.requests.is_empty();
        !self.clients.is_full() && self.calls.get(&call).is_some_and(idle)
    }

    /// Asks the peer of an answered call for a sign of life (OPTIONS). The answer is a [`Fact::RoundTrip`], or
    /// [`Fact::Ended`] when there is none.
    pub fn options(&mut self, now: Instant, call: CallId, ctx: &mut Context<'_>) -> Result<(), OrderError> {
        self.order(now, call, Ordered { method: Method::OPTIONS, body: None, again: false }, ctx)
    }

    /// Ends an answered call. A BYE that must wait for the ACK of our 200 (RFC 3261 §15) is sent when that arrives.
    pub fn bye(
        &mut self,
        now: Instant,
        call: CallId,
        body: Option<Bytes>,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        let state = &mut self.calls.get_mut(&call).ok_or(OrderError::UnknownCall)?.state;
        match state {
            State::Calling(_) => return self.cancel(now, call, ctx),
            State::Ringing(_) => return Err(OrderError::WrongState),
            State::Accepted(a) if a.bye.is_some() => return Err(OrderError::UnknownCall),
            State::Accepted(a) => a.bye = Some(body),
            State::Confirmed => {
                self.hang_up(now, call, body.as_ref(), ctx);
                self.drain(now, ctx);
            }
        }
        Ok(())
    }

    /// A request of an answered call that the policy wants the answer of.
    fn order(
        &mut self,
        now: Instant,
        id: CallId,
        request: Ordered,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        let call = self.calls.get_mut(&id).filter(|c| !c.is_silent()).ok_or(OrderError::UnknownCall)?;
        if !call.is_answered() {
            return Err(OrderError::WrongState);
        }
        if call.requests.len() >= self.config.limits.requests_per_call {
            return Err(OrderError::Limit("requests in this call"));
        }
        call.requests.push_back(request);
        if call.requests.len() == 1
            && let Err(error) = self.send_first(now, id, ctx)
        {
            self.calls.get_mut(&id).and_then(|c| c.requests.pop_back());
            return Err(error);
        }
        self.drain(now, ctx);
        Ok(())
    }

    /// Sends the request whose turn it is.
    fn send_first(&mut self, now: Instant, id: CallId, ctx: &mut Context<'_>) -> Result<(), OrderError> {
        let call = self.calls.get(&id).ok_or(OrderError::UnknownCall)?;
        let Some(request) = call.requests.front().cloned() else { return Ok(()) };
        let is_info = request.method == Method::INFO;
        let reminder = if is_info { Use::Info(id) } else { Use::Options(id) };
        let content = Content { body: request.body.as_ref(), package: call.package && is_info };
        self.send_inside(now, id, request.method, &content, reminder, ctx)
    }

    /// The request under way is done with: the next one's turn. One that cannot be sent counts as unanswered.
    fn send_next(&mut self, now: Instant, id: CallId, ctx: &mut Context<'_>) {
        let next = |call: &mut Call| {
            call.requests.pop_front();
            call.requests.front().map(|r| r.method == Method::INFO)
        };
        while let Some(is_info) = self.calls.get_mut(&id).and_then(next) {
            if self.send_first(now, id, ctx).is_ok() {
                break;
            }
            if is_info {
                self.tell(id, Fact::InfoAnswered { call: id, status: None }, ctx);
            }
        }
    }

    /// Sends the request under way once more, when its connection broke for the first time.
    fn send_again(&mut self, now: Instant, id: CallId, ctx: &mut Context<'_>) -> bool {
        let first = self.calls.get_mut(&id).and_then(|c| c.requests.front_mut());
        let fresh = first.is_some_and(|r| !core::mem::replace(&mut r.again, true));
        fresh && self.send_first(now, id, ctx).is_ok()
    }

    /// Begins a transaction inside a call's dialog.
    fn send_inside(
        &mut self,
        now: Instant,
        id: CallId,
        method: Method,
        content: &Content<'_>,
        reminder: Use,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        if self.clients.is_full() {
            return Err(OrderError::Limit("client transactions"));
        }
        let limit = self.datagram_limit();
        let call = self.calls.get_mut(&id).ok_or(OrderError::UnknownCall)?;
        let dialog = call.dialog.as_mut().ok_or(OrderError::WrongState)?;
        let cseq = dialog.next_cseq(method.clone());
        let routed = dialog.route();
        // What began on a secured stream stays on streams, whatever the other end's Contact says (RFC 3261 §12.1.2).
        let path = match path_to(&routed, call.fallback) {
            Path::Datagram(_) if call.node.is_some() => call.fallback,
            path => path,
        };
        let path = match path {
            Path::Stream { id, to, .. } => Path::Stream { id, to, node: call.node },
            path => path,
        };
        let kind = stream_kind(&self.config, &self.streams, path);
        let branch = Branch::random(ctx.entropy);
        let write = |transport| {
            let via = (transport, branch);
            self.composer.inside(dialog, &routed, (cseq.method.clone(), cseq.number), via, content)
        };
        let request = outgoing(branch, method, path, (limit, kind), write)?;
        self.clients
            .request(now, request, reminder, &mut self.out)
            .map_err(|_| OrderError::Limit("client transactions"))
    }

    /// How large a datagram may get before a stream is tried. A plain peer of a secured agent has no stream that it could
    /// be asked for.
    fn datagram_limit(&self) -> usize {
        if self.config.is_secured() { usize::MAX } else { self.config.limits.datagram }
    }

    fn stream_kind(&self, path: Path) -> Transport {
        stream_kind(&self.config, &self.streams, path)
    }

    /// Sends a BYE and forgets the call. Without room for the BYE the peer finds out by itself.
    pub(super) fn hang_up(&mut self, now: Instant, id: CallId, body: Option<&Bytes>, ctx: &mut Context<'_>) {
        // Info-Packages are for INFO alone (RFC 6086 §2): the body of a BYE travels as it is.
        let content = Content { body, package: false };
        let _ = self.send_inside(now, id, Method::BYE, &content, Use::Farewell, ctx);
        self.remove(id);
    }

    /// The peer does not know the call any more, or is gone: the dialog ends (§12.2.1.2).
    pub(super) fn lose(&mut self, now: Instant, id: CallId, ctx: &mut Context<'_>) {
        let Some(call) = self.calls.get(&id) else { return };
        if !call.is_silent() {
            ctx.effects.fact(Fact::Ended { call: id, cause: EndCause::Lost });
        }
        self.hang_up(now, id, None, ctx);
    }

    /// Gives up a placed call: from here on nothing is told about it.
    fn give_up(&mut self, now: Instant, id: CallId) {
        let Some(Call { state: State::Calling(calling), .. }) = self.calls.get_mut(&id) else { return };
        calling.cancelled = true;
        let (branch, proceeding) = (calling.branch, calling.proceeding);
        // Before a provisional response a CANCEL may not be sent; the transaction ends by Timer B at the latest.
        self.file(id, None);
        if proceeding {
            self.send_cancel(now, id, branch);
        }
    }

    fn send_cancel(&mut self, now: Instant, id: CallId, branch: Branch) {
        if let Some((invite, path)) = self.clients.sent(branch)
            && let Some(message) = read(invite).as_ref().and_then(Composer::cancel)
        {
            let cancel =
                Outgoing { branch: branch.cancel(), method: Method::CANCEL, message, path, over_udp: None };
            let _ = self.clients.request(now, cancel, Use::Farewell, &mut self.out);
        }
        // A peer that does not even answer the INVITE with a 487 is not waited for (§9.1).
        self.file(id, Some(now + self.config.timers.t1_64()));
    }

    /// The patience with an unanswered call, or with a cancelled one, is over.
    pub(super) fn on_calling_timeout(&mut self, now: Instant, id: CallId, ctx: &mut Context<'_>) {
        let Some(Call { state: State::Calling(calling), .. }) = self.calls.get(&id) else { return };
        if calling.cancelled {
            self.clients.forget(calling.branch);
            self.remove(id);
        } else {
            ctx.effects.fact(Fact::Failed { call: id, cause: Failure::Timeout });
            self.give_up(now, id);
            self.drain(now, ctx);
        }
    }

    /// A request got no response at all.
    pub(super) fn on_no_response(&mut self, now: Instant, user: Use, cause: Failure, ctx: &mut Context<'_>) {
        match user {
            Use::Farewell => {}
            Use::Invite(id) => {
                if let Some(Call { state: State::Calling(calling), .. }) = self.calls.get(&id) {
                    if !calling.cancelled {
                        ctx.effects.fact(Fact::Failed { call: id, cause });
                    }
                    self.remove(id);
                }
            }
            Use::Info(id) | Use::Options(id) => {
                if cause == Failure::Unreachable && self.send_again(now, id, ctx) {
                    return;
                }
                if user == Use::Info(id) {
                    self.tell(id, Fact::InfoAnswered { call: id, status: None }, ctx);
                }
                self.lose(now, id, ctx);
            }
        }
    }

    pub(super) fn on_response(
        &mut self,
        now: Instant,
        origin: Origin<'_>,
        response: &Response,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        judge_response(response).map_err(|_| DropReason::NotSip)?;
        let Ok(Some(via)) = response.headers.via() else { return Err(DropReason::NotSip) };
        let branch = via.branch().filter(|_| self.composer.is_ours(&via)).ok_or(DropReason::StrayMessage)?;
        if let Some((branch, &user)) = self.clients.find(branch, response)
            && self.speaks_for_another(user, origin)
        {
            return self.on_impostor(now, branch, user, ctx);
        }
        let ack = |invite: &Bytes| Composer::ack_failure(&read(invite)?, response);
        let verdict = self.clients.on_response(now, branch, response, ack, &mut self.out);
        self.drain(now, ctx);
        let matched = match verdict {
            Verdict::Pass(matched) => matched,
            Verdict::Absorbed => return Ok(()),
            Verdict::Stray => return Err(DropReason::StrayMessage),
        };
        match matched.user {
            Use::Farewell => {}
            Use::Invite(id) => {
                self.tell_rtt(id, matched.rtt, ctx);
                self.on_invite_response(now, id, &matched, origin, response, ctx);
            }
            Use::Info(id) | Use::Options(id) => {
                self.tell_rtt(id, matched.rtt, ctx);
                if response.status().is_final() {
                    self.on_inside_response(now, id, matched.user, response.status(), ctx);
                }
            }
        }
        Ok(())
    }

    /// Whether somebody else than the node that a call belongs to speaks in it. What a call's first answer proves, holds
    /// for all of it.
    pub(super) fn is_impostor(&mut self, id: CallId, origin: Origin<'_>) -> bool {
        let Some(call) = self.calls.get_mut(&id).filter(|_| self.config.is_secured()) else { return false };
        if call.node.is_none() && matches!(call.state, State::Calling(_)) {
            call.node = origin.node();
        }
        let is_it = origin.is(call.node);
        if is_it && call.party.is_none() {
            call.party = origin.party.cloned();
        }
        !is_it
    }

    fn speaks_for_another(&mut self, user: Use, origin: Origin<'_>) -> bool {
        match user {
            Use::Farewell => false,
            Use::Invite(id) | Use::Info(id) | Use::Options(id) => self.is_impostor(id, origin),
        }
    }

    /// Somebody else than the node that was meant has answered. Where the INVITE went there is nobody to wait for; inside
    /// a call the real answer is still to come.
    fn on_impostor(
        &mut self,
        now: Instant,
        branch: Branch,
        user: Use,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        if let Use::Invite(id) = user
            && self.calls.get(&id).is_some_and(|c| matches!(c.state, State::Calling(_)))
        {
            self.clients.forget(branch);
            self.on_no_response(now, user, Failure::Impostor, ctx);
        }
        Err(DropReason::NotSecured)
    }

    fn on_inside_response(
        &mut self,
        now: Instant,
        id: CallId,
        user: Use,
        status: Status,
        ctx: &mut Context<'_>,
    ) {
        if user == Use::Info(id) {
            self.tell(id, Fact::InfoAnswered { call: id, status: Some(status) }, ctx);
        }
        if matches!(status, Status::NO_SUCH_CALL | Status::REQUEST_TIMEOUT) {
            self.lose(now, id, ctx);
        } else {
            self.send_next(now, id, ctx);
        }
    }

    fn on_invite_response(
        &mut self,
        now: Instant,
        id: CallId,
        matched: &Matched<Use>,
        origin: Origin<'_>,
        response: &Response,
        ctx: &mut Context<'_>,
    ) {
        match response.status().code() {
            ..200 => self.on_provisional(now, id, matched.branch, origin, response, ctx),
            200..300 => self.on_success(now, id, matched, origin, response, ctx),
            _ => {
                let Some(Call { state: State::Calling(calling), .. }) = self.calls.get(&id) else { return };
                if !calling.cancelled {
                    ctx.effects.fact(Fact::Refused { call: id, refusal: Refusal::of_response(response) });
                }
                self.remove(id);
            }
        }
    }

    fn on_provisional(
        &mut self,
        now: Instant,
        id: CallId,
        branch: Branch,
        origin: Origin<'_>,
        response: &Response,
        ctx: &mut Context<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let State::Calling(calling) = &mut call.state else { return };
        let first = !core::mem::replace(&mut calling.proceeding, true);
        if first && calling.cancelled {
            return self.send_cancel(now, id, branch);
        }
        if first {
            ctx.effects.fact(Fact::Proceeding { call: id });
        }
        // The first tag makes an early dialog (§12.1), in which the callee may send an INFO. Those of other branches of a
        // fork are not followed before one of them answers.
        let has_tag = response.headers.to().is_ok_and(|to| to.is_some_and(|to| to.tag().is_some()));
        if call.dialog.is_none()
            && has_tag
            && let Some(invite) = self.clients.sent(branch).and_then(|(invite, _)| read(invite))
            && let Some(dialog) = Dialog::of_response(&invite, response)
        {
            self.dialogs.insert(dialog.id(), id);
            call.dialog = Some(dialog);
            call.fallback = origin.path();
            call.package = self.config.info_package && names_our_package(&response.headers);
        }
    }

    /// A 2xx: the first, a copy of it, or one from another branch of a fork (§13.2.2.4). Each is ACKed; only the first is
    /// kept.
    fn on_success(
        &mut self,
        now: Instant,
        id: CallId,
        matched: &Matched<Use>,
        origin: Origin<'_>,
        response: &Response,
        ctx: &mut Context<'_>,
    ) {
        let invite = self.clients.sent(matched.branch).and_then(|(invite, _)| read(invite));
        let Some(dialog) = invite.as_ref().and_then(|invite| Dialog::of_response(invite, response)) else {
            if self.calls.get(&id).is_some_and(|c| matches!(c.state, State::Calling(_))) {
                self.tell(id, Fact::Failed { call: id, cause: Failure::BadAnswer }, ctx);
                self.remove(id);
            }
            return;
        };
        self.ack(&dialog, matched, origin);
        self.drain(now, ctx);
        let peer = response.headers.contact().ok().flatten();
        let mut peer = peer.and_then(|contact| Peer::of_contact(&contact, Some(origin.addr)));
        if self.config.is_secured() {
            // Who answered is known, whatever he calls himself.
            let node = self.calls.get(&id).and_then(|call| call.node).filter(|&node| origin.is(Some(node)));
            peer.iter_mut().for_each(|peer| peer.node_id = node.or(origin.node()));
        }
        match self.calls.get_mut(&id) {
            Some(call) if matches!(&call.state, State::Calling(c) if !c.cancelled) => {
                // The early dialog may have been that of another branch.
                if let Some(early) = call.dialog.replace(dialog.clone()) {
                    self.dialogs.remove(&early.id());
                }
                self.dialogs.insert(dialog.id(), id);
                call.state = State::Confirmed;
                call.session.theirs = Bytes::copy_from_slice(response.body());
                call.fallback = origin.path();
                call.package = self.config.info_package && names_our_package(&response.headers);
                self.file(id, None);
                match peer {
                    Some(contact) => {
                        let sdp = Some(response.body().clone()).filter(|body| !body.is_empty());
                        ctx.effects.fact(Fact::Answered { call: id, contact, sdp, via: origin.addr });
                    }
                    None => {
                        ctx.effects.fact(Fact::Failed { call: id, cause: Failure::BadAnswer });
                        self.hang_up(now, id, None, ctx);
                    }
                }
            }
            Some(call)
                if call.dialog.as_ref().is_some_and(|d| d.id() == dialog.id()) && call.is_answered() => {}
            _ => self.end_stray(now, id, dialog, origin, ctx),
        }
        self.drain(now, ctx);
    }

    /// The ACK of a 2xx (§13.2.2.4). A copy of the 2xx gets a copy of the ACK.
    fn ack(&mut self, dialog: &Dialog, matched: &Matched<Use>, origin: Origin<'_>) {
        let tag = dialog.remote.tag().unwrap_or_default();
        let branch = Branch::derived(&format!("{} {tag}", matched.branch.to_param()));
        let routed = dialog.route();
        let path = path_to(&routed, origin.path());
        let number = dialog.local_cseq();
        let write = |transport| {
            let via = (transport, branch);
            self.composer.inside(dialog, &routed, (Method::ACK, number), via, &Content::NONE)
        };
        if let Ok(ack) = outgoing(branch, Method::ACK, path, (usize::MAX, self.stream_kind(path)), write) {
            self.out.push_back(Event::Send { path: ack.path, bytes: ack.message, client: None });
        }
    }

    /// Ends a dialog that nobody wants: the 2xx crossed our CANCEL, or came from another branch of a fork.
    fn end_stray(
        &mut self,
        now: Instant,
        id: CallId,
        mut dialog: Dialog,
        origin: Origin<'_>,
        ctx: &mut Context<'_>,
    ) {
        if self.calls.get(&id).is_some_and(|c| matches!(c.state, State::Calling(_))) {
            self.remove(id);
        }
        let cseq = dialog.next_cseq(Method::BYE);
        let routed = dialog.route();
        let path = path_to(&routed, origin.path());
        let branch = Branch::random(ctx.entropy);
        let write = |transport| {
            let via = (transport, branch);
            self.composer.inside(&dialog, &routed, (Method::BYE, cseq.number), via, &Content::NONE)
        };
        let how = (self.datagram_limit(), self.stream_kind(path));
        if let Ok(bye) = outgoing(branch, Method::BYE, path, how, write) {
            let _ = self.clients.request(now, bye, Use::Farewell, &mut self.out);
        }
    }

    /// States a fact about a call that the policy still listens to.
    pub(super) fn tell(&self, id: CallId, fact: Fact, ctx: &mut Context<'_>) {
        if self.calls.get(&id).is_some_and(|c| !c.is_silent()) {
            ctx.effects.fact(fact);
        }
    }

    fn tell_rtt(&self, id: CallId, rtt: Option<Duration>, ctx: &mut Context<'_>) {
        if let Some(rtt) = rtt {
            self.tell(id, Fact::RoundTrip { call: id, rtt }, ctx);
        }
    }
}

impl Refusal {
    fn of_response(response: &Response) -> Self {
        let h = &response.headers;
        // Only addresses can be asked instead: names are not resolved.
        let contacts = h.contacts().flatten().filter_map(|c| Peer::of_contact(&c, None));
        Refusal {
            status: response.status(),
            contacts: contacts.take(Refusal::MAX_CONTACTS).collect(),
            retry_after: h.retry_after().ok().flatten().map(|s| Duration::from_secs(s.into())),
        }
    }
}

/// Whether Recv-Info names our package. Names compare octet by octet (RFC 6086 §5.2).
pub(super) fn names_our_package(headers: &Headers) -> bool {
    headers.recv_info().is_some_and(|mut packages| packages.any(|p| p == Ok(INFO_PACKAGE)))
}

/// Our own request, as it was sent.
fn read(message: &Bytes) -> Option<Request> {
    match Message::parse(message.clone()).ok()? {
        Message::Request(request) => Some(request),
        Message::Response(_) => None,
    }
}

/// The way to the next hop of a dialog. Names are not resolved: where the URI holds one, the way that the peer's own
/// messages take stands for it. A stream that is open already is used again.
fn path_to(routed: &Routed, fallback: Path) -> Path {
    let uri = routed.next_hop();
    match (uri.address(), Transport::of_uri(uri)) {
        (None, _) => fallback,
        (Some(to), Transport::Udp) => Path::Datagram(to),
        (Some(to), Transport::Tcp | Transport::Tls) => match fallback {
            Path::Stream { id, node, .. } => Path::Stream { id, to, node },
            Path::Datagram(_) => Path::Stream { id: None, to, node: None },
        },
    }
}

/// What the streams to this hop are: a secured agent asks for TLS ones only, but may have accepted others.
fn stream_kind(config: &Config, streams: &Streams, path: Path) -> Transport {
    let accepted_as = match path {
        Path::Stream { id: Some(id), .. } => streams.peer(id).map(|(_, party)| party.is_some()),
        _ => None,
    };
    if accepted_as.unwrap_or(config.is_secured()) { Transport::Tls } else { Transport::Tcp }
}

/// Writes a request for its way. One that is larger than `limit` takes a stream of this `kind` instead of a datagram, and
/// keeps its UDP form for the case that nobody listens there (§18.1.1).
fn outgoing(
    branch: Branch,
    method: Method,
    path: Path,
    (limit, kind): (usize, Transport),
    write: impl Fn(Transport) -> Built,
) -> Result<Outgoing, OrderError> {
    let write = |transport| write(transport).map_err(|e| OrderError::BadValue(e.field));
    let Path::Datagram(to) = path else {
        return Ok(Outgoing { branch, method, message: write(kind)?, path, over_udp: None });
    };
    let message = write(Transport::Udp)?;
    if message.len() <= limit {
        return Ok(Outgoing { branch, method, message, path, over_udp: None });
    }
    let path = Path::Stream { id: None, to, node: None };
    Ok(Outgoing { branch, method, message: write(kind)?, path, over_udp: Some(message) })
}
