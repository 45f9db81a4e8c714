//! SRTCP (RFC 3711 §3.4): control packets that nobody but the holder of a key can have written, and none of them twice.
//!
//! ```text
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+ <+
//! |              RTCP compound packet, in clear                   |  |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  | authenticated
//! |0|                      SRTCP index                            |  |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+ <+
//! |          authentication tag: 80 bits of HMAC-SHA1             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! This is the suite AES_CM_128_HMAC_SHA1_80 with UNENCRYPTED_SRTCP (RFC 4568 §6.2.1, §6.3.2): the E flag is 0, there is
//! no master key identifier, and the key derivation rate is 0. The packets themselves are no secret; what they say steers
//! the tree, so they must not be forged.

use crate::env::Entropy;
use aes::Aes128;
use aes::cipher::BlockCipherEncrypt as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use core::fmt;
use hmac::{Hmac, KeyInit, Mac as _};
use sha1::Sha1;

/// Octets of the tag.
const TAG: usize = 10;
/// Octets of the E flag and the index.
const INDEX: usize = 4;
/// The E flag: the compound packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;
/// Octets that protection adds to a compound packet.
pub const OVERHEAD: usize = INDEX + TAG;

/// How many packets of one sender are told apart below the highest index that came (§3.3.2 asks for 64 at least).
pub const REPLAY_WINDOW: u32 = 64;
/// How many senders behind one key have a replay window of their own.
const SENDERS: usize = 4;

/// What a key protects in one direction: a master key of 128 bits and a master salt of 112, as they stand one behind the
/// other in a crypto attribute.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey([u8; MasterKey::LEN]);

impl MasterKey {
    const KEY: usize = 16;
    const SALT: usize = 14;
    /// Octets of both.
    pub const LEN: usize = Self::KEY + Self::SALT;

    /// A new one. It is as hard to guess as what `entropy` gives.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        let mut octets = [0; Self::LEN];
        entropy.fill(&mut octets);
        MasterKey(octets)
    }

    /// The one that a peer sent.
    pub const fn new(octets: [u8; Self::LEN]) -> Self {
        MasterKey(octets)
    }

    /// Key and salt, to be sent to the peer on a way that nobody else can read.
    pub const fn octets(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Derives a session key (§4.3.1): the key stream of AES in counter mode for (label XOR salt) * 2^16. As the key
    /// derivation rate is 0, packets of every index have the same session keys.
    fn derive<const N: usize>(&self, label: Label) -> [u8; N] {
        let (key, salt) = self.0.split_at(Self::KEY);
        let mut aes_key = [0; Self::KEY];
        aes_key.copy_from_slice(key);
        let aes = Aes128::new(&aes_key.into());
        let mut counter = [0; 16];
        counter[..Self::SALT].copy_from_slice(salt);
        // The label stands above a 48-bit index, which is 0.
        counter[Self::SALT - 7] ^= label.0;
        let mut derived = [0; N];
        for (n, octets) in (0u16..).zip(derived.chunks_mut(16)) {
            counter[Self::SALT..].copy_from_slice(&n.to_be_bytes());
            let mut block = counter.into();
            aes.encrypt_block(&mut block);
            octets.copy_from_slice(&block[..octets.len()]);
        }
        derived
    }
}

/// The octets stay out of logs.
impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// What a session key is for (§4.3.2).
#[derive(Clone, Copy)]
struct Label(u8);

impl Label {
    const SRTCP_AUTHENTICATION: Label = Label(4);
}

/// The keyed hash of one direction.
#[derive(Clone)]
struct Authenticator(Hmac<Sha1>);

impl Authenticator {
    fn new(master: &MasterKey) -> Self {
        let key: [u8; 20] = master.derive(Label::SRTCP_AUTHENTICATION);
        // HMAC fills a key up to its block with zeros, so this is the same key.
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(&key);
        Authenticator(Hmac::new(&block.into()))
    }

    fn over(&self, octets: &[u8]) -> Hmac<Sha1> {
        self.0.clone().chain_update(octets)
    }
}

/// Both keys of a call: each end protects with its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// What this end sends goes under this one.
    pub ours: MasterKey,
    /// What the other end sends goes under this one.
    pub theirs: MasterKey,
}

/// One call's protected control packets, both ways.
pub struct Session {
    ours: Authenticator,
    /// The index of the next packet to send.
    next: u32,
    theirs: Authenticator,
    replays: Replays,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("next", &self.next).finish_non_exhaustive()
    }
}

/// The key has protected 2^31 packets, and may protect no more (§9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key is used up")]
pub struct UsedUp;

/// Why a packet is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too short for a report with index and tag.
    #[error("too short")]
    Short,
    /// Somebody without the key wrote it, or changed it.
    #[error("not authentic")]
    NotAuthentic,
    /// It is authentic, but encrypted, which was not agreed on.
    #[error("encrypted")]
    Encrypted,
    /// It was here already, or is too old to tell.
    #[error("replayed")]
    Replayed,
}

impl Session {
    /// Nothing was sent yet and nothing has come.
    pub fn new(keys: &Keys) -> Self {
        Session {
            ours: Authenticator::new(&keys.ours),
            next: 0,
            theirs: Authenticator::new(&keys.theirs),
            replays: Replays::default(),
        }
    }

    /// As if so many packets had been sent already.
    #[cfg(feature = "arbitrary")]
    pub(crate) fn skip_to(&mut self, index: u32) {
        self.next = self.next.max(index);
    }

    /// The datagram for a compound packet, [`OVERHEAD`] octets longer.
    pub fn protect(&mut self, compound: &[u8]) -> Result<Bytes, UsedUp> {
        if self.next >= ENCRYPTED {
            return Err(UsedUp);
        }
        let mut datagram = BytesMut::with_capacity(compound.len() + OVERHEAD);
        datagram.put_slice(compound);
        datagram.put_u32(self.next);
        let tag = self.ours.over(&datagram).finalize().into_bytes();
        datagram.put_slice(&tag[..TAG]);
        self.next += 1;
        Ok(datagram.freeze())
    }

    /// The compound packet of a datagram, without a copy.
    pub fn unprotect(&mut self, datagram: &Bytes) -> Result<Bytes, Refused> {
        let (authenticated, tag) = datagram.split_last_chunk::<TAG>().ok_or(Refused::Short)?;
        let (compound, index) = authenticated.split_last_chunk::<INDEX>().ok_or(Refused::Short)?;
        let ssrc = compound.get(4..).and_then(|rest| rest.first_chunk()).ok_or(Refused::Short)?;
        self.theirs.over(authenticated).verify_truncated_left(tag).map_err(|_| Refused::NotAuthentic)?;
        let index = u32::from_be_bytes(*index);
        if index & ENCRYPTED != 0 {
            return Err(Refused::Encrypted);
        }
        if !self.replays.admit(u32::from_be_bytes(*ssrc), index) {
            return Err(Refused::Replayed);
        }
        Ok(datagram.slice(..compound.len()))
    }
}

/// The replay lists of a key (§3.3.2), one for each sender under it. Whoever is heard of after [`SENDERS`] others takes the
/// place of the one that was heard of first, and begins above all indices of those that had to go.
#[derive(Clone, Debug, Default)]
struct Replays {
    windows: heapless::Vec<(u32, Window), SENDERS>,
    /// Indices below this one belong to senders that had to go.
    floor: u32,
}

impl Replays {
    /// Whether this packet of an authentic sender is here for the first time. It is not, the next time.
    fn admit(&mut self, ssrc: u32, index: u32) -> bool {
        if let Some((_, window)) = self.windows.iter_mut().find(|(sender, _)| *sender == ssrc) {
            return window.admit(index);
        }
        let leaves = self.windows.first().filter(|_| self.windows.is_full());
        let floor = leaves.map_or(0, |(_, window)| window.highest + 1).max(self.floor);
        if index < floor {
            return false;
        }
        if leaves.is_some() {
            self.windows.remove(0);
        }
        self.floor = floor;
        self.windows.push((ssrc, Window::above(floor, index))).is_ok()
    }
}

/// The indices of one sender that were here.
#[derive(Clone, Copy, Debug)]
struct Window {
    highest: u32,
    /// Bit n stands for `highest - n`.
    seen: u64,
}

impl Window {
    /// With its first packet, and nothing below the floor to come any more.
    fn above(floor: u32, index: u32) -> Self {
        let below = u64::MAX.checked_shl(index - floor + 1).unwrap_or(0);
        Window { highest: index, seen: below | 1 }
    }

    fn admit(&mut self, index: u32) -> bool {
        if index > self.highest {
            self.seen = self.seen.checked_shl(index - self.highest).unwrap_or(0) | 1;
            self.highest = index;
            return true;
        }
        let age = self.highest - index;
        if age >= REPLAY_WINDOW {
            return false;
        }
        let bit = 1 << age;
        let new = self.seen & bit == 0;
        self.seen |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Seeded;
    use crate::ids::bytes_from_hex;
    use alloc::vec::Vec;

    fn hex(text: &str) -> Bytes {
        bytes_from_hex(text).unwrap().into()
    }

    /// The master key of RFC 3711 §B.3.
    fn master() -> MasterKey {
        let octets = hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
        MasterKey::new(octets[..].try_into().unwrap())
    }

    /// Two ends of one call.
    fn pair() -> (Session, Session) {
        let (a, b) = (MasterKey::generate(&mut Seeded::new(1)), master());
        let keys = Keys { ours: a.clone(), theirs: b.clone() };
        (Session::new(&keys), Session::new(&Keys { ours: b, theirs: a }))
    }

    /// An RR and a BYE of this sender.
    fn compound(ssrc: u32) -> Vec<u8> {
        let ssrc = ssrc.to_be_bytes();
        [&[0x80, 201, 0, 1][..], &ssrc, &[0x81, 203, 0, 1], &ssrc].concat()
    }

    #[test]
    fn rfc3711_b3_session_keys_are_derived_as_in_the_appendix() {
        assert_eq!(master().derive::<16>(Label(0)), hex("C61E7A93744F39EE10734AFE3FF7A087")[..]);
        assert_eq!(master().derive::<14>(Label(2)), hex("30CBBC08863D8C85D49DB34A9AE1")[..]);
        let authentication = hex("CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE
             E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25
             6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2");
        assert_eq!(master().derive::<94>(Label(1)), authentication[..]);
    }

    #[test]
    fn protected_packets_are_these_bytes() {
        // Made by OpenSSL's AES and Python's HMAC.
        let session_key = master().derive::<20>(Label::SRTCP_AUTHENTICATION);
        assert_eq!(session_key, hex("8d54534feb49ae8e7993a6bd0b844fc323a93dfd")[..]);
        let (_, mut sender) = pair();
        let mut protected = || sender.protect(&compound(7)).unwrap();
        assert_eq!(protected(), hex("80c9000100000007 81cb000100000007 00000000 33564afdd56e98075005"));
        assert_eq!(protected(), hex("80c9000100000007 81cb000100000007 00000001 eff12be1df28a3faa2ca"));
    }

    #[test]
    fn what_one_end_protects_the_other_gets_back_without_a_copy() {
        let (mut a, mut b) = pair();
        for n in 0..100 {
            let there = a.protect(&compound(n)).unwrap();
            let read = b.unprotect(&there).unwrap();
            assert_eq!((&read[..], read.as_ptr()), (&compound(n)[..], there.as_ptr()));
            let back = b.protect(&compound(n)).unwrap();
            assert_eq!(a.unprotect(&back).unwrap(), compound(n));
        }
    }

    #[test]
    fn no_bit_can_be_changed() {
        let (mut a, mut b) = pair();
        let whole = a.protect(&compound(7)).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut forged = whole.to_vec();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(b.unprotect(&forged.into()), Err(Refused::NotAuthentic), "bit {bit}");
        }
        assert!(b.unprotect(&whole).is_ok(), "and none of the forgeries counted as this one");
    }

    #[test]
    fn no_truncation_is_authentic() {
        let (mut a, mut b) = pair();
        let whole = a.protect(&compound(7)).unwrap();
        for len in 0..whole.len() {
            let expected = if len < 8 + OVERHEAD { Refused::Short } else { Refused::NotAuthentic };
            assert_eq!(b.unprotect(&whole.slice(..len)), Err(expected), "{len}");
        }
    }

    #[test]
    fn what_comes_back_to_its_sender_is_not_authentic() {
        let (mut a, mut b) = pair();
        let whole = a.protect(&compound(7)).unwrap();
        assert_eq!(a.unprotect(&whole), Err(Refused::NotAuthentic));
        assert_eq!(b.unprotect(&compound(7).into()), Err(Refused::Short));
    }

    #[test]
    fn an_encrypted_packet_is_refused_though_it_is_authentic() {
        let (a, mut b) = pair();
        let mut datagram = compound(7);
        datagram.put_u32(ENCRYPTED | 5);
        let tag = a.ours.over(&datagram).finalize().into_bytes();
        datagram.extend_from_slice(&tag[..TAG]);
        assert_eq!(b.unprotect(&datagram.into()), Err(Refused::Encrypted));
    }

    #[test]
    fn each_packet_counts_once_in_whatever_order_they_come() {
        let (mut a, mut b) = pair();
        let packets: Vec<Bytes> = (0..200).map(|_| a.protect(&compound(7)).unwrap()).collect();
        let mut admitted = |n: usize| b.unprotect(&packets[n]).map(drop);
        for n in [100, 99, 37, 98, 101, 38] {
            assert_eq!(admitted(n), Ok(()), "{n}");
            assert_eq!(admitted(n), Err(Refused::Replayed), "{n}");
        }
        // 101 - 64 is the first that the window does not reach.
        assert_eq!(admitted(36), Err(Refused::Replayed));
        assert_eq!(admitted(199), Ok(()));
        for n in (0..136).chain([199]) {
            assert_eq!(admitted(n), Err(Refused::Replayed), "{n}");
        }
        assert!((136..199).all(|n| admitted(n).is_ok()));
    }

    #[test]
    fn every_sender_has_indices_of_its_own() {
        let (mut a, mut b) = pair();
        let mut with_index = |ssrc: u32, index: u32| {
            a.next = index;
            let datagram = a.protect(&compound(ssrc)).unwrap();
            b.unprotect(&datagram).map(drop)
        };
        for ssrc in 1..=4 {
            assert_eq!(with_index(ssrc, 10 * ssrc), Ok(()));
        }
        assert_eq!(with_index(1, 40), Ok(()));
        // A fifth takes the place of the first, whose packets cannot come again under any name.
        assert_eq!(with_index(5, 41), Ok(()));
        assert_eq!(with_index(1, 40), Err(Refused::Replayed));
        assert_eq!(with_index(1, 42), Ok(()));
        assert_eq!(with_index(5, 41), Err(Refused::Replayed));
        // Those that came again moved nobody out.
        assert_eq!(with_index(4, 40), Err(Refused::Replayed));
        assert_eq!(with_index(4, 39), Ok(()));
    }

    #[test]
    fn k8_senders_that_change_all_the_time_are_never_replayed() {
        fn law(packets: Vec<(u8, u8)>) -> bool {
            let mut replays = Replays::default();
            let mut admitted = alloc::collections::BTreeSet::new();
            packets.into_iter().all(|(ssrc, index)| {
                let packet = (u32::from(ssrc % 8), u32::from(index));
                let new = !admitted.contains(&packet);
                let believed = replays.admit(packet.0, packet.1);
                admitted.extend(believed.then_some(packet));
                new || !believed
            })
        }
        quickcheck::QuickCheck::new().tests(2000).quickcheck(law as fn(Vec<(u8, u8)>) -> bool);
    }

    #[test]
    fn the_index_never_begins_anew_under_one_key() {
        let (_, mut sender) = pair();
        sender.skip_to(ENCRYPTED - 1);
        sender.skip_to(7);
        let last = sender.protect(&compound(7)).unwrap();
        assert_eq!(last, hex("80c9000100000007 81cb000100000007 7fffffff 66d10806673079e7fc50"));
        assert_eq!(sender.protect(&compound(7)), Err(UsedUp));
        let (mut receiver, mut sender) = pair();
        assert!(receiver.unprotect(&last).is_ok());
        let first = sender.protect(&compound(7)).unwrap();
        assert_eq!(receiver.unprotect(&first), Err(Refused::Replayed));
        // The highest index of all makes no room for a sixth sender, and breaks nothing.
        for ssrc in 1..6 {
            sender.next = ENCRYPTED - 1;
            let datagram = sender.protect(&compound(ssrc)).unwrap();
            assert_eq!(receiver.unprotect(&datagram).is_ok(), ssrc < 4, "{ssrc}");
        }
    }

    #[test]
    fn keys_stay_out_of_logs() {
        let (a, _) = pair();
        let keys = Keys { ours: master(), theirs: master() };
        let text = alloc::format!("{keys:?} {a:?}").to_lowercase();
        assert_eq!(text, "keys { ours: masterkey(..), theirs: masterkey(..) } session { next: 0, .. }");
    }
}
