//! A histogram of durations: 64 buckets to each doubling, so that a value read from it is at most
//! 1.6 % above the one that was recorded, from a nanosecond to an hour.

use std::time::Duration;

/// Buckets to a doubling, as a power of two.
const BITS: u32 = 6;
const PER_DOUBLING: usize = 1 << BITS;

/// Counts by duration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// Counts a duration.
    pub(crate) fn record(&mut self, value: Duration) {
        let bucket = bucket(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX));
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
    }

    /// How many were counted.
    pub(crate) fn len(&self) -> u64 {
        self.total
    }

    /// The least bound that `share` (0 to 1) of the values do not exceed. None of none.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        if self.total == 0 {
            return None;
        }
        // Counts are far below 2^52, so the product is exact enough.
        let rank = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_nanos(upper(bucket)))
    }
}

/// Values below `PER_DOUBLING` have a bucket each; above, the top bit and the `BITS` after it choose.
fn bucket(value: u64) -> usize {
    let doubling = (u64::BITS - value.leading_zeros()).saturating_sub(BITS + 1);
    doubling as usize * PER_DOUBLING + (value >> doubling) as usize
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let doubling = (bucket / PER_DOUBLING).saturating_sub(1) as u32;
    let first = (bucket - doubling as usize * PER_DOUBLING) as u64;
    (u128::from(first + 1) << doubling).saturating_sub(1).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Histogram, bucket, upper};

    #[test]
    fn buckets_are_in_order_without_gaps_and_narrow() {
        for value in (0..5000).chain((13..63).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1])) {
            let here = bucket(value);
            assert!(upper(here) >= value, "{value}");
            assert!(upper(here) - value <= value / 64, "{value}: {}", upper(here));
            assert_eq!(bucket(upper(here)), here, "{value}");
            assert_eq!(bucket(upper(here) + 1), here + 1, "{value}");
        }
    }

    #[test]
    fn quantiles_are_ranks() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for value in 1..=60 {
            histogram.record(Duration::from_nanos(value));
        }
        assert_eq!(histogram.len(), 60);
        assert_eq!(histogram.quantile(0.5), Some(Duration::from_nanos(30)));
        assert_eq!(histogram.quantile(0.99), Some(Duration::from_nanos(60)));
        assert_eq!(histogram.quantile(0.0), Some(Duration::from_nanos(1)));
        histogram.record(Duration::from_secs(1));
        let last = histogram.quantile(1.0).unwrap();
        assert!(last >= Duration::from_secs(1) && last < Duration::from_millis(1016), "{last:?}");
    }
}
