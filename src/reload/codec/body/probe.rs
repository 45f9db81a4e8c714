//! Probe (RFC 6940 §6.4.2.5), Ping (§6.5.3), RouteQuery (§6.4.2.4).

use crate::reload::codec::{
    Destination, ProbeInformationType, Structure, read_bool, read_list, write_bool, write_list,
};
use crate::time::UnixMillis;
use crate::wire::{DecodeError, DecodeErrorKind, Reader, Writer};
use alloc::vec::Vec;
use bytes::Bytes;

/// Asks for information: `ProbeInformationType requested_info<0..2^8-1>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeReq {
    /// What is asked for.
    pub requested_info: Vec<ProbeInformationType>,
}

impl Structure for ProbeReq {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(ProbeReq { requested_info: read_list(r.sub8("requested_info")?)? })
    }

    fn write(&self, w: &mut Writer) {
        w.sub8("requested_info", |w| write_list(w, &self.requested_info));
    }
}

/// The answer: `ProbeInformation probe_info<0..2^16-1>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeAns {
    /// What was asked for and is known, in the order of the request (PB-1).
    pub probe_info: Vec<ProbeInformation>,
}

impl Structure for ProbeAns {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(ProbeAns { probe_info: read_list(r.sub16("probe_info")?)? })
    }

    fn write(&self, w: &mut Writer) {
        w.sub16("probe_info", |w| write_list(w, &self.probe_info));
    }
}

/// One piece of information: `u8 type | u8 length | value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeInformation {
    /// responsible_set: the share of the overlay that the peer is responsible for, in parts per billion.
    ResponsibleSet(u32),
    /// num_resources: Resource-IDs under which the peer stores something.
    NumResources(u32),
    /// uptime: in seconds.
    Uptime(u32),
    /// Of a type that this version does not know.
    Unknown {
        /// None of the three above.
        information_type: ProbeInformationType,
        /// Its value.
        value: Bytes,
    },
}

impl ProbeInformation {
    /// Its type.
    pub const fn information_type(&self) -> ProbeInformationType {
        match self {
            ProbeInformation::ResponsibleSet(_) => ProbeInformationType::RESPONSIBLE_SET,
            ProbeInformation::NumResources(_) => ProbeInformationType::NUM_RESOURCES,
            ProbeInformation::Uptime(_) => ProbeInformationType::UPTIME,
            ProbeInformation::Unknown { information_type, .. } => *information_type,
        }
    }
}

impl Structure for ProbeInformation {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let information_type = ProbeInformationType::read(r)?;
        let bad_length = r.error(DecodeErrorKind::BadLength, "length");
        let mut value = r.sub8("value")?;
        let known = match information_type {
            ProbeInformationType::RESPONSIBLE_SET => ProbeInformation::ResponsibleSet,
            ProbeInformationType::NUM_RESOURCES => ProbeInformation::NumResources,
            ProbeInformationType::UPTIME => ProbeInformation::Uptime,
            _ => return Ok(ProbeInformation::Unknown { information_type, value: value.rest() }),
        };
        if value.remaining() != 4 {
            return Err(bad_length);
        }
        value.u32("value").map(known)
    }

    fn write(&self, w: &mut Writer) {
        self.information_type().write(w);
        w.sub8("value", |w| match self {
            ProbeInformation::ResponsibleSet(n)
            | ProbeInformation::NumResources(n)
            | ProbeInformation::Uptime(n) => w.u32(*n),
            ProbeInformation::Unknown { value, .. } => w.raw(value),
        });
    }
}

/// Asks whether somebody is there: `opaque padding<0..2^16-1>`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PingReq {
    /// Any bytes; they make the message longer, to try out path MTUs (PG-1).
    pub padding: Bytes,
}

impl Structure for PingReq {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(PingReq { padding: r.sub16("padding")?.rest() })
    }

    fn write(&self, w: &mut Writer) {
        w.sub16("padding", |w| w.raw(&self.padding));
    }
}

/// The answer: `u64 response_id | u64 time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingAns {
    /// Random; two answers to one request differ in it when they come from different nodes.
    pub response_id: u64,
    /// When the answer was made, by its sender's clock.
    pub time: UnixMillis,
}

impl Structure for PingAns {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(PingAns { response_id: r.u64("response_id")?, time: UnixMillis(r.u64("time")?) })
    }

    fn write(&self, w: &mut Writer) {
        w.u64(self.response_id);
        w.u64(self.time.0);
    }
}

/// Asks where a peer would route to: `Boolean send_update | Destination | opaque overlay_specific_data<0..2^16-1>`.
/// The answer is [`ChordRouteQueryAns`](crate::reload::codec::ChordRouteQueryAns).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteQueryReq {
    /// Whether an Update shall follow the answer.
    pub send_update: bool,
    /// Where to.
    pub destination: Destination,
    /// Nothing in CHORD-RELOAD.
    pub overlay_specific_data: Bytes,
}

impl Structure for RouteQueryReq {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(RouteQueryReq {
            send_update: read_bool(r, "send_update")?,
            destination: Destination::read(r)?,
            overlay_specific_data: r.sub16("overlay_specific_data")?.rest(),
        })
    }

    fn write(&self, w: &mut Writer) {
        write_bool(w, self.send_update);
        self.destination.write(w);
        w.sub16("overlay_specific_data", |w| w.raw(&self.overlay_specific_data));
    }
}
