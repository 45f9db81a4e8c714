//! The time that an answer may take, from measured round trips (RFC 6298 §2).

use core::time::Duration;

/// G: the clock granularity of RFC 6298, and what RTO is rounded up to (RFC 6940 §6.6.3.1).
const GRANULARITY: Duration = Duration::from_millis(1);

/// Round trips of one link, smoothed.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundTrip {
    /// SRTT and RTTVAR in microseconds, an hour at most; none before the first measurement.
    smoothed: Option<(u32, u32)>,
}

impl RoundTrip {
    /// Takes a measurement in: formula 2.2 the first time, 2.3 after that.
    pub fn measure(&mut self, r: Duration) {
        let micros = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let r = u64::try_from(r.as_micros()).unwrap_or(u64::MAX).min(u32::MAX.into());
        self.smoothed = Some(match self.smoothed {
            None => (micros(r), micros(r / 2)),
            Some((srtt, rttvar)) => {
                let (srtt, rttvar) = (u64::from(srtt), u64::from(rttvar));
                (micros((srtt * 7 + r) / 8), micros((rttvar * 3 + srtt.abs_diff(r)) / 4))
            }
        });
    }

    /// SRTT; none before the first measurement.
    pub fn smoothed(&self) -> Option<Duration> {
        self.smoothed.map(|(srtt, _)| Duration::from_micros(srtt.into()))
    }

    /// RTO in whole milliseconds, without a floor; none before the first measurement.
    pub fn rto(&self) -> Option<Duration> {
        let (srtt, rttvar) = self.smoothed?;
        let [srtt, rttvar] = [srtt, rttvar].map(|micros| Duration::from_micros(micros.into()));
        let rto = srtt + (rttvar * 4).max(GRANULARITY);
        let ms = rto.as_micros().div_ceil(GRANULARITY.as_micros());
        Some(GRANULARITY * u32::try_from(ms).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lr4_lt3_a_table_of_samples() {
        let mut round_trip = RoundTrip::default();
        assert_eq!(round_trip.rto(), None);
        // R in µs, SRTT, RTTVAR, RTO in ms.
        let table = [
            (100_000, 100_000, 50_000, 300),
            (100_000, 100_000, 37_500, 250),
            (180_000, 110_000, 48_125, 303),
            (30_000, 100_000, 56_093, 325),
        ];
        for (r, srtt, rttvar, rto) in table {
            round_trip.measure(Duration::from_micros(r));
            let (s, v) = round_trip.smoothed.unwrap();
            assert_eq!((s, v), (srtt, rttvar));
            assert_eq!(round_trip.rto(), Some(Duration::from_millis(rto)));
        }
    }

    #[test]
    fn lr4_a_steady_link_keeps_one_millisecond_of_patience() {
        let mut round_trip = RoundTrip::default();
        for _ in 0..200 {
            round_trip.measure(Duration::from_micros(400));
        }
        assert_eq!(
            round_trip.rto(),
            Some(Duration::from_millis(2)),
            "0.4 ms and the granularity, rounded up"
        );
    }

    #[test]
    fn k6_a_clock_that_jumped_by_centuries_overflows_nothing() {
        let mut round_trip = RoundTrip::default();
        for _ in 0..3 {
            round_trip.measure(Duration::from_micros(u64::MAX));
            assert!(round_trip.rto() > Some(Duration::from_secs(1000)));
        }
    }
}
