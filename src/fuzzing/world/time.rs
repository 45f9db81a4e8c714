//! Time: the world goes on, exactly in time for every node.

use super::host::hold;
use super::{CALLS, Clock, FRAME, LATENCY, World};
use crate::fuzzing::cast::NODES;
use crate::ids::ChannelId;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

impl World<'_> {
    /// The world goes on as it should for a while: nothing is lost, every host is in time, and media flow.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        for who in self.living() {
            self.drain(who);
        }
        let mut frame = self.now;
        loop {
            while let Some(who) = (0..NODES).find(|&who| self.is_due(who)) {
                self.call(who, |node, now| node.handle_timeout(now));
            }
            if frame <= self.now {
                frame = self.now + FRAME;
                self.push_everywhere();
            }
            let under_way = self.wire.len();
            for _ in 0..under_way {
                let Some(parcel) = self.wire.pop_front() else { break };
                if !self.hosts[parcel.to].dead {
                    self.deliver(parcel);
                }
            }
            if self.now >= end || self.calls >= CALLS {
                return;
            }
            let arrival = (!self.wire.is_empty()).then(|| self.now + LATENCY);
            let living = self.hosts.iter().filter(|host| !host.dead);
            let deadlines = living.filter_map(|host| host.node.deadline());
            let next = deadlines.chain(arrival).chain([frame, end]).min().unwrap_or(end);
            self.wait_until(next);
        }
    }

    fn living(&self) -> Vec<usize> {
        (0..NODES).filter(|&who| !self.hosts[who].dead).collect()
    }

    fn is_due(&self, who: usize) -> bool {
        !self.hosts[who].dead && self.hosts[who].node.deadline().is_some_and(|at| at <= self.now)
    }

    fn wait_until(&mut self, next: Instant) {
        if self.clock == Clock::Rough {
            let halfway = self.now + next.since(self.now) / 2;
            for (who, host) in self.hosts.iter_mut().enumerate().filter(|(_, host)| !host.dead) {
                hold(who, host.node.wake_early(halfway));
            }
        }
        self.now = self.now.max(next);
    }

    fn push_everywhere(&mut self) {
        for who in self.living() {
            let node = self.hosts[who].node.machine();
            let published = |id: &ChannelId| node.status(*id).is_some_and(|status| status.publisher);
            let channels: Vec<ChannelId> = node.channels().map(|(id, _)| id).filter(published).collect();
            channels.into_iter().for_each(|channel| self.push(who, channel));
        }
    }
}
