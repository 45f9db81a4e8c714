//! Kinds as a document defines them: `kind-block` elements (RFC 6940 §11.1), each signed by a kind-signer.

use super::xml::{self, Item};
use super::{DocumentError, DocumentErrorKind, signature};
use crate::env::Crypto;
use crate::ids::NodeId;
use crate::reload::codec::{DataModel, KindId, SecurityBlock};
use crate::reload::storage::{Access, Kind};
use crate::time::UnixMillis;
use crate::wire::EncodeError;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use roxmltree::Node;

const MODELS: [(DataModel, &str); 3] =
    [(DataModel::Single, "SINGLE"), (DataModel::Array, "ARRAY"), (DataModel::Dictionary, "DICTIONARY")];

/// The definition of a Kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindDefinition {
    /// Its number. A Kind with a name is written by its name.
    pub id: KindId,
    /// data-model.
    pub data_model: DataModel,
    /// access-control: the name of a policy, `USER-MATCH` for example.
    pub access_control: String,
    /// max-count: values under one Resource-ID.
    pub max_count: u32,
    /// max-size: bytes of one value.
    pub max_size: u32,
    /// max-node-multiple: the largest i of NODE-MULTIPLE, which is one byte here.
    pub max_node_multiple: Option<u8>,
    /// redir:branching-factor (RFC 7374 §8); 10 when it is absent.
    pub branching_factor: Option<u16>,
}

impl KindDefinition {
    /// Kind-IDs that are nobody's (RFC 6940 §14.6).
    const RESERVED: [u32; 3] = [0, 0x7fff_ffff, 0xffff_fffe];

    /// The definition that the store works with; `None` when it does not know the access control policy (AC-6). The data
    /// model and the policy of a registered Kind are those of its registration.
    pub fn to_kind(&self) -> Option<Kind> {
        let (model, mut access) = match Kind::registered(self.id) {
            Some(kind) => (kind.model, kind.access),
            None => (self.data_model, Access::named(&self.access_control, self.max_node_multiple)?),
        };
        match &mut access {
            Access::NodeMultiple { max } => *max = self.max_node_multiple.unwrap_or(*max),
            Access::NodeIdMatch { branching_factor } => {
                *branching_factor = self.branching_factor.unwrap_or(*branching_factor);
            }
            _ => {}
        }
        Some(Kind {
            id: self.id,
            model,
            access,
            max_count: self.max_count as usize,
            max_size: self.max_size as usize,
            findable: true,
        })
    }

    /// How a document defines this Kind.
    pub fn of(kind: &Kind) -> Self {
        let number = |n| u32::try_from(n).unwrap_or(u32::MAX);
        KindDefinition {
            id: kind.id,
            data_model: kind.model,
            access_control: String::from(kind.access.name()),
            max_count: number(kind.max_count),
            max_size: number(kind.max_size),
            max_node_multiple: match kind.access {
                Access::NodeMultiple { max } => Some(max),
                _ => None,
            },
            branching_factor: match kind.access {
                Access::NodeIdMatch { branching_factor } => Some(branching_factor),
                _ => None,
            },
        }
    }

    /// The `kind` element.
    fn to_xml(&self) -> String {
        let name = Kind::registered(self.id).and_then(|kind| kind.id.name());
        let who = name.map_or_else(|| format!("id=\"{}\"", self.id.0), |name| format!("name=\"{name}\""));
        let model = MODELS.iter().find(|(m, _)| *m == self.data_model).map_or("", |(_, name)| *name);
        let access = super::write::escaped(&self.access_control);
        let (count, size) = (self.max_count, self.max_size);
        let multiple = self.max_node_multiple;
        let multiple = multiple.map(|n| format!("<max-node-multiple>{n}</max-node-multiple>"));
        let branching = self.branching_factor;
        // Its namespace is declared here, for the bytes of this element have to stand for themselves.
        let branching =
            branching.map(|n| format!("<branching-factor xmlns=\"{}\">{n}</branching-factor>", xml::REDIR));
        format!(
            "<kind {who}><data-model>{model}</data-model><access-control>{access}</access-control>\
             {}<max-count>{count}</max-count><max-size>{size}</max-size>{}</kind>",
            multiple.unwrap_or_default(),
            branching.unwrap_or_default()
        )
    }

    fn read(kind: Node<'_, '_>) -> Result<Self, DocumentError> {
        use DocumentErrorKind::{InvalidValue, Missing, OutOfRange, Unsupported};
        let element = Item::element("kind", kind);
        let id = match (Item::attribute("name", kind), Item::attribute("id", kind)) {
            (Some(name), None) => {
                let text = name.text()?;
                Kind::named(&text).map(|kind| kind.id).ok_or(name.error(Unsupported))?
            }
            (None, Some(number)) => match number.number(0, u32::MAX)? {
                reserved if Self::RESERVED.contains(&reserved) => return Err(number.error(OutOfRange)),
                id => KindId(id),
            },
            (None, None) => return Err(element.error(Missing)),
            (Some(_), Some(both)) => return Err(both.error(InvalidValue)),
        };
        let only = |namespace: &str, name: &'static str| {
            Ok(only(kind, namespace, name)?.map(|node| Item::element(name, node)))
        };
        let base = |name: &'static str| {
            only(xml::BASE, name)?.ok_or(DocumentError { element: name, ..element.error(Missing) })
        };
        let (model, access) = (base("data-model")?, base("access-control")?);
        let count = |item: Item<'_>, least| item.number(least, i32::MAX as u32);
        let registered = Kind::registered(id);
        let (data_model, access_control) = match &registered {
            Some(kind) => (kind.model, String::from(kind.access.name())),
            None => {
                let name = model.text()?;
                let known = MODELS.iter().find(|(_, known)| *known == name);
                (known.ok_or(model.error(Unsupported))?.0, access.string()?)
            }
        };
        let multiple = only(xml::BASE, "max-node-multiple")?;
        let multiple = multiple.map(|item| item.number(1, u8::MAX)).transpose()?;
        if access_control == "NODE-MULTIPLE" && multiple.is_none() && registered.is_none() {
            return Err(DocumentError { element: "max-node-multiple", ..element.error(Missing) });
        }
        Ok(KindDefinition {
            id,
            data_model,
            access_control,
            max_count: count(base("max-count")?, 0)?,
            max_size: count(base("max-size")?, 0)?,
            max_node_multiple: multiple,
            branching_factor: only(xml::REDIR, "branching-factor")?
                .map(|item| item.number(2, u16::MAX))
                .transpose()?,
        })
    }
}

/// The child of this name, of which there may be one.
fn only<'a>(
    parent: Node<'a, 'a>,
    namespace: &str,
    name: &'static str,
) -> Result<Option<Node<'a, 'a>>, DocumentError> {
    let mut all = parent.children().filter(|c| xml::is(c, namespace, name));
    let first = all.next();
    match all.next() {
        Some(second) => Err(Item::element(name, second).error(DocumentErrorKind::Repeated)),
        None => Ok(first),
    }
}

/// One `kind-block`: a definition, the very bytes of its element, and the signature over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindBlock {
    definition: KindDefinition,
    element: Bytes,
    signature: Option<SecurityBlock>,
    /// Where the element begins in its file.
    offset: usize,
}

impl KindBlock {
    /// Kind-blocks in one ConfigUpdate, or in one KindDescription of it.
    pub const MAX_BLOCKS: usize = 64;

    /// A definition, signed by this node.
    pub fn signed(definition: KindDefinition, crypto: &dyn Crypto) -> Result<Self, EncodeError> {
        let block = Self::unsigned(definition);
        Ok(KindBlock { signature: Some(signature::sign(&block.element, crypto)?), ..block })
    }

    /// A definition without a signature, for documents that list no kind-signer.
    pub fn unsigned(definition: KindDefinition) -> Self {
        let element = Bytes::from(definition.to_xml());
        KindBlock { definition, element, signature: None, offset: 0 }
    }

    /// What it says.
    pub fn definition(&self) -> &KindDefinition {
        &self.definition
    }

    /// The bytes of the `kind` element, which the signature covers.
    pub fn element(&self) -> &Bytes {
        &self.element
    }

    /// Who of these kind-signers has signed it (CF-4). An error says why nobody has.
    pub fn verify(
        &self,
        kind_signers: &[NodeId],
        bad_nodes: &[NodeId],
        at: UnixMillis,
        crypto: &dyn Crypto,
    ) -> Result<NodeId, DocumentError> {
        let signatures = self.signature.as_slice();
        signature::verify(&self.element, signatures, kind_signers, bad_nodes, at, crypto)
            .map_err(|kind| DocumentError::new(kind, "kind-signature", self.offset))
    }

    /// The `kind-block` element, as a ConfigUpdate carries it (CU-6).
    pub fn to_xml(&self) -> Result<String, EncodeError> {
        let signature = self.signature.as_ref().map(signature::encode).transpose()?;
        let signature = signature.map(|s| format!("<kind-signature>{s}</kind-signature>"));
        let element = String::from_utf8_lossy(&self.element);
        Ok(format!("<kind-block>{element}{}</kind-block>", signature.unwrap_or_default()))
    }

    /// Reads the content of a KindDescription: one or more `kind-block` elements with config-base for their default
    /// namespace (CU-6). Offsets of errors count from the start of the description.
    pub fn parse(description: &[u8]) -> Result<Vec<Self>, DocumentError> {
        let mut open = String::from("<kinds");
        for (prefix, namespace) in xml::PREFIXES {
            let (colon, prefix) = prefix.map_or(("", ""), |p| (":", p));
            open += &format!(" xmlns{colon}{prefix}=\"{namespace}\"");
        }
        open += ">";
        let before = open.len();
        let end = description.len();
        let shift =
            |e: DocumentError| DocumentError { offset: e.offset.saturating_sub(before).min(end), ..e };
        let description = core::str::from_utf8(description).map_err(|e| {
            DocumentError::new(DocumentErrorKind::NotWellFormed, "kind-block", e.valid_up_to())
        })?;
        let text = format!("{open}{description}</kinds>");
        let tree = xml::read(&text).map_err(shift)?;
        let blocks = Self::read_all(tree.root_element(), &Bytes::copy_from_slice(text.as_bytes()));
        let blocks = blocks.map_err(shift)?;
        blocks.into_iter().map(|block| block.map_err(shift)).collect()
    }

    /// Every `kind-block` that is a child of this element. One that asks for what this version cannot do is an error in
    /// the list; one that is broken is an error of all.
    pub(super) fn read_all(
        parent: Node<'_, '_>,
        file: &Bytes,
    ) -> Result<Vec<Result<Self, DocumentError>>, DocumentError> {
        let mut blocks = Vec::new();
        for node in parent.children().filter(|c| xml::is(c, xml::BASE, "kind-block")) {
            let item = Item::element("kind-block", node);
            if blocks.len() >= Self::MAX_BLOCKS {
                return Err(item.error(DocumentErrorKind::TooLarge));
            }
            match Self::read(node, file) {
                Err(e) if e.kind != DocumentErrorKind::Unsupported => return Err(e),
                block => blocks.push(block),
            }
        }
        let mut ids: Vec<KindId> = blocks.iter().flatten().map(|b: &KindBlock| b.definition.id).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|w| matches!(w, [a, b] if a == b)) {
            return Err(Item::element("kind-block", parent).error(DocumentErrorKind::Repeated));
        }
        Ok(blocks)
    }

    fn read(block: Node<'_, '_>, file: &Bytes) -> Result<Self, DocumentError> {
        let missing = Item::element("kind", block).error(DocumentErrorKind::Missing);
        let kind = only(block, xml::BASE, "kind")?.ok_or(missing)?;
        let definition = KindDefinition::read(kind)?;
        // A signature that cannot be read is as good as none: what counts is whether the Kind is signed.
        let name = "kind-signature";
        let signature = only(block, xml::BASE, name)?.map(|node| Item::element(name, node));
        let signature = signature.and_then(|item| signature::read(&item).ok());
        let range = kind.range();
        Ok(KindBlock { definition, offset: range.start, element: file.slice(range), signature })
    }
}
