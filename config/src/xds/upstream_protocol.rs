//! `HttpProtocolOptions` of a cluster (`typed_extension_protocol_options`): what its endpoints speak.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::Http1ProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions,
};
use xds_api::pb::google::protobuf::Any;

use super::read::{At, Problems, fields};
use super::{http2, scalar};
use crate::model::{Http2Options, UpstreamProtocol};

/// The key in the map: the name of Envoy's extension.
const NAME: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// What endpoints speak, and how where that is HTTP/2.
type Spoken = (UpstreamProtocol, Option<Box<Http2Options>>);

/// Nothing for HTTP/1.1, which is what Envoy speaks where nothing is said.
pub(super) fn write(protocol: UpstreamProtocol, options: Option<&Http2Options>) -> HashMap<String, Any> {
    let config = match protocol {
        UpstreamProtocol::Http1 => return HashMap::new(),
        UpstreamProtocol::Http2 => ProtocolConfig::Http2ProtocolOptions(http2::write(options)),
    };
    let explicit = ExplicitHttpConfig { protocol_config: Some(config) };
    let options = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)),
        ..Default::default()
    };
    HashMap::from([(NAME.to_owned(), scalar::any14(&options, &scalar::NO_MAPS))])
}

pub(super) fn read(options: HashMap<String, Any>, at: &At<'_>, problems: &mut Problems) -> Spoken {
    let mut spoken = Spoken::default();
    for (name, any) in options {
        let at = at.key("typed_extension_protocol_options", &name);
        if name != NAME || !scalar::holds::<HttpProtocolOptions>(&any) {
            problems.advise(&at, "is not supported", format!("the one extension is {NAME}"));
        } else if let Some(message) = scalar::unpack14::<HttpProtocolOptions>(&any, &at, problems) {
            spoken = read_options(message, &at, problems);
        }
    }
    spoken
}

fn read_options(message: HttpProtocolOptions, at: &At<'_>, problems: &mut Problems) -> Spoken {
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
            Spoken::default()
        }
        Some(ProtocolConfig::Http2ProtocolOptions(options)) => {
            let at = at.field("explicit_http_config");
            (UpstreamProtocol::Http2, http2::read(options, &at.field("http2_protocol_options"), problems))
        }
        _ => {
            problems.advise(
                &at.field("explicit_http_config"),
                "is not supported",
                "give `http_protocol_options: {}` or `http2_protocol_options: {}`",
            );
            Spoken::default()
        }
    }
}
