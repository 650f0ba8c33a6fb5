//! `HttpConnectionManager`.
//!
//! Paths are normalised (`normalize_path`): `/a/../admin` is judged, and sent on, as `/admin`, or a
//! route for `/a` would give a client what lies beside it. Repeated slashes and escaped slashes stay
//! as they are, because the Gateway API matches what the client sent and backends tell them apart.

use prost13::Name;
use xds_api::pb::envoy::config::core::v3::HttpProtocolOptions;
use xds_api::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    CodecType, PathWithEscapedSlashesAction, RouteSpecifier, ServerHeaderTransformation, UpgradeConfig,
};
use xds_api::pb::envoy::extensions::filters::network::http_connection_manager::v3::{HttpConnectionManager, Rds};
use xds_api::pb::google::protobuf::Any;

use super::read::{At, Problems, fields};
use super::style::Style;
use super::{access_log, http_filter, http2, route, scalar, usage_log, wire};
use crate::model::{Http2Options, HttpOptions, RouteSource};

/// The one upgrade that is let through.
const WEBSOCKET: &str = "websocket";
/// Streams of one HTTP/2 connection at one time: Weir's own bound, so that an Envoy has it too.
const MAX_STREAMS: u32 = 100;
/// Envoy's own bound of `max_request_headers_kb`.
const MOST_HEADERS_KB: u32 = 8192;

pub(super) fn write(value: &HttpOptions, style: Style) -> Any {
    let message = HttpConnectionManager {
        stat_prefix: value.stat_prefix.clone(),
        route_specifier: Some(match &value.routes {
            RouteSource::Rds(name) => {
                RouteSpecifier::Rds(Rds { config_source: Some(style.source()), route_config_name: name.clone() })
            }
            RouteSource::Inline(routes) => RouteSpecifier::RouteConfig(route::write(routes, style)),
        }),
        http_filters: http_filter::write_all(&value.filters, style),
        common_http_protocol_options: value
            .idle_timeout
            .map(|timeout| HttpProtocolOptions { idle_timeout: Some(scalar::duration(timeout)), ..Default::default() }),
        request_headers_timeout: value.request_headers_timeout.map(scalar::duration),
        stream_idle_timeout: value.stream_idle_timeout.map(scalar::duration),
        max_request_headers_kb: value.max_request_headers_kb.map(scalar::uint32),
        use_remote_address: value.use_remote_address.then(|| scalar::boolean(true)),
        access_log: access_log::write(value.access_log, style.reporting),
        access_log_options: style.reporting.then(usage_log::options),
        http2_protocol_options: Some(scalar::to13(&http2::write(Some(&bounded(value.http2.as_deref()))))),
        normalize_path: Some(scalar::boolean(true)),
        path_with_escaped_slashes_action: PathWithEscapedSlashesAction::KeepUnchanged as i32,
        // What a backend says of itself, and nothing of the proxy's, reaches the client.
        server_header_transformation: ServerHeaderTransformation::PassThrough as i32,
        generate_request_id: Some(scalar::boolean(false)),
        upgrade_configs: vec![UpgradeConfig { upgrade_type: WEBSOCKET.to_owned(), ..Default::default() }],
        ..Default::default()
    };
    scalar::any(&message, &wire::HTTP_CONNECTION_MANAGER)
}

/// With Weir's own bound where there is none.
fn bounded(options: Option<&Http2Options>) -> Http2Options {
    let mut options = options.cloned().unwrap_or_default();
    options.max_concurrent_streams.get_or_insert(MAX_STREAMS);
    options
}

/// Without that bound: none where nothing else is said.
fn unbounded(mut options: Box<Http2Options>) -> Option<Box<Http2Options>> {
    options.max_concurrent_streams.take_if(|streams| *streams == MAX_STREAMS);
    (*options != Http2Options::default()).then_some(options)
}

/// Reads the filter in an `Any`; `at` is the `Any`'s.
pub(super) fn read(any: &Any, at: &At<'_>, problems: &mut Problems) -> Option<HttpOptions> {
    if any.type_url != HttpConnectionManager::type_url() {
        problems.advise(
            at,
            format!("{:?} is not supported", any.type_url),
            format!("a filter chain holds one {}", HttpConnectionManager::type_url()),
        );
        return None;
    }
    let message = scalar::decode(&any.value, at, problems)?;
    read_message(message, at, problems)
}

fn read_message(message: HttpConnectionManager, at: &At<'_>, problems: &mut Problems) -> Option<HttpOptions> {
    fields!(message => HttpConnectionManager, at, problems;
        read codec_type stat_prefix http_filters route_specifier common_http_protocol_options max_request_headers_kb
            stream_idle_timeout request_timeout request_headers_timeout access_log use_remote_address add_user_agent
            upgrade_configs path_with_escaped_slashes_action http2_protocol_options;
        refuse http3_protocol_options scheme_header_transformation xff_num_trusted_hops
            original_ip_detection_extensions early_header_mutation_extensions skip_xff_append via
            forward_client_cert_details merge_slashes local_reply_config strip_matching_host_port
            path_normalization_options strip_trailing_host_dot proxy_status_config typed_header_validation_config
            append_x_forwarded_port strip_port_mode;
        pass tracing http_protocol_options server_name server_header_transformation
            drain_timeout delayed_close_timeout access_log_flush_interval flush_access_log_on_new_request
            access_log_options internal_address_config generate_request_id preserve_external_request_id
            always_set_request_id_in_response set_current_client_cert_details proxy_100_continue
            represent_ipv4_remote_address_as_ipv4_mapped_ipv6 normalize_path request_id_extension
            stream_error_on_invalid_http_message append_local_overload add_proxy_protocol_connection_state;);
    if !matches!(CodecType::try_from(codec_type), Ok(CodecType::Auto | CodecType::Http1)) {
        problems.advise(&at.field("codec_type"), "is not supported", "use AUTO or HTTP1");
    }
    if !matches!(
        PathWithEscapedSlashesAction::try_from(path_with_escaped_slashes_action),
        Ok(PathWithEscapedSlashesAction::ImplementationSpecificDefault | PathWithEscapedSlashesAction::KeepUnchanged)
    ) {
        problems.advise(&at.field("path_with_escaped_slashes_action"), "is not supported", "use KEEP_UNCHANGED");
    }
    scalar::refuse_true(add_user_agent, &at.field("add_user_agent"), problems);
    read_upgrades(upgrade_configs, at, problems);
    let max_request_headers_kb = max_request_headers_kb.map(|wrapped| wrapped.value);
    if max_request_headers_kb.is_some_and(|size| size == 0 || size > MOST_HEADERS_KB) {
        problems.add(&at.field("max_request_headers_kb"), format!("must be from 1 to {MOST_HEADERS_KB}"));
    }
    let request_timeout = scalar::read_duration(request_timeout, &at.field("request_timeout"), problems);
    if request_timeout.is_some_and(|timeout| !timeout.is_zero()) {
        problems.unsupported(&at.field("request_timeout"));
    }
    let idle_timeout = common_http_protocol_options
        .and_then(|options| read_common(options, &at.field("common_http_protocol_options"), problems));
    let request_headers_timeout =
        scalar::read_duration(request_headers_timeout, &at.field("request_headers_timeout"), problems);
    let stream_idle_timeout = scalar::read_duration(stream_idle_timeout, &at.field("stream_idle_timeout"), problems);
    let http2_at = at.field("http2_protocol_options");
    let http2 = http2_protocol_options
        .and_then(|options| http2::read(scalar::to14(&options), &http2_at, problems))
        .and_then(unbounded);
    let filters = http_filter::read(http_filters, at, problems);
    let access_log = access_log::read(access_log, at, problems);
    Some(HttpOptions {
        stat_prefix,
        routes: read_routes(route_specifier, at, problems)?,
        filters,
        idle_timeout,
        request_headers_timeout,
        stream_idle_timeout,
        max_request_headers_kb,
        use_remote_address: scalar::is_true(use_remote_address),
        http2,
        access_log,
    })
}

/// `idle_timeout`, the one of these that is supported.
fn read_common(options: HttpProtocolOptions, at: &At<'_>, problems: &mut Problems) -> Option<std::time::Duration> {
    fields!(options => HttpProtocolOptions, at, problems;
        read idle_timeout;
        refuse max_connection_duration max_headers_count max_stream_duration headers_with_underscores_action
            max_requests_per_connection;
        pass;);
    scalar::read_duration(idle_timeout, &at.field("idle_timeout"), problems)
}

fn read_upgrades(upgrades: Vec<UpgradeConfig>, at: &At<'_>, problems: &mut Problems) {
    for (index, upgrade) in upgrades.into_iter().enumerate() {
        let at = at.item("upgrade_configs", index);
        fields!(upgrade => UpgradeConfig, at, problems; read upgrade_type enabled; refuse filters; pass;);
        if !upgrade_type.eq_ignore_ascii_case(WEBSOCKET) || enabled.is_some_and(|wrapped| !wrapped.value) {
            problems.advise(&at, "is not supported", "an upgrade is `websocket`, enabled");
        }
    }
}

fn read_routes(specifier: Option<RouteSpecifier>, at: &At<'_>, problems: &mut Problems) -> Option<RouteSource> {
    match specifier {
        Some(RouteSpecifier::Rds(Rds { config_source, route_config_name })) => {
            let at = at.field("rds");
            scalar::read_ads(config_source, &at.field("config_source"), problems);
            if route_config_name.is_empty() {
                problems.missing(&at.field("route_config_name"));
            }
            Some(RouteSource::Rds(route_config_name))
        }
        Some(RouteSpecifier::RouteConfig(routes)) => {
            let routes = route::read(routes, &at.field("route_config"), problems)?;
            Some(RouteSource::Inline(Box::new(routes)))
        }
        Some(RouteSpecifier::ScopedRoutes(_)) => {
            problems.unsupported(&at.field("scoped_routes"));
            None
        }
        None => {
            problems.advise(at, "has no routes", "write `rds` or `route_config`");
            None
        }
    }
}
