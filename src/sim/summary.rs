//! What a datagram is, in a few words: enough to follow a trace, without decoding anything.
//!
//! It reads fixed offsets and never more, so it also works on bytes that no decoder would take.

use crate::stats::Plane;
use alloc::format;
use alloc::string::String;

/// A few words about a datagram or a chunk of a stream.
pub fn summarise(plane: Plane, payload: &[u8]) -> String {
    let known = match plane {
        Plane::Overlay => reload(payload),
        Plane::Signalling => sip(payload),
        Plane::Media => media(payload),
    };
    known.unwrap_or_else(|| format!("{plane:?} {} bytes", payload.len()))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// The framing header (RFC 6940 §6.6.2): type, sequence, and 24 bits of length before a message.
fn reload(frame: &[u8]) -> Option<String> {
    const DATA: u8 = 128;
    const ACK: u8 = 129;
    const DATA_HEADER: usize = 8;
    match *frame.first()? {
        ACK => Some(format!("RELOAD ack {}", u32_at(frame, 1)?)),
        DATA => {
            let message = frame.get(DATA_HEADER..)?;
            Some(format!("RELOAD {} ({} bytes)", reload_message(message)?, frame.len()))
        }
        _ => None,
    }
}

/// The forwarding header (RFC 6940 §6.3.2) has 38 bytes, then its three lists, then the message code.
fn reload_message(message: &[u8]) -> Option<String> {
    const RELO_TOKEN: u32 = 0xd245_4c4f;
    const FRAGMENT: usize = 12;
    const LISTS: usize = 32;
    const HEADER: usize = 38;
    if u32_at(message, 0)? != RELO_TOKEN {
        return None;
    }
    let offset = u32_at(message, FRAGMENT)? & 0x00ff_ffff;
    if offset != 0 {
        return Some(format!("fragment at {offset}"));
    }
    let lists: usize = (0..3).map_while(|n| u16_at(message, LISTS + 2 * n)).map(usize::from).sum();
    let code = u16_at(message, HEADER + lists)?;
    const ERROR: u16 = 0xffff;
    if code == ERROR {
        return Some(String::from("error"));
    }
    // A response has the code of its request, plus one; requests are odd (RFC 6940 §6.3.3).
    let (request, kind) = if code % 2 == 1 { (code, "req") } else { (code.saturating_sub(1), "ans") };
    let method = match request {
        0x01 => "probe",
        0x03 => "attach",
        0x07 => "store",
        0x09 => "fetch",
        0x0d => "find",
        0x0f => "join",
        0x11 => "leave",
        0x13 => "update",
        0x15 => "route_query",
        0x17 => "ping",
        0x19 => "stat",
        0x1d => "app_attach",
        0x21 => "config_update",
        _ => return Some(format!("message code {code:#06x}")),
    };
    Some(format!("{method}_{kind}"))
}

/// The first line, shortened, and for a response or an INFO what it is about.
fn sip(message: &[u8]) -> Option<String> {
    const LONGEST: usize = 80;
    let line = message.split(|&b| b == b'\r' || b == b'\n').next()?;
    if line.is_empty() || !line.iter().all(|b| (b' '..=b'~').contains(b)) {
        return None;
    }
    let line: String = line.iter().take(LONGEST).map(|&b| char::from(b)).collect();
    let about = |prefix: &str| {
        message
            .split(|&b| b == b'\n')
            .filter_map(|l| core::str::from_utf8(l).ok())
            .find_map(|l| l.strip_prefix(prefix))
            .map(|l| String::from(l.trim()))
    };
    let about = if line.starts_with("SIP/2.0") {
        about("CSeq:").map(|cseq| format!(" [{cseq}]"))
    } else {
        about("IPTV INFO :").map(|info| format!(" [{info}]"))
    };
    Some(match about {
        Some(about) => line + &about,
        None => line,
    })
}

/// RTP (RFC 3550 §5.1) or RTCP (§6), told apart as RFC 5761 §4 says.
fn media(packet: &[u8]) -> Option<String> {
    let [first, second, ..] = *packet else { return None };
    if first >> 6 != 2 {
        return None;
    }
    if (192..=223).contains(&second) {
        let kind = match second {
            200 => "SR",
            201 => "RR",
            202 => "SDES",
            203 => "BYE",
            204 => "APP",
            205 => "RTPFB",
            206 => "PSFB",
            _ => "packet",
        };
        return Some(format!("RTCP {kind} ({} bytes)", packet.len()));
    }
    let (sequence, timestamp, ssrc) = (u16_at(packet, 2)?, u32_at(packet, 4)?, u32_at(packet, 8)?);
    let (payload_type, bytes) = (second & 0x7f, packet.len());
    Some(format!("RTP pt={payload_type} seq={sequence} ts={timestamp} ssrc={ssrc:08x} ({bytes} bytes)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::bytes_from_hex;

    /// A ping_req with one destination (18 bytes of list), framed.
    fn ping() -> alloc::vec::Vec<u8> {
        bytes_from_hex(
            "80 00000001 000043
             d2454c4f 9aa32b8d 0001 0a 64 c0000000 00000043 0102030405060708 00001388 0000 0012 0000
             0110 000102030405060708090a0b0c0d0e0f 0017 00000000 00000000",
        )
        .unwrap()
    }

    #[test]
    fn names_a_reload_message_behind_its_lists() {
        assert_eq!(summarise(Plane::Overlay, &ping()), "RELOAD ping_req (74 bytes)");
        assert_eq!(summarise(Plane::Overlay, &[129, 0, 0, 0, 7, 0, 0, 0, 0]), "RELOAD ack 7");
    }

    #[test]
    fn shows_a_sip_request_with_its_report_and_a_response_with_its_method() {
        let info = b"INFO sip:1@10.0.0.1 SIP/2.0\r\nCSeq: 2 INFO\r\n\r\nIPTV INFO : Alive\r\n";
        assert_eq!(summarise(Plane::Signalling, info), "INFO sip:1@10.0.0.1 SIP/2.0 [Alive]");
        let ok = b"SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n\r\n";
        assert_eq!(summarise(Plane::Signalling, ok), "SIP/2.0 200 OK [1 INVITE]");
    }

    #[test]
    fn tells_rtp_from_rtcp() {
        let rtp = bytes_from_hex("8021 1234 00000abc deadbeef 47").unwrap();
        assert_eq!(summarise(Plane::Media, &rtp), "RTP pt=33 seq=4660 ts=2748 ssrc=deadbeef (13 bytes)");
        assert_eq!(summarise(Plane::Media, &[0x81, 201, 0, 7]), "RTCP RR (4 bytes)");
    }

    #[test]
    fn says_how_long_it_is_when_it_is_nothing_known() {
        let ping = ping();
        for plane in [Plane::Overlay, Plane::Signalling, Plane::Media] {
            for end in 0..ping.len() {
                assert!(!summarise(plane, &ping[..end]).is_empty());
            }
        }
        assert_eq!(summarise(Plane::Signalling, b"\r\n\r\n"), "Signalling 4 bytes");
    }
}
