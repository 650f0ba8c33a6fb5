use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::*;
use crate::testing::soak;

fn requests(n: u64) -> Units {
    let mut units = Units::ZERO;
    units[Metric::Requests] = n;
    units
}

/// Names with requests of a selection, [`OTHERS`] last.
fn shown(series: &Series) -> Vec<(&str, u64)> {
    let named = series.named.iter().map(|(name, units)| (&**name, units[Metric::Requests]));
    named.chain([(OTHERS, series.others[Metric::Requests])]).collect()
}

/// A selection among tenants that only made requests.
fn select(busiest: &mut Busiest, gone: u64, tenants: &[(&str, u64)]) -> Vec<(String, u64)> {
    let series = busiest.select(requests(gone), tenants.iter().map(|(name, n)| (*name, requests(*n))));
    shown(&series).into_iter().map(|(name, n)| (name.to_owned(), n)).collect()
}

fn are(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    expected.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
}

#[test]
fn the_busiest_have_names_and_the_rest_is_summed() {
    let mut busiest = Busiest::new(2);
    let got = select(&mut busiest, 0, &[("a", 1), ("b", 5), ("c", 9), ("d", 2), ("-", 7)]);
    assert_eq!(got, are(&[("-", 7), ("b", 5), ("c", 9), (OTHERS, 3)]));
}

#[test]
fn where_all_fit_each_shows_its_whole_total_whenever_it_came() {
    let mut busiest = Busiest::new(2);
    assert_eq!(select(&mut busiest, 0, &[("a", 0), ("b", 0), ("c", 0)]), are(&[(OTHERS, 0)]));
    assert_eq!(select(&mut busiest, 0, &[("a", 4), ("b", 0), ("c", 0)]), are(&[("a", 4), (OTHERS, 0)]));
    assert_eq!(select(&mut busiest, 0, &[("a", 5), ("b", 3), ("c", 0)]), are(&[("a", 5), ("b", 3), (OTHERS, 0)]));
}

#[test]
fn a_name_stays_until_its_tenant_is_gone_and_its_place_goes_to_the_busiest_from_zero() {
    let mut busiest = Busiest::new(1);
    assert_eq!(select(&mut busiest, 0, &[("a", 2), ("b", 1)]), are(&[("a", 2), (OTHERS, 1)]));
    assert_eq!(select(&mut busiest, 0, &[("a", 2), ("b", 50)]), are(&[("a", 2), (OTHERS, 50)]));
    // `a` used one more before it went; what `b` had used before stays where it was shown.
    assert_eq!(select(&mut busiest, 3, &[("b", 60)]), are(&[("b", 0), (OTHERS, 63)]));
    assert_eq!(select(&mut busiest, 3, &[("b", 61)]), are(&[("b", 1), (OTHERS, 63)]));
}

#[test]
fn a_tenant_that_was_gone_and_is_back_within_two_selections_goes_on() {
    let mut busiest = Busiest::new(1);
    assert_eq!(select(&mut busiest, 0, &[("a", 10)]), are(&[("a", 10), (OTHERS, 0)]));
    assert_eq!(select(&mut busiest, 12, &[("a", 3)]), are(&[("a", 13), (OTHERS, 2)]));
}

#[test]
fn a_request_weighs_as_much_as_a_kibibyte_whichever_way_it_went() {
    for metric in [Metric::RequestBytes, Metric::ResponseBytes, Metric::TunnelRequestBytes, Metric::TunnelResponseBytes]
    {
        let mut bytes = Units::ZERO;
        bytes[metric] = 1025;
        let series = Busiest::new(1).select(Units::ZERO, [("a", requests(1)), ("b", bytes)]);
        assert_eq!(series.named, [("b".into(), bytes)], "{}", metric.name());
    }
}

#[test]
fn without_places_all_is_summed() {
    assert_eq!(select(&mut Busiest::new(0), 1, &[("a", 2), ("-", 4)]), are(&[("-", 4), (OTHERS, 3)]));
}

/// What may happen between two selections.
#[derive(Clone, Debug)]
enum Step {
    Use(usize, [u64; 8]),
    Leave(usize),
    Select,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let units = prop_oneof![Just([0; 8]), prop::array::uniform8(0u64..5), prop::array::uniform8(0u64..5000)];
    let step = prop_oneof![
        4 => (0usize..8, units).prop_map(|(n, units)| Step::Use(n, units)),
        1 => (0usize..8).prop_map(Step::Leave),
        2 => Just(Step::Select),
    ];
    prop::collection::vec(step, 1..80)
}

const NAMES: [&str; 8] = ["-", "a", "b", "c", "d", "e", "f", "g"];

fn grows(before: &Units, after: &Units) -> bool {
    before.iter().all(|(metric, n)| n <= after[metric])
}

/// Over any sequence: sums are exact, series only grow, a name stays while its tenant does, and there are
/// never more than the limit.
#[test]
fn soak_usage_series_add_up_and_only_grow() {
    soak::property(&(0usize..6, steps()), |(limit, steps)| {
        let mut busiest = Busiest::new(limit);
        let (mut gone, mut live) = (Units::ZERO, BTreeMap::<&str, Units>::new());
        let mut before = Series::default();
        // Those who were gone in some moment since the selection before.
        let mut left = Vec::new();
        for step in steps {
            match step {
                Step::Use(n, units) => live.entry(NAMES[n]).or_default().add(&Units(units)),
                Step::Leave(n) => {
                    if let Some(total) = live.remove(NAMES[n]) {
                        gone.add(&total);
                        left.push(NAMES[n]);
                    }
                }
                Step::Select => {
                    let now = busiest.select(gone, live.iter().map(|(name, total)| (*name, *total)));
                    let mut total = gone;
                    live.values().for_each(|units| total.add(units));
                    check(&before, &now, &total, limit, &left)?;
                    before = now;
                    left.clear();
                }
            }
        }
        Ok(())
    });
}

fn check(before: &Series, now: &Series, total: &Units, limit: usize, left: &[&str]) -> TestCaseResult {
    let mut sum = now.others;
    now.named.iter().for_each(|(_, units)| sum.add(units));
    prop_assert_eq!(&sum, total, "sums are exact");
    prop_assert!(grows(&before.others, &now.others), "{OTHERS} only grows");
    let named: BTreeMap<_, _> = now.named.iter().cloned().collect();
    prop_assert!(named.keys().filter(|name| &***name != NO_TENANT).count() <= limit);
    for (name, units) in &before.named {
        match named.get(name) {
            Some(after) => prop_assert!(grows(units, after), "{name} only grows"),
            None => prop_assert!(left.contains(&&**name), "{name} stays while its tenant does"),
        }
    }
    Ok(())
}
