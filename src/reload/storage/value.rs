//! One stored value and its slot, and how both stand on the wire.

use crate::env::Party;
use crate::ids::{KeyFingerprint, NodeId};
use crate::reload::codec::{Arranged, DataModel, DataValue, Signature, StoredData, StoredDataValue};
use crate::time::UnixMillis;
use alloc::sync::Arc;
use bytes::Bytes;

/// Where a value stands within a Resource-ID and Kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The only value (data model single, RFC 6940 §7.2.1).
    Single,
    /// An index (array, §7.2.2). [`Slot::APPEND`] appends.
    Index(u32),
    /// A key (dictionary, §7.2.3).
    Key(Bytes),
}

impl Slot {
    /// The index that appends (DM-2).
    pub const APPEND: Slot = Slot::Index(u32::MAX);

    /// The data model that has such slots.
    pub const fn model(&self) -> DataModel {
        match self {
            Slot::Single => DataModel::Single,
            Slot::Index(_) => DataModel::Array,
            Slot::Key(_) => DataModel::Dictionary,
        }
    }

    /// The index in an array.
    pub(super) const fn index(&self) -> Option<u32> {
        match self {
            Slot::Index(index) => Some(*index),
            _ => None,
        }
    }

    /// The same in a buffer of its own, which keeps no datagram.
    #[must_use]
    pub fn detached(&self) -> Self {
        match self {
            Slot::Key(key) => Slot::Key(Bytes::copy_from_slice(key)),
            other => other.clone(),
        }
    }

    /// Something in this slot.
    pub fn arrange<T>(&self, value: T) -> Arranged<T> {
        match self {
            Slot::Single => Arranged::Single(value),
            Slot::Index(index) => Arranged::Array { index: *index, value },
            Slot::Key(key) => Arranged::Dictionary { key: key.clone(), value },
        }
    }

    /// The slot of something.
    pub fn of<T>(arranged: &Arranged<T>) -> Self {
        match arranged {
            Arranged::Single(_) => Slot::Single,
            Arranged::Array { index, .. } => Slot::Index(*index),
            Arranged::Dictionary { key, .. } => Slot::Key(key.clone()),
        }
    }
}

/// A value as its writer signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredValue {
    /// When the writer stored it, by the writer's clock.
    pub storage_time: UnixMillis,
    /// The bytes; `None` when the writer has removed the value.
    pub value: Option<Bytes>,
    /// The writer's signature.
    pub signature: Signature,
    /// Whose signature it is, with the certificate that proves it.
    pub signer: Arc<Party>,
    /// Of a channel's record: by whose grant it stands here.
    pub granted: Option<Granted>,
}

/// By whose grant a channel's record stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The owner's key.
    pub owner: KeyFingerprint,
    /// The Node-IDs in the owner's certificate.
    pub nodes: Arc<[NodeId]>,
    /// The epoch of the channel: what was granted in an earlier one counts no longer.
    pub epoch: u32,
}

impl StoredValue {
    /// Whether this is the other one byte for byte, whichever certificate came along with it.
    pub fn is_same(&self, other: &StoredValue) -> bool {
        self.storage_time == other.storage_time
            && self.value == other.value
            && self.signature == other.signature
    }

    /// The value at its place, as the signature covers it.
    pub fn arranged(&self, slot: &Slot) -> StoredDataValue {
        slot.arrange(self.value.clone().map_or_else(DataValue::nonexistent, DataValue::existing))
    }
}

/// A value that shall be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Where.
    pub slot: Slot,
    /// For how long from now, in seconds.
    pub lifetime: u32,
    /// What.
    pub value: StoredValue,
}

impl Arrival {
    /// What stood on the wire, and whose signature it proved to be.
    pub fn new(data: &StoredData, signer: Arc<Party>) -> Self {
        let DataValue { exists, value } = data.value.value();
        Arrival {
            slot: Slot::of(&data.value),
            lifetime: data.lifetime,
            value: StoredValue {
                storage_time: data.storage_time,
                value: exists.then(|| value.clone()),
                signature: data.signature.clone(),
                signer,
                granted: None,
            },
        }
    }

    /// How it stands on the wire.
    pub fn to_wire(&self) -> StoredData {
        StoredData {
            storage_time: self.value.storage_time,
            lifetime: self.lifetime,
            value: self.value.arranged(&self.slot),
            signature: self.value.signature.clone(),
        }
    }
}

/// One answer to a Fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it stands.
    pub slot: Slot,
    /// The value and the seconds that it will live on; `None` is a synthetic value: nothing is known here (DM-5).
    pub value: Option<(StoredValue, u32)>,
}

impl Found {
    /// The certificate that its signature needs (DER); without one nobody signed, or everybody knows the signer.
    pub fn certificate(&self) -> Option<&Bytes> {
        self.value.as_ref()?.0.signer.certificate.as_ref()
    }

    /// How it stands on the wire. Nobody signs what is not there.
    pub fn to_wire(&self) -> StoredData {
        match &self.value {
            Some((value, lifetime)) => {
                Arrival { slot: self.slot.clone(), lifetime: *lifetime, value: value.clone() }.to_wire()
            }
            None => StoredData {
                storage_time: UnixMillis(0),
                lifetime: 0,
                value: self.slot.arrange(DataValue::nonexistent()),
                signature: Signature::none(),
            },
        }
    }
}
