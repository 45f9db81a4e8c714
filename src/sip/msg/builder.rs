//! Writing messages (RFC 3261 §7.3.1, §8.1.1, §8.2.6): what comes in cannot break out of its line.

use super::address::NameAddr;
use super::canonical::unfolded;
use super::message::Request;
use super::method::Method;
use super::name::Name;
use super::scan;
use super::status::Status;
use super::uri::SipUri;
use super::via::Via;
use super::{MAX_BODY, MediaType};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Display;
use core::net::SocketAddr;

/// A value that may not stand where it was put, or one that is missing. The caller made it; no peer can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no legal {field}")]
pub struct BuildError {
    /// The RFC's name of the field.
    pub field: &'static str,
}

/// Header rows that are being written. The first error is kept until the end.
#[derive(Clone, Debug, Default)]
struct Rows {
    out: Vec<u8>,
    error: Option<BuildError>,
}

impl Rows {
    fn refuse(&mut self, field: &'static str) {
        self.error.get_or_insert(BuildError { field });
    }

    /// A row. This is the one way into the message: a value with a control character other than HTAB is refused.
    fn row(&mut self, name: Name<'_>, value: &str) {
        if !scan::is_token(name.as_str().as_bytes()) || value.chars().any(|c| c.is_control() && c != '\t') {
            return self.refuse("header");
        }
        self.raw(name, value.as_bytes());
    }

    /// A row whose value came in a message, where it was one row already: each fold becomes one blank.
    fn copied(&mut self, name: Name<'_>, value: &[u8]) {
        self.raw(name, &unfolded(value));
    }

    fn raw(&mut self, name: Name<'_>, value: &[u8]) {
        self.out.extend_from_slice(name.as_str().as_bytes());
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(b"\r\n");
    }
}

/// What a request and a response have in common: rows of the caller's choice, and a body.
#[derive(Clone, Debug, Default)]
struct Rest {
    rows: Rows,
    content_type: Option<String>,
    body: Vec<u8>,
}

impl Rest {
    fn header(&mut self, name: Name<'_>, value: &dyn Display) {
        // The builder computes these: a second one would let the receiver choose where the message ends.
        match name == Name::CONTENT_LENGTH || name == Name::CONTENT_TYPE {
            true => self.rows.refuse("header"),
            false => self.rows.row(name, &value.to_string()),
        }
    }

    fn body(&mut self, content_type: &str, body: &[u8]) {
        if MediaType::new(content_type).is_none() {
            self.rows.refuse("Content-Type");
        }
        if body.len() > MAX_BODY {
            self.rows.refuse("message-body");
        }
        (self.content_type, self.body) = (Some(content_type.to_string()), body.to_vec());
    }

    /// The start line, the rows that every message has, the caller's rows, the length, the body.
    fn finish(self, start: String, mut head: Rows) -> Result<Bytes, BuildError> {
        if let Some(content_type) = &self.content_type {
            head.row(Name::CONTENT_TYPE, content_type);
        }
        if let Some(error) = head.error.or(self.rows.error) {
            return Err(error);
        }
        let length = format!("Content-Length: {}\r\n\r\n", self.body.len());
        let parts = [start.as_bytes(), &head.out, &self.rows.out, length.as_bytes(), &self.body];
        Ok(parts.concat().into())
    }
}

/// Writes a request. Setters never fail; [`RequestBuilder::finish`] tells the first value that was not legal.
///
/// ```
/// use p2piptv::sip::msg::{Method, NameAddr, RequestBuilder, SipUri, Transport, Via};
/// # fn main() -> Result<(), p2piptv::sip::msg::BuildError> {
/// let uri = SipUri::of_user("100", "127.0.0.1:5060".parse().expect("an address"));
/// let from = NameAddr::new(SipUri::of_user("1", "127.0.0.1:5062".parse().expect("an address"))).with_tag("9fxced")?;
/// let via = Via::new(Transport::UDP, "127.0.0.1:5062".parse().expect("an address"), "z9hG4bK74bf9")?;
/// let bytes = RequestBuilder::new(Method::OPTIONS, &uri)
///     .via(&via)
///     .from(&from)
///     .to(&NameAddr::new(uri.clone()))
///     .call_id("123456@127.0.0.1")
///     .cseq(1)
///     .finish()?;
/// assert!(bytes.starts_with(b"OPTIONS sip:100@127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5062;rport;"));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    method: Method,
    uri: String,
    via: Option<Via<'static>>,
    from: Option<NameAddr<'static>>,
    to: Option<NameAddr<'static>>,
    call_id: Option<String>,
    cseq: Option<u32>,
    max_forwards: u8,
    rest: Rest,
}

impl RequestBuilder {
    /// A request with this method and Request-URI. Max-Forwards is 70.
    pub fn new(method: Method, uri: &SipUri<'_>) -> Self {
        RequestBuilder {
            method,
            uri: uri.to_string(),
            via: None,
            from: None,
            to: None,
            call_id: None,
            cseq: None,
            max_forwards: 70,
            rest: Rest::default(),
        }
    }

    /// Our Via.
    pub fn via(mut self, via: &Via<'_>) -> Self {
        self.via = Some(via.clone().into_owned());
        self
    }

    /// From, with our tag.
    pub fn from(mut self, from: &NameAddr<'_>) -> Self {
        self.from = Some(from.clone().into_owned());
        self
    }

    /// To, with the peer's tag inside a dialog.
    pub fn to(mut self, to: &NameAddr<'_>) -> Self {
        self.to = Some(to.clone().into_owned());
        self
    }

    /// Call-ID.
    pub fn call_id(mut self, call_id: &str) -> Self {
        self.call_id = Some(call_id.to_string());
        self
    }

    /// The number of CSeq; its method is that of the request.
    pub fn cseq(mut self, number: u32) -> Self {
        self.cseq = Some(number);
        self
    }

    /// Max-Forwards.
    pub fn max_forwards(mut self, hops: u8) -> Self {
        self.max_forwards = hops;
        self
    }

    /// Another Contact.
    pub fn contact(self, contact: &NameAddr<'_>) -> Self {
        self.header(Name::CONTACT, contact)
    }

    /// Another Route, behind those before.
    pub fn route(self, route: &NameAddr<'_>) -> Self {
        self.header(Name::ROUTE, route)
    }

    /// Any other row. Refused at the end: a name that is not a token, a value with a control character, and what the
    /// builder writes by itself (Content-Length, Content-Type).
    pub fn header(mut self, name: Name<'_>, value: impl Display) -> Self {
        self.rest.header(name, &value);
        self
    }

    /// The body and its type.
    pub fn body(mut self, content_type: &str, body: &[u8]) -> Self {
        self.rest.body(content_type, body);
        self
    }

    /// The bytes, or the first field that is missing or not legal.
    pub fn finish(self) -> Result<Bytes, BuildError> {
        let missing = |field| BuildError { field };
        let call_id = self.call_id.filter(|id| scan::is_call_id(id.as_bytes())).ok_or(missing("Call-ID"))?;
        let mut head = Rows::default();
        head.row(Name::VIA, &self.via.ok_or(missing("Via"))?.to_string());
        head.row(Name::MAX_FORWARDS, &self.max_forwards.to_string());
        head.row(Name::FROM, &self.from.ok_or(missing("From"))?.to_string());
        head.row(Name::TO, &self.to.ok_or(missing("To"))?.to_string());
        head.row(Name::CALL_ID, &call_id);
        head.row(Name::CSEQ, &format!("{} {}", self.cseq.ok_or(missing("CSeq"))?, self.method));
        self.rest.finish(format!("{} {} SIP/2.0\r\n", self.method, self.uri), head)
    }
}

/// Writes the response to a request: Via, From, To, Call-ID, CSeq and Record-Route are the request's (§8.2.6.2, §12.1.1).
///
/// ```
/// use p2piptv::sip::msg::{Message, ResponseBuilder, Status};
/// let Ok(Message::Request(request)) = Message::parse(bytes::Bytes::from_static(
///     b"OPTIONS sip:a@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKx\r\nFrom: <sip:b@c>;tag=1\r\n\
///       To: <sip:a@c>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n\r\n",
/// )) else { unreachable!() };
/// let source = "10.0.0.2:5060".parse().expect("an address");
/// let bytes = ResponseBuilder::new(&request, Status::OK, source).to_tag("314").finish().expect("legal");
/// let text = core::str::from_utf8(&bytes).expect("text");
/// assert!(text.starts_with("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKx\r\n"));
/// assert!(text.contains("To: <sip:a@c>;tag=314\r\n"));
/// ```
#[derive(Clone, Debug)]
pub struct ResponseBuilder<'a> {
    request: &'a Request,
    status: Status,
    source: SocketAddr,
    to_tag: Option<String>,
    rest: Rest,
}

impl<'a> ResponseBuilder<'a> {
    /// The response to a request that came from `source`, which is noted in its topmost Via (§18.2.1, RFC 3581 §4).
    pub fn new(request: &'a Request, status: Status, source: SocketAddr) -> Self {
        ResponseBuilder { request, status, source, to_tag: None, rest: Rest::default() }
    }

    /// Our tag, for a To that has none yet. Every response but 100 needs it (§8.2.6.2).
    pub fn to_tag(mut self, tag: &str) -> Self {
        if !scan::is_token(tag.as_bytes()) {
            self.rest.rows.refuse("tag");
        }
        self.to_tag = Some(tag.to_string());
        self
    }

    /// Another Contact.
    pub fn contact(self, contact: &NameAddr<'_>) -> Self {
        self.header(Name::CONTACT, contact)
    }

    /// Any other row, with the rules of [`RequestBuilder::header`].
    pub fn header(mut self, name: Name<'_>, value: impl Display) -> Self {
        self.rest.header(name, &value);
        self
    }

    /// The body and its type.
    pub fn body(mut self, content_type: &str, body: &[u8]) -> Self {
        self.rest.body(content_type, body);
        self
    }

    /// The bytes, or the first field that is not legal.
    pub fn finish(self) -> Result<Bytes, BuildError> {
        let headers = &self.request.headers;
        let mut head = Rows::default();
        self.vias(&mut head)?;
        headers.get_all(Name::RECORD_ROUTE).for_each(|value| head.copied(Name::RECORD_ROUTE, value));
        // Of what may stand in a message only once, one goes back, however often it came: the answer to a broken request
        // is not broken itself.
        for name in [Name::FROM, Name::TO, Name::CALL_ID, Name::CSEQ, Name::TIMESTAMP] {
            let Some(value) = headers.get(name) else { continue };
            let has_tag = || headers.to().is_ok_and(|to| to.is_some_and(|to| to.tag().is_some()));
            match &self.to_tag {
                _ if name == Name::TIMESTAMP && self.status != Status::TRYING => {}
                Some(tag) if name == Name::TO && !has_tag() => {
                    head.copied(name, &[value, b";tag=", tag.as_bytes()].concat());
                }
                _ => head.copied(name, value),
            }
        }
        let start = format!("SIP/2.0 {} {}\r\n", self.status, self.status.reason());
        self.rest.finish(start, head)
    }

    /// All Via values in their order, the topmost with the source.
    fn vias(&self, head: &mut Rows) -> Result<(), BuildError> {
        for (i, via) in self.request.headers.vias().enumerate() {
            // What cannot be read cannot be sent back either; without a Via nobody finds the transaction anyway.
            let Ok(mut via) = via else { break };
            if i == 0 {
                via.note_source(self.source)?;
            }
            head.row(Name::VIA, &via.to_string());
        }
        Ok(())
    }
}
