//! Certificates of strangers: read, judged, and asked whose signature this is.

use crate::env::{CryptoError, Party, Signed, Signer};
use crate::ids::KeyFingerprint;
use crate::time::UnixMillis;
use crate::tls::certificate::{KeyType, MAX_KEY, NodeCertificate};
use crate::tls::trust::{Digest, Judge, Trust, hash_of};
use crate::tls::{MAX_NODE_IDS, MAX_USER, ReloadUri};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use rustls::crypto::aws_lc_rs::default_provider;

/// The overlay of the seeds.
const OVERLAY: &str = "overlay.example.org";
/// In 2027, when the certificates of the seeds are valid.
const AT: UnixMillis = UnixMillis(1_830_000_000_000);

/// A chain of certificates, DER one behind the other, the node's own first. What is read of it is bounded and is read
/// again; an end of a channel and a signer are judged alike, the second time as the first; and nobody is believed but
/// under the Node-IDs of his own key, or with a root. What is text is read as a URI besides.
pub fn certificate(data: &[u8]) {
    if let Ok(text) = core::str::from_utf8(data) {
        uri(text);
    }
    let chain = chain(data);
    let read = NodeCertificate::read(chain[0], OVERLAY);
    if let Ok(read) = &read {
        form(read, chain[0]);
    }
    for digest in [Digest::Sha1, Digest::Sha256] {
        if let Ok(party) = judge(Trust::in_keys(OVERLAY, digest), &chain, read.as_ref().ok()) {
            let key = &read.as_ref().unwrap().public_key;
            let of = party.node_ids.len();
            let own = |(n, id)| digest.node_id(key, n, of) == id;
            assert!(party.node_ids.iter().copied().enumerate().all(own), "somebody else's Node-ID");
        }
    }
    if let [.., root] = chain[1..] {
        let _ =
            judge(Trust::in_roots(OVERLAY, vec![Bytes::copy_from_slice(root)]), &chain, read.as_ref().ok());
    }
    assert!(
        judge(Trust::in_roots(OVERLAY, Vec::new()), &chain, read.as_ref().ok()).is_err(),
        "nobody vouches"
    );
}

fn uri(text: &str) {
    match ReloadUri::parse(text) {
        Ok(uri) => assert_eq!(ReloadUri::parse(&alloc::format!("{uri}")), Ok(uri)),
        // The place lies in the text, or in the Destination List that its digits spell.
        Err(error) => assert!(error.offset <= text.len(), "{error}"),
    }
}

/// Cut by the lengths of their outermost SEQUENCEs, which have two octets in anything that is a certificate.
fn chain(mut data: &[u8]) -> Vec<&[u8]> {
    let mut chain = Vec::new();
    while let [0x30, 0x82, high, low, ..] = *data {
        let length = 4 + usize::from(u16::from_be_bytes([high, low]));
        let Some((first, rest)) = data.split_at_checked(length).filter(|_| chain.len() < 4) else { break };
        chain.push(first);
        data = rest;
    }
    if !data.is_empty() || chain.is_empty() {
        chain.push(data);
    }
    chain
}

fn form(read: &NodeCertificate, der: &[u8]) {
    assert_eq!(read.der, der);
    assert!((1..=MAX_NODE_IDS).contains(&read.node_ids.len()) && read.public_key.len() <= MAX_KEY);
    assert!((1..=MAX_USER).contains(&read.user.len()) && read.user.bytes().all(|b| b.is_ascii_graphic()));
    for (n, id) in read.node_ids.iter().enumerate() {
        assert!(!read.node_ids[..n].contains(id), "a Node-ID twice");
        uri(&alloc::format!("{}", ReloadUri::of_node(*id, OVERLAY)));
    }
    assert!(NodeCertificate::read(der, "another.example").is_err(), "it is this overlay's only");
}

/// Whom the chain's first certificate makes of its bearer, by one judge who hears of it for the first time.
fn judge(trust: Trust, chain: &[&[u8]], read: Option<&NodeCertificate>) -> Result<Arc<Party>, CryptoError> {
    let judge = Judge::new(trust, Arc::new(default_provider()))?;
    let first = judge.peer(AT, chain);
    assert_eq!(judge.peer(AT, chain), first, "the second judgement is another one");
    let Some(read) = read else {
        assert!(first.is_err(), "believed unread");
        return first;
    };
    // The same certificate under a signature that is none.
    let several = read.node_ids.len() > 1;
    let hash = hash_of(several.then_some(read.node_ids[0]), &read.der);
    let value = [&[4, hash.len() as u8], &hash[..]].concat().into();
    let signer = Signer { identity_type: if several { 2 } else { 1 }, value };
    let signature = if read.key_type == KeyType::P256 { 3 } else { 1 };
    let signed = Signed { hash: 4, signature, value: Bytes::from_static(&[0x30, 6, 2, 1, 1, 2, 1, 1]) };
    let judged = judge.signature(AT, &signer, chain, &[b"nothing"], &signed);
    match &first {
        Ok(party) => {
            assert_eq!(judged, Err(CryptoError::BadSignature));
            assert_eq!(party.node_ids, read.node_ids);
            assert_eq!(party.key, KeyFingerprint::of(&read.public_key));
            assert!(judge.peer(UnixMillis(u64::MAX), chain).is_err(), "for ever");
        }
        Err(error) => assert_eq!(judged, Err(*error)),
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::read_certificates;

    fn seed(pem: &str) -> Bytes {
        read_certificates(pem).unwrap().remove(0)
    }

    #[test]
    fn the_seeds_are_believed_so_that_a_fuzzer_begins_behind_the_parser() {
        let carol = seed(include_str!("../../tests/data/tls/carol.pem"));
        let read = NodeCertificate::read(&carol, OVERLAY).unwrap();
        assert!(judge(Trust::in_keys(OVERLAY, Digest::Sha1), &[&carol], Some(&read)).is_ok());
        let root = seed(include_str!("../../tests/data/tls/root.pem"));
        for pem in
            [include_str!("../../tests/data/tls/alice.pem"), include_str!("../../tests/data/tls/bob.pem")]
        {
            let node = seed(pem);
            let both = [&node[..], &root].concat();
            let chain = chain(&both);
            assert_eq!(chain, [&node[..], &root]);
            let read = NodeCertificate::read(&node, OVERLAY).unwrap();
            assert!(judge(Trust::in_roots(OVERLAY, vec![root.clone()]), &chain, Some(&read)).is_ok());
        }
    }
}
