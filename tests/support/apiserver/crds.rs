//! The CRDs that a cluster has where Weir runs: Weir's own, and the Gateway API's. The latter come from
//! `WEIR_GATEWAY_API_CRDS` (a release's directory `config/crd`); where there is none, from the table of kinds,
//! with schemas that let everything pass.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use weir_config::kinds::{Kind, crds};

use super::Cluster;
use crate::support::site::repository;
use crate::support::wait;

const GATEWAY_API: &str = "gateway.networking.k8s.io";

/// Every CRD.
pub fn all() -> Vec<Value> {
    let gateway_api = released().unwrap_or_else(|| kinds().map(open).collect());
    crds::crds().into_iter().chain(gateway_api).collect()
}

/// Waits until every kind can be listed.
pub fn wait(cluster: &Cluster) {
    for kind in kinds() {
        let path = format!("/apis/{GATEWAY_API}/{}/{}?limit=1", kind.versions()[0], kind.plural());
        wait::until(&path, || cluster.get(&path));
    }
    for kind in ["plans", "tenants", "trafficpolicies"] {
        let path = format!("/apis/weir.dev/v1alpha1/{kind}?limit=1");
        wait::until(&path, || cluster.get(&path));
    }
}

fn kinds() -> impl Iterator<Item = Kind> {
    Kind::ALL.iter().copied().filter(|kind| kind.group() == GATEWAY_API)
}

/// Those of a release, if it lies here.
fn released() -> Option<Vec<Value>> {
    let root = std::env::var_os("WEIR_GATEWAY_API_CRDS");
    let root = root.map_or_else(|| repository("../shared/gateway-api-crds"), PathBuf::from);
    let files = fs::read_dir(root.join("experimental")).ok()?;
    let crds = files.filter_map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name()?.to_str()?;
        let ours = name.starts_with(&format!("{GATEWAY_API}_")) && !name.contains("_vap_");
        ours.then(|| serde_saphyr::from_str::<Value>(&fs::read_to_string(&path).unwrap()).unwrap())
    });
    Some(crds.collect())
}

fn open(kind: Kind) -> Value {
    let versions = kind.versions().iter().enumerate().map(|(index, version)| {
        json!({"name": version, "served": true, "storage": index == 0, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}})
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{}.{}", kind.plural(), kind.group()),
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api",
                "gateway.networking.k8s.io/bundle-version": "v1.6.1"},
        },
        "spec": {
            "group": kind.group(),
            "scope": if kind.namespaced() { "Namespaced" } else { "Cluster" },
            "names": {"kind": kind.name(), "plural": kind.plural(), "singular": kind.name().to_ascii_lowercase(),
                "listKind": format!("{}List", kind.name())},
            "versions": versions.collect::<Vec<_>>(),
        },
    })
}
