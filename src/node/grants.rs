//! Who may be found under a channel's name: grants given to relayers, held for oneself, and asked of every record (Q4).
//!
//! A publisher has the channel owner's identities and gives grants: to itself, and to each relayer that it elects. A
//! relayer holds what it was given. A reader believes a record only with a grant; whose, it was told beforehand, or keeps
//! to whom it believed first. A broadcast is an epoch: what was granted in an earlier one counts no longer. Where relayers
//! elect, the grants for those whom they elect come down the tree (`delegated`).

use super::api::Owner;
use super::channels::Channel;
use super::integrity::OwnerKey;
use super::{Node, Security};
use crate::ids::{CallId, ChannelId, ChannelName, KeyFingerprint, NodeId, ResourceId};
use crate::reload::codec::{Grant, ProviderRole, Structure as _};
use crate::reload::grant::{self, Claim};
use crate::sip::body::{IptvBody, IptvInfo};
use crate::stats::DropReason;
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
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
    pub(super) fn resource_name(&self, name: &ChannelName) -> alloc::string::String {
        format!("{name}@{}", self.config.overlay.overlay_name)
    }

    /// Where the records of a channel stand.
    pub(super) fn resource(&self, name: &ChannelName) -> ResourceId {
        ResourceId::of_name(self.resource_name(name).as_bytes())
    }

    /// Where the records of a channel of this owner stand, beside its name, so that no crowd of others keeps them away; there
    /// is no such place where an authority says whose a name is.
    pub(super) fn owners_place(&self, name: &ChannelName, owner: KeyFingerprint) -> Option<ResourceId> {
        let document = self.config.overlay.document.as_ref();
        let anybody = document.is_none_or(|d| d.configuration().self_signed_permitted.is_some());
        (anybody && self.needs_grants()).then(|| grant::own_place(&self.resource_name(name), owner))
    }

    /// Whether an owner can speak for every one of these names.
    pub(super) fn owns<'a>(&self, owner: &Owner, mut names: impl Iterator<Item = &'a ChannelName>) -> bool {
        names.all(|name| owner.identity(&self.resource_name(name)).is_some())
    }

    /// What this publisher grants from now on is of a new epoch, later than any that it has seen and as late as now; and by its
    /// own grant it knows its owner.
    pub(super) fn begin_epoch(&mut self, channel: &mut Channel) {
        let at = self.overlay.time_of_day(self.now);
        channel.epoch = u32::try_from(at.0 / 1000).unwrap_or(u32::MAX).max(channel.epoch.saturating_add(1));
        let (node, role, resource) = (self.node_id(), ProviderRole::SOURCE, self.resource(&channel.name));
        let grant = self.issue(channel, &channel.name, &resource, node, role);
        channel.trusted = self.word_for(&resource, node, role, grant.as_ref()).map(|word| word.owner);
    }

    pub(super) fn issue(
        &self,
        channel: &Channel,
        name: &ChannelName,
        resource: &ResourceId,
        node: NodeId,
        role: ProviderRole,
    ) -> Option<Grant> {
        let owner = channel.owner.as_ref()?.identity(&self.resource_name(name))?;
        let claim = Claim { resource, node, role };
        let at = self.overlay.time_of_day(self.now);
        grant::issue(owner, &claim, channel.epoch, at, self.grants.lifetime)
    }

    /// The grant that stands in this node's own record; an error where one is needed and there is none.
    pub(super) fn own_grant(
        &self,
        channel: ChannelId,
        name: &ChannelName,
        resource: &ResourceId,
        role: ProviderRole,
    ) -> Result<Option<Grant>, NotGranted> {
        if !self.needs_grants() {
            return Ok(None);
        }
        let open = self.channels.get(channel).ok_or(NotGranted)?;
        let grant = match role {
            ProviderRole::SOURCE => self.issue(open, name, resource, self.node_id(), role),
            _ => self.good_grant(open).cloned(),
        };
        grant.map(Some).ok_or(NotGranted)
    }

    /// What this node was given, unless it is over.
    fn good_grant<'a>(&self, open: &'a Channel) -> Option<&'a Grant> {
        let at = self.overlay.time_of_day(self.now);
        open.grant.as_ref().filter(|grant| at < grant.not_after)
    }

    /// Whether this node may be found as a relayer of a channel now.
    pub(super) fn may_be_found(&self, channel: ChannelId) -> bool {
        !self.needs_grants() || self.channels.get(channel).is_some_and(|open| self.good_grant(open).is_some())
    }

    /// The grant that goes with the election of the peer of a call, to be renewed from then on.
    pub(super) fn give_grant(&mut self, call: CallId) -> Option<Bytes> {
        let known = self.calls.get(&call)?;
        let node = self.directory.get(known.peer)?.node_id.filter(|&node| !self.is_bad_node(node))?;
        let open = self.channels.get(known.channel)?;
        let resource = self.resource(&open.name);
        let grant = self.issue(open, &open.name, &resource, node, ProviderRole::RELAYER)?;
        self.grants.given.insert(call, self.now + self.grants.lifetime / 2);
        grant.encode().ok()
    }

    /// Renews the grants whose time has come.
    pub(super) fn renew_grants(&mut self) {
        while let Some(call) = self.grants.given.iter().find(|(_, due)| **due <= self.now).map(|(&c, _)| c) {
            self.grants.given.remove(&call);
            let Some(grant) = self.give_grant(call) else { continue };
            let channel = self.channel_of(call);
            if let Ok(body) = (IptvBody { channel, info: IptvInfo::Grant { grant, node: None } }).to_bytes() {
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
        let (node, role) = (self.node_id(), ProviderRole::RELAYER);
        let word = self.word_for(&self.resource(&open.name), node, role, Some(&grant));
        // Whom a viewer trusts say the host or the records that it found, never who happens to be on the line; and a grant
        // of an earlier epoch than that of a record, or one that ends sooner than the one at hand, is an old one, said
        // again.
        let Some(word) = word.filter(|word| open.trusted == Some(word.owner) && word.epoch >= open.epoch)
        else {
            self.stats.count_drop(DropReason::NotGranted);
            return Err(NotGranted);
        };
        let age = |grant: &Grant| (grant.epoch, grant.not_after);
        let newer = open.grant.as_ref().is_none_or(|held| age(held) < age(&grant));
        if let Some(open) = self.channels.get_mut(channel) {
            open.epoch = word.epoch;
            open.owner_key = Some(OwnerKey::of(&grant));
            if newer {
                open.grant = Some(grant);
            }
        }
        self.stand_up(channel);
        Ok(())
    }

    /// Whose word stands behind a claim to be found at a place; `None` when nobody's.
    pub(super) fn word_for(
        &self,
        resource: &ResourceId,
        node: NodeId,
        role: ProviderRole,
        grant: Option<&Grant>,
    ) -> Option<Word> {
        let (grant, claim) = (grant?, Claim { resource, node, role });
        let at = self.overlay.time_of_day(self.now);
        let owner = grant::verify(grant, &claim, at, &*self.crypto).ok()?;
        (!self.overlay.is_bad(&owner)).then_some(Word { owner: owner.key, epoch: grant.epoch })
    }

    /// Grants of owners who are shut out by now are void.
    pub(super) fn void_grants(&mut self) {
        let ids: Vec<ChannelId> = self.channels.ids().collect();
        for id in ids {
            let Some(open) = self.channels.get(id) else { continue };
            let (resource, role) = (self.resource(&open.name), ProviderRole::RELAYER);
            let holds = self.word_for(&resource, self.node_id(), role, open.grant.as_ref()).is_some();
            if let Some(open) = self.channels.get_mut(id).filter(|_| !holds) {
                open.grant = None;
            }
        }
    }
}

/// An owner's word, as far as readers compare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) owner: KeyFingerprint,
    pub(super) epoch: u32,
}

/// Nobody who may has allowed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotGranted;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::env::{Crypto, InsecureChannels, Seeded};
    use crate::node::directory::PeerKey;
    use crate::node::overlay::Purpose;
    use crate::node::signalling::{Call, Usage};
    use crate::node::{Addresses, Config};
    use crate::sim::{Authority, Certificate, Certified};
    use crate::time::UnixMillis;
    use alloc::boxed::Box;
    use alloc::string::String;
    use alloc::vec;
    use core::net::SocketAddr;

    pub(in crate::node) const ME: NodeId = NodeId([1; 16]);
    const CALL: CallId = CallId::placed(1);
    pub(in crate::node) const RIGHT: u64 = 100;
    pub(in crate::node) const NOW: u64 = 1_700_000_000_000;

    fn owner(key: u64) -> Certified {
        let node_ids = vec![NodeId::from_u128(key.into())];
        let certificate = Certificate {
            key,
            user: Some(String::from("100@tv.example")),
            node_ids,
            ..Certificate::of_node(NodeId::from_u128(key.into()))
        };
        Authority::new(1).issue(&certificate)
    }

    fn key_of(owner: &Certified) -> KeyFingerprint {
        let signed = owner.sign(&[]);
        let party = owner.verify(UnixMillis(NOW), &owner.signer(), owner.certificates(), &[], &signed);
        party.unwrap().key
    }

    /// A viewer that keeps to one owner, in a call with somebody.
    pub(in crate::node) fn viewer() -> (Node, ChannelId) {
        let at = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let addresses = Addresses { overlay: at(1), signalling: at(2), media: at(3) };
        let config = Config { security: Security::Tls, ..Config::new("viewer", "tv.example", addresses) };
        let crypto = Authority::new(1).issue(&Certificate::of_node(ME));
        let channels = Box::new(InsecureChannels::new(ME));
        let mut node = Node::secured(config, Box::new(Seeded::new(1)), Box::new(crypto), channels).unwrap();
        node.handle_wall_clock(Instant::ZERO, UnixMillis(NOW));
        let name = ChannelName::new("100").unwrap();
        let open =
            Channel { trusted: Some(key_of(&owner(RIGHT))), ..Channel::new(name, Vec::new(), Instant::ZERO) };
        let channel = node.channels.open(open).unwrap();
        let peer = PeerKey::of_node(NodeId([2; 16]));
        let usage = Usage::Control;
        node.calls.insert(
            CALL,
            Call { channel, peer, usage, offer: None, key: None, serving: false, resume: None },
        );
        (node, channel)
    }

    /// What `key`'s owner says, in an epoch, from `from` on for ten minutes.
    pub(in crate::node) fn grant(node: &Node, key: u64, to: NodeId, epoch: u32, from: u64) -> Bytes {
        let resource = node.resource(&ChannelName::new("100").unwrap());
        let claim = Claim { resource: &resource, node: to, role: ProviderRole::RELAYER };
        let lifetime = Duration::from_secs(600);
        let grant = grant::issue(&owner(key), &claim, epoch, UnixMillis(from), lifetime);
        grant.unwrap().encode().unwrap()
    }

    fn held(node: &Node, channel: ChannelId) -> Option<(u32, UnixMillis)> {
        let grant = node.channels.get(channel)?.grant.as_ref()?;
        Some((grant.epoch, grant.not_after))
    }

    #[test]
    fn q4_whoever_is_on_the_line_elects_nobody_with_a_grant_that_is_not_the_owners_for_this_node_and_now() {
        let (mut node, channel) = viewer();
        let forged = [
            grant(&node, RIGHT + 1, ME, 7, NOW),
            grant(&node, RIGHT, NodeId([3; 16]), 7, NOW),
            grant(&node, RIGHT, ME, 7, NOW - 600_000),
            grant(&node, RIGHT, ME, 7, NOW + 600_000),
            Bytes::from_static(b"a grant"),
        ];
        for forged in forged {
            assert_eq!(node.take_grant(CALL, &forged), Err(NotGranted));
            assert_eq!(held(&node, channel), None);
        }
        let good = grant(&node, RIGHT, ME, 7, NOW);
        assert_eq!(node.take_grant(CallId::placed(2), &good), Err(NotGranted), "no such call");
        assert_eq!(node.take_grant(CALL, &good), Ok(()));
        assert!(held(&node, channel).is_some());
    }

    #[test]
    fn q4_a_grant_said_again_takes_no_newer_ones_place() {
        let (mut node, channel) = viewer();
        let of = |node: &Node, epoch, from| grant(node, RIGHT, ME, epoch, from);
        let (first, renewed) = (of(&node, 7, NOW - 1000), of(&node, 7, NOW));
        node.take_grant(CALL, &renewed).unwrap();
        let at_hand = held(&node, channel);
        // The same epoch, but sooner over: kept back, not refused.
        assert_eq!(node.take_grant(CALL, &first), Ok(()));
        assert_eq!(held(&node, channel), at_hand);
        // The next broadcast's, though it ends sooner; then those of the last one are worth nothing.
        assert_eq!(node.take_grant(CALL, &of(&node, 8, NOW - 2000)), Ok(()));
        assert_eq!(held(&node, channel).map(|(epoch, _)| epoch), Some(8));
        assert_eq!(node.take_grant(CALL, &renewed), Err(NotGranted));
        assert_eq!(held(&node, channel).map(|(epoch, _)| epoch), Some(8));
    }

    #[test]
    fn q4_a_relayer_stands_in_the_tree_while_its_grant_holds_and_waits_for_the_next_one() {
        use crate::iptv::Role;
        use crate::node::records::Record;
        let (mut node, channel) = viewer();
        let record = Record { role: Role::Relayer, depth: 3, free: 1 };
        let resource = node.resource(&ChannelName::new("100").unwrap());
        let stands = |node: &Node| node.trees.stands(channel);
        node.register_in_tree(channel, record);
        assert!(!stands(&node), "nobody has let it in");
        let of = |node: &Node, from| grant(node, RIGHT, ME, 7, from);
        node.take_grant(CALL, &of(&node, NOW)).unwrap();
        assert!(stands(&node));
        // Ten minutes later it is over.
        let at = |seconds: u64| (Instant::from_millis(1000 * seconds), UnixMillis(NOW + 1000 * seconds));
        node.handle_wall_clock(at(599).0, at(599).1);
        let own = |node: &Node| {
            let name = ChannelName::new("100").unwrap();
            node.own_grant(channel, &name, &resource, ProviderRole::RELAYER).map(drop)
        };
        assert_eq!((own(&node), stands(&node)), (Ok(()), true));
        node.handle_wall_clock(at(600).0, at(600).1);
        assert_eq!(own(&node), Err(NotGranted));
        node.handle_timeout(Instant::from_millis(900_000));
        assert!(!stands(&node));
        node.take_grant(CALL, &of(&node, NOW + 900_000)).unwrap();
        assert!(stands(&node) && own(&node).is_ok());
    }

    #[test]
    fn q7_who_takes_over_hears_no_answer_to_what_it_asked_as_a_viewer() {
        let (mut node, channel) = viewer();
        let asked = [
            Purpose::Lookup(channel),
            Purpose::OwnersLookup(channel),
            Purpose::Walk(channel),
            Purpose::Record(channel),
        ];
        for purpose in asked {
            node.lookups.ticket(purpose);
        }
        node.lookups.ticket(Purpose::Removal);
        node.take_over(channel);
        assert_eq!((node.lookups.len(), node.lookups.removals()), (1, 1));
    }
}
