//! What passes today, and must not fail again; and what is known not to be there yet.

use crate::world::Sabotage;

/// Broken routers, and tests of the floor that must fail with each.
pub const NOTICED: &[(Sabotage, &[&str])] = &[
    (Sabotage::SwappedBackends, &["HTTPRouteSimpleSameNamespace", "HTTPRouteMatching"]),
    (Sabotage::IgnoredWeights, &["OwnHTTPRouteWeight"]),
    (Sabotage::UncheckedGrants, &["HTTPRouteInvalidCrossNamespaceBackendRef", "HTTPRouteReferenceGrant"]),
    (Sabotage::EverythingAccepted, &["HTTPRouteInvalidNonExistentBackendRef", "GatewayInvalidRouteKind"]),
    (Sabotage::StaleStatus, &["GatewayObservedGenerationBump"]),
    (Sabotage::DroppedFilters, &["HTTPRouteRequestHeaderModifier", "HTTPRouteResponseHeaderModifier"]),
];

/// Tests of the suite that pass, with Weir's edge and the suite's namespaces as `system`.
pub const FLOOR: &[&str] = &[
    "GatewayClassObservedGenerationBump",
    "GatewayHTTPListenerIsolation",
    "GatewayInvalidRouteKind",
    "GatewayInvalidTLSConfiguration",
    "GatewayListenerUnsupportedProtocol",
    "GatewayObservedGenerationBump",
    "GatewaySecretInvalidReferenceGrant",
    "GatewaySecretMissingReferenceGrant",
    "GatewaySecretReferenceGrantAllInNamespace",
    "GatewayWithAttachedRoutes",
    "GatewayWithAttachedRoutesWithPort8080",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteCrossNamespace",
    "HTTPRouteExactPathMatching",
    "HTTPRouteHTTPSListener",
    "HTTPRouteHeaderMatching",
    "HTTPRouteInvalidBackendRefUnknownKind",
    "HTTPRouteInvalidCrossNamespaceBackendRef",
    "HTTPRouteInvalidCrossNamespaceParentRef",
    "HTTPRouteInvalidNonExistentBackendRef",
    "HTTPRouteInvalidParentRefNotMatchingListenerPort",
    "HTTPRouteInvalidParentRefSectionNameNotMatchingPort",
    "HTTPRouteInvalidReferenceGrant",
    "HTTPRouteListenerHostnameMatching",
    "HTTPRouteMatching",
    "HTTPRouteMultipleGateways",
    "HTTPRouteNamedRule",
    "HTTPRouteNoBackendRefs",
    "HTTPRouteObservedGenerationBump",
    "HTTPRouteReferenceGrant",
    "HTTPRouteRequestHeaderModifier",
    "HTTPRouteResponseHeaderModifier",
    "HTTPRouteServiceTypes",
    "HTTPRouteSimpleSameNamespace",
    "HTTPRouteTimeoutRequest",
];

/// Tests that are skipped by name, and why.
const SKIPPED: &[(&str, &str)] = &[(
    "GatewayInfrastructure",
    "an edge serves many Gateways: nothing is made for one of them that could bear its labels",
)];

/// Why a test is skipped, if it is.
pub fn skipped(short: &str) -> Option<&'static str> {
    SKIPPED.iter().find(|(name, _)| *name == short).map(|(_, why)| *why)
}
