//! Joins a transport stream where a decoder can begin: the tables first, then from a random access point on.

use crate::ts::{self, PACKET};
use p2piptv::rtp::mp2t::{Pid, TsPacket};

/// The longest section of a PAT or PMT (ISO/IEC 13818-1 §2.4.4): its length field counts at most 1021.
const MAX_SECTION: usize = 3 + 1021;

/// Packets without a marked random access point after which any picture has to do. Not every encoder marks them.
const MAX_WAIT: usize = 20_000;

/// One table as it passes: the packets of its last complete section.
#[derive(Default)]
struct Table {
    building: Vec<u8>,
    section: Vec<u8>,
    complete: Vec<u8>,
}

impl Table {
    /// Takes a packet of the table's PID; the section that it completes, if it does.
    fn push(&mut self, bytes: &[u8; PACKET], packet: &TsPacket<'_>) -> Option<&[u8]> {
        let payload = packet.payload();
        if packet.starts_unit() {
            let pointer = usize::from(*payload.first()?);
            self.building.clear();
            self.section.clear();
            self.section.extend_from_slice(payload.get(1 + pointer..)?);
        } else if !self.building.is_empty() {
            self.section.extend_from_slice(payload);
        } else {
            return None;
        }
        self.building.extend_from_slice(bytes);
        let &[_, high, low, ..] = &self.section[..] else { return None };
        let length = 3 + usize::from(u16::from_be_bytes([high & 0x0f, low]));
        if length > MAX_SECTION {
            self.building.clear();
        } else if let Some(section) = self.section.get(..length) {
            self.complete = core::mem::take(&mut self.building);
            return Some(section);
        }
        None
    }
}

/// The PID of the first program's map in a program association section (ISO/IEC 13818-1 §2.4.4.3).
fn program_map_pid(section: &[u8]) -> Option<Pid> {
    if section.first() != Some(&0) {
        return None;
    }
    let programs = section.get(8..section.len().checked_sub(4)?)?.as_chunks::<4>().0;
    let program = programs.iter().find(|p| p[..2] != [0, 0])?;
    Some(Pid(u16::from_be_bytes([program[2] & 0x1f, program[3]])))
}

/// Whether a program map section lists a stream of pictures (ISO/IEC 13818-1 §2.4.4.8).
fn lists_video(section: &[u8]) -> Option<bool> {
    if section.first() != Some(&2) {
        return None;
    }
    let length =
        |at: usize| Some(usize::from(u16::from_be_bytes([section.get(at)? & 0x0f, *section.get(at + 1)?])));
    let end = section.len().checked_sub(4)?;
    let mut at = 12 + length(10)?;
    while at + 5 <= end {
        // MPEG-1, MPEG-2, MPEG-4, H.264, H.265, H.266, AVS.
        if matches!(section[at], 0x01 | 0x02 | 0x10 | 0x1b | 0x24 | 0x33 | 0x42) {
            return Some(true);
        }
        at += 5 + length(at + 3)?;
    }
    Some(false)
}

/// A stream that is being joined, or has been.
#[derive(Default)]
pub struct Entry {
    association: Table,
    map: Table,
    map_pid: Option<Pid>,
    has_video: Option<bool>,
    waited: usize,
    joined: bool,
}

impl Entry {
    /// Takes whole transport packets; appends to `out` what is to be played of them.
    pub fn push(&mut self, packets: &[u8], out: &mut Vec<u8>) {
        if self.joined {
            return out.extend_from_slice(packets);
        }
        for (bytes, packet) in ts::packets(packets) {
            if let Some(packet) = packet.filter(|_| !self.joined) {
                self.wait(bytes, &packet);
                if self.joined {
                    out.extend_from_slice(&self.association.complete);
                    out.extend_from_slice(&self.map.complete);
                }
            }
            if self.joined {
                out.extend_from_slice(bytes);
            }
        }
    }

    fn wait(&mut self, bytes: &[u8; PACKET], packet: &TsPacket<'_>) {
        self.waited += 1;
        if packet.pid() == Pid::PAT {
            if let Some(pid) = self.association.push(bytes, packet).and_then(program_map_pid) {
                self.map_pid = Some(pid);
            }
        } else if Some(packet.pid()) == self.map_pid {
            if let Some(has_video) = self.map.push(bytes, packet).and_then(lists_video) {
                self.has_video = Some(has_video);
            }
        } else if let (Some(has_video), Ok(Some(pes))) = (self.has_video, ts::pes_header(packet)) {
            let fits = !has_video || matches!(pes.stream_id, 0xe0..=0xef);
            self.joined = fits && (packet.is_random_access() || self.waited > MAX_WAIT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clip::{Clip, Loop};
    use std::rc::Rc;

    /// Two rounds of the test card.
    fn stream() -> Vec<u8> {
        let clip = Rc::new(Clip::test_card().expect("the test card"));
        let mut player = Loop::new(clip.clone());
        let mut out = Vec::new();
        while out.len() < 2 * clip.packets() * PACKET {
            out.extend_from_slice(player.next_chunk().packets);
        }
        out
    }

    fn joined_at(stream: &[u8], from: usize) -> Vec<u8> {
        let (mut entry, mut out) = (Entry::default(), Vec::new());
        stream[from * PACKET..].chunks(7 * PACKET).for_each(|chunk| entry.push(chunk, &mut out));
        out
    }

    #[test]
    fn whenever_one_tunes_in_the_stream_begins_with_pat_pmt_and_a_key_picture() {
        let stream = stream();
        for from in (0..3000).step_by(97) {
            let out = joined_at(&stream, from);
            let first: Vec<_> = ts::packets(&out).take(3).filter_map(|(_, p)| p).collect();
            assert_eq!(first[0].pid(), Pid::PAT, "from {from}");
            assert!(first[1].starts_program_map());
            assert!(first[2].is_random_access());
            assert!(matches!(ts::pes_header(&first[2]), Ok(Some(pes)) if pes.stream_id == 0xe0));
            assert!(stream.ends_with(&out[2 * PACKET..]), "everything after is untouched");
            // A group of pictures is 0.64 s of 12.16 s.
            assert!(
                out.len() >= stream.len() - (from + 6478 / 19 + 200) * PACKET,
                "from {from}: nothing is missed"
            );
        }
    }

    #[test]
    fn without_marks_any_picture_will_do_after_a_while() {
        let mut stream = stream();
        for packet in stream.chunks_exact_mut(PACKET).filter(|p| p[3] & 0x20 != 0 && p[4] > 0) {
            packet[5] &= !0x40;
        }
        assert!(joined_at(&stream, 0).is_empty());
        let (mut entry, mut out) = (Entry::default(), Vec::new());
        (0..3).for_each(|_| entry.push(&stream, &mut out));
        assert!(entry.joined);
        assert!(matches!(
            ts::pes_header(&ts::packets(&out).nth(2).expect("a picture").1.expect("in step")),
            Ok(Some(_))
        ));
    }

    #[test]
    fn a_table_over_several_packets_is_kept_whole() {
        let section: Vec<u8> = [&[0x02, 0xb1, 0x90][..], &[0; 400]].concat();
        let mut table = Table::default();
        let mut got = 0;
        for (i, part) in [&section[..183], &section[183..367], &section[367..]].into_iter().enumerate() {
            let mut bytes = [0xff; PACKET];
            bytes[..4].copy_from_slice(&[0x47, if i == 0 { 0x41 } else { 0x01 }, 0, 0x10 | i as u8]);
            let start = if i == 0 {
                bytes[4] = 0;
                5
            } else {
                4
            };
            bytes[start..start + part.len()].copy_from_slice(part);
            let packet = TsPacket::new(&bytes).expect("in step");
            got += usize::from(table.push(&bytes, &packet).is_some_and(|s| s == section));
        }
        assert_eq!((got, table.complete.len()), (1, 3 * PACKET));
    }

    #[test]
    fn hostile_tables_are_survived() {
        for (b1, rest) in [(0x40, [0xff; 184]), (0x40, [0; 184]), (0x00, [0x02; 184])] {
            let bytes = [&[0x47, b1, 0, 0x10][..], &rest].concat();
            let mut out = Vec::new();
            Entry::default().push(&bytes.repeat(20), &mut out);
            assert!(out.is_empty());
        }
        for length in 0..40 {
            let section = [&[2, 0xb0, 20][..], &[0xff; 40]].concat();
            let _ = (lists_video(&section[..length]), program_map_pid(&section[..length]));
        }
    }
}
