//! What proxies of other replicas say: each replica keeps a Lease of its own, whose annotation tells it. Every replica
//! reads those of the others; one whose Lease stands still says nothing any more.
//!
//! Rights that it needs: `list`, `get`, `create`, `update`, `delete` of `leases.coordination.k8s.io` in Weir's own
//! namespace.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};

use crate::ads::Acknowledged;
use crate::apiserver::{ApiServer, Cause, Failure};
use crate::leader::LEASE;
use crate::state::State;

/// Annotation that tells what a replica's proxies acknowledged and refused.
const ANNOTATION: &str = "weir.dev/acknowledged";
/// Label of replicas' Leases.
const LABEL: &str = "weir.dev/replica";
/// Bytes of the annotation; all annotations of an object together may have 256 KiB.
const MAX_TOLD: usize = 128 << 10;
/// How often a replica writes though nothing is new, and how long its word holds.
const RENEW: Duration = Duration::from_secs(10);
const HOLDS: Duration = Duration::from_secs(30);
/// Between two writes, and between two looks at the others.
const PACE: Duration = Duration::from_secs(1);
/// A Lease that stood still for so long is deleted.
const OLD: Duration = Duration::from_secs(600);

/// A replica among others.
pub(super) struct Replicas {
    api: ApiServer,
    leases: Api<Lease>,
    name: String,
    replica: String,
    /// What was written last, and when.
    told: Option<(Acknowledged, Instant)>,
    version: Option<String>,
    peers: Peers,
    trouble: String,
}

impl Replicas {
    pub(super) fn new(api: &ApiServer, namespace: &str, replica: &str) -> Self {
        let leases = Api::namespaced(api.client().clone(), namespace);
        let name = lease_name(replica);
        let replica = replica.to_owned();
        let (api, peers) = (api.clone(), Peers::default());
        Self { api, leases, name, replica, told: None, version: None, peers, trouble: String::new() }
    }

    /// Tells and listens for ever. `leads`: whether this replica tidies up.
    pub(super) async fn run(mut self, state: &Arc<State>, leads: impl Fn() -> bool) {
        loop {
            let own = state.acknowledged();
            let result = match self.tell(own).await {
                Ok(()) => self.listen(state, leads()).await,
                Err(failure) => Err(failure),
            };
            match result {
                Ok(()) => self.trouble.clear(),
                Err(failure) if failure.to_string() != self.trouble => {
                    self.trouble = failure.to_string();
                    let problem = &self.trouble;
                    tracing::warn!(problem, "replicas do not hear of each other's proxies");
                }
                Err(_) => {}
            }
            tokio::time::sleep(PACE).await;
        }
    }

    async fn tell(&mut self, own: Acknowledged) -> Result<(), Failure> {
        let now = Instant::now();
        if self.told.as_ref().is_some_and(|(told, at)| *told == own && now < *at + RENEW) {
            return Ok(());
        }
        let metadata = ObjectMeta {
            name: Some(self.name.clone()),
            labels: Some(BTreeMap::from([(LABEL.to_owned(), "true".to_owned())])),
            annotations: Some(BTreeMap::from([(ANNOTATION.to_owned(), own.to_json(MAX_TOLD))])),
            resource_version: self.version.clone(),
            ..ObjectMeta::default()
        };
        let spec = LeaseSpec {
            holder_identity: Some(self.replica.clone()),
            lease_duration_seconds: i32::try_from(HOLDS.as_secs()).ok(),
            renew_time: Some(MicroTime(k8s_openapi::jiff::Timestamp::now())),
            ..LeaseSpec::default()
        };
        let lease = Lease { metadata, spec: Some(spec) };
        let post = PostParams::default();
        let written = match &self.version {
            Some(_) => self.api.ask(self.leases.replace(&self.name, &post, &lease)).await,
            None => self.api.ask(self.leases.create(&post, &lease)).await,
        };
        match written {
            Ok(lease) => {
                self.version = lease.metadata.resource_version;
                self.told = Some((own, now));
                Ok(())
            }
            // It is there from before, or somebody changed or deleted it.
            Err(failure) if matches!(failure.cause(), Cause::Conflict | Cause::NotFound) => {
                let found = self.api.ask(self.leases.get_opt(&self.name)).await?;
                self.version = found.and_then(|lease| lease.metadata.resource_version);
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    async fn listen(&mut self, state: &State, leads: bool) -> Result<(), Failure> {
        let params = ListParams::default().labels(&format!("{LABEL}=true"));
        let now = Instant::now();
        let found = match self.api.ask(self.leases.list(&params)).await {
            Ok(found) => found,
            Err(failure) => {
                // What they said holds no longer than if they were gone.
                state.set_peers(self.peers.said(now));
                return Err(failure);
            }
        };
        let others = found.items.into_iter().filter(|lease| lease.metadata.name.as_ref() != Some(&self.name));
        let others = others.map(|lease| {
            let metadata = lease.metadata;
            let said = metadata.annotations.and_then(|mut all| all.remove(ANNOTATION)).unwrap_or_default();
            (metadata.name.unwrap_or_default(), metadata.resource_version.unwrap_or_default(), said)
        });
        self.peers.hear(others, now);
        state.set_peers(self.peers.said(now));
        if leads {
            for name in self.peers.old(now) {
                match self.api.ask(self.leases.delete(&name, &DeleteParams::default())).await {
                    Ok(_) => tracing::info!(lease = name, "the Lease of a replica that is gone is deleted"),
                    Err(failure) if failure.cause() == Cause::NotFound => {}
                    Err(failure) => return Err(failure),
                }
            }
        }
        Ok(())
    }
}

/// Name of a replica's Lease.
fn lease_name(replica: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let text: String = replica.chars().take(200).map(fit).collect();
    format!("{LEASE}-{}", text.trim_matches('-'))
}

/// What other replicas said, and since when they say the same.
#[derive(Debug, Default)]
struct Peers(HashMap<String, Peer>);

#[derive(Debug)]
struct Peer {
    version: String,
    since: Instant,
    said: Acknowledged,
}

impl Peers {
    /// Takes in the Leases that are there: name, version, annotation.
    fn hear(&mut self, leases: impl Iterator<Item = (String, String, String)>, now: Instant) {
        let mut old = std::mem::take(&mut self.0);
        for (name, version, said) in leases {
            let peer = match old.remove(&name) {
                Some(peer) if peer.version == version => peer,
                // What cannot be read, of another version of Weir perhaps, says nothing.
                _ => Peer { version, since: now, said: serde_json::from_str(&said).unwrap_or_default() },
            };
            self.0.insert(name, peer);
        }
    }

    /// What those say together whose Leases hold.
    fn said(&self, now: Instant) -> Acknowledged {
        let mut all = Acknowledged::default();
        self.0.values().filter(|peer| now < peer.since + HOLDS).for_each(|peer| all.add(&peer.said));
        all
    }

    /// Those whose Lease stood still for long.
    fn old(&self, now: Instant) -> Vec<String> {
        self.0.iter().filter(|(_, peer)| peer.since + OLD <= now).map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(name: &str, version: &str, proxies: u32) -> (String, String, String) {
        (name.into(), version.into(), Acknowledged { proxies, ..Acknowledged::default() }.to_json(MAX_TOLD))
    }

    #[test]
    fn a_replicas_word_ends_with_its_lease() {
        let (mut peers, now) = (Peers::default(), Instant::now());
        peers.hear([lease("a", "1", 2), lease("b", "1", 3)].into_iter(), now);
        assert_eq!(peers.said(now).proxies, 5);
        let later = now + HOLDS;
        peers.hear([lease("a", "2", 4), lease("b", "1", 3)].into_iter(), later);
        assert_eq!(peers.said(later).proxies, 4, "b stood still");
        assert!(peers.old(later).is_empty());
        assert_eq!(peers.old(now + OLD), ["b"]);
        peers.hear([lease("a", "2", 4)].into_iter(), later);
        assert!(peers.old(now + OLD).is_empty(), "it is deleted");
    }

    #[test]
    fn an_annotation_that_cannot_be_read_says_nothing() {
        let (mut peers, now) = (Peers::default(), Instant::now());
        peers.hear([("a".to_owned(), "1".to_owned(), "{".to_owned())].into_iter(), now);
        assert_eq!(peers.said(now), Acknowledged::default());
    }

    #[test]
    fn a_lease_has_a_name_that_kubernetes_takes() {
        assert_eq!(lease_name("weir-server-0"), "weir-server-weir-server-0");
        assert_eq!(lease_name("Host.example_1."), "weir-server-host-example-1");
    }
}
