//! Keeps the usage database: its tables at the start, and later what it may forget. And exports from it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weir_config::bootstrap::ServerUsage;

use crate::usage::events::EXPORTER;
use crate::usage::events::answer::Waits;
use crate::usage::events::exporter::Exporter;
use crate::usage::intake::{Trouble, now_ms};
use crate::usage::metrics::Stats;
use crate::usage::store::{Result, Store, Swept};

/// How often the database is tried while it is away.
const RETRY: Duration = Duration::from_secs(5);
/// How often it forgets what was kept for its time.
const SWEEP: Duration = Duration::from_secs(10 * 60);

/// Exports events until `stop`, if there is somebody who takes them.
pub(super) async fn export(store: Store, settings: ServerUsage, stats: Arc<Stats>, stop: CancellationToken) {
    if let Some(settings) = settings.events {
        let holder = format!("{:032x}", rand::random::<u128>());
        let metrics = Arc::clone(&stats.export);
        Exporter { store, settings, metrics, holder, waits: Waits::default() }.run(stop).await;
    }
}

/// Does so until `stop`. The server serves configuration whether or not the database is there.
pub(super) async fn keep(store: Store, settings: ServerUsage, stop: CancellationToken) {
    tokio::select! {
        () = tend_for_ever(&store, &settings) => {}
        () = stop.cancelled() => {}
    }
}

async fn tend_for_ever(store: &Store, settings: &ServerUsage) {
    let mut trouble = Trouble::default();
    loop {
        let wait = match tend(store, settings).await {
            Ok(swept) => {
                trouble.over();
                if swept != Swept::default() {
                    tracing::info!(?swept, "usage that was kept for its time is forgotten");
                }
                SWEEP
            }
            Err(error) => {
                trouble.note(&error);
                RETRY
            }
        };
        tokio::time::sleep(wait).await;
    }
}

async fn tend(store: &Store, settings: &ServerUsage) -> Result<Swept> {
    store.prepare().await?;
    let exporter = settings.events.is_some().then_some(EXPORTER);
    store.sweep(now_ms(), &settings.retention, exporter).await
}
