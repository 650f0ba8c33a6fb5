//! The backends: what the suite's images do, for all pods, as listeners of one runtime on loopback addresses.

mod grpc;
mod http;
mod plain;

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A pod's own idea of itself.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    pub pod: String,
    pub namespace: String,
    pub service: String,
}

/// What a pod's image does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    /// HTTP on 3000, h2c on 3001, HTTPS on 8443.
    Http,
    /// gRPC on 3000, over TLS on 8443.
    Grpc,
    /// Lines over TCP on 3000, over TLS on 8443.
    Tcp,
    /// A datagram for a datagram, on this port.
    Udp(u16),
    /// A name server on 53.
    Dns,
}

/// The requests that pods saw: (deployment's pod, target).
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<(String, String)>>>);

impl Log {
    fn add(&self, pod: &str, target: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((pod.to_owned(), target.to_owned()));
    }

    /// How often pods whose names begin with `prefix` saw a target that ends with `target`.
    pub fn count(&self, prefix: &str, target: &str) -> usize {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|(pod, found)| pod.starts_with(prefix) && found.ends_with(target)).count()
    }
}

/// The runtime of all backends.
pub struct Backends {
    runtime: Runtime,
    pub log: Log,
}

/// A running pod; it ends when it is dropped.
pub struct Running(Vec<JoinHandle<()>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Backends {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { runtime, log: Log::default() }
    }

    /// A handle for clients that are async themselves.
    pub fn handle(&self) -> Handle {
        self.runtime.handle().clone()
    }

    /// Starts a pod at an address of its own. It listens when this returns.
    pub fn start(&self, image: Image, identity: Identity, ip: Ipv4Addr, config: Option<Arc<ServerConfig>>) -> Running {
        let identity = Arc::new(identity);
        let listen = |port: u16| {
            self.runtime.block_on(TcpListener::bind((ip, port))).unwrap_or_else(|e| panic!("{ip}:{port}: {e}"))
        };
        let datagrams = |port: u16| {
            self.runtime.block_on(UdpSocket::bind((ip, port))).unwrap_or_else(|e| panic!("{ip}:{port}: {e}"))
        };
        let tls = config.clone().map(TlsAcceptor::from);
        let tasks = match image {
            Image::Http => {
                let echo = Arc::new(http::Echo::new(identity, self.log.clone()));
                let mut tasks = vec![
                    self.runtime.spawn(http::serve(listen(3000), echo.clone(), http::Versions::One, None)),
                    self.runtime.spawn(http::serve(listen(3001), echo.clone(), http::Versions::Two, None)),
                ];
                if tls.is_some() {
                    tasks.push(self.runtime.spawn(http::serve(listen(8443), echo, http::Versions::Negotiated, tls)));
                }
                tasks
            }
            Image::Grpc => {
                let mut tasks = vec![self.runtime.spawn(grpc::serve(listen(3000), identity.clone(), None))];
                if let Some(config) = config {
                    let mut config = (*config).clone();
                    config.alpn_protocols = vec![b"h2".to_vec()];
                    let tls = TlsAcceptor::from(Arc::new(config));
                    tasks.push(self.runtime.spawn(grpc::serve(listen(8443), identity, Some(tls))));
                }
                tasks
            }
            Image::Tcp => {
                let mut tasks = vec![self.runtime.spawn(plain::tcp(listen(3000), identity.clone(), None))];
                if tls.is_some() {
                    tasks.push(self.runtime.spawn(plain::tcp(listen(8443), identity, tls)));
                }
                tasks
            }
            Image::Udp(port) => vec![self.runtime.spawn(plain::udp(datagrams(port), identity))],
            Image::Dns => vec![self.runtime.spawn(plain::dns(datagrams(53)))],
        };
        Running(tasks)
    }
}
