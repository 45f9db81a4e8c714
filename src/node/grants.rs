//! Who may be found under a channel's name: grants given to relayers, held for oneself, and asked of every record (Q4).
//!
//! A publisher has the channel owner's identities and gives grants: to itself, and to each relayer that it elects. A
//! relayer holds what it was given. A reader believes a record only with a grant; whose, it was told beforehand, or keeps
//! to whom it believed first.

use super::api::Owner;
use super::{Node, Security};
use crate::ids::{CallId, ChannelId, ChannelName, KeyFingerprint, NodeId, ResourceId};
use crate::reload::codec::{Grant, ProviderRole, Structure as _};
use crate::reload::grant::{self, Claim};
use crate::sip::body::{IptvBody, IptvInfo};
use crate::stats::DropReason;
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;
use alloc::format;
use bytes::Bytes;

/// The grants that this node gave and has to renew: to one relayer in each call at most, so they are as bounded as calls.
#[derive(Debug)]
pub(super) struct Grants {
    given: BTreeMap<CallId, Instant>,
    lifetime: Duration,
}

impl Grants {
    pub(super) fn new(lifetime: Duration) -> Self {
        Grants { given: BTreeMap::new(), lifetime: lifetime.max(Duration::from_secs(1)) }
    }

    #[cfg(feature = "arbitrary")]
    pub(super) fn len(&self) -> usize {
        self.given.len()
    }

    /// The call is over, and what was given in it will not be renewed.
    pub(super) fn forget(&mut self, call: CallId) {
        self.given.remove(&call);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.given.values().copied().min()
    }
}

impl Node {
    /// Whether records need a grant here.
    pub(super) fn needs_grants(&self) -> bool {
        self.config.security != Security::InsecurePlain
    }

    /// The Resource Name of a channel, which is the user name of its owner: `<channel>@<overlay>`.
    fn resource_name(&self, name: &ChannelName) -> alloc::string::String {
        format!("{name}@{}", self.config.overlay.overlay_name)
    }

    /// Where the records of a channel stand.
    pub(super) fn resource(&self, name: &ChannelName) -> ResourceId {
        ResourceId::of_name(self.resource_name(name).as_bytes())
    }

    /// Whether an owner can speak for every one of these names.
    pub(super) fn owns<'a>(&self, owner: &Owner, mut names: impl Iterator<Item = &'a ChannelName>) -> bool {
        names.all(|name| owner.identity(&self.resource_name(name)).is_some())
    }

    /// The owner's word that `node` may stand under this name, if this node can give it.
    fn grant(
        &self,
        channel: ChannelId,
        name: &ChannelName,
        node: NodeId,
        role: ProviderRole,
    ) -> Option<Grant> {
        let owner = self.channels.get(channel)?.owner.as_ref()?.identity(&self.resource_name(name))?;
        let resource = self.resource(name);
        let claim = Claim { resource: &resource, node, role };
        grant::issue(owner, &claim, 0, self.overlay.time_of_day(self.now), self.grants.lifetime)
    }

    /// The grant that stands in this node's own record; an error where one is needed and there is none.
    pub(super) fn own_grant(
        &self,
        channel: ChannelId,
        name: &ChannelName,
        role: ProviderRole,
    ) -> Result<Option<Grant>, NotGranted> {
        if !self.needs_grants() {
            return Ok(None);
        }
        let grant = match role {
            ProviderRole::SOURCE => self.grant(channel, name, self.node_id(), role),
            _ => self.channels.get(channel).and_then(|open| open.grant.clone()),
        };
        grant.map(Some).ok_or(NotGranted)
    }

    /// The grant that goes with the election of the peer of a call, to be renewed from then on.
    pub(super) fn give_grant(&mut self, call: CallId) -> Option<Bytes> {
        let known = self.calls.get(&call)?;
        let node = self.directory.get(known.peer)?.node_id?;
        let (channel, name) = (known.channel, self.channels.get(known.channel)?.name.clone());
        let grant = self.grant(channel, &name, node, ProviderRole::RELAYER)?;
        self.grants.given.insert(call, self.now + self.grants.lifetime / 2);
        grant.encode().ok()
    }

    /// Renews the grants whose time has come.
    pub(super) fn renew_grants(&mut self) {
        while let Some(call) = self.grants.given.iter().find(|(_, due)| **due <= self.now).map(|(&c, _)| c) {
            self.grants.given.remove(&call);
            let Some(grant) = self.give_grant(call) else { continue };
            let channel = self.channel_of(call);
            if let Ok(body) = (IptvBody { channel, info: IptvInfo::Grant(grant) }).to_bytes() {
                // Should it not arrive, the relayer's record expires with the old grant.
                let _ = self.with_agent(|agent, now, ctx| agent.info(now, call, body, ctx));
            }
        }
    }

    /// A grant for this node has come in a call. Only one of the channel's owner counts.
    pub(super) fn take_grant(&mut self, call: CallId, bytes: &Bytes) -> Result<(), NotGranted> {
        let channel = self.calls.get(&call).ok_or(NotGranted)?.channel;
        let open = self.channels.get(channel).ok_or(NotGranted)?;
        let grant = Grant::decode(bytes).map_err(|_| NotGranted)?;
        let owner = self.owner_of(&open.name, self.node_id(), ProviderRole::RELAYER, Some(&grant));
        // Whom a viewer trusts say the host or the records that it found, never who happens to be on the line; and a grant
        // that ends sooner than the one at hand is an old one, said again.
        if owner.is_none() || owner != open.trusted {
            self.stats.count_drop(DropReason::NotGranted);
            return Err(NotGranted);
        }
        let newer = open.grant.as_ref().is_none_or(|held| held.not_after < grant.not_after);
        if let Some(open) = self.channels.get_mut(channel).filter(|_| newer) {
            open.grant = Some(grant);
        }
        Ok(())
    }

    /// Whose word stands behind a claim to be found under a name; `None` when nobody's.
    pub(super) fn owner_of(
        &self,
        name: &ChannelName,
        node: NodeId,
        role: ProviderRole,
        grant: Option<&Grant>,
    ) -> Option<KeyFingerprint> {
        let resource = self.resource(name);
        let claim = Claim { resource: &resource, node, role };
        let at = self.overlay.time_of_day(self.now);
        Some(grant::verify(grant?, &claim, at, &*self.crypto).ok()?.key)
    }
}

/// Nobody who may has allowed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotGranted;
