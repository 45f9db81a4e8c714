//! Addresses with a name: From, To, Contact, Route, Record-Route (RFC 3261 §20.10).

use super::builder::BuildError;
use super::params::{Params, write_unfolded};
use super::scan::{self, Parsed};
use super::uri::{SipUri, Uri};
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// `"Display Name" <uri>;params`.
///
/// Without angle brackets everything behind a `;` is a parameter of the header and not of the URI, and the URI may hold
/// neither `?` nor `,` (§20.10). Printed always with brackets, and the display name always with quotes.
#[derive(Clone, Debug)]
pub struct NameAddr<'a> {
    /// As written: a quoted string with its quotes, or tokens with blanks between them.
    display: Option<Cow<'a, str>>,
    uri: Uri<'a>,
    params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// `<uri>`
    pub fn new(uri: impl Into<Uri<'a>>) -> Self {
        NameAddr { display: None, uri: uri.into(), params: Params::NONE }
    }

    /// The same with a display name. Refused: control characters.
    pub fn with_display_name(mut self, name: &str) -> Result<Self, BuildError> {
        if name.chars().any(char::is_control) {
            return Err(BuildError { field: "display-name" });
        }
        let mut quoted = String::with_capacity(name.len() + 2);
        quoted.push('"');
        for c in name.chars() {
            if matches!(c, '"' | '\\') {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        quoted.push('"');
        self.display = Some(Cow::Owned(quoted));
        Ok(self)
    }

    /// The same with a tag.
    pub fn with_tag(self, tag: &str) -> Result<Self, BuildError> {
        if !scan::is_token(tag.as_bytes()) {
            return Err(BuildError { field: "tag" });
        }
        self.with_param("tag", Some(tag))
    }

    /// The same with one more header parameter, or another value of it.
    pub fn with_param(mut self, name: &str, value: Option<&str>) -> Result<Self, BuildError> {
        self.params.set(name, value)?;
        Ok(self)
    }

    /// `( name-addr / addr-spec ) *( SEMI params )`. A display name may touch its `<` (RFC 4475 §3.1.1.6).
    pub(super) fn parse(input: &'a [u8], field: &'static str) -> Parsed<'a, NameAddr<'a>> {
        let (rest, display) = match input.first() {
            Some(b'"') => {
                let (rest, quoted) = scan::quoted(input, field)?;
                (scan::lws(rest), Some(quoted))
            }
            _ => scan::tokens_before_bracket(input),
        };
        let (rest, uri) = match rest {
            [b'<', inside @ ..] => {
                let end = inside.iter().position(|&b| b == b'>').ok_or_else(|| scan::invalid(rest, field))?;
                let (uri, after) = inside.split_at(end);
                (&after[1..], uri)
            }
            _ if display.is_some() => return Err(scan::invalid(rest, field)),
            _ => {
                let ends = |b: &u8| scan::is_blank(*b) || matches!(b, b';' | b',' | b'?' | b'>');
                let end = rest.iter().position(ends).unwrap_or(rest.len());
                let (uri, after) = rest.split_at(end);
                (after, uri)
            }
        };
        let uri =
            core::str::from_utf8(uri).ok().and_then(Uri::new).ok_or_else(|| scan::invalid(input, field))?;
        let (rest, params) = Params::parse_generic(rest, field)?;
        Ok((rest, NameAddr { display: display.map(Cow::Borrowed), uri, params }))
    }

    /// Reads up to `limit` addresses between commas, and gives back what is left: nothing when all of it was read.
    pub fn list(text: &'a str, limit: usize) -> (Vec<NameAddr<'a>>, &'a str) {
        let (mut list, mut left) = (Vec::new(), text.trim_ascii());
        while !left.is_empty() && list.len() < limit {
            let Ok((rest, address)) = NameAddr::parse(left.as_bytes(), "name-addr") else { break };
            let rest = scan::lws(rest);
            let (rest, more) = match rest {
                [b',', rest @ ..] => (scan::lws(rest), true),
                rest => (rest, false),
            };
            if more == rest.is_empty() {
                break;
            }
            list.push(address);
            left = left.get(left.len() - rest.len()..).unwrap_or_default();
        }
        (list, left)
    }

    /// What the display name says: without quotes, escapes and folds.
    pub fn display_name(&self) -> Option<Cow<'_, str>> {
        let raw = self.display.as_deref()?;
        Some(match raw.starts_with('"') || !raw.contains(['\r', '\n']) {
            true => scan::unquote(raw),
            false => {
                let mut out = String::new();
                let _ = write_unfolded(&mut out, raw);
                Cow::Owned(out)
            }
        })
    }

    /// The URI.
    pub fn uri(&self) -> &Uri<'a> {
        &self.uri
    }

    /// The URI, when it is a SIP URI.
    pub fn sip_uri(&self) -> Option<&SipUri<'a>> {
        self.uri.sip()
    }

    /// The tag of a From or a To.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag")
    }

    /// The parameters of the header (those of the URI are the URI's).
    pub fn params(&self) -> &Params<'a> {
        &self.params
    }

    /// The parameters of the header, to change.
    pub fn params_mut(&mut self) -> &mut Params<'a> {
        &mut self.params
    }

    /// The same, borrowing from nobody.
    pub fn into_owned(self) -> NameAddr<'static> {
        NameAddr {
            display: self.display.map(|d| Cow::Owned(d.into_owned())),
            uri: self.uri.into_owned(),
            params: self.params.into_owned(),
        }
    }
}

impl PartialEq for NameAddr<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.display_name() == other.display_name() && self.uri == other.uri && self.params == other.params
    }
}

impl Eq for NameAddr<'_> {}

impl fmt::Display for NameAddr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(raw) = &self.display {
            let quote = if raw.starts_with('"') { "" } else { "\"" };
            f.write_str(quote)?;
            write_unfolded(f, raw)?;
            write!(f, "{quote} ")?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}
