//! From a `configuration` element to what it says (RFC 6940 §11.1).

use super::xml::{self, Item};
use super::{Configuration, DocumentError, DocumentErrorKind, KindBlock, SelfSignedDigest};
use crate::ids::NodeId;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use roxmltree::Node;

/// Namespaces that a mandatory-extension may name: what this version understands.
const UNDERSTOOD: [&str; 3] = [xml::BASE, xml::CHORD, xml::REDIR];

/// Every element that may occur once, by its namespace and name.
const ONCE: [(&str, &str); 16] = [
    (xml::BASE, "topology-plugin"),
    (xml::BASE, "topology-plug-in"),
    (xml::BASE, "node-id-length"),
    (xml::BASE, "self-signed-permitted"),
    (xml::BASE, "turn-density"),
    (xml::BASE, "clients-permitted"),
    (xml::BASE, "no-ice"),
    (xml::BASE, "shared-secret"),
    (xml::BASE, "max-message-size"),
    (xml::BASE, "initial-ttl"),
    (xml::BASE, "overlay-reliability-timer"),
    (xml::BASE, "required-kinds"),
    (xml::CHORD, "chord-update-interval"),
    (xml::CHORD, "chord-ping-interval"),
    (xml::CHORD, "chord-reactive"),
    (xml::REDIR, "branching-factor"),
];

/// What was read, and the first thing in it that this version cannot do.
pub(super) struct Parsed {
    pub(super) configuration: Configuration,
    pub(super) unsupported: Option<DocumentError>,
}

/// Reads a configuration element of this file.
pub(super) fn configuration(node: Node<'_, '_>, file: &Bytes) -> Result<Parsed, DocumentError> {
    let element = Item::element("configuration", node);
    let attribute = |name: &'static str| {
        let missing = DocumentError { element: name, ..element.error(DocumentErrorKind::Missing) };
        Item::attribute(name, node).ok_or(missing)
    };
    let mut parsed = Parsed {
        configuration: Configuration::new(&attribute("instance-name")?.string()?),
        unsupported: None,
    };
    parsed.configuration.sequence = attribute("sequence")?.number(0, u16::MAX - 1)?;
    let expiration = Item::attribute("expiration", node);
    parsed.configuration.expiration = expiration.map(|item| item.time()).transpose()?;
    // The length comes first: it says what the Node-IDs in the other elements look like.
    for child in node.children().filter(|c| xml::is(c, xml::BASE, "node-id-length")) {
        let item = Item::element("node-id-length", child);
        parsed.configuration.node_id_length = item.number(16, 20)?;
        if usize::from(parsed.configuration.node_id_length) != NodeId::LEN {
            parsed.cannot(item);
        }
    }
    let mut seen = Vec::new();
    for child in node.children().filter(Node::is_element) {
        let tag = child.tag_name();
        let once = ONCE.iter().find(|(ns, name)| tag.namespace() == Some(*ns) && tag.name() == *name);
        if let Some((_, name)) = once {
            if seen.contains(name) {
                return Err(Item::element(name, child).error(DocumentErrorKind::Repeated));
            }
            seen.push(name);
        }
        parsed.take(child, file)?;
    }
    Ok(parsed)
}

impl Parsed {
    /// This version cannot do what an element asks for.
    fn cannot(&mut self, item: Item<'_>) {
        self.unsupported.get_or_insert(item.error(DocumentErrorKind::Unsupported));
    }

    /// Reads one child of the configuration. What has no meaning here is passed over (CF-6).
    fn take(&mut self, child: Node<'_, '_>, file: &Bytes) -> Result<(), DocumentError> {
        let c = &mut self.configuration;
        let item = |name| Item::element(name, child);
        match (child.tag_name().namespace(), child.tag_name().name()) {
            // The grammar has the one name, the prose the other.
            (Some(xml::BASE), "topology-plugin" | "topology-plug-in") => {
                let item = item("topology-plugin");
                c.topology_plugin = item.string()?;
                if c.topology_plugin != Configuration::CHORD_RELOAD {
                    self.cannot(item);
                }
            }
            (Some(xml::BASE), "root-cert") => c.root_certs.push(item("root-cert").base64()?),
            (Some(xml::BASE), "enrollment-server") => c.enrollment_servers.push(enrollment_server(child)?),
            (Some(xml::BASE), "self-signed-permitted") => {
                let item = item("self-signed-permitted");
                let permitted = item.boolean()?;
                let digest = Item::attribute("digest", child)
                    .ok_or(DocumentError { element: "digest", ..item.error(DocumentErrorKind::Missing) })?;
                let text = digest.text()?;
                let known = [SelfSignedDigest::Sha1, SelfSignedDigest::Sha256];
                match known.into_iter().find(|d| d.as_str() == text) {
                    known if permitted => {
                        c.self_signed_permitted = known;
                        if known.is_none() {
                            self.cannot(digest);
                        }
                    }
                    _ => {}
                }
            }
            (Some(xml::BASE), "bootstrap-node") => c.bootstrap_nodes.push(bootstrap_node(child)?),
            (Some(xml::BASE), "turn-density") => c.turn_density = item("turn-density").number(0, u8::MAX)?,
            (Some(xml::BASE), "clients-permitted") => {
                c.clients_permitted = item("clients-permitted").boolean()?;
            }
            (Some(xml::BASE), "no-ice") => c.no_ice = item("no-ice").boolean()?,
            (Some(xml::BASE), "shared-secret") => c.shared_secret = Some(item("shared-secret").string()?),
            (Some(xml::BASE), "max-message-size") => {
                c.max_message_size = item("max-message-size").number(1, u32::MAX)?;
            }
            (Some(xml::BASE), "initial-ttl") => c.initial_ttl = item("initial-ttl").number(1, u8::MAX)?,
            (Some(xml::BASE), "overlay-reliability-timer") => {
                let millis: u32 = item("overlay-reliability-timer").number(200, u32::MAX)?;
                c.overlay_reliability_timer = Duration::from_millis(millis.into());
            }
            (Some(xml::BASE), "overlay-link-protocol") => {
                c.overlay_link_protocols.push(item("overlay-link-protocol").string()?);
            }
            (Some(xml::BASE), "kind-signer") => self.node(item("kind-signer"), |c| &mut c.kind_signers)?,
            (Some(xml::BASE), "configuration-signer") => {
                self.node(item("configuration-signer"), |c| &mut c.configuration_signers)?;
            }
            (Some(xml::BASE), "bad-node") => self.node(item("bad-node"), |c| &mut c.bad_nodes)?,
            (Some(xml::BASE), "mandatory-extension") => {
                let item = item("mandatory-extension");
                let namespace = item.string()?;
                if !UNDERSTOOD.contains(&namespace.as_str()) {
                    self.cannot(item);
                }
                self.configuration.mandatory_extensions.push(namespace);
            }
            (Some(xml::BASE), "required-kinds") => {
                for block in KindBlock::read_all(child, file)? {
                    match block {
                        Ok(block) => c.kinds.push(block),
                        Err(unsupported) => _ = self.unsupported.get_or_insert(unsupported),
                    }
                }
            }
            (Some(xml::CHORD), "chord-update-interval") => {
                c.chord_update_interval = item("chord-update-interval").seconds()?;
            }
            (Some(xml::CHORD), "chord-ping-interval") => {
                c.chord_ping_interval = item("chord-ping-interval").seconds()?;
            }
            (Some(xml::CHORD), "chord-reactive") => c.chord_reactive = item("chord-reactive").boolean()?,
            _ => {}
        }
        Ok(())
    }

    /// A Node-ID for a list. Those of another length are passed over: the length itself is not supported then.
    fn node(
        &mut self,
        item: Item<'_>,
        list: fn(&mut Configuration) -> &mut Vec<NodeId>,
    ) -> Result<(), DocumentError> {
        if usize::from(self.configuration.node_id_length) == NodeId::LEN {
            list(&mut self.configuration).push(item.node_id()?);
        }
        Ok(())
    }
}

/// The URL as the text of the element, as the grammar has it, or of a `url` element inside, as the prose has it.
fn enrollment_server(node: Node<'_, '_>) -> Result<String, DocumentError> {
    let inside = node.children().find(|c| xml::is(c, xml::BASE, "url")).unwrap_or(node);
    let item = Item::element("enrollment-server", inside);
    let url = item.string()?;
    let scheme = url.get(..8).is_some_and(|s| s.eq_ignore_ascii_case("https://"));
    if scheme && url.len() > 8 { Ok(url) } else { Err(item.error(DocumentErrorKind::InvalidValue)) }
}

fn bootstrap_node(node: Node<'_, '_>) -> Result<SocketAddr, DocumentError> {
    let element = Item::element("bootstrap-node", node);
    let missing = DocumentError { element: "address", ..element.error(DocumentErrorKind::Missing) };
    let address = Item::attribute("address", node).ok_or(missing)?;
    let ip: IpAddr = address.text()?.parse().map_err(|_| address.error(DocumentErrorKind::InvalidValue))?;
    let port = match Item::attribute("port", node) {
        Some(port) => port.number(1, u16::MAX)?,
        None => Configuration::DEFAULT_PORT,
    };
    Ok(SocketAddr::new(ip, port))
}
