//! What a host does: it calls its node, drains it in time or not, and carries out what the node wants.

use super::network::What;
use super::{Clock, World};
use crate::fuzzing::cast::{NODES, address, channel_name, owner};
use crate::fuzzing::secured;
use crate::ids::{ChannelId, ChannelName, StreamId};
use crate::node::{Datagram, Node, Output, Security, StreamInput};
use crate::rtp::mp2t::{Packetizer, TsPacket};
use crate::sim::{Checked, Violation};
use crate::stats::Plane;
use crate::time::{Instant, UnixMillis};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// One host with its node.
pub(super) struct Host {
    pub(super) node: Checked<Node>,
    /// Calls that this host is still too busy to drain after.
    pub(super) busy: u8,
    /// What comes is lost, and no timer fires, while the world goes on.
    pub(super) dead: bool,
    pub(super) streams: BTreeMap<StreamId, Stream>,
    pub(super) accepted: u32,
    pub(super) players: BTreeMap<ChannelId, Packetizer>,
}

/// What a host knows of one of its streams.
#[derive(Clone, Copy)]
pub(super) struct Stream {
    pub(super) plane: Plane,
    /// Who is at the other end.
    pub(super) there: usize,
    /// The same stream at the other end; none if a forger is there.
    pub(super) far: Option<StreamId>,
}

impl World<'_> {
    /// What a user asks for. The answer does not matter here: a refusal is legal.
    pub(super) fn command(&mut self, letter: u8) {
        let who = self.node();
        match letter {
            b'c' => drop(self.call(who, |node, now| node.create(now).ok())),
            b'j' => {
                let through = address(self.anybody(), Plane::Overlay);
                self.call(who, |node, now| node.join(now, &[through]).ok());
            }
            b'p' => {
                let (name, keyword) = (channel_name(self.script.choice(3)), channel_name(2));
                let keywords: &[ChannelName] = if name == keyword { &[] } else { &[keyword] };
                let secured = self.security != Security::InsecurePlain;
                self.call(who, |node, now| match secured {
                    true => node.publish_as(now, &name, keywords, secured::owner(who)).ok(),
                    false => node.publish(now, &name, keywords).ok(),
                });
            }
            b'e' => {
                let (name, owner) = (channel_name(self.script.choice(3)), self.node());
                let secured = self.security != Security::InsecurePlain;
                self.call(who, |node, now| match secured {
                    true => node.stand_by_as(now, &name, &[], secured::owner(owner)).ok(),
                    false => node.stand_by(now, &name, &[]).ok(),
                });
            }
            b't' => {
                let name = channel_name(self.script.choice(3));
                self.call(who, |node, now| node.tune(now, &name).ok());
            }
            b'k' => {
                let (name, owner) = (channel_name(self.script.choice(3)), self.anybody());
                self.call(who, |node, now| node.tune_to(now, &name, secured::fingerprint(owner)).ok());
            }
            b'q' => {
                let name = channel_name(self.script.choice(3));
                self.call(who, |node, now| node.providers(now, &name).ok());
            }
            b'm' => {
                let (channel, packets) = (ChannelId(self.script.choice(4) as u16), self.script.choice(64));
                (0..packets).for_each(|_| self.push(who, channel));
            }
            b's' => {
                let channel = ChannelId(self.script.choice(4) as u16);
                self.call(who, |node, now| node.stop(now, channel).ok());
            }
            b'u' => {
                let slots = self.script.choice(256) as u16;
                self.call(who, |node, now| node.set_capacity(now, slots));
            }
            b'w' => {
                let wall = UnixMillis(1 << (self.script.operand() % 64));
                self.call(who, |node, now| node.handle_wall_clock(now, wall));
            }
            _ => self.call(who, |node, now| node.leave(now)),
        }
    }

    pub(super) fn push(&mut self, who: usize, channel: ChannelId) {
        const NULL: [u8; TsPacket::LEN] = {
            let mut packet = [0xff; TsPacket::LEN];
            [packet[0], packet[1], packet[2], packet[3]] = [TsPacket::SYNC, 0x1f, 0xff, 0x10];
            packet
        };
        let ssrc = (who as u32 + 1) << 8 | u32::from(channel.0);
        let player = self.hosts[who].players.entry(channel).or_insert(Packetizer::new(ssrc, 65_530));
        let packet = player.packetize((self.now.as_millis() * 90) as u32, false, &NULL).unwrap();
        self.call(who, |node, now| node.push_media(now, channel, packet).ok());
    }

    /// One call of a node, and everything that a host does after it.
    pub(super) fn call<R>(&mut self, who: usize, call: impl FnOnce(&mut Node, Instant) -> R) -> R {
        self.calls += 1;
        let (now, clock, host) = (self.now, self.clock, &mut self.hosts[who]);
        if clock == Clock::Rough {
            hold(who, host.node.wake_early(now));
        }
        if host.busy > 0 {
            host.busy -= 1;
            return hold(who, host.node.step_undrained(now, |node| call(node, now)));
        }
        let mut outputs = Vec::new();
        let result = host.node.step(
            now,
            |node| call(node, now),
            |node, output| {
                // The children are those of this moment.
                let children = match &output {
                    Output::Media { channel, .. } => node.children(*channel).to_vec(),
                    _ => Vec::new(),
                };
                outputs.push((output, children));
            },
        );
        let result = hold(who, result);
        self.look(who);
        for (output, children) in outputs {
            self.hash.bytes(&[who as u8]);
            self.hash.output(&output);
            self.perform(who, output, &children);
        }
        result
    }

    pub(super) fn drain(&mut self, who: usize) {
        self.hosts[who].busy = 0;
        self.call(who, |node, now| node.handle_timeout(now));
    }

    /// What has to hold of a drained node.
    fn look(&self, who: usize) {
        let node = self.hosts[who].node.machine();
        assert_eq!(node.deadline(), node.deadline(), "K4: asking for the deadline changed it");
        for (what, size, limit) in node.census() {
            assert!(size <= limit, "K8: node {who} holds {size} {what}, and at most {limit} are allowed");
        }
    }

    fn perform(&mut self, who: usize, output: Output, children: &[SocketAddr]) {
        match output {
            Output::Transmit { plane, to, payload } => self.send(who, plane, to, payload),
            Output::Media { packets, .. } => {
                for packet in packets {
                    children.iter().for_each(|&to| self.send(who, Plane::Media, to, packet.clone()));
                }
            }
            Output::Connect { stream, to, plane } => {
                let there = owner(to).filter(|&there| there < NODES && to == address(there, plane));
                let Some(there) = there else {
                    return self.post(who, What::Stream(stream, StreamInput::Closed));
                };
                let far = self.accept(there, Stream { plane, there: who, far: Some(stream) });
                self.hosts[who].streams.insert(stream, Stream { plane, there, far: Some(far) });
                let opened = |who| StreamInput::Opened { peer: address(who, plane), plane };
                self.post(there, What::Stream(far, opened(who)));
                self.post(who, What::Stream(stream, opened(there)));
            }
            Output::Write { stream, bytes } => {
                if let Some(&Stream { plane, there, far: Some(far) }) = self.hosts[who].streams.get(&stream) {
                    let from = address(who, plane);
                    self.see(who, there, Datagram { plane, from, payload: bytes.clone() });
                    self.post(there, What::Stream(far, StreamInput::Bytes(bytes)));
                }
            }
            Output::Close { stream } => {
                if let Some(Stream { there, far: Some(far), .. }) = self.hosts[who].streams.remove(&stream) {
                    self.hosts[there].streams.remove(&far);
                    self.post(there, What::Stream(far, StreamInput::Closed));
                }
            }
            Output::Sign { .. } | Output::Event(_) => {}
        }
    }
}

/// A promise that was broken stops the fuzzer.
pub(super) fn hold<T>(who: usize, result: Result<T, Violation>) -> T {
    result.unwrap_or_else(|violation| panic!("node {who}: {violation}"))
}
