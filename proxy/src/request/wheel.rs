//! Shares that are exact over time: a wheel with a slot for each unit of weight, turned by a counter.

/// A fixed order of choices in which choice `i` comes `weight[i] / gcd` times a turn, well spread.
/// It repeats after `sum / gcd` steps, hence *any* window of that many steps has the exact shares,
/// wherever it begins.
///
/// There is no table of slots: step `n` lands on slot `n * stride mod period`, with a stride near
/// the golden section of the period and coprime to it (every slot is met once a turn, neighbours
/// far apart), and choices own slots in ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wheel {
    period: u32,
    stride: u32,
    /// End of each choice's range.
    ends: Box<[u32]>,
}

impl Wheel {
    /// A wheel for `weights`; none if they are all zero. A sum beyond `u32::MAX` is scaled down,
    /// where a weight that is not zero stays at least 1.
    pub fn new(weights: &[u32]) -> Option<Self> {
        let divisor = weights.iter().fold(0, |a, b| gcd(a, u64::from(*b)));
        if divisor == 0 {
            return None;
        }
        let mut units: Vec<u64> = weights.iter().map(|w| u64::from(*w) / divisor).collect();
        while units.iter().sum::<u64>() > u64::from(u32::MAX) {
            units.iter_mut().for_each(|u| *u = u.div_ceil(2));
        }
        let mut end = 0;
        let ends: Box<[u32]> = units
            .iter()
            .map(|unit| {
                end += *unit as u32;
                end
            })
            .collect();
        Some(Self { period: end, stride: stride(end), ends })
    }

    /// The choice at step `n`.
    #[inline]
    pub fn at(&self, n: u64) -> usize {
        if self.ends.len() == 1 {
            return 0;
        }
        let period = u64::from(self.period);
        let slot = ((n % period) * u64::from(self.stride) % period) as u32;
        self.ends.partition_point(|end| *end <= slot)
    }

    /// Steps after which the order repeats.
    pub fn period(&self) -> u32 {
        self.period
    }
}

/// A number near the golden section of `period` and coprime to it, of those nearby the one whose
/// ratio to `period` is hardest to approximate: the smaller the largest term of its continued
/// fraction, the more evenly its multiples lie.
fn stride(period: u32) -> u32 {
    let golden = (f64::from(period) * 0.618_033_988_749_895) as u32;
    let near = golden.saturating_sub(32).max(1)..golden.saturating_add(32).min(period);
    near.filter_map(|stride| Some((largest_term(period, stride)?, stride))).min().map_or(1, |(_, stride)| stride)
}

/// The largest term of the continued fraction of `a / b`; none if they are not coprime.
fn largest_term(mut a: u32, mut b: u32) -> Option<u32> {
    let mut largest = 0;
    while b != 0 {
        largest = largest.max(a / b);
        (a, b) = (b, a % b);
    }
    (a == 1).then_some(largest)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::Wheel;
    use proptest::prelude::*;

    #[test]
    fn one_in_ten_comes_every_tenth_time() {
        let wheel = Wheel::new(&[90, 10]).unwrap();
        assert_eq!(wheel.period(), 10);
        let canary: Vec<_> = (0..40).filter(|n| wheel.at(*n) == 1).collect();
        assert_eq!(canary.len(), 4);
        assert!(canary.windows(2).all(|w| w[1] - w[0] == 10), "{canary:?}");
    }

    #[test]
    fn equal_weights_alternate_and_zero_gets_nothing() {
        let wheel = Wheel::new(&[7, 0, 7]).unwrap();
        let order: Vec<_> = (0..4).map(|n| wheel.at(n)).collect();
        assert!(order == [0, 2, 0, 2] || order == [2, 0, 2, 0], "{order:?}");
        assert_eq!(Wheel::new(&[0, 0]), None);
        assert_eq!(Wheel::new(&[]), None);
    }

    #[test]
    fn the_largest_weights_are_scaled() {
        let wheel = Wheel::new(&[u32::MAX, u32::MAX - 1, 1]).unwrap();
        let seen: Vec<_> = (0..1000).map(|n| wheel.at(n)).collect();
        for choice in [0, 1] {
            let share = seen.iter().filter(|c| **c == choice).count();
            assert!((498..=502).contains(&share), "{share}");
        }
    }

    proptest! {
        #[test]
        fn any_window_has_the_exact_shares(weights in prop::collection::vec(0u32..40, 1..6), start in any::<u32>()) {
            let Some(wheel) = Wheel::new(&weights) else { return Ok(()) };
            let start = u64::from(start);
            let mut counts = vec![0u64; weights.len()];
            for n in start..start + u64::from(wheel.period()) {
                counts[wheel.at(n)] += 1;
            }
            let sum: u64 = weights.iter().map(|w| u64::from(*w)).sum();
            for (count, weight) in counts.iter().zip(&weights) {
                prop_assert_eq!(count * sum, u64::from(*weight) * u64::from(wheel.period()));
            }
        }

        #[test]
        fn a_choice_never_runs_far_ahead_of_its_share(a in 1u32..100, b in 1u32..100) {
            let wheel = Wheel::new(&[a, b]).unwrap();
            let share = f64::from(a) / f64::from(a + b);
            let mut count = 0.0;
            for n in 0..u64::from(wheel.period()) * 2 {
                count += if wheel.at(n) == 0 { 1.0 } else { 0.0 };
                prop_assert!((count - share * (n + 1) as f64).abs() < 4.0, "step {}: {}", n, count);
            }
        }
    }
}
