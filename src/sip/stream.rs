//! Messages on a stream (RFC 3261 §7.5, §18.3; keep-alives of RFC 5626 §3.5.1).
//!
//! What comes out does not depend on how the bytes were cut on their way. Content-Length says where a message ends, so
//! whatever leaves that in doubt ends the stream: a message without it, with two of them, one that is too large, a line
//! end that is not CRLF. Sizes are judged before bytes are waited for. Messages that were complete before the error come
//! out before it.

use super::msg::{MAX_BODY, MAX_HEAD, Message};
use crate::wire::{DecodeError, DecodeErrorKind};
use bytes::{Bytes, BytesMut};

/// The most bytes that may wait to be taken out.
pub const MAX_BACKLOG: usize = 1024 * 1024;

/// What a stream carries.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a frame leaves in the turn it is made in, and nearly all are messages"
)]
pub enum Frame {
    /// A message.
    Message(Message),
    /// An empty double line, to be answered with [`PONG`].
    Ping,
}

/// What answers a [`Frame::Ping`].
pub const PONG: Bytes = Bytes::from_static(b"\r\n");

/// What keeps a stream alive, and is answered by [`PONG`].
pub const PING: Bytes = Bytes::from_static(b"\r\n\r\n");

/// Cuts a stream into messages.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
    /// How far the end of a head was looked for already.
    searched: usize,
    /// The length of the message at the front, once its head is complete.
    frame: Option<usize>,
    /// Bytes of the stream before `buffer`.
    passed: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Reading,
    Failing(DecodeError),
    Dead,
}

impl Framer {
    /// A framer at the beginning of a stream.
    pub fn new() -> Self {
        Framer::default()
    }

    /// Takes bytes from the stream. After an error they are dropped.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.state != State::Reading {
            return;
        }
        if self.buffer.len() + bytes.len() > MAX_BACKLOG {
            return self.fail(DecodeErrorKind::TooLong, "stream", self.buffer.len());
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, or the error that ends the stream: it comes once, and nothing comes after it.
    pub fn next_frame(&mut self) -> Option<Result<Frame, DecodeError>> {
        if self.state == State::Reading
            && let Some(frame) = self.read()
        {
            return Some(Ok(frame));
        }
        match self.state {
            State::Failing(error) => {
                self.state = State::Dead;
                self.buffer.clear();
                Some(Err(error))
            }
            State::Reading | State::Dead => None,
        }
    }

    /// Bytes that wait for the rest of their message.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    fn fail(&mut self, kind: DecodeErrorKind, field: &'static str, at: usize) {
        self.state = State::Failing(DecodeError { kind, field, offset: self.passed + at });
    }

    fn take(&mut self, n: usize) -> Bytes {
        (self.searched, self.frame) = (0, None);
        self.passed = self.passed.saturating_add(n);
        self.buffer.split_to(n.min(self.buffer.len())).freeze()
    }

    fn read(&mut self) -> Option<Frame> {
        loop {
            match *self.buffer {
                [b'\r', b'\n', b'\r', b'\n', ..] => {
                    self.take(4);
                    return Some(Frame::Ping);
                }
                // Half of a ping, or a pong; which of the two the next byte tells.
                [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => return None,
                [b'\r', b'\n', ..] => {
                    self.take(2);
                }
                _ => break,
            }
        }
        let length = match self.frame {
            Some(length) => length,
            None => {
                let length = self.measure()?;
                self.frame = Some(length);
                length
            }
        };
        if self.buffer.len() < length {
            return None;
        }
        let passed = self.passed;
        match Message::parse(self.take(length)) {
            Ok(message) => Some(Frame::Message(message)),
            Err(e) => {
                self.state = State::Failing(DecodeError { offset: passed + e.offset, ..e });
                None
            }
        }
    }

    /// The length of the message at the front: `None` while its head is not complete, or when it is wrong.
    fn measure(&mut self) -> Option<usize> {
        let from = self.searched.saturating_sub(3);
        let unseen = self.buffer.get(from..).unwrap_or_default();
        let Some(end) = unseen.windows(4).position(|w| w == b"\r\n\r\n") else {
            self.searched = self.buffer.len();
            if self.searched > MAX_HEAD {
                self.fail(DecodeErrorKind::TooLong, "message-header", MAX_HEAD);
            }
            return None;
        };
        let body_at = from + end + 4;
        match Message::measure_body(self.buffer.get(..body_at).unwrap_or_default()) {
            Ok(n) if n > MAX_BODY => self.fail(DecodeErrorKind::TooLong, "Content-Length", body_at),
            Ok(n) => return Some(body_at + n),
            Err(e) => self.state = State::Failing(DecodeError { offset: self.passed + e.offset, ..e }),
        }
        None
    }
}
