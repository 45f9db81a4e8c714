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
