//! The value of the Kind REDIR: one provider of a service in one node of the service's tree (RFC 7374 §4.1).
//!
//! ```text
//! RedirServiceProvider   u8 type | Destination destination_list<0..2^16-1> | opaque namespace<0..2^16-1>
//!                        u16 level | u16 node | u16 length | extension
//! ```

use super::{Destination, RedirServiceProviderExtType, Structure, read_list, write_list};
use crate::wire::{DecodeError, Reader, Writer};
use alloc::vec::Vec;
use bytes::Bytes;

/// One provider of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirServiceProvider {
    /// What the extension is.
    pub ext_type: RedirServiceProviderExtType,
    /// The way to the provider; a single Node-ID mostly.
    pub destination_list: Vec<Destination>,
    /// The service: UTF-8, opaque here.
    pub namespace: Bytes,
    /// The level of the tree node that holds this record.
    pub level: u16,
    /// The place of that tree node in its level, from the left.
    pub node: u16,
    /// What the service has to say of the provider, `length` bytes.
    pub extension: Bytes,
}

impl Structure for RedirServiceProvider {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(RedirServiceProvider {
            ext_type: RedirServiceProviderExtType::read(r)?,
            destination_list: read_list(r.sub16("destination_list")?)?,
            namespace: r.sub16("namespace")?.rest(),
            level: r.u16("level")?,
            node: r.u16("node")?,
            extension: r.sub16("length")?.rest(),
        })
    }

    fn write(&self, w: &mut Writer) {
        self.ext_type.write(w);
        w.sub16("destination_list", |w| write_list(w, &self.destination_list));
        w.sub16("namespace", |w| w.raw(&self.namespace));
        w.u16(self.level);
        w.u16(self.node);
        w.sub16("length", |w| w.raw(&self.extension));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{NodeId, bytes_from_hex};

    #[test]
    fn ac7_a_provider_reads_back_and_an_unknown_extension_stays_as_it_is() {
        let wire = Bytes::from(
            bytes_from_hex("07 0012 0110 01010101010101010101010101010101 0002 7476 0002 0011 0003 aabbcc")
                .unwrap(),
        );
        let provider = RedirServiceProvider {
            ext_type: RedirServiceProviderExtType(7),
            destination_list: alloc::vec![NodeId([1; 16]).into()],
            namespace: Bytes::from_static(b"tv"),
            level: 2,
            node: 17,
            extension: Bytes::from_static(&[0xaa, 0xbb, 0xcc]),
        };
        assert_eq!(provider.encode().unwrap(), wire);
        assert_eq!(RedirServiceProvider::decode(&wire), Ok(provider));
        for n in 0..wire.len() {
            assert!(RedirServiceProvider::decode(&wire.slice(..n)).is_err(), "{n} bytes");
        }
        assert!(RedirServiceProvider::decode(&[&wire[..], &[0]].concat().into()).is_err(), "left-over bytes");
    }
}
