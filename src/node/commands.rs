//! What the host asks for. The caller's mistake comes back at once and changes nothing; everything else is told by
//! events.

use super::api::{CommandError, Event, Owner};
use super::channels::{Channel, Inheritance};
use super::overlay::Purpose;
use super::{Membership, Node};
use crate::ids::{ChannelId, ChannelName, KeyFingerprint};
use crate::iptv;
use crate::reload::configuration::{Document, DocumentError};
use crate::reload::overlay::OrderError;
use crate::rtp::relay::{RelayError, Role};
use crate::time::Instant;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

impl Node {
    /// Founds the overlay: this node is its first peer. Somebody has to; nobody does it by accident.
    pub fn create(&mut self, now: Instant) -> Result<(), CommandError> {
        self.begin(now);
        self.enter()?;
        let created = self.with_overlay(|overlay, now, ctx| overlay.create(now, ctx));
        self.entered(created)
    }

    /// Joins the overlay through the first of these bootstrap nodes that answers. [`Event::Joined`] or
    /// [`Event::JoinFailed`] follows.
    pub fn join(&mut self, now: Instant, bootstrap: &[SocketAddr]) -> Result<(), CommandError> {
        self.begin(now);
        self.enter()?;
        let joining = self.with_overlay(|overlay, now, ctx| overlay.join(now, bootstrap, ctx));
        self.entered(joining)
    }

    fn enter(&self) -> Result<(), CommandError> {
        match self.membership {
            Membership::Outside => Ok(()),
            Membership::Joining | Membership::Joined => Err(CommandError::AlreadyJoined),
            Membership::TakingLeave(_) | Membership::Leaving => Err(CommandError::Leaving),
        }
    }

    fn entered(&mut self, result: Result<(), OrderError>) -> Result<(), CommandError> {
        result.map_err(CommandError::from)?;
        self.membership = Membership::Joining;
        self.finish();
        Ok(())
    }

    /// Publishes a channel under its name and, so that it can be found by them too, under each keyword (P5).
    /// [`Event::Published`] follows when the name is stored.
    pub fn publish(
        &mut self,
        now: Instant,
        name: &ChannelName,
        keywords: &[ChannelName],
    ) -> Result<ChannelId, CommandError> {
        self.begin(now);
        if self.needs_grants() {
            return Err(CommandError::NoOwner);
        }
        self.open(Channel::new(name.clone(), keywords.to_vec(), self.now), Role::Source)
    }

    /// Publishes a channel in a secured overlay, like [`Node::publish`], as its owner.
    pub fn publish_as(
        &mut self,
        now: Instant,
        name: &ChannelName,
        keywords: &[ChannelName],
        owner: Owner,
    ) -> Result<ChannelId, CommandError> {
        self.begin(now);
        if !self.owns(&owner, keywords.iter().chain([name])) {
            return Err(CommandError::NoOwner);
        }
        let channel = Channel::new(name.clone(), keywords.to_vec(), self.now);
        let mut channel = Channel { owner: Some(owner), ..channel };
        self.begin_epoch(&mut channel);
        let id = self.open(channel, Role::Source)?;
        self.below.begin(id, self.now);
        Ok(id)
    }

    /// Stands by to publish a channel (Q7): watches it like any viewer, and takes it over with its children when its source is
    /// gone, or when nobody is on air ([`Event::TookOver`]). From then on the host pushes the media.
    pub fn stand_by(
        &mut self,
        now: Instant,
        name: &ChannelName,
        keywords: &[ChannelName],
    ) -> Result<ChannelId, CommandError> {
        self.begin(now);
        if self.needs_grants() {
            return Err(CommandError::NoOwner);
        }
        let channel = Channel::new(name.clone(), Vec::new(), self.now);
        self.open_standby(channel, Inheritance { keywords: keywords.to_vec(), owner: None })
    }

    /// The same in a secured overlay, as the channel's owner: with the key that its source has.
    pub fn stand_by_as(
        &mut self,
        now: Instant,
        name: &ChannelName,
        keywords: &[ChannelName],
        owner: Owner,
    ) -> Result<ChannelId, CommandError> {
        self.begin(now);
        if !self.owns(&owner, keywords.iter().chain([name])) {
            return Err(CommandError::NoOwner);
        }
        let channel = Channel::new(name.clone(), Vec::new(), self.now);
        let mut channel = Channel { owner: Some(owner), ..channel };
        // Whose channel it is shows by a grant; its own epoch has not begun.
        self.begin_epoch(&mut channel);
        let inheritance = Inheritance { keywords: keywords.to_vec(), owner: channel.owner.take() };
        self.open_standby(Channel { epoch: 0, ..channel }, inheritance)
    }

    fn open_standby(
        &mut self,
        channel: Channel,
        inheritance: Inheritance,
    ) -> Result<ChannelId, CommandError> {
        if inheritance.keywords.len() > self.channels.max_keywords() {
            return Err(CommandError::Limit("keywords"));
        }
        self.open(Channel { inheritance: Some(inheritance), ..channel }, Role::Viewer)
    }

    /// Publishes what this node has stood by for.
    pub(super) fn take_over(&mut self, id: ChannelId) {
        self.in_new_epoch(id, |channel| {
            if let Some(Inheritance { keywords, owner }) = channel.inheritance.take() {
                (channel.keywords, channel.owner) = (keywords, owner);
                (channel.grant, channel.tree_grant) = (None, None);
            }
        });
        self.relay.take_over(self.now, id);
        self.forget_record(id);
        self.lookups.forget_viewer(id);
        self.trees.forget_walk(id);
    }

    /// Publishes on, in an epoch later than that of a source that is gone; and relayers get what counts in that epoch.
    pub(super) fn begin_anew(&mut self, id: ChannelId) {
        self.in_new_epoch(id, |_| {});
        let calls = self.calls.iter().filter(|(_, call)| call.channel == id).map(|(&call, _)| call);
        self.grants.renew_now(calls, self.now);
    }

    fn in_new_epoch(&mut self, id: ChannelId, change: impl FnOnce(&mut Channel)) {
        let Some(open) = self.channels.get_mut(id) else { return };
        let blank = Channel::new(open.name.clone(), Vec::new(), self.now);
        let mut channel = core::mem::replace(open, blank);
        change(&mut channel);
        self.begin_epoch(&mut channel);
        if channel.owner.is_some() {
            self.below.begin(id, self.now);
        }
        if let Some(open) = self.channels.get_mut(id) {
            *open = channel;
        }
    }

    /// Watches a channel, found by its name or by a keyword. [`Event::Playing`], [`Event::NotFound`] or
    /// [`Event::Unavailable`] follows; the node goes on trying until [`Node::stop`].
    pub fn tune(&mut self, now: Instant, name: &ChannelName) -> Result<ChannelId, CommandError> {
        self.begin(now);
        self.open(Channel::new(name.clone(), Vec::new(), self.now), Role::Viewer)
    }

    /// Watches the channel of one owner, whose key has this fingerprint: only providers that this owner has granted the
    /// channel to are asked. Without a fingerprint, in a secured overlay, whoever is found first is kept to.
    pub fn tune_to(
        &mut self,
        now: Instant,
        name: &ChannelName,
        owner: KeyFingerprint,
    ) -> Result<ChannelId, CommandError> {
        self.begin(now);
        let channel = Channel::new(name.clone(), Vec::new(), self.now);
        self.open(Channel { trusted: Some(owner), ..channel }, Role::Viewer)
    }

    fn open(&mut self, channel: Channel, role: Role) -> Result<ChannelId, CommandError> {
        if self.membership != Membership::Joined {
            return Err(CommandError::NotJoined);
        }
        if channel.keywords.len() > self.channels.max_keywords() {
            return Err(CommandError::Limit("keywords"));
        }
        let taken = |name: &ChannelName| self.channels.claims(name);
        let inherited = channel.inheritance.as_ref().is_some_and(|i| i.keywords.iter().any(taken));
        if inherited || taken(&channel.name) || channel.keywords.iter().any(taken) {
            return Err(CommandError::ChannelInUse);
        }
        let id = self.channels.open(channel).ok_or(CommandError::Limit("channels"))?;
        if self.relay.open(id, role).is_err() || self.protect(id).is_err() {
            self.relay.close(id);
            self.channels.close(id);
            return Err(CommandError::Limit("channels"));
        }
        let stands_by = self.channels.get(id).is_some_and(|open| open.inheritance.is_some());
        let opened = self.with_policy(|policy, now, ctx| match role {
            Role::Source => policy.publish(now, id, ctx),
            Role::Viewer if stands_by => policy.stand_by(now, id, ctx),
            Role::Viewer => policy.tune(now, id, ctx),
        });
        if let Err(error) = opened {
            self.relay.close(id);
            self.channels.close(id);
            return Err(error.into());
        }
        self.finish();
        Ok(id)
    }

    /// Sends the next RTP packet of a channel that this node publishes. It goes out as it is: SSRC, sequence number and
    /// timestamp are the caller's. In a secured overlay it goes out when the window of packets that it lies in is signed, at
    /// most [`WINDOW_TIME`](crate::rtp::integrity::WINDOW_TIME) later.
    ///
    /// A packet that is refused is lost: live media goes on with the next one. [`CommandError::Limit`] says that outputs wait to be
    /// drained, or windows for their signature.
    pub fn push_media(
        &mut self,
        now: Instant,
        channel: ChannelId,
        packet: Bytes,
    ) -> Result<(), CommandError> {
        self.begin(now);
        if self.queue.is_full() {
            return Err(CommandError::Limit("outputs"));
        }
        self.relay.push(self.now, channel, packet, &mut self.media_effects).map_err(|e| match e {
            RelayError::UnknownChannel => CommandError::UnknownChannel,
            RelayError::WrongRole => CommandError::NotPublisher,
            RelayError::TooLarge => CommandError::TooLarge,
            RelayError::OutOfSequence => CommandError::OutOfSequence,
            RelayError::Full(what) => CommandError::Limit(what),
            RelayError::NotRtp | RelayError::ChannelInUse | RelayError::CallInUse => CommandError::NotRtp,
        })?;
        self.finish();
        Ok(())
    }

    /// Stops watching a channel, or ends one that this node publishes: parents and children are told, the record is
    /// removed. [`Event::Ended`] follows.
    pub fn stop(&mut self, now: Instant, channel: ChannelId) -> Result<(), CommandError> {
        self.begin(now);
        self.finish_media(channel);
        self.with_policy(|policy, now, ctx| policy.stop(now, channel, ctx))?;
        self.finish();
        Ok(())
    }

    /// What waits here to be signed leaves before anybody is told that nothing follows.
    fn finish_media(&mut self, channel: ChannelId) {
        self.relay.finish(self.now, channel, &mut self.media_effects);
        self.work_off();
    }

    /// How many children this node's uplink can serve from now on. Those it has already stay.
    pub fn set_capacity(&mut self, now: Instant, slots: u16) {
        self.begin(now);
        self.with_policy(|policy, now, ctx| policy.set_capacity(now, slots, ctx));
        self.finish();
    }

    /// Looks up who offers a channel, without watching it. [`Event::Providers`] follows.
    pub fn providers(&mut self, now: Instant, name: &ChannelName) -> Result<(), CommandError> {
        self.begin(now);
        if self.membership != Membership::Joined {
            return Err(CommandError::NotJoined);
        }
        if self.lookups.queries_are_full() {
            return Err(CommandError::Limit("queries"));
        }
        self.fetch(name.clone(), Purpose::Query(name.clone()));
        self.finish();
        Ok(())
    }

    /// Takes a newer configuration document that the host trusts because of where it comes from
    /// ([`Overlay::reconfigure`](crate::reload::overlay::Overlay::reconfigure)). [`Event::Reconfigured`] follows, or
    /// [`Event::Incompatible`] and [`Event::Left`].
    pub fn reconfigure(&mut self, now: Instant, document: Document) -> Result<(), DocumentError> {
        self.begin(now);
        let result = self.with_overlay(|overlay, now, ctx| overlay.reconfigure(now, document, ctx));
        self.finish();
        result
    }

    /// Leaves everything: channels end, or are left with a BYE when the children have other parents, records are removed, what this node stores for others
    /// goes to its successor. [`Event::Left`] follows.
    pub fn leave(&mut self, now: Instant) {
        self.begin(now);
        match self.membership {
            Membership::Outside => self.queue.event(Event::Left, &mut self.stats),
            Membership::Joining | Membership::Joined => {
                let channels: Vec<ChannelId> = self.channels.ids().collect();
                channels.into_iter().for_each(|channel| self.finish_media(channel));
                self.with_policy(|policy, now, ctx| policy.leave(now, ctx));
                self.membership = Membership::TakingLeave(self.now + self.config.farewell);
            }
            Membership::TakingLeave(_) | Membership::Leaving => {}
        }
        self.finish();
        self.go_on_leaving();
        self.finish();
    }

    /// Once nobody waits for our BYE and no record is being removed, or the patience for that is over, the overlay
    /// itself is left.
    pub(super) fn go_on_leaving(&mut self) {
        let Membership::TakingLeave(until) = self.membership else { return };
        if self.channels.ids().next().is_some() {
            // Somebody lives from this node, for as long as the policy lets it.
            self.membership = Membership::TakingLeave(self.now + self.config.farewell);
            return;
        }
        let pending = self.has_work() || self.agent.calls() > 0 || self.lookups.removals() > 0;
        if pending && self.now < until {
            return;
        }
        self.membership = Membership::Leaving;
        if self.with_overlay(|overlay, now, ctx| overlay.leave(now, ctx)).is_err() {
            self.left();
        }
    }

    pub(super) fn left(&mut self) {
        self.membership = Membership::Outside;
        self.queue.event(Event::Left, &mut self.stats);
    }

    /// Forgets a channel that is over.
    pub(super) fn close(&mut self, channel: ChannelId) {
        self.relay.close(channel);
        self.trees.close(channel);
        self.below.close(channel);
        self.channels.close(channel);
    }

    /// The channels in use here, with what each calls itself.
    pub fn channels(&self) -> impl Iterator<Item = (ChannelId, &ChannelName)> + '_ {
        self.channels.ids().filter_map(|id| Some((id, &self.channels.get(id)?.name)))
    }
}

impl From<OrderError> for CommandError {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::AlreadyJoined => CommandError::AlreadyJoined,
            OrderError::NoBootstrap => CommandError::NoBootstrap,
            OrderError::NoWallClock => CommandError::NoWallClock,
            _ => CommandError::NotJoined,
        }
    }
}

impl From<iptv::CommandError> for CommandError {
    fn from(error: iptv::CommandError) -> Self {
        match error {
            iptv::CommandError::UnknownChannel => CommandError::UnknownChannel,
            iptv::CommandError::ChannelInUse => CommandError::ChannelInUse,
            iptv::CommandError::NotPublisher => CommandError::NotPublisher,
            iptv::CommandError::TooManyChannels => CommandError::Limit("channels"),
        }
    }
}
