//! Statistics in Prometheus' text format, made anew at each scrape.

use std::collections::BTreeMap;

use metrics::{counter, gauge, with_local_recorder};
use metrics_exporter_prometheus::PrometheusBuilder;

use super::Admin;
use crate::meter::Metric;
use crate::serve::Totals;
use crate::xds::stream::lock;

/// Tenants with series of their own. What is above is added up under [`OTHERS`], so that a scrape
/// stays readable whatever is configured; usage exports hold every tenant.
const MAX_TENANTS: usize = 10_000;
/// The tenant of the rest. No tenant can have this name: names are DNS labels.
const OTHERS: &str = "(others)";

/// All series.
pub(super) fn render(admin: &Admin) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    with_local_recorder(&recorder, || {
        tenants(admin.meter.totals());
        listeners(admin);
        engine(admin.engine.totals());
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

/// Counters by tenant; `-` is traffic of no tenant.
fn tenants(totals: impl Iterator<Item = (std::sync::Arc<str>, Metric, u64)>) {
    let mut others: BTreeMap<Metric, u64> = BTreeMap::new();
    for (place, (tenant, metric, total)) in totals.enumerate() {
        if place / Metric::ALL.len() >= MAX_TENANTS {
            *others.entry(metric).or_default() += total;
        } else if total > 0 || metric == Metric::Requests {
            counter!(series(metric), "tenant" => tenant.to_string()).absolute(total);
        }
    }
    for (metric, total) in others {
        counter!(series(metric), "tenant" => OTHERS).absolute(total);
    }
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
    counter!("weir_downstream_connections_refused_total").absolute(totals.refused);
    counter!("weir_upstream_connections_total").absolute(totals.upstream_connections);
    counter!("weir_upstream_connect_failures_total").absolute(totals.upstream_connect_failures);
    for (class, flag, count) in totals.responses {
        counter!("weir_responses_total", "class" => class, "flag" => flag).absolute(count);
    }
}

fn configuration(admin: &Admin) {
    let overview = lock(&admin.pipeline).overview();
    gauge!("weir_control_plane_connected_state").set(f64::from(u8::from(overview.connected)));
    gauge!("weir_xds_resources_warming").set(overview.warming as f64);
    gauge!("weir_xds_resources_rejected").set(overview.rejected as f64);
    for (kind, count) in overview.sizes {
        gauge!("weir_xds_resources_active", "type" => kind.message()).set(count as f64);
    }
    let counts = overview.counts;
    counter!("weir_xds_streams_total").absolute(counts.streams);
    counter!("weir_xds_responses_total").absolute(counts.responses);
    counter!("weir_xds_responses_rejected_total").absolute(counts.refused);
    counter!("weir_xds_store_failures_total").absolute(counts.store_failures);
}
