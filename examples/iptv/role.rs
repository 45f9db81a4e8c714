//! The roles that a process can have: bootstrap node, source, viewer, several of those at once, and the one that only
//! asks.

use crate::args::{Lookup, Peer, Publish, Role, View};
use crate::feed::{Feed, Flow};
use crate::host::foreign_token;
use crate::member::{self, Ownership};
use crate::process::Process;
use crate::sink::Sink;
use crate::trouble::Trouble;
use crate::uplink::Uplink;
use p2piptv::ids::{ChannelId, ChannelName};
use p2piptv::node::{Event, ProviderInfo};
use p2piptv::time::{Duration, Instant, earliest};

/// The port that a bootstrap node takes unless it is told another: the one of RELOAD (RFC 6940 §14.1).
const RELOAD_PORT: u16 = 6084;
/// How long the answer of the overlay is waited for.
const ANSWER: Duration = Duration::from_secs(20);

type Result<T> = std::result::Result<T, Trouble>;

/// Runs a node that others join through.
pub fn bootstrap(role: &Role) -> Result<()> {
    let mut process = Process::open(role, &[], RELOAD_PORT, "bootstrap", 0)?;
    process.introduce();
    process.command(|node, now| node.create(now))?;
    println!("others join with --bootstrap {}", process.addresses()?.overlay);
    while !process.has_left() {
        process.turn(None)?;
        while process.next_event().is_some() {}
    }
    process.end()
}

/// Publishes and watches channels: one of either for a plain source or viewer, any number for a peer of the paper,
/// all on one uplink (P9).
pub fn peer(asked: &Peer) -> Result<()> {
    let (title, capacity) = match (asked.publishes.is_empty(), asked.watches.is_empty()) {
        (false, true) => ("source", 1),
        (true, _) => ("viewer", 0),
        (false, false) => ("peer", 1),
    };
    let mut process = Process::open(&asked.role, &asked.bootstrap, 0, title, capacity)?;
    let mut uplink = Uplink::new(asked.capacity);
    let mut sources = Vec::new();
    for (i, publish) in asked.publishes.iter().enumerate() {
        let feed =
            Feed::open(&publish.input, process.host.registry(), foreign_token(1 + i), member::random())?;
        uplink.add(feed.bitrate());
        sources.push(Publishing { publish, feed, channel: None, flow: Flow::Goes, number: i });
    }
    let mut viewers = Vec::new();
    for (i, view) in asked.watches.iter().enumerate() {
        let sink =
            view.output.as_ref().map(|output| Sink::open(output, member::random() as u64)).transpose()?;
        uplink.add(None);
        let number = asked.publishes.len() + i;
        viewers.push(Watching { view, sink, channel: None, state: Sight::Waiting, media: 0, number });
    }
    process.introduce();
    process.set_capacity(uplink.known());
    process.join()?;

    while !process.has_left() {
        let feeding = sources.iter().map(Publishing::deadline).fold(None, earliest);
        process.turn(earliest(feeding, uplink.deadline()))?;
        while let Some(event) = process.next_event() {
            match &event {
                Event::Joined => {
                    for source in &mut sources {
                        source.start(&mut process)?;
                    }
                    for viewer in &mut viewers {
                        viewer.start(&mut process)?;
                    }
                }
                Event::JoinFailed => return Err(process.no_bootstrap()),
                event => {
                    sources.iter_mut().for_each(|source| source.on_event(event));
                    viewers.iter_mut().for_each(|viewer| viewer.on_event(event));
                }
            }
        }
        if !process.is_leaving() {
            for source in &mut sources {
                match source.feed(&mut process, &mut uplink) {
                    Ok(capacity) => process.set_capacity(capacity),
                    Err(trouble) => process.fail(trouble),
                }
            }
        }
        for viewer in &mut viewers {
            let capacity = viewer.measure(&process, &mut uplink);
            process.set_capacity(capacity);
        }
        let published = sources.iter().any(|source| source.flow == Flow::Goes);
        let watched = viewers.iter().any(|viewer| matches!(viewer.state, Sight::Waiting | Sight::Played));
        if !published && !watched && !process.is_leaving() {
            if let [Watching { view, state: Sight::NotOffered, .. }] = &viewers[..] {
                process.fail(Trouble::NotOffered(view.channel.clone()));
            }
            process.leave();
        }
    }
    let ended = process.end();
    for viewer in viewers {
        viewer.finish(&mut process)?;
    }
    ended
}

/// One channel that this process publishes.
struct Publishing<'a> {
    publish: &'a Publish,
    feed: Feed,
    channel: Option<ChannelId>,
    flow: Flow,
    /// Its place at the uplink.
    number: usize,
}

impl Publishing<'_> {
    fn deadline(&self) -> Option<Instant> {
        self.channel.and_then(|_| self.feed.deadline()).filter(|_| self.flow == Flow::Goes)
    }

    fn start(&mut self, process: &mut Process) -> Result<()> {
        let Publish { channel, keywords, owner_key, standby, .. } = self.publish;
        let opened = if process.is_secured() {
            let names: Vec<&ChannelName> = [channel].into_iter().chain(keywords).collect();
            let Ownership { owner, fingerprint } = process
                .realm
                .owner(&names, owner_key.as_deref())
                .map_err(|error| Trouble::owner_key(owner_key.as_deref(), &error))?;
            eprintln!(
                "{channel}: belongs to {fingerprint} (be sure of it: iptv watch --owner {fingerprint} ...)"
            );
            process.command(|node, now| match standby {
                true => node.stand_by_as(now, channel, keywords, owner),
                false => node.publish_as(now, channel, keywords, owner),
            })?
        } else {
            process.command(|node, now| match standby {
                true => node.stand_by(now, channel, keywords),
                false => node.publish(now, channel, keywords),
            })?
        };
        self.channel = Some(opened);
        Ok(())
    }

    /// It is over when somebody else has taken it over, or the source that it stood by for has ended it.
    fn on_event(&mut self, event: &Event) {
        if matches!(event, Event::Ended { channel, .. } if Some(*channel) == self.channel) {
            self.flow = Flow::Ended;
        }
    }

    /// Sends what is due, and says how many children there can be.
    fn feed(&mut self, process: &mut Process, uplink: &mut Uplink) -> Result<Option<u16>> {
        let Some(channel) = self.channel.filter(|_| self.flow == Flow::Goes) else {
            return Ok(uplink.known());
        };
        let (feed, mut bytes) = (&mut self.feed, 0);
        self.flow = process.command(|node, now| {
            feed.take(now, |packet| {
                bytes += packet.len() as u64;
                // What is no RTP was not let in; a full queue drops live media, and so does who only stands by.
                let _ = node.push_media(now, channel, packet);
            })
        })?;
        if self.flow == Flow::Ended {
            // Nobody to tell when it is over already.
            let _ = process.command(|node, now| node.stop(now, channel));
        }
        Ok(uplink.measure(self.number, process.host.now(), bytes))
    }
}

/// How far a viewer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    Waiting,
    Played,
    NotOffered,
    Over,
}

/// One channel that this process watches.
struct Watching<'a> {
    view: &'a View,
    /// Until the channel is tuned.
    sink: Option<Sink>,
    channel: Option<ChannelId>,
    state: Sight,
    /// Bytes of media seen.
    media: u64,
    /// Its place at the uplink.
    number: usize,
}

impl Watching<'_> {
    fn start(&mut self, process: &mut Process) -> Result<()> {
        let View { channel: name, owner, .. } = self.view;
        let channel = process.command(|node, now| match owner {
            Some(owner) => node.tune_to(now, name, *owner),
            None => node.tune(now, name),
        })?;
        self.channel = Some(channel);
        process.inbox.sinks.extend(self.sink.take().map(|sink| (channel, sink)));
        Ok(())
    }

    fn on_event(&mut self, event: &Event) {
        let own = |channel: &ChannelId| Some(*channel) == self.channel;
        self.state = match event {
            Event::Playing { channel, .. } if own(channel) => Sight::Played,
            Event::NotFound { channel } if own(channel) && self.state == Sight::Waiting => Sight::NotOffered,
            Event::Ended { channel, .. } if own(channel) => Sight::Over,
            _ => return,
        }
    }

    fn measure(&mut self, process: &Process, uplink: &mut Uplink) -> Option<u16> {
        let received = self.channel.and_then(|channel| process.received(channel)).unwrap_or(self.media);
        let fresh = received - self.media;
        self.media = received;
        uplink.measure(self.number, process.host.now(), fresh)
    }

    /// Says what was played, and closes the output.
    fn finish(self, process: &mut Process) -> Result<()> {
        let tuned = self.channel.and_then(|channel| process.inbox.sinks.remove(&channel));
        let Some(sink) = tuned.or(self.sink) else { return Ok(()) };
        let ((played, refused), missing) = (sink.counts(), sink.skipped());
        eprintln!(
            "{}: played {played} bytes, {refused} of them in vain; {missing} packets never came",
            self.view.channel
        );
        sink.finish()
    }
}

/// Tells who offers a channel.
pub fn channel(asked: &Lookup) -> Result<()> {
    let mut process = Process::open(&asked.role, &asked.bootstrap, 0, "guest", 0)?;
    process.quiet = true;
    process.join()?;
    let limit = process.host.now() + ANSWER;
    let mut answer = None;
    while !process.has_left() {
        process.turn(Some(limit))?;
        while let Some(event) = process.next_event() {
            match event {
                Event::Joined => process.command(|node, now| node.providers(now, &asked.channel))?,
                Event::JoinFailed => return Err(process.no_bootstrap()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use p2piptv::ids::NodeId;

    #[test]
    fn providers_stand_in_a_table() {
        let info = |is_source, depth, free_slots| ProviderInfo {
            node_id: NodeId::default(),
            is_source,
            depth,
            free_slots,
            contact: format!("sip:{depth}@127.0.0.1:5060"),
            owner: None,
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
