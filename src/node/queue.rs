//! The one queue of outputs: causal order, adjacent packets of a channel merged into runs, bytes counted as they go in.

use super::api::{Event, Output};
use crate::ids::ChannelId;
use crate::stats::{DropReason, Plane, Stats};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;

/// The most packets of one run: what a single GSO message can carry (49 packets of 1328 bytes fit into 65,507 bytes).
const MAX_RUN: usize = 49;

/// Outputs that wait for the host, oldest first.
#[derive(Debug)]
pub(super) struct Queue {
    outputs: VecDeque<Output>,
    /// Where datagrams stop; everything else stops at twice as many.
    limit: usize,
    /// Buffers of runs that the host gave back, so that a steady stream allocates nothing.
    spare: Vec<Vec<Bytes>>,
}

impl Queue {
    pub(super) const fn new(limit: usize) -> Self {
        Queue { outputs: VecDeque::new(), limit, spare: Vec::new() }
    }

    /// Whether the host has let so much wait that no input shall add to it.
    pub(super) fn is_full(&self) -> bool {
        self.outputs.len() >= self.limit
    }

    pub(super) fn pop(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    #[cfg(any(test, feature = "arbitrary"))]
    pub(super) fn len(&self) -> usize {
        self.outputs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }

    pub(super) fn event(&mut self, event: Event, stats: &mut Stats) {
        self.push(Output::Event(event), stats);
    }

    /// Anything but media. What a host that drains nothing has no room for is dropped and counted: datagrams first,
    /// which the protocols send again, and at twice the limit whatever the timers still come up with.
    pub(super) fn push(&mut self, output: Output, stats: &mut Stats) {
        let room = match output {
            Output::Transmit { .. } => self.limit,
            _ => self.limit.saturating_mul(2),
        };
        if self.outputs.len() >= room {
            return stats.count_drop(DropReason::Overloaded);
        }
        if let Output::Transmit { plane, payload, .. } = &output {
            stats.count_sent(*plane, payload.len());
        }
        self.outputs.push_back(output);
    }

    /// One new packet of a channel with `children` children. It joins the run at the end of the queue if that is the
    /// same channel's.
    pub(super) fn media(&mut self, channel: ChannelId, packet: Bytes, children: usize, stats: &mut Stats) {
        if self.is_full() {
            return stats.count_drop(DropReason::Overloaded);
        }
        for _ in 0..children {
            stats.count_sent(Plane::Media, packet.len());
        }
        if let Some(Output::Media { channel: last, packets }) = self.outputs.back_mut()
            && *last == channel
            && packets.len() < MAX_RUN
        {
            packets.push(packet);
            return;
        }
        let mut packets = self.spare.pop().unwrap_or_default();
        packets.push(packet);
        self.outputs.push_back(Output::Media { channel, packets });
    }

    /// Takes a run's buffer back for the next run.
    pub(super) fn recycle(&mut self, mut run: Vec<Bytes>) {
        const SPARE: usize = 16;
        if self.spare.len() < SPARE {
            run.clear();
            self.spare.push(run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(n: u8) -> Bytes {
        Bytes::copy_from_slice(&[n])
    }

    #[test]
    fn adjacent_packets_of_a_channel_become_one_run_and_others_keep_their_place() {
        let (mut q, mut s) = (Queue::new(1000), Stats::default());
        let (a, b) = (ChannelId(0), ChannelId(1));
        q.media(a, packet(1), 2, &mut s);
        q.media(a, packet(2), 2, &mut s);
        q.media(b, packet(3), 1, &mut s);
        q.event(Event::Joined, &mut s);
        q.media(b, packet(4), 1, &mut s);
        assert_eq!(q.pop(), Some(Output::Media { channel: a, packets: [packet(1), packet(2)].into() }));
        assert_eq!(q.pop(), Some(Output::Media { channel: b, packets: [packet(3)].into() }));
        assert_eq!(q.pop(), Some(Output::Event(Event::Joined)));
        assert_eq!(q.pop(), Some(Output::Media { channel: b, packets: [packet(4)].into() }));
        assert_eq!(s.sent(Plane::Media).packets, 6);
    }

    #[test]
    fn k8_a_host_that_drains_nothing_loses_datagrams_first_and_nothing_grows_for_ever() {
        let (mut q, mut s) = (Queue::new(10), Stats::default());
        let to = core::net::SocketAddr::from(([127, 0, 0, 1], 5060));
        for n in 0..100 {
            let transmit = Output::Transmit { plane: Plane::Overlay, to, payload: packet(n) };
            q.push(transmit, &mut s);
            q.media(ChannelId(n.into()), packet(n), 1, &mut s);
        }
        assert_eq!((q.len(), s.dropped(DropReason::Overloaded)), (10, 190));
        (0..100).for_each(|_| q.event(Event::Joined, &mut s));
        assert_eq!((q.len(), s.dropped(DropReason::Overloaded)), (20, 280));
        assert_eq!(s.sent(Plane::Overlay).packets, 5, "what was dropped was not sent");
    }

    #[test]
    fn a_run_never_outgrows_one_gso_message() {
        let (mut q, mut s) = (Queue::new(1000), Stats::default());
        (0..100).for_each(|n| q.media(ChannelId(0), packet(n), 1, &mut s));
        let mut lengths = Vec::new();
        while let Some(Output::Media { packets, .. }) = q.pop() {
            lengths.push(packets.len());
        }
        assert_eq!(lengths, [49, 49, 2]);
    }

    #[test]
    fn f9_a_recycled_run_is_used_again_without_allocating() {
        let (mut q, mut s) = (Queue::new(1000), Stats::default());
        q.media(ChannelId(0), packet(1), 1, &mut s);
        let Some(Output::Media { packets, .. }) = q.pop() else { panic!("a run was queued") };
        let place = packets.as_ptr();
        q.recycle(packets);
        q.media(ChannelId(0), packet(2), 1, &mut s);
        let Some(Output::Media { packets, .. }) = q.pop() else { panic!("a run was queued") };
        assert_eq!(packets.as_ptr(), place);
    }
}
