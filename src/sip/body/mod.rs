//! What INFO and BYE say about the tree: lines `NAME : value`, the paper's tables 2 and 3 and what stands beside them.
//!
//! | `IPTV INFO :` | from, to | other lines |
//! | --- | --- | --- |
//! | `Selected Relayer` | elector → candidate | `REGISTER : yes` or `no` (absent: yes), `GRANT : <base64>` |
//! | `Grant` | elector → relayer | `GRANT : <base64>`, when the one before is about to expire; with `NODE : <hex>` parent → child, for one that is below the child |
//! | `Relayer accepted` | candidate → elector | `FREE SLOTS : n` |
//! | `Relayer declined` | candidate → elector | `REASON : text` |
//! | `Full capacity`, `Child update` | relayer → elector | `CHILD PEER : 3, 4`, `CHILD CONTACT : <sip:..>;.., ...` in the same order, `FREE SLOTS : n` |
//! | `Alive` | relayer → elector | |
//! | `Subtree` | relayer → the parent that is its elector | `PEERS BELOW : n`, `FREE BELOW : n`, `OPEN CONTACT : <sip:..>;.., ...` |
//! | `Tree position` | parent → child | `DEPTH : n`, `PATH : <hex>, ...` from the source to the parent, `SLOT : ordinary` or `rescue`, `BACKUP CONTACT : <sip:..>;.., ...`, `ELECTOR : source` or `parent` (absent: source) |
//! | `Yield` | parent → child: somebody needs your slot | `BACKUP CONTACT : ...`, where another one is free |
//! | `Climb` | elector → relayer: there is room nearer to the source | `BACKUP CONTACT : ...`, where |
//! | `End of channel` | parent → child, in a BYE | `PROOF : <base64>`, the owner's word for it |
//! | `Leaving` | parent ↔ child, relayer → elector, in a BYE; parent → child, before: look for another parent | |
//!
//! `CHANNEL : name` may stand in each. Names are compared without case, order does not matter, unknown lines are passed
//! over, a known line stands there once. The names hold blanks, so this is neither MIME nor a SIP header.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `mod` | the values of bodies, and their limits |
//! | `words` | names of lines, and values of `IPTV INFO` |
//! | `read`, `write` | bytes into a body, a body into bytes |

mod read;
#[cfg(test)]
mod tests;
mod words;
mod write;

use super::msg::NameAddr;
use crate::ids::{ChannelName, NodeId};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// The media type of these bodies.
pub const CONTENT_TYPE: &str = "text/plain";
/// The Info-Package under which they travel between ends that know it (RFC 6086).
pub const INFO_PACKAGE: &str = "iptv-tree";

/// The most bytes of a body.
pub const MAX_BODY: usize = 16 * 1024;
/// The most lines.
pub const MAX_LINES: usize = 64;
/// The most children of a report.
pub const MAX_CHILDREN: usize = 128;
/// The most nodes of a path.
pub const MAX_PATH: usize = 64;
/// The most backup parents.
pub const MAX_BACKUPS: usize = 4;
/// The most providers that a subtree names.
pub const MAX_OPEN: usize = 8;
/// The most bytes of a grant, or of a proof, before they become base64.
pub const MAX_GRANT: usize = 6 * 1024;
/// The most bytes of a child's name or a reason.
pub const MAX_TEXT: usize = 64;

/// A body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IptvBody {
    /// The channel; the paper's own bodies do not name it.
    pub channel: Option<ChannelName>,
    /// What it says.
    pub info: IptvInfo,
}

/// What a body says: the value of its `IPTV INFO` line with the lines that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IptvInfo {
    /// You are offered to become a relayer.
    SelectedRelayer {
        /// Whether the relayer shall store itself under the channel's name.
        register: bool,
        /// The channel owner's leave to do so, opaque here.
        grant: Option<Bytes>,
    },
    /// Leave to be stored in the overlay, for a while longer or for the first time.
    Grant {
        /// The channel owner's leave, opaque here.
        grant: Bytes,
        /// For whom it is, where that is somebody below the one who is told.
        node: Option<NodeId>,
    },
    /// I take the offer.
    RelayerAccepted {
        /// My free slots.
        free_slots: Option<u16>,
    },
    /// I do not take it.
    RelayerDeclined {
        /// Why.
        reason: Option<String>,
    },
    /// My slots are taken; these are my children.
    FullCapacity(Report),
    /// My children have changed.
    ChildUpdate(Report),
    /// I am there.
    Alive,
    /// What is below my children.
    Subtree(Subtree),
    /// Where you are in the tree.
    TreePosition(Position),
    /// Somebody who can relay needs your slot; look for another one.
    Yield {
        /// Where one is free, at most [`MAX_BACKUPS`].
        to: Vec<NameAddr<'static>>,
    },
    /// There is room nearer to the source; move there.
    Climb {
        /// Where, at most [`MAX_BACKUPS`].
        to: Vec<NameAddr<'static>>,
    },
    /// The source has ended the channel.
    EndOfChannel {
        /// The channel owner's word for it, opaque here.
        proof: Option<Bytes>,
    },
    /// I go by plan; look for another parent.
    Leaving,
    /// Something that this version does not know.
    Other(String),
}

/// A relayer's children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order in which they are told.
    pub children: Vec<Child>,
    /// Its free slots.
    pub free_slots: Option<u16>,
}

/// A child of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The user part of its SIP URI.
    pub name: String,
    /// Where it is and what it offers; a list of names alone has none.
    pub contact: Option<NameAddr<'static>>,
}

/// What is below a relayer, summed up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subtree {
    /// Peers.
    pub peers: u32,
    /// Their free slots.
    pub free: u32,
    /// Those of them that have free slots, the nearest to the source first, at most [`MAX_OPEN`].
    pub open: Vec<NameAddr<'static>>,
}

/// A child's place in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The child's hops from the source.
    pub depth: u8,
    /// From the source to the parent.
    pub path: Vec<NodeId>,
    /// Which slot of the parent the child has.
    pub slot: Slot,
    /// Other parents, the best first.
    pub backups: Vec<NameAddr<'static>>,
    /// Who elects the relayers.
    pub elector: Elector,
}

/// Who elects the relayers of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Elector {
    /// The source does, for the whole tree.
    #[default]
    Source,
    /// Every parent does, for its children.
    Parent,
}

/// A slot of a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Slot {
    /// One of those that count as capacity.
    #[default]
    Ordinary,
    /// The one on top, for orphans.
    Rescue,
}

/// How the body came, which decides whether its last line may lack an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// The datagram ends where the body ends, so a line without an end is whole.
    Datagram,
    /// Content-Length alone ends the body. The paper's lengths count no line ends, and a list that is cut by such a length
    /// is a wrong name without an error; so every line but `IPTV INFO`, whose values are known words, must have an end.
    Stream,
}

/// Whether this can be told as a child's name: visible ASCII without the comma that separates names.
fn is_name(name: &str) -> bool {
    (1..=MAX_TEXT).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}
