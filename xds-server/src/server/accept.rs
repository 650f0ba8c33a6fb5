//! Connections of the xDS port: accepted, TLS handshake, and given to the gRPC server. Bounded at each step, for it
//! is here that nobody has proven anything yet.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use super::listen::{Accepted, Socket};
use crate::auth::peer::Peer;

/// Handshakes that may be under way at one time; more wait in the system's queue.
const HANDSHAKES: usize = 256;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection may stay of which no request was let in.
const STRANGER: Duration = Duration::from_secs(60);
/// How long a connection stays whose certificate proves nothing any more: for the last words.
const SPENT: Duration = Duration::from_secs(1);
/// Connections that wait for the gRPC server to take them.
const QUEUE: usize = 64;
/// After an error of the system, such as too many open files, this passes before the next try.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes both ways.
trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// A connection, ready for gRPC.
pub(super) struct Connection {
    transport: Box<dyn Transport>,
    peer: Peer,
    /// When it ends, if no request is let in before.
    stranger: Pin<Box<Sleep>>,
    spent: Pin<Box<WaitForCancellationFutureOwned>>,
    /// When it ends, since its certificate proves nothing any more.
    end: Option<Pin<Box<Sleep>>>,
}

/// Accepts connections of `socket` until `stop`.
pub(super) fn incoming(
    socket: Socket,
    tls: Option<Arc<rustls::ServerConfig>>,
    stop: CancellationToken,
) -> ReceiverStream<io::Result<Connection>> {
    let (queue, connections) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        tokio::select! {
            () = accept(&socket, tls.map(TlsAcceptor::from), &queue) => {}
            () = stop.cancelled() => {}
        }
    });
    ReceiverStream::new(connections)
}

async fn accept(socket: &Socket, tls: Option<TlsAcceptor>, queue: &mpsc::Sender<io::Result<Connection>>) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        // Never closed.
        let Ok(turn) = Arc::clone(&handshakes).acquire_owned().await else { return };
        let (transport, address): (Box<dyn Transport>, _) = match socket.accept().await {
            Ok(Accepted::Tcp(stream, address)) => (Box::new(stream), Some(address)),
            Ok(Accepted::Unix(stream)) => (Box::new(stream), None),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to the xDS port");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (tls, queue) = (tls.clone(), queue.clone());
        tokio::spawn(async move {
            let secured = async {
                match tls {
                    None => Ok((transport, None)),
                    Some(tls) => handshake(&tls, transport).await,
                }
            };
            match tokio::time::timeout(HANDSHAKE, secured).await {
                Ok(Ok((transport, certificates))) => {
                    // A server that ends takes no more.
                    let _ = queue.send(Ok(Connection::new(transport, Peer::new(address, certificates)))).await;
                }
                Ok(Err(error)) => tracing::debug!(?address, %error, "a TLS handshake failed on the xDS port"),
                Err(_) => tracing::debug!(?address, "a TLS handshake took too long on the xDS port"),
            }
            drop(turn);
        });
    }
}

type Secured = (Box<dyn Transport>, Option<Arc<[CertificateDer<'static>]>>);

async fn handshake(tls: &TlsAcceptor, transport: Box<dyn Transport>) -> io::Result<Secured> {
    let stream = tls.accept(transport).await?;
    let certificates = stream.get_ref().1.peer_certificates().map(Arc::from);
    Ok((Box::new(stream), certificates))
}

impl Connection {
    fn new(transport: Box<dyn Transport>, peer: Peer) -> Self {
        let spent = Box::pin(peer.spent());
        Self { transport, peer, stranger: Box::pin(tokio::time::sleep(STRANGER)), spent, end: None }
    }

    /// Whether its certificate has proven nothing for a moment.
    fn is_spent(&mut self, cx: &mut Context<'_>) -> bool {
        if self.end.is_none() && self.spent.as_mut().poll(cx).is_ready() {
            self.end = Some(Box::pin(tokio::time::sleep(SPENT)));
        }
        self.end.as_mut().is_some_and(|end| end.as_mut().poll(cx).is_ready())
    }

    /// Whether it has been here for long without a request that was let in.
    fn is_stranger(&mut self, cx: &mut Context<'_>) -> bool {
        !self.peer.was_let_in() && self.stranger.as_mut().poll(cx).is_ready()
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_stranger(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if self.is_spent(cx) {
            // As if the other end had closed it.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.transport).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }
}
