//! Configuration documents as files: made, shown, and what is wrong with them.

use crate::args::{NewOverlay, Overlay};
use crate::trouble::Trouble;
use bytes::Bytes;
use p2piptv::env::{Crypto, InsecureIdentity};
use p2piptv::ids::NodeId;
use p2piptv::reload::codec::KindId;
use p2piptv::reload::configuration::{
    Configuration, Document, DocumentError, KindBlock, KindDefinition, SelfSignedDigest, sequence,
};
use p2piptv::reload::storage::Kind;
use p2piptv::time::UnixMillis;
use p2piptv::tls::{Digest, Identity, IdentityError, Trust, read_certificates};
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

/// Bytes of a message in which every record of an owned channel fits.
const OWNED: u32 = 16 * 1024;
/// What max-message-size is rounded up to when a document would not fit.
const STEP: usize = 1000;

/// Makes or shows a document.
pub fn run(asked: &Overlay) -> Result<(), Trouble> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = UnixMillis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    let mut out = io::stdout().lock();
    match asked {
        Overlay::New(new) => make(new, now, &mut out),
        Overlay::Show { file, follows } => show(file, follows.as_deref(), now, &mut out),
    }
}

fn make(asked: &NewOverlay, now: UnixMillis, out: &mut impl Write) -> Result<(), Trouble> {
    let current = asked.follows.as_deref().map(|path| load(path, Some(&asked.name))).transpose()?;
    let mut next = match &current {
        Some(current) => {
            let current = current.configuration();
            Configuration { sequence: sequence::next(current.sequence), ..current.clone() }
        }
        // No node here has an ICE agent.
        None => Configuration {
            no_ice: true,
            max_message_size: if asked.plain { 5000 } else { OWNED },
            ..Configuration::new(&asked.name)
        },
    };
    for path in &asked.roots {
        let certificates = read_certificates(&read(path)?).map_err(|e| unusable(path, e))?;
        for der in certificates {
            if !next.root_certs.contains(&der) {
                next.root_certs.push(der);
            }
        }
    }
    next.self_signed_permitted = asked.self_signed.or(next.self_signed_permitted);
    if !asked.bootstrap.is_empty() {
        next.bootstrap_nodes.clone_from(&asked.bootstrap);
    }
    next.bad_nodes.extend(&asked.bad_nodes);
    next.max_message_size = asked.max_message_size.unwrap_or(next.max_message_size);
    if asked.plain {
        next.overlay_link_protocols = vec![Configuration::EXP_PROTOCOL.to_owned()];
    }
    if asked.dtls {
        next.overlay_link_protocols = vec![Configuration::DTLS_UDP_SR_NO_ICE.to_owned()];
    }
    // Each document is signed by those who could sign the last one, and names those who may sign the next.
    let signers = identities(&asked.signers, &next)?;
    let successors = identities(&asked.next_signers, &next)?;
    let named: &[Identity] = match (&current, successors.is_empty()) {
        (Some(_), true) => &[],
        (_, false) => &successors,
        (None, true) => &signers,
    };
    if !named.is_empty() || current.is_none() {
        let ids: Vec<NodeId> = named.iter().map(Crypto::node_id).collect();
        next.configuration_signers.clone_from(&ids);
        next.kind_signers = ids;
        let vouched = !next.root_certs.is_empty() && !asked.plain;
        next.kinds = kinds(&next.kinds, named.first(), asked.plain, vouched)?;
    }
    let by: Vec<&dyn Crypto> = signers.iter().map(|signer| signer as _).collect();
    let mut document = next.to_document(&by).map_err(Trouble::NoDocument)?;
    if !document.fits_into_a_message() && asked.max_message_size.is_none() {
        let size = (document.file().len() + Document::OVERHEAD).div_ceil(STEP) * STEP;
        next.max_message_size = u32::try_from(size).unwrap_or(u32::MAX);
        document = next.to_document(&by).map_err(Trouble::NoDocument)?;
    }
    fs::write(&asked.out, document.file()).map_err(|e| Trouble::cannot_write(&asked.out, &e))?;
    describe(&document, now, out)?;
    let mut wrong = problems(&document, now);
    if let Some(current) = &current {
        wrong.extend(objection(&document, current, now));
    }
    tell(&wrong, out)
}

/// The Kinds of the current document, or of a first one, signed anew. Where an authority vouches for nodes and users their
/// certificates can be looked up (RFC 6940 §8), so that whoever has a signature and no certificate can check it.
fn kinds(
    current: &[KindBlock],
    signer: Option<&Identity>,
    plain: bool,
    vouched: bool,
) -> Result<Vec<KindBlock>, Trouble> {
    let mut definitions: Vec<KindDefinition> = current.iter().map(|b| b.definition().clone()).collect();
    if definitions.is_empty() {
        let kinds =
            if plain { [Kind::CHANNEL, Kind::REDIR] } else { [Kind::OWNED_CHANNEL, Kind::OWNED_REDIR] };
        definitions = kinds.iter().map(KindDefinition::of).collect();
    }
    for kind in [Kind::CERTIFICATE_BY_NODE, Kind::CERTIFICATE_BY_USER].into_iter().filter(|_| vouched) {
        if !definitions.iter().any(|definition| definition.id == kind.id) {
            definitions.push(KindDefinition::of(&kind));
        }
    }
    let block = |definition| match signer {
        Some(signer) => KindBlock::signed(definition, signer).map_err(|e| Trouble::NotSigned(e.to_string())),
        None => Ok(KindBlock::unsigned(definition)),
    };
    definitions.into_iter().map(block).collect()
}

fn show(file: &Path, follows: Option<&Path>, now: UnixMillis, out: &mut impl Write) -> Result<(), Trouble> {
    let bytes = fs::read(file).map_err(|e| Trouble::cannot_read(file, &e))?;
    for name in Document::names(&bytes).map_err(|e| broken(file, &bytes, e))? {
        let document = Document::parse(&bytes, &name).map_err(|e| broken(file, &bytes, e))?;
        describe(&document, now, out)?;
        let mut wrong = problems(&document, now);
        if let Some(current) = follows {
            wrong.extend(objection(&document, &load(current, Some(&name))?, now));
        }
        tell(&wrong, out)?;
    }
    Ok(())
}

/// Reads the document of this overlay from a file, or of the only one in it.
pub fn load(path: &Path, overlay: Option<&str>) -> Result<Document, Trouble> {
    let bytes = fs::read(path).map_err(|e| Trouble::cannot_read(path, &e))?;
    let names = Document::names(&bytes).map_err(|e| broken(path, &bytes, e))?;
    let name = match (overlay, names.as_slice()) {
        (Some(name), _) => name,
        (None, [only]) => only,
        (None, _) => "",
    };
    Document::parse(&bytes, name).map_err(|e| broken(path, &bytes, e))
}

/// Puts another document into the place of the one in a file, at once or not at all.
pub fn replace(path: &Path, document: &[u8]) -> Result<(), Trouble> {
    let beside = path.with_extension("new");
    let written = fs::write(&beside, document).and_then(|()| fs::rename(&beside, path));
    written.map_err(|e| Trouble::cannot_write(path, &e))
}

/// Whose certificates are accepted, as a document says.
pub fn trust(configuration: &Configuration) -> Trust {
    Trust {
        self_signed: configuration.self_signed_permitted.map(|digest| match digest {
            SelfSignedDigest::Sha1 => Digest::Sha1,
            SelfSignedDigest::Sha256 => Digest::Sha256,
        }),
        bad_nodes: configuration.bad_nodes.iter().copied().collect(),
        ..Trust::in_roots(&configuration.instance_name, configuration.root_certs.clone())
    }
}

/// Keys with their certificates: of `x.pem` the key is `x.key`.
fn identities(paths: &[impl AsRef<Path>], configuration: &Configuration) -> Result<Vec<Identity>, Trouble> {
    let identity = |path: &Path| {
        let key = path.with_extension("key");
        Identity::from_pem(&read(&key)?, &read(path)?, trust(configuration)).map_err(|e| unusable(path, e))
    };
    paths.iter().map(|path| identity(path.as_ref())).collect()
}

fn read(path: &Path) -> Result<String, Trouble> {
    fs::read_to_string(path).map_err(|e| Trouble::cannot_read(path, &e))
}

fn unusable(path: &Path, error: IdentityError) -> Trouble {
    Trouble::CannotRead { path: path.into(), reason: error.to_string() }
}

/// The place in words: a line, counted from 1.
fn broken(path: &Path, bytes: &[u8], error: DocumentError) -> Trouble {
    let before = bytes.get(..error.offset).unwrap_or(bytes);
    let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
    Trouble::BadDocument { path: path.into(), line, element: error.element, reason: error.kind.to_string() }
}

/// Somebody who can check the signatures of this overlay.
fn checker(configuration: &Configuration) -> Box<dyn Crypto> {
    let stranger = Identity::self_signed(&configuration.instance_name, "reader", Digest::Sha256);
    match stranger.and_then(|stranger| stranger.trusting(trust(configuration))) {
        Ok(identity) => Box::new(identity),
        Err(_) => Box::new(InsecureIdentity::new(NodeId::default())),
    }
}

fn describe(document: &Document, now: UnixMillis, out: &mut impl Write) -> io::Result<()> {
    let c = document.configuration();
    let list = |ids: &[NodeId]| match ids {
        [] => "nobody".to_owned(),
        ids => ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    };
    writeln!(out, "{}, version {}, {} bytes", c.instance_name, c.sequence, document.file().len())?;
    let links = match c.overlay_link_protocols.join(", ") {
        none if none.is_empty() => "TLS, DTLS".to_owned(),
        plain if plain == Configuration::EXP_PROTOCOL => "plain, nobody proves who he is".to_owned(),
        dtls if dtls == Configuration::DTLS_UDP_SR_NO_ICE => "DTLS".to_owned(),
        listed => listed,
    };
    writeln!(out, "  links          {links}")?;
    let roots: Vec<String> = c.root_certs.iter().map(|der: &Bytes| format!("{} bytes", der.len())).collect();
    if !roots.is_empty() {
        writeln!(out, "  authorities    {}", roots.join(", "))?;
    }
    if let Some(digest) = c.self_signed_permitted {
        writeln!(out, "  certificates   may be self-signed ({})", digest.as_str())?;
    }
    for server in &c.enrollment_servers {
        writeln!(out, "  enrollment     {server}")?;
    }
    for address in &c.bootstrap_nodes {
        writeln!(out, "  bootstrap      {address}")?;
    }
    writeln!(
        out,
        "  messages       {} bytes, {} hops, sent again after {} ms",
        c.max_message_size,
        c.initial_ttl,
        c.overlay_reliability_timer.as_millis()
    )?;
    writeln!(out, "  may change it  {}", list(&c.configuration_signers))?;
    if !c.bad_nodes.is_empty() {
        writeln!(out, "  shut out       {}", list(&c.bad_nodes))?;
    }
    for (block, signer) in document.kinds(now, &*checker(c)) {
        let kind = block.definition();
        let name = kind.id.name().map_or_else(|| format!("{:#x}", kind.id.0), str::to_owned);
        let signed = match signer {
            Ok(Some(_)) => "signed".to_owned(),
            Ok(None) => "vouched for by this document".to_owned(),
            Err(error) => format!("does not count: {}", error.kind),
        };
        let (model, access) = (kind.data_model, &kind.access_control);
        let (count, size) = (kind.max_count, kind.max_size);
        writeln!(out, "  kind           {name}: {model:?}, {access}, {count} of {size} bytes, {signed}")?;
    }
    Ok(())
}

/// What a reader should know.
fn problems(document: &Document, now: UnixMillis) -> Vec<String> {
    let c = document.configuration();
    let mut wrong = Vec::new();
    let mut check = |is_wrong: bool, text: &str| {
        if is_wrong {
            wrong.push(text.to_owned());
        }
    };
    if let Some(unsupported) = document.unsupported() {
        check(
            true,
            &format!("this program cannot be in this overlay: {} is not supported", unsupported.element),
        );
    }
    check(c.expiration.is_some_and(|at| at <= now), "it has expired: fetch a newer one");
    let unproven = c.root_certs.is_empty() && c.self_signed_permitted.is_none();
    check(
        unproven && [Configuration::TLS, Configuration::DTLS_UDP_SR_NO_ICE].iter().any(|p| c.permits_link(p)),
        "no certificate can be accepted: give --root-cert, --self-signed or --plain",
    );
    check(c.bootstrap_nodes.is_empty(), "it names no bootstrap node: give --bootstrap, or tell the nodes");
    check(c.configuration_signers.is_empty(), "nobody can ever change it: give --signer");
    check(
        !document.fits_into_a_message(),
        "a newer version of this size fits into no message, so nodes cannot tell each other of it: give \
         --max-message-size",
    );
    check(
        !c.kinds.iter().any(|b| b.definition().id == KindId::CHANNEL),
        "it has no Kind for channels, so there is no television in this overlay",
    );
    check(c.shared_secret.is_some(), "there is a secret in it: give it to nobody else");
    wrong
}

/// Why nodes that have the current document would not take this one.
fn objection(document: &Document, current: &Document, now: UnixMillis) -> Option<String> {
    let current = current.configuration();
    let error = document.verify(current, now, &*checker(current)).err()?;
    Some(format!("nodes that have version {} will not take it: {}", current.sequence, error.kind))
}

fn tell(wrong: &[String], out: &mut impl Write) -> Result<(), Trouble> {
    for text in wrong {
        writeln!(out, "  ! {text}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use p2piptv::time::Duration;
    use p2piptv::tls::Authority;
    use std::path::PathBuf;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    /// A directory with the keys of two who may sign.
    struct Desk(Scratch);

    impl Desk {
        fn new(test: &str) -> Self {
            let scratch = Scratch::new(&format!("overlay-{test}"));
            fs::create_dir_all(scratch.dir()).expect("a directory");
            for name in ["admin", "heir"] {
                let identity = Identity::self_signed("tv.example", name, Digest::Sha256).expect("a key");
                let path = scratch.path(name).with_extension("pem");
                fs::write(&path, identity.certificates_pem()).expect("written");
                fs::write(path.with_extension("key"), identity.key_pem()).expect("written");
            }
            Desk(scratch)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path(name)
        }

        /// A document signed by `admin`, with what `change` asks for.
        fn make(&self, out: &str, change: impl FnOnce(&mut NewOverlay)) -> Result<String, String> {
            let mut asked = NewOverlay {
                name: "tv.example".into(),
                out: self.path(out),
                self_signed: Some(SelfSignedDigest::Sha256),
                bootstrap: vec![([127, 0, 0, 1], 6084).into()],
                signers: vec![self.path("admin.pem")],
                ..NewOverlay::default()
            };
            change(&mut asked);
            let mut text = Vec::new();
            make(&asked, NOW, &mut text).map_err(|e| e.to_string())?;
            Ok(String::from_utf8(text).expect("text"))
        }
    }

    #[test]
    fn a_document_is_made_and_nothing_is_wrong_with_it() {
        let desk = Desk::new("made");
        let told = desk.make("0.relo", |_| ()).expect("made");
        assert!(told.starts_with("tv.example, version 0, "), "{told}");
        assert!(told.contains("IPTV-CHANNEL: Dictionary, CHANNEL-GRANT, 12 of 1536 bytes, signed"), "{told}");
        assert!(!told.contains('!'), "{told}");
        let mut shown = Vec::new();
        show(&desk.path("0.relo"), None, NOW, &mut shown).expect("shown");
        assert_eq!(String::from_utf8(shown).expect("text"), told);
    }

    #[test]
    fn cf3_the_next_version_is_taken_from_the_signer_and_not_from_another() {
        let desk = Desk::new("next");
        desk.make("0.relo", |_| ()).expect("made");
        let follows = Some(desk.path("0.relo"));
        let next = |out: &str, signer: &str| {
            let signers = vec![desk.path(signer)];
            let bad_nodes = vec![NodeId([7; 16])];
            desk.make(out, |asked| {
                *asked = NewOverlay { follows: follows.clone(), signers, bad_nodes, ..asked.clone() };
            })
        };
        let told = next("1.relo", "admin.pem").expect("made");
        assert!(told.starts_with("tv.example, version 1, ") && !told.contains('!'), "{told}");
        assert!(told.contains("shut out       0707"), "{told}");
        let told = next("x.relo", "heir.pem").expect("made");
        assert!(told.contains("! nodes that have version 0 will not take it: signed by a node"), "{told}");
    }

    #[test]
    fn cf3_signers_are_replaced_in_two_steps() {
        let desk = Desk::new("heir");
        desk.make("0.relo", |_| ()).expect("made");
        let hand_over = |asked: &mut NewOverlay| {
            asked.follows = Some(desk.path("0.relo"));
            asked.next_signers = vec![desk.path("heir.pem")];
        };
        let told = desk.make("1.relo", hand_over).expect("made");
        assert!(!told.contains('!') && !told.contains("does not count"), "{told}");
        let by_heir = |asked: &mut NewOverlay| {
            asked.follows = Some(desk.path("1.relo"));
            asked.signers = vec![desk.path("heir.pem")];
        };
        let told = desk.make("2.relo", by_heir).expect("made");
        assert!(told.starts_with("tv.example, version 2, ") && !told.contains('!'), "{told}");
    }

    #[test]
    fn what_a_reader_should_know_is_told() {
        let desk = Desk::new("problems");
        let bare = |asked: &mut NewOverlay| {
            *asked = NewOverlay { name: "tv.example".into(), out: desk.path("0.relo"), ..Default::default() };
        };
        let told = desk.make("0.relo", bare).expect("made");
        for problem in ["no certificate can be accepted", "no bootstrap node", "nobody can ever change it"] {
            assert!(told.contains(problem), "{told}");
        }
        let tight = desk.make("1.relo", |asked| asked.max_message_size = Some(2048)).expect("made");
        assert!(tight.contains("fits into no message"), "{tight}");
        let large = |asked: &mut NewOverlay| {
            asked.bootstrap = (0..250).map(|n| ([192, 0, 2, n], 6084).into()).collect();
            asked.plain = true;
        };
        let told = desk.make("2.relo", large).expect("made");
        assert!(!told.contains('!'), "max-message-size grows with the document: {told}");
    }

    #[test]
    fn a_document_can_ask_for_links_over_dtls() {
        let desk = Desk::new("dtls");
        let told = desk.make("0.relo", |asked| asked.dtls = true).expect("made");
        assert!(told.contains("  links          DTLS\n"), "{told}");
        let document = load(&desk.path("0.relo"), None).expect("a document");
        let at = ([192, 0, 2, 1], 6084).into();
        let reader = checker(document.configuration());
        let config =
            p2piptv::reload::overlay::Config::from_document(document, at, NOW, &*reader).expect("usable");
        assert_eq!(config.security, p2piptv::reload::overlay::LinkSecurity::Dtls);
    }

    #[test]
    fn where_an_authority_vouches_for_nodes_their_certificates_can_be_looked_up() {
        let desk = Desk::new("vouched");
        let day = Duration::from_secs(24 * 3600);
        let authority = Authority::new("tv.example", NOW, day).expect("an authority");
        fs::write(desk.path("root.pem"), authority.root_pem()).expect("written");
        let told = desk.make("0.relo", |asked| asked.roots = vec![desk.path("root.pem")]).expect("made");
        for kind in ["CERTIFICATE_BY_NODE: Array, NODE-MATCH", "CERTIFICATE_BY_USER: Array, USER-MATCH"] {
            assert!(told.contains(kind), "{told}");
        }
        let told = desk.make("1.relo", |_| ()).expect("made");
        assert!(
            !told.contains("CERTIFICATE_BY"),
            "a key that speaks for itself is in every signature's company"
        );
    }

    #[test]
    fn a_newer_document_takes_the_place_of_the_file() {
        let desk = Desk::new("replaced");
        desk.make("0.relo", |_| ()).expect("made");
        let next = |asked: &mut NewOverlay| asked.follows = Some(asked.out.with_file_name("0.relo"));
        desk.make("1.relo", next).expect("made");
        let newer = fs::read(desk.path("1.relo")).expect("read");
        replace(&desk.path("0.relo"), &newer).expect("replaced");
        assert_eq!(fs::read(desk.path("0.relo")).expect("read"), newer);
        assert!(!desk.path("0.new").exists());
        assert!(replace(&desk.path("none/0.relo"), &newer).is_err());
    }

    #[test]
    fn a_broken_file_is_refused_with_the_line_and_the_element() {
        let desk = Desk::new("broken");
        desk.make("0.relo", |_| ()).expect("made");
        let file = desk.path("0.relo");
        let text = fs::read_to_string(&file).expect("read");
        let text = text.replace("<kind-signer>", "<initial-ttl>0</initial-ttl>\n<kind-signer>");
        let line = text.lines().position(|l| l.contains("initial-ttl")).expect("a line") + 1;
        fs::write(&file, text).expect("written");
        let error = show(&file, None, NOW, &mut Vec::new()).expect_err("0 hops").to_string();
        assert_eq!(error, format!("{}, line {line}: initial-ttl: out of range", file.display()));
        assert!(load(&desk.path("admin.pem"), None).is_err());
    }

    #[test]
    fn the_example_document_is_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/overlay.relo");
        let document = load(&path, None).expect("a document");
        assert_eq!(document.configuration().instance_name, "tv.example");
        assert_eq!(problems(&document, NOW), ["nobody can ever change it: give --signer"]);
    }
}
