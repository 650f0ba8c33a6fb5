//! `HttpProtocolOptions` of a cluster (`typed_extension_protocol_options`): what its endpoints speak.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::{Http1ProtocolOptions, Http2ProtocolOptions};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions,
};
use xds_api::pb::google::protobuf::Any;

use super::read::{At, Problems, fields};
use super::scalar;
use crate::model::UpstreamProtocol;

/// The key in the map: the name of Envoy's extension.
const NAME: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Nothing for HTTP/1.1, which is what Envoy speaks where nothing is said.
pub(super) fn write(protocol: UpstreamProtocol) -> HashMap<String, Any> {
    let config = match protocol {
        UpstreamProtocol::Http1 => return HashMap::new(),
        UpstreamProtocol::Http2 => ProtocolConfig::Http2ProtocolOptions(Http2ProtocolOptions::default()),
    };
    let explicit = ExplicitHttpConfig { protocol_config: Some(config) };
    let options = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)),
        ..Default::default()
    };
    HashMap::from([(NAME.to_owned(), scalar::any14(&options, &scalar::NO_MAPS))])
}

pub(super) fn read(options: HashMap<String, Any>, at: &At<'_>, problems: &mut Problems) -> UpstreamProtocol {
    let mut protocol = UpstreamProtocol::default();
    for (name, any) in options {
        let at = at.key("typed_extension_protocol_options", &name);
        if name != NAME || !scalar::holds::<HttpProtocolOptions>(&any) {
            problems.advise(&at, "is not supported", format!("the one extension is {NAME}"));
        } else if let Some(message) = scalar::unpack14::<HttpProtocolOptions>(&any, &at, problems) {
            protocol = read_options(message, &at, problems);
        }
    }
    protocol
}

fn read_options(message: HttpProtocolOptions, at: &At<'_>, problems: &mut Problems) -> UpstreamProtocol {
    fields!(message => HttpProtocolOptions, at, problems;
        read upstream_protocol_options;
        refuse common_http_protocol_options upstream_http_protocol_options http_filters header_validation_config
            outlier_detection request_mirror_policies hash_policy retry_policy;
        pass;);
    let config = match upstream_protocol_options {
        Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)) => explicit.protocol_config,
        _ => None,
    };
    match config {
        Some(ProtocolConfig::HttpProtocolOptions(options)) if options == Http1ProtocolOptions::default() => {
            UpstreamProtocol::Http1
        }
        // What tunes Envoy's connections does not change what an endpoint speaks.
        Some(ProtocolConfig::Http2ProtocolOptions(_)) => UpstreamProtocol::Http2,
        _ => {
            problems.advise(
                &at.field("explicit_http_config"),
                "is not supported",
                "give `http_protocol_options: {}` or `http2_protocol_options: {}`",
            );
            UpstreamProtocol::default()
        }
    }
}
