//! Whom certificates of others must come from.

use std::sync::{Arc, LazyLock};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use weir_config::FieldError;
use weir_config::model::Roots;

/// Certificates that may come together. The machine's own are some 150.
const MOST: usize = 1024;

/// The machine's roots, read once, when they are first needed.
static SYSTEM: LazyLock<Option<Arc<RootCertStore>>> =
    LazyLock::new(|| match rustls_native_certs::load_native_certs() {
        Ok(certificates) => {
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(certificates);
            (!store.is_empty()).then(|| store.into())
        }
        Err(error) => {
            tracing::error!(%error, "the machine's certificate authorities cannot be read");
            None
        }
    });

/// Reads roots.
///
/// # Errors
/// What is wrong with the field `trusted_ca`.
pub fn roots(roots: &Roots) -> Result<Arc<RootCertStore>, FieldError> {
    let wrong = |problem: String| FieldError::new("trusted_ca", problem);
    let Roots::Pem(pem) = roots else {
        return SYSTEM.clone().ok_or_else(|| wrong("this machine has no certificate authorities".into()));
    };
    let mut store = RootCertStore::empty();
    for (at, certificate) in CertificateDer::pem_slice_iter(pem.as_bytes()).take(MOST + 1).enumerate() {
        if at == MOST {
            return Err(wrong(format!("holds more than {MOST} certificates")));
        }
        let certificate = certificate.map_err(|error| wrong(format!("is not valid PEM: {error}")))?;
        let added = store.add(certificate);
        added.map_err(|error| wrong(format!("certificate {} cannot be read: {error}", at + 1)))?;
    }
    if store.is_empty() {
        return Err(wrong("holds no certificate".into()).hint("PEM"));
    }
    Ok(store.into())
}
