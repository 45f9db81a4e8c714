//! The error response (RFC 6940 §6.3.3.1): `u16 error_code | opaque error_info<0..2^16-1>`.

use super::body::StoreAns;
use super::{ErrorCode, KindId, Structure, read_list, write_list};
use crate::wire::{DecodeError, EncodeError, Reader, Writer};
use alloc::vec::Vec;
use bytes::Bytes;

/// The body of a message with code 0xffff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorResponse {
    /// What went wrong.
    pub error_code: ErrorCode,
    /// More about it; [`ErrorResponse::info`] reads it.
    pub error_info: Bytes,
}

/// What an error_info says (MC-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorInfo {
    /// A description, in UTF-8 as far as the sender cared.
    Text(Bytes),
    /// Error_Unknown_Kind: the Kinds that the answering peer does not know.
    UnknownKinds(Vec<KindId>),
    /// Error_Generation_Counter_Too_Low: the current counters.
    StoreAns(StoreAns),
}

impl ErrorResponse {
    /// An error with a description, which should mean something to a reader (MC-6).
    pub fn text(error_code: ErrorCode, description: &str) -> Self {
        ErrorResponse { error_code, error_info: Bytes::copy_from_slice(description.as_bytes()) }
    }

    /// Error_Unknown_Kind with the Kinds that are not known: 63 at most.
    pub fn unknown_kinds(kinds: &[KindId]) -> Result<Self, EncodeError> {
        let mut w = Writer::new();
        w.sub8("unknown_kinds", |w| write_list(w, kinds));
        Ok(ErrorResponse { error_code: ErrorCode::UNKNOWN_KIND, error_info: w.finish()? })
    }

    /// Error_Generation_Counter_Too_Low with the current counters.
    pub fn generation_counter_too_low(current: &StoreAns) -> Result<Self, EncodeError> {
        Ok(ErrorResponse { error_code: ErrorCode::GENERATION_COUNTER_TOO_LOW, error_info: current.encode()? })
    }

    /// Reads the error_info as its code asks. Offsets of errors count from the start of the error_info.
    pub fn info(&self) -> Result<ErrorInfo, DecodeError> {
        match self.error_code {
            ErrorCode::UNKNOWN_KIND => {
                let mut r = Reader::new(&self.error_info);
                let kinds = read_list(r.sub8("unknown_kinds")?)?;
                r.finish("error_info")?;
                Ok(ErrorInfo::UnknownKinds(kinds))
            }
            ErrorCode::GENERATION_COUNTER_TOO_LOW => {
                StoreAns::decode(&self.error_info).map(ErrorInfo::StoreAns)
            }
            _ => Ok(ErrorInfo::Text(self.error_info.clone())),
        }
    }
}

impl Structure for ErrorResponse {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(ErrorResponse { error_code: ErrorCode::read(r)?, error_info: r.sub16("error_info")?.rest() })
    }

    fn write(&self, w: &mut Writer) {
        self.error_code.write(w);
        w.sub16("error_info", |w| w.raw(&self.error_info));
    }
}
