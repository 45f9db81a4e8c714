//! Parameters: `;name=value` behind an address, a Via or a URI (RFC 3261 §7.3.1, §19.1.1).

use super::builder::BuildError;
use super::scan::{self, Parsed};
use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

/// Parameters in their order. Names are compared without case; the first of a name counts.
///
/// They are kept as they were written and were checked when they were read; printing makes `;name=value` of each.
#[derive(Clone, Default)]
pub struct Params<'a>(Cow<'a, str>);

impl<'a> Params<'a> {
    /// No parameters.
    pub const NONE: Params<'static> = Params(Cow::Borrowed(""));

    /// `*( SEMI generic-param )`: those of a header.
    pub(super) fn parse_generic(input: &'a [u8], field: &'static str) -> Parsed<'a, Params<'a>> {
        let mut rest = input;
        while let [b';', after @ ..] = scan::lws(rest) {
            (rest, _) = scan::token(scan::lws(after), field)?;
            if let [b'=', after @ ..] = scan::lws(rest) {
                let value = scan::lws(after);
                (rest, _) = match value.first() {
                    Some(b'"') => scan::quoted(value, field)?,
                    _ => scan::bare_value(value, field)?,
                };
            }
        }
        let raw = &input[..input.len() - rest.len()];
        let raw = core::str::from_utf8(raw).map_err(|_| scan::invalid(input, field))?;
        Ok((rest, Params(Cow::Borrowed(raw))))
    }

    /// `uri-parameters`: no blanks, and `%` escapes. The input begins with `;` or is empty, and all of it is used.
    pub(super) fn parse_uri(input: &'a str) -> Option<Params<'a>> {
        let legal = |pair: &str| {
            let (name, value) = pair.split_once('=').map_or((pair, None), |(n, v)| (n, Some(v)));
            let legal =
                |text: &str| !text.is_empty() && scan::is_escaped_text(text.as_bytes(), scan::is_param_byte);
            legal(name) && value.is_none_or(legal)
        };
        match input.strip_prefix(';') {
            None if input.is_empty() => Some(Params::NONE),
            Some(pairs) if pairs.split(';').all(legal) => Some(Params(Cow::Borrowed(input))),
            _ => None,
        }
    }

    /// Name and value of each, in order; a quoted value with its quotes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        Pairs { rest: &self.0 }
    }

    /// The value of the first parameter with this name: `None` when there is none, `Some(None)` when it has no value.
    pub fn find(&self, name: &str) -> Option<Option<&str>> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of the first parameter with this name, if it has one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name)?
    }

    /// Whether there is a parameter with this name.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets a parameter (in its old place when it was there), or one without a value. Refused: a name that is not a
    /// token, and a value that could not stand without quotes.
    pub fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), BuildError> {
        let refused = BuildError { field: "parameter" };
        if !scan::is_token(name.as_bytes()) {
            return Err(refused);
        }
        if let Some(value) = value {
            scan::whole(value.as_bytes(), 0, "parameter", |v| scan::bare_value(v, "parameter"))
                .ok()
                .filter(|v| v.len() == value.len())
                .ok_or(refused)?;
        }
        let mut out = String::new();
        let mut placed = false;
        for (old, old_value) in self.iter() {
            match old.eq_ignore_ascii_case(name) {
                false => push(&mut out, old, old_value),
                true if !placed => {
                    push(&mut out, name, value);
                    placed = true;
                }
                true => {}
            }
        }
        if !placed {
            push(&mut out, name, value);
        }
        self.0 = Cow::Owned(out);
        Ok(())
    }

    /// Takes every parameter with this name out.
    pub fn remove(&mut self, name: &str) {
        if self.contains(name) {
            let mut out = String::new();
            self.iter()
                .filter(|(n, _)| !n.eq_ignore_ascii_case(name))
                .for_each(|(n, v)| push(&mut out, n, v));
            self.0 = Cow::Owned(out);
        }
    }

    /// The same, borrowing from nobody.
    pub fn into_owned(self) -> Params<'static> {
        Params(Cow::Owned(self.0.into_owned()))
    }
}

fn push(out: &mut String, name: &str, value: Option<&str>) {
    out.push(';');
    out.push_str(name);
    if let Some(value) = value {
        out.push('=');
        out.push_str(value);
    }
}

/// Walks over text that was checked before; on anything else it ends early.
struct Pairs<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, Option<&'a str>);

    fn next(&mut self) -> Option<Self::Item> {
        let after = trim(self.rest).strip_prefix(';')?;
        // A semicolon inside quotes belongs to the value.
        let (mut quoted, mut escaped) = (false, false);
        let end = after.bytes().position(|b| {
            match b {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b';' if !quoted => return true,
                _ => {}
            }
            false
        });
        let (pair, rest) = after.split_at_checked(end.unwrap_or(after.len()))?;
        self.rest = rest;
        Some(match pair.split_once('=') {
            Some((name, value)) => (trim(name), Some(trim(value))),
            None => (trim(pair), None),
        })
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

impl fmt::Display for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.iter() {
            write!(f, ";{name}")?;
            match value {
                // Only a quoted string can hold a fold; it is printed as the one blank that it means.
                Some(value) if value.contains(['\r', '\n']) => {
                    f.write_str("=")?;
                    write_unfolded(f, value)?;
                }
                Some(value) => write!(f, "={value}")?,
                None => {}
            }
        }
        Ok(())
    }
}

/// Writes text with each fold as one blank.
pub(super) fn write_unfolded(f: &mut impl fmt::Write, text: &str) -> fmt::Result {
    let mut lines = text.split(['\r', '\n']).filter(|line| !line.is_empty());
    if let Some(first) = lines.next() {
        f.write_str(first.trim_end_matches([' ', '\t']))?;
    }
    lines.try_for_each(|line| {
        f.write_char(' ')?;
        f.write_str(line.trim_matches([' ', '\t']))
    })
}

impl fmt::Debug for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Params<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Params<'_> {}
