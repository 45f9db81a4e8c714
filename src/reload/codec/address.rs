//! IpAddressPort (RFC 6940 §6.3.1.1): `01 06 <4 bytes> <port>` for IPv4, `02 12 <16 bytes> <port>` for IPv6.

use super::Structure;
use crate::wire::{DecodeError, DecodeErrorKind, Reader, Writer};
use bytes::Bytes;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const IPV4: u8 = 1;
const IPV6: u8 = 2;

/// An address with a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IpAddressPort {
    /// IPv4.
    V4(Ipv4Addr, u16),
    /// IPv6.
    V6(Ipv6Addr, u16),
    /// An address of a type that this version does not know.
    Unknown {
        /// AddressType: neither 1 nor 2.
        address_type: u8,
        /// The address.
        address: Bytes,
    },
}

impl IpAddressPort {
    /// As the host's sockets know it; `None` when the type is unknown.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            IpAddressPort::V4(ip, port) => Some(SocketAddr::new((*ip).into(), *port)),
            IpAddressPort::V6(ip, port) => Some(SocketAddr::new((*ip).into(), *port)),
            IpAddressPort::Unknown { .. } => None,
        }
    }
}

impl From<SocketAddr> for IpAddressPort {
    fn from(address: SocketAddr) -> Self {
        match address.ip() {
            IpAddr::V4(ip) => IpAddressPort::V4(ip, address.port()),
            IpAddr::V6(ip) => IpAddressPort::V6(ip, address.port()),
        }
    }
}

impl Structure for IpAddressPort {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let address_type = r.u8("AddressType")?;
        let bad_length = r.error(DecodeErrorKind::BadLength, "length");
        let mut address = r.sub8("addr_port")?;
        match (address_type, address.remaining()) {
            (IPV4, 6) => Ok(IpAddressPort::V4(address.array("addr")?.into(), address.u16("port")?)),
            (IPV6, 18) => Ok(IpAddressPort::V6(address.array("addr")?.into(), address.u16("port")?)),
            (IPV4 | IPV6, _) => Err(bad_length),
            _ => Ok(IpAddressPort::Unknown { address_type, address: address.rest() }),
        }
    }

    fn write(&self, w: &mut Writer) {
        let mut typed = |address_type: u8, write: &dyn Fn(&mut Writer)| {
            w.u8(address_type);
            w.sub8("addr_port", write);
        };
        match self {
            IpAddressPort::V4(ip, port) => typed(IPV4, &|w| {
                w.raw(&ip.octets());
                w.u16(*port);
            }),
            IpAddressPort::V6(ip, port) => typed(IPV6, &|w| {
                w.raw(&ip.octets());
                w.u16(*port);
            }),
            IpAddressPort::Unknown { address_type, address } => typed(*address_type, &|w| w.raw(address)),
        }
    }
}
