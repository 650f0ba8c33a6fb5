//! Settings of filters: mirror, redirect, rewrite, CORS.

use super::{Errors, names};
use crate::kinds::gateway::{
    BackendObjectReference, CorsFilter, HttpFilter, PathModifier, RequestMirror, RequestRedirect,
};

/// Methods of `allowMethods`.
const METHODS: [&str; 10] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*"];

/// What is wrong within the settings of a filter, whichever it has.
pub(super) fn settings(filter: &HttpFilter, at: &str, errors: &mut Errors) {
    if let Some(mirror) = &filter.request_mirror {
        request_mirror(mirror, &format!("{at}.requestMirror"), errors);
    }
    if let Some(redirect) = &filter.request_redirect {
        request_redirect(redirect, &format!("{at}.requestRedirect"), errors);
    }
    if let Some(rewrite) = &filter.url_rewrite {
        let at = format!("{at}.urlRewrite");
        host(rewrite.hostname.as_deref(), &at, errors);
        path(rewrite.path.as_ref(), &at, errors);
    }
    if let Some(policy) = &filter.cors {
        cors(policy, &format!("{at}.cors"), errors);
    }
    if let Some(own) = &filter.extension_ref {
        errors.check(!own.name.is_empty(), format!("{at}.extensionRef.name"), || "must not be empty".into());
    }
}

/// A reference to a backend, without weight.
pub(super) fn backend(target: &BackendObjectReference, at: &str, errors: &mut Errors) {
    errors.check(!target.name.is_empty(), format!("{at}.name"), || "must not be empty".into());
    let group = target.group.as_deref().unwrap_or_default();
    let service = group.is_empty() && target.kind.as_deref().unwrap_or("Service") == "Service";
    match target.port {
        None => errors.check(!service, format!("{at}.port"), || "is required for a Service".into()),
        Some(port) => errors.check(port >= 1, format!("{at}.port"), || "must be from 1 to 65535".into()),
    }
}

fn request_mirror(mirror: &RequestMirror, at: &str, errors: &mut Errors) {
    backend(&mirror.backend_ref, &format!("{at}.backendRef"), errors);
    let percent = mirror.percent.unwrap_or_default();
    errors.check(percent <= 100, format!("{at}.percent"), || format!("must be at most 100, not {percent}"));
    let Some(fraction) = &mirror.fraction else { return };
    errors.check(mirror.percent.is_none(), format!("{at}.fraction"), || "cannot stand beside `percent`".into());
    let denominator = fraction.denominator.unwrap_or(100);
    errors.check(denominator >= 1, format!("{at}.fraction.denominator"), || "must be at least 1".into());
    errors.check(fraction.numerator <= denominator, format!("{at}.fraction.numerator"), || {
        format!("must be at most the denominator ({denominator}), not {}", fraction.numerator)
    });
}

fn request_redirect(redirect: &RequestRedirect, at: &str, errors: &mut Errors) {
    errors.one_of(redirect.scheme.as_deref(), &["http", "https"], format!("{at}.scheme"));
    host(redirect.hostname.as_deref(), at, errors);
    path(redirect.path.as_ref(), at, errors);
    errors.check(redirect.port != Some(0), format!("{at}.port"), || "must be from 1 to 65535".into());
    if let Some(status) = redirect.status_code {
        let known = [301, 302, 303, 307, 308];
        errors.check(known.contains(&status), format!("{at}.statusCode"), || {
            format!("must be 301, 302, 303, 307 or 308, not {status}")
        });
    }
}

/// `PreciseHostname`: a hostname without wildcard.
fn host(name: Option<&str>, at: &str, errors: &mut Errors) {
    let Some(name) = name else { return };
    let at = format!("{at}.hostname");
    if name.starts_with("*.") {
        errors.add(at, "must be one host: no wildcard");
    } else if let Some(error) = names::hostname(name) {
        errors.push(error.within(&at));
    }
}

fn path(path: Option<&PathModifier>, at: &str, errors: &mut Errors) {
    let Some(PathModifier { type_, replace_full_path, replace_prefix_match }) = path else { return };
    let at = format!("{at}.path");
    let types = ["ReplaceFullPath", "ReplacePrefixMatch"];
    errors.one_of(Some(type_), &types, format!("{at}.type"));
    for (own, field, value) in
        [(types[0], "replaceFullPath", replace_full_path), (types[1], "replacePrefixMatch", replace_prefix_match)]
    {
        let at = format!("{at}.{field}");
        match value {
            None => errors.check(type_ != own, at, || format!("is required with type {own}")),
            Some(_) if type_ != own => errors.add(at, format!("goes with type {own}")),
            Some(value) => errors.check(value.len() <= 1024, at, || "is longer than 1024 bytes".into()),
        }
    }
}

fn cors(policy: &CorsFilter, at: &str, errors: &mut Errors) {
    let origins = format!("{at}.allowOrigins");
    set(&policy.allow_origins, 64, &origins, errors);
    for (index, origin) in policy.allow_origins.iter().enumerate() {
        errors.check(is_origin(origin), format!("{origins}[{index}]"), || {
            format!("`{origin}` is not `*`, nor an origin such as https://example.com, https://*.example.com:8443")
        });
    }
    let methods = format!("{at}.allowMethods");
    set(&policy.allow_methods, 10, &methods, errors);
    for (index, method) in policy.allow_methods.iter().enumerate() {
        errors.one_of(Some(method), &METHODS, format!("{methods}[{index}]"));
    }
    for (field, list) in [("allowHeaders", &policy.allow_headers), ("exposeHeaders", &policy.expose_headers)] {
        let at = format!("{at}.{field}");
        set(list, 64, &at, errors);
        for (index, name) in list.iter().enumerate() {
            errors.check(names::is_header_name(name), format!("{at}[{index}]"), || {
                format!("`{name}` is not a valid name")
            });
        }
    }
    errors.check(policy.max_age != Some(0), format!("{at}.maxAge"), || "must be at least 1".into());
}

/// A list without repetition, of which `*` is the only item where it stands; `exposeHeaders` may mix it.
fn set(list: &[String], most: usize, at: &str, errors: &mut Errors) {
    errors.at_most(list, most, at);
    errors.unique(list.iter(), |index| format!("{at}[{index}]"), "stands twice");
    let mixed = list.len() > 1 && list.iter().any(|item| item == "*") && !at.ends_with("exposeHeaders");
    errors.check(!mixed, at, || "`*` stands alone".into());
}

/// `CORSOrigin`.
fn is_origin(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    let Some(rest) = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")) else { return false };
    let host = match rest.split_once(':') {
        Some((host, port)) if (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit()) => host,
        Some(_) => return false,
        None => rest,
    };
    let label = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    text.len() <= 253 && (host == "*" || host.strip_prefix("*.").unwrap_or(host).split('.').all(label))
}
