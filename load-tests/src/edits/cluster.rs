//! An API server that holds the objects of a fleet: `litek8s`, which authenticates nobody and has no controllers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::world::World;
use crate::processes::{Place, Process, free_address, wait_for};

/// How long a kind may take to be served, and the API server to begin.
const PATIENCE: Duration = Duration::from_secs(60);
/// Objects that are made at one time.
const TOGETHER: usize = 32;
/// The kinds that no API server has by itself: group, version, kind, plural, whether it is namespaced.
const KINDS: [(&str, &str, &str, &str, bool); 6] = [
    ("gateway.networking.k8s.io", "v1", "GatewayClass", "gatewayclasses", false),
    ("gateway.networking.k8s.io", "v1", "Gateway", "gateways", true),
    ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes", true),
    ("gateway.networking.k8s.io", "v1", "ListenerSet", "listenersets", true),
    ("weir.dev", "v1alpha1", "Plan", "plans", false),
    ("weir.dev", "v1alpha1", "Tenant", "tenants", false),
];

/// An API server that runs. Dropped, it ends.
pub(crate) struct Cluster {
    process: Process,
    kubeconfig: PathBuf,
    client: Client,
    runtime: Runtime,
}

impl Cluster {
    /// Starts one whose data lies in `dir`, with the kinds that a fleet has.
    pub(crate) fn start(litek8s: &Path, dir: &Path) -> anyhow::Result<Self> {
        ensure!(litek8s.exists(), "there is no {}: run tests/tools/install.sh", litek8s.display());
        let (kubeconfig, log) = (dir.join("kubeconfig"), dir.join("apiserver.log"));
        let mut command = Command::new(litek8s);
        command.arg("apiserver").args(["--listen", &free_address()?.to_string(), "--node-ip", "127.0.0.1"]);
        command.args(["--no-node", "--no-cluster-dns", "--in-cluster-port", "0", "--no-wireguard"]);
        command.arg("--kubeconfig").arg(&kubeconfig).arg("--data-dir").arg(dir.join("apiserver"));
        let mut process = Process::start(&mut command, Place { errors: Some(&log), ..Place::default() })?;
        wait_for(&kubeconfig, || process.check().context("the API server"))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let client = runtime.block_on(until_whole(&kubeconfig))?;
        let mut cluster = Self { process, kubeconfig, client, runtime };
        cluster.until_served("/version")?;
        for (group, version, kind, plural, namespaced) in KINDS {
            cluster.create(&[crd(group, version, kind, plural, namespaced)])?;
            cluster.until_served(&format!("/apis/{group}/{version}/{plural}?limit=1"))?;
        }
        Ok(cluster)
    }

    /// What the control server is told of it.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Makes objects, many at a time, in no order.
    pub(crate) fn create(&self, objects: &[Value]) -> anyhow::Result<()> {
        self.runtime.block_on(async {
            let mut under_way = JoinSet::new();
            for object in objects {
                if under_way.len() >= TOGETHER
                    && let Some(made) = under_way.join_next().await
                {
                    made??;
                }
                let request = request("POST", &collection(object)?, "application/json", object)?;
                let client = self.client.clone();
                under_way.spawn(async move { client.request_text(request).await.map(drop) });
            }
            while let Some(made) = under_way.join_next().await {
                made??;
            }
            Ok(())
        })
    }

    /// Gives an object this `spec`; the moment just before it was asked for, and how long the API server took.
    pub(crate) fn set_spec(&self, object: &Value) -> anyhow::Result<(Instant, Duration)> {
        let path = format!("{}/{}", collection(object)?, text(&object["metadata"]["name"]));
        let patch = json!({"spec": object["spec"]});
        let request = request("PATCH", &path, "application/merge-patch+json", &patch)?;
        let begun = Instant::now();
        self.runtime.block_on(self.client.request_text(request)).with_context(|| format!("cannot edit {path}"))?;
        Ok((begun, begun.elapsed()))
    }

    /// Makes one object; the moment just before it was asked for, and how long the API server took.
    pub(crate) fn add(&self, object: &Value) -> anyhow::Result<(Instant, Duration)> {
        let path = collection(object)?;
        let request = request("POST", &path, "application/json", object)?;
        let begun = Instant::now();
        self.runtime.block_on(self.client.request_text(request)).with_context(|| format!("cannot add to {path}"))?;
        Ok((begun, begun.elapsed()))
    }

    /// What a path answers.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = http::Request::get(path).body(Vec::new())?;
        Ok(serde_json::from_str(&self.runtime.block_on(self.client.request_text(request))?)?)
    }

    fn until_served(&mut self, path: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.process.check().context("the API server")?;
            let request = http::Request::get(path).body(Vec::new())?;
            match self.runtime.block_on(self.client.request_text(request)) {
                Ok(_) => return Ok(()),
                Err(error) => ensure!(Instant::now() < deadline, "{path} is never served: {error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Of a file that is there, if perhaps not whole yet: it is written in its place.
async fn until_whole(kubeconfig: &Path) -> anyhow::Result<Client> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client(kubeconfig).await {
            Ok(client) => return Ok(client),
            Err(error) => ensure!(Instant::now() < deadline, "{} is never whole: {error:#}", kubeconfig.display()),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn client(kubeconfig: &Path) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    Ok(Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)?)
}

fn request(method: &str, path: &str, content: &str, body: &Value) -> anyhow::Result<http::Request<Vec<u8>>> {
    let request = http::Request::builder().method(method).uri(path).header("content-type", content);
    Ok(request.body(body.to_string().into_bytes())?)
}

/// Where objects of the kind of `object` lie.
fn collection(object: &Value) -> anyhow::Result<String> {
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let plural = match kind {
        "GatewayClass" => "gatewayclasses".to_owned(),
        "" => anyhow::bail!("no object: {object}"),
        _ => format!("{}s", kind.to_ascii_lowercase()),
    };
    let root = if version.contains('/') { "apis" } else { "api" };
    Ok(match text(&object["metadata"]["namespace"]) {
        "" => format!("/{root}/{version}/{plural}"),
        namespace => format!("/{root}/{version}/namespaces/{namespace}/{plural}"),
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A kind that takes whatever is written: nothing is measured here but the control server.
fn crd(group: &str, version: &str, kind: &str, plural: &str, namespaced: bool) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api"},
        },
        "spec": {
            "group": group, "scope": if namespaced { "Namespaced" } else { "Cluster" },
            "names": {"kind": kind, "plural": plural, "singular": kind.to_ascii_lowercase(),
                "listKind": format!("{kind}List")},
            "versions": [{"name": version, "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        },
    })
}

/// Puts a whole fleet in.
pub(crate) fn fill(
    cluster: &Cluster,
    world: World,
    port: u16,
    tenants: u32,
    upstream: &crate::upstream::Upstream,
) -> anyhow::Result<()> {
    let mut objects = world.platform(port);
    for n in 0..tenants {
        objects.extend(world.tenant(n, upstream)?.into_iter().chain([world.edited(n, 0)]));
    }
    // Namespaces first: nothing can be made in one that is not there.
    let (namespaces, rest): (Vec<_>, Vec<_>) = objects.into_iter().partition(|object| object["kind"] == "Namespace");
    cluster.create(&namespaces)?;
    cluster.create(&rest)
}
