use proptest::prelude::*;
use weir_config::model::TokenBucket;

use crate::request::Budget;
use crate::request::limit::{Bucket, Rate};

const SECOND: u64 = 1_000_000_000;

fn bucket(max_tokens: u32, tokens_per_fill: u32, fill_interval_ms: u64) -> Bucket {
    Bucket::new(Rate::new(&TokenBucket { max_tokens, tokens_per_fill, fill_interval_ms }))
}

fn budget(limit: u32, remaining: u32, reset: u32) -> Budget {
    Budget { limit, remaining, reset, headers: false }
}

/// What Envoy 1.40 answers with the same settings at the same times.
#[test]
fn figures_are_those_of_envoy() {
    let bucket = bucket(5, 2, 4000);
    let start = 100 * SECOND;
    for left in [4, 3, 2, 1] {
        assert_eq!(bucket.take(start), (true, budget(5, left, 0)));
    }
    assert_eq!(bucket.take(start), (true, budget(5, 0, 2)));
    assert_eq!(bucket.take(start + SECOND / 100), (false, budget(5, 0, 2)));
    assert_eq!(bucket.take(start + SECOND * 11 / 10), (false, budget(5, 0, 1)));
    assert_eq!(bucket.take(start + SECOND * 2 - 1), (false, budget(5, 0, 1)));
    assert_eq!(bucket.take(start + SECOND * 2), (true, budget(5, 0, 2)));
    assert!(!bucket.is_full(start + SECOND * 12 - 1));
    assert!(bucket.is_full(start + SECOND * 12));
    assert_eq!(bucket.take(start + SECOND * 60), (true, budget(5, 4, 0)), "never more than it holds");
}

#[test]
fn a_clock_that_stands_behind_another_threads_gains_nothing() {
    let bucket = bucket(2, 1, 1000);
    assert!(bucket.take(10 * SECOND).0);
    assert!(!bucket.take(9 * SECOND).0, "a second ago there was one token less");
    assert!(bucket.take(10 * SECOND).0);
    assert!(!bucket.take(10 * SECOND).0);
}

#[test]
fn the_slowest_and_the_largest_work() {
    let slow = bucket(u32::MAX, 1, 86_400_000 * 365);
    for left in [1, 2, 3] {
        assert_eq!(slow.take(SECOND), (true, budget(u32::MAX, u32::MAX - left, 0)));
    }
    let fast = bucket(1000, u32::MAX, 50);
    for _ in 0..1000 {
        assert!(fast.take(0).0);
    }
    assert!(!fast.take(0).0);
    assert!(fast.take(SECOND).0);
}

#[test]
fn threads_together_get_no_more_than_there_is() {
    let bucket = bucket(1000, 1, 3_600_000);
    let taken: usize = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..1000).filter(|_| bucket.take(SECOND).0).count())).collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(taken, 1000);
}

proptest! {
    /// Against the fluid it stands for: exact to a token's rounding, and never more.
    #[test]
    fn it_grants_what_has_flowed_in(
        max in 1u32..50,
        per_fill in 1u32..200,
        interval in 50u64..5000,
        steps in prop::collection::vec(0u64..300_000_000, 1..400),
    ) {
        let bucket = bucket(max, per_fill, interval);
        let rate = f64::from(per_fill) / (interval as f64 * 1e6);
        let mut now = SECOND;
        let mut level = f64::from(max);
        for step in steps {
            now += step;
            level = (level + rate * step as f64).min(f64::from(max));
            let (taken, budget) = bucket.take(now);
            if taken {
                level -= 1.0;
                prop_assert!(level > -1e-3, "granted a token that had not come: {}", level);
            } else {
                prop_assert!(level < 1.0 + 1e-3, "refused one that was there: {}", level);
            }
            prop_assert!((f64::from(budget.remaining) - level.max(0.0)).abs() < 1.01);
            prop_assert_eq!(budget.reset == 0, budget.remaining > 0);
        }
    }

    #[test]
    fn no_window_gets_more_than_rate_and_burst(
        max in 1u32..20,
        per_fill in 1u32..50,
        interval in 50u64..1000,
        steps in prop::collection::vec(0u64..50_000_000, 1..150),
    ) {
        let bucket = bucket(max, per_fill, interval);
        let mut now = 0;
        let mut granted = Vec::new();
        for step in steps {
            now += step;
            if bucket.take(now).0 {
                granted.push(now);
            }
        }
        for (first, from) in granted.iter().enumerate() {
            for (last, to) in granted.iter().enumerate().skip(first) {
                let came = u128::from(to - from) * u128::from(per_fill) / (u128::from(interval) * 1_000_000);
                prop_assert!((last - first + 1) as u128 <= u128::from(max) + came + 1);
            }
        }
    }
}
