//! Keeps the usage database: its tables at the start, and later what it may forget. And exports from it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weir_config::bootstrap::{ServerBootstrap, ServerUsage};

use crate::state::State;
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
pub(super) async fn export(store: Store, bootstrap: ServerBootstrap, stats: Arc<Stats>, stop: CancellationToken) {
    if let Some(settings) = bootstrap.usage.events {
        let holder = holder(&bootstrap.state_dir);
        let metrics = Arc::clone(&stats.export);
        Exporter { store, settings, metrics, holder, waits: Waits::default() }.run(stop).await;
    }
}

/// Who this server is among those that share a database: the same after a restart, so that a server that was
/// killed goes on at once.
fn holder(state_dir: &Path) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let dir = std::path::absolute(state_dir).unwrap_or_else(|_| state_dir.to_owned());
    format!("{}:{}", host.trim(), dir.display())
}

/// Keeps the database until `stop`. The server serves configuration whether or not the database is there.
pub(super) async fn keep(store: Store, settings: ServerUsage, stop: CancellationToken) {
    tokio::select! {
        () = tend_for_ever(&store, &settings) => {}
        () = stop.cancelled() => {}
    }
}

/// Keeps what edges were given until `stop`.
pub(super) async fn keep_given(store: Store, state: Arc<State>, settings: ServerUsage, stop: CancellationToken) {
    tokio::select! {
        () = state.given().keep(&store, settings.retention.batches.0, now_ms, || state.renew_given()) => {}
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
