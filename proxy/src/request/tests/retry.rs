use std::time::Duration;

use proptest::prelude::*;
use weir_config::model::{Retry, RetryBudget, RetryOn};

use crate::request::retry::{Failure, Retries, RetryLimit, RetryTable};

fn table(on: RetryOn, statuses: &[u16]) -> RetryTable {
    RetryTable::new(&Retry { on, statuses: statuses.to_vec(), ..Retry::default() })
}

#[test]
fn each_condition_means_what_it_means_to_envoy() {
    use Failure::{Connect, Reset, Slow, Unprocessed};
    let none = RetryOn::default();
    let cases: [(RetryOn, &[Failure], &[u16]); 6] = [
        (none, &[], &[]),
        (RetryOn { connect_failure: true, ..none }, &[Connect], &[]),
        (RetryOn { refused_stream: true, ..none }, &[Unprocessed], &[]),
        (RetryOn { reset: true, ..none }, &[Connect, Reset, Slow, Unprocessed], &[]),
        (RetryOn { gateway_error: true, ..none }, &[Connect, Reset, Slow, Unprocessed], &[502, 503, 504]),
        (RetryOn { server_error: true, ..none }, &[Connect, Reset, Slow, Unprocessed], &[500, 502, 503, 504, 599]),
    ];
    for (on, failures, statuses) in cases {
        let table = table(on, &[]);
        for failure in [Connect, Reset, Slow, Unprocessed] {
            assert_eq!(table.wants(failure), failures.contains(&failure), "{on:?} {failure:?}");
        }
        for status in [200, 404, 429, 499, 500, 502, 503, 504, 599] {
            assert_eq!(table.wants_status(status), statuses.contains(&status), "{on:?} {status}");
        }
    }
    let listed = table(none, &[404, 500]);
    assert!(listed.wants_status(404) && listed.wants_status(500) && !listed.wants_status(503));
    assert!(!listed.wants(Failure::Reset), "statuses are those of responses");
}

#[test]
fn what_is_not_said_is_envoys_default() {
    let table = table(RetryOn::default(), &[]);
    assert_eq!((table.attempts, table.per_try), (1, None));
    assert_eq!(table.back_off(0, 24_999_999), Duration::from_nanos(24_999_999));
    assert_eq!(table.back_off(0, 25_000_000), Duration::ZERO);
    assert_eq!(table.back_off(9, 249_999_999), Duration::from_nanos(249_999_999), "ten base intervals at most");
    assert_eq!(table.back_off(9, 250_000_000), Duration::ZERO);
}

#[test]
fn a_budget_is_a_fifth_of_what_is_under_way_and_at_least_three() {
    let (budget, limit) = (Retries::default(), RetryLimit::default());
    let few: Vec<_> = (0..5).map(|_| budget.enter()).collect();
    let mut retries: Vec<_> = (0..3).map(|_| budget.retry(limit).unwrap()).collect();
    assert!(budget.retry(limit).is_none());
    let many: Vec<_> = (0..20).map(|_| budget.enter()).collect();
    retries.extend((0..2).map(|_| budget.retry(limit).unwrap()));
    assert!(budget.retry(limit).is_none());
    drop((few, many));
    retries.truncate(3);
    assert!(budget.retry(limit).is_none());
    retries.pop();
    assert!(budget.retry(limit).is_some());
}

#[test]
fn a_budget_is_what_the_cluster_says() {
    let most = |percent, least, under_way: u32| {
        let budget = Retries::default();
        let _under_way: Vec<_> = (0..under_way).map(|_| budget.enter()).collect();
        let limit = RetryLimit::from(RetryBudget { percent, least });
        let granted: Vec<_> = std::iter::from_fn(|| budget.retry(limit)).take(100).collect();
        granted.len()
    };
    assert_eq!(most(0.0, 0, 50), 0, "none at all");
    assert_eq!(most(50.0, 1, 10), 5);
    assert_eq!(most(2.5, 1, 40), 1);
    assert_eq!(most(2.5, 1, 80), 2);
    assert_eq!(most(100.0, 0, 7), 7);
    assert_eq!(most(20.0, 9, 10), 9, "the least, whatever the load");
}

proptest! {
    #[test]
    fn waits_are_no_shorter_than_asked_and_never_pass_the_greatest_interval(
        base in 1u64..1000,
        more in prop::option::of(0u64..10_000),
        before in any::<u32>(),
        random in any::<u64>(),
    ) {
        let (base, max) = (Duration::from_millis(base), more.map(|more| Duration::from_millis(base + more)));
        let table = RetryTable::new(&Retry { back_off: Some((base, max)), ..Retry::default() });
        let wait = table.back_off(before, random);
        prop_assert!(wait <= max.unwrap_or(base * 10));
        prop_assert!(wait >= base, "HTTPRouteRetry.backoff: not before the configured minimum");
        if before == 0 {
            prop_assert!(wait <= base * 2);
        }
    }
}
