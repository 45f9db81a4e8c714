//! Associations without secrets.

use super::{Channel, ChannelError, Channels, Party};
use crate::ids::{KeyFingerprint, NodeId};
use crate::time::{Instant, UnixMillis};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use bytes::Bytes;

/// Associations that hide nothing and prove nothing, as [`InsecureChannels`](super::InsecureChannels) for datagrams.
///
/// What DTLS does to the datagrams of a handshake happens here too, so that whoever carries them can be tried: the first
/// ones can be told from others, a stranger is only listened to after he has given back a cookie, and what is lost is sent
/// again.
///
/// ```text
///   dials                         was dialled
///   ClientHello        ──▶
///                      ◀──        HelloVerifyRequest, cookie
///   ClientHello, cookie, Node-ID ──▶
///                      ◀──        ServerHello, Node-ID
///   data               ◀─▶        data
/// ```
#[derive(Clone, Debug)]
pub struct InsecureAssociations {
    node_id: NodeId,
    /// Ends made so far: cookies differ.
    made: u32,
}

impl InsecureAssociations {
    /// What stands before the plaintext of a datagram.
    pub const DATA: [u8; 5] = [23, 0xfe, 0xfd, 0, 1];

    /// The associations of whoever claims this Node-ID.
    pub const fn new(node_id: NodeId) -> Self {
        InsecureAssociations { node_id, made: 0 }
    }

    fn open(&mut self, now: Instant, dials: bool) -> Box<dyn Channel> {
        self.made = self.made.wrapping_add(1);
        let mut association = InsecureAssociation {
            node_id: self.node_id,
            cookie: if dials { 0 } else { self.made },
            peer: None,
            outgoing: VecDeque::new(),
            waiting: VecDeque::new(),
            plaintext: VecDeque::new(),
            again: None,
            flights: 0,
            closed: false,
        };
        if dials {
            association.dial(now);
        }
        Box::new(association)
    }
}

impl Channels for InsecureAssociations {
    fn connect(&mut self, now: Instant, _at: UnixMillis) -> Box<dyn Channel> {
        self.open(now, true)
    }

    fn accept(&mut self, now: Instant, _at: UnixMillis) -> Box<dyn Channel> {
        self.open(now, false)
    }
}

/// One end.
struct InsecureAssociation {
    node_id: NodeId,
    /// Of whoever dials the one that he was sent, 0 before that; of the other end its own.
    cookie: u32,
    peer: Option<Arc<Party>>,
    outgoing: VecDeque<Bytes>,
    waiting: VecDeque<Bytes>,
    plaintext: VecDeque<Bytes>,
    /// When the ClientHello is sent again; none at the end that was dialled.
    again: Option<Instant>,
    flights: u32,
    closed: bool,
}

impl InsecureAssociation {
    const CLIENT_HELLO: u8 = 1;
    const SERVER_HELLO: u8 = 2;
    const HELLO_VERIFY_REQUEST: u8 = 3;
    /// A record of a handshake without keys, up to the type of its message.
    const HANDSHAKE: [u8; 13] = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 21];
    const CLOSE_NOTIFY: [u8; 5] = [21, 0xfe, 0xfd, 0, 1];
    const FLIGHT: core::time::Duration = core::time::Duration::from_millis(500);
    const FLIGHTS: u32 = 6;
    /// Datagrams that may wait for the other end.
    const WAITING: usize = 64;

    fn hello(&mut self, kind: u8) {
        let cookie = self.cookie.to_be_bytes();
        self.outgoing.push_back([&Self::HANDSHAKE, &[kind][..], &cookie, &self.node_id.0].concat().into());
    }

    fn dial(&mut self, now: Instant) {
        self.hello(Self::CLIENT_HELLO);
        self.again = Some(now + Self::FLIGHT * (1 << self.flights));
        self.flights += 1;
    }

    fn meet(&mut self, node_id: NodeId) {
        let key = KeyFingerprint::of(&node_id.0);
        let party = Party { node_id, node_ids: vec![node_id], user: None, key, certificate: None };
        self.peer = Some(Arc::new(party));
        self.again = None;
        let data = |plaintext: Bytes| Bytes::from([&InsecureAssociations::DATA, &plaintext[..]].concat());
        self.outgoing.extend(self.waiting.drain(..).map(data));
    }

    fn on_handshake(&mut self, now: Instant, kind: u8, cookie: u32, node_id: NodeId) {
        let dialled = self.flights == 0;
        match kind {
            Self::CLIENT_HELLO if dialled && cookie != self.cookie => self.hello(Self::HELLO_VERIFY_REQUEST),
            Self::CLIENT_HELLO if dialled => {
                self.hello(Self::SERVER_HELLO);
                self.meet(node_id);
            }
            Self::HELLO_VERIFY_REQUEST if !dialled && self.peer.is_none() && self.cookie != cookie => {
                self.cookie = cookie;
                self.flights = 0;
                self.dial(now);
            }
            Self::SERVER_HELLO if !dialled && self.peer.is_none() && self.cookie == cookie => {
                self.meet(node_id);
            }
            _ => {}
        }
    }
}

impl Channel for InsecureAssociation {
    fn handle_ciphertext(&mut self, now: Instant, bytes: &[u8]) -> Result<(), ChannelError> {
        if let Some([kind, rest @ ..]) = bytes.strip_prefix(&Self::HANDSHAKE)
            && let Some((cookie, node_id)) = rest.split_first_chunk()
            && let Ok(node_id) = node_id.try_into()
        {
            self.on_handshake(now, *kind, u32::from_be_bytes(*cookie), NodeId(node_id));
        } else if self.peer.is_some()
            && let Some(plaintext) = bytes.strip_prefix(&InsecureAssociations::DATA)
        {
            self.plaintext.push_back(Bytes::copy_from_slice(plaintext));
        } else if self.peer.is_some() && bytes == Self::CLOSE_NOTIFY {
            self.closed = true;
        }
        // Anything else is noise.
        if self.closed { Err(ChannelError::Closed) } else { Ok(()) }
    }

    fn send(&mut self, _now: Instant, plaintext: &[u8]) -> Result<(), ChannelError> {
        if self.closed {
            return Err(ChannelError::Closed);
        }
        if self.peer.is_some() {
            self.outgoing.push_back([&InsecureAssociations::DATA, plaintext].concat().into());
        } else if self.waiting.len() < Self::WAITING {
            self.waiting.push_back(Bytes::copy_from_slice(plaintext));
        } else {
            return Err(ChannelError::Full);
        }
        Ok(())
    }

    fn close(&mut self, _now: Instant) {
        if self.peer.is_some() && !self.closed {
            self.outgoing.push_back(Bytes::from_static(&Self::CLOSE_NOTIFY));
        }
        self.closed = true;
    }

    fn poll_ciphertext(&mut self) -> Option<Bytes> {
        self.outgoing.pop_front()
    }

    fn poll_plaintext(&mut self) -> Option<Bytes> {
        self.plaintext.pop_front()
    }

    fn peer(&self) -> Option<&Arc<Party>> {
        self.peer.as_ref()
    }

    fn deadline(&self) -> Option<Instant> {
        self.again
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), ChannelError> {
        if self.again.is_none_or(|at| now < at) {
            return Ok(());
        }
        if self.flights >= Self::FLIGHTS {
            (self.again, self.closed) = (None, true);
            return Err(ChannelError::Timeout);
        }
        self.dial(now);
        Ok(())
    }
}
