//! What a Kubernetes Service is to its clients: one address, behind which some servers are.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// A running one. Connections go to the servers in turn; one that does not answer is passed over.
pub struct Service {
    servers: Arc<Mutex<Vec<SocketAddr>>>,
    cut: watch::Sender<u64>,
    _runtime: Runtime,
}

impl Service {
    /// Listens at `address` for `servers`.
    pub fn start(address: SocketAddr, servers: Vec<SocketAddr>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
        let (servers, cut) = (Arc::new(Mutex::new(servers)), watch::Sender::new(0));
        let (behind, cuts) = (Arc::clone(&servers), cut.clone());
        runtime.spawn(async move {
            let mut turn = 0;
            while let Ok((client, _)) = listener.accept().await {
                turn += 1;
                let servers = behind.lock().unwrap().clone();
                tokio::spawn(carry(client, servers, turn, cuts.subscribe()));
            }
        });
        Self { servers, cut, _runtime: runtime }
    }

    /// New connections go to these from now on.
    pub fn lead_to(&self, servers: Vec<SocketAddr>) {
        *self.servers.lock().unwrap() = servers;
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}

async fn carry(mut client: TcpStream, servers: Vec<SocketAddr>, turn: usize, mut cut: watch::Receiver<u64>) {
    for n in 0..servers.len() {
        if let Ok(mut server) = TcpStream::connect(servers[(turn + n) % servers.len()]).await {
            tokio::select! {
                // How a connection ends is its two ends' business.
                _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                _ = cut.changed() => {}
            }
            return;
        }
    }
}
