//! Methods (RFC 3261 §7.1) and the CSeq header (§20.16).

use super::scan::{self, Parsed};
use alloc::boxed::Box;
use core::fmt;

/// A method: a token, compared octet by octet. Unknown ones pass unharmed; the named ones can be matched on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method {
    known: &'static str,
    /// The name when it is none of the known ones; then `known` is empty.
    other: Option<Box<str>>,
}

macro_rules! methods {
    ($($name:ident)*) => {
        impl Method {
            $(#[doc = concat!("`", stringify!($name), "`")]
              pub const $name: Method = Method { known: stringify!($name), other: None };)*

            /// The method with this name; `None` when it is not a token.
            pub fn new(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)*
                    _ if scan::is_token(name.as_bytes()) => Some(Method { known: "", other: Some(Box::from(name)) }),
                    _ => None,
                }
            }
        }
    };
}

methods! { INVITE ACK BYE CANCEL OPTIONS REGISTER INFO PRACK UPDATE SUBSCRIBE NOTIFY MESSAGE REFER PUBLISH }

impl Method {
    /// Whether it is one of those that have a name here.
    pub fn is_known(&self) -> bool {
        self.other.is_none()
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.other.as_deref().unwrap_or(self.known)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The CSeq header: orders the requests of a dialog, and tells which request a response answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// The sequence number. Any 32 bits are read; one may start only below 2^31 (§8.1.1.5).
    pub number: u32,
    /// The method of the request.
    pub method: Method,
}

impl CSeq {
    /// `CSeq = 1*DIGIT LWS Method`
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, CSeq> {
        let (rest, number) = scan::number(input, "CSeq")?;
        let (rest, ()) = scan::lws1(rest, "CSeq")?;
        let (rest, name) = scan::token(rest, "CSeq")?;
        let method = Method::new(name).ok_or_else(|| scan::invalid(rest, "CSeq"))?;
        Ok((rest, CSeq { number, method }))
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}
