//! The lists in packets, which stay where they are in the datagram: sources of a BYE, losses of a NACK, chunks of an SDES.

/// The sources of one BYE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources<'a>(pub(super) &'a [[u8; 4]]);

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
pub struct Losses<'a>(pub(super) &'a [[u8; 4]]);

impl<'a> Losses<'a> {
    /// FMT of a generic NACK.
    pub(super) const FORMAT: u8 = 1;

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
pub struct Descriptions<'a>(pub(super) &'a [u8]);

impl<'a> Descriptions<'a> {
    pub(super) const CNAME: u8 = 1;

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
pub(super) struct Chunk<'a> {
    ssrc: u32,
    cname: Option<&'a [u8]>,
    pub(super) rest: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// `None` when an item leaves the packet or the final zero is missing.
    pub(super) fn read(chunk: &'a [u8]) -> Option<Self> {
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
