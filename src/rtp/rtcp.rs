//! RTCP compound packets (RFC 3550 §6), generic NACK (RFC 4585 §6.2.1), and what relays and their children tell each
//! other besides: notices and cues.
//!
//! ```text
//! |V=2|P| count |      PT       |            length             |   every packet; length counts words without this one
//! ```
//!
//! A compound packet starts with a report, so a notice travels as RR, SDES CNAME and APP in one datagram. The APP packets
//! of the name `IPTV` are about the source in their SSRC field, and go one hop:
//!
//! | subtype | word | from | says |
//! | --- | --- | --- | --- |
//! | 0 | HOLD | parent | I live, but get no media either |
//! | 1 | PAUSED | parent | I live; the source has nothing to send |
//! | 2 | RESUME | child, in a standby call | send me what follows this sequence number |
//! | 3 | DENIED | provider, in a standby call | not now |
//! | 4 | RELEASE | child, in a standby call | I need no more |
//! | 5 | SOURCELESS | parent | I live; the source is gone, and I look for another one |
//!
//! The data of each is one word: the highest extended sequence number that the sender has.

use super::header::VERSION;
use crate::wire::{DecodeError, DecodeErrorKind, Reader};
use bytes::{BufMut, Bytes, BytesMut};

/// The most packets in one compound packet that is read; more are refused.
pub const MAX_PACKETS: usize = 16;

/// The most report blocks in one report, chunks in one SDES, sources in one BYE: the count has five bits.
pub const MAX_COUNT: usize = 31;

/// The most entries of one generic NACK that are written: a datagram with so many fits into any path.
pub const MAX_NACK_ENTRIES: usize = 128;

/// An RTCP packet type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketType(pub u8);

impl PacketType {
    /// SR, sender report (RFC 3550 §6.4.1).
    pub const SENDER_REPORT: PacketType = PacketType(200);
    /// RR, receiver report (RFC 3550 §6.4.2).
    pub const RECEIVER_REPORT: PacketType = PacketType(201);
    /// SDES, source description (RFC 3550 §6.5).
    pub const SOURCE_DESCRIPTION: PacketType = PacketType(202);
    /// BYE, goodbye (RFC 3550 §6.6).
    pub const GOODBYE: PacketType = PacketType(203);
    /// APP, application-defined (RFC 3550 §6.7).
    pub const APPLICATION: PacketType = PacketType(204);
    /// RTPFB, transport layer feedback (RFC 4585 §6.1).
    pub const TRANSPORT_FEEDBACK: PacketType = PacketType(205);
}

/// One packet of a compound packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// SR.
    SenderReport {
        /// The sender, which is the source of the media.
        ssrc: u32,
        /// What it has sent.
        info: SenderInfo,
        /// What it has received itself.
        blocks: Blocks<'a>,
    },
    /// RR.
    ReceiverReport {
        /// The receiver.
        ssrc: u32,
        /// What it has received.
        blocks: Blocks<'a>,
    },
    /// SDES.
    SourceDescription(Descriptions<'a>),
    /// BYE. The reason, where there is one, is not read.
    Goodbye(Sources<'a>),
    /// APP.
    Application(Application<'a>),
    /// RTPFB with a generic NACK.
    Nack {
        /// Who misses them.
        ssrc: u32,
        /// Whose packets are missing.
        media: u32,
        /// Which.
        losses: Losses<'a>,
    },
    /// Any other type: its count field and its body.
    Other {
        /// PT.
        packet_type: PacketType,
        /// The five bits in front of PT.
        count: u8,
        /// Everything behind the first word, without padding.
        body: &'a [u8],
    },
}

/// The sender information of an SR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// Wall-clock time as an NTP timestamp: 32 bits of seconds since 1900, 32 bits of fraction.
    pub ntp: u64,
    /// The same time on the clock of the data packets.
    pub rtp_timestamp: u32,
    /// Packets sent since the start.
    pub packets: u32,
    /// Octets of payload sent since the start.
    pub octets: u32,
}

/// A report block: what a receiver knows of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source that this block is about.
    pub ssrc: u32,
    /// Packets lost since the previous report, in 1/256 of those expected.
    pub fraction_lost: u8,
    /// Packets lost since the start; 24 bits with a sign on the wire, clamped.
    pub cumulative_lost: i32,
    /// Extended highest sequence number received.
    pub highest: u32,
    /// Interarrival jitter, in timestamp units.
    pub jitter: u32,
    /// LSR: the middle 32 bits of the NTP timestamp of the last SR; 0 without one.
    pub last_sr: u32,
    /// DLSR: time since that SR, in 1/65536 seconds; 0 without one.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    /// Octets on the wire.
    pub const LEN: usize = 24;

    fn read(block: &[u8; Self::LEN]) -> Self {
        let word = |at: usize| {
            let mut w = [0; 4];
            w.copy_from_slice(&block[at..at + 4]);
            u32::from_be_bytes(w)
        };
        ReportBlock {
            ssrc: word(0),
            fraction_lost: block[4],
            // The lower 24 bits, moved up and back for their sign.
            cumulative_lost: (word(4) << 8) as i32 >> 8,
            highest: word(8),
            jitter: word(12),
            last_sr: word(16),
            delay_since_last_sr: word(20),
        }
    }

    fn write(&self, out: &mut BytesMut) {
        let lost = self.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff);
        out.put_u32(self.ssrc);
        out.put_u32(u32::from(self.fraction_lost) << 24 | lost as u32 & 0x00ff_ffff);
        out.put_u32(self.highest);
        out.put_u32(self.jitter);
        out.put_u32(self.last_sr);
        out.put_u32(self.delay_since_last_sr);
    }
}

/// The report blocks of one report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks<'a>(&'a [[u8; ReportBlock::LEN]]);

impl<'a> Blocks<'a> {
    /// Each block in order.
    pub fn iter(&self) -> impl Iterator<Item = ReportBlock> + use<'a> {
        self.0.iter().map(ReportBlock::read)
    }
}

/// The sources of one BYE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources<'a>(&'a [[u8; 4]]);

impl<'a> Sources<'a> {
    /// Each SSRC in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.0.iter().map(|&ssrc| u32::from_be_bytes(ssrc))
    }
}

/// The lost packets of one generic NACK (RFC 4585 §6.2.1).
///
/// ```text
/// |              PID              |              BLP              |   a packet, and a bit for each of the 16 after it
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Losses<'a>(&'a [[u8; 4]]);

impl<'a> Losses<'a> {
    /// FMT of a generic NACK.
    const FORMAT: u8 = 1;

    /// Each sequence number in order: one to seventeen for each entry.
    pub fn iter(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.0.iter().flat_map(|&[p0, p1, b0, b1]| {
            let (first, following) = (u16::from_be_bytes([p0, p1]), u16::from_be_bytes([b0, b1]));
            let more = (0..16u16).filter(move |bit| following & 1 << bit != 0);
            core::iter::once(first).chain(more.map(move |bit| first.wrapping_add(bit + 1)))
        })
    }
}

/// The chunks of one SDES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptions<'a>(&'a [u8]);

impl<'a> Descriptions<'a> {
    const CNAME: u8 = 1;

    /// Each source that has a canonical name, with its name.
    pub fn cnames(&self) -> impl Iterator<Item = (u32, &'a [u8])> + use<'a> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let chunk = Chunk::read(rest)?;
            rest = chunk.rest;
            Some(chunk)
        })
        .filter_map(|chunk| Some((chunk.ssrc, chunk.cname?)))
    }
}

/// One chunk of an SDES: a source and its items, of which only CNAME is looked at.
struct Chunk<'a> {
    ssrc: u32,
    cname: Option<&'a [u8]>,
    rest: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// `None` when an item leaves the packet or the final zero is missing.
    fn read(chunk: &'a [u8]) -> Option<Self> {
        let (&ssrc, mut items) = chunk.split_first_chunk()?;
        let mut cname = None;
        loop {
            match items {
                [0, ..] => break,
                [item, len, rest @ ..] => {
                    let (text, rest) = rest.split_at_checked(usize::from(*len))?;
                    if *item == Descriptions::CNAME {
                        cname = Some(text);
                    }
                    items = rest;
                }
                _ => return None,
            }
        }
        // One to four zeros end the list at a word boundary.
        let used = (chunk.len() - items.len()) / 4 * 4 + 4;
        let (_, rest) = chunk.split_at_checked(used)?;
        Some(Chunk { ssrc: u32::from_be_bytes(ssrc), cname, rest })
    }
}

/// An APP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Application<'a> {
    /// The five bits in front of PT.
    pub subtype: u8,
    /// The source that it is about.
    pub ssrc: u32,
    /// Four ASCII characters.
    pub name: [u8; 4],
    /// Whatever the name means.
    pub data: &'a [u8],
}

/// Why a parent that is alive sends no media. It travels as an APP packet of the name `IPTV`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hold {
    /// HOLD, subtype 0: it gets none itself.
    Starved,
    /// PAUSED, subtype 1: the source has nothing to send.
    Paused,
    /// SOURCELESS, subtype 5: the source is gone, and another one is looked for.
    Sourceless,
}

/// A [`Hold`] about one source, as it travels: the APP packet's SSRC is the media's, its data one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it says.
    pub hold: Hold,
    /// The source whose media are missing; 0 when the sender has not seen any yet.
    pub ssrc: u32,
    /// The highest extended sequence number that the sender has; 0 when it has not seen any yet. The wraps are counted
    /// from when each node joined, so that only the lower 16 bits compare between nodes.
    pub highest: u32,
}

impl Notice {
    /// The name of its APP packets.
    pub const NAME: [u8; 4] = *b"IPTV";

    /// Reads a notice; `None` for other names, other subtypes and missing data. Data behind the word is ignored.
    pub fn from_application(app: &Application<'_>) -> Option<Self> {
        let hold = match app.subtype {
            0 => Hold::Starved,
            1 => Hold::Paused,
            5 => Hold::Sourceless,
            _ => return None,
        };
        let highest = u32::from_be_bytes(*app.data.first_chunk()?);
        (app.name == Self::NAME).then_some(Notice { hold, ssrc: app.ssrc, highest })
    }
}

/// What the two ends of a standby call tell each other. It travels as an APP packet of the name `IPTV`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cover {
    /// RESUME, subtype 2: the child asks for the channel from behind a sequence number on.
    Resume,
    /// DENIED, subtype 3: the provider cannot now.
    Denied,
    /// RELEASE, subtype 4: the child needs it no longer.
    Release,
}

/// A [`Cover`] about one source, as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cue {
    /// What it says.
    pub cover: Cover,
    /// The source; 0 when the sender has not seen any yet.
    pub ssrc: u32,
    /// The highest extended sequence number that the sender has; 0 when it has not seen any yet. Only the lower 16 bits
    /// compare between nodes.
    pub highest: u32,
}

impl Cue {
    /// Reads a cue; `None` for other names, other subtypes and missing data. Data behind the word is ignored.
    pub fn from_application(app: &Application<'_>) -> Option<Self> {
        let cover = match app.subtype {
            2 => Cover::Resume,
            3 => Cover::Denied,
            4 => Cover::Release,
            _ => return None,
        };
        let highest = u32::from_be_bytes(*app.data.first_chunk()?);
        (app.name == Notice::NAME).then_some(Cue { cover, ssrc: app.ssrc, highest })
    }
}

/// The packets of one datagram.
pub type Compound<'a> = heapless::Vec<Packet<'a>, MAX_PACKETS>;

/// Takes a compound packet apart, with the checks of RFC 3550 §A.2: version 2 throughout, a report first, padding
/// only in the last packet, and lengths that add up exactly.
pub fn parse(datagram: &Bytes) -> Result<Compound<'_>, DecodeError> {
    let mut r = Reader::new(datagram);
    let mut packets = Compound::new();
    while packets.is_empty() || !r.is_empty() {
        let start = r.clone();
        let first = r.u8("V")?;
        if first >> 6 != VERSION {
            return Err(start.error(DecodeErrorKind::InvalidValue, "V"));
        }
        let packet_type = PacketType(r.u8("PT")?);
        if packets.is_empty()
            && !matches!(packet_type, PacketType::SENDER_REPORT | PacketType::RECEIVER_REPORT)
        {
            return Err(start.error(DecodeErrorKind::InvalidValue, "PT of the first packet"));
        }
        let words = r.u16("length")?;
        let mut body = r.sub(usize::from(words) * 4, "body")?;
        if first & 0x20 != 0 {
            body = without_padding(body, r.is_empty())?;
        }
        let packet = read_packet(packet_type, first & 0x1f, body)?;
        packets.push(packet).map_err(|_| start.error(DecodeErrorKind::TooLong, "compound packet"))?;
    }
    Ok(packets)
}

/// The same packet without the padding whose length its last octet tells.
fn without_padding(mut body: Reader<'_>, is_last: bool) -> Result<Reader<'_>, DecodeError> {
    let mut all = body.clone();
    let bytes = all.take(body.remaining(), "padding")?;
    let padding = usize::from(bytes.last().copied().unwrap_or(0));
    if !is_last || padding == 0 || padding % 4 != 0 || padding > bytes.len() {
        return Err(body.error(DecodeErrorKind::BadLength, "padding"));
    }
    body.sub(bytes.len() - padding, "body")
}

fn read_packet(packet_type: PacketType, count: u8, mut body: Reader<'_>) -> Result<Packet<'_>, DecodeError> {
    let number = usize::from(count);
    Ok(match packet_type {
        PacketType::SENDER_REPORT => Packet::SenderReport {
            ssrc: body.u32("SSRC of sender")?,
            info: SenderInfo {
                ntp: body.u64("NTP timestamp")?,
                rtp_timestamp: body.u32("RTP timestamp")?,
                packets: body.u32("sender's packet count")?,
                octets: body.u32("sender's octet count")?,
            },
            blocks: Blocks(array_of(&mut body, number, "report blocks")?),
        },
        PacketType::RECEIVER_REPORT => Packet::ReceiverReport {
            ssrc: body.u32("SSRC of packet sender")?,
            blocks: Blocks(array_of(&mut body, number, "report blocks")?),
        },
        PacketType::SOURCE_DESCRIPTION => {
            let start = body.clone();
            let chunks = body.take(body.remaining(), "chunks")?;
            let mut rest = chunks;
            for _ in 0..number {
                let chunk = Chunk::read(rest).ok_or(start.error(DecodeErrorKind::Truncated, "SDES items"))?;
                rest = chunk.rest;
            }
            Packet::SourceDescription(Descriptions(&chunks[..chunks.len() - rest.len()]))
        }
        PacketType::GOODBYE => Packet::Goodbye(Sources(array_of(&mut body, number, "SSRC/CSRC")?)),
        PacketType::APPLICATION => Packet::Application(Application {
            subtype: count,
            ssrc: body.u32("SSRC/CSRC")?,
            name: body.array("name")?,
            data: body.take(body.remaining(), "application-dependent data")?,
        }),
        PacketType::TRANSPORT_FEEDBACK if count == Losses::FORMAT => {
            let (ssrc, media) = (body.u32("SSRC of packet sender")?, body.u32("SSRC of media source")?);
            let entries = body.remaining() / 4;
            Packet::Nack { ssrc, media, losses: Losses(array_of(&mut body, entries, "generic NACK")?) }
        }
        _ => Packet::Other { packet_type, count, body: body.take(body.remaining(), "body")? },
    })
}

fn array_of<'a, const N: usize>(
    body: &mut Reader<'a>,
    number: usize,
    field: &'static str,
) -> Result<&'a [[u8; N]], DecodeError> {
    let (elements, _) = body.take(number * N, field)?.as_chunks();
    Ok(elements)
}

/// Writes a compound packet. It starts with a receiver report, because relays and viewers send no media of their own.
#[derive(Clone, Debug)]
pub struct Composer {
    ssrc: u32,
    out: BytesMut,
}

impl Composer {
    /// Starts with an RR of the receiver `ssrc`, with the first [`MAX_COUNT`] of these blocks.
    pub fn receiver_report(ssrc: u32, blocks: &[ReportBlock]) -> Self {
        let blocks = &blocks[..blocks.len().min(MAX_COUNT)];
        let mut composer =
            Composer { ssrc, out: BytesMut::with_capacity(64 + blocks.len() * ReportBlock::LEN) };
        composer.packet(PacketType::RECEIVER_REPORT, blocks.len() as u8, |out| {
            out.put_u32(ssrc);
            blocks.iter().for_each(|block| block.write(out));
        });
        composer
    }

    /// Adds an SDES with the canonical name of this receiver, cut after 255 octets.
    pub fn cname(mut self, cname: &str) -> Self {
        let text = &cname.as_bytes()[..cname.len().min(255)];
        let ssrc = self.ssrc;
        self.packet(PacketType::SOURCE_DESCRIPTION, 1, |out| {
            out.put_u32(ssrc);
            out.put_slice(&[Descriptions::CNAME, text.len() as u8]);
            out.put_slice(text);
            out.put_bytes(0, 4 - (2 + text.len()) % 4);
        });
        self
    }

    /// Adds an APP with a notice.
    pub fn notice(mut self, notice: Notice) -> Self {
        let subtype = match notice.hold {
            Hold::Starved => 0,
            Hold::Paused => 1,
            Hold::Sourceless => 5,
        };
        self.iptv(subtype, notice.ssrc, notice.highest);
        self
    }

    /// Adds an APP with a cue.
    pub fn cue(mut self, cue: Cue) -> Self {
        let subtype = match cue.cover {
            Cover::Resume => 2,
            Cover::Denied => 3,
            Cover::Release => 4,
        };
        self.iptv(subtype, cue.ssrc, cue.highest);
        self
    }

    fn iptv(&mut self, subtype: u8, ssrc: u32, highest: u32) {
        self.packet(PacketType::APPLICATION, subtype, |out| {
            out.put_u32(ssrc);
            out.put_slice(&Notice::NAME);
            out.put_u32(highest);
        });
    }

    /// Adds a generic NACK for packets of this source: as many of these numbers, which ascend modulo 2^16, as
    /// [`MAX_NACK_ENTRIES`] entries can name.
    pub fn nack(mut self, media: u32, lost: impl IntoIterator<Item = u16>) -> Self {
        let ssrc = self.ssrc;
        let mut entries: heapless::Vec<(u16, u16), MAX_NACK_ENTRIES> = heapless::Vec::new();
        for n in lost {
            if let Some((first, following)) = entries.last_mut()
                && (1..=16).contains(&n.wrapping_sub(*first))
            {
                *following |= 1 << (n.wrapping_sub(*first) - 1);
            } else if entries.push((n, 0)).is_err() {
                break;
            }
        }
        self.packet(PacketType::TRANSPORT_FEEDBACK, Losses::FORMAT, |out| {
            out.put_u32(ssrc);
            out.put_u32(media);
            for (first, following) in entries {
                out.put_u16(first);
                out.put_u16(following);
            }
        });
        self
    }

    /// Adds a BYE of this receiver.
    pub fn goodbye(mut self) -> Self {
        let ssrc = self.ssrc;
        self.packet(PacketType::GOODBYE, 1, |out| out.put_u32(ssrc));
        self
    }

    /// The datagram.
    pub fn finish(self) -> Bytes {
        self.out.freeze()
    }

    /// Writes one packet; `content` has to fill whole words.
    fn packet(&mut self, packet_type: PacketType, count: u8, content: impl FnOnce(&mut BytesMut)) {
        let at = self.out.len();
        self.out.put_slice(&[VERSION << 6 | count & 0x1f, packet_type.0, 0, 0]);
        content(&mut self.out);
        let words = (self.out.len() - at) / 4 - 1;
        self.out[at + 2..at + 4].copy_from_slice(&(words as u16).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::bytes_from_hex;
    use alloc::vec::Vec;

    fn hex(text: &str) -> Bytes {
        bytes_from_hex(text).unwrap().into()
    }

    /// SR with one block, SDES with a CNAME and a NAME, BYE with a reason, APP with padding.
    fn golden() -> Bytes {
        hex("81c8000c 00000001 aaaaaaaabbbbbbbb 00000002 00000003 00000004
               00000005 40fffffe 00010007 00000008 00000009 0000000a
             81ca0004 00000001 0103 612f62 0201 6e 00000000
             82cb0003 00000001 0000000b 03 627965
             a4cc0004 0000000c 54455354 01020304 00000004")
    }

    const BLOCK: ReportBlock = ReportBlock {
        ssrc: 5,
        fraction_lost: 64,
        cumulative_lost: -2,
        highest: 0x1_0007,
        jitter: 8,
        last_sr: 9,
        delay_since_last_sr: 10,
    };

    #[test]
    fn every_packet_of_a_compound_is_read() {
        let datagram = golden();
        let packets = parse(&datagram).unwrap();
        let [sr, sdes, bye, app] = packets.as_slice() else { panic!("{packets:?}") };

        let Packet::SenderReport { ssrc: 1, info, blocks } = sr else { panic!("{sr:?}") };
        let expected = SenderInfo { ntp: 0xaaaa_aaaa_bbbb_bbbb, rtp_timestamp: 2, packets: 3, octets: 4 };
        assert_eq!(*info, expected);
        assert_eq!(blocks.iter().collect::<Vec<_>>(), [BLOCK]);

        let Packet::SourceDescription(sdes) = sdes else { panic!("{sdes:?}") };
        assert_eq!(sdes.cnames().collect::<Vec<_>>(), [(1, &b"a/b"[..])]);

        let Packet::Goodbye(sources) = bye else { panic!("{bye:?}") };
        assert_eq!(sources.iter().collect::<Vec<_>>(), [1, 11]);

        let expected = Application { subtype: 4, ssrc: 12, name: *b"TEST", data: &[1, 2, 3, 4] };
        assert_eq!(*app, Packet::Application(expected));
    }

    #[test]
    fn a_notice_is_written_as_a_compound_packet() {
        for (hold, head) in [(Hold::Starved, "80cc"), (Hold::Paused, "81cc"), (Hold::Sourceless, "85cc")] {
            let notice = Notice { hold, ssrc: 0xfeed, highest: 0x1_0002 };
            let datagram = Composer::receiver_report(7, &[BLOCK]).cname("n@h").notice(notice).finish();
            let expected = hex(&alloc::format!(
                "81c90007 00000007 00000005 40fffffe 00010007 00000008 00000009 0000000a
                 81ca0003 00000007 0103 6e4068 000000
                 {head}0003 0000feed 49505456 00010002"
            ));
            assert_eq!(datagram, expected);
            let packets = parse(&datagram).unwrap();
            let [
                Packet::ReceiverReport { ssrc: 7, .. },
                Packet::SourceDescription(_),
                Packet::Application(app),
            ] = packets.as_slice()
            else {
                panic!("{packets:?}")
            };
            assert_eq!(Notice::from_application(app), Some(notice));
        }
    }

    #[test]
    fn a_cue_is_written_as_a_compound_packet() {
        for (cover, head) in [(Cover::Resume, "82cc"), (Cover::Denied, "83cc"), (Cover::Release, "84cc")] {
            let cue = Cue { cover, ssrc: 0xfeed, highest: 0x1_0002 };
            let datagram = Composer::receiver_report(7, &[]).cname("n@h").cue(cue).finish();
            let expected = hex(&alloc::format!(
                "80c90001 00000007
                 81ca0003 00000007 0103 6e4068 000000
                 {head}0003 0000feed 49505456 00010002"
            ));
            assert_eq!(datagram, expected);
            let packets = parse(&datagram).unwrap();
            let Some(Packet::Application(app)) = packets.last() else { panic!("{packets:?}") };
            assert_eq!((Cue::from_application(app), Notice::from_application(app)), (Some(cue), None));
            assert_eq!(Cue::from_application(&Application { name: *b"iptv", ..*app }), None);
            assert_eq!(Cue::from_application(&Application { subtype: 6, ..*app }), None);
            assert_eq!(Cue::from_application(&Application { data: &[0, 0, 0], ..*app }), None);
        }
    }

    #[test]
    fn rfc4585_6_2_1_a_generic_nack_names_a_packet_and_those_of_the_16_after_it() {
        let lost = [0xfffe, 0xffff, 1, 14, 15, 16, 500];
        let datagram = Composer::receiver_report(7, &[]).nack(0xfeed, lost).finish();
        let expected = hex("80c90001 00000007
             81cd0005 00000007 0000feed fffe8005 000f0001 01f40000");
        assert_eq!(datagram, expected);
        let packets = parse(&datagram).unwrap();
        let Some(&Packet::Nack { ssrc: 7, media: 0xfeed, losses }) = packets.last() else {
            panic!("{packets:?}")
        };
        assert_eq!(losses.iter().collect::<Vec<_>>(), lost);
        // Another format of feedback is none, and neither is one without its two sources.
        let other = parse(&hex("80c90001 00000007 8fcd0003 00000007 0000feed 00000001")).map(|p| p.len());
        assert_eq!(other, Ok(2));
        assert!(parse(&hex("80c90001 00000007 81cd0001 00000007")).is_err());
    }

    #[test]
    fn a_nack_has_no_more_entries_than_its_limit() {
        let datagram = Composer::receiver_report(7, &[]).nack(1, (0..200).map(|n| n * 17)).finish();
        let packets = parse(&datagram).unwrap();
        let Some(Packet::Nack { losses, .. }) = packets.last() else { panic!("{packets:?}") };
        let expected: Vec<u16> = (0..MAX_NACK_ENTRIES as u16).map(|n| n * 17).collect();
        assert_eq!(losses.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn any_losses_are_read_as_they_were_written() {
        fn law(first: u16, steps: Vec<u8>) -> bool {
            let step = |n: &mut u16, step: &u8| {
                *n = n.wrapping_add(u16::from(*step) + 1);
                Some(*n)
            };
            let lost: Vec<u16> = steps.iter().take(MAX_NACK_ENTRIES).scan(first, step).collect();
            let datagram = Composer::receiver_report(7, &[]).nack(1, lost.iter().copied()).finish();
            let packets = parse(&datagram).unwrap();
            matches!(packets.last(), Some(Packet::Nack { losses, .. }) if losses.iter().eq(lost))
        }
        quickcheck::QuickCheck::new().tests(500).quickcheck(law as fn(u16, Vec<u8>) -> bool);
    }

    #[test]
    fn a_notice_of_another_name_subtype_or_length_is_none() {
        let app = Application { subtype: 0, ssrc: 1, name: *b"IPTV", data: &[0, 0, 0, 9, 1, 1, 1, 1] };
        let held = Notice { hold: Hold::Starved, ssrc: 1, highest: 9 };
        assert_eq!(Notice::from_application(&app), Some(held));
        assert_eq!(Notice::from_application(&Application { name: *b"iptv", ..app }), None);
        assert_eq!(Notice::from_application(&Application { subtype: 2, ..app }), None);
        assert_eq!(Notice::from_application(&Application { data: &[0, 0, 0], ..app }), None);
    }

    #[test]
    fn a_canonical_name_ends_with_at_least_one_zero_at_a_word_boundary() {
        for len in 0..=300 {
            let name = "x".repeat(len);
            let datagram = Composer::receiver_report(1, &[]).cname(&name).goodbye().finish();
            let packets = parse(&datagram).unwrap();
            let [_, Packet::SourceDescription(sdes), Packet::Goodbye(bye)] = packets.as_slice() else {
                panic!("{packets:?}")
            };
            let (_, read) = sdes.cnames().next().unwrap();
            assert_eq!(read, &name.as_bytes()[..len.min(255)]);
            assert_eq!(bye.iter().collect::<Vec<_>>(), [1]);
        }
    }

    #[test]
    fn a_report_has_no_more_blocks_than_it_can_count() {
        let blocks: Vec<ReportBlock> = (0..40).map(|ssrc| ReportBlock { ssrc, ..BLOCK }).collect();
        let datagram = Composer::receiver_report(1, &blocks).finish();
        let packets = parse(&datagram).unwrap();
        let [Packet::ReceiverReport { ssrc: 1, blocks: read }] = packets.as_slice() else { panic!() };
        assert_eq!(read.iter().collect::<Vec<_>>(), blocks[..MAX_COUNT]);
    }

    #[test]
    fn the_cumulative_loss_is_clamped_to_24_bits_with_a_sign() {
        for (lost, read) in [(i32::MAX, 0x7f_ffff), (i32::MIN, -0x80_0000), (-1, -1), (0, 0)] {
            let block = ReportBlock { cumulative_lost: lost, ..BLOCK };
            let datagram = Composer::receiver_report(1, &[block]).finish();
            let packets = parse(&datagram).unwrap();
            let Some(Packet::ReceiverReport { blocks, .. }) = packets.first() else { panic!() };
            assert_eq!(blocks.iter().next().unwrap(), ReportBlock { cumulative_lost: read, ..BLOCK });
        }
    }

    #[test]
    fn every_truncation_is_refused_except_between_packets() {
        let whole = golden();
        let boundaries = [52, 72, 88];
        for len in 0..whole.len() {
            let parsed = parse(&whole.slice(..len)).is_ok();
            assert_eq!(parsed, boundaries.contains(&len), "{len}");
        }
    }

    #[test]
    fn rfc3550_a2_what_breaks_the_rules_of_a_compound_packet_is_refused() {
        let kind = |text: &str| parse(&hex(text)).map(|packets| packets.len()).map_err(|e| (e.kind, e.field));
        use DecodeErrorKind::*;
        assert_eq!(kind("80c90001 00000001"), Ok(1));
        assert_eq!(kind(""), Err((Truncated, "V")));
        assert_eq!(kind("80ca0000"), Err((InvalidValue, "PT of the first packet")));
        assert_eq!(kind("40c90001 00000001"), Err((InvalidValue, "V")));
        assert_eq!(kind("80c90001 00000001 40ca0000"), Err((InvalidValue, "V")));
        assert_eq!(kind("80c90002 00000001"), Err((Truncated, "body")));
        assert_eq!(kind("81c90001 00000001"), Err((Truncated, "report blocks")));
        assert_eq!(kind("80c90001 00000001 82cb0001 00000001"), Err((Truncated, "SSRC/CSRC")));
        assert_eq!(kind("80c90001 00000001 80cc0001 00000001"), Err((Truncated, "name")));
        assert_eq!(kind("80c90001 00000001 81ca0002 00000001 01ff6100"), Err((Truncated, "SDES items")));
        assert_eq!(kind("80c90001 00000001 81ca0002 00000001 01026162"), Err((Truncated, "SDES items")));
        // Padding: only in the last packet, whole words, not more than there is.
        assert_eq!(kind("80c90001 00000001 a0d00001 00000004"), Ok(2));
        assert_eq!(kind("a0c90002 00000001 00000004 80d00000"), Err((BadLength, "padding")));
        for padding in ["00000000", "00000003", "00000008"] {
            let text = alloc::format!("80c90001 00000001 a0d00001 {padding}");
            assert_eq!(kind(&text), Err((BadLength, "padding")), "{padding}");
        }
    }

    #[test]
    fn k8_a_compound_packet_of_more_packets_than_the_limit_is_refused() {
        let many = |n| Bytes::from(hex("80c90001 00000001").repeat(n));
        assert_eq!(parse(&many(MAX_PACKETS)).unwrap().len(), MAX_PACKETS);
        assert_eq!(parse(&many(MAX_PACKETS + 1)).unwrap_err().kind, DecodeErrorKind::TooLong);
    }

    #[test]
    fn unknown_packet_types_are_kept_as_they_are() {
        let datagram = hex("80c90001 00000001 8fd20001 cafebabe");
        let packets = parse(&datagram).unwrap();
        let other =
            Packet::Other { packet_type: PacketType(210), count: 15, body: &[0xca, 0xfe, 0xba, 0xbe] };
        assert_eq!(packets.last(), Some(&other));
    }

    #[test]
    fn k7_no_bytes_make_the_parser_panic() {
        fn law(mut bytes: Vec<u8>, types: Vec<u8>) -> bool {
            // Plausible packet heads here and there lead the parser deeper than noise would.
            for (i, t) in types.iter().enumerate() {
                if let Some(head) = bytes.get_mut(i * 12..i * 12 + 4) {
                    head.copy_from_slice(&[0x80 | t & 0x23, 200 + t % 6, 0, t % 4]);
                }
            }
            if let Ok(packets) = parse(&Bytes::from(bytes)) {
                for packet in &packets {
                    match packet {
                        Packet::SenderReport { blocks, .. } | Packet::ReceiverReport { blocks, .. } => {
                            blocks.iter().for_each(drop);
                        }
                        Packet::SourceDescription(sdes) => sdes.cnames().for_each(drop),
                        Packet::Nack { losses, .. } => losses.iter().for_each(drop),
                        _ => {}
                    }
                }
            }
            true
        }
        quickcheck::QuickCheck::new().tests(2000).quickcheck(law as fn(Vec<u8>, Vec<u8>) -> bool);
    }
}
