//! One machine of any kind under any calls (K3).

use crate::env::{InsecureIdentity, Seeded};
use crate::ids::{ChannelName, NodeId, StreamId};
use crate::node::{Addresses, Config, Datagram, Node, Output, StreamInput};
use crate::sim::{Checked, Machine};
use crate::stats::Plane;
use crate::time::{Duration, Instant, UnixMillis};
use alloc::boxed::Box;
use alloc::vec::Vec;
use arbitrary::{Arbitrary, Unstructured};
use core::net::{Ipv4Addr, SocketAddr};

fn address(host: u8, port: u16) -> SocketAddr {
    (Ipv4Addr::new(192, 0, 2, host), port).into()
}

/// A whole node under any calls. The first byte says whether it founds an overlay and publishes a channel, or joins one
/// and watches.
pub fn node_ops(data: &[u8]) {
    let Some((&role, script)) = data.split_first() else { return };
    let addresses =
        Addresses { overlay: address(9, 6084), signalling: address(9, 5060), media: address(9, 5004) };
    let identity = InsecureIdentity::new(NodeId([9; NodeId::LEN]));
    let config = Config::new("nine", "overlay.example.org", addresses);
    let mut node = Node::new(config, Box::new(Seeded::new(9)), Box::new(identity)).unwrap();
    node.handle_wall_clock(Instant::ZERO, UnixMillis(1_767_225_600_000));
    let channel = ChannelName::new("100").unwrap();
    if role.is_multiple_of(2) {
        node.create(Instant::ZERO).unwrap();
        let _ = node.publish(Instant::ZERO, &channel, &[]);
    } else {
        node.join(Instant::ZERO, &[address(0, 5060)]).unwrap();
        let _ = node.tune(Instant::ZERO, &channel);
    }
    operate(node, script);
}

/// One thing that a host may do to a machine.
#[derive(Debug, Arbitrary)]
enum Operation {
    /// Time goes on, by 2 to this power microseconds.
    Wait(u8),
    /// The clock goes back by so many milliseconds.
    TurnBack(u16),
    /// Time goes on to the deadline.
    Wake,
    Datagram {
        plane: u8,
        from: u8,
        payload: Vec<u8>,
    },
    Opened {
        stream: u8,
        plane: u8,
    },
    Bytes {
        stream: u8,
        bytes: Vec<u8>,
    },
    Writable {
        stream: u8,
    },
    Closed {
        stream: u8,
    },
    Unreachable {
        plane: u8,
        to: u8,
    },
}

fn plane(n: u8) -> Plane {
    [Plane::Overlay, Plane::Signalling, Plane::Media][usize::from(n % 3)]
}

fn stream(n: u8) -> StreamId {
    if n.is_multiple_of(2) {
        StreamId::accepted(u32::from(n / 2))
    } else {
        StreamId::requested(u32::from(n / 2))
    }
}

/// Any calls in any order, with any bytes, are legal and bounded (K3, K7), and no promise breaks on the way.
pub fn operate<M: Machine>(machine: M, script: &[u8]) -> Vec<Output> {
    const CALLS: usize = 1_000;
    /// A day is 2^36.3 microseconds.
    const LONGEST: u8 = 37;
    let mut script = Unstructured::new(script);
    let (mut machine, mut outputs) = (Checked::new(machine), Vec::new());
    let mut now = Instant::ZERO;
    for _ in 0..CALLS {
        if script.is_empty() {
            break;
        }
        let Ok(operation) = Operation::arbitrary(&mut script) else { break };
        match operation {
            Operation::Wait(power) => now += Duration::from_micros(1 << (power % LONGEST)),
            Operation::TurnBack(millis) => now = now - Duration::from_millis(millis.into()),
            Operation::Wake => now = machine.deadline().unwrap_or(now).max(now),
            _ => {}
        }
        let step = machine.step(
            now,
            |m| match operation {
                Operation::Wait(_) | Operation::TurnBack(_) | Operation::Wake => m.handle_timeout(now),
                Operation::Datagram { plane: p, from, payload } => {
                    let from = address(from % 4, 5060);
                    m.handle_datagram(now, Datagram { plane: plane(p), from, payload: payload.into() });
                }
                Operation::Opened { stream: s, plane: p } => {
                    let opened = StreamInput::Opened { peer: address(s, 5060), plane: plane(p) };
                    m.handle_stream(now, stream(s), opened);
                }
                Operation::Bytes { stream: s, bytes } => {
                    m.handle_stream(now, stream(s), StreamInput::Bytes(bytes.into()));
                }
                Operation::Writable { stream: s } => m.handle_stream(now, stream(s), StreamInput::Writable),
                Operation::Closed { stream: s } => m.handle_stream(now, stream(s), StreamInput::Closed),
                Operation::Unreachable { plane: p, to } => {
                    m.handle_unreachable(now, plane(p), address(to, 5060));
                }
            },
            |_, output| outputs.push(output),
        );
        if let Err(violation) = step {
            panic!("{violation}");
        }
    }
    outputs
}
