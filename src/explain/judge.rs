//! From what is known of a host to the answer for one request.

use weir_config::model::{Route, RouteAction};
use weir_proxy::request::cors::Judgement;
use weir_xds_server::explain::{Certificate, ListenerScene, Open, Scene, Spoken, Traffic};

use super::answer::{Answer, HostPart, Kind, ListenerPart, OtherPart, RequestPart, ResultPart, RoutePart, TenantPart};
use super::backends;
use super::connection;
use super::effects;
use super::lost::{self, Winner};
use super::notes;
use super::policies;
use super::request::Asked;
use super::tables::{Decided, Outcome, Passed, Tables};

/// Other listeners that are shown.
const MOST_OTHERS: usize = 8;

/// Judges a request, at the listener that serves it best of those in question.
///
/// # Errors
/// A resource that this version cannot read.
pub(super) fn judge(scene: &Scene, asked: &Asked) -> anyhow::Result<Answer> {
    let tables = Tables::new(&scene.resources)?;
    let mut judged: Vec<(&ListenerScene, Outcome, ResultPart)> = Vec::new();
    for listener in &scene.listeners {
        let outcome = tables.ask(&listener.name, asked);
        let result = result(scene, &tables, asked, listener, &outcome);
        judged.push((listener, outcome, result));
    }
    judged.sort_by_key(|(_, _, result)| result.kind as usize);
    let mut judged = judged.into_iter();
    let best = judged.next();
    let others = judged.take(MOST_OTHERS);
    let others = others.map(|(listener, _, result)| OtherPart { name: listener.name.clone(), result }).collect();
    Ok(match best {
        Some((listener, outcome, result)) => at(scene, &tables, asked, (listener, outcome, result), others),
        None => nowhere(scene, asked),
    })
}

/// The answer at one listener.
fn at(
    scene: &Scene,
    tables: &Tables,
    asked: &Asked,
    (listener, outcome, result): (&ListenerScene, Outcome, ResultPart),
    other_listeners: Vec<OtherPart>,
) -> Answer {
    let decided = match &outcome {
        Outcome::Decided(decided) => Some(decided),
        Outcome::NoChain | Outcome::Malformed { .. } | Outcome::Passed(_) | Outcome::Requests { .. } => None,
    };
    let passed = match &outcome {
        Outcome::Passed(passed) => Some(passed),
        _ => None,
    };
    let chain = match &outcome {
        Outcome::Decided(Decided { chain, .. })
        | Outcome::Passed(Passed { chain, .. })
        | Outcome::Requests { chain } => listener.chains.iter().find(|one| one.name == *chain),
        Outcome::NoChain | Outcome::Malformed { .. } => None,
    };
    let taker = passed.and(chain).and_then(|chain| connection::taker(scene, chain));
    let certificates = chain.map(|chain| chain.certificates.as_slice()).unwrap_or_default();
    let host = decided.and_then(|decided| virtual_host(tables, decided));
    let model = decided.and_then(|decided| model(tables, decided));
    let unserved = unserved(model, decided);
    let of_connection = passed.map(|_| connection::winner(chain, taker.as_ref()));
    let winner = of_connection.unwrap_or_else(|| Winner {
        routes: chain.map(|chain| chain.routes.as_str()),
        domain: host.as_ref().map(|host| host.domain.as_str()),
        route: model.map(|route| route.name.as_str()).filter(|_| unserved.is_none()),
        claim: None,
        unserved: unserved.as_deref(),
    });
    let (candidates, why) = match &outcome {
        // It is refused before any route is asked.
        Outcome::Malformed { .. } => Default::default(),
        _ => lost::lost(scene, asked, &winner),
    };
    let alone = match (&taker, asked.traffic) {
        (None, _) => "no other match of this hostname takes the request",
        (Some(_), Traffic::Tcp | Traffic::Udp) => "no other route has this port",
        (Some(_), _) => "no other route has this name",
    };
    let why = why.unwrap_or_else(|| alone.to_owned());
    let of_requests = || decided.zip(model).map(|(decided, model)| route(scene, asked, decided, model, why.clone()));
    let of_taker =
        taker.as_ref().zip(passed).map(|(taker, passed)| connection::route(taker, listener, passed, why.clone()));
    let mut route = of_taker.or_else(of_requests);
    let backends = match (passed, decided) {
        (Some(passed), _) => connection::backends(scene, tables, &listener.name, passed),
        (None, Some(decided)) => backends::of(scene, tables, decided, model),
        (None, None) => Vec::new(),
    };
    let gateway_listener = chain.and_then(|chain| chain.listener.clone()).or_else(|| listener.taken_by.clone());
    if let Some(route) = &mut route {
        let open = match passed {
            Some(_) => Open { connect: asked.traffic != Traffic::Udp, ..Open::default() },
            None => lost::alone(scene, model).map(|own| Open::of(&own)).unwrap_or_default(),
        };
        route.policies = policies::of_route(scene, route, gateway_listener.as_ref(), open, &backends);
    }
    let charged = match &taker {
        Some(taker) => taker.candidate.tenant.as_deref(),
        None => decided.map(|decided| decided.tenant.as_str()),
    };
    let mut answer = Answer {
        well: matches!(result.kind, Kind::Forwarded | Kind::Redirected | Kind::Answered),
        request: request(asked, decided),
        listener: Some(ListenerPart {
            name: listener.name.clone(),
            edge: listener.edge.clone(),
            address: listener.address.to_string(),
            port: listener.port,
            protocol: protocol(listener, passed.is_some()),
            gateway_listener,
            certificate: shown(certificates).cloned(),
        }),
        owner: scene.owner.clone(),
        tenant: tenant(scene, charged),
        virtual_host: host,
        route,
        backends,
        candidates,
        other_listeners,
        near: scene.near.clone(),
        notes: Vec::new(),
        result,
    };
    answer.notes = notes::of(scene, asked, &answer);
    answer
}

/// The answer where no listener is in question.
fn nowhere(scene: &Scene, asked: &Asked) -> Answer {
    let winner = Winner { routes: None, domain: None, route: None, claim: None, unserved: None };
    let kind = match (asked.traffic, asked.tls) {
        (Traffic::Requests, false) => "plain HTTP",
        (Traffic::Requests | Traffic::Tls, _) => "TLS",
        (Traffic::Tcp, _) => "TCP",
        (Traffic::Udp, _) => "UDP",
    };
    let port = asked.question(None).default_port();
    let mut answer = Answer {
        well: false,
        request: request(asked, None),
        result: ResultPart {
            kind: Kind::NoConnection,
            status: None,
            text: format!("no listener takes {kind} at port {port}"),
        },
        listener: None,
        owner: scene.owner.clone(),
        tenant: tenant(scene, None),
        virtual_host: None,
        route: None,
        backends: Vec::new(),
        candidates: lost::lost(scene, asked, &winner).0,
        other_listeners: Vec::new(),
        near: scene.near.clone(),
        notes: Vec::new(),
    };
    answer.notes = notes::of(scene, asked, &answer);
    answer
}

/// What the client gets.
fn result(scene: &Scene, tables: &Tables, asked: &Asked, listener: &ListenerScene, outcome: &Outcome) -> ResultPart {
    let decided = match outcome {
        Outcome::Passed(passed) => return connection::result(scene, tables, asked, listener, passed),
        Outcome::Requests { .. } => {
            let text = format!("an HTTPS listener takes the connection: ask for https://{}/", scene.host);
            return ResultPart { kind: Kind::OtherProtocol, status: None, text };
        }
        Outcome::NoChain => {
            let name = asked.sni().map_or_else(|| "a connection without a name".to_owned(), |sni| format!("`{sni}`"));
            let text = format!("no listener of this port has {name}: the handshake fails");
            return ResultPart { kind: Kind::NoConnection, status: None, text };
        }
        Outcome::Malformed { status, reason } => {
            let text = format!("the request is not taken: {reason}");
            return ResultPart { kind: Kind::Refused, status: Some(*status), text };
        }
        Outcome::Decided(decided) => decided,
    };
    let model = model(tables, decided);
    if let Some(why) = unserved(model, Some(decided)) {
        return ResultPart { kind: Kind::Unserved, status: Some(503), text: why };
    }
    if let Some(Judgement::Preflight(_)) = decided.cors {
        let text = "the proxy answers the preflight: the browser may ask for the real thing".to_owned();
        return ResultPart { kind: Kind::Answered, status: Some(200), text };
    }
    match (model, virtual_host(tables, decided)) {
        (Some(model), _) => backends::result(scene, tables, decided, model),
        (None, host) => {
            let text = not_found(scene, host.as_ref());
            ResultPart { kind: Kind::NotFound, status: Some(404), text }
        }
    }
}

/// Why nothing matches.
fn not_found(scene: &Scene, host: Option<&HostPart>) -> String {
    let host_name = &scene.host;
    match (host, &scene.owner) {
        (Some(HostPart { domain, tenant: Some(tenant), .. }), _) => {
            format!("tenant {tenant} serves `{domain}`, and none of its routes there matches this request")
        }
        (_, Some(owner)) => {
            let state = scene.tenants.iter().find(|tenant| tenant.name == owner.tenant);
            let state = state.map(|tenant| tenant.state.as_str()).unwrap_or("unknown");
            let tenant = &owner.tenant;
            format!("`{host_name}` belongs to tenant {tenant} ({state}), and none of its routes serves it here")
        }
        (_, None) => format!("no Tenant has `{host_name}` among its hostnames, and no route of the platform serves it"),
    }
}

/// The route that matched, as it was sent.
fn model<'t>(tables: &'t Tables, decided: &Decided) -> Option<&'t Route> {
    let (host, route) = (decided.host.as_ref()?, decided.route.as_ref()?);
    // Routes of one match that share its requests have one name.
    let share = route.share.as_ref().map(|share| share.fraction());
    let mut routes = tables.snapshot.virtual_hosts.get(host)?.routes.iter();
    routes.find(|model| *model.name == *route.name && model.matches.fraction == share)
}

fn virtual_host(tables: &Tables, decided: &Decided) -> Option<HostPart> {
    let host = tables.snapshot.virtual_hosts.get(decided.host.as_ref()?)?;
    let (_, domain) = weir_config::model::name::split_virtual_host(&host.name)?;
    let tenant = host.owner.as_ref().map(|owner| owner.tenant.clone());
    Some(HostPart { name: host.name.clone(), domain: domain.to_owned(), tenant })
}

/// Why the tenant is not served, where the route is the one that says so.
fn unserved(model: Option<&Route>, decided: Option<&Decided>) -> Option<String> {
    let tenant = decided.map(|decided| decided.tenant.as_str()).unwrap_or_default();
    match (model?.name.as_str(), &model?.action) {
        ("suspended", RouteAction::Direct { status: 503 }) => Some(format!("tenant {tenant} is suspended")),
        ("without-plan", RouteAction::Direct { status: 503 }) => {
            Some(format!("the Plan of tenant {tenant} does not exist, and without one it is not served"))
        }
        _ => None,
    }
}

fn request(asked: &Asked, decided: Option<&Decided>) -> RequestPart {
    let path = asked.target.split('?').next().unwrap_or_default();
    RequestPart {
        method: Some(asked.method.clone()).filter(|_| asked.traffic == Traffic::Requests),
        url: asked.url(),
        host: asked.host(),
        path: Some(decided.map_or_else(|| path.to_owned(), |decided| decided.path.clone()))
            .filter(|_| asked.traffic == Traffic::Requests),
        client_address: asked.client.map(|address| address.to_string()),
    }
}

/// Whose the request is: of the route that matched, or of the virtual host; else whose the name is.
fn tenant(scene: &Scene, charged: Option<&str>) -> Option<TenantPart> {
    let charged = charged.filter(|tenant| *tenant != "-");
    let name = charged.or(scene.owner.as_ref().map(|owner| owner.tenant.as_str()))?;
    let known = scene.tenants.iter().find(|tenant| tenant.name == name)?;
    Some(TenantPart {
        name: known.name.clone(),
        state: known.state.clone(),
        plan: known.plan.clone(),
        requests: known.requests,
        unenforced: known.unenforced.clone(),
        unmet: known.unmet.clone(),
    })
}

/// What the Gateway's listener is said to speak.
fn protocol(listener: &ListenerScene, is_passed: bool) -> &'static str {
    match listener.speaks {
        Spoken::Http => "HTTP",
        Spoken::Tls if is_passed => "TLS",
        Spoken::Tls => "HTTPS",
        Spoken::Tcp => "TCP",
        Spoken::Udp => "UDP",
    }
}

/// The certificate that a proxy shows: the first that covers the name, else the first.
fn shown(certificates: &[Certificate]) -> Option<&Certificate> {
    certificates.iter().find(|certificate| certificate.covers).or(certificates.first())
}

fn route(scene: &Scene, asked: &Asked, decided: &Decided, model: &Route, why: String) -> RoutePart {
    let found = scene.candidates.iter().find_map(|candidate| {
        let place = candidate.matches.iter().find(|place| place.name == model.name)?;
        Some((candidate, place))
    });
    let (kind, name) = match model.name.strip_prefix("GRPCRoute/") {
        Some(name) => ("GRPCRoute", name),
        None => ("HTTPRoute", model.name.as_str()),
    };
    let parts: Vec<&str> = name.split('/').collect();
    let timeout = decided.route.as_ref().and_then(|route| route.timeout).map(|timeout| format!("{timeout:?}"));
    let mut filters = effects::of(model);
    filters.extend(effects::cors_said(model, asked.origin(), decided.cors.as_ref()));
    filters.extend(asked.client.map(|address| format!("request: append x-forwarded-for: {address}")));
    let number = |at: usize| parts.get(at).and_then(|text| text.parse().ok()).unwrap_or_default();
    RoutePart {
        kind: if parts.len() == 4 { kind.to_owned() } else { String::new() },
        namespace: parts.first().filter(|_| parts.len() == 4).map(|text| (*text).to_owned()).unwrap_or_default(),
        name: parts.get(1).map_or_else(|| model.name.clone(), |text| (*text).to_owned()),
        rule: number(2),
        rule_name: found.and_then(|(_, place)| place.rule_name.clone()),
        index: number(3),
        matched: lost::describe(&model.matches),
        why: vec![why],
        timeout,
        filters,
        policies: Vec::new(),
    }
}
