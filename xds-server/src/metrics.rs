//! The server's metrics. They belong to one server, not to the process: `weir up` has two halves.

mod usage;

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use weir_config::kinds::Kind;
use weir_config::model::ResourceType;

pub(crate) use usage::UsageMetrics;

/// Upper bounds of the histograms of times, in seconds.
const BUCKETS: &[f64] = &[0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Bounds because of which a stream may be refused, as the settings of `load` name them.
pub(crate) const STREAM_BOUNDS: [&str; 3] = ["streams", "streamsPerIdentity", "streamsPerSecond"];

/// Why a caller of the xDS port may be refused (docs/authentication.md).
pub(crate) const CALLER_REFUSALS: [&str; 12] = [
    "none",
    "malformed",
    "unknown_key",
    "signature",
    "audience",
    "expired",
    "not_yet_valid",
    "not_vouched",
    "certificate",
    "revoked",
    "no_role",
    "unavailable",
];

/// Handles of every metric.
pub struct Metrics {
    handle: PrometheusHandle,
    objects: Vec<Gauge>,
    resources: Vec<Gauge>,
    sent: Vec<Counter>,
    responses: Vec<Counter>,
    refused: Vec<Counter>,
    statuses: Vec<Counter>,
    streams: Gauge,
    streams_refused: Vec<Counter>,
    streams_aged: Counter,
    callers_refused: Vec<Counter>,
    findings: Gauge,
    access_logs: Gauge,
    access_log_entries: Counter,
    access_log_overflow: Counter,
    translate: Histogram,
    pub(crate) usage: UsageMetrics,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Metrics at zero.
    ///
    /// # Errors
    /// Never with the buckets above, which are not empty.
    pub fn new() -> anyhow::Result<Self> {
        let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), BUCKETS)?;
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        Ok(with_local_recorder(&recorder, || {
            let by_type = |name: &'static str| -> Vec<Counter> {
                ResourceType::ALL.iter().map(|kind| counter!(name, "type" => kind.message())).collect()
            };
            Self {
                handle,
                objects: Kind::ALL.iter().map(|kind| gauge!("weir_objects", "kind" => kind.name())).collect(),
                resources: ResourceType::ALL
                    .iter()
                    .map(|kind| gauge!("weir_xds_resources", "type" => kind.message()))
                    .collect(),
                sent: by_type("weir_xds_resources_sent_total"),
                statuses: Kind::ALL
                    .iter()
                    .map(|kind| counter!("weir_statuses_written_total", "kind" => kind.name()))
                    .collect(),
                responses: by_type("weir_xds_responses_total"),
                refused: by_type("weir_xds_refusals_total"),
                streams: gauge!("weir_xds_streams"),
                streams_refused: STREAM_BOUNDS
                    .iter()
                    .map(|bound| counter!("weir_xds_streams_refused_total", "bound" => *bound))
                    .collect(),
                streams_aged: counter!("weir_xds_streams_aged_total"),
                callers_refused: CALLER_REFUSALS
                    .iter()
                    .map(|why| counter!("weir_xds_callers_refused_total", "reason" => *why))
                    .collect(),
                findings: gauge!("weir_findings"),
                access_logs: gauge!("weir_access_log_streams"),
                access_log_entries: counter!("weir_access_log_entries_total"),
                access_log_overflow: counter!("weir_access_log_overflow_total"),
                translate: histogram!("weir_translate_seconds"),
                usage: UsageMetrics::new(),
            }
        }))
    }

    /// All of them in Prometheus' text format.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    pub(crate) fn stream_opened(&self) {
        self.streams.increment(1.0);
    }

    pub(crate) fn stream_closed(&self) {
        self.streams.decrement(1.0);
    }

    /// A stream was not let in, because of one of [`STREAM_BOUNDS`].
    pub(crate) fn stream_refused(&self, bound: &str) {
        let of = STREAM_BOUNDS.iter().zip(&self.streams_refused).find(|(name, _)| **name == bound);
        of.into_iter().for_each(|(_, counter)| counter.increment(1));
    }

    /// A caller was not let in, for one of [`CALLER_REFUSALS`].
    pub(crate) fn caller_refused(&self, why: &str) {
        let of = CALLER_REFUSALS.iter().zip(&self.callers_refused).find(|(name, _)| **name == why);
        of.into_iter().for_each(|(_, counter)| counter.increment(1));
    }

    /// A stream ended because of its age.
    pub(crate) fn stream_aged(&self) {
        self.streams_aged.increment(1);
    }

    /// A response with so many resources and removals went out.
    pub(crate) fn sent(&self, kind: ResourceType, resources: usize) {
        self.responses[kind as usize].increment(1);
        self.sent[kind as usize].increment(resources as u64);
    }

    /// A status was written to an object.
    pub(crate) fn status_written(&self, kind: Kind) {
        self.statuses[kind as usize].increment(1);
    }

    /// A NACK came.
    pub(crate) fn refused(&self, kind: ResourceType) {
        self.refused[kind as usize].increment(1);
    }

    pub(crate) fn access_log_opened(&self) {
        self.access_logs.increment(1.0);
    }

    pub(crate) fn access_log_closed(&self) {
        self.access_logs.decrement(1.0);
    }

    /// An Envoy reported so many exchanges.
    pub(crate) fn access_log_entries(&self, entries: usize) {
        self.access_log_entries.increment(entries as u64);
    }

    /// So many of them were charged to no tenant, for want of room.
    pub(crate) fn access_log_overflow(&self, entries: u64) {
        self.access_log_overflow.increment(entries);
    }

    pub(crate) fn translated(&self, took: Duration) {
        self.translate.record(took.as_secs_f64());
    }

    pub(crate) fn set_findings(&self, count: usize) {
        self.findings.set(count as f64);
    }

    pub(crate) fn set_resources(&self, kind: ResourceType, count: usize) {
        self.resources[kind as usize].set(count as f64);
    }

    pub(crate) fn set_objects(&self, kind: Kind, count: usize) {
        self.objects[kind as usize].set(count as f64);
    }
}
