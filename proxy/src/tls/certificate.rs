//! A certificate with its key, and the slot in which it is renewed.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::InconsistentKeys;
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use weir_config::FieldError;
use weir_config::model::TlsCertificate;

/// Certificates a chain may have. Real chains have two to four.
const MAX_CHAIN: usize = 32;

/// A certificate chain whose key is at hand.
pub struct Certificate {
    key: Arc<CertifiedKey>,
}

impl Certificate {
    /// Chain and key in rustls' form.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }

    /// Whether a client that asked for `name` would accept the leaf (RFC 9525: subject alternative
    /// names, a wildcard stands for one label).
    pub fn covers(&self, name: &str) -> bool {
        let (Ok(name), Some(leaf)) = (ServerName::try_from(name), self.key.cert.first()) else {
            return false;
        };
        ParsedCertificate::try_from(leaf).is_ok_and(|leaf| verify_server_name(&leaf, &name).is_ok())
    }
}

/// Shows the chain's length only: neither key nor name belongs in a log.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("chain", &self.key.cert.len()).finish_non_exhaustive()
    }
}

/// Reads chain and key, and checks that they belong together.
///
/// # Errors
/// The field of `Secret.tls_certificate` that cannot be used. The message never quotes it.
pub fn parse(certificate: &TlsCertificate) -> Result<Arc<Certificate>, FieldError> {
    let chain_field = "tls_certificate.certificate_chain";
    let key_field = "tls_certificate.private_key";
    let chain = CertificateDer::pem_slice_iter(certificate.chain.as_bytes())
        .take(MAX_CHAIN + 1)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| FieldError::new(chain_field, format!("is not valid PEM: {e}")))?;
    if chain.is_empty() {
        return Err(FieldError::new(chain_field, "holds no certificate").hint("PEM, the leaf first"));
    }
    if chain.len() > MAX_CHAIN {
        return Err(FieldError::new(chain_field, format!("holds more than {MAX_CHAIN} certificates")));
    }
    if let Err(e) = ParsedCertificate::try_from(&chain[0]) {
        return Err(FieldError::new(chain_field, format!("the first certificate cannot be read: {e}")));
    }
    // The error of the PEM reader may quote what it read, so it is not passed on.
    let key = PrivateKeyDer::from_pem_slice(certificate.key.0.as_bytes()).map_err(|_| {
        FieldError::new(key_field, "is not a private key in PEM").hint("PKCS#8, PKCS#1 or SEC1, without a password")
    })?;
    let key = any_supported_type(&key).map_err(|_| {
        FieldError::new(key_field, "cannot be read, or is of a kind that is not supported")
            .hint("RSA of 2048 to 8192 bits, ECDSA P-256, P-384 or P-521, or Ed25519")
    })?;
    let key = CertifiedKey::new(chain, key);
    match key.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
            Ok(Arc::new(Certificate { key: Arc::new(key) }))
        }
        Err(_) => Err(FieldError::new(key_field, "does not belong to the first certificate of the chain")),
    }
}

/// The place of one SDS secret: empty until it arrives, and after it is removed.
#[derive(Debug, Default)]
pub struct SecretSlot(ArcSwapOption<Certificate>);

impl SecretSlot {
    /// Puts a certificate in place of what was there. Handshakes from now on use it.
    pub fn set(&self, certificate: Arc<Certificate>) {
        self.0.store(Some(certificate));
    }

    /// Empties the slot. Handshakes from now on do without it.
    pub fn clear(&self) {
        self.0.store(None);
    }

    /// What is there now.
    pub fn get(&self) -> Option<Arc<Certificate>> {
        self.0.load_full()
    }
}
