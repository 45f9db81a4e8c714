//! The record that a provider of a channel stores about itself: a value of the private dictionary Kind
//! [`KindId::CHANNEL`](super::KindId::CHANNEL), at the Resource-ID of the channel's name, under the provider's Node-ID.
//!
//! ```text
//! 0  1  version          01
//! 1  1  role             source 1, relayer 2
//! 2  1  depth            hops from the source; the source itself is 0
//! 3  2  free_slots
//! 5  4  uptime_seconds
//! 9  1  length of sip_contact
//! 10    sip_contact      visible ASCII
//!    2  length of grant  0: none
//!       grant            see [`Grant`](super::Grant)
//!       whatever later versions add; skipped
//! ```

use super::{Grant, Structure};
use crate::wire::{DecodeError, DecodeErrorKind, Reader, Writer};
use alloc::string::String;
use core::fmt;

/// What a provider is to its channel. Other numbers survive a round trip.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderRole(pub u8);

impl ProviderRole {
    /// It makes the channel.
    pub const SOURCE: ProviderRole = ProviderRole(1);
    /// It passes the channel on.
    pub const RELAYER: ProviderRole = ProviderRole(2);
}

impl fmt::Debug for ProviderRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::SOURCE => f.write_str("source"),
            Self::RELAYER => f.write_str("relayer"),
            ProviderRole(n) => write!(f, "ProviderRole({n})"),
        }
    }
}

/// One provider of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderRecord {
    /// Source or relayer.
    pub role: ProviderRole,
    /// Hops from the source.
    pub depth: u8,
    /// Children that it could still take when it stored this.
    pub free_slots: u16,
    /// Seconds that it had been up when it stored this.
    pub uptime_seconds: u32,
    /// The SIP URI to send INVITEs to: visible ASCII, 255 bytes at most.
    pub sip_contact: String,
    /// The owner's word for it; without one only an overlay where everybody is believed takes the record.
    pub grant: Option<Grant>,
}

impl ProviderRecord {
    /// Written in front of every record. What breaks readers gets a new number; what does not is appended.
    pub const VERSION: u8 = 1;
}

impl Structure for ProviderRecord {
    /// Takes everything that the reader holds: unknown additions behind the known fields are skipped.
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = r.error(DecodeErrorKind::InvalidValue, "version");
        if r.u8("version")? != Self::VERSION {
            return Err(version);
        }
        let role = ProviderRole(r.u8("role")?);
        let depth = r.u8("depth")?;
        let free_slots = r.u16("free_slots")?;
        let uptime_seconds = r.u32("uptime_seconds")?;
        let not_text = r.error(DecodeErrorKind::InvalidValue, "sip_contact");
        let contact = r.sub8("sip_contact")?.rest();
        let text = core::str::from_utf8(&contact).ok().filter(|t| t.bytes().all(|b| b.is_ascii_graphic()));
        let sip_contact = String::from(text.ok_or(not_text)?);
        let mut inside = r.sub16("grant")?;
        let grant = if inside.is_empty() { None } else { Some(Grant::read(&mut inside)?) };
        inside.finish("grant")?;
        r.rest();
        Ok(ProviderRecord { role, depth, free_slots, uptime_seconds, sip_contact, grant })
    }

    fn write(&self, w: &mut Writer) {
        w.u8(Self::VERSION);
        w.u8(self.role.0);
        w.u8(self.depth);
        w.u16(self.free_slots);
        w.u32(self.uptime_seconds);
        w.sub8("sip_contact", |w| w.raw(self.sip_contact.as_bytes()));
        w.sub16("grant", |w| self.grant.iter().for_each(|grant| grant.write(w)));
    }
}
