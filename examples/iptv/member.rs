//! A node of this host: its configuration, its identity, its random numbers.

use crate::args::{ProfileName, Protection};
use p2piptv::env::{Crypto, Entropy, InsecureIdentity};
use p2piptv::ids::{ChannelName, KeyFingerprint, NodeId};
use p2piptv::iptv::{self, Profile};
use p2piptv::node::{Addresses, Config, Node, Owner, Security};
use p2piptv::time::UnixMillis;
use p2piptv::tls::{Digest, Identity, IdentityError, Tls, Trust};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

/// The overlay that every process of this example joins, and the domain of its SIP addresses.
pub const OVERLAY: &str = "p2piptv.invalid";

/// How Node-IDs come from keys in it (RFC 6940 §11.3.1).
const DIGEST: Digest = Digest::Sha256;

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
    /// What is secured.
    pub protection: Protection,
    /// Where the keys of its streams go beside the file of SSLKEYLOGFILE.
    pub keys: Option<Keys>,
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

    /// A new node with a new identity: a key, from which its Node-ID comes, and a certificate that it signed itself.
    pub fn node(&self, addresses: Addresses) -> io::Result<Node> {
        let mut config = Config { policy: self.policy(), ..Config::new(&self.name, OVERLAY, addresses) };
        let node = match self.protection {
            Protection::Insecure => {
                let identity = InsecureIdentity::new(NodeId::from_u128(random()));
                Node::new(config, Box::new(SystemEntropy), Box::new(identity))
            }
            Protection::Secured | Protection::InsecureSip => {
                config.security = Security::Tls;
                config.agent.insecure_peers = self.protection == Protection::InsecureSip;
                let identity =
                    Identity::self_signed(OVERLAY, &self.name, DIGEST).map_err(io::Error::other)?;
                let tls = self.with_key_log(Tls::new(&identity).map_err(io::Error::other)?)?;
                Node::secured(config, Box::new(SystemEntropy), Box::new(identity), Box::new(tls))
            }
        };
        node.map_err(io::Error::other)
    }

    /// Writes the keys of every stream where the variable SSLKEYLOGFILE says, as other programs do, and hands them to
    /// whoever records the packets, so that Wireshark can read them.
    fn with_key_log(&self, tls: Tls) -> io::Result<Tls> {
        let open = |path| OpenOptions::new().create(true).append(true).open(path).map(Mutex::new);
        let file = std::env::var_os("SSLKEYLOGFILE").map(open).transpose()?;
        let keys = self.keys.clone();
        if file.is_none() && keys.is_none() {
            return Ok(tls);
        }
        Ok(tls.with_key_log(Arc::new(move |line| {
            if let Some(mut file) = file.as_ref().and_then(|file| file.lock().ok()) {
                // A key that cannot be written is missing in a recording, and nowhere else.
                let _ = writeln!(file, "{line}");
            }
            if let Some(keys) = &keys {
                keys.put(line);
            }
        })))
    }
}

/// The keys of secured streams, in the lines of a key log, until somebody takes them.
#[derive(Clone, Default)]
pub struct Keys(Arc<Mutex<String>>);

impl Keys {
    fn put(&self, line: &str) {
        if let Ok(mut lines) = self.0.lock() {
            lines.push_str(line);
            lines.push('\n');
        }
    }

    /// What has come since the last time.
    pub fn take(&self) -> String {
        self.0.lock().map(|mut lines| std::mem::take(&mut *lines)).unwrap_or_default()
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

/// The owner of a channel and of its keywords: one key, and a certificate for each name.
pub struct Ownership {
    /// What the node publishes with.
    pub owner: Owner,
    /// By what viewers can know it.
    pub fingerprint: KeyFingerprint,
}

impl Ownership {
    /// The owner of these names with the key in this file, which is made if there is none; without a file the key is made
    /// for this run.
    pub fn open(names: &[&ChannelName], file: Option<&Path>) -> io::Result<Self> {
        let key = match file {
            Some(path) => owner_key(path)?,
            None => new_key()?,
        };
        let identities: Result<Vec<Identity>, IdentityError> = names
            .iter()
            .map(|name| {
                Identity::self_signed_by(&key, OVERLAY, name.as_str(), Trust::in_keys(OVERLAY, DIGEST))
            })
            .collect();
        let identities = identities.map_err(io::Error::other)?;
        let fingerprint = identities.first().map(Identity::fingerprint).ok_or(io::ErrorKind::InvalidInput)?;
        let boxed = |identity| Box::new(identity) as Box<dyn Crypto>;
        Ok(Ownership { owner: Owner::new(identities.into_iter().map(boxed).collect()), fingerprint })
    }
}

fn new_key() -> io::Result<String> {
    let identity = Identity::self_signed(OVERLAY, "owner", DIGEST).map_err(io::Error::other)?;
    Ok(identity.key_pem())
}

/// The key in a file that only its user may read.
fn owner_key(path: &Path) -> io::Result<String> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = new_key()?;
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(path)?.write_all(key.as_bytes())?;
            Ok(key)
        }
        read => read,
    }
}
