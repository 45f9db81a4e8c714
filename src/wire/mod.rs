//! Reading and writing binary structures: the vocabulary of RELOAD's presentation language (RFC 6940 §6.3.1) and of
//! RTP. A [`Reader`] never reads past its slice, its sub-readers never past their length, and [`Reader::finish`]
//! refuses left-over bytes; a [`Writer`] patches length prefixes when their content is complete.

mod reader;
mod writer;

pub use reader::Reader;
pub use writer::{EncodeError, Writer};

/// What was wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// The bytes end inside a field.
    Truncated,
    /// A structure left bytes over that its length had promised.
    TrailingBytes,
    /// A value that the field may not have.
    InvalidValue,
    /// More elements, or a longer field, than allowed.
    TooLong,
    /// A length field that contradicts its surroundings.
    BadLength,
}

/// Where and why decoding stopped. `field` is the RFC's name of the field, `offset` counts bytes from the start of
/// what was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} at byte {offset}: {kind}")]
pub struct DecodeError {
    /// What was wrong.
    pub kind: DecodeErrorKind,
    /// The RFC's name of the field.
    pub field: &'static str,
    /// Bytes from the start of the input.
    pub offset: usize,
}

impl core::fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            DecodeErrorKind::Truncated => "the bytes end here",
            DecodeErrorKind::TrailingBytes => "bytes are left over",
            DecodeErrorKind::InvalidValue => "not a legal value",
            DecodeErrorKind::TooLong => "too long",
            DecodeErrorKind::BadLength => "the length is wrong",
        })
    }
}
