//! Whole messages, and what they say: the message contents with their extensions (RFC 6940 §6.3, §6.3.3).

use super::{
    Body, ExtensionType, ForwardingHeader, Fragment, MessageCode, SecurityBlock, Structure, read_bool,
    read_list, write_bool, write_list,
};
use crate::wire::{DecodeError, DecodeErrorKind, EncodeError, Reader, Writer};
use alloc::vec::Vec;
use bytes::Bytes;

/// An extension of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageExtension {
    /// Its type.
    pub extension_type: ExtensionType,
    /// Whether a message must be refused when this is not understood (MC-4).
    pub critical: bool,
    /// What it says.
    pub extension_contents: Bytes,
}

impl Structure for MessageExtension {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(MessageExtension {
            extension_type: ExtensionType::read(r)?,
            critical: read_bool(r, "critical")?,
            extension_contents: r.sub32("extension_contents")?.rest(),
        })
    }

    fn write(&self, w: &mut Writer) {
        self.extension_type.write(w);
        write_bool(w, self.critical);
        w.sub32("extension_contents", |w| w.raw(&self.extension_contents));
    }
}

/// The second part of a message: what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageContents {
    /// The method, and whether it is asked or answered.
    pub message_code: MessageCode,
    /// The body, not looked at yet.
    pub message_body: Bytes,
    /// Extensions, in the order of the message.
    pub extensions: Vec<MessageExtension>,
}

impl MessageContents {
    /// Contents with this body and no extensions.
    pub fn new(body: &Body) -> Result<Self, EncodeError> {
        Ok(MessageContents {
            message_code: body.message_code(),
            message_body: body.encode()?,
            extensions: Vec::new(),
        })
    }

    /// Reads the body. Offsets of errors count from the start of the body.
    pub fn body(&self) -> Result<Body, DecodeError> {
        Body::decode(self.message_code, &self.message_body)
    }

    /// The first extension that must be understood (MC-4). This version understands none: with one of these a request
    /// is answered with Error_Unknown_Extension.
    pub fn critical_extension(&self) -> Option<ExtensionType> {
        self.extensions.iter().find(|e| e.critical).map(|e| e.extension_type)
    }
}

impl Structure for MessageContents {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(MessageContents {
            message_code: MessageCode::read(r)?,
            message_body: r.sub32("message_body")?.rest(),
            extensions: read_list(r.sub32("extensions")?)?,
        })
    }

    fn write(&self, w: &mut Writer) {
        self.message_code.write(w);
        w.sub32("message_body", |w| w.raw(&self.message_body));
        w.sub32("extensions", |w| write_list(w, &self.extensions));
    }
}

/// What lies behind the forwarding header of a whole message, and what fragments are cut from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// What it says.
    pub contents: MessageContents,
    /// Who says so.
    pub security: SecurityBlock,
}

impl Structure for Payload {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Payload { contents: MessageContents::read(r)?, security: SecurityBlock::read(r)? })
    }

    fn write(&self, w: &mut Writer) {
        self.contents.write(w);
        self.security.write(w);
    }
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it goes.
    pub header: ForwardingHeader,
    /// What it says.
    pub contents: MessageContents,
    /// Who says so.
    pub security: SecurityBlock,
}

impl Message {
    /// Reads a whole message. A fragment is refused: its payload begins or ends in the middle of something.
    pub fn decode(message: &Bytes) -> Result<Self, DecodeError> {
        let (header, payload) = ForwardingHeader::decode(message)?;
        if header.fragment != Fragment::WHOLE {
            return Err(DecodeError { kind: DecodeErrorKind::InvalidValue, field: "fragment", offset: 12 });
        }
        let behind = message.len() - payload.len();
        let Payload { contents, security } =
            Payload::decode(&payload).map_err(|e| DecodeError { offset: e.offset + behind, ..e })?;
        Ok(Message { header, contents, security })
    }

    /// The message as bytes, with all lengths computed.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut w = Writer::new();
        self.contents.write(&mut w);
        self.security.write(&mut w);
        self.header.encode(&w.finish()?)
    }
}
