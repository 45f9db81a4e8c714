//! The machines of the policy are woken and told facts; their orders are obeyed at once.

use super::happening::Happening;
use super::look::Look;
use super::people::Host;
use super::{CHANNEL, World};
use crate::iptv::{Context, Fact, Iptv};
use crate::time::Instant;

impl World {
    pub(super) fn wake(&mut self, node: u32) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(node).filter(|h| h.wake == now) else { return };
        host.wake = Instant::FAR_FUTURE;
        self.with(node, |iptv, now, ctx| iptv.handle_timeout(now, ctx));
        let deadline = self.hosts.get(node).and_then(|h| h.iptv.deadline());
        if deadline.is_some_and(|d| d <= now) {
            self.fail(node);
        }
    }

    #[expect(
        clippy::panic,
        reason = "a broken promise is a failed test, and would be a simulation without end"
    )]
    fn fail(&self, node: u32) -> ! {
        let host = self.hosts.get(node);
        let status = host.map(|h| (h.iptv.deadline(), h.iptv.status(CHANNEL)));
        let seed = self.setting.crowd.seed;
        panic!("seed {seed}, K1 is broken by {node} at {:?}, deadline and status {status:?}", self.now);
    }

    pub(super) fn tell(&mut self, node: u32, fact: Fact<u32>) {
        self.with(node, |iptv, now, ctx| iptv.on_fact(now, fact, ctx));
    }

    pub(super) fn with(
        &mut self,
        node: u32,
        act: impl FnOnce(&mut Iptv<u32>, Instant, &mut Context<'_, u32>),
    ) {
        let Some(mut host) = self.hosts.take(node) else { return };
        let now = self.now;
        let mut orders = core::mem::take(&mut self.orders);
        let Host { iptv, dice, placed, person, .. } = &mut *host;
        let look = Look {
            node,
            lies: person.lies,
            now,
            placed,
            sessions: &self.sessions,
            media: &self.media,
            hosts: &self.hosts,
            jitter: self.setting.conditions.jitter,
        };
        act(iptv, now, &mut Context { entropy: dice, progress: &look, orders: &mut orders });
        self.hosts.put(node, host);
        while let Some(order) = orders.pop_front() {
            self.obey(node, order);
        }
        self.orders = orders;
        self.arm(node);
    }

    fn arm(&mut self, node: u32) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(node) else { return };
        let Some(deadline) = host.iptv.deadline() else { return };
        let at = deadline.max(now);
        if at < host.wake {
            host.wake = at;
            self.queue.schedule(at, Happening::Wake(node));
        }
    }
}
