//! The framing header of overlay links (RFC 6940 §6.6.2).
//!
//! ```text
//! data  80 | u32 sequence     | opaque message<0..2^24-1>
//! ack   81 | u32 ack_sequence | u32 received
//! ```

use crate::wire::{DecodeError, DecodeErrorKind, EncodeError, Reader, Writer};
use bytes::Bytes;

const DATA: u8 = 0x80;
const ACK: u8 = 0x81;
/// Bytes in front of the message of a data frame.
pub(crate) const DATA_HEADER: usize = 8;
const ACK_LENGTH: usize = 9;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message.
    Data {
        /// From 0, one more for every data frame sent on this link, retransmissions included (FR-1).
        sequence: u32,
        /// One message or fragment, as [`ForwardingHeader::decode`](super::ForwardingHeader::decode) takes it.
        message: Bytes,
    },
    /// The acknowledgement of a data frame.
    Ack {
        /// The number of the data frame that it answers.
        ack_sequence: u32,
        /// Bit N−M−1 tells that M was received too, N being `ack_sequence` and N−32 ≤ M < N (FR-3). Advisory: 0 means
        /// unknown (FR-4).
        received: u32,
    },
}

impl Frame {
    /// Reads a datagram, which holds exactly one frame.
    pub fn decode(datagram: &Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new(datagram);
        let frame = Self::read(&mut r)?;
        r.finish("framing header")?;
        Ok(frame)
    }

    /// How many bytes the frame that begins here has in all; `None` when too few are there to tell.
    pub fn announced_length(start: &[u8]) -> Result<Option<usize>, DecodeError> {
        match start.first() {
            None => Ok(None),
            Some(&DATA) => Ok(start
                .first_chunk::<DATA_HEADER>()
                .map(|head| DATA_HEADER + u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize)),
            Some(&ACK) => Ok(Some(ACK_LENGTH)),
            Some(_) => Err(DecodeError {
                kind: DecodeErrorKind::InvalidValue,
                field: "FramedMessageType",
                offset: 0,
            }),
        }
    }

    /// Reads the first frame of a stream and how many bytes it took; `None` when bytes are still missing.
    ///
    /// A data frame whose message is longer than `max_message_size` bytes is refused as soon as its length is there,
    /// before anybody buffers it (FR-5).
    pub fn decode_stream(
        received: &Bytes,
        max_message_size: usize,
    ) -> Result<Option<(Self, usize)>, DecodeError> {
        let Some(length) = Self::announced_length(received)? else { return Ok(None) };
        if length > DATA_HEADER + max_message_size && received.first() == Some(&DATA) {
            return Err(DecodeError { kind: DecodeErrorKind::TooLong, field: "message", offset: 5 });
        }
        if received.len() < length {
            return Ok(None);
        }
        let mut r = Reader::new(received);
        Self::read(&mut r).map(|frame| Some((frame, r.offset())))
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let unknown = r.error(DecodeErrorKind::InvalidValue, "FramedMessageType");
        match r.u8("FramedMessageType")? {
            DATA => Ok(Frame::Data { sequence: r.u32("sequence")?, message: r.sub24("message")?.rest() }),
            ACK => Ok(Frame::Ack { ack_sequence: r.u32("ack_sequence")?, received: r.u32("received")? }),
            _ => Err(unknown),
        }
    }

    /// The frame as bytes; an error when the message has 2^24 bytes or more.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        match self {
            Frame::Data { sequence, message } => {
                let mut w = Writer::with_capacity(DATA_HEADER + message.len());
                w.u8(DATA);
                w.u32(*sequence);
                w.sub24("message", |w| w.raw(message));
                w.finish()
            }
            Frame::Ack { ack_sequence, received } => {
                let mut w = Writer::with_capacity(ACK_LENGTH);
                w.u8(ACK);
                w.u32(*ack_sequence);
                w.u32(*received);
                w.finish()
            }
        }
    }
}
