//! TLS Secrets as resources.

use k8s_openapi::api::core::v1::Secret as KubeSecret;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use weir_config::model::{PrivateKey, Secret, TlsCertificate, name};

/// The resource of a Secret of type `kubernetes.io/tls`.
///
/// # Errors
/// Why it cannot serve, as the end of a sentence that begins with its name. Never a part of it.
pub(crate) fn certificate(secret: &KubeSecret) -> Result<Secret, String> {
    if secret.type_.as_deref() != Some("kubernetes.io/tls") {
        return Err("is not of type kubernetes.io/tls".into());
    }
    let chain = text(secret, "tls.crt")?;
    let key = text(secret, "tls.key")?;
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(chain.as_bytes()) {
        let der = certificate.map_err(|_| "has a tls.crt that is not PEM")?;
        x509_parser::parse_x509_certificate(&der).map_err(|_| "has a tls.crt that holds no X.509 certificate")?;
        certificates.push(der);
    }
    if certificates.is_empty() {
        return Err("has a tls.crt without a certificate in PEM".into());
    }
    let der =
        PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| "has a tls.key without a private key in PEM")?;
    let signing =
        any_supported_type(&der).map_err(|_| "has a tls.key of a kind that is not supported (RSA, ECDSA, Ed25519)")?;
    // What a proxy would refuse is said here, where the owner of the Secret looks.
    if let Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) =
        CertifiedKey::new(certificates, signing).keys_match()
    {
        return Err("has a tls.key that does not belong to the first certificate of its tls.crt".into());
    }
    let meta = &secret.metadata;
    Ok(Secret {
        name: name::secret(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default()),
        certificate: TlsCertificate { chain, key: PrivateKey(key) },
    })
}

fn text(secret: &KubeSecret, field: &str) -> Result<String, String> {
    if let Some(bytes) = secret.data.as_ref().and_then(|data| data.get(field)) {
        return String::from_utf8(bytes.0.clone()).map_err(|_| format!("has a {field} that is not text"));
    }
    let plain = secret.string_data.as_ref().and_then(|data| data.get(field));
    plain.cloned().ok_or_else(|| format!("has no {field}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn secret(chain: &str, key: &str) -> KubeSecret {
        let data = [("tls.crt", chain), ("tls.key", key)].map(|(field, text)| (field.to_owned(), text.to_owned()));
        KubeSecret {
            type_: Some("kubernetes.io/tls".into()),
            string_data: Some(BTreeMap::from(data)),
            ..KubeSecret::default()
        }
    }

    #[test]
    fn a_key_must_belong_to_its_certificate() {
        let made = || rcgen::generate_simple_self_signed(["shop.acme.test".to_owned()]).unwrap();
        let (mine, other) = (made(), made());
        let chain = mine.cert.pem();
        assert!(certificate(&secret(&chain, &mine.signing_key.serialize_pem())).is_ok());
        let problem = certificate(&secret(&chain, &other.signing_key.serialize_pem())).unwrap_err();
        assert!(problem.contains("does not belong"), "{problem}");
    }
}
