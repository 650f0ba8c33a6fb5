//! `backendRefs` to clusters.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::ServicePort as ServicePortSpec;
use weir_config::kinds::gateway::{BackendObjectReference, BackendRef, HttpBackendRef};
use weir_config::kinds::{Kind, ObjectKey};
use weir_config::model::{
    Cluster, ClusterChanges, EndpointSource, Route, RouteAction, Split, UpstreamProtocol, UpstreamTls, WeightedCluster,
    name,
};

use super::app_protocol;
use super::backend_tls::{self, Reached};
use super::facts::Facts;
use super::policies;
use crate::index::NsName;
use crate::index::references::{Party, permitted};

/// A backend that cannot be reached: the reason for `ResolvedRefs`, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unresolved {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// A port of a Service.
pub(crate) type ServicePort = (String, String, u16, Carrier);

/// Below what a Service's port is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Carrier {
    Tcp,
    Udp,
}

impl Carrier {
    /// `protocol` of a port that has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Carrier::Tcp => "TCP",
            Carrier::Udp => "UDP",
        }
    }
}

/// What a backend gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Requests.
    Http,
    /// Calls, which are requests over HTTP/2.
    Grpc,
    /// The bytes within TLS that ended here.
    Within,
    /// Bytes as they came.
    Bytes,
    /// Datagrams.
    Datagrams,
}

impl Use {
    fn carrier(self) -> Carrier {
        if self == Use::Datagrams { Carrier::Udp } else { Carrier::Tcp }
    }

    /// The last part of the cluster's name: what is used in another way is another cluster.
    fn suffix(self) -> Option<&'static str> {
        match self {
            Use::Http => None,
            Use::Grpc => Some("grpc"),
            Use::Within => Some("terminated"),
            Use::Bytes => Some("tcp"),
            Use::Datagrams => Some("udp"),
        }
    }
}

/// Who refers, and for what.
#[derive(Clone, Copy, Debug)]
struct Referrer {
    kind: Kind,
    use_: Use,
}

impl Default for Referrer {
    fn default() -> Self {
        Self { kind: Kind::HTTPRoute, use_: Use::Http }
    }
}

/// What a group's backends are and depend on.
#[derive(Debug, Default)]
pub(crate) struct Backends {
    /// Whose references come next.
    referrer: Referrer,
    /// Clusters by name, each with the port whose endpoints it needs.
    clusters: BTreeMap<String, (Cluster, Option<ServicePort>)>,
    /// Services that were asked for, there or not.
    pub(crate) services: BTreeSet<NsName>,
    /// Foreign namespaces whose grants decide.
    pub(crate) grants: BTreeSet<String>,
    /// Services that a BackendTLSPolicy is about and that were referred to since this was last taken.
    pub(crate) with_policy: BTreeSet<NsName>,
}

impl Backends {
    /// Says of which kind the routes are whose backends are asked for next, and what these get; at first HTTPRoutes.
    pub(crate) fn referrer(&mut self, kind: Kind, use_: Use) {
        self.referrer = Referrer { kind, use_ };
    }

    /// The split of connections; none where there is nothing to send to, and they are closed.
    pub(crate) fn connections(
        &mut self,
        facts: &Facts,
        tenant: &str,
        namespace: &str,
        refs: &[BackendRef],
        problems: &mut Vec<Unresolved>,
    ) -> Option<Split> {
        let refs = refs.iter().map(|backend| (&backend.target, backend.weight.unwrap_or(1), None));
        self.weigh(facts, tenant, namespace, refs, problems)
    }

    /// The split of a rule's backends for a tenant, with what is changed for each by its place; none where there is
    /// nothing to send to, and the answer is 500. What is wrong with a backend is added to `problems`.
    ///
    /// The share of a backend that is not valid goes to a cluster that does not exist, beside the
    /// others, so that it is answered with 500 (the route says so) and theirs does not grow.
    pub(crate) fn split(
        &mut self,
        facts: &Facts,
        tenant: &str,
        namespace: &str,
        refs: &[HttpBackendRef],
        changes: &[Option<Box<ClusterChanges>>],
        problems: &mut Vec<Unresolved>,
    ) -> Option<Split> {
        let refs = refs.iter().enumerate().map(|(index, backend)| {
            let changes = changes.get(index).cloned().flatten();
            (&backend.target, backend.weight.unwrap_or(1), changes)
        });
        self.weigh(facts, tenant, namespace, refs, problems)
    }

    fn weigh<'a>(
        &mut self,
        facts: &Facts,
        tenant: &str,
        namespace: &str,
        refs: impl Iterator<Item = (&'a BackendObjectReference, u32, Option<Box<ClusterChanges>>)>,
        problems: &mut Vec<Unresolved>,
    ) -> Option<Split> {
        let mut shares: Vec<WeightedCluster> = Vec::new();
        let mut broken = 0u32;
        for (target, weight, changes) in refs {
            match self.cluster(facts, tenant, namespace, target) {
                Ok(_) if weight == 0 => {}
                Ok(cluster) => {
                    let same = |share: &&mut WeightedCluster| share.cluster == cluster && share.changes == changes;
                    match shares.iter_mut().find(same) {
                        Some(share) => share.weight = share.weight.saturating_add(weight),
                        None => shares.push(WeightedCluster { cluster, weight, changes }),
                    }
                }
                Err(problem) => {
                    broken = broken.saturating_add(weight);
                    problems.push(problem);
                }
            }
        }
        if shares.is_empty() {
            return None;
        }
        if broken > 0 {
            shares.push(WeightedCluster::new(name::NO_CLUSTER, broken));
        }
        match shares.as_slice() {
            [one] if one.changes.is_none() => Some(Split::One(one.cluster.clone())),
            _ => Some(Split::Weighted(shares)),
        }
    }

    /// The cluster of one backend.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn cluster(
        &mut self,
        facts: &Facts,
        tenant: &str,
        namespace: &str,
        backend: &BackendObjectReference,
    ) -> Result<String, Unresolved> {
        let fail = |reason, message: String| Err(Unresolved { reason, message });
        let kind = backend.kind.as_deref().unwrap_or("Service");
        let group = backend.group.as_deref().unwrap_or_default();
        if (group, kind) != ("", "Service") {
            return fail("InvalidKind", format!("backend {kind} {} is not a Service", backend.name));
        }
        let target = backend.namespace.as_deref().unwrap_or(namespace);
        self.services.insert((target.to_owned(), backend.name.clone()));
        let called = format!("Service {target}/{}", backend.name);
        if target != namespace {
            self.grants.insert(target.to_owned());
            let from = Party { kind: self.referrer.kind, namespace };
            if !permitted(&facts.objects, from, Party { kind: Kind::Service, namespace: target }, &backend.name) {
                return fail(
                    "RefNotPermitted",
                    format!("no ReferenceGrant in {target} lets this route refer to {called}"),
                );
            }
        }
        let Some(service) = facts.objects.service(target, &backend.name) else {
            return fail("BackendNotFound", format!("there is no {called}"));
        };
        let spec = service.spec.as_ref();
        if spec.and_then(|spec| spec.type_.as_deref()) == Some("ExternalName") {
            return fail("BackendNotFound", format!("{called} is an ExternalName, which has no endpoints"));
        }
        let Some(port) = backend.port else {
            return fail("BackendNotFound", format!("the reference to {called} names no port"));
        };
        let mut ports = spec.into_iter().flat_map(|spec| spec.ports.iter().flatten());
        let use_ = self.referrer.use_;
        let carrier = use_.carrier();
        let of_number = |p: &&ServicePortSpec| {
            p.port == i32::from(port) && p.protocol.as_deref().unwrap_or("TCP") == carrier.name()
        };
        let Some(found) = ports.find(of_number) else {
            return fail("BackendNotFound", format!("{called} has no {} port {port}", carrier.name()));
        };
        let id = (target.to_owned(), backend.name.clone());
        let key = ObjectKey::new(Kind::Service, &id.0, &id.1);
        let connect = policies::connect(facts, &id, found.name.as_deref()).filter(|_| carrier == Carrier::Tcp);
        if matches!(use_, Use::Bytes | Use::Datagrams) {
            if facts.traffic_policies.contains(&key) {
                self.with_policy.insert(id);
            }
            return Ok(self.plain(tenant, (target, &backend.name, port), None, connect));
        }
        // What is spoken within TLS that ended here is the client's and the backend's affair.
        let said = found.app_protocol.as_deref().filter(|_| use_ != Use::Within);
        let Some(app) = app_protocol::read(said) else {
            let said = said.unwrap_or_default();
            return fail(
                "UnsupportedProtocol",
                format!("port {port} of {called} has appProtocol `{said}`, which is not supported for such a route"),
            );
        };
        if facts.tls_policies.contains(&id) || facts.traffic_policies.contains(&key) {
            self.with_policy.insert(id.clone());
        }
        let tls = match backend_tls::of_port(facts, &id, found.name.as_deref()) {
            Reached::Tls(tls) => Some(Box::new(tls)),
            Reached::Plain if app.needs_tls => {
                let message =
                    format!("port {port} of {called} has appProtocol `kubernetes.io/wss`, and no BackendTLSPolicy");
                return fail("UnsupportedProtocol", message);
            }
            Reached::Plain => None,
            Reached::Never(message) => return fail("InvalidBackendTLSPolicy", message),
        };
        if use_ == Use::Within {
            return Ok(self.plain(tenant, (target, &backend.name, port), tls, connect));
        }
        let cluster = name::cluster(tenant, target, &backend.name, port, use_.suffix());
        let source = EndpointSource::Eds(name::endpoints(target, &backend.name, port));
        let endpoints = (target.to_owned(), backend.name.clone(), port, carrier);
        let protocol = if use_ == Use::Grpc { UpstreamProtocol::Http2 } else { app.protocol.unwrap_or_default() };
        let made = Cluster { protocol, tls, connect_timeout: connect, ..Cluster::new(cluster.clone(), source) };
        self.keep(made, Some(endpoints));
        Ok(cluster)
    }

    /// The cluster of a port that gets bytes or datagrams.
    fn plain(
        &mut self,
        tenant: &str,
        (namespace, service, port): (&str, &str, u16),
        tls: Option<Box<UpstreamTls>>,
        connect_timeout: Option<Duration>,
    ) -> String {
        let use_ = self.referrer.use_;
        let cluster = name::cluster(tenant, namespace, service, port, use_.suffix());
        let endpoints = match use_.carrier() {
            Carrier::Tcp => name::endpoints(namespace, service, port),
            Carrier::Udp => name::udp_endpoints(namespace, service, port),
        };
        let port = (namespace.to_owned(), service.to_owned(), port, use_.carrier());
        let made = Cluster { tls, connect_timeout, ..Cluster::new(cluster.clone(), EndpointSource::Eds(endpoints)) };
        self.keep(made, Some(port));
        cluster
    }

    /// Makes a route wait so long for connections, where the Service says nothing of it.
    pub(crate) fn connect_within(&mut self, route: &mut Route, connect: Duration) {
        let RouteAction::Forward(forward) = &mut route.action else { return };
        self.split_connects_within(&mut forward.split, connect);
    }

    /// The same of where a route's requests or connections go.
    pub(crate) fn split_connects_within(&mut self, split: &mut Split, connect: Duration) {
        let of_split: Vec<&mut String> = match split {
            Split::One(cluster) => vec![cluster],
            Split::Weighted(shares) => shares.iter_mut().map(|share| &mut share.cluster).collect(),
        };
        for name in of_split {
            let Some((cluster, endpoints)) = self.clusters.get(name.as_str()) else { continue };
            if cluster.connect_timeout.is_some() {
                continue;
            }
            let (mut cluster, endpoints) = (cluster.clone(), endpoints.clone());
            cluster.name = name::cluster_connecting(name, connect);
            cluster.connect_timeout = Some(connect);
            name.clone_from(&cluster.name);
            self.keep(cluster, endpoints);
        }
    }

    /// Makes of a route what it is at a Gateway that shows backends a certificate: where it sends over TLS, it sends to
    /// clusters that show it. False: it sends nowhere over TLS.
    pub(crate) fn show(&mut self, route: &mut Route, gateway: &NsName, certificate: &NsName) -> bool {
        let RouteAction::Forward(forward) = &mut route.action else { return false };
        let mirrors = forward.mirrors.iter_mut().map(|mirror| &mut mirror.cluster).collect();
        self.show_to(&mut forward.split, mirrors, gateway, certificate)
    }

    /// The same of where a route's requests or connections go, and copies of them.
    pub(crate) fn show_to(
        &mut self,
        split: &mut Split,
        copies: Vec<&mut String>,
        gateway: &NsName,
        certificate: &NsName,
    ) -> bool {
        let of_split: Vec<&mut String> = match split {
            Split::One(cluster) => vec![cluster],
            Split::Weighted(shares) => shares.iter_mut().map(|share| &mut share.cluster).collect(),
        };
        let mut shows = false;
        for name in of_split.into_iter().chain(copies) {
            let Some((cluster, endpoints)) = self.clusters.get(name.as_str()) else { continue };
            let Some(tls) = &cluster.tls else { continue };
            let (mut cluster, endpoints) = (cluster.clone(), endpoints.clone());
            cluster.name = name::cluster_of_gateway(name, &gateway.0, &gateway.1);
            cluster.tls = Some(Box::new(UpstreamTls {
                certificate: Some(name::secret(&certificate.0, &certificate.1)),
                ..(**tls).clone()
            }));
            name.clone_from(&cluster.name);
            self.keep(cluster, endpoints);
            shows = true;
        }
        shows
    }

    fn keep(&mut self, cluster: Cluster, endpoints: Option<ServicePort>) {
        self.clusters.entry(cluster.name.clone()).or_insert((cluster, endpoints));
    }

    /// The clusters of these names, and the ports whose endpoints they need.
    pub(crate) fn used<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
    ) -> (BTreeMap<String, Cluster>, BTreeSet<ServicePort>) {
        let (mut clusters, mut endpoints) = (BTreeMap::new(), BTreeSet::new());
        for (cluster, port) in names.filter_map(|name| self.clusters.get(name)) {
            clusters.entry(cluster.name.clone()).or_insert_with(|| cluster.clone());
            endpoints.extend(port.clone());
        }
        (clusters, endpoints)
    }
}
