//! The tests of the relay, and what they share: a bench that remembers what the relay did in the last call.

mod anything;
mod holds;
mod keys;
mod lists;
mod media;
mod repair;
mod replays;
mod reports;
mod served;
mod sources;
mod standbys;

use super::*;
use crate::effect::Effect;
use crate::env::Seeded;
use crate::rtp::header::{Header, PayloadType};
use crate::rtp::rtcp::{self, Composer, Cover, Cue, Notice, ReportBlock};
use crate::rtp::srtcp::{MasterKey, Session};
use alloc::vec;
use alloc::vec::Vec;
use bytes::BufMut;

const CHANNEL: ChannelId = ChannelId(1);
const OTHER: ChannelId = ChannelId(2);
const SSRC: u32 = 0xaaaa;
const MOTHER: CallId = CallId::placed(1);
const FATHER: CallId = CallId::placed(2);
const CHILD: CallId = CallId::received(1);

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 5004))
}

fn rtp(ssrc: u32, sequence: u16) -> Bytes {
    rtp_at(0, ssrc, sequence)
}

fn rtp_at(timestamp: u32, ssrc: u32, sequence: u16) -> Bytes {
    let header = Header { marker: false, payload_type: PayloadType::MP2T, sequence, timestamp, ssrc };
    [&header.to_bytes()[..], &[0x47; 188]].concat().into()
}

/// An SR without blocks; the `more` that follows it is already a packet.
fn sr(ssrc: u32, ntp: u64, more: &[u8]) -> Bytes {
    let mut out = vec![0x80, 200, 0, 6];
    out.put_u32(ssrc);
    out.put_u64(ntp);
    out.put_bytes(0, 12);
    out.put_slice(more);
    out.into()
}

fn notice(ssrc: u32, hold: Hold) -> Bytes {
    Composer::receiver_report(7, &[]).cname("p").notice(Notice { hold, ssrc, highest: 0 }).finish()
}

fn report(ssrcs: &[u32], fraction_lost: u8) -> Bytes {
    let block = |&ssrc| ReportBlock { ssrc, fraction_lost, ..ReportBlock::default() };
    let blocks: Vec<ReportBlock> = ssrcs.iter().map(block).collect();
    Composer::receiver_report(8, &blocks).cname("c").finish()
}

fn goodbye(ssrc: u32) -> Bytes {
    Composer::receiver_report(ssrc, &[]).goodbye().finish()
}

/// A relay, and what it did during the last call.
struct Bench {
    relay: Relay,
    facts: Vec<Fact>,
    sends: Vec<(SocketAddr, Bytes)>,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let config = Config { ssrc: 0x5e1f, cname: "me@here".into(), limits };
        Bench { relay: Relay::new(config), facts: Vec::new(), sends: Vec::new() }
    }

    /// A viewer of `CHANNEL` with MOTHER at address 1, FATHER at 2, CHILD at 9.
    fn viewer() -> Self {
        let mut b = Bench::new(Limits::default());
        b.relay.open(CHANNEL, Role::Viewer).unwrap();
        b.add_parent(at(0), MOTHER, CHANNEL, addr(1), None).unwrap();
        b.add_parent(at(0), FATHER, CHANNEL, addr(2), None).unwrap();
        b.add_child(CHILD, CHANNEL, addr(9)).unwrap();
        b
    }

    /// Two channels from address 1, by MOTHER and FATHER.
    fn two_channels() -> Self {
        let mut b = Bench::new(Limits::default());
        b.relay.open(CHANNEL, Role::Viewer).unwrap();
        b.relay.open(OTHER, Role::Viewer).unwrap();
        b.add_parent(at(0), MOTHER, CHANNEL, addr(1), None).unwrap();
        b.add_parent(at(0), FATHER, OTHER, addr(1), None).unwrap();
        b
    }

    fn add_parent(
        &mut self,
        now: Instant,
        call: CallId,
        channel: ChannelId,
        addr: SocketAddr,
        ssrc: Option<u32>,
    ) -> Result<(), RelayError> {
        let mut fx = Effects::new();
        let result = self.relay.add_parent(now, call, channel, addr, ssrc, &mut fx);
        self.collect(fx);
        result
    }

    fn add_child(
        &mut self,
        call: CallId,
        channel: ChannelId,
        remote: impl Into<Remote>,
    ) -> Result<(), RelayError> {
        let mut fx = Effects::new();
        let result = self.relay.add_child(at(0), call, channel, remote, Start::Live, &mut fx);
        self.collect(fx);
        result
    }

    /// Gives an order that has effects.
    fn order(&mut self, order: impl FnOnce(&mut Relay, &mut Effects<Fact>)) {
        let mut fx = Effects::new();
        order(&mut self.relay, &mut fx);
        self.collect(fx);
    }

    /// The cues among what was sent.
    fn cues(&self) -> Vec<(SocketAddr, Cover, u32)> {
        let cue = |(to, datagram): &(SocketAddr, Bytes)| {
            let packets = rtcp::parse(datagram).ok()?;
            let Some(rtcp::Packet::Application(app)) = packets.last() else { return None };
            Cue::from_application(app).map(|cue| (*to, cue.cover, cue.highest))
        };
        self.sends.iter().filter_map(cue).collect()
    }

    fn collect(&mut self, mut fx: Effects<Fact>) {
        self.facts.clear();
        self.sends.clear();
        for effect in fx.drain() {
            match effect {
                Effect::Fact(fact) => self.facts.push(fact),
                Effect::Send { to, payload } => self.sends.push((to, payload)),
                other => panic!("{other:?}"),
            }
        }
    }

    fn datagram(&mut self, ms: u64, from: u8, payload: Bytes) -> Result<(), DropReason> {
        let mut fx = Effects::new();
        let result = self.relay.handle_datagram(at(ms), addr(from), payload, &mut fx);
        self.collect(fx);
        result
    }

    fn push(&mut self, ms: u64, packet: Bytes) -> Result<(), RelayError> {
        let mut fx = Effects::new();
        let result = self.relay.push(at(ms), CHANNEL, packet, &mut fx);
        self.collect(fx);
        result
    }

    fn hold(&mut self, hold: Hold) {
        let mut fx = Effects::new();
        self.relay.hold(CHANNEL, hold, &mut fx);
        self.collect(fx);
    }

    fn timeout(&mut self, now: Instant, entropy: &mut Seeded) {
        let mut fx = Effects::new();
        self.relay.handle_timeout(now, entropy, &mut fx);
        self.collect(fx);
    }

    fn receivers(&self) -> Vec<SocketAddr> {
        self.sends.iter().map(|(to, _)| *to).collect()
    }
}

fn first(channel: ChannelId, call: CallId) -> Fact {
    Fact::FirstPacket { channel, call }
}

fn source() -> Bench {
    let mut b = Bench::new(Limits::default());
    b.relay.open(CHANNEL, Role::Source).unwrap();
    b.add_child(CHILD, CHANNEL, addr(9)).unwrap();
    b
}

const STANDBY: CallId = CallId::placed(5);

/// A viewer of `CHANNEL` from MOTHER with CHILD, and with a standby at address 5.
fn with_standby() -> Bench {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    b.order(|relay, fx| relay.add_standby_parent(at(0), STANDBY, CHANNEL, addr(5), fx).unwrap());
    assert_eq!(b.receivers(), [addr(5)], "its first report");
    b
}

/// A source with a standby for the child at address 9.
fn with_lease() -> Bench {
    let mut b = source();
    b.relay.remove_child(CHILD);
    b.push(0, rtp(SSRC, 1)).unwrap();
    b.relay.add_standby_child(CHILD, CHANNEL, addr(9)).unwrap();
    b
}

fn cue(cover: Cover, ssrc: u32, highest: u32) -> Bytes {
    Composer::receiver_report(7, &[]).cname("p").cue(Cue { cover, ssrc, highest }).finish()
}

impl Bench {
    /// What the child at this address got in the last call.
    fn got(&self, child: u8) -> Vec<u16> {
        let sequence = |packet: &Bytes| u16::from_be_bytes([packet[2], packet[3]]);
        let is_media = |packet: &Bytes| header::kind_of(packet) == Some(Kind::Rtp);
        let own = self.sends.iter().filter(|(to, packet)| *to == addr(child) && is_media(packet));
        let live = self.facts.iter().filter_map(|fact| match fact {
            Fact::Packet { payload, channel } => {
                self.relay.children(*channel).contains(&addr(child)).then_some(payload)
            }
            _ => None,
        });
        own.map(|(_, packet)| packet).chain(live).map(sequence).collect()
    }

    fn begin(&mut self, ms: u64, call: CallId, from: Start) -> Vec<u16> {
        self.order(|relay, fx| relay.add_child(at(ms), call, CHANNEL, addr(9), from, fx).unwrap());
        self.got(9)
    }

    /// Goes on until then; what the child got, and when.
    fn until(&mut self, ms: u64) -> Vec<(u64, u16)> {
        let mut all = Vec::new();
        while let Some(due) = self.relay.deadline().filter(|&due| due <= at(ms)) {
            self.timeout(due, &mut Seeded::new(1));
            all.extend(self.got(9).into_iter().map(|n| (due.as_millis(), n)));
        }
        all
    }
}

fn nack(ssrc: u32, lost: &[u16]) -> Bytes {
    Composer::receiver_report(7, &[]).cname("p").nack(ssrc, lost.iter().copied()).finish()
}

impl Bench {
    /// The packets asked for in the last call, with whom they were asked of.
    fn asked(&self) -> Vec<(SocketAddr, Vec<u16>)> {
        self.asked_of(SSRC)
    }

    /// The same of another source, or of the lists of one.
    fn asked_of(&self, source: u32) -> Vec<(SocketAddr, Vec<u16>)> {
        let nack = |(to, datagram): &(SocketAddr, Bytes)| {
            let packets = rtcp::parse(datagram).ok()?;
            let Some(rtcp::Packet::Nack { losses, media, ssrc: 0x5e1f }) = packets.last() else {
                return None;
            };
            (*media == source).then(|| (*to, losses.iter().collect()))
        };
        self.sends.iter().filter_map(nack).collect()
    }
}

/// A viewer of `CHANNEL` whose MOTHER at address 1 and CHILD at 9 have keys, and the other ends of both.
fn keyed() -> (Bench, Session, Session) {
    let mut entropy = Seeded::new(4);
    let mut b = Bench::new(Limits::default());
    b.relay.open(CHANNEL, Role::Viewer).unwrap();
    let mut pair = || {
        let (a, b) = (MasterKey::generate(&mut entropy), MasterKey::generate(&mut entropy));
        (Keys { ours: a.clone(), theirs: b.clone() }, Session::new(&Keys { ours: b, theirs: a }))
    };
    let ((up, mut mother), (down, child)) = (pair(), pair());
    let mut fx = Effects::new();
    let remote = Remote { addr: addr(1), keys: Some(up) };
    b.relay.add_parent(at(0), MOTHER, CHANNEL, remote, None, &mut fx).unwrap();
    b.collect(fx);
    let (_, report) = b.sends.pop().unwrap();
    assert!(rtcp::parse(&mother.unprotect(&report).unwrap()).is_ok());
    b.add_child(CHILD, CHANNEL, Remote { addr: addr(9), keys: Some(down) }).unwrap();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    (b, mother, child)
}

/// A packet every ten milliseconds, with this first transport packet.
fn video(sequence: u16, head: &[u8]) -> Bytes {
    let mut packet = rtp_at(u32::from(sequence) * 900, SSRC, sequence).to_vec();
    packet[12..].fill(0xff);
    packet[12] = 0x47;
    packet[13..13 + head.len()].copy_from_slice(head);
    packet.into()
}

const PICTURE: &[u8] = &[0x41, 0x00, 0x30, 1, 0x00, 0, 0, 1, 0xe0];
const KEY_PICTURE: &[u8] = &[0x41, 0x00, 0x30, 1, 0x40, 0, 0, 1, 0xe0];

/// A source without children that has sent so many packets, the one with the number 60 to start with.
fn broadcast(packets: u16) -> Bench {
    let mut b = source();
    b.relay.remove_child(CHILD);
    for n in 0..packets {
        b.push(u64::from(n) * 10, video(n, if n == 60 { KEY_PICTURE } else { PICTURE })).unwrap();
    }
    b
}
