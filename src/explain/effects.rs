//! What a route does to a request beside sending it on, in words.

use std::time::Duration;

use weir_config::model::{
    Cors, Forward, HeaderMutation, HeaderOp, PathRewrite, Redirect, Retry, Route, RouteAction, SessionPersistence,
    Split, StringMatch,
};

use weir_proxy::request::cors::Judgement;

use super::answer::service;

/// One line for each thing, in the order in which it happens.
pub(super) fn of(model: &Route) -> Vec<String> {
    let mut lines = mutations("request", &model.request_headers);
    if let RouteAction::Forward(forward) = &model.action {
        lines.extend(forwarded(forward));
    }
    lines.extend(mutations("response", &model.response_headers));
    lines.extend(model.cors.as_deref().map(cors));
    lines.extend(model.session.as_deref().map(session));
    lines
}

/// Where a redirect leads.
pub(super) fn redirect(redirect: &Redirect) -> String {
    let Redirect { scheme, host, port, path, status: _ } = redirect;
    let mut parts = Vec::new();
    parts.extend(scheme.as_ref().map(|scheme| format!("scheme {scheme}")));
    parts.extend(host.as_ref().map(|host| format!("host {host}")));
    parts.extend(port.map(|port| format!("port {port}")));
    parts.extend(path.as_ref().map(|path| format!("path {}", rewrite(path))));
    if parts.is_empty() { "the same URL".to_owned() } else { parts.join(", ") }
}

fn forwarded(forward: &Forward) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(forward.host_rewrite.as_ref().map(|host| format!("request: host becomes {host}")));
    lines.extend(forward.path_rewrite.as_ref().map(|path| format!("request: path becomes {}", rewrite(path))));
    if let Split::Weighted(shares) = &forward.split {
        for (share, changes) in shares.iter().filter_map(|share| Some((share, share.changes.as_deref()?))) {
            let mut own = mutations("request", &changes.request_headers);
            own.extend(changes.host_rewrite.as_ref().map(|host| format!("request: host becomes {host}")));
            own.extend(mutations("response", &changes.response_headers));
            let name = service(&share.cluster);
            let name = if name.is_empty() { "backends that are not there" } else { &name };
            lines.extend(own.into_iter().map(|line| format!("{line} (for {name})")));
        }
    }
    for mirror in &forward.mirrors {
        let share = mirror.fraction.map_or_else(String::new, |fraction| {
            let percent = f64::from(fraction.numerator) * 100.0 / f64::from(fraction.denominator.max(1));
            format!(" of {percent}%")
        });
        lines.push(format!("a copy{share} to {}", service(&mirror.cluster)));
    }
    lines.extend(forward.retry.as_deref().and_then(retry));
    lines
}

fn rewrite(path: &PathRewrite) -> String {
    match path {
        PathRewrite::Full(path) => path.clone(),
        PathRewrite::Prefix(prefix) => format!("{prefix} in place of what matched"),
        PathRewrite::Regex { pattern, substitution } => format!("{substitution} in place of {pattern}"),
    }
}

fn retry(retry: &Retry) -> Option<String> {
    let on = retry.on;
    let conditions = [
        (on.connect_failure, "no connection"),
        (on.reset, "one that breaks off or is too slow"),
        (on.gateway_error, "502, 503, 504"),
        (on.server_error, "any 5xx"),
    ];
    let mut when: Vec<String> =
        conditions.into_iter().filter(|(set, _)| *set).map(|(_, name)| name.to_owned()).collect();
    when.extend(retry.statuses.iter().map(u16::to_string));
    let one = retry.per_try_timeout.filter(|timeout| *timeout > Duration::ZERO);
    let one = one.map(|timeout| format!("each try may take {timeout:?}"));
    if when.is_empty() || retry.attempts == Some(0) {
        return one;
    }
    let times = retry.attempts.unwrap_or(1);
    let one = one.map(|one| format!("; {one}")).unwrap_or_default();
    Some(format!("retry: at most {times} more, on {}{one}", when.join(", ")))
}

fn cors(cors: &Cors) -> String {
    let origin = |origin: &StringMatch| match origin {
        StringMatch::Exact(text) => text.clone(),
        StringMatch::Prefix(text) => format!("{text}*"),
        StringMatch::Suffix(text) => format!("*{text}"),
        StringMatch::Contains(text) => format!("*{text}*"),
        StringMatch::Regex(text) if text == ".*" => "any".to_owned(),
        StringMatch::Regex(text) => text.clone(),
    };
    let origins: Vec<String> = cors.origins.iter().map(origin).collect();
    let credentials = if cors.credentials { ", with credentials" } else { "" };
    format!("cors: origins {}{credentials}", if origins.is_empty() { "none".to_owned() } else { origins.join(", ") })
}

/// What a route's CORS filter says of this request; nothing where it has none, or no page asks.
pub(super) fn cors_said(model: &Route, origin: Option<&str>, said: Option<&Judgement>) -> Vec<String> {
    let Some(origin) = origin.filter(|_| model.cors.is_some() && matches!(model.action, RouteAction::Forward(_)))
    else {
        return Vec::new();
    };
    match said {
        None => vec![format!("cors: {origin} is not among the origins: its pages may not read the response")],
        Some(Judgement::GoesOn(own) | Judgement::Preflight(own)) => mutations("cors: response", own),
    }
}

fn session(session: &SessionPersistence) -> String {
    match session {
        SessionPersistence::Cookie { name, .. } => format!("session: by cookie {name}"),
        SessionPersistence::Header { name } => format!("session: by header {name}"),
    }
}

fn mutations(what: &str, mutation: &HeaderMutation) -> Vec<String> {
    let removed = mutation.remove.iter().map(|name| format!("{what}: remove {name}"));
    let op = |op: &HeaderOp| {
        let verb = if op.append { "add" } else { "set" };
        format!("{what}: {verb} {}: {}", op.name, op.value)
    };
    removed.chain(mutation.ops.iter().map(op)).collect()
}

#[cfg(test)]
mod tests {
    use weir_config::model::{Fraction, Mirror, RetryOn, RouteMatch};

    use super::*;

    #[test]
    fn what_happens_is_told_in_words() {
        let forward = Forward {
            host_rewrite: Some("inner.acme.com".into()),
            path_rewrite: Some(PathRewrite::Prefix("/new".into())),
            retry: Some(Box::new(Retry {
                on: RetryOn { connect_failure: true, ..RetryOn::default() },
                statuses: vec![503],
                attempts: Some(3),
                per_try_timeout: Some(Duration::from_secs(2)),
                back_off: None,
            })),
            mirrors: vec![Mirror {
                cluster: "acme/acme/canary/80".into(),
                fraction: Some(Fraction { numerator: 25, denominator: 1_000 }),
            }],
            ..Forward::to(Split::One("acme/acme/shop/80".into()))
        };
        let route = Route {
            session: Some(Box::new(SessionPersistence::Header { name: "x-cart".into() })),
            ..Route::new("acme/shop/0/0", RouteMatch::default(), RouteAction::Forward(forward))
        };
        assert_eq!(
            of(&route),
            [
                "request: host becomes inner.acme.com",
                "request: path becomes /new in place of what matched",
                "a copy of 2.5% to acme/canary:80",
                "retry: at most 3 more, on no connection, 503; each try may take 2s",
                "session: by header x-cart",
            ]
        );
    }
}
