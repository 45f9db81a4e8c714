//! Reading compound packets, with the checks of RFC 3550 §A.2.

use super::lists::{Chunk, Descriptions, Losses, Sources};
use super::reports::{Blocks, SenderInfo};
use super::{Application, MAX_PACKETS, Packet, PacketType};
use crate::rtp::header::VERSION;
use crate::wire::{DecodeError, DecodeErrorKind, Reader};
use bytes::Bytes;

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
