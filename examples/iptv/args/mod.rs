//! What the user asks for: subcommands, options, and one clear line for every mistake.
//!
//! | file | what |
//! | --- | --- |
//! | `role` | bootstrap, source, watch, peer, channel |
//! | `ca`, `overlay` | the commands of these names |
//! | `words` | single words: numbers, names, addresses |

mod ca;
mod overlay;
mod role;
mod words;

pub use ca::{Ca, Make};
pub use overlay::{NewOverlay, Overlay};
pub use role::{Capacity, Input, Lookup, Output, Peer, Publish, Role, View};

use crate::help;
use lexopt::{Arg, Parser};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use words::{mode, number, profile};

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

/// Who elects relayers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ModeName {
    /// The source, in the whole tree.
    #[default]
    Managed,
    /// Every relayer, among its children.
    Delegated,
}

/// The demonstration in one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demo {
    /// How many viewers.
    pub viewers: usize,
    /// Children that every node can serve.
    pub capacity: u16,
    /// How many relayers are killed, one after the other.
    pub kills: usize,
    /// Which behaviour.
    pub profile: ProfileName,
    /// Who elects.
    pub mode: ModeName,
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
            kills: 1,
            profile: ProfileName::Default,
            mode: ModeName::Managed,
            figure16: None,
            pcap: None,
            json: None,
            protection: Protection::Secured,
        }
    }
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
        "bootstrap" => role::bootstrap(&mut parser),
        "source" => role::source(&mut parser),
        "watch" => role::watch(&mut parser),
        "peer" => role::peer(&mut parser),
        "channel" => role::channel(&mut parser),
        "ca" => ca::read(&mut parser),
        "overlay" => overlay::read(&mut parser),
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
            Arg::Long("kills") => demo.kills = number(parser, "--kills", 0, 100)?,
            Arg::Long("profile") => demo.profile = profile(parser)?,
            Arg::Long("mode") => demo.mode = mode(parser)?,
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

#[cfg(test)]
mod tests {
    use super::ca::{NO_CA, NO_NAME, NO_OVERLAY};
    use super::overlay::NO_OVERLAY_COMMAND;
    use super::words::{NO_BOOTSTRAP, NO_CHANNEL, NO_OWNER};
    use super::*;
    use p2piptv::ids::ChannelName;
    use std::net::SocketAddr;

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
            read(
                "--viewers 9 --capacity 3 --kills 5 --profile paper --mode delegated --figure16 out --pcap a.pcapng --json r.json"
            ),
            Ok(Command::Demo(Demo {
                viewers: 9,
                capacity: 3,
                kills: 5,
                profile: ProfileName::Paper,
                mode: ModeName::Delegated,
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
            standby: false,
        };
        let source = Peer {
            role: Role::default(),
            bootstrap: vec![at("127.0.0.1:6084")],
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
                mode: ModeName::Delegated,
                protection: Protection::InsecureSip,
                config: Some("tv.relo".into()),
                identity: Some("alice.pem".into()),
                tree_first: false,
            },
            publishes: vec![Publish {
                keywords: ["news", "live"].iter().filter_map(|k| ChannelName::new(k)).collect(),
                input: Input::Rtp(at("127.0.0.1:5004")),
                owner_key: Some("owner.pem".into()),
                standby: true,
                ..publish
            }],
            capacity: Capacity::Uplink(20_000_000),
            ..source
        };
        let line = "source --bootstrap=127.0.0.1:6084 --channel 100 --keyword news --keyword live --uplink 20M \
                    --input rtp://127.0.0.1:5004 --name alice --listen 127.0.0.2:1 --sip 127.0.0.2:2 \
                    --media [::1]:0 --profile paper --mode delegated --owner-key owner.pem --standby --insecure-sip \
                    --config tv.relo --identity alice.pem";
        assert_eq!(read(line), Ok(Command::Peer(full)));
    }

    #[test]
    fn a_configuration_document_tells_where_to_join_unless_the_command_line_does() {
        let bootstrap = |line: &str| match read(line) {
            Ok(Command::Peer(peer)) => peer.bootstrap,
            Ok(Command::Channel(lookup)) => lookup.bootstrap,
            other => panic!("{other:?}"),
        };
        assert_eq!(bootstrap("watch --channel 1 --config tv.relo"), []);
        assert_eq!(bootstrap("channel 1 --config tv.relo"), []);
        let given = "watch --channel 1 --config tv.relo --bootstrap 1.2.3.4:5 --bootstrap 1.2.3.4:6";
        assert_eq!(bootstrap(given), [at("1.2.3.4:5"), at("1.2.3.4:6")]);
    }

    #[test]
    fn a_viewer_looks_into_the_tree_first_when_told_to_and_nobody_else_can_be() {
        let tree_first = |line: &str| match read(line) {
            Ok(Command::Peer(peer)) => Ok(peer.role.tree_first),
            Ok(other) => panic!("{other:?}"),
            Err(UsageError(line)) => Err(line),
        };
        let owner = "1".repeat(64);
        let watch = "watch --bootstrap 1.2.3.4:5 --channel 1";
        assert_eq!(tree_first(watch), Ok(false));
        assert_eq!(tree_first(&format!("{watch} --tree-first --owner {owner}")), Ok(true));
        assert_eq!(tree_first(&format!("{watch} --tree-first --insecure")), Ok(true), "nobody has grants");
        assert_eq!(tree_first(&format!("{watch} --tree-first")), Err(NO_OWNER.into()));
        let source = tree_first("source --bootstrap 1.2.3.4:5 --channel 1 --tree-first");
        assert_eq!(source, Err("there is no option --tree-first here; --help lists them".into()));
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
        let line = "peer --bootstrap 1.2.3.4:5 --owner-key k.pem --publish 100 --publish 200=b.ts --watch 300=out.ts --watch 400";
        let Ok(Command::Peer(peer)) = read(line) else { panic!("{line}") };
        let inputs: Vec<_> = peer.publishes.iter().map(|p| (p.channel.as_str(), &p.input)).collect();
        assert_eq!(inputs, [("100", &Input::TestCard), ("200", &Input::File("b.ts".into()))]);
        assert!(
            peer.publishes.iter().all(|p| p.owner_key == Some("k.pem".into())),
            "one owner, whatever the order"
        );
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
            "--mode",
            "--config",
            "--identity",
            "--insecure-sip",
            "--insecure",
            "--help",
        ];
        let demo = [
            "--viewers",
            "--capacity",
            "--kills",
            "--profile",
            "--mode",
            "--figure16",
            "--pcap",
            "--json",
            "--dtls",
            "--insecure",
            "--help",
        ];
        let source = [
            "--bootstrap",
            "--channel",
            "--keyword",
            "--input",
            "--owner-key",
            "--standby",
            "--capacity",
            "--uplink",
        ];
        let watch =
            ["--bootstrap", "--channel", "--output", "--owner", "--tree-first", "--capacity", "--uplink"];
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
            (
                help::PEER,
                &["--bootstrap", "--publish", "--owner-key", "--watch", "--capacity", "--uplink"],
                &common,
            ),
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
            ("--mode fast", r#"--mode: there is no "fast"; there are managed and delegated"#),
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
