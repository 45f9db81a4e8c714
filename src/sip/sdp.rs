//! Session descriptions (RFC 8866), as far as one MPEG-TS stream over RTP needs them, and the answer to an offer
//! (RFC 3264 §6).
//!
//! Reading is tolerant: lines of other types and unknown attributes are passed over, a bare LF ends a line as well
//! (RFC 8866 §5). Writing gives one canonical form.

use super::msg::BuildError;
use super::sdes::Crypto;
use crate::wire::{DecodeError, DecodeErrorKind};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The media type of a session description.
pub const CONTENT_TYPE: &str = "application/sdp";
/// The payload type of an MPEG-2 transport stream (RFC 3551 §6).
pub const MP2T: &str = "33";
/// The tag of the one crypto attribute of an offer.
pub const OFFERED_TAG: u32 = 1;
/// The most m-lines of a description.
pub const MAX_MEDIA: usize = 16;
/// The most formats of an m-line.
pub const MAX_FORMATS: usize = 32;

/// A session description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionDescription {
    /// `o=`
    pub origin: Origin,
    /// `c=` of the session, when it is an IP address.
    pub connection: Option<IpAddr>,
    /// `t=`: start and stop in NTP seconds; both 0 is a session without bounds.
    pub time: (u64, u64),
    /// Each `m=` with what follows it.
    pub media: Vec<Media>,
}

/// Who describes the session: `o=name id version IN IP4 address`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The user name, `-` for none.
    pub username: String,
    /// sess-id
    pub session_id: u64,
    /// sess-version, one more for every change.
    pub version: u64,
    /// The address of the machine: an IP address or a name.
    pub address: String,
}

/// One medium: an m-line with its connection and attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// `video`, `audio` and so on.
    pub kind: String,
    /// The port; 0 rejects or ends the stream.
    pub port: u16,
    /// The transport, such as that of a [`Profile`].
    pub protocol: String,
    /// The formats: payload types for RTP.
    pub formats: Vec<String>,
    /// `c=` of this medium, when it is an IP address.
    pub connection: Option<IpAddr>,
    /// Which way the media flows, seen from who describes it.
    pub direction: Direction,
    /// `a=rtcp-mux`: RTP and RTCP share the port (RFC 5761).
    pub rtcp_mux: bool,
    /// `a=ssrc:<n> cname:<name>`: the synchronisation source, which always comes with its cname (RFC 5576 §6.1).
    pub ssrc: Option<(u32, String)>,
    /// `a=crypto`: the first one of a protection that is spoken here (RFC 4568).
    pub crypto: Option<Crypto>,
}

/// How RTP carries the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// As it is (RFC 3551).
    Avp,
    /// With authenticated RTCP, under keys that the descriptions tell (RFC 3711, RFC 4568).
    Savp,
}

impl Profile {
    const ALL: [Profile; 2] = [Profile::Avp, Profile::Savp];

    /// The transport of the m-line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Profile::Avp => "RTP/AVP",
            Profile::Savp => "RTP/SAVP",
        }
    }
}

/// Which way media flows, seen from who says it (RFC 8866 §6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Direction {
    /// `a=sendrecv`, and what holds when nothing is said.
    #[default]
    SendRecv,
    /// `a=sendonly`
    SendOnly,
    /// `a=recvonly`
    RecvOnly,
    /// `a=inactive`
    Inactive,
}

impl Direction {
    const ALL: [Direction; 4] =
        [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];

    /// Whether who says it sends.
    pub const fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether who says it receives.
    pub const fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    const fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// The answer to this offer of one who is willing to do so much: each sends only what the other receives
    /// (RFC 3264 §6.1).
    pub const fn answered_by(self, willing: Direction) -> Direction {
        Direction::new(willing.sends() && self.receives(), willing.receives() && self.sends())
    }

    /// The attribute.
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }
}

/// What this end brings to an offer or an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local<'a> {
    /// sess-id and sess-version.
    pub session: (u64, u64),
    /// Where RTP is received or sent from, with RTCP on the same port.
    pub address: SocketAddr,
    /// Which way the media flows (in an offer), or may flow (in an answer).
    pub direction: Direction,
    /// The synchronisation source and its cname, once known.
    pub ssrc: Option<(u32, &'a str)>,
    /// Under which key its RTCP goes; without one the stream is a plain one.
    pub key: Option<&'a [u8; Crypto::KEY_LEN]>,
}

impl Local<'_> {
    const fn profile(&self) -> Profile {
        match self.key {
            Some(_) => Profile::Savp,
            None => Profile::Avp,
        }
    }
}

/// The offer has no medium that this end can serve; answer 488.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no usable media in the offer")]
pub struct NoUsableMedia;

impl Media {
    /// An MPEG-TS stream as this end brings it. `tag` is that of its key.
    fn mp2t(local: &Local<'_>, tag: u32) -> Self {
        Media {
            kind: "video".to_string(),
            port: local.address.port(),
            protocol: local.profile().as_str().to_string(),
            formats: [MP2T.to_string()].into(),
            connection: None,
            direction: local.direction,
            rtcp_mux: true,
            ssrc: local.ssrc.map(|(ssrc, cname)| (ssrc, cname.to_string())),
            crypto: local.key.map(|&key| Crypto { tag, key }),
        }
    }

    /// How an MPEG-TS stream over RTP is carried; `None` of anything else, of a stream that was rejected, and of one whose
    /// protection is not spoken here.
    pub fn profile(&self) -> Option<Profile> {
        let profile = Profile::ALL.into_iter().find(|profile| profile.as_str() == self.protocol)?;
        let is_mp2t = self.port != 0 && self.formats.iter().any(|f| f == MP2T);
        (is_mp2t && (profile == Profile::Avp || self.crypto.is_some())).then_some(profile)
    }
}

impl SessionDescription {
    /// The offer of one MPEG-TS stream.
    pub fn offer(local: &Local<'_>) -> Self {
        SessionDescription {
            origin: Origin::of(local),
            connection: Some(local.address.ip()),
            time: (0, 0),
            media: [Media::mp2t(local, OFFERED_TAG)].into(),
        }
    }

    /// The answer to an offer: the first MPEG-TS stream is taken that has keys if this end has one, and has none if not;
    /// every other m-line is rejected with port 0 (RFC 3264 §6). RTCP shares the port only when the offer said so (RFC 5761
    /// §5.1.1).
    pub fn answer(&self, local: &Local<'_>) -> Result<Self, NoUsableMedia> {
        let profile = Some(local.profile());
        let chosen = self.media.iter().position(|m| m.profile() == profile).ok_or(NoUsableMedia)?;
        let answer = |(i, offered): (usize, &Media)| match i == chosen {
            true => Media {
                kind: offered.kind.clone(),
                rtcp_mux: offered.rtcp_mux,
                direction: offered.direction.answered_by(local.direction),
                ..Media::mp2t(local, offered.crypto.map_or(OFFERED_TAG, |crypto| crypto.tag))
            },
            false => Media {
                port: 0,
                ssrc: None,
                crypto: None,
                connection: None,
                rtcp_mux: false,
                ..offered.clone()
            },
        };
        Ok(SessionDescription {
            origin: Origin::of(local),
            connection: Some(local.address.ip()),
            time: self.time,
            media: self.media.iter().enumerate().map(answer).collect(),
        })
    }

    /// The first MPEG-TS stream that is carried so.
    pub fn mp2t(&self, profile: Profile) -> Option<&Media> {
        self.media.iter().find(|m| m.profile() == Some(profile))
    }

    /// Where the peer wants the packets of a medium; `None` when it was rejected or its address is a name.
    pub fn address_of(&self, media: &Media) -> Option<SocketAddr> {
        let ip = media.connection.or(self.connection)?;
        (media.port != 0).then_some(SocketAddr::new(ip, media.port))
    }

    /// Reads a description.
    pub fn parse(input: &[u8]) -> Result<Self, DecodeError> {
        let mut lines = Lines { input, at: 0 };
        match lines.next().transpose()? {
            Some(Line { kind: b'v', value: "0", .. }) => {}
            _ => return Err(DecodeError { kind: DecodeErrorKind::InvalidValue, field: "v", offset: 0 }),
        }
        let (mut origin, mut connection, mut time) = (None, None, None);
        let mut media: Vec<Media> = Vec::new();
        for line in lines {
            let line = line?;
            let full = media.len() == MAX_MEDIA;
            match (line.kind, media.last_mut()) {
                (b'o', None) => origin = Some(Origin::parse(&line)?),
                (b't', None) => time = Some(time.unwrap_or(line.times()?)),
                (b'c', None) => connection = line.connection()?,
                (b'c', Some(medium)) => medium.connection = line.connection()?,
                (b'a', Some(medium)) => medium.attribute(&line)?,
                (b'm', _) if full => return Err(line.error(DecodeErrorKind::TooLong)),
                (b'm', _) => media.push(Media::parse(&line)?),
                _ => {}
            }
        }
        let missing = |field| DecodeError { kind: DecodeErrorKind::Truncated, field, offset: input.len() };
        let (origin, time) = (origin.ok_or(missing("o"))?, time.ok_or(missing("t"))?);
        Ok(SessionDescription { origin, connection, time, media })
    }

    /// The bytes. Refused: text with a blank or a control character where the grammar has a token.
    pub fn to_bytes(&self) -> Result<Bytes, BuildError> {
        let token = |t: &String| !t.is_empty() && t.bytes().all(|b| b.is_ascii_graphic());
        let media = |m: &Media| token(&m.kind) && token(&m.protocol) && m.formats.iter().all(token);
        let cname = |m: &Media| m.ssrc.as_ref().is_none_or(|(_, cname)| token(cname));
        let tag = |m: &Media| m.crypto.is_none_or(|crypto| crypto.tag <= Crypto::MAX_TAG);
        if !token(&self.origin.username) || !token(&self.origin.address) {
            return Err(BuildError { field: "origin" });
        }
        if !self.media.iter().all(|m| media(m) && cname(m) && tag(m) && !m.formats.is_empty()) {
            return Err(BuildError { field: "media" });
        }
        Ok(Bytes::from(self.to_string().into_bytes()))
    }
}

impl Origin {
    fn of(local: &Local<'_>) -> Self {
        let (session_id, version) = local.session;
        Origin { username: "-".to_string(), session_id, version, address: local.address.ip().to_string() }
    }

    fn parse(line: &Line<'_>) -> Result<Self, DecodeError> {
        let mut words = line.value.split(' ');
        let mut word =
            || words.next().filter(|w| !w.is_empty()).ok_or(line.error(DecodeErrorKind::InvalidValue));
        let (username, id, version) = (word()?, word()?, word()?);
        let (_net, _kind, address) = (word()?, word()?, word()?);
        let number = |text: &str| text.parse().map_err(|_| line.error(DecodeErrorKind::InvalidValue));
        Ok(Origin {
            username: username.to_string(),
            session_id: number(id)?,
            version: number(version)?,
            address: address.to_string(),
        })
    }
}

impl Media {
    /// `m=video 5004/2 RTP/AVP 33 34`
    fn parse(line: &Line<'_>) -> Result<Self, DecodeError> {
        let mut words = line.value.split(' ').filter(|w| !w.is_empty());
        let mut word = || words.next().ok_or(line.error(DecodeErrorKind::InvalidValue));
        let (kind, port, protocol) = (word()?, word()?, word()?);
        let port = port.split_once('/').map_or(port, |(port, _)| port);
        let port = port.parse().map_err(|_| line.error(DecodeErrorKind::InvalidValue))?;
        let mut formats = Vec::new();
        for format in words {
            if formats.len() == MAX_FORMATS {
                return Err(line.error(DecodeErrorKind::TooLong));
            }
            formats.push(format.to_string());
        }
        if formats.is_empty() {
            return Err(line.error(DecodeErrorKind::InvalidValue));
        }
        Ok(Media {
            kind: kind.to_string(),
            port,
            protocol: protocol.to_string(),
            formats,
            connection: None,
            direction: Direction::default(),
            rtcp_mux: false,
            ssrc: None,
            crypto: None,
        })
    }

    fn attribute(&mut self, line: &Line<'_>) -> Result<(), DecodeError> {
        if let Some(direction) = Direction::ALL.into_iter().find(|d| d.as_str() == line.value) {
            self.direction = direction;
        } else if line.value == "rtcp-mux" {
            self.rtcp_mux = true;
        } else if let Some((number, cname)) =
            line.value.strip_prefix("ssrc:").and_then(|ssrc| ssrc.split_once(" cname:"))
            && self.ssrc.is_none()
        {
            let number = number.parse().map_err(|_| line.error(DecodeErrorKind::InvalidValue))?;
            self.ssrc = Some((number, cname.to_string()));
        } else if let Some(crypto) = line.value.strip_prefix("crypto:") {
            let crypto = Crypto::parse(crypto).map_err(|kind| line.error(kind))?;
            self.crypto = self.crypto.or(crypto);
        }
        Ok(())
    }
}

/// One `type=value` line.
struct Line<'a> {
    kind: u8,
    value: &'a str,
    at: usize,
}

impl Line<'_> {
    fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        let field = match self.kind {
            b'o' => "o",
            b't' => "t",
            b'c' => "c",
            b'm' => "m",
            _ => "a",
        };
        DecodeError { kind, field, offset: self.at }
    }

    /// `t=start stop`
    fn times(&self) -> Result<(u64, u64), DecodeError> {
        let (start, stop) = self.value.split_once(' ').ok_or(self.error(DecodeErrorKind::InvalidValue))?;
        let number = |text: &str| text.parse().map_err(|_| self.error(DecodeErrorKind::InvalidValue));
        Ok((number(start)?, number(stop)?))
    }

    /// `c=IN IP4 address[/ttl[/count]]`; a name is `None`.
    fn connection(&self) -> Result<Option<IpAddr>, DecodeError> {
        let mut words = self.value.split(' ');
        let (Some("IN"), Some("IP4" | "IP6"), Some(address), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(self.error(DecodeErrorKind::InvalidValue));
        };
        Ok(address.split_once('/').map_or(address, |(address, _)| address).parse().ok())
    }
}

/// Walks over the lines.
struct Lines<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Line<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.input.get(self.at..)?;
        if rest.is_empty() {
            return None;
        }
        let at = self.at;
        let end = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
        self.at = at + end + 1;
        let line = rest.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let wrong = DecodeError { kind: DecodeErrorKind::InvalidValue, field: "line", offset: at };
        let outcome = match line {
            // The last line end is often doubled.
            [] if self.at >= self.input.len() => return None,
            [kind @ b'a'..=b'z', b'=', value @ ..] if !value.contains(&b'\r') && !value.contains(&0) => {
                match core::str::from_utf8(value) {
                    Ok(value) => Ok(Line { kind: *kind, value, at }),
                    // Only free text may be in another character set, and none of it is read here.
                    Err(_) if matches!(kind, b's' | b'i' | b'a') => Ok(Line { kind: *kind, value: "", at }),
                    Err(_) => Err(wrong),
                }
            }
            _ => Err(wrong),
        };
        if outcome.is_err() {
            self.at = self.input.len();
        }
        Some(outcome)
    }
}

fn family(ip: &IpAddr) -> &'static str {
    match ip {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    }
}

impl fmt::Display for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { username, session_id, version, address } = &self.origin;
        let kind = family(&address.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
        write!(f, "v=0\r\no={username} {session_id} {version} IN {kind} {address}\r\ns=-\r\n")?;
        if let Some(ip) = &self.connection {
            write!(f, "c=IN {} {ip}\r\n", family(ip))?;
        }
        write!(f, "t={} {}\r\n", self.time.0, self.time.1)?;
        self.media.iter().try_for_each(|m| fmt::Display::fmt(m, f))
    }
}

impl fmt::Display for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m={} {} {}", self.kind, self.port, self.protocol)?;
        self.formats.iter().try_for_each(|format| write!(f, " {format}"))?;
        f.write_str("\r\n")?;
        if let Some(ip) = &self.connection {
            write!(f, "c=IN {} {ip}\r\n", family(ip))?;
        }
        if self.formats.iter().any(|format| format == MP2T) {
            write!(f, "a=rtpmap:{MP2T} MP2T/90000\r\n")?;
        }
        write!(f, "a={}\r\n", self.direction.as_str())?;
        if self.rtcp_mux {
            f.write_str("a=rtcp-mux\r\n")?;
        }
        if let Some((ssrc, cname)) = &self.ssrc {
            write!(f, "a=ssrc:{ssrc} cname:{cname}\r\n")?;
        }
        match &self.crypto {
            Some(crypto) => write!(f, "a={crypto}\r\n"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(direction: Direction) -> Local<'static> {
        let address = "127.0.0.1:7000".parse().unwrap();
        Local { session: (1, 2), address, direction, ssrc: None, key: None }
    }

    #[test]
    fn an_offer_is_these_bytes() {
        let offer = SessionDescription::offer(&local(Direction::RecvOnly)).to_bytes().unwrap();
        assert_eq!(
            core::str::from_utf8(&offer).unwrap(),
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=video 7000 RTP/AVP 33\r\na=rtpmap:33 MP2T/90000\r\na=recvonly\r\na=rtcp-mux\r\n"
        );
    }

    #[test]
    fn an_answer_takes_the_first_stream_it_can_and_rejects_the_others_in_their_places() {
        let offer = "v=0\r\no=x 1 1 IN IP6 ::1\r\ns=call me\r\nb=AS:64\r\nc=IN IP6 2001:db8::1\r\nt=3 4\r\na=tool:x\r\n\
                     m=audio 4000/2 RTP/AVP 0 8\r\nm=video 0 RTP/AVP 33\r\n\
                     m=video 5000 RTP/AVP 31 33\r\nc=IN IP4 10.0.0.9/127\r\na=recvonly\r\nm=video 5002 RTP/AVP 33\r\n";
        let offer = SessionDescription::parse(offer.as_bytes()).unwrap();
        let asked = offer.mp2t(Profile::Avp).unwrap();
        assert_eq!(offer.address_of(asked), Some("10.0.0.9:5000".parse().unwrap()));
        assert_eq!(offer.address_of(&offer.media[0]), Some("[2001:db8::1]:4000".parse().unwrap()));
        let willing = Local { ssrc: Some((7, "100")), ..local(Direction::SendRecv) };
        let answer = offer.answer(&willing).unwrap();
        assert_eq!(answer.time, (3, 4));
        assert_eq!(answer.media.iter().map(|m| m.port).collect::<Vec<_>>(), [0, 0, 7000, 0]);
        assert_eq!(answer.media[2].direction, Direction::SendOnly);
        assert!(!answer.media[2].rtcp_mux, "it was not offered");
        assert_eq!(answer.media[2].formats, ["33"]);
        assert_eq!(answer.media[0].formats, ["0", "8"]);
        let read = SessionDescription::parse(&answer.to_bytes().unwrap()).unwrap();
        assert_eq!(read.mp2t(Profile::Avp).unwrap().ssrc, Some((7, "100".to_string())));
    }

    #[test]
    fn rfc4568_an_offer_with_a_key_is_answered_with_another_under_the_same_tag() {
        let (ours, theirs) = ([1; 30], [2; 30]);
        let offer = SessionDescription::offer(&Local { key: Some(&ours), ..local(Direction::RecvOnly) });
        let bytes = offer.to_bytes().unwrap();
        let text = core::str::from_utf8(&bytes).unwrap();
        assert!(text.contains("m=video 7000 RTP/SAVP 33\r\n"));
        assert!(text.ends_with(
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB \
             UNENCRYPTED_SRTCP UNENCRYPTED_SRTP UNAUTHENTICATED_SRTP\r\n"
        ));
        // Somebody whose first stream is a plain one, and who has other protections to choose from.
        let text = text
            .replace("m=video 7000", "m=video 6998 RTP/AVP 33\r\nm=video 7000")
            .replace("a=crypto:1", "a=crypto:1 F8_128_HMAC_SHA1_80 inline:x|2^20|1:4\r\na=crypto:2");
        let offer = SessionDescription::parse(text.as_bytes()).unwrap();
        assert_eq!(offer.mp2t(Profile::Savp).unwrap().crypto, Some(Crypto { tag: 2, key: ours }));
        let secured = Local { key: Some(&theirs), ..local(Direction::SendOnly) };
        let answer = offer.answer(&secured).unwrap();
        let answer = SessionDescription::parse(&answer.to_bytes().unwrap()).unwrap();
        assert_eq!(answer.media.iter().map(|m| m.port).collect::<Vec<_>>(), [0, 7000]);
        assert_eq!(answer.mp2t(Profile::Savp).unwrap().crypto, Some(Crypto { tag: 2, key: theirs }));
        // Who has no key takes the plain one, and who would have both finds none.
        let plain = offer.answer(&local(Direction::SendOnly)).unwrap();
        assert_eq!(plain.media.iter().map(|m| m.port).collect::<Vec<_>>(), [7000, 0]);
        assert!(!plain.to_string().contains("crypto"));
        let unknown = text.replace("UNENCRYPTED_SRTCP", "");
        let unknown = SessionDescription::parse(unknown.as_bytes()).unwrap();
        assert_eq!(unknown.answer(&secured), Err(NoUsableMedia));
    }

    #[test]
    fn a_plain_stream_stays_plain_whatever_key_stands_beside_it() {
        let offer = SessionDescription::offer(&Local { key: Some(&[1; 30]), ..local(Direction::RecvOnly) });
        let text = offer.to_string().replace("RTP/SAVP", "RTP/AVP");
        let offer = SessionDescription::parse(text.as_bytes()).unwrap();
        assert_eq!((offer.mp2t(Profile::Savp), offer.media[0].profile()), (None, Some(Profile::Avp)));
    }

    #[test]
    fn each_sends_only_what_the_other_receives() {
        use Direction::*;
        let table = [
            (RecvOnly, SendOnly, SendOnly),
            (RecvOnly, SendRecv, SendOnly),
            (RecvOnly, RecvOnly, Inactive),
            (SendOnly, SendRecv, RecvOnly),
            (SendRecv, SendOnly, SendOnly),
            (SendRecv, SendRecv, SendRecv),
            (Inactive, SendRecv, Inactive),
        ];
        for (offered, willing, answered) in table {
            assert_eq!(offered.answered_by(willing), answered, "{offered:?} {willing:?}");
        }
    }

    #[test]
    fn an_offer_without_our_format_has_no_answer() {
        let offer = b"v=0\no=- 1 1 IN IP4 h.example\ns= \nt=0 0\nm=audio 4000 RTP/AVP 0\n";
        let offer = SessionDescription::parse(offer).unwrap();
        assert_eq!(offer.origin.address, "h.example");
        assert_eq!(offer.answer(&local(Direction::SendOnly)), Err(NoUsableMedia));
        assert_eq!(offer.address_of(&offer.media[0]), None, "nobody said an address");
    }

    #[test]
    fn broken_descriptions_are_refused_where_they_break() {
        let good = "v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\nt=0 0\r\n";
        let table = [
            ("v=1\r\n".to_string(), "v", 0),
            ("o=- 1 1 IN IP4 1.2.3.4\r\n".to_string(), "v", 0),
            ("v=0\r\n".to_string(), "o", 5),
            ("v=0\r\no=- x 1 IN IP4 1.2.3.4\r\n".to_string(), "o", 5),
            ([good, "m=video x RTP/AVP 33\r\n"].concat(), "m", good.len()),
            ([good, "m=video 70000 RTP/AVP 33\r\n"].concat(), "m", good.len()),
            ([good, "m=video 1 RTP/AVP\r\n"].concat(), "m", good.len()),
            ([good, "c=IN IP4\r\n"].concat(), "c", good.len()),
            ([good, "m=video 1 RTP/SAVP 33\r\na=crypto:1 x\r\n"].concat(), "a", good.len() + 23),
            ([good, "no line\r\n"].concat(), "line", good.len()),
            ([good, "s=a\rb\r\n"].concat(), "line", good.len()),
        ];
        for (text, field, offset) in table {
            let e = SessionDescription::parse(text.as_bytes()).unwrap_err();
            assert_eq!((e.field, e.offset), (field, offset), "{text:?}");
        }
        let many = [good, &"m=video 1 RTP/AVP 33\r\n".repeat(MAX_MEDIA + 1)].concat();
        assert_eq!(SessionDescription::parse(many.as_bytes()).unwrap_err().kind, DecodeErrorKind::TooLong);
    }

    #[test]
    fn no_truncation_panics() {
        let whole = SessionDescription::offer(&local(Direction::SendRecv)).to_bytes().unwrap();
        for n in 0..whole.len() {
            let _ = SessionDescription::parse(&whole[..n]);
        }
    }

    #[test]
    fn nothing_breaks_out_of_its_line() {
        let mut sdp =
            SessionDescription::offer(&Local { ssrc: Some((1, "a\r\nm=x")), ..local(Direction::SendOnly) });
        assert_eq!(sdp.to_bytes(), Err(BuildError { field: "media" }));
        sdp.media.clear();
        sdp.origin.username = "a b".to_string();
        assert_eq!(sdp.to_bytes(), Err(BuildError { field: "origin" }));
    }
}
