//! Whose usage each caller may report: what it was given, by this server, another or an earlier one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use weir_config::usage::NO_TENANT;

use super::given::{Given, Pair, RENEW_MS, SLACK_MS};
use super::scope::Scope;
use super::store::{Result, Store};
use crate::namespaces::Namespaces;
use crate::scope::Role;

/// How often the store is asked for what a holder was given, at most: a caller that makes tenants up shall
/// not keep the database busy.
const READ_AGAIN: Duration = Duration::from_secs(5);
/// How long what could not be stored waits.
const RETRY: Duration = Duration::from_secs(5);

/// What this server gives to whom, shared by whoever gives and whoever asks.
#[derive(Debug, Default)]
pub struct Ledger {
    given: Mutex<Given>,
    due: Notify,
}

impl Ledger {
    /// Notes what is given now: edges with tenants.
    pub fn note<'a>(&self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>, now_ms: i64) {
        let mut given = self.lock();
        let due = pairs.into_iter().fold(false, |due, (holder, tenant)| given.note(holder, tenant, now_ms) || due);
        drop(given);
        if due {
            self.due.notify_one();
        }
    }

    /// Stores what is due, for ever; `renew` notes all that is given, now and then.
    pub async fn keep(&self, store: &Store, retention: Duration, now_ms: fn() -> i64, renew: impl Fn()) {
        let mut again = tokio::time::interval(Duration::from_millis(RENEW_MS.unsigned_abs()));
        loop {
            tokio::select! {
                _ = again.tick() => {
                    renew();
                    self.lock().forget(since(now_ms(), retention));
                }
                () = self.due.notified() => {}
            }
            while !self.store(store, now_ms()).await {
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Stores what is due; false where the database is away, of which others speak.
    async fn store(&self, store: &Store, now_ms: i64) -> bool {
        let pairs: Vec<Pair> = self.lock().take_due();
        let stored = pairs.is_empty() || store.note_given(&pairs, now_ms).await.is_ok();
        self.lock().stored(pairs, stored.then_some(now_ms));
        stored
    }

    fn lock(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From when on what was given counts.
fn since(now_ms: i64, retention: Duration) -> i64 {
    let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    now_ms.saturating_sub(retention).saturating_sub(SLACK_MS)
}

/// Says whose rows a caller may report.
#[derive(Debug)]
pub struct Reporters {
    ledger: Arc<Ledger>,
    store: Store,
    namespaces: Arc<Namespaces>,
    /// Whether this server has seen its objects, and so knows what it gives.
    ready: watch::Receiver<bool>,
    retention: Duration,
    /// When the store was asked last, of each holder. One asks, and the others wait for what it hears.
    asked: tokio::sync::Mutex<HashMap<Arc<str>, Instant>>,
}

impl Reporters {
    /// Of what `ledger` and `store` know; rows count for `retention` after their tenant was given.
    pub fn new(
        ledger: Arc<Ledger>,
        store: Store,
        namespaces: Arc<Namespaces>,
        ready: watch::Receiver<bool>,
        retention: Duration,
    ) -> Arc<Self> {
        Arc::new(Self { ledger, store, namespaces, ready, retention, asked: tokio::sync::Mutex::default() })
    }

    /// What a caller of this role may report, of rows of these tenants, at `now_ms`. It waits where that cannot be
    /// known yet: before a server that begins has seen its objects.
    ///
    /// # Errors
    /// The database is needed, and is away.
    pub async fn scope<'a>(
        &self,
        role: &Role,
        tenants: impl Iterator<Item = &'a str> + Clone,
        now_ms: i64,
    ) -> Result<Scope> {
        let holder: Arc<str> = match role {
            Role::Anyone => return Ok(Scope::Everything),
            Role::Operator => return Ok(Scope::Tenants(Default::default())),
            Role::Edge(edge) => Arc::clone(edge),
            Role::Sidecar(namespace) => {
                let holder = format!("sidecar/{namespace}");
                let tenant = self.namespaces.tenant(namespace);
                self.ledger.note(tenant.iter().map(|tenant| (holder.as_str(), &**tenant)), now_ms);
                holder.into()
            }
        };
        let since_ms = since(now_ms, self.retention);
        let all_known = || {
            let given = self.ledger.lock();
            tenants.clone().all(|tenant| tenant == NO_TENANT || given.has(&holder, tenant, since_ms))
        };
        if !all_known() {
            let mut asked = self.asked.lock().await;
            if !all_known() && asked.get(&holder).is_none_or(|at| at.elapsed() >= READ_AGAIN) {
                let stored = self.store.given(&holder, since_ms).await?;
                self.ledger.lock().learn(&holder, stored);
                asked.insert(Arc::clone(&holder), Instant::now());
            }
        }
        if !all_known() {
            // The sender is gone where there is no server any more.
            let _ = self.ready.clone().wait_for(|ready| *ready).await;
        }
        let given = self.ledger.lock();
        let kept = tenants.filter(|tenant| given.has(&holder, tenant, since_ms)).map(str::to_owned);
        Ok(Scope::Tenants(kept.collect()))
    }
}

#[cfg(test)]
#[path = "reporters_tests.rs"]
mod tests;
