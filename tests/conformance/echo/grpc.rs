//! The gRPC backend: `GrpcEcho` with Echo, EchoTwo, and EchoThree that is not implemented. Over TLS it speaks to nobody
//! who did not agree on HTTP/2, as servers of gRPC do.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::Identity;
use super::http::Never;
use crate::h2::grpc::{Assertions, Context, EchoResponse, Header, SERVICE, Tls, frame};

type Body = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Never>>>>;

pub(super) async fn serve(listener: TcpListener, identity: Arc<Identity>, tls: Option<TlsAcceptor>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (identity, tls) = (identity.clone(), tls.clone());
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let Some(acceptor) = tls else { return connection(stream, identity, None).await };
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let session = &stream.get_ref().1;
            if session.alpn_protocol() == Some(b"h2") {
                let seen = Tls { server_name: session.server_name().unwrap_or_default().to_owned() };
                connection(stream, identity, Some(seen)).await;
            }
        });
    }
}

async fn connection<S>(stream: S, identity: Arc<Identity>, tls: Option<Tls>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| answer(identity.clone(), tls.clone(), request));
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    // How a connection ends is its client's affair.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    identity: Arc<Identity>,
    tls: Option<Tls>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Never> {
    let (parts, body) = request.into_parts();
    let _ = body.collect().await;
    let method = parts.uri.path().strip_prefix(&format!("/{SERVICE}/")).unwrap_or_default();
    if !matches!(method, "Echo" | "EchoTwo") {
        let mut response = Response::new(StreamBody::new(stream::iter(Vec::new())));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response.headers_mut().insert("grpc-status", HeaderValue::from_static("12"));
        return Ok(response);
    }
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let message = EchoResponse {
        assertions: Some(Assertions {
            fully_qualified_method: parts.uri.path().to_owned(),
            headers: parts.headers.iter().map(|(k, v)| Header { key: k.as_str().into(), value: text(v) }).collect(),
            authority: parts.uri.authority().map(ToString::to_string).unwrap_or_default(),
            context: Some(Context {
                namespace: identity.namespace.clone(),
                ingress: String::new(),
                service_name: identity.service.clone(),
                pod: identity.pod.clone(),
            }),
            tls,
        }),
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = vec![Ok(Frame::data(frame(&message.encode_to_vec()))), Ok(Frame::trailers(trailers))];
    let mut response = Response::new(StreamBody::new(stream::iter(frames)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}
