//! A node of this host: its configuration, its identity, its random numbers.

use crate::args::ProfileName;
use p2piptv::env::{Entropy, InsecureIdentity};
use p2piptv::ids::NodeId;
use p2piptv::iptv::{self, Profile};
use p2piptv::node::{Addresses, Config, Node};
use p2piptv::time::UnixMillis;
use std::io;
use std::time::SystemTime;

/// The overlay that every process of this example joins, and the domain of its SIP addresses.
pub const OVERLAY: &str = "p2piptv.invalid";

/// The operating system's random numbers.
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        // Without them no identifier can be trusted, and there is nothing else to fall back on.
        getrandom::fill(bytes).expect("the operating system gives random numbers");
    }
}

/// 128 random bits.
pub fn random() -> u128 {
    let mut bytes = [0; 16];
    SystemEntropy.fill(&mut bytes);
    u128::from_le_bytes(bytes)
}

/// The time of day.
pub fn wall_clock() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(since.as_millis() as u64)
}

/// What a node of this host is told.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The user part of its SIP URI.
    pub name: String,
    /// Which behaviour.
    pub profile: ProfileName,
    /// How many children it can serve.
    pub capacity: u16,
}

impl Setup {
    /// The policy's configuration.
    pub fn policy(&self) -> iptv::Config {
        let profile = match self.profile {
            ProfileName::Default => Profile::Default,
            ProfileName::Paper => Profile::Paper,
        };
        iptv::Config::new(profile, self.capacity)
    }

    /// A new node with a random Node-ID that nobody has certified: links are plain, and names are believed.
    pub fn node(&self, addresses: Addresses) -> io::Result<Node> {
        let config = Config { policy: self.policy(), ..Config::new(&self.name, OVERLAY, addresses) };
        let identity = InsecureIdentity::new(NodeId::from_u128(random()));
        Node::new(config, Box::new(SystemEntropy), Box::new(identity)).map_err(io::Error::other)
    }
}
