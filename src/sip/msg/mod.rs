//! SIP messages (RFC 3261 §7, §19, §20, §25): a parser that allocates nothing, and a builder that cannot be injected.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `message` | [`Message`], [`Request`], [`Response`]: a received message and its typed parts |
//! | `head` | where a message ends and where its headers are; [`Headers`], the ordered list with typed accessors |
//! | `name`, `method`, `status` | [`Name`], [`Method`] with [`CSeq`], [`Status`]: the open vocabularies |
//! | `uri`, `params`, `address`, `via` | [`SipUri`], [`Params`], [`NameAddr`], [`Via`]: values with a grammar of their own |
//! | `media_type` | [`MediaType`]: Content-Type and Accept |
//! | `contact` | the contact-params of this system: `node-id`, `slots`, `depth`, `slot`, `standby`, `resume` |
//! | `judge` | [`judge`](judge::judge): is this request served, answered with an error, or dropped? |
//! | `builder` | [`RequestBuilder`], [`ResponseBuilder`] |
//! | `canonical` | a received message as the builders would have written it |
//! | `scan` | the leaf scanners of RFC 3261 §25.1 |
//!
//! Values borrow from the message they were read from; each has an `into_owned` for what must outlive it.

mod address;
mod builder;
mod canonical;
mod contact;
mod head;
mod judge;
mod media_type;
mod message;
mod method;
mod name;
mod params;
mod scan;
mod status;
mod uri;
mod via;

pub use address::NameAddr;
pub use builder::{BuildError, RequestBuilder, ResponseBuilder};
pub use head::{Headers, Tolerance, Values};
pub use judge::{Capabilities, Refusal, judge, judge_response};
pub use media_type::MediaType;
pub use message::{Message, Request, Response};
pub use method::{CSeq, Method};
pub use name::Name;
pub use params::Params;
pub use status::Status;
pub use uri::{Host, SipUri, Uri};
pub use via::{Transport, Via};

/// The most bytes that the start line and the headers of a message may have together.
pub const MAX_HEAD: usize = 16 * 1024;
/// The most bytes that a body may have.
pub const MAX_BODY: usize = 32 * 1024;
/// The most header rows of a message.
pub const MAX_HEADERS: usize = 96;
/// The most values of one list header, all its rows together (RFC 3261 §7.3.1).
pub const MAX_VALUES: usize = 128;
