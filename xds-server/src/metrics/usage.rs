//! Metrics of taking usage in.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// Handles of the metrics.
pub(crate) struct UsageMetrics {
    streams: Gauge,
    new: Counter,
    duplicate: Counter,
    conflict: Counter,
    malformed: Counter,
    rows: Counter,
    refused: Counter,
    rebooked: Counter,
    aside: Gauge,
    apply: Histogram,
    errors: Counter,
    last: Gauge,
}

impl UsageMetrics {
    /// Metrics at zero, of the recorder that is set.
    pub(super) fn new() -> Self {
        let batches = |result: &'static str| counter!("weir_usage_batches_total", "result" => result);
        Self {
            streams: gauge!("weir_usage_streams"),
            new: batches("new"),
            duplicate: batches("duplicate"),
            conflict: batches("conflict"),
            malformed: batches("malformed"),
            rows: counter!("weir_usage_rows_total"),
            refused: counter!("weir_usage_refused_rows_total"),
            rebooked: counter!("weir_usage_rebooked_batches_total"),
            aside: gauge!("weir_usage_aside"),
            apply: histogram!("weir_usage_apply_seconds"),
            errors: counter!("weir_usage_database_errors_total"),
            last: gauge!("weir_usage_last_applied_timestamp_seconds"),
        }
    }

    pub(crate) fn stream_opened(&self) {
        self.streams.increment(1.0);
    }

    pub(crate) fn stream_closed(&self) {
        self.streams.decrement(1.0);
    }

    /// A batch was booked at `now_ms`, with so many rows.
    pub(crate) fn booked(&self, rows: usize, now_ms: i64) {
        self.new.increment(1);
        self.rows.increment(rows as u64);
        self.last.set(now_ms as f64 / 1000.0);
    }

    /// A batch came that had been booked.
    pub(crate) fn duplicate(&self) {
        self.duplicate.increment(1);
    }

    /// A batch contradicts a stored one.
    pub(crate) fn conflict(&self) {
        self.conflict.increment(1);
    }

    /// A batch can never be applied.
    pub(crate) fn malformed(&self) {
        self.malformed.increment(1);
    }

    /// So many rows were outside their sender's scope.
    pub(crate) fn refused(&self, rows: usize) {
        self.refused.increment(rows as u64);
    }

    /// A batch's time could not be believed.
    pub(crate) fn rebooked(&self) {
        self.rebooked.increment(1);
    }

    /// A transaction with everything around it took so long.
    pub(crate) fn apply_took(&self, took: Duration) {
        self.apply.record(took.as_secs_f64());
    }

    /// The database was away or failed.
    pub(crate) fn database_failed(&self) {
        self.errors.increment(1);
    }

    /// So many things are kept aside.
    pub(crate) fn set_aside(&self, count: i64) {
        self.aside.set(count as f64);
    }
}
