//! The ring of 2^128 places (RFC 6940 §10.1): everything is a clockwise distance.

use crate::reload::topology::Place;

/// The clockwise distance from one place to another, modulo 2^128.
pub const fn distance(from: Place, to: Place) -> Place {
    to.wrapping_sub(from)
}

/// The places `after < k ≤ last`, clockwise. When both are the same place it is the whole ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The place before the first.
    pub after: Place,
    /// The last place.
    pub last: Place,
}

impl Range {
    /// Whether a place lies in the range.
    pub const fn contains(self, place: Place) -> bool {
        let length = distance(self.after, self.last);
        let d = distance(self.after, place);
        length == 0 || d != 0 && d <= length
    }

    /// The share of the whole ring, in parts per billion.
    pub const fn parts_per_billion(self) -> u32 {
        const BILLION: u128 = 1_000_000_000;
        match distance(self.after, self.last) {
            0 => BILLION as u32,
            length => (((length >> 64) * BILLION) >> 64) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ch2_the_predecessor_itself_is_outside_and_the_peer_itself_inside() {
        let r = Range { after: 10, last: 20 };
        assert!(!r.contains(10) && r.contains(11) && r.contains(20) && !r.contains(21));
    }

    #[test]
    fn ch2_a_range_wraps_through_zero() {
        let r = Range { after: u128::MAX - 5, last: 5 };
        assert!(r.contains(u128::MAX) && r.contains(0) && r.contains(5));
        assert!(!r.contains(6) && !r.contains(u128::MAX - 5));
    }

    #[test]
    fn ch2_alone_a_peer_has_the_whole_ring() {
        let r = Range { after: 7, last: 7 };
        assert!(r.contains(7) && r.contains(8) && r.contains(0));
        assert_eq!(r.parts_per_billion(), 1_000_000_000);
    }

    #[test]
    fn pb2_half_the_ring_is_half_a_billion() {
        assert_eq!(Range { after: 0, last: 1 << 127 }.parts_per_billion(), 500_000_000);
        assert_eq!(Range { after: 3, last: 4 }.parts_per_billion(), 0);
    }
}
