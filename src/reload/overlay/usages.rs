//! What a node stores about itself (RFC 6940 §8, §9): its certificate, by node and by user, and its TURN server; and how
//! it finds somebody else's.
//!
//! Whoever signs its own certificate takes its user name by storing it: the first one there has it, and a later one is told
//! ([`Fact::UserNameTaken`]) and not stored under that name (CE-10).
//!
//! A certificate that is there already keeps its index and gets a new time; a new one is appended, so that old and new
//! stand side by side while a certificate is renewed. Everything is stored again after half its lifetime.

use super::orders::{Reading, StoreOrder};
use super::{Context, Fact, Failure, OrderError, Overlay, Purpose, Query, Task, Ticket, Value, Write};
use crate::ids::ResourceId;
use crate::reload::codec::body::{FindReq, Selection};
use crate::reload::codec::{Body, Destination, KindId, Structure, TurnServer};
use crate::reload::storage::{Access, Slot, node_multiple};
use crate::reload::topology::Topology;
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};

/// Random places at which a TURN server is looked for.
const TRIES: u8 = 8;

/// What a node stores about itself when it is a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usages {
    /// How long at a time. `None`: nothing is stored.
    pub lifetime: Option<Duration>,
    /// The address of a TURN server that this node runs. It is stored unless it is one that others cannot reach (RFC 1918,
    /// loopback, link-local); a node that sits behind a NAT should not offer one.
    pub turn_server: Option<SocketAddr>,
    /// turn-density: how many places the TURN server is stored at, up to what its Kind allows; 0 for none.
    pub turn_density: u8,
    /// Before what could not be stored is tried again.
    pub retry: Duration,
}

impl Default for Usages {
    /// Certificates live for a day; there is no TURN server.
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3600);
        Usages { lifetime: Some(day), turn_server: None, turn_density: 1, retry: Duration::from_secs(60) }
    }
}

/// Where the search for a TURN server stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TurnSearch {
    ticket: Ticket,
    tries: u8,
    /// Where one should be; until then a Find is under way.
    at: Option<ResourceId>,
}

impl<T: Topology> Overlay<T> {
    /// Looks for a TURN server that some node offers (RFC 6940 §9): a Find at a random place, and another one while there
    /// is nothing. [`Fact::TurnServerFound`] follows.
    pub fn find_turn_server(
        &mut self,
        now: Instant,
        ticket: Ticket,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        if !self.is_joined() {
            return Err(OrderError::NotJoined);
        }
        if self.storage.kind(KindId::TURN_SERVICE).is_none() {
            return Err(OrderError::BadKind);
        }
        let now = self.tick(now);
        self.search_turn(now, TurnSearch { ticket, tries: 0, at: None }, ctx);
        self.work_off(now, ctx);
        Ok(())
    }

    fn search_turn(&mut self, now: Instant, mut search: TurnSearch, ctx: &mut Context<'_>) {
        let ticket = search.ticket;
        if search.tries >= TRIES {
            return ctx.effects.fact(Fact::TurnServerFound { ticket, result: Ok(None) });
        }
        search.tries += 1;
        search.at = None;
        let mut place = [0; 16];
        ctx.entropy.fill(&mut place);
        let resource = ResourceId::from_u128(u128::from_be_bytes(place));
        let find = FindReq { resource: resource.clone(), kinds: vec![KindId::TURN_SERVICE] };
        let list = vec![Destination::Resource(resource)];
        let sent = self.request(now, list, &Body::FindReq(find), Purpose::TurnSearch(search), ctx);
        if let Err(failure) = sent {
            ctx.effects.fact(Fact::TurnServerFound { ticket, result: Err(failure) });
        }
    }

    /// An answer for the search, or none: on to the value that was found, or to another place.
    pub(super) fn on_turn_search(
        &mut self,
        now: Instant,
        mut search: TurnSearch,
        result: Result<(Body, &[Bytes]), Failure>,
        ctx: &mut Context<'_>,
    ) {
        let ticket = search.ticket;
        let kind = KindId::TURN_SERVICE;
        match (&search.at, result) {
            (_, Err(Failure::Left)) => {
                ctx.effects.fact(Fact::TurnServerFound { ticket, result: Err(Failure::Left) });
            }
            (None, Ok((Body::FindAns(answer), _))) => {
                let found = answer.results.into_iter().find(|r| r.kind == kind);
                let Some(at) = found.map(|r| r.closest).filter(|id| id.to_u128().is_some_and(|n| n != 0))
                else {
                    return self.search_turn(now, search, ctx);
                };
                search.at = Some(at);
                self.send_fetch(now, Purpose::TurnSearch(search), ctx);
            }
            (Some(at), Ok((Body::FetchAns(answer), certificates))) => {
                let query = [Query::new(kind, Selection::Single)];
                let read = self.read_fetched(&at.clone(), &query, &answer, certificates, ctx);
                let values = read.map(|read| read.values).unwrap_or_default();
                let address = |v: &Value| TurnServer::decode(v.value.as_ref()?).ok();
                let server = values.iter().find_map(address);
                match server.and_then(|s| s.server_address.socket_addr()) {
                    Some(server) => {
                        ctx.effects.fact(Fact::TurnServerFound { ticket, result: Ok(Some(server)) });
                    }
                    None => self.search_turn(now, search, ctx),
                }
            }
            _ => self.search_turn(now, search, ctx),
        }
    }

    /// What the Fetch of a search asks for.
    pub(super) fn turn_query(search: &TurnSearch) -> Option<(ResourceId, Vec<Query>)> {
        let query = Query::new(KindId::TURN_SERVICE, Selection::Single);
        search.at.clone().map(|at| (at, vec![query]))
    }

    /// Stores everything about this node that is to be found in the overlay, and sets the time for the next time.
    pub(super) fn publish_itself(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let Some(lifetime) = self.config.usages.lifetime.filter(|_| self.is_joined()) else { return };
        if ctx.crypto.certificates().is_empty() && self.config.usages.turn_server.is_none() {
            return;
        }
        if self.wall_clock.is_none() {
            return self.publish_itself_later(now);
        }
        self.tasks.set(Task::Usages, Some(now + lifetime / 2));
        if !ctx.crypto.certificates().is_empty() {
            let by_node = ResourceId::of_name(&self.me.0);
            self.look_for_own_certificate(now, KindId::CERTIFICATE_BY_NODE, by_node, ctx);
            if let Some(user) = ctx.crypto.user() {
                let by_user = ResourceId::of_name(user.as_bytes());
                self.look_for_own_certificate(now, KindId::CERTIFICATE_BY_USER, by_user, ctx);
            }
        }
        self.publish_turn_server(now, lifetime, ctx);
    }

    /// Whether the certificate is there already decides where it goes.
    fn look_for_own_certificate(
        &mut self,
        now: Instant,
        kind: KindId,
        resource: ResourceId,
        ctx: &mut Context<'_>,
    ) {
        if self.storage.kind(kind).is_some() {
            self.send_fetch(now, Purpose::OwnCertificate { resource, kind }, ctx);
        }
    }

    pub(super) fn on_own_certificate(
        &mut self,
        now: Instant,
        resource: ResourceId,
        kind: KindId,
        result: Result<(Body, &[Bytes]), Failure>,
        ctx: &mut Context<'_>,
    ) {
        let query = [Query::new(kind, Selection::Array(Vec::new()))];
        let read = result.and_then(|(body, certificates)| match body {
            Body::FetchAns(answer) => self.read_fetched(&resource, &query, &answer, certificates, ctx),
            _ => Err(Failure::BadAnswer),
        });
        let lifetime = self.config.usages.lifetime;
        let (Ok(Reading { values, .. }), Some(lifetime)) = (read, lifetime) else {
            return self.publish_itself_later(now);
        };
        let Some(certificate) = ctx.crypto.certificates().first().cloned() else { return };
        let first = values.iter().find(|v| v.value.is_some());
        let taken_by = first.map(|v| v.signer.node_id).filter(|&node| node != self.me);
        if let Some(by) =
            taken_by.filter(|_| kind == KindId::CERTIFICATE_BY_USER && ctx.crypto.is_self_signed())
        {
            return ctx.effects.fact(Fact::UserNameTaken { by });
        }
        let there = values.into_iter().find(|v| v.value.as_ref() == Some(&certificate));
        let slot = there.map_or(Slot::APPEND, |v| v.slot);
        let write = Write { kind, slot, value: Some(certificate), lifetime };
        self.send_store(now, Box::new(StoreOrder::of_this_node(resource, write)), ctx);
    }

    fn publish_turn_server(&mut self, now: Instant, lifetime: Duration, ctx: &mut Context<'_>) {
        let Usages { turn_server, turn_density, .. } = self.config.usages;
        let kind = KindId::TURN_SERVICE;
        let access = self.storage.kind(kind).map(|k| &k.access);
        let (Some(address), Some(&Access::NodeMultiple { max })) = (turn_server, access) else { return };
        if !can_be_reached(address.ip()) {
            return;
        }
        for iteration in 1..=turn_density.min(max) {
            let server = TurnServer { iteration, server_address: address.into() };
            let Ok(value) = server.encode() else { return };
            let write = Write { kind, slot: Slot::Single, value: Some(value), lifetime };
            let resource = node_multiple(self.me, iteration);
            self.send_store(now, Box::new(StoreOrder::of_this_node(resource, write)), ctx);
        }
    }

    /// Something could not be stored.
    pub(super) fn publish_itself_later(&mut self, now: Instant) {
        self.tasks.hasten(Task::Usages, now + self.config.usages.retry);
    }
}

/// Whether strangers can reach an address, as far as it tells by itself.
fn can_be_reached(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            !ip.is_private() && !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified()
        }
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unspecified() && !ip.is_unicast_link_local(),
    }
}
