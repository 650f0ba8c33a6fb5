//! The bootstrap of a stock Envoy that takes its configuration from a Weir server.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::xds::{FEATURE_USAGE_ALS, SERVER_CLUSTER as SERVER};

/// What to write into the file that `envoy -c` reads (as JSON, which is YAML too): delta ADS over
/// gRPC to the server at `xds`, to which it also reports what tenants use, Envoy's own admin endpoint at
/// `admin`, and nothing else.
///
/// `node_id` names this proxy; `cluster` is `node.cluster`, the group that it belongs to. The stream
/// is plain text: the server binds only loopback until clients prove themselves.
pub fn envoy_bootstrap(node_id: &str, cluster: &str, xds: SocketAddr, admin: SocketAddr) -> Value {
    let ads = || json!({"ads": {}, "resource_api_version": "V3"});
    json!({
        // Exchanges are reported to the server, which meters them.
        "node": {"id": node_id, "cluster": cluster, "client_features": [FEATURE_USAGE_ALS]},
        "admin": {"address": address(admin)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{"envoy_grpc": {"cluster_name": SERVER}}],
            },
            "cds_config": ads(),
            "lds_config": ads(),
        },
        "static_resources": {"clusters": [server(xds)]},
        // Envoy refuses a whole RouteConfiguration, every tenant's, for one expression above 100 RE2
        // instructions. Weir bounds each expression itself, well below this.
        "layered_runtime": {"layers": [{"name": "weir", "static_layer": {"re2.max_program_size.error_level": 32768}}]},
    })
}

/// The server as a cluster. Pings tell a dead connection from a quiet one.
fn server(xds: SocketAddr) -> Value {
    let keepalive = json!({"interval": "30s", "timeout": "5s"});
    json!({
        "name": SERVER,
        "type": "STATIC",
        "connect_timeout": "5s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {"connection_keepalive": keepalive}},
            },
        },
        "load_assignment": {
            "cluster_name": SERVER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(xds)}}]}],
        },
    })
}

fn address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

#[cfg(test)]
mod tests {
    use super::envoy_bootstrap;
    use crate::xds::json;

    #[test]
    fn it_is_a_bootstrap_by_envoys_own_definition() {
        let xds = "127.0.0.1:18000".parse().unwrap();
        let admin = "[::1]:9901".parse().unwrap();
        let bootstrap = envoy_bootstrap("edge-1", "weir-system", xds, admin);
        let message = json::message_from_json("envoy.config.bootstrap.v3.Bootstrap", &bootstrap).unwrap();
        assert!(!message.is_empty());
        assert_eq!(bootstrap["admin"]["address"]["socket_address"]["address"], "::1");
        assert_eq!(
            bootstrap["static_resources"]["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
                ["address"]["socket_address"]["port_value"],
            18000
        );
    }
}
