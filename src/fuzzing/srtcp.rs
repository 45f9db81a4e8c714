//! Two ends of a call whose reports are protected, and somebody between them who has no key.

use super::forge;
use super::script::Script;
use crate::rtp::srtcp::{Keys, MasterKey, OVERHEAD, Session};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use arbitrary::Unstructured;
use bytes::Bytes;

/// One end of a call.
struct End {
    session: Session,
    key: MasterKey,
    /// Everything that it protected, oldest first.
    sent: Vec<Bytes>,
    /// What it believed.
    heard: BTreeSet<Bytes>,
}

impl End {
    /// Octets of the header of the first report of a compound packet; shorter ones are none.
    const HEADER: usize = 8;

    /// Nothing is believed but what the key of the other end makes of it, nothing twice, and the latest that it wrote
    /// always if it is new. A fuzzer sees what a tag is compared with, so it can do what nobody can without the key.
    fn hear(&mut self, sent: &[Bytes], key: &MasterKey, datagram: &Bytes) {
        let forged = |heard: &Bytes| !sent.contains(heard);
        let latest = sent.last() == Some(datagram) && datagram.len() >= Self::HEADER + OVERHEAD;
        match self.session.unprotect(datagram) {
            Ok(compound) => {
                let index = datagram.len() - OVERHEAD;
                assert_eq!(compound, datagram[..index]);
                let index = u32::from_be_bytes(*datagram[index..].first_chunk().unwrap());
                assert_eq!(forge::srtcp(key, &compound, index).as_ref(), Some(datagram), "nobody wrote this");
                assert!(self.heard.insert(datagram.clone()), "it was here already");
            }
            Err(_) if self.heard.iter().any(forged) => {}
            Err(_) => assert!(!latest || self.heard.contains(datagram), "the latest was not believed"),
        }
    }
}

/// A script of what two ends protect and what becomes of it.
///
/// | step | operands | what happens |
/// | --- | --- | --- |
/// | `p` | end, octets | it protects these |
/// | `i` | end, power of two | it goes on as after so many packets |
/// | `d` | end, number | so old a datagram of this end arrives at the other |
/// | `b` | the same | it comes back to its sender |
/// | `z` | the same, octets | it arrives spoilt |
/// | `n` | end, octets | this arrives at the other |
pub fn srtcp(script: &[u8]) {
    let masters = [1, 2].map(|n| MasterKey::new([n; MasterKey::LEN]));
    let mut ends = [0, 1].map(|end| {
        let keys = Keys { ours: masters[end].clone(), theirs: masters[1 - end].clone() };
        let key = masters[end].clone();
        End { session: Session::new(&keys), key, sent: Vec::new(), heard: BTreeSet::new() }
    });
    let mut script = Script::new(script);
    while let Some(letter) = script.step() {
        if !letter.is_ascii_lowercase() {
            continue;
        }
        let [a, b] = &mut ends;
        let (from, to) = if script.choice(2) == 0 { (a, b) } else { (b, a) };
        match letter {
            b'p' => {
                let compound = script.octets();
                if let Ok(datagram) = from.session.protect(compound) {
                    assert!(datagram.starts_with(compound) && datagram.len() == compound.len() + OVERHEAD);
                    assert!(!from.sent.contains(&datagram), "an index came twice");
                    from.sent.push(datagram);
                }
            }
            b'i' => from.session.skip_to(u32::MAX >> script.choice(33).min(31)),
            b'd' | b'b' | b'z' => {
                let nth = script.choice(from.sent.len());
                let Some(datagram) = from.sent.iter().rev().nth(nth).cloned() else { continue };
                match letter {
                    b'd' => to.hear(&from.sent, &from.key, &datagram),
                    b'b' => from.hear(&to.sent, &to.key, &datagram),
                    _ => {
                        let mut u = Unstructured::new(script.octets());
                        to.hear(&from.sent, &from.key, &forge::spoilt(&datagram, &mut u));
                    }
                }
            }
            b'n' => to.hear(&from.sent, &from.key, &Bytes::copy_from_slice(script.octets())),
            _ => {}
        }
    }
}
