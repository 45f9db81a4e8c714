//! Enrollment: a certificate from an enrollment server (RFC 6940 §11.3). Here are the bodies of the HTTPS exchange; the
//! connection itself, and whether the server's certificate matches the overlay's name, is the host's.
//!
//! ```text
//! POST url                                   Content-Type: multipart/form-data; boundary=...
//!   username, password                       Accept: application/pkix-cert
//!   nodeids        how many Node-IDs, when more than one
//!   csr            PKCS #10 (DER), application/pkcs10
//!
//! 200 application/pkix-cert                  the certificate (DER)
//! 403 text/plain                             a token: failed_authentication, username_not_available ...
//! ```
//!
//! The certificate still has to be checked: its chain, its names, its Node-IDs (CE-6). [`Crypto`](crate::env::Crypto)
//! implementations do that.

use crate::env::Entropy;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// What the Accept header of the request says, and the Content-Type of a good answer.
pub const CERTIFICATE_TYPE: &str = "application/pkix-cert";
/// The Content-Type of the signing request inside of the form.
const REQUEST_TYPE: &str = "application/pkcs10";
/// The largest certificate that is taken: what fits into a GenericCertificate (RFC 6940 §6.3.4).
const MAX_CERTIFICATE: usize = u16::MAX as usize;
/// The longest body that is searched for a token; the longest token has 22 letters.
const MAX_TOKEN: usize = 64;

/// What a node asks of the enrollment server.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrollmentRequest {
    /// Account name and password, when the server asks for them. They are compared as bytes.
    pub account: Option<(String, String)>,
    /// How many Node-IDs; most nodes need one.
    pub node_ids: u32,
    /// The certificate signing request (PKCS #10, DER).
    pub csr: Bytes,
}

/// Says nothing of the password.
impl core::fmt::Debug for EnrollmentRequest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EnrollmentRequest")
            .field("username", &self.account.as_ref().map(|(name, _)| name))
            .field("node_ids", &self.node_ids)
            .field("csr", &self.csr.len())
            .finish()
    }
}

/// The body of an HTTP POST.
#[derive(Clone, PartialEq, Eq)]
pub struct Form {
    /// The Content-Type header, with the boundary in it.
    pub content_type: String,
    /// The body. There may be a password in it.
    pub body: Bytes,
}

impl EnrollmentRequest {
    /// The form (RFC 2388). Its boundary is random, and one that occurs nowhere in the values.
    pub fn to_form(&self, entropy: &mut dyn Entropy) -> Form {
        let node_ids = format!("{}", self.node_ids);
        let mut parts: Vec<(&str, &str, &[u8])> = Vec::new();
        if let Some((username, password)) = &self.account {
            parts.push(("username", "text/plain; charset=utf-8", username.as_bytes()));
            parts.push(("password", "text/plain; charset=utf-8", password.as_bytes()));
        }
        if self.node_ids > 1 {
            parts.push(("nodeids", "text/plain; charset=utf-8", node_ids.as_bytes()));
        }
        parts.push(("csr", REQUEST_TYPE, &self.csr));
        // The number makes each try another, so that this ends.
        let tries = (0u32..).map(|n| format!("{:016x}{:016x}-{n}", entropy.next_u64(), entropy.next_u64()));
        let boundary = tries.into_iter().find(|boundary| {
            let inside = |value: &[u8]| value.windows(boundary.len()).any(|w| w == boundary.as_bytes());
            !parts.iter().any(|(.., value)| inside(value))
        });
        let boundary = boundary.unwrap_or_default();
        let mut body = Vec::new();
        for (name, content_type, value) in parts {
            let head = format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\
                 Content-Type: {content_type}\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(value);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        Form { content_type: format!("multipart/form-data; boundary={boundary}"), body: body.into() }
    }
}

/// Why there is no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnrollmentError {
    /// The account name and the password do not go together.
    #[error("wrong account name or password")]
    FailedAuthentication,
    /// The user name in the request is not to be had.
    #[error("the user name is not available")]
    UserNameNotAvailable,
    /// So many Node-IDs are not to be had.
    #[error("so many Node-IDs are not available")]
    NodeIdsNotAvailable,
    /// Something else is wrong with the signing request.
    #[error("the signing request was refused")]
    BadCsr,
    /// The answer is none that RFC 6940 knows.
    #[error("refused for an unknown reason")]
    Unknown,
}

impl EnrollmentError {
    const TOKENS: [(&str, EnrollmentError); 4] = [
        ("failed_authentication", EnrollmentError::FailedAuthentication),
        ("username_not_available", EnrollmentError::UserNameNotAvailable),
        ("Node-IDs_not_available", EnrollmentError::NodeIdsNotAvailable),
        ("bad_CSR", EnrollmentError::BadCsr),
    ];

    /// The token in the body of the answer; a server that knows no better says `bad_CSR`.
    pub fn token(self) -> &'static str {
        Self::TOKENS.iter().find(|(_, error)| *error == self).map_or("bad_CSR", |(token, _)| token)
    }

    fn of(body: &[u8]) -> Self {
        let body = body.get(..MAX_TOKEN).unwrap_or(body);
        let body = body.trim_ascii();
        let known = Self::TOKENS.iter().find(|(token, _)| token.as_bytes() == body);
        known.map_or(EnrollmentError::Unknown, |(_, error)| *error)
    }
}

/// Reads the answer of the enrollment server: the certificate (DER), not checked yet.
pub fn certificate(status: u16, content_type: &str, body: &Bytes) -> Result<Bytes, EnrollmentError> {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    match status {
        200 if media_type.eq_ignore_ascii_case(CERTIFICATE_TYPE)
            && (1..=MAX_CERTIFICATE).contains(&body.len()) =>
        {
            Ok(body.clone())
        }
        403 => Err(EnrollmentError::of(body)),
        _ => Err(EnrollmentError::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Seeded;

    fn request() -> EnrollmentRequest {
        EnrollmentRequest {
            account: Some((String::from("alice"), String::from("pa\"ss & wörd"))),
            node_ids: 1,
            csr: Bytes::from_static(b"\x30\x03\r\n--\xff"),
        }
    }

    fn fill(template: &str, boundary: &str) -> Vec<u8> {
        template.replace('\n', "\r\n").replace("BOUNDARY", boundary).into_bytes()
    }

    #[test]
    fn ce3_the_form_has_exactly_these_parts() {
        let form = request().to_form(&mut Seeded::new(1));
        let (media_type, boundary) = form.content_type.split_once("; boundary=").unwrap();
        assert_eq!(media_type, "multipart/form-data");
        let text = "--BOUNDARY\nContent-Disposition: form-data; name=\"username\"\n\
                    Content-Type: text/plain; charset=utf-8\n\nalice\n\
                    --BOUNDARY\nContent-Disposition: form-data; name=\"password\"\n\
                    Content-Type: text/plain; charset=utf-8\n\npa\"ss & wörd\n\
                    --BOUNDARY\nContent-Disposition: form-data; name=\"csr\"\n\
                    Content-Type: application/pkcs10\n\n";
        let mut expected = fill(text, boundary);
        expected.extend_from_slice(&request().csr);
        expected.extend(fill("\n--BOUNDARY--\n", boundary));
        assert_eq!(form.body, expected);
    }

    #[test]
    fn ce3_a_number_of_node_ids_is_given_when_it_is_more_than_one() {
        let form = EnrollmentRequest { account: None, node_ids: 2, ..request() }.to_form(&mut Seeded::new(1));
        let boundary = form.content_type.split_once("; boundary=").unwrap().1;
        let begin = fill(
            "--BOUNDARY\nContent-Disposition: form-data; name=\"nodeids\"\n\
             Content-Type: text/plain; charset=utf-8\n\n2\n--BOUNDARY\n",
            boundary,
        );
        assert!(form.body.starts_with(&begin), "no account, no account name");
    }

    #[test]
    fn ce3_a_boundary_that_stands_in_a_value_is_not_used() {
        let used = |form: &Form| String::from(form.content_type.split_once("boundary=").unwrap().1);
        let unlucky = used(&request().to_form(&mut Seeded::new(1)));
        let hostile = EnrollmentRequest { csr: Bytes::from(unlucky.clone()), ..request() };
        assert_ne!(used(&hostile.to_form(&mut Seeded::new(1))), unlucky);
    }

    #[test]
    fn ce3_a_password_is_not_shown() {
        let shown = format!("{:?}", request());
        assert!(shown.contains("alice") && !shown.contains("pa\"ss") && !shown.contains("wörd"), "{shown}");
    }

    #[test]
    fn ce4_a_good_answer_is_a_certificate() {
        let der = Bytes::from_static(b"\x30\x00");
        assert_eq!(certificate(200, "application/pkix-cert", &der), Ok(der.clone()));
        assert_eq!(certificate(200, "Application/PKIX-cert; x=y", &der), Ok(der.clone()));
        for (status, content_type, body) in [
            (200, "text/html", der.clone()),
            (200, CERTIFICATE_TYPE, Bytes::new()),
            (302, CERTIFICATE_TYPE, der),
        ] {
            assert_eq!(certificate(status, content_type, &body), Err(EnrollmentError::Unknown));
        }
        let large = Bytes::from(alloc::vec![0; 65_536]);
        assert_eq!(certificate(200, CERTIFICATE_TYPE, &large), Err(EnrollmentError::Unknown));
    }

    #[test]
    fn ce5_each_token_has_its_meaning_and_another_is_an_unknown_reason() {
        let read =
            |token: &'static str| certificate(403, "text/plain", &Bytes::from_static(token.as_bytes()));
        for (token, error) in EnrollmentError::TOKENS {
            assert_eq!(read(token), Err(error));
            assert_eq!(error.token(), token);
        }
        assert_eq!(read(" bad_CSR\r\n"), Err(EnrollmentError::BadCsr));
        assert_eq!(read("bad_csr"), Err(EnrollmentError::Unknown), "the case counts");
        assert_eq!(read("out_of_coffee"), Err(EnrollmentError::Unknown));
        assert_eq!(read(""), Err(EnrollmentError::Unknown));
    }
}
