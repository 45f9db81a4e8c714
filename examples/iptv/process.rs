//! One node in a process of its own: its sockets, its signals, its leave-taking.

use crate::args::Role;
use crate::host::{Host, Seat, foreign_token};
use crate::inbox::Inbox;
use crate::member::{self, Realm, Setup};
use crate::news;
use crate::overlay;
use crate::sink::Sink;
use crate::sockets;
use crate::stop::Stop;
use crate::trouble::Trouble;
use p2piptv::ids::ChannelId;
use p2piptv::node::{Addresses, Event, Node, Security};
use p2piptv::time::{Duration, Instant, earliest};
use p2piptv::tls::Identity;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// How long a node may take to leave.
const FAREWELL: Duration = Duration::from_secs(3);
/// How often the time of day is told.
const WALL_CLOCK: Duration = Duration::from_secs(60);

const STOP: mio::Token = foreign_token(0);

type Result<T> = std::result::Result<T, Trouble>;

/// One node in a process of its own, which tells on standard error what happens to it.
pub struct Process {
    /// Where, and as whom.
    pub realm: Realm,
    /// What of it the node goes by, where it can be proved.
    identity: Option<Identity>,
    /// Nodes of the overlay to join through.
    pub bootstrap: Vec<SocketAddr>,
    /// The file of the overlay's document.
    config: Option<PathBuf>,
    pub host: Host<Node>,
    seat: Seat,
    pub inbox: Inbox,
    stop: Stop,
    next_wall_clock: Instant,
    capacity: Option<u16>,
    /// Once it is leaving: when it goes without waiting any longer.
    leaving: Option<Instant>,
    left: bool,
    /// Why it leaves, if that is not what was asked for.
    trouble: Option<Trouble>,
    /// Whether events are kept from standard error.
    pub quiet: bool,
}

impl Process {
    /// Opens the sockets and makes the node, which joins through these nodes or those of the overlay's document. What `role`
    /// leaves open is the address that leads there, `port` and a name made of `title`.
    pub fn open(
        role: &Role,
        bootstrap: &[SocketAddr],
        port: u16,
        title: &str,
        capacity: u16,
    ) -> Result<Self> {
        let document = role.config.as_deref().map(|file| overlay::load(file, None)).transpose()?;
        let realm = Realm { document, identity: role.identity.clone() };
        let bootstrap = if bootstrap.is_empty() { realm.bootstrap_nodes() } else { bootstrap }.to_vec();
        let home = match bootstrap.first() {
            Some(&node) if port == 0 => sockets::towards(node)?,
            _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let overlay = role.listen.unwrap_or(SocketAddr::new(home, port));
        let beside = SocketAddr::new(overlay.ip(), 0);
        let wanted = Addresses {
            overlay,
            signalling: role.sip.unwrap_or(beside),
            media: role.media.unwrap_or(beside),
        };
        let mut host = Host::new()?;
        let mut identity = None;
        let stop = Stop::new(host.registry(), STOP)?;
        let seat = host.seat(wanted, |addresses| {
            let own_name = match title {
                "source" | "bootstrap" => title.to_owned(),
                _ => format!("{title}-{}", addresses.overlay.port()),
            };
            let name = role.name.clone().unwrap_or(own_name);
            let &Role { profile, mode, protection, tree_first, .. } = role;
            let realm = realm.clone();
            let setup = Setup { name, profile, mode, capacity, protection, realm, tree_first, keys: None };
            let (node, proved) = setup.node_and_identity(addresses)?;
            identity = proved;
            Ok(node)
        });
        let seat = seat.map_err(|error| Trouble::Address(error.to_string()))?;
        let next_wall_clock = host.now();
        let inbox = Inbox::default();
        let mut process = Process {
            realm,
            identity,
            bootstrap,
            config: role.config.clone(),
            host,
            seat,
            inbox,
            stop,
            next_wall_clock,
            capacity: None,
            leaving: None,
            left: false,
            trouble: None,
            quiet: false,
        };
        process.tell_time();
        Ok(process)
    }

    /// Says who this is, and where.
    pub fn introduce(&self) {
        if let Some(node) = self.host.node(self.seat) {
            let (config, id) = (node.config(), node.node_id());
            let Addresses { overlay, signalling, media } = config.addresses;
            eprintln!("{}: Node-ID {id}, overlay {overlay}, SIP {signalling}, media {media}", config.name);
        }
    }

    /// Its addresses.
    pub fn addresses(&self) -> Result<Addresses> {
        let node = self.host.node(self.seat);
        node.map(|node| node.config().addresses).ok_or_else(|| Trouble::Address("the node is gone".into()))
    }

    /// Whether a channel needs an owner here.
    pub fn is_secured(&self) -> bool {
        self.host.node(self.seat).is_some_and(|node| node.config().security != Security::InsecurePlain)
    }

    /// A command to the node; its own complaint becomes ours.
    pub fn command<R, E: Into<Trouble>>(
        &mut self,
        command: impl FnOnce(&mut Node, Instant) -> std::result::Result<R, E>,
    ) -> Result<R> {
        match self.host.command(self.seat, &mut self.inbox, command) {
            Some(result) => result.map_err(Into::into),
            None => Err(Trouble::Address("the node is gone".into())),
        }
    }

    fn tell_time(&mut self) {
        if self.host.now() >= self.next_wall_clock {
            let wall = member::wall_clock();
            self.host.command(self.seat, &mut self.inbox, |node, now| node.handle_wall_clock(now, wall));
            self.next_wall_clock = self.host.now() + WALL_CLOCK;
        }
    }

    /// Children that it can serve from now on, if that is known.
    pub fn set_capacity(&mut self, slots: Option<u16>) {
        if slots.is_some() && slots != self.capacity {
            self.capacity = slots;
            let slots = slots.unwrap_or_default();
            self.host.command(self.seat, &mut self.inbox, |node, now| node.set_capacity(now, slots));
        }
    }

    /// Bytes of media that have come.
    pub fn received(&self, channel: ChannelId) -> Option<u64> {
        Some(self.host.node(self.seat)?.media_counters(channel)?.media.bytes)
    }

    /// Waits for something to happen, `wake` at the latest, and does what every role does about it.
    pub fn turn(&mut self, wake: Option<Instant>) -> Result<()> {
        let sink = self.inbox.sinks.values().map(Sink::deadline).fold(None, earliest);
        let own = earliest(self.leaving, Some(self.next_wall_clock));
        self.host.wake_at(earliest(earliest(wake, sink), own));
        self.host.turn(&mut self.inbox)?;

        let now = self.host.now();
        let inbox = &mut self.inbox;
        inbox.sinks.retain(|_, sink| match sink.handle_timeout(now) {
            Ok(()) => true,
            Err(trouble) => {
                inbox.trouble = Some(trouble);
                false
            }
        });
        if let Some(trouble) = self.inbox.trouble.take() {
            self.fail(trouble);
        }
        self.tell_time();
        self.inbox.ready.clear();
        match self.stop.take() {
            0 => {}
            // Whoever asks twice does not want to wait.
            _ if self.is_leaving() => self.left = true,
            _ => self.leave(),
        }
        self.left |= self.leaving.is_some_and(|limit| limit <= now);
        Ok(())
    }

    /// The next event of this turn, told on standard error.
    pub fn next_event(&mut self) -> Option<Event> {
        let (_, now, event) = self.inbox.events.pop_front()?;
        if let (Some(line), false) = (news::line(&event), self.quiet) {
            eprintln!("{:>8}.{:03} {line}", now.as_millis() / 1000, now.as_millis() % 1000);
        }
        self.left |= event == Event::Left;
        if let Event::Reconfigured { document, .. } = &event {
            self.reconfigure(document);
        }
        Some(event)
    }

    /// A newer document is in force. The node obeys it already; what it believes, and the file for the next start, are the
    /// host's. Without either the node goes on.
    fn reconfigure(&mut self, document: &[u8]) {
        if let Some(identity) = &self.identity
            && let Err(error) = self.realm.reconfigure(document, identity)
        {
            eprintln!("believes whom it believed before: {error}");
        }
        if let Some(file) = &self.config
            && let Err(error) = overlay::replace(file, document)
        {
            eprintln!("will start with the old configuration: {error}");
        }
    }

    /// Joins the overlay.
    pub fn join(&mut self) -> Result<()> {
        let nodes = self.bootstrap.clone();
        if nodes.is_empty() {
            return Err(Trouble::NoBootstrapKnown);
        }
        self.command(|node, now| node.join(now, &nodes))
    }

    /// Nobody answered.
    pub fn no_bootstrap(&self) -> Trouble {
        self.bootstrap.first().map_or(Trouble::NoBootstrapKnown, |&node| Trouble::NoBootstrap(node))
    }

    /// Begins to leave.
    pub fn leave(&mut self) {
        if self.leaving.is_none() {
            self.leaving = Some(self.host.now() + FAREWELL);
            self.host.command(self.seat, &mut self.inbox, |node, now| node.leave(now));
        }
    }

    /// Leaves because of this trouble: a node that goes without a word keeps others waiting for it.
    pub fn fail(&mut self, trouble: Trouble) {
        self.trouble.get_or_insert(trouble);
        self.leave();
    }

    /// How it ended.
    pub fn end(&mut self) -> Result<()> {
        self.trouble.take().map_or(Ok(()), Err)
    }

    /// Whether it is on its way out.
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// Whether nothing is left to do.
    pub fn has_left(&self) -> bool {
        self.left
    }
}
