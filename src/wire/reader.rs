//! The reading half.

use super::{DecodeError, DecodeErrorKind};
use bytes::Bytes;

/// A cursor over bytes that remembers where in the whole input it stands.
///
/// Values that outlive the call are cut out of the input as [`Bytes`] views, which share its buffer.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    input: &'a Bytes,
    /// Absolute position in `input`.
    at: usize,
    /// Absolute end of this reader, at most `input.len()`.
    end: usize,
}

impl<'a> Reader<'a> {
    /// A reader over the whole input.
    pub fn new(input: &'a Bytes) -> Self {
        Reader { input, at: 0, end: input.len() }
    }

    /// Bytes from the start of the input.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Bytes left in this reader.
    pub fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// An error at the current position.
    pub fn error(&self, kind: DecodeErrorKind, field: &'static str) -> DecodeError {
        DecodeError { kind, field, offset: self.at }
    }

    /// The next `n` bytes, borrowed.
    pub fn take(&mut self, n: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        if n > self.remaining() {
            return Err(self.error(DecodeErrorKind::Truncated, field));
        }
        let slice = &self.input[self.at..self.at + n];
        self.at += n;
        Ok(slice)
    }

    /// The next `n` bytes as a view that shares the input's buffer.
    pub fn bytes(&mut self, n: usize, field: &'static str) -> Result<Bytes, DecodeError> {
        let from = self.at;
        self.take(n, field)?;
        Ok(self.input.slice(from..from + n))
    }

    /// Everything that is left, as a view.
    pub fn rest(&mut self) -> Bytes {
        let view = self.input.slice(self.at..self.end);
        self.at = self.end;
        view
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N, field)?);
        Ok(out)
    }

    /// An 8-bit number.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        Ok(self.array::<1>(field)?[0])
    }

    /// A 16-bit number, big-endian.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    /// A 24-bit number, big-endian.
    pub fn u24(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let [a, b, c] = self.array(field)?;
        Ok(u32::from_be_bytes([0, a, b, c]))
    }

    /// A 32-bit number, big-endian.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// A 64-bit number, big-endian.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// A reader over the next `n` bytes, which this one skips.
    pub fn sub(&mut self, n: usize, field: &'static str) -> Result<Reader<'a>, DecodeError> {
        let at = self.at;
        self.take(n, field)?;
        Ok(Reader { input: self.input, at, end: at + n })
    }

    /// A sub-reader behind an 8-bit length: `opaque x<0..2^8-1>`.
    pub fn sub8(&mut self, field: &'static str) -> Result<Reader<'a>, DecodeError> {
        let n = self.u8(field)?;
        self.sub(n.into(), field)
    }

    /// A sub-reader behind a 16-bit length.
    pub fn sub16(&mut self, field: &'static str) -> Result<Reader<'a>, DecodeError> {
        let n = self.u16(field)?;
        self.sub(n.into(), field)
    }

    /// A sub-reader behind a 24-bit length.
    pub fn sub24(&mut self, field: &'static str) -> Result<Reader<'a>, DecodeError> {
        let n = self.u24(field)?;
        self.sub(n as usize, field)
    }

    /// A sub-reader behind a 32-bit length.
    pub fn sub32(&mut self, field: &'static str) -> Result<Reader<'a>, DecodeError> {
        let n = self.u32(field)?;
        self.sub(usize::try_from(n).unwrap_or(usize::MAX), field)
    }

    /// Refuses left-over bytes. Call it where a structure must fill its length exactly.
    pub fn finish(&self, field: &'static str) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(self.error(DecodeErrorKind::TrailingBytes, field)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sub_reader_ends_where_its_length_says() {
        let input = Bytes::from_static(&[2, 10, 11, 12]);
        let mut r = Reader::new(&input);
        let mut s = r.sub8("list").unwrap();
        assert_eq!((s.u8("a").unwrap(), s.u8("b").unwrap()), (10, 11));
        let e = s.u8("c").unwrap_err();
        assert_eq!((e.kind, e.field, e.offset), (DecodeErrorKind::Truncated, "c", 3));
        assert_eq!(r.u8("tail").unwrap(), 12);
        assert!(r.finish("all").is_ok());
    }

    #[test]
    fn a_length_beyond_the_input_is_refused_before_anything_is_reserved() {
        let input = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 1]);
        let e = Reader::new(&input).sub32("values").unwrap_err();
        assert_eq!(e.kind, DecodeErrorKind::Truncated);
    }

    #[test]
    fn left_over_bytes_are_refused() {
        let input = Bytes::from_static(&[1]);
        assert_eq!(Reader::new(&input).finish("x").unwrap_err().kind, DecodeErrorKind::TrailingBytes);
    }

    #[test]
    fn views_share_the_input_buffer() {
        let input = Bytes::from_static(&[1, 2, 3, 4]);
        let mut r = Reader::new(&input);
        r.u8("x").unwrap();
        let view = r.bytes(2, "y").unwrap();
        assert_eq!(view.as_ptr(), input[1..].as_ptr());
        assert_eq!(r.rest(), Bytes::from_static(&[4]));
    }
}
