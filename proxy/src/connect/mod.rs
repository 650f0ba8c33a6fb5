//! Connections to the control server, whatever is asked there.

pub mod backoff;

use std::time::Duration;

use tonic::Status;
use tonic::transport::Channel;
use weir_config::bootstrap::{Address, Endpoint, Target};

/// Limit of one attempt to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// A server that is silent for so long is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// How long it may take to answer that.
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(5);

/// Connects to `server`. A server that dies without a word is noticed within 15 s.
///
/// # Errors
/// UNAVAILABLE, with the reason.
pub async fn channel(server: &Endpoint) -> Result<Channel, Status> {
    let uri = match &server.address {
        Target::Address(Address::Tcp(address)) => format!("http://{address}"),
        Target::Address(Address::Unix(path)) => format!("unix:{}", path.display()),
        Target::Name(host, port) => format!("http://{host}:{port}"),
    };
    let connecting = async {
        tonic::transport::Endpoint::from_shared(uri)?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_ANSWER)
            .keep_alive_while_idle(true)
            .connect()
            .await
    };
    connecting.await.map_err(|error: tonic::transport::Error| Status::unavailable(reasons(&error)))
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
