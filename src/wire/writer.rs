//! The writing half.

use alloc::vec::Vec;
use bytes::Bytes;

/// A field was longer than its length prefix can say. The caller made this value; no peer can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is too long for its length prefix")]
pub struct EncodeError {
    /// The RFC's name of the field.
    pub field: &'static str,
}

/// Appends big-endian numbers and length-prefixed structures.
///
/// A prefix that overflows is remembered and reported once, by [`Writer::finish`].
#[derive(Clone, Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
    overflow: Option<EncodeError>,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty writer with room for `n` bytes.
    pub fn with_capacity(n: usize) -> Self {
        Writer { out: Vec::with_capacity(n), overflow: None }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// What was written so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.out
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// An 8-bit number.
    pub fn u8(&mut self, n: u8) {
        self.out.push(n);
    }

    /// A 16-bit number.
    pub fn u16(&mut self, n: u16) {
        self.raw(&n.to_be_bytes());
    }

    /// The lower 24 bits of a number.
    pub fn u24(&mut self, n: u32) {
        self.raw(&n.to_be_bytes()[1..]);
    }

    /// A 32-bit number.
    pub fn u32(&mut self, n: u32) {
        self.raw(&n.to_be_bytes());
    }

    /// A 64-bit number.
    pub fn u64(&mut self, n: u64) {
        self.raw(&n.to_be_bytes());
    }

    /// What `content` writes, behind an 8-bit length.
    pub fn sub8(&mut self, field: &'static str, content: impl FnOnce(&mut Writer)) {
        self.sub::<1>(field, content);
    }

    /// What `content` writes, behind a 16-bit length.
    pub fn sub16(&mut self, field: &'static str, content: impl FnOnce(&mut Writer)) {
        self.sub::<2>(field, content);
    }

    /// What `content` writes, behind a 24-bit length.
    pub fn sub24(&mut self, field: &'static str, content: impl FnOnce(&mut Writer)) {
        self.sub::<3>(field, content);
    }

    /// What `content` writes, behind a 32-bit length.
    pub fn sub32(&mut self, field: &'static str, content: impl FnOnce(&mut Writer)) {
        self.sub::<4>(field, content);
    }

    fn sub<const N: usize>(&mut self, field: &'static str, content: impl FnOnce(&mut Writer)) {
        let at = self.out.len();
        self.raw(&[0; N]);
        content(self);
        let n = (self.out.len() - at - N) as u64;
        if n >> (8 * N) != 0 {
            self.overflow.get_or_insert(EncodeError { field });
        }
        self.out[at..at + N].copy_from_slice(&n.to_be_bytes()[8 - N..]);
    }

    /// Overwrites 32 bits at an earlier position; does nothing when that lies beyond what was written.
    pub fn patch_u32(&mut self, at: usize, n: u32) {
        if let Some(place) = self.out.get_mut(at..at.saturating_add(4)) {
            place.copy_from_slice(&n.to_be_bytes());
        }
    }

    /// The bytes, or the first field that did not fit its prefix.
    pub fn finish(self) -> Result<Bytes, EncodeError> {
        self.overflow.map_or_else(|| Ok(self.out.into()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_counts_bytes_and_not_elements() {
        let mut w = Writer::new();
        w.sub8("a", |w| (1u16..=3).for_each(|n| w.u16(n)));
        assert_eq!(w.finish().unwrap().as_ref(), [6, 0, 1, 0, 2, 0, 3]);
    }

    #[test]
    fn prefixes_nest_in_every_width() {
        let mut w = Writer::new();
        w.sub32("a", |w| w.sub24("b", |w| w.sub16("c", |w| w.u8(9))));
        assert_eq!(w.finish().unwrap().as_ref(), [0, 0, 0, 6, 0, 0, 3, 0, 1, 9]);
    }

    #[test]
    fn an_overflowing_prefix_is_an_error_that_names_the_field() {
        let mut w = Writer::new();
        w.sub8("ufrag", |w| w.raw(&[0; 256]));
        assert_eq!(w.finish(), Err(EncodeError { field: "ufrag" }));
    }
}
