//! SIP URIs (RFC 3261 §19.1) and hosts.

use super::builder::BuildError;
use super::params::Params;
use super::scan::{self, Parsed};
use super::via::Transport;
use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;
use core::fmt::Write as _;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

/// The port of a `sip:` URI and of a Via that names none.
pub(super) const DEFAULT_PORT: u16 = 5060;

/// An IP address, or a name (which this library never resolves). Names are compared without case.
#[derive(Clone, Debug)]
pub enum Host<'a> {
    /// An IPv4 address, or an IPv6 reference without its brackets.
    Ip(IpAddr),
    /// A host name.
    Name(Cow<'a, str>),
}

impl<'a> Host<'a> {
    /// `host = hostname / IPv4address / IPv6reference`. Three colons in a row count as two (RFC 5118 §4.10).
    pub(super) fn parse(input: &'a [u8], field: &'static str) -> Parsed<'a, Host<'a>> {
        let (rest, text) = scan::host(input, field)?;
        let host = match text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            Some(inner) => Host::Ip(ipv6(inner).ok_or_else(|| scan::invalid(input, field))?.into()),
            None => Host::of_text(text),
        };
        Ok((rest, host))
    }

    /// The host that this text names; `None` when it is not a host. IPv6 with or without brackets.
    pub fn new(text: &'a str) -> Option<Self> {
        match ipv6(text) {
            Some(ip) => Some(Host::Ip(ip.into())),
            None => scan::whole(text.as_bytes(), 0, "host", |t| Host::parse(t, "host")).ok(),
        }
    }

    fn of_text(text: &'a str) -> Self {
        // Only what ends in a digit can be an address.
        let ip = text.ends_with(|c: char| c.is_ascii_digit()).then(|| IpAddr::from_str(text).ok()).flatten();
        ip.map_or(Host::Name(Cow::Borrowed(text)), Host::Ip)
    }

    /// The address, when it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Ip(ip) => Some(*ip),
            Host::Name(_) => None,
        }
    }

    /// The same, borrowing from nobody.
    pub fn into_owned(self) -> Host<'static> {
        match self {
            Host::Ip(ip) => Host::Ip(ip),
            Host::Name(name) => Host::Name(Cow::Owned(name.into_owned())),
        }
    }
}

fn ipv6(text: &str) -> Option<Ipv6Addr> {
    Ipv6Addr::from_str(text).ok().or_else(|| {
        let (before, after) = text.split_once(":::")?;
        let mut repaired = String::with_capacity(text.len());
        write!(repaired, "{before}::{after}").ok()?;
        Ipv6Addr::from_str(&repaired).ok()
    })
}

impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Host::Ip(a), Host::Ip(b)) => a == b,
            (Host::Name(a), Host::Name(b)) => a.eq_ignore_ascii_case(b),
            _ => false,
        }
    }
}

impl Eq for Host<'_> {}

impl From<IpAddr> for Host<'static> {
    fn from(ip: IpAddr) -> Self {
        Host::Ip(ip)
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Ip(IpAddr::V4(ip)) => fmt::Display::fmt(ip, f),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Host::Name(name) => f.write_str(name),
        }
    }
}

/// `[ ":" port ]`
pub(super) fn port<'a>(input: &'a [u8], field: &'static str) -> Parsed<'a, Option<u16>> {
    let [b':', digits @ ..] = input else { return Ok((input, None)) };
    let (rest, port) = scan::number(digits, field)?;
    let port = u16::try_from(port).map_err(|_| scan::invalid(digits, field))?;
    Ok((rest, Some(port)))
}

/// A `sip:` or `sips:` URI: `sip:user:password@host:port;params?headers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipUri<'a> {
    secure: bool,
    /// As written, escapes and all.
    user: Option<Cow<'a, str>>,
    password: Option<Cow<'a, str>>,
    host: Host<'a>,
    port: Option<u16>,
    params: Params<'a>,
    /// What stands after the `?`, as written.
    headers: Option<Cow<'a, str>>,
}

impl SipUri<'static> {
    /// `sip:host:port` of an address.
    pub fn of_address(address: SocketAddr) -> Self {
        SipUri::of_host(address.ip().into()).with_port(Some(address.port()))
    }

    /// `sip:user@host:port` of an address; the user part is escaped where it has to be.
    pub fn of_user(user: &str, address: SocketAddr) -> Self {
        SipUri::of_address(address).with_user(user)
    }
}

impl<'a> SipUri<'a> {
    /// `sip:host`
    pub fn of_host(host: Host<'a>) -> Self {
        let (user, password, headers) = (None, None, None);
        SipUri { secure: false, user, password, host, port: None, params: Params::NONE, headers }
    }

    /// Reads a URI that fills the whole text; `None` when it is not a SIP URI.
    pub fn new(text: &'a str) -> Option<Self> {
        match Uri::new(text)? {
            Uri::Sip(uri) => Some(uri),
            Uri::Other(_) => None,
        }
    }

    /// The same URI with another user part, escaped where it has to be.
    pub fn with_user(mut self, user: &str) -> Self {
        let mut out = String::with_capacity(user.len());
        for byte in user.bytes() {
            match scan::is_user_byte(byte) {
                true => out.push(byte.into()),
                false => out.extend(['%', hex(byte >> 4), hex(byte & 15)]),
            }
        }
        (self.user, self.password) = ((!out.is_empty()).then_some(Cow::Owned(out)), None);
        self
    }

    /// The same URI with another port.
    pub fn with_port(mut self, port: Option<u16>) -> Self {
        self.port = port;
        self
    }

    /// The same URI for a transport: UDP is the default and is not written, TLS makes it `sips:` (RFC 5630 §3.1.4), any
    /// other stands in a `transport` parameter.
    pub fn with_transport(mut self, transport: Transport<'_>) -> Self {
        self.params.remove("transport");
        self.secure = transport == Transport::TLS;
        if transport != Transport::UDP && !self.secure {
            // A transport is a token, which a parameter always takes.
            let _ = self.params.set("transport", Some(&transport.as_str().to_ascii_lowercase()));
        }
        self
    }

    /// The same URI with one more parameter.
    pub fn with_param(mut self, name: &str, value: Option<&str>) -> Result<Self, BuildError> {
        let legal = |text: &str| text.bytes().all(scan::is_param_byte);
        if !legal(name) || !value.is_none_or(legal) {
            return Err(BuildError { field: "uri-parameter" });
        }
        self.params.set(name, value)?;
        Ok(self)
    }

    /// Reads what stands behind `sip:` or `sips:`.
    fn parse_after_scheme(input: &'a str, secure: bool) -> Option<Self> {
        let (userinfo, rest) = match input.split_once('@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, input),
        };
        let (user, password) =
            match userinfo.map(|u| u.split_once(':').map_or((u, None), |(u, p)| (u, Some(p)))) {
                Some((user, password)) => (Some(user), password),
                None => (None, None),
            };
        let legal = |text: &str| scan::is_escaped_text(text.as_bytes(), scan::is_user_byte);
        if user.is_some_and(|u| u.is_empty() || !legal(u)) || password.is_some_and(|p| !legal(p)) {
            return None;
        }
        let (rest, host) = Host::parse(rest.as_bytes(), "host").ok()?;
        let (rest, port) = port(rest, "port").ok()?;
        let rest = core::str::from_utf8(rest).ok()?;
        let (params, headers) = match rest.split_once('?') {
            Some((params, headers)) => (params, Some(headers)),
            None => (rest, None),
        };
        let legal = |pair: &str| {
            let legal = |text: &str| scan::is_escaped_text(text.as_bytes(), scan::is_header_byte);
            pair.split_once('=').is_some_and(|(name, value)| !name.is_empty() && legal(name) && legal(value))
        };
        if headers.is_some_and(|h| !h.split('&').all(legal)) {
            return None;
        }
        let params = Params::parse_uri(params)?;
        let owned = |text: Option<&'a str>| text.map(Cow::Borrowed);
        let (user, password, headers) = (owned(user), owned(password), owned(headers));
        Some(SipUri { secure, user, password, host, port, params, headers })
    }

    /// Whether it is `sips:`.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The user part as written, with its escapes.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The user part with its escapes resolved; what is not UTF-8 then becomes U+FFFD.
    pub fn unescaped_user(&self) -> Option<Cow<'_, str>> {
        self.user().map(unescape)
    }

    /// The password, which nobody should send.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The host.
    pub fn host(&self) -> &Host<'a> {
        &self.host
    }

    /// The port, if it says one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The parameters, whose escapes are kept.
    pub fn params(&self) -> &Params<'a> {
        &self.params
    }

    /// What stands after the `?`, if anything.
    pub fn headers(&self) -> Option<&str> {
        self.headers.as_deref()
    }

    /// The transport: the parameter, or UDP, or TLS over TCP for `sips:`.
    pub fn transport(&self) -> Transport<'_> {
        match self.params.get("transport") {
            Some(name) => Transport::of_token(name),
            None if self.secure => Transport::TLS,
            None => Transport::UDP,
        }
    }

    /// Where to send to: the address with its port (5060 when it says none, 5061 for `sips:`); `None` when the host is
    /// a name.
    pub fn address(&self) -> Option<SocketAddr> {
        let port = self.port.unwrap_or(DEFAULT_PORT + u16::from(self.secure));
        Some(SocketAddr::new(self.host.ip()?, port))
    }

    /// The same, borrowing from nobody.
    pub fn into_owned(self) -> SipUri<'static> {
        let owned = |text: Option<Cow<'a, str>>| text.map(|t| Cow::Owned(t.into_owned()));
        SipUri {
            secure: self.secure,
            user: owned(self.user),
            password: owned(self.password),
            host: self.host.into_owned(),
            port: self.port,
            params: self.params.into_owned(),
            headers: owned(self.headers),
        }
    }
}

fn hex(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).unwrap_or('0').to_ascii_uppercase()
}

/// Resolves `%` escapes.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut out = alloc::vec::Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let digit = |b: u8| (b as char).to_digit(16);
        rest = match (byte, after) {
            (b'%', [a, b, after @ ..]) if let (Some(a), Some(b)) = (digit(*a), digit(*b)) => {
                out.push((a * 16 + b) as u8);
                after
            }
            _ => {
                out.push(*byte);
                after
            }
        };
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

impl fmt::Display for SipUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secure { "sips:" } else { "sip:" })?;
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        fmt::Display::fmt(&self.host, f)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        fmt::Display::fmt(&self.params, f)?;
        if let Some(headers) = &self.headers {
            write!(f, "?{headers}")?;
        }
        Ok(())
    }
}

/// Any URI that may stand in a SIP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uri<'a> {
    /// `sip:` or `sips:`.
    Sip(SipUri<'a>),
    /// Any other scheme, as written.
    Other(Cow<'a, str>),
}

impl<'a> Uri<'a> {
    /// Reads a URI that fills the whole text.
    pub fn new(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") {
            return SipUri::parse_after_scheme(rest, scheme.len() == 4).map(Uri::Sip);
        }
        let legal = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
            && !rest.is_empty()
            && rest.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"".contains(&b));
        legal.then_some(Uri::Other(Cow::Borrowed(text)))
    }

    /// The SIP URI, when it is one.
    pub fn sip(&self) -> Option<&SipUri<'a>> {
        match self {
            Uri::Sip(uri) => Some(uri),
            Uri::Other(_) => None,
        }
    }

    /// The same, borrowing from nobody.
    pub fn into_owned(self) -> Uri<'static> {
        match self {
            Uri::Sip(uri) => Uri::Sip(uri.into_owned()),
            Uri::Other(text) => Uri::Other(Cow::Owned(text.into_owned())),
        }
    }
}

impl<'a> From<SipUri<'a>> for Uri<'a> {
    fn from(uri: SipUri<'a>) -> Self {
        Uri::Sip(uri)
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Uri::Sip(uri) => fmt::Display::fmt(uri, f),
            Uri::Other(text) => f.write_str(text),
        }
    }
}
