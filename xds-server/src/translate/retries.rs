//! `HTTPRouteTimeouts` and `HTTPRouteRetry`.
//!
//! `timeouts.request` is the route's timeout, `0s` none; without it Envoy's own 15 s hold, as the Gateway API leaves
//! that to the implementation. `timeouts.backendRequest` is the timeout of one try: with it alone the whole exchange
//! has none, or it would be cut at those 15 s.

use std::time::Duration;

use weir_config::FieldError;
use weir_config::kinds::gateway::{HttpRouteRetry, HttpRouteTimeouts};
use weir_config::model::{Retry, RetryOn};

use super::duration;

/// How long an exchange may take, and how often it is tried.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tries {
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry: Option<Box<Retry>>,
}

/// Translates a rule's timeouts and retries.
///
/// A `retry` stanza always covers what is no response at all: a connection that fails, breaks off or takes too long
/// (the API's SHOULD), beside the codes that it names.
///
/// # Errors
/// The field that cannot be honoured, seen from the rule.
pub(crate) fn translate(
    timeouts: Option<&HttpRouteTimeouts>,
    retry: Option<&HttpRouteRetry>,
) -> Result<Tries, FieldError> {
    let read = |text: Option<&String>, field: &str| match text {
        Some(text) => duration::parse(text)
            .map(Some)
            .ok_or_else(|| FieldError::new(field, format!("`{text}` is no duration such as `1h30m`, `5s`, `100ms`"))),
        None => Ok(None),
    };
    let whole = read(timeouts.and_then(|timeouts| timeouts.request.as_ref()), "timeouts.request")?;
    let one = read(timeouts.and_then(|timeouts| timeouts.backend_request.as_ref()), "timeouts.backendRequest")?;
    let back_off = read(retry.and_then(|retry| retry.backoff.as_ref()), "retry.backoff")?;
    let per_try_timeout = one.filter(|one| !one.is_zero());
    let retry = match retry {
        Some(retry) => Some(Retry {
            on: RetryOn { connect_failure: true, refused_stream: true, reset: true, ..RetryOn::default() },
            statuses: retry.codes.clone(),
            attempts: retry.attempts,
            per_try_timeout,
            back_off: back_off.filter(|base| !base.is_zero()).map(|base| (base, None)),
        }),
        // The one place that a timeout of one try has.
        None => per_try_timeout.map(|_| Retry { attempts: Some(0), per_try_timeout, ..Retry::default() }),
    };
    Ok(Tries { timeout: whole.or(one.map(|_| Duration::ZERO)), retry: retry.map(Box::new) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(request: Option<&str>, backend: Option<&str>) -> Tries {
        let timeouts =
            HttpRouteTimeouts { request: request.map(str::to_owned), backend_request: backend.map(str::to_owned) };
        translate(Some(&timeouts), None).unwrap()
    }

    #[test]
    fn a_timeout_of_one_try_lifts_the_whole_exchanges_default() {
        assert_eq!(translate(None, None).unwrap(), Tries::default());
        let both = tries(Some("10s"), Some("1s"));
        assert_eq!(both.timeout, Some(Duration::from_secs(10)));
        let retry = both.retry.unwrap();
        assert_eq!((retry.attempts, retry.per_try_timeout), (Some(0), Some(Duration::from_secs(1))));
        assert_eq!(tries(None, Some("30s")).timeout, Some(Duration::ZERO));
        assert_eq!(tries(None, Some("0s")), Tries { timeout: Some(Duration::ZERO), retry: None });
    }

    #[test]
    fn retries_cover_connections_and_the_codes_named() {
        let asked = HttpRouteRetry { codes: vec![500, 503], attempts: None, backoff: Some("0s".into()) };
        let retry = translate(None, Some(&asked)).unwrap().retry.unwrap();
        assert!(retry.on.connect_failure && retry.on.reset && retry.on.refused_stream);
        assert!(!retry.on.server_error && !retry.on.gateway_error);
        assert_eq!((retry.statuses, retry.attempts, retry.back_off), (vec![500, 503], None, None));
    }
}
