//! Whether a proxy answers rightly, before it is measured: status, body, which cluster was asked, and
//! that a host nobody has is not served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use memchr::memmem;

use crate::asked::call;
use crate::http;
use crate::load::{Tls, http2};
use crate::peers::Case;
use crate::processes::Process;
use crate::rows::{Config, host};
use crate::upstream::FILL;

/// How long one answer may take, under an emulator on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);
/// Tenants that are looked at.
const SAMPLE: u32 = 5;

/// An answer.
struct Answer {
    status: u16,
    head: Vec<u8>,
    body: Vec<u8>,
}

/// Waits until the last host, and the one in the middle, is served.
pub(crate) fn ready(case: &Case, tls: Option<&Tls>, process: &mut Process) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let hosts = case.config.hosts();
    for n in [hosts - 1, hosts / 2] {
        loop {
            process.check()?;
            match ask(case, tls, &host(n), "/ready") {
                Ok(answer) if answer.status == 200 => break,
                Ok(answer) if Instant::now() > deadline => anyhow::bail!("after {PATIENCE:?} still {}", answer.status),
                Err(error) if Instant::now() > deadline => return Err(error.context("never became ready")),
                Ok(_) | Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }
    Ok(())
}

/// Looks at some tenants' answers, and at one of `size` bytes in full.
pub(crate) fn right(case: &Case, tls: Option<&Tls>, size: usize) -> anyhow::Result<()> {
    let hosts = case.config.hosts();
    for n in (0..hosts).step_by((hosts / SAMPLE).max(1) as usize) {
        let host = host(n);
        let api = if matches!(case.config, Config::Tenants(_)) { "api" } else { "web" };
        for (path, backend) in [("/api/echo?page=2", api), ("/echo", "web")] {
            let answer = ask(case, tls, &host, path)?;
            ensure!(answer.status == 200, "{host}{path} is answered with {}", answer.status);
            let at = http::field(&answer.head, "x-backend").map(String::from_utf8_lossy);
            ensure!(at.as_deref() == Some(backend), "{host}{path} went to {at:?}, not to {backend}");
            let said = http::field(&answer.body, "host").map(String::from_utf8_lossy);
            ensure!(said.as_deref() == Some(&host), "{host} became {said:?} at the upstream");
            for name in ["x-forwarded-for", "x-forwarded-proto"] {
                ensure!(http::field(&answer.body, name).is_some(), "no {name} at the upstream");
            }
        }
    }
    let answer = ask(case, tls, &host(0), &format!("/api/items?size={size}"))?;
    ensure!(answer.status == 200, "a body of {size} bytes is answered with {}", answer.status);
    let whole = answer.body.len() == size && answer.body.iter().all(|byte| *byte == FILL);
    ensure!(whole, "a body of {size} bytes comes with {}, or changed", answer.body.len());
    if matches!(case.config, Config::Tenants(_)) {
        let answer = ask(case, tls, "nobody.tenants.test", "/")?;
        ensure!(answer.status == 404, "a host that nobody has is answered with {}", answer.status);
    }
    Ok(())
}

fn ask(case: &Case, tls: Option<&Tls>, host: &str, path: &str) -> anyhow::Result<Answer> {
    if case.config.http2() {
        let answer = http2::ask(case.listen, tls, &call(case.config, host, path)?, PATIENCE)?;
        return Ok(Answer { status: answer.status, head: answer.fields, body: answer.body });
    }
    let mut stream = TcpStream::connect(case.listen)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    match tls {
        None => exchange(&mut stream, &request),
        Some(tls) => {
            let connection = rustls::ClientConnection::new(Arc::clone(&tls.config), tls.name.clone())?;
            exchange(&mut rustls::StreamOwned::new(connection, stream), &request)
        }
    }
}

fn exchange(stream: &mut (impl Read + Write), request: &str) -> anyhow::Result<Answer> {
    stream.write_all(request.as_bytes())?;
    let (mut bytes, mut scratch) = (Vec::new(), [0; 16 << 10]);
    loop {
        if let Some(end) = memmem::find(&bytes, b"\r\n\r\n") {
            let (head, body) = (&bytes[..end + 2], &bytes[end + 4..]);
            // A 404 of a proxy's own may be framed otherwise; its body is of no interest.
            let length = match http::field(head, "content-length") {
                Some(length) => std::str::from_utf8(length)?.parse()?,
                None => 0,
            };
            if body.len() >= length {
                let body = body.get(..length).context("a body of its length")?.to_vec();
                return Ok(Answer { status: http::status(head)?, head: head.to_vec(), body });
            }
        }
        let count = stream.read(&mut scratch)?;
        ensure!(count > 0, "the connection ended inside an answer");
        bytes.extend_from_slice(&scratch[..count]);
    }
}
