//! `weir echo`: a small backend that says who it is and what it received.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Run a small HTTP backend that says who it is and what it received
///
/// It answers every request with a JSON object: name, method, path, query, host, headers, bodyBytes.
/// Two paths do more: `/status/NNN` answers with that status, and `?delay=MILLISECONDS` waits first.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// What it calls itself
    #[arg(long, default_value = "echo")]
    name: String,
}

/// Largest request body that it takes in.
const MAX_BODY: usize = 256 << 20;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Seen<'r> {
    name: &'r str,
    method: &'r str,
    path: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'r str>,
    host: Option<&'r str>,
    headers: BTreeMap<&'r str, Vec<String>>,
    body_bytes: usize,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(args.listen).await.with_context(|| {
            format!("cannot listen on {}; is the port taken? Try --listen 127.0.0.1:0", args.listen)
        })?;
        println!("listening on http://{}", listener.local_addr()?);
        let app = Router::new().fallback(answer).with_state(Arc::new(args.name));
        axum::serve(listener, app).await?;
        Ok(ExitCode::SUCCESS)
    })
}

async fn answer(State(name): State<Arc<String>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = read(body).await else {
        return (StatusCode::BAD_REQUEST, "the body broke off").into_response();
    };
    if let Some(delay) = parts.uri.query().and_then(delay) {
        tokio::time::sleep(delay).await;
    }
    let status = parts.uri.path().strip_prefix("/status/").and_then(|s| s.parse::<StatusCode>().ok());
    let seen = Seen {
        name: &name,
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query(),
        host: parts.headers.get(header::HOST).and_then(|v| v.to_str().ok()),
        headers: by_name(&parts.headers),
        body_bytes: body,
    };
    // These have no body (RFC 9110 sections 15.3.5 and 15.4.5); axum would send one.
    if let Some(status @ (StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)) = status {
        return status.into_response();
    }
    let json = serde_json::to_string(&seen).unwrap_or_default() + "\n";
    (status.unwrap_or(StatusCode::OK), [(header::CONTENT_TYPE, "application/json")], json).into_response()
}

async fn read(body: Body) -> Result<usize, axum::Error> {
    Ok(to_bytes(body, MAX_BODY).await?.len())
}

/// `delay=MILLISECONDS` of a query.
fn delay(query: &str) -> Option<Duration> {
    let text = query.split('&').find_map(|p| p.strip_prefix("delay="))?;
    Some(Duration::from_millis(text.parse().ok()?))
}

fn by_name(headers: &HeaderMap) -> BTreeMap<&str, Vec<String>> {
    let mut map: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        map.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    map
}
