//! `RequestRedirect` to [`Redirect`].

use weir_config::FieldError;
use weir_config::kinds::gateway::RequestRedirect;
use weir_config::model::{PathMatch, Redirect};

use super::paths;

/// Translates a redirect of what `matched` matches; its port is still as it was asked, see [`settle`].
///
/// # Errors
/// The field that cannot be honoured, seen from the filter's settings.
pub(crate) fn translate(filter: &RequestRedirect, matched: &PathMatch) -> Result<Redirect, FieldError> {
    let status = filter.status_code.unwrap_or(302);
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Err(FieldError::new("statusCode", format!("{status} is not supported")));
    }
    if let Some(scheme) = filter.scheme.as_deref().filter(|scheme| !matches!(*scheme, "http" | "https")) {
        return Err(FieldError::new("scheme", format!("`{scheme}` is not supported")));
    }
    let path = match &filter.path {
        Some(modifier) => paths::rewrite(modifier, matched).map_err(|e| e.within("path"))?,
        None => None,
    };
    Ok(Redirect {
        scheme: filter.scheme.clone(),
        host: filter.hostname.clone().filter(|host| !host.is_empty()),
        port: filter.port,
        path,
        status,
    })
}

/// Fixes the port for one listener (`HTTPRequestRedirectFilter.port`): where none is given, the scheme's own if
/// the scheme is, else the listener's. It is left out of the URL where it is the scheme's own: a proxy then sends
/// the host alone, or the request's Host, whose port at such a listener is the scheme's own too. At a listener with
/// another port that Host has it, so that the new one must be said.
pub(crate) fn settle(redirect: &mut Redirect, listener: u16, tls: bool) {
    let own = |scheme: &str| if scheme == "https" { 443 } else { 80 };
    let of_listener = if tls { "https" } else { "http" };
    let scheme = redirect.scheme.as_deref().unwrap_or(of_listener);
    let port = match (redirect.port, &redirect.scheme) {
        (Some(port), _) => port,
        (None, Some(_)) => own(scheme),
        (None, None) => listener,
    };
    let silent = port == own(scheme) && (redirect.host.is_some() || listener == own(of_listener));
    redirect.port = (!silent).then_some(port);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_the_given_the_schemes_or_the_listeners() {
        for (scheme, host, port, (listener, tls), expected) in [
            (None, None, None, (80, false), None),
            (None, None, None, (8080, false), Some(8080)),
            (None, Some("a"), None, (8080, false), Some(8080)),
            (None, None, None, (443, true), None),
            (None, None, None, (8443, true), Some(8443)),
            (Some("https"), None, None, (80, false), None),
            (Some("https"), None, None, (8080, false), Some(443)),
            (Some("https"), Some("a"), None, (8080, false), None),
            (Some("http"), None, None, (443, true), None),
            (Some("http"), None, Some(443), (80, false), Some(443)),
            (Some("https"), None, Some(443), (80, false), None),
            (Some("https"), None, Some(8443), (80, false), Some(8443)),
            (None, None, Some(80), (80, false), None),
            (None, None, Some(80), (443, true), Some(80)),
            (None, None, Some(8080), (80, false), Some(8080)),
        ] {
            let text = |text: Option<&str>| text.map(str::to_owned);
            let mut redirect = Redirect { scheme: text(scheme), host: text(host), port, path: None, status: 302 };
            settle(&mut redirect, listener, tls);
            assert_eq!(redirect.port, expected, "{scheme:?} {host:?} {port:?} at {listener}");
        }
    }
}
