//! Clients over HTTP/2, by prior knowledge or over TLS: plain requests, and gRPC.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request as HttpRequest;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::TlsConnector;

use crate::sockets::Tls;
use crate::support::http::{Request, Response};

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A response with its trailers behind its headers.
pub fn send(runtime: &Handle, address: SocketAddr, tls: &Tls, request: &Request) -> Result<Response, String> {
    let exchange = async {
        let stream = TcpStream::connect(address).await.map_err(|error| format!("connect: {error}"))?;
        let Some((name, config)) = tls else { return exchange(stream, "http", request).await };
        let mut config = ClientConfig::clone(config);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from(name.clone()).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .map_err(|error| format!("TLS: {error}"))?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err("HTTP/2 was not agreed on".to_owned());
        }
        exchange(stream, "https", request).await
    };
    runtime.block_on(async {
        tokio::time::timeout(TIMEOUT, exchange).await.unwrap_or_else(|_| Err(format!("no answer within {TIMEOUT:?}")))
    })
}

async fn exchange<S>(stream: S, scheme: &str, request: &Request) -> Result<Response, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let driver = tokio::spawn(connection);
    let mut message = HttpRequest::builder()
        .method(request.method.as_str())
        .uri(format!("{scheme}://{}{}", request.host, request.target));
    for (name, value) in &request.headers {
        message = message.header(name.to_ascii_lowercase(), value);
    }
    let message = message.body(Full::new(Bytes::from(request.body.clone()))).map_err(|error| error.to_string())?;
    let answer = sender.send_request(message).await.map_err(|error| format!("HTTP/2: {error:?}"));
    let response = match answer {
        Ok(answer) => whole(answer).await,
        Err(error) => Err(error),
    };
    driver.abort();
    response
}

async fn whole(answer: hyper::Response<hyper::body::Incoming>) -> Result<Response, String> {
    let (parts, body) = answer.into_parts();
    let collected = body.collect().await.map_err(|error| format!("the body broke off: {error:?}"))?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let headers = parts.headers.iter().chain(trailers.iter());
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(Response {
        status: parts.status.as_u16(),
        headers: headers.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        body: collected.to_bytes().to_vec(),
    })
}

/// `gateway_api_conformance.echo_basic.grpcecho.GrpcEcho`: its messages, as far as they are looked at.
pub mod grpc {
    use bytes::{BufMut, Bytes, BytesMut};
    use prost::Message;

    use super::{Handle, Request, SocketAddr};

    /// Full name of the service.
    pub const SERVICE: &str = "gateway_api_conformance.echo_basic.grpcecho.GrpcEcho";

    #[derive(Clone, PartialEq, Message)]
    pub struct EchoResponse {
        #[prost(message, optional, tag = "1")]
        pub assertions: Option<Assertions>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Assertions {
        #[prost(string, tag = "1")]
        pub fully_qualified_method: String,
        #[prost(message, repeated, tag = "2")]
        pub headers: Vec<Header>,
        #[prost(string, tag = "3")]
        pub authority: String,
        #[prost(message, optional, tag = "4")]
        pub context: Option<Context>,
        #[prost(message, optional, tag = "5")]
        pub tls: Option<Tls>,
    }

    /// What the backend says of the TLS by which it was called.
    #[derive(Clone, PartialEq, Message)]
    pub struct Tls {
        #[prost(string, tag = "3")]
        pub server_name: String,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Header {
        #[prost(string, tag = "1")]
        pub key: String,
        #[prost(string, tag = "2")]
        pub value: String,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Context {
        #[prost(string, tag = "1")]
        pub namespace: String,
        #[prost(string, tag = "2")]
        pub ingress: String,
        #[prost(string, tag = "3")]
        pub service_name: String,
        #[prost(string, tag = "4")]
        pub pod: String,
    }

    /// A message with its prefix: not compressed, and its length.
    pub fn frame(message: &[u8]) -> Bytes {
        let mut framed = BytesMut::with_capacity(message.len() + 5);
        framed.put_u8(0);
        framed.put_u32(message.len() as u32);
        framed.put_slice(message);
        framed.freeze()
    }

    /// What came of a call.
    pub struct Called {
        /// The code of its end.
        pub code: u32,
        /// What the backend says that it saw.
        pub seen: Assertions,
        /// Headers and trailers.
        pub given: Vec<(String, String)>,
    }

    /// Calls a method with an empty message.
    pub fn call(
        runtime: &Handle,
        address: SocketAddr,
        authority: &str,
        method: &str,
        metadata: &[(String, String)],
    ) -> Result<Called, String> {
        let mut headers = vec![("content-type".into(), "application/grpc".into()), ("te".into(), "trailers".into())];
        headers.extend_from_slice(metadata);
        let request = Request {
            method: "POST".into(),
            target: format!("/{SERVICE}/{method}"),
            host: authority.into(),
            headers,
            body: frame(b"").to_vec(),
        };
        let response = super::send(runtime, address, &None, &request)?;
        let code = response.header("grpc-status").and_then(|code| code.parse().ok());
        let message = EchoResponse::decode(response.body.get(5..).unwrap_or_default()).ok().filter(|_| code.is_some());
        Ok(Called {
            code: code.unwrap_or_else(|| unframed(response.status)),
            seen: message.and_then(|message| message.assertions).unwrap_or_default(),
            given: response.headers,
        })
    }

    /// What a client makes of a response without a status of gRPC (its document "HTTP to gRPC status code mapping").
    fn unframed(status: u16) -> u32 {
        match status {
            400 => 13,
            401 => 16,
            403 => 7,
            404 => 12,
            429 | 502 | 503 | 504 => 14,
            _ => 2,
        }
    }
}
