//! HAProxy: a map from host to tenant, a backend a cluster, one stick table for the limits.

use std::fmt::{Display, Write as _};
use std::fs;
use std::path::Path;

use super::{Case, Prepared};
use crate::rows::{Config, LIMIT, host};

pub(super) fn prepare(program: &Path, case: &Case) -> anyhow::Result<Prepared> {
    let file = case.dir.join("haproxy.cfg");
    fs::write(&file, text(case))?;
    if let Config::Tenants(count) = case.config {
        fs::write(case.dir.join("tenants.map"), (0..count).map(map_line).collect::<String>())?;
    }
    if case.config.tls() {
        fs::write(case.dir.join("both.pem"), format!("{}{}", case.certificate.chain, case.certificate.key))?;
    }
    let mut prepared = Prepared::new(program, &["-db", "-f", &file.display().to_string()]);
    if case.log {
        prepared.output = Some(case.dir.join("access.log"));
        prepared.log.clone_from(&prepared.output);
    }
    Ok(prepared)
}

fn map_line(n: u32) -> String {
    format!("{} t{n}\n", host(n))
}

/// Its limit of connections it would else take from half of the open files that are allowed, and accept
/// no more; strict, it would not start where it cannot have twice as many files.
pub(super) fn text(case: &Case) -> String {
    let dir = case.dir.display();
    let (target, log) = if case.log {
        // It writes logs only to a syslog server or, one write a line, to a file that it was started with.
        ("  log stdout format raw local0\n", format!("  log global\n{JSON}"))
    } else {
        ("", String::new())
    };
    let alpn = if case.config.http2() { "h2" } else { "http/1.1" };
    let tls = match case.config.tls() {
        true => format!(" ssl crt {dir}/both.pem ssl-min-ver TLSv1.3 alpn {alpn}"),
        false if case.config.http2() => " proto h2".to_owned(),
        false => String::new(),
    };
    let mut text = format!(
        "global
  nbthread 1
  no strict-limits
  maxconn 15000
  tune.pool-high-fd-ratio 90
  tune.pool-low-fd-ratio 80
{target}defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-keep-alive 1h
  http-reuse always
  option forwardfor
frontend public
  bind {}{tls} backlog 4096
{log}  http-request set-header X-Forwarded-Proto {}
",
        case.listen,
        if case.config.tls() { "https" } else { "http" }
    );
    match case.config {
        Config::Tenants(count) => tenants(&mut text, case, count),
        _ => {
            text.push_str("  default_backend web\n");
            if case.config.http2_upstream() {
                backend(&mut text, "web", &format!("{} proto h2", case.upstream.http2));
            } else {
                backend(&mut text, "web", &case.upstream.web);
            }
        }
    }
    text
}

fn tenants(text: &mut String, case: &Case, count: u32) {
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "  http-request set-var(txn.tenant) req.hdr(host),field(1,:),lower,map_str({}/tenants.map)
  http-request return status 404 if !{{ var(txn.tenant) -m found }}
  http-request track-sc0 var(txn.tenant) table limits
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {LIMIT} }}
  use_backend %[var(txn.tenant)]-api if {{ path_beg /api/ }}
  use_backend %[var(txn.tenant)]-web
backend limits
  stick-table type string len 32 size 100k expire 60s store http_req_rate(1s)
",
        case.dir.display()
    );
    for n in 0..count {
        backend(text, &format!("t{n}-api"), &case.upstream.api);
        backend(text, &format!("t{n}-web"), &case.upstream.web);
    }
}

/// Idle connections are kept as long as other proxies keep them.
fn backend(text: &mut String, name: &str, address: &dyn Display) {
    let _ = writeln!(text, "backend {name}\n  server one {address} pool-purge-delay 1h");
}

const JSON: &str = r#"  log-format '{"time":"%[date,ltime(%Y-%m-%dT%H:%M:%S)]","tenant":"%[var(txn.tenant)]","route":"%b","method":"%HM","host":"%[capture.req.hdr(0)]","path":"%[capture.req.uri,json(utf8s)]","protocol":"%HV","status":%ST,"request_bytes":%U,"response_bytes":%B,"duration_ms":%Ta,"client":"%ci:%cp","upstream":"%si:%sp"}'
  http-request capture req.hdr(host) len 64
"#;
