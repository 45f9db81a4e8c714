//! Five nodes, a network between them, a host for each, and a script of what befalls them.
//!
//! The script is played twice. In a *rough* world clocks go back and hosts wake their nodes too early; in a *calm* one
//! neither happens. No node may notice (K6, K12), and nothing else may make two runs differ (K9).
//!
//! | file | what it holds |
//! | --- | --- |
//! | `mod` | the script, step by step |
//! | `config` | small limits |
//! | `host` | calls of nodes, and what follows from them |
//! | `network` | what is on its way, and what may befall it |
//! | `forger` | who means ill |
//! | `time` | the world left to itself for a while |

mod config;
mod forger;
mod host;
mod network;
#[cfg(test)]
mod tests;
mod time;

use super::cast::{EVERYBODY, NODES, PLANES, address, node_id};
use super::script::Script;
use super::secured;
use crate::env::{Crypto, InsecureIdentity, Seeded};
use crate::iptv::Mode;
use crate::node::{Node, Security};
use crate::sim::{Checked, Fnv};
use crate::stats::Plane;
use crate::time::{Duration, Instant, UnixMillis};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use bytes::Bytes;
use host::Host;
use network::{Parcel, Seen};

/// Calls of all nodes that one script may cause; what is left of it then is not played.
const CALLS: usize = 6_000;
/// Parcels under way; more are lost, as in any network.
const UNDER_WAY: usize = 2_000;
/// Datagrams that a forger remembers.
const SEEN: usize = 64;
/// Between two media packets of a channel.
const FRAME: Duration = Duration::from_millis(100);
/// From one node to the next.
const LATENCY: Duration = Duration::from_millis(1);

/// Any life of five nodes. Where the script begins with `^`, relayers elect in all channels but bob's.
pub fn node_world(script: &[u8]) {
    play_twice(script, Security::InsecurePlain);
}

/// Any life of five secured nodes, whose links are streams, or datagrams if the script begins with `~`. A `^` may follow.
pub fn secured_world(script: &[u8]) {
    match script.strip_prefix(b"~") {
        Some(script) => play_twice(script, Security::Dtls),
        None => play_twice(script, Security::Tls),
    }
}

fn play_twice(script: &[u8], security: Security) {
    let (mode, script) = mode_of(script);
    let play = |clock| World::play(script, clock, (security, mode));
    let (rough, calm) = (play(Clock::Rough), play(Clock::Calm));
    assert_eq!(rough, calm, "K6, K9 or K12: an older now or an early wake-up made a difference");
}

/// Who elects in all channels but bob's, and the steps.
fn mode_of(script: &[u8]) -> (Mode, &[u8]) {
    script.strip_prefix(b"^").map_or((Mode::SourceManaged, script), |steps| (Mode::Delegated, steps))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// Goes back now and then; and hosts wake their nodes early.
    Rough,
    /// Stands where it would go back.
    Calm,
}

struct World<'a> {
    script: Script<'a>,
    clock: Clock,
    security: Security,
    now: Instant,
    hosts: Vec<Host>,
    wire: VecDeque<Parcel>,
    seen: VecDeque<Seen>,
    /// The latest message that brought a grant.
    brought: Option<Bytes>,
    calls: usize,
    hash: Fnv,
}

impl<'a> World<'a> {
    /// Plays a script; the hash says what every node did.
    fn play(script: &'a [u8], clock: Clock, kind: (Security, Mode)) -> u64 {
        let mut world = World::new(script, clock, kind);
        world.live();
        world.hash.value()
    }

    fn new(script: &'a [u8], clock: Clock, (security, mode): (Security, Mode)) -> Self {
        let host = |who| {
            let (config, entropy) =
                (config::config(who, (security, mode)), Box::new(Seeded::new(who as u64)));
            let identity = identity(who, security);
            let mut node = match security {
                Security::InsecurePlain => Node::new(config, entropy, identity),
                Security::Tls => Node::secured(config, entropy, identity, secured::channels(who)),
                Security::Dtls => {
                    let (streams, datagrams) = (secured::channels(who), secured::associations(who));
                    Node::secured_datagrams(config, entropy, identity, streams, datagrams)
                }
            }
            .unwrap();
            node.handle_wall_clock(Instant::ZERO, UnixMillis(1_767_225_600_000));
            Host {
                node: Checked::new(node),
                busy: 0,
                dead: false,
                streams: BTreeMap::new(),
                accepted: 0,
                players: BTreeMap::new(),
            }
        };
        World {
            script: Script::new(script),
            clock,
            security,
            now: Instant::ZERO,
            hosts: (0..NODES).map(host).collect(),
            wire: VecDeque::new(),
            seen: VecDeque::new(),
            brought: None,
            calls: 0,
            hash: Fnv::default(),
        }
    }

    fn live(&mut self) {
        while self.calls < CALLS
            && let Some(letter) = self.script.step()
        {
            self.step(letter);
        }
        // The hosts find time at last.
        (0..NODES).for_each(|who| self.drain(who));
    }

    fn step(&mut self, letter: u8) {
        match letter {
            b'c' | b'j' | b'p' | b'e' | b't' | b'k' | b'm' | b's' | b'u' | b'q' | b'l' | b'w' => {
                self.command(letter);
            }
            b'r' => {
                let time = Duration::from_millis(100 * self.script.tenths());
                self.run(time);
            }
            // The clock jumps, and nobody was woken in between.
            b'h' => {
                const LONGEST: usize = 42;
                self.now += Duration::from_micros(1 << self.script.choice(LONGEST));
            }
            b'b' => self.call_in_the_past(),
            b'g' => {
                let who = self.script.choice(NODES);
                self.hosts[who].busy = self.script.operand() % 64;
            }
            b'f' => {
                let who = self.script.choice(NODES);
                self.hosts[who].dead ^= true;
            }
            b'd' | b'x' | b'y' | b'o' | b'z' => self.trouble(letter),
            b'v' => {
                let (who, plane, to) = (self.node(), self.plane(), self.anybody());
                self.call(who, |node, now| node.handle_unreachable(now, plane, address(to, plane)));
            }
            b'i' => {
                let (to, plane, from) = (self.node(), self.plane(), self.anybody());
                let noise = Bytes::copy_from_slice(self.script.octets());
                self.arrive(to, plane, from, noise);
            }
            b'S' => self.stream(),
            b'F' | b'A' | b'R' | b'I' | b'D' | b'Q' | b'C' | b'P' | b'G' => {
                self.forge(letter);
            }
            _ => {}
        }
    }

    fn node(&mut self) -> usize {
        self.script.choice(NODES)
    }

    fn anybody(&mut self) -> usize {
        self.script.choice(EVERYBODY)
    }

    fn plane(&mut self) -> Plane {
        PLANES[self.script.choice(PLANES.len())]
    }
}

/// Who a node is, or a stranger.
fn identity(who: usize, security: Security) -> Box<dyn Crypto> {
    match security {
        Security::InsecurePlain => Box::new(InsecureIdentity::new(node_id(who))),
        _ => Box::new(secured::identity(who)),
    }
}
