//! What reports say (RFC 3550 §6.4): what a sender has sent, and what a receiver knows of a source.

use bytes::{BufMut, BytesMut};

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

    pub(super) fn write(&self, out: &mut BytesMut) {
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
pub struct Blocks<'a>(pub(super) &'a [[u8; ReportBlock::LEN]]);

impl<'a> Blocks<'a> {
    /// Each block in order.
    pub fn iter(&self) -> impl Iterator<Item = ReportBlock> + use<'a> {
        self.0.iter().map(ReportBlock::read)
    }
}
