//! The overlay plane's facts, told to the policy: lookups by name, records read and written.

use super::Node;
use super::api::{Event, Output, ProviderInfo};
use super::channels::Channel;
use super::directory::{Contact, Source};
use super::integrity::OwnerKey;
use super::records::{LIFETIME, Record, least_left};
use super::{Membership, PeerKey};
use crate::effect::Effect;
use crate::ids::{ChannelId, ChannelName, KeyFingerprint, NodeId, ResourceId};
use crate::iptv::{self, Provider, Role};
use crate::reload::codec::{ProviderRecord, ProviderRole, Structure as _};
use crate::reload::overlay::{Address, Fact, Slot, Ticket, Value};
use crate::reload::redir::TreeNode;
use crate::reload::storage::Kind;
use crate::sip::msg::SipUri;
use crate::stats::Plane;
use crate::time::Duration;
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::Bytes;

/// The URI parameter of a record's contact that says what the channel calls itself, for those who found it by a keyword.
const CHANNEL_PARAM: &str = "channel";

/// The URI parameter of a source's contact that says in which epoch it has taken the channel over, where no grant does.
const EPOCH_PARAM: &str = "epoch";

/// The URI parameter of a record's contact that says how many seconds the record stands unless it is stored again, where that
/// is not [`LIFETIME`]: nobody else knows, for of a lifetime a storing peer tells what is left.
const LIFETIME_PARAM: &str = "lifetime";

/// What an order to the overlay was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A viewer looks for providers.
    Lookup(ChannelId),
    /// It looks for them where only the owner that it trusts has a place.
    OwnersLookup(ChannelId),
    /// The host asked.
    Query(ChannelName),
    /// This node publishes, and looks for newer sources.
    Rivals(ChannelId),
    /// It looks for them where only its owner has a place.
    OwnersRivals(ChannelId),
    /// This node's record under the channel's own name.
    Record(ChannelId),
    /// This node's record under a keyword.
    Keyword,
    /// A tree node on a viewer's way through the channel's tree.
    Walk(ChannelId, TreeNode),
    /// A tree node on the way of this node's registration.
    Place(ChannelId, TreeNode),
    /// This node's record in a tree node.
    Entry(ChannelId, TreeNode),
    /// A record is taken back.
    Removal,
}

/// The orders that the overlay has not answered yet. It answers every one, so this is bounded by what may be asked.
#[derive(Debug)]
pub(super) struct Lookups {
    pending: BTreeMap<Ticket, Purpose>,
    next: u64,
    max_queries: usize,
}

impl Lookups {
    pub(super) const fn new(max_queries: usize) -> Self {
        Lookups { pending: BTreeMap::new(), next: 0, max_queries }
    }

    pub(super) fn ticket(&mut self, purpose: Purpose) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.pending.insert(ticket, purpose);
        ticket
    }

    /// The order was not given after all, or its answer is not waited for any more.
    pub(super) fn forget(&mut self, ticket: Ticket) {
        self.pending.remove(&ticket);
    }

    /// What a viewer of this channel has asked is of no use to its source: of a lookup the epoch, of a store that it was done.
    pub(super) fn forget_viewer(&mut self, channel: ChannelId) {
        self.pending.retain(|_, purpose| match *purpose {
            Purpose::Lookup(c) | Purpose::OwnersLookup(c) | Purpose::Walk(c, _) | Purpose::Record(c) => {
                c != channel
            }
            _ => true,
        });
    }

    #[cfg(any(test, feature = "arbitrary"))]
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Records of this node in tree nodes that are being stored.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.count(|purpose| matches!(purpose, Purpose::Entry(..)))
    }

    fn count(&self, is: impl Fn(&Purpose) -> bool) -> usize {
        self.pending.values().filter(|purpose| is(purpose)).count()
    }

    pub(super) fn queries_are_full(&self) -> bool {
        self.count(|purpose| matches!(purpose, Purpose::Query(_))) >= self.max_queries
    }

    pub(super) fn removals(&self) -> usize {
        self.count(|purpose| *purpose == Purpose::Removal)
    }
}

/// Orders to the overlay.
impl Node {
    pub(super) fn fetch(&mut self, name: ChannelName, purpose: Purpose) {
        self.fetch_from(self.resource(&name), purpose);
    }

    pub(super) fn fetch_from(&mut self, resource: ResourceId, purpose: Purpose) {
        let ticket = self.lookups.ticket(purpose);
        let asked = self
            .with_overlay(|overlay, now, ctx| overlay.fetch(now, ticket, resource, Kind::CHANNEL.id, ctx));
        if asked.is_err() {
            self.on_fetched(ticket, None);
        }
    }

    pub(super) fn store(
        &mut self,
        channel: ChannelId,
        name: &ChannelName,
        record: Record,
        lifetime: Duration,
        purpose: Purpose,
    ) {
        self.store_at(self.resource(name), (channel, name), record, lifetime, purpose);
    }

    pub(super) fn store_at(
        &mut self,
        resource: ResourceId,
        (channel, name): (ChannelId, &ChannelName),
        record: Record,
        lifetime: Duration,
        purpose: Purpose,
    ) {
        let ticket = self.lookups.ticket(purpose);
        let Some(value) = self.encode_record(channel, (name, &resource), record) else {
            return self.on_stored(ticket, false);
        };
        let address = self.record_address(resource);
        let asked =
            self.with_overlay(|overlay, now, ctx| overlay.store(now, ticket, address, value, lifetime, ctx));
        if asked.is_err() {
            self.on_stored(ticket, false);
        }
    }

    pub(super) fn remove(&mut self, resource: ResourceId, lifetime: Duration) {
        let ticket = self.lookups.ticket(Purpose::Removal);
        let address = self.record_address(resource);
        let asked =
            self.with_overlay(|overlay, now, ctx| overlay.remove(now, ticket, address, lifetime, ctx));
        if asked.is_err() {
            self.on_stored(ticket, false);
        }
    }

    /// In a dictionary keyed by provider, so that source and relayers stand side by side.
    fn record_address(&self, resource: ResourceId) -> Address {
        Address {
            resource,
            kind: Kind::CHANNEL.id,
            slot: Slot::Key(Bytes::copy_from_slice(&self.node_id().0)),
        }
    }

    /// `None` when the channel is closed, or the grant that the record needs is missing.
    pub(super) fn encode_record(
        &self,
        channel: ChannelId,
        (name, resource): (&ChannelName, &ResourceId),
        record: Record,
    ) -> Option<Bytes> {
        let open = self.channels.get(channel)?;
        let uri = SipUri::of_user(&self.config.name, self.config.addresses.signalling)
            .with_transport(self.config.agent.transport.to_msg());
        let mut uri = uri.with_param(CHANNEL_PARAM, Some(open.name.as_str())).ok()?;
        if record.role == Role::Source && !self.needs_grants() && open.epoch > 0 {
            uri = uri.with_param(EPOCH_PARAM, Some(&open.epoch.to_string())).ok()?;
        }
        if self.records.lifetime() != LIFETIME {
            let seconds = self.records.lifetime().as_millis().div_ceil(1000).to_string();
            uri = uri.with_param(LIFETIME_PARAM, Some(&seconds)).ok()?;
        }
        let role = match record.role {
            Role::Source => ProviderRole::SOURCE,
            Role::Relayer => ProviderRole::RELAYER,
        };
        let record = ProviderRecord {
            role,
            depth: record.depth,
            free_slots: record.free,
            uptime_seconds: u32::try_from(self.now.since(open.since).as_secs()).unwrap_or(u32::MAX),
            sip_contact: uri.to_string(),
            grant: self.own_grant(channel, name, resource, role).ok()?,
        };
        record.encode().ok()
    }
}

/// Facts from the overlay.
impl Node {
    pub(super) fn on_overlay(&mut self, effect: Effect<Fact>) {
        match effect {
            Effect::Send { to, payload } => self.send_overlay_datagram(to, payload),
            Effect::Fact(Fact::Joined) => {
                self.membership = Membership::Joined;
                self.queue.event(Event::Joined, &mut self.stats);
            }
            Effect::Fact(Fact::JoinFailed) => {
                self.membership = Membership::Outside;
                self.queue.event(Event::JoinFailed, &mut self.stats);
            }
            Effect::Fact(Fact::Reconfigured { sequence, document }) => {
                self.shut_out_bad_nodes();
                self.queue.event(Event::Reconfigured { sequence, document }, &mut self.stats);
            }
            Effect::Fact(Fact::Incompatible { sequence, document, why }) => {
                self.queue.event(Event::Incompatible { sequence, document, why }, &mut self.stats);
                self.with_policy(|policy, now, ctx| policy.leave(now, ctx));
            }
            Effect::Fact(Fact::UserNameTaken { by }) => {
                self.queue.event(Event::UserNameTaken { by }, &mut self.stats);
            }
            Effect::Fact(Fact::Left) => self.left(),
            Effect::Fact(Fact::Stored { ticket, result }) => self.on_stored(ticket, result.is_ok()),
            Effect::Fact(Fact::Fetched { ticket, result, .. }) => self.on_fetched(ticket, result.ok()),
            Effect::Fact(Fact::ToSign { ticket, octets }) => {
                self.queue.push(Output::Sign { ticket, octets }, &mut self.stats);
            }
            Effect::Fact(Fact::Dropped { reason }) => self.stats.count_drop(reason),
            Effect::Fact(_) => {}
            Effect::Connect { stream, to } => {
                self.queue.push(Output::Connect { stream, plane: Plane::Overlay, to }, &mut self.stats);
            }
            Effect::Write { stream, bytes } => self.write_stream(stream, bytes),
            Effect::Close { stream } => self.close_stream(stream),
            Effect::Associate { to } => self.associate(to),
            Effect::Dissociate { to } => self.dissociate(to),
        }
    }

    fn on_stored(&mut self, ticket: Ticket, ok: bool) {
        match self.lookups.pending.remove(&ticket) {
            Some(Purpose::Record(channel)) => self.on_record_stored(channel, ok),
            Some(Purpose::Entry(channel, place)) => self.on_place_stored(channel, place, ok),
            _ => {}
        }
    }

    fn on_fetched(&mut self, ticket: Ticket, values: Option<Vec<Value>>) {
        match self.lookups.pending.remove(&ticket) {
            Some(Purpose::Lookup(channel)) => {
                let Some(name) = self.channels.get(channel).map(|open| open.name.clone()) else { return };
                let resource = self.resource(&name);
                let found = values.map(|values| self.providers_among(channel, &resource, &values));
                let trusted = self.channels.get(channel).and_then(|open| open.trusted);
                // Others may have crowded it out.
                let owned = trusted.and_then(|owner| self.owners_place(&name, owner));
                match (found, owned) {
                    (Some(found), None) => self.on_providers(channel, found),
                    (Some(found), Some(_)) if !found.is_empty() => self.on_providers(channel, found),
                    (_, Some(place)) => self.fetch_from(place, Purpose::OwnersLookup(channel)),
                    (None, None) => self.on_no_answer(channel),
                }
            }
            Some(Purpose::OwnersLookup(channel)) => {
                let place = self.channels.get(channel);
                let place = place.and_then(|open| self.owners_place(&open.name, open.trusted?));
                match values.zip(place) {
                    Some((values, place)) => {
                        let found = self.providers_among(channel, &place, &values);
                        self.on_providers(channel, found);
                    }
                    None => self.on_no_answer(channel),
                }
            }
            Some(Purpose::Rivals(channel)) => {
                let place = self.channels.get(channel).map(|open| self.resource(&open.name));
                self.on_rivals(channel, place, &values.unwrap_or_default());
            }
            Some(Purpose::OwnersRivals(channel)) => {
                let open = self.channels.get(channel);
                let place = open.and_then(|open| self.place_of_its_owner(channel, &open.name));
                self.on_rivals(channel, place, &values.unwrap_or_default());
            }
            Some(Purpose::Walk(channel, place)) => {
                self.on_walk_fetched(channel, place, &values.unwrap_or_default());
            }
            Some(Purpose::Place(channel, place)) => {
                self.on_place_fetched(channel, place, &values.unwrap_or_default());
            }
            Some(Purpose::Query(name)) => {
                let (values, resource) = (values.unwrap_or_default(), self.resource(&name));
                let mut found: Vec<Found> =
                    values.iter().filter_map(|value| self.read(&resource, value)).collect();
                drop_earlier_epochs(&mut found);
                let mut providers: Vec<ProviderInfo> = found.into_iter().map(|found| found.info).collect();
                providers.sort_by_key(|p| (p.depth, core::cmp::Reverse(p.free_slots), p.node_id));
                self.queue.event(Event::Providers { name, providers }, &mut self.stats);
            }
            _ => {}
        }
    }

    /// A source of the same owner in a later epoch has taken the channel over; of two in one epoch the one with the lower
    /// Node-ID goes on. Where nobody owns channels only those who took one over have an epoch: of two others who publish under
    /// one name neither is the other's heir.
    pub(super) fn on_rivals(&mut self, channel: ChannelId, place: Option<ResourceId>, values: &[Value]) {
        let Some((open, place)) = self.channels.get(channel).zip(place) else { return };
        let rank = |epoch: u32, node: NodeId| (epoch, core::cmp::Reverse(node));
        let (owner, mine) = (open.trusted, rank(open.epoch, self.node_id()));
        let found = values.iter().filter_map(|value| self.read(&place, value));
        let rivals = found.filter(|f| f.info.is_source && f.info.owner == owner && f.epoch > 0);
        let newer = rivals.filter(|f| rank(f.epoch, f.info.node_id) > mine);
        let Some(newest) = newer.max_by_key(|f| rank(f.epoch, f.info.node_id)) else { return };
        if let Some(open) = self.channels.get_mut(channel) {
            open.outdone = open.outdone.max(newest.epoch);
        }
        let by = self.remember(newest.contact, Source::Itself);
        self.tell(iptv::Fact::Outdone { channel, by });
    }

    /// Nobody has answered for the channel's name.
    fn on_no_answer(&mut self, channel: ChannelId) {
        if self.may_walk(channel) {
            self.walk(channel, Some(Vec::new()));
        } else {
            self.tell(iptv::Fact::FetchFailed { channel });
        }
    }

    /// The providers among values of a place that count here: others than this node, of one owner and of one epoch.
    pub(super) fn providers_among(
        &mut self,
        channel: ChannelId,
        resource: &ResourceId,
        values: &[Value],
    ) -> Vec<Found> {
        let me = self.node_id();
        let found = values.iter().filter_map(|value| self.read(resource, value));
        let mut found: Vec<Found> = found.filter(|f| f.info.node_id != me).collect();
        self.keep_to_one_owner(channel, &mut found);
        drop_earlier_epochs(&mut found);
        found
    }

    fn on_providers(&mut self, channel: ChannelId, mut found: Vec<Found>) {
        let name = self.channels.get(channel).and_then(|open| own_name(open, &found));
        if let Some(name) = name.filter(|name| self.channels.named(name.as_str()).is_none())
            && let Some(open) = self.channels.get_mut(channel)
        {
            open.keywords = alloc::vec![core::mem::replace(&mut open.name, name.clone())];
            return self.fetch(name, Purpose::Lookup(channel));
        }
        let relayers = found.iter().filter(|f| !f.info.is_source).count();
        drop_overdue(&mut found);
        let full = found.iter().all(|f| f.info.free_slots == 0);
        let listed = usize::from(self.config.policy.registered_relayers);
        // Records come and go: a list that is half full shows that there was no room for everybody a while ago.
        let crowded = relayers >= listed.div_ceil(2);
        if let Some(open) = self.channels.get_mut(channel) {
            open.crowded = crowded;
        }
        let providers = found
            .into_iter()
            .map(|Found { info, contact, .. }| Provider {
                peer: self.remember(contact, Source::Itself),
                depth: Some(info.depth),
                free: Some(info.free_slots),
            })
            .collect::<Vec<Provider<PeerKey>>>();
        if crowded && full && self.may_walk(channel) {
            return self.walk(channel, Some(providers));
        }
        self.tell(iptv::Fact::Fetched { channel, providers });
    }

    /// A value at a place; `None` unless it exists, parses, was signed by the node it speaks of, can be reached, and stands
    /// there by the word of an owner where that is needed.
    pub(super) fn read(&self, resource: &ResourceId, value: &Value) -> Option<Found> {
        let (mut found, record) = read(value)?;
        if self.needs_grants() {
            let node = value.signer.node_id;
            let word = self.word_for(resource, node, record.role, record.grant.as_ref())?;
            (found.info.owner, found.epoch) = (Some(word.owner), word.epoch);
            found.owner_key = record.grant.as_ref().map(OwnerKey::of);
        }
        Some(found)
    }

    /// Leaves the records of the trusted owner. Where none is trusted yet it is the owner of the record that stands
    /// nearest to the source: which of several owners is the right one only the host can know.
    fn keep_to_one_owner(&mut self, channel: ChannelId, found: &mut Vec<Found>) {
        let Some(open) = self.channels.get_mut(channel) else { return };
        let nearest = found.iter().min_by_key(|f| (f.info.depth, f.info.node_id)).and_then(|f| f.info.owner);
        let chosen_here = open.trusted.is_none();
        let Some(owner) = open.trusted.or(nearest) else { return };
        open.trusted = Some(owner);
        let mut others: Vec<KeyFingerprint> = found.iter().filter_map(|f| f.info.owner).collect();
        others.retain(|other| *other != owner);
        others.sort_unstable();
        others.dedup();
        found.retain(|f| f.info.owner == Some(owner));
        open.epoch = found.iter().map(|f| f.epoch).fold(open.epoch, u32::max);
        let epoch = open.epoch;
        found.retain(|f| f.epoch == epoch);
        // Certificates are renewed, and the key is the same.
        open.owner_key = found.iter().find_map(|f| f.owner_key.clone()).or(open.owner_key.take());
        if chosen_here && !others.is_empty() {
            self.queue.event(Event::Disputed { channel, owner, others }, &mut self.stats);
        }
    }
}

/// Leaves of each owner's records those of the newest epoch; where nobody owns channels, the newest sources, for relayers
/// have no epoch there.
pub(super) fn drop_earlier_epochs(found: &mut Vec<Found>) {
    let mut newest: BTreeMap<Option<KeyFingerprint>, u32> = BTreeMap::new();
    for f in &*found {
        let epoch = newest.entry(f.info.owner).or_default();
        *epoch = f.epoch.max(*epoch);
    }
    let has_epoch = |f: &Found| f.info.owner.is_some() || f.info.is_source;
    found.retain(|f| !has_epoch(f) || newest.get(&f.info.owner) == Some(&f.epoch));
}

/// Leaves out relayers that have not stored their records again when it was time, if there are others: they are gone, and whoever
/// asked one would wait for nothing. Nobody can take back what the dead have stored.
fn drop_overdue(found: &mut Vec<Found>) {
    let relays_on = |f: &Found| !f.info.is_source && !f.overdue;
    if found.iter().any(relays_on) {
        found.retain(|f| f.info.is_source || relays_on(f));
    }
}

/// Who found a channel by a keyword goes on under its own name, under which the relayers stand too. A keyword is followed
/// once, and a name under which the channel itself stands is none: records may lie.
fn own_name(open: &Channel, found: &[Found]) -> Option<ChannelName> {
    let stands_here = |f: &Found| f.channel.as_ref().is_none_or(|name| *name == open.name);
    if !open.keywords.is_empty() || found.iter().any(stands_here) {
        return None;
    }
    found.first()?.channel.clone()
}

/// A record as it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) info: ProviderInfo,
    pub(super) contact: Contact,
    channel: Option<ChannelName>,
    /// It was not stored again when it was time.
    overdue: bool,
    /// The epoch of the owner's grant, or what a record says of itself that needs none.
    pub(super) epoch: u32,
    /// What the owner signs by.
    pub(super) owner_key: Option<OwnerKey>,
}

/// What a value says by itself.
fn read(value: &Value) -> Option<(Found, ProviderRecord)> {
    let Slot::Key(key) = &value.slot else { return None };
    if key.as_ref() != value.signer.node_id.0 {
        return None;
    }
    let record = ProviderRecord::decode(value.value.as_ref()?).ok()?;
    let uri = SipUri::new(&record.sip_contact)?;
    let channel = uri.params().get(CHANNEL_PARAM).and_then(ChannelName::new);
    uri.user()?;
    let contact = Contact::of_uri(&uri, Some(value.signer.node_id))?;
    let info = ProviderInfo {
        node_id: value.signer.node_id,
        is_source: record.role == ProviderRole::SOURCE,
        depth: record.depth,
        free_slots: record.free_slots,
        contact: record.sip_contact.clone(),
        owner: None,
    };
    let epoch = uri.params().get(EPOCH_PARAM).and_then(|epoch| epoch.parse().ok());
    let epoch = epoch.filter(|_| info.is_source).unwrap_or(0);
    let lifetime = uri.params().get(LIFETIME_PARAM).and_then(|seconds| seconds.parse().ok());
    let lifetime = lifetime.map_or(LIFETIME, Duration::from_secs);
    let overdue = value.lifetime < least_left(lifetime);
    Some((Found { info, contact, channel, overdue, epoch, owner_key: None }, record))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{InsecureIdentity, Party, Seeded};
    use crate::node::{Addresses, Config};
    use crate::time::{Instant, UnixMillis};
    use alloc::boxed::Box;
    use alloc::sync::Arc;
    use alloc::vec;

    fn value(contact: &str) -> Value {
        let record = ProviderRecord {
            role: ProviderRole::RELAYER,
            depth: 1,
            free_slots: 2,
            uptime_seconds: 0,
            sip_contact: contact.into(),
            grant: None,
        };
        let signer = party(NodeId([1; 16]));
        Value {
            kind: Kind::CHANNEL.id,
            slot: Slot::Key(Bytes::copy_from_slice(&signer.node_id.0)),
            signer,
            storage_time: UnixMillis(0),
            lifetime: Duration::from_secs(60),
            value: Some(record.encode().unwrap()),
            rolled_back: false,
        }
    }

    fn party(node_id: NodeId) -> Arc<Party> {
        let key = KeyFingerprint::of(&node_id.0);
        Arc::new(Party { node_id, node_ids: vec![node_id], user: None, key, certificate: None })
    }

    #[test]
    fn a_record_is_read_only_when_it_speaks_of_its_signer_and_can_be_reached() {
        let good = value("sip:1@192.0.2.1:5060;channel=100");
        assert!(read(&good).is_some());
        for contact in ["", "sip:1@host.example", "tel:1", "sip:192.0.2.1", "sip:1@192.0.2.1:0x"] {
            assert!(read(&value(contact)).is_none(), "{contact}");
        }
        let others = Value { signer: party(NodeId([2; 16])), ..good.clone() };
        let removed = Value { value: None, ..good.clone() };
        let garbage = Value { value: Some(Bytes::from_static(&[0xff; 40])), ..good.clone() };
        let unnamed = Value { slot: Slot::Single, ..good };
        for bad in [others, removed, garbage, unnamed] {
            assert!(read(&bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn relayers_whose_records_are_overdue_are_left_out_unless_there_are_no_others() {
        // How many seconds each of them has left; the source has one.
        let kept = |seconds: &[u64]| {
            let found = |(port, &s): (usize, &u64)| {
                let contact = alloc::format!("sip:1@192.0.2.1:{port}");
                let value = Value { lifetime: Duration::from_secs(s), ..value(&contact) };
                let mut found = read(&value).unwrap().0;
                found.info.is_source = s == 1;
                found
            };
            let mut found: Vec<Found> = (1..).zip(seconds).map(found).collect();
            drop_overdue(&mut found);
            found.iter().map(|f| f.contact.addr.port()).collect::<Vec<_>>()
        };
        assert_eq!(kept(&[60, 20, 1, 21, 2]), [1, 3, 4]);
        assert_eq!(kept(&[20, 1, 2]), [1, 2, 3]);
    }

    #[test]
    fn a_record_is_judged_by_the_lifetime_that_it_states_and_by_a_minute_where_it_states_none() {
        let overdue = |params: &str, left| {
            let value = value(&alloc::format!("sip:1@192.0.2.1:5060{params}"));
            read(&Value { lifetime: Duration::from_secs(left), ..value }).unwrap().0.overdue
        };
        for (params, live) in [(";lifetime=20", 7), ("", 21), (";lifetime=x", 21), (";lifetime=600", 210)] {
            assert_eq!([live - 1, live].map(|left| overdue(params, left)), [true, false], "{params}");
        }
        assert!(overdue(";lifetime=18446744073709551615", 600));
    }

    #[test]
    fn a_record_states_its_lifetime_where_that_is_not_a_minute() {
        for (millis, stated) in [(60_000, None), (20_000, Some("20")), (1_001, Some("2")), (500, Some("1"))] {
            let at = |port| core::net::SocketAddr::from(([192, 0, 2, 1], port));
            let addresses = Addresses { overlay: at(1), signalling: at(2), media: at(3) };
            let config = Config {
                record_lifetime: Duration::from_millis(millis),
                ..Config::new("s", "tv.example", addresses)
            };
            let identity = Box::new(InsecureIdentity::new(NodeId([1; 16])));
            let mut node = Node::new(config, Box::new(Seeded::new(1)), identity).unwrap();
            let name = ChannelName::new("100").unwrap();
            let channel = node.channels.open(Channel::new(name.clone(), Vec::new(), Instant::ZERO)).unwrap();
            let record = Record { role: Role::Source, depth: 0, free: 1 };
            let resource = node.resource(&name);
            let encoded = node.encode_record(channel, (&name, &resource), record).unwrap();
            let contact = ProviderRecord::decode(&encoded).unwrap().sip_contact;
            let uri = SipUri::new(&contact).unwrap();
            assert_eq!(uri.params().get(LIFETIME_PARAM), stated);
        }
    }

    #[test]
    fn a_keyword_is_followed_once_and_a_name_that_somebody_offers_is_none() {
        let name = |text| ChannelName::new(text).unwrap();
        let found = |names: &[&str]| -> Vec<Found> {
            names
                .iter()
                .filter_map(|n| Some(read(&value(&alloc::format!("sip:1@192.0.2.1:5060;channel={n}")))?.0))
                .collect()
        };
        let mut open = Channel::new(name("news"), Vec::new(), Instant::ZERO);
        assert_eq!(own_name(&open, &found(&["100", "200"])), Some(name("100")));
        assert_eq!(own_name(&open, &found(&["100", "news"])), None);
        assert_eq!(own_name(&open, &found(&[])), None);
        // Two names that lead to each other would be followed for ever.
        open.keywords.push(name("100"));
        assert_eq!(own_name(&open, &found(&["100"])), None);
    }
}
