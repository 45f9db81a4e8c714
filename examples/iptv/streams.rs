//! The TCP streams of one node: numbers, bounded write buffers, and nothing that a slow peer could make grow.

use bytes::Bytes;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use p2piptv::ids::StreamId;
use p2piptv::node::StreamInput;
use p2piptv::stats::Plane;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};

/// Streams of one node at most; the newest is refused.
pub const MAX_STREAMS: usize = 1024;
/// Bytes that a peer may leave unread before its stream is closed.
pub const MAX_UNWRITTEN: usize = 1 << 18;
/// Bytes taken from one stream before the others have their turn.
const READ_PER_TURN: usize = 1 << 16;

/// What the node must be told at once about a stream it just used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing.
    Nothing,
    /// It is closed.
    Closed,
}

struct Stream {
    id: StreamId,
    socket: TcpStream,
    peer: SocketAddr,
    plane: Plane,
    /// Not yet known whether the connection stands.
    connecting: bool,
    unwritten: VecDeque<Bytes>,
    unwritten_bytes: usize,
    /// The node closed it: what is unwritten still leaves, nothing is read any more.
    closing: bool,
}

/// All streams of one node, by the slot of their poll token and by their number.
pub struct Streams {
    by_slot: BTreeMap<usize, Stream>,
    slots: BTreeMap<StreamId, usize>,
    first_slot: usize,
    end_slot: usize,
    next_slot: usize,
    accepted: u32,
    scratch: Vec<u8>,
}

impl Streams {
    /// None yet; slots are taken from `first_slot..end_slot`.
    pub fn new(first_slot: usize, end_slot: usize) -> Self {
        Streams {
            by_slot: BTreeMap::new(),
            slots: BTreeMap::new(),
            first_slot,
            end_slot,
            next_slot: first_slot,
            accepted: 0,
            scratch: Vec::new(),
        }
    }

    /// This end of a stream and the other, and what it is for.
    pub fn ends(&self, id: StreamId) -> Option<(SocketAddr, SocketAddr, Plane)> {
        let stream = self.by_slot.get(self.slots.get(&id)?)?;
        Some((stream.socket.local_addr().ok()?, stream.peer, stream.plane))
    }

    /// Slots go round, so that a late readiness of an old stream does not meet a new one.
    fn free_slot(&mut self) -> usize {
        loop {
            let slot = self.next_slot;
            self.next_slot = if slot + 1 == self.end_slot { self.first_slot } else { slot + 1 };
            if !self.by_slot.contains_key(&slot) {
                return slot;
            }
        }
    }

    fn add(
        &mut self,
        mut stream: Stream,
        registry: &Registry,
        token: impl Fn(usize) -> Token,
    ) -> io::Result<()> {
        if self.by_slot.len() >= MAX_STREAMS || self.slots.contains_key(&stream.id) {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let slot = self.free_slot();
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream.socket, token(slot), interest)?;
        self.slots.insert(stream.id, slot);
        self.by_slot.insert(slot, stream);
        Ok(())
    }

    /// Accepts what waits at the listener.
    pub fn accept(
        &mut self,
        (listener, plane): (&TcpListener, Plane),
        registry: &Registry,
        token: impl Fn(usize) -> Token,
        mut tell: impl FnMut(StreamId, StreamInput),
    ) {
        while let Ok((socket, peer)) = listener.accept() {
            let id = StreamId::accepted(self.accepted);
            self.accepted = self.accepted.wrapping_add(1);
            // A stream too many is dropped here, which closes it.
            if self.add(Stream::new(id, socket, peer, plane, false), registry, &token).is_ok() {
                tell(id, StreamInput::Opened { peer, plane });
            }
        }
    }

    /// Begins to connect, from the address `home`, where the others know this node; success and failure are told later, an immediate failure at once.
    pub fn connect(
        &mut self,
        id: StreamId,
        (home, to): (IpAddr, SocketAddr),
        plane: Plane,
        registry: &Registry,
        token: impl Fn(usize) -> Token,
    ) -> Told {
        let added = connect(home, to)
            .and_then(|socket| self.add(Stream::new(id, socket, to, plane, true), registry, token));
        if added.is_ok() { Told::Nothing } else { Told::Closed }
    }

    /// Writes, or keeps what cannot be written now. A peer that does not read loses its stream.
    pub fn write(&mut self, id: StreamId, bytes: Bytes, registry: &Registry) -> Told {
        let Some(&slot) = self.slots.get(&id) else { return Told::Nothing };
        let Some(stream) = self.by_slot.get_mut(&slot) else { return Told::Nothing };
        if stream.closing {
            return Told::Nothing;
        }
        stream.unwritten_bytes += bytes.len();
        stream.unwritten.push_back(bytes);
        let fine = stream.unwritten_bytes <= MAX_UNWRITTEN + READ_PER_TURN && stream.flush().is_ok();
        if fine && stream.unwritten_bytes <= MAX_UNWRITTEN {
            return Told::Nothing;
        }
        self.remove(slot, registry);
        Told::Closed
    }

    /// Closes once everything written has left.
    pub fn close(&mut self, id: StreamId, registry: &Registry) {
        let Some(&slot) = self.slots.get(&id) else { return };
        let Some(stream) = self.by_slot.get_mut(&slot) else { return };
        stream.closing = true;
        if stream.unwritten.is_empty() || stream.flush().is_err() || stream.unwritten.is_empty() {
            self.remove(slot, registry);
        }
    }

    fn remove(&mut self, slot: usize, registry: &Registry) {
        if let Some(mut stream) = self.by_slot.remove(&slot) {
            let _ = registry.deregister(&mut stream.socket);
            let _ = stream.socket.shutdown(Shutdown::Write);
            self.slots.remove(&stream.id);
        }
    }

    /// A stream has room, or its connection stands or failed.
    pub fn writable(
        &mut self,
        slot: usize,
        registry: &Registry,
        mut tell: impl FnMut(StreamId, StreamInput),
    ) {
        let Some(stream) = self.by_slot.get_mut(&slot) else { return };
        let (id, held_back) = (stream.id, !stream.unwritten.is_empty());
        if stream.connecting {
            match stream.connected() {
                Ok(false) => return,
                Ok(true) => tell(id, StreamInput::Opened { peer: stream.peer, plane: stream.plane }),
                Err(_) => {
                    self.remove(slot, registry);
                    return tell(id, StreamInput::Closed);
                }
            }
        }
        let (failed, closing) = (stream.flush().is_err(), stream.closing);
        let empty = stream.unwritten.is_empty();
        if failed || closing && empty {
            self.remove(slot, registry);
        }
        match (failed, closing) {
            (true, false) => tell(id, StreamInput::Closed),
            (false, false) if held_back && empty => tell(id, StreamInput::Writable),
            _ => {}
        }
    }

    /// Reads a stream until it is empty (true), or until the others must have their turn (false).
    pub fn read(
        &mut self,
        slot: usize,
        registry: &Registry,
        mut tell: impl FnMut(StreamId, StreamInput),
    ) -> bool {
        let Some(stream) = self.by_slot.get_mut(&slot) else { return true };
        if stream.connecting {
            return true;
        }
        self.scratch.resize(READ_PER_TURN, 0);
        loop {
            match stream.socket.read(&mut self.scratch) {
                Ok(n) if n > 0 && stream.closing => {}
                Ok(n) if n > 0 => {
                    tell(stream.id, StreamInput::Bytes(Bytes::copy_from_slice(&self.scratch[..n])));
                    if n == READ_PER_TURN {
                        return false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => {
                    let (id, closing) = (stream.id, stream.closing);
                    self.remove(slot, registry);
                    if !closing {
                        tell(id, StreamInput::Closed);
                    }
                    return true;
                }
            }
        }
    }
}

/// A host with several addresses would choose one itself, and the other end believes media only from the address that
/// calls.
fn connect(home: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if home.is_ipv4() == to.is_ipv4() && !home.is_unspecified() {
        socket.bind(&SocketAddr::new(home, 0).into())?;
    }
    match socket.connect(&to.into()) {
        Err(error) if has_failed(&error) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// Whether a socket that does not block cannot connect. That it is under way is an error as well, whose kind std keeps to
/// itself.
fn has_failed(error: &io::Error) -> bool {
    use io::ErrorKind::{
        AddrInUse, AddrNotAvailable, ConnectionRefused, ConnectionReset, HostUnreachable, InvalidInput,
        NetworkDown, NetworkUnreachable, PermissionDenied, TimedOut,
    };
    matches!(
        error.kind(),
        AddrInUse
            | AddrNotAvailable
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | InvalidInput
            | NetworkDown
            | NetworkUnreachable
            | PermissionDenied
            | TimedOut
    )
}

impl Stream {
    fn new(id: StreamId, socket: TcpStream, peer: SocketAddr, plane: Plane, connecting: bool) -> Self {
        // Messages are small and each is wanted at once.
        let _ = socket.set_nodelay(true);
        Stream {
            id,
            socket,
            peer,
            plane,
            connecting,
            unwritten: VecDeque::new(),
            unwritten_bytes: 0,
            closing: false,
        }
    }

    /// Whether the connection stands: `Ok(false)` is not yet, an error is never.
    fn connected(&mut self) -> io::Result<bool> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) => {
                self.connecting = false;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while let (Some(first), false) = (self.unwritten.front_mut(), self.connecting) {
            match self.socket.write(first) {
                Ok(0) if !first.is_empty() => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.unwritten_bytes -= n;
                    if n < first.len() {
                        let _ = first.split_to(n);
                    } else {
                        self.unwritten.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
