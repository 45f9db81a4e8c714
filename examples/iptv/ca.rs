//! The authority of an overlay: keys and certificates in the files of one directory.
//!
//! ```text
//! DIR/root.pem    the authority's certificate: every node needs it
//! DIR/root.key    its private key: nobody but the authority needs it
//! DIR/NAME.pem    the certificate of a node, or of the owner of a channel
//! DIR/NAME.key    its private key
//! ```

use crate::args::{Ca, Make};
use crate::trouble::Trouble;
use p2piptv::env::Crypto;
use p2piptv::time::{Duration, UnixMillis};
use p2piptv::tls::{Authority, Identity, IdentityError, KeyType, Request};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Certificates begin so long ago, for machines whose clocks are behind.
const SKEW: Duration = Duration::from_secs(3600);

/// Makes what is asked for, and says what was made.
pub fn run(asked: &Ca) -> Result<(), Trouble> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = UnixMillis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    let mut out = io::stdout().lock();
    make(asked, now, &mut out)
}

fn make(asked: &Ca, now: UnixMillis, out: &mut impl Write) -> Result<(), Trouble> {
    let dir = &asked.dir;
    let days = Duration::from_secs(asked.days * 24 * 3600);
    let (from, lifetime) = (UnixMillis(now.0.saturating_sub(SKEW.as_millis() as u64)), SKEW + days);
    let request = |name| Request { name, from, lifetime };
    let mut made = Vec::new();
    match &asked.make {
        Make::Authority { overlay } => {
            let authority = Authority::new(overlay, from, lifetime).map_err(|e| trouble(dir, e))?;
            fs::create_dir_all(dir).map_err(|e| Trouble::cannot_write(dir, &e))?;
            write_pair(dir, "root", &authority.root_pem(), &authority.key_pem())?;
            writeln!(out, "the authority of {overlay}: {}", files(dir, "root"))?;
        }
        Make::Node { name, node_ids, rsa } => {
            let key_type = if *rsa { KeyType::Rsa } else { KeyType::P256 };
            let node = load(dir)?.node(&request(name.as_str()), key_type, *node_ids);
            made.push((name.as_str(), node.map_err(|e| trouble(dir, e))?));
        }
        Make::Owner { channel, keywords } => {
            let authority = load(dir)?;
            let owner = authority.node(&request(channel.as_str()), KeyType::P256, 1);
            let owner = owner.map_err(|e| trouble(dir, e))?;
            for keyword in keywords {
                let again = authority.again(&request(keyword.as_str()), &owner);
                made.push((keyword.as_str(), again.map_err(|e| trouble(dir, e))?));
            }
            made.insert(0, (channel.as_str(), owner));
        }
    }
    // All or nothing: no name may be taken.
    for (name, _) in &made {
        if let Some(taken) = pair(dir, name).into_iter().find(|path| path.exists()) {
            return Err(Trouble::NameTaken(taken));
        }
    }
    for (name, identity) in &made {
        write_pair(dir, name, &identity.certificates_pem(), &identity.key_pem())?;
        writeln!(out, "{}: {}", describe(identity), files(dir, name))?;
    }
    Ok(())
}

fn describe(identity: &Identity) -> String {
    let ids: Vec<_> = identity.node_ids().iter().map(ToString::to_string).collect();
    let word = if ids.len() == 1 { "Node-ID" } else { "Node-IDs" };
    format!("{}, {word} {}, key {}", identity.user().unwrap_or_default(), ids.join(" "), identity.key())
}

fn files(dir: &Path, name: &str) -> String {
    let [certificate, key] = pair(dir, name);
    format!("{}, and {}, which is secret", certificate.display(), key.display())
}

fn pair(dir: &Path, name: &str) -> [PathBuf; 2] {
    [dir.join(format!("{name}.pem")), dir.join(format!("{name}.key"))]
}

fn load(dir: &Path) -> Result<Authority, Trouble> {
    let [root, key] = pair(dir, "root").map(|path| {
        fs::read_to_string(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Trouble::CannotRead {
                path: dir.into(),
                reason: "there is no authority (make one: iptv ca new DIR --overlay NAME)".into(),
            },
            _ => Trouble::cannot_read(&path, &error),
        })
    });
    Authority::from_pem(&key?, &root?).map_err(|e| trouble(dir, e))
}

fn trouble(dir: &Path, reason: IdentityError) -> Trouble {
    Trouble::Identity { path: dir.into(), reason }
}

fn write_pair(dir: &Path, name: &str, certificate: &str, key: &str) -> Result<(), Trouble> {
    let [certificate_path, key_path] = pair(dir, name);
    write_new(&key_path, key, 0o600)?;
    write_new(&certificate_path, certificate, 0o644)
}

/// Writes a file that must not be there yet.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Trouble> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let file = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Trouble::NameTaken(path.into()),
        _ => Trouble::cannot_write(path, &error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use p2piptv::ids::ChannelName;
    use p2piptv::tls::Trust;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    /// The directory of an authority.
    struct Home(Scratch);

    impl Home {
        fn new(test: &str) -> Self {
            Home(Scratch::new(&format!("ca-{test}")))
        }

        fn run(&self, make_what: Make) -> Result<String, String> {
            let mut out = Vec::new();
            let asked = Ca { dir: self.0.dir().into(), days: 30, make: make_what };
            make(&asked, NOW, &mut out).map_err(|e| e.to_string())?;
            Ok(String::from_utf8(out).expect("text"))
        }

        fn read(&self, file: &str) -> String {
            fs::read_to_string(self.0.path(file)).expect("a file")
        }

        fn identity(&self, name: &str) -> Identity {
            let authority = Authority::from_pem(&self.read("root.key"), &self.read("root.pem"));
            let root = authority.expect("an authority").root().clone();
            let trust = Trust::in_roots("tv.example", vec![root]);
            let (key, certificate) = (self.read(&format!("{name}.key")), self.read(&format!("{name}.pem")));
            Identity::from_pem(&key, &certificate, trust).expect("an identity")
        }
    }

    fn name(name: &str) -> ChannelName {
        ChannelName::new(name).expect("a name")
    }

    fn authority() -> Make {
        Make::Authority { overlay: "tv.example".into() }
    }

    fn node(who: &str, node_ids: usize, rsa: bool) -> Make {
        Make::Node { name: name(who), node_ids, rsa }
    }

    #[test]
    fn files_of_an_authority_make_identities_that_are_believed() {
        let home = Home::new("files");
        home.run(authority()).expect("an authority");
        let line = home.run(node("alice", 2, false)).expect("a node");
        home.run(node("bob", 1, true)).expect("a node");
        let (alice, bob) = (home.identity("alice"), home.identity("bob"));
        assert!(line.starts_with("alice@tv.example, Node-IDs ") && line.contains(&alice.key().to_string()));
        assert_eq!((alice.node_ids().len(), bob.key_type()), (2, KeyType::Rsa));
        let signed = alice.sign(&[b"x"]);
        let party = bob.verify(NOW, &alice.signer(), alice.certificates(), &[b"x"], &signed);
        assert_eq!(party.expect("a good signature").user.as_deref(), Some("alice@tv.example"));
        assert!(alice.valid_at(NOW + Duration::from_secs(30 * 24 * 3600)).is_ok());
        assert!(alice.valid_at(NOW + Duration::from_secs(31 * 24 * 3600)).is_err());
    }

    #[test]
    fn the_owner_of_a_channel_has_one_key_for_all_its_names() {
        let home = Home::new("owner");
        home.run(authority()).expect("an authority");
        let keywords = vec![name("news"), name("sport")];
        let lines = home.run(Make::Owner { channel: name("100"), keywords }).expect("an owner");
        assert_eq!(lines.lines().count(), 3);
        let owner = home.identity("100");
        assert_eq!(owner.user(), Some("100@tv.example"));
        for keyword in ["news", "sport"] {
            let other = home.identity(keyword);
            assert_eq!(other.key(), owner.key());
            assert_eq!(other.node_ids(), owner.node_ids());
            assert_eq!(other.user(), Some(&*format!("{keyword}@tv.example")));
        }
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_a_key() {
        use std::os::unix::fs::PermissionsExt;
        let home = Home::new("mode");
        home.run(authority()).expect("an authority");
        home.run(node("alice", 1, false)).expect("a node");
        for file in ["root.key", "alice.key"] {
            let mode = fs::metadata(home.0.path(file)).expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn what_goes_wrong_has_one_line_and_overwrites_nothing() {
        let home = Home::new("wrong");
        let dir = home.0.dir().display();
        let no_authority =
            format!("cannot read {dir}: there is no authority (make one: iptv ca new DIR --overlay NAME)");
        assert_eq!(home.run(node("alice", 1, false)), Err(no_authority));
        let overlay = Make::Authority { overlay: "a/b".into() };
        assert_eq!(home.run(overlay), Err(format!("{dir}: this cannot be the name of an overlay")));
        assert!(!home.0.dir().exists());

        home.run(authority()).expect("an authority");
        let taken = |file: &str| {
            Err(format!(
                "{dir}/{file} is there already: a name exists once in an overlay \
                 (take another, or move the file away to make it anew)"
            ))
        };
        assert_eq!(home.run(authority()), taken("root.key"));
        assert_eq!(home.run(node("root", 1, false)), taken("root.pem"));
        home.run(node("news", 1, false)).expect("a node");
        let before = home.read("news.key");
        let owner = Make::Owner { channel: name("100"), keywords: vec![name("news")] };
        assert_eq!(home.run(owner), taken("news.pem"));
        assert_eq!(home.read("news.key"), before);
        assert!(!home.0.path("100.key").exists(), "all or nothing");

        fs::write(home.0.path("root.key"), before).expect("a file");
        let other = Err(format!("{dir}: the certificate is for another key"));
        assert_eq!(home.run(node("bob", 1, false)), other);
    }
}
