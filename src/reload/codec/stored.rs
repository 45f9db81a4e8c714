//! Stored data (RFC 6940 §7) and its metadata (§7.4.3).
//!
//! ```text
//! StoredData      u32 length | u64 storage_time | u32 lifetime | StoredDataValue | Signature
//! StoredMetaData  u32 length | u64 storage_time | u32 lifetime | MetaDataValue
//!
//! in the data model    a value is
//!   single               value
//!   array                u32 index | value
//!   dictionary           opaque key<0..2^16-1> | value
//!
//! DataValue       Boolean exists | opaque value<0..2^32-1>
//! MetaData        Boolean exists | u32 value_length | u8 hash_algorithm | opaque hash_value<0..255>
//! ```
//!
//! The data model is not on the wire. [`RawValues`] holds values of a Kind that may be unknown.

use super::{HashAlgorithm, Signature, Structure, read_bool, write_bool};
use crate::ids::{KeyFingerprint, sha1};
use crate::time::UnixMillis;
use crate::wire::{DecodeError, EncodeError, Reader, Writer};
use alloc::vec::Vec;
use bytes::Bytes;

/// How the values of a Kind are arranged (RFC 6940 §7.2). It is not on the wire: one has to know the Kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataModel {
    /// One value.
    Single,
    /// Values by index.
    Array,
    /// Values by key.
    Dictionary,
}

/// Something at its place in a data model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Arranged<T> {
    /// The only one.
    Single(T),
    /// ArrayEntry, ArrayEntryMeta.
    Array {
        /// From 0; in a Store 0xffffffff appends (DM-2).
        index: u32,
        /// What stands there.
        value: T,
    },
    /// DictionaryEntry, DictionaryEntryMeta.
    Dictionary {
        /// The key.
        key: Bytes,
        /// What stands there.
        value: T,
    },
}

/// A value at its place.
pub type StoredDataValue = Arranged<DataValue>;
/// Metadata at its place.
pub type MetaDataValue = Arranged<MetaData>;

impl<T> Arranged<T> {
    /// The data model that this fits into.
    pub const fn model(&self) -> DataModel {
        match self {
            Arranged::Single(_) => DataModel::Single,
            Arranged::Array { .. } => DataModel::Array,
            Arranged::Dictionary { .. } => DataModel::Dictionary,
        }
    }

    /// What stands there.
    pub const fn value(&self) -> &T {
        match self {
            Arranged::Single(value) | Arranged::Array { value, .. } | Arranged::Dictionary { value, .. } => {
                value
            }
        }
    }
}

impl<T: Structure> Arranged<T> {
    /// Reads one in this data model.
    pub fn read(model: DataModel, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match model {
            DataModel::Single => Arranged::Single(T::read(r)?),
            DataModel::Array => Arranged::Array { index: r.u32("index")?, value: T::read(r)? },
            DataModel::Dictionary => Arranged::Dictionary { key: r.sub16("key")?.rest(), value: T::read(r)? },
        })
    }

    /// Appends it.
    pub fn write(&self, w: &mut Writer) {
        match self {
            Arranged::Single(_) => (),
            Arranged::Array { index, .. } => w.u32(*index),
            Arranged::Dictionary { key, .. } => w.sub16("key", |w| w.raw(key)),
        }
        self.value().write(w);
    }
}

/// A value, or the fact that there is none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DataValue {
    /// False when its writer removed it, or when it fills a gap.
    pub exists: bool,
    /// The value; empty when it does not exist.
    pub value: Bytes,
}

impl DataValue {
    /// A value that exists.
    pub const fn existing(value: Bytes) -> Self {
        DataValue { exists: true, value }
    }

    /// A value that does not exist (§7.4.1.3).
    pub const fn nonexistent() -> Self {
        DataValue { exists: false, value: Bytes::new() }
    }

    /// The hash that metadata tell of this value (SA-1); `None` for algorithms that are not known here.
    pub fn digest(&self, algorithm: HashAlgorithm) -> Result<Option<Bytes>, EncodeError> {
        let input = self.hash_input()?;
        Ok(match algorithm {
            HashAlgorithm::SHA1 => Some(Bytes::copy_from_slice(&sha1(&input))),
            HashAlgorithm::SHA256 => Some(Bytes::copy_from_slice(&KeyFingerprint::of(&input).0)),
            _ => None,
        })
    }

    /// What the hash in metadata covers: the value with its four length bytes in front (SA-1).
    pub fn hash_input(&self) -> Result<Bytes, EncodeError> {
        let mut w = Writer::new();
        w.sub32("value", |w| w.raw(&self.value));
        w.finish()
    }
}

impl Structure for DataValue {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(DataValue { exists: read_bool(r, "exists")?, value: r.sub32("value")?.rest() })
    }

    fn write(&self, w: &mut Writer) {
        write_bool(w, self.exists);
        w.sub32("value", |w| w.raw(&self.value));
    }
}

/// What a Stat tells about a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MetaData {
    /// Whether the value exists.
    pub exists: bool,
    /// Bytes of the value.
    pub value_length: u32,
    /// The answering peer's choice (SA-2).
    pub hash_algorithm: HashAlgorithm,
    /// The hash of [`DataValue::hash_input`].
    pub hash_value: Bytes,
}

impl MetaData {
    /// Whether these are the metadata of a value (SA-2); `None` when the hash algorithm is not known here.
    pub fn describes(&self, value: &DataValue) -> Option<bool> {
        let digest = value.digest(self.hash_algorithm).ok()??;
        let length = usize::try_from(self.value_length) == Ok(value.value.len());
        Some(self.exists == value.exists && length && self.hash_value == digest)
    }
}

impl Structure for MetaData {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(MetaData {
            exists: read_bool(r, "exists")?,
            value_length: r.u32("value_length")?,
            hash_algorithm: HashAlgorithm::read(r)?,
            hash_value: r.sub8("hash_value")?.rest(),
        })
    }

    fn write(&self, w: &mut Writer) {
        write_bool(w, self.exists);
        w.u32(self.value_length);
        self.hash_algorithm.write(w);
        w.sub8("hash_value", |w| w.raw(&self.hash_value));
    }
}

/// A stored value with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredData {
    /// When its writer stored it, by the writer's clock.
    pub storage_time: UnixMillis,
    /// Seconds that it lives on from the moment it is received. Not signed.
    pub lifetime: u32,
    /// The value at its place.
    pub value: StoredDataValue,
    /// The writer's signature over [`data_signature_input`](super::security::data_signature_input).
    pub signature: Signature,
}

impl StoredData {
    /// What fills a gap in an array: nobody stored it, nobody signed it (DM-5).
    pub const fn synthetic(index: u32) -> Self {
        StoredData {
            storage_time: UnixMillis(0),
            lifetime: 0,
            value: StoredDataValue::Array { index, value: DataValue::nonexistent() },
            signature: Signature::none(),
        }
    }

    /// Reads one of a Kind with this data model.
    pub fn read(model: DataModel, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut r = r.sub32("StoredData")?;
        let data = StoredData {
            storage_time: UnixMillis(r.u64("storage_time")?),
            lifetime: r.u32("lifetime")?,
            value: Arranged::read(model, &mut r)?,
            signature: Signature::read(&mut r)?,
        };
        r.finish("StoredData")?;
        Ok(data)
    }

    /// Appends it.
    pub fn write(&self, w: &mut Writer) {
        w.sub32("StoredData", |w| {
            w.u64(self.storage_time.0);
            w.u32(self.lifetime);
            self.value.write(w);
            self.signature.write(w);
        });
    }
}

/// The metadata of a stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMetaData {
    /// When its writer stored it, by the writer's clock.
    pub storage_time: UnixMillis,
    /// Seconds that it lives on.
    pub lifetime: u32,
    /// The metadata at its place.
    pub metadata: MetaDataValue,
}

impl StoredMetaData {
    /// Reads one of a Kind with this data model.
    pub fn read(model: DataModel, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut r = r.sub32("StoredMetaData")?;
        let data = StoredMetaData {
            storage_time: UnixMillis(r.u64("storage_time")?),
            lifetime: r.u32("lifetime")?,
            metadata: Arranged::read(model, &mut r)?,
        };
        r.finish("StoredMetaData")?;
        Ok(data)
    }

    /// Appends it.
    pub fn write(&self, w: &mut Writer) {
        w.sub32("StoredMetaData", |w| {
            w.u64(self.storage_time.0);
            w.u32(self.lifetime);
            self.metadata.write(w);
        });
    }
}

/// The content of a `StoredData values<0..2^32-1>` or `StoredMetaData values<0..2^32-1>` list, not looked at: to read it
/// one must know the data model of the Kind that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RawValues(pub Bytes);

impl RawValues {
    /// The list of these values.
    pub fn encode_values(values: &[StoredData]) -> Result<Self, EncodeError> {
        let mut w = Writer::new();
        values.iter().for_each(|v| v.write(&mut w));
        w.finish().map(RawValues)
    }

    /// The list of these metadata.
    pub fn encode_metadata(values: &[StoredMetaData]) -> Result<Self, EncodeError> {
        let mut w = Writer::new();
        values.iter().for_each(|v| v.write(&mut w));
        w.finish().map(RawValues)
    }

    /// The values of a StoreReq or FetchAns. Offsets of errors count from the start of the list.
    pub fn decode_values(&self, model: DataModel) -> Result<Vec<StoredData>, DecodeError> {
        self.decode(|r| StoredData::read(model, r))
    }

    /// The metadata of a StatAns. Offsets of errors count from the start of the list.
    pub fn decode_metadata(&self, model: DataModel) -> Result<Vec<StoredMetaData>, DecodeError> {
        self.decode(|r| StoredMetaData::read(model, r))
    }

    fn decode<T>(
        &self,
        read: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let mut r = Reader::new(&self.0);
        let mut values = Vec::new();
        while !r.is_empty() {
            values.push(read(&mut r)?);
        }
        Ok(values)
    }
}

impl Structure for RawValues {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(RawValues(r.sub32("values")?.rest()))
    }

    fn write(&self, w: &mut Writer) {
        w.sub32("values", |w| w.raw(&self.0));
    }
}
