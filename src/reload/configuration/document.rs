//! A configuration document: the file, the element in it that is meant, and who signed that (RFC 6940 §11.1).

use super::xml::{self, Item};
use super::{Configuration, DocumentError, DocumentErrorKind, KindBlock, parse, sequence, signature};
use crate::env::Crypto;
use crate::ids::NodeId;
use crate::reload::codec::SecurityBlock;
use crate::time::UnixMillis;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::Range;
use roxmltree::Node;

/// One overlay's configuration in a file of the media type `application/p2p-overlay+xml`.
///
/// The bytes of the file are kept as they came, for the signatures cover them (CF-2). Whether anybody who may do so has
/// signed is another question: the first document is trusted because of where it came from, every later one because
/// [`Document::verify`] says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    file: Bytes,
    element: Range<usize>,
    signatures: Vec<SecurityBlock>,
    /// Where a namespace is declared that the signature does not cover and that is not what everybody means by it.
    unsigned_namespace: Option<usize>,
    configuration: Configuration,
    unsupported: Option<DocumentError>,
}

impl Document {
    /// Bytes of the largest file that is read.
    pub const MAX_SIZE: usize = 256 * 1024;
    /// Signatures of one element that are looked at.
    pub const MAX_SIGNATURES: usize = 8;
    /// Room in a ConfigUpdate for all but the document: the header with its lists, a certificate and a signature.
    pub const OVERHEAD: usize = 1800;
    /// The media type (RFC 6940 §14.16).
    pub const MEDIA_TYPE: &str = "application/p2p-overlay+xml";
    /// What file names end in (RFC 6940 §14.16).
    pub const EXTENSION: &str = "relo";

    /// Reads the configuration of the overlay with this name out of a file (CF-1).
    ///
    /// What this version cannot do is no error here, see [`Document::unsupported`]: a node has to know that a document is
    /// genuine before it leaves the overlay because of it.
    pub fn parse(file: &[u8], overlay_name: &str) -> Result<Self, DocumentError> {
        let file = Self::bounded(file)?;
        let tree = xml::read(text(&file)?)?;
        let named =
            |node: &Node<'_, '_>| node.attribute("instance-name").map(str::trim) == Some(overlay_name);
        let mut matching = configurations(tree.root_element())?.into_iter().filter(named);
        let wrong = DocumentError::new(DocumentErrorKind::WrongOverlay, "configuration", 0);
        let node = matching.next().ok_or(wrong)?;
        if let Some(second) = matching.next() {
            return Err(Item::element("configuration", second).error(DocumentErrorKind::Repeated));
        }
        let parse::Parsed { configuration, unsupported } = parse::configuration(node, &file)?;
        let element = node.range();
        let unsigned_namespace = unsigned_namespace(node);
        let signatures = signatures(node);
        Ok(Document { file, element, signatures, unsigned_namespace, configuration, unsupported })
    }

    /// The names of the overlays that a file configures, in its order.
    pub fn names(file: &[u8]) -> Result<Vec<String>, DocumentError> {
        let file = Self::bounded(file)?;
        let tree = xml::read(text(&file)?)?;
        let nodes = configurations(tree.root_element())?;
        let name = |node: Node<'_, '_>| {
            let missing = Item::element("instance-name", node).error(DocumentErrorKind::Missing);
            Item::attribute("instance-name", node).ok_or(missing)?.string()
        };
        nodes.into_iter().map(name).collect()
    }

    fn bounded(file: &[u8]) -> Result<Bytes, DocumentError> {
        if file.len() > Self::MAX_SIZE {
            return Err(DocumentError::new(DocumentErrorKind::TooLarge, "overlay", Self::MAX_SIZE));
        }
        Ok(Bytes::copy_from_slice(file))
    }

    /// The file, byte for byte.
    pub fn file(&self) -> &Bytes {
        &self.file
    }

    /// The configuration element, from its first `<` to its last `>`: what signatures cover.
    pub fn element(&self) -> &[u8] {
        self.file.get(self.element.clone()).unwrap_or_default()
    }

    /// Whether a ConfigUpdate with it surely fits into max-message-size. A document that does not can reach the nodes by a
    /// configuration server only, and no node can tell another.
    pub fn fits_into_a_message(&self) -> bool {
        self.file.len() + Self::OVERHEAD <= self.configuration.max_message_size as usize
    }

    /// What it says.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The signatures behind the element that can be read, good or not.
    pub fn signatures(&self) -> &[SecurityBlock] {
        &self.signatures
    }

    /// The first thing that it asks for and that this version cannot do: with this a node must not be in the overlay
    /// (CF-5).
    pub fn unsupported(&self) -> Option<DocumentError> {
        self.unsupported
    }

    /// Whether this may take the place of the current document, which it does when it is newer and signed by a
    /// configuration-signer of the current one (CF-3, CU-1). It tells who that was.
    pub fn verify(
        &self,
        current: &Configuration,
        at: UnixMillis,
        crypto: &dyn Crypto,
    ) -> Result<NodeId, DocumentError> {
        let error = |kind, element| DocumentError::new(kind, element, self.element.start);
        self.follows(current, at)?;
        if let Some(offset) = self.unsigned_namespace {
            return Err(DocumentError::new(DocumentErrorKind::UnsignedNamespace, "overlay", offset));
        }
        let (may_sign, bad) = (&current.configuration_signers, &current.bad_nodes);
        signature::verify(self.element(), &self.signatures, may_sign, bad, at, crypto)
            .map_err(|kind| error(kind, "signature"))
    }

    /// Whether this is a newer version of the same overlay's document that has not expired, whoever made it.
    pub fn follows(&self, current: &Configuration, at: UnixMillis) -> Result<(), DocumentError> {
        let new = &self.configuration;
        let error = |kind, element| Err(DocumentError::new(kind, element, self.element.start));
        if new.instance_name != current.instance_name {
            error(DocumentErrorKind::WrongOverlay, "instance-name")
        } else if !sequence::is_older(current.sequence, new.sequence) {
            error(DocumentErrorKind::NotNewer, "sequence")
        } else if new.expiration.is_some_and(|expiration| expiration <= at) {
            error(DocumentErrorKind::Expired, "expiration")
        } else {
            Ok(())
        }
    }

    /// The required Kinds, each with the kind-signer that signed it or why it does not count (CF-4).
    ///
    /// A document that lists no kind-signer vouches for its Kinds itself, and they need no signature of their own.
    pub fn kinds(
        &self,
        at: UnixMillis,
        crypto: &dyn Crypto,
    ) -> impl Iterator<Item = (&KindBlock, Result<Option<NodeId>, DocumentError>)> {
        let Configuration { kind_signers, bad_nodes, kinds, .. } = &self.configuration;
        kinds.iter().map(move |block| {
            let signer = match kind_signers.as_slice() {
                [] => Ok(None),
                signers => block.verify(signers, bad_nodes, at, crypto).map(Some),
            };
            (block, signer)
        })
    }
}

fn text(file: &Bytes) -> Result<&str, DocumentError> {
    core::str::from_utf8(file)
        .map_err(|e| DocumentError::new(DocumentErrorKind::NotWellFormed, "overlay", e.valid_up_to()))
}

/// The configuration elements of a file.
fn configurations<'a>(root: Node<'a, 'a>) -> Result<Vec<Node<'a, 'a>>, DocumentError> {
    if !xml::is(&root, xml::BASE, "overlay") {
        return Err(Item::element("overlay", root).error(DocumentErrorKind::Missing));
    }
    Ok(root.children().filter(|c| xml::is(c, xml::BASE, "configuration")).collect())
}

/// The signatures between this configuration and the next one. The grammar loses which belongs to which; the order of
/// the file has it.
fn signatures(configuration: Node<'_, '_>) -> Vec<SecurityBlock> {
    let next = |c: &Node<'_, '_>| xml::is(c, xml::BASE, "configuration");
    configuration
        .next_siblings()
        .skip(1)
        .take_while(|c| !next(c))
        .filter(|c| xml::is(c, xml::BASE, "signature"))
        .take(Document::MAX_SIGNATURES)
        .filter_map(|c| signature::read(&Item::element("signature", c)).ok())
        .collect()
}

/// Prefixes that `overlay` declares are used inside the configuration, and no signature covers them: whoever changes a
/// declaration changes what the signed elements mean. So a prefix that the RFCs use has to mean what they mean, and no
/// other prefix may mean that. It tells where the element begins that declares otherwise.
fn unsigned_namespace(configuration: Node<'_, '_>) -> Option<usize> {
    let overlay = configuration.parent_element()?;
    let as_usual = overlay.namespaces().all(|declared| {
        let (prefix, uri) = (declared.name(), declared.uri());
        xml::PREFIXES.iter().all(|&(usual, namespace)| (prefix == usual) == (uri == namespace))
    });
    (!as_usual).then(|| overlay.range().start)
}
