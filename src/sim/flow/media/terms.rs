//! What the media are, and what the media plane does about holes: the same for every node.

use crate::time::Duration;

/// What the media are, and what is done about holes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// Octets a second, with RTP headers.
    pub rate: u64,
    /// Octets of a packet.
    pub packet: u64,
    /// How long after its first packet a player begins: the time within which a hole can be mended.
    pub playout: Duration,
    /// How far back a new parent can replay; nothing when there is no replay.
    pub ring: Duration,
    /// So many times faster than live does it replay; at least 2.
    pub pace: u64,
    /// The share of packets that every path loses.
    pub loss: f64,
    /// How often a lost packet is asked for again; never in a system that does not. Either a request or its answer is lost
    /// as any packet is; the next request follows a round trip and a quarter after the one before.
    pub nacks: u32,
    /// How long a packet may be overtaken before it counts as lost.
    pub tolerance: Duration,
    /// For how long a lost packet is asked for at all.
    pub persistence: Duration,
    /// How far nodes see ahead (see [`Media::last_media`](super::Media::last_media)).
    pub foresight: Duration,
}

impl Terms {
    /// 2 Mbit/s in packets of seven transport packets, half a second of playout delay, 1 % loss, and no repair of anything.
    pub const fn plain() -> Self {
        Terms {
            rate: 250_000,
            packet: 1328,
            playout: Duration::from_millis(500),
            ring: Duration::ZERO,
            pace: 4,
            loss: 0.01,
            nacks: 0,
            tolerance: Duration::from_millis(15),
            persistence: Duration::from_millis(300),
            foresight: Duration::from_secs(60),
        }
    }

    /// The same, with lost packets asked for again, up to three times.
    pub const fn with_nacks(mut self) -> Self {
        self.nacks = 3;
        self
    }

    /// The same, with new parents that replay what was sent up to two seconds ago.
    pub const fn with_replay(mut self) -> Self {
        self.ring = Duration::from_secs(2);
        self
    }

    /// Between two packets.
    pub fn gap(&self) -> Duration {
        Duration::from_micros(self.packet * 1_000_000 / self.rate.max(1))
    }

    /// Packets in a second.
    pub fn packets_per_second(&self) -> f64 {
        self.rate as f64 / self.packet as f64
    }
}
