//! Counters, and how what they count reaches the server.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use weir_config::bootstrap::ProxyBootstrap;

use super::{Service, service};
use crate::meter::{Keeper, Meter};
use crate::usage::stream::Reporter;

/// How long the server may take at the end to store what is left. It gets the rest at the next start.
const FLUSH: Duration = Duration::from_secs(1);

/// What meters a proxy.
#[derive(Debug)]
pub(super) struct Metering {
    pub(super) meter: Arc<Meter>,
    pub(super) reporter: Reporter,
    keeper: Keeper,
}

impl Metering {
    /// Logs what earlier starts left, and begins to count.
    pub(super) fn start(bootstrap: &ProxyBootstrap, workers: usize) -> anyhow::Result<Self> {
        let usage = &bootstrap.usage;
        let log_bytes = usage.log_bytes.value().context("usage.logBytes")?;
        let dir = bootstrap.state_dir.join("usage");
        let (meter, outbox, keeper) = Keeper::start(&dir, &bootstrap.node.id, usage.window.0, log_bytes, workers)
            .context("cannot meter usage")?;
        let server = usage.server.clone().unwrap_or_else(|| bootstrap.xds.clone());
        let reporter = Reporter { server, outbox, flight: Arc::default() };
        Ok(Self { meter, reporter, keeper })
    }

    /// Reports as long as the process runs, while exchanges drain too.
    pub(super) fn service(&self) -> Service {
        let reporter = self.reporter.clone();
        service("usage", move |_stop| async move {
            let never: Infallible = reporter.run().await;
            match never {}
        })
    }

    /// Logs and sends what is left. For the end, when the services are no more. While anybody still counts the epoch
    /// does not end: then the next start ends it.
    pub(super) fn finish(self, nobody_counts: bool) {
        if nobody_counts {
            self.keeper.finish();
        } else {
            self.keeper.close();
        }
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(self.reporter.flush(FLUSH)),
            Err(error) => tracing::warn!(%error, "the last usage goes to the server at the next start"),
        }
    }
}
