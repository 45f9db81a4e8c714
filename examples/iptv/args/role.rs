//! The roles of a process: bootstrap node, source, viewer, peer, and the one that only asks.

use super::words::{
    NO_BOOTSTRAP, NO_CHANNEL, NO_OWNER, address, address_from, channel_from, channel_name, mode, needed,
    number, profile, text,
};
use super::{Command, ModeName, ProfileName, Protection, Result, UsageError};
use crate::help;
use lexopt::{Arg, Parser};
use p2piptv::ids::{ChannelName, KeyFingerprint};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What every role of its own process has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// The user part of its SIP URI.
    pub name: Option<String>,
    /// Overlay address.
    pub listen: Option<SocketAddr>,
    /// SIP address.
    pub sip: Option<SocketAddr>,
    /// Media address.
    pub media: Option<SocketAddr>,
    /// Which behaviour.
    pub profile: ProfileName,
    /// Who elects.
    pub mode: ModeName,
    /// What is secured.
    pub protection: Protection,
    /// The configuration document of the overlay.
    pub config: Option<PathBuf>,
    /// The certificate of this node.
    pub identity: Option<PathBuf>,
    /// Whether it looks for relayers in a channel's tree before it asks for the channel's name.
    pub tree_first: bool,
}

/// How many children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// So many.
    Slots(u16),
    /// As many as this many bits a second carry.
    Uplink(u64),
}

impl Capacity {
    /// Children that can be served when each costs `bitrate` bits a second.
    pub fn slots(self, bitrate: u64) -> u16 {
        match self {
            Capacity::Slots(n) => n,
            Capacity::Uplink(bits) => u16::try_from(bits / bitrate.max(1)).unwrap_or(u16::MAX),
        }
    }
}

/// Where media comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The test card that ships with the example, for ever.
    TestCard,
    /// A file, for ever.
    File(PathBuf),
    /// Standard input, as it comes.
    Pipe,
    /// RTP packets that are sent to this address.
    Rtp(SocketAddr),
}

/// Where media goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A file.
    File(PathBuf),
    /// Standard output.
    Pipe,
    /// RTP packets to this address.
    Rtp(SocketAddr),
}

/// A process that publishes and watches channels. A source and a viewer are the ones that do so with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Addresses and behaviour.
    pub role: Role,
    /// Nodes of the overlay; none means those of its configuration document.
    pub bootstrap: Vec<SocketAddr>,
    /// What it publishes.
    pub publishes: Vec<Publish>,
    /// What it watches.
    pub watches: Vec<View>,
    /// How many children, of all channels together.
    pub capacity: Capacity,
}

/// A channel to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The channel's name.
    pub channel: ChannelName,
    /// Further names under which it can be found.
    pub keywords: Vec<ChannelName>,
    /// What is sent.
    pub input: Input,
    /// Where the key of the channel's owner lies, or shall be put.
    pub owner_key: Option<PathBuf>,
    /// Whether it only takes over when another source of the channel is gone.
    pub standby: bool,
}

/// A channel to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The channel's name, or a keyword.
    pub channel: ChannelName,
    /// Where the picture goes; nowhere means to relay only.
    pub output: Option<Output>,
    /// The key of the channel's owner.
    pub owner: Option<KeyFingerprint>,
}

/// A process that asks who offers a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// Addresses and behaviour.
    pub role: Role,
    /// Nodes of the overlay; none means those of its configuration document.
    pub bootstrap: Vec<SocketAddr>,
    /// The channel's name, or a keyword.
    pub channel: ChannelName,
}

pub(super) fn bootstrap(parser: &mut Parser) -> Result<Command> {
    let mut role = Role::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(help::BOOTSTRAP)),
            other => role_option(&mut role, other.into(), parser)?,
        }
    }
    Ok(Command::Bootstrap(role))
}

pub(super) fn source(parser: &mut Parser) -> Result<Command> {
    let (mut role, mut bootstrap, mut name) = (Role::default(), Vec::new(), None);
    let (mut keywords, mut input, mut capacity) = (Vec::new(), Input::TestCard, Capacity::Slots(2));
    let (mut owner_key, mut standby) = (None, false);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("bootstrap") => bootstrap.push(address(parser, "--bootstrap")?),
            Arg::Long("channel") => name = Some(channel_name(parser, "--channel")?),
            Arg::Long("keyword") => keywords.push(channel_name(parser, "--keyword")?),
            Arg::Long("input") => input = place(&parser.value()?, "--input")?.into(),
            Arg::Long("owner-key") => owner_key = Some(parser.value()?.into()),
            Arg::Long("standby") => standby = true,
            Arg::Long("capacity") => capacity = Capacity::Slots(number(parser, "--capacity", 0, 1024)?),
            Arg::Long("uplink") => capacity = Capacity::Uplink(bitrate(parser, "--uplink")?),
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(help::SOURCE)),
            other => role_option(&mut role, other.into(), parser)?,
        }
    }
    if standby && owner_key.is_none() && role.protection != Protection::Insecure {
        let reason = "--standby takes over in the owner's name: give the source's key with --owner-key FILE";
        return Err(UsageError(reason.into()));
    }
    Ok(Command::Peer(Peer {
        bootstrap: way_in(bootstrap, &role)?,
        role,
        publishes: vec![Publish { channel: needed(name, NO_CHANNEL)?, keywords, input, owner_key, standby }],
        watches: Vec::new(),
        capacity,
    }))
}

pub(super) fn watch(parser: &mut Parser) -> Result<Command> {
    let (mut role, mut bootstrap, mut name) = (Role::default(), Vec::new(), None);
    let (mut output, mut owner, mut capacity) = (None, None, Capacity::Slots(2));
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("bootstrap") => bootstrap.push(address(parser, "--bootstrap")?),
            Arg::Long("channel") => name = Some(channel_name(parser, "--channel")?),
            Arg::Long("output") => output = Some(place(&parser.value()?, "--output")?.into()),
            Arg::Long("owner") => owner = Some(fingerprint(parser, "--owner")?),
            Arg::Long("tree-first") => role.tree_first = true,
            Arg::Long("capacity") => capacity = Capacity::Slots(number(parser, "--capacity", 0, 1024)?),
            Arg::Long("uplink") => capacity = Capacity::Uplink(bitrate(parser, "--uplink")?),
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(help::WATCH)),
            other => role_option(&mut role, other.into(), parser)?,
        }
    }
    if role.tree_first && owner.is_none() && role.protection != Protection::Insecure {
        return Err(UsageError(NO_OWNER.into()));
    }
    Ok(Command::Peer(Peer {
        bootstrap: way_in(bootstrap, &role)?,
        role,
        publishes: Vec::new(),
        watches: vec![View { channel: needed(name, NO_CHANNEL)?, output, owner }],
        capacity,
    }))
}

/// Any number of channels, published and watched.
pub(super) fn peer(parser: &mut Parser) -> Result<Command> {
    let (mut role, mut bootstrap, mut capacity) = (Role::default(), Vec::new(), Capacity::Slots(2));
    let (mut publishes, mut watches, mut owner_key) = (Vec::new(), Vec::new(), None);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("bootstrap") => bootstrap.push(address(parser, "--bootstrap")?),
            Arg::Long("publish") => {
                let (channel, input) = channel_and_place(parser, "--publish")?;
                let input = input.map_or(Input::TestCard, Input::from);
                publishes.push(Publish {
                    channel,
                    keywords: Vec::new(),
                    input,
                    owner_key: None,
                    standby: false,
                });
            }
            Arg::Long("owner-key") => owner_key = Some(parser.value()?.into()),
            Arg::Long("watch") => {
                let (channel, output) = channel_and_place(parser, "--watch")?;
                watches.push(View { channel, output: output.map(Output::from), owner: None });
            }
            Arg::Long("capacity") => capacity = Capacity::Slots(number(parser, "--capacity", 0, 1024)?),
            Arg::Long("uplink") => capacity = Capacity::Uplink(bitrate(parser, "--uplink")?),
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(help::PEER)),
            other => role_option(&mut role, other.into(), parser)?,
        }
    }
    if publishes.is_empty() && watches.is_empty() {
        return Err(UsageError(
            "say what to do: --publish NAME=INPUT, --watch NAME=OUTPUT, or several of them".into(),
        ));
    }
    for publish in &mut publishes {
        publish.owner_key.clone_from(&owner_key);
    }
    let bootstrap = way_in(bootstrap, &role)?;
    Ok(Command::Peer(Peer { role, bootstrap, publishes, watches, capacity }))
}

/// The nodes to join through: given here, or left to the configuration document.
fn way_in(given: Vec<SocketAddr>, role: &Role) -> Result<Vec<SocketAddr>> {
    match given.is_empty() && role.config.is_none() {
        true => Err(UsageError(NO_BOOTSTRAP.into())),
        false => Ok(given),
    }
}

/// `NAME` or `NAME=PLACE`.
fn channel_and_place(parser: &mut Parser, option: &str) -> Result<(ChannelName, Option<Place>)> {
    let word = parser.value()?.to_string_lossy().into_owned();
    let (name, at) = match word.split_once('=') {
        Some((name, at)) => (name, Some(place(&OsString::from(at), option)?)),
        None => (&*word, None),
    };
    Ok((channel_from(&OsString::from(name), option)?, at))
}

pub(super) fn channel(parser: &mut Parser) -> Result<Command> {
    let (mut role, mut bootstrap, mut name) = (Role::default(), Vec::new(), None);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("bootstrap") => bootstrap.push(address(parser, "--bootstrap")?),
            Arg::Value(word) if name.is_none() => name = Some(channel_from(&word, "the channel")?),
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(help::CHANNEL)),
            other => role_option(&mut role, other.into(), parser)?,
        }
    }
    Ok(Command::Channel(Lookup {
        bootstrap: way_in(bootstrap, &role)?,
        role,
        channel: needed(name, "say which channel: iptv channel 100 --bootstrap ADDR")?,
    }))
}

/// An argument that no longer borrows the parser.
enum Word {
    Long(String),
    Other(lexopt::Error),
}

impl From<Arg<'_>> for Word {
    fn from(arg: Arg<'_>) -> Self {
        match arg {
            Arg::Long(name) => Word::Long(name.into()),
            other => Word::Other(other.unexpected()),
        }
    }
}

fn role_option(role: &mut Role, word: Word, parser: &mut Parser) -> Result<()> {
    let name = match word {
        Word::Long(name) => name,
        Word::Other(error) => return Err(error.into()),
    };
    match name.as_str() {
        "name" => role.name = Some(channel_name(parser, "--name")?.as_str().into()),
        "listen" => role.listen = Some(own_address(parser, "--listen")?),
        "sip" => role.sip = Some(own_address(parser, "--sip")?),
        "media" => role.media = Some(own_address(parser, "--media")?),
        "profile" => role.profile = profile(parser)?,
        "mode" => role.mode = mode(parser)?,
        "insecure" => role.protection = Protection::Insecure,
        "config" => role.config = Some(parser.value()?.into()),
        "identity" => role.identity = Some(parser.value()?.into()),
        "insecure-sip" => role.protection = Protection::InsecureSip,
        _ => return Err(Arg::Long(&name).unexpected().into()),
    }
    Ok(())
}

fn fingerprint(parser: &mut Parser, option: &str) -> Result<KeyFingerprint> {
    let word = text(parser, option)?;
    KeyFingerprint::from_hex(&word).ok_or_else(|| {
        UsageError(format!(
            "{option}: {word:?} is no fingerprint; the source prints the 64 digits of its channel's"
        ))
    })
}

/// An address to listen at, which others are told.
fn own_address(parser: &mut Parser, option: &str) -> Result<SocketAddr> {
    let word = text(parser, option)?;
    let wrong = |advice: &str| UsageError(format!("{option}: {word:?} {advice}"));
    let address: SocketAddr = word.parse().map_err(|_| {
        wrong("is no address; write IP:PORT, as in 192.0.2.7:6084 (port 0 takes any that is free)")
    })?;
    if address.ip().is_unspecified() {
        return Err(wrong("cannot be told to others; give the address by which they reach this machine"));
    }
    Ok(address)
}

enum Place {
    File(PathBuf),
    Pipe,
    Rtp(SocketAddr),
}

/// A file, `-`, or `rtp://IP:PORT`.
fn place(value: &OsString, option: &str) -> Result<Place> {
    let word = value.to_string_lossy();
    if let Some(address) = word.strip_prefix("rtp://") {
        return address_from(address, option).map(Place::Rtp);
    }
    if let Some((scheme, _)) = word.split_once("://") {
        let advice = "give a file, rtp://IP:PORT, or - for a pipe";
        return Err(UsageError(format!("{option}: {scheme}:// is not supported; {advice}")));
    }
    Ok(if word == "-" { Place::Pipe } else { Place::File(value.into()) })
}

impl From<Place> for Input {
    fn from(place: Place) -> Self {
        match place {
            Place::File(path) => Input::File(path),
            Place::Pipe => Input::Pipe,
            Place::Rtp(address) => Input::Rtp(address),
        }
    }
}

impl From<Place> for Output {
    fn from(place: Place) -> Self {
        match place {
            Place::File(path) => Output::File(path),
            Place::Pipe => Output::Pipe,
            Place::Rtp(address) => Output::Rtp(address),
        }
    }
}

/// Bits a second: a number with `k`, `M` or `G` behind it.
fn bitrate(parser: &mut Parser, option: &str) -> Result<u64> {
    let word = text(parser, option)?;
    let (digits, factor) = match word.char_indices().last() {
        Some((end, 'k' | 'K')) => (&word[..end], 1e3),
        Some((end, 'M' | 'm')) => (&word[..end], 1e6),
        Some((end, 'G' | 'g')) => (&word[..end], 1e9),
        _ => (&word[..], 1.0),
    };
    let bits = digits.parse::<f64>().ok().map(|n| n * factor).filter(|n| (1.0..1e12).contains(n));
    bits.map(|n| n as u64).ok_or_else(|| {
        UsageError(format!("{option}: {word:?} is no bitrate; write bits a second, as in 20M or 800k"))
    })
}
