//! The API server of a cluster as a source of objects: a list and a watch for each kind.
//!
//! The watch is our own and not kube's `watcher`, because one object that cannot be read must not keep the others
//! of its list away, because an unreadable answer must not end in the log (kube quotes it, and it may hold
//! Secrets), and because what a list or an event does is a function here ([`gather`], [`known`]) that a
//! simulation drives.
//!
//! An object that cannot be used is as if it were not there, and a finding: two servers that see the same
//! objects, one of which saw them before, must serve the same.

mod backoff;
pub(crate) mod gather;
mod known;
pub(crate) mod target;
mod trim;
mod watcher;
pub(crate) mod wire;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use weir_config::bootstrap::Kubernetes;

use self::gather::{Gather, Report};
use self::watcher::Watcher;
use super::Batch;
use crate::apiserver::ApiServer;

/// Reports that wait to be taken; beyond it watches wait, and in the end the API server.
const QUEUE: usize = 1024;
/// Events of one batch after the first, which is everything.
const BATCH: usize = 4096;

/// A watched cluster. Its watches end when it is dropped.
pub struct KubernetesSource {
    gather: Gather,
    reports: mpsc::Receiver<(usize, Report)>,
    _watches: JoinSet<()>,
}

impl KubernetesSource {
    /// Starts to watch. Call it within a tokio runtime.
    pub fn open(api: &ApiServer, settings: &Kubernetes) -> Self {
        let targets = target::targets(settings);
        let (sender, reports) = mpsc::channel(QUEUE);
        let mut watches = JoinSet::new();
        for (index, target) in targets.iter().enumerate() {
            watches.spawn(Watcher::new(api.clone(), target.clone(), index, sender.clone()).run());
        }
        tracing::info!(api_server = api.url(), "reading the cluster");
        Self { gather: Gather::new(targets), reports, _watches: watches }
    }

    /// The next changes: what came since the last batch, together; a lone event at once. None: every watch has
    /// ended, which they do only with the runtime. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Batch> {
        loop {
            let (index, report) = self.reports.recv().await?;
            self.gather.take(index, report);
            while self.gather.waiting() < BATCH
                && let Ok((index, report)) = self.reports.try_recv()
            {
                self.gather.take(index, report);
            }
            if let Some(batch) = self.gather.batch() {
                return Some(batch);
            }
        }
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod tests;
