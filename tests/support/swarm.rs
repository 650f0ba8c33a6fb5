//! Many proxies' streams, without the proxies: each keeps what it was given, comes back with it as a proxy
//! does, and notes what no proxy should meet.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Status;
use weir_config::model::ResourceType;
use weir_proxy::connect::backoff;

/// Resources by type and name, each with its version and its bytes.
pub type Held = BTreeMap<(ResourceType, String), (String, Vec<u8>)>;

/// What one client has and saw.
#[derive(Default)]
struct Client {
    held: Held,
    /// Streams that were opened, and when.
    opened: Vec<Instant>,
    /// What no proxy should meet.
    faults: Vec<String>,
    /// Attempts that failed, with what was said.
    refused: Vec<String>,
}

/// Clients that run until this is dropped.
pub struct Swarm {
    clients: Vec<Arc<Mutex<Client>>>,
    _runtime: Runtime,
}

impl Swarm {
    /// Starts `count` clients of the server at `address`.
    pub fn start(address: SocketAddr, count: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let clients: Vec<_> = (0..count).map(|_| Arc::new(Mutex::new(Client::default()))).collect();
        for (n, client) in clients.iter().enumerate() {
            runtime.spawn(live(address, n, Arc::clone(client)));
        }
        Self { clients, _runtime: runtime }
    }

    /// What each has now.
    pub fn held(&self) -> Vec<Held> {
        self.clients.iter().map(|client| lock(client).held.clone()).collect()
    }

    /// How many have not exactly `held`.
    pub fn behind(&self, held: &Held) -> usize {
        self.clients.iter().filter(|client| lock(client).held != *held).count()
    }

    /// What no proxy should meet.
    pub fn faults(&self) -> Vec<String> {
        self.clients.iter().flat_map(|client| lock(client).faults.clone()).collect()
    }

    /// Attempts that failed.
    pub fn refused(&self) -> Vec<String> {
        self.clients.iter().flat_map(|client| lock(client).refused.clone()).collect()
    }

    /// When streams were opened, in order.
    pub fn opened(&self) -> Vec<Instant> {
        let mut opened: Vec<_> = self.clients.iter().flat_map(|client| lock(client).opened.clone()).collect();
        opened.sort();
        opened
    }
}

fn lock(client: &Mutex<Client>) -> MutexGuard<'_, Client> {
    client.lock().unwrap()
}

/// One stream after another, with a proxy's waits in between.
async fn live(address: SocketAddr, n: usize, client: Arc<Mutex<Client>>) {
    let mut failures = 0;
    loop {
        let mut answered = false;
        let ended = stream(address, n, &client, &mut answered).await;
        if let (false, Err(status)) = (answered, ended) {
            lock(&client).refused.push(status.message().to_owned());
        }
        failures = if answered { 1 } else { failures + 1 };
        tokio::time::sleep(backoff::delay(failures, rand::random())).await;
    }
}

async fn stream(address: SocketAddr, n: usize, client: &Mutex<Client>, answered: &mut bool) -> Result<(), Status> {
    let unavailable = |error: tonic::transport::Error| Status::unavailable(error.to_string());
    let mut stub = AggregatedDiscoveryServiceClient::connect(format!("http://{address}")).await.map_err(unavailable)?;
    let (send, requests) = mpsc::unbounded_channel();
    let had = lock(client).held.clone();
    let features = vec!["weir.dev/vhds".to_owned()];
    let mut node = Some(Node { id: format!("swarm-{n}"), client_features: features, ..Node::default() });
    for kind in ResourceType::ALL {
        let own = had.iter().filter(|((other, _), _)| other == kind);
        let request = DeltaDiscoveryRequest {
            node: node.take(),
            type_url: kind.url().into(),
            resource_names_subscribe: vec!["*".into()],
            initial_resource_versions: own.map(|((_, name), (version, _))| (name.clone(), version.clone())).collect(),
            ..DeltaDiscoveryRequest::default()
        };
        let _ = send.send(request);
    }
    let mut responses = stub.delta_aggregated_resources(UnboundedReceiverStream::new(requests)).await?.into_inner();
    while let Some(response) = responses.message().await? {
        if !std::mem::replace(answered, true) {
            lock(client).opened.push(Instant::now());
        }
        lock(client).take(&response);
        let ack = DeltaDiscoveryRequest {
            type_url: response.type_url,
            response_nonce: response.nonce,
            ..DeltaDiscoveryRequest::default()
        };
        let _ = send.send(ack);
    }
    Ok(())
}

impl Client {
    /// Takes a response in. Nothing is ever removed in these tests, and what a client has is not sent again.
    fn take(&mut self, response: &DeltaDiscoveryResponse) {
        let Some(kind) = ResourceType::from_url(&response.type_url) else { return };
        for name in &response.removed_resources {
            self.faults.push(format!("{} {name} was removed", kind.message()));
            self.held.remove(&(kind, name.clone()));
        }
        for resource in &response.resources {
            let Some(body) = &resource.resource else { continue };
            let new = (resource.version.clone(), body.value.clone());
            let old = self.held.insert((kind, resource.name.clone()), new.clone());
            if old.as_ref() == Some(&new) {
                self.faults.push(format!("{} {} was sent again", kind.message(), resource.name));
            }
        }
    }
}
