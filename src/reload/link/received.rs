//! What arrived over a link, for the bitmap of its ACKs (RFC 6940 §6.6.2).

/// The 32 most recently received sequence numbers.
#[derive(Clone, Debug, Default)]
pub struct Received {
    recent: heapless::Deque<u32, 32>,
}

impl Received {
    /// Remembers a number and gives the bitmap for its ACK: bit N−M−1 says that M was received, for N−32 ≤ M < N.
    pub fn on_data(&mut self, sequence: u32) -> u32 {
        let bitmap = self
            .recent
            .iter()
            .map(|&m| sequence.wrapping_sub(m))
            .filter(|d| (1..=32).contains(d))
            .fold(0, |bits, d| bits | 1 << (d - 1));
        if self.recent.is_full() {
            self.recent.pop_front();
        }
        // There is room now; nothing can be handed back.
        let _ = self.recent.push_back(sequence);
        bitmap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fr3_the_bitmap_has_bit_n_minus_m_minus_1_for_each_recent_number() {
        let mut l = Received::default();
        assert_eq!(l.on_data(38), 0);
        assert_eq!(l.on_data(39), 1);
        assert_eq!(l.on_data(40), 3);
        assert_eq!(l.on_data(72), 1 << 31);
    }

    #[test]
    fn fr3_a_number_that_comes_twice_has_its_bit_all_the_same() {
        let mut l = Received::default();
        l.on_data(5);
        l.on_data(5);
        assert_eq!(l.on_data(6), 1);
    }

    #[test]
    fn fr3_fr7_the_32_most_recently_received_count_across_the_wrap() {
        let mut l = Received::default();
        assert_eq!(l.on_data(u32::MAX), 0);
        assert_eq!(l.on_data(0), 1);
        for n in 1..40 {
            l.on_data(n);
        }
        assert_eq!(l.on_data(5), 0, "everything below 5 has left the memory: the recent 32 are 8..40");
    }
}
