//! What the simulator sees of a node, and the addresses that it gives to each.

use crate::ids::{ChannelId, StreamId};
use crate::node::{Addresses, Datagram, Node, Output, Receipt, StreamInput};
use crate::stats::Plane;
use crate::time::Instant;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A node as its host sees it: bytes and time go in, outputs and a deadline come out.
///
/// The `now` of every call counts, that of an early `handle_timeout` too; one that is older than the last counts as the
/// last (K6).
pub trait Machine {
    /// A datagram has arrived.
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) -> Receipt;
    /// Something happened on a stream.
    fn handle_stream(&mut self, now: Instant, stream: StreamId, input: StreamInput);
    /// Time has passed. Before the deadline this does nothing (K12).
    fn handle_timeout(&mut self, now: Instant);
    /// A datagram to this address cannot arrive: nothing listens there (ICMP port unreachable).
    fn handle_unreachable(&mut self, now: Instant, plane: Plane, to: SocketAddr);
    /// What the machine wants done next.
    fn poll_output(&mut self) -> Option<Output>;
    /// When the machine wants to be woken; the last `now` while output waits (K2).
    fn deadline(&self) -> Option<Instant>;
    /// Who gets the media of a channel.
    fn children(&self, channel: ChannelId) -> &[SocketAddr];
    /// Takes the buffer of an [`Output::Media`] back, to be filled again.
    fn recycle(&mut self, packets: Vec<Bytes>) {
        drop(packets);
    }
}

/// A machine's place in its network: 0, 1, 2, ... in the order in which they were added.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(pub u32);

impl NodeIndex {
    pub(super) const fn at(self) -> usize {
        self.0 as usize
    }

    /// Whose address this is. `None` for an address that no network gives out.
    pub fn of(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V4(ip) => match ip.octets() {
                [10, a, b, c] => Some(u32::from_be_bytes([0, a, b, c])),
                _ => None,
            },
            IpAddr::V6(ip) => match ip.segments() {
                [0xfd00, 0, 0, 0, 0, 0, a, b] => Some(u32::from(a) << 16 | u32::from(b)),
                _ => None,
            },
        }
        .and_then(|n| n.checked_sub(1))
        .map(NodeIndex)
    }

    /// The host's address: 10.x.y.z or fd00::xxxx:yyyy, counted from 1.
    pub fn ip(self, family: Family) -> IpAddr {
        let n = self.0.saturating_add(1);
        match family {
            Family::V4 => {
                let [_, a, b, c] = n.to_be_bytes();
                Ipv4Addr::new(10, a, b, c).into()
            }
            Family::V6 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, (n >> 16) as u16, n as u16).into(),
        }
    }
}

impl fmt::Display for NodeIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl fmt::Debug for NodeIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The internet protocol that a network speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// 10.x.y.z; up to 2^24 - 2 nodes.
    #[default]
    V4,
    /// fd00::xxxx:yyyy.
    V6,
}

impl NodeIndex {
    const OVERLAY_PORT: u16 = 6084;
    const SIGNALLING_PORT: u16 = 5060;
    const MEDIA_PORT: u16 = 5004;

    /// The sockets of this node: one on each plane's usual port, with a listener for streams beside those of the overlay and
    /// of SIP.
    pub fn addresses(self, family: Family) -> Addresses {
        let ip = self.ip(family);
        Addresses {
            overlay: SocketAddr::new(ip, Self::OVERLAY_PORT),
            signalling: SocketAddr::new(ip, Self::SIGNALLING_PORT),
            media: SocketAddr::new(ip, Self::MEDIA_PORT),
        }
    }

    /// The plane whose sockets have this port, if any.
    pub(super) const fn plane_of(port: u16) -> Option<Plane> {
        match port {
            Self::OVERLAY_PORT => Some(Plane::Overlay),
            Self::SIGNALLING_PORT => Some(Plane::Signalling),
            Self::MEDIA_PORT => Some(Plane::Media),
            _ => None,
        }
    }
}

impl Machine for Node {
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) -> Receipt {
        Node::handle_datagram(self, now, datagram)
    }

    fn handle_stream(&mut self, now: Instant, stream: StreamId, input: StreamInput) {
        Node::handle_stream(self, now, stream, input);
    }

    fn handle_timeout(&mut self, now: Instant) {
        Node::handle_timeout(self, now);
    }

    fn handle_unreachable(&mut self, now: Instant, plane: Plane, to: SocketAddr) {
        Node::handle_unreachable(self, now, plane, to);
    }

    fn poll_output(&mut self) -> Option<Output> {
        Node::poll_output(self)
    }

    fn deadline(&self) -> Option<Instant> {
        Node::deadline(self)
    }

    fn children(&self, channel: ChannelId) -> &[SocketAddr] {
        Node::children(self, channel)
    }

    fn recycle(&mut self, packets: Vec<Bytes>) {
        Node::recycle(self, packets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_back_to_its_node() {
        for n in [0, 1, 255, 70_000, (1 << 24) - 2] {
            for family in [Family::V4, Family::V6] {
                let addresses = NodeIndex(n).addresses(family);
                assert_eq!(NodeIndex::of(addresses.media.ip()), Some(NodeIndex(n)));
                for plane in [Plane::Overlay, Plane::Signalling, Plane::Media] {
                    assert_eq!(NodeIndex::plane_of(addresses.of(plane).port()), Some(plane));
                }
            }
        }
        for stranger in ["127.0.0.1", "10.0.0.0", "::1", "fd00::"] {
            assert_eq!(NodeIndex::of(stranger.parse().unwrap()), None, "{stranger}");
        }
    }
}
