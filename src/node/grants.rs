//! Who may be found under a channel's name: grants given to relayers, held for oneself, and asked of every record (Q4).
//!
//! A publisher has the channel owner's identities and gives grants: to itself, and to each relayer that it elects. A
//! relayer holds what it was given. A reader believes a record only with a grant; whose, it was told beforehand, or keeps
//! to whom it believed first. A broadcast is an epoch: what was granted in an earlier one counts no longer. Where relayers
//! elect, the grants for those whom they elect come down the tree (`delegated`), and are good for the channel's tree in the
//! overlay only: the few places under its name are for those whom the source itself has elected.

use super::api::Owner;
use super::channels::Channel;
use super::directory::PeerKey;
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

/// Where a grant lets a relayer be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Under the channel's name, and in its tree.
    Name,
    /// In the tree only.
    Tree,
}

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

    /// Whether something was given in a call, and is renewed.
    pub(super) fn is_given(&self, call: CallId) -> bool {
        self.given.contains_key(&call)
    }

    /// For how long what is granted here holds.
    pub(super) const fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// The call is over, and what was given in it will not be renewed.
    pub(super) fn forget(&mut self, call: CallId) {
        self.given.remove(&call);
    }

    /// What was given in these calls counts no longer.
    pub(super) fn renew_now(&mut self, calls: impl Iterator<Item = CallId>, now: Instant) {
        for call in calls {
            self.given.entry(call).and_modify(|due| *due = now);
        }
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

    /// What a grant for a place of a channel is for.
    pub(super) fn granted_at(&self, name: &ChannelName, place: Place) -> ResourceId {
        match place {
            Place::Name => self.resource(name),
            Place::Tree => grant::tree_place(&self.resource_name(name)),
        }
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
    /// own grant it knows its owner. Where nobody owns a channel the epoch of one that was taken over stands in the record.
    pub(super) fn begin_epoch(&mut self, channel: &mut Channel) {
        let at = self.overlay.time_of_day(self.now);
        channel.epoch = u32::try_from(at.0 / 1000)
            .unwrap_or(u32::MAX)
            .max(channel.epoch.max(channel.outdone).saturating_add(1));
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
            _ if *resource == self.granted_at(name, Place::Tree) => {
                self.good_grant(open, Place::Tree).cloned()
            }
            _ => self.good_grant(open, Place::Name).cloned(),
        };
        grant.map(Some).ok_or(NotGranted)
    }

    /// What this node was given for a place, unless it is over: by time, or because the channel is in a later epoch.
    fn good_grant<'a>(&self, open: &'a Channel, place: Place) -> Option<&'a Grant> {
        let at = self.overlay.time_of_day(self.now);
        let for_tree = open.tree_grant.as_ref().filter(|_| place == Place::Tree);
        let held = [open.grant.as_ref(), for_tree].into_iter().flatten();
        held.filter(|grant| at < grant.not_after && grant.epoch >= open.epoch).max_by_key(|g| g.not_after)
    }

    /// Whether this node may stand in the tree of a channel as a relayer now.
    pub(super) fn may_be_found(&self, channel: ChannelId) -> bool {
        let open = self.channels.get(channel);
        !self.needs_grants() || open.is_some_and(|open| self.good_grant(open, Place::Tree).is_some())
    }

    /// How much of a lifetime the grant holds that lets this node's record stand in the tree: later it is read by nobody.
    pub(super) fn while_granted(&self, channel: ChannelId, lifetime: Duration) -> Duration {
        let grant = self.channels.get(channel).and_then(|open| self.good_grant(open, Place::Tree));
        let at = self.overlay.time_of_day(self.now);
        let left = |grant: &Grant| Duration::from_millis(grant.not_after.0.saturating_sub(at.0));
        grant.filter(|_| self.needs_grants()).map_or(lifetime, |grant| lifetime.min(left(grant)))
    }

    /// This owner's grant for a relayer, as it is sent.
    pub(super) fn grant_for(&self, channel: ChannelId, node: NodeId, place: Place) -> Option<Bytes> {
        let open = self.channels.get(channel).filter(|_| !self.is_bad_node(node))?;
        let resource = self.granted_at(&open.name, place);
        self.issue(open, &open.name, &resource, node, ProviderRole::RELAYER)?.encode().ok()
    }

    /// The grant that goes with the election of the peer of a call, to be renewed from then on.
    pub(super) fn give_grant(&mut self, call: CallId) -> Option<Bytes> {
        let known = self.calls.get(&call)?;
        let node = self.directory.get(known.peer)?.node_id?;
        let grant = self.grant_for(known.channel, node, Place::Name)?;
        self.grants.given.insert(call, self.now + self.grants.lifetime / 2);
        Some(grant)
    }

    /// Tells the peer of a call a grant, which is for it or for somebody below it. False when it cannot be told now.
    pub(super) fn tell_grant(&mut self, call: CallId, grant: Bytes, node: NodeId) -> bool {
        let peer = self.calls.get(&call).map(|known| known.peer);
        let node = Some(node).filter(|&node| peer != Some(PeerKey::of_node(node)));
        let body = IptvBody { channel: self.channel_of(call), info: IptvInfo::Grant { grant, node } };
        let Ok(body) = body.to_bytes() else { return false };
        self.with_agent(|agent, now, ctx| agent.info(now, call, body, ctx)).is_ok()
    }

    /// Renews the grants whose time has come, of those who are still elected.
    pub(super) fn renew_grants(&mut self) {
        while let Some(call) = self.grants.given.iter().find(|(_, due)| **due <= self.now).map(|(&c, _)| c) {
            self.grants.given.remove(&call);
            let Some((channel, peer)) = self.calls.get(&call).map(|known| (known.channel, known.peer)) else {
                continue;
            };
            if self.policy.relies_on(channel, peer)
                && let Some(grant) = self.give_grant(call)
            {
                // Should it not arrive, the relayer's record expires with the old grant.
                let _ = self.tell_grant(call, grant, peer.node_id());
            }
        }
    }

    /// A grant for this node has come in a call. Only one of the channel's owner counts.
    pub(super) fn take_grant(&mut self, call: CallId, bytes: &Bytes) -> Result<(), NotGranted> {
        let channel = self.calls.get(&call).ok_or(NotGranted)?.channel;
        let open = self.channels.get(channel).ok_or(NotGranted)?;
        let grant = Grant::decode(bytes).map_err(|_| NotGranted)?;
        let (node, role) = (self.node_id(), ProviderRole::RELAYER);
        let found = [Place::Name, Place::Tree].into_iter().find_map(|place| {
            let resource = self.granted_at(&open.name, place);
            Some((place, self.word_for(&resource, node, role, Some(&grant))?))
        });
        // Whom a viewer trusts say the host or the records that it found, never who happens to be on the line; and a grant
        // of an earlier epoch than that of a record, or one that ends sooner than the one at hand, is an old one, said
        // again.
        let found = found.filter(|(_, word)| open.trusted == Some(word.owner) && word.epoch >= open.epoch);
        let Some((place, word)) = found else {
            self.stats.count_drop(DropReason::NotGranted);
            return Err(NotGranted);
        };
        // What stands in the overlay by an earlier epoch's is read by nobody any more; and what was stored last by one that
        // is nearly over was stored for no longer than that.
        let stored = self.config.record_lifetime.max(self.trees.lifetime());
        let soon = self.overlay.time_of_day(self.now) + stored;
        let is_short = |held: &Grant| held.epoch < word.epoch || held.not_after < soon;
        let Some(open) = self.channels.get_mut(channel) else { return Err(NotGranted) };
        open.epoch = word.epoch;
        open.owner_key = Some(OwnerKey::of(&grant));
        let held = match place {
            Place::Name => &mut open.grant,
            Place::Tree => &mut open.tree_grant,
        };
        let age = |grant: &Grant| (grant.epoch, grant.not_after);
        if held.as_ref().is_none_or(|held| age(held) < age(&grant)) {
            let anew = held.replace(grant).is_some_and(|held| is_short(&held));
            if anew {
                self.store_anew(channel);
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
            let holds = |place, grant| {
                let resource = self.granted_at(&open.name, place);
                self.word_for(&resource, self.node_id(), ProviderRole::RELAYER, grant).is_some()
            };
            let name = holds(Place::Name, open.grant.as_ref());
            let tree = holds(Place::Tree, open.tree_grant.as_ref());
            if let Some(open) = self.channels.get_mut(id) {
                open.grant.take_if(|_| !name);
                open.tree_grant.take_if(|_| !tree);
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
    use crate::env::{Crypto, InsecureChannels, Party, Seeded};
    use crate::iptv::Mode;
    use crate::node::overlay::Purpose;
    use crate::node::signalling::{Call, Usage};
    use crate::node::{Addresses, Config};
    use crate::reload::codec::{KindId, ProviderRecord};
    use crate::reload::overlay::{Slot, Value};
    use crate::reload::redir::TreeNode;
    use crate::sim::{Authority, Certificate, Certified};
    use crate::time::UnixMillis;
    use alloc::boxed::Box;
    use alloc::string::String;
    use alloc::sync::Arc;
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
        node(Mode::SourceManaged)
    }

    fn node(mode: Mode) -> (Node, ChannelId) {
        let at = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let addresses = Addresses { overlay: at(1), signalling: at(2), media: at(3) };
        let mut config = Config { security: Security::Tls, ..Config::new("viewer", "tv.example", addresses) };
        config.policy.mode = mode;
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
            Call { channel, peer, usage, offer: None, key: None, serving: false, resume: None, rtt: None },
        );
        (node, channel)
    }

    /// What `key`'s owner says, in an epoch, from `from` on for ten minutes.
    pub(in crate::node) fn grant(node: &Node, key: u64, to: NodeId, epoch: u32, from: u64) -> Bytes {
        grant_at(Place::Name, node, key, to, epoch, from)
    }

    /// The same for the tree only.
    pub(in crate::node) fn tree_grant(node: &Node, key: u64, to: NodeId, epoch: u32, from: u64) -> Bytes {
        grant_at(Place::Tree, node, key, to, epoch, from)
    }

    fn grant_at(place: Place, node: &Node, key: u64, to: NodeId, epoch: u32, from: u64) -> Bytes {
        let resource = node.granted_at(&ChannelName::new("100").unwrap(), place);
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
    fn q4_a_grant_that_came_down_the_tree_opens_the_tree_and_never_the_name() {
        use crate::iptv::Role;
        use crate::node::records::Record;
        let (mut node, channel) = viewer();
        let name = ChannelName::new("100").unwrap();
        let bytes = tree_grant(&node, RIGHT, ME, 7, NOW);
        assert_eq!(node.take_grant(CALL, &bytes), Ok(()));
        let own = |node: &Node, place| {
            let resource = node.granted_at(&name, place);
            node.own_grant(channel, &name, &resource, ProviderRole::RELAYER).map(drop)
        };
        assert!(node.may_be_found(channel));
        assert_eq!((own(&node, Place::Tree), own(&node, Place::Name)), (Ok(()), Err(NotGranted)));
        // Should somebody store it under the name all the same, no reader believes that.
        let (place, to) = (node.resource(&name), NodeId([5; 16]));
        let grant = Grant::decode(&tree_grant(&node, RIGHT, to, 7, NOW)).unwrap();
        let stored = relayer(to, Some(grant));
        assert!(node.providers_among(channel, &place, core::slice::from_ref(&stored)).is_empty());
        let grant = Grant::decode(&super::tests::grant(&node, RIGHT, to, 7, NOW)).unwrap();
        assert_eq!(node.providers_among(channel, &place, &[relayer(to, Some(grant))]).len(), 1);
        // With the one for the name it stands in both.
        let bytes = super::tests::grant(&node, RIGHT, ME, 7, NOW - 1);
        assert_eq!(node.take_grant(CALL, &bytes), Ok(()));
        assert_eq!((own(&node, Place::Tree), own(&node, Place::Name)), (Ok(()), Ok(())));
        node.register_in_tree(channel, Record { role: Role::Relayer, depth: 3, free: 1 });
        assert!(node.trees.stands(channel));
    }

    #[test]
    fn q7_a_grant_of_an_earlier_epoch_is_none_and_with_the_next_one_the_record_is_stored_anew() {
        use crate::iptv::Role;
        use crate::node::records::Record;
        let (mut node, channel) = viewer();
        node.create(Instant::ZERO).unwrap();
        let of = |node: &Node, epoch, from| tree_grant(node, RIGHT, ME, epoch, from);
        node.take_grant(CALL, &of(&node, 7, NOW)).unwrap();
        node.register_in_tree(channel, Record { role: Role::Relayer, depth: 3, free: 1 });
        let stores = |node: &mut Node, grant: &Bytes| {
            let before = node.lookups.entries();
            node.take_grant(CALL, grant).unwrap();
            let stores = node.lookups.entries() - before;
            node.handle_timeout(node.now);
            stores
        };
        node.handle_timeout(Instant::ZERO);
        // Renewed in time, it goes along when the record is stored the next time.
        let renewed = of(&node, 7, NOW + 60_000);
        assert_eq!(stores(&mut node, &renewed), 0);
        // Another source has taken over.
        node.channels.get_mut(channel).unwrap().epoch = 8;
        assert!(!node.may_be_found(channel));
        let next = of(&node, 8, NOW);
        assert!(stores(&mut node, &next) > 0);
        assert!(node.may_be_found(channel) && node.trees.stands(channel));
        // What holds for a minute only was stored for no longer.
        let wall = |seconds: u64| (Instant::from_millis(1000 * seconds), UnixMillis(NOW + 1000 * seconds));
        node.handle_wall_clock(wall(540).0, wall(540).1);
        let lifetime = Duration::from_secs(240);
        assert_eq!(node.while_granted(channel, lifetime), Duration::from_secs(60));
        node.handle_timeout(wall(540).0);
        let root = TreeNode { level: 0, node: 0 }.resource(b"100@tv.example");
        let (_, held) = node.overlay.storage().hand_over(node.now, &root).unwrap();
        assert_eq!(held.iter().flat_map(|kind| &kind.values).map(|v| v.lifetime).collect::<Vec<_>>(), [60]);
        let late = of(&node, 8, NOW + 540_000);
        assert!(stores(&mut node, &late) > 0);
        assert_eq!(node.while_granted(channel, lifetime), lifetime);
    }

    /// A relayer's record that stands under the name.
    fn relayer(node: NodeId, grant: Option<Grant>) -> Value {
        stored(node, ProviderRole::RELAYER, "sip:r@192.0.2.1:5060;channel=100".into(), grant)
    }

    /// What a source has stored at a place in an epoch of this owner, if anybody owns the channel.
    fn source(key: Option<u64>, node: NodeId, place: ResourceId, epoch: u32) -> Value {
        let claim = Claim { resource: &place, node, role: ProviderRole::SOURCE };
        let lifetime = Duration::from_secs(600);
        let granted = |key| grant::issue(&owner(key), &claim, epoch, UnixMillis(NOW), lifetime).unwrap();
        let unowned = if key.is_none() && epoch > 0 { format!(";epoch={epoch}") } else { String::new() };
        let contact = format!("sip:s@192.0.2.1:5060;channel=100{unowned}");
        stored(node, ProviderRole::SOURCE, contact, key.map(granted))
    }

    fn stored(node: NodeId, role: ProviderRole, sip_contact: String, grant: Option<Grant>) -> Value {
        let record = ProviderRecord { role, depth: 0, free_slots: 1, uptime_seconds: 0, sip_contact, grant };
        let key = KeyFingerprint::of(&node.0);
        Value {
            kind: KindId::CHANNEL,
            slot: Slot::Key(Bytes::copy_from_slice(&node.0)),
            signer: Arc::new(Party {
                node_id: node,
                node_ids: vec![node],
                user: None,
                key,
                certificate: None,
            }),
            storage_time: UnixMillis(NOW),
            lifetime: Duration::from_secs(60),
            value: Some(record.encode().unwrap()),
            rolled_back: false,
        }
    }

    /// A source in epoch 7 of the right owner.
    fn publisher() -> (Node, ChannelId) {
        publish(viewer())
    }

    /// The same where relayers elect.
    pub(in crate::node) fn delegating() -> (Node, ChannelId) {
        publish(node(Mode::Delegated))
    }

    fn publish((mut node, channel): (Node, ChannelId)) -> (Node, ChannelId) {
        node.create(Instant::ZERO).unwrap();
        let open = node.channels.get_mut(channel).unwrap();
        (open.owner, open.epoch) = (Some(Owner::new(vec![Box::new(owner(RIGHT))])), 7);
        node.with_policy(|policy, now, ctx| policy.publish(now, channel, ctx)).unwrap();
        (node, channel)
    }

    /// Whether a source asks somebody whether he is its successor.
    fn is_outdone(node: &mut Node, channel: ChannelId, place: ResourceId, found: Value) -> bool {
        node.orders.clear();
        node.on_rivals(channel, Some(place), &[found]);
        node.orders.iter().any(|order| matches!(order, crate::iptv::Order::Invite { .. }))
    }

    #[test]
    fn q7_a_newer_source_of_the_same_owner_is_asked_wherever_it_is_found_and_nobody_else() {
        let (lower, higher) = (NodeId([0; 16]), NodeId([9; 16]));
        let name = ResourceId::of_name(b"100@tv.example");
        let own =
            publisher().0.owners_place(&ChannelName::new("100").unwrap(), key_of(&owner(RIGHT))).unwrap();
        for place in [name.clone(), own.clone()] {
            let cases = [
                (Some(RIGHT), higher, 8, true),
                (Some(RIGHT), lower, 8, true),
                (Some(RIGHT), lower, 6, false),
                // Of two in one epoch one goes on, and both know which.
                (Some(RIGHT), lower, 7, true),
                (Some(RIGHT), higher, 7, false),
                (Some(RIGHT), ME, 7, false),
                (Some(RIGHT + 1), higher, 8, false),
                (None, higher, 8, false),
            ];
            for (key, node, epoch, expected) in cases {
                let (mut publisher, channel) = publisher();
                // In that place nobody else's grants count.
                let granted = if key == Some(RIGHT) { &place } else { &name };
                let found = source(key, node, granted.clone(), epoch);
                let outdone = is_outdone(&mut publisher, channel, place.clone(), found);
                assert_eq!(outdone, expected, "{key:?} {node:?} {epoch}");
            }
        }
        // Both places are looked at.
        let (mut node, channel) = publisher();
        let before = node.lookups.len();
        node.look_for_rivals(channel);
        assert_eq!(node.lookups.len(), before + 2);
    }

    #[test]
    fn q7_where_nobody_owns_channels_only_who_has_taken_one_over_is_a_newer_source() {
        let place = ResourceId::of_name(b"100@tv.example");
        for (node, mine, epoch, expected) in [
            (NodeId([9; 16]), 0, 0, false),
            (NodeId([9; 16]), 0, 5, true),
            (NodeId([0; 16]), 5, 5, true),
            (NodeId([9; 16]), 5, 5, false),
            (NodeId([0; 16]), 5, 0, false),
        ] {
            let at = |port| SocketAddr::from(([192, 0, 2, 1], port));
            let addresses = Addresses { overlay: at(1), signalling: at(2), media: at(3) };
            let config = Config::new("source", "tv.example", addresses);
            let crypto = Box::new(crate::env::InsecureIdentity::new(ME));
            let mut me = Node::new(config, Box::new(Seeded::new(1)), crypto).unwrap();
            let open = Channel::new(ChannelName::new("100").unwrap(), Vec::new(), Instant::ZERO);
            let channel = me.channels.open(Channel { epoch: mine, ..open }).unwrap();
            me.with_policy(|policy, now, ctx| policy.publish(now, channel, ctx)).unwrap();
            let found = source(None, node, place.clone(), epoch);
            assert_eq!(is_outdone(&mut me, channel, place.clone(), found), expected, "{mine} {epoch}");
        }
    }

    #[test]
    fn q7_who_takes_over_hears_no_answer_to_what_it_asked_as_a_viewer() {
        let (mut node, channel) = viewer();
        let asked = [
            Purpose::Lookup(channel),
            Purpose::OwnersLookup(channel),
            Purpose::Walk(channel, TreeNode { level: 0, node: 0 }),
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
