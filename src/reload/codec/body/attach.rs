//! Attach (RFC 6940 §6.5.1) and AppAttach (§6.5.2). Request and answer have the same form.
//!
//! ```text
//! AttachReqAns  ufrag<0..2^8-1> | password<0..2^8-1> | role<0..2^8-1>
//!               | IceCandidate candidates<0..2^16-1> | Boolean send_update
//! AppAttach     ufrag<0..2^8-1> | password<0..2^8-1> | u16 application | role<0..2^8-1>
//!               | IceCandidate candidates<0..2^16-1>
//! IceCandidate  IpAddressPort | u8 overlay_link | foundation<0..255> | u32 priority | u8 type
//!               | rel_addr_port, for srflx and relay | IceExtension extensions<0..2^16-1>
//! ```

use crate::reload::codec::{
    ApplicationId, IpAddressPort, OverlayLinkType, Structure, read_bool, read_list, write_bool, write_list,
};
use crate::wire::{DecodeError, DecodeErrorKind, Reader, Writer};
use alloc::vec::Vec;
use bytes::Bytes;

const HOST: u8 = 1;
const SERVER_REFLEXIVE: u8 = 2;
const RELAY: u8 = 4;

/// Asks for a link, or grants one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachReqAns {
    /// ICE user fragment; empty without ICE.
    pub ufrag: Bytes,
    /// ICE password; empty without ICE.
    pub password: Bytes,
    /// [`AttachReqAns::PASSIVE`] in a request, [`AttachReqAns::ACTIVE`] in an answer (AT-1).
    pub role: Bytes,
    /// Where the sender can be reached.
    pub candidates: Vec<IceCandidate>,
    /// Whether the other end shall send an Update once the link is up (AT-7).
    pub send_update: bool,
}

impl AttachReqAns {
    /// The role of whoever sends the request: it waits to be dialled.
    pub const PASSIVE: Bytes = Bytes::from_static(b"passive");
    /// The role of whoever answers: it dials.
    pub const ACTIVE: Bytes = Bytes::from_static(b"active");
}

impl Structure for AttachReqAns {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(AttachReqAns {
            ufrag: r.sub8("ufrag")?.rest(),
            password: r.sub8("password")?.rest(),
            role: r.sub8("role")?.rest(),
            candidates: read_list(r.sub16("candidates")?)?,
            send_update: read_bool(r, "send_update")?,
        })
    }

    fn write(&self, w: &mut Writer) {
        w.sub8("ufrag", |w| w.raw(&self.ufrag));
        w.sub8("password", |w| w.raw(&self.password));
        w.sub8("role", |w| w.raw(&self.role));
        w.sub16("candidates", |w| write_list(w, &self.candidates));
        write_bool(w, self.send_update);
    }
}

/// Asks for a connection for an application, or grants one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppAttach {
    /// ICE user fragment.
    pub ufrag: Bytes,
    /// ICE password.
    pub password: Bytes,
    /// Which application.
    pub application: ApplicationId,
    /// As in [`AttachReqAns::role`].
    pub role: Bytes,
    /// Where the sender can be reached.
    pub candidates: Vec<IceCandidate>,
}

impl Structure for AppAttach {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(AppAttach {
            ufrag: r.sub8("ufrag")?.rest(),
            password: r.sub8("password")?.rest(),
            application: ApplicationId::read(r)?,
            role: r.sub8("role")?.rest(),
            candidates: read_list(r.sub16("candidates")?)?,
        })
    }

    fn write(&self, w: &mut Writer) {
        w.sub8("ufrag", |w| w.raw(&self.ufrag));
        w.sub8("password", |w| w.raw(&self.password));
        self.application.write(w);
        w.sub8("role", |w| w.raw(&self.role));
        w.sub16("candidates", |w| write_list(w, &self.candidates));
    }
}

/// One address at which a node may be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceCandidate {
    /// The address.
    pub addr_port: IpAddressPort,
    /// How it is spoken to.
    pub overlay_link: OverlayLinkType,
    /// ICE foundation.
    pub foundation: Bytes,
    /// ICE priority.
    pub priority: u32,
    /// Where the address comes from.
    pub candidate_type: CandidateType,
    /// ICE extension attributes.
    pub extensions: Vec<IceExtension>,
}

/// CandType with what belongs to it. Other types are refused: the structure leaves no way to skip them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CandidateType {
    /// host: an address of the node itself.
    Host,
    /// srflx: an address that a STUN server saw, and the address that it belongs to.
    ServerReflexive(IpAddressPort),
    /// relay: an address at a TURN server, and the address that it belongs to.
    Relay(IpAddressPort),
}

impl Structure for IceCandidate {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(IceCandidate {
            addr_port: IpAddressPort::read(r)?,
            overlay_link: OverlayLinkType::read(r)?,
            foundation: r.sub8("foundation")?.rest(),
            priority: r.u32("priority")?,
            candidate_type: CandidateType::read(r)?,
            extensions: read_list(r.sub16("extensions")?)?,
        })
    }

    fn write(&self, w: &mut Writer) {
        self.addr_port.write(w);
        self.overlay_link.write(w);
        w.sub8("foundation", |w| w.raw(&self.foundation));
        w.u32(self.priority);
        self.candidate_type.write(w);
        w.sub16("extensions", |w| write_list(w, &self.extensions));
    }
}

impl Structure for CandidateType {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let unknown = r.error(DecodeErrorKind::InvalidValue, "CandType");
        match r.u8("CandType")? {
            HOST => Ok(CandidateType::Host),
            SERVER_REFLEXIVE => IpAddressPort::read(r).map(CandidateType::ServerReflexive),
            RELAY => IpAddressPort::read(r).map(CandidateType::Relay),
            _ => Err(unknown),
        }
    }

    fn write(&self, w: &mut Writer) {
        match self {
            CandidateType::Host => w.u8(HOST),
            CandidateType::ServerReflexive(related) => {
                w.u8(SERVER_REFLEXIVE);
                related.write(w);
            }
            CandidateType::Relay(related) => {
                w.u8(RELAY);
                related.write(w);
            }
        }
    }
}

/// A name/value pair of ICE: `name<0..2^16-1> | value<0..2^16-1>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceExtension {
    /// Its name.
    pub name: Bytes,
    /// Its value.
    pub value: Bytes,
}

impl Structure for IceExtension {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(IceExtension { name: r.sub16("name")?.rest(), value: r.sub16("value")?.rest() })
    }

    fn write(&self, w: &mut Writer) {
        w.sub16("name", |w| w.raw(&self.name));
        w.sub16("value", |w| w.raw(&self.value));
    }
}
