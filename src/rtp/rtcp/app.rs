//! APP packets (RFC 3550 §6.7), and those of the name `IPTV`: notices and cues, by the table of this folder.

use super::{Composer, PacketType};
use bytes::BufMut;

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

impl Composer {
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
}
