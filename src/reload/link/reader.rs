//! Frames out of a stream (FR-5, FR-6): cut anywhere, several at a time, and none buffered that is too large.

use crate::reload::codec::ForwardingHeader;
use crate::reload::codec::framing::{DATA_HEADER, Frame};
use crate::wire::DecodeError;
use bytes::{Bytes, BytesMut};

/// Bytes behind the forwarding header that tell a request from an answer.
const MESSAGE_CODE: usize = 2;

/// What stood next in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A frame.
    Frame(Frame),
    /// A message announced to be larger than any may be. Nothing can be read behind it: the link is over (FR-6).
    Oversized {
        /// Its length.
        length: usize,
        /// Its forwarding header and message code; `None` when the header alone is too large.
        beginning: Option<Bytes>,
    },
}

/// Cuts a stream into frames. It holds less than one frame, and of a frame that is too large no more than its header.
#[derive(Clone, Debug)]
pub struct Reader {
    partial: BytesMut,
    max_message_size: usize,
    /// The message that is coming is too large; this is its length.
    oversized: Option<usize>,
}

impl Reader {
    /// The beginning of a stream.
    pub fn new(max_message_size: usize) -> Self {
        Reader { partial: BytesMut::new(), max_message_size, oversized: None }
    }

    /// From now on messages may be so large.
    pub fn set_max_message_size(&mut self, max_message_size: usize) {
        self.max_message_size = max_message_size;
    }

    /// Takes the next piece out of `bytes`, which follow what was handed in before; `None` when they are used up. After an
    /// error or [`Piece::Oversized`] there is no way to go on.
    pub fn next(&mut self, bytes: &mut Bytes) -> Result<Option<Piece>, DecodeError> {
        if self.partial.is_empty() && self.oversized.is_none() {
            // A frame that is there as a whole is not copied.
            let whole = Frame::announced_length(bytes)?.filter(|&n| n <= bytes.len().min(self.max_frame()));
            if let Some(length) = whole {
                return Frame::decode(&bytes.split_to(length)).map(|frame| Some(Piece::Frame(frame)));
            }
        }
        loop {
            let wanted = match self.oversized {
                None => match Frame::announced_length(&self.partial)? {
                    Some(length) if length > self.max_frame() => {
                        self.oversized = Some(length - DATA_HEADER);
                        self.partial.clear();
                        continue;
                    }
                    Some(length) => length,
                    None => self.partial.len() + 1,
                },
                Some(length) => match ForwardingHeader::announced_length(&self.partial) {
                    Some(header) if header > self.max_message_size => {
                        return Ok(Some(Piece::Oversized { length, beginning: None }));
                    }
                    Some(header) => header + MESSAGE_CODE,
                    None => self.partial.len() + 1,
                },
            };
            if self.partial.len() >= wanted {
                let held = self.partial.split().freeze();
                return Ok(Some(match self.oversized {
                    None => Piece::Frame(Frame::decode(&held)?),
                    Some(length) => Piece::Oversized { length, beginning: Some(held) },
                }));
            }
            if bytes.is_empty() {
                return Ok(None);
            }
            let missing = (wanted - self.partial.len()).min(bytes.len());
            self.partial.extend_from_slice(&bytes.split_to(missing));
        }
    }

    const fn max_frame(&self) -> usize {
        DATA_HEADER + self.max_message_size
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    const MAX: usize = 100;

    fn data(sequence: u32, length: usize) -> Frame {
        Frame::Data { sequence, message: Bytes::from(vec![sequence as u8; length]) }
    }

    #[test]
    fn fr5_the_largest_message_is_a_frame_in_pieces_too_and_the_limit_can_grow() {
        let mut reader = Reader::new(MAX);
        let bytes = data(0, MAX).encode().unwrap();
        let mut halves = [bytes.slice(..50), bytes.slice(50..)];
        assert_eq!(reader.next(&mut halves[0]), Ok(None));
        assert_eq!(reader.next(&mut halves[1]), Ok(Some(Piece::Frame(data(0, MAX)))));
        reader.set_max_message_size(MAX + 1);
        let mut larger = data(1, MAX + 1).encode().unwrap();
        assert_eq!(reader.next(&mut larger), Ok(Some(Piece::Frame(data(1, MAX + 1)))));
    }

    fn frames() -> Vec<Frame> {
        vec![
            data(0, MAX),
            Frame::Ack { ack_sequence: 7, received: 3 },
            data(1, 0),
            data(2, 1),
            Frame::Ack { ack_sequence: 0x8080_8181, received: 0 },
            data(3, 17),
        ]
    }

    fn stream(frames: &[Frame]) -> Vec<u8> {
        frames.iter().flat_map(|f| f.encode().unwrap()).collect()
    }

    fn read(reader: &mut Reader, chunk: &[u8]) -> Result<Vec<Piece>, DecodeError> {
        let (mut bytes, mut pieces) = (Bytes::copy_from_slice(chunk), Vec::new());
        while let Some(piece) = reader.next(&mut bytes)? {
            let over = matches!(piece, Piece::Oversized { .. });
            pieces.push(piece);
            if over {
                return Ok(pieces);
            }
        }
        assert!(bytes.is_empty(), "everything is taken");
        assert!(reader.partial.len() < DATA_HEADER + MAX, "K8");
        Ok(pieces)
    }

    #[test]
    fn fr5_a_stream_cut_in_two_anywhere_gives_the_same_frames() {
        let stream = stream(&frames());
        let expected: Vec<Piece> = frames().into_iter().map(Piece::Frame).collect();
        for cut in 0..=stream.len() {
            let mut reader = Reader::new(MAX);
            let mut pieces = read(&mut reader, &stream[..cut]).unwrap();
            pieces.extend(read(&mut reader, &stream[cut..]).unwrap());
            assert_eq!(pieces, expected, "cut at {cut}");
        }
    }

    #[test]
    fn fr5_a_stream_in_pieces_of_any_size_gives_the_same_frames() {
        let stream = stream(&frames());
        let expected: Vec<Piece> = frames().into_iter().map(Piece::Frame).collect();
        for size in 1..20 {
            let mut reader = Reader::new(MAX);
            let pieces: Vec<Piece> =
                stream.chunks(size).flat_map(|chunk| read(&mut reader, chunk).unwrap()).collect();
            assert_eq!(pieces, expected, "{size} bytes at a time");
        }
    }

    #[test]
    fn fr6_of_a_message_that_is_too_large_no_more_than_the_header_is_waited_for() {
        let header = ForwardingHeader::new(1, 2, vec![crate::ids::NodeId([3; 16]).into()]);
        let message = header.encode(&[0x55; MAX]).unwrap();
        let stream = stream(&[data(0, 5), Frame::Data { sequence: 1, message: message.clone() }]);
        let enough = 8 + 5 + 8 + 38 + 18 + 2;
        for size in 1..enough {
            let mut reader = Reader::new(MAX);
            let mut pieces = Vec::new();
            for chunk in stream[..enough].chunks(size) {
                pieces.extend(read(&mut reader, chunk).unwrap());
            }
            let beginning = Some(message.slice(..38 + 18 + 2));
            assert_eq!(pieces[1], Piece::Oversized { length: message.len(), beginning }, "{size}");
        }
        let mut reader = Reader::new(MAX);
        assert_eq!(read(&mut reader, &stream[..enough - 1]).unwrap().len(), 1);
    }

    #[test]
    fn fr6_a_header_that_is_too_large_by_itself_is_not_waited_for() {
        let mut start = vec![0x80, 0, 0, 0, 0, 0xff, 0xff, 0xff];
        start.extend([0; 32]);
        start.extend([0, 60, 0, 3, 0, 0]);
        let oversized = Piece::Oversized { length: 0xff_ffff, beginning: None };
        assert_eq!(read(&mut Reader::new(MAX), &start), Ok(vec![oversized]));
        // One of 100 bytes is: it is as large as a message may be.
        start[41] = 59;
        assert_eq!(read(&mut Reader::new(MAX), &start), Ok(vec![]));
    }

    #[test]
    fn fr5_what_is_no_frame_is_refused_at_its_first_byte() {
        for garbage in [&b"GET / HTTP/1.1"[..], &[0x16, 3, 1], &[0x82]] {
            assert!(read(&mut Reader::new(MAX), garbage).is_err());
            let mut reader = Reader::new(MAX);
            read(&mut reader, &stream(&frames())).unwrap();
            assert!(read(&mut reader, garbage).is_err(), "behind good frames too");
        }
    }
}
