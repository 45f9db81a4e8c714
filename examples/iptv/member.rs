//! A node of this host: its configuration, its identity, its random numbers.

use crate::args::{ModeName, ProfileName, Protection};
use crate::host::MEDIA_RECEIVE;
use crate::overlay;
use p2piptv::env::{Crypto, Entropy, InsecureIdentity};
use p2piptv::ids::{ChannelName, KeyFingerprint, NodeId};
use p2piptv::iptv::{self, Mode, Profile};
use p2piptv::node::{Addresses, Config, Node, Owner, Security};
use p2piptv::reload::configuration::Document;
use p2piptv::time::UnixMillis;
use p2piptv::tls::{Digest, Dtls, Identity, Tls, Trust};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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

/// Which overlay, whom it believes, and who this node is in it.
#[derive(Clone, Debug, Default)]
pub struct Realm {
    /// The overlay's configuration document; without one it is [`OVERLAY`], where nodes sign their own certificates.
    pub document: Option<Document>,
    /// The certificate of this node, beside which its key lies; without one it makes a key for itself.
    pub identity: Option<PathBuf>,
}

impl Realm {
    fn trust(&self) -> Trust {
        match &self.document {
            Some(document) => overlay::trust(document.configuration()),
            None => Trust::in_keys(OVERLAY, DIGEST),
        }
    }

    fn identity(&self, name: &str) -> io::Result<Identity> {
        let trust = self.trust();
        match (&self.identity, trust.self_signed) {
            (Some(certificate), _) => read_identity(&certificate.with_extension("key"), certificate, trust),
            (None, Some(digest)) => {
                Identity::self_signed(&trust.overlay, name, digest).map_err(io::Error::other)
            }
            (None, None) => Err(io::Error::other(format!(
                "in {} an authority vouches for every node: give this one's certificate with --identity FILE.pem",
                trust.overlay
            ))),
        }
    }

    /// A newer document of this overlay is in force: whom it names is believed from now on, and nobody else.
    pub fn reconfigure(&mut self, document: &[u8], identity: &Identity) -> io::Result<()> {
        let document = Document::parse(document, &self.trust().overlay).map_err(io::Error::other)?;
        identity.believe(overlay::trust(document.configuration())).map_err(io::Error::other)?;
        self.document = Some(document);
        Ok(())
    }

    /// Nodes of the overlay to join through, as its document says.
    pub fn bootstrap_nodes(&self) -> &[SocketAddr] {
        self.document.as_ref().map_or(&[], |document| &document.configuration().bootstrap_nodes)
    }

    /// The configuration of a node.
    fn config(&self, name: &str, addresses: Addresses, crypto: &dyn Crypto) -> io::Result<Config> {
        let Some(document) = self.document.clone() else { return Ok(Config::new(name, OVERLAY, addresses)) };
        Config::from_document(name, addresses, document, wall_clock(), crypto).map_err(io::Error::other)
    }

    /// The owner of these names. Where nodes sign their own certificates he has the key in this file, which is made if
    /// there is none, or one for this run; where an authority vouches for them his certificates lie beside it.
    pub fn owner(&self, names: &[&ChannelName], key: Option<&Path>) -> io::Result<Ownership> {
        let trust = self.trust();
        let identities: io::Result<Vec<Identity>> = if trust.self_signed.is_some() {
            let key = match key {
                Some(path) => owner_key(path)?,
                None => new_key()?,
            };
            let of_name = |name: &&ChannelName| {
                Identity::self_signed_by(&key, &trust.overlay, name.as_str(), trust.clone())
                    .map_err(io::Error::other)
            };
            names.iter().map(of_name).collect()
        } else {
            let key = key.ok_or_else(|| {
                io::Error::other(
                    "an authority vouches for owners here: give the key with --owner-key FILE.key",
                )
            })?;
            let certificate = |name: &ChannelName| key.with_file_name(format!("{name}.pem"));
            names.iter().map(|name| read_identity(key, &certificate(name), trust.clone())).collect()
        };
        let identities = identities?;
        let fingerprint = identities.first().map(|identity| identity.key());
        let fingerprint = fingerprint.ok_or(io::ErrorKind::InvalidInput)?;
        let boxed = |identity| Box::new(identity) as Box<dyn Crypto>;
        Ok(Ownership { owner: Owner::new(identities.into_iter().map(boxed).collect()), fingerprint })
    }
}

fn read_identity(key: &Path, certificate: &Path, trust: Trust) -> io::Result<Identity> {
    let read = |path: &Path| {
        let named = |e: io::Error| io::Error::new(e.kind(), format!("cannot read {}: {e}", path.display()));
        std::fs::read_to_string(path).map_err(named)
    };
    let identity = Identity::from_pem(&read(key)?, &read(certificate)?, trust);
    identity.map_err(|e| io::Error::other(format!("{}: {e}", certificate.display())))
}

/// What a node of this host is told.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The user part of its SIP URI.
    pub name: String,
    /// Which behaviour.
    pub profile: ProfileName,
    pub mode: ModeName,
    /// How many children it can serve.
    pub capacity: u16,
    /// What is secured.
    pub protection: Protection,
    /// Where, and as whom.
    pub realm: Realm,
    /// Whether it looks into the trees of channels first.
    pub tree_first: bool,
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
        let mode = match self.mode {
            ModeName::Managed => Mode::SourceManaged,
            ModeName::Delegated => Mode::Delegated,
        };
        iptv::Config { mode, ..iptv::Config::new(profile, self.capacity) }
    }

    /// A node's configuration with what this host knows better.
    fn adjusted(&self, mut config: Config) -> Config {
        config.policy = self.policy();
        config.tree_first = self.tree_first;
        config.media.ring.buffer = MEDIA_RECEIVE;
        config
    }

    /// A new node: with the identity that the realm has for it, or a new key, from which its Node-ID comes.
    pub fn node(&self, addresses: Addresses) -> io::Result<Node> {
        self.node_and_identity(addresses).map(|(node, _)| node)
    }

    /// The same with the identity, where it is one that can be proved.
    pub fn node_and_identity(&self, addresses: Addresses) -> io::Result<(Node, Option<Identity>)> {
        let mut proved = None;
        let node = match self.protection {
            Protection::Insecure => {
                let identity = InsecureIdentity::new(NodeId::from_u128(random()));
                let config = Config::new(&self.name, OVERLAY, addresses);
                let config = self.adjusted(config);
                Node::new(config, Box::new(SystemEntropy), Box::new(identity))
            }
            Protection::Secured | Protection::InsecureSip | Protection::Datagrams => {
                let identity = self.realm.identity(&self.name)?;
                let tls = self.with_key_log(Tls::new(&identity).map_err(io::Error::other)?)?;
                let config = self.realm.config(&self.name, addresses, &identity)?;
                let dtls = self.protection == Protection::Datagrams || config.security == Security::Dtls;
                let mut config = Config { security: Security::Tls, ..self.adjusted(config) };
                config.agent.insecure_peers = self.protection == Protection::InsecureSip;
                proved = Some(identity.clone());
                let (entropy, tls) = (Box::new(SystemEntropy), Box::new(tls));
                if dtls {
                    config.security = Security::Dtls;
                    let dtls = Dtls::new(&identity).map_err(io::Error::other)?;
                    Node::secured_datagrams(config, entropy, Box::new(identity), tls, Box::new(dtls))
                } else {
                    Node::secured(config, entropy, Box::new(identity), tls)
                }
            }
        };
        Ok((node.map_err(io::Error::other)?, proved))
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

#[cfg(test)]
mod tests {
    use super::*;
    use p2piptv::env::CryptoError;
    use p2piptv::reload::configuration::{Configuration, SelfSignedDigest};

    #[test]
    fn a_newer_document_changes_whom_the_identity_believes_that_the_node_has_already() {
        let version = |sequence, bad_nodes| {
            let configuration = Configuration {
                sequence,
                bad_nodes,
                self_signed_permitted: Some(SelfSignedDigest::Sha256),
                ..Configuration::new("tv.example")
            };
            configuration.to_document(&[]).expect("a document")
        };
        let mut realm = Realm { document: Some(version(1, Vec::new())), identity: None };
        let (own, mallory) =
            (realm.identity("alice").expect("a key"), realm.identity("mallory").expect("a key"));
        let lent = own.clone();
        let signed = mallory.sign(&[b"x"]);
        let judge = |reader: &Identity| {
            let signer = (mallory.signer(), mallory.certificates());
            reader.verify(wall_clock(), &signer.0, signer.1, &[b"x"], &signed).map(|party| party.node_id)
        };
        assert_eq!(judge(&lent), Ok(mallory.node_id()));
        let next = version(2, vec![mallory.node_id()]);
        realm.reconfigure(next.file(), &own).expect("taken");
        assert_eq!(judge(&lent), Err(CryptoError::BadNode));
        assert_eq!(realm.document, Some(next));
        // What is no document of this overlay changes nothing.
        assert!(realm.reconfigure(b"<overlay/>", &own).is_err());
        assert_eq!(judge(&lent), Err(CryptoError::BadNode));
    }

    #[test]
    fn a_document_names_the_nodes_to_join_through() {
        let node = "192.0.2.7:6084".parse().expect("an address");
        let configuration = Configuration { bootstrap_nodes: vec![node], ..Configuration::new("tv.example") };
        let document = Some(configuration.to_document(&[]).expect("a document"));
        assert_eq!(Realm { document, identity: None }.bootstrap_nodes(), [node]);
        assert!(Realm::default().bootstrap_nodes().is_empty());
    }
}
