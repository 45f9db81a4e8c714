//! Grants for relayers that relayers have elected (Q4, Q9): without one they can be found by nobody, and only the channel's
//! owner can give one.
//!
//! Nobody asks for a grant: what relayers tell their electors anyway, where slots are free below them, is what the channel's
//! tree in the overlay has a use for. So the source signs for those whom its children's aggregates name, at most one in
//! [`Config::grant_interval`](super::Config::grant_interval) and [`Limits::grants`](super::Limits::grants) at a time. It
//! hands the grant to the child that named the relayer, with the Node-ID for which it is, and so does everybody on the way
//! down. One that is lost on the way is not missed: it counts until it has expired, or is given anew at half of its life,
//! if the relayer is named then. Whoever has no slot to give for so long drops out of the tree and is of no use there.
//! However large the crowd is, the source signs no more and sends no more than that.
//!
//! A chain of grants, by which each relayer would let in its children, needs no way down. But it would let whoever relays
//! put anybody it likes under the channel's name, as many as it likes, for as long as it likes and with nobody who could
//! take that back; every reader would check as many signatures as the relayer is deep; and a record for the twelfth layer
//! would not fit into an answer. Here every grant is the owner's own word, and readers check what they always do.
//!
//! What a child names is hearsay. One that names its accomplices gets grants for them, as it would if they were elected; it
//! gets no more than its share, which is the limit divided by the children that the source has. One that names relayers of
//! others keeps their grants from as many of them. A grant for somebody else is of no use to whoever sees it, since a record
//! is signed by the node that it speaks of. Relayers pass on what comes from
//! their parent, is the word of the owner whom they trust, and is for somebody below them: a parent has nobody's time wasted
//! further down than with its own child.

use super::Node;
use super::directory::PeerKey;
use super::grants::NotGranted;
use crate::bounded::BoundedMap;
use crate::ids::{CallId, ChannelId, NodeId};
use crate::reload::codec::{Grant, ProviderRole, Structure as _};
use crate::sip::body::{IptvBody, IptvInfo};
use crate::stats::DropReason;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use bytes::Bytes;

/// Grants that are out, by channel and for whom they are.
#[derive(Debug)]
pub(super) struct Below {
    out: BoundedMap<(ChannelId, NodeId), Out>,
    interval: Duration,
    /// When the next one may be given, while this node publishes.
    next: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Out {
    /// In which call it was handed down.
    via: CallId,
    /// From then on it is given anew.
    renew: Instant,
    until: Instant,
}

impl Below {
    pub(super) fn new(interval: Duration, limit: usize) -> Self {
        let interval = interval.max(Duration::from_millis(100));
        Below { out: BoundedMap::new(limit), interval, next: None }
    }

    #[cfg(any(test, feature = "arbitrary"))]
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// A channel begins here, or begins anew: what was granted before is of another epoch.
    pub(super) fn begin(&mut self, channel: ChannelId, now: Instant) {
        self.close(channel);
        self.next = self.next.or(Some(now + self.interval));
    }

    pub(super) fn close(&mut self, channel: ChannelId) {
        self.out.retain(|key, _| key.0 != channel);
    }

    /// For which of those who are named in a call the next grant is: for the child that has fewest, then in their order.
    fn choose(
        &self,
        now: Instant,
        channel: ChannelId,
        share: usize,
        named: impl Iterator<Item = (CallId, NodeId)>,
    ) -> Option<(CallId, NodeId)> {
        let share = share.max(1);
        let held = |via| self.out.iter().filter(|(key, out)| key.0 == channel && out.via == via).count();
        let due = named.filter(|&(via, node)| match self.out.get(&(channel, node)) {
            Some(out) => out.renew <= now && (out.via == via || held(via) < share),
            None => !self.out.is_full() && held(via) < share,
        });
        due.min_by_key(|&(via, _)| held(via))
    }
}

impl Node {
    /// Gives the next grant for each channel that relayers elect in.
    pub(super) fn grant_below(&mut self) {
        let now = self.now;
        self.below.next = None;
        self.below.out.retain(|_, out| out.until > now);
        let published = |id: &ChannelId| self.channels.get(*id).is_some_and(|open| open.owner.is_some());
        let channels: Vec<ChannelId> = self.channels.ids().filter(published).collect();
        for channel in channels {
            let Some(children) = self.policy.delegates(channel) else { continue };
            self.below.next = Some(now + self.below.interval);
            let named = self.policy.named_below(channel).into_iter().filter_map(|(call, peer)| {
                let node = self.directory.get(peer)?.node_id.filter(|&node| !self.is_bad_node(node))?;
                Some((call, node))
            });
            let share = self.below.out.limit() / children.max(1);
            if let Some((via, node)) = self.below.choose(now, channel, share, named) {
                self.grant_to(channel, via, node);
            }
        }
    }

    fn grant_to(&mut self, channel: ChannelId, via: CallId, node: NodeId) {
        let (now, lifetime) = (self.now, self.config.grant_lifetime);
        let Some(open) = self.channels.get(channel) else { return };
        let resource = self.resource(&open.name);
        let grant = self.issue(open, &open.name, &resource, node, ProviderRole::RELAYER);
        let Some(grant) = grant.and_then(|grant| grant.encode().ok()) else { return };
        if self.hand_down(via, grant, node) {
            let out = Out { via, renew: now + lifetime / 2, until: now + lifetime };
            // There is room: that was asked for before.
            let _ = self.below.out.insert((channel, node), out);
        }
    }

    /// Tells a child a grant, which is for it or for somebody below it. False when it cannot be told now.
    fn hand_down(&mut self, call: CallId, grant: Bytes, node: NodeId) -> bool {
        let child = self.calls.get(&call).map(|known| known.peer);
        let node = Some(node).filter(|&node| child != Some(PeerKey::of_node(node)));
        let body = IptvBody { channel: self.channel_of(call), info: IptvInfo::Grant { grant, node } };
        let Ok(body) = body.to_bytes() else { return false };
        self.with_agent(|agent, now, ctx| agent.info(now, call, body, ctx)).is_ok()
    }

    /// A grant for somebody else has come in a call: from the parent, for somebody below this node.
    pub(super) fn pass_on_grant(
        &mut self,
        call: CallId,
        bytes: &Bytes,
        node: NodeId,
    ) -> Result<(), NotGranted> {
        let passed = self.may_pass_on(call, bytes, node);
        match passed {
            // Should the child be too busy to be told, it is named again.
            Some(way) => _ = self.hand_down(way, bytes.clone(), node),
            None => self.stats.count_drop(DropReason::NotGranted),
        }
        passed.map(drop).ok_or(NotGranted)
    }

    fn may_pass_on(&mut self, call: CallId, bytes: &Bytes, node: NodeId) -> Option<CallId> {
        let (now, channel) = (self.now, self.calls.get(&call)?.channel);
        let way = self.policy.way_down(channel, PeerKey::of_node(node))?;
        let open = self.channels.get(channel)?;
        // The source waits for twice as long.
        let rested = open.passed_on.is_none_or(|at| now.since(at) >= self.below.interval / 2);
        if !rested || self.policy.parent_call(channel) != Some(call) {
            return None;
        }
        let grant = Grant::decode(bytes).ok()?;
        let resource = self.resource(&open.name);
        let word = self.word_for(&resource, node, ProviderRole::RELAYER, Some(&grant));
        word.filter(|word| open.trusted == Some(word.owner) && word.epoch >= open.epoch)?;
        self.channels.get_mut(channel)?.passed_on = Some(now);
        Some(way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::grants::tests::{NOW, RIGHT, grant, viewer};
    use crate::node::signalling::{Call, Usage};

    const CHANNEL: ChannelId = ChannelId(0);
    const LIFE: Duration = Duration::from_secs(600);

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(1000 * seconds)
    }

    fn id(n: u8) -> NodeId {
        NodeId([n; 16])
    }

    /// Gives what is due among those who are named, once a second until a time, and tells for whom.
    fn given(b: &mut Below, (from, to): (u64, u64), share: usize, named: &[(u32, u8)]) -> Vec<u8> {
        let mut all = Vec::new();
        for now in (from..to).map(at) {
            b.out.retain(|_, out| out.until > now);
            let named = named.iter().map(|&(via, n)| (CallId::received(via), id(n)));
            if let Some((via, node)) = b.choose(now, CHANNEL, share, named) {
                b.out.insert((CHANNEL, node), Out { via, renew: now + LIFE / 2, until: now + LIFE }).unwrap();
                all.push(node.0[0]);
            }
        }
        all
    }

    const CHILD: CallId = CallId::received(1);
    const DEEP: u8 = 7;

    /// A relayer with a parent, and with a child that relays and names a relayer below it; and the call with the parent.
    fn relayer() -> (Node, ChannelId, CallId) {
        use crate::iptv::{Fact, Order, Provider, Report, Subtree};
        let (mut node, channel) = viewer();
        let of = |n| PeerKey::of_node(id(n));
        let provider = |n, depth| Provider { peer: of(n), depth: Some(depth), free: Some(1) };
        let tell = |node: &mut Node, fact| {
            node.orders.clear();
            node.with_policy(|policy, now, ctx| policy.on_fact(now, fact, ctx));
        };
        node.with_policy(|policy, now, ctx| policy.tune(now, channel, ctx)).unwrap();
        tell(&mut node, Fact::Fetched { channel, providers: Vec::from([provider(2, 1)]) });
        let invited = node.orders.iter().find_map(|order| match order {
            Order::Invite { call, .. } => Some(*call),
            _ => None,
        });
        let parent = invited.unwrap();
        let usage = Usage::Control;
        for (call, peer) in [(parent, of(2)), (CHILD, of(5))] {
            let known = Call { channel, peer, usage, offer: None, key: None, serving: false, resume: None };
            node.calls.insert(call, known);
        }
        let place = Report::TreePosition {
            depth: 2,
            path: Vec::from([of(9), of(2)]),
            rescue: false,
            backups: Vec::new(),
            delegated: true,
        };
        let below = Subtree { peers: 1, free: 1, open: Vec::from([provider(DEEP, 4)]) };
        for fact in [
            Fact::Answered { call: parent, depth: Some(1), rescue: false },
            Fact::FirstPacket { channel, call: parent },
            Fact::Reported { call: parent, report: place },
            Fact::Reported { call: parent, report: Report::SelectedRelayer { register: false } },
            Fact::Invited { channel, call: CHILD, peer: of(5), urgent: false, slots: Some(2) },
            Fact::Reported { call: CHILD, report: Report::RelayerAccepted { free: 0 } },
            Fact::Reported { call: CHILD, report: Report::Subtree(below) },
        ] {
            tell(&mut node, fact);
        }
        (node, channel, parent)
    }

    #[test]
    fn q4_a_relayer_passes_on_what_the_owner_says_of_somebody_below_it_and_nothing_else() {
        let (mut node, channel, parent) = relayer();
        let deep = id(DEEP);
        assert_eq!(node.policy.way_down(channel, PeerKey::of_node(deep)), Some(CHILD));
        let good = grant(&node, RIGHT, deep, 7, NOW);
        let refused = [
            ("another owner's", parent, grant(&node, RIGHT + 1, deep, 7, NOW), deep),
            ("for somebody else", parent, grant(&node, RIGHT, id(5), 7, NOW), deep),
            ("over", parent, grant(&node, RIGHT, deep, 7, NOW - 600_000), deep),
            ("not yet", parent, grant(&node, RIGHT, deep, 7, NOW + 600_000), deep),
            ("none", parent, Bytes::from_static(b"a grant"), deep),
            ("from a child", CHILD, good.clone(), deep),
            ("in no call", CallId::received(9), good.clone(), deep),
            ("for nobody below", parent, grant(&node, RIGHT, id(8), 7, NOW), id(8)),
        ];
        for (what, call, grant, to) in refused {
            let dropped = node.stats.dropped(DropReason::NotGranted);
            assert_eq!(node.pass_on_grant(call, &grant, to), Err(NotGranted), "{what}");
            assert_eq!(node.stats.dropped(DropReason::NotGranted), dropped + 1);
        }
        assert_eq!(node.pass_on_grant(parent, &good, deep), Ok(()));
        // Said again and again it wastes nobody's time.
        assert_eq!(node.pass_on_grant(parent, &good, deep), Err(NotGranted));
        node.now = Instant::from_millis(499);
        assert_eq!(node.pass_on_grant(parent, &good, deep), Err(NotGranted));
        node.now = Instant::from_millis(500);
        assert_eq!(node.pass_on_grant(parent, &good, deep), Ok(()));
        // Nor is that of an earlier broadcast.
        node.now = Instant::from_millis(1000);
        node.channels.get_mut(channel).unwrap().epoch = 8;
        assert_eq!(node.pass_on_grant(parent, &good, deep), Err(NotGranted));
    }

    #[test]
    fn q4_each_is_granted_once_and_again_at_half_of_its_life_if_it_is_named_then() {
        let mut b = Below::new(Duration::from_secs(1), 8);
        let named = [(1, 10), (1, 11), (2, 20)];
        assert_eq!(given(&mut b, (0, 100), 4, &named), [10, 20, 11]);
        assert_eq!(given(&mut b, (100, 300), 4, &named), []);
        assert_eq!(given(&mut b, (300, 400), 4, &named[1..]), [20, 11]);
        assert_eq!(b.len(), 3);
        // Ten has not been named when it was time.
        assert_eq!(given(&mut b, (600, 601), 4, &[]), []);
        assert_eq!(b.len(), 2);
    }

    #[test]
    fn k8_q4_a_child_gets_grants_for_no_more_than_its_share_whomever_it_names() {
        let mut b = Below::new(Duration::from_secs(1), 8);
        let lies: Vec<(u32, u8)> = (10..100).map(|n| (1, n)).collect();
        assert_eq!(given(&mut b, (0, 200), 4, &lies).len(), 4);
        // The honest find their own untouched, and somebody else's is theirs only from when it may be renewed.
        let honest = [(2, 10), (2, 101), (2, 102), (2, 103), (2, 104), (2, 105)];
        assert_eq!(given(&mut b, (200, 250), 4, &honest), [101, 102, 103, 104]);
        assert_eq!(b.len(), 8);
        // Nobody gets more than all there are.
        assert_eq!(given(&mut b, (250, 290), 100, &[(3, 200)]), []);
        assert_eq!(given(&mut b, (600, 610), 4, &[(3, 200)]), [200]);
    }

    #[test]
    fn q7_a_new_epoch_grants_everybody_anew() {
        let mut b = Below::new(Duration::from_secs(1), 8);
        assert_eq!(given(&mut b, (0, 9), 4, &[(1, 10)]), [10]);
        b.begin(CHANNEL, at(9));
        assert_eq!(b.deadline(), Some(at(10)));
        assert_eq!(given(&mut b, (10, 19), 4, &[(1, 10)]), [10]);
    }
}
