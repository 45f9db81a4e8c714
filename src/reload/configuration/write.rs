//! From a configuration to a document.

use super::xml::{self, to_base64, to_utc};
use super::{Configuration, Document, DocumentError, DocumentErrorKind, SelfSignedDigest, signature};
use crate::env::Crypto;
use crate::wire::EncodeError;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Display;

impl Configuration {
    /// Makes a document, signed by these signers; none for the first one, which nobody could check.
    ///
    /// It is read again before it is given out, so that nothing is made that cannot be read: an error names the element.
    pub fn to_document(&self, signers: &[&dyn Crypto]) -> Result<Document, DocumentError> {
        let too_large = |_: EncodeError| DocumentError::new(DocumentErrorKind::TooLarge, "configuration", 0);
        let element = self.to_xml().map_err(too_large)?;
        let mut file = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        file += &format!("<overlay xmlns=\"{}\"\n    xmlns:chord=\"{}\">\n", xml::BASE, xml::CHORD);
        file += &element;
        for signer in signers {
            let security = signature::sign(element.as_bytes(), *signer).map_err(too_large)?;
            let signature = signature::encode(&security).map_err(too_large)?;
            file += &format!("\n<signature>{signature}</signature>");
        }
        file += "\n</overlay>\n";
        let document = Document::parse(file.as_bytes(), &self.instance_name)?;
        if document.unsupported().is_none() && document.configuration().to_xml().as_ref() != Ok(&element) {
            return Err(DocumentError::new(DocumentErrorKind::InvalidValue, "configuration", 0));
        }
        Ok(document)
    }

    /// The configuration element. What has its default value is left out.
    fn to_xml(&self) -> Result<String, EncodeError> {
        let default = Configuration::new(&self.instance_name);
        let expiration = self.expiration.map(|t| format!(" expiration=\"{}\"", to_utc(t)));
        let mut out = Lines(format!(
            "<configuration instance-name=\"{}\" sequence=\"{}\"{}>\n",
            escaped(&self.instance_name),
            self.sequence,
            expiration.unwrap_or_default()
        ));
        out.unless(&default.topology_plugin, "topology-plugin", &self.topology_plugin);
        out.unless(&default.node_id_length, "node-id-length", &self.node_id_length);
        out.each("root-cert", self.root_certs.iter().map(|der| to_base64(der)));
        out.each("enrollment-server", &self.enrollment_servers);
        if let Some(digest) = self.self_signed_permitted.map(SelfSignedDigest::as_str) {
            out.line(&format!("<self-signed-permitted digest=\"{digest}\">true</self-signed-permitted>"));
        }
        for node in &self.bootstrap_nodes {
            let (ip, port) = (node.ip(), node.port());
            out.line(&format!("<bootstrap-node address=\"{ip}\" port=\"{port}\"/>"));
        }
        out.unless(&default.turn_density, "turn-density", &self.turn_density);
        out.unless(&default.clients_permitted, "clients-permitted", &self.clients_permitted);
        out.unless(&default.no_ice, "no-ice", &self.no_ice);
        let seconds = [&default, self].map(|c| c.chord_update_interval.as_secs());
        out.unless(&seconds[0], "chord:chord-update-interval", &seconds[1]);
        let seconds = [&default, self].map(|c| c.chord_ping_interval.as_secs());
        out.unless(&seconds[0], "chord:chord-ping-interval", &seconds[1]);
        out.unless(&default.chord_reactive, "chord:chord-reactive", &self.chord_reactive);
        out.each("shared-secret", &self.shared_secret);
        out.unless(&default.max_message_size, "max-message-size", &self.max_message_size);
        out.unless(&default.initial_ttl, "initial-ttl", &self.initial_ttl);
        let millis = [&default, self].map(|c| c.overlay_reliability_timer.as_millis());
        out.unless(&millis[0], "overlay-reliability-timer", &millis[1]);
        out.each("overlay-link-protocol", &self.overlay_link_protocols);
        out.each("kind-signer", &self.kind_signers);
        out.each("configuration-signer", &self.configuration_signers);
        out.each("bad-node", &self.bad_nodes);
        out.each("mandatory-extension", &self.mandatory_extensions);
        if !self.kinds.is_empty() {
            out.line("<required-kinds>");
            for block in &self.kinds {
                out.line(&format!("  {}", block.to_xml()?));
            }
            out.line("</required-kinds>");
        }
        out.0 += "</configuration>";
        Ok(out.0)
    }
}

/// Elements, one on each line.
struct Lines(String);

impl Lines {
    fn line(&mut self, line: &str) {
        self.0 += &format!("  {line}\n");
    }

    fn element(&mut self, name: &str, value: &impl Display) {
        self.line(&format!("<{name}>{}</{name}>", escaped(&value.to_string())));
    }

    fn unless<V: Display + PartialEq>(&mut self, default: &V, name: &str, value: &V) {
        if value != default {
            self.element(name, value);
        }
    }

    fn each<V: Display>(&mut self, name: &str, values: impl IntoIterator<Item = V>) {
        values.into_iter().for_each(|value| self.element(name, &value));
    }
}

/// Text as it may stand in an element or an attribute.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
