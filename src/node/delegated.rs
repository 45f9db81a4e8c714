//! Grants for relayers that relayers have elected (Q4, Q9): without one they can be found by nobody, and only the channel's
//! owner can give one.
//!
//! Nobody asks for a grant: what relayers tell their electors anyway, where slots are free below them, is what the channel's
//! tree in the overlay has a use for. So the source signs for those whom its children's aggregates name, at most one in
//! [`Config::grant_interval`](super::Config::grant_interval) and [`Limits::grants`](super::Limits::grants) at a time, and
//! only for a child that owes no answer. It hands the grant to the child that named the relayer, with the Node-ID for which
//! it is, and so does everybody on the way down. One that may have been lost on the way is given once more soon, if the
//! relayer is named then; later at half of its life. Whoever has no slot to give for so long drops out of the tree and is
//! of no use there. However large the crowd is, the source signs no more and sends no more than that. A relayer that has
//! become a child of the source without an election counts as one that it names itself.
//!
//! A chain of grants, by which each relayer would let in its children, needs no way down. But it would let whoever relays
//! put anybody it likes under the channel's name, as many as it likes, for as long as it likes and with nobody who could
//! take that back; every reader would check as many signatures as the relayer is deep; and a record for the twelfth layer
//! would not fit into an answer. Here every grant is the owner's own word, and readers check what they always do.
//!
//! What a child names is hearsay. So these grants are good for the channel's tree only, where there is room for everybody;
//! the dozen places under the name are for those whom the source itself has elected. A child that names its accomplices gets
//! grants for them, as it would if they were elected: as many at a time as its share, which is the limit divided by the
//! children that the source serves, of all its channels together. What was granted for a child is counted as its own when
//! it has gone and comes back, until others have a use for it. Further down each relayer names its children's in turn, so that
//! a liar beside a sibling that has as many to name gets half of what its parent says, and a quarter one layer above.
//!
//! What this does not prevent: a child that names relayers of others gets their grants when it is time to renew them, and
//! keeps them from as many as are in its share. What gives way to others in the source's account still holds until it has
//! expired: of all that hold there are never more, for a channel, than a grant's life has intervals. And whoever calls with a new Node-ID has a new
//! share, once it has a slot of the source.
//!
//! A grant for somebody else is of no use to whoever sees it, since a record is signed by the node that it speaks of. Relayers
//! pass on what comes from their parent, is the word of the owner whom they trust, is for somebody below them and newer than
//! what they passed on for it: whatever a parent makes up costs its own children a signature to check, ten times a second
//! at most, and nobody further down anything; what it says again costs nothing.

use super::Node;
use super::directory::PeerKey;
use super::grants::{NotGranted, Place};
use crate::bounded::BoundedMap;
use crate::ids::{CallId, ChannelId, NodeId};
use crate::reload::codec::{Grant, ProviderRole, Structure as _};
use crate::stats::DropReason;
use crate::time::{Duration, Instant, UnixMillis};
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;

/// No source gives grants more often, and no relayer looks at more for longer.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

/// So many may come at once at a relayer, when the network has held them up.
const BURST: u32 = 8;

/// So many that were passed on last are known when they come again.
const PASSED: usize = 32;

/// A first grant may have been lost if the relayer is named so long afterwards.
const AGAIN: Duration = Duration::from_secs(30);

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
    /// For which child it was handed down.
    via: PeerKey,
    /// From then on it is given once more, if that child names the relayer still.
    again: Option<Instant>,
    /// From then on it is given anew.
    renew: Instant,
    until: Instant,
}

/// Who is named below a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Named {
    call: CallId,
    child: PeerKey,
    node: NodeId,
}

/// Whom the source serves in channels where relayers elect, and how many grants each of them has a claim to.
#[derive(Debug)]
struct Children {
    present: BTreeSet<(ChannelId, PeerKey)>,
    share: usize,
}

impl Children {
    fn new(present: BTreeSet<(ChannelId, PeerKey)>, limit: usize) -> Self {
        Children { share: (limit / present.len().max(1)).max(1), present }
    }
}

impl Below {
    pub(super) fn new(interval: Duration, limit: usize) -> Self {
        Below { out: BoundedMap::new(limit), interval: interval.max(LEAST_INTERVAL), next: None }
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

    fn held(&self, channel: ChannelId, child: PeerKey) -> usize {
        self.out.iter().filter(|(key, out)| key.0 == channel && out.via == child).count()
    }

    /// For which of those who are named the next grant is: for one that has none, and the child that has fewest; then in
    /// their order.
    fn choose(
        &self,
        now: Instant,
        channel: ChannelId,
        children: &Children,
        named: &[Named],
    ) -> Option<Named> {
        let room = !self.out.is_full() || self.surplus(children).is_some();
        let due = named.iter().filter_map(|named| {
            let (out, held) = (self.out.get(&(channel, named.node)), self.held(channel, named.child));
            let is_due = match out {
                Some(out) if out.via == named.child => {
                    (out.renew <= now || out.again.is_some_and(|at| at <= now)) && held <= children.share
                }
                Some(out) => out.renew <= now && held < children.share,
                None => room && held < children.share,
            };
            is_due.then_some((out.is_some(), held, named))
        });
        due.min_by_key(|&(again, held, _)| (again, held)).map(|(_, _, &named)| named)
    }

    /// What gives way to somebody else's when there is no room: what children have had that are gone, then what others have
    /// beyond their share; of these what ends first.
    fn surplus(&self, children: &Children) -> Option<(ChannelId, NodeId)> {
        let rank = |(&key, out): (&(ChannelId, NodeId), &Out)| {
            let present = children.present.contains(&(key.0, out.via));
            let gives_way = !present || self.held(key.0, out.via) > children.share;
            gives_way.then_some((present, out.until, key))
        };
        self.out.iter().filter_map(rank).min().map(|(_, _, key)| key)
    }

    /// One was handed down.
    fn give(&mut self, now: Instant, channel: ChannelId, children: &Children, to: Named, lifetime: Duration) {
        let key = (channel, to.node);
        let is_first = !self.out.contains_key(&key);
        if is_first
            && self.out.is_full()
            && let Some(surplus) = self.surplus(children)
        {
            self.out.remove(&surplus);
        }
        let again = is_first.then_some(now + AGAIN);
        // There is room: that was asked for before.
        let _ = self
            .out
            .insert(key, Out { via: to.child, again, renew: now + lifetime / 2, until: now + lifetime });
    }
}

/// What came down for others of late.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// When as many may come at once again as ever.
    rested: Option<Instant>,
    /// For whom, in which epoch and until when, the last few that were passed on.
    last: VecDeque<(NodeId, u32, UnixMillis)>,
}

impl Passed {
    /// Whether one more may be looked at now.
    fn admit(&mut self, now: Instant) -> bool {
        let rested = self.rested.map_or(now, |at| at.max(now));
        let admitted = rested.since(now) <= LEAST_INTERVAL * (BURST - 1);
        if admitted {
            self.rested = Some(rested + LEAST_INTERVAL);
        }
        admitted
    }

    /// Whether a grant is newer than what was passed on for this node.
    fn is_news(&self, node: NodeId, grant: &Grant) -> bool {
        let known = self.last.iter().find(|last| last.0 == node);
        known.is_none_or(|&(_, epoch, until)| (epoch, until) < (grant.epoch, grant.not_after))
    }

    fn remember(&mut self, node: NodeId, grant: &Grant) {
        self.last.retain(|last| last.0 != node);
        if self.last.len() >= PASSED {
            self.last.pop_front();
        }
        self.last.push_back((node, grant.epoch, grant.not_after));
    }
}

impl Node {
    /// Gives the next grant for each channel that relayers elect in.
    pub(super) fn grant_below(&mut self) {
        let now = self.now;
        self.below.next = None;
        self.below.out.retain(|_, out| out.until > now);
        if !self.needs_grants() {
            return;
        }
        let published = |id: &ChannelId| self.channels.get(*id).is_some_and(|open| open.owner.is_some());
        let delegates = |id: &ChannelId| published(id) && self.policy.delegates(*id);
        let channels: Vec<ChannelId> = self.channels.ids().filter(delegates).collect();
        let served = self.calls.values().filter(|call| call.serving && channels.contains(&call.channel));
        let present = served.map(|call| (call.channel, call.peer)).collect();
        let children = Children::new(present, self.below.out.limit());
        for channel in channels {
            self.below.next = Some(now + self.below.interval);
            let mut named = self.named_below(channel);
            named.retain(|named| self.agent.is_idle(named.call));
            while let Some(next) = self.below.choose(now, channel, &children, &named) {
                if self.grant_to(channel, next) {
                    let lifetime = self.grants.lifetime();
                    self.below.give(now, channel, &children, next, lifetime);
                    break;
                }
                named.retain(|other| other.call != next.call);
            }
        }
    }

    /// Who is named below children, and which children relay without having been elected here: they came with what they had
    /// been elected to elsewhere.
    fn named_below(&self, channel: ChannelId) -> Vec<Named> {
        let served = self.calls.iter().filter(|(_, known)| known.serving && known.channel == channel);
        let came = served.filter(|(call, known)| {
            !self.grants.is_given(**call) && self.policy.relies_on(channel, known.peer)
        });
        let came = came.map(|(&call, known)| (call, known.peer));
        let named = came.chain(self.policy.named_below(channel)).filter_map(|(call, peer)| {
            let node = self.directory.get(peer)?.node_id.filter(|&node| !self.is_bad_node(node))?;
            Some(Named { call, child: self.calls.get(&call)?.peer, node })
        });
        named.collect()
    }

    fn grant_to(&mut self, channel: ChannelId, to: Named) -> bool {
        let grant = self.grant_for(channel, to.node, Place::Tree);
        grant.is_some_and(|grant| self.tell_grant(to.call, grant, to.node))
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
            // Should the child be too busy to be told, the source gives another one if it is named again.
            Some(way) => _ = self.tell_grant(way, bytes.clone(), node),
            None => self.stats.count_drop(DropReason::NotGranted),
        }
        passed.map(drop).ok_or(NotGranted)
    }

    fn may_pass_on(&mut self, call: CallId, bytes: &Bytes, node: NodeId) -> Option<CallId> {
        let (now, channel) = (self.now, self.calls.get(&call)?.channel);
        let way = self.policy.way_down(channel, PeerKey::of_node(node))?;
        if self.policy.parent_call(channel) != Some(call) {
            return None;
        }
        let grant = Grant::decode(bytes).ok()?;
        let open = self.channels.get_mut(channel)?;
        if !open.passed.is_news(node, &grant) || !open.passed.admit(now) {
            return None;
        }
        let open = self.channels.get(channel)?;
        let place = self.granted_at(&open.name, Place::Tree);
        let word = self.word_for(&place, node, ProviderRole::RELAYER, Some(&grant));
        word.filter(|word| open.trusted == Some(word.owner) && word.epoch >= open.epoch)?;
        self.channels.get_mut(channel)?.passed.remember(node, &grant);
        Some(way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Effect;
    use crate::node::directory::{Contact, Source};
    use crate::node::grants::tests::{NOW, RIGHT, delegating, grant, tree_grant, viewer};
    use crate::node::signalling::{Call, Usage};
    use crate::sip::agent::{self, Agent, ContactParams, Offer, Target};

    const CHANNEL: ChannelId = ChannelId(0);
    const LIFE: Duration = Duration::from_secs(600);

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(1000 * seconds)
    }

    fn id(n: u8) -> NodeId {
        NodeId([n; 16])
    }

    fn child(n: u8) -> PeerKey {
        PeerKey::of_node(id(n))
    }

    /// The source's children.
    fn children(present: &[u8], share: usize) -> Children {
        Children { present: present.iter().map(|&n| (CHANNEL, child(n))).collect(), share }
    }

    /// Who is named, and by which child: in its first call, or in a later one.
    fn named(who: &[(u8, u8)], call: u32) -> Vec<Named> {
        let named = |&(via, n): &(u8, u8)| Named {
            call: CallId::received(call + u32::from(via)),
            child: child(via),
            node: id(n),
        };
        who.iter().map(named).collect()
    }

    /// Gives what is due among those who are named, once a second until a time, and tells for whom.
    fn given(b: &mut Below, (from, to): (u64, u64), children: &Children, named: &[Named]) -> Vec<u8> {
        let mut all = Vec::new();
        for now in (from..to).map(at) {
            b.out.retain(|_, out| out.until > now);
            if let Some(next) = b.choose(now, CHANNEL, children, named) {
                b.give(now, CHANNEL, children, next, LIFE);
                assert!(b.out.contains_key(&(CHANNEL, next.node)));
                all.push(next.node.0[0]);
            }
        }
        all
    }

    /// A call that is answered, by somebody who says nothing more.
    fn call_and_answer(node: &mut Node, call: CallId) {
        let addr = core::net::SocketAddr::from(([192, 0, 2, 5], 5060));
        node.agent = Agent::new(agent::Config::new("s", node.config.addresses.signalling)).unwrap();
        let target = Target { addr, transport: None, user: "100".into(), to: None, node_id: None };
        let sdp = Bytes::from_static(b"v=0\r\n");
        let offer = Offer { sdp, urgent: false, params: ContactParams::default() };
        node.sip_effects.drain().for_each(drop);
        node.with_agent(|agent, now, ctx| agent.invite(now, call, target, offer, ctx)).unwrap();
        let Some(Effect::Send { payload, .. }) = node.sip_effects.pop() else { panic!("no INVITE") };
        let invite = core::str::from_utf8(&payload).unwrap();
        let said = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].map(|name| {
            let line = invite.lines().find(|line| line.starts_with(name)).unwrap();
            let tag = if name == "To:" { ";tag=1" } else { "" };
            alloc::format!("{line}{tag}\r\n")
        });
        let answer = alloc::format!(
            "SIP/2.0 200 OK\r\n{}Contact: <sip:r@{addr}>\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n",
            said.concat()
        );
        let answered =
            node.with_agent(|agent, now, ctx| agent.handle_datagram(now, addr, answer.into(), ctx));
        answered.unwrap();
        assert!(node.agent.is_idle(call));
    }

    #[test]
    fn q4_the_source_grants_the_tree_to_those_named_below_and_to_whoever_came_with_its_office() {
        use crate::iptv::{Fact, Provider, Report, Subtree};
        let (mut node, channel) = delegating();
        let of = |n| PeerKey::of_node(id(n));
        for n in [5, DEEP] {
            let addr = core::net::SocketAddr::from(([192, 0, 2, n], 5060));
            let (name, transport) = (alloc::string::String::from("r"), crate::sip::agent::Transport::Tls);
            let contact = Contact { name, addr, transport, node_id: Some(id(n)) };
            node.remember(contact, Source::Itself);
        }
        let usage = Usage::Media(None);
        let known = Call {
            channel,
            peer: of(5),
            usage,
            offer: None,
            key: None,
            serving: true,
            resume: None,
            rtt: None,
        };
        node.calls.insert(CHILD, known);
        let deep = Provider { peer: of(DEEP), depth: Some(3), free: Some(1) };
        let below = Subtree { peers: 1, free: 1, open: Vec::from([deep]) };
        let tell =
            |node: &mut Node, fact| node.with_policy(|policy, now, ctx| policy.on_fact(now, fact, ctx));
        tell(
            &mut node,
            Fact::Invited { channel, call: CHILD, peer: of(5), urgent: false, moves: false, slots: Some(2) },
        );
        assert!(node.named_below(channel).is_empty() && !node.policy.relies_on(channel, of(5)));
        tell(&mut node, Fact::Reported { call: CHILD, report: Report::RelayerAccepted { free: 0 } });
        tell(&mut node, Fact::Reported { call: CHILD, report: Report::Subtree(below) });
        let names = |node: &Node| {
            let named = node.named_below(channel).into_iter();
            named.map(|n| (n.call, n.child, n.node.0[0])).collect::<Vec<_>>()
        };
        assert_eq!(names(&node), [(CHILD, of(5), 5), (CHILD, of(5), DEEP)]);
        // Nothing is signed for a child that cannot be told, or owes an answer.
        node.grant_below();
        assert_eq!((node.below.len(), node.below.deadline()), (0, Some(node.now + node.below.interval)));
        call_and_answer(&mut node, CHILD);
        for second in 1..9 {
            node.now = at(second);
            node.grant_below();
            assert_eq!(node.below.len(), 1, "in second {second}");
        }
        // Whom the source has elected has a better one, which is renewed as long as it relays.
        assert!(node.give_grant(CHILD).is_some());
        assert_eq!(names(&node), [(CHILD, of(5), DEEP)]);
        let due = node.grants.deadline();
        node.now = due.unwrap();
        node.renew_grants();
        assert!(node.grants.deadline() > due);
        tell(&mut node, Fact::Reported { call: CHILD, report: Report::RelayerDeclined });
        node.now = node.grants.deadline().unwrap();
        node.renew_grants();
        assert_eq!(node.grants.deadline(), None);
    }

    const CHILD: CallId = CallId::placed(77);
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
            let known = Call {
                channel,
                peer,
                usage,
                offer: None,
                key: None,
                serving: false,
                resume: None,
                rtt: None,
            };
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
            Fact::Invited { channel, call: CHILD, peer: of(5), urgent: false, moves: false, slots: Some(2) },
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
        let good = tree_grant(&node, RIGHT, deep, 7, NOW);
        let refused = [
            ("another owner's", parent, tree_grant(&node, RIGHT + 1, deep, 7, NOW), deep),
            ("for somebody else", parent, tree_grant(&node, RIGHT, id(5), 7, NOW), deep),
            ("for the name", parent, grant(&node, RIGHT, deep, 7, NOW), deep),
            ("over", parent, tree_grant(&node, RIGHT, deep, 7, NOW - 600_000), deep),
            ("not yet", parent, tree_grant(&node, RIGHT, deep, 7, NOW + 600_000), deep),
            ("none", parent, Bytes::from_static(b"a grant"), deep),
            ("from a child", CHILD, good.clone(), deep),
            ("in no call", CallId::received(9), good.clone(), deep),
            ("for nobody below", parent, tree_grant(&node, RIGHT, id(8), 7, NOW), id(8)),
        ];
        for (what, call, grant, to) in refused {
            let dropped = node.stats.dropped(DropReason::NotGranted);
            assert_eq!(node.pass_on_grant(call, &grant, to), Err(NotGranted), "{what}");
            assert_eq!(node.stats.dropped(DropReason::NotGranted), dropped + 1);
        }
        assert_eq!(node.pass_on_grant(parent, &good, deep), Ok(()));
        // Nor is that of an earlier broadcast.
        node.now = Instant::from_millis(1000);
        node.channels.get_mut(channel).unwrap().epoch = 8;
        let late = tree_grant(&node, RIGHT, deep, 7, NOW + 1);
        assert_eq!(node.pass_on_grant(parent, &late, deep), Err(NotGranted));
        let next = tree_grant(&node, RIGHT, deep, 8, NOW - 1);
        assert_eq!(node.pass_on_grant(parent, &next, deep), Ok(()));
    }

    #[test]
    fn k8_q4_what_a_parent_says_again_or_makes_up_wastes_nobodys_time_but_its_childs_and_little_of_that() {
        let (mut node, channel, parent) = relayer();
        let deep = id(DEEP);
        let of = |node: &Node, key, from| tree_grant(node, key, deep, 7, from);
        let (first, second) = (of(&node, RIGHT, NOW), of(&node, RIGHT, NOW + 1));
        // Two at once, however rarely the source of this one would give any.
        assert_eq!(node.pass_on_grant(parent, &first, deep), Ok(()));
        assert_eq!(node.pass_on_grant(parent, &second, deep), Ok(()));
        for again in [&first, &second] {
            assert_eq!(node.pass_on_grant(parent, again, deep), Err(NotGranted));
        }
        // What is known is not even looked at: there are six left of eight, and then none for a while.
        let forged = of(&node, RIGHT + 1, NOW + 2);
        for _ in 2..BURST {
            assert_eq!(node.pass_on_grant(parent, &forged, deep), Err(NotGranted));
        }
        let third = of(&node, RIGHT, NOW + 3);
        assert_eq!(node.pass_on_grant(parent, &third, deep), Err(NotGranted));
        node.now = Instant::from_millis(99);
        assert_eq!(node.pass_on_grant(parent, &third, deep), Err(NotGranted));
        node.now = Instant::from_millis(100);
        assert_eq!(node.pass_on_grant(parent, &third, deep), Ok(()));
        // What is remembered is bounded.
        let grant = Grant::decode(&third).unwrap();
        let passed = &mut node.channels.get_mut(channel).unwrap().passed;
        (0..200).for_each(|n| passed.remember(id(n), &grant));
        assert_eq!(passed.last.len(), PASSED);
    }

    #[test]
    fn q4_each_is_granted_once_more_if_it_is_named_still_and_again_at_half_of_its_life() {
        let mut b = Below::new(Duration::from_secs(1), 8);
        let (both, three) = (children(&[1, 2], 4), named(&[(1, 10), (1, 11), (2, 20)], 0));
        assert_eq!(given(&mut b, (0, 30), &both, &three), [10, 20, 11]);
        // The first one may have been lost. Whoever has none comes first.
        let four = named(&[(1, 10), (1, 11), (2, 20), (2, 21)], 0);
        assert_eq!(given(&mut b, (30, 33), &both, &four), [21, 10, 11]);
        assert_eq!(given(&mut b, (33, 60), &both, &four), [20]);
        assert_eq!(given(&mut b, (60, 331), &both, &four), [21]);
        assert_eq!(given(&mut b, (331, 400), &both, &three[1..]), [11, 20]);
        assert_eq!(b.len(), 4);
        // Ten has not been named when it was time, nor has 21.
        assert_eq!(given(&mut b, (660, 661), &both, &[]), []);
        assert_eq!(b.len(), 2);
    }

    #[test]
    fn k8_q4_a_child_gets_grants_for_no_more_than_its_share_whomever_it_names() {
        let mut b = Below::new(Duration::from_secs(1), 8);
        let both = children(&[1, 2], 4);
        let lies: Vec<(u8, u8)> = (10..100).map(|n| (1, n)).collect();
        let first: BTreeSet<u8> = given(&mut b, (0, 200), &both, &named(&lies, 0)).into_iter().collect();
        assert_eq!(first.len(), 4);
        // A new call is no new child, and one that was away is the one that it was.
        assert_eq!(given(&mut b, (200, 250), &both, &named(&lies, 100)), []);
        assert_eq!(given(&mut b, (250, 260), &children(&[2], 4), &[]), []);
        assert_eq!(given(&mut b, (260, 270), &both, &named(&lies, 200)), []);
        // The honest find their own untouched, and somebody else's is theirs only from when it may be renewed.
        let honest = named(&[(2, 10), (2, 101), (2, 102), (2, 103), (2, 104), (2, 105)], 0);
        assert_eq!(given(&mut b, (270, 280), &both, &honest), [101, 102, 103, 104]);
        assert_eq!(b.len(), 8);
    }

    #[test]
    fn k8_q4_what_the_departed_have_left_gives_way_to_others_and_so_does_what_is_beyond_a_share() {
        let mut b = Below::new(Duration::from_secs(1), 8);
        let of = |via, n: core::ops::Range<u8>| named(&n.map(|n| (via, n)).collect::<Vec<_>>(), 0);
        // One after the other takes all that there is.
        assert_eq!(given(&mut b, (0, 20), &children(&[1], 8), &of(1, 10..30)).len(), 8);
        assert_eq!(given(&mut b, (20, 28), &children(&[2], 8), &of(2, 30..50)).len(), 8);
        assert!(b.out.values().all(|out| out.via == child(2)));
        // A newcomer has its share beside whoever has all, and no more.
        let both = children(&[2, 3], 4);
        assert_eq!(given(&mut b, (28, 40), &both, &of(3, 50..70)), [50, 51, 52, 53]);
        let held = [2, 3].map(|n| b.held(CHANNEL, child(n)));
        assert_eq!((held, b.len()), ([4, 4], 8));
        // Those who are here keep what is theirs.
        assert_eq!(given(&mut b, (40, 50), &children(&[2, 3, 4], 4), &of(4, 70..90)), []);
    }

    #[test]
    fn k8_q4_the_children_of_all_channels_share_the_limit() {
        let present = (0..4).flat_map(|c| (0..8).map(move |n| (ChannelId(c), child(n)))).collect();
        assert_eq!(Children::new(present, 128).share, 4);
        assert_eq!((Children::new(BTreeSet::new(), 128).share, children(&[1], 1).share), (128, 1));
        let crowd = (0..200).map(|n| (CHANNEL, child(n))).collect();
        assert_eq!(Children::new(crowd, 128).share, 1);
    }

    #[test]
    fn q7_a_new_epoch_grants_everybody_anew() {
        let mut b = Below::new(Duration::from_secs(1), 8);
        let (one, ten) = (children(&[1], 4), named(&[(1, 10)], 0));
        assert_eq!(given(&mut b, (0, 9), &one, &ten), [10]);
        b.begin(CHANNEL, at(9));
        assert_eq!(b.deadline(), Some(at(10)));
        assert_eq!(given(&mut b, (10, 19), &one, &ten), [10]);
    }
}
