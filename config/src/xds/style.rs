//! How the same resources are written for clients that are not alike.
//!
//! No proxy of Weir's asks for another style than the default, and only that one reads back whole: the
//! others say something to a stock Envoy that no model type holds.

use envoy_types::pb::envoy::extensions::filters::http::on_demand::v3::OnDemand;
use xds_api::pb::envoy::config::core::v3::api_config_source::ApiType;
use xds_api::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use xds_api::pb::envoy::config::core::v3::grpc_service::{EnvoyGrpc, TargetSpecifier};
use xds_api::pb::envoy::config::core::v3::{
    AggregatedConfigSource, ApiConfigSource, ApiVersion, ConfigSource, GrpcService,
};
use xds_api::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use xds_api::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;

use super::{SERVER_CLUSTER, scalar};

/// Client feature of an Envoy that takes each type of resource on a stream of its own, from its static
/// cluster [`SERVER_CLUSTER`], and has no ADS.
pub const FEATURE_SEPARATE_STREAMS: &str = "weir.dev/separate-streams";
/// Client feature of an Envoy that wants virtual hosts one by one, when a request first names them: its
/// listeners get the `on_demand` filter.
pub const FEATURE_VHDS_ON_DEMAND: &str = "weir.dev/vhds-on-demand";

/// How a resource is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Style {
    /// Whether a Listener reports each exchange to the access log service of [`SERVER_CLUSTER`].
    pub reporting: bool,
    /// Whether a Listener has the filter that fetches a virtual host when a request first names it.
    pub on_demand: bool,
    /// Where a resource says that those which it names come from.
    pub sources: Sources,
}

/// Where a resource says that those which it names come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sources {
    /// The one stream of all types (ADS).
    #[default]
    Ads,
    /// A delta stream of their own to [`SERVER_CLUSTER`].
    Delta,
    /// A state-of-the-world stream of their own to [`SERVER_CLUSTER`]; virtual hosts know only delta.
    World,
}

impl Style {
    /// Where resources come from.
    pub(super) fn source(self) -> ConfigSource {
        let api_type = match self.sources {
            Sources::Ads => return specified(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
            Sources::Delta => ApiType::DeltaGrpc,
            Sources::World => ApiType::Grpc,
        };
        stream(api_type)
    }

    /// Where virtual hosts come from.
    pub(super) fn source_of_hosts(self) -> ConfigSource {
        match self.sources {
            Sources::Ads => self.source(),
            Sources::Delta | Sources::World => stream(ApiType::DeltaGrpc),
        }
    }

    /// The filter that fetches virtual hosts, where it is wanted.
    pub(super) fn on_demand(self) -> Option<HttpFilter> {
        self.on_demand.then(|| HttpFilter {
            name: "envoy.filters.http.on_demand".to_owned(),
            config_type: Some(ConfigType::TypedConfig(scalar::any14(&OnDemand::default(), &scalar::NO_MAPS))),
            ..Default::default()
        })
    }
}

fn stream(api_type: ApiType) -> ConfigSource {
    let server = EnvoyGrpc { cluster_name: SERVER_CLUSTER.to_owned(), ..Default::default() };
    specified(ConfigSourceSpecifier::ApiConfigSource(ApiConfigSource {
        api_type: api_type as i32,
        transport_api_version: ApiVersion::V3 as i32,
        grpc_services: vec![GrpcService {
            target_specifier: Some(TargetSpecifier::EnvoyGrpc(server)),
            ..Default::default()
        }],
        set_node_on_first_message_only: true,
        ..Default::default()
    }))
}

fn specified(specifier: ConfigSourceSpecifier) -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3 as i32,
        config_source_specifier: Some(specifier),
        ..Default::default()
    }
}
