//! What stands under one Resource-ID, and how much of an answer it takes.

use super::few::Few;
use super::value::{Slot, StoredValue};
use crate::ids::NodeId;
use crate::reload::codec::{KindId, Signature};
use crate::time::Instant;
use alloc::vec::Vec;
use bytes::Bytes;

/// A value, until when it lives, and what it costs.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) value: StoredValue,
    pub(super) until: Instant,
    pub(super) bytes: usize,
}

/// The values of one Kind under one Resource-ID.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) generation: u64,
    pub(super) entries: Few<Slot, Entry>,
}

impl Group {
    /// The highest index of an array.
    pub(super) fn last_index(&self) -> Option<u32> {
        self.entries.keys().next_back().and_then(Slot::index)
    }
}

/// Everything under one Resource-ID.
#[derive(Clone, Debug, Default)]
pub(super) struct Resource {
    pub(super) groups: Few<KindId, Group>,
    /// Changes whenever a value does.
    pub(super) version: u64,
    /// Nodes that hold the present version as replicas.
    pub(super) placed: Vec<NodeId>,
}

/// Bytes on the wire of values of one Kind, each certificate counted once.
pub(super) fn wire_size<'a>(values: impl Iterator<Item = (&'a Slot, &'a Entry)>) -> usize {
    /// Type and length around a certificate in a SecurityBlock.
    const GENERIC_CERTIFICATE: usize = 3;
    let mut certificates: Vec<&Bytes> = Vec::new();
    let mut bytes = 0;
    for (slot, entry) in values {
        bytes += stored_data_size(slot, &entry.value);
        if let Some(der) = entry.value.signer.certificate.as_ref().filter(|der| !certificates.contains(der)) {
            bytes += GENERIC_CERTIFICATE + der.len();
            certificates.push(der);
        }
    }
    bytes
}

/// Bytes of a StoredData.
fn stored_data_size(slot: &Slot, value: &StoredValue) -> usize {
    const STORED_DATA: usize = 4 + 8 + 4;
    const DATA_VALUE: usize = 1 + 4;
    const SIGNATURE: usize = 2 + 1 + 2 + 2;
    let place = match slot {
        Slot::Single => 0,
        Slot::Index(_) => 4,
        Slot::Key(key) => 2 + key.len(),
    };
    let Signature { identity, signed } = &value.signature;
    let opaque = value.value.as_ref().map_or(0, |v| v.len()) + identity.value.len() + signed.value.len();
    STORED_DATA + DATA_VALUE + SIGNATURE + place + opaque
}
