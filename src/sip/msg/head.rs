//! The head of a message: where it ends, its header rows, and their typed values (RFC 3261 §7.3, §7.5).

use super::address::NameAddr;
use super::media_type::MediaType;
use super::method::CSeq;
use super::name::Name;
use super::params::Params;
use super::scan::{self, Parsed};
use super::via::Via;
use super::{MAX_HEAD, MAX_HEADERS, MAX_VALUES};
use crate::wire::{DecodeError, DecodeErrorKind};
use bytes::Bytes;
use core::fmt;

/// Which line ends count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Tolerance {
    /// CRLF alone, as RFC 3261 wants it.
    #[default]
    Strict,
    /// A bare LF ends a line as well, as RFC 2543 allowed. Only for datagrams: on a stream two hops could disagree
    /// about where a message ends.
    Lenient,
}

/// One header row, as offsets into the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    id: u8,
    name_len: u8,
    name_at: u16,
    value_at: u16,
    value_len: u16,
}

/// The header rows of a received message, in their order, with typed access.
///
/// A typed accessor gives `Ok(None)` (or an empty list) when there is no such header, and the error with its offset
/// in the message when there is one that breaks the grammar. [`judge`](super::judge()) has looked at all of
/// them: behind it no accessor fails.
#[derive(Clone)]
pub struct Headers {
    message: Bytes,
    rows: heapless::Vec<Row, MAX_HEADERS>,
}

/// What the first look at a message finds.
pub(super) struct Head {
    /// The start line, without its end.
    pub(super) start: core::ops::Range<usize>,
    pub(super) headers: Headers,
    /// Where the body begins.
    pub(super) body_at: usize,
    /// The first thing that was wrong. The rows before and after it are there nevertheless, so that a request can be
    /// answered.
    pub(super) fault: Option<DecodeError>,
}

impl Head {
    /// Finds the rows and the end of the head. Empty lines before the start line do not count (§7.5).
    pub(super) fn scan(message: &Bytes, tolerance: Tolerance) -> Head {
        let skipped = message.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(message.len());
        let mut lines = Lines { input: message, at: skipped, tolerance, fault: None };
        let start = lines.next_line().unwrap_or(skipped..skipped);
        let mut rows = heapless::Vec::new();
        let mut ended = false;
        while let Some(line) = lines.next_unfolded() {
            if line.is_empty() {
                ended = true;
                break;
            }
            match Row::read(message, line.clone()) {
                Ok(row) => {
                    if rows.push(row).is_err() {
                        lines.note(DecodeErrorKind::TooLong, "header", line.start);
                        break;
                    }
                }
                Err(e) => {
                    lines.fault.get_or_insert(e);
                }
            }
        }
        if !ended {
            lines.note(DecodeErrorKind::Truncated, "message-header", lines.at);
        }
        let Lines { at, fault, .. } = lines;
        Head { start, headers: Headers { message: message.clone(), rows }, body_at: at, fault }
    }

    /// The body of a datagram: what Content-Length says, or the rest when it says nothing (§18.3). The second is what
    /// is wrong with Content-Length.
    pub(super) fn body_of_datagram(&self, message: &Bytes) -> (Bytes, Option<DecodeError>) {
        let rest = message.slice(self.body_at.min(message.len())..);
        match self.headers.content_length() {
            Ok(None) => (rest, None),
            Ok(Some(n)) if n <= rest.len() => (rest.slice(..n), None),
            Ok(Some(_)) => {
                let (kind, field) = (DecodeErrorKind::BadLength, "Content-Length");
                (rest, Some(DecodeError { kind, field, offset: message.len() }))
            }
            Err(e) => (rest, Some(e)),
        }
    }
}

/// Walks over the lines of a head.
struct Lines<'a> {
    input: &'a [u8],
    at: usize,
    tolerance: Tolerance,
    fault: Option<DecodeError>,
}

impl Lines<'_> {
    /// Remembers the first fault.
    fn note(&mut self, kind: DecodeErrorKind, field: &'static str, offset: usize) {
        self.fault.get_or_insert(DecodeError { kind, field, offset });
    }

    /// The next line without its end; `None` when the input ends before the line does.
    fn next_line(&mut self) -> Option<core::ops::Range<usize>> {
        let start = self.at;
        let mut at = start;
        loop {
            at += scan::find_line_end(self.input.get(at..)?)?;
            if at > MAX_HEAD {
                self.note(DecodeErrorKind::TooLong, "message-header", at);
                return None;
            }
            match self.input.get(at..)? {
                [b'\r', b'\n', ..] => {
                    self.at = at + 2;
                    return Some(start..at);
                }
                [b'\n', ..] => {
                    if self.tolerance == Tolerance::Strict {
                        self.note(DecodeErrorKind::InvalidValue, "bare LF", at);
                    }
                    self.at = at + 1;
                    return Some(start..at);
                }
                _ => {
                    self.note(DecodeErrorKind::InvalidValue, "bare CR", at);
                    at += 1;
                }
            }
        }
    }

    /// The next line together with the lines that continue it (§7.3.1).
    fn next_unfolded(&mut self) -> Option<core::ops::Range<usize>> {
        let mut line = self.next_line()?;
        while !line.is_empty() && matches!(self.input.get(self.at), Some(b' ' | b'\t')) {
            line.end = self.next_line()?.end;
        }
        Some(line)
    }
}

impl Row {
    /// `header-name HCOLON header-value`
    fn read(message: &[u8], line: core::ops::Range<usize>) -> Result<Row, DecodeError> {
        let text = message.get(line.clone()).unwrap_or_default();
        let parsed = scan::token(text, "header-name").and_then(|(rest, name)| {
            let (value, ()) = scan::separator(rest, b':', "header-name")?;
            Ok((value, name))
        });
        let (value, name) =
            parsed.map_err(|e| scan::to_fault(e, "header-name").at(line.start, text.len()))?;
        let too_long =
            |_| DecodeError { kind: DecodeErrorKind::TooLong, field: "header-name", offset: line.start };
        let value_at = line.end - value.len();
        let value = value.trim_ascii_end();
        Ok(Row {
            id: Name::new(name).id(),
            name_len: u8::try_from(name.len()).map_err(too_long)?,
            name_at: u16::try_from(line.start).map_err(too_long)?,
            value_at: u16::try_from(value_at).map_err(too_long)?,
            value_len: u16::try_from(value.len()).map_err(too_long)?,
        })
    }
}

/// The name and the value of a row, and where in the message the value begins.
#[derive(Clone, Copy, Debug)]
struct Field<'a> {
    name: Name<'a>,
    value: &'a [u8],
    at: usize,
}

impl Headers {
    fn field(&self, row: &Row) -> Field<'_> {
        let cut = |at: u16, len: usize| {
            let at = usize::from(at);
            self.message.get(at..at + len).unwrap_or_default()
        };
        let name = core::str::from_utf8(cut(row.name_at, row.name_len.into())).unwrap_or_default();
        let value = cut(row.value_at, row.value_len.into());
        Field { name: Name::from_parts(row.id, name), value, at: row.value_at.into() }
    }

    fn fields<'a>(&'a self, name: Name<'a>) -> impl Iterator<Item = Field<'a>> {
        // The number decides for all names but the unknown ones, which share theirs.
        let same_id = move |row: &&Row| row.id == name.id();
        self.rows
            .iter()
            .filter(same_id)
            .map(|row| self.field(row))
            .filter(move |f| name.is_known() || f.name == name)
    }

    /// Every row in its order: its name, and its value as it was sent, folds and all.
    pub fn iter(&self) -> impl Iterator<Item = (Name<'_>, &[u8])> {
        self.rows.iter().map(|row| self.field(row)).map(|f| (f.name, f.value))
    }

    /// The same with the place of each value in the message.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Name<'_>, &[u8], usize)> {
        self.rows.iter().map(|row| self.field(row)).map(|f| (f.name, f.value, f.at))
    }

    /// The values of all rows with this name, as they were sent.
    pub fn get_all<'a>(&'a self, name: Name<'a>) -> impl Iterator<Item = &'a [u8]> {
        self.fields(name).map(|f| f.value)
    }

    /// The value of the first row with this name, as it was sent.
    pub fn get<'a>(&'a self, name: Name<'a>) -> Option<&'a [u8]> {
        self.fields(name).next().map(|f| f.value)
    }

    /// Whether there is such a row.
    pub fn contains(&self, name: Name<'_>) -> bool {
        self.fields(name).next().is_some()
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Where the last row ends: the place of what is missing.
    pub(super) fn end(&self) -> usize {
        self.rows.last().map_or(0, |row| usize::from(row.value_at) + usize::from(row.value_len))
    }

    /// A header that may stand there once.
    fn single<'a, T>(
        &'a self,
        name: Name<'static>,
        parser: impl FnOnce(&'a [u8]) -> Parsed<'a, T>,
    ) -> Result<Option<T>, DecodeError> {
        let mut fields = self.fields(name);
        let Some(field) = fields.next() else { return Ok(None) };
        if let Some(second) = fields.next() {
            let (kind, field) = (DecodeErrorKind::InvalidValue, name.as_str());
            return Err(DecodeError { kind, field, offset: second.at });
        }
        scan::whole(field.value, field.at, name.as_str(), parser).map(Some)
    }

    /// A header that is a list.
    fn list<'a, T>(
        &'a self,
        name: Name<'static>,
        may_be_empty: bool,
        parser: fn(&'a [u8]) -> Parsed<'a, T>,
    ) -> Values<'a, T> {
        Values { headers: self, rows: self.rows.iter(), name, parser, may_be_empty, now: None, given: 0 }
    }

    /// Every Via value, topmost first.
    pub fn vias(&self) -> Values<'_, Via<'_>> {
        self.list(Name::VIA, false, Via::parse)
    }

    /// The topmost Via.
    pub fn via(&self) -> Result<Option<Via<'_>>, DecodeError> {
        self.vias().next().transpose()
    }

    /// From.
    pub fn from(&self) -> Result<Option<NameAddr<'_>>, DecodeError> {
        self.single(Name::FROM, |v| NameAddr::parse(v, "From"))
    }

    /// To.
    pub fn to(&self) -> Result<Option<NameAddr<'_>>, DecodeError> {
        self.single(Name::TO, |v| NameAddr::parse(v, "To"))
    }

    /// Call-ID.
    pub fn call_id(&self) -> Result<Option<&str>, DecodeError> {
        self.single(Name::CALL_ID, scan::call_id)
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<Option<CSeq>, DecodeError> {
        self.single(Name::CSEQ, CSeq::parse)
    }

    /// Max-Forwards, 0 to 255.
    pub fn max_forwards(&self) -> Result<Option<u8>, DecodeError> {
        self.single(Name::MAX_FORWARDS, |v| {
            let (rest, n) = scan::number(v, "Max-Forwards")?;
            Ok((rest, u8::try_from(n).map_err(|_| scan::invalid(v, "Max-Forwards"))?))
        })
    }

    /// Content-Length.
    pub fn content_length(&self) -> Result<Option<usize>, DecodeError> {
        let n = self.single(Name::CONTENT_LENGTH, |v| scan::number(v, "Content-Length"))?;
        Ok(n.map(|n| usize::try_from(n).unwrap_or(usize::MAX)))
    }

    /// Content-Type.
    pub fn content_type(&self) -> Result<Option<MediaType<'_>>, DecodeError> {
        self.single(Name::CONTENT_TYPE, |v| MediaType::parse(v, "Content-Type"))
    }

    /// Whether Contact is `*`, which only a REGISTER may say (§20.10).
    pub fn contact_is_star(&self) -> bool {
        let mut rows = self.fields(Name::CONTACT);
        rows.next().is_some_and(|f| f.value == b"*") && rows.next().is_none()
    }

    /// Every Contact. `*` is none of them.
    pub fn contacts(&self) -> Values<'_, NameAddr<'_>> {
        match self.contact_is_star() {
            true => self.list(Name::CONTACT, false, |v| NameAddr::parse(v, "Contact")).ended(),
            false => self.list(Name::CONTACT, false, |v| NameAddr::parse(v, "Contact")),
        }
    }

    /// The first Contact.
    pub fn contact(&self) -> Result<Option<NameAddr<'_>>, DecodeError> {
        self.contacts().next().transpose()
    }

    /// Every Route value, topmost first.
    pub fn routes(&self) -> Values<'_, NameAddr<'_>> {
        self.list(Name::ROUTE, false, |v| NameAddr::parse(v, "Route"))
    }

    /// Every Record-Route value, topmost first.
    pub fn record_routes(&self) -> Values<'_, NameAddr<'_>> {
        self.list(Name::RECORD_ROUTE, false, |v| NameAddr::parse(v, "Record-Route"))
    }

    /// Info-Package: the name alone (RFC 6086 §7).
    pub fn info_package(&self) -> Result<Option<&str>, DecodeError> {
        self.single(Name::INFO_PACKAGE, |v| package(v, "Info-Package"))
    }

    /// Recv-Info: `None` when there is no such header, which is something else than an empty list (RFC 6086 §5.2).
    pub fn recv_info(&self) -> Option<Values<'_, &str>> {
        self.contains(Name::RECV_INFO).then(|| self.list(Name::RECV_INFO, true, |v| package(v, "Recv-Info")))
    }

    /// The option tags that the server must understand.
    pub fn require(&self) -> Values<'_, &str> {
        self.list(Name::REQUIRE, false, |v| scan::token(v, "Require"))
    }

    /// The option tags that the sender understands.
    pub fn supported(&self) -> Values<'_, &str> {
        self.list(Name::SUPPORTED, true, |v| scan::token(v, "Supported"))
    }

    /// The methods that the sender takes.
    pub fn allow(&self) -> Values<'_, &str> {
        self.list(Name::ALLOW, true, |v| scan::token(v, "Allow"))
    }

    /// The media types that the sender takes: `None` when it does not say (then `application/sdp`, §20.1).
    pub fn accept(&self) -> Option<Values<'_, MediaType<'_>>> {
        self.contains(Name::ACCEPT).then(|| self.list(Name::ACCEPT, true, |v| MediaType::parse(v, "Accept")))
    }

    /// Retry-After in seconds; its comment and parameters are not looked at.
    pub fn retry_after(&self) -> Result<Option<u32>, DecodeError> {
        self.single(Name::RETRY_AFTER, |v| match scan::number(v, "Retry-After")? {
            (rest, n) if matches!(scan::lws(rest).first(), None | Some(b'(' | b';')) => Ok((&[][..], n)),
            (rest, _) => Err(scan::invalid(rest, "Retry-After")),
        })
    }

    /// Expires in seconds.
    pub fn expires(&self) -> Result<Option<u32>, DecodeError> {
        self.single(Name::EXPIRES, |v| scan::number(v, "Expires"))
    }

    /// Priority.
    pub fn priority(&self) -> Result<Option<&str>, DecodeError> {
        self.single(Name::PRIORITY, |v| scan::token(v, "Priority"))
    }

    /// Whether Priority is `urgent` (§20.26).
    pub fn is_urgent(&self) -> bool {
        matches!(self.priority(), Ok(Some(p)) if p.eq_ignore_ascii_case("urgent"))
    }
}

/// `token *( SEMI generic-param )`
fn package<'a>(input: &'a [u8], field: &'static str) -> Parsed<'a, &'a str> {
    let (rest, name) = scan::token(input, field)?;
    let (rest, _) = Params::parse_generic(rest, field)?;
    Ok((rest, name))
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| (name, alloc::string::String::from_utf8_lossy(value))))
            .finish()
    }
}

/// The values of a list header, over all its rows. Ends with the first error.
#[derive(Clone, Debug)]
pub struct Values<'a, T> {
    headers: &'a Headers,
    rows: core::slice::Iter<'a, Row>,
    name: Name<'static>,
    parser: fn(&'a [u8]) -> Parsed<'a, T>,
    may_be_empty: bool,
    /// What is left of the row that is being read, and where the row ends in the message.
    now: Option<(&'a [u8], usize)>,
    given: usize,
}

impl<T> Values<'_, T> {
    /// The same without any value.
    fn ended(mut self) -> Self {
        self.rows = [].iter();
        self.now = None;
        self
    }
}

impl<'a, T> Values<'a, T> {
    /// Reads the values that are left only to see whether one of them is wrong.
    pub fn check(mut self) -> Result<(), DecodeError> {
        self.try_for_each(|value| value.map(drop))
    }

    /// The text to read the next value from, and where the row ends.
    fn next_text(&mut self) -> Option<(&'a [u8], usize)> {
        if let Some(now) = self.now.take() {
            return Some(now);
        }
        loop {
            let name = self.name;
            let row = self.rows.find(|row| row.id == name.id())?;
            let field = self.headers.field(row);
            if !(field.value.is_empty() && self.may_be_empty) {
                return Some((field.value, field.at + field.value.len()));
            }
        }
    }
}

impl<'a, T> Iterator for Values<'a, T> {
    type Item = Result<T, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (text, end) = self.next_text()?;
        self.given += 1;
        let name = self.name.as_str();
        let outcome = match self.given <= MAX_VALUES {
            true => (self.parser)(scan::lws(text)),
            false => Err(scan::fault(text, name, DecodeErrorKind::TooLong)),
        };
        let outcome = outcome.and_then(|(rest, value)| match scan::lws(rest) {
            [] => Ok((None, value)),
            [b',', after @ ..] => Ok((Some((after, end)), value)),
            rest => Err(scan::invalid(rest, name)),
        });
        Some(match outcome {
            Ok((now, value)) => {
                self.now = now;
                Ok(value)
            }
            Err(e) => {
                self.rows = [].iter();
                Err(scan::to_fault(e, name).at(end - text.len().min(end), text.len()))
            }
        })
    }
}
