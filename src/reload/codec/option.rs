//! Forwarding options (RFC 6940 §6.3.2.3): `type u8 | flags u8 | length u16 | value`.

use super::{OptionType, Structure};
use crate::wire::{DecodeError, Reader, Writer};
use bytes::Bytes;

/// One forwarding option. This version knows none but carries all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardingOption {
    /// Its type.
    pub option_type: OptionType,
    /// [`ForwardingOption::FORWARD_CRITICAL`] and the others; unknown bits are kept.
    pub flags: u8,
    /// Its value; may be empty (FO-5).
    pub value: Bytes,
}

impl ForwardingOption {
    /// Whoever forwards the message must understand the option.
    pub const FORWARD_CRITICAL: u8 = 0x01;
    /// Whoever answers the message must understand the option.
    pub const DESTINATION_CRITICAL: u8 = 0x02;
    /// Whoever answers must copy the option into the answer, understood or not.
    pub const RESPONSE_COPY: u8 = 0x04;

    /// Whether all of these flags are set.
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// What an answer must carry of this option: the same with the three flags cleared, or nothing (FO-4).
    pub fn response_copy(&self) -> Option<Self> {
        const FLAGS: u8 = ForwardingOption::FORWARD_CRITICAL
            | ForwardingOption::DESTINATION_CRITICAL
            | ForwardingOption::RESPONSE_COPY;
        self.has(Self::RESPONSE_COPY).then(|| ForwardingOption { flags: self.flags & !FLAGS, ..self.clone() })
    }
}

impl Structure for ForwardingOption {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(ForwardingOption {
            option_type: OptionType::read(r)?,
            flags: r.u8("flags")?,
            value: r.sub16("option")?.rest(),
        })
    }

    fn write(&self, w: &mut Writer) {
        self.option_type.write(w);
        w.u8(self.flags);
        w.sub16("option", |w| w.raw(&self.value));
    }
}
