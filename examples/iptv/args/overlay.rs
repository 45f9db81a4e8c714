//! `iptv overlay`: configuration documents to make or to show.

use super::words::{address, needed, number, text};
use super::{Command, Result, UsageError};
use crate::help;
use lexopt::{Arg, Parser};
use p2piptv::ids::NodeId;
use p2piptv::reload::configuration::SelfSignedDigest;
use p2piptv::reload::overlay;
use std::net::SocketAddr;
use std::path::PathBuf;

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

pub(super) fn read(parser: &mut Parser) -> Result<Command> {
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

pub(super) const NO_OVERLAY_COMMAND: &str = "say what to do: iptv overlay new, or iptv overlay show";

fn digest(parser: &mut Parser) -> Result<SelfSignedDigest> {
    match text(parser, "--self-signed")?.as_str() {
        "sha1" => Ok(SelfSignedDigest::Sha1),
        "sha256" => Ok(SelfSignedDigest::Sha256),
        other => Err(UsageError(format!("--self-signed: there is no {other:?}; there are sha256 and sha1"))),
    }
}
