//! TLS.

use super::forge::*;
use p2piptv::env::{Channel, ChannelError, Channels, Crypto};
use p2piptv::tls::{
    Authority, Digest, Identity, KeyType, MAX_UNREAD, MAX_UNSENT, MAX_WAITING, Request, Tls, Trust,
};
use quickcheck::quickcheck;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn ends(a: &Identity, b: &Identity) -> (Box<dyn Channel>, Box<dyn Channel>) {
    (Tls::new(a).unwrap().connect(NOW, TODAY), Tls::new(b).unwrap().accept(NOW, TODAY))
}

#[test]
fn at11_ce11_both_ends_learn_whose_certificate_the_other_has() {
    let (alice, bob) = (node("alice"), node("bob"));
    for piece in [1, 7, 1000, usize::MAX] {
        let (mut a, mut b) = ends(&alice, &bob);
        a.send(NOW, b"early").unwrap();
        b.send(NOW, b"patience").unwrap();
        assert_eq!(b.poll_ciphertext(), None, "whoever was dialled waits");
        assert_eq!(carry(&mut *a, &mut *b, piece), (Ok(()), Ok(())));
        assert_eq!(a.peer().unwrap().node_id, bob.node_id());
        assert_eq!(b.peer().unwrap().user.as_deref(), Some("alice@overlay.example.org"));
        assert_eq!(b.peer().unwrap().certificate.as_ref(), alice.certificates().first());
        assert_eq!(a.poll_plaintext().unwrap(), "patience");
        assert_eq!(b.poll_plaintext().unwrap(), "early");
        assert_eq!((a.deadline(), b.deadline()), (None, None));
    }
}

#[test]
fn at10_either_kind_of_key_and_several_node_ids_serve_at_either_end() {
    let authority = Authority::new(OVERLAY, TODAY, Duration::from_secs(3600)).unwrap();
    let request = |name| Request { name, from: TODAY, lifetime: Duration::from_secs(60) };
    let rsa = authority.node(&request("rsa"), KeyType::Rsa, 1).unwrap();
    let p256 = authority.node(&request("p256"), KeyType::P256, 3).unwrap();
    for (dials, dialled) in [(&rsa, &p256), (&p256, &rsa), (&rsa, &rsa)] {
        let (mut a, mut b) = ends(dials, dialled);
        assert_eq!(carry(&mut *a, &mut *b, usize::MAX), (Ok(()), Ok(())));
        assert_eq!(a.peer().unwrap().node_ids, dialled.node_ids());
        assert_eq!(b.peer().unwrap().node_id, dials.node_ids()[0]);
    }
}

#[test]
fn ce6_the_certificates_between_a_node_and_its_root_are_sent_along() {
    let root = root();
    let between = authority("between", rcgen::BasicConstraints::Constrained(0), Some(&root));
    let trust = Trust::in_roots(OVERLAY, vec![root.der.clone()]);
    let a = issue(good(), key(), Some(&between)).identity(&[&between], trust.clone());
    let b = issue(good(), key(), Some(&root)).identity(&[], trust);
    let (mut a, mut b) = ends(&a, &b);
    assert_eq!(carry(&mut *a, &mut *b, usize::MAX), (Ok(()), Ok(())));
    assert!(a.peer().is_some() && b.peer().is_some());
}

#[test]
fn a_goodbye_is_heard_and_answered() {
    for dialled_closes in [false, true] {
        let (mut a, mut b) = ends(&node("alice"), &node("bob"));
        assert_eq!(carry(&mut *a, &mut *b, usize::MAX), (Ok(()), Ok(())));
        let (closing, other) = if dialled_closes { (&mut b, &mut a) } else { (&mut a, &mut b) };
        closing.send(NOW, b"last words").unwrap();
        closing.close(NOW);
        assert_eq!(closing.send(NOW, b"more"), Err(ChannelError::Closed));
        let goodbye = closing.poll_ciphertext().unwrap();
        assert_eq!(other.handle_ciphertext(NOW, &goodbye), Err(ChannelError::Closed));
        assert_eq!(other.poll_plaintext().unwrap(), "last words");
        assert!(other.poll_ciphertext().is_some());
        assert_eq!(other.send(NOW, b"late"), Err(ChannelError::Closed));
    }
}

#[test]
fn what_waits_for_the_handshake_is_taken_whole_or_refused_whole() {
    let (mut a, mut b) = ends(&node("alice"), &node("bob"));
    a.send(NOW, &vec![1; MAX_WAITING - 1]).unwrap();
    assert_eq!(a.send(NOW, &[2; 2]), Err(ChannelError::Full));
    a.send(NOW, &[3]).unwrap();
    assert_eq!(carry(&mut *a, &mut *b, usize::MAX), (Ok(()), Ok(())));
    let mut all = Vec::new();
    while let Some(piece) = b.poll_plaintext() {
        all.extend_from_slice(&piece);
    }
    assert_eq!(all.len(), MAX_WAITING);
    assert_eq!((all[0], all[MAX_WAITING - 1]), (1, 3));
}

#[test]
fn a_caller_who_takes_nothing_is_refused_before_memory_grows() {
    let (mut a, mut b) = ends(&node("alice"), &node("bob"));
    assert_eq!(carry(&mut *a, &mut *b, usize::MAX), (Ok(()), Ok(())));
    let block = vec![0; 100_000];
    let mut sent = 0;
    while a.send(NOW, &block) == Ok(()) {
        sent += block.len();
        assert!(sent <= MAX_UNSENT);
    }
    // It takes again when there is room again.
    let ciphertext = a.poll_ciphertext().unwrap();
    assert!(ciphertext.len() >= sent);
    a.send(NOW, &block).unwrap();
    // The other end reads and reads, and its caller does not.
    assert_eq!(b.handle_ciphertext(NOW, &ciphertext), Ok(()));
    a.send(NOW, &block).unwrap();
    let more = a.poll_ciphertext().unwrap();
    assert!(sent + 200_000 > MAX_UNREAD);
    assert_eq!(b.handle_ciphertext(NOW, &more), Err(ChannelError::Full));
}

#[test]
fn a_key_log_has_a_line_for_every_secret() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let log = lines.clone();
    let mut tls = Tls::new(&node("alice"))
        .unwrap()
        .with_key_log(Arc::new(move |line: &str| log.lock().unwrap().push(line.to_owned())));
    let mut a = tls.connect(NOW, TODAY);
    let mut b = Tls::new(&node("bob")).unwrap().accept(NOW, TODAY);
    assert_eq!(carry(&mut *a, &mut *b, usize::MAX), (Ok(()), Ok(())));
    let lines = lines.lock().unwrap();
    for label in
        ["CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0"]
    {
        let line = lines.iter().find(|line| line.starts_with(label)).expect(label);
        let fields: Vec<_> = line.split(' ').collect();
        assert_eq!((fields.len(), fields[1].len()), (3, 64), "{line}");
        assert!(fields[1..].iter().all(|f| f.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}

#[test]
fn neither_name_nor_overlay_is_told_in_clear() {
    let tls = Identity::self_signed("secret.example", "whistleblower", Digest::Sha256).unwrap();
    let hello = Tls::new(&tls).unwrap().connect(NOW, TODAY).poll_ciphertext().unwrap();
    let shown = |word: &[u8]| hello.windows(word.len()).any(|w| w == word);
    assert!(!shown(b"secret.example") && !shown(b"whistleblower"));
}

quickcheck! {
    fn what_is_sent_arrives_however_it_is_cut(messages: Vec<Vec<u8>>, piece: u8) -> bool {
        let (mut a, mut b) = ends(&node("alice"), &node("bob"));
        let half = messages.len() / 2;
        for message in &messages[..half] {
            a.send(NOW, message).unwrap();
        }
        let piece = usize::from(piece) + 1;
        let first = carry(&mut *a, &mut *b, piece);
        for message in &messages[half..] {
            a.send(NOW, message).unwrap();
        }
        let second = carry(&mut *a, &mut *b, piece);
        let mut all = Vec::new();
        while let Some(piece) = b.poll_plaintext() {
            all.extend_from_slice(&piece);
        }
        (first, second) == ((Ok(()), Ok(())), (Ok(()), Ok(()))) && all == messages.concat()
    }
}
