//! A certificate with its key: what is checked when it arrives, and what when a handshake first needs it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustls::InconsistentKeys;
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use weir_config::FieldError;
use weir_config::model::{Secret, TlsCertificate};

use super::keys::Keys;

/// Certificates a chain may have. Real chains have two to four.
const MAX_CHAIN: usize = 32;
/// Fields of a Secret.
const CHAIN: &str = "tls_certificate.certificate_chain";
const KEY: &str = "tls_certificate.private_key";
/// Certificates get numbers that are not used again.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A certificate chain and its key as they were sent. The key is parsed when a handshake first needs it.
pub struct Certificate {
    id: u64,
    secret: Arc<Secret>,
    keys: Arc<Keys>,
}

impl Certificate {
    /// What `secret` holds; once parsed, its key is among `keys`.
    pub fn new(secret: Arc<Secret>, keys: Arc<Keys>) -> Self {
        Self { id: NEXT.fetch_add(1, Relaxed), secret, keys }
    }

    /// Chain and key in rustls' form; none where they are of no use, which is logged when it is found.
    pub fn certified_key(&self) -> Option<Arc<CertifiedKey>> {
        self.keys.get(self.id, || match parse(&self.secret.certificate) {
            Ok(key) => Some(Arc::new(key)),
            Err(error) => {
                tracing::error!(secret = self.secret.name, %error, "a certificate cannot serve");
                None
            }
        })
    }

    /// Whether handshakes have used it lately.
    pub fn in_use(&self) -> bool {
        self.keys.holds(self.id)
    }

    /// Whether a client that asked for `name` would accept the leaf (RFC 9525: subject alternative
    /// names, a wildcard stands for one label).
    pub fn covers(&self, name: &str) -> bool {
        let leaf = CertificateDer::from_pem_slice(self.secret.certificate.chain.as_bytes());
        let (Ok(name), Ok(leaf)) = (ServerName::try_from(name), leaf) else {
            return false;
        };
        ParsedCertificate::try_from(&leaf).is_ok_and(|leaf| verify_server_name(&leaf, &name).is_ok())
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        self.keys.forget(self.id);
    }
}

/// Shows the secret's name only: neither key nor certificate belongs in a log.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("secret", &self.secret.name).finish_non_exhaustive()
    }
}

/// What is checked of each certificate when it arrives: that chain and key are there, whole, in PEM, and that the
/// leaf is X.509. Whether the key can be used, and is that of the leaf, costs as much as a handshake: it is checked
/// when a handshake first needs it, or at once where the certificate renews one in use.
///
/// # Errors
/// The field of `Secret.tls_certificate` that cannot be used. The message never quotes it.
pub fn check(certificate: &TlsCertificate) -> Result<(), FieldError> {
    read(certificate).map(drop)
}

/// Chain and key, as DER.
fn read(certificate: &TlsCertificate) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), FieldError> {
    let chain = CertificateDer::pem_slice_iter(certificate.chain.as_bytes())
        .take(MAX_CHAIN + 1)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| FieldError::new(CHAIN, format!("is not valid PEM: {e}")))?;
    if chain.is_empty() {
        return Err(FieldError::new(CHAIN, "holds no certificate").hint("PEM, the leaf first"));
    }
    if chain.len() > MAX_CHAIN {
        return Err(FieldError::new(CHAIN, format!("holds more than {MAX_CHAIN} certificates")));
    }
    if let Err(e) = ParsedCertificate::try_from(&chain[0]) {
        return Err(FieldError::new(CHAIN, format!("the first certificate cannot be read: {e}")));
    }
    // The error of the PEM reader may quote what it read, so it is not passed on.
    let key = PrivateKeyDer::from_pem_slice(certificate.key.0.as_bytes());
    let key = key.ok().filter(|key| is_sequence(key.secret_der())).ok_or_else(|| {
        FieldError::new(KEY, "is not a private key in PEM").hint("PKCS#8, PKCS#1 or SEC1, without a password")
    })?;
    Ok((chain, key))
}

/// Whether these bytes are one whole DER SEQUENCE (X.690 section 8.1.3), as every form of key is.
fn is_sequence(der: &[u8]) -> bool {
    match der {
        [0x30, length @ 0..=0x7f, rest @ ..] => rest.len() == usize::from(*length),
        [0x30, 0x81, length, rest @ ..] => rest.len() == usize::from(*length),
        [0x30, 0x82, high, low, rest @ ..] => rest.len() == usize::from(u16::from_be_bytes([*high, *low])),
        _ => false,
    }
}

/// Chain and key, ready to sign; they belong together.
///
/// # Errors
/// The field that cannot be used. The message never quotes it.
pub(super) fn parse(certificate: &TlsCertificate) -> Result<CertifiedKey, FieldError> {
    let (chain, key) = read(certificate)?;
    let key = any_supported_type(&key).map_err(|_| {
        FieldError::new(KEY, "cannot be read, or is of a kind that is not supported")
            .hint("RSA of 2048 to 8192 bits, ECDSA P-256, P-384 or P-521, or Ed25519")
    })?;
    let key = CertifiedKey::new(chain, key);
    match key.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(key),
        Err(_) => Err(FieldError::new(KEY, "does not belong to the first certificate of the chain")),
    }
}
