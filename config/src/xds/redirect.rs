//! `RedirectAction`.

use xds_api::pb::envoy::config::route::v3::RedirectAction;
use xds_api::pb::envoy::config::route::v3::redirect_action::{
    PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier,
};

use super::read::{At, Problems, fields};
use super::rewrite;
use crate::model::{PathRewrite, Redirect};

pub(super) fn write(value: &Redirect) -> RedirectAction {
    RedirectAction {
        host_redirect: value.host.clone().unwrap_or_default(),
        port_redirect: value.port.map(u32::from).unwrap_or_default(),
        response_code: write_status(value.status) as i32,
        scheme_rewrite_specifier: value.scheme.clone().map(SchemeRewriteSpecifier::SchemeRedirect),
        path_rewrite_specifier: value.path.as_ref().map(|path| match path {
            PathRewrite::Full(path) => PathRewriteSpecifier::PathRedirect(path.clone()),
            PathRewrite::Prefix(prefix) => PathRewriteSpecifier::PrefixRewrite(prefix.clone()),
            PathRewrite::Regex { pattern, substitution } => {
                PathRewriteSpecifier::RegexRewrite(rewrite::write_regex(pattern, substitution))
            }
        }),
        ..Default::default()
    }
}

/// A status that Envoy has no name for is its default.
fn write_status(status: u16) -> RedirectResponseCode {
    match status {
        302 => RedirectResponseCode::Found,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        _ => RedirectResponseCode::MovedPermanently,
    }
}

/// Reads the action; `at` is its own.
pub(super) fn read(message: RedirectAction, at: &At<'_>, problems: &mut Problems) -> Option<Redirect> {
    fields!(message => RedirectAction, at, problems;
        read host_redirect port_redirect response_code scheme_rewrite_specifier path_rewrite_specifier;
        refuse strip_query;
        pass;);
    let status = match RedirectResponseCode::try_from(response_code) {
        Ok(RedirectResponseCode::MovedPermanently) => 301,
        Ok(RedirectResponseCode::Found) => 302,
        Ok(RedirectResponseCode::SeeOther) => 303,
        Ok(RedirectResponseCode::TemporaryRedirect) => 307,
        Ok(RedirectResponseCode::PermanentRedirect) => 308,
        Err(_) => {
            problems.add(&at.field("response_code"), "is not a value of its enumeration");
            return None;
        }
    };
    let scheme = match scheme_rewrite_specifier {
        None | Some(SchemeRewriteSpecifier::HttpsRedirect(false)) => None,
        Some(SchemeRewriteSpecifier::HttpsRedirect(true)) => Some("https".to_owned()),
        Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => {
            Some(read_scheme(&scheme, &at.field("scheme_redirect"), problems)?)
        }
    };
    let Ok(port) = u16::try_from(port_redirect) else {
        problems.add(&at.field("port_redirect"), format!("{port_redirect} is not a port"));
        return None;
    };
    let host = (!host_redirect.is_empty()).then_some(host_redirect);
    if host.as_deref().is_some_and(|host| !is_host(host)) {
        problems.advise(&at.field("host_redirect"), "is not a host's name", "the port goes into `port_redirect`");
        return None;
    }
    let path = match path_rewrite_specifier {
        None => None,
        Some(PathRewriteSpecifier::PathRedirect(path)) => {
            // It may bring a query along, in place of the request's.
            let (own, query) = path.split_once('?').map_or((path.as_str(), None), |(own, query)| (own, Some(query)));
            let own = rewrite::read_text(own.to_owned(), &at.field("path_redirect"), problems)?;
            match query {
                Some(query) if query.contains(|c: char| c.is_ascii_control() || matches!(c, ' ' | '#')) => {
                    problems.add(&at.field("path_redirect"), "has a query that is none");
                    return None;
                }
                Some(_) => Some(PathRewrite::Full(path)),
                None => Some(PathRewrite::Full(own)),
            }
        }
        Some(PathRewriteSpecifier::PrefixRewrite(prefix)) => {
            Some(PathRewrite::Prefix(rewrite::read_text(prefix, &at.field("prefix_rewrite"), problems)?))
        }
        Some(PathRewriteSpecifier::RegexRewrite(regex)) => {
            Some(rewrite::read_regex(regex, &at.field("regex_rewrite"), problems)?)
        }
    };
    Some(Redirect { scheme, host, port: (port != 0).then_some(port), path, status })
}

fn read_scheme(scheme: &str, at: &At<'_>, problems: &mut Problems) -> Option<String> {
    let known = ["http", "https"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known));
    if known.is_none() {
        problems.advise(at, format!("{scheme:?} is not supported"), "use http or https");
    }
    known.map(str::to_owned)
}

/// A name or an address that can stand in a URL: no port, no control character, nothing that ends a host.
pub(super) fn is_host(host: &str) -> bool {
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b) || bracketed && b"[]:".contains(&b);
    !host.is_empty() && host.len() <= 255 && host.bytes().all(allowed)
}
