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
//!
//! | file | what it holds |
//! | --- | --- |
//! | `mod` | [`Packet`] and its types, and the limits |
//! | `reports`, `lists` | what stands in packets |
//! | `app` | APP packets, and what ours say: [`Notice`] and [`Cue`] |
//! | `parse`, `compose` | a datagram into packets, packets into a datagram |

mod app;
mod compose;
mod lists;
mod parse;
mod reports;
#[cfg(test)]
mod tests;

pub use app::{Application, Cover, Cue, Hold, Notice};
pub use compose::Composer;
pub use lists::{Descriptions, Losses, Sources};
pub use parse::{Compound, parse};
pub use reports::{Blocks, ReportBlock, SenderInfo};

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
