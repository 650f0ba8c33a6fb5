//! Tests that may run for as long as one likes: seeds, one after the other, until the time is up.
//!
//! `WEIR_SOAK_SECONDS` says how long each such test runs; without it a few seconds, from seed 0, so
//! that CI sees the same cases every time. A long run begins at a seed of its own. A failure prints
//! its seed, and `WEIR_SEED=<seed>` runs that one alone. `make soak` finds these tests by `soak_` in
//! their names.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant, SystemTime};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};

/// Length of a test where nothing else is said: all of them together take CI about a minute.
const SHORT: Duration = Duration::from_secs(4);
/// Values of a strategy that a seed stands for.
const VALUES: u32 = 32;

/// Runs `each` with one seed after the other.
///
/// # Panics
/// As `each` does, after it printed the seed; where an environment variable is not a number.
pub fn seeds(mut each: impl FnMut(u64)) {
    let mut run = |seed| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| each(seed))) {
            eprintln!("it failed with seed {seed}; WEIR_SEED={seed} runs it again");
            resume_unwind(panic);
        }
    };
    if let Some(seed) = number("WEIR_SEED") {
        return run(seed);
    }
    let soak = number("WEIR_SOAK_SECONDS").map(Duration::from_secs);
    let first = if soak.is_some() { of_the_clock() } else { 0 };
    let end = Instant::now() + soak.unwrap_or(SHORT);
    let mut count = 0;
    while count == 0 || Instant::now() < end {
        run(first + count);
        count += 1;
    }
    eprintln!("{count} seeds from {first}");
}

/// Holds `property` against values of `strategy`, some of each seed; a failure is made small.
///
/// # Panics
/// Where it does not hold, with the smallest value found and the seed.
pub fn property<S: Strategy>(strategy: &S, property: impl Fn(S::Value) -> TestCaseResult) {
    seeds(|seed| {
        let config = Config { cases: VALUES, failure_persistence: None, ..Config::default() };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        if let Err(error) = TestRunner::new_with_rng(config, rng).run(strategy, &property) {
            panic!("{error}");
        }
    });
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(_) => panic!("{variable}=`{text}` is not a number"),
    }
}

/// A seed that differs from run to run.
fn of_the_clock() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() << 20)
}
