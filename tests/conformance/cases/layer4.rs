//! TCPRoute and UDPRoute.

use serde_json::{Value, json};

use super::{accepted, listener};
use crate::client::Place;
use crate::sockets::{ask_tcp, ask_udp, datagram};
use crate::status::{Listener, Object, Want, fails, gateway, holds, infra};
use crate::suite::{Case, Check};
use crate::world::INFRA;

pub(super) fn run(case: &Case<'_>, name: &str) -> Option<Check> {
    let (kind, rest) = match (name.strip_prefix("TCPRoute"), name.strip_prefix("UDPRoute")) {
        (Some(rest), _) => (TCP, rest),
        (_, Some(rest)) => (UDP, rest),
        _ => return None,
    };
    Some(match rest {
        "" => name_server(case),
        "InvalidBackendRefNonexistent" => {
            let (route, parent) =
                (kind.named("route-invalid-backend-ref-nonexistent"), kind.named("gateway-invalid-backend"));
            case.towards(infra(kind.kind, &route), gateway(&parent), fails("ResolvedRefs", "BackendNotFound"))
        }
        "InvalidCrossNamespaceBackendRef" => cross_namespace(case),
        "InvalidNonTCPListener" => unaccepted(case, infra(kind.kind, "tcp-route"), "tcp-mixed-protocol-gateway"),
        "NotAllowedByListeners" => {
            unaccepted(case, infra(kind.kind, "udproute-not-allowed-by-listeners"), "udproute-tls-only-gateway")
        }
        "MultipleRoutesAttachment" => oldest(case, kind),
        "ParentRefAttachAll" => all(case, kind, "tcp-attach-all-gateway", &["one", "two", "three", "four"]),
        "ParentRefAttachAllListeners" => {
            all(case, kind, "udp-attach-all-listeners-gateway", &["udp-1", "udp-2", "udp-3"])
        }
        "ParentRefPortAndSectionName" => sections(case, kind),
        "ReferenceGrant" => grant(case, kind),
        "WeightedRouting" => weights(case, kind),
        _ => return None,
    })
}

/// What differs between the two.
#[derive(Clone, Copy)]
struct Kind {
    kind: &'static str,
    /// What names begin with.
    prefix: &'static str,
    port: u16,
    ask: fn(&Place) -> Result<Value, String>,
}

const TCP: Kind = Kind { kind: "TCPRoute", prefix: "tcp", port: 3000, ask: |place| ask_tcp(place.address, &place.tls) };
const UDP: Kind = Kind { kind: "UDPRoute", prefix: "udp", port: 8080, ask: |place| ask_udp(place.address) };

impl Kind {
    fn named(self, rest: &str) -> String {
        format!("{}-{rest}", self.prefix)
    }

    /// The pod that answers.
    fn pod(self, place: &Place) -> Result<String, String> {
        let seen = (self.ask)(place)?;
        match seen["pod"].as_str() {
            Some(pod) if !pod.is_empty() => Ok(pod.to_owned()),
            _ => Err(format!("no pod in {seen}")),
        }
    }

    fn reaches(self, case: &Case<'_>, place: &Place, deployment: &str) -> Check {
        case.in_a_row(&format!("{deployment} by {}", place.address), || {
            let pod = self.pod(place)?;
            if pod.starts_with(&format!("{deployment}-")) { Ok(()) } else { Err(format!("{pod} answered")) }
        })
    }
}

fn unaccepted(case: &Case<'_>, object: Object<'_>, parent: &str) -> Check {
    case.towards(object, gateway(parent), fails("Accepted", "NotAllowedByListeners"))?;
    case.no_accepted_parents(object)?;
    case.zero_routes(parent)
}

/// The routes of the test towards their Gateways.
fn each_route(case: &Case<'_>, want: Want) -> Check {
    let routes =
        case.objects.iter().filter(|object| object["kind"].as_str().is_some_and(|kind| kind.ends_with("Route")));
    for route in routes {
        let parent = route["spec"]["parentRefs"][0]["name"].as_str().unwrap_or_default();
        case.towards(super::of(route), gateway(parent), want)?;
    }
    Ok(())
}

fn cross_namespace(case: &Case<'_>) -> Check {
    each_route(case, holds("Accepted", "Accepted"))?;
    each_route(case, fails("ResolvedRefs", "RefNotPermitted"))
}

/// A second, younger route at the same listener is accepted and counted, and gets no traffic.
fn oldest(case: &Case<'_>, kind: Kind) -> Check {
    let place = accepted(case)?;
    let (older, newer) = (kind.named("attach-backend-1"), kind.named("attach-backend-2"));
    let parent = kind.named("multi-route-attach-gateway");
    let (older_route, newer_route) =
        (format!("{}route-attach-older", kind.prefix), format!("{}route-attach-newer", kind.prefix));
    // Ages are compared in whole seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": kind.kind,
        "metadata": {"namespace": INFRA, "name": newer_route},
        "spec": {
            "parentRefs": [{"name": parent, "sectionName": kind.prefix}],
            "rules": [{"backendRefs": [{"name": newer, "port": kind.port}]}],
        },
    });
    case.world.apply(vec![route.clone()]);
    let checked = (|| {
        for name in [&older_route, &newer_route] {
            case.towards(infra(kind.kind, name), gateway(&parent), holds("Accepted", "Accepted"))?;
        }
        let conditions = &[holds("Accepted", "Accepted")];
        let listener = Listener { name: kind.prefix, kinds: &[kind.kind], routes: 2, conditions };
        case.listeners(gateway(&parent), &[listener])?;
        kind.reaches(case, &place, &older)?;
        (0..100).try_for_each(|_| match kind.pod(&place)? {
            pod if pod.starts_with(&format!("{older}-")) => Ok(()),
            pod => Err(format!("{pod} of the younger route answered")),
        })
    })();
    case.world.delete(&[route]);
    checked
}

/// A route without a section is attached to every listener.
fn all(case: &Case<'_>, kind: Kind, parent: &str, listeners: &[&str]) -> Check {
    accepted(case)?;
    let conditions = &[holds("Accepted", ""), holds("ResolvedRefs", "")];
    let kinds = &[kind.kind];
    let expected: Vec<Listener<'_>> =
        listeners.iter().map(|name| Listener { name, kinds, routes: 1, conditions }).collect();
    case.listeners(gateway(parent), &expected)?;
    let backend = kind.named("echo-attach-all");
    listeners.iter().try_for_each(|name| kind.reaches(case, &listener(case, INFRA, parent, name)?, &backend))
}

/// Routes by port, by section, by both.
fn sections(case: &Case<'_>, kind: Kind) -> Check {
    accepted(case)?;
    let parent = kind.named("multi-listener-gateway");
    let pairs = match kind.prefix {
        "tcp" => [("one", "echo-one"), ("two", "echo-two"), ("three", "echo-three")],
        _ => [
            ("by-port", "echo-by-port"),
            ("by-section", "echo-by-section"),
            ("by-section-and-port", "echo-by-section-and-port"),
        ],
    };
    pairs.iter().try_for_each(|(name, backend)| {
        kind.reaches(case, &listener(case, INFRA, &parent, name)?, &kind.named(backend))
    })
}

fn grant(case: &Case<'_>, kind: Kind) -> Check {
    let place = accepted(case)?;
    case.in_a_row("a backend of another namespace", || kind.pod(&place).map(drop))?;
    let grants: Vec<_> = case.objects.iter().filter(|object| object["kind"] == "ReferenceGrant").cloned().collect();
    case.world.delete(&grants);
    each_route(case, fails("ResolvedRefs", "RefNotPermitted"))?;
    case.until("the backend to be out of reach", || match kind.pod(&place) {
        Ok(pod) => Err(format!("{pod} still answers")),
        Err(_) => Ok(()),
    })
}

fn weights(case: &Case<'_>, kind: Kind) -> Check {
    let place = accepted(case)?;
    case.in_a_row("an answer", || kind.pod(&place).map(drop))?;
    let names = [kind.named("backend-v1"), kind.named("backend-v2"), kind.named("backend-v3")];
    let weights: Vec<(&str, f64)> = names.iter().map(String::as_str).zip([0.7, 0.3, 0.0]).collect();
    case.spread(&weights, || kind.pod(&place))
}

/// A question of DNS is answered.
fn name_server(case: &Case<'_>) -> Check {
    let place = accepted(case)?;
    let mut question = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["foo", "bar", "com"] {
        question.push(label.len() as u8);
        question.extend(label.as_bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    case.in_a_row("a question of DNS", || {
        let answer = datagram(place.address, &question)?;
        let right = answer.len() >= 12 && answer[..2] == question[..2] && answer[2] & 0x80 != 0;
        if right { Ok(()) } else { Err(format!("answered by {answer:?}")) }
    })
}
