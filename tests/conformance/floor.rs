//! What passes today, and must not fail again; and what is known not to be there yet.

use crate::data::Test;
use crate::options::{Edge, Tenancy};
use crate::world::Sabotage;

/// A part of the floor: one test program's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Http,
    Gateways,
    Others,
}

impl Part {
    /// Whether a test belongs to it, by its name.
    pub fn has(self, test: &Test) -> bool {
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| test.short.starts_with(prefix));
        let part = if begins(&["HTTPRoute", "OwnHTTPRoute"]) {
            Self::Http
        } else if begins(&[
            "Gateway",
            "OwnGateway",
            "ListenerSet",
            "OwnListenerSet",
            "BackendTLSPolicy",
            "OwnBackendTLSPolicy",
        ]) {
            Self::Gateways
        } else {
            Self::Others
        };
        part == self
    }
}

/// The floor of a run.
pub fn of(edge: Edge, tenancy: Tenancy) -> impl Iterator<Item = &'static str> {
    let left_out = move |short: &str| {
        let among = |list: &[(&str, &str)]| list.iter().any(|(name, _)| *name == short);
        (edge == Edge::Envoy && among(NOT_AT_ENVOY)) || (tenancy == Tenancy::Tenants && among(NOT_OF_TENANTS))
    };
    FLOOR.iter().copied().filter(move |short| !left_out(short))
}

/// What a stock Envoy does otherwise, and why.
const NOT_AT_ENVOY: &[(&str, &str)] = &[(
    "OwnHTTPRouteMisdirectedRequests",
    "Envoy has no 421: it answers 404 for a name that another listener of the port serves",
)];

/// What tenancy forbids, and why.
const NOT_OF_TENANTS: &[(&str, &str)] = &[
    (
        "HTTPRouteCrossNamespace",
        "two Tenants would need the hostname `*`: the Gateway's, for its listener without a hostname, and the other \
         namespace's, whose route names none and is asked by address. A hostname is owned by one Tenant",
    ),
    (
        "ListenerSetAllowedRoutesNamespaces",
        "routes of three Tenants would answer under the one hostname `listener-set-listener-allowed-routes-all.com`. \
         A hostname is owned by one Tenant, whatever a listener allows",
    ),
];

/// Broken routers, and tests of the floor that must fail with each.
pub const NOTICED: &[(Sabotage, &[&str])] = &[
    (Sabotage::SwappedBackends, &["HTTPRouteSimpleSameNamespace", "HTTPRouteMatching"]),
    (
        Sabotage::IgnoredWeights,
        &["OwnHTTPRouteWeight", "GRPCRouteWeight", "TCPRouteWeightedRouting", "UDPRouteWeightedRouting"],
    ),
    (
        Sabotage::UncheckedGrants,
        &["HTTPRouteInvalidCrossNamespaceBackendRef", "HTTPRouteReferenceGrant", "TLSRouteInvalidReferenceGrant"],
    ),
    (Sabotage::EverythingAccepted, &["HTTPRouteInvalidNonExistentBackendRef", "GatewayInvalidRouteKind"]),
    (Sabotage::StaleStatus, &["GatewayObservedGenerationBump"]),
    (
        Sabotage::DroppedFilters,
        &["HTTPRouteRequestHeaderModifier", "HTTPRouteResponseHeaderModifier", "OwnGRPCRouteHeaderModifiers"],
    ),
    (Sabotage::IgnoredNames, &["OwnTLSRouteHostnameIntersection", "TLSRouteInvalidNoMatchingListenerHostname"]),
    (Sabotage::IgnoredMethods, &["GRPCExactMethodMatching", "OwnGRPCRouteHeaderMatching"]),
    (
        Sabotage::UncheckedAuthority,
        &["BackendTLSPolicy", "OwnBackendTLSPolicyGRPCRoute", "OwnBackendTLSPolicyTLSRouteTerminate"],
    ),
    (Sabotage::OpenGateways, &["ListenerSetAllowedNamespaceNone", "ListenerSetAllowedNamespaceSelector"]),
];

/// Tests of the suite that pass, with Weir's edge and the suite's namespaces as `system`.
pub const FLOOR: &[&str] = &[
    "BackendTLSPolicy",
    "BackendTLSPolicyConflictResolution",
    "BackendTLSPolicyInvalidCACertificateRef",
    "BackendTLSPolicyInvalidKind",
    "BackendTLSPolicyObservedGenerationBump",
    "GRPCExactMethodMatching",
    "GRPCRouteListenerHostnameMatching",
    "GRPCRouteNamedRule",
    "GRPCRouteWeight",
    "GatewayClassObservedGenerationBump",
    "GatewayFrontendClientCertificateValidation",
    "GatewayFrontendClientCertificateValidationInsecureFallback",
    "GatewayFrontendInvalidDefaultClientCertificateValidation",
    "GatewayHTTPListenerIsolation",
    "GatewayInfrastructure",
    "GatewayInvalidFrontendClientCertificateValidation",
    "GatewayInvalidParametersRef",
    "GatewayInvalidRouteKind",
    "GatewayInvalidTLSBackendConfiguration",
    "GatewayInvalidTLSConfiguration",
    "GatewayListenerUnsupportedProtocol",
    "GatewayObservedGenerationBump",
    "GatewayOptionalAddressValue",
    "GatewaySecretInvalidReferenceGrant",
    "GatewaySecretMissingReferenceGrant",
    "GatewaySecretReferenceGrantAllInNamespace",
    "GatewayStaticAddresses",
    "GatewayTLSBackendClientCertificate",
    "GatewayWithAttachedRoutes",
    "GatewayWithAttachedRoutesWithPort8080",
    "HTTPRoute303Redirect",
    "HTTPRoute307Redirect",
    "HTTPRoute308Redirect",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModifier",
    "HTTPRouteCrossNamespace",
    "HTTPRouteDisallowedKind",
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
    "HTTPRouteRedirectHostAndStatus",
    "HTTPRouteRedirectPath",
    "HTTPRouteRedirectPort",
    "HTTPRouteRedirectScheme",
    "HTTPRouteReferenceGrant",
    "HTTPRouteRequestHeaderModifier",
    "HTTPRouteRequestHeaderModifierBackendWeights",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteResponseHeaderModifier",
    "HTTPRouteRetry",
    "HTTPRouteServiceTypes",
    "HTTPRouteSimpleSameNamespace",
    "HTTPRouteTimeoutRequest",
    "ListenerSetAllowedNamespaceNone",
    "ListenerSetAllowedNamespaceSame",
    "ListenerSetAllowedNamespaceSelector",
    "ListenerSetAllowedRoutesNamespaces",
    "ListenerSetAllowedRoutesSupportedKinds",
    "ListenerSetDefaultNotAllowed",
    "ListenerSetDualParentRefIndependence",
    "ListenerSetGatewayParentSectionNameNotFound",
    "ListenerSetHTTPRouting",
    "ListenerSetProtocolConflict",
    "ListenerSetReferenceGrant",
    "ListenerSetRouteStatusScopedToParentRef",
    "OwnBackendTLSPolicyGRPCRoute",
    "OwnBackendTLSPolicySubjectAltNames",
    "OwnBackendTLSPolicyTLSRouteTerminate",
    "OwnGRPCRouteHeaderMatching",
    "OwnGRPCRouteHeaderModifiers",
    "OwnGatewayModifyListeners",
    "OwnGatewayNameOfMaximumLength",
    "OwnGatewaySecretReferenceGrantSpecific",
    "OwnHTTPRouteBackendFilters",
    "OwnHTTPRouteBackendRequestRedirect",
    "OwnHTTPRouteBackendURLRewrite",
    "OwnHTTPRouteCORS",
    "OwnHTTPRouteHostnameIntersection",
    "OwnHTTPRouteListenerPortMatching",
    "OwnHTTPRouteMatchingAcrossRoutes",
    "OwnHTTPRouteMethodMatching",
    "OwnHTTPRouteMisdirectedRequests",
    "OwnHTTPRouteParentSectionNotThere",
    "OwnHTTPRoutePartiallyInvalid",
    "OwnHTTPRoutePathMatchOrder",
    "OwnHTTPRouteQueryParamMatching",
    "OwnHTTPRouteRedirectPortAndScheme",
    "OwnHTTPRouteRequestMultipleMirrors",
    "OwnHTTPRouteRetryConnectionError",
    "OwnHTTPRouteRetryWithTimeouts",
    "OwnHTTPRouteRewriteHost",
    "OwnHTTPRouteRewritePath",
    "OwnHTTPRouteTimeoutBackendRequest",
    "OwnHTTPRouteWeight",
    "OwnListenerSetHostnameConflict",
    "OwnTLSRouteHostnameIntersection",
    "TCPRouteInvalidBackendRefNonexistent",
    "TCPRouteInvalidCrossNamespaceBackendRef",
    "TCPRouteInvalidNonTCPListener",
    "TCPRouteMultipleRoutesAttachment",
    "TCPRouteParentRefAttachAll",
    "TCPRouteParentRefPortAndSectionName",
    "TCPRouteReferenceGrant",
    "TCPRouteWeightedRouting",
    "TLSRouteInvalidBackendRefNonexistent",
    "TLSRouteInvalidBackendRefUnknownKind",
    "TLSRouteInvalidNoMatchingListener",
    "TLSRouteInvalidNoMatchingListenerHostname",
    "TLSRouteInvalidReferenceGrant",
    "TLSRouteListenerMixedTerminationNotSupported",
    "TLSRouteListenerPassthroughSupportedKinds",
    "TLSRouteListenerTerminateNotSupported",
    "TLSRouteListenerTerminateSupportedKinds",
    "TLSRouteMixedTerminationSameNamespace",
    "TLSRouteSimpleSameNamespace",
    "TLSRouteTerminateSimpleSameNamespace",
    "UDPRoute",
    "UDPRouteInvalidBackendRefNonexistent",
    "UDPRouteInvalidCrossNamespaceBackendRef",
    "UDPRouteMultipleRoutesAttachment",
    "UDPRouteNotAllowedByListeners",
    "UDPRouteParentRefAttachAllListeners",
    "UDPRouteParentRefPortAndSectionName",
    "UDPRouteReferenceGrant",
    "UDPRouteWeightedRouting",
];

/// Tests that are skipped by name, and why.
const SKIPPED: &[(&str, &str)] = &[];

/// Why a test is skipped in a run, if it is.
pub fn skipped(short: &str, edge: Edge, tenancy: Tenancy) -> Option<&'static str> {
    let lists = [(true, SKIPPED), (edge == Edge::Envoy, NOT_AT_ENVOY), (tenancy == Tenancy::Tenants, NOT_OF_TENANTS)];
    let known = lists.iter().filter(|(applies, _)| *applies).flat_map(|(_, list)| list.iter());
    known.clone().find(|(name, _)| *name == short).map(|(_, why)| *why)
}
