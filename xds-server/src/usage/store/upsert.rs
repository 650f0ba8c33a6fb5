//! Statements that add rows to hours and days, the same for both databases but for where rows come from.

use weir_config::usage::{Metric, Units};

/// Tables of sums, with the length of a row's span.
pub(super) const HOURS: &str = "usage_hours";
/// The same, for days.
pub(super) const DAYS: &str = "usage_days";

/// `start_ms, tenant, requests, ...`
pub(super) fn columns() -> String {
    let metrics = Metric::ALL.map(Metric::name);
    format!("start_ms, tenant, {}", metrics.join(", "))
}

/// Adds the rows that `source` gives to those of `table`. A sum stops at the largest number that the column holds.
pub(super) fn statement(table: &str, source: &str) -> String {
    let sums = Metric::ALL.map(|metric| {
        let name = metric.name();
        format!(
            "{name} = CASE WHEN {table}.{name} > {max} - excluded.{name} THEN {max} \
             ELSE {table}.{name} + excluded.{name} END",
            max = i64::MAX
        )
    });
    let columns = columns();
    format!("INSERT INTO {table} ({columns}) {source} ON CONFLICT (start_ms, tenant) DO UPDATE SET {}", sums.join(", "))
}

/// Amounts as columns hold them; the largest stands for all that are larger.
pub(super) fn amounts(units: &Units) -> [i64; Metric::ALL.len()] {
    units.0.map(|amount| i64::try_from(amount).unwrap_or(i64::MAX))
}

/// Amounts of a row; no column holds a negative one.
pub(super) fn units(amounts: [i64; Metric::ALL.len()]) -> Units {
    Units(amounts.map(|amount| u64::try_from(amount).unwrap_or_default()))
}
