//! Configuration sequence numbers: serial arithmetic modulo 65535 (RFC 6940 §6.3.2.1).

/// Not the number of any document: a ConfigUpdate carries it and is accepted whatever the receiver's number is (CS-4).
pub const ANY: u16 = u16::MAX;

/// Numbers there are: 0 to 65534.
const MODULUS: u32 = u16::MAX as u32;

/// The number of the next version; after 65534 comes 0 (CS-5).
pub const fn next(sequence: u16) -> u16 {
    if sequence >= ANY - 1 { 0 } else { sequence + 1 }
}

/// Whether `a` is older than `b`: fewer than half of all numbers lie behind it (CS-1).
pub fn is_older(a: u16, b: u16) -> bool {
    let ahead = (u32::from(b) + MODULUS - u32::from(a) % MODULUS) % MODULUS;
    ahead != 0 && ahead <= MODULUS / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cs1_the_sequence_wraps_at_65535_and_half_of_it_is_the_past() {
        assert!(is_older(65_534, 0) && !is_older(0, 65_534));
        assert!(is_older(1, 2) && !is_older(2, 1) && !is_older(7, 7));
        assert!(is_older(40_000, 0), "0 is 25535 ahead of 40000");
        assert!(is_older(0, 32_767) && !is_older(0, 32_768), "above the sign bit of a 16-bit number");
    }

    #[test]
    fn cs1_of_two_different_numbers_one_is_older() {
        for a in (0..ANY).step_by(131) {
            for b in (0..ANY).step_by(61).filter(|&b| b != a) {
                assert_ne!(is_older(a, b), is_older(b, a), "{a} and {b}");
            }
        }
    }

    #[test]
    fn cs5_after_65534_comes_0() {
        assert_eq!((next(0), next(65_533), next(65_534)), (1, 65_534, 0));
        assert!((0..ANY).all(|n| next(n) != ANY && is_older(n, next(n))));
    }
}
