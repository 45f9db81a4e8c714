//! Who is who in a world: nodes and strangers, their addresses, and what channels are called.

use crate::ids::{ChannelName, NodeId};
use crate::stats::Plane;
use core::net::{Ipv4Addr, SocketAddr};

pub(super) const OVERLAY: &str = "tv.example";
pub(super) const NODES: usize = 5;
/// Nodes and, behind them, strangers.
pub(super) const EVERYBODY: usize = 7;
pub(super) const PLANES: [Plane; 3] = [Plane::Overlay, Plane::Signalling, Plane::Media];
/// Channels, the last of which is a keyword too.
pub(super) const NAMES: [&str; 3] = ["100", "101", "news"];

pub(super) fn address(who: usize, plane: Plane) -> SocketAddr {
    (Ipv4Addr::new(10, 0, 0, who as u8 + 1), 5000 + plane as u16).into()
}

/// Whose address this is.
pub(super) fn owner(address: SocketAddr) -> Option<usize> {
    (0..EVERYBODY).find(|&who| PLANES.iter().any(|&plane| self::address(who, plane) == address))
}

pub(super) fn node_id(who: usize) -> NodeId {
    NodeId([0x10 + 0x20 * who as u8; NodeId::LEN])
}

pub(super) fn channel_name(n: usize) -> ChannelName {
    ChannelName::new(NAMES[n % NAMES.len()]).unwrap()
}
