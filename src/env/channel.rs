//! Secured channels: what TLS and DTLS are to the planes above them.

use super::{CryptoError, Party};
use crate::time::{Instant, UnixMillis};
use alloc::boxed::Box;
use alloc::sync::Arc;
use bytes::Bytes;

/// One end of one TLS stream or DTLS association, without I/O: ciphertext in, plaintext out, and back.
///
/// Over a stream the pieces of ciphertext may be cut anywhere; over datagrams one piece is one datagram, both ways, and one
/// piece of plaintext one record. After every call the caller polls until nothing is left.
pub trait Channel: Send {
    /// Ciphertext arrived. After an error the channel is over: what [`Channel::poll_ciphertext`] still holds (an alert) may
    /// be sent, then the transport is closed.
    fn handle_ciphertext(&mut self, now: Instant, bytes: &[u8]) -> Result<(), ChannelError>;

    /// Takes plaintext to send. Before the handshake is done it waits inside, up to a limit.
    fn send(&mut self, now: Instant, plaintext: &[u8]) -> Result<(), ChannelError>;

    /// Says goodbye (close_notify).
    fn close(&mut self, now: Instant);

    /// The next piece of ciphertext to send, oldest first.
    fn poll_ciphertext(&mut self) -> Option<Bytes>;

    /// The next piece of plaintext that arrived, oldest first. Nothing comes before the peer is known.
    fn poll_plaintext(&mut self) -> Option<Bytes>;

    /// Who is at the other end; `None` until the handshake is done and the certificate has been found good.
    fn peer(&self) -> Option<&Arc<Party>>;

    /// When [`Channel::handle_timeout`] must be called: a DTLS handshake repeats its flights, a TLS stream has none.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Fires what is due. An error ends the channel.
    fn handle_timeout(&mut self, _now: Instant) -> Result<(), ChannelError> {
        Ok(())
    }
}

/// Makes channels, each end with this node's certificate, and asks the other end for its own.
pub trait Channels: Send {
    /// The end of whoever dials (the TLS client). `at` is the time of day for the validity of certificates.
    fn connect(&mut self, now: Instant, at: UnixMillis) -> Box<dyn Channel>;

    /// The end of whoever was dialled (the TLS server).
    fn accept(&mut self, now: Instant, at: UnixMillis) -> Box<dyn Channel>;
}

/// Why a channel is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The other end closed it in order.
    #[error("closed by the other end")]
    Closed,
    /// The other end's certificate is missing or not accepted.
    #[error("the other end's certificate: {0}")]
    Certificate(CryptoError),
    /// The bytes break the protocol, or an alert came.
    #[error("protocol violated")]
    Protocol,
    /// More plaintext waits than may wait.
    #[error("too much waits to be sent")]
    Full,
    /// The handshake did not end in time.
    #[error("no answer")]
    Timeout,
}
