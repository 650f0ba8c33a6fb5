//! How a stock Envoy is metered: it reports each exchange to the access log service of the server that
//! configures it. Only Envoys get this; Weir's own proxy counts for itself.
//!
//! Whose an exchange was is read from metadata that the server wrote, never from what a client sent.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::grpc_service::{EnvoyGrpc, TargetSpecifier};
use envoy_types::pb::envoy::config::core::v3::{ApiVersion, GrpcService};
use envoy_types::pb::envoy::extensions::access_loggers::grpc::v3::{
    CommonGrpcAccessLogConfig, HttpGrpcAccessLogConfig,
};
use envoy_types::pb::envoy::r#type::tracing::v3::CustomTag;
use envoy_types::pb::envoy::r#type::tracing::v3::custom_tag::Type;
use envoy_types::pb::google::protobuf::Duration as ProtoDuration;
use xds_api::pb::envoy::config::accesslog::v3::access_log::ConfigType;
use xds_api::pb::envoy::config::accesslog::v3::access_log_filter::FilterSpecifier;
use xds_api::pb::envoy::config::accesslog::v3::{AccessLog, AccessLogFilter, LogTypeFilter};
use xds_api::pb::envoy::data::accesslog::v3::AccessLogType;
use xds_api::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::HcmAccessLogOptions;

use super::metadata::TENANT;
use super::{METADATA, scalar};

/// Client feature of an Envoy that has the static cluster [`SERVER_CLUSTER`] and reports usage to it.
pub const FEATURE_USAGE_ALS: &str = "weir.dev/usage-als";
/// Name of the static cluster by which an Envoy reaches its server. Envoy refuses a listener that logs to
/// a cluster that it does not have, so only a node with [`FEATURE_USAGE_ALS`] gets one.
pub const SERVER_CLUSTER: &str = "weir-xds";
/// Name of the log: what a stream says that it carries.
pub const USAGE_LOG: &str = "weir-usage";
/// How often an exchange that runs is reported; its entries are cumulative.
pub const USAGE_INTERVAL: Duration = Duration::from_secs(10);
/// How long Envoy holds entries back. What it holds is lost with it.
const FLUSH: Duration = Duration::from_secs(1);

/// Tag: the route's tenant.
pub const TAG_TENANT: &str = "tenant";
/// Tag: the virtual host's tenant, for where no route matched.
pub const TAG_HOST_TENANT: &str = "host_tenant";
/// Tag: Envoy's number of the connection.
pub const TAG_CONNECTION: &str = "connection";
/// Tag: when the entry was made, in microseconds since 1970, by Envoy's clock.
pub const TAG_MADE: &str = "made_us";

pub(super) fn write() -> AccessLog {
    let metadata = |of: &str| format!("%METADATA({of}:{METADATA}:{TENANT})%");
    // Request ids are not made, so a stream is told by its connection and its start.
    let tags = [
        (TAG_TENANT, metadata("ROUTE")),
        (TAG_HOST_TENANT, metadata("VIRTUAL_HOST")),
        (TAG_CONNECTION, "%CONNECTION_ID%".to_owned()),
        (TAG_MADE, "%EMIT_TIME(%s%6f)%".to_owned()),
    ];
    let server = EnvoyGrpc { cluster_name: SERVER_CLUSTER.to_owned(), ..Default::default() };
    let log = HttpGrpcAccessLogConfig {
        common_config: Some(CommonGrpcAccessLogConfig {
            log_name: USAGE_LOG.to_owned(),
            grpc_service: Some(GrpcService {
                target_specifier: Some(TargetSpecifier::EnvoyGrpc(server)),
                ..Default::default()
            }),
            transport_api_version: ApiVersion::V3 as i32,
            buffer_flush_interval: Some(ProtoDuration { seconds: FLUSH.as_secs().cast_signed(), nanos: 0 }),
            custom_tags: tags
                .map(|(tag, value)| CustomTag { tag: tag.to_owned(), r#type: Some(Type::Value(value)) })
                .into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    AccessLog {
        name: "envoy.access_loggers.http_grpc".to_owned(),
        config_type: Some(ConfigType::TypedConfig(scalar::any14(&log, &scalar::NO_MAPS))),
        ..Default::default()
    }
}

/// Reports while an exchange runs.
pub(super) fn options() -> HcmAccessLogOptions {
    HcmAccessLogOptions { access_log_flush_interval: Some(scalar::duration(USAGE_INTERVAL)), ..Default::default() }
}

/// Keeps those reports out of the log that people read: one line an exchange.
pub(super) fn only_ends() -> AccessLogFilter {
    let running = LogTypeFilter { types: vec![AccessLogType::DownstreamPeriodic as i32], exclude: true };
    AccessLogFilter { filter_specifier: Some(FilterSpecifier::LogTypeFilter(running)) }
}
