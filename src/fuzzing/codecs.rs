//! What every parser holds: it is total and bounded, and what is written is what was read.

use crate::reload::codec::{ForwardingHeader, Frame, Message as ReloadMessage};
use crate::reload::configuration::{Configuration, Document, KindBlock};
use crate::rtp::{header, mp2t, rtcp};
use crate::sip::body::{Carrier, IptvBody};
use crate::sip::msg::{
    Capabilities, MAX_HEAD, Message, Method, Name, Request, ResponseBuilder, Status, judge, judge_response,
};
use crate::sip::sdp::{Profile, SessionDescription};
use crate::sip::stream::Framer;
use crate::wire::DecodeErrorKind;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::{Ipv4Addr, SocketAddr};

fn address(host: u8, port: u16) -> SocketAddr {
    (Ipv4Addr::new(192, 0, 2, host), port).into()
}

/// A frame of an overlay link is read alike from a datagram and from a stream, and written back as it was.
pub fn reload_frame(data: &[u8]) {
    const MAX_MESSAGE: usize = 5000;
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(frame) = Frame::decode(&bytes) {
        assert_eq!(frame.encode().unwrap(), bytes);
    }
    if let Ok(Some((frame, taken))) = Frame::decode_stream(&bytes, MAX_MESSAGE) {
        assert_eq!(Frame::decode(&bytes.slice(..taken)), Ok(frame));
    }
}

/// What a message is read as is what is read again when it is written. In transit its payload is untouched.
pub fn reload_message(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok((header, payload)) = ForwardingHeader::decode(&bytes) {
        let forwarded = header.encode(&payload).unwrap();
        assert_eq!(ForwardingHeader::decode(&forwarded), Ok((header, payload)));
    }
    if let Ok(message) = ReloadMessage::decode(&bytes) {
        assert_eq!(ReloadMessage::decode(&message.encode().unwrap()).as_ref(), Ok(&message));
        if let Ok(body) = message.contents.body() {
            let contents = crate::reload::codec::MessageContents::new(&body).unwrap();
            assert_eq!(contents.body(), Ok(body));
        }
    }
}

/// A configuration document keeps its file; every error lies in it. What it says is written so that it is read as the
/// same again. Kinds are read alike from a ConfigUpdate.
pub fn configuration(data: &[u8]) {
    for name in Document::names(data).unwrap_or_default().iter().take(4) {
        match Document::parse(data, name) {
            Err(error) => assert!(error.offset <= data.len(), "{error}"),
            Ok(document) => {
                assert_eq!(document.file(), data);
                let element = document.element();
                assert!(element.starts_with(b"<") && element.ends_with(b">"));
                assert!(document.signatures().len() <= Document::MAX_SIGNATURES);
                let again = document.configuration().to_document(&[]).map(|d| d.configuration().clone());
                let same = |c: &Configuration| (c.sequence, c.expiration, c.bad_nodes.clone(), c.kinds.len());
                if let Ok(again) = again {
                    assert_eq!(same(&again), same(document.configuration()));
                }
            }
        }
    }
    match KindBlock::parse(data) {
        Err(error) => assert!(error.offset <= data.len(), "{error}"),
        Ok(blocks) => {
            for block in blocks {
                let again = KindBlock::parse(block.to_xml().unwrap().as_bytes()).unwrap();
                assert_eq!(again.first().map(KindBlock::definition), Some(block.definition()));
            }
        }
    }
}

/// Every header can be asked for, every request gets a judgement, and what we answer can be read.
pub fn sip_message(data: &[u8]) {
    match Message::parse(Bytes::copy_from_slice(data)) {
        Ok(Message::Request(request)) => answer(&request),
        Ok(Message::Response(response)) => {
            ask_everything(&Message::Response(response.clone()));
            let _ = judge_response(&response);
        }
        Err(error) => assert!(error.offset <= data.len(), "{error}"),
    }
}

fn ask_everything(message: &Message) {
    let headers = message.headers();
    let _ = (headers.via(), headers.from(), headers.to(), headers.call_id(), headers.cseq());
    let _ = (headers.max_forwards(), headers.content_length(), headers.content_type(), headers.contact());
    let _ = (headers.info_package(), headers.retry_after(), headers.expires(), headers.priority());
    let _ = (headers.vias().count(), headers.contacts().count(), headers.routes().count());
    let _ = (headers.record_routes().count(), headers.require().count(), headers.supported().count());
    let _ = (headers.allow().count(), headers.accept().map(Iterator::count));
    let _ = headers.recv_info().map(Iterator::count);
}

fn answer(request: &Request) {
    const ABLE: Capabilities<'_> = Capabilities {
        methods: &[Method::INVITE, Method::ACK, Method::BYE],
        extensions: &["timer"],
        content_types: &["application/sdp"],
    };
    ask_everything(&Message::Request(request.clone()));
    let _ = request.uri();
    let source = address(1, 5060);
    let response = match judge(request, &ABLE) {
        Ok(()) => Some(ResponseBuilder::new(request, Status::OK, source)),
        Err(refusal) => refusal.response(request, source, &ABLE),
    };
    if let Some(Ok(bytes)) = response.map(ResponseBuilder::finish) {
        match Message::parse(bytes.clone()) {
            Ok(Message::Response(_)) => {}
            // Its Via and Record-Route fill a message, and the answer has a row more.
            Err(e) if e.kind == DecodeErrorKind::TooLong && is_full(request) => {}
            other => panic!("our answer {bytes:?} is read as {other:?}"),
        }
    }
}

/// Whether an answer, which sends the way of the request back, may be larger than what we would read.
fn is_full(request: &Request) -> bool {
    const HOPS: usize = 70;
    const GROWTH: usize = 256;
    let hops = request.headers.vias().count() + request.headers.get_all(Name::RECORD_ROUTE).count();
    hops > HOPS || request.as_bytes().len() - request.body().len() + GROWTH > MAX_HEAD
}

/// The frames of a stream are the same however it is cut, and what waits is bounded. The first byte says how it is cut.
pub fn sip_stream(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else { return };
    let frames = |length: usize| {
        let (mut framer, mut frames) = (Framer::new(), Vec::new());
        for chunk in stream.chunks(length) {
            framer.push(chunk);
            while let Some(frame) = framer.next_frame() {
                frames.push(alloc::format!("{frame:?}"));
            }
            assert!(framer.buffered() <= stream.len());
        }
        frames
    };
    // More at once than a framer holds is an error of its own.
    const AT_ONCE: usize = 16 * 1024;
    if stream.len() <= AT_ONCE {
        assert_eq!(frames(usize::from(cut) + 1), frames(AT_ONCE));
    }
}

/// A description that was read and can be written is read as the same again.
pub fn sdp(data: &[u8]) {
    if let Ok(description) = SessionDescription::parse(data)
        && let Ok(bytes) = description.to_bytes()
    {
        assert_eq!(SessionDescription::parse(&bytes).as_ref(), Ok(&description));
        for profile in [Profile::Avp, Profile::Savp] {
            let _ = description.mp2t(profile).map(|media| description.address_of(media));
        }
    }
}

/// A body that was read and can be written is read as the same again, from either carrier.
pub fn iptv_body(data: &[u8]) {
    for carrier in [Carrier::Datagram, Carrier::Stream] {
        if let Ok(body) = IptvBody::parse(data, carrier)
            && let Ok(bytes) = body.to_bytes()
        {
            assert_eq!(IptvBody::parse(&bytes, Carrier::Stream).as_ref(), Ok(&body));
        }
    }
}

/// RTP and RTCP are told apart, and every part of both can be looked at.
pub fn rtp(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let _ = header::kind_of(data);
    if let Ok(packet) = header::Packet::parse(data) {
        assert!(packet.payload.len() <= data.len());
        if let Ok(packets) = mp2t::packets(packet.payload) {
            assert_eq!(packets.clone().count() * mp2t::TsPacket::LEN, packet.payload.len());
            packets.for_each(|p| assert!(p.payload().len() < mp2t::TsPacket::LEN && p.pid().0 < 1 << 13));
        }
        let _ = mp2t::Summary::of(packet.payload);
    }
    if let Ok(compound) = rtcp::parse(&bytes) {
        let _ = alloc::format!("{compound:?}");
    }
}
