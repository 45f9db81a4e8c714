//! RELOAD's numbers.

/// A Kind-ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindId(pub u32);

impl KindId {
    /// IPTV channel.
    pub const CHANNEL: KindId = KindId(0xF069_7074);
}

/// An error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub u16);
