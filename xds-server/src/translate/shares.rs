//! Filters of backends: what becomes of the whole rule, and what of one backend's share.

use weir_config::FieldError;
use weir_config::kinds::gateway::HttpBackendRef;
use weir_config::model::ClusterChanges;

use super::filters::{self, Dropped, Effects, compose};

/// What a rule's filters and its backends' come to together.
#[derive(Debug)]
pub(crate) struct Shares<'a> {
    /// For all requests of the rule.
    pub(crate) all: Effects<'a>,
    /// For each backend's share alone, by its place; empty where no backend has any.
    pub(crate) own: Vec<Option<Box<ClusterChanges>>>,
}

/// Joins them. The filters of the one backend that gets requests are the rule's own. Of several each changes its
/// share, which xDS does for headers and host (`ClusterWeight`); the rule's changes then move there too, because Envoy
/// makes a cluster's changes first and the API wants them last.
///
/// # Errors
/// The first filter that cannot be honoured, seen from the rule.
pub(crate) fn join<'a>(rule: Effects<'a>, backends: &'a [HttpBackendRef]) -> Result<Shares<'a>, Dropped> {
    let mut own = Vec::with_capacity(backends.len());
    for (index, backend) in backends.iter().enumerate() {
        own.push(filters::collect(&backend.filters).map_err(|error| error.within(&format!("backendRefs[{index}]")))?);
    }
    let gets_requests = |index: &usize| backends[*index].weight != Some(0);
    let used: Vec<usize> = (0..backends.len()).filter(gets_requests).collect();
    if let [one] = used.as_slice() {
        return Ok(Shares { all: rule.then(own.swap_remove(*one)), own: Vec::new() });
    }
    if used.iter().all(|index| backends[*index].filters.is_empty()) {
        return Ok(Shares { all: rule, own: Vec::new() });
    }
    for index in used {
        refuse_shared(&own[index], &backends[index]).map_err(|error| error.within(&format!("backendRefs[{index}]")))?;
    }
    let changes = own.into_iter().map(|own| {
        let changes = ClusterChanges {
            request_headers: compose(&rule.request, &own.request),
            response_headers: compose(&rule.response, &own.response),
            host_rewrite: own.host.or_else(|| rule.host.clone()),
        };
        (changes != ClusterChanges::default()).then(|| Box::new(changes))
    });
    let own = changes.collect();
    let all = Effects { request: Default::default(), response: Default::default(), host: None, ..rule };
    Ok(Shares { all, own })
}

/// What xDS has no place for beside other backends.
fn refuse_shared(own: &Effects<'_>, backend: &HttpBackendRef) -> Result<(), FieldError> {
    let (what, type_) = if own.redirect.is_some() {
        ("RequestRedirect", "RequestRedirect")
    } else if own.path.is_some() {
        ("a path of URLRewrite", "URLRewrite")
    } else if !own.mirrors.is_empty() {
        ("RequestMirror", "RequestMirror")
    } else if own.cors.is_some() {
        ("CORS", "CORS")
    } else {
        return Ok(());
    };
    let place = backend.filters.iter().position(|filter| filter.type_ == type_).unwrap_or_default();
    let problem = format!("{what} is supported for a backend that gets all requests of its rule, not for a share");
    Err(FieldError::new(format!("filters[{place}]"), problem).hint("write it into the rule's own `filters`"))
}
