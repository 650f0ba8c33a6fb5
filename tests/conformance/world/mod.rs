//! The cluster that the harness plays, and Weir in it.

mod keys;
mod manifests;
mod pods;
mod sabotage;
mod tenants;

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::sync::Mutex;

use serde_json::{Value, json};

pub use keys::{Keys, pem};
pub use pods::endpoints;
pub use sabotage::Sabotage;

use crate::data::Data;
use crate::echo::Backends;
use crate::options::{Edge, Options, Tenancy};
use crate::support::apiserver::{ApiServer, Cluster};
use crate::support::envoy::{self, Envoy};
use crate::support::process::Process;
use crate::support::site::{PROXY_ADMIN, SERVER_ADMIN, Site, XDS, weir};
use crate::support::wait;
use pods::Pods;

/// Namespaces of the suite's base manifests.
pub const INFRA: &str = "gateway-conformance-infra";
pub const APP: &str = "gateway-conformance-app-backend";
pub const WEB: &str = "gateway-conformance-web-backend";
/// What Weir calls itself.
pub const CONTROLLER: &str = "weir.dev/gateway-controller";
const CLASS: &str = "weir";

/// Everything that runs.
pub struct World {
    // Dropped in this order: who depends on what comes first.
    _edge: RunningEdge,
    server: Mutex<Process>,
    pods: Mutex<Pods>,
    /// What was applied, by path: as it was applied.
    applied: Mutex<BTreeMap<String, Value>>,
    gateways: Mutex<Addresses>,
    pub backends: Backends,
    pub keys: Keys,
    pub options: Options,
    api: ApiServer,
    _site: Site,
}

enum RunningEdge {
    Weir(#[allow(dead_code, reason = "it runs until it is dropped")] Process),
    Envoy(#[allow(dead_code, reason = "it runs until it is dropped")] Envoy),
}

/// Addresses of Gateways, as a platform gives them: one each.
struct Addresses {
    first: [u8; 2],
    next: u16,
    given: BTreeMap<String, Ipv4Addr>,
}

impl Addresses {
    fn of(&mut self, gateway: &str) -> Ipv4Addr {
        if let Some(found) = self.given.get(gateway) {
            return *found;
        }
        let [high, low] = self.next.to_be_bytes();
        self.next += 1;
        let ip = Ipv4Addr::new(127, self.first[0] + high, self.first[1], low.max(1));
        self.given.insert(gateway.to_owned(), ip);
        ip
    }
}

impl World {
    /// Starts everything and applies the base manifests.
    pub fn start(data: &Data, options: Options) -> Self {
        let site = Site::new();
        let api = ApiServer::start(&site);
        let [_, second, third, _] = site.ip().octets();
        let ours = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "weir-system"}});
        api.cluster().apply_value(&ours);
        let class = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
            "metadata": {"name": CLASS}, "spec": {"controllerName": CONTROLLER},
        });
        api.cluster().apply_value(&class);
        // The edge's one pod, as the controller of its headless Service writes it.
        api.cluster().apply_value(&json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "namespace": "weir-system", "name": "weir-edge-pods-x1",
                "labels": {"kubernetes.io/service-name": "weir-edge-pods"},
            },
            "addressType": "IPv4", "endpoints": endpoints(&[("weir-edge-0".into(), site.ip())], "weir-system"), "ports": [],
        }));
        let server = server(&site, &api, options.tenancy);
        wait::until("the server's xDS port", || std::net::TcpStream::connect((site.ip(), XDS)).ok());
        let edge = edge(&site, options.edge);
        let tenancy = options.tenancy;
        let world = Self {
            _edge: edge,
            server: Mutex::new(server),
            pods: Mutex::new(Pods::new([32 + (second & 7), third])),
            applied: Mutex::default(),
            gateways: Mutex::new(Addresses { first: [16 + (second & 7), third], next: 1, given: BTreeMap::new() }),
            backends: Backends::new(),
            keys: Keys::new(),
            options,
            api,
            _site: site,
        };
        if tenancy == Tenancy::Tenants {
            world.apply(tenants::tenants(data));
        }
        let base = data.manifest("base/manifests.yaml");
        let (namespaces, others): (Vec<Value>, Vec<Value>) =
            base.into_iter().partition(|object| object["kind"] == "Namespace");
        world.apply(namespaces);
        world.apply(world.keys.objects());
        world.apply(others);
        world.apply(world.options.sabotage.map(Sabotage::added).unwrap_or_default());
        world
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        self.api.cluster()
    }

    /// What an object is now.
    ///
    /// # Errors
    /// It is not there.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Result<Value, String> {
        let path = manifests::path(kind, namespace, name);
        let found = self.cluster().get(&path);
        let mut found = found.ok_or_else(|| format!("there is no {kind} {namespace}/{name}"))?;
        if let Some(sabotage) = self.options.sabotage {
            sabotage.said(&mut found);
        }
        Ok(found)
    }

    /// The address of a Gateway.
    pub fn address(&self, namespace: &str, name: &str) -> Ipv4Addr {
        self.gateways.lock().unwrap().of(&format!("{namespace}/{name}"))
    }

    /// Applies objects as the suite's applier would, and does what a cluster's controllers would: pods for
    /// Deployments, EndpointSlices for Services.
    pub fn apply(&self, objects: Vec<Value>) {
        for mut object in objects {
            self.overwrite(&mut object);
            if let Some(sabotage) = self.options.sabotage {
                sabotage.told(&mut object);
            }
            self.apply_as_it_is(object);
        }
        self.reconcile();
    }

    fn apply_as_it_is(&self, object: Value) {
        if object["kind"] == "Deployment" {
            self.pods.lock().unwrap().deploy(&object, &self.backends, &self.keys);
        } else {
            self.cluster().apply_value(&object);
        }
        self.applied.lock().unwrap().insert(manifests::path_of(&object), object);
    }

    /// Writes EndpointSlices of Services whose pods changed.
    fn reconcile(&self) {
        let applied = self.applied.lock().unwrap();
        let mut pods = self.pods.lock().unwrap();
        let services = applied.values().filter(|object| object["kind"] == "Service");
        for slice in services.filter_map(|service| pods.slice(service)) {
            self.cluster().apply_value(&slice);
        }
    }

    /// Changes an object that was applied.
    pub fn mutate(&self, kind: &str, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let path = manifests::path(kind, namespace, name);
        let mut object = self.applied.lock().unwrap().get(&path).unwrap_or_else(|| panic!("{path}")).clone();
        change(&mut object);
        self.apply_as_it_is(object);
    }

    /// Deletes objects, the last one first; namespaces stay.
    pub fn delete(&self, objects: &[Value]) {
        for object in objects.iter().rev().filter(|object| object["kind"] != "Namespace") {
            self.applied.lock().unwrap().remove(&manifests::path_of(object));
            let slice = self.pods.lock().unwrap().forget(object);
            if let Some(slice) = slice {
                self.cluster().delete(&slice.to_string());
            }
            if object["kind"] != "Deployment" {
                self.cluster().delete(&object.to_string());
            }
        }
        self.reconcile();
    }

    /// Names and addresses of the pods of a Deployment.
    pub fn pods_of(&self, namespace: &str, deployment: &str) -> Vec<(String, Ipv4Addr)> {
        self.pods.lock().unwrap().of(namespace, deployment)
    }

    /// Fails where the server has ended by itself.
    pub fn assert_alive(&self) {
        self.server.lock().unwrap().assert_alive();
    }
}

fn server(site: &Site, api: &ApiServer, tenancy: Tenancy) -> Process {
    let unassigned = if tenancy == Tenancy::System { "System" } else { "Refuse" };
    let bootstrap = json!({
        "source": {"kubernetes": {"kubeconfig": api.kubeconfig(), "replica": "server"}},
        "stateDir": site.path("server-state"),
        "xds": {"address": format!("{}:{XDS}", site.ip())},
        "admin": {"address": format!("{}:{SERVER_ADMIN}", site.ip())},
        "authentication": {"anonymous": true},
        "unassigned": unassigned,
        // Gateways ask for addresses of this network; one that asks for any of the type gets the site's own.
        // Each has a Service of its own beside, which nothing here routes by.
        "edge": {
            "addresses": ["127.0.0.0/8", site.ip()], "bindAddresses": true,
            "service": {"perGateway": true, "pods": "weir-system/weir-edge-pods", "type": "ClusterIP"},
        },
    });
    let file = site.path("server.yaml");
    fs::write(&file, bootstrap.to_string()).unwrap();
    site.process("weir-server", weir().arg("server").arg("--config").arg(&file))
}

fn edge(site: &Site, edge: Edge) -> RunningEdge {
    if edge == Edge::Envoy {
        return RunningEdge::Envoy(Envoy::start(site, &envoy::bootstrap(site)));
    }
    let bootstrap = json!({
        "xds": {"address": format!("{}:{XDS}", site.ip())},
        "admin": {"address": format!("{}:{PROXY_ADMIN}", site.ip())},
        "stateDir": site.path("proxy-state"),
        "secretsDir": site.path("proxy-secrets"),
        "workers": 2,
    });
    let file = site.path("proxy.yaml");
    fs::write(&file, bootstrap.to_string()).unwrap();
    RunningEdge::Weir(site.process("weir-proxy", weir().arg("proxy").arg("--config").arg(&file)))
}
