//! The chart at a real API server: every object is taken, and an upgrade keeps what must stay. With
//! `WEIR_TEST_KUBECONFIG` a stock API server is asked as well, in a dry run that changes nothing there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::apiserver::ApiServer;
use crate::support::helm::{self, CHART, NAMESPACE, RELEASE, cases, kubectl, out, render};
use crate::support::site::{Site, repository};

#[test]
fn an_api_server_takes_every_object_of_every_case() {
    let site = Site::new();
    let api = ApiServer::start(&site);
    api.cluster().apply(&namespaces());
    let config = site.path("apiserver.kubeconfig");
    let kinds = kinds(&config, &site);
    assert!(kinds.contains("GatewayClass"));
    for case in cases() {
        let file = written(&site, &case.values, &kinds);
        // What this API server publishes of CRDs' schemas is less than they are: fields are judged in `objects`.
        out(apply(&config, &file, &site).args(["--dry-run=server", "--validate=false"]));
        out(apply(&config, &file, &site).arg("--validate=false"));
    }
    let stored = api.cluster().get(&format!("/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/weir-edge")).unwrap();
    assert_eq!(stored["spec"]["serviceName"], "weir-edge-pods");
}

#[test]
fn a_stock_api_server_takes_every_object_of_every_case() {
    let Some(config) = std::env::var_os("WEIR_TEST_KUBECONFIG").map(PathBuf::from) else { return };
    let site = Site::new();
    let kinds = kinds(&config, &site);
    for case in cases() {
        let file = written(&site, &case.values, &kinds);
        // A namespace that every cluster has.
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace(NAMESPACE, "default").replace("\"certificates\"", "\"default\"")).unwrap();
        out(apply(&config, &file, &site).args(["--dry-run=server", "--validate=strict"]));
    }
    let crds = repository(CHART).join("crds");
    out(apply(&config, &crds, &site).args(["--dry-run=server", "--validate=strict"]));
}

#[test]
fn an_upgrade_keeps_selectors_and_the_authority() {
    let site = Site::new();
    let api = ApiServer::start(&site);
    api.cluster().apply(&namespaces());
    let helm = |arguments: &[&str]| {
        let mut command = helm::helm();
        command.args(arguments).args(["--namespace", NAMESPACE]).env("HOME", site.path("home"));
        out(command.env("KUBECONFIG", site.path("apiserver.kubeconfig")))
    };
    let chart = repository(CHART).display().to_string();
    helm(&["install", RELEASE, &chart, "--skip-crds"]);
    let get = |path: &str| api.cluster().get(path).unwrap_or_else(|| panic!("no {path}"));
    let secret = format!("/api/v1/namespaces/{NAMESPACE}/secrets/weir-xds-tls");
    let authority = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/weir-xds-ca");
    let edge = format!("/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/weir-edge");
    let server = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/weir-server");
    let before: Vec<Value> = [&secret, &authority, &edge, &server].map(|path| get(path)).into();
    assert!(before[0]["data"]["tls.key"].is_string());

    let values = ["--set", "edge.drainSeconds=60,usage.database.secretName=db,commonLabels.team=a,edge.replicas=5"];
    helm(&["upgrade", RELEASE, &chart, values[0], values[1]]);
    let after: Vec<Value> = [&secret, &authority, &edge, &server].map(|path| get(path)).into();
    for n in [0, 1] {
        assert_eq!(before[n]["data"], after[n]["data"], "certificates stay");
        assert_eq!(after[n]["metadata"]["labels"]["team"], "a", "and were upgraded nevertheless");
    }
    for n in [2, 3] {
        assert_eq!(before[n]["spec"]["selector"], after[n]["spec"]["selector"]);
    }
    assert_eq!(before[2]["spec"]["volumeClaimTemplates"], after[2]["spec"]["volumeClaimTemplates"]);
    let sum = |object: &Value| object["spec"]["template"]["metadata"]["annotations"]["checksum/config"].clone();
    assert_ne!(sum(&before[2]), sum(&after[2]), "pods start anew with new settings");
    assert_eq!(sum(&before[3]), sum(&after[3]), "and others do not");

    helm(&["uninstall", RELEASE]);
    assert!(api.cluster().get(&secret).is_none());
    let claim = format!("/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims/weir-server-usage");
    assert!(api.cluster().get(&edge).is_none());
    assert!(api.cluster().get(&claim).is_some(), "what tenants used stays");
}

pub(super) fn namespaces() -> String {
    let one = |name: &str| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n");
    [NAMESPACE, "certificates"].map(one).join("---\n")
}

/// The kinds that a cluster serves; those of other projects it may not have.
pub(super) fn kinds(kubeconfig: &Path, site: &Site) -> BTreeSet<String> {
    let mut command = kubectl();
    command.env("HOME", site.path("home")).env("KUBECONFIG", kubeconfig).args(["api-resources", "--no-headers"]);
    let kinds: BTreeSet<String> =
        out(&mut command).lines().filter_map(|line| line.split_whitespace().last().map(str::to_owned)).collect();
    assert!(kinds.contains("StatefulSet") && kinds.contains("NetworkPolicy"));
    kinds
}

/// What a case renders, of the kinds that are served, in a file.
pub(super) fn written(site: &Site, values: &str, kinds: &BTreeSet<String>) -> PathBuf {
    let objects = render(values).objects.into_iter().filter(|object| kinds.contains(object["kind"].as_str().unwrap()));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects.collect::<Vec<_>>()});
    let file = site.path("rendered.json");
    std::fs::write(&file, list.to_string()).unwrap();
    file
}

pub(super) fn apply(kubeconfig: &Path, file: &Path, site: &Site) -> Command {
    let mut command = kubectl();
    command.env("HOME", site.path("home")).env("KUBECONFIG", kubeconfig);
    command.args(["apply", "--server-side", "--force-conflicts", "--filename"]).arg(file);
    command
}
