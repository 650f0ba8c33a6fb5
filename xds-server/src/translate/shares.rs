//! Filters of backends: what becomes of the whole rule, and what of one backend's share.

use weir_config::kinds::gateway::HttpBackendRef;
use weir_config::model::{ClusterChanges, Fraction};

use super::filters::{self, Dropped, Effects, compose};

/// Of how many draws a share is a part: the finest that xDS has.
const DRAWS: u32 = 1_000_000;

/// A part of a rule's requests, which becomes a route for each of its matches.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    /// What the rule's filters and the backends' come to for all of these requests.
    pub(crate) all: Effects<'a>,
    /// Where they go.
    pub(crate) backends: &'a [HttpBackendRef],
    /// Place of the first of these among the rule's.
    pub(crate) first: usize,
    /// What is changed for each backend's share alone, by its place; empty where nothing is for any.
    pub(crate) own: Vec<Option<Box<ClusterChanges>>>,
    /// Of how many draws this part and those before it are; none: of all.
    pub(crate) until: Option<Fraction>,
}

/// What a rule's requests are divided into.
#[derive(Debug)]
pub(crate) struct Shares<'a> {
    pub(crate) parts: Vec<Part<'a>>,
    /// Backends that get no requests, and in no part. That they are there is looked at all the same.
    pub(crate) idle: Vec<&'a HttpBackendRef>,
}

/// Divides them. The filters of the one backend that gets requests are the rule's own. Of several each changes its
/// share, which xDS does for headers and host (`ClusterWeight`); the rule's changes then move there too, because Envoy
/// makes a cluster's changes first and the API wants them last.
///
/// What else a backend's filters ask for a route alone can do. Then each backend has a route of its own, and they
/// divide the draws of `runtime_fraction`. Not one of these is a weighted route of several: Envoy has one draw a
/// request, so which cluster it chose would depend on the draw that had chosen the route.
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
    let whole = |all, own| Part { all, backends, first: 0, own, until: None };
    let together = |part| Shares { parts: vec![part], idle: Vec::new() };
    if let [one] = used.as_slice() {
        return Ok(together(whole(rule.then(own.swap_remove(*one)), Vec::new())));
    }
    if used.iter().all(|index| backends[*index].filters.is_empty()) {
        return Ok(together(whole(rule, Vec::new())));
    }
    if used.iter().any(|index| needs_a_route(&own[*index])) {
        return Ok(apart(&rule, own, backends, &used));
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
    Ok(together(whole(Effects { request: Default::default(), response: Default::default(), host: None, ..rule }, own)))
}

/// Whether a backend's filters ask for what `ClusterWeight` has no field for.
fn needs_a_route(own: &Effects<'_>) -> bool {
    own.redirect.is_some() || own.path.is_some() || !own.mirrors.is_empty() || own.cors.is_some()
}

/// A part for each backend that gets requests.
fn apart<'a>(rule: &Effects<'a>, own: Vec<Effects<'a>>, backends: &'a [HttpBackendRef], used: &[usize]) -> Shares<'a> {
    let weights: Vec<u32> = used.iter().map(|index| backends[*index].weight.unwrap_or(1)).collect();
    let mut untils = untils(&weights).into_iter();
    let mut shares = Shares { parts: Vec::with_capacity(used.len()), idle: Vec::new() };
    for ((index, backend), own) in backends.iter().enumerate().zip(own) {
        if !used.contains(&index) {
            shares.idle.push(backend);
            continue;
        }
        shares.parts.push(Part {
            all: rule.clone().then(own),
            backends: std::slice::from_ref(backend),
            first: index,
            own: Vec::new(),
            until: untils.next().flatten(),
        });
    }
    shares
}

/// Where the draws of each weight end: at the nearest millionth, no weight being nothing; the last has the rest.
fn untils(weights: &[u32]) -> Vec<Option<Fraction>> {
    let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let (mut reached, mut before) = (0u64, 0u64);
    let mut ends = Vec::with_capacity(weights.len());
    for (place, weight) in weights.iter().enumerate() {
        let after = weights.len() - place - 1;
        reached += u64::from(*weight);
        let nearest = (reached * u64::from(DRAWS) + sum / 2) / sum.max(1);
        // Each of those after needs a draw.
        before = nearest.max(before + 1).min(u64::from(DRAWS).saturating_sub(after as u64));
        let numerator = u32::try_from(before).unwrap_or(DRAWS);
        ends.push((after > 0).then_some(Fraction { numerator, denominator: DRAWS }));
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(weights: &[u32]) -> Vec<Option<u32>> {
        untils(weights).into_iter().map(|until| until.map(|until| until.numerator)).collect()
    }

    #[test]
    fn draws_are_divided_as_weights_say_and_no_weight_is_nothing() {
        assert_eq!(ends(&[90, 10]), [Some(900_000), None]);
        assert_eq!(ends(&[1, 1, 1]), [Some(333_333), Some(666_667), None]);
        assert_eq!(ends(&[u32::MAX, 1, 1]), [Some(999_998), Some(999_999), None]);
        assert_eq!(ends(&[1, 1, u32::MAX]), [Some(1), Some(2), None]);
    }
}
