//! Streams of resources on the xDS port, and their bounds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use weir_config::bootstrap::Load;

use crate::ads::admission::FAREWELL;
use crate::ads::{Admission, ClientStatuses, Discovery};
use crate::state::State;

/// What connections may take to end beyond their streams.
const LATE: Duration = Duration::from_secs(2);

/// The services of resources and of their state.
pub(super) struct Streams {
    discovery: Discovery,
    statuses: ClientStatuses,
    per_connection: u32,
}

impl Streams {
    pub(super) fn new(load: &Load, state: &State, stop: &CancellationToken) -> Self {
        let discovery = Discovery {
            store: Arc::clone(state.store()),
            registry: Arc::clone(state.registry()),
            namespaces: Arc::clone(state.namespaces()),
            metrics: Arc::clone(state.metrics()),
            admission: Arc::new(Admission::new(load.clone(), Instant::now())),
            ready: state.watch_ready(),
            shutdown: stop.clone(),
        };
        let statuses = ClientStatuses::new(Arc::clone(state.registry()), stop.clone());
        Self { discovery, statuses, per_connection: load.streams_per_connection }
    }

    /// Bounds of a connection.
    pub(super) fn bound(&self, server: Server) -> Server {
        let server = server.max_concurrent_streams(self.per_connection);
        match self.discovery.admission.connection_age() {
            Some(age) => server.max_connection_age(age),
            None => server,
        }
    }

    /// As tonic services.
    pub(super) fn routes(self) -> Routes {
        self.discovery.routes().add_service(self.statuses.into_server())
    }
}

/// Returns when every stream should have ended after `stop`.
pub(super) async fn over(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(FAREWELL + LATE).await;
}
