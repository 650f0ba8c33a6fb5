//! Ports: TCP or a Unix socket.

use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::Context;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use weir_config::bootstrap::Address;

/// A connection as the system gives it.
pub(super) enum Accepted {
    /// TCP, with the address of the other end.
    Tcp(tokio::net::TcpStream, std::net::SocketAddr),
    /// A Unix socket.
    Unix(tokio::net::UnixStream),
}

/// An open port.
pub(super) struct Bound {
    address: Address,
    socket: Socket,
}

/// What was bound.
pub(super) enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket, which goes with the listener.
pub(super) struct SocketFile(PathBuf);

impl Socket {
    /// The next connection.
    pub(super) async fn accept(&self) -> std::io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Accepted::Tcp(stream, address))
            }
            Self::Unix(listener, _file) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may be gone already; then there is nothing to do.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Bound {
    pub(super) async fn bind(address: &Address) -> anyhow::Result<Self> {
        match address {
            Address::Tcp(wanted) => {
                let listener =
                    TcpListener::bind(wanted).await.with_context(|| format!("cannot listen on {address}"))?;
                Ok(Self { address: Address::Tcp(listener.local_addr()?), socket: Socket::Tcp(listener) })
            }
            Address::Unix(path) => {
                remove_stale(path).await?;
                let listener = UnixListener::bind(path).with_context(|| format!("cannot listen on {address}"))?;
                Ok(Self { address: address.clone(), socket: Socket::Unix(listener, SocketFile(path.clone())) })
            }
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The socket itself.
    pub(super) fn into_socket(self) -> Socket {
        self.socket
    }

    pub(super) async fn serve_http(self, router: axum::Router, stop: CancellationToken) -> anyhow::Result<()> {
        let stop = stop.cancelled_owned();
        match self.socket {
            Socket::Tcp(listener) => axum::serve(listener, router).with_graceful_shutdown(stop).await?,
            Socket::Unix(listener, _file) => axum::serve(listener, router).with_graceful_shutdown(stop).await?,
        }
        Ok(())
    }
}

/// Removes the file of a server that died; one that lives keeps its own.
async fn remove_stale(path: &PathBuf) -> anyhow::Result<()> {
    match UnixStream::connect(path).await {
        Ok(_) => anyhow::bail!("another server listens on {}", path.display()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).with_context(|| format!("cannot remove the old socket {}", path.display()))
        }
        // Nothing is there; or binding will say what is wrong.
        Err(_) => Ok(()),
    }
}
