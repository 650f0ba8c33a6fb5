//! Usage of the month, for the statuses of Tenants.
//!
//! It is read every few minutes, and counts whole hours, so that a few sums a tenant are read and a status changes at
//! most once an hour. Amounts are rounded down to three digits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use weir_config::usage::{Metric, Units};

use crate::state::State;
use crate::status::MonthUsage;
use crate::usage::answer::{AnswerError, answer};
use crate::usage::query::{By, Question};
use crate::usage::span::{HOUR_MS, Span, floor};
use crate::usage::store::Store;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(300);

/// Reads usage for ever.
pub(super) async fn keep(store: &Store, state: &Arc<State>) {
    loop {
        match month(store).await {
            Ok(usage) => state.set_usage(usage),
            // The store says itself that it is away.
            Err(error) => tracing::debug!(%error, "usage of the month cannot be read for the statuses of tenants"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn month(store: &Store) -> Result<HashMap<String, MonthUsage>, AnswerError> {
    let now = k8s_openapi::jiff::Timestamp::now();
    let (month, since_ms) = month_of(now.as_millisecond());
    let until_ms = floor(now.as_millisecond(), HOUR_MS);
    let mut usage = HashMap::new();
    if until_ms <= since_ms {
        return Ok(usage);
    }
    let question = Question { span: Span { since_ms, until_ms }, tenant: None, by: By::Total };
    let mut pages = answer(store, question).await?.pages;
    while let Some(page) = pages.recv().await {
        for row in page? {
            usage.insert(row.tenant.clone(), rounded(&month, &row.units));
        }
    }
    Ok(usage)
}

/// Name and begin of the month (UTC) that a point in time is in.
fn month_of(now_ms: i64) -> (String, i64) {
    let now = k8s_openapi::jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default();
    let date = now.to_zoned(k8s_openapi::jiff::tz::TimeZone::UTC).date();
    let first = date.first_of_month().to_zoned(k8s_openapi::jiff::tz::TimeZone::UTC);
    (date.strftime("%Y-%m").to_string(), first.map_or(now_ms, |first| first.timestamp().as_millisecond()))
}

fn rounded(month: &str, units: &Units) -> MonthUsage {
    let bytes = [Metric::RequestBytes, Metric::ResponseBytes, Metric::TunnelRequestBytes, Metric::TunnelResponseBytes];
    let bytes = bytes.iter().fold(0u64, |sum, metric| sum.saturating_add(units[*metric]));
    MonthUsage { month: month.to_owned(), requests: round(units[Metric::Requests]), bytes: round(bytes) }
}

/// Down to three digits.
fn round(amount: u64) -> u64 {
    let unit = 10u64.pow(amount.checked_ilog10().unwrap_or(0).saturating_sub(2));
    amount / unit * unit
}

#[cfg(test)]
mod tests {
    use super::{month_of, round};

    #[test]
    fn amounts_keep_three_digits() {
        let rounded = [0, 7, 999, 1000, 1009, 1_234_567, u64::MAX].map(round);
        assert_eq!(rounded, [0, 7, 999, 1000, 1000, 1_230_000, 18_400_000_000_000_000_000]);
    }

    #[test]
    fn a_month_begins_at_its_first_midnight_utc() {
        let (month, since) = month_of(1_764_032_523_000);
        assert_eq!((month.as_str(), since), ("2025-11", 1_761_955_200_000));
    }
}
