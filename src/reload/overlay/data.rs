//! Store, Fetch, Stat and Find (RFC 6940 §7.4) as a storing peer answers them, and whose values others' answers hold.

use super::exchange::{Answer, Refused, refuse};
use super::receive::Incoming;
use super::{Context, Overlay, Phase};
use crate::env::CryptoError;
use crate::ids::{NodeId, ResourceId};
use crate::reload::codec::body::{
    FetchAns, FetchKindResponse, FetchReq, FindAns, FindKindData, FindReq, StatAns, StatKindResponse,
    StoreAns, StoreKindData, StoreKindResponse, StoreReq,
};
use crate::reload::codec::{
    Body, ErrorCode, ErrorResponse, HashAlgorithm, KindId, MetaData, ProviderRecord, RawValues,
    SecurityBlock, Signature, StoredData, StoredMetaData, Structure as _, data_signature_input,
};
use crate::reload::grant;
use crate::reload::storage::{
    Access, AccessList, Arrival, Claim, Found, Granted, KindValues, Origin, Refusal, Slot, Stored,
};
use crate::reload::topology::Topology;
use crate::time::Instant;
use crate::wire::EncodeError;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// The most seconds that a record of a channel with owners lives without being stored again. Whoever is not there any more
/// does not keep others out for longer.
const CHANNEL_LIFETIME: u32 = 300;

/// What became of the values of one Kind in an answer.
pub(super) struct Judged {
    pub(super) good: Vec<Arrival>,
    pub(super) discarded: usize,
    /// Where those of the others stand whose signers' certificates were not there.
    pub(super) unknown: Vec<Slot>,
}

/// What a Fetch or Stat finds for one Kind, with the generation counter.
type LookedUp = (KindId, u64, Vec<Found>);

impl<T: Topology> Overlay<T> {
    /// The values of a FetchAns whose signatures hold and whose signers may write there (FE-6). Synthetic values are
    /// neither these nor the others.
    pub(super) fn verified(
        &self,
        resource: &ResourceId,
        kind: KindId,
        values: &RawValues,
        certificates: &[Bytes],
        list: &AccessList,
        ctx: &Context<'_>,
    ) -> Option<Judged> {
        let definition = self.storage.kind(kind)?;
        let values = values.decode_values(definition.model).ok()?;
        let real: Vec<&StoredData> = values.iter().filter(|v| !v.signature.is_none()).collect();
        let may_write = |Arrival { slot, value, .. }: &Arrival| {
            let (signer, value) = (&*value.signer, value.value.as_ref());
            let claim = Claim { resource, kind, slot, value, signer, replaces: None, original: false };
            definition.access.allows(&claim, list)
        };
        let mut judged = Judged { good: Vec::new(), discarded: 0, unknown: Vec::new() };
        for data in real {
            match self.verify_value(resource, kind, data, certificates, ctx) {
                Ok(arrival) if may_write(&arrival) => judged.good.push(arrival),
                result => {
                    judged.discarded += 1;
                    if result == Err(CryptoError::UnknownSigner) {
                        judged.unknown.push(Slot::of(&data.value));
                    }
                }
            }
        }
        Some(judged)
    }

    /// The delegations that came along with a FetchAns, as far as their signatures hold (RFC 8076 §6.5).
    pub(super) fn delegations(
        &self,
        resource: &ResourceId,
        answer: &FetchAns,
        certificates: &[Bytes],
        ctx: &Context<'_>,
    ) -> AccessList {
        let mut list = AccessList::default();
        let kind = KindId::ACCESS_CONTROL_LIST;
        let response = answer.kind_responses.iter().find(|r| r.kind == kind);
        if let Some((definition, response)) = self.storage.kind(kind).zip(response) {
            let values = response.values.decode_values(definition.model).unwrap_or_default();
            for data in values.iter().filter(|v| !v.signature.is_none()) {
                if let Ok(Arrival { slot, value, .. }) =
                    self.verify_value(resource, kind, data, certificates, ctx)
                {
                    list.set(&slot, value.value.as_ref(), &value.signer, definition.access.names());
                }
            }
        }
        list
    }

    fn verify_value(
        &self,
        resource: &ResourceId,
        kind: KindId,
        data: &StoredData,
        certificates: &[Bytes],
        ctx: &Context<'_>,
    ) -> Result<Arrival, CryptoError> {
        let Signature { identity, signed } = &data.signature;
        let input = data_signature_input(resource, kind, data.storage_time, &data.value, identity)
            .map_err(|_| CryptoError::BadSignature)?;
        let at = self.time_of_day(self.now);
        self.turn.count_verification();
        let signer = ctx.crypto.verify(at, identity, certificates, &[&input], signed)?;
        if self.is_bad(&signer) {
            return Err(CryptoError::BadNode);
        }
        let mut arrival = Arrival::new(data, signer);
        if self.storage.kind(kind).is_some_and(|k| k.access == Access::ChannelGrant)
            && let Some(record) = &arrival.value.value
        {
            let record = ProviderRecord::decode(record).ok();
            let record = record.and_then(|record| Some((record.role, record.grant?)));
            let (role, grant) = record.ok_or(CryptoError::NotTrusted)?;
            let claim = grant::Claim { resource, node: arrival.value.signer.node_id, role };
            self.turn.count_verification();
            let owner = grant::verify(&grant, &claim, at, ctx.crypto).ok();
            let owner = owner.filter(|owner| !self.is_bad(owner)).ok_or(CryptoError::NotTrusted)?;
            let nodes = owner.node_ids.as_slice().into();
            arrival.value.granted = Some(Granted { owner: owner.key, nodes, epoch: grant.epoch });
            // It would be refused by whoever it is handed to.
            let left = grant.not_after.0.saturating_sub(at.0) / 1000;
            let most = u64::from(CHANNEL_LIFETIME).min(left);
            arrival.lifetime = arrival.lifetime.min(u32::try_from(most).unwrap_or(CHANNEL_LIFETIME));
        }
        Ok(arrival)
    }

    /// What a peer held that is newer than what is here takes its place (ST-16, ST-17).
    pub(super) fn on_adopted(
        &mut self,
        now: Instant,
        resource: &ResourceId,
        answer: FetchAns,
        certificates: &[Bytes],
        ctx: &mut Context<'_>,
    ) {
        let list = self.delegations(resource, &answer, certificates, ctx);
        let mut responses = answer.kind_responses;
        // By the delegations it is judged who may have written the rest.
        responses.sort_by_key(|r| r.kind != KindId::ACCESS_CONTROL_LIST);
        for FetchKindResponse { kind, generation, values } in responses {
            let verified = self.verified(resource, kind, &values, certificates, &list, ctx);
            let Some(Judged { good, .. }) = verified else { continue };
            let generation = generation.max(self.storage.generation(resource, kind)).max(1);
            // One by one, so that a single older value does not keep the newer ones out.
            for arrival in good {
                let values = vec![KindValues { kind, generation, values: vec![arrival] }];
                let _ = self.storage.store(now, resource, Origin::Replica, values);
            }
        }
    }

    /// Drops the values under a Resource-ID whose signatures hold no longer, since a certificate has expired or is no longer
    /// trusted: no reader takes them, and one of them makes another peer refuse all that come with it (RFC 6940 §7.1).
    pub(super) fn drop_what_expired(&mut self, now: Instant, resource: &ResourceId, ctx: &Context<'_>) {
        let Some((_, groups)) = self.storage.hand_over(now, resource) else { return };
        for KindValues { kind, values, .. } in groups {
            for value in values {
                let certificates = value.value.signer.certificate.as_slice();
                if self.verify_value(resource, kind, &value.to_wire(), certificates, ctx).is_err() {
                    self.storage.discard(resource, kind, &value.slot);
                }
            }
        }
    }

    /// Answers a Store.
    pub(super) fn on_store(
        &mut self,
        now: Instant,
        request: &Incoming,
        store: &StoreReq,
        security: &SecurityBlock,
        ctx: &mut Context<'_>,
    ) {
        let original = store.replica_number == 0;
        let outcome = self.admit_store(now, request, store, security, ctx);
        if !original && outcome.is_ok() {
            self.note_owner(&store.resource, request.signer);
        }
        let changed = outcome.as_ref().is_ok_and(|s| s.changed);
        let replicas = if original { self.topology.replicas() } else { Vec::new() };
        let answer = outcome.map(|s| Body::StoreAns(store_ans(s.counters, &replicas)));
        self.answer(now, request, answer, ctx);
        self.keep_waiting_to_enter(now);
        let mine = store.resource.to_u128().is_some_and(|place| self.topology.is_responsible(place));
        if changed && mine {
            self.replicate_one(now, &store.resource, ctx);
        }
    }

    /// Every check of a StoreReq (§7.4.1.1), then the store itself: the counters, and whether anything changed.
    fn admit_store(
        &mut self,
        now: Instant,
        request: &Incoming,
        store: &StoreReq,
        security: &SecurityBlock,
        ctx: &Context<'_>,
    ) -> Result<Stored, Refused> {
        let error = |code| (code, Bytes::new());
        let place = store.resource.to_u128().ok_or(error(ErrorCode::INVALID_MESSAGE))?;
        let origin = if store.replica_number == 0 {
            if !self.topology.is_responsible(place) {
                return Err(error(ErrorCode::NOT_FOUND));
            }
            Origin::Original { sender: request.party.clone() }
        } else {
            if !self.accepts_handover(request.signer, place) {
                return Err(error(ErrorCode::FORBIDDEN));
            }
            Origin::Replica
        };
        self.check_kinds(store.kind_data.iter().map(|k| k.kind))?;
        let certificates = security.x509();
        let mut groups = Vec::new();
        for StoreKindData { kind, generation_counter, values } in &store.kind_data {
            let model = self.storage.kind(*kind).map(|k| k.model);
            let values = model.and_then(|m| values.decode_values(m).ok());
            let values = values.ok_or(error(ErrorCode::INVALID_MESSAGE))?;
            let mut arrivals = Vec::new();
            for data in &values {
                if data.signature.is_none() {
                    return Err(error(ErrorCode::FORBIDDEN));
                }
                let arrival = self.verify_value(&store.resource, *kind, data, &certificates, ctx);
                arrivals.push(arrival.map_err(|_| error(ErrorCode::FORBIDDEN))?);
            }
            groups.push(KindValues { kind: *kind, generation: *generation_counter, values: arrivals });
        }
        self.storage.store(now, &store.resource, origin, groups).map_err(refusal)
    }

    /// Whether a peer may hand values at a place to this node: as the Admitting Peer while this node joins, as the one
    /// who was responsible before, as the one whose replica this node is, or as one who leaves (CH-7, ST-12, CU10-15).
    fn accepts_handover(&self, from: NodeId, place: u128) -> bool {
        match &self.phase {
            Phase::Joining(join) => join.admitting == Some(from),
            Phase::Member | Phase::Leaving => {
                let topology = &self.topology;
                let left = self.connections.of(from).is_some_and(|c| c.left);
                left && topology.holds(place)
                    || topology.contains(from)
                        && (topology.is_responsible(place) || topology.accepts_replica(from, place))
            }
            Phase::Idle | Phase::Client => false,
        }
    }

    /// Error_Unknown_Kind with all Kinds that are not known here (MC-3).
    fn check_kinds(&self, kinds: impl Iterator<Item = KindId>) -> Result<(), Refused> {
        let unknown: Vec<KindId> = kinds.filter(|k| self.storage.kind(*k).is_none()).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let info = ErrorResponse::unknown_kinds(&unknown).map(|e| e.error_info).unwrap_or_default();
        Err((ErrorCode::UNKNOWN_KIND, info))
    }

    /// What a Fetch or Stat finds, by Kind.
    fn look_up(&mut self, now: Instant, asked: &FetchReq) -> Result<Vec<LookedUp>, Refused> {
        self.check_kinds(asked.specifiers.iter().map(|s| s.kind))?;
        let mut found = Vec::new();
        for specifier in &asked.specifiers {
            let model = self.storage.kind(specifier.kind).map(|k| k.model);
            let selection = model.and_then(|m| specifier.selection(m).ok());
            let selection = selection.ok_or((ErrorCode::INVALID_MESSAGE, Bytes::new()))?;
            let looked =
                self.storage.fetch(now, &asked.resource, specifier.kind, specifier.generation, &selection);
            let (generation, values) = looked.map_err(|refused| match refused {
                Refusal::DataTooLarge => (ErrorCode::RESPONSE_TOO_LARGE, Bytes::new()),
                other => refusal(other),
            })?;
            found.push((specifier.kind, generation, values));
        }
        Ok(found)
    }

    /// Answers a Fetch: one response for each Kind asked for (FE-4).
    pub(super) fn on_fetch(
        &mut self,
        now: Instant,
        request: &Incoming,
        asked: &FetchReq,
        ctx: &mut Context<'_>,
    ) {
        let mut certificates: Vec<Bytes> = Vec::new();
        let answer: Answer = self.look_up(now, asked).and_then(|found| {
            let mut kind_responses = Vec::new();
            for (kind, generation, values) in found {
                certificates.extend(values.iter().filter_map(Found::certificate).cloned());
                let values: Vec<StoredData> = values.iter().map(Found::to_wire).collect();
                let values = RawValues::encode_values(&values).map_err(|_| too_large())?;
                kind_responses.push(FetchKindResponse { kind, generation, values });
            }
            Ok(Body::FetchAns(FetchAns { kind_responses }))
        });
        self.answer_with(now, request, answer, &certificates, ctx);
    }

    /// Answers a Stat: the same without the values, but with their hashes (SA-1).
    pub(super) fn on_stat(
        &mut self,
        now: Instant,
        request: &Incoming,
        asked: &FetchReq,
        ctx: &mut Context<'_>,
    ) {
        let answer: Answer = self.look_up(now, asked).and_then(|found| {
            let mut kind_responses = Vec::new();
            for (kind, generation, values) in found {
                let values: Result<Vec<StoredMetaData>, EncodeError> = values.iter().map(metadata).collect();
                let values = values.and_then(|v| RawValues::encode_metadata(&v)).map_err(|_| too_large())?;
                kind_responses.push(StatKindResponse { kind, generation, values });
            }
            Ok(Body::StatAns(StatAns { kind_responses }))
        });
        self.answer(now, request, answer, ctx);
    }

    /// Answers a Find: for each Kind the first Resource-ID at or behind the one asked for at which this node is
    /// responsible for a value (FI-1 to FI-3).
    pub(super) fn on_find(
        &mut self,
        now: Instant,
        request: &Incoming,
        asked: &FindReq,
        ctx: &mut Context<'_>,
    ) {
        let place = asked.resource.to_u128();
        let mut kinds = asked.kinds.clone();
        kinds.sort_unstable();
        let twice = kinds.windows(2).any(|w| matches!(w, [a, b] if a == b));
        let answer = match place {
            None => refuse(ErrorCode::INVALID_MESSAGE),
            Some(_) if twice => refuse(ErrorCode::INVALID_MESSAGE),
            Some(place) if !self.topology.is_responsible(place) => refuse(ErrorCode::NOT_FOUND),
            Some(place) => {
                self.storage.expire(now);
                let findable = |k: &&KindId| self.storage.kind(**k).is_none_or(|k| k.findable);
                let results = asked.kinds.iter().filter(findable).map(|&kind| {
                    let places = self.storage.resources_with(kind).filter_map(ResourceId::to_u128);
                    let mine = places.filter(|&p| self.topology.is_responsible(p));
                    let closest = mine.min_by_key(|p| p.wrapping_sub(place)).unwrap_or(0);
                    FindKindData { kind, closest: ResourceId::from_u128(closest) }
                });
                Ok(Body::FindAns(FindAns { results: results.collect() }))
            }
        };
        self.answer(now, request, answer, ctx);
    }
}

fn store_ans(counters: Vec<(KindId, u64)>, replicas: &[NodeId]) -> StoreAns {
    let responses = counters.into_iter().map(|(kind, generation_counter)| StoreKindResponse {
        kind,
        generation_counter,
        replicas: replicas.to_vec(),
    });
    StoreAns { kind_responses: responses.collect() }
}

fn too_large() -> Refused {
    (ErrorCode::RESPONSE_TOO_LARGE, Bytes::new())
}

/// The error for a refusal of the store.
fn refusal(refusal: Refusal) -> Refused {
    match refusal {
        Refusal::Forbidden => (ErrorCode::FORBIDDEN, Bytes::new()),
        Refusal::DataTooOld => (ErrorCode::DATA_TOO_OLD, Bytes::new()),
        Refusal::DataTooLarge => (ErrorCode::DATA_TOO_LARGE, Bytes::new()),
        Refusal::Invalid => (ErrorCode::INVALID_MESSAGE, Bytes::new()),
        Refusal::GenerationCounterTooLow(counters) => {
            let current = store_ans(counters, &[]);
            let info = ErrorResponse::generation_counter_too_low(&current).map(|e| e.error_info);
            (ErrorCode::GENERATION_COUNTER_TOO_LOW, info.unwrap_or_default())
        }
    }
}

fn metadata(found: &Found) -> Result<StoredMetaData, EncodeError> {
    let data = found.to_wire();
    let value = data.value.value();
    let metadata = MetaData {
        exists: value.exists,
        value_length: u32::try_from(value.value.len()).unwrap_or(u32::MAX),
        hash_algorithm: HashAlgorithm::SHA256,
        hash_value: value.digest(HashAlgorithm::SHA256)?.unwrap_or_default(),
    };
    Ok(StoredMetaData {
        storage_time: data.storage_time,
        lifetime: data.lifetime,
        metadata: found.slot.arrange(metadata),
    })
}
