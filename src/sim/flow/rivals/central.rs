//! One server that sends the channel to every viewer.
//!
//! Taken for granted: its uplink never ends, and it never fails. A viewer asks it once (HTTP or RTSP over TLS: a handshake of
//! two round trips and a request), and is served in the same round trip.

use super::grove::{Ask, Grove, Rival};
use crate::sim::flow::SOURCE;
use crate::sim::flow::crowd::Person;
use crate::sim::flow::sizes;
use crate::sim::flow::summary::Control;
use crate::time::Duration;

/// The server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Central;

impl Rival for Central {
    fn name(&self) -> &'static str {
        "central server"
    }

    fn slots(&self, node: u32, _: &Person, _: usize) -> u32 {
        if node == SOURCE { u32::MAX } else { 0 }
    }

    fn ask(&mut self, grove: &mut Grove, node: u32, _: usize, _: bool) -> Ask {
        grove.count(Control::Calls, sizes::INVITE + sizes::ANSWER, false);
        let time = grove.request(node, SOURCE, true);
        let way = grove.distance(SOURCE, node);
        Ask::Parent(SOURCE, without_last_way(time, way))
    }
}

/// What a child that is about to be served has still to wait for when the last way of `time` is that of its media.
pub(super) fn without_last_way(time: Duration, way: Duration) -> Duration {
    time.saturating_sub(way)
}
