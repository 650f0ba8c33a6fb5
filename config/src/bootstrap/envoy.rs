//! The bootstrap of a stock Envoy that takes its configuration from a Weir server, and stays authenticated.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::value::{Address, Target};
use crate::xds::{FEATURE_USAGE_ALS, FEATURE_VHDS_ON_DEMAND, SERVER_CLUSTER as SERVER};

/// An Envoy, and how it reaches the server.
#[derive(Clone, Debug)]
pub struct EnvoySettings {
    /// Name of this proxy.
    pub node: String,
    /// `node.cluster`, the group that it belongs to.
    pub cluster: String,
    /// The server.
    pub xds: Target,
    /// Envoy's own admin endpoint.
    pub admin: SocketAddr,
    /// TLS towards the server; none: plain text.
    pub tls: Option<EnvoyTls>,
    /// File with the token by which the proxy proves who it is. It may rotate.
    pub token: Option<PathBuf>,
    /// Directory in which the [`EnvoyFiles`] will be. An absolute path.
    pub files: PathBuf,
    /// Whether virtual hosts come when a request first names them, instead of all at once.
    pub on_demand: bool,
}

/// TLS of an [`EnvoySettings`]. Every file may rotate. Absolute paths.
#[derive(Clone, Debug)]
pub struct EnvoyTls {
    /// Certificate authorities of the server, PEM.
    pub ca: PathBuf,
    /// Name that the server's certificate must have.
    pub server_name: String,
    /// Client certificate chain and key, PEM.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// What an Envoy starts from.
#[derive(Clone, Debug)]
pub struct EnvoyFiles {
    /// For `envoy -c`, as JSON, which is YAML too.
    pub bootstrap: Value,
    /// Files beside it, by name: where each secret lies. Envoy reads a secret's file anew only where such a file
    /// names it. They hold no secret.
    pub secrets: Vec<(&'static str, Value)>,
}

/// What to write for an Envoy: delta ADS over gRPC, the report of what tenants use, Envoy's own admin endpoint, and
/// nothing else.
///
/// A token is added to each request to the server by a filter of the server's cluster, so that the access log
/// service, whose settings come from the server, is authenticated like ADS.
pub fn envoy_bootstrap(settings: &EnvoySettings) -> EnvoyFiles {
    let ads = || json!({"ads": {}, "resource_api_version": "V3"});
    // Exchanges are reported to the server, which meters them.
    let features: Vec<_> =
        [FEATURE_USAGE_ALS].into_iter().chain(settings.on_demand.then_some(FEATURE_VHDS_ON_DEMAND)).collect();
    let bootstrap = json!({
        "node": {"id": settings.node, "cluster": settings.cluster, "client_features": features},
        "admin": {"address": address(settings.admin)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{"envoy_grpc": {
                    "cluster_name": SERVER,
                    // A stream ends when its token does, and the next one shall not wait for half a minute.
                    "retry_policy": {"retry_back_off": {"base_interval": "0.2s", "max_interval": "10s"}},
                }}],
            },
            "cds_config": ads(),
            "lds_config": ads(),
        },
        "static_resources": {"clusters": [server(settings)]},
        // Envoy refuses a whole RouteConfiguration, every tenant's, for one expression above 100 RE2
        // instructions. Weir bounds each expression itself, well below this.
        "layered_runtime": {"layers": [{"name": "weir", "static_layer": {"re2.max_program_size.error_level": 32768}}]},
    });
    EnvoyFiles { bootstrap, secrets: secrets(settings) }
}

/// Names of the files beside the bootstrap, and of the secrets in them.
const TOKEN: (&str, &str) = ("token.json", "token");
const CA: (&str, &str) = ("ca.json", "ca");
const CERTIFICATE: (&str, &str) = ("certificate.json", "certificate");

/// The server as a cluster. Pings tell a dead connection from a quiet one.
fn server(settings: &EnvoySettings) -> Value {
    let keepalive = json!({"interval": "30s", "timeout": "5s"});
    let mut http = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {"connection_keepalive": keepalive}},
    });
    if settings.token.is_some() {
        http["http_filters"] = json!([injector(settings), {
            "name": "codec",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"},
        }]);
    }
    let (kind, endpoint) = match &settings.xds {
        Target::Address(Address::Tcp(at)) => ("STATIC", address(*at)),
        Target::Address(Address::Unix(path)) => ("STATIC", json!({"pipe": {"path": path}})),
        Target::Name(host, port) => ("STRICT_DNS", json!({"socket_address": {"address": host, "port_value": port}})),
    };
    let mut cluster = json!({
        "name": SERVER,
        "type": kind,
        "connect_timeout": "5s",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http},
        "load_assignment": {
            "cluster_name": SERVER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": endpoint}}]}],
        },
    });
    if let Some(tls) = &settings.tls {
        cluster["transport_socket"] = transport_socket(settings, tls);
    }
    cluster
}

/// Adds `authorization: Bearer TOKEN`, with the token that lies on disk now.
fn injector(settings: &EnvoySettings) -> Value {
    json!({
        "name": "token",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
            "overwrite": true,
            "credential": {
                "name": "generic",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
                    "header_value_prefix": "Bearer ",
                    "credential": by_file(settings, TOKEN),
                },
            },
        },
    })
}

fn transport_socket(settings: &EnvoySettings, tls: &EnvoyTls) -> Value {
    let mut common = json!({
        "alpn_protocols": ["h2"],
        "combined_validation_context": {
            "default_validation_context": {
                "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": tls.server_name}}],
            },
            "validation_context_sds_secret_config": by_file(settings, CA),
        },
    });
    if tls.certificate.is_some() {
        common["tls_certificate_sds_secret_configs"] = json!([by_file(settings, CERTIFICATE)]);
    }
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": tls.server_name,
            "common_tls_context": common,
        },
    })
}

/// A secret that one of the files beside the bootstrap names.
fn by_file(settings: &EnvoySettings, (file, name): (&str, &str)) -> Value {
    let path = settings.files.join(file);
    json!({"name": name, "sds_config": {"path_config_source": {"path": path}, "resource_api_version": "V3"}})
}

fn secrets(settings: &EnvoySettings) -> Vec<(&'static str, Value)> {
    let mut files = Vec::new();
    if let Some(token) = &settings.token {
        files.push((TOKEN.0, secret(TOKEN.1, "generic_secret", json!({"secret": watched(token)}))));
    }
    if let Some(tls) = &settings.tls {
        let ca = json!({"trusted_ca": {"filename": tls.ca}, "watched_directory": {"path": parent(&tls.ca)}});
        files.push((CA.0, secret(CA.1, "validation_context", ca)));
        if let Some((chain, key)) = &tls.certificate {
            let pair = json!({
                "certificate_chain": {"filename": chain},
                "private_key": {"filename": key},
                "watched_directory": {"path": parent(chain)},
            });
            files.push((CERTIFICATE.0, secret(CERTIFICATE.1, "tls_certificate", pair)));
        }
    }
    files
}

fn secret(name: &str, kind: &str, content: Value) -> Value {
    let url = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
    json!({"resources": [{"@type": url, "name": name, kind: content}]})
}

/// A file that is read anew when something is renamed in its directory, as Kubernetes does it too.
fn watched(file: &Path) -> Value {
    json!({"filename": file, "watched_directory": {"path": parent(file)}})
}

fn parent(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("/"))
}

fn address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xds::json;

    fn settings(xds: &str) -> EnvoySettings {
        EnvoySettings {
            node: "edge-1".into(),
            cluster: "weir-system".into(),
            xds: xds.parse().unwrap(),
            admin: "[::1]:9901".parse().unwrap(),
            tls: None,
            token: None,
            files: "/etc/envoy/weir".into(),
            on_demand: false,
        }
    }

    fn check(files: &EnvoyFiles) {
        let message = json::message_from_json("envoy.config.bootstrap.v3.Bootstrap", &files.bootstrap).unwrap();
        assert!(!message.is_empty());
        for (name, file) in &files.secrets {
            let message = json::message_from_json("envoy.service.discovery.v3.DiscoveryResponse", file);
            assert!(message.is_ok_and(|message| !message.is_empty()), "{name}");
        }
    }

    #[test]
    fn it_is_a_bootstrap_by_envoys_own_definition() {
        let files = envoy_bootstrap(&settings("127.0.0.1:18000"));
        check(&files);
        assert!(files.secrets.is_empty());
        assert_eq!(files.bootstrap["admin"]["address"]["socket_address"]["address"], "::1");
        let endpoint = "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address";
        assert_eq!(files.bootstrap.pointer(endpoint).unwrap()["socket_address"]["port_value"], 18000);
        check(&envoy_bootstrap(&settings("unix:/run/weir/xds.sock")));
    }

    #[test]
    fn an_envoy_says_that_it_fetches_hosts_on_demand() {
        let features = |on_demand| {
            let files = envoy_bootstrap(&EnvoySettings { on_demand, ..settings("127.0.0.1:18000") });
            check(&files);
            files.bootstrap["node"]["client_features"].clone()
        };
        assert_eq!(features(false), json!(["weir.dev/usage-als"]));
        assert_eq!(features(true), json!(["weir.dev/usage-als", "weir.dev/vhds-on-demand"]));
    }

    #[test]
    fn whatever_proves_it_is_read_from_files_that_are_watched() {
        let tls = EnvoyTls {
            ca: "/var/run/ca/ca.crt".into(),
            server_name: "weir-server.weir-system.svc".into(),
            certificate: Some(("/tls/tls.crt".into(), "/tls/tls.key".into())),
        };
        let settings = EnvoySettings {
            tls: Some(tls),
            token: Some("/var/run/secrets/weir/token".into()),
            ..settings("weir-server.weir-system.svc:18000")
        };
        let files = envoy_bootstrap(&settings);
        check(&files);
        let names: Vec<_> = files.secrets.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["token.json", "ca.json", "certificate.json"]);
        for (name, file) in &files.secrets {
            assert!(file.to_string().contains("watched_directory"), "{name}");
            let path = format!("/etc/envoy/weir/{name}");
            assert!(files.bootstrap.to_string().contains(&path), "the bootstrap does not name {name}");
        }
        assert_eq!(files.bootstrap["static_resources"]["clusters"][0]["type"], "STRICT_DNS");
    }
}
