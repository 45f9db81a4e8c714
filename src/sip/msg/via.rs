//! The Via header (RFC 3261 §20.42, RFC 3581).

use super::builder::BuildError;
use super::params::Params;
use super::scan::{self, Parsed};
use super::uri::{DEFAULT_PORT, Host};
use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use core::fmt;
use core::net::{IpAddr, SocketAddr};

/// The transport of a sent-protocol or of a `transport` parameter: a token, compared without case.
#[derive(Clone)]
pub struct Transport<'a>(Cow<'a, str>);

impl Transport<'static> {
    /// `UDP`
    pub const UDP: Transport<'static> = Transport(Cow::Borrowed("UDP"));
    /// `TCP`
    pub const TCP: Transport<'static> = Transport(Cow::Borrowed("TCP"));
    /// `TLS`
    pub const TLS: Transport<'static> = Transport(Cow::Borrowed("TLS"));
}

impl<'a> Transport<'a> {
    /// For text that is known to be a token.
    pub(super) fn of_token(token: &'a str) -> Self {
        Transport(Cow::Borrowed(token))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a stream or another transport that neither loses nor reorders.
    pub fn is_reliable(&self) -> bool {
        *self != Transport::UDP
    }

    /// The same, borrowing from nobody.
    pub fn into_owned(self) -> Transport<'static> {
        Transport(Cow::Owned(self.0.into_owned()))
    }
}

impl PartialEq<Transport<'_>> for Transport<'_> {
    fn eq(&self, other: &Transport<'_>) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Transport<'_> {}

impl fmt::Display for Transport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Transport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One hop that a request took: `SIP/2.0/UDP host:port;branch=z9hG4bK...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    protocol: Cow<'a, str>,
    version: Cow<'a, str>,
    transport: Transport<'a>,
    host: Host<'a>,
    port: Option<u16>,
    params: Params<'a>,
}

impl Via<'static> {
    /// What every branch of RFC 3261 begins with (§8.1.1.7).
    pub const MAGIC_COOKIE: &'static str = "z9hG4bK";

    /// A Via of our own, with an empty `rport` (RFC 3581 §3). The branch must be a token that begins with the cookie.
    pub fn new(transport: Transport<'static>, sent_by: SocketAddr, branch: &str) -> Result<Self, BuildError> {
        if !branch.starts_with(Via::MAGIC_COOKIE) {
            return Err(BuildError { field: "branch" });
        }
        let mut params = Params::NONE;
        params.set("rport", None)?;
        params.set("branch", Some(branch))?;
        let (host, port) = (Host::Ip(sent_by.ip()), Some(sent_by.port()));
        let (protocol, version) = (Cow::Borrowed("SIP"), Cow::Borrowed("2.0"));
        Ok(Via { protocol, version, transport, host, port, params })
    }
}

impl<'a> Via<'a> {
    /// `via-parm = sent-protocol LWS sent-by *( SEMI via-params )`
    pub(super) fn parse(input: &'a [u8]) -> Parsed<'a, Via<'a>> {
        const FIELD: &str = "Via";
        let (rest, protocol) = scan::token(input, FIELD)?;
        let (rest, ()) = scan::separator(rest, b'/', FIELD)?;
        let (rest, version) = scan::token(rest, FIELD)?;
        let (rest, ()) = scan::separator(rest, b'/', FIELD)?;
        let (rest, transport) = scan::token(rest, FIELD)?;
        let (rest, ()) = scan::lws1(rest, FIELD)?;
        let (rest, host) = Host::parse(rest, "sent-by")?;
        let (rest, port) = match scan::lws(rest) {
            [b':', digits @ ..] => {
                let (rest, port) = scan::number(scan::lws(digits), "sent-by")?;
                (rest, Some(u16::try_from(port).map_err(|_| scan::invalid(digits, "sent-by"))?))
            }
            _ => (rest, None),
        };
        let (rest, params) = Params::parse_generic(rest, "via-params")?;
        let (protocol, version) = (Cow::Borrowed(protocol), Cow::Borrowed(version));
        Ok((rest, Via { protocol, version, transport: Transport::of_token(transport), host, port, params }))
    }

    /// Whether the protocol is SIP/2.0.
    pub fn is_sip_2(&self) -> bool {
        self.protocol.eq_ignore_ascii_case("SIP") && self.version == "2.0"
    }

    /// The transport of this hop.
    pub fn transport(&self) -> &Transport<'a> {
        &self.transport
    }

    /// The host of sent-by.
    pub fn host(&self) -> &Host<'a> {
        &self.host
    }

    /// The port of sent-by, if it says one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The port of sent-by, 5060 when it says none (5061 for TLS).
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(DEFAULT_PORT + u16::from(self.transport == Transport::TLS))
    }

    /// The branch as written. Only [`Via::has_rfc3261_branch`] says whether it identifies a transaction.
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch")
    }

    /// Whether the branch begins with the cookie and has something behind it.
    pub fn has_rfc3261_branch(&self) -> bool {
        self.branch()
            .and_then(|b| b.get(..Via::MAGIC_COOKIE.len()).zip(b.get(Via::MAGIC_COOKIE.len()..)))
            .is_some_and(|(cookie, rest)| cookie.eq_ignore_ascii_case(Via::MAGIC_COOKIE) && !rest.is_empty())
    }

    /// The address that the next hop saw; with or without brackets (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        Host::new(self.params.get("received")?)?.ip()
    }

    /// `Some(None)` when the client asks for it, `Some(Some(port))` when the server has filled it in (RFC 3581).
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params.find("rport").map(|value| value.and_then(|v| v.parse().ok()))
    }

    /// All parameters.
    pub fn params(&self) -> &Params<'a> {
        &self.params
    }

    /// What a server notes before it passes a request on (RFC 3261 §18.2.1, RFC 3581 §4): `received` when the
    /// packet came from another address than sent-by says or `rport` was asked for, and the port into `rport`.
    pub fn note_source(&mut self, source: SocketAddr) -> Result<(), BuildError> {
        let rport = self.params.contains("rport");
        if rport {
            self.params.set("rport", Some(&source.port().to_string()))?;
        }
        if rport || self.host.ip() != Some(source.ip()) {
            self.params.set("received", Some(&source.ip().to_string()))?;
        }
        Ok(())
    }

    /// Where a response over UDP goes (RFC 3261 §18.2.2, RFC 3581 §4); `None` when only a name tells.
    /// `maddr` is not followed: it is for multicast.
    pub fn response_address(&self) -> Option<SocketAddr> {
        let ip = self.received().or(self.host.ip())?;
        let port = self.rport().flatten().unwrap_or(self.port_or_default());
        Some(SocketAddr::new(ip, port))
    }

    /// The same, borrowing from nobody.
    pub fn into_owned(self) -> Via<'static> {
        Via {
            protocol: Cow::Owned(self.protocol.into_owned()),
            version: Cow::Owned(self.version.into_owned()),
            transport: self.transport.into_owned(),
            host: self.host.into_owned(),
            port: self.port,
            params: self.params.into_owned(),
        }
    }

    /// `host:port` in lower case: with the branch and the method it identifies a transaction (§17.2.3).
    pub fn sent_by(&self) -> String {
        let mut text = alloc::format!("{}:{}", self.host, self.port_or_default());
        text.make_ascii_lowercase();
        text
    }
}

impl fmt::Display for Via<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{} {}", self.protocol, self.version, self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        fmt::Display::fmt(&self.params, f)
    }
}
