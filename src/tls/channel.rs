//! TLS over a stream, 1.3 or 1.2, with a certificate at both ends (RFC 6940 §6.6.1, §13.6.4).
//!
//! There is no server name, no session resumption, no early data and no renegotiation.

use super::trust::Judge;
use super::verifier::{Verifier, judgement};
use super::{Identity, IdentityError};
use crate::env::{Channel, ChannelError, Channels, Party};
use crate::time::{Duration, Instant, UnixMillis};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::mem;
use core::net::{IpAddr, Ipv4Addr};
use rustls::client::Resumption;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use std::io::{BufRead as _, Write as _};

/// The most bytes that the other end's part of a handshake may have: more than a chain of the largest certificates.
pub const MAX_HANDSHAKE: usize = 32 * 1024;
/// The most bytes of plaintext that wait for the handshake to end.
pub const MAX_WAITING: usize = 64 * 1024;
/// The most bytes of ciphertext that wait for the caller to take them.
pub const MAX_UNSENT: usize = 1024 * 1024;
/// The most bytes of plaintext that wait for the caller to take them.
pub const MAX_UNREAD: usize = 1024 * 1024;

/// Takes the lines of a key log (the format of SSLKEYLOGFILE, without a line end), with which Wireshark reads what was
/// recorded. Whoever has the lines can read everything.
pub type KeyLog = Arc<dyn Fn(&str) + Send + Sync>;

/// Makes TLS channels for one identity.
#[derive(Clone, Debug)]
pub struct Tls {
    client: ClientConfig,
    server: ServerConfig,
    judge: Arc<Judge>,
}

impl Tls {
    /// Channels with this identity's certificate, to nodes that it believes.
    pub fn new(identity: &Identity) -> Result<Self, IdentityError> {
        let judge = identity.judge().clone();
        let verifier = Arc::new(Verifier(judge.clone()));
        let own = Arc::new(SingleCertAndKey::from(identity.certified()));
        let time = Arc::new(At(UnixMillis::default()));

        let mut client = ClientConfig::builder_with_details(judge.provider().clone(), time.clone())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|_| IdentityError::Library)?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_cert_resolver(own.clone());
        client.enable_sni = false;
        client.resumption = Resumption::disabled();
        client.require_ems = true;

        let mut server = ServerConfig::builder_with_details(judge.provider().clone(), time)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|_| IdentityError::Library)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(own);
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.max_early_data_size = 0;
        server.require_ems = true;
        Ok(Tls { client, server, judge })
    }

    /// The same with a log of the keys of every channel.
    pub fn with_key_log(mut self, log: KeyLog) -> Self {
        let log = Arc::new(Log(log));
        self.client.key_log = log.clone();
        self.server.key_log = log;
        self
    }

    fn channel(&self, at: UnixMillis, mut connection: Result<Connection, rustls::Error>) -> Box<dyn Channel> {
        if let Ok(connection) = &mut connection {
            // The channel has limits of its own, and takes all of a message or nothing.
            connection.set_buffer_limit(None);
        }
        let over = connection.is_err().then_some(ChannelError::Protocol);
        let mut channel = TlsChannel {
            connection: connection.ok(),
            judge: self.judge.clone(),
            at,
            party: None,
            handshake: 0,
            waiting: Vec::new(),
            ciphertext: Vec::new(),
            plaintext: VecDeque::new(),
            unread: 0,
            over,
        };
        channel.flush();
        Box::new(channel)
    }
}

impl Channels for Tls {
    fn connect(&mut self, _now: Instant, at: UnixMillis) -> Box<dyn Channel> {
        let mut config = self.client.clone();
        config.time_provider = Arc::new(At(at));
        // Names play no part: this one is neither sent nor compared.
        let name = ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        self.channel(at, ClientConnection::new(Arc::new(config), name).map(Connection::from))
    }

    fn accept(&mut self, _now: Instant, at: UnixMillis) -> Box<dyn Channel> {
        let mut config = self.server.clone();
        config.time_provider = Arc::new(At(at));
        self.channel(at, ServerConnection::new(Arc::new(config)).map(Connection::from))
    }
}

/// The time of day when a channel began.
#[derive(Debug)]
struct At(UnixMillis);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.0.0)))
    }
}

struct Log(KeyLog);

impl rustls::KeyLog for Log {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        (self.0)(&format!("{label} {} {}", Hex(client_random), Hex(secret)));
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// One end of a stream.
struct TlsChannel {
    /// `None` when the library could not begin one.
    connection: Option<Connection>,
    judge: Arc<Judge>,
    at: UnixMillis,
    party: Option<Arc<Party>>,
    /// Bytes of the other end's handshake so far.
    handshake: usize,
    /// Plaintext until the handshake is done.
    waiting: Vec<u8>,
    ciphertext: Vec<u8>,
    plaintext: VecDeque<Bytes>,
    /// Bytes in `plaintext`.
    unread: usize,
    over: Option<ChannelError>,
}

impl TlsChannel {
    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), ChannelError> {
        while !bytes.is_empty() {
            let Some(connection) = &mut self.connection else { return Err(ChannelError::Protocol) };
            let before = bytes.len();
            // This takes some thousand bytes at a time.
            connection.read_tls(&mut bytes).map_err(|_| ChannelError::Protocol)?;
            let state = connection.process_new_packets().map_err(|e| reason(&e))?;
            if connection.is_handshaking() {
                self.handshake += before - bytes.len();
                if self.handshake > MAX_HANDSHAKE {
                    return Err(ChannelError::Protocol);
                }
            } else if self.party.is_none() {
                self.established()?;
            }
            self.read()?;
            if state.peer_has_closed() {
                self.goodbye();
                return Err(ChannelError::Closed);
            }
        }
        Ok(())
    }

    /// The handshake is done: who is it, and what has waited for it?
    fn established(&mut self) -> Result<(), ChannelError> {
        let Some(connection) = &mut self.connection else { return Err(ChannelError::Protocol) };
        let chain: Vec<&[u8]> =
            connection.peer_certificates().unwrap_or_default().iter().map(AsRef::as_ref).collect();
        self.party = Some(self.judge.peer(self.at, &chain).map_err(ChannelError::Certificate)?);
        let waiting = mem::take(&mut self.waiting);
        self.write(&waiting)
    }

    /// Decrypted bytes to where the caller finds them.
    fn read(&mut self) -> Result<(), ChannelError> {
        let (Some(connection), Some(_)) = (&mut self.connection, &self.party) else { return Ok(()) };
        let mut reader = connection.reader();
        while let Ok(piece @ [_, ..]) = reader.fill_buf() {
            let piece = Bytes::copy_from_slice(piece);
            reader.consume(piece.len());
            self.unread += piece.len();
            self.plaintext.push_back(piece);
            if self.unread > MAX_UNREAD {
                return Err(ChannelError::Full);
            }
        }
        Ok(())
    }

    fn write(&mut self, plaintext: &[u8]) -> Result<(), ChannelError> {
        let Some(connection) = &mut self.connection else { return Err(ChannelError::Protocol) };
        connection.writer().write_all(plaintext).map_err(|_| ChannelError::Protocol)
    }

    fn goodbye(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.send_close_notify();
        }
    }

    /// Ciphertext to where the caller finds it.
    fn flush(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        while connection.wants_write() {
            if connection.write_tls(&mut self.ciphertext).is_err() {
                return;
            }
        }
    }
}

impl Channel for TlsChannel {
    fn handle_ciphertext(&mut self, _now: Instant, bytes: &[u8]) -> Result<(), ChannelError> {
        self.over.map_or(Ok(()), Err)?;
        let result = self.feed(bytes);
        // Whatever happened: an alert says so to the other end.
        self.flush();
        self.over = result.err();
        result
    }

    fn send(&mut self, _now: Instant, plaintext: &[u8]) -> Result<(), ChannelError> {
        self.over.map_or(Ok(()), Err)?;
        if self.party.is_none() {
            if self.waiting.len() + plaintext.len() > MAX_WAITING {
                return Err(ChannelError::Full);
            }
            self.waiting.extend_from_slice(plaintext);
            return Ok(());
        }
        if self.ciphertext.len() + plaintext.len() > MAX_UNSENT {
            return Err(ChannelError::Full);
        }
        self.write(plaintext)?;
        self.flush();
        Ok(())
    }

    fn close(&mut self, _now: Instant) {
        if self.over.is_none() {
            self.over = Some(ChannelError::Closed);
            self.goodbye();
            self.flush();
        }
    }

    fn poll_ciphertext(&mut self) -> Option<Bytes> {
        (!self.ciphertext.is_empty()).then(|| mem::take(&mut self.ciphertext).into())
    }

    fn poll_plaintext(&mut self) -> Option<Bytes> {
        let piece = self.plaintext.pop_front()?;
        self.unread -= piece.len();
        Some(piece)
    }

    fn peer(&self) -> Option<&Arc<Party>> {
        self.party.as_ref()
    }
}

fn reason(error: &rustls::Error) -> ChannelError {
    judgement(error).map_or(ChannelError::Protocol, ChannelError::Certificate)
}
