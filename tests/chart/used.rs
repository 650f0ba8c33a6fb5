//! A full life of two servers with the settings and the certificate that the chart writes, at a real API server: what
//! they ask for is what the chart grants. Nothing else, and nothing is granted in vain.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::google::rpc::Status;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use weir_config::bootstrap::{Address, Admin, ProxyBootstrap, ServerBootstrap};
use weir_config::model::ResourceType;

use crate::support::apiserver::ApiServer;
use crate::support::helm::{NAMESPACE, Rendered, out, render};
use crate::support::http::{self, Request, Target};
use crate::support::process::Process;
use crate::support::rights::{compare, granted};
use crate::support::site::{Site, weir};
use crate::support::tls::Authority;
use crate::support::wait;

/// Ports of the first server; the second has the next of each.
const XDS: u16 = 18100;
const ADMIN: u16 = 18200;
const METRICS: u16 = 18300;
/// The name that the certificate has.
const HOST: &str = "weir-server.weir-system.svc";
const GATEWAY: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/weir-system/gateways/public";

/// Rights that this life does not use, and why they are needed all the same.
const NOT_HERE: &[(&str, &str, &str)] = &[
    ("patch", "events", "the same refusal again within minutes is a count on the Event that is there"),
    ("delete", "leases", "the Lease of a replica that is gone is deleted after ten minutes"),
];

const MANIFESTS: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: weir-system}
spec:
  gatewayClassName: weir
  addresses: [{type: IPAddress, value: "${IP}"}]
  listeners:
    - {name: http, protocol: HTTP, port: 8080, allowedRoutes: {namespaces: {from: All}}}
    - name: https
      protocol: HTTPS
      port: 8443
      hostname: shop.acme.test
      tls: {certificateRefs: [{name: shop}]}
      allowedRoutes: {namespaces: {from: All}}
---
apiVersion: weir.dev/v1alpha1
kind: Plan
metadata: {name: pro}
spec: {requests: {perSecond: 100}}
---
apiVersion: weir.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec: {plan: pro, hostnames: ["*.acme.test"]}
---
apiVersion: v1
kind: Namespace
metadata: {name: acme, labels: {weir.dev/tenant: acme}}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: acme}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: acme}
spec:
  parentRefs: [{name: public, namespace: weir-system}]
  hostnames: [shop.acme.test]
  rules: [{backendRefs: [{name: shop, port: 80}]}]
"#;

/// One of each other kind that has a status. Not all of them are accepted, and all are told.
const OTHERS: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: api, namespace: acme}
spec: {ports: [{name: grpc, port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: other, namespace: acme}
spec:
  parentRefs: [{name: public, namespace: weir-system}]
  hostnames: [api.acme.test]
  rules: [{backendRefs: [{name: api, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: other, namespace: acme}
spec:
  parentRefs: [{name: public, namespace: weir-system}]
  hostnames: [tls.acme.test]
  rules: [{backendRefs: [{name: api, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: other, namespace: acme}
spec:
  parentRefs: [{name: public, namespace: weir-system}]
  rules: [{backendRefs: [{name: api, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {name: other, namespace: acme}
spec:
  parentRefs: [{name: public, namespace: weir-system}]
  rules: [{backendRefs: [{name: api, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: other, namespace: acme}
spec:
  parentRef: {name: public, namespace: weir-system}
  listeners: [{name: own, protocol: HTTP, port: 8081}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: other, namespace: acme}
spec:
  targetRefs: [{group: "", kind: Service, name: api}]
  validation: {hostname: api.acme.test, wellKnownCACertificates: System}
---
apiVersion: weir.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: other, namespace: weir-system}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: public}]
  timeouts: {request: 5s}
"#;

/// Where those are that have a status.
const STATUSES: [&str; 7] = [
    "/apis/gateway.networking.k8s.io/v1/namespaces/acme/grpcroutes/other",
    "/apis/gateway.networking.k8s.io/v1/namespaces/acme/tlsroutes/other",
    "/apis/gateway.networking.k8s.io/v1/namespaces/acme/tcproutes/other",
    "/apis/gateway.networking.k8s.io/v1/namespaces/acme/udproutes/other",
    "/apis/gateway.networking.k8s.io/v1/namespaces/acme/listenersets/other",
    "/apis/gateway.networking.k8s.io/v1/namespaces/acme/backendtlspolicies/other",
    "/apis/weir.dev/v1alpha1/namespaces/weir-system/trafficpolicies/other",
];

/// A cluster with the chart's objects, and what its pods would have mounted.
struct Place {
    site: Site,
    api: ApiServer,
    rendered: Rendered,
}

impl Place {
    fn new() -> Self {
        let site = Site::new();
        let api = ApiServer::start(&site);
        let rendered = render("");
        api.cluster().apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n"));
        rendered.of("ServiceAccount").chain(rendered.of("GatewayClass")).for_each(|one| api.cluster().apply_value(one));
        api.cluster().apply(&MANIFESTS.replace("${IP}", &site.ip().to_string()));
        api.cluster().apply(OTHERS);
        let pair = Authority::new().issue(&["shop.acme.test"]);
        api.cluster().apply(&pair.secret(NAMESPACE, "shop"));
        let place = Self { site, api, rendered };
        for (name, value) in place.rendered.get("Secret", "weir-xds-tls")["data"].as_object().unwrap() {
            fs::write(place.site.path("base64"), value.as_str().unwrap()).unwrap();
            let plain = out(Command::new("base64").arg("-d").arg(place.site.path("base64")));
            fs::write(place.site.path(name), plain).unwrap();
        }
        fs::write(place.site.path("token"), place.token("weir-edge")).unwrap();
        place
    }

    /// A token as the kubelet would mount it.
    fn token(&self, account: &str) -> String {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token");
        let question = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": ["weir"], "expirationSeconds": 3600}});
        let answer = self.api.cluster().send("POST", &path, Some(&question)).unwrap();
        answer["status"]["token"].as_str().unwrap().to_owned()
    }

    fn at(&self, port: u16) -> Address {
        Address::Tcp((self.site.ip(), port).into())
    }

    /// A server with the chart's settings, moved here.
    fn server(&self, number: u16) -> Process {
        let mut settings = ServerBootstrap::parse(self.rendered.file("weir-server", "server.yaml")).unwrap();
        let name = format!("server-{number}");
        let kubernetes = settings.source.kubernetes.as_mut().unwrap();
        kubernetes.kubeconfig = Some(self.api.kubeconfig().to_owned());
        kubernetes.replica = Some(name.clone());
        settings.state_dir = self.site.path(&format!("{name}-state"));
        // Here proxies bind addresses of this machine, and no Service stands before them.
        settings.proxy_classes.iter_mut().for_each(|class| class.service = None);
        settings.xds.address = self.at(XDS + number);
        settings.admin = Admin { address: self.at(ADMIN + number), metrics_address: Some(self.at(METRICS + number)) };
        let tls = settings.xds.tls.as_mut().unwrap();
        (tls.certificate_file, tls.key_file) = (self.site.path("tls.crt"), self.site.path("tls.key"));
        let file = self.site.path(&format!("{name}.yaml"));
        fs::write(&file, serde_json::to_string(&settings).unwrap()).unwrap();
        self.site.process(&name, weir().arg("server").arg("--config").arg(&file))
    }

    /// A proxy with the chart's settings, moved here.
    fn proxy(&self, server: u16) -> Process {
        let mut settings = ProxyBootstrap::parse(self.rendered.file("weir-edge", "proxy.yaml")).unwrap();
        let tls = settings.xds.tls.as_mut().unwrap();
        (tls.ca_file, tls.server_name) = (self.site.path("ca.crt"), Some(HOST.to_owned()));
        settings.xds.address = self.at(XDS + server).into();
        settings.xds.token_file = Some(self.site.path("token"));
        settings.state_dir = self.site.path("proxy-state");
        settings.secrets_dir = Some(self.site.path("proxy-keys"));
        settings.admin = Admin { address: self.at(9901), metrics_address: Some(self.at(9902)) };
        settings.workers = Some(1);
        let file = self.site.path("proxy.yaml");
        fs::write(&file, serde_json::to_string(&settings).unwrap()).unwrap();
        let mut command = weir();
        self.site.process("proxy", command.arg("proxy").arg("--config").arg(&file).env("WEIR_NODE_ID", "weir-edge-0"))
    }

    /// Waits until the kubelet's probe would find it ready.
    fn ready(&self, port: u16) {
        let target = Target::plain(self.site.ip(), port);
        wait::until_ok(&format!("/ready at {port}"), || match http::once(&target, &Request::get("probe", "/ready")) {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(answer.status.to_string()),
            Err(error) => Err(error.to_string()),
        });
    }

    /// Waits until an object in the cluster satisfies `look`.
    fn until(&self, path: &str, look: impl Fn(&Value) -> bool) {
        wait::until_ok(path, || {
            let object = self.api.cluster().get(path).unwrap_or_default();
            if look(&object) { Ok(()) } else { Err(object["status"].to_string()) }
        });
    }

    /// Refuses the hosts of a route, on a stream that stays open as long as what is returned.
    fn refuse(&self, server: u16) -> (tokio::runtime::Runtime, mpsc::Sender<DeltaDiscoveryRequest>) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (send, requests) = mpsc::channel(8);
        let authority = Certificate::from_pem(fs::read(self.site.path("ca.crt")).unwrap());
        let bearer: MetadataValue<_> = format!("Bearer {}", self.token("weir-edge")).parse().unwrap();
        let url = format!("https://{}:{}", self.site.ip(), XDS + server);
        let keep = send.clone();
        let names = vec![format!("edge/{}/8080/http", self.site.ip())];
        runtime.block_on(async move {
            let tls = ClientTlsConfig::new().ca_certificate(authority).domain_name(HOST);
            let channel = Channel::from_shared(url).unwrap().tls_config(tls).unwrap().connect().await.unwrap();
            let prove = move |mut request: tonic::Request<()>| {
                request.metadata_mut().insert("authorization", bearer.clone());
                Ok(request)
            };
            let mut client = AggregatedDiscoveryServiceClient::with_interceptor(channel, prove);
            let type_url = ResourceType::VirtualHost.url().to_owned();
            let client_features = vec!["weir.dev/vhds".to_owned()];
            let node = Node { id: "old-proxy".into(), cluster: "edge".into(), client_features, ..Node::default() };
            let first = DeltaDiscoveryRequest {
                node: Some(node),
                type_url: type_url.clone(),
                resource_names_subscribe: names,
                ..DeltaDiscoveryRequest::default()
            };
            send.send(first).await.unwrap();
            let mut answers =
                client.delta_aggregated_resources(ReceiverStream::new(requests)).await.unwrap().into_inner();
            let answer = answers.message().await.unwrap().unwrap();
            let host = answer.resources.iter().find(|host| host.name.ends_with("/shop.acme.test")).unwrap();
            let message = format!("{}: routes[0].match: this proxy is too old", host.name);
            let why = Status { code: 3, message, ..Status::default() };
            let refusal = DeltaDiscoveryRequest {
                type_url,
                response_nonce: answer.nonce,
                error_detail: Some(why),
                ..DeltaDiscoveryRequest::default()
            };
            send.send(refusal).await.unwrap();
            // The stream lives as long as somebody reads it.
            tokio::spawn(async move { while let Ok(Some(_)) = answers.message().await {} });
        });
        (runtime, keep)
    }
}

fn holds(object: &Value, type_: &str, status: &str) -> bool {
    let conditions = object["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == type_ && one["status"] == status))
}

#[test]
fn servers_use_the_rights_that_the_chart_grants_and_no_others() {
    let place = Place::new();
    let mut servers = [place.server(0), place.server(1)];
    place.ready(METRICS);
    place.ready(METRICS + 1);
    let _proxy = place.proxy(1);
    place.ready(9902);
    // Status, by the one that leads, of what a proxy of either acknowledged.
    place.until(GATEWAY, |gateway| holds(&gateway["status"], "Programmed", "True"));
    place.until("/apis/weir.dev/v1alpha1/tenants/acme", |tenant| holds(&tenant["status"], "Accepted", "True"));
    place.until("/apis/weir.dev/v1alpha1/plans/pro", |plan| holds(&plan["status"], "Accepted", "True"));
    // Ours are told by conditions; those that the CRDs put there by default are `Unknown`.
    for path in STATUSES {
        place.until(path, |object| {
            let said = object["status"].to_string();
            said.contains(r#""status":"True""#) || said.contains(r#""status":"False""#)
        });
    }
    // An edit; a refusal becomes an Event; the leader ends, and the other goes on.
    let route = "/apis/gateway.networking.k8s.io/v1/namespaces/acme/httproutes/shop";
    place.api.cluster().apply(&MANIFESTS.replace("${IP}", &place.site.ip().to_string()).replace("80}]}]", "81}]}]"));
    place.until(route, |route| holds(&route["status"]["parents"][0], "ResolvedRefs", "False"));
    let _refusal = place.refuse(1);
    wait::until("an Event", || (place.api.relay.count(|call| call.is("create", "events")) > 0).then_some(()));
    let lease = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/weir-server");
    let leads = |number: usize| {
        let object = place.api.cluster().get(&lease).unwrap_or_default();
        object["spec"]["holderIdentity"].as_str().is_some_and(|who| who.starts_with(&format!("server-{number}_")))
    };
    let ends = usize::from(leads(1));
    assert!(leads(ends));
    servers[ends].terminate();
    wait::until("the other to lead", || leads(1 - ends).then_some(()));

    let may = granted(place.rendered.of("ClusterRole").chain(place.rendered.of("Role")));
    let calls = place.api.relay.calls();
    let (refused, mut unused) = compare(calls.iter(), &may);
    assert!(refused.is_empty(), "an API server with RBAC would refuse: {refused:#?}");
    unused
        .retain(|right| !NOT_HERE.iter().any(|(verb, resource, _)| right.verb == *verb && right.resource == *resource));
    assert_eq!(unused, BTreeSet::new(), "these are granted in vain");
}
