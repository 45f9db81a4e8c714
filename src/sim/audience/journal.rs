//! What travelled and what arrived.

use super::player::{Player, Watched, judge};
use crate::sim::machine::NodeIndex;
use crate::sim::trace::{Record, What};
use crate::stats::Plane;
use crate::time::{Duration, Instant};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;

/// Where a peer has sent no media for so long it is not the parent.
const RECENT: Duration = Duration::from_secs(3);

/// How a viewer came to its first packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// From the first message to the overlay until it had joined.
    pub joining: Duration,
    /// From then to its first INVITE: the lookup of the channel.
    pub lookup: Duration,
    /// From its first INVITE to its first packet.
    pub call: Duration,
    /// How many were asked.
    pub asked: usize,
    /// How many of them sent it to somebody else (302).
    pub redirects: u32,
    /// How many of them refused.
    pub refusals: u32,
}

/// Octets that nodes sent, by kind, without UDP, TCP and IP headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Octets {
    /// RTP.
    pub media: u64,
    /// RTCP between a parent and its child.
    pub reports: u64,
    /// RTCP in standbys.
    pub standby_reports: u64,
    /// SIP INFO and its answers.
    pub info: u64,
    /// All other SIP.
    pub calls: u64,
    /// RELOAD.
    pub overlay: u64,
}

impl Octets {
    /// What is not media.
    pub const fn control(&self) -> u64 {
        self.reports + self.standby_reports + self.info + self.calls + self.overlay
    }

    /// What was sent since then.
    pub const fn since(&self, before: &Octets) -> Octets {
        Octets {
            media: self.media - before.media,
            reports: self.reports - before.reports,
            standby_reports: self.standby_reports - before.standby_reports,
            info: self.info - before.info,
            calls: self.calls - before.calls,
            overlay: self.overlay - before.overlay,
        }
    }
}

/// A viewer on its way to its first packet.
#[derive(Debug, Default)]
struct Arrival {
    entered: Instant,
    tuned: Option<Instant>,
    invited: Option<Instant>,
    asked: Vec<NodeIndex>,
    redirects: u32,
    refusals: u32,
}

/// One viewer's packets, oldest first.
#[derive(Debug, Default)]
struct Sight {
    arrival: Option<Arrival>,
    packets: VecDeque<(Instant, u64)>,
}

/// Everything that is kept.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// The packets that have left, with their numbers.
    sent: VecDeque<(u64, Instant)>,
    sights: BTreeMap<NodeIndex, Sight>,
    entries: Vec<Entry>,
    octets: Octets,
    /// When media went from one to the other, last.
    fed: BTreeMap<(NodeIndex, NodeIndex), Instant>,
}

impl Journal {
    pub(super) fn sent(&mut self, now: Instant, number: u64) {
        self.sent.push_back((number, now));
    }

    pub(super) fn enter(&mut self, node: NodeIndex, now: Instant) {
        let arrival = Some(Arrival { entered: now, ..Arrival::default() });
        self.sights.insert(node, Sight { arrival, packets: VecDeque::new() });
    }

    pub(super) fn tuned(&mut self, node: NodeIndex, now: Instant) {
        if let Some(arrival) = self.arrival(node) {
            arrival.tuned = Some(now);
        }
    }

    fn arrival(&mut self, node: NodeIndex) -> Option<&mut Arrival> {
        self.sights.get_mut(&node)?.arrival.as_mut()
    }

    /// A packet that a node has given to its player.
    pub(super) fn packet(&mut self, now: Instant, node: NodeIndex, packet: &[u8]) {
        let (Some(&(newest, _)), &[_, _, high, low, ..]) = (self.sent.back(), packet) else { return };
        let Some(sight) = self.sights.get_mut(&node) else { return };
        let behind = (newest as u16).wrapping_sub(u16::from_be_bytes([high, low]));
        let Some(number) = newest.checked_sub(u64::from(behind)) else { return };
        sight.packets.push_back((now, number));
        let Some(arrival) = sight.arrival.take() else { return };
        if let (Some(tuned), Some(invited)) = (arrival.tuned, arrival.invited) {
            self.entries.push(Entry {
                joining: tuned.since(arrival.entered),
                lookup: invited.since(tuned),
                call: now.since(invited),
                asked: arrival.asked.len(),
                redirects: arrival.redirects,
                refusals: arrival.refusals,
            });
        }
    }

    /// Something that travels.
    pub(super) fn record(&mut self, record: &Record) {
        let Record::Packet { at, from, to, plane, what } = record else { return };
        let (payload, datagram) = match what {
            What::Datagram { payload, .. } => (payload, true),
            What::Bytes(bytes) => (bytes, false),
            _ => return,
        };
        let octets = payload.len() as u64;
        let (Some(from), Some(to)) = (NodeIndex::of(from.ip()), NodeIndex::of(to.ip())) else { return };
        match plane {
            Plane::Overlay => self.octets.overlay += octets,
            Plane::Signalling if datagram => self.signalling(*at, from, to, payload),
            Plane::Signalling => self.octets.calls += octets,
            Plane::Media if payload.get(1).is_some_and(|kind| (192..=223).contains(kind)) => {
                let feeds = |way| self.fed.get(&way).is_some_and(|last| at.since(*last) < RECENT);
                let kind = match feeds((to, from)) || feeds((from, to)) {
                    true => &mut self.octets.reports,
                    false => &mut self.octets.standby_reports,
                };
                *kind += octets;
            }
            Plane::Media => {
                self.octets.media += octets;
                self.fed.insert((from, to), *at);
            }
        }
    }

    fn signalling(&mut self, at: Instant, from: NodeIndex, to: NodeIndex, message: &Bytes) {
        let is_info =
            |message: &[u8]| message.windows(5).any(|w| w == b" INFO") || message.starts_with(b"INFO ");
        let head = &message[..message.len().min(700)];
        *(if is_info(head) { &mut self.octets.info } else { &mut self.octets.calls }) += message.len() as u64;
        if message.starts_with(b"INVITE ")
            && let Some(arrival) = self.arrival(from)
        {
            arrival.invited.get_or_insert(at);
            if !arrival.asked.contains(&to) {
                arrival.asked.push(to);
            }
        }
        if let Some(arrival) = self.arrival(to) {
            arrival.redirects += u32::from(message.starts_with(b"SIP/2.0 302"));
            arrival.refusals += u32::from([b'4', b'5', b'6'].iter().any(|c| message.get(8) == Some(c)));
        }
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.entries.clone()
    }

    pub(super) const fn octets(&self) -> Octets {
        self.octets
    }

    pub(super) fn watched(
        &self,
        viewer: NodeIndex,
        player: Player,
        from: Instant,
        to: Instant,
    ) -> Option<Watched> {
        let packets = &self.sights.get(&viewer)?.packets;
        judge(player, (from, to), self.sent.iter().copied(), packets.iter().copied())
    }

    pub(super) fn forget(&mut self, before: Instant) {
        let old = self.sent.iter().take_while(|s| s.1 < before).count();
        self.sent.drain(..old);
        for sight in self.sights.values_mut() {
            let old = sight.packets.iter().take_while(|p| p.0 < before).count();
            sight.packets.drain(..old);
        }
        self.fed.retain(|_, last| *last >= before);
    }
}
