//! The forwarding header as a node in transit sees it: read in place, and written anew with one copy (RFC 6940 §6.3.2).
//!
//! ```text
//!   came   fixed │ via list        │ destination list          │ options │ payload
//!   goes   fixed │ via list, hop   │ destination list, shorter │ options │ payload
//! ```

use super::header::{FIXED, FRAGMENT_AT, LENGTH_AT, TTL_AT, VIA_LIST_LENGTH_AT};
use super::{Destination, ForwardingHeader, ForwardingOption, Fragment, MessageCode, Structure};
use crate::wire::{DecodeError, DecodeErrorKind, EncodeError, Reader, Writer};
use bytes::Bytes;

/// A header that was checked and not taken apart: what [`ForwardingHeader::decode`] accepts, without its allocations.
#[derive(Clone, Debug)]
pub struct HeaderView {
    message: Bytes,
    destinations_at: usize,
    options_at: usize,
    payload_at: usize,
    /// See [`ForwardingHeader::overlay`].
    pub overlay: u32,
    /// See [`ForwardingHeader::configuration_sequence`].
    pub configuration_sequence: u16,
    /// See [`ForwardingHeader::ttl`].
    pub ttl: u8,
    /// See [`ForwardingHeader::fragment`].
    pub fragment: Fragment,
    /// See [`ForwardingHeader::transaction_id`].
    pub transaction_id: u64,
    /// See [`ForwardingHeader::max_response_length`].
    pub max_response_length: u32,
}

/// With what a message leaves a node in transit. The lists are encoded; each may be two parts.
#[derive(Clone, Copy, Debug)]
pub struct Passage<'a> {
    /// Hops that are left.
    pub ttl: u8,
    /// The Via List.
    pub via_list: [&'a [u8]; 2],
    /// The Destination List.
    pub destination_list: [&'a [u8]; 2],
}

/// The entries of a Destination or Via List that was read once already, without their allocations.
#[derive(Clone, Debug)]
pub struct Entries<'a>(Reader<'a>);

impl<'a> Entries<'a> {
    /// The entries of an encoded list. They end where it is none.
    pub fn new(list: &'a Bytes) -> Self {
        Entries(Reader::new(list))
    }

    /// Bytes from the start of the message to the next entry.
    pub fn offset(&self) -> usize {
        self.0.offset()
    }
}

impl Iterator for Entries<'_> {
    type Item = Destination;

    fn next(&mut self) -> Option<Destination> {
        if self.0.is_empty() { None } else { Destination::read(&mut self.0).ok() }
    }
}

impl HeaderView {
    /// Checks the header of a message or fragment. Refused is what [`ForwardingHeader::decode`] refuses.
    pub fn read(message: &Bytes) -> Result<Self, DecodeError> {
        Self::read_beginning(message, message.len())
    }

    /// The same for a message of `length` bytes of which perhaps only the beginning is there.
    pub fn read_beginning(message: &Bytes, length: usize) -> Result<Self, DecodeError> {
        use DecodeErrorKind::{BadLength, InvalidValue};
        let mut r = Reader::new(message);
        let at = |kind, field, offset| Err(DecodeError { kind, field, offset });
        if r.u32("relo_token")? != ForwardingHeader::RELO_TOKEN {
            return at(InvalidValue, "relo_token", 0);
        }
        let overlay = r.u32("overlay")?;
        let configuration_sequence = r.u16("configuration_sequence")?;
        if r.u8("version")? != ForwardingHeader::VERSION {
            return at(InvalidValue, "version", 10);
        }
        let ttl = r.u8("ttl")?;
        let Some(fragment) = Fragment::from_u32(r.u32("fragment")?) else {
            return at(InvalidValue, "fragment", 12);
        };
        if r.u32("length")? as usize != length {
            return at(BadLength, "length", LENGTH_AT);
        }
        let transaction_id = r.u64("transaction_id")?;
        let max_response_length = r.u32("max_response_length")?;
        let via_list_length = r.u16("via_list_length")?;
        let destination_list_length = r.u16("destination_list_length")?;
        let options_length = r.u16("options_length")?;
        check_list(r.sub(via_list_length.into(), "via_list")?, false)?;
        let destinations_at = r.offset();
        check_list(r.sub(destination_list_length.into(), "destination_list")?, true)?;
        let options_at = r.offset();
        let mut options = r.sub(options_length.into(), "options")?;
        while !options.is_empty() {
            ForwardingOption::read(&mut options)?;
        }
        let (message, payload_at) = (message.clone(), r.offset());
        Ok(HeaderView {
            message,
            destinations_at,
            options_at,
            payload_at,
            overlay,
            configuration_sequence,
            ttl,
            fragment,
            transaction_id,
            max_response_length,
        })
    }

    /// The header taken apart.
    pub fn header(&self) -> ForwardingHeader {
        ForwardingHeader {
            overlay: self.overlay,
            configuration_sequence: self.configuration_sequence,
            ttl: self.ttl,
            fragment: self.fragment,
            transaction_id: self.transaction_id,
            max_response_length: self.max_response_length,
            via_list: self.via_list().collect(),
            destination_list: self.destination_list().collect(),
            options: self.options().collect(),
        }
    }

    /// The nodes it came through, the originator first.
    pub fn via_list(&self) -> Entries<'_> {
        Entries(self.reader(FIXED, self.destinations_at))
    }

    /// The nodes it shall go to, the next first.
    pub fn destination_list(&self) -> Entries<'_> {
        Entries(self.reader(self.destinations_at, self.options_at))
    }

    /// The options.
    pub fn options(&self) -> impl Iterator<Item = ForwardingOption> + '_ {
        let mut r = self.reader(self.options_at, self.payload_at);
        core::iter::from_fn(move || if r.is_empty() { None } else { ForwardingOption::read(&mut r).ok() })
    }

    /// The Via List as it came.
    pub fn via_bytes(&self) -> &[u8] {
        self.message.get(FIXED..self.destinations_at).unwrap_or_default()
    }

    /// The Destination List from an [offset](Entries::offset) on.
    pub fn destination_bytes(&self, from: usize) -> &[u8] {
        self.message.get(from..self.options_at).unwrap_or_default()
    }

    /// What lies behind the header, not looked at.
    pub fn payload(&self) -> Bytes {
        self.message.slice(self.payload_at..)
    }

    /// Bytes of the header.
    pub fn header_length(&self) -> usize {
        self.payload_at
    }

    /// The message code, which stands first in the payload of the first fragment.
    pub fn message_code(&self) -> Option<MessageCode> {
        let payload = self.message.get(self.payload_at..)?;
        let code = payload.first_chunk().filter(|_| self.fragment.offset == 0)?;
        Some(MessageCode(u16::from_be_bytes(*code)))
    }

    fn reader(&self, from: usize, to: usize) -> Reader<'_> {
        let mut r = Reader::new(&self.message);
        // A reader of this message has passed both places.
        let _ = r.take(from, "header");
        r.sub(to - from, "list").unwrap_or(r)
    }

    /// The message as it goes on: one allocation, one copy. An error when a list does not fit its length.
    pub fn pass(&self, passage: &Passage<'_>) -> Result<Bytes, EncodeError> {
        let Passage { ttl, via_list, destination_list } = passage;
        let size = |list: &[&[u8]; 2]| list[0].len() + list[1].len();
        let length_of = |field, n: usize| u16::try_from(n).map_err(|_| EncodeError { field });
        let (vias, destinations) = (size(via_list), size(destination_list));
        let unchanged = self.message.len() - (self.options_at - FIXED);
        let length = unchanged + vias + destinations;
        let mut w = Writer::with_capacity(length);
        w.raw(self.message.get(..TTL_AT).unwrap_or_default());
        w.u8(*ttl);
        w.raw(self.message.get(TTL_AT + 1..LENGTH_AT).unwrap_or_default());
        w.u32(u32::try_from(length).map_err(|_| EncodeError { field: "length" })?);
        w.raw(self.message.get(LENGTH_AT + 4..VIA_LIST_LENGTH_AT).unwrap_or_default());
        w.u16(length_of("via_list", vias)?);
        w.u16(length_of("destination_list", destinations)?);
        w.raw(self.message.get(VIA_LIST_LENGTH_AT + 4..FIXED).unwrap_or_default());
        via_list.iter().chain(destination_list).for_each(|part| w.raw(part));
        w.raw(self.message.get(self.options_at..).unwrap_or_default());
        w.finish()
    }

    /// A fragment with the bytes `from..to` of this payload, which may be a fragment's itself (FG-4). An error when the
    /// offset does not fit its 24 bits.
    pub fn piece(&self, from: usize, to: usize) -> Result<Bytes, EncodeError> {
        let payload = self.message.get(self.payload_at..).unwrap_or_default();
        let chunk = payload.get(from..to).unwrap_or_default();
        let offset = u32::try_from(from).ok().and_then(|n| n.checked_add(self.fragment.offset));
        let offset =
            offset.filter(|&n| n <= Fragment::MAX_OFFSET).ok_or(EncodeError { field: "fragment" })?;
        let fragment = Fragment { last: self.fragment.last && to == payload.len(), offset };
        let length = self.payload_at + chunk.len();
        let mut w = Writer::with_capacity(length);
        w.raw(self.message.get(..FRAGMENT_AT).unwrap_or_default());
        w.u32(fragment.to_u32());
        w.u32(u32::try_from(length).map_err(|_| EncodeError { field: "length" })?);
        w.raw(self.message.get(LENGTH_AT + 4..self.payload_at).unwrap_or_default());
        w.raw(chunk);
        w.finish()
    }
}

/// A Resource-ID may stand at the end of a Destination List and nowhere else (DL-4).
fn check_list(mut r: Reader<'_>, may_end_in_resource: bool) -> Result<(), DecodeError> {
    while !r.is_empty() {
        let misplaced = r.error(DecodeErrorKind::InvalidValue, "destination type");
        let destination = Destination::read(&mut r)?;
        if matches!(destination, Destination::Resource(_)) && !(may_end_in_resource && r.is_empty()) {
            return Err(misplaced);
        }
    }
    Ok(())
}
