//! `appProtocol` of a Service's port: what its endpoints speak (Kubernetes KEP-3726, Gateway API GEP-1911).

use weir_config::model::UpstreamProtocol;

/// What a port says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AppProtocol {
    /// What is spoken, where the port says it.
    pub(crate) protocol: Option<UpstreamProtocol>,
    /// Whether it is spoken over TLS, so that without knowing whom to trust nothing can be sent.
    pub(crate) needs_tls: bool,
}

/// Reads it for a route that carries HTTP; none: Weir does not know it. Names without a domain are IANA's service
/// names, and those by which Istio and Envoy know HTTP/2; case does not count there.
pub(crate) fn read(text: Option<&str>) -> Option<AppProtocol> {
    let known = |protocol, needs_tls| Some(AppProtocol { protocol, needs_tls });
    match text.unwrap_or_default() {
        "" => known(None, false),
        "kubernetes.io/h2c" => known(Some(UpstreamProtocol::Http2), false),
        // WebSocket begins as HTTP/1.1 (RFC 6455).
        "kubernetes.io/ws" => known(Some(UpstreamProtocol::Http1), false),
        "kubernetes.io/wss" => known(Some(UpstreamProtocol::Http1), true),
        other => match other.to_ascii_lowercase().as_str() {
            // Whether a port of that name wants TLS, a BackendTLSPolicy says, as it says whom to trust.
            "http" | "https" => known(None, false),
            "http2" | "h2c" | "grpc" => known(Some(UpstreamProtocol::Http2), false),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_guessed() {
        assert_eq!(read(None).unwrap().protocol, None);
        assert_eq!(read(Some("kubernetes.io/h2c")).unwrap().protocol, Some(UpstreamProtocol::Http2));
        assert_eq!(read(Some("HTTPS")).unwrap(), AppProtocol { protocol: None, needs_tls: false });
        assert!(read(Some("kubernetes.io/wss")).unwrap().needs_tls);
        for unknown in ["kubernetes.io/h3", "example.com/own", "mysql", "kubernetes.io/H2C"] {
            assert_eq!(read(Some(unknown)), None, "{unknown}");
        }
    }
}
