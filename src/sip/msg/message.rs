//! A received message (RFC 3261 §7).

use super::MAX_BODY;
use super::head::{Head, Headers, Tolerance};
use super::method::Method;
use super::scan;
use super::status::Status;
use super::uri::Uri;
use crate::wire::{DecodeError, DecodeErrorKind};
use bytes::Bytes;
use core::ops::Range;

/// A message as it was received: a request or a response.
#[derive(Clone, Debug)]
pub enum Message {
    /// A request, perhaps with a fault for which it has to be refused.
    Request(Request),
    /// A response without a fault in its framing.
    Response(Response),
}

/// A received request.
///
/// It exists as soon as its first line looks like that of a request, because a broken request wants an answer: what is
/// wrong with it stands in [`Request::fault`], and [`judge`](super::judge()) turns that into a status.
#[derive(Clone, Debug)]
pub struct Request {
    /// The header rows.
    pub headers: Headers,
    message: Bytes,
    method: Method,
    uri: Range<usize>,
    version_2: bool,
    body: Bytes,
    fault: Option<DecodeError>,
}

/// A received response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The header rows.
    pub headers: Headers,
    message: Bytes,
    status: Status,
    reason: Range<usize>,
    body: Bytes,
}

impl Message {
    /// Reads a datagram. The error means: drop it.
    pub fn parse(datagram: Bytes) -> Result<Self, DecodeError> {
        Self::parse_with(datagram, Tolerance::Strict)
    }

    /// Reads a datagram with the line ends that `tolerance` allows. The error means: drop it.
    pub fn parse_with(datagram: Bytes, tolerance: Tolerance) -> Result<Self, DecodeError> {
        let head = Head::scan(&datagram, tolerance);
        let (body, fault) = head.body_of_datagram(&datagram);
        Self::assemble(datagram, head, body, fault)
    }

    /// How long the body behind a complete head is, on a stream: a head with any fault, and one without Content-Length,
    /// is an error there.
    pub(in crate::sip) fn measure_body(head: &[u8]) -> Result<usize, DecodeError> {
        let head = Head::scan(&Bytes::copy_from_slice(head), Tolerance::Strict);
        let (kind, field) = (DecodeErrorKind::BadLength, "Content-Length");
        match head.fault {
            Some(fault) => Err(fault),
            None => head.headers.content_length()?.ok_or(DecodeError { kind, field, offset: head.body_at }),
        }
    }

    fn assemble(
        message: Bytes,
        head: Head,
        body: Bytes,
        fault: Option<DecodeError>,
    ) -> Result<Self, DecodeError> {
        let Head { start, headers, fault: head_fault, .. } = head;
        let too_long = (body.len() > MAX_BODY).then_some(DecodeError {
            kind: DecodeErrorKind::TooLong,
            field: "message-body",
            offset: message.len(),
        });
        let fault = head_fault.or(fault).or(too_long);
        let line = message.get(start.clone()).unwrap_or_default();
        if let Some((status, reason)) = status_line(line) {
            let status = status.map_err(|e| e.at(start.start, line.len()))?;
            let reason = start.start + reason..start.end;
            return match fault {
                None => Ok(Message::Response(Response { headers, message, status, reason, body })),
                Some(fault) => Err(fault),
            };
        }
        let line = RequestLine::read(line).map_err(|e| e.at(start.start, line.len()))?;
        let uri = start.start + line.uri.start..start.start + line.uri.end;
        let fault = line.fault.map(|f| f.at(start.start, start.len())).or(fault);
        let (method, version_2) = (line.method, line.version_2);
        Ok(Message::Request(Request { headers, message, method, uri, version_2, body, fault }))
    }

    /// All of either, as received.
    pub fn as_bytes(&self) -> &Bytes {
        match self {
            Message::Request(r) => &r.message,
            Message::Response(r) => &r.message,
        }
    }

    /// The header rows of either.
    pub fn headers(&self) -> &Headers {
        match self {
            Message::Request(r) => &r.headers,
            Message::Response(r) => &r.headers,
        }
    }

    /// The body of either.
    pub fn body(&self) -> &Bytes {
        match self {
            Message::Request(r) => &r.body,
            Message::Response(r) => &r.body,
        }
    }
}

impl Request {
    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The Request-URI as written.
    pub fn uri_text(&self) -> &[u8] {
        self.message.get(self.uri.clone()).unwrap_or_default()
    }

    /// The Request-URI.
    pub fn uri(&self) -> Result<Uri<'_>, DecodeError> {
        let (kind, field) = (DecodeErrorKind::InvalidValue, "Request-URI");
        let text = core::str::from_utf8(self.uri_text()).ok().and_then(Uri::new);
        text.ok_or(DecodeError { kind, field, offset: self.uri.start })
    }

    /// Whether the version is SIP/2.0.
    pub fn is_sip_2(&self) -> bool {
        self.version_2
    }

    /// Another version as an error.
    pub(super) fn version_error(&self) -> Option<DecodeError> {
        let (kind, field, offset) = (DecodeErrorKind::InvalidValue, "SIP-Version", self.uri.end + 1);
        (!self.version_2).then_some(DecodeError { kind, field, offset })
    }

    /// The body: what Content-Length says of it, or the rest of the datagram.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// All of it, as received.
    pub fn as_bytes(&self) -> &Bytes {
        &self.message
    }

    /// What is wrong with its framing or its first line, if anything.
    pub fn fault(&self) -> Option<DecodeError> {
        self.fault
    }
}

impl Response {
    /// The status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The reason phrase: UTF-8, or whatever was sent.
    pub fn reason(&self) -> &[u8] {
        self.message.get(self.reason.clone()).unwrap_or_default()
    }

    /// The body: what Content-Length says of it, or the rest of the datagram.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// All of it, as received.
    pub fn as_bytes(&self) -> &Bytes {
        &self.message
    }
}

/// `Status-Line = SIP-Version SP Status-Code SP Reason-Phrase`: `None` when the line is none, else the status and
/// where the reason begins.
fn status_line(line: &[u8]) -> Option<(Result<Status, scan::Fault>, usize)> {
    let (version, after) = line.split_at_checked(b"SIP/2.0 ".len())?;
    if !version.eq_ignore_ascii_case(b"SIP/2.0 ") {
        return None;
    }
    let wrong = scan::Fault { left: after.len(), field: "Status-Code", kind: DecodeErrorKind::InvalidValue };
    let status = match after {
        [a, b, c, b' ', ..] | [a, b, c] if [a, b, c].iter().all(|d| d.is_ascii_digit()) => {
            let digit = |d: &u8| u16::from(d - b'0');
            Status::new(digit(a) * 100 + digit(b) * 10 + digit(c)).ok_or(wrong)
        }
        _ => Err(wrong),
    };
    Some((status, line.len().min(b"SIP/2.0 200 ".len())))
}

/// `Request-Line = Method SP Request-URI SP SIP-Version`
struct RequestLine {
    method: Method,
    uri: Range<usize>,
    version_2: bool,
    fault: Option<scan::Fault>,
}

impl RequestLine {
    /// An error when this is no request at all: nothing can answer it. A request line that begins like one and goes wrong
    /// later has a fault.
    fn read(line: &[u8]) -> Result<Self, scan::Fault> {
        let wrong = |left: usize, field| scan::Fault { left, field, kind: DecodeErrorKind::InvalidValue };
        let (after, method) = scan::token(line, "Method").map_err(|e| scan::to_fault(e, "Method"))?;
        let method = Method::new(method).ok_or(wrong(line.len(), "Method"))?;
        let [b' ', rest @ ..] = after else { return Err(wrong(after.len(), "Request-Line")) };
        let uri_at = line.len() - rest.len();
        let (uri_len, version) = match rest.iter().position(|&b| b == b' ') {
            Some(n) => (n, rest.get(n + 1..).unwrap_or_default()),
            None => (rest.len(), &[][..]),
        };
        let numbers = version.split_at_checked(4).filter(|(sip, _)| sip.eq_ignore_ascii_case(b"SIP/"));
        let legal = |n: &[u8]| {
            let mut halves = n.splitn(2, |&b| b == b'.');
            let digits =
                |half: Option<&[u8]>| half.is_some_and(|h| !h.is_empty() && h.iter().all(u8::is_ascii_digit));
            digits(halves.next()) && digits(halves.next())
        };
        let version = match numbers {
            Some((_, numbers)) if legal(numbers) => Ok(numbers == b"2.0"),
            _ => Err(wrong(version.len(), "SIP-Version")),
        };
        let (version_2, fault) = version.map_or_else(|fault| (false, Some(fault)), |is_2| (is_2, None));
        Ok(RequestLine { method, uri: uri_at..uri_at + uri_len, version_2, fault })
    }
}
