//! What the control server may do in a cluster and why: one list, from which docs/install.md has its table, and
//! with which both the chart's roles and a server's real requests are compared.

use std::collections::BTreeSet;

use serde_json::Value;

use super::apiserver::Call;

/// Where a right holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Where {
    /// In the whole cluster (ClusterRole).
    Cluster,
    /// In Weir's own namespace (Role).
    Own,
    /// In the cluster, or in the namespaces of `server.secretNamespaces` alone (Roles).
    Secrets,
}

/// One right.
pub struct Right {
    pub group: &'static str,
    pub resource: &'static str,
    pub verbs: &'static [&'static str],
    pub place: Where,
    /// Whether it is needed only to write status (`server.writeStatus`).
    pub status: bool,
    /// Whether it is needed only where Gateways have Services of their own (`edge.service.perGateway`).
    pub services: bool,
    pub why: &'static str,
}

const READ: &[&str] = &["list", "watch"];
const GATEWAY: &str = "gateway.networking.k8s.io";

const fn read(group: &'static str, resource: &'static str, why: &'static str) -> Right {
    Right { group, resource, verbs: READ, place: Where::Cluster, status: false, services: false, why }
}

const fn status(group: &'static str, resource: &'static str, why: &'static str) -> Right {
    Right { group, resource, verbs: &["get", "patch"], place: Where::Cluster, status: true, services: false, why }
}

const fn made(group: &'static str, resource: &'static str, verbs: &'static [&'static str], why: &'static str) -> Right {
    Right { group, resource, verbs, place: Where::Cluster, status: true, services: true, why }
}

/// Every right.
pub const RIGHTS: &[Right] = &[
    read("", "namespaces", "whose namespace it is: its labels (metadata only)"),
    read("", "services", "backends' ports"),
    read("discovery.k8s.io", "endpointslices", "backends' addresses"),
    Right {
        group: "",
        resource: "secrets",
        verbs: READ,
        place: Where::Secrets,
        status: false,
        services: false,
        why: "certificates of HTTPS listeners: of type kubernetes.io/tls only",
    },
    read("", "configmaps", "certificates of authorities (`ca.crt`); nothing else of them is kept"),
    read(GATEWAY, "gatewayclasses", "which Gateways are Weir's"),
    read(GATEWAY, "gateways", "listeners"),
    read(GATEWAY, "listenersets", "listeners that tenants add, with certificates of their own"),
    read(GATEWAY, "httproutes", "routes"),
    read(GATEWAY, "grpcroutes", "routes"),
    read(GATEWAY, "tlsroutes", "routes"),
    read(GATEWAY, "tcproutes", "routes"),
    read(GATEWAY, "udproutes", "routes"),
    read(GATEWAY, "referencegrants", "what may be used from another namespace"),
    read(GATEWAY, "backendtlspolicies", "which backends are reached over TLS, and whom to trust"),
    read("weir.dev", "plans", "limits"),
    read("weir.dev", "tenants", "namespaces, hostnames and state of customers"),
    read("weir.dev", "trafficpolicies", "timeouts, retries and sessions beside what routes say"),
    Right {
        group: "authentication.k8s.io",
        resource: "tokenreviews",
        verbs: &["create"],
        place: Where::Cluster,
        status: false,
        services: false,
        why: "whose token a proxy shows",
    },
    Right {
        group: "apiextensions.k8s.io",
        resource: "customresourcedefinitions",
        verbs: &["get"],
        place: Where::Cluster,
        status: true,
        services: false,
        why: "of which release the Gateway API's CRDs are; of those alone, by name",
    },
    status(GATEWAY, "gatewayclasses/status", "whether the class is accepted"),
    status(GATEWAY, "gateways/status", "whether listeners are programmed, and routes attached"),
    status(GATEWAY, "listenersets/status", "the same of listeners that tenants add"),
    status(GATEWAY, "httproutes/status", "whether routes are accepted, and why not"),
    status(GATEWAY, "grpcroutes/status", "whether routes are accepted, and why not"),
    status(GATEWAY, "tlsroutes/status", "whether routes are accepted, and why not"),
    status(GATEWAY, "tcproutes/status", "whether routes are accepted, and why not"),
    status(GATEWAY, "udproutes/status", "whether routes are accepted, and why not"),
    status(GATEWAY, "backendtlspolicies/status", "whether a policy holds, and at which Gateways"),
    status("weir.dev", "plans/status", "tenants of a plan, and what is not enforced yet"),
    status("weir.dev", "tenants/status", "namespaces and hostnames, owned and lost; usage of the month"),
    status("weir.dev", "trafficpolicies/status", "whether a policy holds, and at which Gateways"),
    Right {
        group: "events.k8s.io",
        resource: "events",
        verbs: &["create", "patch"],
        place: Where::Cluster,
        status: true,
        services: false,
        why: "says on an object that a proxy refused what it became, or that another has its name",
    },
    made("", "services", &["get", "create", "patch", "delete"], "a Service for each Gateway; others are not touched"),
    made(
        "discovery.k8s.io",
        "endpointslices",
        &["create", "patch", "delete"],
        "lead those Services to the edge's pods",
    ),
    Right {
        group: "coordination.k8s.io",
        resource: "leases",
        verbs: &["get", "list", "create", "update", "delete"],
        place: Where::Own,
        status: true,
        services: false,
        why: "which replica writes status; what proxies of each acknowledged; those of replicas that are gone are removed",
    },
];

/// A right in its smallest part: verb, group, resource with subresource, and the namespace, empty for the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grain {
    pub verb: String,
    pub group: String,
    pub resource: String,
    pub namespace: String,
}

/// What the list above permits a server whose own namespace is `own`.
pub fn listed(own: &str, secret_namespaces: &[&str], writes_status: bool, makes_services: bool) -> BTreeSet<Grain> {
    let mut grains = BTreeSet::new();
    let needed = |right: &&Right| (writes_status || !right.status) && (makes_services || !right.services);
    for right in RIGHTS.iter().filter(needed) {
        let places = match right.place {
            Where::Own => vec![own],
            Where::Secrets if !secret_namespaces.is_empty() => secret_namespaces.to_vec(),
            Where::Cluster | Where::Secrets => vec![""],
        };
        for (namespace, verb) in places.iter().flat_map(|place| right.verbs.iter().map(move |verb| (place, verb))) {
            let [verb, group, resource, namespace] =
                [*verb, right.group, right.resource, *namespace].map(str::to_owned);
            grains.insert(Grain { verb, group, resource, namespace });
        }
    }
    grains
}

/// What rendered ClusterRoles and Roles permit.
pub fn granted<'a>(roles: impl Iterator<Item = &'a Value>) -> BTreeSet<Grain> {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut grains = BTreeSet::new();
    for role in roles {
        let namespace = role["metadata"]["namespace"].as_str().unwrap_or_default();
        for rule in role["rules"].as_array().unwrap() {
            for group in texts(&rule["apiGroups"]) {
                for resource in texts(&rule["resources"]) {
                    for verb in texts(&rule["verbs"]) {
                        let (group, resource, namespace) = (group.clone(), resource.clone(), namespace.to_owned());
                        grains.insert(Grain { verb, group, resource, namespace });
                    }
                }
            }
        }
    }
    grains
}

/// What a server asked for, against what it may: `(not granted, granted and not used)`. Requests for no resource
/// (discovery, `/version`) are everybody's.
pub fn compare<'a>(
    calls: impl Iterator<Item = &'a Call>,
    granted: &BTreeSet<Grain>,
) -> (BTreeSet<Grain>, BTreeSet<Grain>) {
    let mut unused = granted.clone();
    let mut refused = BTreeSet::new();
    for call in calls.filter(|call| !call.resource.is_empty()) {
        let asked = |namespace: &str| Grain {
            verb: call.verb.to_owned(),
            group: call.group.clone(),
            resource: match call.subresource.as_str() {
                "" => call.resource.clone(),
                subresource => format!("{}/{subresource}", call.resource),
            },
            namespace: namespace.to_owned(),
        };
        // A ClusterRole permits it in every namespace; a Role in its own.
        let (everywhere, here) = (asked(""), asked(&call.namespace));
        if granted.contains(&everywhere) {
            unused.remove(&everywhere);
        } else if granted.contains(&here) {
            unused.remove(&here);
        } else {
            refused.insert(here);
        }
    }
    (refused, unused)
}

/// The table of docs/install.md.
pub fn table() -> String {
    let mut out = String::from("| group | resource | verbs | where | why |\n| --- | --- | --- | --- | --- |\n");
    for right in RIGHTS {
        let place = match right.place {
            Where::Cluster => "cluster",
            Where::Own => "Weir's namespace",
            Where::Secrets => "cluster, or `server.secretNamespaces`",
        };
        let why = match (right.services, right.status) {
            (true, _) => format!("{} (`edge.service.perGateway`)", right.why),
            (false, true) => format!("{} (`server.writeStatus`)", right.why),
            (false, false) => right.why.to_owned(),
        };
        let group = if right.group.is_empty() { "core" } else { right.group };
        let verbs = right.verbs.join(", ");
        out += &format!("| {group} | `{}` | {verbs} | {place} | {why} |\n", right.resource);
    }
    out
}
