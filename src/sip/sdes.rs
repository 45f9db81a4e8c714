//! Security descriptions (RFC 4568): the key for the RTCP of a medium, told in its session description.
//!
//! ```text
//! a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:<key and salt in base64> UNENCRYPTED_SRTCP UNENCRYPTED_SRTP UNAUTHENTICATED_SRTP
//!          │ └ crypto-suite          └ key-params                    └ session-params
//!          └ tag
//! ```
//!
//! This is the one protection that is spoken here: RTP as it is, RTCP authenticated and in clear. Each end tells the key
//! under which it sends. Whoever can read the description has the key, so it belongs into secured signalling only.

use crate::wire::DecodeErrorKind;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use core::fmt;

/// The suite (§6.2.1).
pub const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";
/// What the suite does not do here (§6.3.2, §6.3.3).
const WITHOUT: [&str; 3] = ["UNENCRYPTED_SRTCP", "UNENCRYPTED_SRTP", "UNAUTHENTICATED_SRTP"];
const INLINE: &str = "inline";

/// A crypto attribute of this protection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Crypto {
    /// Tells the attributes of an offer apart; the answer repeats that of the chosen one. Nine digits at most.
    pub tag: u32,
    /// Master key and master salt.
    pub key: [u8; Crypto::KEY_LEN],
}

/// The key stays out of logs.
impl fmt::Debug for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crypto").field("tag", &self.tag).finish_non_exhaustive()
    }
}

impl Crypto {
    /// Octets of key and salt.
    pub const KEY_LEN: usize = 30;
    /// Characters that they take, which is without padding.
    const TEXT_LEN: usize = Self::KEY_LEN / 3 * 4;
    /// The largest tag.
    pub const MAX_TAG: u32 = 999_999_999;

    /// Reads what follows `a=crypto:`. `None` is the attribute of a protection that is not spoken here: another suite, other
    /// session parameters, several keys, or a key with an identifier.
    pub(super) fn parse(value: &str) -> Result<Option<Self>, DecodeErrorKind> {
        let mut fields = value.split([' ', '\t']).filter(|field| !field.is_empty());
        let mut field = || fields.next().ok_or(DecodeErrorKind::Truncated);
        let (tag, suite, key_params) = (field()?, field()?, field()?);
        let is_number = (1..=9).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_digit());
        let tag = tag.parse().ok().filter(|_| is_number).ok_or(DecodeErrorKind::InvalidValue)?;
        if !is_name(suite) || !key_params.split(';').all(is_key_param) {
            return Err(DecodeErrorKind::InvalidValue);
        }
        let mut lacks = [false; WITHOUT.len()];
        let mut strange = false;
        for param in fields {
            if !is_visible(param) {
                return Err(DecodeErrorKind::InvalidValue);
            }
            match WITHOUT.iter().zip(&mut lacks).find(|(name, _)| name.eq_ignore_ascii_case(param)) {
                Some((_, lacks)) => *lacks = true,
                // A hint for the receiver's window, or what whoever does not know it may pass over.
                None => strange |= !param.starts_with("WSH=") && !param.starts_with('-'),
            }
        }
        if !suite.eq_ignore_ascii_case(SUITE) || strange || lacks != [true; WITHOUT.len()] {
            return Ok(None);
        }
        Ok(key_of(key_params)?.map(|key| Crypto { tag, key }))
    }
}

/// The key of `inline:<key and salt>[|lifetime][|mki:length]`.
fn key_of(key_params: &str) -> Result<Option<[u8; Crypto::KEY_LEN]>, DecodeErrorKind> {
    let Some((method, info)) = key_params.split_once(':').filter(|(_, info)| !info.contains(';')) else {
        return Ok(None);
    };
    let (text, rest) = info.split_once('|').unwrap_or((info, ""));
    // Nobody sends so many packets that a lifetime would matter; an identifier would stand in each of them.
    if !method.eq_ignore_ascii_case(INLINE) || rest.contains(':') {
        return Ok(None);
    }
    let lifetime = rest.strip_prefix("2^").unwrap_or(rest);
    if !lifetime.bytes().all(|b| b.is_ascii_digit()) {
        return Err(DecodeErrorKind::InvalidValue);
    }
    if text.len() != Crypto::TEXT_LEN {
        return Err(DecodeErrorKind::BadLength);
    }
    let mut key = [0; Crypto::KEY_LEN];
    match BASE64.decode_slice(text, &mut key) {
        Ok(Crypto::KEY_LEN) => Ok(Some(key)),
        _ => Err(DecodeErrorKind::InvalidValue),
    }
}

/// `1*(ALPHA / DIGIT / "_")`
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_key_param(param: &str) -> bool {
    param.split_once(':').is_some_and(|(method, info)| is_name(method) && is_visible(info))
}

/// The attribute, without `a=`.
impl fmt::Display for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = base64::display::Base64Display::new(&self.key, &BASE64);
        write!(f, "crypto:{} {SUITE} {INLINE}:{key}", self.tag)?;
        WITHOUT.iter().try_for_each(|param| write!(f, " {param}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::{String, ToString as _};

    const KEY: &str = "4fl6DT4Bi+DWT6MsBt5BOQ7Gda1Jiv7rtpYLOqvm";
    const PARAMS: &str = "UNENCRYPTED_SRTCP UNENCRYPTED_SRTP UNAUTHENTICATED_SRTP";

    fn parse(value: &str) -> Result<Option<u32>, DecodeErrorKind> {
        Crypto::parse(value).map(|crypto| crypto.map(|crypto| crypto.tag))
    }

    #[test]
    fn an_attribute_is_read_and_written_as_the_same() {
        let value = format!("7 {SUITE} inline:{KEY} {PARAMS}");
        let crypto = Crypto::parse(&value).unwrap().unwrap();
        assert_eq!((crypto.tag, &crypto.key[..4]), (7, &[0xe1, 0xf9, 0x7a, 0x0d][..]));
        assert_eq!(crypto.to_string(), format!("crypto:{value}"));
        assert_eq!(format!("{crypto:?}"), "Crypto { tag: 7, .. }");
    }

    #[test]
    fn blanks_order_lifetimes_and_hints_are_free() {
        for value in [
            format!("000000007\t{SUITE}  inline:{KEY}|2^31 \t{PARAMS} "),
            format!("7 aes_cm_128_hmac_sha1_80 INLINE:{KEY}|1048576 {PARAMS} WSH=128"),
            format!("7 {SUITE} inline:{KEY} UNAUTHENTICATED_SRTP -NEW=1 UNENCRYPTED_SRTP UNENCRYPTED_SRTCP"),
        ] {
            assert_eq!(parse(&value), Ok(Some(7)), "{value}");
        }
    }

    #[test]
    fn another_protection_is_legal_and_not_spoken() {
        for value in [
            format!("1 {SUITE} inline:{KEY}"),
            format!("1 {SUITE} inline:{KEY} UNENCRYPTED_SRTCP UNENCRYPTED_SRTP"),
            format!("1 {SUITE} inline:{KEY} {PARAMS} KDR=24"),
            format!("1 {SUITE} inline:{KEY} {PARAMS} NEW"),
            format!("1 {SUITE} inline:{KEY}|2^20|1:4 {PARAMS}"),
            format!("1 {SUITE} inline:{KEY}|1:4 {PARAMS}"),
            format!("1 {SUITE} inline:{KEY};inline:{KEY} {PARAMS}"),
            format!("1 {SUITE} else:{KEY} {PARAMS}"),
            format!("1 AEAD_AES_256_GCM inline:{KEY}{KEY}== {PARAMS}"),
        ] {
            assert_eq!(parse(&value), Ok(None), "{value}");
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_refused() {
        use DecodeErrorKind::*;
        for (value, kind) in [
            (String::new(), Truncated),
            ("1".into(), Truncated),
            (format!("1 {SUITE}"), Truncated),
            (format!("0123456789 {SUITE} inline:{KEY} {PARAMS}"), InvalidValue),
            (format!("+1 {SUITE} inline:{KEY} {PARAMS}"), InvalidValue),
            (format!("1 AES-CM inline:{KEY}"), InvalidValue),
            (format!("1 {SUITE} {KEY} {PARAMS}"), InvalidValue),
            (format!("1 {SUITE} inline: {PARAMS}"), InvalidValue),
            (format!("1 {SUITE} inline:{KEY}; {PARAMS}"), InvalidValue),
            (format!("1 {SUITE} inline:{KEY}|x {PARAMS}"), InvalidValue),
            (format!("1 {SUITE} inline:{} {PARAMS}", KEY.replace('4', "*")), InvalidValue),
            (format!("1 {SUITE} inline:{KEY} {PARAMS} \u{e4}"), InvalidValue),
            (format!("1 {SUITE} inline:{}== {PARAMS}", &KEY[..38]), InvalidValue),
            (format!("1 {SUITE} inline:{}= {PARAMS}", &KEY[1..]), InvalidValue),
            (format!("1 {SUITE} inline:{} {PARAMS}", &KEY[4..]), BadLength),
            (format!("1 {SUITE} inline:{KEY}AAAA {PARAMS}"), BadLength),
        ] {
            assert_eq!(parse(&value), Err(kind), "{value}");
        }
    }

    #[test]
    fn no_truncation_has_another_key() {
        let value = format!("7 {SUITE} inline:{KEY} {PARAMS}");
        for len in 0..value.len() {
            assert!(!matches!(Crypto::parse(&value[..len]), Ok(Some(_))), "{}", &value[..len]);
        }
    }
}
