//! A stock Envoy 1.40.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::http::{self, Request, Target};
use super::process::Process;
use super::site::{PROXY_ADMIN, Site, XDS, repository};
use super::wait;

/// A running Envoy.
pub struct Envoy {
    /// The process.
    pub process: Process,
    admin: Target,
}

impl Envoy {
    /// Starts it with this bootstrap and waits until its admin endpoint answers (not until it has
    /// its configuration).
    pub fn start(site: &Site, bootstrap: &Value) -> Self {
        let file = site.path("envoy.json");
        fs::write(&file, bootstrap.to_string()).unwrap();
        let process = site.process(
            "envoy",
            Command::new(binary())
                .arg("-c")
                .arg(&file)
                .args(["--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning"])
                .args(["--component-log-level", "upstream:info,config:info"])
                .args(["--drain-time-s", "1", "--parent-shutdown-time-s", "2"]),
        );
        let admin = Target::plain(site.ip(), PROXY_ADMIN);
        let mut envoy = Self { process, admin };
        wait::until("Envoy's admin endpoint", || {
            envoy.process.assert_alive();
            http::once(&envoy.admin, &Request::get("admin", "/server_info")).ok()
        });
        envoy
    }
}

/// Where the program is.
fn binary() -> PathBuf {
    let path = match std::env::var_os("WEIR_ENVOY") {
        Some(path) => path.into(),
        None => repository("target/tools/envoy-1.40/envoy"),
    };
    assert!(
        path.exists(),
        "there is no Envoy at {}: `tests/tools/install.sh` installs it (or name one by WEIR_ENVOY)",
        path.display()
    );
    path
}

/// A bootstrap that takes everything from one delta ADS server at the site's xDS port.
pub fn bootstrap(site: &Site) -> Value {
    let socket = |port: u16| json!({"socket_address": {"address": site.ip().to_string(), "port_value": port}});
    let ads = json!({"ads": {}, "resource_api_version": "V3"});
    json!({
        "node": {"id": "envoy", "cluster": "edge"},
        "admin": {"address": socket(PROXY_ADMIN)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            },
            "lds_config": ads,
            "cds_config": ads,
        },
        "static_resources": {"clusters": [{
            "name": "xds",
            "connect_timeout": "1s",
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}},
                },
            },
            "load_assignment": {
                "cluster_name": "xds",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(XDS)}}]}],
            },
        }]},
    })
}
