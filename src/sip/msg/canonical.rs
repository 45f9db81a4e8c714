//! The canonical form of a received message: what the builders would have written (RFC 3261 §7.3.1).
//!
//! Rows keep their order. Names are spelled as the RFC spells them, values that have a grammar here are printed from
//! it, all others keep their text with each fold as one blank. Content-Length is computed and stands last.

use super::address::NameAddr;
use super::message::Message;
use super::method::CSeq;
use super::name::Name;
use super::params::write_unfolded;
use super::scan::{self, Parsed};
use super::via::Via;
use crate::wire::DecodeError;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::{Display, Write as _};
use nom::Parser as _;

impl Message {
    /// The message in canonical form, or what is wrong with it: a message with a fault, or of another version than 2.0, has
    /// none.
    pub fn to_canonical(&self) -> Result<Bytes, DecodeError> {
        let mut out = Vec::with_capacity(self.as_bytes().len() + 64);
        match self {
            Message::Request(r) => {
                if let Some(fault) = r.fault().or(r.version_error()) {
                    return Err(fault);
                }
                let line = alloc::format!("{} {} SIP/2.0\r\n", r.method(), r.uri()?);
                out.extend_from_slice(line.as_bytes());
            }
            Message::Response(r) => {
                out.extend_from_slice(alloc::format!("SIP/2.0 {} ", r.status()).as_bytes());
                out.extend_from_slice(r.reason());
                out.extend_from_slice(b"\r\n");
            }
        }
        for (name, value, at) in self.headers().rows().filter(|(name, ..)| *name != Name::CONTENT_LENGTH) {
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(&canonical_value(name, value, at)?);
            out.extend_from_slice(b"\r\n");
        }
        let length = alloc::format!("Content-Length: {}\r\n\r\n", self.body().len());
        out.extend_from_slice(length.as_bytes());
        out.extend_from_slice(self.body());
        Ok(out.into())
    }
}

/// One row's value.
fn canonical_value(name: Name<'_>, value: &[u8], at: usize) -> Result<Vec<u8>, DecodeError> {
    const ADDRESSES: [Name<'static>; 5] =
        [Name::FROM, Name::TO, Name::CONTACT, Name::ROUTE, Name::RECORD_ROUTE];
    if name == Name::VIA {
        list(value, at, "Via", Via::parse)
    } else if name == Name::CSEQ {
        list(value, at, "CSeq", CSeq::parse)
    } else if name == Name::MAX_FORWARDS {
        list(value, at, "Max-Forwards", |v| scan::number(v, "Max-Forwards"))
    } else if value != b"*"
        && let Some(name) = ADDRESSES.into_iter().find(|known| *known == name)
    {
        list(value, at, name.as_str(), |v| NameAddr::parse(v, name.as_str()))
    } else {
        Ok(unfolded(value))
    }
}

/// Values between commas, each in its own canonical form.
fn list<'a, T: Display>(
    value: &'a [u8],
    at: usize,
    field: &'static str,
    parser: impl Fn(&'a [u8]) -> Parsed<'a, T>,
) -> Result<Vec<u8>, DecodeError> {
    let comma = |input: &'a [u8]| scan::separator(input, b',', field);
    let values = scan::whole(value, at, field, |v| nom::multi::separated_list1(comma, parser).parse(v))?;
    let mut out = String::new();
    for value in values {
        let comma = if out.is_empty() { "" } else { ", " };
        // Writing to a String never fails.
        let _ = write!(out, "{comma}{value}");
    }
    Ok(out.into_bytes())
}

/// Text with each fold as one blank; bytes that are not UTF-8 stay as they are.
pub(super) fn unfolded(value: &[u8]) -> Vec<u8> {
    match core::str::from_utf8(value) {
        Ok(text) => {
            let mut out = String::with_capacity(text.len());
            let _ = write_unfolded(&mut out, text);
            out.into_bytes()
        }
        Err(_) => value.iter().map(|&b| if matches!(b, b'\r' | b'\n') { b' ' } else { b }).collect(),
    }
}
