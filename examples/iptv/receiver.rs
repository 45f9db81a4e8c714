//! Receiving datagrams without a buffer per datagram, and without copying them.

use bytes::{Bytes, BytesMut};
use mio::net::UdpSocket;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

/// Full buffers that are remembered while somebody still holds datagrams of them. The ring of a channel holds 84 of the
/// media socket's at most, a player's reorder buffer and one turn of the host hold few more; beyond, the oldest is left to
/// those who hold it.
const LENT: usize = 256;

/// Datagrams out of one large buffer after the other. A buffer, and the counter by which its datagrams share it, is
/// used again as soon as the last of them is dropped: once there are as many as are held at a time, receiving
/// allocates nothing.
pub struct Receiver {
    buffer: BytesMut,
    lent: VecDeque<BytesMut>,
    size: usize,
    most: usize,
}

impl Receiver {
    /// Takes datagrams of up to `most` bytes into buffers of `size` bytes.
    pub fn new(size: usize, most: usize) -> Self {
        let size = size.max(most + 1);
        Receiver { buffer: BytesMut::zeroed(size), lent: VecDeque::with_capacity(LENT), size, most }
    }

    /// The next datagram, or `None` when none is waiting. Datagrams that are too large are left out.
    pub fn recv(&mut self, socket: &UdpSocket) -> io::Result<Option<(Bytes, SocketAddr)>> {
        loop {
            if self.buffer.len() <= self.most {
                self.turn_over();
            }
            // One byte more than allowed tells a datagram that is too large from one that just fits.
            match socket.recv_from(&mut self.buffer[..=self.most]) {
                Ok((n, _)) if n > self.most => {}
                Ok((n, from)) => return Ok(Some((self.buffer.split_to(n).freeze(), from))),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(None),
                    // An ICMP answer to something sent before; the socket itself is well.
                    io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// Goes on with an empty buffer: the one that was just filled, if all its datagrams are gone already, or another
    /// that came back, or a new one.
    fn turn_over(&mut self) {
        self.buffer.clear();
        if !self.buffer.try_reclaim(self.size) {
            let returned = self.lent.iter_mut().position(|buffer| buffer.try_reclaim(self.size));
            let empty = returned.and_then(|n| self.lent.remove(n));
            let empty = empty.unwrap_or_else(|| BytesMut::with_capacity(self.size));
            if self.lent.len() == LENT {
                self.lent.pop_front();
            }
            self.lent.push_back(core::mem::replace(&mut self.buffer, empty));
        }
        self.buffer.resize(self.size, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use allocation_counter::measure;

    const PACKET: usize = 1328;
    /// Packets of a buffer.
    const PER_BUFFER: usize = 8;

    struct Line {
        sender: UdpSocket,
        socket: UdpSocket,
        to: SocketAddr,
        receiver: Receiver,
    }

    impl Line {
        fn new() -> Self {
            let socket = || UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("loopback");
            let (sender, socket) = (socket(), socket());
            let to = socket.local_addr().expect("bound");
            // The last packet needs a byte of room behind it.
            Line { sender, socket, to, receiver: Receiver::new(PER_BUFFER * PACKET + 1, PACKET) }
        }

        /// On loopback a datagram is in the receiver's queue when `send` returns.
        fn packet(&mut self, fill: u8) -> Bytes {
            self.sender.send_to(&[fill; PACKET], self.to).expect("sent");
            self.next().expect("a packet")
        }

        fn next(&mut self) -> Option<Bytes> {
            self.receiver.recv(&self.socket).expect("recv").map(|(packet, _)| packet)
        }
    }

    #[test]
    fn a_datagram_that_is_too_large_is_left_out() {
        let mut line = Line::new();
        for size in [PACKET + 1, PACKET] {
            line.sender.send_to(&[0; 2 * PACKET][..size], line.to).expect("sent");
        }
        assert_eq!(line.next().map(|packet| packet.len()), Some(PACKET));
        assert_eq!(line.next(), None);
    }

    #[test]
    fn datagrams_share_a_buffer() {
        let mut line = Line::new();
        let got: Vec<_> = (0..PER_BUFFER).map(|n| line.packet(n as u8)).collect();
        for pair in got.windows(2) {
            assert_eq!(pair[0].as_ptr() as usize + PACKET, pair[1].as_ptr() as usize);
        }
    }

    #[test]
    fn what_is_held_stays_as_it_was_while_the_buffers_of_others_are_used_again() {
        let mut line = Line::new();
        let mut held = Vec::new();
        for n in 0..40 * PER_BUFFER {
            let packet = line.packet(n as u8);
            // One packet pins its buffer; the six buffers after it are free again at once.
            if n % (7 * PER_BUFFER) == 3 {
                held.push((n as u8, packet));
            }
        }
        assert_eq!(held.len(), 6);
        assert!(held.iter().all(|(n, packet)| packet.iter().all(|octet| octet == n)));
        assert_eq!(line.receiver.lent.len(), held.len());
    }

    #[test]
    fn f9_receiving_allocates_nothing_however_many_datagrams_are_held() {
        for held in [0, 1, PER_BUFFER, 10 * PER_BUFFER + 3] {
            let mut line = Line::new();
            let mut queue = VecDeque::with_capacity(held + 1);
            let mut run = |count: usize| {
                let info = measure(|| {
                    for n in 0..count {
                        queue.push_back(line.packet(n as u8));
                        if queue.len() > held {
                            queue.pop_front();
                        }
                    }
                });
                info.count_total
            };
            run(30 * PER_BUFFER);
            assert_eq!(run(100 * PER_BUFFER), 0, "{held} held");
        }
    }

    #[test]
    fn f9_a_buffer_is_paid_for_once_and_then_lent_again_and_again() {
        let mut line = Line::new();
        let buffers = 100;
        let info = measure(|| (0..buffers * PER_BUFFER).for_each(|n| drop(line.packet(n as u8))));
        // The counter of the one buffer that there is.
        assert_eq!(info.count_total, 1);
    }

    #[test]
    fn the_buffers_of_somebody_who_gives_nothing_back_are_forgotten() {
        let mut line = Line::new();
        let held: Vec<_> = (0..(LENT + 10) * PER_BUFFER).map(|n| line.packet(n as u8)).collect();
        assert_eq!(line.receiver.lent.len(), LENT);
        assert!(held.iter().enumerate().all(|(n, packet)| packet[..] == [n as u8; PACKET]));
    }
}
