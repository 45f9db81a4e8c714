//! Header names (RFC 3261 §7.3.1, §7.3.3): compared without case, a compact form is the long one.

use core::fmt;

/// A header name. The named constants know their compact forms; any other token is a name as well.
#[derive(Clone, Copy)]
pub struct Name<'a> {
    /// Which of the known names, or [`UNKNOWN`].
    id: u8,
    text: &'a str,
}

const UNKNOWN: u8 = u8::MAX;

macro_rules! names {
    ($($id:literal $name:ident $text:literal $(($compact:literal))?)*) => {
        impl Name<'static> {
            $(#[doc = concat!("`", $text, "`")]
              pub const $name: Name<'static> = Name { id: $id, text: $text };)*
        }

        /// By id: the canonical spelling and the compact form.
        const KNOWN: &[(&str, Option<u8>)] = &[$(($text, names!(@compact $($compact)?))),*];
    };
    (@compact) => { None };
    (@compact $c:literal) => { Some($c) };
}

names! {
    0 VIA "Via" (b'v')
    1 FROM "From" (b'f')
    2 TO "To" (b't')
    3 CALL_ID "Call-ID" (b'i')
    4 CSEQ "CSeq"
    5 CONTACT "Contact" (b'm')
    6 MAX_FORWARDS "Max-Forwards"
    7 CONTENT_TYPE "Content-Type" (b'c')
    8 CONTENT_LENGTH "Content-Length" (b'l')
    9 ROUTE "Route"
    10 RECORD_ROUTE "Record-Route"
    11 INFO_PACKAGE "Info-Package"
    12 RECV_INFO "Recv-Info"
    13 REQUIRE "Require"
    14 SUPPORTED "Supported" (b'k')
    15 UNSUPPORTED "Unsupported"
    16 ALLOW "Allow"
    17 ACCEPT "Accept"
    18 RETRY_AFTER "Retry-After"
    19 EXPIRES "Expires"
    20 PRIORITY "Priority"
    21 CONTENT_DISPOSITION "Content-Disposition"
    22 CONTENT_ENCODING "Content-Encoding" (b'e')
    23 PROXY_REQUIRE "Proxy-Require"
    24 SUBJECT "Subject" (b's')
    25 EVENT "Event" (b'o')
    26 REFER_TO "Refer-To" (b'r')
    27 REFERRED_BY "Referred-By" (b'b')
    28 SESSION_EXPIRES "Session-Expires" (b'x')
    29 ALLOW_EVENTS "Allow-Events" (b'u')
    30 ACCEPT_CONTACT "Accept-Contact" (b'a')
    31 REJECT_CONTACT "Reject-Contact" (b'j')
    32 REQUEST_DISPOSITION "Request-Disposition" (b'd')
    33 IDENTITY_INFO "Identity-Info" (b'n')
    34 IDENTITY "Identity" (b'y')
    35 REASON "Reason"
    36 USER_AGENT "User-Agent"
    37 SERVER "Server"
    38 DATE "Date"
    39 WARNING "Warning"
    40 TIMESTAMP "Timestamp"
    41 AUTHORIZATION "Authorization"
    42 WWW_AUTHENTICATE "WWW-Authenticate"
}

/// Where to look for a name in [`SLOTS`] first: its length and its outer letters, without case.
const fn slot_of(name: &[u8]) -> usize {
    match name {
        [] => 0,
        [letter] => *letter as usize % SLOTS_LEN,
        [first, .., last] => {
            (name.len() + (*first | 0x20) as usize * 5 + (*last | 0x20) as usize * 19) % SLOTS_LEN
        }
    }
}

const SLOTS_LEN: usize = 256;

/// The known names by [`slot_of`]; one whose slot is taken stands in the next free one.
static SLOTS: [u8; SLOTS_LEN] = {
    const fn place(slots: &mut [u8; SLOTS_LEN], name: &[u8], id: usize) {
        let mut slot = slot_of(name);
        while slots[slot] != UNKNOWN {
            slot = (slot + 1) % SLOTS_LEN;
        }
        slots[slot] = id as u8;
    }
    let mut slots = [UNKNOWN; SLOTS_LEN];
    let mut id = 0;
    while id < KNOWN.len() {
        place(&mut slots, KNOWN[id].0.as_bytes(), id);
        if let Some(letter) = KNOWN[id].1 {
            place(&mut slots, &[letter], id);
            place(&mut slots, &[letter.to_ascii_uppercase()], id);
        }
        id += 1;
    }
    slots
};

impl<'a> Name<'a> {
    /// The name with this spelling; a known one in its canonical spelling.
    pub fn new(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let mut slot = slot_of(bytes);
        while let Some((known, compact)) = KNOWN.get(usize::from(SLOTS[slot])) {
            let same = match bytes {
                [letter] => compact.is_some_and(|c| c == letter.to_ascii_lowercase()),
                _ => known.eq_ignore_ascii_case(text),
            };
            if same {
                return Name { id: SLOTS[slot], text: known };
            }
            slot = (slot + 1) % SLOTS.len();
        }
        Name { id: UNKNOWN, text }
    }

    /// The name of a header that was numbered with [`Name::id`].
    pub(super) fn from_parts(id: u8, text: &'a str) -> Self {
        match KNOWN.get(usize::from(id)) {
            Some((text, _)) => Name { id, text },
            None => Name { id: UNKNOWN, text },
        }
    }

    /// Whether it is one of those that have a number of their own.
    pub(super) fn is_known(self) -> bool {
        self.id != UNKNOWN
    }

    /// A number for the index of a message: equal for equal known names, one for all unknown names.
    pub(super) fn id(self) -> u8 {
        self.id
    }

    /// The canonical spelling of a known name, and an unknown one as it was written.
    pub fn as_str(self) -> &'a str {
        self.text
    }
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && (self.id != UNKNOWN || self.text.eq_ignore_ascii_case(other.text))
    }
}

impl Eq for Name<'_> {}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_compact_forms_make_no_difference() {
        for (spelling, name) in
            [("vIa", Name::VIA), ("V", Name::VIA), ("l", Name::CONTENT_LENGTH), ("M", Name::CONTACT)]
        {
            assert_eq!(Name::new(spelling), name);
        }
        assert_eq!(Name::new("CONTENT-length").as_str(), "Content-Length");
    }

    #[test]
    fn every_known_name_has_the_number_of_its_row() {
        for (id, (text, compact)) in KNOWN.iter().enumerate() {
            assert_eq!(usize::from(Name::new(text).id()), id, "{text}");
            if let Some(letter) = compact {
                let letter = [*letter];
                assert_eq!(usize::from(Name::new(core::str::from_utf8(&letter).unwrap()).id()), id, "{text}");
            }
        }
        assert_eq!(Name::VIA.id(), 0);
        assert_eq!(Name::new(Name::WWW_AUTHENTICATE.as_str()), Name::WWW_AUTHENTICATE);
    }

    #[test]
    fn a_percent_sign_escapes_nothing_in_a_name() {
        assert_ne!(Name::new("C%6Fntact"), Name::CONTACT);
        assert_eq!(Name::new("c%6fNTACT"), Name::new("C%6Fntact"));
    }
}
