//! `iptv ca`: what an authority is to make.

use super::words::{NO_CHANNEL, channel_name, needed, number, text};
use super::{Command, Result, UsageError};
use crate::help;
use lexopt::{Arg, Parser};
use p2piptv::ids::ChannelName;
use std::path::PathBuf;

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

pub(super) fn read(parser: &mut Parser) -> Result<Command> {
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

pub(super) const NO_CA: &str = "say what to make: iptv ca new, iptv ca node, or iptv ca channel";

pub(super) const NO_OVERLAY: &str =
    "--overlay is missing: give the overlay's name, as in --overlay tv.example";

pub(super) const NO_NAME: &str = "--name is missing: give the user's name, as in --name alice";
