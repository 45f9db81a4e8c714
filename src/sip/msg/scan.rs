//! The leaf scanners of the grammar (RFC 3261 §25.1), as nom parsers over a header value whose end is known.
//!
//! Where a header ends was decided before (a line end that is not followed by a blank), so inside a value every CR and LF
//! belongs to a fold and counts as a blank.

use crate::wire::{DecodeError, DecodeErrorKind};
use alloc::borrow::Cow;
use alloc::string::String;
use nom::error::{ErrorKind, ParseError};
use nom::{Err, IResult};

/// What went wrong, and how many bytes of the value were left there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sip) struct Fault {
    pub(in crate::sip) left: usize,
    pub(in crate::sip) field: &'static str,
    pub(in crate::sip) kind: DecodeErrorKind,
}

impl Fault {
    /// The fault as an error of a value that is `len` bytes long and begins at byte `at` of the message.
    pub(in crate::sip) fn at(self, at: usize, len: usize) -> DecodeError {
        DecodeError { kind: self.kind, field: self.field, offset: at + len.saturating_sub(self.left) }
    }
}

impl ParseError<&[u8]> for Fault {
    fn from_error_kind(input: &[u8], _: ErrorKind) -> Self {
        Fault { left: input.len(), field: "header", kind: DecodeErrorKind::InvalidValue }
    }

    fn append(_: &[u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

/// What every parser here returns.
pub(in crate::sip) type Parsed<'a, T> = IResult<&'a [u8], T, Fault>;

/// A value that the field may not have.
pub(in crate::sip) fn invalid(rest: &[u8], field: &'static str) -> Err<Fault> {
    fault(rest, field, DecodeErrorKind::InvalidValue)
}

/// Any fault.
pub(in crate::sip) fn fault(rest: &[u8], field: &'static str, kind: DecodeErrorKind) -> Err<Fault> {
    Err::Error(Fault { left: rest.len(), field, kind })
}

/// Runs a parser over a whole value: blanks may stand around it, nothing else may be left.
pub(in crate::sip) fn whole<'a, T>(
    input: &'a [u8],
    at: usize,
    field: &'static str,
    parser: impl FnOnce(&'a [u8]) -> Parsed<'a, T>,
) -> Result<T, DecodeError> {
    let start = lws(input);
    let outcome = parser(start).and_then(|(rest, value)| match lws(rest) {
        [] => Ok(value),
        rest => Err(invalid(rest, field)),
    });
    outcome.map_err(|e| to_fault(e, field).at(at, input.len()))
}

/// Parsers here are complete: they never ask for more input.
pub(in crate::sip) fn to_fault(error: Err<Fault>, field: &'static str) -> Fault {
    match error {
        Err::Error(fault) | Err::Failure(fault) => fault,
        Err::Incomplete(_) => Fault { left: 0, field, kind: DecodeErrorKind::Truncated },
    }
}

const TOKEN: u8 = 1;
const WORD: u8 = 2;
const USER: u8 = 4;
const PARAM: u8 = 8;
const HEADER: u8 = 16;
const BLANK: u8 = 32;
const HOST: u8 = 64;

/// One byte of flags for every octet: a scanner is one table look-up per byte.
static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        let c = b as u8;
        let mut flags = 0;
        if c.is_ascii_alphanumeric() {
            flags |= TOKEN | WORD | USER | PARAM | HEADER | HOST;
        }
        flags |= match c {
            b'-' | b'.' | b'!' | b'*' | b'_' | b'\'' | b'~' => TOKEN | WORD | USER | PARAM | HEADER,
            b'%' => TOKEN | WORD,
            b'`' => TOKEN | WORD,
            b'+' => TOKEN | WORD | USER | PARAM | HEADER,
            b'(' | b')' => WORD | USER | PARAM | HEADER,
            b'<' | b'>' | b'\\' | b'"' | b'{' | b'}' => WORD,
            b':' | b'/' | b'[' | b']' => WORD | PARAM | HEADER,
            b'?' => WORD | USER | HEADER,
            b'&' => USER | PARAM,
            b'=' | b',' | b';' => USER,
            b'$' => USER | PARAM | HEADER,
            b' ' | b'\t' | b'\r' | b'\n' => BLANK,
            _ => 0,
        };
        flags |= match c {
            b'-' | b'.' | b'_' => HOST,
            b'/' => USER,
            b'@' => WORD_AT,
            _ => 0,
        };
        table[b] = flags;
        b += 1;
    }
    table
};

/// `@` joins the two words of a Call-ID; it is in no other class.
const WORD_AT: u8 = 128;

fn is(class: u8, byte: u8) -> bool {
    CLASS[byte as usize] & class != 0
}

/// Splits after the longest prefix of bytes in a class.
fn span(input: &[u8], class: u8) -> (&[u8], &[u8]) {
    let n = input.iter().position(|&b| !is(class, b)).unwrap_or(input.len());
    input.split_at(n)
}

/// ASCII classes are text; this never fails for them.
fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or_default()
}

/// Whether all of it is one `token`.
pub(in crate::sip) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&b| is(TOKEN, b))
}

/// Whether all of it is one Call-ID: `word [ "@" word ]`.
pub(in crate::sip) fn is_call_id(bytes: &[u8]) -> bool {
    whole(bytes, 0, "Call-ID", call_id).is_ok_and(|id| id.len() == bytes.len())
}

/// Whether a byte may stand in a user part unescaped: `unreserved / user-unreserved`.
pub(in crate::sip) fn is_user_byte(byte: u8) -> bool {
    is(USER, byte)
}

/// Whether a byte may stand in a URI parameter unescaped: `param-unreserved / unreserved`.
pub(in crate::sip) fn is_param_byte(byte: u8) -> bool {
    is(PARAM, byte)
}

/// Whether a byte may stand in a URI header unescaped: `hnv-unreserved / unreserved`.
pub(in crate::sip) fn is_header_byte(byte: u8) -> bool {
    is(HEADER, byte)
}

/// Whether a byte is a blank, or part of a fold.
pub(in crate::sip) fn is_blank(byte: u8) -> bool {
    is(BLANK, byte)
}

/// Skips `SWS`: blanks and folds, if any.
pub(in crate::sip) fn lws(input: &[u8]) -> &[u8] {
    span(input, BLANK).1
}

/// Skips `LWS`: at least one blank.
pub(in crate::sip) fn lws1<'a>(input: &'a [u8], field: &'static str) -> Parsed<'a, ()> {
    match span(input, BLANK) {
        ([], _) => Err(invalid(input, field)),
        (_, rest) => Ok((rest, ())),
    }
}

/// `token`
pub(in crate::sip) fn token<'a>(input: &'a [u8], field: &'static str) -> Parsed<'a, &'a str> {
    match span(input, TOKEN) {
        ([], _) => Err(invalid(input, field)),
        (token, rest) => Ok((rest, text(token))),
    }
}

/// One byte, exactly this one.
pub(in crate::sip) fn byte<'a>(input: &'a [u8], want: u8, field: &'static str) -> Parsed<'a, ()> {
    match input.split_first() {
        Some((&b, rest)) if b == want => Ok((rest, ())),
        _ => Err(invalid(input, field)),
    }
}

/// `SWS byte SWS`, the separators of §25.1 (SLASH, SEMI, EQUAL, COMMA).
pub(in crate::sip) fn separator<'a>(input: &'a [u8], want: u8, field: &'static str) -> Parsed<'a, ()> {
    let (rest, ()) = byte(lws(input), want, field)?;
    Ok((lws(rest), ()))
}

/// `1*DIGIT` below 2^32; leading zeros are legal.
pub(in crate::sip) fn number<'a>(input: &'a [u8], field: &'static str) -> Parsed<'a, u32> {
    let n = input.iter().position(|b| !b.is_ascii_digit()).unwrap_or(input.len());
    let (digits, rest) = input.split_at(n);
    if digits.is_empty() {
        return Err(invalid(input, field));
    }
    let value = digits.iter().try_fold(0u32, |n, d| n.checked_mul(10)?.checked_add((d - b'0').into()));
    value.map(|n| (rest, n)).ok_or_else(|| invalid(input, field))
}

/// `callid = word [ "@" word ]`
pub(in crate::sip) fn call_id(input: &[u8]) -> Parsed<'_, &str> {
    let (id, rest) = span(input, WORD | WORD_AT);
    let mut words = id.split(|&b| b == b'@');
    let legal = words.next().is_some_and(|w| !w.is_empty())
        && words.next().is_none_or(|w| !w.is_empty())
        && words.next().is_none();
    if legal { Ok((rest, text(id))) } else { Err(invalid(input, "Call-ID")) }
}

/// `host` as far as its letters go; `[`...`]` with its brackets.
pub(in crate::sip) fn host<'a>(input: &'a [u8], field: &'static str) -> Parsed<'a, &'a str> {
    if input.first() == Some(&b'[') {
        let n = input.iter().position(|&b| b == b']').ok_or_else(|| invalid(input, field))?;
        let (host, rest) = input.split_at(n + 1);
        let inner = &host[1..n];
        let legal =
            !inner.is_empty() && inner.iter().all(|&b| b.is_ascii_hexdigit() || b == b':' || b == b'.');
        return if legal { Ok((rest, text(host))) } else { Err(invalid(input, field)) };
    }
    match span(input, HOST) {
        ([], _) => Err(invalid(input, field)),
        (host, rest) => Ok((rest, text(host))),
    }
}

/// The value of a header parameter that is not quoted: `token / host`, and an IPv6 address without its brackets, which
/// old implementations write (RFC 5118 §4.5).
pub(in crate::sip) fn bare_value<'a>(input: &'a [u8], field: &'static str) -> Parsed<'a, &'a str> {
    let n = input.iter().position(|&b| !is(TOKEN, b) && !b"[]:".contains(&b)).unwrap_or(input.len());
    match input.split_at(n) {
        ([], _) => Err(invalid(input, field)),
        (value, rest) => Ok((rest, text(value))),
    }
}

/// `quoted-string`, with its quotes. What it holds is UTF-8; a backslash takes the next ASCII octet as it is.
pub(in crate::sip) fn quoted<'a>(input: &'a [u8], field: &'static str) -> Parsed<'a, &'a str> {
    let (mut rest, ()) = byte(input, b'"', field)?;
    loop {
        rest = match rest {
            [b'"', after @ ..] => {
                let (string, _) = input.split_at(input.len() - after.len());
                let string = core::str::from_utf8(string).map_err(|_| invalid(input, field))?;
                return Ok((after, string));
            }
            [b'\\', b'\r' | b'\n' | 0x80.., ..] | [] | [b'\\'] => {
                return Err(fault(rest, field, DecodeErrorKind::Truncated));
            }
            [b'\\', _, after @ ..] => after,
            [0..=8 | 11 | 12 | 14..=31 | 127, ..] => return Err(invalid(rest, field)),
            [_, after @ ..] => after,
        };
    }
}

/// The display name that is not quoted: tokens and blanks as far as a `<`. `None` when none of that stands here.
pub(in crate::sip) fn tokens_before_bracket(input: &[u8]) -> (&[u8], Option<&str>) {
    match span(input, TOKEN | BLANK) {
        ([_, ..], rest @ [b'<', ..]) => {
            let tokens = &input[..input.len() - rest.len()];
            (rest, Some(text(tokens).trim_ascii_end()))
        }
        _ => (input, None),
    }
}

/// What a quoted string says: without its quotes and backslashes, a fold as one blank.
pub(in crate::sip) fn unquote(quoted: &str) -> Cow<'_, str> {
    let inner = quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"')).unwrap_or(quoted);
    if !inner.bytes().any(|b| matches!(b, b'\\' | b'\r' | b'\n')) {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            '\r' | '\n' => {
                while chars.next_if(|c| c.is_ascii() && is_blank(*c as u8)).is_some() {}
                out.push(' ');
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Where the next CR or LF is. Eight bytes at a time: every byte of a head is looked at once for this.
pub(in crate::sip) fn find_line_end(input: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    /// Not 0 exactly when one of the bytes is 0.
    const fn zero_byte(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & HIGHS
    }
    let ends = |b: &u8| matches!(b, b'\r' | b'\n');
    let (words, tail) = input.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let bytes = u64::from_ne_bytes(*word);
        if zero_byte(bytes ^ (ONES * 0x0d)) | zero_byte(bytes ^ (ONES * 0x0a)) != 0 {
            return word.iter().position(ends).map(|n| i * 8 + n);
        }
    }
    tail.iter().position(ends).map(|n| words.len() * 8 + n)
}

/// Checks that `%` is always followed by two hexadecimal digits and every other byte is allowed.
pub(in crate::sip) fn is_escaped_text(bytes: &[u8], allowed: fn(u8) -> bool) -> bool {
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] => return true,
            [b'%', a, b, after @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => after,
            [b, after @ ..] if *b != b'%' && allowed(*b) => after,
            _ => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_end_is_found_at_every_place_and_only_there() {
        for length in 0..40 {
            for other in [b'a', 0, 0x0b, 0x0c, 0x0e, 0x09, 0x8d, 0x8a, 0xff] {
                let plain = alloc::vec![other; length];
                assert_eq!(find_line_end(&plain), None);
                for at in 0..length {
                    let mut line = plain.clone();
                    line[at..].fill(b'\n');
                    line[at] = b'\r';
                    assert_eq!(find_line_end(&line), Some(at));
                    line[at] = b'\n';
                    assert_eq!(find_line_end(&line), Some(at));
                }
            }
        }
    }

    #[test]
    fn numbers_end_at_32_bits_and_may_begin_with_zeros() {
        assert_eq!(number(b"0004294967295x", "n"), Ok((&b"x"[..], u32::MAX)));
        assert!(
            number(b"4294967296", "n").is_err() && number(b"-1", "n").is_err() && number(b"", "n").is_err()
        );
    }

    #[test]
    fn an_unterminated_string_is_refused_where_it_ends() {
        for text in [&b"\"abc"[..], b"\"abc\\\"", b"\"a\\", b"\"a\\\r\n b\"", b"\"a\0b\"", b"\"\xff\""] {
            assert!(quoted(text, "q").is_err(), "{text:?}");
        }
        assert_eq!(quoted(b"\"a\\\"b\";c", "q"), Ok((&b";c"[..], "\"a\\\"b\"")));
        assert_eq!(unquote("\"a\\\"\r\n\t b\""), "a\" b");
    }
}
