//! The server that leads is killed: when the other writes statuses again, and which.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::report::Takeover;
use crate::cpu;
use crate::edits::cluster::Cluster;
use crate::edits::fleet::{Fleet, Shape, until_led};

/// How long statuses of a whole fleet may take.
const PATIENCE: Duration = Duration::from_secs(900);
/// How long nothing must change for it to be at rest: more than a leader waits between two tries of anything.
const REST: Duration = Duration::from_secs(6);
/// What a takeover is asked for: the route that is made just after the kill, of the first tenant.
const NEW: u32 = 1;
/// Kinds that have a status of Weir's, as paths of all of them.
const KINDS: [&str; 6] = [
    "gateway.networking.k8s.io/v1/gatewayclasses",
    "gateway.networking.k8s.io/v1/gateways",
    "gateway.networking.k8s.io/v1/listenersets",
    "gateway.networking.k8s.io/v1/httproutes",
    "weir.dev/v1alpha1/plans",
    "weir.dev/v1alpha1/tenants",
];

/// Version of each object, by kind, namespace and name.
type Versions = BTreeMap<String, String>;

/// Kills the leader of a fleet that is at rest.
pub(super) fn measure(shape: Shape<'_>) -> anyhow::Result<Takeover> {
    let begun = Instant::now();
    let mut fleet = Fleet::start(shape)?;
    let leader = fleet.leader.take().context("a server that leads")?;
    let before = at_rest(&fleet, true).context("the first leader")?;
    let rested = begun.elapsed().saturating_sub(REST);
    let spent = cpu::of_process(fleet.server.id())?;
    let killed = Instant::now();
    // SIGKILL.
    drop(leader);
    fleet.add(0, NEW)?;
    let cluster = cluster(&fleet)?;
    until_led(cluster, "server")?;
    let leads = killed.elapsed();
    let path = format!("/apis/gateway.networking.k8s.io/v1/namespaces/t0/httproutes/new-{NEW}");
    while !is_accepted(&cluster.get(&path)?) {
        ensure!(killed.elapsed() < PATIENCE, "the new route has no status");
        std::thread::sleep(Duration::from_millis(5));
    }
    let correct = killed.elapsed();
    let after = at_rest(&fleet, false)?;
    let spent = cpu::of_process(fleet.server.id())?.saturating_sub(spent);
    let written: Vec<&String> =
        after.iter().filter(|(key, at)| before.get(*key) != Some(*at)).map(|(key, _)| key).collect();
    // The new route, and what counts it.
    let owed = |key: &&&String| key.ends_with(&format!(" t0/new-{NEW}")) || key.ends_with("listenersets t0/own");
    Ok(Takeover {
        routes: before.keys().filter(|key| key.contains("httproutes")).count(),
        objects: before.len(),
        rested: rested.as_secs_f64() * 1e3,
        leads: leads.as_secs_f64() * 1e3,
        correct: correct.as_secs_f64() * 1e3,
        written: written.len(),
        needless: written.iter().filter(|key| !owed(key)).map(|key| (*key).clone()).collect(),
        cpu: spent.as_secs_f64() * 1e3,
    })
}

fn cluster(fleet: &Fleet) -> anyhow::Result<&Cluster> {
    fleet.cluster().context("only a cluster has statuses")
}

fn is_accepted(route: &Value) -> bool {
    let parents = route["status"]["parents"].as_array();
    let conditions =
        parents.into_iter().flatten().flat_map(|parent| parent["conditions"].as_array().into_iter().flatten());
    conditions.into_iter().any(|condition| {
        condition["type"] == "Accepted"
            && condition["status"] == "True"
            && condition["observedGeneration"] == route["metadata"]["generation"]
    })
}

/// Waits until no object changes any more; `whole`: and each route has its status.
fn at_rest(fleet: &Fleet, whole: bool) -> anyhow::Result<Versions> {
    let begun = Instant::now();
    let (mut last, mut since) = (Versions::new(), Instant::now());
    loop {
        let (versions, accepted) = versions(cluster(fleet)?)?;
        if versions != last {
            (last, since) = (versions, Instant::now());
        } else if since.elapsed() >= REST && (accepted || !whole) {
            return Ok(last);
        }
        ensure!(begun.elapsed() < PATIENCE, "statuses never come to rest");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Of all objects; and whether each route is accepted.
fn versions(cluster: &Cluster) -> anyhow::Result<(Versions, bool)> {
    let (mut versions, mut accepted) = (Versions::new(), true);
    for kind in KINDS {
        let list = cluster.get(&format!("/apis/{kind}"))?;
        let plural = kind.rsplit('/').next().unwrap_or(kind);
        for object in list["items"].as_array().into_iter().flatten() {
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
            let key = format!("{plural} {}/{}", text("namespace"), text("name"));
            versions.insert(key, text("resourceVersion").to_owned());
            accepted &= plural != "httproutes" || is_accepted(object);
        }
    }
    Ok((versions, accepted))
}
