//! Connections to the control server, whatever is asked there: TLS, and what proves who this proxy is.

pub mod backoff;
mod tls;
mod token;

use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::Status;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Uri};
use weir_config::bootstrap::{Address, Endpoint, Target};

pub use token::Bearer;

/// Limit of one attempt to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// A server that is silent for so long is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// How long it may take to answer that.
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(5);

/// A connection, on which each call carries the proxy's token as it is at that time.
pub type Server = InterceptedService<Channel, Bearer>;

/// Connects to `server`. A server that dies without a word is noticed within 15 s. The files of `server` are read
/// anew, so that a new connection uses what they hold now.
///
/// # Errors
/// UNAVAILABLE, with the reason.
pub async fn channel(server: &Endpoint) -> Result<Server, Status> {
    let authority = authority(&server.address);
    let scheme = if server.tls.is_some() { "https" } else { "http" };
    let origin: Uri = format!("{scheme}://{authority}").parse().map_err(|_| unusable(&server.address))?;
    let address = server.address.clone();
    let tls = server.tls.as_ref().map(|tls| tls::connector(tls, &server.address)).transpose();
    let tls = tls.map_err(|problem| Status::unavailable(format!("{problem:#}")))?;
    let connector = tower::service_fn(move |_: Uri| connect(address.clone(), tls.clone()));
    let connecting = async {
        // The connector alone decides about TLS: the URI here only names the connection.
        tonic::transport::Endpoint::from_shared(format!("http://{authority}"))?
            .origin(origin)
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_ANSWER)
            .keep_alive_while_idle(true)
            .connect_with_connector(connector)
            .await
    };
    let channel = connecting.await.map_err(|error: tonic::transport::Error| Status::unavailable(reasons(&error)))?;
    Ok(InterceptedService::new(channel, Bearer::new(server.token_file.clone())))
}

/// What requests name as their authority.
fn authority(target: &Target) -> String {
    match target {
        Target::Address(Address::Tcp(address)) => address.to_string(),
        Target::Address(Address::Unix(_)) => tls::DEFAULT_NAME.to_owned(),
        Target::Name(host, port) => format!("{host}:{port}"),
    }
}

type Stream = TokioIo<Box<dyn Transport>>;

/// Bytes both ways.
trait Transport: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Transport for T {}

async fn connect(target: Target, tls: Option<tls::Client>) -> io::Result<Stream> {
    let transport: Box<dyn Transport> = match target {
        Target::Address(Address::Tcp(address)) => Box::new(tcp(TcpStream::connect(address).await?)?),
        Target::Address(Address::Unix(path)) => Box::new(UnixStream::connect(path).await?),
        // A name may mean others by now, so it is asked for each time.
        Target::Name(host, port) => Box::new(tcp(TcpStream::connect((host, port)).await?)?),
    };
    let Some(tls) = tls else { return Ok(TokioIo::new(transport)) };
    let stream = TlsConnector::from(tls.config).connect(tls.name, transport).await?;
    Ok(TokioIo::new(Box::new(stream)))
}

fn tcp(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn unusable(target: &Target) -> Status {
    Status::unavailable(format!("{target} cannot be connected to"))
}

/// An error with what is behind it: the transport's own text is only `transport error`.
fn reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(reason) = source {
        text = format!("{text}: {reason}");
        source = reason.source();
    }
    text
}

#[cfg(test)]
mod tests;
