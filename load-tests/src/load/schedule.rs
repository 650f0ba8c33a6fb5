//! When requests of an open loop are due: a Poisson process, the same for every proxy.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Due times, from the begin on.
pub(crate) struct Schedule {
    random: SmallRng,
    /// Mean distance, in seconds.
    mean: f64,
    at: f64,
}

impl Schedule {
    /// `rate` requests a second, on average.
    pub(crate) fn new(rate: f64) -> Self {
        Self { random: SmallRng::seed_from_u64(0x5eed), mean: 1.0 / rate, at: 0.0 }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // In (0, 1], so that its logarithm is finite.
        let share = 1.0 - self.random.random::<f64>();
        self.at -= share.ln() * self.mean;
        Some(Duration::from_secs_f64(self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    #[test]
    fn it_has_its_rate_is_in_order_and_is_always_the_same() {
        let due: Vec<_> = Schedule::new(1000.0).take(20_000).collect();
        assert!(due.is_sorted());
        let seconds = due[19_999].as_secs_f64();
        assert!((19.0..21.0).contains(&seconds), "{seconds}");
        assert!(Schedule::new(1000.0).take(20_000).eq(due.iter().copied()));
        let bursts = due.windows(2).filter(|pair| (pair[1] - pair[0]).as_secs_f64() < 0.000_1).count();
        assert!((1500..2500).contains(&bursts), "a tenth of the distances is below a tenth of the mean: {bursts}");
    }
}
