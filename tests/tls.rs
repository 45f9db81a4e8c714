//! Identities with certificates, and channels between them (RFC 6940 §6.3.4, §6.6.1, §11.3, §14.15).

#[path = "tls/datagrams.rs"]
mod datagrams;
#[path = "tls/forge.rs"]
mod forge;
#[path = "tls/identities.rs"]
mod identities;
#[path = "tls/streams.rs"]
mod streams;
