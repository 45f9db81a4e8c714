//! Where the configuration document of an overlay can be fetched (RFC 6940 §11.2). Fetching it is the host's work.
//!
//! ```text
//! a URL is known       GET it          the server's certificate must match the domain name in the URL
//! only the name is     SRV, then GET   the server's certificate must match the overlay name
//! ```
//!
//! Names are matched as RFC 2818 has it. A document whose instance-name is not the overlay's is thrown away
//! ([`Document::parse`](super::Document::parse) finds none); any other takes the place of the one that was there.

use alloc::format;
use alloc::string::String;

/// The path of the document on a configuration server.
pub const PATH: &str = "/.well-known/reload-config";

/// The SRV record that names the configuration servers of an overlay.
pub fn srv_name(overlay_name: &str) -> String {
    format!("_reload-config._tcp.{overlay_name}")
}

/// The URL of the document of an overlay. Its address is that of a host that [`srv_name`] tells; the certificate, the SNI
/// and the Host header have the overlay's name.
pub fn url(overlay_name: &str) -> String {
    format!("https://{overlay_name}{PATH}")
}

/// The name that the certificate of a configuration server must match: the domain name in the URL when one was given,
/// the overlay name otherwise. `None` when that is not an `https` URL with a host in it.
pub fn certificate_name<'a>(overlay_name: &'a str, given_url: Option<&'a str>) -> Option<&'a str> {
    let Some(url) = given_url else { return Some(overlay_name) };
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host_port.strip_prefix('[') {
        Some(literal) => literal.split_once(']')?.0,
        None => host_port.split_once(':').map_or(host_port, |(host, _)| host),
    };
    (scheme.eq_ignore_ascii_case("https") && !host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cf7_an_overlay_without_a_url_is_looked_up_by_its_name() {
        assert_eq!(srv_name("example.com"), "_reload-config._tcp.example.com");
        assert_eq!(url("example.com"), "https://example.com/.well-known/reload-config");
        assert_eq!(certificate_name("example.com", None), Some("example.com"));
    }

    #[test]
    fn cf7_a_given_url_is_what_the_certificate_must_match() {
        let name = |url| certificate_name("example.com", Some(url));
        assert_eq!(name("https://conf.example.net/overlay.relo"), Some("conf.example.net"));
        assert_eq!(name("HTTPS://user:pw@conf.example.net:8443?x"), Some("conf.example.net"));
        assert_eq!(name("https://[2001:db8::1]:443/x"), Some("2001:db8::1"));
        for bad in ["http://conf.example.net/", "conf.example.net", "https:///x", "https://[::1/x"] {
            assert_eq!(name(bad), None, "{bad}");
        }
    }
}
