//! The HTTP filters of a connection manager: limits, then the router.

use envoy_types::pb::envoy::extensions::filters::http::cors::v3::Cors;
use envoy_types::pb::envoy::extensions::filters::http::stateful_session::v3::StatefulSession;
use xds_api::pb::envoy::config::core::v3::ExtensionConfigSource;
use xds_api::pb::envoy::extensions::filters::http::router::v3::Router;
use xds_api::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter as ProtoFilter;
use xds_api::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use xds_api::pb::google::protobuf::Any;

use super::read::{At, Problems, fields};
use super::style::Style;
use super::{local_rate_limit, scalar};
use crate::model::HttpFilter;

/// Names of filters, under which routes have their configurations.
pub(super) const CORS: &str = "envoy.filters.http.cors";
pub(super) const STATEFUL_SESSION: &str = "envoy.filters.http.stateful_session";
/// What the last filter's type URL ends with.
const ROUTER: &str = "envoy.extensions.filters.http.router.v3.Router";

/// All filters of a connection manager. A virtual host that is fetched stands before any filter asks for it.
pub(super) fn write_all(filters: &[HttpFilter], style: Style) -> Vec<ProtoFilter> {
    let own = filters.iter().map(|filter| write(filter, style));
    style.on_demand().into_iter().chain(own).chain([router()]).collect()
}

fn write(value: &HttpFilter, style: Style) -> ProtoFilter {
    let (name, config) = match value {
        HttpFilter::Discovered(name) => (
            name.as_str(),
            // Without a default Envoy waits for the resource before the listener serves.
            ConfigType::ConfigDiscovery(ExtensionConfigSource {
                config_source: Some(style.source()),
                type_urls: vec![local_rate_limit::type_url()],
                ..Default::default()
            }),
        ),
        HttpFilter::LocalRateLimit { name, config } => {
            (name.as_str(), ConfigType::TypedConfig(local_rate_limit::write(config)))
        }
        HttpFilter::Cors => (CORS, ConfigType::TypedConfig(scalar::any14(&Cors::default(), &scalar::NO_MAPS))),
        HttpFilter::StatefulSession => {
            (STATEFUL_SESSION, ConfigType::TypedConfig(scalar::any14(&StatefulSession::default(), &scalar::NO_MAPS)))
        }
    };
    ProtoFilter { name: name.to_owned(), config_type: Some(config), ..Default::default() }
}

/// The filter that ends every chain. Backends get no `x-envoy-*` header.
fn router() -> ProtoFilter {
    let router = Router { suppress_envoy_headers: true, ..Default::default() };
    ProtoFilter {
        name: "envoy.filters.http.router".to_owned(),
        config_type: Some(ConfigType::TypedConfig(scalar::any(&router, &scalar::NO_MAPS))),
        ..Default::default()
    }
}

/// The filters before the router, which must be the last; `at` is the connection manager's.
pub(super) fn read(filters: Vec<ProtoFilter>, at: &At<'_>, problems: &mut Problems) -> Vec<HttpFilter> {
    let mut kept = Vec::new();
    let mut routed = false;
    for (index, filter) in filters.into_iter().enumerate() {
        let at = at.item("http_filters", index);
        if routed {
            problems.add(&at, "stands behind the router, which must be the last filter");
            return kept;
        }
        match read_one(filter, &at, problems) {
            Some(Read::Router) => routed = true,
            Some(Read::Filter(filter)) => kept.push(filter),
            None => {}
        }
    }
    if !routed {
        problems.add(&at.field("http_filters"), format!("must end with the router ({ROUTER})"));
    }
    kept
}

enum Read {
    Router,
    Filter(HttpFilter),
}

fn read_one(message: ProtoFilter, at: &At<'_>, problems: &mut Problems) -> Option<Read> {
    let ProtoFilter { name, is_optional, disabled, config_type } = message;
    if name.is_empty() {
        problems.missing(&at.field("name"));
    }
    // Off unless a route turns it on, and what would do that is refused there.
    if disabled {
        return None;
    }
    match config_type {
        Some(ConfigType::TypedConfig(any)) => read_config(name, &any, is_optional, &at.field("typed_config"), problems),
        Some(ConfigType::ConfigDiscovery(source)) => {
            read_discovery(source, &at.field("config_discovery"), problems);
            Some(Read::Filter(HttpFilter::Discovered(name)))
        }
        None => {
            problems.missing(&at.field("typed_config"));
            None
        }
    }
}

fn read_config(name: String, any: &Any, optional: bool, at: &At<'_>, problems: &mut Problems) -> Option<Read> {
    if any.type_url.ends_with(ROUTER) {
        return Some(Read::Router);
    }
    if any.type_url == local_rate_limit::type_url() {
        let config = local_rate_limit::read(any, at, problems)?;
        return Some(Read::Filter(HttpFilter::LocalRateLimit { name, config }));
    }
    if scalar::holds::<Cors>(any) {
        return Some(Read::Filter(HttpFilter::Cors));
    }
    if scalar::holds::<StatefulSession>(any) {
        return Some(Read::Filter(HttpFilter::StatefulSession));
    }
    // `is_optional`: a proxy that does not know the filter goes without it.
    if !optional {
        problems.advise(
            at,
            format!("{:?} is not supported", any.type_url),
            format!("filters are {} and {ROUTER}", local_rate_limit::type_url()),
        );
    }
    None
}

fn read_discovery(message: ExtensionConfigSource, at: &At<'_>, problems: &mut Problems) {
    fields!(message => ExtensionConfigSource, at, problems;
        read config_source type_urls;
        refuse default_config apply_default_config_without_warming;
        pass;);
    scalar::read_ads(config_source, &at.field("config_source"), problems);
    let known = local_rate_limit::type_url();
    if !type_urls.contains(&known) {
        problems.advise(&at.field("type_urls"), "names no supported type", format!("write {known}"));
    }
}
