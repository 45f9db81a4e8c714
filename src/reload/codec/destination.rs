//! Entries of Destination and Via Lists (RFC 6940 §6.3.2.2).
//!
//! ```text
//! node        01 10 <16 bytes>
//! resource    02 LL RR <RR bytes>        LL = RR + 1
//! opaque      03 LL OO <OO bytes>        LL = OO + 1
//! compressed  1xxxxxxx xxxxxxxx          the same as the opaque id of these two bytes
//! ```

use super::Structure;
use crate::ids::{NodeId, ResourceId};
use crate::wire::{DecodeError, DecodeErrorKind, Reader, Writer};
use bytes::Bytes;

const NODE: u8 = 1;
const RESOURCE: u8 = 2;
const OPAQUE: u8 = 3;
const COMPRESSED: u8 = 0x80;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// A node.
    Node(NodeId),
    /// Whichever peer is responsible for this Resource-ID. Only as the last entry of a Destination List (DL-4).
    Resource(ResourceId),
    /// An id that means something only to the node that made it; at most 254 bytes.
    Opaque(Bytes),
    /// The 16-bit form of an opaque id. The highest bit is set; encoding sets it in any case.
    Compressed(u16),
    /// A type that this version does not know. It can be passed on, but not routed to (DL-3).
    Unknown {
        /// DestinationType: neither 1, 2, 3 nor above 127.
        destination_type: u8,
        /// The data behind its length byte.
        data: Bytes,
    },
}

impl Destination {
    /// The id, when this is an opaque one of either form: `81 23` means `03 03 02 81 23` (DL-2).
    pub fn opaque_id(&self) -> Option<Bytes> {
        match self {
            Destination::Opaque(id) => Some(id.clone()),
            Destination::Compressed(id) => Some(Bytes::copy_from_slice(&(id | 0x8000).to_be_bytes())),
            _ => None,
        }
    }
}

impl From<NodeId> for Destination {
    fn from(id: NodeId) -> Self {
        Destination::Node(id)
    }
}

impl From<ResourceId> for Destination {
    fn from(id: ResourceId) -> Self {
        Destination::Resource(id)
    }
}

impl Structure for Destination {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let first = r.u8("destination type")?;
        if first >= COMPRESSED {
            return Ok(Destination::Compressed(u16::from_be_bytes([first, r.u8("compressed id")?])));
        }
        let invalid = r.error(DecodeErrorKind::InvalidValue, "destination type");
        let bad_length = r.error(DecodeErrorKind::BadLength, "destination length");
        let mut data = r.sub8("destination_data")?;
        let destination = match first {
            0 => return Err(DecodeError { offset: invalid.offset - 1, ..invalid }),
            NODE if data.remaining() != NodeId::LEN => return Err(bad_length),
            NODE => Destination::Node(NodeId::read(&mut data)?),
            RESOURCE => Destination::Resource(ResourceId::read(&mut data)?),
            OPAQUE => Destination::Opaque(data.sub8("opaque_id")?.rest()),
            destination_type => Destination::Unknown { destination_type, data: data.rest() },
        };
        data.finish("destination_data")?;
        Ok(destination)
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Destination::Node(id) => {
                w.u8(NODE);
                w.sub8("destination_data", |w| id.write(w));
            }
            Destination::Resource(id) => {
                w.u8(RESOURCE);
                w.sub8("destination_data", |w| id.write(w));
            }
            Destination::Opaque(id) => {
                w.u8(OPAQUE);
                w.sub8("destination_data", |w| w.sub8("opaque_id", |w| w.raw(id)));
            }
            Destination::Compressed(id) => w.u16(id | 0x8000),
            Destination::Unknown { destination_type, data } => {
                w.u8(*destination_type);
                w.sub8("destination_data", |w| w.raw(data));
            }
        }
    }
}
