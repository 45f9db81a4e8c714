//! Octets of control messages, without TLS and the headers of UDP, TCP and IP: those that whole nodes send, as
//! `simulate -- validate` prints them.

use crate::iptv::Report;

/// An INVITE, and the 200 with its ACK.
pub const INVITE: u64 = 611;
/// See [`INVITE`].
pub const ANSWER: u64 = 638 + 291;
/// A refusal with its ACK; each alternative that a redirect names comes on top.
pub const REFUSAL: u64 = 316 + 291;
/// A 182.
pub const QUEUE: u64 = 480;
/// One alternative of a redirect.
pub const ALTERNATIVE: u64 = 68;
/// A CANCEL with its 200, and the 487 with its ACK.
pub const CANCEL: u64 = 290 + 280 + 300 + 291;
/// A BYE and its 200.
pub const BYE: u64 = 291 + 277;
/// An INFO and its 200, without a body.
pub const INFO: u64 = 495 + 281;
/// One name in the body of an INFO, with its contact.
pub const NAME: u64 = 70;
/// A receiver report with its source description, every second.
pub const RECEIVER_REPORT: u64 = 80;
/// A HOLD or any other notice.
pub const NOTICE: u64 = 60;
/// A generic NACK.
pub const NACK: u64 = 100;
/// One hop of a Fetch or a Store, and of its answer.
pub const LOOKUP_HOP: u64 = 2 * 600;

/// An INFO with this body, and its answer.
pub fn report(report: &Report<u32>) -> u64 {
    let names = match report {
        Report::TreePosition { path, backups, .. } => path.len() + backups.len(),
        Report::Subtree(subtree) => subtree.open.len(),
        Report::FullCapacity { children } | Report::ChildUpdate { children, .. } => children.len(),
        _ => 0,
    };
    INFO + NAME * names as u64
}
