//! Envoy: a static configuration with a virtual host a tenant and its local rate limit.
//!
//! Static, so that nothing but Envoy takes part: fed by Weir's server it would have the same resources.
//! Request ids, which Weir and the others do not make here, are off; so are the admin endpoint and hot
//! restart.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::{Case, Prepared};
use crate::rows::{Config, LIMIT, host};

pub(super) fn prepare(program: &Path, case: &Case) -> anyhow::Result<Prepared> {
    let file = case.dir.join("envoy.json");
    fs::write(&file, serde_json::to_vec(&bootstrap(case))?)?;
    let args = ["-c", &file.display().to_string(), "--concurrency", "1", "--disable-hot-restart", "-l", "warn"];
    let mut prepared = Prepared::new(program, &args);
    prepared.log = case.log.then(|| case.dir.join("access.log"));
    Ok(prepared)
}

pub(super) fn bootstrap(case: &Case) -> Value {
    let (hosts, clusters): (Vec<Value>, Vec<Value>) = match case.config {
        Config::Plain | Config::Tls | Config::Http2 | Config::H2c | Config::Grpc => {
            let routes = json!([{"match": {"prefix": "/"}, "route": {"cluster": "web"}}]);
            let host = json!({"name": "plain", "domains": [host(0)], "routes": routes});
            let cluster = if case.config.http2_upstream() {
                http2_cluster("web", case.upstream.http2)
            } else {
                cluster("web", case.upstream.web)
            };
            (vec![host], vec![cluster])
        }
        Config::Tenants(count) => (
            (0..count).map(tenant).collect(),
            (0..count)
                .flat_map(|n| {
                    [cluster(&format!("t{n}-api"), case.upstream.api), cluster(&format!("t{n}-web"), case.upstream.web)]
                })
                .collect(),
        ),
    };
    json!({"static_resources": {"listeners": [listener(case, hosts)], "clusters": clusters}})
}

fn tenant(n: u32) -> Value {
    let bucket = json!({"max_tokens": LIMIT, "tokens_per_fill": LIMIT, "fill_interval": "1s"});
    let always = json!({"default_value": {"numerator": 100, "denominator": "HUNDRED"}});
    json!({
        "name": format!("t{n}"),
        "domains": [host(n)],
        "routes": [
            {"name": format!("t{n}"), "match": {"path_separated_prefix": "/api"}, "route": {"cluster": format!("t{n}-api")}},
            {"name": format!("t{n}"), "match": {"prefix": "/"}, "route": {"cluster": format!("t{n}-web")}},
        ],
        "typed_per_filter_config": {
            "envoy.filters.http.local_ratelimit": {
                "@type": format!("{LIMITS}.LocalRateLimit"),
                "stat_prefix": "limits",
                "token_bucket": bucket,
                "filter_enabled": always,
                "filter_enforced": always,
            },
        },
    })
}

const LIMITS: &str = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3";

fn listener(case: &Case, hosts: Vec<Value>) -> Value {
    let mut filters = Vec::new();
    if matches!(case.config, Config::Tenants(_)) {
        filters.push(json!({
            "name": "envoy.filters.http.local_ratelimit",
            "typed_config": {"@type": format!("{LIMITS}.LocalRateLimit"), "stat_prefix": "limits"},
        }));
    }
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    }));
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "public",
        "codec_type": if case.config.http2() { "HTTP2" } else { "HTTP1" },
        "use_remote_address": true,
        "generate_request_id": false,
        "access_log": log(case),
        "route_config": {"name": "public", "virtual_hosts": hosts},
        "http_filters": filters,
    });
    let mut chain = json!({
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
    });
    if case.config.tls() {
        chain["transport_socket"] = tls(case);
    }
    json!({
        "name": "public",
        "address": address(case.listen),
        "tcp_backlog_size": 4096,
        "filter_chains": [chain],
    })
}

fn tls(case: &Case) -> Value {
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": [if case.config.http2() { "h2" } else { "http/1.1" }],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
                "tls_certificates": [{
                    "certificate_chain": {"filename": case.certificate.chain_file},
                    "private_key": {"filename": case.certificate.key_file},
                }],
            },
        },
    })
}

fn log(case: &Case) -> Value {
    if !case.log {
        return json!([]);
    }
    json!([{
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": case.dir.join("access.log"),
            "log_format": {"json_format": {
                "time": "%START_TIME%",
                "tenant": "%ROUTE_NAME%",
                "route": "%UPSTREAM_CLUSTER%",
                "method": "%REQ(:METHOD)%",
                "host": "%REQ(:AUTHORITY)%",
                "path": "%PATH(NQ)%",
                "protocol": "%PROTOCOL%",
                "status": "%RESPONSE_CODE%",
                "flags": "%RESPONSE_FLAGS%",
                "request_bytes": "%BYTES_RECEIVED%",
                "response_bytes": "%BYTES_SENT%",
                "duration_ms": "%DURATION%",
                "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
                "upstream": "%UPSTREAM_HOST%",
            }},
        },
    }])
}

fn cluster(name: &str, upstream: SocketAddr) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}],
        },
    })
}

fn http2_cluster(name: &str, upstream: SocketAddr) -> Value {
    let mut cluster = cluster(name, upstream);
    cluster["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        },
    });
    cluster
}

fn address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}
