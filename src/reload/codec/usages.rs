//! Values of the Kinds that RELOAD's own usages define: TurnServer (RFC 6940 §9) and SipRegistration (RFC 7904 §3.2).
//!
//! ```text
//! TurnServer        u8 iteration | IpAddressPort server_address
//! SipRegistration   u8 type | u16 length | data
//!   sip_registration_uri 1     data = opaque uri<0..2^16-1>
//!   sip_registration_route 2   data = opaque contact_prefs<0..2^16-1> | Destination destination_list<3..2^16-1>
//! ```

use super::{Destination, IpAddressPort, SipRegistrationType, Structure, read_list, write_list};
use crate::wire::{DecodeError, DecodeErrorKind, Reader, Writer};
use alloc::vec::Vec;
use bytes::Bytes;

/// Where a TURN server is: a value of TURN-SERVICE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnServer {
    /// Which of the server's entries this is, from 1.
    pub iteration: u8,
    /// Its address.
    pub server_address: IpAddressPort,
}

impl Structure for TurnServer {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(TurnServer { iteration: r.u8("iteration")?, server_address: IpAddressPort::read(r)? })
    }

    fn write(&self, w: &mut Writer) {
        w.u8(self.iteration);
        self.server_address.write(w);
    }
}

/// How to reach a SIP user: a value of SIP-REGISTRATION.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SipRegistration {
    /// Look up this address of record instead.
    Uri(Bytes),
    /// Connect to this peer.
    Route {
        /// A feature predicate of RFC 2533, such as `(sip.schemes=SIP)`.
        contact_prefs: Bytes,
        /// The way there; a single Node-ID mostly. At least 3 bytes on the wire.
        destination_list: Vec<Destination>,
    },
    /// A registration of a type that this version does not know.
    Unknown {
        /// SipRegistrationType: neither 1 nor 2.
        registration_type: SipRegistrationType,
        /// What follows its length.
        data: Bytes,
    },
}

impl Structure for SipRegistration {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let registration_type = SipRegistrationType::read(r)?;
        let mut data = r.sub16("length")?;
        let registration = match registration_type {
            SipRegistrationType::URI => SipRegistration::Uri(data.sub16("uri")?.rest()),
            SipRegistrationType::ROUTE => {
                let contact_prefs = data.sub16("contact_prefs")?.rest();
                let too_short = data.error(DecodeErrorKind::BadLength, "destination_list");
                let list = data.sub16("destination_list")?;
                if list.remaining() < 3 {
                    return Err(too_short);
                }
                SipRegistration::Route { contact_prefs, destination_list: read_list(list)? }
            }
            registration_type => SipRegistration::Unknown { registration_type, data: data.rest() },
        };
        data.finish("length")?;
        Ok(registration)
    }

    fn write(&self, w: &mut Writer) {
        match self {
            SipRegistration::Uri(uri) => {
                SipRegistrationType::URI.write(w);
                w.sub16("length", |w| w.sub16("uri", |w| w.raw(uri)));
            }
            SipRegistration::Route { contact_prefs, destination_list } => {
                SipRegistrationType::ROUTE.write(w);
                w.sub16("length", |w| {
                    w.sub16("contact_prefs", |w| w.raw(contact_prefs));
                    w.sub16("destination_list", |w| write_list(w, destination_list));
                });
            }
            SipRegistration::Unknown { registration_type, data } => {
                registration_type.write(w);
                w.sub16("length", |w| w.raw(data));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{NodeId, bytes_from_hex};
    use alloc::vec;

    fn bytes(hex: &str) -> Bytes {
        bytes_from_hex(hex).unwrap().into()
    }

    #[test]
    fn tu1_a_turn_server_is_its_iteration_and_its_address() {
        let server = TurnServer {
            iteration: 1,
            server_address: "192.0.2.1:3478".parse::<core::net::SocketAddr>().unwrap().into(),
        };
        assert_eq!(server.encode().unwrap(), bytes("01 0106c00002010d96"), "vector V2");
        assert_eq!(TurnServer::decode(&server.encode().unwrap()), Ok(server));
    }

    #[test]
    fn a_registration_reads_back_and_its_length_covers_the_data_only() {
        let uri = SipRegistration::Uri(Bytes::from_static(b"sam@a"));
        assert_eq!(uri.encode().unwrap(), bytes("01 0007 000573616d4061"));
        let route = SipRegistration::Route {
            contact_prefs: Bytes::new(),
            destination_list: vec![NodeId([1; 16]).into()],
        };
        let wire = bytes("02 0016 0000 0012 0110 01010101010101010101010101010101");
        assert_eq!(route.encode().unwrap(), wire);
        assert_eq!(SipRegistration::decode(&wire), Ok(route));
        for n in 0..wire.len() {
            assert!(SipRegistration::decode(&wire.slice(..n)).is_err(), "{n} bytes");
        }
        let unknown = bytes("09 0002 abcd");
        assert_eq!(SipRegistration::decode(&unknown).unwrap().encode().unwrap(), unknown);
    }

    #[test]
    fn a_registration_with_a_destination_list_of_less_than_three_bytes_is_refused() {
        assert!(SipRegistration::decode(&bytes("02 0004 0000 0000")).is_err());
        assert!(SipRegistration::decode(&bytes("02 0006 0000 0002 8123")).is_err());
        assert!(SipRegistration::decode(&bytes("01 0008 000573616d4061 00")).is_err(), "left-over bytes");
    }
}
