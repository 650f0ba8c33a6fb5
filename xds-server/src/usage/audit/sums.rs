//! Whether the sum of batches is the hour's, and the sum of hours the day's, tenant by tenant.

use std::collections::BTreeMap;

use weir_config::usage::{Metric, Units};

use super::{Finding, Kind, Severity};
use crate::usage::span::{Unit, show};

/// Amounts by tenant.
pub type Sums = BTreeMap<String, Units>;

/// Findings about one hour or day at most: where much is wrong, the first tenants tell enough.
const MAX_FINDINGS: usize = 20;

/// A unit, and what it is made of.
const fn words(unit: Unit) -> (&'static str, &'static str) {
    match unit {
        Unit::Hour => ("hour", "batches"),
        Unit::Day => ("day", "hours"),
    }
}

/// Amounts as the store keeps them: they stop at the greatest that it can hold.
fn stored(units: u64) -> u64 {
    units.min(i64::MAX.unsigned_abs())
}

/// Compares what an hour or a day from `start_ms` is made of with what is stored as its sum.
pub fn check(unit: Unit, start_ms: i64, parts: &Sums, sum: &Sums) -> Vec<Finding> {
    let tenants = parts.keys().chain(sum.keys().filter(|tenant| !parts.contains_key(*tenant)));
    let of = |sums: &Sums, tenant: &String| sums.get(tenant).copied().unwrap_or_default();
    let differences = tenants.filter_map(|tenant| {
        let (parts, sum) = (of(parts, tenant), of(sum, tenant));
        let wrong: Vec<_> = Metric::ALL.into_iter().filter(|m| stored(parts[*m]) != stored(sum[*m])).collect();
        (!wrong.is_empty()).then(|| difference(unit, start_ms, tenant, (&parts, &sum), &wrong))
    });
    differences.take(MAX_FINDINGS).collect()
}

fn difference(unit: Unit, start_ms: i64, tenant: &str, (parts, sum): (&Units, &Units), wrong: &[Metric]) -> Finding {
    let (whole, of) = words(unit);
    let texts = wrong.iter().map(|m| format!("{} is {}, {of} have {}", m.name(), sum[*m], parts[*m]));
    let message = format!("tenant {tenant}, {whole} of {}: {}", show(start_ms), texts.collect::<Vec<_>>().join("; "));
    let action = "both are written in one transaction: see whether the database was edited or damaged; docs/usage.md \
                  says how to sum anew";
    let mut finding = Finding::new(Severity::Gap, Kind::WrongSum, message, action);
    finding.tenant = Some(tenant.to_owned());
    for metric in wrong {
        let missing = i128::from(parts[*metric]) - i128::from(sum[*metric]);
        let missing = i64::try_from(missing).unwrap_or(if missing < 0 { i64::MIN } else { i64::MAX });
        finding.amounts.insert(metric.name().to_owned(), missing);
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(of: &[(&str, [u64; 8])]) -> Sums {
        of.iter().map(|(tenant, units)| ((*tenant).to_owned(), Units(*units))).collect()
    }

    #[test]
    fn equal_sums_are_well() {
        let sums = sums(&[("acme", [1; 8]), ("-", [2; 8])]);
        assert_eq!(check(Unit::Hour, 0, &sums, &sums), []);
    }

    #[test]
    fn a_difference_names_tenant_metric_and_amount() {
        let parts = sums(&[("acme", [5, 1, 1, 1, 1, 1, 1, 1]), ("only-parts", [1, 0, 0, 0, 0, 0, 0, 0])]);
        let whole = sums(&[("acme", [3, 1, 2, 1, 1, 1, 1, 1]), ("only-sum", [0, 0, 0, 0, 0, 0, 0, 9])]);
        let found = check(Unit::Hour, 3_600_000, &parts, &whole);
        let amounts: Vec<_> = found.iter().map(|f| (f.tenant.clone().unwrap(), f.amounts.clone())).collect();
        let one = |name: &str, n: i64| BTreeMap::from([(name.to_owned(), n)]);
        assert_eq!(
            amounts,
            [
                ("acme".to_owned(), BTreeMap::from([("requests".to_owned(), 2), ("response_bytes".to_owned(), -1)])),
                ("only-parts".to_owned(), one("requests", 1)),
                ("only-sum".to_owned(), one("tunnel_response_bytes", -9)),
            ]
        );
        assert_eq!(
            found[0].message,
            "tenant acme, hour of 1970-01-01T01:00:00Z: requests is 3, batches have 5; response_bytes is 2, batches have 1"
        );
        assert!(check(Unit::Day, 0, &parts, &whole)[0].message.contains("hours have 5"));
    }

    #[test]
    fn amounts_beyond_what_a_store_holds_are_no_difference() {
        let parts = sums(&[("acme", [u64::MAX; 8])]);
        assert_eq!(check(Unit::Hour, 0, &parts, &sums(&[("acme", [i64::MAX as u64; 8])])), []);
    }

    #[test]
    fn findings_are_bounded() {
        let parts = (0..1000).map(|n| (format!("t{n}"), Units([1; 8]))).collect();
        assert_eq!(check(Unit::Hour, 0, &parts, &Sums::new()).len(), MAX_FINDINGS);
    }
}
