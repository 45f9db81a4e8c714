//! The loop of the host: many nodes with their own sockets, one poll, one timer.
//!
//! A turn is: wait, give every ready socket's input to its node, let the timers fire, do what the nodes want done, set
//! the alarm to the earliest deadline. A node is whatever has the calls of [`Machine`], as in the simulated network;
//! what a user of the host wants to see goes to an [`Observer`].

use crate::fanout::{Fanout, Sent};
use crate::receiver::Receiver;
use crate::sockets::Sockets;
use crate::streams::{Streams, Told};
use crate::timer::{Clock, Timer};
use bytes::Bytes;
use mio::event::Event as Ready;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Registry, Token};
use p2piptv::ids::{ChannelId, StreamId};
use p2piptv::node::{Addresses, Datagram, Event, Output, StreamInput};
use p2piptv::sim::Machine;
use p2piptv::stats::Plane;
use p2piptv::time::{Instant, earliest};
use std::io;
use std::net::SocketAddr;

/// One node of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat(usize);

/// Something on its way, for whoever draws or records the traffic.
#[derive(Clone, Copy, Debug)]
pub struct Passing<'a> {
    /// When it left.
    pub at: Instant,
    /// Sender.
    pub from: SocketAddr,
    /// Receiver.
    pub to: SocketAddr,
    /// What for.
    pub plane: Plane,
    /// What it is.
    pub what: Carried<'a>,
}

/// What is on its way.
#[derive(Clone, Copy, Debug)]
pub enum Carried<'a> {
    /// A datagram.
    Datagram(&'a [u8]),
    /// Bytes of a stream.
    Bytes(&'a [u8]),
    /// A stream that `from` opened.
    Opened,
    /// A stream that `from` closed.
    Closed,
}

/// Who wants to know what happens. Every method does nothing unless it is overridden.
pub trait Observer {
    /// A node has something to tell.
    fn event(&mut self, _seat: Seat, _now: Instant, _event: Event) {}
    /// New packets of a channel, for whoever watches at this node.
    fn media(&mut self, _seat: Seat, _now: Instant, _channel: ChannelId, _packets: &[Bytes]) {}
    /// Bytes left this node.
    fn sent(&mut self, _seat: Seat, _now: Instant, _plane: Plane, _sent: Sent) {}
    /// Whether [`Observer::passing`] is to be called for media: it costs a call for each packet and child.
    fn wants_media(&self) -> bool {
        false
    }
    /// Something was sent, or a stream was opened or closed.
    fn passing(&mut self, _passing: Passing<'_>) {}
    /// A source that was registered with [`Host::registry`] is ready.
    fn ready(&mut self, _token: Token) {}
}

/// Datagrams taken from one socket before the others have their turn.
const DATAGRAMS_PER_TURN: usize = 256;

/// Octets of each buffer that a node's media datagrams are cut out of.
pub const MEDIA_RECEIVE: usize = 1 << 16;

/// Tokens: the seat above, the socket of the seat below. Seat 0 is the host itself, for its timer and for foreigners.
const SLOT_BITS: u32 = 20;
const TIMER: Token = Token(0);
const OVERLAY: usize = 0;
const SIGNALLING: usize = 1;
const MEDIA: usize = 2;
const CALLS: usize = 3;
const LINKS: usize = 4;
/// The first slot of a stream.
const FIRST_STREAM: usize = 5;

/// A seat of no host.
#[cfg(test)]
pub const fn seat_for_tests(n: usize) -> Seat {
    Seat(n)
}

fn token(seat: Seat, slot: usize) -> Token {
    Token((seat.0 + 1) << SLOT_BITS | slot)
}

/// The token of something of the caller's own, to be registered with [`Host::registry`]; `n` begins at 0.
pub const fn foreign_token(n: usize) -> Token {
    Token(n + 1)
}

/// One node with its sockets.
struct Place<M> {
    machine: M,
    sockets: Sockets,
    streams: Streams,
    fanout: Fanout,
    media: Receiver,
}

/// Many nodes, one poll.
pub struct Host<M> {
    poll: Poll,
    events: Events,
    clock: Clock,
    timer: Timer,
    /// A seat is never given twice, so that a late readiness cannot reach another node.
    places: Vec<Option<Place<M>>>,
    control: Receiver,
    /// What dead nodes have left: nobody reads or writes there any more.
    mute: Vec<Streams>,
    /// Sockets that were not read to their end in this turn.
    unfinished: Vec<Token>,
    /// When the caller itself wants to be woken.
    alarm: Option<Instant>,
}

impl<M: Machine> Host<M> {
    /// A host without nodes, whose clock stands at zero.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let clock = Clock::new();
        let timer = Timer::new(poll.registry(), TIMER, clock)?;
        Ok(Host {
            poll,
            events: Events::with_capacity(1024),
            clock,
            timer,
            places: Vec::new(),
            control: Receiver::new(1 << 17, 1 << 16),
            mute: Vec::new(),
            unfinished: Vec::new(),
            alarm: None,
        })
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Where a caller registers sources of its own, with [`foreign_token`].
    pub fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Opens sockets and gives them to a new node. `make` is told which addresses they really have.
    pub fn seat(
        &mut self,
        addresses: Addresses,
        make: impl FnOnce(Addresses) -> io::Result<M>,
    ) -> io::Result<Seat> {
        let seat = Seat(self.places.len());
        let mut sockets = Sockets::open(addresses)?;
        let registry = self.poll.registry();
        registry.register(&mut sockets.overlay, token(seat, OVERLAY), Interest::READABLE)?;
        registry.register(&mut sockets.signalling, token(seat, SIGNALLING), Interest::READABLE)?;
        registry.register(&mut sockets.media, token(seat, MEDIA), Interest::READABLE)?;
        registry.register(&mut sockets.calls, token(seat, CALLS), Interest::READABLE)?;
        registry.register(&mut sockets.links, token(seat, LINKS), Interest::READABLE)?;
        self.places.push(Some(Place {
            machine: make(sockets.addresses)?,
            sockets,
            streams: Streams::new(FIRST_STREAM, 1 << SLOT_BITS),
            fanout: Fanout::default(),
            media: Receiver::new(MEDIA_RECEIVE, 2048),
        }));
        Ok(seat)
    }

    /// The node of a seat, if it still lives.
    pub fn node(&self, seat: Seat) -> Option<&M> {
        Some(&self.places.get(seat.0)?.as_ref()?.machine)
    }

    /// Gives a command to a node and does what follows from it.
    pub fn command<R>(
        &mut self,
        seat: Seat,
        observer: &mut impl Observer,
        command: impl FnOnce(&mut M, Instant) -> R,
    ) -> Option<R> {
        let now = self.now();
        let place = self.places.get_mut(seat.0)?.as_mut()?;
        let result = command(&mut place.machine, now);
        place.perform(seat, now, self.poll.registry(), observer);
        Some(result)
    }

    /// Takes a node away as a power cut would: its streams stay as they are, because the system would close them with a
    /// word; its other sockets close, nobody is told.
    pub fn kill(&mut self, seat: Seat) {
        if let Some(place) = self.places.get_mut(seat.0).and_then(Option::take) {
            self.mute.push(place.streams);
        }
    }

    /// Wakes [`Host::turn`] at this time at the latest. It stays until it is changed.
    pub fn wake_at(&mut self, alarm: Option<Instant>) {
        self.alarm = alarm;
    }

    /// Waits until something happens, and handles all of it.
    pub fn turn(&mut self, observer: &mut impl Observer) -> io::Result<()> {
        let deadlines = self.places.iter().flatten().map(|p| p.machine.deadline());
        self.timer.arm(deadlines.fold(self.alarm, earliest))?;
        let timeout = match self.unfinished.is_empty() {
            true => self.timer.poll_timeout(),
            false => Some(core::time::Duration::ZERO),
        };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => other?,
        }

        // What arrives while the rest is handled lies unread in the sockets, and may be what a timer waits for: only those fire
        // that were due before.
        let polled = self.now();
        for token in core::mem::take(&mut self.unfinished) {
            self.read(token, observer);
        }
        let events = core::mem::replace(&mut self.events, Events::with_capacity(0));
        for ready in &events {
            self.dispatch(ready, observer);
        }
        self.events = events;

        let now = self.now();
        for (i, place) in self.places.iter_mut().enumerate() {
            let Some(place) = place else { continue };
            if place.machine.deadline().is_some_and(|deadline| deadline <= polled) {
                place.machine.handle_timeout(now);
                place.perform(Seat(i), now, self.poll.registry(), observer);
            }
        }
        Ok(())
    }

    fn dispatch(&mut self, ready: &Ready, observer: &mut impl Observer) {
        let token = ready.token();
        if token == TIMER {
            return self.timer.rang();
        }
        if token.0 >> SLOT_BITS == 0 {
            return observer.ready(token);
        }
        if ready.is_writable() {
            self.write(token, observer);
        }
        if ready.is_readable() || ready.is_read_closed() || ready.is_error() {
            self.read(token, observer);
        }
    }

    /// Reads a socket until it is empty, or until the others must have their turn.
    fn read(&mut self, token: Token, observer: &mut impl Observer) {
        let (seat, slot) = (Seat((token.0 >> SLOT_BITS) - 1), token.0 & ((1 << SLOT_BITS) - 1));
        let Some(Some(place)) = self.places.get_mut(seat.0) else { return };
        let now = self.clock.now();
        let registry = self.poll.registry();
        let finished = match slot {
            OVERLAY => take(&mut self.control, &place.sockets.overlay, Plane::Overlay, |d| {
                place.machine.handle_datagram(now, d);
            }),
            SIGNALLING => take(&mut self.control, &place.sockets.signalling, Plane::Signalling, |d| {
                place.machine.handle_datagram(now, d);
            }),
            MEDIA => take(&mut place.media, &place.sockets.media, Plane::Media, |d| {
                place.machine.handle_datagram(now, d);
            }),
            CALLS | LINKS => {
                let register = |slot| self::token(seat, slot);
                let listener = match slot {
                    CALLS => (&place.sockets.calls, Plane::Signalling),
                    _ => (&place.sockets.links, Plane::Overlay),
                };
                place.streams.accept(listener, registry, register, |stream, input| {
                    place.machine.handle_stream(now, stream, input);
                });
                true
            }
            slot => place.streams.read(slot, registry, |stream, input| {
                place.machine.handle_stream(now, stream, input);
            }),
        };
        place.perform(seat, now, registry, observer);
        if !finished {
            self.unfinished.push(token);
        }
    }

    fn write(&mut self, token: Token, observer: &mut impl Observer) {
        let (seat, slot) = (Seat((token.0 >> SLOT_BITS) - 1), token.0 & ((1 << SLOT_BITS) - 1));
        let Some(Some(place)) = self.places.get_mut(seat.0) else { return };
        let now = self.clock.now();
        let mut opened = None;
        place.streams.writable(slot, self.poll.registry(), |stream, input| {
            if matches!(input, StreamInput::Opened { .. }) {
                opened = Some(stream);
            }
            place.machine.handle_stream(now, stream, input);
        });
        if let Some((from, to, plane)) = opened.and_then(|stream| place.streams.ends(stream)) {
            observer.passing(Passing { at: now, from, to, plane, what: Carried::Opened });
        }
        place.perform(seat, now, self.poll.registry(), observer);
    }
}

/// Reads a datagram socket; false when more may be waiting.
fn take(receiver: &mut Receiver, socket: &UdpSocket, plane: Plane, mut each: impl FnMut(Datagram)) -> bool {
    for _ in 0..DATAGRAMS_PER_TURN {
        // An error of the socket itself is as good as silence: the protocols live with loss.
        let Ok(Some((payload, from))) = receiver.recv(socket) else { return true };
        each(Datagram { plane, from, payload });
    }
    false
}

impl<M: Machine> Place<M> {
    /// Does everything that the node wants done.
    fn perform(&mut self, seat: Seat, now: Instant, registry: &Registry, observer: &mut impl Observer) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Transmit { plane, to, payload } => {
                    self.transmit(seat, now, plane, to, &payload, observer)
                }
                Output::Media { channel, packets } => {
                    self.relay(seat, now, channel, &packets, observer);
                    self.machine.recycle(packets);
                }
                Output::Connect { stream, to, plane } => {
                    let home = self.sockets.of(plane).1.ip();
                    let told =
                        self.streams.connect(stream, (home, to), plane, registry, |slot| token(seat, slot));
                    self.tell(now, stream, told);
                }
                Output::Write { stream, bytes } => {
                    if let Some((from, to, plane)) = self.streams.ends(stream) {
                        let sent = Sent { packets: 1, bytes: bytes.len() as u64, ..Sent::default() };
                        observer.sent(seat, now, plane, sent);
                        let what = Carried::Bytes(&bytes);
                        observer.passing(Passing { at: now, from, to, plane, what });
                    }
                    let told = self.streams.write(stream, bytes, registry);
                    self.tell(now, stream, told);
                }
                Output::Close { stream } => {
                    if let Some((from, to, plane)) = self.streams.ends(stream) {
                        observer.passing(Passing { at: now, from, to, plane, what: Carried::Closed });
                    }
                    self.streams.close(stream, registry);
                }
                // The nodes of this host sign for themselves.
                Output::Sign { .. } => {}
                Output::Event(event) => observer.event(seat, now, event),
            }
        }
    }

    fn tell(&mut self, now: Instant, stream: StreamId, told: Told) {
        if told == Told::Closed {
            self.machine.handle_stream(now, stream, StreamInput::Closed);
        }
    }

    fn transmit(
        &mut self,
        seat: Seat,
        now: Instant,
        plane: Plane,
        to: SocketAddr,
        payload: &Bytes,
        observer: &mut impl Observer,
    ) {
        let (socket, from) = self.sockets.of(plane);
        let mut sent = Sent::default();
        match socket.send_to(payload, to) {
            Ok(_) => sent.count(1, payload.len()),
            Err(error) => {
                sent.count_refused(1, &error);
                if is_hard(&error) {
                    self.machine.handle_unreachable(now, plane, to);
                }
            }
        }
        observer.sent(seat, now, plane, sent);
        if sent.packets > 0 {
            observer.passing(Passing { at: now, from, to, plane, what: Carried::Datagram(payload) });
        }
    }

    fn relay(
        &mut self,
        seat: Seat,
        now: Instant,
        channel: ChannelId,
        packets: &[Bytes],
        observer: &mut impl Observer,
    ) {
        let children = self.machine.children(channel);
        let sent = self.fanout.send(&self.sockets.media, packets, children);
        observer.sent(seat, now, Plane::Media, sent);
        if observer.wants_media() {
            let from = self.sockets.addresses.media;
            for (bytes, &to) in packets.iter().flat_map(|p| children.iter().map(move |to| (p, to))) {
                let (plane, what) = (Plane::Media, Carried::Datagram(bytes));
                observer.passing(Passing { at: now, from, to, plane, what });
            }
        }
        observer.media(seat, now, channel, packets);
    }
}

/// Whether the network says that nothing can get there, rather than that it is busy.
fn is_hard(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use p2piptv::node::Receipt;
    use std::collections::VecDeque;
    use std::net::{IpAddr, Ipv4Addr};

    /// A node that does what the test says and remembers what it was told.
    #[derive(Default)]
    struct Toy {
        addresses: Option<Addresses>,
        outputs: VecDeque<Output>,
        children: Vec<SocketAddr>,
        alarm: Option<Instant>,
        datagrams: Vec<Datagram>,
        streams: Vec<(StreamId, StreamInput)>,
        unreachable: Vec<SocketAddr>,
        timeouts: Vec<Instant>,
    }

    impl Machine for Toy {
        fn handle_datagram(&mut self, _: Instant, datagram: Datagram) -> Receipt {
            if datagram.plane == Plane::Media {
                let packets = vec![datagram.payload.clone()];
                self.outputs.push_back(Output::Media { channel: ChannelId(0), packets });
            }
            self.datagrams.push(datagram);
            Receipt::Accepted
        }
        fn handle_stream(&mut self, _: Instant, stream: StreamId, input: StreamInput) {
            if let (StreamInput::Bytes(bytes), false) = (&input, stream.is_requested()) {
                self.outputs.push_back(Output::Write { stream, bytes: bytes.clone() }); // an echo
            }
            self.streams.push((stream, input));
        }
        fn handle_timeout(&mut self, now: Instant) {
            if self.alarm.is_some_and(|at| at <= now) {
                self.timeouts.push(now);
                self.alarm = None;
            }
        }
        fn handle_unreachable(&mut self, _: Instant, _: Plane, to: SocketAddr) {
            self.unreachable.push(to);
        }
        fn poll_output(&mut self) -> Option<Output> {
            self.outputs.pop_front()
        }
        fn deadline(&self) -> Option<Instant> {
            self.alarm
        }
        fn children(&self, _: ChannelId) -> &[SocketAddr] {
            &self.children
        }
    }

    #[derive(Default)]
    struct Log {
        sent: Vec<(Seat, Plane, Sent)>,
        played: Vec<(Seat, Bytes)>,
        passed: usize,
        foreign: Vec<Token>,
    }

    impl Observer for Log {
        fn media(&mut self, seat: Seat, _: Instant, _: ChannelId, packets: &[Bytes]) {
            self.played.extend(packets.iter().map(|p| (seat, p.clone())));
        }
        fn sent(&mut self, seat: Seat, _: Instant, plane: Plane, sent: Sent) {
            self.sent.push((seat, plane, sent));
        }
        fn wants_media(&self) -> bool {
            true
        }
        fn passing(&mut self, _: Passing<'_>) {
            self.passed += 1;
        }
        fn ready(&mut self, token: Token) {
            self.foreign.push(token);
        }
    }

    struct Bench {
        host: Host<Toy>,
        log: Log,
    }

    impl Bench {
        fn new() -> Self {
            Bench { host: Host::new().expect("host"), log: Log::default() }
        }

        fn seat(&mut self) -> (Seat, Addresses) {
            self.seat_at(Ipv4Addr::LOCALHOST)
        }

        fn seat_at(&mut self, home: Ipv4Addr) -> (Seat, Addresses) {
            let any = crate::sockets::any(IpAddr::V4(home));
            let seat =
                self.host.seat(any, |addresses| Ok(Toy { addresses: Some(addresses), ..Toy::default() }));
            let seat = seat.expect("sockets");
            let addresses = self.toy(seat).addresses.expect("told");
            (seat, addresses)
        }

        fn toy(&self, seat: Seat) -> &Toy {
            self.host.node(seat).expect("alive")
        }

        fn order(&mut self, seat: Seat, output: Output) {
            self.host.command(seat, &mut self.log, |toy, _| toy.outputs.push_back(output)).expect("alive");
        }

        /// Turns until it is so. Every turn waits for something to happen, so a fault shows as a hang of the test.
        fn until(&mut self, mut so: impl FnMut(&Self) -> bool) {
            while !so(self) {
                self.host.turn(&mut self.log).expect("turn");
            }
        }
    }

    #[test]
    fn a_datagram_travels_on_its_own_plane() {
        let mut bench = Bench::new();
        let ((a, from), (b, to)) = (bench.seat(), bench.seat());
        for (plane, to) in [(Plane::Overlay, to.overlay), (Plane::Signalling, to.signalling)] {
            bench.order(a, Output::Transmit { plane, to, payload: Bytes::from_static(b"hello") });
        }
        bench.until(|bench| bench.toy(b).datagrams.len() == 2);
        let mut planes: Vec<_> = bench.toy(b).datagrams.iter().map(|d| (d.plane, d.from)).collect();
        planes.sort();
        assert_eq!(planes, [(Plane::Overlay, from.overlay), (Plane::Signalling, from.signalling)]);
        assert_eq!(bench.log.passed, 2);
    }

    #[test]
    fn media_goes_to_every_child_and_to_whoever_watches() {
        let mut bench = Bench::new();
        let seats: Vec<_> = (0..4).map(|_| bench.seat()).collect();
        let media: Vec<_> = seats.iter().map(|s| s.1.media).collect();
        // 0 feeds 1 and 2; 1 feeds 3.
        for (parent, children) in [(0, vec![media[1], media[2]]), (1, vec![media[3]])] {
            bench.host.command(seats[parent].0, &mut Log::default(), |toy, _| toy.children = children);
        }
        let packets = vec![Bytes::from(vec![1; 1328]), Bytes::from(vec![2; 1328])];
        bench.order(seats[0].0, Output::Media { channel: ChannelId(0), packets: packets.clone() });
        bench.until(|bench| bench.log.played.len() == 8);
        for (seat, _) in &seats {
            let played: Vec<_> =
                bench.log.played.iter().filter(|p| p.0 == *seat).map(|p| p.1.clone()).collect();
            assert_eq!(played, packets);
        }
        let by = |seat| bench.log.sent.iter().filter(|s| s.0 == seat).map(|s| s.2.packets).sum::<u64>();
        assert_eq!([by(seats[0].0), by(seats[1].0), by(seats[3].0)], [4, 2, 0]);
    }

    #[test]
    fn a_stream_opens_carries_bytes_both_ways_and_closes() {
        let mut bench = Bench::new();
        let ((a, _), (b, to)) = (bench.seat(), bench.seat());
        let stream = StreamId::requested(0);
        let bytes = Bytes::from(vec![7; 100_000]);
        bench.order(a, Output::Connect { stream, plane: Plane::Signalling, to: to.signalling });
        bench.order(a, Output::Write { stream, bytes: bytes.clone() }); // before it is open
        let echoed = |bench: &Bench| -> Vec<u8> {
            let inputs = bench.toy(a).streams.iter();
            inputs
                .filter_map(|i| if let StreamInput::Bytes(b) = &i.1 { Some(b) } else { None })
                .flatten()
                .copied()
                .collect()
        };
        bench.until(|bench| echoed(bench).len() == bytes.len());
        assert_eq!(echoed(&bench), bytes);
        assert_eq!(
            bench.toy(a).streams[0],
            (stream, StreamInput::Opened { peer: to.signalling, plane: Plane::Signalling })
        );
        bench.order(a, Output::Close { stream });
        bench.until(|bench| bench.toy(b).streams.last().is_some_and(|s| s.1 == StreamInput::Closed));
    }

    /// All of 127.0.0.0/8 is this machine on Linux, elsewhere one address.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_stream_comes_from_the_address_where_its_node_is_known() {
        let mut bench = Bench::new();
        let home = Ipv4Addr::new(127, 0, 0, 9);
        let ((a, _), (b, to)) = (bench.seat_at(home), bench.seat());
        for (n, (plane, to)) in
            [(Plane::Signalling, to.signalling), (Plane::Overlay, to.overlay)].into_iter().enumerate()
        {
            bench.order(a, Output::Connect { stream: StreamId::requested(n as u32), plane, to });
        }
        bench.until(|bench| bench.toy(b).streams.len() == 2);
        for (_, input) in &bench.toy(b).streams {
            let StreamInput::Opened { peer, .. } = input else { panic!("{input:?}") };
            assert_eq!(peer.ip(), IpAddr::V4(home));
        }
    }

    #[test]
    fn a_refused_connection_is_told_as_closed() {
        let mut bench = Bench::new();
        let ((a, _), (b, to)) = (bench.seat(), bench.seat());
        bench.host.kill(b);
        let stream = StreamId::requested(0);
        bench.order(a, Output::Connect { stream, plane: Plane::Signalling, to: to.signalling });
        bench.until(|bench| !bench.toy(a).streams.is_empty());
        assert_eq!(bench.toy(a).streams, [(stream, StreamInput::Closed)]);
    }

    #[test]
    fn a_peer_that_does_not_read_loses_its_stream() {
        let mut bench = Bench::new();
        let (a, _) = bench.seat();
        let deaf = std::net::TcpListener::bind("127.0.0.1:0").expect("listener");
        let to = deaf.local_addr().expect("bound");
        let stream = StreamId::requested(0);
        bench.order(a, Output::Connect { stream, plane: Plane::Signalling, to });
        let chunk = Bytes::from(vec![0; 1 << 16]);
        // More than any pair of socket buffers and our own limit hold.
        for _ in 0..1024 {
            if bench.toy(a).streams.iter().any(|s| s.1 == StreamInput::Closed) {
                return;
            }
            bench.order(a, Output::Write { stream, bytes: chunk.clone() });
        }
        panic!("64 MiB were taken for a peer that does not read");
    }

    #[test]
    fn a_node_is_called_at_its_deadline_and_the_caller_at_its_alarm() {
        let mut bench = Bench::new();
        let (a, _) = bench.seat();
        let deadline = bench.host.now() + Duration::from_millis(3);
        bench.host.command(a, &mut Log::default(), |toy, _| toy.alarm = Some(deadline));
        bench.until(|bench| !bench.toy(a).timeouts.is_empty());
        assert!(bench.toy(a).timeouts[0] >= deadline);

        let alarm = bench.host.now() + Duration::from_millis(3);
        bench.host.wake_at(Some(alarm));
        bench.until(|bench| bench.host.now() >= alarm);
    }

    #[test]
    fn a_datagram_that_the_network_refuses_is_told() {
        let mut bench = Bench::new();
        let (a, _) = bench.seat();
        let to = SocketAddr::from(([127, 0, 0, 1], 0)); // nobody can send to port 0
        bench.order(a, Output::Transmit { plane: Plane::Overlay, to, payload: Bytes::from_static(b"x") });
        assert_eq!(bench.toy(a).unreachable, [to]);
        assert_eq!(bench.log.sent.last().map(|s| s.2.failed), Some(1));
    }

    #[test]
    fn foreign_sources_are_passed_on() {
        let mut bench = Bench::new();
        bench.seat();
        let mut own = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("socket");
        let to = own.local_addr().expect("bound");
        bench.host.registry().register(&mut own, foreign_token(0), Interest::READABLE).expect("register");
        own.send_to(b"x", to).expect("send");
        bench.until(|bench| bench.log.foreign == [foreign_token(0)]);
    }
}
