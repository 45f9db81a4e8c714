//! Shared resources (RFC 8076): the items of an ACCESS-CONTROL-LIST, and the name that a shared value may carry.
//!
//! ```text
//! AccessControlListItem   [ResourceNameExtension] | opaque to_user<0..2^16-1> | u32 kind | Boolean allow_delegation
//! ResourceNameExtension   u8 type | u16 length | opaque resource_name<0..2^16-1>        type pattern = 1
//! ```
//!
//! Whether the extension stands in front is not on the wire: one has to know whether the configuration allows variable
//! resource names for the Kind (RFC 8076 §5.3).

use super::{KindId, ResourceNameType, Structure, read_bool, write_bool};
use crate::ids::NodeId;
use crate::wire::{DecodeError, EncodeError, Reader, Writer};
use bytes::Bytes;

/// The Resource Name of a shared value, which its Resource-ID is the hash of (RFC 8076 §5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceNameExtension {
    /// A name that one of the configured patterns allows.
    Pattern(Bytes),
    /// A naming scheme that this version does not know.
    Unknown {
        /// ResourceNameType: not 1.
        name_type: ResourceNameType,
        /// What follows its length.
        data: Bytes,
    },
}

impl ResourceNameExtension {
    /// The Resource Name, where the scheme is known.
    pub fn resource_name(&self) -> Option<&Bytes> {
        match self {
            ResourceNameExtension::Pattern(name) => Some(name),
            ResourceNameExtension::Unknown { .. } => None,
        }
    }
}

impl Structure for ResourceNameExtension {
    /// What a later version appends behind the name is skipped.
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let name_type = ResourceNameType::read(r)?;
        let mut data = r.sub16("length")?;
        Ok(match name_type {
            ResourceNameType::PATTERN => ResourceNameExtension::Pattern(data.sub16("resource_name")?.rest()),
            name_type => ResourceNameExtension::Unknown { name_type, data: data.rest() },
        })
    }

    fn write(&self, w: &mut Writer) {
        match self {
            ResourceNameExtension::Pattern(name) => {
                ResourceNameType::PATTERN.write(w);
                w.sub16("length", |w| w.sub16("resource_name", |w| w.raw(name)));
            }
            ResourceNameExtension::Unknown { name_type, data } => {
                name_type.write(w);
                w.sub16("length", |w| w.raw(data));
            }
        }
    }
}

/// One delegation of write access (RFC 8076 §4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessControlListItem {
    /// The name of the shared resource, where variable names are allowed.
    pub res_name_ext: Option<ResourceNameExtension>,
    /// The user name of whoever obtains the permission; compared as bytes.
    pub to_user: Bytes,
    /// The Kind that may be written.
    pub kind: KindId,
    /// Whether that user may delegate further.
    pub allow_delegation: bool,
}

impl AccessControlListItem {
    /// Reads an item and nothing behind it; `named` says whether the extension stands in front.
    pub fn decode(bytes: &Bytes, named: bool) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let item = AccessControlListItem {
            res_name_ext: named.then(|| ResourceNameExtension::read(&mut r)).transpose()?,
            to_user: r.sub16("to_user")?.rest(),
            kind: KindId::read(&mut r)?,
            allow_delegation: read_bool(&mut r, "allow_delegation")?,
        };
        r.finish("AccessControlListItem")?;
        Ok(item)
    }

    /// The item as bytes; an error when a name is too long.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut w = Writer::new();
        if let Some(name) = &self.res_name_ext {
            name.write(&mut w);
        }
        w.sub16("to_user", |w| w.raw(&self.to_user));
        self.kind.write(&mut w);
        write_bool(&mut w, self.allow_delegation);
        w.finish()
    }
}

/// The index under which a node keeps its own n-th entry of a shared array: the low 24 bits of its Node-ID, then its
/// own 8-bit counter (RFC 8076 §3.1).
pub const fn shared_index(node: NodeId, n: u8) -> u32 {
    let [.., a, b, c] = node.0;
    u32::from_be_bytes([a, b, c, n])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::bytes_from_hex;

    fn item(res_name_ext: Option<ResourceNameExtension>) -> AccessControlListItem {
        let to_user = Bytes::from_static(b"bob");
        AccessControlListItem { res_name_ext, to_user, kind: KindId(1234), allow_delegation: true }
    }

    #[test]
    fn ac8_an_item_stands_on_the_wire_as_rfc_8076_draws_it() {
        let plain = bytes_from_hex("0003626f62 000004d2 01").unwrap();
        assert_eq!(item(None).encode().unwrap(), plain);
        assert_eq!(AccessControlListItem::decode(&plain.into(), false), Ok(item(None)));
        let name = ResourceNameExtension::Pattern(Bytes::from_static(b"x-bob"));
        let named = Bytes::from(bytes_from_hex("01 0007 0005782d626f62 0003626f62 000004d2 01").unwrap());
        assert_eq!(item(Some(name.clone())).encode().unwrap(), named);
        assert_eq!(AccessControlListItem::decode(&named, true), Ok(item(Some(name))));
        for n in 0..named.len() {
            assert!(AccessControlListItem::decode(&named.slice(..n), true).is_err(), "{n} bytes");
        }
        let unknown = Bytes::from(bytes_from_hex("07 0001 ff 0000 00000001 00").unwrap());
        let read = AccessControlListItem::decode(&unknown, true).unwrap();
        assert_eq!(read.encode().unwrap(), unknown, "unknown schemes survive");
        assert_eq!(read.res_name_ext.unwrap().resource_name(), None);
    }

    #[test]
    fn ac8_a_shared_index_is_24_bits_of_the_node_id_and_a_counter() {
        let mut node = NodeId([0; 16]);
        node.0[13..].copy_from_slice(&[0x12, 0x3a, 0xbc]);
        assert_eq!(shared_index(node, 1), 0x123a_bc01, "figure 1 of RFC 8076");
    }
}
