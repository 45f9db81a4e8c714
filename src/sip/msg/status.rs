//! Status codes (RFC 3261 §21, RFC 6086 §4.2.2).

use core::fmt;

/// A status code, 100 to 699. Codes without a name here are as good as those with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(u16);

macro_rules! statuses {
    ($($name:ident $code:literal $reason:literal)*) => {
        impl Status {
            $(#[doc = concat!("`", $code, " ", $reason, "`")] pub const $name: Status = Status($code);)*

            /// The reason phrase that RFC 3261 §21 recommends, or that of the class.
            pub const fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    100..=199 => "Progress",
                    200..=299 => "Success",
                    300..=399 => "Redirection",
                    400..=499 => "Request Failure",
                    500..=599 => "Server Failure",
                    _ => "Global Failure",
                }
            }
        }
    };
}

statuses! {
    TRYING 100 "Trying"
    RINGING 180 "Ringing"
    QUEUED 182 "Queued"
    SESSION_PROGRESS 183 "Session Progress"
    OK 200 "OK"
    MOVED_TEMPORARILY 302 "Moved Temporarily"
    BAD_REQUEST 400 "Bad Request"
    FORBIDDEN 403 "Forbidden"
    NOT_FOUND 404 "Not Found"
    METHOD_NOT_ALLOWED 405 "Method Not Allowed"
    NOT_ACCEPTABLE 406 "Not Acceptable"
    REQUEST_TIMEOUT 408 "Request Timeout"
    MESSAGE_BODY_TOO_LARGE 413 "Request Entity Too Large"
    UNSUPPORTED_MEDIA_TYPE 415 "Unsupported Media Type"
    UNSUPPORTED_URI_SCHEME 416 "Unsupported URI Scheme"
    BAD_EXTENSION 420 "Bad Extension"
    BAD_INFO_PACKAGE 469 "Bad Info Package"
    TEMPORARILY_UNAVAILABLE 480 "Temporarily Unavailable"
    NO_SUCH_CALL 481 "Call/Transaction Does Not Exist"
    LOOP_DETECTED 482 "Loop Detected"
    TOO_MANY_HOPS 483 "Too Many Hops"
    BUSY_HERE 486 "Busy Here"
    REQUEST_TERMINATED 487 "Request Terminated"
    NOT_ACCEPTABLE_HERE 488 "Not Acceptable Here"
    REQUEST_PENDING 491 "Request Pending"
    SERVER_INTERNAL_ERROR 500 "Server Internal Error"
    NOT_IMPLEMENTED 501 "Not Implemented"
    SERVICE_UNAVAILABLE 503 "Service Unavailable"
    VERSION_NOT_SUPPORTED 505 "Version Not Supported"
    MESSAGE_TOO_LARGE 513 "Message Too Large"
    DECLINE 603 "Decline"
}

impl Status {
    /// `None` outside 100 to 699.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            100..=699 => Some(Status(code)),
            _ => None,
        }
    }

    /// The number.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// 1xx: the transaction goes on.
    pub const fn is_provisional(self) -> bool {
        self.0 < 200
    }

    /// 2xx to 6xx: the transaction is answered.
    pub const fn is_final(self) -> bool {
        !self.is_provisional()
    }

    /// 2xx.
    pub const fn is_success(self) -> bool {
        self.0 / 100 == 2
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_outside_the_six_classes_do_not_exist() {
        assert_eq!(Status::new(99), None);
        assert_eq!(Status::new(700), None);
        assert_eq!(Status::new(699).map(Status::reason), Some("Global Failure"));
        assert_eq!(Status::new(487), Some(Status::REQUEST_TERMINATED));
    }

    #[test]
    fn only_100_to_199_are_provisional() {
        assert!(Status::RINGING.is_provisional() && !Status::OK.is_provisional());
        assert!(Status::OK.is_success() && !Status::MOVED_TEMPORARILY.is_success());
    }
}
