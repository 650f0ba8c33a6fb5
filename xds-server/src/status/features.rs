//! What of the Gateway API Weir serves whole, by the names that its conformance suite has for them.

/// `status.supportedFeatures` of a GatewayClass, sorted.
///
/// `HTTPRoute` means every filter that the API counts as core, and Weir does not serve `RequestRedirect` yet. So
/// it is not listed, though what else belongs to it is served; nor are static addresses, which in a cluster are
/// the Service's.
pub const SUPPORTED: &[&str] = &[
    "Gateway",
    "GatewayAddressEmpty",
    "GatewayHTTPListenerIsolation",
    "GatewayPort8080",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "ReferenceGrant",
];

#[cfg(test)]
mod tests {
    use super::SUPPORTED;

    #[test]
    fn they_are_in_the_order_that_the_api_demands() {
        assert!(SUPPORTED.is_sorted());
    }
}
