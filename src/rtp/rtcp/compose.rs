//! Writing compound packets.

use super::lists::{Descriptions, Losses};
use super::reports::ReportBlock;
use super::{MAX_COUNT, MAX_NACK_ENTRIES, PacketType};
use crate::rtp::header::VERSION;
use bytes::{BufMut, Bytes, BytesMut};

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
    pub(super) fn packet(&mut self, packet_type: PacketType, count: u8, content: impl FnOnce(&mut BytesMut)) {
        let at = self.out.len();
        self.out.put_slice(&[VERSION << 6 | count & 0x1f, packet_type.0, 0, 0]);
        content(&mut self.out);
        let words = (self.out.len() - at) / 4 - 1;
        self.out[at + 2..at + 4].copy_from_slice(&(words as u16).to_be_bytes());
    }
}
