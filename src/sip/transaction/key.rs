//! Which server transaction a request belongs to (RFC 3261 §17.2.3).

use crate::ids::sha1;
use crate::sip::msg::{Method, Request};
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::net::IpAddr;

/// A digest of what identifies a server transaction: of one size, whatever a peer writes into its branch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; 16]);

impl Key {
    /// Any key, another one for each number.
    #[cfg(test)]
    pub(super) fn numbered(n: u32) -> Self {
        Key(u128::from(n).to_be_bytes())
    }

    /// The key of a request from this address, of the INVITE that an ACK belongs to. `None` when a header that it is
    /// made of is missing.
    ///
    /// With the magic cookie in the branch: branch, sent-by and method. Without (RFC 2543): Request-URI, From tag,
    /// Call-ID, CSeq number and top Via; the To tag is left out, so that an ACK finds its INVITE.
    pub fn of(request: &Request, from: IpAddr) -> Option<Self> {
        let method = request.method();
        Self::with_method(request, if *method == Method::ACK { &Method::INVITE } else { method }, from)
    }

    /// The key of the INVITE that a CANCEL names (§9.2).
    pub fn of_cancelled(cancel: &Request, from: IpAddr) -> Option<Self> {
        Self::with_method(cancel, &Method::INVITE, from)
    }

    fn with_method(request: &Request, method: &Method, from: IpAddr) -> Option<Self> {
        let via = request.headers.via().ok()??;
        let mut text = match via.branch().filter(|_| via.has_rfc3261_branch()) {
            Some(branch) => format!("3261 {branch} {}", via.sent_by()),
            None => Self::rfc2543(request)?,
        };
        // The address is no part of the RFC's rule. It keeps one peer from answering for another behind a copied branch.
        text.push_str(&format!(" {method} {from}"));
        Some(Self::digest(&text))
    }

    fn rfc2543(request: &Request) -> Option<String> {
        let h = &request.headers;
        let (via, from, cseq) = (h.via().ok()??, h.from().ok()??, h.cseq().ok()??);
        let (uri, tag, call_id) = (request.uri().ok()?, from.tag().unwrap_or_default(), h.call_id().ok()??);
        Some(format!("2543 {uri} {tag} {call_id} {} {via}", cseq.number))
    }

    /// A tag for answers that open no dialog: the same one for every copy of the request (§8.2.7).
    pub fn to_tag(self) -> String {
        self.0.iter().take(8).fold(String::new(), |tag, b| tag + &format!("{b:02x}"))
    }

    fn digest(text: &str) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&sha1(text.as_bytes())[..16]);
        Key(key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|b| write!(f, "{b:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::msg::Message;
    use super::*;
    use bytes::Bytes;

    fn key(text: &str, from: &str) -> Option<Key> {
        let text: String = text.lines().map(|l| format!("{}\r\n", l.trim())).collect();
        let message = Message::parse(Bytes::from(text + "\r\n")).unwrap();
        let Message::Request(request) = message else { panic!("a response") };
        Key::of(&request, from.parse().unwrap())
    }

    const INVITE: &str = "INVITE sip:a@b SIP/2.0
        Via: SIP/2.0/UDP Host.example.org:5062;branch=z9hG4bKx
        From: <sip:bob@example.org>;tag=b
        To: <sip:source@example.org>
        Call-ID: c1
        CSeq: 7 INVITE";

    fn of(text: &str) -> Option<Key> {
        key(text, "10.0.0.1")
    }

    #[test]
    fn branch_sent_by_method_and_source_make_the_key() {
        let first = of(INVITE);
        assert!(first.is_some());
        for (from, to) in [("Host.ex", "hOST.ex"), ("c1", "other"), ("tag=b", "tag=c"), ("INVITE", "ACK")] {
            assert_eq!(of(&INVITE.replace(from, to)), first, "{to}");
        }
        for (from, to) in [("bKx", "bKy"), (":5062", ":5063"), ("INVITE", "CANCEL"), ("INVITE", "INFO")] {
            assert_ne!(of(&INVITE.replace(from, to)), first, "{to}");
        }
        assert_ne!(key(INVITE, "10.0.0.2"), first);
    }

    #[test]
    fn without_the_cookie_the_rules_of_rfc_2543_hold() {
        for branch in ["", ";branch=1", ";branch=z9hG4bK"] {
            let old = INVITE.replace(";branch=z9hG4bKx", branch);
            let first = of(&old);
            assert!(first.is_some());
            let ack =
                old.replace("INVITE", "ACK").replace("source@example.org>", "source@example.org>;tag=s");
            assert_eq!(of(&ack), first, "the ACK finds its INVITE");
            for (from, to) in
                [("c1", "c2"), ("tag=b", "tag=c"), ("a@b", "a@c"), ("7 INV", "8 INV"), (":5062", ":1")]
            {
                assert_ne!(of(&old.replace(from, to)), first, "{to}");
            }
        }
    }

    #[test]
    fn without_what_it_is_made_of_there_is_no_key() {
        let without = |name: &str| -> String {
            INVITE.lines().filter(|l| !l.trim().starts_with(name)).map(|l| format!("{l}\n")).collect()
        };
        assert_eq!(of(&without("Via")), None);
        assert_eq!(of(&without("Call-ID").replace("z9hG4bK", "")), None);
    }

    #[test]
    fn the_tag_of_a_refusal_is_a_token_of_64_bits() {
        let tag = of(INVITE).unwrap().to_tag();
        assert!(tag.len() == 16 && tag.bytes().all(|b| b.is_ascii_hexdigit()));
    }
}
