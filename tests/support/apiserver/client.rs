//! A client of an API server for tests: whole manifests in, JSON out.

use std::path::Path;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::address::Address;
use crate::support::wait;

/// Owner of the fields that tests write.
const MANAGER: &str = "weir-test";

/// A cluster, through its API server.
pub struct Cluster {
    client: Client,
    runtime: Runtime,
}

impl Cluster {
    /// The cluster of a kubeconfig's current context.
    pub fn open(kubeconfig: &Path) -> Self {
        Self::try_open(kubeconfig).unwrap_or_else(|error| panic!("{}: {error}", kubeconfig.display()))
    }

    /// The same, of a kubeconfig that may still be being written.
    ///
    /// # Errors
    /// It is not there, or not whole.
    pub fn try_open(kubeconfig: &Path) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let kubeconfig = Kubeconfig::read_from(kubeconfig).map_err(|error| error.to_string())?;
            let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
            Client::try_from(config.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
        })?;
        Ok(Self { client, runtime })
    }

    /// Applies each document of `manifests`, in order, taking over what others own. A kind that is not served
    /// yet is waited for.
    pub fn apply(&self, manifests: &str) {
        documents(manifests).iter().for_each(|object| self.apply_value(object));
    }

    /// Applies one object.
    pub fn apply_value(&self, object: &Value) {
        let path = format!("{}?fieldManager={MANAGER}&force=true", path_of(object));
        let object = &reachable(object);
        wait::until_ok(&format!("{path} to be taken"), || self.send("PATCH", &path, Some(object)).map(drop));
    }

    /// Deletes what each document of `manifests` names; what is not there is no error.
    pub fn delete(&self, manifests: &str) {
        for object in documents(manifests) {
            let path = path_of(&object);
            wait::until_ok(&format!("{path} to be gone"), || match self.send("DELETE", &path, None) {
                Err(why) if !why.starts_with("404") => Err(why),
                _ => Ok(()),
            });
        }
    }

    /// What is at a path of the API; none: nothing, or an error.
    pub fn get(&self, path: &str) -> Option<Value> {
        self.send("GET", path, None).ok()
    }

    /// Sends a request; a body goes as a server-side apply.
    ///
    /// # Errors
    /// Code and message of the answer, or what went wrong on the way.
    pub fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let content = if method == "POST" { "application/json" } else { "application/apply-patch+yaml" };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content)
            .body(body.map(|body| body.to_string().into_bytes()).unwrap_or_default())
            .unwrap();
        match self.runtime.block_on(self.client.request_text(request)) {
            Ok(text) => Ok(serde_json::from_str(&text).unwrap_or(Value::String(text))),
            Err(kube::Error::Api(status)) => Err(format!("{} {}", status.code, status.message)),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// An EndpointSlice leads to where the backends of the test listen.
fn reachable(object: &Value) -> Value {
    let mut object = object.clone();
    for endpoint in object.get_mut("endpoints").and_then(Value::as_array_mut).into_iter().flatten() {
        for address in endpoint.get_mut("addresses").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(ip) = address.as_str().and_then(|text| text.parse().ok()) {
                *address = Address::of_backends(ip).to_string().into();
            }
        }
    }
    object
}

/// The documents of a YAML text.
fn documents(text: &str) -> Vec<Value> {
    let said = |document: &&str| document.lines().any(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let read = |document: &str| serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{error}:\n{document}"));
    text.split("\n---").map(|document| document.trim_start_matches("---")).filter(said).map(read).collect()
}

/// Where an object lies.
fn path_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let (namespace, name) = (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
    assert!(!version.is_empty() && !kind.is_empty() && !name.is_empty(), "no object: {object}");
    let plural = weir_config::kinds::plural(&kind);
    let root = if version.contains('/') { "apis" } else { "api" };
    let place = if namespace.is_empty() { String::new() } else { format!("namespaces/{namespace}/") };
    format!("/{root}/{version}/{place}{plural}/{name}")
}
