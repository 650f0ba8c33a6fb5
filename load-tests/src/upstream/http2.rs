//! The same backend over HTTP/2, by prior knowledge; it answers gRPC's requests as gRPC has it.

use std::collections::BTreeMap;
use std::net::TcpListener;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::{FILL, size};
use crate::load::http2::message;

/// What this backend says that it is.
const NAME: &str = "web";
/// Bytes of a request's body, and of all together, that may come unasked.
const WINDOW: u32 = 1 << 20;
const WINDOWS: u32 = 1 << 26;
/// Streams of a connection, at one time.
const STREAMS: u32 = 1000;

/// Serves until the process ends.
pub(super) fn serve(listener: TcpListener) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // How a connection ends concerns its client, at which it shows.
            tokio::task::spawn_local(connection(stream));
        }
    })
}

async fn connection(stream: TcpStream) -> Result<(), h2::Error> {
    let mut builder = Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOWS).max_concurrent_streams(STREAMS);
    let mut connection = builder.handshake::<_, Bytes>(stream).await?;
    let mut bodies = BTreeMap::new();
    while let Some(next) = connection.accept().await {
        let (request, respond) = next?;
        let (head, mut asked) = request.into_parts();
        let head = Request::from_parts(head, ());
        let line = head.uri().path_and_query().map_or("/", |path| path.as_str());
        let grpc = head.headers().get("content-type").is_some_and(|value| value.as_bytes() == b"application/grpc");
        let body = if line.contains("echo") {
            body(&echo(&head), grpc)
        } else {
            let size = size(line.as_bytes());
            bodies.entry((size, grpc)).or_insert_with(|| body(&vec![FILL; size], grpc)).clone()
        };
        if asked.is_end_stream() {
            answer(respond, body, grpc)?;
        } else {
            tokio::task::spawn_local(async move {
                drain(&mut asked).await?;
                answer(respond, body, grpc)
            });
        }
    }
    Ok(())
}

fn body(bytes: &[u8], grpc: bool) -> Bytes {
    if grpc { message(bytes) } else { Bytes::copy_from_slice(bytes) }
}

/// A request's head, in lines.
fn echo(head: &Request<()>) -> Vec<u8> {
    let mut text = format!("{} {} HTTP/2\r\n", head.method(), head.uri().path()).into_bytes();
    // Whoever has no `:authority` has a `host` among the fields (RFC 9113 section 8.3.1): nginx.
    if let Some(authority) = head.uri().authority() {
        text.extend_from_slice(format!("host: {authority}\r\n").as_bytes());
    }
    for (name, value) in head.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            text.extend_from_slice(part);
        }
    }
    text
}

/// Takes a request's body.
async fn drain(asked: &mut RecvStream) -> Result<(), h2::Error> {
    while let Some(data) = asked.data().await {
        asked.flow_control().release_capacity(data?.len())?;
    }
    Ok(())
}

fn answer(mut respond: SendResponse<Bytes>, body: Bytes, grpc: bool) -> Result<(), h2::Error> {
    let mut head = Response::new(());
    head.headers_mut().insert("x-backend", HeaderValue::from_static(NAME));
    if !grpc {
        head.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
        head.headers_mut().insert("content-length", HeaderValue::from(body.len()));
        return respond.send_response(head, false)?.send_data(body, true);
    }
    head.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(body, false)?;
    stream
        .send_trailers(HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]))
}
