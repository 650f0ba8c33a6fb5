//! Secret: a certificate and its key.

use std::fmt;

/// `envoy.extensions.transport_sockets.tls.v3.Secret` with a `tls_certificate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Resource name.
    pub name: String,
    /// The certificate.
    pub certificate: TlsCertificate,
}

/// `TlsCertificate`, PEM inline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsCertificate {
    /// Chain, leaf first, PEM.
    pub chain: String,
    /// Key, PEM.
    pub key: PrivateKey,
}

/// A private key in PEM, which shows itself to nobody by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(pub String);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
