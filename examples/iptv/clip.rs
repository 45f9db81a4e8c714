//! A clip played for ever: paced by its PCR, restamped so that nothing jumps where it begins again.
//!
//! Each round adds the same span to every PCR, PTS and DTS, and to each PID's continuity counter what the round used
//! up. A clip is read once; a round copies packets and writes numbers.

use crate::ts::{self, CLOCK, NotTs, PACKET, PCR_OFFSET, PCR_WRAP, STAMP_WRAP, SplitHeader};
use p2piptv::rtp::mp2t::{Packetizer, Pid, TsPacket};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// Transport packets in one RTP packet.
const PER_RTP: usize = Packetizer::PER_PACKET;

/// The most bytes that are read into memory. More has to come through a pipe.
pub const MAX_BYTES: u64 = 1 << 30;

/// The largest step between two PCRs that still counts as one clock: ten times what the standard allows.
const MAX_PCR_STEP: u64 = CLOCK;

/// The test card that ships with the example (see `examples/data/README.md`).
static TEST_CARD: &[u8] = include_bytes!("../data/clip.ts");

/// Why a file cannot be played in a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClipError {
    /// Not 188-byte packets.
    #[error(transparent)]
    NotTs(#[from] NotTs),
    /// Nothing to pace it by.
    #[error("it has no PCR to pace it by (mend it: ffmpeg -i FILE -c copy -f mpegts clip.ts)")]
    NoClock,
    /// Two clocks glued together.
    #[error("its clock jumps at packet {0} (mend it: ffmpeg -i FILE -c copy -f mpegts clip.ts)")]
    ClockJumps(usize),
    /// The sync byte is missing in the middle.
    #[error("it is damaged at packet {0}")]
    Damaged(usize),
    /// A PES header over the edge of a packet cannot be restamped in place.
    #[error("a PES header is split at packet {0} (mend it: ffmpeg -i FILE -c copy -f mpegts clip.ts)")]
    SplitHeader(usize),
    /// More than [`MAX_BYTES`].
    #[error(
        "it is larger than 1 GiB (pipe it instead: ffmpeg -re -i FILE -c copy -f mpegts - | iptv source --input - ...)"
    )]
    TooLarge,
}

/// A number in a packet that each round moves on.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    packet: usize,
    offset: usize,
    is_pcr: bool,
    /// Its value in the first round.
    value: u64,
}

/// A clip, read and measured.
pub struct Clip {
    bytes: Cow<'static, [u8]>,
    /// When each packet is due, in 27 MHz ticks from the first.
    due: Vec<u64>,
    /// What one round lasts, in 27 MHz ticks: whole 90 kHz ticks.
    span: u64,
    stamps: Vec<Stamp>,
    /// What a round adds to the continuity counter of each PID.
    counter_steps: BTreeMap<Pid, u8>,
}

impl Clip {
    /// The test card that ships with the example.
    pub fn test_card() -> Result<Self, ClipError> {
        Self::read(Cow::Borrowed(TEST_CARD))
    }

    /// Reads and measures a whole file.
    pub fn read(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, ClipError> {
        let mut bytes = bytes.into();
        if bytes.len() as u64 > MAX_BYTES {
            return Err(ClipError::TooLarge);
        }
        let start = ts::find_sync(&bytes)?;
        let end = start + (bytes.len() - start) / PACKET * PACKET;
        if (start, end) != (0, bytes.len()) {
            bytes = Cow::Owned(bytes[start..end].to_vec());
        }

        let mut survey = Survey::default();
        for (i, (bytes, packet)) in ts::packets(&bytes).enumerate() {
            survey.see(i, bytes, packet.ok_or(ClipError::Damaged(i))?)?;
        }
        let packets = bytes.len() / PACKET;
        let span = survey.span().ok_or(ClipError::NoClock)?;
        Ok(Clip {
            due: due_times(&survey.clock, span, packets),
            span,
            counter_steps: survey.counter_steps(),
            stamps: survey.stamps,
            bytes,
        })
    }

    /// Transport packets.
    pub fn packets(&self) -> usize {
        self.due.len()
    }

    /// Bits a second of the transport stream, on the average.
    pub fn bitrate(&self) -> u64 {
        (self.bytes.len() as u64 * 8).saturating_mul(CLOCK) / self.span.max(1)
    }
}

fn ticks(n: u64) -> Duration {
    Duration::from_nanos((u128::from(n) * 1000 / 27) as u64)
}

/// What one walk through the clip finds out.
#[derive(Default)]
struct Survey {
    clock_pid: Option<Pid>,
    /// Packet index and PCR, counted on from the first one without wraps.
    clock: Vec<(usize, u64)>,
    last_pcr: u64,
    stamps: Vec<Stamp>,
    /// DTS (or PTS) of each video picture, counted on from the first one: first, last but one, last.
    pictures: Option<(u64, u64, u64)>,
    /// Continuity counters of each PID: of the first payload, and of the last.
    counters: BTreeMap<Pid, (u8, u8)>,
}

impl Survey {
    fn see(&mut self, i: usize, bytes: &[u8; PACKET], packet: TsPacket<'_>) -> Result<(), ClipError> {
        let pid = packet.pid();
        // Only a payload steps the counter, and stuffing has none that means anything.
        if !packet.payload().is_empty() && pid != Pid::NULL {
            let n = packet.continuity_counter();
            self.counters.entry(pid).and_modify(|c| c.1 = n).or_insert((n, n));
        }
        if let Some(pcr) = packet.pcr() {
            self.stamps.push(Stamp { packet: i, offset: PCR_OFFSET, is_pcr: true, value: pcr.0 });
            if *self.clock_pid.get_or_insert(pid) == pid {
                self.see_clock(i, pcr.0)?;
            }
        }
        if let Some(pes) = ts::pes_header(&packet).map_err(|SplitHeader| ClipError::SplitHeader(i))? {
            let stamps = [pes.pts, pes.dts].into_iter().flatten();
            self.stamps.extend(stamps.map(|offset| Stamp {
                packet: i,
                offset,
                is_pcr: false,
                value: ts::read_stamp(&bytes[offset..]),
            }));
            if let (0xe0..=0xef, Some(at)) = (pes.stream_id, pes.dts.or(pes.pts)) {
                self.see_picture(ts::read_stamp(&bytes[at..]));
            }
        }
        Ok(())
    }

    fn see_clock(&mut self, i: usize, pcr: u64) -> Result<(), ClipError> {
        let at = match self.clock.last() {
            None => 0,
            Some(&(_, at)) => match ts::ahead(self.last_pcr, pcr, PCR_WRAP) {
                Some(step) if step <= MAX_PCR_STEP => at + step,
                _ => return Err(ClipError::ClockJumps(i)),
            },
        };
        self.clock.push((i, at));
        self.last_pcr = pcr;
        Ok(())
    }

    fn see_picture(&mut self, stamp: u64) {
        self.pictures = Some(match self.pictures {
            None => (stamp, stamp, stamp),
            Some((first, _, last)) => (first, last, stamp),
        });
    }

    /// What a round has to last: the pictures follow each other in step where the clip begins again. Without pictures
    /// the clock decides.
    fn span(&self) -> Option<u64> {
        let &(last_packet, last) = self.clock.last()?;
        if last == 0 {
            return None;
        }
        let by_clock = (last + last / last_packet.max(1) as u64).div_ceil(300) * 300;
        let by_pictures = self.pictures.and_then(|(first, before, last)| {
            Some(ts::ahead(first, last, STAMP_WRAP)? + ts::ahead(before, last, STAMP_WRAP)?)
        });
        // The clock must still run forward at the seam.
        by_pictures.map(|stamps| stamps * 300).filter(|&span| span > last).or(Some(by_clock))
    }

    fn counter_steps(&self) -> BTreeMap<Pid, u8> {
        self.counters.iter().map(|(&pid, &(first, last))| (pid, (last + 17 - first) % 16)).collect()
    }
}

/// Packets between two PCRs are spread evenly; those after the last reach to the first of the next round, and those
/// before the first keep its distance.
fn due_times(clock: &[(usize, u64)], span: u64, packets: usize) -> Vec<u64> {
    let (Some(&(first, _)), Some(&(last, last_at))) = (clock.first(), clock.last()) else {
        return Vec::new();
    };
    let seam = ((packets + first - last) as u64, span - last_at);
    // The first packet is due at zero; it stands `lead` before the first PCR, at the pace of the seam.
    let lead = first as u64 * seam.1 / seam.0;
    let mut due = Vec::with_capacity(packets);
    due.extend((0..first as u64).map(|i| i * seam.1 / seam.0));
    for pair in clock.windows(2) {
        let ((from, start), (to, end)) = (pair[0], pair[1]);
        due.extend((0..(to - from) as u64).map(|i| lead + start + i * (end - start) / (to - from) as u64));
    }
    due.extend((0..(packets - last) as u64).map(|i| lead + last_at + i * seam.1 / seam.0));
    due
}

/// Up to [`PER_RTP`] transport packets that travel together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// When the first byte is due, counted from the first byte of the first round.
    pub due: Duration,
    /// The same in 90 kHz ticks, as the RTP timestamp wants it (RFC 2250 §2), from zero.
    pub timestamp: u32,
    /// Whole transport packets.
    pub packets: &'a [u8],
}

/// A clip being played, round after round.
pub struct Loop {
    clip: Rc<Clip>,
    round: u64,
    next: usize,
    chunk: [u8; PER_RTP * PACKET],
}

impl Loop {
    /// Begins at the first packet of the clip.
    pub fn new(clip: Rc<Clip>) -> Self {
        Loop { clip, round: 0, next: 0, chunk: [0; PER_RTP * PACKET] }
    }

    fn due_ticks(&self) -> u64 {
        self.round * self.clip.span + self.clip.due[self.next]
    }

    /// When the next chunk is due, counted from the start.
    pub fn due(&self) -> Duration {
        ticks(self.due_ticks())
    }

    /// The next chunk. It never ends.
    pub fn next_chunk(&mut self) -> Chunk<'_> {
        let due = self.due_ticks();
        for slot in 0..PER_RTP {
            self.fill(slot);
        }
        Chunk { due: ticks(due), timestamp: (due / 300) as u32, packets: &self.chunk }
    }

    fn fill(&mut self, slot: usize) {
        let clip = &self.clip;
        let start = self.next * PACKET;
        let out = &mut self.chunk[slot * PACKET..(slot + 1) * PACKET];
        out.copy_from_slice(&clip.bytes[start..start + PACKET]);

        let shift = self.round * clip.span;
        let first = clip.stamps.partition_point(|s| s.packet < self.next);
        for stamp in clip.stamps[first..].iter().take_while(|s| s.packet == self.next) {
            let field = &mut out[stamp.offset..];
            if stamp.is_pcr {
                ts::write_pcr(field, (stamp.value + shift) % PCR_WRAP);
            } else {
                ts::write_stamp(field, stamp.value + shift / 300);
            }
        }
        let pid = Pid(u16::from_be_bytes([out[1] & 0x1f, out[2]]));
        if let Some(step) = clip.counter_steps.get(&pid) {
            let counter = u64::from(out[3] & 0x0f) + self.round % 16 * u64::from(*step);
            out[3] = out[3] & 0xf0 | (counter % 16) as u8;
        }

        self.next += 1;
        if self.next == clip.packets() {
            (self.next, self.round) = (0, self.round + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mpeg2ts::ts::{ReadTsPacket, TsPacketReader, TsPayload};
    use p2piptv::rtp::mp2t::Pcr;

    fn card() -> Rc<Clip> {
        Rc::new(Clip::test_card().expect("the test card that ships with the example"))
    }

    /// Whole rounds of packets.
    fn rounds(clip: &Rc<Clip>, n: usize) -> Vec<u8> {
        let mut player = Loop::new(clip.clone());
        let mut out = Vec::new();
        while out.len() < n * clip.packets() * PACKET {
            out.extend_from_slice(player.next_chunk().packets);
        }
        out
    }

    #[test]
    fn the_test_card_is_small_and_says_its_bitrate() {
        let clip = card();
        assert!(TEST_CARD.len() < 1_500_000);
        assert_eq!(ticks(clip.span), Duration::from_millis(12_160));
        assert!((790_000..810_000).contains(&clip.bitrate()), "{}", clip.bitrate());
    }

    #[test]
    fn the_first_round_is_the_clip_byte_for_byte() {
        let clip = card();
        assert_eq!(rounds(&clip, 1)[..TEST_CARD.len()], *TEST_CARD);
    }

    #[test]
    fn continuity_counters_step_by_one_over_every_seam() {
        let mut last = BTreeMap::new();
        for (_, p) in ts::packets(&rounds(&card(), 4)) {
            let p = p.expect("in step");
            if p.pid() == Pid::NULL || p.payload().is_empty() {
                continue;
            }
            if let Some(before) = last.insert(p.pid(), p.continuity_counter()) {
                assert_eq!(p.continuity_counter(), (before + 1) % 16, "{:?}", p.pid());
            }
        }
        assert_eq!(last.len(), 5, "PAT, SDT, PMT, picture, sound");
    }

    #[test]
    fn clocks_and_stamps_never_jump() {
        let (mut pcr, mut stamps) = (None, BTreeMap::new());
        for (bytes, p) in ts::packets(&rounds(&card(), 4)) {
            let p = p.expect("in step");
            if let Some(Pcr(now)) = p.pcr() {
                let step = pcr.and_then(|before| ts::ahead(before, now, PCR_WRAP)).unwrap_or(1);
                assert!((1..=CLOCK / 25).contains(&step), "a PCR step of {step}");
                pcr = Some(now);
            }
            let Ok(Some(pes)) = ts::pes_header(&p) else { continue };
            let Some(at) = pes.pts else { continue };
            let now = ts::read_stamp(&bytes[at..]);
            if let Some(before) = stamps.insert(p.pid(), now)
                && pes.stream_id == 0xe0
            {
                assert_eq!(now - before, 3600, "pictures stay 40 ms apart");
            }
        }
    }

    #[test]
    fn another_reader_reads_the_looped_stream() {
        let stream = rounds(&card(), 2);
        let mut reader = TsPacketReader::new(&stream[..]);
        let (mut pictures, mut programs) = (0, 0);
        while let Some(packet) = reader.read_ts_packet().expect("legal packets") {
            match packet.payload {
                Some(TsPayload::PesStart(pes)) if pes.header.stream_id.is_video() => pictures += 1,
                Some(TsPayload::Pmt(_)) => programs += 1,
                _ => {}
            }
        }
        assert!(pictures >= 2 * 304 && programs > 200, "{pictures} pictures, {programs} program maps");
    }

    #[test]
    fn due_times_follow_the_clock_at_a_steady_pace() {
        let clip = card();
        let mut player = Loop::new(clip.clone());
        let mut before = Duration::ZERO;
        assert_eq!(player.due(), Duration::ZERO);
        for _ in 0..3 * clip.packets() / PER_RTP {
            assert_eq!(player.due(), player.next_chunk().due);
            let gap = player.due() - before;
            // 7 packets at 800 kbit/s are 13.16 ms; the seam of this clip is shorter by a packet or two of time.
            assert!(gap > Duration::from_millis(2) && gap < Duration::from_millis(15), "{gap:?}");
            before = player.due();
        }
    }

    #[test]
    fn the_rtp_timestamp_is_the_due_time_at_90_khz() {
        let mut player = Loop::new(card());
        for _ in 0..2000 {
            let chunk = player.next_chunk();
            let expected = (chunk.due.as_nanos() * 9 / 100_000) as u32;
            assert!(chunk.timestamp.abs_diff(expected) <= 1);
        }
    }

    #[test]
    fn a_clip_without_clock_with_damage_or_with_a_jump_is_refused() {
        let read = |bytes: Vec<u8>| Clip::read(bytes).err();
        assert_eq!(read(b"RIFF....WAVE".repeat(100)), Some(ClipError::NotTs(NotTs::NoSync)));

        let mut damaged = TEST_CARD.to_vec();
        damaged[1000 * PACKET] = 0;
        assert_eq!(read(damaged), Some(ClipError::Damaged(1000)));

        let null = [&[TsPacket::SYNC, 0x1f, 0xff, 0x10][..], &[0xff; 184]].concat();
        assert_eq!(read(null.repeat(20)), Some(ClipError::NoClock));

        let twice = TEST_CARD.repeat(2);
        assert!(matches!(read(twice), Some(ClipError::ClockJumps(_))));
    }

    #[test]
    fn leading_rubbish_and_a_cut_tail_are_left_out() {
        let mut bytes = vec![1, 2, 3];
        bytes.extend_from_slice(&TEST_CARD[..TEST_CARD.len() - 100]);
        let clip = Clip::read(bytes).expect("a clip");
        assert_eq!(clip.packets(), TEST_CARD.len() / PACKET - 1);
    }
}
