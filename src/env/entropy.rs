//! Random bytes from outside.

/// A source of random bytes. Transaction ids, branches, tags, SSRCs and the keys of RTCP come from here, so in production it
/// must be unpredictable; in a test it must be repeatable.
pub trait Entropy: Send {
    /// Fills the whole slice.
    fn fill(&mut self, bytes: &mut [u8]);

    /// 64 random bits.
    fn next_u64(&mut self) -> u64 {
        let mut b = [0; 8];
        self.fill(&mut b);
        u64::from_le_bytes(b)
    }

    /// A number in `0..n`; 0 when `n` is 0. The bias is below 2^-32 for any `n` that fits into 32 bits.
    fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64 }
    }
}

/// A repeatable [`Entropy`] for tests and simulations (SplitMix64). Never use it where a stranger could guess the seed.
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// The stream of random bytes that belongs to this seed.
    pub const fn new(seed: u64) -> Self {
        Seeded(seed)
    }
}

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let b = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&b[..chunk.len()]);
        }
    }

    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = self.0;
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_entropy_repeats_itself_and_fills_odd_lengths() {
        let (mut a, mut b) = (Seeded::new(7), Seeded::new(7));
        let (mut x, mut y) = ([0; 13], [0; 13]);
        a.fill(&mut x);
        b.fill(&mut y);
        assert_eq!(x, y);
        assert_ne!(x, [0; 13]);
        assert_ne!(a.next_u64(), Seeded::new(8).next_u64());
    }

    #[test]
    fn below_stays_below() {
        let mut e = Seeded::new(1);
        assert_eq!(e.below(0), 0);
        assert!((0..1000).all(|_| e.below(7) < 7));
    }
}
