//! What a host does with MPEG transport streams beyond looking into them: find the beat, find and move the clock
//! references (ISO/IEC 13818-1 §2.4.3).

use p2piptv::rtp::mp2t::TsPacket;

/// Bytes of one transport packet.
pub const PACKET: usize = TsPacket::LEN;
/// Ticks of the system clock (27 MHz) in a second.
pub const CLOCK: u64 = 27_000_000;
/// A PCR wraps here: a 33-bit base of 300 ticks each.
pub const PCR_WRAP: u64 = STAMP_WRAP * 300;
/// PTS and DTS wrap here, in 90 kHz ticks.
pub const STAMP_WRAP: u64 = 1 << 33;
/// Where the six bytes of a PCR stand in a packet that has one.
pub const PCR_OFFSET: usize = 6;

/// The packets of a row of bytes, in order; `None` where the sync byte is missing.
pub fn packets(bytes: &[u8]) -> impl Iterator<Item = (&[u8; PACKET], Option<TsPacket<'_>>)> {
    bytes.as_chunks().0.iter().map(|packet| (packet, TsPacket::new(packet)))
}

/// Where the clock references of a PES packet stand, as byte offsets into the transport packet in which it begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PesHeader {
    /// `stream_id`: 0xe0 to 0xef are video.
    pub stream_id: u8,
    /// Offset of the five bytes of the PTS.
    pub pts: Option<usize>,
    /// Offset of the five bytes of the DTS.
    pub dts: Option<usize>,
}

/// A PES header that does not fit into one transport packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitHeader;

/// The PES header that begins in this packet (ISO/IEC 13818-1 §2.4.3.6), if one does.
pub fn pes_header(packet: &TsPacket<'_>) -> Result<Option<PesHeader>, SplitHeader> {
    let payload = packet.payload();
    if !packet.starts_unit() || !payload.starts_with(&[0, 0, 1]) {
        return Ok(None);
    }
    let &stream_id = payload.get(3).ok_or(SplitHeader)?;
    // Program map, padding, private 2, ECM, EMM, DSM-CC, H.222.1 type E and directory have no optional header.
    if matches!(stream_id, 0xbc | 0xbe | 0xbf | 0xf0 | 0xf1 | 0xf2 | 0xf8 | 0xff) {
        return Ok(Some(PesHeader { stream_id, pts: None, dts: None }));
    }
    let &flags = payload.get(7).ok_or(SplitHeader)?;
    let start = PACKET - payload.len() + 9;
    let pts = (flags & 0x80 != 0).then_some(start);
    let dts = (flags & 0xc0 == 0xc0).then_some(start + 5);
    match dts.or(pts) {
        Some(last) if last + 5 > PACKET => Err(SplitHeader),
        _ => Ok(Some(PesHeader { stream_id, pts, dts })),
    }
}

/// Writes the six bytes of a PCR, reserved bits set.
pub fn write_pcr(bytes: &mut [u8], pcr: u64) {
    let (base, extension) = (pcr % PCR_WRAP / 300, pcr % 300);
    bytes[..4].copy_from_slice(&((base >> 1) as u32).to_be_bytes());
    bytes[4] = (base as u8 & 1) << 7 | 0x7e | (extension >> 8) as u8;
    bytes[5] = extension as u8;
}

/// Reads the five bytes of a PTS or DTS, in 90 kHz ticks.
pub fn read_stamp(bytes: &[u8]) -> u64 {
    let [a, b, c, d, e] = [bytes[0], bytes[1], bytes[2], bytes[3], bytes[4]].map(u64::from);
    (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1
}

/// Writes the five bytes of a PTS or DTS; the four bits in front, which tell one from the other, stay.
pub fn write_stamp(bytes: &mut [u8], stamp: u64) {
    let t = stamp % STAMP_WRAP;
    bytes[0] = bytes[0] & 0xf0 | ((t >> 30) as u8 & 7) << 1 | 1;
    bytes[1] = (t >> 22) as u8;
    bytes[2] = ((t >> 15) as u8) << 1 | 1;
    bytes[3] = (t >> 7) as u8;
    bytes[4] = (t as u8) << 1 | 1;
}

/// How far `later` lies after `earlier` on a clock that wraps at `wrap`; `None` when it lies before it.
pub fn ahead(earlier: u64, later: u64, wrap: u64) -> Option<u64> {
    let distance = (later + wrap - earlier) % wrap;
    (distance < wrap / 2).then_some(distance)
}

/// Where the first of a row of packets begins: five sync bytes (or as many as fit, at least one), `stride` apart,
/// within the first `stride` bytes.
fn sync_offset(bytes: &[u8], stride: usize) -> Option<usize> {
    (0..stride.min(bytes.len())).find(|&start| {
        start + PACKET <= bytes.len()
            && bytes[start..].iter().step_by(stride).take(5).all(|&b| b == TsPacket::SYNC)
    })
}

/// Why bytes are no transport stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTs {
    /// No sync bytes where they should be.
    #[error("it is no MPEG transport stream (make one: ffmpeg -i FILE -c copy -f mpegts clip.ts)")]
    NoSync,
    /// Packets with four more bytes in front (Blu-ray) or sixteen behind (Reed-Solomon).
    #[error("its packets have {0} bytes, not 188 (mend it: ffmpeg -i FILE -c copy -f mpegts clip.ts)")]
    OtherPacketSize(usize),
}

/// Where the first packet begins.
pub fn find_sync(bytes: &[u8]) -> Result<usize, NotTs> {
    if let Some(start) = sync_offset(bytes, PACKET) {
        return Ok(start);
    }
    let other =
        [192, 204].into_iter().find(|&size| bytes.len() >= 2 * size && sync_offset(bytes, size).is_some());
    Err(other.map_or(NotTs::NoSync, NotTs::OtherPacketSize))
}

/// Cuts a stream of bytes into packets, and finds the beat again when it was lost.
#[derive(Default)]
pub struct Splitter {
    pending: Vec<u8>,
    synced: bool,
    begun: bool,
}

impl Splitter {
    /// What may wait before it must have a beat: enough for [`find_sync`] to be sure.
    const TO_SYNC: usize = 6 * PACKET;

    /// Whether the beat was ever found.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Takes bytes in; whole packets go to `each`, in order. An error means that these bytes are no transport stream.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), NotTs> {
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let rest = &self.pending[at..];
            if !self.synced {
                if rest.len() < Self::TO_SYNC {
                    break;
                }
                at += find_sync(rest)?;
                (self.synced, self.begun) = (true, true);
            } else if rest.len() < PACKET {
                break;
            } else if rest[0] != TsPacket::SYNC {
                self.synced = false;
            } else {
                each(&rest[..PACKET]);
                at += PACKET;
            }
        }
        self.pending.drain(..at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2piptv::rtp::mp2t::Pcr;

    fn packet(pid: u16, continuity: u8) -> [u8; PACKET] {
        let mut p = [0xff; PACKET];
        p[..4].copy_from_slice(&[TsPacket::SYNC, (pid >> 8) as u8, pid as u8, 0x10 | continuity]);
        p
    }

    #[test]
    fn clock_references_survive_a_round_trip() {
        for pcr in [0, 1, 299, 300, 27_000_000, 0x1_2345_6789 * 300 + 123, PCR_WRAP - 1] {
            let mut p = packet(256, 0);
            p[3..6].copy_from_slice(&[0x20, 183, 0x10]);
            write_pcr(&mut p[PCR_OFFSET..], pcr);
            assert_eq!(TsPacket::new(&p).and_then(|p| p.pcr()), Some(Pcr(pcr)));
            assert_eq!(p[10] & 0x7e, 0x7e, "reserved bits are ones");
        }
        for stamp in [0, 1, 90_000, 0x1_5555_5555, STAMP_WRAP - 1] {
            let mut b = [0x31, 0, 0, 0, 0];
            write_stamp(&mut b, stamp);
            assert_eq!(read_stamp(&b), stamp);
            assert_eq!((b[0] & 0xf1, b[2] & 1, b[4] & 1), (0x31, 1, 1), "prefix and marker bits");
        }
    }

    #[test]
    fn distances_reach_across_the_wrap_and_never_back() {
        assert_eq!(ahead(PCR_WRAP - 5, 7, PCR_WRAP), Some(12));
        assert_eq!(ahead(7, PCR_WRAP - 5, PCR_WRAP), None);
    }

    #[test]
    fn the_beat_is_found_behind_leading_rubbish() {
        let mut bytes = vec![0x47, 1, 2];
        (0..6).for_each(|i| bytes.extend(packet(256, i)));
        assert_eq!(find_sync(&bytes), Ok(3));
    }

    #[test]
    fn what_is_no_transport_stream_is_refused_and_other_packet_sizes_are_named() {
        assert_eq!(find_sync(b""), Err(NotTs::NoSync));
        assert_eq!(find_sync(&[0x47; 100]), Err(NotTs::NoSync));
        assert_eq!(find_sync(&[0; 4000]), Err(NotTs::NoSync));
        let blu_ray: Vec<u8> = (0..8).flat_map(|i| [&[0; 4][..], &packet(256, i)].concat()).collect();
        assert_eq!(find_sync(&blu_ray), Err(NotTs::OtherPacketSize(192)));
    }

    #[test]
    fn a_splitter_gives_the_same_packets_whatever_the_cuts() {
        let stream: Vec<u8> = (0..40u8).flat_map(|i| packet(256, i % 16)).collect();
        for cut in [1, 7, 187, 188, 189, 1000, stream.len()] {
            let (mut splitter, mut out) = (Splitter::default(), Vec::new());
            for piece in stream.chunks(cut) {
                assert_eq!(splitter.push(piece, |p| out.extend_from_slice(p)), Ok(()));
            }
            assert_eq!(out, stream, "cut into {cut}");
        }
    }

    #[test]
    fn a_splitter_finds_the_beat_again_after_damage() {
        let stream: Vec<u8> = (0..30u8).flat_map(|i| packet(256, i % 16)).collect();
        let mut damaged = stream.clone();
        damaged.drain(10 * PACKET + 50..10 * PACKET + 60);
        let mut n = 0;
        assert_eq!(Splitter::default().push(&damaged, |_| n += 1), Ok(()));
        assert!((28..30).contains(&n), "one packet is damaged, the others come: {n}");
    }

    #[test]
    fn a_header_that_runs_over_the_end_of_the_packet_is_told_apart_from_none() {
        let mut p = packet(256, 0);
        p[1] |= 0x40;
        assert_eq!(TsPacket::new(&p).map(|p| pes_header(&p)), Some(Ok(None)), "a table, not a PES packet");
        p[3] |= 0x20;
        p[4] = 170; // leaves 13 bytes: the PTS would need 14
        p[5] = 0;
        p[175..188].copy_from_slice(&[0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0]);
        assert_eq!(TsPacket::new(&p).map(|p| pes_header(&p)), Some(Err(SplitHeader)));
    }
}
