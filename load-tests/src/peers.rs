//! Peers' configurations, equal to Weir's.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// nginx, one process, proxying everything to one backend over kept connections; none if it is not installed.
pub(crate) fn nginx(dir: &Path, listen: SocketAddr, backend: SocketAddr) -> anyhow::Result<Option<Command>> {
    let found =
        ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"].iter().map(PathBuf::from).find(|p| p.exists());
    let Some(program) = found else { return Ok(None) };
    let file = dir.join("nginx.conf");
    fs::write(
        &file,
        format!(
            "daemon off; master_process off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000; client_body_temp_path {dir}; proxy_temp_path {dir};
  fastcgi_temp_path {dir}; uwsgi_temp_path {dir}; scgi_temp_path {dir};
  upstream backend {{ server {backend}; keepalive 64; keepalive_requests 1000000; }}
  server {{ listen {listen}; location / {{
    proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
  }} }}
}}
",
            dir = dir.display()
        ),
    )?;
    let mut command = Command::new(program);
    command.arg("-c").arg(file);
    Ok(Some(command))
}
