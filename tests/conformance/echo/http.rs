//! The HTTP backend: it says as JSON who it is and what it saw.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, UPGRADE};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Identity, Log};
use crate::sockets::websocket;

/// Which versions of HTTP a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Versions {
    One,
    Two,
    /// What TLS negotiated.
    Negotiated,
}

/// What all ports of a pod share.
pub(super) struct Echo {
    identity: Arc<Identity>,
    log: Log,
    /// Attempts by the id of the request, of `/retry/`.
    attempts: Mutex<BTreeMap<String, u32>>,
}

impl Echo {
    pub(super) fn new(identity: Arc<Identity>, log: Log) -> Self {
        Self { identity, log, attempts: Mutex::default() }
    }
}

/// Why a connection is given up without a response.
#[derive(Debug)]
struct Aborted;

impl std::fmt::Display for Aborted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the request asked for it")
    }
}

impl std::error::Error for Aborted {}

pub(super) async fn serve(listener: TcpListener, echo: Arc<Echo>, versions: Versions, tls: Option<TlsAcceptor>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (echo, tls) = (echo.clone(), tls.clone());
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let Some(acceptor) = tls else { return connection(stream, echo, versions, Value::Null).await };
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let seen = describe(&stream);
            let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let versions = if versions == Versions::Negotiated && two { Versions::Two } else { Versions::One };
            connection(stream, echo, versions, seen).await;
        });
    }
}

async fn connection<S>(stream: S, echo: Arc<Echo>, versions: Versions, tls: Value)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let tls = Arc::new(tls);
    let service = service_fn(move |request| {
        let (echo, tls) = (echo.clone(), tls.clone());
        async move { answer(&echo, &tls, request).await }
    });
    let io = TokioIo::new(stream);
    // How a connection ends is its client's affair.
    let _ = match versions {
        Versions::Two => {
            hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
        }
        _ => hyper::server::conn::http1::Builder::new().serve_connection(io, service).with_upgrades().await,
    };
}

async fn answer(echo: &Echo, tls: &Value, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Aborted> {
    if request.uri().path() == "/ws" && request.headers().contains_key(UPGRADE) {
        return Ok(switch(request));
    }
    let (parts, body) = request.into_parts();
    let _ = body.collect().await;
    let target = parts.uri.path_and_query().map_or("/", |text| text.as_str()).to_owned();
    let query = Query(parts.uri.query().unwrap_or_default());
    if let Some(code) = parts.uri.path().strip_prefix("/status/") {
        return Ok(bare(code.parse().unwrap_or(400)));
    }
    if parts.uri.path().starts_with("/retry/") {
        let (Some(id), Some(after)) = (query.get("uuid"), query.get("succeedAfter")) else { return Ok(bare(400)) };
        if echo.fails(id, after.parse().unwrap_or(0)) {
            query.wait("delayRetry").await;
            return query.get("responseCode").map(|code| bare(code.parse().unwrap_or(500))).ok_or(Aborted);
        }
    }
    echo.log.add(&echo.identity.pod, &target);
    query.wait("delay").await;
    let authority = parts.uri.authority().map(|authority| authority.as_str().to_owned());
    let host = parts.headers.get(HOST).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut seen = json!({
        "path": target,
        "host": authority.or(host),
        "method": parts.method.as_str(),
        "proto": if parts.version == Version::HTTP_2 { "HTTP/2.0" } else { "HTTP/1.1" },
        "headers": by_name(&parts.headers),
        "httpPort": "3000",
        "namespace": echo.identity.namespace,
        "ingress": "",
        "service": echo.identity.service,
        "pod": echo.identity.pod,
    });
    if !tls.is_null() {
        seen["tls"] = tls.clone();
    }
    let mut response = Response::new(Full::from(seen.to_string()));
    wanted_headers(&parts.headers, response.headers_mut());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

impl Echo {
    /// Whether this attempt of the request fails.
    fn fails(&self, id: &str, succeed_after: u32) -> bool {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = attempts.entry(id.to_owned()).or_default();
        let fails = *count < succeed_after;
        *count += u32::from(fails);
        fails
    }
}

fn bare(code: u16) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST);
    response
}

/// `x-echo-set-header: name:value,name:value`; values of one name go into one line.
fn wanted_headers(asked: &HeaderMap, given: &mut HeaderMap) {
    let mut wanted: BTreeMap<String, String> = BTreeMap::new();
    let lists = asked.get_all("x-echo-set-header").iter().filter_map(|value| value.to_str().ok());
    for (name, value) in lists.flat_map(|list| list.split(',')).filter_map(|pair| pair.trim().split_once(':')) {
        wanted.entry(name.to_ascii_lowercase()).and_modify(|all| *all += &format!(",{value}")).or_insert(value.into());
    }
    for (name, value) in wanted {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            given.insert(name, value);
        }
    }
}

fn by_name(headers: &HeaderMap) -> BTreeMap<&str, Vec<String>> {
    let mut map: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        map.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    map
}

/// The query, not decoded: the harness sends what needs no decoding.
struct Query<'q>(&'q str);

impl Query<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.split('&').filter_map(|pair| pair.split_once('=')).find(|(found, _)| *found == name).map(|(_, v)| v)
    }

    /// Waits as long as a parameter says: `500ms`, `1s`.
    async fn wait(&self, name: &str) {
        let Some(text) = self.get(name) else { return };
        let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
        let number: f64 = number.parse().unwrap_or(0.0);
        tokio::time::sleep(Duration::from_secs_f64(if unit == "ms" { number / 1000.0 } else { number })).await;
    }
}

/// Switches to WebSocket and sends every message back.
fn switch(mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let Some(accept) = request.headers().get("sec-websocket-key").and_then(|key| websocket::accept(key.as_bytes()))
    else {
        return bare(400);
    };
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(&mut request).await {
            let _: io::Result<()> = websocket::echo(&mut TokioIo::new(upgraded)).await;
        }
    });
    let mut response = bare(101);
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert("sec-websocket-accept", HeaderValue::from_static(accept));
    response
}

/// What a backend says of the TLS by which it was asked.
pub(super) fn describe<S>(stream: &TlsStream<S>) -> Value {
    let connection = &stream.get_ref().1;
    let certificates = connection.peer_certificates().unwrap_or_default();
    json!({
        "version": match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        },
        "peerCertificates": certificates.iter().map(|der| crate::world::pem(der)).collect::<Vec<_>>(),
        "serverName": connection.server_name().unwrap_or_default(),
        "negotiatedProtocol": String::from_utf8_lossy(connection.alpn_protocol().unwrap_or_default()),
        "cipherSuite": connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())),
    })
}

/// A service that cannot fail, for the other backends.
pub(super) type Never = Infallible;
