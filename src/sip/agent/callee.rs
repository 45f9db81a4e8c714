//! The called side (RFC 3261 §8.2, §9.2, §12.2.2, §13.3, §15.1.2; RFC 6086): what a request means, and what it is answered.

use super::call::{Accepted, Call, Origin, Ringing, Session, State};
use super::caller::names_our_package;
use super::compose::{ABLE, Built, Composer, TEXT, user_of};
use super::{
    Agent, ContactParams, Context, EndCause, Fact, INFO_PACKAGE, Invitation, OrderError, Peer, Refusal,
    random_token,
};
use crate::ids::{CallId, HostPrefix};
use crate::sip::dialog::{Dialog, DialogId};
use crate::sip::msg::{self, Method, Name, Request, Status, judge};
use crate::sip::transaction::server::Verdict;
use crate::sip::transaction::{Event, Key};
use crate::stats::DropReason;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use bytes::Bytes;

type Done = Result<(), DropReason>;

/// After this many seconds a peer may try again what there was no room for.
const RETRY_AFTER: u64 = 1;

impl Agent {
    /// Answers a received call with 200. The 200 is sent again until its ACK arrives.
    pub fn accept(
        &mut self,
        now: Instant,
        call: CallId,
        sdp: Bytes,
        params: ContactParams,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        let c = self.calls.get_mut(&call).filter(|c| !c.is_silent()).ok_or(OrderError::UnknownCall)?;
        let (State::Ringing(ringing), Some(dialog)) = (&c.state, &c.dialog) else {
            return Err(OrderError::WrongState);
        };
        let (tag, source) = (dialog.local.tag().unwrap_or_default(), ringing.source);
        let response = self
            .composer
            .accepted(&ringing.invite, source, tag, &sdp, &params)
            .map_err(|e| OrderError::BadValue(e.field))?;
        let key = ringing.key;
        (c.session.ours, c.session.params) = (sdp, params);
        self.wait_for_ack(now, call, key, false);
        self.servers.respond(now, &key, Status::OK, response, &mut self.out);
        self.drain(now, ctx);
        Ok(())
    }

    /// Tells the caller of a received call that it waits for its final answer (182), which stops its copies of the INVITE.
    pub fn queue(&mut self, now: Instant, call: CallId, ctx: &mut Context<'_>) -> Result<(), OrderError> {
        let c = self.calls.get(&call).filter(|c| !c.is_silent()).ok_or(OrderError::UnknownCall)?;
        let (State::Ringing(ringing), Some(dialog)) = (&c.state, &c.dialog) else {
            return Err(OrderError::WrongState);
        };
        let tag = dialog.local.tag().unwrap_or_default();
        let response = self.composer.queued(&ringing.invite, ringing.source, tag);
        let (response, key) = (response.map_err(|e| OrderError::BadValue(e.field))?, ringing.key);
        self.servers.respond(now, &key, Status::QUEUED, response, &mut self.out);
        self.drain(now, ctx);
        Ok(())
    }

    /// The call's INVITE is answered with 200 now (§13.3.1.4).
    fn wait_for_ack(&mut self, now: Instant, id: CallId, key: Key, renewal: bool) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let timers = &self.config.timers;
        let (interval, repeat_at, give_up_at) = (timers.t1, now + timers.t1, now + timers.t1_64());
        let cseq = call.dialog.as_ref().and_then(Dialog::remote_cseq).unwrap_or_default();
        call.state =
            State::Accepted(Accepted { key, cseq, renewal, repeat_at, interval, give_up_at, bye: None });
        self.file(id, Some(repeat_at.min(give_up_at)));
    }

    /// Refuses a received call.
    pub fn reject(
        &mut self,
        now: Instant,
        call: CallId,
        refusal: Refusal,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        if refusal.status.code() < 300 {
            return Err(OrderError::BadValue("status"));
        }
        match self.calls.get(&call).filter(|c| !c.is_silent()).ok_or(OrderError::UnknownCall)?.state {
            State::Ringing(_) => {}
            _ => return Err(OrderError::WrongState),
        }
        let sent = self.refuse_ringing(now, call, &refusal);
        self.drain(now, ctx);
        sent
    }

    /// Sends the final refusal of a call that rings, and forgets it.
    fn refuse_ringing(&mut self, now: Instant, id: CallId, refusal: &Refusal) -> Result<(), OrderError> {
        let Some(Call { state: State::Ringing(ringing), dialog, .. }) = self.calls.get(&id) else {
            return Err(OrderError::UnknownCall);
        };
        let tag = dialog.as_ref().and_then(|d| d.local.tag()).unwrap_or_default();
        let response = Composer::refused(&ringing.invite, ringing.source, tag, refusal)
            .map_err(|e| OrderError::BadValue(e.field))?;
        let key = ringing.key;
        self.servers.respond(now, &key, refusal.status, response, &mut self.out);
        self.remove(id);
        Ok(())
    }

    /// The policy never answered.
    pub(super) fn on_ringing_timeout(&mut self, now: Instant, id: CallId, ctx: &mut Context<'_>) {
        // A refusal without Contacts can always be written.
        let _ = self.refuse_ringing(now, id, &Refusal::status(Status::TEMPORARILY_UNAVAILABLE));
        self.drain(now, ctx);
        ctx.effects.fact(Fact::Cancelled { call: id });
    }

    /// The 200 goes out again, or its ACK is given up (§13.3.1.4: the dialog is there, so it ends by BYE).
    pub(super) fn on_accepted_timeout(&mut self, now: Instant, id: CallId, ctx: &mut Context<'_>) {
        let Some(Call { state: State::Accepted(a), .. }) = self.calls.get_mut(&id) else { return };
        if a.give_up_at <= now {
            self.lose(now, id, ctx);
        } else {
            while a.repeat_at <= now {
                a.interval = a.interval.saturating_mul(2).min(self.config.timers.t2);
                a.repeat_at += a.interval;
            }
            let (key, next) = (a.key, a.repeat_at.min(a.give_up_at));
            self.servers.repeat(now, &key, &mut self.out);
            self.file(id, Some(next));
        }
        self.drain(now, ctx);
    }

    pub(super) fn on_request(
        &mut self,
        now: Instant,
        origin: Origin<'_>,
        request: Request,
        ctx: &mut Context<'_>,
    ) -> Done {
        let is_ack = *request.method() == Method::ACK;
        let key = Key::of(&request, origin.ip());
        if let Some(key) = &key {
            match self.servers.on_request(now, key, is_ack, &mut self.out) {
                Verdict::Absorbed => return Ok(()),
                Verdict::Pass | Verdict::New => {}
            }
        }
        if let Err(refusal) = judge(&request, &ABLE) {
            return self.refuse_unfit(now, origin, &request, key, &refusal);
        }
        let key = key.ok_or(DropReason::UnanswerableRequest)?;
        match *request.method() {
            Method::ACK => self.on_ack(now, origin, &request, ctx),
            Method::CANCEL => self.on_cancel(now, origin, &request, key, ctx),
            _ => match DialogId::of_request(&request.headers) {
                Some(id) => self.on_inside(now, origin, request, key, &id, ctx),
                None if self.has_no_room_for(origin.host()) => self.answer_statelessly(origin, &request, key),
                None => self.on_outside(now, origin, request, key, ctx),
            },
        }
    }

    /// Whether a request outside of any dialog from this host has to go without a transaction.
    fn has_no_room_for(&self, stranger: HostPrefix) -> bool {
        self.servers.is_crowded() || self.exceeds_its_share(stranger)
    }

    fn exceeds_its_share(&self, stranger: HostPrefix) -> bool {
        self.servers.of_host(stranger) >= self.config.limits.strangers_per_host
    }

    /// What [`judge`] found gets its answer.
    fn refuse_unfit(
        &mut self,
        now: Instant,
        origin: Origin<'_>,
        request: &Request,
        key: Option<Key>,
        refusal: &msg::Refusal,
    ) -> Done {
        let msg::Refusal::Answer { status, .. } = *refusal else { return Err(DropReason::NotSip) };
        let tag = key.map(Key::to_tag).unwrap_or_default();
        // An unknown package is the sooner reason than its unknown body (RFC 6086 §4.2.2).
        if status == Status::UNSUPPORTED_MEDIA_TYPE
            && let Some(key) = key
            && !self.is_our_package(request)
        {
            let response = self.composer.bad_package(request, origin.addr, &tag);
            return self.answer(now, origin, request, key, Status::BAD_INFO_PACKAGE, response);
        }
        let response =
            refusal.response(request, origin.addr, &ABLE).ok_or(DropReason::UnanswerableRequest)?;
        match key {
            Some(key) => self.answer(now, origin, request, key, status, response.to_tag(&tag).finish()),
            // Without a transaction: what a response repeats may be missing, but the way back is known.
            None => {
                let path = origin.reply_path(request).ok_or(DropReason::UnanswerableRequest)?;
                let bytes = response.finish().map_err(|_| DropReason::UnanswerableRequest)?;
                self.out.push_back(Event::Send { path, bytes, client: None });
                Ok(())
            }
        }
    }

    /// Opens a transaction for a request and answers it at once; without state, by 503, when there is no room for one.
    fn answer(
        &mut self,
        now: Instant,
        origin: Origin<'_>,
        request: &Request,
        key: Key,
        status: Status,
        response: Built,
    ) -> Done {
        let response = response.map_err(|_| DropReason::UnanswerableRequest)?;
        let path = origin.reply_path(request).ok_or(DropReason::UnanswerableRequest)?;
        let trying = (*request.method() == Method::INVITE).then(Bytes::new);
        let stranger = DialogId::of_request(&request.headers).is_none().then(|| origin.host());
        if stranger.is_some_and(|host| self.exceeds_its_share(host))
            || self.servers.open(now, key, path, trying, stranger, None).is_err()
        {
            return self.answer_statelessly(origin, request, key);
        }
        self.servers.respond(now, &key, status, response, &mut self.out);
        Ok(())
    }

    fn answer_statelessly(&mut self, origin: Origin<'_>, request: &Request, key: Key) -> Done {
        let path = origin.reply_path(request).ok_or(DropReason::UnanswerableRequest)?;
        let status = Status::SERVICE_UNAVAILABLE;
        let response = Composer::response(request, origin.addr, status, &key.to_tag());
        if let Ok(bytes) = response.header(Name::RETRY_AFTER, RETRY_AFTER).finish() {
            self.out.push_back(Event::Send { path, bytes, client: None });
        }
        Err(DropReason::TransactionLimit)
    }

    fn answer_status(
        &mut self,
        now: Instant,
        origin: Origin<'_>,
        request: &Request,
        key: Key,
        status: Status,
    ) -> Done {
        let mut response = Composer::response(request, origin.addr, status, &key.to_tag());
        match status {
            Status::UNSUPPORTED_MEDIA_TYPE => response = response.header(Name::ACCEPT, TEXT),
            Status::SERVICE_UNAVAILABLE => response = response.header(Name::RETRY_AFTER, RETRY_AFTER),
            _ => {}
        }
        self.answer(now, origin, request, key, status, response.finish())
    }

    /// The ACK of a 2xx, or of nothing.
    fn on_ack(&mut self, now: Instant, origin: Origin<'_>, request: &Request, ctx: &mut Context<'_>) -> Done {
        let id = DialogId::of_request(&request.headers).and_then(|d| self.dialogs.get(&d).copied());
        let id = id.ok_or(DropReason::StrayMessage)?;
        let number = request.headers.cseq().ok().flatten().map(|c| c.number);
        if self.is_impostor(id, origin) {
            return Err(DropReason::NotSecured);
        }
        let ours = self.config.info_package;
        let Some(call) = self.calls.get_mut(&id) else { return Err(DropReason::StrayMessage) };
        let State::Accepted(accepted) = &mut call.state else { return Ok(()) };
        if number != Some(accepted.cseq) {
            return Err(DropReason::StrayMessage);
        }
        let (bye, renewal) = (accepted.bye.take(), accepted.renewal);
        call.state = State::Confirmed;
        if request.headers.recv_info().is_some() {
            call.package = ours && names_our_package(&request.headers);
        }
        self.file(id, None);
        match bye {
            Some(body) => self.hang_up(now, id, body.as_ref(), ctx),
            None if renewal => {}
            None => ctx.effects.fact(Fact::Confirmed { call: id }),
        }
        Ok(())
    }

    /// §9.2
    fn on_cancel(
        &mut self,
        now: Instant,
        origin: Origin<'_>,
        request: &Request,
        key: Key,
        ctx: &mut Context<'_>,
    ) -> Done {
        let invite = Key::of_cancelled(request, origin.ip());
        let Some(user) = invite.and_then(|invite| self.servers.user(&invite)) else {
            return self.answer_status(now, origin, request, key, Status::NO_SUCH_CALL);
        };
        if user.is_some_and(|id| self.is_impostor(id, origin)) {
            return self.answer_status(now, origin, request, key, Status::FORBIDDEN);
        }
        let call = user.and_then(|id| self.calls.get(&id).map(|call| (id, call)));
        // The same tag as in the answers to the INVITE.
        let tag =
            call.and_then(|(_, c)| c.dialog.as_ref()).and_then(|d| d.local.tag()).map(ToString::to_string);
        let ringing = call.filter(|(_, c)| matches!(c.state, State::Ringing(_))).map(|(id, _)| id);
        let tag = tag.unwrap_or_else(|| key.to_tag());
        let response = Composer::response(request, origin.addr, Status::OK, &tag).finish();
        let done = self.answer(now, origin, request, key, Status::OK, response);
        if let Some(id) = ringing {
            self.terminate_ringing(now, id, ctx);
        }
        done
    }

    /// The caller has given up: its INVITE gets 487.
    fn terminate_ringing(&mut self, now: Instant, id: CallId, ctx: &mut Context<'_>) {
        let _ = self.refuse_ringing(now, id, &Refusal::status(Status::REQUEST_TERMINATED));
        self.drain(now, ctx);
        ctx.effects.fact(Fact::Cancelled { call: id });
    }

    fn on_outside(
        &mut self,
        now: Instant,
        origin: Origin<'_>,
        request: Request,
        key: Key,
        ctx: &mut Context<'_>,
    ) -> Done {
        match *request.method() {
            Method::INVITE => self.on_invite(now, origin, request, key, ctx),
            Method::OPTIONS => {
                let response = self.composer.capabilities(&request, origin.addr, &key.to_tag());
                self.answer(now, origin, &request, key, Status::OK, response)
            }
            // BYE and INFO belong into a dialog (RFC 3261 §15.1.2, RFC 6086 §4.2.1).
            _ => self.answer_status(now, origin, &request, key, Status::NO_SUCH_CALL),
        }
    }

    fn on_invite(
        &mut self,
        now: Instant,
        origin: Origin<'_>,
        request: Request,
        key: Key,
        ctx: &mut Context<'_>,
    ) -> Done {
        if self.is_merged(&request) {
            return self.answer_status(now, origin, &request, key, Status::LOOP_DETECTED);
        }
        if self.calls.len() >= self.config.limits.calls {
            return self.answer_status(now, origin, &request, key, Status::SERVICE_UNAVAILABLE);
        }
        let dialog = match Dialog::of_request(&request, &random_token(ctx.entropy)) {
            Ok(dialog) => dialog,
            Err(status) => return self.answer_status(now, origin, &request, key, status),
        };
        let Some(mut invitation) = Invitation::of_request(&request, origin) else {
            return self.answer_status(now, origin, &request, key, Status::BAD_REQUEST);
        };
        if self.config.is_secured() {
            // Who says which node he is has to be it.
            let claimed = invitation.contact.node_id;
            if claimed.is_some() && !origin.is(claimed) {
                return self.answer_status(now, origin, &request, key, Status::FORBIDDEN);
            }
            invitation.contact.node_id = claimed.or(origin.node());
        }
        let path = origin.reply_path(&request).ok_or(DropReason::UnanswerableRequest)?;
        let trying = msg::ResponseBuilder::new(&request, Status::TRYING, origin.addr).finish();
        let trying = trying.map_err(|_| DropReason::UnanswerableRequest)?;
        let id = CallId::received(self.received);
        if self.calls.contains_key(&id) {
            // The numbers have gone round once, and this one is still in use.
            self.received = self.received.wrapping_add(1);
            return self.answer_statelessly(origin, &request, key);
        }
        if self.servers.open(now, key, path, Some(trying), Some(origin.host()), Some(id)).is_err() {
            return self.answer_statelessly(origin, &request, key);
        }
        self.received = self.received.wrapping_add(1);
        let package = self.config.info_package && names_our_package(&request.headers);
        let theirs = Bytes::copy_from_slice(request.body());
        let session = Session { ours: Bytes::new(), theirs, params: ContactParams::default() };
        let state = State::Ringing(Box::new(Ringing { key, invite: request, source: origin.addr }));
        self.dialogs.insert(dialog.id(), id);
        let node = invitation.contact.node_id.filter(|_| self.config.is_secured());
        let call = Call::new(state, origin.path(), node, session);
        let party = origin.party.cloned();
        self.calls.insert(id, Call { dialog: Some(dialog), package, party, ..call });
        self.file(id, Some(now + self.config.ring));
        ctx.effects.fact(Fact::Invited { call: id, invitation });
        Ok(())
    }

    /// Whether this INVITE has come another way already (§8.2.2.2): the same From tag, Call-ID and CSeq, but not the same
    /// transaction.
    fn is_merged(&self, request: &Request) -> bool {
        let h = &request.headers;
        let (Ok(Some(from)), Ok(Some(call_id)), Ok(Some(cseq))) = (h.from(), h.call_id(), h.cseq()) else {
            return false;
        };
        let first = DialogId {
            call_id: call_id.to_string(),
            remote_tag: from.tag().unwrap_or_default().to_string(),
            local_tag: String::new(),
        };
        let of_the_caller = |d: &DialogId| d.call_id == first.call_id && d.remote_tag == first.remote_tag;
        let mut side_by_side = self.dialogs.range(&first..).take_while(|(d, _)| of_the_caller(d));
        side_by_side.any(|(_, id)| {
            let dialog = self.calls.get(id).and_then(|c| c.dialog.as_ref());
            dialog.is_some_and(|d| d.remote_cseq() == Some(cseq.number))
        })
    }

    /// §12.2.2
    fn on_inside(
        &mut self,
        now: Instant,
        origin: Origin<'_>,
        request: Request,
        key: Key,
        dialog: &DialogId,
        ctx: &mut Context<'_>,
    ) -> Done {
        let secured = self.config.is_secured();
        let found = self.dialogs.get(dialog).and_then(|id| self.calls.get_mut(id).map(|call| (*id, call)));
        let Some((id, call)) = found else {
            return self.answer_status(now, origin, &request, key, Status::NO_SUCH_CALL);
        };
        if secured && !origin.is(call.node) {
            return self.answer_status(now, origin, &request, key, Status::FORBIDDEN);
        }
        let number = request.headers.cseq().ok().flatten().map(|c| c.number).unwrap_or_default();
        if let Some(Err(status)) = call.dialog.as_mut().map(|d| d.note_cseq(number)) {
            return self.answer_status(now, origin, &request, key, status);
        }
        // A peer that has connected anew is answered there from now on.
        call.fallback = origin.path();
        match *request.method() {
            Method::BYE => self.on_bye(now, origin, &request, key, id, ctx),
            Method::INFO => self.on_info(now, origin, &request, key, id, ctx),
            Method::INVITE => {
                let unchanged = call.session.theirs == *request.body();
                match &call.state {
                    // Glare: each waits for the other (§14.2).
                    State::Calling(_) => {
                        self.answer_status(now, origin, &request, key, Status::REQUEST_PENDING)
                    }
                    State::Ringing(_) | State::Accepted(_) => {
                        let status = Status::SERVER_INTERNAL_ERROR;
                        let response = Composer::response(&request, origin.addr, status, &dialog.local_tag)
                            .header(Name::RETRY_AFTER, ctx.entropy.below(11));
                        self.answer(now, origin, &request, key, status, response.finish())
                    }
                    State::Confirmed if unchanged => self.on_renewal(now, origin, &request, key, id),
                    // Who wants another session calls anew. The one that is there goes on.
                    State::Confirmed => {
                        self.answer_status(now, origin, &request, key, Status::NOT_ACCEPTABLE_HERE)
                    }
                }
            }
            _ => {
                let response = self.composer.capabilities(&request, origin.addr, &dialog.local_tag);
                self.answer(now, origin, &request, key, Status::OK, response)
            }
        }
    }

    /// A re-INVITE that offers what was agreed already (§14.2): a target refresh, or a sign of life.
    fn on_renewal(
        &mut self,
        now: Instant,
        origin: Origin<'_>,
        request: &Request,
        key: Key,
        id: CallId,
    ) -> Done {
        let path = origin.reply_path(request).ok_or(DropReason::UnanswerableRequest)?;
        let call = self.calls.get_mut(&id).ok_or(DropReason::StrayMessage)?;
        let (tag, Session { ours, params, .. }) = (key.to_tag(), &call.session);
        let response = self
            .composer
            .accepted(request, origin.addr, &tag, ours, params)
            .map_err(|_| DropReason::UnanswerableRequest)?;
        if self.servers.open(now, key, path, Some(Bytes::new()), None, None).is_err() {
            return self.answer_statelessly(origin, request, key);
        }
        if let Some(dialog) = &mut call.dialog {
            dialog.refresh_target(&request.headers);
        }
        self.wait_for_ack(now, id, key, true);
        self.servers.respond(now, &key, Status::OK, response, &mut self.out);
        Ok(())
    }

    /// §15.1.2
    fn on_bye(
        &mut self,
        now: Instant,
        origin: Origin<'_>,
        request: &Request,
        key: Key,
        id: CallId,
        ctx: &mut Context<'_>,
    ) -> Done {
        match self.calls.get(&id).map(|c| &c.state) {
            // A callee may not end an early dialog by BYE (§15).
            Some(State::Calling(_)) => {
                return self.answer_status(now, origin, request, key, Status::NO_SUCH_CALL);
            }
            Some(State::Ringing(_)) => self.terminate_ringing(now, id, ctx),
            _ => {}
        }
        let done = self.answer_status(now, origin, request, key, Status::OK);
        self.drain(now, ctx);
        let body = Some(request.body().clone()).filter(|body| !body.is_empty());
        let cause = EndCause::Bye { body, carrier: origin.carrier() };
        self.tell(id, Fact::Ended { call: id, cause }, ctx);
        self.remove(id);
        done
    }

    /// Legacy (RFC 2976) and with a package (RFC 6086).
    fn on_info(
        &mut self,
        now: Instant,
        origin: Origin<'_>,
        request: &Request,
        key: Key,
        id: CallId,
        ctx: &mut Context<'_>,
    ) -> Done {
        if !self.is_our_package(request) {
            let response = self.composer.bad_package(request, origin.addr, &key.to_tag());
            return self.answer(now, origin, request, key, Status::BAD_INFO_PACKAGE, response);
        }
        let body = request.body();
        let is_text = matches!(request.headers.content_type(), Ok(Some(t)) if t.is(TEXT));
        if !body.is_empty() && !is_text {
            return self.answer_status(now, origin, request, key, Status::UNSUPPORTED_MEDIA_TYPE);
        }
        self.answer_status(now, origin, request, key, Status::OK)?;
        self.drain(now, ctx);
        if !body.is_empty() {
            let package = request.headers.contains(Name::INFO_PACKAGE);
            let (body, carrier) = (body.clone(), origin.carrier());
            self.tell(id, Fact::Informed { call: id, body, carrier, package }, ctx);
        }
        Ok(())
    }

    /// Whether a request names no package, or the one that we offered.
    fn is_our_package(&self, request: &Request) -> bool {
        match request.headers.info_package() {
            Ok(None) => true,
            Ok(Some(name)) => self.config.info_package && name == INFO_PACKAGE,
            Err(_) => false,
        }
    }
}

impl Invitation {
    fn of_request(request: &Request, origin: Origin<'_>) -> Option<Self> {
        let h = &request.headers;
        let contact = h.contact().ok()??;
        Some(Invitation {
            channel: user_of(request.uri().ok()?.sip()),
            from: user_of(h.from().ok()??.sip_uri()),
            contact: Peer::of_contact(&contact, Some(origin.addr))?,
            sdp: Some(request.body().clone()).filter(|body| !body.is_empty()),
            urgent: h.is_urgent(),
            via: origin.addr,
        })
    }
}
