//! nginx: a `server` block a tenant, an `upstream` block a cluster, one `limit_req` zone.
//!
//! That is how ingress controllers write it. One block with maps would be smaller, and could not give
//! each cluster its own kept connections.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::{Case, Prepared};
use crate::rows::{Config, LIMIT, host};

pub(super) fn prepare(program: &Path, case: &Case) -> anyhow::Result<Prepared> {
    let file = case.dir.join("nginx.conf");
    fs::write(&file, text(case))?;
    let mut prepared = Prepared::new(program, &["-c", &file.display().to_string()]);
    prepared.log = case.log.then(|| case.dir.join("access.log"));
    Ok(prepared)
}

pub(super) fn text(case: &Case) -> String {
    let dir = case.dir.display();
    let log = if case.log {
        // One write for 64 KiB: what nginx offers to make a log cheap.
        format!("{JSON}  access_log {dir}/access.log json buffer=64k flush=1s;\n")
    } else {
        "  access_log off;\n".to_owned()
    };
    let mut text = format!(
        "daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 100000;
pid {dir}/nginx.pid;
error_log {dir}/nginx.log;
events {{ worker_connections 50000; }}
http {{
{log}  tcp_nodelay on;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir}; uwsgi_temp_path {dir}; scgi_temp_path {dir};
  proxy_http_version 1.1;
  proxy_set_header Connection \"\";
  proxy_set_header Host $http_host;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Proto $scheme;
  server_names_hash_max_size 65536;
"
    );
    if case.config.http2_upstream() {
        text.push_str(GRPC);
    }
    match case.config {
        Config::Tenants(count) => tenants(&mut text, case, count),
        _ => plain(&mut text, case),
    }
    text.push_str("}\n");
    text
}

/// One host, one route, no limit.
fn plain(text: &mut String, case: &Case) {
    let http2 = if case.config.http2() { " http2" } else { "" };
    let listen = if case.config.tls() {
        format!(
            "listen {} ssl{http2} backlog=4096;\n    ssl_certificate {}; ssl_certificate_key {};\n    ssl_protocols TLSv1.3; ssl_session_tickets on;",
            case.listen,
            case.certificate.chain_file.display(),
            case.certificate.key_file.display()
        )
    } else {
        format!("listen {}{http2} backlog=4096;", case.listen)
    };
    // Of its ways to an upstream only gRPC's is HTTP/2; it takes any request.
    let (address, pass) = if case.config.http2_upstream() {
        (case.upstream.http2, "grpc_pass grpc://web")
    } else {
        (case.upstream.web, "proxy_pass http://web")
    };
    upstream(text, "web", address);
    // Writing to a String cannot fail.
    let _ =
        writeln!(text, "  server {{\n    {listen}\n    server_name {};\n    location / {{ {pass}; }}\n  }}", host(0));
}

fn tenants(text: &mut String, case: &Case, count: u32) {
    let _ = writeln!(
        text,
        "  limit_req_zone $server_name zone=tenants:32m rate={LIMIT}r/s;
  limit_req_status 429;
  server {{ listen {} backlog=4096 default_server; return 404; }}",
        case.listen
    );
    for n in 0..count {
        upstream(text, &format!("t{n}-api"), case.upstream.api);
        upstream(text, &format!("t{n}-web"), case.upstream.web);
        let _ = writeln!(
            text,
            "  server {{
    listen {};
    server_name {};
    limit_req zone=tenants burst={LIMIT} nodelay;
    location /api/ {{ proxy_pass http://t{n}-api; }}
    location / {{ proxy_pass http://t{n}-web; }}
  }}",
            case.listen,
            host(n)
        );
    }
}

const GRPC: &str = "  grpc_set_header Host $http_host;
  grpc_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  grpc_set_header X-Forwarded-Proto $scheme;
";

fn upstream(text: &mut String, name: &str, address: std::net::SocketAddr) {
    let _ = writeln!(
        text,
        "  upstream {name} {{ server {address}; keepalive 128; keepalive_requests 1000000000; keepalive_timeout 1h; }}"
    );
}

const JSON: &str = r#"  log_format json escape=json '{"time":"$time_iso8601","tenant":"$server_name","route":"$proxy_host","method":"$request_method","host":"$host","path":"$uri","protocol":"$server_protocol","status":$status,"request_bytes":$request_length,"response_bytes":$bytes_sent,"duration_s":$request_time,"client":"$remote_addr:$remote_port","upstream":"$upstream_addr"}';
"#;
