//! The roles that a process can have: bootstrap node, source, viewer, and the one that only asks.

use crate::args::{Capacity, Lookup, Role, Source, Watch};
use crate::feed::{Feed, Flow};
use crate::host::{Host, Seat, foreign_token};
use crate::inbox::Inbox;
use crate::member::{self, Setup};
use crate::news;
use crate::sink::Sink;
use crate::sockets;
use crate::stop::Stop;
use crate::trouble::Trouble;
use p2piptv::ids::{ChannelId, ChannelName};
use p2piptv::node::{Addresses, Event, Node, ProviderInfo};
use p2piptv::time::{Duration, Instant, earliest};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The port that a bootstrap node takes unless it is told another: the one of RELOAD (RFC 6940 §14.1).
const RELOAD_PORT: u16 = 6084;
/// How long a node may take to leave.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long an unknown bitrate is measured before an uplink is counted in children.
const MEASURE: Duration = Duration::from_secs(3);
/// How often the time of day is told.
const WALL_CLOCK: Duration = Duration::from_secs(60);
/// How long the answer of the overlay is waited for.
const ANSWER: Duration = Duration::from_secs(20);

type Result<T> = std::result::Result<T, Trouble>;

/// Runs a node that others join through.
pub fn bootstrap(role: &Role) -> Result<()> {
    let mut process = Process::open(role, IpAddr::V4(Ipv4Addr::LOCALHOST), RELOAD_PORT, "bootstrap", 0)?;
    process.introduce();
    process.command(|node, now| node.create(now))?;
    println!("others join with --bootstrap {}", process.addresses()?.overlay);
    while !process.has_left() {
        process.turn(None)?;
        while process.next_event().is_some() {}
    }
    process.end()
}

/// Publishes a channel.
pub fn source(asked: &Source) -> Result<()> {
    let home = sockets::towards(asked.bootstrap)?;
    let mut process = Process::open(&asked.role, home, 0, "source", 1)?;
    let mut feed = Feed::open(&asked.input, process.host.registry(), INPUT, member::random())?;
    process.introduce();
    let mut uplink = Uplink::new(asked.capacity, feed.bitrate());
    process.set_capacity(uplink.known());
    process.command(|node, now| node.join(now, &[asked.bootstrap]))?;

    let (mut channel, mut flow) = (None, Flow::Goes);
    while !process.has_left() {
        let due = channel.and_then(|_| feed.deadline()).filter(|_| flow == Flow::Goes);
        process.turn(due)?;
        while let Some(event) = process.next_event() {
            match event {
                Event::Joined => {
                    let opened =
                        process.command(|node, now| node.publish(now, &asked.channel, &asked.keywords))?;
                    channel = Some(opened);
                }
                Event::JoinFailed => return Err(Trouble::NoBootstrap(asked.bootstrap)),
                _ => {}
            }
        }
        let Some(channel) = channel.filter(|_| flow == Flow::Goes && !process.is_leaving()) else { continue };
        let mut bytes = 0;
        let fed = process.command(|node, now| {
            feed.take(now, |packet| {
                bytes += packet.len() as u64;
                // What is no RTP was not let in; a full queue drops live media.
                let _ = node.push_media(now, channel, packet);
            })
        });
        flow = fed.unwrap_or_else(|trouble| {
            process.fail(trouble);
            Flow::Ended
        });
        process.set_capacity(uplink.measure(process.host.now(), bytes));
        if flow == Flow::Ended {
            process.leave();
        }
    }
    process.end()
}

/// Watches a channel.
pub fn watch(asked: &Watch) -> Result<()> {
    let home = sockets::towards(asked.bootstrap)?;
    let mut process = Process::open(&asked.role, home, 0, "viewer", 0)?;
    if let Some(output) = &asked.output {
        process.inbox.sink = Some(Sink::open(output, member::random() as u64)?);
    }
    process.introduce();
    let mut uplink = Uplink::new(asked.capacity, None);
    process.set_capacity(uplink.known());
    process.command(|node, now| node.join(now, &[asked.bootstrap]))?;

    let (mut channel, mut played, mut media) = (None, false, 0);
    while !process.has_left() {
        process.turn(channel.and_then(|_| uplink.deadline()))?;
        while let Some(event) = process.next_event() {
            match event {
                Event::Joined => channel = Some(process.command(|node, now| node.tune(now, &asked.channel))?),
                Event::JoinFailed => return Err(Trouble::NoBootstrap(asked.bootstrap)),
                Event::NotFound { .. } if !played => process.fail(Trouble::NotOffered(asked.channel.clone())),
                Event::Playing { .. } => played = true,
                Event::Ended { .. } => process.leave(),
                _ => {}
            }
        }
        let received = channel.and_then(|channel| process.received(channel)).unwrap_or(media);
        process.set_capacity(uplink.measure(process.host.now(), received - media));
        media = received;
    }
    match process.inbox.sink.take() {
        Some(sink) => {
            let ((played, refused), missing) = (sink.counts(), sink.skipped());
            eprintln!("played {played} bytes, {refused} of them in vain; {missing} packets never came");
            process.end().and(sink.finish())
        }
        None => process.end(),
    }
}

/// Tells who offers a channel.
pub fn channel(asked: &Lookup) -> Result<()> {
    let home = sockets::towards(asked.bootstrap)?;
    let mut process = Process::open(&asked.role, home, 0, "guest", 0)?;
    process.quiet = true;
    process.command(|node, now| node.join(now, &[asked.bootstrap]))?;
    let limit = process.host.now() + ANSWER;
    let mut answer = None;
    while !process.has_left() {
        process.turn(Some(limit))?;
        while let Some(event) = process.next_event() {
            match event {
                Event::Joined => process.command(|node, now| node.providers(now, &asked.channel))?,
                Event::JoinFailed => return Err(Trouble::NoBootstrap(asked.bootstrap)),
                Event::Providers { providers, .. } => {
                    answer = Some(providers);
                    process.leave();
                }
                _ => {}
            }
        }
        if process.host.now() >= limit {
            process.leave();
        }
    }
    match answer.filter(|providers| !providers.is_empty()) {
        Some(providers) => {
            print!("{}", provider_table(&asked.channel, &providers));
            Ok(())
        }
        None => Err(Trouble::NotOffered(asked.channel.clone())),
    }
}

fn provider_table(channel: &ChannelName, providers: &[ProviderInfo]) -> String {
    let mut out = format!("channel {channel}\n  depth  free slots  contact\n");
    for p in providers {
        let role = if p.is_source { "  (source)" } else { "" };
        out += &format!("  {:>5}  {:>10}  {}{role}\n", p.depth, p.free_slots, p.contact);
    }
    out
}

const STOP: mio::Token = foreign_token(0);
const INPUT: mio::Token = foreign_token(1);

/// One node in a process of its own, which tells on standard error what happens to it.
struct Process {
    host: Host<Node>,
    seat: Seat,
    inbox: Inbox,
    stop: Stop,
    next_wall_clock: Instant,
    capacity: Option<u16>,
    /// Once it is leaving: when it goes without waiting any longer.
    leaving: Option<Instant>,
    left: bool,
    /// Why it leaves, if it is not as it should be.
    trouble: Option<Trouble>,
    quiet: bool,
}

impl Process {
    /// Opens the sockets and makes the node. What `role` leaves open is `home`, `port` and a name made of `title`.
    fn open(role: &Role, home: IpAddr, port: u16, title: &str, capacity: u16) -> Result<Self> {
        let overlay = role.listen.unwrap_or(SocketAddr::new(home, port));
        let beside = SocketAddr::new(overlay.ip(), 0);
        let wanted = Addresses {
            overlay,
            signalling: role.sip.unwrap_or(beside),
            media: role.media.unwrap_or(beside),
        };
        let mut host = Host::new()?;
        let stop = Stop::new(host.registry(), STOP)?;
        let seat = host.seat(wanted, |addresses| {
            let own_name = match title {
                "source" | "bootstrap" => title.to_owned(),
                _ => format!("{title}-{}", addresses.overlay.port()),
            };
            let name = role.name.clone().unwrap_or(own_name);
            Setup { name, profile: role.profile, capacity }.node(addresses)
        });
        let seat = seat.map_err(|error| Trouble::Address(error.to_string()))?;
        let next_wall_clock = host.now();
        let inbox = Inbox::default();
        let mut process = Process {
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
    fn introduce(&self) {
        if let Some(node) = self.host.node(self.seat) {
            let (config, id) = (node.config(), node.node_id());
            let Addresses { overlay, signalling, media } = config.addresses;
            eprintln!("{}: Node-ID {id}, overlay {overlay}, SIP {signalling}, media {media}", config.name);
        }
    }

    fn addresses(&self) -> Result<Addresses> {
        let node = self.host.node(self.seat);
        node.map(|node| node.config().addresses).ok_or_else(|| Trouble::Address("the node is gone".into()))
    }

    /// A command to the node; its own complaint becomes ours.
    fn command<R, E: Into<Trouble>>(
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

    fn set_capacity(&mut self, slots: Option<u16>) {
        if slots.is_some() && slots != self.capacity {
            self.capacity = slots;
            let slots = slots.unwrap_or_default();
            self.host.command(self.seat, &mut self.inbox, |node, now| node.set_capacity(now, slots));
        }
    }

    /// Bytes of media that have come.
    fn received(&self, channel: ChannelId) -> Option<u64> {
        Some(self.host.node(self.seat)?.media_counters(channel)?.media.bytes)
    }

    /// Waits for something to happen, `wake` at the latest, and does what every role does about it.
    fn turn(&mut self, wake: Option<Instant>) -> Result<()> {
        let sink = self.inbox.sink.as_ref().and_then(Sink::deadline);
        let own = earliest(self.leaving, Some(self.next_wall_clock));
        self.host.wake_at(earliest(earliest(wake, sink), own));
        self.host.turn(&mut self.inbox)?;

        let now = self.host.now();
        if let Some(sink) = &mut self.inbox.sink
            && let Err(trouble) = sink.handle_timeout(now)
        {
            (self.inbox.sink, self.inbox.trouble) = (None, Some(trouble));
        }
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

    fn next_event(&mut self) -> Option<Event> {
        let (_, now, event) = self.inbox.events.pop_front()?;
        if let (Some(line), false) = (news::line(&event), self.quiet) {
            eprintln!("{:>8}.{:03} {line}", now.as_millis() / 1000, now.as_millis() % 1000);
        }
        self.left |= event == Event::Left;
        Some(event)
    }

    fn leave(&mut self) {
        if self.leaving.is_none() {
            self.leaving = Some(self.host.now() + FAREWELL);
            self.host.command(self.seat, &mut self.inbox, |node, now| node.leave(now));
        }
    }

    /// Leaves because of this trouble: whoever goes without a word keeps others waiting for it.
    fn fail(&mut self, trouble: Trouble) {
        self.trouble.get_or_insert(trouble);
        self.leave();
    }

    /// How it ended.
    fn end(&mut self) -> Result<()> {
        self.trouble.take().map_or(Ok(()), Err)
    }

    fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    fn has_left(&self) -> bool {
        self.left
    }
}

/// A capacity that may have to wait for the channel's bitrate.
struct Uplink {
    capacity: Capacity,
    bitrate: Option<u64>,
    since: Option<Instant>,
    bytes: u64,
}

impl Uplink {
    fn new(capacity: Capacity, bitrate: Option<u64>) -> Self {
        Uplink { capacity, bitrate, since: None, bytes: 0 }
    }

    /// Children, as far as they can be counted yet.
    fn known(&self) -> Option<u16> {
        match (self.capacity, self.bitrate) {
            (Capacity::Slots(n), _) => Some(n),
            (capacity, Some(bitrate)) => Some(capacity.slots(bitrate)),
            (Capacity::Uplink(_), None) => None,
        }
    }

    /// When the bitrate will be known.
    fn deadline(&self) -> Option<Instant> {
        self.since.filter(|_| self.known().is_none()).map(|since| since + MEASURE)
    }

    /// Takes note of media, and says how many children there can be once that is known.
    fn measure(&mut self, now: Instant, bytes: u64) -> Option<u16> {
        if self.known().is_none() && (bytes > 0 || self.since.is_some()) {
            let elapsed = now.since(*self.since.get_or_insert(now));
            self.bytes += bytes;
            if elapsed >= MEASURE {
                self.bitrate = Some((self.bytes * 8_000_000) / elapsed.as_micros() as u64);
            }
        }
        self.known()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2piptv::ids::NodeId;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn an_uplink_is_counted_in_children_once_the_bitrate_is_known() {
        let mut uplink = Uplink::new(Capacity::Uplink(2_000_000), None);
        assert_eq!(uplink.measure(at(0), 0), None);
        for ms in (1000..4000).step_by(10) {
            assert_eq!(uplink.measure(at(ms), 1000), None);
        }
        assert_eq!(uplink.deadline(), Some(at(4000)));
        assert_eq!(uplink.measure(at(4000), 1000), Some(2), "800 kbit/s");
        assert_eq!(uplink.measure(at(9000), 1 << 30), Some(2), "measured once");
    }

    #[test]
    fn a_clip_says_its_bitrate_and_a_number_needs_none() {
        assert_eq!(Uplink::new(Capacity::Uplink(2_000_000), Some(800_000)).known(), Some(2));
        assert_eq!(Uplink::new(Capacity::Slots(7), None).known(), Some(7));
    }

    #[test]
    fn providers_stand_in_a_table() {
        let info = |is_source, depth, free_slots| ProviderInfo {
            node_id: NodeId::default(),
            is_source,
            depth,
            free_slots,
            contact: format!("sip:{depth}@127.0.0.1:5060"),
        };
        let name = ChannelName::new("100").expect("a name");
        assert_eq!(
            provider_table(&name, &[info(false, 1, 2), info(true, 0, 0)]),
            "channel 100\n\
             \x20 depth  free slots  contact\n\
             \x20     1           2  sip:1@127.0.0.1:5060\n\
             \x20     0           0  sip:0@127.0.0.1:5060  (source)\n"
        );
    }
}
