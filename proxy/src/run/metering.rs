//! Counters, and how what they count reaches the server.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use weir_config::bootstrap::ProxyBootstrap;

use super::{Service, service};
use crate::meter::{Meter, Outbox};
use crate::usage::stream::Reporter;

/// How long the server may take at the end to store what is left. It gets the rest at the next start.
const FLUSH: Duration = Duration::from_secs(1);

/// What meters a proxy.
#[derive(Debug)]
pub(super) struct Metering {
    pub(super) meter: Arc<Meter>,
    pub(super) reporter: Reporter,
}

impl Metering {
    pub(super) fn start(bootstrap: &ProxyBootstrap, workers: usize) -> Self {
        let address = bootstrap.usage.server.clone().unwrap_or_else(|| bootstrap.xds.address.clone());
        let reporter = Reporter { address, outbox: Arc::new(Outbox::default()), flight: Arc::default() };
        Self { meter: Arc::new(Meter::new(workers)), reporter }
    }

    /// Reports as long as the process runs, while exchanges drain too.
    pub(super) fn service(&self) -> Service {
        let reporter = self.reporter.clone();
        service("usage", move |_stop| async move {
            let never: Infallible = reporter.run().await;
            match never {}
        })
    }

    /// Sends what is left. For the end, when the services are no more.
    pub(super) fn finish(self) {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(self.reporter.flush(FLUSH)),
            Err(error) => tracing::warn!(%error, "the last usage goes to the server at the next start"),
        }
    }
}
