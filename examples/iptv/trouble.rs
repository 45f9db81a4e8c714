//! What can go wrong while a role runs: one line each, what is wrong and how to mend it.

use crate::clip::ClipError;
use crate::director::Stuck;
use crate::ts::NotTs;
use p2piptv::ids::ChannelName;
use p2piptv::node::CommandError;
use p2piptv::reload::configuration::DocumentError;
use p2piptv::tls::IdentityError;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Something that ends the program.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// A file cannot be read.
    #[error("cannot read {}: {reason}", .path.display())]
    CannotRead {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {reason}", .path.display())]
    CannotWrite {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A key that does not serve.
    #[error("--owner-key {}: {reason} (name a file that does not exist to have a key made there)", .path.display())]
    OwnerKey {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file that cannot be played.
    #[error("cannot play {}: {reason}", .path.display())]
    BadClip {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: ClipError,
    },
    /// A pipe that brings something else.
    #[error("cannot play what comes through the pipe: {0}")]
    BadPipe(NotTs),
    /// A socket; the text names the address.
    #[error("{0}")]
    Address(String),
    /// Whoever read the output went away.
    #[error("the output is closed: {0}")]
    PlayerGone(String),
    /// Nobody says where to join.
    #[error("the overlay's document names no bootstrap node: give one with --bootstrap ADDR")]
    NoBootstrapKnown,
    /// The overlay cannot be joined.
    #[error(
        "no answer from {0}: is a bootstrap node running there? (start one: iptv bootstrap --listen {0})"
    )]
    NoBootstrap(SocketAddr),
    /// Nobody offers the channel.
    #[error(
        "nobody offers channel {0} (offer it: iptv source --bootstrap ADDR --channel {0}; or check the name)"
    )]
    NotOffered(ChannelName),
    /// The demonstration does not come on.
    #[error("{0} (a machine that is very busy may need fewer viewers: --viewers N)")]
    Stuck(#[from] Stuck),
    /// The user did not let it play to its end.
    #[error("stopped before the tree was mended (let it play for half a minute)")]
    Stopped,
    /// A command that the node refused.
    #[error("this cannot be done now: {0}")]
    Refused(#[from] CommandError),
    /// A file that is no configuration document.
    #[error("{}, line {line}: {element}: {reason}", .path.display())]
    BadDocument {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The element or attribute.
        element: &'static str,
        /// Why.
        reason: String,
    },
    /// A configuration document that cannot be made.
    #[error("this makes no document: {}: {}", .0.element, .0.kind)]
    NoDocument(DocumentError),
    /// A key that could not sign.
    #[error("cannot sign: {0}")]
    NotSigned(String),
    /// A file that should not be overwritten.
    #[error(
        "{} is there already: a name exists once in an overlay (take another, or move the file away to make it anew)",
        .0.display()
    )]
    NameTaken(PathBuf),
    /// A key, a certificate or an authority.
    #[error("{}: {reason}", .path.display())]
    Identity {
        /// The directory or the file.
        path: PathBuf,
        /// Why.
        reason: IdentityError,
    },
    /// The poll or the timer failed.
    #[error("the system refuses: {0}")]
    System(#[from] io::Error),
}

impl Trouble {
    /// The key of a channel's owner cannot be read, made or used.
    pub fn owner_key(file: Option<&Path>, error: &io::Error) -> Self {
        match file {
            Some(path) => Trouble::OwnerKey { path: path.into(), reason: error.to_string() },
            None => Trouble::Address(format!("cannot make a key: {error}")),
        }
    }

    /// A file cannot be read.
    pub fn cannot_read(path: &Path, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::NotFound => "there is no such file; check the path".into(),
            io::ErrorKind::PermissionDenied => "it may not be read; check its permissions".into(),
            io::ErrorKind::IsADirectory => "it is a directory; give a file".into(),
            _ => error.to_string(),
        };
        Trouble::CannotRead { path: path.into(), reason }
    }

    /// A file cannot be written.
    pub fn cannot_write(path: &Path, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::NotFound => "there is no such directory; make it first (mkdir -p)".into(),
            io::ErrorKind::PermissionDenied => "it may not be written; choose another place".into(),
            io::ErrorKind::IsADirectory => "it is a directory; give a file".into(),
            io::ErrorKind::AlreadyExists => "it is a file; give a directory".into(),
            _ => error.to_string(),
        };
        Trouble::CannotWrite { path: path.into(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_is_one_line_with_advice() {
        let channel = ChannelName::new("100").expect("a name");
        for (trouble, expected) in [
            (
                Trouble::cannot_read(Path::new("clip.ts"), &io::ErrorKind::NotFound.into()),
                "cannot read clip.ts: there is no such file; check the path",
            ),
            (
                Trouble::BadClip { path: "film.mp4".into(), reason: NotTs::NoSync.into() },
                "cannot play film.mp4: it is no MPEG transport stream \
                 (make one: ffmpeg -i FILE -c copy -f mpegts clip.ts)",
            ),
            (
                Trouble::NoBootstrap(SocketAddr::from(([127, 0, 0, 1], 6084))),
                "no answer from 127.0.0.1:6084: is a bootstrap node running there? \
                 (start one: iptv bootstrap --listen 127.0.0.1:6084)",
            ),
            (
                Trouble::NotOffered(channel),
                "nobody offers channel 100 \
                 (offer it: iptv source --bootstrap ADDR --channel 100; or check the name)",
            ),
            (
                Trouble::cannot_write(Path::new("out"), &io::ErrorKind::PermissionDenied.into()),
                "cannot write out: it may not be written; choose another place",
            ),
        ] {
            assert_eq!(trouble.to_string(), expected);
        }
    }
}
