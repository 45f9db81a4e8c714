//! The forwarding header (RFC 6940 §6.3.2).
//!
//! ```text
//!  0  4  relo_token               d2 45 4c 4f
//!  4  4  overlay
//!  8  2  configuration_sequence
//! 10  1  version                  0a
//! 11  1  ttl
//! 12  4  fragment                 1 L rrrrrr oooooooo oooooooo oooooooo
//! 16  4  length                   of the whole message or fragment
//! 20  8  transaction_id
//! 28  4  max_response_length
//! 32  2  via_list_length          in bytes
//! 34  2  destination_list_length  in bytes
//! 36  2  options_length           in bytes
//! 38     via_list ∥ destination_list ∥ options
//! ```

use super::{Destination, ForwardingOption, HeaderView, Structure, write_list};
use crate::wire::{DecodeError, EncodeError, Writer};
use alloc::vec::Vec;
use bytes::Bytes;

/// Bytes in front of the lists.
pub(super) const FIXED: usize = 38;
pub(super) const TTL_AT: usize = 11;
pub(super) const FRAGMENT_AT: usize = 12;
pub(super) const LENGTH_AT: usize = 16;
pub(super) const VIA_LIST_LENGTH_AT: usize = 32;
/// Always set (FH-8).
const FRAGMENT_MARK: u32 = 0x8000_0000;
const LAST_FRAGMENT: u32 = 0x4000_0000;

/// Which part of its message this is (RFC 6940 §6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fragment {
    /// Whether this is the last part.
    pub last: bool,
    /// Where this part begins within the MessageContents and SecurityBlock, in bytes; 24 bits.
    pub offset: u32,
}

impl Fragment {
    /// The largest offset that the field can say.
    pub const MAX_OFFSET: u32 = 0x00ff_ffff;

    /// The whole message.
    pub const WHOLE: Fragment = Fragment { last: true, offset: 0 };

    /// Whether this is the whole message.
    pub fn is_whole(self) -> bool {
        self == Self::WHOLE
    }

    /// The field: the highest bit is 1, the next one L, six reserved bits 0, then the offset (FH-8, FH-9).
    pub(super) const fn to_u32(self) -> u32 {
        FRAGMENT_MARK | if self.last { LAST_FRAGMENT } else { 0 } | self.offset & Self::MAX_OFFSET
    }

    /// Ignores the reserved bits; `None` when the highest bit is 0.
    pub(super) const fn from_u32(n: u32) -> Option<Self> {
        if n & FRAGMENT_MARK == 0 {
            return None;
        }
        Some(Fragment { last: n & LAST_FRAGMENT != 0, offset: n & Self::MAX_OFFSET })
    }
}

/// Where a message goes, and where its answer will go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardingHeader {
    /// [`overlay_hash`](crate::ids::overlay_hash) of the overlay's name.
    pub overlay: u32,
    /// The sequence number of the sender's configuration document; 65535 is special (§6.3.2.1).
    pub configuration_sequence: u16,
    /// Hops that are left.
    pub ttl: u8,
    /// Which part of the message this is.
    pub fragment: Fragment,
    /// Random; the answer repeats it (FH-11).
    pub transaction_id: u64,
    /// The answer must not be larger than this; 0 for no limit (FH-12).
    pub max_response_length: u32,
    /// The nodes it came through, the originator first.
    pub via_list: Vec<Destination>,
    /// The nodes it shall go to, the next first.
    pub destination_list: Vec<Destination>,
    /// Options.
    pub options: Vec<ForwardingOption>,
}

impl ForwardingHeader {
    /// The first four bytes of every message.
    pub const RELO_TOKEN: u32 = 0xd245_4c4f;
    /// RELOAD 1.0.
    pub const VERSION: u8 = 0x0a;
    /// The TTL that a message starts with when the configuration document does not say otherwise (FH-6).
    pub const INITIAL_TTL: u8 = 100;

    /// The header of a whole message with nothing unusual: configuration sequence 0, TTL 100, no limit on the answer,
    /// no Via List, no options.
    pub const fn new(overlay: u32, transaction_id: u64, destination_list: Vec<Destination>) -> Self {
        ForwardingHeader {
            overlay,
            configuration_sequence: 0,
            ttl: Self::INITIAL_TTL,
            fragment: Fragment::WHOLE,
            transaction_id,
            max_response_length: 0,
            via_list: Vec::new(),
            destination_list,
            options: Vec::new(),
        }
    }

    /// Reads the header of a message or fragment. The second value is the payload behind it, not looked at: for a whole
    /// message [`Payload::decode`](super::Structure::decode) reads it.
    ///
    /// Refused are a wrong token, version or length, a fragment field without its highest bit, and a Resource-ID
    /// anywhere but at the end of the Destination List (FH-1, FH-4, FH-8, FH-10, DL-4).
    pub fn decode(message: &Bytes) -> Result<(Self, Bytes), DecodeError> {
        let view = HeaderView::read(message)?;
        Ok((view.header(), view.payload()))
    }

    /// How many bytes the header has that begins here; `None` when too few are there to tell.
    pub fn announced_length(start: &[u8]) -> Option<usize> {
        let [.., v0, v1, d0, d1, o0, o1] = start.first_chunk::<FIXED>()?;
        let lists = [[*v0, *v1], [*d0, *d1], [*o0, *o1]];
        Some(FIXED + lists.into_iter().map(|n| usize::from(u16::from_be_bytes(n))).sum::<usize>())
    }

    /// The header with this payload behind it; the length fields are computed (FH-10, FH-13).
    pub fn encode(&self, payload: &[u8]) -> Result<Bytes, EncodeError> {
        let mut w = Writer::with_capacity(FIXED + 128 + payload.len());
        w.u32(Self::RELO_TOKEN);
        w.u32(self.overlay);
        w.u16(self.configuration_sequence);
        w.u8(Self::VERSION);
        w.u8(self.ttl);
        w.u32(self.fragment.to_u32());
        w.u32(0);
        w.u64(self.transaction_id);
        w.u32(self.max_response_length);
        let lists = [
            encode_list("via_list", &self.via_list)?,
            encode_list("destination_list", &self.destination_list)?,
            encode_list("options", &self.options)?,
        ];
        lists.iter().for_each(|(length, _)| w.u16(*length));
        lists.iter().for_each(|(_, list)| w.raw(list));
        w.raw(payload);
        let length = u32::try_from(w.len()).map_err(|_| EncodeError { field: "length" })?;
        w.patch_u32(LENGTH_AT, length);
        w.finish()
    }
}

/// A list and its length, which stands apart from it.
fn encode_list<T: Structure>(field: &'static str, list: &[T]) -> Result<(u16, Bytes), EncodeError> {
    let mut w = Writer::new();
    write_list(&mut w, list);
    let bytes = w.finish()?;
    let length = u16::try_from(bytes.len()).map_err(|_| EncodeError { field })?;
    Ok((length, bytes))
}
