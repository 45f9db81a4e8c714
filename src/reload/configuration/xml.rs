//! Elements and the values in them: the lexical forms of XML Schema (RFC 6940 §11.1.1), strictly.

use super::{DocumentError, DocumentErrorKind};
use crate::ids::NodeId;
use crate::time::UnixMillis;
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use core::str::FromStr;
use core::time::Duration;
use roxmltree::{Document, Node, ParsingOptions};

/// The namespace of RFC 6940 §11.1.
pub(super) const BASE: &str = "urn:ietf:params:xml:ns:p2p:config-base";
/// The namespace of CHORD-RELOAD's elements.
pub(super) const CHORD: &str = "urn:ietf:params:xml:ns:p2p:config-chord";
/// The namespace of RFC 7374 §8.
pub(super) const REDIR: &str = "urn:ietf:params:xml:ns:p2p:redir";

/// The prefix that everybody declares for a namespace, as the RFCs' own examples do.
pub(super) const PREFIXES: [(Option<&str>, &str); 3] =
    [(None, BASE), (Some("chord"), CHORD), (Some("redir"), REDIR)];

/// Elements, texts and comments of one file.
const MAX_NODES: u32 = 1 << 16;
/// The parser compares an element's attributes with one another; each has an equals sign.
const MAX_EQUALS: usize = 1024;
/// Each element that declares a namespace gets a copy of those in scope.
const MAX_NAMESPACES: usize = 64;

/// Reads XML. Everything that could take more than linear time has a limit first.
pub(super) fn read(text: &str) -> Result<Document<'_>, DocumentError> {
    use DocumentErrorKind::{NotWellFormed, TooLarge};
    let equals = text.bytes().filter(|&b| b == b'=').count();
    if equals > MAX_EQUALS || text.matches("xmlns").count() > MAX_NAMESPACES {
        return Err(DocumentError::new(TooLarge, "overlay", 0));
    }
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, entity_resolver: None };
    Document::parse_with_options(text, options).map_err(|e| match e {
        roxmltree::Error::NodesLimitReached
        | roxmltree::Error::AttributesLimitReached
        | roxmltree::Error::NamespacesLimitReached => DocumentError::new(TooLarge, "overlay", 0),
        e => DocumentError::new(NotWellFormed, "overlay", offset_of(text, e.pos())),
    })
}

/// The byte at a row and a column (in characters), both counted from 1.
fn offset_of(text: &str, at: roxmltree::TextPos) -> usize {
    let row = usize::try_from(at.row).unwrap_or(usize::MAX).saturating_sub(1);
    let column = usize::try_from(at.col).unwrap_or(usize::MAX).saturating_sub(1);
    let begin: usize = text.split_inclusive('\n').take(row).map(str::len).sum();
    let line = text.get(begin..).unwrap_or_default();
    begin + line.char_indices().nth(column).map_or(line.len(), |(i, _)| i)
}

/// Whether this is the element of this name in a namespace.
pub(super) fn is(node: &Node<'_, '_>, namespace: &str, name: &str) -> bool {
    node.is_element() && node.tag_name().namespace() == Some(namespace) && node.tag_name().name() == name
}

/// An element or attribute that is being read, for its errors.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    /// The RFC's name of it.
    pub(super) name: &'static str,
    /// Where it begins.
    pub(super) offset: usize,
    source: Source<'a>,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    Element(Node<'a, 'a>),
    Attribute(&'a str),
}

impl<'a> Item<'a> {
    pub(super) fn element(name: &'static str, node: Node<'a, 'a>) -> Self {
        Item { name, offset: node.range().start, source: Source::Element(node) }
    }

    /// An attribute without a namespace.
    pub(super) fn attribute(name: &'static str, node: Node<'a, 'a>) -> Option<Self> {
        let attribute = node.attribute_node(name)?;
        Some(Item { name, offset: attribute.range().start, source: Source::Attribute(attribute.value()) })
    }

    pub(super) fn error(&self, kind: DocumentErrorKind) -> DocumentError {
        DocumentError::new(kind, self.name, self.offset)
    }

    /// The text with the blanks around it removed. Comments count for nothing; an element inside of it is an error.
    pub(super) fn text(&self) -> Result<Cow<'a, str>, DocumentError> {
        let node = match self.source {
            Source::Attribute(value) => return Ok(Cow::Borrowed(value.trim_matches(BLANK))),
            Source::Element(node) => node,
        };
        if node.children().any(|c| c.is_element()) {
            return Err(self.error(DocumentErrorKind::InvalidValue));
        }
        let mut pieces = node.children().filter(Node::is_text).filter_map(|c| c.text());
        let first = pieces.next().unwrap_or_default();
        Ok(match pieces.next() {
            None => Cow::Borrowed(first.trim_matches(BLANK)),
            Some(second) => {
                let all: String = [first, second].into_iter().chain(pieces).collect();
                Cow::Owned(String::from(all.trim_matches(BLANK)))
            }
        })
    }

    /// Text that must not be empty.
    pub(super) fn string(&self) -> Result<String, DocumentError> {
        let text = self.text()?;
        if text.is_empty() { Err(self.error(DocumentErrorKind::InvalidValue)) } else { Ok(text.into_owned()) }
    }

    /// A decimal number between two others.
    pub(super) fn number<N: FromStr + PartialOrd>(&self, least: N, most: N) -> Result<N, DocumentError> {
        let text = self.text()?;
        let digits = text.strip_prefix('+').unwrap_or(&text);
        let digits = match digits.trim_start_matches('0') {
            "" if !digits.is_empty() => "0",
            digits => digits,
        };
        let negative = digits.strip_prefix('-').unwrap_or(digits);
        if negative.is_empty() || !negative.bytes().all(|b| b.is_ascii_digit()) {
            return Err(self.error(DocumentErrorKind::InvalidValue));
        }
        let number = digits.parse().ok().filter(|n| (&least..=&most).contains(&n));
        number.ok_or(self.error(DocumentErrorKind::OutOfRange))
    }

    /// xsd:boolean: `true`, `false`, `1` or `0`.
    pub(super) fn boolean(&self) -> Result<bool, DocumentError> {
        match &*self.text()? {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(self.error(DocumentErrorKind::InvalidValue)),
        }
    }

    /// Whole seconds, one at least.
    pub(super) fn seconds(&self) -> Result<Duration, DocumentError> {
        self.number(1, u32::MAX).map(|n: u32| Duration::from_secs(n.into()))
    }

    /// A Node-ID of 16 bytes in hexadecimal.
    pub(super) fn node_id(&self) -> Result<NodeId, DocumentError> {
        NodeId::from_hex(&self.text()?).ok_or(self.error(DocumentErrorKind::InvalidValue))
    }

    /// xsd:base64Binary: blanks may stand anywhere.
    pub(super) fn base64(&self) -> Result<Bytes, DocumentError> {
        let dense: Vec<u8> = self.text()?.bytes().filter(|&b| !BLANK.contains(&char::from(b))).collect();
        match STANDARD.decode(dense) {
            Ok(bytes) if !bytes.is_empty() => Ok(bytes.into()),
            _ => Err(self.error(DocumentErrorKind::InvalidValue)),
        }
    }

    /// A time in UTC (RFC 3339).
    pub(super) fn time(&self) -> Result<UnixMillis, DocumentError> {
        utc(&self.text()?).ok_or(self.error(DocumentErrorKind::InvalidValue))
    }
}

/// The white space of XML.
const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];

pub(super) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads a time like `2002-10-10T07:00:00.25Z`; an offset that is not zero is no UTC.
fn utc(text: &str) -> Option<UnixMillis> {
    let (date, time) = text.split_once(['T', 't'])?;
    let time = ["Z", "z", "+00:00", "-00:00"].iter().find_map(|zone| time.strip_suffix(zone))?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [year, month, day] = fields(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = fields(time, ':', [2, 2, 2])?;
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let millis = fraction.bytes().chain(*b"000").take(3).fold(0, |n, b| n * 10 + u64::from(b - b'0'));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    // A leap second, 60, counts as the second after it.
    if year < 1970 || !(1..=length).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 1970-01-01, in years that begin in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 719_469;
    Some(UnixMillis((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis))
}

fn fields(text: &str, separator: char, lengths: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; 3];
    for (number, length) in numbers.iter_mut().zip(lengths) {
        let part = parts.next().filter(|p| p.len() == length && p.bytes().all(|b| b.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Writes a time as [`utc`] reads it.
pub(super) fn to_utc(time: UnixMillis) -> String {
    let (days, millis) = (time.0 / 86_400_000, time.0 % 86_400_000);
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let m = (5 * day + 2) / 153;
    let day = day - (153 * m + 2) / 5 + 1;
    let (month, year) = if m < 10 { (m + 3, era * 400 + year) } else { (m - 9, era * 400 + year + 1) };
    let (hour, minute) = (millis / 3_600_000, millis / 60_000 % 60);
    let (second, millis) = (millis / 1000 % 60, millis % 1000);
    let fraction = if millis == 0 { String::new() } else { alloc::format!(".{millis:03}") };
    alloc::format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_and_written_to_the_millisecond() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2002-10-10T07:00:00Z", 1_034_233_200),
            ("2024-12-31T23:59:59Z", 1_735_689_599),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(utc(text), Some(UnixMillis(seconds * 1000)), "{text}");
            assert_eq!(to_utc(UnixMillis(seconds * 1000)), text);
        }
        assert_eq!(utc("2002-10-10T07:00:00.5+00:00"), Some(UnixMillis(1_034_233_200_500)));
        assert_eq!(to_utc(UnixMillis(1_034_233_200_007)), "2002-10-10T07:00:00.007Z");
        for day in 0..60_000 {
            let noon = UnixMillis(day * 86_400_000 + 43_200_000);
            assert_eq!(utc(&to_utc(noon)), Some(noon), "day {day}");
        }
    }

    #[test]
    fn a_time_that_is_not_in_utc_or_not_a_time_is_refused() {
        for bad in [
            "2002-10-10T07:00:00",
            "2002-10-10T07:00:00+02:00",
            "2002-10-10 07:00:00Z",
            "2002-13-10T07:00:00Z",
            "2002-02-29T07:00:00Z",
            "1900-01-01T00:00:00Z",
            "2002-10-10T24:00:00Z",
            "2002-10-10T07:00:00.Z",
            "2002-10-10T7:00:00Z",
            "T",
            "",
        ] {
            assert_eq!(utc(bad), None, "{bad}");
        }
    }
}
