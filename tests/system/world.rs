//! The whole system on the simulated network: an overlay, a source that sends, viewers that come and go.

use bytes::Bytes;
use p2piptv::env::{Entropy, InsecureIdentity, Seeded};
use p2piptv::ids::{ChannelId, ChannelName, KeyFingerprint, NodeId};
use p2piptv::iptv::{self, Mode, Profile};
use p2piptv::node::{Addresses, CommandError, Config, Event, Node, Owner, PeerName, Security};
use p2piptv::rtp::mp2t::Packetizer;
use p2piptv::sim::{self, Conditions, Death, Network, NodeIndex};
use p2piptv::sip::agent::Transport;
use p2piptv::time::{Duration, Instant, UnixMillis};
use p2piptv::tls::{Digest, Dtls, Identity, Tls, Trust};
use std::net::SocketAddr;
use std::time::SystemTime;

/// Between two packets of the source: 100 a second.
pub const PACE: Duration = Duration::from_millis(10);

/// How a world is made.
#[derive(Clone, Debug)]
pub struct Setup {
    pub seed: u64,
    pub capacity: u16,
    pub profile: Profile,
    pub mode: Mode,
    pub conditions: Conditions,
    /// How SIP travels.
    pub transport: Transport,
    /// Whether links and SIP are secured, with real certificates and TLS.
    pub secured: bool,
    /// Whether secured links are DTLS.
    pub datagrams: bool,
    /// Relayers that stand under the channel's name.
    pub registered_relayers: u16,
}

impl Default for Setup {
    fn default() -> Self {
        let conditions = Conditions::constant(Duration::from_millis(5));
        Setup {
            seed: 1,
            capacity: 2,
            profile: Profile::Default,
            mode: Mode::SourceManaged,
            conditions,
            transport: Transport::Udp,
            secured: false,
            datagrams: false,
            registered_relayers: 8,
        }
    }
}

/// One node that watches.
#[derive(Clone, Copy, Debug)]
pub struct Viewer {
    pub node: NodeIndex,
    pub channel: ChannelId,
}

pub struct World {
    pub net: Network<Node>,
    pub setup: Setup,
    pub bootstrap: NodeIndex,
    pub source: NodeIndex,
    pub channel: ChannelId,
    pub viewers: Vec<Viewer>,
    /// Everything that was told, oldest first.
    pub events: Vec<(Instant, NodeIndex, Event)>,
    packetizer: Packetizer,
    pushed: u32,
    next_push: Option<Instant>,
    /// The fingerprint of the source's owner.
    pub owner: Option<KeyFingerprint>,
    /// The key of the source's owner.
    key: String,
    /// Another channel, which its publisher feeds with the same pace.
    other: Option<(NodeIndex, ChannelId, Packetizer)>,
}

pub fn name(text: &str) -> ChannelName {
    ChannelName::new(text).unwrap()
}

/// How one node differs from the others.
#[derive(Default)]
pub struct Odd {
    pub id: Option<NodeId>,
    pub signalling: Option<SocketAddr>,
    pub tree_first: bool,
}

fn null_packet() -> [u8; 188] {
    let mut null = [0xff; 188];
    null[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
    null
}

const OVERLAY: &str = "tv.example";

/// An owner of channel "100" and its keyword, and by what he is known.
pub fn owner() -> (Owner, KeyFingerprint) {
    owner_by(&Identity::self_signed(OVERLAY, "100", Digest::Sha256).unwrap().key_pem())
}

/// The one with this key.
fn owner_by(key: &str) -> (Owner, KeyFingerprint) {
    let of_name = |name| {
        let trust = Trust::in_keys(OVERLAY, Digest::Sha256);
        Identity::self_signed_by(key, OVERLAY, name, trust).unwrap()
    };
    let (first, second) = (of_name("100"), of_name("news"));
    assert_eq!(first.fingerprint(), second.fingerprint());
    let fingerprint = first.fingerprint();
    (Owner::new(vec![Box::new(first), Box::new(second)]), fingerprint)
}

fn add(net: &mut Network<Node>, setup: &Setup, label: &str, odd: Odd) -> NodeIndex {
    let node = net.add(|index, at| {
        let mut random = Seeded::new((setup.seed << 16) + u64::from(index.0) + 1);
        let mut random_id = [0; 16];
        random.fill(&mut random_id);
        let id = odd.id.unwrap_or(NodeId(random_id));
        let signalling = odd.signalling.unwrap_or(at.signalling);
        let addresses = Addresses { signalling, ..at };
        let mut config = Config::new(label, OVERLAY, addresses);
        config.agent.transport = setup.transport;
        config.policy = iptv::Config::new(setup.profile, setup.capacity);
        config.policy.mode = setup.mode;
        config.tree_first = odd.tree_first;
        config.policy.registered_relayers = setup.registered_relayers;
        if setup.secured {
            config.security = Security::Tls;
            let identity = Identity::self_signed(OVERLAY, label, Digest::Sha256).unwrap();
            let tls = Tls::new(&identity).unwrap();
            if setup.datagrams {
                config.security = Security::Dtls;
                let dtls = Dtls::new(&identity).unwrap();
                let (random, identity) = (Box::new(random), Box::new(identity));
                return Node::secured_datagrams(config, random, identity, Box::new(tls), Box::new(dtls))
                    .unwrap();
            }
            return Node::secured(config, Box::new(random), Box::new(identity), Box::new(tls)).unwrap();
        }
        Node::new(config, Box::new(random), Box::new(InsecureIdentity::new(id))).unwrap()
    });
    // Certificates are made for today.
    let today = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
    let wall = UnixMillis(if setup.secured { today } else { 1_700_000_000_000 });
    net.command(node, |n, now| n.handle_wall_clock(now, wall));
    node
}

impl World {
    /// A bootstrap node and the source of channel "100", which is on air.
    pub fn new(setup: Setup) -> Self {
        let config = sim::Config { seed: setup.seed, conditions: setup.conditions, ..sim::Config::default() };
        let mut net = Network::new(config);
        let bootstrap = add(&mut net, &setup, "bootstrap", Odd::default());
        net.command(bootstrap, |n, now| n.create(now)).unwrap().unwrap();
        let source = add(&mut net, &setup, "source", Odd::default());
        let mut world = World {
            net,
            setup,
            bootstrap,
            source,
            channel: ChannelId(0),
            viewers: Vec::new(),
            events: Vec::new(),
            packetizer: Packetizer::new(0x5eed, 65_000),
            pushed: 0,
            next_push: None,
            other: None,
            owner: None,
            key: Identity::self_signed(OVERLAY, "100", Digest::Sha256).unwrap().key_pem(),
        };
        world.join(source);
        world.channel = world.publish_first(source);
        world.next_push = Some(Instant::from_millis(0));
        assert!(
            world.until(10, |w| w.told(w.source, |e| matches!(e, Event::Published { .. }))),
            "{}",
            world.trace()
        );
        world
    }

    fn publish_first(&mut self, node: NodeIndex) -> ChannelId {
        if !self.setup.secured {
            return self.publish(node);
        }
        let (owner, fingerprint) = owner_by(&self.key);
        self.owner = Some(fingerprint);
        let keywords = [name("news")];
        self.net.command(node, |n, now| n.publish_as(now, &name("100"), &keywords, owner)).unwrap().unwrap()
    }

    /// A node in the overlay that stands by to be the source.
    pub fn stand_by(&mut self, label: &str) -> Viewer {
        let node = self.add_node(label);
        let (channel, keywords) = (name("100"), [name("news")]);
        let standing_by = if self.setup.secured {
            let (owner, _) = owner_by(&self.key);
            self.net.command(node, |n, now| n.stand_by_as(now, &channel, &keywords, owner))
        } else {
            self.net.command(node, |n, now| n.stand_by(now, &channel, &keywords))
        };
        Viewer { node, channel: standing_by.unwrap().unwrap() }
    }

    /// From now on it is this node that sends, and what it sends is a stream of its own.
    pub fn feed(&mut self, heir: Viewer) {
        (self.source, self.channel) = (heir.node, heir.channel);
        self.packetizer = Packetizer::new(0xbe1f, 100);
    }

    /// Publishes channel "100" at a node; in a secured world as an owner of his own.
    pub fn publish(&mut self, node: NodeIndex) -> ChannelId {
        let (channel, keywords) = (name("100"), [name("news")]);
        if !self.setup.secured {
            return self.net.command(node, |n, now| n.publish(now, &channel, &keywords)).unwrap().unwrap();
        }
        let (owner, _) = owner();
        self.net.command(node, |n, now| n.publish_as(now, &channel, &keywords, owner)).unwrap().unwrap()
    }

    /// Another node, in the overlay.
    pub fn add_node(&mut self, label: &str) -> NodeIndex {
        self.add_odd_node(label, Odd::default())
    }

    /// The same with something of its own.
    pub fn add_odd_node(&mut self, label: &str, odd: Odd) -> NodeIndex {
        let node = add(&mut self.net, &self.setup, label, odd);
        self.join(node);
        node
    }

    /// Joins, and tries again when that fails, as any host does.
    fn join(&mut self, node: NodeIndex) {
        let bootstrap = self.net.addresses(self.bootstrap).overlay;
        for _ in 0..3 {
            let from = self.net.now();
            let joining = self.net.command(node, |n, now| n.join(now, &[bootstrap])).unwrap();
            assert_eq!(joining, Ok(()), "{}", self.trace());
            let over = |e: &Event| matches!(e, Event::Joined | Event::JoinFailed);
            self.until(60, |w| w.first(from, node, over).is_some());
            if self.first(from, node, |e| *e == Event::Joined).is_some() {
                return;
            }
        }
        panic!("seed {}: {node} did not join\n{}", self.setup.seed, self.trace());
    }

    /// A viewer that has started to tune.
    pub fn tune(&mut self, label: &str) -> Viewer {
        let node = self.add_node(label);
        let channel = self.net.command(node, |n, now| n.tune(now, &name("100"))).unwrap().unwrap();
        let viewer = Viewer { node, channel };
        self.viewers.push(viewer);
        viewer
    }

    /// Viewers "1", "2", ... one after the other: the next tunes when the last plays and somebody has room again.
    pub fn seat(&mut self, viewers: usize) {
        for i in 1..=viewers {
            let viewer = self.tune(&i.to_string());
            let playing = self.until(20, |w| w.is_playing(viewer));
            assert!(playing, "viewer {i} does not play\n{}", self.trace());
            let room = self.until(20, |w| w.has_room());
            assert!(room || i == viewers, "nobody has room after viewer {i}\n{}", self.trace());
        }
    }

    /// Whether the source has a free slot, or a relayer to whom it sends callers; in the paper's profile, in which it sends
    /// nobody on, one whose record can be read.
    pub fn has_room(&self) -> bool {
        let capacity = usize::from(self.setup.capacity);
        let has_room = |node: NodeIndex, channel: ChannelId| {
            let status = self.net.machine(node).and_then(|n| n.status(channel));
            status.is_some_and(|s| s.children < capacity)
        };
        has_room(self.source, self.channel)
            || self.viewers.iter().any(|v| {
                let name = self.net.machine(v.node).map(|n| n.config().name.as_str());
                let is_it = |relayer: &PeerName| Some(relayer.name.as_str()) == name;
                let is_ready = |e: &Event| matches!(e, Event::RelayerReady { relayer, .. } if is_it(relayer));
                let is_known = match (self.setup.profile, self.setup.mode) {
                    (Profile::Paper, _) => self.told(v.node, |e| matches!(e, Event::Registered { .. })),
                    (Profile::Default, Mode::SourceManaged) => self.told(self.source, is_ready),
                    // Those above send callers to one of whom the source knows nothing.
                    (Profile::Default, Mode::Delegated) => {
                        self.told(v.node, |e| matches!(e, Event::Elected { .. }))
                    }
                };
                has_room(v.node, v.channel) && is_known
            })
    }

    /// Lets time pass, with the source sending, until something holds; `false` after this many seconds.
    pub fn until(&mut self, seconds: u64, mut holds: impl FnMut(&Self) -> bool) -> bool {
        self.until_in(Duration::from_secs(seconds), &mut holds)
    }

    fn until_in(&mut self, time: Duration, holds: &mut dyn FnMut(&Self) -> bool) -> bool {
        let end = self.net.now() + time;
        loop {
            self.events.extend(self.net.take_events());
            if holds(self) {
                return true;
            }
            if self.net.now() >= end {
                return false;
            }
            let slice = self.net.now() + PACE;
            self.net.run_until(slice);
            if self.next_push.is_some() && self.net.machine(self.source).is_some() {
                self.push();
            }
        }
    }

    pub fn run_for(&mut self, time: Duration) {
        self.until_in(time, &mut |_| false);
    }

    pub fn run(&mut self, seconds: u64) {
        self.until(seconds, |_| false);
    }

    /// The next packet of the source.
    pub fn packet(&mut self) -> Bytes {
        self.pushed += 1;
        self.packetizer.packetize(self.pushed * 900, false, &null_packet()).unwrap()
    }

    fn push(&mut self) {
        let packet = self.packet();
        let channel = self.channel;
        // A source that has been superseded sends in vain.
        let pushed = self.net.command(self.source, |n, now| n.push_media(now, channel, packet)).unwrap();
        assert!(matches!(pushed, Ok(()) | Err(CommandError::UnknownChannel)), "{pushed:?}");
        if let Some((node, channel, packetizer)) = &mut self.other {
            let packet = packetizer.packetize(self.pushed * 900, false, &null_packet()).unwrap();
            self.net.command(*node, |n, now| n.push_media(now, *channel, packet)).unwrap().unwrap();
        }
    }

    /// From now on this node sends a channel too.
    pub fn publish_too(&mut self, node: NodeIndex, channel: ChannelId) {
        self.other = Some((node, channel, Packetizer::new(0x0712e5, 0)));
    }

    /// It does not any more.
    pub fn end_the_other(&mut self) {
        self.other = None;
    }

    /// The source goes on, or stops to send for a while.
    pub fn send(&mut self, on: bool) {
        self.next_push = on.then_some(Instant::ZERO);
    }

    pub fn told(&self, node: NodeIndex, is: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(|(_, n, event)| *n == node && is(event))
    }

    /// Events of a node since a moment.
    pub fn since(&self, from: Instant, node: NodeIndex) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |(at, n, _)| *at >= from && *n == node).map(|(_, _, event)| event)
    }

    /// When a node told something for the first time since a moment.
    pub fn first(&self, from: Instant, node: NodeIndex, is: impl Fn(&Event) -> bool) -> Option<Instant> {
        self.events.iter().find(|(at, n, e)| *at >= from && *n == node && is(e)).map(|(at, _, _)| *at)
    }

    /// Media came within the last 200 ms.
    pub fn is_playing(&self, viewer: Viewer) -> bool {
        let played = self.net.played(viewer.node, viewer.channel);
        played.is_some_and(|p| self.net.now().since(p.last) <= Duration::from_millis(200))
    }

    pub fn kill(&mut self, viewer: Viewer) {
        self.net.kill(viewer.node, Death::Host);
        self.viewers.retain(|v| v.node != viewer.node);
    }

    /// "peer ← parent", by depth, as the source knows it.
    pub fn table(&self) -> Vec<String> {
        let Some(source) = self.net.machine(self.source) else { return Vec::new() };
        let rows = source.table(self.channel).into_iter().map(|row| {
            let parent = row.parent.map_or_else(|| "source".into(), |p| p.name);
            let depth = row.depth.map_or_else(|| "?".into(), |d| d.to_string());
            format!("{depth}: {} < {parent}", row.peer.name)
        });
        rows.collect()
    }

    /// The same as the viewers themselves see it.
    pub fn tree(&self) -> Vec<String> {
        let rows = self.viewers.iter().map(|v| {
            let node = self.net.machine(v.node).unwrap();
            let status = node.status(v.channel).unwrap();
            let depth = status.depth.map_or_else(|| "?".into(), |d| d.to_string());
            let parent = status.parent.map_or_else(|| "nobody".into(), |p| p.name);
            format!("{depth}: {} < {parent}", node.config().name)
        });
        rows.collect()
    }

    pub fn trace(&self) -> String {
        let tail: Vec<String> = self.events.iter().rev().take(30).rev().map(|e| format!("{e:?}")).collect();
        format!("{}\n{}\n{:#?}", self.net.trace(), tail.join("\n"), self.table())
    }
}
