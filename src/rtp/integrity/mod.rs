//! Whose packets these are: the source signs windows of packets, and nobody plays or passes on what it did not send.
//!
//! RTP itself is not authenticated, because a relay sends the same octets to all its children: a key that all of them had would
//! let each of them forge. A signature for every packet would cost more than the packet. So the source signs a *list* of
//! the hashes of the next packets (the amortised signatures of RFC 7574 §6.1, with a list for the tree, as a live stream
//! is checked in the order in which it comes).
//!
//! ```text
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+ <+
//! |  RTP header of 12 octets: payload type LIST, own SSRC/numbers |  |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  |
//! |   version 1   |    count      |  first sequence number        |  | signed, behind CONTEXT
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  | and the channel
//! |  number of the window: 64 bits, milliseconds since 1970       |  |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  |
//! |  count times 128 bits: SHA-256 of the packet of each number   |  |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+ <+
//! |  signature, to the end of the packet                          |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! The hash of a number that the source has no packet of is zero, and nothing has it.
//!
//! # Why lists are a stream of their own
//!
//! RFC 3550 §5.2 says why another payload type must not go under the SSRC of the media: whoever does not know it finds holes in
//! the numbers. So lists have an SSRC of their own, the complement of the media's, and numbers of their own, one after the
//! other. The media stay as the encoder made them; a plain RTP receiver is sent no lists and misses nothing, and a player
//! is handed none.
//!
//! # Who waits
//!
//! The source only: a list has to be there first, so [`Signer`] is a delay line. Every packet leaves [`WINDOW_TIME`] after it
//! came, at the pace at which it came, and its window is closed when it is full, or when its first packet has to leave. The
//! list leaves as soon as it is signed: at 2 Mbit/s 190 ms ahead of its window, below some 940 kbit/s with it. A relay and a viewer
//! check each packet when it comes and pass it on in the same call.
//!
//! A list that was lost is noticed by the next one or by the first packet of its window, and asked for as packets are. The
//! packets of its window are held until it is repaired, for [`Limits::patience`] and [`Limits::held`] at most, and then dropped
//! and counted: whoever could have them passed on unchecked by losing a list could forge what he likes. That is time for two
//! requests where a round trip takes up to 110 ms, and for one up to 290 ms. So long they also count as what the parent has
//! brought: it is not silent, and nobody else is asked for what it has sent. Those below are told HOLD meanwhile, as always.
//!
//! # What an attacker can do
//!
//! * *Change or make up a packet*: it has another hash, or no list has it. It is dropped before the duplicate window sees it, so the
//!   true one still counts when it comes.
//! * *Change or make up a list*: the signature does not hold. Trying signatures is what costs most here, so who sends wrong ones is soon
//!   believed slowly ([`Trials`]): [`TRIALS`] at once, then one each [`TRIAL_INTERVAL`], of each parent. Wrong signatures
//!   thereby delay the lists of that parent, and of no other.
//! * *Send an old window again*: its number is too low. The number is the time of day at the source, so that a newcomer, who has seen
//!   none yet, can refuse what is older than his own clock allows ([`Guard::not_before`]).
//! * *Hold packets back*: that is a silence or a loss, and treated as one.
//! * *Say that the channel is over*: that takes the owner's word as well (`node::integrity`).
//!
//! # What it costs
//!
//! With 32 packets of 1328 octets ([`FILL`]) a list under ECDSA P-256 is 1.4 % of what is sent, with the 24 that come in
//! [`WINDOW_TIME`] at 730 kbit/s 1.5 %. **Below that it is more**: 1.6 % at 500 kbit/s, 1.9 % at 300, 2.2 % at 200. The
//! hashes are 1.2 % at any rate; the rest, which a window has once, could be less only in windows that take longer, and
//! everybody would see the picture later by as much. To send each list twice would be 2.8 %. An RSA key of 2048 bits makes
//! windows of [`MAX_WINDOW`] packets instead, which is 1.5 % from 2.2 Mbit/s on, and more below. At 2 Mbit/s six lists a second
//! are signed (27 µs each with ECDSA) and checked (88 µs), and there is a hash over every packet. Everybody sees the picture
//! [`WINDOW_TIME`] later.
//!
//! This module is the machines and their wire format, blind to keys: whoever owns them lends a function that signs or
//! verifies.
//!
//! | file | |
//! | --- | --- |
//! | `list` | the wire format of a list, and the lists that are believed |
//! | `signer` | the source's side |
//! | `guard` | the receiver's side |

mod guard;
mod list;
mod signer;
#[cfg(test)]
mod tests;

pub use self::guard::{
    Counts, Guard, Limits, MAX_UNCHECKED, Refused, Released, TRIAL_INTERVAL, TRIALS, Trials, Verdict,
};
pub use self::list::{CONTEXT, LIST, List, Lists, MAX_WINDOW, counterpart};
pub use self::signer::{FILL, MAX_UNSIGNED, Outgoing, SignError, Signer, WINDOW_TIME};
