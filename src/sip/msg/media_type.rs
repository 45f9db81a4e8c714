//! Media types: Content-Type and Accept (RFC 3261 §20.1, §20.15).

use super::params::Params;
use super::scan::{self, Parsed};
use core::fmt;

/// `type/subtype;params`, compared without case. In Accept either half may be `*`.
#[derive(Clone, Debug)]
pub struct MediaType<'a> {
    kind: &'a str,
    subtype: &'a str,
    params: Params<'a>,
}

impl<'a> MediaType<'a> {
    /// `m-type SLASH m-subtype *( SEMI m-parameter )`
    pub(super) fn parse(input: &'a [u8], field: &'static str) -> Parsed<'a, MediaType<'a>> {
        let (rest, kind) = scan::token(input, field)?;
        let (rest, ()) = scan::separator(rest, b'/', field)?;
        let (rest, subtype) = scan::token(rest, field)?;
        let (rest, params) = Params::parse_generic(rest, field)?;
        Ok((rest, MediaType { kind, subtype, params }))
    }

    /// The type that this text names.
    pub fn new(text: &'a str) -> Option<Self> {
        scan::whole(text.as_bytes(), 0, "media-type", |t| MediaType::parse(t, "media-type")).ok()
    }

    /// Whether this is the type `text` (`application/sdp`), whatever the parameters.
    pub fn is(&self, text: &str) -> bool {
        text.split_once('/').is_some_and(|(kind, subtype)| {
            self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
        })
    }

    /// Whether this range of an Accept header covers the type `text`.
    pub fn covers(&self, text: &str) -> bool {
        let half = |range: &str, half: &str| range == "*" || range.eq_ignore_ascii_case(half);
        text.split_once('/')
            .is_some_and(|(kind, subtype)| half(self.kind, kind) && half(self.subtype, subtype))
    }

    /// The parameters.
    pub fn params(&self) -> &Params<'a> {
        &self.params
    }
}

impl fmt::Display for MediaType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.kind, self.subtype, self.params)
    }
}
