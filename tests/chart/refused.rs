//! Values that would not work are refused before anything is installed, with words that say what to do.

use crate::support::helm::try_render;

/// Values, and what the refusal says.
const REFUSED: &[(&str, &str)] = &[
    ("edge: {replica: 3}", "edge: Additional property replica is not allowed"),
    ("servers: {}", "Additional property servers is not allowed"),
    ("server: {persistence: {sise: 1Gi}}", "Additional property sise is not allowed"),
    ("edge: {kind: Deployment}", "edge.kind must be one of the following"),
    ("edge: {ports: [{name: http, port: 80, hostport: 80}]}", "Additional property hostport is not allowed"),
    ("edge: {ports: [{name: metrics, port: 80}]}", "edge.ports.0.name"),
    ("edge: {ports: [{name: http, port: 70000}]}", "edge.ports.0.port: Must be less than or equal to 65535"),
    ("edge: {name: server}", "edge.name"),
    ("edges: {a-pods: {gateways: [a/b]}}", "Property name of \"a-pods\" does not match"),
    ("edges: {silo: {replicas: 1}}", "edges.silo: gateways is required"),
    ("edges: {silo: {gateways: [acme]}}", "edges.silo.gateways.0: Does not match pattern"),
    ("edges: {silo: {gateways: [\"*\"]}}", "gateways: \"*\" is listed by edge edge, too"),
    ("edges: {edge: {gateways: [a/b]}}", "edges.edge: that is the name of `edge` itself"),
    ("server: {replicas: 2}", "Give a PostgreSQL database (usage.database.secretName), or set server.replicas to 1"),
    ("server: {unassigned: Serve}", "server.unassigned must be one of the following"),
    ("server: {operators: [ops]}", "server.operators.0: Does not match pattern"),
    ("usage: {retention: {batches: 7d}}", "usage.retention.batches: Does not match pattern"),
    ("usage: {events: {url: \"ftp://billing\"}}", "usage.events.url: Does not match pattern"),
    ("xds: {tls: {mode: Secret}}", "xds.tls.secretName: which Secret?"),
    ("xds: {tls: {mode: None}}", "xds.tls.mode must be one of the following"),
    ("xds: {tokenSeconds: 60}", "xds.tokenSeconds: Must be greater than or equal to 600"),
    ("listenAddress: 127.0.0.1", "listenAddress must be one of the following"),
    ("metrics: {serviceMonitor: {enabled: true}}", "networkPolicy.prometheus: nobody may scrape"),
    ("edge: {kind: DaemonSet, autoscaling: {enabled: true}}", "a DaemonSet runs once on each node"),
    ("edge: {kind: DaemonSet, state: {kind: Claim}}", "Use HostPath or Ephemeral"),
    ("edge: {state: {kind: HostPath}}", "Use Claim or Ephemeral"),
    ("edge: {kind: DaemonSet, hostNetwork: true}", "port 80: with hostNetwork"),
    ("edge: {service: {perGateways: true}}", "Additional property perGateways is not allowed"),
    ("edge: {enabled: false, service: {perGateway: true}}", "edge edge: service.perGateway: its Services would lead"),
    ("edge: {service: {perGateway: true}}\nserver: {writeStatus: false}", "Set server.writeStatus"),
];

#[test]
fn what_would_not_work_is_refused_with_what_to_do() {
    let mut wrong = Vec::new();
    for (values, expected) in REFUSED {
        match try_render(values) {
            Ok(_) => wrong.push(format!("{values}: is rendered")),
            Err(said) if !said.contains(expected) => wrong.push(format!("{values}: {said}")),
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
