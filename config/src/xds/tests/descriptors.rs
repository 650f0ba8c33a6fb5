//! The descriptor set is what the definitions in envoy-types make of it.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::Command;

use protox::prost_reflect::prost::Message;
use protox::prost_reflect::prost_types::FileDescriptorSet;

use crate::xds::json::DESCRIPTORS;

/// Files whose messages stand in resources, bootstraps and streams; what they import comes along.
const ROOTS: &[&str] = &[
    "envoy/admin/v3/config_dump.proto",
    "envoy/config/bootstrap/v3/bootstrap.proto",
    "envoy/config/cluster/v3/cluster.proto",
    "envoy/config/endpoint/v3/endpoint.proto",
    "envoy/config/listener/v3/listener.proto",
    "envoy/config/route/v3/route.proto",
    "envoy/extensions/access_loggers/file/v3/file.proto",
    "envoy/extensions/access_loggers/grpc/v3/als.proto",
    "envoy/extensions/access_loggers/stream/v3/stream.proto",
    "envoy/extensions/filters/http/cors/v3/cors.proto",
    "envoy/extensions/filters/http/credential_injector/v3/credential_injector.proto",
    "envoy/extensions/filters/http/fault/v3/fault.proto",
    "envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.proto",
    "envoy/extensions/filters/http/on_demand/v3/on_demand.proto",
    "envoy/extensions/filters/http/rbac/v3/rbac.proto",
    "envoy/extensions/filters/http/router/v3/router.proto",
    "envoy/extensions/filters/http/stateful_session/v3/stateful_session.proto",
    "envoy/extensions/filters/http/upstream_codec/v3/upstream_codec.proto",
    "envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.proto",
    "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.proto",
    "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto",
    "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.proto",
    "envoy/extensions/filters/udp/udp_proxy/v3/route.proto",
    "envoy/extensions/filters/udp/udp_proxy/v3/udp_proxy.proto",
    "envoy/extensions/http/injected_credentials/generic/v3/generic.proto",
    "envoy/extensions/http/stateful_session/cookie/v3/cookie.proto",
    "envoy/extensions/http/stateful_session/header/v3/header.proto",
    "envoy/extensions/matching/common_inputs/network/v3/network_inputs.proto",
    "envoy/extensions/matching/input_matchers/consistent_hashing/v3/consistent_hashing.proto",
    "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.proto",
    "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.proto",
    "envoy/extensions/transport_sockets/tls/v3/tls.proto",
    "envoy/extensions/upstreams/http/v3/http_protocol_options.proto",
    "envoy/service/discovery/v3/discovery.proto",
];

/// Folders of envoy-types' `proto` that imports are looked for in.
const INCLUDES: &[&str] = &[
    "data-plane-api",
    "xds",
    "googleapis",
    "protoc-gen-validate",
    "opentelemetry-proto",
    "client_model",
    "cel-spec/proto",
];

/// Compiles the definitions, which takes seconds. `WEIR_REGENERATE=1` writes what it compares.
#[test]
fn the_committed_set_is_what_the_definitions_make() {
    let made = compile();
    if std::env::var_os("WEIR_REGENERATE").is_some() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/xds/descriptors.bin.zst");
        std::fs::write(path, zstd::bulk::compress(&made, 19).unwrap()).unwrap();
        return;
    }
    let committed = zstd::bulk::decompress(DESCRIPTORS, 64 * 1024 * 1024).unwrap();
    assert!(committed == made, "run `WEIR_REGENERATE=1 cargo test -p weir-config descriptors` and commit the file");
}

/// One root at a time: all at once, the compiler takes some names for others.
fn compile() -> Vec<u8> {
    let definitions = definitions();
    let mut set = FileDescriptorSet::default();
    let mut seen = HashSet::new();
    for root in ROOTS {
        let mut compiler = protox::Compiler::new(INCLUDES.iter().map(|folder| definitions.join(folder))).unwrap();
        compiler.include_imports(true).include_source_info(false).open_file(root).unwrap();
        for file in compiler.file_descriptor_set().file {
            if seen.insert(file.name().to_owned()) {
                set.file.push(file);
            }
        }
    }
    set.encode_to_vec()
}

/// Where cargo keeps envoy-types' `proto`.
fn definitions() -> PathBuf {
    let output = Command::new(env!("CARGO")).args(["metadata", "--format-version", "1", "--offline"]).output().unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == "envoy-types").unwrap();
    PathBuf::from(package["manifest_path"].as_str().unwrap()).with_file_name("proto")
}
