//! Statuses, written to the cluster by the leader alone, and only where they differ.
//!
//! [`queue`] says what to look at and when (pure), [`writer`] writes one object, [`replicas`] brings what proxies of
//! other replicas say, [`events`] tells people, [`gateway_services`] makes what
//! Gateways are to have, [`usage`] reads what tenants used, [`bundle`] of which release the cluster's CRDs are.
//!
//! Rights that it needs: `get` and `patch` of `<kind>/status` of GatewayClasses, Gateways, routes, Plans and
//! Tenants; `create` and `patch` of `events.events.k8s.io`; those of [`replicas`], of
//! [`gateway_services`], of [`bundle`] and of [`crate::leader`].

mod bundle;
mod events;
mod gateway_services;
mod queue;
mod replicas;
mod usage;
mod writer;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use weir_config::bootstrap::Kubernetes;
use weir_config::kinds::{Kind, ObjectKey};

use crate::apiserver::{ApiServer, Cause, Failure};
use crate::leader::Candidate;
use crate::state::{State, Wanted};
use crate::usage::store::Store;
use events::{Events, Word};
use queue::{Outcome, Queue};
use replicas::Replicas;
use writer::{Look, Writer};

/// Objects that are looked at at one time.
const AT_ONCE: usize = 16;
/// A look that took longer says that the API server has much to do.
const SLOW: Duration = Duration::from_secs(1);
/// How often it is judged what proxies say.
const JUDGE: Duration = Duration::from_millis(500);
/// What waits to become Events.
const WORDS: usize = 256;
/// How often a long queue says how long it is.
const PROGRESS: Duration = Duration::from_secs(10);

/// Takes part in elections until `stop`, and writes statuses while this replica leads.
pub async fn run(api: ApiServer, settings: Kubernetes, state: Arc<State>, store: Store, stop: CancellationToken) {
    let replica = settings.replica.clone().unwrap_or_else(host_name);
    let (candidate, leads) = Candidate::new(api.clone(), &settings.namespace, &replica);
    let replicas = Replicas::new(&api, &settings.namespace, &replica);
    let leading = leads.clone();
    let publisher = Publisher {
        writer: Writer { api: api.clone(), state: Arc::clone(&state), leads: leads.clone() },
        state: Arc::clone(&state),
        store,
        leads,
        forbidden: HashSet::new(),
    };
    // Without objects there is nothing to say, and whoever leads should have some.
    let mut ready = state.watch_ready();
    tokio::select! {
        _ = ready.wait_for(|ready| *ready) => {}
        () = stop.cancelled() => return,
    }
    let others = async {
        tokio::select! {
            () = replicas.run(&state, || holds(*leading.borrow())) => {}
            () = publisher.run(Events::new(&api, &replica)) => {}
            () = stop.cancelled() => {}
        }
    };
    tokio::join!(candidate.run(stop.clone()), others);
}

fn holds(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() < until)
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "server".to_owned() } else { name.trim().to_owned() }
}

struct Publisher {
    writer: Writer,
    state: Arc<State>,
    store: Store,
    leads: watch::Receiver<Option<Instant>>,
    /// Kinds of which it was said that they cannot be written.
    forbidden: HashSet<Kind>,
}

impl Publisher {
    async fn run(mut self, mut events: Events) {
        let mut leads = self.leads.clone();
        loop {
            if leads.wait_for(|until| holds(*until)).await.is_err() {
                return;
            }
            self.state.lead(true);
            self.state.news().hear(true);
            let (store, state, api) = (self.store.clone(), Arc::clone(&self.state), self.writer.api.clone());
            let (words, mut told) = mpsc::channel(WORDS);
            // With more than there is room for, the conditions say it.
            let tell = |word| drop(words.try_send(word));
            tokio::select! {
                () = self.write(tell) => {}
                // Beside the statuses: an Event that is slow to be written must keep none of them waiting.
                () = events.tell(&state, &mut told) => {}
                () = usage::keep(&store, &state) => {}
                () = bundle::keep(api.clone(), Arc::clone(&state)) => {}
                () = gateway_services::keep(api.clone(), Arc::clone(&state)) => {}
                () = over(leads.clone()) => {}
            }
            self.state.news().hear(false);
            self.state.lead(false);
        }
    }

    /// Writes for as long as this replica leads. What people are to hear of goes to `tell`.
    async fn write(&mut self, tell: impl Fn(Word)) {
        let started = Instant::now();
        let mut queue = Queue::new(started);
        let mut all: HashSet<ObjectKey> = self.state.with_status().into_iter().collect();
        all.extend(self.state.news().known());
        all.into_iter().for_each(|key| queue.add_to_fill(key, started));
        let mut busy = FuturesUnordered::new();
        let mut judge = tokio::time::interval(JUDGE);
        judge.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut written, mut spoke) = (0u64, started);
        loop {
            self.state.news().take().into_iter().for_each(|key| queue.add(key, Instant::now()));
            while busy.len() < AT_ONCE
                && let Some(key) = queue.next(Instant::now())
            {
                match self.writer.look(&key) {
                    Look::Fine => drop(queue.done(key, Outcome::Fine, Instant::now())),
                    Look::Early(wait) => drop(queue.done(key, Outcome::Again(wait), Instant::now())),
                    Look::Ask => {
                        queue.spend();
                        let writer = self.writer.clone();
                        busy.push(async move {
                            let began = Instant::now();
                            let (outcome, failure) = writer.write(&key).await;
                            (key, outcome, failure, began.elapsed())
                        });
                    }
                }
            }
            let now = Instant::now();
            if queue.len() > 100 && now >= spoke + PROGRESS {
                spoke = now;
                tracing::info!(waiting = queue.len(), written, "statuses are being written");
            }
            let deadline = queue.deadline(now).filter(|_| busy.len() < AT_ONCE);
            tokio::select! {
                () = self.state.news().wait() => {}
                () = sleep_until(deadline) => {}
                _ = judge.tick() => {
                    for (key, note) in self.state.judge(&self.state.acknowledged(), Instant::now()) {
                        tell(Word::refused(key, note));
                    }
                }
                Some((key, outcome, failure, took)) = busy.next(), if !busy.is_empty() => {
                    if took > SLOW || failure.as_ref().is_some_and(is_pressure) {
                        queue.press(Instant::now());
                    }
                    if let Some(failure) = failure {
                        self.note(&key, &failure);
                    }
                    if matches!(outcome, Outcome::Wrote(_)) {
                        written += 1;
                        self.conflicts(&key).into_iter().for_each(&tell);
                    }
                    let object = key.to_string();
                    if queue.done(key, outcome, Instant::now()) {
                        tracing::warn!(object, "somebody else keeps changing the status that Weir wrote; Weir slows down");
                    }
                }
            }
        }
    }

    /// What the status that an object now has says of conflicts with others.
    fn conflicts(&self, key: &ObjectKey) -> Vec<Word> {
        match self.state.wanted(key) {
            Wanted::Status(status) => Word::conflicts(key, &status),
            Wanted::Nothing | Wanted::Early => Vec::new(),
        }
    }

    /// Says once for each kind what an operator must mend; the rest is tried again in silence.
    fn note(&mut self, key: &ObjectKey, failure: &Failure) {
        match failure.cause() {
            Cause::Forbidden | Cause::Unauthenticated | Cause::Invalid => {
                if self.forbidden.insert(key.kind) {
                    tracing::warn!(object = %key, problem = %failure, "a status cannot be written");
                }
            }
            _ => tracing::debug!(object = %key, problem = %failure, "a status is not written yet"),
        }
    }
}

/// Whether a failure says that the API server has too much to do.
fn is_pressure(failure: &Failure) -> bool {
    matches!(failure.cause(), Cause::Busy | Cause::Slow)
}

/// Returns when this replica does not lead any more.
async fn over(mut leads: watch::Receiver<Option<Instant>>) {
    loop {
        let until = *leads.borrow_and_update();
        if !holds(until) {
            return;
        }
        tokio::select! {
            changed = leads.changed() => if changed.is_err() { return },
            () = sleep_until(until) => {}
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
