//! Reading: lines, then the values that a body of this kind has.

use super::words::{info, line};
use super::{
    Carrier, Child, Elector, IptvBody, IptvInfo, MAX_BACKUPS, MAX_BODY, MAX_CHILDREN, MAX_GRANT, MAX_LINES,
    MAX_OPEN, MAX_PATH, MAX_TEXT, Position, Report, Slot, Subtree, is_name,
};
use crate::ids::{ChannelName, NodeId};
use crate::sip::msg::NameAddr;
use crate::wire::{DecodeError, DecodeErrorKind};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

impl IptvBody {
    /// Reads a body.
    pub fn parse(body: &[u8], carrier: Carrier) -> Result<Self, DecodeError> {
        Fields::read(body, carrier)?.body()
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
            Some(info::CLIMB) => IptvInfo::Climb { to: self.backups()? },
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
