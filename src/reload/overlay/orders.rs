//! Store, Fetch, Stat and Find (RFC 6940 §7.4) as this node's own orders, and what their answers say.

use super::certificates::{Home, Unproven};
use super::data::Judged;
use super::exchange::signed_by;
use super::{
    Address, Context, Description, Fact, Failure, OrderError, Overlay, Purpose, Query, Ticket, Value, Write,
};
use crate::env::Signer;
use crate::ids::ResourceId;
use crate::reload::codec::body::{
    FetchAns, FetchReq, FindKindData, FindReq, Selection, StatAns, StoreAns, StoreKindData,
    StoreKindResponse, StoreReq, StoredDataSpecifier,
};
use crate::reload::codec::{
    Body, DataModel, DataValue, Destination, ErrorCode, KindId, RawValues, Signature, StoredData,
    data_signature_input,
};
use crate::reload::storage::{Access, Arrival, Slot};
use crate::reload::topology::Topology;
use crate::time::{Duration, Instant, UnixMillis};
use crate::wire::EncodeError;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// A Store of this node's own, kept until it is answered: it may have to be signed once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoreOrder {
    /// `None` when this node stores of its own accord.
    ticket: Option<Ticket>,
    resource: ResourceId,
    writes: Vec<Write>,
    expected: Vec<(KindId, u64)>,
    /// What a value there was stored with: this Store's values are newer (ST-4).
    newer_than: Option<UnixMillis>,
}

impl StoreOrder {
    /// What a node stores about itself without being told to.
    pub(super) fn of_this_node(resource: ResourceId, write: Write) -> Self {
        StoreOrder { ticket: None, resource, writes: vec![write], expected: Vec::new(), newer_than: None }
    }

    /// Its Kinds, each once.
    fn kinds(&self) -> Vec<KindId> {
        let mut kinds: Vec<KindId> = Vec::new();
        for write in &self.writes {
            if !kinds.contains(&write.kind) {
                kinds.push(write.kind);
            }
        }
        kinds
    }
}

/// A Store whose values are being signed.
#[derive(Clone, Debug)]
pub(super) struct Unsealed {
    order: Box<StoreOrder>,
    /// Those of a Kind stand together.
    values: Vec<(KindId, StoredData)>,
    /// How many of them have their signatures.
    signed: usize,
}

impl Unsealed {
    pub(super) const fn ticket(&self) -> Option<Ticket> {
        self.order.ticket
    }

    /// What the signature of the next value covers.
    pub(super) fn signature_input(&self, identity: &Signer) -> Result<Bytes, EncodeError> {
        let Some((kind, data)) = self.values.get(self.signed) else { return Ok(Bytes::new()) };
        data_signature_input(&self.order.resource, *kind, data.storage_time, &data.value, identity)
    }

    pub(super) fn sign_next(&mut self, signature: Signature) {
        if let Some((_, data)) = self.values.get_mut(self.signed) {
            data.signature = signature;
            self.signed += 1;
        }
    }

    fn request(&self) -> Result<StoreReq, EncodeError> {
        let mut kind_data = Vec::new();
        for kind in self.order.kinds() {
            let of_kind = self.values.iter().filter(|(k, _)| *k == kind);
            let values: Vec<StoredData> = of_kind.map(|(_, data)| data.clone()).collect();
            let expected = self.order.expected.iter().find(|(k, _)| *k == kind);
            kind_data.push(StoreKindData {
                kind,
                generation_counter: expected.map_or(0, |(_, generation)| *generation),
                values: RawValues::encode_values(&values)?,
            });
        }
        Ok(StoreReq { resource: self.order.resource.clone(), replica_number: 0, kind_data })
    }
}

/// Orders.
impl<T: Topology> Overlay<T> {
    /// Stores a value at the responsible peer (RFC 6940 §7.4.1). [`Fact::Stored`] follows. It lives for `lifetime`, in
    /// whole seconds; who wants it to live longer stores it again.
    pub fn store(
        &mut self,
        now: Instant,
        ticket: Ticket,
        address: Address,
        value: Bytes,
        lifetime: Duration,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        let Address { resource, kind, slot } = address;
        self.store_all(
            now,
            ticket,
            resource,
            vec![Write { kind, slot, value: Some(value), lifetime }],
            &[],
            ctx,
        )
    }

    /// Removes a value: stores that it does not exist (RFC 6940 §7.4.1.3), for `lifetime`, which must be at least what
    /// the value has left. [`Fact::Stored`] follows.
    pub fn remove(
        &mut self,
        now: Instant,
        ticket: Ticket,
        address: Address,
        lifetime: Duration,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        let Address { resource, kind, slot } = address;
        self.store_all(now, ticket, resource, vec![Write { kind, slot, value: None, lifetime }], &[], ctx)
    }

    /// Stores values of any Kinds under one Resource-ID: all of them or none (ST-11). `expected` lists generation counters
    /// that must be the current ones (ST-8); a Kind that is not listed may have any. [`Fact::Stored`] follows.
    ///
    /// When a value there is newer than this node's clock (ST-4) it is fetched and the Store sent once more with a later
    /// time. When a counter is not the expected one, [`Fact::Fetched`] with the same ticket follows, with what is there
    /// instead (ST-18).
    pub fn store_all(
        &mut self,
        now: Instant,
        ticket: Ticket,
        resource: ResourceId,
        writes: Vec<Write>,
        expected: &[(KindId, u64)],
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        self.may_ask(writes.iter().map(|w| (w.kind, w.slot.model())))?;
        if self.wall_clock.is_none() {
            return Err(OrderError::NoWallClock);
        }
        let now = self.tick(now);
        let ticket = Some(ticket);
        let order = StoreOrder { ticket, resource, writes, expected: expected.to_vec(), newer_than: None };
        self.send_store(now, Box::new(order), ctx);
        self.work_off(now, ctx);
        Ok(())
    }

    /// Asks the responsible peer for all values of a Kind (RFC 6940 §7.4.2). [`Fact::Fetched`] follows.
    pub fn fetch(
        &mut self,
        now: Instant,
        ticket: Ticket,
        resource: ResourceId,
        kind: KindId,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        let everything = self.everything_of(kind).ok_or(OrderError::BadKind);
        self.may_ask(core::iter::empty())?;
        self.fetch_all(now, ticket, resource, vec![everything?], ctx)
    }

    /// Asks the responsible peer for values of any Kinds, each named once. [`Fact::Fetched`] follows.
    pub fn fetch_all(
        &mut self,
        now: Instant,
        ticket: Ticket,
        resource: ResourceId,
        queries: Vec<Query>,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        self.may_query(&queries)?;
        let now = self.tick(now);
        self.send_fetch(now, Purpose::Fetch { ticket, resource, queries }, ctx);
        self.work_off(now, ctx);
        Ok(())
    }

    /// Asks the responsible peer about values without fetching them (RFC 6940 §7.4.3). [`Fact::Described`] follows.
    pub fn stat(
        &mut self,
        now: Instant,
        ticket: Ticket,
        resource: ResourceId,
        queries: Vec<Query>,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        self.may_query(&queries)?;
        let now = self.tick(now);
        let kinds = queries.iter().map(|q| q.kind).collect();
        let purpose = Purpose::Stat { ticket, kinds };
        let sent = specifiers(&queries).and_then(|specifiers| {
            let body = Body::StatReq(FetchReq { resource: resource.clone(), specifiers });
            self.request(now, vec![Destination::Resource(resource)], &body, purpose, ctx)
        });
        if let Err(failure) = sent {
            ctx.effects.fact(Fact::Described { ticket, result: Err(failure), generations: Vec::new() });
        }
        self.work_off(now, ctx);
        Ok(())
    }

    /// Asks the peer that is responsible for a Resource-ID where the nearest values of these Kinds are, each named once
    /// (RFC 6940 §7.4.4). [`Fact::Found`] follows.
    pub fn find(
        &mut self,
        now: Instant,
        ticket: Ticket,
        resource: ResourceId,
        kinds: Vec<KindId>,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        self.may_ask(core::iter::empty())?;
        if has_twice(&kinds) {
            return Err(OrderError::BadKind);
        }
        let now = self.tick(now);
        let body = Body::FindReq(FindReq { resource: resource.clone(), kinds: kinds.clone() });
        let purpose = Purpose::Find { ticket, kinds };
        let sent = self.request(now, vec![Destination::Resource(resource)], &body, purpose, ctx);
        if let Err(failure) = sent {
            ctx.effects.fact(Fact::Found { ticket, result: Err(failure) });
        }
        self.work_off(now, ctx);
        Ok(())
    }

    /// Whether orders may be given, for Kinds that are known and have these data models.
    fn may_ask(&self, mut kinds: impl Iterator<Item = (KindId, DataModel)>) -> Result<(), OrderError> {
        if !self.takes_orders() {
            return Err(OrderError::NotJoined);
        }
        let fits = |(kind, model)| self.storage.kind(kind).is_some_and(|k| k.model == model);
        if kinds.all(fits) { Ok(()) } else { Err(OrderError::BadKind) }
    }

    fn may_query(&self, queries: &[Query]) -> Result<(), OrderError> {
        self.may_ask(queries.iter().map(|q| (q.kind, q.selection.model())))?;
        let kinds: Vec<KindId> = queries.iter().map(|q| q.kind).collect();
        if has_twice(&kinds) { Err(OrderError::BadKind) } else { Ok(()) }
    }

    pub(super) fn everything_of(&self, kind: KindId) -> Option<Query> {
        self.storage.kind(kind).map(|k| Query { kind, selection: k.everything(), known: 0 })
    }

    /// All values of the Kinds that an order stores.
    fn everything_in(&self, order: &StoreOrder) -> Vec<Query> {
        order.kinds().into_iter().filter_map(|kind| self.everything_of(kind)).collect()
    }
}

/// What is sent.
impl<T: Topology> Overlay<T> {
    pub(super) fn send_store(&mut self, now: Instant, order: Box<StoreOrder>, ctx: &mut Context<'_>) {
        let mut values = Vec::new();
        for kind in order.kinds() {
            for write in order.writes.iter().filter(|w| w.kind == kind) {
                values.push((kind, self.unsigned_value(now, &order, write)));
            }
        }
        self.go_on_with_store(now, Unsealed { order, values, signed: 0 }, ctx);
    }

    /// Signs the values of a Store, or has them signed one after the other, and sends it.
    pub(super) fn go_on_with_store(&mut self, now: Instant, mut store: Unsealed, ctx: &mut Context<'_>) {
        let ticket = store.ticket();
        while store.signed < store.values.len() {
            if self.config.deferred_signing {
                return self.have_value_signed(now, store, ctx);
            }
            let identity = ctx.crypto.signer();
            match store.signature_input(&identity) {
                Ok(input) => store.sign_next(signed_by(identity, ctx.crypto.sign(&[&input]))),
                Err(_) => return self.tell_stored(now, ticket, Err(Failure::TooLarge), ctx),
            }
        }
        let sent = store.request().map_err(|_| Failure::TooLarge).and_then(|request| {
            let list = vec![Destination::Resource(store.order.resource.clone())];
            self.request(now, list, &Body::StoreReq(request), Purpose::Store(store.order), ctx)
        });
        if let Err(failure) = sent {
            self.tell_stored(now, ticket, Err(failure), ctx);
        }
    }

    pub(super) fn tell_stored(
        &mut self,
        now: Instant,
        ticket: Option<Ticket>,
        result: Result<Vec<StoreKindResponse>, Failure>,
        ctx: &mut Context<'_>,
    ) {
        match ticket {
            Some(ticket) => ctx.effects.fact(Fact::Stored { ticket, result }),
            None if result.is_err() => self.publish_itself_later(now),
            None => {}
        }
    }

    fn unsigned_value(&mut self, now: Instant, order: &StoreOrder, write: &Write) -> StoredData {
        let later = order.newer_than.map_or(0, |UnixMillis(n)| n.saturating_add(1));
        let storage_time = self.next_storage_time(now).max(UnixMillis(later));
        let value = write.value.clone().map_or_else(DataValue::nonexistent, DataValue::existing);
        StoredData {
            storage_time,
            // In whole seconds (RFC 6940 §7); less than one is not none.
            lifetime: u32::try_from(write.lifetime.as_millis().div_ceil(1000)).unwrap_or(u32::MAX),
            value: write.slot.arrange(value),
            signature: Signature::none(),
        }
    }

    /// The time of day, later than every storage_time given out before (ST-2).
    fn next_storage_time(&mut self, now: Instant) -> UnixMillis {
        let time = self.time_of_day(now).max(UnixMillis(self.last_storage_time.0.saturating_add(1)));
        self.last_storage_time = time;
        time
    }

    /// The time of day as the host told it, moved on by the monotonic clock; zero before the host told any.
    pub fn time_of_day(&self, now: Instant) -> UnixMillis {
        self.wall_clock.map_or(UnixMillis(0), |(at, wall)| wall + now.since(at))
    }

    /// Sends the Fetch for a purpose that needs one, with the delegations when values could be there by delegation.
    pub(super) fn send_fetch(&mut self, now: Instant, purpose: Purpose, ctx: &mut Context<'_>) {
        let (resource, mut queries) = match &purpose {
            Purpose::Fetch { resource, queries, .. } => (resource.clone(), queries.clone()),
            Purpose::Overtake(order) => (order.resource.clone(), self.everything_in(order)),
            Purpose::OwnCertificate { resource, kind } => {
                (resource.clone(), self.everything_of(*kind).into_iter().collect())
            }
            Purpose::TurnSearch(search) => match Self::turn_query(search) {
                Some(query) => query,
                None => return,
            },
            _ => return,
        };
        let list = KindId::ACCESS_CONTROL_LIST;
        let delegated = |q: &Query| {
            let access = self.storage.kind(q.kind).map(|k| &k.access);
            matches!(access, Some(Access::UserChainAcl { .. }))
        };
        if queries.iter().any(delegated) && queries.iter().all(|q| q.kind != list) {
            queries.extend(self.everything_of(list));
        }
        let sent = specifiers(&queries).and_then(|specifiers| {
            let body = Body::FetchReq(FetchReq { resource: resource.clone(), specifiers });
            self.request(now, vec![Destination::Resource(resource)], &body, purpose.clone(), ctx)
        });
        if let Err(failure) = sent {
            self.on_order(now, purpose, Err(failure), ctx);
        }
    }
}

/// What is answered.
impl<T: Topology> Overlay<T> {
    /// One of this node's orders is answered, or failed. `Ok` brings the body and the certificates of the answer.
    pub(super) fn on_order(
        &mut self,
        now: Instant,
        purpose: Purpose,
        result: Result<(Body, &[Bytes]), Failure>,
        ctx: &mut Context<'_>,
    ) {
        match purpose {
            Purpose::Store(order) => self.on_stored(now, order, result.map(|(body, _)| body), ctx),
            Purpose::Overtake(order) => self.on_overtaken(now, order, result, ctx),
            Purpose::OwnCertificate { resource, kind } => {
                self.on_own_certificate(now, resource, kind, result, ctx);
            }
            Purpose::TurnSearch(search) => self.on_turn_search(now, search, result, ctx),
            Purpose::Fetch { ticket, resource, queries } => {
                self.on_fetched(now, ticket, resource, queries, result, ctx);
            }
            Purpose::Certificates(unproven) => self.on_certificates(now, unproven, result, ctx),
            Purpose::Stat { ticket, kinds } => {
                let read = result.and_then(|(body, _)| match body {
                    Body::StatAns(answer) => self.read_described(&kinds, &answer),
                    _ => Err(Failure::BadAnswer),
                });
                let (result, generations) = match read {
                    Ok((values, generations)) => (Ok(values), generations),
                    Err(failure) => (Err(failure), Vec::new()),
                };
                ctx.effects.fact(Fact::Described { ticket, result, generations });
            }
            Purpose::Find { ticket, kinds } => {
                let result = result.and_then(|(body, _)| match body {
                    Body::FindAns(answer) => Ok(answer.results),
                    _ => Err(Failure::BadAnswer),
                });
                let asked = |results: Vec<_>| {
                    let results = results.into_iter().filter(|r: &FindKindData| kinds.contains(&r.kind));
                    results.map(|r| (r.kind, Some(r.closest).filter(|id| !is_zero(id)))).collect()
                };
                ctx.effects.fact(Fact::Found { ticket, result: result.map(asked) });
            }
            _ => {}
        }
    }

    fn on_fetched(
        &mut self,
        now: Instant,
        ticket: Ticket,
        resource: ResourceId,
        queries: Vec<Query>,
        result: Result<(Body, &[Bytes]), Failure>,
        ctx: &mut Context<'_>,
    ) {
        let read = match result {
            Ok((Body::FetchAns(answer), certificates)) => {
                match self.read_fetched(&resource, &queries, &answer, certificates, ctx) {
                    Ok(Reading { homes, .. }) if !homes.is_empty() => {
                        let certificates = certificates.to_vec();
                        let unproven = Unproven { ticket, resource, queries, answer, certificates, homes };
                        return self.prove(now, Box::new(unproven), ctx);
                    }
                    read => read,
                }
            }
            Ok(_) => Err(Failure::BadAnswer),
            Err(failure) => Err(failure),
        };
        ctx.effects.fact(fetched(ticket, read));
    }

    fn on_stored(
        &mut self,
        now: Instant,
        order: Box<StoreOrder>,
        result: Result<Body, Failure>,
        ctx: &mut Context<'_>,
    ) {
        let ticket = order.ticket;
        let too_old = Err(Failure::Refused(ErrorCode::DATA_TOO_OLD));
        if result == too_old && order.newer_than.is_none() {
            return self.send_fetch(now, Purpose::Overtake(order), ctx);
        }
        let result = result.and_then(|body| match body {
            Body::StoreAns(StoreAns { kind_responses }) if covers(&order, &kind_responses) => {
                Ok(kind_responses)
            }
            _ => Err(Failure::BadAnswer),
        });
        let counter_too_low = result == Err(Failure::Refused(ErrorCode::GENERATION_COUNTER_TOO_LOW));
        self.tell_stored(now, ticket, result, ctx);
        if let Some(ticket) = ticket.filter(|_| counter_too_low) {
            let queries = self.everything_in(&order);
            self.send_fetch(now, Purpose::Fetch { ticket, resource: order.resource, queries }, ctx);
        }
    }

    /// What is newer than this node's clock is known now: once more, with a later time (ST-4).
    fn on_overtaken(
        &mut self,
        now: Instant,
        mut order: Box<StoreOrder>,
        result: Result<(Body, &[Bytes]), Failure>,
        ctx: &mut Context<'_>,
    ) {
        let queries = self.everything_in(&order);
        let read = result.and_then(|(body, certificates)| match body {
            Body::FetchAns(answer) => {
                self.read_fetched(&order.resource, &queries, &answer, certificates, ctx)
            }
            _ => Err(Failure::BadAnswer),
        });
        let written = |v: &&Value| order.writes.iter().any(|w| w.kind == v.kind && w.slot == v.slot);
        let newest = match &read {
            Ok(read) => read.values.iter().filter(written).map(|v| v.storage_time).max(),
            Err(_) => None,
        };
        match (newest, read) {
            (Some(newest), _) => {
                order.newer_than = Some(newest);
                self.send_store(now, order, ctx);
            }
            (None, Err(Failure::Left)) => self.tell_stored(now, order.ticket, Err(Failure::Left), ctx),
            (None, _) => {
                let result = Err(Failure::Refused(ErrorCode::DATA_TOO_OLD));
                self.tell_stored(now, order.ticket, result, ctx);
            }
        }
    }

    /// What the answer to a Fetch says, as far as its signatures hold.
    pub(super) fn read_fetched(
        &mut self,
        resource: &ResourceId,
        queries: &[Query],
        answer: &FetchAns,
        certificates: &[Bytes],
        ctx: &Context<'_>,
    ) -> Result<Reading, Failure> {
        let list = self.delegations(resource, answer, certificates, ctx);
        let mut read = Reading::default();
        for Query { kind, .. } in queries {
            let response = answer.kind_responses.iter().find(|r| r.kind == *kind);
            let response = response.ok_or(Failure::BadAnswer)?;
            let Judged { good, discarded, unknown } = self
                .verified(resource, *kind, &response.values, certificates, &list, ctx)
                .ok_or(Failure::BadAnswer)?;
            read.generations.push((*kind, response.generation));
            read.discarded += discarded;
            let access = self.storage.kind(*kind).map(|k| &k.access);
            for home in unknown.iter().filter_map(|slot| Home::of_writer(access?, resource, slot)) {
                if read.homes.len() < self.config.limits.certificates && !read.homes.contains(&home) {
                    read.homes.push(home);
                }
            }
            for Arrival { slot, lifetime, value } in good {
                // What is remembered keeps no part of the answer.
                let at = Address { resource: resource.clone(), kind: *kind, slot: slot.detached() };
                read.values.push(Value {
                    rolled_back: self.seen.is_older(&at, value.storage_time),
                    kind: *kind,
                    slot: at.slot,
                    signer: value.signer,
                    storage_time: value.storage_time,
                    lifetime: Duration::from_secs(lifetime.into()),
                    value: value.value,
                });
            }
        }
        Ok(read)
    }

    #[expect(clippy::type_complexity, reason = "the two parts of one fact")]
    fn read_described(
        &self,
        kinds: &[KindId],
        answer: &StatAns,
    ) -> Result<(Vec<Description>, Vec<(KindId, u64)>), Failure> {
        let (mut values, mut generations) = (Vec::new(), Vec::new());
        for kind in kinds {
            let response = answer.kind_responses.iter().find(|r| r.kind == *kind);
            let response = response.ok_or(Failure::BadAnswer)?;
            let model = self.storage.kind(*kind).map(|k| k.model).ok_or(Failure::BadAnswer)?;
            let metadata = response.values.decode_metadata(model).map_err(|_| Failure::BadAnswer)?;
            generations.push((*kind, response.generation));
            values.extend(metadata.into_iter().map(|m| Description {
                kind: *kind,
                slot: Slot::of(&m.metadata),
                storage_time: m.storage_time,
                lifetime: Duration::from_secs(m.lifetime.into()),
                metadata: m.metadata.value().clone(),
            }));
        }
        Ok((values, generations))
    }
}

/// What the answer to a Fetch says.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) values: Vec<Value>,
    generations: Vec<(KindId, u64)>,
    /// Values that were thrown away.
    discarded: usize,
    /// Where the certificates should be that some of these need.
    homes: Vec<Home>,
}

pub(super) fn fetched(ticket: Ticket, read: Result<Reading, Failure>) -> Fact {
    match read {
        Ok(Reading { values, generations, discarded, .. }) => {
            Fact::Fetched { ticket, result: Ok(values), generations, discarded }
        }
        Err(failure) => Fact::Fetched { ticket, result: Err(failure), generations: Vec::new(), discarded: 0 },
    }
}

/// Whether an answer tells of every Kind that was stored.
fn covers(order: &StoreOrder, responses: &[StoreKindResponse]) -> bool {
    order.writes.iter().all(|w| responses.iter().any(|r| r.kind == w.kind))
}

pub(super) fn specifiers(queries: &[Query]) -> Result<Vec<StoredDataSpecifier>, Failure> {
    let specifier = |q: &Query| {
        let specifier = StoredDataSpecifier::new(q.kind, &q.selection)?;
        Ok::<_, EncodeError>(StoredDataSpecifier { generation: q.known, ..specifier })
    };
    queries.iter().map(specifier).collect::<Result<_, _>>().map_err(|_| Failure::TooLarge)
}

fn has_twice(kinds: &[KindId]) -> bool {
    kinds.iter().enumerate().any(|(i, kind)| kinds.iter().take(i).any(|k| k == kind))
}

/// No Resource-ID: nothing, one zero or a whole Resource-ID of zeros, since the RFC only says "0".
fn is_zero(resource: &ResourceId) -> bool {
    resource.as_bytes().iter().all(|b| *b == 0)
}

impl Query {
    /// Asks for these values, whatever the generation counter.
    pub const fn new(kind: KindId, selection: Selection) -> Self {
        Query { kind, selection, known: 0 }
    }
}
