//! RELOAD's code points (RFC 6940 §14): open numbers with names. Values without a name survive a round trip.

use super::Structure;
use crate::wire::{DecodeError, Reader, Writer};
use core::fmt;

/// Declares a newtype over an unsigned integer, its named constants, `name()`, `Debug`, `Display` and [`Structure`].
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident($int:ident) $field:literal { $($constant:ident = $value:literal $label:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl $name {
            $(
                #[doc = concat!("`", $label, "`")]
                pub const $constant: $name = $name($value);
            )*

            /// The name in the registry, if this number has one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($label),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{:#x}", self.0),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, concat!(stringify!($name), "({:#x})"), self.0),
                }
            }
        }

        impl Structure for $name {
            fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                r.$int($field).map($name)
            }

            fn write(&self, w: &mut Writer) {
                w.$int(self.0);
            }
        }
    )*};
}

numbers! {
    /// MessageCode (RFC 6940 §14.8). Requests are odd, their answers one more.
    MessageCode(u16) "message_code" {
        PROBE_REQ = 0x01 "probe_req",
        PROBE_ANS = 0x02 "probe_ans",
        ATTACH_REQ = 0x03 "attach_req",
        ATTACH_ANS = 0x04 "attach_ans",
        STORE_REQ = 0x07 "store_req",
        STORE_ANS = 0x08 "store_ans",
        FETCH_REQ = 0x09 "fetch_req",
        FETCH_ANS = 0x0a "fetch_ans",
        FIND_REQ = 0x0d "find_req",
        FIND_ANS = 0x0e "find_ans",
        JOIN_REQ = 0x0f "join_req",
        JOIN_ANS = 0x10 "join_ans",
        LEAVE_REQ = 0x11 "leave_req",
        LEAVE_ANS = 0x12 "leave_ans",
        UPDATE_REQ = 0x13 "update_req",
        UPDATE_ANS = 0x14 "update_ans",
        ROUTE_QUERY_REQ = 0x15 "route_query_req",
        ROUTE_QUERY_ANS = 0x16 "route_query_ans",
        PING_REQ = 0x17 "ping_req",
        PING_ANS = 0x18 "ping_ans",
        STAT_REQ = 0x19 "stat_req",
        STAT_ANS = 0x1a "stat_ans",
        APP_ATTACH_REQ = 0x1d "app_attach_req",
        APP_ATTACH_ANS = 0x1e "app_attach_ans",
        CONFIG_UPDATE_REQ = 0x21 "config_update_req",
        CONFIG_UPDATE_ANS = 0x22 "config_update_ans",
        EXP_A_REQ = 0x23 "exp_a_req",
        EXP_A_ANS = 0x24 "exp_a_ans",
        EXP_B_REQ = 0x25 "exp_b_req",
        EXP_B_ANS = 0x26 "exp_b_ans",
        PATH_TRACK_REQ = 0x27 "path_track_req",
        PATH_TRACK_ANS = 0x28 "path_track_ans",
        ERROR = 0xffff "error",
    }

    /// ErrorCode (RFC 6940 §6.3.3.1, §14.9).
    ErrorCode(u16) "error_code" {
        FORBIDDEN = 0x02 "Error_Forbidden",
        NOT_FOUND = 0x03 "Error_Not_Found",
        REQUEST_TIMEOUT = 0x04 "Error_Request_Timeout",
        GENERATION_COUNTER_TOO_LOW = 0x05 "Error_Generation_Counter_Too_Low",
        INCOMPATIBLE_WITH_OVERLAY = 0x06 "Error_Incompatible_with_Overlay",
        UNSUPPORTED_FORWARDING_OPTION = 0x07 "Error_Unsupported_Forwarding_Option",
        DATA_TOO_LARGE = 0x08 "Error_Data_Too_Large",
        DATA_TOO_OLD = 0x09 "Error_Data_Too_Old",
        TTL_EXCEEDED = 0x0a "Error_TTL_Exceeded",
        MESSAGE_TOO_LARGE = 0x0b "Error_Message_Too_Large",
        UNKNOWN_KIND = 0x0c "Error_Unknown_Kind",
        UNKNOWN_EXTENSION = 0x0d "Error_Unknown_Extension",
        RESPONSE_TOO_LARGE = 0x0e "Error_Response_Too_Large",
        CONFIG_TOO_OLD = 0x0f "Error_Config_Too_Old",
        CONFIG_TOO_NEW = 0x10 "Error_Config_Too_New",
        IN_PROGRESS = 0x11 "Error_In_Progress",
        EXP_A = 0x12 "Error_Exp_A",
        EXP_B = 0x13 "Error_Exp_B",
        INVALID_MESSAGE = 0x14 "Error_Invalid_Message",
    }

    /// KindId (RFC 6940 §14.6). The data model of a Kind is not on the wire: one has to know the Kind.
    KindId(u32) "kind" {
        SIP_REGISTRATION = 0x01 "SIP-REGISTRATION",
        TURN_SERVICE = 0x02 "TURN-SERVICE",
        CERTIFICATE_BY_NODE = 0x03 "CERTIFICATE_BY_NODE",
        ACCESS_CONTROL_LIST = 0x04 "ACCESS-CONTROL-LIST",
        CERTIFICATE_BY_USER = 0x10 "CERTIFICATE_BY_USER",
        REDIR = 0x104 "REDIR",
        CHANNEL = 0xf069_7074 "IPTV-CHANNEL",
    }

    /// ResourceNameType (RFC 8076 §5.2).
    ResourceNameType(u8) "type" {
        PATTERN = 1 "pattern",
    }

    /// SipRegistrationType (RFC 7904 §3.2).
    SipRegistrationType(u8) "type" {
        URI = 1 "sip_registration_uri",
        ROUTE = 2 "sip_registration_route",
    }

    /// RedirServiceProviderExtType (RFC 7374 §4.1). There is no registry for it.
    RedirServiceProviderExtType(u8) "type" {
        NONE = 0 "none",
        PROVIDER_RECORD = 0xf0 "provider_record",
    }

    /// MessageExtensionType (RFC 6940 §14.14).
    ExtensionType(u16) "type" {
        EXP = 0x01 "exp",
        DIAGNOSTIC_PING = 0x02 "Diagnostic_Ping",
        SELF_TUNING_DATA = 0x03 "self_tuning_data",
    }

    /// ForwardingOptionType (RFC 6940 §14.12).
    OptionType(u8) "type" {
        EXP_FORWARD = 0x01 "exp-forward",
        EXTENSIVE_ROUTING_MODE = 0x02 "extensive_routing_mode",
    }

    /// CertificateType (RFC 6091 §3.1).
    CertificateType(u8) "type" {
        X509 = 0 "X.509",
        OPEN_PGP = 1 "OpenPGP",
    }

    /// SignerIdentityType (RFC 6940 §6.3.4).
    SignerIdentityType(u8) "identity_type" {
        CERT_HASH = 1 "cert_hash",
        CERT_HASH_NODE_ID = 2 "cert_hash_node_id",
        NONE = 3 "none",
    }

    /// HashAlgorithm of TLS 1.2 (RFC 5246 §7.4.1.4.1).
    HashAlgorithm(u8) "hash_alg" {
        NONE = 0 "none",
        MD5 = 1 "md5",
        SHA1 = 2 "sha1",
        SHA224 = 3 "sha224",
        SHA256 = 4 "sha256",
        SHA384 = 5 "sha384",
        SHA512 = 6 "sha512",
    }

    /// SignatureAlgorithm of TLS 1.2 (RFC 5246 §7.4.1.4.1).
    SignatureAlgorithm(u8) "signature" {
        ANONYMOUS = 0 "anonymous",
        RSA = 1 "rsa",
        DSA = 2 "dsa",
        ECDSA = 3 "ecdsa",
    }

    /// OverlayLinkType (RFC 6940 §14.10): how a candidate is spoken to.
    OverlayLinkType(u8) "overlay_link" {
        DTLS_UDP_SR = 1 "DTLS-UDP-SR",
        DTLS_UDP_SR_NO_ICE = 3 "DTLS-UDP-SR-NO-ICE",
        TLS_TCP_FH_NO_ICE = 4 "TLS-TCP-FH-NO-ICE",
        EXP_LINK = 5 "EXP-LINK",
    }

    /// Application-ID (RFC 6940 §14.5): which application an AppAttach asks for.
    ApplicationId(u16) "application" {
        SIP = 5060 "SIP",
        SIPS = 5061 "SIPS",
    }

    /// ProbeInformationType (RFC 6940 §14.13).
    ProbeInformationType(u8) "type" {
        RESPONSIBLE_SET = 1 "responsible_set",
        NUM_RESOURCES = 2 "num_resources",
        UPTIME = 3 "uptime",
        EXP = 4 "exp_probe",
    }
}

impl ApplicationId {
    /// Whether this number is left to private use: 61441 to 65534 (AP-4).
    pub const fn is_private(self) -> bool {
        self.0 >= 61_441 && self.0 < u16::MAX
    }
}

impl MessageCode {
    /// Whether this is a request: an odd code of the registry's request/answer pairs (MC-1).
    pub const fn is_request(self) -> bool {
        self.0 & 1 == 1 && self.0 < 0x8000
    }

    /// The code of the answer to this request.
    pub const fn answer(self) -> MessageCode {
        MessageCode(self.0.wrapping_add(1))
    }
}
