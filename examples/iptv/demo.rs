//! The demonstration: a bootstrap node, a source and some viewers, each a full node with its own sockets on 127.0.0.1.
//! They share one poll and nothing else.

use crate::args::{Demo as Asked, Input, ProfileName, Protection};
use crate::director::{Act, Director, Parent, Scene, Seen, Tempo};
use crate::feed::Feed;
use crate::figure16::{Figure16, Second};
use crate::host::{Host, Seat, foreign_token};
use crate::inbox::{Inbox, Outgoing};
use crate::member::{self, Keys, Realm, Setup};
use crate::news;
use crate::report::{Happening, Report, Row, Signed, Silence, Slots, Source, Viewer};
use crate::screen::{Branch, Picture, Screen};
use crate::silence::Silences;
use crate::sockets;
use crate::stop::Stop;
use crate::trouble::Trouble;
use p2piptv::ids::{ChannelId, ChannelName, KeyFingerprint};
use p2piptv::node::{Event, Node};
use p2piptv::rtp::reception::Counters;
use p2piptv::sim::pcapng::Capture;
use p2piptv::time::{Duration, Instant, earliest};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

/// The channel of the paper's example.
const CHANNEL: &str = "100";
/// How often the director looks.
const GLANCE: Duration = Duration::from_millis(50);
/// How long a packet may be under way on this machine.
const UNDER_WAY: Duration = Duration::from_millis(200);
/// Lines of news on the screen.
const NEWS: usize = 8;

type Result<T> = std::result::Result<T, Trouble>;

/// Plays the demonstration, and what belongs to figure 16 if it is asked for.
pub fn run(asked: &Asked) -> Result<()> {
    // What cannot be written is better known before than after.
    if let Some(path) = &asked.json {
        File::create(path).map_err(|e| Trouble::cannot_write(path, &e))?;
    }
    let mut screen = Screen::stdout();
    let mut figure = Figure16::default();
    if let Some(directory) = &asked.figure16 {
        std::fs::create_dir_all(directory).map_err(|e| Trouble::cannot_write(directory, &e))?;
        // Server-based delivery is a source that has room for everybody.
        let everybody = Asked { capacity: asked.viewers as u16, pcap: None, ..asked.clone() };
        let mut stage = Stage::open(&everybody, "server-based: every viewer at the source")?;
        stage.play(false, &mut screen)?;
        figure.server = stage.seconds;
    }
    let mut stage = Stage::open(asked, "P2P-based: viewers relay")?;
    // What was seen is told in any case.
    let played = stage.play(true, &mut screen);
    let report = stage.report();
    screen.close(&report.text())?;
    if let Some(path) = &asked.json {
        std::fs::write(path, report.json()).map_err(|e| Trouble::cannot_write(path, &e))?;
    }
    played?;
    if let Some(directory) = &asked.figure16 {
        (figure.p2p, figure.elections) = (stage.seconds, stage.elections);
        figure.write(directory).map_err(|e| Trouble::cannot_write(directory, &e))?;
    }
    Ok(())
}

/// One viewer of the stage.
#[derive(Default)]
struct Guest {
    seat: Option<Seat>,
    channel: Option<ChannelId>,
    alive: bool,
    /// What it saw, kept when it goes.
    seen: Viewer,
    /// Packets that came to it and were not the source's.
    forged: u64,
    rescued: bool,
    relays: bool,
    playing: bool,
}

/// A descendant of somebody who was killed.
struct Mourner {
    guest: usize,
    below: u32,
    /// What it had lost before.
    lost: u64,
}

/// The stage of one run.
struct Stage {
    asked: Asked,
    title: &'static str,
    host: Host<Node>,
    inbox: Inbox,
    stop: Stop,
    feed: Feed,
    name: ChannelName,
    names: BTreeMap<Seat, String>,
    bootstrap: Seat,
    entry: SocketAddr,
    source: Option<Seat>,
    channel: Option<ChannelId>,
    /// Whose channel it is.
    owner: Option<KeyFingerprint>,
    guests: Vec<Guest>,
    scene: Scene,
    left: usize,
    /// Whose descendants are listened to: the last one that was killed.
    mourners: Vec<Mourner>,
    /// The source's traffic, second by second from the first viewer on, until somebody is killed.
    seconds: Vec<Second>,
    measured: Option<(Instant, Outgoing)>,
    elections: Vec<f64>,
    rate: u64,
    news: VecDeque<String>,
    report: Report,
}

impl Stage {
    /// Everything but the actors.
    fn open(asked: &Asked, title: &'static str) -> Result<Self> {
        let mut host = Host::new()?;
        let mut inbox = Inbox { silences: Some(Silences::default()), ..Inbox::default() };
        if let Some(path) = &asked.pcap {
            inbox.recorder = Some(recorder(path, host.now())?);
            inbox.keys = Some(Keys::default());
        }
        let stop = Stop::new(host.registry(), foreign_token(0))?;
        let feed = Feed::open(&Input::TestCard, host.registry(), foreign_token(1), member::random())?;
        // The bootstrap node is a peer of the overlay and no more.
        let setup = Setup {
            name: "bootstrap".into(),
            profile: asked.profile,
            mode: asked.mode,
            capacity: 0,
            tree_first: false,
            protection: asked.protection,
            realm: Realm::default(),
            keys: inbox.keys.clone(),
        };
        let mut names = BTreeMap::new();
        let bootstrap = enter(&mut host, &mut inbox, &mut names, &setup)?;
        let entry = host.node(bootstrap).map(|node| node.config().addresses.overlay);
        let entry = entry.ok_or_else(|| Trouble::Address("the bootstrap node is gone".into()))?;
        let policy = Setup { capacity: asked.capacity, ..setup }.policy();
        let report = Report {
            channel: CHANNEL.into(),
            capacity: asked.capacity,
            rescue_slots: u16::from(policy.rescue_slots),
            ..Report::default()
        };
        let mut stage = Stage {
            asked: asked.clone(),
            title,
            host,
            inbox,
            stop,
            feed,
            name: ChannelName::new(CHANNEL).ok_or_else(|| Trouble::Address("no such channel".into()))?,
            names,
            bootstrap,
            entry,
            source: None,
            channel: None,
            owner: None,
            guests: (0..asked.viewers).map(|_| Guest::default()).collect(),
            scene: Scene { viewers: vec![Seen::default(); asked.viewers], ..Scene::default() },
            left: 0,
            mourners: Vec::new(),
            seconds: Vec::new(),
            measured: None,
            elections: Vec::new(),
            rate: 0,
            news: VecDeque::new(),
            report,
        };
        stage.host.command(bootstrap, &mut stage.inbox, |node, now| node.create(now)).transpose()?;
        Ok(stage)
    }

    /// Plays until the end.
    fn play(&mut self, kill: bool, screen: &mut Screen<std::io::Stdout>) -> Result<()> {
        let kills = if kill { self.asked.kills } else { 0 };
        let mut director = Director::new(self.host.now(), kills, tempo(&self.asked));
        let mut stopped = false;
        let mut glance = self.host.now();
        loop {
            let feed = self.channel.and_then(|_| self.feed.deadline());
            self.host.wake_at(earliest(feed, Some(glance)));
            self.host.turn(&mut self.inbox)?;
            let now = self.host.now();
            self.feed_source()?;
            self.work_through_events(screen)?;
            self.inbox.ready.clear();

            let mut act = None;
            if self.stop.take() > 0 {
                stopped = true;
                act = Some(director.stop(now));
            } else if now >= glance {
                glance = now + GLANCE;
                self.look(now);
                act = director.direct(now, &self.scene).map_err(Trouble::Stuck)?;
                screen.show(now, &self.picture(now))?;
            }
            match act {
                Some(Act::End) => break,
                Some(act) => self.perform(act, now, screen)?,
                None => {}
            }
        }
        if stopped { Err(Trouble::Stopped) } else { Ok(()) }
    }

    fn perform(&mut self, act: Act, now: Instant, screen: &mut Screen<std::io::Stdout>) -> Result<()> {
        match act {
            Act::StartSource => {
                let seat = self.enter("source")?;
                self.source = Some(seat);
                self.inbox.silences.iter_mut().for_each(|s| s.listen_to(seat));
                self.join(seat)?;
            }
            Act::StartViewer(n) => {
                if n == 0 {
                    self.measured = Some((now, self.outgoing()));
                }
                let seat = self.enter(&(n + 1).to_string())?;
                let seen = Viewer { name: (n + 1).to_string(), ..Viewer::default() };
                self.guests[n] = Guest { seat: Some(seat), alive: true, seen, ..Guest::default() };
                self.join(seat)?;
            }
            Act::Kill(n) => {
                self.listened(now);
                if self.report.killed.is_empty() {
                    self.report.table_before_kill = self.table();
                }
                self.measured = None;
                self.listen(n);
                let guest = &mut self.guests[n];
                guest.alive = false;
                if let Some(seat) = guest.seat {
                    self.host.kill(seat);
                }
                let name = guest.seen.name.clone();
                self.happened(now, "Killed", name.clone(), Some("is killed"), screen)?;
                self.report.killed.push(name);
            }
            Act::Mended => {
                self.listened(now);
                self.report.table_after_repair = self.table();
            }
            Act::Leave => {
                self.look(now);
                if self.report.killed.is_empty() {
                    self.report.table_before_kill = self.table();
                }
                self.report.slots = self.slots();
                // What comes from here on is the end of the channel, not a loss.
                self.channel = None;
                self.measured = None;
                let alive = self.guests.iter().filter(|g| g.alive).filter_map(|g| g.seat);
                let all: Vec<_> = alive.chain(self.source).chain([self.bootstrap]).collect();
                for seat in all {
                    self.host.command(seat, &mut self.inbox, |node, now| node.leave(now));
                }
            }
            Act::End => {}
        }
        Ok(())
    }

    /// From now on whoever is below this viewer is listened to.
    fn listen(&mut self, dying: usize) {
        let hops = |guest: usize| {
            let (mut at, mut hops) = (guest, 0);
            while hops < self.scene.viewers.len() as u32 {
                let Some(Parent::Viewer(parent)) = self.scene.viewers.get(at)?.parent else { return None };
                (at, hops) = (parent, hops + 1);
                if at == dying {
                    return Some(hops);
                }
            }
            None
        };
        let living = (0..self.guests.len()).filter(|&n| self.guests[n].alive && self.guests[n].playing);
        let mourner =
            |guest: usize| Some(Mourner { guest, below: hops(guest)?, lost: self.guests[guest].seen.lost });
        self.mourners = living.filter_map(mourner).collect();
        self.inbox.silences.iter_mut().for_each(Silences::begin);
    }

    /// Notes what those who were below the last one killed have heard since.
    fn listened(&mut self, now: Instant) {
        let Some(dead) = self.report.killed.last().cloned() else { return };
        for mourner in core::mem::take(&mut self.mourners) {
            let guest = &self.guests[mourner.guest];
            let (Some(seat), Some(silences)) = (guest.seat, &self.inbox.silences) else { continue };
            let heard = silences.heard(seat, now);
            self.report.silences.push(Silence {
                killed: dead.clone(),
                viewer: guest.seen.name.clone(),
                below: mourner.below,
                silence_us: heard.silence.as_micros() as u64,
                late: heard.late,
                lost: guest.seen.lost.saturating_sub(mourner.lost),
            });
        }
    }

    /// What all living nodes say of silences and rescue slots.
    fn slots(&self) -> Slots {
        let guests = self.guests.iter().filter(|g| g.alive).filter_map(|g| g.seat);
        guests.chain(self.source).filter_map(|seat| self.host.node(seat)).fold(
            Slots::default(),
            |mut all, node| {
                all.add(node.repairs(), node.rescue_slots());
                all
            },
        )
    }

    fn enter(&mut self, name: &str) -> Result<Seat> {
        let Asked { profile, mode, protection, capacity, .. } = self.asked;
        let (name, realm, keys) = (name.into(), Realm::default(), self.inbox.keys.clone());
        let setup = Setup { name, profile, mode, capacity, protection, realm, tree_first: false, keys };
        enter(&mut self.host, &mut self.inbox, &mut self.names, &setup)
    }

    fn join(&mut self, seat: Seat) -> Result<()> {
        let entry = self.entry;
        self.host.command(seat, &mut self.inbox, |node, now| node.join(now, &[entry])).transpose()?;
        Ok(())
    }

    fn feed_source(&mut self) -> Result<()> {
        let (Some(source), Some(channel)) = (self.source, self.channel) else { return Ok(()) };
        let feed = &mut self.feed;
        let fed = self.host.command(source, &mut self.inbox, |node, now| {
            feed.take(now, |packet| {
                // A full queue drops live media; the node counts it.
                let _ = node.push_media(now, channel, packet);
            })
        });
        fed.transpose()?;
        if let Some(node) = self.host.node(source) {
            let most = &mut self.report.source.most_children;
            *most = node.children(channel).len().max(*most);
        }
        Ok(())
    }

    fn work_through_events(&mut self, screen: &mut Screen<std::io::Stdout>) -> Result<()> {
        while let Some((seat, now, event)) = self.inbox.events.pop_front() {
            let name = self.name.clone();
            let guest = self.guests.iter().position(|g| g.seat == Some(seat));
            match (&event, guest) {
                (Event::Joined, Some(n)) => {
                    let owner = self.owner;
                    let tuned = self.host.command(seat, &mut self.inbox, |node, now| match owner {
                        Some(owner) => node.tune_to(now, &name, owner),
                        None => node.tune(now, &name),
                    });
                    self.guests[n].channel = tuned.transpose()?;
                }
                (Event::Joined, None) if self.source == Some(seat) => {
                    let ownership = match self.asked.protection {
                        Protection::Insecure => None,
                        _ => Some(Realm::default().owner(&[&name], None)?),
                    };
                    self.owner = ownership.as_ref().map(|o| o.fingerprint);
                    let opened = self.host.command(seat, &mut self.inbox, |node, now| match ownership {
                        Some(ownership) => node.publish_as(now, &name, &[], ownership.owner),
                        None => node.publish(now, &name, &[]),
                    });
                    self.channel = opened.transpose()?;
                }
                (Event::Joined, None) => self.scene.founded = true,
                (Event::JoinFailed, _) => return Err(Trouble::NoBootstrap(self.entry)),
                (Event::Published { .. }, _) => self.scene.published = true,
                (Event::Elected { .. }, Some(_)) => {
                    if let Some((begin, _)) = self.measured {
                        let begin = begin - Duration::from_secs(self.seconds.len() as u64);
                        self.elections.push(now.since(begin).as_secs_f64());
                    }
                }
                (Event::Left, _) => {
                    self.left += 1;
                    let staying = self.guests.iter().filter(|g| g.alive).count() + 2;
                    self.scene.empty = self.left >= staying;
                }
                _ => {}
            }
            let peer = self.names.get(&seat).cloned().unwrap_or_default();
            self.happened(now, &word(&event), peer, news::line(&event).as_deref(), screen)?;
        }
        Ok(())
    }

    /// Notes a happening, and tells it if it has words.
    fn happened(
        &mut self,
        now: Instant,
        event: &str,
        peer: String,
        words: Option<&str>,
        screen: &mut Screen<std::io::Stdout>,
    ) -> Result<()> {
        if let Some(words) = words {
            let line =
                format!("{:>4}.{} s  {peer} {words}", now.as_millis() / 1000, now.as_millis() / 100 % 10);
            screen.tell(&line)?;
            self.news.push_back(line);
            while self.news.len() > NEWS {
                self.news.pop_front();
            }
        }
        self.report.events.push(Happening { at_ms: now.as_millis(), event: event.into(), peer });
        Ok(())
    }

    /// Looks at every node, and measures what the source sends.
    fn look(&mut self, now: Instant) {
        let index = |name: &str| match name {
            "source" => Some(Parent::Source),
            name => name.parse::<usize>().ok().and_then(|n| n.checked_sub(1)).map(Parent::Viewer),
        };
        let source = self.source.and_then(|seat| self.host.node(seat)).zip(self.channel);
        let sent = source.and_then(|(node, channel)| node.media_counters(channel));
        let pushed = sent.and_then(|sent| sent.highest);
        if let Some((sent, counts)) = sent.and_then(|sent| Some((sent, sent.integrity?))) {
            let forged = self.guests.iter().map(|guest| guest.forged).sum();
            self.report.signed = Some(Signed { lists: counts.lists.bytes, media: sent.media.bytes, forged });
        }
        for (guest, seen) in self.guests.iter_mut().zip(&mut self.scene.viewers) {
            let node = guest.seat.and_then(|seat| self.host.node(seat));
            if let (Some(node), Some(channel)) = (node, guest.channel)
                && let (Some(status), Some(counters)) = (node.status(channel), node.media_counters(channel))
                && let Some(pushed) = pushed
            {
                let parent = status.parent.map(|peer| peer.name);
                let lost = counters.sequence.lost + missing_now(now, &counters, pushed);
                let silence = counters.last_new.map_or(Duration::ZERO, |last| now.since(last));
                guest.seen = Viewer {
                    name: guest.seen.name.clone(),
                    depth: status.depth,
                    parent,
                    received: counters.sequence.received,
                    lost,
                    duplicates: counters.sequence.duplicates,
                    longest_gap_ms: counters.sequence.longest_gap.max(silence).as_millis() as u64,
                };
                guest.forged = counters.integrity.map_or(0, |counts| counts.forged);
                guest.rescued = status.rescue;
                guest.relays = status.relayer;
                guest.playing = status.playing;
            }
            let parent = guest.seen.parent.as_deref().and_then(index);
            *seen = match guest.alive {
                true => Seen { alive: true, playing: guest.playing, parent, rescued: guest.rescued },
                false => Seen::default(),
            };
        }

        let outgoing = self.outgoing();
        let Some((begin, before)) = &mut self.measured else { return };
        while now.since(*begin) >= Duration::from_secs(1) {
            let second = Second {
                media: outgoing.media - before.media,
                sip: outgoing.sip - before.sip,
                reload: outgoing.reload - before.reload,
            };
            self.rate = second.total();
            self.seconds.push(second);
            *begin += Duration::from_secs(1);
            *before = outgoing;
        }
    }

    fn outgoing(&self) -> Outgoing {
        self.source.and_then(|seat| self.inbox.outgoing.get(&seat)).copied().unwrap_or_default()
    }

    /// The source's peer table.
    fn table(&self) -> Vec<Row> {
        let node = self.source.and_then(|seat| self.host.node(seat));
        let (Some(node), Some(channel)) = (node, self.channel) else { return Vec::new() };
        let row = |row: p2piptv::node::TableRow| Row {
            depth: row.depth,
            peer: row.peer.name,
            parent: row.parent.map_or_else(|| "source".into(), |parent| parent.name),
        };
        node.table(channel).into_iter().map(row).collect()
    }

    fn picture(&self, now: Instant) -> Picture {
        let profile = match self.asked.profile {
            ProfileName::Default => "default",
            ProfileName::Paper => "paper",
        };
        let note = |g: &Guest| match (g.relays, g.rescued) {
            (_, true) => "in a rescue slot",
            (true, false) => "relayer",
            (false, false) => "",
        };
        let branch = |g: &Guest| Branch {
            name: g.seen.name.clone(),
            parent: g.seen.parent.clone().filter(|_| g.playing),
            depth: g.seen.depth,
            received: g.seen.received,
            lost: g.seen.lost,
            note: note(g).into(),
        };
        Picture {
            title: format!(
                "Channel {CHANNEL}, {}; capacity {}, profile {profile}, {} s",
                self.title,
                self.asked.capacity,
                now.as_millis() / 1000
            ),
            root: "source".into(),
            root_bytes_per_second: self.rate,
            branches: self.guests.iter().filter(|g| g.alive).map(branch).collect(),
            news: self.news.iter().cloned().collect(),
        }
    }

    /// What was shown.
    fn report(&self) -> Report {
        let Outgoing { media, sip, reload } = self.outgoing();
        let viewers = self.guests.iter().filter(|g| g.seat.is_some()).map(|g| g.seen.clone());
        let most_children = self.report.source.most_children;
        Report {
            viewers: viewers.collect(),
            source: Source { media_bytes: media, control_bytes: sip + reload, most_children },
            ..self.report.clone()
        }
    }
}

/// What a viewer has missed since its last packet, if that was long ago: otherwise it is only under way.
fn missing_now(now: Instant, viewer: &Counters, pushed: u32) -> u64 {
    let silent = viewer.last_new.is_some_and(|last| now.since(last) >= UNDER_WAY);
    // Nodes that joined at different times agree in the lower 16 bits.
    let behind = |highest: u32| (pushed as u16).wrapping_sub(highest as u16).into();
    viewer.highest.filter(|_| silent).map_or(0, behind)
}

/// The script is played fast enough for an audience of six to see its end within half a minute. A figure by seconds
/// needs more room between two viewers, and in the paper's profile an orphan notices after 15 s and asks ever less often.
fn tempo(asked: &Asked) -> Tempo {
    let pause = Duration::from_millis(match asked {
        Asked { figure16: Some(_), .. } => 3000,
        // In a large tree something moves at all times.
        Asked { viewers: 31.., .. } => 0,
        _ => 700,
    });
    let patience = match asked.profile {
        ProfileName::Default => Duration::from_secs(60),
        ProfileName::Paper => Duration::from_secs(180),
    };
    Tempo { pause, patience }
}

/// A new node with sockets of its own.
fn enter(
    host: &mut Host<Node>,
    inbox: &mut Inbox,
    names: &mut BTreeMap<Seat, String>,
    setup: &Setup,
) -> Result<Seat> {
    let own = sockets::any(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let seat = host.seat(own, |addresses| setup.node(addresses));
    let seat = seat.map_err(|error| Trouble::Address(error.to_string()))?;
    names.insert(seat, setup.name.clone());
    host.command(seat, inbox, |node, now| node.handle_wall_clock(now, member::wall_clock()));
    Ok(seat)
}

/// The name of an event, for machines.
fn word(event: &Event) -> String {
    let text = format!("{event:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().into()
}

fn recorder(path: &Path, now: Instant) -> Result<crate::inbox::Recorder> {
    let mut file = BufWriter::new(File::create(path).map_err(|e| Trouble::cannot_write(path, &e))?);
    let zero = p2piptv::time::UnixMillis(member::wall_clock().0.saturating_sub(now.as_millis()));
    // A disk that is full ends the record, not the demonstration.
    let write = Box::new(move |bytes: &[u8]| {
        let _ = file.write_all(bytes);
    });
    Ok(Capture::new(zero, write))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_that_hears_nothing_has_missed_what_the_source_has_sent_since() {
        let at = Instant::from_millis;
        let silent = Counters { highest: Some(65_500), last_new: Some(at(1000)), ..Counters::default() };
        // The source is a round further, and what was sent just now is under way.
        assert_eq!(missing_now(at(1199), &silent, 131_100), 0);
        assert_eq!(missing_now(at(1200), &silent, 131_100), 64);
        assert_eq!(missing_now(at(9000), &Counters::default(), 131_100), 0, "not one packet yet");
    }
}
