//! What becomes of a request before anybody looks at its meaning (RFC 3261 §8.2): it is served, answered with an error,
//! or dropped.

use super::builder::ResponseBuilder;
use super::media_type::MediaType;
use super::message::{Request, Response};
use super::method::Method;
use super::name::Name;
use super::status::Status;
use super::uri::Uri;
use crate::wire::{DecodeError, DecodeErrorKind};
use alloc::string::String;
use core::net::SocketAddr;

/// What this user agent can do.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities<'a> {
    /// Methods that it serves.
    pub methods: &'a [Method],
    /// Option tags that it understands.
    pub extensions: &'a [&'a str],
    /// Media types of bodies that it understands.
    pub content_types: &'a [&'a str],
}

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It gets this answer. [`Refusal::response`] adds the rows that the status wants.
    Answer {
        /// The status.
        status: Status,
        /// Where the grammar was broken, when that was the reason.
        cause: Option<DecodeError>,
    },
    /// It is dropped: nothing may answer an ACK (§17).
    Drop {
        /// Where the grammar was broken, when that was the reason.
        cause: Option<DecodeError>,
    },
}

impl Refusal {
    /// The answer with Allow, Accept or Unsupported where the status wants it; `None` when it is dropped.
    pub fn response<'r>(
        &self,
        request: &'r Request,
        source: SocketAddr,
        able: &Capabilities<'_>,
    ) -> Option<ResponseBuilder<'r>> {
        let Refusal::Answer { status, .. } = *self else { return None };
        let answer = ResponseBuilder::new(request, status, source);
        Some(match status {
            Status::METHOD_NOT_ALLOWED | Status::NOT_IMPLEMENTED => {
                answer.header(Name::ALLOW, joined(able.methods.iter().map(Method::as_str)))
            }
            Status::UNSUPPORTED_MEDIA_TYPE => {
                let answer = answer.header(Name::ACCEPT, joined(able.content_types.iter().copied()));
                match encoded(request) {
                    true => answer.header(Name::new("Accept-Encoding"), "identity"),
                    false => answer,
                }
            }
            Status::BAD_EXTENSION => answer.header(Name::UNSUPPORTED, joined(unsupported(request, able))),
            _ => answer,
        })
    }
}

fn joined<'a>(items: impl Iterator<Item = &'a str>) -> String {
    items.fold(String::new(), |mut list, item| {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(item);
        list
    })
}

/// The option tags of Require that are not understood.
fn unsupported<'a>(request: &'a Request, able: &Capabilities<'a>) -> impl Iterator<Item = &'a str> {
    let extensions = able.extensions;
    request
        .headers
        .require()
        .flatten()
        .filter(move |tag| !extensions.iter().any(|e| e.eq_ignore_ascii_case(tag)))
}

fn encoded(request: &Request) -> bool {
    request
        .headers
        .get_all(Name::CONTENT_ENCODING)
        .any(|v| !v.is_empty() && !v.eq_ignore_ascii_case(b"identity"))
}

/// Judges a request. Behind `Ok` From, To, Call-ID, CSeq and a Via are there, and no accessor of
/// [`Headers`](super::Headers) fails.
///
/// | answer | when |
/// | --- | --- |
/// | 400 | the framing, the start line or a header that this library reads breaks its grammar; From, To, Call-ID, CSeq or Via is missing; one of them, or Max-Forwards or Content-Length, stands there twice; the CSeq names another method; the Request-URI has headers; a body has no type; a registration is for an address that is no SIP URI |
/// | 505 | the version is not 2.0 |
/// | 513 | a size or a count is over its limit |
/// | 501, 405 | the method is unknown; known but not served |
/// | 416 | the Request-URI is no SIP URI |
/// | 420 | Require asks for an extension that is not there |
/// | 415, 406 | the body is of a type or encoding that is not understood; Accept excludes `application/sdp` in an INVITE |
/// | dropped | the same faults in an ACK |
pub fn judge(request: &Request, able: &Capabilities<'_>) -> Result<(), Refusal> {
    let refuse = |status, cause| match *request.method() == Method::ACK {
        true => Refusal::Drop { cause },
        false => Refusal::Answer { status, cause },
    };
    let broken = |e: DecodeError| match e.kind {
        DecodeErrorKind::TooLong => refuse(Status::MESSAGE_TOO_LARGE, Some(e)),
        _ => refuse(Status::BAD_REQUEST, Some(e)),
    };
    let answer = |status| Err(refuse(status, None));
    if let Some(fault) = request.fault() {
        return Err(broken(fault));
    }
    if !request.is_sip_2() {
        return answer(Status::VERSION_NOT_SUPPORTED);
    }
    let uri = check_grammar(request).map_err(broken)?;
    if !able.methods.contains(request.method()) {
        return answer(match request.method().is_known() {
            true => Status::METHOD_NOT_ALLOWED,
            false => Status::NOT_IMPLEMENTED,
        });
    }
    check_sense(request).map_err(broken)?;
    match uri {
        Uri::Other(_) => return answer(Status::UNSUPPORTED_URI_SCHEME),
        Uri::Sip(uri) if uri.headers().is_some() => return answer(Status::BAD_REQUEST),
        Uri::Sip(_) => {}
    }
    // A CANCEL and an ACK belong to another request, which was judged by its Require (§8.2.2.3).
    let alone = !matches!(*request.method(), Method::CANCEL | Method::ACK);
    if alone && unsupported(request, able).next().is_some() {
        return answer(Status::BAD_EXTENSION);
    }
    if !request.body().is_empty() && !is_optional(request) {
        let known = |t: &MediaType<'_>| able.content_types.iter().any(|known| t.is(known));
        match request.headers.content_type() {
            Ok(Some(t)) if known(&t) && !encoded(request) => {}
            Ok(Some(_)) => return answer(Status::UNSUPPORTED_MEDIA_TYPE),
            _ => return answer(Status::BAD_REQUEST),
        }
    }
    if *request.method() == Method::INVITE
        && let Some(mut accept) = request.headers.accept()
        && !accept.any(|range| range.is_ok_and(|r| r.covers("application/sdp")))
    {
        return answer(Status::NOT_ACCEPTABLE);
    }
    Ok(())
}

/// Whether the sender says that the body need not be understood (§20.11).
fn is_optional(request: &Request) -> bool {
    let mut values = request.headers.get_all(Name::CONTENT_DISPOSITION);
    values.any(|v| {
        let text = core::str::from_utf8(v).unwrap_or_default();
        let mut params = text.split(';').skip(1).filter_map(|pair| pair.split_once('='));
        params.any(|(name, value)| {
            name.trim().eq_ignore_ascii_case("handling") && value.trim().eq_ignore_ascii_case("optional")
        })
    })
}

/// Reads every header that this library knows a grammar for, once.
fn check_grammar(request: &Request) -> Result<Uri<'_>, DecodeError> {
    let h = &request.headers;
    let uri = request.uri()?;
    check_common(h)?;
    h.max_forwards()?;
    h.content_type()?;
    if h.contact_is_star() && *request.method() != Method::REGISTER {
        return Err(missing("Contact", request.as_bytes().len()));
    }
    for list in [h.contacts(), h.routes(), h.record_routes()] {
        list.check()?;
    }
    for list in [Some(h.require()), Some(h.supported()), Some(h.allow()), h.recv_info()].into_iter().flatten()
    {
        list.check()?;
    }
    if let Some(accept) = h.accept() {
        accept.check()?;
    }
    h.info_package()?;
    h.expires()?;
    h.retry_after()?;
    h.priority()?;
    Ok(uri)
}

/// The five headers without which there is neither a transaction nor a dialog.
fn check_common(h: &super::Headers) -> Result<(), DecodeError> {
    let end = h.end();
    let mut vias = h.vias();
    vias.next().ok_or(missing("Via", end))??;
    vias.check()?;
    h.from()?.ok_or(missing("From", end))?;
    h.to()?.ok_or(missing("To", end))?;
    h.call_id()?.ok_or(missing("Call-ID", end))?;
    h.cseq()?.ok_or(missing("CSeq", end))?;
    h.content_length()?;
    Ok(())
}

/// What the grammar does not say: the CSeq is that of this method, and a registration is for a SIP URI (§10.3).
fn check_sense(request: &Request) -> Result<(), DecodeError> {
    let (h, end) = (&request.headers, request.as_bytes().len());
    if h.cseq()?.is_none_or(|cseq| cseq.method != *request.method()) {
        return Err(missing("CSeq", end));
    }
    if *request.method() == Method::REGISTER && h.to()?.is_none_or(|to| to.sip_uri().is_none()) {
        return Err(missing("To", end));
    }
    Ok(())
}

fn missing(field: &'static str, offset: usize) -> DecodeError {
    DecodeError { kind: DecodeErrorKind::InvalidValue, field, offset }
}

/// Judges a response: an error means that it is dropped. It must name its transaction, and its only Via is ours, or it is
/// not for us (§8.1.3.3).
pub fn judge_response(response: &Response) -> Result<(), DecodeError> {
    let h = &response.headers;
    check_common(h)?;
    match h.vias().count() {
        1 => {}
        _ => return Err(missing("Via", h.end())),
    }
    for list in [h.contacts(), h.record_routes()] {
        list.check()?;
    }
    if let Some(packages) = h.recv_info() {
        packages.check()?;
    }
    h.content_type()?;
    h.retry_after()?;
    Ok(())
}
