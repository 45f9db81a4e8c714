//! DTLS over datagrams, 1.3 or 1.2, with a certificate at both ends: the link DTLS-UDP-SR-NO-ICE (RFC 6940 §6.6.1).
//!
//! `dimpl` speaks the protocol and leaves certificates to us. It knows ECDSA keys only, and carries the node's own
//! certificate without those between it and a root: an authority whose nodes use DTLS signs them with a root's key.
//! Records that come twice are dropped, within a window of 64.
//!
//! There is no key log as with [`Tls`](super::Tls): the library gives no secret away but the one for SRTP, so what is
//! captured of these links cannot be read.
//!
//! What a spoofed ClientHello costs whoever was dialled: one channel, one HMAC and an answer of the size of the
//! question, a HelloVerifyRequest (1.2) or HelloRetryRequest (1.3) with a cookie. Keys, certificates and signatures come
//! after the cookie came back. The cookie's secret lies in the channel, so a host bounds how many channels it has whose
//! [`peer`](Channel::peer) is unknown.

use super::trust::Judge;
use super::{Identity, IdentityError, KeyType, MAX_UNREAD, MAX_UNSENT, MAX_WAITING};
use crate::env::{Channel, ChannelError, Channels, Crypto, CryptoError, Party};
use crate::time::{Duration, Instant, UnixMillis};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use bytes::Bytes;
use core::fmt;
use dimpl::{Config, DtlsCertificate, Error, Output, UnexpectedMessageError};
use std::time::Instant as SystemInstant;

/// When a flight of the handshake is sent again for the first time; then after twice as long, and so on, with jitter.
const FLIGHT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a flight is sent again. The library ends a handshake after 40 s in any case.
const FLIGHT_RETRIES: usize = 6;
/// The most bytes of plaintext in a record (RFC 9147 §4).
const MAX_RECORD: usize = 16 * 1024;
/// The largest datagram of a handshake. It travels through every network that carries IPv6.
const MTU: usize = 1232;
/// A deadline farther away is the library's way to say that there is none.
const IDLE: Duration = Duration::from_secs(24 * 3600);
/// As far as the caller's clock is followed.
const LAST: Instant = Instant::from_micros(1 << 60);

/// Makes DTLS channels for one identity with an ECDSA key.
#[derive(Clone)]
pub struct Dtls {
    config: Arc<Config>,
    certificate: DtlsCertificate,
    judge: Arc<Judge>,
    /// The library wants instants of the system's clock. They are counted from this one and never read again.
    zero: SystemInstant,
}

impl Dtls {
    /// Channels with this identity's certificate, to nodes that it believes. An RSA key is refused.
    pub fn new(identity: &Identity) -> Result<Self, IdentityError> {
        let certificate = identity.certificates().first().ok_or(IdentityError::NoCertificate)?.to_vec();
        if identity.key_type() != KeyType::P256 {
            return Err(IdentityError::Key);
        }
        let config = Config::builder()
            .mtu(MTU)
            .require_client_certificate(true)
            .use_server_cookie(true)
            .flight_start_rto(FLIGHT_TIMEOUT)
            .flight_retries(FLIGHT_RETRIES)
            .build()
            .map_err(|_| IdentityError::Library)?;
        Ok(Dtls {
            config: Arc::new(config),
            certificate: DtlsCertificate {
                certificate,
                private_key: identity.private_key().secret_der().to_vec(),
            },
            judge: identity.judge().clone(),
            zero: SystemInstant::now(),
        })
    }

    fn channel(&self, now: Instant, at: UnixMillis, dials: bool) -> Box<dyn Channel> {
        let mut channel = DtlsChannel {
            dtls: dimpl::Dtls::new_auto(self.config.clone(), self.certificate.clone(), self.instant(now)),
            maker: self.clone(),
            at,
            now,
            asserted: None,
            party: None,
            waiting: VecDeque::new(),
            ciphertext: VecDeque::new(),
            plaintext: VecDeque::new(),
            held: Held::default(),
            deadline: None,
            over: None,
        };
        channel.dtls.set_active(dials);
        // This sends the first flight.
        channel.over = channel.turn(now, |_| Ok(())).err();
        Box::new(channel)
    }

    fn instant(&self, now: Instant) -> SystemInstant {
        self.zero.checked_add(now.min(LAST).since(Instant::ZERO)).unwrap_or(self.zero)
    }

    /// Rounded up, so that what is due is due.
    fn deadline(&self, then: SystemInstant) -> Instant {
        Instant::ZERO + then.duration_since(self.zero).saturating_add(Duration::from_nanos(999))
    }
}

impl fmt::Debug for Dtls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dtls").field("judge", &self.judge).finish_non_exhaustive()
    }
}

impl Channels for Dtls {
    fn connect(&mut self, now: Instant, at: UnixMillis) -> Box<dyn Channel> {
        self.channel(now, at, true)
    }

    fn accept(&mut self, now: Instant, at: UnixMillis) -> Box<dyn Channel> {
        self.channel(now, at, false)
    }
}

/// Bytes that wait, by the limit that they count for.
#[derive(Default)]
struct Held {
    waiting: usize,
    unsent: usize,
    unread: usize,
}

/// One end of an association.
struct DtlsChannel {
    dtls: dimpl::Dtls,
    maker: Dtls,
    at: UnixMillis,
    /// The latest that the caller told.
    now: Instant,
    /// Whose certificate was shown and found good. Whether its key is there, too, is known when the handshake is done.
    asserted: Option<Arc<Party>>,
    party: Option<Arc<Party>>,
    /// Plaintext until the handshake is done.
    waiting: VecDeque<Bytes>,
    ciphertext: VecDeque<Bytes>,
    plaintext: VecDeque<Bytes>,
    held: Held,
    deadline: Option<Instant>,
    over: Option<ChannelError>,
}

impl DtlsChannel {
    /// Tells the library the time, does something with it, and takes what comes of it.
    fn turn(
        &mut self,
        now: Instant,
        act: impl FnOnce(&mut dimpl::Dtls) -> Result<(), Error>,
    ) -> Result<(), ChannelError> {
        self.now = self.now.max(now);
        self.dtls.handle_timeout(self.maker.instant(self.now)).map_err(reason)?;
        let acted = act(&mut self.dtls).map_err(reason);
        self.drain()?;
        acted
    }

    fn drain(&mut self) -> Result<(), ChannelError> {
        let mut buffer = [0; MTU].to_vec();
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::BufferTooSmall { needed } => buffer.resize(needed, 0),
                Output::Packet(packet) => {
                    self.held.unsent += packet.len();
                    self.ciphertext.push_back(Bytes::copy_from_slice(packet));
                }
                Output::PeerCert(certificate) => {
                    let judged = self.maker.judge.peer(self.at, &[certificate]);
                    self.asserted = Some(judged.map_err(ChannelError::Certificate)?);
                }
                Output::Connected => {
                    let nobody = ChannelError::Certificate(CryptoError::UnknownSigner);
                    self.party = Some(self.asserted.clone().ok_or(nobody)?);
                    self.held.waiting = 0;
                    for piece in core::mem::take(&mut self.waiting) {
                        self.dtls.send_application_data(&piece).map_err(reason)?;
                    }
                }
                Output::ApplicationData(data) => self.receive(data),
                Output::CloseNotify => return Err(ChannelError::Closed),
                Output::Timeout(then) => {
                    let then = self.maker.deadline(then);
                    self.deadline = (then.since(self.now) < IDLE).then_some(then);
                    return Ok(());
                }
                _ => (),
            }
        }
    }

    /// What is too much is lost, as datagrams are.
    fn receive(&mut self, data: &[u8]) {
        if self.party.is_some() && !data.is_empty() && self.held.unread + data.len() <= MAX_UNREAD {
            self.held.unread += data.len();
            self.plaintext.push_back(Bytes::copy_from_slice(data));
        }
    }

    /// Nothing but an alert leaves a channel that is over.
    fn end(&mut self, result: Result<(), ChannelError>) -> Result<(), ChannelError> {
        if result.is_err() {
            self.over = result.err();
            self.deadline = None;
            if self.party.is_none() {
                self.ciphertext.clear();
                self.held.unsent = 0;
            }
        }
        result
    }
}

impl Channel for DtlsChannel {
    fn handle_ciphertext(&mut self, now: Instant, bytes: &[u8]) -> Result<(), ChannelError> {
        self.over.map_or(Ok(()), Err)?;
        let result = self.turn(now, |dtls| match dtls.handle_packet(bytes) {
            // Whoever dialled waits for the answer that says which version it is. What is no such answer is noise;
            // the library says so before it changes anything.
            Err(Error::UnexpectedMessage(UnexpectedMessageError::UnrecognizedAutoServerResponse)) => Ok(()),
            handled => handled,
        });
        self.end(result)
    }

    fn send(&mut self, now: Instant, plaintext: &[u8]) -> Result<(), ChannelError> {
        self.over.map_or(Ok(()), Err)?;
        let (waits, limit) = match self.party {
            None => (self.held.waiting, MAX_WAITING),
            Some(_) => (self.held.unsent, MAX_UNSENT),
        };
        if plaintext.len() > MAX_RECORD || waits + plaintext.len() > limit {
            return Err(ChannelError::Full);
        }
        if self.party.is_none() {
            self.held.waiting += plaintext.len();
            self.waiting.push_back(Bytes::copy_from_slice(plaintext));
            return Ok(());
        }
        let result = self.turn(now, |dtls| dtls.send_application_data(plaintext).map(|_| ()));
        self.end(result)
    }

    fn close(&mut self, now: Instant) {
        if self.over.is_none() {
            let _ = self.turn(now, dimpl::Dtls::close);
            let _ = self.end(Err(ChannelError::Closed));
        }
    }

    fn poll_ciphertext(&mut self) -> Option<Bytes> {
        let piece = self.ciphertext.pop_front()?;
        self.held.unsent -= piece.len();
        Some(piece)
    }

    fn poll_plaintext(&mut self) -> Option<Bytes> {
        let piece = self.plaintext.pop_front()?;
        self.held.unread -= piece.len();
        Some(piece)
    }

    fn peer(&self) -> Option<&Arc<Party>> {
        self.party.as_ref()
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), ChannelError> {
        self.over.map_or(Ok(()), Err)?;
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Ok(());
        }
        let result = self.turn(now, |_| Ok(()));
        self.end(result)
    }
}

fn reason(error: Error) -> ChannelError {
    match error {
        Error::Timeout(_) => ChannelError::Timeout,
        Error::ConnectionClosed => ChannelError::Closed,
        Error::CertificateError(_) => ChannelError::Certificate(CryptoError::BadCertificate),
        Error::TransmitQueueFull | Error::ReceiveQueueFull => ChannelError::Full,
        _ => ChannelError::Protocol,
    }
}
