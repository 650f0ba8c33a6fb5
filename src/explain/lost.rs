//! Why the other candidates do not win, each match by itself.

use weir_config::model::{HeaderMatch, PathMatch, QueryMatch, Resource, Route, RouteMatch, StringMatch};
use weir_proxy::request::matcher::Matcher;
use weir_xds_server::explain::{Candidate, MatchPlace, Place, Scene, Step, Tried, step, step_of_claims};

use super::answer::{LostPart, Reason};
use super::request::Asked;
use super::tables::{self, AskedHead};

/// Where the request is decided.
pub(super) struct Winner<'a> {
    /// The RouteConfiguration; none where no listener takes the connection.
    pub(super) routes: Option<&'a str>,
    /// Domain of the virtual host; none where there is none.
    pub(super) domain: Option<&'a str>,
    /// Name of the route that matches.
    pub(super) route: Option<&'a str>,
    /// The route that has the connection as a whole.
    pub(super) claim: Option<&'a Candidate>,
    /// Why the tenant's names answer 503, if they do.
    pub(super) unserved: Option<&'a str>,
}

/// What did not win, what comes nearest first; and why the winner goes before the next that takes the request.
pub(super) fn lost(scene: &Scene, asked: &Asked, winner: &Winner<'_>) -> (Vec<LostPart>, Option<String>) {
    let decoded: Vec<Vec<Route>> = scene.candidates.iter().map(routes).collect();
    let won = won(scene, &decoded, winner);
    let mut parts = Vec::new();
    let mut runner_up: Option<Tried<'_>> = None;
    let mut next: Option<(usize, &Candidate)> = None;
    for (candidate, routes) in scene.candidates.iter().zip(&decoded) {
        if winner.claim.is_some_and(|claim| std::ptr::eq(claim, candidate)) {
            continue;
        }
        let whole = whole(candidate, winner);
        if let Some((reason, text)) = whole {
            let parents = if reason == Reason::NotServed { candidate.parents.clone() } else { Vec::new() };
            parts.push(LostPart { reason, text, parents, ..part(candidate) });
            continue;
        }
        for dropped in &candidate.dropped {
            parts.push(LostPart { reason: Reason::RuleDropped, text: dropped.clone(), ..part(candidate) });
        }
        let Some(place) = place(candidate, winner) else { continue };
        if let Some(claim) = winner.claim {
            let text =
                format!("would have it, but {} goes first: {}", route_of(claim), claims(winner, claim, candidate));
            parts.push(LostPart { reason: Reason::Precedence, text, ..part(candidate) });
            next = next.or(Some((place.asked, candidate)));
            continue;
        }
        for (at, route) in candidate.matches.iter().zip(routes).filter(|(at, _)| winner.route != Some(&at.name)) {
            let tried = Tried { asked: place.asked, matches: &route.matches, candidate, place: at };
            let unmatched = tables::with_head(asked, |head| match head {
                Ok(head) => unmatched(tried.matches, head),
                Err(refused) => Some(format!("the request is refused: {}", refused.reason)),
            });
            let reason = if unmatched.is_some() { Reason::NoMatch } else { Reason::Precedence };
            let text = unmatched.unwrap_or_else(|| behind(tried, won));
            let ahead = |best: &Tried<'_>| weir_xds_server::explain::is_before(tried, *best);
            if reason == Reason::Precedence && runner_up.as_ref().is_none_or(ahead) {
                runner_up = Some(tried);
            }
            parts.push(LostPart { rule: Some(at.rule), index: Some(at.index), reason, text, ..part(candidate) });
        }
    }
    parts.sort_by_key(|part| part.reason);
    let why = won.zip(runner_up).map(|(won, next)| {
        format!("before {}: {}", called(next.candidate, next.place), why(step(won, next), won, next))
    });
    let of_claim = winner.claim.zip(next);
    let why = why.or_else(|| {
        of_claim.map(|(claim, (_, next))| format!("before {}: {}", route_of(next), claims(winner, claim, next)))
    });
    (parts, why)
}

fn route_of(candidate: &Candidate) -> String {
    format!("{}/{}", candidate.namespace, candidate.name)
}

/// Why one of two routes of whole connections has what both claim.
fn claims(winner: &Winner<'_>, won: &Candidate, lost: &Candidate) -> String {
    let asked = |candidate| place(candidate, winner).map(|place| place.asked).unwrap_or_default();
    match step_of_claims((asked(won), won), (asked(lost), lost)) {
        None => "its hostname is more specific".to_owned(),
        Some(Step::Age) => format!("the older route, {} before {}", created(won), created(lost)),
        Some(_) => "of equal age, the name that comes first".to_owned(),
    }
}

fn created(candidate: &Candidate) -> String {
    candidate.created.clone().unwrap_or_else(|| "no date".to_owned())
}

fn part(candidate: &Candidate) -> LostPart {
    LostPart {
        kind: candidate.kind.clone(),
        namespace: candidate.namespace.clone(),
        name: candidate.name.clone(),
        tenant: candidate.tenant.clone(),
        rule: None,
        index: None,
        reason: Reason::NoMatch,
        text: String::new(),
        parents: Vec::new(),
    }
}

/// A candidate's routes; none where they cannot be read, which its matches then show.
fn routes(candidate: &Candidate) -> Vec<Route> {
    match tables::read(&candidate.routes) {
        Ok(Resource::VirtualHost(host)) => host.routes.clone(),
        _ => Vec::new(),
    }
}

/// The route that matched as its rule alone makes it, before policies; none of one that the server made itself.
pub(super) fn alone(scene: &Scene, model: Option<&Route>) -> Option<Route> {
    let model = model?;
    let same = |route: &Route| route.name == model.name && route.matches.fraction == model.matches.fraction;
    scene.candidates.iter().find_map(|candidate| routes(candidate).into_iter().find(same))
}

/// Where a candidate stands in the virtual host that decides.
fn place<'a>(candidate: &'a Candidate, winner: &Winner<'_>) -> Option<&'a Place> {
    let places = candidate.parents.iter().flat_map(|parent| &parent.places);
    let here = places.filter(|place| Some(place.routes.as_str()) == winner.routes);
    here.filter(|place| Some(place.domain.as_str()) == winner.domain).max_by_key(|place| place.asked)
}

fn won<'a>(scene: &'a Scene, decoded: &'a [Vec<Route>], winner: &Winner<'_>) -> Option<Tried<'a>> {
    let name = winner.route?;
    scene.candidates.iter().zip(decoded).find_map(|(candidate, routes)| {
        let (at, route) = candidate.matches.iter().zip(routes).find(|(at, _)| at.name == name)?;
        Some(Tried { asked: place(candidate, winner)?.asked, matches: &route.matches, candidate, place: at })
    })
}

/// Why a candidate as a whole is out, if it is.
fn whole(candidate: &Candidate, winner: &Winner<'_>) -> Option<(Reason, String)> {
    let served = || candidate.parents.iter().flat_map(|parent| &parent.places);
    if served().next().is_none() {
        let text = match candidate.parents.as_slice() {
            [] => "it names no Gateway of Weir's as parent".to_owned(),
            parents => {
                let texts = parents.iter().map(|p| format!("not served at {}: {}: {}", p.parent, p.reason, p.message));
                texts.collect::<Vec<_>>().join("; ")
            }
        };
        return Some((Reason::NotServed, text));
    }
    if candidate.matches.is_empty() && !is_of_connections(candidate) {
        return Some((Reason::RuleDropped, format!("no rule is left: {}", candidate.dropped.join("; "))));
    }
    if !served().any(|place| Some(place.routes.as_str()) == winner.routes) {
        let places: Vec<&str> = served().map(|place| place.routes.as_str()).collect();
        return Some((Reason::OtherListener, format!("serves this name only at {}", places.join(", "))));
    }
    if place(candidate, winner).is_none() {
        let domains = served().filter(|place| Some(place.routes.as_str()) == winner.routes);
        let domains: Vec<String> = domains.map(|place| format!("`{}`", place.domain)).collect();
        let narrower = winner.domain.unwrap_or_default();
        let text = format!("serves {}, and `{narrower}` is more specific", domains.join(", "));
        return Some((Reason::LessSpecificHostname, text));
    }
    winner.unserved.map(|why| (Reason::TenantNotServed, why.to_owned()))
}

/// Whether a route takes whole connections.
pub(super) fn is_of_connections(candidate: &Candidate) -> bool {
    matches!(candidate.kind.as_str(), "TLSRoute" | "TCPRoute" | "UDPRoute")
}

/// What goes before a match that takes the request too.
fn behind(tried: Tried<'_>, won: Option<Tried<'_>>) -> String {
    let Some(won) = won else { return "matches, but another route goes first".to_owned() };
    let first = called(won.candidate, won.place);
    format!("matches, but {first} goes first: {}", why(step(won, tried), won, tried))
}

/// A match, as people name it.
pub(super) fn called(candidate: &Candidate, place: &MatchPlace) -> String {
    let rule = match &place.rule_name {
        Some(name) => format!("rule {} ({name})", place.rule),
        None => format!("rule {}", place.rule),
    };
    let several = candidate.matches.iter().any(|other| other.rule == place.rule && other.index != place.index);
    let index = if several { format!(" match {}", place.index) } else { String::new() };
    format!("{}/{} {rule}{index}", candidate.namespace, candidate.name)
}

fn why(step: Option<Step>, won: Tried<'_>, lost: Tried<'_>) -> String {
    let Some(step) = step else { return "its hostname is more specific".to_owned() };
    let call = won.place.call.is_some();
    match step {
        Step::PathKind if call => "names before expressions, and these before a match of any call".to_owned(),
        Step::PathLength if call => "the longer service".to_owned(),
        Step::Method if call => "the longer method".to_owned(),
        Step::PathKind => format!("{} before {}", path(&won.matches.path), path(&lost.matches.path)),
        Step::PathLength => format!("the longer path, {} before {}", path(&won.matches.path), path(&lost.matches.path)),
        Step::Method => "it names a method".to_owned(),
        Step::Headers => format!("more headers, {} before {}", won.matches.headers.len(), lost.matches.headers.len()),
        Step::QueryParams => {
            format!("more query parameters, {} before {}", won.matches.query.len(), lost.matches.query.len())
        }
        Step::Age => format!("the older route, {} before {}", created(won.candidate), created(lost.candidate)),
        Step::Name => "of equal age, the name that comes first".to_owned(),
        Step::Place => "it stands first in the route".to_owned(),
    }
}

/// The first part of a match that the request does not satisfy, asked of the proxy's own matcher.
fn unmatched(matches: &RouteMatch, head: &AskedHead<'_>) -> Option<String> {
    let nothing = RouteMatch {
        path: PathMatch::Prefix(String::new()),
        method: None,
        headers: Vec::new(),
        query: Vec::new(),
        fraction: None,
    };
    let fails = |part: RouteMatch| !Matcher::new(&part).is_ok_and(|matcher| matcher.matches(head));
    if fails(RouteMatch { path: matches.path.clone(), ..nothing.clone() }) {
        return Some(format!("{} does not match path {}", path(&matches.path), head.path));
    }
    if fails(RouteMatch { method: matches.method.clone(), ..nothing.clone() }) {
        let wanted = matches.method.as_deref().unwrap_or_default();
        return Some(format!("it wants method {wanted}, and this is {}", head.method));
    }
    let header = |header: &&HeaderMatch| fails(RouteMatch { headers: vec![(*header).clone()], ..nothing.clone() });
    if let Some(wanted) = matches.headers.iter().find(header) {
        return Some(format!("it wants {}", describe_header(wanted)));
    }
    let query = |query: &&QueryMatch| fails(RouteMatch { query: vec![(*query).clone()], ..nothing.clone() });
    matches.query.iter().find(query).map(|wanted| format!("it wants {}", describe_query(wanted)))
}

/// A match in words.
pub(super) fn describe(matches: &RouteMatch) -> String {
    let method = matches.method.iter().map(|method| format!("method {method}"));
    let headers = matches.headers.iter().map(describe_header);
    let query = matches.query.iter().map(describe_query);
    let share = matches.fraction.map(|share| format!("a draw below {} of {}", share.numerator, share.denominator));
    let parts = std::iter::once(path(&matches.path)).chain(method).chain(headers).chain(query).chain(share);
    parts.collect::<Vec<_>>().join(", ")
}

fn path(path: &PathMatch) -> String {
    match path {
        PathMatch::Exact(path) => format!("path = {path}"),
        PathMatch::Prefix(path) | PathMatch::SegmentPrefix(path) => format!("path prefix {path}"),
        PathMatch::Regex(path) => format!("path ~ {path}"),
    }
}

fn describe_header(header: &HeaderMatch) -> String {
    let not = if header.invert { "not " } else { "" };
    match &header.value {
        Some(value) => format!("{not}header {}{}", header.name, text(value)),
        None => format!("{not}header {}", header.name),
    }
}

fn describe_query(query: &QueryMatch) -> String {
    match &query.value {
        Some(value) => format!("query parameter {}{}", query.name, text(value)),
        None => format!("query parameter {}", query.name),
    }
}

fn text(value: &StringMatch) -> String {
    match value {
        StringMatch::Exact(text) => format!(" = {text}"),
        StringMatch::Prefix(text) => format!(" beginning with {text}"),
        StringMatch::Suffix(text) => format!(" ending with {text}"),
        StringMatch::Contains(text) => format!(" with {text} in it"),
        StringMatch::Regex(text) => format!(" ~ {text}"),
    }
}
