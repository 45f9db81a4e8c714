//! RELOAD URIs, by which a certificate says whose it is (RFC 6940 §14.15).
//!
//! ```text
//! RELOAD-URI = "reload://" destination "@" overlay "/" [specifier]
//! destination = 1*HEXDIG      a Destination List without its length
//! overlay     = reg-name
//! specifier   = 1*HEXDIG      a StoredDataSpecifier
//! ```
//!
//! General URI parsers make mischief of these, for the destination stands where a user's name would.

use crate::ids::{NodeId, bytes_from_hex};
use crate::reload::codec::{Destination, Structure};
use crate::wire::{DecodeError, DecodeErrorKind, Reader, Writer};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

const SCHEME: &str = "reload://";

/// A peer, or a value that a peer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadUri {
    /// How to reach it.
    pub destinations: Vec<Destination>,
    /// In which overlay.
    pub overlay: String,
    /// Which value; `None` for the peer itself.
    pub specifier: Option<Bytes>,
}

impl ReloadUri {
    /// The URI of a node, as it stands in its certificate.
    pub fn of_node(node_id: NodeId, overlay: &str) -> Self {
        let destinations = Vec::from([Destination::Node(node_id)]);
        ReloadUri { destinations, overlay: String::from(overlay), specifier: None }
    }

    /// Reads a URI. The "/" at the end may be missing where nothing follows it: some implementations leave it out.
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        let error = |kind, field, offset| DecodeError { kind, field, offset };
        let invalid = |field, offset| error(DecodeErrorKind::InvalidValue, field, offset);
        let (scheme, rest) = text.split_at_checked(SCHEME.len()).ok_or(invalid("scheme", 0))?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(invalid("scheme", 0));
        }
        let (destination, rest) = rest.split_once('@').ok_or(invalid("destination", SCHEME.len()))?;
        let list = Bytes::from(digits(destination).ok_or(invalid("destination", SCHEME.len()))?);
        let mut reader = Reader::new(&list);
        let mut destinations = Vec::new();
        while !reader.is_empty() {
            destinations.push(Destination::read(&mut reader)?);
        }
        let at = text.len() - rest.len();
        let (overlay, specifier) = rest.split_once('/').unwrap_or((rest, ""));
        if overlay.is_empty() || !overlay.bytes().all(is_reg_name) {
            return Err(invalid("overlay", at));
        }
        let specifier = match specifier {
            "" => None,
            hex => Some(digits(hex).ok_or(invalid("specifier", at + overlay.len() + 1))?.into()),
        };
        Ok(ReloadUri { destinations, overlay: String::from(overlay), specifier })
    }

    /// The node, when this names one and nothing else: the form that certificates need (RFC 6940 §11.3).
    pub fn node_id(&self) -> Option<NodeId> {
        match (self.destinations.as_slice(), &self.specifier) {
            ([Destination::Node(node_id)], None) => Some(*node_id),
            _ => None,
        }
    }
}

/// `1*HEXDIG`, which here always come in pairs.
fn digits(hex: &str) -> Option<Vec<u8>> {
    if hex.is_empty() || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    bytes_from_hex(hex)
}

/// The characters of a reg-name (RFC 3986 §3.2.2); escapes are taken as they are.
fn is_reg_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&b)
}

impl fmt::Display for ReloadUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = Writer::new();
        self.destinations.iter().for_each(|d| d.write(&mut list));
        let hex =
            |f: &mut fmt::Formatter<'_>, bytes: &[u8]| bytes.iter().try_for_each(|b| write!(f, "{b:02x}"));
        f.write_str(SCHEME)?;
        hex(f, list.as_slice())?;
        write!(f, "@{}/", self.overlay)?;
        hex(f, self.specifier.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    const NODE: &str = "reload://011022222222222222222222222222222222@overlay.example.org/";

    #[test]
    fn ce2_the_uri_of_a_node_is_its_destination_list_in_hex() {
        let uri = ReloadUri::parse(NODE).unwrap();
        assert_eq!(uri, ReloadUri::of_node(NodeId([0x22; 16]), "overlay.example.org"));
        assert_eq!(uri.node_id(), Some(NodeId([0x22; 16])));
        assert_eq!(uri.to_string(), NODE);
    }

    #[test]
    fn ce1_the_slash_at_the_end_may_be_missing_and_the_digits_may_be_large() {
        let uri = ReloadUri::parse("RELOAD://0110AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA@tv.example").unwrap();
        assert_eq!(uri.node_id(), Some(NodeId([0xaa; 16])));
        assert_eq!(uri.overlay, "tv.example");
    }

    #[test]
    fn ce2_a_list_of_several_destinations_and_a_specifier_are_read() {
        let text = "reload://01101111111111111111111111111111111181230304\
                    03aabbcc@overlay.example.org/00000002";
        let uri = ReloadUri::parse(text).unwrap();
        assert_eq!(uri.destinations.len(), 3);
        assert_eq!(uri.specifier, Some(Bytes::from_static(&[0, 0, 0, 2])));
        assert_eq!(uri.node_id(), None);
        assert_eq!(uri.to_string(), text);
    }

    #[test]
    fn ce2_what_is_no_reload_uri_is_refused_with_its_place() {
        for (text, field, offset) in [
            ("", "scheme", 0),
            ("reload:/", "scheme", 0),
            ("http://0110@x/", "scheme", 0),
            ("reload://0110", "destination", 9),
            ("reload://@x/", "destination", 9),
            ("reload://011@x/", "destination", 9),
            ("reload://01 1@x/", "destination", 9),
            ("reload://8123@/", "overlay", 14),
            ("reload://8123@a b/", "overlay", 14),
            ("reload://8123@a@b/", "overlay", 14),
            ("reload://8123@a/b", "specifier", 16),
            ("reload://8123@a/bb/", "specifier", 16),
        ] {
            let error = ReloadUri::parse(text).unwrap_err();
            assert_eq!((error.field, error.offset), (field, offset), "{text:?}");
        }
        // The bare Node-ID, as some implementations write it, is no Destination List.
        assert!(ReloadUri::parse("reload://22222222222222222222222222222222@overlay.example.org/").is_err());
    }

    #[test]
    fn a_multibyte_character_at_any_place_is_refused_and_not_cut() {
        for i in 0..=NODE.len() {
            let mut text = String::from(NODE);
            text.insert(i, 'ä');
            assert!(ReloadUri::parse(&text).is_err(), "{text}");
        }
    }
}
