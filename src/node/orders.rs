//! The policy's orders, carried out on the planes.

use super::Node;
use super::PeerKey;
use super::api::{EndReason, Event};
use super::records::Record;
use super::reports::Closing;
use super::signalling::{Call, Usage};
use crate::ids::{CallId, ChannelId};
use crate::iptv::{self, ByeReason, Denial, Hold, InviteKind, Order, Provider};
use crate::rtp::relay::{Remote, Start};
use crate::rtp::rtcp;
use crate::rtp::srtcp::{Keys, MasterKey};
use crate::sip::agent::{ContactParams, Offer, Peer, Refusal, Target};
use crate::sip::msg::Status;
use crate::sip::sdp::{Direction, Local, SessionDescription};
use crate::time::Duration;
use alloc::string::String;
use alloc::vec::Vec;

impl Node {
    pub(super) fn obey(&mut self, order: Order<PeerKey>) {
        match order {
            Order::Fetch { channel } => self.look_up(channel),
            Order::TakeOver { channel } => self.take_over(channel),
            Order::BeginAnew { channel } => self.begin_anew(channel),
            Order::Register { channel, role, depth, free, listed } => {
                let record = Record { role, depth, free };
                if listed { self.register(channel, record) } else { self.register_in_tree(channel, record) }
            }
            Order::Unregister { channel } => self.unregister(channel),
            Order::Invite { channel, call, peer, kind, slots } => {
                self.invite(channel, call, peer, kind, slots)
            }
            Order::Cancel { call } => {
                self.call_is_over(call);
                // It may just have ended by itself.
                let _ = self.with_agent(|agent, now, ctx| agent.cancel(now, call, ctx));
            }
            Order::Accept { call, depth, rescue, free } => self.accept(call, depth, rescue, free),
            Order::Redirect { call, providers } => {
                let contacts = providers.into_iter().filter_map(|provider| self.peer(provider)).collect();
                self.refuse(call, Refusal { status: Status::MOVED_TEMPORARILY, contacts, retry_after: None });
            }
            Order::Queue { call } => {
                // The caller may have given up meanwhile.
                let _ = self.with_agent(|agent, now, ctx| agent.queue(now, call, ctx));
            }
            Order::Refuse { call, denial } => match denial {
                Denial::Busy { retry_after } => self.refuse_as_busy(call, retry_after),
                Denial::Loop => self.refuse(call, Refusal::status(Status::LOOP_DETECTED)),
                Denial::NotFound => self.refuse(call, Refusal::status(Status::NOT_FOUND)),
                Denial::ControlUnwanted => self.refuse(call, Refusal::status(Status::BUSY_HERE)),
            },
            Order::Bye { call, reason } => self.bye(call, reason),
            Order::Inform { call, report } => {
                let Some(body) = self.encode_report(call, &report) else { return };
                if self.with_agent(|agent, now, ctx| agent.info(now, call, body, ctx)).is_err() {
                    self.tell(iptv::Fact::ReportFailed { call });
                }
            }
            Order::Hold { channel, hold } => {
                let hold = match hold {
                    Hold::Starved => rtcp::Hold::Starved,
                    Hold::Paused => rtcp::Hold::Paused,
                    Hold::Sourceless => rtcp::Hold::Sourceless,
                };
                self.relay.hold(channel, hold, &mut self.media_effects);
            }
            Order::Resume { call } => self.relay.resume(self.now, call, &mut self.media_effects),
            Order::Release { call } => self.relay.release(self.now, call, &mut self.media_effects),
            Order::Serve { call } => self.relay.serve(self.now, call, &mut self.media_effects),
            Order::Rest { call } => self.relay.rest(call),
            Order::Deny { call } => self.relay.deny(call, &mut self.media_effects),
            Order::Event(event) => self.announce(event),
        }
    }

    fn invite(&mut self, channel: ChannelId, call: CallId, peer: PeerKey, kind: InviteKind, slots: u16) {
        let (Some(open), Some(contact)) = (self.channels.get(channel), self.directory.get(peer)) else {
            return self.tell(iptv::Fact::Refused { call, refusal: iptv::Refusal::NoAnswer });
        };
        if contact.node_id.is_some_and(|node| self.is_bad_node(node)) || self.is_shunned(peer) {
            return self.tell(iptv::Fact::Refused { call, refusal: iptv::Refusal::Other });
        }
        let target = Target {
            addr: contact.addr,
            transport: Some(contact.transport),
            user: String::from(open.name.as_str()),
            to: (!contact.name.is_empty()).then(|| contact.name.clone()),
            node_id: contact.node_id,
        };
        let (direction, usage) = match kind {
            InviteKind::Media | InviteKind::Urgent => (Direction::RecvOnly, Usage::Media(None)),
            InviteKind::Control => (Direction::Inactive, Usage::Control),
            InviteKind::Standby => (Direction::Inactive, Usage::Standby(None)),
        };
        // Whoever has media already wants what follows it; the first packets of all begin where a decoder can.
        let has_media = usage == Usage::Media(None) && self.relay.last_media(channel).is_some();
        let resume = self.relay.highest(channel).filter(|_| has_media).map(|highest| highest as u16);
        let key = self.new_key(target.transport);
        let local = self.local(direction, None, key.as_ref());
        let Ok(sdp) = SessionDescription::offer(&local).to_bytes() else { return };
        let offer = Offer {
            sdp,
            urgent: kind == InviteKind::Urgent,
            params: ContactParams {
                slots: Some(slots),
                resume,
                standby: kind == InviteKind::Standby,
                ..ContactParams::default()
            },
        };
        self.calls
            .insert(call, Call { channel, peer, usage, offer: None, key, resume, serving: false, rtt: None });
        if self.with_agent(|agent, now, ctx| agent.invite(now, call, target, offer, ctx)).is_err() {
            self.calls.remove(&call);
            self.tell(iptv::Fact::Refused { call, refusal: iptv::Refusal::NoAnswer });
        }
    }

    fn accept(&mut self, call: CallId, depth: u8, rescue: bool, free: u16) {
        let Some(known) = self.calls.get_mut(&call) else { return };
        let (channel, usage) = (known.channel, known.usage);
        let from = known.resume.map_or(Start::RandomAccess, Start::After);
        let (Some(offer), theirs) = (known.offer.take(), known.key.take()) else { return };
        let keys = theirs.map(|theirs| Keys { ours: MasterKey::generate(&mut *self.entropy), theirs });
        let ours = keys.as_ref().map(|keys| &keys.ours);
        let cname = self.channels.get(channel).map_or("", |open| open.name.as_str());
        let local = match usage {
            Usage::Media(_) => {
                let ssrc = self.relay.ssrc(channel).map(|ssrc| (ssrc, cname));
                self.local(Direction::SendOnly, ssrc, ours)
            }
            Usage::Standby(_) | Usage::Control => self.local(Direction::Inactive, None, ours),
        };
        let answer = offer.answer(&local).ok().and_then(|answer| answer.to_bytes().ok());
        let standby = matches!(usage, Usage::Standby(_));
        let params = ContactParams { slots: Some(free), depth: Some(depth), rescue, resume: None, standby };
        let accepted = answer.is_some_and(|sdp| {
            self.with_agent(|agent, now, ctx| agent.accept(now, call, sdp, params, ctx)).is_ok()
        });
        let served = accepted
            && match usage {
                Usage::Media(Some(addr)) => {
                    let (remote, fx) = (Remote { addr, keys }, &mut self.media_effects);
                    self.relay.add_child(self.now, call, channel, remote, from, fx).is_ok()
                }
                Usage::Standby(Some(addr)) => {
                    self.relay.add_standby_child(call, channel, Remote { addr, keys }).is_ok()
                }
                Usage::Media(None) | Usage::Standby(None) => false,
                Usage::Control => true,
            };
        if !served {
            // No room for another child's address, or the caller is gone: the policy takes its seat back.
            if accepted {
                let _ = self.with_agent(|agent, now, ctx| agent.bye(now, call, None, ctx));
            }
            self.call_is_over(call);
            return self.tell(iptv::Fact::Ended { call, reason: ByeReason::Lost });
        }
        if let Usage::Media(_) = usage {
            self.serve(call);
        }
    }

    /// What this node brings to a session. Its start is a session id that no other session of this node has
    /// (RFC 8866 §5.2).
    fn local<'a>(
        &self,
        direction: Direction,
        ssrc: Option<(u32, &'a str)>,
        key: Option<&'a MasterKey>,
    ) -> Local<'a> {
        let session = (self.now.as_micros(), 1);
        let address = self.config.addresses.media;
        Local { session, address, direction, ssrc, key: key.map(MasterKey::octets) }
    }

    fn refuse(&mut self, call: CallId, refusal: Refusal) {
        self.calls.remove(&call);
        // The caller may have given up meanwhile.
        let _ = self.with_agent(|agent, now, ctx| agent.reject(now, call, refusal, ctx));
    }

    /// There is no room now.
    pub(super) fn refuse_as_busy(&mut self, call: CallId, retry_after: Duration) {
        let status = Status::SERVICE_UNAVAILABLE;
        let retry_after = Some(retry_after.max(Duration::from_secs(1)));
        self.refuse(call, Refusal { status, contacts: Vec::new(), retry_after });
    }

    pub(super) fn bye(&mut self, call: CallId, reason: ByeReason) {
        let body = match reason {
            ByeReason::EndOfChannel => {
                let proof = self.proof_of_end(call);
                self.encode_closing(call, Closing::EndOfChannel(proof))
            }
            ByeReason::Leaving => self.encode_closing(call, Closing::Leaving),
            ByeReason::Normal | ByeReason::RumouredEnd | ByeReason::Lost => None,
        };
        self.call_is_over(call);
        // It may just have ended by itself.
        let _ = self.with_agent(|agent, now, ctx| agent.bye(now, call, body, ctx));
    }

    /// How a peer is described to others; `None` once its contact is forgotten.
    pub(super) fn peer(&self, provider: Provider<PeerKey>) -> Option<Peer> {
        let contact = self.directory.get(provider.peer)?;
        Some(Peer {
            name: contact.name.clone(),
            addr: contact.addr,
            transport: contact.transport,
            node_id: contact.node_id,
            params: ContactParams { slots: provider.free, depth: provider.depth, ..ContactParams::default() },
        })
    }

    /// Tells the host what the policy has to tell, with names for keys.
    fn announce(&mut self, event: iptv::Event<PeerKey>) {
        use iptv::Event as E;
        let event = match event {
            E::Published { channel } => Event::Published { channel },
            E::PublishFailed { channel } => Event::PublishFailed { channel },
            E::TookOver { channel } => Event::TookOver { channel },
            E::NotFound { channel } => Event::NotFound { channel },
            E::Unavailable { channel, retry_after } => Event::Unavailable { channel, retry_after },
            E::Playing { channel, parent, depth } => {
                Event::Playing { channel, parent: self.name_of(parent), depth }
            }
            E::Orphaned { channel, parent } => Event::Orphaned { channel, parent: self.name_of(parent) },
            E::Covered { channel, provider } => Event::Covered { channel, provider: self.name_of(provider) },
            E::Reparented { channel, parent, depth, rescue } => {
                Event::Reparented { channel, parent: self.name_of(parent), depth, rescue }
            }
            E::Elected { channel } => Event::Elected { channel },
            E::Registered { channel } => Event::Registered { channel },
            E::ChildJoined { channel, child } => Event::ChildJoined { channel, child: self.name_of(child) },
            E::ChildLeft { channel, child } => Event::ChildLeft { channel, child: self.name_of(child) },
            E::FullCapacityReported { channel } => Event::FullCapacityReported { channel },
            E::TableChanged { channel } => Event::TableChanged { channel },
            E::RelayerReady { channel, relayer } => {
                Event::RelayerReady { channel, relayer: self.name_of(relayer) }
            }
            E::RelayerLost { channel, relayer } => {
                Event::RelayerLost { channel, relayer: self.name_of(relayer) }
            }
            E::Ended { channel, reason } => {
                self.close(channel);
                let reason = match reason {
                    iptv::EndReason::EndOfChannel => EndReason::EndOfChannel,
                    iptv::EndReason::Stopped => EndReason::Stopped,
                    iptv::EndReason::SourceLost => EndReason::SourceLost,
                    iptv::EndReason::Superseded => EndReason::Superseded,
                };
                Event::Ended { channel, reason }
            }
        };
        self.queue.event(event, &mut self.stats);
    }
}
