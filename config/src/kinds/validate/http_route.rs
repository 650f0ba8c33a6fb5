//! `HTTPRoute`: the CRD's schema and CEL rules, and regular expressions that compile.

use std::time::Duration;

use super::{Errors, http_filter, names};
use crate::kinds::gateway::{
    HTTPRouteSpec, HeaderModifier, HttpBackendRef, HttpFilter, HttpHeader, HttpPathMatch, HttpRouteMatch,
    HttpRouteRetry, HttpRouteRule, HttpRouteTimeouts, HttpValueMatch, SessionPersistence,
};

const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
/// Size of a compiled expression, in bytes: what `regex` allows by default, said because it is a bound on memory.
const REGEX_SIZE: usize = 10 << 20;
/// Types of filters, and the field of each.
const FILTERS: [(&str, &str); 8] = [
    ("RequestHeaderModifier", "requestHeaderModifier"),
    ("ResponseHeaderModifier", "responseHeaderModifier"),
    ("RequestMirror", "requestMirror"),
    ("RequestRedirect", "requestRedirect"),
    ("URLRewrite", "urlRewrite"),
    ("ExtensionRef", "extensionRef"),
    ("CORS", "cors"),
    ("ExternalAuth", "externalAuth"),
];

pub(super) fn route(route: &HTTPRouteSpec, errors: &mut Errors) {
    errors.at_most(&route.parent_refs, 32, "spec.parentRefs");
    for (index, parent) in route.parent_refs.iter().enumerate() {
        let at = format!("spec.parentRefs[{index}]");
        errors.check(!parent.name.is_empty(), format!("{at}.name"), || "must not be empty".into());
        errors.check(parent.port != Some(0), format!("{at}.port"), || "must be from 1 to 65535".into());
    }
    errors.unique(route.parent_refs.iter().map(|parent| format!("{parent:?}")), |i| format!("spec.parentRefs[{i}]"), {
        "stands twice"
    });
    errors.at_most(&route.hostnames, 16, "spec.hostnames");
    for (index, hostname) in route.hostnames.iter().enumerate() {
        if let Some(error) = names::hostname(hostname) {
            errors.push(error.within(&format!("spec.hostnames[{index}]")));
        }
    }
    let Some(rules) = &route.rules else { return };
    errors.check(!rules.is_empty(), "spec.rules", || "must have at least one rule where it is there".into());
    errors.at_most(rules, 16, "spec.rules");
    let matches: usize = rules.iter().filter_map(|rule| rule.matches.as_ref()).map(Vec::len).sum();
    errors.check(matches <= 128, "spec.rules", || format!("has {matches} matches together, at most 128 are allowed"));
    let named = rules.iter().enumerate().map(|(index, rule)| rule.name.as_deref().ok_or(index));
    errors.unique(named, |index| format!("spec.rules[{index}].name"), "is the name of an earlier rule");
    for (index, one) in rules.iter().enumerate() {
        rule(one, &format!("spec.rules[{index}]"), errors);
    }
}

fn rule(rule: &HttpRouteRule, at: &str, errors: &mut Errors) {
    if let Some(matches) = &rule.matches {
        errors.at_most(matches, 64, &format!("{at}.matches"));
        for (index, one) in matches.iter().enumerate() {
            match_(one, &format!("{at}.matches[{index}]"), errors);
        }
    }
    filters(&rule.filters, &format!("{at}.filters"), errors);
    errors.at_most(&rule.backend_refs, 16, &format!("{at}.backendRefs"));
    for (index, backend) in rule.backend_refs.iter().enumerate() {
        backend_ref(backend, &format!("{at}.backendRefs[{index}]"), errors);
    }
    let redirects = rule.filters.iter().any(|filter| filter.type_ == "RequestRedirect");
    errors.check(!redirects || rule.backend_refs.is_empty(), format!("{at}.backendRefs"), || {
        "must be empty beside a RequestRedirect filter".into()
    });
    prefix_replacement(rule, at, errors);
    if let Some(timeouts) = &rule.timeouts {
        durations(timeouts, &format!("{at}.timeouts"), errors);
    }
    if let Some(retry) = &rule.retry {
        retries(retry, &format!("{at}.retry"), errors);
    }
    if let Some(session) = &rule.session_persistence {
        session_persistence(session, &format!("{at}.sessionPersistence"), errors);
    }
}

/// A replaced prefix needs the one prefix that it replaces.
fn prefix_replacement(rule: &HttpRouteRule, at: &str, errors: &mut Errors) {
    let one_prefix = match rule.matches.as_deref() {
        None => true,
        Some([one]) => one.path.as_ref().is_none_or(|path| matches!(path.type_.as_deref(), None | Some("PathPrefix"))),
        Some(_) => false,
    };
    if one_prefix {
        return;
    }
    let of_rule = rule.filters.iter().enumerate().map(|(index, filter)| (format!("{at}.filters[{index}]"), filter));
    let of_backends = rule.backend_refs.iter().enumerate().flat_map(|(place, backend)| {
        let at = format!("{at}.backendRefs[{place}].filters");
        backend.filters.iter().enumerate().map(move |(index, filter)| (format!("{at}[{index}]"), filter))
    });
    for (at, filter) in of_rule.chain(of_backends) {
        let redirect = filter.request_redirect.as_ref().and_then(|redirect| redirect.path.as_ref());
        let rewrite = filter.url_rewrite.as_ref().and_then(|rewrite| rewrite.path.as_ref());
        for (field, path) in [("requestRedirect", redirect), ("urlRewrite", rewrite)] {
            if path.is_some_and(|path| path.type_ == "ReplacePrefixMatch") {
                errors.add(
                    format!("{at}.{field}.path"),
                    "ReplacePrefixMatch needs exactly one match, of type PathPrefix",
                );
            }
        }
    }
}

fn match_(match_: &HttpRouteMatch, at: &str, errors: &mut Errors) {
    if let Some(path) = &match_.path {
        path_match(path, &format!("{at}.path"), errors);
    }
    values(&match_.headers, 4096, &format!("{at}.headers"), errors);
    values(&match_.query_params, 1024, &format!("{at}.queryParams"), errors);
    errors.one_of(match_.method.as_deref(), &METHODS, format!("{at}.method"));
}

fn path_match(path: &HttpPathMatch, at: &str, errors: &mut Errors) {
    let value = path.value.as_deref().unwrap_or("/");
    let at_value = format!("{at}.value");
    errors.check(value.len() <= 1024, at_value.as_str(), || "is longer than 1024 bytes".into());
    match path.type_.as_deref() {
        Some("RegularExpression") => regex(value, at_value, errors),
        None | Some("Exact" | "PathPrefix") => {
            if let Some(problem) = path_problem(value) {
                errors.add(at_value, problem);
            }
        }
        other => errors.one_of(other, &["Exact", "PathPrefix", "RegularExpression"], format!("{at}.type")),
    }
}

/// What is wrong with a literal path.
fn path_problem(value: &str) -> Option<String> {
    if !value.starts_with('/') {
        return Some("must start with `/`".into());
    }
    let parts = ["//", "/./", "/../", "%2f", "%2F", "#"];
    if let Some(part) = parts.into_iter().find(|part| value.contains(part)) {
        return Some(format!("must not contain `{part}`"));
    }
    if let Some(end) = ["/..", "/."].into_iter().find(|end| value.ends_with(end)) {
        return Some(format!("must not end with `{end}`"));
    }
    let bytes = value.as_bytes();
    let allowed = |(index, b): (usize, &u8)| match b {
        b'%' => bytes.get(index + 1..index + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
        b => b.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@".contains(b),
    };
    let wrong = bytes.iter().enumerate().find(|byte| !allowed(*byte));
    wrong.map(|(index, _)| format!("has a character at byte {index} that a path cannot hold (percent-encode it)"))
}

pub(super) fn values(list: &[HttpValueMatch], longest: usize, at: &str, errors: &mut Errors) {
    errors.at_most(list, 16, at);
    for (index, one) in list.iter().enumerate() {
        let at = format!("{at}[{index}]");
        header_name(&one.name, &at, errors);
        errors.check((1..=longest).contains(&one.value.len()), format!("{at}.value"), || {
            format!("must have 1 to {longest} bytes")
        });
        match one.type_.as_deref() {
            Some("RegularExpression") => regex(&one.value, format!("{at}.value"), errors),
            other => errors.one_of(other, &["Exact", "RegularExpression"], format!("{at}.type")),
        }
    }
    let names = list.iter().map(|one| one.name.as_str());
    errors.unique(names, |index| format!("{at}[{index}].name"), "stands twice");
}

pub(super) fn regex(value: &str, at: String, errors: &mut Errors) {
    if let Err(error) = regex::RegexBuilder::new(value).size_limit(REGEX_SIZE).build() {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
        errors.add(at, format!("is not a regular expression: {reason}"));
    }
}

fn header_name(name: &str, at: &str, errors: &mut Errors) {
    errors.check(names::is_header_name(name), format!("{at}.name"), || format!("`{name}` is not a valid name"));
}

pub(super) fn filters(filters: &[HttpFilter], at: &str, errors: &mut Errors) {
    errors.at_most(filters, 16, at);
    for (index, filter) in filters.iter().enumerate() {
        let at = format!("{at}[{index}]");
        let Some((_, own)) = FILTERS.iter().find(|(type_, _)| *type_ == filter.type_) else {
            let known = FILTERS.map(|(type_, _)| type_);
            errors.one_of(Some(&filter.type_), &known, format!("{at}.type"));
            continue;
        };
        for (type_, field) in FILTERS {
            let there = match field {
                "requestHeaderModifier" => filter.request_header_modifier.is_some(),
                "responseHeaderModifier" => filter.response_header_modifier.is_some(),
                "requestMirror" => filter.request_mirror.is_some(),
                "requestRedirect" => filter.request_redirect.is_some(),
                "urlRewrite" => filter.url_rewrite.is_some(),
                "cors" => filter.cors.is_some(),
                "externalAuth" => filter.external_auth.is_some(),
                _ => filter.extension_ref.is_some(),
            };
            if there && field != *own {
                errors.add(format!("{at}.{field}"), format!("goes with type {type_}, not {}", filter.type_));
            } else if !there && field == *own {
                errors.add(format!("{at}.{field}"), format!("is required with type {type_}"));
            }
        }
        for (field, modifier) in [
            ("requestHeaderModifier", &filter.request_header_modifier),
            ("responseHeaderModifier", &filter.response_header_modifier),
        ] {
            if let Some(modifier) = modifier {
                header_modifier(modifier, &format!("{at}.{field}"), errors);
            }
        }
        http_filter::settings(filter, &at, errors);
    }
    once_each(filters, at, errors);
}

fn once_each(filters: &[HttpFilter], at: &str, errors: &mut Errors) {
    let repeatable = |filter: &HttpFilter| matches!(filter.type_.as_str(), "RequestMirror" | "ExtensionRef");
    let types = filters.iter().enumerate().map(|(index, filter)| match repeatable(filter) {
        true => Err(index),
        false => Ok(filter.type_.as_str()),
    });
    errors.unique(types, |index| format!("{at}[{index}].type"), "stands twice");
    let has = |type_: &str| filters.iter().any(|filter| filter.type_ == type_);
    errors.check(!(has("RequestRedirect") && has("URLRewrite")), at, || {
        "may have RequestRedirect or URLRewrite, not both".into()
    });
}

fn header_modifier(modifier: &HeaderModifier, at: &str, errors: &mut Errors) {
    for (field, headers) in [("set", &modifier.set), ("add", &modifier.add)] {
        let at = format!("{at}.{field}");
        errors.at_most(headers, 16, &at);
        for (index, HttpHeader { name, value }) in headers.iter().enumerate() {
            let at = format!("{at}[{index}]");
            header_name(name, &at, errors);
            errors.check(names::is_header_value(value), format!("{at}.value"), || {
                "must have 1 to 4096 bytes and no control characters".into()
            });
        }
        let names = headers.iter().map(|header| header.name.as_str());
        errors.unique(names, |index| format!("{at}[{index}].name"), "stands twice");
    }
    let at = format!("{at}.remove");
    errors.at_most(&modifier.remove, 16, &at);
    for (index, name) in modifier.remove.iter().enumerate() {
        errors.check(names::is_header_name(name), format!("{at}[{index}]"), || format!("`{name}` is not a valid name"));
    }
    errors.unique(modifier.remove.iter(), |index| format!("{at}[{index}]"), "stands twice");
}

pub(super) fn backend_ref(backend: &HttpBackendRef, at: &str, errors: &mut Errors) {
    http_filter::backend(&backend.target, at, errors);
    let weight = backend.weight.unwrap_or(1);
    errors.check(weight <= 1_000_000, format!("{at}.weight"), || format!("must be at most 1000000, not {weight}"));
    filters(&backend.filters, &format!("{at}.filters"), errors);
}

fn durations(timeouts: &HttpRouteTimeouts, at: &str, errors: &mut Errors) {
    let mut read = |field: &str, text: &Option<String>| {
        let text = text.as_deref()?;
        let duration = duration(text);
        errors.check(duration.is_some(), format!("{at}.{field}"), || {
            format!("`{text}` is not a duration (1h, 30s, 1m30s, 500ms)")
        });
        duration
    };
    let request = read("request", &timeouts.request);
    let backend = read("backendRequest", &timeouts.backend_request);
    if let (Some(request), Some(backend)) = (request, backend) {
        errors.check(request.is_zero() || backend <= request, format!("{at}.backendRequest"), || {
            "must not be longer than `request`".into()
        });
    }
}

fn retries(retry: &HttpRouteRetry, at: &str, errors: &mut Errors) {
    for (index, code) in retry.codes.iter().enumerate() {
        errors.check((400..600).contains(code), format!("{at}.codes[{index}]"), || {
            format!("must be from 400 to 599, not {code}")
        });
    }
    errors.unique(retry.codes.iter(), |index| format!("{at}.codes[{index}]"), "stands twice");
    errors.check(retry.attempts != Some(0), format!("{at}.attempts"), || "must be at least 1".into());
    one_duration(retry.backoff.as_deref(), format!("{at}.backoff"), errors);
}

pub(super) fn session_persistence(session: &SessionPersistence, at: &str, errors: &mut Errors) {
    let name = session.session_name.as_deref().unwrap_or_default();
    errors.check(name.len() <= 128, format!("{at}.sessionName"), || "is longer than 128 bytes".into());
    errors.one_of(session.type_.as_deref(), &["Cookie", "Header"], format!("{at}.type"));
    one_duration(session.absolute_timeout.as_deref(), format!("{at}.absoluteTimeout"), errors);
    let Some(cookie) = &session.cookie_config else { return };
    errors.check(session.type_.as_deref() != Some("Header"), format!("{at}.cookieConfig"), || {
        "goes with type Cookie".into()
    });
    let lifetime = cookie.lifetime_type.as_deref();
    errors.one_of(lifetime, &["Permanent", "Session"], format!("{at}.cookieConfig.lifetimeType"));
    let missing = lifetime == Some("Permanent") && session.absolute_timeout.is_none();
    errors.check(!missing, format!("{at}.absoluteTimeout"), || "is required with lifetimeType Permanent".into());
}

fn one_duration(text: Option<&str>, at: String, errors: &mut Errors) {
    if let Some(text) = text {
        errors.check(duration(text).is_some(), at, || format!("`{text}` is not a duration (1h, 30s, 1m30s, 500ms)"));
    }
}

/// A Gateway API duration (GEP-2257): one to four of `h`, `m`, `s`, `ms`, each with up to five digits.
fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut total, mut parts) = (text, Duration::ZERO, 0);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let units = rest[digits..].bytes().take_while(u8::is_ascii_lowercase).count();
        let millis = match &rest[digits..digits + units] {
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return None,
        };
        if !(1..=5).contains(&digits) || parts == 4 {
            return None;
        }
        total += Duration::from_millis(rest[..digits].parse::<u64>().ok()? * millis);
        rest = &rest[digits + units..];
        parts += 1;
    }
    (parts > 0).then_some(total)
}
