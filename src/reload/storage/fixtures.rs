//! What the tests of the store share: a small store of two strangers.

use super::access::Access;
use super::kind::Kind;
use super::limits::Limits;
use super::store::{KindValues, Origin, Refusal, Storage};
use super::value::{Arrival, Slot, StoredValue};
use crate::env::{Party, Signed, Signer};
use crate::ids::{KeyFingerprint, NodeId, ResourceId};
use crate::reload::codec::{DataModel, KindId, Signature};
use crate::time::{Instant, UnixMillis};
use alloc::sync::Arc;
use alloc::{vec, vec::Vec};
use bytes::Bytes;
use core::time::Duration;

pub(super) const A: NodeId = NodeId([0xaa; 16]);
pub(super) const B: NodeId = NodeId([0xbb; 16]);
pub(super) const C: NodeId = NodeId([0xcc; 16]);
pub(super) const SINGLE: KindId = KindId(0xf000_0001);
pub(super) const ARRAY: KindId = KindId(0xf000_0002);
pub(super) const LIMITS: Limits = Limits {
    resources: 4,
    values: 8,
    bytes: 4000,
    signer_values: 6,
    signer_bytes: 2000,
    group_bytes: 1000,
    answer: 100,
    epochs: 4,
    lifetime: Duration::from_secs(3600),
};

pub(super) fn storage() -> Storage {
    let of =
        |id, model| Kind { id, model, access: Access::NodeMatch, max_count: 4, max_size: 10, findable: true };
    let kinds = [of(SINGLE, DataModel::Single), of(ARRAY, DataModel::Array), Kind::CHANNEL];
    Storage::new(kinds, LIMITS)
}

pub(super) fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1000)
}

/// The Resource-ID at which A may write under NODE-MATCH.
pub(super) fn home() -> ResourceId {
    ResourceId::of_name(&A.0)
}

pub(super) fn party(node_id: NodeId) -> Arc<Party> {
    let key = KeyFingerprint::of(&node_id.0);
    Arc::new(Party { node_id, node_ids: vec![node_id], user: None, key, certificate: None })
}

pub(super) fn by_a() -> Origin {
    Origin::Original { sender: party(A) }
}

pub(super) fn value(signer: NodeId, storage_time: u64, bytes: &'static [u8]) -> StoredValue {
    StoredValue {
        storage_time: UnixMillis(storage_time),
        value: Some(Bytes::from_static(bytes)),
        signature: Signature {
            identity: Signer { identity_type: 2, value: Bytes::copy_from_slice(&signer.0) },
            signed: Signed { hash: 0, signature: 0, value: Bytes::from_static(bytes) },
        },
        signer: party(signer),
        granted: None,
    }
}

pub(super) fn arrival(slot: Slot, lifetime: u32, value: StoredValue) -> Arrival {
    Arrival { slot, lifetime, value }
}

/// The key under which a node's own value stands.
pub(super) fn own_slot(node: NodeId) -> Slot {
    Slot::Key(Bytes::copy_from_slice(&node.0))
}

pub(super) fn own(node: NodeId, storage_time: u64) -> Arrival {
    arrival(own_slot(node), 600, value(node, storage_time, b"x"))
}

pub(super) fn kind(kind: KindId, generation: u64, values: Vec<Arrival>) -> KindValues {
    KindValues { kind, generation, values }
}

pub(super) fn put(s: &mut Storage, kind_values: KindValues) -> Result<u64, Refusal> {
    s.store(at(0), &home(), by_a(), vec![kind_values]).map(|stored| stored.counters[0].1)
}

/// The same value under a certificate of so many bytes.
pub(super) fn certified(mut value: StoredValue, key: u8, bytes: usize) -> StoredValue {
    let certificate = Some(Bytes::from(vec![key; bytes]));
    value.signer = Arc::new(Party { certificate, ..Party::clone(&value.signer) });
    value
}
