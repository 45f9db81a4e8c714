//! Where a viewer's picture goes: a file, a pipe, or RTP to a player.
//!
//! A player that does not read must not stop this node from relaying: pipes and files are written by a thread of their
//! own, and what does not fit into its queue is dropped and counted.

use crate::args::Output;
use crate::entry::Entry;
use crate::reorder::Reorder;
use crate::trouble::Trouble;
use bytes::Bytes;
use p2piptv::rtp::header::Packet;
use p2piptv::rtp::mp2t::{Packetizer, TsPacket};
use p2piptv::time::{Duration, Instant};
use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// How long a missing packet is waited for: longer than a parent is searched for, so that what the new parent sends
/// again still finds its place.
pub const PATIENCE: Duration = Duration::from_millis(1500);

/// Pieces that may wait for a player: some seconds of television.
const QUEUE: usize = 1024;

/// The way out.
enum Exit {
    Pipe { queue: SyncSender<Vec<u8>>, writer: JoinHandle<io::Result<()>> },
    Rtp { socket: UdpSocket, to: SocketAddr, packetizer: Packetizer },
}

/// The end of the line.
pub struct Sink {
    reorder: Reorder,
    entry: Entry,
    exit: Exit,
    played: u64,
    dropped: u64,
}

impl Sink {
    /// Opens the way out. `random` numbers an RTP stream of its own (RFC 3550 §5.1).
    pub fn open(output: &Output, random: u64) -> Result<Self, Trouble> {
        let exit = match output {
            Output::File(path) => {
                let file = File::create(path).map_err(|e| Trouble::cannot_write(path, &e))?;
                Exit::pipe(file)
            }
            Output::Pipe => Exit::pipe(io::stdout()),
            Output::Rtp(to) => {
                let any: SocketAddr = match to {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(any).and_then(|s| s.set_nonblocking(true).map(|()| s));
                let socket = socket.map_err(|e| Trouble::Address(format!("cannot send to {to}: {e}")))?;
                Exit::Rtp {
                    socket,
                    to: *to,
                    packetizer: Packetizer::new(random as u32, (random >> 32) as u16),
                }
            }
        };
        Ok(Sink { reorder: Reorder::new(PATIENCE), entry: Entry::default(), exit, played: 0, dropped: 0 })
    }

    /// Takes packets of the channel, in any order.
    pub fn push(&mut self, now: Instant, packets: &[Bytes]) -> Result<(), Trouble> {
        packets.iter().for_each(|packet| self.reorder.push(now, packet.clone()));
        self.handle_timeout(now)
    }

    /// Plays what has its turn.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Trouble> {
        while let Some(packet) = self.reorder.pop(now) {
            let Ok(rtp) = Packet::parse(&packet) else { continue };
            let mut out = Vec::new();
            self.entry.push(rtp.payload, &mut out);
            if !out.is_empty() {
                self.played += out.len() as u64;
                self.dropped += self.exit.write(rtp.header.timestamp, out)?;
            }
        }
        Ok(())
    }

    /// When it must be called again.
    pub fn deadline(&self) -> Option<Instant> {
        self.reorder.deadline()
    }

    /// Bytes played so far, and bytes that the player did not take.
    pub fn counts(&self) -> (u64, u64) {
        (self.played, self.dropped)
    }

    /// Packets that were waited for in vain.
    pub fn skipped(&self) -> u64 {
        self.reorder.skipped()
    }

    /// Nothing follows: plays what still waits, and waits until everything is written.
    pub fn finish(mut self) -> Result<(), Trouble> {
        while let Some(deadline) = self.deadline() {
            self.handle_timeout(deadline)?;
        }
        match self.exit {
            Exit::Rtp { .. } => Ok(()),
            Exit::Pipe { queue, writer } => {
                drop(queue);
                match writer.join() {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(error)) => Err(Trouble::PlayerGone(error.to_string())),
                    Err(_) => Err(Trouble::PlayerGone("the writer failed".into())),
                }
            }
        }
    }
}

impl Exit {
    fn pipe(mut to: impl Write + Send + 'static) -> Self {
        let (queue, pieces) = sync_channel::<Vec<u8>>(QUEUE);
        let writer = std::thread::spawn(move || {
            for piece in pieces {
                to.write_all(&piece)?;
                to.flush()?;
            }
            Ok(())
        });
        Exit::Pipe { queue, writer }
    }

    /// Writes, and says how many bytes found no room.
    fn write(&mut self, timestamp: u32, bytes: Vec<u8>) -> Result<u64, Trouble> {
        match self {
            Exit::Pipe { queue, .. } => match queue.try_send(bytes) {
                Ok(()) => Ok(0),
                Err(TrySendError::Full(bytes)) => Ok(bytes.len() as u64),
                Err(TrySendError::Disconnected(_)) => {
                    Err(Trouble::PlayerGone("nobody reads it any more".into()))
                }
            },
            Exit::Rtp { socket, to, packetizer } => {
                let chunks = bytes.chunks(Packetizer::PER_PACKET * TsPacket::LEN);
                let packets = chunks.filter_map(|chunk| packetizer.packetize(timestamp, false, chunk).ok());
                // A player that is not there yet, or busy, misses packets as it would of any live stream.
                Ok(packets.map(|p| socket.send_to(&p, *to).map_or(p.len() as u64, |_| 0)).sum())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clip::{Clip, Loop};
    use crate::ts;
    use p2piptv::rtp::mp2t::Pid;
    use std::rc::Rc;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    /// Some seconds of the test card as RTP.
    fn packets(n: usize) -> Vec<Bytes> {
        let mut player = Loop::new(Rc::new(Clip::test_card().expect("the test card")));
        let mut packetizer = Packetizer::new(1, 65_500);
        let mut next = || {
            let chunk = player.next_chunk();
            packetizer.packetize(chunk.timestamp, false, chunk.packets).expect("a packet")
        };
        (0..n).map(|_| next()).collect()
    }

    fn begins_well(bytes: &[u8]) {
        let first: Vec<_> = ts::packets(bytes).take(3).filter_map(|(_, p)| p).collect();
        assert!(first[0].pid() == Pid::PAT && first[1].starts_program_map() && first[2].is_random_access());
    }

    #[test]
    fn a_file_begins_at_the_tables_and_holds_everything_after_in_order() {
        let path = std::env::temp_dir().join(format!("p2piptv-sink-{}.ts", std::process::id()));
        let mut sink = Sink::open(&Output::File(path.clone()), 0).expect("a file");
        let mut sent = packets(300);
        let missing = sent.remove(297);
        let plain: Vec<u8> = sent.iter().flat_map(|p| p[12..].to_vec()).collect();
        (1..sent.len() / 2).for_each(|i| sent.swap(2 * i, 2 * i - 1));
        sent.swap(0, 1);
        sent.chunks(5).for_each(|run| sink.push(at(0), run).expect("written"));
        sink.handle_timeout(at(20)).expect("written");
        let (played, dropped) = sink.counts();
        sink.finish().expect("written");
        let written = std::fs::read(&path).expect("the file");
        let _ = std::fs::remove_file(&path);
        let behind_the_hole = 2 * missing[12..].len() as u64;
        assert_eq!((written.len() as u64, dropped), (played + behind_the_hole, 0));
        begins_well(&written);
        assert!(plain.ends_with(&written[2 * TsPacket::LEN..]));
    }

    #[test]
    fn rtp_is_renumbered_from_where_it_begins() {
        let player = UdpSocket::bind("127.0.0.1:0").expect("socket");
        player.set_nonblocking(true).expect("option");
        let mut sink = Sink::open(&Output::Rtp(player.local_addr().expect("bound")), 99).expect("socket");
        sink.push(at(0), &packets(60)).expect("sent");
        sink.handle_timeout(at(20)).expect("sent");
        let (mut all, mut buffer, mut last) = (Vec::new(), [0; 2048], None);
        while let Ok(n) = player.recv(&mut buffer) {
            let packet = Packet::parse(&buffer[..n]).expect("RTP");
            assert_eq!(packet.header.ssrc, 99);
            assert!(last.is_none_or(|s: u16| s.wrapping_add(1) == packet.header.sequence));
            last = Some(packet.header.sequence);
            all.extend_from_slice(packet.payload);
        }
        assert_eq!(all.len() as u64, sink.counts().0);
        begins_well(&all);
    }

    #[test]
    fn a_missing_packet_is_waited_for_and_then_left_out() {
        let player = UdpSocket::bind("127.0.0.1:0").expect("socket");
        let mut sink = Sink::open(&Output::Rtp(player.local_addr().expect("bound")), 0).expect("socket");
        let sent = packets(20);
        sink.push(at(0), &sent[..10]).expect("sent");
        sink.handle_timeout(at(20)).expect("sent");
        sink.push(at(100), &sent[11..]).expect("sent");
        let (before, _) = sink.counts();
        let deadline = at(100) + PATIENCE;
        assert_eq!(sink.deadline(), Some(deadline));
        sink.handle_timeout(deadline).expect("sent");
        assert_eq!(sink.counts().0 - before, 9 * 7 * 188);
        assert_eq!((sink.skipped(), sink.deadline()), (1, None));
    }

    #[test]
    fn a_file_that_cannot_be_made_is_told_in_one_line() {
        let error = Sink::open(&Output::File("/no/such/place/out.ts".into()), 0).err().expect("an error");
        assert_eq!(
            error.to_string(),
            "cannot write /no/such/place/out.ts: there is no such directory; make it first (mkdir -p)"
        );
    }
}
