//! The bodies of all methods.
//!
//! | module | methods |
//! | --- | --- |
//! | [`probe`] | Probe, Ping, RouteQuery (§6.4.2.4, §6.4.2.5, §6.5.3) |
//! | [`attach`] | Attach, AppAttach (§6.5.1, §6.5.2) |
//! | [`data`] | Store, Fetch, Stat, Find (§7.4) |
//! | [`membership`] | Join, Leave (§6.4.2.1, §6.4.2.2); the body of an Update is [`ChordUpdate`] |
//! | [`config_update`] | ConfigUpdate (§6.5.4) |

use super::{ChordRouteQueryAns, ChordUpdate, ErrorResponse, MessageCode, Structure};
use crate::wire::{DecodeError, EncodeError, Reader, Writer};
use bytes::Bytes;

pub mod attach;
pub mod config_update;
pub mod data;
pub mod membership;
pub mod probe;

pub use attach::{AppAttach, AttachReqAns, CandidateType, IceCandidate, IceExtension};
pub use config_update::ConfigUpdateReq;
pub use data::{
    ArrayRange, FetchAns, FetchKindResponse, FetchReq, FindAns, FindKindData, FindReq, Selection, StatAns,
    StatKindResponse, StoreAns, StoreKindData, StoreKindResponse, StoreReq, StoredDataSpecifier,
};
pub use membership::{JoinAns, JoinReq, LeaveReq};
pub use probe::{PingAns, PingReq, ProbeAns, ProbeInformation, ProbeReq, RouteQueryReq};

/// A body without fields: LeaveAns, UpdateAns, ConfigUpdateAns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Empty;

impl Structure for Empty {
    fn read(_: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Empty)
    }

    fn write(&self, _: &mut Writer) {}
}

/// Declares [`Body`]: one variant for each message code, and the conversions.
macro_rules! bodies {
    ($($variant:ident($structure:ty) = $code:ident,)*) => {
        /// A body of any method.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Body {
            $(
                #[doc = concat!("[`MessageCode::", stringify!($code), "`]")]
                $variant($structure),
            )*
            /// A body that this version cannot read.
            Unknown {
                /// A code that stands in no other variant.
                message_code: MessageCode,
                /// The body.
                message_body: Bytes,
            },
        }

        impl Body {
            /// The code of its message.
            pub const fn message_code(&self) -> MessageCode {
                match self {
                    $(Body::$variant(_) => MessageCode::$code,)*
                    Body::Unknown { message_code, .. } => *message_code,
                }
            }

            /// Reads the body of a message with this code. Bytes behind it are refused (EN-8).
            pub fn decode(message_code: MessageCode, message_body: &Bytes) -> Result<Self, DecodeError> {
                match message_code {
                    $(MessageCode::$code => Structure::decode(message_body).map(Body::$variant),)*
                    _ => Ok(Body::Unknown { message_code, message_body: message_body.clone() }),
                }
            }

            /// The body as bytes.
            pub fn encode(&self) -> Result<Bytes, EncodeError> {
                match self {
                    $(Body::$variant(body) => body.encode(),)*
                    Body::Unknown { message_body, .. } => Ok(message_body.clone()),
                }
            }
        }
    };
}

bodies! {
    ProbeReq(ProbeReq) = PROBE_REQ,
    ProbeAns(ProbeAns) = PROBE_ANS,
    AttachReq(AttachReqAns) = ATTACH_REQ,
    AttachAns(AttachReqAns) = ATTACH_ANS,
    StoreReq(StoreReq) = STORE_REQ,
    StoreAns(StoreAns) = STORE_ANS,
    FetchReq(FetchReq) = FETCH_REQ,
    FetchAns(FetchAns) = FETCH_ANS,
    FindReq(FindReq) = FIND_REQ,
    FindAns(FindAns) = FIND_ANS,
    JoinReq(JoinReq) = JOIN_REQ,
    JoinAns(JoinAns) = JOIN_ANS,
    LeaveReq(LeaveReq) = LEAVE_REQ,
    LeaveAns(Empty) = LEAVE_ANS,
    UpdateReq(ChordUpdate) = UPDATE_REQ,
    UpdateAns(Empty) = UPDATE_ANS,
    RouteQueryReq(RouteQueryReq) = ROUTE_QUERY_REQ,
    RouteQueryAns(ChordRouteQueryAns) = ROUTE_QUERY_ANS,
    PingReq(PingReq) = PING_REQ,
    PingAns(PingAns) = PING_ANS,
    StatReq(FetchReq) = STAT_REQ,
    StatAns(StatAns) = STAT_ANS,
    AppAttachReq(AppAttach) = APP_ATTACH_REQ,
    AppAttachAns(AppAttach) = APP_ATTACH_ANS,
    ConfigUpdateReq(ConfigUpdateReq) = CONFIG_UPDATE_REQ,
    ConfigUpdateAns(Empty) = CONFIG_UPDATE_ANS,
    Error(ErrorResponse) = ERROR,
}
