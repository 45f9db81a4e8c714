//! What the user asks for: subcommands, options, and one clear line for every mistake.

use crate::help;
use lexopt::{Arg, Parser, ValueExt};
use p2piptv::ids::{ChannelName, KeyFingerprint, NodeId};
use p2piptv::reload::configuration::SelfSignedDigest;
use p2piptv::reload::overlay;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Play the demonstration.
    Demo(Demo),
    /// Run a bootstrap node.
    Bootstrap(Role),
    /// Publish and watch channels.
    Peer(Peer),
    /// Say who offers a channel.
    Channel(Lookup),
    /// Make keys and certificates.
    Ca(Ca),
    /// Make or show a configuration document.
    Overlay(Overlay),
    /// Print this text.
    Help(&'static str),
}

/// Which behaviour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProfileName {
    /// This project's answers to what the paper leaves open.
    #[default]
    Default,
    /// The paper, and nothing more.
    Paper,
}

/// What is secured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protection {
    /// Everything: links and SIP by TLS, messages and records by signatures.
    #[default]
    Secured,
    /// The same, but plain SIP agents are let in.
    InsecureSip,
    /// Everything, with links by DTLS.
    Datagrams,
    /// Nothing.
    Insecure,
}

/// The demonstration in one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demo {
    /// How many viewers.
    pub viewers: usize,
    /// Children that every node can serve.
    pub capacity: u16,
    /// Which behaviour.
    pub profile: ProfileName,
    /// Where to draw figure 16.
    pub figure16: Option<PathBuf>,
    /// Where to record every packet.
    pub pcap: Option<PathBuf>,
    /// Where to report.
    pub json: Option<PathBuf>,
    /// What is secured.
    pub protection: Protection,
}

impl Default for Demo {
    fn default() -> Self {
        Demo {
            viewers: 6,
            capacity: 2,
            profile: ProfileName::Default,
            figure16: None,
            pcap: None,
            json: None,
            protection: Protection::Secured,
        }
    }
}

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
    /// What is secured.
    pub protection: Protection,
    /// The configuration document of the overlay.
    pub config: Option<PathBuf>,
    /// The certificate of this node.
    pub identity: Option<PathBuf>,
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
    /// A node of the overlay.
    pub bootstrap: SocketAddr,
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
    /// A node of the overlay.
    pub bootstrap: SocketAddr,
    /// The channel's name, or a keyword.
    pub channel: ChannelName,
}

/// Keys and certificates to make, in the directory of an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ca {
    /// Where the authority lives.
    pub dir: PathBuf,
    /// For how long, from now.
    pub days: u64,
    /// What to make.
    pub make: Make,
}

/// What an authority makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Make {
    /// The authority itself.
    Authority {
        /// The name of its overlay.
        overlay: String,
    },
    /// A node.
    Node {
        /// Its user's name.
        name: ChannelName,
        /// How many Node-IDs.
        node_ids: usize,
        /// Whether its key is RSA.
        rsa: bool,
    },
    /// The owner of a channel.
    Owner {
        /// The channel's name.
        channel: ChannelName,
        /// Further names of the channel.
        keywords: Vec<ChannelName>,
    },
}

/// What to do with configuration documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overlay {
    /// Make one.
    New(NewOverlay),
    /// Show one.
    Show {
        /// The file.
        file: PathBuf,
        /// The document that it is to follow.
        follows: Option<PathBuf>,
    },
}

/// A configuration document to make. What is not given stays as it is in the document before, or at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewOverlay {
    /// The overlay's name.
    pub name: String,
    /// Where it goes.
    pub out: PathBuf,
    /// The document that it follows.
    pub follows: Option<PathBuf>,
    /// Certificates of authorities.
    pub roots: Vec<PathBuf>,
    /// Whether nodes may make their own certificates.
    pub self_signed: Option<SelfSignedDigest>,
    /// Addresses to join through.
    pub bootstrap: Vec<SocketAddr>,
    /// Who signs it.
    pub signers: Vec<PathBuf>,
    /// Who shall sign the version after it.
    pub next_signers: Vec<PathBuf>,
    /// Nodes to shut out.
    pub bad_nodes: Vec<NodeId>,
    /// Bytes of a message.
    pub max_message_size: Option<u32>,
    /// Whether links are plain.
    pub plain: bool,
    /// Whether links are DTLS.
    pub dtls: bool,
}

/// What is wrong with a command line, and how to mend it: one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<lexopt::Error> for UsageError {
    fn from(error: lexopt::Error) -> Self {
        use lexopt::Error::*;
        UsageError(match error {
            MissingValue { option: Some(option) } => format!("{option} needs a value"),
            UnexpectedOption(option) => format!("there is no option {option} here; --help lists them"),
            UnexpectedArgument(word) => {
                format!("{word:?} is one word too many; --help shows what is expected")
            }
            UnexpectedValue { option, .. } => format!("{option} takes no value"),
            other => other.to_string(),
        })
    }
}

type Result<T> = std::result::Result<T, UsageError>;

/// Reads a command line, without the name of the program.
pub fn parse(words: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Command> {
    let mut words = words.into_iter().map(Into::into).peekable();
    let named = words.next_if(|w: &OsString| !w.to_string_lossy().starts_with('-'));
    let name = named.as_ref().map_or("demo".into(), |w| w.to_string_lossy());
    let mut parser = Parser::from_args(words);
    match &*name {
        "demo" => demo(&mut parser),
        "bootstrap" => bootstrap(&mut parser),
        "source" => source(&mut parser),
        "watch" => watch(&mut parser),
        "peer" => peer(&mut parser),
        "channel" => channel(&mut parser),
        "ca" => ca(&mut parser),
        "overlay" => overlay(&mut parser),
        "help" => Ok(Command::Help(help::OVERVIEW)),
        other => Err(UsageError(format!(
            "there is no command {other:?}; there are demo, bootstrap, source, watch, peer, channel, ca, overlay and help"
        ))),
    }
}

fn demo(parser: &mut Parser) -> Result<Command> {
    let mut demo = Demo::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("viewers") => demo.viewers = number(parser, "--viewers", 1, 200)?,
            Arg::Long("capacity") => demo.capacity = number(parser, "--capacity", 1, 64)?,
            Arg::Long("profile") => demo.profile = profile(parser)?,
            Arg::Long("figure16") => demo.figure16 = Some(parser.value()?.into()),
            Arg::Long("pcap") => demo.pcap = Some(parser.value()?.into()),
            Arg::Long("json") => demo.json = Some(parser.value()?.into()),
            Arg::Long("insecure") => demo.protection = Protection::Insecure,
            Arg::Long("dtls") => demo.protection = Protection::Datagrams,
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(help::OVERVIEW)),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Demo(demo))
}

fn bootstrap(parser: &mut Parser) -> Result<Command> {
    let mut role = Role::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(help::BOOTSTRAP)),
            other => role_option(&mut role, other.into(), parser)?,
        }
    }
    Ok(Command::Bootstrap(role))
}

fn source(parser: &mut Parser) -> Result<Command> {
    let (mut role, mut bootstrap, mut name) = (Role::default(), None, None);
    let (mut keywords, mut input, mut capacity) = (Vec::new(), Input::TestCard, Capacity::Slots(2));
    let mut owner_key = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("bootstrap") => bootstrap = Some(address(parser, "--bootstrap")?),
            Arg::Long("channel") => name = Some(channel_name(parser, "--channel")?),
            Arg::Long("keyword") => keywords.push(channel_name(parser, "--keyword")?),
            Arg::Long("input") => input = place(&parser.value()?, "--input")?.into(),
            Arg::Long("owner-key") => owner_key = Some(parser.value()?.into()),
            Arg::Long("capacity") => capacity = Capacity::Slots(number(parser, "--capacity", 0, 1024)?),
            Arg::Long("uplink") => capacity = Capacity::Uplink(bitrate(parser, "--uplink")?),
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(help::SOURCE)),
            other => role_option(&mut role, other.into(), parser)?,
        }
    }
    Ok(Command::Peer(Peer {
        role,
        bootstrap: needed(bootstrap, NO_BOOTSTRAP)?,
        publishes: vec![Publish { channel: needed(name, NO_CHANNEL)?, keywords, input, owner_key }],
        watches: Vec::new(),
        capacity,
    }))
}

fn watch(parser: &mut Parser) -> Result<Command> {
    let (mut role, mut bootstrap, mut name) = (Role::default(), None, None);
    let (mut output, mut owner, mut capacity) = (None, None, Capacity::Slots(2));
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("bootstrap") => bootstrap = Some(address(parser, "--bootstrap")?),
            Arg::Long("channel") => name = Some(channel_name(parser, "--channel")?),
            Arg::Long("output") => output = Some(place(&parser.value()?, "--output")?.into()),
            Arg::Long("owner") => owner = Some(fingerprint(parser, "--owner")?),
            Arg::Long("capacity") => capacity = Capacity::Slots(number(parser, "--capacity", 0, 1024)?),
            Arg::Long("uplink") => capacity = Capacity::Uplink(bitrate(parser, "--uplink")?),
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(help::WATCH)),
            other => role_option(&mut role, other.into(), parser)?,
        }
    }
    Ok(Command::Peer(Peer {
        role,
        bootstrap: needed(bootstrap, NO_BOOTSTRAP)?,
        publishes: Vec::new(),
        watches: vec![View { channel: needed(name, NO_CHANNEL)?, output, owner }],
        capacity,
    }))
}

/// Any number of channels, published and watched.
fn peer(parser: &mut Parser) -> Result<Command> {
    let (mut role, mut bootstrap, mut capacity) = (Role::default(), None, Capacity::Slots(2));
    let (mut publishes, mut watches) = (Vec::new(), Vec::new());
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("bootstrap") => bootstrap = Some(address(parser, "--bootstrap")?),
            Arg::Long("publish") => {
                let (channel, input) = channel_and_place(parser, "--publish")?;
                let input = input.map_or(Input::TestCard, Input::from);
                publishes.push(Publish { channel, keywords: Vec::new(), input, owner_key: None });
            }
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
    let bootstrap = needed(bootstrap, NO_BOOTSTRAP)?;
    Ok(Command::Peer(Peer { role, bootstrap, publishes, watches, capacity }))
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

fn channel(parser: &mut Parser) -> Result<Command> {
    let (mut role, mut bootstrap, mut name) = (Role::default(), None, None);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("bootstrap") => bootstrap = Some(address(parser, "--bootstrap")?),
            Arg::Value(word) if name.is_none() => name = Some(channel_from(&word, "the channel")?),
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(help::CHANNEL)),
            other => role_option(&mut role, other.into(), parser)?,
        }
    }
    Ok(Command::Channel(Lookup {
        role,
        bootstrap: needed(bootstrap, NO_BOOTSTRAP)?,
        channel: needed(name, "say which channel: iptv channel 100 --bootstrap ADDR")?,
    }))
}

fn ca(parser: &mut Parser) -> Result<Command> {
    let word = match parser.next()? {
        Some(Arg::Value(word)) => word.to_string_lossy().into_owned(),
        Some(Arg::Long("help") | Arg::Short('h')) => return Ok(Command::Help(help::CA)),
        Some(other) => return Err(other.unexpected().into()),
        None => return Err(UsageError(NO_CA.into())),
    };
    if !["new", "node", "channel"].contains(&&*word) {
        return Err(UsageError(format!("ca cannot {word:?}; {NO_CA}")));
    }
    let (mut dir, mut days) = (None, if word == "new" { 3650 } else { 365 });
    let (mut overlay, mut name, mut node_ids, mut rsa) = (None, None, 1, false);
    let (mut channel, mut keywords) = (None, Vec::new());
    while let Some(arg) = parser.next()? {
        match (&*word, arg) {
            (_, Arg::Value(path)) if dir.is_none() => dir = Some(PathBuf::from(path)),
            (_, Arg::Long("days")) => days = number(parser, "--days", 1, 36_500)?,
            (_, Arg::Long("help") | Arg::Short('h')) => return Ok(Command::Help(help::CA)),
            ("new", Arg::Long("overlay")) => overlay = Some(text(parser, "--overlay")?),
            ("node", Arg::Long("name")) => name = Some(channel_name(parser, "--name")?),
            ("node", Arg::Long("node-ids")) => {
                node_ids = number(parser, "--node-ids", 1, p2piptv::tls::MAX_NODE_IDS as u64)?;
            }
            ("node", Arg::Long("rsa")) => rsa = true,
            ("channel", Arg::Long("channel")) => channel = Some(channel_name(parser, "--channel")?),
            ("channel", Arg::Long("keyword")) => keywords.push(channel_name(parser, "--keyword")?),
            (_, other) => return Err(other.unexpected().into()),
        }
    }
    let dir = needed(dir, "say where the authority lives, as in iptv ca new DIR --overlay tv.example")?;
    let make = match &*word {
        "new" => Make::Authority { overlay: needed(overlay, NO_OVERLAY)? },
        "node" => Make::Node { name: needed(name, NO_NAME)?, node_ids, rsa },
        _ => Make::Owner { channel: needed(channel, NO_CHANNEL)?, keywords },
    };
    Ok(Command::Ca(Ca { dir, days, make }))
}

const NO_CA: &str = "say what to make: iptv ca new, iptv ca node, or iptv ca channel";
const NO_OVERLAY: &str = "--overlay is missing: give the overlay's name, as in --overlay tv.example";
const NO_NAME: &str = "--name is missing: give the user's name, as in --name alice";
const NO_BOOTSTRAP: &str = "--bootstrap is missing: give the address that a bootstrap node printed, as in --bootstrap 127.0.0.1:6084";
const NO_CHANNEL: &str = "--channel is missing: give the channel's name, as in --channel 100";

fn needed<T>(value: Option<T>, otherwise: &str) -> Result<T> {
    value.ok_or_else(|| UsageError(otherwise.into()))
}

fn overlay(parser: &mut Parser) -> Result<Command> {
    let word = match parser.next()? {
        Some(Arg::Value(word)) => word.to_string_lossy().into_owned(),
        Some(Arg::Long("help") | Arg::Short('h')) => return Ok(Command::Help(help::OVERLAY)),
        Some(other) => return Err(other.unexpected().into()),
        None => return Err(UsageError(NO_OVERLAY_COMMAND.into())),
    };
    match word.as_str() {
        "new" => new_overlay(parser),
        "show" => show_overlay(parser),
        other => Err(UsageError(format!("overlay cannot {other:?}; {NO_OVERLAY_COMMAND}"))),
    }
}

fn new_overlay(parser: &mut Parser) -> Result<Command> {
    let (mut new, mut name, mut out) = (NewOverlay::default(), None, None);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(word) if name.is_none() => name = Some(word.to_string_lossy().into_owned()),
            Arg::Long("out") => out = Some(parser.value()?.into()),
            Arg::Long("follows") => new.follows = Some(parser.value()?.into()),
            Arg::Long("root-cert") => new.roots.push(parser.value()?.into()),
            Arg::Long("self-signed") => new.self_signed = Some(digest(parser)?),
            Arg::Long("bootstrap") => new.bootstrap.push(address(parser, "--bootstrap")?),
            Arg::Long("signer") => new.signers.push(parser.value()?.into()),
            Arg::Long("next-signer") => new.next_signers.push(parser.value()?.into()),
            Arg::Long("bad-node") => {
                let word = text(parser, "--bad-node")?;
                let no_id = || UsageError(format!("--bad-node: {word:?} is no Node-ID of 32 hex digits"));
                new.bad_nodes.push(NodeId::from_hex(&word).ok_or_else(no_id)?);
            }
            Arg::Long("max-message-size") => {
                let most = overlay::Config::MAX_MESSAGE_SIZE.into();
                new.max_message_size = Some(number(parser, "--max-message-size", 2048, most)?);
            }
            Arg::Long("plain") => (new.plain, new.dtls) = (true, false),
            Arg::Long("dtls") => (new.plain, new.dtls) = (false, true),
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(help::OVERLAY)),
            other => return Err(other.unexpected().into()),
        }
    }
    new.name = needed(name, "say which overlay: iptv overlay new tv.example --out overlay.relo")?;
    new.out = needed(out, "--out is missing: give the file to write, as in --out overlay.relo")?;
    Ok(Command::Overlay(Overlay::New(new)))
}

fn show_overlay(parser: &mut Parser) -> Result<Command> {
    let (mut file, mut follows) = (None, None);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(word) if file.is_none() => file = Some(PathBuf::from(word)),
            Arg::Long("follows") => follows = Some(parser.value()?.into()),
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(help::OVERLAY)),
            other => return Err(other.unexpected().into()),
        }
    }
    let file = needed(file, "say which file: iptv overlay show overlay.relo")?;
    Ok(Command::Overlay(Overlay::Show { file, follows }))
}

const NO_OVERLAY_COMMAND: &str = "say what to do: iptv overlay new, or iptv overlay show";

fn digest(parser: &mut Parser) -> Result<SelfSignedDigest> {
    match text(parser, "--self-signed")?.as_str() {
        "sha1" => Ok(SelfSignedDigest::Sha1),
        "sha256" => Ok(SelfSignedDigest::Sha256),
        other => Err(UsageError(format!("--self-signed: there is no {other:?}; there are sha256 and sha1"))),
    }
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
        "insecure" => role.protection = Protection::Insecure,
        "config" => role.config = Some(parser.value()?.into()),
        "identity" => role.identity = Some(parser.value()?.into()),
        "insecure-sip" => role.protection = Protection::InsecureSip,
        _ => return Err(Arg::Long(&name).unexpected().into()),
    }
    Ok(())
}

fn text(parser: &mut Parser, option: &str) -> Result<String> {
    let value = parser.value()?;
    value.string().map_err(|_| UsageError(format!("{option}: the value is not readable text")))
}

fn number<N: TryFrom<u64>>(parser: &mut Parser, option: &str, least: u64, most: u64) -> Result<N> {
    let word = text(parser, option)?;
    let in_range = word.parse().ok().filter(|n| (least..=most).contains(n));
    in_range
        .and_then(|n| N::try_from(n).ok())
        .ok_or_else(|| UsageError(format!("{option}: {word:?} is no number from {least} to {most}")))
}

fn profile(parser: &mut Parser) -> Result<ProfileName> {
    match text(parser, "--profile")?.as_str() {
        "default" => Ok(ProfileName::Default),
        "paper" => Ok(ProfileName::Paper),
        other => Err(UsageError(format!("--profile: there is no {other:?}; there are default and paper"))),
    }
}

fn fingerprint(parser: &mut Parser, option: &str) -> Result<KeyFingerprint> {
    let word = text(parser, option)?;
    KeyFingerprint::from_hex(&word).ok_or_else(|| {
        UsageError(format!(
            "{option}: {word:?} is no fingerprint; the source prints the 64 digits of its channel's"
        ))
    })
}

fn channel_name(parser: &mut Parser, option: &str) -> Result<ChannelName> {
    channel_from(&parser.value()?, option)
}

fn channel_from(word: &OsString, option: &str) -> Result<ChannelName> {
    let word = word.to_string_lossy();
    ChannelName::new(&word).ok_or_else(|| {
        let most = ChannelName::MAX_LEN;
        UsageError(format!("{option}: {word:?} is no name; use 1 to {most} letters, digits and -_.!~*'&=+$"))
    })
}

/// Somebody else's address.
fn address(parser: &mut Parser, option: &str) -> Result<SocketAddr> {
    address_from(&text(parser, option)?, option)
}

fn address_from(word: &str, option: &str) -> Result<SocketAddr> {
    let wrong = |advice: &str| UsageError(format!("{option}: {word:?} is no address; {advice}"));
    let address: SocketAddr = match word.parse() {
        Ok(address) => address,
        Err(_) if word.parse::<std::net::IpAddr>().is_ok() => {
            return Err(wrong("the port is missing, as in 192.0.2.7:6084 or [2001:db8::7]:6084"));
        }
        Err(_) => {
            return Err(wrong(
                "write IP:PORT, as in 192.0.2.7:6084 or [2001:db8::7]:6084 (names are not looked up)",
            ));
        }
    };
    match address.port() {
        0 => Err(wrong("nothing can be sent to port 0")),
        _ => Ok(address),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Command> {
        parse(line.split_whitespace())
    }

    fn error(line: &str) -> String {
        match read(line) {
            Err(error) => error.to_string(),
            Ok(command) => panic!("{line:?} was read as {command:?}"),
        }
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn without_words_the_demonstration_plays() {
        assert_eq!(read(""), Ok(Command::Demo(Demo::default())));
        assert_eq!(
            read("--viewers 9 --capacity 3 --profile paper --figure16 out --pcap a.pcapng --json r.json"),
            Ok(Command::Demo(Demo {
                viewers: 9,
                capacity: 3,
                profile: ProfileName::Paper,
                figure16: Some("out".into()),
                pcap: Some("a.pcapng".into()),
                json: Some("r.json".into()),
                protection: Protection::Secured,
            }))
        );
        let plain = Demo { protection: Protection::Insecure, ..Demo::default() };
        assert_eq!(read("--insecure"), Ok(Command::Demo(plain)));
        let datagrams = Demo { protection: Protection::Datagrams, ..Demo::default() };
        assert_eq!(read("--dtls"), Ok(Command::Demo(datagrams)));
    }

    #[test]
    fn a_source_needs_only_an_overlay_and_a_name() {
        let publish = Publish {
            channel: ChannelName::new("100").expect("a name"),
            keywords: Vec::new(),
            input: Input::TestCard,
            owner_key: None,
        };
        let source = Peer {
            role: Role::default(),
            bootstrap: at("127.0.0.1:6084"),
            publishes: vec![publish.clone()],
            watches: Vec::new(),
            capacity: Capacity::Slots(2),
        };
        assert_eq!(
            read("source --bootstrap 127.0.0.1:6084 --channel 100"),
            Ok(Command::Peer(source.clone()))
        );
        let full = Peer {
            role: Role {
                name: Some("alice".into()),
                listen: Some(at("127.0.0.2:1")),
                sip: Some(at("127.0.0.2:2")),
                media: Some(at("[::1]:0")),
                profile: ProfileName::Paper,
                protection: Protection::InsecureSip,
                config: Some("tv.relo".into()),
                identity: Some("alice.pem".into()),
            },
            publishes: vec![Publish {
                keywords: ["news", "live"].iter().filter_map(|k| ChannelName::new(k)).collect(),
                input: Input::Rtp(at("127.0.0.1:5004")),
                owner_key: Some("owner.pem".into()),
                ..publish
            }],
            capacity: Capacity::Uplink(20_000_000),
            ..source
        };
        let line = "source --bootstrap=127.0.0.1:6084 --channel 100 --keyword news --keyword live --uplink 20M \
                    --input rtp://127.0.0.1:5004 --name alice --listen 127.0.0.2:1 --sip 127.0.0.2:2 \
                    --media [::1]:0 --profile paper --owner-key owner.pem --insecure-sip \
                    --config tv.relo --identity alice.pem";
        assert_eq!(read(line), Ok(Command::Peer(full)));
    }

    #[test]
    fn media_comes_from_and_goes_to_files_pipes_and_rtp() {
        let input =
            |word: &str| match read(&format!("source --bootstrap 1.2.3.4:5 --channel 1 --input {word}")) {
                Ok(Command::Peer(peer)) => peer.publishes[0].input.clone(),
                other => panic!("{other:?}"),
            };
        assert_eq!(input("clip.ts"), Input::File("clip.ts".into()));
        assert_eq!(input("-"), Input::Pipe);
        let output =
            |word: &str| match read(&format!("watch --bootstrap 1.2.3.4:5 --channel 1 --output {word}")) {
                Ok(Command::Peer(peer)) => peer.watches[0].output.clone(),
                other => panic!("{other:?}"),
            };
        assert_eq!(output("out.ts"), Some(Output::File("out.ts".into())));
        assert_eq!(output("-"), Some(Output::Pipe));
        assert_eq!(output("rtp://[::1]:5004"), Some(Output::Rtp(at("[::1]:5004"))));
    }

    #[test]
    fn p9_a_peer_publishes_and_watches_several_channels() {
        let line =
            "peer --bootstrap 1.2.3.4:5 --publish 100 --publish 200=b.ts --watch 300=out.ts --watch 400";
        let Ok(Command::Peer(peer)) = read(line) else { panic!("{line}") };
        let inputs: Vec<_> = peer.publishes.iter().map(|p| (p.channel.as_str(), &p.input)).collect();
        assert_eq!(inputs, [("100", &Input::TestCard), ("200", &Input::File("b.ts".into()))]);
        let outputs: Vec<_> = peer.watches.iter().map(|w| (w.channel.as_str(), &w.output)).collect();
        assert_eq!(outputs, [("300", &Some(Output::File("out.ts".into()))), ("400", &None)]);
        assert_eq!(
            error("peer --bootstrap 1.2.3.4:5"),
            "say what to do: --publish NAME=INPUT, --watch NAME=OUTPUT, or several of them"
        );
    }

    #[test]
    fn an_uplink_is_counted_in_children() {
        assert_eq!(Capacity::Uplink(20_000_000).slots(8_000_000), 2);
        assert_eq!(Capacity::Uplink(800_000).slots(820_000), 0);
        assert_eq!(Capacity::Uplink(1_000_000_000_000).slots(0), u16::MAX);
        assert_eq!(Capacity::Slots(5).slots(8_000_000), 5);
        let uplink = |word: &str| read(&format!("watch --bootstrap 1.2.3.4:5 --channel 1 --uplink {word}"));
        for (word, bits) in [("20M", 20_000_000), ("1.5m", 1_500_000), ("800k", 800_000), ("64000", 64_000)] {
            let Ok(Command::Peer(watch)) = uplink(word) else { panic!("{word}") };
            assert_eq!(watch.capacity, Capacity::Uplink(bits));
        }
    }

    #[test]
    fn an_authority_is_asked_for_itself_for_nodes_and_for_owners() {
        let name = |name| ChannelName::new(name).expect("a name");
        let ca = |line: &str| match read(line) {
            Ok(Command::Ca(ca)) => (ca.dir.display().to_string(), ca.days, ca.make),
            other => panic!("{line}: {other:?}"),
        };
        let authority = Make::Authority { overlay: "tv.example".into() };
        assert_eq!(ca("ca new keys --overlay tv.example"), ("keys".into(), 3650, authority));
        let node = Make::Node { name: name("alice"), node_ids: 2, rsa: true };
        assert_eq!(ca("ca node keys --name alice --node-ids 2 --days 30 --rsa"), ("keys".into(), 30, node));
        let owner = Make::Owner { channel: name("100"), keywords: vec![name("news"), name("sport")] };
        let line = "ca channel keys --channel 100 --keyword news --keyword sport";
        assert_eq!(ca(line), ("keys".into(), 365, owner));
    }

    #[test]
    fn every_command_has_a_help_text() {
        for (line, text) in [
            ("--help", help::OVERVIEW),
            ("help", help::OVERVIEW),
            ("demo -h", help::OVERVIEW),
            ("bootstrap --help", help::BOOTSTRAP),
            ("source --help", help::SOURCE),
            ("watch --help", help::WATCH),
            ("peer --help", help::PEER),
            ("channel -h", help::CHANNEL),
            ("ca --help", help::CA),
            ("ca node -h", help::CA),
            ("overlay --help", help::OVERLAY),
            ("overlay new -h", help::OVERLAY),
        ] {
            assert_eq!(read(line), Ok(Command::Help(text)), "{line}");
            assert!(
                text.lines().all(|l| l.chars().count() <= 100),
                "{line}: a line is too long for a terminal"
            );
        }
    }

    #[test]
    fn help_texts_name_every_option_and_no_other() {
        let common = [
            "--name",
            "--listen",
            "--sip",
            "--media",
            "--profile",
            "--config",
            "--identity",
            "--insecure-sip",
            "--insecure",
            "--help",
        ];
        let demo = [
            "--viewers",
            "--capacity",
            "--profile",
            "--figure16",
            "--pcap",
            "--json",
            "--dtls",
            "--insecure",
            "--help",
        ];
        let source =
            ["--bootstrap", "--channel", "--keyword", "--input", "--owner-key", "--capacity", "--uplink"];
        let watch = ["--bootstrap", "--channel", "--output", "--owner", "--capacity", "--uplink"];
        let document = [
            "--out",
            "--follows",
            "--root-cert",
            "--self-signed",
            "--bootstrap",
            "--signer",
            "--next-signer",
            "--bad-node",
            "--max-message-size",
            "--plain",
            "--dtls",
            "--help",
        ];
        for (text, own, shared) in [
            (help::OVERVIEW, &demo[..], &[][..]),
            (help::BOOTSTRAP, &[], &common),
            (help::SOURCE, &source, &common),
            (help::WATCH, &watch, &common),
            (help::PEER, &["--bootstrap", "--publish", "--watch", "--capacity", "--uplink"], &common),
            (help::CHANNEL, &["--bootstrap"], &common),
            (
                help::CA,
                &["--overlay", "--name", "--node-ids", "--rsa", "--channel", "--keyword", "--days", "--help"],
                &[],
            ),
            (help::OVERLAY, &document, &[]),
        ] {
            let mut expected: Vec<_> = own.iter().chain(shared).copied().collect();
            let words = text.lines().filter_map(|l| l.strip_prefix("  --"));
            let mut named: Vec<_> =
                words.filter_map(|l| l.split_whitespace().next()).map(|w| format!("--{w}")).collect();
            named.sort();
            expected.sort();
            assert_eq!(named, expected);
        }
    }

    #[test]
    fn every_mistake_has_one_line_that_says_how_to_mend_it() {
        let source = "source --bootstrap 1.2.3.4:5 --channel 1";
        for (line, expected) in [
            (
                "play",
                r#"there is no command "play"; there are demo, bootstrap, source, watch, peer, channel, ca, overlay and help"#,
            ),
            ("--viewers", "--viewers needs a value"),
            ("--viewers six", r#"--viewers: "six" is no number from 1 to 200"#),
            ("--viewers 0", r#"--viewers: "0" is no number from 1 to 200"#),
            ("--capacity -1", r#"--capacity: "-1" is no number from 1 to 64"#),
            ("--profile fast", r#"--profile: there is no "fast"; there are default and paper"#),
            ("--colour", "there is no option --colour here; --help lists them"),
            ("bootstrap -x", "there is no option -x here; --help lists them"),
            ("bootstrap here", r#""here" is one word too many; --help shows what is expected"#),
            ("source --channel 100", NO_BOOTSTRAP),
            ("ca", NO_CA),
            (
                "ca renew DIR",
                r#"ca cannot "renew"; say what to make: iptv ca new, iptv ca node, or iptv ca channel"#,
            ),
            ("ca new", "say where the authority lives, as in iptv ca new DIR --overlay tv.example"),
            ("ca new DIR", NO_OVERLAY),
            ("ca new DIR --name alice", "there is no option --name here; --help lists them"),
            ("ca new DIR DIR", r#""DIR" is one word too many; --help shows what is expected"#),
            ("ca node DIR", NO_NAME),
            ("ca node DIR --node-ids 17", r#"--node-ids: "17" is no number from 1 to 16"#),
            ("ca node DIR --days 0", r#"--days: "0" is no number from 1 to 36500"#),
            ("ca channel DIR", NO_CHANNEL),
            ("watch --bootstrap 1.2.3.4:5", NO_CHANNEL),
            ("overlay", NO_OVERLAY_COMMAND),
            (
                "overlay burn",
                r#"overlay cannot "burn"; say what to do: iptv overlay new, or iptv overlay show"#,
            ),
            ("overlay new --out x", "say which overlay: iptv overlay new tv.example --out overlay.relo"),
            ("overlay new a", "--out is missing: give the file to write, as in --out overlay.relo"),
            (
                "overlay new a --self-signed md5",
                r#"--self-signed: there is no "md5"; there are sha256 and sha1"#,
            ),
            ("overlay new a --bad-node 12", r#"--bad-node: "12" is no Node-ID of 32 hex digits"#),
            ("overlay show", "say which file: iptv overlay show overlay.relo"),
            ("channel --bootstrap 1.2.3.4:5", "say which channel: iptv channel 100 --bootstrap ADDR"),
            (
                "watch --bootstrap tv.example",
                r#"--bootstrap: "tv.example" is no address; write IP:PORT, as in 192.0.2.7:6084 or [2001:db8::7]:6084 (names are not looked up)"#,
            ),
            (
                "watch --bootstrap 192.0.2.7",
                r#"--bootstrap: "192.0.2.7" is no address; the port is missing, as in 192.0.2.7:6084 or [2001:db8::7]:6084"#,
            ),
            (
                "watch --bootstrap 192.0.2.7:0",
                r#"--bootstrap: "192.0.2.7:0" is no address; nothing can be sent to port 0"#,
            ),
            (
                "bootstrap --listen 0.0.0.0:6084",
                r#"--listen: "0.0.0.0:6084" cannot be told to others; give the address by which they reach this machine"#,
            ),
            (
                "bootstrap --sip 5060",
                r#"--sip: "5060" is no address; write IP:PORT, as in 192.0.2.7:6084 (port 0 takes any that is free)"#,
            ),
            (
                "watch --bootstrap 1.2.3.4:5 --channel a@b",
                r#"--channel: "a@b" is no name; use 1 to 64 letters, digits and -_.!~*'&=+$"#,
            ),
            (
                &format!("{source} --uplink fast"),
                r#"--uplink: "fast" is no bitrate; write bits a second, as in 20M or 800k"#,
            ),
            (
                &format!("{source} --input http://x/y.ts"),
                "--input: http:// is not supported; give a file, rtp://IP:PORT, or - for a pipe",
            ),
            (
                &format!("{source} --input rtp://5004"),
                r#"--input: "5004" is no address; write IP:PORT, as in 192.0.2.7:6084 or [2001:db8::7]:6084 (names are not looked up)"#,
            ),
        ] {
            assert_eq!(error(line), expected, "{line}");
        }
    }
}
