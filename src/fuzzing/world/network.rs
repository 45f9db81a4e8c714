//! The network: what is on its way, what may befall it, and who listens in.

use super::host::Stream;
use super::{Clock, SEEN, UNDER_WAY, World};
use crate::fuzzing::cast::{NODES, address, owner};
use crate::fuzzing::{forge, secured};
use crate::ids::StreamId;
use crate::node::{Datagram, Node, Receipt, Security, StreamInput};
use crate::stats::Plane;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use arbitrary::Unstructured;
use bytes::Bytes;
use core::net::SocketAddr;

/// Something on its way.
pub(super) struct Parcel {
    pub(super) to: usize,
    pub(super) what: What,
}

pub(super) enum What {
    Datagram(Datagram),
    Stream(StreamId, StreamInput),
}

/// A datagram that passed by, or what was written to a stream in one piece.
pub(super) struct Seen {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) datagram: Datagram,
}

impl World<'_> {
    pub(super) fn send(&mut self, from: usize, plane: Plane, to: SocketAddr, payload: Bytes) {
        let Some(there) = owner(to).filter(|&there| there < NODES && to == address(there, plane)) else {
            return;
        };
        let datagram = Datagram { plane, from: address(from, plane), payload };
        let mut seen = datagram.clone();
        if (self.security, plane) == (Security::Dtls, Plane::Overlay) {
            seen.payload = secured::opened(&seen.payload);
        }
        self.see(from, there, seen);
        self.post(there, What::Datagram(datagram));
    }

    pub(super) fn see(&mut self, from: usize, to: usize, datagram: Datagram) {
        if self.seen.len() >= SEEN {
            self.seen.pop_front();
        }
        if datagram.plane == Plane::Signalling && forge::brings_grant(&datagram.payload) {
            self.brought = Some(datagram.payload.clone());
        }
        self.seen.push_back(Seen { from, to, datagram });
    }

    pub(super) fn accept(&mut self, who: usize, stream: Stream) -> StreamId {
        let host = &mut self.hosts[who];
        let id = StreamId::accepted(host.accepted);
        host.accepted += 1;
        host.streams.insert(id, stream);
        id
    }

    pub(super) fn post(&mut self, to: usize, what: What) {
        if self.wire.len() < UNDER_WAY {
            self.wire.push_back(Parcel { to, what });
        }
    }

    pub(super) fn deliver(&mut self, parcel: Parcel) {
        let Parcel { to, what } = parcel;
        match what {
            What::Datagram(datagram) => self.take_in(to, datagram),
            What::Stream(stream, input) => {
                self.receipt(to, |node, now| node.handle_stream(now, stream, input))
            }
        }
    }

    pub(super) fn arrive(&mut self, to: usize, plane: Plane, from: usize, payload: Bytes) {
        self.take_in(to, Datagram { plane, from: address(from, plane), payload });
    }

    /// A parcel that arrives at an older `now`: it counts as one of the last.
    pub(super) fn call_in_the_past(&mut self) {
        let (nth, back) = (self.script.choice(self.wire.len()), self.script.tenths());
        let Some(Parcel { to, what }) = self.wire.remove(nth) else { return };
        self.call(to, |node, now| node.handle_timeout(now));
        let told = match self.clock {
            Clock::Rough => self.now - Duration::from_millis(100 * back),
            Clock::Calm => self.now,
        };
        self.receipt(to, |node, _| match what {
            What::Datagram(datagram) => node.handle_datagram(told, datagram),
            What::Stream(stream, input) => node.handle_stream(told, stream, input),
        });
    }

    fn take_in(&mut self, to: usize, datagram: Datagram) {
        self.receipt(to, |node, now| node.handle_datagram(now, datagram));
    }

    /// K7: what is dropped is counted, and nothing else is.
    pub(super) fn receipt(&mut self, to: usize, input: impl FnOnce(&mut Node, Instant) -> Receipt) {
        let counted = |world: &Self| world.hosts[to].node.machine().stats().clone();
        let before = counted(self);
        if let Receipt::Dropped(reason) = self.call(to, input) {
            let after = counted(self).dropped(reason);
            assert!(after > before.dropped(reason), "K7: dropped and not counted: {reason:?}");
        }
    }

    /// What a network may do to what it carries, and more than that: streams suffer too.
    pub(super) fn trouble(&mut self, letter: u8) {
        let nth = self.script.choice(self.wire.len());
        match letter {
            b'd' => {
                for parcel in self.wire.drain(..nth.min(self.wire.len())).collect::<Vec<_>>() {
                    self.deliver(parcel);
                }
            }
            b'x' => drop(self.wire.remove(nth)),
            b'y' => {
                let copy = self.wire.get(nth).and_then(|parcel| match &parcel.what {
                    What::Datagram(datagram) => Some((parcel.to, datagram.clone())),
                    What::Stream(..) => None,
                });
                if let Some((to, datagram)) = copy {
                    self.take_in(to, datagram);
                }
            }
            b'o' => {
                if let Some(parcel) = self.wire.remove(nth) {
                    self.wire.push_back(parcel);
                }
            }
            _ => {
                let mut u = Unstructured::new(self.script.octets());
                match self.wire.get_mut(nth).map(|parcel| &mut parcel.what) {
                    Some(What::Datagram(Datagram { payload: octets, .. }))
                    | Some(What::Stream(_, StreamInput::Bytes(octets))) => {
                        *octets = forge::spoilt(octets, &mut u)
                    }
                    _ => {}
                }
            }
        }
    }

    /// A stream that nobody asked for, or something on one that exists.
    pub(super) fn stream(&mut self) {
        let (who, what, number) = (self.node(), self.script.choice(4), self.script.operand());
        let streams: Vec<StreamId> = self.hosts[who].streams.keys().copied().collect();
        let stream = match streams.get(usize::from(number)) {
            Some(stream) => *stream,
            None if number % 2 == 0 => StreamId::accepted(1000 + u32::from(number)),
            None => StreamId::requested(u32::from(number)),
        };
        let input = match what {
            0 => {
                let plane = self.plane();
                StreamInput::Opened { peer: address(self.anybody(), plane), plane }
            }
            1 => StreamInput::Bytes(Bytes::copy_from_slice(self.script.octets())),
            2 => StreamInput::Writable,
            _ => StreamInput::Closed,
        };
        self.receipt(who, |node, now| node.handle_stream(now, stream, input));
    }
}
