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
//! | `End of channel` | parent → child, in a BYE | `PROOF : <base64>`, the owner's word for it |
//! | `Leaving` | parent ↔ child, relayer → elector, in a BYE; parent → child, before: look for another parent | |
//!
//! `CHANNEL : name` may stand in each. Names are compared without case, order does not matter, unknown lines are passed
//! over, a known line stands there once. The names hold blanks, so this is neither MIME nor a SIP header.

use super::msg::{BuildError, NameAddr};
use crate::ids::{ChannelName, NodeId};
use crate::wire::{DecodeError, DecodeErrorKind};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use core::fmt::{Display, Write as _};

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

/// The names of the known lines.
mod line {
    pub(super) const INFO: &str = "IPTV INFO";
    pub(super) const CHANNEL: &str = "CHANNEL";
    pub(super) const REGISTER: &str = "REGISTER";
    pub(super) const GRANT: &str = "GRANT";
    pub(super) const NODE: &str = "NODE";
    pub(super) const FREE_SLOTS: &str = "FREE SLOTS";
    pub(super) const REASON: &str = "REASON";
    pub(super) const CHILD_PEER: &str = "CHILD PEER";
    pub(super) const CHILD_CONTACT: &str = "CHILD CONTACT";
    pub(super) const DEPTH: &str = "DEPTH";
    pub(super) const PATH: &str = "PATH";
    pub(super) const SLOT: &str = "SLOT";
    pub(super) const BACKUP_CONTACT: &str = "BACKUP CONTACT";
    pub(super) const ELECTOR: &str = "ELECTOR";
    pub(super) const PEERS_BELOW: &str = "PEERS BELOW";
    pub(super) const FREE_BELOW: &str = "FREE BELOW";
    pub(super) const OPEN_CONTACT: &str = "OPEN CONTACT";
    pub(super) const PROOF: &str = "PROOF";
    pub(super) const ALL: [&str; 18] = [
        INFO,
        CHANNEL,
        REGISTER,
        GRANT,
        NODE,
        FREE_SLOTS,
        REASON,
        CHILD_PEER,
        CHILD_CONTACT,
        DEPTH,
        PATH,
        SLOT,
        BACKUP_CONTACT,
        ELECTOR,
        PEERS_BELOW,
        FREE_BELOW,
        OPEN_CONTACT,
        PROOF,
    ];
}

/// The values of `IPTV INFO`.
mod info {
    pub(super) const SELECTED_RELAYER: &str = "Selected Relayer";
    pub(super) const GRANT: &str = "Grant";
    pub(super) const RELAYER_ACCEPTED: &str = "Relayer accepted";
    pub(super) const RELAYER_DECLINED: &str = "Relayer declined";
    pub(super) const FULL_CAPACITY: &str = "Full capacity";
    pub(super) const CHILD_UPDATE: &str = "Child update";
    pub(super) const ALIVE: &str = "Alive";
    pub(super) const SUBTREE: &str = "Subtree";
    pub(super) const TREE_POSITION: &str = "Tree position";
    pub(super) const YIELD: &str = "Yield";
    pub(super) const END_OF_CHANNEL: &str = "End of channel";
    pub(super) const LEAVING: &str = "Leaving";
    pub(super) const ALL: [&str; 12] = [
        SELECTED_RELAYER,
        GRANT,
        RELAYER_ACCEPTED,
        RELAYER_DECLINED,
        FULL_CAPACITY,
        CHILD_UPDATE,
        ALIVE,
        SUBTREE,
        TREE_POSITION,
        YIELD,
        END_OF_CHANNEL,
        LEAVING,
    ];
}

impl IptvInfo {
    /// The value of the `IPTV INFO` line.
    pub fn as_str(&self) -> &str {
        match self {
            IptvInfo::SelectedRelayer { .. } => info::SELECTED_RELAYER,
            IptvInfo::Grant { .. } => info::GRANT,
            IptvInfo::RelayerAccepted { .. } => info::RELAYER_ACCEPTED,
            IptvInfo::RelayerDeclined { .. } => info::RELAYER_DECLINED,
            IptvInfo::FullCapacity(_) => info::FULL_CAPACITY,
            IptvInfo::ChildUpdate(_) => info::CHILD_UPDATE,
            IptvInfo::Alive => info::ALIVE,
            IptvInfo::Subtree(_) => info::SUBTREE,
            IptvInfo::TreePosition(_) => info::TREE_POSITION,
            IptvInfo::Yield { .. } => info::YIELD,
            IptvInfo::EndOfChannel { .. } => info::END_OF_CHANNEL,
            IptvInfo::Leaving => info::LEAVING,
            IptvInfo::Other(text) => text,
        }
    }
}

/// One known line.
#[derive(Clone, Copy, Debug)]
struct Field<'a> {
    name: &'static str,
    value: &'a str,
    at: usize,
}

impl<'a> Field<'a> {
    fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { kind, field: self.name, offset: self.at }
    }

    /// A decimal number without a sign.
    fn number<T: TryFrom<u32>>(&self) -> Result<T, DecodeError> {
        let wrong = self.error(DecodeErrorKind::InvalidValue);
        let digits = !self.value.is_empty() && self.value.bytes().all(|b| b.is_ascii_digit());
        let number: u32 = digits.then(|| self.value.parse().ok()).flatten().ok_or(wrong)?;
        T::try_from(number).map_err(|_| wrong)
    }

    /// Bytes in base64.
    fn bytes(&self) -> Result<Bytes, DecodeError> {
        if self.value.len() > MAX_GRANT.div_ceil(3) * 4 {
            return Err(self.error(DecodeErrorKind::TooLong));
        }
        let bytes = BASE64.decode(self.value).map_err(|_| self.error(DecodeErrorKind::InvalidValue))?;
        Ok(Bytes::from(bytes))
    }

    /// A Node-ID.
    fn node(&self) -> Result<NodeId, DecodeError> {
        NodeId::from_hex(self.value).ok_or(self.error(DecodeErrorKind::InvalidValue))
    }

    /// One of two words, which becomes a truth.
    fn either(&self, yes: &str, no: &str) -> Result<bool, DecodeError> {
        match self.value {
            v if v.eq_ignore_ascii_case(yes) => Ok(true),
            v if v.eq_ignore_ascii_case(no) => Ok(false),
            _ => Err(self.error(DecodeErrorKind::InvalidValue)),
        }
    }

    /// What stands between commas; nothing at all is an empty list.
    fn items<T>(&self, limit: usize, read: impl Fn(&'a str) -> Option<T>) -> Result<Vec<T>, DecodeError> {
        let mut items = Vec::new();
        for item in self.value.split(',').filter(|_| !self.value.is_empty()) {
            if items.len() == limit {
                return Err(self.error(DecodeErrorKind::TooLong));
            }
            items.push(read(item.trim_ascii()).ok_or(self.error(DecodeErrorKind::InvalidValue))?);
        }
        Ok(items)
    }

    /// Addresses between commas (a comma inside quotes or brackets separates nothing).
    fn contacts(&self, limit: usize) -> Result<Vec<NameAddr<'static>>, DecodeError> {
        let (contacts, rest) = NameAddr::list(self.value, limit);
        match rest {
            "" => Ok(contacts.into_iter().map(NameAddr::into_owned).collect()),
            _ if contacts.len() == limit => Err(self.error(DecodeErrorKind::TooLong)),
            _ => Err(self.error(DecodeErrorKind::InvalidValue)),
        }
    }
}

/// The known lines of a body.
struct Fields<'a> {
    known: heapless::Vec<Field<'a>, { line::ALL.len() }>,
    end: usize,
}

impl<'a> Fields<'a> {
    fn read(body: &'a [u8], carrier: Carrier) -> Result<Self, DecodeError> {
        let wrong = |kind, offset| DecodeError { kind, field: "line", offset };
        if body.len() > MAX_BODY {
            return Err(wrong(DecodeErrorKind::TooLong, MAX_BODY));
        }
        let mut fields = Fields { known: heapless::Vec::new(), end: body.len() };
        let mut at = 0;
        for (count, whole) in body.split_inclusive(|&b| b == b'\n').enumerate() {
            let (start, ended) = (at, whole.ends_with(b"\n"));
            at += whole.len();
            let text = whole.strip_suffix(b"\n").unwrap_or(whole);
            let text = text.strip_suffix(b"\r").filter(|_| ended).unwrap_or(text);
            let text = core::str::from_utf8(text).map_err(|_| wrong(DecodeErrorKind::InvalidValue, start))?;
            if count == MAX_LINES {
                return Err(wrong(DecodeErrorKind::TooLong, start));
            }
            if text.chars().any(|c| c.is_control() && c != '\t') {
                return Err(wrong(DecodeErrorKind::InvalidValue, start));
            }
            let Some((name, value)) = text.split_once(':') else { continue };
            let Some(name) = line::ALL.into_iter().find(|n| n.eq_ignore_ascii_case(name.trim_ascii())) else {
                continue;
            };
            let field = Field { name, value: value.trim_ascii(), at: start };
            if fields.get(name).is_some() {
                return Err(field.error(DecodeErrorKind::InvalidValue));
            }
            if !ended && carrier == Carrier::Stream && name != line::INFO {
                return Err(DecodeError { offset: at, ..field.error(DecodeErrorKind::Truncated) });
            }
            fields.known.push(field).map_err(|f| f.error(DecodeErrorKind::TooLong))?;
        }
        Ok(fields)
    }

    fn get(&self, name: &str) -> Option<&Field<'a>> {
        self.known.iter().find(|field| field.name == name)
    }

    fn need(&self, name: &'static str) -> Result<&Field<'a>, DecodeError> {
        let (kind, offset) = (DecodeErrorKind::Truncated, self.end);
        self.get(name).ok_or(DecodeError { kind, field: name, offset })
    }

    fn body(&self) -> Result<IptvBody, DecodeError> {
        let info = self.need(line::INFO)?;
        let free_slots = || self.get(line::FREE_SLOTS).map(Field::number).transpose();
        let channel = match self.get(line::CHANNEL) {
            Some(f) => Some(ChannelName::new(f.value).ok_or(f.error(DecodeErrorKind::InvalidValue))?),
            None => None,
        };
        let known = info::ALL.into_iter().find(|known| known.eq_ignore_ascii_case(info.value));
        let info = match known {
            Some(info::SELECTED_RELAYER) => IptvInfo::SelectedRelayer {
                register: self.get(line::REGISTER).map_or(Ok(true), |f| f.either("yes", "no"))?,
                grant: self.get(line::GRANT).map(Field::bytes).transpose()?,
            },
            Some(info::GRANT) => IptvInfo::Grant {
                grant: self.need(line::GRANT)?.bytes()?,
                node: self.get(line::NODE).map(Field::node).transpose()?,
            },
            Some(info::RELAYER_ACCEPTED) => IptvInfo::RelayerAccepted { free_slots: free_slots()? },
            Some(info::RELAYER_DECLINED) => IptvInfo::RelayerDeclined { reason: self.reason()? },
            Some(info::FULL_CAPACITY) => IptvInfo::FullCapacity(self.report()?),
            Some(info::CHILD_UPDATE) => IptvInfo::ChildUpdate(self.report()?),
            Some(info::ALIVE) => IptvInfo::Alive,
            Some(info::SUBTREE) => IptvInfo::Subtree(self.subtree()?),
            Some(info::TREE_POSITION) => IptvInfo::TreePosition(self.position()?),
            Some(info::YIELD) => IptvInfo::Yield { to: self.backups()? },
            Some(info::END_OF_CHANNEL) => {
                IptvInfo::EndOfChannel { proof: self.get(line::PROOF).map(Field::bytes).transpose()? }
            }
            Some(info::LEAVING) => IptvInfo::Leaving,
            _ if info.value.len() > MAX_TEXT => return Err(info.error(DecodeErrorKind::TooLong)),
            _ => IptvInfo::Other(info.value.to_string()),
        };
        Ok(IptvBody { channel, info })
    }

    fn reason(&self) -> Result<Option<String>, DecodeError> {
        let Some(field) = self.get(line::REASON) else { return Ok(None) };
        match field.value.len() <= MAX_TEXT {
            true => Ok(Some(field.value.to_string())),
            false => Err(field.error(DecodeErrorKind::TooLong)),
        }
    }

    /// Names and contacts tell the same children in the same order; the names may stand alone, as in the paper.
    fn report(&self) -> Result<Report, DecodeError> {
        let names = self.need(line::CHILD_PEER)?;
        let read = |name: &str| is_name(name).then(|| Child { name: name.to_string(), contact: None });
        let mut children = names.items(MAX_CHILDREN, read)?;
        if let Some(field) = self.get(line::CHILD_CONTACT) {
            let contacts = field.contacts(MAX_CHILDREN)?;
            if contacts.len() != children.len() {
                return Err(field.error(DecodeErrorKind::BadLength));
            }
            children.iter_mut().zip(contacts).for_each(|(child, contact)| child.contact = Some(contact));
        }
        let free_slots = self.get(line::FREE_SLOTS).map(Field::number).transpose()?;
        Ok(Report { children, free_slots })
    }

    fn subtree(&self) -> Result<Subtree, DecodeError> {
        let open = self.get(line::OPEN_CONTACT).map(|f| f.contacts(MAX_OPEN)).transpose()?;
        Ok(Subtree {
            peers: self.need(line::PEERS_BELOW)?.number()?,
            free: self.need(line::FREE_BELOW)?.number()?,
            open: open.unwrap_or_default(),
        })
    }

    fn position(&self) -> Result<Position, DecodeError> {
        let delegated = self.get(line::ELECTOR).map_or(Ok(false), |f| f.either("parent", "source"))?;
        let rescue = self.get(line::SLOT).map_or(Ok(false), |f| f.either("rescue", "ordinary"))?;
        Ok(Position {
            depth: self.need(line::DEPTH)?.number()?,
            path: self.need(line::PATH)?.items(MAX_PATH, NodeId::from_hex)?,
            slot: if rescue { Slot::Rescue } else { Slot::Ordinary },
            backups: self.backups()?,
            elector: if delegated { Elector::Parent } else { Elector::Source },
        })
    }

    fn backups(&self) -> Result<Vec<NameAddr<'static>>, DecodeError> {
        let backups = self.get(line::BACKUP_CONTACT).map(|f| f.contacts(MAX_BACKUPS)).transpose()?;
        Ok(backups.unwrap_or_default())
    }
}

/// Whether this can be told as a child's name: visible ASCII without the comma that separates names.
fn is_name(name: &str) -> bool {
    (1..=MAX_TEXT).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

impl IptvBody {
    /// Reads a body.
    pub fn parse(body: &[u8], carrier: Carrier) -> Result<Self, DecodeError> {
        Fields::read(body, carrier)?.body()
    }

    /// The bytes, every line with its CRLF. Refused: names, reasons and words that would not be read back, and what is
    /// over a limit of this module.
    pub fn to_bytes(&self) -> Result<Bytes, BuildError> {
        let mut lines = Lines::default();
        match &self.info {
            // What would be read back as something else, or not at all.
            IptvInfo::Other(text)
                if !is_text(text) || info::ALL.iter().any(|k| k.eq_ignore_ascii_case(text)) =>
            {
                lines.refuse(line::INFO);
            }
            known => lines.line(line::INFO, known.as_str()),
        }
        if let Some(channel) = &self.channel {
            lines.line(line::CHANNEL, channel);
        }
        match &self.info {
            IptvInfo::SelectedRelayer { register, grant } => {
                if !register {
                    lines.line(line::REGISTER, "no");
                }
                grant.iter().for_each(|grant| lines.bytes(line::GRANT, grant));
            }
            IptvInfo::Grant { grant, node } => {
                lines.bytes(line::GRANT, grant);
                node.iter().for_each(|node| lines.line(line::NODE, node));
            }
            IptvInfo::RelayerAccepted { free_slots } => lines.free_slots(*free_slots),
            IptvInfo::RelayerDeclined { reason: Some(reason) } if is_text(reason) => {
                lines.line(line::REASON, reason);
            }
            IptvInfo::RelayerDeclined { reason: Some(_) } => lines.refuse(line::REASON),
            IptvInfo::FullCapacity(report) | IptvInfo::ChildUpdate(report) => lines.report(report),
            IptvInfo::TreePosition(position) => lines.position(position),
            IptvInfo::Subtree(subtree) => lines.subtree(subtree),
            IptvInfo::EndOfChannel { proof } => {
                proof.iter().for_each(|proof| lines.bytes(line::PROOF, proof));
            }
            _ => {}
        }
        match lines.error {
            Some(error) => Err(error),
            None if lines.out.len() > MAX_BODY => Err(BuildError { field: "message-body" }),
            None => Ok(Bytes::from(lines.out.into_bytes())),
        }
    }
}

/// Text that is read back as it was written.
fn is_text(text: &str) -> bool {
    text.len() <= MAX_TEXT && text.trim_ascii() == text && !text.chars().any(char::is_control)
}

/// The lines of a body that is being written. The first error is kept until the end.
#[derive(Default)]
struct Lines {
    out: String,
    error: Option<BuildError>,
}

impl Lines {
    fn refuse(&mut self, field: &'static str) {
        self.error.get_or_insert(BuildError { field });
    }

    fn line(&mut self, name: &str, value: impl Display) {
        // Writing to a String never fails.
        let _ = write!(self.out, "{name} : {value}\r\n");
    }

    fn list<T: Display>(
        &mut self,
        name: &'static str,
        items: impl ExactSizeIterator<Item = T>,
        limit: usize,
    ) {
        if items.len() > limit {
            self.refuse(name);
        }
        let mut list = String::new();
        for item in items {
            let comma = if list.is_empty() { "" } else { ", " };
            let _ = write!(list, "{comma}{item}");
        }
        self.line(name, list);
    }

    fn bytes(&mut self, name: &'static str, bytes: &Bytes) {
        if bytes.len() > MAX_GRANT {
            self.refuse(name);
        }
        self.line(name, BASE64.encode(bytes));
    }

    fn free_slots(&mut self, free_slots: Option<u16>) {
        if let Some(n) = free_slots {
            self.line(line::FREE_SLOTS, n);
        }
    }

    fn report(&mut self, report: &Report) {
        if !report.children.iter().all(|child| is_name(&child.name)) {
            self.refuse(line::CHILD_PEER);
        }
        self.list(line::CHILD_PEER, report.children.iter().map(|c| &c.name), MAX_CHILDREN);
        // The contacts stand in the order of the names: they are told for all children or for none.
        let contacts: Vec<_> = report.children.iter().filter_map(|c| c.contact.as_ref()).collect();
        match contacts.len() {
            0 => {}
            n if n == report.children.len() => {
                self.list(line::CHILD_CONTACT, contacts.into_iter(), MAX_CHILDREN);
            }
            _ => self.refuse(line::CHILD_CONTACT),
        }
        self.free_slots(report.free_slots);
    }

    fn position(&mut self, position: &Position) {
        self.line(line::DEPTH, position.depth);
        self.list(line::PATH, position.path.iter(), MAX_PATH);
        self.line(
            line::SLOT,
            match position.slot {
                Slot::Ordinary => "ordinary",
                Slot::Rescue => "rescue",
            },
        );
        if !position.backups.is_empty() {
            self.list(line::BACKUP_CONTACT, position.backups.iter(), MAX_BACKUPS);
        }
        if position.elector == Elector::Parent {
            self.line(line::ELECTOR, "parent");
        }
    }

    fn subtree(&mut self, subtree: &Subtree) {
        self.line(line::PEERS_BELOW, subtree.peers);
        self.line(line::FREE_BELOW, subtree.free);
        if !subtree.open.is_empty() {
            self.list(line::OPEN_CONTACT, subtree.open.iter(), MAX_OPEN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const SELECTED: &[u8] = b"IPTV INFO : Selected Relayer";

    fn names(body: &IptvBody) -> Vec<&str> {
        match &body.info {
            IptvInfo::FullCapacity(report) => report.children.iter().map(|c| &c.name[..]).collect(),
            _ => panic!("{body:?}"),
        }
    }

    #[test]
    fn p12_the_body_of_table_2_is_28_bytes_without_a_line_end() {
        assert_eq!(SELECTED.len(), 28);
        let body =
            IptvBody { channel: None, info: IptvInfo::SelectedRelayer { register: true, grant: None } };
        for carrier in [Carrier::Datagram, Carrier::Stream] {
            assert_eq!(IptvBody::parse(SELECTED, carrier), Ok(body.clone()));
            assert_eq!(IptvBody::parse(b"IPTV INFO : Selected Relayer\n", carrier), Ok(body.clone()));
            assert_eq!(IptvBody::parse(b"IPTV INFO : Selected Relayer \r\n", carrier), Ok(body.clone()));
        }
        assert_eq!(body.to_bytes().unwrap(), "IPTV INFO : Selected Relayer\r\n");
    }

    #[test]
    fn p16_the_body_of_table_3_with_each_of_its_true_lengths() {
        let between_lf = &b"IPTV INFO : Full capacity\nCHILD PEER : Peer1, Peer2"[..];
        let between_crlf = b"IPTV INFO : Full capacity\r\nCHILD PEER : Peer1, Peer2";
        let after_crlf = b"IPTV INFO : Full capacity\r\nCHILD PEER : Peer1, Peer2\r\n";
        assert_eq!((between_lf.len(), between_crlf.len(), after_crlf.len()), (51, 52, 54));
        for bytes in [between_lf, between_crlf, after_crlf] {
            assert_eq!(names(&IptvBody::parse(bytes, Carrier::Datagram).unwrap()), ["Peer1", "Peer2"]);
        }
        assert_eq!(names(&IptvBody::parse(after_crlf, Carrier::Stream).unwrap()), ["Peer1", "Peer2"]);
        assert_eq!(
            IptvBody::parse(after_crlf, Carrier::Stream).unwrap().to_bytes().unwrap(),
            &after_crlf[..]
        );
    }

    #[test]
    fn p16_a_list_that_the_printed_length_of_50_cuts_is_refused_on_a_stream() {
        let cut = &b"IPTV INFO : Full capacity\r\nCHILD PEER : Peer1, Peer2\r\n"[..50];
        assert!(cut.ends_with(b"Peer1, Pee"));
        let e = IptvBody::parse(cut, Carrier::Stream).unwrap_err();
        assert_eq!((e.kind, e.field, e.offset), (DecodeErrorKind::Truncated, "CHILD PEER", 50));
    }

    #[test]
    fn a_tree_position_is_these_bytes() {
        let uri = |text| super::super::msg::SipUri::new(text).unwrap();
        let body = IptvBody {
            channel: ChannelName::new("100"),
            info: IptvInfo::TreePosition(Position {
                depth: 2,
                path: [NodeId::from_u128(1), NodeId::from_u128(2)].into(),
                slot: Slot::Rescue,
                backups: [NameAddr::new(uri("sip:source@127.0.0.1:5060")).with_depth(0)].into(),
                elector: Elector::Parent,
            }),
        };
        let text = "IPTV INFO : Tree position\r\nCHANNEL : 100\r\nDEPTH : 2\r\n\
                    PATH : 00000000000000000000000000000001, 00000000000000000000000000000002\r\n\
                    SLOT : rescue\r\nBACKUP CONTACT : <sip:source@127.0.0.1:5060>;depth=0\r\n\
                    ELECTOR : parent\r\n";
        assert_eq!(body.to_bytes().unwrap(), text);
        assert_eq!(IptvBody::parse(text.as_bytes(), Carrier::Stream), Ok(body));
    }

    #[test]
    fn q9_a_subtree_is_these_bytes_and_names_no_more_than_its_limit() {
        let open = |n| -> Vec<_> {
            let uri = super::super::msg::SipUri::new("sip:3@127.0.0.1:5064").unwrap();
            (0..n).map(|_| NameAddr::new(uri.clone()).with_slots(2).with_depth(3)).collect()
        };
        let body = |n| IptvBody {
            channel: None,
            info: IptvInfo::Subtree(Subtree { peers: 17, free: 9, open: open(n) }),
        };
        let text = "IPTV INFO : Subtree\r\nPEERS BELOW : 17\r\nFREE BELOW : 9\r\n\
                    OPEN CONTACT : <sip:3@127.0.0.1:5064>;slots=2;depth=3\r\n";
        assert_eq!(body(1).to_bytes().unwrap(), text);
        for n in [0, 1, MAX_OPEN] {
            assert_eq!(IptvBody::parse(&body(n).to_bytes().unwrap(), Carrier::Stream), Ok(body(n)));
        }
        assert_eq!(body(MAX_OPEN + 1).to_bytes().unwrap_err().field, "OPEN CONTACT");
        let many = ["<sip:3@127.0.0.1:5064>"; MAX_OPEN + 1].join(", ");
        let text = alloc::format!(
            "IPTV INFO : Subtree\r\nPEERS BELOW : 1\r\nFREE BELOW : 1\r\nOPEN CONTACT : {many}\r\n"
        );
        let e = IptvBody::parse(text.as_bytes(), Carrier::Stream).unwrap_err();
        assert_eq!((e.kind, e.field), (DecodeErrorKind::TooLong, "OPEN CONTACT"));
        let e = IptvBody::parse(b"IPTV INFO : Subtree\r\nPEERS BELOW : 1\r\n", Carrier::Stream).unwrap_err();
        assert_eq!((e.kind, e.field), (DecodeErrorKind::Truncated, "FREE BELOW"));
    }

    #[test]
    fn q4_a_grant_for_somebody_below_is_these_bytes() {
        let grant = |node| IptvBody { channel: None, info: IptvInfo::Grant { grant: "abc".into(), node } };
        let text = "IPTV INFO : Grant\r\nGRANT : YWJj\r\n";
        assert_eq!(grant(None).to_bytes().unwrap(), text);
        assert_eq!(IptvBody::parse(text.as_bytes(), Carrier::Stream), Ok(grant(None)));
        let text = [text, "NODE : 00000000000000000000000000000007\r\n"].concat();
        let below = grant(Some(NodeId::from_u128(7)));
        assert_eq!(below.to_bytes().unwrap(), text);
        assert_eq!(IptvBody::parse(text.as_bytes(), Carrier::Stream), Ok(below));
        let e = IptvBody::parse(text.replace("07", "0g").as_bytes(), Carrier::Stream).unwrap_err();
        assert_eq!((e.kind, e.field), (DecodeErrorKind::InvalidValue, "NODE"));
    }

    #[test]
    fn q4_the_owners_word_for_the_end_is_these_bytes_and_may_be_missing() {
        let end = |proof| IptvBody { channel: None, info: IptvInfo::EndOfChannel { proof } };
        for (text, proof) in [
            ("IPTV INFO : End of channel\r\n", None),
            ("IPTV INFO : End of channel\r\nPROOF : YWJj\r\n", Some("abc".into())),
        ] {
            assert_eq!(end(proof.clone()).to_bytes().unwrap(), text);
            assert_eq!(IptvBody::parse(text.as_bytes(), Carrier::Stream), Ok(end(proof)));
        }
        assert!(end(Some(Bytes::from(vec![0; MAX_GRANT + 1]))).to_bytes().is_err());
        let e = IptvBody::parse(b"IPTV INFO : End of channel\r\nPROOF : -\r\n", Carrier::Stream).unwrap_err();
        assert_eq!((e.kind, e.field), (DecodeErrorKind::InvalidValue, "PROOF"));
    }

    #[test]
    fn q19_contacts_go_with_the_names_in_their_order() {
        let text =
            b"CHILD CONTACT : \"a, b\" <sip:3@127.0.0.1:5064>;slots=2, <sip:4@127.0.0.1:5065>\r\nX : y\r\n\
                     free slots:0\r\nIPTV INFO:child update\r\nCHILD PEER : 3, 4\r\nno colon\r\n";
        let IptvInfo::ChildUpdate(report) = IptvBody::parse(text, Carrier::Stream).unwrap().info else {
            panic!()
        };
        assert_eq!(report.free_slots, Some(0));
        let told: Vec<_> =
            report.children.iter().map(|c| (&c.name[..], c.contact.as_ref().unwrap().slots())).collect();
        assert_eq!(told, [("3", Some(2)), ("4", None)]);
        let empty =
            IptvBody::parse(b"IPTV INFO : Child update\r\nCHILD PEER :\r\n", Carrier::Stream).unwrap();
        assert_eq!(empty.info, IptvInfo::ChildUpdate(Report::default()));
        assert_eq!(IptvBody::parse(&empty.to_bytes().unwrap(), Carrier::Stream), Ok(empty));
    }

    #[test]
    fn broken_bodies_are_refused_by_the_name_of_the_line() {
        use DecodeErrorKind::*;
        let full = |rest: &str| alloc::format!("IPTV INFO : Full capacity\r\n{rest}\r\n");
        let many = |n: usize| full(&["CHILD PEER : ", &"a, ".repeat(n - 1), "a"].concat());
        assert_eq!(
            names(&IptvBody::parse(many(MAX_CHILDREN).as_bytes(), Carrier::Stream).unwrap()).len(),
            MAX_CHILDREN
        );
        let table = [
            (String::new(), "IPTV INFO", Truncated),
            ("CHANNEL : 1\r\n".to_string(), "IPTV INFO", Truncated),
            (full(""), "CHILD PEER", Truncated),
            (full("CHILD PEER : a,,b"), "CHILD PEER", InvalidValue),
            (full("CHILD PEER : a b"), "CHILD PEER", InvalidValue),
            (full("CHILD PEER : a\r\nCHILD PEER : b"), "CHILD PEER", InvalidValue),
            (full("CHILD PEER : a\r\nCHILD CONTACT : <sip:a@b>, <sip:c@d>"), "CHILD CONTACT", BadLength),
            (full("CHILD PEER : a\r\nCHILD CONTACT : <sip:a@b"), "CHILD CONTACT", InvalidValue),
            (full("CHILD PEER : a\r\nFREE SLOTS : -1"), "FREE SLOTS", InvalidValue),
            (full("CHILD PEER : a\r\nFREE SLOTS : 65536"), "FREE SLOTS", InvalidValue),
            (full("CHANNEL : a b"), "CHANNEL", InvalidValue),
            (full("CHILD\rPEER : a"), "line", InvalidValue),
            (many(MAX_CHILDREN + 1), "CHILD PEER", TooLong),
            (full(&"X\r\n".repeat(MAX_LINES)), "line", TooLong),
            ("IPTV INFO : Tree position\r\nDEPTH : 1\r\n".to_string(), "PATH", Truncated),
            ("IPTV INFO : Selected Relayer\r\nREGISTER : maybe\r\n".to_string(), "REGISTER", InvalidValue),
        ];
        for (text, field, kind) in table {
            let e = IptvBody::parse(text.as_bytes(), Carrier::Datagram).unwrap_err();
            assert_eq!((e.field, e.kind), (field, kind), "{text:?}");
        }
    }

    #[test]
    fn words_of_a_later_version_survive() {
        let body = IptvBody::parse(b"IPTV INFO : Dance\r\n", Carrier::Stream).unwrap();
        assert_eq!(body.info, IptvInfo::Other("Dance".to_string()));
        assert_eq!(body.to_bytes().unwrap(), "IPTV INFO : Dance\r\n");
    }

    #[test]
    fn what_would_read_back_as_something_else_is_not_written() {
        let refused = |info| IptvBody { channel: None, info }.to_bytes().unwrap_err().field;
        let child = |name: &str| Child { name: name.to_string(), contact: None };
        let report = |children: Vec<Child>| IptvInfo::FullCapacity(Report { children, free_slots: None });
        for name in ["", "a,b", "a b", "a\r\nb", "ä", &"a".repeat(65)] {
            assert_eq!(refused(report([child(name)].into())), "CHILD PEER", "{name:?}");
        }
        assert_eq!(refused(report(alloc::vec![child("a"); MAX_CHILDREN + 1])), "CHILD PEER");
        let contact = Some(NameAddr::new(super::super::msg::SipUri::new("sip:a@b").unwrap()));
        assert_eq!(refused(report([child("a"), Child { contact, ..child("b") }].into())), "CHILD CONTACT");
        for text in ["a\r\nCHANNEL : 5", " a", "alive"] {
            assert_eq!(refused(IptvInfo::Other(text.to_string())), "IPTV INFO", "{text:?}");
        }
        assert_eq!(refused(IptvInfo::RelayerDeclined { reason: Some("a\nb".to_string()) }), "REASON");
    }
}
