//! Writing: every line with its CRLF, and nothing that would be read back as something else.

use super::words::{info, line};
use super::{
    Elector, IptvBody, IptvInfo, MAX_BACKUPS, MAX_BODY, MAX_CHILDREN, MAX_GRANT, MAX_OPEN, MAX_PATH,
    MAX_TEXT, Position, Report, Slot, Subtree, is_name,
};
use crate::sip::msg::{BuildError, NameAddr};
use alloc::string::String;
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use core::fmt::{Display, Write as _};

impl IptvBody {
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
            IptvInfo::Yield { to } | IptvInfo::Climb { to } => lines.backups(to),
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
        self.backups(&position.backups);
        if position.elector == Elector::Parent {
            self.line(line::ELECTOR, "parent");
        }
    }

    fn backups(&mut self, backups: &[NameAddr<'_>]) {
        if !backups.is_empty() {
            self.list(line::BACKUP_CONTACT, backups.iter(), MAX_BACKUPS);
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
