//! Rules of an HTTPRoute to routes.

use weir_config::kinds::gateway::{
    HTTPRoute, HttpBackendRef, HttpFilter, HttpRouteMatch, HttpRouteRetry, HttpRouteRule, HttpRouteTimeouts,
    RequestMirror, SessionPersistence,
};
use weir_config::model::name::NO_CLUSTER;
use weir_config::model::{
    Forward, Fraction, Mirror, Owner, PathMatch, PathRewrite, Redirect, Route, RouteAction, RouteMatch,
};

use super::backends::{Backends, Unresolved};
use super::facts::Facts;
use super::filters::{self, Dropped, Effects};
use super::precedence::Precedence;
use super::retries::{self, Tries};
use super::shares::{self, Part, Shares};
use super::{cors, matches, paths, redirects, sessions};
use crate::index::Age;

/// What the rules of one route become.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Routes with their places among the others of a host.
    pub(crate) routes: Vec<(Precedence, Route)>,
    /// Rules that were dropped, and why.
    pub(crate) dropped: Vec<Dropped>,
    /// Backends that are not there.
    pub(crate) unresolved: Vec<Unresolved>,
}

/// A rule of a route of any kind that speaks HTTP, but for its matches.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rule<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) filters: &'a [HttpFilter],
    pub(crate) backends: &'a [HttpBackendRef],
    pub(crate) timeouts: Option<&'a HttpRouteTimeouts>,
    pub(crate) retry: Option<&'a HttpRouteRetry>,
    pub(crate) session: Option<&'a SessionPersistence>,
}

impl Rule<'_> {
    /// Where the filter of this type stands that counts for a part of the requests: a backend's own before the rule's.
    fn place(&self, part: &Part<'_>, type_: &str) -> String {
        let within = |filters: &[HttpFilter]| {
            let index = filters.iter().position(|filter| filter.type_ == type_)?;
            Some(format!("filters[{index}]"))
        };
        let backends = (part.first..).zip(part.backends).filter(|(_, backend)| backend.weight != Some(0));
        let own = |(index, backend): (usize, &HttpBackendRef)| {
            within(&backend.filters).map(|place| format!("backendRefs[{index}].{place}"))
        };
        { backends }.find_map(own).or_else(|| within(self.filters)).unwrap_or_else(|| "filters".to_owned())
    }
}

/// Whose a rule is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Of<'a> {
    pub(crate) owner: &'a Owner,
    /// Its route.
    pub(crate) route: &'a Age,
    /// Its place there.
    pub(crate) index: usize,
}

/// Translates every rule; one that cannot be honoured is dropped alone.
pub(crate) fn translate(facts: &Facts, owner: &Owner, route: &HTTPRoute, backends: &mut Backends) -> Rules {
    let mut rules = Rules::default();
    let age = Age::of(&route.metadata);
    let default = [HttpRouteRule::default()];
    let list = route.spec.rules.as_deref().unwrap_or(&default);
    for (index, rule) in list.iter().enumerate() {
        rules.take(facts, Of { owner, route: &age, index }, matched(rule), http(rule), backends);
    }
    rules
}

/// What an HTTPRoute's rule matches.
fn matched(rule: &HttpRouteRule) -> Result<Vec<RouteMatch>, Dropped> {
    let default = [HttpRouteMatch::default()];
    let list = rule.matches.as_deref().filter(|list| !list.is_empty()).unwrap_or(&default);
    let one = |(place, entry)| matches::translate(entry).map_err(|e| e.within(&format!("matches[{place}]")).into());
    list.iter().enumerate().map(one).collect()
}

fn http(rule: &HttpRouteRule) -> Rule<'_> {
    Rule {
        name: rule.name.as_deref(),
        filters: &rule.filters,
        backends: &rule.backend_refs,
        timeouts: rule.timeouts.as_ref(),
        retry: rule.retry.as_ref(),
        session: rule.session_persistence.as_ref(),
    }
}

impl Rules {
    /// Takes in a rule that has these matches, or says why it is dropped.
    pub(crate) fn take(
        &mut self,
        facts: &Facts,
        of: Of<'_>,
        matched: Result<Vec<RouteMatch>, Dropped>,
        rule: Rule<'_>,
        backends: &mut Backends,
    ) {
        let index = of.index;
        match matched.and_then(|matched| Drafts::new(of, matched, rule)) {
            // Last, so that a rule that is dropped asks for no cluster.
            Ok(drafts) => self.routes.extend(drafts.finish(facts, of, backends, &mut self.unresolved)),
            Err(dropped) => self.dropped.push(dropped.within(&format!("spec.rules[{index}]"))),
        }
    }
}

/// Routes of a rule that are whole but for where they lead.
struct Drafts<'a> {
    routes: Vec<Draft>,
    shares: Shares<'a>,
    tries: Tries,
}

struct Draft {
    precedence: Precedence,
    route: Route,
    redirect: Option<Redirect>,
    path: Option<PathRewrite>,
    /// Which of the rule's parts it is of.
    part: usize,
}

impl<'a> Drafts<'a> {
    fn new(of: Of<'_>, matched: Vec<RouteMatch>, rule: Rule<'a>) -> Result<Self, Dropped> {
        let shares = shares::join(filters::collect(rule.filters)?, rule.backends)?;
        let tries = retries::translate(rule.timeouts, rule.retry)?;
        let age = of.route;
        let session = match rule.session {
            Some(session) => {
                let index = of.index.to_string();
                let key = format!("{}/{}/{}", age.namespace, age.name, rule.name.unwrap_or(&index));
                let paths: Vec<PathMatch> = matched.iter().map(|one| one.path.clone()).collect();
                let session = sessions::translate(session, &key, &paths).map_err(|e| e.within("sessionPersistence"))?;
                Some(Box::new(session))
            }
            None => None,
        };
        let mut routes = Vec::with_capacity(matched.len() * shares.parts.len());
        for (place, matches) in matched.iter().enumerate() {
            for (number, part) in shares.parts.iter().enumerate() {
                let mut draft = Draft::new(of, place, matches, &rule, part)?;
                draft.precedence = draft.precedence.part(number);
                draft.part = number;
                draft.route.session.clone_from(&session);
                routes.push(draft);
            }
        }
        Ok(Self { routes, shares, tries })
    }

    /// Says where they lead; what is wrong with a backend is added to `problems`.
    fn finish(
        self,
        facts: &Facts,
        of: Of<'_>,
        backends: &mut Backends,
        problems: &mut Vec<Unresolved>,
    ) -> Vec<(Precedence, Route)> {
        let Self { routes, shares, tries } = self;
        let mut to = |part| forward(facts, of, part, &tries, backends, problems);
        let forwards: Vec<Option<Forward>> = shares.parts.iter().map(&mut to).collect();
        for idle in shares.idle {
            let found = backends.cluster(facts, &of.owner.tenant, &of.route.namespace, &idle.target);
            problems.extend(found.err());
        }
        let complete = |Draft { precedence, mut route, redirect, path, part }| {
            let (forward, backends) = (&forwards[part], shares.parts[part].backends);
            match (redirect, forward) {
                (Some(redirect), forward) if forward.is_some() || backends.is_empty() => {
                    route.action = RouteAction::Redirect(redirect);
                }
                (None, Some(forward)) => {
                    route.action = RouteAction::Forward(Forward { path_rewrite: path, ..forward.clone() });
                }
                _ => {}
            }
            (precedence, route)
        };
        routes.into_iter().map(complete).collect()
    }
}

impl Draft {
    /// The route of one match and one part of the rule's requests.
    fn new(of: Of<'_>, place: usize, matches: &RouteMatch, rule: &Rule<'_>, part: &Part<'_>) -> Result<Self, Dropped> {
        let Effects { request, response, cors, redirect, path, .. } = &part.all;
        let redirect = match redirect {
            Some(filter) => Some(
                redirects::translate(filter, &matches.path)
                    .map_err(|e| e.within("requestRedirect").within(&rule.place(part, "RequestRedirect")))?,
            ),
            None => None,
        };
        let path = match path {
            Some(modifier) => paths::rewrite(modifier, &matches.path)
                .map_err(|e| e.within("path").within("urlRewrite").within(&rule.place(part, "URLRewrite")))?,
            None => None,
        };
        let age = of.route;
        let precedence = Precedence::new(matches, age, of.index, place);
        // Routes that share the requests of one match have one name: it says what was matched.
        let name = format!("{}/{}/{}/{place}", age.namespace, age.name, of.index);
        let matches = RouteMatch { fraction: part.until, ..matches.clone() };
        let route = Route {
            owner: Some(of.owner.clone()),
            request_headers: request.clone(),
            response_headers: response.clone(),
            cors: cors.map(|filter| Box::new(cors::translate(filter))),
            ..Route::new(name, matches, RouteAction::Direct { status: 500 })
        };
        Ok(Self { precedence, route, redirect, path, part: 0 })
    }
}

/// Where a part of a rule's requests goes; none where there is nothing to send to.
fn forward(
    facts: &Facts,
    of: Of<'_>,
    part: &Part<'_>,
    tries: &Tries,
    backends: &mut Backends,
    problems: &mut Vec<Unresolved>,
) -> Option<Forward> {
    let (tenant, namespace) = (&of.owner.tenant, &of.route.namespace);
    let split = backends.split(facts, tenant, namespace, part.backends, &part.own, problems);
    let mut mirrors = Vec::new();
    for filter in &part.all.mirrors {
        // A copy that cannot be sent is no request's trouble.
        match backends.cluster(facts, tenant, namespace, &filter.backend_ref) {
            Ok(cluster) => mirrors.extend(mirror(filter, cluster)),
            // The rule's own mirrors are in each part.
            Err(problem) if problems.contains(&problem) => {}
            Err(problem) => problems.push(problem),
        }
    }
    let split = split?;
    // A cluster that is merely not there yet is unavailable, not an error of the route.
    let missing = if split.clusters().any(|cluster| cluster == NO_CLUSTER) { 500 } else { 503 };
    Some(Forward {
        timeout: tries.timeout,
        missing,
        host_rewrite: part.all.host.clone(),
        retry: tries.retry.clone(),
        mirrors,
        ..Forward::to(split)
    })
}

/// A copy for a share of requests; none for a share of nothing.
fn mirror(filter: &RequestMirror, cluster: String) -> Option<Mirror> {
    let (numerator, denominator) = match (&filter.fraction, filter.percent) {
        (Some(fraction), _) => (fraction.numerator, fraction.denominator.unwrap_or(100).max(1)),
        (None, Some(percent)) => (percent, 100),
        (None, None) => (1, 1),
    };
    if numerator == 0 {
        return None;
    }
    let fraction = (numerator < denominator).then(|| fraction(numerator, denominator));
    Some(Mirror { cluster, fraction })
}

/// A share in one of the denominators that xDS has: exact if one of them is a multiple, else the nearest millionth,
/// and never nothing.
fn fraction(numerator: u32, denominator: u32) -> Fraction {
    let known = [100, 10_000, 1_000_000];
    let of = known.into_iter().find(|of| of % denominator == 0).unwrap_or(1_000_000);
    let exact = u64::from(numerator) * u64::from(of);
    let rounded = (exact + u64::from(denominator) / 2) / u64::from(denominator);
    Fraction { numerator: u32::try_from(rounded).unwrap_or(of).max(1), denominator: of }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_exact_or_the_nearest_millionth() {
        let share = |numerator, denominator| {
            let Fraction { numerator, denominator } = fraction(numerator, denominator);
            (numerator, denominator)
        };
        assert_eq!(share(1, 2), (50, 100));
        assert_eq!(share(3, 1000), (30, 10_000));
        assert_eq!(share(1, 3), (333_333, 1_000_000));
        assert_eq!(share(1, u32::MAX), (1, 1_000_000));
    }
}
