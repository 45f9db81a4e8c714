//! Sending runs of RTP packets to many children from one socket.
//!
//! What costs is not the copy but the path through the kernel, once for every datagram. A run of equal packets goes
//! down that path once per child (UDP generic segmentation offload), all children of a run in one `sendmmsg`. Where the
//! kernel or the device refuses, `sendmmsg` of single packets is tried, then `send_to`. Media is live: what does not
//! fit into the socket's buffer is dropped and counted, never queued.

use bytes::Bytes;
use mio::net::UdpSocket;
use std::io;
use std::net::SocketAddr;

/// Segments in one message at most; kernels before 6.9 take no more.
pub const MAX_SEGMENTS: usize = 64;
/// Bytes in one message at most: what an IPv4 datagram can carry.
pub const MAX_TRAIN_BYTES: usize = 65_507;

/// What became of a run, in datagrams (packets times children).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Handed to the kernel.
    pub packets: u64,
    /// Their bytes, without UDP and IP headers.
    pub bytes: u64,
    /// Dropped: the socket's buffer was full.
    pub dropped: u64,
    /// Refused for another reason (no route, a firewall).
    pub failed: u64,
}

impl Sent {
    pub(crate) fn count(&mut self, packets: usize, bytes: usize) {
        self.packets += packets as u64;
        self.bytes += bytes as u64;
    }

    pub(crate) fn count_refused(&mut self, packets: usize, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::WouldBlock => self.dropped += packets as u64,
            _ => self.failed += packets as u64,
        }
    }
}

/// How many packets at the front of `run` can go as one message: equal sizes, only the last may be shorter.
pub fn train_len(run: &[Bytes]) -> usize {
    let Some(size) = run.first().map(Bytes::len).filter(|&n| n > 0) else {
        return run.len().min(1);
    };
    let most = (MAX_TRAIN_BYTES / size).clamp(1, MAX_SEGMENTS);
    let equal = run.iter().take(most).take_while(|p| p.len() == size).count();
    match run.get(equal) {
        Some(last) if equal < most && (1..size).contains(&last.len()) => equal + 1,
        _ => equal,
    }
}

/// How datagrams are handed to the kernel, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Technique {
    /// One segmented message per child, many children in a call.
    Segmented,
    /// One datagram per child, many children in a call.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux takes many in a call"))]
    Batched,
    /// One datagram in a call.
    Single,
}

/// Sends runs to children. It begins with the best technique and falls back once and for all when that is refused.
pub struct Fanout {
    technique: Technique,
    #[cfg(target_os = "linux")]
    batch: linux::Batch,
}

impl Default for Fanout {
    fn default() -> Self {
        let best = if cfg!(target_os = "linux") { Technique::Segmented } else { Technique::Single };
        Self::with(best)
    }
}

impl Fanout {
    /// Begins with this technique instead of the best.
    pub fn with(technique: Technique) -> Self {
        Fanout {
            technique,
            #[cfg(target_os = "linux")]
            batch: linux::Batch::new(),
        }
    }

    /// Sends each packet of the run to each child, in order for each child.
    pub fn send(&mut self, socket: &UdpSocket, run: &[Bytes], children: &[SocketAddr]) -> Sent {
        let mut sent = Sent::default();
        let mut rest = run;
        while !rest.is_empty() && !children.is_empty() {
            let n = if self.technique == Technique::Segmented { train_len(rest) } else { 1 };
            let (train, after) = rest.split_at(n);
            self.send_train(socket, train, children, &mut sent);
            rest = after;
        }
        sent
    }

    #[cfg(target_os = "linux")]
    fn send_train(&mut self, socket: &UdpSocket, train: &[Bytes], children: &[SocketAddr], sent: &mut Sent) {
        let bytes: usize = train.iter().map(Bytes::len).sum();
        let mut rest = children;
        while let Some(&first) = rest.first() {
            if self.technique == Technique::Single {
                return train.iter().for_each(|packet| send_each(socket, packet, rest, sent));
            }
            if self.technique == Technique::Batched && train.len() > 1 {
                return train.iter().for_each(|packet| {
                    self.send_train(socket, core::slice::from_ref(packet), rest, sent);
                });
            }
            let served = match self.batch.send(socket, train, rest) {
                Ok(served) => {
                    sent.count(train.len() * served, bytes * served);
                    served
                }
                Err(error) if train.len() > 1 && refuses_segments(&error) => {
                    // Is it the train or the child? What can be sent packet by packet was refused as a train.
                    let before = sent.packets;
                    train.iter().for_each(|packet| send_each(socket, packet, &[first], sent));
                    if sent.packets > before {
                        self.technique = Technique::Batched;
                    }
                    1
                }
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    self.technique = Technique::Single;
                    0
                }
                Err(error) => {
                    // A full buffer stands in the way of everybody who is left, a bad route only of the first.
                    let full = error.kind() == io::ErrorKind::WouldBlock;
                    let refused = if full { rest.len() } else { 1 };
                    sent.count_refused(train.len() * refused, &error);
                    refused
                }
            };
            rest = &rest[served..];
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn send_train(&mut self, socket: &UdpSocket, train: &[Bytes], children: &[SocketAddr], sent: &mut Sent) {
        train.iter().for_each(|packet| send_each(socket, packet, children, sent));
    }
}

/// What kernels and devices answer that cannot cut a message into segments.
#[cfg(target_os = "linux")]
fn refuses_segments(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(code, Some(Errno::EINVAL | Errno::EIO | Errno::EMSGSIZE | Errno::EOPNOTSUPP))
}

fn send_each(socket: &UdpSocket, packet: &Bytes, children: &[SocketAddr], sent: &mut Sent) {
    for &child in children {
        match socket.send_to(packet, child) {
            Ok(_) => sent.count(1, packet.len()),
            Err(error) => sent.count_refused(1, &error),
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};
    use std::io::IoSlice;
    use std::os::fd::AsRawFd;

    /// Children in one call.
    const PER_CALL: usize = 64;

    /// The headers of a call, made once.
    pub struct Batch {
        /// With room for the segment size; a header that has such room must use it.
        segmented: MultiHeaders<SockaddrStorage>,
        plain: MultiHeaders<SockaddrStorage>,
    }

    impl Batch {
        pub fn new() -> Self {
            Batch {
                segmented: MultiHeaders::preallocate(PER_CALL, Some(nix::cmsg_space!(u16))),
                plain: MultiHeaders::preallocate(PER_CALL, None),
            }
        }

        /// Sends the train to the first children, and says to how many.
        pub fn send(
            &mut self,
            socket: &UdpSocket,
            train: &[Bytes],
            children: &[SocketAddr],
        ) -> io::Result<usize> {
            let slices: heapless::Vec<IoSlice<'_>, MAX_SEGMENTS> =
                train.iter().map(|p| IoSlice::new(p)).collect();
            let to: heapless::Vec<Option<SockaddrStorage>, PER_CALL> =
                children.iter().take(PER_CALL).map(|&child| Some(child.into())).collect();
            let segment = train.first().map_or(0, |p| p.len() as u16);
            let fd = socket.as_raw_fd();
            let each = core::iter::repeat(&slices);
            let results = if train.len() > 1 {
                let cut = [ControlMessage::UdpGsoSegments(&segment)];
                sendmmsg(fd, &mut self.segmented, each, to, cut, MsgFlags::empty())
            } else {
                let none: [ControlMessage<'_>; 0] = [];
                sendmmsg(fd, &mut self.plain, each, to, none, MsgFlags::empty())
            };
            Ok(results?.count())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("loopback");
        let address = socket.local_addr().expect("bound");
        (socket, address)
    }

    /// The kernel refuses to send to port 0.
    fn impossible() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    fn packets(sizes: &[usize]) -> Vec<Bytes> {
        sizes.iter().enumerate().map(|(i, &n)| Bytes::from(vec![i as u8; n])).collect()
    }

    /// On loopback a datagram is in the receiver's queue when `send` returns.
    fn received(socket: &UdpSocket) -> Vec<Bytes> {
        let mut buffer = vec![0; 1 << 16];
        core::iter::from_fn(|| socket.recv(&mut buffer).ok().map(|n| Bytes::copy_from_slice(&buffer[..n])))
            .collect()
    }

    #[test]
    fn a_train_is_equal_packets_and_at_most_one_shorter_at_its_end() {
        for (sizes, expected) in [
            (&[][..], 0),
            (&[1328], 1),
            (&[1328, 1328, 1328], 3),
            (&[1328, 1328, 200, 1328], 3),
            (&[200, 1328], 1),
            (&[1328, 0, 1328], 1),
            (&[0, 0], 1),
            (&[1328; 100], 49),
            (&[100; 100], MAX_SEGMENTS),
        ] {
            assert_eq!(train_len(&packets(sizes)), expected, "{sizes:?}");
        }
    }

    #[test]
    fn every_child_gets_every_packet_in_order_whatever_the_technique() {
        for technique in [Technique::Segmented, Technique::Batched, Technique::Single] {
            let (sender, from) = socket();
            let children: Vec<_> = (0..3).map(|_| socket()).collect();
            let addresses: Vec<_> = children.iter().map(|c| c.1).collect();
            let run = packets(&[1328, 1328, 1328, 200, 1328, 40, 1328, 1328]);
            let mut fanout = Fanout::with(technique);
            let sent = fanout.send(&sender, &run, &addresses);
            let bytes: usize = run.iter().map(Bytes::len).sum();
            assert_eq!(
                sent,
                Sent { packets: 24, bytes: 3 * bytes as u64, dropped: 0, failed: 0 },
                "{technique:?}"
            );
            for (child, _) in &children {
                assert_eq!(received(child), run, "{technique:?} from {from}");
            }
        }
    }

    #[test]
    fn more_children_than_fit_into_a_call_are_all_served() {
        let (sender, _) = socket();
        let (child, address) = socket();
        let run = packets(&[100, 100]);
        assert_eq!(Fanout::default().send(&sender, &run, &[address; 70]).packets, 140);
        assert_eq!(received(&child).len(), 140);
    }

    #[test]
    fn a_child_that_cannot_be_reached_does_not_stand_in_the_way_of_the_others() {
        let (sender, _) = socket();
        let (child, address) = socket();
        let run = packets(&[100]);
        for technique in [Technique::Batched, Technique::Single] {
            let sent = Fanout::with(technique).send(&sender, &run, &[address, impossible(), address]);
            assert_eq!((sent.packets, sent.failed), (2, 1), "{technique:?}");
            assert_eq!(received(&child).len(), 2);
        }
    }

    #[test]
    fn a_child_with_an_impossible_address_does_not_end_the_use_of_trains() {
        let (sender, _) = socket();
        let (child, address) = socket();
        let mut fanout = Fanout::default();
        let before = fanout.technique;
        let sent = fanout.send(&sender, &packets(&[500, 500]), &[impossible(), address]);
        assert_eq!((sent.packets, sent.failed), (2, 2));
        assert_eq!(received(&child).len(), 2);
        assert_eq!(fanout.technique, before);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_refused_train_goes_as_single_packets_from_then_on() {
        let (sender, _) = socket();
        let (child, address) = socket();
        // Together they are longer than a datagram can be, which `train_len` would have seen.
        let train = packets(&[40_000, 40_000]);
        let (mut fanout, mut sent) = (Fanout::default(), Sent::default());
        fanout.send_train(&sender, &train, &[address, address], &mut sent);
        assert_eq!((sent.packets, sent.dropped, sent.failed), (4, 0, 0));
        assert_eq!(fanout.technique, Technique::Batched);
        assert_eq!(received(&child).len(), 4);
    }
}
