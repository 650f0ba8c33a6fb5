//! Which replica leads, by a Lease of the cluster. [`election`] decides; this reads and writes.
//!
//! Rights that it needs: `get`, `create`, `update` of `leases.coordination.k8s.io` in Weir's own namespace.

pub mod election;

use std::future::Future;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::apiserver::{ApiServer, Cause, Failure};
use election::{Claim, Election, Record, TIMING};

/// Name of the Lease.
pub const LEASE: &str = "weir-server";
/// How long one request may take: several fit into the time in which a leader must renew.
const PATIENCE: Duration = Duration::from_secs(4);

/// A candidate.
pub struct Candidate {
    api: ApiServer,
    leases: Api<Lease>,
    me: String,
    /// Since when this replica leads.
    acquired: Option<MicroTime>,
    election: Election,
    leads: watch::Sender<Option<Instant>>,
}

impl Candidate {
    /// A candidate called `replica` for the Lease in `namespace`; and until when it leads, as it changes.
    pub fn new(api: ApiServer, namespace: &str, replica: &str) -> (Self, watch::Receiver<Option<Instant>>) {
        // A pod's name may come again before its Lease is over.
        let me = format!("{replica}_{:08x}", rand::random::<u32>());
        let (leads, leading) = watch::channel(None);
        let leases = Api::namespaced(api.client().clone(), namespace);
        let election = Election::new(me.clone(), TIMING);
        (Self { api, leases, me, acquired: None, election, leads }, leading)
    }

    /// Stands for election until `stop`, then lets go of the Lease.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut trouble = String::new();
        loop {
            match self.round().await {
                Ok(()) => trouble.clear(),
                Err(failure) if failure.to_string() != trouble => {
                    trouble = failure.to_string();
                    tracing::warn!(lease = LEASE, problem = trouble, "no replica can be elected to write statuses");
                }
                Err(_) => {}
            }
            self.tell();
            let now = Instant::now();
            // A leader that cannot renew says so when its time is over, not at its next try.
            let rest = self.election.until(now).map_or(TIMING.retry, |until| TIMING.retry.min(until - now));
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = stop.cancelled() => break,
            }
        }
        if let Some(claim) = self.election.release(Instant::now()) {
            self.leads.send_replace(None);
            let _ = self.write(&claim, "").await;
        }
    }

    async fn round(&mut self) -> Result<(), Failure> {
        if self.election.must_look(Instant::now()) {
            let found = match self.ask(self.leases.get_opt(LEASE)).await {
                Ok(found) => found,
                Err(failure) => {
                    self.election.failed();
                    return Err(failure);
                }
            };
            self.election.looked(found.map(record), Instant::now());
        }
        let begun = Instant::now();
        let Some(claim) = self.election.claim(begun) else { return Ok(()) };
        if claim.new {
            self.acquired = Some(MicroTime(k8s_openapi::jiff::Timestamp::now()));
        }
        match self.write(&claim, &self.me).await {
            Ok(lease) => {
                self.election.claimed(record(lease), begun);
                if claim.new {
                    tracing::info!(lease = LEASE, holder = self.me, "this replica leads: it writes statuses");
                }
                Ok(())
            }
            Err(failure) => {
                self.election.failed();
                // Another was faster: that is an election.
                if failure.cause() == Cause::Conflict { Ok(()) } else { Err(failure) }
            }
        }
    }

    fn tell(&self) {
        let until = self.election.until(Instant::now());
        let before = self.leads.send_replace(until);
        if before.is_some() && until.is_none() {
            tracing::warn!(lease = LEASE, "this replica does not lead any more");
        }
    }

    async fn write(&self, claim: &Claim, holder: &str) -> Result<Lease, Failure> {
        let now = MicroTime(k8s_openapi::jiff::Timestamp::now());
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: i32::try_from(TIMING.lease.as_secs()).ok(),
            lease_transitions: Some(claim.transitions),
            acquire_time: self.acquired.clone(),
            renew_time: Some(now),
            ..LeaseSpec::default()
        };
        let metadata =
            ObjectMeta { name: Some(LEASE.into()), resource_version: claim.version.clone(), ..ObjectMeta::default() };
        let lease = Lease { metadata, spec: Some(spec) };
        let post = PostParams::default();
        match claim.version {
            None => self.ask(self.leases.create(&post, &lease)).await,
            Some(_) => self.ask(self.leases.replace(LEASE, &post, &lease)).await,
        }
    }

    async fn ask<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
        match tokio::time::timeout(PATIENCE, self.api.ask(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::slow(PATIENCE)),
        }
    }
}

fn record(lease: Lease) -> Record {
    let spec = lease.spec.unwrap_or_default();
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        transitions: spec.lease_transitions.unwrap_or_default(),
        version: lease.metadata.resource_version.unwrap_or_default(),
    }
}
