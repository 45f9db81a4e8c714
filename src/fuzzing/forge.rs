//! Messages of a peer who knows the protocol and means ill: every field legal, none of them true, signed where a
//! signature is asked for. What is only noise dies in the parsers; these get further.

use super::cast::{EVERYBODY, node_id};
use crate::env::Crypto;
use crate::ids::NodeId;
use crate::reload::codec::{
    Body, CertificateType, ForwardingHeader, Frame, GenericCertificate, Message, MessageContents,
    SecurityBlock, Signature, message_signature_input,
};
use crate::rtp::header::{Header, PayloadType};
use crate::rtp::rtcp::{Composer, Cover, Cue, Hold, Notice, ReportBlock};
use crate::rtp::srtcp::{Keys, MasterKey, Session};
use crate::sip;
use crate::sip::body::{Carrier, IptvBody, IptvInfo};
use crate::sip::msg::{Method, NameAddr, RequestBuilder, ResponseBuilder, SipUri, Status};
use crate::sip::sdp::{Profile, SessionDescription};
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use arbitrary::{Arbitrary, Result, Unstructured};
use bytes::Bytes;
use core::net::SocketAddr;

/// A message with everything as `header` and `contents` say, signed by `signer`, in a frame of its link.
fn signed(
    header: ForwardingHeader,
    contents: MessageContents,
    signer: &dyn Crypto,
    sequence: u32,
) -> Option<Bytes> {
    let identity = signer.signer();
    let input = message_signature_input(header.overlay, header.transaction_id, &contents, &identity).ok()?;
    let signature = Signature { identity, signed: signer.sign(&[&input]) };
    let certificates = signer
        .certificates()
        .iter()
        .map(|der| GenericCertificate { certificate_type: CertificateType::X509, certificate: der.clone() });
    let security = SecurityBlock { certificates: certificates.collect(), signature };
    let message = Message { header, contents, security }.encode().ok()?;
    Frame::Data { sequence, message }.encode().ok()
}

/// Any RELOAD message of `signer` to `to`, of an overlay that it knows well enough.
pub(super) fn reload(
    overlay: u32,
    signer: &dyn Crypto,
    to: NodeId,
    u: &mut Unstructured<'_>,
) -> Option<Bytes> {
    let contents = MessageContents::new(&u.arbitrary::<Body>().ok()?).ok()?;
    let destinations = match u.int_in_range(0..=5).ok()? {
        0 => vec![NodeId::WILDCARD.into()],
        1 => u.arbitrary().ok()?,
        _ => vec![to.into()],
    };
    let mut header = ForwardingHeader::new(overlay, u.arbitrary().ok()?, destinations);
    header.configuration_sequence = 1;
    if u.ratio(1, 4).ok()? {
        (header.via_list, header.options) = (vec![signer.node_id().into()], u.arbitrary().ok()?);
    }
    signed(header, contents, signer, u.arbitrary().ok()?)
}

/// Any answer of `signer` to a request that was seen on its way from `to`.
pub(super) fn reload_answer(
    request: &Bytes,
    signer: &dyn Crypto,
    to: NodeId,
    u: &mut Unstructured<'_>,
) -> Option<Bytes> {
    let Ok(Frame::Data { message, .. }) = Frame::decode(request) else { return None };
    let request = Message::decode(&message).ok()?;
    let body = u.arbitrary::<Body>().ok()?;
    let mut contents = MessageContents::new(&body).ok()?;
    if u.ratio(1, 2).ok()? {
        // The code fits the question, whatever the body is.
        contents.message_code = request.contents.message_code.answer();
    }
    let header =
        ForwardingHeader { via_list: Vec::new(), destination_list: vec![to.into()], ..request.header };
    signed(header, contents, signer, u.arbitrary().ok()?)
}

/// A message that was seen, with some octets of its body changed, signed anew.
pub(super) fn reload_again(
    seen: &Bytes,
    signer: &dyn Crypto,
    transaction: bool,
    u: &mut Unstructured<'_>,
) -> Option<Bytes> {
    let Ok(Frame::Data { message, sequence }) = Frame::decode(seen) else { return None };
    let Message { mut header, mut contents, .. } = Message::decode(&message).ok()?;
    if transaction {
        header.transaction_id = u.arbitrary().ok()?;
    }
    contents.message_body = spoilt(&contents.message_body, u);
    signed(header, contents, signer, sequence.wrapping_add(1))
}

/// The same octets, some of them changed, some left out or put in.
pub(super) fn spoilt(octets: &[u8], u: &mut Unstructured<'_>) -> Bytes {
    let mut octets = octets.to_vec();
    while let Ok((what, at, with)) = u.arbitrary::<(u8, u16, u8)>() {
        let at = usize::from(at).checked_rem(octets.len() + 1).unwrap_or(0);
        match what % 4 {
            0 => octets.insert(at, with),
            1 => octets.truncate(at),
            2 => drop(octets.get(at).is_some().then(|| octets.remove(at))),
            _ => octets.iter_mut().skip(at).take(1).for_each(|octet| *octet = with),
        }
        if u.is_empty() {
            break;
        }
    }
    octets.into()
}

/// Any SIP request.
pub(super) fn sip_request(u: &mut Unstructured<'_>) -> Option<Bytes> {
    with_body(u.arbitrary().ok()?, u).ok()?.finish().ok()
}

fn with_body(request: RequestBuilder, u: &mut Unstructured<'_>) -> Result<RequestBuilder> {
    Ok(match u.int_in_range(0..=3)? {
        0 => request,
        1 => {
            request.body("application/sdp", &SessionDescription::arbitrary(u)?.to_bytes().unwrap_or_default())
        }
        _ => request.body("text/plain", &IptvBody::arbitrary(u)?.to_bytes().unwrap_or_default()),
    })
}

/// Any request inside the dialog of a message that was seen, from its caller or (`back`) from its callee. The second
/// value says whether the caller sent what was seen.
pub(super) fn sip_in_dialog(
    seen: &Bytes,
    back: bool,
    from: SocketAddr,
    u: &mut Unstructured<'_>,
) -> Option<Bytes> {
    let method = u.arbitrary::<Method>().ok()?;
    with_body(in_dialog(seen, method, back, from, u)?, u).ok()?.finish().ok()
}

fn in_dialog(
    seen: &Bytes,
    method: Method,
    back: bool,
    from: SocketAddr,
    u: &mut Unstructured<'_>,
) -> Option<RequestBuilder> {
    let seen = sip::msg::Message::parse(seen.clone()).ok()?;
    let headers = seen.headers();
    let (caller, callee) = (headers.from().ok()??, headers.to().ok()??);
    let (local, remote) = if back { (callee, caller) } else { (caller, callee) };
    let number = match u.arbitrary::<Option<u32>>().ok()? {
        Some(number) => number,
        None => headers.cseq().ok()??.number.wrapping_add(1),
    };
    let branch = "z9hG4bK".to_string() + &u.arbitrary::<u16>().ok()?.to_string();
    let via = sip::msg::Via::new(sip::msg::Transport::UDP, from, &branch).ok()?;
    let request = RequestBuilder::new(method, &SipUri::of_user("100", from))
        .via(&via)
        .from(&local)
        .to(&remote)
        .call_id(headers.call_id().ok()??)
        .cseq(number)
        .contact(&NameAddr::new(SipUri::of_user("1", from)));
    Some(request)
}

/// A body of the tree, as a message that was seen had it.
fn body_of(seen: &Bytes) -> Option<IptvBody> {
    let seen = sip::msg::Message::parse(seen.clone()).ok()?;
    IptvBody::parse(seen.body(), Carrier::Stream).ok()
}

/// Whether a message that was seen brought leave to be found under a channel's name.
pub(super) fn brings_grant(seen: &Bytes) -> bool {
    let brings =
        |info| matches!(info, IptvInfo::Grant { .. } | IptvInfo::SelectedRelayer { grant: Some(_), .. });
    body_of(seen).is_some_and(|body| brings(body.info))
}

/// What a message brought that was seen, once more inside the dialog of another one.
pub(super) fn sip_replay(
    brought: &Bytes,
    seen: &Bytes,
    back: bool,
    from: SocketAddr,
    u: &mut Unstructured<'_>,
) -> Option<Bytes> {
    let mut body = body_of(brought)?;
    if let IptvInfo::SelectedRelayer { grant: Some(grant), .. } = &body.info
        && u.arbitrary().ok()?
    {
        body.info = IptvInfo::Grant { grant: grant.clone(), node: None };
    }
    if u.arbitrary().ok()? {
        body.channel = None;
    }
    let request = in_dialog(seen, Method::INFO, back, from, u)?;
    // As if it were for somebody below the one who is told.
    if let IptvInfo::Grant { node, .. } = &mut body.info
        && u.arbitrary().ok()?
    {
        *node = Some(node_id(u.choose_index(EVERYBODY).ok()?));
    }
    request.body("text/plain", &body.to_bytes().ok()?).finish().ok()
}

/// The key that a description told, under which whoever sent it protects its reports.
pub(super) fn key_of(seen: &Bytes) -> Option<MasterKey> {
    let seen = sip::msg::Message::parse(seen.clone()).ok()?;
    let description = SessionDescription::parse(seen.body()).ok()?;
    Some(MasterKey::new(description.mp2t(Profile::Savp)?.crypto?.key))
}

/// A report of whoever has the key.
pub(super) fn srtcp(key: &MasterKey, report: &Bytes, index: u32) -> Option<Bytes> {
    let mut session = Session::new(&Keys { ours: key.clone(), theirs: key.clone() });
    session.skip_to(index);
    session.protect(report).ok()
}

/// Any response to a request that was seen.
pub(super) fn sip_response(seen: &Bytes, from: SocketAddr, u: &mut Unstructured<'_>) -> Option<Bytes> {
    let sip::msg::Message::Request(request) = sip::msg::Message::parse(seen.clone()).ok()? else {
        return None;
    };
    let mut response = ResponseBuilder::new(&request, u.arbitrary::<Status>().ok()?, from);
    if u.ratio(3, 4).ok()? {
        response = response.to_tag("forged");
    }
    for _ in 0..u.int_in_range(0..=2).ok()? {
        response = response.contact(&u.arbitrary::<NameAddr<'static>>().ok()?);
    }
    if u.ratio(1, 2).ok()? {
        let session = u.arbitrary::<SessionDescription>().ok()?;
        response = response.body("application/sdp", &session.to_bytes().ok()?);
    }
    response.finish().ok()
}

/// Any report about `ssrc`, or about any other source.
pub(super) fn rtcp(ssrc: u32, u: &mut Unstructured<'_>) -> Result<Bytes> {
    let ssrc = if u.ratio(3, 4)? { ssrc } else { u.arbitrary()? };
    let block = ReportBlock {
        ssrc,
        fraction_lost: u.arbitrary()?,
        cumulative_lost: u.arbitrary()?,
        highest: u.arbitrary()?,
        jitter: u.arbitrary()?,
        last_sr: u.arbitrary()?,
        delay_since_last_sr: u.arbitrary()?,
    };
    let blocks = vec![block; u.int_in_range(0..=3)?];
    let mut composer = Composer::receiver_report(u.arbitrary()?, &blocks);
    if u.arbitrary()? {
        composer = composer.cname("forged");
    }
    if u.arbitrary()? {
        let hold = *u.choose(&[Hold::Starved, Hold::Paused, Hold::Sourceless])?;
        composer = composer.notice(Notice { hold, ssrc, highest: u.arbitrary()? });
    }
    if u.arbitrary()? {
        let cover = *u.choose(&[Cover::Resume, Cover::Denied, Cover::Release])?;
        composer = composer.cue(Cue { cover, ssrc, highest: u.arbitrary()? });
    }
    if u.arbitrary()? {
        let first: u16 = u.arbitrary()?;
        let step = u.int_in_range(1..=20)?;
        composer = composer.nack(ssrc, (0..u.int_in_range(0..=40)?).map(|n| first.wrapping_add(n * step)));
    }
    if u.arbitrary()? {
        composer = composer.goodbye();
    }
    Ok(composer.finish())
}

/// A media packet of this source, or of another.
pub(super) fn rtp(ssrc: u32, u: &mut Unstructured<'_>) -> Result<Bytes> {
    let header = Header {
        marker: u.arbitrary()?,
        payload_type: PayloadType::MP2T,
        sequence: u.arbitrary()?,
        timestamp: u.arbitrary()?,
        ssrc: if u.ratio(3, 4)? { ssrc } else { u.arbitrary()? },
    };
    let mut packet = header.to_bytes().to_vec();
    packet.resize(Header::LEN + 188, 0x47);
    Ok(packet.into())
}
