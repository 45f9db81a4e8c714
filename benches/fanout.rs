//! The host's fan-out against a bare loop of the same technique, and against `send_to`, in one run.
//!
//! RTP/MP2T packets of 1328 bytes go to N children over loopback, in the bursts that a window of 5 ms collects. The
//! children are sockets that nobody reads, with the smallest buffers, so that receiving costs the same and little.
//! What is measured is the CPU time of the sending thread per datagram; the techniques take turns in short slices, and
//! the best slice of each counts, so that neighbours on the machine disturb all of them alike.
//!
//!     cargo bench --bench fanout

#[cfg(target_os = "linux")]
#[allow(dead_code, reason = "the host uses the rest")]
#[path = "../examples/iptv/fanout.rs"]
mod fanout;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("There is nothing to compare here: segmentation and sendmmsg are Linux's.");
}

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    println!(
        "{:>8} {:>6} {:>13} {:>13} {:>13} {:>11} {:>14} {:>11}",
        "children", "burst", "ours", "bare", "send_to", "ours/bare", "ours/send_to", "check/ours"
    );
    // What a relay does besides with each packet of a channel that its source signs, once for all children.
    let check = linux::check();
    // F2: N = 8 at 20,000 packets/s and N = 64 at 4,000/s, a window of 5 ms; F3: bursts of 8; F1: one at a time.
    for (children, burst) in [(8, 100), (64, 20), (64, 8), (64, 1)] {
        let [ours, bare, each] = linux::compare(children, burst)?;
        println!(
            "{children:>8} {burst:>6} {ours:>10.0} ns {bare:>10.0} ns {each:>10.0} ns {:>11.2} {:>14.2} {:>11.2}",
            ours / bare,
            ours / each,
            check / (ours * children as f64)
        );
    }
    println!("a packet is checked against its list in {check:.0} ns");
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use super::fanout::{Fanout, MAX_SEGMENTS, MAX_TRAIN_BYTES};
    use bytes::Bytes;
    use mio::net::UdpSocket;
    use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};
    use p2piptv::rtp::header::Packet;
    use p2piptv::rtp::integrity::{FILL, Guard, Limits, Outgoing, Signer, Verdict};
    use p2piptv::rtp::mp2t::{Packetizer, TsPacket};
    use p2piptv::time::Instant;
    use rustix::time::{ClockId, clock_gettime};
    use socket2::{Domain, Protocol, Socket, Type};
    use std::io::{self, IoSlice};
    use std::net::{Ipv4Addr, SocketAddr};
    use std::os::fd::AsRawFd;

    const PACKET: usize = 1328;
    /// Datagrams of one slice, and slices of each technique.
    const SLICE: usize = 20_000;
    const ROUNDS: usize = 40;

    /// CPU nanoseconds per datagram of: the fan-out, a bare loop, `send_to`.
    pub fn compare(children: usize, burst: usize) -> io::Result<[f64; 3]> {
        let sinks = (0..children).map(|_| sink()).collect::<io::Result<Vec<_>>>()?;
        let addresses = sinks.iter().map(local).collect::<io::Result<Vec<_>>>()?;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let run: Vec<Bytes> = (0..burst).map(|i| Bytes::from(vec![i as u8; PACKET])).collect();

        let mut fanout = Fanout::default();
        let mut bare = Bare::new(&addresses);
        let mut best = [f64::INFINITY; 3];
        for _ in 0..ROUNDS {
            let slices = [
                slice(children * burst, || fanout.send(&socket, &run, &addresses).packets as usize),
                slice(children * burst, || bare.send(&socket, &run)),
                slice(children * burst, || {
                    let all = run.iter().flat_map(|p| addresses.iter().map(move |a| (p, a)));
                    all.filter(|(packet, to)| socket.send_to(packet, **to).is_ok()).count()
                }),
            ];
            best.iter_mut().zip(slices).for_each(|(best, slice)| *best = best.min(slice));
        }
        Ok(best)
    }

    /// CPU nanoseconds for the check of a packet against its list.
    pub fn check() -> f64 {
        let mut signer = Signer::new(0);
        let mut packetizer = Packetizer::new(1, 0);
        let payload = [TsPacket::SYNC; Packetizer::PER_PACKET * TsPacket::LEN];
        for _ in 0..FILL {
            signer.push(Instant::ZERO, packetizer.packetize(0, false, &payload).unwrap()).unwrap();
        }
        signer.sign(Instant::ZERO, 1, |_| Some(Bytes::from_static(&[0; 72])));
        let later = Instant::from_millis(1000);
        let mut guard = Guard::new(Limits::default());
        let mut packets = Vec::new();
        while let Some(outgoing) = signer.pop(later) {
            match outgoing {
                Outgoing::List(list) => {
                    guard.offer((), list.packet().clone(), true).unwrap();
                    guard.judge(|_, _| true);
                }
                Outgoing::Media(packet) => packets.push((Packet::parse(&packet).unwrap().header, packet)),
            }
        }
        let mut check = || {
            let genuine =
                |(header, packet): &&(_, Bytes)| guard.check(later, (), header, packet) == Verdict::Genuine;
            packets.iter().filter(genuine).count()
        };
        (0..ROUNDS).map(|_| slice(FILL, &mut check)).fold(f64::INFINITY, f64::min)
    }

    fn slice(datagrams: usize, mut send: impl FnMut() -> usize) -> f64 {
        let before = cpu();
        let sent: usize = (0..SLICE.div_ceil(datagrams)).map(|_| send()).sum();
        (cpu() - before) / sent.max(1) as f64
    }

    fn cpu() -> f64 {
        let t = clock_gettime(ClockId::ThreadCPUTime);
        t.tv_sec as f64 * 1e9 + t.tv_nsec as f64
    }

    fn sink() -> io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_recv_buffer_size(1)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        Ok(socket)
    }

    fn local(socket: &Socket) -> io::Result<SocketAddr> {
        socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("no IP address"))
    }

    /// The same system calls with everything prepared that can be prepared.
    struct Bare {
        headers: MultiHeaders<SockaddrStorage>,
        plain: MultiHeaders<SockaddrStorage>,
        to: Vec<Option<SockaddrStorage>>,
    }

    impl Bare {
        fn new(addresses: &[SocketAddr]) -> Self {
            Bare {
                headers: MultiHeaders::preallocate(addresses.len(), Some(nix::cmsg_space!(u16))),
                plain: MultiHeaders::preallocate(addresses.len(), None),
                to: addresses.iter().map(|&a| Some(a.into())).collect(),
            }
        }

        fn send(&mut self, socket: &UdpSocket, run: &[Bytes]) -> usize {
            let mut sent = 0;
            for train in run.chunks(MAX_SEGMENTS.min(MAX_TRAIN_BYTES / PACKET)) {
                let slices: heapless::Vec<IoSlice<'_>, MAX_SEGMENTS> =
                    train.iter().map(|p| IoSlice::new(p)).collect();
                let each = std::iter::repeat(&slices);
                let (fd, flags) = (socket.as_raw_fd(), MsgFlags::empty());
                let result = if train.len() > 1 {
                    let cut = [ControlMessage::UdpGsoSegments(&(PACKET as u16))];
                    sendmmsg(fd, &mut self.headers, each, &self.to, cut, flags)
                } else {
                    sendmmsg(fd, &mut self.plain, each, &self.to, [], flags)
                };
                sent += result.map_or(0, |results| results.count() * train.len());
            }
            sent
        }
    }
}
