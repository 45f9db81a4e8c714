//! The media plane: RTP and RTCP on one socket, relayed unchanged.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`header`] | the fixed RTP header (RFC 3550 §5.1) and the choice between RTP and RTCP (RFC 5761 §4) |
//! | [`rtcp`] | compound RTCP packets (RFC 3550 §6), and the notices and cues of relays and their children |
//! | [`srtcp`] | the same under a key (RFC 3711 §3.4): nobody can forge or repeat them |
//! | [`mp2t`] | MPEG-2 transport stream packets in RTP (RFC 2250 §2): peeking and packetising |
//! | [`window`] | which sequence numbers were here already (RFC 3550 §A.1 with a bitmap) |
//! | [`integrity`] | windows of packets that their source signs, and by which a forged one is known |
//! | [`missing`] | which packets a receiver lacks, and when it asks for them (RFC 4585) |
//! | [`ring`] | the last packets of a channel, for those who lack some |
//! | [`reception`] | what a receiver knows of one source: window, jitter, report blocks |
//! | [`relay`] | the machine of the plane: who feeds which channel, and who is fed by it |
//!
//! A relay is a translator that leaves the data alone (RFC 3550 §7.1): SSRC, sequence number, timestamp, marker and
//! payload stay what the source made them, so a viewer can change its parent without a seam. The bytes that leave
//! are the bytes that came in; nothing on the way of a packet allocates or copies.
//!
//! # What is protected, and what is not
//!
//! Between secured nodes every call has a key for each direction, exchanged in its offer and answer (RFC 4568) over
//! authenticated TLS. **RTCP is authenticated**, hop by hop: a goodbye, a notice, a report or a sender report that does not
//! come under the key of its call changes nothing and is counted, and so is one that comes again.
//!
//! **RTP is signed by its source**, end to end, where channels have owners: the packets themselves are those of
//! UNENCRYPTED_SRTP and UNAUTHENTICATED_SRTP, byte for byte what the source sent, because a relay sends one buffer to all its
//! children; but in front of each window of them goes a list of their hashes under the owner's key ([`integrity`]). What
//! the source has not sent is neither played nor passed on, and a parent that sends such things in place of the source's is
//! left.
//!
//! Nothing is secret: neither media nor reports. Calls with plain SIP agents have no keys, whoever can send from their address
//! speaks for them, and they are sent the media without the lists. In an overlay that is not secured nobody owns a channel,
//! and what comes is believed ([`Counters::integrity`](reception::Counters::integrity) is `None`).

pub mod header;
pub mod integrity;
pub mod missing;
pub mod mp2t;
pub mod reception;
pub mod relay;
pub mod ring;
pub mod rtcp;
pub mod srtcp;
pub mod window;
