//! The media plane: RTP and RTCP on one socket, relayed unchanged.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`header`] | the fixed RTP header (RFC 3550 §5.1) and the choice between RTP and RTCP (RFC 5761 §4) |
//! | [`rtcp`] | compound RTCP packets (RFC 3550 §6) and the two notices of the tree, HOLD and PAUSED |
//! | [`mp2t`] | MPEG-2 transport stream packets in RTP (RFC 2250 §2): peeking and packetising |
//! | [`window`] | which sequence numbers were here already (RFC 3550 §A.1 with a bitmap) |
//! | [`reception`] | what a receiver knows of one source: window, jitter, report blocks |
//! | [`relay`] | the machine of the plane: who feeds which channel, and who is fed by it |
//!
//! A relay is a translator that leaves the data alone (RFC 3550 §7.1): SSRC, sequence number, timestamp, marker and
//! payload stay what the source made them, so a viewer can change its parent without a seam. The bytes that leave
//! are the bytes that came in; nothing on the way of a packet allocates or copies.

pub mod header;
pub mod mp2t;
pub mod reception;
pub mod relay;
pub mod rtcp;
pub mod window;
