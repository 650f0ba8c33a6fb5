//! The configurations of all peers, as they were reviewed.

use std::path::PathBuf;

use super::weir::manifests;
use super::{Case, envoy, haproxy, nginx};
use crate::certificate::Certificate;
use crate::golden;
use crate::rows::Config;
use crate::upstream::Upstream;

fn case(config: Config, log: bool) -> Case {
    let certificate = Certificate {
        chain: "chain\n".into(),
        key: "key\n".into(),
        chain_file: "/race/chain.pem".into(),
        key_file: "/race/key.pem".into(),
    };
    Case {
        dir: PathBuf::from("/race"),
        listen: ([127, 0, 0, 1], 8080).into(),
        upstream: Upstream {
            api: ([127, 0, 0, 1], 7001).into(),
            web: ([127, 0, 0, 1], 7002).into(),
            http2: ([127, 0, 0, 1], 7003).into(),
            tids: [0; 2],
        },
        config,
        log,
        certificate,
        beside: None,
    }
}

fn cases() -> [(&'static str, Case); 6] {
    [
        ("plain", case(Config::Plain, false)),
        ("tls", case(Config::Tls, false)),
        ("h2-tls", case(Config::Http2, false)),
        ("h2c", case(Config::H2c, false)),
        ("grpc", case(Config::Grpc, false)),
        ("tenants", case(Config::Tenants(2), true)),
    ]
}

#[test]
fn golden_nginx() {
    for (name, case) in cases() {
        golden::same(&format!("{name}.nginx.conf"), &nginx::text(&case));
    }
}

#[test]
fn golden_haproxy() {
    for (name, case) in cases() {
        golden::same(&format!("{name}.haproxy.cfg"), &haproxy::text(&case));
    }
}

#[test]
fn golden_envoy() {
    for (name, case) in cases() {
        let text = serde_json::to_string_pretty(&envoy::bootstrap(&case)).unwrap();
        golden::same(&format!("{name}.envoy.json"), &format!("{text}\n"));
    }
}

#[test]
fn golden_weir() {
    for (name, case) in cases() {
        let tenant = manifests::tenant(0, &case);
        golden::same(&format!("{name}.weir.yaml"), &format!("{}---\n{tenant}", manifests::platform(&case)));
    }
}
