//! What a server's statistics say of usage: what it has stored since its start, and how exporting goes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use weir_config::usage::{Busiest, OTHERS, Series, Units};

/// Both of one server.
#[derive(Debug)]
pub struct Stats {
    /// What it has stored.
    pub tally: Tally,
    /// How exporting goes.
    pub export: Arc<ExportMetrics>,
}

impl Stats {
    /// Nothing yet; at most `tenants` series by name.
    pub fn new(tenants: u32) -> Self {
        Self { tally: Tally::new(tenants), export: Arc::default() }
    }

    /// In Prometheus' text format.
    pub fn render(&self, now_ms: i64) -> String {
        self.tally.render() + &self.export.render(now_ms)
    }
}

/// Amounts that one server has stored since its start, with series for the busiest tenants. The sum over
/// all series, and over the servers that share a database, is what was stored.
#[derive(Debug)]
pub struct Tally {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    tenants: BTreeMap<Arc<str>, Units>,
    busiest: Busiest,
}

impl Tally {
    /// Nothing yet; at most `tenants` series by name.
    pub fn new(tenants: u32) -> Self {
        Self { inner: Mutex::new(Inner { tenants: BTreeMap::new(), busiest: Busiest::new(tenants as usize) }) }
    }

    /// Rows that were stored now for the first time.
    pub fn add<'a>(&self, usage: impl IntoIterator<Item = (&'a str, &'a Units)>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for (tenant, units) in usage {
            match inner.tenants.get_mut(tenant) {
                Some(sum) => sum.add(units),
                None => drop(inner.tenants.insert(tenant.into(), *units)),
            }
        }
    }

    /// In Prometheus' text format.
    pub fn render(&self) -> String {
        let series = {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let Inner { tenants, busiest } = &mut *inner;
            busiest.select(Units::ZERO, tenants.iter().map(|(name, units)| (Arc::clone(name), *units)))
        };
        let Series { named, others } = series;
        let mut text = String::from(
            "# HELP weir_usage_units_total Usage that this server has stored since its start; what is not of a tenant \
             with series of its own is of `(others)`.\n# TYPE weir_usage_units_total counter\n",
        );
        for (tenant, units) in named.iter().map(|(name, units)| (&**name, units)).chain([(OTHERS, &others)]) {
            for (metric, units) in units.iter() {
                let (tenant, metric) = (label(tenant), metric.name());
                // Writing to a string does not fail.
                let _ = writeln!(text, "weir_usage_units_total{{tenant=\"{tenant}\",metric=\"{metric}\"}} {units}");
            }
        }
        text
    }
}

/// How exporting goes.
#[derive(Debug, Default)]
pub struct ExportMetrics {
    /// Whether this server has exported, or tried to.
    any: AtomicBool,
    done: AtomicI64,
    newest: AtomicI64,
    /// When the oldest batch that was not exported came; 0: there is none.
    oldest_ms: AtomicI64,
    taken: AtomicU64,
    refused: AtomicU64,
    failures: AtomicU64,
}

impl ExportMetrics {
    /// How far it is, and when the oldest batch that was not exported came.
    pub fn progress(&self, done: i64, newest: i64, oldest_ms: Option<i64>) {
        self.any.store(true, Relaxed);
        self.done.store(done, Relaxed);
        self.newest.store(newest, Relaxed);
        self.oldest_ms.store(oldest_ms.unwrap_or(0), Relaxed);
    }

    /// So many events were taken.
    pub fn taken(&self, events: usize) {
        self.taken.fetch_add(events as u64, Relaxed);
    }

    /// An event was refused.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// A try failed.
    pub fn failed(&self) {
        self.any.store(true, Relaxed);
        self.failures.fetch_add(1, Relaxed);
    }

    /// In Prometheus' text format; nothing where this server never exported.
    pub fn render(&self, now_ms: i64) -> String {
        if !self.any.load(Relaxed) {
            return String::new();
        }
        let waiting = self.newest.load(Relaxed).saturating_sub(self.done.load(Relaxed)).max(0);
        let lag = match self.oldest_ms.load(Relaxed) {
            0 => 0,
            oldest => now_ms.saturating_sub(oldest).max(0),
        };
        let mut text = String::new();
        let mut one = |name: &str, kind: &str, help: &str, value: String| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        };
        one(
            "weir_usage_export_lag_seconds",
            "gauge",
            "Age of the oldest stored batch that the billing system has not got.",
            format!("{}.{:03}", lag / 1000, lag % 1000),
        );
        one("weir_usage_export_pending_batches", "gauge", "Stored batches that it has not got.", waiting.to_string());
        let counter = |counter: &AtomicU64| counter.load(Relaxed).to_string();
        one("weir_usage_export_events_total", "counter", "Events that it has taken.", counter(&self.taken));
        one(
            "weir_usage_export_refused_total",
            "counter",
            "Events that it refused, kept aside.",
            counter(&self.refused),
        );
        one(
            "weir_usage_export_failures_total",
            "counter",
            "Tries that failed, to be repeated.",
            counter(&self.failures),
        );
        text
    }
}

/// The value of a label.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_bounded_and_add_up() {
        let tally = Tally::new(2);
        for n in 1..=10u64 {
            let name = format!("t{n}");
            tally.add([(name.as_str(), &Units([n; 8]))]);
        }
        tally.add([("-", &Units([100; 8])), ("t10", &Units([5; 8]))]);
        let text = tally.render();
        let requests: Vec<_> = text.lines().filter(|line| line.contains("metric=\"requests\"")).collect();
        assert_eq!(
            requests,
            [
                "weir_usage_units_total{tenant=\"-\",metric=\"requests\"} 100",
                "weir_usage_units_total{tenant=\"t10\",metric=\"requests\"} 15",
                "weir_usage_units_total{tenant=\"t9\",metric=\"requests\"} 9",
                "weir_usage_units_total{tenant=\"(others)\",metric=\"requests\"} 36",
            ]
        );
    }

    #[test]
    fn a_name_breaks_no_line() {
        let tally = Tally::new(1);
        tally.add([("a\"b\\c\nd", &Units([1; 8]))]);
        assert!(tally.render().contains(r#"{tenant="a\"b\\c\nd",metric="requests"} 1"#));
    }

    #[test]
    fn what_waits_to_be_exported_is_told() {
        let metrics = ExportMetrics::default();
        assert_eq!(metrics.render(0), "");
        metrics.progress(3, 10, Some(1_000));
        metrics.taken(5);
        metrics.failed();
        let text = metrics.render(3_500);
        for line in [
            "weir_usage_export_lag_seconds 2.500",
            "weir_usage_export_pending_batches 7",
            "weir_usage_export_events_total 5",
            "weir_usage_export_refused_total 0",
            "weir_usage_export_failures_total 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
