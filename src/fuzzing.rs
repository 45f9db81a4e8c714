//! The bodies of the fuzz targets: each takes any bytes, and panics when a law is broken.
//!
//! They stand here so that a fuzzer, the replay of its corpus in plain tests, and property tests all run the same code.
//! Nothing of this is part of the interface of the crate.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a broken law has to stop the fuzzer")]

use crate::ids::StreamId;
use crate::node::{Datagram, Output, StreamInput};
use crate::reload::codec::{ForwardingHeader, Frame, Message as ReloadMessage};
use crate::rtp::{header, mp2t, rtcp};
use crate::sim::{Checked, Machine};
use crate::sip::body::{Carrier, IptvBody};
use crate::sip::msg::{
    Capabilities, Message, Method, Request, ResponseBuilder, Status, judge, judge_response,
};
use crate::sip::sdp::SessionDescription;
use crate::sip::stream::Framer;
use crate::stats::Plane;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use arbitrary::{Arbitrary, Unstructured};
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
            other => panic!("our answer {bytes:?} is read as {other:?}"),
        }
    }
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
        let _ = description.mp2t().map(|media| description.address_of(media));
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

/// One thing that a host may do to a machine.
#[derive(Debug, Arbitrary)]
enum Operation {
    /// Time goes on, by 2 to this power microseconds.
    Wait(u8),
    /// The clock goes back by so many milliseconds.
    TurnBack(u16),
    /// Time goes on to the deadline.
    Wake,
    Datagram {
        plane: u8,
        from: u8,
        payload: Vec<u8>,
    },
    Opened {
        stream: u8,
        plane: u8,
    },
    Bytes {
        stream: u8,
        bytes: Vec<u8>,
    },
    Writable {
        stream: u8,
    },
    Closed {
        stream: u8,
    },
    Unreachable {
        plane: u8,
        to: u8,
    },
}

fn plane(n: u8) -> Plane {
    [Plane::Overlay, Plane::Signalling, Plane::Media][usize::from(n % 3)]
}

fn stream(n: u8) -> StreamId {
    if n.is_multiple_of(2) {
        StreamId::accepted(u32::from(n / 2))
    } else {
        StreamId::requested(u32::from(n / 2))
    }
}

/// Any calls in any order, with any bytes, are legal and bounded (K3, K7), and no promise breaks on the way.
pub fn operate<M: Machine>(machine: M, script: &[u8]) -> Vec<Output> {
    const CALLS: usize = 1_000;
    /// A day is 2^36.3 microseconds.
    const LONGEST: u8 = 37;
    let mut script = Unstructured::new(script);
    let (mut machine, mut outputs) = (Checked::new(machine), Vec::new());
    let mut now = Instant::ZERO;
    for _ in 0..CALLS {
        if script.is_empty() {
            break;
        }
        let Ok(operation) = Operation::arbitrary(&mut script) else { break };
        match operation {
            Operation::Wait(power) => now += Duration::from_micros(1 << (power % LONGEST)),
            Operation::TurnBack(millis) => now = now - Duration::from_millis(millis.into()),
            Operation::Wake => now = machine.deadline().unwrap_or(now).max(now),
            _ => {}
        }
        let step = machine.step(
            now,
            |m| match operation {
                Operation::Wait(_) | Operation::TurnBack(_) | Operation::Wake => m.handle_timeout(now),
                Operation::Datagram { plane: p, from, payload } => {
                    let from = address(from % 4, 5060);
                    m.handle_datagram(now, Datagram { plane: plane(p), from, payload: payload.into() });
                }
                Operation::Opened { stream: s, plane: p } => {
                    let opened = StreamInput::Opened { peer: address(s, 5060), plane: plane(p) };
                    m.handle_stream(now, stream(s), opened);
                }
                Operation::Bytes { stream: s, bytes } => {
                    m.handle_stream(now, stream(s), StreamInput::Bytes(bytes.into()));
                }
                Operation::Writable { stream: s } => m.handle_stream(now, stream(s), StreamInput::Writable),
                Operation::Closed { stream: s } => m.handle_stream(now, stream(s), StreamInput::Closed),
                Operation::Unreachable { plane: p, to } => {
                    m.handle_unreachable(now, plane(p), address(to, 5060));
                }
            },
            |_, output| outputs.push(output),
        );
        if let Err(violation) = step {
            panic!("{violation}");
        }
    }
    outputs
}
