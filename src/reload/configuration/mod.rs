//! The overlay configuration document (RFC 6940 §11.1): what every node of an overlay has to know, in one XML file.
//!
//! ```text
//! <overlay>
//!   <configuration instance-name sequence>      Configuration: name, timers, signers, bad nodes ...
//!     <required-kinds>
//!       <kind-block>
//!         <kind/>            ◀─ kind-signature: by a kind-signer of this document
//!         <kind-signature/>
//!   </configuration>         ◀─ signature: by a configuration-signer of the document before this one
//!   <signature/>
//! </overlay>
//! ```
//!
//! | file | what |
//! | --- | --- |
//! | `document` | [`Document`]: a file, the element in it that is meant, who signed it |
//! | `model` | [`Configuration`]: what the element says, with the RFC's defaults |
//! | `parse`, `write` | from the element to the configuration and back |
//! | `kind` | [`KindBlock`], [`KindDefinition`]: the Kinds of an overlay, signed one by one |
//! | `signature` | [`signature_input`]: exactly which bytes are signed |
//! | [`sequence`] | which of two numbers is older (§6.3.2.1) |
//! | [`discovery`] | where a document can be fetched (§11.2) |
//! | `xml` | XML Schema's values |
//! | `error` | [`DocumentError`] |
//!
//! The signed elements are never written anew: [`Document`] keeps the file as it came. A document is changed by taking its
//! [`Configuration`], changing that, and making the next document of it ([`Configuration::to_document`]).

pub mod discovery;
mod document;
mod error;
mod kind;
mod model;
mod parse;
pub mod sequence;
mod signature;
mod write;
mod xml;

pub use document::Document;
pub use error::{DocumentError, DocumentErrorKind};
pub use kind::{KindBlock, KindDefinition};
pub use model::{Configuration, SelfSignedDigest};
pub use signature::signature_input;
