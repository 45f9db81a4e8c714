//! The relayers of a channel for which its name has no room: they stand in the channel's ReDiR tree (RFC 7374), where viewers
//! find one near their own Node-ID, so that no peer has to answer all of them (Q3, Q5).
//!
//! The namespace is the channel's Resource Name, `<channel>@<overlay>`, and the extension of each entry is the
//! [`ProviderRecord`](crate::reload::codec::ProviderRecord) that would otherwise stand under the name, with its grant: for
//! the name, or for the tree only ([`grant::tree_place`](crate::reload::grant::tree_place)). A
//! member of the overlay may write itself into any tree; so an entry without the grant of the owner that this node trusts,
//! in its newest epoch, counts as if it were not there, for lookups and registrations alike. Strangers can fill tree nodes
//! (a Node-ID lies in one of each level, and most must lie near each other), and no more: whoever finds nothing in the tree
//! asks for the name.
//!
//! A relayer whose grant has not come yet, or is over, waits for one before it goes there. Its record stands no longer than
//! the grant holds that it was stored with; with one of a later epoch, or in the place of one that was nearly over, it is
//! stored anew at once.
//!
//! A viewer goes into the tree when the name names only relayers without free slots, and as many of them as to show that
//! there must be more; when it has met such a crowd before; and when nobody answers for the name. Twice in a row it never
//! does: whom the tree names may be dead, and the name knows the source. Whoever has asked for the name fetches all tree nodes
//! up to the root at once, for the peer of the name is asked by as many as the peer of the root is then. Others go one by one,
//! so that they meet at the root only where they have found nobody below it.

use super::Node;
use super::directory::{PeerKey, Source};
use super::grants::Place;
use super::overlay::{Found, Purpose, drop_earlier_epochs};
use super::records::Record;
use crate::ids::{ChannelId, ChannelName, NodeId};
use crate::iptv::{self, Profile, Provider};
use crate::reload::codec::{KindId, RedirServiceProvider, RedirServiceProviderExtType, Structure as _};
use crate::reload::overlay::{Address, Slot, Ticket, Value};
use crate::reload::redir::{self, Config, Lookup, Next, Order, Tree, TreeNode};
use crate::reload::storage::Access;
use crate::time::{Duration, Instant, earliest};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;

/// So many providers of the tree are told to the policy.
const FOUND: usize = 8;

/// So long after a walk through the tree the name is asked instead.
const TURNS: Duration = Duration::from_secs(10);

/// A relayer in the tree of its channel.
#[derive(Debug)]
struct Standing {
    provider: redir::Provider,
    record: Record,
    /// Whether the policy knows that it is stored.
    told: bool,
}

/// A viewer on its way through the tree of its channel.
#[derive(Debug)]
struct Walk {
    lookup: Lookup<Found>,
    /// The tree nodes that are being fetched.
    tickets: BTreeMap<TreeNode, Ticket>,
    /// Those that came before it was their turn. They lie on the way to the root, so there are no more than levels.
    early: BTreeMap<TreeNode, Vec<Found>>,
    /// What the name has said, if it was asked.
    named: Option<Vec<Provider<PeerKey>>>,
}

/// One of each for a channel at most, so they are as bounded as channels are.
#[derive(Debug)]
pub(super) struct Trees {
    config: Config,
    standing: BTreeMap<ChannelId, Standing>,
    /// What relayers without a grant would say.
    waiting: BTreeMap<ChannelId, Record>,
    walks: BTreeMap<ChannelId, Walk>,
}

impl Trees {
    pub(super) const fn new(config: Config) -> Self {
        Trees { config, standing: BTreeMap::new(), waiting: BTreeMap::new(), walks: BTreeMap::new() }
    }

    #[cfg(feature = "arbitrary")]
    pub(super) fn len(&self) -> usize {
        self.standing.len().max(self.walks.len()).max(self.waiting.len())
    }

    /// How long a record stands there.
    pub(super) const fn lifetime(&self) -> Duration {
        self.config.lifetime
    }

    #[cfg(test)]
    pub(super) fn stands(&self, channel: ChannelId) -> bool {
        self.standing.contains_key(&channel)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let standing = self.standing.values().map(|s| s.provider.deadline()).min();
        earliest(standing, self.walks.values().filter_map(|walk| walk.lookup.deadline()).min())
    }

    /// This node looks for nobody any more.
    pub(super) fn forget_walk(&mut self, channel: ChannelId) {
        self.walks.remove(&channel);
    }

    /// The channel is over.
    pub(super) fn close(&mut self, channel: ChannelId) {
        self.walks.remove(&channel);
        self.standing.remove(&channel);
        self.waiting.remove(&channel);
    }
}

/// Registrations.
impl Node {
    /// The shape of this overlay's trees; `None` where there are none.
    fn tree(&self) -> Option<Tree> {
        match self.overlay.storage().kind(KindId::REDIR)?.access {
            Access::NodeIdMatch { branching_factor } => Some(Tree::new(branching_factor)),
            _ => None,
        }
    }

    /// Stands in the tree of a channel with this record, or with a new version of it.
    pub(super) fn register_in_tree(&mut self, channel: ChannelId, record: Record) {
        let (now, me, config) = (self.now, self.node_id(), self.trees.config);
        let Some(tree) = self.tree() else { return };
        if !self.may_be_found(channel) {
            // Its records, if there are any, are over before the grant that was in them.
            self.trees.standing.remove(&channel);
            self.trees.waiting.insert(channel, record);
            return;
        }
        self.trees.waiting.remove(&channel);
        let standing = self.trees.standing.entry(channel);
        let standing = standing.and_modify(|standing| standing.record = record).or_insert_with(|| {
            let provider = redir::Provider::new(tree, me, config, now);
            Standing { provider, record, told: false }
        });
        let changed = standing.provider.changed(now);
        let due = standing.provider.handle_timeout(now, &mut *self.entropy);
        self.obey_provider(channel, changed.into_iter().chain(due).collect());
    }

    /// The record that stands in the tree is stored once more.
    pub(super) fn store_in_tree_anew(&mut self, channel: ChannelId) {
        if let Some(record) = self.trees.standing.get(&channel).map(|standing| standing.record) {
            self.register_in_tree(channel, record);
        }
    }

    /// A grant has come.
    pub(super) fn stand_up(&mut self, channel: ChannelId) {
        if let Some(record) = self.trees.waiting.remove(&channel) {
            self.register_in_tree(channel, record);
        }
    }

    /// Takes the record back from wherever it stands in the tree.
    pub(super) fn leave_tree(&mut self, channel: ChannelId) {
        self.trees.waiting.remove(&channel);
        if let Some(standing) = self.trees.standing.remove(&channel) {
            let orders = standing.provider.leave(self.now);
            self.obey_provider(channel, orders);
        }
    }

    fn obey_provider(&mut self, channel: ChannelId, orders: Vec<Order>) {
        let Some(name) = self.channels.get(channel).map(|open| open.name.clone()) else { return };
        let lifetime = self.while_granted(channel, self.trees.config.lifetime);
        for order in orders {
            match order {
                Order::Fetch(place) => {
                    let fetched = self.fetch_tree_node(&name, place, Purpose::Place(channel, place));
                    if fetched.is_none() {
                        self.on_place_fetched(channel, place, &[]);
                    }
                }
                Order::Store(place) => {
                    if !self.store_in_tree_node(channel, &name, place, lifetime) {
                        self.on_place_stored(channel, place, false);
                    }
                }
                Order::Remove(place) => {
                    let ticket = self.lookups.ticket(Purpose::Removal);
                    let address = self.address_in_tree(&name, place);
                    let asked = self.with_overlay(|overlay, now, ctx| {
                        overlay.remove(now, ticket, address, lifetime, ctx)
                    });
                    if asked.is_err() {
                        self.lookups.forget(ticket);
                    }
                }
            }
        }
    }

    fn address_in_tree(&self, name: &ChannelName, place: TreeNode) -> Address {
        Address {
            resource: place.resource(self.resource_name(name).as_bytes()),
            kind: KindId::REDIR,
            slot: Slot::Key(Bytes::copy_from_slice(&self.node_id().0)),
        }
    }

    fn store_in_tree_node(
        &mut self,
        channel: ChannelId,
        name: &ChannelName,
        place: TreeNode,
        lifetime: Duration,
    ) -> bool {
        let granted_at = self.granted_at(name, Place::Tree);
        let record = self.trees.standing.get(&channel).map(|standing| standing.record);
        let Some(extension) =
            record.and_then(|record| self.encode_record(channel, (name, &granted_at), record))
        else {
            return false;
        };
        let entry = RedirServiceProvider {
            ext_type: RedirServiceProviderExtType::PROVIDER_RECORD,
            destination_list: Vec::from([self.node_id().into()]),
            namespace: self.resource_name(name).into(),
            level: place.level,
            node: place.node,
            extension,
        };
        let Ok(value) = entry.encode() else { return false };
        let ticket = self.lookups.ticket(Purpose::Entry(channel, place));
        let address = self.address_in_tree(name, place);
        let asked =
            self.with_overlay(|overlay, now, ctx| overlay.store(now, ticket, address, value, lifetime, ctx));
        if asked.is_err() {
            self.lookups.forget(ticket);
        }
        asked.is_ok()
    }

    /// The tree node that a registration asked for was fetched; none of these when nobody answered.
    pub(super) fn on_place_fetched(&mut self, channel: ChannelId, place: TreeNode, values: &[Value]) {
        let providers: Vec<NodeId> =
            self.entries(channel, values).into_iter().map(|found| found.info.node_id).collect();
        let now = self.now;
        if let Some(standing) = self.trees.standing.get_mut(&channel) {
            let orders = standing.provider.on_fetched(now, place, &providers);
            self.obey_provider(channel, orders);
        }
    }

    pub(super) fn on_place_stored(&mut self, channel: ChannelId, place: TreeNode, ok: bool) {
        let now = self.now;
        let Some(standing) = self.trees.standing.get_mut(&channel) else { return };
        standing.provider.on_stored(now, place, ok);
        if ok && !core::mem::replace(&mut standing.told, true) {
            self.tell(iptv::Fact::Registered { channel, ok });
        }
    }
}

/// Lookups.
impl Node {
    /// Looks for providers, in the tree or under the name.
    pub(super) fn look_up(&mut self, channel: ChannelId) {
        let Some(open) = self.channels.get(channel) else { return };
        let name = open.name.clone();
        if (open.crowded || self.config.tree_first) && self.may_walk(channel) {
            self.walk(channel, None);
        } else {
            self.fetch(name, Purpose::Lookup(channel));
        }
    }

    /// Whether the tree can be asked now. In a secured overlay it has to be known whose grants count: unlike under the
    /// name, nobody keeps strangers out.
    pub(super) fn may_walk(&self, channel: ChannelId) -> bool {
        let Some(open) = self.channels.get(channel) else { return false };
        let rested = open.walked.is_none_or(|at| self.now.since(at) >= TURNS);
        let trusts = open.trusted.is_some() || !self.needs_grants();
        rested && trusts && self.tree().is_some() && self.config.policy.profile != Profile::Paper
    }

    /// Goes into the tree, with what the name has said.
    pub(super) fn walk(&mut self, channel: ChannelId, named: Option<Vec<Provider<PeerKey>>>) {
        let (now, key, patience) = (self.now, self.node_id(), self.trees.config.patience);
        let tree = self.tree();
        let Some((open, tree)) = self.channels.get_mut(channel).zip(tree) else { return };
        open.walked = Some(now);
        let lookup = Lookup::new(tree, key, open.levels.start(), patience, now);
        let least = if named.is_some() { 0 } else { lookup.at().level };
        let places = (least..=lookup.at().level).rev().filter_map(|level| tree.node_of(level, key));
        let places: Vec<TreeNode> = places.collect();
        let walk = Walk { lookup, tickets: BTreeMap::new(), early: BTreeMap::new(), named };
        if let Some(given_up) = self.trees.walks.insert(channel, walk) {
            self.forget_tickets(given_up.tickets);
        }
        places.into_iter().for_each(|place| self.fetch_for_walk(channel, place));
    }

    fn forget_tickets(&mut self, tickets: BTreeMap<TreeNode, Ticket>) {
        tickets.into_values().for_each(|ticket| self.lookups.forget(ticket));
    }

    /// Fetches a tree node on a walk.
    fn fetch_for_walk(&mut self, channel: ChannelId, place: TreeNode) {
        let Some(name) = self.channels.get(channel).map(|open| open.name.clone()) else { return };
        if !self.trees.walks.contains_key(&channel) {
            return;
        }
        let ticket = self.fetch_tree_node(&name, place, Purpose::Walk(channel, place));
        match ticket.zip(self.trees.walks.get_mut(&channel)) {
            Some((ticket, walk)) => drop(walk.tickets.insert(place, ticket)),
            None => self.on_walk_fetched(channel, place, &[]),
        }
    }

    fn fetch_tree_node(&mut self, name: &ChannelName, place: TreeNode, purpose: Purpose) -> Option<Ticket> {
        let resource = place.resource(self.resource_name(name).as_bytes());
        let ticket = self.lookups.ticket(purpose);
        let asked =
            self.with_overlay(|overlay, now, ctx| overlay.fetch(now, ticket, resource, KindId::REDIR, ctx));
        if asked.is_err() {
            self.lookups.forget(ticket);
        }
        asked.is_ok().then_some(ticket)
    }

    /// A tree node that a walk asked for was fetched; none of these when nobody answered.
    pub(super) fn on_walk_fetched(&mut self, channel: ChannelId, place: TreeNode, values: &[Value]) {
        // Who is full is of no use here, and whoever is behind him may have room.
        let mut found = self.entries(channel, values);
        found.retain(|found| found.info.free_slots > 0);
        let now = self.now;
        let Some(walk) = self.trees.walks.get_mut(&channel) else { return };
        walk.tickets.remove(&place);
        if place == walk.lookup.at() {
            let next = walk.lookup.on_fetched(found.into_iter().map(|f| (f.info.node_id, f)), now);
            self.go_on(channel, next);
        } else {
            walk.early.insert(place, found);
        }
    }

    /// Goes on as far as what has come allows.
    fn go_on(&mut self, channel: ChannelId, mut next: Next) {
        let now = self.now;
        while let Next::Fetch(place) = next {
            let Some(walk) = self.trees.walks.get_mut(&channel) else { return };
            let Some(found) = walk.early.remove(&place) else {
                if !walk.tickets.contains_key(&place) {
                    self.fetch_for_walk(channel, place);
                }
                return;
            };
            next = walk.lookup.on_fetched(found.into_iter().map(|f| (f.info.node_id, f)), now);
        }
        self.on_walked(channel);
    }

    fn on_walked(&mut self, channel: ChannelId) {
        let Some(Walk { lookup, tickets, named, .. }) = self.trees.walks.remove(&channel) else { return };
        self.forget_tickets(tickets);
        let level = lookup.at().level;
        let mut found = lookup.found(&mut *self.entropy);
        drop_earlier_epochs(&mut found);
        found.truncate(FOUND);
        let Some(open) = self.channels.get_mut(channel) else { return };
        if found.is_empty() && named.is_none() {
            let name = open.name.clone();
            return self.fetch(name, Purpose::Lookup(channel));
        }
        if !found.is_empty() {
            open.levels.completed(level);
            open.epoch = found.iter().map(|f| f.epoch).fold(open.epoch, u32::max);
            open.owner_key = found.iter().find_map(|f| f.owner_key.clone()).or(open.owner_key.take());
        }
        let met = found.into_iter().map(|Found { info, contact, .. }| Provider {
            peer: self.remember(contact, Source::Itself),
            depth: Some(info.depth),
            free: Some(info.free_slots),
        });
        let mut providers: Vec<Provider<PeerKey>> = met.collect();
        // Nor does it, if nobody has answered for the name.
        let Some(named) = named.filter(|named| !named.is_empty()) else {
            return self.tell(iptv::Fact::Met { channel, providers });
        };
        let known = |p: &Provider<PeerKey>| !providers.iter().any(|q| q.peer == p.peer);
        let others: Vec<_> = named.into_iter().filter(known).collect();
        providers.extend(others);
        self.tell(iptv::Fact::Fetched { channel, providers });
    }

    /// The entries of a tree node that count: others' records, with the grant of the trusted owner where one is needed.
    fn entries(&self, channel: ChannelId, values: &[Value]) -> Vec<Found> {
        let Some(open) = self.channels.get(channel) else { return Vec::new() };
        let me = self.node_id();
        // Of whom the source knows by hearsay there are more than of its own children.
        let granted_at = [Place::Tree, Place::Name].map(|place| self.granted_at(&open.name, place));
        let read = |value: &Value| {
            let entry = RedirServiceProvider::decode(value.value.as_ref()?).ok()?;
            let of_this_channel = entry.namespace == self.resource_name(&open.name).as_bytes();
            if entry.ext_type != RedirServiceProviderExtType::PROVIDER_RECORD || !of_this_channel {
                return None;
            }
            let record = Value { value: Some(entry.extension), ..value.clone() };
            // The source stands under the name only.
            let found = granted_at.iter().find_map(|granted_at| self.read(granted_at, &record));
            found
                .filter(|f| f.info.node_id != me && !f.info.is_source)
                .filter(|f| f.info.owner == open.trusted && f.epoch >= open.epoch)
        };
        values.iter().filter_map(read).take(redir::MAX_PROVIDERS).collect()
    }

    /// Walks on, and repeats registrations, where it is time.
    pub(super) fn refresh_trees(&mut self) {
        let now = self.now;
        let due = |at: Instant| at <= now;
        let (me, config, tree) = (self.node_id(), self.trees.config, self.tree());
        let standing = self.trees.standing.iter().filter(|(_, s)| due(s.provider.deadline()));
        for channel in standing.map(|(&channel, _)| channel).collect::<Vec<ChannelId>>() {
            if !self.may_be_found(channel) {
                let over = self.trees.standing.remove(&channel);
                self.trees.waiting.extend(over.map(|standing| (channel, standing.record)));
                continue;
            }
            let Some(standing) = self.trees.standing.get_mut(&channel) else { continue };
            match tree {
                Some(tree) if tree == standing.provider.tree() => {}
                // A new configuration: the records in the old tree expire.
                Some(tree) => standing.provider = redir::Provider::new(tree, me, config, now),
                None => {
                    self.trees.standing.remove(&channel);
                    continue;
                }
            }
            let orders = standing.provider.handle_timeout(now, &mut *self.entropy);
            self.obey_provider(channel, orders);
        }
        let walks = self.trees.walks.iter().filter(|(_, walk)| walk.lookup.deadline().is_some_and(due));
        for channel in walks.map(|(&channel, _)| channel).collect::<Vec<ChannelId>>() {
            let Some(walk) = self.trees.walks.get_mut(&channel) else { continue };
            // Should the answer still come, nobody waits for it.
            let late = walk.tickets.remove(&walk.lookup.at());
            late.inspect(|&ticket| self.lookups.forget(ticket));
            if let Some(next) = walk.lookup.handle_timeout(now) {
                self.go_on(channel, next);
            }
        }
    }
}

#[cfg(test)]
#[cfg(feature = "tls")]
mod tests {
    use super::*;
    use crate::env::{Party, Seeded};
    use crate::ids::KeyFingerprint;
    use crate::node::{Addresses, Security};
    use crate::reload::codec::{Grant, ProviderRecord, ProviderRole};
    use crate::reload::grant::{self, Claim};
    use crate::time::UnixMillis;
    use crate::tls::{Digest, Identity, Tls};
    use alloc::boxed::Box;
    use alloc::sync::Arc;
    use alloc::vec;

    const OVERLAY: &str = "tv.example";
    const ROOT: TreeNode = TreeNode { level: 0, node: 0 };
    const EPOCH: u32 = 7;
    const ALICE: NodeId = NodeId([1; 16]);
    const MALLORY: NodeId = NodeId([2; 16]);

    fn identity(user: &str) -> Identity {
        Identity::self_signed(OVERLAY, user, Digest::Sha256).unwrap()
    }

    fn today() -> UnixMillis {
        let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
        UnixMillis(now.as_millis() as u64)
    }

    /// A secured node that watches channel 100 of this owner.
    fn viewer(owner: KeyFingerprint) -> (Node, ChannelId) {
        let at = |port| core::net::SocketAddr::from(([127, 0, 0, 1], port));
        let addresses = Addresses { overlay: at(6084), signalling: at(5060), media: at(5004) };
        let config = crate::node::Config {
            security: Security::Tls,
            ..crate::node::Config::new("v", OVERLAY, addresses)
        };
        let me = identity("v");
        let tls = Tls::new(&me).unwrap();
        let mut node = Node::secured(config, Box::new(Seeded::new(1)), Box::new(me), Box::new(tls)).unwrap();
        node.handle_wall_clock(Instant::ZERO, today());
        node.create(Instant::ZERO).unwrap();
        let channel = node.tune_to(Instant::ZERO, &ChannelName::new("100").unwrap(), owner).unwrap();
        (node, channel)
    }

    fn granted(by: &Identity, node: NodeId, role: ProviderRole) -> Option<Grant> {
        let resource = crate::ids::ResourceId::of_name(b"100@tv.example");
        let claim = Claim { resource: &resource, node, role };
        grant::issue(by, &claim, EPOCH, today(), Duration::from_secs(600))
    }

    /// What somebody has stored in the root of a tree.
    fn value(writer: NodeId, namespace: &str, role: ProviderRole, grant: Option<Grant>) -> Value {
        value_with(1, writer, namespace, role, grant)
    }

    fn value_with(
        free_slots: u16,
        writer: NodeId,
        namespace: &str,
        role: ProviderRole,
        grant: Option<Grant>,
    ) -> Value {
        let record = ProviderRecord {
            role,
            depth: 2,
            free_slots,
            uptime_seconds: 0,
            sip_contact: "sip:r@192.0.2.1:5060;channel=100".into(),
            grant,
        };
        let entry = RedirServiceProvider {
            ext_type: RedirServiceProviderExtType::PROVIDER_RECORD,
            destination_list: vec![writer.into()],
            namespace: Bytes::copy_from_slice(namespace.as_bytes()),
            level: ROOT.level,
            node: ROOT.node,
            extension: record.encode().unwrap(),
        };
        let key = KeyFingerprint::of(&writer.0);
        let signer = Party { node_id: writer, node_ids: vec![writer], user: None, key, certificate: None };
        Value {
            kind: KindId::REDIR,
            slot: Slot::Key(Bytes::copy_from_slice(&writer.0)),
            signer: Arc::new(signer),
            storage_time: today(),
            lifetime: Duration::from_secs(240),
            value: Some(entry.encode().unwrap()),
            rolled_back: false,
        }
    }

    #[test]
    fn q4_an_entry_without_the_grant_of_the_trusted_owner_counts_as_if_it_were_not_there() {
        let (owner, stranger) = (identity("100"), identity("100"));
        let (node, channel) = viewer(owner.fingerprint());
        let counts = |value: &Value| node.entries(channel, core::slice::from_ref(value)).len() == 1;
        let (relayer, namespace) = (ProviderRole::RELAYER, "100@tv.example");
        let good = value(ALICE, namespace, relayer, granted(&owner, ALICE, relayer));
        assert!(counts(&good));

        let forged = [
            ("without a grant", value(MALLORY, namespace, relayer, None)),
            ("alice's grant", value(MALLORY, namespace, relayer, granted(&owner, ALICE, relayer))),
            ("another owner's", value(MALLORY, namespace, relayer, granted(&stranger, MALLORY, relayer))),
            (
                "of somebody who owns no channel",
                value(MALLORY, namespace, relayer, granted(&identity("m"), MALLORY, relayer)),
            ),
            (
                "another role",
                value(MALLORY, namespace, relayer, granted(&owner, MALLORY, ProviderRole::SOURCE)),
            ),
            (
                "a source has its place under the name",
                value(ALICE, namespace, ProviderRole::SOURCE, granted(&owner, ALICE, ProviderRole::SOURCE)),
            ),
            ("of another tree", value(ALICE, "200@tv.example", relayer, granted(&owner, ALICE, relayer))),
            ("taken back", Value { value: None, ..good.clone() }),
            ("junk", Value { value: Some(Bytes::from_static(&[0xf0; 40])), ..good.clone() }),
            (
                "under another key",
                Value { slot: Slot::Key(Bytes::copy_from_slice(&MALLORY.0)), ..good.clone() },
            ),
        ];
        for (what, value) in &forged {
            assert!(!counts(value), "{what}");
        }
        // Either grant will do.
        let claim = Claim { resource: &grant::tree_place(namespace), node: ALICE, role: relayer };
        let for_tree = grant::issue(&owner, &claim, EPOCH, today(), Duration::from_secs(600));
        assert!(counts(&value(ALICE, namespace, relayer, for_tree.clone())));
        assert!(!counts(&value(MALLORY, namespace, relayer, for_tree)));
        // Among forged ones the good one is found.
        let forged = forged.into_iter().map(|(_, value)| value);
        let all: Vec<Value> = forged.chain([good.clone()]).collect();
        let found = node.entries(channel, &all);
        assert_eq!(found.iter().map(|f| f.info.node_id).collect::<Vec<_>>(), [ALICE]);
        // Until the owner begins a new broadcast.
        let mut node = node;
        node.channels.get_mut(channel).unwrap().epoch = EPOCH + 1;
        assert!(node.entries(channel, &[good]).is_empty());
    }

    #[test]
    fn q4_a_viewer_who_trusts_nobody_yet_does_not_look_into_the_tree() {
        let (node, channel) = viewer(identity("100").fingerprint());
        assert!(node.may_walk(channel));
        let (mut node, other) = (node, ChannelName::new("200").unwrap());
        let channel = node.tune(Instant::ZERO, &other).unwrap();
        assert!(!node.may_walk(channel), "there nobody keeps strangers out");
    }

    #[test]
    fn q5_whoever_has_no_free_slot_is_passed_over_and_without_anybody_the_name_is_asked() {
        let owner = identity("100");
        let relayer = ProviderRole::RELAYER;
        for (free, asks_for_the_name) in [(0, true), (1, false)] {
            let (mut node, channel) = viewer(owner.fingerprint());
            let grant = granted(&owner, ALICE, relayer);
            let value = value_with(free, ALICE, "100@tv.example", relayer, grant);
            node.walk(channel, None);
            assert_eq!(node.trees.walks[&channel].lookup.at().level, 2);
            for _ in 0..2 {
                let at = node.trees.walks[&channel].lookup.at();
                node.on_walk_fetched(channel, at, &[]);
            }
            assert_eq!(node.trees.walks[&channel].lookup.at(), ROOT);
            let before = node.lookups.len();
            node.on_walk_fetched(channel, ROOT, &[value]);
            assert!(node.trees.walks.is_empty());
            assert_eq!(node.lookups.len() > before, asks_for_the_name, "{free} slots");
        }
    }

    #[test]
    fn q5_whoever_has_asked_for_the_name_fetches_the_tree_at_once_and_hears_the_deepest_node_first() {
        let owner = identity("100");
        let relayer = ProviderRole::RELAYER;
        let (mut node, channel) = viewer(owner.fingerprint());
        let value = value(ALICE, "100@tv.example", relayer, granted(&owner, ALICE, relayer));
        let asked = node.lookups.len();
        node.walk(channel, Some(Vec::new()));
        let places: Vec<TreeNode> = node.trees.walks[&channel].tickets.keys().copied().collect();
        assert_eq!((node.lookups.len() - asked, places.len(), places[0]), (3, 3, ROOT));
        // The root is the first to answer, and is not listened to before those below it.
        node.on_walk_fetched(channel, ROOT, &[value]);
        node.on_walk_fetched(channel, places[1], &[]);
        assert_eq!(node.trees.walks[&channel].lookup.at(), places[2]);
        node.on_walk_fetched(channel, places[2], &[]);
        assert!(node.trees.walks.is_empty(), "everything is there");
        // Whoever has not asked for the name spares the root.
        node.now = Instant::from_millis(10_000);
        node.walk(channel, None);
        assert_eq!(node.trees.walks[&channel].tickets.len(), 1);
    }

    #[test]
    fn q2_the_tree_is_not_asked_twice_in_a_row() {
        let (mut node, channel) = viewer(identity("100").fingerprint());
        node.walk(channel, None);
        node.now = Instant::from_millis(9_999);
        assert!(!node.may_walk(channel));
        node.now = Instant::from_millis(10_000);
        assert!(node.may_walk(channel));
    }

    #[test]
    fn q4_the_record_in_the_tree_expires_before_the_grant_that_it_was_stored_with() {
        let (node, _) = viewer(identity("100").fingerprint());
        let grants = node.config.grant_lifetime;
        assert!(node.trees.config.lifetime < grants / 2, "a grant is renewed at half of its life");
        let mut config = node.config.clone();
        config.grant_lifetime = Duration::from_secs(60);
        let me = identity("v");
        let tls = Box::new(Tls::new(&me).unwrap());
        let node = Node::secured(config, Box::new(Seeded::new(1)), Box::new(me), tls).unwrap();
        assert_eq!(node.trees.config.lifetime, Duration::from_secs(24));
    }

    #[test]
    fn k8_of_a_tree_node_that_is_too_full_no_more_is_read_than_a_lookup_takes() {
        let owner = identity("100");
        let (node, channel) = viewer(owner.fingerprint());
        let relayer = ProviderRole::RELAYER;
        let good = value(ALICE, "100@tv.example", relayer, granted(&owner, ALICE, relayer));
        let many = vec![good; 500];
        assert_eq!(node.entries(channel, &many).len(), redir::MAX_PROVIDERS);
    }
}
