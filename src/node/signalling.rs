//! The signalling plane's facts, told to the policy: who calls, who answered, what was reported.

use super::Node;
use super::PeerKey;
use super::api::Output;
use super::directory::{Contact, Source};
use super::keys;
use super::reports::Closing;
use crate::bounded::{Place, gives_way};
use crate::effect::Effect;
use crate::ids::{CallId, ChannelId, HostPrefix};
use crate::iptv::{self, ByeReason, Provider};
use crate::rtp::srtcp::MasterKey;
use crate::sip::agent::{EndCause, Fact, Failure, Invitation, Peer, Refusal};
use crate::sip::msg::Status;
use crate::sip::sdp::{Direction, SessionDescription};
use crate::stats::Plane;
use crate::time::Duration;
use crate::time::earliest;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::SocketAddr;

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    /// Media flows to or from the other end, whose media address this is (`None` until it has told).
    Media(Option<SocketAddr>),
    /// Nothing flows until the caller asks for it; then it flows to the caller's media address (`None` until it has told).
    Standby(Option<SocketAddr>),
    /// Reports only (a control dialog).
    Control,
}

/// One call that the policy knows. The agent's limit on calls bounds them.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) channel: ChannelId,
    pub(super) peer: PeerKey,
    pub(super) usage: Usage,
    /// What a received INVITE offered, until it is answered.
    pub(super) offer: Option<SessionDescription>,
    /// The key that the INVITE offered: ours if we placed the call, the caller's if it is to be secured.
    pub(super) key: Option<MasterKey>,
    /// What the INVITE says that the caller has already.
    pub(super) resume: Option<u16>,
    /// A received media call that was accepted: the other end is a child here.
    pub(super) serving: bool,
    /// There and back, where it was measured before the other end is a parent here.
    pub(super) rtt: Option<Duration>,
}

impl Node {
    pub(super) fn on_signalling(&mut self, effect: Effect<Fact>) {
        match effect {
            Effect::Send { to, payload } => {
                self.queue.push(Output::Transmit { plane: Plane::Signalling, to, payload }, &mut self.stats);
            }
            Effect::Connect { stream, to } => {
                self.queue.push(Output::Connect { stream, plane: Plane::Signalling, to }, &mut self.stats);
            }
            Effect::Write { stream, bytes } => self.write_stream(stream, bytes),
            Effect::Close { stream } => self.close_stream(stream),
            // Signalling has no associations.
            Effect::Associate { .. } | Effect::Dissociate { .. } => {}
            Effect::Fact(fact) => self.on_sip_fact(fact),
        }
    }

    fn on_sip_fact(&mut self, fact: Fact) {
        match fact {
            Fact::Invited { call, invitation } => self.on_invited(call, invitation),
            Fact::Cancelled { call } => {
                self.calls.remove(&call);
                self.tell(iptv::Fact::Cancelled { call });
            }
            Fact::Answered { call, contact, sdp, via } => {
                let session = sdp.and_then(|sdp| SessionDescription::parse(&sdp).ok());
                self.on_answered(call, contact, session, via);
            }
            Fact::Refused { call, refusal } => {
                let refusal = self.refusal(refusal);
                self.call_is_over(call);
                self.tell(iptv::Fact::Refused { call, refusal });
            }
            Fact::Failed { call, cause } => {
                let refusal = match cause {
                    Failure::Timeout | Failure::Unreachable => iptv::Refusal::NoAnswer,
                    Failure::BadAnswer | Failure::Impostor => iptv::Refusal::Other,
                };
                self.call_is_over(call);
                self.tell(iptv::Fact::Refused { call, refusal });
            }
            Fact::Informed { call, body, carrier, package: _ } => {
                if let Some(report) = self.decode_report(call, &body, carrier) {
                    self.tell(iptv::Fact::Reported { call, report });
                }
            }
            Fact::InfoAnswered { call, status } => {
                if !status.is_some_and(|s| (200..300).contains(&s.code())) {
                    self.tell(iptv::Fact::ReportFailed { call });
                }
            }
            Fact::Ended { call, cause } => {
                let reason = match cause {
                    EndCause::Bye { body, carrier } => {
                        match body.and_then(|body| Closing::decode(&body, carrier)) {
                            Some(Closing::EndOfChannel(proof)) => self.take_end(call, proof.as_ref()),
                            Some(Closing::Leaving) => ByeReason::Leaving,
                            None => ByeReason::Normal,
                        }
                    }
                    EndCause::Lost => ByeReason::Lost,
                };
                self.call_is_over(call);
                self.tell(iptv::Fact::Ended { call, reason });
            }
            Fact::RoundTrip { call, rtt } => {
                if let Some(call) = self.calls.get_mut(&call) {
                    call.rtt = Some(rtt);
                }
                self.relay.on_round_trip(call, rtt);
                self.tell(iptv::Fact::RoundTrip { call, rtt });
            }
            Fact::Proceeding { call } => self.tell(iptv::Fact::Proceeding { call }),
            Fact::Confirmed { .. } => {}
        }
    }

    fn on_invited(&mut self, call: CallId, invitation: Invitation) {
        let Invitation { channel, from, mut contact, sdp, urgent, via } = invitation;
        let Some(channel) = self.channels.named(&channel) else {
            return self.reject(call, Status::NOT_FOUND);
        };
        // An INVITE without an offer would have us offer; every viewer of a broadcast knows what it wants.
        let Some(session) = sdp.and_then(|sdp| SessionDescription::parse(&sdp).ok()) else {
            return self.reject(call, Status::NOT_ACCEPTABLE_HERE);
        };
        let Some((media, key)) = self.offered_stream(&session, contact.node_id.is_some()) else {
            return self.reject(call, Status::NOT_ACCEPTABLE_HERE);
        };
        let usage = match (media.direction, session.address_of(media)) {
            (Direction::Inactive, _) if !contact.params.standby => Usage::Control,
            // Nobody has us send media to somebody else.
            (_, Some(addr)) if !keys::is_same_host(addr, via) => return self.reject(call, Status::FORBIDDEN),
            (Direction::Inactive, Some(addr)) => Usage::Standby(Some(addr)),
            (direction, Some(addr)) if direction.receives() => Usage::Media(Some(addr)),
            _ => return self.reject(call, Status::NOT_ACCEPTABLE_HERE),
        };
        if contact.node_id.is_some_and(|node| self.is_bad_node(node)) {
            return self.reject(call, Status::FORBIDDEN);
        }
        if contact.name.is_empty() {
            contact.name = from;
        }
        let (slots, resume) = (contact.params.slots, contact.params.resume);
        let moves = resume.is_some() && !urgent;
        let peer = self.meet(contact);
        match usage {
            Usage::Standby(Some(addr)) => self.make_room_for_a_standby(HostPrefix::of(addr.ip())),
            Usage::Media(Some(addr)) if !urgent && !moves && self.policy.would_wait(channel, peer, slots) => {
                self.make_room_for_a_caller(channel, HostPrefix::of(addr.ip()))
            }
            _ => {}
        }
        self.calls.insert(
            call,
            Call { channel, peer, usage, offer: Some(session), key, resume, serving: false, rtt: None },
        );
        self.tell(match usage {
            Usage::Media(_) => iptv::Fact::Invited { channel, call, peer, urgent, moves, slots },
            Usage::Standby(_) => iptv::Fact::StandbyInvited { channel, call, peer, slots },
            Usage::Control => iptv::Fact::ControlInvited { channel, call, peer },
        });
    }

    /// Standbys share few places. Of one host's the oldest goes.
    fn make_room_for_a_standby(&mut self, newcomer: HostPrefix) {
        let places = self.policy.leases().map(|call| (call, ())).collect();
        let limit = self.config.policy.limits.leases;
        if let Some(call) = self.crowding_out(places, limit, newcomer) {
            self.bye(call, ByeReason::Normal);
            self.tell(iptv::Fact::Ended { call, reason: ByeReason::Normal });
        }
    }

    /// So do those that wait for the next relayer. Of one host's the last that came goes.
    fn make_room_for_a_caller(&mut self, channel: ChannelId, newcomer: HostPrefix) {
        let places = self.policy.waiting(channel).map(|call| (call, Reverse(call))).collect();
        let limit = self.config.policy.limits.waiting;
        if let Some(call) = self.crowding_out(places, limit, newcomer) {
            self.refuse_as_busy(call, self.config.policy.busy_retry_after);
            self.tell(iptv::Fact::Cancelled { call });
        }
    }

    /// When all places are taken, one of the host that has most is over for a host that has fewer even with one more, so that
    /// nobody keeps everybody else from having one. With each call stands what says which of one host's goes: the least.
    fn crowding_out<T: Copy + Ord>(
        &self,
        places: Vec<(CallId, T)>,
        limit: u16,
        newcomer: HostPrefix,
    ) -> Option<CallId> {
        let place = |(key, used)| {
            let (Usage::Media(addr) | Usage::Standby(addr)) = self.calls.get(&key)?.usage else {
                return None;
            };
            Some(Place { holder: HostPrefix::of(addr?.ip()), used, may_go: true, key })
        };
        let places: Vec<_> = places.into_iter().filter_map(place).collect();
        if places.len() < usize::from(limit) {
            return None;
        }
        let gone = gives_way(places.iter().copied(), newcomer)?;
        let count = |host| places.iter().filter(|place| place.holder == host).count();
        (count(gone.holder) > count(newcomer) + 1).then_some(gone.key)
    }

    fn on_answered(
        &mut self,
        call: CallId,
        contact: Peer,
        session: Option<SessionDescription>,
        via: SocketAddr,
    ) {
        let params = contact.params;
        let Some(Call { channel, usage, peer, key, rtt, .. }) = self.calls.get(&call).cloned() else {
            // The policy gave the call up while the answer was on its way.
            let _ = self.with_agent(|agent, now, ctx| agent.bye(now, call, None, ctx));
            return;
        };
        // The call was placed by address; who answers says who it is.
        if self.directory.get(peer).is_some_and(|known| known.name.is_empty()) && !contact.name.is_empty() {
            self.meet(contact);
        }
        let standby = matches!(usage, Usage::Standby(_));
        let sender = session.as_ref().and_then(|session| keys::answered_stream(session, key, via, standby));
        let (now, fx) = (self.now, &mut self.media_effects);
        let added = match (usage, sender) {
            (Usage::Control, _) => true,
            (Usage::Media(_), Some((remote, ssrc))) => {
                self.relay.add_parent(now, call, channel, remote, ssrc, fx).is_ok()
            }
            // Who knows no standbys has answered to something else.
            (Usage::Standby(_), Some((remote, _))) if params.standby => {
                self.relay.add_standby_parent(now, call, channel, remote, fx).is_ok()
            }
            (Usage::Media(_) | Usage::Standby(_), _) => false,
        };
        if !added {
            let _ = self.with_agent(|agent, now, ctx| agent.bye(now, call, None, ctx));
            self.calls.remove(&call);
            return self.tell(iptv::Fact::Refused { call, refusal: iptv::Refusal::Other });
        }
        if let Some(rtt) = rtt {
            self.relay.on_round_trip(call, rtt);
        }
        self.tell(iptv::Fact::Answered { call, depth: params.depth, rescue: params.rescue });
    }

    fn refusal(&mut self, refusal: Refusal) -> iptv::Refusal<PeerKey> {
        let Refusal { status, contacts, retry_after } = refusal;
        match status.code() {
            300..=399 => {
                let me = self.node_id();
                let others = contacts.into_iter().filter(|contact| contact.node_id != Some(me));
                let providers: Vec<Provider<PeerKey>> =
                    others.map(|contact| self.provider(contact)).collect();
                iptv::Refusal::Redirected(providers)
            }
            482 => iptv::Refusal::Loop,
            404 | 410 | 604 => iptv::Refusal::NotFound,
            408 => iptv::Refusal::NoAnswer,
            480 | 486 | 503 | 600 => iptv::Refusal::Busy { retry_after },
            _ => iptv::Refusal::Other,
        }
    }

    fn reject(&mut self, call: CallId, status: Status) {
        let refusal = Refusal::status(status);
        // A call that is gone needs no refusal.
        let _ = self.with_agent(|agent, now, ctx| agent.reject(now, call, refusal, ctx));
    }

    /// Stops what flowed in a call, and forgets it.
    pub(super) fn call_is_over(&mut self, call: CallId) {
        self.relay.remove_parent(call);
        self.relay.remove_child(call);
        self.calls.remove(&call);
        self.grants.forget(call);
        if !self.calls.values().any(|call| call.serving) {
            self.next_refresh = None;
        }
    }

    /// Remembers a peer that has called or answered, and gives its key.
    pub(super) fn meet(&mut self, peer: Peer) -> PeerKey {
        self.remember(Contact::of_peer(peer), Source::Itself)
    }

    /// Remembers a contact and gives its key.
    pub(super) fn remember(&mut self, contact: Contact, source: Source) -> PeerKey {
        self.directory.mention(contact, source, |key| self.policy.counts_on(key))
    }

    /// A peer that may serve the channel.
    pub(super) fn provider(&mut self, peer: Peer) -> Provider<PeerKey> {
        let params = peer.params;
        let peer = self.remember(Contact::of_peer(peer), Source::Hearsay);
        Provider { peer, depth: params.depth, free: params.slots }
    }

    /// A child is served from now on; those that never send RTCP are asked for a sign of life now and then.
    pub(super) fn serve(&mut self, call: CallId) {
        if let Some(call) = self.calls.get_mut(&call) {
            call.serving = true;
        }
        self.next_refresh = earliest(self.next_refresh, Some(self.now + self.config.refresh));
    }

    /// Asks the children that never sent RTCP whether they are still there (P17). Who does not answer has ended.
    pub(super) fn refresh_children(&mut self) {
        let silent: Vec<CallId> = self
            .calls
            .iter()
            .filter(|(id, call)| call.serving && self.relay.last_report(**id).is_none())
            .map(|(&id, _)| id)
            .collect();
        self.next_refresh =
            self.calls.values().any(|call| call.serving).then(|| self.now + self.config.refresh);
        for call in silent {
            // A call that is just ending, or busy with other requests, gives its sign of life anyway.
            let _ = self.with_agent(|agent, now, ctx| agent.options(now, call, ctx));
        }
    }

    /// What to call a peer when talking to people.
    pub(super) fn name_of(&self, key: PeerKey) -> super::PeerName {
        match self.directory.get(key) {
            // Whatever others say of it.
            _ if key == PeerKey::of_node(self.node_id()) => {
                super::PeerName { name: self.config.name.clone(), node_id: Some(self.node_id()) }
            }
            Some(contact) => super::PeerName { name: contact.name.clone(), node_id: contact.node_id },
            None => super::PeerName { name: String::from("?"), node_id: None },
        }
    }
}
