//! What becomes of a connection (or of datagrams) that is passed on as it is: asked of the proxy's own tables.

use weir_config::model::{Network, Proxied};
use weir_xds_server::explain::{Candidate, Chain, ListenerScene, Scene, Traffic};

use super::answer::{BackendPart, Kind, ResultPart, RoutePart};
use super::backends;
use super::lost::{self, Winner};
use super::request::Asked;
use super::tables::{Passed, Tables};

/// Who has the connection, as far as it is known.
pub(super) struct Taker<'a> {
    pub(super) candidate: &'a Candidate,
    /// The name by which it has it; `*` where there are none.
    pub(super) domain: &'a str,
}

/// The route whose chain it is; none where nobody's is.
pub(super) fn taker<'a>(scene: &'a Scene, chain: &Chain) -> Option<Taker<'a>> {
    let own = chain.name.strip_prefix(&*chain.routes).filter(|_| !chain.routes.is_empty())?.strip_prefix('/')?;
    let own = own.strip_suffix("/any").unwrap_or(own);
    let mut named = scene.candidates.iter().filter(|candidate| {
        lost::is_of_connections(candidate) && own.split_once('/') == Some((&*candidate.namespace, &*candidate.name))
    });
    named.find_map(|candidate| {
        let places = candidate.parents.iter().flat_map(|parent| &parent.places);
        let here = places.filter(|place| place.routes == chain.routes).map(|place| place.domain.as_str());
        let domain = here.max_by_key(|domain| (!domain.starts_with('*'), domain.len()))?;
        Some(Taker { candidate, domain })
    })
}

/// How the winner is told from the others.
pub(super) fn winner<'a>(chain: Option<&'a Chain>, taker: Option<&'a Taker<'_>>) -> Winner<'a> {
    Winner {
        routes: chain.map(|chain| chain.routes.as_str()),
        domain: taker.map(|taker| taker.domain),
        route: None,
        claim: taker.map(|taker| taker.candidate),
        unserved: None,
    }
}

/// What takes it, as it was sent.
fn model<'t>(tables: &'t Tables, listener: &str, chain: &str) -> Option<&'t Proxied> {
    let listener = tables.snapshot.listeners.get(listener)?;
    let chain = listener.chains.iter().find(|one| one.name == chain).and_then(|chain| match &chain.network {
        Network::Tcp(proxied) => Some(proxied),
        Network::Http(_) => None,
    });
    chain.or(listener.udp.as_deref())
}

/// Where it goes.
pub(super) fn backends(scene: &Scene, tables: &Tables, listener: &str, passed: &Passed) -> Vec<BackendPart> {
    let Some(model) = model(tables, listener, &passed.chain) else { return Vec::new() };
    backends::parts(scene, tables, &model.split, passed.to.clusters.to_vec(), None)
}

/// What the client gets.
pub(super) fn result(
    scene: &Scene,
    tables: &Tables,
    asked: &Asked,
    listener: &ListenerScene,
    passed: &Passed,
) -> ResultPart {
    let what = if asked.traffic == Traffic::Udp { "datagrams are dropped" } else { "the connection is closed" };
    let chain = listener.chains.iter().find(|chain| chain.name == passed.chain);
    let Some(taker) = chain.and_then(|chain| taker(scene, chain)) else {
        let text = match (asked.traffic, &scene.owner) {
            (Traffic::Tcp | Traffic::Udp, _) => format!("no route has port {}: {what}", listener.port),
            (_, Some(owner)) => {
                format!("no TLSRoute serves `{}`, which is tenant {}'s, here: {what}", scene.host, owner.tenant)
            }
            (_, None) => format!("no TLSRoute serves `{}` here: {what}", scene.host),
        };
        return ResultPart { kind: Kind::Closed, status: None, text };
    };
    let tenant = scene.tenants.iter().find(|tenant| Some(&tenant.name) == taker.candidate.tenant.as_ref());
    if let Some(tenant) = tenant.filter(|tenant| tenant.state != "Active") {
        let text = format!("tenant {} is not served ({}): {what}", tenant.name, tenant.state);
        return ResultPart { kind: Kind::Unserved, status: None, text };
    }
    let backends = backends(scene, tables, &listener.name, passed);
    let shares = |closed: bool| -> Vec<String> {
        let chosen = backends.iter().filter(|backend| backend.weight > 0 && backend.closed == closed);
        let one = backends.len() == 1;
        let text = |backend: &BackendPart| match one {
            true => backends::called(backend).to_owned(),
            false => format!("{} {}%", backends::called(backend), backend.share),
        };
        chosen.map(text).collect()
    };
    let problems: Vec<&str> = taker.candidate.unresolved.iter().map(|problem| problem.message.as_str()).collect();
    let why = if problems.is_empty() { "no endpoint is ready".to_owned() } else { problems.join("; ") };
    let (good, bad) = (shares(false).join(", "), shares(true).join(", "));
    let (kind, text) = match (good.is_empty(), bad.is_empty()) {
        (false, true) => (Kind::Forwarded, format!("goes to {good}")),
        (false, false) => (Kind::PartlyForwarded, format!("goes to {good}; closed for {bad} ({why})")),
        (true, _) => (Kind::Closed, format!("{what}: {why}")),
    };
    ResultPart { kind, status: None, text }
}

/// The route that takes it.
pub(super) fn route(taker: &Taker<'_>, listener: &ListenerScene, passed: &Passed, why: String) -> RoutePart {
    let matched = match taker.candidate.kind.as_str() {
        "TLSRoute" => format!("connections that ask for `{}`", taker.domain),
        "TCPRoute" => format!("connections at port {}", listener.port),
        _ => format!("datagrams at port {}", listener.port),
    };
    RoutePart {
        kind: taker.candidate.kind.clone(),
        namespace: taker.candidate.namespace.clone(),
        name: taker.candidate.name.clone(),
        rule: 0,
        rule_name: None,
        index: 0,
        matched,
        why: vec![why],
        timeout: Some(format!("{:?} without a byte", passed.to.idle_timeout)),
        filters: Vec::new(),
        policies: Vec::new(),
    }
}
