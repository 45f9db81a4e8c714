//! What a `configuration` element says (RFC 6940 §11.1).

use super::KindBlock;
use crate::env::Entropy;
use crate::ids::NodeId;
use crate::time::UnixMillis;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;

/// How the Node-ID of a self-signed certificate follows from its key (RFC 6940 §11.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfSignedDigest {
    /// `sha1`
    Sha1,
    /// `sha256`
    Sha256,
}

impl SelfSignedDigest {
    /// The value of the `digest` attribute.
    pub const fn as_str(self) -> &'static str {
        match self {
            SelfSignedDigest::Sha1 => "sha1",
            SelfSignedDigest::Sha256 => "sha256",
        }
    }
}

/// The configuration of an overlay instance. [`Configuration::new`] has the RFC's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// instance-name: the overlay name.
    pub instance_name: String,
    /// sequence: 0 to 65534, one more with each version ([`sequence`](super::sequence)).
    pub sequence: u16,
    /// expiration: when this version stops being valid.
    pub expiration: Option<UnixMillis>,
    /// topology-plugin: the overlay algorithm; CHORD-RELOAD.
    pub topology_plugin: String,
    /// node-id-length: bytes of a Node-ID, 16 to 20. This crate has 16.
    pub node_id_length: u8,
    /// root-cert: trust anchors (DER).
    pub root_certs: Vec<Bytes>,
    /// enrollment-server: https URLs.
    pub enrollment_servers: Vec<String>,
    /// self-signed-permitted: the digest when they are, `None` when they are not.
    pub self_signed_permitted: Option<SelfSignedDigest>,
    /// bootstrap-node: addresses to join through; the port is 6084 where none is given.
    pub bootstrap_nodes: Vec<SocketAddr>,
    /// turn-density: one node of so many can be a TURN server; 0 for none. 1.
    pub turn_density: u8,
    /// clients-permitted: whether a node may stay a client after its join; true.
    pub clients_permitted: bool,
    /// no-ice: whether links are made without ICE; false.
    pub no_ice: bool,
    /// chord:chord-update-interval; 600 s.
    pub chord_update_interval: Duration,
    /// chord:chord-ping-interval; 3600 s.
    pub chord_ping_interval: Duration,
    /// chord:chord-reactive: whether changes are told at once (RFC 6940 §10.7); true.
    pub chord_reactive: bool,
    /// shared-secret. A document with one is confidential.
    pub shared_secret: Option<String>,
    /// max-message-size, in bytes; 5000.
    pub max_message_size: u32,
    /// initial-ttl; 100.
    pub initial_ttl: u8,
    /// overlay-reliability-timer, 200 ms at least; 3000 ms.
    pub overlay_reliability_timer: Duration,
    /// overlay-link-protocol: those permitted; `TLS` (which is TLS and DTLS) when none is listed.
    pub overlay_link_protocols: Vec<String>,
    /// kind-signer: who may sign Kinds.
    pub kind_signers: Vec<NodeId>,
    /// configuration-signer: who may sign the next version.
    pub configuration_signers: Vec<NodeId>,
    /// bad-node: whose certificates are not valid.
    pub bad_nodes: Vec<NodeId>,
    /// mandatory-extension: namespaces that every node must understand.
    pub mandatory_extensions: Vec<String>,
    /// required-kinds, each with its signature.
    pub kinds: Vec<KindBlock>,
}

impl Configuration {
    /// `TLS`: the link protocols with security (RFC 6940 §14.11).
    pub const TLS: &str = "TLS";
    /// One of those alone, under the name of its link type (RFC 6940 §14.10): DTLS over UDP. The registry of link
    /// protocols has no name for it.
    pub const DTLS_UDP_SR_NO_ICE: &str = "DTLS-UDP-SR-NO-ICE";
    /// The name for experiments (RFC 6940 §14.11). Here it stands for plain links, which prove nothing.
    pub const EXP_PROTOCOL: &str = "EXP-PROTOCOL";
    /// The topology that this crate has.
    pub const CHORD_RELOAD: &str = "CHORD-RELOAD";
    /// The port of a bootstrap node for which none is given (RFC 6940 §14.2).
    pub const DEFAULT_PORT: u16 = 6084;

    /// The RFC's defaults, with the number 0: nobody may sign, nothing is permitted, nothing is stored.
    pub fn new(instance_name: &str) -> Self {
        Configuration {
            instance_name: String::from(instance_name),
            sequence: 0,
            expiration: None,
            topology_plugin: String::from(Self::CHORD_RELOAD),
            node_id_length: NodeId::LEN as u8,
            root_certs: Vec::new(),
            enrollment_servers: Vec::new(),
            self_signed_permitted: None,
            bootstrap_nodes: Vec::new(),
            turn_density: 1,
            clients_permitted: true,
            no_ice: false,
            chord_update_interval: Duration::from_secs(600),
            chord_ping_interval: Duration::from_secs(3600),
            chord_reactive: true,
            shared_secret: None,
            max_message_size: 5000,
            initial_ttl: 100,
            overlay_reliability_timer: Duration::from_millis(3000),
            overlay_link_protocols: Vec::new(),
            kind_signers: Vec::new(),
            configuration_signers: Vec::new(),
            bad_nodes: Vec::new(),
            mandatory_extensions: Vec::new(),
            kinds: Vec::new(),
        }
    }

    /// Whether links may be spoken with this protocol.
    pub fn permits_link(&self, protocol: &str) -> bool {
        match self.overlay_link_protocols.as_slice() {
            [] => protocol == Self::TLS,
            listed => listed.iter().any(|p| p == protocol),
        }
    }

    /// Whether the certificate with this Node-ID has been revoked (SB-8).
    pub fn is_bad(&self, node: NodeId) -> bool {
        self.bad_nodes.contains(&node)
    }

    /// When to fetch the document anew: at a random time between now and its expiration; `None` when it has none.
    pub fn refetch_at(&self, now: UnixMillis, entropy: &mut dyn Entropy) -> Option<UnixMillis> {
        let left = self.expiration?.0.saturating_sub(now.0);
        Some(UnixMillis(now.0.saturating_add(entropy.below(left))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Seeded;

    #[test]
    fn a_document_is_fetched_anew_before_it_expires() {
        let mut configuration = Configuration::new("a.example");
        let mut entropy = Seeded::new(1);
        let now = UnixMillis(1_000);
        assert_eq!(configuration.refetch_at(now, &mut entropy), None);
        configuration.expiration = Some(UnixMillis(5_000));
        for _ in 0..100 {
            let at = configuration.refetch_at(now, &mut entropy).unwrap();
            assert!((now..UnixMillis(5_000)).contains(&at));
        }
        configuration.expiration = Some(UnixMillis(500));
        assert_eq!(configuration.refetch_at(now, &mut entropy), Some(now), "late: at once");
    }

    #[test]
    fn without_a_list_links_are_tls_and_with_a_list_only_what_it_names() {
        let mut configuration = Configuration::new("a.example");
        assert!(configuration.permits_link(Configuration::TLS));
        assert!(!configuration.permits_link(Configuration::EXP_PROTOCOL));
        configuration.overlay_link_protocols.push(String::from(Configuration::EXP_PROTOCOL));
        assert!(!configuration.permits_link(Configuration::TLS));
    }
}
