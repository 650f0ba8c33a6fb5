//! Statistics in Prometheus' text format, made anew at each scrape.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use metrics::{counter, gauge, with_local_recorder};
use metrics_exporter_prometheus::PrometheusBuilder;
use weir_config::usage::{Busiest, OTHERS, Series};

use super::Admin;
use crate::meter::{LogState, Metric, Units};
use crate::serve::Totals;
use crate::tls::KeyCounts;
use crate::usage::state::Overview;
use crate::usage::stream::lock as lock_flight;
use crate::xds::stream::lock;

/// All series.
pub(super) fn render(admin: &Admin, busiest: &Mutex<Busiest>) -> String {
    let mut busiest = busiest.lock().unwrap_or_else(PoisonError::into_inner);
    let series = admin.meter.look(|gone, places| busiest.select(gone, places.map(|place| (place.tenant, place.total))));
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    with_local_recorder(&recorder, || {
        tenants(&series);
        usage(&admin.reporter.outbox.state(), lock_flight(&admin.reporter.flight).overview());
        listeners(admin);
        engine(admin.engine.totals());
        keys(admin.keys.counts());
        configuration(admin);
    });
    handle.render()
}

/// Name of a tenant's counter.
fn series(metric: Metric) -> &'static str {
    match metric {
        Metric::Requests => "weir_tenant_requests_total",
        Metric::RequestBytes => "weir_tenant_request_bytes_total",
        Metric::ResponseBytes => "weir_tenant_response_bytes_total",
        Metric::ExecutionMs => "weir_tenant_execution_ms_total",
        Metric::LimitedRequests => "weir_tenant_limited_requests_total",
        Metric::DeniedRequests => "weir_tenant_denied_requests_total",
        Metric::TunnelRequestBytes => "weir_tenant_tunnel_request_bytes_total",
        Metric::TunnelResponseBytes => "weir_tenant_tunnel_response_bytes_total",
    }
}

/// Counters by tenant: the busiest by name, `-` for traffic of no tenant, the rest under [`OTHERS`].
fn tenants(series: &Series) {
    for (tenant, units) in &series.named {
        tenant_series(tenant, units);
    }
    tenant_series(OTHERS, &series.others);
}

/// A series begins when its metric was first used; that of requests is always there.
fn tenant_series(tenant: &str, units: &Units) {
    for (metric, total) in units.iter().filter(|(metric, n)| *n > 0 || *metric == Metric::Requests) {
        counter!(series(metric), "tenant" => tenant.to_owned()).absolute(total);
    }
}

/// How well what is counted is logged and reported.
fn usage(log: &LogState, stream: Overview) {
    gauge!("weir_usage_log_bytes").set(log.bytes as f64);
    gauge!("weir_usage_log_limit_bytes").set(log.limit as f64);
    gauge!("weir_usage_unlogged_seconds").set(age(log.unlogged_since_ms));
    gauge!("weir_usage_unacknowledged_batches").set(log.unacknowledged as f64);
    gauge!("weir_usage_unacknowledged_seconds").set(age(log.oldest_unacknowledged_ms));
    gauge!("weir_usage_alarms").set(log.alarms.len() as f64);
    counter!("weir_usage_merged_batches_total").absolute(log.merged);
    counter!("weir_usage_append_failures_total").absolute(log.append_failures);
    gauge!("weir_usage_connected_state").set(f64::from(u8::from(stream.connected)));
    counter!("weir_usage_streams_total").absolute(stream.counts.streams);
    counter!("weir_usage_streams_given_up_total").absolute(stream.counts.given_up);
    counter!("weir_usage_batches_sent_total").absolute(stream.counts.sent);
    counter!("weir_usage_batches_acknowledged_total").absolute(stream.counts.acknowledged);
    counter!("weir_usage_strange_acks_total").absolute(stream.counts.strange_acks);
}

/// Seconds since a moment of the wall clock; 0 for none.
fn age(since_ms: Option<i64>) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    since_ms.map_or(0.0, |ms| (now - ms as f64 / 1000.0).max(0.0))
}

fn listeners(admin: &Admin) {
    let statuses = admin.statuses.borrow();
    let bound = statuses.values().filter(|status| status.bound.is_some()).count();
    gauge!("weir_listeners_bound").set(bound as f64);
    gauge!("weir_listeners_failed").set((statuses.len() - bound) as f64);
}

fn engine(totals: Totals) {
    counter!("weir_downstream_connections_total").absolute(totals.connections);
    gauge!("weir_downstream_connections_active").set(totals.active as f64);
    for (reason, count) in totals.refused {
        counter!("weir_downstream_connections_refused_total", "reason" => reason).absolute(count);
    }
    for (reason, count) in totals.http2_ended {
        counter!("weir_http2_connections_ended_total", "reason" => reason).absolute(count);
    }
    counter!("weir_udp_sessions_refused_total").absolute(totals.sessions_refused);
    counter!("weir_udp_sessions_shed_total").absolute(totals.sessions_shed);
    counter!("weir_upstream_connections_total").absolute(totals.upstream_connections);
    counter!("weir_upstream_connect_failures_total").absolute(totals.upstream_connect_failures);
    counter!("weir_upstream_retries_total").absolute(totals.retries);
    counter!("weir_upstream_retries_refused_total").absolute(totals.retries_refused);
    counter!("weir_mirrored_requests_total").absolute(totals.copies);
    counter!("weir_mirrored_requests_dropped_total").absolute(totals.copies_dropped);
    for (class, flag, count) in totals.responses {
        counter!("weir_responses_total", "class" => class, "flag" => flag).absolute(count);
    }
}

fn keys(counts: KeyCounts) {
    gauge!("weir_tls_parsed_keys").set(counts.held as f64);
    counter!("weir_tls_keys_parsed_total").absolute(counts.parsed);
    counter!("weir_tls_parsed_keys_evicted_total").absolute(counts.evicted);
    counter!("weir_tls_unusable_keys_total").absolute(counts.unusable);
}

fn configuration(admin: &Admin) {
    let (overview, handshakes) = {
        let pipeline = lock(&admin.pipeline);
        (pipeline.overview(), pipeline.wants().counts())
    };
    gauge!("weir_tls_handshakes_waiting").set(handshakes.waiting as f64);
    counter!("weir_tls_handshakes_refused_total").absolute(handshakes.refused);
    gauge!("weir_control_plane_connected_state").set(f64::from(u8::from(overview.connected)));
    gauge!("weir_xds_resources_warming").set(overview.warming as f64);
    gauge!("weir_xds_resources_rejected").set(overview.rejected as f64);
    counter!("weir_tls_certificates_fetched_total").absolute(overview.secrets_fetched);
    counter!("weir_tls_certificates_evicted_total").absolute(overview.secrets_evicted);
    gauge!("weir_xds_resources_unstored").set(overview.unwritten as f64);
    for (kind, count) in overview.sizes {
        gauge!("weir_xds_resources_active", "type" => kind.message()).set(count as f64);
    }
    let counts = overview.counts;
    counter!("weir_xds_streams_total").absolute(counts.streams);
    counter!("weir_xds_responses_total").absolute(counts.responses);
    counter!("weir_xds_responses_rejected_total").absolute(counts.refused);
    counter!("weir_xds_store_failures_total").absolute(counts.store_failures);
}
