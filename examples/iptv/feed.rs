//! Where a source's picture comes from: a clip in a loop, a pipe, or somebody else's RTP.

use crate::args::Input;
use crate::clip::{Clip, Loop, MAX_BYTES};
use crate::trouble::Trouble;
use crate::ts::{NotTs, Splitter};
use bytes::Bytes;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token, Waker};
use p2piptv::rtp::header::Packet;
use p2piptv::rtp::mp2t::{Packetizer, TsPacket};
use p2piptv::time::{Duration, Instant};
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

/// A source wakes no more often than this: what is due in between leaves together, as a small burst that every relay
/// below can pass on as one.
pub const BURST: Duration = Duration::from_millis(5);

/// A clip that is later than this was not late but asleep (a suspended machine): its clock starts anew.
const ASLEEP: Duration = Duration::from_secs(1);

/// Pieces of a pipe that may wait; beyond, whoever writes waits.
const PIPE_QUEUE: usize = 64;
const PIPE_PIECE: usize = 1 << 14;

/// Datagrams taken from an RTP input in a row.
const RTP_PER_TURN: usize = 256;

/// A running input.
pub struct Feed {
    way: Way,
    packetizer: Packetizer,
    /// Where the RTP clock begins (RFC 3550 §5.1: at a random place).
    timestamp_offset: u32,
}

enum Way {
    Clip {
        player: Box<Loop>,
        bitrate: u64,
        started: Option<Instant>,
        next: Instant,
    },
    Pipe {
        pieces: Receiver<Vec<u8>>,
        splitter: Splitter,
        chunk: Vec<u8>,
        /// Kept here too: a waker that is gone takes its last call with it.
        _waker: Arc<Waker>,
    },
    Rtp {
        socket: UdpSocket,
        buffer: Box<[u8; 2048]>,
    },
}

/// Whether more will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Yes.
    Goes,
    /// The input is at its end.
    Ended,
}

impl Feed {
    /// Opens the input. Pipes and RTP wake the poll under `token`; `random` numbers the stream.
    pub fn open(input: &Input, registry: &Registry, token: Token, random: u128) -> Result<Self, Trouble> {
        let way = match input {
            Input::TestCard => Way::clip(Clip::test_card().map_err(|e| bad_clip(Path::new("test card"), e))?),
            Input::File(path) => Way::clip(read_clip(path)?),
            Input::Pipe => Way::pipe(std::io::stdin(), Waker::new(registry, token)?),
            Input::Rtp(address) => Way::rtp(*address, registry, token)?,
        };
        let packetizer = Packetizer::new(random as u32, (random >> 32) as u16);
        Ok(Feed { way, packetizer, timestamp_offset: (random >> 64) as u32 })
    }

    /// Bits a second, where they are known beforehand.
    pub fn bitrate(&self) -> Option<u64> {
        match self.way {
            Way::Clip { bitrate, .. } => Some(bitrate),
            Way::Pipe { .. } | Way::Rtp { .. } => None,
        }
    }

    /// When a clip must be asked again; pipes and RTP wake the poll themselves.
    pub fn deadline(&self) -> Option<Instant> {
        match self.way {
            Way::Clip { next, .. } => Some(next),
            Way::Pipe { .. } | Way::Rtp { .. } => None,
        }
    }

    /// Hands out every packet whose time has come.
    pub fn take(&mut self, now: Instant, mut each: impl FnMut(Bytes)) -> Result<Flow, Trouble> {
        let Feed { way, packetizer, timestamp_offset } = self;
        match way {
            Way::Clip { player, started, next, .. } => {
                if started.is_none_or(|start| now.since(start + player.due()) > ASLEEP) {
                    *started = Some(now - player.due());
                }
                let start = started.unwrap_or(now);
                while start + player.due() <= now {
                    let chunk = player.next_chunk();
                    let timestamp = chunk.timestamp.wrapping_add(*timestamp_offset);
                    packetizer.packetize(timestamp, false, chunk.packets).into_iter().for_each(&mut each);
                }
                *next = (start + player.due()).max(now + BURST);
                Ok(Flow::Goes)
            }
            Way::Pipe { pieces, splitter, chunk, .. } => {
                // The time of arrival is the time of transmission (RFC 2250 §2), on a clock of 90 kHz.
                let ticks = (u128::from(now.as_micros()) * 9 / 100) as u32;
                let timestamp = ticks.wrapping_add(*timestamp_offset);
                let mut send = |chunk: &mut Vec<u8>| {
                    packetizer.packetize(timestamp, false, chunk).into_iter().for_each(&mut each);
                    chunk.clear();
                };
                loop {
                    match pieces.try_recv() {
                        Ok(piece) => splitter.push(&piece, |packet| {
                            chunk.extend_from_slice(packet);
                            if chunk.len() == Packetizer::PER_PACKET * TsPacket::LEN {
                                send(chunk);
                            }
                        }),
                        Err(TryRecvError::Empty) => return Ok(Flow::Goes),
                        Err(TryRecvError::Disconnected) => {
                            if !splitter.has_begun() {
                                return Err(Trouble::BadPipe(NotTs::NoSync));
                            }
                            if !chunk.is_empty() {
                                send(chunk);
                            }
                            return Ok(Flow::Ended);
                        }
                    }
                    .map_err(Trouble::BadPipe)?;
                }
            }
            Way::Rtp { socket, buffer } => {
                for _ in 0..RTP_PER_TURN {
                    let Ok(n) = socket.recv(&mut buffer[..]) else { return Ok(Flow::Goes) };
                    if Packet::parse(&buffer[..n]).is_ok() {
                        each(Bytes::copy_from_slice(&buffer[..n]));
                    }
                }
                Ok(Flow::Goes)
            }
        }
    }
}

fn bad_clip(path: &Path, reason: crate::clip::ClipError) -> Trouble {
    Trouble::BadClip { path: path.into(), reason }
}

fn read_clip(path: &Path) -> Result<Clip, Trouble> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|e| Trouble::cannot_read(path, &e))?;
    Clip::read(bytes).map_err(|e| bad_clip(path, e))
}

impl Way {
    fn clip(clip: Clip) -> Self {
        let clip = Rc::new(clip);
        let bitrate = clip.bitrate();
        Way::Clip { player: Box::new(Loop::new(clip)), bitrate, started: None, next: Instant::ZERO }
    }

    /// A pipe cannot be polled everywhere, so a thread reads it.
    fn pipe(mut from: impl Read + Send + 'static, waker: Waker) -> Self {
        let (queue, pieces) = sync_channel(PIPE_QUEUE);
        let waker = Arc::new(waker);
        let _waker = waker.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; PIPE_PIECE];
            while let Ok(n) = from.read(&mut buffer) {
                if n == 0 || queue.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
                let _ = waker.wake();
            }
            drop(queue);
            let _ = waker.wake();
        });
        Way::Pipe { pieces, splitter: Splitter::default(), chunk: Vec::new(), _waker }
    }

    fn rtp(address: SocketAddr, registry: &Registry, token: Token) -> Result<Self, Trouble> {
        let open = || {
            let mut socket = UdpSocket::bind(address)?;
            match address.ip() {
                IpAddr::V4(group) if group.is_multicast() => {
                    socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)?;
                }
                IpAddr::V6(group) if group.is_multicast() => socket.join_multicast_v6(&group, 0)?,
                _ => {}
            }
            registry.register(&mut socket, token, Interest::READABLE)?;
            Ok(socket)
        };
        match open() {
            Ok(socket) => Ok(Way::Rtp { socket, buffer: Box::new([0; 2048]) }),
            Err(error) => {
                let error: std::io::Error = error;
                Err(Trouble::Address(format!("cannot receive RTP at {address}: {error}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};

    const TOKEN: Token = Token(5);

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn open(poll: &Poll, input: Input) -> Result<Feed, Trouble> {
        Feed::open(&input, poll.registry(), TOKEN, 7 << 32 | 42)
    }

    fn taken(feed: &mut Feed, now: Instant) -> Vec<Bytes> {
        let mut packets = Vec::new();
        feed.take(now, |packet| packets.push(packet)).expect("packets");
        packets
    }

    #[test]
    fn a_clip_is_sent_at_its_own_pace_in_small_bursts() {
        let poll = Poll::new().expect("poll");
        let mut feed = open(&poll, Input::TestCard).expect("the test card");
        assert!(feed.bitrate().is_some_and(|b| (790_000..810_000).contains(&b)));
        let (mut now, mut sequence, mut bytes, mut wakes) = (at(1000), 7, 0, 0);
        while now < at(11_000) {
            for packet in taken(&mut feed, now) {
                let rtp = Packet::parse(&packet).expect("RTP");
                assert_eq!((rtp.header.sequence, rtp.header.ssrc, rtp.payload.len()), (sequence, 42, 1316));
                sequence += 1;
                bytes += rtp.payload.len();
            }
            let next = feed.deadline().expect("a clip never ends");
            assert!(next >= now + BURST);
            (now, wakes) = (next, wakes + 1);
        }
        assert!((990_000..1_010_000).contains(&bytes), "ten seconds at 800 kbit/s: {bytes} bytes");
        assert!(wakes <= 800);
    }

    #[test]
    fn after_a_long_sleep_a_clip_goes_on_without_a_flood() {
        let poll = Poll::new().expect("poll");
        let mut feed = open(&poll, Input::TestCard).expect("the test card");
        taken(&mut feed, at(0));
        assert!((10..100).contains(&taken(&mut feed, at(500)).len()), "late is caught up");
        assert_eq!(taken(&mut feed, at(60_000)).len(), 1, "asleep is not");
        assert_eq!(taken(&mut feed, at(60_014)).len(), 1);
    }

    #[test]
    fn a_pipe_is_cut_into_packets_as_it_comes_and_ends() {
        let mut poll = Poll::new().expect("poll");
        let mut feed = open(&poll, Input::TestCard).expect("the test card");
        let stream: Vec<u8> = (0..500)
            .flat_map(|i| [&[0x47, 1, 0, 0x10 | (i as u8 % 16)][..], &[i as u8; 184]].concat())
            .collect();
        let waker = Waker::new(poll.registry(), TOKEN).expect("waker");
        feed.way = Way::pipe(std::io::Cursor::new(stream.clone()), waker);
        let (mut out, mut events) = (Vec::new(), Events::with_capacity(4));
        loop {
            let take = feed.take(at(100), |packet| out.push(packet)).expect("packets");
            if take == Flow::Ended {
                break;
            }
            poll.poll(&mut events, None).expect("woken");
        }
        let payload = |p: &Bytes| Packet::parse(p).expect("RTP").payload.to_vec();
        assert_eq!(out.iter().flat_map(payload).collect::<Vec<_>>(), stream);
        assert_eq!(out.len(), 500usize.div_ceil(7));
        let timestamp = Packet::parse(&out[0]).expect("RTP").header.timestamp;
        assert_eq!(timestamp, 9000, "100 ms at 90 kHz");
    }

    #[test]
    fn a_pipe_with_something_else_is_refused() {
        for rubbish in [vec![0; 100_000], b"not television".to_vec()] {
            let mut poll = Poll::new().expect("poll");
            let mut feed = open(&poll, Input::TestCard).expect("the test card");
            let waker = Waker::new(poll.registry(), TOKEN).expect("waker");
            feed.way = Way::pipe(std::io::Cursor::new(rubbish), waker);
            let mut events = Events::with_capacity(4);
            let error = loop {
                match feed.take(at(0), drop) {
                    Err(error) => break error,
                    Ok(flow) => assert_eq!(flow, Flow::Goes),
                }
                poll.poll(&mut events, None).expect("woken");
            };
            assert!(
                error.to_string().starts_with("cannot play what comes through the pipe: it is no MPEG"),
                "{error}"
            );
        }
    }

    #[test]
    fn rtp_is_forwarded_as_it_is_and_nothing_else_is() {
        let mut poll = Poll::new().expect("poll");
        let probe = std::net::UdpSocket::bind("127.0.0.1:0").expect("socket");
        let address = probe.local_addr().expect("bound");
        drop(probe);
        let mut feed = open(&poll, Input::Rtp(address)).expect("socket");
        let encoder = std::net::UdpSocket::bind("127.0.0.1:0").expect("socket");
        let packet = Packetizer::new(3, 4).packetize(5, true, &[0x47; 188]).expect("a packet");
        for datagram in [&b"hello"[..], &packet[..]] {
            encoder.send_to(datagram, address).expect("sent");
        }
        poll.poll(&mut Events::with_capacity(4), None).expect("woken");
        assert_eq!(taken(&mut feed, at(0)), [packet]);
    }

    #[test]
    fn a_missing_file_and_one_that_is_no_television_are_told_in_one_line() {
        let poll = Poll::new().expect("poll");
        let text = |path: &str| open(&poll, Input::File(path.into())).err().expect("an error").to_string();
        assert_eq!(text("/no/such.ts"), "cannot read /no/such.ts: there is no such file; check the path");
        let this = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert!(text(this).contains("it is no MPEG transport stream (make one: ffmpeg"));
    }
}
